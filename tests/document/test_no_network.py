"""Nothing in a document makes us call anybody: a listener hears nothing."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Stream, String

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused

from .conftest import Fax
from .made import Sheet, saved


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerPool]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pool = WorkerPool(1, WorkerLimits(), modules=("gateway.document.render", "document.jobs"))
    await pool.start()
    yield pool
    await pool.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def calling_pdf(url: str, *, shown: bytes = b"/X0 Do") -> bytes:
    """Every way a PDF may name something elsewhere: actions, links, forms, a stream, a picture, a file."""
    document = pikepdf.new()
    page = Sheet().text(72, 72, "Hello").raw(shown).add_to(document)
    remote = Dictionary(FS=Name.URL, F=String(url))
    open_it = Dictionary(S=Name.URI, URI=String(url))
    document.Root["/OpenAction"] = open_it
    document.Root["/URI"] = Dictionary(Base=String(url))
    document.Root["/AA"] = Dictionary(WP=Dictionary(S=Name.SubmitForm, F=remote, Fields=Array([])))
    page.obj["/AA"] = Dictionary(
        O=Dictionary(S=Name.JavaScript, JS=String(f"app.launchURL('{url}'); this.getURL('{url}')"))
    )
    page.obj["/Annots"] = Array([
        document.make_indirect(Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 612, 792]), A=action))
        for action in (
            open_it,
            Dictionary(S=Name.GoToR, F=remote, D=Array([0, Name.Fit])),
            Dictionary(S=Name.Launch, F=remote),
            Dictionary(S=Name.ImportData, F=remote),
            Dictionary(S=Name.Movie, T=String("x")),
        )
    ])  # fmt: skip
    objects = page.obj["/Resources"]["/XObject"]
    form = Stream(document, b"", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 9, 9]))
    form["/F"] = remote
    form["/Ref"] = Dictionary(F=remote, Page=0)
    picture = Stream(
        document, b"", Type=Name.XObject, Subtype=Name.Image, Width=8, Height=8, ColorSpace=Name.DeviceGray, BitsPerComponent=8
    )  # fmt: skip
    picture["/F"] = remote
    picture["/OPI"] = Dictionary({"/2.0": Dictionary(F=remote)})
    objects["/X0"], objects["/I0"] = form, picture
    return saved(document)


def html(url: str) -> str:
    return (
        f'<html><head><base href="{url}"><link rel=stylesheet href="{url}/a.css"><style>@import "{url}/b.css";</style>'
        f'<meta http-equiv=refresh content="0;url={url}"></head><body background="{url}/c.png">Hello'
        f'<img src="{url}/d.png"><iframe src="{url}"></iframe><object data="{url}"></object><script src="{url}"></script>'
        f'<svg><image href="{url}/e.png"/></svg><video src="{url}"></video></body></html>'
    )


async def test_no_document_makes_a_connection(pool: WorkerPool, fax: Fax, listener: socket.socket) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    parts = [
        fax.part("a.pdf", calling_pdf(url)),
        fax.html(html(url)),
        fax.part("b.html", html(url).encode()),
        fax.text(f"see {url}"),
    ]
    made = await pool.run(
        "gateway.document.render:render", parts=parts, left_out=[], out=str(fax.out), options={}
    )  # fmt: skip
    assert made["pages"] == 4
    with pytest.raises(Refused, match="a picture that cannot be read"):  # which is elsewhere
        await pool.run(
            "gateway.document.render:render",
            parts=[fax.part("d.pdf", calling_pdf(url, shown=b"/X0 Do /I0 Do"))],
            left_out=[], out=str(fax.out), options={},
        )  # fmt: skip
    with pytest.raises(Refused, match="an SVG drawing"):
        await pool.run(
            "gateway.document.render:render",
            parts=[fax.part("c.svg", f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}/x.png"/></svg>'.encode())],
            left_out=[], out=str(fax.out), options={},
        )  # fmt: skip
    with pytest.raises(BlockingIOError):
        listener.accept()
    with pikepdf.open(io.BytesIO(fax.out.read_bytes())) as document:
        assert b"127.0.0.1" not in b"".join(bytes(page.obj.unparse()) for page in document.pages)


async def test_a_reader_that_does_not_fork_has_no_network_either(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    pool = WorkerPool(1, WorkerLimits(), fork=False, modules=("document.jobs",))
    await pool.start()
    try:
        ways = await pool.run("document.jobs:reach", port=listener.getsockname()[1])
    finally:
        await pool.close()
    if ways["tcp"] == "connected":
        pytest.skip("neither seccomp nor namespaces are allowed here")
    assert ways["tcp"] in ("EPERM", "EACCES", "ENETUNREACH")
    with pytest.raises(BlockingIOError):
        listener.accept()
