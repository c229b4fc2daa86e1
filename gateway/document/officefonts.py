"""Fonts for office documents that want one of Microsoft's which the system lacks: LibreOffice asks fontconfig for another.

It would get DejaVu Sans for most, a quarter wider: a letter would need another page, and numbers would not fit into their
columns, where Calc prints ### or 1E+07 instead.
"""

from __future__ import annotations

import ctypes

from gateway.document import systemfonts

_NARROW = ("Liberation Sans Narrow", "Nimbus Sans Narrow")
_PLAIN = ("Liberation Sans", "Nimbus Sans")
_SERIF = ("Liberation Serif", "Nimbus Roman")
_INSTEAD = {  # the first that is there
    "Calibri": ("Carlito", *_NARROW),
    "Aptos Narrow": _NARROW,
    "Candara": _NARROW,
    "Corbel": _NARROW,
    "Aptos": _PLAIN,
    "Segoe UI": _PLAIN,
    "Tahoma": _PLAIN,
    "Trebuchet MS": _PLAIN,
    "Cambria": ("Caladea", *_SERIF),
    "Constantia": _SERIF,
}


def settle() -> None:
    """Tell fontconfig of this process, where it is new enough to be told (2.12.4)."""
    library = systemfonts.ready()
    if library is None or not hasattr(library, "FcConfigParseAndLoadFromMemory"):
        return
    library.FcConfigGetCurrent.restype = ctypes.c_void_p
    load = library.FcConfigParseAndLoadFromMemory
    load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    load(library.FcConfigGetCurrent(), _rules().encode(), False)


def _rules() -> str:
    """As fonts.conf has them; what the system's own says of a font goes before."""
    return f"<fontconfig>{''.join(map(_alias, _INSTEAD))}</fontconfig>"


def _alias(family: str) -> str:
    others = "".join(f"<family>{each}</family>" for each in _INSTEAD[family])
    return f"<alias><family>{family}</family><accept>{others}</accept></alias>"
