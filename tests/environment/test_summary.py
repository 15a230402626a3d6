"""The figures of a run, against small series whose answers are known by hand."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from environment import en50160
from environment.run_folder import Posting
from environment.series import Series, SeriesRecorder
from environment.summary import DriverOutcome, balances, exchange_counts, figures
from protocols.acl import AclMessage, Performative, Protocol
from protocols.trace import Entry

START = datetime.fromisoformat("2025-01-15T00:00:00+01:00")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """Four minutes: 80, 125, 200 and 100 % at 100 kW of rating; one charger at 6, 6, -3 and 0 kW."""
    recorder = SeriesRecorder("Europe/Ljubljana", ["LV"], ["home-1"])
    for minute, (loading, power) in enumerate([(80.0, 6.0), (125.0, 6.0), (200.0, -3.0), (100.0, 0.0)]):
        recorder.append(
            START + minute * MINUTE, "with", trafo_loading_percent=loading, trafo_p_kw=loading, losses_kw=3.0,
            line_loading_percent_max=loading / 2, load_kw=90.0, pv_kw=-30.0, frequency_hz=50.0,
            vm_pu=[1.0 - loading / 2000], p_kw=[power], soc_percent=[50.0], connected=[True],
        )  # fmt: skip
    recorder.write(tmp_path / "series.parquet")
    return Series.read(tmp_path / "series.parquet")


def test_overload_counts_minutes_strictly_above_the_rating_and_the_energy_above_it(series: Series) -> None:
    found = figures(series, "with")
    assert found.minutes_above_100_percent == 2.0
    assert found.overload_kwh == pytest.approx((25 + 100) / 60, abs=1e-3)
    assert found.peak_trafo_loading_percent == 200.0
    assert found.peak_trafo_loading_at == "2025-01-15T00:02:00+01:00"


def test_charging_and_discharging_are_counted_apart_and_both_are_positive(series: Series) -> None:
    found = figures(series, "with")
    assert found.energy_charged_kwh == pytest.approx(12 / 60, abs=0.005)
    assert found.energy_discharged_kwh == pytest.approx(3 / 60, abs=0.005)
    assert found.peak_fleet_kw == 6.0
    assert found.pv_kwh == 2.0
    assert found.losses_kwh == 0.2


def test_a_minute_without_a_value_counts_nowhere(tmp_path: Path) -> None:
    recorder = SeriesRecorder("Europe/Ljubljana", ["LV"], ["home-1"])
    for minute, loading in enumerate([90.0, float("nan"), 110.0]):
        recorder.append(
            START + minute * MINUTE, "with", trafo_loading_percent=loading, trafo_p_kw=loading, losses_kw=loading,
            line_loading_percent_max=loading, load_kw=60.0, pv_kw=0.0, frequency_hz=50.0,
            vm_pu=[loading / 100], p_kw=[1.0], soc_percent=[50.0], connected=[True],
        )  # fmt: skip
    recorder.write(tmp_path / "series.parquet")
    found = figures(Series.read(tmp_path / "series.parquet"), "with")
    assert (found.peak_trafo_loading_percent, found.minutes_above_100_percent) == (110.0, 1.0)
    assert (found.min_voltage_pu, found.max_voltage_pu) == (0.9, 1.1)
    assert not any(value != value for value in asdict(found).values())


def test_a_short_dip_is_within_en50160_as_its_ten_minute_mean_is() -> None:
    volts = np.ones((20, 2))
    volts[3, 0] = 0.5
    assert en50160.outside(volts, MINUTE) == 0.0


def test_a_ten_minute_mean_of_one_bus_outside_counts_ten_minutes_once() -> None:
    volts = np.ones((30, 2))
    volts[10:20, :] = 0.89
    assert en50160.outside(volts, MINUTE) == 10.0
    volts[20:30, 1] = 1.11
    assert en50160.outside(volts, MINUTE) == 20.0


def test_the_last_interval_may_be_shorter_than_ten_minutes() -> None:
    volts = np.ones((13, 1))
    volts[10:] = 0.8
    assert en50160.outside(volts, MINUTE) == 3.0


def test_exchanges_are_counted_by_id_and_plain_acts_are_not() -> None:
    def entry(exchange: str | None) -> Entry:
        content = {"exchange": exchange}
        return Entry(2, START, AclMessage(Performative.CFP, "a@x", "b@x", Protocol.CONTRACT_NET, "c", "c/a/1", content))

    assert exchange_counts([entry("6.1.1"), entry(None), entry("1.1.1"), entry("6.1.1")]) == {"1.1.1": 1, "6.1.1": 2}


def test_balances_are_exact_and_sum_to_zero() -> None:
    rows = [("t1", "dso", "-0.10"), ("t1", "vpp", "0.10"), ("t2", "dso", "-0.20"), ("t2", "vpp", "0.20")]
    found = balances(Posting(t, account, Decimal(eur), START, "") for t, account, eur in rows)
    assert found == {"dso": Decimal("-0.30"), "vpp": Decimal("0.30")}
    assert sum(found.values()) == 0


def test_a_balance_has_its_cents_also_where_the_last_is_none() -> None:
    found = balances(
        Posting("t", account, Decimal(eur), START, "") for account, eur in (("ev", "-12.7"), ("cpo", "12.7"))
    )
    assert {account: str(amount) for account, amount in found.items()} == {"cpo": "12.70", "ev": "-12.70"}


@pytest.mark.parametrize(
    ("got", "departed", "short"), [(20.0, True, False), (19.95, True, False), (19.8, True, True), (3.0, False, False)]
)
def test_a_driver_is_short_only_when_gone_with_clearly_less(got: float, departed: bool, short: bool) -> None:
    driver = DriverOutcome("o@x", "home-1", "ev", START, START + timedelta(hours=8), 20.0, got, departed)
    assert driver.short is short


@pytest.mark.parametrize(("got", "extra"), [(23.5, 3.5), (20.0, 0.0), (12.0, 0.0)])
def test_what_a_vehicle_took_beyond_what_was_asked_for_is_never_negative(got: float, extra: float) -> None:
    assert DriverOutcome("o@x", "home-1", "ev", START, START + timedelta(hours=8), 20.0, got).extra_kwh == extra
