"""What `docs/frequency.md` says of the area: a trip with and without fast vehicles, and ten days of ordinary noise.

    python -m benchmarks.frequency

The trip is 1,100 MW without noise. Fleets answer through `NordicArea`'s own feed, with a lag of the first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from agents.decisions.fcr_products import RULES, activation
from environment.frequency import Incident
from environment.nordic_area import NordicArea, NordicSpec
from protocols.exchanges.vocabulary import FcrProduct

START = datetime(2026, 1, 14, tzinfo=UTC)
TRIP_MW = 1100.0
TRIP_S = 10.0
LASTS = timedelta(days=10)
"""As good as for ever: the trip is not replaced."""
REPLACED = timedelta(minutes=15)
DAYS = 10
DAY_S = 86_400

Fleet = Callable[[float], float]
"""MW given at a frequency."""


def fleet(**megawatts: float) -> Fleet:
    """So many MW of products, by the rules: `fcr_n=200.0`."""
    products = {FcrProduct(name.replace("_", "-")): mw for name, mw in megawatts.items()}
    return lambda hz: sum(mw * activation(RULES[product], hz) for product, mw in products.items())


def trip(gives: Fleet, lag_s: float, replaced_after: timedelta, lasts_s: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The frequency (Hz) at the instants (s) of the steps from the trip on, and the fleet's energy in MWh."""
    event = Incident(START + timedelta(seconds=TRIP_S), TRIP_MW, replaced_after)
    area = NordicArea(NordicSpec(), START, events=[event])
    at_s, given_mw, mwh = 0.0, 0.0, 0.0
    instants, hz = [], []
    while at_s < TRIP_S + lasts_s:
        now_hz, dt_s = area.hz(at_s), area.step_s(at_s)
        dt_s = (math.floor(at_s / dt_s + 1e-5) + 1) * dt_s - at_s
        given_mw += (gives(now_hz) - given_mw) * -math.expm1(-dt_s / lag_s)
        area.took(at_s, dt_s, -given_mw * 1e3)
        instants.append(at_s - TRIP_S)
        hz.append(now_hz)
        mwh += given_mw * dt_s / 3600
        at_s += dt_s
    return np.array(instants), np.array(hz), mwh


def line(name: str, gives: Fleet, lag_s: float = 0.3) -> None:
    """One fleet's row of the table."""
    instants, hz, _ = trip(gives, lag_s, LASTS, 900)
    *_, mwh = trip(gives, lag_s, REPLACED, 1800)
    lowest = int(hz.argmin())
    print(f"{name:28} {hz[lowest]:9.3f} {instants[lowest]:8.1f} {hz[-1]:10.3f} {mwh:10.1f}")


def main() -> None:
    print(f"{'fleet':28} {'lowest Hz':>9} {'after s':>8} {'settled Hz':>10} {'MWh':>10}")
    line("none", lambda hz: 0.0)
    line("FCR-D up, 200 MW", fleet(fcr_d_up=200.0))
    line("the same, lag 2 s", fleet(fcr_d_up=200.0), 2.0)
    line("FCR-N, 200 MW", fleet(fcr_n=200.0))
    line("100 MW of each", fleet(fcr_n=100.0, fcr_d_up=100.0))
    days = np.concatenate(
        [NordicArea(NordicSpec(), START, np.random.default_rng(seed)).series(START, DAY_S) for seed in range(DAYS)]
    )
    off = np.abs(days - 50)
    minutes = float((off > 0.1).sum()) / 60 / DAYS
    print(
        f"{DAYS} days of noise: {off.max() * 1e3:.0f} mHz at most, {days.std() * 1e3:.1f} mHz standard deviation,",
        end="",
    )
    print(f" {minutes:.0f} minutes a day outside 49.9 to 50.1 Hz")


if __name__ == "__main__":
    main()
