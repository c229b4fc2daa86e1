"""The operators of a PDF for a line with its ends, and for what it encloses (ISO 32000-2, 12.5.6.7 and 12.5.6.9)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

Point = tuple[float, float]

_WING, _HALF = (-1.0, 0.58), 0.3  # of an arrow head, from its tip; of what is around the end of a line
_ROUND = [(_HALF * math.cos(n * math.pi / 8), _HALF * math.sin(n * math.pi / 8)) for n in range(16)]
# beyond the end of a line is the first number, at its side the second; and whether it is closed
_ENDS: dict[str, tuple[Sequence[Point], bool]] = {
    "/OpenArrow": ([_WING, (0, 0), (_WING[0], -_WING[1])], False),
    "/ClosedArrow": ([_WING, (0, 0), (_WING[0], -_WING[1])], True),
    "/ROpenArrow": ([(1, 0.58), (0, 0), (1, -0.58)], False),
    "/RClosedArrow": ([(1, 0.58), (0, 0), (1, -0.58)], True),
    "/Square": ([(-_HALF, -_HALF), (_HALF, -_HALF), (_HALF, _HALF), (-_HALF, _HALF)], True),
    "/Diamond": ([(-0.4, 0), (0, -0.4), (0.4, 0), (0, 0.4)], True),
    "/Circle": (_ROUND, True),
    "/Butt": ([(0, -0.5), (0, 0.5)], False),
    "/Slash": ([(-0.29, -0.5), (0.29, 0.5)], False),
}


def reach(width: float) -> float:
    """How far an end may reach beyond its line of this width, in points."""
    return 6 + 3 * width


def drawn(points: Sequence[float], width: float, *, closed: bool, fill: bytes = b"", ends: Sequence[str] = ()) -> bytes:
    """A black line through points, x and y in turn; ``ends``: the names of the shapes at its first and last point.

    ``fill`` is the operator for the colour of what it and its ends enclose, "" for none. A line of no width is not seen.
    """
    line = list(zip(points[::2], points[1::2], strict=True))
    shapes = [(line, closed)]
    if len(line) > 1:
        for (at, before), name in zip(((line[0], line[1]), (line[-1], line[-2])), ends, strict=False):
            if name in _ENDS:
                shape, is_closed = _ENDS[name]
                shapes.append((list(_placed(shape, at, before, reach(width))), is_closed))
    stroke = b"0 G %f w " % width if width else b""
    return b" ".join([fill, stroke, *(_shape(*each, bool(stroke), bool(fill)) for each in shapes)])


def _placed(shape: Sequence[Point], at: Point, before: Point, size: float) -> Iterator[Point]:
    turn = math.atan2(at[1] - before[1], at[0] - before[0])
    x, y = size * math.cos(turn), size * math.sin(turn)
    for along, beside in shape:
        yield at[0] + along * x - beside * y, at[1] + along * y + beside * x


def _shape(points: Sequence[Point], closed: bool, stroked: bool, filled: bool) -> bytes:
    steps = b" ".join(b"%f %f %s" % (x, y, b"l" if n else b"m") for n, (x, y) in enumerate(points))
    if closed and filled:
        return steps + (b" b" if stroked else b" f")
    return steps + (b" n" if not stroked else b" s" if closed else b" S")
