"""The two journeys through the real doors: SMTP in, provider out, callbacks in, mail out; and a stop in the middle."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP

from gateway.app import Gateway
from gateway.config import load

TOKEN = "t" * 32


class FaxService:
    """Enough of the provider, over HTTP, to take uploads and sends and to tell what it executed."""

    def __init__(self) -> None:
        self.uploads: dict[int, bytes] = {}
        self.sends: list[tuple[int, str]] = []
        self.final = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/api/v2/files", self.upload)
        app.router.add_get("/api/v2/fax/{ref}/costs", self.cost)
        app.router.add_post("/api/v2/fax", self.send)
        app.router.add_get("/api/v2/fax/{ref}/status", self.status)
        app.router.add_get("/api/v2/fax-history", self.history)
        app.router.add_get("/api/v2/incoming-faxes", self.inbox)
        app.router.add_delete("/api/v2/files/{ref}", self.delete)
        return app

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        ref = 300 + len(self.uploads)
        self.uploads[ref] = file.file.read()
        file.file.close()
        return web.json_response({"status": "Success", "document_id": ref})

    async def cost(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "cost": 0.1})

    async def send(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.sends.append((int(str(form["document_id"])), str(form["fax_number"])))
        return web.json_response(
            {"status": "executed", "fax_job_id": 900 + len(self.sends), "user_cash_balance": 9, "cost": 0.1}
        )

    async def status(self, _request: web.Request) -> web.Response:
        text = "Sent! Fax Has Been Answered." if self.final else "Sending"
        return web.json_response({"status": "success", "message": text})

    async def history(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "history": []})

    async def inbox(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "inbox": []})

    async def delete(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success"})


class Sink:
    """The smarthost: keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], Any]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from.strip("<>"), envelope.rcpt_tos, message))  # aiosmtpd: null is "<>"
        return "250 OK"


class House:
    """A gateway with its provider and its smarthost."""

    def __init__(self, gateway: Gateway, service: FaxService, sink: Sink) -> None:
        self.gateway, self.service, self.sink = gateway, service, sink

    @property
    def smtp(self) -> tuple[str, int]:
        host, _, port = self.gateway.addresses()["smtp"][0].rpartition(":")
        return host, int(port)

    @property
    def callback(self) -> str:
        return f"http://{self.gateway.addresses()['callbacks']}/callback/{TOKEN}"

    def send(
        self, to: list[str], text: str = "Please read.", attachment: bytes = b"", subject: str = "Report"
    ) -> tuple[str, dict[str, Any]]:
        message = email.message.EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, "you@example.org", "x@fax.local"
        message.set_content(text)
        if attachment:
            message.add_attachment(attachment, maintype="text", subtype="plain", filename="list.txt")
        with smtplib.SMTP(*self.smtp, timeout=20) as client:
            client.ehlo()
            client.mail("you@example.org")
            refused = {}
            for address in to:
                code, reply = client.rcpt(address)
                if code != 250:
                    refused[address] = (code, reply.decode())
            code, reply = client.data(message.as_bytes(policy=email.policy.SMTP))
            assert code == 250, reply
            return reply.decode().split()[-1], refused

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(30):
            while not what():
                await asyncio.sleep(0.02)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    service, sink = FaxService(), Sink()
    runner = web.AppRunner(service.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, loop=asyncio.get_running_loop(), hostname="sink"), "127.0.0.1", 0
    )
    (tmp_path / "config.yaml").write_text(f"""
state_dir: {tmp_path / "state"}
smtp: {{listeners: [{{address: "127.0.0.1:0", networks: [127.0.0.0/8]}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {TOKEN}}}}}
provider:
  base_url: http://127.0.0.1:{runner.addresses[0][1]}/api/v2
  api_key: key
  rate: 0
mail: {{relay: {{host: 127.0.0.1, port: {relay.sockets[0].getsockname()[1]}}}, fallback: admin@example.org}}
document: {{workers: 1}}
""")
    gateway = Gateway(load(tmp_path / "config.yaml"))
    await gateway.start()
    yield House(gateway, service, sink)
    await gateway.stop(5.0)
    relay.close()
    await relay.wait_closed()
    await runner.cleanup()


async def test_a_mail_becomes_one_fax_and_its_result_one_mail(house: House) -> None:
    queue_id, refused = await asyncio.to_thread(
        house.send, ["+15551234567@fax.local", "+123@fax.local", "12025550123@fax.local"], attachment=b"one\ntwo\n"
    )
    assert list(refused) == ["+123@fax.local"]
    assert "+123" in refused["+123@fax.local"][1]
    await house.until(lambda: len(house.service.sends) == 2)
    assert {number for _, number in house.service.sends} == {"+15551234567", "+12025550123"}
    assert len(house.service.uploads) == 2
    assert all(document.startswith(b"%PDF-") for document in house.service.uploads.values())
    house.service.final = True
    async with aiohttp.ClientSession() as client:
        for ref in (901, 902, 901):
            receipt = {"fax_job_id": str(ref), "status": "success", "msg_code": "ok", "message": "sent"}
            async with client.post(house.callback, data=receipt) as answer:
                assert answer.status == 200
    await house.until(lambda: len(house.sink.mails) == 2)
    sender, to, message = house.sink.mails[0]
    assert (sender, to) == ("", ["you@example.org"])
    assert message["Auto-Submitted"] == "auto-replied"
    assert "Report" in message["Subject"]
    shown = await house.gateway.admin("queue.show", {"id": queue_id})
    assert [job["state"] for job in shown["jobs"]] == ["delivered", "delivered"]
    await asyncio.sleep(0.1)
    assert len(house.sink.mails) == 2
    assert len(house.service.sends) == 2


async def test_options_in_address_subject_and_text_are_obeyed_and_on_no_page(house: House) -> None:
    to = [
        "+15551234567@fax.local",
        "+12025550123/ref=4712/resolution=standard@fax.local",
        "+12025550124/covr=x@fax.local",
    ]
    text = "[fax: priority=high]\nPlease read."
    _, refused = await asyncio.to_thread(house.send, to, text, subject="Report [fax: ref=4711]")
    assert list(refused) == [to[2]]
    assert refused[to[2]][0] == 554
    assert "5.6.0 covr in the address is not a fax option; there are cover," in refused[to[2]][1]
    await asyncio.to_thread(house.send, ["+12025550125@fax.local"], "Please read.")
    await house.until(lambda: len(house.service.sends) == 3)
    pages = {number: house.service.uploads[document] for document, number in house.service.sends}
    assert pages["+15551234567"] == pages["+12025550125"], "the same page as that of the mail without options"
    assert pages["+15551234567"] != pages["+12025550123"]
    house.service.final = True
    async with aiohttp.ClientSession() as client:
        for n in range(len(house.service.sends)):
            receipt = {"fax_job_id": str(901 + n), "status": "success", "msg_code": "ok", "message": "sent"}
            async with client.post(house.callback, data=receipt) as answer:
                assert answer.status == 200
    await house.until(lambda: len(house.sink.mails) == 3)
    told = {message["X-Faxgateway-Number"]: message for _, _, message in house.sink.mails}
    assert "[fax:" not in told["+15551234567"]["Subject"]
    for number, reference in (("+15551234567", "4711"), ("+12025550123", "4712")):
        assert told[number]["X-Faxgateway-Reference"] == reference
        assert re.search(rf"Reference +{reference}\s", told[number].get_body().get_content())
    listed = (await house.gateway.admin("queue.list", {}))["jobs"]
    assert {job["to"]: (job["reference"], job["priority"]) for job in listed} == {
        "+15551234567": ("4711", 1),
        "+12025550123": ("4712", 1),
        "+12025550125": ("", 0),
    }


async def test_a_received_fax_becomes_one_mail_however_often_it_is_told(house: House) -> None:
    pdf = b"%PDF-1.4\n" + b"x" * 100_000 + b"\n%%EOF\n"
    await house.gateway.admin(
        "route.add", {"kind": "did", "match": "+12025550100", "mailboxes": ["desk@example.org", "copy@example.org"]}
    )
    async with aiohttp.ClientSession() as client:
        for _ in range(2):
            form = aiohttp.FormData({"uuid": "u1", "from": "+12025550199", "to": "+12025550100", "pages": "1"})
            form.add_field("file", pdf, filename="fax.pdf", content_type="application/pdf")
            async with client.post(house.callback, data=form) as answer:
                assert answer.status == 200
        async with client.post(house.callback.replace(TOKEN, "x" * 32), data={"a": "b"}) as answer:
            assert answer.status == 404
    await house.until(lambda: len(house.sink.mails) == 2)
    await asyncio.sleep(0.1)
    assert sorted(to[0] for _, to, _ in house.sink.mails) == ["copy@example.org", "desk@example.org"]
    for sender, _, message in house.sink.mails:
        assert sender == "fax@example.org"
        (attachment,) = list(message.iter_attachments())
        assert attachment.get_content() == pdf


async def test_what_can_never_become_a_fax_is_refused_at_once(house: House) -> None:
    def empty() -> tuple[int, bytes]:
        with smtplib.SMTP(*house.smtp, timeout=20) as client:
            client.ehlo()
            client.mail("you@example.org")
            client.rcpt("+15551234567@fax.local")
            return client.data(b"Subject: nothing\r\n\r\n")

    code, reply = await asyncio.to_thread(empty)
    assert code == 554
    assert b"nothing to fax" in reply
    assert house.service.sends == []


async def test_health(house: House) -> None:
    base = f"http://{house.gateway.addresses()['callbacks']}"
    async with aiohttp.ClientSession() as client:
        for path in ("/livez", "/readyz", "/metrics"):
            async with client.get(base + path) as answer:
                assert answer.status == 200, path
