"""Every setting of a service is an option, with the same default: what an administrator writes arrives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.config import Config, load
from gateway.service.inbound import InboundSettings
from gateway.service.outbound import OutboundSettings
from gateway.service.postman import PostmanSettings

OTHER = """
domain: other.local
default_region: DE
smtp:
  max_message: 1MB
  repeat_window: 7m
  max_delay: 2d
  small_mail: 1KB
  max_hops: 17
  max_login_failures: 3
  max_login_failures_per_user: 4
  login_window: 5m
  front: {authserv_id: mx.other.local, networks: [10.0.0.0/8]}
http: {callbacks: {token: 0123456789abcdef0123456789abcdef}}
provider:
  api_key: k
  concurrency: 7
  sole_user: true
  confirm_receipts: false
  confirm_after: [2s]
  confirm_timeout: 2m
  poll_after: [3s, 4s]
  result_timeout: 5h
  doubt: {poll_after: [6s], min_polls: 7, min_time: 8s, give_up_after: 9s, resend: 0}
  redial: {busy: 1, no_answer: 2, hangup: 3, unknown: 4, after: 10s}
  inbox: {sweep_every: 11s, grace: 12s, window: 13s, give_up_after: 14s, first_run: deliver}
  retry_after: 15s
  retry_max: 16s
  delay_notice_after: 17s
  expire_after: 18s
mail: {retry_after: 19s, retry_max: 20s, expire_after: 21s, concurrency: 8, notify_success: false, pictures: false}
policy:
  countries: [DE]
  numbers: ["+8835100"]
  classes: [premium]
  test_numbers: allow
  senders: routed
  caps: {user: [day:faxes=5]}
  price_unknown: 0.50
  anomaly: {watch: all, faxes: 6, factor: 7, new_numbers: 8}
document: {paper: a4, resolution: standard, max_pages: 9, body: always, workers: 4, timeout: 22s, tries: 4, cover: auto, cover_template: modern, cover_templates: covers, cover_from: {company: Us}}
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr("gateway.document.engine.missing", lambda: "")  # wherever it runs
    path = tmp_path / "config.yaml"
    path.write_text(OTHER)
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "ours.cover").write_text("<page/>")
    return load(path)


@pytest.fixture
def defaults(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text("http: {callbacks: {token: 0123456789abcdef0123456789abcdef}}\nprovider: {api_key: k}\n")
    return load(path)


def unchanged(value: Any, path: str) -> Iterator[str]:
    """Fields that have their default still."""
    for field in fields(value):
        now, where = getattr(value, field.name), f"{path}.{field.name}"
        if is_dataclass(now):
            yield from unchanged(now, where)
            continue
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if now == default:
            yield where


@pytest.mark.parametrize("room", ["outbound", "inbound", "postman", "accept"])
def test_no_setting_is_out_of_the_administrators_reach(other: Config, room: str) -> None:
    assert list(unchanged(getattr(settings, room)(other), room)) == []


@pytest.mark.parametrize(
    ("room", "plain"),
    [("outbound", OutboundSettings()), ("inbound", InboundSettings()), ("postman", PostmanSettings())],
)
def test_the_defaults_of_options_are_those_of_the_settings(defaults: Config, room: str, plain: Any) -> None:
    shown = getattr(settings, room)(defaults)
    for path in set(unchanged(plain, room)) - set(unchanged(shown, room)):
        # what has no scalar default of its own: the options of documents, and no redial at all
        assert path.rpartition(".")[2] in ("document", "redial", "caps", "trim", "office", "html", "cover_facts"), path


def test_values_arrive_as_they_were_written(other: Config) -> None:
    outbound, inbound = settings.outbound(other), settings.inbound(other)
    assert outbound.settle.confirm_after == (2.0,)
    assert settings.postman(other).delay_after == settings.inbound(other).delay_after == 17.0
    assert (outbound.delay_after, outbound.settle.expire_after, outbound.prepare.tries) == (17.0, 18.0, 4)
    assert (inbound.give_up_after, inbound.sweep.window, inbound.sweep.baseline) == (14.0, 13.0, False)
    assert outbound.settle.redial == {"busy": 1, "no_answer": 2, "hangup": 3, "unknown": 4}
    assert settings.accept(other).repeat_window == 420.0
    assert settings.accept(other).max_delay == 2 * 86400.0
