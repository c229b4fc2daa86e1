"""``python -m tests.clients [--only NAME] [--write docs/clients.md]``: every program, every way, with DSN and without.

A letter counts when the sandbox has faxed it; a DSN counts when the notice of success has come to the smarthost, which
the gateway sends to nobody who did not ask for it. Programs that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import trustme

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.sandbox.server import Sandbox, SandboxSettings
from tests.campaign.daemon import Program
from tests.campaign.ports import free_port
from tests.campaign.sink import Sink

from . import programs, servers
from .ways import PASSWORD, USER, Cannot, Letter, Way, run

CLIENTS: dict[str, tuple[programs.Client, tuple[str, ...], tuple[str, ...]]] = {  # what runs, needs, and tells its version
    "Postfix": (servers.postfix, ("postfix",), ("postconf", "-d", "-h", "mail_version")),
    "Exim": (servers.exim, ("exim4",), ("exim4", "-bV")),
    "OpenSMTPD": (servers.opensmtpd, ("smtpd", "smtpctl"), ("smtpd", "-h")),
    "Postfix smtp-source": (programs.smtp_source, ("smtp-source",), ("postconf", "-d", "-h", "mail_version")),
    "swaks": (programs.swaks, ("swaks",), ("swaks", "--version")),
    "msmtp": (programs.msmtp, ("msmtp",), ("msmtp", "--version")),
    "curl": (programs.curl, ("curl",), ("curl", "--version")),
    "s-nail": (programs.s_nail, ("s-nail",), ("s-nail", "--version")),
    "Python smtplib": (programs.python, (), (sys.executable, "--version")),
    "nodemailer": (
        programs.nodemailer, ("node",), ("node", "-p", "require('nodemailer/package.json').version")
    ),
}  # fmt: skip

_CONFIG = """
state_dir: {place}/state
domain: fax.local
smtp:
  listeners:
    - {{address: "127.0.0.1:{plain}", networks: [127.0.0.0/8]}}
    - {{address: "127.0.0.1:{login}", networks: [], auth: required}}
    - {{address: "127.0.0.1:{starttls}", networks: [127.0.0.0/8], auth: optional, tls: starttls, certificate: {place}/cert.pem, key: {place}/key.pem}}
    - {{address: "127.0.0.1:{starttls_login}", networks: [], auth: required, tls: starttls, certificate: {place}/cert.pem, key: {place}/key.pem}}
    - {{address: "127.0.0.1:{implicit}", networks: [127.0.0.0/8], auth: optional, tls: implicit, certificate: {place}/cert.pem, key: {place}/key.pem}}
    - {{address: "127.0.0.1:{implicit_login}", networks: [], auth: required, tls: implicit, certificate: {place}/cert.pem, key: {place}/key.pem}}
    - {{address: "unix:{place}/door", networks: []}}
http: {{callbacks: {{address: "127.0.0.1:{http}", token: {token}}}}}
provider: {{base_url: "http://{sandbox}/api/v2", api_key: clients-key, rate: 0, concurrency: 8}}
mail: {{relay: {{host: 127.0.0.1, port: {sink}}}, sender: fax@example.org, fallback: admin@example.org, notify_success: false}}
log: {{format: json}}
"""
_TOKEN = "clients-" + "t" * 24
_WAYS = {"plain": "no TLS", "starttls": "STARTTLS", "implicit": "TLS", "unix": "unix socket"}  # as the table calls them
_LISTENERS = ("plain", "login", "starttls", "starttls_login", "implicit", "implicit_login")


@dataclass
class Row:
    """What became of one letter."""

    client: str
    way: Way
    dsn: bool
    number: str
    result: str = ""


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this program; repeatable")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    chosen = {name: each for name, each in CLIENTS.items() if not options.only or name in options.only}
    with tempfile.TemporaryDirectory(prefix="faxgateway-clients-") as directory:
        rows, versions = await _all(chosen, Path(directory))
    failed = [row for row in rows if row.result.startswith("FAILED")]
    text = _table(rows, versions)
    print(text)
    if options.write:
        options.write.write_text(text)
    return 1 if failed else 0


async def _all(
    chosen: dict[str, tuple[programs.Client, tuple[str, ...], tuple[str, ...]]], place: Path
) -> tuple[list[Row], dict[str, str]]:
    place.chmod(0o755)
    ports = {name: free_port() for name in (*_LISTENERS, "http")}
    authority = trustme.CA()
    authority.cert_pem.write_to_path(place / "authority.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(place / "key.pem")
    for n, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(place / "cert.pem", append=n > 0)
    pool = WorkerPool(1, WorkerLimits())
    sink = Sink()
    settings = SandboxSettings(
        state_dir=place / "sandbox", api_key="clients-key", listen="127.0.0.1:0",
        callback=f"http://127.0.0.1:{ports['http']}/callback/{_TOKEN}",
    )  # fmt: skip
    sandbox = Sandbox(settings, pool)
    await pool.start()
    await sandbox.start()
    await sink.start()
    config = place / "config.yaml"
    config.write_text(_CONFIG.format(place=place, token=_TOKEN, sandbox=sandbox.address, sink=sink.port, **ports))
    await run(
        sys.executable, "-m", "gateway", "-c", str(config), "user", "add", USER, "--password-stdin", say=f"{PASSWORD}\n"
    )
    url = f"http://127.0.0.1:{ports['http']}/readyz"
    gateway = Program(("serve", "-c", str(config)), url, place / "log")
    try:
        if not await gateway.start():
            raise SystemExit((place / "log").read_text())
        versions: dict[str, str] = {}
        rows: list[Row] = []
        for name, (client, needed, asking) in chosen.items():
            missing = programs.absent(*needed)
            version = "" if missing else await _version(*asking)
            versions[name] = version
            if not version:
                print(f"{name}: not installed", file=sys.stderr)
                continue
            for way in _ways(place, ports):
                for dsn in (False, True):
                    rows.append(await _row(name, client, way, dsn, place, len(rows)))
                    print(
                        f"{name}, {way.name}{', login' if way.login else ''}{', DSN' if dsn else ''}: {rows[-1].result[:300]}",
                        file=sys.stderr,
                    )
        await _settle(rows, sandbox, sink)
        return rows, versions
    finally:
        await gateway.kill()
        await sandbox.stop()
        await sink.stop()
        await pool.close()


def _ways(place: Path, ports: dict[str, int]) -> list[Way]:
    authority = place / "authority.pem"
    ways = [Way("plain", False, authority, ports["plain"]), Way("plain", True, authority, ports["login"])]
    for name in ("starttls", "implicit"):
        ways += [Way(name, False, authority, ports[name]), Way(name, True, authority, ports[f"{name}_login"])]
    return [*ways, Way("unix", False, authority, socket=place / "door")]


async def _row(name: str, client: programs.Client, way: Way, dsn: bool, place: Path, n: int) -> Row:
    row = Row(name, way, dsn, f"+1202{2_000_000 + n}")
    own = place / f"letter-{n}"
    own.mkdir()
    own.chmod(0o755)
    try:
        await client(way, Letter("ann@example.org", f"{row.number}@fax.local", dsn, own))
    except Cannot as why:
        row.result = f"- ({why})"
    except (RuntimeError, TimeoutError, ValueError, OSError) as error:
        row.result = f"FAILED: {' '.join(str(error).split())[-600:] or type(error).__name__}"
    return row


async def _settle(rows: list[Row], sandbox: Sandbox, sink: Sink) -> None:
    """Wait for the faxes and the notices of success, and say what became of each letter."""
    sent = [row for row in rows if not row.result]
    async with aiohttp.ClientSession() as client:
        for _ in range(600):
            async with client.get(f"http://{sandbox.address}/sandbox/faxes") as answer:
                faxed = [fax["fax_number"].lstrip("+") for fax in (await answer.json())["faxes"]]
            told = [mail.subject for mail in sink.taken if mail.kind == "delivered"]
            for row in sent:
                times = faxed.count(row.number[1:])
                notices = sum(row.number[-7:] in re.sub(r"\D", "", subject) for subject in told)
                row.result = "FAILED: no fax" if not times else f"FAILED: {times} faxes" if times > 1 else "faxed"
                if row.dsn and times == 1:
                    row.result = "faxed, told" if notices == 1 else f"FAILED: {notices} notices"
                elif notices:
                    row.result = "FAILED: told without asking"
            if not any(row.result.startswith("FAILED") for row in sent):
                return
            await asyncio.sleep(0.1)


async def _version(*command: str) -> str:
    """The first number with a dot in what a program says of itself; "" when it cannot be asked."""
    try:
        said = await run(*command)
    except RuntimeError as error:
        said = str(error)
    found = re.search(r"\d+\.\d[\w.-]*", said) or re.search(r"\d{8}\.\d", said)
    return found[0] if found else ""


def _table(rows: list[Row], versions: dict[str, str]) -> str:
    lines = [
        "# Mail programs at the SMTP door", "",
        "Which mail programs can send through the gateway, and by which way: with a login and without, as tried by",
        "`python -m tests.clients --write docs/clients.md`. Each program sends an ordinary letter, and one that asks for a notice",
        "of success (DSN, `NOTIFY=SUCCESS`) from a gateway that sends none by itself (`mail.notify_success: false`).", "",
        "*faxed*: the sandbox faxed each letter once. *told*: the notice came for the letter that asked for it, and not for the",
        "other; a program without *told* cannot ask. *-*: the program has no such way.", "",
    ]  # fmt: skip
    seen: dict[str, dict[str, list[str]]] = {}  # of programs and ways, without DSN and with
    for row in rows:
        way = f"{_WAYS[row.way.name]}{', login' if row.way.login else ''}"
        seen.setdefault(row.client, {}).setdefault(way, []).append(row.result.replace("|", "/")[:200])
    ways = list(next(iter(seen.values()), {}))
    lines += [f"| {' | '.join(['Program', *ways])} |", "|---" * (len(ways) + 1) + "|"]
    for client, results in seen.items():
        cells = [f"{client} {versions[client]}", *(_cell(*results[way]) for way in ways)]
        lines.append(f"| {' | '.join(cells)} |")
    absent = [name for name, version in versions.items() if not version]
    if absent:
        lines += ["", f"Not installed where this was run: {', '.join(absent)}."]
    return "\n".join([*lines, ""])


def _cell(plain: str, dsn: str) -> str:
    """Both results of a way, in short where both are good or neither is possible."""
    if dsn.startswith(plain):
        return dsn
    return plain if plain == "faxed" and dsn.startswith("- ") else f"{plain}; DSN: {dsn}"


raise SystemExit(asyncio.run(main()))
