"""Whole days on a small island: both services at once, things that go wrong on purpose, other seeds and days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.days import ISLAND, Day, changed, play
from tests.island_days import (
    QUARTER,
    Minutes,
    assert_one_service_each,
    awards,
    cancels,
    instant,
    minutes_outside,
    notices,
)
from tests.test_day import BOTH_CASES, assert_sound

FIRST_PLANT = '[[plant]]\nname = "geothermal"'
"""The first plant: what is put before it is a table of its own."""


def with_tables(*tables: str) -> str:
    return changed((FIRST_PLANT, "\n".join([*tables, FIRST_PLANT])), text=ISLAND)


def fault(kind: str, target: str, start: str, end: str) -> str:
    return f'[[fault]]\nkind = "{kind}"\ntarget = "{target}"\nstart = "{start}"\nend = "{end}"\n'


def local(day: Day, clock: str, date: str = "2026-05-29") -> datetime:
    """An instant by its clock in the Azores, which are at UTC in summer."""
    return datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC)


def asked(day: Day, sender: str) -> list[dict[str, object]]:
    """What TSO or DSO asked the FO for."""
    exchange = {"tso": "2.3", "dso": "4.1.1"}[sender]
    return [m["content"] for m in day.said(exchange=exchange, sender=f"{sender}@localhost", performative="request")]


def called(day: Day, manager: str, exchange: str = "2.4") -> list[datetime]:
    """The starts of the services that a manager was called for."""
    calls = day.said(exchange=exchange, performative="cfp", receiver=f"{manager}@localhost")
    return [instant(m["content"]["start"]) for m in calls]


# ---- an ordinary day -------------------------------------------------------------------------------------------------


def test_the_day_on_the_small_island_is_sound(islet: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(islet, capsys)
    assert_one_service_each(islet)


def test_wind_is_saved_and_voltages_are_held_on_the_small_island(islet: Day) -> None:
    with_it, without = (Minutes.of(islet, case) for case in BOTH_CASES)
    assert with_it["curtailed_kw"].sum() < 0.9 * without["curtailed_kw"].sum()
    assert minutes_outside(with_it)[0] < minutes_outside(without)[0]


def test_chargers_go_back_to_their_own_plan_when_a_service_is_over(islet: Day) -> None:
    """A plan of its own is a timer and full power: what has reached its charge, or waits, draws nothing."""
    series = Minutes.of(islet, "with")
    taken = {(charger, award.start) for award in awards(islet) for charger in award.orders}
    seen = 0
    for award in awards(islet):
        if award.end - award.start != QUARTER or award.end not in cancels(islet).values():
            continue
        for charger, (_, change) in award.orders.items():
            if (charger, award.end) in taken or change < 0:
                continue
            row = series.row(award.end)
            kw = series[f"p_kw:{charger}"][row + 1 : row + 10]
            assert np.all((kw < 0.05) | (kw > 10.5)), (charger, award.end, kw)
            seen += 1
    assert seen >= 3


def test_over_the_wire_the_islands_day_ends_as_in_process(
    islet: Day, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wired = play(tmp_path / "run", ISLAND, wire=True)
    assert_sound(wired, capsys)
    assert wired.outcome == islet.outcome
    assert sorted(wired.postings) == sorted(islet.postings)
    assert wired.contents() == islet.contents()


# ---- two services at once --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windy(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Wind is curtailed around the clock, so that the TSO wants more when the DSO wants less; a house without a timer
    could draw more when all others begin."""
    text = changed(
        ('kind = "wind"\ncapacity_mw = 9.0', 'kind = "wind"\ncapacity_mw = 20.0'),
        ("demand_peak_mw = 70.0", "demand_peak_mw = 50.0"),
        text=ISLAND,
    )
    of_house_1 = text[text.index("[[manager]]") : text.index('charges_from = "22:00"')]
    house = of_house_1.replace("house-1", "house-3").replace("Bus 61", "Bus 29")
    return play(tmp_path_factory.mktemp("windy") / "run", f"{text}\n{house}")


def test_a_day_with_both_services_at_once_is_sound(windy: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(windy, capsys)
    starts = [{content["start"] for content in asked(windy, sender)} for sender in ("tso", "dso")]
    assert starts[0] & starts[1], "TSO and DSO ask for the same quarters of an hour"


def test_the_tso_does_not_ask_for_what_the_dso_has_just_been_promised(windy: Day) -> None:
    """The fresh 2.2 after a voltage service: what is left is all that wind is offered to."""
    left: dict[str, list[float]] = {}
    for message in windy.said(exchange="2.2", performative="inform"):
        content = message["content"]
        left.setdefault(content["start"], []).append(sum(user["increase_kw"] for user in content["users"]))
    fresh = {start: told for start, told in left.items() if len(told) > 1}
    assert fresh.keys() == {content["start"] for content in asked(windy, "dso")}
    assert any(told[-1] < told[0] for told in fresh.values())
    for content in asked(windy, "tso"):
        assert float(str(content["power_kw"])) <= left[str(content["start"])][-1] + 1e-6


def test_no_vehicle_is_promised_to_two_services_in_the_same_quarter(windy: Day) -> None:
    assert_one_service_each(windy)
    firm = {(c, a.start): a.content["service"] for a in awards(windy) for c in a.orders if a.end > a.start}
    assert {"voltage-control", "res-curtailment"} == set(firm.values())


def test_nobody_on_a_feeder_is_called_to_draw_more_where_less_is_promised(windy: Day) -> None:
    """All managers of the small island are on one feeder: the DSO has asked first, and the TSO is refused."""
    less = [c for c in asked(windy, "dso") if float(str(c["power_kw"])) < 0]
    held = {a.start for a in awards(windy) if a.content["service_id"] in {c["service_id"] for c in less}}
    both = [c for c in asked(windy, "tso") if instant(str(c["start"])) in held]
    assert both, "the TSO wants more while the DSO wants less"
    for manager in ("house-1", "house-2", "house-3", "building", "company"):
        assert not set(called(windy, manager)) & held
    refused = [m["content"]["service_id"] for m in windy.said(performative="refuse", receiver="tso@localhost")]
    assert {c["service_id"] for c in both} <= set(refused)


def test_what_saves_wind_breaks_no_voltage(windy: Day) -> None:
    """The DSO's word on each feeder's room (4.x.1) binds the TSO's service: nothing is low for longer than without."""
    low = {}
    for case in ("with", "without"):
        volts = np.stack(list(Minutes.of(windy, case).all("vm_pu:").values()), axis=1)
        low[case] = int((volts < 0.9).any(axis=1).sum())
    tight = [m for m in windy.said(exchange="4.x.1", performative="inform") if m["content"]["feeders"]]
    assert tight, "some feeder has less room than its vehicles could take"
    assert low["with"] <= low["without"]


def test_a_kilowatt_is_paid_once(windy: Day) -> None:
    """What all services of a quarter of an hour ordered of a charger is never more than it can draw."""
    for notice in notices(windy):
        for charger, (baseline, change) in notice.orders.items():
            assert -7.4 - 1e-6 <= baseline + change <= 11.0 + 1e-6, charger


# ---- faults on purpose -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The building promises, and does nothing, from 22:00 on."""
    text = with_tables(fault("manager-idle", "building", "22:00", "09:00"))
    return play(tmp_path_factory.mktemp("idle") / "run", text)


def test_a_manager_that_promises_and_does_nothing_pays_a_penalty(
    islet: Day, idle: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    """0.05 EUR for each kWh beyond the 5 % that may be missing."""
    assert_sound(idle, capsys)
    lines = {
        name: [
            line
            for m in day.said(exchange="2.x.1", performative="request", receiver="building@localhost")
            for line in m["content"]["lines"]
            if line["item"] == "penalty"
        ]
        for name, day in (("idle", idle), ("islet", islet))
    }
    assert sum(line["energy_kwh"] for line in lines["idle"]) > 5
    assert sum(line["energy_kwh"] for line in lines["islet"]) < 0.5
    series = Minutes.of(idle, "with")
    missing = 0.0
    for award in awards(idle):
        if award.to == "building@localhost" and award.start >= local(idle, "22:00", "2026-05-28"):
            for charger, (baseline, change) in award.orders.items():
                came = (series.mean_kw(charger, award.start) - baseline) * np.sign(change)
                missing += max(0.0, 0.95 * abs(change) - max(0.0, came)) / 4
    assert sum(line["energy_kwh"] for line in lines["idle"]) >= 0.9 * missing > 5
    assert Decimal(idle.summary["money"]["building"]) < 0 < Decimal(islet.summary["money"]["building"])


def test_an_idle_manager_does_not_move_its_chargers(idle: Day) -> None:
    one, other = (Minutes.of(idle, case) for case in BOTH_CASES)
    night = one.row(local(idle, "22:00", "2026-05-28"))
    for charger in (f"building-0{number}" for number in range(1, 7)):
        np.testing.assert_allclose(one[f"p_kw:{charger}"][night:], other[f"p_kw:{charger}"][night:], atol=0.01)


def test_a_manager_that_does_not_deliver_is_told_of_and_not_called_for_a_while(islet: Day, idle: Day) -> None:
    told = [line for line in idle.warnings if "fo: building@localhost delivered 0.00 of" in line]
    assert told
    paused = instant(f"2026-05-29T{told[0][:5]}:00+00:00")
    until = instant(f"2026-05-29T{told[0].rpartition(' ')[2]}:00+00:00")
    assert until - paused >= timedelta(hours=1)
    asks = [instant(m["at"]) for m in idle.said(exchange="2.4", performative="cfp", receiver="building@localhost")]
    assert [at for at in asks if at <= paused]
    assert not [at for at in asks if paused < at < until]
    others = [instant(m["at"]) for m in idle.said(exchange="2.4", performative="cfp", receiver="house-1@localhost")]
    assert [at for at in others if paused < at < until], "the others are called on"
    assert len(called(idle, "building")) < len(called(islet, "building"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The wind farm's producer sends nothing for three hours, a charger does not answer, and then the farm is lost."""
    text = with_tables(
        fault("producer-silent", "wind", "23:00", "02:00"),
        fault("charger-silent", "building-01", "22:05", "02:30"),
        '[[incident]]\nplant = "wind"\nstart = "02:40"\nminutes = 25\n',
    )
    return play(tmp_path_factory.mktemp("silent") / "run", text)


def test_the_tso_goes_on_with_the_forecast_of_a_producer_that_is_silent_and_says_so(
    silent: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_sound(silent, capsys)
    told = [line for line in silent.warnings if "tso: wind " in line]
    assert len(told) == 2, told
    assert " is silent: it counts with " in told[0]
    assert "its last forecast" in told[0]
    assert told[0].startswith("23:")
    assert "reports again" in told[1]
    assert told[1].startswith("02:")
    reports = [instant(m["at"]) for m in silent.said(exchange="2.1", sender="wind@localhost", performative="inform")]
    quiet = (local(silent, "23:00", "2026-05-28"), local(silent, "02:00"))
    assert not [at for at in reports if quiet[0] <= at < quiet[1]]
    others = silent.said(exchange="2.1", sender="hydro@localhost", performative="inform")
    at_once = [at for at in reports if at.minute % 15 != 2]
    assert len(others) - (len(reports) - len(at_once)) == 12
    assert len(at_once) == 1, "it is lost at 02:40"
    assert local(silent, "02:40") < at_once[0] <= local(silent, "02:42")
    starts = [instant(str(content["start"])) for content in asked(silent, "tso")]
    assert [start for start in starts if quiet[0] < start < quiet[1]], "the balance goes on"


def test_a_charger_that_is_silent_at_night_serves_nobody_and_its_driver_leaves_as_promised(silent: Day) -> None:
    told = [line for line in silent.warnings if "building: charger building-01" in line]
    assert len(told) == 2, told
    assert "answers again" in told[1]
    between = (local(silent, "22:30", "2026-05-28"), local(silent, "02:30"))
    held = [a.start for a in awards(silent) if "building-01" in a.orders]
    assert not [start for start in held if between[0] <= start < between[1]]
    assert silent.summary["drivers"]["below_wanted"] == 0


def test_when_the_wind_farm_is_lost_the_frequency_falls_and_the_service_is_called_off(silent: Day) -> None:
    for case in BOTH_CASES:
        series = Minutes.of(silent, case)
        lost, around = series.row(local(silent, "02:40")), series["frequency_min_hz"]
        assert around[lost] < around[lost - 10 : lost].min() - 0.03
        assert np.all(series["wind_available_kw"][lost + 1 : lost + 25] == 0)
        assert series["wind_available_kw"][lost + 26] > 0
    off = [instant(m["at"]) for m in silent.said(performative="cancel", sender="tso@localhost")]
    assert [at for at in off if local(silent, "02:45") <= at <= local(silent, "03:00")]
    starts = [instant(str(content["start"])) for content in asked(silent, "tso")]
    assert not [start for start in starts if local(silent, "03:00") <= start < local(silent, "03:10")]


# ---- other days ------------------------------------------------------------------------------------------------------


def test_two_days_over_the_spring_change_of_clocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Azores change from UTC-1 to UTC at midnight of 2026-03-29: 47 hours from nine to nine, invoiced twice."""
    text = changed(("start = 2026-05-28", "start = 2026-03-28\ndays = 2"), text=ISLAND)
    day = play(tmp_path / "run", text)
    assert_sound(day, capsys)
    assert_one_service_each(day)
    for case in BOTH_CASES:
        at = Minutes.of(day, case).at
        assert len(at) == 47 * 60
        assert {b - a for a, b in pairwise(at)} == {timedelta(minutes=1)}
    assert list(dict.fromkeys(m["at"][-6:] for m in day.messages)) == ["-01:00", "+00:00"]
    assert len({m["content"]["start"] for m in day.said(exchange="2.2", performative="inform")}) == 47 * 4 - 1
    drivers = [m for m in day.said(exchange="2.x.1", performative="request") if m["receiver"].startswith("ev-")]
    assert {m["at"][:16] for m in drivers} == {"2026-03-29T09:00", "2026-03-30T09:00"}


def test_another_seed_over_the_autumn_change_of_clocks(
    islet: Day, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """25 hours from nine to nine; no quarter of an hour is lost or told twice."""
    day = play(tmp_path / "run", changed(("start = 2026-05-28", "start = 2026-10-24"), text=ISLAND), seed=2)
    assert_sound(day, capsys)
    assert_one_service_each(day)
    for case in BOTH_CASES:
        assert len(Minutes.of(day, case).at) == 25 * 60
    assert list(dict.fromkeys(m["at"][-6:] for m in day.messages)) == ["+00:00", "-01:00"]
    said = day.said(exchange="2.2", performative="inform")
    starts = sorted({instant(m["content"]["start"]) for m in said})  # a voltage service makes a fresh one
    assert {b - a for a, b in pairwise(starts)} == {QUARTER}
    assert len(starts) == 25 * 4 - 1
    assert day.header["seed"] == 2
    assert day.summary["with"] != islet.summary["with"]
