"""Message texts: how much there is to read in one, and which pictures it shows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import unquote

from gateway.charsets import to_text
from gateway.mail.markup import images, visible_spans

_ENOUGH, _TELLING = 1 << 18, 1 << 16
_LONGEST = 8 << 20  # bytes, as of all texts (document.sources)
# pictures within HTML, and the lines of files within other texts (uuencode)
_INLINE = re.compile(rb"(?i:data:)[^\"'()<>]*+|^M[ -`]{60}\r?$", re.MULTILINE)
_LOGO = 30_000  # CSS pixels, as 300 x 100
_CID = re.compile(r"cid:([^\s\"'<>()\\]{1,500})", re.IGNORECASE)
_ELSEWHERE = (
    (  # how Gmail, Outlook on the web, Apple Mail and Thunderbird write what they uploaded instead of attaching it
        re.compile(
            r"\bgmail_drive_chip\b|\bOwaReferenceAttachment|https://www\.icloud\.com/attachment/\?|\bcloudAttachmentList", re.IGNORECASE
        ),
        "an attachment is only a link to a file on the web (Google Drive, OneDrive, iCloud or the like); attach the file itself",
    ),
    (
        re.compile(r"https://confidential-mail\.google\.com/", re.IGNORECASE),
        "the mail is only a link to its text on the web (confidential mode); send it without that mode",
    ),
)  # fmt: skip
_WORD = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]|\\w+")  # where no blanks part them, each letter is one
_INVISIBLE = re.compile("[\\s\u00ad\u034f\u180e\u200b-\u200f\u2060\u2800\ufeff]+")


def substance(data: bytes, charset: str | None, *, markup: bool) -> int:
    """Printing characters in a message text; of HTML (``markup``) those a reader sees. Counts no further than needed:
    more than there is in the first :data:`_ENOUGH` bytes is only looked for when those are blank.
    """
    if len(data) > _ENOUGH and (found := substance(data[:_ENOUGH], charset, markup=markup)):
        return found
    return len(_INVISIBLE.sub("", _seen(data, charset, markup=markup)))


def is_too_long(data: bytes) -> bool:
    """Whether a message text can become no fax, and would take many seconds to look through while other mails wait."""
    return len(data) > _LONGEST and len(_INLINE.sub(b"", data)) > _LONGEST


def words(data: bytes, charset: str | None, *, markup: bool) -> set[str]:
    """The different words in the first :data:`_TELLING` bytes of a message text, as :func:`substance` has it, in lower case."""
    return set(_WORD.findall(_seen(data[:_TELLING], charset, markup=markup).lower()))


def say_the_same(plain: bytes, charset: str | None, rich: bytes, rich_charset: str | None) -> bool:
    """Whether a plain text and one in HTML, neither long, have the same words in the same order."""
    if max(len(plain), len(rich)) > _TELLING:
        return False
    return _WORD.findall(_seen(plain, charset, markup=False)) == _WORD.findall(_seen(rich, rich_charset, markup=True))


def _seen(data: bytes, charset: str | None, *, markup: bool) -> str:
    text = to_text(data, charset)
    if not markup:
        return text
    return html.unescape(" ".join(text[start:end] for start, end in visible_spans(text)))


def shown_ids(data: bytes, charset: str | None) -> frozenset[str]:
    """The Content-IDs an HTML text refers to (RFC 2392), without angle brackets, in lower case."""
    return _ids(to_text(data, charset))


def shows_web(text: str) -> bool:
    """Whether an HTML text shows pictures that it does not bring along."""
    return any(re.search(r"""\ssrc\s*=\s*+["']?\s*+https?:""", tag, re.IGNORECASE) for tag in images(text))


def elsewhere(text: str) -> str:
    """What an HTML text only links to, and what to do, where that is its own words or an attachment; "" for nothing."""
    return next((why for mark, why in _ELSEWHERE if mark.search(text)), "")


def logos(texts: Iterable[str]) -> frozenset[str]:
    """The Content-IDs of the pictures that HTML texts show as small as a logo, however many points they have."""
    small: set[str] = set()
    large: set[str] = set()
    for text in texts:
        for tag in images(text):
            (small if 0 < _side(tag, "width") * _side(tag, "height") < _LOGO else large).update(_ids(tag))
    return frozenset(small - large)


def _ids(text: str) -> frozenset[str]:
    ids = (unquote(html.unescape(match[1])) for match in _CID.finditer(text))
    return frozenset(name.strip("<>").lower() for name in ids)


def _side(tag: str, name: str) -> float:
    """CSS pixels of a picture's width or height, 0 where it says none."""
    found = re.search(rf"\s{name}\s*=\s*+[\"']?\s*+(\d{{1,5}})(?:px)?(?=[\"'\s/>])", tag, re.IGNORECASE) or re.search(
        rf"[\"';\s]{name}\s*:\s*(\d{{1,5}})(?:\.\d*)?px", tag, re.IGNORECASE
    )
    return float(found[1]) if found else 0.0
