"""Handing one message to the smarthost: aiosmtplib spoken to at arm's length, its errors translated at this door."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import aiosmtplib

from gateway.errors import GatewayError, Refused, TryLater
from gateway.mail.words import one_line

_LOGIN_WANTED = {530, 534, 535, 538}  # our login is wrong or missing: no fault of the mail (RFC 4954 section 6)
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_ATOM = r"[^\x00-\x20\x7f\"(),:;<>@\[\]\\]+"
_NAME = rf'(?:{_ATOM}|"(?:[^\x00-\x20\x7f"\\]|\\[!-~])*")'
_SENDER = re.compile(rf"{_NAME}@(?:{_ATOM}|\[[^\x00-\x20\x7f\[\]\\]+\])")
_RECIPIENT = re.compile(rf"{_SENDER.pattern}|{_NAME}")  # a mere name, as of a device, is what the relay takes it to be
# times as long may the answer to a whole message take: RFC 5321 section 4.5.3.2.6 says 10 minutes
_END_OF_DATA = 10
_QUIT = 5.0  # seconds for a farewell, after the mail is safe


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The smarthost. ``tls``: none; opportunistic (if offered and working, any certificate); starttls and implicit, both
    verified.

    ``timeout`` is for each answer, in seconds; ``ca_file`` names certificates to trust instead of the system's.
    """

    host: str = "localhost"
    port: int = 25
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = "none"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    local_hostname: str | None = None
    ca_file: str | None = None


class _Client(aiosmtplib.SMTP):
    """Knows whether it was STARTTLS that did not work."""

    is_in_tls = False

    async def starttls(self, *args: Any, **options: Any) -> aiosmtplib.SMTPResponse:
        self.is_in_tls = True
        response = await super().starttls(*args, **options)
        self.is_in_tls = False
        return response


class Transport:
    """Sends each mail over a connection of its own."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._context = _tls_context(settings)

    @asynccontextmanager
    async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
        """Hand over ``message`` from ``mail_from`` ("" for the null reverse-path) to one recipient. Its lines end with CRLF.

        Gives the relay's reply to the end of data: from then on the mail is the relay's, and the farewell waits until that
        is noted. Raises Refused for what the relay will never take, TryLater for the rest, trouble with the relay or our
        login included.
        """
        if mail_from:
            _check_address(mail_from, _SENDER)
        _check_address(rcpt_to, _RECIPIENT)
        async with self._connected() as client:
            yield await self._hand_over(client, mail_from, rcpt_to, message)

    async def probe(self, senders: Sequence[str], rcpt_to: str) -> None:
        """Go with the relay as far as the recipient of a mail, for each of ``senders``, and leave. Raises Refused and TryLater
        as :meth:`handed_over`.
        """
        async with self._connected() as client:
            for mail_from in senders:
                await self._address(client, mail_from, rcpt_to, b"")
                await client.rset()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection to the relay, with a farewell where all went well; its errors, and those of what is done with it, are
        translated.
        """
        client = self._client()
        try:
            try:
                await client.connect()
            except (aiosmtplib.SMTPException, OSError):
                if not client.is_in_tls or self._settings.tls != "opportunistic" or self._settings.user:
                    raise
                client = self._client(start_tls=False)  # as if it were not offered
                await client.connect()
            if client.is_ehlo_or_helo_needed:
                try:
                    await client.ehlo()
                except aiosmtplib.SMTPHeloError:
                    await client.helo()
            yield client
            with suppress(aiosmtplib.SMTPException, OSError):  # what was done is done
                await client.quit(timeout=min(_QUIT, self._settings.timeout))
        except aiosmtplib.SMTPResponseException as error:
            raise _translated(error) from error
        except (aiosmtplib.SMTPException, OSError) as error:  # time-outs are OSErrors
            why = one_line(str(error) or type(error).__name__, 300)
            by = " by TLS" if client.is_in_tls else ""
            raise TryLater(
                f"the mail server cannot be reached{by}", f"{self._settings.host}: {why}", status="4.4.1"
            ) from error
        finally:
            client.close()

    def _client(self, *, start_tls: bool = True) -> _Client:
        settings = self._settings
        modes = {"starttls": True, "opportunistic": None} if start_tls else {}
        return _Client(
            hostname=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password,
            local_hostname=settings.local_hostname,
            timeout=settings.timeout,
            use_tls=settings.tls == "implicit",
            start_tls=modes.get(settings.tls, False),
            tls_context=self._context,
        )

    async def _hand_over(self, client: aiosmtplib.SMTP, mail_from: str, rcpt_to: str, message: bytes) -> str:
        await self._address(client, mail_from, rcpt_to, message)
        reply = await self._data(client, message)
        return one_line(f"{reply.code} {reply.message}", 300)

    async def _address(self, client: aiosmtplib.SMTP, mail_from: str, rcpt_to: str, message: bytes) -> None:
        """The envelope."""
        utf8 = not (mail_from + rcpt_to).isascii()
        await client.mail(
            mail_from, options=self._mail_options(client, message, utf8=utf8), encoding="utf-8" if utf8 else "ascii"
        )
        # reports must not be reported on: RFC 3834 section 3.3
        never = not mail_from and client.supports_extension("dsn")
        await client.rcpt(rcpt_to, options=["NOTIFY=NEVER"] if never else [], encoding="utf-8" if utf8 else "ascii")

    async def _data(self, client: aiosmtplib.SMTP, message: bytes) -> aiosmtplib.SMTPResponse:
        """DATA and its end. The library's own looks at each line end, and nothing else happens meanwhile."""
        reply = await client.execute_command(b"DATA")
        if reply.code != aiosmtplib.SMTPStatus.start_input or client.protocol is None:
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)
        if message.startswith(b"."):
            client.protocol.write(b".")
        client.protocol.write(message.replace(b"\r\n.", b"\r\n.."))
        client.protocol.write(b".\r\n")
        reply = await client.protocol.read_response(timeout=self._settings.timeout * _END_OF_DATA)
        if not 200 <= reply.code < 300:  # the first digit tells: RFC 5321 section 4.2.1
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)
        return reply

    @staticmethod
    def _mail_options(client: aiosmtplib.SMTP, message: bytes, *, utf8: bool) -> list[str]:
        options = []
        if client.supports_extension("size"):
            limit = client.esmtp_extensions["size"].strip()
            if limit.isdecimal() and 0 < int(limit) < len(message):
                raise Refused(
                    f"the mail has {len(message):,} bytes, and the mail server takes {int(limit):,} at most",
                    status="5.3.4",
                )
            options.append(f"SIZE={len(message)}")
        if not message.isascii():
            if not client.supports_extension("8bitmime"):
                raise Refused("the mail holds 8-bit text, which the mail server does not take", status="5.6.3")
            options.append("BODY=8BITMIME")
        if utf8:
            if not client.supports_extension("smtputf8"):
                raise Refused("the mail server does not take addresses with letters beyond ASCII", status="5.6.7")
            options.append("SMTPUTF8")
        return options


def _check_address(address: str, form: re.Pattern[str]) -> None:
    """Refuse what is no plain address before it gets near a command line: blanks, controls, display names."""
    if not form.fullmatch(address):
        raise Refused(f"{one_line(address, 100)!r} is no address a mail can be sent to", status="5.1.3")


def _translated(error: aiosmtplib.SMTPResponseException) -> GatewayError:
    """What a negative reply means for the mail: 5yz about the mail itself is final, everything else may change."""
    text = one_line(error.message, 300)
    reply = f"{error.code} {text}".strip()
    found = _STATUS.match(text)
    status = found[0] if found and found[0][0] == str(error.code)[0] else None
    is_final = 500 <= error.code < 600 and error.code not in _LOGIN_WANTED
    if is_final and isinstance(error, aiosmtplib.SMTPSenderRefused) and not _is_size(error.code, status):
        # the sender is ours for every mail, or nobody: which mails are taken is for the administrators to mend
        return TryLater(f"the mail server takes no mail from our sender: {reply}", status="4.1.8")
    about_mail = isinstance(
        error, aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError
    )
    if about_mail and is_final:
        return Refused(f"the mail server refused the mail: {reply}", status=status or "5.0.0")
    if error.code in _LOGIN_WANTED:
        wanted = "wants TLS" if "STARTTLS" in text.upper() else "does not accept our login"  # RFC 3207 section 4
        return TryLater(f"the mail server {wanted}: {reply}", status="4.7.0")
    return TryLater(f"the mail server does not take the mail now: {reply}", status=status if error.code < 500 else None)


def _is_size(code: int, status: str | None) -> bool:
    """Whether a no to MAIL is to the size told there (RFC 1870 section 6.2)."""
    return code == 552 or status in {"5.2.3", "5.3.4"}


def _tls_context(settings: RelaySettings) -> ssl.SSLContext | None:
    if settings.tls == "none":
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.tls == "opportunistic":  # better than plain text, and no worse
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
