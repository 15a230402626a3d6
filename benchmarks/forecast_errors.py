"""How wrong the operator's forecast is over the shipped year, against keeping the last value (docs/data.md).

python benchmarks/forecast_errors.py
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from environment.forecast import Forecaster
from environment.grid import Grid
from environment.profiles import Profiles, later

HORIZONS = {1: "15 min", 2: "30 min", 4: "1 h", 8: "2 h", 24: "6 h", 96: "24 h"}
HOURS = (2, 6, 9, 11, 13, 16, 18, 20)


def main() -> None:
    profiles = Profiles.load(Grid.load("rural2"))
    forecaster = Forecaster(profiles)
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Ljubljana"))
    errors: dict[tuple[str, int], list[float]] = {}
    for day in range(0, 365, 5):
        for hour in HOURS:
            now = (start + timedelta(days=day)).replace(hour=hour)
            ahead, actual = forecaster.periods(now, 96, now=now), profiles.periods(later(now, -1), 97)
            for h in HORIZONS:
                for name, made, real in (("load", ahead.load_kw, actual.load_kw), ("PV", ahead.pv_kw, actual.pv_kw)):
                    errors.setdefault((name, h), []).append(float(made[h - 1] - real[h]))
                    errors.setdefault((f"{name} held", h), []).append(float(real[0] - real[h]))
    columns = ("load", "load held", "PV", "PV held")
    print("| ahead | load | load, last value held | PV | PV, last value held |\n|---|---|---|---|---|")
    for h, label in HORIZONS.items():
        rms = [np.sqrt(np.mean(np.square(errors[column, h]))) for column in columns]
        print(f"| {label} | " + " | ".join(f"{value:.1f} kW" for value in rms) + " |")


if __name__ == "__main__":
    main()
