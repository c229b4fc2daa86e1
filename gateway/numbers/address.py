"""Fax addresses: from what stands in a RCPT to the number that will be dialled.

Sources: RFC 3191 and 3192 (``FAX=+1...``), RFC 2846 (qualifiers), MS-OXCMAIL 2.1.3.1.8 (``IMCEAFAX-``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.errors import Refused
from gateway.model import FaxNumber
from gateway.numbers.plan import ZERO, Unreadable, optional_zero, refuse_service, with_plus, without_plus

_MAX_ADDRESS = 512  # characters; RFC 5321 section 4.5.3.1 demands 256
_SHOWN = 60  # characters of the address that a refusal repeats
_FAX = re.compile(r"/?FAX=([^/]*)((?:/[^/]*)*)", re.IGNORECASE)
_IMCEA = re.compile(r"IMCEAFAX-((?:[A-Za-z0-9=_-]|\+[0-9A-Fa-f]{2})*)", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN_NUMBER = re.compile(r"(\+?)([0-9](?:[0-9.-]*[0-9])?)")
_HUMAN_NUMBER = re.compile(r"(\+?)([0-9(](?:[0-9() .-]*[0-9])?)")
_BRACKETS = re.compile(r"[^()]*(?:\([0-9](?:[0-9 .-]*[0-9])?\)[^()]*)?")
_ZERO_WITHIN = re.compile(r"[0-9][ .-]*\(0\)")
_OPTIONAL_ZERO = re.compile(r"([1-9][0-9]{0,2})[ .-]*\(0\)([0-9 .-]+)")
_DIALLED = {"T33S": "a sub-address", "ISUB": "a sub-address", "POSTD": "digits after the call is answered"}
_POSTAL = frozenset(["OFNO", "OFNA", "STR", "ADDR", "ADDU", "ADDL", "POB", "ZIP", "CO"])  # RFC 2846 section 3
_UNDIALLED = (  # what devices dial and a fax service cannot
    (re.compile(r"[#*]"), "the keys * and # cannot be dialled from here"),
    (re.compile(r"(?<=[0-9])[-. ]*(?:x|ext)[-. :]*[0-9]+", re.IGNORECASE), "an extension cannot be dialled from here"),
    (re.compile(r"(?<=[0-9])[-. ]*[pw,;]+(?=[-. ]*[0-9]|$)", re.IGNORECASE), "pauses cannot be dialled from here"),
)


@dataclass(frozen=True, slots=True)
class FaxAddress:
    """A recipient address of ours taken apart. ``text`` is where the number stands, or a short name for one;
    ``human``: blanks and brackets are allowed in it. ``options`` are the ``/NAME=VALUE`` behind it, names in lower case.
    """

    given: str
    text: str
    human: bool
    options: tuple[tuple[str, str], ...]
    example: str

    def number(self, region: str) -> FaxNumber:
        """The number it names, exactly; numbers without a + are dialled in ``region`` (ISO 3166 code).

        Raises Refused 5.1.3 with a sentence that names what was given and an accepted form.
        """
        try:
            return _number(self.text, self.human, region)
        except Unreadable as error:
            raise _refused(self.given, error, self.example) from None


def read_address(address: str, *, domains: Sequence[str]) -> FaxAddress:
    """Take apart what stood between the angle brackets of RCPT, verbatim; a local part alone is read too.

    ``domains`` are ours. Raises Refused with a sentence that names an accepted form: 5.1.3 for what is no fax address,
    5.7.1 for a domain that is not ours, 5.3.3 for a qualifier that would change what is dialled.
    """
    example = f"+15551234567@{domains[0]}"
    try:
        text, human = _unwrapped(_local_part(address, domains))
        fax = _FAX.fullmatch(text)
        number = fax[1] if fax else text.partition("/")[0]
        tail = fax[2] if fax else text[len(number) :]
        return FaxAddress(address, number, human and not fax, tuple(_options(number, tail)), example)
    except Unreadable as error:
        raise _refused(address, error, example) from None


def parse_number(text: str, *, region: str) -> FaxNumber:
    """The number a person wrote: ``+1 (202) 555-0123``, or as dialled in ``region``. Raises Refused 5.1.3."""
    try:
        return _number(text.strip(), True, region)
    except Unreadable as error:
        raise _refused(text, error, "+15551234567") from None


def _refused(given: str, error: Unreadable, example: str) -> Refused:
    sentence = error.why if error.whole else f"{_shown(given)} cannot be faxed to: {error.why}; write it like {example}"
    return Refused(sentence, status=error.status)


def _shown(given: str) -> str:
    """``given`` fit for one line of ASCII."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in given)
    return (f"{shown[:_SHOWN]}..." if len(shown) > _SHOWN else shown) or "nothing"


# --- the address ------------------------------------------------------------------------------------------------------


def _local_part(address: str, domains: Sequence[str]) -> str:
    """The part before the @ of one of our domains, still quoted if it was. Raises Unreadable."""
    if len(address) > _MAX_ADDRESS:
        raise Unreadable("it is far too long")
    if address.startswith("@") and ":" in address:
        raise Unreadable("addresses with a route are not accepted")
    quoted = _QUOTED.match(address)
    if quoted:
        rest = address[quoted.end() :]
        local, at, domain = quoted[0], rest[:1], rest[1:]
        if at not in ("", "@"):
            raise Unreadable("the quotes must enclose everything before the @")
    elif "@" in address:
        local, at, domain = address.rpartition("@")
        if "(" in address or ")" in address:  # a comment (RFC 5322): with it the area code would vanish
            raise Unreadable("brackets are read as a comment in a mail address")
    else:
        local, at, domain = address, "", ""
    if at and domain.lower().removesuffix(".") not in {ours.lower().removesuffix(".") for ours in domains}:
        sentence = f"relaying denied: {_shown(domain)} is not one of this gateway's domains; write it like +15551234567@{domains[0]}"
        raise Unreadable(sentence, whole=True, status="5.7.1")
    return local


def _unwrapped(local: str) -> tuple[str, bool]:
    """A local part without its quotes or Exchange's wrapping, and whether it had any."""
    quoted = _QUOTED.fullmatch(local)
    text = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else local
    if text[:5].upper() == "IMCEA":  # decode first: in "+2B1202..." the 2B is no part of the number
        return _imcea(text), True
    return text, bool(quoted)


def _imcea(text: str) -> str:
    """Exchange's wrapping undone: ``_`` is a slash, ``+HH`` an octet; of ``name@number`` the number."""
    wrapped = _IMCEA.fullmatch(text)
    if not wrapped:
        raise Unreadable("this Exchange address does not hold a fax number")
    decoded = re.sub(r"\+(..)", lambda octet: chr(int(octet[1], 16)), wrapped[1].replace("_", "/"))
    name, at, canonical = decoded.rpartition("@")
    if at and not canonical.startswith("+"):
        raise Unreadable(f"no number with + and country code follows {name!a}")
    return canonical


def _options(number: str, tail: str) -> Iterator[tuple[str, str]]:
    """What stands behind the number, without the parts of a postal address, which RFC 3191 section 2 lets us ignore.

    What would change the call is refused (RFC 3192 section 2). Its value is repeated nowhere: POSTD may hold a PIN
    (RFC 2846 section 7).
    """
    for option in tail.removeprefix("/").removesuffix("/").split("/") if tail.strip("/") else []:
        keyword, equals, value = option.partition("=")
        if not equals or not re.fullmatch("[A-Za-z0-9-]{1,30}", keyword):
            raise Unreadable("what follows the number is not /NAME=VALUE")
        if keyword.upper() in _DIALLED:
            raise Unreadable(
                f"{_shown(number)} with /{keyword.upper()}= cannot be faxed to: {_DIALLED[keyword.upper()]} cannot be"
                " dialled from here; leave it out if the number is complete without it",
                whole=True,
                status="5.3.3",
            )
        if keyword.upper() not in _POSTAL:
            yield keyword.lower(), value


# --- the number -------------------------------------------------------------------------------------------------------


def _number(text: str, human: bool, region: str) -> FaxNumber:
    """Separators are stripped where the grammar has them, any other character refuses. Raises Unreadable."""
    form = (_HUMAN_NUMBER if human else _PLAIN_NUMBER).fullmatch(text)
    if not form or not _BRACKETS.fullmatch(text):
        raise Unreadable(_why_not(text, human))
    number = _read(form[1], form[2], region)
    refuse_service(number)
    return number


def _read(plus: str, written: str, region: str) -> FaxNumber:
    zero = _OPTIONAL_ZERO.fullmatch(written) if plus else None
    if zero:
        return with_plus(optional_zero(zero[1], _digits(zero[2])))
    if _ZERO_WITHIN.search(written):
        raise Unreadable(ZERO)
    return with_plus(_digits(written)) if plus else without_plus(_digits(written), region)


def _digits(written: str) -> str:
    return re.sub("[-. ()]", "", written)


def _why_not(text: str, human: bool) -> str:
    if not text:
        return "there is no number in it"
    if not text.isascii():
        return "only the digits 0 to 9 are accepted"
    for pattern, why in _UNDIALLED:
        if pattern.search(text):
            return why
    strange = re.search(r"[^0-9+. ()-]", text)
    if strange and strange[0].isprintable():
        return f"a number cannot contain {strange[0]!r}"
    if " " in text and not human:
        return "spaces are accepted only in quotes, and never after FAX="
    return "it is not a number"
