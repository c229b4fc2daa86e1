"""Received faxes: listed, shown without secrets, mailed again where they should have gone."""

from __future__ import annotations

import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused
from gateway.model import FaxArrival, MailState, OutgoingMail
from gateway.store import outbox

PDF = b"%PDF-1.4\nx\n%%EOF\n"


async def _receive(house: House, uuid: str = "u1", *, document: bool = True) -> str:
    arrival = FaxArrival(
        uuid, "+12025550199", "+12025550100", pages=1, rsid="THEM", file_url="https://secret.example/f"
    )
    draft = None
    if document:
        draft = house.gateway.inbound.draft()
        draft.write(PDF)
    await house.gateway.inbound.arrival(arrival, draft, "application/pdf")
    return str((await house.ask("inbound.list"))["faxes"][0]["id"])


async def _mails(house: House, fax: str) -> list[OutgoingMail]:
    return await house.gateway.database.read(lambda tx: outbox.of_cause(tx, fax))


async def _all_sent(house: House, fax: str) -> None:
    """As if the mail server had taken them."""
    for mail in await _mails(house, fax):
        await house.gateway.database.write(lambda tx, id_=mail.id: outbox.sent(tx, id_, 1.0, "250"))


async def test_a_received_fax_is_listed_and_shown(house: House) -> None:
    fax = await _receive(house)
    (listed,) = (await house.ask("inbound.list", limit=1))["faxes"]
    assert {name: listed[name] for name in ("state", "from", "to", "pages", "size")} == {
        "state": "dispatched",
        "from": "+12025550199",
        "to": "+12025550100",
        "pages": 1,
        "size": len(PDF),
    }
    assert [mail["to"] for mail in listed["mails"]] == ["admin@example.org"]
    (shown,) = (await house.ask("inbound.show", id=fax))["faxes"]
    assert shown["claims"]["rsid"] == "THEM"
    assert shown["file_type"] == "application/pdf"
    assert "secret.example" not in str(shown)
    with pytest.raises(NotFound, match="no received fax nope"):
        await house.ask("inbound.show", id="nope")


async def test_the_status_counts_those_that_wait_for_their_documents(house: House) -> None:
    await _receive(house)
    assert (await house.ask("status"))["received_pending"] == 0
    await _receive(house, "u2", document=False)
    assert (await house.ask("status"))["received_pending"] == 1


async def test_once_a_route_is_there_a_fax_that_went_astray_is_mailed_to_its_mailboxes(house: House) -> None:
    fax = await _receive(house)
    await _all_sent(house, fax)
    await house.ask("route.add", kind="did", match="+12025550100", mailboxes=["a@example.org", "b@example.org"])
    done = await house.ask("inbound.redeliver", ids=[fax, fax])
    assert done == {"faxes": [{"id": fax, "mails": 2, "why": ""}]}
    assert {mail.to: mail.state for mail in await _mails(house, fax)} == {
        "admin@example.org": MailState.SENT,
        "a@example.org": MailState.QUEUED,
        "b@example.org": MailState.QUEUED,
    }


async def test_without_a_route_a_fax_is_mailed_again_where_it_went(house: House) -> None:
    fax = await _receive(house)
    assert await house.ask("inbound.redeliver", ids=[fax]) == {
        "faxes": [{"id": fax, "mails": 0, "why": "its mails are waiting to be sent already"}]
    }
    await _all_sent(house, fax)
    assert (await house.ask("inbound.redeliver", ids=[fax]))["faxes"][0]["mails"] == 1
    assert [(mail.to, mail.state) for mail in await _mails(house, fax)] == [("admin@example.org", MailState.QUEUED)]


async def test_a_fax_is_mailed_to_another_mailbox_on_request(house: House) -> None:
    fax = await _receive(house)
    done = await house.ask("inbound.redeliver", ids=[fax, "nope"], to="other@example.org")
    assert done["faxes"] == [
        {"id": fax, "mails": 1, "why": ""},
        {"id": "nope", "mails": 0, "why": "there is no received fax nope"},
    ]
    assert [mail.to for mail in await _mails(house, fax)] == ["admin@example.org", "other@example.org"]
    for to, words in (("+12025550123@fax.local", "would be faxed"), ("nobody", "not a mail address")):
        with pytest.raises(Refused, match=words):
            await house.ask("inbound.redeliver", ids=[fax], to=to)
    with pytest.raises(Refused, match="name the received faxes"):
        await house.ask("inbound.redeliver", ids=[])


async def test_a_fax_whose_document_is_not_here_says_so(house: House) -> None:
    fax = await _receive(house, document=False)
    (done,) = (await house.ask("inbound.redeliver", ids=[fax]))["faxes"]
    assert (done["mails"], done["why"]) == (0, f"the document of {fax} is not here (any more)")
