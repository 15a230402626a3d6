"""What a run leaves behind, read back: the trace's messages and the ledger's postings.

The report is built from these files alone, so that it can be built again from a folder that someone sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

TRACE = "trace.jsonl"
LEDGER = "ledger.sqlite"
SERIES = "series.parquet"
SUMMARY = "summary.json"
REPORT = "report.html"


class RunFolderError(ValueError):
    """A file of the run folder that cannot be read, in one line that names it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the trace, as it was sent. `at` is scenario time; sender and receiver are bare JIDs."""

    at: datetime
    sender: str
    receiver: str
    performative: str
    protocol: str
    conversation_id: str
    exchange: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace: the header's scenario, seed and roles (`{jid: role}`), then its messages in order."""

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
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as reason:
        raise RunFolderError(f"{path}: {reason.strerror or reason}") from None
    if not lines:
        raise RunFolderError(f"{path}: is empty, the header line is missing")
    header: dict[str, Any] = {}
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if number == 1:
                if row["trace"] != 1:
                    raise ValueError(f"trace version {row['trace']!r}, expected 1")
                header = row
            else:
                entries.append(_entry(row))
        except KeyError as reason:
            raise RunFolderError(f"{path}:{number}: member {reason} is missing") from None
        except (ValueError, TypeError) as reason:
            raise RunFolderError(f"{path}:{number}: {reason}") from None
    return Trace(str(header.get("scenario", "")), header.get("seed"), header.get("roles", {}), tuple(entries))


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        at=datetime.fromisoformat(row["at"]),
        sender=row["sender"],
        receiver=row["receiver"],
        performative=row["performative"],
        protocol=row["protocol"],
        conversation_id=row["conversation-id"],
        exchange=row["exchange"],
        content=row["content"] or {},
    )


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
