"""Where numbers can be had: countries, states, area codes and groups of numbers, a small selection of each.

Fax.to API, catalogue. ``a2_code`` really holds three letters, ``id`` of a state is a string and ``state_id`` an integer.
"""

from __future__ import annotations

from typing import Any

COUNTRIES: tuple[tuple[str, str, int], ...] = (
    ("CANADA", "CAN", 1),
    ("FRANCE", "FRA", 33),
    ("GERMANY", "DEU", 49),
    ("UNITED KINGDOM", "GBR", 44),
    ("UNITED STATES", "USA", 1),
)

# country -> state id, name, code, area codes
_STATES: dict[str, tuple[tuple[int, str, str, tuple[str, ...]], ...]] = {
    "USA": (
        (1, "Alabama", "AL", ("205", "251")),
        (5, "California", "CA", ("213", "415")),
        (32, "New York", "NY", ("212", "718")),
    ),
    "CAN": ((61, "Manitoba", "MB", ("204",)), (62, "Newfoundland and Labrador", "NL", ("709",))),
}

# group id, country, state id (0: none), area code, city
_GROUPS: tuple[tuple[int, str, int, str, str], ...] = (
    (67, "CAN", 61, "204", "WINNIPEG"),
    (5598, "CAN", 62, "709", "ST. JOHN'S"),
    (101, "USA", 1, "205", "BIRMINGHAM"),
    (102, "USA", 5, "415", "SAN FRANCISCO"),
    (103, "USA", 32, "212", "NEW YORK CITY"),
    (201, "GBR", 0, "20", "LONDON"),
    (301, "DEU", 0, "30", "BERLIN"),
    (401, "FRA", 0, "1", "PARIS"),
)


def countries() -> list[dict[str, Any]]:
    """``data`` of ``GET /countries``."""
    return [{"country": name, "slug": name.replace(" ", "-"), "a2_code": code, "dial_code": dial}
            for name, code, dial in COUNTRIES]  # fmt: skip


def country_name(code: str) -> str | None:
    """The name of a country by its three letters; None for one that is not covered."""
    return next((name for name, known, _ in COUNTRIES if known == code), None)


def states(country: str) -> list[dict[str, str]]:
    """``states`` of ``GET /states/{country}``."""
    return [{"id": str(number), "name": name, "code": code}
            for number, name, code, _ in _STATES.get(country, ())]  # fmt: skip


def area_codes(country: str, state: str) -> list[dict[str, Any]]:
    """``areacodes`` of ``GET /areacodes/{country}/{state}``."""
    return [{"country_code": country, "state_id": number, "area_code": area}
            for number, _, _, areas in _STATES.get(country, ()) if str(number) == state
            for area in areas]  # fmt: skip


def did_groups(country: str, ids: str = "", state: str = "", city: str = "", area: str = "") -> list[dict[str, Any]]:
    """``data`` of ``GET /countries/{country}/didgroups``; ``ids`` is a comma list, ``city`` a prefix ending in ``%``."""
    wanted = {part.strip() for part in ids.split(",") if part.strip()}
    prefix = city.rstrip("%").upper()
    return [{"did_group_id": group, "area_code": code, "city_name": name}
            for group, land, region, code, name in _GROUPS
            if land == country and (not wanted or str(group) in wanted) and (not state or str(region) == state)
            and name.startswith(prefix) and (not area or code == area)]  # fmt: skip


def group(number: int) -> dict[str, Any] | None:
    """One group of numbers with its country, None when there is none of this id."""
    for identifier, land, _, area, city in _GROUPS:
        if identifier == number:
            dial = next(dial for _, code, dial in COUNTRIES if code == land)
            return {"did_group_id": number, "country_code": land, "area_code": area, "city_name": city, "dial": dial}
    return None
