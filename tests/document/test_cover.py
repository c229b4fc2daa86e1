"""Cover pages: drawn whole in every language, counted among the pages, and no way in for what strangers write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.document import cover, layout, raster, sources, text
from gateway.document.cover_choice import CoverChoice, shipped
from gateway.document.cover_facts import gather
from gateway.document.cover_words import WORDS
from gateway.document.refusal import Unfaxable
from gateway.errors import Refused
from gateway.model import FaxOptions

from .conftest import Fax

LETTER = raster.grid("letter", "fine")
FACTS = {
    "to": "Dr. Maria Steinfeld", "to_company": "St. Vincent Hospital", "to_fax": "+12025550123", "from": "Ann Example",
    "from_company": "Miller & Sons", "from_department": "Claims", "from_fax": "+12025550188",
    "from_voice": "+12025550187", "from_email": "ann.example@miller.example", "regarding": "Records of January 12",
    "reference": "2026-0417", "at": 1_769_860_000.0,
}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written on pages from now on, line by line."""
    lines: list[str] = []
    real = text.Typesetter.draw

    def draw(self: text.Typesetter, canvas: Any, x: float, y: float, line: str, fill: int = 0) -> None:
        lines.append(line)
        real(self, canvas, x, y, line, fill)

    monkeypatch.setattr(text.Typesetter, "draw", draw)
    return lines


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("name", shipped())
def test_every_field_is_on_every_page_in_every_language(name: str, language: str, drawn: list[str]) -> None:
    facts = {**FACTS, "comments": "Please sign.", "language": language}
    image, fits = cover.draw(cover._source(name), facts, 7, LETTER)
    assert (image.mode, image.size, fits) == ("1", (1728, LETTER.height), True)
    page = " ".join(drawn)
    for field, value in FACTS.items():
        assert field == "at" or value in page or value in "".join(drawn), field
    for each in ("7", "2026", "Please sign.", WORDS[language]["including"].split()[-1]):
        assert each in page
    assert WORDS[language]["notice"].split()[0] in page


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("target", [raster.grid("a4", "standard"), LETTER])
def test_with_nothing_known_it_is_a_page_still(name: str, target: raster.Grid, drawn: list[str]) -> None:
    image, fits = cover.draw(cover._source(name), {"confidentiality": "none"}, 1, target)
    assert (image.size, fits) == ((1728, target.height), True)
    assert not any(word.rstrip(":") == WORDS["en"]["reference"] for word in drawn)
    assert WORDS["en"]["notice"].split()[0] not in " ".join(drawn)


def test_all_languages_have_the_same_words() -> None:
    assert len({frozenset(words) for words in WORDS.values()}) == 1
    dates = {language: cover.date(cover.datetime(2026, 3, 1), language) for language in WORDS}
    assert dates == {"en": "March 1, 2026", "de": "1. März 2026", "fr": "1 mars 2026", "es": "1 de marzo de 2026"}


def test_what_strangers_write_is_text() -> None:
    nasty = "<box fill='black'/> {{ 7 * 7 }} <!DOCTYPE x> & \x00\x0b\ud800 ]]>\u202e"
    facts = dict.fromkeys([*cover.FIELDS], nasty)
    for name in shipped():
        cover.draw(cover._source(name), facts, 1, LETTER)
    plain, _ = cover.draw("<page><text>{{ to }}</text></page>", {"to": "<rule/>"}, 1, LETTER)
    blank, _ = cover.draw("<page><text>&lt;rule/&gt;</text></page>", {}, 1, LETTER)
    assert plain.tobytes() == blank.tobytes()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<page><text>{{ tto }}</text></page>", "'tto' is undefined"),
        ("<page>\n{% if %}</page>", "line 2: "),
        ("<page><text>", "no well-formed XML"),
        ("<text/>", "outermost element is <text>"),
        ("<page><img/></page>", "there is no element <img> in <page>"),
        ("<page>Hello</page>", "text directly in <page>"),
        ("<page><rule/>Hello</page>", "text directly in <page>"),
        ("<page><text><rule/></text></page>", "<text> holds text and nothing else"),
        ('<page><text size="big"/></page>', '<text size="big">: it is a number'),
        ('<page><text size="2"/></page>', "4 to 200 points"),
        ('<page><text font="comic"/></page>', "sans, serif or mono"),
        ('<page><text align="up"/></page>', "left, center or right"),
        ('<page><text colour="red"/></page>', "<text> has no colour; it has lines"),
        ('<page><columns widths="1"><column/><column/></columns></page>', "one number above 0 for each column"),
        ("<page><columns widths='x'><column/></columns></page>", "one number above 0 for each column"),
        ("<page><columns><text/></columns></page>", "<column> elements and nothing else"),
        ('<page margin="5"/>', "leave no room"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><page/>", "document type"),
        ("<page>" + "<box>" * 30 + "</box>" * 30 + "</page>", "more than 20 deep"),
        ("<page><text>{{ ().__class__.__bases__ }}</text></page>", "unsafe"),
        ("<page><text>{{ 1 // 0 }}</text></page>", "division"),
        ("<page>{% include 'x' %}</page>", "loader"),
    ],
)
def test_a_mistake_in_a_template_is_named_with_its_file(source: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "ours.cover").write_text(source)
    with pytest.raises(cover.CoverError) as caught:
        cover.own(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'ours.cover'}: ")
    assert words in str(caught.value)


def test_a_directory_without_cover_pages_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no", "there is no directory"), (tmp_path, "there is no cover page in")):
        with pytest.raises(cover.CoverError, match=words):
            cover.own(path)
    (tmp_path / "AUTO.cover").write_text("<page/>")
    with pytest.raises(cover.CoverError, match="named by small letters"):
        cover.own(tmp_path)
    (tmp_path / "ours.cover").write_bytes(b"\xff")
    (tmp_path / "yours.cover").write_text("<page><page/></page>")
    (tmp_path / "good.cover").write_text("<page/>")
    with pytest.raises(cover.CoverError, match="it is not UTF-8 text") as caught:
        cover.own(tmp_path)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        str(tmp_path / f"{name}.cover") for name in ("AUTO", "ours", "yours")
    ]


def test_boxes_and_fills_share_what_is_left() -> None:
    box = '<box grow="yes" border="3"><text>x</text></box>'
    image, fits, _ = layout.picture(f'<page margin="1">{box}<fill/>{box}</page>', LETTER)
    assert fits
    rows = [not image.crop((500, row, 600, row + 1)).getextrema()[0] for row in range(image.height)]
    edges = [row for row in range(1, image.height) if rows[row] and not rows[row - 1]]
    assert (edges[0], len(edges)) == (196, 4)  # each box has an upper and a lower edge
    assert abs((edges[1] - edges[0]) - (edges[3] - edges[2])) <= 2


def test_one_long_word_is_set_smaller_and_a_longer_one_broken(drawn: list[str]) -> None:
    def lines(word: str) -> list[str]:
        drawn.clear()
        layout.picture(f'<page margin="3"><text size="14">{word}</text></page>', LETTER)
        return [*drawn]

    assert len(lines("ann.example@example.org")) == 1
    assert len(lines("a" * 60)) > 1
    drawn.clear()
    layout.picture(f'<page margin="3"><text lines="2">{"word " * 60}</text></page>', LETTER)
    assert (len(drawn), drawn[1][-1]) == (2, "…")


# --- which ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "says"),
    [  # nothing, none, on-request, auto, enforced, a name
        ("none", ["", "", "", None, None, None]),
        ("on-request", ["", "", "", "classic", "classic", "modern"]),
        ("auto", ["classic", "", "", "classic", "classic", "modern"]),
        ("enforced", ["classic", "classic", "classic", "classic", "classic", "modern"]),
    ],
)
def test_which_cover_page_it_is(mode: str, says: list[str | None]) -> None:
    choice = CoverChoice(mode, "classic", ("classic", "modern"))
    for asked, expected in zip(("", "none", "on-request", "auto", "enforced", "mod"), says, strict=True):
        if expected is None:
            with pytest.raises(Refused, match="not used here"):
                choice(asked)
        else:
            assert choice(asked) == expected, asked


def test_a_name_that_is_none_or_means_two_is_refused_with_those_there_are() -> None:
    choice = CoverChoice("auto", "classic", ("classic", "modern", "mono"))
    for asked in ("blue", "mo"):
        with pytest.raises(Refused, match=f"there is no cover page {asked}; there are classic, modern, mono"):
            choice(asked)


def test_facts_come_from_the_mail_its_options_and_the_configuration() -> None:
    headers = {"from": '"Ann, Sales" <ann@example.org>', "to": "Bob <x@y>, Dr. Sm <+1202@FAX.local>"}
    ours = {"from_company": "Ours", "from_department": "Office", "language": "de"}
    where: dict[str, Any] = {"number": "+1202", "sender": "s@example.org", "subject": "S", "at": 5.0}
    facts = gather(headers, FaxOptions(from_department="Claims", reference="R"), ours, rcpt="+1202@fax.local", **where)
    assert facts == {
        **ours, "to": "Dr. Sm", "to_company": "", "to_fax": "+1202", "from": "Ann, Sales", "from_email": "ann@example.org",
        "from_department": "Claims", "from_voice": "", "regarding": "S", "reference": "R", "at": 5.0,
    }  # fmt: skip
    facts = gather({}, FaxOptions(attn="Eve", org="Acme", language="fr"), ours, rcpt="x@fax.local", **where)
    got = [facts[name] for name in ("to", "to_company", "from", "language")]
    assert got == ["Eve", "Acme", "s@example.org", "fr"]


@pytest.mark.parametrize(
    ("to", "attn", "on_it"),
    [
        ("Dr. Sm <reception@fax.local>", "", "Dr. Sm"),
        ("Dr. Sm <reception@fax.local>", "Eve", "Eve"),
        ("reception@fax.local", "", "Front desk"),
        ("Reception <reception@fax.local>", "", "Front desk"),
        ("'reception@fax.local' <reception@fax.local>", "", "Front desk"),
        ("+1 (202) 555-0123 <reception@fax.local>", "", "Front desk"),
        ("Somebody <else@example.org>", "", "Front desk"),
        ("", "Eve", "Eve"),
    ],
)
def test_the_address_book_names_the_recipient_where_the_mail_does_not(to: str, attn: str, on_it: str) -> None:
    facts = gather(
        {"to": to}, FaxOptions(attn=attn, addressee="Front desk"), {},
        rcpt="reception@fax.local", number="+12025550123", sender="", subject="", at=0.0,
    )  # fmt: skip
    assert facts["to"] == on_it


# --- in a fax ---------------------------------------------------------------------------------------------------------


def _ledger(made: dict[str, Any]) -> list[tuple[str, int | None, int | None]]:
    return [(entry["part"], entry["first_page"], entry["last_page"]) for entry in made["ledger"]]


def test_a_short_text_stands_on_the_cover_page_which_is_counted(fax: Fax, drawn: list[str]) -> None:
    made = fax.make(
        fax.text("Please sign."), fax.part("list.txt", b"one\ftwo", charset="utf-8"), cover="classic", cover_facts=FACTS
    )
    assert made["pages"] == 3
    assert _ledger(made) == [
        ("cover page classic", 1, 1),
        ("message text, on the cover page", 1, 1),
        ("list.txt", 2, 3),
    ]
    assert "Please sign." in drawn
    assert any(line.startswith("3 (including") for line in drawn)


def test_a_subject_that_is_cut_off_on_the_cover_page_is_told(fax: Fax, drawn: list[str]) -> None:
    subject = "Records of January 12 " * 20
    made = fax.make(fax.text("Please sign."), cover="classic", cover_facts={**FACTS, "regarding": subject})
    assert "cut off" in made["ledger"][0]["note"]
    assert "…" in " ".join(drawn)
    made = fax.make(fax.text("Please sign."), cover="classic", cover_facts={**FACTS, "regarding": subject[:200]})
    assert not made["ledger"][0]["note"]


def test_a_text_alone_on_a_cover_page_is_a_fax(fax: Fax) -> None:
    made = fax.make(fax.html("<p>Please <b>sign</b>.</p>"), cover="compact", cover_facts={})
    assert (made["pages"], len(made["ledger"])) == (1, 2)


@pytest.mark.parametrize("content", ["word " * 400, "line\n" * 80])
def test_a_text_that_is_long_has_pages_of_its_own(fax: Fax, content: str) -> None:
    made = fax.make(fax.text(content), cover="modern", cover_facts=FACTS)
    assert [part for part, *_ in _ledger(made)] == ["cover page modern", "message text"]
    assert _ledger(made)[1][1] == 2


def test_nothing_to_fax_is_no_fax_of_a_cover_page(fax: Fax) -> None:
    with pytest.raises(Unfaxable, match="nothing to fax: message text: left out"):
        fax.make(fax.text("Hi."), body="never", cover="classic", cover_facts=FACTS)
    with pytest.raises(Unfaxable, match="page"):
        fax.make(fax.part("a.txt", b"a\fb", charset="utf-8"), cover="classic", cover_facts=FACTS, max_pages=2)


def test_a_template_of_ones_own_is_used_and_its_trouble_named(fax: Fax) -> None:
    part = fax.part("a.txt", b"a", charset="utf-8")
    ours = {"covers": {"ours": "<page><text>{{ to }}</text></page>"}, "cover_facts": {"to": "Eve"}}
    assert fax.make(part, cover="ours", **ours)["pages"] == 2
    with pytest.raises(Unfaxable, match=r"the cover page ours cannot be made .*tell the administrator"):
        fax.make(part, cover="ours", covers={"ours": "<page>{{ x }}</page>"})
    with pytest.raises(Unfaxable, match="more than a page"):
        fax.make(part, cover="ours", covers={"ours": '<page><space height="20"/></page>'})


@pytest.mark.parametrize(
    ("template", "on_it"),
    [
        ("<text>{{ comments|upper }}</text>", True),
        ('<field label="Text">{{ comments }}</field>', True),
        ("<text>{{ regarding }}: ok</text>", False),
        ('<text lines="1">{{ comments }}</text>', False),
        ("<text>{{ comments|truncate(20) }}</text>", False),
    ],
)
@pytest.mark.parametrize("content", ["ok", "Please sign both copies today. " * 12])
def test_a_template_that_does_not_show_the_text_leaves_it_its_own_page(
    fax: Fax, template: str, on_it: bool, content: str
) -> None:
    part = fax.part("a.txt", b"a", charset="utf-8")
    covers = {"ours": f"<page>{template}</page>"}
    made = fax.make(fax.text(content), part, cover="ours", covers=covers, cover_facts={})
    whole = on_it or (content == "ok" and "comments" in template)
    assert made["pages"] == (2 if whole else 3)
    assert _ledger(made)[1] == (("message text, on the cover page", 1, 1) if whole else ("message text", 2, 2))


def test_what_no_font_has_is_told_of_a_cover_page_each_time(fax: Fax) -> None:
    for _ in range(2):
        made = fax.make(fax.text("Hi."), cover="classic", cover_facts={"regarding": "a \U0001316f"})
        assert made["ledger"][0]["note"].endswith("U+1316F; if they matter, send a PDF with its fonts embedded")


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("name", ["classic", "modern", "compact"])
def test_a_sender_is_not_told_to_write_our_page_larger(fax: Fax, name: str, resolution: str) -> None:
    part = fax.part("a.txt", b"a", charset="utf-8")
    made = fax.make(part, cover=name, cover_facts=FACTS, resolution=resolution)
    assert [page["warnings"] for page in made["sheets"]] == [(), ()]


def test_the_page_goes_out_exactly_as_drawn(fax: Fax) -> None:
    fax.make(fax.part("a.txt", b"a", charset="utf-8"), cover="modern", cover_facts=FACTS)
    (first, _) = sources.pages(fax.out, "application/pdf", "x", LETTER)
    image, _ = cover.draw(cover._source("modern"), FACTS, 2, LETTER)
    assert first.image.convert("1", dither=Image.Dither.NONE).tobytes() == image.tobytes()
