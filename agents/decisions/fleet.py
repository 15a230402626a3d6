"""Vehicles as a planner sees them: what each can hold, take and give, and between which energies it must stay.

Periods are the market's 15 minutes, counted from the planning horizon's start. Power is at the grid's side in kW,
positive when drawn; energy is in the battery in kWh. Arrays are [vehicle, period]; energies have one column more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

PERIOD_HOURS = 0.25
TAPERS_FROM = 0.95
"""Above this share of its capacity a battery takes less and less; what is charged there is given twice its time."""


@dataclass(frozen=True)
class FlexVehicle:
    """One vehicle's stay at its charger.

    `energy_kwh` is the battery's content at `arrival_period` (for a vehicle that is there already: now, period 0).
    It is present in the periods `arrival_period <= t < departure_period`; round arrivals up and departures down, so
    that a plan holds. `departure_period` may lie beyond the horizon. `floor_kwh` is what the driver wants kept at any
    moment: below it the vehicle is charged at once. Limits and efficiencies: 0 < efficiency <= 1, powers >= 0.
    """

    id: str
    capacity_kwh: float
    energy_kwh: float
    floor_kwh: float
    required_kwh: float
    arrival_period: int
    departure_period: int
    max_charge_kw: float
    max_discharge_kw: float
    efficiency_charge: float = 0.95
    efficiency_discharge: float = 0.95

    def __post_init__(self) -> None:
        faults = [
            text
            for wrong, text in (
                (not self.capacity_kwh > 0, "capacity_kwh must be above 0"),
                (not 0 <= self.energy_kwh <= self.capacity_kwh, "energy_kwh must lie within the capacity"),
                (not 0 <= self.floor_kwh <= self.capacity_kwh, "floor_kwh must lie within the capacity"),
                (not 0 <= self.required_kwh <= self.capacity_kwh, "required_kwh must lie within the capacity"),
                (not 0 <= self.arrival_period < self.departure_period, "it must depart after it arrives"),
                (not 0 <= self.max_charge_kw < np.inf, "max_charge_kw must be finite and not negative"),
                (not 0 <= self.max_discharge_kw < np.inf, "max_discharge_kw must be finite and not negative"),
                (not 0 < self.efficiency_charge <= 1, "efficiency_charge must be in (0, 1]"),
                (not 0 < self.efficiency_discharge <= 1, "efficiency_discharge must be in (0, 1]"),
            )
            if wrong
        ]
        if faults:
            raise ValueError(f"vehicle {self.id}: {'; '.join(faults)}")


@dataclass(frozen=True, eq=False)
class Fleet:
    """The vehicles' columns and the energies between which every plan of theirs must run.

    `low[v, t]` and `high[v, t]` bound the energy at the start of period t (column `periods`: at the horizon's end).
    They are tight: from any energy between them the next column's bounds can be reached within the power limits, so a
    plan that stays inside keeps floor, capacity and the departure's energy, and clipping step by step never strands.
    """

    periods: int
    start: Floats
    target: Floats
    arrival: NDArray[np.int64]
    departure: NDArray[np.int64]
    end: NDArray[np.int64]
    charge: Floats
    discharge: Floats
    efficiency_in: Floats
    efficiency_out: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, vehicles: Sequence[FlexVehicle], periods: int) -> Fleet:
        """The fleet over `periods`; a required energy that no charging reaches is lowered to the most that can be."""

        def column(name: str) -> Floats:
            return np.array([getattr(vehicle, name) for vehicle in vehicles], dtype=np.float64)

        start, capacity, floor = column("energy_kwh"), column("capacity_kwh"), column("floor_kwh")
        charge, discharge = column("max_charge_kw"), column("max_discharge_kw")
        inwards, outwards = column("efficiency_charge"), column("efficiency_discharge")
        arrival = np.array([vehicle.arrival_period for vehicle in vehicles], dtype=np.int64)
        departure = np.array([vehicle.departure_period for vehicle in vehicles], dtype=np.int64)
        rise, fall = charge * inwards * PERIOD_HOURS, discharge / outwards * PERIOD_HOURS
        stay = departure - arrival
        target = np.minimum.reduce([np.maximum(column("required_kwh"), floor), capacity, start + rise * stay])

        moment = np.arange(periods + 1)[None, :]
        since = np.clip(moment - arrival[:, None], 0, stay[:, None])
        fastest = start[:, None] + rise[:, None] * since
        still_to_come = (stay[:, None] - since) * rise[:, None]
        low = np.maximum(np.minimum(floor[:, None], fastest), target[:, None] - still_to_come)
        # what the driver did not ask for is not sold to him: at the end there is no more than wanted or brought along
        ending = np.maximum(target, start)
        end = np.minimum(departure, periods)
        left = np.clip(end[:, None] - moment, 0, None)
        high = np.minimum.reduce(
            [np.broadcast_to(capacity[:, None], low.shape), fastest, ending[:, None] + fall[:, None] * left]
        )
        absent = since == 0
        low, high = np.where(absent, start[:, None], low), np.where(absent, start[:, None], high)
        # rounding may cross the two by a hair
        return cls(
            periods=periods,
            start=start,
            target=target,
            arrival=arrival,
            departure=departure,
            end=end,
            charge=charge,
            discharge=discharge,
            efficiency_in=inwards,
            efficiency_out=outwards,
            low=np.minimum(low, high),
            high=high,
        )

    @property
    def present(self) -> NDArray[np.bool_]:
        """[vehicle, period]: is it plugged in during that whole period?"""
        period = np.arange(self.periods)[None, :]
        return (period >= self.arrival[:, None]) & (period < self.departure[:, None])


def uncontrolled(vehicles: Sequence[FlexVehicle], periods: int) -> Floats:
    """kW [vehicle, period] when nobody steers: each charges at its maximum on arrival until it has what is required.

    The last, partial period appears as its mean power.
    """
    if not vehicles:
        return np.zeros((0, periods))
    fleet = Fleet.of(vehicles, periods)
    wanted = np.clip(fleet.target - fleet.start, 0, None) / fleet.efficiency_in / PERIOD_HOURS
    done = (np.arange(periods)[None, :] - fleet.arrival[:, None]) * fleet.charge[:, None]
    power = np.clip(wanted[:, None] - done, 0, fleet.charge[:, None])
    return np.where(fleet.present, power, 0.0)


def energies(vehicles: Sequence[FlexVehicle], plan_kw: Floats) -> Floats:
    """kWh [vehicle, period + 1] in the batteries when `plan_kw` [vehicle, period] is followed, whatever it breaks."""
    inwards = np.array([vehicle.efficiency_charge for vehicle in vehicles])[:, None]
    outwards = np.array([vehicle.efficiency_discharge for vehicle in vehicles])[:, None]
    start = np.array([vehicle.energy_kwh for vehicle in vehicles])[:, None]
    change = (np.clip(plan_kw, 0, None) * inwards + np.clip(plan_kw, None, 0) / outwards) * PERIOD_HOURS
    return np.concatenate([start, start + np.cumsum(change, axis=1)], axis=1)


def follow(fleet: Fleet, wanted_kw: Floats) -> Floats:
    """The plan nearest to `wanted_kw` [vehicle, period] that the vehicles can keep, period by period.

    Powers are cut to the limits and to the energies between `low` and `high`; the result keeps every departure.
    """
    kept = np.zeros_like(wanted_kw)
    energy = fleet.start.copy()
    present = fleet.present
    for t in range(fleet.periods):
        power = np.where(present[:, t], np.clip(wanted_kw[:, t], -fleet.discharge, fleet.charge), 0.0)
        change = np.where(power > 0, power * fleet.efficiency_in, power / fleet.efficiency_out) * PERIOD_HOURS
        after = np.clip(energy + change, fleet.low[:, t + 1], fleet.high[:, t + 1])
        change = after - energy
        power = np.where(change > 0, change / fleet.efficiency_in, change * fleet.efficiency_out) / PERIOD_HOURS
        kept[:, t] = np.where(present[:, t], np.clip(power, -fleet.discharge, fleet.charge), 0.0)
        energy = after
    return kept
