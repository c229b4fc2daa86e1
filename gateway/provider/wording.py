"""Fax.to's status texts and codes: what they mean for a fax (Fax.to API, "fax status", receipt table)."""

from __future__ import annotations

import re

import structlog

from gateway.model import Verdict

log = structlog.get_logger("provider")

CODES = ("ok", "unknown", "no_answer", "busy", "file_error", "hangup")

_FAILED = re.compile(r"failed|error|cancel|reject|insufficient|unsuccess|undeliver", re.IGNORECASE)
_SUCCESS = re.compile(r"^sent|success|has been sent|has been answered|delivered|completed", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|never|cannot)\b|n't\b", re.IGNORECASE)  # "not delivered yet" is no success
_PROGRESS = re.compile(r"executed|sending|queue|process|pending|dial|retry", re.IGNORECASE)
_CAUSES = (
    ("no_answer", re.compile(r"no answer", re.IGNORECASE)),
    ("busy", re.compile(r"busy", re.IGNORECASE)),
    ("file_error", re.compile(r"conversion|file", re.IGNORECASE)),
    ("hangup", re.compile(r"hang ?up", re.IGNORECASE)),
)
_seen: set[str] = set()


def cause(text: str) -> str:
    """The code of a failure by its text."""
    return next((code for code, pattern in _CAUSES if pattern.search(text)), "unknown")


def classify(text: str, code: str = "") -> tuple[Verdict, str]:
    """Verdict and code of a status text; an explicit ``code`` beats the text. An unknown text is progress."""
    code = code.strip().lower()
    if code in CODES:
        return (Verdict.SUCCESS if code == "ok" else Verdict.FAILED), code
    if _FAILED.search(text):
        return Verdict.FAILED, cause(text)
    if _SUCCESS.search(text) and not _DENIED.search(text):
        return Verdict.SUCCESS, "ok"
    if text and not _PROGRESS.search(text) and text not in _seen and len(_seen) < 100:
        _seen.add(text)
        log.info("a status text not seen before counts as progress", text=text[:200])
    return Verdict.PROGRESS, ""


def verdict_of_word(word: str) -> Verdict:
    """The verdict of a one-word status, as receipts and the history have it."""
    lowered = word.strip().lower()
    if lowered in ("success", "ok", "sent", "delivered", "completed", "1"):
        return Verdict.SUCCESS
    if lowered.startswith("fail") or lowered == "error":
        return Verdict.FAILED
    return Verdict.PROGRESS
