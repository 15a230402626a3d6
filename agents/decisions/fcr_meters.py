"""Which of two frequency meters is believed each second, and how the change from one to the other makes no step.

D5.1 3.7: "in the event of a meter error, disconnection, or something similar, an alternative method is necessary when
using a central frequency meter. This could be a backup frequency meter". A meter is ill when it is lost, talks
nonsense, is frozen, has jumped, or disagrees with the other one by more than both accuracies together (10 mHz each,
technical requirements 3.12). Which one is wrong is found by continuity: the one that left what both last said alike.

A meter's own clock is only watched for standing still: that it jumps says nothing of its frequency, and is noted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocols.units import NOMINAL_HZ


@dataclass(frozen=True, slots=True)
class MeterRules:
    """When a meter is not believed. Frequencies in Hz, times in s; all but the accuracy are this project's choice.

    `still_s`: a value that stands still for so long is compared with the other meter's; one that comes twice is common.

    `jump_hz_per_s`: faster than an area's frequency can go (the reference incident at the least inertia makes less than
    0.4). `bound_hz`: so much of a difference is faded out at a changeover, over `fade_s`; what is beyond it must be a
    disturbance that the ill meter missed, and is acted on at once.
    """

    accuracy_hz: float = 0.010
    frozen_after_s: float = 5.0
    still_s: float = 2.0
    moved_hz: float = 0.010
    moves: int = 3
    disagree_for_s: float = 3.0
    jump_hz_per_s: float = 0.5
    plausible_hz: tuple[float, float] = (45.0, 55.0)
    clock_jump_s: float = 2.0
    fade_s: float = 5.0
    bound_hz: float = 0.05
    well_for_s: float = 60.0
    alone_well_for_s: float = 5.0
    hold_s: float = 2.0
    other_every_s: float = 5.0

    @property
    def tolerance_hz(self) -> float:
        """Two meters that are right differ by no more."""
        return 2 * self.accuracy_hz


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter said: Hz, and its own clock in seconds of any epoch."""

    hz: float
    clock_s: float


@dataclass(frozen=True, slots=True)
class Selected:
    """The frequency to act on, None when no meter can be believed any more; which meter it is of (None: none, the last
    value is held); what is new, a line each."""

    hz: float | None
    meter: int | None
    notices: tuple[str, ...] = ()


class _Meter:
    """One meter as it was seen so far; times in s by the controller's own clock."""

    __slots__ = (
        "agreed_hz",
        "clock_s",
        "clock_since",
        "hz",
        "ill",
        "ill_since",
        "name",
        "others_from_hz",
        "others_moves",
        "others_travel",
        "present",
        "read_at",
        "skew_s",
        "step_hz",
        "value_since",
        "well_since",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.present = False
        self.hz = self.clock_s = math.nan
        self.step_hz = 0.0
        self.read_at = self.clock_since = self.value_since = -math.inf
        self.skew_s: float | None = None
        self.others_moves, self.others_travel = 0, 0.0
        self.others_from_hz: float | None = None
        self.agreed_hz: float | None = None
        self.ill: str | None = None
        self.ill_since = -math.inf
        self.well_since: float | None = None


class MeterSelection:
    """A main meter and its backups (only the first backup is used), judged second by second.

    `second` is to be called once for each second that is acted on, with the readings of the meters that `to_read`
    names, and of the other one as well where `doubts` says so.
    """

    def __init__(self, names: Sequence[str], rules: MeterRules | None = None) -> None:
        self.rules = rules or MeterRules()
        self.meters = [_Meter(name) for name in names[:2]]
        if not self.meters:
            raise ValueError("no frequency meter: give a main one and a backup")
        self.in_use: int | None = 0
        self._last_hz: float | None = None
        self._last_at = -math.inf
        self._offset_hz = 0.0
        self._offset_at = -math.inf
        self._agreed_at: float | None = None
        self._apart_since: float | None = None
        self._other_read_at = -math.inf

    # ---- what is to be read

    @property
    def other(self) -> int | None:
        """The meter that is not in use, None where there is but one."""
        return None if len(self.meters) < 2 else 1 - (self.in_use or 0)

    def doubts(self, at_s: float, reading: Reading | None) -> bool:
        """Whether the other meter should be read in this second: the one in use is silent, stands still, or has moved
        by more than its accuracy; or the other was not looked at for a while."""
        if len(self.meters) < 2:
            return False
        meter = self.meters[self.in_use or 0]
        return (
            self.in_use is None
            or reading is None
            or meter.ill is not None
            or (reading.hz == meter.hz and at_s - meter.value_since >= self.rules.still_s)
            or reading.clock_s == meter.clock_s
            or not abs(reading.hz - meter.hz) <= self.rules.accuracy_hz
            or self._apart_since is not None
            or at_s - self._other_read_at >= self.rules.other_every_s
        )

    def between(self, at_s: float, hz: float, last_hz: float, other_hz: float | None = None) -> float | None:
        """The frequency to act on between two seconds, when the meter in use says `hz` and `last_hz` was acted on; None
        where the next second must decide.

        That is so while there is any doubt, and for a change beyond what two meters may differ by unless the other one
        (`other_hz`) says the same: a meter that jumps moves no charger.
        """
        rules = self.rules
        if self.in_use is None or self.meters[self.in_use].ill is not None or self._apart_since is not None:
            return None
        seen = hz + self._faded(at_s)
        if not rules.plausible_hz[0] <= hz <= rules.plausible_hz[1]:
            return None
        if self.needs_other(hz, last_hz) and not (other_hz is not None and abs(other_hz - hz) <= rules.tolerance_hz):
            return None
        return seen

    def needs_other(self, hz: float, last_hz: float) -> bool:
        """Whether a change between two seconds is so large that the other meter must have seen it too."""
        return abs(hz - last_hz) > self.rules.tolerance_hz

    # ---- one second

    def second(self, at_s: float, readings: Mapping[int, Reading | None]) -> Selected:
        """The frequency at `at_s` (s, rising). `readings` by meter: None for one that did not answer; a meter that was
        not asked is left out."""
        notices: list[str] = []
        fresh = [
            i for i, meter in enumerate(self.meters) if i in readings and self._take(at_s, meter, readings[i], notices)
        ]
        if self.other in readings:
            self._other_read_at = at_s
        self._watch_stillness(fresh)
        self._judge_each(at_s, notices)
        if len(fresh) == 2:
            self._compare(at_s, notices)
        self._recover(at_s, readings, notices)
        return self._choose(at_s, notices)

    def _take(self, at_s: float, meter: _Meter, reading: Reading | None, notices: list[str]) -> bool:
        low, high = self.rules.plausible_hz
        if reading is None or not low <= reading.hz <= high:
            meter.present = False
            self._fall_ill(at_s, meter, "does not answer" if reading is None else f"says {reading.hz:g} Hz", notices)
            return False
        meter.step_hz = 0.0 if math.isnan(meter.hz) else abs(reading.hz - meter.hz)
        if reading.hz != meter.hz:
            meter.value_since = at_s
            meter.others_moves, meter.others_travel, meter.others_from_hz = 0, 0.0, None
        if reading.clock_s != meter.clock_s:
            meter.clock_since = at_s
            skew = reading.clock_s - at_s
            if meter.skew_s is not None and abs(skew - meter.skew_s) > self.rules.clock_jump_s:
                jump = f"the clock of {meter.name} jumped by {skew - meter.skew_s:+.0f} s"
                notices.append(f"{jump}: its frequency is used as before")
            meter.skew_s = skew
        meter.hz, meter.clock_s, meter.read_at, meter.present = reading.hz, reading.clock_s, at_s, True
        return True

    def _watch_stillness(self, fresh: Sequence[int]) -> None:
        """Counts how often one meter moved while the other's value stood still: a frequency that is held by a test
        bench is no frozen meter, and one that moved once may itself have jumped. Of one that is ill only its moves say
        anything, not how far it is from the other."""
        if len(fresh) < 2:
            return
        for i in fresh:
            meter, other = self.meters[i], self.meters[1 - i]
            if meter.others_from_hz is None:
                meter.others_from_hz = meter.hz if other.ill is None else other.hz
            if meter.value_since < meter.read_at and other.step_hz > 0:
                meter.others_moves += 1
                meter.others_travel = max(meter.others_travel, abs(other.hz - meter.others_from_hz))

    def _frozen(self, at_s: float, meter: _Meter) -> bool:
        rules = self.rules
        if at_s - meter.clock_since >= rules.frozen_after_s and meter.read_at > meter.clock_since:
            return True
        return (
            at_s - meter.value_since >= rules.frozen_after_s
            and meter.others_moves >= rules.moves
            and meter.others_travel > rules.moved_hz
        )

    def _judge_each(self, at_s: float, notices: list[str]) -> None:
        for i, meter in enumerate(self.meters):
            if meter.ill is None and meter.present and self._frozen(at_s, meter):
                self._fall_ill(at_s, meter, f"is frozen at {meter.hz:.3f} Hz", notices)
                self._acquit(1 - i, at_s)

    def _acquit(self, i: int, at_s: float) -> None:
        """What was held against a meter by a witness that is now found frozen does not count."""
        if i >= len(self.meters):
            return
        meter = self.meters[i]
        recent = at_s - meter.ill_since <= 2 * self.rules.well_for_s
        if meter.ill is not None and meter.ill.startswith(_APART) and recent:
            meter.ill, meter.well_since = None, None

    def _compare(self, at_s: float, notices: list[str]) -> None:
        """Where both say something, and not the same: which of them is wrong?"""
        one, two = self.meters
        rules = self.rules
        if not abs(one.hz - two.hz) > rules.tolerance_hz:
            one.agreed_hz, two.agreed_hz = one.hz, two.hz
            self._agreed_at, self._apart_since = at_s, None
            return
        if one.ill is not None or two.ill is not None:
            self._apart_since = None
            return
        if self._apart_since is None:
            self._apart_since = at_s
        departures = [
            abs(meter.hz - (NOMINAL_HZ if meter.agreed_hz is None else meter.agreed_hz)) for meter in self.meters
        ]
        wrong = 0 if departures[0] > departures[1] else 1
        suspect, witness = self.meters[wrong], self.meters[1 - wrong]
        sudden = (
            self._agreed_at is not None
            and departures[wrong] > rules.tolerance_hz / 2
            and departures[1 - wrong] <= rules.tolerance_hz / 2
        )
        # A witness that has not moved at all may be frozen itself: only an impossible step is judged by it at once.
        awake = self._agreed_at is not None and witness.value_since > self._agreed_at
        if sudden and (awake or departures[wrong] > rules.jump_hz_per_s):
            words = f"jumped to {suspect.hz:.3f} Hz while {witness.name} says {witness.hz:.3f} Hz"
        elif at_s - self._apart_since >= rules.disagree_for_s + (0.0 if awake else rules.frozen_after_s):
            words = f"disagrees at {suspect.hz:.3f} Hz with {witness.name} at {witness.hz:.3f} Hz"
        else:
            return
        self._fall_ill(at_s, suspect, words, notices)
        self._apart_since = None

    def _fall_ill(self, at_s: float, meter: _Meter, words: str, notices: list[str]) -> None:
        meter.well_since = None
        if meter.ill is None:
            meter.ill, meter.ill_since = words, at_s
            notices.append(f"frequency meter {meter.name} {words}")
            for other in self.meters:
                other.others_moves, other.others_travel, other.others_from_hz = 0, 0.0, None

    def _recover(self, at_s: float, readings: Mapping[int, Reading | None], notices: list[str]) -> None:
        for i, meter in enumerate(self.meters):
            if meter.ill is None or i not in readings:
                continue
            other = self.meters[1 - i] if len(self.meters) == 2 else None
            alone = other is None or other.ill is not None
            apart = not alone and other is not None and abs(meter.hz - other.hz) > self.rules.tolerance_hz
            if not meter.present or self._frozen(at_s, meter) or apart:
                meter.well_since = None
                continue
            if meter.well_since is None:
                meter.well_since = at_s
            if at_s - meter.well_since >= (self.rules.alone_well_for_s if alone else self.rules.well_for_s):
                meter.ill, meter.well_since = None, None
                notices.append(f"frequency meter {meter.name} is well again")

    def _choose(self, at_s: float, notices: list[str]) -> Selected:
        """The main meter where it is well, else the backup, else for a moment the last value."""
        chosen = next((i for i, meter in enumerate(self.meters) if meter.ill is None and meter.present), None)
        if chosen is None:
            self.in_use = None
            held = self._last_hz is not None and at_s - self._last_at <= self.rules.hold_s
            return Selected(self._last_hz if held else None, None, tuple(notices))
        meter = self.meters[chosen]
        if chosen != self.in_use:
            if self._last_hz is not None:
                difference = self._last_hz - meter.hz
                bound = self.rules.bound_hz
                self._offset_hz, self._offset_at = min(max(difference, -bound), bound), at_s
            if self.in_use is not None or self._last_hz is not None:
                notices.append(f"{meter.name} is used from now on")
            self.in_use = chosen
        hz = meter.hz + self._faded(at_s)
        self._last_hz, self._last_at = hz, at_s
        return Selected(hz, chosen, tuple(notices))

    def _faded(self, at_s: float) -> float:
        """What is left of the difference at the last changeover, Hz."""
        if self._offset_hz == 0.0:
            return 0.0
        left = 1.0 - (at_s - self._offset_at) / self.rules.fade_s
        if left <= 0.0:
            self._offset_hz = 0.0
            return 0.0
        return self._offset_hz * left


_APART = ("jumped", "disagrees")
