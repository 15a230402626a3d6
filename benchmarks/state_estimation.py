"""How near the estimate comes to the truth, and how long it takes, over days of the year (docs/voltage.md).

python -m benchmarks.state_estimation [--meters 6] [--days 24]
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agents.decisions.voltage import Flexibility, relieve
from agents.grid_view import Limits
from environment.estimation import NetworkMeters, StateEstimator, metered_at
from environment.forecast import Forecaster
from environment.grid import Grid
from environment.profiles import Profiles

HOURS = (3, 8, 13, 18, 22)
FIRST = datetime(2026, 1, 3, tzinfo=ZoneInfo("Atlantic/Azores"))


@dataclass
class Errors:
    """Squared errors by name; `rms` of each."""

    squares: dict[str, list[float]] = field(default_factory=dict)
    times_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    failed: int = 0
    estimates: int = 0

    def add(self, name: str, errors: np.ndarray) -> None:
        self.squares.setdefault(name, []).extend(np.square(errors).ravel().tolist())

    def rms(self, name: str) -> float:
        return float(np.sqrt(np.mean(self.squares[name])))


def measure(
    grid: Grid, meters: int, days: int, seed: int = 1, pv_scale: float = 1.0, chargers: int = 32, reported: float = 1.0
) -> Errors:
    """Over `days` days of the year, five hours each: `chargers` cars of 7.4 kW at home at night, of which the
    operator hears of the part `reported`; households spread by 0.5 kW around what the profiles give."""
    rng = np.random.default_rng(seed)
    profiles = Profiles.load(grid, pv_scale=pv_scale)
    forecaster = Forecaster(profiles)
    metered = metered_at(grid, meters)
    network_meters, estimator = NetworkMeters(grid, metered, rng), StateEstimator(grid)
    at = [grid.index(bus) for bus in network_meters.metered]
    elsewhere = np.setdiff1d(np.arange(len(grid.buses)), at)
    homes = rng.choice(list(grid.places["households"]), size=chargers, replace=True)
    # a bus without a meter goes by the meter whose voltage usually moves with it
    shared = np.array([grid.voltage_drop(row)[0] for row in np.eye(len(grid.buses))])
    nearest = shared[elsewhere][:, at].argmax(axis=1) if at else None
    found = Errors()
    for day in range(0, 365, -(-365 // days)):
        for hour in HOURS:
            now = (FIRST + timedelta(days=day)).replace(hour=hour)
            truth, forecast = profiles.periods(now, 1), forecaster.periods(now, 1, now=now)
            charging = rng.random(chargers) < (0.8 if hour in (3, 22) else 0.1)
            charger_kw: dict[str, float] = {}
            p = truth.p_kw[0].copy()
            for number in np.flatnonzero(charging).tolist():
                p[grid.index(homes[number])] += 7.4
                if number < reported * chargers:
                    charger_kw[homes[number]] = charger_kw.get(homes[number], 0.0) + 7.4
            loaded = np.zeros(len(p), dtype=bool)
            loaded[grid.load_bus] = True
            p = p + np.where(loaded, rng.normal(0.0, 0.5, len(p)), 0.0)
            state = grid.solve(p, truth.q_kvar[0])
            readings = network_meters.read(state)
            begun = time.perf_counter()
            estimate = estimator.estimate(
                readings,
                forecast.p_kw[0],
                forecast.q_kvar[0],
                charger_kw=charger_kw,
                pseudo_pv_kw=forecast.pv_kw_by_bus[0],
            )
            found.times_ms.append((time.perf_counter() - begun) * 1e3)
            found.estimates += 1
            found.dropped += len(estimate.dropped)
            found.failed += not estimate.converged
            blind = grid.solve(forecast.p_kw[0] + grid.by_bus(charger_kw), forecast.q_kvar[0])
            moved = grid.solve(estimate.p_kw, estimate.q_kvar)
            true_kw = network_meters.drawn_kw(state)
            found.add("V raw", np.array(list(readings.v_pu.values())) - state.vm_pu[at])
            found.add("V estimated, metered", estimate.vm_pu[at] - state.vm_pu[at])
            found.add("V estimated, elsewhere", estimate.vm_pu[elsewhere] - state.vm_pu[elsewhere])
            found.add("V of the estimated powers", moved.vm_pu - state.vm_pu)
            found.add("V of the forecast powers", blind.vm_pu - state.vm_pu)
            if nearest is not None:
                raw = np.array(list(readings.v_pu.values()))
                found.add("V nearest meter, elsewhere", raw[nearest] - state.vm_pu[elsewhere])
            found.add("P raw", np.array(list(readings.p_kw.values())) - state.p_kw[at])
            found.add("P estimated", estimate.p_kw[at] - state.p_kw[at])
            found.add("P transformer raw", np.array([readings.transformer_p_kw - true_kw]))
            found.add("P transformer estimated", np.array([estimate.transformer_kw - true_kw]))
    return found


def measure_relief(grid: Grid, days: int, seed: int = 1) -> None:
    """Evenings on which 20 to 60 timers start at once, and noons on which the sun is strong: how they are relieved."""
    rng = np.random.default_rng(seed)
    evening = Profiles.load(grid)
    noon = Profiles.load(grid, pv_scale=2.0)
    limits = Limits(transformer_percent=1e6)
    homes = list(grid.places["households"])
    for name, profiles, hour, sign in (("evenings", evening, 22, -1.0), ("noons", noon, 13, 1.0)):
        moved, times, broken, left = [], [], [], []
        for day in range(0, 365, -(-365 // days)):
            now = (FIRST + timedelta(days=day)).replace(hour=hour)
            truth = profiles.periods(now, 1)
            cars = rng.choice(homes, int(rng.integers(20, 61)), replace=False).tolist()
            p = truth.p_kw[0] + (grid.by_bus(dict.fromkeys(cars, 7.4)) if sign < 0 else 0.0)
            state = grid.solve(p, truth.q_kvar[0])
            if not state.violations(limits):
                continue
            flexible = {bus: Flexibility(0.0, 7.4) if sign < 0 else Flexibility(7.4, 0.0) for bus in cars}
            begun = time.perf_counter()
            relief = relieve(state, flexible, limits, sensitivity=grid.sensitivity, solve=grid.solve)
            times.append((time.perf_counter() - begun) * 1e3)
            moved.append(sum(map(abs, relief.change_kw.values())))
            broken.append(len(relief.before))
            left.append(len(relief.remaining))
        if times:
            solved = sum(not count for count in left)
            print(
                f"{len(times)} {name} with {statistics.mean(broken):.0f} limits broken: {solved} solved, "
                f"{statistics.mean(moved):.0f} kW on average, {statistics.mean(left):.1f} left; "
                f"median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meters", type=int, default=6, help="metered buses besides the transformer")
    parser.add_argument("--days", type=int, default=24, help="days of the year, five hours of each")
    parser.add_argument("--reported", type=float, default=1.0, help="the part of the chargers that is reported")
    parser.add_argument("--line", help="a low-voltage line type for the whole network")
    options = parser.parse_args()
    grid = Grid.load("rural2", line=options.line)
    found = measure(grid, options.meters, options.days, reported=options.reported)
    for name in found.squares:
        unit, scale, digits = ("kW", 1.0, 3) if name.startswith("P") else ("mpu", 1e3, 2)
        print(f"{name:32} {found.rms(name) * scale:8.{digits}f} {unit} RMS")
    times = sorted(found.times_ms)
    print(f"{found.estimates} estimates, {found.dropped} meters dropped, {found.failed} without an answer")
    print(f"median {statistics.median(times):.1f} ms, slowest {times[-1]:.1f} ms")
    measure_relief(grid, options.days)


if __name__ == "__main__":
    main()
