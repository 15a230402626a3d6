"""What a person writes into the driver's page: read into a wish, or one clear line for each field that is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from agents.page_driver import DRIVES, Wish

OWN = "own"
"""The value of the place that is written in coordinates."""
SOONEST = DRIVES + timedelta(minutes=30)
MOST_KM = 100.0
LEAST_KWH = 1.0
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """A place that can be picked by its name."""

    name: str
    latitude_deg: float
    longitude_deg: float

    @property
    def title(self) -> str:
        """`koropi-works` as a heading: Koropi works."""
        words = self.name.replace("-", " ")
        return words[:1].upper() + words[1:]


@dataclass(frozen=True, slots=True)
class Entry:
    """The form as it was filled in (`values`, as text) and what is wrong with it (`faults`), by field; `wish`: what it
    says where nothing is wrong."""

    values: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict)
    wish: Wish | None = None


def first_entry(places: Sequence[Place], now: datetime, zone: tzinfo) -> Entry:
    """The form before anything is written: the first place, from 30 to 80 %, for three hours."""
    leaves = (now + timedelta(hours=3)).astimezone(zone)
    values = {
        "place": places[0].name if places else OWN,
        "latitude": "",
        "longitude": "",
        "soc": "30",
        "wanted": "80",
        "departure": f"{leaves:%H:%M}",
        "day": leaves.date().isoformat(),
        "within": "8",
    }
    return Entry(values)


def with_departure_ahead(entry: Entry, places: Sequence[Place], now: datetime, zone: tzinfo) -> Entry:
    """The same, but where it was read and its departure is no longer to be had meanwhile, one is proposed anew."""
    if entry.wish is None or entry.wish.departure - now >= SOONEST:
        return entry
    first = first_entry(places, now, zone).values
    return Entry({**entry.values, "departure": first["departure"], "day": first["day"]})


def days_of(now: datetime, zone: tzinfo) -> tuple[tuple[str, str], ...]:
    """The days on which one can leave, as the form sends them and as a person calls them."""
    today = now.astimezone(zone).date()
    return (today.isoformat(), "today"), ((today + _DAY).isoformat(), "tomorrow")


def read_form(
    form: Mapping[str, str],
    places: Sequence[Place],
    *,
    capacity_kwh: float,
    now: datetime,
    until: datetime,
    zone: tzinfo,
) -> Entry:
    """Reads the form. The departure is when clocks in `zone` show it on its day (today without one), before
    `until`. One that has passed is a fault: it does not mean tomorrow, unless that was chosen."""
    values = {name: form.get(name, "").strip() for name in first_entry(places, now, zone).values}
    faults: dict[str, str] = {}
    latitude, longitude = _place(values, places, faults)
    soc = _number(values, "soc", " %", 0, 100, faults)
    wanted = _number(values, "wanted", " %", 0, 100, faults)
    if soc is not None and wanted is not None and (wanted - soc) / 100 * capacity_kwh < LEAST_KWH:
        least = math.ceil(soc + 100 * LEAST_KWH / capacity_kwh)
        if least > 100:
            faults["soc"] = "Full: nothing to charge."
        else:
            faults["wanted"] = f"Give {least} % or more."
    within = _number(values, "within", " km", 0.1, MOST_KM, faults)
    departure = _departure(values, now, until, zone, faults)
    if faults:
        return Entry(values, faults)
    assert latitude is not None
    assert longitude is not None
    assert soc is not None
    assert wanted is not None
    assert within is not None
    assert departure is not None
    return Entry(values, wish=Wish(latitude, longitude, soc, wanted, departure, within))


def _place(
    values: Mapping[str, str], places: Sequence[Place], faults: dict[str, str]
) -> tuple[float | None, float | None]:
    if values["place"] == OWN:
        return (
            _number(values, "latitude", "°", -90, 90, faults),
            _number(values, "longitude", "°", -180, 180, faults),
        )
    for place in places:
        if place.name == values["place"]:
            return place.latitude_deg, place.longitude_deg
    faults["place"] = "Pick one of the list, or give coordinates."
    return None, None


def _number(
    values: Mapping[str, str], name: str, unit: str, least: float, most: float, faults: dict[str, str]
) -> float | None:
    """The number in a field, with a point or a comma; None and a fault where there is none within the bounds."""
    text = values[name]
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if least <= number <= most:
        return number
    faults[name] = f"Give {least:g} to {most:g}{unit}."
    return None


def _departure(
    values: Mapping[str, str], now: datetime, until: datetime, zone: tzinfo, faults: dict[str, str]
) -> datetime | None:
    text, local = values["departure"], now.astimezone(zone)
    try:
        clock = time.fromisoformat(text)
        if clock.tzinfo is not None:
            raise ValueError(text)
    except ValueError:
        faults["departure"] = "Give a time, as 18:30."
        return None
    try:
        day = date.fromisoformat(values["day"]) if values["day"] else local.date()
    except ValueError:
        day = date.max
    if day > local.date() + _DAY:
        faults["day"] = "Pick today or tomorrow."
        return None
    if day < local.date() or (leaves := datetime.combine(day, clock, zone).astimezone(UTC)) <= now:
        faults["departure"] = f"Has passed: it is {local:%H:%M} now."
        return None
    if leaves - now < SOONEST:
        faults["departure"] = f"Too soon: {SOONEST // timedelta(minutes=1)} min at least."
        return None
    if leaves > until:
        faults["departure"] = f"The run ends {until.astimezone(zone):%a %H:%M}."
        return None
    return leaves
