"""Words of strangers: headers, parameters, file names."""

from __future__ import annotations

from email.utils import getaddresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.charsets import to_text
from gateway.mail.headers import split
from gateway.mail.mime import split_mailbox, structured, unstructured
from gateway.mail.parameters import display_name, parse, without_comment
from gateway.mail.words import decode_mailboxes, decode_words, file_name, one_line

# --- charsets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("Größe".encode(), "utf-8", "Größe"),
        ("Größe".encode(), None, "Größe"),
        ("Größe".encode("latin-1"), None, "Größe"),
        ("Größe".encode("latin-1"), "utf-8", "Größe"),
        ("Größe".encode(), "us-ascii", "Größe"),
        ("Größe".encode("latin-1"), "iso-8859-1", "Größe"),
        (b"\x80 5", "iso-8859-1", "€ 5"),
        ("见积".encode("gb18030"), "gb2312", "见积"),
        ("テ".encode("cp932"), "x-sjis", "テ"),
        ("한".encode("cp949"), "ks_c_5601-1987", "한"),
        (b"\x1b$B8+\x1b(B", "iso-2022-jp", "見"),
        (b"abc", "no-such-charset", "abc"),
        (b"abc", "x" * 300, "abc"),
        (b"abc", "\0", "abc"),
        (b"abc", "zip", "abc"),
        (b"abc", "rot13", "abc"),
        (b"abc\xff", "rot13", "abcÿ"),
        (b"\\x41", "unicode_escape", "\\x41"),
        (b"xn--e", "punycode", "xn--e"),
        (b"\xff\xfe\xfd", "utf-16", "�"),
        ("Картинка".encode()[:-1], None, "Картинк\ufffd"),
        (b"<p>five of A</p>", "unicode", "<p>five of A</p>"),  # which is not what it says
        ("Größe neun, wie immer".encode(), "utf-16", "Größe neun, wie immer"),
        ("Привет".encode(), "windows-1251", "Привет"),
        ("Dzień dobry".encode(), "iso-8859-2", "Dzień dobry"),
        ("Größe 5 €".encode(), "iso-8859-15", "Größe 5 €"),
        ("你好".encode(), "gb2312", "你好"),
        ("見積書".encode(), "shift_jis", "見積書"),
        ("联通".encode("gb2312"), "gb2312", "联通"),  # which is UTF-8 too
        ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
        ("五月十二日五月十二日".encode("utf-16-le"), "unicode", "五月十二日五月十二日"),
        (b"", None, ""),
    ],
)
def test_text_is_decoded_as_it_was_meant(data: bytes, charset: str | None, text: str) -> None:
    assert to_text(data, charset) == text


@given(
    st.binary(max_size=100),
    st.none() | st.text(max_size=20) | st.sampled_from(["utf-7", "utf-16", "hz", "idna", "big5"]),
)
def test_any_bytes_in_any_charset(data: bytes, charset: str | None) -> None:
    assert isinstance(to_text(data, charset), str)


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" a \r\n b\tc ", "a b c"),
        ("a\0b\x1bc", "abc"),
        ("inv\u202efdp.exe", "invfdp.exe"),
        ("a\u2028b\u00a0c", "a b c"),
        ("a\ud800b", "ab"),
        ("zero\u200bwidth", "zerowidth"),
        ("fäx 🎉", "fäx 🎉"),
    ],
)
def test_one_clean_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_lines_are_capped() -> None:
    assert one_line("x" * 600) == "x" * 499 + "…"
    assert one_line("word " * 10, 12) == "word word w…"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Gr=C3=B6=C3=9Fe?=", "Größe"),
        ("=?utf-8?B?R3LDtsOfZQ==?=", "Größe"),
        ("=?utf-8?B?R3LDtsOfZQ?=", "Größe"),
        ("=?utf-8*de?Q?Gr=C3=B6=C3=9Fe?=", "Größe"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("=?utf-8?q?=C3?=\r\n =?utf-8?q?=B6?=", "ö"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=F6?=", "aö"),
        ("x=?utf-8?q?a?=y", "xay"),
        ("=?utf-8?q?a_b=5F?=", "a b_"),
        ("=?nonsense?q?a?=", "a"),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        ("=?utf-8?b?QUJDR?=", "ABC"),
        ("=?utf-8?q??= tail", " tail"),
        ('"=?utf-8?q?Ann?=" <ann@example.com>', '"Ann" <ann@example.com>'),
    ],
)
def test_encoded_words(field: str, text: str) -> None:
    assert decode_words(field) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=300))
def test_what_we_write_is_what_we_read(text: str) -> None:
    raw = unstructured("Subject", text)
    assert raw.isascii()
    assert all(len(line) <= (76 if b"=?" in line else 78) for line in raw.split(b"\r\n"))
    headers, _ = split(raw + b"\r\n\r\n", 0, len(raw) + 4)
    assert headers.line("subject") == one_line(text)


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("=?utf-8?Q?M=C3=BCller=2C_J=C3=BCrgen?= <j@x.example>", [("Müller, Jürgen", "j@x.example")]),
        ('"=?iso-8859-1?Q?M=FCller,_J=FCrgen?=" <j@x.example>', [("Müller, Jürgen", "j@x.example")]),
        ("=?iso-8859-1?Q?M=FCller,_J=FCrgen?= <j@x>, Bob <b@x>", [("Müller, Jürgen", "j@x"), ("Bob", "b@x")]),
        ("=?utf-8?Q?a=40b.c?= <j@x.example>", [("a@b.c", "j@x.example")]),
        ("=?utf-8?B?5bGx?= =?utf-8?B?55Sw?=\r\n <y@x>", [("山田", "y@x")]),
        ('=?utf-8?Q?=22M=C3=BCller=22?= <j@x>, "Ann \\"A\\" B" <a@x>', [("Müller", "j@x"), ("Ann A B", "a@x")]),
        ('"Müller, Jürgen" <j@x.example>', [("Müller, Jürgen", "j@x.example")]),
    ],
)
def test_a_name_with_a_comma_is_one_name(field: str, names: list[tuple[str, str]]) -> None:
    assert getaddresses([decode_mailboxes(field)]) == names


def test_structured_fields_fold_at_blanks() -> None:
    raw = structured("References", " ".join(f"<{n}@example.com>" for n in range(20)))
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert structured("X", "a\r\nBcc: b") == b"X: a Bcc: b"
    assert structured("X", "We don’t know “what” – it is Größe") == b"X: We don't know 'what' - it is Gr??e"
    assert max(map(len, structured("X", "y" * 5000).split(b"\r\n"))) < 998


def test_mailboxes() -> None:
    assert split_mailbox("Fax gateway <fax@example.org>") == ("Fax gateway", "fax@example.org")
    assert split_mailbox("fax@example.org") == ("", "fax@example.org")
    assert split_mailbox("<>")[1] == "<>"


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "parameters"),
    [
        ('filename="x.pdf"; size=5', "", {"filename": "x.pdf", "size": "5"}),
        ("", "", {}),
        ("text/plain", "text/plain", {}),
        ("Text/PLAIN; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ('text/plain; charset="utf-8"; format=flowed', "text/plain", {"charset": "utf-8", "format": "flowed"}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain;charset = utf-8 ;", "text/plain", {"charset": "utf-8"}),
        ("text/plain (comment); a=b", "text/plain", {"a": "b"}),
        ("attachment; filename=Scan 2024 01.pdf", "attachment", {"filename": "Scan 2024 01.pdf"}),
        ('attachment; filename="a;b.pdf"', "attachment", {"filename": "a;b.pdf"}),
        ('attachment; filename="a \\"b\\".pdf"', "attachment", {"filename": 'a "b".pdf'}),
        ('attachment; filename="C:\\scans\\a.pdf"', "attachment", {"filename": "C:\\scans\\a.pdf"}),
        ('attachment; filename="never ends', "attachment", {"filename": "never ends"}),
        ('attachment; filename="a.pdf" junk; x=y', "attachment", {"filename": "a.pdf", "x": "y"}),
        ("attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf", "attachment", {"filename": "Größe.pdf"}),
        ("attachment; filename*=iso-8859-1'de'Gr%F6%DFe.pdf", "attachment", {"filename": "Größe.pdf"}),
        ("attachment; filename*=\"utf-8''a%20b.pdf\"", "attachment", {"filename": "a b.pdf"}),
        ("attachment; filename*=plain.pdf", "attachment", {"filename": "plain.pdf"}),
        ("attachment; filename*=utf-8''better.pdf; filename=worse.pdf", "attachment", {"filename": "better.pdf"}),
        ("attachment; filename=plain.pdf; filename*=", "attachment", {"filename": "plain.pdf"}),
        ("attachment; filename*1*=utf-8''%C3%B6; filename*2*=x.pdf", "attachment", {"filename": "öx.pdf"}),
        ("attachment; filename*0*=utf-8''%C3%B6; filename*1*=utf-8''x.pdf", "attachment", {"filename": "öx.pdf"}),
        ("attachment; filename*0=a; filename*1=b.pdf", "attachment", {"filename": "ab.pdf"}),
        ("attachment; filename*1*=%C3%B6.pdf; filename*0*=utf-8''x", "attachment", {"filename": "xö.pdf"}),
        ("attachment; filename*0*=utf-8''%C3; filename*1*=%B6.pdf", "attachment", {"filename": "ö.pdf"}),
        ("attachment; filename*0*=utf-8''a%20; filename*1=\"b%20.pdf\"", "attachment", {"filename": "a b%20.pdf"}),
        ("attachment; filename=first.pdf; filename=second.pdf", "attachment", {"filename": "first.pdf"}),
        ("attachment; filename==?utf-8?q?a;b?=; x=y", "attachment", {"filename": "=?utf-8?q?a;b?=", "x": "y"}),
        ("attachment; a*b*c=d; *=x; =y", "attachment", {}),
        ("text/plain; name*", "text/plain", {}),
    ],
)
def test_parameters(field: str, value: str, parameters: dict[str, str]) -> None:
    assert parse(field) == (value, parameters)


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab*0123=;'\"\\% =?utf-8qQ\r\n()é"), max_size=80))
def test_any_field_has_parameters(field: str) -> None:
    value, parameters = parse(field)
    assert isinstance(value, str)
    assert all(isinstance(found, str) for found in parameters.values())


def test_comments_behind_values() -> None:
    assert without_comment("us-ascii (Plain text)") == "us-ascii"
    assert without_comment("us-ascii") == "us-ascii"
    assert without_comment("b)") == "b)"
    assert without_comment("'utf-8'") == "utf-8"


# --- file names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("scan.pdf", "scan.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\/etc/cron.d/.x.pdf", "x.pdf"),
        ("C:scan.pdf", "scan.pdf"),
        ("C:\\Users\\ann\\scan.pdf", "scan.pdf"),
        (".hidden", "hidden"),
        ("...", ""),
        ("a/", ""),
        ("", ""),
        ("'quoted.pdf'", "quoted.pdf"),
        ("line\r\nbreak.pdf", "line break.pdf"),
        ("inv\u202efdp.exe", "invfdp.exe"),
        ("x" * 300 + ".pdf", "x" * 115 + "….pdf"),
        ("x" * 300, "x" * 119 + "…"),
        ("-rf *.pdf", "-rf *.pdf"),
    ],
)
def test_file_names_are_only_names(claim: str, name: str) -> None:
    assert file_name(claim) == name


@given(st.text(max_size=400))
def test_any_claim_becomes_a_name_or_nothing(claim: str) -> None:
    name = file_name(display_name(claim))
    assert "/" not in name
    assert "\\" not in name
    assert name == one_line(name)
    assert len(name) <= 120


# --- header blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "fields", "body"),
    [
        (b"", {}, b""),
        (b"\r\nbody", {}, b"body"),
        (b"\nbody", {}, b"body"),
        (b"A: b\r\n\r\nbody", {"a": "b"}, b"body"),
        (b"A: b\n\nbody", {"a": "b"}, b"body"),
        (b"A: b\r\n", {"a": "b"}, b""),
        (b"A : b\r\n c\r\n\td\r\n\r\nbody", {"a": "b c\td"}, b"body"),
        (b"From ann Mon Nov 23\r\nA: b\r\n\r\nbody", {"a": "b"}, b"body"),
        (b">From ann\r\nA: b\r\n\r\nbody", {"a": "b"}, b"body"),
        (b"A: b\r\nno field\r\n\r\nbody", {"a": "b"}, b"no field\r\n\r\nbody"),
        (b"just text\r\n", {}, b"just text\r\n"),
        (b"A: b\r\nbroken\r\n more\r\nContent-Type: x\r\n\r\nbody", {"a": "b", "content-type": "x"}, b"body"),
        (b"A: b\r\nbroken C: d\r\nMessage-ID: <x>\r\n\r\nbody", {"a": "b", "message-id": "<x>"}, b"body"),
        (
            b"Message-ID: <x>\r\ntext\r\nMessage-Id: <y>\r\n\r\nz",
            {"message-id": "<x>"},
            b"text\r\nMessage-Id: <y>\r\n\r\nz",
        ),
        (b"A: 1\r\nA: 2\r\n\r\n", {"a": "1"}, b""),
        (b" continued nothing\r\nA: b\r\n\r\n", {}, b" continued nothing\r\nA: b\r\n\r\n"),
    ],
)
def test_header_blocks(block: bytes, fields: dict[str, str], body: bytes) -> None:
    headers, start = split(block, 0, len(block))
    assert {name: headers.raw(name) for name in headers.names()} == fields
    assert block[start:] == body
    assert headers.raw("missing") == ""


@pytest.mark.parametrize(
    ("claimed", "shown"),
    [
        ("Scan%20M%C3%A4rz.pdf", "Scan März.pdf"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("50%25.pdf", "50%.pdf"),
        ("100% sure.pdf", "100% sure.pdf"),
        ("50%e4.pdf", "50%e4.pdf"),
        ("UTF-8''Pr%C3%BCf.pdf", "Prüf.pdf"),
        ("it's 5%25 o'clock.pdf", "it's 5%25 o'clock.pdf"),
        ("=?utf-8?q?M=C3=A4rz?=.pdf", "März.pdf"),
    ],
)
def test_names_in_every_disguise(claimed: str, shown: str) -> None:
    assert file_name(display_name(claimed)) == shown
