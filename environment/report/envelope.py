"""What the rules want of a portfolio while a real frequency passes, drawn from what they want of the tests.

The tests' ramps and steps are clean; here the frequency wanders. So each rule is put as: what the frequency has asked
for throughout the time that a response may take must be there, in the bounds that the steady state has (requirement 1:
95 to 120 %). For FCR-D that is 86 % after 7.5 s (requirement 2, 3.1.2) and 95 % after a minute; for FCR-N, which has
no time of its own but sines, 95 % after 7.5 s; in Continental Europe all after 30 s. Frequency may be misread by the
accuracy that meters must have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.decisions.fcr_products import FcrRules, activations
from agents.decisions.fcr_time_domain import EVALUATED_S, POWER_SHARE
from environment.series import Floats

SETTLED_S: Final = 60
"""The steady state is the mean of the minute before its end (3.1): a response is settled after a minute."""


@dataclass(frozen=True, eq=False)
class Envelope:
    """Upward kW of each second: what is asked for, the least and the most that is within the rules."""

    asked_kw: Floats
    least_kw: Floats
    most_kw: Floats


def envelope(rules: FcrRules, capacity_kw: Floats, hz: Floats) -> Envelope:
    """The envelope of each second of `hz`, whose rows follow each other by one second."""
    asked, misread = activations(rules, hz) * capacity_kw, rules.meter_accuracy_hz
    low, high = (activations(rules, hz + sign * misread) * capacity_kw for sign in (1.0, -1.0))
    under, over = 1 - rules.under_share, 1 + rules.over_share
    soon = int(np.ceil(rules.whole_s or EVALUATED_S))
    if rules.up and rules.down:
        least, most = np.where(low > 0, low * under, low * over), np.where(high > 0, high * over, high * under)
        return Envelope(asked, _over(least, soon, np.min), _over(most, soon, np.max))
    # one direction, by its magnitude: soon most of it, in a minute all of it
    weak, strong = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
    due = np.maximum(_over(weak, soon, np.min) * POWER_SHARE, _over(weak, SETTLED_S, np.min) * under)
    limit = _over(strong, soon, np.max) * over
    return Envelope(asked, due, limit) if rules.up else Envelope(asked, -limit, -due)


def _over(values: Floats, seconds: int, reduce: Callable[..., Floats]) -> Floats:
    """The extreme of the last `seconds` and of this one; before the first row it was as then."""
    padded = np.concatenate([np.full(seconds, values[:1][0] if len(values) else 0.0), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, seconds + 1)
    return reduce(windows, axis=1)


def within_share(envelope: Envelope, response_kw: Floats, tolerance_kw: float) -> float:
    """The share of seconds in which an upward response was within the envelope, by so much."""
    low, high = envelope.least_kw - tolerance_kw, envelope.most_kw + tolerance_kw
    return float(((response_kw >= low) & (response_kw <= high)).mean()) if len(response_kw) else 1.0
