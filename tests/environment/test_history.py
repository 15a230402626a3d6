"""What the operator knows of charging: habits, of days like those of the run, and nothing of the run's own cars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from environment import scenario
from environment.history import ChargingHistory
from environment.sessions import generate
from tests.days import SMALL, changed

QUARTER = timedelta(minutes=15)


def history(text: str = SMALL, seed: int = 1) -> tuple[scenario.Scenario, ChargingHistory]:
    loaded = scenario.parse(text, "small.toml")
    bus_of = {c: f"bus-{site.name}" for site in loaded.site for c in site.charger_ids()}
    return loaded, ChargingHistory(loaded, bus_of, np.random.default_rng(seed))


def test_it_has_the_buses_with_chargers_and_each_quarter_of_the_run() -> None:
    loaded, known = history()
    typical = known.typical_kw(loaded.begins, 96)
    assert set(typical) == {"bus-office", "bus-house", "bus-home"}
    for series in typical.values():
        assert series.shape == (96,)
        assert (series >= 0).all()


def test_households_charge_in_the_evening_and_offices_in_the_morning() -> None:
    loaded, known = history()
    typical = known.typical_kw(loaded.begins, 96)
    evening, morning = slice(4 * 4, 10 * 4), slice(19 * 4, 24 * 4)
    assert typical["bus-house"][evening].sum() > 5 * typical["bus-house"][morning].sum()
    assert typical["bus-office"][morning].sum() > 5 * typical["bus-office"][evening].sum()


def test_its_energy_is_that_of_an_average_day() -> None:
    """Against other luck: the mean of many days drawn from the same fits, kWh at the grid, within a tenth."""
    loaded, known = history()
    total = sum(series.sum() for series in known.typical_kw(loaded.begins, 96).values()) / 4
    efficiency = {c: site.efficiency_charge for site in loaded.site for c in site.charger_ids()}
    drawn = [
        (s.soc_wanted_percent - s.soc_arrival_percent) / 100 * s.capacity_kwh / efficiency[s.charger_id]
        for stream in np.random.default_rng(99).spawn(200)
        for s in generate(stream, loaded).sessions
    ]
    assert total == pytest.approx(sum(drawn) / 200, rel=0.15)


def test_a_bad_day_is_worse_than_a_good_one_at_each_quarter_together() -> None:
    loaded, known = history()

    def total(quantile: float | None) -> np.ndarray:
        return sum(known.typical_kw(loaded.begins, 96, quantile).values(), start=np.zeros(96))

    assert (total(0.9) >= total(0.5) - 1e-9).all()
    assert total(0.9).sum() > total(None).sum() > total(0.1).sum()


def test_outside_the_run_nothing_is_known() -> None:
    loaded, known = history()
    whole = known.typical_kw(loaded.begins, 96)["bus-house"]
    late = known.typical_kw(loaded.ends - 2 * QUARTER, 8)["bus-house"]
    assert late[:2] == pytest.approx(whole[-2:])
    assert (late[2:] == 0).all()
    early = known.typical_kw(loaded.begins - 2 * QUARTER, 4)["bus-house"]
    assert (early[:2] == 0).all()
    assert early[2:] == pytest.approx(whole[:2])
    assert (known.typical_kw(datetime(2030, 1, 1, tzinfo=UTC), 4)["bus-house"] == 0).all()


@pytest.mark.parametrize(("start", "quarters"), [("2026-03-28", 92), ("2026-10-24", 100)])
def test_a_day_over_the_change_of_clocks_has_its_own_length(start: str, quarters: int) -> None:
    loaded, known = history(changed(("2026-03-18", start)))
    assert len(known._totals[0]) == quarters
    known.typical_kw(loaded.begins, quarters)


def test_one_seed_one_history() -> None:
    loaded, one = history(seed=5)
    _, same = history(seed=5)
    _, other = history(seed=6)
    at = loaded.begins
    assert all((one.typical_kw(at, 96)[b] == same.typical_kw(at, 96)[b]).all() for b in one.typical_kw(at, 96))
    assert any((one.typical_kw(at, 96)[b] != other.typical_kw(at, 96)[b]).any() for b in one.typical_kw(at, 96))
