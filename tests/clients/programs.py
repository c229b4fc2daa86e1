"""The programs that only send: each is one command line for a way and a letter. Mail servers are in :mod:`servers`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Awaitable, Callable

from .ways import HOST, PASSWORD, USER, Cannot, Letter, Way, run

Client = Callable[[Way, Letter], Awaitable[str]]

_PYTHON = """
import smtplib, ssl, sys
way, port, authority, login, user, password, dsn, sender, to, file = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
made = smtplib.SMTP_SSL("localhost", int(port), context=context) if way == "implicit" else smtplib.SMTP("localhost", int(port))
with made as client:
    if way == "starttls":
        client.starttls(context=context)
    if login == "True":
        client.login(user, password)
    options = ["NOTIFY=SUCCESS", "ORCPT=rfc822;" + to.replace("+", "+2B")] if dsn == "True" else []
    client.sendmail(sender, [to], open(file).read(), rcpt_options=options)
"""

_NODE = """
const [way, port, authority, login, user, pass, dsn, from, to, file] = process.argv.slice(2);
const ca = require('fs').readFileSync(authority);
const transport = require('nodemailer').createTransport({
  host: 'localhost', port: Number(port), secure: way === 'implicit', requireTLS: way === 'starttls',
  ignoreTLS: way === 'plain', tls: {ca}, auth: login === 'True' ? {user, pass} : undefined,
});
transport.sendMail({
  envelope: {from, to}, raw: {path: file},
  dsn: dsn === 'True' ? {id: 'letter', return: 'headers', notify: ['success'], recipient: from} : undefined,
}).then(info => console.log(info.response), error => { console.error(error.message); process.exit(1); });
"""


def _script(way: Way, letter: Letter) -> list[str]:
    """The arguments of the two scripts above."""
    if way.socket:
        raise Cannot("no unix sockets")
    return [
        way.name, str(way.port), str(way.authority), str(way.login), USER, PASSWORD, str(letter.dsn), letter.sender,
        letter.to, str(letter.file),
    ]  # fmt: skip


async def python(way: Way, letter: Letter) -> str:
    return await run(sys.executable, "-c", _PYTHON, *_script(way, letter))


async def nodemailer(way: Way, letter: Letter) -> str:
    script = letter.place / "send.js"
    script.write_text(_NODE)
    return await run("node", str(script), *_script(way, letter))


async def swaks(way: Way, letter: Letter) -> str:
    if letter.dsn:
        raise Cannot("no DSN")
    where = ["--socket", str(way.socket)] if way.socket else ["--server", HOST, "--port", str(way.port)]
    tls = {"starttls": ["--tls"], "implicit": ["--tls-on-connect"]}.get(way.name, [])
    tls += ["--tls-ca-path", str(way.authority), "--tls-verify"] if tls else []
    login = ["--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD] if way.login else []
    return await run(
        "swaks", *where, *tls, *login, "--from", letter.sender, "--to", f"<{letter.to}>", "--data", f"@{letter.file}"
    )


async def msmtp(way: Way, letter: Letter) -> str:
    where = [f"--socket={way.socket}", "--host=localhost"] if way.socket else [f"--host={HOST}", f"--port={way.port}"]
    tls = [f"--tls={'on' if way.tls else 'off'}", f"--tls-starttls={'on' if way.name == 'starttls' else 'off'}"]
    tls += [f"--tls-trust-file={way.authority}"] if way.tls else []
    login = ["--auth=plain", f"--user={USER}", f"--passwordeval=echo {PASSWORD}"] if way.login else ["--auth=off"]
    dsn = ["--dsn-notify=success", "--dsn-return=hdrs"] if letter.dsn else ["--dsn-notify=off"]
    command = ["msmtp", "--file=/dev/null", *where, *tls, *login, *dsn, f"--from={letter.sender}", letter.to]
    return await run(*command, say=letter.message)


async def curl(way: Way, letter: Letter) -> str:
    if letter.dsn:
        raise Cannot("no DSN")
    where = ["--unix-socket", str(way.socket), "smtp://localhost/client.example.org"] if way.socket else [
        f"{'smtps' if way.name == 'implicit' else 'smtp'}://{way.address}/client.example.org"
    ]  # fmt: skip
    tls = ["--ssl-reqd", "--cacert", str(way.authority)] if way.tls else []
    login = ["--user", f"{USER}:{PASSWORD}"] if way.login else []
    mail = ["--mail-from", letter.sender, "--mail-rcpt", letter.to, "--upload-file", str(letter.file)]
    return await run("curl", "--silent", "--show-error", *where, *tls, *login, *mail)


async def s_nail(way: Way, letter: Letter) -> str:
    if way.socket:
        raise Cannot("no unix sockets")
    if letter.dsn:
        raise Cannot("no DSN")
    scheme = "smtps" if way.name == "implicit" else "smtp"
    login = f"{USER}:{PASSWORD.replace(' ', '%20')}@" if way.login else ""
    options = [
        f"mta={scheme}://{login}{way.address}",
        f"smtp-auth={'plain' if way.login else 'none'}",
        "smtp-hostname=",
    ]
    options += [f"tls-ca-file={way.authority}", "tls-ca-no-defaults", "tls-verify=strict"] if way.tls else []
    options += ["smtp-use-starttls"] if way.name == "starttls" else []
    options += ["v15-compat", f"from={letter.sender}", "sendwait", "hostname=client.example.org"]
    sets = [word for option in options for word in ("-S", option)]
    return await run("s-nail", "-:/", *sets, "-s", "A letter", f"<{letter.to}>", say=letter.text, env=_plain_env())


async def smtp_source(way: Way, letter: Letter) -> str:
    if way.tls:
        raise Cannot("no TLS")
    if way.login:
        raise Cannot("no AUTH")
    if letter.dsn:
        raise Cannot("no DSN")
    where = f"unix:{way.socket}" if way.socket else way.address
    return await run("smtp-source", "-f", letter.sender, "-t", letter.to, "-F", str(letter.file), where)


def _plain_env() -> dict[str, str]:
    return {**os.environ, "HOME": "/nonexistent", "MAILRC": "/dev/null"}


def absent(*programs: str) -> str:
    """The first of the programs that is not installed."""
    return next((program for program in programs if shutil.which(program) is None), "")
