"""What of an office document is on no page is told; comments are taken out of a text, and nothing else."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from pathlib import Path

import pytest

from gateway.document import hidden_binary, office, officefonts, officeshapes, officesigns, sniff, unprinted
from gateway.document.compound import Compound, Damaged

from . import made, made_compound, made_office


def told(tmp_path: Path, data: bytes, kind: str = "") -> list[str]:
    document = tmp_path / "document"
    document.write_bytes(data)
    kind = kind or sniff.sniff(document)
    return [each.removeprefix("without ") for each in unprinted.left_out(document, kind)]


@pytest.mark.parametrize("kind", made_office.HIDDEN)
def test_what_is_hidden_is_told(tmp_path: Path, kind: str) -> None:
    data, what = made_office.HIDDEN[kind]
    assert sorted(told(tmp_path, data)) == sorted(what)


@pytest.mark.parametrize(
    ("name", "words", "what"),
    [
        ("word/document.xml", "<w:r><w:rPr><w:b/><w:vanish/><w:sz w:val=\"20\"/></w:rPr><w:t>a</w:t></w:r>" * 2, ["the hidden text"]),
        ("word/document.xml", "<w:r><w:rPr><w:vanish w:val=\"1\"/></w:rPr><w:tab/><w:t xml:space=\"preserve\"> a</w:t></w:r>", ["the hidden text"]),
        ("word/document.xml", "<w:r><w:rPr><w:vanish w:val=\"0\"/></w:rPr><w:t>a</w:t></w:r>", []),
        ("word/document.xml", "<w:r><w:rPr><w:vanish/><w:rPrChange><w:rPr><w:b/></w:rPr></w:rPrChange></w:rPr><w:t>a</w:t></w:r>", ["the hidden text"]),
        ("word/document.xml", "<w:r><w:rPr><w:rPrChange><w:rPr><w:vanish/></w:rPr></w:rPrChange></w:rPr><w:t>a</w:t></w:r>", []),
        ("word/document.xml", "<w:pPr><w:rPr><w:vanish/></w:rPr></w:pPr><w:r><w:t>the mark of a paragraph</w:t></w:r>", []),
        ("word/document.xml", "<w:r><w:rPr><w:vanish/></w:rPr><w:instrText>XE</w:instrText></w:r><w:r><w:t>a</w:t></w:r>", []),
        ("word/document.xml", r"<w:instrText> EQ \f(1,2) </w:instrText><w:instrText>eq \o\ac(O,1)</w:instrText>", ["the 2 equation fields"]),
        ("word/document.xml", r"<w:instrText> EQ \* jc2 \o(a)</w:instrText><w:instrText>eq \o(\s\up 9(a),b)</w:instrText>", []),
        ("word/document.xml", "<w:object><v:shape/><o:OLEObject/></w:object><w:object><v:imagedata r:id='a'/></w:object>", ["the embedded object"]),
        ("word/document.xml", "<w:object>" * 300_000, []),
        ("word/document.xml", "<w:p><w:subDoc r:id='a'/></w:p>", ["the linked document"]),
        ("word/document.xml", "<w:rPr>" * 300_000 + "</w:rPr>" * 300_000, []),  # in no time
        ("content.xml", '<style:text-properties fo:color="#fff" text:display="none"/>', ["the hidden text"]),
    ],
)  # fmt: skip
def test_hidden_words_of_a_text_are_told(tmp_path: Path, name: str, words: str, what: list[str]) -> None:
    names = "xmlns:w='w' xmlns:style='s' xmlns:text='t' xmlns:fo='f'"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr(name, f"<w:document {names}>{words}</w:document>")
    assert told(tmp_path, out.getvalue(), sniff.OFFICE) == what


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("<a:r><a:t> </a:t></a:r><a:r><a:t>Say hello.</a:t></a:r>", ["the speaker note"]),
        ("<a:r><a:t> </a:t></a:r>", []),
        ("</p:sp><p:sp><p:nvPr/><a:t>in a box</a:t>", ["the speaker note"]),
        (
            '</p:sp><p:sp><p:ph type="ftr"/><a:t>Company</a:t></p:sp><p:sp><p:ph type="sldNum"/><a:fld type="slidenum"><a:t>1</a:t></a:fld>',
            [],
        ),
        ('<p:ph type="body"/>' * 200_000, []),  # in no time
    ],
)
def test_the_notes_of_a_speaker_are_told(tmp_path: Path, words: str, what: list[str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("ppt/notesSlides/notesSlide1.xml", f'<p:sp><p:ph idx="1" type="body"/>{words}</p:sp>')
    assert told(tmp_path, out.getvalue(), sniff.OFFICE) == what


def test_a_diagram_of_which_no_word_is_printed_is_told(tmp_path: Path) -> None:
    document, pages = tmp_path / "document", tmp_path / "pages"
    pages.write_bytes(made.pdf([made.Sheet().text(72, 72, "ALPHA ST").text(72, 90, "EP &")]))
    assert list(unprinted.undrawn(document_of(document), office.words(pages))) == []
    for words, told in (
        (["<a:t>alpha step &amp;</a:t><a:t>beta</a:t>"], []),
        (["<a:t>gamma</a:t>", "<a:t> </a:t>", "<a:t>alpha</a:t>"], ["without the SmartArt drawing"]),
        (["<a:t>gamma</a:t>", "<a:t>delta</a:t>"], ["without the 2 SmartArt drawings"]),
    ):
        assert list(unprinted.undrawn(document_of(document, *words), office.words(pages))) == told


def document_of(path: Path, *diagrams: str) -> Path:
    with zipfile.ZipFile(path, "w") as package:
        for number, words in enumerate(diagrams):
            package.writestr(f"ppt/diagrams/data{number}.xml", f"<dgm:pt><dgm:t>{words}</dgm:t></dgm:pt>")
    return path


@pytest.mark.parametrize("padding", [0, 5000])  # a short stream, and one of its own
def test_what_is_hidden_in_an_old_workbook_is_told(tmp_path: Path, padding: int) -> None:
    said = told(tmp_path, made_compound.xls(padding=padding))
    assert sorted(said) == ["the 2 hidden sheets", "the comment", "the hidden column", "the hidden row"]


def test_a_slide_is_hidden_as_it_was_saved_last(tmp_path: Path) -> None:
    assert told(tmp_path, made_compound.ppt()) == ["the hidden slide"]


def test_hidden_sheets_of_a_binary_workbook_are_told() -> None:
    begin, sheet = b"\x83\x01\x00", lambda state: b"\x9c\x01\x8c\x00" + struct.pack("<I", state) + b"rId1name"
    assert hidden_binary.sheets_of_2007(begin + sheet(0) + sheet(1) + sheet(2)) == 2


def test_where_nothing_is_hidden_nothing_is_told(tmp_path: Path) -> None:
    documents = (
        made_office.docx(), made_office.pptx(), made_office.xlsx(), made_office.word_2003(), made_office.excel_2003(),
        *(made_office.opendocument(kind) for kind in ("text", "spreadsheet", "presentation")), made_compound.doc(0),
        made_compound.compound({"Workbook": b"", "PowerPoint Document": b""}), b"{\\rtf1 a}",
    )  # fmt: skip
    for data in documents:
        assert told(tmp_path, data) == []


@pytest.mark.parametrize(
    "hides", [
        rb"{\v No!}", rb"{\rtlch\fcs1 \ltrch\v\insrsid7 No!}", rb"\v \'e4\v0 b", b"\\v\r\nNo\\v0 b",
        b"{\\v\\fs20\r\n\\lang9 No!}", rb"{\v\uc0\u1053 \u1077 }",
    ],
)  # fmt: skip
def test_hidden_text_of_rtf_is_told(tmp_path: Path, hides: bytes) -> None:
    style = rb"{\stylesheet{\*\cs16 \additive \v\f0 Hidden;}{\s17\qc \v\f1\fs16\lang9 \sbasedon0 Top of Form;}}\viewkind4\vern1 "
    assert told(tmp_path, rb"{\rtf1 " + style + rb"a {\v0 b} \v\v0 c{\v\fs20\insrsid7 \par}}") == []
    assert told(tmp_path, rb"{\rtf1 " + style + rb"a " + hides + rb"}") == ["the hidden text"]


def test_words_that_hide_nothing_are_looked_at_once(tmp_path: Path) -> None:
    """However many there are: looked at from each of them to the end, these would take hours."""
    assert told(tmp_path, rb"{\rtf1 " + rb"\v" * 200_000 + rb"\v0 a}") == []


def test_linked_pictures_outside_of_packages_are_told(tmp_path: Path) -> None:
    linked = b'Word<draw:frame><draw:image xlink:href="%s"/></draw:frame>'
    for place in (b"https://www.example.org/a.png", b"a.png"):
        assert told(tmp_path, made_office.flat("text").replace(b"Word", linked % place)) == ["the linked picture"]
    field = rb'{\rtf1 {\field{\*\fldinst INCLUDEPICTURE "http://www.example.org/b.png"%s}{\fldrslt }}}'
    assert told(tmp_path, field % rb" \\d") == ["the linked picture"]
    assert told(tmp_path, field % b"") == []  # it is kept within


def test_comments_of_office_2003_are_told(tmp_path: Path) -> None:
    mark = (
        b'<w:r><aml:annotation xmlns:aml="a" aml:id="0" %sw:type="Word.%s"><aml:content/></aml:annotation></w:r><w:r>'
    )
    marks = b"".join(mark % each for each in ((b'aml:author="A" ', b"Comment"), (b"", b"Comment"), (b"", b"Insertion")))
    assert told(tmp_path, made_office.word_2003().replace(b"<w:r>", marks)) == ["the 2 comments"]
    comment = b'</Data><Comment ss:Author="A"><Data>a</Data></Comment>'
    assert told(tmp_path, made_office.excel_2003().replace(b"</Data>", comment)) == ["the comment"]


def test_comments_of_tables_and_slides_are_told(tmp_path: Path) -> None:
    out = io.BytesIO(made_office.xlsx())
    with zipfile.ZipFile(out, "a") as book:
        book.writestr(
            "xl/comments1.xml", "<comments><commentList><comment ref='A1'/><comment ref='A2'/></commentList></comments>"
        )
        book.writestr("ppt/comments/comment1.xml", "<p:cmLst xmlns:p='p'><p:cm id='1'></p:cm></p:cmLst>")
    assert told(tmp_path, out.getvalue()) == ["the 3 comments"]


@pytest.mark.parametrize(
    ("area", "what"),
    [
        ("A!$A$1:$B$2", ["the 2 non-printing cells"]),
        ("A!$A$1:$B$2,'B,C'!$D$5", ["the non-printing cell"]),
        ("A!$A$1:$XFD$1048576", []),
        ("A!$A:$B", ["the non-printing cell"]),
        ("A!$1:$2,A!$F:$F", ["the 2 non-printing cells"]),
        ("#REF!", []),
        ("OFFSET(A!$A$1,0,0,5,1)", []),  # nobody knows
    ],
)
def test_cells_outside_of_what_is_to_be_printed_are_told(tmp_path: Path, area: str, what: list[str]) -> None:
    name = f'</sheets><definedNames><definedName name="_xlnm.Print_Area" localSheetId="0">{area}</definedName></definedNames>'
    book = made_office.changed(made_office.xlsx(), "xl/workbook.xml", b"</sheets>", name.encode())
    more = b'<row r="5"><c r="A5"><v>1</v></c><c r="B5"/><c r="D5"><v>1</v></c></row></sheetData>'
    assert told(tmp_path, made_office.changed(book, "xl/worksheets/sheet1.xml", b"</sheetData>", more)) == what


@pytest.mark.parametrize("state", [b'state="hidden" ', b'state = "veryHidden" '])
def test_cells_of_a_hidden_sheet_are_told_as_that(tmp_path: Path, state: bytes) -> None:
    area = b'</sheets><definedName name="_xlnm.Print_Area" localSheetId="0">A!$F$5</definedName>'
    book = made_office.changed(made_office.xlsx(), "xl/workbook.xml", b"</sheets>", area)
    assert told(tmp_path, book) == ["the non-printing cell"]
    for before, sheet in ((b"<sheet ", b"<sheet " + state), (b'r:id="worksheet1"', b'r:id="worksheet1" ' + state)):
        assert told(tmp_path, made_office.changed(book, "xl/workbook.xml", before, sheet)) == ["the hidden sheet"]


@pytest.mark.parametrize(
    ("areas", "without"),
    [
        ("A.A1:A.B2", ["the 12 non-printing cells"]),
        ("$'A: B'.$A$1 'A: B'.$C$1:$'A: B'.$D$3", ["the 9 non-printing cells"]),
        ("A.A1:.D3", ["the 4 non-printing cells"]),
        ("A.A1:A.ZZ99", []),
        ("", []),
    ],
)
def test_cells_of_an_opendocument_that_are_not_to_be_printed_are_told(
    tmp_path: Path, areas: str, without: list[str]
) -> None:
    row = '<table:table-row table:number-rows-repeated="{}"><table:table-cell office:value-type="float" table:number-columns-repeated="4"/></table:table-row>'
    empty = '<table:table-row table:number-rows-repeated="9"><table:table-cell table:number-columns-repeated="99"/></table:table-row>'
    table = (
        f'<table:table table:print-ranges="{areas}">{row.format(1)}{row.format(2)}{empty}{row.format(1)}</table:table>'
    )
    text = made_office.flat("spreadsheet")
    text = text.replace(text[text.index(b"<table:table ") : text.index(b"</office:spreadsheet>")], table.encode())
    assert told(tmp_path, text) == without


def test_more_rows_than_a_table_can_have_are_not_counted(tmp_path: Path) -> None:
    row = b'<table:table-row table:number-rows-repeated="%d"><table:table-cell office:value-type="float"/></table:table-row>'
    text = made_office.flat("spreadsheet")
    table = b'<table:table table:print-ranges="A.A1">' + row % 10**30 + row % 1 + b"</table:table>"
    text = text.replace(text[text.index(b"<table:table ") : text.index(b"</office:spreadsheet>")], table)
    assert told(tmp_path, text) == ["the 1048575 non-printing cells"]


def test_formulas_on_slides_that_are_not_drawn_are_told(tmp_path: Path) -> None:
    document, pages = tmp_path / "show", tmp_path / "made.pdf"
    pages.write_bytes(made.pdf([made.Sheet().text(72, 72, "Result: E = mc")]))
    formula = "<a14:m xmlns:a14='x'><m:oMath><m:r><m:t>%s</m:t></m:r><m:r><m:t>2</m:t></m:r></m:oMath></a14:m>"
    for words, said in (
        (["\U0001d438=\U0001d45a"], []),  # in letters of formulas
        (["\U0001d438=\U0001d45a", "a+b"], ["without the formula"]),
        (["a+b", "a-b"], ["without the 2 formulas"]),
    ):
        with zipfile.ZipFile(document, "w") as package:
            package.writestr("ppt/slides/slide1.xml", "<a14:m>" + "".join(formula % each for each in words))
        assert list(unprinted.undrawn(document, office.words(pages))) == said


def test_pictures_placed_in_cells_are_told(tmp_path: Path) -> None:
    cells = b'<c r="B1" t="e" vm="1"><v>#VALUE!</v></c><c r="B2" vm="2" t="e"><v>#VALUE!</v></c><c r="B3" t="e"><v>#REF!</v></c></row>'
    book = made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"</row>", cells)
    assert told(tmp_path, book) == []
    out = io.BytesIO(book)
    with zipfile.ZipFile(out, "a") as package:
        package.writestr("xl/richData/richValueRel.xml", "<richValueRels/>")
    assert told(tmp_path, out.getvalue()) == ["the 2 cell pictures"]


def test_pictures_in_the_head_of_a_table_are_told(tmp_path: Path) -> None:
    head = b"<headerFooter><oddHeader>&amp;LA &amp;amp; G&amp;C&amp;G</oddHeader><oddFooter>%s</oddFooter></headerFooter></worksheet>"
    book = made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"</worksheet>", head % b"&amp;P")
    assert told(tmp_path, book) == ["the header or footer picture"]
    book = made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"</worksheet>", head % b"&amp;G")
    assert told(tmp_path, book) == ["the 2 header or footer pictures"]


def test_a_table_of_which_nothing_is_to_be_printed_is_printed_all_the_same(tmp_path: Path) -> None:
    text = made_office.flat("spreadsheet").replace(b"<table:table ", b'<table:table table:print="false" ')
    assert told(tmp_path, text) == []


def test_what_a_table_keeps_of_other_files_is_no_sheet_of_it(tmp_path: Path) -> None:
    copy = b"""<table:table table:name="'file:///a.ods'#$A" table:print="false"/></office:spreadsheet>"""
    assert told(tmp_path, made_office.flat("spreadsheet").replace(b"</office:spreadsheet>", copy)) == []


@pytest.mark.parametrize("prefix", [b"", b"x:"])  # which the kit of .NET writes
def test_a_book_of_excel_on_the_web_has_a_number(tmp_path: Path, prefix: bytes) -> None:
    area = b'</sheets><definedName name="_xlnm.Print_Area" localSheetId="0">A!$F$5</definedName>'
    book = made_office.changed(
        made_office.xlsx(), "xl/workbook.xml", b"</sheets>", b'<sheet name="B" state="hidden"/>' + area
    )
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            for tag in (b"sheet ", b"definedName"):
                data = data.replace(b"<" + tag, b"<" + prefix + tag)
            target.writestr(name.replace("workbook.xml", "workbook22.xml"), data)
    assert told(tmp_path, out.getvalue()) == told(tmp_path, book) == ["the hidden sheet", "the non-printing cell"]


_CORNER, _ROW, _COLUMN = b"\x5a" + bytes(6), b"\x3b" + bytes(8) + b"\1\0", b"\x3b\0\0\0\0\1\0\0\0\0\xc0"


@pytest.mark.parametrize(
    ("formula", "version", "without"),
    [
        (_CORNER, b"\0\6", ["the 3 non-printing cells"]),
        (_ROW, b"\0\6", ["the 2 non-printing cells"]),
        (b"\x29\x12\0" + _CORNER + _COLUMN + b"\x10\x15", b"\0\6", ["the 2 non-printing cells"]),
        (b"\x01" + _CORNER, b"\0\6", []),  # and something else
        (_CORNER, b"\0\5", []),  # an older version, in other records
    ],
)
def test_cells_of_an_old_table_that_are_not_to_be_printed_are_told(
    tmp_path: Path, formula: bytes, version: bytes, without: list[str]
) -> None:
    assert told(tmp_path, made_compound.xls_with_area(formula, version=version)) == without


def test_charts_of_a_kind_that_is_not_drawn_are_told(tmp_path: Path) -> None:
    out = io.BytesIO(made_office.xlsx())
    with zipfile.ZipFile(out, "a") as book:
        book.writestr("xl/charts/chart1.xml", "<c/>")
        book.writestr("xl/charts/chartEx1.xml", "<c/>")
    assert told(tmp_path, out.getvalue()) == ["the Office 2016 chart"]


# --- comments of texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", made_office.WITH_COMMENTS)
def test_comments_are_taken_out_of_a_text(tmp_path: Path, kind: str) -> None:
    assert told(tmp_path, made_office.WITH_COMMENTS[kind]) == ["the 2 comments"]
    document = tmp_path / "document"
    made = document.read_bytes()
    if zipfile.is_zipfile(document):
        with zipfile.ZipFile(document) as source:
            made = source.read("word/document.xml" if kind == "docx" else "content.xml")
    assert made.count(b"Word") == (1 if kind == "rtf" else 2)
    assert not any(each in made for each in (b"omment", b"annotation", b"No!", b"atrf"))
    assert told(tmp_path, document.read_bytes()) == []


def test_a_rich_text_loses_nothing_with_its_comments(tmp_path: Path) -> None:
    around = rb"{\rtf1 \{\*\b a}\\%s{\pict\bin3 }{}}%s b\'7d}"
    note = rb"{\*\atrfstart 1}c{\*\atrfend 1}{\*\atnid A}\chatn{ \* \annotation{\b No\}!}{\pict\bin2 }}}}"
    assert told(tmp_path, around % (note, note)) == ["the 2 comments"]
    left = rb"c{\*\atnid A}\chatn"
    assert (tmp_path / "document").read_bytes() == around % (left, left)
    broken = made_office.RTF[: made_office.RTF.rindex(b"No")]  # the group has no end
    assert told(tmp_path, broken) == []
    assert (tmp_path / "document").read_bytes() == broken


def test_a_comment_at_the_end_of_a_long_rich_text_is_found_in_time(tmp_path: Path) -> None:
    assert told(tmp_path, rb"{\rtf1 " + rb"{\b word} " * 120_000 + rb"{\*\annotation No!}}") == ["the comment"]


@pytest.mark.parametrize("size", [900, 9000])  # a short stream, and one of its own
def test_a_word_text_says_that_it_has_no_comments(tmp_path: Path, size: int) -> None:
    data = made_compound.doc(3, size=size)
    assert told(tmp_path, data) == ["the 3 comments"]
    made = (tmp_path / "document").read_bytes()
    head = Compound(made).read("WordDocument")
    assert struct.unpack_from("<IIII", head, 0xBA) == (10, 0, 99, 0)
    assert sum(a != b for a, b in zip(made, data, strict=True)) == 2
    assert told(tmp_path, made) == []


@pytest.mark.parametrize("data", [made_compound.xls(), made_compound.ppt(), made_compound.doc(2, size=9000)])
def test_a_damaged_compound_file_stops_nothing(tmp_path: Path, data: bytes) -> None:
    for at in range(0, len(data), 61):
        told(tmp_path, data[:at], sniff.OLE)
        told(tmp_path, data[:at] + bytes(each ^ 0xA5 for each in data[at : at + 8]) + data[at + 8 :], sniff.OLE)
    circle = data[:512] + struct.pack("<I", 1) * 128 + data[1024:]
    with pytest.raises(Damaged):
        Compound(circle)


@pytest.mark.parametrize(
    ("kind", "mark", "comments"),
    [
        ("odt", b"<office:annotation office:name='a'><text:p>No!</text:p></office:annotation >", 1),
        ("odt", b"<office:annotation\noffice:name='a'><text:p>No!</text:p></office:annotation>", 1),
        ("odt", b"<officeooo:annotation office:name='a'><text:p>No!</text:p></officeooo:annotation>", 1),
        ("odt", b"<office:annotation-end office:name='a'></office:annotation-end>", 0),
        ("docx", b"<w:r><w:commentReference w:id='0'></w:commentReference></w:r>", 1),
        ("docx", b"<w:commentRangeEnd w:id='0'></w:commentRangeEnd>", 0),
    ],
)
def test_no_word_goes_with_a_comment_however_its_marks_are_written(
    tmp_path: Path, kind: str, mark: bytes, comments: int
) -> None:
    name, data, closed = "word/document.xml", made_office.docx(), b""
    if kind == "odt":
        name, data, closed = "content.xml", made_office.opendocument("text"), made_office.REMARK
    said = told(tmp_path, made_office.changed(data, name, b"Word", b"Before" + mark + b"Between" + closed + b"Word"))
    count = comments + bool(closed)
    assert said == ([f"the {'comment' if count == 1 else f'{count} comments'}"] if count else [])
    with zipfile.ZipFile(tmp_path / "document") as made:
        text = made.read(name)
    assert all(word in text for word in (b"Before", b"Between", b"Word"))


def test_hidden_sections_of_an_open_text_are_told(tmp_path: Path) -> None:
    body = b"<text:p>Word</text:p>"
    hides = b'<text:section text:name="S" text:display="none"><text:p>Price</text:p></text:section>'
    flat = made_office.flat("text").replace(body, body + hides)
    whole = made_office.changed(made_office.opendocument("text"), "content.xml", body, body + hides)
    for data, kind in ((flat, sniff.OFFICE_XML), (whole, sniff.OFFICE)):
        document = tmp_path / "document"
        document.write_bytes(data)
        assert list(unprinted.left_out(document, kind)) == ["without the hidden text"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("xl/worksheets/sheet1.xml", b"<oddHeader>" + b"&amp;G" * 30_000),
        ("xl/workbook.xml", b'<definedName name="_xlnm.Print_Area"' + b' localSheetId="1"' * 15_000),
        ("xl/workbook.xml", b"<sheet " * 30_000),
        ("xl/worksheets/sheet1.xml", b"<c vm='1' " * 20_000),
    ],
)
def test_a_broken_part_of_a_book_takes_no_time(tmp_path: Path, name: str, text: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(made_office.xlsx())) as book:
        data = made_office.changed(made_office.xlsx(), name, book.read(name), text)
    began = time.process_time()
    assert told(tmp_path, data) == ["the header or footer picture"] * (b"&amp;G" in text)
    assert time.process_time() - began < 1  # some hundredths


def test_hidden_rows_and_columns_of_a_book_of_2003_are_told(tmp_path: Path) -> None:
    cell = '<Cell%s><Data ss:Type="String">a</Data></Cell>'
    row, hidden = f"<Row%s>{cell % ''}</Row>", ' ss:Hidden="1"'
    columns = '<Column/><Column ss:Hidden="1" ss:Span="1"/><Column/>'
    merged = cell % ' ss:MergeAcross="1"' + cell % "" + cell % ""  # A and B, C, D
    shown = f"<Table>{columns}<Row>{merged}</Row>{row % hidden}<Row ss:Hidden='1' ss:Span='3'/>{row % ''}</Table>"
    unseen = f"<Table>{row % hidden}</Table><Visible>SheetHidden</Visible>"
    book = made_office.excel_2003().partition(b"<Worksheet")[0].decode()
    book += f"<Worksheet>{shown}</Worksheet><Worksheet>{unseen}</Worksheet></Workbook>"
    assert sorted(told(tmp_path, book.encode())) == ["the hidden column", "the hidden row", "the hidden sheet"]


def test_a_column_of_no_width_is_told(tmp_path: Path) -> None:
    columns = (
        b'<cols><col min="1" max="1" width="0" customWidth="1"/><col min="2" max="2" width="10.0"/></cols><sheetData>'
    )
    book = made_office.changed(made_office.xlsx(), "xl/worksheets/sheet1.xml", b"<sheetData>", columns)
    assert told(tmp_path, book) == ["the hidden column"]


def test_hidden_words_of_an_old_text_are_told(tmp_path: Path) -> None:
    assert told(tmp_path, made_compound.doc_of_runs(b"\x35\x08\x01"), sniff.OLE) == []
    assert told(tmp_path, made_compound.doc_of_runs(b"\x35\x08\x01\x3c\x08\x01"), sniff.OLE) == ["the hidden text"]


def test_what_looks_like_it_elsewhere_hides_no_words_of_an_old_text(tmp_path: Path) -> None:
    """In the places of runs, say, or in a picture."""
    data = made_compound.doc_of_runs(b"\x35\x08\x01", end=0x1083C, behind=b"\x3c\x08\x01")
    assert told(tmp_path, data, sniff.OLE) == []


# --- shapes -----------------------------------------------------------------------------------------------------------


def _drawing(words: str, said: str = "") -> str:
    return f"<w:r><w:drawing><wp:anchor><wp:docPr id='1'{said}/>{words}</wp:anchor></w:drawing></w:r>"


_VEILED = "<w:r><w:rPr><w:vanish/></w:rPr>"
_EYE = ' name="a" hidden="1"'
_FIGURE = (
    '<w:pict><v:shapetype id="t"><v:path/></v:shapetype><v:shape style="width:9pt;visibility:%s">%s</v:shape></w:pict>'
)


@pytest.mark.parametrize(
    ("words", "kept", "count"),
    [
        (_drawing("a") + _drawing("b", _EYE) + _drawing("c"), _drawing("a") + "<w:r></w:r>" + _drawing("c"), 1),
        (_drawing(_drawing("b") + "c", _EYE) + _drawing("", _EYE), "<w:r></w:r>" * 2, 2),
        (_drawing(_drawing("b", _EYE) + "c"), _drawing("<w:r></w:r>c"), 1),
        (_FIGURE % ("hidden", "a") + _FIGURE % ("visible", "b"), _FIGURE % ("visible", "b"), 1),
        (_drawing("a", _EYE) + _FIGURE % ("hidden", "a"), "<w:r></w:r>", 1),  # the same, for old versions
        ('<w:pict><v:group><v:shape style="visibility:hidden"/>a</v:group></w:pict>', "", 0),  # one of several
        ("<w:drawing/><w:drawing>" + _EYE, "", 0),
        (_drawing("a").replace("<w:r>", _VEILED) + _drawing("b"), _VEILED + "</w:r>" + _drawing("b"), 1),
        ("<w:pPr><w:rPr><w:vanish/></w:rPr></w:pPr><w:drawing>a</w:drawing>", "", 0),  # the mark of a paragraph
        (_drawing("a").replace("<w:r>", _VEILED.replace("/>", ' w:val="0"/>')), "", 0),
        (_drawing("a").replace("<w:r>", "<w:r><w:rPr><w:rPrChange><w:rPr><w:vanish/></w:rPr></w:rPrChange></w:rPr>"), "", 0),
        ("<w:rPrChange>" * 30_000 + "<w:vanish/>" * 30_000, "", 0),  # in no time
        ("<w:pict><v:shapetype>" * 30_000 + _EYE, "", 0),  # in no time
    ],
)  # fmt: skip
def test_hidden_shapes_of_a_text_are_not_printed(tmp_path: Path, words: str, kept: str, count: int) -> None:
    document = tmp_path / "document"
    document.write_bytes(made_office.changed(made_office.docx(), "word/document.xml", b"<w:p>", words.encode()))
    began = time.process_time()
    found = officeshapes.take_out(document)
    assert time.process_time() - began < 1
    assert found == ({"hidden shape": count} if count else {})
    with zipfile.ZipFile(document) as made:
        assert f"<w:body>{kept or words}<w:r>" in made.read("word/document.xml").decode()


def test_what_is_not_to_be_printed_of_a_sheet_is_not(tmp_path: Path) -> None:
    shape = '<x:twoCellAnchor><x:sp><x:cNvPr name="%s"/></x:sp><x:clientData%s/></x:twoCellAnchor>'
    off = ' fPrintsWithSheet="0"'
    button = shape % ('d" hidden="1', off)
    document = tmp_path / "document"
    with zipfile.ZipFile(document, "w") as package:
        package.writestr(
            "xl/drawings/drawing1.xml", shape % ("a", "") + shape % ("b", off) + shape % ("c", "") + button
        )
    assert officeshapes.take_out(document) == {"non-printing shape": 1}
    with zipfile.ZipFile(document) as made:
        assert made.read("xl/drawings/drawing1.xml").decode() == shape % ("a", "") + shape % ("c", "")


def test_a_comment_of_a_sheet_that_is_shown_is_not_printed(tmp_path: Path) -> None:
    """LibreOffice would print it, over the cells behind it."""
    document = tmp_path / "document"
    document.write_bytes(made_office.with_notes())
    assert list(unprinted.left_out(document, sniff.OFFICE)) == ["without the comment"]
    with zipfile.ZipFile(document) as made:
        assert b"comments1" not in made.read("xl/worksheets/_rels/sheet1.xml.rels")
    note = struct.pack("<HHHHHH", 0x1C, 8, 1, 1, 0x102, 1)
    book = struct.pack("<HHHH", 0x809, 4, 0x600, 0x10) + note + struct.pack("<HH", 0x0A, 0)
    document.write_bytes(made_compound.compound({"Workbook": book}))
    assert list(unprinted.left_out(document, sniff.OLE)) == ["without the comment"]
    assert Compound(document.read_bytes()).read("Workbook") == book.replace(b"\x02\x01", b"\x00\x01")


@pytest.mark.parametrize(
    "text",
    [
        b"<office:annotation " * 50_000, b"<office:annotation>" * 50_000, b"<w:commentReference " * 50_000,
        b"<w:rPr>" + b"<w:vanish/>" * 50_000 + b"</w:rPr>", b'<w:r><w:rPr>wingdings"' * 50_000, b'<w:rFonts wingdings"' * 50_000,
        b'<w:r>wingdings"<w:sym <w:t ' + b"<w:sym " * 50_000 + b"</w:r>", b"<fonts>" * 50_000,
        b"".join(b"<x%d:oneCellAnchor>" % number for number in range(50_000)),
    ],
)  # fmt: skip
def test_what_never_ends_is_looked_through_in_no_time(tmp_path: Path, text: bytes) -> None:
    document = tmp_path / "document"
    with zipfile.ZipFile(document, "w") as package:
        for name in ("content.xml", "word/document.xml", "xl/styles.xml", "xl/drawings/drawing1.xml"):
            package.writestr(name, text)
    start = time.process_time()
    list(unprinted.left_out(document, sniff.OFFICE))
    officesigns.settle(document)
    officefonts.settle(document, sniff.OFFICE)
    assert time.process_time() - start < 5


def test_ink_on_a_slide_is_shown_as_its_picture(tmp_path: Path) -> None:
    """As by a program that does not know what it requires."""
    choice = '<mc:Choice Requires="%s"><p:%s r:id="a"/></mc:Choice><mc:Fallback><p:pic/></mc:Fallback>'
    document = tmp_path / "document"
    with zipfile.ZipFile(document, "w") as package:
        package.writestr("ppt/slides/slide1.xml", choice % ("p14 aink", "contentPart") + choice % ("p14", "sp"))
    assert not officeshapes.take_out(document)
    with zipfile.ZipFile(document) as made:
        shown = choice % ("ink-p14 aink", "contentPart") + choice % ("p14", "sp")
        assert made.read("ppt/slides/slide1.xml").decode() == shown
