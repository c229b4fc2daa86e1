"""Mails whose labels are wrong, lost or given twice: what is in them is found, and never printed as its own encoding."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from gateway.mail import headers
from gateway.mail.parse import extract, inspect

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4 + b"\n%%EOF\n"
BASE64 = base64.encodebytes(PDF).decode().replace("\n", "\r\n")
PARTS = f"--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{BASE64}\r\n--b--\r\n"
FIELDS = "From: ann@example.com\r\nSubject: inner\r\n"


def taken(tmp_path: Path, raw: str) -> tuple[list[bytes], dict[str, str]]:
    """The parts of a mail, decoded, and by name why others are left out."""
    mail = tmp_path / "mail"
    mail.write_bytes(raw.encode())
    found = extract(str(mail), str(tmp_path))
    return (
        [Path(part["path"]).read_bytes() for part in found["parts"]],
        {each["part"]: each["reason"] for each in found["left_out"]},
    )


@pytest.mark.parametrize(
    "field", ["Content-Type: application/pdf", "Content-Type: text/plain; name=scan.pdf", "Content-Type: text/plain"]
)
@pytest.mark.parametrize("encoding", ["", "Content-Transfer-Encoding: 7bit\r\n"])
def test_base64_without_its_label(tmp_path: Path, field: str, encoding: str) -> None:
    parts, _ = taken(
        tmp_path,
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{field}\r\n{encoding}\r\n{BASE64}\r\n--b--\r\n",
    )
    assert parts == [PDF]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        "Content-Type: multipart / mixed; boundary=b\r\n\r\n",
        "Content-Type: multipart; boundary=b\r\n\r\n",
        'Content-Type: "multipart/mixed"; boundary="b"\r\n\r\n',
        'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: base64\r\n\r\n',
    ],
)
def test_a_multipart_is_one_however_it_is_said(tmp_path: Path, head: str) -> None:
    assert taken(tmp_path, head + PARTS)[0] == [b"hello", PDF]


def test_a_multipart_that_is_encoded_as_a_whole(tmp_path: Path) -> None:
    encoded = base64.encodebytes(PARTS.encode()).decode().replace("\n", "\r\n")
    head = "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert taken(tmp_path, head + encoded)[0] == [b"hello", PDF]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: text/plain; boundary=b\r\n\r\n",
        "Content-Type: application/octet-stream\r\n\r\n",
        "\r\nThis is a multi-part message in MIME format.\r\n\r\n",  # no word of it in the header
        # an empty line too much in it, as programs of the web write it
        "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
    ],
)
def test_parts_are_no_pages_of_source(tmp_path: Path, head: str) -> None:
    parts = PARTS.replace("--b\r\n\r\n", "--b\r\nContent-Type: text/plain\r\n\r\n", 1)
    assert taken(tmp_path, FIELDS + head + parts)[0] == [b"hello", PDF]


@pytest.mark.parametrize(
    "kind", ['"text/html"; charset="{}"', "text/html>; charset={}", "html; charset={}", '"text/html; charset={}"']
)
@pytest.mark.parametrize("charset", ["iso-8859-15", "charset=iso-8859-15", "iso-8859-15 format=flowed"])
def test_a_type_with_marks_around_it(tmp_path: Path, kind: str, charset: str) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(f"{FIELDS}Content-Type: {kind.format(charset)}\r\n\r\nall for <b>5 €</b>".encode("iso-8859-15"))
    (part,) = extract(str(mail), str(tmp_path))["parts"]
    assert (part["role"], part["charset"]) == ("body-html", "iso-8859-15")


@pytest.mark.parametrize(
    ("head", "body", "found"),
    [
        ('multipart/mixed;\r\nboundary="b"', PARTS.replace("/pdf", '/pdf; \r\nname="our offer.pdf"'), [b"hello", PDF]),
        ("text/plain;\r\ncharset=iso-8859-2", "a=5", [b"a=5"]),
    ],
)
def test_parameters_that_have_lost_the_blanks_before_them(
    tmp_path: Path, head: str, body: str, found: list[bytes]
) -> None:
    assert taken(tmp_path, f"{FIELDS}Content-Type: {head}\r\n\r\n{body}")[0] == found


def test_many_parameters_take_no_time() -> None:
    mail = b"Content-Type: text/plain;\r\n" + b"a=;\r\n" * 16_000
    began = time.process_time()
    assert len(headers.of_mail(mail + b"\r\n", 0, len(mail))[0].raw("content-type")) > 60_000
    assert time.process_time() - began < 0.2  # some hundredths


@pytest.mark.parametrize("field", ["Content-Type: text/plain", "Subject: five;"])
def test_an_equation_is_no_parameter(tmp_path: Path, field: str) -> None:
    assert taken(tmp_path, f"{FIELDS}{field}\r\na=5\r\n\r\nb=6")[0] == [b"a=5\r\n\r\nb=6"]


def test_no_proof_is_put_together_of_lines_without_blanks(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    proof = "Authentication-Results: mx.example;\r\n{}dmarc=pass header.from=example.com\r\n"
    for blank, author in ((" ", "ann@example.com"), ("", "")):
        mail.write_bytes(f"{proof.format(blank)}{FIELDS}MIME-Version: 1.0\r\n\r\nhello".encode())
        assert inspect(str(mail), authserv_id="mx.example")["author"] == author


def test_another_file_called_winmail_is_what_it_is(tmp_path: Path) -> None:
    head = "Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert taken(tmp_path, FIELDS + head + BASE64)[0] == [PDF]


FIELDS_OF_TEXT = ["Content-Type: text/html; charset=iso-8859-1\r\n", "Content-Transfer-Encoding: quoted-printable\r\n"]


@pytest.mark.parametrize(
    "head",
    [
        "Subject: x\r\n\r\n{}{}\r\n",  # a blank line before the fields
        "Subject: x\r\nMIME-Version: 1.0\r\n\r\n\r\n{1}{0}\r\n",
        "Subject: x\r\n{}\r\n{}\r\n",  # between them
        "Subject: x\r\n\r\n{}\r\n{}\r\n",  # behind each
        "\r\nSubject: x\r\n{}{}\r\n",  # before all
        "Received: from b\r\n\tby a; Mon, 2 Mar 2026 10:00:00 +0100\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n{}{}\r\n",
        "X-Rule: copy\r\nReturn-Path: <a@b.c>\r\nResent-From: <a@b.c>\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n{}{}\r\n",
    ],
)
def test_a_header_that_a_blank_line_has_cut(tmp_path: Path, head: str) -> None:
    parts, _ = taken(tmp_path, head.format(*FIELDS_OF_TEXT) + "<p>Gr=FC=DFe</p>")
    assert [part.decode("iso-8859-1") for part in parts] == ["<p>Grüße</p>"]
    summary = inspect(str(tmp_path / "mail"))
    assert (summary["subject"], summary["refusal"]) == ("x", "")


def test_an_attached_mail_behind_a_blank_line(tmp_path: Path) -> None:
    inner = f"\r\n\r\n{FIELDS}Content-Type: text/plain\r\n\r\nhello"
    raw = f"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--a--\r\n"
    assert taken(tmp_path, raw)[0] == [b"From: ann@example.com\nSubject: inner\n\nhello"]


@pytest.mark.parametrize(
    "raw",
    [
        "Subject: x\r\nContent-Type: text/plain\r\n\r\n{text}",  # it says already what it is
        "Subject: x\r\n\r\nHow to write it:\r\n{text}",
        "Subject: x\r\n\r\nSee:\r\n<html><p>five of A</p></html>",
        "Subject: x\r\n\r\n{text}.",
        "\r\nTo: Acme\r\nSubject: order\r\n\r\nfive of A",
        "Received: from b\r\n\r\nReceived: 2 boxes\r\n\r\nfive of A",
    ],
)
def test_a_text_that_looks_like_a_header_is_a_text(tmp_path: Path, raw: str) -> None:
    raw = raw.replace("{text}", "Content-Type: text/html\r\nand so on\r\n\r\nfive of A")
    assert taken(tmp_path, raw)[0] == [raw.partition("\r\n\r\n")[2].encode() if raw[0] != "\r" else raw[2:].encode()]


def test_no_proof_stands_behind_a_blank_line(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    proof = "Authentication-Results: mx.example; dmarc=pass header.from=example.com\r\n"
    rest = f"{proof}MIME-Version: 1.0\r\n{FIELDS}\r\nhello"
    mail.write_bytes(f"Received: from b\r\n{rest}".encode())
    assert inspect(str(mail), authserv_id="mx.example")["author"]
    mail.write_bytes(f"Received: from b\r\n\r\n{rest}".encode())
    assert not inspect(str(mail), authserv_id="mx.example")["author"]


@pytest.mark.parametrize(("encoding", "text"), [("base64", b"hello"), ("7bit", b"aGVsbG8=")])
@pytest.mark.parametrize("between", ["; ", '; charset = "us-ascii" '])
def test_an_encoding_on_the_line_of_the_type(tmp_path: Path, between: str, encoding: str, text: bytes) -> None:
    head = f"Content-Type: text/plain{between}Content-Transfer-Encoding: {encoding}\r\n\r\n"
    assert taken(tmp_path, head + "aGVsbG8=")[0] == [text]


@pytest.mark.parametrize(
    "text",
    ["Look at this source:\r\n\r\n", "Subject: plan\r\nMIME-Version: 1.0\r\n\r\n", "--b\r\n1\r\n--b\r\nContent: 2\r\n"],
)
def test_a_text_about_parts_is_a_text(tmp_path: Path, text: str) -> None:
    assert taken(tmp_path, FIELDS + "\r\n" + text + PARTS)[0] == [(text + PARTS).encode()]


def test_an_encoding_that_is_said_twice(tmp_path: Path) -> None:
    head = "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert taken(tmp_path, FIELDS + head + base64.b64encode(b"hello there, you").decode())[0] == [b"hello there, you"]


@pytest.mark.parametrize("boundary", ["=_(1)", "'b'", "b c"])
def test_a_boundary_of_odd_characters(tmp_path: Path, boundary: str) -> None:
    text = "-----\r\n--my words\r\n"
    raw = f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n{text}' + PARTS.replace("--b", f"--{boundary}")
    assert taken(tmp_path, raw)[0] == [b"hello", PDF]


@pytest.mark.parametrize("line", ["--b--", "--b--\r\n\r\n", "\r\n--b--\r\n"])
def test_a_boundary_behind_the_last_line_of_a_text(tmp_path: Path, line: str) -> None:
    file = f"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{BASE64.rstrip()}"
    raw = f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello--b\r\n{file}{line}"
    assert taken(tmp_path, raw)[0] == [b"hello", PDF]


def test_a_boundary_within_a_text_is_text(tmp_path: Path) -> None:
    text = "use --b\r\nas a boundary, or --b--\r\nor---b\r\nContent-Type: x"
    raw = f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b--"
    assert taken(tmp_path, raw)[0] == [text.encode()]


def test_related_parts_without_a_page_are_documents(tmp_path: Path) -> None:
    raw = "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/xml\r\nContent-ID: <a>\r\n\r\n<order/>\r\n--b--"
    assert taken(tmp_path, raw)[0] == [b"<order/>"]


PAGE = "<html><body><p>Hello <b>Ann</b> &amp; Bob</p></body></html>"


@pytest.mark.parametrize(
    "start", [b"%PDF-1.7\n", b"\x89PNG\r\n", b"\xff\xd8\xff\xe0", b"II*\0", b"GIF89a\0", b"PK\x03\x04"]
)
def test_a_document_that_is_labelled_a_page_is_looked_at_as_any_text_is(tmp_path: Path, start: bytes) -> None:
    mail, document = tmp_path / "mail", start + bytes(range(256))
    mail.write_bytes(
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(document)
    )
    (part,) = extract(str(mail), str(tmp_path))["parts"]
    assert (part["role"], Path(part["path"]).read_bytes()) == ("body-text", document)


@pytest.mark.parametrize("head", ["", "Content-Type: text/plain; charset=utf-8; format=flowed\r\n"])
@pytest.mark.parametrize("start", ["", "\r\n<!DOCTYPE html>\r\n", "\ufeff"])
def test_a_page_that_is_labelled_a_text_is_a_page(tmp_path: Path, head: str, start: str) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(f"{FIELDS}{head}\r\n{start}{PAGE}".encode())
    assert [part["role"] for part in extract(str(mail), str(tmp_path))["parts"]] == ["body-html"]


@pytest.mark.parametrize(
    ("text", "role"),
    [("<p>Hello <b>Ann</b></p>", "body-html"), ("Hello Ann", "body-text"), (f"See:\r\n{PAGE}", "body-html")],
)
def test_of_two_forms_the_source_of_one_is_not_printed(tmp_path: Path, text: str, role: str) -> None:
    mail = tmp_path / "mail"
    forms = "".join(f"--b\r\nContent-Type: text/{kind}\r\n\r\n{text}\r\n" for kind in ("plain", "html"))
    mail.write_bytes(f"{FIELDS}Content-Type: multipart/alternative; boundary=b\r\n\r\n{forms}--b--".encode())
    assert [part["role"] for part in extract(str(mail), str(tmp_path))["parts"]] == [role]


def test_a_mail_saved_as_a_text(tmp_path: Path) -> None:
    inner = f"{FIELDS}Content-Type: multipart/mixed; boundary=b\r\n\r\n{PARTS}"
    raw = f"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; name=x.eml\r\n\r\n{inner}\r\n--a--\r\n"
    assert taken(tmp_path, raw)[0] == [b"From: ann@example.com\nSubject: inner\n\nhello", PDF]


def test_a_text_called_eml_stays_one(tmp_path: Path) -> None:
    raw = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; name=x.eml\r\n\r\nNote: well\r\n\r\nyes\r\n--a--\r\n"
    assert taken(tmp_path, raw)[0] == [b"Note: well\r\n\r\nyes"]


def test_an_html_text_that_says_its_charset_loses_its_end_in_it(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    html = "<meta charset=windows-1250><p>Żółć</p><p>Sent from my iPhone</p>"
    mail.write_bytes(b"Content-Type: text/html\r\n\r\n" + html.encode("cp1250"))
    (part,) = extract(str(mail), str(tmp_path), ["footer"])["parts"]
    assert "Żółć" in Path(part["path"]).read_bytes().decode(part["charset"])


@pytest.mark.parametrize(
    ("head", "end"),
    [
        ("Content-Type: text/plain; format=flowed\r\n\r\n", ""),
        ("\r\n", "\r\n\r\n-- \r\nAnn"),
        ("\r\n[fax: paper=a4]\r\n", ""),
    ],
)
@pytest.mark.parametrize(
    ("text", "encoding"), [("Добрый день", "koi8-r"), ("お世話", "cp932"), ("„Größe“ … 5 €", "cp1252")]
)
def test_a_text_that_says_no_charset_keeps_its_bytes_when_it_is_changed(
    tmp_path: Path, head: str, end: str, text: str, encoding: str
) -> None:
    mail = tmp_path / "mail"
    data = text.encode(encoding)
    mail.write_bytes(head.encode() + data + end.encode())
    (part,) = extract(str(mail), str(tmp_path), ["signature"])["parts"]
    assert (Path(part["path"]).read_bytes(), part["charset"]) == (data, None)


# --- PGP --------------------------------------------------------------------------------------------------------------

ARMOUR = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA9xy\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Hi Bob,\r\n\r\n{ARMOUR}",
        f"<html><pre>{ARMOUR}</pre></html>",
        f"<html>{ARMOUR.replace(chr(13), '<br>')}</html>",
        f"<html><div>{ARMOUR.strip().replace(chr(13), '</div><div>')}</div></html>",
    ],
)
def test_a_text_that_is_encrypted_further_down(tmp_path: Path, text: str) -> None:
    mail = tmp_path / "mail"
    mail.write_text(f"Content-Type: text/{'html' if '<' in text else 'plain'}\r\n\r\n{text}")
    assert inspect(str(mail))["refusal"].startswith("the mail is encrypted")


def test_a_text_about_encryption_is_a_text(tmp_path: Path) -> None:
    text = "It begins with -----BEGIN PGP MESSAGE----- and ends\r\n-----BEGIN PGP MESSAGE----- so.\r\n"
    assert taken(tmp_path, f"\r\n{text}")[0] == [text.encode()]


@pytest.mark.parametrize(
    ("field", "content", "reason"),
    [
        ("application/pgp-keys; name=key.asc", "x", "it is a public key, nothing to print"),
        ("application/octet-stream; name=0x1.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n", "it is a public key, nothing to print"),
        ("application/octet-stream; name=a.pdf.sig", "\x89\x013\x04\0\x01\x08", "it is a digital signature, nothing to print"),
        ("text/plain; name=a.pdf.sig", "-----BEGIN PGP SIGNATURE-----\r\n", "it is a digital signature, nothing to print"),
    ],
)  # fmt: skip
def test_what_pgp_attaches_is_no_page(tmp_path: Path, field: str, content: str, reason: str) -> None:
    raw = f"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nhello\r\n--a\r\nContent-Type: {field}\r\n\r\n{content}\r\n--a--\r\n"
    parts, left_out = taken(tmp_path, raw)
    assert parts == [b"hello"]
    assert list(left_out.values()) == [reason]


@pytest.mark.parametrize(
    ("declared", "charset", "name"),
    [
        ("shift_jis", "cp932", "請求書 表.pdf"),
        ("gb2312", "gbk", "发票.pdf"),
        ("euc-kr", "euc-kr", "견적서.pdf"),
        ("koi8-r", "koi8-r", "Счёт.pdf"),
        ("koi8-r", "utf-8", "Счёт.pdf"),
        ("windows-1254", "cp1254", "şartname.pdf"),
        ("iso-8859-1", "cp1252", "Größe.pdf"),
        ("utf-8", "cp1252", "Größe.pdf"),
        ("utf-16", "cp1252", "Größe.pdf"),
    ],
)
def test_raw_letters_of_a_header_are_in_the_charset_of_the_text(
    tmp_path: Path, declared: str, charset: str, name: str
) -> None:
    text = f"Content-Type: text/plain; charset={declared}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    text += base64.encodebytes(name.encode(declared)).decode()
    file = f'Content-Type: application/pdf; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n{BASE64}'
    inner = f"Subject: {name}\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n{text}\r\n--c--\r\n"
    mail = tmp_path / "mail"
    mail.write_bytes(
        f"Subject: {name}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{text}\r\n--b\r\n{file}\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--b--\r\n".encode(charset)
    )
    found = extract(str(mail), str(tmp_path))
    assert [part["name"] for part in found["parts"]] == ["message text", name, f'attached mail "{name}"']
    assert f"Subject: {name}\n" in Path(found["parts"][2]["path"]).read_text()
    assert found["headers"]["subject"] == inspect(str(mail))["exact_subject"] == name


def test_raw_japanese_of_a_header_says_so_itself(tmp_path: Path) -> None:
    name = "請求書①.pdf"
    mail = tmp_path / "mail"
    head = f'Subject: {name}\r\nContent-Type: application/pdf; name="{name}"\r\n\r\n'.encode("iso2022_jp_2004")
    mail.write_bytes(head + PDF)
    assert inspect(str(mail))["exact_subject"] == name
    assert [part["name"] for part in extract(str(mail), str(tmp_path))["parts"]] == [name]


def test_a_file_of_yenc_is_no_page_of_source(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(b"Subject: x\r\n\r\nHello\r\n=ybegin line=128 size=4 name=scan.pdf\r\nabcd\r\n=yend size=4\r\n")
    assert "yEnc" in inspect(str(mail))["refusal"]
    mail.write_bytes(b"Subject: x\r\n\r\nFiles of yEnc begin with\r\n=ybegin\r\n")
    assert not inspect(str(mail))["refusal"]
