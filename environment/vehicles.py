"""Vehicles as arrays: what a battery really takes or gives between two instants, to the watt-hour.

Powers are kW at the grid side of the charger, charging is positive. Energies are kWh in the battery. A step is solved
in closed form, the taper included, so it conserves energy exactly and does not depend on how long the steps are.

The charging curve is the usual one of a lithium-ion battery (constant current, then constant voltage): full power up
to `taper_soc`, then a limit that falls linearly with the state of charge to `taper_final` of it at 100 %. At the powers
of homes and offices (a fifth of the capacity an hour) the voltage limit is met late, so the fall begins at 95 %; a fast
charger's begins earlier. The efficiencies are constants of charger and battery together. These defaults (0.94 each
way, 88 % there and back; 95 %; a fifth) are assumptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle. Limits are kW at the grid side, `soc` values fractions of the capacity; ValueError if they
    cannot be."""

    vehicle_id: str
    capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    soc: float = 0.5
    floor_soc: float = 0.2
    efficiency_charge: float = 0.94
    efficiency_discharge: float = 0.94
    taper_soc: float = 0.95
    taper_final: float = 0.2

    def __post_init__(self) -> None:
        for name, fits, what in (
            ("capacity_kwh", self.capacity_kwh > 0, "above 0"),
            ("max_charge_kw", self.max_charge_kw >= 0, "0 or more"),
            ("max_discharge_kw", self.max_discharge_kw >= 0, "0 or more"),
            ("soc", 0 <= self.soc <= 1, "from 0 to 1"),
            ("floor_soc", 0 <= self.floor_soc <= 1, "from 0 to 1"),
            ("efficiency_charge", 0 < self.efficiency_charge <= 1, "above 0, at most 1"),
            ("efficiency_discharge", 0 < self.efficiency_discharge <= 1, "above 0, at most 1"),
            ("taper_soc", 0 < self.taper_soc < 1, "between 0 and 1"),
            ("taper_final", 0 < self.taper_final < 1, "between 0 and 1"),
        ):
            if not fits:
                raise ValueError(f"vehicle {self.vehicle_id}: {name} is {getattr(self, name)}, it must be {what}")


class Fleet:
    """Vehicles side by side; every array has shape [vehicles] in the order of `ids`.

    `energy_kwh` is what is in each battery, `target_kwh` where the driver wants charging to end, `floor_kwh` what
    may not be discharged, `knee_kwh` where the charging curve begins to fall. `imported_kwh` and `exported_kwh` count
    the grid side since the beginning.
    """

    def __init__(self, vehicles: Sequence[Vehicle]) -> None:
        self.ids: tuple[str, ...] = tuple(v.vehicle_id for v in vehicles)
        self.index: dict[str, int] = {vehicle_id: i for i, vehicle_id in enumerate(self.ids)}
        if len(self.index) != len(self.ids):
            twice = next(i for n, i in enumerate(self.ids) if i in self.ids[:n])
            raise ValueError(f"vehicle {twice} is there twice; give each vehicle its own id")

        def column(name: str) -> Floats:
            return np.array([getattr(v, name) for v in vehicles], dtype=np.float64)

        self.capacity_kwh = column("capacity_kwh")
        self.max_charge_kw = column("max_charge_kw")
        self.max_discharge_kw = column("max_discharge_kw")
        self.efficiency_charge = column("efficiency_charge")
        self.efficiency_discharge = column("efficiency_discharge")
        self.energy_kwh = column("soc") * self.capacity_kwh
        self.floor_kwh = column("floor_soc") * self.capacity_kwh
        self.target_kwh = self.capacity_kwh.copy()
        self.connected: npt.NDArray[np.bool_] = np.zeros(len(vehicles), dtype=np.bool_)
        self.imported_kwh = np.zeros(len(vehicles))
        self.exported_kwh = np.zeros(len(vehicles))
        self.knee_kwh = column("taper_soc") * self.capacity_kwh
        self._full_kw = self.max_charge_kw * self.efficiency_charge
        self._fall_per_h = self._full_kw * (1 - column("taper_final")) / (self.capacity_kwh - self.knee_kwh)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def soc(self) -> Floats:
        """State of charge as a fraction of the capacity."""
        return self.energy_kwh / self.capacity_kwh

    def charge_limit_kw(self) -> Floats:
        """The most each battery takes at this moment, kW at the grid side: the charging curve."""
        limit_kw = self._full_kw - self._fall_per_h * np.maximum(self.energy_kwh - self.knee_kwh, 0.0)
        return limit_kw / self.efficiency_charge

    def power_kw(self, setpoint_kw: Floats, stop_kwh: Floats | None = None) -> Floats:
        """What flows at this moment under `setpoint_kw`, kW; charging ends at `stop_kwh` (the capacity if None)."""
        stop_kwh = self.capacity_kwh if stop_kwh is None else np.minimum(stop_kwh, self.capacity_kwh)
        charging = np.where(self.energy_kwh < stop_kwh, np.minimum(setpoint_kw, self.charge_limit_kw()), 0.0)
        discharging = np.where(self.energy_kwh > self.floor_kwh, np.maximum(setpoint_kw, -self.max_discharge_kw), 0.0)
        return np.where(self.connected, np.where(setpoint_kw > 0, charging, discharging), 0.0)

    def step(self, setpoint_kw: Floats, dt_s: float, stop_kwh: Floats | None = None) -> Floats:
        """Lets `dt_s` seconds pass under `setpoint_kw` and returns the mean power really drawn, kW.

        What the vehicle cannot do is cut off: an unconnected one does nothing, charging follows the curve and ends
        at `stop_kwh` (the capacity if None), discharging ends at the floor. Raises ValueError on a negative or
        unreal duration and on a setpoint that is not a number.
        """
        if not (np.isfinite(dt_s) and dt_s >= 0):
            raise ValueError(f"a step of {dt_s} s: time does not run backwards")
        if not np.isfinite(setpoint_kw).all():
            raise ValueError("a setpoint that is not a finite number of kW")
        if dt_s == 0:
            return self.power_kw(setpoint_kw, stop_kwh)
        hours = dt_s / SECONDS_PER_HOUR
        stop_kwh = self.capacity_kwh if stop_kwh is None else np.minimum(stop_kwh, self.capacity_kwh)
        wanted_kw = np.where(self.connected, setpoint_kw, 0.0)

        taken_kwh = np.where(wanted_kw > 0, self._charged_kwh(wanted_kw, hours, stop_kwh), 0.0)
        asked_kw = np.clip(-wanted_kw, 0.0, self.max_discharge_kw)
        given_kwh = np.minimum(
            asked_kw / self.efficiency_discharge * hours, np.maximum(self.energy_kwh - self.floor_kwh, 0.0)
        )
        imported_kwh = taken_kwh / self.efficiency_charge
        exported_kwh = given_kwh * self.efficiency_discharge
        # The very value of the limit where one is reached, so that the next comparison with it is exact.
        self.energy_kwh = np.where(
            taken_kwh > 0,
            np.where(self.energy_kwh + taken_kwh >= stop_kwh - 1e-12, stop_kwh, self.energy_kwh + taken_kwh),
            np.where(
                (given_kwh > 0) & (self.energy_kwh - given_kwh <= self.floor_kwh + 1e-12),
                self.floor_kwh,
                self.energy_kwh - given_kwh,
            ),
        )
        self.imported_kwh += imported_kwh
        self.exported_kwh += exported_kwh
        return (imported_kwh - exported_kwh) / hours

    def give(self, charged_kwh: Floats, given_kwh: Floats) -> None:
        """Counts what has flowed, kWh >= 0 at the grid side, where no limit was met on the way (the caller's word)."""
        self.energy_kwh += charged_kwh * self.efficiency_charge - given_kwh / self.efficiency_discharge
        self.imported_kwh += charged_kwh
        self.exported_kwh += given_kwh

    def _charged_kwh(self, wanted_kw: Floats, hours: float, stop_kwh: Floats) -> Floats:
        """What charging at `wanted_kw` puts into each battery in `hours`.

        Up to the energy at which the curve's limit equals the wanted power the power is constant; from there
        dE/dt = limit(E), whose solution is an exponential.
        """
        power_kw = np.minimum(np.maximum(wanted_kw, 0.0) * self.efficiency_charge, self._full_kw)
        fall = np.where(self._fall_per_h > 0, self._fall_per_h, 1.0)
        # A power of next to nothing never meets the curve: infinite is the right answer there.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            meets_kwh = self.knee_kwh + (self._full_kw - power_kw) / fall
            constant_h = np.clip((meets_kwh - self.energy_kwh) / power_kw, 0.0, hours)
        constant_h = np.where(power_kw > 0, constant_h, hours)
        at_kwh = self.energy_kwh + power_kw * constant_h
        limit_kw = self._full_kw - self._fall_per_h * np.maximum(at_kwh - self.knee_kwh, 0.0)
        falling_h = hours - constant_h
        end_kwh = at_kwh + np.minimum(power_kw, limit_kw) * -np.expm1(-fall * falling_h) / fall
        end_kwh = np.where(falling_h > 0, end_kwh, at_kwh)
        return np.maximum(np.minimum(end_kwh, stop_kwh) - self.energy_kwh, 0.0)
