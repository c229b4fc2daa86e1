"""Paragraphs that a mail program broke for the way are printed as they were written (RFC 3676)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.flowed import joined
from gateway.mail.parse import extract


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One para \r\ngraph.\r\n\r\nAnother.\r\n", "One para graph.\n\nAnother.\n"),
        ("a \nb\nc", "a b\nc"),
        (" From here\n  indented\n >no quote", "From here\n indented\n>no quote"),
        ("> He said \n> this.\n>> And \n>> she \n> that \nMine.", "> He said this.\n>> And she \n> that \nMine."),
        ("Yours \n-- \nAnn \nSales", "Yours \n-- \nAnn Sales"),
        ("Tail \n", "Tail "),
        ("page\x0ctwo \nx", "page\x0ctwo x"),
        ("", ""),
    ],
)
def test_lines_become_paragraphs(text: str, shown: str) -> None:
    assert joined(text, delsp=False) == shown


def test_words_broken_in_two_are_whole_again() -> None:
    assert joined("long para \ngraph: 漢字を \n書く", delsp=True) == "long paragraph: 漢字を書く"


@given(st.text(alphabet="> a-\n"), st.booleans())
def test_nothing_but_blanks_and_line_ends_is_lost(text: str, delsp: bool) -> None:
    assert joined(text, delsp=delsp).count("a") == text.count("a")


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ("; format=flowed; delsp=yes", "Grüßesind\n-- \nAnn"),
        ('; Format="Flowed"', "Grüße sind\n-- \nAnn"),
        ("", "Grüße \r\nsind\r\n-- \r\nAnn\r\n"),
    ],
)
def test_in_a_mail(parameters: str, shown: str, tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    head = (
        f"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1{parameters}\r\n\r\n"
    )
    mail.write_bytes((head + "Grüße \r\nsind\r\n-- \r\nAnn\r\n").encode("latin-1"))
    (part,) = extract(str(mail), str(tmp_path))["parts"]
    assert Path(part["path"]).read_bytes().decode(part["charset"]).rstrip() == shown.rstrip()


def test_a_file_in_a_text_stays_whole(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(
        b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; format=flowed\r\n\r\nSee \r\nthis:\r\n"
        b"begin 644 a.txt\r\n%2&5L;&\\\r\n \r\nend\r\n"
    )
    text, file = extract(str(mail), str(tmp_path))["parts"]
    assert Path(text["path"]).read_bytes().strip() == b"See this:"
    assert Path(file["path"]).read_bytes() == b"Hello"
