"""What both cases of a run on campuses share: the synchronous area, the retailer's prices, the congestion signals."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np

from agents.grid_view import Floats, GridState, Limits
from environment.campus_scenario import DAY_HOURS, CampusScenario
from environment.frequency import FrequencyFile, Incident
from environment.nordic_area import NordicArea, NordicSpec

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, eq=False)
class CampusPlant:
    """The area of a scenario, of which each case of the run has one: the same noise, the same trips."""

    scenario: CampusScenario
    rng: np.random.Generator
    recorded: FrequencyFile | None = None

    def case(self) -> NordicArea:
        """The area before the run, for one case of it."""
        part = self.scenario.area
        spec = NordicSpec(
            kinetic_energy_mws=part.inertia_gws * 1e3,
            load_mw=part.load_mw,
            load_damping_per_hz=part.load_damping_percent_per_hz / 100,
            fcr_n_mw=part.fcr_n_mw,
            fcr_d_up_mw=part.fcr_d_up_mw,
            fcr_d_down_mw=part.fcr_d_down_mw,
            ordinary_deviation_hz=part.noise_mhz / 1e3,
        )
        return NordicArea(
            spec,
            self.scenario.begins,
            copy.deepcopy(self.rng) if part.noise_mhz else None,
            incidents(self.scenario),
            self.recorded,
            represents=part.represents,
        )


def build_campuses(scenario: CampusScenario, rng: np.random.Generator, folder: Path) -> CampusPlant:
    """The area of a scenario. Raises FrequencyError for a recorded frequency that cannot be used."""
    recorded = None if scenario.area.frequency_csv is None else FrequencyFile(folder / scenario.area.frequency_csv)
    if recorded is not None:
        # A file that ends too early, or has a gap, is no surprise in the middle of the run.
        at = scenario.begins.astimezone(UTC)
        while at < scenario.ends.astimezone(UTC):
            recorded.at(at)
            at += MINUTE
    plant = CampusPlant(scenario, rng, recorded)
    plant.case()
    return plant


def incidents(scenario: CampusScenario) -> tuple[Incident, ...]:
    """The trips and load steps of the run, in order; load that comes is for the frequency what a trip is."""
    happens = [(part.at, part.mw) for part in scenario.trip] + [(part.at, part.mw) for part in scenario.load_step]
    all_days = [Incident(at, mw) for clock, mw in happens for at in scenario.on_each_day(clock)]
    return tuple(sorted(all_days, key=lambda incident: incident.at))


class RecordedFeed:
    """Implements `FrequencyFeed`: the area, with a record of what the chargers did in each second of the run."""

    def __init__(self, area: NordicArea, seconds: int) -> None:
        self._area = area
        self.response_kw: Floats = np.zeros(seconds)
        """Of each second from the start: what was drawn beyond the baselines, on average."""

    def step_s(self, at_s: float) -> float:
        return self._area.step_s(at_s)

    def hz(self, at_s: float) -> float:
        return self._area.hz(at_s)

    def took(self, at_s: float, dt_s: float, response_kw: float) -> None:
        second = int(at_s + 1e-6)  # steps begin a rounding before their second
        if second < len(self.response_kw):
            self.response_kw[second] += response_kw * dt_s
        self._area.took(at_s, dt_s, response_kw)


@dataclass(frozen=True)
class _Change:
    published: datetime
    start: datetime
    until: datetime
    spot_eur_per_kwh: float


class RetailList:
    """Implements `agents.parking_ports.RetailPrices` by the scenario's tables. EUR/kWh."""

    def __init__(self, scenario: CampusScenario) -> None:
        self._retail, self._zone, self._first = scenario.retail, scenario.zone, scenario.scenario.start
        self._changes = sorted(
            (
                _Change(at, start, scenario.next_at(part.until, start), part.spot_eur_per_kwh)
                for part in scenario.price_change
                for at in scenario.on_each_day(part.published)
                for start in [scenario.next_at(part.start, at)]
            ),
            key=lambda change: change.published,
        )

    def price_eur_per_kwh(self, at: datetime, now: datetime) -> float:
        """What a kWh costs at `at`, by the list that holds at `now`: exchange, network and the rest."""
        network = self._network(at.astimezone(self._zone).time())
        return round(self._spot(at, now) + network + self._retail.other_eur_per_kwh, 6)

    def changes(self, until: datetime) -> Sequence[datetime]:
        """When a changed list is published."""
        return sorted({change.published for change in self._changes if change.published <= until})

    def _spot(self, at: datetime, now: datetime) -> float:
        for change in reversed(self._changes):
            if change.published <= now and change.start <= at < change.until:
                return change.spot_eur_per_kwh
        local = at.astimezone(self._zone)
        days = self._retail.spot_eur_per_kwh
        day = min(max((local.date() - self._first).days, 0), len(days) - 1)
        return days[day][local.hour % DAY_HOURS]

    def _network(self, clock: time) -> float:
        retail = self._retail
        if clock < retail.high_from:
            return retail.network_low_eur_per_kwh
        if retail.peak_from <= clock < retail.peak_until:
            return retail.network_peak_eur_per_kwh
        return retail.network_high_eur_per_kwh


class CongestionSignal:
    """How far a campus' network may be loaded, as it is said at a moment: nobody knows a change before it comes."""

    def __init__(self, scenario: CampusScenario, campus: str) -> None:
        part = scenario.grids[campus]
        band = part.voltage_band_percent / 100
        self.usual = Limits(part.transformer_limit_percent, part.line_limit_percent, 1 - band, 1 + band)
        self._times = sorted(
            (at, scenario.next_at(signal.until, at).astimezone(UTC), signal.limit_percent)
            for signal in scenario.signal
            if signal.campus == campus
            for at in scenario.on_each_day(signal.at)
        )

    def __call__(self, now: datetime) -> Limits:
        """The limits that hold at `now`."""
        for at, until, percent in reversed(self._times):
            if at <= now < until:
                usual = self.usual
                return Limits(percent, usual.line_percent, usual.vm_min_pu, usual.vm_max_pu)
        return self.usual

    @property
    def changes(self) -> tuple[datetime, ...]:
        """When the signal changes, in order."""
        return tuple(sorted({moment for at, until, _ in self._times for moment in (at, until)}))


def campus_columns(campuses: Sequence[str]) -> tuple[str, ...]:
    """The series' further columns of a run on campuses."""
    return tuple(f"{what}.{campus}" for campus in campuses for what in _EACH)


_EACH = ("trafo_loading_percent", "trafo_p_kw", "line_loading_percent_max")


def campus_row(campuses: Sequence[str], states: Sequence[GridState]) -> Mapping[str, float]:
    """The last minute as the series' further columns."""
    row: dict[str, float] = {}
    for campus, state in zip(campuses, states, strict=True):
        values = (
            state.trafo_loading_percent,
            state.trafo_p_kw,
            float(state.line_loading_percent.max(initial=0.0)),
        )
        row.update(zip((f"{what}.{campus}" for what in _EACH), values, strict=True))
    return row
