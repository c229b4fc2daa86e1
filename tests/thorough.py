"""How often a test tries what chance decides: enough for every day, or as often as FAXGATEWAY_THOROUGH=1 asks for."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("FAXGATEWAY_THOROUGH") == "1"


def times(daily: int, thorough: int) -> int:
    """``daily``, or ``thorough`` where the surroundings ask for it."""
    return thorough if THOROUGH else daily
