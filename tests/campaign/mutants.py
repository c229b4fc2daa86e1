"""The mistakes that the campaign must catch: each is made in a copy of the gateway by replacing a few lines of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.document.worker import WorkerPool
from gateway.faultpoint import VARIABLE

from . import caps, edges, kill
from .journeys import JOURNEYS


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` stands exactly once in ``file`` (below ``gateway/``)."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Hurt:
    """A bounded piece of the campaign: ``run`` takes converters and an empty directory, and returns the breaches."""

    part: str
    run: Callable[[WorkerPool, Path], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """``breaks``: what holds no more."""

    name: str
    breaks: str
    hurt: Hurt
    edits: tuple[Edit, ...]


def _edge(name: str) -> Hurt:
    return Hurt(f"edges, {name}", edges.named(name).run)


def _killed(journey: str, point: str) -> Hurt:
    async def run(workers: WorkerPool, _directory: Path) -> list[str]:
        return (await kill.one(workers, JOURNEYS[journey], point, env={VARIABLE: point})).breaches

    return Hurt(f"points, {journey} at {point}", run)


def _capped() -> Hurt:
    async def run(workers: WorkerPool, directory: Path) -> list[str]:
        return (await caps.run(workers, directory, kills=3, faxes=12, seed=1)).breaches

    return Hurt("caps", run)


def _one(name: str, breaks: str, hurt: Hurt, file: str, old: str, new: str) -> Mutation:
    return Mutation(name, breaks, hurt, (Edit(file, old, new),))


_PASS = "pass  # mutated"
_SPOOL = "spool.py"
_DB = "store/db.py"
_JOBS = "store/jobs.py"
_SCHEMA = "store/migrations/0001_initial.sql"
_ACCEPT = "service/accept.py"
_INBOUND = "service/inbound.py"
_SUBMIT = "service/submit.py"
_SETTLE = "service/settle.py"
_DOUBT = "service/doubt.py"
_CALLS = "provider/calls.py"

# lines of the acceptance of a mail
_KEPT = "    file = await draft.keep(body=None if summary.body_sha256 else summary.body_at)"
_STORED = "            stored = await storing"

MUTATIONS = (
    # --- what is durable ----------------------------------------------------------------------------------------------
    _one(
        "spool file not synced", "a file is on disk before a row names it", _edge("cut-at-250"),
        _SPOOL, "                os.fsync(descriptor)\n            except OSError as error:\n                if error.errno in _FULL:",
        f"                {_PASS}\n            except OSError as error:\n                if error.errno in _FULL:",
    ),
    _one(
        "spool directory not synced", "a file's name is on disk before a row has it", _edge("cut-at-250"),
        _SPOOL, "        sync_directory(self._spool.root / kind)", f"        {_PASS}",
    ),
    Mutation(
        "failed sync ignored", "after a failed sync nothing is told and the process ends", _edge("sync-fails"),
        (
            Edit(_SPOOL, 'raise SyncFailed(f"fsync of {self.path}: {error}") from error', _PASS),
            Edit(_SPOOL, 'raise SyncFailed(f"fsync of directory {path}: {error}") from error', _PASS),
        ),
    ),
    *(
        Mutation(
            f"synchronous = {mode}", "a commit is on disk when it returns", _edge("cut-at-250"),
            (
                Edit(_DB, '("synchronous", "FULL")', f'("synchronous", "{mode}")'),
                Edit(_DB, 'if modes != ("wal", 2, 1):', f'if modes != ("wal", {value}, 1):'),
            ),
        )
        for mode, value in (("NORMAL", 1), ("OFF", 0))
    ),
    _one(
        "250 before the commit", "row before reply", _edge("killed-at-250"),
        _ACCEPT, _STORED,
        "            import asyncio\n            self._late, stored = asyncio.create_task(storing), submission.id",
    ),
    _one(
        "200 before the commit", "row before reply", _edge("killed-at-200"),
        _INBOUND, "            stored, mailboxes = await self._database.write(lambda tx: self._store(tx, fax, now))",
        "            import asyncio\n"
        "            self._late = asyncio.create_task(self._database.write(lambda tx: self._store(tx, fax, now)))\n"
        "            stored, mailboxes = fax, ()",
    ),
    Mutation(
        "row before file", "file before row", _killed("out", "spool.synced:1"),
        (
            Edit(_ACCEPT, _KEPT, '    file = f"mail/{draft.spill().name}"'),
            Edit(
                _ACCEPT, _STORED,
                f'{_STORED}\n            if content is None:\n                await draft.keep()',
            ),
            Edit(
                _SPOOL, '        name = f"{kind}/{new_name()}"',
                '        name = f"{kind}/{self.path.name if kind == \'mail\' else new_name()}"',
            ),
        ),
    ),
    _one(
        "file removed before its row", "on delete the row first", _edge("killed-while-forgetting"),
        "app.py", "            receipts.purge_orphans(tx, now - keep.history)\n            return names,",
        "            receipts.purge_orphans(tx, now - keep.history)\n            self.spool.remove(names)\n"
        "            return names,",
    ),
    _one(
        "received fax forgotten undelivered", "a document is kept until it is delivered", _edge("smarthost-away"),
        "store/inbound.py", "(o.state = 'queued' OR o.state = 'dead' AND", "(o.state = 'dead' AND",
    ),
    _one(
        "no flock", "one daemon per directory", _edge("two-daemons"),
        "store/lock.py", "            fcntl.flock(each, fcntl.LOCK_EX | fcntl.LOCK_NB)", f"            {_PASS}",
    ),
    # --- the send -----------------------------------------------------------------------------------------------------
    Mutation(
        "attempt not written ahead", "the intent is committed before the send", _edge("killed-in-the-send"),
        (
            Edit(
                _SUBMIT, "        begun = await self._database.write(begin)",
                "        begun = replace(job, state=JobState.SUBMITTING, attempts=job.attempts + 1)",
            ),
            Edit(
                _SUBMIT, '            reach("provider.sent")',
                '            reach("provider.sent")\n'
                "            before = replace(job, state=JobState.UPLOADED, attempts=job.attempts - 1)\n"
                "            await self._database.write(\n"
                "                lambda tx: self._begin(tx, before, job.cost, None, self._clock(), listed=False)\n"
                "            )",
            ),
        ),
    ),
    _one(
        "send under way at the end is repeated", "at start submitting becomes in_doubt",
        _edge("killed-in-the-send"), "service/outbound.py",
        'tx, job, JobState.IN_DOUBT, now, "the gateway stopped', 'tx, job, JobState.UPLOADED, now, "the gateway stopped',
    ),
    _one(
        "502 counts as not sent", "anything but a clear no is unknown", _edge("lagging-history"),
        _CALLS, 'raise OutcomeUnknown("the fax provider gave no clear answer", answer.detail)',
        'raise TryLater("the fax provider gave no clear answer", answer.detail)',
    ),
    _one(
        "no answer counts as not sent", "anything but a clear no is unknown", _edge("lagging-history"),
        _CALLS, "            if not begun:", "            if True:",
    ),
    _one(
        "HTML counts as not sent", "anything but a clear no is unknown", _edge("lagging-history"),
        "provider/faxto.py", 'raise OutcomeUnknown("the fax provider\'s answer to the send is unreadable", str(error))',
        'raise TryLater("the fax provider\'s answer to the send is unreadable", str(error))',
    ),
    _one(
        "200 without an id counts as not sent", "anything but a clear no is unknown", _edge("lagging-history"),
        "provider/faxto.py", 'raise OutcomeUnknown("the fax provider\'s answer to the send names no fax", answer.excerpt())',
        'raise TryLater("the fax provider\'s answer to the send names no fax", answer.excerpt())',
    ),
    _one(
        "history read to its first page only", "the history is read to its end", _edge("page-three"),
        "service/history.py", "        if not got.entries:\n", "        if page == 1:\n",
    ),
    *(
        Mutation(
            name, breaks, _edge("lagging-history"),
            (
                Edit(
                    _DOUBT,
                    "if polls < self._settings.doubt_min_polls or seconds < self._settings.doubt_min_time:", f"if {proven}:",
                ),
                # the look right before the send would find it, for it lags no longer than that
                Edit(_SUBMIT, 'last.outcome in ("not_sent", "absent")', 'last.outcome == "not_sent"'),
            ),
        )
        for name, breaks, proven in (
            ("absent after one reading", "absence needs several readings", "polls < 1"),
            ("absent without waiting", "absence needs time", "polls < self._settings.doubt_min_polls"),
        )
    ),
    _one(
        "adopted whatever the number", "(document, number) is the identity of a send", _edge("by-hand"),
        "service/history.py", "if entry.document_ref == document_ref and entry.recipient == digits",
        "if entry.document_ref == document_ref",
    ),
    _one(
        "adopted whatever the document", "(document, number) is the identity of a send", _edge("by-hand"),
        "service/history.py", "if entry.document_ref == document_ref and entry.recipient == digits",
        "if entry.recipient == digits",
    ),
    Mutation(
        "one fax's id for two jobs", "a provider_ref belongs to one attempt", _edge("old-id"),
        (
            Edit(_SCHEMA, "CREATE UNIQUE INDEX job_provider_ref", "CREATE INDEX job_provider_ref"),
            Edit(_SCHEMA, "CREATE UNIQUE INDEX attempt_provider_ref", "CREATE INDEX attempt_provider_ref"),
            Edit(_SUBMIT, "            if jobs.known_refs(tx, [ref]):", "            if False:"),
        ),
    ),
    _one(
        "rate limit taken for a refusal", "403 and 429 mean later", _edge("rate-limit"),
        _CALLS, "if answer.status in (403, 429):", "if answer.status == 429:",
    ),
    _one(
        "pages at the provider not counted", "no page silently missing", _edge("lost-page"),
        "service/outbound.py", "if upload.pages is not None and upload.pages != document.pages:", "if False:",
    ),
    _one(
        "last digit of the number lost", "no page to a wrong number", _killed("out", "nowhere"),
        "provider/faxto.py", '{"fax_number": number.e164, "document_id": str(document_ref)}',
        '{"fax_number": number.e164[:-1], "document_id": str(document_ref)}',
    ),
    # --- what it may cost ---------------------------------------------------------------------------------------------
    _one(
        "limits not judged with the intent", "no fax is begun that does not fit under a cap", _capped(),
        _SUBMIT, "        stop = self._allowance.judge(tx, job, cost) if not listed else None", "        stop: Stop | None = None",
    ),
    _one(
        "unknown outcome costs nothing", "a send without an answer counts as spent", _capped(),
        "store/spending.py", '    if outcome == "not_sent":', '    if outcome in ("not_sent", "unknown"):',
    ),
    # --- the end of a fax ---------------------------------------------------------------------------------------------
    Mutation(
        "notice beside the final state", "the end and the mail that tells it are one commit", _edge("killed-at-the-end"),
        (
            Edit(
                _SETTLE,
                "                submitted_at=made[-1].started_at if made else None, promised=_is_promised(tx, job),\n            )  # fmt: skip\n"
                "            outbox.add(tx, mail)\n            return True\n\n        if await (self.record(commit)",
                "                submitted_at=made[-1].started_at if made else None, promised=_is_promised(tx, job),\n            )  # fmt: skip\n"
                "            late.append(mail)\n            return True\n\n        if await (self.record(commit)",
            ),
            Edit(
                _SETTLE, '        """The final state and the mail that tells it, in one commit."""\n',
                "        late: list[OutgoingMail | None] = []\n",
            ),
            Edit(
                _SETTLE, "        if await (self.record(commit) if attempt else self._database.write(commit)):\n",
                "        ended = await (self.record(commit) if attempt else self._database.write(commit))\n"
                "        for mail in late:\n"
                "            await self._database.write(lambda tx, mail=mail: outbox.add(tx, mail))\n"
                "        if ended:\n",
            ),
        ),
    ),
    _one(
        "change without compare-and-set", "a job changes only from the state that was seen", _edge("cancelled"),
        _JOBS,
        "finished_at = ?{assignments} WHERE id = ? AND state = ? AND attempts = ?\",\n"
        "        (to, now, now if to.terminal else None, *values.values(), job.id, job.state, job.attempts),",
        'finished_at = ?{assignments} WHERE id = ?",\n'
        "        (to, now, now if to.terminal else None, *values.values(), job.id),",
    ),
    _one(
        "receipt believed unasked", "callbacks are hints, the API is the truth", _edge("lying-receipts"),
        _SETTLE, "        if told and not self._settings.confirm_receipts:", "        if told:",
    ),
    Mutation(
        "outbox cause not unique", "one mail for a cause", _edge("refused-twice"),
        (
            Edit(_SCHEMA, "  ended_at      REAL,\n  UNIQUE (kind, cause, recipient)\n", "  ended_at      REAL\n"),
            Edit(
                "store/outbox.py", '?, ?, ?, ?, ?, ?, ?)"\n            " ON CONFLICT (kind, cause, recipient) DO NOTHING",',
                '?, ?, ?, ?, ?, ?, ?)",',
            ),
        ),
    ),
    _one(
        "mail counted as sent beforehand", "a mail is at least once", _killed("out", "relay.sending:1"),
        "service/postman.py", '        reach("relay.sending")',
        '        await self._database.write(lambda tx: outbox.sent(tx, mail.id, self._clock(), ""))\n'
        '        reach("relay.sending")',
    ),
    # --- the same again -----------------------------------------------------------------------------------------------
    _one(
        "repeated mail is a new one", "a client that lost its 250 causes one fax", _edge("silent-client"),
        _ACCEPT, "            if not fresh:", "            fresh = new_jobs\n            if not fresh:",
    ),
    Mutation(
        "inbound uuid not unique", "the same received fax again has no effect", _edge("doubled-callback"),
        (
            Edit(_SCHEMA, "CREATE UNIQUE INDEX inbound_uuid", "CREATE INDEX inbound_uuid"),
            Edit(_INBOUND, "        named = inbound.by_uuid(tx, key)\n", "        named = None\n"),
        ),
    ),
)  # fmt: skip


def made(code: Path, mutation: Mutation) -> None:
    """Make a mistake in the package ``gateway`` in the directory ``code``. Raises ValueError when the list has rotted."""
    for edit in mutation.edits:
        file = code / "gateway" / edit.file
        text = file.read_text("utf-8")
        if (times := text.count(edit.old)) != 1:
            raise ValueError(f"{mutation.name}: this stands {times} times in {edit.file}, not once:\n{edit.old}")
        file.write_text(text.replace(edit.old, edit.new), "utf-8")
