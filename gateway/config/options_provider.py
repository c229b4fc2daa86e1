"""Options of the fax provider, and of the patience with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
)

from gateway.config.kinds import (
    Age,
    BaseUrl,
    Duration,
    DurationOrZero,
    NotEmpty,
    OneOrMore,
    TimeZone,
)
from gateway.config.secrets import Secret, SecretOption
from gateway.config.sections import Section, section


class Doubt(Section):
    poll_after: Annotated[tuple[Duration, ...], NotEmpty, OneOrMore] = (120.0, 300.0, 900.0, 1800.0, 3600.0)
    """waits between looks into the provider's history; the last one repeats"""
    min_polls: PositiveInt = 3
    """complete looks without the fax before it counts as never sent"""
    min_time: DurationOrZero = 1800.0
    """and the least time over which they are spread"""
    give_up_after: Age = 14400.0
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
    give_up_after: Age = 172800.0
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
    concurrency: Annotated[PositiveInt, Field(le=1000)] = 4
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
    result_timeout: Age = 176400.0
    """a fax without a result for so long ends, and its sender is told that what became of it is not known"""
    doubt: Doubt = section()
    redial: Redial = section()
    inbox: Inbox = section()
    retry_after: Duration = 30.0
    """first pause after a call that failed; it doubles"""
    retry_max: Duration = 900.0
    sole_user: bool = False
    """nobody else sends at the expense of the account: then its balance tells whether a send without an answer happened"""
    key_check_every: Duration = 60.0
    """how often a refused key is tried again; nothing is sent meanwhile"""
    delay_notice_after: Duration = 14400.0
    """a fax that waits so long is told, once: to its sender, a received one to the operator"""
    expire_after: Age = 432000.0
    """a fax that could not be sent for so long is given up"""
