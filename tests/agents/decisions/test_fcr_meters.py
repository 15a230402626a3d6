"""Which frequency meter is believed, and that a change of meter makes no step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sin

import pytest

from agents.decisions.fcr_meters import MeterRules, MeterSelection, Reading, Selected

RULES = MeterRules()
Reads = Callable[[int], Reading | None]


def noise(second: float) -> float:
    """A frequency that moves by a few mHz each second, as read to 1 mHz."""
    return round(50.0 + 0.03 * sin(second / 40) + 0.004 * sin(second * 1.7), 3)


def main_meter(second: int) -> Reading:
    return Reading(noise(second), 1000.0 + second)


def backup(second: int) -> Reading:
    """Reads 6 mHz more than the main meter."""
    return Reading(noise(second) + 0.006, 7.0 + second)


def play(one: Reads, two: Reads, seconds: int = 200) -> tuple[MeterSelection, list[Selected]]:
    """Reads as the loop does: the other meter only where the selection doubts."""
    selection = MeterSelection(["main", "backup"])
    found = []
    both = (one, two)
    for second in range(seconds):
        used = selection.in_use or 0
        readings = {used: both[used](second)}
        if selection.doubts(second, readings[used]):
            readings[1 - used] = both[1 - used](second)
        found.append(selection.second(second, readings))
    return selection, found


def steps(found: list[Selected]) -> list[float]:
    """The change from one second to the next beyond what the true frequency did."""
    return [abs((b.hz or 0.0) - (a.hz or 0.0) - (noise(t + 1) - noise(t))) for t, (a, b) in enumerate(pairwise(found))]


def notices(found: list[Selected]) -> list[str]:
    return [line for selected in found for line in selected.notices]


def test_a_well_main_meter_is_used_as_it_is_and_the_backup_is_seldom_read() -> None:
    asked = []

    def two(second: int) -> Reading:
        asked.append(second)
        return backup(second)

    _, found = play(main_meter, two)
    assert [selected.hz for selected in found] == [noise(t) for t in range(200)]
    assert notices(found) == []
    assert len(asked) < 100


def test_a_lost_meter_is_replaced_in_the_same_second_and_the_difference_fades() -> None:
    _, found = play(lambda t: None if t >= 50 else main_meter(t), backup)
    assert [selected.meter for selected in found[48:52]] == [0, 0, 1, 1]
    assert found[50].hz == pytest.approx(noise(49))  # exactly where it was
    assert found[50 + 5].hz == pytest.approx(noise(55) + 0.006)
    # each second a fifth of the difference, and never the 6 mHz plus a movement at once
    difference = noise(49) - backup(50).hz
    for k in range(5):
        hz = found[50 + k].hz
        assert hz is not None
        assert hz - backup(50 + k).hz == pytest.approx(difference * (1 - k / 5))
    assert notices(found) == ["frequency meter main does not answer", "backup is used from now on"]


def test_the_main_meter_comes_back_after_it_was_well_for_a_while_and_again_without_a_step() -> None:
    _, found = play(lambda t: None if 50 <= t < 60 else main_meter(t), backup)
    back = next(t for t, selected in enumerate(found) if t > 60 and selected.meter == 0)
    assert 60 + RULES.well_for_s <= back <= 60 + RULES.well_for_s + RULES.other_every_s
    assert found[back].hz == pytest.approx(found[back - 1].hz)
    assert notices(found)[-2:] == ["frequency meter main is well again", "main is used from now on"]
    assert max(steps(found)) < 0.008


@pytest.mark.parametrize("clock_goes_on", [True, False])
def test_a_frozen_meter_is_found_within_seconds(clock_goes_on: bool) -> None:
    def one(t: int) -> Reading:
        return main_meter(t) if t < 50 else Reading(noise(50), 1000.0 + (t if clock_goes_on else 50))

    _, found = play(one, backup)
    change = next(t for t, selected in enumerate(found) if selected.meter == 1)
    assert 50 < change <= 62
    assert found[change].hz == pytest.approx(found[change - 1].hz, abs=0.001)
    assert notices(found)[0] == f"frequency meter main is frozen at {noise(50):.3f} Hz"
    assert sum("frozen" in line for line in notices(found)) == 1


def test_a_frequency_that_is_held_by_a_bench_is_no_frozen_meter() -> None:
    held = lambda t: Reading(49.9 if t < 100 else 49.5, float(t))  # noqa: E731
    _, found = play(held, held)
    assert notices(found) == []
    assert [selected.hz for selected in found] == [49.9] * 100 + [49.5] * 100


@pytest.mark.parametrize("jump", [0.03, -0.2, 1.5])
def test_a_meter_that_jumps_is_not_followed(jump: float) -> None:
    _, found = play(lambda t: Reading(noise(t) + (jump if t >= 50 else 0), float(t)), backup)
    assert found[50].meter == 1
    assert max(steps(found)) < 0.008
    assert "jumped to" in notices(found)[0]


def test_a_backup_that_jumps_is_not_used_and_the_main_meter_goes_on() -> None:
    _, found = play(main_meter, lambda t: Reading(noise(t) + (0.1 if t >= 50 else 0), float(t)))
    assert {selected.meter for selected in found} == {0}
    assert "backup jumped" in notices(found)[0]


def test_a_frequency_that_stands_still_is_not_frozen_by_the_witness_of_a_meter_that_has_jumped() -> None:
    """The main meter has jumped and goes on by its own error of a millihertz: the frequency does not move."""

    def main(t: int) -> Reading:
        return Reading(round((noise(t) if t < 50 else 50.15) + 0.001 * (t % 2), 3), 1000.0 + t)

    def still(t: int) -> Reading:
        return Reading(noise(min(t, 50)), 7.0 + t)

    _, found = play(main, still, 100)
    assert len(notices(found)) == 2, "main jumped, backup is used"
    assert "main jumped" in notices(found)[0]
    assert found[-1].hz == pytest.approx(noise(50), abs=0.002)


def test_a_meter_that_freezes_while_the_other_is_ill_is_found_by_the_others_moves() -> None:
    def main(t: int) -> Reading:
        return Reading(noise(t) + (0.15 if t >= 50 else 0.0), 1000.0 + t)

    _, found = play(main, lambda t: Reading(noise(min(t, 80)), 7.0 + t), 120)
    assert "backup is frozen" in " ".join(notices(found))


def test_a_real_disturbance_that_both_see_is_followed_at_once() -> None:
    def both(t: int) -> Reading:
        return Reading(noise(t) - min(0.3 * max(0, t - 49), 0.6), float(t))

    _, found = play(both, both)
    assert notices(found) == []
    assert found[50].hz == both(50).hz


def test_a_frozen_backup_does_not_make_a_liar_of_the_main_meter_for_long() -> None:
    """The backup freezes, then the frequency falls: the main meter is right, and is used in the end."""

    def one(t: int) -> Reading:
        return Reading(noise(t) - (0.02 * (t - 100) if 100 <= t < 110 else 0.2 if t >= 110 else 0.0), float(t))

    def two(t: int) -> Reading:
        return Reading(noise(min(t, 98)), float(t))

    _, found = play(one, two)
    assert found[-1].meter == 0
    assert all(selected.meter == 0 for selected in found[115:])


def test_a_drifting_meter_is_found_when_it_is_out_of_tolerance() -> None:
    _, found = play(
        lambda t: Reading(noise(t) + max(0, t - 50) * 0.002, float(t)), lambda t: Reading(noise(t), float(t))
    )
    change = next(t for t, selected in enumerate(found) if selected.meter == 1)
    assert 58 <= change <= 75
    assert max(steps(found)) < 0.012


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_is_noted_and_changes_nothing(jump_s: float) -> None:
    _, found = play(lambda t: Reading(noise(t), 1000.0 + t + (jump_s if t >= 50 else 0)), backup)
    assert [selected.hz for selected in found] == [noise(t) for t in range(200)]
    assert notices(found) == [f"the clock of main jumped by {jump_s:+.0f} s: its frequency is used as before"]


def test_when_both_are_lost_the_last_value_is_held_for_a_moment_and_then_there_is_none() -> None:
    _, found = play(lambda t: None if t >= 50 else main_meter(t), lambda t: None if t >= 50 else backup(t), seconds=60)
    assert [selected.hz for selected in found[49:53]] == [noise(49)] * 3 + [None]
    assert notices(found) == ["frequency meter main does not answer", "frequency meter backup does not answer"]


def test_a_difference_that_is_too_large_to_be_faded_is_acted_on_at_once() -> None:
    """The main meter was frozen in a disturbance: beyond 50 mHz what it missed counts at once."""

    def truth(t: int) -> float:
        return noise(t) - (0.4 if t >= 51 else 0.0)

    _, found = play(
        lambda t: Reading(noise(50), 50.0) if t >= 50 else main_meter(t), lambda t: Reading(truth(t), float(t))
    )
    change = next(t for t, selected in enumerate(found) if selected.meter == 1)
    assert found[change].hz == pytest.approx(truth(change) + RULES.bound_hz)
    assert found[change + 5].hz == pytest.approx(truth(change + 5))


def test_one_meter_alone_is_used_as_long_as_it_is_there() -> None:
    selection = MeterSelection(["main"])
    assert selection.other is None
    assert not selection.doubts(0, None)
    assert selection.second(0, {0: Reading(49.98, 0.0)}).hz == 49.98
    assert selection.second(1, {0: None}).hz == 49.98
    assert selection.second(2, {0: None}).hz == 49.98
    assert selection.second(3, {0: None}).hz is None


def test_a_value_that_comes_twice_is_no_reason_to_read_the_other_meter_and_one_that_stays_is() -> None:
    selection = MeterSelection(["main", "backup"])
    selection.second(0, {0: Reading(50.0, 0.0), 1: Reading(50.0, 0.0)})
    assert not selection.doubts(1, Reading(50.0, 1.0))
    selection.second(1, {0: Reading(50.0, 1.0)})
    assert selection.doubts(2, Reading(50.0, 2.0))


@pytest.mark.parametrize(
    ("hz", "other_hz", "found"),
    [(49.99, None, 49.99), (49.9, None, None), (49.9, 49.91, 49.9), (49.9, 50.0, None), (10.0, 10.0, None)],
)
def test_between_two_seconds_a_large_change_needs_the_other_meter_s_word(
    hz: float, other_hz: float | None, found: float | None
) -> None:
    selection = MeterSelection(["main", "backup"])
    selection.second(0, {0: Reading(50.0, 0.0), 1: Reading(50.0, 0.0)})
    assert selection.between(0.3, hz, 50.0, other_hz) == found


def test_between_two_seconds_nothing_is_believed_while_the_meters_disagree() -> None:
    selection = MeterSelection(["main", "backup"])
    selection.second(0, {0: Reading(50.0, 0.0), 1: Reading(50.1, 0.0)})
    assert selection.between(0.3, 49.99, 50.0) is None
