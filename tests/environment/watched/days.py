"""Made-up days of all four demonstrators as watched runs, with ledgers as the market operator keeps them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from pathlib import Path

from agents.ledger import Ledger
from environment.run_folder import LEDGER, Posting, read_postings
from environment.watched.run import WatchedRun
from tests.environment.report.campus import make_campus_run
from tests.environment.report.conftest import make_run
from tests.environment.report.island import make_island_run
from tests.environment.report.public import make_public_run

DAYS: dict[str, Callable[[Path], Path]] = {
    "slovenia": make_run,
    "portugal": make_island_run,
    "denmark": make_campus_run,
    "greece": make_public_run,
}


def watched(folder: Path) -> WatchedRun:
    """The run of a folder, read to its end."""
    run = WatchedRun(folder)
    while run.refresh():
        pass
    return run


def day(name: str, folder: Path) -> Path:
    """The folder of a demonstrator's day, its ledger in double entry."""
    DAYS[name](folder)
    booked: dict[str, list[Posting]] = {}
    for posting in read_postings(folder / LEDGER):
        booked.setdefault(posting.transaction_id, []).append(posting)
    (folder / LEDGER).unlink()
    with Ledger(f"sqlite:///{folder / LEDGER}") as ledger:
        for transaction, lines in booked.items():
            entries: dict[str, Decimal] = {}
            for line in lines:
                entries[line.account] = entries.get(line.account, Decimal(0)) + line.amount_eur
            at = lines[0].at if lines[0].at.tzinfo else lines[0].at.replace(tzinfo=UTC)
            ledger.post(transaction, at, lines[0].reference, entries)
    return folder
