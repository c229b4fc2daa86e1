"""What was deleted in a text while its changes were tracked is not printed, and that is told."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from gateway.document import package, revisions, sniff
from gateway.document.compound import Compound

from . import made_compound, made_office

ACCEPTED = "tracked changes are shown as accepted, without what was deleted"
STRUCK = "tracked changes are shown as such, with what was deleted struck out"


@pytest.mark.parametrize(
    "change", ["<w:del w:id='1'>", "<w:ins w:id='1'>", "<w:rPr><w:del/></w:rPr>", "<w:moveFrom >", "<w:rPrChange >"]
)
@pytest.mark.parametrize("number", ["", "2"])
def test_the_settings_of_a_text_of_word_say_that_its_changes_are_not_shown(
    tmp_path: Path, change: str, number: str
) -> None:
    document, settings = tmp_path / "document", f"word/settings{number}.xml"
    parts = {
        "word/footer1.xml": change,
        settings: "<w:settings><w:zoom/></w:settings>",
        "word/document.xml": "",
    }
    with zipfile.ZipFile(document, "w") as package:
        for name, text in parts.items():
            package.writestr(name, text)
    assert revisions.accept(document, sniff.OFFICE) == ACCEPTED
    with zipfile.ZipFile(document) as package:
        assert package.read(settings) == b'<w:settings><w:zoom/><w:revisionView w:markup="0"/></w:settings>'
        assert package.read("word/footer1.xml") == change.encode()


def test_a_text_without_settings_shows_its_changes_which_is_told(tmp_path: Path) -> None:
    document = tmp_path / "document"
    document.write_bytes(made_office.changed(made_office.docx(), "word/document.xml", b"<w:r>", b"<w:ins /><w:r>"))
    assert revisions.accept(document, sniff.OFFICE) == STRUCK
    with zipfile.ZipFile(document, "a") as package:
        package.writestr("word/settings.xml", "<settings xmlns='w'></settings>")  # which does not know our prefix
    assert revisions.accept(document, sniff.OFFICE) == STRUCK


@pytest.mark.parametrize("text", ["<w:instrText>", "<w:delText>", "<w:moveToRangeStart/>", "<w:trackRevisions/>"])
def test_a_text_without_changes_stays_as_it_is(tmp_path: Path, text: str) -> None:
    document = tmp_path / "document"
    document.write_bytes(
        made_office.changed(made_office.docx(), "word/document.xml", b"<w:r>", f"{text}<w:r>".encode())
    )
    before = document.read_bytes()
    assert revisions.accept(document, sniff.OFFICE) == ""
    assert document.read_bytes() == before


REGION = "<text:tracked-changes><text:changed-region>gone</text:changed-region></text:tracked-changes>"
IN_PLACE = REGION.replace("gone", "<text:deletion><office:change-info></office:change-info>\n </text:deletion>")
EMPTY = '<text:tracked-changes text:track-changes="false"/>'


@pytest.mark.parametrize(
    ("text", "accepted", "said"),
    [
        (f"{EMPTY}a{REGION}b{REGION}", f"{EMPTY}ab", ACCEPTED),
        (EMPTY, EMPTY, ""),
        (f"{IN_PLACE}a{REGION}", f"{IN_PLACE}a{REGION}", STRUCK),
        ("<text:tracked-changes><text:changed-region>" * 99_999, "<text:tracked-changes><text:changed-region>" * 99_999, ""),
    ],
)  # fmt: skip
def test_what_was_deleted_in_an_opendocument_is_taken_out(tmp_path: Path, text: str, accepted: str, said: str) -> None:
    document = tmp_path / "document"
    document.write_text(text)
    assert revisions.accept(document, sniff.OFFICE_XML) == said
    assert document.read_text() == accepted
    with zipfile.ZipFile(document, "w") as package:
        package.writestr("content.xml", text)
    assert revisions.accept(document, sniff.OFFICE) == said
    with zipfile.ZipFile(document) as package:
        assert package.read("content.xml").decode() == accepted


def test_a_text_that_is_too_long_to_be_looked_through_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "LONGEST", 150)
    document = tmp_path / "document"
    with zipfile.ZipFile(document, "w") as made:
        made.writestr("content.xml", REGION + "a" * 100)
    assert revisions.accept(document, sniff.OFFICE) == ""
    with zipfile.ZipFile(document) as made:
        assert made.read("content.xml").decode() == REGION + "a" * 100


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (r"{\deleted\revauthdel1 one}{\revised\revauth1 two}", r"{\v\xrevauthdel1 one}{\xrevised\xrevauth1 two}"),
        (r"\revtbl \\revised \\deleted", r"\revtbl \\revised \\deleted"),
    ],
)
def test_what_was_deleted_in_rtf_is_hidden(tmp_path: Path, text: str, accepted: str) -> None:
    document = tmp_path / "document"
    document.write_text(text)
    assert revisions.accept(document, sniff.RTF) == (ACCEPTED if text != accepted else "")
    assert document.read_text() == accepted


@pytest.mark.parametrize("which", [0, 2])  # of the tables
@pytest.mark.parametrize(
    "properties",
    [b"\x00\x08\x01\x63\x48\x01\x00", b"\x01\x08\x01\x05\x68\0\0\0\0", b"\x04\x48\x02\x00\x01\x08\x01", b""],
)
def test_the_settings_of_old_word_say_that_changes_are_not_shown(tmp_path: Path, which: int, properties: bytes) -> None:
    stream = "1Table" if which else "0Table"
    head = bytearray(900) + properties
    struct.pack_into("<HH", head, 0, 0xA5EC, 0xC1)
    head[0x0B] = which
    struct.pack_into("<I", head, 0x192, 5)
    document = tmp_path / "document"
    document.write_bytes(made_compound.compound({"WordDocument": bytes(head), stream: b"\xff" * 20}))
    assert revisions.accept(document, sniff.OLE) == (ACCEPTED if properties else "")
    made = Compound(document.read_bytes()).read(stream)
    assert made == (b"\xff" * 12 + b"\xe7" + b"\xff" * 7 if properties else b"\xff" * 20)


def _mark(kind: str, words: str) -> str:
    return f'<aml:annotation aml:id="0" w:type="Word.{kind}" aml:author="A"><aml:content>{words}</aml:content></aml:annotation>'


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("a" + _mark("Deletion", "gone") + "b" + _mark("Insertion", "new") + "c", "abnewc"),  # LibreOffice leaves both out
        (_mark("Insertion", "a" + _mark("Deletion", "gone") + _mark("Formatting", "b") + "c"), "a" + _mark("Formatting", "b") + "c"),
        (_mark("Deletion", _mark("Insertion", "gone") + _mark("Comment", "gone")) + "a", "a"),
        (_mark("Insertion", '<aml:annotation w:type="Word.Bookmark.End"/>a'), '<aml:annotation w:type="Word.Bookmark.End"/>a'),
        (_mark("Comment", "a"), ""),
        ('<aml:annotation w:type="Word.Insertion"/>a', ""),
        ('<aml:annotation w:type="Word.Deletion">' * 10_000, "\n"),  # in no time
    ],
)  # fmt: skip
def test_changes_of_a_text_of_word_2003_are_accepted(tmp_path: Path, text: str, accepted: str) -> None:
    document = tmp_path / "document"
    document.write_text(f"{text}\n")
    assert revisions.accept(document, sniff.OFFICE_XML) == (ACCEPTED if accepted else "")
    assert document.read_text().rstrip() == (accepted or text).rstrip()


def test_other_files_of_the_old_kinds_stay_as_they_are(tmp_path: Path) -> None:
    document = tmp_path / "document"
    for data in (made_compound.xls(), made_compound.ppt(), b"\xd0\xcf"):
        document.write_bytes(data)
        assert revisions.accept(document, sniff.OLE) == ""
        assert document.read_bytes() == data
