"""The physical world of a run: vehicles come and go, chargers charge, the network carries it, minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path

import numpy as np

from agents.grid_view import Floats, GridState
from environment.acts import AREA_DEVICE, Noting
from environment.campus_plant import CampusPlant, RecordedFeed, RetailList, build_campuses, campus_columns, campus_row
from environment.campus_scenario import CampusScenario
from environment.charger_device import ChargerFault, ChargerSpec
from environment.charger_map import NOMINAL_V
from environment.charging import Charging
from environment.frequency import CONTINENTAL_EUROPE, FrequencySource, SwingModel
from environment.grid import Grid, GridError
from environment.island_plant import IslandPlant, build_island, island_row
from environment.island_scenario import IslandScenario
from environment.networks import Networks, merged
from environment.physical_grid import PhysicalGrid
from environment.price_following import OrderedCharging, PriceFollowing
from environment.profiles import Profiles, standard_offset
from environment.public_plant import PublicPlant, build_public
from environment.public_scenario import PublicScenario
from environment.scenario import Scenario, ScenarioError
from environment.scenario_parts import SitePart
from environment.series import ISLAND_COLUMNS, Case, SeriesRecorder
from environment.sessions import Session, Sessions, generate
from environment.sessions_csv import read_csv
from environment.summary import DriverOutcome
from environment.vehicles import Fleet

MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Plant:
    """What both cases of a run share: the networks, the chargers' places, the sessions, and where the frequency comes
    from: a synchronous area that our vehicles do not move, or an island or an area that they do."""

    scenario: Scenario
    networks: Networks
    specs: tuple[ChargerSpec, ...]
    bus_of: Mapping[str, str]
    sessions: Sessions
    frequency: FrequencySource | IslandPlant | CampusPlant
    public: PublicPlant | None = None

    @property
    def grid(self) -> Grid:
        """The network, where there is one; the first of several."""
        return self.networks.members[0].grid

    @property
    def profiles(self) -> Profiles:
        """The profiles of `grid`."""
        return self.networks.members[0].profiles

    @property
    def island(self) -> IslandPlant | None:
        """The power system of the island, None in a synchronous area."""
        return self.frequency if isinstance(self.frequency, IslandPlant) else None

    @property
    def campus(self) -> CampusPlant | None:
        """The campuses and their synchronous area, None in another demonstrator."""
        return self.frequency if isinstance(self.frequency, CampusPlant) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The series' further columns."""
        if self.campus is not None:
            return campus_columns([network.name for network in self.networks.members])
        if self.public is not None:
            return self.public.columns
        return ISLAND_COLUMNS if self.island else ()

    @property
    def minutes(self) -> int:
        """How long the run is."""
        return (self.scenario.ends.astimezone(UTC) - self.scenario.begins.astimezone(UTC)) // MINUTE

    @property
    def step(self) -> timedelta:
        """How long the world stays as it is: a minute, on a medium-voltage network of many customers a quarter hour."""
        return MINUTE if self.public is None else QUARTER

    @property
    def steps(self) -> int:
        """How many of them the run has."""
        return timedelta(minutes=self.minutes) // self.step

    def fleet(self) -> Fleet:
        """The vehicles as they are before the run."""
        return Fleet(self.sessions.vehicles)


def build(scenario: Scenario, streams: Mapping[str, np.random.Generator], folder: Path | None = None) -> Plant:
    """The plant of a scenario. Raises ScenarioError, GridError or SessionsError, each line naming what is wrong.

    `folder`: where a relative path of the scenario's sessions, or of its DSO's signals, starts.
    """
    offset = standard_offset(scenario.zone, scenario.scenario.start.year)
    networks = Networks.load(scenario.grids, offset)
    bus_of = places(scenario, networks)
    specs = tuple(_spec(site, charger_id) for site in scenario.sites for charger_id in site.charger_ids())
    if scenario.drivers.sessions_csv is None:
        sessions = generate(streams["sessions"], scenario)
    else:
        sessions = read_csv((folder or Path()) / scenario.drivers.sessions_csv, scenario)
    frequency: FrequencySource | IslandPlant | CampusPlant
    if isinstance(scenario, IslandScenario):
        for bus in scenario.grid.metered:
            if bus not in networks.bus_index:
                fault = f"grid.metered: network {networks.members[0].grid.name!r} has no low-voltage bus {bus!r}"
                raise ScenarioError(scenario.source, [fault])
        frequency = build_island(scenario, streams["frequency"], offset)
    elif isinstance(scenario, CampusScenario):
        frequency = build_campuses(scenario, streams["frequency"], folder or Path())
    elif isinstance(scenario, PublicScenario):
        return _public(scenario, streams, networks, folder or Path())
    else:
        frequency = SwingModel(CONTINENTAL_EUROPE, scenario.begins, rng=streams["frequency"])
    return Plant(scenario, networks, specs, bus_of, sessions, frequency)


def _public(
    scenario: PublicScenario, streams: Mapping[str, np.random.Generator], networks: Networks, folder: Path
) -> Plant:
    """The plant of public stations: no site has sessions of its own, the drivers come and go as they choose."""
    public = build_public(scenario, streams["needs"], networks, folder)
    frequency = SwingModel(CONTINENTAL_EUROPE, scenario.begins, rng=streams["frequency"])
    return Plant(
        scenario, networks, public.specs(), public.bus_of(), Sessions(public.cars(), ()), frequency, public=public
    )


def _spec(site: SitePart, charger_id: str) -> ChargerSpec:
    delay_s, ramp = site.answer()
    return ChargerSpec(charger_id, site.max_charge_kw, site.max_discharge_kw, delay_s=delay_s, ramp_kw_per_s=ramp)


def places(scenario: Scenario, grid: Grid | Networks) -> dict[str, str]:
    """The bus of each charger. Sites that name a place of several buses take them in turn, none twice while there are
    free ones."""
    used: dict[str, int] = {}
    found: dict[str, str] = {}
    for number, site in enumerate(scenario.sites, start=1):
        named = [site.buses] if isinstance(site.buses, str) else list(site.buses)
        try:
            buses = [bus for name in named for bus in grid.resolve(scenario.place_of(site, name))]
        except GridError as error:
            place = f"{scenario.site_table}[{number}].buses"
            raise ScenarioError(scenario.source, [f"{place}: {error}"]) from error
        for index, charger_id in enumerate(site.charger_ids()):
            if len(named) == site.chargers and len(buses) == site.chargers:
                bus = buses[index]
            else:
                bus = min(buses, key=lambda b: used.get(b, 0))
            used[bus] = used.get(bus, 0) + 1
            found[charger_id] = bus
    return found


class World:
    """One case of a run: `park` with its chargers, and the network around them. Call `pass_to` at the end of each
    `plant.step`. Without a `series` the network is solved for those steps only at whose voltages somebody looks."""

    def __init__(
        self, plant: Plant, park: Charging, case: Case, series: SeriesRecorder | None, now: Callable[[], datetime]
    ) -> None:
        self.plant = plant
        self.park = park
        self.case: Case = case
        self.series = series
        self._now = now
        self.island = None if plant.island is None else plant.island.case()
        self.area = None if plant.campus is None else plant.campus.case()
        self.response: RecordedFeed | None = None
        if self.area is not None and case == "with":
            # Without the service nobody answers the frequency, and the area goes on by itself.
            park.feed = self.response = RecordedFeed(self.area, 60 * plant.minutes)
            self.area.fed_by(park.advance)
        self.nominations: Callable[[], Mapping[str, float]] | None = None
        self.noting: Noting | None = None
        self._nominated: Mapping[str, float] = {}
        self._told: Mapping[str, float] = {}
        self._began: frozenset[str] = frozenset()
        self.frequency: FrequencySource = self.island or self.area or plant.frequency  # type: ignore[assignment]
        self._begins = plant.scenario.begins.astimezone(UTC)
        self._step = plant.step
        injections = plant.networks.minutes if plant.step == MINUTE else plant.networks.periods
        self.injections = injections(plant.scenario.begins, plant.steps)
        self._physical = PhysicalGrid(*(member.grid for member in plant.networks.members))
        self._bus = np.array([plant.networks.index(plant.bus_of[c]) for c in park.ids])
        self._before_kwh = park.imported_kwh - park.exported_kwh
        self._last_kw = np.zeros(len(park.ids))
        self._read_at = now()
        self._charger_kw = np.zeros((plant.steps, len(park.ids)))
        self._done = 0
        self._solve: Callable[[], list[GridState]] | None = None
        self.outcomes: list[DriverOutcome] = []
        self._arrivals = sorted(plant.sessions.sessions, key=lambda s: (s.arrival, s.charger_id))
        self._present: dict[str, Session] = {}

    def now(self) -> datetime:
        """The time by the run's clock."""
        return self._now()

    def begin(self) -> None:
        """Before the first step: who is there already, and the network as it stands."""
        self._come_and_go(self._begins)
        self.park.observe(NOMINAL_V, self.frequency.at(self._begins))

    def pass_to(self, now: datetime) -> None:
        """The step that ends at `now` (UTC): what the chargers drew, what the network made of it; then who comes and
        goes. On a scaled clock that is behind, the next steps follow one after the other."""
        row = (now - self._begins) // self._step - 1
        self.park.advance()
        meter_kwh = self.park.imported_kwh - self.park.exported_kwh
        if (elapsed := self._now() - self._read_at) > timedelta(0):
            # On a scaled clock that is behind, more than a step may have been counted since the last reading.
            self._last_kw = (meter_kwh - self._before_kwh) / (elapsed / HOUR)
            self._before_kwh, self._read_at = meter_kwh.copy(), self._now()
        charger_kw = self._last_kw
        self._charger_kw[row] = charger_kw
        p_kw = self.injections.p_kw[row].copy()
        np.add.at(p_kw, self._bus, charger_kw)
        start = self._begins + row * self._step
        self._solve = cache(partial(self._physical.solve_each, p_kw, self.injections.q_kvar[row], start))
        if self.series is not None:
            self._solve()
        if self.island is not None:
            self.island.minute(start, float(charger_kw.sum()))
        self.park.observe(partial(self._voltages, self._solve), self.frequency.at(now))
        if self.series is not None:
            self._keep(self.series, row, charger_kw)
        self._done = row + 1
        self._come_and_go(now)

    @property
    def state(self) -> GridState | None:
        """The network in the last step, None before the first. Raises PowerFlowError."""
        return None if self._solve is None else merged(self._solve())

    def _voltages(self, solve: Callable[[], list[GridState]]) -> Floats:
        """Volts at each charger, line to neutral."""
        return np.asarray(merged(solve()).vm_pu[self._bus] * NOMINAL_V)

    def _keep(self, series: SeriesRecorder, row: int, charger_kw: Floats) -> None:
        """The row of the step that is over."""
        assert self._solve is not None
        states = self._solve()
        state, start, soc = merged(states), self._begins + row * self._step, self.park.soc_percent()
        series.append(
            start,
            self.case,
            trafo_loading_percent=state.trafo_loading_percent,
            trafo_p_kw=states[0].trafo_p_kw,
            losses_kw=state.losses_kw,
            line_loading_percent_max=max(float(each.line_loading_percent.max(initial=0.0)) for each in states),
            load_kw=float(self.injections.load_kw[row]),
            pv_kw=float(self.injections.pv_kw[row]),
            frequency_hz=self.frequency.at(start),
            vm_pu=state.vm_pu,
            line_loading_percent=state.line_loading_percent,
            p_kw=charger_kw,
            soc_percent=soc,
            connected=~np.isnan(soc),
            extra=self._extra(row, states),
        )

    def nominate(self) -> None:
        """Takes over from where the response of chargers in frequency control is counted, as it stands now; of one that
        has just begun from the next time on, when it has come to its baseline."""
        if self.nominations is None:
            return
        told = self.nominations()
        wanted = {charger_id: kw for charger_id, kw in told.items() if charger_id in self._began}
        self._began = frozenset(told)
        if self.noting is not None and told != self._told:
            self.noting.note(AREA_DEVICE, "nominate", chargers=dict(told))
        self._told = dict(told)
        for charger_id in sorted(self._nominated.keys() | wanted.keys()):
            if self._nominated.get(charger_id) != wanted.get(charger_id):
                self.park.nominate(charger_id, wanted.get(charger_id))
        self._nominated = dict(wanted)

    def _extra(self, row: int, states: Sequence[GridState]) -> Mapping[str, float] | None:
        """The further columns of the step `row`."""
        if self.plant.campus is not None:
            return campus_row([network.name for network in self.plant.networks.members], states)
        return None if self.island is None else island_row(self.island)

    @property
    def present(self) -> Mapping[str, Session]:
        """The sessions of the vehicles that are plugged in, by charger."""
        return self._present

    def _come_and_go(self, now: datetime) -> None:
        for charger_id, session in sorted(self._present.items()):
            if session.departure <= now:
                soc = self.park.unplug(charger_id)
                self._outcome(session, soc, departed=True)
                del self._present[charger_id]
        while self._arrivals and self._arrivals[0].arrival <= now:
            session = self._arrivals.pop(0)
            self.park.plug_in(
                session.charger_id,
                session.vehicle_id,
                soc=session.soc_arrival_percent / 100,
                target_soc=session.soc_wanted_percent / 100,
                starts_at=session.charges_from,
            )
            self._present[session.charger_id] = session

    def _outcome(self, session: Session, soc: float, *, departed: bool) -> None:
        capacity = session.capacity_kwh
        self.outcomes.append(
            DriverOutcome(
                owner=f"ev-{session.charger_id}",
                charger_id=session.charger_id,
                vehicle_id=session.vehicle_id,
                arrival=session.arrival.astimezone(self.plant.scenario.zone),
                departure=session.departure.astimezone(self.plant.scenario.zone),
                asked_kwh=max(0.0, session.soc_wanted_percent - session.soc_arrival_percent) / 100 * capacity,
                got_kwh=(soc - session.soc_arrival_percent / 100) * capacity,
                departed=departed,
            )
        )

    def finish(self) -> None:
        """After the last step: those who are still there have neither been served nor gone short."""
        for charger_id, session in sorted(self._present.items()):
            soc = self.park.fleet.soc[self.park.fleet.index[session.vehicle_id]]
            self._outcome(session, float(soc), departed=False)
            del self._present[charger_id]

    # ---- what meters and sensors read ----------------------------------------------------------------------------

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        """Mean kW of each period, positive drawn, at `charger:<id>`, `pv:<bus>` or a bus (everything at it).

        Raises LookupError, in words, for a place that has no meter and for time that has not passed.
        """
        rows, length = self.readings(start, end, period)
        kind, _, name = location.rpartition(":")
        if kind == "charger" and name in self.park.index:
            series = self._charger_kw[rows, self.park.index[name]]
        elif kind == "pv" and name in self.plant.networks.bus_index:
            series = self.injections.pv_kw_by_bus[rows, self.plant.networks.index(name)]
        elif not kind and name in self.plant.networks.bus_index:
            bus = self.plant.networks.index(name)
            series = self.injections.p_kw[rows, bus] + self._charger_kw[rows][:, self._bus == bus].sum(axis=1)
        else:
            raise LookupError(f"there is no meter at {location}")
        return tuple(round(float(kw), 4) for kw in series.reshape(-1, length).mean(axis=1))

    def readings(self, start: datetime, end: datetime, period: timedelta) -> tuple[slice, int]:
        """The steps from `start` to `end`, and how many of them make a period. Raises LookupError, as `metered_kw`."""
        first, last = ((t.astimezone(UTC) - self._begins) // self._step for t in (start, end))
        length = max(1, period // self._step)
        if first < 0 or last > self._done or (last - first) % length or period % self._step:
            raise LookupError(f"the meters have no readings from {start.isoformat()} to {end.isoformat()}")
        return slice(first, last), length

    def last_quarter(self) -> GridState:
        """The network as it was on average in the last whole quarter of an hour, as its few meters saw it."""
        count = QUARTER // self._step
        last = self._done - self._done % count
        rows = slice(max(0, last - count), max(1, last))
        p_kw, q_kvar = self.injections.p_kw[rows].mean(axis=0), self.injections.q_kvar[rows].mean(axis=0)
        np.add.at(p_kw, self._bus, self._charger_kw[rows].mean(axis=0))
        return self.plant.networks.solve(p_kw, q_kvar, at=self._begins + rows.start * self._step)

    def voltage_v(self, location: str) -> float:
        """Phase to neutral voltage at a bus in the last step. Raises LookupError for an unknown one."""
        if location not in self.plant.networks.bus_index:
            raise LookupError(f"there is no bus {location}")
        if (state := self.state) is None:
            return NOMINAL_V
        return float(state.vm_pu[self.plant.networks.index(location)]) * NOMINAL_V

    def frequency_hz(self) -> float:
        """The frequency now."""
        return self.frequency.at(self._now())


def without_flexibility(plant: Plant, series: SeriesRecorder) -> World:
    """The same day with chargers that nobody asks anything: what the service is measured against."""
    at = [plant.scenario.begins.astimezone(UTC)]
    park = OrderedCharging(plant.specs, plant.fleet(), lambda: at[0])
    world = World(plant, park, "without", series, lambda: at[0])
    following = None
    if isinstance(plant.scenario, CampusScenario):
        following = PriceFollowing(plant.scenario, park, RetailList(plant.scenario), lambda: at[0])
    world.begin()
    for _ in range(plant.minutes):
        if following is not None:
            following.minute(world.present)
        at[0] += MINUTE
        world.pass_to(at[0])
    world.finish()
    return world


def faults_at(scenario: Scenario, now: datetime) -> dict[str, ChargerFault]:
    """The chargers that are out of order at this moment, and how."""
    clock = now.astimezone(scenario.zone).time()
    broken = [fault for fault in scenario.fault if fault.kind.startswith("charger") and fault.at(clock)]
    return {fault.target: ChargerFault(fault.kind) for fault in broken}


def meter_faults_at(scenario: Scenario, now: datetime) -> dict[str, str]:
    """The frequency meters that are out of order at this moment, and how."""
    clock = now.astimezone(scenario.zone).time()
    return {f.target: f.kind for f in scenario.fault if f.kind.startswith("meter") and f.at(clock)}
