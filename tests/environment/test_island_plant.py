"""The island of a scenario: its slice, one frequency for each case, what producers read, what the report is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from environment import scenario
from environment.island import Island
from environment.island_plant import ConnectionMeter, IslandPlant, ProducerMeter, island_row, tariff_of
from environment.island_scenario import IslandScenario
from environment.launcher import streams
from environment.profiles import Injections, standard_offset
from environment.series import ISLAND_COLUMNS
from environment.summary import DriverOutcome
from environment.world import build
from tests.days import ISLAND, changed

MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
LOST = '[[incident]]\nplant = "wind"\nstart = "09:20"\nminutes = 10\n[island]'


def made(*pairs: tuple[str, str], seed: int = 1) -> IslandPlant:
    loaded = scenario.parse(changed(*pairs, text=ISLAND), "t.toml")
    plant = build(loaded, streams(seed))
    assert plant.island is not None
    return plant.island


@pytest.fixture(scope="module")
def island() -> IslandPlant:
    return made()


def passed(plant: IslandPlant, minutes: int, ev_kw: float = 0.0) -> Island:
    """One case after so many minutes."""
    case = plant.case()
    for index in range(minutes):
        case.minute(case.begins + index * MINUTE, ev_kw)
    return case


class AtMinute:
    """A world whose island has come to the end of a minute."""

    def __init__(self, island: Island, minutes: int) -> None:
        self.island: Island | None = island
        self._now = island.begins + minutes * MINUTE

    def now(self) -> datetime:
        return self._now


def test_plants_and_demand_are_the_runs_share_of_the_islands(island: IslandPlant) -> None:
    """12 chargers of 800 vehicles: 1.5 % of each plant's power, the same inertia and droop in seconds and percent."""
    of = {plant.name: plant for plant in island.plants}
    assert of["wind"].capacity_kw == pytest.approx(9000 * 0.015)
    assert of["large-1"].minimum_kw == pytest.approx(5900 * 0.015)
    assert of["large-1"].fuel_no_load_kg_per_h == pytest.approx(240 * 0.015)
    assert of["large-1"].fuel_kg_per_kwh == 0.188
    assert of["large-1"].inertia_s == 2.0
    assert of["hydro"].droop == pytest.approx(0.05)
    assert of["geothermal"].droop is None
    assert island.spec.demand.peak_kw == pytest.approx(70_000 * 0.015)


def test_twice_the_vehicles_of_the_island_is_half_the_slice_and_the_same_frequency() -> None:
    """Balance and frequency do not change with the scale, as long as the vehicles of the slice are scaled alike."""
    whole, half = made(), made(("vehicles = 800", "vehicles = 1600"))
    one, other = passed(whole, 120, ev_kw=40.0), passed(half, 120, ev_kw=20.0)
    assert one.state is not None
    assert other.state is not None
    assert other.state.demand_kw == pytest.approx(one.state.demand_kw / 2)
    assert other.state.dispatch.curtailed_kw == pytest.approx(one.state.dispatch.curtailed_kw / 2)
    for minute in range(120):
        at = one.begins + minute * MINUTE
        assert other.at(at) == pytest.approx(one.at(at), abs=1e-9)


def test_each_case_has_an_island_and_a_frequency_of_its_own(island: IslandPlant) -> None:
    one, other = passed(island, 30), passed(island, 30, ev_kw=60.0)
    still = passed(island, 30)
    at = [one.begins + index * MINUTE for index in range(1, 30)]
    assert [one.at(t) for t in at] == [still.at(t) for t in at]
    assert [one.at(t) for t in at] != [other.at(t) for t in at]


def test_incidents_happen_on_each_day_of_the_run_by_the_local_clock() -> None:
    """Over the change of clocks the instants are 23 hours apart."""
    island = made(("start = 2026-05-28", "start = 2026-03-28\ndays = 2"), ("[island]", LOST))
    outages = island.spec.incidents
    assert [outage.plant for outage in outages] == ["wind", "wind"]
    assert [outage.start.astimezone(UTC).isoformat() for outage in outages] == [
        "2026-03-28T10:20:00+00:00",
        "2026-03-29T09:20:00+00:00",
    ]
    assert {outage.end - outage.start for outage in outages} == {timedelta(minutes=10)}


def test_a_row_of_the_series_has_each_column_of_an_island_and_adds_up(island: IslandPlant) -> None:
    row = island_row(passed(island, 20, ev_kw=25.0))
    assert set(row) == set(ISLAND_COLUMNS)
    made_kw = row["geothermal_kw"] + row["hydro_kw"] + row["wind_kw"] + row["thermal_kw"]
    assert made_kw == pytest.approx(row["island_demand_kw"] + row["island_ev_kw"])
    assert row["wind_kw"] + row["curtailed_kw"] == pytest.approx(row["wind_available_kw"])
    assert row["island_ev_kw"] == 25.0
    assert row["fuel_kg"] > 0


def test_a_producer_reads_the_means_of_its_own_plant_and_the_frequency(island: IslandPlant) -> None:
    case = passed(island, 30)
    meter = ProducerMeter(island, AtMinute(case, 30), "wind")
    reading = meter.measured(case.begins + QUARTER, case.begins + 2 * QUARTER)
    available = island.profiles.available_kw("wind")[15:30]
    assert reading.available_kw == pytest.approx(available.mean())
    assert 0 <= reading.production_kw <= reading.available_kw
    assert reading.f_hz == case.at(case.begins + 2 * QUARTER)
    with pytest.raises(LookupError, match="nothing was measured of wind"):
        meter.measured(case.begins + 2 * QUARTER, case.begins + 3 * QUARTER)


def test_a_producers_forecast_is_what_is_known_now(island: IslandPlant) -> None:
    case = passed(island, 17)
    meter = ProducerMeter(island, AtMinute(case, 17), "wind")
    start = case.begins + 2 * QUARTER
    now = case.begins + 17 * MINUTE
    assert meter.forecast_available_kw(start) == island.forecast.available_kw("wind", start, now)
    assert ProducerMeter(island, AtMinute(case, 17), "geothermal").forecast_available_kw(start) == pytest.approx(315.0)


def test_a_lost_plant_reads_nothing_while_it_is_lost() -> None:
    island = made(("[island]", LOST))
    case = passed(island, 45)
    meter = ProducerMeter(island, AtMinute(case, 45), "wind")
    lost = meter.measured(case.begins + 21 * MINUTE, case.begins + 29 * MINUTE)
    assert (lost.production_kw, lost.available_kw) == (0.0, 0.0)
    assert meter.measured(case.begins + 31 * MINUTE, case.begins + 45 * MINUTE).available_kw > 0


def stay(charger_id: str, got_kwh: float) -> DriverOutcome:
    at = datetime(2026, 5, 28, 20, tzinfo=UTC)
    return DriverOutcome(f"ev-{charger_id}", charger_id, f"{charger_id}-ev", at, at + timedelta(hours=8), 9.4, got_kwh)


def test_what_the_batteries_gained_by_the_service_is_told_as_what_it_takes_from_the_grid(island: IslandPlant) -> None:
    charger, other = [c for site in island.scenario.sites for c in site.charger_ids()][:2]
    notes = island.notes([stay(charger, 14.1), stay(other, 9.4)], [stay(charger, 9.4), stay(other, 9.4)])
    assert notes["charged_ahead_kwh"] == pytest.approx(4.7 / 0.94)


def test_the_report_is_told_the_slice_and_each_change_of_the_tariff(island: IslandPlant) -> None:
    notes = island.notes([], [])
    assert notes["charged_ahead_kwh"] == 0
    assert notes["share"] == 0.015
    assert notes["vehicles"] == 800
    assert [(row["start"], row["charging_eur_per_kwh"]) for row in notes["tariff"]] == [
        ("2026-05-28T09:00:00+00:00", "0.18"),
        ("2026-05-28T22:00:00+00:00", "0.11"),
        ("2026-05-29T08:00:00+00:00", "0.18"),
    ]


def test_the_tariff_is_the_scenarios() -> None:
    loaded = scenario.parse(ISLAND.replace("[island]", "[tariff]\nenergy_eur_per_kwh = 0.2\n[island]", 1), "t.toml")
    assert isinstance(loaded, IslandScenario)
    tariff = tariff_of(loaded)
    noon, night = (loaded.begins.replace(hour=hour) for hour in (12, 23))
    assert (tariff.charging(noon), tariff.charging(night)) == (Decimal("0.29"), Decimal("0.22"))


def test_the_same_seed_draws_the_same_island_and_another_seed_another() -> None:
    one, same, other = made(), made(), made(seed=2)
    assert one.profiles.demand_kw.tolist() == same.profiles.demand_kw.tolist()
    wind = [each.profiles.available_kw("wind").tolist() for each in (one, same, other)]
    assert wind[0] == wind[1] != wind[2]
    assert standard_offset(one.scenario.zone, 2026) == timedelta(hours=-1)


class Street:
    """Two hours of three buses that draw 1, 10 and 100 kW in the first quarter and twice that in the second, ...; the
    last feeds in. Of kvar it is a tenth, drawn by all."""

    def __init__(self, minutes: int) -> None:
        begins = datetime(2026, 5, 28, 9, tzinfo=UTC)
        quarter = 1.0 + np.arange(120)[:, None] // 15
        self.injections = Injections(
            start=begins,
            step=MINUTE,
            p_kw=quarter * np.array([1.0, 10.0, -100.0]),
            q_kvar=quarter * np.array([0.1, 1.0, 10.0]),
            load_kw=np.zeros(120),
            pv_kw=np.zeros(120),
            pv_kw_by_bus=np.zeros((120, 3)),
        )
        self.begins = begins
        self._now = begins + minutes * MINUTE

    def now(self) -> datetime:
        return self._now


@pytest.mark.parametrize(
    ("buses", "p_kw", "q_kvar"),
    [([1], 20.0, 2.0), ([0, 0, 0], 2.0, 0.2), ([2, 0], -198.0, 20.2), ([2, 0, 2], -198.0, 20.2)],
    ids=["a bus", "several chargers at one", "two", "one of two twice"],
)
def test_a_connections_meter_reads_the_means_of_its_buses_each_once(
    buses: list[int], p_kw: float, q_kvar: float
) -> None:
    street = Street(minutes=30)
    reading = ConnectionMeter(street, buses).measured(street.begins + QUARTER, street.begins + 2 * QUARTER)
    assert (reading.p_kw, reading.q_kvar) == (pytest.approx(p_kw), pytest.approx(q_kvar))


def test_a_connections_meter_reads_a_mean_and_not_a_moment() -> None:
    street = Street(minutes=45)
    reading = ConnectionMeter(street, [0]).measured(street.begins + 10 * MINUTE, street.begins + 40 * MINUTE)
    assert reading.p_kw == pytest.approx((5 * 1 + 15 * 2 + 10 * 3) / 30)


def test_a_connections_meter_reads_nothing_of_what_has_not_been() -> None:
    street = Street(minutes=29)
    meter = ConnectionMeter(street, [0])
    with pytest.raises(LookupError, match="nothing was measured until 2026-05-28T09:30"):
        meter.measured(street.begins + QUARTER, street.begins + 2 * QUARTER)
    with pytest.raises(LookupError):
        meter.measured(street.begins - QUARTER, street.begins)
