"""Mail for the postmaster goes to a person and never to a fax machine (RFC 5321 section 4.5.1)."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from gateway.errors import GatewayError, Refused, TryLater
from gateway.mail.automatic import LOOP_HEADER
from gateway.model import Envelope, Peer, Submission
from gateway.service.notices import Notices
from gateway.spool import MailDraft, Spool
from gateway.store import jobs, outbox
from gateway.store.db import Database, Tx
from gateway.store.ids import new_id

_HEADER = 256 << 10  # bytes of a mail in which its header is looked for
_HOPS = 50
_STRANGERS = 20  # mails an hour of clients that have proven nothing
_AN_HOUR = 3600.0
_OURS = re.compile(rb"^%s[ \t]*:" % LOOP_HEADER.encode(), re.IGNORECASE | re.MULTILINE)
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Postmaster:
    """``domains`` are ours; what comes is kept and mailed as a whole to the fallback mailbox."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        notices: Notices,
        domains: tuple[str, ...],
        *,
        on_mail: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._spool = spool
        self._notices = notices
        self._domains = {domain.lower() for domain in domains}
        self._on_mail = on_mail
        self._clock = clock
        self._strangers: deque[float] = deque(maxlen=_STRANGERS)

    def is_meant(self, address: str) -> bool:
        """Whether this is the postmaster, alone or at a domain of ours, in any case."""
        local, _, domain = address.lower().partition("@")
        return local in ("postmaster", '"postmaster"') and (not domain or domain.rstrip(".") in self._domains)

    async def accept(self, envelope: Envelope, draft: MailDraft) -> str:
        """Make the mail durable, with the row that sends it on; returns the queue id for the 250.

        A submission without faxes. Raises Refused for a mail that goes round, TryLater on trouble of ours.
        """
        with draft.spill().open("rb") as stream:
            header = stream.read(_HEADER).partition(b"\r\n\r\n")[0]
        if _OURS.search(header) or len(_RECEIVED.findall(header)) > _HOPS:
            raise Refused("this mail goes round in a loop: it was here before", status="5.4.6")
        self._spool.check_room()
        self._count(envelope.peer)
        now = self._clock()
        size = draft.size
        file = await draft.keep()
        peer = envelope.peer
        submission = Submission(
            id=new_id(now),
            created_at=now,
            mail_file=file,
            size=size,
            sender=envelope.sender,
            identity=peer.identity,
            results_to="",
            client=peer.named,
        )
        mail = self._notices.for_postmaster(submission, envelope.postmaster, now)

        def commit(tx: Tx) -> None:
            jobs.add(tx, submission, [], submission.id)
            outbox.add(tx, mail)

        try:
            await self._database.write(commit)
        except GatewayError:  # not so when cancelled: then the row may stand, and the sweep judges the file
            self._spool.remove([file])
            raise
        self._on_mail()
        return submission.id

    def _count(self, peer: Peer) -> None:
        """Raise TryLater once strangers have written much: results wait behind their mails, and the disk is for faxes."""
        if peer.proofs:
            return
        now, latest = time.monotonic(), self._strangers
        if len(latest) == _STRANGERS and now - latest[0] < _AN_HOUR:
            raise TryLater("the postmaster has had much mail from strangers; try again in an hour", status="4.3.2")
        latest.append(now)
