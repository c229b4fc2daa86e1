"""The tree of a mail, walked once: every leaf with its role, or the reason it is left out, in mail order.

RFC 2045-2049 and what senders make of them: documents are sought in every branch, an alternative is chosen for the
message text alone, attached mails are walked like folders. What can never become a fax raises Refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway import charsets
from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail import bodies, boundaries, clearsigned, flowed, forms, partial, pkcs7, tnef, transfer, webpages
from gateway.mail.buffer import Buffer
from gateway.mail.headers import Headers, continued, of_mail, split
from gateway.mail.leaf import Leaf
from gateway.mail.parameters import charset_of, display_name, parse
from gateway.mail.room import Room, TooMuch
from gateway.mail.words import file_name, one_line

MAX_DEPTH = 20
MAX_PARTS = 200

EMPTY = "it is empty"
_HEAD = "it has no text, so its sender, date and subject are not printed"
SIGNATURE = "it is a digital signature, nothing to print"
OPEN_END = "the mail ends before it does"

_MESSAGES = {"message/rfc822", "message/global", "message/news"}
_OF_MAILS = (".eml", ".mht", ".mhtml")  # names of mails, and of web pages saved as such
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
_SEALED = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
_ENCRYPTED = {"application/pgp-encrypted", "application/x-microsoft-rpmsg-message"}
_TNEF = {"application/ms-tnef", "application/vnd.ms-tnef"}
_READABLE = {"message/delivery-status", "message/disposition-notification", "message/feedback-report"}
_TABLES = {"text/csv", "text/tab-separated-values", "text/xml"}  # with a name, no form of a message text
_CUT_OFF = re.compile(r"ATT\d{5}\.(?:txt|html?)", re.IGNORECASE)  # what Exchange makes of text behind a document
_SHORT = {"text": "text/plain", "html": "text/html", "multipart": "multipart/mixed"}
_UNSURE = {"text/plain", "application/octet-stream"}  # what programs say that do not know
_OF_A_MAIL = {"from", "to", "subject", "date", "received", "return-path", "message-id", "mime-version", "content-type"}
_ARMOUR = 65_536  # bytes of a key or a signature in letters, at most
_ARMOURED_SIGNATURE, _ARMOURED_KEY = b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_BINARY_SIGNATURES = (b"\x88", b"\x89", b"\xc2")  # how its first packet begins, RFC 9580 section 4.2
_SECRET = re.compile(rb"(?:^|>)[ \t]*-----BEGIN PGP MESSAGE-----\s*(?:$|<)", re.MULTILINE)
_YENC = re.compile(rb"^=ybegin [^\r\n]*\bsize=\d+ name=", re.MULTILINE)
# how files of PDF, JPEG, PNG, GIF, TIFF, ZIP and OLE begin in base64, for those whose field is lost
_BARE_BASE64 = re.compile(rb"\s*(?:JVBERi0|/9j/|iVBORw0KGgo|R0lGOD|SUkqA|TU0AK|UEsDB|0M8R4K)[A-Za-z0-9+/\r\n]{60}")
_ENCODING = re.compile(
    r"\bcontent-transfer-encoding\s*:([^;]*)", re.IGNORECASE
)  # whose line has become one with another
_UNREAD = "the mail is {} and cannot be read here; send it without {}"
_UNSENDABLE = {
    partial.TYPE: partial.CUT,
    "message/external-body": "an attachment is only a reference to a file elsewhere; attach the file itself",
}


@dataclass(frozen=True, slots=True)
class Mail:
    """What :func:`read` found. ``leaves`` hold message texts, attachments and left-out parts in mail order."""

    headers: Headers
    leaves: list[Leaf]
    shown: frozenset[str]  # Content-IDs the HTML texts show, in lower case
    lone_text: Leaf | None = None  # a text with the name of a file, in a mail without another; its data is decoded

    def shows(self, leaf: Leaf) -> bool:
        """Whether an HTML text of the mail shows this picture."""
        return leaf.content_id is not None and leaf.content_id.lower() in self.shown


def read(source: Buffer) -> Mail:
    """Walk a raw mail. Raises Refused, with what the sender can do, for what can never become a fax."""
    return walk(source, *of_mail(source, 0, len(source)))


def walk(source: Buffer, headers: Headers, body: int, room: Room | None = None) -> Mail:
    """As :func:`read`, of a mail whose header is read already; its body begins at offset ``body``.

    Raises :class:`TooMuch` as well, where there is no ``room`` for it, or a limited one for what mails are wrapped in.
    """
    way = _Walk(room or Room())
    leaves = forms.without_spare(way.entity(source, headers, body, len(source), depth=0))
    headers.charset = _charset(leaves)
    for number, leaf in enumerate(forms.without_places(leaves, way.shown), 1):
        leaf.name = leaf.name or ("message text" if leaf.message_text else f"attachment {number}")
    return Mail(headers, leaves, frozenset(way.shown), way.lone_text(leaves))


class _Walk:
    """Counts parts and gathers shown pictures while the tree is walked."""

    def __init__(self, room: Room) -> None:
        self.parts = 0
        self._room = room
        self.shown: set[str] = set()
        self._charset: str | None = None  # of the last text: names of files are in it, too

    def entity(
        self,
        source: Buffer,
        headers: Headers,
        body: int,
        end: int,
        *,
        depth: int,
        closed: bool = True,
        bare: bool = False,
        default: str = "text/plain",
    ) -> list[Leaf]:
        """The leaves of one part. ``closed``: a boundary follows. ``bare``: a name does not make it an attachment."""
        self._count()
        self._room.level(depth)
        headers, body = continued(source, headers, body, end)
        if depth > MAX_DEPTH:
            raise Refused(f"the mail is nested more than {MAX_DEPTH} levels deep", status="5.6.0")
        headers.charset = self._charset
        kind, parameters = _type(headers)
        kind = kind or default
        if kind in _UNSENDABLE:
            raise Refused(_UNSENDABLE[kind], status="5.6.1")
        is_bare = kind in _UNSURE and not (parameters.get("name") or headers.raw("content-disposition"))
        if is_bare and (boundary := boundaries.unsaid(source, body, end)):
            kind, parameters = "multipart/mixed", {"boundary": boundary}
        is_multipart = kind.startswith("multipart/")
        leaves = self._multipart(source, body, end, kind, parameters, depth, bare=bare) if is_multipart else None
        if leaves is not None:
            return leaves
        leaf = _leaf(source, headers, body, end, kind, parameters)
        if is_multipart:
            if leaf.encoding:  # RFC 2045 section 6.4 forbids it
                data, _ = self._decoded(leaf)
                leaves = self._multipart(data, 0, len(data), kind, parameters, depth, bare=bare)
                if leaves is not None:
                    return leaves
            leaf.type = "text/plain"  # labelled as parts, written as text
        leaf.message_text = _is_message_text(leaf, bare=bare)
        if leaf.message_text and not leaf.encoding and webpages.is_saved(leaf):  # the end of the header came too early
            self._room.header(source, body, end)
            return self.entity(source, *split(source, body, end), end, depth=depth + 1, closed=closed)
        return self._unpacked(leaf, depth, closed=closed, is_mail=kind in _MESSAGES)

    def _count(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise Refused(f"the mail has more than {MAX_PARTS} parts; send fewer attachments", status="5.6.0")

    def lone_text(self, leaves: list[Leaf]) -> Leaf | None:
        """The first text with a name, where there is no message text: programs write what they have to say so."""
        if any(leaf.message_text and leaf.substance for leaf in leaves):
            return None
        files = (leaf for leaf in leaves if leaf.type in forms.ALL and leaf.preface is None)
        found = next((leaf for leaf in files if not (leaf.message_text or leaf.left_out or leaf.defect)), None)
        if found and found.data is None:
            found.data, found.defect = self._decoded(found)
        return found

    def _decoded(self, leaf: Leaf, *, text: bool = True) -> tuple[bytes, str]:
        """What is in a leaf, and the defect."""
        if self._room.is_limited and not text:
            raise TooMuch
        self._room.encoded(leaf.source, leaf.start, leaf.end)
        data, defect = transfer.whole(leaf.source, leaf.start, leaf.end, leaf.encoding, text=text)
        self._room.text(data)
        return data, defect

    # --- multiparts -----------------------------------------------------------------------------------------------

    def _multipart(
        self, source: Buffer, body: int, end: int, kind: str, parameters: dict[str, str], depth: int, *, bare: bool
    ) -> list[Leaf] | None:
        """The leaves of a multipart; None when it holds no boundary and nothing that looks like parts."""
        if kind == "multipart/encrypted":
            raise _encrypted()
        spans = boundaries.spans(source, body, end, parameters.get("boundary", ""), MAX_PARTS)
        if boundaries.loses_parts(source, body, end, spans):
            raise Refused("the structure of the mail is damaged: its parts cannot be told apart", status="5.6.0")
        if not spans:
            return None
        children: list[list[Leaf]] = []
        for number, (start, stop, ended) in enumerate(spans):
            self._room.header(source, start, stop)
            headers, inner = split(source, start, stop)
            if not any(headers.names()) and boundaries.begins_with_fields(source, inner, stop):
                headers, inner = split(source, inner, stop)  # a blank line too much
            children.append(
                self.entity(
                    source, headers, inner, stop,
                    depth=depth + 1,
                    closed=ended,
                    bare=kind == "multipart/alternative" or (kind == "multipart/related" and bare and number == 0),
                    default="message/rfc822" if kind == "multipart/digest" else "text/plain",
                )
            )  # fmt: skip
        if kind == "multipart/related":
            if self._room.is_limited and any(leaf.is_html and leaf.location for child in children for leaf in child):
                raise TooMuch  # each address on a web page is looked up
            self.shown |= webpages.tie([leaf for child in children for leaf in child])
        if kind == "multipart/alternative":
            forms.choose(children)
        else:
            forms.choose_twins(children)
        if kind == "multipart/appledouble":
            for leaf in (leaf for child in children for leaf in child if leaf.type == "application/applefile"):
                _leave_out_fork(leaf)
        return [leaf for child in children for leaf in child]

    # --- attached mails -------------------------------------------------------------------------------------------

    def _unpacked(self, leaf: Leaf, depth: int, *, closed: bool = True, is_mail: bool = False) -> list[Leaf]:
        """The leaves of one that may be a mail, or a web page that was saved as such, wherever it came from."""
        is_mail = is_mail or leaf.name.lower().endswith(_OF_MAILS)
        if is_mail or (not leaf.message_text and webpages.is_saved(leaf)):
            leaf.message_text = False
            return self._attached_mail(leaf, depth, closed=closed, headed=is_mail)
        return self._settle(leaf, depth, closed=closed)

    def _attached_mail(self, leaf: Leaf, depth: int, *, closed: bool, headed: bool) -> list[Leaf]:
        """The leaves of a mail inside the mail. Its text is an attachment here, ``headed`` by who wrote it to whom."""
        source, start, end = leaf.source, leaf.start, leaf.end
        if leaf.encoding:  # RFC 2046 section 5.2.1 forbids it, mailers do it
            decoded, leaf.defect = self._decoded(leaf, text=False)
            if leaf.defect:
                return [leaf]
            source, start, end = decoded, 0, len(decoded)
        self._room.header(source, start, end)
        headers, body = of_mail(source, start, end)
        if _OF_A_MAIL.isdisjoint(headers.names()):
            return self._settle(leaf, depth, closed=closed)
        inner = self.entity(source, headers, body, end, depth=depth + 1, closed=closed)
        headers.charset = _charset(inner)
        names = ("From", "To", "Cc", "Date", "Subject") if headed else ()
        fields = [(name, headers.line(name.lower())) for name in names]
        preface = "".join(f"{name}: {value}\n" for name, value in fields if value)
        return _attached(leaf, inner, headers.line("subject") if headed else "", preface)

    # --- wrapped mails --------------------------------------------------------------------------------------------

    def _signed(self, leaf: Leaf, depth: int) -> list[Leaf]:
        """The leaves of the mail, or the file, in an S/MIME part, which its sender has signed. Raises Refused for an
        encrypted one.
        """
        data, leaf.defect = self._decoded(leaf, text=False)
        if leaf.defect:
            return [leaf]
        try:
            content = pkcs7.content(data)
        except pkcs7.Compressed as error:
            raise Refused(_UNREAD.format("compressed", "compression"), status="5.6.1") from error
        except pkcs7.NotSigned as error:
            raise _encrypted() from error
        if not content:
            leaf.left_out = "it holds certificates, nothing to print"
            return [leaf]
        name = re.sub(r"(?i)\.p7m$", "", leaf.name)
        headers, body = split(content, 0, len(content))
        if name.lower() not in ("smime", "") and "content-type" not in headers.names():
            file = Leaf(content, 0, len(content), "application/octet-stream", "", name=name, disposition="attachment")
            return self._unpacked(file, depth)
        return self.entity(content, headers, body, len(content), depth=depth + 1)

    def _winmail(self, leaf: Leaf, depth: int) -> list[Leaf]:
        leaf.name = leaf.name or "winmail.dat"
        data, leaf.defect = self._decoded(leaf, text=False)
        if leaf.defect or not data.startswith(tnef.MAGIC):  # another file, under this name
            return [leaf]
        message = tnef.read(data, depth, deepest=MAX_DEPTH)
        leaves = self._tnef(message, depth)
        if message.defect:
            leaf.defect = f"{message.defect} (Outlook packs Rich Text mails so: set the format to HTML or plain text)"
            return [leaf]
        if not leaves:
            leaf.left_out = message.why_empty
            return [leaf]
        return leaves

    def _tnef(self, message: tnef.Message, depth: int) -> list[Leaf]:
        """The text and the attachments of a mail in Outlook's own format."""
        leaves = []
        for kind, data, charset in (
            ("text/html", message.html, message.charset),
            ("text/plain", message.text.encode("utf-8", "replace"), "utf-8"),
            ("text/plain", message.plain.encode("utf-8", "replace"), "utf-8"),
        ):
            if data.strip(b"\0\r\n\t "):
                text = Leaf(data, 0, len(data), kind, "", charset=charset, message_text=True, spare=True)
                leaves += self._text(text, depth)
                break
        if entry := message.calendar.encode("utf-8", "replace"):
            leaves.append(Leaf(entry, 0, len(entry), forms.CALENDAR, "", name=forms.ENTRY, charset="utf-8"))
        for attachment in message.attachments:
            self._count()
            leaf = Leaf(
                attachment.data, 0, len(attachment.data), one_line(attachment.type.lower(), 100) or "application/octet-stream", "",
                name=file_name(attachment.name),
                disposition="" if attachment.content_id else "attachment",
                content_id=one_line(attachment.content_id.strip("<> "), 500) or None,
                defect=attachment.defect,
            )  # fmt: skip
            if attachment.message and not leaf.defect:
                fields = (("From", attachment.message.sender), ("Subject", attachment.message.subject))
                preface = "".join(f"{name}: {one_line(value)}\n" for name, value in fields if value)
                inner = self._tnef(attachment.message, depth + 1)
                leaves += _attached(leaf, inner, one_line(attachment.message.subject), preface)
                leaf.left_out = leaf.left_out and attachment.message.why_empty
            else:
                leaves += [leaf] if leaf.defect else self._unpacked(leaf, depth)
        return leaves

    # --- leaves ---------------------------------------------------------------------------------------------------

    def _settle(self, leaf: Leaf, depth: int, *, closed: bool) -> list[Leaf]:
        """Decide what a leaf is: left out, broken, encrypted, text with files inside, or simply good."""
        if (
            leaf.type in _SIGNATURES
            or leaf.name.lower().endswith(".p7s")
            or self._is_of_pgp(leaf, _ARMOURED_SIGNATURE, *_BINARY_SIGNATURES)
        ):
            leaf.left_out = SIGNATURE
            return [leaf]
        if _is_resource_fork(leaf):
            _leave_out_fork(leaf)
            return [leaf]
        if leaf.type == "application/pgp-keys" or self._is_of_pgp(leaf, _ARMOURED_KEY):
            leaf.left_out = "it is a public key, nothing to print"
            return [leaf]
        if leaf.type in _ENCRYPTED or leaf.name.lower().endswith(".rpmsg"):
            raise _encrypted()
        if leaf.type in _SEALED or leaf.name.lower().endswith(".p7m"):
            return self._signed(leaf, depth)
        if leaf.message_text:
            return self._text(leaf, depth)
        if _is_tnef(leaf):
            return self._winmail(leaf, depth)
        if not leaf.source[leaf.start : min(leaf.end, leaf.start + 1024)].strip() and leaf.end - leaf.start <= 1024:
            if leaf.type.startswith("text/"):
                leaf.left_out = EMPTY
            else:
                leaf.defect = EMPTY
        elif (
            not closed
            and not leaf.type.startswith("text/")
            and not transfer.ends_whole(leaf.source, leaf.start, leaf.end, leaf.encoding)
        ):
            leaf.defect = OPEN_END
        return [leaf]

    def _is_of_pgp(self, leaf: Leaf, *starts: bytes) -> bool:
        """Whether a file of PGP begins so: those have names of their own."""
        if leaf.message_text or not leaf.name.lower().endswith((".asc", ".sig")) or leaf.end - leaf.start > _ARMOUR:
            return False
        return self._decoded(leaf)[0].lstrip().startswith(starts)

    def _text(self, leaf: Leaf, depth: int) -> list[Leaf]:
        leaf.data, leaf.defect = self._decoded(leaf)
        if _SECRET.search(leaf.data):
            raise _encrypted()
        if _YENC.search(leaf.data):
            raise Refused(
                "the mail holds a file in its text (yEnc), which cannot be read here; attach the file", status="5.6.1"
            )
        if bodies.is_too_long(leaf.data):
            raise Refused("the message text is too long for a fax; send it in parts", status="5.2.3")
        leaf.charset = charsets.meant(leaf.charset, leaf.data)
        self._charset = leaf.charset or self._charset
        forms.simplify(leaf)
        if not leaf.is_html:
            clear = clearsigned.opened(leaf.data)
            signed = clear != leaf.data
            leaf.data = clear
            return [*self._uuencoded(leaf, depth), *([_signature_of(leaf)] if signed else [])]
        leaf.pictures = bodies.shown_ids(leaf.data, leaf.charset)
        self.shown |= leaf.pictures
        return [_measured(leaf)]

    def _uuencoded(self, leaf: Leaf, depth: int) -> list[Leaf]:
        """A text, and the files that old software wrote into it between ``begin`` and ``end``."""
        data = leaf.data or b""
        pieces: list[Leaf] = []
        position = 0
        while found := transfer.find_uuencode(data, position, len(data)):
            begin, name, first = found
            end = re.compile(rb"^end[ \t\r]*$", re.MULTILINE).search(data, first - 1)
            stop = end.end() if end else len(data)
            self._count()
            called = file_name(to_text(name, leaf.charset))
            file = Leaf(data, begin, stop, "application/octet-stream", "uuencode", called)
            pieces += [replace(leaf, data=data[position:begin]), *self._unpacked(file, depth)]
            position = stop
        pieces.append(replace(leaf, data=data[position:]) if pieces else leaf)
        return [_measured(piece) if piece.message_text else piece for piece in pieces]


def _charset(leaves: list[Leaf]) -> str | None:
    """What the header of a mail is written in, too."""
    return next((leaf.charset for leaf in leaves if leaf.message_text and leaf.charset), None)


def _signature_of(leaf: Leaf) -> Leaf:
    return replace(leaf, data=b"", name="signature of PGP", message_text=False, is_flowed=False, left_out=SIGNATURE)


def _measured(leaf: Leaf) -> Leaf:
    if leaf.is_flowed:
        text, charset = leaf.editable
        leaf.rewrite(flowed.joined(text, delsp=leaf.deletes_blanks), charset)
        leaf.is_flowed = False
    leaf.substance = bodies.substance(leaf.data or b"", leaf.charset, markup=leaf.is_html)
    if leaf.name and leaf.is_blank:
        leaf.left_out = EMPTY
    return leaf


def _encrypted() -> Refused:
    return Refused(_UNREAD.format("encrypted", "encryption"), status="5.7.5")


def _attached(leaf: Leaf, inner: list[Leaf], subject: str, preface: str) -> list[Leaf]:
    """The leaves of a mail that is itself an attachment: its text is one too, headed by ``preface``, which is told where there is none."""
    label = f'attached mail "{subject}"' if subject else (not preface and leaf.name) or "attached mail"
    leaves = []
    for each in forms.without_spare(inner):
        if each.message_text and (each.left_out or not each.is_blank):
            each.message_text = False
            each.name = label
            if not each.left_out:
                each.preface, preface = preface, ""
        if not each.message_text:
            leaves.append(each)
    if leaves and not preface:
        return leaves
    leaf.name, leaf.left_out = label, _HEAD if leaves else EMPTY
    return [leaf, *leaves]


def _type(headers: Headers) -> tuple[str, dict[str, str]]:
    """The Content-Type and its parameters; of several that of the parts, which cannot be read by another."""
    said = [parse(field) for field in headers.every("content-type")] or [("", {})]
    kind, parameters = next((each for each in said if each[0].startswith("multipart")), said[0])
    return _SHORT.get(kind, kind), parameters


def _leaf(source: Buffer, headers: Headers, body: int, end: int, kind: str, parameters: dict[str, str]) -> Leaf:
    disposition, details = parse(headers.raw("content-disposition"))
    claimed = details.get("filename") or details.get("name") or parameters.get("name") or ""
    content_id = headers.raw("content-id").strip("<> \t")
    said = [*headers.every("content-transfer-encoding"), *_ENCODING.findall(headers.raw("content-type"))]
    how = next(filter(None, map(transfer.encoding, said)), "")
    if not how and _BARE_BASE64.match(source[body : min(end, body + 200)]):
        how = "base64"
    return Leaf(
        source,
        body,
        end,
        "text/plain" if kind in _READABLE else one_line(kind, 100),
        how,
        name=file_name(display_name(claimed)),
        charset=one_line(charset_of(parameters), 40).lower() or None,
        disposition=disposition if disposition in ("attachment", "inline") else "attachment" if disposition else "",
        content_id=one_line(content_id, 500) or None,
        location=one_line(headers.raw("content-location"), 500),
        is_flowed=kind == "text/plain" and parameters.get("format", "").lower() == "flowed",
        deletes_blanks=parameters.get("delsp", "").lower() == "yes",
    )


def _is_message_text(leaf: Leaf, *, bare: bool) -> bool:
    if _CUT_OFF.fullmatch(leaf.name):
        return leaf.type in forms.ALL
    if leaf.disposition == "attachment":
        return False
    if bare and leaf.type.startswith("text/"):
        return not (leaf.name and leaf.type in _TABLES)
    return leaf.type in forms.ALONE and not leaf.name


def _is_tnef(leaf: Leaf) -> bool:
    if leaf.type in _TNEF or leaf.name.lower() in ("winmail.dat", "win.dat"):
        return True
    if leaf.type != "application/octet-stream":
        return False
    start = leaf.source[leaf.start : min(leaf.end, leaf.start + 80)].lstrip()
    return start.startswith(b"eJ8+I" if leaf.encoding == "base64" else b"\x78\x9f\x3e\x22")


def _is_resource_fork(leaf: Leaf) -> bool:
    """AppleDouble: what a Macintosh keeps beside a file (RFC 1740); a file that has both in one holds the document."""
    start = leaf.source[leaf.start : min(leaf.end, leaf.start + 80)].lstrip(b"\r\n")
    return start.startswith(b"AAUWBw" if leaf.encoding == "base64" else b"\0\x05\x16\x07")


def _leave_out_fork(leaf: Leaf) -> None:
    if not leaf.left_out:
        leaf.name = f"Macintosh data of {leaf.name}".removesuffix(" of ")
        leaf.left_out, leaf.defect = "it holds nothing to print", ""
