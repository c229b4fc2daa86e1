"""A page described in a few elements of XML becomes a picture: a small layout of our own for cover pages.

``<page>`` holds, one below the other: ``<text>`` (wrapped), ``<field label="...">`` (a label and what it says, nothing
where that is empty), ``<rule/>``, ``<space/>``, ``<columns>`` of ``<column>``, ``<box>`` (with a border or black) and
``<fill/>`` (what is left of the page). Lengths are inches, sizes and weights points. docs/cover-pages.md has them all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from xml.etree import ElementTree as ET

from PIL import Image, ImageDraw

from gateway.document.raster import FINE, WIDTH, X_DPI, Grid
from gateway.document.text import Typesetter

_FACES = {
    ("sans", False): "DejaVuSans",
    ("sans", True): "DejaVuSans-Bold",
    ("serif", False): "DejaVuSerif",
    ("serif", True): "DejaVuSerif-Bold",
    ("mono", False): "DejaVuSansMono",
    ("mono", True): "DejaVuSansMono",
}
_LEVEL = 150  # grey of a smoothed edge up to which it is ink: a little bolder than half
_DEEPEST = 20
_LEAST_SHARE = 0.7  # of its size, to which a text is made smaller for one long word
_BETWEEN = 0.1  # inches between a label and what it says


class LayoutError(ValueError):
    """The description of the page has a mistake, which the message names."""


@dataclass(frozen=True, slots=True)
class _Style:
    """What the elements within inherit."""

    font: str = "sans"
    size: float = 11.0
    bold: bool = False
    align: str = "left"
    ink: int = 0
    leading: float = 1.3
    spacing: float = 0.0  # points between letters


@lru_cache(maxsize=64)
def _setter(face: str, points: float) -> Typesetter:
    return Typesetter(face, points)


class _Node(ABC):
    """Something with a height at a width; ``grows`` when it takes what is left of the page."""

    grows = False

    @abstractmethod
    def height(self, width: float) -> float: ...

    @abstractmethod
    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float) -> None:
        """``height`` is at least its own."""


class _Text(_Node):
    def __init__(self, text: str, style: _Style, most: int) -> None:
        self._style, self._most = style, most
        self._text = text.strip()
        self.shown = ""  # what of it was drawn
        self._use(style.size)

    def _use(self, size: float) -> None:
        self._setter = _setter(_FACES[self._style.font, self._style.bold], size)
        self._line = size * self._style.leading * FINE / 72

    def _lines(self, width: float) -> list[str]:
        size = self._style.size
        longest = max(self._text.split(), key=len, default="")
        self._use(size)
        while size > _LEAST_SHARE * self._style.size and self._setter.length(longest) > width:
            size -= 0.5  # an address is rather a little smaller than broken in two
            self._use(size)
        spaced = width - self._style.spacing * X_DPI / 72 * len(self._text) if self._style.spacing else width
        lines = [piece for line in self._text.split("\n") for piece in self._setter.wrap(line, max(1.0, spaced))]
        if self._most and len(lines) > self._most:
            lines = [*lines[: self._most - 1], f"{lines[self._most - 1].rstrip()[:-1]}…"]
        return lines

    def height(self, width: float) -> float:
        return len(self._lines(width)) * self._line if self._text else 0.0

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, _height: float) -> None:
        style, gap = self._style, self._style.spacing * X_DPI / 72
        lines = self._lines(width) if self._text else []
        self.shown = " ".join(lines)
        for line in lines:
            room = width - self._setter.length(line) - gap * max(0, len(line) - 1)
            at = x + {"left": 0.0, "center": room / 2, "right": room}[style.align]
            for piece in line if gap else (line,):
                self._setter.draw(canvas, at, y, piece, style.ink)
                at += self._setter.length(piece) + gap
            y += self._line


class _Space(_Node):
    def __init__(self, inches: float, *, grows: bool = False) -> None:
        self._height = inches * FINE
        self.grows = grows

    def height(self, _width: float) -> float:
        return self._height

    def draw(self, *_where: object) -> None:
        pass


class _Rule(_Node):
    def __init__(self, weight: float, ink: int) -> None:
        self._weight, self._ink = max(2, round(weight * FINE / 72)), ink

    def height(self, _width: float) -> float:
        return float(self._weight)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, _height: float) -> None:
        canvas.rectangle((round(x), round(y), round(x + width) - 1, round(y) + self._weight - 1), fill=self._ink)


class _Flow(_Node):
    """One below the other; those that grow share what is left."""

    def __init__(self, nodes: list[_Node]) -> None:
        self._nodes = nodes
        self.grows = any(node.grows for node in nodes)

    def height(self, width: float) -> float:
        return sum(node.height(width) for node in self._nodes)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float) -> None:
        growing = sum(node.grows for node in self._nodes)
        more = max(0.0, height - self.height(width)) / growing if growing else 0.0
        for node in self._nodes:
            own = node.height(width) + (more if node.grows else 0.0)
            node.draw(canvas, x, y, width, own)
            y += own


class _Columns(_Node):
    def __init__(self, columns: list[_Flow], widths: list[float], gap: float) -> None:
        self._columns, self._gap = columns, gap * X_DPI
        self._shares = [share / sum(widths) for share in widths]

    def _widths(self, width: float) -> list[float]:
        return [share * (width - self._gap * (len(self._shares) - 1)) for share in self._shares]

    def height(self, width: float) -> float:
        pairs = zip(self._columns, self._widths(width), strict=True)
        return max(column.height(each) for column, each in pairs)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float) -> None:
        for column, each in zip(self._columns, self._widths(width), strict=True):
            column.draw(canvas, x, y, each, height)
            x += each + self._gap


class _Field(_Node):
    def __init__(self, label: _Text, said: _Text, wide: float, after: float) -> None:
        self._label, self._said = label, said
        self._wide, self._after = wide * X_DPI, after * FINE

    def _rest(self, width: float) -> float:
        return max(X_DPI / 2, width - self._wide - _BETWEEN * X_DPI)

    def height(self, width: float) -> float:
        return max(self._label.height(self._wide), self._said.height(self._rest(width))) + self._after

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float) -> None:
        self._label.draw(canvas, x, y, self._wide, height)
        self._said.draw(canvas, x + self._wide + _BETWEEN * X_DPI, y, self._rest(width), height)


class _Box(_Node):
    def __init__(self, inside: _Flow, padding: float, border: float, *, black: bool, grows: bool) -> None:
        self._inside, self._black, self.grows = inside, black, grows
        self._x, self._y = padding * X_DPI, padding * FINE
        self._border = max(2, round(border * FINE / 72)) if border else 0

    def height(self, width: float) -> float:
        return self._inside.height(width - 2 * self._x) + 2 * self._y

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float) -> None:
        edges = (round(x), round(y), round(x + width) - 1, round(y + height) - 1)
        if self._black:
            canvas.rectangle(edges, fill=0)
        elif self._border:
            canvas.rectangle(edges, outline=0, width=self._border)
        self._inside.draw(canvas, x + self._x, y + self._y, width - 2 * self._x, height - 2 * self._y)


# --- reading the description ------------------------------------------------------------------------------------------


class _Reader:
    """From elements to nodes. Raises LayoutError."""

    def __init__(self) -> None:
        self.texts: list[_Text] = []
        self._makers: dict[str, Callable[[ET.Element, _Style, int], _Node | None]] = {
            "text": self._text, "field": self._field, "rule": self._rule, "space": self._space, "fill": self._fill,
            "columns": self._columns, "box": self._box,
        }  # fmt: skip

    def flow(self, element: ET.Element, style: _Style, deep: int) -> _Flow:
        if deep > _DEEPEST:
            raise LayoutError(f"elements stand more than {_DEEPEST} deep in each other")
        if (element.text or "").strip() and element.tag not in ("text", "field"):
            raise LayoutError(f"there is text directly in <{element.tag}>: put it into <text>")
        nodes = []
        for child in element:
            if child.tag not in self._makers:
                raise LayoutError(
                    f"there is no element <{child.tag}> in <{element.tag}>; there are {', '.join(self._makers)}"
                )
            if (child.tail or "").strip():
                raise LayoutError(f"there is text directly in <{element.tag}>: put it into <text>")
            node = self._makers[child.tag](child, _styled(child, style), deep + 1)
            if node is not None:
                nodes.append(node)
        return _Flow(nodes)

    def _text(self, element: ET.Element, style: _Style, _deep: int) -> _Node:
        return self._written(_content(element), element, style)

    def _written(self, content: str, element: ET.Element, style: _Style) -> _Text:
        self.texts.append(_Text(content, style, round(_number(element, "lines", 0))))
        return self.texts[-1]

    def _field(self, element: ET.Element, style: _Style, _deep: int) -> _Node | None:
        said = _content(element)
        if not said.strip():
            return None
        label = replace(style, bold=not style.bold, align="left", size=_number(element, "label-size", style.size))
        return _Field(
            _Text(element.get("label", ""), label, 0), self._written(said, element, style),
            _number(element, "label-width", 1.2), _number(element, "after", 0.06),
        )  # fmt: skip

    def _rule(self, element: ET.Element, style: _Style, _deep: int) -> _Node:
        return _Rule(_number(element, "weight", 1), style.ink)

    def _space(self, element: ET.Element, _style: _Style, _deep: int) -> _Node:
        return _Space(_number(element, "height", 0.1))

    def _fill(self, _element: ET.Element, _style: _Style, _deep: int) -> _Node:
        return _Space(0, grows=True)

    def _columns(self, element: ET.Element, style: _Style, deep: int) -> _Node:
        columns = [self.flow(child, _styled(child, style), deep + 1) for child in element if child.tag == "column"]
        if len(columns) != len(element) or not columns:
            raise LayoutError("<columns> holds <column> elements and nothing else")
        try:
            widths = [float(word) for word in element.get("widths", "1 " * len(columns)).split()]
        except ValueError:
            widths = []
        if len(widths) != len(columns) or min(widths) <= 0:
            raise LayoutError(
                f'<columns widths="{element.get("widths")}">: there is one number above 0 for each column'
            )
        return _Columns(columns, widths, _number(element, "gap", 0.3))

    def _box(self, element: ET.Element, style: _Style, deep: int) -> _Node:
        black = element.get("fill") == "black"
        inner = replace(style, ink=255) if black else style
        return _Box(
            self.flow(element, inner, deep), _number(element, "padding", 0.12), _number(element, "border", 1),
            black=black, grows=element.get("grow") == "yes",
        )  # fmt: skip


def _styled(element: ET.Element, style: _Style) -> _Style:
    font, align = element.get("font", style.font), element.get("align", style.align)
    if font not in ("sans", "serif", "mono"):
        raise LayoutError(f'<{element.tag} font="{font}">: it is sans, serif or mono')
    if align not in ("left", "center", "right"):
        raise LayoutError(f'<{element.tag} align="{align}">: it is left, center or right')
    bold = {"yes": True, "no": False}.get(element.get("bold", ""), style.bold)
    size = _number(element, "size", style.size)
    if not 4 <= size <= 200:
        raise LayoutError(f'<{element.tag} size="{size:g}">: a size is 4 to 200 points')
    return replace(
        style, font=font, align=align, bold=bold, size=size,
        leading=_number(element, "leading", style.leading), spacing=_number(element, "spacing", style.spacing),
    )  # fmt: skip


def _content(element: ET.Element) -> str:
    if len(element):
        raise LayoutError(f"<{element.tag}> holds text and nothing else")
    return element.text or ""


def _number(element: ET.Element, name: str, default: float) -> float:
    given = element.get(name)
    if given is None:
        return default
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1000:
        raise LayoutError(f'<{element.tag} {name}="{given}">: it is a number from 0 to 1000')
    return number


_ATTRIBUTES: Mapping[str, str] = {
    "page": "margin top",
    "text": "lines",
    "field": "label label-width label-size after lines",
    "rule": "weight",
    "space": "height",
    "fill": "",
    "columns": "widths gap",
    "column": "",
    "box": "padding border fill grow",
}
_ANYWHERE = "font size bold align leading spacing"


def _check_attributes(root: ET.Element) -> None:
    for element in root.iter():
        known = f"{_ATTRIBUTES.get(element.tag, '')} {_ANYWHERE}".split()
        for name in element.attrib:
            if name not in known:
                raise LayoutError(f"<{element.tag}> has no {name}; it has {', '.join(known)}")


def picture(source: str, target: Grid) -> tuple[Image.Image, bool, str]:
    """The page described by ``source`` as black and white of the grid, whether all of it fits, and the words of its texts,
    without those that ``lines`` has cut. Raises LayoutError.
    """
    _setter.cache_clear()  # a character that no font has is told of each page
    if "<!DOCTYPE" in source or "<!ENTITY" in source:
        raise LayoutError("a page has no document type of its own")
    try:
        root = ET.fromstring(source)  # noqa: S314  # no document type, hence no entities; values are escaped
    except ET.ParseError as error:
        raise LayoutError(f"it is no well-formed XML: {error}") from error
    if root.tag != "page":
        raise LayoutError(f"its outermost element is <{root.tag}> and not <page>")
    _check_attributes(root)
    reader = _Reader()
    inside = reader.flow(root, _styled(root, _Style()), 0)
    margin = _number(root, "margin", 0.7)
    top = _number(root, "top", margin)
    height = round(target.inches * FINE)
    width = WIDTH - 2 * margin * X_DPI
    room = height - (top + margin) * FINE
    if width < X_DPI or room < FINE:
        raise LayoutError("the margins leave no room on the page")
    page = Image.new("L", (WIDTH, height), 255)
    inside.draw(ImageDraw.Draw(page), margin * X_DPI, top * FINE, width, room)
    if height != target.height:
        page = page.resize((WIDTH, target.height), Image.Resampling.BOX)
    black = page.point([0] * _LEVEL + [255] * (256 - _LEVEL), "1")
    return black, inside.height(width) <= room + 1, " ".join(text.shown for text in reader.texts)
