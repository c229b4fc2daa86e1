"""The checks of ``faxgateway doctor``: each looks at one thing and says what it found and what to do.

Nothing here changes anything: what is tried is undone at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import pwd
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli import output
from gateway.cli.base import Failed, Session
from gateway.cli.client import AdminClient, NotRunning
from gateway.errors import ConfigError, GatewayError, KeyRefused, Refused, TryLater

if TYPE_CHECKING:
    from gateway.config import Config

OK, WARN, FAIL = "OK", "WARN", "FAIL"
_STRICT_TABLES = (3, 37, 0)
_LITTLE, _FEW = 1 << 30, 256 << 20  # bytes of free space
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "afs"}
_EXAMPLES = {"example.com", "example.net", "example.org"}  # RFC 2606 section 3
_SOON = 14 * 86400.0  # seconds
_RELAY_REMEDIES = {  # by what aiosmtplib and OpenSSL say
    "server ready message": "set mail.relay.tls: implicit, if the port speaks TLS at once, as 465 does",
    "WRONG_VERSION_NUMBER": "set mail.relay.tls: starttls, as the port does not speak TLS at once",
    "STARTTLS extension not supported": "set mail.relay.tls: none, or implicit and the port for that",
    "AUTH extension is not supported": "set mail.relay.tls: starttls, if it takes passwords under TLS only",
    "the mail server wants TLS": "set mail.relay.tls: starttls",
    "CERTIFICATE_VERIFY_FAILED": "name it in mail.relay.host as its certificate does, and have this machine trust who signed that"
    " (update-ca-certificates)",
}
_CJK = ("NotoSansCJK*", "unifont*", "wqy-*")
_FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: ``state`` is OK, WARN or FAIL, ``remedy`` what to do about it, where the text does not say so."""

    check: str
    state: str
    text: str
    remedy: str = ""


async def everything(session: Session) -> AsyncIterator[Finding]:
    """All findings, in the order in which a newcomer can do something about them."""
    from gateway.config import find

    for finding in (python(), sqlite(), fonts(), isolation()):
        yield finding
    findings, config = configuration(session)
    yield await conversion(config)
    for finding in findings:
        yield finding
    if config is None:
        return
    for finding in converters(config.document.office, config.document.html):
        yield finding
    for finding in (*limits(config), *mailboxes(config), *state_directory(config), *certificates(config, time.time())):
        yield finding
    async for finding in daemon(config, find(session.config_path).stat().st_mtime):
        yield finding
    yield await relay(config)
    yield await provider(config)


# --- this machine -----------------------------------------------------------------------------------------------------


def python() -> Finding:
    """An older one than is needed does not even get here."""
    return Finding("python", OK, f"Python {platform.python_version()}")


def sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """STRICT tables came with 3.37; sqlite.org/wal.html tells of the WAL-reset bug and its fixes."""
    text = f"SQLite {'.'.join(map(str, version))}"
    if version < _STRICT_TABLES:
        return Finding("sqlite", FAIL, f"{text} is too old", "use a Python built with SQLite 3.37 or later")
    if version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45):
        return Finding("sqlite", OK, text)
    return Finding(
        "sqlite", WARN, f"{text} can lose commits when two programs write one database (its WAL-reset bug)",
        "the gateway writes alone, so nothing is lost as long as no other program (litestream, the sqlite3 shell) opens"
        " faxgateway.db while it runs; fixed in 3.51.3, 3.50.7 and 3.44.6",
    )  # fmt: skip


def fonts() -> Finding:
    from gateway import document

    ours = Path(document.__file__).parent / "fonts" / "DejaVuSans.ttf"
    if not ours.is_file():
        return Finding("fonts", FAIL, f"{ours} is missing", "install the package again")
    if not any(next(place.rglob(pattern), None) for place in _FONTS if place.is_dir() for pattern in _CJK):
        return Finding(
            "fonts", WARN, "no font for Chinese, Japanese and Korean: in plain texts such letters print as boxes",
            "apt install fonts-noto-cjk, if you get such mails",
        )  # fmt: skip
    return Finding("fonts", OK, "Latin, Greek, Cyrillic, Chinese, Japanese, Korean")


def isolation() -> Finding:
    """Call it while this process has one thread: it forks."""
    from gateway.document import workshop

    walls = workshop.isolation()
    if all(walls.values()):
        return Finding("isolation", OK, "conversions run without network and see only their own files")
    missing = {"network": "cannot give up the network", "files": "can see other files"}
    return Finding(
        "isolation", WARN, "conversions " + " and ".join(missing[name] for name, stands in walls.items() if not stands),
        "use a kernel with seccomp and Landlock (5.13 or later), and allow both where the gateway runs; the systemd unit"
        " does",
    )  # fmt: skip


def converters(setting: str, html: str) -> Iterator[Finding]:
    """What is there for the formats that need more than the gateway itself; ``setting``: of office documents."""
    from gateway.document import engine, libreoffice, picture

    place = libreoffice.find(setting)
    if place and (lacks := libreoffice.lacking(place)):
        yield Finding(
            "office documents", WARN, f"the LibreOffice in {place} prints no {' and no '.join(lacks)}",
            f"apt install {' '.join(lacks.values())}",
        )  # fmt: skip
    elif place:
        yield Finding("office documents", OK, f"LibreOffice in {place}")
    elif setting != libreoffice.NONE:
        yield Finding(
            "office documents", WARN,
            f"no LibreOffice{'' if setting == libreoffice.AUTO else f' in {setting}'}: Word, Excel, PowerPoint, OpenDocument and RTF are"
            " refused",
            "apt install libreoffice-writer-nogui libreoffice-calc-nogui libreoffice-impress-nogui libreoffice-math-nogui, or set"
            f" document.office: {'none' if setting == libreoffice.AUTO else 'auto'}",
        )  # fmt: skip
    if html == engine.TEXT:
        yield Finding("HTML", OK, "printed as text")
    elif lack := engine.missing():
        state = FAIL if html == engine.ENGINE else WARN
        yield Finding(
            "HTML", state, "it is printed as text, not drawn as it looks", f"{lack}; or set document.html: text"
        )
    else:
        yield Finding("HTML", OK, "drawn as it looks, by WeasyPrint")
    if picture.HEIC:
        yield Finding("photos of iPhones", OK, "HEIC by pillow-heif")
    else:
        yield Finding(
            "photos of iPhones",
            WARN,
            "HEIC photos are refused",
            f"{sys.prefix}/bin/pip install 'faxgateway[heic]', if you get such mails",
        )


async def conversion(config: Config | None) -> Finding:
    """One page through a worker, all the way, within the limits of the configuration."""
    from gateway.cli.preview import Wanted, fax_of_mail
    from gateway.document.worker import WorkerLimits, WorkerPool

    began = time.monotonic()
    limits = WorkerLimits(config.document.timeout, config.document.memory) if config else WorkerLimits()
    pool = WorkerPool(1, limits)
    try:
        await pool.start()
        with tempfile.TemporaryDirectory(prefix="faxgateway-doctor-") as scratch:
            mail = Path(scratch, "mail")
            await asyncio.to_thread(mail.write_bytes, b"Subject: doctor\r\n\r\nOne page.\r\n")
            made = await fax_of_mail(pool, mail, Path(scratch), Path(scratch, "fax.pdf"), Wanted())
    except GatewayError as error:
        remedy = "raise document.memory and document.timeout, or install the package again, with all it needs"
        return Finding("conversion", FAIL, str(error), remedy)
    except OSError as error:
        remedy = (
            "let this user start programs and write to the temporary directory ($TMPDIR, or /tmp), and make room there"
        )
        return Finding("conversion", FAIL, str(error), remedy)
    finally:
        await pool.close()
    return Finding("conversion", OK, f"{made['pages']} page from a mail in {time.monotonic() - began:.1f} s")


# --- the configuration and what it names ------------------------------------------------------------------------------


def configuration(session: Session) -> tuple[list[Finding], Config | None]:
    """All its problems and warnings; the configuration when it can be used."""
    from gateway import settings
    from gateway.config import find

    try:
        path = find(session.config_path)
        config = session.config()
        settings.cover(config.document)
    except ConfigError as error:
        remedy = "correct it; faxgateway check-config tells the same"
        return [Finding("configuration", FAIL, problem, remedy) for problem in error.problems], None
    findings = [Finding("configuration", WARN, warning) for warning in config.warnings]  # which say what to do
    return findings or [Finding("configuration", OK, str(path))], config


def limits(config: Config) -> Iterator[Finding]:
    """Whether a stolen password could empty the account. A sandbox costs nothing."""
    caps = config.policy.caps
    limited = any(cap.unit == "money" for cap in (*caps.total, *caps.user, *caps.client, *caps.route))
    if not limited and not config.provider_is_local:
        remedy = "set policy.caps, such as total: [day:money=20, month:money=200]; docs/limits.md tells more"
        yield Finding("limits", WARN, "nothing limits what may be spent on faxes", remedy)


def mailboxes(config: Config) -> Iterator[Finding]:
    """Whether what people have to read goes to people. With a sandbox nothing has to be read."""
    from gateway.config.kinds import address_of

    for name, mailbox in (("mail.fallback", config.mail.fallback), ("mail.sender", config.mail.sender)):
        address = address_of(mailbox)
        if address.rpartition("@")[2].lower() in _EXAMPLES and not config.provider_is_local:
            yield Finding(
                "mailboxes", WARN, f"{name} is {address}, which nobody reads", f"set {name} to a mailbox of yours"
            )


def state_directory(config: Config) -> Iterator[Finding]:
    from gateway.refusals import READ_ONLY

    name, path = "state directory", config.state_dir
    try:
        is_there = path.exists()
    except PermissionError as error:
        yield Finding(name, FAIL, f"{path}: {error.strerror}", _whose(path))
        return
    if not is_there:
        parent = next(each for each in path.parents if each.exists())
        if os.access(parent, os.W_OK):
            yield Finding(name, OK, f"{path} will be made at the first start")
        else:
            yield Finding(name, FAIL, f"{path} is missing", f"as root: install -d -m 0700 -o faxgateway {path}")
        return
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"probe")
            os.fsync(probe.fileno())
    except OSError as error:
        remedy = _whose(path) if isinstance(error, PermissionError) else "the gateway has to write there"
        remedy += f": {READ_ONLY}" if error.errno == errno.EROFS else ""
        yield Finding(name, FAIL, f"{path}: {error.strerror}", remedy)
        return
    owner = path.stat()
    if closed := _closed(path):
        remedy = f"chown -R USER {path} for the user that the gateway runs as, and chmod -R u+rwX {path}"
        yield Finding(name, FAIL, f"{closed}: the gateway's user may not use it", remedy)
    if owner.st_mode & 0o077:
        yield Finding(name, WARN, f"{path} can be read by others", f"chmod 700 {path}")
    kind = _filesystem(path)
    if kind in _REMOTE:
        yield Finding(name, FAIL, f"{path} is on {kind}: SQLite needs a local disk", "move it to a local disk")
    free, floor = shutil.disk_usage(path).free, config.min_free
    if free < floor + _LITTLE:
        state = FAIL if free < floor + _FEW else WARN
        text = f"{free >> 20} MiB free at {path}; below {floor >> 20} MiB (min_free) nothing is accepted"
        yield Finding(name, state, text, "free some space: a full disk means 452 for senders")
    else:
        yield Finding(name, OK, f"{path}, {free / 2**30:.0f} GiB free, of user {_user(owner.st_uid)}")


def _closed(state: Path) -> Path | None:
    """What the gateway's user, who owns the database, could not use: a start is refused then. Root is not asked to try."""
    from gateway.spool import KINDS, ORPHANS
    from gateway.store.snapshot import DATABASE

    spool, known = state / "spool", state / DATABASE
    owner = (known if known.exists() else state).stat().st_uid
    for path in (known, state / "lock", spool, *(spool / name for name in ("tmp", ORPHANS, *KINDS))):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            needed = stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR
            if found.st_uid != owner or found.st_mode & needed != needed:
                return path
    return None


def _filesystem(path: Path) -> str:
    """The type of the file system a path lies on, by the longest mount point that holds it."""
    from gateway.service.backup import mounts

    best = ("", "")
    for mount, kind in mounts():
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def database(state: Path) -> Iterator[Finding]:
    """Whether a gateway would start with the database that is there, if there is one. It is only read; none must run."""
    from gateway.service.backup import refuse_half_restored
    from gateway.spool import Spool
    from gateway.store import file
    from gateway.store.db import refuse_newer
    from gateway.store.snapshot import DATABASE

    path = state / DATABASE
    try:
        if path.exists():
            path.open("rb+").close()  # SQLite has no words of its own for a file that it may not open
        refuse_half_restored(state)
        file.look(path, may_be_new=not Spool(state / "spool").was_opened)
        if not path.exists():
            return
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
        refuse_newer(schema)
    except OSError as error:
        remedy = _whose(state) if isinstance(error, PermissionError) else "the gateway does not start with that"
        yield Finding("database", FAIL, f"{path}: {error.strerror}", remedy)
        return
    except GatewayError as error:
        yield Finding("database", FAIL, error.public, "the gateway does not start before that is done")
        return
    except sqlite3.Error as error:
        found = str(error)
    if found == "ok":
        yield Finding("database", OK, f"{path} is whole")
    else:
        yield Finding(
            "database",
            FAIL,
            f"{path}: {found}",
            "the gateway does not start with it; restore a backup (faxgateway restore)",
        )


def _whose(state: Path) -> str:
    """What to do about files that this user may not use: the user may be the wrong one, or the owner of the files."""
    user = _user(os.geteuid())
    return f"run this as root, or as the gateway's user; if {user} is that: chown -R {user} {state}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def certificates(config: Config, now: float) -> Iterator[Finding]:
    from gateway.config.pem import valid_until

    files = (each.certificate for each in config.smtp.listeners if each.certificate and each.tls != "none")
    for file in dict.fromkeys(files):
        until = valid_until(file)
        if until is None:
            yield Finding(
                "certificate", WARN, f"{file}: its end cannot be read", "see that it is a certificate in PEM form"
            )
            continue
        day = datetime.fromtimestamp(until, UTC).date()
        if until < now:
            yield Finding("certificate", FAIL, f"{file} expired on {day}", "renew it; faxgateway reload")
        elif until < now + _SOON:
            yield Finding("certificate", WARN, f"{file} expires on {day}", "renew it; faxgateway reload")
        else:
            yield Finding("certificate", OK, f"{file} is valid until {day}")


# --- what must be reached ---------------------------------------------------------------------------------------------


async def daemon(config: Config, changed_at: float = 0.0) -> AsyncIterator[Finding]:
    """Whether it runs, as one that has run should, and with the configuration as it is; when not, whether its ports are free.

    ``changed_at``: when the configuration was written, in seconds since 1970.
    """
    from gateway.spool import Spool

    try:
        async with AdminClient(config.admin_socket) as client:
            found = await client("status", {})
    except NotRunning:
        state = FAIL if Spool(config.state_dir / "spool").was_opened else WARN
        yield Finding("gateway", state, "it does not run", "faxgateway serve, or: systemctl start faxgateway")
        for finding in database(config.state_dir):
            yield finding
        async for finding in _ports(config):
            yield finding
    except Failed as error:
        yield Finding("gateway", FAIL, str(error), "its log says more")
    else:
        yield Finding("gateway", OK, f"version {found['version']} runs as process {found['pid']}")
        if changed_at > datetime.fromisoformat(found["started_at"]).timestamp() + 1:  # which is told in whole seconds
            text = "it started before the configuration was changed last, and goes on with what it had read"
            yield Finding("gateway", WARN, text, "systemctl restart faxgateway")
        if found["held"]:
            faxes = output.plural(found["held"], "fax")
            text = f"{faxes} {'is' if found['held'] == 1 else 'are'} held for a person"
            yield Finding("gateway", WARN, text, "faxgateway queue list --held")


async def _ports(config: Config) -> AsyncIterator[Finding]:
    """Listens where the gateway would, everywhere at once, as two of its own addresses may be in each other's way."""
    from gateway.config.kinds import host_and_port
    from gateway.edge.listen import listen

    async with contextlib.AsyncExitStack() as opened:
        for address in (*(each.address for each in config.smtp.listeners), config.http.callbacks.address):
            place = host_and_port(address)
            if place is None or place[1] == 0:
                continue
            try:
                opened.callback((await listen(asyncio.Protocol, address, {})).close)
            except OSError as error:
                text, _, remedy = str(error.strerror).partition("; ")
                yield Finding("listeners", FAIL, text, remedy)
            else:
                yield Finding("listeners", OK, f"{address} is free")


async def relay(config: Config) -> Finding:
    from gateway import settings
    from gateway.mail.transport import Transport

    to, our = settings.relay(config), settings.notices(config)
    place = f"[{to.host}]:{to.port}" if ":" in to.host else f"{to.host}:{to.port}"
    try:
        await Transport(to).probe(["", our.bounce], our.fallback)
    except Refused as error:
        remedy = (
            f"have it take mails from <> and {our.bounce} to {our.fallback}, from this machine or by mail.relay.user"
        )
        return Finding("mail server", FAIL, str(error), remedy)
    except TryLater as error:
        remedy = next((remedy for sign, remedy in _RELAY_REMEDIES.items() if sign in str(error)), "see mail.relay")
        return Finding("mail server", FAIL, str(error), f"{remedy}; results and received faxes wait for {place}")
    except OSError as error:
        return Finding("mail server", FAIL, f"{place}: {error}", "see mail.relay")
    login = f", as {to.user}" if to.user else ""
    return Finding("mail server", OK, f"{place} answers (tls: {to.tls}{login})")


async def provider(config: Config) -> Finding:
    from gateway import settings
    from gateway.provider.faxto import FaxTo

    account = FaxTo(settings.provider(config))
    try:
        balance = await account.balance()
    except KeyRefused as error:
        return Finding("provider", FAIL, str(error), "put the right key where provider.api_key points")
    except GatewayError as error:
        return Finding("provider", FAIL, str(error), f"see that {config.provider.base_url} can be reached from here")
    finally:
        await account.close()
    if balance <= 0:
        return Finding("provider", WARN, f"the balance is {balance}", "top up the account, or nothing is sent")
    return Finding("provider", OK, f"{config.provider.base_url}, balance {balance}")
