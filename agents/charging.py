"""The desk of a charging point operator: what is plugged in where, what the drivers asked for, what the chargers say,
and the plan that follows. Its arithmetic is in `agents.decisions`; nothing here sends a message."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from agents.charger_desk import ChargerDesk
from agents.decisions.fleet import PERIOD_HOURS, TAPERS_FROM, FlexVehicle, Floats, energies
from agents.decisions.planning import Costs, uncontrolled
from agents.decisions.steering import steer
from agents.periods import QUARTER, index_of, quarter_at
from agents.ports import Charger
from protocols.exchanges.activation import ChargerStatus, SessionAnnouncement
from protocols.exchanges.vocabulary import ChargerState

HORIZON = 96
"""Quarters that a plan looks ahead: a day."""


@dataclass(frozen=True)
class Commitment:
    """What was agreed for an activation: `members` are the chargers whose drivers take part, `ceiling_kw` is the most
    that all chargers together may draw in each quarter of it."""

    members: frozenset[str]
    ceiling_kw: Mapping[datetime, float]


class ChargingDesk(ChargerDesk):
    """Chargers, sessions and the plan of one operator. Powers in kW, drawn from the grid is positive.

    `under_control` are the chargers whose vehicles follow the operator's plan; the others charge by their own.
    `discharge_limits` (kW by bus) is what the grid operator lets the chargers at a bus give together.
    """

    def __init__(
        self,
        chargers: Sequence[Charger],
        buses: Sequence[str],
        efficiency: Sequence[tuple[float, float]],
        ratings_kw: Sequence[tuple[float, float]],
        costs: Costs,
        notice: Callable[[str], None],
    ) -> None:
        super().__init__(chargers, buses, notice)
        self.efficiency = dict(zip(self.chargers, efficiency, strict=True))
        self.ratings_kw = dict(zip(self.chargers, ratings_kw, strict=True))
        self.costs = costs
        self.under_control: set[str] = set()
        self.discharge_limits: dict[str, float] = {}
        self._expected: dict[str, dict[str, SessionAnnouncement]] = {}

    def note(self, session: SessionAnnouncement, owner: str) -> bool:
        """A driver's announcement; that of a car that is plugged in ends its expectation. True: it begins a stay."""
        expected = self._expected.setdefault(session.charger_id, {})
        if session.plugged_in:
            for key in [key for key, stay in expected.items() if stay.departure <= session.departure]:
                del expected[key]
        else:
            expected[session.departure.isoformat()] = session
        begins = super().note(session, owner)
        if begins:
            self.under_control.discard(session.charger_id)
        return begins

    def statuses(self) -> tuple[ChargerStatus, ...]:
        """Each charger as exchange 1.2.2 tells it."""
        return tuple(self._status(charger_id) for charger_id in self.chargers)

    def _status(self, charger_id: str) -> ChargerStatus:
        reading = self._readings.get(charger_id)
        session = self._sessions.get(charger_id)
        expected = min(self._expected.get(charger_id, {}).values(), key=lambda s: s.arrival, default=None)
        owner = self._owners.get(charger_id)
        if reading is None:
            return ChargerStatus(
                charger_id=charger_id,
                location=self.bus[charger_id],
                ev_owner=owner,
                connected=False,
                state=ChargerState.FAULT,
                power_kw=0.0,
                voltage_v=0.0,
                frequency_hz=0.0,
                max_charge_kw=0.0,
                max_discharge_kw=0.0,
            )
        there = session if reading.connected else None
        known = there or expected
        required = None
        if there is not None and reading.energy_kwh is not None:
            required = max(0.0, there.wanted_soc_percent / 100 * there.capacity_kwh - reading.energy_kwh)
        elif expected is not None:
            required = max(0.0, expected.wanted_soc_percent - expected.soc_percent) / 100 * expected.capacity_kwh
        # An empty charger reports no limits; what it is built for holds for the next vehicle.
        limits = (reading.max_charge_kw, reading.max_discharge_kw)
        charge_kw, discharge_kw = limits if reading.connected else self.ratings_kw[charger_id]
        soc = reading.soc_percent if reading.connected else (expected.soc_percent if expected else None)
        return ChargerStatus(
            charger_id=charger_id,
            location=self.bus[charger_id],
            ev_owner=owner,
            connected=reading.connected,
            state=reading.state,
            soc_percent=None if soc is None else round(soc, 3),
            capacity_kwh=known.capacity_kwh if known else None,
            energy_required_kwh=None if required is None else round(required, 4),
            minimum_soc_percent=known.minimum_soc_percent if known else None,
            departure=known.departure if known else None,
            expected_arrival=None if there or expected is None else expected.arrival,
            power_kw=reading.power_kw,
            voltage_v=reading.voltage_v,
            frequency_hz=reading.frequency_hz,
            max_charge_kw=charge_kw,
            max_discharge_kw=discharge_kw,
            meter_kwh=reading.meter_kwh,
        )

    def vehicles(self, now: datetime) -> list[FlexVehicle]:
        """The vehicles that are there, and those expected within the day, as planners see them from this quarter on."""
        return vehicles_of(self.statuses(), quarter_at(now), self.efficiency, self.discharge_limits)

    def planned(self, now: datetime, commitments: Sequence[Commitment]) -> tuple[datetime, Floats]:
        """The power in kW that the chargers will draw in each quarter from `now` on, as things stand."""
        start = quarter_at(now)
        return start, self._plan(self.vehicles(now), start, commitments).sum(axis=0)

    def contributions(self, now: datetime, commitments: Sequence[Commitment], new: Commitment) -> dict[str, float]:
        """The mean reduction in kW that the cheapest plan for a `new` commitment takes from each of its members that is
        plugged in, against charging at once: one that is held already contributes as well."""
        start = quarter_at(now)
        vehicles = self.vehicles(now)
        here = frozenset(v.id for v in vehicles if v.arrival_period == 0) & new.members
        if not here:
            return {}
        after = self._plan(vehicles, start, [*commitments, Commitment(here, new.ceiling_kw)])
        window = sorted(_ceiling([new], start))
        change = (uncontrolled(vehicles, HORIZON) - after)[:, window].mean(axis=1)
        return {v.id: float(change[i]) for i, v in enumerate(vehicles) if v.id in here}

    def excess(self, now: datetime, commitments: Sequence[Commitment], new: Commitment) -> float:
        """By how many kW all chargers together would break their ceilings at worst in the quarters of a `new`
        commitment, if only its members move for it."""
        start = quarter_at(now)
        ceilings = _ceiling([*commitments, new], start)
        after = self._plan(self.vehicles(now), start, [*commitments, new]).sum(axis=0)
        return max(0.0, *(float(after[t] - ceilings[t]) for t in _ceiling([new], start)))

    def _plan(self, vehicles: Sequence[FlexVehicle], start: datetime, commitments: Sequence[Commitment]) -> Floats:
        """kW [vehicle, quarter]: each by its own plan, those under control without making a peak; then commitment by
        commitment its members, and nobody else, under the ceilings up to it, from its first quarter on.

        A vehicle gives power back only in the quarters of a commitment that its driver joined.
        """
        plan = uncontrolled(vehicles, HORIZON)
        ceiling = np.full(HORIZON, np.inf)
        consent = np.zeros((len(vehicles), HORIZON), dtype=np.bool_)
        self._move(plan, vehicles, self.under_control, ceiling, 0, consent)
        for commitment in commitments:
            limits = _ceiling([commitment], start)
            joined = np.array([v.id in commitment.members for v in vehicles], dtype=np.bool_)
            for t, kw in limits.items():
                ceiling[t] = min(ceiling[t], kw)
                consent[joined, t] = True
            if limits:
                self._move(plan, vehicles, commitment.members, ceiling, min(limits), consent)
        return plan

    def _move(
        self,
        plan: Floats,
        vehicles: Sequence[FlexVehicle],
        members: Iterable[str],
        ceiling_kw: Floats,
        first: int,
        consent: npt.NDArray[np.bool_],
    ) -> None:
        """Plans the members anew from the quarter `first` on; until then they do as `plan` has it."""
        ids = frozenset(members)
        free = [i for i, v in enumerate(vehicles) if v.id in ids and v.departure_period > first]
        if not free:
            return
        others = plan.sum(axis=0)
        others[first:] -= plan[free, first:].sum(axis=0)
        moved = [_later(vehicles[i], plan[i], first) for i in free]
        plan[free, first:] = steer(moved, ceiling_kw, others, self.costs, consent[free])[:, first:]

    async def steer(self, now: datetime, commitments: Sequence[Commitment], reversion: timedelta) -> None:
        """Writes this quarter's setpoints to the chargers under control; one whose vehicle left is released."""
        vehicles = self.vehicles(now)
        plan = self._plan(vehicles, quarter_at(now), commitments)
        orders = {v.id: float(plan[i, 0]) for i, v in enumerate(vehicles) if v.arrival_period == 0}
        for charger_id in sorted(self.under_control):
            if charger_id not in orders:
                self.under_control.discard(charger_id)
        work = [
            self.order(charger_id, orders[charger_id], int(reversion.total_seconds()))
            for charger_id in sorted(self.under_control)
        ]
        await asyncio.gather(*work)


def _ceiling(commitments: Sequence[Commitment], start: datetime) -> dict[int, float]:
    """The lowest ceiling in kW of each quarter that has one, counted from `start`, within the horizon."""
    lowest: dict[int, float] = {}
    for commitment in commitments:
        for at, kw in commitment.ceiling_kw.items():
            t = index_of(at, start)
            if 0 <= t < HORIZON:
                lowest[t] = min(kw, lowest.get(t, np.inf))
    return lowest


def _later(vehicle: FlexVehicle, plan_kw: Floats, first: int) -> FlexVehicle:
    """The vehicle as it is at the beginning of the quarter `first`, when it has followed `plan_kw` until then."""
    if vehicle.arrival_period >= first:
        return vehicle
    energy = float(energies([vehicle], plan_kw[None, :])[0, first])
    return replace(vehicle, arrival_period=first, energy_kwh=min(max(energy, 0.0), vehicle.capacity_kwh))


def vehicles_of(
    statuses: Sequence[ChargerStatus],
    start: datetime,
    efficiency: Mapping[str, tuple[float, float]],
    discharge_limits: Mapping[str, float],
) -> list[FlexVehicle]:
    """The vehicles of exchange 1.2.2 as planners see them, periods counted from `start`.

    Arrivals are rounded up to a quarter and departures down, so that what is planned can be kept. A limit on giving
    power back at a bus (kW) is shared by the chargers there in equal parts.
    """
    at_bus = Counter(status.location for status in statuses)
    found = []
    for status in statuses:
        if status.state is ChargerState.FAULT or None in (status.capacity_kwh, status.departure, status.soc_percent):
            continue
        assert status.capacity_kwh is not None
        assert status.departure is not None
        assert status.soc_percent is not None
        arrival = 0
        if not status.connected:
            if status.expected_arrival is None:
                continue
            arrival = max(1, -((start - status.expected_arrival) // QUARTER))
        if status.departure <= start or arrival >= HORIZON:
            continue
        energy = min(status.capacity_kwh, status.soc_percent / 100 * status.capacity_kwh)
        inwards, outwards = efficiency[status.charger_id]
        required = min(status.capacity_kwh, energy + (status.energy_required_kwh or 0.0))
        slow_kwh = max(0.0, required - max(energy, TAPERS_FROM * status.capacity_kwh))
        slow = math.ceil(slow_kwh / max(status.max_charge_kw * inwards, 1e-9) / PERIOD_HOURS)
        departure = max((status.departure - start) // QUARTER - 1 - slow, arrival + 1)
        found.append(
            FlexVehicle(
                id=status.charger_id,
                capacity_kwh=status.capacity_kwh,
                energy_kwh=energy,
                floor_kwh=(status.minimum_soc_percent or 0.0) / 100 * status.capacity_kwh,
                required_kwh=required,
                arrival_period=arrival,
                departure_period=departure,
                max_charge_kw=status.max_charge_kw,
                max_discharge_kw=min(
                    status.max_discharge_kw,
                    discharge_limits.get(status.location, math.inf) / at_bus[status.location],
                ),
                efficiency_charge=inwards,
                efficiency_discharge=outwards,
            )
        )
    return found
