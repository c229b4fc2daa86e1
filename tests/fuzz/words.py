"""What a fuzzed SMTP client says: mostly what real ones say, bent at some places. The same ``Random``, the same words."""

from __future__ import annotations

import base64
from random import Random

_ADDRESSES = [
    b"<+12025550123@fax.local>", b"<+12025550123@fax.local>", b"<postmaster>", b"<+1 (555) 123@fax.local>", b"<>", b"<@>",
    b"<@a,@b:+12025550199@fax.local>", b'"<+12025550123>"@fax.local', b"<FAX=+12025550123/T33S=1@fax.local>", b"<<x>>",
    b"<\xd9\xa1@fax.local>", b"<+12025550123@fax.local", b"<" + b"a" * 300 + b"@fax.local>", b'<"\\', b"+12025550123@fax.local",
    b"<IMCEAFAX-+2B12025550123@fax.local>", b"<+12025550123/cover=no@fax.local>", b"<12025550123%x@fax.local>",
]  # fmt: skip
_PARAMETERS = [
    b"", b"", b"", b" SIZE=100", b" SIZE=99999999999", b" SIZE=-1", b" BODY=8BITMIME", b" BODY=BINARYMIME", b" RET=HDRS",
    b" ENVID=a+2Bb", b" ENVID=+", b" AUTH=<>", b" SMTPUTF8", b" NOTIFY=SUCCESS,FAILURE", b" NOTIFY=NEVER,DELAY",
    b" ORCPT=rfc822;x+3Dy", b" ORCPT=", b" =", b" X\0=Y", b"\tSIZE=1",
]  # fmt: skip
_PLAIN = [
    b"NOOP", b"RSET", b"VRFY postmaster", b"EXPN x", b"HELP", b"ETRN x", b"HELO", b"HELO [::1]", b"EHLO a b", b"EHLO \xff\xfe",
    b"STARTTLS", b"STARTTLS x", b"AUTH", b"AUTH PLAIN", b"AUTH login", b"AUTH CRAM-MD5", b"AUTH PLAIN =", b"DATA x", b"BDAT",
    b"BDAT 5", b"BDAT 0 LAST", b"BDAT 99999999999999999999 LAST", b"BDAT -1", b"", b" ", b"QUIT", b"XCLIENT ADDR=1.2.3.4",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2", b"GET / HTTP/1.1", b"\x16\x03\x01\x02\x00", b"*", b"A" * 3000, b"\r", b"\0",
]  # fmt: skip
_TYPES = [
    b"text/plain", b"text/plain; charset=utf-7", b"text/html; charset=\"x", b"multipart/mixed; boundary=b", b"multipart/mixed",
    b"multipart/alternative; boundary=\"b\"", b"message/rfc822", b"message/partial; id=x; number=1", b"application/pdf",
    b"application/ms-tnef", b"image/tiff", b"multipart/report; boundary=b", b"application/pkcs7-mime", b"/", b"text", b";;=",
    b"multipart/mixed; boundary=" + b"x" * 5000, b"text/plain; name*0*=utf-8''%41; name*1=b", b"multipart/signed; boundary=b",
]  # fmt: skip
_ENCODINGS = [b"7bit", b"base64", b"BASE64 ", b"quoted-printable", b"x-uuencode", b"binary", b'"base64"', b"?"]
_DOTS = [b"\r\n.\r\n", b"\r\n..\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\0.\r\n", b"\r\n\0.\r\n", b"\r\r\n.\r\r\n"]  # fmt: skip
_NOISE = [b"\r", b"\n", b"\r\n", b"\0", b".", b":", b"--b", b"--b--", b"=", b"=?utf-8?b?", b"?=", b"(", b"\"", b"\x80", b"\xff", b" "]  # fmt: skip


def stream(random: Random) -> bytes:
    """Everything one client sends."""
    said = [b"EHLO fuzz\r\n"] if random.random() < 0.9 else []
    for _ in range(random.randint(1, 6)):
        said.append(_mail(random) if random.random() < 0.7 else _line(random, random.choice(_PLAIN)))
    if random.random() < 0.5:
        said.append(b"QUIT\r\n")
    data = b"".join(said)
    return _bent(random, data) if random.random() < 0.3 else data


def pieces(random: Random, data: bytes) -> list[bytes]:
    """``data`` as the network may cut it."""
    if random.random() < 0.3:
        return [data]
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(1, 12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a != b]


def _line(random: Random, text: bytes) -> bytes:
    return text + random.choice([b"\r\n"] * 8 + [b"\n", b"\r\r\n", b""])


def _mail(random: Random) -> bytes:
    said = [
        _line(
            random, b"MAIL FROM:" + random.choice([b"<you@example.org>"] * 8 + _ADDRESSES) + random.choice(_PARAMETERS)
        )
    ]
    said += [
        _line(random, random.choice([b"RCPT TO:"] * 8 + [b"rcpt to: ", b"RCPT FROM:"]) + random.choice(_ADDRESSES) + random.choice(_PARAMETERS))
        for _ in range(random.randint(0, 3))
    ]  # fmt: skip
    if random.random() < 0.1:
        login = base64.b64encode(b"\0copier\0" + random.randbytes(4))
        said.insert(0, b"AUTH PLAIN " + login + b"\r\n")
    if random.random() < 0.05:
        said.append(_line(random, random.choice(_PLAIN)))
    content = message(random)
    if random.random() < 0.5:
        end = random.choice([b"\r\n.\r\n"] * 9 + [b"\n.\n"])
        said += [
            b"DATA\r\n",
            content.replace(b"\r\n.", b"\r\n.."),
            random.choice(_DOTS) if random.random() < 0.2 else b"",
            end,
        ]
    else:
        while content or random.random() < 0.1:
            size = random.randint(0, len(content))
            told = size if random.random() < 0.95 else max(0, size + random.choice([-1, 1, 1000]))
            said.append(b"BDAT %d%s\r\n" % (told, b" LAST" if size == len(content) else b"") + content[:size])
            content = content[size:]
    return b"".join(said)


def message(random: Random, depth: int = 0) -> bytes:
    """A mail, or a part of one, with whatever a sender may get wrong."""
    fields = [b"Subject: " + random.choice([b"x", b"=?utf-8?q?=ff?=", b"=?x?b?*?=", b"\xff\xfe", b"a\r\n b", b""])]
    kind = random.choice(_TYPES)
    if random.random() < 0.8:
        fields.append(b"Content-Type: " + kind)
    if random.random() < 0.5:
        fields.append(b"Content-Transfer-Encoding: " + random.choice(_ENCODINGS))
    if random.random() < 0.3:
        fields.append(random.choice([
            b"Content-Disposition: attachment; filename=\"../x.pdf\"", b"Auto-Submitted: auto-replied", b"no colon", b": x",
            b"Content-ID: <>", b"Received: x\r\n" * 120 + b"X: y", b"From: (((((((((", b"X-Fax-Cover: no", b"Date: 99",
        ]))  # fmt: skip
    random.shuffle(fields)
    body = random.choice([b"hello\r\n", b"", base64.b64encode(random.randbytes(random.randint(0, 400))), b"%PDF-1.4\n" + random.randbytes(50), b"line\r\n" * random.randint(1, 3000)])  # fmt: skip
    if kind.startswith(b"multipart/") and depth < 4:
        parts = [b"--b\r\n" + message(random, depth + 1) + b"\r\n" for _ in range(random.randint(0, 4))]
        body += b"\r\n" + b"".join(parts) + random.choice([b"--b--\r\n", b""])
    elif kind == b"message/rfc822" and depth < 4:
        body = message(random, depth + 1)
    whole = b"\r\n".join(fields) + random.choice([b"\r\n\r\n"] * 6 + [b"\r\n", b"\n\n", b""]) + body
    return _bent(random, whole) if random.random() < 0.2 else whole


def _bent(random: Random, data: bytes) -> bytes:
    """``data`` with a few places changed, lost, doubled or filled with noise."""
    for _ in range(random.randint(1, 4)):
        at, size = random.randint(0, len(data)), random.randint(0, 8)
        match random.randint(0, 3):
            case 0:
                data = data[:at] + random.choice(_NOISE) + data[at + size :]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[:at] + data[at : at + size] * random.randint(1, 50) + data[at:]
            case _:
                data = data[:at] + random.randbytes(size) + data[at:]
    return data
