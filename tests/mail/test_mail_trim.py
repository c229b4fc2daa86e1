"""What mails repeat or carry along is taken off the end of their text, told, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.mail.parse import extract
from gateway.mail.trim import ALL, trim

ABOVE = "Dear Ann,\nplease find the plan attached.\n"
NOTICE = (
    "This e-mail is confidential and intended only for the use of the addressee. If you have received it in error, please"
    " notify the sender and delete it. Unauthorized use is strictly prohibited."
)
OUTLOOK = "-----Original Message-----\nFrom: Bob\nSent: Monday\nTo: Ann\nSubject: Plan\n\nWhere is the plan?\n"
GMAIL = "On Mon, Nov 23, 2026 at 10:15 AM Bob Example <bob@example.com>\nwrote:\n\n> Where is the plan?\n>\n> Bob\n"


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (GMAIL, "quoted mail"),
        ("Am 23.11.2026 um 10:15 schrieb Bob:\n> Wo ist der Plan?\n", "quoted mail"),
        ("Le lun. 23 nov. 2026 à 10:15, Bob a écrit :\n> Où est le plan ?\n", "quoted mail"),
        (OUTLOOK, "quoted mail"),
        (
            "________________________________\nVon: Bob\nGesendet: Montag\nAn: Ann\nBetreff: Plan\n\nWo?\n",
            "quoted mail",
        ),
        ("-- \nAnn Example\n+1 202 555 0123\n", "signature"),
        (NOTICE + "\n", "legal notice"),
        ("_____\n" + NOTICE + "\n\nPlease think of the environment.\n", "legal notice"),
        (
            "Diese E-Mail ist vertraulich und ausschließlich für den Adressaten bestimmt. Wenn Sie nicht der richtige Adressat"
            " sind, löschen Sie sie bitte.\n",
            "legal notice",
        ),
        ("Sent from my iPhone\n", "footer"),
        ("Get Outlook for iOS<https://aka.ms/o0ukef>\n", "footer"),
    ],
)
def test_an_end_that_a_rule_knows_is_taken_off_and_told(end: str, what: str) -> None:
    text, removed = trim(f"{ABOVE}\n{end}", ALL, "Re: Plan")
    assert text == ABOVE.rstrip()
    assert [name for name, _ in removed] == [next(name for name, _ in removed if what in name)]


def test_several_ends_stand_behind_each_other() -> None:
    text, removed = trim(f"{ABOVE}\n-- \nAnn\n\n{GMAIL}\n{NOTICE}\n", ALL, "AW: Plan")
    assert text == ABOVE.rstrip()
    assert [name.split()[0] for name, _ in removed] == ["signature", "quoted", "legal"]


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (f"See below.\n\n{OUTLOOK}", "FW: Plan"),
        (f"See below.\n\n{OUTLOOK}", "Plan"),
        (f"{OUTLOOK}", "Re: Plan"),  # nothing of his own
        (f"{GMAIL}", "Re: Plan"),
        (f"{ABOVE}\n{GMAIL}And one thing more: bring it on Friday.\n", "Re: Plan"),  # answers below what is quoted
        (f"{ABOVE}\n> a quotation that nobody introduces\n", "Re: Plan"),
        (f"{ABOVE}\nBegin forwarded message:\n\n> From: Bob\n> Subject: Plan\n", "Re: Plan"),
        (f"{ABOVE}\nHe wrote:\nI will come tomorrow.\n", "Re: Plan"),
        ("-----Original Message-----\nwas the title of the song.\n", "Re: song"),
        (ABOVE + "\n--\nA dashed line begins a table\n", "x"),
        (ABOVE + "\n-- \n" + "A long list of things to do.\n" * 40, "x"),
        (ABOVE + "\n-- \n" + "x" * 1500, "x"),
        ("-- \nAnn Example\n", "x"),
        (ABOVE + "\nThis matter is confidential, please delete the old file.\n", "x"),
        (f"{NOTICE}\n\n{ABOVE}", "x"),
        (ABOVE + "\n" + NOTICE * 20, "x"),
        ("Sent from my iPhone\n", "x"),
        (ABOVE + "\nThe photo was sent from my iPhone yesterday\n", "x"),
        (f"Please see below and sign.\n\n{OUTLOOK}", "Re: Plan"),
        (f"My answers are in-line.\n\n{OUTLOOK}", "Re: Plan"),
        (f"Siehe unten.\n\n{GMAIL}", "AW: Plan"),
        (f"Sent from my iPhone\n\n{GMAIL}", "Re: Plan"),  # nothing of his own, either
        (f"-- \nAnn\n\n{OUTLOOK}\n{NOTICE}\n", "Re: Plan"),
        ("", ""),
    ],
)
def test_what_is_not_sure_stays(text: str, subject: str) -> None:
    assert trim(text, ALL, subject) == (text, [])


def test_the_line_above_a_legal_notice_is_the_senders() -> None:
    text, removed = trim(f"Dear Ann,\n\nwe accept, for 500 EUR.\n{NOTICE}\n", ALL, "x")
    assert (text, len(removed)) == ("Dear Ann,\n\nwe accept, for 500 EUR.", 1)


def test_only_what_is_wanted_goes() -> None:
    assert trim(f"{ABOVE}\n-- \nAnn\n", ["quoted"], "Re: x").removed == []


def test_the_fax_is_without_it_and_the_ledger_names_it(tmp_path: Path) -> None:
    source = tmp_path / "mail"
    source.write_bytes(b"Subject: Re: Plan\r\n\r\nHere it is.\r\n\r\nOn Monday Bob wrote:\r\n> Where?\r\n")
    found = extract(str(source), str(tmp_path), trim=["quoted"])
    assert Path(found["parts"][0]["path"]).read_bytes() == b"Here it is."
    assert found["left_out"] == [
        {"part": "quoted mail in the message text", "type": "text/plain", "reason": "it repeats an earlier mail"}
    ]
    (tmp_path / "whole").mkdir()
    assert b"Where?" in Path(extract(str(source), str(tmp_path / "whole"))["parts"][0]["path"]).read_bytes()


def test_a_mail_without_a_text_may_have_a_page_that_says_whose_it_is(tmp_path: Path) -> None:
    source = tmp_path / "mail"
    pdf = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF-1.4 x\r\n"
    source.write_bytes(b"From: ann@example.com\r\nSubject: Plan\r\n" + pdf)
    first, second = extract(str(source), str(tmp_path), head=True)["parts"]
    assert (first["role"], second["name"]) == ("body-text", "a.pdf")
    assert Path(first["path"]).read_text() == "From: ann@example.com\nSubject: Plan"
    source.write_bytes(b"Subject: Plan\r\n\r\nHere it is.\r\n")
    (tmp_path / "whole").mkdir()
    (only,) = extract(str(source), str(tmp_path / "whole"), head=True)["parts"]
    assert Path(only["path"]).read_bytes() == b"Here it is.\r\n"
