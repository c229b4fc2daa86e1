"""Every option: its name, kind, default and meaning. The text under an option is its description in the JSON schema.

Durations are seconds, sizes bytes once read. ``config.example.yaml`` shows the same tree with the same defaults.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    PrivateAttr,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from gateway.config import pem
from gateway.config.kinds import (
    Age,
    Domain,
    Duration,
    DurationOrZero,
    FilePath,
    NotEmpty,
    OneOrMore,
    OptionalPath,
    Region,
    Size,
    address_of,
    host_and_port,
    is_any_port,
    is_local,
    is_loopback,
)
from gateway.config.options_document import Document
from gateway.config.options_http import Http
from gateway.config.options_mail import Mail, Relay
from gateway.config.options_policy import Policy
from gateway.config.options_provider import Provider
from gateway.config.options_smtp import Smtp
from gateway.config.secrets import is_open, surroundings
from gateway.config.sections import Section, complain, section

_SOON = 14 * 86400.0  # seconds
_TRIED = 5 * 86400.0  # seconds for which a mail may come again, as gateway.service.repeats has it


class Retention(Section):
    documents: Age = 7 * 86400.0
    """mails and fax documents, after the fax has ended"""
    inbound: Age = 90 * 86400.0
    """received faxes, after they were mailed"""
    history: Age = 400 * 86400.0
    """what happened to each fax sent; of received ones a line is kept"""
    orphans: Age = 7 * 86400.0
    """files that nothing names, left by a crash or a database that was set back; kept in spool/orphan"""
    uploads: Age = 86400.0
    """documents at the provider that no fax needs, left by a crash; they are looked for as often"""
    purge_every: Duration = 300.0
    """how often is looked for what may go"""


class Admin(Section):
    socket: OptionalPath = None
    """where the command line talks to the daemon; default: STATE_DIR/admin.sock"""


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """debug: each line of every SMTP dialogue and each call of the provider, too, with whole numbers and no password"""
    format: Literal["auto", "console", "json", "journal"] = "auto"


class Config(Section):
    """The whole configuration."""

    state_dir: FilePath = "/var/lib/faxgateway"  # type: ignore[assignment]  # validated into a Path
    """database and spool; must be on a local disk"""
    min_free: Size = 64 << 20
    """with less free disk space nothing new is accepted"""
    domain: Annotated[tuple[Domain, ...], NotEmpty, OneOrMore] = ("fax.local",)
    """mail domains that are ours, one or a list"""
    hostname: Domain | None = None
    """name in the greeting and in Message-IDs; default: the first domain"""
    default_region: Region = "US"
    """country (ISO 3166) that numbers without + are dialled in"""
    stop_timeout: DurationOrZero = 60.0
    """how long a stop waits for a fax that is being handed over"""
    smtp: Smtp = section()
    http: Http = section()
    provider: Provider = section()
    mail: Mail = section()
    policy: Policy = section()
    document: Document = section()
    retention: Retention = section()
    admin: Admin = section()
    log: Log = section()

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("mail")
    @classmethod
    def _no_loop(cls, mail: Mail, info: ValidationInfo) -> Mail:
        """No mail of ours may come back to us, where it would be faxed or bounce for ever."""
        ours = info.data.get("domain", ())
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for name, address in (("sender", mail.sender), ("bounce", mail.bounce), ("fallback", mail.fallback)):
            domain = address_of(address or "").rpartition("@")[2].lower()
            if domain in ours:
                text = f"{address_of(address or '')} lies in the fax domain {domain}, so mails to it would be faxed"
                problems.append(((name,), f"{text}; name a mailbox in another domain"))
        if any(_is_relay(address, mail.relay) for address in surroundings(info).listening):
            text = f"{mail.relay.host}:{mail.relay.port} is this gateway's own listener; name your mail server"
            problems.append((("relay",), text))
        complain(problems)
        return mail

    @field_validator("http")
    @classmethod
    def _one_address_each(cls, http: Http, info: ValidationInfo) -> Http:
        address = http.callbacks.address
        if address in surroundings(info).listening and not is_any_port(address):
            complain([(("callbacks", "address"), f"a listener of smtp has {address} already")])
        return http

    # --- what follows from the options ------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        """Our mail domains, in lower case; at least one."""
        return self.domain

    @property
    def host(self) -> str:
        """Our name in greetings and Message-IDs."""
        return self.hostname or self.domain[0]

    @property
    def bounce_address(self) -> str:
        """Envelope sender of received faxes."""
        return self.mail.bounce or address_of(self.mail.sender)

    @property
    def admin_socket(self) -> Path:
        """Where the command line talks to the daemon."""
        return self.admin.socket or self.state_dir / "admin.sock"

    @property
    def provider_is_local(self) -> bool:
        """The provider is on this machine: a sandbox, nothing leaves."""
        return is_loopback(urlsplit(self.provider.base_url).hostname or "")

    @property
    def test_numbers_allowed(self) -> bool:
        """Whether +999... may be faxed to."""
        return self.policy.test_numbers == "allow" or (self.policy.test_numbers == "auto" and self.provider_is_local)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works but should not stay so, a sentence each; what a clock changes is :meth:`expiring`."""
        useless = [
            f"smtp.listeners[{n}] on {each.address}: passwords are taken under TLS only, so with tls: none nobody outside"
            " this machine can log in; set tls: starttls"
            for n, each in enumerate(self.smtp.listeners)
            if each.auth != "none" and each.tls == "none" and not each.clear_auth and not is_local(each.address)
        ]
        public = [
            f"smtp.listeners[{n}] on {each.address}: this machine believes an authority in client_ca about web pages too; if it"
            " is a public one, whoever has a certificate of it needs no login: an open relay for faxes, at your cost; name"
            " the authority of your own devices"
            for n, each in enumerate(self.smtp.listeners)
            if each.believes_the_web
        ]
        keys = dict.fromkeys(each.key for each in self.smtp.listeners if each.key and is_open(each.key, to_group=False))
        open_keys = [f"others can read the private key in {key}: chmod 640 {key}" for key in keys]
        more = (*self._front_warnings(), *self._relay_warnings(), *self._patience_warnings())
        return (*self._warnings, *useless, *public, *open_keys, *more)

    def _patience_warnings(self) -> list[str]:
        found, doubt = [], self.provider.doubt
        if self.retention.history < _TRIED:
            found.append(
                "retention.history: a mail server that never read our 250 may bring a mail again for 5d; what is forgotten by then"
                " is faxed twice: set 5d or more"
            )
        if doubt.resend and doubt.give_up_after < doubt.min_time:
            found.append(
                "provider.doubt: with give_up_after shorter than min_time no fax ever counts as never sent; each is held for you"
            )
        return found

    def _relay_warnings(self) -> list[str]:
        relay = self.mail.relay
        if not relay.password or relay.tls not in ("none", "opportunistic") or is_loopback(relay.host):
            return []
        return [
            f"mail.relay: with tls: {relay.tls} whoever listens on the way to {relay.host} can read the password; set tls:"
            " starttls or implicit"
        ]

    def _front_warnings(self) -> list[str]:
        front = self.smtp.front
        if not front.authserv_id or self.policy.senders == "routed":
            return []
        if not any(each.takes_without_login(front.networks) for each in self.smtp.listeners):
            return []
        return [
            f"smtp.front: a mail of which {front.authserv_id} does not say who wrote it is faxed too, for its address lies in"
            " networks; if it takes mails from the Internet, set policy.senders: routed"
        ]

    def certificates(self) -> dict[str, float]:
        """The files with certificates of listeners, and until when each is good, where that can be read."""
        files = dict.fromkeys(
            each.certificate for each in self.smtp.listeners if each.certificate and each.tls != "none"
        )
        return {str(file): end for file in files if (end := pem.valid_until(file)) is not None}

    def expiring(self, now: float) -> tuple[str, ...]:
        """The certificates that clients will not take any more, or not for two weeks more, a sentence each."""
        return tuple(
            f"the certificate in {file} {'has expired' if end < now else f'expires on {_day(end)}'}: renew it,"
            " then faxgateway reload"
            for file, end in self.certificates().items()
            if end < now + _SOON
        )

    def masked(self) -> dict[str, Any]:
        """All options as they would be written in YAML: defaults filled in, secrets by their source or as ``***``."""
        return self.model_dump(mode="json")

    @field_serializer("domain")
    def _one_domain_is_a_text(self, domain: tuple[str, ...]) -> str | tuple[str, ...]:
        return domain[0] if len(domain) == 1 else domain


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _is_relay(address: str, relay: Relay) -> bool:
    """Whether a listener is what the relay option names."""
    parts = host_and_port(address)
    if not parts or parts[1] != relay.port:
        return False
    everywhere = parts[0] in ("0.0.0.0", "::", "*")  # noqa: S104  # compared, not bound
    return parts[0] == relay.host or ((everywhere or is_loopback(parts[0])) and is_loopback(relay.host))
