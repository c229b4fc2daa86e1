"""Sending: documents, prices, faxes and what became of them (Fax.to API reference, "sending side")."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.sandbox.answers import Answer, Failure, day, php_date, sql_date, success
from gateway.sandbox.api import Ask, Route
from gateway.sandbox.documents import Documents
from gateway.sandbox.exchange import Exchange, Fax
from gateway.sandbox.listing import page
from gateway.sandbox.reading import Upload
from gateway.sandbox.remote import RemoteFiles
from gateway.sandbox.scenarios import SENT, TEXTS
from gateway.sandbox.shapes import opposite, verdict
from gateway.sandbox.store import Row, Store, money

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_INVENTED = 888_000_000
_OTHERS_DOCUMENT, _OTHERS_JOB, _OTHERS_NUMBER = 700_000_000, 800_000_000, "12025550177"
_SENDING = "Sending"
_PREVIEWS = "/member/my-documents/show-file"


class FaxCalls:
    """The calls about documents and faxes; without ``remote`` no document is fetched."""

    def __init__(
        self,
        store: Store,
        documents: Documents,
        exchange: Exchange,
        remote: RemoteFiles | None,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._documents = documents
        self._exchange = exchange
        self._remote = remote
        self._clock = clock

    def routes(self) -> list[Route]:
        """Every call of these."""
        return [
            Route("POST", "/files", "upload", self.upload),
            Route("GET", "/files", "files", self.files),
            Route("DELETE", "/files/{id}", "delete", self.delete),
            Route("GET", "/file-clean", "clean", self.clean),
            Route("GET", "/file-generate-preview", "preview", self.preview),
            Route("GET", "/fax/{id}/costs", "cost", self.cost),
            Route("POST", "/fax", "send", self.send),
            Route("GET", "/fax/{id}/status", "status", self.status),
            Route("GET", "/fax-history", "history", self.history),
            Route("GET", "/fax", "history", self.history),
            Route("GET", _PREVIEWS + "/{name}", "fetch", self.picture, bare=True),
        ]

    # --- documents ----------------------------------------------------------------------------------------------------

    async def upload(self, ask: Ask) -> Answer:
        """``POST /files``."""
        row = await self._keep(ask)
        if ask.kind == "repeat":
            await self._keep(ask)
        pages = row["pages"] + (1 if ask.kind == "wrong-pages" else 0)
        return Answer(
            200,
            {
                "status": "Success",
                "document_id": row["id"],
                "total_pages": pages,
                "document": {**_record(row), "total_pages": pages},
            },
        )

    async def _keep(self, ask: Ask) -> Row:
        """Convert what was uploaded and keep it."""
        upload = ask.params.upload
        if upload is None:
            upload = ask.params.upload = await self._fetch(ask)
        pages = await self._documents.convert(upload.path, upload.sha256)
        if ask.kind == "lost-page" and pages.pages > 1:
            pages = await self._documents.first_pages(pages.tiff, pages.pages - 1)
        identifier = self._store.add_document(
            upload.name, upload.size, upload.sha256, pages.tiff, pages.pages, self._clock()
        )
        return self._document(identifier)

    async def _fetch(self, ask: Ask) -> Upload:
        """The document whose address was given where a file should be (as ``AddRemoteFile``, or as ``file``)."""
        url = ask.params.text("AddRemoteFile") or ask.params.text("file")
        if not url.startswith(("http://", "https://")):
            raise Failure(400, "No file was uploaded.")
        if self._remote is None:
            raise Failure(400, "This sandbox fetches no remote files; upload the file itself.")
        return await self._remote.fetch(url)

    def _document(self, identifier: int) -> Row:
        row = self._store.document(identifier)
        if row is None:
            raise Failure(404, "The document does not exist.")
        return row

    async def files(self, ask: Ask) -> Answer:
        """``GET /files``: a bare list."""
        before = ask.before(self._clock())
        listed = page(
            lambda limit, offset: self._store.documents(before, limit, offset),
            _file,
            _others_file,
            ask.slice(),
            ask.fault,
        )
        return success(files=listed) if ask.kind == "as-object" else Answer(200, listed)

    async def delete(self, ask: Ask) -> Answer:
        """``DELETE /files/{document_id}``."""
        if not self._store.delete_document(ask.id("id"), self._clock()):
            raise Failure(404, "The document does not exist.")
        return success()

    async def clean(self, ask: Ask) -> Answer:
        """``GET /file-clean``: the document's record beside ``status``; nothing is deleted."""
        row = self._document(ask.params.integer("document_id") or 0)
        record = _record(row)
        created = record.pop("created_at")
        return success(
            **{
                **record,
                "filesize": str(row["size"]),
                "created date": created,
                "server_document_id": None,
                "team_user_id": None,
            }
        )

    async def preview(self, ask: Ask) -> Answer:
        """``GET /file-generate-preview``."""
        row = self._document(ask.params.integer("document_id") or 0)
        picture = await self._documents.preview(row["tiff"])
        return success(url=f"{ask.origin}{_PREVIEWS}/{picture.name}")

    async def picture(self, ask: Ask) -> Answer:
        """The picture of a document's first page."""
        name = ask.path["name"]
        if not re.fullmatch(r"[0-9a-f]{64}(-[0-9]+)?\.png", name) or not self._documents.path(name).exists():
            raise Failure(404)
        return Answer(200, file=self._documents.path(name), content_type="image/png")

    # --- faxes --------------------------------------------------------------------------------------------------------

    async def cost(self, ask: Ask) -> Answer:
        """``GET /fax/{document_id}/costs``."""
        row = self._document(ask.id("id"))
        _number(ask)
        return success(cost=money(self._exchange.cost(row)))

    async def send(self, ask: Ask) -> Answer:
        """``POST /fax`` with a document's id, or with the document itself."""
        match ask.kind:
            case "no-credit":
                raise Failure(400, "Insufficient credit.")
            case "failed-without-id":
                return Answer(200, {"status": "failed", "message": "The fax could not be sent."})
            case "say-executed":
                return self._executed(_INVENTED + int(self._clock()) % 1_000_000, 0)
        fax = await self._fax(ask)
        job = await self._execute(ask, fax)
        if ask.kind == "repeat":
            await self._execute(ask, fax)
        await self._exchange.before_answer(job)
        cost = self._exchange.cost(fax.document)
        match ask.kind:
            case "failed-with-id":
                return Answer(200, {"status": "failed", "message": "The fax could not be sent.", "fax_job_id": job})
            case "old-id":
                return self._executed(self._store.job_before(job) or job, cost)
        return self._executed(job, cost)

    async def _fax(self, ask: Ask) -> Fax:
        params = ask.params
        number = _number(ask)
        if params.upload is not None:
            document = await self._keep(ask)
        elif identifier := params.integer("document_id"):
            document = self._document(identifier)
        else:
            raise Failure(400, "document_id is missing.")
        return Fax(document, number, params.number("tsi_number"), params.text("delete_file") == "1")

    async def _execute(self, ask: Ask, fax: Fax) -> int:
        job = await self._exchange.execute(fax)
        if job is None:
            raise Failure(400, "Insufficient credit.")
        ask.jobs.append(job)
        return job

    def _executed(self, job: int, cost: int) -> Answer:
        body = {"fax_job_id": job, "user_cash_balance": money(self._store.balance()), "cost": money(cost)}
        return Answer(200, {"status": "executed", **body})

    async def status(self, ask: Ask) -> Answer:
        """``GET /fax/{fax_job_id}/status``: ``status`` is about the call, ``message`` about the fax."""
        job = self._store.job(ask.id("id"))
        if job is None:
            raise Failure(404, "The fax does not exist.")
        over = job["finished_at"] is not None
        code = opposite(job["msg_code"]) if ask.kind == "wrong-verdict" else job["msg_code"]
        said = _text(code) if over or ask.kind == "wrong-verdict" else _SENDING
        extra = {}
        match ask.kind:
            case "in-progress":
                said = _SENDING
            case "unknown-text":
                said = "Under observation"
            case "with-msg-code" if over:
                extra = {"msg_code": code}
        return success(message=said, user_cash_balance=money(self._store.balance()), **extra)

    async def history(self, ask: Ask) -> Answer:
        """``GET /fax-history``, newest first."""
        before, kind = ask.before(self._clock()), ask.kind
        listed = page(
            lambda limit, offset: self._store.jobs(before, limit, offset, forget_deleted=kind == "forget-deleted"),
            lambda job: _entry(job, kind),
            _others_entry,
            ask.slice(),
            ask.fault,
        )
        return success(history=listed)


def _number(ask: Ask) -> str:
    number = ask.params.number("fax_number")
    if not number:
        raise Failure(400, "fax_number is missing.")
    if not _E164.fullmatch(number):
        raise Failure(400, "fax_number must be in international format, as +12025550100.")
    return number


def _text(code: str) -> str:
    return SENT if code == "ok" else TEXTS[code]


def _record(row: Row) -> dict[str, Any]:
    """A document as the upload's answer has it."""
    stem = Path(row["tiff"]).stem[:13]
    created = sql_date(row["created_at"])
    return {
        "id": row["id"], "user_id": 2, "filename": f"{stem}.pdf.tiff", "orig_filename": f"{stem}.pdf",
        "filename_uploaded": row["filename"], "file_extension": Path(row["filename"]).suffix.lstrip(".").lower(),
        "total_pages": row["pages"], "filesize": row["size"], "preview_in_storage": 1,
        "preview_file": f"{stem}.pdf.preview.jpg", "preview_image": None, "s3": None, "updated_at": created,
        "created_at": created,
    }  # fmt: skip


def _file(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"], "filename": row["filename"], "pages": row["pages"], "size": row["size"],
        "uploaded": day(row["created_at"]),
    }  # fmt: skip


def _others_file(number: int) -> dict[str, Any]:
    return {
        "id": _OTHERS_DOCUMENT + number,
        "filename": "theirs.pdf",
        "pages": 1,
        "size": 3650,
        "uploaded": "2017-03-10",
    }


def _entry(job: Row, kind: str) -> dict[str, Any]:
    word = verdict(job["msg_code"]) if job["finished_at"] is not None else "executed"
    date = php_date(job["executed_at"])
    return {
        "id": job["id"],
        "created": sql_date(job["executed_at"]) if kind == "naive-date" else date,
        "document_id": job["document_id"],
        "document": job["filename"],
        "recipient": job["fax_number"] if kind == "with-plus" else job["fax_number"].lstrip("+"),
        "status": "archived" if kind == "unseen-status" else word,
    }


def _others_entry(number: int) -> dict[str, Any]:
    return {
        "id": _OTHERS_JOB - number, "created": php_date(time.time()), "document_id": _OTHERS_DOCUMENT - number,
        "document": "theirs.pdf", "recipient": _OTHERS_NUMBER, "status": "success",
    }  # fmt: skip
