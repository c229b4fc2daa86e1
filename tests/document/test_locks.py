"""Office documents that do not open are refused with the reason: a password, rights, damage, nothing that is shown."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import pytest

from gateway.document import libreoffice, locks
from gateway.document.refusal import Unfaxable

from . import made_office
from .made_compound import compound, doc
from .test_opening import Sender, needs_office, pool, sender, zipped

behind_walls = pytest.mark.asyncio(loop_scope="module")
LIBRE_OFFICE = libreoffice.find(libreoffice.AUTO)
PASSWORD = "offer is protected by a password; send it without one, or print it to a PDF"
__all__ = ["pool", "sender"]  # fixtures


def _record(kind: int, size: int) -> bytes:
    return struct.pack("<HH", kind, size) + bytes(size)


def _word(flags: int) -> bytes:
    return compound({"WordDocument": struct.pack("<HHxxxxxxxB", 0xA5EC, 0xC1, flags) + bytes(900), "1Table": bytes(9)})


def _manifest(locked: str) -> bytes:
    entries = "".join(
        f'<manifest:file-entry manifest:full-path="{name}" manifest:media-type="text/xml"'
        + ("><manifest:encryption-data/></manifest:file-entry>" if name == locked else "/>")
        for name in ("/", "content.xml", "encrypted-package", "Basic/Standard/Module1.xml")
    )
    return f"<manifest:manifest>{entries}</manifest:manifest>".encode()


def _open(locked: str) -> bytes:
    kind = b"application/vnd.oasis.opendocument.text"
    return zipped({"mimetype": kind, "encrypted-package": b"x", "META-INF/manifest.xml": _manifest(locked)})


@pytest.mark.parametrize(
    ("data", "has_one"),
    [
        (_word(0x13), True),
        (_word(0x12), False),
        (compound({"Workbook": _record(0x809, 16) + _record(0x2F, 54) + _record(0x0A, 0)}), True),
        (compound({"Book": _record(0x809, 6) + _record(0x2F, 4)}), True),
        (compound({"Workbook": _record(0x809, 16) + _record(0x0A, 0)}), False),
        (compound({"Current User": bytes(12) + b"\xdf\xc4\xd1\xf3" + bytes(8)}), True),
        (compound({"Current User": bytes(12) + b"\x5f\xc0\x91\xe3" + bytes(8)}), False),
        (doc(0), False),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", False),
        (b"", False),
    ],
)  # fmt: skip
def test_an_old_document_says_whether_it_has_a_password(data: bytes, has_one: bool) -> None:
    assert locks.has_password(data) is has_one


@behind_walls
async def test_an_old_document_with_a_password_is_refused_for_that(sender: Sender) -> None:
    assert await sender.refused(_word(0x13), "offer", "/nowhere") == PASSWORD
    assert "cannot be read by LibreOffice" in await sender.refused(_word(0x12), "offer", "/nowhere")


@pytest.mark.parametrize("name", ["\tDRMContent", "DRMEncryptedTransform"])
def test_rights_are_no_password(name: str) -> None:
    with pytest.raises(Unfaxable, match=r"offer is protected by usage rights \(IRM, a sensitivity label\)"):
        locks.check_compound(compound({name: b"x", "EncryptedPackage": b"x", "WordDocument": b"x"}), "offer")


@behind_walls
async def test_an_open_document_with_a_password_is_refused_for_that(sender: Sender) -> None:
    for locked in ("content.xml", "encrypted-package"):
        assert await sender.refused(_open(locked), "offer", "/nowhere") == PASSWORD
    assert "protected" not in await sender.refused(_open("Basic/Standard/Module1.xml"), "offer", "/nowhere")


@pytest.mark.parametrize("document", [made_office.docx, made_office.xlsx, made_office.pptx])
@behind_walls
async def test_an_office_document_that_breaks_off_is_called_no_archive(
    sender: Sender, document: Callable[[], bytes]
) -> None:
    said = await sender.refused(document()[:-30], "offer", "/nowhere")
    assert said == "offer is a damaged office document; send it again"


@pytest.mark.parametrize("document", [made_office.word_2003, made_office.excel_2003, partial(made_office.flat, "text")])
@behind_walls
async def test_one_xml_that_breaks_off_is_refused(sender: Sender, document: Callable[[], bytes]) -> None:
    """LibreOffice would make a blank page of a table."""
    for damaged in (document()[:-30], document().replace(b">Word<", b">Ann & Bob<")):
        said = await sender.refused(damaged, "offer", "/nowhere")
        assert said == "offer is a damaged office document; send it again"
    for known in (document() + b"\r\n<x/>", document().replace(b"?>", b' encoding="gb2312"?>', 1)):
        assert "cannot be read by LibreOffice" in await sender.refused(known, "offer", "/nowhere")  # it was asked


@needs_office
@pytest.mark.system
@behind_walls
async def test_a_show_of_hidden_slides_is_refused_with_the_remedy(sender: Sender) -> None:
    hidden = made_office.changed(made_office.pptx(), "ppt/slides/slide1.xml", b"<p:sld ", b'<p:sld show="0" ')
    said = await sender.refused(hidden, "offer", LIBRE_OFFICE)
    assert said == "offer has no slide to print: all are hidden; show those that are to be faxed"
