"""Public stations as they are built and measured: cars at chargers, meters by quarter and by moment, the other case."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.public_ports import CarError
from environment import scenario, world
from environment.launcher import streams
from environment.price_following import OrderedCharging
from environment.public_needs import Needs
from environment.public_plant import PublicPlant
from environment.public_without import simulate
from environment.public_world import PublicWorld
from environment.scenario import SCENARIOS, ScenarioError
from environment.series import SeriesRecorder
from environment.world import QUARTER, Plant
from tests.days import FastPhysics

BEGIN = datetime(2026, 6, 7, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "PhysicalGrid", FastPhysics)


def plant_of(**values: str) -> Plant:
    text = (SCENARIOS / "greece.toml").read_text(encoding="utf-8")
    for key, value in ({"drivers": "20", "days": "1"} | values).items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert count, key
    return world.build(scenario.parse(text, "greece.toml"), streams(1))


def public(plant: Plant) -> PublicPlant:
    assert plant.public is not None
    return plant.public


def recorder(plant: Plant) -> SeriesRecorder:
    ids = [spec.charger_id for spec in plant.specs]
    return SeriesRecorder(
        "Europe/Athens",
        plant.networks.buses,
        ids,
        rows=2 * plant.steps,
        lines=plant.networks.lines,
        extra=plant.columns,
    )


class Played:
    """A world in the hand: orders at any time, steps by the quarter."""

    def __init__(self, plant: Plant, series: Any = None) -> None:
        self.at = BEGIN
        self.park = OrderedCharging(plant.specs, plant.fleet(), lambda: self.at)
        self.world = PublicWorld(plant, self.park, "with", series or recorder(plant), lambda: self.at)
        self.world.begin()

    def until(self, minutes: float) -> None:
        """Time passes to so many minutes after the start; whole quarters are closed on the way."""
        to = BEGIN + timedelta(minutes=minutes)
        while self.at < to:
            edge = self.at + (QUARTER - (self.at - BEGIN) % QUARTER)
            self.at = min(edge, to)
            if self.at == edge:
                self.world.pass_to(edge)

    def metered(self, place: str, first: int, last: int, minutes: int = 15) -> tuple[float, ...]:
        start, end = (BEGIN + k * QUARTER for k in (first, last))
        return self.world.metered_kw(place, start, end, timedelta(minutes=minutes))


def test_the_run_goes_by_quarter_hours_and_its_chargers_are_public() -> None:
    plant = plant_of()
    assert (plant.step, plant.steps, len(plant.specs)) == (QUARTER, 96, 40)
    assert all(spec.public for spec in plant.specs)
    assert {plant.bus_of[c] for site in public(plant).stations for c in site.charger_ids} <= set(plant.grid.buses)
    assert public(plant).sections["Line 3-4"] == ("Bus 4", "Bus 5", "Bus 6")


def test_a_station_on_a_bus_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(ScenarioError, match=r"station\[1\].bus: .* has no bus 'Bus 99'"):
        plant_of(bus='"Bus 99"')


def test_a_car_charges_where_it_is_plugged_in_by_its_operators_order() -> None:
    played = Played(plant_of())
    car = played.world.car("driver-001")
    car.plug_in("koropi-east-01", soc_percent=20.0, target_percent=70.0)
    assert (car.reading().power_kw, car.reading().charged_kwh) == (0.0, 0.0)
    played.park.order("koropi-east-01", 30.0)
    played.until(30)
    reading = car.reading()
    assert (reading.charger_id, reading.power_kw) == ("koropi-east-01", 30.0)
    assert reading.charged_kwh == pytest.approx(15.0)
    assert reading.soc_percent == pytest.approx(20.0 + 100 * 15.0 * 0.94 / car.capacity_kwh)
    last = car.unplug()
    assert last.charged_kwh == pytest.approx(15.0)
    assert (car.unplug().charger_id, car.reading().power_kw) == (None, 0.0)
    (outcome,) = played.world.outcomes
    assert (outcome.owner, outcome.departed, outcome.short) == ("driver-001", True, True)
    assert outcome.got_kwh == pytest.approx(15.0 * 0.94)


def test_a_charger_that_is_taken_or_unknown_is_told_in_words() -> None:
    played = Played(plant_of())
    one, other = played.world.car("driver-001"), played.world.car("driver-002")
    one.plug_in("koropi-east-01", soc_percent=20.0, target_percent=70.0)
    with pytest.raises(CarError, match="koropi-east-01 is taken by driver-001"):
        other.plug_in("koropi-east-01", soc_percent=20.0, target_percent=70.0)
    with pytest.raises(CarError, match="there is no charger nowhere"):
        other.plug_in("nowhere", soc_percent=20.0, target_percent=70.0)
    with pytest.raises(CarError, match="plugged in elsewhere"):
        one.plug_in("koropi-east-02", soc_percent=20.0, target_percent=70.0)


def test_the_stations_meter_has_the_mean_and_the_highest_of_any_moment() -> None:
    played = Played(plant_of())
    for number in (1, 2):
        played.world.car(f"driver-00{number}").plug_in(f"koropi-east-0{number}", soc_percent=20.0, target_percent=80.0)
    played.park.order("koropi-east-01", 30.0)
    played.until(5)
    played.park.order("koropi-east-02", 45.0)
    played.until(5.5)
    played.park.order("koropi-east-02", 0.0)
    played.until(30)
    assert played.metered("station:koropi-east", 0, 2) == pytest.approx((31.5, 30.0))
    assert played.metered("peak:koropi-east", 0, 2) == pytest.approx((75.0, 30.0))
    assert played.metered("peak:koropi-east", 0, 2, 30) == pytest.approx((75.0,))
    assert played.metered("station:koropi-east", 0, 2, 30) == pytest.approx((30.75,))
    assert played.metered("charger:koropi-east-02", 0, 1) == pytest.approx((1.5,))
    minutes = played.metered("station:koropi-east", 0, 2, 1)
    assert minutes == pytest.approx((30.0,) * 5 + (52.5,) + (30.0,) * 24)
    assert played.metered("charger:koropi-east-02", 0, 1, 1) == pytest.approx((0.0,) * 5 + (22.5,) + (0.0,) * 9)


@pytest.mark.parametrize(
    ("place", "last", "minutes"),
    [
        ("station:nowhere", 1, 15),
        ("peak:koropi-east", 3, 15),
        ("station:koropi-east", 1, 5),
        ("station:nowhere", 1, 1),
        ("charger:nowhere", 1, 1),
        ("station:koropi-east", 3, 1),
        ("peak:koropi-east", 1, 1),
    ],
)
def test_what_no_meter_has_is_a_lookup_error(place: str, last: int, minutes: int) -> None:
    played = Played(plant_of())
    played.until(30)
    with pytest.raises(LookupError):
        played.metered(place, 0, last, minutes)


def test_a_row_has_lines_stations_and_the_limit_where_there_is_one() -> None:
    kept: list[dict[str, Any]] = []

    class Kept:
        def append(self, at: datetime, case: str, **values: Any) -> None:
            kept.append({"at": at} | values)

    plant = plant_of()
    played = Played(plant, Kept())
    played.world.cap_kw = lambda station, at: 150.0 if station == "koropi-east" else math.nan
    played.until(15)
    (row,) = kept
    assert set(row["extra"]) == set(plant.columns)
    assert row["extra"]["cap_kw.koropi-east"] == 150.0
    assert math.isnan(row["extra"]["cap_kw.koropi-north"])
    loading = {name: value for name, value in row["extra"].items() if name.startswith("line_loading_percent.")}
    assert max(loading.values()) == pytest.approx(row["line_loading_percent_max"])
    # A Sunday noon in June: the sun feeds back behind some line, and what it is follows from the buses behind it.
    net_kw = dict(zip(plant.grid.buses, played.world.state.p_kw, strict=True))  # type: ignore[union-attr]
    behind = -sum(net_kw[bus] for bus in public(plant).sections["Line 5-6"])
    assert row["extra"]["reverse_kw.Line 5-6"] == pytest.approx(max(behind, 0.0))


def test_who_is_still_there_at_the_end_has_not_departed() -> None:
    played = Played(plant_of())
    played.world.car("driver-003").plug_in("koropi-east-01", soc_percent=20.0, target_percent=70.0)
    played.until(15)
    played.world.finish()
    assert [(each.owner, each.departed) for each in played.world.outcomes] == [("driver-003", False)]


def served_by(plant: Plant) -> tuple[PublicWorld, dict[str, Any]]:
    alone, served = simulate(plant, recorder(plant))
    return alone, {each.need_id: each for each in served}


def test_without_flexibility_everybody_gets_by_the_meter_what_was_offered() -> None:
    plant = plant_of(drivers="40", needs_per_day="1.5")
    alone, served = served_by(plant)
    needs = {need.need_id: need for _, need in public(plant).needs.in_time()}
    assert len(served) > 20
    assert set(served) <= set(needs)
    for name, each in served.items():
        need = needs[name]
        stay = need.stays[each.stay]
        assert stay.arrival <= each.start < each.end <= stay.departure
        assert 0.6 * need.energy_kwh - 0.01 <= each.energy_kwh <= need.energy_kwh + 0.001
        assert each.distance_km <= need.within_km
    total = float(alone.meters.charger_kw.sum()) / 4
    assert total == pytest.approx(sum(each.energy_kwh for each in served.values()), rel=1e-4)


def test_a_driver_more_changes_nothing_for_those_who_asked_before() -> None:
    plant = plant_of(drivers="40", needs_per_day="1.5")
    _, all_of_them = served_by(plant)
    (last, need) = public(plant).needs.in_time()[-1]
    fewer = Needs(
        tuple(
            replace(each, needs=tuple(n for n in each.needs if n is not need)) if each is last else each
            for each in public(plant).needs.drivers
        )
    )
    _, others = served_by(replace(plant, public=replace(public(plant), needs=fewer)))
    assert others == {name: each for name, each in all_of_them.items() if name != need.need_id}
