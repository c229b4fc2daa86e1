"""A mail made of files, a text or both, as a mail client would make it."""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path

import click

from gateway.cli.base import EX_DATA, Failed


def make(
    files: Sequence[Path], *, to: Sequence[str] = (), sender: str = "", subject: str = "", text: str = "", domain: str
) -> bytes:
    """The mail, with CRLF; a ``text`` of "-" is what stands on standard input.

    Raises UsageError when there is nothing to fax, Failed for a bad header, OSError.
    """
    subject, text = _text(subject), _text(sys.stdin.buffer.read() if text == "-" else text)
    names = [_text(file.name) for file in files]
    if not files and not text.strip():
        raise click.UsageError("there is nothing to fax: name files, or give --text")
    mail = EmailMessage(policy=SMTP)
    try:
        mail["Subject"] = subject or ", ".join(names) or "Fax"
        if sender:
            mail["From"] = sender
        if to:
            mail["To"] = ", ".join(each if "@" in each else str(Address("", each, domain)) for each in to)
    except ValueError as error:
        raise Failed(f"this cannot stand in a mail header: {error}", EX_DATA) from error
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain=domain)
    if text:
        mail.set_content(text)
    for file, name in zip(files, names, strict=True):
        kind, encoding = mimetypes.guess_type(file.name)
        main, _, sub = (kind if kind and not encoding else "application/octet-stream").partition("/")
        if main in ("message", "multipart"):
            main, sub = "application", "octet-stream"
        mail.add_attachment(file.read_bytes(), maintype=main, subtype=sub, filename=name)
    return mail.as_bytes()


def _text(given: str | bytes) -> str:
    """What an argument, the name of a file or standard input says, in whatever charset."""
    said = os.fsencode(given)
    try:
        return said.decode()
    except UnicodeDecodeError:
        from gateway.document.text import decode

        return decode(said, None)
