"""Mail servers as clients: each is started with a configuration of its own, hands on one letter, and is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
from pathlib import Path

from .ways import HOST, PASSWORD, USER, Cannot, Letter, Way, run

_WITHIN = 30.0  # seconds for a mail to leave

_POSTFIX = """
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = client.example.org
inet_interfaces = loopback-only
maillog_file = {place}/log
maillog_file_prefixes = /
mydestination =
relayhost = [{host}]:{port}
smtp_tls_security_level = {tls}
smtp_tls_wrappermode = {wrapper}
smtp_tls_CAfile = {authority}
smtp_sasl_auth_enable = {login}
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = texthash:{place}/conf/passwords
smtp_host_lookup = native
"""
_MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
showq unix n - n - - showq
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
proxymap unix - - n - - proxymap
"""


async def postfix(way: Way, letter: Letter) -> str:
    """A whole instance: pickup, queue and the smtp client."""
    _root("postfix")
    if way.socket:
        raise Cannot("no unix sockets but for LMTP")
    place = Path("/var/tmp") / f"faxgateway-postfix-{os.getpid()}"  # Postfix wants a short path, open to its own user
    shutil.rmtree(place, ignore_errors=True)
    conf = place / "conf"
    conf.mkdir(parents=True)
    (place / "queue").mkdir()
    (place / "data").mkdir()
    shutil.chown(place / "data", "postfix")
    place.chmod(0o755)
    (conf / "main.cf").write_text(
        _POSTFIX.format(
            place=place, host=HOST, port=way.port, tls="verify" if way.tls else "none",
            wrapper="yes" if way.name == "implicit" else "no", authority=way.authority,
            login="yes" if way.login else "no",
        )
    )  # fmt: skip
    (conf / "master.cf").write_text(_MASTER)
    (conf / "passwords").write_text(f"[{HOST}]:{way.port} {USER}:{PASSWORD}\n")
    try:
        await run("postfix", "-c", str(conf), "start")
        dsn = ["-N", "success"] if letter.dsn else []
        sendmail = shutil.which("sendmail.postfix") or "sendmail"  # where several mail servers are installed
        await run(sendmail, "-C", str(conf), *dsn, "-f", letter.sender, letter.to, say=letter.message)
        log = place / "log"
        await _until(lambda: log.is_file() and "status=" in log.read_text())
        (line,) = [line for line in log.read_text().splitlines() if "status=" in line][:1]
        if "status=sent" not in line:
            raise RuntimeError(line)
        return line
    finally:
        with contextlib.suppress(RuntimeError, TimeoutError):
            await run("postfix", "-c", str(conf), "stop")
        shutil.rmtree(place, ignore_errors=True)


_EXIM = """
exim_user = {user}
exim_group = {group}
spool_directory = {place}
log_file_path = {place}/%slog
primary_hostname = client.example.org
dsn_advertise_hosts = : *
trusted_users = root
no_message_logs
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin acl
begin routers
gateway:
  driver = manualroute
  domains = *
  transport = smtp
  route_list = * {host} byname
  self = send
begin transports
smtp:
  driver = smtp
  port = {port}
  {options}
begin retry
* * F,1s,1s
begin authenticators
{login}
"""
_EXIM_LOGIN = """
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"""


async def exim(way: Way, letter: Letter) -> str:
    _root("exim4")
    if way.socket:
        raise Cannot("no unix sockets")
    options = ["hosts_try_auth = *" if way.login else ""]
    if way.login:
        options = ["hosts_require_auth = *"]
    if way.tls:
        options += ["hosts_require_tls = *", f"tls_verify_certificates = {way.authority}"]
    else:
        options += ["hosts_avoid_tls = *"]
    options += ["protocol = smtps"] if way.name == "implicit" else []
    place = Path("/var/tmp") / f"faxgateway-exim-{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    owner = pwd.getpwnam("Debian-exim")
    shutil.chown(place, owner.pw_uid, owner.pw_gid)
    conf = place / "exim.conf"
    conf.write_text(
        _EXIM.format(
            user=owner.pw_uid, group=owner.pw_gid, place=place, host=HOST, port=way.port, options="\n  ".join(options),
            login=_EXIM_LOGIN.format(user=USER, password=PASSWORD) if way.login else "",
        )
    )  # fmt: skip
    try:
        notify = " NOTIFY=SUCCESS" if letter.dsn else ""
        lines = ["EHLO client", f"MAIL FROM:<{letter.sender}>", f"RCPT TO:<{letter.to}>{notify}", "DATA"]
        body = "".join("." * line.startswith(".") + line + "\n" for line in letter.message.splitlines())
        await run("exim4", "-C", str(conf), "-odf", "-bs", say="\n".join(lines) + f"\n{body}.\nQUIT\n")
        log = (place / "mainlog").read_text() if (place / "mainlog").exists() else "no log"
        if " => " not in log:
            raise RuntimeError(log.strip())
        return log
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def opensmtpd(way: Way, letter: Letter) -> str:
    _root("smtpd")
    if way.socket:
        raise Cannot("no unix sockets")
    if way.login and not way.tls:
        raise Cannot("no AUTH without TLS")
    place = letter.place
    (place / "secrets").write_text(f"gateway {USER}:{PASSWORD}\n")
    (place / "secrets").chmod(0o600)
    scheme = {"plain": "smtp+notls", "starttls": "smtp+tls", "implicit": "smtps"}[way.name]
    label = "gateway@" if way.login else ""
    auth = " auth <secrets>" if way.login else ""
    auth += " tls no-verify" if way.tls else ""  # it knows authorities of the system only
    conf = place / "smtpd.conf"
    conf.write_text(
        f"table secrets file:{place}/secrets\nlisten on socket\n"
        f'action "fax" relay host {scheme}://{label}{HOST}:{way.port}{auth} helo client.example.org\n'
        'match from any for any action "fax"\n'
    )
    log = (place / "log").open("wb")
    daemon = await asyncio.create_subprocess_exec("smtpd", "-dv", "-f", str(conf), stdout=log, stderr=log)
    try:
        await _until(lambda: Path("/run/smtpd.sock").exists() or Path("/var/run/smtpd.sock").exists())
        dsn = ["-N", "SUCCESS"] if letter.dsn else []
        await run(
            "bash", "-c", 'exec -a sendmail smtpctl "$@"', "sendmail", *dsn, "-f", letter.sender, letter.to,
            say=letter.message,
        )  # fmt: skip
        # its queue is the system's: there may be mails of others in it
        own = f"to=<{letter.to}>"

        def ended() -> list[str]:
            lines = (place / "log").read_text("utf-8", "replace").splitlines()
            return [line for line in lines if "mta delivery" in line and own in line]

        await _until(ended)
        line = ended()[0]
        if 'result="Ok"' not in line:
            raise RuntimeError(line)
        return line
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.send_signal(signal.SIGTERM)
        await daemon.wait()
        log.close()


def _root(program: str) -> None:
    if os.geteuid():
        raise Cannot(f"{program} wants to be started by root")


async def _until(condition: object) -> None:
    async with asyncio.timeout(_WITHIN):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.1)
