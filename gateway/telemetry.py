"""Log set-up, one function per event in a fax's life, metrics, redaction.

The format of what operators read lives here: each event is one log line with the queue id and one counter.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from gateway.errors import GatewayError
from gateway.logstream import LogStream
from gateway.model import JobState

log = structlog.get_logger("fax")

_SECRET = re.compile(r"(api_key=|/callback/|password=|token=|postd(?:=|\+3d))[^\s&/'\"]+", re.IGNORECASE)
_NUMBER = re.compile(r"\+\d{8,15}")
_ODD = frozenset(" \t=\r\n\"'")  # what a value is quoted for
_is_verbose = False
_LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # sd-daemon(3) prefixes


def redact(text: str) -> str:
    """``text`` without the values of keys, tokens, passwords and PINs that URLs, addresses and messages may hold."""
    return _SECRET.sub(r"\1***", text) if "=" in text or "/callback/" in text.lower() else text


def mask(number: str) -> str:
    """A number for the log: enough to recognise, not enough to dial."""
    return number if len(number) < 9 else f"{number[:-7]}***{number[-4:]}"


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _harmless(redact(value))
    return event


def _harmless(text: str) -> str:
    """``text`` without what a terminal obeys: strangers choose words of the log."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _journal_prefix(_logger: Any, method: str, event: str) -> str:
    return "\n".join(f"<{_LEVELS.get(method, 6)}>{line}" for line in event.splitlines())


def _plain_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """What structlog's ConsoleRenderer makes without colours, in a fifth of the time: each mail has a line."""
    trace = event.pop("exception", None)
    head = [str(event.pop("timestamp"))] if "timestamp" in event else []
    head += [f"[{event.pop('level', ''):<9}]", str(event.pop("event", ""))]
    line = " ".join(head + [f"{key}={_shown(event[key])}" for key in sorted(event)]).rstrip(" ")
    return line if trace is None else f"{line}\n{trace}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and _ODD.isdisjoint(value) else repr(value)


def set_up_logging(level: str, form: str) -> None:
    """``form`` is auto, console, json or journal; auto is journal where systemd's journal reads it, else console."""
    global _is_verbose  # noqa: PLW0603  # asked for each line of a client: the logger itself takes too long to say no
    _is_verbose = level == "debug"
    stream = LogStream(sys.stderr)
    if form == "auto":
        form = "journal" if stream.is_journal else "console"

    def tell_what_is_lost(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**event, "lost_lines": stream.lost} if stream.lost else event

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        tell_what_is_lost,
    ]
    if form == "json":
        processors.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    elif form == "console":
        day = "" if sys.stderr.isatty() else "%Y-%m-%d "  # a file is read tomorrow, too
        processors.append(structlog.processors.TimeStamper(fmt=f"{day}%H:%M:%S", utc=False))
    # tracebacks as text: redacted like all else, and without the values of variables, which may be passwords
    processors += [structlog.processors.format_exc_info, _redact_event]
    if form == "json":
        processors.append(structlog.processors.JSONRenderer())
    else:
        colours = form == "console" and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        processors.append(structlog.dev.ConsoleRenderer(colors=True, pad_event_to=0) if colours else _plain_line)
        if form == "journal":
            processors.append(_journal_prefix)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),  # type: ignore[arg-type]  # which writes and flushes only
        cache_logger_on_first_use=False,
    )
    of_libraries = logging.StreamHandler(stream)
    of_libraries.setFormatter(_RedactingFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[of_libraries])


class _RedactingFormatter(logging.Formatter):
    """An exception that nobody has caught, as asyncio tells it, may hold an address of the provider with the key in it."""

    def format(self, record: logging.LogRecord) -> str:
        return _harmless(redact(super().format(record)))


# --- metrics ----------------------------------------------------------------------------------------------------------

registry = CollectorRegistry()
# a second series beside each would tell what faxgateway_start_time_seconds tells
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no type for it


def _counter(name: str, text: str, *labels: str, values: tuple[str, ...] = ()) -> Counter:
    """``values``, of the only label, are shown from the start: a series that begins at 1 has no increase to alarm at."""
    counter = Counter(f"faxgateway_{name}", text, labels, registry=registry)
    for value in values:
        counter.labels(value)
    return counter


_accepted = _counter("mails_accepted", "Mails accepted")
_rejected = _counter("mails_rejected", "Mails and recipients refused", "status")
_logins = _counter(
    "logins", "Logins tried at the SMTP door", "result", values=("good", "wrong", "repeated", "throttled")
)
_pages = _counter("pages_prepared", "Fax pages prepared")
_submits = _counter(
    "submits",
    "Sends to the provider by outcome",
    "outcome",
    values=("sent", "not_sent", "not_now", "unknown", "found", "absent"),
)
_results = _counter("faxes_ended", "Faxes that reached a final state", "state", "code")
_held = _counter("faxes_held", "Faxes held for a person")
_received = _counter("faxes_received", "Faxes received", "source", values=("callback", "fetch"))
_receipts = _counter("receipts", "Receipts by callback", "known", values=("yes", "no"))
_mails = _counter("mails_out", "Tries to hand a mail to the smarthost", "result", values=("sent", "deferred", "dead"))
_provider = _counter(
    "provider_errors", "Times that sending stopped by the provider's word", "kind", values=("key-refused", "no-credit")
)
_seconds = Histogram(
    "faxgateway_fax_seconds", "From acceptance to the final state", registry=registry, buckets=(10, 60, 300, 1800, 7200)
)
_started = Gauge("faxgateway_start_time_seconds", "When the daemon started", registry=registry)
_queue = Gauge("faxgateway_jobs", "Open jobs by state", ("state",), registry=registry)
_outbox = Gauge("faxgateway_outbox", "Mails waiting or given up", ("state",), registry=registry)
_balance = Gauge("faxgateway_provider_balance", "Balance at the provider", registry=registry)
_balance.set(math.nan)  # not told yet, which is neither rich nor poor
_failing = Gauge(
    "faxgateway_provider_failing_seconds", "For how long every call to the provider has failed", registry=registry
)
_certificates = Gauge(
    "faxgateway_certificate_expires_seconds", "Until when a certificate in use is good", ("file",), registry=registry
)


def render_metrics() -> bytes:
    """The Prometheus text format."""
    return generate_latest(registry)


def started() -> None:
    _started.set(time.time())


def queue_sizes(jobs: dict[str, int], outbox: dict[str, int]) -> None:
    """Set the gauges from fresh counts: a state without a job is 0, for without a series there is nothing to compare."""
    for state in (*(state for state in JobState if not state.terminal), "held"):
        _queue.labels(state).set(jobs.get(state, 0))
    for state, count in outbox.items():
        _outbox.labels(state).set(count)


def balance(value: float) -> None:
    _balance.set(value)


def provider_failing(seconds: float) -> None:
    _failing.set(seconds)


def certificates(ends: Mapping[str, float]) -> None:
    """Those in use, by their files, with the ends of their validity."""
    _certificates.clear()
    for file, end in ends.items():
        _certificates.labels(file).set(end)


# --- events -----------------------------------------------------------------------------------------------------------

_listeners: list[Callable[[str, dict[str, Any]], None]] = []


def listen(listener: Callable[[str, dict[str, Any]], None]) -> None:
    """Have ``listener(event, facts)`` called for every event below, such as by the demo, which then looks again."""
    _listeners.append(listener)


def unlisten(listener: Callable[[str, dict[str, Any]], None]) -> None:
    _listeners.remove(listener)


def _tell(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    for listener in _listeners:
        listener(event, facts)
    if "number" in facts:
        facts["number"] = mask(str(facts["number"]))
    if "why" in facts and event != "rejected":
        facts["why"] = _NUMBER.sub(lambda found: mask(found.group()), facts["why"])
    log.log(level, event, **{name: value for name, value in facts.items() if value not in (None, "")})


def accepted(submission: str, *, sender: str, client: str, size: int, numbers: list[str], message_id: str = "") -> None:
    _accepted.inc()
    _tell("accepted", id=submission, sender=sender, client=client, size=size, nrcpt=len(numbers), message_id=message_id)


def part_accepted(submission: str, *, sender: str, client: str, size: int, number: int, total: int) -> None:
    """A mail that is one part of a larger one; the whole is accepted when all are there."""
    _tell("part accepted", id=submission, sender=sender, client=client, size=size, part=number, of=total or None)


def divided_given_up(part: str) -> None:
    """A mail whose parts did not all come in time; ``part`` is the id of the first that did."""
    _tell("divided mail given up", id=part)


def duplicate(submission: str, *, client: str) -> None:
    _tell("duplicate suppressed", id=submission, client=client)


def rejected(status: str, *, client: str, why: str, sender: str = "") -> None:
    """``sender`` is the one of the envelope, where it is known and could be read."""
    _rejected.labels(status).inc()
    _tell("rejected", status=status, client=client, sender=sender, why=why)


@contextmanager
def rejections(*, client: str, sender: str = "") -> Iterator[None]:
    """Whatever is refused within is told as :func:`rejected`."""
    try:
        yield
    except GatewayError as error:
        rejected(error.status, client=client, sender=sender, why=error.public)
        raise


def login(result: str, *, client: str) -> None:
    """``result`` is good, wrong, repeated (the same wrong password) or throttled; all but the first read "login failed".

    The words and ``client=`` are what docs/senders.md gives to fail2ban.
    """
    _logins.labels(result).inc()
    if result != "good":
        _tell("login failed", client=client, why=result)


def prepared(job: str, *, pages: int, size: int, seconds: float) -> None:
    _pages.inc(pages)
    _tell("prepared", id=job, pages=pages, size=size, line_seconds=round(seconds))


def uploaded(job: str, *, document_ref: int) -> None:
    _tell("uploaded", id=job, document=document_ref)


def submit_ended(job: str, *, number: str, outcome: str, provider_ref: int | None = None, why: str = "") -> None:
    _submits.labels(outcome).inc()
    _tell("submitted" if outcome == "sent" else f"submit: {outcome}", id=job, number=number, fax=provider_ref, why=why)


def retry(job: str, *, step: str, wait: float, why: str) -> None:
    _tell("waiting", id=job, step=step, wait=round(wait, 1), why=why)


def disk_trouble(job: str, *, why: str) -> None:
    """A file of a fax that cannot be read or written: it is tried again, but a person should see to the disk."""
    _tell("the gateway has trouble with its disk", level=logging.WARNING, id=job, why=why)


def held(job: str, *, why: str) -> None:
    _held.inc()
    _tell("held", level=logging.WARNING, id=job, why=why)


def ended(job: str, *, number: str, state: str, code: str, took: float, why: str = "") -> None:
    """``took``: seconds since it was accepted."""
    _results.labels(state, code).inc()
    _seconds.observe(took)
    _tell(state, id=job, number=number, code=code, why=why, delay=round(took, 1))


def receipt(provider_ref: int, *, job: str | None, code: str, fresh: bool) -> None:
    _receipts.labels("yes" if job else "no").inc()
    _tell("receipt", fax=provider_ref, id=job, code=code, repeated=None if fresh else "yes")


def received(fax: str, *, source: str, did: str, pages: int | None, size: int, mailboxes: int) -> None:
    _received.labels(source).inc()
    _tell("received", id=fax, source=source, did=mask(did), pages=pages, size=size, mailboxes=mailboxes)


def announced(fax: str, *, did: str, pages: int | None) -> None:
    """A callback without the document: the fax is :func:`received` once that was fetched."""
    _tell("received without its document", id=fax, did=mask(did), pages=pages)


def received_again(fax: str, *, source: str) -> None:
    _tell("received again", id=fax, source=source)


def mail(mail_id: str, *, kind: str, cause: str, to: str, result: str, why: str = "") -> None:
    _mails.labels(result).inc()
    level = logging.WARNING if result == "dead" else logging.INFO
    _tell(f"mail {result}", level=level, id=mail_id, kind=kind, cause=cause, to=to, why=why)


def smtp(client: str, *, command: str = "", reply: str = "") -> None:
    """A line of the dialogue, for the level debug alone; numbers are whole in it, passwords must not be."""
    if _is_verbose:
        _tell("smtp", level=logging.DEBUG, client=client, command=command, reply=reply.replace("\r\n", " / "))


def asked(method: str, path: str, *, status: int, size: int) -> None:
    """An answer of the provider, of ``size`` bytes, for the level debug alone."""
    if _is_verbose:
        _tell("provider asked", level=logging.DEBUG, method=method, path=path, status=status, size=size)


def provider_trouble(kind: str, why: str) -> None:
    _provider.labels(kind).inc()
    _tell("provider trouble", level=logging.ERROR, kind=kind, why=why)
