"""What the public stations' operators, their drivers and the DSO need of the world; the environment implements it.

kW are positive when drawn from the network; times are UTC unless a local day is named; prices are EUR/kWh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Protocol

from agents.grid_view import Floats, GridState, Sensitivity
from protocols import exchanges as x


@dataclass(frozen=True, slots=True)
class StationSite:
    """A public charging station: whose it is (`cpo`, the agent's name), where it is (`location`, a bus of the DSO's
    network), and what it has: each charger carries `charger_kw`, all of them together `connection_kw`."""

    station_id: str
    cpo: str
    location: str
    latitude_deg: float
    longitude_deg: float
    charger_ids: tuple[str, ...]
    charger_kw: float
    connection_kw: float


@dataclass(frozen=True, slots=True)
class Need:
    """A driver will want `energy_kwh` (at the charger's meter) on one of `stays` (the usual one first), and asks for
    it at `asks_at`. The car then has `soc_percent` on arrival; a station further away than `within_km` is too far."""

    need_id: str
    asks_at: datetime
    soc_percent: float
    energy_kwh: float
    capacity_kwh: float
    max_charge_kw: float
    within_km: float
    stays: tuple[x.Stay, ...]


class CarError(Exception):
    """A car that cannot be plugged in; the message is one line: which one, where, what is wrong."""


@dataclass(frozen=True, slots=True)
class CarReading:
    """What a driver sees in the car: where it is plugged in (None: nowhere), its state of charge, the power it draws,
    and what this session has charged (at the charger's meter)."""

    charger_id: str | None
    soc_percent: float
    power_kw: float
    charged_kwh: float


class Car(Protocol):
    """One driver's car."""

    vehicle_id: str
    capacity_kwh: float
    max_charge_kw: float

    def plug_in(self, charger_id: str, *, soc_percent: float, target_percent: float) -> None:
        """The car arrives with `soc_percent` and takes no more than `target_percent`. CarError: the charger is taken
        or unknown, or the car is plugged in already."""
        ...

    def unplug(self) -> CarReading:
        """Leaves the charger; the last reading of the session. Where it is not plugged in, nothing happens."""
        ...

    def reading(self) -> CarReading:
        """What the car shows now."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """Sampled days of a window of T quarters of an hour, S of them: `p_kw`, `q_kvar` [S, T, buses] without stations,
    `station_kw` [S, T, stations] what the stations would draw without caps. `starts`: the quarters of a representative
    day, None where there is none."""

    starts: tuple[datetime, ...] | None
    p_kw: Floats
    q_kvar: Floats
    station_kw: Floats


class NetworkStudy(Protocol):
    """The DSO's model of its own network, and its forecasts."""

    buses: tuple[str, ...]
    lines: tuple[str, ...]
    line_rating_kw: Floats
    """[lines]: rated apparent power at nominal voltage, kVA."""
    sections: Mapping[str, tuple[str, ...]]
    """The buses that are fed through each line."""

    def period(self, first: date, days: int, count: int, window: tuple[time, time]) -> Scenarios:
        """`count` days of the `days` local days from `first`, as forecast weeks ahead, in the local window."""
        ...

    def day_ahead(self, day: date, count: int, window: tuple[time, time]) -> Scenarios:
        """`count` scenarios of the local day `day` as forecast the day before: smaller errors than weeks ahead."""
        ...

    def look_ahead(
        self, start: datetime, periods: int, station_kw: Mapping[str, Sequence[float]] | None = None
    ) -> list[GridState]:
        """Power flow on the mean forecast, corrected by what was measured last, for each quarter of an hour from
        `start`; `station_kw`: other loads of stations than the usual ones."""
        ...

    def station_usual_kw(self, start: datetime, periods: int) -> Mapping[str, tuple[float, ...]]:
        """What each station draws usually, by its history, for each quarter of an hour from `start`."""
        ...

    def solve(self, p_kw: Floats, q_kvar: Floats) -> list[GridState]:
        """AC power flow of K states; both arrays [K, buses], stations included."""
        ...

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Derivatives of voltages and loadings with respect to the power drawn at each bus."""
        ...


@dataclass(frozen=True, slots=True)
class SessionWish:
    """A past session at a station: quarter hours of the local day (0 to 96), kWh at the meter, the car's kW."""

    arrival: int
    departure: int
    energy_kwh: float
    max_charge_kw: float


class StationHistory(Protocol):
    """What an operator knows of its stations' past."""

    def days(self, station_id: str) -> tuple[tuple[SessionWish, ...], ...]:
        """The sessions of each past day of the station. Raises LookupError for a station without a history."""
        ...
