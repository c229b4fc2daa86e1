"""A ZIP of documents is opened: each file in it becomes a part of its own, or the archive is refused by name."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.document import progress, sniff
from gateway.document.refusal import TooLong, Unfaxable
from gateway.model import MailPart

MAX_FILES = 100
MAX_BYTES = 200 << 20  # of all files in an archive
_RATIO = 200  # a document packed tighter is made to hurt, if it is large
_LARGE = 32 << 20  # bytes
_WINDOW = 1 << 20
_NAME = 120  # characters

_JUNK = re.compile(r"(^|/)(__MACOSX/.*|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_OFFICE_FILES = {"[Content_Types].xml", "mimetype"}


def unpack(path: str, part: dict[str, Any], directory: str) -> dict[str, Any]:
    """Worker function: the files of the archive ``part`` at ``path``, written into ``directory``.

    Returns ``parts`` (fields of :class:`~gateway.model.MailPart`) and ``left_out`` (``part``, ``type``, ``reason``), or no
    parts when it is an office document that only looks like an archive. Raises Unfaxable naming the archive.
    """
    archive = MailPart(**part)
    progress.begin(archive.name)
    try:
        with zipfile.ZipFile(path) as source:
            return _unpack(source, archive, Path(directory))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Unfaxable(f"{archive.name} is a damaged ZIP archive; send the files in it", repr(error)) from error


def _unpack(source: zipfile.ZipFile, archive: MailPart, directory: Path) -> dict[str, Any]:
    entries = [entry for entry in source.infolist() if not entry.is_dir()]
    if _OFFICE_FILES & {entry.filename for entry in entries}:
        return {"parts": [], "left_out": [], "office": True}
    if len(entries) > MAX_FILES:
        raise TooLong(f"{archive.name} holds {len(entries)} files, and {MAX_FILES} may be in a ZIP archive; send fewer")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unfaxable(
            f"{archive.name} is a ZIP archive with a password; send the files in it without", status="5.7.4"
        )
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise _too_large(archive.name)
    parts: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    room = MAX_BYTES
    for number, entry in enumerate(entries, 1):
        name = f"{_shown(entry.filename) or f'file {number}'} in {archive.name}"
        if _JUNK.search(entry.filename):
            left_out.append({"part": name, "type": sniff.UNKNOWN, "reason": "it holds nothing to print"})
            continue
        path = directory / f"{number:03}.part"
        size = _copy(source, entry, path, room, archive.name)
        room -= size
        if sniff.sniff(path) in (sniff.ZIP, sniff.ARCHIVE):
            raise Unfaxable(f"{name} is an archive within an archive; send the files in it")
        parts.append(
            asdict(
                replace(archive, path=str(path), name=name, size=size, charset=None, content_id=None, referenced=False)
            )
        )
    if not parts:
        raise Unfaxable(f"{archive.name} is a ZIP archive without a document in it")
    return {"parts": parts, "left_out": left_out, "office": False}


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


def _too_large(name: str) -> TooLong:
    return TooLong(
        f"{name} is a ZIP archive that holds more than a fax may have; send the files in it, fewer at a time"
    )


def _shown(claimed: str) -> str:
    """A claimed name as one to show; on disk it is none."""
    name = PurePosixPath(_CONTROLS.sub("", claimed).replace("\\", "/")).name.strip()
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
