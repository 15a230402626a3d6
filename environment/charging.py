"""What chargers do with their vehicles: the physics of all of them in one array calculation, in scenario time.

Power follows, in this order: the setpoint written over Modbus, else the charger's own plan (charge with all it has
until the vehicle's target, not before its timer's time where it has one); on top of it the frequency droop; all cut
to what charger and vehicle can do. Physics advance to the scenario time `now()` whenever something is read, written or
changed, so every register is true at the moment of reading and every kWh is counted under the setpoint that held.
Times inside are seconds since the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from environment.charger_device import ChargerRegisters, ChargerSpec, Droop, Live
from environment.charger_map import ADOPT, NOMINAL_HZ, NOMINAL_V, STOP
from environment.sunspec import Key
from environment.vehicles import SECONDS_PER_HOUR, Fleet, Floats

HEARTBEAT_TIMEOUT_S = 300.0
RESUME_BELOW_TARGET = 0.01  # of the capacity: the own plan tops up again only this far below its target


class ParkError(RuntimeError):
    """The chargers cannot be started, or a vehicle cannot be where it is put; one line says why."""


class Charging:
    """Chargers side by side; arrays have shape [chargers] in the order of `ids`.

    `imported_kwh` and `exported_kwh` are each charger's meter at the grid side. `now` is the scenario clock.
    """

    def __init__(
        self,
        specs: Sequence[ChargerSpec],
        fleet: Fleet,
        now: Callable[[], datetime],
        *,
        heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S,
    ) -> None:
        self.specs = tuple(specs)
        self.ids = tuple(spec.charger_id for spec in specs)
        self.index = {charger_id: i for i, charger_id in enumerate(self.ids)}
        if len(self.index) != len(self.ids):
            raise ParkError("two chargers have the same id; give each its own")
        self.fleet = fleet
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self._now, self._origin = now, now()
        self._at_s = 0.0
        count = len(specs)
        self.max_charge_kw = np.array([spec.max_charge_kw for spec in specs])
        self.max_discharge_kw = np.array([spec.max_discharge_kw for spec in specs])
        self._rating_kw = np.maximum(self.max_charge_kw, self.max_discharge_kw)
        self.voltage_v = np.full(count, NOMINAL_V)
        self.frequency_hz = NOMINAL_HZ
        self.imported_kwh = np.zeros(count)
        self.exported_kwh = np.zeros(count)
        self._vehicle: npt.NDArray[np.int64] = np.full(count, -1, dtype=np.int64)
        self._order_kw = np.full(count, np.nan)  # nan: own plan
        self._stopped = np.zeros(count, dtype=np.bool_)
        self._satisfied = np.zeros(count, dtype=np.bool_)  # the own plan has reached its target
        self._starts_at_s = np.full(count, np.inf)  # when a timer lets the own plan start; inf: nothing to wait for
        self._reverts_at_s = np.full(count, np.inf)
        self._silent_at_s = np.full(count, np.inf)
        self._droops: dict[int, Droop] = {}
        self._droop_kw = np.zeros(count)
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
        if self._vehicle[charger] >= 0:
            raise ParkError(f"charger {charger_id} is taken by {self.fleet.ids[self._vehicle[charger]]}")
        if self.fleet.connected[vehicle]:
            raise ParkError(f"vehicle {vehicle_id} is plugged in elsewhere already")
        capacity_kwh = self.fleet.capacity_kwh[vehicle]
        if soc is not None:
            self.fleet.energy_kwh[vehicle] = soc * capacity_kwh
        if floor_soc is not None:
            self.fleet.floor_kwh[vehicle] = floor_soc * capacity_kwh
        self.fleet.target_kwh[vehicle] = target_soc * capacity_kwh
        self.fleet.connected[vehicle] = True
        self._vehicle[charger] = vehicle
        self._satisfied[charger] = False
        starts_at_s = 0.0 if starts_at is None else (starts_at - self._origin).total_seconds()
        self._starts_at_s[charger] = starts_at_s if starts_at_s > self._at_s else np.inf
        self._settle()

    def unplug(self, charger_id: str) -> float:
        """The vehicle leaves; returns its state of charge (a fraction). A setpoint ends with the session."""
        self.advance()
        charger = self.index[charger_id]
        vehicle = self._vehicle[charger]
        if vehicle < 0:
            raise ParkError(f"charger {charger_id} has no vehicle")
        self.fleet.connected[vehicle] = False
        self._vehicle[charger] = -1
        self._starts_at_s[charger] = np.inf
        self._droop_kw[charger] = 0.0
        self._disable(charger)
        return float(self.fleet.soc[vehicle])

    def vehicle_at(self, charger_id: str) -> str | None:
        """The vehicle that is plugged in."""
        vehicle = self._vehicle[self.index[charger_id]]
        return None if vehicle < 0 else self.fleet.ids[vehicle]

    # The physics --------------------------------------------------------------------------------------------

    def observe(self, voltage_v: Floats | float, frequency_hz: float) -> None:
        """The grid has changed: the voltage (line to neutral) at each charger, the frequency of all."""
        self.advance()
        self.voltage_v[:] = voltage_v
        self.frequency_hz = frequency_hz
        for charger, droop in self._droops.items():
            if droop.response_s == 0:
                self._droop_kw[charger] = self._wanted_droop_kw(charger, droop)

    def power_kw(self) -> Floats:
        """What every charger draws at this moment, kW."""
        self.advance()
        setpoint_kw, stop_kwh = self._setpoint_kw(self._droop_kw)
        return self._of_chargers(self.fleet.power_kw(self._of_vehicles(setpoint_kw), self._stops(stop_kwh)))

    def soc_percent(self) -> Floats:
        """The state of charge at every charger, %; nan where no vehicle is plugged in."""
        self.advance()
        plugged = self._vehicle >= 0
        return np.where(plugged, self.fleet.soc[self._vehicle] * 100, np.nan)

    def advance(self) -> None:
        """Lets the physics catch up with the scenario time, with every fallback and timer at its own instant."""
        until_s = (self._now() - self._origin).total_seconds()
        while self._at_s < until_s:
            due_s = min(self._reverts_at_s.min(), self._silent_at_s.min(), self._starts_at_s.min())
            self._integrate(min(due_s, until_s) - self._at_s)
            self._at_s = min(due_s, until_s)
            self._starts_at_s[self._starts_at_s <= self._at_s] = np.inf
            for charger in np.flatnonzero(self._reverts_at_s <= self._at_s):
                self._reverts_at_s[charger] = np.inf
                self._registers[charger].revert()
                self._obey(int(charger))
            for charger in np.flatnonzero(self._silent_at_s <= self._at_s):
                self._silent_at_s[charger] = np.inf
                self._disable(int(charger))

    def _integrate(self, dt_s: float) -> None:
        if dt_s <= 0:
            return
        mean_droop_kw = self._droop_over(dt_s)
        setpoint_kw, stop_kwh = self._setpoint_kw(mean_droop_kw)
        mean_kw = self._of_chargers(self.fleet.step(self._of_vehicles(setpoint_kw), dt_s, self._stops(stop_kwh)))
        self.imported_kwh += np.maximum(mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR
        self.exported_kwh += np.maximum(-mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR
        self._settle()

    def _settle(self) -> None:
        """Whether each own plan has what it wants; with a hysteresis, so that a droop does not make it flutter."""
        plugged = self._vehicle >= 0
        energy, target = self.fleet.energy_kwh[self._vehicle], self.fleet.target_kwh[self._vehicle]
        resume = target - RESUME_BELOW_TARGET * self.fleet.capacity_kwh[self._vehicle]
        self._satisfied |= plugged & (energy >= target)
        self._satisfied &= plugged & (energy >= resume)

    def _setpoint_kw(self, droop_kw: Floats) -> tuple[Floats, Floats]:
        """What every charger tries, and at which energy it ends charging (inf: at the battery's end)."""
        own = np.isnan(self._order_kw)
        idle = self._satisfied | np.isfinite(self._starts_at_s)
        base_kw = np.where(own, np.where(idle, 0.0, self.max_charge_kw), self._order_kw)
        setpoint_kw = base_kw + droop_kw
        for charger, droop in self._droops.items():
            if droop_kw[charger] > 0:
                most_kw = max(-droop.p_min * self._rating_kw[charger], base_kw[charger])
                setpoint_kw[charger] = min(setpoint_kw[charger], most_kw)
        setpoint_kw = np.clip(setpoint_kw, -self.max_discharge_kw, self.max_charge_kw)
        stop_kwh = np.where(own & ~self._satisfied, self.fleet.target_kwh[self._vehicle], np.inf)
        return np.where(self._stopped, 0.0, setpoint_kw), stop_kwh

    def _droop_over(self, dt_s: float) -> Floats:
        """The droop's mean power over the next `dt_s` seconds, kW; moves it to where it then is.

        A first-order lag that comes to 90 % of the change in the open-loop response time (IEEE 1547-2018, 3.1).
        """
        mean_kw = np.zeros(len(self.ids))
        for charger, droop in self._droops.items():
            wanted_kw = self._wanted_droop_kw(charger, droop)
            gap_kw = self._droop_kw[charger] - wanted_kw
            lag_s = droop.response_s / np.log(10.0)
            left = np.exp(-dt_s / lag_s) if lag_s > 0 else 0.0
            mean_kw[charger] = wanted_kw + gap_kw * lag_s / dt_s * (1 - left)
            self._droop_kw[charger] = wanted_kw + gap_kw * left
        return mean_kw

    def _wanted_droop_kw(self, charger: int, droop: Droop) -> float:
        """Where the droop goes to at the present frequency: less drawn below 50 Hz, more above."""
        rating_kw, deviation_hz = self._rating_kw[charger], self.frequency_hz - NOMINAL_HZ
        over_hz = max(deviation_hz - droop.deadband_over_hz, 0.0)
        under_hz = max(-deviation_hz - droop.deadband_under_hz, 0.0)
        wanted_kw = rating_kw * (over_hz / droop.k_over - under_hz / droop.k_under) / NOMINAL_HZ
        # No more than from full discharging to full charging: what is beyond would only be made up for later.
        return float(np.clip(wanted_kw, -2 * rating_kw, 2 * rating_kw))

    def _of_vehicles(self, of_chargers: Floats) -> Floats:
        values = np.zeros(len(self.fleet))
        plugged = self._vehicle >= 0
        values[self._vehicle[plugged]] = of_chargers[plugged]
        return values

    def _stops(self, stop_kwh: Floats) -> Floats:
        values = np.full(len(self.fleet), np.inf)
        plugged = self._vehicle >= 0
        values[self._vehicle[plugged]] = stop_kwh[plugged]
        return values

    def _of_chargers(self, of_vehicles: Floats) -> Floats:
        return np.where(self._vehicle >= 0, of_vehicles[self._vehicle], 0.0)

    # The orders ---------------------------------------------------------------------------------------------

    def _obey(self, charger: int) -> None:
        """Takes over what the registers now order."""
        registers = self._registers[charger]
        order_kw = registers.order_kw()
        self._order_kw[charger] = np.nan if order_kw is None else order_kw
        self._stopped[charger] = registers.settings[715, "OpCtl"] == STOP
        droop = registers.droop()
        if droop is None:
            self._droops.pop(charger, None)
            self._droop_kw[charger] = 0.0
        else:
            self._droops[charger] = droop
            if droop.response_s == 0:
                self._droop_kw[charger] = self._wanted_droop_kw(charger, droop)

    def _disable(self, charger: int) -> None:
        self._registers[charger].disable()
        self._reverts_at_s[charger] = np.inf
        self._obey(charger)

    def _write(self, charger: int, wanted: dict[Key, int]) -> None:
        registers = self._registers[charger]
        beats = wanted.get((715, "ControllerHb"), registers.settings[715, "ControllerHb"])
        if beats != registers.settings[715, "ControllerHb"]:
            self._silent_at_s[charger] = self._at_s + self.heartbeat_timeout_s
        registers.settings.update(wanted)
        if wanted.get((711, "AdptCtlReq")) == ADOPT:
            registers.adopt_droop()
        registers.settings[715, "AlarmReset"] = 0
        if any(model_id == 704 for model_id, _ in wanted):
            after_s = registers.settings[704, "WSetRvrtTms"]
            runs = after_s > 0 and registers.order_kw() is not None
            self._reverts_at_s[charger] = self._at_s + after_s if runs else np.inf
        self._obey(charger)

    def _live(self, charger: int) -> Live:
        vehicle = self._vehicle[charger]
        connected, fleet = bool(vehicle >= 0), self.fleet
        left_s = self._reverts_at_s[charger] - self._at_s
        return Live(
            power_kw=float(self.power_kw()[charger]),
            voltage_v=float(self.voltage_v[charger]),
            frequency_hz=self.frequency_hz,
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
            seconds=self._at_s,
        )
