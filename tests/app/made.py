"""State directories, made without a gateway."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.model import FaxJob, FaxNumber, JobState, Submission
from gateway.spool import Spool
from gateway.store import jobs
from gateway.store.db import Database


async def with_a_mail(state: Path) -> Path:
    """One with a mail that waits to be faxed, ``S1``, after an orderly stop."""
    state.mkdir(mode=0o700)
    spool, database = Spool(state / "spool", floor=0, reserve=0), Database(state / "faxgateway.db")
    spool.open()
    await database.open()
    draft = spool.draft()
    draft.write(b"From: ann@example.org\r\n\r\nHello.\r\n")
    name = await draft.commit("mail")
    now = time.time()
    submission = Submission("S1", now, name, 1, "ann@example.org", "ip:1", "ann@example.org", "client")
    job = FaxJob("S1-1", "S1", "x@fax.local", FaxNumber("+12025550123"), JobState.ACCEPTED, now, now)
    await database.write(lambda tx: jobs.add(tx, submission, [job], "key"))
    await database.close()
    return state
