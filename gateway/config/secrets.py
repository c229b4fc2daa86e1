"""Secrets: named in the configuration, read from elsewhere, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

_SOURCES = ("env", "file", "credential")


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that no repr, log line or traceback shows. ``source`` says where it comes from: ``{"env": "X"}``."""

    value: str = field(default="", repr=False)
    source: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What values are read in the light of: ``file`` is the configuration itself; ``warnings`` are collected, and the
    addresses where the gateway is ``listening``.

    Without ``secrets`` they stay unread and empty, for somebody who may not read them and does not need them.
    """

    file: Path
    environ: Mapping[str, str]
    secrets: bool = True
    warnings: list[str] = field(default_factory=list)
    listening: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """What relative paths start from."""
        return self.file.absolute().parent

    def path(self, written: str) -> Path:
        """A path as it is written in the file. Raises ValueError for a home directory that is not known."""
        try:
            return self.directory / Path(written).expanduser()
        except RuntimeError:
            raise ValueError(f"{written}: there is no such home directory; write the whole path") from None


def surroundings(info: ValidationInfo) -> Surroundings:
    """The surroundings of this validation; every model is read through the loader, which gives them."""
    assert isinstance(info.context, Surroundings), "read configurations with gateway.config.load"
    return info.context


def _read(value: Any, info: ValidationInfo) -> Secret | None:
    """Fetch the secret. Raises ValueError with the remedy; a value never stands in the text."""
    if value is None:
        return None
    around = surroundings(info)
    if isinstance(value, Secret):  # a default
        value = dict(value.source)
    if isinstance(value, str):
        if not value:
            raise ValueError("is empty")
        if is_open(around.file):
            around.warnings.append(f"{around.file} holds a secret and others can read it: {_closing(around.file)}")
        return _checked(value, {})
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in _SOURCES:
        raise ValueError("must be a text or one of {env: NAME}, {file: PATH}, {credential: NAME}")
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name:
        raise ValueError(f"{kind} needs a name")
    if not around.secrets:
        return Secret("", {kind: name})
    if kind == "env":
        return _from_environment(name, around)
    if kind == "file":
        return _from_file(name, around, made_up=info.field_name == "token")
    return _from_credential(name, around)


def _from_environment(name: str, around: Surroundings) -> Secret:
    value = around.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise ValueError(f"the environment variable {name} {state}; set it, or use {{file: PATH}}")
    return _checked(value, {"env": name})


def _from_file(name: str, around: Surroundings, *, made_up: bool) -> Secret:
    path = around.path(name)
    try:
        value = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        remedy = f"create it with: (umask 077; openssl rand -hex 24 > {path})" if made_up else "put the secret into it"
        if isinstance(error, PermissionError):
            remedy = "let the gateway's user read it"
        raise ValueError(f"the file {path} cannot be read ({why}); {remedy}") from None
    if is_open(path):
        around.warnings.append(f"others can read the secret in {path}: {_closing(path)}")
    return _checked(value.rstrip("\r\n"), {"file": name})


def _from_credential(name: str, around: Surroundings) -> Secret:
    directory = around.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError(
            f"the credential {name} is missing: there is no $CREDENTIALS_DIRECTORY; start under systemd with"
            f" LoadCredential={name}:/path/to/file"
        )
    if "/" in name:
        raise ValueError("the name of a credential has no slash")
    try:
        value = (Path(directory) / name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(
            f"the credential {name} cannot be read ({why}); add LoadCredential={name}:/path/to/file to the unit"
        ) from None
    return _checked(value.rstrip("\r\n"), {"credential": name})


def _checked(value: str, source: Mapping[str, str]) -> Secret:
    if not value:
        raise ValueError(f"the {next(iter(source), 'text')} {next(iter(source.values()), '')} is empty")
    if not value.isprintable() or value != value.strip():
        raise ValueError("a secret is one line, without blanks before or behind it")
    return Secret(value, source)


def is_open(path: Path, *, to_group: bool = True) -> bool:
    """Whether others can read a file; a group does no harm to which root has given it, as to the daemon's own."""
    try:
        found = path.stat()
    except OSError:
        return False
    return bool(found.st_mode & (0o044 if to_group and found.st_uid else 0o004))


def _closing(path: Path) -> str:
    """The remedy for a file that is open; of somebody else's the mode alone would shut this user out too."""
    to_us = "let the gateway's user own it, and " if path.stat().st_uid != os.geteuid() else ""
    return f"{to_us}chmod 600 {path}"


def _show(secret: Secret | None) -> Any:
    if secret is None:
        return None
    return dict(secret.source) or "***"


_SCHEMA = {
    "oneOf": [
        {"type": "string", "minLength": 1},
        *(
            {
                "type": "object",
                "properties": {kind: {"type": "string"}},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind in _SOURCES
        ),
    ]
}

SecretOption = Annotated[Secret, BeforeValidator(_read), PlainSerializer(_show), WithJsonSchema(_SCHEMA)]
OptionalSecret = Annotated[
    Secret | None,
    BeforeValidator(_read),
    PlainSerializer(_show),
    WithJsonSchema({"anyOf": [*_SCHEMA["oneOf"], {"type": "null"}]}),
]
