"""Who produces what on an island: which thermal units run, what the others give, and what wind is left out.

The rule, in this order:

1. Geothermal plants and run-of-river hydro give what they have; nothing turns them down.
2. Thermal units run for security (N-1): what those that run have left above their own load covers the loss of the
   largest infeed, and without the largest of them the rest still carries the load. Never fewer than a stated number.
   Each gives at least its least stable load.
3. Wind gives what it has, up to the room that is left above that thermal minimum; the rest of it is curtailed.
4. The thermal units that run carry what remains, all equally far between their minimum and their capacity.

Of the sets of units that are secure, the one that curtails least wind is taken, of these the one that burns least fuel.

kW, kWh and kg are magnitudes: production, consumption and what is curtailed are all >= 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Final

_TOLERANCE_KW: Final = 1e-9


class PlantKind(StrEnum):
    """What drives a plant; wind is the one that can be curtailed."""

    GEOTHERMAL = "geothermal"
    HYDRO = "hydro"
    WIND = "wind"
    THERMAL = "thermal"


@dataclass(frozen=True, slots=True)
class Plant:
    """One plant, or one unit of a thermal plant.

    `minimum_kw`: least stable load while it runs. `inertia_s`: H on `capacity_kw`, 0 behind a converter. `droop`: per
    unit of frequency for the whole capacity, None without primary control. Fuel is linear in the load:
    `fuel_no_load_kg_per_h` while it runs, `fuel_kg_per_kwh` for each kWh.
    """

    name: str
    kind: PlantKind
    capacity_kw: float
    minimum_kw: float = 0.0
    inertia_s: float = 0.0
    droop: float | None = None
    fuel_kg_per_kwh: float = 0.0
    fuel_no_load_kg_per_h: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that no plant has."""
        if not 0 <= self.minimum_kw <= self.capacity_kw:
            raise ValueError(f"plant {self.name}: 0 <= minimum {self.minimum_kw} <= capacity {self.capacity_kw} kW")
        no_droop = self.droop is not None and self.droop <= 0
        if min(self.inertia_s, self.fuel_kg_per_kwh, self.fuel_no_load_kg_per_h) < 0 or no_droop:
            raise ValueError(f"plant {self.name}: inertia and fuel are not negative, droop is positive or not given")

    def scaled(self, share: float) -> Plant:
        """The same plant as part of a slice of the system: power and fuel times `share`, times and ratios as they
        are."""
        return replace(
            self,
            capacity_kw=self.capacity_kw * share,
            minimum_kw=self.minimum_kw * share,
            fuel_no_load_kg_per_h=self.fuel_no_load_kg_per_h * share,
        )


@dataclass(frozen=True)
class Dispatch:
    """What every plant gives, in kW.

    `demand_kw`: all consumption, vehicles too. `committed`: the thermal units that run. `curtailed_kw`: wind that is
    there and not taken. `thermal_minimum_kw`: the least stable load of those that run. `unserved_kw`: demand beyond
    what all that run can give. `surplus_kw`: what is too much even without any wind. Always
    sum(production_kw) + unserved_kw - surplus_kw = demand_kw.
    """

    demand_kw: float
    production_kw: Mapping[str, float]
    available_kw: Mapping[str, float]
    kinds: Mapping[str, PlantKind]
    committed: tuple[str, ...]
    curtailed_kw: float
    thermal_minimum_kw: float
    thermal_kw: float
    unserved_kw: float
    surplus_kw: float

    def of_kind_kw(self, kind: PlantKind) -> float:
        """What all plants of a kind give."""
        return sum(kw for name, kw in self.production_kw.items() if self.kinds[name] is kind)

    @property
    def geothermal_kw(self) -> float:
        """What geothermal plants give."""
        return self.of_kind_kw(PlantKind.GEOTHERMAL)

    @property
    def hydro_kw(self) -> float:
        """What hydro plants give."""
        return self.of_kind_kw(PlantKind.HYDRO)

    @property
    def wind_kw(self) -> float:
        """Wind that is taken."""
        return self.of_kind_kw(PlantKind.WIND)

    @property
    def wind_available_kw(self) -> float:
        """Wind that is there: taken and curtailed."""
        return self.wind_kw + self.curtailed_kw


def largest_infeed_kw(plants: Iterable[Plant], available_kw: Mapping[str, float]) -> float:
    """What the loss of one plant can take away: the most that a plant which is not thermal can give. (The loss of a
    thermal unit is what `commit` looks at itself.)"""
    return max((_available(p, available_kw) for p in plants if p.kind is not PlantKind.THERMAL), default=0.0)


def residual_kw(plants: Iterable[Plant], demand_kw: float, available_kw: Mapping[str, float]) -> float:
    """What would be left for thermal units if all wind were taken; negative when there is too much."""
    return demand_kw - sum(_available(p, available_kw) for p in plants if p.kind is not PlantKind.THERMAL)


def commit(
    plants: Sequence[Plant],
    residual_kw: float,
    reserve_kw: float,
    *,
    least_thermal: int = 2,
    keep: Collection[str] = (),
) -> tuple[Plant, ...]:
    """The thermal units of `plants` that run, by rule 2, in the order of `plants`.

    `residual_kw`: what is left for thermal units if all wind is taken; `reserve_kw`: the largest infeed; `keep`: units
    that run already and must not stop yet. When no set is secure, all run.
    """
    groups: dict[Plant, list[Plant]] = {}
    for plant in plants:
        if plant.kind is PlantKind.THERMAL:
            groups.setdefault(replace(plant, name=""), []).append(plant)
    best: tuple[tuple[float, float, int], tuple[int, ...]] | None = None
    alike = [sorted(group, key=lambda p: p.name not in keep) for group in groups.values()]
    fewest = [sum(p.name in keep for p in group) for group in alike]
    for counts in product(*(range(least, len(group) + 1) for least, group in zip(fewest, alike, strict=True))):
        running = [p for group, count in zip(alike, counts, strict=True) for p in group[:count]]
        if len(running) < least_thermal or not _secure(running, residual_kw, reserve_kw):
            continue
        minimum = sum(p.minimum_kw for p in running)
        curtailed = max(0.0, minimum - residual_kw)
        fuel = _fuel_kg_per_h(running, _shares(running, max(minimum, residual_kw)))
        key = (round(curtailed, 6), round(fuel, 6), len(running))
        if best is None or key < best[0]:
            best = key, counts
    if best is None:
        return tuple(p for p in plants if p.kind is PlantKind.THERMAL)
    names = {p.name for group, count in zip(alike, best[1], strict=True) for p in group[:count]}
    return tuple(p for p in plants if p.name in names)


def dispatch(
    plants: Sequence[Plant],
    demand_kw: float,
    available_kw: Mapping[str, float],
    *,
    committed: Sequence[str] | None = None,
    least_thermal: int = 2,
) -> Dispatch:
    """What every plant gives, by the rule above.

    `available_kw`: what a plant could give now; one that is not named could give its capacity, and a thermal unit that
    could not give its minimum does not run. `committed`: the thermal units that run (None: as `commit` says for this
    very demand).
    """
    available = {plant.name: _available(plant, available_kw) for plant in plants}
    usable = [
        p for p in plants if p.kind is not PlantKind.THERMAL or available[p.name] >= max(p.minimum_kw, _TOLERANCE_KW)
    ]
    if committed is None:
        left = residual_kw(usable, demand_kw, available)
        running = commit(usable, left, largest_infeed_kw(usable, available), least_thermal=least_thermal)
    else:
        running = tuple(p for p in usable if p.name in committed and p.kind is PlantKind.THERMAL)
    must_run = {
        p.name: available[p.name] for p in plants if p.kind is PlantKind.GEOTHERMAL or p.kind is PlantKind.HYDRO
    }
    wind = {p.name: available[p.name] for p in plants if p.kind is PlantKind.WIND}
    minimum = sum(p.minimum_kw for p in running)
    capacity = sum(min(p.capacity_kw, available[p.name]) for p in running)
    wind_available = sum(wind.values())
    room = demand_kw - sum(must_run.values()) - minimum
    taken = min(wind_available, max(0.0, room))
    needed = demand_kw - sum(must_run.values()) - taken
    thermal = min(max(needed, minimum), capacity)
    share = taken / wind_available if wind_available > 0 else 0.0
    thermal_by_unit = _shares([replace(p, capacity_kw=min(p.capacity_kw, available[p.name])) for p in running], thermal)
    production = {
        p.name: must_run.get(p.name, wind.get(p.name, 0.0) * share + thermal_by_unit.get(p.name, 0.0)) for p in plants
    }
    return Dispatch(
        demand_kw=demand_kw,
        production_kw=production,
        available_kw=available,
        kinds={p.name: p.kind for p in plants},
        committed=tuple(p.name for p in running),
        curtailed_kw=wind_available - taken,
        thermal_minimum_kw=minimum,
        thermal_kw=thermal,
        unserved_kw=max(0.0, needed - thermal),
        surplus_kw=max(0.0, thermal - needed),
    )


def increase_that_avoids_curtailment(dispatched: Dispatch) -> float:
    """kW of consumption more that would let all the wind in, with the thermal units that run."""
    return dispatched.curtailed_kw + dispatched.surplus_kw if dispatched.curtailed_kw > 0 else 0.0


def fuel_kg(plants: Iterable[Plant], dispatched: Dispatch, hours: float) -> float:
    """Fuel burnt in `hours` of this dispatch: each running unit's no-load consumption and what its kWh take."""
    running = [p for p in plants if p.name in dispatched.committed]
    return _fuel_kg_per_h(running, dispatched.production_kw) * hours


def _available(plant: Plant, available_kw: Mapping[str, float]) -> float:
    return min(plant.capacity_kw, max(0.0, available_kw.get(plant.name, plant.capacity_kw)))


def _secure(running: Sequence[Plant], residual: float, reserve_kw: float) -> bool:
    """Whether these units cover the loss of the largest infeed, and the loss of the largest of themselves."""
    capacity = sum(p.capacity_kw for p in running)
    load = max(residual, sum(p.minimum_kw for p in running))
    spare = capacity - load - reserve_kw
    without_one = capacity - max((p.capacity_kw for p in running), default=0.0) - load
    return min(spare, without_one) >= -_TOLERANCE_KW


def _shares(running: Sequence[Plant], thermal_kw: float) -> dict[str, float]:
    """The load of each unit, all equally far between minimum and capacity."""
    minimum = sum(p.minimum_kw for p in running)
    span = sum(p.capacity_kw for p in running) - minimum
    far = min(1.0, (thermal_kw - minimum) / span) if span > 0 else 0.0
    return {p.name: p.minimum_kw + far * (p.capacity_kw - p.minimum_kw) for p in running}


def _fuel_kg_per_h(running: Iterable[Plant], load_kw: Mapping[str, float]) -> float:
    return sum(p.fuel_no_load_kg_per_h + p.fuel_kg_per_kwh * load_kw[p.name] for p in running)
