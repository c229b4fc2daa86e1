"""Every fault that all calls have can be ordered and does what its line says; executions tell the truth."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from thorough import THOROUGH

from gateway.document.worker import WorkerPool
from gateway.sandbox.faults import CALLBACKS, EXECUTE_THEN, OPERATIONS, SPOILED, STATUSES, UNANSWERED, WIRE, faults_of

from .faulty import SOON, is_common, upload_two_pages
from .world import ANYBODY, KEY, Got, Receiver, World, until, world


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory, pool: WorkerPool) -> AsyncIterator[World]:
    """One sandbox for the thousand calls below, with credit for them."""
    async with world(tmp_path_factory.mktemp("faults"), pool, balance=Decimal(10**6)) as here:
        await here.upload()
        await here.inject()
        yield here


@pytest_asyncio.fixture(loop_scope="session")
async def s(shared: World) -> AsyncIterator[World]:
    await shared.clear()
    yield shared
    await shared.clear()


# --- a good call of every operation, and what it changes --------------------------------------------------------------


_emails = iter(range(10**6))


def _somebody() -> dict[str, str]:
    return {"email": f"user{next(_emails)}@example.org", "password": "x"}


async def _faxes(w: World) -> int:
    return len(await w.faxes())


GOOD: dict[str, Callable[[World], Awaitable[Got]]] = {
    "send": lambda w: w.send(3001),
    "upload": upload_two_pages,
    "cost": lambda w: w.call("GET", "/fax/3001/costs", params={"fax_number": ANYBODY}),
    "status": lambda w: w.call("GET", "/fax/200001/status"),
    "history": lambda w: w.call("GET", "/fax-history", params={"limit": "3"}),
    "files": lambda w: w.call("GET", "/files", params={"limit": "3"}),
    "delete": lambda w: w.call("DELETE", "/files/3002"),
    "clean": lambda w: w.call("GET", "/file-clean", params={"document_id": "3001"}),
    "preview": lambda w: w.call("GET", "/file-generate-preview", params={"document_id": "3001"}),
    "balance": lambda w: w.call("GET", "/balance"),
    "register": lambda w: w.call("POST", "/user", key=None, data=_somebody()),
    "login": lambda w: w.call("POST", "/user/login", key=None, data={"email": "ann@example.org", "password": "x"}),
    "subuser": lambda w: w.call("POST", "/subuser", data=_somebody()),
    "numbers": lambda w: w.call("GET", "/numbers", params={"limit": "2"}),
    "provision": lambda w: w.call("POST", "/countries/didgroups/67/provision"),
    "inbox": lambda w: w.call("GET", "/incoming-faxes", params={"limit": "3"}),
    "fetch": lambda w: w.call("GET", "/receivefax/api/v1/inbox/1/file"),
    "countries": lambda w: w.call("GET", "/countries"),
    "states": lambda w: w.call("GET", "/states/USA"),
    "areacodes": lambda w: w.call("GET", "/areacodes/USA/1"),
    "didgroups": lambda w: w.call("GET", "/countries/USA/didgroups"),
}


def test_every_operation_is_called_here() -> None:
    assert OPERATIONS.keys() == GOOD.keys() | set(CALLBACKS)


def test_every_operation_has_every_fault_of_its_kind() -> None:
    for operation in GOOD:
        known = faults_of(operation).keys()
        assert known >= {*UNANSWERED, *STATUSES, *WIRE, *(f"{EXECUTE_THEN}{name}" for name in (*UNANSWERED, *STATUSES))}
        assert (known >= SPOILED.keys()) == (operation != "fetch")


# --- the faults that all have -----------------------------------------------------------------------------------------


UNLIKE = {
    "send",
    "upload",
    "status",
    "history",
    "fetch",
    "delete",
}  # calls that change, list, bring a file, have no JSON


@pytest.mark.parametrize("operation", sorted(GOOD))
async def test_an_operations_faults_do_what_their_lines_say(s: World, operation: str) -> None:
    if operation == "login":
        await s.call("POST", "/user", key=None, data={"email": "ann@example.org", "password": "x"})
    if operation in ("status", "history"):
        await s.sent(3001)
    good = GOOD[operation]
    common = [name for name in faults_of(operation) if is_common(name)]
    if operation not in UNLIKE and not THOROUGH:  # the faults are made in one place; each call is hurt by some of them
        common = common[sorted(GOOD).index(operation) % 5 :: 5]
    for name in common:
        if operation == "delete":
            s_document = await s.upload()
            good = lambda w, document=s_document: w.call("DELETE", f"/files/{document}")  # noqa: E731
        rule = await s.order(operation, name, count=1, seconds=SOON)
        begun = time.monotonic()
        got = await good(s) if name.removeprefix(EXECUTE_THEN) != "endless" else await _endless(s, good)
        _check(name, got, time.monotonic() - begun, operation)
        fired = next(
            each for each in (await s.call("GET", "/sandbox/faults")).json["rules"] if each["id"] == rule["id"]
        )
        assert fired["fired"] == 1, name
        well = await good(s)  # a count of one is over
        assert well.status in (200, 404), name  # 404: what is deleted is deleted
        assert not well.error, name
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})


async def _endless(w: World, good: Callable[[World], Awaitable[Got]]) -> Got:
    raw = w.raw
    w.raw = lambda *a, **k: raw(*a, most=1 << 20, **k)  # type: ignore[method-assign]
    try:
        return await good(w)
    finally:
        del w.raw  # type: ignore[method-assign]


def _check(name: str, got: Got, seconds: float, operation: str) -> None:
    """What a client sees of a fault."""
    kind = name.removeprefix(EXECUTE_THEN)
    where = f"{operation} {name}: {got}"[:600]
    if kind in ("drop", "hang"):
        assert got.error and not got.status, where
        assert kind == "drop" or seconds >= SOON, where
    elif kind == "html":
        assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), where
    elif kind == "empty":
        assert (got.status, got.body) == (200, b""), where
    elif kind == "endless":
        assert got.error == "too much", where
    elif kind in STATUSES:
        assert got.status == int(kind), where
        if kind.startswith("3"):
            assert got.headers["Location"], where
        elif kind in ("502", "503", "504"):
            assert b"<html>" in got.body, where
        elif kind == "422":
            assert got.json["errors"]["fax_number"], where
        else:
            assert got.json["status"] == "failed", where
        assert kind != "429" or got.headers["Retry-After"] == "1", where
    elif kind == "cut":
        assert got.error and got.body and len(got.body) < int(got.headers["Content-Length"]), where
    elif kind in ("slow", "delay", "late-execution"):
        assert seconds >= SOON * 0.9 and got.status == 200, where
    else:
        _check_spoiled(kind, got, where)


def _check_spoiled(kind: str, got: Got, where: str) -> None:
    assert not got.error and got.status in (200, 404), where
    if kind in ("half-json", "invalid-json", "nan", "trailing-commas", "bom"):
        text = got.body.decode()
        if kind == "nan" and "NaN" not in text:
            return  # an answer without a number
        with pytest.raises(ValueError):  # noqa: PT011  # whatever the reader says of it
            json.loads(text, parse_constant=_no_constant)
        match kind:
            case "trailing-commas":
                json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
            case "bom":
                json.loads(got.body.decode("utf-8-sig"))
            case "nan":
                json.loads(text)
            case "invalid-json":
                assert "'" in text and '"' not in text, where
        return
    said = got.json
    leaves = list(_leaves(said))
    match kind:
        case "wrong-types":
            assert all(path[-1] == "value" for path, leaf in leaves if isinstance(leaf, int | float)), where
            assert not isinstance(said, dict) or isinstance(said["status"], list), where
        case "nulls":
            assert {leaf for _, leaf in leaves} <= {None}, where
        case "no-id":
            assert not any(path and path[-1] in ("id", "fax_job_id", "document_id") for path, _ in leaves), where
        case "huge-int":
            assert all(leaf == 10**30 for _, leaf in leaves if isinstance(leaf, int)), where
        case "int-as-string":
            assert not any(isinstance(leaf, int | float) for _, leaf in leaves), where
        case "capital-success":
            assert all(leaf[0].isupper() for path, leaf in leaves if path[-1:] == ("status",)), where
        case "extra-keys":
            assert "sunbscription_credit_allowance" in (said if isinstance(said, dict) else said[-1]), where
        case "huge":
            assert len(got.body) > 8 << 20, where
        case "lie":
            assert said == {"status": "failed", "message": "Unknown error."}, where
        case _:
            raise AssertionError(f"nothing is said here of {kind}")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


# --- what is executed -------------------------------------------------------------------------------------------------


async def _numbers(w: World) -> int:
    return int((await w.call("GET", "/numbers")).json["meta"]["pagination"]["total"])


async def _documents(w: World) -> int:
    return (await w.call("GET", "/files", params={"limit": "1"})).json[0]["id"]  # type: ignore[no-any-return]


EFFECT: dict[str, Callable[[World], Awaitable[int]]] = {"send": _faxes, "upload": _documents, "provision": _numbers}


@pytest.mark.parametrize("operation", sorted(EFFECT))
async def test_a_fault_executes_what_its_line_says(s: World, operation: str) -> None:
    for name in faults_of(operation):
        if not is_common(name) or name.endswith(("huge", "endless")):
            continue
        before = await EFFECT[operation](s)
        rule = await s.order(operation, name, count=1, seconds=SOON)
        await GOOD[operation](s)
        kind = name.removeprefix(EXECUTE_THEN)
        executed = name.startswith(EXECUTE_THEN) or kind not in {*UNANSWERED, *STATUSES}
        assert await EFFECT[operation](s) - before == executed, name
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})


async def test_a_late_execution_happens_though_the_client_has_gone(s: World) -> None:
    before = await _faxes(s)
    await s.order("send", "late-execution", count=1, seconds=0.5)
    got = await s.raw(
        "POST", "/api/v2/fax", params={"api_key": KEY}, data={"document_id": "3001", "fax_number": ANYBODY},
        timeout=aiohttp.ClientTimeout(total=0.2),
    )  # fmt: skip
    assert got.error
    assert await _faxes(s) == before
    await until(lambda: _more(s, before))


async def _more(w: World, before: int) -> bool:
    return await _faxes(w) == before + 1


async def test_the_receipt_of_a_fax_whose_send_was_dropped_comes_all_the_same(w: World) -> None:
    await w.order("send", "execute-then-drop", count=1)
    got = await w.send(await w.upload())
    assert got.error
    job = (await w.faxes())[0]["fax_job_id"]
    assert (await until(lambda: w.receiver.receipts(job)))[0].fields["status"] == "success"


async def test_a_server_that_stops_executes_nothing_more(tmp_path: Path, pool: WorkerPool) -> None:
    import asyncio

    async with world(tmp_path / "s", pool) as w:
        document = await w.upload()
        await w.order("send", "late-execution", count=1, seconds=600)
        await w.order("balance", "hang", count=1)
        late = asyncio.create_task(w.send(document))
        hanging = asyncio.create_task(w.call("GET", "/balance"))
        await until(lambda: _fired(w, 2))
    assert (await late).status in (0, 503)
    assert (await hanging).error
    async with world(tmp_path / "s", pool) as w:
        assert await w.faxes() == []


async def _fired(w: World, count: int) -> bool:
    return sum(rule["fired"] for rule in (await w.call("GET", "/sandbox/faults")).json["rules"]) == count


# --- ordering ---------------------------------------------------------------------------------------------------------


async def test_operations_faults_and_rules_are_listed(s: World) -> None:
    await s.order("send", "Execute then DROP", count=2)
    got = (await s.call("GET", "/sandbox/faults")).json
    assert got["operations"] == OPERATIONS
    assert got["faults"] == {operation: faults_of(operation) for operation in OPERATIONS}
    assert [(rule["operation"], rule["fault"], rule["count"]) for rule in got["rules"]] == [
        ("send", "execute-then-drop", 2)
    ]
    assert (await s.call("DELETE", "/sandbox/faults", params={"id": "send"})).status == 400  # and not all of them
    assert (await s.call("DELETE", "/sandbox/faults")).json == {"status": "success", "removed": 1}
    assert (await s.call("GET", "/sandbox/faults")).json["rules"] == []


@pytest.mark.parametrize(("alias", "name"), [("5xx", "500"), ("half a json", "half-json"), ("rate_limit", "403")])
async def test_faults_have_names_people_say(s: World, alias: str, name: str) -> None:
    assert (await s.order("balance", alias))["fault"] == name


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"operation": "dance", "fault": "drop"}, "operation must be any or one of: send"),
        ({"operation": "send", "fault": "explode"}, "faults of send are: drop"),
        ({"operation": "any", "fault": "repeat"}, "faults of any are: drop"),
        ({"operation": "send", "fault": "drop", "often": 1}, "unknown: often"),
        ({"operation": "send", "fault": "drop", "count": -1}, "count must be a whole number"),
        ({"operation": "send", "fault": "drop", "count": True}, "count must be a whole number"),
        ({"operation": "send", "fault": "drop", "rate": 2}, "rate must be a number from 0 to 1"),
        ({"operation": "send", "fault": "drop", "seconds": "soon"}, "seconds must be a number"),
        ({}, "operation must be"),
    ],
)
async def test_what_cannot_be_ordered_is_refused_with_what_can(s: World, order: dict[str, Any], words: str) -> None:
    got = await s.call("POST", "/sandbox/faults", json=order)
    assert got.status == 400
    assert words in got.json["message"]
    assert (await s.call("GET", "/sandbox/faults")).json["rules"] == []


async def test_a_rate_with_a_seed_hits_the_same_calls_again(s: World) -> None:
    runs = []
    for _ in range(2):
        rule = await s.order("balance", "500", rate=0.3, seed=7)
        runs.append([(await s.call("GET", "/balance")).status for _ in range(40)])
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})
    assert runs[0] == runs[1]
    assert 4 <= runs[0].count(500) <= 20


async def test_a_rule_may_be_for_one_number_and_skip_calls_that_go_well(w: World) -> None:
    document = await w.upload()
    await w.order("send", "400", number="+12025550199", skip=1)
    await w.order("status", "404", number="12025550199")
    first = await w.send(document, "+12025550199")
    answers = [first, await w.send(document), await w.send(document, "+12025550199")]
    assert [got.status for got in answers] == [200, 200, 400]
    statuses = [(await w.call("GET", f"/fax/{got.json['fax_job_id']}/status")).status for got in answers[:2]]
    assert statuses == [404, 200]


async def test_any_means_every_call_but_no_callback(w: World) -> None:
    await w.order("any", "500")
    assert [(await w.call("GET", path)).status for path in ("/balance", "/files", "/countries")] == [500] * 3
    await w.clear()
    await w.order("any", "extra-keys")  # a document has no JSON to be spoiled
    await w.inject()
    assert (await w.call("GET", "/receivefax/api/v1/inbox/1/file")).body.startswith(b"%PDF-")
    assert (await until(w.receiver.arrivals))[0].files


async def test_the_first_rule_that_strikes_decides(s: World) -> None:
    await s.order("balance", "404", count=1)
    await s.order("balance", "500", count=1)
    assert [(await s.call("GET", "/balance")).status for _ in range(3)] == [404, 500, 200]


async def test_a_hang_ends_with_its_client(tmp_path: Path, pool: WorkerPool) -> None:
    receiver = Receiver()
    await receiver.start()
    async with world(tmp_path / "s", pool, receiver) as w:
        await w.order("balance", "hang", count=1)
        got = await w.raw("GET", "/api/v2/balance", params={"api_key": KEY}, timeout=aiohttp.ClientTimeout(total=0.2))
        assert "Timeout" in got.error
        assert (await w.call("GET", "/balance")).status == 200
    await receiver.stop()
