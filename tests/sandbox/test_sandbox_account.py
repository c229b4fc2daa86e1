"""The account and the inbox: users, numbers, the catalogue, received faxes, and the pages of lists."""

from __future__ import annotations

import io
import re
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from gateway.document.worker import WorkerPool
from gateway.errors import NotFound, Refused
from gateway.model import FaxNumber

from .world import HOME, KEY, World, page, pdf, pixels, until, world

# --- users ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["json", "urlencoded", "multipart"])
async def test_a_user_registers_logs_in_and_calls_with_the_key(w: World, encoding: str) -> None:
    fields = {"email": "Ann@example.org", "password": "sesame"}
    form = aiohttp.FormData(fields, default_to_multipart=encoding == "multipart")
    arguments = {"json": fields} if encoding == "json" else {"data": form}
    registered = await w.call("POST", "/user", key=None, **arguments)
    key = registered.json["api_key"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", key)
    assert await w.client.login("ann@EXAMPLE.org", "sesame") == key
    assert (await w.call("GET", "/balance", key=key)).json["balance"] == 100


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/user", {"email": "ann", "password": "x"}, "email is missing"),
        ("/user", {"email": "ann@example.org"}, "password is missing"),
        ("/user", {"email": "taken@example.org", "password": "x"}, "already been taken"),
        ("/user/login", {"email": "taken@example.org", "password": "wrong"}, "wrong"),
        ("/user/login", {"email": "nobody@example.org", "password": "secret"}, "wrong"),
        ("/user/login", {}, "wrong"),
    ],
)
async def test_a_user_who_cannot_be_is_refused(w: World, path: str, fields: dict[str, str], words: str) -> None:
    await w.client.register("taken@example.org", "secret")
    got = await w.call("POST", path, key=None, data=fields)
    assert (got.status, got.json["status"]) == (400, "failed")
    assert words in got.json["message"]


async def test_a_subuser_may_have_no_password_and_then_cannot_log_in(w: World) -> None:
    key = await w.client.add_subuser("sub@example.org", "")
    assert (await w.call("GET", "/balance", key=key)).status == 200
    with pytest.raises(Refused):
        await w.client.login("sub@example.org", "")
    assert (await w.call("POST", "/subuser", key=None, data={"email": "x@example.org"})).status == 401


# --- numbers and catalogue --------------------------------------------------------------------------------------------


async def test_numbers_are_listed_and_bought(w: World) -> None:
    assert [number["did_number"] for number in await w.client.numbers()] == [HOME]
    bought = await w.client.provision(67)
    data = bought["data"]
    assert bought["message"] == "Number has been provisioned."
    assert (data["country_code"], data["city_name"], data["area_code"], data["type"]) == (
        "CAN", "WINNIPEG", "204", "GEOGRAPHIC",
    )  # fmt: skip
    other = await w.client.provision(201)
    assert other["data"]["number"].startswith("+4420")
    assert [number["did_number"] for number in await w.client.numbers()] == [
        HOME, data["number"], other["data"]["number"],
    ]  # fmt: skip
    record = (await w.call("GET", "/numbers")).json["numbers"][1]
    assert {"id", "order_reference", "country", "expiration_date", "status"} <= record.keys()
    with pytest.raises(NotFound):
        await w.client.provision(9)


async def test_the_stray_forms_list_and_buy_numbers_and_get_never_buys(w: World) -> None:
    assert (await w.call("POST", "/provision-numbers", data={"did_group_id": "101"})).json["status"] == "success"
    assert (await w.call("POST", "/provision-numbers")).status == 404
    assert (await w.call("GET", "/countries/didgroups/101/provision")).status == 405
    got = (await w.call("GET", "/provision-numbers", params={"limit": "1"})).json
    assert len(got["numbers"]) == 1
    assert got["meta"]["pagination"]["total"] == 2


async def test_the_catalogue_has_its_documented_keys_and_types(w: World) -> None:
    assert {"country": "CANADA", "slug": "CANADA", "a2_code": "CAN", "dial_code": 1} in await w.client.countries()
    assert {"id": "1", "name": "Alabama", "code": "AL"} in await w.client.states("USA")
    assert {"country_code": "USA", "state_id": 1, "area_code": "205"} in await w.client.area_codes("usa", "1")
    assert await w.client.area_codes("USA", "99") == []
    with pytest.raises(NotFound):
        await w.client.states("XXX")


@pytest.mark.parametrize(
    ("filters", "groups"),
    [
        ({}, [101, 102, 103]),
        ({"didGroupIds": "101, 103"}, [101, 103]),
        ({"stateId": "5"}, [102]),
        ({"cityNamePattern": "New York%"}, [103]),
        ({"cityPattern": "birm%"}, [101]),
        ({"areaCode": "212"}, [103]),
    ],
)
async def test_groups_of_numbers_can_be_narrowed(w: World, filters: dict[str, str], groups: list[int]) -> None:
    assert [group["did_group_id"] for group in await w.client.did_groups("USA", **filters)] == groups


# --- received faxes ---------------------------------------------------------------------------------------------------


async def test_a_fax_that_arrives_is_called_back_and_stands_in_the_inbox_with_its_document(w: World) -> None:
    got = await w.inject(file=pdf(2), rsid="ANN")
    unique = got.json["uuid"]
    assert got.json == {"uuid": unique}
    arrival = (await until(w.receiver.arrivals))[0]
    assert arrival.content_type == "multipart/form-data"
    assert {
        "uuid": unique, "from": "+14155550111", "to": HOME, "rsid": "ANN", "speed": "14400", "duration": "21",
        "ecm": "yes", "pages": "2", "compression": "MMR", "line": "model",
    }.items() <= arrival.fields.items()  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", arrival.fields["time"])
    filename, kind, content = arrival.files["file"]
    assert (kind, content[:5]) == ("application/pdf", b"%PDF-")
    assert filename

    entry = (await w.call("GET", "/incoming-faxes")).json["inbox"][0]
    assert (entry["number"], entry["sender"], entry["total_pages"]) == (HOME, "14155550111", 2)
    assert "uuid" not in entry
    assert entry["filesize"].endswith(" KB")
    assert f"/inbox/{entry['id']}/" not in entry["file_url"]  # nobody shall build the address himself
    file = await w.raw("GET", entry["file_url"].removeprefix(w.url("")))
    assert file.headers["Content-Type"] == "application/pdf"
    assert file.body == content
    picture = await w.raw("GET", entry["preview_file"].removeprefix(w.url("")))
    with Image.open(io.BytesIO(picture.body)) as image:
        assert image.format == "PNG"


async def test_the_gateways_client_lists_and_fetches_received_faxes(w: World) -> None:
    for number in range(3):
        await w.inject(**{"from": f"+1415555010{number}"})
    await w.inject(to="+14155550199")
    page_ = await w.client.inbox(1, 2)
    assert ([entry.arrival.sender for entry in page_.entries], page_.last) == (["14155550111", "14155550102"], False)
    assert (await w.client.inbox(2, 2)).last
    of = await w.client.inbox_of(FaxNumber(HOME), 1, 10)
    assert [entry.arrival.recipient for entry in of.entries] == [HOME] * 3
    assert (await w.call("GET", "/incoming-faxes/%2B12025550100")).json["meta"]["pagination"]["total"] == 3
    chunks: list[bytes] = []

    async def write(chunk: bytes) -> None:
        chunks.append(chunk)

    await w.client.fetch(of.entries[0].arrival.file_url, write)
    assert b"".join(chunks).startswith(b"%PDF-")


@pytest.mark.parametrize("path", ["/files", "/fax-history", "/incoming-faxes", "/numbers"])
async def test_a_page_far_beyond_the_end_is_empty(w: World, path: str) -> None:
    await w.upload()
    got = await w.call("GET", path, params={"limit": "100", "page": "9" * 18})
    assert got.status == 200
    assert [] in (got.json, *(got.json.values() if isinstance(got.json, dict) else ()))


async def test_links_of_a_listing_have_neither_key_nor_limit_and_end(w: World) -> None:
    for _ in range(5):
        await w.inject()
    links = []
    for number in (1, 2, 3, 4):
        got = (await w.call("GET", "/incoming-faxes", params={"limit": "2", "page": str(number)})).json
        meta = got["meta"]["pagination"]
        assert (meta["total"], meta["count"], meta["per_page"], meta["total_pages"], meta["current_page"]) == (
            5, len(got["inbox"]), 2, 3, number,
        )  # fmt: skip
        links.append(meta["links"])
    base = w.url("/api/v2/incoming-faxes")
    assert links == [
        {"next": f"{base}?page=2"},
        {"previous": f"{base}?page=1", "next": f"{base}?page=3"},
        {"previous": f"{base}?page=2"},
        {"previous": f"{base}?page=3"},
    ]


async def test_documents_of_received_faxes_need_the_key_and_must_be_there(w: World) -> None:
    await w.inject()
    for path, key, status in (
        ("/receivefax/api/v1/inbox/1/file", "wrong", 401),
        ("/receivefax/api/v1/inbox/1/file", KEY, 200),
        ("/receivefax/api/v1/inbox/7/file", KEY, 404),
        ("/receivefax/api/v1/inbox/x/preview", KEY, 404),
    ):
        assert (await w.call("GET", path, key=key)).status == status, path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": ""}, "to is missing"),
        ({"file": "text"}, "file is missing"),
        ({"shape": "origami"}, "shape must be multipart or one of: lost, doubled"),
        ({"file": b""}, "empty"),
    ],
)
async def test_a_fax_that_cannot_arrive_is_refused(w: World, fields: dict[str, str | bytes], words: str) -> None:
    got = await w.inject(**fields)
    assert got.status == 400
    assert words in got.json["message"]
    assert await w.callbacks() == []


async def test_every_text_of_an_arrival_can_be_said_otherwise(w: World) -> None:
    said = {
        "time": "2026-01-02T03:04:05+02:00", "rsid": "Büro", "speed": "9600", "duration": "1:02", "ecm": "on",
        "pages": "9", "compression": "JBIG",
    }  # fmt: skip
    await w.inject(**said)
    assert said.items() <= (await until(w.receiver.arrivals))[0].fields.items()


# --- the call back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tsi", "to"),
    [
        ("", HOME),
        ("ACME Ltd", HOME),
        ("+1 (415) 555-0123", "+14155550123"),
        ("14155550123", "+14155550123"),
        ("123", HOME),
    ],
)
async def test_the_machine_that_calls_back_sends_the_same_pages_to_the_caller(w: World, tsi: str, to: str) -> None:
    await w.sent(await w.upload(pdf(2)), "+99999990099", tsi_number=tsi)
    arrival = (await until(w.receiver.arrivals))[0]
    assert (arrival.fields["from"], arrival.fields["to"], arrival.fields["pages"]) == ("+99999990099", to, "2")
    assert (arrival.fields["rsid"], arrival.fields["line"]) == ("", "model")  # nothing is invented
    entry = (await w.call("GET", f"/incoming-faxes/{to.lstrip('+')}")).json["inbox"][0]
    assert (entry["sender"], entry["total_pages"]) == ("99999990099", 2)
    again = await w.upload((await w.raw("GET", entry["file_url"].removeprefix(w.url("")))).body)
    job = await w.sent(again)
    tiff = await w.call("GET", f"/sandbox/faxes/{job}/document")
    assert pixels(tiff.body) == [page(0).tobytes(), page(1).tobytes()]


async def test_the_account_has_the_numbers_of_its_settings(tmp_path: Path, pool: WorkerPool) -> None:
    own = ("+12025550188", "+12025550189")
    async with world(tmp_path / "s", pool, numbers=own) as w:
        assert [number["did_number"] for number in await w.client.numbers()] == list(own)
        await w.sent(await w.upload(), "+99999990099")
        assert (await until(w.receiver.arrivals))[0].fields["to"] == own[0]
    async with world(tmp_path / "s", pool, numbers=own) as w:  # not twice
        assert len(await w.client.numbers()) == 2
