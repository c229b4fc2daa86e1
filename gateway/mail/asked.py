"""What a whole mail asks for: its header fields, its subject, the beginning of its text."""

from __future__ import annotations

from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail import bodies, options
from gateway.mail.leaf import Leaf
from gateway.mail.structure import Mail


def take(found: Mail) -> dict[str, str]:
    """Options of the mail (as in :mod:`gateway.mail.options`), which its text is without from here on.

    A header field counts more than the subject, and the subject more than the text. Raises Refused for what cannot be
    understood.
    """
    in_fields = options.from_fields(found.headers.lines(options.FIELD))
    subject = found.headers.line("subject")
    in_subject = options.from_subject(subject)
    subject = options.without(subject)
    texts = (leaf for leaf in found.leaves if leaf.message_text and not leaf.left_out and leaf.substance)
    if text := next(texts, None):
        in_text = _from(text, subject)
    else:  # what a document says further down is its own
        in_text = _from(found.lone_text, subject, further=False) if found.lone_text else {}
    for other in texts:
        options.refuse_in(to_text(other.data or b"", other.charset), markup=other.is_html, subject=subject)
    return {**in_text, **in_subject, **in_fields}


def rich(leaf: Leaf, subject: str) -> Leaf | None:
    """The form in HTML of a message text, without the options; None where there is none, or they cannot be taken out of it."""
    try:
        if leaf.rich is not None:
            _from(leaf.rich, subject)
    except Refused:
        return None
    return leaf.rich


def _from(leaf: Leaf, subject: str, *, further: bool = True) -> options.Asked:
    """Cut the options out of a message text."""
    text, charset = leaf.editable
    rest, asked = options.from_text(text, markup=leaf.is_html, subject=subject, further=further)
    if asked:
        leaf.rewrite(rest, charset)
        leaf.substance = bodies.substance(leaf.data or b"", leaf.charset, markup=leaf.is_html)
    return asked
