"""Of the forms that one message text comes in, the one to print."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

from gateway.charsets import to_text
from gateway.mail import bodies, enriched
from gateway.mail.leaf import Leaf

ALL = {"text/plain", "text/html"}  # a message text is one of these; other text/* are forms of it nobody prints
ALONE = ALL | enriched.TYPES  # those may be one, too, where it has no other form
_FULL = 2 / 3  # plain text that has less of what the HTML says is a stub, or lacks something
_FEW = 3  # words, which tell too little
_SPARE = 3  # the text of a winmail.dat is this many times longer where it is none that the mail has, too
CALENDAR = "text/calendar"
ENTRY = "calendar entry"  # what programs put beside the text of an invitation
_COPY = "it is also attached"
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*+<(?:!doctype html|html)[\s>]", re.IGNORECASE)
_DOCUMENT = re.compile(rb"%PDF-1\.|\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|PK\x03\x04|\xd0\xcf\x11\xe0")
_OTHER_FORM = ("message text in another form", "the message text is taken from its other form")
# where a picture stands in the HTML, the plain form has its Content-ID (Outlook) or its name (Gmail, Apple Mail)
_PLACE = re.compile(r"\[cid:([^\s\[\]]{1,500})\]|\[image: ([^\[\]\r\n]{1,200})\]|<([^<>\r\n]{1,200})>")


def simplify(leaf: Leaf) -> None:
    """Take the marks out of a message text that is printed without them, and see a page of HTML that is labelled a text, and a
    document that is labelled such a page.
    """
    if leaf.type in enriched.TYPES:
        leaf.rewrite(enriched.plain(to_text(leaf.data or b"", leaf.charset)), "utf-8")
    elif leaf.type == "text/plain" and _PAGE.match(leaf.data or b""):
        leaf.type, leaf.is_flowed = "text/html", False
    elif leaf.is_html and _DOCUMENT.match(leaf.data or b""):
        leaf.type = "text/plain"  # of which it is known that it may be anything


def choose(children: list[list[Leaf]]) -> None:
    """Of the forms one message text comes in, keep the one to print: plain text, unless it is empty or a stub.

    Documents are kept in every branch: Apple Mail puts them inside the HTML form alone.
    """
    texts = [[leaf for leaf in child if leaf.message_text and not leaf.left_out] for child in children]
    sizes = [sum(leaf.substance for leaf in child if leaf.type in ALL) for child in texts]
    rich = [n for n, child in enumerate(texts) if any(leaf.is_html for leaf in child)]
    plain = [n for n, child in enumerate(texts) if n not in rich and any(leaf.type in ALL for leaf in child)]
    best_rich = max(rich, key=sizes.__getitem__, default=None)
    chosen = max(plain, key=sizes.__getitem__, default=best_rich)
    if (
        best_rich is not None
        and chosen is not None
        and (
            sizes[chosen] <= sizes[best_rich] * _FULL
            or _lacks_words(ours := _words(texts[chosen]), theirs := _words(texts[best_rich]))
            or _lacks_numbers(ours, theirs)
            or _is_source(texts[chosen], texts[best_rich])
        )
    ):
        chosen = best_rich  # also when both are empty: then it shows pictures
    # two that are plain and differ are no forms of one text
    said = {tuple(leaf.data for leaf in texts[n]): n for n in [*plain, chosen] if n is not None}
    printed = set(said.values()) if chosen in plain else {chosen}
    is_mute = chosen is None or all(leaf.is_blank for leaf in texts[chosen])
    for number, child in enumerate(texts):
        for leaf in child:
            if is_mute and (chosen is None or leaf.type not in ALL):
                leaf.message_text = False  # a calendar entry alone, say: an attachment like others
            elif leaf.type == CALENDAR:  # the text may not say when and where
                leaf.message_text, leaf.name = False, ENTRY
            elif not leaf.is_blank and (number not in printed or leaf.type not in ALL):
                leaf.name, leaf.left_out = _OTHER_FORM
    if chosen in plain and best_rich is not None:
        plainly, richly = ([leaf for leaf in texts[n] if leaf.type in ALL] for n in (chosen, best_rich))
        if len(plainly) == len(richly) == 1:  # several stand around documents
            plainly[0].rich = richly[0]


def choose_twins(children: list[list[Leaf]]) -> None:
    """As :func:`choose`, of a plain text and the same in HTML right behind it that do not say they are forms of one text."""
    for first, second in pairwise(children):
        if len(first) == len(second) == 1 and first[0].message_text and second[0].message_text:
            (ours,), (theirs,) = first, second
            if (ours.type, theirs.type) == ("text/plain", "text/html") and bodies.say_the_same(
                ours.data or b"", ours.charset, theirs.data or b"", theirs.charset
            ):
                choose([first, second])


def without_places(leaves: list[Leaf], shown: Collection[str]) -> list[Leaf]:
    """Take out of plain texts what marks the places of pictures that came with the mail, and the lines of nothing else.

    ``shown``: Content-IDs of those its HTML texts show, in lower case.
    """
    pictures = [leaf for leaf in leaves if (leaf.content_id or "").lower() in shown]
    marks = {mark.lower() for leaf in pictures for mark in (leaf.content_id or "", leaf.name)}
    for leaf in leaves if pictures else ():
        if leaf.type != "text/plain" or leaf.data is None:
            continue
        text, charset = leaf.editable
        bare = "".join(_without_places(line, marks) for line in text.splitlines(keepends=True))
        if bare != text:
            leaf.rewrite(bare, charset)
            leaf.substance = bodies.substance(leaf.data, leaf.charset, markup=False)
    return leaves


def _without_places(line: str, marks: set[str]) -> str:
    rest = _PLACE.sub(lambda place: "" if (place[1] or place[2] or place[3]).lower() in marks else place[0], line)
    return rest if rest == line or rest.strip("> \t\r\n") else ""


def _is_source(texts: list[Leaf], others: list[Leaf]) -> bool:
    """Whether ``texts`` that are labelled plain are the HTML of the ``others``, with its tags."""
    ours, theirs = ([leaf.data or b"" for leaf in each if leaf.type in ALL] for each in (texts, others))
    return any(b"</" in data for data in ours) and [data.split() for data in ours] == [data.split() for data in theirs]


def _lacks_words(ours: set[str], theirs: set[str]) -> bool:
    """Whether these are so few of their words, by their letters, that they are no form of the same: they ask for another mail
    program, say, or lead to a web page.
    """
    return len(theirs) > _FEW and sum(map(len, theirs & ours)) < sum(map(len, theirs)) * _FULL


def _lacks_numbers(ours: set[str], theirs: set[str]) -> bool:
    """Whether these are without a number of theirs, such as one of a table that a program left out of its plain text."""
    said = " ".join(ours)  # within a word, too: HTML may part it by marks (m²)
    return any(word.isdecimal() and word not in said for word in theirs - ours)


def _words(texts: list[Leaf]) -> set[str]:
    forms = (leaf for leaf in texts if leaf.type in ALL)
    return {word for leaf in forms for word in bodies.words(leaf.data or b"", leaf.charset, markup=leaf.is_html)}


def without_spare(leaves: list[Leaf]) -> list[Leaf]:
    """A winmail.dat repeats the text of the mail it is in: it is printed where it says far more, or something else, as where a
    server has written nothing but a notice beside it. An attached calendar entry repeats the one beside the text.
    """
    entries = [leaf for leaf in leaves if leaf.type == CALENDAR and leaf.name == ENTRY]
    if any(leaf.name.lower().endswith(".ics") for leaf in leaves):
        for leaf in entries:
            leaf.left_out = _COPY
    texts = [leaf for leaf in leaves if leaf.message_text and not leaf.left_out]
    own = [leaf for leaf in texts if not leaf.spare]
    said = sum(leaf.substance for leaf in own)
    for leaf in texts:
        is_less = leaf.spare and said and leaf.substance < _SPARE * said and not leaf.defect
        if is_less and not _lacks_words(_words(own), _words([leaf])):
            leaf.name, leaf.left_out = _OTHER_FORM
        leaf.spare = False
    return leaves
