"""The DSO's signals in the JSON of EV4EU's platform: what is written is what its database takes, and is read back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from environment.ov2xmp import UNSTATED, Signal, read_file, read_signals, signals_of
from environment.ov2xmp_form import LIMIT, TARIFF, SignalError
from protocols import exchanges as x

EVENT = "0b8a3ad0-6f0e-4c56-9d6e-52a2b5d3f5c1"
NOON = datetime(2026, 6, 9, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def station(station_id: str, location: str, north: float, east: float) -> x.Station:
    return x.Station(
        station_id=station_id,
        location=location,
        latitude_deg=north,
        longitude_deg=east,
        connection_kw=300.0,
        chargers=5,
    )


STATIONS = (
    station("koropi-east", "Bus 4", 37.8985, 23.88124),
    station("koropi-west", "Bus 4", 37.9, 23.87),
    station("markopoulo", "Bus 8", 37.88, -123.9312345),
)


def cheaper(**changed: Any) -> x.NetworkPriceReduction:
    values: dict[str, Any] = {
        "reduction_id": EVENT,
        "timestamp": NOON,
        "locations": ("Bus 4", "Bus 8"),
        "reduction_eur_per_kwh": Decimal("0.060000"),
        "start": NOON + 2 * HOUR,
        "end": NOON + 4 * HOUR,
    }
    return x.NetworkPriceReduction(**values | changed)


def limit(**changed: Any) -> x.CapacityLimit:
    values: dict[str, Any] = {
        "activation_id": EVENT,
        "contract_id": UNSTATED,
        "timestamp": NOON + 2 * HOUR,
        "station_id": "koropi-west",
        "limit_kw": 120.0,
        "start": NOON + DAY + 5 * HOUR,
        "end": NOON + DAY + 10 * HOUR,
    }
    return x.CapacityLimit(**values | changed)


def read(*objects: Any) -> list[Signal]:
    return read_signals(json.dumps(list(objects)), STATIONS)


def faults(text: str) -> list[str]:
    with pytest.raises(SignalError) as refused:
        read_signals(text, STATIONS)
    return str(refused.value).splitlines()


# ---- writing -------------------------------------------------------------------------------------------------------


def test_a_price_reduction_is_an_object_for_each_bus_with_stations() -> None:
    first, second = signals_of(cheaper(locations=("Bus 4", "Bus 5", "Bus 8")), STATIONS)
    assert first == {
        "id": first["id"],
        "uuId": EVENT,
        "uuName": "event_DUoSTarrif",
        "event_timestamp": 1_780_995_600,
        "locationCoords": ["37.89925", "23.87562"],
        "locationName": "Bus 4",
        "transformerID": "Bus 4",
        "duration": 7200,
        "period": [{"timeslot_start": 1_781_002_800, "timeslot_end": 1_781_010_000, "value": 0.06}],
    }
    assert (second["transformerID"], second["locationCoords"]) == ("Bus 8", ["37.88000", "-123.93123"])
    assert second["uuId"] == EVENT
    assert second["id"] != first["id"]


def test_a_limit_is_an_object_that_names_the_station_and_its_bus() -> None:
    (found,) = signals_of(limit(), STATIONS)
    assert (found["uuName"], found["locationName"], found["transformerID"]) == (
        "event_CapacityLimit",
        "koropi-west",
        "Bus 4",
    )
    assert found["locationCoords"] == ["37.90000", "23.87000"]
    assert found["period"][0]["value"] == 120.0
    assert found["duration"] == 5 * 3600


def test_what_has_no_uuid_gets_one_that_is_always_the_same() -> None:
    names = ["hedno-cheaper-1", "hedno-cheaper-2", "hedno-cheaper-1"]
    uuids = [signals_of(cheaper(reduction_id=name), STATIONS)[0]["uuId"] for name in names]
    assert uuids[0] == uuids[2] != uuids[1]
    assert str(UUID(uuids[0])) == uuids[0]
    of_limit = signals_of(limit(activation_id="hedno-cheaper-1"), STATIONS)[0]["uuId"]
    assert of_limit != uuids[0]


@pytest.mark.parametrize("content", [cheaper(), limit(), limit(station_id="markopoulo", limit_kw=0.0)])
def test_what_is_written_is_what_the_platform_s_database_takes(content: Signal) -> None:
    """Its model: integers of 32 bits, coordinates of at most 10 characters, a name of at most 30."""
    for found in json.loads(json.dumps(signals_of(content, STATIONS))):
        assert list(found) == [
            "id",
            "uuId",
            "uuName",
            "event_timestamp",
            "locationCoords",
            "locationName",
            "transformerID",
            "duration",
            "period",
        ]
        assert found["uuName"] in (TARIFF, LIMIT)
        slots = [slot[name] for slot in found["period"] for name in ("timeslot_start", "timeslot_end")]
        for number in (found["id"], found["event_timestamp"], found["duration"], *slots):
            assert isinstance(number, int)
            assert 0 <= number < 2**31
        assert all(isinstance(text, str) and 0 < len(text) <= 10 for text in found["locationCoords"])
        assert len(found["locationName"]) <= 30
        assert len(found["transformerID"]) <= 255
        assert all(isinstance(slot["value"], float) for slot in found["period"])


def test_what_the_form_has_no_room_for_is_not_written() -> None:
    long = (station("s" * 31, "Bus 4", 37.9, 23.9),)
    with pytest.raises(SignalError, match=f"^{EVENT}: locationName has room for 30 characters, 's+' has 31$"):
        signals_of(limit(station_id="s" * 31), long)
    with pytest.raises(SignalError, match="there is no station 'hub9'"):
        signals_of(limit(station_id="hub9"), STATIONS)
    assert signals_of(cheaper(locations=("Bus 5",)), STATIONS) == []


# ---- there and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        cheaper(),
        cheaper(locations=("Bus 8",), reduction_eur_per_kwh=Decimal("0.000001")),
        cheaper(reduction_eur_per_kwh=Decimal("1.234567")),
        limit(),
        limit(limit_kw=119.3),
        limit(station_id="markopoulo", limit_kw=0.0),
    ],
)
def test_what_was_written_is_read_as_what_it_was(content: Signal) -> None:
    assert read(*signals_of(content, STATIONS)) == [content]
    if len(signals_of(content, STATIONS)) == 1:
        assert read_signals(json.dumps(signals_of(content, STATIONS)[0]), STATIONS) == [content]


def test_what_was_read_is_written_as_what_it_was() -> None:
    objects = [*signals_of(cheaper(), STATIONS), *signals_of(limit(activation_id=EVENT.replace("0", "1")), STATIONS)]
    again = [found for content in read(*objects) for found in signals_of(content, STATIONS)]
    assert again == objects


def test_an_id_of_ours_becomes_that_of_the_event_and_all_else_stays() -> None:
    (found,) = read(*signals_of(limit(activation_id="c-1-2026-06-10", contract_id="c-1"), STATIONS))
    assert isinstance(found, x.CapacityLimit)
    assert str(UUID(found.activation_id)) == found.activation_id
    assert found.model_copy(update={"activation_id": EVENT}) == limit()


def test_many_signals_come_back_by_the_time_of_the_event() -> None:
    late = cheaper(reduction_id="late", timestamp=NOON + HOUR)
    objects = [found for content in (limit(), late, cheaper()) for found in signals_of(content, STATIONS)]
    assert [type(found) for found in read(*objects)] == [
        x.NetworkPriceReduction,
        x.NetworkPriceReduction,
        x.CapacityLimit,
    ]
    assert [found.timestamp for found in read(*objects)] == [NOON, NOON + HOUR, NOON + 2 * HOUR]


# ---- what others write ---------------------------------------------------------------------------------------------

START = 1_781_002_800


def one(**changed: Any) -> dict[str, Any]:
    """A signal as the platform's own users might write it."""
    values: dict[str, Any] = {
        "id": 7,
        "uuId": EVENT,
        "uuName": LIMIT,
        "event_timestamp": START - 3600,
        "locationCoords": ["37.9", "23.9"],
        "locationName": "koropi-east",
        "transformerID": "Bus 4",
        "duration": 3600,
        "period": slots(120, 120, 120, 120),
    }
    return {name: value for name, value in (values | changed).items() if value is not ...}


def slots(*values: Any, start: int = START, length: int = 900) -> list[dict[str, Any]]:
    return [
        {"timeslot_start": start + n * length, "timeslot_end": start + (n + 1) * length, "value": value}
        for n, value in enumerate(values)
    ]


def test_slots_of_one_value_that_touch_are_one_limit() -> None:
    (found,) = read(one())
    assert isinstance(found, x.CapacityLimit)
    assert (found.activation_id, found.limit_kw, found.end - found.start) == (EVENT, 120.0, HOUR)


def test_other_values_are_other_limits_with_numbers() -> None:
    found = read(one(period=slots(120, 120, 90, 120)))
    assert [(c.activation_id, c.limit_kw) for c in found if isinstance(c, x.CapacityLimit)] == [
        (f"{EVENT}/1", 120.0),
        (f"{EVENT}/2", 90.0),
        (f"{EVENT}/3", 120.0),
    ]


def test_a_tariff_of_which_nothing_is_taken_off_says_nothing() -> None:
    (found,) = read(one(uuName=TARIFF, period=slots(0, 0.05, 0.05, 0)))
    assert isinstance(found, x.NetworkPriceReduction)
    assert found.start == datetime.fromtimestamp(START + 900, UTC)
    assert found.end == datetime.fromtimestamp(START + 2700, UTC)
    assert found.reduction_eur_per_kwh == Decimal("0.05")


def test_one_event_that_lowers_prices_differently_is_several_reductions() -> None:
    first = one(uuName=TARIFF, period=slots(0.05), duration=900)
    second = one(id=8, uuName=TARIFF, transformerID="Bus 8", period=slots(0.07), duration=900)
    found = read(first, second)
    assert [(c.reduction_id, c.locations) for c in found if isinstance(c, x.NetworkPriceReduction)] == [
        (f"{EVENT}/1", ("Bus 4",)),
        (f"{EVENT}/2", ("Bus 8",)),
    ]


@pytest.mark.parametrize("name", [LIMIT, TARIFF])
def test_what_is_over_when_the_run_begins_is_refused_and_what_is_not_is_read(name: str) -> None:
    text = json.dumps([one(id=1, uuName=name, period=slots(0.1), duration=900), one(id=2, uuName=name)])
    text = text.replace("120", "0.1")
    end = datetime.fromtimestamp(START + 900, UTC)
    with pytest.raises(SignalError) as refused:
        read_signals(text, STATIONS, end)
    assert str(refused.value) == (
        "signal 1: period: is over at 2026-06-09 11:15 UTC, and the run begins at 2026-06-09 11:15 UTC"
    )
    assert read_signals(text, STATIONS, end - timedelta(minutes=15)) == read_signals(text, STATIONS)


def test_the_name_of_a_tariff_s_place_may_be_any() -> None:
    assert read(one(uuName=TARIFF, locationName="Koropi", period=slots(0.1), duration=900))


def test_sync_is_the_platform_s_own_affair() -> None:
    assert read(one(sync=False)) == read(one())


def test_an_empty_list_says_nothing() -> None:
    assert read() == []


# ---- what is wrong with a text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"id": True}, "id: is true, not a whole number from 0 to 2147483647"),
        ({"id": 2**31}, "id: is 2147483648, not a whole number from 0 to 2147483647"),
        ({"id": ...}, "id: is missing"),
        ({"uuId": "7"}, 'uuId: is "7", not a UUID'),
        ({"uuId": 7}, "uuId: is 7, not a UUID"),
        ({"uuName": "event_Limit"}, 'uuName: is "event_Limit", not event_DUoSTarrif or event_CapacityLimit'),
        (
            {"event_timestamp": 1_781_002_800_000},
            "event_timestamp: is 1781002800000, not whole seconds since 1970, from the year 2000 to 2038",
        ),
        (
            {"event_timestamp": "2026-06-09"},
            'event_timestamp: is "2026-06-09", not whole seconds since 1970, from the year 2000 to 2038',
        ),
        ({"locationCoords": "37.9,23.9"}, 'locationCoords: is "37.9,23.9", not degrees north and east'),
        ({"locationCoords": ["23.9"]}, 'locationCoords: is ["23.9"], not degrees north and east'),
        ({"locationCoords": ["91", "23"]}, 'locationCoords: is ["91", "23"], not degrees north and east'),
        ({"locationCoords": ["nan", "23"]}, 'locationCoords: is ["nan", "23"], not degrees north and east'),
        ({"locationCoords": ["north", "23"]}, 'locationCoords: is ["north", "23"], not degrees north and east'),
        ({"locationName": " "}, 'locationName: is " ", not a name'),
        ({"locationName": "koropi\neast"}, 'locationName: is "koropi\\neast", not a name'),
        ({"locationName": "k" * 31}, "locationName: has 31 characters, more than 30"),
        (
            {"locationName": "koropi"},
            'locationName: "koropi" is no station; there are koropi-east, koropi-west, markopoulo',
        ),
        (
            {"locationName": "koropi", "transformerID": "Bus 8"},
            'locationName: "koropi" is no station; there are koropi-east, koropi-west, markopoulo',
        ),
        ({"transformerID": "Bus 44"}, 'transformerID: no station is at "Bus 44"; they are at Bus 4, Bus 8'),
        ({"transformerID": "Bus 8"}, 'transformerID: is "Bus 8", and koropi-east is at Bus 4'),
        ({"transformerID": 4}, "transformerID: is 4, not a name"),
        ({"duration": 60}, "duration: is 60 s, the time slots take 3600"),
        ({"duration": 3600.5}, "duration: is 3600.5, not a whole number"),
        ({"sync": "yes"}, 'sync: is "yes", not true or false'),
        ({"uuid": EVENT}, '"uuid": is no member; did you mean uuId?'),
        ({"period": []}, "period: is [], not a list of time slots"),
        ({"period": {"value": 3}}, 'period: is {"value": 3}, not a list of time slots'),
        ({"period": [17]}, "period, slot 1: is 17, not an object"),
        ({"period": slots(-5)}, "period, slot 1: value: is -5, not a number of kW from 0"),
        ({"period": slots("120")}, 'period, slot 1: value: is "120", not a number of kW from 0'),
        ({"period": slots([120, 90])}, "period, slot 1: value: is [120, 90], not a number of kW from 0"),
        ({"period": slots(True)}, "period, slot 1: value: is true, not a number of kW from 0"),
        ({"period": slots(1e300)}, "period, slot 1: value: is 1E+300, not a number of kW from 0"),
        (
            {"period": slots(120, start=START + 420)},
            "period, slot 1: timeslot_start: 2026-06-09 11:07:00 UTC begins no quarter of an hour",
        ),
        ({"period": slots(120, start=0)}, "period, slot 1: timeslot_start: is 0, not whole seconds since 1970"),
        ({"period": slots(120, length=-900)}, "period, slot 1: timeslot_end: is not after timeslot_start"),
        (
            {"period": [*slots(120), *slots(90)], "duration": 900},
            "period, slot 2: begins before the one before it has ended",
        ),
        ({"period": [{**slots(120)[0], "values": 3}]}, 'period, slot 1: "values": is no member; did you mean value?'),
        ({"period": [{"value": 3}]}, "period, slot 1: timeslot_start: is missing"),
        (
            {"uuName": TARIFF, "period": slots(0.0000001), "duration": 900},
            "period, slot 1: value: is 1E-7 EUR/kWh, which has more than 6 decimal places",
        ),
    ],
)
def test_each_fault_is_a_line_that_names_the_member(changed: dict[str, Any], says: str) -> None:
    first = faults(json.dumps(one(**changed)))[0]
    assert first.startswith(says)
    assert len(first) < 160


def test_every_fault_of_every_signal_is_told_by_its_number() -> None:
    text = json.dumps([one(id=-1, duration="long"), one(), 12, one(transformerID="Bus 44", id=8)])
    assert faults(text) == [
        "signal 1: id: is -1, not a whole number from 0 to 2147483647",
        'signal 1: duration: is "long", not a whole number from 0 to 2147483647',
        "signal 3: is 12, not an object",
        'signal 4: transformerID: no station is at "Bus 44"; they are at Bus 4, Bus 8',
    ]


def test_an_id_that_is_given_twice_is_told() -> None:
    assert faults(json.dumps([one(), one()])) == ["id: 7 is given to 2 signals"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1, column 1: expecting value"),
        ('[{"id": 1,]', "line 1, column 11: "),
        ("[\n  7,\n]", "line "),
        ('{"id": NaN}', "NaN is no number of JSON"),
        ('{"id": 1, "id": 2}', "the member 'id' is given 2 times in one object"),
        ("17", "is 17, not an object"),
        ("[" * 100_000, "cannot be read as JSON: "),
        ("[" + "9" * 5000 + "]", "cannot be read as JSON: "),
    ],
)
def test_what_is_no_signal_at_all_is_one_line(text: str, says: str) -> None:
    (line,) = faults(text)
    assert line.startswith(says)


def test_a_text_with_any_single_member_missing_or_of_another_kind_is_refused_and_never_breaks_the_reader() -> None:
    """Every place in a sound text, filled with every kind of wrong thing."""
    sound = one()
    paths: list[Callable[[dict[str, Any]], Any]] = [lambda found: found, lambda found: found["period"][1]]
    tried = 0
    for at in paths:
        for name in at(sound):
            for wrong in (None, True, -1, 10**30, "", "x" * 400, "\x00", [], {}, [[]], 0.1):
                if name == "value" and wrong == 0.1:
                    continue
                broken = copy.deepcopy(sound)
                at(broken)[name] = wrong
                assert faults(json.dumps(broken)), (name, wrong)
                tried += 1
            broken = copy.deepcopy(sound)
            del at(broken)[name]
            assert any(name in line for line in faults(json.dumps(broken)))
    assert tried > 100


def test_a_file_is_named_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "signals.json"
    path.write_text(json.dumps([one(id=-1, uuId="x")]), encoding="utf-8")
    with pytest.raises(SignalError) as refused:
        read_file(path, STATIONS)
    assert [line.startswith(f"{path}: signal 1: ") for line in str(refused.value).splitlines()] == [True, True]
    path.write_text(json.dumps([one()]), encoding="utf-8")
    assert read_file(path, STATIONS) == read(one())


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=r"^.*nowhere\.json: cannot be read: No such file or directory$"):
        read_file(tmp_path / "nowhere.json", STATIONS)
    path = tmp_path / "signals.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(SignalError, match=r"signals\.json: is not UTF-8 at byte 2$"):
        read_file(path, STATIONS)
