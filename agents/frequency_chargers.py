"""The chargers of one portfolio: what they are ordered, who follows, what is in the batteries and went through them.

kW drawn from the grid; a change below 0 is upward activation.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from agents.decisions.fcr_portfolio import Unit
from agents.decisions.fcr_products import FcrRules, change_kw
from agents.ports import ChargerError
from agents.v2x_desk import V2xDesk
from behaviours.ports import Clock
from protocols.exchanges.frequency_services import Control
from protocols.units import NOMINAL_HZ

REVERSION_S = 180
"""An order ends by itself after this time: a manager that has died leaves no vehicle discharging. Three times as long
as until it is written again."""
POLL_S = 60
SETTLED_S = 5
"""So long after an order a charger must have followed it."""
FOLLOWS_KW = 0.5
FOLLOWS_SHARE = 0.15
"""A charger follows when it is off by no more than these, the share being of its capacity."""
STRIKES = 2


@dataclass(slots=True)
class _Standing:
    """What a charger's change has been since when (s), to count what goes through the battery."""

    kw: float
    since_s: float


@dataclass(slots=True)
class _Order:
    """What a charger is set to, and since when (s) it has been about that (`about_kw`)."""

    kw: float
    about_kw: float
    since_s: float


class Controller(Protocol):
    """Whose chargers they are: what the control of a portfolio needs of an agent."""

    @property
    def desk(self) -> V2xDesk: ...

    @property
    def clock(self) -> Clock: ...

    def now(self) -> datetime: ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...

    def notice(self, text: str) -> None: ...


class PortfolioChargers:
    """See the module. `lost_unit(charger_id, why)` is called once for each charger that is of no use any more; whoever
    is told gives this other units.

    `held_kwh` of `size_kwh` is what is in the part of the batteries that is kept for the product, without what the
    baseline charges. `throughput_kwh` by charger is what went in and out for the product, at the grid's side.
    `others_kw` is what the chargers that do not serve drew when they were last looked at, and `others_since` from when
    on that is so.
    """

    def __init__(
        self, agent: Controller, rules: FcrRules, control: Control, *, lost_unit: Callable[[str, str], None]
    ) -> None:
        self.agent = agent
        self.desk = agent.desk
        self.rules = rules
        self.control = control
        self.lost_unit = lost_unit
        self.units: dict[str, Unit] = {}
        self.held_kwh, self.size_kwh = 0.0, 0.0
        self.throughput_kwh: dict[str, float] = {}
        self.others_kw = 0.0
        self.others_since = agent.now()
        self._turned_at: datetime | None = None
        self._round = 0
        self._poll_at = 0.0
        self._anchor: tuple[float, float, datetime] | None = None
        self._standing: dict[str, _Standing] = {}
        self._ordered: dict[str, _Order] = {}
        self._steady_hz, self._steady_since = NOMINAL_HZ, -math.inf
        self._wanted: dict[str, tuple[float, bool]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._strikes: dict[str, int] = {}
        self._failing: set[str] = set()

    @property
    def soc(self) -> float:
        """Of the part that is kept for the product, 0..1."""
        return 0.0 if self.size_kwh <= 0 else min(max(self.held_kwh / self.size_kwh, 0.0), 1.0)

    def look_soon(self) -> None:
        """The other chargers may draw something else from now on; they are looked at when they have got there."""
        self._turned_at = self.agent.now()
        self._poll_at = min(self._poll_at, self._turned_at.timestamp() + SETTLED_S)

    def _forget(self, charger_id: str) -> None:
        for book in (self._standing, self._ordered, self._wanted, self._strikes):
            book.pop(charger_id, None)
        self._failing.discard(charger_id)

    # ---- orders: each charger is written by one task at a time, the newest order wins, none waits for another

    def _order(self, charger_id: str, power_kw: float, at_s: float, *, beat: bool = False) -> None:
        order = self._ordered.get(charger_id)
        if order is None:
            self._ordered[charger_id] = _Order(power_kw, power_kw, at_s)
        else:
            order.kw = power_kw
            if abs(power_kw - order.about_kw) > FOLLOWS_KW:
                order.about_kw, order.since_s = power_kw, at_s
        self._wanted[charger_id] = (power_kw, beat)
        if charger_id not in self._writing:
            self._writing[charger_id] = self.agent.spawn(self._write(charger_id), f"sets {charger_id}")

    async def _write(self, charger_id: str) -> None:
        charger = self.desk.chargers[charger_id]
        try:
            while (order := self._wanted.pop(charger_id, None)) is not None:
                power_kw, beat = order
                try:
                    await charger.set_power(round(power_kw, 3), REVERSION_S)
                    if beat:
                        await charger.heartbeat()
                    self._failing.discard(charger_id)
                except ChargerError as error:
                    if charger_id in self.units and charger_id not in self._failing:
                        self._failing.add(charger_id)
                        self._poll_at = min(self._poll_at, self.agent.now().timestamp() + SETTLED_S)
                        self.agent.notice(str(error))
        finally:
            del self._writing[charger_id]

    async def _written(self) -> None:
        if self._writing:
            await asyncio.gather(*self._writing.values())

    # ---- looking after the chargers

    async def _poll(self, turn: int) -> None:
        """Reads the chargers: who follows, what is in the batteries, what the others draw; renews the orders."""
        await self.desk.read()
        if turn != self._round:
            return
        now = self.agent.now()
        now_s = now.timestamp()
        self._look_at_others(now)
        for charger_id in tuple(self.units):
            if (fault := self._fault(charger_id, now_s)) is None:
                self._strikes.pop(charger_id, None)
            else:
                self._strike(charger_id, fault)
        self._weigh(now)
        for charger_id in self.units:
            if charger_id not in self._strikes:
                self._order(charger_id, self._ordered[charger_id].kw, now_s, beat=True)

    def _look_at_others(self, now: datetime) -> None:
        """What was read of those that do not serve; on its way to another power a charger says nothing of it."""
        turned = self._turned_at
        if turned is not None and (now - turned).total_seconds() < SETTLED_S:
            self._poll_at = min(self._poll_at, turned.timestamp() + SETTLED_S)
            return
        readings = [self.desk.reading(c) for c in self.desk.chargers if c not in self.units]
        kw = sum(reading.power_kw for reading in readings if reading is not None)
        if kw != self.others_kw:
            self.others_kw, self.others_since = kw, now if turned is None else turned
        self._turned_at = None

    def _fault(self, charger_id: str, now_s: float) -> str | None:
        """Why a charger is of no use, None where it does what it should."""
        reading = self.desk.reading(charger_id)
        if reading is None:
            return "does not answer"
        if not reading.connected:
            self._strikes[charger_id] = STRIKES
            return "has no vehicle any more"
        if charger_id in self._failing:
            return "takes no setpoint"
        unit = self.units[charger_id]
        order = self._ordered[charger_id]
        expected = order.kw
        if now_s - order.since_s < SETTLED_S:
            return None
        if self.control is Control.LOCAL:
            own = change_kw(self.rules, unit.capacity_kw, reading.frequency_hz)
            if abs(own) >= unit.capacity_kw or now_s - self._steady_since < SETTLED_S:
                return None  # beyond full activation a charger may give more, and no droop is without delay
            expected += own
        off = abs(reading.power_kw - expected)
        if off <= FOLLOWS_KW + FOLLOWS_SHARE * unit.capacity_kw:
            return None
        return f"draws {reading.power_kw:.1f} kW where {expected:.1f} kW were ordered"

    def _strike(self, charger_id: str, fault: str) -> None:
        if charger_id not in self.units:
            return
        self._strikes[charger_id] = self._strikes.get(charger_id, 0) + 1
        if self._strikes[charger_id] >= STRIKES:
            self._strikes.pop(charger_id)
            self.lost_unit(charger_id, fault)
        else:
            self._poll_at = min(self._poll_at, self.agent.now().timestamp() + SETTLED_S)

    def _weigh(self, now: datetime) -> None:
        """Puts the estimate right by what the chargers say is in the batteries, less what the baseline charged."""
        energies = []
        for charger_id in self.units:
            reading = self.desk.reading(charger_id)
            if reading is None or reading.energy_kwh is None:
                self._anchor = None
                return
            energies.append(reading.energy_kwh)
        total = sum(energies)
        if self._anchor is None:
            self._anchor = (self.held_kwh, total, now)
            return
        held, before, since = self._anchor
        hours = (now - since) / timedelta(hours=1)
        charged = sum(u.baseline_kw * u.efficiency_charge for u in self.units.values()) * hours
        self.held_kwh = held + total - before - charged

    # ---- what went through the batteries

    def _stand(self, changes_kw: Mapping[str, float], at_s: float) -> None:
        self._standing = {c: _Standing(changes_kw[c], at_s) for c in self.units}

    def _account(self, at_s: float) -> None:
        for charger_id, standing in self._standing.items():
            self._account_one(charger_id, standing.kw, at_s)

    def _account_one(self, charger_id: str, kw: float, at_s: float) -> None:
        standing = self._standing.get(charger_id)
        if standing is None:
            self._standing[charger_id] = _Standing(kw, at_s)
            return
        kwh = abs(standing.kw) * (at_s - standing.since_s) / 3600
        self.throughput_kwh[charger_id] = self.throughput_kwh.get(charger_id, 0.0) + kwh
        standing.kw, standing.since_s = kw, at_s
