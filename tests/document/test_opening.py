"""Archives are unpacked, office documents become PDF: each file inside is pages, or the mail is refused by its name."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pillow_heif
import pypdfium2
import pytest
import pytest_asyncio

from gateway.document import archive, libreoffice, office
from gateway.document.opening import opened
from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater

from . import made_office
from .conftest import Fax
from .made import letters, photo

behind_walls = pytest.mark.asyncio(loop_scope="module")
LIBRE_OFFICE = libreoffice.find(libreoffice.AUTO)
RICH = rb"{\rtf1\ansi\ansicpg1252 Dear Ann,\par here is \b the\b0 offer.\page Second page.}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1, WorkerLimits(timeout=60))
    await pool.start()
    yield pool
    await pool.close()


class Sender:
    """Sends a mail's parts through the whole way."""

    def __init__(self, pool: WorkerPool, fax: Fax, directory: Path) -> None:
        self._pool, self._fax, self._directory = pool, fax, directory

    async def send(self, *parts: dict[str, Any], place: str = "") -> list[str]:
        """What the ledger says."""
        from gateway.model import LedgerEntry

        found = await opened(self._pool, {"parts": list(parts), "left_out": []}, self._directory, place)
        made = await self._pool.run(
            "gateway.document.render:render",
            parts=found["parts"], left_out=found["left_out"], out=str(self._fax.out), options={},
        )  # fmt: skip
        return [LedgerEntry(**entry).text for entry in made["ledger"]]

    async def refused(self, data: bytes, name: str = "papers.zip", place: str = "") -> str:
        with pytest.raises(Refused) as caught:
            await self.send(self._fax.part(name, data), place=place)
        assert name in caught.value.public
        return caught.value.public


@pytest.fixture
def sender(pool: WorkerPool, fax: Fax, tmp_path: Path) -> Sender:
    directory = tmp_path / "opened"
    directory.mkdir()
    return Sender(pool, fax, directory)


def zipped(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@behind_walls
async def test_each_file_of_an_archive_is_pages(sender: Sender, fax: Fax, kind: int) -> None:
    files = {
        "../letters/b.PDF": letters(2),
        "__MACOSX/letters/._b.PDF": b"x",
        "letters/~$etter.docx": b"\x03Ann",  # who has it open in Word
        "letters/.localized": b"",
        "letters/Icon\r": b"",  # of a folder of a Mac
        "a.txt": b"a note",
        "etc/x.pdf": letters(1),
        "z/Readme.TXT": b"",
    }
    said = await sender.send(
        fax.text("See the archive."), fax.part("papers.zip", zipped(files, kind)), fax.part("c.pdf", letters(1))
    )
    assert said == [
        "message text: page 1", "b.PDF in papers.zip: pages 2-3", "a.txt in papers.zip: page 4", "x.pdf in papers.zip: page 5",
        "c.pdf: page 6", "._b.PDF in papers.zip: left out, it holds nothing to print",
        ".localized in papers.zip: left out, it holds nothing to print", "Icon in papers.zip: left out, it holds nothing to print",
        "~$etter.docx in papers.zip: left out, it holds nothing to print", "Readme.TXT in papers.zip: left out, it is empty",
    ]  # fmt: skip


def test_what_macs_put_beside_each_file_is_none_of_so_many(fax: Fax, tmp_path: Path) -> None:
    files = {f"{place}{number}.txt": b"x" for number in range(100) for place in ("", "__MACOSX/._")}
    part = fax.part("papers.zip", zipped(files))
    made = archive.unpack(part["path"], part, str(tmp_path))
    assert (len(made["parts"]), len(made["left_out"])) == (100, 100)


@behind_walls
async def test_files_of_an_archive_stand_in_the_order_of_their_names(sender: Sender, fax: Fax) -> None:
    wanted = ["a/1.txt", f"a/{'9' * 30}.txt", "scan.txt", "scan1.txt", "Scan2.txt", "scan10.txt"]
    as_on_some_disk = [wanted[n] for n in (5, 0, 4, 3, 1, 2)]
    said = await sender.send(fax.part("papers.zip", zipped(dict.fromkeys(as_on_some_disk, b"words"))))
    assert [line.split(" in ")[0] for line in said] == [name.removeprefix("a/") for name in wanted]


@behind_walls
async def test_a_link_in_an_archive_is_no_document(sender: Sender) -> None:
    entry = zipfile.ZipInfo("offer.pdf")
    entry.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr(entry, "../offers/offer.pdf")
    said = await sender.refused(out.getvalue())
    assert said == "offer.pdf in papers.zip is only a link to a document; send the document itself"


@behind_walls
async def test_a_folder_in_an_archive_of_old_windows_is_none_of_its_files(sender: Sender, fax: Fax) -> None:
    names, folder = zipped({"a\\b.txt": b"words"}), zipfile.ZipInfo("a")
    folder.filename = "a\\"
    out = io.BytesIO(names)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(folder, b"")
    assert await sender.send(fax.part("papers.zip", out.getvalue())) == ["b.txt in papers.zip: page 1"]


@behind_walls
async def test_a_name_in_an_archive_of_a_mac_is_read(sender: Sender, fax: Fax) -> None:
    name = "U\u0308bersicht.txt".encode()
    made = zipped({"x" * len(name): b"a note"}).replace(b"x" * len(name), name)  # nothing says that it is UTF-8
    assert await sender.send(fax.part("papers.zip", made)) == ["Übersicht.txt in papers.zip: page 1"]
    made = made.replace(name, "Übersicht_.txt".encode("cp437").ljust(len(name), b"_"))
    assert await sender.send(fax.part("papers.zip", made)) == ["Übersicht_.txt_ in papers.zip: page 1"]


def locked() -> bytes:
    data = bytearray(zipped({"a.pdf": letters(1)}))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + at] |= 1
    return bytes(data)


def lying(claimed: int) -> bytes:
    """An archive that says its file of 64 MB is small."""
    data = bytearray(zipped({"a.txt": b"\n" * (64 << 20)}))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, claimed)
    struct.pack_into("<I", data, 22, claimed)
    return bytes(data)


def overlapping() -> bytes:
    """Many entries that are one piece of data."""
    data = zipped({"a.txt": b"\n" * (8 << 20)})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    directory = b"".join(entry.replace(b"a.txt", b"%05d" % n) for n in range(90))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 90, 90, len(directory))
    return data[:start] + directory + bytes(tail)


def marked(flags: int, method: int = 8, made: bytes | None = None) -> bytes:
    """An archive whose one entry says such things of itself."""
    data = bytearray(made or zipped({"a.pdf": letters(1)}))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<HH", data, data.index(sign) + at, flags, method)
    return bytes(data)


def spoiled(kind: int) -> bytes:
    data = bytearray(zipped({"a.txt": bytes(range(256)) * 40}, kind))
    data[60:80] = b"\x5a" * 20
    return bytes(data)


SAVED = b"From: Ann <ann@example.org>\r\nTo: b@example.org\r\nSubject: Lease,\r\n as agreed\r\nMIME-Version: 1.0\r\n\r\nText\r\n"


@behind_walls
async def test_a_memo_in_an_archive_is_no_mail(sender: Sender, fax: Fax) -> None:
    memo = b"From: Ann\r\nTo: all\r\nSubject: Keys\r\nDate: today\r\n\r\nThe Message-ID: of a mail is long.\r\n"
    said = await sender.send(fax.part("papers.zip", zipped({"memo.txt": memo})))
    assert said == ["memo.txt in papers.zip: page 1"]


@behind_walls
async def test_a_list_that_is_set_in_takes_no_longer_than_other_texts(sender: Sender, fax: Fax) -> None:
    memo = b"Agenda:\r\n" + b"  - a point\r\n" * 40 + b"Regards\r\n"
    said = await sender.send(fax.part("papers.zip", zipped({"memo.txt": memo})))
    assert said == ["memo.txt in papers.zip: page 1"]


@behind_walls
async def test_the_archives_of_a_mail_hold_together_what_one_may(
    sender: Sender, fax: Fax, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [fax.part(f"{n}.zip", zipped({f"{each}.txt": b"x" for each in range(60)})) for n in range(2)]
    with pytest.raises(
        Refused,
        match=r"1\.zip and the ZIP archives before it hold 120 files, and the ZIP archives of a mail may hold 100;",
    ):
        await sender.send(*many)
    monkeypatch.setattr("gateway.document.archive.MAX_BYTES", 30_000)
    large = [fax.part(f"{n}.zip", zipped({"a.txt": b"x" * 20_000})) for n in range(2)]
    with pytest.raises(Refused, match=r"1\.zip is a ZIP archive that holds more"):
        await sender.send(*large)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_trouble_of_ours_is_no_damage_of_the_archive(
    fax: Fax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_arguments: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(archive, "_copy", full)
    part = fax.part("papers.zip", zipped({"a.txt": b"x"}))
    with pytest.raises(OSError, match=os.strerror(number)):
        archive.unpack(part["path"], part, str(tmp_path))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (marked(0x41), "a ZIP archive with a password"),
        (marked(0, 9), "packed in a way that is not known here"),
        (marked(0x20), "packed in a way that is not known here"),
        (spoiled(zipfile.ZIP_LZMA), "damaged"),
        (spoiled(zipfile.ZIP_BZIP2), "damaged"),
        (spoiled(zipfile.ZIP_DEFLATED), "damaged"),
        (zipped({"re.eml": SAVED}), "re.eml in papers.zip is a mail in an archive"),
        (zipped({"re.txt": SAVED.replace(b"\r\n", b"\n")}), "re.txt in papers.zip is a mail in an archive"),
        (locked(), "a ZIP archive with a password"),
        (zipped({"x.zip": zipped({"a": b"a"})}), "an archive within an archive"),
        (b"7z\xbc\xaf\x27\x1c", "a compressed archive that cannot be opened here; send the files in it, or pack them as ZIP"),
        (zipped({"x.7z": b"7z\xbc\xaf\x27\x1c"}), "an archive within an archive"),
        (zipped({f"{n}.txt": b"x" for n in range(101)}), "holds 101 files, and the ZIP archives of a mail may hold 100;"),
        (zipped({"a.txt": b"x" * (300 << 20)}), "holds more than a fax may have"),
        (lying(100), "damaged"),
        (lying(64 << 20), "holds more than a fax may have"),
        (overlapping(), "holds more than a fax may have|damaged"),
        (zipped({}), "damaged|without a document"),
        (zipped({f"__MACOSX/{n}": b"x" for n in range(401)}), "holds 401 files, and the ZIP archives of a mail may hold 100;"),
        (zipped({"__MACOSX/x": b"x"}), "without a document"),
        (zipped({"a.pdf": letters(1)})[:-30], "damaged"),
        (zipped({"a.pdf": letters(1)}).replace(b"a.pdf", b"\0.pdf"), "damaged"),
        (zipped({"a.pdf": letters(1)}, zipfile.ZIP_STORED).replace(b"%%EOF", b"%%EOX"), "damaged"),
        (zipped({"a.exe": b"MZ\0\0"}), "a program"),
        (zipped({"preview.jpg": b"x", "Index/Document.iwa": b"x"}), "Pages, Numbers or Keynote"),
        (zipped({"index.xml": b"<x/>", "buildVersionHistory.plist": b"x"}), "Pages, Numbers or Keynote"),
        (zipped({"mimetype": b"application/epub+zip", "OEBPS/a.xhtml": b"<html>"}), r"EPUB\), a print file \(XPS\)"),
        (zipped({"[Content_Types].xml": b"<x/>", "FixedDocSeq.fdseq": b"<x/>"}), r"EPUB\), a print file \(XPS\)"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "styles.xml": b"<x/>"}), "a template of styles only"),
        (zipped({"empty.pdf": b""}), "empty"),
    ],
)  # fmt: skip
@behind_walls
async def test_an_archive_that_is_no_set_of_documents_is_refused(sender: Sender, data: bytes, why: str) -> None:
    import re

    assert re.search(why, await sender.refused(data))


# --- office documents -------------------------------------------------------------------------------------------------


@behind_walls
async def test_without_libreoffice_it_is_named(sender: Sender) -> None:
    said = await sender.refused(RICH, "letter.rtf")
    assert said.endswith(
        "an RTF document, which cannot be printed here, as this gateway has no LibreOffice; send it as PDF"
    )


def _has_narrow_font() -> bool:
    listed = shutil.which("fc-list") and subprocess.run(["fc-list", ":", "family"], capture_output=True, check=True)
    return bool(listed) and any(
        font in listed.stdout for font in (b"Carlito", b"Liberation Sans Narrow", b"Nimbus Sans Narrow")
    )


needs_office = pytest.mark.skipif(not LIBRE_OFFICE, reason="needs LibreOffice")


@needs_office
@pytest.mark.system
@behind_walls
async def test_an_office_document_becomes_its_pages(sender: Sender, fax: Fax) -> None:
    archive = zipped({"letter.rtf": b"\xef\xbb\xbf" + RICH})
    said = await sender.send(fax.part("letters.zip", archive), place=LIBRE_OFFICE)
    assert said == ["letter.rtf in letters.zip: pages 1-2"]


@pytest.mark.parametrize(
    "data",
    [
        made_office.docx(), made_office.xlsx(), made_office.pptx(),
        *(made_office.opendocument(kind) for kind in ("text", "spreadsheet", "presentation")),
        *(made_office.flat(kind) for kind in ("text", "spreadsheet")), made_office.word_2003(), made_office.excel_2003(),
        made_office.labels(), made_office.one_xml(made_office.docx()), made_office.one_xml(made_office.pptx()),
    ],
    ids="docx xlsx pptx odt ods odp fodt fods word-2003 excel-2003 labels docx-xml pptx-xml".split(),
)  # fmt: skip
@needs_office
@pytest.mark.system
@behind_walls
async def test_every_kind_of_office_document_is_printed(
    pool: WorkerPool, fax: Fax, tmp_path: Path, data: bytes
) -> None:
    part = fax.part("unknown", data)
    found = await opened(pool, {"parts": [part], "left_out": []}, tmp_path, LIBRE_OFFICE)
    with pypdfium2.PdfDocument(found["parts"][0]["path"]) as document:
        assert len(document) == 1
        words = set(document[0].get_textpage().get_text_bounded().splitlines())
    assert {"Word"} <= words <= {"Word", "A", "Page 1"}  # a table has its name and the page around it


def _with_a_hidden_sheet(document: bytes) -> bytes:
    """A table of one XML, with a sheet that is hidden and has a print area of its own."""
    if b"<Worksheet " in document:
        area = b'<Names><NamedRange ss:Name="Print_Area" ss:RefersTo="=B!R1C1"/></Names><Table>'
        visible = b'<WorksheetOptions xmlns="urn:schemas-microsoft-com:office:excel"><Visible>SheetHidden</Visible></WorksheetOptions>'
        sheet = document[document.index(b"<Worksheet ") : document.index(b"</Worksheet>")].replace(b'"A"', b'"B"')
        hidden = sheet.replace(b"Word", b"Secret").replace(b"<Table>", area) + visible + b"</Worksheet>"
        return document.replace(b"</Worksheet>", b"</Worksheet>" + hidden)
    sheet = document[document.index(b"<table:table ") : document.index(b"</office:spreadsheet>")]
    named = b'<table:table table:name="B" table:style-name="ta2" table:print-ranges="B.A1:B.A1"'
    hidden = sheet.replace(b'<table:table table:name="A"', named).replace(b"Word", b"Secret")
    style = b'<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style>'
    styles = b"<office:automatic-styles>" + style + b"</office:automatic-styles><office:body>"
    return document.replace(sheet, sheet + hidden).replace(b"<office:body>", styles)


@pytest.mark.parametrize("document", [made_office.excel_2003(), made_office.flat("spreadsheet")])
@needs_office
@pytest.mark.system
@behind_walls
async def test_a_hidden_sheet_is_not_printed(pool: WorkerPool, fax: Fax, tmp_path: Path, document: bytes) -> None:
    part = fax.part("unknown", _with_a_hidden_sheet(document))
    found = await opened(pool, {"parts": [part], "left_out": []}, tmp_path, LIBRE_OFFICE)
    with pypdfium2.PdfDocument(found["parts"][0]["path"]) as pages:
        assert ["Word" in page.get_textpage().get_text_bounded() for page in pages] == [True]


@needs_office
@pytest.mark.system
@behind_walls
async def test_a_table_whose_numbers_do_not_fit_into_its_columns_is_refused(sender: Sender) -> None:
    narrow = b'<cols><col min="1" max="1" width="2" customWidth="1"/></cols><sheetData><row r="2"><c r="A2"><v>12345</v></c></row>'
    data = made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"<sheetData>", narrow)
    said = await sender.refused(data, "prices.xlsx", LIBRE_OFFICE)
    assert said.startswith("prices.xlsx shows ### instead of numbers on page 1 when printed")


@pytest.mark.parametrize(
    ("measure", "shown"), [("Arial 10", "Calibri 11"), ("Calibri 11", "Arial 10")]
)  # as wide, in Excel
@pytest.mark.skipif(not _has_narrow_font(), reason="needs a narrow font")
@needs_office
@pytest.mark.system
@behind_walls
async def test_numbers_in_a_font_of_microsoft_fit_into_their_columns(
    pool: WorkerPool, fax: Fax, tmp_path: Path, measure: str, shown: str
) -> None:
    part = fax.part("prices.xlsx", made_office.in_two_fonts(12345678, measure, shown))
    found = await opened(pool, {"parts": [part], "left_out": []}, tmp_path, LIBRE_OFFICE)
    with pypdfium2.PdfDocument(found["parts"][0]["path"]) as document:
        assert "12345678" in document[0].get_textpage().get_text_bounded()


@pytest.mark.parametrize("name", ["Offer for Ann.docx", "Offer für Ann.xlsx", "offer"])
@needs_office
@pytest.mark.system
@behind_walls
async def test_a_choice_in_a_letter_is_printed_as_it_was_saved(
    pool: WorkerPool, fax: Fax, tmp_path: Path, name: str
) -> None:
    field = b'<w:r><w:fldChar w:fldCharType="%s"/></w:r>'
    code = b'<w:r><w:instrText xml:space="preserve"> IF "Ann" = "Bob" "Sir" "Madam" </w:instrText></w:r>'
    saved = field % b"begin" + code + field % b"separate" + b"<w:r><w:t>Madam</w:t></w:r>" + field % b"end"
    letter = made_office.changed(made_office.docx(), "word/document.xml", b"</w:p>", saved + b"</w:p>")
    found = await opened(pool, {"parts": [fax.part(name, letter)], "left_out": []}, tmp_path, LIBRE_OFFICE)
    with pypdfium2.PdfDocument(found["parts"][0]["path"]) as document:
        assert document[0].get_textpage().get_text_bounded() == "WordMadam"


@pytest.mark.parametrize("kind", ["docx", "rtf"])  # what it says itself, and what LibreOffice says of it
@needs_office
@pytest.mark.system
@behind_walls
async def test_characters_that_no_font_has_are_told_of_an_office_document(sender: Sender, fax: Fax, kind: str) -> None:
    data = {
        "docx": made_office.changed(
            made_office.docx(), "word/document.xml", b"Word", "Wor\U000e0041d \U0001f9ff".encode()
        ),
        "rtf": b"{\\rtf1 Word \\u7045?\\u7046?}",
    }[kind]
    told = {"docx": "U+1F9FF", "rtf": "U+1B85 U+1B86"}[kind]
    (said,) = await sender.send(fax.part("letter", data), place=LIBRE_OFFICE)
    assert (
        said
        == f"letter: page 1; characters that no font of this gateway has are shown as boxes or not at all: {told}; if they matter, send a PDF with its fonts embedded"
    )


@pytest.mark.parametrize("kind", made_office.WITH_COMMENTS)
@needs_office
@pytest.mark.system
@behind_walls
async def test_a_text_with_comments_becomes_pages(sender: Sender, fax: Fax, kind: str) -> None:
    (said,) = await sender.send(fax.part("letter", made_office.WITH_COMMENTS[kind]), place=LIBRE_OFFICE)
    assert said == "letter: page 1; without the 2 comments"


@pytest.mark.parametrize("kind", made_office.WITH_CHANGES)
@needs_office
@pytest.mark.system
@behind_walls
async def test_what_was_deleted_from_a_text_is_not_printed(
    pool: WorkerPool, fax: Fax, tmp_path: Path, kind: str
) -> None:
    letter = fax.part("letter", made_office.WITH_CHANGES[kind])
    found = await opened(pool, {"parts": [letter], "left_out": []}, tmp_path, LIBRE_OFFICE)
    assert found["parts"][0]["note"] == "tracked changes are shown as accepted, without what was deleted"
    with pypdfium2.PdfDocument(found["parts"][0]["path"]) as document:
        assert document[0].get_textpage().get_text_bounded().strip() == "Word"


@needs_office
@pytest.mark.system
@behind_walls
async def test_a_comment_of_a_table_is_told_once(sender: Sender, fax: Fax) -> None:
    (said,) = await sender.send(fax.part("prices", made_office.with_notes()), place=LIBRE_OFFICE)
    assert said == "prices: page 1; without the comment"


@needs_office
@pytest.mark.system
@behind_walls
async def test_what_a_table_wider_than_its_paper_lacks_is_told(sender: Sender, fax: Fax) -> None:
    cell = '<w:tc><w:tcPr><w:tcW w:w="4000" w:type="dxa"/></w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>'
    row = "".join(map(cell.format, ("first", "second", "third", "fourth")))
    grid = "<w:tblGrid>" + 4 * '<w:gridCol w:w="4000"/>' + "</w:tblGrid>"
    table = f'<w:tbl><w:tblPr><w:tblW w:w="16000" w:type="dxa"/></w:tblPr>{grid}<w:tr>{row}</w:tr></w:tbl><w:p>'
    letter = made_office.changed(made_office.docx(), "word/document.xml", b"<w:p>", table.encode())
    (said,) = await sender.send(fax.part("letter", letter), place=LIBRE_OFFICE)
    assert said == "letter: page 1; a word is missing from its pages: fourth"
    cells = (
        rb"\trowd\cellx5000\cellx10000\cellx15000\cellx20000\intbl first\cell second\cell third\cell fourth\cell\row"
    )
    (said,) = await sender.send(fax.part("old letter", rb"{\rtf1\ansi " + cells + rb"\pard}"), place=LIBRE_OFFICE)
    assert said == "old letter: page 1; a word is missing from its pages: fourth"


@pytest.mark.parametrize("document", [made_office.docx, made_office.xlsx, made_office.pptx])
@pytest.mark.parametrize("how", ["data", "markup", "sum", "a byte lost"])
@behind_walls
async def test_a_page_of_an_office_document_that_is_damaged_is_not_left_out(
    sender: Sender, document: Callable[[], bytes], how: str
) -> None:
    data = document()
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        page = next(each for each in reversed(source.infolist()) if b"Word" in source.read(each))
    if how == "markup":
        data = made_office.changed(data, page.filename, b"</", b"<")
    elif how == "a byte lost":  # no part is where the directory says
        data = data[:60] + data[61:]
    else:
        # the middle of its data, or the sum in its head in the directory of the archive
        name = page.filename.encode()
        at = page.header_offset + 30 + len(name) + page.compress_size // 2 if how == "data" else data.rindex(name) - 30
        data = data[:at] + bytes(byte ^ 0x5A for byte in data[at : at + 4]) + data[at + 4 :]
    assert await sender.refused(data, "offer", "/nowhere") == "offer is a damaged office document; send it again"


@pytest.mark.parametrize(("flags", "method"), [(1, 8), (0x20, 8), (0x40, 8), (0, 9)])
@behind_walls
async def test_an_office_document_that_cannot_be_looked_into_is_refused(
    sender: Sender, flags: int, method: int
) -> None:
    """LibreOffice would print some of them, and what is hidden in it could not be told."""
    data = marked(flags, method, made_office.HIDDEN["pptx"][0])
    assert "packed in a way that is not known here; save it again" in await sender.refused(data, "offer", "/nowhere")


@behind_walls
async def test_a_text_of_word_with_another_kind_inserted_is_refused(sender: Sender) -> None:
    data = made_office.with_insertion(b"<p>All that matters</p>")
    assert "has text of another kind inserted (HTML, say)" in await sender.refused(data, "offer", "/nowhere")
    data = made_office.with_insertion(made_office.docx())
    assert "cannot be read by LibreOffice" in await sender.refused(data, "offer", "/nowhere")  # it was asked


@needs_office
@pytest.mark.system
@behind_walls
async def test_what_libreoffice_cannot_read_is_refused_by_name(sender: Sender) -> None:
    broken = zipped({"[Content_Types].xml": b"<x", "word/document.xml": b"<nonsense/>"})
    assert "cannot be read by LibreOffice" in await sender.refused(broken, "letter.docx", LIBRE_OFFICE)


@behind_walls
async def test_a_mail_saved_by_outlook_is_called_what_it_is(sender: Sender) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "__substg1.0_0037001F".encode("utf-16-le") + bytes(600)
    assert "a mail as Outlook saves it" in await sender.refused(data, "re.msg", "/nowhere")


def test_a_full_disk_is_no_damage_of_an_office_document(
    fax: Fax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, work = fax.part("letter.rtf", RICH), tmp_path / "work"
    work.mkdir()

    def full(*_arguments: Any) -> tuple[str, bool]:
        (work / "room").symlink_to("/dev/full")
        return "write error", False

    monkeypatch.setattr(office, "_convert", full)
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        office.to_pdf(part["path"], "application/rtf", "letter.rtf", str(work), "/nowhere")


@pytest.mark.parametrize("elsewhere", ["{secret}", "{place}/link", "{place}/../opened-9/x", "{place}/none"])
@behind_walls
async def test_a_job_that_was_taken_over_cannot_choose_what_is_read_next(
    sender: Sender, fax: Fax, tmp_path: Path, elsewhere: str, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the key")

    async def taken_over(_function: str, /, *, directory: str, **_arguments: Any) -> dict[str, str]:
        Path(directory, "link").symlink_to(secret)
        return {"path": elsewhere.format(secret=secret, place=directory), "note": ""}

    monkeypatch.setattr(pool, "run", taken_over)
    with pytest.raises(TryLater, match="not its own"):
        await sender.send(fax.part("letter.rtf", RICH), place="/nowhere")


@behind_walls
async def test_an_encrypted_office_document_is_refused_before_anything_is_started(sender: Sender) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    assert "protected by a password" in await sender.refused(data, "secret.docx", "/nowhere")


def test_what_libreoffice_lacks_is_named_in_the_refusal(
    fax: Fax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = fax.part("list.xlsx", made_office.xlsx())
    (tmp_path / "libswlo.so").touch()
    monkeypatch.setattr(office, "_convert", lambda *_: ("no filter", False))
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(Refused, match=r"or of a kind it lacks here \(tables, slides, formulas\); print it to a PDF"):
        office.to_pdf(part["path"], "application/x-office", "list.xlsx", str(work), str(tmp_path))


def test_a_text_with_formulas_is_refused_where_they_would_be_left_out(
    fax: Fax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula = b'<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"/></w:p>'
    part = fax.part("sum.docx", made_office.changed(made_office.docx(), "word/document.xml", b"</w:p>", formula))
    monkeypatch.setattr(office, "_convert", lambda *_: ("it came to that", False))
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.chdir(tmp_path)
    for module, said in (("libswlo.so", "sum.docx holds formulas"), ("libsmlo.so", "cannot be read by LibreOffice")):
        (tmp_path / module).touch()
        work = tmp_path / f"work-{module}"
        work.mkdir()
        with pytest.raises(Refused, match=said):
            office.to_pdf(part["path"], "application/x-office", "sum.docx", str(work), str(tmp_path))


def test_where_libreoffice_is(tmp_path: Path) -> None:
    assert libreoffice.find(libreoffice.NONE) == ""
    assert libreoffice.find(str(tmp_path)) == ""
    (tmp_path / "libsofficeapp.so").touch()
    assert libreoffice.find(str(tmp_path)) == str(tmp_path)


# --- pictures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@behind_walls
async def test_of_an_animation_the_first_picture_is_printed_and_that_is_told(
    sender: Sender, fax: Fax, kind: str
) -> None:
    out = io.BytesIO()
    first, *others = (photo(300, 200).point(lambda v, n=n: v ^ n) for n in (0, 80, 160))
    first.save(out, format=kind, save_all=True, append_images=others)
    said = await sender.send(fax.part("steps", out.getvalue()))
    assert said == ["steps: page 1; only the first of the 3 pictures in it"]


@behind_walls
async def test_avif_behind_the_walls(sender: Sender, fax: Fax) -> None:
    out = io.BytesIO()
    photo(1200, 900).save(out, format="AVIF")
    assert await sender.send(fax.part("IMG_1.avif", out.getvalue())) == ["IMG_1.avif: page 1"]


@behind_walls
async def test_heic_behind_the_walls(sender: Sender, fax: Fax) -> None:
    out = io.BytesIO()
    pillow_heif.from_pillow(photo(1200, 900)).save(out, format="HEIF")
    assert await sender.send(fax.part("IMG_1.HEIC", out.getvalue())) == ["IMG_1.HEIC: page 1"]


@behind_walls
async def test_of_several_heic_pictures_the_main_one_is_faxed(sender: Sender, fax: Fax) -> None:
    out, pictures = io.BytesIO(), pillow_heif.from_pillow(photo(600, 400))
    pictures.add_from_pillow(photo(1200, 900))
    pictures.save(out, primary_index=1)
    said = await sender.send(fax.part("IMG_1.HEIC", out.getvalue()))
    assert said == ["IMG_1.HEIC: page 1; only number 2 of the 2 pictures in it"]


@behind_walls
async def test_a_heic_picture_that_breaks_off_is_refused(sender: Sender, fax: Fax) -> None:
    out = io.BytesIO()
    pillow_heif.from_pillow(photo(1200, 900)).save(out)
    with pytest.raises(Refused, match="a damaged or incomplete image"):
        await sender.send(fax.part("IMG_1.HEIC", out.getvalue()[:-5000]))


def test_heic_is_named_where_it_cannot_be_read(refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.document.picture.HEIC", False)
    assert (
        "HEIC photo, which this gateway is not set up to read" in refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").public
    )
