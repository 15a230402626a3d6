"""The drivers' table: what each asked for, got, helped with and earned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from environment.report import words
from environment.report.material import Material
from protocols.acl import Performative


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


def drivers(material: Material) -> list[Driver]:
    """Every driver's stay, those who got less than asked first."""
    asked: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for message in (entry.message for entry in material.trace.entries):
        if message.exchange in ("1.2.5", "6.2.3"):
            asked[message.receiver] += message.performative is Performative.PROPOSE
            agreed[message.sender] += message.performative is Performative.ACCEPT_PROPOSAL
        elif message.exchange == "3.2":
            asked[message.receiver] += message.performative is Performative.CFP
            agreed[message.sender] += message.performative is Performative.PROPOSE
    earned: dict[str, Decimal] = {}
    for posting in material.postings:
        account = words.account_name(posting.account)
        earned[account] = earned.get(account, Decimal(0)) + posting.amount_eur
    rows = [
        Driver(
            name=words.account_name(row["owner"]),
            charger=row["charger_id"],
            stay=material.when(datetime.fromisoformat(row["arrival"]), datetime.fromisoformat(row["departure"])),
            wanted_kwh=row["asked_kwh"],
            got_kwh=row["got_kwh"],
            extra_kwh=row.get("extra_kwh", 0.0),
            short=row["short"],
            departed=row["departed"],
            asked=asked[row["owner"]],
            agreed=agreed[row["owner"]],
            earned=earned.get(words.account_name(row["owner"]), Decimal(0)),
        )
        for row in material.totals.get("each", ())
    ]
    return sorted(rows, key=lambda driver: not driver.short)
