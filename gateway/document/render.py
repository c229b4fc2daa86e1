"""Worker functions: the parts of a mail become one fax document, with a ledger of what became of each.

They run in throw-away processes: paths in, plain values out.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import img2pdf
from PIL import Image, ImageSequence

from gateway.document import (
    cover,
    headline,
    html,
    html_text,
    legibility,
    picture,
    progress,
    raster,
    sniff,
    sources,
    text,
)
from gateway.document.bilevel import inked, to_bilevel
from gateway.document.refusal import TooLong, Unfaxable
from gateway.document.weight import call_seconds, page_seconds
from gateway.model import FaxPage, LedgerEntry, MailPart

_SMALL = 300 * 300  # pixels: an inline image below is decoration
_PASTED = (400, 400 * 1000, 2.5)  # the least side and pixels, and the flattest, of one that is content within the text
_NO_TEXT = "it holds no text"
_BLANK = 16 << 10  # bytes of an attachment that is looked at for a text
_MEDIA = ("audio/", "video/", "image/")
_DEFAULTS: dict[str, Any] = {
    "paper": "letter", "resolution": "fine", "max_pages": 200, "body": "with-text", "cover": "", "blank_pages": "keep",
    "header": False, "header_text": headline.TEXT, "header_facts": {},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A finished page: a one-page TIFF, bytes of its G4 data, its rows to the inch, what its sender should know of it, whether it is
    blank.
    """

    tiff: bytes
    size: int
    y_dpi: int
    opinion: legibility.Opinion
    blank: bool

    def headed(self, template: str, facts: dict[str, str | int]) -> _Sheet:
        """With a line at its top."""
        with Image.open(io.BytesIO(self.tiff)) as page:
            stamped = headline.stamped(page.convert("1", dither=Image.Dither.NONE), self.y_dpi, template, facts)
        tiff = raster.g4(stamped, self.y_dpi)
        return replace(self, tiff=tiff, size=raster.strip_size(tiff))


def render(
    parts: list[dict[str, Any]], left_out: list[dict[str, str]], out: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Write the fax document of a mail to ``out``: an image-only PDF of one-bit G4 pages.

    ``parts`` are fields of :class:`~gateway.model.MailPart`, in mail order; ``left_out`` what the mail's reader left out,
    with its reason. ``options``: ``paper``, ``resolution``, ``max_pages``, ``body``; ``blank_pages`` (keep, remove);
    ``header`` (whether each page has a line at its top), ``header_text`` (see document.headline) and ``header_facts``
    (its fields but the pages); ``cover`` (the name of the cover page or "") and what else document.cover.page takes.

    Returns ``pages``, ``size`` (bytes), ``sha256``, ``seconds`` (estimate on the line), ``ledger``, and ``sheets``, the
    fields of :class:`~gateway.model.FaxPage` of each page. Raises Refused naming the part that cannot become pages: never
    half a fax.
    """
    options = {**_DEFAULTS, **options}
    target = raster.grid(options["paper"], options["resolution"])
    ledger: list[LedgerEntry] = []
    sheets: list[_Sheet] = []
    chosen = list(_chosen([MailPart(**part) for part in parts], options["body"]))
    comments = ""
    if front := options["cover"]:
        ledger.append(LedgerEntry(f"cover page {front}", "cover page", 1, 1))
        # drawn when the number of pages is known
        sheets.append(_Sheet(b"", 0, target.y_dpi, legibility.Opinion(), blank=False))
        comments, note, chosen = _comments(chosen, options, target)
        if comments:
            ledger.append(LedgerEntry("message text, on the cover page", sniff.TEXT, 1, 1, note=note))
    for part, kind, reason in chosen:
        if reason:
            ledger.append(LedgerEntry(part.name, kind, reason=reason))
            continue
        if part.defect:
            raise Unfaxable(f"{part.name} cannot be faxed: {part.defect}; send it again")
        first = len(sheets) + 1
        found = _sheets(part, kind, target, options["max_pages"] - len(sheets))
        blank = [n for n, sheet in enumerate(found, 1) if sheet.blank and options["blank_pages"] == "remove"]
        sheets += [sheet for n, sheet in enumerate(found, 1) if n not in blank]
        if all(sheet.blank for sheet in found):  # a scan of the wrong side
            progress.note("all of it is blank")
        told = sniff.HTML if part.role == "body-drawn" else kind
        ledger.append(_fate(part.name, told, first, len(sheets), blank, part.note))
    ledger += [LedgerEntry(entry["part"], entry["type"], reason=entry["reason"]) for entry in left_out]
    if len(sheets) == bool(front) and not comments:
        reasons = "; ".join(entry.text for entry in ledger if entry.reason)
        raise Unfaxable("the mail holds nothing to fax: " + (reasons or "no document and no text"))
    if front:
        progress.begin(f"cover page {front}")
        sheets[0] = _cover(options, comments, len(sheets), target)
        ledger[0] = _fate(f"cover page {front}", "cover page", 1, 1, [])
    if options["header"]:
        facts = {**options["header_facts"], "pages": len(sheets)}
        sheets = [sheet.headed(options["header_text"], {**facts, "page": n}) for n, sheet in enumerate(sheets, 1)]
    made = _write([sheet.tiff for sheet in sheets], out)
    pages = [
        FaxPage(round(page_seconds(sheet.size), 1), sheet.opinion.warnings, sheet.opinion.region) for sheet in sheets
    ]
    seconds = round(call_seconds([sheet.size for sheet in sheets]), 1)
    return {
        **made,
        "seconds": seconds,
        "ledger": [asdict(entry) for entry in ledger],
        "sheets": [asdict(page) for page in pages],
    }


def _fate(name: str, kind: str, first: int, last: int, blank: list[int], note: str = "") -> LedgerEntry:
    """The entry of a part whose ``blank`` pages, by their numbers in it, are left out."""
    if last < first:
        return LedgerEntry(name, kind, reason="all of it is blank" if blank else "it has no page")
    numbers = ", ".join(map(str, blank))
    notes = [f"blank, so left out: its {'page' if len(blank) == 1 else 'pages'} {numbers}"] if blank else []
    notes += [note] if note else []
    notes += progress.notes()
    return LedgerEntry(name, kind, first, last, note="; ".join(notes))


def _sheets(part: MailPart, kind: str, target: raster.Grid, room: int) -> list[_Sheet]:
    """The pages of a part."""
    progress.begin(part.name)
    try:
        return [
            _sheet(page)
            for page in sources.pages(Path(part.path), kind, part.name, target, charset=part.charset, room=room)
        ]
    except MemoryError as error:
        raise TooLong(f"{part.name} needs more memory to convert than a fax may have; send it smaller") from error


def _sheet(page: raster.Page) -> _Sheet:
    image, look = inked(page.image, page.y_dpi)
    tiff = raster.g4(image, page.y_dpi)
    size = raster.strip_size(tiff)
    opinion = legibility.opinion(
        image, page.y_dpi, seconds=page_seconds(size), faint=look.faint, lost=look.lost, photographs=look.photographs,
        cleared=look.cleared,
    )  # fmt: skip
    return _Sheet(tiff, size, page.y_dpi, opinion, legibility.is_blank(image))


def _cover(options: dict[str, Any], comments: str, pages: int, target: raster.Grid) -> _Sheet:
    page = cover.page(options, comments, pages, target)
    if page is None:
        raise Unfaxable(
            f"the text for the cover page {options['cover']} is more than a page; send it with a shorter subject,"
            " or with cover=none"
        )
    return _sheet(page)


def _comments(
    chosen: list[tuple[MailPart, str, str]], options: dict[str, Any], target: raster.Grid
) -> tuple[str, str, list[tuple[MailPart, str, str]]]:
    """A message text that is short enough for the cover page, its note, and the other parts; "" when it has pages of its own."""
    for n, (part, kind, reason) in enumerate(chosen):
        text_of_its_own = part.role.startswith("body") and kind in (sniff.TEXT, sniff.HTML)
        if text_of_its_own and not reason and not part.defect and part.size <= cover.LARGEST:
            content = text.decode(Path(part.path).read_bytes(), part.charset)
            notes = [part.note] if part.note else []
            if kind == sniff.HTML:
                notes += html.unshown(content)
                content = html_text.from_html(content)
            content = content.strip()
            if len(content) <= cover.SHORT and cover.page(options, content, options["max_pages"], target):
                return content, "; ".join(notes), chosen[:n] + chosen[n + 1 :]
    return "", "", chosen


def _write(sheets: list[bytes], out: str) -> dict[str, Any]:
    """Wrap one-strip G4 pages into a PDF without re-encoding; no dates and no producer, so equal pages are equal files."""
    document = img2pdf.convert(sheets, nodate=True, producer="", engine=img2pdf.Engine.internal)
    Path(out).write_bytes(document)
    return {
        "pages": len(sheets),
        "size": len(document),
        "sha256": hashlib.sha256(document).hexdigest(),
    }


# --- which parts ------------------------------------------------------------------------------------------------------


def _chosen(parts: list[MailPart], body: str) -> Iterator[tuple[MailPart, str, str]]:
    """Each part with its type and, where it becomes no page, the reason."""
    parts = [_as_it_is(part) for part in parts]
    kinds = [(part, _kind(part)) for part in parts]
    files = [(part, kind) for part, kind in kinds if part.role == "attachment"]
    blank = [part for part, kind in files if _is_blank(part, kind)]
    attached = [part for part, kind in files if part not in blank and not _decoration(part, kind)]
    plain = any(part.role == "body-text" and _has_text(part, sniff.TEXT) for part in parts)
    for part, kind in kinds:
        if part.role.startswith("body"):
            yield part, kind, _body_reason(part, kind, body, attached=any(each.is_document for each in attached))
        elif part in blank:
            yield part, kind, _NO_TEXT
        elif part in attached or not _has_other(parts, part, plain=plain, attached=bool(attached)):
            yield replace(part, defect=part.defect or ("" if part.size else "it is empty (0 bytes)")), kind, ""
        else:
            yield part, kind, "it only decorates the message, as a logo does"


def _as_it_is(part: MailPart) -> MailPart:
    """A message text that is none, but a document without its label, is an attachment."""
    if part.role != "body-text" or (part.charset or "").startswith(("utf-16", "utf-32")):
        return part
    is_binary = sniff.is_binary(sniff.start_of(Path(part.path)))
    return replace(part, role="attachment", disposition="attachment") if is_binary else part


def _kind(part: MailPart) -> str:
    if part.role == "body-text":
        return sniff.TEXT
    if part.role == "body-html":
        return sniff.HTML
    kind = sniff.sniff(Path(part.path))
    if kind == sniff.TEXT and part.declared_type.startswith(_MEDIA) and not _is_utf8(Path(part.path)):
        return sniff.UNKNOWN  # sound without a head looks like text of some old charset
    return kind


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoration(part: MailPart, kind: str) -> bool:
    """Logos, banners and spacers: pictures the HTML shows, unless they are as large as a screenshot or a photo that was
    pasted there, and not shown as a logo; and small ones in the text that nobody attached.
    """
    if kind not in sniff.IMAGES:
        return False
    if part.referenced:
        width, height = picture.size(Path(part.path))
        least, pixels, flattest = _PASTED
        return part.logo or min(width, height) < least or width * height < pixels or width > flattest * height
    return part.disposition != "attachment" and bool(part.content_id) and _pixels(part) < _SMALL


def _is_blank(part: MailPart, kind: str) -> bool:
    """What mail servers make of the lines behind an attachment: ATT00001.htm."""
    if not part.size:  # of another kind it is a document that was lost
        return not part.defect and part.name.lower().endswith(sniff.TEXT_NAMES)
    is_short = part.size <= _BLANK  # a longer one may be made to hurt, and is named where it is drawn
    return kind in (sniff.TEXT, sniff.HTML) and is_short and not part.defect and not _has_text(part, kind)


def _has_other(parts: list[MailPart], part: MailPart, *, plain: bool, attached: bool) -> bool:
    """Whether the mail has something to fax besides this picture; a photo sent inline with nothing else is the document."""
    html = any(p.role == "body-drawn" or (p.role == "body-html" and _has_text(p, sniff.HTML)) for p in parts)
    return attached or plain or html or _pixels(part) < _SMALL


def _pixels(part: MailPart) -> int:
    width, height = picture.size(Path(part.path))
    return width * height or _SMALL  # a damaged one is no decoration


def _has_text(part: MailPart, kind: str) -> bool:
    content = text.decode(Path(part.path).read_bytes()[: 1 << 20], part.charset)
    return bool((html_text.from_html(content) if kind == sniff.HTML else content).strip())


def _body_reason(part: MailPart, kind: str, body: str, *, attached: bool) -> str:
    if body == "never":
        return "the message text is not faxed here"
    if body == "without-attachment" and attached:
        return "the message text is faxed only without an attachment"
    if kind in (sniff.TEXT, sniff.HTML) and not part.defect and not _has_text(part, kind):
        return _NO_TEXT
    return ""


# --- other conversions ------------------------------------------------------------------------------------------------


def previews(document: str, directory: str, width: int = 864) -> list[str]:
    """Write a PNG for each page of a fax PDF or TIFF as the recipient's machine prints it; returns the paths."""
    made = []
    source = Path(document)
    pages = sources.pages(source, sniff.sniff(source), "the document", raster.grid("a4", "fine"))
    for number, page in enumerate(pages, 1):
        image = to_bilevel(page.image, page.y_dpi)
        height = round(width * (image.height / page.y_dpi) / (image.width / raster.X_DPI))
        path = Path(directory) / f"page-{number:03}.png"
        image.convert("L").resize((width, max(1, height)), Image.Resampling.BOX).save(path, format="PNG")
        made.append(str(path))
    return made


def to_tiff(path: str, out: str, options: dict[str, Any]) -> dict[str, Any]:
    """Convert any supported document to a multi-page G4 fax TIFF, as a fax service does; returns ``pages``, ``seconds``.

    A PDF of fax pages comes out with exactly its pixels.
    """
    options = {**_DEFAULTS, **options}
    source = Path(path)
    if not source.stat().st_size:
        raise Unfaxable("the document is empty")
    target = raster.grid(options["paper"], options["resolution"])
    sizes = []
    Path(out).unlink(missing_ok=True)
    with raster.TiffWriter(out, True) as writer:
        for page in sources.pages(source, sniff.sniff(source), "the document", target):
            sheet = raster.g4(to_bilevel(page.image, page.y_dpi), page.y_dpi)
            writer.write(sheet)
            writer.newFrame()
            sizes.append(raster.strip_size(sheet))
    return {"pages": len(sizes), "seconds": round(call_seconds(sizes), 1)}


def tiff_to_pdf(path: str, out: str) -> dict[str, Any]:
    """Wrap a fax TIFF into an image-only PDF whose pages have exactly its pixels; returns ``pages`` and ``size``."""
    sheets = []
    with picture.reading("the document"), Image.open(path, formats=["TIFF"]) as tiff:
        for frame in ImageSequence.Iterator(tiff):
            y_dpi = float(frame.info.get("dpi", (raster.X_DPI, raster.FINE))[1])
            page = frame.convert("1", dither=Image.Dither.NONE)
            sheets.append(raster.g4(page, raster.STANDARD if abs(y_dpi - raster.STANDARD) < 20 else raster.FINE))
    made = _write(sheets, out)
    return {"pages": made["pages"], "size": made["size"]}
