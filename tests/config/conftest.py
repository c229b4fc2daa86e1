"""A directory with a configuration file, its token file and its environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import Config, load
from gateway.errors import ConfigError

ENVIRON = {"FAXTO_API_KEY": "key-of-the-account"}
TOKEN = "0123456789abcdef0123456789abcdef"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write ``config.yaml`` beside a token file; returns its path."""
    token = tmp_path / "callback-token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)

    def write_config(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write_config


@pytest.fixture
def read(write: Write) -> Callable[[str], Config]:
    """Load a configuration from its text."""
    return lambda text: load(write(text), ENVIRON)


@pytest.fixture
def problems(write: Write) -> Callable[..., list[str]]:
    """The problems of a configuration, without the file's path: ``LINE:COLUMN: OPTION: sentence``."""

    def find(text: str, environ: dict[str, str] | None = None) -> list[str]:
        path = write(text)
        with pytest.raises(ConfigError) as caught:
            load(path, ENVIRON if environ is None else environ)
        assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
        assert str(len(caught.value.problems)) in caught.value.public or "a problem" in caught.value.public
        return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]

    return find
