"""A mail wrapped in its own S/MIME signature is opened; one that is encrypted is refused as that."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.mail import clearsigned, pkcs7, structure
from gateway.mail.parse import extract, inspect

SIGNED, DATA, ENVELOPED = "2a864886f70d010702", "2a864886f70d010701", "2a864886f70d010703"
CONTENT = b"Content-Type: text/plain\r\n\r\nSigned, and to be read.\r\n"


def der(tag: int, *content: bytes) -> bytes:
    data = b"".join(content)
    size = bytes([len(data)]) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes([tag]) + size + data


def ber(tag: int, *content: bytes) -> bytes:
    """With an open end, as streaming signers write it."""
    return bytes([tag, 0x80]) + b"".join(content) + b"\0\0"


def oid(number: str) -> bytes:
    return der(0x06, bytes.fromhex(number))


def signed(content: bytes | None, *, kind: str = SIGNED, streamed: bool = False) -> bytes:
    frame = ber if streamed else der
    held = []
    if content is not None:
        halves = content[:20], content[20:]
        octets = ber(0x24, der(0x04, halves[0]), der(0x24, der(0x04, halves[1]))) if streamed else der(0x04, content)
        held = [frame(0xA0, octets)]
    inside = frame(0x30, der(0x02, b"\1"), der(0x31), frame(0x30, oid(DATA), *held), der(0x31))
    return frame(0x30, oid(kind), frame(0xA0, inside))


def mail(data: bytes, kind: str = "application/pkcs7-mime; smime-type=signed-data; name=smime.p7m") -> bytes:
    head = f"Subject: x\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\n"
    return (head.encode() + base64.encodebytes(data)).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_signed_is_the_mail(tmp_path: Path, streamed: bool) -> None:
    source = tmp_path / "mail"
    source.write_bytes(mail(signed(CONTENT, streamed=streamed)))
    assert not inspect(str(source))["refusal"]
    (part,) = extract(str(source), str(tmp_path))["parts"]
    assert part["role"] == "body-text"
    assert Path(part["path"]).read_bytes() == b"Signed, and to be read.\r\n"


@pytest.mark.parametrize("kind", ["application/pkcs7-mime", "application/octet-stream"])
@pytest.mark.parametrize("content", [b"%PDF-1.7\nthe contract", b"Note: the first line\r\nand the second\r\n"])
@pytest.mark.parametrize("written", [bytes, base64.b64encode, base64.encodebytes])
def test_a_signed_file_is_a_file(tmp_path: Path, kind: str, content: bytes, written: Callable[[bytes], bytes]) -> None:
    source = tmp_path / "mail"
    source.write_bytes(mail(written(signed(content)), f"{kind}; name=contract.pdf.p7m"))
    (part,) = extract(str(source), str(tmp_path))["parts"]
    assert (part["role"], part["name"]) == ("attachment", "contract.pdf")
    assert Path(part["path"]).read_bytes() == content


def test_signatures_in_signatures_end_somewhere(tmp_path: Path) -> None:
    content = CONTENT
    for _ in range(30):
        content = b"Content-Type: application/pkcs7-mime\r\n\r\n" + signed(content)
    source = tmp_path / "mail"
    source.write_bytes(b"Subject: x\r\n" + content)
    assert "nested more than 20 levels" in inspect(str(source))["refusal"]


def test_certificates_alone_are_nothing_to_print(tmp_path: Path) -> None:
    source = tmp_path / "mail"
    source.write_bytes(mail(signed(None)))
    assert "nothing to fax" in inspect(str(source))["refusal"]


@pytest.mark.parametrize(
    "data", [signed(CONTENT, kind=ENVELOPED), signed(CONTENT)[:40], b"\x30\x85" + b"\xff" * 9, b"x", ber(0x30) * 3]
)
def test_the_rest_is_refused_as_encrypted(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "mail"
    source.write_bytes(mail(data))
    assert "encrypted" in inspect(str(source))["refusal"]


@pytest.mark.parametrize("name", ["smime.p7m", "smime.p7z"])
def test_what_is_compressed_is_not_called_encrypted(tmp_path: Path, name: str) -> None:
    source = tmp_path / "mail"
    compressed = signed(CONTENT, kind="2a864886f70d0109100109")
    source.write_bytes(mail(compressed, f"application/pkcs7-mime; smime-type=compressed-data; name={name}"))
    assert "the mail is compressed" in inspect(str(source))["refusal"]


def test_octets_within_octets_end_somewhere() -> None:
    nested = der(0x04, b"x")
    for _ in range(20):
        nested = der(0x24, nested)
    whole = der(
        0x30, oid(SIGNED), der(0xA0, der(0x30, der(2, b"\1"), der(0x31), der(0x30, oid(DATA), der(0xA0, nested))))
    )
    with pytest.raises(pkcs7.NotSigned):
        pkcs7.content(whole)


# --- signed where it stands -------------------------------------------------------------------------------------------

CLEARSIGNED = (
    b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nDear Bob,\r\n- - one\r\n- -- \r\nAnn\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    b"Version: GnuPG v2\r\n\r\niQEzBAEB\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
)
CLEAR = b"Dear Bob,\r\n- one\r\n-- \r\nAnn\r\n"


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        (CLEARSIGNED, CLEAR),
        (CLEARSIGNED.replace(b"\r\n", b"\n"), CLEAR.replace(b"\r\n", b"\n")),
        (b"Above\r\n" + CLEARSIGNED + b"Between\r\n" + CLEARSIGNED + b"- Below", b"Above\r\n" + CLEAR + b"Between\r\n" + CLEAR + b"- Below"),
        (CLEARSIGNED.rstrip(), CLEAR),
        *((each, each) for each in (
            CLEARSIGNED[:-10], CLEARSIGNED[:60], b"> " + CLEARSIGNED, CLEARSIGNED.replace(b"Hash: SHA256\r\n\r\n", b"Hash it\r\n"), b"", b"- plain\r\n",
            CLEARSIGNED.replace(b"=abcd\r\n", b"=abcd\r\nMy own words.\r\n"), CLEARSIGNED[:-36] + CLEARSIGNED,
        )),
    ],
)  # fmt: skip
def test_the_frame_of_a_text_that_is_signed_where_it_stands_is_not_printed(text: bytes, clear: bytes) -> None:
    assert clearsigned.opened(text) == clear


def test_a_signature_in_the_text_is_told() -> None:
    found = structure.read(b"From: a@example.org\r\nSubject: x\r\n\r\n" + CLEARSIGNED)
    text, signature = found.leaves
    assert (text.data, text.message_text) == (CLEAR, True)
    assert (signature.name, signature.left_out) == ("signature of PGP", "it is a digital signature, nothing to print")


def test_many_frames_that_never_end_take_no_time() -> None:
    many = b"-----BEGIN PGP SIGNED MESSAGE-----\n\n" * 50_000
    assert clearsigned.opened(many) == many
