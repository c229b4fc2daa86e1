"""What the fields of a callback say."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.model import FaxArrival, Receipt, Verdict
from gateway.provider.faxto_callback import DOCUMENT_FIELDS, parse_form, parse_json, parse_text, read, text_of
from gateway.received import file_type


def receipt(**fields: str) -> Receipt:
    told = read({"fax_job_id": "7", **fields}, 5.0)
    assert isinstance(told, Receipt)
    assert (told.provider_ref, told.received_at) == (7, 5.0)
    return told


@pytest.mark.parametrize(
    ("fields", "verdict", "code"),
    [
        ({"status": "success", "msg_code": "ok"}, Verdict.SUCCESS, "ok"),
        ({"status": "Success", "msg_code": " OK "}, Verdict.SUCCESS, "ok"),
        ({"status": "failed", "msg_code": "busy"}, Verdict.FAILED, "busy"),
        ({"status": "failed", "msg_code": "unknown"}, Verdict.FAILED, "unknown"),
        # no code, or one not seen before
        ({"status": "success"}, Verdict.SUCCESS, "ok"),
        ({"status": "sent", "msg_code": "fine"}, Verdict.SUCCESS, "ok"),
        ({"status": "failed"}, Verdict.FAILED, "unknown"),
        ({"status": "failed", "message": "Fax Failed - Early Hangup"}, Verdict.FAILED, "hangup"),
        ({"status": "error", "msg_code": "line_quality", "message": "Line Busy"}, Verdict.FAILED, "busy"),
        # no status: the code, then the text
        ({"msg_code": "no_answer"}, Verdict.FAILED, "no_answer"),
        ({"msg_code": "ok", "status": " "}, Verdict.SUCCESS, "ok"),
        ({"message": "Success! Your fax has been sent!"}, Verdict.SUCCESS, "ok"),
        ({"message": "Fax Failed - Line Busy"}, Verdict.FAILED, "busy"),
        ({"message": "hm"}, Verdict.PROGRESS, ""),
        ({}, Verdict.PROGRESS, ""),
        # on its way
        ({"status": "executed"}, Verdict.PROGRESS, ""),
        ({"status": "sending", "msg_code": ""}, Verdict.PROGRESS, ""),
        ({"status": "queued", "msg_code": "whatever"}, Verdict.PROGRESS, ""),
        # status and code contradict each other: nothing is decided
        ({"status": "success", "msg_code": "busy"}, Verdict.PROGRESS, ""),
        ({"status": "failed", "msg_code": "ok"}, Verdict.PROGRESS, ""),
        ({"status": "executed", "msg_code": "ok"}, Verdict.PROGRESS, ""),
        ({"status": "executed", "msg_code": "busy"}, Verdict.PROGRESS, ""),
    ],
)
def test_a_receipt_says_what_became_of_a_fax(fields: dict[str, str], verdict: Verdict, code: str) -> None:
    told = receipt(**fields)
    assert (told.verdict, told.code) == (verdict, code)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"fax_job_id": "7", "uuid": "u", "file": ""}, Receipt),
        ({"uuid": "u"}, FaxArrival),
        ({"from": "1", "to": "2"}, FaxArrival),
        ({"file": ""}, FaxArrival),
        ({"document": "x"}, FaxArrival),
        ({"fax_job_id": "x", "uuid": "u"}, FaxArrival),
        ({"from": "1"}, type(None)),
        ({"to": "1"}, type(None)),
        ({"uuid": "", "from": "", "to": "1"}, type(None)),
        ({"fax_job_id": ""}, type(None)),
        ({"fax_job_id": "-7"}, type(None)),
        ({}, type(None)),
        ({"text": "x", "test": "1"}, type(None)),
    ],
)
def test_receipt_and_fax_are_told_apart_by_their_keys(fields: dict[str, str], kind: type) -> None:
    assert isinstance(read(fields, 0.0), kind)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+12025550100", "+12025550100"), (" 12025550100", "+12025550100"), ("12025550100", "12025550100"),
        ("anonymous", "anonymous"), ("", ""), ("  ", ""), (" x1", "x1"), ("+1\r\n2", "+1 2"), ("9" * 99, "9" * 63 + "…"),
    ],
)  # fmt: skip
def test_a_number_is_kept_as_it_is_told_but_for_a_lost_plus(text: str, number: str) -> None:
    told = read({"uuid": "u", "from": text, "to": text}, 0.0)
    assert isinstance(told, FaxArrival)
    assert told.sender == told.recipient == number


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"file": "https://fax.to/x"}, "https://fax.to/x"),
        ({"file": " HTTP://fax.to/x "}, "HTTP://fax.to/x"),
        ({"file": "", "pdf": "https://fax.to/x"}, "https://fax.to/x"),
        ({"file": "ftp://fax.to/x"}, ""),
        ({"file": "httpsomething"}, ""),
        ({"file": "https://" + "x" * 2000}, ""),
        ({"file": "%PDF-"}, ""),
        ({"other": "https://fax.to/x"}, ""),
    ],
)
def test_the_address_of_a_document(fields: dict[str, str], url: str) -> None:
    told = read({"uuid": "u", **fields}, 0.0)
    assert isinstance(told, FaxArrival)
    assert told.file_url == url


@given(
    st.dictionaries(
        st.sampled_from(["fax_job_id", "uuid", "from", "to", "file", "status", "msg_code", "message", "pages"]),
        st.text(),
    )
)
def test_no_fields_make_the_reading_fail(fields: dict[str, str]) -> None:
    told = read(fields, 0.0)
    if isinstance(told, FaxArrival):
        assert told.uuid.isprintable()
        assert told.sender.isprintable()


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"%PDF-1.4", "application/pdf"), (b"junk\n%PDF-1.4", "application/pdf"), (b"x" * 1020 + b"%PDF-", ""),
        (b"II*\0", "image/tiff"), (b"MM\0*", "image/tiff"), (b"II+\0", ""), (b"", ""), (b"\xff\xd8\xff", ""),
    ],
)  # fmt: skip
def test_a_document_is_known_by_its_first_bytes(start: bytes, kind: str) -> None:
    assert file_type(start) == kind


@given(st.binary(max_size=3000), st.sampled_from([parse_form, parse_json, parse_text]))
def test_no_body_makes_a_parser_fail_in_another_way(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, parser
) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.getbasetemp() / "body"
    path.write_bytes(body)
    documents = {name: Path(f"{path}.{name}") for name in DOCUMENT_FIELDS}
    try:
        found = parser(str(path))
    except Refused:
        assert not any(each.exists() for each in documents.values())
        return
    assert sorted(found["documents"]) == sorted(name for name, each in documents.items() if each.exists())
    for each in documents.values():
        each.unlink(missing_ok=True)
    assert all(isinstance(value, str) and len(value) <= 4000 for value in found["fields"].values())


@given(st.binary(max_size=200), st.sampled_from(["form", "text", "json"]))
def test_a_document_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, rest: bytes, how: str) -> None:
    data = b"%PDF-1.4\n" + rest
    text = base64.b64encode(data).decode()
    path = tmp_path_factory.getbasetemp() / "body"
    bodies = {
        "form": [quote(data), quote(text, safe=""), text.replace("=", "%3D")],
        "json": [json.dumps({"file": value}) for value in (text, data.decode("latin-1"))],
        "text": [text, "data:application/pdf;base64," + text, text.replace("+", " "), text.rstrip("=") + "\r\n"],
    }[how]
    for body in bodies:
        path.write_text(f"file={body}" if how == "form" else body, newline="")
        found = {"form": parse_form, "json": parse_json, "text": parse_text}[how](str(path))
        assert found == {"fields": {"file": ""}, "documents": ["file"]}
        assert Path(f"{path}.file").read_bytes() == data


@given(st.text(alphabet="%+/=2BF3Dbfd5 ", max_size=30))
def test_escapes_are_undone_once(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "body"
    path.write_text(f"a={text}")
    assert parse_form(str(path))["fields"] == {"a": text_of(unquote_to_bytes(text.replace("+", " ")))}


def test_escapes_are_undone_across_the_blocks(tmp_path: Path) -> None:
    data = b"%PDF-1.4\n" + b"\xff" * 400_000
    for lead in range(4):
        path = tmp_path / "body"
        path.write_bytes(b"file=" + b"%PDF-1.4\n" + b"+" * lead + b"%FF" * 400_000)
        assert parse_form(str(path))["documents"]
        assert Path(f"{path}.file").read_bytes() == data[:9] + b" " * lead + data[9:]


def test_base64_is_undone_across_the_blocks(tmp_path: Path) -> None:
    data = b"%PDF-1.4\n" + bytes(range(256)) * 20_000
    path = tmp_path / "body"
    for lines in (base64.encodebytes(data), base64.b64encode(data), b"\n" * 70 + base64.b64encode(data) + b"  "):
        path.write_bytes(lines)
        assert parse_text(str(path))["documents"]
        assert Path(f"{path}.file").read_bytes() == data
    path.write_bytes(base64.b64encode(data)[:-5] + b"!")  # the first blocks were fine
    assert not parse_text(str(path))["documents"]
    assert not Path(f"{path}.file").exists()


def test_of_a_field_that_stands_there_twice_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_text("status=failed&fax_job_id=7&status=success")
    assert parse_form(str(path))["fields"] == {"status": "success", "fax_job_id": "7"}
