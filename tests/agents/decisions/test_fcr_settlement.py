"""Frequency containment in money: what a report is worth beside frequency and meters, prices, and cents by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agents.decisions.fcr_products import RULES
from agents.decisions.fcr_settlement import (
    FcrPrices,
    Owed,
    amount_to_buy,
    energy_kwh,
    expected_kw,
    kw_periods,
    minute_means,
    nothing_owed,
    owed_kw,
    price_of,
    report_fault,
    response_of,
    settle_fcr,
    verdict,
)
from agents.decisions.fleet import Floats
from protocols.exchanges.frequency_services import DeliveryReport
from protocols.exchanges.vocabulary import FcrProduct

START = datetime(2026, 1, 13, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
N = RULES[FcrProduct.FCR_N]
D = RULES[FcrProduct.FCR_D_UP]
PRICES = FcrPrices(Decimal("0.0100"), Decimal("0.1000"), Decimal("0.0400"), Decimal("1.5"))


def owed(kw: float = 20.0, end: datetime = START + HOUR) -> list[Owed]:
    return [Owed(START, end, kw)]


def low_then_high(low_hz: float = 49.95, high_hz: float = 50.05, seconds: int = 3600) -> Floats:
    """Half of the time below, half above: a capacity of 20 kW gives 10 kW for half an hour and takes as much."""
    return np.where(np.arange(seconds) < seconds // 2, low_hz, high_hz)


def report(**changed: Any) -> DeliveryReport:
    values: dict[str, Any] = {
        "offer_id": "o1",
        "start": START,
        "end": START + HOUR,
        "logged_seconds": 3600,
        "available_seconds": 3600,
        "up_kwh": 5.0,
        "down_kwh": 5.0,
        "baseline_kw": (30.0, 30.0, 30.0, 30.0),
    }
    return DeliveryReport(**values | changed)


def metered(part: float = 1.0, baseline: float = 30.0) -> list[float]:
    """Minute means of a portfolio that does this part of what `low_then_high` asks of 20 kW."""
    return [baseline - 10.0 * part] * 30 + [baseline + 10.0 * part] * 30


def test_an_honest_hour_of_fcr_n_by_hand() -> None:
    settled = settle_fcr(N, owed(), START, START + HOUR, low_then_high(), report(), metered(), PRICES)
    assert settled.capacity_eur == Decimal("0.80")  # 20 kW, 4 quarters, 0.01 EUR
    assert settled.energy_eur == Decimal("0.30")  # 5 kWh given at 0.10, 5 taken at 0.04
    assert (settled.energy_kwh, settled.penalty_eur) == (Decimal(0), Decimal(0))
    assert settled.amount_eur == Decimal("1.10")
    assert settled.verdict.doubt is None
    assert settled.verdict.response == pytest.approx(1.0)


def test_unavailable_seconds_are_not_paid_and_cost_the_penalty() -> None:
    told = report(available_seconds=2700)
    settled = settle_fcr(N, owed(), START, START + HOUR, low_then_high(), told, metered(), PRICES)
    assert settled.verdict.availability == Decimal("0.75")
    assert settled.capacity_eur == Decimal("0.60")
    assert settled.penalty_eur == Decimal("0.30")  # a quarter of 0.80 times 1.5
    assert settled.amount_eur == Decimal("0.60")


def test_the_energy_of_fcr_d_is_not_settled() -> None:
    hz = np.full(3600, 49.7)  # half activated
    told = report(up_kwh=10.0, down_kwh=0.0)
    settled = settle_fcr(D, owed(), START, START + HOUR, hz, told, [20.0] * 60, PRICES)
    assert settled.energy_kwh == Decimal("10.000")
    assert settled.energy_eur == Decimal("0.00")
    assert settled.amount_eur == settled.capacity_eur == Decimal("0.80")


def test_chargers_that_did_not_move_are_worth_nothing_whatever_is_reported() -> None:
    settled = settle_fcr(N, owed(), START, START + HOUR, low_then_high(), report(), metered(0.0), PRICES)
    assert settled.verdict.availability == 0
    assert settled.verdict.doubt is not None
    assert "the meters show 0%" in settled.verdict.doubt
    assert settled.amount_eur == Decimal("-1.20")  # 0.80 times 1.5, nothing earned


def test_half_is_believed_where_the_meters_show_somewhat_less_than_is_reported() -> None:
    settled = settle_fcr(N, owed(), START, START + HOUR, low_then_high(), report(), metered(0.7), PRICES)
    assert settled.verdict.availability == Decimal("0.5")


@pytest.mark.parametrize("part", [0.86, 1.0, 1.2])
def test_a_response_within_the_tolerance_is_believed(part: float) -> None:
    assert verdict(N, report(), expected_kw(N, low_then_high(), np.full(3600, 20.0)), 20.0, metered(part)).doubt is None


@pytest.mark.parametrize("told", [{"up_kwh": 6.8}, {"down_kwh": 7.0}, {"up_kwh": 4.0}])
def test_a_report_that_the_frequency_contradicts_is_worth_half(told: dict[str, float]) -> None:
    asked = expected_kw(N, low_then_high(), np.full(3600, 20.0))
    judged = verdict(N, report(**told), asked, 20.0, metered())
    assert judged.availability == Decimal("0.5")
    assert judged.doubt is not None
    assert "the frequency asked for 5.000" in judged.doubt


def test_a_response_that_is_too_large_by_no_more_than_the_rules_allow_is_believed_and_not_paid_for() -> None:
    """Requirement 1: up to a fifth; `energy_kwh` pays no more than was asked for."""
    asked = expected_kw(N, low_then_high(), np.full(3600, 20.0))
    judged = verdict(N, report(up_kwh=6.0, down_kwh=6.0), asked, 20.0, metered(1.2))
    assert (judged.availability, judged.doubt) == (Decimal(1), None)


def test_less_energy_is_no_contradiction_where_less_time_is_reported() -> None:
    asked = expected_kw(N, low_then_high(), np.full(3600, 20.0))
    judged = verdict(N, report(up_kwh=2.5, available_seconds=2700), asked, 20.0, None)
    assert (judged.availability, judged.doubt, judged.response) == (Decimal("0.75"), None, None)


def test_a_quiet_hour_tells_nothing_about_the_response() -> None:
    asked = expected_kw(N, np.full(3600, 50.001), np.full(3600, 20.0))
    assert response_of(minute_means(asked), np.zeros(60), 20.0) is None
    assert verdict(N, report(up_kwh=0.0, down_kwh=0.2), asked, 20.0, [30.0] * 60).doubt is None


def test_no_baseline_hides_that_the_chargers_did_not_follow() -> None:
    """FCR-D upwards asked for 10 kW each other minute; nothing moved, and the baseline is told 10 kW too high."""
    asked = expected_kw(D, np.where(np.arange(3600) // 60 % 2, 49.7, 49.95), np.full(3600, 20.0))
    told = report(up_kwh=5.0, down_kwh=0.0, baseline_kw=(40.0,) * 4)
    judged = verdict(D, told, asked, 20.0, [30.0] * 60)
    assert judged.response == pytest.approx(0.0)
    assert judged.availability == 0
    followed = [30.0 - 10.0 * (minute % 2) for minute in range(60)]
    assert verdict(D, told, asked, 20.0, followed).response == pytest.approx(1.0)


def test_energy_beyond_what_the_frequency_asked_for_is_not_settled() -> None:
    asked = expected_kw(N, low_then_high(), np.full(3600, 20.0))
    assert energy_kwh(asked, metered(2.0), report()) == (Decimal("5.000"), Decimal("5.000"))
    lied = report(baseline_kw=(99.0,) * 4)
    assert energy_kwh(asked, metered(), lied) == (Decimal("5.000"), Decimal("0.000"))


def test_without_meters_energy_is_the_report_within_the_same_bounds() -> None:
    asked = expected_kw(N, low_then_high(), np.full(3600, 20.0))
    assert energy_kwh(asked, None, report(up_kwh=9.0, down_kwh=1.5)) == (Decimal("5.000"), Decimal("1.500"))


def test_no_report_is_no_availability_and_no_energy() -> None:
    settled = settle_fcr(N, owed(), START, START + HOUR, low_then_high(), "silent", metered(), PRICES)
    assert settled.capacity_eur == settled.energy_eur == 0
    assert settled.amount_eur == Decimal("-1.20")
    assert settled.verdict.doubt == "silent"


def test_capacity_that_changes_is_counted_by_the_second() -> None:
    parts = [Owed(START, START + timedelta(minutes=20), 20.0), Owed(START + timedelta(minutes=20), START + HOUR, 5.0)]
    assert kw_periods(parts, START, START + HOUR) == pytest.approx(Decimal(20 * 20 + 5 * 40) / 15)
    assert kw_periods(parts, START, START + timedelta(minutes=21)) == pytest.approx(Decimal(20 * 20 + 5) / 15)
    kw = owed_kw(parts, START, 3600)
    assert (kw[1199], kw[1200], kw[-1]) == (20.0, 5.0, 5.0)
    assert not owed_kw(parts[:1], START, 3600)[1200:].any()


def test_what_was_called_off_before_it_began_is_nothing() -> None:
    assert nothing_owed().amount_eur == 0


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"end": START + 2 * HOUR}, "another time"),
        ({"logged_seconds": 4000}, "4000 seconds of 3600"),
        ({"baseline_kw": (30.0,)}, "1 baselines for 4"),
        ({}, None),
    ],
)
def test_a_report_must_answer_the_question(changed: dict[str, Any], fault: str | None) -> None:
    found = report_fault(report(**changed), START, START + HOUR)
    assert found is None if fault is None else fault in str(found)


def test_the_price_falls_evenly_to_half_with_what_is_bought() -> None:
    ceiling = Decimal("0.0200")
    assert [price_of(ceiling, 40.0, kw) for kw in (0.0, 20.0, 40.0, 90.0)] == [
        Decimal("0.0200"),
        Decimal("0.0150"),
        Decimal("0.0100"),
        Decimal("0.0100"),
    ]
    assert price_of(ceiling, 0.0, 0.0) == 0


@pytest.mark.parametrize(
    ("bought", "offered", "asked", "kw"),
    [
        (0.0, 20.0, "0.0150", 20.0),  # the last kW is worth exactly what is asked
        (0.0, 20.05, "0.0100", 20.05),
        (0.0, 20.0, "0.0160", 16.0),  # bought in part
        (20.0, 20.0, "0.0160", 0.0),
        (30.0, 20.0, "0.0000", 10.0),  # no more than is wanted
        (40.0, 20.0, "0.0000", 0.0),
        (0.0, 20.0, "0.0300", 0.0),
    ],
)
def test_an_offer_is_bought_as_long_as_a_kw_is_worth_it(bought: float, offered: float, asked: str, kw: float) -> None:
    got = amount_to_buy(Decimal("0.0200"), 40.0, bought, offered, Decimal(asked))
    assert got == pytest.approx(kw)
    assert got == 0 or price_of(Decimal("0.0200"), 40.0, bought + got) >= Decimal(asked)
