"""What a page is made of: the run folder's files, read once, and what is found in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from environment.report import money, words
from environment.report.market import Round, rounds
from environment.report.services import Service, services
from environment.run_folder import (
    LEDGER,
    SERIES,
    SUMMARY,
    TRACE,
    Posting,
    RunFolderError,
    Trace,
    read_postings,
    read_trace,
)
from environment.series import Series
from protocols.dialogues import EXCHANGES

_NAMES = {exchange.id: exchange.name for exchange in EXCHANGES.values()}


@dataclass(frozen=True)
class Material:
    """One run. `figures` are the summary's figures by case; there are always those of `with`. `folder` is where further
    files of some runs lie."""

    trace: Trace
    series: Series
    postings: tuple[Posting, ...]
    summary: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]
    markets: tuple[Round, ...]
    services: tuple[Service, ...]
    folder: Path = Path()

    @property
    def index(self) -> pd.DatetimeIndex:
        """The local times of the minutes."""
        return self.series.index("with")

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of the run."""
        return self.index.tz

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles by JID and by the name in the ledger."""
        return words.accounts_too(self.trace.roles)

    @property
    def payments(self) -> tuple[money.Payment, ...]:
        """Who paid whom."""
        return money.payments(self.postings, self.roles)

    @property
    def spent(self) -> Decimal:
        """What the grid operators paid for flexibility, net, in EUR."""
        return money.spent(self.postings, self.roles)

    @property
    def totals(self) -> Mapping[str, Any]:
        """The summary's figures of all drivers."""
        totals: Mapping[str, Any] = self.summary.get("drivers", {})
        return totals

    def when(self, start: datetime, end: datetime) -> str:
        """A period in words."""
        return words.period(start, end, self.zone, dated=self.index[-1] - self.index[0] > timedelta(hours=36))

    def name(self, jid: str) -> str:
        """An agent's name in words."""
        return words.actor(jid, self.trace.roles)[0]


def exchange_name(exchange: str) -> str:
    """What D5.1 calls an exchange; empty for one that it does not have."""
    return _NAMES.get(exchange, "")


def read(folder: Path) -> Material:
    """The material of a run folder. Raises RunFolderError or SeriesError, one line that names the file."""
    trace = read_trace(folder / TRACE)
    series = Series.read(folder / SERIES)
    postings = read_postings(folder / LEDGER)
    summary = read_summary(folder / SUMMARY)
    figures: dict[str, Any] = {case: summary[case] for case in series.cases if case in summary}
    if "with" not in figures:
        raise RunFolderError(f"{folder / SUMMARY}: the figures of the day with flexibility are missing")
    return Material(trace, series, postings, summary, figures, rounds(trace), services(trace), folder)


def read_summary(path: Path) -> dict[str, Any]:
    """`summary.json` as it was written. Raises RunFolderError."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise RunFolderError(f"{path}: {reason.strerror or reason}") from None
    except ValueError as reason:
        raise RunFolderError(f"{path}: not JSON ({reason})") from None
    if not isinstance(summary, dict):
        raise RunFolderError(f"{path}: expected an object")
    return summary
