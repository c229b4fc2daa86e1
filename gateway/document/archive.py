"""A ZIP of documents is opened: each file in it becomes a part of its own, or the archive is refused by name."""

from __future__ import annotations

import errno
import lzma
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

from gateway.document import locks, progress, sniff
from gateway.document.refusal import TooLong, Unfaxable, file_name
from gateway.model import MailPart

MAX_FILES = 100
MAX_BYTES = 200 << 20  # of all files in the archives of a mail
_ENTRIES = 4 * MAX_FILES  # with what Macs put beside each, and into each folder
_RATIO = 200  # a document packed tighter is made to hurt, if it is large
_LARGE = 32 << 20  # bytes
_WINDOW = 1 << 20

_JUNK = re.compile(
    r"(^|/)(__MACOSX/.*|\.DS_Store|\._[^/]*|\.localized|Icon\r|(?:eh)?Thumbs\.db|desktop\.ini|\.?Picasa\.ini|\.nomedia|~\$[^/]*|\.~lock\.[^/]*#)$",
    re.IGNORECASE,
)
_NUMBER, _DIGITS = re.compile(r"\d+"), 20
_OFFICE_FILES = {"[Content_Types].xml", "mimetype"}
_OFFICE_PARTS = ("word/", "xl/", "ppt/", "visio/", "content.xml")  # of what LibreOffice reads; XPS and EPUB have none
_OFFICE_PAGES = re.compile(r"(?:word|xl|ppt)/.*\.xml$")  # XML, whatever else they are
_IWORK = re.compile(r".*\.iwa|index\.apxl(?:\.gz)?|buildVersionHistory\.plist")
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, LookupError, struct.error,
)  # fmt: skip
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_LOCKED, _PATCH, _STRONGLY_LOCKED = 0x1, 0x20, 0x40  # flags of an entry
_IS_UTF8 = 0x800  # of its name
_HEAD = re.compile(rb"(?:[!-9;-~]++:[^\n]*+\n(?:[ \t][^\n]*+\n)*+){3,}")  # possessive: lines set in are many
# not of a memo
_OF_MAILS = re.compile(rb"^(?:message-id|mime-version|received|return-path):", re.IGNORECASE | re.MULTILINE)


def _is_of_the_disk(error: Exception) -> bool:
    """Not of what was read: errors of bz2 have no number, and a false offset in an archive is an invalid argument."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def unpack(
    path: str, part: dict[str, Any], directory: str, files: int = MAX_FILES, room: int = MAX_BYTES
) -> dict[str, Any]:
    """Worker function: the files of the archive ``part`` at ``path``, written into ``directory``.

    Returns ``parts`` (fields of :class:`~gateway.model.MailPart`) and ``left_out`` (``part``, ``type``, ``reason``), or no
    parts when it is an office document that only looks like an archive. ``files`` and ``room``: how many files, and bytes of
    them, there may be. Raises Unfaxable naming the archive, and OSError for trouble with the disk.
    """
    archive = MailPart(**part)
    progress.begin(archive.name)
    try:
        with zipfile.ZipFile(path) as source:
            return _unpack(source, archive, Path(directory), files, room)
    except _BROKEN as error:
        if _is_of_the_disk(error):
            raise
        is_office = sniff.sniff(Path(path)) == sniff.OFFICE
        kind = "office document; send it again" if is_office else "ZIP archive; send the files in it"
        raise Unfaxable(f"{archive.name} is a damaged {kind}", repr(error)) from error
    except NotImplementedError as error:  # a newer kind of archive than is known here
        raise _unknown(archive.name, repr(error)) from error


def _unpack(source: zipfile.ZipFile, archive: MailPart, directory: Path, files: int, room: int) -> dict[str, Any]:
    entries = _files(source)
    if any(_IWORK.fullmatch(entry.filename) for entry in entries):
        raise Unfaxable(
            f"{archive.name} is a document of Pages, Numbers or Keynote, which only Apple's programs can print; export it to PDF"
            " and send that"
        )
    if _OFFICE_FILES & {entry.filename for entry in entries}:
        locks.check_package(source, archive.name)
        _check_document(source, entries, archive.name)
        return {"parts": [], "left_out": [], "office": True}
    _check_archive(entries, archive.name, files, room)
    parts: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for number, entry in enumerate(sorted(entries, key=_place), 1):
        name = f"{file_name(_named(entry)) or f'file {number}'} in {archive.name}"
        if _JUNK.search(entry.filename):
            left_out.append({"part": name, "type": sniff.UNKNOWN, "reason": "it holds nothing to print"})
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):  # of Unix
            raise Unfaxable(f"{name} is only a link to a document; send the document itself")
        path = directory / f"{number:03}.part"
        size = _copy(source, entry, path, room, archive.name)
        room -= size
        # empty and of another kind it is a document that was lost
        if not size and entry.filename.lower().endswith(sniff.TEXT_NAMES):
            left_out.append({"part": name, "type": sniff.TEXT, "reason": "it is empty"})
            continue
        _check_file(path, name)
        parts.append(asdict(replace(
            archive, path=str(path), name=name, size=size, charset=None, content_id=None, referenced=False, logo=False
        )))  # fmt: skip
    if not parts:
        raise Unfaxable(f"{archive.name} is a ZIP archive without a document in it")
    return {"parts": parts, "left_out": left_out, "office": False}


def _check_archive(entries: list[zipfile.ZipInfo], name: str, files: int, room: int) -> None:
    """Refuse an archive of more than so many files, or bytes of them, and one that cannot be looked into."""
    printed = sum(not _JUNK.search(entry.filename) for entry in entries)
    if printed > files or len(entries) > _ENTRIES:
        others = " and the ZIP archives before it hold" if files < MAX_FILES else " holds"
        count = (printed if printed > files else len(entries)) + MAX_FILES - files
        raise TooLong(f"{name}{others} {count} files, and the ZIP archives of a mail may hold {MAX_FILES}; send fewer")
    if any(entry.flag_bits & (_LOCKED | _STRONGLY_LOCKED) for entry in entries):
        raise Unfaxable(f"{name} is a ZIP archive with a password; send the files in it without one", status="5.7.4")
    if any(entry.compress_type not in _METHODS or entry.flag_bits & _PATCH for entry in entries):
        raise _unknown(name)
    if sum(entry.file_size for entry in entries) > room:
        raise _too_large(name)


def _check_document(source: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> None:
    """Refuse a package that is no office document, and one of which something is damaged, which LibreOffice leaves out without a word,
    or cannot be looked into.
    """
    if not any(entry.filename.startswith(_OFFICE_PARTS) for entry in entries):
        raise Unfaxable(
            f"{name} is an e-book (EPUB), a print file (XPS), a template of styles only or another kind of package, which cannot be"
            " faxed from here; print it to a PDF and send that"
        )
    for entry in entries:
        if entry.flag_bits & (_LOCKED | _STRONGLY_LOCKED | _PATCH) or entry.compress_type not in _METHODS:
            raise Unfaxable(
                f"{name} is an office document packed in a way that is not known here; save it again, or print it to a PDF and"
                " send that",
                entry.filename,
            )
        is_page = bool(_OFFICE_PAGES.match(entry.filename)) and entry.file_size > 0
        parser = expat.ParserCreate()
        try:
            with source.open(entry) as packed:
                while window := packed.read(_WINDOW):
                    if is_page:
                        parser.Parse(window)
            if is_page:
                parser.Parse(b"", True)
        except (*_BROKEN, expat.ExpatError) as error:
            if _is_of_the_disk(error):
                raise
            raise Unfaxable(
                f"{name} is a damaged office document; send it again", f"{entry.filename}: {error}"
            ) from error


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, room: int, archive: str) -> int:
    """Write a file of the archive; what it says of its size is not believed."""
    size = 0
    with source.open(entry) as packed, path.open("xb") as out:
        while window := packed.read(_WINDOW):
            size += len(window)
            if size > room or (size > _LARGE and size > _RATIO * max(1, entry.compress_size)):
                raise _too_large(archive)
            out.write(window)
    return size


def _check_file(path: Path, name: str) -> None:
    if sniff.sniff(path) in (sniff.ZIP, sniff.ARCHIVE):
        raise Unfaxable(f"{name} is an archive within an archive; send the files in it")
    if _is_mail(path):
        raise Unfaxable(f"{name} is a mail in an archive; attach the mail itself, or print it to PDF")


def _is_mail(path: Path) -> bool:
    """Whether it is a saved mail: as a text it would be pages of its encoding."""
    head = _HEAD.match(sniff.start_of(path))
    return bool(head and _OF_MAILS.search(head[0]))


def _unknown(name: str, detail: str = "") -> Unfaxable:
    return Unfaxable(
        f"{name} is a ZIP archive packed in a way that is not known here; pack it as an ordinary ZIP, or send the files in it",
        detail,
    )


def _too_large(name: str) -> TooLong:
    return TooLong(
        f"{name} is a ZIP archive that holds more than a fax may have; send the files in it, fewer at a time"
    )


def _files(source: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in source.infolist() if not _is_folder(entry)]
    if any("\0" in entry.orig_filename for entry in entries):  # Python's zipfile goes on without what follows
        raise zipfile.BadZipFile("a name with NUL")
    return entries


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    """Old programs of Windows write its name with a backslash."""
    return entry.is_dir() or (entry.filename.endswith("\\") and not entry.file_size)


def _named(entry: zipfile.ZipInfo) -> str:
    """Its name, which Macs write in UTF-8 without saying so."""
    if entry.flag_bits & _IS_UTF8 or entry.filename.isascii():
        return entry.filename
    try:
        return unicodedata.normalize("NFC", entry.filename.encode("cp437").decode("utf-8"))
    except UnicodeError:
        return entry.filename


def _place(entry: zipfile.ZipInfo) -> str:
    """What to sort files by, that they stand as their sender sees them: by name, page 2 before page 10. In the archive they
    stand as programs met them on a disk.
    """
    return _NUMBER.sub(lambda number: number[0].zfill(_DIGITS), _named(entry).casefold())
