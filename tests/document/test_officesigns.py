"""Signs of Wingdings in office documents, where LibreOffice would draw boxes or letters."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gateway.document import officesigns

from . import made_office


def settled(tmp_path: Path, data: bytes, name: str) -> str:
    document = tmp_path / "document.docx"
    document.write_bytes(data)
    officesigns.settle(document)
    with zipfile.ZipFile(document) as made:
        return made.read(name).decode()


@pytest.mark.parametrize(
    ("font", "words", "shown"),
    [
        ('w:ascii="Wingdings" w:hAnsi="Wingdings"', "\uf0fc J", "✓ ☺"), ('w:hAnsi="Wingdings"', "&#xF0E0;&quot;", "→✂"),
        ('w:ascii="Wingdings 2"', "\uf050J", "\uf050J"), ('w:ascii="Arial" w:cs="Wingdings"', "J", "J"),
    ],
)  # fmt: skip
def test_a_run_of_word_has_its_signs(tmp_path: Path, font: str, words: str, shown: str) -> None:
    run = f"<w:r><w:rPr><w:rFonts {font}/></w:rPr><w:t>{words}</w:t></w:r><w:r><w:t>J &amp; K</w:t></w:r>"
    text = made_office.changed(made_office.docx(), "word/document.xml", b"<w:r><w:t>Word</w:t></w:r>", run.encode())
    made = settled(tmp_path, text, "word/document.xml")
    assert f"<w:t>{shown}</w:t>" in made
    assert "<w:t>J &amp; K</w:t>" in made


def test_a_sign_has_a_run_of_its_own(tmp_path: Path) -> None:
    head = '<w:r w:rsidR="1"><w:rPr><w:b/></w:rPr>'
    sign, words = '<w:sym w:font="Symbol" w:char="F0B3"/>', "<w:tab/><w:t>5 K</w:t>"
    box = f"<w:r><w:pict><w:txbxContent><w:p>{head}{sign}{words}</w:r></w:p></w:txbxContent></w:pict></w:r>"
    alone = f"<w:r>{sign}</w:r>"
    old = b"<w:r><w:t>Word</w:t></w:r>"
    text = made_office.changed(made_office.docx(), "word/document.xml", old, (box + alone).encode())
    made = settled(tmp_path, text, "word/document.xml")
    assert f"<w:p>{head}</w:r>{head}{sign}</w:r>{head}{words}</w:r></w:p>" in made
    assert made.endswith(f"</w:pict></w:r>{alone}</w:p></w:body></w:document>")


@pytest.mark.parametrize(("font", "shown"), [("sym", "to → J"), ("latin", "\N{SNOWFLAKE}□ → ☺")])
def test_a_run_of_a_slide_has_its_signs(tmp_path: Path, font: str, shown: str) -> None:
    run = f'<a:r><a:rPr><a:{font} typeface="Wingdings" charset="2"/></a:rPr><a:t>{"to" if font == "sym" else "To"} \uf0e0 J</a:t></a:r>'
    show = made_office.changed(made_office.pptx(), "ppt/slides/slide1.xml", b"<a:r><a:t>Word</a:t></a:r>", run.encode())
    assert f"<a:t>{shown}</a:t>" in settled(tmp_path, show, "ppt/slides/slide1.xml")
