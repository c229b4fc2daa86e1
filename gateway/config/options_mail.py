"""Options of outgoing mail."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from gateway.config.kinds import (
    Age,
    Duration,
    Host,
    MailAddress,
    Mailbox,
)
from gateway.config.secrets import OptionalSecret
from gateway.config.sections import Section, complain, section


class Relay(Section):
    host: Host = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "none"
    user: str | None = None
    password: OptionalSecret = None
    timeout: Duration = 60.0

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.user and not self.password:
            complain([(("password",), "is needed with a user")])
        if self.password and not self.user:
            complain([(("user",), "is needed with a password")])
        return self


class Mail(Section):
    relay: Relay = section()
    sender: Mailbox = "Fax gateway <fax@example.org>"
    """From of the mails to people"""
    bounce: MailAddress | None = None
    """envelope sender of received faxes; default: the address of sender"""
    fallback: MailAddress = "admin@example.org"
    """gets received faxes without a route, and notices to the operator"""
    notify_accepted: Literal["never", "scheduled", "always"] = "scheduled"
    """tell senders of faxes that are ready, with their pages: those that go later (send-at), all, or none"""
    notify_success: bool = True
    """tell senders of delivered faxes too"""
    pictures: bool = True
    """show pages that will be hard to read in the mail that says so"""
    retry_after: Duration = 300.0
    """first pause after the relay failed; it doubles"""
    retry_max: Duration = 3600.0
    expire_after: Age = 432000.0
    """a mail that could not be handed over for so long is given up"""
    concurrency: Annotated[PositiveInt, Field(le=1000)] = 5
