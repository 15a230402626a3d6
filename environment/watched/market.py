"""Every market of a run as of the moment: what was needed, offered in merit order, and bought at which price.

A round is a pool of BUC 6, a market of BUC 1, a service of BUC 2 or 4.1, a call for help of BUC 3, an hour of frequency
reserve of BUC 7 or an auction of caps of BUC 5. Powers in kW, prices as `unit` says.
"""

from __future__ import annotations

from environment.watched.heard import Heard, Kept
from environment.watched.market_round import MarketRound
from environment.watched.market_rounds import rounds_of
from environment.watched.run import WatchedRun


class Market:
    """The markets of a run up to its moment."""

    def __init__(self, run: WatchedRun) -> None:
        self._run, self._heard = run, Heard.of(run)
        self._rounds = Kept(self._heard, rounds_of)

    @property
    def version(self) -> int:
        """Grows when anything here may have changed."""
        return self._heard.version

    def refresh(self) -> bool:
        """Hears what is new; whether that was all."""
        return self._heard.refresh()

    @property
    def rounds(self) -> tuple[MarketRound, ...]:
        """Every round, the latest first."""
        return self._rounds()

    def round(self, key: str) -> MarketRound | None:
        """The one of this key; None where there is none at this moment."""
        return next((each for each in self.rounds if each.key == key), None)
