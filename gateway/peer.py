"""Who speaks at the SMTP door, and what proves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Identity(StrEnum):
    """How a sender has proven who it is; of a sender route: the least proof that it asks for."""

    ANY = "any"  # only of a route: whatever proof there is
    NETWORK = "network"  # the client's address lies in the listener's networks
    DKIM = "dkim"  # the From address of the mail is proven by a signature of its domain
    LOGIN = "login"  # AUTH
    CERTIFICATE = "certificate"  # of the client, signed by an authority that the listener trusts


@dataclass(frozen=True, slots=True)
class Peer:
    """Who speaks at the SMTP door, as far as proven: never the From header or the envelope sender by themselves."""

    listener: str
    address: str  # IP address, or "local" for a unix socket and the command line
    port: int = 0
    helo: str = ""
    protocol: str = "SMTP"  # SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA (RFC 3848)
    tls: str | None = None  # "TLSv1.3 TLS_AES_256_GCM_SHA384"
    login: str | None = None  # set only after a successful AUTH
    login_proof: str = ""  # tells the password that was given then from one that is set later
    trusted_network: bool = False  # the address lies in the listener's networks
    certificate: str | None = None  # name in the client's certificate, once verified
    author: str | None = None  # From address of the mail, lower case, set only once a signature of its domain proves it

    @property
    def proofs(self) -> frozenset[Identity]:
        """How this client has proven who it is; empty for a stranger."""
        proven = {
            Identity.NETWORK: self.trusted_network,
            Identity.DKIM: self.author,
            Identity.LOGIN: self.login,
            Identity.CERTIFICATE: self.certificate,
        }
        return frozenset(identity for identity, proof in proven.items() if proof)

    @property
    def named(self) -> str:
        """For people: how it calls itself, and its address."""
        return f"{self.helo or 'unknown'} [{self.address}]"

    @property
    def identity(self) -> str:
        """What permission and limits hang on: ``user:NAME``, ``cert:NAME``, ``mail:ADDRESS``, else ``ip:ADDRESS``."""
        mailbox = self.author and re.sub(r"(?<=.)\+[^@]*", "", self.author)  # ann+1@, ann+2@... are all ann's
        for kind, proof in (("user", self.login), ("cert", self.certificate), ("mail", mailbox)):
            if proof:
                return f"{kind}:{proof}"
        return f"ip:{self.address}"
