"""The test sequences: what is applied when, against the tables of the rules."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.fcr_products import RULES, FcrRules
from agents.decisions.fcr_sequences import frequency_at, kind, length_s, steps
from protocols.exchanges.frequency_services import HoldUntil, SignalPiece, TestStep
from protocols.exchanges.vocabulary import FcrProduct

N, D_UP, D_DOWN, CE = (RULES[product] for product in FcrProduct)


def whole_test(rules: FcrRules, limited: bool = True, energy_kwh: float = 80.0) -> tuple[TestStep, ...]:
    return steps(rules, "a/7", capacity_kw=40.0, energy_kwh=energy_kwh, baseline_kw=-2.0, limited=limited)


def named(sequence: Sequence[TestStep], test: str) -> list[TestStep]:
    return [step for step in sequence if kind(step.step_id)[0] == test]


def joined(sequence: Sequence[TestStep]) -> list[SignalPiece]:
    return [piece for step in sequence for piece in step.signal]


def test_fcr_n_is_stepped_as_in_table_3() -> None:
    signal = joined(named(whole_test(N), "step"))
    minutes = {0: 50.0, 0.49: 50.0, 0.5: 49.95, 1: 50.0, 5.99: 50.0, 6: 49.9, 11: 50.1, 16: 50.0, 20.99: 50.0}
    assert {at: frequency_at(signal, 60 * at) for at in minutes} == minutes
    assert length_s(signal) == 21 * 60


def test_without_a_limited_reservoir_the_steps_of_table_3_last_15_minutes() -> None:
    signal = joined(named(whole_test(N, limited=False), "step"))
    minutes = {6: 49.9, 20.99: 49.9, 21: 50.1, 35.99: 50.1, 36: 50.0}
    assert {at: frequency_at(signal, 60 * at) for at in minutes} == minutes
    assert length_s(signal) == 41 * 60


@pytest.mark.parametrize(("rules", "mirror"), [(D_UP, 1), (D_DOWN, -1)])
def test_fcr_d_is_ramped_as_in_table_4(rules: FcrRules, mirror: int) -> None:
    """Its times, at 0.14, 0.09 and 0.24 Hz/s; half way along ramps 1, 2 and 5 besides."""
    signal = joined(named(whole_test(rules), "ramp"))
    expected = {
        0: 49.9,
        30: 49.9,
        31: 49.76,
        33.3: 49.45,
        34.8: 49.45,
        36.9: 49.63,
        39.95: 49.9,
        90: 49.9,
        91: 49.66,
        91.7: 49.5,
        389.9: 49.5,
        391.7: 49.9,
        690: 49.9,
        691: 49.66,
        693.8: 49.0,
        749.9: 49.0,
        754.2: 50.0,
        1050: 50.0,
    }
    found = {at: frequency_at(signal, at) for at in expected}
    assert found == pytest.approx({at: 50 + mirror * (hz - 50) for at, hz in expected.items()})
    assert length_s(signal) == pytest.approx(1050.0)


def test_without_a_limited_reservoir_ramp_3_is_held_for_15_minutes() -> None:
    """The note to table 4."""
    signal = joined(named(whole_test(D_UP, limited=False), "ramp"))
    assert frequency_at(signal, 90 + 899) == 49.5
    assert frequency_at(signal, 90 + 902) == 49.9


@pytest.mark.parametrize(("rules", "centre"), [(N, 50.0), (D_UP, 49.7), (D_DOWN, 50.3)])
def test_the_sines_are_those_of_table_6(rules: FcrRules, centre: float) -> None:
    """Periods, stationary periods, periods in all; 90 s and longer for FCR-D only with mode shifting."""
    table = [(10, 5, 20), (15, 5, 15), (25, 5, 10), (40, 5, 7), (50, 5, 7), (60, 5, 7), (70, 5, 7)]
    if rules is N:
        table += [(90, 5, 7), (150, 3, 4), (300, 2, 3)]
    found = []
    for step in named(whole_test(rules), "sine"):
        (piece,) = step.signal
        assert piece.period_s is not None
        assert (piece.start_hz, piece.end_hz, piece.amplitude_hz) == (centre, centre, 0.1)
        total = piece.duration_s / piece.period_s
        found.append((piece.period_s, total - step.record_from_s / piece.period_s, total))
    assert found == table


def test_dynamic_parts_are_recorded_often_enough() -> None:
    """Section 4.3: 5 Hz for FCR-N, 10 Hz for FCR-D; the others move less than 5 mHz from sample to sample."""
    for rules, most in ((N, 0.2), (D_UP, 0.1), (D_DOWN, 0.1)):
        for step in whole_test(rules):
            test, _ = kind(step.step_id)
            moving = any(piece.start_hz != piece.end_hz for piece in step.signal)
            if moving or (rules is N and test == "step"):
                assert step.sample_s <= most, step.step_id
            if test == "sine" and step.sample_s > most:
                steps_of = [frequency_at(step.signal, step.sample_s * n) for n in range(1000)]
                assert max(abs(a - b) for a, b in itertools.pairwise(steps_of)) < 0.005


def rows(sequence: Sequence[TestStep]) -> list[tuple[float, float, HoldUntil | None, float]]:
    """(Hz, least minutes, what a hold waits for, for how many seconds)."""
    return [
        (step.signal[0].start_hz, step.signal[0].duration_s / 60, step.hold_until, step.hold_s)
        for step in named(sequence, "energy")
    ]


def test_the_energy_management_of_fcr_n_is_tested_as_in_table_12() -> None:
    """With the least durations of test program 8.1; 5 minutes for NEM to fade in and a minute of all of it,
    a minute of both off instead of the first moment of it."""
    assert rows(whole_test(N)) == [
        (50.0, 2, HoldUntil.BOTH_OFF, 60),
        (50.09, 28, HoldUntil.NEM_ON, 360),
        (50.11, 6, None, 0),
        (50.09, 2.5, None, 0),
        (50.11, 7.5, HoldUntil.AEM_ON, 300),
        (50.09, 10, None, 0),
        (49.91, 60, HoldUntil.NEM_ON_AGAIN, 360),
        (49.89, 5, None, 0),
        (49.91, 2.5, None, 0),
        (49.89, 10, HoldUntil.AEM_ON, 300),
        (49.91, 10, None, 0),
        (50.0, 30, HoldUntil.BOTH_OFF, 60),
    ]


@pytest.mark.parametrize(("rules", "mirror"), [(D_UP, 1), (D_DOWN, -1)])
def test_the_energy_management_of_fcr_d_is_tested_as_in_table_13(rules: FcrRules, mirror: int) -> None:
    """Test program 8.2 and 8.3, for the least reservoir (20 minutes): NEM would be on 10 minutes into step 1."""
    found = rows(whole_test(rules, energy_kwh=40 / 3))
    assert [(round(50 + mirror * (hz - 50), 6), *others) for hz, *others in found] == [
        (49.91, 0.5, HoldUntil.BOTH_OFF, 60),
        (49.5, 10, None, 0),
        (49.91, 2.5, None, 0),
        (49.5, 15, HoldUntil.AEM_ON, 300),
        (49.91, 15, HoldUntil.BOTH_OFF, 60),
    ]


def test_a_larger_reservoir_of_fcr_d_is_emptied_until_nem_would_turn_on() -> None:
    """An hour, full at first. The ramps take 0.56 + 5 + 1 + ... minutes, 37 minutes of sines half of them; what is
    left less 15 minutes is step 1."""
    sequence = steps(D_UP, "a", capacity_kw=40.0, energy_kwh=40.0, baseline_kw=0.0)
    (_, minutes, *_) = rows(sequence)[1]
    # ramps: 5.4 s, 299.2 + 0.8 s, 58.1 + 2.3 s (50 Hz is no activation) of full activation; sines: 2215 s of the half
    used = (5.4 + 300 + 60.4 + 2215 / 2) / 60
    assert minutes == pytest.approx(60 - used - 15, abs=1.0)


def test_continental_europe_is_stepped_by_the_whole_deviation_both_ways() -> None:
    """SO GL 154 and 156(9): 200 mHz, 15 minutes."""
    signal = joined(whole_test(CE))
    minutes = {0: 50.0, 1: 49.8, 15.99: 49.8, 16: 50.0, 21: 50.2, 35.99: 50.2, 36: 50.0}
    assert {at: frequency_at(signal, 60 * at) for at in minutes} == minutes


def test_without_a_limited_reservoir_there_is_no_energy_management_to_test() -> None:
    assert not named(whole_test(N, limited=False), "energy")
    assert not named(whole_test(D_UP, limited=False), "energy")


@settings(max_examples=40, deadline=None)
@given(
    product=st.sampled_from(list(FcrProduct)),
    limited=st.booleans(),
    capacity=st.floats(1.0, 1000.0),
    hours=st.floats(0.1, 3.0),
    baseline=st.floats(-1.0, 1.0),
)
def test_every_step_fits_into_a_message_and_has_a_name_of_its_own(
    product: FcrProduct, limited: bool, capacity: float, hours: float, baseline: float
) -> None:
    """That it fits is checked by `TestStep` itself (`MOST_SAMPLES`)."""
    sequence = steps(
        RULES[product],
        "a/b",
        capacity_kw=capacity,
        energy_kwh=hours * capacity,
        baseline_kw=baseline * capacity,
        limited=limited,
    )
    names = [step.step_id for step in sequence]
    assert len(set(names)) == len(names)
    assert all(step.application_id == "a/b" and step.baseline_kw == baseline * capacity for step in sequence)
    assert all(step.most_s > 0 for step in sequence if step.hold_until)


def test_a_limited_reservoir_that_holds_nothing_has_no_test() -> None:
    with pytest.raises(ValueError, match="above 0"):
        whole_test(N, energy_kwh=0.0)


def test_a_signal_is_linear_then_held_and_a_sine_falls_first() -> None:
    ramp = SignalPiece(duration_s=10, start_hz=50.0, end_hz=49.0)
    sine = SignalPiece(duration_s=20, start_hz=49.0, end_hz=49.8, amplitude_hz=0.1, period_s=20)  # no end of its own
    signal = (ramp, sine)
    at = [frequency_at(signal, t) for t in (-1, 0, 5, 10, 15, 25, 30, 1000)]
    assert at == pytest.approx([50.0, 50.0, 49.5, 49.0, 48.9, 49.1, 49.0, 49.0])
    with pytest.raises(ValueError, match="at least one"):
        frequency_at((), 0.0)


def test_the_kind_of_a_step_survives_slashes_in_the_application() -> None:
    assert kind("a/b/ramp/13") == ("ramp", 13)
    with pytest.raises(ValueError, match="unpack"):
        kind("a")
