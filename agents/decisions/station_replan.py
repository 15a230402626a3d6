"""Promised sessions under a new cap (D5.1 3.5.2): power moved within each session, or why it cannot be.

A session keeps its charger, its hours and its energy. What may move is which of its quarters draw how much: a
transport problem from sessions to quarters, whose best plan is a vertex of a linear program with whole watts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_array

from agents.decisions.station_bookings import (
    QUARTERS_AN_HOUR,
    WATTS_PER_KW,
    Booking,
    BookingList,
    quarter_up,
    span_of,
    start_of,
    watts_down,
    watts_up,
)
from agents.public_ports import StationSite

_SHORT: Final = 1e4
_LATE: Final = 1e-4
"""Of two plans that move as much, the one that charges earlier; small against moving a watt at all."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """One quarter of one session: what it draws now and could draw, W."""

    session: int
    quarter: int
    watts: int
    most: int


def replan(
    site: StationSite, bookings: BookingList, cap_kw: Callable[[datetime], float], from_: datetime
) -> list[Booking] | str:
    """The sessions whose profiles change from `from_` on (the first whole quarter), changed; or which of them would get
    how much, where the cap leaves too little. As little as possible is moved; empty where nothing must be.

    `cap_kw` of a quarter's start holds for the quarter; connection, charger and car bound it, too.
    """
    first = quarter_up(from_)
    sessions = [each for each in bookings if span_of(each).stop > first]
    slots = [slot for number, each in enumerate(sessions) for slot in _slots(site, number, each, first)]
    room = {q: watts_down(min(site.connection_kw, cap_kw(start_of(q)))) for q in sorted({s.quarter for s in slots})}
    used = dict.fromkeys(room, 0)
    for slot in slots:
        used[slot.quarter] += slot.watts
    if all(used[quarter] <= room[quarter] for quarter in room):
        return []
    watts, missing = _moved(slots, list(room), [max(0, value) for value in room.values()], len(sessions))
    if missing.any():
        return "; ".join(
            _told(each, slots, number, int(missing[number])) for number, each in enumerate(sessions) if missing[number]
        )
    drawn = {(slot.session, slot.quarter): int(power) for slot, power in zip(slots, watts, strict=True)}
    return [
        changed
        for number, each in enumerate(sessions)
        if (changed := _with(each, {q: w for (s, q), w in drawn.items() if s == number})) != each
    ]


def _slots(site: StationSite, number: int, booking: Booking, first: int) -> list[_Slot]:
    most = watts_down(min(site.charger_kw, booking.max_charge_kw))
    return [
        _Slot(number, quarter, watts_up(power), max(most, watts_up(power)))
        for quarter, power in zip(span_of(booking), booking.powers_kw, strict=True)
        if quarter >= first
    ]


def _moved(
    slots: Sequence[_Slot], quarters: Sequence[int], room: Sequence[int], sessions: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """W of each slot, and the W times quarters that each session lacks. Columns: more and less in each slot, then what
    each session lacks; rows: each session's sum stays, each quarter's is within its room."""
    n = len(slots)
    now = np.array([slot.watts for slot in slots], dtype=float)
    most = np.array([slot.most for slot in slots], dtype=float)
    session = np.array([slot.session for slot in slots])
    place = {quarter: row for row, quarter in enumerate(quarters)}
    quarter = np.array([place[slot.quarter] for slot in slots])
    slot, ones = np.arange(n), np.ones(n)
    both = (np.concatenate([ones, -ones]), np.concatenate([slot, slot + n]))
    keeps = csr_array(
        (
            np.concatenate([both[0], np.ones(sessions)]),
            (
                np.concatenate([session, session, np.arange(sessions)]),
                np.concatenate([both[1], 2 * n + np.arange(sessions)]),
            ),
        ),
        shape=(sessions, 2 * n + sessions),
    )
    fits = csr_array((both[0], (np.concatenate([quarter, quarter]), both[1])), shape=(len(quarters), 2 * n + sessions))
    held = np.bincount(quarter, weights=now, minlength=len(quarters))
    answer = linprog(
        np.concatenate([1 + _LATE * quarter, 1 - _LATE * quarter, np.full(sessions, _SHORT)]),
        A_ub=fits,
        b_ub=(np.array(room) - held) / WATTS_PER_KW,
        A_eq=keeps,
        b_eq=np.zeros(sessions),
        bounds=np.column_stack(
            [np.zeros(2 * n + sessions), np.concatenate([most - now, now, np.full(sessions, np.inf)]) / WATTS_PER_KW]
        ),
        method="highs-ds",
    )
    if answer.x is None:  # drawing nothing always keeps the cap
        raise RuntimeError(answer.message)
    found = np.rint(answer.x * WATTS_PER_KW).astype(np.int64)
    watts = now.astype(np.int64) + found[:n] - found[n : 2 * n]
    return watts, found[2 * n :]


def _told(booking: Booking, slots: Sequence[_Slot], number: int, missing: int) -> str:
    wanted = sum(slot.watts for slot in slots if slot.session == number)
    kwh = WATTS_PER_KW * QUARTERS_AN_HOUR
    return (
        f"{booking.booking_id} needs {wanted / kwh:.3f} kWh until {booking.end:%Y-%m-%d %H:%M} UTC "
        f"and would get {(wanted - missing) / kwh:.3f} kWh"
    )


def _with(booking: Booking, watts: dict[int, int]) -> Booking:
    """The session with these powers in these quarters."""
    powers = tuple(
        watts[quarter] / WATTS_PER_KW if quarter in watts else power
        for quarter, power in zip(span_of(booking), booking.powers_kw, strict=True)
    )
    return booking if powers == booking.powers_kw else replace(booking, powers_kw=powers)
