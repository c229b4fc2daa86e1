"""Tracked changes of a text are printed as if they were accepted, as Word shows them by itself: LibreOffice would print, struck out,
what nobody was to read any more.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
from pathlib import Path

from gateway.document import package, sniff
from gateway.document.compound import Compound, Damaged

_ACCEPTED = "tracked changes are shown as accepted, without what was deleted"
_STRUCK = "tracked changes are shown as such, with what was deleted struck out"
_IN_WORD = re.compile(rb"<w:(?:ins|del|moveFrom|moveTo|[rp]PrChange)[ />]")
_SETTINGS = re.compile(r"word/settings\d*\.xml")  # Word on the web gives its files numbers
_END, _VIEW = b"</w:settings>", b'<w:revisionView w:markup="0"/>'
# of OpenDocument, which has in there what was deleted, and nowhere else
_OPEN = re.compile(
    rb"<text:tracked-changes\b[^<>]*(?<!/)>\s*<text:changed-region\b(?:(?!</?text:tracked-changes\b).)*+</text:tracked-changes>",
    re.DOTALL,
)
_IN_PLACE = re.compile(rb"</office:change-info>\s*</text:deletion>")  # but for what LibreOffice writes as one XML
# of Word 2003 in one XML, of which LibreOffice would print neither what was deleted nor what was put in: beginnings and ends of marks,
# which may stand in each other, and of what they mark
_IN_WORD_2003 = re.compile(rb"<aml:annotation\b[^<>]*(?<!/)>|</aml:annotation\s*>|</?aml:content\s*>")
_CHANGE = re.compile(rb"\bw:type=\"Word\.(Insertion|Deletion)\"")
_DELETED_IN_RTF = re.compile(rb"(?<!\\)\\deleted(?![a-z])")
_MARKED_IN_RTF = re.compile(rb"(?<!\\)\\rev(?=(?:ised|auth|authdel)(?![a-z]))")
# of a text of Word 97 and later (MS-DOC): properties of letters that say they were deleted, or came, and who or when; where its head
# tells of its settings, and which of them show all that
_IN_OLD_WORD = re.compile(
    rb"\x00\x08\x01.{0,32}?(?:\x63\x48|\x64\x68)|(?:\x63\x48|\x64\x68).{0,32}?\x00\x08\x01"
    rb"|\x01\x08\x01.{0,32}?(?:\x04\x48|\x05\x68)|(?:\x04\x48|\x05\x68).{0,32}?\x01\x08\x01",
    re.DOTALL,
)
_PLACE, _AT, _SHOWN = 0x192, 7, 0x18


def accept(document: Path, kind: str) -> str:
    """Write a text of an office ``kind`` anew so that its changes are accepted; what is to be said of them, "" where there are none.
    Raises OSError.
    """
    with contextlib.suppress(zipfile.BadZipFile, Damaged, struct.error, LookupError):  # LibreOffice is to judge it
        if kind == sniff.OFFICE:
            return _of_package(document)
        rule = {sniff.RTF: _of_rtf, sniff.OFFICE_XML: _of_xml, sniff.OLE: _of_word}[kind]
        if accepted := rule(text := document.read_bytes()):
            document.write_bytes(accepted)
            return _STRUCK if accepted is text else _ACCEPTED
    return ""


def _of_package(document: Path) -> str:
    changed: dict[str, bytes] = {}
    with zipfile.ZipFile(document) as source:
        names = source.namelist()
        for name in filter(package.OPEN_TEXTS.fullmatch, names):
            is_read = source.getinfo(name).file_size <= package.LONGEST
            if is_read and (accepted := _of_xml(text := source.read(name))):
                if accepted is text:
                    return _STRUCK
                changed[name] = accepted
        texts = (package.read(source, name) for name in filter(package.TEXTS.fullmatch, names))
        if any(map(_IN_WORD.search, texts)):
            settings = next(filter(_SETTINGS.fullmatch, names), "")
            said = package.read(source, settings) if settings else b""
            if _END not in said:
                return _STRUCK
            changed[settings] = said.replace(_END, _VIEW + _END)
    package.change(document, changed)
    return _ACCEPTED if changed else ""


def _of_xml(text: bytes) -> bytes:
    """The very same where it has what was deleted in its place: that cannot be taken out of it."""
    if _IN_PLACE.search(text):
        return text
    if b"<aml:annotation" in text:
        return _of_word_2003(text)
    accepted, count = _OPEN.subn(b"", text)
    return accepted if count else b""


def _of_word_2003(text: bytes) -> bytes:
    kept: list[bytes] = []
    marks: list[bytes] = []  # that are open: Insertion, Deletion, b"" for what says something else
    at = deletions = 0
    is_changed = False
    for tag in _IN_WORD_2003.finditer(text):
        kept += [] if deletions else [text[at : tag.start()]]
        at = tag.end()
        if tag[0].startswith(b"<aml:annotation"):
            change = _CHANGE.search(tag[0])
            marks.append(change[1] if change else b"")
            is_changed |= change is not None
            deletions += marks[-1] == b"Deletion"
        kept += [] if deletions or marks[-1:] == [b"Insertion"] else [tag[0]]
        if marks and tag[0].startswith(b"</aml:annotation"):
            deletions -= marks.pop() == b"Deletion"
    return b"".join([*kept, text[at:]]) if is_changed else b""


def _of_rtf(text: bytes) -> bytes:
    """What was deleted is hidden."""
    accepted, count = _MARKED_IN_RTF.subn(rb"\\xrev", _DELETED_IN_RTF.sub(rb"\\v", text))
    return accepted if count else b""


def _of_word(data: bytes) -> bytes:
    source = Compound(data)
    head, stream = source.text_of_word()
    if not _IN_OLD_WORD.search(head):
        return b""
    changed = bytearray(data)
    changed[source.place(stream, struct.unpack_from("<I", head, _PLACE)[0] + _AT)] &= ~_SHOWN
    return bytes(changed)
