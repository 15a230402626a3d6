"""Frequency control read back: tests, hours and owners from the trace, seconds from the files, and the envelope."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from agents.decisions.fcr_products import RULES
from environment.report import seconds
from environment.report.campus_frequency import energy_kws, figure
from environment.report.envelope import envelope, within_share
from environment.report.frequency_services import applications, hours, owners
from environment.series import Case, Floats
from protocols import exchanges as x
from protocols.exchanges.vocabulary import FcrProduct

from .campus import BEGIN, TRIP_S, Campus, clock, hertz, log
from .script import jid
from .test_campus_congestion import trace_of

N, UP, DOWN = FcrProduct.FCR_N, FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN


def test_an_approval_and_a_failure_have_their_sheets_and_records(tmp_path: Path) -> None:
    campus = Campus()
    campus.applies("bornholm-pool", N, 24.0, approved=23.5)
    campus.applies("risoe-pool", UP, 30.0, approved=None)
    good, bad = applications(trace_of(campus, tmp_path))
    assert (good.outcome, good.approved_kw, good.passed, len(good.sheet)) == ("approved", 23.5, 3, 3)
    assert (len(good.steps), len(good.records), good.ended) == (1, 1, clock(5))
    assert (bad.outcome, bad.approved_kw, bad.passed, len(bad.sheet)) == ("failed", 0.0, 3, 4)
    assert bad.reason == "requirement 2 is not met"


def test_a_test_that_its_manager_cancels_is_cancelled_and_not_failed(tmp_path: Path) -> None:
    campus = Campus()
    campus.applies("bornholm-pool", N, 24.0, approved=None)
    first = campus.script.lines[0]
    campus.script.lines = [line for line in campus.script.lines if line["performative"] != "failure"]
    end = x.ParticipationEnd(reference="a-bornholm-pool-fcr-n", start=clock(4), reason="both meters are lost")
    campus.says(clock(4), "bornholm-pool", "energinet", "cancel", "request", first["conversation-id"], end)
    (test,) = applications(trace_of(campus, tmp_path))
    assert (test.outcome, test.reason, test.ended) == ("cancelled", "both meters are lost", clock(4))


def test_hours_are_settled_cancelled_or_refused(tmp_path: Path) -> None:
    campus = Campus()
    campus.hour("risoe-pool", UP, 8.0, 27.5)
    campus.hour("risoe-pool", UP, 9.0, 27.5, cancelled=True)
    campus.hour("risoe-pool", UP, 10.0, 27.5)
    talk = next(line for line in campus.script.lines if line["content"].get("offer_id") == "risoe-pool-fcr-d-up-10")
    campus.script.lines = [
        line
        for line in campus.script.lines
        if line is talk or line["content"].get("offer_id") != "risoe-pool-fcr-d-up-10"
    ]
    no = x.Reason(code="too-dear", reason="0.006 EUR is asked for")
    campus.says(clock(9.6), "energinet", "risoe-pool", "refuse", "request", talk["conversation-id"], no)
    settled, cancelled, refused = hours(trace_of(campus, tmp_path))
    assert (settled.ending, settled.bought_kw, settled.price_eur_per_kw) == ("settled", 27.5, Decimal("0.0075"))
    assert settled.report is not None
    assert settled.settlement is not None
    assert (settled.report.up_kwh, settled.settlement.amount_eur) == (1.5, Decimal("0.77"))
    assert (cancelled.ending, cancelled.reason, cancelled.settlement) == ("cancelled", "the meters are lost", None)
    assert (refused.ending, refused.bought_kw, refused.reason) == ("refused", 0.0, "0.006 EUR is asked for")


def test_owners_are_those_that_took_part_with_what_they_heard(tmp_path: Path) -> None:
    campus = Campus()
    campus.told_owners("bornholm-pool", N, 8.0)
    found = owners(trace_of(campus, tmp_path))
    assert [row.owner for row in found] == [jid(f"ev-bornholm-pool-{n}") for n in (1, 2, 3)]
    assert {(row.told, row.product) for row in found} == {(4, N)}


def frequency(with_hz: Floats, without_hz: Floats | None) -> seconds.Frequency:
    start = int(BEGIN.timestamp())
    cases: dict[Case, Floats] = {"with": with_hz}
    if without_hz is not None:
        cases["without"] = without_hz
    return seconds.Frequency(start, cases, np.zeros(len(with_hz)))


def test_a_trip_is_found_where_it_happened_with_nadir_and_settling_of_both_cases() -> None:
    trip = seconds.trip(frequency(hertz("with"), hertz("without")))
    assert trip is not None
    assert abs(trip.at - (BEGIN + timedelta(seconds=TRIP_S))) <= timedelta(seconds=1)
    for case in ("with", "without"):
        hz = hertz(case)[TRIP_S : TRIP_S + seconds.NADIR_S]
        assert trip.nadir_hz[case] == pytest.approx(hz.min())
        late = hertz(case)[TRIP_S + seconds.SETTLED_S[0] : TRIP_S + seconds.SETTLED_S[1]]
        assert trip.settled_hz[case] == pytest.approx(late.mean(), abs=1e-3)
    assert trip.nadir_hz["with"] > trip.nadir_hz["without"] + 0.05


def test_an_ordinary_day_has_no_trip() -> None:
    assert seconds.trip(frequency(hertz("with", trip=False), None)) is None
    assert seconds.trip(frequency(np.full(5, 50.0), None)) is None


def test_logs_are_read_back_and_their_throughput_is_the_integral_of_what_was_activated(tmp_path: Path) -> None:
    log(tmp_path, "risoe-pool", UP, 27.5, 49.9, 0.4)
    (portfolio,) = seconds.portfolios(tmp_path)
    assert (portfolio.name, portfolio.product, len(portfolio.at_s)) == ("risoe-pool", UP, 4 * 3600)
    through = seconds.throughput(portfolio)
    assert through.up_kwh == pytest.approx(-portfolio.activated_kw.sum() / 3600)
    assert through.down_kwh == 0.0
    assert through.nem_hours == pytest.approx(999 / 3600)
    assert through.managed_kwh == pytest.approx(0.2 * 27.5 * 999 / 3600)
    half = portfolio.between(portfolio.at_s[0], portfolio.at_s[0] + 7200)
    assert seconds.throughput(portfolio, half).logged_hours == 2.0


def test_what_a_droop_gives_beyond_its_product_went_through_the_battery_all_the_same(tmp_path: Path) -> None:
    log(tmp_path, "bornholm-pool", N, 24.0, 50.0, 0.1)
    (portfolio,) = seconds.portfolios(tmp_path)
    counted = replace(portfolio, activated_kw=portfolio.activated_kw.clip(-12.0, 12.0))
    assert seconds.throughput(counted) == seconds.throughput(portfolio)


def test_a_run_without_logs_has_no_portfolio_and_no_frequency(tmp_path: Path) -> None:
    assert seconds.portfolios(tmp_path) == ()
    assert seconds.frequency(tmp_path) is None


def step(seconds_before: int, hz: float) -> Floats:
    return np.concatenate([np.full(seconds_before, 50.0), np.full(120, hz)])


@pytest.mark.parametrize(("product", "sign", "hz"), [(UP, 1.0, 49.5), (DOWN, -1.0, 50.5)])
def test_fcr_d_owes_86_percent_after_seven_and_a_half_seconds_and_95_after_a_minute(
    product: FcrProduct, sign: float, hz: float
) -> None:
    rules = replace(RULES[product], meter_accuracy_hz=0.0)
    found = envelope(rules, np.full(220, 100.0), step(100, hz))
    due = sign * (found.least_kw if sign > 0 else found.most_kw)
    most = sign * (found.most_kw if sign > 0 else found.least_kw)
    assert due[100:108] == pytest.approx(np.zeros(8))
    assert due[108:160] == pytest.approx(np.full(52, 86.0))
    assert due[160:] == pytest.approx(np.full(60, 95.0))
    assert most[100:] == pytest.approx(np.full(120, 120.0))


def test_fcr_n_owes_the_linear_band_in_both_directions() -> None:
    rules = replace(RULES[N], meter_accuracy_hz=0.0)
    found = envelope(rules, np.full(220, 100.0), step(100, 50.05))
    assert found.asked_kw[-1] == pytest.approx(-50.0)
    assert (found.least_kw[-1], found.most_kw[-1]) == (pytest.approx(-60.0), pytest.approx(-47.5))


def test_a_response_that_lags_is_within_and_one_that_stays_away_is_not() -> None:
    found = envelope(RULES[UP], np.full(220, 100.0), step(100, 49.5))
    good = np.concatenate([np.zeros(102), np.linspace(0, 100, 5), np.full(113, 100.0)])
    assert within_share(found, good, 0.0) == 1.0
    assert within_share(found, np.zeros(220), 0.0) < 0.6


def test_the_energy_of_a_saturated_response_is_its_power_times_the_time() -> None:
    assert energy_kws(np.full(60, 20.0)) == pytest.approx(150.0)
    assert energy_kws(np.arange(60.0)) == pytest.approx(7.5**2 / 2)
    assert energy_kws(np.array([10.0, 10.0])) == pytest.approx(75.0), "what is not known goes on as it was"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.00033, "\N{MINUS SIGN}0.00033"), (7e-5, "7e\N{MINUS SIGN}5"), (0.0, "0"), (0.86, "0.86"),
        (0.4136, "0.414"),
        (1.25, "1.25"), (12.345, "12.35"), (123.46, "123.5"), (1234.5, "1\N{NARROW NO-BREAK SPACE}234"),
    ],
)  # fmt: skip
def test_a_measured_value_has_three_significant_digits_and_is_0_only_where_it_is(value: float, text: str) -> None:
    assert figure(value) == text
