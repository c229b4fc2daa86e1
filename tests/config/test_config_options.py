"""The kinds of options, the rules between them, and what follows from them."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config import Config
from gateway.config.kinds import _duration, _size, format_duration, format_size, is_loopback
from gateway.model import NumberClass

Read = Callable[[str], Config]
Problems = Callable[..., list[str]]


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2), ("30m", 1800), ("5d", 432000), ("2h", 7200), ("1w", 604800), ("250ms", 0.25), ("0.5s", 0.5),
        ("1h30m", 5400), ("1h 30m", 5400), ("1 h 30 m", 5400), ("90", 90), ("1.5", 1.5), ("1.5h", 5400),
    ],
)  # fmt: skip
def test_durations(read: Read, text: str, seconds: float) -> None:
    assert read(f"provider: {{timeout: {text}}}").provider.timeout == pytest.approx(seconds)


def test_what_is_thrown_away_or_given_up_by_its_age_needs_a_unit(read: Read, problems: Problems) -> None:
    for number in ("7", "'7'"):
        (found,) = problems(f"retention: {{documents: {number}}}")
        assert found.endswith("retention.documents: has no unit; write 7d for days, 7h for hours")
    for option in (
        "provider: {expire_after: 5}", "provider: {inbox: {give_up_after: 5}}", "provider: {doubt: {give_up_after: 5}}",
        "provider: {result_timeout: 5}", "mail: {expire_after: 5}", "smtp: {max_delay: 5}",
    ):  # fmt: skip
        assert "has no unit; write 5d for days" in problems(option)[0], option
    assert "must be longer than 0s" in problems("retention: {history: 0}")[0]
    assert "must be a duration such as" in problems("retention: {history: [7]}")[0]
    assert read("retention: {documents: 7s}").retention.documents == 7


@pytest.mark.parametrize("text", ["5 minutes", "s", "-1s", "1e3", "1h30", "1m1", "''", "[1s]", "5M", "\u0665s", "1.s"])
def test_what_is_no_duration(problems: Problems, text: str) -> None:
    (found,) = problems(f"provider: {{timeout: {text}}}")
    assert "provider.timeout: must be a duration such as 30s, 5m, 2h or 7d" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("document: {timeout: 9999999999d}", "document.timeout: must be at most 36500d"),
        (
            "document: {memory: 9999999GB}",
            "document.memory: must be at most 1000000GB",
        ),  # no process could be given that
        (f"min_free: {'9' * 400}MB", "min_free: must be at most 1000000GB"),
        (f"smtp: {{max_errors: {'9' * 5000}}}", "smtp.max_errors: must be a whole number, and not one so long, not '9"),
        (
            f"smtp: {{listeners: [{{address: 'unix:{'s' * 108}'}}]}}",
            "address: is too long: the path of a socket has at most 107 bytes",
        ),
        ("state_dir: ~nobody-there/state", "state_dir: ~nobody-there/state: there is no such home directory"),
        ("smtp: {listeners: [{address: 'a b:25'}]}", "address: must be HOST:PORT such as"),
        ("mail: {concurrency: 1001}", "mail.concurrency: must be less than or equal to 1000"),
        ("provider: {concurrency: 1001}", "provider.concurrency: must be less than or equal to 1000"),
    ],
)
def test_what_is_beyond_all_measure_is_a_slip(problems: Problems, text: str, words: str) -> None:
    (found,) = problems(text)
    assert words in found


def test_a_duration_is_longer_than_nothing_except_where_nothing_makes_sense(read: Read, problems: Problems) -> None:
    assert "must be longer than 0s" in problems("mail: {retry_after: 0s}")[0]
    assert "must be longer than 0s" in problems("provider: {poll_after: [1m, 0]}")[0]
    config = read("provider: {doubt: {min_time: 0s}, redial: {after: 0s}, inbox: {grace: 0}}")
    assert config.provider.doubt.min_time == config.provider.redial.after == config.provider.inbox.grace == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("25MB", 25_000_000), ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("2GB", 2_000_000_000), ("10kB", 10_000),
        ("10KB", 10_000), ("8KiB", 8192), ("512B", 512), ("5000", 5000), ("52428800", 50 << 20), ("1.5 MB", 1_500_000), ("64mib", 64 << 20),
    ],
)  # fmt: skip
def test_sizes(read: Read, text: str, size: int) -> None:
    assert read(f"smtp: {{max_message: {text}}}").smtp.max_message == size


@pytest.mark.parametrize("text", ["25 fortnights", "MB", "-5MB", "[5]", "25M", "5TB", "''"])
def test_what_is_no_size(problems: Problems, text: str) -> None:
    (found,) = problems(f"smtp: {{max_message: {text}}}")
    assert "smtp.max_message: must be a size such as 25MB or 64MiB" in found


def test_a_size_is_more_than_nothing(problems: Problems) -> None:
    assert "must be more than 0 bytes" in problems("smtp: {max_message: 0MB}")[0]


@pytest.mark.parametrize("number", ["64", "512", "4096"])
def test_a_small_size_needs_its_unit(problems: Problems, number: str) -> None:
    """Who writes 64 means megabytes; with 64 bytes to spare mails would be taken until the disk is full."""
    assert f"min_free: has no unit; write {number}MB, or {number}B for bytes" in problems(f"min_free: {number}")[0]


@given(st.integers(1, 10**9))
def test_durations_and_sizes_are_written_as_they_are_read(number: int) -> None:
    assert _duration(format_duration(number)) == number
    assert _size(format_size(number)) == number


def test_durations_are_written_in_the_largest_whole_unit() -> None:
    assert [format_duration(seconds) for seconds in (0, 0.25, 1, 90, 3600, 176400, 604800)] == [
        "0s", "0.25s", "1s", "90s", "1h", "49h", "7d",
    ]  # fmt: skip
    assert [format_size(size) for size in (1, 1000, 1024, 50_000_000, 64 << 20, 10**9)] == [
        "1B", "1kB", "1KiB", "50MB", "64MiB", "1GB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:2525", "[::1]:2526", "localhost:0", "0.0.0.0:65535", "mail.example.org:25", "fd:smtp", "*:24"],
)
def test_listen_addresses(read: Read, address: str) -> None:
    assert read(f"smtp: {{listeners: [{{address: '{address}'}}]}}").smtp.listeners[0].address == address


def test_a_unix_socket_starts_from_the_directory_of_the_file(read: Read, tmp_path: Path) -> None:
    assert read("http: {callbacks: {address: 'unix:/run/x.sock'}}").http.callbacks.address == "unix:/run/x.sock"
    assert read("http: {callbacks: {address: 'unix:x.sock'}}").http.callbacks.address == f"unix:{tmp_path}/x.sock"


@pytest.mark.parametrize("address", ["2525", "127.0.0.1", ":25", "::1:25", "a:b", "h:65536", "unix:", "fd:", "fd:a b"])
def test_what_is_no_listen_address(problems: Problems, address: str) -> None:
    (found,) = problems(f"smtp: {{listeners: [{{address: '{address}'}}]}}")
    assert "smtp.listeners[0].address: " in found


def test_networks(read: Read, problems: Problems) -> None:
    listener = read("smtp: {listeners: [{networks: [10.0.0.0/8, 192.168.1.7, '2001:DB8::/32']}]}").smtp.listeners[0]
    assert listener.networks == ("10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32")
    assert read("smtp: {listeners: [{networks: 10.0.0.0/8}]}").smtp.listeners[0].networks == ("10.0.0.0/8",)
    assert "did you mean 10.0.0.0/8?" in problems("smtp: {listeners: [{networks: [10.1.2.3/8]}]}")[0]
    listener = read("smtp: {listeners: [{networks: ['::ffff:10.1.0.0/112']}]}").smtp.listeners[0]
    assert listener.networks == ("10.1.0.0/16",)
    assert "did you mean fe80::1/128?" in problems("smtp: {listeners: [{networks: ['fe80::1%eth0']}]}")[0]
    assert "'lan' is not a network such as" in problems("http: {metrics_networks: [lan]}")[0]


def test_domains(read: Read, problems: Problems) -> None:
    config = read("domain: [Fax.Example.ORG., 'f\u00e4x.example', '[192.0.2.1]', 192.0.2.1]")
    assert config.domains == ("fax.example.org", "xn--fx-via.example", "[192.0.2.1]", "192.0.2.1")
    assert config.host == "fax.example.org"
    assert read("hostname: mx.example.org").host == "mx.example.org"
    for wrong in (
        "fax local",
        "fax@local",
        "-fax.local",
        "fax..local",
        "''",
        "'[x]'",
        "f\u00e4x..local",
        "\u201cfax.local\u201d",
    ):
        assert "is not a domain name" in problems(f"domain: {wrong}")[0]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://fax.to/api/v2", "must start with https://: the API key would travel in the clear"),
        ("http://10.0.0.1/api", "must start with https://"),
        ("http://localhost.evil.com/api", "must start with https://"),
        ("ftp://fax.to/", "must be a URL"),
        ("fax.to", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://[::1", "must be a URL"),
        ("https://fax.to:x/", "must be a URL"),
        ("https://me:pw@fax.to/", "must be a plain URL"),
        ("https://fax.to/?api_key=x", "must be a plain URL"),
    ],
)
def test_base_urls_that_would_harm(problems: Problems, url: str, problem: str) -> None:
    (found,) = problems(f"provider: {{base_url: '{url}'}}")
    assert f"provider.base_url: {problem}" in found


@pytest.mark.parametrize("url", ["http://127.0.0.1:8026/api/v2", "http://localhost:8026/x/", "http://[::1]:1/api"])
def test_a_provider_on_this_machine_needs_no_tls_and_has_test_numbers(read: Read, url: str) -> None:
    config = read(f"provider: {{base_url: '{url}'}}")
    assert config.provider.base_url == url.rstrip("/")
    assert config.provider_is_local
    assert config.test_numbers_allowed
    assert not read(f"provider: {{base_url: '{url}'}}\npolicy: {{test_numbers: deny}}").test_numbers_allowed


def test_test_numbers_are_denied_at_the_real_provider_unless_allowed(read: Read) -> None:
    assert not read("").provider_is_local
    assert not read("").test_numbers_allowed
    assert read("policy: {test_numbers: allow}").test_numbers_allowed


def test_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST."))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "::", "192.168.1.1", "localhost.example.org"))


def test_time_zones(read: Read, problems: Problems) -> None:
    assert read("provider: {timezone: Europe/Berlin}").provider.timezone == "Europe/Berlin"
    for wrong in ("Berlin", "../etc/passwd", "/etc/passwd", "''", "Europe"):
        assert "is not a time zone such as UTC" in problems(f"provider: {{timezone: {wrong}}}")[0]


@pytest.mark.parametrize(
    "address", ["x", "a@b@", "@b", "a b@c", "a@b c", "a@", "<a@b.c>", "a@b.c,d@e.f", "a@b.c\nX: y"]
)
def test_what_is_no_mail_address(problems: Problems, address: str) -> None:
    (found,) = problems("mail: {fallback: " + json.dumps(address) + "}")
    assert "is not a mail address" in found


def test_senders(read: Read, problems: Problems) -> None:
    config = read("mail: {sender: 'Faxdienst M\u00fcller <fax@example.com>'}")
    assert config.bounce_address == "fax@example.com"
    assert read("mail: {sender: fax@example.com}").bounce_address == "fax@example.com"
    assert read("mail: {bounce: bounces@example.com}").bounce_address == "bounces@example.com"
    assert "mail.sender: must be on one line" in problems('mail: {sender: "Fax <a@b.c>\\r\\nBcc: x@y.z"}')[0]
    assert "mail.sender: 'x' is not a mail address" in problems("mail: {sender: Fax gateway <x>}")[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policy: {countries: [Germany]}", "policy.countries[0]: 'Germany' is not a country code; did you mean DE?"),
        ("policy: {countries: [US, the netherlands]}", "policy.countries[1]: 'the netherlands' is not a country code;"),
        ("policy: {countries: [EU]}", "'EU' is not a country code, two letters such as US or DE (ISO 3166)"),
        ("policy: {numbers: ['8835100']}", "policy.numbers[0]: '8835100' is not a number or the start of one, with +"),
        ("policy: {numbers: ['+']}", "'+' is not a number"),
        ("policy: {numbers: ['+0123']}", "'+0123' is not a number"),
        ("policy: {classes: [test]}", "policy.classes: does not rule test numbers; set policy.test_numbers: allow"),
        ("state_dir: ''", "state_dir: must be a path"),
        ("state_dir: [x]", "state_dir: must be a path"),
        ("state_dir:", "state_dir: needs a value"),
        ("document: {workers: 65}", "document.workers: must be less than or equal to 64, not '65'"),
        ("mail: {relay: {port: 0}}", "mail.relay.port: must be greater than or equal to 1, not '0'"),
    ],
)
def test_other_kinds(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(text)
    assert problem in found


def test_one_value_may_stand_where_a_list_may(read: Read) -> None:
    config = read("policy: {countries: de, numbers: +883, classes: premium}\nprovider: {poll_after: 1s}")
    assert config.policy.countries == ("DE",)
    assert config.policy.numbers == ("+883",)
    assert config.policy.classes == (NumberClass.PREMIUM,)
    assert config.provider.poll_after == (1.0,)


def test_paths_start_from_the_directory_of_the_file(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read("state_dir: state").state_dir == tmp_path / "state"
    assert read("state_dir: state").admin_socket == tmp_path / "state" / "admin.sock"
    assert read("admin: {socket: run/a.sock}").admin_socket == tmp_path / "run" / "a.sock"
    assert read("state_dir: /srv/fax").state_dir == Path("/srv/fax")
    monkeypatch.setenv("HOME", "/home/ann")
    assert read("state_dir: ~/fax").state_dir == Path("/home/ann/fax")


@pytest.mark.parametrize("word", ["yes", "true", "on", "True", "1"])
def test_yes(read: Read, word: str) -> None:
    assert read(f"mail: {{notify_success: {word}}}").mail.notify_success is True


@pytest.mark.parametrize("word", ["no", "false", "off", "NO", "0"])
def test_no(read: Read, word: str) -> None:
    assert read(f"mail: {{notify_success: {word}}}").mail.notify_success is False


# --- rules between options --------------------------------------------------------------------------------------------


def listener(text: str) -> str:
    return f"smtp:\n  listeners:\n    - {{{text}}}\n"


@pytest.mark.parametrize(
    "networks",
    [
        "0.0.0.0/0", "'::/0'", "10.0.0.0/8, 0.0.0.0/0", "0.0.0.0/1, 128.0.0.0/1", "'::/1', '8000::/1'",
        "0.0.0.0/1", "128.0.0.0/2", "16.0.0.0/6, 10.0.0.0/8", "'2000::/3'", "4.0.0.0/8, 5.0.0.0/8, 6.0.0.0/8",
    ],
)  # fmt: skip
@pytest.mark.parametrize("auth", ["none", "optional"])
def test_no_open_relay_for_faxes(problems: Problems, networks: str, auth: str) -> None:
    (found,) = problems(listener(f"address: '0.0.0.0:2525', networks: [{networks}], auth: {auth}"))
    assert found.startswith("3:")
    assert "smtp.listeners[0].networks: holds a good part of the Internet" in found
    assert "set auth: required" in found


@pytest.mark.parametrize(
    "networks",
    ["10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16", "17.0.0.0/8", "'fc00::/7', 'fe80::/10'", "'2001:db8::/29'"],
)
def test_networks_that_one_owner_may_have(read: Read, networks: str) -> None:
    assert read(listener(f"address: '0.0.0.0:2525', networks: [{networks}]")).smtp.listeners[0].auth == "none"


@pytest.mark.parametrize("address", ["fd:smtp", "'0.0.0.0:2525'", "'[::]:2525'", "127.0.0.1:2525"])
def test_halves_of_the_internet_on_two_listeners_are_no_way_around_it(problems: Problems, address: str) -> None:
    text = listener(f"address: {address}, networks: [0.0.0.0/1]")
    text += "    - {address: '127.0.0.1:26', networks: [128.0.0.0/1]}\n"
    assert len(problems(text)) == 2


def test_a_public_listener_with_login(read: Read) -> None:
    config = read(listener("address: '0.0.0.0:587', networks: [0.0.0.0/0], auth: required"))
    assert config.smtp.listeners[0].networks == ("0.0.0.0/0",)
    assert config.warnings == (
        "smtp.listeners[0] on 0.0.0.0:587: passwords are taken under TLS only, so with tls: none nobody outside this"
        " machine can log in; set tls: starttls",
    )


@pytest.mark.parametrize("address", ["127.0.0.1:587", "[::1]:587", "unix:/run/smtp.sock"])
def test_passwords_on_this_machine_need_no_encryption(read: Read, address: str) -> None:
    assert read(listener(f"address: '{address}', auth: optional")).warnings == ()


def test_passwords_on_a_socket_from_elsewhere_may_need_it(read: Read) -> None:
    assert (
        "fd:smtp: passwords are taken under TLS only"
        in read(listener("address: 'fd:smtp', auth: optional")).warnings[0]
    )


def test_a_listener_that_nobody_may_use(read: Read, problems: Problems) -> None:
    (found,) = problems(listener("address: '127.0.0.1:2525', networks: []"))
    assert "smtp.listeners[0].networks: is empty and auth is none: nobody could send" in found
    assert read(listener("address: '127.0.0.1:2525', networks: [], auth: required")).smtp.listeners[0].networks == ()
    assert read(listener("address: 'unix:/run/smtp.sock', networks: []")).smtp.listeners[0].networks == ()


def test_no_proxy_speaks_on_a_unix_socket(problems: Problems) -> None:
    """It would be taken for a client, and all its clients for trusted ones."""
    (found,) = problems(listener("address: 'unix:/run/smtp.sock', proxies: [10.0.0.2/32]"))
    assert "smtp.listeners[0].proxies: has no meaning on a unix socket" in found


def test_listeners_differ(read: Read, problems: Problems) -> None:
    (found,) = problems("smtp:\n  listeners:\n    - {address: 'a:1'}\n    - {address: 'b:1'}\n    - {address: 'a:1'}\n")
    assert found == "5:17: smtp.listeners[2].address: another listener has a:1 already"
    assert len(read("smtp: {listeners: [{address: 'a:0'}, {address: 'a:0'}]}").smtp.listeners) == 2


def test_what_listeners_share_is_told_beside_their_other_problems(problems: Problems) -> None:
    found = problems(
        "smtp:\n  listeners:\n    - {address: 'a:1', auth: maybe}\n    - {address: '127.0.0.1:1'}\n"
        "    - {address: '127.0.0.1:1', tls: starttls}\n"
        "http: {callbacks: {address: '127.0.0.1:1'}}\nmail: {relay: {host: 127.0.0.1, port: 1}}\n"
    )
    assert [line.split(": ", 2)[1:] for line in found] == [
        ["smtp.listeners[0].auth", "must be one of none, optional, required, not 'maybe'"],
        ["smtp.listeners[2].certificate", "is needed for tls: starttls, the path of a PEM file"],
        ["smtp.listeners[2].key", "is needed for tls: starttls, the path of a PEM file"],
        ["smtp.listeners[2].address", "another listener has 127.0.0.1:1 already"],
        ["http.callbacks.address", "a listener of smtp has 127.0.0.1:1 already"],
        ["mail.relay", "127.0.0.1:1 is this gateway's own listener; name your mail server"],
    ]


def test_a_certificate_in_a_directory_that_the_gateway_may_not_enter(
    problems: Problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denying(does: Callable[..., object]) -> Callable[..., object]:
        def denied(self: Path, *words: object, **how: object) -> object:
            if self.parent.name == "live":
                raise PermissionError(13, "Permission denied", str(self))
            return does(self, *words, **how)

        return denied

    monkeypatch.setattr(Path, "open", denying(Path.open))
    monkeypatch.setattr(Path, "stat", denying(Path.stat))
    (found, _) = problems(
        "smtp: {listeners: [{address: 'a:1', tls: implicit, certificate: live/cert.pem, key: live/key.pem}]}"
    )
    assert found.endswith(
        f"certificate: the file {tmp_path / 'live' / 'cert.pem'} cannot be read (Permission denied);"
        " let the gateway's user read it"
    )


def test_tls_needs_files_that_load(read: Read, problems: Problems, tmp_path: Path) -> None:
    authority = trustme.CA()
    ours, other = authority.issue_cert("mx.example.org"), authority.issue_cert("mx.example.org")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "rubbish.pem").write_text("no certificate")

    good = read(listener("address: '127.0.0.1:465', tls: implicit, certificate: cert.pem, key: key.pem"))
    assert good.smtp.listeners[0].certificate == tmp_path / "cert.pem"
    assert good.masked()["smtp"]["listeners"][0]["key"] == str(tmp_path / "key.pem")

    assert problems(listener("tls: starttls")) == [
        "3:7: smtp.listeners[0].certificate: is needed for tls: starttls, the path of a PEM file",
        "3:7: smtp.listeners[0].key: is needed for tls: starttls, the path of a PEM file",
    ]
    (found,) = problems(listener("tls: starttls, certificate: cert.pem, key: nowhere.pem"))
    assert f"smtp.listeners[0].key: there is no file {tmp_path / 'nowhere.pem'}" in found
    (found,) = problems(listener("tls: starttls, certificate: cert.pem, key: other.pem"))
    assert "does not load together with the key (KEY_VALUES_MISMATCH); name the key that it was made for" in found
    (found,) = problems(listener("tls: starttls, certificate: rubbish.pem, key: rubbish.pem"))
    assert f"smtp.listeners[0].certificate: there is no CERTIFICATE in {tmp_path / 'rubbish.pem'}" in found
    (found,) = problems(listener("tls: starttls, certificate: cert.pem, key: cert.pem"))
    assert f"smtp.listeners[0].key: there is no PRIVATE KEY in {tmp_path / 'cert.pem'}" in found
    (tmp_path / "locked.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    (found,) = problems(listener("tls: starttls, certificate: cert.pem, key: locked.pem"))
    assert "smtp.listeners[0].key: " in found
    assert "has a passphrase, which nobody types at a start: openssl pkey -in" in found


def test_a_certificate_that_clients_will_not_take_and_a_key_that_others_can_read_are_told(
    read: Read, tmp_path: Path
) -> None:
    end = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    ours = trustme.CA().issue_cert("mx.example.org", not_before=end - datetime.timedelta(90), not_after=end)
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o640)
    config = read(listener("tls: starttls, certificate: cert.pem, key: key.pem"))
    assert (config.warnings, config.expiring(end.timestamp() - 15 * 86400)) == ((), ())
    assert config.certificates() == {str(tmp_path / "cert.pem"): end.timestamp()}
    assert config.expiring(end.timestamp() - 86400) == (
        f"the certificate in {tmp_path / 'cert.pem'} expires on 2026-06-01: renew it, then faxgateway reload",
    )
    assert config.expiring(end.timestamp() + 1) == (
        f"the certificate in {tmp_path / 'cert.pem'} has expired: renew it, then faxgateway reload",
    )
    for damaged in (b"", b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n", None):  # while it runs
        (tmp_path / "cert.pem").unlink()
        if damaged is not None:
            (tmp_path / "cert.pem").write_bytes(damaged)
        assert (config.certificates(), config.expiring(end.timestamp())) == ({}, ())
    (tmp_path / "key.pem").chmod(0o644)
    key = tmp_path / "key.pem"
    assert config.warnings == (f"others can read the private key in {key}: chmod 640 {key}",)


def test_an_authority_of_the_web_for_clients_is_pointed_out(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, own = trustme.CA(), trustme.CA()
    ours = own.issue_cert("mx.example.org")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    for authority, name in ((public, "public.pem"), (own, "own.pem")):
        authority.cert_pem.write_to_path(tmp_path / name)
    (tmp_path / "both.pem").write_bytes(own.cert_pem.bytes() + public.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    text = "auth: required, tls: starttls, certificate: cert.pem, key: key.pem, client_ca: "
    assert read(listener(text + "own.pem")).warnings == ()
    for name in ("public.pem", "both.pem"):
        (warning,) = read(listener(text + name)).warnings
        assert "this machine believes an authority in client_ca about web pages too" in warning


@pytest.mark.parametrize(
    ("networks", "rest", "warned"),
    [
        ("192.168.7.0/24", "", True),
        ("192.168.7.0/24", "policy: {senders: routed}", False),
        ("192.168.8.0/24, '2001:db8::/64'", "", False),
    ],
)
def test_a_mail_server_in_front_that_would_let_everybody_send(
    read: Read, networks: str, rest: str, warned: bool
) -> None:
    text = listener(f"networks: [{networks}]") + "  front: {authserv_id: mx, networks: [192.168.7.2/32]}\n" + rest
    found = read(text).warnings
    assert found == () or (warned and "set policy.senders: routed" in found[0])
    assert bool(found) == warned


def test_the_mail_server_in_front_is_somewhere(problems: Problems) -> None:
    (found,) = problems("smtp: {front: {authserv_id: mx, networks: [0.0.0.0/0]}}")
    assert "smtp.front.networks: holds a good part of the Internet: name the addresses of your mail server" in found


def test_who_signs_for_clients_is_one_of_few(read: Read, problems: Problems, tmp_path: Path) -> None:
    authorities = [trustme.CA() for _ in range(11)]
    ours = authorities[0].issue_cert("mx.example.org")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "rubbish.pem").write_text("no certificate")
    (tmp_path / "ten.pem").write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities[:10]))
    (tmp_path / "public.pem").write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    text = "tls: starttls, certificate: cert.pem, key: key.pem, client_ca: "
    assert read(listener(text + "ten.pem")).smtp.listeners[0].client_ca == tmp_path / "ten.pem"
    (found,) = problems(listener(text + "rubbish.pem"))
    assert f"smtp.listeners[0].client_ca: there is no certificate in {tmp_path / 'rubbish.pem'}" in found
    (found,) = problems(listener(text + "public.pem"))
    assert "smtp.listeners[0].client_ca: holds 11 authorities, as a list of public ones does" in found


def test_a_certificate_that_nothing_would_use_is_told(problems: Problems) -> None:
    found = problems(
        listener("certificate: cert.pem, key: key.pem")
    )  # tls was forgotten, and passwords would be in clear
    why = "has no meaning with tls: none; set tls to starttls or implicit"
    assert [each.partition(": ")[2] for each in found] == [
        f"smtp.listeners[0].{name}: {why}" for name in ("certificate", "key")
    ]


def test_callbacks_have_an_address_of_their_own(read: Read, problems: Problems) -> None:
    (found,) = problems(f"{listener('address: 127.0.0.1:8025')}http: {{callbacks: {{token: {'t' * 32}}}}}")
    assert "http.callbacks.address: a listener of smtp has 127.0.0.1:8025 already" in found
    callbacks = f"http: {{callbacks: {{address: '127.0.0.1:0', token: {'t' * 32}}}}}"
    assert read(listener("address: '127.0.0.1:0'") + callbacks).http.callbacks.address == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "smtp: {front: {authserv_id: 'mx example'}}",
            "smtp.front.authserv_id: 'mx example' is not a name such as mx.example.org",
        ),
        ("document: {cover_template: Classic}", "document.cover_template: 'Classic' is not a name in small letters"),
        ("document: {office: ''}", "document.office: must be a text of one letter or more, not ''"),
    ],
)
def test_no_word_of_the_library_is_left_to_administrators(problems: Problems, text: str, words: str) -> None:
    (found,) = problems(text)
    assert words in found


def test_a_listener_that_takes_passwords_in_clear_is_not_said_to_take_none(read: Read) -> None:
    assert read(listener("address: '0.0.0.0:2525', auth: required, clear_auth: true")).warnings == ()


def test_no_mail_of_ours_goes_to_a_fax_address(read: Read, problems: Problems) -> None:
    found = problems(
        "domain: [fax.local, fax.example.org]\nmail:\n  sender: Fax <fax@FAX.local>\n  bounce: b@fax.example.org\n"
        "  fallback: admin@Fax.Local\n"
    )
    assert [problem.partition(": ")[0] for problem in found] == ["3:11", "4:11", "5:13"]
    assert "mail.sender: fax@FAX.local lies in the fax domain fax.local" in found[0]
    assert "mail.bounce: b@fax.example.org lies in the fax domain fax.example.org" in found[1]
    assert "mail.fallback: admin@Fax.Local lies in the fax domain fax.local, so mails to it would be faxed" in found[2]
    assert read("mail: {fallback: admin@not-fax.local, bounce: x@sub.fax.local}").mail.bounce == "x@sub.fax.local"


@pytest.mark.parametrize(
    ("address", "relay"),
    [
        ("127.0.0.1:25", "localhost"),
        ("*:25", "localhost"),
        ("0.0.0.0:25", "127.0.0.1"),
        ("[::]:25", "localhost"),
        ("mx.a.b:25", "mx.a.b"),
        ("[::1]:25", "::1"),
    ],
)
def test_the_relay_is_not_this_gateway(problems: Problems, address: str, relay: str) -> None:
    (found,) = problems(listener(f"address: '{address}'") + f"mail: {{relay: {{host: '{relay}'}}}}")
    assert f"mail.relay: {relay}:25 is this gateway's own listener; name your mail server" in found


@pytest.mark.parametrize("written", ["2001:db8::1", "[2001:db8::1]", "2001:DB8:0::1"])
def test_a_relay_may_have_an_address_of_ipv6(read: Read, written: str) -> None:
    assert read(f"mail: {{relay: {{host: '{written}'}}}}").mail.relay.host == "2001:db8::1"


def test_a_relay_on_another_port_or_host_is_another_server(read: Read) -> None:
    text = listener("address: '127.0.0.1:25'")
    assert read(f"{text}mail: {{relay: {{host: localhost, port: 26}}}}").mail.relay.port == 26
    assert read(f"{text}mail: {{relay: {{host: mail.example.org}}}}").mail.relay.host == "mail.example.org"
    assert read(f"{listener('address: fd:smtp')}mail: {{relay: {{port: 25}}}}").mail.relay.port == 25


def test_rules_that_need_a_broken_section_wait_for_it(problems: Problems) -> None:
    assert len(problems("domain: a b\nsmtp: {max_errors: x}\nmail: {fallback: a@fax.local}")) == 2


def test_a_login_at_the_relay_is_whole(problems: Problems) -> None:
    assert "mail.relay.password: is needed with a user" in problems("mail: {relay: {user: me}}")[0]
    assert "mail.relay.user: is needed with a password" in problems("mail: {relay: {password: x}}")[0]


# --- the whole --------------------------------------------------------------------------------------------------------


def test_the_configuration_is_frozen(read: Read) -> None:
    config = read("")
    with pytest.raises(ValidationError):
        config.default_region = "DE"  # type: ignore[misc]


def test_what_masked_shows_can_be_read_again(read: Read, tmp_path: Path) -> None:
    config = read(
        "domain: [a.b, c.d]\nprovider: {timeout: 250ms, poll_after: [90s]}\nsmtp: {max_message: 1.5MB}\n"
        "policy: {numbers: [+8835100], classes: [premium]}\nadmin: {socket: a.sock}\n"
    )
    again = read(json.dumps(config.masked()))  # JSON is YAML
    assert again == config
    assert again.masked() == config.masked()


def test_default_networks_are_loopback_only(read: Read) -> None:
    config = read("")
    for network in (*config.smtp.listeners[0].networks, *config.http.metrics_networks):
        assert ipaddress.ip_network(network).is_loopback
    assert config.warnings == ()


@pytest.mark.parametrize(("tls", "host", "count"), [
    ("none", "mail.example.org", 1), ("opportunistic", "192.0.2.1", 1), ("starttls", "mail.example.org", 0),
    ("none", "localhost", 0),
])  # fmt: skip
def test_a_password_that_travels_in_the_clear_is_warned_of(read: Read, tls: str, host: str, count: int) -> None:
    warnings = read(f"mail: {{relay: {{host: {host}, tls: {tls}, user: fax, password: secret}}}}").warnings
    assert len(warnings) == count
    assert all(f"mail.relay: with tls: {tls} whoever listens on the way to {host}" in each for each in warnings)


@pytest.mark.parametrize(
    "sender",
    [
        "fax@example.org, b@example.org",
        "Fax, the gateway <fax@example.org>",
        "Fax@ACME <fax@example.org>",
        "fax@example.org>",
    ],
)
def test_the_sender_is_one_address(problems: Problems, sender: str) -> None:
    (found,) = problems(f"mail: {{sender: '{sender}'}}")
    assert f"mail.sender: '{sender}' is not one mail address; a name with a comma or @ has quotes of its own" in found


def test_a_sender_whose_name_is_quoted(read: Read) -> None:
    assert read("""mail: {sender: '"Fax, Inc." <fax@example.org>'}""").bounce_address == "fax@example.org"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "retention: {history: 4d}",
            "retention.history: a mail server that never read our 250 may bring a mail again for 5d;",
        ),
        (
            "provider: {doubt: {give_up_after: 1m}}",
            "provider.doubt: with give_up_after shorter than min_time no fax ever",
        ),
    ],
)
def test_patience_that_is_too_short_is_warned_of(read: Read, text: str, warning: str) -> None:
    (found,) = read(text).warnings
    assert found.startswith(warning)
    assert read("provider: {doubt: {give_up_after: 1m, resend: 0}}").warnings == ()
