"""The end of a gateway: each part of it ends, whatever the others do, and nothing goes that may still be needed."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config, load
from gateway.errors import TryLater
from gateway.model import Envelope, FaxNumber, Peer, Recipient
from gateway.store import db, jobs


def config(directory: Path, nobody: int) -> Config:
    """Of a gateway that keeps each mail as a file; at the port ``nobody`` nobody listens."""
    (directory / "config.yaml").write_text(f"""
state_dir: {directory / "state"}
smtp: {{small_mail: 1B, listeners: [{{address: "127.0.0.1:0"}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {"t" * 24}}}}}
provider: {{base_url: "http://127.0.0.1:{nobody}/api/v2", api_key: key}}
mail: {{relay: {{host: 127.0.0.1, port: {nobody}}}}}
document: {{workers: 1}}
""")
    return load(directory / "config.yaml")


async def test_what_does_not_end_well_keeps_nothing_else_alive(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(config(tmp_path, unused_tcp_port))
    await gateway.start()

    async def fails(*_: object) -> None:
        raise OSError("the disk")

    for part in (gateway._callbacks, gateway._admin_server, gateway.postman):
        monkeypatch.setattr(part, "stop", fails)
    with pytest.raises(OSError, match="the disk"):
        await gateway.stop(5.0)
    monkeypatch.undo()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("outbound", "inbound", "sweep"))]
    again = Gateway(config(tmp_path, unused_tcp_port))  # which needs the lock and the database
    await again.open()
    await again.close()
    await gateway._callbacks.stop()  # type: ignore[union-attr]
    await gateway._admin_server.stop()  # type: ignore[union-attr]
    await gateway.postman.stop(1.0)


async def test_a_commit_that_fails_when_all_was_written_loses_no_file(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync of a commit fails, what it wrote is there all the same at the next start, and the client sends again."""
    gateway = Gateway(config(tmp_path, unused_tcp_port))
    await gateway.start()
    await gateway.outbound.stop(5.0)  # nothing commits but what comes in
    end = db._end

    def fails(tx: db.Tx) -> None:
        end(tx)
        if not tx.execute("SELECT 1 FROM submission").fetchall():
            return  # something else that the gateway notes
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    async def brings(to: Gateway) -> str:
        draft = to.accept.draft()
        draft.write(b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nPlease read.\r\n")
        recipient = Recipient("+12025550123@fax.local", FaxNumber("+12025550123"))
        peer = Peer(listener="smtp0", address="127.0.0.1", trusted_network=True)
        return await to.accept.accept(Envelope(peer, "a@example.org", (recipient,)), draft)

    monkeypatch.setattr(db, "_end", fails)
    with pytest.raises(TryLater):
        await brings(gateway)
    assert gateway.failed.is_set()
    monkeypatch.undo()
    await gateway.stop(0.0)

    again = Gateway(config(tmp_path, unused_tcp_port))
    await again.start()
    await again.outbound.stop(5.0)
    submission = await again.database.read(lambda tx: jobs.get_submission(tx, queue_id(tx)))
    assert submission is not None
    assert again.spool.path(submission.mail_file).read_bytes().endswith(b"Please read.\r\n")
    assert await brings(again) == submission.id
    await again.stop(5.0)


def queue_id(tx: db.Tx) -> str:
    """Of the only mail there is."""
    ((found,),) = tx.execute("SELECT id FROM submission").fetchall()
    return str(found)
