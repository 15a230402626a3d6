"""What a run leaves behind, read back: the trace's messages and the ledger's postings.

The report is built from these files alone, so that it can be built again from a folder that someone sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from protocols.trace import Entry, TraceError, read

TRACE = "trace.jsonl"
SCENARIO = "scenario.toml"
ACTS = "acts.jsonl"
LEDGER = "ledger.sqlite"
SERIES = "series.parquet"
SUMMARY = "summary.json"
REPORT = "report.html"
NETWORK = "network.json"
LIVE_ROWS = "live.rows"
"""While a run is watched: the rows of its series as they come (`environment.live_rows`)."""


class RunFolderError(ValueError):
    """A file of the run folder that cannot be read, in one line that names it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace: the header's scenario, seed and roles (`{jid: role}`), then its messages as they were sent."""

    scenario: str = ""
    seed: int | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Posting:
    """One row of the ledger: what an account received (> 0) or paid (< 0) in a transaction, in EUR."""

    transaction_id: str
    account: str
    amount_eur: Decimal
    at: datetime
    reference: str


def read_trace(path: Path) -> Trace:
    """The trace of a run. Raises RunFolderError naming file and line; a missing file is one as well."""
    try:
        # Only a line feed ends a line: other separators of Unicode may stand in a message's text as they are.
        with path.open(encoding="utf-8", newline="\n") as lines:
            header, entries = read(lines)
            return Trace(header.scenario, header.seed, header.roles, tuple(entries))
    except TraceError as fault:
        raise RunFolderError(f"{path}:{fault.line}: {fault.reason}") from None
    except UnicodeDecodeError as reason:
        raise RunFolderError(f"{path}: {reason}") from None
    except OSError as reason:
        raise RunFolderError(f"{path}: {reason.strerror or reason}") from None


def read_postings(path: Path) -> tuple[Posting, ...]:
    """Every posting of the ledger, in order of time. A ledger kept elsewhere (PostgreSQL) has no file: empty."""
    if not path.exists():
        return ()
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "select transaction_id, account, amount_eur, at, reference from posting order by at, rowid"
            ).fetchall()
        return tuple(
            Posting(str(transaction), account, Decimal(str(amount)), _instant(at), str(reference or ""))
            for transaction, account, amount, at, reference in rows
        )
    except sqlite3.Error as reason:
        raise RunFolderError(f"{path}: {reason}") from None
    except (InvalidOperation, ValueError) as reason:
        raise RunFolderError(f"{path}: a posting cannot be read ({reason})") from None


def _instant(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
