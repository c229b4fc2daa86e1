"""Fax.to's status texts and codes: what they mean for a fax (Fax.to API, "fax status", receipt table)."""

from __future__ import annotations

import re

import structlog

from gateway.model import Verdict

log = structlog.get_logger("provider")

CODES = ("ok", "unknown", "no_answer", "busy", "file_error", "hangup")

_FAILED = re.compile(r"failed|error|cancel|reject|insufficient|unsuccess|undeliver", re.IGNORECASE)
_NO_ERROR = re.compile(r"\b(?:no|without|0) errors?\b", re.IGNORECASE)
_AGAIN = re.compile(r"retrying|redial+ing|trying again|\bwill (?:be )?(?:retr|redial|try|tried)", re.IGNORECASE)
_SUCCESS = re.compile(r"^sent|success|has been sent|has been answered|delivered|completed", re.IGNORECASE)
# "not delivered yet", "success! your fax has been queued": no success
_DENIED = re.compile(r"\b(?:not|never|cannot|(?:no|without) success|partial(?:ly)?)\b|n't\b", re.IGNORECASE)
_AHEAD = re.compile(r"queue|pending|process|progress|submi|schedul|sending|\b(?:to|will) be\b", re.IGNORECASE)
_PART = re.compile(r"\b(\d+) ?(?:of|/) ?(?!\1 )\d+ pages?\b", re.IGNORECASE)
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
    if _FAILED.search(_NO_ERROR.sub("", text)):
        if _AGAIN.search(text):  # this call has failed, and not the fax
            return Verdict.PROGRESS, ""
        return Verdict.FAILED, cause(text)
    if _SUCCESS.search(text) and not any(unlike.search(text) for unlike in (_DENIED, _AHEAD, _PART)):
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
