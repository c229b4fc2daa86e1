"""Every option: its name, kind, default and meaning. The text under an option is its description in the JSON schema.

Durations are seconds, sizes bytes once read. ``config.example.yaml`` shows the same tree with the same defaults.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    PrivateAttr,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.config.kinds import (
    BaseUrl,
    Domain,
    Duration,
    DurationOrZero,
    FilePath,
    ListenAddress,
    MailAddress,
    Mailbox,
    Network,
    NotEmpty,
    NumberPrefix,
    OneOrMore,
    OptionalPath,
    Region,
    Size,
    TimeZone,
    address_of,
    host_and_port,
    is_everybody,
    is_local,
    is_loopback,
)
from gateway.config.secrets import OptionalSecret, Secret, SecretOption, surroundings
from gateway.model import NumberClass

_TOKEN_LENGTH = 22  # characters of a 64-letter alphabet that hold 128 bits
_TOKEN_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 unreserved

Problems = Sequence[tuple[tuple[str | int, ...], str]]


def _complain(problems: Problems) -> None:
    """Raise what the loader turns into one problem for each (place below this option, sentence)."""
    if problems:
        text = "; ".join(sentence for _place, sentence in problems)
        raise PydanticCustomError("problems", "{text}", {"text": text, "problems": tuple(problems)})


def _section() -> Any:
    """An absent section has all its defaults."""
    return Field(default_factory=dict, validate_default=True)


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # one build of the whole when it is first read, for a quick start of the command line
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        """A section whose lines are all commented out."""
        return {} if data is None else data


# --- smtp -------------------------------------------------------------------------------------------------------------


class Listener(Section):
    address: ListenAddress = "127.0.0.1:2525"
    """HOST:PORT, unix:/PATH, or fd:NAME for a socket that systemd passes on"""
    networks: Annotated[tuple[Network, ...], OneOrMore] = ("127.0.0.0/8",)
    """clients that may send without logging in"""
    tls: Literal["none", "starttls", "implicit"] = "none"
    auth: Literal["none", "optional", "required"] = "none"
    """logging in with the name and password of a user (faxgateway user add)"""
    certificate: OptionalPath = None
    """PEM file with the certificate chain, for starttls and implicit"""
    key: OptionalPath = None
    """PEM file with the private key"""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        _complain([*self._door_problems(), *self._tls_problems()])
        return self

    def _door_problems(self) -> Problems:
        if self.auth == "none" and not self.networks and not self.address.startswith("unix:"):
            return [
                (("networks",), "is empty and auth is none: nobody could send; name networks or set auth: required")
            ]
        if self.auth != "required" and is_everybody(self.networks):
            text = (
                "covers the whole Internet, and those clients need no login: an open relay for faxes, at your cost;"
                " name your own networks or set auth: required"
            )
            return [(("networks",), text)]
        return []

    def _tls_problems(self) -> Problems:
        if self.tls == "none":
            return []
        problems = []
        for name, path in (("certificate", self.certificate), ("key", self.key)):
            if path is None:
                problems.append(((name,), f"is needed for tls: {self.tls}, the path of a PEM file"))
            elif not path.is_file():
                problems.append(((name,), f"there is no file {path}"))
        if not problems:
            assert self.certificate is not None, "checked above"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            except (ssl.SSLError, OSError) as error:
                why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror or error
                problems.append((("certificate",), f"does not load together with the key ({why})"))
        return problems


class Smtp(Section):
    listeners: Annotated[tuple[Listener, ...], NotEmpty] = Field(default_factory=lambda: ({},), validate_default=True)
    max_message: Size = 50_000_000
    """largest mail taken"""
    max_recipients: PositiveInt = 100
    """per mail"""
    command_timeout: Duration = 300.0
    """longest silence between commands"""
    data_timeout: Duration = 180.0
    """longest silence while a mail comes in"""
    max_connections: PositiveInt = 200
    max_connections_per_client: PositiveInt = 50
    max_errors: PositiveInt = 20
    """wrong commands in a session before it is closed"""
    repeat_window: DurationOrZero = 1800.0
    """the same mail again, from a client that may not have read our answer to the first, is the first one for so long"""

    @field_validator("listeners")
    @classmethod
    def _listeners_differ(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        problems = []
        for n, listener in enumerate(listeners):
            parts = host_and_port(listener.address)
            if listener.address in {other.address for other in listeners[:n]} and not (parts and parts[1] == 0):
                problems.append(((n, "address"), f"another listener has {listener.address} already"))
        _complain(problems)
        return listeners


# --- http -------------------------------------------------------------------------------------------------------------


class Callbacks(Section):
    address: ListenAddress = "127.0.0.1:8025"
    """where Fax.to's callbacks arrive, as POST /callback/TOKEN; also /livez, /readyz and /metrics"""
    token: SecretOption = Secret(source={"file": "callback-token"})
    """the secret part of the callback URL, at least 22 letters and digits"""
    old_token: OptionalSecret = None
    """one that stays good until the new one is set at Fax.to"""
    max_file: Size = 64 << 20
    """largest received fax taken"""
    body_timeout: Duration = 300.0
    """a callback must be whole within it"""
    idle_timeout: Duration = 60.0
    """a connection without a whole request is closed after it"""
    max_connections: PositiveInt = 100
    """connections at once"""

    @field_validator("token", "old_token")
    @classmethod
    def _token_is_strong(cls, token: Secret | None, info: ValidationInfo) -> Secret | None:
        if token is None or (not surroundings(info).secrets and not token.value):
            return token
        if len(token.value) < _TOKEN_LENGTH:
            raise ValueError(
                f"has {len(token.value)} characters, at least {_TOKEN_LENGTH} are needed so that nobody guesses it;"
                " make one with: openssl rand -hex 24"
            )
        if not _TOKEN_LETTERS.issuperset(token.value):
            raise ValueError("may hold letters, digits and - . _ ~ only, as it stands in a URL")
        return token


class Http(Section):
    callbacks: Callbacks = _section()
    metrics_networks: Annotated[tuple[Network, ...], OneOrMore] = ("127.0.0.0/8", "::1/128")
    """clients that may read /metrics"""


# --- provider ---------------------------------------------------------------------------------------------------------


class Doubt(Section):
    poll_after: Annotated[tuple[Duration, ...], NotEmpty, OneOrMore] = (120.0, 300.0, 900.0, 1800.0, 3600.0)
    """waits between looks into the provider's history; the last one repeats"""
    min_polls: PositiveInt = 3
    """complete looks without the fax before it counts as never sent"""
    min_time: DurationOrZero = 1800.0
    """and the least time over which they are spread"""
    give_up_after: Duration = 14400.0
    """then the fax is held for a person"""
    resend: NonNegativeInt = 3
    """how often a fax is sent again that was provably not sent, each time after a proof of its own"""


class Redial(Section):
    busy: NonNegativeInt = 0
    no_answer: NonNegativeInt = 0
    hangup: NonNegativeInt = 0
    unknown: NonNegativeInt = 0
    after: DurationOrZero = 300.0
    """pause before a repeat"""


class Inbox(Section):
    sweep_every: Duration = 900.0
    """how often the provider's list of received faxes is read"""
    grace: DurationOrZero = 1800.0
    """how long a callback may take before the list is believed"""
    window: Duration = 7200.0
    """how far the times of a callback and of the list may lie apart for one fax"""
    give_up_after: Duration = 172800.0
    """a fax whose document could not be fetched for so long is mailed without it"""
    first_run: Literal["baseline", "deliver"] = "baseline"
    """what is in the list at the very first start: baseline leaves it there, deliver mails it"""


class Provider(Section):
    type: Literal["fax.to"] = "fax.to"
    base_url: BaseUrl = "https://fax.to/api/v2"
    api_key: SecretOption = Secret(source={"env": "FAXTO_API_KEY"})
    timeout: Duration = 60.0
    """of a call"""
    upload_timeout: Duration = 180.0
    rate: Annotated[float, Field(ge=0)] = 2.0
    """calls per second at most; 0 for no limit"""
    concurrency: PositiveInt = 4
    """faxes worked on at once"""
    timezone: TimeZone = "UTC"
    """of dates that the provider gives without one"""
    confirm_receipts: bool = True
    """ask the API before a callback's word is reported as final"""
    confirm_after: Annotated[tuple[Duration, ...], NotEmpty, OneOrMore] = (1.0, 5.0, 15.0, 60.0)
    """waits between these questions; the last one repeats"""
    confirm_timeout: Duration = 3600.0
    """then it is reported as not confirmed"""
    poll_after: Annotated[tuple[Duration, ...], NotEmpty, OneOrMore] = (60.0, 120.0, 300.0, 900.0, 1800.0)
    """waits between questions for the result; the last one repeats"""
    result_timeout: Duration = 176400.0
    """a fax without a result after this is held for a person"""
    doubt: Doubt = _section()
    redial: Redial = _section()
    inbox: Inbox = _section()
    retry_after: Duration = 30.0
    """first pause after a call that failed; it doubles"""
    retry_max: Duration = 900.0
    sole_user: bool = False
    """nobody else sends at the expense of the account: then its balance tells whether a send without an answer happened"""
    key_check_every: Duration = 60.0
    """how often a refused key is tried again; nothing is sent meanwhile"""
    delay_notice_after: Duration = 14400.0
    """the sender of a fax that could not be sent for so long is told, once, that it waits"""
    expire_after: Duration = 432000.0
    """a fax that could not be sent for so long is given up"""


# --- mail -------------------------------------------------------------------------------------------------------------


class Relay(Section):
    host: Domain = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "none"
    user: str | None = None
    password: OptionalSecret = None
    timeout: Duration = 60.0

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.user and not self.password:
            _complain([(("password",), "is needed with a user")])
        if self.password and not self.user:
            _complain([(("user",), "is needed with a password")])
        return self


class Mail(Section):
    relay: Relay = _section()
    sender: Mailbox = "Fax gateway <fax@example.org>"
    """From of the mails to people"""
    bounce: MailAddress | None = None
    """envelope sender of received faxes; default: the address of sender"""
    fallback: MailAddress = "admin@example.org"
    """gets received faxes without a route, and notices to the operator"""
    notify_success: bool = True
    """tell senders of delivered faxes too"""
    retry_after: Duration = 300.0
    """first pause after the relay failed; it doubles"""
    retry_max: Duration = 3600.0
    expire_after: Duration = 432000.0
    """a mail that could not be handed over for so long is given up"""
    concurrency: PositiveInt = 5


# --- the rest ---------------------------------------------------------------------------------------------------------


class Policy(Section):
    countries: Annotated[tuple[Region, ...], OneOrMore] = ("US", "CA")
    """countries that may be faxed to (ISO 3166); all others are refused"""
    numbers: Annotated[tuple[NumberPrefix, ...], OneOrMore] = ()
    """single numbers or prefixes allowed beside the countries"""
    classes: Annotated[tuple[NumberClass, ...], OneOrMore] = (NumberClass.ORDINARY, NumberClass.TOLL_FREE)
    """kinds of numbers allowed: ordinary, toll-free, shared-cost, premium, satellite, unknown"""
    test_numbers: Literal["auto", "allow", "deny"] = "auto"
    """+999...: auto allows them when the provider is on a loopback address"""
    senders: Literal["any", "routed"] = "any"
    """any: every identified client; routed: only senders with a route that allows"""

    @field_validator("classes")
    @classmethod
    def _test_is_no_choice(cls, classes: tuple[NumberClass, ...]) -> tuple[NumberClass, ...]:
        if NumberClass.TEST in classes:
            raise ValueError("does not rule test numbers; set policy.test_numbers: allow")
        return classes


class Document(Section):
    paper: Literal["letter", "a4"] = "letter"
    resolution: Literal["fine", "standard"] = "fine"
    """fine: 204x196 dpi, standard: 204x98"""
    body: Literal["with-text", "always", "without-attachment", "never"] = "with-text"
    """when the text of the mail becomes pages"""
    max_pages: PositiveInt = 200
    workers: Annotated[PositiveInt, Field(le=64)] = 2
    """conversions at once"""
    timeout: Duration = 60.0
    """of a conversion"""
    memory: Size = 1 << 30
    """of a conversion"""
    tries: PositiveInt = 3
    """conversions of a mail that may crash or hang before it is set aside"""


class Retention(Section):
    documents: Duration = 7 * 86400.0
    """mails and fax documents, after the fax has ended"""
    inbound: Duration = 90 * 86400.0
    """received faxes, after they were mailed"""
    history: Duration = 400 * 86400.0
    """what happened to each fax"""
    orphans: Duration = 7 * 86400.0
    """files that nothing names, left by a crash or a database that was set back; kept in spool/orphan"""
    uploads: Duration = 86400.0
    """documents at the provider that no fax needs, left by a crash; they are looked for as often"""
    purge_every: Duration = 300.0
    """how often is looked for what may go"""


class Admin(Section):
    socket: OptionalPath = None
    """where the command line talks to the daemon; default: STATE_DIR/admin.sock"""


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
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
    smtp: Smtp = _section()
    http: Http = _section()
    provider: Provider = _section()
    mail: Mail = _section()
    policy: Policy = _section()
    document: Document = _section()
    retention: Retention = _section()
    admin: Admin = _section()
    log: Log = _section()

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
        smtp = info.data.get("smtp")
        if smtp and any(_is_relay(listener.address, mail.relay) for listener in smtp.listeners):
            text = f"{mail.relay.host}:{mail.relay.port} is this gateway's own listener; name your mail server"
            problems.append((("relay",), text))
        _complain(problems)
        return mail

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
        """What works but should not stay so, a sentence each."""
        useless = [
            f"smtp.listeners[{n}] on {each.address}: passwords are taken under TLS only, so with tls: none nobody outside"
            " this machine can log in; set tls: starttls"
            for n, each in enumerate(self.smtp.listeners)
            if each.auth != "none" and each.tls == "none" and not is_local(each.address)
        ]
        return (*self._warnings, *useless)

    def masked(self) -> dict[str, Any]:
        """All options as they would be written in YAML: defaults filled in, secrets by their source or as ``***``."""
        return self.model_dump(mode="json")

    @field_serializer("domain")
    def _one_domain_is_a_text(self, domain: tuple[str, ...]) -> str | tuple[str, ...]:
        return domain[0] if len(domain) == 1 else domain


def _is_relay(address: str, relay: Relay) -> bool:
    """Whether a listener is what the relay option names."""
    parts = host_and_port(address)
    if not parts or parts[1] != relay.port:
        return False
    everywhere = parts[0] in ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
    return parts[0] == relay.host or ((everywhere or is_loopback(parts[0])) and is_loopback(relay.host))
