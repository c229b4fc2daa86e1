"""What becomes of a call, decided by the number called: ``+999 9999 xxxx`` are scenarios, every other number answers.

999 is no country code, so none of these numbers can ever be dialled for real.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "+9999999"
CALL_BACK = f"{PREFIX}0099"

# Fax.to API, delivery receipt: the meaning of each msg_code
TEXTS = {
    "ok": "Success! Your fax has been sent!",
    "unknown": "Fax Failed - Unknown Error (We don’t know exactly what went wrong - contact us for more info)",
    "no_answer": "Fax Failed - No Answer from Fax machine",
    "busy": "Fax Failed - Line Busy (The fax machine could be busy)",
    "file_error": "Fax Failed - File conversion failed. Re-upload and Retry",
    "hangup": "Fax Failed - Early Hangup",
}
SENT = "Sent! Fax Has Been Answered."


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of called party, and of what is told about the call.

    ``pages`` is how many pages it takes before it hangs up (None: all); ``seconds`` the line time of a call without
    pages; ``rate`` its fastest line rate in bit/s; ``stretch`` how much longer than the formula the call takes.
    ``receipts`` is how many are sent, ``early`` that they go out before the send is answered, ``final`` that the call
    ever ends. ``fault`` is a fault of the send itself (:mod:`gateway.sandbox.faults`).
    """

    name: str
    msg_code: str = "ok"
    pages: int | None = None
    seconds: float | None = None
    rate: int = 14_400
    ecm: bool = True
    standard_only: bool = False
    stretch: float = 1.0
    receipts: int = 1
    early: bool = False
    final: bool = True
    calls_back: bool = False
    fault: str = ""


SCENARIOS = {
    "0000": Scenario("all is well"),
    "0001": Scenario("busy", "busy", seconds=0.0),
    "0002": Scenario("no answer", "no_answer", seconds=30.0),
    "0003": Scenario("a voice answers", "no_answer", seconds=60.0),
    "0004": Scenario("hang-up on page 2", "hangup", pages=1),
    "0005": Scenario("hang-up at once", "hangup", seconds=3.0),
    "0006": Scenario("the document cannot be converted for the line", "file_error", seconds=0.0),
    "0007": Scenario("the machine takes the call and refuses the training", "unknown", seconds=32.5),
    "0010": Scenario("a machine without error correction", ecm=False),
    "0011": Scenario("a slow machine, 4,800 bit/s", rate=4800),
    "0012": Scenario("a machine with standard resolution only", standard_only=True),
    "0013": Scenario("clicks on the line", stretch=1.18),
    "0020": Scenario("the receipt is lost", receipts=0),
    "0021": Scenario("the receipt comes twice", receipts=2),
    "0022": Scenario("the receipt comes before the send is answered", early=True),
    "0023": Scenario("the credit is exhausted", fault="no-credit"),
    "0024": Scenario("the call never ends", final=False),
    "0030": Scenario("the send says failed and names no job", fault="failed-without-id"),
    "0031": Scenario("the number is refused (400)", fault="400"),
    "0032": Scenario("too many calls (403)", fault="403"),
    "0033": Scenario("an error before the fax is executed (500)", fault="500"),
    "0034": Scenario("the send is never answered, nothing is executed", fault="hang"),
    "0035": Scenario("executed, then the connection drops", fault="execute-then-drop"),
    "0036": Scenario("executed, then an error (500)", fault="execute-then-500"),
    "0037": Scenario("executed, then a page of HTML", fault="execute-then-html"),
    "0099": Scenario("calls back: the same pages come in as a fax to the caller", calls_back=True),
}


def scenario_of(number: str) -> Scenario:
    """The scenario of a number in E.164 form; a number outside the range, or one without a scenario, works."""
    if number.startswith(PREFIX) and len(number) == len(CALL_BACK):
        return SCENARIOS.get(number[-4:], SCENARIOS["0000"])
    return SCENARIOS["0000"]
