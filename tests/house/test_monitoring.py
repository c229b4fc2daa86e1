"""What an administrator can watch is written down, and what is written down is there."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from gateway import telemetry

MANUAL = Path(__file__).parents[2] / "docs" / "monitoring.md"


def test_every_metric_is_in_the_manual_with_its_labels_and_no_other() -> None:
    scraped = telemetry.render_metrics().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scraped, re.M))
    there = {name for name in kinds if not name.endswith("_created")}
    rows = re.findall(r"^\| `(faxgateway_\w+)` \|([^|]*)\|", MANUAL.read_text(encoding="utf-8"), re.M)
    assert {name for name, _ in rows} == there
    metrics = [each for each in vars(telemetry).values() if isinstance(each, MetricWrapperBase)]
    labels = {metric._name: list(metric._labelnames) for metric in metrics}
    for name, told in rows:
        assert re.findall(r"`(\w+)`", told) == labels[name.removesuffix("_total")], name


def test_a_state_in_which_no_fax_is_shows_as_0() -> None:
    """The alarm on faxes that wait for an hour takes the least of what was scraped: minutes without a series do not count."""
    telemetry.queue_sizes({"uploaded": 2, "held": 0}, {})
    telemetry.queue_sizes({"prepared": 1, "held": 3}, {})
    shown = dict(re.findall(r'^faxgateway_jobs\{state="(\w+)"\} (\S+)$', telemetry.render_metrics().decode(), re.M))
    assert shown == {
        "accepted": "0.0", "prepared": "1.0", "uploaded": "0.0", "submitting": "0.0", "in_doubt": "0.0",
        "submitted": "0.0", "held": "3.0",
    }  # fmt: skip
