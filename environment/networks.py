"""The networks of a run: one, or several that have nothing to do with each other but the area's frequency.

Each is solved by itself behind a stiff source of its own. Where there are several, each has a name, which stands
before the names of its buses, lines and transformer ("bornholm LV2.101 Bus 21"), so that what is shipped once can stand
for two places. Together they look like one network: buses one after the other, and one state, in which the transformer
is the first network's, and the lines are those of all, the transformer of each further network after its own lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from agents.grid_view import Floats, GridState
from environment.grid import Grid, GridError
from environment.profiles import Injections, Profiles
from environment.scenario_parts import GridPart


@dataclass(frozen=True, eq=False)
class Network:
    """One of them: `name` is "" where it is the only one."""

    name: str
    grid: Grid
    profiles: Profiles


class Networks:
    """All of them; arrays are in the order of `buses`. kW and kvar, drawn is positive."""

    def __init__(self, members: Sequence[Network]) -> None:
        """Raises GridError where there is none, or where two have a bus of one name."""
        if not members:
            raise GridError("a run needs a network")
        self.members = tuple(members)
        self.buses: tuple[str, ...] = tuple(bus for each in members for bus in each.grid.buses)
        self.bus_index: dict[str, int] = {bus: index for index, bus in enumerate(self.buses)}
        if len(self.bus_index) != len(self.buses):
            raise GridError("two networks of the run have a bus of the same name; give each network its own name")
        self.places: dict[str, tuple[str, ...]] = {k: v for each in members for k, v in each.grid.places.items()}
        edges = np.cumsum([0, *(len(each.grid.buses) for each in members)])
        self._slices = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        first, *others = (each.grid for each in members)
        self.lines: tuple[str, ...] = (
            *first.lines,
            *(name for grid in others for name in (*grid.lines, grid.transformer)),
        )
        """The lines of `merged`."""
        self._of = {bus: each for each in members for bus in each.grid.buses}

    @classmethod
    def load(cls, grids: Mapping[str, GridPart], standard_offset: timedelta) -> Networks:
        """The networks of a scenario by name, each with its profiles. Raises GridError."""
        return cls([_load(name, part, standard_offset) for name, part in grids.items()])

    def __getitem__(self, name: str) -> Network:
        """The network of that name. Raises KeyError."""
        return {each.name: each for each in self.members}[name]

    def network_of(self, bus: str) -> Network:
        """The network that a bus belongs to; GridError when there is no such bus."""
        self.index(bus)
        return self._of[bus]

    def index(self, bus: str) -> int:
        """The position of a bus; GridError names it when it does not exist."""
        if bus not in self.bus_index:
            return self._nearest(bus).grid.index(bus)
        return self.bus_index[bus]

    def resolve(self, name: str) -> tuple[str, ...]:
        """The buses behind the name of a bus or of a place; GridError where it is neither."""
        return self._nearest(name).grid.resolve(name)

    def feeder_of(self, bus: str) -> str:
        """The feeder of its own network that a bus hangs on; GridError where there is no such bus."""
        return self.network_of(bus).grid.feeder_of(bus)

    def minutes(self, start: datetime, count: int) -> Injections:
        """Everything but the chargers at every bus, `count` minutes from `start`."""
        return _together([member.profiles.minutes(start, count) for member in self.members])

    def periods(self, start: datetime, count: int) -> Injections:
        """Everything but the chargers at every bus, `count` quarter hours from `start`."""
        return _together([member.profiles.periods(start, count) for member in self.members])

    def solve(self, p_kw: Floats, q_kvar: Floats, *, at: datetime | None = None) -> GridState:
        """The state by the operators' own power flow. Raises PowerFlowError."""
        return merged(
            [
                member.grid.solve(p_kw[rows].copy(), q_kvar[rows].copy(), at=at)
                for member, rows in zip(self.members, self._slices, strict=True)
            ]
        )

    def _nearest(self, name: str) -> Network:
        """The network that has a name, or whose own name it begins with; else the first, which will say that it has
        not."""
        known = (each for each in self.members if name in each.grid.bus_index or name in each.grid.places)
        alike = (each for each in self.members if each.name and name.startswith(f"{each.name} "))
        return next(known, None) or next(alike, None) or self.members[0]


def merged(states: Sequence[GridState]) -> GridState:
    """One state of several networks; of one it is that one. Powers and losses through the transformers are summed."""
    if len(states) == 1:
        return states[0]
    first, others = states[0], states[1:]
    lines, loadings = list(first.lines), [first.line_loading_percent]
    for state in others:
        lines += [*state.lines, state.transformer]
        loadings += [state.line_loading_percent, np.array([state.trafo_loading_percent])]
    return GridState(
        tuple(bus for state in states for bus in state.buses),
        tuple(lines),
        first.transformer,
        np.concatenate([state.p_kw for state in states]),
        np.concatenate([state.q_kvar for state in states]),
        np.concatenate([state.vm_pu for state in states]),
        np.concatenate(loadings),
        first.trafo_loading_percent,
        sum(state.trafo_p_kw for state in states),
        sum(state.trafo_q_kvar for state in states),
        sum(state.losses_kw for state in states),
        first.at,
    )


def _load(name: str, part: GridPart, standard_offset: timedelta) -> Network:
    grid = Grid.load(part.network, transformer=part.transformer, line=part.line, source_pu=part.source_pu)
    if name:
        grid = named(grid, name)
    profiles = Profiles.load(grid, load_scale=part.load_scale, pv_scale=part.pv_scale, standard_offset=standard_offset)
    return Network(name, grid, profiles)


def named(grid: Grid, name: str) -> Grid:
    """The same network with `name` before the names of its buses, lines, transformer and places. `grid` is used up."""
    net = grid.net
    for table in ("bus", "line", "trafo"):
        net[table]["name"] = [f"{name} {old}" for old in net[table]["name"]]
    net["places"] = {f"{name} {k}": [f"{name} {bus}" for bus in v] for k, v in grid.places.items()}
    return Grid(net)


def _together(each: Sequence[Injections]) -> Injections:
    """The injections of several networks, one after the other."""
    if len(each) == 1:
        return each[0]
    return Injections(
        each[0].start,
        each[0].step,
        np.concatenate([one.p_kw for one in each], axis=1),
        np.concatenate([one.q_kvar for one in each], axis=1),
        np.sum([one.load_kw for one in each], axis=0),
        np.sum([one.pv_kw for one in each], axis=0),
        np.concatenate([one.pv_kw_by_bus for one in each], axis=1),
    )
