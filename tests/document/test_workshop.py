"""One job in its child, seen from the warm process: this test is the warm process."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.document import progress, walls, workshop

from . import jobs

MB = 1 << 20
LIMITS = {"timeout": 20, "memory": 512 * MB, "file_size": 16 * MB, "open_files": 64}
WALLS = workshop.isolation()
no_landlock = pytest.mark.skipif(not WALLS["files"], reason="this kernel has no Landlock")
no_filter = pytest.mark.skipif(not WALLS["network"], reason="neither seccomp nor namespaces are allowed here")


def run(name: str, limits: dict[str, Any] = LIMITS, /, **arguments: Any) -> dict[str, Any]:
    return workshop._in_child({"function": f"{jobs.__name__}:{name}", "arguments": arguments}, limits)


def test_the_answer_and_what_was_worked_on() -> None:
    assert run("add", a=1, b=2) == {"result": 3, "at": ""}
    assert run("refuse", name="x") == {
        "refused": "x is not wanted", "detail": "because", "status": "5.6.1", "at": "x",
    }  # fmt: skip


def test_working_too_long_and_waiting_too_long_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_vain(what: str, **arguments: object) -> dict[str, object]:
        """The answer to a job that has begun; on a busy machine the time may end before it does.

        Long enough that the start of the process is not half of what the job computes, even where lines are counted.
        """
        for timeout in (2.0, 8.0, 20.0):
            answer = run(what, {**LIMITS, "timeout": timeout}, **arguments)
            if answer["at"]:
                break
        return {kind: f"{words}".replace(f"{timeout:g} seconds", "TIME") for kind, words in answer.items()}

    assert in_vain("sleep", seconds=60) == {"failed": "it took longer than TIME", "at": "sleepy.pdf"}
    monkeypatch.setattr(workshop, "_MANY", 0.01)  # however busy this machine is
    assert in_vain("spin") == {"over": "it took longer than TIME", "at": "slow.pdf"}


def test_a_crash_for_want_of_memory_is_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("crash") == {"failed": "the converter crashed (exit -11)", "at": "broken.pdf"}
    assert run("eat_in_c") == {"over": "it needs more memory than it may have", "at": "huge.pdf"}
    trap = workshop._death(-signal.SIGTRAP, most=False)  # as pdfium ends itself
    assert trap == {"over": "its converter gave up, most likely for want of memory"}


def test_what_the_warm_process_holds_is_not_the_jobs() -> None:
    held = bytearray(b"x" * (300 * MB))
    assert run("crash") == {"failed": "the converter crashed (exit -11)", "at": "broken.pdf"}
    assert held


def test_an_answer_broken_off_is_none() -> None:
    assert workshop._read(b'{"at": "a"}\n{"at": "b"}\n{"resu') == ("b", None)
    assert workshop._read(b'{"at": "a"}\n{"result": 1}\n{"result": 2}\n') == ("a", {"result": 1})
    assert workshop._read(b"") == ("", None)


def test_a_system_without_room_for_a_child_is_no_fault_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", full)
    assert run("add", a=1, b=2)["ours"]
    assert os.listdir("/proc/self/fd") == before


def test_a_child_whose_parent_is_gone_ends() -> None:
    child = os.fork()
    if child == 0:
        workshop._die_with(os.getppid() + 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_limits_above_what_the_system_allows_are_lowered() -> None:
    assert run("add", {**LIMITS, "open_files": 1 << 30}, a=1, b=1)["result"] == 2


def test_an_error_that_is_no_exhaustion_is_a_failure() -> None:
    answer = workshop.call(f"{jobs.__name__}:read_directory", {"path": "/"})
    assert answer["failed"] == "the converter failed"
    assert "IsADirectoryError" in answer["detail"]


def test_progress_is_told_to_every_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_listeners", [])
    told: list[str] = []
    progress.listen(told.append)
    progress.begin("a")
    progress.begin("b")
    assert told == ["a", "b"]


# --- walls ------------------------------------------------------------------------------------------------------------


@no_landlock
def test_only_the_files_of_the_job_can_be_read(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text("mine")
    other.write_text("a key")
    assert run("read", path=str(own), other=str(other))["result"] == {"own": "mine", "other": "EACCES"}
    for secret in (
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/1/environ",
    ):
        assert run("read", path=str(own), other=secret)["result"]["other"] == "EACCES"


@no_landlock
def test_parts_are_files_of_the_job(tmp_path: Path) -> None:
    parts = [{"path": str(tmp_path / name)} for name in "ab"]
    for part in parts:
        Path(part["path"]).write_text("x")
    assert run("read_parts", parts=parts)["result"] == ["x", "x"]


@no_landlock
def test_only_the_directory_of_the_result_can_be_written(tmp_path: Path) -> None:
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    other.write_text("kept")
    assert run("spoil", out=str(work / "out"), other=str(other))["result"] == {
        "own": "3", "beside": "3", "other": "EACCES", "link": "EACCES", "remove": "EACCES", "list": "EACCES",
    }  # fmt: skip
    assert other.read_text() == "kept"
    assert {path.name for path in work.iterdir()} == {"out", "beside"}


@no_landlock
def test_a_directory_argument_can_be_filled(tmp_path: Path) -> None:
    assert run("fill_directory", directory=str(tmp_path))["result"] == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        yield listener


@no_filter
def test_no_way_leads_out(listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("\0faxgateway-test")
        other.listen()
        ways = run("reach", port=listener.getsockname()[1])["result"]
    assert ways["tcp"] in ("EPERM", "EACCES", "ENETUNREACH")
    assert ways["udp"] in ("EPERM", "EACCES", "ENETUNREACH")
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.skipif(os.uname().machine not in walls._MACHINES, reason="the filter knows other machines")
@no_filter
def test_calls_a_converter_does_not_need_are_gone(listener: socket.socket) -> None:
    ways = run("reach", port=listener.getsockname()[1])["result"]
    denied = {"tcp", "udp", "unix", "pair", "fork", "kill"}
    assert {name for name, outcome in ways.items() if outcome == "EPERM"} >= denied
    assert ways["run"] in ("EPERM", "EACCES")
    assert ways["thread"] == "ran"  # decoders of photos and LibreOffice need some
    assert ways["resolve"] != "connected"
    assert ways["memory"] in ("EACCES", "EPERM")


def test_without_a_filter_the_network_namespace_is_left(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setattr(walls, "_MACHINES", {})
    if not workshop.isolation()["network"]:
        pytest.skip("namespaces are not allowed here")
    ways = run("reach", port=listener.getsockname()[1])["result"]
    assert ways["tcp"] in ("EACCES", "ENETUNREACH")
    assert ways["fork"] == "forked"


def test_a_missing_wall_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "_MACHINES", {})
    monkeypatch.setattr(walls, "_empty_namespace", lambda: False)
    monkeypatch.setattr(walls, "_CREATE_RULESET", 9999)  # a kernel before Landlock
    assert workshop.isolation() == {"network": False, "files": False}
    assert run("add", a=1, b=2)["result"] == 3


def test_a_kernel_that_refuses_the_rules_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walls, "_RIGHTS", (64,) * 6)  # more than any kernel knows
    assert workshop.isolation()["files"] is False


def test_paths_that_are_not_there_need_no_right(tmp_path: Path) -> None:
    assert run("read", path=str(tmp_path / "absent"), other=str(tmp_path / "absent"))["result"]["own"] in (
        "ENOENT",
        "EACCES",
    )


def verdict(program: list[tuple[int, int, int, int]], number: int, machine: int, argument: int = 0) -> int:
    """What the kernel answers to a call, by running its filter."""
    at, value = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == walls._LOAD:
            value = {0: number, 4: machine, 16: argument}[operand]
        elif code == walls._RETURN:
            return operand
        else:
            test = {walls._EQUAL: value == operand, walls._AT_LEAST: value >= operand}
            true = test.get(code, bool(value & operand))
            at += if_true if true else if_false


def test_the_filter_denies_the_numbers_of_each_machine() -> None:
    for column, arch in walls._MACHINES.values():
        program = [struct.unpack("HBBI", each) for each in walls._program(column, arch)]

        taken = {numbers[column] for numbers in walls._TAKEN.values()} - {None} | {walls._CLONE[column]}
        assert {number for number in range(600) if verdict(program, number, arch) == walls._DENY} == taken
        assert verdict(program, walls._CLONE[column], arch, 0x3D0F00) == walls._ALLOW, "a thread, as glibc starts one"
        assert verdict(program, walls._CLONE[column], arch, 0x1200011) == walls._DENY, "a process, as fork makes one"
        assert verdict(program, walls._CLONE3[column], arch) == walls._UNKNOWN
        assert verdict(program, 0, arch ^ 1) == walls._DENY, "calls by another architecture's numbers"
        assert verdict(program, 1 | walls._X32, arch) == walls._DENY


# --- the loop ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fork", [True, False])
def test_jobs_come_by_line_until_the_end(fork: bool, tmp_path: Path) -> None:
    """The warm process itself, in a child of this one, so that its standard streams can be replaced."""
    settings = json.dumps({**LIMITS, "fork": fork, "modules": ["gateway.document.render"]})
    job = json.dumps({"function": f"{jobs.__name__}:add", "arguments": {"a": 3, "b": 4}}).encode() + b"\n"
    asked, told = tmp_path / "in", tmp_path / "out"
    asked.write_bytes(job * 2)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(asked, os.O_RDONLY), 0)
            os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT), 1)
            workshop.sys.stdin = os.fdopen(0, closefd=False)
            workshop.sys.argv = ["workshop", settings, str(parent)]
            workshop.main()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    answers = [json.loads(line) for line in told.read_bytes().splitlines()]
    assert [answer["result"] for answer in answers] == [7, 7]


def test_a_warm_process_without_its_gateway_does_not_start(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    child = os.fork()
    if child == 0:
        workshop.sys.argv = ["workshop", json.dumps({**LIMITS, "fork": True, "modules": []}), "1"]
        workshop.main()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert signal.getsignal(signal.SIGINT) is before
