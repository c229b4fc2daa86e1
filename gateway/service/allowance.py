"""May this fax be sent now, at this price? Caps, approval, and senders that do what they never did.

What is decided here is decided in the transaction that begins the send, and what is decided for it is reserved there:
neither many sends at once nor a crash let more through.
"""

from __future__ import annotations

import hashlib
import math
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import structlog

from gateway import limits, policy
from gateway.errors import Refused
from gateway.limits import HOUR, Amounts, AnomalySettings, Capped, CapSettings, Scope
from gateway.model import NEEDS_APPROVAL, FaxJob, FaxNumber, MailKind, Peer, Route, RouteKind, Submission
from gateway.numbers import classify
from gateway.service.ledgertime import LedgerTime, uptime
from gateway.service.notices import Notices, capital
from gateway.store import jobs, outbox, routes, spending, waiting
from gateway.store.db import Tx
from gateway.store.spending import Spender

log = structlog.get_logger("allowance")

_DAY = 86400.0
_SHOWN = 20  # users, numbers... of a cap
_PRICE_AGAIN = 300.0  # seconds after which a price that was not told is asked for again


@dataclass(frozen=True, slots=True)
class AllowanceSettings:
    caps: CapSettings = field(default_factory=CapSettings)
    anomaly: AnomalySettings = field(default_factory=AnomalySettings)
    policy: policy.PolicySettings = field(default_factory=policy.PolicySettings)


class How(StrEnum):
    """What becomes of a fax that may not be sent now."""

    WAITS = "waits"  # it goes by itself, later
    HELD = "held"  # until a person releases it
    STOPS = "stops"  # as HELD, and with it all of its sender
    FAILS = "fails"  # it can never go


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a fax may not be sent now. ``after`` (s) for what waits; ``cap`` where one is the reason.

    ``approver``, an address or "", is told ``about`` the fax what its sender need not be told.
    """

    how: How
    why: str
    after: float = 0.0
    cap: Capped | None = None
    approver: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """A fax with all that is known of it."""

    job: FaxJob
    submission: Submission
    route: Route | None
    spender: Spender
    pages: int


class Allowance:
    """``steady`` is a clock that is never set; see :class:`LedgerTime`."""

    def __init__(
        self,
        notices: Notices,
        settings: AllowanceSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = uptime,
    ) -> None:
        self._notices = notices
        self._settings = settings or AllowanceSettings()
        self._clock = clock
        self._time = LedgerTime(clock, steady)

    def _now(self, tx: Tx) -> float:
        return self._time.now(lambda: spending.noted(tx))

    def note_time(self, tx: Tx) -> None:
        """Keep how late it is, so that no start can be earlier."""
        spending.note_time(tx, self._now(tx), self._time.run)

    # --- at the door ----------------------------------------------------------------------------------------------

    def caps(self, peer: Peer, route: Route | None, number: FaxNumber) -> list[Capped]:
        """The caps that would limit a fax."""
        spender = Spender(peer.identity, peer.address, number.e164, route.match if route else "")
        return limits.caps_of(self._settings.caps, spender.scopes, route.caps if route else ())

    def at_the_door(self, tx: Tx, caps: Sequence[Capped]) -> Stop | None:
        """Why even the smallest fax would only wait: a cap is used up. Reads only.

        A client that is told so and tries again succeeds, and one that cannot tells its user now.
        """
        at, smallest = self._now(tx), Amounts(1, 1, 1)
        for capped in caps:
            if not limits.fits(capped.cap, spending.used(tx, capped, at), smallest):
                why, wait = self._used_up(tx, capped, smallest, at)
                return Stop(How.WAITS, why, wait, capped)
        return None

    def _used_up(self, tx: Tx, capped: Capped, need: Amounts, at: float) -> tuple[str, float]:
        """A sentence with the cap and the minute by which it opens, and the seconds until then."""
        wait = max(1.0, limits.opens_at(capped.cap, spending.slots(tx, capped, at), need) - at)
        opens = datetime.fromtimestamp(math.ceil((self._clock() + wait) / 60) * 60, UTC)
        return f"{capped.text}, and this is used up until {opens:%Y-%m-%d %H:%M} UTC", wait

    # --- before a send --------------------------------------------------------------------------------------------

    def judge(self, tx: Tx, job: FaxJob, price: Decimal | None, *, asked: bool = True) -> Stop | None:
        """Why a fax may not be sent now, None if it may; reads only. ``asked``: whether the price was asked for already.

        What needs a price passes before that.
        """
        try:
            policy.may_dial(job.number, self._settings.policy)
        except Refused as error:  # what may be faxed has changed since the mail was accepted
            return Stop(How.FAILS, error.public)
        case = _case(tx, job)
        at = self._now(tx)
        return (
            (None if job.released else self._of_sender(tx, case, at))
            or (None if job.approved or not asked else self._unapproved(tx, case, price))
            or self._capped(tx, case, price, at, asked=asked)
        )

    def _of_sender(self, tx: Tx, case: _Case, at: float) -> Stop | None:
        identity, settings = case.spender.identity, self._settings.anomaly
        if spending.stopped(tx, identity):
            return Stop(How.STOPS, f"the faxes of {identity} are held until a person has looked at them")
        if not settings.watches(identity):
            return None
        since = max(at - HOUR, spending.released_at(tx, identity))
        is_new = not spending.knows_number(tx, identity, case.spender.destination)
        why = limits.unusual(
            settings,
            faxes=spending.faxes_since(tx, identity, since) + 1,
            busiest=spending.busiest_hour(tx, identity, at - _DAY),  # or a thief would be used to more each hour
            new_numbers=spending.new_numbers(tx, identity, since) + is_new,
        )
        return Stop(How.STOPS, f"unusual for {identity}: {why}") if why else None

    def _unapproved(self, tx: Tx, case: _Case, price: Decimal | None) -> Stop | None:
        if case.route is None:
            return None
        rule, facts = case.route.approval, classify(case.job.number)
        is_new = not spending.knows_country(tx, case.spender.identity, _country(case.job.number))
        why = limits.must_be_approved(rule, new_place=facts.place if is_new else "", pages=case.pages, price=price)
        if not why:
            return None
        told = "not known" if price is None else limits.shown_money(limits.units(price))
        about = f"It comes from {case.spender.identity}. Pages: {case.pages}, price: {told}."
        return Stop(How.HELD, f"{NEEDS_APPROVAL}: {why}", approver=rule.approver, about=about)

    def _capped(self, tx: Tx, case: _Case, price: Decimal | None, at: float, *, asked: bool) -> Stop | None:
        caps = limits.caps_of(self._settings.caps, case.spender.scopes, case.route.caps if case.route else ())
        money = self._money(case, price)
        if asked and money is None and any(capped.cap.unit == "money" for capped in caps):
            why = "its price is not known, and what may be spent is limited"
            return Stop(How.WAITS, why, _PRICE_AGAIN)
        need = Amounts(1, case.pages, money or 0)
        stops = []
        for capped in caps:
            if limits.never_fits(capped.cap, need):
                has = (
                    f"costs {limits.shown_money(need.money)}"
                    if capped.cap.unit == "money"
                    else f"has {case.pages} pages"
                )
                return Stop(How.FAILS, f"{capped.text}, and this fax alone {has}", cap=capped)
            if not limits.fits(capped.cap, spending.used(tx, capped, at), need):
                why, wait = self._used_up(tx, capped, need, at)
                stops.append(Stop(How.WAITS, why, wait, capped))
        return max(stops, key=lambda stop: stop.after, default=None)

    def _money(self, case: _Case, price: Decimal | None) -> int | None:
        """What the send is counted as, in millionths; None when that cannot be said."""
        if price is not None:
            return limits.units(price)
        bound = self._settings.caps.page_price
        return None if bound is None else limits.units(bound * case.pages)

    # --- for people -----------------------------------------------------------------------------------------------

    def usage(self, tx: Tx) -> list[tuple[Capped, int]]:
        """What is used of each cap, by those who have used most of it."""
        at, found = self._now(tx), []
        for scope, caps in self._settings.caps.caps.items():
            for cap in caps:
                who = [("", spending.used(tx, Capped(scope, "", cap), at))] if scope is Scope.TOTAL else []
                who += spending.spenders(tx, scope, cap, at, _SHOWN) if scope is not Scope.TOTAL else []
                found += [(Capped(scope, name, cap), amounts.of(cap.unit)) for name, amounts in who]
        for route in routes.listing(tx, RouteKind.SENDER):
            of_route = [Capped(Scope.ROUTE, route.match, cap) for cap in route.caps]
            found += [(capped, spending.used(tx, capped, at).of(capped.cap.unit)) for capped in of_route]
        return found

    # --- what follows, in the same transaction --------------------------------------------------------------------

    def reserve(self, tx: Tx, job: FaxJob, n: int, price: Decimal | None) -> None:
        """Count attempt ``n``."""
        case = _case(tx, job)
        money = self._money(case, price) or 0
        _count(tx, case, n, self._now(tx), money)

    def tell(self, tx: Tx, job: FaxJob, stop: Stop, now: float) -> None:
        """A cap makes faxes wait: the operator hears of it once a day, and so does each sender."""
        if stop.cap is None:
            return
        submission = jobs.submission_of(tx, job)
        key = self._tell_operator(
            tx, stop.cap, now,
            title="A limit is used up: faxes wait",
            text=f"The fax {job.id} of {submission.identity} to {job.number}, and perhaps others, wait: {stop.why}."
            " They go out by themselves when there is room again.",
            more=" To end them: faxgateway queue cancel.",
        )  # fmt: skip
        if spending.tell_once(tx, f"cap.{submission.results_to}.{key}", now) and waiting.told(tx, job, now):
            text = f"{stop.why}. Other faxes of yours may wait for the same reason"
            mail = self._notices.result(
                MailKind.DELAYED, job, submission, now, code="waiting", text=text, status="4.7.1"
            )
            outbox.add(tx, mail)

    def tell_refusal(self, tx: Tx, stop: Stop, identity: str, number: FaxNumber, now: float) -> None:
        """A cap is used up and all is refused at the door, so that nothing waits: the operator hears of it once a day."""
        if stop.cap is not None:
            self._tell_operator(
                tx, stop.cap, now,
                title="A limit is used up: faxes are refused",
                text=f"A fax of {identity} to {number} was refused while its mail was handed over, and so are others:"
                f" {stop.why}. Mail servers go on trying for some days; people read when there is room again.",
            )  # fmt: skip

    def _tell_operator(self, tx: Tx, capped: Capped, now: float, *, title: str, text: str, more: str = "") -> str:
        """Once a day for each cap; returns what tells cap and day from others."""
        key = f"{capped.scope}.{_token(f'{capped.who} {capped.cap}')}.{int(now // _DAY)}"
        remedy = f"See faxgateway limits. To let them go sooner, raise the limit: {_where(capped)}.{more}"
        outbox.add(tx, self._notices.operator(f"cap.{key}", now, title=title, text=text, remedy=remedy))
        return key

    def stop_sender(self, tx: Tx, job: FaxJob, stop: Stop, now: float) -> list[FaxJob]:
        """Hold all that a sender has waiting, and what he sends from now on; the operator is told. Returns what is held.

        When he was stopped before, only this one is held, and nobody told.
        """
        submission = jobs.submission_of(tx, job)
        identity = submission.identity
        if spending.stopped(tx, identity):
            return [job] if jobs.hold(tx, job, now, stop.why) else []
        spending.stop(tx, identity, now, stop.why)
        held = [each for each in waiting.of_identity(tx, identity) if jobs.hold(tx, each, now, stop.why)]
        numbers = sorted({each.number.e164 for each in held})
        those = "1 fax that was not sent yet is" if len(held) == 1 else f"{len(held)} faxes that were not sent yet are"
        who = shlex.quote(identity)
        outbox.add(
            tx,
            self._notices.operator(
                f"unusual.{_token(identity)}.{int(now)}", now,
                title=f"The faxes of {identity} are held: unusual use",
                text=f"{capital(stop.why)}. {those} held, to {', '.join(numbers[:10])}"
                f"{f' and {len(numbers) - 10} more numbers' if len(numbers) > 10 else ''}; the last mail came from"
                f" {submission.client}, in the name of {submission.sender}. Mails of {identity} are still accepted, and"
                " their faxes held.",
                remedy=f"If this is as it should be: faxgateway queue release --sender {who}. If not, change the password or"
                f" deny the sender with a route, then end the faxes: faxgateway queue cancel --sender {who}; new ones are"
                f" held until you let the sender go again: faxgateway queue release --sender {who}.",
            ),
        )  # fmt: skip
        log.warning("a sender is stopped", identity=identity, why=stop.why, held=len(held))
        return held


def count_found(tx: Tx, job: FaxJob, n: int) -> None:
    """Attempt ``n`` was made and is found only now, so that nothing was reserved for it."""
    _count(tx, _case(tx, job), n, spending.latest(tx), limits.units(job.cost or Decimal(0)))


def _case(tx: Tx, job: FaxJob) -> _Case:
    submission = jobs.submission_of(tx, job)
    assert job.document is not None
    route = routes.sender(tx, submission.route) if submission.route else None
    spender = Spender(submission.identity, submission.address, job.number.e164, submission.route)
    return _Case(job, submission, route, spender, job.document.pages)


def _count(tx: Tx, case: _Case, n: int, at: float, money: int) -> None:
    job = case.job
    spending.reserve(
        tx, case.spender, job.id, n, at,
        pages=case.pages, money=money, country=_country(job.number), released=job.released,
    )  # fmt: skip


def _country(number: FaxNumber) -> str:
    """A country, or the code of what is none."""
    facts = classify(number)
    return facts.region or facts.prefix


def _token(text: str) -> str:
    """Something to tell keys apart by that fits into a Message-ID, whatever people are called."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _where(capped: Capped) -> str:
    """Where a cap is set."""
    if capped.scope is not Scope.ROUTE:
        return f"policy.caps.{capped.scope} (and restart)"
    return (
        f"policy.caps.route (and restart) or that of the route: faxgateway route add sender {shlex.quote(capped.who)} --cap"
        " ... with all its other options, as it replaces the route"
    )
