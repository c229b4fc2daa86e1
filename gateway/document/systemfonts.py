"""Which font of the system has a character: asked of fontconfig, where it is installed."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_PATTERN, _FILE, _INDEX, _CHARSET = 0, b"file", b"index", b"charset"  # FcMatchPattern, and names of properties
_COLOUR = b"color"


def find(character: str) -> tuple[str, int] | None:
    """File and index of a font that has ``character`` and is drawn in black; None where there is none."""
    library = ready()
    if library is None:
        return None
    pattern = library.FcPatternCreate()
    wanted = library.FcCharSetCreate()
    matched = None
    try:
        library.FcCharSetAddChar(wanted, ord(character))
        library.FcPatternAddCharSet(pattern, _CHARSET, wanted)
        library.FcPatternAddBool(pattern, _COLOUR, 0)
        library.FcConfigSubstitute(None, pattern, _PATTERN)
        library.FcDefaultSubstitute(pattern)
        matched = library.FcFontMatch(None, pattern, ctypes.byref(ctypes.c_int()))
        return _font(library, matched) if matched and _has(library, matched, character) else None
    finally:
        for each in (pattern, matched):
            if each:
                library.FcPatternDestroy(each)
        library.FcCharSetDestroy(wanted)


def _has(library: Any, font: int, character: str) -> bool:
    """The best match is the nearest font, which need not have the character."""
    held = ctypes.c_void_p()
    if library.FcPatternGetCharSet(font, _CHARSET, 0, ctypes.byref(held)):
        return False
    return bool(library.FcCharSetHasChar(held, ord(character)))


def _font(library: Any, font: int) -> tuple[str, int] | None:
    file, index = ctypes.c_char_p(), ctypes.c_int()
    if library.FcPatternGetString(font, _FILE, 0, ctypes.byref(file)) or not file.value:
        return None
    if library.FcPatternGetInteger(font, _INDEX, 0, ctypes.byref(index)):
        index.value = 0
    return file.value.decode("utf-8", "surrogateescape"), index.value & 0xFFFF


@cache
def ready() -> Any:
    """The library, its fonts known; None where it is missing. Called before a process gives up its sight of files."""
    try:
        library = ctypes.CDLL("libfontconfig.so.1")
        started = library.FcInit()
    except (OSError, AttributeError):
        return None
    if not started:
        return None
    pointer = ctypes.c_void_p
    library.FcPatternCreate.restype = library.FcCharSetCreate.restype = library.FcFontMatch.restype = pointer
    library.FcCharSetAddChar.argtypes = library.FcCharSetHasChar.argtypes = [pointer, ctypes.c_uint32]
    library.FcPatternAddCharSet.argtypes = [pointer, ctypes.c_char_p, pointer]
    library.FcPatternAddBool.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    library.FcConfigSubstitute.argtypes = [pointer, pointer, ctypes.c_int]
    library.FcFontMatch.argtypes = [pointer, pointer, pointer]
    for function in (library.FcPatternGetCharSet, library.FcPatternGetString, library.FcPatternGetInteger):
        function.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int, pointer]
    for function in (library.FcDefaultSubstitute, library.FcPatternDestroy, library.FcCharSetDestroy):
        function.argtypes = [pointer]
        function.restype = None
    return library
