"""The physical world: what is drawn is metered, what is metered is in the series, and cars come and go as they said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from environment import world
from environment.charger_device import ChargerFault
from environment.charger_map import NOMINAL_V
from environment.charging import Charging
from environment.grid import Grid
from environment.island_plant import ConnectionMeter
from environment.launcher import streams
from environment.scenario import Scenario, ScenarioError, parse
from environment.series import ISLAND_COLUMNS, SeriesRecorder
from environment.world import MINUTE, Plant, World, build, faults_at, places, without_flexibility
from tests.days import ISLAND, SMALL, FastPhysics, changed

QUARTER = timedelta(minutes=15)
BEGIN = datetime(2026, 3, 18, 11, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _fast() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "PhysicalGrid", FastPhysics)
        yield


def recorder(plant: Plant) -> SeriesRecorder:
    return SeriesRecorder(
        "Europe/Ljubljana", plant.grid.buses, [s.charger_id for s in plant.specs], lines=plant.networks.lines
    )


@pytest.fixture(scope="module")
def plant() -> Plant:
    return build(parse(SMALL, "small.toml"), streams(4))


@pytest.fixture(scope="module")
def day(plant: Plant) -> World:
    """The whole day with chargers that nobody asks anything."""
    return without_flexibility(plant, recorder(plant))


def scenario(*pairs: tuple[str, str]) -> Scenario:
    return parse(changed(*pairs), "small.toml")


def test_each_session_comes_to_one_outcome(plant: Plant, day: World) -> None:
    outcomes = {(o.charger_id, o.arrival): o for o in day.outcomes}
    assert len(outcomes) == len(day.outcomes) == len(plant.sessions.sessions)
    for session in plant.sessions.sessions:
        outcome = outcomes[session.charger_id, session.arrival.astimezone(plant.scenario.zone)]
        assert outcome.departed == (session.departure <= plant.scenario.ends)


def test_chargers_that_nobody_asks_fill_the_cars_as_far_as_asked(day: World) -> None:
    for outcome in day.outcomes:
        if outcome.departed:
            assert outcome.got_kwh == pytest.approx(outcome.asked_kwh, abs=0.02), outcome


def test_the_meters_add_up_to_what_the_chargers_counted(plant: Plant, day: World) -> None:
    begins, ends = (t.astimezone(UTC) for t in (plant.scenario.begins, plant.scenario.ends))
    for number, charger in enumerate(day.park.ids):
        metered = day.metered_kw(f"charger:{charger}", begins, ends, QUARTER)
        counted = day.park.imported_kwh[number] - day.park.exported_kwh[number]
        assert sum(metered) / 4 == pytest.approx(counted, abs=0.01)


def test_a_bus_is_metered_with_everything_at_it(plant: Plant, day: World) -> None:
    start, end = BEGIN + timedelta(hours=6), BEGIN + timedelta(hours=8)
    bus = plant.bus_of["house-01"]
    there = [c for c, b in plant.bus_of.items() if b == bus]
    chargers = np.sum([day.metered_kw(f"charger:{c}", start, end, QUARTER) for c in there], axis=0)
    base = day.injections.p_kw[360:480, plant.grid.index(bus)].reshape(-1, 15).mean(axis=1)
    assert day.metered_kw(bus, start, end, QUARTER) == pytest.approx(base + chargers, abs=1e-3)


def test_pv_feeds_in_by_day_and_not_by_night(plant: Plant, day: World) -> None:
    roof, midnight = f"pv:{plant.bus_of['office-01']}", BEGIN + timedelta(hours=12)
    noon = day.metered_kw(roof, BEGIN, BEGIN + QUARTER, QUARTER)
    night = day.metered_kw(roof, midnight, midnight + QUARTER, QUARTER)
    assert noon[0] < -1.0
    assert night == (0.0,)


@pytest.mark.parametrize("location", ["charger:none", "pv:none", "none", "gas:office", "charger:", ""])
def test_a_place_without_a_meter_is_told(day: World, location: str) -> None:
    with pytest.raises(LookupError, match=f"there is no meter at {location}"):
        day.metered_kw(location, BEGIN, BEGIN + QUARTER, QUARTER)


def test_what_has_not_been_is_not_metered(plant: Plant) -> None:
    now = [BEGIN]
    of = World(plant, Charging(plant.specs, plant.fleet(), lambda: now[0]), "with", recorder(plant), lambda: now[0])
    of.begin()
    for _ in range(15):
        now[0] += MINUTE
        of.pass_to(now[0])
    office = plant.bus_of["office-01"]
    assert len(of.metered_kw(office, BEGIN, BEGIN + QUARTER, QUARTER)) == 1
    for start, end in (
        (BEGIN, BEGIN + 2 * QUARTER),
        (BEGIN - QUARTER, BEGIN),
        (BEGIN, BEGIN + timedelta(minutes=10)),
    ):
        with pytest.raises(LookupError, match="the meters have no readings from"):
            of.metered_kw(office, start, end, QUARTER)


def test_power_is_balanced_in_every_minute(plant: Plant) -> None:
    """What comes through the transformer is load, PV, chargers and losses."""
    series = recorder(plant)
    of = without_flexibility(plant, series)
    names = ("trafo_p_kw", "load_kw", "pv_kw", "fleet_p_kw", "losses_kw")
    trafo, load, pv, fleet, losses = (series_of(series, name) for name in names)
    assert len(trafo) == plant.minutes
    assert trafo == pytest.approx(load + pv + fleet + losses, abs=1e-6)
    assert fleet.sum() / 60 == pytest.approx((of.park.imported_kwh - of.park.exported_kwh).sum(), abs=1e-6)


def series_of(series: SeriesRecorder, name: str) -> np.ndarray:
    """One column of what was recorded so far."""
    from environment.series import SCALARS

    return series._values[: len(series), SCALARS.index(name)]


def test_sensors_read_the_nominal_voltage_before_the_first_minute_and_then_the_networks(plant: Plant) -> None:
    now = [BEGIN]
    of = World(plant, Charging(plant.specs, plant.fleet(), lambda: now[0]), "with", recorder(plant), lambda: now[0])
    of.begin()
    office = plant.bus_of["office-01"]
    assert of.voltage_v(office) == NOMINAL_V
    now[0] += MINUTE
    of.pass_to(now[0])
    assert of.state is not None
    assert of.voltage_v(office) == of.state.vm_pu[plant.grid.index(office)] * NOMINAL_V != NOMINAL_V
    with pytest.raises(LookupError, match="there is no bus nowhere"):
        of.voltage_v("nowhere")
    assert 49.5 < of.frequency_hz() < 50.5


def test_without_a_series_the_network_is_solved_for_those_only_who_read_a_voltage(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And they read what they would have read."""
    solved: list[object] = []
    solve = FastPhysics.solve_each

    def counted(grid: FastPhysics, *arguments: object) -> object:
        solved.append(arguments)
        return solve(grid, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FastPhysics, "solve_each", counted)
    now, read = [BEGIN], []
    for series in (recorder(plant), None):
        now[0] = BEGIN
        park = Charging(plant.specs, plant.fleet(), lambda: now[0])
        of = World(plant, park, "with", series, lambda: now[0])
        of.begin()
        solved.clear()
        for minute in range(30):
            now[0] += MINUTE
            of.pass_to(now[0])
            if minute in (9, 10, 29):
                read.append((park.voltage_v.copy(), park.voltage_v.copy(), of.voltage_v(plant.bus_of["office-01"])))
        assert len(solved) == (3 if series is None else 30)
    for kept, alone in zip(read[:3], read[3:], strict=True):
        assert kept[0] == pytest.approx(alone[0], abs=1e-6)
        assert list(alone[0]) == list(alone[1])
        assert kept[2] == pytest.approx(alone[2], abs=1e-6)


def test_minutes_that_are_worked_off_late_lose_no_energy(plant: Plant) -> None:
    """On a scaled clock that lags, several minutes end at one reading of the meters."""
    now = [BEGIN]
    of = World(plant, Charging(plant.specs, plant.fleet(), lambda: now[0]), "with", recorder(plant), lambda: now[0])
    of.begin()
    due = BEGIN
    for minutes in (1, 3, 1, 5, 2) * 10:
        now[0] += minutes * MINUTE
        while due < now[0]:
            due += MINUTE
            of.pass_to(due)
    metered = sum(sum(of.metered_kw(f"charger:{c}", BEGIN, BEGIN + 120 * MINUTE, QUARTER)) / 4 for c in of.park.ids)
    assert metered == pytest.approx((of.park.imported_kwh - of.park.exported_kwh).sum(), abs=0.05)


# ---- places and faults -----------------------------------------------------------------------------------------------


def test_households_get_a_bus_each_while_there_are_free_ones() -> None:
    grid = Grid.load("rural2")
    found = places(scenario(), grid)
    assert len(found) == 12
    households = [bus for charger, bus in found.items() if not charger.startswith("office")]
    assert len(set(households)) == len(households) == 10
    assert {bus for charger, bus in found.items() if charger.startswith("office")} == set(grid.places["office"])


def test_a_bus_for_each_charger_is_taken_as_it_stands() -> None:
    grid = Grid.load("rural2")
    one, two = grid.buses[3], grid.buses[1]
    of = scenario(('buses = ["office"]', f'buses = ["{one}", "{two}"]'))
    found = places(of, grid)
    assert (found["office-01"], found["office-02"]) == (one, two)


def test_a_bus_that_is_not_there_is_named_with_its_site() -> None:
    with pytest.raises(ScenarioError) as error:
        places(scenario(('buses = ["office"]', 'buses = ["nowhere"]')), Grid.load("rural2"))
    assert str(error.value) == ("small.toml: site[1].buses: network 'rural2' has no low-voltage bus 'nowhere'")


FAULTS = "".join(
    f'[[fault]]\nkind = "charger-{kind}"\ntarget = "{target}"\nstart = "{start}"\nend = "{end}"\n'
    for kind, target, start, end in (
        ("silent", "house-01", "17:00", "18:00"),
        ("nonsense", "house-02", "22:00", "02:00"),
    )
)


@pytest.mark.parametrize(
    ("clock", "faulty"),
    [
        ("16:59", {}),
        ("17:00", {"house-01": ChargerFault.SILENT}),
        ("17:59", {"house-01": ChargerFault.SILENT}),
        ("18:00", {}),
        ("22:00", {"house-02": ChargerFault.NONSENSE}),
        ("01:59", {"house-02": ChargerFault.NONSENSE}),
        ("02:00", {}),
    ],
)
def test_faults_last_from_their_start_to_their_end_also_over_midnight(
    clock: str, faulty: dict[str, ChargerFault]
) -> None:
    of = scenario(("\n[drivers]", f"\n{FAULTS}\n[drivers]"))
    at = datetime.fromisoformat(f"2026-03-18T{clock}").replace(tzinfo=of.zone)
    assert faults_at(of, at) == faulty


# ---- the last quarter of an hour, timers, an island ------------------------------------------------------------------


def at_minute(plant: Plant, minutes: int) -> World:
    """A world in which so many minutes have passed, and nobody asks the chargers anything."""
    now = [plant.scenario.begins.astimezone(UTC)]
    columns = ISLAND_COLUMNS if plant.island else ()
    chargers = [s.charger_id for s in plant.specs]
    kept = SeriesRecorder("UTC", plant.grid.buses, chargers, lines=plant.networks.lines, extra=columns)
    of = World(plant, Charging(plant.specs, plant.fleet(), lambda: now[0]), "with", kept, lambda: now[0])
    of.begin()
    for _ in range(minutes):
        now[0] += MINUTE
        of.pass_to(now[0])
    return of


@pytest.fixture(scope="module")
def islet() -> Plant:
    return build(parse(ISLAND, "islet.toml"), streams(1))


@pytest.mark.parametrize(("minutes", "first"), [(15, 0), (29, 0), (810, 795), (824, 795)])
def test_the_few_meters_read_the_last_whole_quarter_of_an_hour(islet: Plant, minutes: int, first: int) -> None:
    """The mean power at each bus, chargers included, solved as one state; what came after does not count."""
    of = at_minute(islet, minutes)
    state = of.last_quarter()
    rows = slice(first, first + 15)
    p_kw = of.injections.p_kw[rows].mean(axis=0)
    begins = islet.scenario.begins.astimezone(UTC)
    start, end = begins + first * MINUTE, begins + (first + 15) * MINUTE
    for charger in of.park.ids:
        p_kw[islet.grid.index(islet.bus_of[charger])] += of.metered_kw(f"charger:{charger}", start, end, QUARTER)[0]
    expected = islet.grid.solve(p_kw, of.injections.q_kvar[rows].mean(axis=0))
    assert state.vm_pu == pytest.approx(expected.vm_pu, abs=1e-6)
    assert state.at == begins + first * MINUTE


def test_a_connections_meter_and_its_chargers_meters_are_all_that_is_at_the_bus(islet: Plant) -> None:
    """What the manager of a building tells by 2.1 adds up to the bus's own meter, hour by hour."""
    of = at_minute(islet, 120)
    begins = islet.scenario.begins.astimezone(UTC)
    bus = islet.bus_of["building-01"]
    meter = ConnectionMeter(of, [islet.grid.index(islet.bus_of[c]) for c in islet.bus_of if c.startswith("building")])
    whole = of.metered_kw(bus, begins, begins + 8 * QUARTER, QUARTER)
    there = [c for c, place in islet.bus_of.items() if place == bus]
    for number, kw in enumerate(whole):
        start, end = begins + number * QUARTER, begins + (number + 1) * QUARTER
        chargers = sum(of.metered_kw(f"charger:{c}", start, end, QUARTER)[0] for c in there)
        assert meter.measured(start, end).p_kw + chargers == pytest.approx(kw, abs=1e-3)


def test_before_the_first_quarter_has_passed_the_meters_read_the_first_minute(islet: Plant) -> None:
    of = at_minute(islet, 0)
    expected = islet.grid.solve(of.injections.p_kw[0], of.injections.q_kvar[0])
    assert of.last_quarter().vm_pu == pytest.approx(expected.vm_pu)


def test_chargers_with_a_timer_draw_nothing_in_the_evening_before_it(islet: Plant) -> None:
    """`charges_from` of the manager reaches the charger by the session: houses and the building wait for 22:00."""
    of = at_minute(islet, 13 * 60 + 30)
    begins = islet.scenario.begins.astimezone(UTC)
    evening, night = begins + timedelta(hours=12, minutes=30), begins + timedelta(hours=13)
    waiting = [c for c in of.park.ids if not c.startswith("company")]
    before = [of.metered_kw(f"charger:{c}", evening, night, QUARTER) for c in waiting]
    after = [of.metered_kw(f"charger:{c}", night, night + 2 * QUARTER, QUARTER)[1] for c in waiting]
    assert np.max(before) == 0.0
    assert sum(kw > 5 for kw in after) >= 5


def test_each_case_of_an_island_has_its_own_frequency_and_a_synchronous_area_one_for_both(
    islet: Plant, plant: Plant
) -> None:
    one, other = at_minute(islet, 1), at_minute(islet, 1)
    assert one.island is not None
    assert one.frequency is one.island is not other.frequency
    assert at_minute(plant, 1).island is None
    assert at_minute(plant, 1).frequency is at_minute(plant, 1).frequency is plant.frequency


def test_an_islands_demand_has_what_the_chargers_drew(islet: Plant) -> None:
    of = at_minute(islet, 810)
    assert of.island is not None
    state = of.island.state
    assert state is not None
    begins = islet.scenario.begins.astimezone(UTC)
    assert state.start == begins + 809 * MINUTE
    drawn = sum(of.metered_kw(f"charger:{c}", state.start, begins + 810 * MINUTE, MINUTE)[0] for c in of.park.ids)
    assert drawn > 20, "it is half past ten in the evening"
    assert state.ev_kw == pytest.approx(drawn, abs=1e-3)
    assert state.dispatch.demand_kw == pytest.approx(state.demand_kw + state.ev_kw)
    assert of.frequency_hz() == of.island.at(begins + 810 * MINUTE)


def test_a_metered_bus_that_is_not_there_is_told_with_its_place_before_anything_starts() -> None:
    loaded = parse(changed(('LV2.101 Bus 78", "LV2', 'LV9.1 Bus 1", "LV2'), text=ISLAND), "t.toml")
    with pytest.raises(ScenarioError) as error:
        build(loaded, streams(1))
    assert str(error.value).endswith("grid.metered: network 'rural2' has no low-voltage bus 'LV9.1 Bus 1'")


class Listening:
    """Chargers that note from where their response is to be counted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def nominate(self, charger_id: str, baseline_kw: float | None) -> None:
        self.told.append((charger_id, baseline_kw))


def test_a_nomination_is_told_once_and_taken_back(plant: Plant) -> None:
    park, wanted = Listening(), [{}, {"a": 3.0, "b": 0.0}, {"a": 3.0, "b": 0.0}, {"b": -1.0}, {}]
    of = World(plant, Charging(plant.specs, plant.fleet(), lambda: BEGIN), "with", recorder(plant), lambda: BEGIN)
    of.nominate()  # nobody nominates anything here
    of.park, of.nominations = park, lambda: wanted.pop(0)  # type: ignore[assignment]
    for _ in range(5):
        of.nominate()
    assert park.told == [("a", 3.0), ("b", 0.0), ("a", None), ("b", -1.0), ("b", None)]
