"""The header block of a mail or of one of its parts: found by offset, read on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway import charsets
from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail.buffer import Buffer
from gateway.mail.words import decode_mailboxes, decode_words, one_line

MAX_HEADER = 102_400  # bytes of one header block, Postfix's header_size_limit
_USUAL = 4096  # bytes that most have

_BLANK = re.compile(rb"(?:\A|\n)\r?\n")
_OF_ADDRESSES = {"from", "to", "cc", "reply-to"}
_TRUSTED, _TYPE = "authentication-results", "content-type"
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
# a field as it should be written, no boundary, and a block of nothing else; possessive, or a hostile one would take long
_WHOLE_FIELD = re.compile(rb"((?!--)[!-9;-~]++):([^\n]*+\n?(?:[ \t][^\n]*+\n?)*+)")
_WHOLE = re.compile(rb"(?:%s)*+" % _WHOLE_FIELD.pattern)
_MBOX = re.compile(rb">?From \S+ .*[0-9]{2}:[0-9]{2}.* [0-9]{4}\b")
_PARAMETER = re.compile(rb"[\w*-]+[ \t]*=")
_MADE = re.compile(
    rb"^(content-[a-z-]+|mime-version|message-id)[ \t]*:", re.IGNORECASE | re.MULTILINE
)  # by programs: a header goes on until there, but for such as it has already, which a text may quote
_FOLD = re.compile(r"\r?\n(?=[ \t])")
# what a blank line may cut off from a header: fields that say what the body is
_LATE = re.compile(
    rb"[ \t\r\n]*+((?:(?:content-(?:type|transfer-encoding|disposition|id|description)|mime-version)[ \t]*:[^\n]*+\n"
    rb"(?:[ \t]++[^\s][^\n]*+\n)*+)++)\r?\n",
    re.IGNORECASE,
)
# of a header behind a blank line: bytes in which it ends, fields of which it has one, fields that may stand before it
_LATEST = 16_384
_BY_PROGRAMS = {"content-type", "message-id", "mime-version"}
_TRACE = re.compile(r"received|return-path|delivered-to|envelope-to|resent-.+|x-.+")


class Headers:
    """Fields in mail order. Values are kept as bytes and decoded when they are asked for.

    ``charset``: of 8-bit text that is no UTF-8, where the texts of the mail tell; else that is Windows-1252.
    """

    __slots__ = ("_fields", "_named", "charset")

    def __init__(self, fields: list[tuple[str, bytes]]) -> None:
        self.charset: str | None = None
        self._fields = fields
        self._named: dict[str, list[bytes]] = {}
        for name, value in fields:
            self._named.setdefault(name, []).append(value)

    def names(self) -> Iterator[str]:
        """Field names, in lower case."""
        return (name for name, _ in self._fields)

    def fields(self) -> Iterator[tuple[str, bytes]]:
        """Names in lower case with all that stands behind their colons, as it came."""
        return iter(self._fields)

    def every(self, name: str) -> Iterator[str]:
        """All such fields unfolded, in mail order."""
        return (self._unfolded(value) for value in self._named.get(name, ()))

    def raw(self, name: str) -> str:
        """The first such field as :meth:`every` gives it, "" when there is none."""
        values = self._named.get(name)
        return self._unfolded(values[0]) if values else ""

    def lines(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Fields whose lower-case names begin so, each decoded and on one clean line."""
        for name, value in self._fields:
            if name.startswith(prefix):
                yield name, one_line(decode_words(self._unfolded(value)))

    def line(self, name: str, limit: int = 500) -> str:
        """The first such field for people: decoded and on one clean line of at most ``limit`` characters."""
        decoded = decode_mailboxes if name in _OF_ADDRESSES else decode_words
        return one_line(decoded(self.raw(name)), limit)

    def _unfolded(self, value: bytes) -> str:
        is_plain = value.isascii() and b"\x1b" not in value
        text = (value.decode("ascii") if is_plain else self._raw(value)).strip()
        return _FOLD.sub("", text) if "\n" in text else text

    def _raw(self, value: bytes) -> str:
        told = charsets.codec(self.charset) or "utf-8"
        names = ("utf-8",) if told.startswith(("utf-16", "utf-32")) else ("utf-8", told)
        if charsets.is_japanese(value):
            names = ("iso2022_jp", *names)
        return next(filter(None, (charsets.read(value, name) for name in names)), None) or to_text(value)


def of_mail(source: Buffer, start: int, end: int) -> tuple[Headers, int]:
    """As :func:`split`, of a mail: also of one whose header, which a program wrote, comes behind a blank line, with nothing
    before that but the trace of its way. What is trusted is no field of such a header.
    """
    headers, body = split(source, start, end)
    if not all(map(_TRACE.fullmatch, headers.names())):
        return headers, body
    block = source[body : min(end, body + _LATEST)]
    begin = len(block) - len(block.lstrip(b" \t\r\n"))
    if not _BLANK.search(block, begin):
        return headers, body
    late, behind = split(source, body + begin, end)
    if _BY_PROGRAMS.isdisjoint(late.names()):
        return headers, body
    return Headers([*headers.fields(), *((name, value) for name, value in late.fields() if name != _TRUSTED)]), behind


def continued(source: Buffer, headers: Headers, body: int, end: int) -> tuple[Headers, int]:
    """The ``headers`` of a part with those fields that a blank line has cut off, and the offset of the body behind them."""
    while late := _LATE.match(source[body : min(end, body + _USUAL)]):
        fields = [(name.decode("ascii").lower(), value) for name, value in _WHOLE_FIELD.findall(late[1])]
        names = {name for name, _ in fields if name != "mime-version"}
        if not names or not names.isdisjoint(headers.names()):
            break  # it has them: this is a text about such fields
        headers, body = Headers([*headers.fields(), *fields]), body + late.end()
    return headers, body


def header_size(source: Buffer, start: int, end: int) -> int:
    """How many bytes the header block at ``start`` has; all of them where it does not end."""
    block = source[start:end]
    blank = _BLANK.search(block)
    return blank.end() if blank else len(block)


def split(source: Buffer, start: int, end: int) -> tuple[Headers, int]:
    """Read the header block at ``start`` and return it with the offset of the body behind it.

    Survives a missing blank line, an mbox ``From`` line and lines that are no fields. Raises Refused when the block is
    larger than :data:`MAX_HEADER`. Trusted fields are read strictly: one that the mail server in front may have taken for
    something else is none.
    """
    block = source[start : min(end, start + _USUAL)]
    blank = _BLANK.search(block)
    if not blank:
        block = source[start : min(end, start + MAX_HEADER + 2)]
        blank = _BLANK.search(block)
    if blank is None:
        return _by_lines(block, start, end, is_whole=False)
    block, body = block[: blank.start()], start + blank.end()
    if _WHOLE.fullmatch(block):
        return Headers([(name.decode("ascii").lower(), value) for name, value in _WHOLE_FIELD.findall(block)]), body
    return _by_lines(block, start, body, is_whole=True)


def _by_lines(block: bytes, start: int, body: int, *, is_whole: bool) -> tuple[Headers, int]:
    """A header block with lines that are no fields. ``is_whole``: a blank line has ended it, and ``body`` is behind that."""
    spans: list[tuple[str, int, int]] = []  # name, and where in the block the value stands
    types = bytearray()  # what stands in those that may name a boundary
    offset = 0
    last_made: int | None = None
    before = b""  # the line
    whole = True  # so far
    for line in block.split(b"\n"):
        match = _FIELD.match(line)
        following = offset + len(line) + 1
        if spans and (line[:1] in (b" ", b"\t") or _lost_its_blanks(line, before, spans[-1][0])):
            name, value, _ = spans[-1]
            spans[-1] = (name, value, following)
            types += line if name == _TYPE else b""
        elif line[:2] == b"--" and (word := line[2:].strip()) and word in types:
            body = start + offset  # the blank line is missing before the first part, whose boundary a field has named
            break
        elif match:
            name = match[1].decode("ascii").lower()
            if name == _TRUSTED and not (whole and match.end() == len(name) + 1):
                name = ""
            spans.append((name, offset + match.end(), following))
            types += line[match.end() :] + b"\n" if name == _TYPE else b""
        elif line.strip() and not _separates(line, spans, offset):
            if last_made is None:
                known = {name.encode() for name, _, _ in spans}
                made = (field for field in _MADE.finditer(block) if field[1].lower() not in known)
                last_made = max((field.start() for field in made), default=-1)
            if last_made < offset:
                body = start + offset  # the blank line is missing: this is text already
                break
            spans.append(("", offset, offset))  # a broken line among fields
            whole = False
        before, offset = line, following
    else:
        if not is_whole and len(block) > MAX_HEADER:
            raise Refused(f"the mail has a header larger than {MAX_HEADER // 1024} KiB", status="5.6.0")
    return Headers([(name, block[value:following]) for name, value, following in spans if name]), body


def _lost_its_blanks(line: bytes, before: bytes, name: str) -> bool:
    """Whether this is a parameter of the MIME field of this ``name``, of which the line ``before`` is, without the blanks that say so."""
    return name.startswith("content-") and before.rstrip().endswith(b";") and _PARAMETER.match(line) is not None


def _separates(line: bytes, before: list[tuple[str, int, int]], offset: int) -> bool:
    """Whether this is the line that begins a mail in a mailbox file; our own trace field may stand ``before`` it."""
    if not offset:
        return line.startswith((b"From ", b">From "))
    return len(before) == 1 and before[0][0] == "received" and _MBOX.match(line[:200]) is not None
