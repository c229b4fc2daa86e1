"""Transfer encodings: every byte, or a defect that says why not."""

from __future__ import annotations

import base64
import binascii
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import transfer
from gateway.mail.transfer import CUT_OFF, DAMAGED, NOT_BASE64

LONG = bytes(range(256)) * 3  # without padding
PADDED = LONG + b"x"  # with two characters of padding
FOOTER = b"This e-mail is confidential.\r\nPlease think before you print.\r\n"


def decoded(body: bytes, how: str = "base64", *, text: bool = False) -> tuple[bytes, str]:
    return transfer.whole(body, 0, len(body), how, text=text)


def lines(data: bytes, end: bytes = b"\r\n", width: int = 76) -> bytes:
    encoded = base64.b64encode(data)
    return b"".join(encoded[n : n + width] + end for n in range(0, len(encoded), width))


# --- which encoding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "how"),
    [
        ("base64", "base64"), ("BASE64 ", "base64"), ("base64;", "base64"), ('"base64"', "base64"), ("base-64", "base64"),
        ("base64 (comment)", "base64"), ("7bit (not base64)", ""), ("quoted-printable", "quoted-printable"),
        ("Quoted Printable", "quoted-printable"), ("quoted-printable; charset=x", "quoted-printable"),
        ("x-uuencode", "uuencode"), ("x-uue", "uuencode"), ("uuencode", "uuencode"), ("", ""), ("8bit", ""),
        ("7-bit", ""), ("binary", ""), ("text/html", ""), ("x-unheard-of", ""),
    ],
)  # fmt: skip
def test_encoding_names(field: str, how: str) -> None:
    assert transfer.encoding(field) == how


# --- base64, whole ----------------------------------------------------------------------------------------------------


@given(
    st.binary(max_size=2000),
    st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n", b" \r\n", b"\t\n"]),
    st.integers(9, 30).map(lambda n: n * 4),
    st.sampled_from([b"", b"\r\n", b"\r\n \r\n\r\n"]),
)
def test_base64_in_any_layout(data: bytes, end: bytes, width: int, tail: bytes) -> None:
    assert decoded(lines(data, end, width) + tail) == (data, "")


@pytest.mark.parametrize("width", [4, 60, 75, 76, 77, 998, 10**9])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 500_000, 1_500_001])
def test_base64_of_any_size(width: int, size: int) -> None:
    data = os.urandom(size)
    assert decoded(lines(data, width=width)) == (data, "")


def test_base64_without_padding() -> None:
    for size in range(1, 9):
        data = bytes(range(200, 200 + size))
        assert decoded(lines(data).replace(b"=", b"")) == (data, "")


def test_base64_with_padding_on_a_line_of_its_own() -> None:
    assert decoded(lines(PADDED).replace(b"==", b"\r\n==")) == (PADDED, "")


def test_base64_in_several_padded_groups() -> None:
    assert decoded(lines(PADDED) + lines(PADDED) + lines(b"end")) == (PADDED + PADDED + b"end", "")


def test_base64_with_mixed_line_ends() -> None:
    assert decoded(lines(LONG) + lines(PADDED, b"\n")) == (LONG + PADDED, "")


@pytest.mark.parametrize("data", [LONG, PADDED])
@pytest.mark.parametrize(
    "footer",
    [
        b"\r\n" + FOOTER, b"\r\n\r\n_____\r\n" + FOOTER, b"_______________\r\n" + FOOTER, b"-- \r\n" + FOOTER,
        b"\r\nConfidential\r\n" + FOOTER, b"<br>\r\n", FOOTER,
    ],
)  # fmt: skip
def test_footers_of_mail_servers_are_left_off(data: bytes, footer: bytes) -> None:
    assert decoded(lines(data) + footer) == (data, "")


@pytest.mark.parametrize("footer", [b"\r\nConfidential\r\n", b"\r\nSent\r\nfrom\r\nmy\r\nphone\r\n"])
def test_words_alone_behind_padding_are_left_off(footer: bytes) -> None:
    assert decoded(lines(PADDED) + footer) == (PADDED, "")


def test_footer_at_the_edge_of_a_window() -> None:
    data = os.urandom(57 * 20_000)
    assert decoded(lines(data) + b"-- \r\n" + FOOTER) == (data, "")


# --- base64, not whole ------------------------------------------------------------------------------------------------


def test_a_wrong_character_anywhere_is_noticed() -> None:
    body = lines(LONG)
    for place in range(0, len(body) - 2, 7):
        if body[place : place + 1] not in b"\r\n":
            assert decoded(body[:place] + b"!" + body[place + 1 :])[1], place


def test_every_cut_is_noticed_or_whole_groups_are_left() -> None:
    """Where the end of the data is lost, only a cut between whole groups cannot be seen here."""
    body = lines(os.urandom(300)).rstrip()
    for end in range(1, len(body)):
        data, defect = decoded(body[:end])
        symbols = len(body[:end].translate(None, b"\r\n"))
        if symbols % 4 == 1:
            assert defect == CUT_OFF
        elif symbols % 4 == 0:
            assert (len(data), defect) == (symbols // 4 * 3, "")


def test_left_over_bits_betray_a_cut() -> None:
    assert decoded(b"QUJD" * 20 + b"QV") == (b"", CUT_OFF)  # Q0 would be "C" and nothing more


@pytest.mark.parametrize(
    ("body", "defect"),
    [
        (lines(LONG) + b"\r\n" + FOOTER + lines(LONG), DAMAGED),
        (lines(LONG)[:200] + b"*" + lines(LONG)[200:], DAMAGED),
        (b"CAUTION: this mail comes from outside\r\n" + lines(LONG), DAMAGED),
        (lines(LONG) + b"A=BC" * 20, DAMAGED),
        (b"QQ==" * 2000, DAMAGED),
        (FOOTER, NOT_BASE64),
        (lines(LONG) + b"abc%\r\n", DAMAGED),
    ],
)
def test_damage_is_named(body: bytes, defect: str) -> None:
    assert decoded(body)[1] == defect


def test_text_may_be_mislabelled() -> None:
    assert decoded(FOOTER, text=True) == (FOOTER.rstrip(), "")
    assert decoded(b"Hello,\r\nyou.\r\n", text=True)[0].strip() == b"Hello,\r\nyou."
    assert decoded(lines(LONG).split()[0] + b"!!\r\n", text=True)[1] == DAMAGED
    assert decoded(b"CAUTION: from outside\r\n" + lines(LONG), text=True)[1] == DAMAGED


# --- quoted-printable -------------------------------------------------------------------------------------------------


@given(st.binary(max_size=3000))
def test_quoted_printable(data: bytes) -> None:
    encoded = binascii.b2a_qp(data, istext=False, quotetabs=True)
    assert decoded(encoded, "quoted-printable") == (data, "")


def test_quoted_printable_across_windows() -> None:
    data = os.urandom(700_000)
    encoded = binascii.b2a_qp(data, istext=False)
    assert decoded(encoded, "quoted-printable") == (data, "")
    endless = encoded.replace(b"=\n", b"")
    assert decoded(endless, "quoted-printable") == (data, "")


def test_quoted_printable_with_a_wrong_escape() -> None:
    assert decoded(b"a=4", "quoted-printable")[1] == DAMAGED
    assert decoded(b"a=ZZb", "quoted-printable")[1] == DAMAGED
    assert decoded(b"1+1=2\r\n", "quoted-printable", text=True) == (b"1+1=2\r\n", "")
    assert decoded(b"soft end=\r\n", "quoted-printable") == (b"soft end", "")
    assert decoded(b"soft end=", "quoted-printable") == (b"soft end", "")


# --- uuencode ---------------------------------------------------------------------------------------------------------


def uu(data: bytes, name: str = "x.pdf", end: bytes = b"`\nend\n") -> bytes:
    body = b"".join(binascii.b2a_uu(data[n : n + 45], backtick=True) for n in range(0, len(data), 45))
    return b"begin 644 " + name.encode() + b"\n" + body + end


@given(st.binary(max_size=2000), st.sampled_from([b"`\nend\n", b" \nend\n", b"\nend", b"end\r\n"]))
def test_uuencode(data: bytes, end: bytes) -> None:
    assert decoded(uu(data, end=end), "uuencode") == (data, "")


def test_large_uuencode() -> None:
    data = os.urandom(700_000)
    assert decoded(uu(data), "uuencode") == (data, "")


def test_uuencode_with_stripped_blanks_and_checksums() -> None:
    data = bytes(45) + b"abc" + bytes(6)
    body = b"\n".join(line.replace(b"`", b" ").rstrip() for line in uu(data).split(b"\n"))
    assert decoded(body, "uuencode") == (data, "")
    assert decoded(uu(b"abc").replace(b"\n`", b"X\n`"), "uuencode") == (b"abc", "")


def test_broken_uuencode() -> None:
    assert decoded(uu(LONG, end=b""), "uuencode")[1] == CUT_OFF
    assert decoded(b"no such thing\n", "uuencode")[1] == DAMAGED
    assert decoded(uu(LONG).replace(b"\nM", b"\nM\x7f", 2), "uuencode")[1] == DAMAGED


@pytest.mark.parametrize(
    "prose",
    [
        b"begin 644 times\nand then stop.\n",
        b"\nbegin 7 o'clock\n#0V%T\n",
        b"I begin 644 x\n#0V%T\n",
        b"The patient should\nbegin 100 mg daily\n\nRegards\n",
        b"The patient should\nbegin 100 mg daily\r\n\r\nDR. HOUSE\r\n",
        b"The patient should\nbegin 100 mg daily\nDR. HOUSE\n",
        b"At the\nend of the week\nbegin 100 mg daily\nDR. HOUSE\n",
        b"begin 644 x",
        b"",
    ],
)
def test_prose_is_not_uuencode(prose: bytes) -> None:
    assert transfer.find_uuencode(prose, 0, len(prose)) is None


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "how", "whole"),
    [
        (lines(PADDED), "base64", True),
        (lines(LONG), "base64", False),
        (lines(b"%PDF-1.4 xyz\n%%EOF\n" + b" " * 8), "base64", True),
        (lines(LONG + b"\xff\xd9\xff\xd9"[:3] + b"\xff\xd8\xff\xff\xff\xd9"), "base64", True),
        (b"A", "base64", False),
        (b"\r\n\r\n", "base64", False),
        (b"text%%EOF\r\n", "", True),
        (b"IEND=AEB`=82", "quoted-printable", True),
        (b"IEND=AEB`", "quoted-printable", False),
        (uu(LONG), "uuencode", True),
        (uu(LONG)[:-5], "uuencode", False),
    ],
)
def test_whether_a_part_ends_whole(body: bytes, how: str, whole: bool) -> None:
    assert transfer.ends_whole(body, 0, len(body), how) is whole
