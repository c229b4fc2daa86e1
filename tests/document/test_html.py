"""HTML drawn as its reader sees it: every word within the page, nothing from elsewhere, as text where it cannot be drawn."""

from __future__ import annotations

import base64
import io
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
import pytest_asyncio
from PIL import Image

from gateway.document import engine, html, html_text, raster, roll
from gateway.document.opening import opened
from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused
from gateway.mail.trim import ALL
from gateway.model import LedgerEntry

from .conftest import Fax
from .made import photo

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=f"HTML cannot be drawn here: {engine.missing()}")
behind_walls = pytest.mark.asyncio(loop_scope="module")
WORDS = " ".join(f"word{n}" for n in range(900))
TABLE = "<table border=1><tr><td>Paper</td><td>42.00</td></tr></table>"
AS_TEXT = "printed as text: drawing its HTML failed or took too much time or memory"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1, WorkerLimits(timeout=60))
    await pool.start()
    yield pool
    await pool.close()


class Sender:
    """Makes a fax of a mail, through all jobs."""

    def __init__(self, pool: WorkerPool, directory: Path) -> None:
        self._pool, self._directory = pool, directory
        self.parts: list[dict[str, Any]] = []

    async def send(self, mail: EmailMessage, **options: Any) -> list[str]:
        """What the ledger says."""
        work = self._directory / f"mail-{len(list(self._directory.glob('mail-*')))}"
        work.mkdir()
        source = work / "mail"
        source.write_bytes(mail.as_bytes())
        options = {"paper": "letter", "body": "with-text", "cover": "", "max_pages": 70, **options}
        found = await self._pool.run(
            "gateway.mail.parse:extract", mail=str(source), directory=str(work), trim=list(ALL), html=True
        )
        found = await opened(self._pool, found, work, "", options)
        self.parts = found["parts"]
        made = await self._pool.run(
            "gateway.document.render:render",
            parts=found["parts"], left_out=found["left_out"], out=str(work / "fax.pdf"), options=options,
        )  # fmt: skip
        return [LedgerEntry(**entry).text for entry in made["ledger"]]

    def words(self) -> str:
        """What stands on the pages that were drawn."""
        return shown(next(part["path"] for part in self.parts if part["path"].endswith("drawn.pdf")))


@pytest.fixture
def sender(pool: WorkerPool, tmp_path: Path) -> Sender:
    return Sender(pool, tmp_path)


def mail(text: str, plain: str = "", subject: str = "Offer") -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = subject
    if plain:
        made.set_content(plain)
        made.add_alternative(text, subtype="html")
    else:
        made.set_content(text, subtype="html")
    return made


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def shown(path: str) -> str:
    """The words on the pages of a PDF: each shows a piece of all, none of whose letters is cut off."""
    said = []
    with pikepdf.open(path) as pieces, pypdfium2.PdfDocument(path) as document:
        for piece, page in zip(pieces.pages, document, strict=True):
            clips = re.findall(rb"q (\S+) (\S+) (\S+) (\S+) re", piece.Contents.read_bytes())
            _, low, width, height = map(float, clips[-1])  # below the head of a table
            text = page.get_textpage()
            for n in range(text.count_chars()):
                left, bottom, right, top = text.get_charbox(n)
                if low < (bottom + top) / 2 < low + height:
                    assert low - 1 <= bottom <= top <= low + height + 1
                    assert 0 <= left <= right <= width
                    said.append(text.get_text_range(n, 1))
                elif said and said[-1] != "\n":
                    said.append("\n")
    return " ".join("".join(said).replace("\u200b", "").split())


def drawn(text: str, directory: Path, *parts: dict[str, Any], **how: bool) -> dict[str, Any]:
    """What the job answers, in this process."""
    fax = Fax(directory)
    part = fax.html(text)
    how = {"alone": True, "covered": False, **how}
    place = directory / "drawn"
    place.mkdir()
    return html.draw(part["path"], part, list(parts), str(place), "letter", **how)


# --- no word is lost --------------------------------------------------------------------------------------------------

LAYOUTS = {
    "a plain one": f"<p>{WORDS}</p>",
    "a floating table": f"<table align=left width=600><tr><td>{WORDS}</td></tr></table>",
    "a floating block": f"<div style='float:left;width:80%'>{WORDS}</div>",
    "a block in the line": f"<div style='display:inline-block;width:90%'>{WORDS}</div>",
    "a block that is too low": f"<div style='height:40px'>{WORDS}</div>",
    "a block to be scrolled": f"<style>div{{overflow-y:scroll}}</style><div style='height:40px;overflow:auto'>{WORDS}</div>",
    "a line that is cut off": f"<p style='width:200px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis'>{WORDS}</p>",
    "one out of place": f"<div style='position:absolute;left:3000px;top:0'>{WORDS}</div>",
    "tables in tables": "<table><tr><td>" * 6 + WORDS,
    "columns": f"<div style='columns:2'>{WORDS}</div>",
    "boxes that share the width": f"<div style='display:flex'><p>{WORDS}</p><p>x</p></div>",
    "a line that is not to be broken": f"<p style='white-space:nowrap'>{WORDS}</p>",
    "a wide table": f"<table width=1150><tr><td>{WORDS}</td><td align=right>end</td></tr></table>",
    "a very wide table": f"<table width=4000><tr><td>{WORDS}</td><td align=right>end</td></tr></table>",
    "many columns": "<table border=1><tr>" + "".join(f"<td>word{n}</td>" for n in range(30)) + "</tr></table>",
    "one from the right": f"<div dir=rtl><table width=1100><tr><td>{WORDS}</td><td>word</td></tr></table></div>",
    "a long address": "<p>https://example.com/" + "word" * 200 + "</p>",
    "a page of its own": f"<style>@font-face{{font-family:x;src:url(x.woff)}} @page a{{size:30in 5in;margin:9in}} div{{page:a}}</style><div>{WORDS}</div>",
    "pages of their own": f"<p style='page-break-after:always'>x</p><br style='break-before:page'><p style='page-break-before:always'>{WORDS}</p>",
    "preformatted": f"<pre>{WORDS}\nend</pre>",
    "one as Outlook writes it": f"<p style='border:solid windowtext 1pt'>{WORDS}</p>",
    "white on white": f"<body text=white bgcolor=black><p style='color:#ffffff !important'>{WORDS}</p>",
}  # fmt: skip


def test_letters_in_a_font_of_signs_are_the_signs(tmp_path: Path) -> None:
    source = (
        "<p>Thanks <span style='font-family:Wingdings'>J</span> then <font face=wingdings>\xe0 <span style='font:7pt Arial'>J"
        "</span></font> <span style='mso-bidi-font-family:Wingdings'>J</span> <span style='font-family:Arial,Wingdings'>J</span>"
        " <span style='font-family:\"Wingdings\",serif'>&#xF0FE;<b>o</b></span>"
        " <span style='font-family:\"Wingdings 2\"'>PO</span> <font face=Wingdings2>R\xa3</font> <font face='Wingdings 3'>R</font></p>"
    )
    answer = drawn(source, tmp_path)
    assert shown(answer["path"]) == html_text.from_html(source) == "Thanks ☺ then → J J J ☑□ ✓✗ ☑□ R"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_word_is_on_a_page(tmp_path: Path, name: str) -> None:
    wanted = " ".join(WORDS.split()) if WORDS in LAYOUTS[name] else "word"
    answer = drawn(LAYOUTS[name], tmp_path)
    assert answer["why"] == ""
    said = shown(answer["path"])
    if wanted == "word":
        assert said.replace(" ", "").count("word") == LAYOUTS[name].count("word") or "word" * 200 in said.replace(
            " ", ""
        )
    else:
        assert set(wanted.split()) <= set(said.split())


@pytest.mark.parametrize(
    "style", [
        "height:40px", "max-height:3em;overflow:auto", "overflow-y:scroll;height:40px", "HEIGHT: 2em; display:inline-block",
        "overflow:hidden;height:40px", "max-height:3em;overflow:hidden", "overflow:hidden'><div style='float:left",
    ],
)  # fmt: skip
def test_what_comes_next_stands_below(tmp_path: Path, style: str) -> None:
    answer = drawn(f"<div><div style='{style}'>{WORDS}</div></div></div><p>END</p>", tmp_path)
    with pypdfium2.PdfDocument(answer["path"]) as document:
        text = document[len(document) - 1].get_textpage()
        said = text.get_text_range()
        last, end = (text.get_charbox(said.index(each)) for each in ("word899", "END"))
    assert end[3] <= last[1] + 1


@pytest.mark.parametrize(
    "style", [
        "max-height:0", "height:0px!important", "width:1px;height:1px", "font-size:0", "opacity:0;height:20px", "max-height:0.1px",
    ],
)  # fmt: skip
def test_what_is_hidden_stays_hidden(tmp_path: Path, style: str) -> None:
    def ink(source: str) -> int:
        place = tmp_path / str(len(source))
        place.mkdir()
        with pypdfium2.PdfDocument(drawn(source, place)["path"]) as document:
            return sum(document[0].render(grayscale=True).to_pil().histogram()[:128])

    hidden = f"<div style='overflow:hidden;{style}'>Hidden words</div>"
    assert ink(hidden + "<p>Shown</p>") <= ink("<p>Shown</p>") + 2


@pytest.mark.parametrize("said", ["/* for overflow:hidden */ p", "p[style*='overflow:hidden'], p"])
def test_what_is_hidden_of_a_style_sheet_stays_hidden(tmp_path: Path, said: str) -> None:
    """Also where it speaks of what is cut off in front of what it says."""
    answer = drawn(f"<style>{said} {{display:none}}</style><p>Hidden</p><div>Shown</div>", tmp_path)
    with pypdfium2.PdfDocument(answer["path"]) as document:
        assert document[0].get_textpage().get_text_range().split() == ["Shown"]


@pytest.mark.parametrize(
    "source", [
        "<ol style='margin:0;padding:0'><li>{0}</ol>", "<p style='margin-left:-200px'>{0}</p>",
        "<body style='padding:60px'><p style='margin-top:-40px'>{0}</p>",
    ],
)  # fmt: skip
def test_what_hangs_out_is_seen(tmp_path: Path, source: str) -> None:
    """All of its letters have ink."""
    answer = drawn(source.format("W" * 30) + "<p>Next</p>", tmp_path)
    with pypdfium2.PdfDocument(answer["path"]) as document:
        page, text = document[0], document[0].get_textpage()
        picture = page.render(scale=2, grayscale=True).to_pil()
        for n in range(text.count_chars()):
            left, bottom, right, top = (2 * edge for edge in text.get_charbox(n))
            if text.get_text_range(n, 1).strip():
                letter = picture.crop((left, picture.height - top, right + 1, picture.height - bottom + 1))
                assert letter.getextrema()[0] < 128


def test_mails_that_are_quoted_again_and_again_keep_their_room(tmp_path: Path) -> None:
    answer = drawn(f"{'<blockquote>' * 40}{WORDS}{'</blockquote>' * 40}", tmp_path)
    assert answer["notes"] == []
    with pypdfium2.PdfDocument(answer["path"]) as document:
        assert len(document) <= 4


def test_a_form_shows_what_was_filled_in(tmp_path: Path) -> None:
    source = (
        "<p>Name: <input value='Ann Lee'> <input type=date value=2026-05-05> <input type=hidden value=token> <input type=password"
        " value=secret> <select><option>Red<option selected>Green</select> <textarea>one\ntwo\nthree\nfour\nfive\nsix</textarea>"
        " <input type=checkbox checked> Paid</p>"
    )
    said = shown(drawn(source, tmp_path)["path"])
    assert said.split() == "Name: Ann Lee 2026-05-05 Green one two three four five six Paid".split()


def test_words_of_a_table_with_many_columns_are_in_few_pieces(tmp_path: Path) -> None:
    cells = "".join(f"<td>word{n}</td>" for n in range(30))
    said = shown(drawn(f"<table border=1><tr>{cells}</tr></table>", tmp_path)["path"])
    assert len(said.split()) <= 2 * 30


def test_a_long_word_leaves_a_table_its_size(tmp_path: Path) -> None:
    answer = drawn(f"<table><tr><td>{WORDS}</td><td>{'word' * 300}</td></tr></table>", tmp_path)
    assert (answer["why"], answer["notes"]) == ("", [])


@pytest.mark.slow
def test_what_is_far_wider_than_a_page_is_not_drawn(tmp_path: Path) -> None:
    cells = "".join(f"<td>{n}</td>" for n in range(300))
    assert drawn(f"<table><tr>{cells}</tr></table>", tmp_path)["why"] == "its HTML is wider than a page"


@pytest.mark.slow
def test_a_text_of_too_many_pages_is_not_drawn(tmp_path: Path) -> None:
    answer = drawn("<p>word</p>" * 2000, tmp_path)
    assert answer["why"].startswith("its HTML takes ")
    assert "at most 60 are drawn" in answer["why"]
    assert answer["path"] == ""


def test_the_lines_of_tables_of_outlook_are_black() -> None:
    assert (
        roll._translated("border:solid windowtext 1.0pt;OVERFLOW-X: Auto")
        == "border:solid black 1.0pt;OVERFLOW-X:visible;height:auto!important;max-height:none!important"
    )


def test_pages_are_cut_between_the_lines() -> None:
    lines = [roll._Box(0, 20 * n + 2, 100, 20 * n + 18, whole=True) for n in range(100)]
    assert list(roll._cuts(lines, 95))[:3] == [(2, 78), (82, 158), (162, 238)]
    tight = [roll._Box(0, 20 * n, 100, 20 * n + 23, whole=True, text="Á") for n in range(100)]
    assert list(roll._cuts(tight, 95))[:2] == [(0, 83), (80, 163)]  # nothing of a line is cut off where lines touch
    picture = roll._Box(0, 70, 100, 160, whole=True)
    frame = roll._Box(0, 0, 100, 400)
    assert list(roll._cuts([*lines[:3], picture, frame], 95)) == [
        (0, 70),
        (70, 165),
        (165, 260),
        (260, 355),
        (355, 400),
    ]
    assert list(roll._cuts([*lines[:3], picture], 95)) == [(2, 70), (70, 160)]
    beside = [*lines[:8], roll._Box(100, 51, 200, 118, whole=True)]
    assert list(roll._cuts(beside, 95)) == [(2, 38), (42, 118), (122, 158)]  # no line is cut for it
    assert list(roll._cuts([*lines[:3], picture._replace(bottom=400)], 95))[1] == (70, 165)
    assert list(roll._cuts([*lines[:4], picture._replace(top=78)], 95)) == [(2, 78), (78, 160)]
    assert list(roll._cuts([lines[0], lines[90]], 95)) == [(2, 97), (1802, 1818)]
    assert list(roll._cuts([], 95)) == []
    rows = [roll._Box(0, 40 * n, 0, 40 * n + 40, row=True) for n in range(50)]
    assert list(roll._cuts(lines + rows, 95))[:3] == [(2, 80), (82, 160), (162, 240)]


def test_the_head_of_a_table_stands_on_each_of_its_pages(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>row{n}</td><td>{n}</td></tr>" for n in range(150))
    head = "<thead><tr><th>Article</th><th>Price</th></tr></thead>"
    path = drawn(f"<p>Before</p><table border=1>{head}{rows}</table><p>{WORDS}</p>", tmp_path)["path"]
    assert set(shown(path).split()) >= {f"row{n}" for n in range(150)} | set(WORDS.split())
    begins = []
    with pikepdf.open(path) as pieces, pypdfium2.PdfDocument(path) as document:
        for piece, page in zip(pieces.pages, document, strict=True):
            clips = re.findall(rb"q (\S+) (\S+) (\S+) (\S+) re", piece.Contents.read_bytes())
            boxes = [[float(number) for number in clip] for clip in clips]
            assert all(box[1] >= 0.5 * 72 for box in boxes)  # nothing falls off the page
            words = [
                page.get_textpage().get_text_bounded(0, low, width, low + height) for _, low, width, height in boxes
            ]
            begins.append([each.split()[:2] for each in words])
    assert begins[0][0][0] == "Before"
    in_table = [each for each in begins[1:] if each[-1][0].startswith("row")]
    assert len(in_table) > 1
    assert all(each[0] == ["Article", "Price"] and len(each) == 2 for each in in_table)
    assert all(len(each) == 1 for each in begins if each not in in_table)


def test_a_head_that_takes_much_of_a_page_is_not_repeated() -> None:
    head = roll._Box(0, 0, 0, 20, row=True, until=400)
    assert roll._head([head], 50, 95) == head
    assert roll._head([head], 0, 95) is None
    assert roll._head([head], 400, 95) is None
    assert roll._head([head], 50, 79) is None
    inner = roll._Box(0, 100, 0, 110, row=True, until=200)
    assert roll._head([head, inner], 150, 95) == inner
    assert roll._head([head, inner], 250, 95) == head


# --- nothing from elsewhere -------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@behind_walls
async def test_nothing_is_fetched_and_what_is_missing_is_told(
    sender: Sender, listener: socket.socket, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(Image.new("L", (400, 400))))
    (tmp_path / "secret.css").write_text("p::after { content: 'the secret' }")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    text = "<p>Hello</p>" + TABLE
    for where in (url, f"file://{tmp_path}", "//127.0.0.1", "."):
        text += (
            f"<link rel=stylesheet href='{where}/secret.css'><style>@import '{where}/secret.css'; @font-face {{ font-family: x;"
            f"src: url({where}/x.woff) }} body {{ background: url({where}/secret.png); font-family: x }}</style>"
            f"<div><img src='{where}/secret.png'><object data='{where}/secret.png'></object><embed src='{where}/secret.png'>"
            f"<iframe src='{where}/secret.png'></iframe><svg><image href='{where}/secret.png'/><use href='{where}/x.svg#a'/></svg>"
            f"<link rel=attachment href='{where}/secret.css'><img src='{where}/t.gif' width=1 height=1>"
            f"<base href='{where}'><img src='other.png'></div>"
        )
    said = await sender.send(mail(text))
    assert said == [
        "message text: page 1; not in the mail, so left out: 5 pictures, 4 style sheets and 4 embedded objects"
    ]
    assert "secret" not in sender.words()
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert b"secret" not in Path(sender.parts[0]["path"]).read_bytes()


@behind_walls
async def test_pictures_of_the_mail_are_shown(sender: Sender) -> None:
    inline = base64.b64encode(png(photo(400, 300))).decode()
    made = mail(f"<p>Look:</p><img src='cid:a%40x'><img src='data:image/png;base64,{inline}'><img src=cid:gone>")
    made.add_related(png(photo(600, 400)), "image", "png", cid="<A@x>", disposition="inline", filename="a.png")
    made.add_related(png(photo(60, 40)), "image", "png", cid="<b@x>", disposition="inline", filename="b.png")
    said = await sender.send(made)
    assert said == [
        "message text: page 1; not in the mail, so left out: 1 picture",
        "b.png: left out, it only decorates the message, as a logo does",
        "a.png: left out, it is shown in the message text",
    ]
    with pypdfium2.PdfDocument(sender.parts[0]["path"]) as document:
        (page,) = document
        grey = page.render(scale=1).to_pil().convert("L")
    assert sum(grey.histogram()[40:200]) > 60_000  # points of photograph


@behind_walls
async def test_a_picture_in_the_text_needs_no_padding(sender: Sender) -> None:
    data = png(photo(400, 300))
    coded = base64.b64encode(data + bytes((1 - len(data)) % 3)).decode()
    said = await sender.send(mail(f"<p>Look:</p><img src='data:image/png;base64,{coded.rstrip('=')}'>"))
    assert said == ["message text: page 1"]
    with pypdfium2.PdfDocument(sender.parts[0]["path"]) as document:
        grey = document[0].render(scale=1).to_pil().convert("L")
    assert sum(grey.histogram()[40:200]) > 30_000  # points of photograph


@behind_walls
async def test_a_fax_of_several_pages_is_not_done_with_the_first(sender: Sender) -> None:
    out = io.BytesIO()
    photo(600, 800).save(out, "TIFF", save_all=True, append_images=[photo(600, 800, 2)])
    made = mail("<p>Look:</p><img src='cid:a'>")
    made.add_related(out.getvalue(), "image", "tiff", cid="<a>", disposition="inline", filename="a.tif")
    assert await sender.send(made) == ["message text: page 1", "a.tif: pages 2-3"]


@behind_walls
async def test_a_receipt_is_a_long_page_and_not_a_strip_in_the_text(sender: Sender) -> None:
    made = mail("<p>Look:</p><img src='cid:a'>")
    made.add_related(png(photo(600, 3000)), "image", "png", cid="<a>", disposition="inline", filename="a.png")
    assert await sender.send(made) == ["message text: page 1", "a.png: page 2"]


@behind_walls
async def test_a_picture_that_cannot_be_read_is_told(sender: Sender) -> None:
    whole = png(photo(300, 200))
    cut, other = (base64.b64encode(each).decode() for each in (whole[: len(whole) // 2], b"<svg xmlns='x'/>"))
    for source in (f"image/png;base64,{cut}", f"image/svg+xml;base64,{other}", "image/png;base64,A", ","):
        said = await sender.send(mail(f"{TABLE}<img src='data:{source}'>"))
        assert said == ["message text: page 1; left out of it: a picture that cannot be read"]


@behind_walls
async def test_a_photo_that_is_all_the_mail_holds_is_a_document_of_its_own(sender: Sender) -> None:
    made = mail("<p><img src='cid:a'></p>")
    made.add_related(png(photo(600, 400)), "image", "png", cid="<a>", disposition="inline", filename="a.png")
    assert await sender.send(made) == ["message text: left out, it holds no text", "a.png: page 1"]


@pytest.mark.parametrize("each", ["<tr><td>word ", "<table>word ", "<table><tr><td>word "])
def test_rows_and_tables_that_are_left_open_take_no_time_for_each_other(each: str) -> None:
    began = time.process_time()
    assert list(html.unshown("<img><table>" + each * 20_000)) == []
    assert time.process_time() - began < 5  # half a second


# --- which form of a text is printed ----------------------------------------------------------------------------------

OTHER = "message text in another form: left out, the message text is taken from its other form"


@pytest.mark.parametrize(
    ("text", "is_drawn"),
    [
        (TABLE, True),
        ("<p>Dear <b>Ann</b></p><ul><li>x</li></ul>", False),
        (f"<table><tr><td>{TABLE}</td></tr></table>", True),
        ("<table><tr><td><img src='cid:logo'></td><td>Ann</td></tr><tr><td>Joe</td></tr></table>", False),
        ("<table><tr><td>Ann<tr><td>Joe<tr><td><table></table>Bob</table>", False),
        ("<table><tr><td>Ann<tr><td><table></table>Joe<td>42.00</table>", True),
        ("<p>Look</p><img src='cid:photo'>", True),
        ("<p>Look</p><img src='cid:photo' width=80>", False),
        ("<p>Look</p><img src='cid:photo' style='width:80px'>", False),
        ("<p>Look</p><img src='cid:logo'>", False),
        ("<p>Look</p><img src='https://example.com/a.png' width=600 height=600>", False),
        (f"<p>Yes.</p><div class=gmail_attr>On Monday Bob wrote:</div><blockquote>{TABLE}</blockquote>", False),
        (f"<p>Dear Ann</p><div>-- <br>{TABLE}</div>", False),
    ],
)
@behind_walls
async def test_html_is_drawn_where_it_has_what_plain_text_has_not(sender: Sender, text: str, is_drawn: bool) -> None:
    made = mail(
        f"<p>[fax: paper=letter]</p>{text}",
        f"[fax: paper=letter]\nthe plain form, which says as much: {re.sub('<.*?>', ' ', text)}",
        subject="Re: Offer",
    )
    other = made.get_payload()[1]  # type: ignore[index,union-attr]
    for name, size in (("photo", (600, 400)), ("logo", (120, 60))):
        other.add_related(png(photo(*size)), "image", "png", cid=f"<{name}>", disposition="inline", filename=name)  # type: ignore[union-attr]
    said = await sender.send(made)
    assert said[0] == "message text: page 1"
    assert OTHER in said
    roles = [part["role"] for part in sender.parts if part["role"].startswith("body")]
    assert roles == (["body-drawn"] if is_drawn else ["body-text"])
    if is_drawn:
        assert "fax" not in sender.words()


@behind_walls
async def test_the_end_of_the_form_that_is_printed_is_told(sender: Sender) -> None:
    quoted = "<div class=gmail_attr>On Monday Bob wrote:</div><blockquote>Where is it?</blockquote>"
    said = await sender.send(mail(TABLE + quoted, "Paper 42.00 and more of it\n\n-- \nAnn\n", subject="Re: Offer"))
    assert said == [
        "message text: page 1", "quoted mail in the message text: left out, it repeats an earlier mail", OTHER,
    ]  # fmt: skip
    assert "Where" not in sender.words()
    words = "Hello dear Ann, these are the corrected figures of September, with kind regards"
    said = await sender.send(mail(f"<p>{words}</p>{quoted}", f"{words}\n\n-- \nAnn\n", subject="Re: Offer"))
    assert said[1] == "signature of the message text: left out, signatures are not faxed here"


@behind_walls
async def test_a_text_that_is_not_faxed_is_not_drawn(sender: Sender) -> None:
    made = mail(TABLE, "Paper 42.00")
    made.add_attachment(b"a note", "text", "plain", filename="a.txt")
    for body in ("never", "without-attachment"):
        assert (await sender.send(made, body=body))[-2:] == ["a.txt: page 1", OTHER]
    assert await sender.send(mail(TABLE), body="without-attachment") == ["message text: page 1"]
    assert sender.parts[0]["role"] == "body-drawn"


@behind_walls
async def test_on_a_cover_page_stands_what_needs_no_layout(sender: Sender) -> None:
    said = await sender.send(mail("<p>Dear Ann</p>"), cover="classic", cover_facts={})
    assert said == ["cover page classic: page 1", "message text, on the cover page: page 1"]
    said = await sender.send(mail(TABLE), cover="classic", cover_facts={})
    assert said == ["cover page classic: page 1", "message text: page 2"]
    wide = mail(f"<table><tr>{'<td>1</td>' * 200}</tr></table>")
    said = await sender.send(wide, cover="classic", cover_facts={})
    assert said[1] == "message text, on the cover page: page 1; printed as text: its HTML is wider than a page"
    said = await sender.send(mail(f"<p>{WORDS}</p>"), cover="classic", cover_facts={})
    assert said == ["cover page classic: page 1", "message text: pages 2-3"]
    assert sender.parts[0]["role"] == "body-drawn"


@behind_walls
async def test_html_documents_are_drawn_too(sender: Sender) -> None:
    made = mail("<p>See the offer.</p>", "See the offer.")
    made.add_attachment(f"<!DOCTYPE html><html>{TABLE}".encode(), "application", "octet-stream", filename="offer.htm")
    inner = mail("<html><p>The old offer</p><img src='cid:a'>")
    inner.add_related(png(photo(600, 400)), "image", "png", cid="<a>", disposition="inline", filename="a.png")
    made.add_attachment(inner)
    said = await sender.send(made)
    assert said == [
        "message text: page 1", "offer.htm: page 2", 'attached mail "Offer": page 3', OTHER,
        "a.png: left out, it is shown in the message text",
    ]  # fmt: skip
    assert [Path(part["path"]).name for part in sender.parts] == ["001.part", "drawn.pdf", "drawn.pdf"]


# --- how it looks -----------------------------------------------------------------------------------------------------


@behind_walls
async def test_a_dark_design_is_no_black_page(sender: Sender) -> None:
    cells = "<tr><td bgcolor='#003366'><font color=white>Paper</font></td><td style='background:red'>42.00</td></tr>"
    text = f"<body style='background:#111;color:#eee'><table bgcolor=black>{cells * 30}</table>"
    assert await sender.send(mail(text)) == ["message text: page 1"]
    with pypdfium2.PdfDocument(sender.parts[0]["path"]) as document:
        grey = document[0].render(scale=2).to_pil().convert("L")
    black = grey.histogram()[0] / (grey.width * grey.height)
    assert 0.001 < black < 0.05
    assert sender.words().count("Paper 42.00") == 30


@behind_walls
async def test_a_table_that_is_too_wide_is_made_smaller_and_that_is_told(sender: Sender) -> None:
    said = await sender.send(mail(f"<table width=1100><tr><td>{WORDS}</td><td align=right>end</td></tr></table>"))
    assert said == ["message text: page 1; reduced to 65%, as it is wider than the page"]


def test_the_page_is_as_wide_as_the_paper_of_a_fax(tmp_path: Path) -> None:
    answer = drawn(f"<p>{WORDS}</p>", tmp_path)
    with pypdfium2.PdfDocument(answer["path"]) as document:
        assert document[0].get_size() == pytest.approx((raster.WIDTH / raster.X_DPI * 72, 792), abs=0.1)


@behind_walls
async def test_letters_that_no_font_has_are_told(sender: Sender) -> None:
    said = await sender.send(mail(f"{TABLE}<p>\U0001316f</p>"))
    assert said == [
        "message text: page 1; characters that no font of this gateway has are shown as boxes or not at all: U+1316F; if they matter, send a PDF with its fonts embedded"
    ]


# --- where it cannot be drawn -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def poor_pool() -> AsyncIterator[WorkerPool]:
    """Printing text is quick, to load the engine takes longer."""
    pool = WorkerPool(1, WorkerLimits(timeout=60, memory=38 << 20))
    await pool.start()
    yield pool
    await pool.close()


@behind_walls
async def test_what_exceeds_the_limits_is_printed_as_text(poor_pool: WorkerPool, tmp_path: Path) -> None:
    poor = Sender(poor_pool, tmp_path)
    made = mail(TABLE)
    made.add_attachment(f"<html>{TABLE}".encode(), "text", "html", filename="offer.htm")
    assert await poor.send(made) == [f"message text: page 1; {AS_TEXT}", f"offer.htm: page 2; {AS_TEXT}"]
    assert await poor.send(mail(TABLE, "Paper 42.00")) == [f"message text: page 1; {AS_TEXT}", OTHER]
    assert [part["role"] for part in poor.parts] == ["body-text"]


def test_what_takes_long_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _kind: (2, 2))  # seconds of a job
    answer = drawn("<div style='columns:1000000'>" + "words " * 5000 + "</div>", tmp_path)
    assert (answer["path"], answer["why"]) == ("", "drawing its HTML takes too long")


@behind_walls
async def test_a_refusal_of_the_engine_is_no_refusal_of_the_fax(
    sender: Sender, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = pool.run, []

    async def refused(function: str, /, **arguments: Any) -> Any:
        if not function.startswith("gateway.document.html:"):
            return await run(function, **arguments)
        asked.append(arguments["part"]["name"])
        raise Refused("message text cannot be converted: it took longer than 60 seconds; send it simpler or smaller")

    monkeypatch.setattr(pool, "run", refused)
    made = mail(TABLE)
    made.add_attachment(f"<html>{TABLE}".encode(), "text", "html", filename="offer.htm")
    assert await sender.send(made) == [f"message text: page 1; {AS_TEXT}", f"offer.htm: page 2; {AS_TEXT}"]
    assert asked == ["message text"]  # the next would take as long


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [engine.find(setting) for setting in ("auto", engine.TEXT, engine.ENGINE)] == [True, False, True]
    monkeypatch.setattr(engine, "_LIBRARIES", ("libgone.so.0",))
    assert (
        engine.missing() == "libgone.so.0 is missing: apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert engine.missing() == f"WeasyPrint is missing: {sys.prefix}/bin/pip install 'faxgateway[html]'"
    assert [engine.find(setting) for setting in ("auto", engine.TEXT, engine.ENGINE)] == [False, False, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<iframe src=a.pdf></iframe><embed src=b.mp4><object data=c.swf></object>", ["not in the mail, so left out: 3 embedded objects"]),
        ("<img src=a.png><frame src=b.html>", ["not in the mail, so left out: 1 picture and 1 embedded object"]),
        ("<iframe srcdoc='<p>Within'></iframe><iframe src='data:text/html,a'></iframe>", ["left out of it: 2 embedded pages"]),
        ("<iframe src=https://x/ width=0 height=0></iframe><iframe src=https://x/ style='display: none'></iframe>", []),
        ("<iframe></iframe><iframe src=about:blank></iframe><object data=cid:a></object>", []),
    ],
)  # fmt: skip
def test_what_a_page_embeds_is_told(text: str, said: list[str]) -> None:
    assert list(html.unshown(text)) == said


@behind_walls
async def test_html_that_shows_nothing_when_it_is_drawn_is_printed_as_text(sender: Sender) -> None:
    text = f"<body style='display: none'><p>Hello</p>{TABLE}</body>"
    (said,) = await sender.send(mail(text))
    assert said == "message text: page 1; printed as text: nothing of its HTML is seen when it is drawn"


@behind_walls
async def test_a_dialogue_that_is_closed_is_not_printed(sender: Sender) -> None:
    await sender.send(mail(f"<p>Hello</p><dialog>Accept?</dialog><dialog open>Sent.</dialog>{TABLE}"))
    assert "Accept?" not in sender.words()
    assert "Sent." in sender.words()
