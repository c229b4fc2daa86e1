"""What became of a fax in words for its sender: what happened, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Advice:
    """``happened`` goes on from 'Your fax "Subject" to +1 202 555 0123', ``short`` stands in the subject.

    ``ours``: the reason is a sentence of our own and is told as such, rather than as the provider's words.
    """

    short: str
    happened: str
    now: str
    status: str = "5.0.0"  # RFC 3463, where the facts name none
    ours: bool = False


def after_calls(told: Advice, calls: int) -> Advice:
    """The same of a fax that had been dialled ``calls`` times before, in vain: it was sent, and pages may have arrived."""
    happened = told.happened
    for never, before in (
        ("has not been sent yet.", "has not got through yet."),
        ("was not sent:", "did not get through:"),
        ("was busy whenever the provider called.", "was busy at the last call."),
        ("was cancelled before it was sent.", "was cancelled before it got through."),
    ):
        happened = happened.replace(never, before)
    times = "once" if calls == 1 else f"{calls} times"
    return replace(
        told,
        happened=f"{happened} It was dialled {times} before; if a call broke off, some of its pages may have arrived.",
    )


_TELL = "tell the people who run the gateway, with the fax id above"
_ASK_FIRST = "Do NOT send it again before you have asked: the recipient may get it twice."

ACCEPTED = {
    "accepted": Advice(
        "",
        "is ready to be sent.",
        "If it should not go, ask the people who run the gateway at once, with the fax id above.",
        "2.0.0",
    ),
    "scheduled": Advice(
        "",
        "is ready and waits for the time you asked for.",
        "You need not send it again. If it should not go, ask the people who run the gateway before that time, with the fax id"
        " above.",
        "2.0.0",
    ),
}

DELIVERED = Advice(
    "",
    "went through: the provider reports that the receiving machine took it.",
    "The provider does not say how many pages the receiving machine printed. If the fax matters, ask the recipient.",
    "2.0.0",
)

REPORTED = Advice(
    "",
    "seems to have gone through: the provider reported so, but this has not been verified.",
    "If the fax matters, ask the recipient whether it arrived.",
    "2.0.0",
)

FAILED = {
    "busy": Advice(
        "line busy",
        "was not sent: the line was busy whenever the provider called.",
        "Send it again in half an hour. If the line is busy all day, ask the recipient by phone whether the number is"
        " right and the machine is free.",
        "4.4.1",
    ),
    "no_answer": Advice(
        "no answer",
        "was not sent: no fax machine answered.",
        "Check the number. If it is right, ask the recipient whether the machine is switched on and connected, then"
        " send it again.",
        "4.4.1",
    ),
    "hangup": Advice(
        "call broke off",
        "did not get through whole: the call broke off. Some of its pages may have arrived.",
        "Ask the recipient which pages arrived before you send it again. If it keeps breaking off, send fewer pages at"
        " a time.",
        "4.4.2",
    ),
    "file_error": Advice(
        "document not accepted",
        "was not sent: the provider could not convert the document.",
        f"Print the document to a new PDF and send that. If it fails again, {_TELL}.",
        "5.6.5",
    ),
    "unknown": Advice(
        "reason not known",
        "failed, for a reason that the gateway does not know. Whether any page arrived is not known.",
        f"Check the number, ask the recipient whether something arrived, and send it once more. If it fails again,"
        f" {_TELL}.",
        "4.4.2",
    ),
    "refused": Advice(
        "refused by the provider",
        "was not sent: the provider refused it.",
        f"Check the number. If it is right, {_TELL}.",
        "5.1.1",
    ),
    "file_refused": Advice(
        "document refused by the provider",
        "was not sent: the provider refused the document.",
        "Print the document to a new PDF, with fewer pages or pictures if it is large, and send that. If it fails again,"
        f" {_TELL}.",
        "5.6.1",
    ),
    "content": Advice(
        "cannot be faxed",
        "was not sent: your mail could not be turned into fax pages.",
        f"Put right what is named above and send the mail again. If you cannot, {_TELL}.",
        "5.6.1",
        ours=True,
    ),
    "cancelled": Advice(
        "cancelled",
        "was cancelled before it was sent.",
        "If you did not expect this, ask the people who run the gateway.",
        "5.0.0",
        ours=True,
    ),
    "over_limit": Advice(
        "over the limit",
        "was not sent: this fax alone is over a limit.",
        "Send it in parts, or ask the people who run the gateway to raise the limit named above.",
        "5.7.1",
        ours=True,
    ),
    "denied": Advice(
        "not allowed",
        "was not sent: such numbers may not be faxed from here, or not any more.",
        f"If you need to send it all the same, {_TELL}.",
        "5.7.1",
        ours=True,
    ),
    "expired": Advice(
        "not sent in time",
        "was not sent: it could not be handed to the provider in time.",
        f"If it is still wanted, send it again. If it is urgent, send it another way, and {_TELL}.",
        "4.4.7",
        ours=True,
    ),
    "divided": Advice(
        "incomplete",
        "was not sent: your mail came in several parts, which could not be put together.",
        "Send it again as one mail: in the device or program, switch off what divides mails ('divided data', 'split by data"
        " size'), or raise the largest mail size.",
        "4.4.7",
        ours=True,
    ),
}

OTHER = replace(FAILED["unknown"], status="5.0.0")

NO_RESULT = {
    "no_result": Advice(
        "no result",
        "was taken by the provider, but the gateway could not learn what became of it. It may or may not have arrived.",
        f"{_ASK_FIRST} Ask the recipient whether it arrived. If it did not, send it again.",
        "4.4.7",
    ),
    "cancelled": Advice(
        "closed",
        "may or may not have been sent: the gateway could not find out, and the people who run it have closed it.",
        f"{_ASK_FIRST} Ask the recipient whether it arrived, or the people who run the gateway, with the fax id above."
        " If it did not arrive, send it again.",
        "4.4.7",
    ),
}

DELAYED = {
    "waiting": Advice(
        "waiting",
        "has not been sent yet. It waits, and the gateway keeps trying.",
        "You need not send it again: it goes out by itself, and you get another mail when it has been sent or given up."
        " If you cannot wait, ask the people who run the gateway to cancel it, with the fax id above.",
        "4.4.1",
        ours=True,
    ),
    "held": Advice(
        "held",
        "has not been sent yet. It is held until the people who run the gateway have seen to it.",
        "You need not send it again: they know of it, and you get another mail when it has been sent or given up."
        " If you cannot wait, ask them, with the fax id above.",
        "4.3.5",
        ours=True,
    ),
}

UNKNOWN = {
    "set_back": Advice(
        "being looked into",
        "may or may not have been sent: the gateway's records were set back, by a restored backup or the like. It is held"
        " until somebody has found out; then you get another mail.",
        f"{_ASK_FIRST} Ask the recipient whether it arrived, or the people who run the gateway, with the fax id above.",
        "4.4.7",
        ours=True,
    ),
    "held": Advice(
        "being looked into",
        "may or may not have been sent: the provider gave no reliable answer when it was handed over. It is held until"
        " somebody has found out; then you get another mail.",
        f"{_ASK_FIRST} Ask the recipient whether it arrived, or the people who run the gateway, with the fax id above.",
        "4.4.7",
    ),
}

CORRECTS = {  # by the kind of the mail that told otherwise
    "delivered": "You were told before that it went through. That was wrong: the provider's records say otherwise now.",
    "failed": "You were told before that it was not sent, or failed. That was wrong: the provider's records say otherwise now."
    " If you have sent it again, the recipient may get it twice.",
    "no_result": "You were told before that it was not known whether it arrived. The provider's records show it now.",
}

UNCLEAR = Advice(
    "outcome not known",
    "may or may not have been sent.",
    f"{_ASK_FIRST} Ask the recipient whether it arrived, or the people who run the gateway, with the fax id above.",
    "4.4.7",
    ours=True,
)
