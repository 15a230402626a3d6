"""Long curves in few points, of which none hides an extreme: what a plot can show, not every row of a week.

Rows are put into buckets of 1, 2, 4, ... rows. A bucket is shown by its least and its greatest value where and when
they were, or by its mean. Buckets lie at fixed rows, so that a curve that grows does not flicker, and a row that was
looked at once is not looked at again.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Times: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

POINTS: Final = 720
"""A curve has no more points than so many; a screen has few more columns."""


class Thinned:
    """A growing curve in at most `points` points. `means`: show each bucket by its mean at its middle."""

    def __init__(self, points: int = POINTS, *, means: bool = False) -> None:
        self._most = points if means else points // 2
        self._means = means
        self._width = 1
        self._rows = 0
        self._at: Times = np.empty((0, 2), np.int64)
        self._values: Floats = np.empty((0, 2))

    @property
    def width(self) -> int:
        """How many rows a bucket has."""
        return self._width

    def points(self, at: Times, values: npt.NDArray[np.floating]) -> tuple[Times, Floats]:
        """The curve as it now is: `at` and `values` are all its rows, of which those that were there before are the
        same. Fewer rows than before show the curve as it was then. A bucket without any value is one NaN."""
        if len(at) < self._rows:
            keep = len(at) // self._width
            self._at, self._values, self._rows = self._at[:keep], self._values[:keep], keep * self._width
        while -(-len(at) // self._width) > self._most:
            self._widen()
        whole = len(at) // self._width * self._width
        if whole > self._rows:
            new = slice(self._rows, whole)
            found = self._buckets(at[new].reshape(-1, self._width), values[new].reshape(-1, self._width))
            self._at = np.concatenate([self._at, found[0]])
            self._values = np.concatenate([self._values, found[1]])
            self._rows = whole
        shown_at, shown = self._at, self._values
        if whole < len(at):
            last = self._buckets(at[None, whole:], values[None, whole:])
            shown_at, shown = np.concatenate([shown_at, last[0]]), np.concatenate([shown, last[1]])
        # A mean, a bucket of one row or of equal values, and one without any value are one point and not two.
        twice = np.column_stack([np.ones(len(shown), dtype=bool), shown_at[:, 0] != shown_at[:, 1]])
        return shown_at[twice], shown[twice]

    def _widen(self) -> None:
        """Each bucket takes in its neighbour; one without a neighbour is made anew from its rows."""
        pairs = len(self._at) // 2
        at, values = self._at[: 2 * pairs].reshape(pairs, 4), self._values[: 2 * pairs].reshape(pairs, 4)
        self._width *= 2
        self._rows = pairs * self._width
        if self._means:
            middle = (at[:, :1] + at[:, 2:3]) // 2
            self._at = np.repeat(middle, 2, axis=1)
            self._values = np.repeat(_mean(values[:, [0, 2]]), 2, axis=1)
        else:
            self._at, self._values = _extremes(at, values)

    def _buckets(self, at: Times, values: npt.NDArray[np.floating]) -> tuple[Times, Floats]:
        """Of rows [buckets, width] the two points of each bucket, in the order of time."""
        if not self._means:
            return _extremes(at, values.astype(np.float64))
        middle = (at[:, :1] + at[:, -1:]) // 2
        return np.repeat(middle, 2, axis=1), np.repeat(_mean(values.astype(np.float64)), 2, axis=1)


def _extremes(at: Times, values: Floats) -> tuple[Times, Floats]:
    """Where each row of an array is least and greatest, the earlier one first."""
    none = np.isnan(values)
    low = np.where(none, np.inf, values).argmin(axis=1)
    high = np.where(none, -np.inf, values).argmax(axis=1)
    which = np.sort(np.column_stack([low, high]), axis=1)
    return np.take_along_axis(at, which, axis=1), np.take_along_axis(values, which, axis=1)


def _mean(values: Floats) -> Floats:
    """The mean of each row, [rows, 1], NaN where there is no value."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1, keepdims=True)
    sums = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    found: Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return found
