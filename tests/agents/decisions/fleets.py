"""Fleets for tests: any that hypothesis can think of, and one that a depot could have."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from agents.decisions.fleet import FlexVehicle, Floats, energies

PERIODS = 24


@st.composite
def vehicles(draw: st.DrawFn, name: str = "v") -> FlexVehicle:
    capacity = draw(st.floats(5, 100))

    def part() -> float:
        return draw(st.sampled_from([0.0, 0.1, 0.5, 0.97, 1.0]) | st.floats(0, 1)) * capacity

    arrival = draw(st.integers(0, PERIODS + 2))
    return FlexVehicle(
        id=name,
        capacity_kwh=capacity,
        energy_kwh=part(),
        floor_kwh=part(),
        required_kwh=part(),
        arrival_period=arrival,
        departure_period=arrival + draw(st.integers(1, PERIODS + 8)),
        max_charge_kw=draw(st.sampled_from([0.0, 3.7, 11.0, 22.0])),
        max_discharge_kw=draw(st.sampled_from([0.0, 3.7, 10.0])),
        efficiency_charge=draw(st.sampled_from([0.8, 0.93, 1.0])),
        efficiency_discharge=draw(st.sampled_from([0.8, 0.93, 1.0])),
    )


@st.composite
def fleets(draw: st.DrawFn, most: int = 5) -> list[FlexVehicle]:
    return [draw(vehicles(f"v{i}")) for i in range(draw(st.integers(1, most)))]


windows = st.integers(0, PERIODS - 1).flatmap(
    lambda start: st.integers(start + 1, PERIODS).map(lambda stop: range(start, stop))
)


def depot(count: int, periods: int, seed: int = 1) -> list[FlexVehicle]:
    """Vehicles of 40 to 80 kWh that come in the first half and stay for 5 to 15 hours; two in three can discharge."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        capacity, arrival = float(rng.uniform(40, 80)), int(rng.integers(0, periods // 2))
        power = float(rng.choice([7.4, 11.0, 22.0]))
        found.append(
            FlexVehicle(
                id=f"v{i}",
                capacity_kwh=capacity,
                energy_kwh=float(rng.uniform(0.2, 0.9)) * capacity,
                floor_kwh=0.2 * capacity,
                required_kwh=float(rng.uniform(0.6, 1.0)) * capacity,
                arrival_period=arrival,
                departure_period=arrival + int(rng.integers(20, 60)),
                max_charge_kw=power,
                max_discharge_kw=power if rng.random() < 2 / 3 else 0.0,
                efficiency_charge=0.95,
                efficiency_discharge=0.94,
            )
        )
    return found


def reachable(vehicle: FlexVehicle, periods: float) -> float:
    """The most energy after so many periods of charging flat out, by arithmetic of its own."""
    rise = vehicle.max_charge_kw * vehicle.efficiency_charge / 4
    return min(vehicle.capacity_kwh, vehicle.energy_kwh + rise * max(0.0, periods))


def faults(fleet: list[FlexVehicle], plan: Floats) -> list[str]:
    """What a plan breaks when it is driven, vehicle by vehicle: empty for a plan that can be kept."""
    found = []
    stored = energies(fleet, plan)
    periods = plan.shape[1]
    for vehicle, power, energy in zip(fleet, plan, stored, strict=True):
        inside = [vehicle.arrival_period <= t < vehicle.departure_period for t in range(periods)]
        if any(kw and not here for kw, here in zip(power, inside, strict=True)):
            found.append(f"{vehicle.id} moves while it is away")
        if power.max() > vehicle.max_charge_kw + 1e-9 or power.min() < -vehicle.max_discharge_kw - 1e-9:
            found.append(f"{vehicle.id} leaves its power limits")
        for t in range(periods + 1):
            since = min(t, vehicle.departure_period) - vehicle.arrival_period
            if not -1e-7 <= energy[t] <= vehicle.capacity_kwh + 1e-7:
                found.append(f"{vehicle.id} holds {energy[t]} of {vehicle.capacity_kwh} kWh at {t}")
            if since >= 0 and energy[t] < min(vehicle.floor_kwh, reachable(vehicle, since)) - 1e-7:
                found.append(f"{vehicle.id} is below its floor at {t}")
        stay = vehicle.departure_period - vehicle.arrival_period
        wanted = min(max(vehicle.required_kwh, vehicle.floor_kwh), reachable(vehicle, stay))
        end = min(vehicle.departure_period, periods)
        later = (vehicle.departure_period - max(end, vehicle.arrival_period)) * vehicle.max_charge_kw / 4
        if energy[end] + later * vehicle.efficiency_charge < wanted - 1e-6:
            found.append(f"{vehicle.id} leaves with {energy[end]} of {wanted} kWh")
    return found
