"""A mail on its way into its draft: counted, its line ends judged, its pace watched; what hinders it is kept for its end."""

from __future__ import annotations

import re
import time

import structlog

from gateway import policy
from gateway.edge.smtp_replies import Hangup
from gateway.edge.smtp_settings import SmtpSettings
from gateway.errors import GatewayError, Refused, TryLater
from gateway.spool import MailDraft

log = structlog.get_logger("smtpd")

_WINDOW = 60.0  # seconds at least over which the pace is judged
_RETURNS = re.compile(rb"\r\r+")
_HEAD, _FOOT = 8192, 512  # bytes in which the header and the last lines of a mail are sought
_ORDINARY = bytes(n for n in range(256) if n not in b"\r\n\0")


class FarTooLarge(Exception):  # not an error: it only stops the reading
    """The message has grown to twice the size that may be."""


class Intake:
    """The sink of a message's bytes. ``trouble`` is what hindered it, to be told at the message's end.

    A mail that is lost from the start has no ``draft`` and its trouble already: its bytes are only counted.
    ``newlines`` is what becomes of a bare LF, a bare CR and NUL: ``normalise`` or ``reject``.
    """

    def __init__(
        self, draft: MailDraft | None, settings: SmtpSettings, newlines: str, trouble: GatewayError | None = None
    ) -> None:
        assert draft is not None or trouble is not None
        self.draft = draft
        self.trouble = trouble
        self.taken = 0  # bytes
        self.mended = False  # whether line ends were changed
        self._settings = settings
        self._rejects = newlines == "reject"
        self._held = b""  # a CR whose LF may be in the next chunk
        self._window, self._in_window = time.monotonic(), 0

    def write(self, data: bytes) -> None:
        """Take the next bytes; those too many, or behind a failed write, are dropped.

        Raises :class:`FarTooLarge` once, and :class:`Hangup` at a client that is slower than may be.
        """
        before, self.taken = self.taken, self.taken + len(data)
        if self.trouble is None:
            self._fail(self._written(data))
        self._watch(len(data))
        if before <= 2 * self._settings.max_message < self.taken:
            raise FarTooLarge

    @property
    def is_far_too_large(self) -> bool:
        return self.taken > 2 * self._settings.max_message

    def finish(self) -> MailDraft | None:
        """The draft of the whole message; None when it was hindered, then see ``trouble``."""
        if self.trouble is None and self._held:
            # a line that ends in CR ends here
            self._fail(_wrong_line_ends() if self._rejects else self._written(b"\n"))
        return self.draft

    def discard(self) -> None:
        """Leave nothing of it; harmless when repeated."""
        if self.draft is not None:
            self.draft.discard()
            self.draft = None

    def _fail(self, trouble: GatewayError | None) -> None:
        if trouble is not None:
            self.trouble = trouble
            self.discard()

    def _watch(self, size: int) -> None:
        """In each stretch of time the mail must come forward by so much (a pause while a page is scanned is not long)."""
        self._in_window += size
        elapsed = time.monotonic() - self._window
        if elapsed < max(_WINDOW, self._settings.data_timeout):
            return
        if self._in_window < elapsed * self._settings.min_data_rate:
            raise Hangup(f"421 4.4.2 the mail came slower than {self._settings.min_data_rate} bytes a second; goodbye")
        self._window, self._in_window = time.monotonic(), 0

    def _written(self, data: bytes) -> GatewayError | None:
        try:
            policy.may_be_so_large(self.taken, self._settings.max_message)
            lines = self._lines(data)
        except Refused as error:
            return error
        return self._stored(lines)

    def _stored(self, data: bytes) -> GatewayError | None:
        assert self.draft is not None, "without trouble there is a draft"
        try:
            self.draft.write(data)
        except GatewayError as error:
            return error
        except Exception as error:  # the message must be read to its end: it is not to be taken for commands
            log.exception("a mail could not be written")
            return TryLater("the gateway could not store the mail; try again later", repr(error))
        return None

    def _lines(self, data: bytes) -> bytes:
        """``data`` with CRLF alone for line ends and without NUL. Raises Refused where that is not to be mended."""
        if self._held:
            data, self._held = self._held + data, b""
        if data.endswith((b"\r", b"\0")):
            end = data[len(data.rstrip(b"\r\0")) :]
            if end == b"\r" or not self._rejects:
                data, self._held = data[: len(data) - len(end)], b"\r" if b"\r" in end else b""
        if _is_clean(data):
            return data
        if self._rejects:
            raise _wrong_line_ends()
        self.mended = True
        # CR CR LF is one line end; a CR inside of a line is none, and must not make a header of what follows it
        data = _RETURNS.sub(b"\r", data.replace(b"\0", b"")).replace(b"\r\n", b"\n")
        return data.replace(b"\r", b" ").replace(b"\n", b"\r\n")


def _wrong_line_ends() -> Refused:
    return Refused(
        "the mail has line ends other than CRLF, or NUL characters; set the sending device or program to CRLF, or ask the"
        " administrator for bare_newline: normalise",
        status="5.6.11",
    )


def _is_clean(data: bytes) -> bool:
    """Whether its line ends are CRLF alone and it has no NUL; ``data`` does not end in CR."""
    # between the header and the last boundary most mails are lines of one length, of base64
    first = data.find(b"\n", _HEAD) + 1
    last = data.rfind(b"\n", 0, max(0, len(data) - _FOOT)) + 1
    if 0 < first < last and _is_even(data[first:last]):
        data = data[:first] + data[last:]
    return len(data.translate(None, _ORDINARY)) == 2 * data.count(b"\r\n")


def _is_even(lines: bytes) -> bool:
    """Whether these are whole lines of one length that end in CRLF, without NUL. A sixth of the time of a look at each byte."""
    length = lines.find(b"\n") + 1
    count, more = divmod(len(lines), length)
    if more or length < 2:
        return False
    rest = bytearray(lines)
    for end, at in ((b"\n", length - 1), (b"\r", length - 2)):
        if rest[at::length] != end * count:
            return False
        rest[at::length] = b" " * count
    return b"\n" not in rest and b"\r" not in rest and b"\0" not in rest
