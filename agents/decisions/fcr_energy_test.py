"""Requirement 12 of limited reservoirs: energy management is on and off as tables 12 and 13 say, the response stays.

NEM counts as on where NEM_allowed (equation 14) is not 0: its power fades in and out over 5 minutes after that, so
table 12's "on" after 2.5 minutes could not mean the whole of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from agents.decisions.fcr_products import FcrRules, activation
from agents.decisions.fcr_responses import Outcome, Response, Trial, line
from agents.decisions.fcr_sequences import ENERGY, kind
from protocols.exchanges.frequency_services import Finding, HoldUntil, Span
from protocols.exchanges.vocabulary import FcrProduct

_GRACE_S = 10.0
"""For what is measured each second, and goes by messages, to follow a step."""
_SETTLED_S = 60.0
_FADE_S = 300.0
_FULLY_S = 30.0
"""Of the minute for which NEM is fully on at the end of a hold."""


class Seen(Enum):
    """What a table says of NEM or AEM in a step."""

    OFF = auto()
    """Throughout."""
    ON = auto()
    """For at least half of the step, and soon after it begins."""
    COMES = auto()
    """Off at first, on at the end."""
    GOES = auto()
    """Off at the end, whatever it was before."""
    OFF_AND_ON = auto()
    """Off for a time, on again at the end."""
    ON_AND_OFF = auto()
    """On soon after the step begins, off at the end."""


_TABLE_12 = {
    0: (Seen.GOES, Seen.GOES),
    1: (Seen.COMES, Seen.OFF),
    2: (Seen.OFF, Seen.OFF),
    3: (Seen.ON, Seen.OFF),
    4: (Seen.OFF, Seen.COMES),
    5: (Seen.ON, Seen.ON),
    6: (Seen.OFF_AND_ON, Seen.GOES),
    7: (Seen.OFF, Seen.OFF),
    8: (Seen.ON, Seen.OFF),
    9: (Seen.OFF, Seen.COMES),
    10: (Seen.ON, Seen.ON),
    11: (Seen.GOES, Seen.GOES),
}
_TABLE_13 = {
    0: (Seen.GOES, Seen.GOES),
    1: (Seen.OFF, Seen.OFF),
    2: (Seen.ON, Seen.OFF),
    3: (Seen.OFF, Seen.COMES),
    4: (Seen.ON_AND_OFF, Seen.GOES),
}
TABLES: Mapping[FcrProduct, Mapping[int, tuple[Seen, Seen]]] = {
    FcrProduct.FCR_N: _TABLE_12,
    FcrProduct.FCR_D_UP: _TABLE_13,
    FcrProduct.FCR_D_DOWN: _TABLE_13,
}
"""(NEM, AEM) of each step; step 0 is the stabilisation, before which NEM may still have to go off."""


def energy_management(trial: Trial) -> Outcome:
    """Requirement 12 over the whole energy management test. Raises LookupError where a step is missing."""
    if not trial.limited:
        return Outcome()
    numbers = TABLES[trial.rules.product]
    findings: list[Finding] = []
    for number in numbers:
        findings += energy_step(trial.rules, trial.capacity_kw, trial.responses[ENERGY, number])
    return Outcome(tuple(findings))


def energy_step(rules: FcrRules, capacity_kw: float, response: Response) -> tuple[Finding, ...]:
    """What one step of the energy management test shows."""
    _, number = kind(response.step.step_id)
    nem, aem = TABLES[rules.product][number]
    record, hold = response.record, response.step.hold_until
    nem_held_s = response.step.hold_s if hold in (HoldUntil.NEM_ON, HoldUntil.NEM_ON_AGAIN) else 0.0
    aem_held_s = response.step.hold_s if hold is HoldUntil.AEM_ON else 0.0
    findings = [
        *_seen(rules, response, "NEM", "3.5.1", nem, record.nem, nem_held_s),
        *_seen(rules, response, "AEM", "3.5.2", aem, record.aem, aem_held_s),
    ]
    if aem is not Seen.ON and number > 0:
        findings += _stays(rules, capacity_kw, response)
    findings += _ends(rules, capacity_kw, response)
    findings.append(_within(rules, capacity_kw, response))
    return tuple(findings)


def _seen(
    rules: FcrRules, response: Response, what: str, clause: str, seen: Seen, spans: Sequence[Span], held_s: float
) -> list[Finding]:
    """What is asked for as seconds on: a bound from above where it must be off, from below where it must be on."""
    lasted = response.lasted_s
    slack = _GRACE_S + response.record.sample_s
    last_s = _on_at_end(spans, lasted, slack)
    name = f"requirement 12: {what} in {response.step.test}"

    def seconds(text: str, measured: float, low: float | None = None, high: float | None = None) -> Finding:
        return line(rules, f"{clause}, requirement 12", f"{name} {text}", measured, "s", low=low, high=high)

    off = seconds("is off, seconds on", _on(spans, slack, lasted), high=0.0)
    early = seconds(f"is on within {slack:g} s", _first_on(spans, lasted), high=slack)
    on_last = seconds("is on at the end, seconds", last_s, low=max(held_s - slack, response.record.sample_s))
    off_last = seconds("is off at the end, seconds on", last_s, high=0.0)
    off_once = seconds("is off for a time, seconds off", lasted - _on(spans, 0.0, lasted), low=response.record.sample_s)
    match seen:
        case Seen.OFF:
            return [off]
        case Seen.ON:
            return [early, seconds("is on, seconds", _on(spans, 0.0, lasted), low=lasted / 2)]
        case Seen.COMES:
            return [on_last]
        case Seen.GOES:
            return [off_last]
        case Seen.OFF_AND_ON:
            return [off_once, on_last]
        case Seen.ON_AND_OFF:
            return [early, off_last]


def _on(spans: Sequence[Span], from_s: float, to_s: float) -> float:
    return sum(max(0.0, min(span.to_s, to_s) - max(span.from_s, from_s)) for span in spans)


def _first_on(spans: Sequence[Span], lasted_s: float) -> float:
    """When it is first on; where it never is, one second after the end."""
    return min((span.from_s for span in spans if span.to_s > span.from_s), default=lasted_s + 1.0)


def _on_at_end(spans: Sequence[Span], lasted_s: float, slack_s: float) -> float:
    """For how long it has been on at the end of the record, 0 if it is off there; both may be cut off a little."""
    last = max(spans, key=lambda span: span.to_s, default=None)
    if last is None or last.to_s < lasted_s - slack_s:
        return 0.0
    return last.to_s - last.from_s


def _stays(rules: FcrRules, capacity_kw: float, response: Response) -> list[Finding]:
    """The response while AEM is off: the least mean of a minute, against the activation of the applied frequency.

    NEM may take its own power off it: inside the normal band, and for 5 minutes after leaving it. An AEM of the step
    before needs as long for its reference to come back.
    """
    hz = response.step.signal[-1].end_hz
    share = activation(rules, hz)
    if abs(share) < 0.5:
        return []
    sign = 1.0 if share > 0 else -1.0
    spans = response.record.aem
    begin = max([_SETTLED_S, *(span.to_s + _FADE_S for span in spans if span.from_s <= _GRACE_S)])
    end = min([response.lasted_s, *(span.from_s for span in spans if span.from_s > _GRACE_S)])
    nem = rules.nem_share or 0.0
    inside = rules.normal_hz[0] < hz < rules.normal_hz[1]
    parts = [(begin, end, nem)] if inside else [(begin, min(end, _FADE_S), nem), (max(begin, _FADE_S), end, 0.0)]
    least = (1 - rules.under_share) * rules.least_factor * abs(share)
    findings: list[Finding] = []
    for from_s, to_s, allowance in parts:
        kw = sign * response.moving_kw(from_s, to_s, 60.0)
        if kw.size:
            text = f"the response stays in {response.step.test}, from {from_s:g} s, least mean of a minute"
            measured = float(kw.min()) / capacity_kw
            findings.append(line(rules, "3.5.3, requirement 12", text, measured, "pu", low=least - allowance))
    return findings


def _ends(rules: FcrRules, capacity_kw: float, response: Response) -> list[Finding]:
    """What a hold ends in: NEM's whole power against the response (equations 16 and 17), or, 5 minutes after AEM has
    turned on, no response (equation 18)."""
    hold, share = response.step.hold_until, activation(rules, response.step.signal[-1].end_hz)
    sign = 1.0 if share > 0 else -1.0
    if hold in (HoldUntil.NEM_ON, HoldUntil.NEM_ON_AGAIN):
        nem = rules.nem_share or 0.0
        measured = sign * response.steady_kw(_FULLY_S) / capacity_kw
        low = (1 - rules.under_share) * rules.least_factor * abs(share) - nem
        high = (1 + rules.over_share) * abs(share) - nem
        text = f"response and NEM at the end of {response.step.test}"
        return [line(rules, "3.5.1, requirement 12", text, measured, "pu", low=low, high=high)]
    if hold is HoldUntil.AEM_ON:
        measured = sign * response.steady_kw(10.0) / capacity_kw
        text = f"response 5 min after AEM turns on in {response.step.test}"
        bound = rules.under_share  # of our own: the rules say none; equation 18 leaves nothing
        return [line(rules, "3.5.2, requirement 12", text, measured, "pu", low=-bound, high=bound)]
    return []


def _within(rules: FcrRules, capacity_kw: float, response: Response) -> Finding:
    """Equations 24 to 26: no more than the power that table 10 keeps, up and down, by means of 10 s."""
    kw = response.moving_kw(_GRACE_S, response.lasted_s, min(10.0, response.lasted_s / 4)) / capacity_kw
    beyond = max(0.0, float(kw.max()) - rules.power_up, -float(kw.min()) - rules.power_down) if kw.size else 0.0
    text = f"what goes beyond the power that is kept in {response.step.test}, of the capacity"
    return line(rules, "3.5.2, equations 24 to 26", text, beyond, "pu", high=_allowed(rules))


def _allowed(rules: FcrRules) -> float:
    """Requirement 1 lets a response be too large by so much, the meter adds its own."""
    return rules.over_share + rules.meter_accuracy_share
