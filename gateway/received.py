"""What a received document is, by its bytes: whatever the provider or a caller says of it."""

from __future__ import annotations

START = 1024  # bytes of a document that tell its type
END = 4096  # bytes in which a PDF says that it ends: ISO 32000-1 annex H.3.18 allows 1024, some have more behind it


def file_type(start: bytes) -> str:
    """``application/pdf`` or ``image/tiff`` by the first :data:`START` bytes, "" for what is neither."""
    if b"%PDF-" in start[:START]:
        return "application/pdf"
    return "image/tiff" if start[:4] in (b"II*\0", b"MM\0*") else ""


def breaks_off(end: bytes, kind: str) -> bool:
    """Whether a document is not whole, as far as its last :data:`END` bytes tell."""
    return kind == "application/pdf" and b"%%EOF" not in end
