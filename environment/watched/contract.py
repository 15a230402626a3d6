"""A contract in one shape, whichever use case it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

State: TypeAlias = Literal[
    "agreed", "active now", "ended", "delivered", "short", "settled", "settled, short", "cancelled", "failed"
]
STATES: tuple[State, ...] = (
    "agreed", "active now", "ended", "delivered", "short", "settled", "settled, short", "cancelled", "failed",
)  # fmt: skip
SHORT_OF = 0.99
"""Who delivered less than this part of what was agreed was short."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract. `buyer` pays `seller` (names), `quantity` is what was agreed in `unit`, `price` in words;
    `delivered` is in `unit` as well, None where no message tells it; `amount_eur` what is owed by the settlement, above
    0 to the seller, None where there is none. `links` are its conversations, each with a word; `reference` is how the
    ledger knows it where no bill does."""

    key: str
    kind: str
    use_case: str
    what: str
    buyer: str
    seller: str
    start: datetime
    end: datetime
    quantity: float
    unit: str
    price: str
    state: State
    links: tuple[tuple[str, str], ...]
    delivered: float | None = None
    amount_eur: Decimal | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def delivered_percent(self) -> float | None:
        """How much of what was agreed was delivered; None where that is not told."""
        return None if self.delivered is None or not self.quantity else 100 * self.delivered / self.quantity


def running(start: datetime, end: datetime, at: datetime) -> State:
    """How a contract stands of which nothing else is known."""
    return "agreed" if at < start else "active now" if at < end else "ended"


def kinds(rows: Sequence[Contract]) -> Mapping[str, int]:
    """How many there are of each kind, the most frequent first."""
    counted: dict[str, int] = {}
    for row in rows:
        counted[row.kind] = counted.get(row.kind, 0) + 1
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))
