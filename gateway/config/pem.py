"""The PEM files of a certificate and its key: whether they can be used, and until when."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

_TIME = rb"(?:\x17\x0d([0-9]{12})Z|\x18\x0f([0-9]{14})Z)"  # UTCTime and GeneralizedTime, RFC 5280 section 4.1.2.5


def unreadable(path: Path) -> str:
    """Why a file cannot be read, and what to do; "" where it can."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return f"there is no file {path}"
    except OSError as error:  # also of a directory above it
        remedy = "; let the gateway's user read it" if isinstance(error, PermissionError) else ""
        return f"the file {path} cannot be read ({error.strerror}){remedy}"
    return ""


def fault(certificate: Path, key: Path) -> tuple[str, str] | None:
    """The option that is at fault, ``certificate`` or ``key``, and why; None where they load and belong together.

    Both can be read: :func:`unreadable`.
    """
    for option, path, kind in (("certificate", certificate, "CERTIFICATE"), ("key", key, "PRIVATE KEY")):
        pem = path.read_text(encoding="ascii", errors="replace")
        if f"{kind}-----" not in pem:
            return option, f"there is no {kind} in {path}, as PEM has it: -----BEGIN {kind}-----"
        if option == "key" and "ENCRYPTED" in pem:
            return (
                option,
                f"{path} has a passphrase, which nobody types at a start: openssl pkey -in {path} takes it off",
            )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror or error
        remedy = "; name the key that it was made for" if why == "KEY_VALUES_MISMATCH" else ""
        return "certificate", f"does not load together with the key ({why}){remedy}"
    return None


def valid_until(certificate: Path) -> float | None:
    """The notAfter of the first certificate, found by the shape of its Validity; None where it cannot be read."""
    start, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        pem = certificate.read_text(encoding="ascii", errors="replace")
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index(start) : pem.index(end) + len(end)])
        validity = re.search(rb"\x30[\x1e\x20\x22]" + _TIME + _TIME, der)
        if validity is None:
            return None
        short, whole = validity[3], validity[4]
        if short:
            whole = (b"20" if short < b"50" else b"19") + short
        return datetime.strptime(whole.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except (OSError, ValueError):  # it may be removed, or half written, while we run
        return None
