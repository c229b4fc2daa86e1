"""What may be sent, as the operator sets and sees it: caps of routes, approval, and a sender who is stopped."""

from __future__ import annotations

from admin.conftest import House
from gateway.store import spending


async def test_caps_and_approval_of_a_route_are_kept_and_shown(house: House) -> None:
    added = await house.ask(
        "route.add", kind="sender", match="*", caps=["day:money=5", "hour:faxes=2", "day:money=5.00"],
        approve_new_country=True, approve_pages=20, approve_price="2.50", approver="boss@example.org",
    )  # fmt: skip
    (listed,) = (await house.ask("route.list"))["routes"]
    (shown,) = added["routes"]
    assert listed["caps"] == shown["caps"] == ["day:money=5.00", "hour:faxes=2"]
    assert listed["approval"] == {
        "new_country": True, "pages": 20, "price": "2.50", "approver": "boss@example.org",
        "text": "approval of boss@example.org for a first fax to a country, more than 20 pages, a price above 2.50",
    }  # fmt: skip
    assert (await house.ask("limits.show"))["caps"] == [
        {"of": "route", "who": "*", "cap": "day:money=5.00", "used": "0.00", "left": "5.00"},
        {"of": "route", "who": "*", "cap": "hour:faxes=2", "used": "0", "left": "2"},
    ]


async def test_a_fax_that_needs_approval_goes_when_it_is_released(house: House) -> None:
    await house.ask("route.add", kind="sender", match="*", caps=["hour:faxes=1"], approve_new_country=True)
    submission = await house.send()
    job = await house.reach(submission, "uploaded")
    while not job["hold"]:
        job = await house.job(submission)
    assert job["hold"].startswith("it needs approval: it is the first fax of this sender to the United States")
    (left,) = (await house.ask("queue.release", sender=job["identity"]))["unchanged"]  # he has not looked at this one
    assert left == {"id": job["id"], "why": f"{job['hold']}; approve it by its id"}
    assert (await house.ask("queue.release", ids=[job["id"]]))["changed"] == [job["id"]]
    await house.reach(submission, "submitted")
    assert [(cap["used"], cap["left"]) for cap in (await house.ask("limits.show"))["caps"]] == [("1", "0")]


async def test_a_stopped_sender_is_shown_released_or_his_faxes_cancelled_by_one_command(house: House) -> None:
    await house.gateway.database.write(lambda tx: spending.stop(tx, "ip:local", 1_795_428_900.0, "unusual"))
    identity = "ip:local"
    jobs = []
    for _ in range(2):
        submission = await house.send()
        job = await house.reach(submission, "uploaded")
        while not job["hold"]:
            job = await house.job(submission)
        assert job["identity"] == identity
        jobs.append(job["id"])
    assert (await house.ask("limits.show"))["stopped"] == [
        {"who": identity, "since": "2026-11-23T10:15:00Z", "why": "unusual"}
    ]
    assert (await house.ask("queue.release", sender="user:nobody")) == {"changed": [], "unchanged": [], "lifted": []}
    assert (await house.ask("queue.cancel", sender="nobody@example.org"))["changed"] == []
    await house.ask("queue.release", ids=[jobs[0]])  # one alone, by its id
    await house.reach(jobs[0].rpartition("-")[0], "submitted")
    assert (await house.ask("queue.cancel", sender="YOU@example.org", silent=True))["changed"] == [jobs[1]]
    assert (await house.ask("queue.release", sender=identity))["lifted"] == [identity]
    assert (await house.ask("limits.show"))["stopped"] == []
    await house.reach(await house.send(), "submitted")
