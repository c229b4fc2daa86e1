"""Names and passwords of logins as they are compared, however a keyboard or a program writes them (RFC 8265).

An accent may be a character of its own or part of its letter, a letter of East Asia wide or narrow: a person sees no
difference. What the RFC forbids altogether is not looked for here, for no login has it.
"""

from __future__ import annotations

import unicodedata

_WIDTHS = ("<wide>", "<narrow>")


def name(text: str) -> str:
    """A name, by the rules of section 3.4.2 (UsernameCasePreserved)."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(map(_without_width, text)))


def password(text: str) -> str:
    """A password, by the rules of section 4.2.2 (OpaqueString)."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))


def _without_width(character: str) -> str:
    is_variant = unicodedata.decomposition(character).startswith(_WIDTHS)
    return unicodedata.normalize("NFKC", character) if is_variant else character
