"""What frequency containment needs of the physical world: frequency meters, and the bench on which a portfolio is
tested. The environment implements them.

Positive power is drawn from the grid. Sources: Technical Requirements for FCR Provision in the Nordic Synchronous Area
v1.1, 3.12 (a central controller's measurement and its backup); Test Program, sections 3 and 11 (a frequency signal in
the place of the grid's, the recording of it and of the power).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protocols.exchanges.frequency_services import SignalPiece


@dataclass(frozen=True, slots=True)
class MeterSample:
    """What a meter says: the frequency in Hz, the power at its connection points in kW (positive drawn), and `at`,
    which is the meter's own clock (aware, UTC)."""

    at: datetime
    hz: float
    power_kw: float


class MeterError(Exception):
    """A meter that cannot be used; the message is one line: which one, where, what is wrong, what to do.

    `fault` alone has no address in it, so it is the same in every run.
    """

    def __init__(self, name: str, address: str, fault: str, advice: str) -> None:
        super().__init__(f"meter {name} at {address}: {fault}; {advice}")
        self.name = name
        self.fault = fault


class FrequencyMeter(Protocol):
    """One meter of frequency and power at a connection point."""

    name: str

    async def read(self) -> MeterSample:
        """What it measures now. Raises MeterError where it does not answer or says what cannot be; whether a plausible
        value is true (frozen, off, late by its clock) is for the reader to judge."""
        ...


class TestBench(Protocol):
    """A portfolio's chargers and meters, whose frequency input can be taken from a signal instead of the grid."""

    def apply(self, signal: Sequence[SignalPiece], sample_s: float = 1.0) -> None:
        """From now on the portfolio sees this frequency instead of the grid's, and what it does is recorded, each
        `sample_s` seconds or finer; after the signal's end its last frequency is held. A new signal replaces the one
        before, without a gap in the record."""
        ...

    def release(self) -> None:
        """Back to the grid's frequency; what was recorded stays."""
        ...

    def record(self, start: datetime, end: datetime, sample_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(applied_hz, power_kw): at `start`, `start` + `sample_s`, ... before `end`, what the power analyser at the
        connection points saw: the frequency applied, and the sum of the portfolio's chargers in kW (positive drawn).
        Raises LookupError, in words, for time that has not passed or was not recorded."""
        ...


TestBench.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's, and no part of the protocol
