"""winmail.dat: what Outlook wraps a mail in when it sends Rich Text (MS-OXTNEF), with the files taken out of it.

Nothing in it is compressed but the RTF text, so what comes out is no larger than what went in. A stream that is cut off or
does not add up is told as a *defect*, a clause as in :mod:`gateway.mail.transfer`; nothing is skipped in silence.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.charsets import to_text
from gateway.mail import meetings, rtf
from gateway.mail.transfer import CUT_OFF, DAMAGED

MAGIC = b"\x78\x9f\x3e\x22"

# attributes, MS-OXTNEF section 2.1.3.2
_CODE_PAGE, _CLASS, _BODY, _MESSAGE_PROPERTIES = 0x9007, 0x8008, 0x800C, 0x9003
_DATES = {0x0006: "start", 0x0007: "end"}
_NEW_ATTACHMENT, _TITLE, _DATA, _ATTACHMENT_PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
# properties, MS-OXPROPS
_P_SUBJECT, _P_BODY, _P_RTF, _P_HTML, _P_CODE_PAGE = 0x0037, 0x1000, 0x1009, 0x1013, 0x3FDE
_P_CLASS, _P_SENDER = 0x001A, 0x0C1A
_P_DATA, _P_NAME, _P_METHOD, _P_LONG_NAME = 0x3701, 0x3704, 0x3705, 0x3707
_P_TYPE, _P_CONTENT_ID, _P_DISPLAY_NAME = 0x370E, 0x3712, 0x3001
_BY_VALUE, _EMBEDDED, _OLE = 1, 5, 6  # of _P_METHOD; 2, 3, 4 and 7 are references to a file elsewhere
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}  # bytes, by type of property
_STRING, _UNICODE, _OBJECT, _BINARY, _MANY = 0x1E, 0x1F, 0x0D, 0x102, 0x1000
_MAC_BINARY = 0x1
_ITEMS = re.compile(
    r"IPM\.(?:Microsoft )?(?:Contact|DistList|Appointment|Schedule|Task|Activity|StickyNote)", re.IGNORECASE
)
_PROPERTIES = 4000  # of one message or attachment; Outlook writes a few dozen

Value: TypeAlias = bytes | int
Name: TypeAlias = int | tuple[bytes, int]  # of a property; those of appointments have a set and a number in it
Properties: TypeAlias = dict[Name, tuple[int, Value]]


@dataclass(slots=True)
class Attachment:
    """A file in a winmail.dat, or with ``message`` a mail in it."""

    name: str = ""
    type: str = ""
    content_id: str = ""
    data: bytes = field(default=b"", repr=False)
    message: Message | None = None
    defect: str = ""


@dataclass(slots=True)
class Message:
    """What a winmail.dat holds. The text comes in up to three forms, each "" or empty where it is missing."""

    subject: str = ""
    sender: str = ""
    text: str = ""
    html: bytes = b""
    plain: str = ""  # of its Rich Text
    charset: str = "cp1252"
    kind: str = ""  # IPM.Note, IPM.Contact...
    meeting: meetings.Meeting = field(default_factory=meetings.Meeting)
    attachments: list[Attachment] = field(default_factory=list)
    defect: str = ""

    @property
    def calendar(self) -> str:
        """When and where it invites to, as a calendar entry (RFC 5545), "" where it does not."""
        return self.meeting.entry(self.kind, self.subject, self.sender)

    @property
    def why_empty(self) -> str:
        """Why one without a text and without a file is no part of a fax."""
        if _ITEMS.match(self.kind):
            return "it is a contact, an appointment or a task of Outlook without a text; write down what is to be read"
        return "it holds nothing but settings of Outlook"


class _Broken(Exception):
    """The stream does not add up; its text is the defect."""


def read(data: bytes, depth: int = 0, *, deepest: int = 20) -> Message:
    """Read a TNEF stream; never raises. Mails in mails are read down to ``deepest``."""
    message = Message()
    try:
        _read(data, message, depth, deepest)
    except _Broken as broken:
        message.defect = str(broken)
    except (struct.error, IndexError):
        message.defect = CUT_OFF
    for attachment in message.attachments:
        if not (attachment.data or attachment.message or attachment.defect):
            attachment.defect = "it is empty"
    return message


def _read(data: bytes, message: Message, depth: int, deepest: int) -> None:
    if not data.startswith(MAGIC):
        raise _Broken("it is no winmail.dat, though it says so")
    mac = False
    for level, name, value in _attributes(data):
        if level == 1:
            _of_message(message, name, value)
        elif name == _NEW_ATTACHMENT:
            message.attachments.append(Attachment())
            mac = len(value) >= 14 and bool(struct.unpack_from("<I", value, 10)[0] & _MAC_BINARY)
        elif not message.attachments:
            raise _Broken(DAMAGED)
        elif name == _TITLE:
            message.attachments[-1].name = message.attachments[-1].name or _string(value, message.charset)
        elif name == _DATA:
            message.attachments[-1].data = _without_mac_header(value) if mac else value
        elif name == _ATTACHMENT_PROPERTIES:
            _attachment(message, dict(_properties(value)), depth, deepest)


def _of_message(message: Message, name: int, value: bytes) -> None:
    if name == _CODE_PAGE:
        message.charset = f"cp{struct.unpack_from('<I', value)[0]}"
    elif name == _CLASS:
        message.kind = _string(value, message.charset)
    elif name == _BODY:
        message.text = message.text or _string(value, message.charset)
    elif name in _DATES:
        message.meeting.written(_DATES[name], value)
    elif name == _MESSAGE_PROPERTIES:
        _message(message, dict(_properties(value)))


def _attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level (1: of the message, 2: of an attachment), id and value of each attribute.

    The checksum of a file is checked; those of property lists are wrong in files of real programs, and lists check
    themselves.
    """
    position = 6  # behind the signature and a key of no use
    while position < len(data):
        if not data[position : position + 64].strip(b"\0\r\n\t "):
            return  # padding behind the end
        level, name, _, size = struct.unpack_from("<BHHI", data, position)
        start = position + 9
        value = data[start : start + size]
        if level not in (1, 2):
            raise _Broken(DAMAGED)
        if len(value) < size:
            raise _Broken(CUT_OFF)
        if name == _DATA and sum(value) & 0xFFFF != struct.unpack_from("<H", data, start + size)[0]:
            raise _Broken(DAMAGED)
        yield level, name, value
        position = start + size + 2


# --- properties -------------------------------------------------------------------------------------------------------


def _properties(data: bytes) -> Iterator[tuple[Name, tuple[int, Value]]]:
    """Name, type and value of each property of a list, MS-OXTNEF section 2.1.3.4; of several values the first. One that is
    named by words has no name here but a number that says nothing.
    """
    count = struct.unpack_from("<I", data)[0]
    if count > _PROPERTIES:
        raise _Broken(DAMAGED)
    position = 4
    for _ in range(count):
        kind, number = struct.unpack_from("<HH", data, position)
        name: Name = number
        position += 4
        if number >= 0x8000:
            by_words, size = struct.unpack_from("<II", data, position + 16)
            if not by_words:
                name = (data[position : position + 16], size)
            position += 24 + (size + -size % 4 if by_words else 0)
        many, kind = kind & _MANY, kind & ~_MANY
        values = 1
        if many or kind in (_STRING, _UNICODE, _OBJECT, _BINARY):
            values = struct.unpack_from("<I", data, position)[0]
            position += 4
        found: Value | None = None
        for _ in range(values):
            value: Value
            if kind in _FIXED:
                size = 2 if many and kind == 2 else _FIXED[kind]
                raw = data[position : position + size]
                value = int.from_bytes(raw, "little")
            elif kind in (_STRING, _UNICODE, _OBJECT, _BINARY):
                size = struct.unpack_from("<I", data, position)[0]
                position += 4
                value = raw = data[position : position + size]
                size += -size % 4
            else:
                raise _Broken(DAMAGED)
            if position + len(raw) > len(data) or position + size > len(data) + 3 or (size and not raw):
                raise _Broken(CUT_OFF)
            position += size
            found = value if found is None else found
        if many and kind == 2:
            position += -position % 4
        if found is not None:
            yield name, (kind, found)


def _text(properties: Properties, name: Name, charset: str) -> str:
    kind, value = properties.get(name, (0, b""))
    if not isinstance(value, bytes):
        return ""
    return _string(value, "utf-16-le" if kind == _UNICODE else charset)


def _data(properties: Properties, name: int) -> bytes:
    value = properties.get(name, (0, b""))[1]
    return value if isinstance(value, bytes) else b""


def _string(data: bytes, charset: str) -> str:
    text = data.decode("utf-16-le", "replace") if charset == "utf-16-le" else to_text(data, charset)
    return text.rstrip("\0")


def _message(message: Message, properties: Properties) -> None:
    message.kind = _text(properties, _P_CLASS, message.charset) or message.kind
    message.subject = _text(properties, _P_SUBJECT, message.charset)
    message.sender = _text(properties, _P_SENDER, message.charset)
    texts = {name: _text(properties, name, message.charset) for name in meetings.WORDS}
    message.meeting.said({name: value for name, (_, value) in properties.items()}, texts)
    message.text = _text(properties, _P_BODY, message.charset) or message.text
    kind, html = properties.get(_P_HTML, (0, b""))
    if isinstance(html, bytes):
        message.html = html.decode("utf-16-le", "replace").encode() if kind == _UNICODE else html
    page = properties.get(_P_CODE_PAGE, (0, 0))[1]
    if isinstance(page, int) and page and message.html and kind != _UNICODE:
        message.charset = "utf-8" if page == 65001 else f"cp{page}"
    elif kind == _UNICODE:
        message.charset = "utf-8"
    packed = _data(properties, _P_RTF)
    if packed:
        rich = rtf.decompressed(packed)
        words = None if rich is None else rtf.to_text(rich)
        if words is None and not (message.text or message.html):
            raise _Broken(DAMAGED)
        message.plain = words or ""
        # in letters of any charset, of which that of the message is one
        message.html = message.html or rtf.to_html(rich or b"").encode("ascii", "xmlcharrefreplace")


def _attachment(message: Message, properties: Properties, depth: int, deepest: int) -> None:
    """The properties of the attachment begun last: they know its long name, and hold what is no plain file."""
    attachment = message.attachments[-1]
    for name in (_P_LONG_NAME, _P_NAME, _P_DISPLAY_NAME):
        if found := _text(properties, name, message.charset):
            attachment.name = found
            break
    attachment.type = _text(properties, _P_TYPE, message.charset)
    attachment.content_id = _text(properties, _P_CONTENT_ID, message.charset)
    method = properties.get(_P_METHOD, (3, _BY_VALUE))[1]
    kind, held = properties.get(_P_DATA, (0, b""))
    held = held if isinstance(held, bytes) else b""
    content = held[16:] if kind == _OBJECT else held  # an object begins with the id of its interface
    if method == _EMBEDDED:
        if depth >= deepest:
            raise _Broken(f"it is nested more than {deepest} levels deep")
        attachment.data = b""
        attachment.message = read(content, depth + 1, deepest=deepest)
        attachment.defect = attachment.message.defect
    elif method == _OLE:
        attachment.data = b""
        attachment.defect = (
            "it was pasted into a Rich Text message as an object of another program; set the format of the message to HTML"
            " in Outlook, or attach it as a file"
        )
    elif method == _BY_VALUE or not method:
        attachment.data = content or attachment.data
    else:
        attachment.defect = "it is only a reference to a file elsewhere; attach the file itself"


def _without_mac_header(data: bytes) -> bytes:
    """The data fork of a MacBinary file: a head of 128 bytes tells its length."""
    size = struct.unpack_from(">I", data, 83)[0] if len(data) >= 128 else 0
    return data[128 : 128 + size] if 0 < size <= len(data) - 128 and not data[0] else data
