"""A part of a mail without parts below it: what it is, what it is for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import charsets
from gateway.charsets import to_text
from gateway.mail.buffer import Buffer


@dataclass(slots=True)
class Leaf:
    """A part without parts below it. ``source[start:end]`` is its body, still encoded."""

    source: Buffer
    start: int
    end: int
    type: str
    encoding: str
    name: str = ""
    charset: str | None = None
    disposition: str = ""
    content_id: str | None = None
    location: str = ""  # its address, where it is of a web page (RFC 2557)
    message_text: bool = False  # text of the mail itself; everything else is an attachment
    preface: str | None = None  # of a text in an attached mail: lines to put before it, its own From, To...
    left_out: str = ""  # why it is no part of the fax
    defect: str = ""
    data: bytes | None = field(default=None, repr=False)  # decoded, of texts only
    substance: int = 0  # characters to read in a text
    pictures: frozenset[str] = frozenset()  # Content-IDs of the pictures an HTML text shows, in lower case
    is_flowed: bool = False  # RFC 3676: its lines make paragraphs
    deletes_blanks: bool = False  # and the blanks that end them are none of the text
    spare: bool = False  # a message text that is wanted only where the mail has no other
    rich: Leaf | None = None  # of a plain message text: its form in HTML, which is left out

    @property
    def is_html(self) -> bool:
        return self.type == "text/html"

    @property
    def editable(self) -> tuple[str, str]:
        """The text, and the charset to write it back in: where nobody says which it is, its bytes stay as they are."""
        data = self.data or b""
        if charsets.says_nothing(self.charset) and charsets.read(data, "utf-8") is None:
            return data.decode("latin-1"), "latin-1"
        return to_text(data, self.charset), "utf-8"

    def rewrite(self, text: str, charset: str) -> None:
        """Put ``text`` in the place of the :attr:`editable` one."""
        self.data = text.encode(charset, "replace")
        self.charset = "utf-8" if charset == "utf-8" else self.charset

    @property
    def is_blank(self) -> bool:
        """Whether this is a message text with nothing to print: no word, no picture."""
        return self.message_text and not self.substance and not self.pictures and not self.defect
