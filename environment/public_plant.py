"""What both cases of a run on public stations share: the stations, the drivers' needs and cars, the network's lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.grid_view import Floats, GridState
from agents.public_ports import StationSite
from environment.charger_device import ChargerSpec
from environment.feeders import sections_of
from environment.grid import Grid
from environment.networks import Networks
from environment.ov2xmp import Signal, read_file
from environment.ov2xmp_form import SignalError
from environment.public_columns import CAP, FLOW, HIGHEST, LOADING, REVERSE, STATION
from environment.public_needs import Needs, draw
from environment.public_scenario import PAGE_DRIVER, PublicScenario
from environment.scenario import ScenarioError
from environment.vehicles import Vehicle

TAPER_SOC = 0.8
"""Where a fast charger's curve begins to fall (an assumption; `environment.vehicles` has the slow ones')."""


@dataclass(frozen=True, eq=False)
class PublicPlant:
    """`lines`: those that feed something, in the network's order; `sections`: the buses that are fed through each;
    `guests`: cars of drivers whose needs are not drawn; `signals`: what the DSO sends besides what it decides."""

    stations: tuple[StationSite, ...]
    needs: Needs
    lines: tuple[str, ...]
    sections: Mapping[str, tuple[str, ...]]
    guests: tuple[Vehicle, ...] = ()
    signals: tuple[Signal, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The series' further columns."""
        ids = [site.station_id for site in self.stations]
        by_line = [kind + line for kind in (LOADING, FLOW, REVERSE) for line in self.lines]
        return (*by_line, *(kind + station for kind in (STATION, HIGHEST, CAP) for station in ids))

    def specs(self) -> tuple[ChargerSpec, ...]:
        """All chargers, one station after the other."""
        return tuple(
            ChargerSpec(charger, site.charger_kw, 0.0, public=True)
            for site in self.stations
            for charger in site.charger_ids
        )

    def cars(self) -> tuple[Vehicle, ...]:
        """Each driver's car, under the driver's name."""
        drawn = tuple(
            Vehicle(each.name, each.capacity_kwh, each.max_charge_kw, 0.0, taper_soc=TAPER_SOC)
            for each in self.needs.drivers
        )
        return drawn + self.guests

    def bus_of(self) -> dict[str, str]:
        """The bus of each charger."""
        return {charger: site.location for site in self.stations for charger in site.charger_ids}


def behind(sections: Mapping[str, Sequence[str]], buses: Sequence[str]) -> npt.NDArray[np.float64]:
    """1 where a bus is fed through a line, [lines, buses]."""
    return np.array([[float(bus in fed) for bus in buses] for fed in sections.values()])


def flow_kw(state: GridState, fed: Floats) -> Floats:
    """What is drawn through each line, kW, losses aside; below 0 where it flows back. `fed`: see `behind`."""
    found: Floats = fed @ state.p_kw
    return found


def build_public(
    scenario: PublicScenario, rng: np.random.Generator, networks: Networks, folder: Path | None = None
) -> PublicPlant:
    """The stations, the lines and the needs of a scenario, and its DSO's signals, whose path starts in `folder`.

    Raises ScenarioError where a station's bus is not there, and for each fault of the signals.
    """
    grid = networks.members[0].grid
    for number, site in enumerate(scenario.station, start=1):
        if site.bus not in grid.bus_index:
            known = ", ".join(grid.buses)
            fault = f"station[{number}].bus: network {grid.name!r} has no bus {site.bus!r}; there is {known}"
            raise ScenarioError(scenario.source, [fault])
    sections = sections_of(*_tree(grid))
    return PublicPlant(
        scenario.stations(),
        draw(rng, scenario),
        tuple(sections),
        sections,
        _guests(scenario),
        _signals(scenario, folder or Path()),
    )


def _signals(scenario: PublicScenario, folder: Path) -> tuple[Signal, ...]:
    """What the file says that the scenario names, if it names one."""
    if scenario.dso.signals_json is None:
        return ()
    try:
        return tuple(read_file(folder / scenario.dso.signals_json, scenario.stations(), scenario.begins))
    except SignalError as error:
        lines = [f"dso.signals_json: {line}" for line in str(error).splitlines()]
        raise ScenarioError(scenario.source, lines) from None


def _guests(scenario: PublicScenario) -> tuple[Vehicle, ...]:
    """The car of the driver whom a person plays: in the middle of what there is."""
    people = scenario.people
    if not people.page:
        return ()
    capacity_kwh, power_kw = (round(sum(span) / 2, 1) for span in (people.battery_kwh, people.max_charge_kw))
    return (Vehicle(PAGE_DRIVER, capacity_kwh, power_kw, 0.0, taper_soc=TAPER_SOC),)


def _tree(grid: Grid) -> tuple[str, list[tuple[str, str, str]]]:
    """The bus that everything hangs on, and each line with its ends."""
    net = grid.net
    name = dict(zip(net.bus.index, net.bus.name.astype(str), strict=True))
    ends = zip(grid.lines, net.line.from_bus, net.line.to_bus, strict=True)
    return name[net.trafo.lv_bus.iloc[0]], [(line, name[a], name[b]) for line, a, b in ends]
