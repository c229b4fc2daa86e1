"""What of a damaged PDF is lost, by what qpdf says of it and by what lies in the file and is on no page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pikepdf

from gateway.document import soundness

# says qpdf of what is nowhere in the file, of what it cannot read (of the trailer it needs little), and of what it looks for all
# over the file
_LOST = re.compile(
    r"not found in file|treating stream as empty|giving up on reading object|non-dictionary object; ignoring"
    r"|\(object .*(?:while reading object; treating|expected dictionary key|dictionary ended prematurely|in hexstring)"
)
_SOUGHT = "reconstruct cross-reference table"
_SIZELESS = "MediaBox is undefined"
_NO_PAGE = "/Type key should be /Page but is not"


def has_lost(warnings: list[str]) -> bool:
    """Whether qpdf missed something that it looked for, or could not read it."""
    return any(_LOST.search(warning) for warning in warnings)


def is_sought(warnings: list[str]) -> bool:
    """Whether qpdf looked for objects all over the file."""
    return any(_SOUGHT in warning for warning in warnings)


def is_called_other(warnings: list[str]) -> bool:
    """Whether a page says that it is something else: qpdf takes it for the page that it is."""
    return any(_NO_PAGE in warning for warning in warnings)


def has_no_size(warnings: list[str]) -> bool:
    """Whether a page does not say how large it is: readers take it for a letter."""
    return any(_SIZELESS in warning for warning in warnings)


def may_lack_a_page(document: pikepdf.Pdf, warnings: list[str]) -> bool:
    """Whether one may be lost of which the document only tells that it is there: it lies in the file and is in no list of pages, or
    qpdf looked for objects all over the file.
    """
    listed = {page.obj.objgen for page in document.pages}
    return is_sought(warnings) or any(
        isinstance(each, pikepdf.Dictionary) and each.get("/Type") == "/Page" and each.objgen not in listed
        for each in document.objects
    )


class Blanks:
    """Judges the pages of one document without content, by what lies in its file, which is looked through once."""

    def __init__(self, document: pikepdf.Pdf, path: Path) -> None:
        self._document, self._path = document, path

    def may_be(self, page: pikepdf.Page, warnings: list[str]) -> bool:
        """Whether nothing in the file may be what a page without content, or a piece of it, has lost."""
        contents = page.obj.get("/Contents")
        if contents is not None and not (isinstance(contents, pikepdf.Array) and None in list(contents)):
            return True
        if is_called_other(warnings):
            return False
        lacks_objects, has_spare = self._found
        return not (has_spare or (lacks_objects and is_sought(warnings)))

    @cached_property
    def _found(self) -> tuple[bool, bool]:
        """Whether objects of the file cannot be read, and whether content that can is on no page."""
        objects = list(self._document.objects)
        streams = [each for each in objects if isinstance(each, pikepdf.Stream)]
        used = set(_referred(objects))
        return (
            None in objects or self._path.read_bytes().count(b"endstream") > len(streams),
            any(each.objgen not in used and soundness.is_content(each) for each in streams),
        )


def _referred(objects: list[pikepdf.Object]) -> Iterator[tuple[int, int]]:
    """The numbers of what they refer to."""
    waiting = list(objects)
    while waiting:
        value = waiting.pop()
        if isinstance(value, pikepdf.Dictionary | pikepdf.Stream):
            within = list(value.values())
        else:
            within = list(value) if isinstance(value, pikepdf.Array) else []
        for each in within:
            if isinstance(each, pikepdf.Object) and each.is_indirect:
                yield each.objgen
            else:
                waiting.append(each)
