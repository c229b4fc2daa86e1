"""What a mail asks for is read from fields, subject and text, and is in none of the parts that become pages."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from tempfile import mkdtemp

import pytest

from gateway.mail.parse import extract, inspect
from gateway.model import MailPart, MailSummary

WISH = "[fax: cover=none]"


class Reader:
    def __init__(self, directory: Path) -> None:
        self._mail, self._directory = directory / "mail", directory

    def read(self, raw: str) -> tuple[MailSummary, list[MailPart]]:
        """The summary, and the parts whose text is printed."""
        self._mail.write_bytes(raw.replace("\n", "\r\n").encode())
        summary = MailSummary(**inspect(str(self._mail)))
        found = extract(str(self._mail), mkdtemp(dir=self._directory))
        assert "[fax:" not in found["headers"].get("subject", "").lower()
        return summary, [MailPart(**part) for part in found["parts"]]

    def refusal(self, raw: str) -> str:
        self._mail.write_bytes(raw.replace("\n", "\r\n").encode())
        return MailSummary(**inspect(str(self._mail))).refusal


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def text(part: MailPart) -> str:
    return Path(part.path).read_bytes().decode(part.charset or "utf-8")


def test_a_field_counts_more_than_the_subject_and_the_subject_more_than_the_text(reader: Reader) -> None:
    summary, (part,) = reader.read(
        "Subject: =?utf-8?q?R=C3=A9sum=C3=A9_=5Bfax=3A_cover=3Dauto=2C_ref=3D2=5D?=\nX-Fax-Cover: formal\n\n"
        "[fax: ref=3, paper=a4]\nDear all,\n"
    )
    assert summary.options == {"cover": "formal", "ref": "2", "paper": "a4"}
    assert summary.subject == "Résumé"
    assert text(part) == "Dear all,\r\n"


def test_the_form_of_the_text_that_is_printed_is_read_and_is_without_it(reader: Reader) -> None:
    plain, html = f"{WISH}\nDear all,\n", f"<p>{WISH}</p><p>Dear all,</p>"
    mail = (
        "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n"
        + plain
        + "\n--b\nContent-Type: text/html; charset=iso-8859-1\n\n"
        + html
        + "\n--b--\n"
    )
    summary, (part,) = reader.read(mail)
    assert (summary.options, part.role, text(part)) == ({"cover": "none"}, "body-text", "Dear all,\r\n")
    summary, (part,) = reader.read(f"Content-Type: text/html; charset=iso-8859-1\n\n{html}\n")
    assert (summary.options, part.role) == ({"cover": "none"}, "body-html")
    assert text(part).strip() == "<p></p><p>Dear all,</p>"


@pytest.mark.parametrize(
    ("html", "is_offered"),
    [("<p>[fax: cover=none]</p><p>Dear all,</p>", True), ("<p>Dear all,</p><p>[fax: cover=none]</p>", False)],
)
def test_the_other_form_of_the_text_is_offered_without_it_or_not_at_all(
    html: str, is_offered: bool, tmp_path: Path
) -> None:
    (tmp_path / "mail").write_bytes(
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n[fax: cover=none]\r\nDear all,\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n%s\r\n--b--\r\n" % html.encode()
    )
    found = extract(str(tmp_path / "mail"), str(tmp_path), html=True)
    assert ("rich" in found) == is_offered
    if is_offered:
        assert text(MailPart(**found["rich"]["part"])).strip() == "<p></p><p>Dear all,</p>"


def test_a_text_of_nothing_but_options_is_no_page(reader: Reader) -> None:
    attached = "--b\nContent-Type: application/pdf; name=a.pdf\n\n%PDF-1.4\n--b--\n"
    mail = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{WISH}\n\n{attached}"
    summary, parts = reader.read(mail)
    assert summary.options == {"cover": "none"}
    assert [part.name for part in parts] == ["a.pdf"]
    assert "there is nothing to fax" in reader.refusal(f"Subject: x\n\n{WISH}\n")


def test_a_mail_that_is_attached_asks_for_nothing(reader: Reader) -> None:
    inner = f"Subject: Inner {WISH}\nX-Fax-Ref: 4711\n\n{WISH}\nthe inner text\n"
    mail = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nDear all,\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    summary, _ = reader.read(mail)
    assert summary.options == {}
    assert summary.refusal == ""


@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize("disposition", ["", "Content-Disposition: attachment; filename=a.txt\n"])
def test_a_text_with_the_name_of_a_file_asks_where_there_is_no_other(
    reader: Reader, kind: str, disposition: str
) -> None:
    named = f"Content-Type: text/{kind}; name=a.txt\n{disposition}Content-Transfer-Encoding: base64\n\n"
    named += b64encode(f"{WISH}<br>Dear all,".encode()).decode()
    mixed = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{{}}\n--b\n{named}\n--b--\n"
    for mail in (f"Subject: x\n{named}\n", mixed.format("")):
        summary, (part,) = reader.read(mail)
        assert (summary.options, summary.refusal, text(part)) == ({"cover": "none"}, "", "<br>Dear all,")
    summary, (_, part) = reader.read(mixed.format("Hello"))  # there it is a document
    assert (summary.options, text(part)) == ({}, f"{WISH}<br>Dear all,")
    log = f"Content-Type: text/{kind}; name=a.txt\n{disposition}\nDear all,<br>\n{WISH}"  # and what it says further down its own
    summary, (part,) = reader.read(f"Subject: x\n{log}\n")
    assert (summary.options, summary.refusal, WISH in text(part)) == ({}, "", True)


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        ("Subject: x [fax: covr=none]\n\nDear all,\n", "covr in the subject is not a fax option"),
        ("X-Fax-Pages: 3\n\nDear all,\n", "pages in an X-Fax header field is not a fax option"),
        ("X-Fax-Ref: 1\nX-Fax-Ref: 2\n\nDear all,\n", "ref is given twice in an X-Fax header field"),
        ("Subject: x\n\n[fax: paper=a3]\nDear all,\n", "paper=a3 at the beginning of the text cannot be understood"),
        (f"Subject: x\n\nDear all,\n{WISH}\n", "options stand at the very beginning of the text"),
        (
            f"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nDear all,\n--b\n\n{WISH}\nsecond\n--b--\n",
            "options stand at the very beginning of the text",
        ),
    ],
)
def test_what_cannot_be_understood_is_a_refusal(reader: Reader, mail: str, words: str) -> None:
    assert words in reader.refusal(mail)


@pytest.mark.parametrize(
    "wish",
    [
        "［fax： cover＝none］",  # as keyboards of East Asia write it
        "［ＦＡＸ：ｃｏｖｅｒ＝ｎｏｎｅ］",
        "\u200f[fax: cover=none]",  # between texts that run to the left
        "[\u200efax: cover=none]",
        "*[fax: cover=none]*",  # bold, in the plain form of an HTML text
        "\\[fax: cover=none\\]",
        "[fax cover=none]",
    ],
)
def test_options_as_keyboards_and_programs_write_them(reader: Reader, wish: str) -> None:
    summary, (part,) = reader.read(f"Subject: x\n\n{wish}\nDear all,\n")
    assert (summary.options, text(part)) == ({"cover": "none"}, "Dear all,\r\n")
    summary, (part,) = reader.read(f"Content-Type: text/html; charset=utf-8\n\n<p>{wish}</p>Dear all,\n")
    assert (summary.options, text(part)) == ({"cover": "none"}, "<p></p>Dear all,\r\n")
    assert "options stand at the very beginning" in reader.refusal(f"Subject: x\n\nDear all,\n{wish}\n")


@pytest.mark.parametrize("wish", ["［fax： cover＝none］", "[fax： cover=none]", "[fax cover=none]"])
def test_options_in_a_subject_as_keyboards_write_them(reader: Reader, wish: str) -> None:
    summary, _ = reader.read(f"Subject: x {wish}\n\nDear all,\n")
    assert (summary.options, summary.subject) == ({"cover": "none"}, "x")


def test_values_as_programs_write_them(reader: Reader) -> None:
    wish = "[fax: ref=“4711, second copy”, attn=ann@example.com <mailto:ann@example.com>]"
    summary, _ = reader.read(f"Subject: x\n\n{wish}\nDear all,\n")
    assert summary.options == {"ref": "4711, second copy", "attn": "ann@example.com"}


def test_a_quote_within_a_value_is_part_of_it(reader: Reader) -> None:
    summary, _ = reader.read('Subject: x [fax: org=דוגמה בע"מ, ref=12"]\n\nDear all,\n')
    assert summary.options == {"org": 'דוגמה בע"מ', "ref": '12"'}
    assert "cannot be understood" in reader.refusal('Subject: x [fax: ref="12" mm]\n\nDear all,\n')


@pytest.mark.parametrize("words", ["［FAX：注文書］", "[fax 2 of 3]", "(fax) a=b"])
def test_words_about_faxes_ask_for_nothing(reader: Reader, words: str) -> None:
    summary, (part,) = reader.read(f"Subject: {words}\n\n{words}\n")
    assert (summary.options, summary.subject, text(part)) == ({}, words, f"{words}\r\n")


@pytest.mark.parametrize("mark", ["> ", ""])
def test_options_in_a_quoted_mail_ask_for_nothing(reader: Reader, mark: str) -> None:
    quoted = f"From: Bob\nSent: Monday 10:15\nTo: Ann\nSubject: Plan\n\n{mark}{WISH}\n{mark}Dear Ann,\n"
    answer = f"Re: Plan\n\nI agree.\n\n-----Original Message-----\n{quoted}"
    for before, asked in (("", {}), ("[fax: ref=1] ", {"ref": "1"})):
        summary, _ = reader.read(f"Subject: {before}{answer}")
        assert (summary.options, summary.refusal) == (asked, "")
    head = '<div id="divRplyFwdMsg">From: Bob</div>'
    summary, _ = reader.read(f"Subject: Re: Plan\nContent-Type: text/html\n\n<p>I agree.</p>{head}<p>{WISH}</p>\n")
    assert (summary.options, summary.refusal) == ({}, "")
