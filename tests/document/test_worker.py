"""The pool of converting processes: whatever a job does, its caller learns the truth and the next job is served."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from gateway.document.worker import CONVERSION_FAILED, MEMORY, WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater

MODULES = ("gateway.document.render", "document.jobs")
MB = 1 << 20


@pytest.fixture(autouse=True)
def _jobs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


@contextlib.asynccontextmanager
async def opened(size: int = 1, *, fork: bool = True, **limits: float) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(size, WorkerLimits(**limits), fork=fork, modules=MODULES)  # type: ignore[arg-type]
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def serves(pool: WorkerPool) -> bool:
    """Whether it does a job; on a busy machine even that may take longer than the second that some pools here allow."""
    for _ in range(30):
        with contextlib.suppress(TryLater):
            return bool(await pool.run("document.jobs:add", a=1, b=2) == 3)
    return False


async def test_what_lies_where_the_gateway_was_started_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    async with opened() as pool:
        assert await serves(pool)


def children(pid: int | None = None) -> set[int]:
    """Processes whose parent is this one, zombies too."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]) == (pid or os.getpid()):
                    found.add(int(name))
    return found


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fork", [True, False])
async def test_results_and_refusals_come_back(fork: bool) -> None:
    async with opened(fork=fork) as pool:
        assert await pool.run("document.jobs:add", a=20, b=22) == 42
        with pytest.raises(Refused) as refused:
            await pool.run("document.jobs:refuse", name="x.pdf")
        assert (refused.value.public, refused.value.detail, refused.value.status) == (
            "x.pdf is not wanted",
            "because",
            "5.6.1",
        )
        with pytest.raises(TryLater, match="the document could not be converted: the converter has a headache"):
            await pool.run("document.jobs:later")
        with pytest.raises(TryLater, match="the converter failed") as failed:
            await pool.run("document.jobs:fail")
        assert failed.value.status == "5.6.5"
        with pytest.raises(TryLater, match="the converter failed"):
            await pool.run("document.jobs:absent")
        assert await serves(pool)


async def test_a_failure_names_the_part_that_was_worked_on() -> None:
    async with opened() as pool:
        with pytest.raises(TryLater, match=r"^invoice.pdf could not be converted: the converter failed"):
            await pool.run("document.jobs:fail", name="invoice.pdf")


async def test_large_results_come_whole_and_endless_ones_are_cut() -> None:
    async with opened() as pool:
        assert len(await pool.run("document.jobs:talk", size=20 * MB)) == 20 * MB
        with pytest.raises(TryLater, match="too long"):
            await pool.run("document.jobs:talk", size=70 * MB)
        with pytest.raises(TryLater, match="too long"):
            await pool.run("document.jobs:talk_for_ever")
        assert await serves(pool)


async def test_what_a_library_prints_does_not_disturb() -> None:
    async with opened() as pool:
        assert await pool.run("document.jobs:print_nonsense") == "said nothing"
        assert await serves(pool)


# --- crashes and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ("crash", r"broken.pdf could not be converted: the converter crashed \(exit -11\)"),
        (
            "leave",
            r"the document could not be converted: the converter crashed \(exit 3\); print it to a new PDF and send that",
        ),
        ("unserialisable", r"the converter crashed \(exit 1\)"),
    ],
)
async def test_a_crash_is_contained(job: str, why: str) -> None:
    async with opened() as pool:
        with pytest.raises(TryLater, match=why) as crashed:
            await pool.run(f"document.jobs:{job}", **({"code": 3} if job == "leave" else {}))
        assert crashed.value.status == "5.6.5"
        assert await serves(pool)


async def test_an_answer_without_a_word_is_a_failure() -> None:
    async with opened() as pool:
        with pytest.raises(TryLater, match="gave no answer"):
            await pool.run("document.jobs:leave", code=0)


async def test_too_much_computing_is_ended_and_named() -> None:
    async with opened(timeout=1) as pool:
        # which of the two depends on how busy this machine is; test_workshop.py has both
        with pytest.raises(
            (Refused, TryLater), match=r"^slow.pdf c[a-z ]+ be converted: it took longer than 1 seconds"
        ):
            await pool.run("document.jobs:spin")
        assert await serves(pool)


async def test_the_limit_of_the_kernel_on_computing_holds_too() -> None:
    async with opened() as pool:
        with pytest.raises(Refused, match="too much computing"):
            await pool.run("document.jobs:be_killed")
        assert await serves(pool)


async def test_a_job_that_hangs_is_ended_and_may_be_tried_again() -> None:
    async with opened(timeout=1) as pool:
        with pytest.raises(TryLater, match=r"^sleepy.pdf could not be converted: it took longer than 1 seconds"):
            await pool.run("document.jobs:sleep", seconds=3600)
        assert await serves(pool)


async def test_a_job_that_says_it_is_done_and_stays_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.document.worker._SLACK", 1)
    async with opened(timeout=1) as pool:
        with pytest.raises(TryLater, match="crashed or hung"):
            await pool.run("document.jobs:close_and_sleep")
        monkeypatch.setattr("gateway.document.worker._SLACK", 30)
        assert await serves(pool)


async def test_what_a_job_holds_at_most_leaves_room_for_its_libraries() -> None:
    async with opened(memory=200 * MB) as pool:
        assert 140 * MB < await pool.run("document.jobs:hold") <= 150 * MB


@pytest.mark.parametrize("job", ["eat", "eat_in_c"])
async def test_too_much_memory_is_refused_by_name(job: str) -> None:
    async with opened(memory=256 * MB) as pool:
        with pytest.raises(
            Refused, match=r"^huge\.\w+ cannot be converted: it needs more memory than it may have; send it"
        ) as no:
            await pool.run(f"document.jobs:{job}")
        assert no.value.status == "5.6.5"
        assert await serves(pool)


async def test_an_endless_file_is_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with opened(file_size=8 * MB) as pool:
        with pytest.raises(
            Refused, match=r"^endless.tif cannot be converted: it becomes a larger file than is allowed"
        ):
            await pool.run("document.jobs:fill", out=str(out))
        assert out.stat().st_size == 8 * MB
        assert await serves(pool)


async def test_a_full_disk_is_no_fault_of_the_document() -> None:
    async with opened() as pool:
        with pytest.raises(TryLater, match="the disk is full") as caught:
            await pool.run("document.jobs:write", out="/dev/full", content="x")
        assert caught.value.status != CONVERSION_FAILED  # which counts against the mail


async def test_the_system_ending_a_child_is_told_apart(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    async with opened() as pool:
        job = asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out=str(out)))
        await until(lambda: out.exists() and out.read_text() != "")
        os.kill(int(out.read_text()), signal.SIGKILL)
        with pytest.raises(TryLater, match="for want of memory"):
            await job
        assert await serves(pool)


async def test_where_memory_runs_out_a_conversion_goes_before_the_daemon(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    async with opened() as pool:
        job = asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out=str(out)))
        await until(lambda: out.exists() and out.read_text() != "")
        child = int(out.read_text())
        assert Path(f"/proc/{child}/oom_score_adj").read_text() == "1000\n"
        os.kill(child, signal.SIGKILL)
        with pytest.raises(TryLater):
            await job


# --- the warm processes -----------------------------------------------------------------------------------------------


async def test_a_job_runs_in_a_child_with_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAXTO_API_KEY", "secret")
    async with opened() as pool:
        told = await pool.run("document.jobs:who")
        files = await pool.run("document.jobs:open_files")
    assert told["parent"] != os.getpid()
    allowed = {*MEMORY, "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH"}
    assert set(told["environment"]) <= allowed
    assert told["core"] == 0
    assert files[:3] == [0, 1, 2]
    assert len(files) == 4, "only the pipe to answer by is left"


async def test_a_converter_keeps_memory_for_its_next_page_and_a_reader_does_not() -> None:
    async with opened() as converters, opened(fork=False) as readers:
        assert await converters.run("document.jobs:faults", pictures=20) < 3000
        assert await readers.run("document.jobs:faults", pictures=20) > 15000


async def test_fifty_jobs_leave_nothing_behind(tmp_path: Path) -> None:
    async with opened(2, timeout=20) as pool:
        assert await serves(pool)
        workers = children()
        files = len(os.listdir("/proc/self/fd"))

        async def job(n: int) -> None:
            with contextlib.suppress(Refused, TryLater):
                name = ("add", "refuse", "crash", "leave", "fail")[n % 5]
                arguments = {"add": {"a": 1, "b": n}, "refuse": {"name": "x"}, "leave": {"code": 1}}
                await pool.run(f"document.jobs:{name}", **arguments.get(name, {}))

        await asyncio.gather(*(job(n) for n in range(50)))
        assert await serves(pool)
        assert children() == workers
        assert len(os.listdir("/proc/self/fd")) == files
        for worker in workers:
            assert children(worker) == set(), "no child of a worker outlives its job, not even as a zombie"
            assert len(os.listdir(f"/proc/{worker}/fd")) <= 6
    assert list(tmp_path.iterdir()) == []


async def test_jobs_run_at_once_and_wait_for_a_free_worker() -> None:
    async with opened(2) as pool:
        assert await serves(pool)
        began = time.monotonic()
        assert await asyncio.gather(*(pool.run("document.jobs:sleep", seconds=0.5) for _ in range(4))) == [0.5] * 4
        assert time.monotonic() - began >= 1.0


async def test_a_cancelled_caller_ends_the_job(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    async with opened() as pool:
        job = asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out=str(out)))
        await until(lambda: out.exists() and out.read_text() != "")
        pid = int(out.read_text())
        assert running(pid)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: not running(pid))
        assert await serves(pool)


async def test_a_warm_process_that_died_is_replaced() -> None:
    async with opened() as pool:
        first = (await pool.run("document.jobs:who"))["parent"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: not running(first))
        with contextlib.suppress(TryLater):  # its death may not have been noticed yet
            await pool.run("document.jobs:add", a=1, b=2)
        assert (await pool.run("document.jobs:who"))["parent"] != first


@pytest.mark.parametrize("why", [OSError(errno.EMFILE, "too many open files"), RuntimeError("can't start new thread")])
async def test_a_warm_process_that_cannot_be_started_is_no_fault_of_the_document(
    monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    async with opened() as pool:
        first = (await pool.run("document.jobs:who"))["parent"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: not pool._all[0].alive)
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "create_subprocess_exec", AsyncMock(side_effect=why))
            with pytest.raises(TryLater, match="cannot start a converter") as caught:
                await pool.run("document.jobs:add", a=1, b=2)
        assert caught.value.status != CONVERSION_FAILED
        assert await serves(pool)


async def test_a_warm_process_that_dies_with_its_job_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    async with opened() as pool:
        warm = (await pool.run("document.jobs:who"))["parent"]
        job = asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out=str(out)))
        await until(lambda: out.exists() and out.read_text() != "")
        os.kill(warm, signal.SIGKILL)
        with pytest.raises(TryLater, match="crashed or hung"):
            await job
        await until(lambda: not running(int(out.read_text())))
        assert await serves(pool)


async def test_closing_ends_everything_and_answers_everyone(tmp_path: Path) -> None:
    out, others = tmp_path / "pid", children()
    async with opened() as pool:
        working = asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out=str(out)))
        await until(lambda: out.exists() and out.read_text() != "")
        waiting = [asyncio.create_task(pool.run("document.jobs:add", a=1, b=2)) for _ in range(3)]
        await asyncio.sleep(0)
        workers = children() - others
        await pool.close()
        results = await asyncio.wait_for(asyncio.gather(working, *waiting, return_exceptions=True), 30)
        assert [(type(each), str(each)) for each in results] == [(TryLater, "the gateway is stopping")] * 4
        with pytest.raises(TryLater, match="stopping"):
            await pool.run("document.jobs:add", a=1, b=2)
        assert not workers & children()
        await until(lambda: not running(int(out.read_text())))
        await pool.close()  # once more does no harm


@pytest.fixture
def gateway_process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a pool of two, of which one works; it prints the ids of its workers and writes its job's."""
    program = f"""
import asyncio, os, sys
from gateway.document.worker import WorkerLimits, WorkerPool

async def main():
    pool = WorkerPool(2, WorkerLimits(), modules={MODULES!r})
    await pool.start()
    asyncio.create_task(pool.run("document.jobs:touch_and_sleep", out={str(tmp_path / "pid")!r}))
    told = await pool.run("document.jobs:who")
    print(told["parent"], flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_workers_and_their_jobs_die_with_the_gateway(
    gateway_process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    await until(lambda: pid.exists() and pid.read_text() != "")
    assert gateway_process.stdout is not None
    idle = int(await asyncio.to_thread(gateway_process.stdout.readline))
    all_of_them = {*children(gateway_process.pid), int(pid.read_text())}
    assert idle in all_of_them
    assert len(all_of_them) == 3
    gateway_process.send_signal(signal.SIGKILL)
    await until(lambda: not any(running(each) for each in all_of_them))


async def test_a_reader_that_does_not_fork_survives_its_jobs() -> None:
    async with opened(fork=False) as pool:
        first = await pool.run("document.jobs:who")
        with contextlib.suppress(Refused, TryLater):
            await pool.run("document.jobs:fail")
        assert (await pool.run("document.jobs:who"))["pid"] == first["pid"]
        with pytest.raises(TryLater, match="crashed or hung"):
            await pool.run("document.jobs:leave", code=1)
        assert await serves(pool)
