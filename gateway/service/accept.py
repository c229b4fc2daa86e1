"""A mail becomes jobs: who may send what is decided in the dialogue, and a 250 is said only for what is on disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import policy, telemetry
from gateway.document import sniff
from gateway.document.cover_choice import ENFORCED, NONE, ON_REQUEST, CoverChoice
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError, Refused, TryLater
from gateway.limits import Capped
from gateway.mail import parse, partial
from gateway.mail.options import decide
from gateway.model import (
    Envelope,
    FaxJob,
    FaxNumber,
    FaxOptions,
    JobState,
    MailSummary,
    Peer,
    Recipient,
    Route,
    Submission,
    Unnumbered,
)
from gateway.service.addressing import Addressing, check_same, may_choose
from gateway.service.allowance import Allowance, Stop
from gateway.service.divided import Arrival, DividedMails, Parts
from gateway.service.logins import Logins, LoginSettings
from gateway.service.postmaster import Postmaster
from gateway.service.repeats import Repeats, mail_key, part_key, unseen
from gateway.service.senders import Senders, check_no_daemon, is_daemon
from gateway.spool import MailDraft, Spool
from gateway.store import bodies, jobs, repeats
from gateway.store.db import Database, Tx
from gateway.store.ids import new_id

_SHORT = 256 << 10  # bytes of a mail that are put into the database in an instant
_FEW = 5  # and jobs


@dataclass(frozen=True, slots=True)
class AcceptSettings:
    """``domains`` are ours; ``region`` reads numbers without a +; ``repeat_window`` (s): see :meth:`Accept.accept`.

    A sender may put his fax off by ``max_delay`` (s). A mail of at most ``small_mail`` bytes is kept in the database, a
    larger one in a file.
    """

    domains: tuple[str, ...]
    region: str
    policy: policy.PolicySettings
    max_message: int = 50_000_000
    max_delay: float = 30 * 86400.0
    small_mail: int = 131_072
    repeat_window: float = 1800.0
    hostname: str = ""  # of our own Message-IDs
    office: bool = False  # office documents can be converted
    max_hops: int = 100
    authserv_id: str = ""  # of the mail server whose Authentication-Results are believed
    authserv_networks: tuple[str, ...] = ()  # where it speaks from
    cover: CoverChoice = field(default_factory=CoverChoice)
    logins: LoginSettings = field(default_factory=LoginSettings)


class Accept:
    """The SMTP door's other side. Every refusal is a sentence the sender can act on."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        reader: WorkerPool,
        settings: AcceptSettings,
        allowance: Allowance,
        *,
        on_accepted: Callable[[], None],
        postmaster: Postmaster,
        divided: DividedMails,
        clock_believed: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._spool = spool
        self._reader = reader
        self._settings = settings
        self._allowance = allowance
        self._on_accepted = on_accepted
        self._clock = clock
        self._repeats = Repeats(settings.repeat_window, clock_believed=clock_believed, clock=clock, steady=steady)
        self._repeated_in_part: Counter[str] = Counter()  # how often a mail came again for some of its numbers alone
        self._postmaster = postmaster
        self._divided = divided
        front = settings.authserv_networks if settings.authserv_id else None
        self.senders = Senders(database, settings.policy, settings.domains, front)
        self._addressing = Addressing(database, settings.domains, settings.region)
        self.logins = Logins(database, settings.logins, clock=clock)

    # --- who ------------------------------------------------------------------------------------------------------

    async def authenticate(self, peer: Peer, login: str, password: str) -> Peer | None:
        """The client as this login, if this is its password. Raises TryLater after too many wrong ones."""
        return await self.logins.authenticate(peer, login, password)

    async def is_familiar(self, peer: Peer) -> bool:
        """Whether somebody logged in at its address before."""
        return await self.logins.is_familiar(peer)

    # --- the dialogue ---------------------------------------------------------------------------------------------

    async def check_sender(self, peer: Peer, sender: str, size: int | None) -> None:
        """At MAIL: may this client send at all, and is there room? Raises Refused or TryLater."""
        with telemetry.rejections(client=peer.address, sender=sender):
            policy.may_be_so_large(size or 0, self._settings.max_message)
            self._spool.check_room(size or 0)
            await self.logins.check(peer)
            if sender:  # without one it may be for the postmaster
                await self.senders.check(peer, sender)

    def is_postmaster(self, address: str) -> bool:
        """At RCPT: whether the mail is for a person here."""
        return self._postmaster.is_meant(address)

    async def unnumbered(self, peer: Peer, sender: str, address: str) -> Unnumbered | None:
        """At RCPT: an address that leaves the number to the subject, if this sender may use one. Raises Refused."""
        if is_daemon(sender):
            return None
        with telemetry.rejections(client=peer.address, sender=sender):
            return self._addressing.unnumbered(await self.senders.route(peer, sender), address)

    async def check_recipient(self, peer: Peer, sender: str, address: str) -> Recipient:
        """At RCPT: the number that will be dialled, exactly. Raises Refused naming the number and the remedy."""
        with telemetry.rejections(client=peer.address, sender=sender):
            check_no_daemon(sender)
            route = await self.senders.route(peer, sender)
            recipient = await self._addressing.recipient(peer, sender, route, address)
            self._settings.cover(recipient.options.get("cover", ""))
            await self._check_number(peer, sender, route, recipient.number)
            return recipient

    async def _check_number(self, peer: Peer, sender: str, route: Route | None, number: FaxNumber) -> None:
        """Whether it may be dialled, now. Raises Refused, TryLater."""
        policy.may_dial(number, self._settings.policy)
        if caps := self._allowance.caps(peer, route, number):
            await self._check_caps(caps, peer, sender, number)

    async def _check_caps(self, caps: list[Capped], peer: Peer, sender: str, number: FaxNumber) -> None:
        """Raises TryLater where one is used up, and lets the operator know.

        What may be a mail that we have comes in all the same: put off, it would come when it is known no more.
        """
        now = self._clock()
        since = self._repeats.since(now, is_named=True)

        def judge(tx: Tx) -> Stop | None:
            stop = self._allowance.at_the_door(tx, caps)
            again = stop and repeats.may_be_one(tx, peer.identity, sender, number, since(tx))
            return None if again else stop

        stop = await self._database.read(judge)
        if stop is None:
            return
        await self._database.write(lambda tx: self._allowance.tell_refusal(tx, stop, peer.identity, number, now))
        raise TryLater(f"{stop.why}; try again then, or ask your administrator for more", status="4.7.1")

    def draft(self) -> MailDraft:
        """A place for the mail's data. Raises NoSpace."""
        return self._spool.mail_draft(self._settings.small_mail)

    # --- the durable step -----------------------------------------------------------------------------------------

    async def accept(self, envelope: Envelope, draft: MailDraft) -> str:
        """Make the mail and its jobs durable; returns the queue id for the 250. Takes over the draft.

        Order: a large mail's file synced and named, then the rows, with the content of a small one, then the caller's
        reply. A client that never saw our 250 and sends the same again within ``repeat_window`` gets the same id and causes
        no second fax (RFC 1047); where Message-ID and Date name the mail, for as long as mail servers try. A part of a mail
        (message/partial) is kept until all are here. Raises Refused for what can never become a fax, TryLater on trouble of
        ours; nothing is kept then.
        """
        try:
            with telemetry.rejections(client=envelope.peer.address, sender=envelope.sender):
                if envelope.postmaster:
                    return await self._postmaster.accept(envelope, draft)
                return await self._accept(envelope, draft)
        finally:
            draft.discard()

    async def _accept(self, envelope: Envelope, draft: MailDraft) -> str:
        summary = await self._judged(draft, envelope.peer)
        await self.logins.check(envelope.peer)
        envelope, route = await self.senders.proven(envelope, summary)
        self._spool.check_room()
        if envelope.unnumbered:
            if summary.partial:
                raise Refused(partial.CUT, status="5.6.1")
            recipient = self._addressing.numbered(envelope.unnumbered, route, summary.exact_subject)
            await self._check_number(envelope.peer, envelope.sender, route, recipient.number)
            envelope = replace(envelope, recipients=(recipient,), unnumbered=None)
        if summary.partial:
            return await self._accept_part(envelope, route, summary, draft)
        return await self._keep(envelope, route, summary, draft)

    async def _judged(self, draft: MailDraft, peer: Peer) -> MailSummary:
        """What the mail is. Raises Refused for what can never become a fax."""
        summary = await self._inspect(draft, peer)
        if summary.automatic:
            raise Refused(f"automatic mails are not faxed: {summary.automatic}", status="5.7.1")
        if summary.refusal:
            raise Refused(summary.refusal, status=summary.refusal_status)
        for name, start in summary.starts:
            opened = {sniff.ZIP, *(sniff.OFFICES if self._settings.office else ())}
            if why := sniff.refusal(sniff.sniff_bytes(start.encode("latin-1")), name, opened=opened):
                raise Refused(why, status="5.6.1")
        if summary.partial and not self._divided.taken:
            raise Refused(partial.CUT, status="5.6.1")
        return summary

    async def _accept_part(
        self, envelope: Envelope, route: Route | None, summary: MailSummary, draft: MailDraft
    ) -> str:
        """A part of a mail is kept; with the last one that was missing the whole is accepted, or refused, as any mail."""
        assert summary.partial is not None
        id_, number, total = summary.partial
        file, content, digest = await _kept(draft, summary)
        submission = _submission(envelope, route, summary, file, draft.size, self._clock())
        key = part_key(envelope, id_)
        part = Arrival(key, number, total, digest, submission, content, envelope.recipients)
        try:
            placed = await self._divided.take(part)
            if not isinstance(placed, str):
                placed = await self._accept_whole(envelope, route, part, placed)
                if placed != submission.id:
                    self._remove(file)
                    return placed
        except GatewayError:  # not so when cancelled, as below
            self._remove(file)
            raise
        client = envelope.peer.address
        if placed == submission.id:
            telemetry.part_accepted(
                placed, sender=envelope.sender, client=client, size=draft.size, number=number, total=total
            )
        else:
            self._remove(file)
            telemetry.duplicate(placed, client=client)
        return placed

    async def _accept_whole(self, envelope: Envelope, route: Route | None, part: Arrival, others: Parts) -> str:
        """All parts are here. Raises Refused for what can never become a fax; its parts have ended with that."""
        draft = self.draft()
        try:
            await self._divided.join(others, part, draft)
            summary = await self._judged(draft, envelope.peer)
            return await self._keep(envelope, route, summary, draft, part)
        except Refused as error:
            await self._divided.refuse(part, error.public)
            raise
        finally:
            draft.discard()

    async def _keep(
        self,
        envelope: Envelope,
        route: Route | None,
        summary: MailSummary,
        draft: MailDraft,
        last: Arrival | None = None,
    ) -> str:
        """Make a mail and its jobs durable; returns its id, or that of the same mail that came before.

        ``last`` is the part that made it whole, where it came in parts.
        """
        now = self._clock()
        wanted = [(each, await self._options(each, envelope, summary, route, now)) for each in _once(envelope)]
        file, content, digest = await _kept(draft, summary)
        submission = _submission(envelope, route, summary, file, draft.size, now)
        new_jobs = [_job(submission, n, *each, route) for n, each in enumerate(wanted, 1)]
        key = mail_key(envelope, summary, digest)
        since = self._repeats.since(now, is_named=bool(summary.message_id and summary.date))

        has_others = False

        def commit(tx: Tx) -> str:
            nonlocal has_others
            fresh, earlier, has_others = unseen(tx, key, since(tx), new_jobs)
            if not fresh:
                return earlier
            new_jobs[:] = fresh  # of which alone is told
            jobs.add(tx, submission, fresh, key)
            if content is not None:
                bodies.put(tx, submission.id, content)
            return submission.id

        is_short = len(new_jobs) <= _FEW and (content is None or len(content) <= _SHORT)
        storing = self._divided.settle(last, commit) if last else self._database.write(commit, short=is_short)
        try:
            stored = await storing
        except GatewayError:  # not so when cancelled: then the row may stand, and the sweep judges the file
            self._remove(file)
            raise
        if stored != submission.id:
            self._remove(file)
            if has_others:
                self._repeated_in_part[stored] += 1
            if last is None or stored != last.submission.id:  # else the part began another mail meanwhile
                telemetry.duplicate(stored, client=envelope.peer.address)
            return stored
        telemetry.accepted(
            submission.id,
            sender=envelope.sender,
            client=envelope.peer.address,
            size=submission.size,
            numbers=[job.number.e164 for job in new_jobs],
            message_id=submission.message_id,
        )
        self._on_accepted()
        return submission.id

    async def _options(
        self, recipient: Recipient, envelope: Envelope, summary: MailSummary, route: Route | None, now: float
    ) -> FaxOptions:
        """What is asked for in the address, else in the mail, else by the route. Raises Refused."""
        may_choose(summary.options, route)
        defaults = route.options if route else {}
        options = decide(
            recipient.options, summary.options, defaults, now=now, date=summary.date, most=self._settings.max_delay
        )
        if defaults.get("cover") == ENFORCED and options.cover in (NONE, ON_REQUEST):
            options = replace(options, cover=ENFORCED)
        if self._settings.cover(options.cover):
            name = await self._addressing.addressee(envelope.peer, envelope.sender, recipient)
            options = replace(options, addressee=name)
        return options

    async def _inspect(self, draft: MailDraft, peer: Peer) -> MailSummary:
        """What the mail is. A simple one is read here, in a few hundredths of a second at most."""
        asked: dict[str, Any] = {
            "hops": self._settings.max_hops,
            "hostname": self._settings.hostname,
            "authserv_id": self._settings.authserv_id if self.senders.mail_may_prove(peer) else "",
        }
        if draft.size <= parse.SIMPLE_SIZE:
            summary = parse.summary_of_simple(draft.read(), digesting=draft.is_small, **asked)
            if summary is not None:
                return summary
        try:
            found = await self._reader.run("gateway.mail.parse:inspect", mail=str(draft.spill()), **asked)
        except TryLater as error:
            raise TryLater("the gateway could not look into the mail; try again later", str(error)) from error
        return MailSummary(**found)

    def _remove(self, file: str) -> None:
        if file != bodies.HERE:
            self._spool.remove([file])

    def confirmed(self, queue_id: str) -> None:
        """The client spoke again after our 250, so it has seen it: the same mail again is a new wish."""
        if self._repeated_in_part[queue_id]:  # of some numbers: for the others the mail may come once more
            self._repeated_in_part -= Counter([queue_id])  # another session may be doing so; none is kept at 0
            return
        now = self._clock()
        self._database.write_later(lambda tx: repeats.confirm(tx, queue_id, now))


async def _kept(draft: MailDraft, summary: MailSummary) -> tuple[str, bytes | None, str]:
    """Where the mail is, its content where a row is to hold it, and the digest of its body. Raises as MailDraft.keep."""
    if draft.is_small:
        return bodies.HERE, draft.content, summary.body_sha256
    file = await draft.keep(body=None if summary.body_sha256 else summary.body_at)
    return file, None, summary.body_sha256 or draft.body_sha256


def _submission(
    envelope: Envelope, route: Route | None, summary: MailSummary, file: str, size: int, now: float
) -> Submission:
    peer = envelope.peer
    return Submission(
        id=new_id(now),
        created_at=now,
        mail_file=file,
        size=size,
        sender=envelope.sender,
        identity=peer.identity,
        results_to=(route.results_to if route else "") or envelope.sender,
        client=peer.named,
        subject=summary.subject,
        message_id=summary.message_id,
        date=summary.date,
        envid=envelope.envid,
        ret=envelope.ret,
        address=peer.address,
        route=route.match if route else "",
    )


def _job(submission: Submission, n: int, recipient: Recipient, options: FaxOptions, route: Route | None) -> FaxJob:
    """The ``n``-th fax of a mail."""
    now = submission.created_at
    return FaxJob(
        id=f"{submission.id}-{n}",
        submission=submission.id,
        rcpt=recipient.address,
        number=recipient.number,
        state=JobState.ACCEPTED,
        created_at=now,
        updated_at=now,
        next_at=now,
        tsi=options.tsi or (route.tsi if route else ""),
        options=options,
        orcpt=recipient.orcpt,
        notify=recipient.notify,
    )


def _once(envelope: Envelope) -> list[Recipient]:
    """One fax for a number, however often it is named. Raises Refused where it is named with different options."""
    once: dict[FaxNumber, Recipient] = {}
    for recipient in envelope.recipients:
        check_same(once.setdefault(recipient.number, recipient), recipient)
    return list(once.values())
