"""Worker functions: the parts of a mail become one fax document, with a ledger of what became of each.

They run in throw-away processes: paths in, plain values out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import img2pdf
from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import AppendingTiffWriter

from gateway.document import picture, progress, raster, sniff, sources, text
from gateway.document.bilevel import to_bilevel
from gateway.document.refusal import TooLong, Unfaxable
from gateway.document.weight import call_seconds
from gateway.model import LedgerEntry, MailPart

_SMALL = 300 * 300  # pixels: an inline image below is decoration
_DEFAULTS: dict[str, Any] = {"paper": "letter", "resolution": "fine", "max_pages": 200, "body": "with-text"}


def render(
    parts: list[dict[str, Any]], left_out: list[dict[str, str]], out: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Write the fax document of a mail to ``out``: an image-only PDF of one-bit G4 pages.

    ``parts`` are fields of :class:`~gateway.model.MailPart`, in mail order; ``left_out`` what the mail's reader left out,
    with its reason. Returns ``pages``, ``size`` (bytes), ``sha256``, ``seconds`` (estimate on the line), ``ledger``.
    Raises Refused naming the part that cannot become pages: never half a fax.
    """
    options = {**_DEFAULTS, **options}
    target = raster.grid(options["paper"], options["resolution"])
    ledger: list[LedgerEntry] = []
    sheets: list[bytes] = []
    for part, kind, reason in _chosen([MailPart(**part) for part in parts], options["body"]):
        if reason:
            ledger.append(LedgerEntry(part.name, kind, reason=reason))
            continue
        if part.defect:
            raise Unfaxable(f"{part.name} cannot be faxed: {part.defect}; send it again")
        first = len(sheets) + 1
        sheets += _sheets(part, kind, target, options["max_pages"] - len(sheets))
        ledger.append(LedgerEntry(part.name, kind, first, len(sheets)))
    ledger += [LedgerEntry(entry["part"], entry["type"], reason=entry["reason"]) for entry in left_out]
    if not sheets:
        reasons = "; ".join(entry.text for entry in ledger)
        raise Unfaxable("the mail holds nothing to fax: " + (reasons or "no document and no text"))
    made = _write(sheets, out)
    return {**made, "ledger": [asdict(entry) for entry in ledger]}


def _sheets(part: MailPart, kind: str, target: raster.Grid, room: int) -> list[bytes]:
    """The pages of a part, as one-page TIFFs."""
    progress.begin(part.name)
    try:
        return [
            raster.g4(to_bilevel(page.image, page.y_dpi), page.y_dpi)
            for page in sources.pages(Path(part.path), kind, part.name, target, charset=part.charset, room=room)
        ]
    except MemoryError as error:
        raise TooLong(f"{part.name} needs more memory to convert than a fax may have; send it smaller") from error


def _write(sheets: list[bytes], out: str) -> dict[str, Any]:
    """Wrap one-strip G4 pages into a PDF without re-encoding; no dates and no producer, so equal pages are equal files."""
    document = img2pdf.convert(sheets, nodate=True, producer="", engine=img2pdf.Engine.internal)
    Path(out).write_bytes(document)
    return {
        "pages": len(sheets),
        "size": len(document),
        "sha256": hashlib.sha256(document).hexdigest(),
        "seconds": round(call_seconds([raster.strip_size(sheet) for sheet in sheets]), 1),
    }


# --- which parts ------------------------------------------------------------------------------------------------------


def _chosen(parts: list[MailPart], body: str) -> Iterator[tuple[MailPart, str, str]]:
    """Each part with its type and, where it becomes no page, the reason."""
    kinds = [_kind(part) for part in parts]
    attached = [
        part for part, kind in zip(parts, kinds, strict=True)
        if part.role == "attachment" and not _decoration(part, kind)
    ]  # fmt: skip
    plain = any(part.role == "body-text" and _has_text(part, sniff.TEXT) for part in parts)
    for part, kind in zip(parts, kinds, strict=True):
        if part.role.startswith("body"):
            yield part, kind, _body_reason(part, kind, body, attached=bool(attached))
        elif part in attached or not _has_other(parts, part, plain=plain, attached=bool(attached)):
            yield _sized(part), kind, ""
        else:
            yield part, kind, "a picture of the message's decoration"


def _kind(part: MailPart) -> str:
    if part.role == "body-text":
        return sniff.TEXT
    return sniff.HTML if part.role == "body-html" else sniff.sniff(Path(part.path))


def _sized(part: MailPart) -> MailPart:
    return replace(part, defect=part.defect or ("it is empty (0 bytes)" if not part.size else ""))


def _decoration(part: MailPart, kind: str) -> bool:
    """Logos and spacers: pictures the HTML shows, and small ones in the text that nobody attached."""
    if kind not in sniff.IMAGES:
        return False
    if part.referenced:
        return True
    return part.disposition != "attachment" and bool(part.content_id) and _pixels(part) < _SMALL


def _has_other(parts: list[MailPart], part: MailPart, *, plain: bool, attached: bool) -> bool:
    """Whether the mail has something to fax besides this picture; a photo sent inline with nothing else is the document."""
    html = any(p.role == "body-html" and _has_text(p, sniff.HTML) for p in parts)
    return attached or plain or html or _pixels(part) < _SMALL


def _pixels(part: MailPart) -> int:
    try:
        with Image.open(part.path, formats=picture.FORMATS) as image:
            return image.width * image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _SMALL


def _has_text(part: MailPart, kind: str) -> bool:
    content = text.decode(Path(part.path).read_bytes()[: 1 << 20], part.charset)
    return bool((text.from_html(content) if kind == sniff.HTML else content).strip())


def _body_reason(part: MailPart, kind: str, body: str, *, attached: bool) -> str:
    if body == "never":
        return "the message text is not faxed here"
    if body == "without-attachment" and attached:
        return "the message text is faxed only without an attachment"
    if not _has_text(part, kind):
        return "it holds no text"
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
    with AppendingTiffWriter(out, True) as writer:
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
