"""Parameters of Content-Type and Content-Disposition, in every form senders write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from gateway import charsets
from gateway.charsets import to_text
from gateway.mail.words import decode_words

_VALUE = re.compile(r"\s*([^\s;/]*(?:\s*/\s*[^\s;]*)?)")
_MARKS = re.compile(r"[\s\"'<>]+")
_NAME = re.compile(r"[\s;]*([^=;]*)(=?)\s*", re.ASCII)
_NEXT = re.compile(r"\s[\w-]+=.*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]+|\\.)*)"?[^;]*', re.DOTALL)
_ENCODED = re.compile(r"(?:=\?[^?\s]*\?[bBqQ]\?[^?]*\?=\s*)+")
_ESCAPED = re.compile(r'\\(["\\])')
_PLAIN = re.compile(r"[^;]*")
# what most mailers write, where nothing can be meant in two ways
_SIMPLE = re.compile(r'([\w.+-]+(?:/[\w.+-]+)?)((?:; *[\w-]+=(?:"[^"\\=;]*"|[\w./+-]+))*)', re.ASCII)
_SIMPLE_PARAMETER = re.compile(r'([\w-]+)=(?:"([^"]*)"|([\w./+-]+))', re.ASCII)
_URL_CODED = re.compile(r"(?:[^%\s]|%[0-9A-Fa-f]{2})+")
_SAID = re.compile(r"([A-Za-z][\w-]{2,40})'[A-Za-z-]{0,10}'(\S*%[0-9A-Fa-f]{2}.*)", re.ASCII)
_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*?)", re.ASCII)


def parse(field: str) -> tuple[str, dict[str, str]]:
    """Split a field into its value, in lower case, and its parameters by lower-case name; never raises.

    RFC 2045 section 5.1 and RFC 2231 sections 3 and 4. Read as well: values without quotes that hold blanks, quotes
    that never end, a missing first semicolon, blanks around the slash, a value in quotes or brackets, backslashes of Windows paths, sections out of
    order. Where one name is given plain and extended (``name*``), the extended one is meant.
    """
    if not field:
        return "", {}
    if simple := _SIMPLE.fullmatch(field):
        pairs = reversed(_SIMPLE_PARAMETER.findall(simple[2]))  # of one name the first counts
        return simple[1].lower(), {name.lower(): quoted or word for name, quoted, word in pairs}
    head = _VALUE.match(field)
    assert head is not None  # matches the empty string too
    value = "" if "=" in head[1] else _MARKS.sub("", head[1]).lower()  # it begins with a parameter
    plain: dict[str, str] = {}
    whole: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    position = head.end() if value else 0
    while position < len(field):
        name = _NAME.match(field, position)
        assert name is not None
        position = name.end()
        if not name[2]:
            continue
        text, position = _value(field, position)
        kind = _SECTION.fullmatch(name[1].strip().lower())
        if kind is None:
            continue
        extended = bool(kind[3])
        if kind[2] is not None:
            sections.setdefault(kind[1], {}).setdefault(int(kind[2]), (extended, text))
        elif extended:
            whole.setdefault(kind[1], text)
        else:
            plain.setdefault(kind[1], text)
    for key, found in sections.items():
        plain[key] = _join(found) or plain.get(key, "")
    for key, text in whole.items():
        plain[key] = _join({0: (True, text)}) or plain.get(key, "")
    return value, plain


def _value(field: str, position: int) -> tuple[str, int]:
    if field.startswith('"', position):
        quoted = _QUOTED.match(field, position)
        assert quoted is not None
        # only what must be escaped is unescaped: other backslashes belong to a path
        return _ESCAPED.sub(r"\1", quoted[1]), quoted.end()
    encoded = _ENCODED.match(field, position)
    if encoded:
        return encoded[0].strip(), encoded.end()
    plain = _PLAIN.match(field, position)
    assert plain is not None
    return plain[0].strip(), plain.end()


def _join(sections: dict[int, tuple[bool, str]]) -> str:
    """Put RFC 2231 sections together; the charset stands before the first extended one."""
    charset = ""
    data = b""
    for number, (_, (extended, value)) in enumerate(sorted(sections.items())):  # some count from 1
        if not extended:
            data += value.encode("utf-8", "replace")
            continue
        if value.count("'") >= 2 and (not number or value.startswith(f"{charset}'")):  # some say it each time
            charset, _, value = value.split("'", 2)  # the language is of no use
        data += unquote_to_bytes(value)
    return to_text(data, charset.strip() or "utf-8")


def without_comment(value: str) -> str:
    """A value without the comment some mailers put behind it, as in ``us-ascii (Plain text)``."""
    value = value.strip()
    if value.endswith(")"):
        value = value[: value.rfind("(")].rstrip() if "(" in value else value
    return value.strip("'\"")


def charset_of(parameters: Mapping[str, str]) -> str:
    """The charset that is named, also where that is said twice, or no semicolon parts it from the next parameter."""
    return without_comment(_NEXT.sub("", parameters.get("charset", "")).rpartition("=")[2])


def display_name(parameter: str) -> str:
    """A file name parameter as it was meant: RFC 2047 section 5 forbids encoded words there, mailers write them; others
    write it as in a URL, or as RFC 2231 says where it does not hold.
    """
    name = decode_words(parameter)
    if (said := _SAID.fullmatch(name)) and charsets.codec(said[1]):
        return to_text(unquote_to_bytes(said[2]), said[1])
    if "%" not in name or not _URL_CODED.fullmatch(name):
        return name
    try:
        return unquote_to_bytes(name).decode("utf-8")
    except UnicodeDecodeError:
        return name
