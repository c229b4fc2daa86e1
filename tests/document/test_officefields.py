"""Fields of office documents show what they were saved with, and nothing of the place where they are printed."""

from __future__ import annotations

import struct
import time
import zipfile
from pathlib import Path

import pytest

from gateway.document import office, officefields, sniff
from gateway.document.compound import Compound

from . import made_compound, made_office

_BEGIN = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'


def settled(tmp_path: Path, text: str, kind: str) -> str:
    document = tmp_path / "document"
    document.write_text(text)
    officefields.settle(document, kind)
    return document.read_text()


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        (f"{_BEGIN}<w:r><w:instrText> IF </w:instrText></w:r>{_BEGIN}<w:r><w:instrText>MERGEFIELD a</w:instrText></w:r>", "XIF "),
        (f"{_BEGIN}<w:instrText> </w:instrText><w:instrText xml:space='preserve'>FileName \\p</w:instrText>", "XFileName "),
        ('<w:fldSimple w:instr=" TITLE \\* MERGEFORMAT">', "XTITLE "),
        (f"{_BEGIN}<w:instrText> PAGE </w:instrText>", ""),
        (f"{_BEGIN}<w:instrText> IFF </w:instrText>", ""),
        (f"{_BEGIN}<w:instrText>MERGEFIELD </w:instrText><w:instrText>Title</w:instrText>", ""),
        (f"{_BEGIN}<w:instrText> PAGEREF x</w:instrText><w:t>IF</w:t>", ""),
    ],
)  # fmt: skip
def test_a_field_of_word_is_left_alone(tmp_path: Path, field: str, kept: str) -> None:
    made = settled(tmp_path, f"<w:p>{field}</w:p>", sniff.OFFICE_XML)
    assert made.count("X") == bool(kept)
    assert kept in made
    assert made.replace("X", "") == f"<w:p>{field}</w:p>"


@pytest.mark.parametrize(
    ("field", "made"),
    [
        (r"{\*\fldinst FILENAME \\p}", r"{\*\fldinst XFILENAME \\p}"),
        (r"{\*\fldinst {\rtlch\fcs1 \af0  IF 1}}", r"{\*\fldinst {\rtlch\fcs1 \af0  XIF 1}}"),
        *(
            (same, same)
            for same in (
                r"{\*\fldinst PAGE }{\fldrslt IF}",
                r"{\*\fldinst \xref PAGE}",
                r"{\*\fldinst " + r"\a " * 99 + "PAGE}",
            )
        ),
    ],
)
def test_a_field_of_rtf_is_left_alone(tmp_path: Path, field: str, made: str) -> None:
    assert settled(tmp_path, field, sniff.RTF) == made


@pytest.mark.parametrize("which", [0, 2])  # of the tables
def test_a_field_of_old_word_is_a_choice(tmp_path: Path, which: int) -> None:
    fields = bytes(
        [0x13, 29, 0x14, 0xFF, 0x15, 0x80, 0x93, 3, 0x13, 33]
    )  # a file's name, its end, a reference; a page's number
    table = bytes(7) + bytes(4 * 6) + fields
    head = bytearray(900)
    struct.pack_into("<HH", head, 0, 0xA5EC, 0xC1)
    head[0x0B] = which
    struct.pack_into("<II", head, 0x122, 7, 4 * 6 + len(fields))
    streams = {"WordDocument": bytes(head), "1Table" if which else "0Table": table}
    document = tmp_path / "document"
    document.write_bytes(made_compound.compound(streams))
    officefields.settle(document, sniff.OLE)
    made = Compound(document.read_bytes())
    assert made.read("1Table" if which else "0Table") == table.replace(b"\x13\x1d", b"\x13\x07").replace(
        b"\x93\x03", b"\x93\x07"
    )
    struct.pack_into("<II", head, 0x122, 7, 9000)
    broken = made_compound.compound({**streams, "WordDocument": bytes(head)})
    document.write_bytes(broken)
    officefields.settle(document, sniff.OLE)
    assert len(document.read_bytes()) == len(broken)


def test_the_name_of_a_file_in_an_opendocument_is_left_alone(tmp_path: Path) -> None:
    name = '<text:file-name text:display="full">C:/a.odt</text:file-name>'
    assert 'text:fixed="true"' in settled(tmp_path, name, sniff.OFFICE_XML)
    fixed = '<text:file-name text:fixed="false">a.odt</text:file-name>'
    assert settled(tmp_path, fixed, sniff.OFFICE_XML) == fixed


def test_what_of_an_opendocument_is_for_paper_is_printed_and_what_is_for_screens_is_not(tmp_path: Path) -> None:
    shapes = '<draw:layer draw:display="%s"/><draw:frame draw:display="%s"/>'
    assert settled(tmp_path, shapes % ("printer", "screen"), sniff.OFFICE_XML) == shapes % ("always", "none")
    assert settled(tmp_path, shapes % ("none", "always"), sniff.OFFICE_XML) == shapes % ("none", "always")


def test_fields_that_do_not_end_take_no_time(tmp_path: Path) -> None:
    began = time.process_time()
    assert settled(tmp_path, "<text:file-name " * 10_000, sniff.OFFICE_XML).count("true") == 10_000
    for field in ("<w:fldSimple ", f"{_BEGIN}<w:instrText "):
        assert settled(tmp_path, field * 10_000, sniff.OFFICE_XML) == field * 10_000
    assert time.process_time() - began < 1  # some hundredths


@pytest.mark.parametrize(
    ("name", "kind", "called"),
    [
        ("Angebot März.XLSX", sniff.OFFICE, "Angebot März.xlsx"), ("a.docx in all.zip", sniff.OFFICE, "a.docx"),
        ("Terms in German.docx", sniff.OFFICE, "Terms in German.docx"), ("a.odt", sniff.OFFICE, "a.docx"),
        ("a.b.doc", sniff.OLE, "a.b.doc"), ("attachment 1", sniff.RTF, "attachment 1.rtf"), ("../..", sniff.RTF, "document.rtf"),
        ("a%20/\"b*?.rtf", sniff.RTF, "_b__.rtf"), (f"{'x' * 99}.docx", sniff.OFFICE, f"{'x' * 60}.docx"),
    ],
)  # fmt: skip
def test_our_copy_is_called_as_the_document(name: str, kind: str, called: str) -> None:
    assert office._called(name, kind) == called


def test_the_folder_of_a_table_is_not_named(tmp_path: Path) -> None:
    document = tmp_path / "document"
    foot = b"<headerFooter><oddFooter>&amp;L&amp;Z&amp;F</oddFooter></headerFooter></worksheet>"
    document.write_bytes(made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"</worksheet>", foot))
    officefields.settle(document, sniff.OFFICE)
    with zipfile.ZipFile(document) as made:
        assert b"<oddFooter>&amp;L&amp;F<" in made.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize(
    ("view", "settled"),
    [
        (b"<workbookView/>", b'<workbookView activeTab="1"/>'),
        (b'<workbookView xWindow="0" activeTab="2" tabRatio="6"/>', b'<workbookView xWindow="0" activeTab="1" tabRatio="6"/>'),
        (b'<workbookView activeTab="1"/>', b'<workbookView activeTab="1"/>'),
    ],
)  # fmt: skip
def test_a_hidden_sheet_is_not_shown_first(view: bytes, settled: bytes) -> None:
    """LibreOffice would print it."""
    sheets = b'<sheets><sheet name="A" state="hidden"/><sheet name="B"/><sheet name="C" state="veryHidden"/></sheets>'
    assert officefields._of_book(view + sheets) == settled + sheets
    assert officefields._of_book(view + b"<sheets/>") == view + b"<sheets/>"


_SHEETS = b'<sheets><sheet name="A" r:id="worksheet1"/><sheet name="B" state="hidden" r:id="worksheet2"/></sheets>'
_AREA = b'<definedName %sname="_xlnm.Print_Area" localSheetId="%d">A!$A$1</definedName>'


def test_the_print_area_of_a_hidden_sheet_is_none() -> None:
    """LibreOffice would print it."""
    shown, hidden = _AREA % (b"", 0), _AREA % (b'hidden="1" ', 1)
    book = b"<workbook>%s<definedNames>" % _SHEETS + b"%s</definedNames></workbook>"
    assert officefields._of_book(book % (shown + hidden + shown)) == book % (shown + shown)
    all_hidden = (book % hidden).replace(b'name="A"', b'name="A" state="hidden"')
    assert officefields._of_book(all_hidden) == all_hidden


def test_the_print_ranges_of_a_hidden_table_are_none(tmp_path: Path) -> None:
    style = (
        '<style:style style:name="%s" style:family="table"><style:table-properties table:display="%s"/></style:style>'
    )
    styles = style % ("ta1", "true") + style % ("ta2", "false")
    table = '<table:table table:name="A" table:style-name="%s" table:print-ranges="A.A1:A.B2"/>'
    none = '<table:table table:name="A" table:style-name="ta2"/>'
    made = settled(tmp_path, styles + table % "ta1" + table % "ta2", sniff.OFFICE_XML)
    assert made == styles + table % "ta1" + none


def test_hidden_words_of_word_2003_are_none(tmp_path: Path) -> None:
    """LibreOffice prints them."""
    start = '<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml">'
    run = "<w:r><w:rPr><w:b/>%s</w:rPr>%s</w:r>"
    shown = run % ("", "<w:t>a</w:t>") + run % ('<w:vanish w:val="off"/>', "<w:t>b</w:t>") + "<w:r><w:t>c</w:t></w:r>"
    for hides in ("<w:vanish/>", '<w:vanish w:val="on"/><w:i/>'):
        made = settled(tmp_path, start + shown + run % (hides, "<w:t>d</w:t><w:br/>") + shown, sniff.OFFICE_XML)
        assert made == start + shown + run % (hides, "") + shown
    began = time.process_time()
    for text in ("<w:r><w:rPr></w:rPr>", "<w:r><w:rPr>", "<w:vanish/>"):
        assert settled(tmp_path, start + text * 10_000, sniff.OFFICE_XML) == start + text * 10_000
    assert time.process_time() - began < 1  # some hundredths


def test_a_hidden_sheet_of_excel_2003_has_no_row_to_print(tmp_path: Path) -> None:
    """LibreOffice prints it else, hidden or not."""
    sheet = "<%sWorksheet><Table><Row%s><Cell/></Row><Row ss:Hidden='1'/></Table><Visible>%s</Visible></%sWorksheet>"
    for prefix in ("", "ss:"):
        shown = sheet % (prefix, "", "SheetVisible", prefix)
        for state in ("SheetHidden", "SheetVeryHidden"):
            made = settled(tmp_path, shown + sheet % (prefix, "", state, prefix) + shown, sniff.OFFICE_XML)
            assert made == shown + sheet % (prefix, ' ss:Hidden="1"', state, prefix) + shown


@pytest.mark.parametrize("state", [0, 1, 2])  # shown, hidden, and so that nobody finds it
def test_the_print_area_of_a_hidden_sheet_of_old_excel_is_none(tmp_path: Path, state: int) -> None:
    area = b"\x3b" + bytes(10)
    document = tmp_path / "document"
    document.write_bytes(made_compound.xls_with_area(area, state=state))
    officefields.settle(document, sniff.OLE)
    shown = made_compound.xls_with_area(area, state=state, flags=0 if state else 0x20)
    assert Compound(document.read_bytes()).read("Workbook") == Compound(shown).read("Workbook")


def test_fields_without_an_end_are_looked_through_in_no_time(tmp_path: Path) -> None:
    start = time.process_time()
    assert settled(tmp_path, r"\fldinst" * 50_000, sniff.RTF) == r"\fldinst" * 50_000
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("column", "settled"),
    [
        (b'<col min="1" width="0" customWidth="1"/>', b'<col hidden="1" min="1" width="0" customWidth="1"/>'),
        (b'<x:col width="0.0"/>', b'<x:col hidden="1" width="0.0"/>'),
        *((same, same) for same in (b'<col width="0" hidden="1"/>', b'<col width="0.5"/>', b'<cols width="0">')),
    ],
)
def test_a_column_of_no_width_is_hidden(column: bytes, settled: bytes) -> None:
    """LibreOffice would print it."""
    assert officefields._of_sheet(column) == settled


def test_a_hidden_run_of_word_2003_that_was_changed_is_not_printed(tmp_path: Path) -> None:
    start = '<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml">'
    change = '<aml:annotation w:type="Word.Formatting"><aml:content><w:rPr>%s</w:rPr></aml:content></aml:annotation>'
    run = "<w:r><w:rPr>%s</w:rPr><w:t>a</w:t></w:r>"
    hidden, shown = run % ("<w:vanish/>" + change % "<w:b/>"), run % ("<w:b/>" + change % "<w:vanish/>")
    made = settled(tmp_path, start + hidden + shown, sniff.OFFICE_XML)
    assert made == start + "<w:r><w:rPr><w:vanish/></w:rPr></w:r>" + run % "<w:b/>"
