"""A test bench: a frequency signal in the place of the grid's for a portfolio, and the recorder of what it does.

The signal enters where the chargers measure the frequency, and so do the meters at their connection points (Test
Program, section 3). The recorder keeps energy, so a sample's power is its true mean, whatever its length.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from agents.decisions.fcr_sequences import piece_hz
from environment.charging import Charging
from environment.charging_seconds import step_end_s
from environment.vehicles import Floats
from protocols.exchanges.frequency_services import SignalPiece

A_MOMENT_S = 1e-5


class Bench:
    """The bench of the chargers `charger_ids`, as the agents' port `TestBench`; KeyError for an unknown charger."""

    def __init__(self, charging: Charging, charger_ids: Sequence[str]) -> None:
        self.chargers = np.array([charging.index[charger_id] for charger_id in charger_ids], dtype=np.int64)
        self._charging = charging
        self._signal: tuple[SignalPiece, ...] = ()
        self._starts_s: list[float] = []
        self._origin_s = 0.0
        self._sample_s = 1.0
        self._records: list[_Record] = []

    # The port -----------------------------------------------------------------------------------------------

    def apply(self, signal: Sequence[SignalPiece], sample_s: float = 1.0) -> None:
        """See `agents.fcr_ports.TestBench`. ValueError for no signal or a sample without length."""
        if not signal or not sample_s > 0:
            raise ValueError(f"a signal of {len(signal)} pieces in samples of {sample_s} s is none")
        self._charging.advance()
        self._signal, self._sample_s = tuple(signal), sample_s
        self._origin_s = self._charging.at_s
        ends = np.cumsum([piece.duration_s for piece in signal])
        self._starts_s = [0.0, *(float(end) for end in ends[:-1])]
        if not self._records or abs(self._records[-1].until_s - self._origin_s) > A_MOMENT_S:
            self._records.append(_Record(self._origin_s))
        self._charging.attach(self)

    def release(self) -> None:
        """See `agents.fcr_ports.TestBench`."""
        self._charging.detach(self)

    def record(self, start: datetime, end: datetime, sample_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See `agents.fcr_ports.TestBench`; each power is the mean of the sample that begins there."""
        self._charging.advance()
        first_s, last_s = ((at - self._charging.origin).total_seconds() for at in (start, end))
        count = math.floor((last_s - first_s) / sample_s + A_MOMENT_S)
        for record in self._records:
            if record.from_s <= first_s + A_MOMENT_S and last_s <= record.until_s + A_MOMENT_S:
                return record.samples(np.asarray(first_s + np.arange(count + 1) * sample_s, dtype=np.float64))
        raise LookupError(f"the bench has no record from {start.isoformat()} to {end.isoformat()}")

    # What the chargers' physics ask -------------------------------------------------------------------------

    def step_end_s(self, at_s: float) -> float:
        """Where the sample that `at_s` lies in ends; a change of the signal falls on a sample."""
        return step_end_s(at_s, self._sample_s, self._origin_s)

    def hz(self, at_s: float) -> float:
        """The frequency applied at `at_s`."""
        passed_s = at_s - self._origin_s
        number = max(bisect_right(self._starts_s, passed_s + A_MOMENT_S) - 1, 0)
        piece = self._signal[number]
        return piece_hz(piece, min(max(passed_s - self._starts_s[number], 0.0), piece.duration_s))

    def saw(self, at_s: float, dt_s: float, hz: float, power_kw: float) -> None:
        """Takes down one step."""
        self._records[-1].add(at_s, dt_s, hz, power_kw)


class _Record:
    """What was seen without a gap, from `from_s` to `until_s`: instants, frequencies, and energy since the start."""

    def __init__(self, from_s: float) -> None:
        self.from_s = self.until_s = from_s
        self._at_s = array("d", [from_s])
        self._hz = array("d")
        self._kws = array("d", [0.0])

    def add(self, at_s: float, dt_s: float, hz: float, power_kw: float) -> None:
        self.until_s = at_s + dt_s
        self._at_s.append(self.until_s)
        self._hz.append(hz)
        self._kws.append(self._kws[-1] + power_kw * dt_s)

    def samples(self, edges_s: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
        at_s, hz, kws = np.array(self._at_s), np.array(self._hz), np.array(self._kws)
        seen = np.clip(np.searchsorted(at_s, edges_s[:-1] + A_MOMENT_S, side="right") - 1, 0, max(len(hz) - 1, 0))
        power_kw = np.diff(np.interp(edges_s, at_s, kws)) / np.diff(edges_s)
        return tuple(hz[seen].tolist()), tuple(power_kw.tolist())
