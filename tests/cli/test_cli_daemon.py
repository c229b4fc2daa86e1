"""Commands that speak to a running daemon, a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from cli.conftest import PROGRAM, Cli, Daemon, Outside, Start
from gateway.cli import client, send

QUEUE_KEYS = ["id", "submission", "state", "to", "from", "pages", "created_at", "reference", "send_at", "last_error"]
DELIVERED = "Sent! Fax Has Been Answered."


def test_status_shows_how_it_is(daemon: Daemon) -> None:
    found = daemon.json("status")
    assert found["pid"] == daemon.process.pid
    assert found["running"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["started_at"])
    shown = daemon("status").stdout
    assert re.search(rf"^process +{daemon.process.pid}$", shown, re.M)
    assert re.search(r"^faxes +none under way$", shown, re.M)
    assert re.search(r"^since +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", shown, re.M)
    daemon.service.uploading = False
    daemon.reach(daemon.send(), "prepared")
    daemon("queue", "hold", "ALL")
    shown = daemon("status").stdout
    assert re.search(r"^held +1 \(faxgateway queue list --held\)$", shown, re.M)


def test_status_tells_why_nothing_is_sent(daemon: Daemon) -> None:
    daemon.service.uploading = False
    daemon.send()
    daemon.until(lambda: re.search(r"^provider +waiting: .", daemon("status").stdout, re.M))


def test_status_tells_of_a_disk_that_is_too_full(config: Path, start: Start) -> None:
    with config.open("a") as stream:
        stream.write("min_free: 1000000GB\n")
    daemon = start(config)
    shown = daemon("status").stdout
    assert re.search(r"^disk +the gateway is short of disk space.*; nothing is taken until there is room$", shown, re.M)


def test_reload_by_command_and_by_signal(daemon: Daemon) -> None:
    assert daemon("reload").stderr == "Reloaded: certificates. Options need a restart.\n"
    assert daemon.json("reload") == {"changed": ["certificates"]}
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "reloaded" in daemon.log.read_text())
    assert daemon.json("status")["running"] is True


def test_reload_tries_at_once_what_waits(daemon: Daemon, outside: Outside) -> None:
    daemon.service.message = DELIVERED
    outside.takes_mail = False
    daemon.send()
    daemon.until(lambda: "mail deferred" in daemon.log.read_text())
    outside.takes_mail = True
    daemon("reload")
    daemon.until(lambda: daemon.mails)  # and not after mail.retry_after, 5 minutes


def test_a_fax_is_sent_and_the_status_tells_its_result(daemon: Daemon, tmp_path: Path) -> None:
    daemon.service.message = DELIVERED
    letter = tmp_path / "letter.txt"
    letter.write_text("Hello.\n")
    result = daemon("send", "--to", "+1 (202) 555-0123", "--from", "you@example.org", "--wait", str(letter))
    submission = result.stdout.strip()
    assert submission in result.stderr
    assert f"{submission}-1 +12025550123: delivered" in result.stderr
    (job,) = daemon.json("queue", "show", submission)
    assert (job["state"], job["to"], job["subject"]) == ("delivered", "+12025550123", "letter.txt")
    assert daemon.service.sends[0]["fax_number"] == "+12025550123"
    daemon.until(lambda: daemon.mails)
    assert daemon.mails[0][1] == ["you@example.org"]


def test_send_takes_a_text_from_standard_input_and_its_sender_from_the_surroundings(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL", "ann@example.org")
    accepted = json.loads(
        daemon("send", "--to", "2025550123", "--subject", "Hi", "--text", "-", "--json", input="Hello.\n").stdout
    )
    assert sorted(accepted) == ["jobs", "submission"]
    (job,) = daemon.json("queue", "show", accepted["submission"])
    assert (job["from"], job["subject"]) == ("ann@example.org", "Hi")
    monkeypatch.delenv("EMAIL")
    submission = daemon("send", "--to", "2025550123", "--text", "Hello.").stdout.strip()
    assert daemon.json("queue", "show", submission)[0]["from"] == "admin@example.org"


def test_what_cannot_be_faxed_is_refused_in_words(daemon: Daemon) -> None:
    for args, status, words in (
        (["--to", "+49 30 901820", "--text", "x"], 65, "faxes to Germany (+49) are not allowed here"),
        (["--to", "12", "--text", "x"], 65, "12@fax.local cannot be faxed to"),
        (["--to", "+12025550123", "--from", "me", "--text", "x"], 65, "'me' is not a mail address"),
        (["--to", "+12025550123", "--subject", "a\nb", "--text", "x"], 65, "this cannot stand in a mail header"),
        (["--to", "+12025550123"], 64, "there is nothing to fax: name files, or give --text"),
        (["--to", "+12025550123", "nowhere.pdf"], 64, "'nowhere.pdf' does not exist"),
        (["--text", "x"], 64, "Missing option '--to'"),
    ):
        result = daemon("send", *args, status=status)
        assert words in result.stderr
        assert result.stdout == ""
        assert daemon.json("queue", "list") == []


def test_send_tells_a_refusal_a_failure_and_a_doubt_by_its_status(daemon: Daemon) -> None:
    daemon.service.sending = "refuse"
    result = daemon("send", "--to", "+12025550123", "--text", "x", "--wait", "--json", status=65)
    (refused,) = json.loads(result.stdout)["results"]
    assert (refused["state"], refused["last_error"]) == ("failed", "the number is not valid")
    daemon.service.sending, daemon.service.message = "yes", "Failed: Line Busy"
    result = daemon("send", "--to", "+12025550123", "--text", "y", "--wait", status=75)
    assert ": failed: " in result.stderr
    daemon.service.sending, daemon.service.history_status = "drop", 503
    result = daemon("send", "--to", "+12025550123", "--text", "z", "--wait", "--timeout", "1.5", status=76)
    assert "Still under way; do not send it again, look with: faxgateway queue show" in result.stderr


@pytest.mark.parametrize(
    ("state", "outcome", "status"),
    [("delivered", "ok", 0), ("failed", "busy", 75), ("failed", "content", 65), ("cancelled", "cancelled", 65),
     ("cancelled", "no_result", 76), ("failed", "no_result", 76), ("in_doubt", "", 76)],
)  # fmt: skip
def test_each_outcome_has_its_status(state: str, outcome: str, status: int) -> None:
    """Of one that has ended without a result nobody knows whether it arrived."""
    assert send._status({"state": state, "outcome": outcome}) == status


def test_send_that_ran_out_of_time_says_what_has_become_of_the_fax(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "_POLL", 60.0)
    daemon.service.message = DELIVERED
    result = daemon("send", "--to", "+12025550123", "--text", "x", "--wait", "--timeout", "6", "--json")
    assert json.loads(result.stdout)["results"][0]["state"] == "delivered"
    assert "Still under way" not in result.stderr


def test_the_list_as_json_has_exactly_the_promised_keys(daemon: Daemon) -> None:
    submission = daemon.send()
    daemon.reach(submission, "submitted")
    (job,) = daemon.json("queue", "list")
    assert list(job) == QUEUE_KEYS
    assert job["submission"] == submission
    assert (job["id"], job["state"], job["to"]) == (f"{submission}-1", "submitted", "+12025550123")
    assert (job["from"], job["pages"], job["last_error"]) == ("you@example.org", 1, "")
    daemon("queue", "hold", submission, "--reason", "ask Ann")
    assert daemon.json("queue", "list", "--held")[0]["last_error"] == "ask Ann"


def test_the_list_is_a_table_for_people(daemon: Daemon) -> None:
    daemon.service.uploading = False
    empty = daemon("queue", "list")
    assert (empty.stdout, empty.stderr) == ("", "No faxes.\n")
    submission = daemon.send()
    daemon.reach(submission, "prepared")
    daemon("queue", "hold", "ALL", "--reason", "ask Ann")
    head, line = daemon("queue", "list").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "CREATED", "FROM", "TO", "PAGES", "LAST", "ERROR"]
    assert re.fullmatch(
        rf"{submission}-1  prepared \(held\)  [-0-9]{{10}} [:0-9]{{8}}  you@example\.org  \+12025550123  1 +ask Ann",
        line,
    )
    assert daemon.json("queue", "list", "--state", "delivered") == []
    assert len(daemon.json("queue", "list", "--open", "--to", "(202) 555-0123", "--limit", "1")) == 1
    wrong = daemon("queue", "list", "--state", "lost", status=64)
    assert "'lost' is not one of 'accepted', 'prepared'" in wrong.stderr


def test_show_tells_the_whole_story(daemon: Daemon) -> None:
    daemon.service.message = DELIVERED
    submission = daemon("send", "--to", "2025550123", "--to", "2025550124", "--text", "Hello.").stdout.strip()
    daemon.until(lambda: all(job["state"] == "delivered" for job in daemon.json("queue", "show", submission)))
    daemon.until(lambda: all(job["mails"][0]["state"] == "sent" for job in daemon.json("queue", "show", submission)))
    first, second = daemon("queue", "show", submission).stdout.split("\n\n")
    assert f"fax         {submission}-2" in second
    for words in (
        f"fax         {submission}-1",
        "to          +12025550123 (mail to +12025550123@fax.local)",
        "state       delivered",
        "parts       message text: page 1",
        "provider    fax 90",
        'mails       "delivered" to admin@example.org: sent',
        "accepted: accepted for +12025550123",
        "submitting -> submitted",
        "submitted -> delivered",
    ):
        assert words in first
    assert "no fax or mail with the id nope" in daemon("queue", "show", "nope", status=65).stderr


def test_hold_release_retry_and_cancel(daemon: Daemon) -> None:
    daemon.service.uploading = False
    submission = daemon.send()
    job = daemon.reach(submission, "prepared")["id"]
    assert daemon("queue", "hold", submission).stdout == f"{job}\n"
    again = daemon("queue", "hold", job, status=65)
    assert (again.stdout, again.stderr) == ("", f"{job}: it is held already\n")
    assert daemon("queue", "release", "-", input=f"{job}\n{job}\n").stdout == f"{job}\n"
    assert daemon.json("queue", "retry", job) == [{"id": job, "changed": True, "why": ""}]
    assert daemon.json("queue", "cancel", job, "nope", status=65) == [
        {"id": job, "changed": True, "why": ""},
        {"id": "nope", "changed": False, "why": "there is no such fax"},
    ]
    assert daemon("queue", "cancel", "ALL").stderr == "No faxes.\n"
    for args, words in ((["all"], "ALL stands alone and in capitals"), (["ALL", job], "ALL stands alone")):
        assert words in daemon("queue", "hold", *args, status=64).stderr
    assert "no ids on standard input" in daemon("queue", "hold", "-", status=64, input="\n").stderr
    quiet = daemon.send()
    daemon.reach(quiet, "prepared")
    daemon("queue", "cancel", "--silent", quiet)
    daemon.until(lambda: daemon.mails)
    assert [to for _, to, _ in daemon.mails] == [["you@example.org"]]


def test_what_may_have_been_faxed_is_sent_again_with_resend_only(daemon: Daemon) -> None:
    daemon.service.sending, daemon.service.history_status = "drop", 503
    job = daemon.reach(daemon.send(), "in_doubt")["id"]
    daemon("queue", "hold", job)
    daemon.service.sending = "yes"
    refused = daemon("queue", "retry", "ALL", status=65)
    assert refused.stdout == ""
    assert "may have been faxed already" in refused.stderr
    assert "--resend" in refused.stderr
    assert daemon("queue", "retry", "--resend", job).stdout == f"{job}\n"
    daemon.reach(job, "submitted")
    assert len(daemon.service.sends) == 2


def test_a_route_works_at_once_without_a_restart(daemon: Daemon) -> None:
    assert daemon("route", "test", "2025550123", "--from", "ann@example.org").exit_code == 0
    said = daemon("route", "add", "sender", "@example.org", "--deny", "--note", "left us").stderr
    assert said == "sender @example.org: may not send\n"
    assert (
        "denies it"
        in daemon("send", "--to", "2025550123", "--from", "ann@example.org", "--text", "x", status=65).stderr
    )
    assert "denies it" in daemon("route", "test", "2025550123", "--from", "ann@example.org", status=65).stdout
    assert daemon("route", "remove", "sender", "@Example.org").stderr == "sender @example.org: removed\n"
    daemon("send", "--to", "2025550123", "--from", "ann@example.org", "--text", "x")


def test_a_received_fax_is_listed_shown_and_mailed_again(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon("inbound", "list").stderr == "No received faxes.\n"
    assert daemon.json("inbound", "list") == []
    address = re.search(r"callbacks=(\S+)", daemon.log.read_text())
    assert address is not None
    pdf = tmp_path / "in.pdf"
    pdf.write_bytes(b"%PDF-1.4\nx\n%%EOF\n")
    subprocess.run(
        [  # a client of its own: the callback is an upload like any other
            PROGRAM[0], "-c", "import asyncio, aiohttp, sys\n"
            "async def main():\n"
            "    form = aiohttp.FormData({'uuid': 'u1', 'from': '+12025550199', 'to': '+12025550100', 'pages': '2'})\n"
            "    form.add_field('file', open(sys.argv[2], 'rb').read(), filename='f.pdf', content_type='application/pdf')\n"
            "    async with aiohttp.ClientSession() as client, client.post(sys.argv[1], data=form) as answer:\n"
            "        assert answer.status == 200\n"
            "asyncio.run(main())\n",
            f"http://{address[1]}/callback/{'t' * 32}", str(pdf),
        ],
        check=True,
    )  # fmt: skip
    (fax,) = daemon.json("inbound", "list")
    assert (fax["from"], fax["to"], fax["pages"]) == ("+12025550199", "+12025550100", 2)
    daemon.until(lambda: daemon.json("inbound", "list")[0]["mails"][0]["state"] == "sent")
    table = daemon("inbound", "list", "--limit", "5").stdout
    assert "admin@example.org sent" in table
    shown = daemon("inbound", "show", fax["id"]).stdout
    assert "file              application/pdf, 17 bytes" in shown
    assert daemon.json("inbound", "show", fax["id"])[0]["claims"]["uuid"] == "u1"
    daemon("route", "add", "did", "+12025550100", "desk@example.org")
    assert daemon("inbound", "redeliver", fax["id"]).stderr == f"{fax['id']}: 1 mail queued\n"
    daemon.until(lambda: ["desk@example.org"] in [to for _, to, _ in daemon.mails])
    wrong = daemon("inbound", "redeliver", "nope", status=65)
    assert wrong.stderr == "nope: there is no received fax nope\n"
    assert daemon.json("inbound", "redeliver", fax["id"], "--to", "new@example.org") == [
        {"id": fax["id"], "mails": 1, "why": ""}
    ]


def test_the_account_at_the_provider(daemon: Daemon) -> None:
    assert daemon("provider", "balance").stdout == "9.5\n"
    assert daemon.json("provider", "balance") == {"balance": "9.5"}
    document = daemon.reach(daemon.send(), "submitted")["document_ref"]
    assert daemon("provider", "cost", str(document), "(202) 555-0123").stdout == "0.1\n"
    assert daemon.json("provider", "numbers") == [{"did_number": "+12025550100", "country": "US"}]
    assert daemon("provider", "numbers").stdout.split() == ["DID_NUMBER", "COUNTRY", "+12025550100", "US"]
    daemon.service.owned = []
    assert daemon("provider", "numbers").stderr == "No numbers.\n"
    daemon.service.key_status = 401
    assert daemon("provider", "balance", status=77).stderr == "faxgateway: the fax provider refuses the API key\n"


def test_two_commands_at_once(daemon: Daemon) -> None:
    env = {**os.environ, "FAXGATEWAY_CONFIG": str(daemon.config)}
    both = [
        subprocess.Popen(
            [*PROGRAM, "send", "--to", number, "--from", "you@example.org", "--text", "x"],
            env=env, stdout=subprocess.PIPE, text=True,
        )
        for number in ("+12025550123", "+12025550124")
    ]  # fmt: skip
    ids = {each.communicate(timeout=60)[0].strip() for each in both}
    assert [each.returncode for each in both] == [0, 0]
    assert {job["submission"] for job in daemon.json("queue", "list")} == ids
    assert len(ids) == 2


def test_a_daemon_that_hangs_is_told_and_not_waited_for(offline: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_QUICK", 0.2)
    path = offline.config.parent / "state/admin.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        said = offline("status", status=75).stderr
    assert said.startswith("faxgateway: the gateway runs and does not answer within 0 s; its log may say why: ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the gateway gave no answer to queue.list"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "the gateway gave no answer to queue.list"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone", "the gateway gave no answer to queue.list"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
            "the gateway's answer to queue.list is no JSON object",
        ),
        (b"HTTP/1.1 500 Odd\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "Odd"),
    ],
)
def test_what_a_dying_daemon_did_is_not_known(offline: Cli, answer: bytes, words: str) -> None:
    path = offline.config.parent / "state/admin.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def die() -> None:
            request = b""
            while not request:  # the first connection only looks whether somebody is there
                asking, _ = listening.accept()
                with asking:
                    request = asking.recv(10_000)
                    if request and answer:
                        asking.sendall(answer)

        dying = threading.Thread(target=die, daemon=True)
        dying.start()
        result = offline("queue", "list", status=76)
        dying.join(30)
    assert words in result.stderr
    assert result.stdout == ""


def test_a_configuration_that_was_spoilt_meanwhile_does_not_hide_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """On the day when faxes have to be held, it is no time to mend what counts at the next start only."""
    submission = daemon.send()
    daemon.config.write_text(daemon.config.read_text() + "\nmin_free: much\n")
    for command in (["queue", "list"], ["status"], ["limits"], ["queue", "show", submission], ["route", "list"]):
        assert "config.yaml has a problem" in daemon(*command).stderr
    assert daemon.json("queue", "show", submission)[0]["submission"] == submission
    assert "config.yaml has a problem" in daemon("backup", str(tmp_path / "backup")).stderr
    send = ["send", "--to", "+12025550123", "--text", "x"]
    assert "config.yaml has a problem" in daemon(*send, "--from", "ann@example.org").stderr
    assert "min_free: must be a size" in daemon(*send, status=78).stderr  # nor is mail.fallback known
    daemon.stop()
    for command in (["queue", "list"], ["status"], [*send, "--from", "ann@example.org"]):
        assert "min_free: must be a size" in daemon(*command, status=78).stderr
