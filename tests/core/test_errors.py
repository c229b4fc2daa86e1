"""The error tree: what strangers read, what the log reads, which mail status each kind has."""

from __future__ import annotations

import re

import pytest

from gateway.errors import (
    ConfigError,
    GatewayError,
    KeyRefused,
    NoSpace,
    NotFound,
    OutcomeUnknown,
    Refused,
    TryLater,
)

KINDS = [GatewayError, Refused, NotFound, TryLater, KeyRefused, NoSpace, OutcomeUnknown]


@pytest.mark.parametrize("kind", KINDS)
def test_public_and_detail(kind: type[GatewayError]) -> None:
    assert str(kind("for all")) == "for all"
    error = kind("for all", "for the log")
    assert (error.public, error.detail) == ("for all", "for the log")
    assert str(error) == "for all (for the log)"
    assert error.args == ("for all",), "a traceback shows the detail, a bare message does not"


@pytest.mark.parametrize("kind", KINDS)
def test_status_is_an_enhanced_mail_status(kind: type[GatewayError]) -> None:
    assert re.fullmatch(r"[45]\.[0-7]\.[0-9]", kind("x").status)
    assert kind("x", status="5.1.3").status == "5.1.3"


def test_permanent_and_temporary_never_mix() -> None:
    for kind in KINDS:
        assert not issubclass(kind, Refused) or kind.default_status.startswith("5.")
        assert not issubclass(kind, TryLater) or kind.default_status.startswith("4.")
        assert not (issubclass(kind, Refused) and issubclass(kind, TryLater))
    assert not issubclass(OutcomeUnknown, (Refused, TryLater)), "it is neither yes nor no"


def test_try_later_may_name_the_wait() -> None:
    assert TryLater("busy").after is None
    assert TryLater("busy", after=30.0).after == 30.0
    assert issubclass(KeyRefused, TryLater)
    assert issubclass(NoSpace, TryLater)


def test_config_error_holds_all_problems() -> None:
    error = ConfigError("two problems", ("one", "two"))
    assert error.problems == ("one", "two")
    assert str(error) == "two problems (one; two)"
    assert ConfigError("no file").problems == ("no file",)
