"""What all sections of the configuration have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

Problems = Sequence[tuple[tuple[str | int, ...], str]]


def complain(problems: Problems) -> None:
    """Raise what the loader turns into one problem for each (place below this option, sentence)."""
    if problems:
        text = "; ".join(sentence for _place, sentence in problems)
        raise PydanticCustomError("problems", "{text}", {"text": text, "problems": tuple(problems)})


def section() -> Any:
    """An absent section has all its defaults."""
    return Field(default_factory=dict, validate_default=True)


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # one build of the whole when it is first read, for a quick start of the command line
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        """A section whose lines are all commented out."""
        return {} if data is None else data
