"""The rules that contents are held to by name, and what it is to break one. The rules themselves are functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from protocols.references import Grounds, Register, Said

POWER_TOLERANCE_KW = 1e-6
"""Below what any meter shows: sums of binary fractions may differ by it."""


class Rule(StrEnum):
    """The rules by name."""

    PERIOD_BOUNDS = "period-bounds"
    EXPIRED = "expired"
    SHORT_NOTICE = "short-notice"
    UNKNOWN_REFERENCE = "unknown-reference"
    REFERENCE_USED = "reference-already-used"
    SAME_ID_OTHER_CONTENT = "same-id-other-content"
    ORDERED_TWICE = "ordered-twice"
    WRONG_CONGESTION_POINT = "wrong-congestion-point"
    WRONG_SERVICE = "wrong-service"
    PRICE_ABOVE_MAXIMUM = "price-above-maximum"
    PRICE_BELOW_BID = "price-below-bid"
    POWER_BOUNDS = "power-bounds"
    BASELINE = "baseline"
    WRONG_AMOUNT = "wrong-amount"
    WRONG_DIRECTION = "wrong-direction"
    OTHER_THAN_ASKED = "other-than-asked"
    NOT_OFFERED = "not-offered"
    NOT_APPROVED = "not-approved"
    PROMISED_TWICE = "promised-twice"
    WRONG_CANCELLATION = "wrong-cancellation"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that an act breaks: the field concerned and what is wrong, for people."""

    rule: Rule
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.field} {self.text}"


Check = Callable[[Register, Said, Grounds], Iterator[Violation]]
"""A rule: the violations of an act in the light of what was said before, and of what it rests on."""
