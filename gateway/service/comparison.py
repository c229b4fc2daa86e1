"""What the provider shows, compared with what the database knows of sends: was a fax sent that it believes unsent?

Pure decisions over facts. Where something speaks for a send that cannot be told for certain, the fax may have been sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from gateway.model import FaxJob, JobState
from gateway.ports import HistoryEntry, StoredFile
from gateway.service import leftovers
from gateway.service.history import SHORTEST, is_alike

_DAY = 86400.0  # seconds by which the provider's dates may be wrong, time zones and all


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows of what is shown: sends, and the documents of jobs, by the provider's ids, with the newest
    send of all; how many uploads a job has made.

    ``compared`` is the provider's newest fax of an earlier comparison; ``accepted_at`` the time of the newest mail that it
    knows of, or that a document showed in an earlier comparison.
    """

    sends: Set[int] = frozenset()
    documents: Mapping[int, str] = field(default_factory=dict)
    uploads: Mapping[str, int] = field(default_factory=dict)
    compared: int = 0
    accepted_at: float = 0.0

    @property
    def newest(self) -> int:
        """The provider's newest fax that it knows of."""
        return max(self.sends, default=0)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the provider shows: faxes, and documents where it could be asked for them."""

    faxes: Sequence[HistoryEntry]
    files: Sequence[StoredFile] | None = None

    @property
    def newest(self) -> int:
        """The id of the newest fax."""
        return max((fax.provider_ref for fax in self.faxes), default=0)

    @property
    def uploads(self) -> list[tuple[StoredFile, leftovers.Named]]:
        """Documents that are named as we name ours."""
        return [(file, named) for file in self.files or () if (named := leftovers.named(file.name)) is not None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one job: ``sent`` are sends of it that are not known, for certain, the first first; ``maybe`` is why it may
    have been sent, "" when nothing speaks for that.
    """

    sent: tuple[HistoryEntry, ...] = ()
    maybe: str = ""


class Comparison:
    """One look at the provider against one state of the database; ``now`` by our clock."""

    def __init__(self, known: Known, shown: Shown, now: float) -> None:
        self._known = known
        self._shown = shown
        self._now = now
        self._owners = {file.document_ref: named.job for file, named in shown.uploads} | dict(known.documents)
        self._strangers = [fax for fax in shown.faxes if fax.provider_ref not in known.sends]
        self._ending: dict[str, list[HistoryEntry]] = {}  # numbers end alike, however they are written
        for fax in sorted(self._strangers, key=lambda fax: fax.provider_ref):
            self._ending.setdefault(fax.recipient[-SHORTEST:], []).append(fax)

    @property
    def newer(self) -> int:
        """How many faxes are newer than all that is known, and of no document that is."""
        since = max(self._known.newest, self._known.compared)
        return sum(fax.provider_ref > since and fax.document_ref not in self._owners for fax in self._strangers)

    def judge(self, job: FaxJob) -> Judgement:
        """Whether a job was sent, as far as is shown."""
        ours = self._sends_of(job)
        if ours and job.state in (JobState.ACCEPTED, JobState.IN_DOUBT):
            return Judgement(maybe=f"the provider's history shows it as fax {_refs(ours)}")
        if ours:
            return Judgement(tuple(ours))
        if astray := self._astray(job):
            return Judgement(maybe=f"the provider's history shows its document as sent to {astray.recipient}")
        if others := self._may_be(job):
            return Judgement(
                maybe=f"the provider's history shows fax {_refs(others)} to this number, of which the gateway has no record"
            )
        if job.state in (JobState.UPLOADED, JobState.IN_DOUBT) and self._is_gone(job):
            return Judgement(maybe="the provider no longer has its document, which is deleted when a fax has ended")
        return Judgement()

    def is_old(self, jobs: Iterable[FaxJob]) -> str:
        """Why the database must be older than what the provider shows; "" when nothing tells so."""
        for job in jobs:
            if sent := self._sends_of(job):
                return f"the provider's history shows fax {job.id} as sent, {_refs(sent)}"
            if astray := self._astray(job):
                return f"the provider's history shows the document of fax {job.id} as sent, {astray.provider_ref}"
            if newer := [fax for fax in self._may_be(job) if fax.provider_ref > self._known.newest]:
                return f"the provider's history shows fax {_refs(newer)}, of which there is no record, to {job.number}"
        for _, named in self._shown.uploads:
            uploads = self._known.uploads.get(named.job)
            if uploads is not None and named.n > uploads:
                return f"the provider has upload {named.n} of fax {named.job}, of which there is no record"
            if uploads is None and self._known.accepted_at < named.accepted_at <= self._now:
                return f"the provider has a document of fax {named.job}, of which there is no record"
        return ""

    def _sends_of(self, job: FaxJob) -> list[HistoryEntry]:
        """Sends of a job, for certain, that are not known; not those that doubt.py finds by itself."""
        digits = job.number.digits
        ours = [
            fax for fax in self._near(job) if fax.recipient == digits and self._owners.get(fax.document_ref) == job.id
        ]
        if job.state is JobState.IN_DOUBT and any(fax.document_ref == job.document_ref for fax in ours):
            return []
        return ours

    def _near(self, job: FaxJob) -> Sequence[HistoryEntry]:
        """Faxes that are not known to numbers that end as the job's does, the first first."""
        return self._ending.get(job.number.digits[-SHORTEST:], ())

    def _astray(self, job: FaxJob) -> HistoryEntry | None:
        """A send of its document that is not known, by its number written in another way."""
        return next(
            (
                fax
                for fax in self._near(job)
                if self._owners.get(fax.document_ref) == job.id and is_alike(fax.recipient, job.number.digits)
            ),
            None,
        )

    def _may_be(self, job: FaxJob) -> list[HistoryEntry]:
        """Faxes that may be the job's by all that is known of both."""
        return [
            fax
            for fax in self._near(job)
            if (fax.recipient == job.number.digits or is_alike(fax.recipient, job.number.digits))
            and fax.document_ref not in self._owners
            and fax.provider_ref > self._known.compared
            and not self._is_before(fax, job)
        ]

    def _is_before(self, fax: HistoryEntry, job: FaxJob) -> bool:
        """Whether a fax was sent before the job was accepted, which only a right clock can tell."""
        return job.created_at <= self._now and fax.created_at is not None and fax.created_at < job.created_at - _DAY

    def _is_gone(self, job: FaxJob) -> bool:
        """Whether the provider shows neither its document nor a fax of that."""
        shown = [file.document_ref for file in self._shown.files or ()] + [fax.document_ref for fax in self._near(job)]
        return self._shown.files is not None and job.document_ref not in shown


def _refs(faxes: Sequence[HistoryEntry]) -> str:
    return ", ".join(str(fax.provider_ref) for fax in faxes)
