"""The demo in this process, spoken to from outside: SMTP in, its page and the sandbox's own routes out."""

from __future__ import annotations

import asyncio
import io
import smtplib
import socket
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageSequence

from gateway import __version__
from gateway.cli.demo_stage import ANY_PORTS, OWN_NUMBER, RECEPTION, Demo, Ports
from gateway.errors import Refused, TryLater

CALL_BACK = "+99999990099"
State = dict[str, Any]


def drawing(text: str, mode: str = "L") -> Image.Image:
    """A page that no other page looks like."""
    page = Image.new(mode, (1700, 2200), "white")
    draw = ImageDraw.Draw(page)
    draw.text((200, 200), text, "black", font_size=160)
    draw.rectangle((200, 600, 200 + 100 * len(text), 900), "black")
    return page


def pdf(*texts: str) -> bytes:
    """A PDF with a page for each text."""
    first, *others = [drawing(text) for text in texts]
    out = io.BytesIO()
    first.save(out, "PDF", save_all=True, append_images=others, resolution=200)
    return out.getvalue()


def jpeg(text: str) -> bytes:
    """A photograph of a text."""
    out = io.BytesIO()
    drawing(text, "RGB").save(out, "JPEG", dpi=(200, 200))
    return out.getvalue()


class Visitor:
    """Who tries the demo: sends mails, reads the page."""

    def __init__(self, demo: Demo, client: aiohttp.ClientSession) -> None:
        self.demo, self.client = demo, client
        self.page = demo.addresses()["page"].rstrip("/")

    async def send(
        self, to: str, *, subject: str = "Report", text: str = "", files: dict[str, bytes] | None = None
    ) -> None:
        """Send a mail with smtplib, as a program would."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, "me@example.org", to
        if text:
            message.set_content(text)
        for name, content in (files or {}).items():
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        host, _, port = self.demo.addresses()["smtp"].rpartition(":")

        def run() -> None:
            with smtplib.SMTP(host, int(port), timeout=20) as door:
                door.send_message(message, "me@example.org", [to])

        await asyncio.to_thread(run)

    async def get(self, path: str) -> bytes:
        async with self.client.get(self.page + path, raise_for_status=True) as answer:
            return await answer.read()

    async def post(self, path: str, origin: str | None = None, **fields: str) -> tuple[int, str]:
        headers = {"Accept": "application/json", "Origin": self.page if origin is None else origin}
        if not origin and origin is not None:
            del headers["Origin"]
        form = aiohttp.FormData(fields, default_to_multipart=True)
        async with self.client.post(self.page + path, data=form, headers=headers) as answer:
            text = await answer.text()
            return answer.status, (await answer.json())["said"] if answer.content_type == "application/json" else text

    async def state(self) -> State:
        async with self.client.get(f"{self.page}/state.json") as answer:
            found: State = await answer.json()
            return found

    async def until(self, what: Callable[[State], bool]) -> State:
        """Look at the page's JSON until it shows what is waited for."""
        async with asyncio.timeout(60):
            while not what(state := await self.state()):
                await asyncio.sleep(0.05)
        return state

    async def executed(self) -> list[dict[str, Any]]:
        """What the sandbox says it executed."""
        async with self.client.get(f"http://{self.demo.addresses()['sandbox']}/sandbox/faxes") as answer:
            faxes: list[dict[str, Any]] = (await answer.json())["faxes"]
            return faxes

    async def arrived(self, fax_job_id: int) -> list[Image.Image]:
        """The pages that the sandbox's other machine received."""
        url = f"http://{self.demo.addresses()['sandbox']}/sandbox/faxes/{fax_job_id}/document"
        async with self.client.get(url, raise_for_status=True) as answer:
            with Image.open(io.BytesIO(await answer.read())) as tiff:
                return [frame.copy() for frame in ImageSequence.Iterator(tiff)]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    stage = Demo(tmp_path / "demo", ANY_PORTS)
    await stage.start()
    yield stage
    await stage.stop()


@pytest.fixture
async def visitor(demo: Demo) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as client:
        yield Visitor(demo, client)


def settled(faxes: int, mails: int) -> Callable[[State], bool]:
    """So many faxes have ended, so many mails have come, and all pictures are made."""

    def check(state: State) -> bool:
        return (
            len(state["faxes"]) == faxes
            and len(state["mails"]) == mails
            and all(fax["state"] in ("delivered", "failed") for fax in state["faxes"])
            and all(fax["arrived"] == fax["pages"] for fax in state["faxes"] if fax["state"] == "delivered")
            and all(part["pages"] for mail in state["mails"] for part in mail["attachments"] if "pdf" in part["type"])
        )

    return check


def pixels(pages: list[Image.Image]) -> list[bytes]:
    return [page.convert("1", dither=Image.Dither.NONE).tobytes() for page in pages]


def pages_of(document: bytes) -> list[Image.Image]:
    """The pictures a fax PDF is made of, a page each."""
    with pikepdf.open(io.BytesIO(document)) as found:
        return [pikepdf.PdfImage(*page.resources.XObject.values()).as_pil_image() for page in found.pages]


async def test_a_mail_becomes_one_fax_with_all_its_pages_and_one_result_mail(visitor: Visitor) -> None:
    files = {"two.pdf": pdf("one", "two two"), "photo.jpg": jpeg("three three three")}
    await visitor.send("+15551234567@fax.local", text="Dear Ms Smith,\nplease see the attached.\n", files=files)
    state = await visitor.until(settled(1, 1))
    (fax,), (mail,), (executed,) = state["faxes"], state["mails"], await visitor.executed()
    assert (fax["to"], fax["state"], fax["pages"]) == ("+15551234567", "delivered", 4)
    assert fax["ledger"] == ["message text: page 1", "two.pdf: pages 2-3", "photo.jpg: page 4"]
    assert fax["executed"] == [executed["fax_job_id"]]
    sent = pixels(await visitor.arrived(executed["fax_job_id"]))
    assert len(set(sent)) == 4
    for number in range(1, 5):
        with Image.open(io.BytesIO(await visitor.get(f"/fax/{fax['id']}/{number}.png"))) as picture:
            assert picture.format == "PNG"
            assert picture.convert("L").getextrema()[0] < 100  # there is something on it
    assert (mail["kind"], mail["to"], mail["envelope_from"]) == ("delivered", "me@example.org", "")
    assert mail["subject"].startswith("[SANDBOX] Faxed: Report")
    assert "two.pdf: pages 2-3" in mail["text"]
    assert f"(faxgateway {__version__})" in mail["text"]
    await asyncio.sleep(0.3)
    assert len((await visitor.state())["mails"]) == len(await visitor.executed()) == 1


async def test_the_number_that_calls_back_brings_a_received_fax_with_the_very_pages(visitor: Visitor) -> None:
    await visitor.send(f"{CALL_BACK}@fax.local", files={"two.pdf": pdf("out", "and back")})
    state = await visitor.until(settled(1, 2))
    (executed,) = await visitor.executed()
    sent = pixels(await visitor.arrived(executed["fax_job_id"]))
    (received,) = [mail for mail in state["mails"] if mail["kind"] == "inbound"]
    assert received["to"] == RECEPTION
    assert [part["pages"] for part in received["attachments"]] == [2]
    back = pixels(pages_of(await visitor.get(f"/mail/{received['number']}/1")))
    assert len(set(back)) == 2
    assert back == sent


async def test_a_hostile_mail_is_shown_and_does_nothing(visitor: Visitor) -> None:
    nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    await visitor.send(
        "+15551234567@fax.local", subject=nasty, text="</pre><script>alert(3)</script>",
        files={"'\"><svg onload=alert(4)>.txt": b"text"},
    )  # fmt: skip
    await visitor.until(settled(1, 1))
    for path in ("/", "/items"):
        shown = (await visitor.get(path)).decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert "&lt;svg onload=alert(4)&gt;" in shown
        for tag in ("<script>", "<img src=x", "<svg"):
            assert tag not in shown
    async with visitor.client.get(visitor.page + "/") as answer:
        rules = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in rules
        assert "script-src 'self'" in rules
        assert "unsafe" not in rules
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    async with visitor.client.get(f"{visitor.page}/mail/1/source") as answer:
        assert answer.content_type == "text/plain"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", ""])
async def test_another_site_cannot_order_anything(visitor: Visitor, origin: str) -> None:
    for path in ("/send", "/receive"):
        status, said = await visitor.post(path, origin, to="+15551234567")
        assert status == 403
        assert "own page only" in said
    await asyncio.sleep(0.2)
    assert await visitor.state() == {"mails": [], "faxes": []}


async def test_a_foreign_name_for_this_machine_is_refused(visitor: Visitor) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""):
        async with visitor.client.get(visitor.page + "/state.json", headers={"Host": host}) as answer:
            assert answer.status == 403 if host else answer.status in (400, 403)
    async with visitor.client.get(visitor.page + "/state.json", headers={"Host": "localhost:9999"}) as answer:
        assert answer.status == 200


async def test_the_buttons_send_and_receive(visitor: Visitor) -> None:
    status, said = await visitor.post("/send", to=CALL_BACK)
    assert status == 200
    assert said.startswith("The gateway answered: 250 2.0.0 queued as ")
    status, said = await visitor.post("/send", to="+442079460000")
    assert status == 400
    assert "550 5.7.1" in said
    assert "United Kingdom" in said
    status, said = await visitor.post("/receive")
    assert (status, RECEPTION in said) == (200, True)
    state = await visitor.until(settled(1, 3))
    assert state["faxes"][0]["pages"] == 2
    assert sorted(mail["kind"] for mail in state["mails"]) == ["delivered", "inbound", "inbound"]


async def test_a_file_of_ones_own_is_faxed_by_the_button(visitor: Visitor) -> None:
    form = aiohttp.FormData({"to": "+15551234567"}, quote_fields=False)
    form.add_field("file", pdf("mine"), filename="../mine.pdf", content_type="application/pdf")
    headers = {"Origin": visitor.page}
    async with visitor.client.post(visitor.page + "/send", data=form, headers=headers, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    state = await visitor.until(settled(1, 1))
    assert state["faxes"][0]["ledger"] == ["mine.pdf: page 1"]


async def test_what_the_button_cannot_send_is_said(visitor: Visitor) -> None:
    for number in ("", "+1555\r\nRCPT TO:<x@y>", "x@example.org,", "+١٢"):
        assert await visitor.post("/send", to=number) == (400, "Name a number to send to")
    form = aiohttp.FormData({"to": "+15551234567"})
    form.add_field("file", io.BytesIO(bytes(41 << 20)), filename="large")
    headers = {"Origin": visitor.page}
    async with visitor.client.post(visitor.page + "/send", data=form, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (400, "The file is too large: 40 MB at most")
    assert (await visitor.state())["faxes"] == []


async def test_a_fax_that_fails_shows_what_arrived_of_it(visitor: Visitor) -> None:
    await visitor.send("+99999990004@fax.local", files={"two.pdf": pdf("seen", "not seen")})
    state = await visitor.until(lambda state: settled(1, 1)(state) and state["faxes"][0]["arrived"] == 1)
    (fax,), (mail,) = state["faxes"], state["mails"]
    assert (fax["state"], fax["pages"], fax["arrived"]) == ("failed", 2, 1)
    assert mail["kind"] == "failed"
    assert [part["type"] for part in mail["attachments"]] == ["message/delivery-status", "text/rfc822-headers"]
    assert b"Action: failed" in await visitor.get(f"/mail/{mail['number']}/1")


async def test_the_page_is_told_of_news_until_the_demo_ends(tmp_path: Path) -> None:
    stage = Demo(tmp_path / "demo", ANY_PORTS)
    await stage.start()
    async with aiohttp.ClientSession() as client:
        visitor = Visitor(stage, client)
        async with client.get(visitor.page + "/events") as events, asyncio.timeout(60):
            assert (await events.content.readuntil(b"\n\n")).startswith(b"data: ")
            await visitor.send("+15551234567@fax.local", text="Hello")
            seen = 0
            while not (await visitor.state())["mails"]:
                assert (await events.content.readuntil(b"\n\n")).startswith(b"data: ")
                seen += 1
            assert seen
            await stage.stop()
            await events.read()


async def test_who_stops_looking_is_no_error(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    async with aiohttp.ClientSession() as another, another.get(visitor.page + "/events") as events:
        await events.content.readline()
    for _ in range(3):  # the first write to a closed connection is not the one that fails
        visitor.demo.news.tell()
        await visitor.state()
    await visitor.send("+15551234567@fax.local", text="Hello")
    await visitor.until(settled(1, 1))
    assert not caplog.records


async def test_what_is_kept_is_there_again_and_nobody_else_may_have_it(tmp_path: Path) -> None:
    async def run(first: bool) -> State:
        stage = Demo(tmp_path / "demo", ANY_PORTS)
        await stage.start()
        try:
            with pytest.raises(TryLater, match="another faxgateway"):
                await Demo(tmp_path / "demo", ANY_PORTS).start()
            async with aiohttp.ClientSession() as client:
                visitor = Visitor(stage, client)
                if first:
                    await visitor.send(f"{CALL_BACK}@fax.local", files={"two.pdf": pdf("keep", "this")})
                return await visitor.until(settled(1, 2))
        finally:
            await stage.stop()

    before = await run(True)
    assert await run(False) == before


async def test_a_configuration_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("state_dir: /var/lib/faxgateway\n")
    with pytest.raises(Refused, match="was not made by the demo"):
        await Demo(tmp_path, ANY_PORTS).start()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "state_dir: /var/lib/faxgateway\n"


async def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stage = Demo(tmp_path / "demo", Ports(smtp=port, callbacks=0, sandbox=0, page=port))
        await stage.start()
        try:
            addresses = stage.addresses()
            assert stage.taken() == [port, port]
            assert not any(f":{port}" in address for address in addresses.values())
            for name in ("smtp", "callbacks", "sandbox"):
                assert addresses[name].startswith("127.0.0.1:")
            assert addresses["page"].startswith("http://127.0.0.1:")
        finally:
            await stage.stop()


async def test_other_commands_find_the_demo_by_its_configuration(demo: Demo) -> None:
    from gateway.cli.client import AdminClient
    from gateway.config import load

    config = load(demo.config_file)
    assert demo.config_file.stat().st_mode & 0o077 == 0
    async with AdminClient(config.admin_socket) as ask:
        routes = (await ask("route.list", {}))["routes"]
    assert {(route["kind"], route["match"]) for route in routes} == {("did", OWN_NUMBER), ("sender", "*")}
