"""Whether HTML can be drawn here: what the engine (WeasyPrint, the extra ``html``) needs is looked for, nothing of it is run."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

TEXT, ENGINE = "text", "engine"  # values of document.html, beside auto

_LIBRARIES = (
    "libgobject-2.0.so.0", "libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz.so.0", "libharfbuzz-subset.so.0",
    "libfontconfig.so.1",
)  # fmt: skip


def find(setting: str) -> bool:
    """Whether HTML is drawn: where ``setting`` (auto, text or engine) allows it and nothing is missing."""
    return setting != TEXT and not missing()


def missing() -> str:
    """What the engine lacks here and how to get it, "" for nothing."""
    if importlib.util.find_spec("weasyprint") is None:
        return f"WeasyPrint is missing: {sys.prefix}/bin/pip install 'faxgateway[html]'"
    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            return f"{name} is missing: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
    return ""
