"""Queue ids: short, sortable by time, without vowels (so without words), in the manner of Postfix."""

from __future__ import annotations

import itertools
import secrets

_DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_SPAN = len(_DIGITS) ** 3
_sequence = itertools.count(secrets.randbelow(_SPAN))  # a hundred ids may be wanted for one instant, all different


def _base52(value: int, width: int) -> str:
    text = ""
    for _ in range(width):
        value, digit = divmod(value, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text


def time_of(id_: str) -> float | None:
    """When a queue id was made, in epoch seconds; None for what is none."""
    if len(id_) != 12 or any(character not in _DIGITS for character in id_):
        return None
    value = 0
    for character in id_[:9]:
        value = value * len(_DIGITS) + _DIGITS.index(character)
    return value / 1_000_000


def new_id(now: float) -> str:
    """A queue id of 12 characters: the microsecond of ``now`` (epoch seconds) and a number that no other id has with it."""
    return _base52(int(now * 1_000_000), 9) + _base52(next(_sequence) % _SPAN, 3)
