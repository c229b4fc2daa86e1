"""``faxgateway preview``: the pages of a fax as pictures, without a daemon."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import letter, output
from gateway.cli.base import Command, Session, json_option, pass_session
from gateway.errors import ConfigError
from gateway.model import FaxPage, LedgerEntry

if TYPE_CHECKING:
    from gateway.config.options_document import Document
    from gateway.document.worker import WorkerPool

_NUMBER = "+15550100"  # nobody's
_HEADER_FACTS = {"date": "2026-01-31 12:00", "from": "sender@example.org", "to": _NUMBER}  # a preview has none
_MAILS = (".eml", ".msg822")
_PICTURE = re.compile(r"page-[0-9]{3,}\.png")
_OF_SENDING = ("send-at", "priority", "tsi")  # options of a mail that change no page, or only for who may


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the pages are to be: as the configuration says, if there is one; ``here`` says what goes before the mail's options."""

    configured: Document | None = None
    here: dict[str, str] = field(default_factory=dict)


@click.command(cls=Command)
@click.option(
    "-o", "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("fax-preview"), show_default=True,
    help="Directory for the pictures.",
)  # fmt: skip
@click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), help="Also write the fax document itself here.")
@click.option("--text", metavar="TEXT", default="", help="Text before the files, as with send.")
@click.option(
    "--paper", type=click.Choice(["letter", "a4"]), help="Instead of what the mail or the configuration says."
)
@click.option(
    "--cover", metavar="NAME", default="", help="With this cover page; auto: with the one of the configuration."
)
@click.option(
    "--resolution", type=click.Choice(["fine", "standard"]), help="Instead of what the mail or the configuration says."
)
@json_option
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_session
def preview(
    session: Session,
    /,
    out: Path,
    pdf: Path | None,
    text: str,
    paper: str | None,
    cover: str,
    resolution: str | None,
    as_json: bool,
    files: tuple[Path, ...],
) -> None:
    """Make a PNG for each page that faxing FILES (or one mail, NAME.eml) would send: what the other machine prints.

    Needs no running gateway and no configuration; where there is one, its document options are used. Options in the mail
    count, but for what stands here; those of a route or in an address are not known.
    """
    here = {"paper": paper, "resolution": resolution, "cover": cover}
    wanted = Wanted(_configured(session), {name: value for name, value in here.items() if value})
    with tempfile.TemporaryDirectory(prefix="faxgateway-") as scratch:
        mail = Path(scratch, "mail")
        if len(files) == 1 and files[0].suffix.lower() in _MAILS and not text:
            mail.write_bytes(files[0].read_bytes())
        else:
            mail.write_bytes(letter.make(files, text=text, domain="localhost"))
        out.mkdir(parents=True, exist_ok=True)
        pages, fax = Path(scratch, "pages"), Path(scratch, "fax.pdf")
        pages.mkdir()
        made = asyncio.run(_make(mail, pages, fax, wanted))
        # not made in their place: a directory that cannot be written is no fault of the document
        made["pictures"] = [str(shutil.copyfile(each, out / Path(each).name)) for each in made["pictures"]]
        if pdf:
            shutil.copyfile(fax, pdf)
    others = {each.name for each in out.iterdir() if _PICTURE.fullmatch(each.name)}
    others -= {Path(each).name for each in made["pictures"]}
    if others:  # whose they are is not known: nothing is removed
        output.say(f"No pages of this fax, but there before: {', '.join(sorted(others))} in {out}")
    if as_json:
        output.as_json(made)
        return
    for entry in made["ledger"]:
        output.say(entry)
    for warning in made["warnings"]:
        output.say(warning)
    output.say(f"{output.plural(made['pages'], 'page')}, about {made['seconds']:.0f} s on the line")
    if made["pages"] > 1:
        output.say("seconds of each page: " + ", ".join(f"{seconds:.0f}" for seconds in made["weights"]))
    for picture in made["pictures"]:
        click.echo(picture)


def _configured(session: Session) -> Document | None:
    """The document options of the configuration; None when there is none and none was named."""
    from gateway.config import find

    try:
        find(session.config_path)
    except ConfigError:
        if session.config_path is not None:
            raise
        return None
    return session.config(secrets=False).document


async def _make(mail: Path, out: Path, pdf: Path, wanted: Wanted) -> dict[str, Any]:
    from gateway import telemetry
    from gateway.document.worker import WorkerLimits, WorkerPool

    telemetry.set_up_logging("warning", "console")
    document = wanted.configured
    pool = WorkerPool(1, WorkerLimits(document.timeout, document.memory) if document else WorkerLimits())
    await pool.start()
    try:
        return await fax_of_mail(pool, mail, out, pdf, wanted)
    finally:
        await pool.close()


async def fax_of_mail(pool: WorkerPool, mail: Path, out: Path, pdf: Path, wanted: Wanted) -> dict[str, Any]:
    """Fax document ``pdf`` and pictures in ``out`` of a raw mail; returns ``pages``, ``seconds``, ``ledger``, ``pictures``,
    ``weights`` (seconds on the line of each page), ``warnings``.

    Raises Refused and TryLater as the conversions do, ConfigError.
    """
    from gateway import settings
    from gateway.config.options_document import Document
    from gateway.document import libreoffice
    from gateway.document.cover_facts import gather
    from gateway.mail.options import decide
    from gateway.service.making import make

    document, now = wanted.configured or Document(), time.time()
    choice, drawn = settings.cover(document), settings.html(document)
    summary = await pool.run("gateway.mail.parse:inspect", mail=str(mail))
    in_mail = {name: value for name, value in summary["options"].items() if name not in _OF_SENDING}
    asked = decide(wanted.here, in_mail, now=now)
    options = {
        **settings.document(document),
        **asked.document,
        "cover": choice(asked.cover),
        "header_facts": _HEADER_FACTS,
    }

    def facts(headers: dict[str, str]) -> dict[str, Any]:
        return gather(
            headers, asked, settings.cover_facts(document),
            rcpt="", number=_NUMBER, sender="", subject=summary["subject"], at=now,
        )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="faxgateway-parts-") as parts:
        made = await make(
            pool, mail, Path(parts), pdf, options, trim=document.trim, office=libreoffice.find(document.office),
            html=drawn, cover_facts=facts,
        )  # fmt: skip
    pictures = await pool.run("gateway.document.render:previews", document=str(pdf), directory=str(out))
    ledger = [LedgerEntry(**entry).text for entry in made["ledger"]]
    sheets = [FaxPage.of(page) for page in made["sheets"]]
    return {
        "pages": made["pages"],
        "seconds": made["seconds"],
        "ledger": ledger,
        "weights": [page.seconds for page in sheets],
        "warnings": [f"page {n} {text}" for n, page in enumerate(sheets, 1) for text in page.warnings],
        "pictures": pictures,
    }
