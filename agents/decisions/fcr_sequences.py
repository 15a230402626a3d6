"""The tests of each product, step by step: what is applied, for how long, how often it is recorded.

Sequences: Nordic technical requirements tables 3, 4, 6, 12 and 13; test program 3, 4, 5 and 8. Dynamic parts are
recorded at 5 Hz for FCR-N and 10 Hz for FCR-D (section 4.3). Where frequency and power hardly move they are recorded
each second or slower: the alternative of 4.3, thresholds of 5 mHz and 10 kW, would log no more there.

The signal is applied by outside equipment at the inputs of meters and chargers, so the dynamics of the frequency
measurement (4.4) are in what is recorded and no F_FME is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agents.decisions.fcr_energy import Reservoir
from agents.decisions.fcr_products import RULES, FcrRules, activation
from protocols.exchanges.frequency_services import MOST_SAMPLES, HoldUntil, SignalPiece, TestStep
from protocols.exchanges.vocabulary import FcrProduct

STEP, RAMP, SINE, ENERGY = "step", "ramp", "sine", "energy"
"""The tests' names in step ids: `<application>/<test>/<number>`."""

_LOSSES = 1.25
"""Bounds of holds allow for losses and for a response that is a little small."""
_NEM_S = 360.0
"""NEM that is on needs 5 minutes to fade in, and is to be fully on for one (test program 8.1)."""
_OFF_S = 60.0
"""For how long both are seen to be off, well above what a slowly recorded step can miss."""
_RECOVERY_S = 7200
"""FCR-D must be restored within 120 minutes (3.5.1)."""


@dataclass(frozen=True)
class Entity:
    """What is tested. `energy_kwh` and `baseline_kw` as in the application; `limited`: its reservoir is (LER)."""

    application_id: str
    capacity_kw: float
    energy_kwh: float
    baseline_kw: float
    limited: bool


def steps(
    rules: FcrRules,
    application_id: str,
    *,
    capacity_kw: float,
    energy_kwh: float,
    baseline_kw: float,
    limited: bool = True,
) -> tuple[TestStep, ...]:
    """The whole test of a product, in the order in which it is to be done.

    Each signal begins where the one before has ended; the time that passes between two steps prolongs a hold, which
    the rules allow. Raises ValueError where a limited reservoir has no energy or capacity.
    """
    entity = Entity(application_id, capacity_kw, energy_kwh, baseline_kw, limited)
    return tuple(_SEQUENCES[rules.product](rules, entity))


def kind(step_id: str) -> tuple[str, int]:
    """The test and the number in it that a step id names. Raises ValueError for an id that was not made here."""
    _, test, number = step_id.rsplit("/", 2)
    return test, int(number)


def length_s(signal: Sequence[SignalPiece]) -> float:
    """How long a signal lasts."""
    return sum(piece.duration_s for piece in signal)


def frequency_at(signal: Sequence[SignalPiece], t_s: float) -> float:
    """The applied frequency `t_s` after the signal's start, Hz; before it the first value holds, after it the last."""
    if not signal:
        raise ValueError("a signal has at least one piece")
    t_s = max(t_s, 0.0)
    for piece in signal:
        if t_s < piece.duration_s:
            return piece_hz(piece, t_s)
        t_s -= piece.duration_s
    return piece_hz(signal[-1], signal[-1].duration_s)


def piece_hz(piece: SignalPiece, passed_s: float) -> float:
    """The frequency of a piece of a signal, `passed_s` seconds after its start; a sine is about `start_hz`."""
    if piece.period_s is not None:
        return piece.start_hz - piece.amplitude_hz * math.sin(2 * math.pi * passed_s / piece.period_s)
    return piece.start_hz + (piece.end_hz - piece.start_hz) * passed_s / piece.duration_s


def _hold(hz: float, duration_s: float) -> SignalPiece:
    return SignalPiece(duration_s=duration_s, start_hz=hz, end_hz=hz)


def _ramp(from_hz: float, to_hz: float, speed: float, whole_s: float) -> tuple[SignalPiece, ...]:
    """A ramp of `speed` Hz/s and a hold, together `whole_s`."""
    ramp_s = round(abs(to_hz - from_hz) / speed, 6)
    return SignalPiece(duration_s=ramp_s, start_hz=from_hz, end_hz=to_hz), _hold(to_hz, whole_s - ramp_s)


def _make(
    entity: Entity,
    test: str,
    number: int,
    purpose: str,
    signal: Sequence[SignalPiece],
    sample_s: float,
    *,
    record_from_s: float = 0.0,
    until: HoldUntil | None = None,
    hold_s: float = 0.0,
    most_s: float = 0.0,
) -> TestStep:
    return TestStep(
        application_id=entity.application_id,
        step_id=f"{entity.application_id}/{test}/{number}",
        test=purpose,
        signal=tuple(signal),
        sample_s=sample_s,
        record_from_s=record_from_s,
        baseline_kw=entity.baseline_kw,
        hold_until=until,
        hold_s=hold_s,
        most_s=most_s,
    )


def _nordic_n(rules: FcrRules, entity: Entity) -> Iterator[TestStep]:
    """Table 3 (steps 1 and 2 last 15 minutes where the reservoir is not limited), table 6, table 12."""
    settle = (_hold(50.0, 30.0), _hold(49.95, 30.0), _hold(50.0, 300.0))
    yield _make(entity, STEP, 0, "Step sequence, pre-step and step 0", settle, 0.2)
    for number, hz in ((1, 49.9), (2, 50.1), (3, 50.0)):
        yield _make(entity, STEP, number, f"Step sequence, step {number}", (_hold(hz, 300.0),), 0.2)
        if not entity.limited and number < 3:
            yield _make(entity, STEP, 10 + number, f"Endurance of step {number}", (_hold(hz, 600.0),), 1.0)
    yield from _sines(rules, entity)
    if entity.limited:
        yield from _energy_n(rules, entity)


def _nordic_d(rules: FcrRules, entity: Entity) -> Iterator[TestStep]:
    """Tables 4, 6 and 13."""
    mirror = 1.0 if rules.up else -1.0

    def at(hz: float) -> float:
        return round(50.0 + mirror * (hz - 50.0), 6)

    before = (*_ramps(entity, at), *_sines(rules, entity))
    yield from before
    if entity.limited:
        yield from _energy_d(rules, entity, _left_minutes(rules, entity, before), at)


def _ramps(entity: Entity, at: Callable[[float], float]) -> Iterator[TestStep]:
    """Table 4, ramps 1 to 6 (7 and 8 only test FCR-D together with FCR-N).

    Ramps follow the table's speeds; the times at which they end are rounded in it.
    """
    first = (_hold(at(49.9), 30.0), *_ramp(at(49.9), at(49.45), 0.14, 4.9), *_ramp(at(49.45), at(49.9), 0.09, 55.1))
    yield _make(entity, RAMP, 1, "Fast ramp test, ramps 1 and 2", first, 0.1)
    yield _make(entity, RAMP, 3, "Fast ramp test, ramp 3", _ramp(at(49.9), at(49.5), 0.24, 60.0), 0.1)
    held_s = 240.0 if entity.limited else 840.0
    yield _make(entity, RAMP, 13, "Fast ramp test, held after ramp 3", (_hold(at(49.5), held_s),), 1.0)
    yield _make(entity, RAMP, 4, "Fast ramp test, ramp 4", _ramp(at(49.5), at(49.9), 0.24, 60.0), 0.1)
    yield _make(entity, RAMP, 14, "Fast ramp test, held after ramp 4", (_hold(at(49.9), 230.0),), 1.0)
    fifth = (_hold(at(49.9), 10.0), *_ramp(at(49.9), at(49.0), 0.24, 60.0))
    yield _make(entity, RAMP, 5, "Fast ramp test, ramp 5", fifth, 0.1)
    yield _make(entity, RAMP, 6, "Fast ramp test, ramp 6", _ramp(at(49.0), at(50.0), 0.24, 60.0), 0.1)
    yield _make(entity, RAMP, 16, "Fast ramp test, held after ramp 6", (_hold(at(50.0), 240.0),), 1.0)


def _sines(rules: FcrRules, entity: Entity) -> Iterator[TestStep]:
    """Table 6, one step for each period; what comes before the stationary periods is not recorded.

    FCR-D at 60 s and longer is recorded at 5 Hz: in 0.2 s such a sine moves less than half of the 5 mHz of 4.3.
    """
    assert rules.sines is not None
    fine_s = 0.2 if rules.band_hz < 0.2 else 0.1
    for number, (period_s, stationary, total) in enumerate(rules.sines.periods, 1):
        centre = rules.sines.centre_hz
        sine = SignalPiece(
            duration_s=total * period_s,
            start_hz=centre,
            end_hz=centre,
            amplitude_hz=rules.sines.amplitude_hz,
            period_s=period_s,
        )
        yield _make(
            entity,
            SINE,
            number,
            f"Sine of {period_s:g} s about {centre:g} Hz",
            (sine,),
            fine_s if period_s < 60 else 0.2,
            record_from_s=(total - stationary) * period_s,
        )


def _held(
    entity: Entity,
    number: int,
    purpose: str,
    hz: float,
    minutes: float,
    until: HoldUntil | None = None,
    *,
    hold_s: float = 0.0,
    most_s: float = 0.0,
) -> TestStep:
    """A step of the energy management test, recorded as often as fits into a record, at most each second."""
    most_s = float(math.ceil(min(most_s, 36_000.0)))
    sample_s = float(max(1, math.ceil((60 * minutes + most_s) / MOST_SAMPLES)))
    signal = (_hold(hz, 60 * minutes),)
    return _make(
        entity, ENERGY, number, f"Energy management, {purpose}", signal, sample_s,
        until=until, hold_s=hold_s, most_s=most_s,
    )  # fmt: skip


def _energy_n(rules: FcrRules, entity: Entity) -> Iterator[TestStep]:
    """Table 12 with the least durations of test program 8.1. Step 0 first lets NEM go off if it is on.

    How long a hold can last follows from the reservoir: at 0.9 of the capacity from one end to the other, at the power
    of NEM back to where it goes off; the baseline can work against each. Holds go by whether NEM is allowed (equation
    14), as records do.
    """
    limits = rules.thresholds
    assert limits is not None
    assert rules.nem_share is not None
    whole_s = _seconds(entity, 3600 * entity.energy_kwh, 0.9 * entity.capacity_kw)
    aem_s = _seconds(entity, 60 * limits.nem_enable * entity.capacity_kw, entity.capacity_kw)
    back_s = _seconds(entity, 60 * limits.nem_disable * entity.capacity_kw, rules.nem_share * entity.capacity_kw)
    rows: tuple[tuple[float, float, HoldUntil | None, float, float], ...] = (
        (50.0, 2.0, HoldUntil.BOTH_OFF, _OFF_S, back_s),
        (50.09, 28.0, HoldUntil.NEM_ON, _NEM_S, whole_s + _NEM_S),
        (50.11, 6.0, None, 0.0, 0.0),
        (50.09, 2.5, None, 0.0, 0.0),
        (50.11, 7.5, HoldUntil.AEM_ON, 300.0, aem_s + 300.0),
        (50.09, 10.0, None, 0.0, 0.0),
        (49.91, 60.0, HoldUntil.NEM_ON_AGAIN, _NEM_S, whole_s + _NEM_S),
        (49.89, 5.0, None, 0.0, 0.0),
        (49.91, 2.5, None, 0.0, 0.0),
        (49.89, 10.0, HoldUntil.AEM_ON, 300.0, aem_s + 300.0),
        (49.91, 10.0, None, 0.0, 0.0),
        (50.0, 30.0, HoldUntil.BOTH_OFF, _OFF_S, back_s),
    )
    for number, (hz, minutes, until, hold_s, most_s) in enumerate(rows):
        yield _held(entity, number, f"step {number}", hz, minutes, until, hold_s=hold_s, most_s=most_s)


def _energy_d(rules: FcrRules, entity: Entity, left: float, at: Callable[[float], float]) -> Iterator[TestStep]:
    """Table 13 with the least durations of test program 8.2 and 8.3. Step 0 first lets NEM go off if it is on.

    `left`: minutes of full activation that are left before it. Step 1 lasts until NEM would turn on in the normal band
    (20 minutes left), with 5 minutes to spare on each side.
    """
    limits = rules.thresholds
    assert limits is not None
    first = math.ceil(max(10.0, max(left, limits.nem_enable) - limits.nem_enable + 5.0))
    aem_s = _seconds(entity, 60 * limits.nem_enable * entity.capacity_kw, entity.capacity_kw)
    rows: tuple[tuple[float, float, HoldUntil | None, float, float], ...] = (
        (49.91, 0.5, HoldUntil.BOTH_OFF, _OFF_S, _RECOVERY_S),
        (49.5, first, None, 0.0, 0.0),
        (49.91, 2.5, None, 0.0, 0.0),
        (49.5, 15.0, HoldUntil.AEM_ON, 300.0, aem_s + 300.0),
        (49.91, 15.0, HoldUntil.BOTH_OFF, _OFF_S, _RECOVERY_S),
    )
    for number, (hz, minutes, until, hold_s, most_s) in enumerate(rows):
        yield _held(entity, number, f"step {number}", at(hz), minutes, until, hold_s=hold_s, most_s=most_s)


def _seconds(entity: Entity, energy_kws: float, power_kw: float) -> float:
    """How long `energy_kws` can take at `power_kw` with the baseline against it, losses allowed for."""
    if entity.energy_kwh <= 0 or entity.capacity_kw <= 0:
        raise ValueError("a limited reservoir needs energy_kwh and capacity_kw above 0")
    return _LOSSES * energy_kws / max(power_kw - abs(entity.baseline_kw), 0.5 * power_kw)


def _left_minutes(rules: FcrRules, entity: Entity, before: Sequence[TestStep]) -> float:
    """Minutes of full activation that `before` leaves of a reservoir that was full (empty, for downwards) at first.

    Section 3.5: asymmetric products should start there.
    """
    reservoir = Reservoir(entity.energy_kwh, entity.capacity_kw)
    full = left = reservoir.minutes(1.0)
    against = entity.baseline_kw / entity.capacity_kw * (1.0 if rules.up else -1.0)
    for step in before:
        for second in range(round(length_s(step.signal))):
            used = abs(activation(rules, frequency_at(step.signal, second + 0.5))) - against
            left = min(max(left - used / 60, 0.0), full)
    return left


def _continental(rules: FcrRules, entity: Entity) -> Iterator[TestStep]:
    """Steps of the full deviation both ways, each as long as SO GL 156(9) asks for of a limited reservoir.

    The Regulation leaves the test to the TSOs (article 155); this sequence is the project's own.
    """
    whole_s = 60 * rules.endurance_minutes
    up, down = (round(rules.zero_hz - sign * rules.band_hz, 6) for sign in (1, -1))
    signal = (_hold(rules.zero_hz, 60.0), _hold(up, whole_s))
    yield _make(entity, STEP, 1, "Full activation upwards", signal, 1.0)
    signal = (_hold(rules.zero_hz, 300.0), _hold(down, whole_s))
    yield _make(entity, STEP, 2, "Full activation downwards", signal, 1.0)
    yield _make(entity, STEP, 3, "Back to no activation", (_hold(rules.zero_hz, 300.0),), 1.0)


_SEQUENCES: Mapping[FcrProduct, Callable[[FcrRules, Entity], Iterator[TestStep]]] = {
    FcrProduct.FCR_N: _nordic_n,
    FcrProduct.FCR_D_UP: _nordic_d,
    FcrProduct.FCR_D_DOWN: _nordic_d,
    FcrProduct.FCR_CE: _continental,
}
assert set(_SEQUENCES) == set(RULES)
