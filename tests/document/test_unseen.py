"""Words of an office document that LibreOffice leaves out for want of room are told."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gateway.document import office, unseen

from . import made, made_office

SHOWN = ["Offer of Stra\u00dfe 4711", "a ship-", "building firm BIG GRO MARKT", "caf\u00e9"]


def told(tmp_path: Path, parts: dict[str, str]) -> list[str]:
    document, print_ = tmp_path / "document", tmp_path / "print"
    with zipfile.ZipFile(document, "w") as package:
        for name, text in parts.items():
            package.writestr(name, text)
    sheet = made.Sheet()
    for number, line in enumerate(SHOWN):
        sheet.text(72, 72 + 20 * number, line)
    print_.write_bytes(made.pdf([sheet]))
    return list(unseen.told(document, office.words(print_)))


def run(words: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{words}</w:t></w:r>'


def field(says: str, words: str) -> str:
    begin, middle, end = (f'<w:r><w:fldChar w:fldCharType="{each}"/></w:r>' for each in ("begin", "separate", "end"))
    return f"{begin}<w:r><w:instrText> {says} </w:instrText></w:r>{middle}{run(words)}{end}"


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (run("Offer, STRASSE 4711: ") + run("shipbuilding") + run("big"), ""),
        (run("cafe\u0301 of"), ""),
        (run("Offer and more"), "2 words are missing from its pages: and, more"),
        (run("Gro\u00dfmarkt"), ""),  # whose one letter is of another font
        (run("Kapit\u00e4n"), "a word is missing from its pages: Kapit\u00e4n"),
        (run("one, two, three, four"), "4 words are missing from its pages: one, two, three..."),
        (run("\u65e5\u672c\u8a9e \u05e9\u05dc\u05d5\u05dd ab"), ""),  # may stand there in another order; signs
        (field("DATE", "Monday") + field("hyperlink x", "Offer"), ""),
        (field("HYPERLINK x", "link") + field("TOC", field("HYPERLINK y", "entry")), "2 words are missing from its pages: link, entry"),
        ('<w:fldSimple w:instr="NUMPAGES">' + run("seven") + "</w:fldSimple>" + run("firm"), ""),
        ("<mc:Fallback>" + run("other") + "</mc:Fallback><mc:Fallback/>" + run("lost"), "a word is missing from its pages: lost"),
        ('<w:moveFrom w:id="1">' + run("elsewhere") + "</w:moveFrom>" + run("firm"), ""),
        (run("hidden", "<w:vanish/>") + run("firm"), ""),
        ('<v:textpath string="x"/>' + run("lost"), ""),  # letters that are drawn
        ("<w:t " * 300_000 + "<a:fld " * 300_000, ""),  # in no time
    ],
)  # fmt: skip
def test_words_of_a_text_that_are_on_no_page_are_told(tmp_path: Path, text: str, lost: str) -> None:
    assert told(tmp_path, {"word/document.xml": text}) == ([lost] if lost else [])
    assert told(tmp_path, {"word/document2.xml": text}) == ([lost] if lost else [])  # of Word on the web
    assert told(tmp_path, {"word/comments.xml": text}) == []


def test_words_of_a_text_of_word_2003_that_are_on_no_page_are_told(tmp_path: Path) -> None:
    document, print_ = tmp_path / "document", tmp_path / "print"
    print_.write_bytes(made.pdf([made.Sheet().text(72, 72, "Offer")]))
    note = '<aml:annotation w:type="Word.Comment"><aml:content>' + run("remark") + "</aml:content></aml:annotation>"
    head = "<w:sectPr><w:hdr>" + run("Letterhead") + "</w:hdr></w:sectPr>"  # which LibreOffice leaves out
    ruby = "<w:r><w:ruby><w:rt>" + run("reading") + "</w:rt></w:ruby></w:r>"
    text = run("Offer") + note + run("hidden", "<w:vanish/>") + ruby + '<aml:annotation w:type="Word.Bookmark.Start"/>'
    start = '<?xml version="1.0"?><w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/%s/wordml">'
    for words, year, lost in (
        (text, "2003", []),
        (text + head, "2003", ["a word is missing from its pages: Letterhead"]),
        (text + head, "2004", []),
    ):
        document.write_text(start % year + words)
        assert list(unseen.told(document, office.words(print_))) == lost


def test_words_of_a_slide_that_are_on_no_page_are_told(tmp_path: Path) -> None:
    text = '<p:sld %s><a:p><a:r><a:t>Offer below</a:t></a:r><a:fld type="slidenum"><a:t>777</a:t></a:fld></a:p></p:sld>'
    assert told(tmp_path, {"ppt/slides/slide1.xml": text % ""}) == ["a word is missing from its pages: below"]
    assert told(tmp_path, {"ppt/slides/slide1.xml": text % 'show="0"'}) == []


@pytest.mark.parametrize(
    "hides", ['<sheet state="hidden"/>', "<definedName name='_xlnm.Print_Area'/>", '<row r="1" hidden="1">']
)
def test_words_of_a_table_that_are_on_no_page_are_told(tmp_path: Path, hides: str) -> None:
    words = {"xl/sharedStrings.xml": "<sst><si><t>Offer cut</t><rPh><t>read</t></rPh></si></sst>"}
    assert told(tmp_path, words) == ["a word is missing from its pages: cut"]
    of_net = {"xl/sharedStrings.xml": "<x:sst><x:si><x:t>Offer cut</x:t><x:rPh><x:t>read</x:t></x:rPh></x:si></x:sst>"}
    assert told(tmp_path, of_net) == ["a word is missing from its pages: cut"]
    hidden = hides.replace("<row", "<x:row")
    assert told(tmp_path, {"xl/workbook.xml": hidden, "xl/worksheets/a.xml": hidden, **of_net}) == []
    assert told(tmp_path, {"xl/workbook.xml": hides, "xl/worksheets/a.xml": hides, **words}) == []


def test_words_within_the_cells_of_a_table_are_looked_for(tmp_path: Path) -> None:
    sheet = '<row><c t="inlineStr"><is><t>Offer</t></is></c><c t="inlineStr"><is><r><t>cut</t></r></is></c><c><v>77</v></c></row>'
    assert told(tmp_path, {"xl/worksheets/a.xml": sheet}) == ["a word is missing from its pages: cut"]
    assert told(tmp_path, {"xl/worksheets/a.xml": '<row r="1" hidden="1">' + sheet}) == []


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("<text:h>Offer of</text:h><text:p>Stra<text:span>\u00dfe</text:span><text:s/>4711 <text:a>ship</text:a>building</text:p>", ""),
        ("<text:p>Offer<text:tab/>lost</text:p>", "a word is missing from its pages: lost"),
        ("<text:p>firm <text:date>Monday</text:date><text:note><text:note-body><text:p>foot</text:p></text:note-body></text:note></text:p>",
         "a word is missing from its pages: foot"),
        ("<text:p><office:annotation><text:p>No!</text:p></office:annotation>BIG</text:p>", ""),
        ("<draw:page><presentation:notes><text:p>spoken</text:p></presentation:notes></draw:page>", ""),
        ('<draw:frame presentation:placeholder="true"><text:p>Click here</text:p></draw:frame>', ""),
        ("<table:table><table:covered-table-cell><text:p>below</text:p></table:covered-table-cell></table:table>", ""),
        ('<table:table-cell office:value-type="date"><text:p>29.11.2026</text:p></table:table-cell>', ""),
        ('<table:table-cell office:value-type="string"><text:p>cut off</text:p></table:table-cell>',
         "a word is missing from its pages: cut"),
        ('<table:table table:print-ranges="A.A1"><text:p>cut</text:p></table:table>', ""),
        ('<table:table table:print-ranges=""><text:p>cut</text:p></table:table>', "a word is missing from its pages: cut"),
        ('<text:section text:display="none"><text:p>cut</text:p></text:section>', ""),
        ("<table:content-validations><table:help-message><text:p>Type a date</text:p></table:help-message></table:content-validations>", ""),
        ("<text:p>cut", ""),  # damaged
    ],
)  # fmt: skip
def test_words_of_an_opendocument_that_are_on_no_page_are_told(tmp_path: Path, text: str, lost: str) -> None:
    content = made_office.flat("text").decode()
    at, end = content.index("<text:p>"), content.index("</office:text>")
    styles = "<office:automatic-styles><text:p>1</text:p></office:automatic-styles><office:body>"
    document = (content[:at] + text + content[end:]).replace("<office:body>", styles)
    assert told(tmp_path, {"content.xml": document}) == ([lost] if lost else [])
    one_xml = tmp_path / "one.xml"
    one_xml.write_text(document)
    assert list(unseen.told(one_xml, SHOWN)) == ([lost] if lost else [])


def test_of_an_old_text_the_words_are_looked_for_that_libreoffice_gives(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == []
    plain = tmp_path / "plain"
    plain.write_text("\ufeffOffer\nlost", encoding="utf-8")
    for old in (b"{\\rtf1 Offer}", b"\xd0\xcf\x11\xe0"):
        (tmp_path / "document").write_bytes(old)
        assert list(unseen.told(tmp_path / "document", SHOWN, plain)) == ["a word is missing from its pages: lost"]
        assert list(unseen.told(tmp_path / "document", SHOWN)) == []


def test_no_more_than_a_thousand_lost_words_are_looked_for(tmp_path: Path) -> None:
    text = run(" ".join(f"lost{n}" for n in range(100_000)))
    (said,) = told(tmp_path, {"word/document.xml": text})
    assert said == "1000 words or more are missing from its pages: lost0, lost1, lost2..."
