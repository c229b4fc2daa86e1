"""Charsets by the names that mails and web pages give them, what is meant by those, and texts that are in them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache

WESTERN = "cp1252"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_PAGE = re.compile(r"^(?:x-)?(?:windows|win|ibm|dos|ms-cp|cp)-?(\d{3,5})$")  # a page of code by its number
_ISO = re.compile(r"^iso-?8859-?(\d{1,2})$")  # a part of ISO 8859
_IN_MARKUP = re.compile(
    rb"""<\?xml\s[^>]{0,200}?\bencoding\s*=\s*["']([\w.:-]+)|<meta\s[^>]{0,300}?\bcharset\s*=\s*+["']?\s*+([\w.:-]+)""", re.IGNORECASE
)  # fmt: skip
_JAPANESE = re.compile(rb"\x1b\$[@B][!-~]{2}")  # how ISO-2022-JP goes over to its letters
_FOREIGN = re.compile(rb"[\xa1-\xff]{4,}")  # Western words have fewer letters beyond ASCII in a row
_FOREIGN_SIZE, _FOREIGN_LETTERS = 12, 8  # of all of them, and how many different ones
_OF_DOS = re.compile(rb"[A-Za-z][\x81\x82\x84\x87\x88\x94][A-Za-z]")  # letters there; quotes, or nothing, in Western
# letters of Central Europe, Polish ones above all, where Western has signs; and those that ISO 8859-2 has elsewhere than Windows
_CENTRAL = re.compile(rb"[A-Za-z][\xb1\xb3\xb6\xb9\xbc\xbe\xbf]{1,2}[a-z]")
_CENTRAL_OF_ISO = re.compile(rb"[A-Za-z][\xb1\xb6\xbc\xbe][a-z]")
_CENTRAL_LEAST = 2  # of them
# the letters beyond ASCII of languages that are written in Western (German, French, Spanish and Catalan, Portuguese, Italian, Dutch,
# Norwegian, Swedish, Estonian, Icelandic, Faroese, Albanian, Welsh), with those of names, and of others by their charset
_WESTERN_LANGUAGES = tuple(
    map(
        frozenset,
        "äöüßéèàáêôëïçñ àâæçèéêëîïôùûüÿœñöä áéíñóúüïçàèòö· áâãàçéêíóôõúüè àèéìíîïòóùúüö äëéèêïíóöüûôâàáúçîñ æøåäöéüèêóòôâà"
        " åäöéüšžøæ äöüõšž áéíóúýðþæö áíóúýðæøå ëçê àèìòùáéóâêîôûŵŷäëïöü".split(),
    )
)
_CENTRAL_LANGUAGES = tuple(  # Hungarian, Czech, Slovak, Polish, Romanian, Croatian and its kin
    map(frozenset, "áéíóöőúüű áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž ąćęłńóśźż ăâîşţ čćđšž".split())
)
_LANGUAGES = (
    (WESTERN, _WESTERN_LANGUAGES),
    ("cp1250", _CENTRAL_LANGUAGES),
    ("iso-8859-2", _CENTRAL_LANGUAGES),
    ("cp1254", (frozenset("çğıiöşüâîû\u0307"),)),  # Turkish
    ("cp1257", (frozenset("ąčęėįšųūž"), frozenset("āčēģīķļņšūž"))),  # Lithuanian, Latvian
)
_LETTER = re.compile(  # at the beginning or end of a word, or of those that are signs in Western, within one
    rb"(?<=[A-Za-z])[\x8a\x8c-\x8f\x9a\x9c-\x9f\xc0-\xff]|[\x8a\x8c-\x8f\x9a\x9c-\x9f\xc0-\xff](?=[A-Za-z])"
    rb"|(?<=[A-Za-z\xc0-\xff])[\xa1-\xbf](?=[a-z\xc0-\xff])"
)
_DIFFERENT, _OFTEN = 4, 50  # letters beyond ASCII that such a text has at least, and one in so many
_OF_WINDOWS = re.compile(rb"[\x80-\x9f]")
_HIGH = bytes(range(128, 256))
_WIDE = ("utf-16", "utf-32")
_NARROW = 8  # bytes in which they can be told apart
_PRINTED = bytes((9, 10, 12, 13, *range(32, 127)))
_EASTERN = {"cp932", "euc_jp", "gb18030", "big5hkscs", "cp949", "cp950", "johab"}
_TWO_BYTES = re.compile("[\x80-\u07ff]")  # letters that have so many in UTF-8
_STRAY = "faxgateway-stray"  # how what is no UTF-8 is read
_LONG_START = 65_536  # bytes in which there are some
_START = 4096  # bytes in which a web page says its charset

# Names that Python does not know (cp and the numbers of Windows, as Outlook has them in a winmail.dat, too), and charsets that senders
# claim while writing a superset, also as Python calls them: by what is meant.
_ALIASES = {
    WESTERN: "ascii us-ascii ansi-x3.4-1968 iso-8859-1 latin1 latin-1 x-ansi ansi 8859-1 cp20127 cp28591 iso8859-1",
    "cp1254": "iso-8859-9 cp28599 iso8859-9",
    "cp874": "iso-8859-11 tis-620 iso8859-11",
    "iso-8859-8": "iso-8859-8-i iso-8859-8-e logical visual csiso88598i",
    "iso-8859-6": "iso-8859-6-i iso-8859-6-e",
    "macintosh": "x-mac-roman mac x-macroman cp10000",
    "gb18030": "gb2312 gb-2312-80 gbk x-gbk x-euc-cn csgb2312 gb-2312 gb-18030 cn-gb cp54936",
    "big5hkscs": "big5 x-big5 x-x-big5 cn-big5",
    "cp949": "ks-c-5601-1987 ksc5601 euc-kr ksc-5601 cseuckr ks-c-5601-1989 csksc56011987 cp51949",
    "cp932": "shift-jis x-sjis windows-31j x-shift-jis",
    "euc-jp": "x-euc-jp x-eucjp cseucpkdfmtjapanese cp51932",
    "utf-7": "unicode-1-1-utf-7 cp65000",
    "utf-8": "unicode-1-1-utf-8 utf8mb4 x-utf-8",
    "utf-16-le": "unicode ucs-2 iso-10646-ucs-2 csunicode unicodefeff cp1200",
    "utf-16-be": "unicodefffe cp1201",
    "iso-2022-jp": "iso-2022-jp-ms cp50220 cp50221",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "mac-greek": "x-mac-greek",
    "mac-turkish": "x-mac-turkish",
    "mac-latin2": "x-mac-ce",
    "koi8-r": "koi koi8 koi8r cp20866",
    "koi8-u": "koi8-ru cp21866",
    "iso-8859-2": "cp28592",
    "iso-8859-5": "cp28595",
    "iso-8859-15": "cp28605",
}  # fmt: skip
_MEANT = {name: meant for meant, names in _ALIASES.items() for name in names.split()}
# Python codecs that are no charsets: they are slow on long input, run their own escapes, or make no text.
_NONE = frozenset(
    "idna punycode unicode-escape raw-unicode-escape undefined mbcs oem base64 bz2 hex quopri rot-13 uu zlib".split()
)


@lru_cache(maxsize=256)
def codec(charset: str | None) -> str | None:
    """The Python codec that the name of a charset means, None when there is none to trust."""
    if not charset or not _NAME.fullmatch(charset):
        return None
    name = _ISO.sub(r"iso-8859-\1", _PAGE.sub(r"cp\1", charset.lower().replace("_", "-")))
    try:
        found = codecs.lookup(_MEANT.get(name, name)).name
        found = codecs.lookup(_MEANT.get(found.replace("_", "-"), found)).name
    except (LookupError, ValueError):
        return None
    return None if found.replace("_", "-") in _NONE else found


def to_text(data: bytes, charset: str | None = None) -> str:
    """Decode text as its sender meant it; never raises.

    Where the charset is unknown or wrong, UTF-8 is taken if most of it is UTF-8, else Windows-1252: every byte gives
    some character.
    """
    if not charset and data.isascii():
        return data.decode("ascii")
    declared = codec(charset)
    if (sure := read_surely(data, declared)) is not None:
        return sure
    if declared in (None, WESTERN, "utf-8"):
        text = mostly_utf8(data)
        return data.decode(WESTERN, "replace") if text is None else text
    return data.decode(declared, "replace")


def says_nothing(charset: str | None) -> bool:
    """Whether a text beyond ASCII that is declared so may be in any charset."""
    return codec(charset) is None or str(charset).lower() in ("ascii", "us-ascii")


def read(data: bytes, name: str | None) -> str | None:
    """The text in ``data`` if it is in the charset of a :func:`codec`, else None."""
    if name is None or (name.startswith(_WIDE) and _is_narrow(data)) or _is_utf8(data, name):
        return None
    return _decoded(data, name)


def read_surely(data: bytes, declared: str | None) -> str | None:
    """The text in ``data`` if it is in the ``declared`` charset, or in UTF-8; else None, and for Western, which takes almost anything."""
    texts = (read(data, name) for name in (declared, "utf-8") if name != WESTERN)
    return next((text for text in texts if text is not None), None)


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeError:
        pass
    # Windows puts letters of its own into it, most of which the charset of 2004 has in their places
    if name == "iso2022_jp":
        return _decoded(data.replace(b"\x1b$B", b"\x1b$(Q"), "iso2022_jp_2004")
    return None


def _is_narrow(data: bytes) -> bool:
    """Whether a text that is said to have two or four bytes a letter has one: no byte is zero, as one of a blank is, and most are
    printed ones of ASCII.
    """
    return len(data) >= _NARROW and b"\0" not in data and len(data.translate(None, _PRINTED)) * 4 < len(data)


def _is_utf8(data: bytes, name: str) -> bool:
    """Whether a text that is said to be in another charset is UTF-8, which few in those can look like: of two bytes a letter
    those of letters that have three there.
    """
    if data.isascii() or name.startswith("utf"):
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return name not in _EASTERN or not _TWO_BYTES.search(text)


def meant(charset: str | None, data: bytes) -> str | None:
    """The charset that is declared. Where that is none or Western, which many say by habit: what the text says of itself, or
    None where it cannot be Western.
    """
    if codec(charset) not in (None, WESTERN):
        return charset
    return said_in(data) or (
        None if is_foreign(data) or is_of_dos(data) else by_letters(data) or central(data) or charset
    )


def is_foreign(data: bytes) -> bool:
    """Whether a text in some charset of a byte a letter has words that no Western language has."""
    if data.isascii():
        return False
    letters = b"".join(_FOREIGN.findall(data[:_LONG_START]))
    return len(letters) >= _FOREIGN_SIZE and len(set(letters)) >= _FOREIGN_LETTERS


def is_of_dos(data: bytes) -> bool:
    """Whether a Western text has its letters where DOS had them (code page 850)."""
    return _is_latin(data) and bool(_OF_DOS.search(data))


def by_letters(data: bytes) -> str:
    """The charset in which the letters of a text are those of one language, Western before all others; "" where there is none."""
    if not _is_latin(data):
        return ""
    found = _LETTER.findall(data, 0, _LONG_START)
    letters = b"".join(set(found))
    if len(found) * _OFTEN < min(len(data), _LONG_START):
        return ""
    return next((name for name, languages in _LANGUAGES if _are_of(letters, name, languages)), "")


def _are_of(letters: bytes, charset: str, languages: Sequence[frozenset[str]]) -> bool:
    """Whether the letters are enough, and one of the languages has them all."""
    said = set((_decoded(letters, charset) or "").lower())
    return len(said) >= _DIFFERENT and any(said <= language for language in languages)


def central(data: bytes) -> str:
    """The charset of a text with letters of Central Europe where a Western one would have signs within words, "" of others."""
    if not _is_latin(data) or len(_CENTRAL.findall(data, 0, _LONG_START)) < _CENTRAL_LEAST:
        return ""
    return "iso-8859-2" if _CENTRAL_OF_ISO.search(data) and not _OF_WINDOWS.search(data) else "cp1250"


def _is_latin(data: bytes) -> bool:
    """Whether there are letters beyond ASCII, and few of them."""
    high = len(data) - len(data.translate(None, _HIGH))
    return 0 < high * 4 < len(data)


def mostly_utf8(data: bytes) -> str | None:
    """A text in UTF-8 with a little of another charset in it, a footer say, which is read as Western; None of any other."""
    high = len(data) - len(data.translate(None, _HIGH))
    strays = len(data) - len(data.decode("utf-8", "ignore").encode())
    return data.decode("utf-8", _STRAY) if strays * 4 < high else None


def _stray(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    is_cut = error.end == len(error.object) and error.reason == "unexpected end of data"
    return "\ufffd" if is_cut else error.object[error.start : error.end].decode(WESTERN, "replace"), error.end


codecs.register_error(_STRAY, _stray)


def is_japanese(data: bytes) -> bool:
    """Whether a text says by its escapes that it is in ISO-2022-JP."""
    return data.isascii() and bool(_JAPANESE.search(data[:_LONG_START]))


def said_in(data: bytes) -> str | None:
    """The charset that HTML or XML says of itself, or Japanese text by its escapes; None where it says none, or one it
    cannot be in as we read that.
    """
    if is_japanese(data):
        return "iso2022_jp"
    found = _IN_MARKUP.search(data[:_START])
    name = codec((found[1] or found[2]).decode("ascii", "replace")) if found else None
    return None if name is None or name.startswith(_WIDE) else name
