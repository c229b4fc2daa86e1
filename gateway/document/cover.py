"""Cover pages: a Jinja2 template and what is to stand on it become a fax page.

Templates are files ``NAME.cover``: those shipped here, and those of a directory of the administrator's. They are filled in
within Jinja2's sandbox and drawn by :mod:`gateway.document.layout`; no HTML, nothing fetched, nothing included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import Image

from gateway.document import layout, progress, raster, text
from gateway.document.cover_choice import MODES, SHIPPED, SUFFIX
from gateway.document.cover_words import WORDS, date
from gateway.document.refusal import Unfaxable

FIELDS = (
    "to", "to_company", "to_fax",
    "from", "from_company", "from_department", "from_fax", "from_voice", "from_email",
    "date", "time", "pages", "regarding", "reference", "comments", "confidentiality",
)  # fmt: skip
SHORT = 1200  # characters of a message text that may stand on the cover page
LARGEST = 40_000  # bytes of one, which may be HTML

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_OF_LINES = ("comments", "confidentiality")
_LONGEST = 200  # characters of a field that is one line


class CoverError(ValueError):
    """A template that cannot be used, or several; each message names it, what is wrong, and where."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def own(directory: Path) -> dict[str, str]:
    """The templates of a directory by their names, each tried out in every language.

    Raises CoverError with what is wrong with each.
    """
    try:
        files = sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else None
    except OSError as error:
        raise CoverError(f"the cover pages in {directory} cannot be read: {error.strerror}") from error
    if files is None:
        raise CoverError(f"there is no directory of cover pages {directory}")
    if not files:
        raise CoverError(f"there is no cover page in {directory}: each is a file NAME{SUFFIX}")
    found: dict[str, str] = {}
    problems: list[str] = []
    for path in files:
        try:
            found[path.stem] = _usable(path)
        except CoverError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise CoverError(*problems)
    return found


def _usable(path: Path) -> str:
    """The template in a file, tried out. Raises CoverError."""
    if not _NAME.fullmatch(path.stem) or path.stem in MODES:
        raise CoverError(f"a cover page is named by small letters, digits, - and _, and none of {', '.join(MODES)}")
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CoverError(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CoverError("it is not UTF-8 text; save it as UTF-8") from error
    try_out(source)
    return source


def try_out(source: str) -> None:
    """Draw a template in every language, with every field filled and with none. Raises CoverError."""
    for language in WORDS:
        for facts in (dict.fromkeys(FIELDS, "Example"), {}):
            draw(source, {**facts, "at": 0.0, "language": language}, 2, raster.grid("letter", "standard"))


def page(options: Mapping[str, Any], comments: str, pages: int, target: raster.Grid) -> raster.Page | None:
    """The cover page of a fax of ``pages``, itself among them; None when it is more than a page, or the comments are not on it.

    ``options``: its name (``cover``), what stands on it (``cover_facts``), and the administrator's templates by their names
    (``covers``). Raises Unfaxable.
    """
    name = options["cover"]
    own_templates = options.get("covers") or {}
    source = own_templates[name] if name in own_templates else _source(name)
    facts = {**options.get("cover_facts", {}), "comments": comments}
    if any(len(str(facts.get(each) or "")) > _LONGEST for each in FIELDS if each not in _OF_LINES):
        progress.note(f"what has more than {_LONGEST} characters, such as a long subject, is cut off on it")
    try:
        image, fits = draw(source, facts, pages, target)
    except CoverError as error:
        raise Unfaxable(
            f"the cover page {name} cannot be made ({error}); tell the administrator of the gateway"
        ) from error
    return raster.Page(image, target.y_dpi) if fits else None


def draw(source: str, facts: Mapping[str, Any], pages: int, target: raster.Grid) -> tuple[Image.Image, bool]:
    """A filled-in template as a picture, and whether all of it is on it, the comments too: a template need not have them,
    or may cut them. ``at`` in the facts is the time (s). Raises CoverError.
    """
    language = str(facts.get("language") or "en")
    words = WORDS.get(language, WORDS["en"])
    when = datetime.fromtimestamp(float(facts.get("at", 0.0))).astimezone()
    values: dict[str, Any] = {name: _cleaned(str(facts.get(name) or ""), lines=name in _OF_LINES) for name in FIELDS}
    values |= {"date": date(when, language if language in WORDS else "en"), "time": f"{when:%H:%M}", "pages": pages}
    said = values["confidentiality"]
    values["confidentiality"] = "" if said == "none" else said or words["notice"]
    values["sender"] = values.pop("from")  # a word of the template's own language
    try:
        template = _environment().from_string(source)
        image, fits, shown = layout.picture(template.render(**values, words=words, language=language), target)
        if fits and values["comments"]:
            bare = template.render(**{**values, "comments": ""}, words=words, language=language)
            fits = _count(values["comments"], shown) > _count(values["comments"], layout.picture(bare, target)[2])
    except jinja2.TemplateSyntaxError as error:
        raise CoverError(f"line {error.lineno}: {error.message}") from error
    except (jinja2.TemplateError, TypeError, ArithmeticError, LookupError, ValueError) as error:
        raise CoverError(str(error)) from error
    return image, fits


def _count(content: str, shown: str) -> int:
    """How often it stands there, however lines are broken, and in capitals too."""
    return "".join(shown.split()).casefold().count("".join(content.split()).casefold())


def _cleaned(value: str, *, lines: bool) -> str:
    """What can be printed of it, on one line or more."""
    if not lines:
        line = " ".join(text.clean(value.replace("\n", " ")).split())
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return "\n".join(text.clean(line) for line in value.replace("\r\n", "\n").replace("\r", "\n").split("\n")).strip()


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)


@cache
def _source(name: str) -> str:
    return (SHIPPED / f"{name}{SUFFIX}").read_text(encoding="utf-8")
