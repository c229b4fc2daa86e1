"""``serve``: how it starts, how it refuses to, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import trustme

from cli.conftest import PROGRAM, Daemon, Outside, Start, run, write_config


def test_a_bad_configuration_is_refused_with_every_problem(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("domian: x\npolicy: {countries: [XX]}\nhttp: {callbacks: {token: short}}\n")
    done = run("serve", "-c", str(config))
    assert (done.returncode, done.stdout) == (78, "")
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith(f"{config}:")]) == 4  # and the API key
    assert not (tmp_path / "state").exists()


def test_a_state_directory_in_use_is_told_with_its_user(daemon: Daemon, tmp_path: Path) -> None:
    done = run("serve", "-c", str(daemon.config))
    assert done.returncode == 75
    assert f"another faxgateway (process {daemon.process.pid}) is using {tmp_path / 'state'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert daemon.json("status")["pid"] == daemon.process.pid  # the first one's socket still stands


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = write_config(tmp_path)
        text = config.read_text()
        for listener in ('smtp: {listeners: [{address: "127.0.0.1:0"', 'http: {callbacks: {address: "127.0.0.1:0"'):
            config.write_text(text.replace(listener, listener.replace("127.0.0.1:0", address)))
            done = run("serve", "-c", str(config))
            assert done.returncode == 75
            assert f"cannot listen on {address}: " in done.stderr
            remedy = "end what has it (ss -lp tells), or choose another address"
            assert f"why='cannot listen on {address}: Address already in use; {remedy}'" in done.stderr
            assert "Traceback" not in done.stderr
    assert not (tmp_path / "state/admin.sock").exists()


def test_warnings_of_the_configuration_stand_in_the_log(config: Path, start: Start) -> None:
    text = config.read_text().replace(
        "networks: [127.0.0.0/8]}]", 'networks: [127.0.0.0/8]}, {address: "0.0.0.0:0", auth: required}]'
    )
    config.write_text(text)
    daemon = start(config)
    try:
        (line,) = [line for line in daemon.log.read_text().splitlines() if "[warning" in line]
        assert "configuration" in line
        assert "smtp.listeners[1] on 0.0.0.0:0: passwords are taken under TLS only" in line
    finally:
        assert daemon.stop() == 0


def test_sigint_and_sigterm_end_it_in_order(tmp_path: Path, config: Path, start: Start) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        daemon = start(config)
        assert (tmp_path / "state/admin.sock").exists()
        daemon.process.send_signal(number)
        assert daemon.process.wait(30) == 0
        assert daemon.log.read_text().splitlines()[-1].endswith("stopped")
        assert not (tmp_path / "state/admin.sock").exists()


def test_files_of_the_daemon_are_its_own(daemon: Daemon, tmp_path: Path) -> None:
    daemon.reach(daemon.send(), "submitted")
    for each in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        assert each.stat().st_mode & 0o077 == 0, each


def test_after_a_kill_everything_accepted_goes_on(config: Path, start: Start, outside: Outside) -> None:
    outside.service.uploading = False
    daemon = start(config)
    submission = daemon.send()
    daemon.process.kill()
    daemon.process.wait()
    outside.service.uploading = True
    daemon = start(config)
    daemon.reach(submission, "submitted")
    assert len(outside.service.sends) == 1
    assert daemon.stop() == 0


def test_reload_takes_up_a_new_certificate_and_keeps_the_old_one_over_a_broken_one(
    tmp_path: Path, config: Path, start: Start
) -> None:
    authority = trustme.CA()
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def issue(name: str) -> None:
        made = authority.issue_cert(name)
        made.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))

    issue("one.example")
    tls = f"networks: [127.0.0.0/8], tls: implicit, certificate: {certificate}, key: {key}}}]"
    config.write_text(config.read_text().replace("networks: [127.0.0.0/8]}]", tls))
    daemon = start(config)
    host, _, port = daemon.json("status")["listeners"][0].rpartition(":")
    try:
        assert _name_presented(host, int(port), authority) == "one.example"
        issue("two.example")
        assert daemon("reload").stderr == "Reloaded: certificates. Options need a restart.\n"
        assert _name_presented(host, int(port), authority) == "two.example"
        certificate.write_text("rubbish")
        assert "there is no CERTIFICATE in" in daemon("reload", status=78).stderr
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until(lambda: "not all was reloaded" in daemon.log.read_text())
        assert _name_presented(host, int(port), authority) == "two.example"
    finally:
        assert daemon.stop() == 0


def _name_presented(host: str, port: int, authority: trustme.CA) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    authority.configure_trust(context)
    with socket.create_connection((host, port), 10) as plain, context.wrap_socket(plain) as secure:
        found = secure.getpeercert()
    assert found is not None
    return str(found["subjectAltName"][0][1])


def test_a_socket_that_cannot_be_removed_does_not_keep_it_from_its_end(
    tmp_path: Path, config: Path, start: Start
) -> None:
    daemon = start(config)
    (tmp_path / "state/admin.sock").unlink()
    (tmp_path / "state/admin.sock").write_text("somebody's notes")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    *_, told, last = daemon.log.read_text().splitlines()
    assert "the admin socket is left behind" in told
    assert last.endswith("stopped")
    assert (tmp_path / "state/admin.sock").read_text() == "somebody's notes"


def test_json_logs_are_json(tmp_path: Path) -> None:
    config = write_config(tmp_path, more="log: {format: json, level: debug}")
    process = subprocess.Popen([*PROGRAM, "serve", "-c", str(config)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == "accepting mail":
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read().splitlines()
    assert process.wait(30) == 0
    assert [json.loads(line)["level"] for line in rest]
    process.stderr.close()
