"""The drivers' table: what each asked for, got, helped with and earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from environment.report import words
from environment.report.material import Material
from protocols.acl import Performative

_ASKING: Final = {
    "1.2.5": (Performative.PROPOSE, Performative.ACCEPT_PROPOSAL),
    "6.2.3": (Performative.PROPOSE, Performative.ACCEPT_PROPOSAL),
    "3.2": (Performative.CFP, Performative.PROPOSE),
}
"""The exchanges in which a driver is asked to help: by which act, and by which it agrees."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One row of the drivers' table. `asked`, `agreed`: how often the driver was asked to help, and did."""

    name: str
    charger: str
    stay: str
    wanted_kwh: float
    got_kwh: float
    extra_kwh: float
    short: bool
    departed: bool
    asked: int
    agreed: int
    earned: Decimal

    @property
    def share(self) -> float:
        """What was got of what was wanted, in percent, for the bar."""
        return 100.0 if self.wanted_kwh <= 0 else max(0.0, min(100.0, 100 * self.got_kwh / self.wanted_kwh))


@dataclass(slots=True)
class _Stay:
    """A row of the summary, and what comes to it."""

    row: Mapping[str, Any]
    asked: int = 0
    agreed: int = 0
    earned: Decimal = Decimal(0)
    arrival: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.arrival = datetime.fromisoformat(self.row["arrival"])


def drivers(material: Material) -> list[Driver]:
    """Every driver's stay, those who got less than asked first.

    What happened belongs to the stay in which it did: a payment after the departure to the stay before it, anything
    before the first arrival to the first stay. An owner's rows so add up to what the owner was asked and earned.
    """
    stays = [_Stay(row) for row in material.totals.get("each", ())]
    of: dict[str, list[_Stay]] = {}
    for each in sorted(stays, key=lambda each: each.arrival):
        for name in {each.row["owner"], words.account_name(each.row["owner"])}:
            of.setdefault(name, []).append(each)

    def during(owner: str, at: datetime) -> _Stay | None:
        known = of.get(owner, [])
        return next((stay for stay in reversed(known) if stay.arrival <= at), known[0] if known else None)

    for entry in material.trace.entries:
        message = entry.message
        if message.exchange not in _ASKING:
            continue
        asking, agreeing = _ASKING[message.exchange]
        if message.performative is asking and (stay := during(message.receiver, entry.at)) is not None:
            stay.asked += 1
        if message.performative is agreeing and (stay := during(message.sender, entry.at)) is not None:
            stay.agreed += 1
    for posting in material.postings:
        at = posting.at if posting.at.tzinfo is not None else posting.at.replace(tzinfo=UTC)  # as the ledger keeps it
        if (stay := during(words.account_name(posting.account), at)) is not None:
            stay.earned += posting.amount_eur
    rows = [
        Driver(
            name=words.account_name(each.row["owner"]),
            charger=each.row["charger_id"],
            stay=material.when(each.arrival, datetime.fromisoformat(each.row["departure"])),
            wanted_kwh=each.row["asked_kwh"],
            got_kwh=each.row["got_kwh"],
            extra_kwh=each.row.get("extra_kwh", 0.0),
            short=each.row["short"],
            departed=each.row["departed"],
            asked=each.asked,
            agreed=each.agreed,
            earned=each.earned,
        )
        for each in stays
    ]
    return sorted(rows, key=lambda driver: not driver.short)
