"""Whole days on campuses: a small one in which the DSO calls, a pool is tested for frequency control and serves."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from environment.checking import check_file
from environment.frequency_series import FREQUENCY
from tests.days import Day, changed, play
from tests.island_days import Minutes

CAMPUS = """
[scenario]
name = "campus"
title = "A small campus"
timezone = "Europe/Copenhagen"
start = 2026-01-13
start_time = "15:00"
seed = 2

[area]
represents = 20000

[[trip]]
mw = 1100.0
at = "22:13"

[[campus]]
name = "east"
dso = "east-dso"
network = "rural2"
load_scale = 2.6

[[campus]]
name = "west"
dso = "west-dso"
network = "rural2"

[[lot]]
name = "home"
campus = "east"
kind = "pool"
chargers = 7
buses = ["LV2.101 Bus 90"]
max_charge_kw = 11.0
max_discharge_kw = 10.0
capacity_kwh = [52.0, 77.0]

[[lot]]
name = "pool"
campus = "west"
kind = "pool"
chargers = 4
buses = ["LV2.101 Bus 21"]
max_charge_kw = 11.0
max_discharge_kw = 10.0
capacity_kwh = [60.0, 77.0]

[[fcr]]
lot = "pool"
product = "fcr-d-up"
control = "central"
application = "18:30"
test_from = "18:40"
first_hour = "22:00"
last_hour = "00:00"
capacity_kw = 12.0
energy_kwh = 24.0
price_eur_per_kw = 0.004

[retail]
spot_eur_per_kwh = [[
    0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.08, 0.11, 0.12, 0.11, 0.10, 0.09,
    0.09, 0.09, 0.09, 0.10, 0.12, 0.15, 0.14, 0.13, 0.10, 0.09, 0.08, 0.07,
]]

[[price_change]]
published = "18:40"
start = "21:00"
until = "22:00"
spot_eur_per_kwh = -0.04
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return play(tmp_path_factory.mktemp("campus") / "run", CAMPUS)


def exchanges(day: Day) -> Counter[str]:
    return Counter(m["exchange"] for m in day.messages if m["exchange"])


def test_the_trace_of_the_day_has_no_fault(day: Day) -> None:
    lines: list[str] = []
    assert check_file(day.folder / "trace.jsonl", lines.append) == 0, lines


def test_every_exchange_of_both_use_cases_is_there(day: Day) -> None:
    found = exchanges(day)
    wanted = {"3.1", "3.2", "3.x.1", "3.x.2", "3.x.3", "3.x.4", "3.x.5", "7.1", "7.2", "7.x.1", "7.x.2", "7.x.3"}
    assert not wanted - found.keys()


def test_the_cheap_hour_overloads_the_transformer_and_less_so_with_the_service(day: Day) -> None:
    without, served = Minutes.of(day, "without"), Minutes.of(day, "with")
    column = "trafo_loading_percent.east"
    assert without[column].max() > 110.0
    assert (served[column] > 100.0).sum() < (without[column] > 100.0).sum() / 2


def test_each_network_is_by_itself(day: Day) -> None:
    """What the vehicles do in the east is nothing to the west."""
    series = Minutes.of(day, "without")
    east, west = (series[f"trafo_p_kw.{name}"] for name in ("east", "west"))
    assert series["trafo_loading_percent"] == pytest.approx(series["trafo_loading_percent.east"])
    dark = series["pv_kw"] > -0.01
    rest = {
        name: power - sum(series.all(f"p_kw:{lot}-").values())
        for name, lot, power in (("east", "home", east), ("west", "pool", west))
    }
    # The same shipped load at two scales, and each network's own losses: none of the other's vehicles.
    assert rest["east"][dark] / rest["west"][dark] == pytest.approx(2.6, rel=0.25)
    total = series["load_kw"] + series["pv_kw"] + series["fleet_p_kw"] + series["losses_kw"]
    assert east + west == pytest.approx(total, abs=0.05)


def test_every_second_of_both_cases_is_kept(day: Day) -> None:
    seconds = pd.read_parquet(day.folder / FREQUENCY)
    assert seconds.groupby("case").size().to_dict() == {"with": 86_400, "without": 86_400}
    steps = seconds[seconds["case"] == "with"]["at"].diff().dropna().unique()
    assert list(steps) == [timedelta(seconds=1)]
    assert seconds[seconds["case"] == "without"]["response_kw"].isna().all()


def test_the_frequency_is_the_same_until_somebody_answers_it(day: Day) -> None:
    seconds = pd.read_parquet(day.folder / FREQUENCY)
    served, left_alone = (seconds[seconds["case"] == case].reset_index(drop=True) for case in ("with", "without"))
    answers = np.flatnonzero(served["response_kw"].to_numpy())
    before = int(answers[0])
    assert served["at"].dt.hour[before] in (22, 23), "nobody answers but in the hours that are sold"
    assert np.array_equal(served["hz"][: before + 1], left_alone["hz"][: before + 1])


def test_the_vehicles_lift_the_frequency_after_the_trip(day: Day) -> None:
    seconds = pd.read_parquet(day.folder / FREQUENCY).set_index("at")
    after = seconds.between_time("22:13", "22:16")
    lowest = after.groupby("case")["hz"].min()
    assert lowest["without"] < 49.75
    assert lowest["with"] > lowest["without"] + 0.01
    response = after[after["case"] == "with"]["response_kw"]
    assert response.min() < -4.0, "less is drawn"


def test_the_log_of_each_second_lies_in_the_run_folder(day: Day) -> None:
    files = sorted(path.name for path in Path(day.folder, "fcr-log").glob("*.csv"))
    assert files
    assert all(name.startswith("pool_fcr-d-up_DK2_") for name in files)


def test_everybody_leaves_with_what_was_asked_for(day: Day) -> None:
    assert day.summary["drivers"]["departed"] >= 10
    assert day.summary["drivers"]["below_wanted"] == 0


def test_the_same_seed_gives_the_same_trace(tmp_path: Path, day: Day) -> None:
    assert play(tmp_path / "again", CAMPUS).trace == day.trace


def test_a_pool_without_a_meter_that_answers_offers_nothing(tmp_path: Path) -> None:
    lost = "".join(
        f'[[fault]]\nkind = "meter-lost"\ntarget = "pool-{which}"\nstart = "21:30"\nend = "14:00"\n'
        for which in ("main", "backup")
    )
    blind = play(tmp_path / "blind", changed(("[retail]", f"{lost}[retail]"), text=CAMPUS))
    assert not blind.said(exchange="7.x.2", performative="agree")
    assert any("meter" in line for line in blind.warnings)
