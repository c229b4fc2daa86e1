"""The fax of a mail: its parts in order, a ledger that adds up, and pages that are nothing but pixels."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from pathlib import Path
from shutil import which

import pikepdf
import pytest
from PIL import Image

from gateway.document import raster, render
from gateway.document.bilevel import to_bilevel
from gateway.document.refusal import Unfaxable
from gateway.document.weight import call_seconds
from gateway.model import LedgerEntry

from .conftest import Fax
from .made import A4, Sheet, fax_page, letters, photo
from .made import pdf as pdf_of


def picture(width: int = 800, height: int = 1000, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    photo(width, height).save(out, format=kind)
    return out.getvalue()


def told(made: dict[str, object]) -> list[str]:
    """The ledger, as its reader sees it."""
    return [LedgerEntry(**entry).text for entry in made["ledger"]]  # type: ignore[attr-defined]


def page_images(path: Path) -> list[Image.Image]:
    found = []
    with pikepdf.open(path) as document:
        for page in document.pages:
            ((_, stream),) = page.resources["/XObject"].items()
            found.append(pikepdf.PdfImage(stream).as_pil_image().convert("1", dither=Image.Dither.NONE))
    return found


# --- parts and ledger -------------------------------------------------------------------------------------------------


def test_a_drawn_text_is_told_by_what_it_was(fax: Fax) -> None:
    made = fax.make(fax.part("message text", letters(1), "body-drawn"))
    assert [entry["type"] for entry in made["ledger"]] == ["text/html"]


@pytest.mark.parametrize(
    "blank", [b"<html><head><title>x</title></head><body><br><div>&nbsp;</div></body></html>", b"\r\n \r\n"]
)
def test_a_text_of_nothing_that_a_server_hangs_behind_a_document_is_no_page(fax: Fax, blank: bytes) -> None:
    made = fax.make(fax.text("Hello"), fax.part("a.pdf", letters(1)), fax.part("ATT00001.htm", blank))
    assert told(made) == ["message text: page 1", "a.pdf: page 2", "ATT00001.htm: left out, it holds no text"]
    made = fax.make(fax.text("Hello"), fax.part("ATT00001.htm", blank), body="without-attachment")
    assert told(made)[0] == "message text: page 1"
    with pytest.raises(Unfaxable, match=r"nothing to fax: ATT00001\.htm: left out, it holds no text"):
        fax.make(fax.part("ATT00001.htm", blank))


def test_parts_become_pages_in_mail_order(fax: Fax) -> None:
    made = fax.make(
        fax.part("first.pdf", letters(2)),
        fax.text("in between"),
        fax.part("scan.tif", raster.g4(fax_page(), 196)),
        fax.part("photo.jpg", picture(kind="JPEG")),
        fax.part("note.txt", b"a note"),
        left_out=({"part": "invite.ics", "type": "text/calendar", "reason": "an invitation"},),
    )
    assert told(made) == [
        "first.pdf: pages 1-2", "message text: page 3", "scan.tif: page 4", "photo.jpg: page 5", "note.txt: page 6",
        "invite.ics: left out, an invitation",
    ]  # fmt: skip
    assert [entry["type"] for entry in made["ledger"]] == [
        "application/pdf", "text/plain", "image/tiff", "image/jpeg", "text/plain", "text/calendar",
    ]  # fmt: skip
    images = page_images(fax.out)
    assert len(images) == made["pages"] == 6
    assert images[3].tobytes() == fax_page().tobytes()


def test_the_numbers_told_are_those_of_the_file(fax: Fax) -> None:
    made = fax.make(fax.part("a.pdf", letters(3)))
    data = fax.out.read_bytes()
    assert made["size"] == len(data)
    assert made["sha256"] == hashlib.sha256(data).hexdigest()
    with pikepdf.open(fax.out) as document:
        sizes = []
        for page in document.pages:
            ((_, stream),) = page.resources["/XObject"].items()
            sizes.append(len(stream.read_raw_bytes()))
    assert made["seconds"] == pytest.approx(call_seconds(sizes), abs=0.06)


def test_the_same_mail_makes_the_same_file(fax: Fax) -> None:
    parts = [fax.part("a.pdf", letters(2)), fax.text("hello"), fax.part("p.png", picture())]
    assert fax.make(*parts)["sha256"] == fax.make(*parts)["sha256"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "bad.bin cannot be faxed: it is empty (0 bytes); send it again"),
        (b"MZ\0\0", "bad.bin is a program, which cannot be faxed from here; send it as PDF"),
        (letters(3)[:-900], "bad.bin is incomplete"),
        (picture()[:500], "bad.bin is a damaged or incomplete image"),
    ],
)
def test_a_part_that_fails_fails_the_fax_by_its_name(fax: Fax, data: bytes, why: str) -> None:
    with pytest.raises(Unfaxable) as refused:
        fax.make(fax.part("good.pdf", letters(1)), fax.part("bad.bin", data), fax.text("text"))
    assert refused.value.public.startswith(why)
    assert refused.value.status == "5.6.1"
    assert not fax.out.exists(), "no half a fax"


def test_a_text_without_a_word_fails_no_fax(fax: Fax) -> None:
    made = fax.make(fax.part("a.pdf", letters(1)), fax.part("ATT00001.txt", b""), fax.text("hello"))
    assert [entry["reason"] for entry in made["ledger"]] == ["", "it holds no text", ""]


def test_a_part_that_did_not_come_whole_fails_the_fax(fax: Fax) -> None:
    with pytest.raises(Unfaxable, match=r"^a.pdf cannot be faxed: its base64 breaks off; send it again$"):
        fax.make(fax.part("a.pdf", letters(1), defect="its base64 breaks off"))
    with pytest.raises(Unfaxable, match=r"^message text cannot be faxed: its base64 breaks off; send it again$"):
        fax.make(fax.text("", defect="its base64 breaks off"), fax.part("a.pdf", letters(1)))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("invoice.jpg", letters(1), "application/pdf"),
        ("invoice.pdf", picture(kind="JPEG"), "image/jpeg"),
        ("invoice.exe", letters(1), "application/pdf"),
        ("", b"text without a name", "text/plain"),
    ],
)
def test_a_wrong_name_does_not_matter(fax: Fax, name: str, data: bytes, kind: str) -> None:
    made = fax.make(fax.part(name, data))
    assert made["ledger"][0]["type"] == kind
    assert made["pages"] == 1


def test_the_page_limit_is_one_of_all_parts_together(fax: Fax) -> None:
    parts = [fax.part("a.pdf", letters(3)), fax.text("hello"), fax.part("b.pdf", letters(2))]
    assert fax.make(*parts, max_pages=6)["pages"] == 6
    with pytest.raises(Unfaxable) as refused:
        fax.make(*parts, max_pages=5)
    assert refused.value.public == "b.pdf has 2 pages, and the fax has room for 1 more; send it in parts"
    assert refused.value.status == "5.2.3"
    with pytest.raises(Unfaxable, match=r"^b.pdf has 2 pages, and the fax has room for no more"):
        fax.make(*parts, max_pages=4)
    with pytest.raises(Unfaxable, match=r"^message text has more than 0 pages"):
        fax.make(*parts, max_pages=3)


def test_a_part_too_large_for_the_memory_is_named(fax: Fax, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(render, "inked", exhausted)
    with pytest.raises(Unfaxable, match=r"^a.pdf needs more memory to convert than a fax may have; send it smaller$"):
        fax.make(fax.part("a.pdf", letters(1)))


# --- the message text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "attached", "outcome"),
    [
        ("with-text", True, "message text: page 1"),
        ("with-text", False, "message text: page 1"),
        ("always", True, "message text: page 1"),
        ("without-attachment", False, "message text: page 1"),
        ("without-attachment", True, "message text: left out, the message text is faxed only without an attachment"),
        ("never", True, "message text: left out, the message text is not faxed here"),
    ],
)
def test_when_the_message_text_becomes_a_page(fax: Fax, body: str, attached: bool, outcome: str) -> None:
    parts = [fax.text("hello")] + [fax.part("a.pdf", letters(1))] * attached
    assert told(fax.make(*parts, body=body))[0] == outcome


def test_an_invitation_is_no_attachment_to_its_own_text(fax: Fax) -> None:
    entry = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Meeting\r\nDTSTART:20261201T090000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    beside = fax.part("calendar entry", entry, declared_type="text/calendar", disposition="")
    made = fax.make(fax.text("Please come."), beside, body="without-attachment")
    assert [entry.partition(";")[0] for entry in told(made)] == ["message text: page 1", "calendar entry: page 2"]


def test_a_mail_of_nothing_but_what_is_not_faxed_says_why(fax: Fax) -> None:
    with pytest.raises(Unfaxable, match="nothing to fax: message text: left out, the message text is not faxed here"):
        fax.make(fax.text("hello"), body="never")
    with pytest.raises(Unfaxable, match="nothing to fax: no document and no text"):
        fax.make()
    with pytest.raises(Unfaxable, match="nothing to fax: message text: left out, it holds no text"):
        fax.make(fax.text(" \r\n\t "))
    with pytest.raises(Unfaxable, match=r"nothing to fax: x.ics: left out, an invitation"):
        fax.make(left_out=({"part": "x.ics", "type": "text/calendar", "reason": "an invitation"},))


def test_text_and_html_bodies(fax: Fax) -> None:
    made = fax.make(fax.text(""), fax.html("<p>Hello</p>"), fax.part("a.pdf", letters(1)))
    assert told(made) == ["message text: left out, it holds no text", "message text: page 1", "a.pdf: page 2"]
    with pytest.raises(Unfaxable, match="it holds no text"):
        fax.make(fax.html("<html><style>p{}</style><img src='cid:x'></html>"))


@pytest.mark.parametrize(("files", "said"), [(1, "the file"), (3, "the 3 files")])
def test_files_within_a_pdf_are_told_of(fax: Fax, files: int, said: str) -> None:
    with pikepdf.open(io.BytesIO(letters(1))) as document:
        for n in range(files):
            document.attachments[f"{n}.xml"] = pikepdf.AttachedFileSpec(document, b"<invoice/>")
        out = io.BytesIO()
        document.save(out)
    made = fax.make(fax.part("invoice.pdf", out.getvalue()))
    assert told(made) == [f"invoice.pdf: page 1; without {said} attached to it"]


# --- decoration -------------------------------------------------------------------------------------------------------

DECORATION = "left out, it only decorates the message, as a logo does"


def test_a_picture_shown_by_the_html_is_no_page(fax: Fax) -> None:
    for size in ((500, 700), (1600, 500), (1200, 399)):
        logo = fax.part("image001.png", picture(*size), disposition="attachment", content_id="x", referenced=True)
        made = fax.make(fax.html("<p>Hello</p><img src=cid:x>"), logo, fax.part("a.pdf", letters(1)))
        assert told(made) == ["message text: page 1", f"image001.png: {DECORATION}", "a.pdf: page 2"]


@pytest.mark.parametrize("size", [(800, 500), (1080, 1920), (720, 4000)])
def test_a_picture_as_large_as_a_screenshot_is_one_even_in_the_html(fax: Fax, size: tuple[int, int]) -> None:
    shot = fax.part("image001.png", picture(*size), content_id="x", referenced=True)
    made = fax.make(fax.html("<p>Look:</p><img src=cid:x>"), shot)
    assert told(made) == ["message text: page 1", "image001.png: page 2"]


def test_a_picture_with_many_points_that_is_shown_as_a_logo_is_one(fax: Fax) -> None:
    logo = fax.part("image001.png", picture(1200, 600), content_id="x", referenced=True, logo=True)
    made = fax.make(fax.html("<p>Hello</p><img src=cid:x>"), logo)
    assert told(made) == ["message text: page 1", f"image001.png: {DECORATION}"]


def test_an_attached_picture_is_a_page_even_with_a_content_id(fax: Fax) -> None:
    scan = fax.part("scan.png", picture(100, 100), disposition="attachment", content_id="x")
    assert told(fax.make(fax.text("hello"), scan)) == ["message text: page 1", "scan.png: page 2"]


def test_a_small_inline_picture_is_left_out_beside_a_document(fax: Fax) -> None:
    for disposition in ("inline", ""):
        icon = fax.part("icon.png", picture(64, 64), disposition=disposition, content_id="x")
        assert told(fax.make(fax.text("hello"), icon))[1] == f"icon.png: {DECORATION}"
        assert told(fax.make(icon, fax.part("a.pdf", letters(1))))[0] == f"icon.png: {DECORATION}"


def test_a_large_inline_picture_is_a_page(fax: Fax) -> None:
    shot = fax.part("photo.jpg", picture(kind="JPEG"), disposition="inline", content_id="x")
    assert told(fax.make(fax.text("hello"), shot))[1] == "photo.jpg: page 2"


def test_a_photo_sent_inline_with_nothing_else_is_the_document(fax: Fax) -> None:
    shot = fax.part("photo.jpg", picture(kind="JPEG"), disposition="inline", content_id="x", referenced=True)
    made = fax.make(fax.html("<html><img src='cid:x'></html>"), shot)
    assert told(made) == ["message text: left out, it holds no text", "photo.jpg: page 1"]


def test_a_damaged_inline_picture_is_not_taken_for_decoration(fax: Fax) -> None:
    broken = fax.part("photo.jpg", picture(kind="JPEG")[:40], disposition="inline", content_id="x")
    with pytest.raises(Unfaxable, match=r"^photo.jpg is a damaged"):
        fax.make(fax.text("hello"), broken)


# --- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resolution", "rows"), [("fine", 196), ("standard", 98)])
def test_the_document_is_nothing_but_fax_pages(fax: Fax, resolution: str, rows: int) -> None:
    hostile = pdf_of([Sheet().text(72, 72, "secret under a box", 12).box(60, 60, 200, 20).text(72, 200, "shown", 12)])
    with pikepdf.open(io.BytesIO(hostile)) as document:
        document.Root["/OpenAction"] = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")
        document.docinfo["/Author"] = "A Person"
        document.attachments["secret.txt"] = pikepdf.AttachedFileSpec(document, b"secret")
        out = io.BytesIO()
        document.save(out)
    fax.make(
        fax.part("a.pdf", out.getvalue()), fax.text("hello"), fax.part("b.png", picture(), "attachment"),
        resolution=resolution,
    )  # fmt: skip
    data = fax.out.read_bytes()
    for word in (
        b"JavaScript",
        b"OpenAction",
        b"Person",
        b"secret",
        b"Producer",
        b"Creat",
        b"ModDate",
        b"Metadata",
        b"/ID",
    ):
        assert word not in data
    with pikepdf.open(fax.out) as document:
        assert set(document.Root.keys()) == {"/Type", "/Pages"}
        assert len(document.docinfo) == 0
        for page in document.pages:
            assert set(page.keys()) == {"/Type", "/Parent", "/MediaBox", "/Contents", "/Resources"}
            assert set(page.resources.keys()) == {"/XObject"}
            ((_, stream),) = page.resources["/XObject"].items()
            assert (stream.Width, stream.BitsPerComponent, list(stream.Filter)) == (1728, 1, ["/CCITTFaxDecode"])
            assert stream.DecodeParms[0].K == -1
            width, height = (float(edge) / 72 for edge in page.mediabox[2:])
            assert 1728 / width == pytest.approx(204, rel=0.001)
            assert int(stream.Height) / height == pytest.approx(rows, rel=0.001)
            operators = [str(each.operator) for each in pikepdf.parse_content_stream(page)]
            assert operators == ["q", "cm", "Do", "Q"]


def test_a_page_shows_what_the_source_shows(fax: Fax) -> None:
    """Every page of the document, as drawn, is the bilevel page that went in."""
    fax.make(fax.part("a.pdf", letters(2, A4)), paper="a4")
    first, second = page_images(fax.out)
    assert first.size == (1728, 2291)
    assert first.tobytes() != second.tobytes()
    assert 0.01 < 1 - first.convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) / 255 < 0.2


@pytest.mark.system
@pytest.mark.skipif(which("pdfimages") is None, reason="pdfimages (poppler-utils) is not installed")
def test_another_reader_finds_the_same_pixels(fax: Fax, tmp_path: Path) -> None:
    fax.make(fax.part("scan.tif", raster.g4(fax_page(), 196)))
    subprocess.run(["pdfimages", "-png", str(fax.out), str(tmp_path / "seen")], check=True, timeout=60)
    with Image.open(next(tmp_path.glob("seen*.png"))) as seen:
        assert seen.convert("1").tobytes() == fax_page().tobytes()


# --- other conversions ------------------------------------------------------------------------------------------------


def frames(path: Path) -> list[tuple[bytes, tuple[int, int], float]]:
    with Image.open(path) as tiff:
        found = []
        for number in range(tiff.n_frames):
            tiff.seek(number)
            found.append((tiff.convert("1").tobytes(), tiff.size, float(tiff.info["dpi"][1])))
    return found


@pytest.mark.slow
def test_there_and_back_changes_no_pixel(fax: Fax, tmp_path: Path) -> None:
    """Our PDF, as the provider's TIFF, as its PDF, as the TIFF again."""
    made = fax.make(
        fax.part("a.pdf", letters(2)), fax.part("s.tif", raster.g4(fax_page(1146), 98)), fax.part("p.png", picture())
    )
    first, second, third = tmp_path / "1.tif", tmp_path / "2.pdf", tmp_path / "3.tif"
    told = render.to_tiff(str(fax.out), str(first), {})
    assert told == {"pages": 4, "seconds": made["seconds"]}
    assert [pixels for pixels, _, _ in frames(first)] == [image.tobytes() for image in page_images(fax.out)]
    assert [dpi for _, _, dpi in frames(first)] == [196, 196, 98, 196]
    assert render.tiff_to_pdf(str(first), str(second)) == {"pages": 4, "size": second.stat().st_size}
    assert render.to_tiff(str(second), str(third), {})["pages"] == 4
    assert frames(third) == frames(first)


@pytest.mark.parametrize(("resolution", "rows"), [("fine", 196), ("standard", 98)])
def test_any_document_becomes_a_fax_tiff(tmp_path: Path, resolution: str, rows: int) -> None:
    for n, data in enumerate((letters(2), picture(), b"plain text", raster.g4(fax_page(2292), 196))):
        source, out = tmp_path / f"{n}", tmp_path / f"{n}.tif"
        source.write_bytes(data)
        out.write_bytes(b"an older one")
        told = render.to_tiff(str(source), str(out), {"resolution": resolution})
        with Image.open(out) as tiff:
            assert told["pages"] == tiff.n_frames
            assert (tiff.width, tiff.mode, tiff.info["compression"]) == (1728, "1", "group4")
            assert tiff.tag_v2[278] >= tiff.height, "one strip"
            assert tiff.info["dpi"] == (204, 196 if n == 3 else rows)
        assert told["seconds"] > 11


def test_what_is_no_document_becomes_no_tiff(tmp_path: Path) -> None:
    empty, program = tmp_path / "empty", tmp_path / "program"
    empty.write_bytes(b"")
    program.write_bytes(b"MZ\0\0")
    with pytest.raises(Unfaxable, match=r"^the document is empty"):
        render.to_tiff(str(empty), str(tmp_path / "x.tif"), {})
    with pytest.raises(Unfaxable, match=r"^the document is a program"):
        render.to_tiff(str(program), str(tmp_path / "x.tif"), {})
    for broken in (b"II*\0", raster.g4(fax_page(), 196)[:900]):
        program.write_bytes(broken)
        with pytest.raises(Unfaxable, match=r"^the document is a damaged"):
            render.tiff_to_pdf(str(program), str(tmp_path / "x.pdf"))


def test_previews_show_the_pages_as_they_print(fax: Fax, tmp_path: Path) -> None:
    fax.make(
        fax.part("a.tif", raster.g4(fax_page(), 196)),
        fax.part("b.tif", raster.g4(fax_page(1146), 98)),
        fax.text("hello"),
    )
    made = render.previews(str(fax.out), str(tmp_path), width=432)
    assert [Path(path).name for path in made] == ["page-001.png", "page-002.png", "page-003.png"]
    for path, image, rows in zip(made, page_images(fax.out), (196, 98, 196), strict=True):
        with Image.open(path) as preview:
            shape = (image.height / rows) / (1728 / 204)
            assert preview.size == (432, round(432 * shape))
            expected = image.convert("L").resize(preview.size, Image.Resampling.BOX)
            assert preview.tobytes() == expected.tobytes()
    tiff = tmp_path / "fax.tif"
    render.to_tiff(str(fax.out), str(tiff), {})
    again = tmp_path / "again"
    again.mkdir()
    assert [Path(path).read_bytes() for path in render.previews(str(tiff), str(again), width=432)] == [
        Path(path).read_bytes() for path in made
    ]


def test_previews_of_a_document_that_is_no_fax(tmp_path: Path) -> None:
    source = tmp_path / "a.pdf"
    source.write_bytes(letters(1))
    (made,) = render.previews(str(source), str(tmp_path))
    with Image.open(made) as preview:
        assert preview.width == 864
        assert preview.getextrema() == (0, 255)


# --- weight -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "seconds"),
    [
        ([], 11.6),
        ([1], 11.6 + 1.6 + 2.6 + 1.053 * 8 / 14400),
        ([65536], 11.6 + 1.6 + 2.6 + 1.053 * 65536 * 8 / 14400),
        ([65537], 11.6 + 1.6 + 5.2 + 1.053 * 65537 * 8 / 14400),
        ([20000, 40000, 130000], 11.6 + 3 * 1.6 + 2.6 * (1 + 1 + 2) + 1.053 * 190000 * 8 / 14400),
    ],
)
def test_seconds_on_the_line(sizes: list[int], seconds: float) -> None:
    assert call_seconds(sizes) == pytest.approx(seconds)


def test_a_photo_weighs_more_than_text(fax: Fax) -> None:
    text = fax.make(fax.part("a.pdf", letters(1)))["seconds"]
    full = fax.make(fax.part("p.jpg", picture(2400, 3200, "JPEG")))["seconds"]
    assert text < 40
    assert full > 2 * text


# --- the grid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "rows"),
    [(204, 196, 196), (204, 98, 98), (200, 200, 196), (200, 100, 98), (204, 391, None), (100, 98, None), (0, 0, None)],
)
def test_fax_resolutions(x: float, y: float, rows: int | None) -> None:
    assert raster.fax_dpi(x, y) == rows


def test_g4_is_one_strip_without_a_word_too_much() -> None:
    data = raster.g4(fax_page(), 196)
    with Image.open(io.BytesIO(data)) as tiff:
        assert len(tiff.tag_v2[273]) == 1
        assert raster.strip_size(data) == tiff.tag_v2[279][0]
        assert tiff.tobytes() == fax_page().tobytes()
    assert not re.search(rb"Pillow|[Ss]oftware", data)
    assert to_bilevel(fax_page(), 196).tobytes() == fax_page().tobytes()
