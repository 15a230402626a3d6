"""The user's own sessions: taken as written, or refused line by line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from environment.scenario import load
from environment.sessions import Sessions
from environment.sessions_csv import SessionsError, parse_csv, read_csv

HEADER = "charger_id,vehicle_id,arrival,departure,capacity_kwh,soc_arrival_percent,soc_wanted_percent"
GOOD = "house-01,anna,2026-03-18T17:45,2026-03-19T07:00,60,40,80"
SCENARIO = load("slovenia")


def parse(*rows: str, header: str = HEADER) -> Sessions:
    return parse_csv("\n".join([header, *rows]) + "\n", "my.csv", SCENARIO)


def test_a_session_is_taken_as_written_in_local_time() -> None:
    result = parse(GOOD)
    (session,) = result.sessions
    assert session.arrival == datetime(2026, 3, 18, 16, 45, tzinfo=UTC)
    assert (session.charger_id, session.vehicle_id, session.capacity_kwh) == ("house-01", "anna", 60.0)
    assert (session.soc_arrival_percent, session.soc_wanted_percent) == (40.0, 80.0)
    assert result.warnings == ()
    assert (result.vehicles[0].max_discharge_kw, result.vehicles[0].floor_soc) == (7.4, 0.2)


def test_an_offset_is_obeyed() -> None:
    assert parse(GOOD.replace("17:45", "17:45+00:00")).sessions[0].arrival.hour == 17


def test_sessions_outside_the_run_are_left_out_with_a_word_when_none_is_left() -> None:
    result = parse(GOOD.replace("2026-03", "2027-03"))
    assert result.sessions == ()
    assert "no session lies within the run" in result.warnings[0]


def test_a_charge_that_cannot_be_reached_is_a_warning() -> None:
    result = parse("house-01,anna,2026-03-18T17:45,2026-03-18T18:45,60,40,80")
    assert len(result.sessions) == 1
    assert result.warnings == (
        "my.csv: line 2: anna wants 80 %, but 57.2 % is all that can be charged by its departure",
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (GOOD.replace("house-01", "hous-01"), "line 2: there is no charger 'hous-01' in the scenario; did you mean"),
        (GOOD.replace("2026-03-19T07:00", "2026-03-18T17:00"), "line 2: departs at 2026-03-18T17:00, not after"),
        (GOOD.replace(",60,", ",sixty,"), "line 2: capacity_kwh is 'sixty', not a number"),
        (GOOD.replace(",60,", ",nan,"), "line 2: capacity_kwh is nan, outside 1 to 1000"),
        (GOOD.replace(",80", ",180"), "line 2: soc_wanted_percent is 180, outside 0 to 100"),
        (GOOD.replace("2026-03-18T17:45", "18.3.2026"), "line 2: arrival is '18.3.2026', not a time such as"),
        (GOOD.replace("2026-03-18T17:45", "2026-03-29T02:30"), "line 2: arrival: 2026-03-29T02:30 does not exist"),
        (GOOD.replace("anna", " "), "line 2: vehicle_id is empty"),
        (GOOD + ",1", "line 2: has not 7 values"),
        ("house-01,anna", "line 2: has not 7 values"),
    ],
)
def test_a_bad_row_is_one_line_with_its_number(row: str, fault: str) -> None:
    with pytest.raises(SessionsError) as raised:
        parse(row)
    assert len(raised.value.faults) == 1
    assert raised.value.faults[0].startswith(fault)
    assert str(raised.value).startswith("my.csv: line 2")


def test_every_bad_row_is_told_at_once() -> None:
    with pytest.raises(SessionsError) as raised:
        parse(GOOD.replace("house-01", "nowhere"), GOOD, GOOD.replace("60", "x"))
    assert [fault.split(":")[0] for fault in raised.value.faults] == ["line 2", "line 4"]


def test_two_vehicles_at_one_charger_at_a_time_are_refused() -> None:
    with pytest.raises(
        SessionsError, match=r"line 3: charger house-01 is taken until 2026-03-19 07:00\+01:00 \(line 2\)"
    ):
        parse(GOOD, "house-01,bert,2026-03-19T06:00,2026-03-19T09:00,60,40,80")


def test_one_vehicle_at_two_places_at_a_time_is_refused() -> None:
    with pytest.raises(SessionsError, match="line 3: vehicle anna is taken until"):
        parse(GOOD, GOOD.replace("house-01", "house-02"))


def test_a_vehicle_keeps_its_battery() -> None:
    later = "house-01,anna,2026-03-19T08:00,2026-03-19T09:00,58,40,42"
    with pytest.raises(SessionsError, match="line 3: vehicle anna has 58 kWh, but 60 kWh in line 2"):
        parse(GOOD, later)


def test_one_vehicle_may_follow_another_at_the_same_minute() -> None:
    assert len(parse(GOOD, "house-01,bert,2026-03-19T07:00,2026-03-19T09:00,60,40,50").sessions) == 2


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (HEADER.replace(",departure", ""), "line 1: has no column departure"),
        (HEADER + ",colour", "line 1: unknown column 'colour'"),
        ("", "line 1: has no column charger_id"),
    ],
)
def test_the_header_is_told_apart_from_the_rows(header: str, fault: str) -> None:
    with pytest.raises(SessionsError, match=fault):
        parse(GOOD, header=header)


def test_a_file_is_read_with_the_mark_that_spreadsheets_leave(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text(f"{HEADER}\r\n{GOOD}\r\n", encoding="utf-8-sig")
    assert len(read_csv(path, SCENARIO).sessions) == 1
    with pytest.raises(SessionsError, match="cannot be read: No such file"):
        read_csv(tmp_path / "other.csv", SCENARIO)
