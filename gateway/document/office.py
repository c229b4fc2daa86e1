"""Office documents become PDF by LibreOffice, where it is installed, through the library it is made of (LibreOfficeKit).

It is loaded in the process of the job, which is thrown away with it: no program is started. Its profile is thrown away
too; macros do not run in it and nothing is loaded from elsewhere, which the walls (:mod:`gateway.document.walls`) make sure of.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pypdfium2

from gateway.document import (
    characters,
    libreoffice,
    locks,
    officefields,
    officefonts,
    officepictures,
    officesigns,
    package,
    progress,
    revisions,
    sniff,
    text,
    unprinted,
    unseen,
)
from gateway.document.refusal import Unfaxable

_EXTENSIONS = {  # its content tells what it is; but "odt" is believed
    sniff.OFFICE: "docx", sniff.OLE: "doc", sniff.RTF: "rtf", sniff.OFFICE_XML: "xml",
}  # fmt: skip
_OFFICE_NAMES = {".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm"}
_OF_ARCHIVE = re.compile(r" in [^/]*\.zip\Z", re.IGNORECASE)
_UNSAFE, _LONGEST_NAME = re.compile(r"[^\w .,()&+=@'-]"), 60
_RTF = b"{\\rtf"
_ROOM = 4 << 20  # bytes
_MESSAGE = "__substg1.0_".encode("utf-16-le")  # how the streams of a mail begin that Outlook has saved
_NOT_SAVED = "impl_store"  # it says where it could load a document and make no page of it
_NO_ROOM = "###"  # Calc writes in place of a number that its column has no room for
_LOOKED_AT = 500  # pages, for words on them: there may be thousands, and few faxes are as long
# LibreOfficeKit.h: places in the tables of functions, behind their size
_DOCUMENT_LOAD, _GET_ERROR, _SAVE_AS, _DOCUMENT_TYPE = 1, 2, 1, 2
_WITHOUT_COMMENTS = b'{"ExportNotes":{"type":"boolean","value":"false"}}'  # a PDF
_WITHOUT_XML = {sniff.OLE, sniff.RTF}  # what the words of their texts are LibreOffice is asked
_UNSEEN = re.compile(r"hidden text|tracked changes")  # told of words that it would give too
_PLAIN = b"UTF8,LF"  # a text
_TEXTS, _TABLES = 0, 1  # types of documents
_SETTINGS = (
    ("/org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("/org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("/org.openoffice.Office.Common/Load", "UpdateDocMode", "0"),  # fields and links stay as they were saved
    ("/org.openoffice.Office.Calc/Content/Update", "Link", "2"),
    ("/org.openoffice.Office.Writer/Content/Update", "Link", "2"),
    ("/org.openoffice.Office.Java/VirtualMachine", "EnableJava", "false"),
)
# Calc's input line, which lacks its files where there are no windows (Debian's nogui packages): no table is loaded then
_NO_INPUT_LINE = (
    '<item oor:path="/org.openoffice.Office.Views/Windows"><node oor:name="26100" oor:op="replace">'
    '<prop oor:name="Visible" oor:op="fuse"><value>false</value></prop></node></item>'
)


def to_pdf(path: str, kind: str, name: str, directory: str, office: str) -> dict[str, str]:
    """Worker function: the document of an office ``kind`` at ``path`` as a PDF in ``directory``; returns its ``path``, and a
    ``note`` on what is not in it.

    ``office`` is the directory of LibreOffice's programs. Raises Unfaxable, naming the document by ``name``;
    OSError when the disk is full.
    """
    progress.begin(name)
    old = _old(Path(path))
    locks.check_compound(old, name)
    if _MESSAGE in old:
        raise Unfaxable(sniff.SAVED_MAIL.format(name))
    work = Path(directory)
    source, kind = _copied(Path(path), kind, name, work)
    notes = list(filter(None, _settle(source, kind, name, office)))
    profile = work / "profile"
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_settings(), encoding="utf-8")
    os.environ |= {"HOME": str(profile), "TMPDIR": str(profile), "SAL_USE_VCLPLUGIN": "svp"}
    os.chdir(profile)
    officefonts.settle(source, kind)
    made = work / "document.pdf"
    # of comments that we did not find its notes tell, in the PDF
    options = _WITHOUT_COMMENTS if any("comment" in each for each in notes) else None
    plain = work / "words.txt" if kind in _WITHOUT_XML and not any(_UNSEEN.search(each) for each in notes) else None
    said, is_table = _convert(Path(office), profile, source, made, options, plain)
    if not made.is_file() or not made.stat().st_size:
        if locks.has_password(old):
            raise locks.protected(name)
        (work / "room").write_bytes(bytes(_ROOM))  # it says the same of a full disk: OSError then
        if _NOT_SAVED in said and any("hidden slide" in each for each in notes):
            raise Unfaxable(f"{name} has no slide to print: all are hidden; show those that are to be faxed", said)
        lacks = libreoffice.lacking(office)
        other = f", or of a kind it lacks here ({', '.join(lacks)})" if lacks else ""
        raise Unfaxable(
            f"{name} cannot be read by LibreOffice: it is damaged, protected by a password, or needs more memory than a fax may"
            f" have{other}; print it to a PDF and send that",
            said,
        )
    printed = words(made)
    if is_table and (page := next((number for number, said in enumerate(printed, 1) if _NO_ROOM in said.split()), 0)):
        raise Unfaxable(
            f"{name} shows ### instead of numbers on page {page} when printed: its columns are too narrow; make them wider, or"
            " print it to a PDF and send that"
        )
    if len(printed) <= _LOOKED_AT:
        given = plain if plain and plain.is_file() else None
        notes += [*unprinted.undrawn(source, printed), *unseen.told(source, printed, given)]
    text.look_for(characters.of(source, kind, made))
    return {"path": str(made), "note": "; ".join([*notes, *progress.notes()])}


def _copied(path: Path, kind: str, name: str, work: Path) -> tuple[Path, str]:
    """Our copy of a document, which may be written anew, and its kind."""
    source = work / _called(name, kind)
    shutil.copyfile(path, source)
    if kind == sniff.RTF and (start := (rich := source.read_bytes()).find(_RTF)) > 0:
        source.write_bytes(rich[start:])
    if kind == sniff.OFFICE_XML and (unpacked := package.of_one_xml(source, name)):
        return unpacked, sniff.OFFICE
    return source, kind


def _settle(source: Path, kind: str, name: str, office: str) -> Iterator[str]:
    """Write a document anew so that LibreOffice prints it as its own program does; what is to be said of it, or "". Raises Unfaxable
    where it would leave something out that cannot be told.
    """
    if "formulas" in libreoffice.lacking(office) and unprinted.has_formulas(source):
        raise Unfaxable(
            f"{name} holds formulas, which cannot be printed here (a part of LibreOffice is missing); print it to a PDF and send that"
        )
    if unprinted.has_insertions(source):
        raise Unfaxable(
            f"{name} has text of another kind inserted (HTML, say), which LibreOffice leaves out; save it again with Word, or print"
            " it to a PDF and send that"
        )
    yield from unprinted.left_out(source, kind)
    yield revisions.accept(source, kind)
    if kind == sniff.OFFICE:
        yield from officepictures.settle(source, name)
        officesigns.settle(source)
    else:
        officepictures.check(source, kind, name)
    officefields.settle(source, kind)


def _called(name: str, kind: str) -> str:
    """A name for our copy of a document that is called so: it may print its own, in its foot, say."""
    given = Path(_OF_ARCHIVE.sub("", name))
    stem = _UNSAFE.sub("_", given.stem)[:_LONGEST_NAME].strip(" .") or "document"
    known = kind == sniff.OFFICE and given.suffix.lower() in _OFFICE_NAMES
    return f"{stem}{given.suffix.lower() if known else f'.{_EXTENSIONS[kind]}'}"


def _old(path: Path) -> bytes:
    """What an OLE file holds, b"" of any other."""
    data = path.read_bytes()
    return data if sniff.sniff_bytes(data) == sniff.OLE else b""


def words(made: Path) -> list[str]:
    """The text of each page of a print, with one page more than are looked at where there are more."""
    with pypdfium2.PdfDocument(made) as document:
        return [page.get_textpage().get_text_bounded() for page in islice(document, _LOOKED_AT + 1)]


# --- the kit ----------------------------------------------------------------------------------------------------------


def _convert(
    office: Path, profile: Path, source: Path, made: Path, options: bytes | None, plain: Path | None
) -> tuple[str, bool]:
    """Have it load and save, the words of a text as ``plain`` too; returns what it said about a failure, and whether it is a table."""
    library = libreoffice.kit(office)
    if library is None:
        return "LibreOffice is gone", False
    hook = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL).libreofficekit_hook_2
    hook.restype, hook.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
    kit = hook(os.fsencode(office), profile.as_uri().encode())
    if not kit:
        return "LibreOffice did not start", False
    document = _function(kit, _DOCUMENT_LOAD, ctypes.c_void_p, 1)(kit, source.as_uri().encode())
    if document and _function(document, _SAVE_AS, ctypes.c_int, 3)(document, made.as_uri().encode(), b"pdf", options):
        its = _function(document, _DOCUMENT_TYPE, ctypes.c_int, 0)(document)
        if plain and its == _TEXTS:
            _function(document, _SAVE_AS, ctypes.c_int, 3)(document, plain.as_uri().encode(), b"txt", _PLAIN)
        return "", its == _TABLES
    said = _function(kit, _GET_ERROR, ctypes.c_char_p, 0)(kit)
    return said.decode("utf-8", "replace") if said else "", False


def _function(thing: int, place: int, result: Any, texts: int) -> Any:
    """A function of a LibreOfficeKit object, which takes that many texts: its first member points to their table."""
    table = ctypes.cast(thing, ctypes.POINTER(ctypes.c_void_p))[0]
    address = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[1 + place]
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *[ctypes.c_char_p] * texts)(address)


def _settings() -> str:
    items = "".join(
        f'<item oor:path="{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
        for path, name, value in _SETTINGS
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><oor:items xmlns:oor="http://openoffice.org/2001/registry"'
        f' xmlns:xs="http://www.w3.org/2001/XMLSchema">{items}{_NO_INPUT_LINE}</oor:items>'
    )
