"""What chargers do with their vehicles: the physics of all of them in one array calculation, in scenario time.

Power follows, in this order: the setpoint written over Modbus, else the charger's own plan (charge with all it has
until the vehicle's target, not before its timer's time where it has one; nothing where it is a public one); on top of
it the frequency droop; all cut to what charger and vehicle can do. Physics advance to the scenario time `now()`
whenever something is read, written or changed, so every register is true at the moment of reading and every kWh is
counted under the setpoint that held.
Times inside are seconds since the start. With a constant frequency and chargers that answer at once, everything
between two changes is solved in one piece; with a `feed`, a bench, a dead time or a ramp it goes step by step
(`environment.charging_seconds`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from environment.charger_device import ChargerRegisters, ChargerSpec, Live
from environment.charger_map import ADOPT, NOMINAL_V, STOP
from environment.charging_seconds import AppliedFrequency, FrequencyFeed, Stretch, feed_alone, seen_hz
from environment.frequency_response import Bools, Droops, Dynamics
from environment.sunspec import Key
from environment.vehicles import SECONDS_PER_HOUR, Fleet, Floats
from protocols.units import NOMINAL_HZ

__all__ = ["AppliedFrequency", "Charging", "FrequencyFeed", "ParkError"]

HEARTBEAT_TIMEOUT_S = 300.0
RESUME_BELOW_TARGET = 0.01  # of the capacity: the own plan tops up again only this far below its target

Flowed: TypeAlias = Callable[[float, float, Floats, Floats], None]
"""Hears of each stretch in which nothing was ordered and nobody came or went: its start (s since the beginning), its
length (s), what each charger drew at its start and what on average (kW). Charging never grows within a stretch."""

SHORT_S = 2.0  # so short a time is added up faster than it is solved


class ParkError(RuntimeError):
    """The chargers cannot be started, or a vehicle cannot be where it is put; one line says why."""


class Charging:
    """Chargers side by side; arrays have shape [chargers] in the order of `ids`.

    `imported_kwh` and `exported_kwh` are each charger's meter at the grid side. `now` is the scenario clock. `feed`
    gives the frequency of each step and hears the response; without it the frequency is what `observe` says. `flowed`
    may be set where the frequency is constant and chargers answer at once.
    """

    def __init__(
        self,
        specs: Sequence[ChargerSpec],
        fleet: Fleet,
        now: Callable[[], datetime],
        *,
        heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S,
        feed: FrequencyFeed | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self.ids = tuple(spec.charger_id for spec in specs)
        self.index = {charger_id: i for i, charger_id in enumerate(self.ids)}
        if len(self.index) != len(self.ids):
            raise ParkError("two chargers have the same id; give each its own")
        self.fleet = fleet
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self._now, self.origin = now, now()
        self.at_s = 0.0
        count = len(specs)
        self.max_charge_kw = np.array([spec.max_charge_kw for spec in specs])
        self.max_discharge_kw = np.array([spec.max_discharge_kw for spec in specs])
        self._public: Bools = np.array([spec.public for spec in specs], dtype=np.bool_)
        self._rating_kw = np.maximum(self.max_charge_kw, self.max_discharge_kw)
        self._voltage_v: Floats | float | Callable[[], Floats] = NOMINAL_V
        self.feed = feed
        self.frequency_hz = NOMINAL_HZ if feed is None else feed.hz(0.0)
        self.imported_kwh = np.zeros(count)
        self.exported_kwh = np.zeros(count)
        self.vehicle: npt.NDArray[np.int64] = np.full(count, -1, dtype=np.int64)
        self._order_kw = np.full(count, np.nan)  # nan: own plan
        self.stopped: Bools = np.zeros(count, dtype=np.bool_)
        self.satisfied: Bools = np.zeros(count, dtype=np.bool_)  # the own plan has reached its target
        self.ignoring: Bools = np.zeros(count, dtype=np.bool_)  # takes orders and does not follow them
        self._starts_at_s = np.full(count, np.inf)  # when a timer lets the own plan start; inf: nothing to wait for
        self._reverts_at_s = np.full(count, np.inf)
        self._silent_at_s = np.full(count, np.inf)
        self.droops = Droops(self._rating_kw)
        self.dynamics = Dynamics(self.specs)
        self.baseline_kw = np.full(count, np.nan)  # nan: none nominated
        self.benches: list[AppliedFrequency] = []
        self.flowed: Flowed | None = None
        self._stretch: Stretch | None = None
        self._flowing: tuple[float, Floats] | None = None
        self._registers = [ChargerRegisters(spec) for spec in specs]

    # The vehicles -------------------------------------------------------------------------------------------

    def plug_in(
        self,
        charger_id: str,
        vehicle_id: str,
        *,
        soc: float | None = None,
        target_soc: float = 1.0,
        floor_soc: float | None = None,
        starts_at: datetime | None = None,
    ) -> None:
        """A vehicle arrives, with `soc` in its battery; charging by the own plan ends at `target_soc`, discharging
        at `floor_soc` (fractions; None leaves what the fleet has). The own plan draws nothing before `starts_at`;
        orders need not wait. Raises ParkError where the charger is taken or the vehicle is plugged in elsewhere."""
        self.advance()
        charger, vehicle = self.index[charger_id], self.fleet.index[vehicle_id]
        if self.vehicle[charger] >= 0:
            raise ParkError(f"charger {charger_id} is taken by {self.fleet.ids[self.vehicle[charger]]}")
        if self.fleet.connected[vehicle]:
            raise ParkError(f"vehicle {vehicle_id} is plugged in elsewhere already")
        capacity_kwh = self.fleet.capacity_kwh[vehicle]
        if soc is not None:
            self.fleet.energy_kwh[vehicle] = soc * capacity_kwh
        if floor_soc is not None:
            self.fleet.floor_kwh[vehicle] = floor_soc * capacity_kwh
        self.fleet.target_kwh[vehicle] = target_soc * capacity_kwh
        self.fleet.connected[vehicle] = True
        self.vehicle[charger] = vehicle
        self.satisfied[charger] = False
        starts_at_s = 0.0 if starts_at is None else (starts_at - self.origin).total_seconds()
        self._starts_at_s[charger] = starts_at_s if starts_at_s > self.at_s else np.inf
        self.droops.kw[charger] = 0.0  # a droop begins with the session
        self._droops_see()
        self.settle()
        self._changed()

    def unplug(self, charger_id: str) -> float:
        """The vehicle leaves; returns its state of charge (a fraction). A setpoint ends with the session."""
        self.advance()
        charger = self.index[charger_id]
        vehicle = self.vehicle[charger]
        if vehicle < 0:
            raise ParkError(f"charger {charger_id} has no vehicle")
        self.fleet.connected[vehicle] = False
        self.vehicle[charger] = -1
        self._starts_at_s[charger] = np.inf
        self.droops.kw[charger] = 0.0
        self.dynamics.unplugged(charger)
        self._disable(charger)
        return float(self.fleet.soc[vehicle])

    # The physics --------------------------------------------------------------------------------------------

    def observe(self, voltage_v: Floats | float | Callable[[], Floats], frequency_hz: float) -> None:
        """The grid has changed: the voltage (line to neutral) at each charger, or what gives it when it is read; the
        frequency of all (where a feed gives it, it is left as it is)."""
        self.advance()
        self._voltage_v = voltage_v
        if self.feed is None:
            self._see(frequency_hz)

    @property
    def voltage_v(self) -> Floats:
        """The voltage (line to neutral) at each charger."""
        if callable(self._voltage_v):
            self._voltage_v = self._voltage_v()
        return np.broadcast_to(self._voltage_v, len(self.ids))

    def _see(self, frequency_hz: float) -> None:
        self.frequency_hz = frequency_hz
        self._flowing = None
        self._droops_see()

    def _droops_see(self) -> None:
        self.droops.see(self.seen_hz() if self.benches else self.frequency_hz)

    def seen_hz(self) -> Floats:
        """The frequency at each charger: the grid's, or what a bench applies."""
        return seen_hz(self.frequency_hz, self.benches, self.at_s, len(self.ids))

    def nominate(self, charger_id: str, baseline_kw: float | None) -> None:
        """From now on the charger's response is what it draws beyond `baseline_kw` (positive drawn); None: what it
        draws beyond its power without droop, where it has a droop, else it has no response."""
        self.advance()
        before_kw, charger = self.baseline_kw.copy(), self.index[charger_id]
        self.baseline_kw[charger] = np.nan if baseline_kw is None else baseline_kw
        if not np.array_equal(before_kw, self.baseline_kw, equal_nan=True):
            self._changed()

    def attach(self, bench: AppliedFrequency) -> None:
        """From now on the bench's chargers see its frequency, and it is told what they do."""
        self.advance()
        self.benches = [other for other in self.benches if other is not bench] + [bench]
        self._changed()
        self._droops_see()

    def detach(self, bench: AppliedFrequency) -> None:
        """Back to the grid's frequency."""
        self.advance()
        self.benches = [other for other in self.benches if other is not bench]
        self._changed()
        self._droops_see()

    def power_kw(self) -> Floats:
        """What every charger draws at this moment, kW; not to be written to."""
        self.advance()
        if self._flowing is not None and self._flowing[0] == self.at_s:
            return self._flowing[1]
        setpoint_kw, stop_kwh = self._setpoint_kw(self.droops.kw)
        if self.dynamics.any:
            setpoint_kw = np.where(self.dynamics.on, self.dynamics.now_kw[0], setpoint_kw)
        flowing_kw = self._possible_kw(setpoint_kw, stop_kwh)
        self._flowing = self.at_s, flowing_kw  # meters of one place are read in one instant
        return flowing_kw

    def _possible_kw(self, setpoint_kw: Floats, stop_kwh: Floats) -> Floats:
        return self.of_chargers(self.fleet.power_kw(self.of_vehicles(setpoint_kw), self.of_vehicles(stop_kwh, np.inf)))

    def soc_percent(self) -> Floats:
        """The state of charge at every charger, %; nan where no vehicle is plugged in."""
        self.advance()
        plugged = self.vehicle >= 0
        return np.where(plugged, self.fleet.soc[self.vehicle] * 100, np.nan)

    def advance(self) -> None:
        """Lets the physics catch up with the scenario time, with every fallback and timer at its own instant."""
        until_s = (self._now() - self.origin).total_seconds()
        if self.at_s >= until_s:
            return
        while self.at_s < until_s:
            due_s = min(self._reverts_at_s.min(), self._silent_at_s.min(), self._starts_at_s.min())
            self._go_to(min(due_s, until_s))
            self.at_s = min(due_s, until_s)
            if due_s > until_s:
                continue
            self._starts_at_s[self._starts_at_s <= self.at_s] = np.inf
            self._changed()
            for charger in np.flatnonzero(self._reverts_at_s <= self.at_s):
                self._reverts_at_s[charger] = np.inf
                self._registers[charger].revert()
                self._obey(int(charger))
            for charger in np.flatnonzero(self._silent_at_s <= self.at_s):
                self._silent_at_s[charger] = np.inf
                self._disable(int(charger))
        if self.feed is not None or self.benches:
            self._see(self.frequency_hz if self.feed is None else self.feed.hz(self.at_s))

    def _go_to(self, to_s: float) -> None:
        """Time goes on to `to_s`; nothing is ordered in between."""
        if self.feed is None and not self.benches and not self.dynamics.any:
            self._integrate(to_s - self.at_s)
            return
        while self.at_s < to_s:
            stretch = self._stretch = self._stretch or Stretch(self)
            if stretch.active or to_s - self.at_s <= SHORT_S:
                self.at_s = stretch.run(to_s)
                stretch.flush()
                if self.settle() or self.at_s >= stretch.ends_s:
                    self._changed()
            else:
                if self.feed is not None:
                    feed_alone(self.feed, self.at_s, to_s)
                self._integrate(to_s - self.at_s)
                self.at_s = to_s
                self._changed()

    def _changed(self) -> None:
        """What held until now need not hold any longer."""
        self._stretch = self._flowing = None

    def _integrate(self, dt_s: float) -> None:
        if dt_s <= 0:
            return
        setpoint_kw, stop_kwh = self._setpoint_kw(self.droops.over(self.frequency_hz, dt_s))
        stops = self.of_vehicles(stop_kwh, np.inf)
        first_kw = None if self.flowed is None else self._possible_kw(setpoint_kw, stop_kwh)
        mean_kw = self.of_chargers(self.fleet.step(self.of_vehicles(setpoint_kw), dt_s, stops))
        self.count(mean_kw, dt_s)
        if self.flowed is not None and first_kw is not None:
            self.flowed(self.at_s, dt_s, first_kw, mean_kw)
        if self.dynamics.any:
            self.dynamics.rest(setpoint_kw, self._possible_kw(setpoint_kw, stop_kwh))
        self.settle()

    def count(self, mean_kw: Floats, dt_s: float) -> None:
        """The chargers' meters count `mean_kw` for `dt_s` seconds."""
        self.imported_kwh += np.maximum(mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR
        self.exported_kwh += np.maximum(-mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR

    def settle(self) -> bool:
        """Whether each own plan has what it wants; with a hysteresis, so that a droop does not make it flutter.
        Returns whether that has changed for one."""
        before = self.satisfied.copy()
        plugged = self.vehicle >= 0
        energy, target = self.fleet.energy_kwh[self.vehicle], self.fleet.target_kwh[self.vehicle]
        self.satisfied |= plugged & (energy >= target)
        self.satisfied &= plugged & (energy >= self.resume_kwh())
        return bool((before != self.satisfied).any())

    def resume_kwh(self) -> Floats:
        """The energy below which each own plan begins anew."""
        return self.fleet.target_kwh[self.vehicle] - RESUME_BELOW_TARGET * self.fleet.capacity_kwh[self.vehicle]

    def base_kw(self) -> tuple[Floats, Floats]:
        """What every charger wants without droop, and at which energy it ends charging (inf: at the battery's end)."""
        own = np.isnan(self._order_kw)
        idle = self.satisfied | np.isfinite(self._starts_at_s) | self._public
        base_kw = np.where(own, np.where(idle, 0.0, self.max_charge_kw), self._order_kw)
        return base_kw, np.where(self._public | own & ~self.satisfied, self.fleet.target_kwh[self.vehicle], np.inf)

    def _setpoint_kw(self, droop_kw: Floats) -> tuple[Floats, Floats]:
        """What every charger tries, and at which energy it ends charging (inf: at the battery's end)."""
        base_kw, stop_kwh = self.base_kw()
        setpoint_kw = np.minimum(base_kw + droop_kw, self.droops.most_kw(base_kw))
        setpoint_kw = np.clip(setpoint_kw, -self.max_discharge_kw, self.max_charge_kw)
        return np.where(self.stopped, 0.0, setpoint_kw), stop_kwh

    def of_vehicles(self, of_chargers: Floats, otherwise: float = 0.0) -> Floats:
        """Values of chargers as those of the vehicles at them; `otherwise` for who is not plugged in."""
        values = np.full(len(self.fleet), otherwise)
        plugged = self.vehicle >= 0
        values[self.vehicle[plugged]] = of_chargers[plugged]
        return values

    def of_chargers(self, of_vehicles: Floats) -> Floats:
        """Values of vehicles as those of the chargers they are at; 0 where there is none."""
        return np.where(self.vehicle >= 0, of_vehicles[self.vehicle], 0.0)

    # The orders ---------------------------------------------------------------------------------------------

    def _obey(self, charger: int) -> None:
        """Takes over what the registers now order."""
        registers, ignores = self._registers[charger], self.ignoring[charger]
        order_kw = None if ignores else registers.order_kw()
        self._order_kw[charger] = np.nan if order_kw is None else order_kw
        self.stopped[charger] = registers.settings[715, "OpCtl"] == STOP
        self.droops.put(charger, None if ignores else registers.droop())
        if self.droops.on[charger]:
            self._droops_see()
        self._changed()

    def _ignore(self, charger: int, ignores: bool) -> None:
        """Whether the charger goes by its own plan whatever its registers say."""
        if ignores != self.ignoring[charger]:
            self.advance()
            self.ignoring[charger] = ignores
            self._obey(charger)

    def _disable(self, charger: int) -> None:
        self._registers[charger].disable()
        self._reverts_at_s[charger] = np.inf
        self._obey(charger)

    def _write(self, charger: int, wanted: dict[Key, int]) -> None:
        registers = self._registers[charger]
        beats = wanted.get((715, "ControllerHb"), registers.settings[715, "ControllerHb"])
        if beats != registers.settings[715, "ControllerHb"]:
            self._silent_at_s[charger] = self.at_s + self.heartbeat_timeout_s
        registers.settings.update(wanted)
        if wanted.get((711, "AdptCtlReq")) == ADOPT:
            registers.adopt_droop()
        registers.settings[715, "AlarmReset"] = 0
        if any(model_id == 704 for model_id, _ in wanted):
            after_s = registers.settings[704, "WSetRvrtTms"]
            runs = after_s > 0 and registers.order_kw() is not None
            self._reverts_at_s[charger] = self.at_s + after_s if runs else np.inf
        self._obey(charger)

    def _live(self, charger: int) -> Live:
        vehicle = self.vehicle[charger]
        connected, fleet = bool(vehicle >= 0), self.fleet
        left_s = self._reverts_at_s[charger] - self.at_s
        return Live(
            power_kw=float(self.power_kw()[charger]),
            voltage_v=float(self.voltage_v[charger]),
            frequency_hz=float(self.seen_hz()[charger]),
            connected=connected,
            capacity_kwh=float(fleet.capacity_kwh[vehicle]) if connected else 0.0,
            energy_kwh=float(fleet.energy_kwh[vehicle]) if connected else 0.0,
            max_charge_kw=float(min(self.max_charge_kw[charger], fleet.max_charge_kw[vehicle] if connected else 0)),
            max_discharge_kw=float(
                min(self.max_discharge_kw[charger], fleet.max_discharge_kw[vehicle] if connected else 0)
            ),
            imported_kwh=float(self.imported_kwh[charger]),
            exported_kwh=float(self.exported_kwh[charger]),
            reversion_left_s=float(left_s) if np.isfinite(left_s) else 0.0,
            seconds=self.at_s,
        )
