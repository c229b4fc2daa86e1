"""From a file to a Config, or to every problem in it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import SEARCHED, Config, find, load, load_place
from gateway.config.yamltree import Mark, parse
from gateway.errors import ConfigError

Read = Callable[[str], Config]
Problems = Callable[..., list[str]]
Write = Callable[[str], Path]

# --- scalars stay what they are ---------------------------------------------------------------------------------------


def test_scalars_stay_texts() -> None:
    tree = parse("a: +493012345\nb: 0123\nc: 12:30\nd: NO\ne: 1_000\nf: 2026-01-01\ng: 0x10\nh: 'null'\ni: '~'\nj: =")
    assert tree.data == {
        "a": "+493012345", "b": "0123", "c": "12:30", "d": "NO", "e": "1_000", "f": "2026-01-01", "g": "0x10",
        "h": "null", "i": "~", "j": "=",
    }  # fmt: skip
    assert tree.problems == []


def test_null_is_null_only_when_plain() -> None:
    assert parse("a: null\nb: ~\nc:\nd: ''\ne: \"\"\nf: Null\ng: none").data == {
        "a": None, "b": None, "c": None, "d": "", "e": "", "f": None, "g": "none",
    }  # fmt: skip


def test_marks_count_from_one() -> None:
    tree = parse("a:\n  - b: x\n    c: {d: y}\n")
    assert tree.mark(("a", 0, "b")) == Mark(2, 8)
    assert tree.mark(("a", 0, "b"), key=True) == Mark(2, 5)
    assert tree.mark(("a", 0, "c", "d")) == Mark(3, 12)
    assert tree.mark(("a", 0, "c", "missing")) == Mark(3, 8)
    assert tree.mark(("nowhere",)) == Mark(1, 1)
    assert parse("").mark(("a",)) == Mark(1, 1)


def test_numbers_and_countries_survive(read: Read) -> None:
    config = read("policy: {countries: [NO, de], numbers: [+8835100, '+49 30-1234']}\ndefault_region: NO\n")
    assert config.policy.countries == ("NO", "DE")
    assert config.policy.numbers == ("+8835100", "+49301234")
    assert config.default_region == "NO"


@given(st.text(max_size=200))
def test_any_text_is_a_tree(text: str) -> None:
    tree = parse(text)
    assert tree.problems or tree.data is None or isinstance(tree.data, (str, list, dict))


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "smtp:\nmail:\n  relay:\n", "null"])
def test_nothing_given_is_all_defaults(read: Read, text: str) -> None:
    assert read(text).masked() == read("domain: fax.local").masked()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("domain: [fax.local\nhostname: x", "2:9: this is not YAML"),
        ("\tdomain: x", "1:1: this is not YAML"),
        ("a: b\n---\na: c", "2:1: this is not YAML: expected a single document"),
        ("domain: 'x", "this is not YAML"),
        ("domain: x\nhostname: \x07", "2:1: this is not YAML"),
        ("a: *b", "1:4: this is not YAML: found undefined alias"),
        ("smtp:\n\tlisteners: []", "2:1: this is not YAML: while scanning"),
        ("smtp:\n\tlisteners: []", "; indent with blanks, not with tabs"),
        ("domain: @x", "; a text that begins with @ needs quotes"),
        ("domain: *", "; a text that begins with * needs quotes"),
        ("domain: & x", "; a text that begins with & needs quotes"),
        ("[smtp]\nport=25", "; write NAME: VALUE"),
        ("domain: |x", "; a text that begins with | or > needs quotes"),
        ("domain: ? x", "; a text that begins with ? needs quotes"),
        ("domain: - x", "; a list has a line for each below its name, or is written [ONE, TWO]"),
        ("smtp: {listeners: [{networks: [::1/128]}]}", "and quote a text with a bracket, comma or colon in it"),
        ("policy: {countries: [US}", "; close each bracket"),
        (
            "domain:x\nhostname: y",
            "; indent the line as those around it, write NAME: VALUE in the one above",
        ),
        ("log: {}\ndomain = x\nhostname: y", "that begins in line 2, could not find expected ':'; write NAME: VALUE"),
        ('mail:\n  sender: "Fax" <fax@example.org>', "and quote a text as a whole or not at all"),
    ],
)
def test_what_is_not_yaml(problems: Problems, text: str, problem: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert problem in found[0]


def test_a_file_that_is_no_section(problems: Problems) -> None:
    names = (
        "; here are state_dir, min_free, domain, hostname, default_region, stop_timeout, smtp, http, provider, mail,"
    )
    names += " policy, document, retention, admin, log"
    assert problems("[a, b]") == [f"1:1: must be a section: lines of NAME: VALUE below it{names}"]
    assert problems("hello") == [f"1:1: must be a section: lines of NAME: VALUE below it, not 'hello'{names}"]


def test_keys_given_twice(problems: Problems) -> None:
    assert problems("domain: a.b\nlog:\n  level: info\n  level: debug\ndomain: c.d\n") == [
        "4:3: log.level: it stands here twice, first in line 3",
        "5:1: domain: it stands here twice, first in line 1",
    ]


def test_aliases_are_read_but_not_in_circles(read: Read, problems: Problems) -> None:
    config = read("smtp: {command_timeout: &t 7s, data_timeout: *t}")
    assert config.smtp.data_timeout == 7
    assert any("an alias cannot stand inside the thing it names" in each for each in problems("log: &a {level: *a}"))


def test_tags_and_strange_keys(problems: Problems) -> None:
    found = problems("log: {level: !env LEVEL}\n? [a]\n: b\n")
    assert "1:14: log.level: the tag !env is not understood here" in found
    assert "2:3: the name of an option is a plain word" in found


# --- problems ---------------------------------------------------------------------------------------------------------


def test_all_problems_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    found = problems(
        "default_region: UK\n"
        "smtp:\n"
        "  listeners:\n"
        "    - tls: startls\n"
        "      adress: x\n"
        "  max_errors: many\n"
        "  max_connections:\n"
        "provider:\n"
        "  api_keey: secret-in-the-wrong-place\n"
        "  confirm_receipts: perhaps\n"
        "  rate: -1\n"
        "  redial: [1]\n"
        "relay: {host: x}\n"
        "foo: bar\n"
        "log: {level: 5}\n"
    )
    assert found == [
        "1:17: default_region: 'UK' is not a country code; did you mean GB?",
        "4:12: smtp.listeners[0].tls: must be one of none, starttls, implicit, not 'startls'; did you mean starttls?",
        "5:7: smtp.listeners[0].adress: there is no such option; did you mean address?",
        "6:15: smtp.max_errors: must be a whole number, not 'many'",
        "7:19: smtp.max_connections: needs a value; without the line the default holds",
        "9:3: provider.api_keey: there is no such option; did you mean api_key?",
        "10:21: provider.confirm_receipts: must be yes or no, not 'perhaps'",
        "11:9: provider.rate: must be greater than or equal to 0, not '-1'",
        "12:11: provider.redial: must be a section: lines of NAME: VALUE below it; here are busy, no_answer, hangup,"
        " unknown, after",
        "13:1: relay: there is no such option; did you mean mail.relay?",
        "14:1: foo: there is no such option; here are state_dir, min_free, domain, hostname, default_region,"
        " stop_timeout, smtp, http, provider, mail, policy, document, retention, admin, log",
        "15:14: log.level: must be one of debug, info, warning, error, not '5'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("state-dir: /x", "1:1: state-dir: there is no such option; did you mean state_dir?"),
        ("smtp: {listeners: [{port: 25}]}", "port: there is no such option; did you mean mail.relay.port?"),
        (
            "smtp: {listeners: {}}",
            "1:19: smtp.listeners: must be a list: [ONE, TWO], or a line - ONE for each below it",
        ),
        (
            "document: {trim: none}",
            "document.trim: must be a list: [ONE, TWO], or a line - ONE for each below it, not 'none'",
        ),
        ("domain: fax.example.org, fax.local", "1:9: domain: has a comma; a list of several is written [ONE, TWO]"),
        (
            "mail: {relay: mx.example.org:25}",
            "not 'mx.example.org:25'; here are host, port, tls, user, password, timeout",
        ),
        (
            "mail: {relay: {host: 'mx:25'}}",
            "'mx:25' is not the name or address of a host; the port is an option of its own",
        ),
        ("log:\n\u00a0 level: info", "'\\xa0 level' holds a sign that only looks like a blank; type the line anew"),
        ("smtp: {listeners: []}", "1:19: smtp.listeners: needs at least one entry"),
        ("smtp: {listeners: [x]}", "smtp.listeners[0]: must be a section: lines of NAME: VALUE below it, not 'x'"),
        ("smtp: {max_recipients: [1]}", "smtp.max_recipients: must be a whole number"),
        ("smtp: {max_recipients: 1.5}", "smtp.max_recipients: must be a whole number, not '1.5'"),
        ("smtp: {max_recipients: 0}", "smtp.max_recipients: must be greater than 0, not '0'"),
        ("provider: {rate: fast}", "provider.rate: must be a number, not 'fast'"),
        ("provider: {rate: .inf}", "provider.rate: must be a number, not '.inf'"),
        ("provider: {rate: nan}", "provider.rate: must be a number, not 'nan'"),
        ("provider: {rate: {}}", "provider.rate: must be a number"),
        ("provider: {poll_after: []}", "provider.poll_after: needs at least one entry"),
        ("provider: {confirm_receipts: []}", "provider.confirm_receipts: must be yes or no"),
        ("domain:", "1:8: domain: needs a value; without the line the default holds"),
        ("domain: []", "domain: needs at least one entry"),
        ("log: {level: [info]}", "log.level: must be one of debug, info, warning, error"),
        ("policy: {classes: [premum]}", "did you mean premium?"),
        ("mail: {relay: {user: [x]}}", "mail.relay.user: must be a text"),
    ],
)
def test_problems(problems: Problems, text: str, problem: str) -> None:
    (found,) = problems(text)
    assert problem in found


def test_values_of_secrets_stand_in_no_problem(problems: Problems) -> None:
    found = problems(
        "provider: {api_key: ' hunter2', api_keey: hunter2}\nhttp: {callbacks: {token: hunter2}}\n"
        "mail: {relay: {password: hunter2, pasword: hunter2}}\n"
    )
    assert len(found) == 4
    assert "hunter2" not in "".join(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.recursive(
        st.none() | st.sampled_from(["x", "5", "-1", "10s", "yes", "US", "/p", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["smtp", "listeners", "mail", "relay", "provider", "api_key", "policy", "numbers", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_tree_loads_or_is_explained(tmp_path: Path, data: object) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(data))  # JSON is YAML
    try:
        load(path, {"FAXTO_API_KEY": "k"})
    except ConfigError as error:
        problems = error.problems
        assert problems
        assert all(problem.startswith(f"{path}:") for problem in problems)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml: No such file"):
        load(tmp_path / "nowhere.yaml")
    binary = tmp_path / "config.yaml"
    binary.write_bytes(b"# ours\ndomain: f\xfcx.local")
    with pytest.raises(ConfigError, match=r"config\.yaml:2: this is not UTF-8 text; save it as UTF-8"):
        load(binary)


def test_a_byte_order_mark_is_no_content(write: Write) -> None:
    path = write("\ufeffdomain: fax.example.org")
    assert load(path, {"FAXTO_API_KEY": "k"}).domains == ("fax.example.org",)


def test_the_environment_of_the_process_is_the_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAXTO_API_KEY", "from the process")
    assert load(write("")).provider.api_key.value == "from the process"


def test_find_takes_what_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, variable, here = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "config.yaml"
    home = tmp_path / ".config" / "faxgateway" / "config.yaml"
    home.parent.mkdir(parents=True)
    for path in (named, variable, here, home):
        path.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"FAXGATEWAY_CONFIG": str(variable)}
    assert find(named, environ) == named
    assert find(None, environ) == variable
    assert find(None, {}) == Path("config.yaml")
    here.unlink()
    assert find(None, {}) == home
    monkeypatch.setenv("FAXGATEWAY_CONFIG", "~/a.yaml")
    assert find() == named


def test_find_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file /nowhere/x\.yaml$"):
        find("/nowhere/x.yaml", {})
    with pytest.raises(ConfigError, match=r"/nowhere/y.yaml \(named by \$FAXGATEWAY_CONFIG\)"):
        find(None, {"FAXGATEWAY_CONFIG": "/nowhere/y.yaml"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.config.loader.SEARCHED", ("./config.yaml", "./nowhere.yaml"))
    with pytest.raises(ConfigError, match=r"looked for \./config\.yaml, \./nowhere\.yaml; name one with -c"):
        find(None, {})
    assert SEARCHED[-1] == "/etc/faxgateway/config.yaml"
    with pytest.raises(ConfigError, match="-c names no file: it is empty"):  # of a variable that is not set
        find("", {"FAXGATEWAY_CONFIG": "/nowhere/y.yaml"})
    with pytest.raises(ConfigError, match=f"there is no configuration file {tmp_path}"):
        find(tmp_path, {})


def test_a_pipe_is_a_configuration_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert find(tmp_path / "pipe", {}) == tmp_path / "pipe"


def test_a_place_that_cannot_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(_path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", stat)
    for named in (tmp_path / "x.yaml", None):
        with pytest.raises(
            ConfigError, match=r"cannot read .*: Permission denied; let the user that runs this read it"
        ):
            find(named, {})


def test_without_a_home_the_other_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def expanduser(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", expanduser)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.config.loader.SEARCHED", ("~/config.yaml", "./config.yaml"))
    with pytest.raises(ConfigError, match="no configuration file: looked for"):
        find(None, {})
    with pytest.raises(ConfigError, match="there is no configuration file ~nobody/x"):
        find("~nobody/x", {})
    (tmp_path / "config.yaml").touch()
    assert find(None, {}) == Path("config.yaml")


def test_a_file_of_another_kind_is_not_shown_whole(problems: Callable[[str], list[str]]) -> None:
    (found,) = problems("root is here\n" * 1000)
    assert "must be a section" in found
    assert len(found) < 300


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("state_dir: state\ndomian: x", "state/admin.sock"),
        ("state_dir: state\nsmtp: {listeners: 5}\nmin_free: [", "state/admin.sock"),
        ("state_dir: state\nmail:\n\trelay: x", "state/admin.sock"),
        ("min_free: no size\nadmin: {socket: run/a.sock}", "run/a.sock"),
        ("sate_dir: state", None),  # the state of another gateway may be where the default says
        ("state_dir: [state]\ndomian: x", None),
        ("state_dir: state\nadmin: {scoket: x}", None),
        ("'state_dir: state", None),
        ("- state_dir", None),
        ("", None),
    ],
)
def test_where_the_state_is_can_be_read_beside_what_is_wrong(
    write: Write, tmp_path: Path, text: str, socket: str | None
) -> None:
    found = load_place(write(text))
    assert (found and found.admin_socket) == (socket and tmp_path / socket)
