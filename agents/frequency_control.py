"""The control of one portfolio for one product: each second a frequency is read, acted on, and logged.

There is no activation signal (D5.1 3.7: units "must measure the frequency and automatically activate reserves on their
own"). Two ways: CENTRAL, where this loop turns the frequency into setpoints, and LOCAL, where the chargers' own droop
does (SunSpec model 711) and this loop only moves the operating point under it, for energy management. In both the loop
keeps the log, and watches the meters, the chargers and what is left in the batteries.

kW drawn from the grid; a change below 0 is upward activation.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.decisions.fcr_dispatch import Band, Distribution
from agents.decisions.fcr_energy import EnergyManager, EnergyState, Reservoir
from agents.decisions.fcr_meters import MeterRules, MeterSelection, Reading, Selected
from agents.decisions.fcr_portfolio import Unit, window
from agents.decisions.fcr_products import FcrRules, change_kw, total_change_kw
from agents.fcr_log import FcrLog, LoggedSecond
from agents.fcr_ports import FrequencyMeter, MeterError, MeterSample
from agents.parking import Parking
from agents.ports import ChargerError, DroopCurve
from protocols.exchanges.frequency_services import Control

SECOND = timedelta(seconds=1)
REVERSION_S = 180
"""An order ends by itself after this time: a manager that has died leaves no vehicle discharging. Three times as long
as until it is written again."""
POLL_S = 60
SETTLED_S = 5
"""So long after an order a charger must have followed it."""
OFFSET_EVERY_S = 10.0
OFFSET_STEP = 0.01
"""LOCAL: the operating point is moved at most so often, and only by more than this part of the capacity."""
DROOP_RESPONSE_S = 0.0
NOMINAL_HZ = 50.0
FOLLOWS_KW = 0.5
FOLLOWS_SHARE = 0.15
"""A charger follows when it is off by no more than these, the share being of its capacity."""
STRIKES = 2
STEADY_HZ = 0.02
"""A droop is only judged while the frequency has moved by no more than this for a while."""


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


class FrequencyControl:
    """See the module. `lost_unit(charger_id, why)` and `lost_meters(why)` are called once for each case; whoever is
    told of a charger gives this control other units.

    `held_kwh` of `size_kwh` is what is in the part of the batteries that is kept for the product, without what the
    baseline charges. `throughput_kwh` by charger is what went in and out for the product, at the grid's side.
    `others_kw` is what the chargers that do not serve drew when they were last looked at.
    """

    def __init__(
        self,
        agent: Parking,
        rules: FcrRules,
        control: Control,
        meters: Sequence[FrequencyMeter],
        log: FcrLog | None,
        *,
        lost_unit: Callable[[str, str], None],
        lost_meters: Callable[[str], None],
        meter_rules: MeterRules | None = None,
    ) -> None:
        self.agent = agent
        self.desk = agent.desk
        self.rules = rules
        self.control = control
        self.meters = list(meters)
        self.log = log
        self.lost_unit = lost_unit
        self.lost_meters = lost_meters
        self.meter_rules = meter_rules
        self.watch: Callable[[datetime, EnergyState], None] | None = None
        self.units: dict[str, Unit] = {}
        self.capacity_kw = 0.0
        self.baseline_kw = 0.0
        self.held_kwh, self.size_kwh = 0.0, 0.0
        self.hz = NOMINAL_HZ
        self.change_kw = 0.0
        self.power_kw = 0.0
        self.state: EnergyState | None = None
        self.throughput_kwh: dict[str, float] = {}
        self.selection: MeterSelection | None = None
        self._energy: EnergyManager | None = None
        self._energy_kwh = 0.0
        self._distribution = Distribution([])
        self._round = 0
        self._offset_kw, self._offset_at = 0.0, -math.inf
        self.others_kw = 0.0
        self._poll_at = 0.0
        self._turn_at = 0.0
        self._polled_kw = 0.0
        self._anchor: tuple[float, float, datetime] | None = None
        self._standing: dict[str, _Standing] = {}
        self._ordered: dict[str, _Order] = {}
        self._steady_hz, self._steady_since = NOMINAL_HZ, -math.inf
        self._wanted: dict[str, tuple[float, bool]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._strikes: dict[str, int] = {}
        self._failing: set[str] = set()

    # ---- beginning, changing, ending

    @property
    def on(self) -> bool:
        """Whether the control is active."""
        return bool(self.units)

    @property
    def soc(self) -> float:
        """Of the part that is kept for the product, 0..1."""
        return 0.0 if self.size_kwh <= 0 else min(max(self.held_kwh / self.size_kwh, 0.0), 1.0)

    @property
    def lot_baseline_kw(self) -> float:
        """What all chargers behind the meter would draw without frequency control: those that serve at their operating
        points, the others as when they were last looked at."""
        return self.baseline_kw + self.others_kw

    @property
    def endurance_minutes(self) -> float | None:
        """How long the reserve lasts at full activation, None where nothing is on."""
        return None if self._energy is None else round(self._energy.endurance_minutes(self.soc), 3)

    async def begin(self, units: Sequence[Unit], capacity_kw: float, energy_kwh: float) -> None:
        """Sets the operating points, makes the chargers responsive, and runs on until `end`. The batteries' part for
        the product is `energy_kwh`, as full as the product wants it."""
        stored = sum(unit.stored_kwh for unit in units)
        self.held_kwh, self.size_kwh = window(self.rules, energy_kwh, stored, sum(unit.room_kwh for unit in units))
        self._energy, self._energy_kwh = None, energy_kwh
        self.selection = MeterSelection([meter.name for meter in self.meters], self.meter_rules)
        now_s = self.agent.now().timestamp()
        self._poll_at, self._turn_at = now_s + SETTLED_S, now_s + 900
        self._round += 1
        await self.change(units, capacity_kw)
        self.agent.spawn(self._run(self._round), "frequency control")

    async def change(self, units: Sequence[Unit], capacity_kw: float) -> None:
        """Other units or another capacity from now on; what no longer serves is let go (but not given a new order)."""
        before, self.units = self.units, {unit.charger_id: unit for unit in units}
        now_s = self.agent.now().timestamp()
        self._account(now_s)
        gone = [charger_id for charger_id in before if charger_id not in self.units]
        for charger_id in gone:
            self._forget(charger_id)
        if self._energy_kwh > 0:
            there = sum(unit.stored_kwh + unit.room_kwh for unit in units)
            size = min(self._energy_kwh, there)
            if abs(size - self.size_kwh) > 1e-9:
                self.size_kwh, self._energy = size, None
                self.held_kwh = min(self.held_kwh, size)
        if abs(capacity_kw - self.capacity_kw) > 1e-9 or self._energy is None:
            self._energy = None if capacity_kw <= 0 or self.size_kwh <= 0 else self._manager(capacity_kw)
        self.capacity_kw = capacity_kw
        self.baseline_kw = sum(unit.baseline_kw for unit in units)
        self._distribution.set_bands([self._band(unit) for unit in units])
        self._standing = {c: _Standing(self._distribution.changes_kw[c], now_s) for c in self.units}
        self._anchor = None
        work = [self.desk.chargers[c].stop_droop() for c in gone] if self.control is Control.LOCAL else []
        if self.control is Control.LOCAL:
            same = {
                c for c, unit in before.items() if c in self.units and unit.capacity_kw == self.units[c].capacity_kw
            }
            new = [unit for unit in units if unit.capacity_kw > 0 and unit.charger_id not in same]
            work += [self.desk.chargers[unit.charger_id].set_droop_curve(self._curve(unit)) for unit in new]
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, ChargerError):
                self.agent.notice(str(result))
                self._strike(result.charger_id, result.fault)
            elif isinstance(result, BaseException):
                raise result
        if self.control is Control.LOCAL:
            self._write_offset(now_s, self._offset_kw)
        else:
            for unit in units:
                self._order(unit.charger_id, unit.baseline_kw + self._distribution.changes_kw[unit.charger_id], now_s)
        await self._written()

    async def end(self) -> None:
        """Stops at once; the chargers keep no droop. Their setpoints are whoever's who gets them next."""
        self._round += 1
        ids = list(self.units)
        self._account(self.agent.now().timestamp())
        self.units, self.capacity_kw, self.baseline_kw, self.change_kw = {}, 0.0, 0.0, 0.0
        self._energy, self.state, self._offset_kw = None, None, 0.0
        self._distribution = Distribution([])
        for charger_id in ids:
            self._forget(charger_id)
        await self._written()
        if self.control is Control.LOCAL:
            stops = [self.desk.chargers[c].stop_droop() for c in ids]
            for result in await asyncio.gather(*stops, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, ChargerError):
                    raise result

    def _forget(self, charger_id: str) -> None:
        for book in (self._standing, self._ordered, self._wanted, self._strikes):
            book.pop(charger_id, None)
        self._failing.discard(charger_id)

    def _manager(self, capacity_kw: float) -> EnergyManager:
        return EnergyManager(self.rules, Reservoir(self.size_kwh, capacity_kw))

    def _band(self, unit: Unit) -> Band:
        """What one unit may change, energy management included, and within its charger's limits."""
        return Band(
            unit.charger_id,
            min(unit.capacity_kw * self.rules.power_up, max(0.0, unit.baseline_kw - unit.least_kw)),
            min(unit.capacity_kw * self.rules.power_down, max(0.0, unit.most_kw - unit.baseline_kw)),
        )

    def _curve(self, unit: Unit) -> DroopCurve:
        """The droop that gives the unit's capacity at the product's full activation. (Model 711 knows no end of it:
        beyond, a charger gives more, up to its rating.)"""
        rules = self.rules
        rating = max(self.desk.ratings_kw[unit.charger_id])
        hz = rules.band_hz * rating / unit.capacity_kw
        return DroopCurve(
            deadband_over_hz=max(0.0, round(rules.zero_hz - NOMINAL_HZ, 6)),
            deadband_under_hz=max(0.0, round(NOMINAL_HZ - rules.zero_hz, 6)),
            over_hz=hz if rules.down else None,
            under_hz=hz if rules.up else None,
            response_s=DROOP_RESPONSE_S,
        )

    def look_soon(self) -> None:
        """The other chargers may draw something else from now on."""
        self._poll_at = min(self._poll_at, self.agent.now().timestamp() + 1)

    # ---- each second

    async def _run(self, turn: int) -> None:
        """One action for each second of the clock; where it is late, one for all the seconds that it missed."""
        now = self.agent.now()
        at = now.replace(microsecond=0)
        if at < now:
            at += SECOND
        while True:
            await self.agent.clock.sleep_until(at)
            if turn != self._round:
                return
            late = max(0, (self.agent.now() - at) // SECOND)
            at += late * SECOND
            await self._second(at, 1 + late)
            at += SECOND

    async def _second(self, at: datetime, seconds: int) -> None:
        turn, at_s = self._round, at.timestamp()
        sample, selected = await self._measure(at_s)
        for line in selected.notices:
            self.agent.notice(line)
        if turn != self._round:
            return
        if selected.hz is None:
            self._round += 1
            self.lost_meters("no frequency meter can be believed any more")
            return
        if self._energy is None:
            return
        hz = self.hz = selected.hz
        if abs(hz - self._steady_hz) > STEADY_HZ:
            self._steady_hz, self._steady_since = hz, at_s
        state = self.state = self._energy.second(hz, self.soc, seconds)
        wanted = total_change_kw(self.rules, self.capacity_kw, hz, state.reference_hz, state.nem_kw)
        if self.control is Control.CENTRAL:
            self._distribute(at_s, wanted)
        else:
            self._shift(at_s, wanted, hz)
        kwh = self.change_kw * seconds / 3600
        unit = next(iter(self.units.values()))
        self.held_kwh += kwh * unit.efficiency_charge if kwh > 0 else kwh / unit.efficiency_discharge
        self.power_kw = self.lot_baseline_kw + self.change_kw if sample is None else sample.power_kw
        if self.log is not None:
            self._write_log(at, hz, state)
        if self.watch is not None:
            self.watch(at, state)
        if abs(self.change_kw - self._polled_kw) > self.capacity_kw / 4:
            self._polled_kw = self.change_kw
            self._poll_at = min(self._poll_at, at_s + SETTLED_S)
        if at_s >= self._poll_at:
            self._poll_at = at_s + POLL_S
            self.agent.spawn(self._poll(turn), "looks after the portfolio")

    def _distribute(self, at_s: float, wanted_kw: float) -> None:
        if at_s >= self._turn_at:
            self._turn_at = at_s + 900
            self._distribution.turn()
        for charger_id, kw in self._distribution.second(at_s, wanted_kw).items():
            self._order(charger_id, self.units[charger_id].baseline_kw + kw, at_s)
            self._account_one(charger_id, kw, at_s)
        self.change_kw = self._distribution.sum_kw

    def _shift(self, at_s: float, wanted_kw: float, hz: float) -> None:
        """LOCAL: what energy management wants beyond the droop's own response is laid under it."""
        own = change_kw(self.rules, self.capacity_kw, hz)
        offset = wanted_kw - own
        if abs(offset) < 1e-6:
            offset = 0.0
        apart = abs(offset - self._offset_kw)
        due = at_s - self._offset_at >= OFFSET_EVERY_S
        if due and (apart > OFFSET_STEP * self.capacity_kw or (offset == 0.0 and self._offset_kw != 0.0)):
            self._write_offset(at_s, offset)
        self.change_kw = own + self._offset_kw
        for charger_id, unit in self.units.items():
            self._account_one(charger_id, self.change_kw * unit.capacity_kw / self.capacity_kw, at_s)

    def _write_offset(self, at_s: float, offset_kw: float) -> None:
        self._offset_kw, self._offset_at = offset_kw, at_s
        total = sum(unit.capacity_kw for unit in self.units.values()) or 1.0
        for charger_id, unit in self.units.items():
            self._order(charger_id, unit.baseline_kw + offset_kw * unit.capacity_kw / total, at_s)

    async def _measure(self, at_s: float) -> tuple[MeterSample | None, Selected]:
        """The meter in use, and the other one where there is a doubt."""
        assert self.selection is not None
        used = self.selection.in_use or 0
        samples = {used: await self._read(used)}
        readings = {used: _reading(samples[used])}
        if self.selection.doubts(at_s, readings[used]):
            other = 1 - used
            samples[other] = await self._read(other)
            readings[other] = _reading(samples[other])
        selected = self.selection.second(at_s, readings)
        return (None if selected.meter is None else samples.get(selected.meter)), selected

    async def _read(self, which: int) -> MeterSample | None:
        try:
            return await self.meters[which].read()
        except MeterError:
            return None

    def _write_log(self, at: datetime, hz: float, state: EnergyState) -> None:
        assert self.log is not None
        assert self._energy is not None
        units = self.units.values()
        self.log.write(
            LoggedSecond(
                at=at,
                power_kw=self.power_kw,
                hz=hz,
                baseline_kw=self.lot_baseline_kw,
                soc_percent=self.soc * 100,
                capacity_kw=self.capacity_kw,
                activated_kw=self._activated_kw(state),
                nem_kw=state.nem_kw,
                nem_on=state.nem_on,
                aem_on=state.aem_on,
                endurance_minutes=self._energy.endurance_minutes(self.soc),
                status_on=True,
                regulating_kw_per_hz=self.capacity_kw / self.rules.band_hz,
                p_min_kw=sum([unit.least_kw for unit in units]),
                p_max_kw=sum([unit.most_kw for unit in units]),
            )
        )

    def _activated_kw(self, state: EnergyState) -> float:
        """What counts as the product's activation. Beyond the end of the band a droop gives more than was sold: that is
        in the power that is logged, and no part of the product."""
        rules, kw = self.rules, self.power_kw - self.lot_baseline_kw - state.nem_kw
        up = self.capacity_kw * (rules.power_up if state.aem_on or not rules.up else 1.0)
        down = self.capacity_kw * (rules.power_down if state.aem_on or not rules.down else 1.0)
        return min(max(kw, -up), down)

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
        self.others_kw = sum(
            reading.power_kw
            for c in self.desk.chargers
            if c not in self.units and (reading := self.desk.reading(c)) is not None
        )
        for charger_id in tuple(self.units):
            if (fault := self._fault(charger_id, now_s)) is None:
                self._strikes.pop(charger_id, None)
            else:
                self._strike(charger_id, fault)
        self._weigh(now)
        for charger_id in self.units:
            if charger_id not in self._strikes:
                self._order(charger_id, self._ordered[charger_id].kw, now_s, beat=True)

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


def scaled(units: Sequence[Unit], capacity_kw: float, baseline_kw: float | None = None) -> tuple[Unit, ...]:
    """These units with `capacity_kw` together, each with its part, and where `baseline_kw` is given with that together
    as their operating point: what is claimed, whether they can do it or not."""
    total = sum(unit.capacity_kw for unit in units)
    if total <= 0:
        return tuple(units)
    return tuple(
        replace(
            unit,
            capacity_kw=unit.capacity_kw * capacity_kw / total,
            baseline_kw=unit.baseline_kw if baseline_kw is None else baseline_kw * unit.capacity_kw / total,
        )
        for unit in units
    )


def shares(units: Mapping[str, Unit]) -> dict[str, float]:
    """Each charger's part of the capacity, 0..1."""
    total = sum(unit.capacity_kw for unit in units.values())
    return {c: unit.capacity_kw / total if total > 0 else 0.0 for c, unit in units.items()}


def _reading(sample: MeterSample | None) -> Reading | None:
    return None if sample is None else Reading(sample.hz, sample.at.timestamp())
