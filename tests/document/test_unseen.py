"""Words of an office document that LibreOffice leaves out for want of room are told."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gateway.document import unseen

from . import made

SHOWN = ["Offer of Stra\u00dfe 4711", "a ship-", "building firm BIG", "caf\u00e9"]


def told(tmp_path: Path, parts: dict[str, str]) -> list[str]:
    document, print_ = tmp_path / "document", tmp_path / "print"
    with zipfile.ZipFile(document, "w") as package:
        for name, text in parts.items():
            package.writestr(name, text)
    sheet = made.Sheet()
    for number, line in enumerate(SHOWN):
        sheet.text(72, 72 + 20 * number, line)
    print_.write_bytes(made.pdf([sheet]))
    return list(unseen.told(document, print_))


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
        (run("Offer and more"), "2 words of it are on none of its pages: and, more"),
        (run("Kapit\u00e4n"), "a word of it is on none of its pages: Kapit\u00e4n"),
        (run("one, two, three, four"), "4 words of it are on none of its pages: one, two, three..."),
        (run("\u65e5\u672c\u8a9e \u05e9\u05dc\u05d5\u05dd ab"), ""),  # may stand there in another order; signs
        (field("DATE", "Monday") + field("hyperlink x", "Offer"), ""),
        (field("HYPERLINK x", "link") + field("TOC", field("HYPERLINK y", "entry")), "2 words of it are on none of its pages: link, entry"),
        ('<w:fldSimple w:instr="NUMPAGES">' + run("seven") + "</w:fldSimple>" + run("firm"), ""),
        ("<mc:Fallback>" + run("other") + "</mc:Fallback><mc:Fallback/>" + run("lost"), "a word of it is on none of its pages: lost"),
        ('<w:moveFrom w:id="1">' + run("elsewhere") + "</w:moveFrom>" + run("firm"), ""),
        (run("hidden", "<w:vanish/>") + run("firm"), ""),
        ('<v:textpath string="x"/>' + run("lost"), ""),  # letters that are drawn
        ("<w:t " * 300_000 + "<a:fld " * 300_000, ""),  # in no time
    ],
)  # fmt: skip
def test_words_of_a_text_that_are_on_no_page_are_told(tmp_path: Path, text: str, lost: str) -> None:
    assert told(tmp_path, {"word/document.xml": text}) == ([lost] if lost else [])
    assert told(tmp_path, {"word/comments.xml": text}) == []


def test_words_of_a_slide_that_are_on_no_page_are_told(tmp_path: Path) -> None:
    text = '<p:sld %s><a:p><a:r><a:t>Offer below</a:t></a:r><a:fld type="slidenum"><a:t>777</a:t></a:fld></a:p></p:sld>'
    assert told(tmp_path, {"ppt/slides/slide1.xml": text % ""}) == ["a word of it is on none of its pages: below"]
    assert told(tmp_path, {"ppt/slides/slide1.xml": text % 'show="0"'}) == []


@pytest.mark.parametrize(
    "hides", ['<sheet state="hidden"/>', "<definedName name='_xlnm.Print_Area'/>", '<row r="1" hidden="1">']
)
def test_words_of_a_table_that_are_on_no_page_are_told(tmp_path: Path, hides: str) -> None:
    words = {"xl/sharedStrings.xml": "<sst><si><t>Offer cut</t><rPh><t>read</t></rPh></si></sst>"}
    assert told(tmp_path, words) == ["a word of it is on none of its pages: cut"]
    assert told(tmp_path, {"xl/workbook.xml": hides, "xl/worksheets/a.xml": hides, **words}) == []


def test_no_more_than_a_thousand_lost_words_are_looked_for(tmp_path: Path) -> None:
    text = run(" ".join(f"lost{n}" for n in range(100_000)))
    (said,) = told(tmp_path, {"word/document.xml": text})
    assert said == "1000 words or more of it are on none of its pages: lost0, lost1, lost2..."
