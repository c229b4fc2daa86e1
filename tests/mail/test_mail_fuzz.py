"""The reader survives everything: what mailers serialise comes out byte for byte, what attackers write ends in time."""

from __future__ import annotations

import base64
import binascii
import os
import quopri
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail.parse import extract, inspect

pytestmark = pytest.mark.slow

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.eml"))

fuzz = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def read(raw: bytes) -> tuple[dict[str, Any], dict[str, Any] | None, list[bytes]]:
    """Summary, extraction (None when refused) and the data of the parts."""
    with tempfile.TemporaryDirectory() as scratch:
        mail = Path(scratch, "mail")
        mail.write_bytes(raw)
        parts = Path(scratch, "parts")
        parts.mkdir()
        summary = inspect(str(mail))
        try:
            found = extract(str(mail), str(parts))
        except Refused as error:
            refused = error.public
        else:
            refused = ""
        if refused:
            assert summary["refusal"] or summary["partial"]  # a part alone is no fax
            return summary, None, []
        return summary, found, [Path(part["path"]).read_bytes() for part in found["parts"]]


# --- byte for byte ----------------------------------------------------------------------------------------------------

# no %, which is read as in a URL
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="%/\\\"'.:"), min_size=1)
file_names = st.builds(lambda stem, ext: f"{stem[:40]}.{ext}", names, st.sampled_from(["pdf", "PDF", "tif", "bin"]))
_FORK = b"\0\x05\x16\x07"  # of a Macintosh, which is no document
documents = st.tuples(
    st.binary(min_size=1, max_size=400).filter(lambda data: not data.startswith(_FORK))
    | st.integers(1, 5).map(lambda n: os.urandom(n * 200_000)),
    file_names,
    st.sampled_from(["base64", "quoted-printable"]),
)


@st.composite
def mails(draw: st.DrawFn, depth: int = 0) -> tuple[EmailMessage, list[tuple[bytes, str]]]:
    """A mail as the standard library builds it, and the documents that must come out, in order."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = f"level {depth}"
    message["From"] = "ann@example.com"
    message.set_content(f"Text of level {depth}.\r\n")
    if draw(st.booleans()):
        message.add_alternative(f"<p>Text of level {depth}.</p>\r\n", subtype="html")
    wanted: list[tuple[bytes, str]] = []
    for _ in range(draw(st.integers(0, 4))):
        if depth < 3 and draw(st.integers(0, 3)) == 0:
            inner, inside = draw(mails(depth + 1))
            message.add_attachment(inner)
            wanted += inside
        else:
            data, name, cte = draw(documents)
            if b"%PDF" not in data and cte == "quoted-printable" and len(data) > 10_000:
                data = data[:10_000]
            message.add_attachment(data, maintype="application", subtype="x-test", filename=name, cte=cte)
            wanted.append((data, name))
    return message, wanted


@settings(fuzz, max_examples=80)
@given(mails())
def test_what_the_standard_library_writes_is_read_byte_for_byte(
    made: tuple[EmailMessage, list[tuple[bytes, str]]],
) -> None:
    message, wanted = made
    summary, found, data = read(message.as_bytes())
    assert found is not None
    assert not summary["refusal"]
    got = [
        (content, part["name"])
        for part, content in zip(found["parts"], data, strict=True)
        if part["declared_type"] == "application/x-test"
    ]
    assert [content for content, _ in got] == [content for content, _ in wanted]
    assert [name for _, name in got] == [name for _, name in wanted]
    assert not any(part["defect"] for part in found["parts"])
    assert b"Text of level 0." in data[0]


# --- word for word ----------------------------------------------------------------------------------------------------

LETTERS = {
    "utf-8": "äб漢", "us-ascii": "abc", "iso-8859-1": "äéß", "iso-8859-2": "ąęł", "windows-1251": "бгд", "koi8-r": "бгд",
    "shift_jis": "漢字", "iso-2022-jp": "漢字", "gb18030": "传真", "euc-kr": "팩스", "utf-16": "äб漢",
}  # fmt: skip
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.encodebytes, "quoted-printable": quopri.encodestring, "8bit": bytes,
}  # fmt: skip
SIGNATURE = b"Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n"


def leaf(draw: st.DrawFn, word: str, charset: str, kind: str, name: str = "") -> bytes:
    text = f"<p>{word}</p>" if kind == "html" else word
    encoding = "base64" if charset == "utf-16" else draw(st.sampled_from(sorted(ENCODINGS)))
    place = f"Content-Disposition: attachment; filename={name}\r\n" if name else ""
    fields = f"{place}Content-Transfer-Encoding: {encoding}\r\nContent-Type: text/{kind}; charset={charset}\r\n\r\n"
    return fields.encode() + ENCODINGS[encoding](text.encode(charset))


@st.composite
def trees(draw: st.DrawFn, words: list[str], depth: int = 0) -> bytes:
    """A part that is written here by hand, with a word of its own in each text, which is added to ``words``."""
    shapes = ["plain", "html", "file"] + ["mixed", "related", "signed", "x-new", "mail", "alternative"] * (depth < 4)
    shape = draw(st.sampled_from(shapes))
    charset = draw(st.sampled_from(sorted(LETTERS)))
    word = f"w{len(words)}x{LETTERS[charset]}x{len(words)}w"
    if shape in ("plain", "html", "file", "alternative"):
        words.append(word)
    if shape == "file":
        return leaf(draw, word, charset, "plain", f"{len(words)}.txt")
    if shape in ("plain", "html"):
        return leaf(draw, word, charset, shape)
    if shape == "mail":
        return b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n" + draw(trees(words, depth + 1))
    if shape == "alternative":
        kinds = draw(st.permutations(["plain", "html"]))
        parts = [leaf(draw, word, charset, kind) for kind in kinds]
    else:
        parts = [draw(trees(words, depth + 1)) for _ in range(1 if shape == "signed" else draw(st.integers(1, 3)))]
        parts += [SIGNATURE] * (shape == "signed")
    frame = b"\r\n--=_%d" % depth  # which is in no part: those are deeper
    body = b"".join(frame + b"\r\n" + part for part in parts)
    return f'Content-Type: multipart/{shape}; boundary="=_{depth}"\r\n'.encode() + body + frame + b"--\r\n"


@settings(fuzz, max_examples=100)
@given(st.data())
def test_each_word_of_a_tree_of_parts_is_read_once(data: st.DataObject) -> None:
    words: list[str] = []
    summary, found, contents = read(b"Subject: x\r\n" + data.draw(trees(words)))
    assert found is not None
    assert not summary["refusal"]
    texts = [to_text(content, part["charset"]) for content, part in zip(contents, found["parts"], strict=True)]
    assert [sum(text.count(word) for text in texts) for word in words] == [1] * len(words)


# --- never raises -----------------------------------------------------------------------------------------------------


@fuzz
@given(st.binary(max_size=3000))
def test_any_bytes_are_read(raw: bytes) -> None:
    read(raw)


SCRAPS = r"""
Content-Type: multipart/mixed; boundary=b\r\n
Content-Type: multipart/alternative; boundary="b"\r\n
Content-Type: message/rfc822\r\n
Content-Type: text/html; charset=idna\r\n
Content-Type: text/plain; name*\r\n
Content-Type: image/png; name*0*=x'y'%;name*1="\r\n
Content-Transfer-Encoding: base64\r\n
Content-Transfer-Encoding: quoted-printable\r\n
Content-Transfer-Encoding: uuencode\r\n
Content-Disposition: attachment; filename==?utf-8?b?AAA?=\r\n
Subject: =?utf-16?q?=00?= =?x?b?=?=\r\n
Message-ID: <[a]>\r\n
Auto-Submitted:\r\n
From \r\n
X\r\n
 \r\n
\r\n
--b\r\n
--b--\r\n
AAAA
AAA=
=\r\n
begin 644 x\r\n
#0V%T\r\n
`\r\nend\r\n
<img src=cid:
<!--
<style>
\0\xff
\u202e
-----BEGIN PGP MESSAGE-----\r\n
"""
pieces = st.sampled_from([line.encode().decode("unicode_escape").encode("utf-8") for line in SCRAPS[1:-1].split("\n")])


@fuzz
@given(st.lists(pieces | st.binary(max_size=8), max_size=60).map(b"".join))
def test_scraps_of_mail_are_read(raw: bytes) -> None:
    read(raw)


@fuzz
@given(st.data())
def test_damaged_mails_are_read(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from(GOLDEN)).read_bytes()
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 40)))
    read(raw[:start] + data.draw(st.binary(max_size=20)) + raw[stop:])


@fuzz
@given(st.data())
def test_a_cut_never_loses_a_document_silently(data: st.DataObject) -> None:
    """A mail that ends early gives its document whole, or broken, or not at all: never a shorter one."""
    document = b"%PDF-1.4\n" + os.urandom(300) + b"\n%%EOF"
    message = EmailMessage(policy=SMTP)
    message.set_content("See the attached.")
    message.add_attachment(document, maintype="application", subtype="pdf", filename="a.pdf")
    raw = message.as_bytes()
    cut = raw[: data.draw(st.integers(raw.index(b"application/pdf"), len(raw)))]
    summary, found, contents = read(cut)
    for part, content in zip(found["parts"] if found else [], contents, strict=False):
        if part["role"] == "attachment" and not part["defect"]:
            assert content == document
        elif part["role"] == "attachment":
            assert summary["refusal"] or summary["partial"]  # a part alone is no fax


# --- ends in time -----------------------------------------------------------------------------------------------------

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HTML = b"Content-Type: text/html\r\n\r\n"
B64 = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
MB = 1_000_000


def nested(depth: int) -> bytes:
    raw = b""
    for n in range(depth):
        raw += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
    return raw + b"\r\ntext\r\n"


BOMBS = {
    "nested multiparts": nested(1000),
    "empty parts": MIXED + b"--b\r\n\r\n" * 100_000,
    "near boundaries": MIXED + b"\n--ba" * MB,
    "one long line of boundary": MIXED + b"\n--b" + b" " * 5 * MB,
    "continuation lines": b"Subject: x\n" + b" \n" * 45_000 + b"\ntext",
    "broken header lines": b"Subject: x\n" + b"x\n" * 45_000 + b"Content-Type: text/plain\n\ntext",
    "many fields": b"A:\n" * 30_000 + b"\ntext",
    "brackets in addresses": b"To: " + b"(" * 90_000 + b"\n\ntext",
    "encoded words": b"Subject: " + b"=?utf-8?q?" * 9_000 + b"\n\ntext",
    "parameters": b"Content-Type: text/plain" + b";a=b" * 20_000 + b"\n\ntext",
    "blanks in a parameter": b"Content-Type: multipart/mixed; boundary=a" + b" " * 90_000 + b"x\n\ntext",
    "quotes in a parameter": b"Content-Type: text/plain; name=" + b'"' * 90_000 + b"\n\ntext",
    "backslashes in a parameter": b'Content-Type: text/plain; name="' + b"\\" * 90_001 + b"\n\ntext",
    "sections of a name": b"Content-Type: text/plain" + b"".join(b";n*%d=x" % n for n in range(9_000)) + b"\n\ntext",
    "open tags": HTML + b"<" * 3 * MB,
    "open comments": HTML + b"<!--" * MB,
    "open styles": HTML + b"<style>" * MB,
    "cids": HTML + b"cid:a" * MB,
    "begin lines": b"\n" + b"begin 644 x\n" * 200_000,
    "begin lines with data": b"\n" + b"begin 644 x\n#0V%T\n" * 100_000,
    "padded groups": B64 + b"AA==" * MB,
    "padded lines": B64 + b"AA==\r\n" * 500_000,
    "blank lines": B64 + b"\r\n" * 2 * MB + b"AAAA",
    "lines of one symbol": B64 + b"A\r\n" * MB,
    "one endless line": B64 + b"A" * 5 * MB,
    "equals signs": b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + b"=" * 5 * MB,
    "punycode": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * MB + b"-" + b"9" * MB,
    "quotes in addresses": b"To: =?" + b'\\"' * 45_000 + b"\n\ntext",
    "boundaries in a header": b"Content-Type: x\n" * 3_000 + b"--a\n" * 12_000 + b"Content-Type: text/plain\n\ntext",
    "blanks in a tag": HTML + b"<img src=" + b" " * 300_000 + b"x>",
    "blanks in a charset": MIXED + (b"--b\r\n" + HTML + b"<meta charset=" + b" " * 4000 + b"!\xe4\r\n") * 190,
    "lines set in": b"To: x\r\n\r\nAgenda:\r\n" + b"  - a point\r\n" * 300 + b"Regards\r\n",
    "a million tags": HTML + b"<a " * 3 * MB,
    "attached mails": b"Content-Type: message/rfc822\r\n\r\n" * 30 + b"text",
}


@pytest.mark.slow
@pytest.mark.timeout(30)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_end_in_time(bomb: bytes) -> None:
    read(bomb)


@pytest.mark.parametrize(
    ("bomb", "refusal"),
    [
        ("nested multiparts", "the mail is nested more than 20 levels deep"),
        ("empty parts", "the mail has more than 200 parts; send fewer attachments"),
        ("a million tags", "the message text is too long for a fax; send it in parts"),
        ("attached mails", "the mail is nested more than 20 levels deep"),
    ],
)
def test_bombs_are_refused_in_words(bomb: str, refusal: str) -> None:
    assert read(BOMBS[bomb])[0]["refusal"] == refusal


def test_a_text_is_not_too_long_for_the_pictures_and_files_within() -> None:
    picture = b"<p>Words<img src=data:image/png;base64," + b"A" * 9 * MB + b">"
    assert not read(HTML + picture)[0]["refusal"]
    assert not read(HTML + picture.replace(b"A" * 76, b"A" * 76 + b"\r\n"))[0]["refusal"]
    lines = binascii.b2a_uu(b"%PDF-".ljust(45)).replace(b"\n", b"\r\n") * (9 * MB // 63)
    summary = read(b"To: x\r\n\r\nHere:\r\nbegin 644 scan.pdf\r\n" + lines + b"`\r\nend\r\n")[0]
    assert not summary["refusal"]


def test_a_subject_of_blanks_is_read_in_no_time() -> None:
    began = time.process_time()
    read(b"Subject: x" + (b" " * 900 + b"\r\n") * 100 + b" y\r\n\r\ntext")
    assert time.process_time() - began < 1  # some hundredths


def test_a_header_beyond_all_measure_is_refused() -> None:
    assert "header larger than 100 KiB" in read(b"A: b\r\n" * 30_000 + b"\r\ntext")[0]["refusal"]
    inner = b"--b\r\n" + b"A: b\r\n" * 30_000 + b"\r\ntext\r\n--b--\r\n"
    assert "header larger than 100 KiB" in read(MIXED + inner)[0]["refusal"]


def test_memory_stays_small(tmp_path: Path) -> None:
    """A large attachment is decoded in windows: what Python allocates does not grow with it."""
    mail = tmp_path / "mail"
    mail.write_bytes(B64 + base64.encodebytes(os.urandom(8 * MB)))
    tracemalloc.start()
    try:
        extract(str(mail), str(tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 4 * MB
    finally:
        tracemalloc.stop()
