"""Uploads that no fax needs any more: deleted at the provider, so that no one's pages lie there for ever.

A crash between an upload and its commit leaves one that no row names. The provider lists uploads by the name we gave
them, and that holds the id of the job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import structlog

from gateway.errors import GatewayError, KeyRefused
from gateway.ports import FaxProvider, StoredFile
from gateway.store import jobs, uploads
from gateway.store.db import Database, Tx
from gateway.store.ids import time_of

log = structlog.get_logger("leftovers")

_NAME = re.compile(r"(([0-9A-Za-z]{12})-[1-9][0-9]{0,4})-([1-9][0-9]{0,5})\.pdf")
_PAGE = 100
_PAGES = 200


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of an upload tells: it is the ``n``-th of a job whose mail was accepted at ``accepted_at``."""

    job: str
    n: int
    accepted_at: float


def name(job: str, n: int) -> str:
    """What the ``n``-th upload of a job is called at the provider; tells nothing of what is in it."""
    return f"{job}-{n}.pdf"


def named(name: str) -> Named | None:
    """What a name tells; None for one that is not named as we name uploads."""
    parts = _NAME.fullmatch(name)
    accepted_at = time_of(parts[2]) if parts else None
    return None if parts is None or accepted_at is None else Named(parts[1], int(parts[3]), accepted_at)


async def sweep(database: Database, provider: FaxProvider, before: float) -> int:
    """Delete uploads of ours that no fax needs, of mails accepted before ``before``; returns how many.

    What is not named as we name uploads is left alone. Raises GatewayError when the list cannot be read; an upload that
    cannot be deleted is left to the next sweep.
    """
    deleted = 0
    for file in await listed(provider):
        upload, ref = named(file.name), file.document_ref
        if upload is None or upload.accepted_at >= before:
            continue
        if await database.read(lambda tx, upload=upload, ref=ref: _is_needed(tx, upload, ref, before)):  # type: ignore[misc]
            continue
        try:
            await provider.delete(ref)
        except KeyRefused:
            raise
        except GatewayError as error:
            log.warning("an upload was not deleted", document=ref, name=file.name, why=str(error))
            continue
        deleted += 1
        log.info("an upload that no fax needs was deleted", document=ref, name=file.name)
    return deleted


async def listed(provider: FaxProvider) -> list[StoredFile]:
    """What the provider keeps, all pages, before anything is deleted: a deletion would move the others.

    Raises GatewayError.
    """
    found: dict[int, StoredFile] = {}
    for page in range(1, _PAGES + 1):
        fresh = [file for file in await provider.files(page, _PAGE) if file.document_ref not in found]
        if not fresh:
            break
        found.update((file.document_ref, file) for file in fresh)
    return list(found.values())


def _is_needed(tx: Tx, upload: Named, ref: int, before: float) -> bool:
    """Whether an upload may still matter. One of a job that is not known (any more) does not."""
    if uploads.is_needed(tx, ref):
        return True
    job = jobs.get(tx, upload.job)
    if job is None:
        return False
    if job.state.terminal:
        return job.updated_at >= before
    # the latest one may be on its way at this moment
    return upload.n >= uploads.begun(tx, [upload.job]).get(upload.job, 0)
