"""Which cover page a fax gets: what its sender asks for, what the configuration says, which there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import Refused

SUFFIX = ".cover"
SHIPPED = Path(__file__).parent / "covers"
NONE, ON_REQUEST, AUTO, ENFORCED = MODES = ("none", "on-request", "auto", "enforced")
_STATUS = "5.6.0"  # as for every option of a mail


def shipped() -> list[str]:
    """Names of the templates that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


@dataclass(frozen=True, slots=True)
class CoverChoice:
    """``mode``: none (there are no cover pages), on-request, auto (unless the sender says no), enforced.

    ``template`` is the one where none is named, ``names`` all there are.
    """

    mode: str = ON_REQUEST
    template: str = "classic"
    names: tuple[str, ...] = field(default_factory=lambda: tuple(shipped()))

    def __call__(self, asked: str) -> str:
        """The name of the cover page, "" for none; ``asked``: a name or the beginning of one, a mode, "" for no word.

        Raises Refused for a name that there is not, and for any where there are no cover pages.
        """
        if asked in ("", NONE, ON_REQUEST):
            wanted = self.mode == ENFORCED or (self.mode == AUTO and not asked)
            return self.template if wanted else ""
        if self.mode == NONE:
            raise Refused("cover pages are not used here; send it without asking for one", status=_STATUS)
        if asked in (AUTO, ENFORCED):
            return self.template
        alike = [asked] if asked in self.names else [name for name in self.names if name.startswith(asked)]
        if len(alike) != 1:
            there_are = f"there are {', '.join(self.names)}, or say cover=none"
            raise Refused(f"there is no cover page {asked}; {there_are}", status=_STATUS)
        return alike[0]
