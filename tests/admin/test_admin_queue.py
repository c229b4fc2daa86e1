"""The operator's hand on the queue, on jobs in every state a real gateway brings them to."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused
from gateway.model import MAY_BE_SENT, JobState, MailKind
from gateway.store import jobs, outbox


async def _change(house: House, verb: str, *ids: str, **more: Any) -> tuple[list[str], dict[str, str]]:
    done = await house.ask(f"queue.{verb}", ids=list(ids), **more)
    return done["changed"], {each["id"]: each["why"] for each in done["unchanged"]}


async def test_a_fax_is_listed_and_shown_with_its_whole_history(house: House) -> None:
    house.service.message = "Sent! Fax Has Been Answered."
    submission = await house.send("+1 (202) 555-0123")
    shown = await house.reach(submission, "delivered")
    (listed,) = (await house.ask("queue.list"))["jobs"]
    assert {
        name: listed[name] for name in ("id", "submission", "state", "to", "from", "subject", "pages", "outcome")
    } == {
        "id": f"{submission}-1",
        "submission": submission,
        "state": "delivered",
        "to": "+12025550123",
        "from": "you@example.org",
        "subject": "Report",
        "pages": 1,
        "outcome": "ok",
    }
    assert listed["next_at"] is None
    assert listed["created_at"].endswith("Z")
    assert {**shown, **listed} == shown
    arrows = [(event["from"], event["to"]) for event in shown["events"] if event["from"] != event["to"]]
    states = ["", "accepted", "prepared", "uploaded", "submitting", "submitted", "delivered"]
    assert arrows == list(itertools.pairwise(states))
    (attempt,) = shown["attempts_made"]
    assert (attempt["n"], attempt["outcome"], attempt["provider_ref"]) == (1, "sent", 901)
    assert shown["ledger"] == ["message text: page 1"]
    assert shown["document"]["pages"] == 1
    assert shown["client"] == "localhost [local]"
    assert [(mail["kind"], mail["to"]) for mail in shown["mails"]] == [("delivered", "you@example.org")]
    assert (await house.ask("queue.show", id=shown["id"]))["jobs"][0]["id"] == shown["id"]


@pytest.mark.parametrize("piece", [1, 200])
async def test_the_list_is_narrowed_by_state_number_hold_and_limit(
    house: House, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.admin.queue._PIECE", piece)
    house.service.uploading = False
    first, second = await house.send("+12025550123"), await house.send("+12025550124")
    for each in (first, second):
        await house.reach(each, "prepared")
    await _change(house, "hold", first)

    async def ids(**wanted: Any) -> list[str]:
        return [job["submission"] for job in (await house.ask("queue.list", **wanted))["jobs"]]

    assert await ids() == [second, first]
    assert await ids(limit=1) == [second]
    assert await ids(limit=-5) == [second]
    assert await ids(limit=10**30) == [second, first]
    assert await ids(to="(202) 555-0123") == [first]
    assert await ids(held=True) == [first]
    (shown,) = (await house.ask("queue.show", id=f"{first}-1"))["jobs"]
    assert await ids(sender=shown["identity"]) == await ids(sender=shown["from"].upper()) == [second, first]
    assert await ids(sender="nobody@example.org") == []
    named = shown["message_id"]
    assert await ids(message_id=named) == await ids(message_id=named.strip("<>"), sender="you@example.org") == [first]
    assert await ids(message_id=named, sender="nobody@example.org") == await ids(message_id="@t") == []
    assert await ids(state="prepared", open=True) == [second, first]
    assert await ids(state="delivered") == []
    await _change(house, "cancel", second)
    assert await ids(open=True) == [first]


async def test_nonsense_is_refused_in_words(house: House) -> None:
    for wanted, words in (
        ({"state": "lost"}, "'lost' is no state of a fax; there are accepted, prepared"),
        ({"to": "abc"}, "abc cannot be faxed to"),
        ({"limit": "7"}, "limit of queue.list must be a whole number"),
        ({"held": 1}, "held of queue.list must be true or false"),
        ({"to": ["+1"]}, "to of queue.list must be a text"),
        ({"to": "\ud800"}, "to of queue.list must be a text"),
        ({"from": "x"}, "queue.list has no argument 'from'; it has state, to, sender, message_id, held, open, limit"),
    ):
        with pytest.raises(Refused) as caught:
            await house.ask("queue.list", **wanted)
        assert caught.value.public.startswith(words)
    for operation, given, words in (
        ("queue.hold", {}, "queue.hold needs ids"),
        ("queue.hold", {"ids": None}, "queue.hold needs ids"),
        ("queue.hold", {"ids": []}, "name the faxes by their ids, or ALL"),
        ("queue.hold", {"ids": "x"}, "ids of queue.hold must be a list of texts"),
        ("queue.hold", {"ids": [1]}, "ids of queue.hold must be a list of texts"),
        ("queue.hold", {"ids": ["x"], "reason": "a\nb"}, "a reason is one line of at most 200 characters"),
        ("status", {"x": 1}, "status has no argument 'x'; it takes none"),
    ):
        with pytest.raises(Refused) as caught:
            await house.ask(operation, **given)
        assert caught.value.public == words
    with pytest.raises(NotFound, match="no fax or mail with the id x"):
        await house.ask("queue.show", id="x")
    with pytest.raises(NotFound, match="there is no operation"):
        await house.ask("queue.burn")


async def test_a_held_fax_stays_until_released(house: House) -> None:
    house.service.uploading = False
    submission = await house.send()
    job = (await house.reach(submission, "prepared"))["id"]
    assert await _change(house, "hold", submission, reason="wrong letter?") == ([job], {})
    assert (await house.job(submission))["hold"] == "wrong letter?"
    assert await _change(house, "hold", job) == ([], {job: "it is held already"})
    assert (await house.ask("status"))["held"] == 1
    house.service.uploading = True
    await asyncio.sleep(0.2)  # time for several tries, were it not held
    held = await house.job(submission)
    assert held["state"] in ("prepared", "uploaded")  # an upload that was under way is recorded
    assert held["next_at"] is None
    assert house.service.sends == []
    assert await _change(house, "release", job) == ([job], {})
    await house.reach(submission, "submitted")
    assert await _change(house, "release", job) == ([], {job: "it is not held"})
    what = [event["what"] for event in (await house.job(submission))["events"]]
    assert "held: wrong letter?" in what
    assert "released" in what


async def test_retry_takes_the_next_step_now_and_lets_a_held_fax_go(house: House) -> None:
    house.service.uploading = False
    submission = await house.send()
    job = (await house.reach(submission, "prepared"))["id"]
    await _change(house, "hold", job)
    house.service.uploading = True
    assert await _change(house, "retry", job) == ([job], {})
    await house.reach(submission, "submitted")
    assert await _change(house, "retry", job) == ([job], {})
    house.service.message = "Sent! Fax Has Been Answered."
    await house.reach(submission, "delivered")
    assert await _change(house, "retry", job) == ([], {job: "it is delivered; send the mail again for a new fax"})
    assert len(house.service.sends) == 1


async def test_a_fax_for_later_waits_when_it_is_released_and_goes_at_once_by_retry(house: House) -> None:
    submission = await house.send("+12025550123/send-at=+2h")
    job = (await house.reach(submission, "prepared"))["id"]
    assert await _change(house, "hold", job) == ([job], {})
    assert await _change(house, "release", job) == ([job], {})
    waiting = await house.job(submission)
    assert (waiting["state"], waiting["next_at"]) == ("prepared", waiting["send_at"])
    assert "send_at" not in waiting["options"], "it is told once"
    await _change(house, "hold", job)
    assert await _change(house, "retry", job) == ([job], {})
    await house.reach(submission, "submitted")


async def test_retry_of_all_lets_no_held_fax_go_and_none_before_its_time(house: House) -> None:
    house.service.uploading = False
    now, later = await house.send(), await house.send("+12025550124/send-at=+2h")
    held, deferred = (await house.reach(now, "prepared"))["id"], (await house.reach(later, "prepared"))["id"]
    await _change(house, "hold", held)
    changed, unchanged = await _change(house, "retry", "ALL")
    assert changed == []
    assert unchanged[held] == "it is held: by the operator; let it go by its id"
    assert unchanged[deferred] == "its sender wants it later; send it now by its id"
    assert (await house.job(now))["hold"] == "by the operator"
    waiting = await house.job(later)
    assert waiting["next_at"] == waiting["send_at"]


async def test_what_may_have_been_faxed_is_sent_again_by_an_explicit_word_only(house: House) -> None:
    house.service.sending, house.service.history_status = "drop", 503
    submission = await house.send()
    job = (await house.reach(submission, "in_doubt"))["id"]
    _, unchanged = await _change(house, "cancel", job)
    assert unchanged == {job: "its outcome is being found out; hold it first"}
    assert await _change(house, "retry", job, resend=True) == ([job], {})  # not held: history is looked into, no more
    assert len(house.service.sends) == 1
    await _change(house, "hold", "ALL")
    house.service.sending = "yes"
    for ids in ([job], [submission], ["ALL"]):
        changed, unchanged = await _change(house, "retry", *ids)
        assert changed == []
        assert "may have been faxed already" in unchanged[job]
        assert "--resend" in unchanged[job]
    await asyncio.sleep(0.1)
    assert len(house.service.sends) == 1
    assert await _change(house, "retry", job, resend=True) == ([job], {})
    shown = await house.reach(submission, "submitted")
    assert len(house.service.sends) == 2
    assert [attempt["outcome"] for attempt in shown["attempts_made"]] == ["absent", "sent"]
    assert "sent again by the operator's word" in [event["what"] for event in shown["events"]]


@pytest.mark.parametrize("is_told_again", [False, True])
@pytest.mark.parametrize("house", ["200ms"], indirect=True)
async def test_the_notice_of_a_fax_left_to_a_person_names_commands_that_do_what_it_says(
    house: House, is_told_again: bool
) -> None:
    house.service.sending, house.service.history_status = "drop", 503
    submission = await house.send()
    async with asyncio.timeout(60):
        while not (job := await house.job(submission))["hold"]:
            await asyncio.sleep(0.02)
    assert job["state"] == "in_doubt"
    mails = await house.gateway.database.read(lambda tx: outbox.due(tx, 1e12, 100))
    (notice,) = [mail.facts for mail in mails if mail.kind is MailKind.OPERATOR]
    assert f"faxgateway queue retry --resend {job['id']}. " in notice["remedy"]
    assert f"faxgateway queue cancel {job['id']}." in notice["remedy"]
    assert notice["remedy"].endswith(f"faxgateway queue release {job['id']}.")
    house.service.sending = "yes"
    if is_told_again:
        house.service.history_status = 200
        assert await _change(house, "release", job["id"]) == ([job["id"]], {})
    else:
        assert await _change(house, "retry", job["id"], resend=True) == ([job["id"]], {})
    await house.reach(submission, "submitted")
    assert len(house.service.sends) == (1 if is_told_again else 2)


async def test_a_held_fax_in_doubt_can_be_cancelled(house: House) -> None:
    house.service.sending, house.service.history_status = "drop", 503
    submission = await house.send()
    job = (await house.reach(submission, "in_doubt"))["id"]
    await _change(house, "hold", job)
    assert await _change(house, "cancel", job) == ([job], {})
    assert (await house.job(submission))["state"] == "cancelled"


async def test_cancel_ends_what_the_provider_does_not_have_and_tells_the_sender(house: House) -> None:
    house.service.uploading = False
    loud, quiet = await house.send(), await house.send()
    for each in (loud, quiet):
        await house.reach(each, "prepared")
    assert await _change(house, "cancel", loud) == ([f"{loud}-1"], {})
    assert await _change(house, "cancel", quiet, silent=True) == ([f"{quiet}-1"], {})
    assert [mail["to"] for mail in (await house.job(loud))["mails"]] == ["you@example.org"]
    assert (await house.job(quiet))["mails"] == []
    assert await _change(house, "cancel", loud) == ([], {f"{loud}-1": "it is cancelled"})
    house.service.uploading = True
    sent = await house.send()
    await house.reach(sent, "submitted")
    assert await _change(house, "cancel", sent) == (
        [],
        {f"{sent}-1": "it is submitted: the provider has it, and cannot be stopped"},
    )
    assert await _change(house, "hold", sent) == ([f"{sent}-1"], {})
    _, unchanged = await _change(house, "cancel", sent)
    assert unchanged[f"{sent}-1"].endswith("cannot be stopped; release it, or its sender does not hear its result")


async def test_ids_that_are_unknown_or_named_twice(house: House) -> None:
    house.service.uploading = False
    submission = await house.send()
    job = (await house.reach(submission, "prepared"))["id"]
    for verb in ("hold", "release", "retry", "cancel"):
        assert await _change(house, verb, "no such") == ([], {"no such": "there is no such fax"})
    changed, unchanged = await _change(house, "hold", job, submission, "no such")
    assert (changed, list(unchanged)) == ([job], ["no such"])
    assert await _change(house, "cancel", "ALL") == ([job], {})
    assert await _change(house, "cancel", "ALL") == ([], {})


async def test_a_fax_that_may_have_been_sent_goes_only_by_an_express_word(house: House) -> None:
    house.service.uploading = False
    submission = await house.send()
    job = (await house.reach(submission, "prepared"))["id"]
    await house.gateway.database.write(
        lambda tx: jobs.hold(
            tx, jobs.in_state(tx, JobState.PREPARED)[0], 5.0, f"{MAY_BE_SENT}: the history shows fax 7"
        )
    )
    for verb in ("release", "retry"):
        changed, unchanged = await _change(house, verb, job)
        assert changed == []
        assert "it may have been faxed already" in unchanged[job]
    assert await _change(house, "release", "ALL") == ([], unchanged)
    house.service.uploading = True
    assert await _change(house, "retry", job, resend=True) == ([job], {})
    await house.reach(submission, "submitted")
