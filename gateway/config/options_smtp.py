"""Options of the SMTP door."""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway.config import pem
from gateway.config.kinds import (
    Age,
    Duration,
    DurationOrZero,
    ListenAddress,
    Network,
    NotEmpty,
    OneOrMore,
    OptionalPath,
    ServerName,
    Size,
    is_any_port,
    is_everybody,
)
from gateway.config.secrets import surroundings
from gateway.config.sections import Problems, Section, complain, section

_MOST_AUTHORITIES = 10  # in client_ca; the lists of public ones have more than a hundred


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
    client_ca: OptionalPath = None
    """PEM file with who signs client certificates; one that is shown and verifies names the client"""
    profile: Literal["standard", "legacy"] = "standard"
    """legacy: for old devices, in networks alone; TLS 1.0 and 1.1 too"""
    bare_newline: Literal["normalise", "reject"] = "normalise"
    """a mail with line ends other than CRLF, or with NUL"""
    clear_auth: bool = False
    """take passwords without TLS too: for devices that have none, on a network that nobody listens to"""
    auth_after_helo: bool = True
    """take a login behind HELO, where SMTP wants EHLO"""
    proxies: tuple[Network, ...] = ()
    """proxies that say whom they speak for (PROXY protocol 1 or 2); they must"""

    @model_validator(mode="after")
    def _safe(self, info: ValidationInfo) -> Self:
        known = surroundings(info).listening
        complain(
            [
                *self._address_problems(known),
                *self._door_problems(),
                *self._device_problems(),
                *self._tls_problems(),
            ]
        )
        return self

    def _address_problems(self, known: list[str]) -> Problems:
        if self.address in known and not is_any_port(self.address):
            return [(("address",), f"another listener has {self.address} already")]
        known.append(self.address)
        return []

    def _door_problems(self) -> Problems:
        if self.auth == "none" and not self.networks and not self.address.startswith("unix:"):
            return [
                (("networks",), "is empty and auth is none: nobody could send; name networks or set auth: required")
            ]
        if self.auth != "required" and is_everybody(self.networks):
            text = (
                "holds a good part of the Internet, and those clients need no login: an open relay for faxes, at your cost;"
                " name your own networks or set auth: required"
            )
            return [(("networks",), text)]
        return []

    def _device_problems(self) -> Problems:
        problems = []
        if self.profile == "legacy" and (not self.networks or is_everybody(self.networks)):
            problems.append((("networks",), "must name the devices of a legacy listener: old TLS is for them alone"))
        if self.clear_auth and self.auth == "none":
            problems.append((("clear_auth",), "has no meaning with auth: none"))
        if self.proxies and self.address.startswith("unix:"):
            problems.append(
                (("proxies",), "has no meaning on a unix socket: whoever opens it is trusted; listen on HOST:PORT")
            )
        if is_everybody(self.proxies):
            problems.append((("proxies",), "covers the whole Internet: everybody could pretend to be any client"))
        return problems

    def _tls_problems(self) -> Problems:
        files = (("certificate", self.certificate), ("key", self.key), ("client_ca", self.client_ca))
        if self.tls == "none":
            text = "has no meaning with tls: none; set tls to starttls or implicit"
            return [((name,), text) for name, path in files if path is not None]
        problems = []
        for name, path in files:
            if path is None and name == "client_ca":
                continue
            if path is None:
                problems.append(((name,), f"is needed for tls: {self.tls}, the path of a PEM file"))
            elif why := pem.unreadable(path):
                problems.append(((name,), why))
        if problems:
            return problems
        assert self.certificate is not None and self.key is not None, "checked above"
        if fault := pem.fault(self.certificate, self.key):
            problems.append(((fault[0],), fault[1]))
        return [*problems, *self._authority_problems()]

    def _authority_problems(self) -> Problems:
        if self.client_ca is None:
            return []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with contextlib.suppress(ssl.SSLError, OSError):
            context.load_verify_locations(self.client_ca)
        count = context.cert_store_stats()["x509"]
        if not count:
            return [(("client_ca",), f"there is no certificate in {self.client_ca}")]
        if count > _MOST_AUTHORITIES:
            text = (
                f"holds {count} authorities, as a list of public ones does, and whoever has a certificate of one needs no"
                " login: an open relay for faxes, at your cost; name the authority of your own devices"
            )
            return [(("client_ca",), text)]
        return []

    @property
    def believes_the_web(self) -> bool:
        """Whether an authority in ``client_ca`` is one that this machine believes about web pages, as it does public ones."""
        if self.client_ca is None:
            return False
        paths = ssl.get_default_verify_paths()
        known = _authorities([Path(paths.cafile)] if paths.cafile else sorted(Path(paths.capath or "/").glob("*.pem")))
        return not known.isdisjoint(_authorities([self.client_ca]))

    def takes_without_login(self, networks: Iterable[str]) -> bool:
        """Whether it lets a client of these in that shows nothing but its address."""
        if self.auth == "required":
            return False
        return self.address.startswith("unix:") or any(
            ours.version == theirs.version and ours.overlaps(theirs)
            for ours in map(ipaddress.ip_network, self.networks)
            for theirs in map(ipaddress.ip_network, networks)
        )


def _authorities(files: Iterable[Path]) -> set[bytes]:
    """The certificates of authorities in PEM files, as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for file in files:
        with contextlib.suppress(ssl.SSLError, OSError):
            context.load_verify_locations(file)
    return set(context.get_ca_certs(binary_form=True))


class Front(Section):
    """The mail server in front, whose word on the author of a mail is taken."""

    authserv_id: ServerName | None = None
    """the name in its Authentication-Results fields; it must remove such fields from mails that come in"""
    networks: Annotated[tuple[Network, ...], OneOrMore] = ("127.0.0.0/8", "::1/128")
    """where it speaks from; its name from elsewhere counts for nothing"""

    @field_validator("networks")
    @classmethod
    def _is_somewhere(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        if is_everybody(networks):
            raise ValueError("holds a good part of the Internet: name the addresses of your mail server")
        return networks


class Smtp(Section):
    listeners: Annotated[tuple[Listener, ...], NotEmpty] = Field(default_factory=lambda: ({},), validate_default=True)
    front: Front = section()
    max_message: Size = 50_000_000
    """largest mail taken"""
    small_mail: Size = 128 << 10
    """up to this size a mail is kept in the database, which is quicker; larger ones are files in the spool"""
    max_recipients: PositiveInt = 100
    """per mail"""
    command_timeout: Duration = 300.0
    """longest silence between commands"""
    data_timeout: Duration = 180.0
    """longest silence while a mail comes in"""
    max_connections: PositiveInt = 200
    """at once; when all are taken, the slowest has to go for the next"""
    max_connections_per_client: PositiveInt = 50
    """at once, per address other than this machine's"""
    max_errors: PositiveInt = 20
    """wrong commands in a session before it is closed"""
    max_commands: PositiveInt = 1000
    """commands in a session before it is closed, unless a mail was accepted; beside max_recipients"""
    min_data_rate: NonNegativeInt = 500
    """bytes per second that a mail must come in at, over data_timeout or a minute; 0: no limit"""
    max_hops: PositiveInt = 100
    """mail servers a mail went through that prove a loop"""
    max_login_failures: PositiveInt = 20
    """passwords of one address that are verified and wrong in a login_window, before it must wait"""
    max_login_failures_per_user: PositiveInt = 50
    """and of one user at all addresses, before strange ones have two"""
    login_window: Duration = 3600.0
    """how long a wrong password counts"""
    max_delay: Age = 30 * 86400.0
    """how long a sender may put off his fax (send-at)"""
    repeat_window: DurationOrZero = 1800.0
    """the same mail again, from a client that may not have read our answer to the first, is the first one for so long, an outage
    not counted; one with Message-ID and Date for five days, as long as mail servers try; 0: never"""
    partial_timeout: DurationOrZero = 86400.0
    """a mail that comes in parts (message/partial) is given up, and its sender told, when some have not come for so long, an
    outage not counted; 0: parts of mails are refused"""
