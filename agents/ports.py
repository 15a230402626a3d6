"""What the actors need of the physical world, as small protocols; the environment implements them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Protocol

from agents.grid_view import Direction, GridState, Hosting, Limits, Relief, Sensitivity
from protocols.exchanges.vocabulary import ChargerState


@dataclass(frozen=True, slots=True)
class ChargerReading:
    """What one charger says about itself and its vehicle at one moment.

    `max_charge_kw` and `max_discharge_kw` (both >= 0) hold for charger and vehicle together. `meter_kwh` is the
    charger's energy register: drawn less given since it was built. `energy_kwh` is in the battery of `capacity_kwh`;
    these two and `soc_percent` are None while no vehicle is connected.
    """

    power_kw: float
    voltage_v: float
    frequency_hz: float
    connected: bool
    soc_percent: float | None
    energy_kwh: float | None
    capacity_kwh: float | None
    max_charge_kw: float
    max_discharge_kw: float
    state: ChargerState
    meter_kwh: float = 0.0


class ChargerError(Exception):
    """A charger that cannot be used; the message is one line: which one, where, what is wrong, what to do.

    `fault` alone has no address in it, so it is the same in every run: use it in what is told to other agents.
    """

    def __init__(self, charger_id: str, address: str, fault: str, advice: str) -> None:
        super().__init__(f"charger {charger_id} at {address}: {fault}; {advice}")
        self.charger_id = charger_id
        self.fault = fault


class ChargerSilentError(ChargerError):
    """It cannot be reached, or does not answer in time."""


class ChargerNonsenseError(ChargerError):
    """It says what cannot be: no number, no voltage, a charge above 100 %, a power beyond its ratings."""


class ChargerRefusedError(ChargerError):
    """It answered a command with a refusal."""


@dataclass(frozen=True, slots=True)
class DroopCurve:
    """A frequency droop, each direction for itself: within the deadbands (Hz beside 50 Hz, >= 0) nothing happens;
    beyond, the power changes linearly, by the whole rating over further `over_hz` (draws more) or `under_hz` (draws
    less) Hz, in `response_s` seconds to 90 %. None is a direction without response. ValueError if it cannot be."""

    deadband_over_hz: float
    deadband_under_hz: float
    over_hz: float | None
    under_hz: float | None
    response_s: float

    def __post_init__(self) -> None:
        ranges = [hz for hz in (self.over_hz, self.under_hz) if hz is not None]
        if min(self.deadband_over_hz, self.deadband_under_hz, self.response_s) < 0 or min(ranges, default=1.0) <= 0:
            raise ValueError(f"{self} is no droop: deadbands and response 0 or more, ranges above 0")


class Charger(Protocol):
    """One charger under remote control. Every call raises ChargerSilentError or, on a reading that cannot be,
    ChargerNonsenseError; a command that the charger does not take raises ChargerRefusedError."""

    charger_id: str

    async def read(self) -> ChargerReading:
        """What it measures now."""

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        """Charge (> 0) or discharge (< 0) with `power_kw`; without a new order the charger falls back to its own
        plan after `reversion_s` seconds of scenario time."""

    async def hold_power(self, power_kw: float, *, for_s: int, then_kw: float) -> None:
        """Charge with no more than `power_kw`; `for_s` seconds (> 0) of scenario time without a new order later with
        no more than `then_kw`, by itself and until the vehicle leaves. Both kW >= 0; what a charger cannot resolve is
        rounded down, so that a cap on many of them holds. ValueError where a number cannot be."""

    async def release(self) -> None:
        """Back to the charger's own plan."""

    async def heartbeat(self) -> None:
        """A sign of life; once begun, its absence makes the charger fall back to its own plan."""

    async def set_droop(self, *, full_activation_hz: float, deadband_hz: float = 0.0, response_s: float = 0.0) -> None:
        """Frequency droop in the charger itself: from `deadband_hz` beside 50 Hz on, the power changes linearly
        and by the whole rating at `full_activation_hz` beside it, in `response_s` seconds to 90 %."""

    async def set_droop_curve(self, curve: DroopCurve) -> None:
        """Frequency droop in the charger itself with a curve for each direction; takes the place of the one before."""

    async def stop_droop(self) -> None:
        """Ends the frequency droop."""


class ProductionForecast(Protocol):
    """What a site's PV is expected to give."""

    def production_kw(self, start: datetime, periods: int) -> Sequence[float]:
        """kW >= 0, the mean of each 15 minutes from `start`, as expected at `start`."""


class GridModel(Protocol):
    """The operator's model of its own network: power flow on forecasts. kW, positive drawn; buses by name."""

    @property
    def buses(self) -> tuple[str, ...]:
        """Low-voltage buses, in the order of every state's arrays."""
        ...

    def look_ahead(
        self,
        charger_kw_by_bus: Mapping[str, Sequence[float]],
        start: datetime,
        periods: int,
        *,
        now: datetime | None = None,
    ) -> list[GridState]:
        """One state for each 15-minute period from `start`, on the forecast made at `now` (default: `start`)."""
        ...

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Derivatives of voltages and loadings with respect to the power drawn at each bus."""
        ...

    def hosting(
        self,
        bus: str | Mapping[str, float],
        direction: Direction,
        limits: Limits,
        *,
        up_to_kw: float = 1000.0,
        already_kw: Mapping[str, float] | None = None,
        between: tuple[time, time] | None = None,
    ) -> Hosting:
        """The power at `bus` (or shared over buses by weight) that breaks no limit in the year's worst quarter hour.

        `already_kw`: power that is promised already, same direction (magnitudes). `between`: local times of day in
        which the power will be used; without it, the whole day counts.
        """
        ...

    def relief(self, state: GridState, available_kw: Mapping[str, float], limits: Limits) -> Relief:
        """The smallest change at buses, in proportion to `available_kw` (magnitudes), that keeps the limits."""
        ...
