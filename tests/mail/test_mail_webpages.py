"""Web pages saved as a mail, and mails written like them: pictures are found by their addresses, looks are no documents."""

from __future__ import annotations

import base64

import pytest

from gateway.mail import structure, webpages
from gateway.mail.leaf import Leaf

PICTURE = b"\x89PNG\r\n\x1a\n, say"


def related(page: bytes, *parts: tuple[str, str], before: str = "", charset: str = "; charset=utf-8") -> structure.Mail:
    """A mail of ``page`` and of parts, each by its type and more fields."""
    mail = b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    mail += f"--b\r\nContent-Type: text/html{charset}\r\n{before}\r\n".encode() + page + b"\r\n"
    for kind, fields in parts:
        mail += f"--b\r\nContent-Type: {kind}\r\n{fields}\r\n\r\n".encode() + PICTURE + b"\r\n"
    return structure.read(mail + b"--b--\r\n")


@pytest.mark.parametrize(
    ("source", "location", "base"),
    [
        ('src="https://x.example/p.png"', "https://x.example/p.png", ""),
        ("SRC = 'p.png'", "p.png", ""),
        ("src=img/p.png", "https://x.example/a/img/p.png", "https://x.example/a/page.htm"),
        ('src="p.png?a=1&amp;b=(2)"', "p.png?a=1&b=(2)", ""),
        ('background="p.png"', "p.png", ""),
    ],
)
def test_a_picture_is_shown_by_its_address(source: str, location: str, base: str) -> None:
    before = f"Content-Location: {base}\r\n" if base else ""
    found = related(f"<p>Ä</p><img {source}>".encode(), ("image/png", f"Content-Location: {location}"), before=before)
    page, picture = found.leaves
    assert found.shows(picture)
    assert page.pictures == {location.lower()}
    assert page.data is not None
    assert b'"cid:' in page.data
    assert "Ä".encode() in page.data


def test_no_more_addresses_of_a_page_are_looked_up_than_a_person_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def seen(_: str, address: str) -> str:
        looked_up.append(address)
        return ""

    monkeypatch.setattr(webpages, "urljoin", seen)
    page = b"".join(b"<img src=%d.png>" % n for n in range(100_000))
    assert len(related(page, ("image/png", "Content-Location: p.png")).leaves) == 2
    assert len(looked_up) == 2000


def test_a_picture_that_has_an_id_keeps_it() -> None:
    found = related(b"<img src=p.png>", ("image/png", "Content-Location: p.png\r\nContent-ID: <one@x>"))
    assert found.shown == {"one@x"}


def test_what_only_browsers_want_is_left_out_and_a_document_is_not() -> None:
    looks = [(kind, "Content-Location: x") for kind in ("text/css", "text/javascript", "font/woff2", "image/svg+xml")]
    found = related(b"<p>x", *looks, ("text/css", "Content-Disposition: attachment"), ("text/css", ""))
    assert [leaf.left_out for leaf in found.leaves] == ["", *["it only serves the look of a web page"] * 4, "", ""]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("application/octet-stream; name=oledata.mso", "Content-ID: <oledata.mso>\r\nContent-Disposition: inline"),
        ("application/octet-stream; name=image001.emz", "Content-ID: <image001.emz@01D>"),
        ("application/x-mso", "Content-Location: a_files/editdata.mso"),
        ("text/xml", "Content-Location: a_files/filelist.xml"),
    ],
)
def test_what_word_and_outlook_write_beside_a_picture_is_no_document(kind: str, fields: str) -> None:
    found = related(b"<p>x", (kind, fields), (kind, "Content-Disposition: attachment"))
    assert [bool(leaf.left_out) for leaf in found.leaves] == [False, True, False]


def test_a_page_without_such_pictures_stays_as_it_is() -> None:
    page = b"<img src=p.png><img src='cid:a'><img src='http://[no'>\xe4"
    for fields in ("Content-Location: q.png", "Content-Location: p.png\r\nContent-Disposition: attachment", ""):
        found = related(page, ("image/png", fields), charset="", before="Content-Location: https://x.example/a\r\n")
        assert (found.leaves[0].data or b"").rstrip() == page
        assert found.shown == {"a"}


# --- pages under the names of other documents -------------------------------------------------------------------------

EXPORTED = (
    b"Date: Fri, 27 Nov 2026 10:00:00 +0000\r\nSubject: Exported\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;"
    b"\r\n\tboundary=p\r\n\r\n--p\r\nContent-Type: text/html\r\nContent-Location: file:///C:/page.htm\r\n\r\n"
    b"<h1>All</h1><img src=a1>\r\n--p\r\nContent-Type: application/octet-stream\r\nContent-Location: file:///C:/a1\r\n\r\n"
    + PICTURE
    + b"\r\n--p--\r\n"
)


def attached(
    data: bytes, kind: str = "application/msword", name: str = "wiki.doc", *, encoded: bool = True
) -> list[Leaf]:
    mail = "From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nSee.\r\n"
    mail += f'--m\r\nContent-Type: {kind}; name="{name}"\r\n'
    encoding = b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data) if encoded else b"\r\n" + data
    return structure.read(mail.encode() + encoding + b"\r\n--m--\r\n").leaves[1:]


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("kind", ["application/msword", "application/octet-stream", "text/plain"])
def test_a_page_that_calls_itself_another_document_is_opened(kind: str, encoded: bool) -> None:
    page, picture = attached(EXPORTED, kind, encoded=encoded)
    assert (page.name, page.is_html, page.preface, page.pictures) == ("wiki.doc", True, "", {"file:///c:/a1"})
    assert picture.content_id == "file:///C:/a1"


@pytest.mark.parametrize(
    "data",
    [
        b"Date: today\r\nSubject: a memo\r\n\r\nText", b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nText", b"%PDF-1.4 MIME-Version: 1.0",
        b"Notes\r\n" + EXPORTED, b"", b"MIME",
    ],
)  # fmt: skip
def test_other_files_are_files(data: bytes) -> None:
    assert [leaf.name for leaf in attached(data)] == ["wiki.doc"]
