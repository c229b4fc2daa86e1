"""A fax provider over HTTP whose answers the test sets: attributes say what the next calls get."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class FaxService:
    """It takes uploads and sends, and lists in its history what it executed."""

    def __init__(self) -> None:
        self.uploads: dict[int, bytes] = {}
        self.sends: list[dict[str, str]] = []
        self.executed: list[dict[str, Any]] = []
        self.uploading = True  # False: 503
        self.sending = "yes"  # "yes", "drop": executed, no answer; "refuse"
        self.message = "Sending"  # what status says
        self.history_status = 200
        self.key_status = 200
        self.balance: Any = 9.5
        self.owned: list[dict[str, Any]] = [{"did_number": "+12025550100", "country": "US"}]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        for method, path, handler in (
            ("POST", "/files", self._upload),
            ("DELETE", "/files/{ref}", self._done),
            ("GET", "/fax/{ref}/costs", self._cost),
            ("POST", "/fax", self._send),
            ("GET", "/fax/{ref}/status", self._status),
            ("GET", "/fax-history", self._history),
            ("GET", "/incoming-faxes", self._inbox),
            ("GET", "/balance", self._balance),
            ("GET", "/numbers", self._numbers),
        ):
            app.router.add_route(method, f"/api/v2{path}", handler)
        return app

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self.uploading:
            return web.json_response({"status": "error"}, status=503)
        file = form["file"]
        assert isinstance(file, web.FileField)
        ref = 300 + len(self.uploads)
        self.uploads[ref] = file.file.read()
        file.file.close()
        return web.json_response({"status": "Success", "document_id": ref})

    async def _done(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success"})

    async def _cost(self, request: web.Request) -> web.Response:
        if int(request.match_info["ref"]) not in self.uploads:
            return web.json_response({"status": "error", "message": "no such document"}, status=404)
        return web.json_response({"status": "success", "cost": 0.1})

    async def _send(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.sends.append(form)
        if self.sending == "refuse":
            return web.json_response({"status": "error", "message": "the number is not valid"}, status=400)
        job = 900 + len(self.sends)
        self.executed.append({"id": job, "document_id": int(form["document_id"]), "recipient": form["fax_number"]})
        if self.sending == "drop":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return web.json_response({"status": "executed", "fax_job_id": job, "user_cash_balance": 9, "cost": 0.1})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "message": self.message})

    async def _history(self, _request: web.Request) -> web.Response:
        if self.history_status != 200:
            return web.Response(status=self.history_status)
        word = "failed" if self.message.startswith("Failed") else "success" if "Sent" in self.message else "executed"
        return web.json_response({"status": "success", "history": [{**each, "status": word} for each in self.executed]})

    async def _inbox(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "inbox": []})

    async def _balance(self, _request: web.Request) -> web.Response:
        if self.key_status != 200:
            return web.json_response({"status": "error", "message": "invalid api key"}, status=self.key_status)
        return web.json_response({"status": "success", "balance": self.balance})

    async def _numbers(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "numbers": self.owned})
