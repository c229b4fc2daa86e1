"""Options of fax pages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    PositiveInt,
    field_validator,
)

from gateway.config.kinds import (
    Duration,
    OptionalPath,
    Size,
    TemplateName,
)
from gateway.config.sections import Section, section


class CoverFrom(Section):
    language: Literal["en", "de", "fr", "es"] = "en"
    """of the words on the cover page"""
    company: str = ""
    department: str = ""
    voice: str = ""
    """telephone number"""
    fax: str = ""
    """number at which you receive faxes"""
    confidentiality: str = ""
    """the notice at its foot; empty: ours, in its language; none: without"""


class Document(Section):
    paper: Literal["letter", "a4"] = "letter"
    resolution: Literal["fine", "standard"] = "fine"
    """fine: 204x196 dpi, standard: 204x98"""
    body: Literal["with-text", "always", "without-attachment", "never"] = "with-text"
    """when the text of the mail becomes pages"""
    trim: tuple[Literal["quoted", "signature", "disclaimer", "footer"], ...] = (
        "quoted",
        "signature",
        "disclaimer",
        "footer",
    )
    """what the text of a mail loses at its end, where a rule is sure of it and tells it: the mail it answers, the signature,
    the legal notice, the advert of the mail program"""
    office: Annotated[str, Field(min_length=1)] = "auto"
    """LibreOffice for Word, Excel, PowerPoint, OpenDocument and RTF: auto looks for it, none refuses such documents, else the
    directory of its programs"""
    html: Literal["auto", "text", "engine"] = "auto"
    """auto: drawn as it looks where the extra html is installed, else printed as text; text: always as text; engine: no start
    without it"""
    header: bool = False
    """a line at the top of each page; off, as providers print one of their own"""
    header_text: str = "{date}   From: {from}   To: {to}   Page {page} of {pages}"
    """of the header: {from} is the station id, else the sender's address"""
    blank_pages: Literal["keep", "remove"] = "keep"
    """remove: blank pages are left out, and the sender is told which"""
    cover: Literal["none", "on-request", "auto", "enforced"] = "on-request"
    """none: never; on-request: where the mail or its route asks for one; auto: unless the mail says cover=none; enforced: always"""
    cover_template: TemplateName = "classic"
    """where none is named: classic, modern, compact, or one of your own"""
    cover_templates: OptionalPath = None
    """directory of your own: files NAME.cover, see docs/cover-pages.md"""
    cover_from: CoverFrom = section()
    """who sends, on the cover page"""
    max_pages: PositiveInt = 200
    workers: Annotated[PositiveInt, Field(le=64)] = 2
    """conversions at once; of mails above 8 MB half as many, for the memory they take"""
    timeout: Duration = 60.0
    """of a conversion"""
    memory: Size = 512 << 20
    """of a conversion"""
    tries: PositiveInt = 3
    """conversions of a mail that may crash or hang before it is set aside"""

    @field_validator("header_text")
    @classmethod
    def _fields_are_known(cls, text: str) -> str:
        known = ("date", "from", "to", "page", "pages")
        try:
            text.format(**dict.fromkeys(known, "1"))
        except (LookupError, ValueError, AttributeError):
            fields = ", ".join(f"{{{name}}}" for name in known)
            raise ValueError(f"a header line may hold {fields}; write a brace that is to be printed twice") from None
        return text
