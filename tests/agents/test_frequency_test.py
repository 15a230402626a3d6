"""The record of a test step: what of the power behind the meter was the portfolio's."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from agents.decisions.fcr_energy import EnergyState
from agents.frequency_control import FrequencyControl
from agents.frequency_test import Watch
from protocols.exchanges.frequency_services import SignalPiece, TestStep
from tests.agents.stage import at

OFF = EnergyState(0.0, False, False, 50.0, 0.0)


def step(sample_s: float = 1.0) -> TestStep:
    return TestStep(
        application_id="a1",
        step_id="a1/step/1",
        test="a step",
        signal=(SignalPiece(duration_s=20.0, start_hz=50.0, end_hz=50.0),),
        sample_s=sample_s,
        baseline_kw=0.0,
    )


def test_what_another_charger_draws_is_taken_off_from_when_it_turned_and_not_from_when_it_was_read() -> None:
    control: Any = SimpleNamespace(soc=0.5, others_kw=0.0, others_since=at(0))
    watch = Watch(step(), at(10), 20.0, cast(FrequencyControl, control))
    for second in range(20):
        if second == 12:  # read five seconds after it began to draw
            control.others_kw, control.others_since = 4.0, at(10) + timedelta(seconds=7)
        watch.second(at(10) + timedelta(seconds=second), OFF)
    behind_the_meter = [-3.0] * 7 + [1.0] * 13
    assert watch.own_kw(behind_the_meter) == (-3.0,) * 20


def test_a_charger_that_turned_before_the_step_counts_for_all_of_it() -> None:
    control: Any = SimpleNamespace(soc=0.5, others_kw=0.0, others_since=at(0))
    watch = Watch(step(), at(10), 20.0, cast(FrequencyControl, control))
    control.others_kw, control.others_since = 4.0, at(10) - timedelta(seconds=2)
    watch.second(at(10), OFF)
    assert watch.own_kw([1.0] * 20) == (-3.0,) * 20
