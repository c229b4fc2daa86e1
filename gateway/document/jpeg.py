"""Whether a JPEG is whole (ITU-T T.81): decoders fill what is missing, at its end or within, without a word."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator

from PIL import Image, ImageChops, UnidentifiedImageError

from gateway.document import facsimile

END = b"\xff\xd9"
BEHIND = 1024  # bytes that may follow it
_MOST = facsimile.MOST  # bytes, or pixels, looked at
_FILL, _SCAN = 0xFF, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_COMMON = {0xC0, 0xC1, 0xC2}  # of a DCT, in Huffman codes
_MARK = re.compile(rb"(?<!\xff)\xff++[^\x00\xff\xd0-\xd7]")  # in coded points a byte of 255 has a 0 behind it
_RESTART = re.compile(rb"(?<!\xff)\xff++[\xd0-\xd7]")
# what points may be coded by, but no mark
_NOISE = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(3)).replace(b"\xff", b"\x7f")
_MANY = 1 << 18  # restarts: more than there are blocks in what is looked at
_CORNER = 2  # eights of points, across and down, that nobody misses at its end
_WRONG = (OSError, ValueError, SyntaxError, LookupError, Image.DecompressionBombError)


def breaks_off(data: bytes, most: int = _MOST) -> bool:
    """Whether points of a JPEG are missing; within one of more than ``most`` points they are not looked for."""
    if len(data) >= _MOST:
        return False
    if END not in data[-BEHIND:]:
        return facsimile.lacks_rows(data, _decoded, END)
    return _has_gap(data, most)


def is_rare(data: bytes) -> bool:
    """Whether its points are coded as few programs can read (arithmetic, lossless, 12 bits): pdfium makes them black."""
    at = 2
    while at + 5 <= len(data) and data[at] == _FILL and (kind := data[at + 1]) != _SCAN:
        if kind in _FRAMES:
            return kind not in _COMMON or data[at + 4] != 8
        at += 1 if kind == _FILL else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def whole(data: bytes) -> bytes:
    """A JPEG with the mark of its end, where that is all it lacks; any other picture as it is. Raises ValueError for a JPEG of which
    points are missing.
    """
    if breaks_off(data):
        raise ValueError("points of it are missing")
    lacks_end = len(data) < _MOST and END not in data[-BEHIND:] and not _loads(data) and _loads(data + END)
    return data + END if lacks_end else data


def _has_gap(data: bytes, most: int) -> bool:
    """Whether points are missing before a mark: of what is whole none are decoded of what is put in there."""
    try:
        one = _small(data, most)
    except _WRONG as error:  # one without a head is for others to judge
        return isinstance(error, OSError) and not isinstance(error, UnidentifiedImageError)
    try:
        other = _small(b"".join(_with_noise(data)), most)
    except _WRONG:
        return False
    differing = ImageChops.difference(one, other).getbbox()
    return differing is not None and (differing[0] < one.width - _CORNER or differing[1] < one.height - _CORNER)


def _with_noise(data: bytes) -> Iterator[bytes]:
    """The pieces of a JPEG, as far as it is in order, with noise before each mark within coded points and behind them."""
    at = 2
    yield data[:at]
    while at + 4 <= len(data) and data[at] == _FILL and not data.startswith(END, at):
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        stop = at + 1 if kind == _FILL else at + 2 + size
        yield data[at:stop]
        if kind == _SCAN:
            mark = _MARK.search(data, stop)
            at, stop = stop, mark.start() if mark else len(data)
            points = data[at:stop]
            restarts = [restart[-1] & 7 for restart in _RESTART.findall(points)]
            if len(restarts) > _MANY or restarts != [number % 8 for number in range(len(restarts))]:
                points = b""  # some between two of them are lost
            yield _RESTART.sub(lambda restart: _NOISE + restart[0], points) + _NOISE
        at = stop
    yield END


def _small(data: bytes, most: int = _MOST) -> Image.Image:
    """An eighth across and down, which is decoded of one coefficient of each block. Raises as :func:`_decoded`."""
    return _decoded(data, most, eighth=True)


def _loads(data: bytes) -> bool:
    """Whether a JPEG that can be looked at twice can be decoded, as small as it goes. Raises nothing."""
    try:
        _small(data)
    except _WRONG:
        return False
    return True


def _decoded(data: bytes, most: int = _MOST, *, eighth: bool = False) -> Image.Image:
    """Raises OSError, and ValueError for one of more than ``most`` points, which is too large to be looked at twice."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        if picture.width * picture.height > most:
            raise ValueError(f"{picture.size} pixels")
        if eighth:
            picture.draft("L", (1, 1))
        return picture.convert("L")
