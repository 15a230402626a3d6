"""The control of one portfolio for one product: each second a frequency is read, acted on, and logged.

There is no activation signal (D5.1 3.7: units "must measure the frequency and automatically activate reserves on their
own"). Two ways: CENTRAL, where this loop turns the frequency into setpoints, and LOCAL, where the chargers' own droop
does (SunSpec model 711) and this loop only moves the operating point under it, for energy management. In both the loop
keeps the log, and watches the meters, the chargers and what is left in the batteries.

kW drawn from the grid; a change below 0 is upward activation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from agents.decisions.fcr_dispatch import Distribution
from agents.decisions.fcr_energy import EnergyManager, EnergyState, Reservoir
from agents.decisions.fcr_meters import MeterRules
from agents.decisions.fcr_portfolio import Unit, window
from agents.decisions.fcr_products import FcrRules, total_change_kw
from agents.fcr_log import FcrLog, LoggedSecond
from agents.fcr_ports import FrequencyMeter
from agents.frequency_chargers import POLL_S, SETTLED_S, Controller
from agents.frequency_meters import FrequencyMeters
from agents.frequency_response import PortfolioResponse
from agents.ports import ChargerError
from protocols.exchanges.frequency_services import Control
from protocols.units import NOMINAL_HZ

SECOND = timedelta(seconds=1)
ACT_HZ = 0.005
"""Between two seconds a smaller change of the frequency can wait: half of what a meter may be off by."""
STEADY_HZ = 0.02
"""A droop is only judged while the frequency has moved by no more than this for a while."""


class FrequencyControl(PortfolioResponse):
    """See the module. `lost_meters(why)` is called once for each case, as `lost_unit` is (`PortfolioChargers`).

    `act_every_s`: how often CENTRAL looks at the meter. Below a second it also acts between the whole ones, on a change
    of `ACT_HZ` or more that can be believed at once; all else is done each whole second. Virtual time has no use for
    it: there nothing lasts long enough to be seen between two seconds.
    `in_test`: whether the portfolio is in its test, for the log.
    """

    def __init__(
        self,
        agent: Controller,
        rules: FcrRules,
        control: Control,
        meters: Sequence[FrequencyMeter],
        log: FcrLog | None,
        *,
        lost_unit: Callable[[str, str], None],
        lost_meters: Callable[[str], None],
        meter_rules: MeterRules | None = None,
        act_every_s: float = 1.0,
        in_test: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(agent, rules, control, lost_unit=lost_unit)
        self.meters = FrequencyMeters(meters, meter_rules)
        self.log = log
        self.lost_meters = lost_meters
        self._in_test = in_test
        self._act_every = timedelta(seconds=act_every_s) if control is Control.CENTRAL else SECOND
        self.watch: Callable[[datetime, EnergyState], None] | None = None
        self.hz = NOMINAL_HZ
        self.power_kw = 0.0
        self.state: EnergyState | None = None
        self._energy: EnergyManager | None = None
        self._energy_kwh = 0.0
        self._polled_kw = 0.0

    # ---- beginning, changing, ending

    @property
    def on(self) -> bool:
        """Whether the control is active."""
        return bool(self.units)

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
        self.meters.begin()
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
        self._p_min_kw, self._p_max_kw = sum(unit.least_kw for unit in units), sum(unit.most_kw for unit in units)
        self._distribution.set_bands([self._band(unit) for unit in units])
        self._stand(self._distribution.changes_kw, now_s)
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
        self._energy, self.state, self._offset_kw, self._taken_back_kw = None, None, 0.0, 0.0
        self._distribution = Distribution([])
        for charger_id in ids:
            self._forget(charger_id)
        await self._written()
        if self.control is Control.LOCAL:
            stops = [self.desk.chargers[c].stop_droop() for c in ids]
            for result in await asyncio.gather(*stops, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, ChargerError):
                    raise result

    def _manager(self, capacity_kw: float) -> EnergyManager:
        return EnergyManager(self.rules, Reservoir(self.size_kwh, capacity_kw))

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
            if self._act_every < SECOND:
                await self._between(at, turn)

    async def _between(self, next_at: datetime, turn: int) -> None:
        """Until the next whole second."""
        at = next_at - SECOND
        while (at := max(at + self._act_every, self.agent.now())) < next_at and turn == self._round:
            await self.agent.clock.sleep_until(at)
            hz = await self.meters.between(at.timestamp(), self.hz)
            state = self.state
            if hz is None or abs(hz - self.hz) < ACT_HZ or state is None or turn != self._round:
                continue
            self.hz = hz
            wanted = total_change_kw(self.rules, self.capacity_kw, hz, state.reference_hz, state.nem_kw)
            self._distribute(min(self.agent.now(), next_at).timestamp(), wanted)

    async def _second(self, at: datetime, seconds: int) -> None:
        turn, at_s = self._round, at.timestamp()
        sample, selected = await self.meters.second(at_s)
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

    def _write_log(self, at: datetime, hz: float, state: EnergyState) -> None:
        assert self.log is not None
        assert self._energy is not None
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
                p_min_kw=self._p_min_kw,
                p_max_kw=self._p_max_kw,
                testing=self._in_test(),
            )
        )

    def _activated_kw(self, state: EnergyState) -> float:
        """What counts as the product's activation. Beyond the end of the band a droop gives more than was sold: that is
        in the power that is logged, and no part of the product."""
        rules, kw = self.rules, self.power_kw - self.lot_baseline_kw - state.nem_kw
        up = self.capacity_kw * (rules.power_up if state.aem_on or not rules.up else 1.0)
        down = self.capacity_kw * (rules.power_down if state.aem_on or not rules.down else 1.0)
        return min(max(kw, -up), down)
