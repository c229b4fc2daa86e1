"""Real documents and mails of other projects: each ends as pages or as a named refusal, and none hurts.

Switched on by ``FAXGATEWAY_CORPORA``, a folder with ``mail``, ``pdf`` and ``tiff`` in it. Every file is taken: six hundred
in about two minutes on two cores. ``FAXGATEWAY_CORPORA_SHARE=0.25`` takes every fourth, always the same. What became of
them is printed (``pytest -s``); ``python -m tests.document.corpus`` does so for all of them at once.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest

from .corpus import Run, files_of, table, through
from .made import letters

CORPORA = Path(os.environ.get("FAXGATEWAY_CORPORA", ""))
SHARE = float(os.environ.get("FAXGATEWAY_CORPORA_SHARE", "1"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("FAXGATEWAY_CORPORA"), reason="FAXGATEWAY_CORPORA names no folder of corpora"
    ),
]


def sample(folder: str) -> list[Path]:
    return files_of(CORPORA / folder, SHARE)


async def fine(files: list[Path], scratch: Path, *, mails: bool = False) -> int:
    """All of them went well; returns how many became faxes."""
    run: Run = await through(files, scratch, mails=mails)
    print(table({scratch.name: run}))
    assert run.wrong == []
    assert sum(run.outcomes.values()) == len(files)
    return run.faxes


@pytest.mark.parametrize("folder", ["pdf", "tiff"])
async def test_every_document_ends_as_pages_or_a_named_refusal(folder: str, tmp_path: Path) -> None:
    assert await fine(sample(folder), tmp_path) > 10


async def test_every_mail_ends_as_pages_or_a_named_refusal(tmp_path: Path) -> None:
    await fine(sample("mail"), tmp_path, mails=True)


async def test_every_mail_with_a_document_in_it_becomes_a_fax_or_says_why(tmp_path: Path) -> None:
    """Real structures with a real document: each mail as the first part of one that has a PDF attached."""
    document = base64.encodebytes(letters(1)).replace(b"\n", b"\r\n")
    grafted = []
    for n, path in enumerate(sample("mail")[::4]):
        raw = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = re.findall(rb"(?im)^[\w-]+:.*(?:\r\n[ \t].*)*", head)
        content = [field for field in fields if field.lower().startswith(b"content-")]
        others = [field for field in fields if not field.lower().startswith((b"content-", b"mime-version"))]
        mail = tmp_path / f"graft-{n}.eml"
        mail.write_bytes(
            b"\r\n".join([*others, b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="graft"', b"", b"--graft"])
            + b"\r\n" + b"\r\n".join([*content, b"", body])
            + b'\r\n--graft\r\nContent-Type: application/pdf; name="doc.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
            + b'Content-Disposition: attachment; filename="doc.pdf"\r\n\r\n' + document + b"\r\n--graft--\r\n"
        )  # fmt: skip
        grafted.append(mail)
    assert await fine(grafted, tmp_path, mails=True) > len(grafted) / 2
