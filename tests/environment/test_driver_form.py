"""What a person writes into the page: a wish, or a line beside each field that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from environment.driver_form import OWN, Entry, Place, days_of, first_entry, read_form, with_departure_ahead

ATHENS = ZoneInfo("Europe/Athens")
PLACES = (Place("koropi", 37.9, 23.87), Place("koropi-works", 37.91, 23.88))
NOW = datetime(2026, 6, 8, 11, 0, tzinfo=UTC)  # 14:00 in Athens
END = datetime(2026, 6, 9, 9, 0, tzinfo=UTC)
GOOD = {"place": "koropi-works", "soc": "30", "wanted": "80", "departure": "18:30", "within": "8"}


def read(*, until: datetime = END, **changed: str) -> Entry:
    return read_form(GOOD | changed, PLACES, capacity_kwh=50.0, now=NOW, until=until, zone=ATHENS)


def test_a_good_form_is_a_wish() -> None:
    wish = read().wish
    assert wish is not None
    assert (wish.latitude_deg, wish.longitude_deg) == (37.91, 23.88)
    assert (wish.soc_percent, wish.wanted_percent, wish.within_km) == (30.0, 80.0, 8.0)
    assert wish.departure == datetime(2026, 6, 8, 15, 30, tzinfo=UTC)


def test_coordinates_may_be_one_s_own_with_a_comma() -> None:
    wish = read(place=OWN, latitude="37,95", longitude=" 23.9 ").wish
    assert wish is not None
    assert (wish.latitude_deg, wish.longitude_deg) == (37.95, 23.9)


def test_a_time_of_tomorrow_is_one_where_tomorrow_was_chosen() -> None:
    wish = read(departure="09:00", day="2026-06-09").wish
    assert wish is not None
    assert wish.departure == datetime(2026, 6, 9, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "field", "line"),
    [
        ({"place": "paris"}, "place", "Pick one of the list, or give coordinates."),
        ({"place": ""}, "place", "Pick one of the list, or give coordinates."),
        ({"place": OWN, "latitude": "north", "longitude": "23"}, "latitude", "Give -90 to 90°."),
        ({"place": OWN, "latitude": "37", "longitude": "230"}, "longitude", "Give -180 to 180°."),
        ({"soc": ""}, "soc", "Give 0 to 100 %."),
        ({"soc": "nan"}, "soc", "Give 0 to 100 %."),
        ({"soc": "-1"}, "soc", "Give 0 to 100 %."),
        ({"soc": "100"}, "soc", "Full: nothing to charge."),
        ({"wanted": "1e9"}, "wanted", "Give 0 to 100 %."),
        ({"wanted": "30"}, "wanted", "Give 32 % or more."),
        ({"within": "0"}, "within", "Give 0.1 to 100 km."),
        ({"departure": ""}, "departure", "Give a time, as 18:30."),
        ({"departure": "25:00"}, "departure", "Give a time, as 18:30."),
        ({"departure": "18:30+02:00"}, "departure", "Give a time, as 18:30."),
        ({"departure": "14:20"}, "departure", "Too soon: 45 min at least."),
        ({"departure": "13:00"}, "departure", "Has passed: it is 14:00 now."),
        ({"departure": "14:00"}, "departure", "Has passed: it is 14:00 now."),
        ({"day": "2026-06-07"}, "departure", "Has passed: it is 14:00 now."),
        ({"day": "2026-06-10"}, "day", "Pick today or tomorrow."),
        ({"day": "some"}, "day", "Pick today or tomorrow."),
        ({"departure": "13:00", "day": "2026-06-09"}, "departure", "The run ends Tue 12:00."),
    ],
)
def test_what_is_wrong_is_said_in_one_line_beside_its_field(changed: dict[str, str], field: str, line: str) -> None:
    entry = read(**changed)
    assert entry.wish is None
    assert entry.faults == {field: line}


def test_every_fault_is_told_at_once_and_what_was_written_is_kept() -> None:
    entry = read(soc="full", departure="late", place="paris")
    assert set(entry.faults) == {"place", "soc", "departure"}
    assert entry.values["soc"] == "full"
    assert entry.values["wanted"] == "80"


def test_a_form_without_a_field_is_told_so() -> None:
    entry = read_form({}, PLACES, capacity_kwh=50.0, now=NOW, until=END, zone=ATHENS)
    assert set(entry.faults) == {"place", "soc", "wanted", "departure", "within"}


def test_what_the_page_proposes_first_can_be_sent_as_it_is() -> None:
    first = first_entry(PLACES, NOW, ATHENS)
    assert read_form(first.values, PLACES, capacity_kwh=50.0, now=NOW, until=END, zone=ATHENS).faults == {}


def test_tomorrow_stays_the_day_that_was_chosen_when_midnight_has_passed() -> None:
    late = datetime(2026, 6, 8, 20, 50, tzinfo=UTC)  # 23:50 in Athens
    assert days_of(late, ATHENS) == (("2026-06-08", "today"), ("2026-06-09", "tomorrow"))
    form = GOOD | {"departure": "08:00", "day": "2026-06-09"}
    now = late + timedelta(minutes=20)
    entry = read_form(form, PLACES, capacity_kwh=50.0, now=now, until=END, zone=ATHENS)
    assert entry.wish is not None
    assert entry.wish.departure == datetime(2026, 6, 9, 5, 0, tzinfo=UTC)


def test_a_departure_that_is_no_longer_to_be_had_is_proposed_anew_and_the_rest_is_kept() -> None:
    entry = read(soc="22")
    assert with_departure_ahead(entry, PLACES, NOW, ATHENS) is entry
    later = with_departure_ahead(entry, PLACES, NOW + timedelta(hours=4), ATHENS)
    assert later.values == {**entry.values, "departure": "21:00", "day": "2026-06-08"}
    wrong = read(soc="full")
    assert with_departure_ahead(wrong, PLACES, NOW + timedelta(hours=4), ATHENS) is wrong


def test_the_clocks_change_and_a_departure_is_still_what_they_show() -> None:
    """In the night of 25 October 2026 clocks go back at 04:00 in Athens."""
    now = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
    entry = read_form(
        GOOD | {"departure": "08:00", "day": "2026-10-25"},
        PLACES,
        capacity_kwh=50.0,
        now=now,
        until=now + timedelta(days=2),
        zone=ATHENS,
    )
    assert entry.wish is not None
    assert entry.wish.departure.astimezone(UTC) == datetime(2026, 10, 25, 6, 0, tzinfo=UTC)


def test_a_place_is_called_as_people_write_it() -> None:
    assert Place("koropi-works", 0, 0).title == "Koropi works"
