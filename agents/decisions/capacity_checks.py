"""What the market's operator (FMO) checks before it passes something on: terms, curves and decisions of BUC 5.1. Pure.

D5.1 Table 7: "the FMO checks, approves and sends". Every function gives what is wrong, one readable text for each
fault with the number that is wrong; an empty tuple is an approval. Prices and slopes are compared as exact decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from agents.decisions.money import CENT
from protocols.exchanges.capacity_contracts import (
    ApprovedBid,
    AuctionCall,
    AuctionTerms,
    CurvePoint,
    ProcurementDecision,
    Purchase,
    Station,
)

WATT_KW = 1e-3
"""Two limits that are nearer than this are the same limit."""


def terms_faults(terms: AuctionTerms, stations: Sequence[Station], now: datetime, zone: tzinfo) -> tuple[str, ...]:
    """Why the market's terms (5.1.1) cannot be met by the registered `stations`, at `now`.

    Periods are local days of `zone`. A station at one of the terms' locations must be able to make a curve: enough
    limits between `lowest_limit_kw` and its connection. A location without a station is no fault as long as another
    has one.
    """
    return tuple(_terms_faults(terms, stations, now, zone))


def curve_faults(call: AuctionCall, station: Station, curve: Sequence[CurvePoint]) -> tuple[str, ...]:
    """Why a bid curve (5.1.3) for `station`, as registered, is not what was called for (5.1.2).

    The curve must have the number of points that is asked for, two at least; limits that rise, from `lowest_limit_kw`
    by multiples of `step_kw` to the station's connection, which costs nothing; prices between 0 and `most_eur` that do
    not rise with the limit and fall ever more slowly (convex). Exact: a cent too much is a fault.
    """
    return tuple(_curve_faults(call, station, curve))


def purchase_faults(purchase: Purchase, approved: Sequence[ApprovedBid], terms: AuctionTerms) -> tuple[str, ...]:
    """Why one purchase (5.1.5) is not what was offered: no such bid, a limit off its curve or its steps, or a price
    below the curve, which is a straight line between two points. More than the curve asks may be paid."""
    return tuple(_purchase_faults(purchase, {bid.bid_id: bid for bid in approved}, terms))


def decision_faults(
    decision: ProcurementDecision, approved: Sequence[ApprovedBid], terms: AuctionTerms
) -> tuple[str, ...]:
    """Everything that is wrong with a decision (5.1.5): each purchase's faults, and stations or bids bought twice."""
    faults = []
    if decision.terms_id != terms.terms_id:
        faults.append(f"it is for the terms {decision.terms_id!r}, not {terms.terms_id!r}")
    if decision.timestamp >= terms.period_start:
        faults.append(f"it comes at {decision.timestamp:%d %B %H:%M}, when the period has begun")
    for what in ("bid_id", "station_id"):
        names = [getattr(purchase, what) for purchase in decision.purchases]
        faults += [
            f"{name!r} is bought {names.count(name)} times" for name in dict.fromkeys(names) if names.count(name) > 1
        ]
    for purchase in decision.purchases:
        faults += purchase_faults(purchase, approved, terms)
    return tuple(dict.fromkeys(faults))


def price_on(curve: Sequence[CurvePoint], limit_kw: float) -> Decimal | None:
    """EUR that a curve (limits rising) asks for `limit_kw`, on the straight line between two of its points, not
    rounded; None where the limit is not on the curve."""
    for point in curve:
        if abs(point.limit_kw - limit_kw) <= WATT_KW:
            return point.price_eur
    for left, right in pairwise(curve):
        if left.limit_kw < limit_kw < right.limit_kw:
            part = (_exact(limit_kw) - _exact(left.limit_kw)) / (_exact(right.limit_kw) - _exact(left.limit_kw))
            return left.price_eur + part * (right.price_eur - left.price_eur)
    return None


def possible_limits(
    lowest_kw: float, step_kw: float, connection_kw: float, most: int | None = None
) -> tuple[float, ...]:
    """The limits in kW of which a curve can be made, rising: multiples of `step_kw` from `lowest_kw` to below the
    connection, then the connection itself. With `most` points: evenly thinned out, the first and the last stay."""
    step, (first, below) = _exact(step_kw), _steps(lowest_kw, step_kw, connection_kw)
    if most is not None and most < 2:
        return (float(connection_kw),)[:most]
    picked: Iterable[int] = range(below)
    if most is not None and below + 1 > most:
        picked = (round(k * below / (most - 1)) for k in range(most - 1))
    return (*(float((first + k) * step) for k in picked), float(connection_kw))


def _steps(lowest_kw: float, step_kw: float, connection_kw: float) -> tuple[int, int]:
    """The number of the first step at or above the lowest limit, and how many from it are below the connection."""
    step = _exact(step_kw)
    first = math.ceil(Fraction(_exact(lowest_kw)) / Fraction(step))
    return first, max(0, math.ceil(Fraction(_exact(connection_kw)) / Fraction(step)) - first)


def _terms_faults(terms: AuctionTerms, stations: Sequence[Station], now: datetime, zone: tzinfo) -> Iterator[str]:
    if terms.gate_closure <= now:
        yield f"the gate closes at {_at(terms.gate_closure, zone)}, it is {_at(now, zone)}"
    if terms.gate_closure >= terms.period_start:
        yield (
            f"the gate closes at {_at(terms.gate_closure, zone)}, after the period's start at "
            f"{_at(terms.period_start, zone)}"
        )
    for name in ("period_start", "period_end"):
        local = getattr(terms, name).astimezone(zone)
        if local.time() != time(0):
            yield f"{name} is {_at(local, zone)}, not a local midnight"
    days = (terms.period_end.astimezone(zone).date() - terms.period_start.astimezone(zone).date()).days
    if terms.most_activations < 1:
        yield "most_activations is 0: nothing would be bought"
    if terms.most_activations > days:
        yield f"most_activations is {terms.most_activations}, the period has {days} days"
    opens = time.fromisoformat(terms.window_start)
    last_day = terms.period_end.astimezone(zone).date() - timedelta(days=1)
    last = datetime.combine(last_day, opens, tzinfo=zone)
    if (last - terms.gate_closure) < timedelta(minutes=terms.notice_minutes):
        yield f"notice_minutes is {terms.notice_minutes}: no day of the period could be activated in time"
    if terms.most_points < 2:
        yield f"most_points is {terms.most_points}: a curve has at least 2"
    if terms.most_eur <= 0:
        yield f"most_eur is {terms.most_eur}: no cap could cost anything"
    called = [station for station in stations if station.location in terms.locations]
    if not called:
        yield f"no registered station is at {', '.join(terms.locations)}"
    for station in called:
        if terms.lowest_limit_kw >= station.connection_kw:
            yield (
                f"lowest_limit_kw is {terms.lowest_limit_kw:g}, the connection of {station.station_id!r} carries "
                f"{station.connection_kw:g} kW"
            )
            continue
        possible = _steps(terms.lowest_limit_kw, terms.step_kw, station.connection_kw)[1] + 1
        if possible < terms.least_points:
            yield (
                f"least_points is {terms.least_points}, {station.station_id!r} has {possible} limits from "
                f"{terms.lowest_limit_kw:g} to {station.connection_kw:g} kW by {terms.step_kw:g} kW"
            )


def _curve_faults(call: AuctionCall, station: Station, curve: Sequence[CurvePoint]) -> Iterator[str]:
    if not call.least_points <= len(curve) <= call.most_points:
        yield f"it has {len(curve)} points, asked for were {call.least_points} to {call.most_points}"
    if len(curve) < 2:
        yield f"{'one point is' if curve else 'no points are'} no curve"
        return
    rising = True
    for left, right in pairwise(curve):
        if right.limit_kw <= left.limit_kw:
            rising = False
            yield f"its limits do not rise: {left.limit_kw:g} kW, then {right.limit_kw:g} kW"
        if right.price_eur > left.price_eur:
            yield (
                f"its price rises with the limit: {left.price_eur} EUR for {left.limit_kw:g} kW, {right.price_eur} EUR "
                f"for {right.limit_kw:g} kW"
            )
    for point in curve:
        if point.price_eur < 0:
            yield f"the price for {point.limit_kw:g} kW is negative: {point.price_eur} EUR"
        if point.price_eur > call.most_eur:
            yield f"the price for {point.limit_kw:g} kW is {point.price_eur} EUR, more than {call.most_eur}"
        if point.limit_kw < call.lowest_limit_kw - WATT_KW:
            yield f"the limit {point.limit_kw:g} kW is below the lowest of {call.lowest_limit_kw:g} kW"
    for point in curve[:-1]:
        if not _on_step(point.limit_kw, call.step_kw):
            yield f"the limit {point.limit_kw:g} kW is no multiple of {call.step_kw:g} kW"
    last = curve[-1]
    if abs(last.limit_kw - station.connection_kw) > WATT_KW:
        yield f"its last limit is {last.limit_kw:g} kW, the station's connection carries {station.connection_kw:g} kW"
    if last.price_eur != 0:
        yield f"its last limit, {last.limit_kw:g} kW, costs {last.price_eur} EUR: without a cap nothing is paid"
    if rising:
        yield from _bends(curve)


def _bends(curve: Sequence[CurvePoint]) -> Iterator[str]:
    """Where a curve is not convex: the line falls faster after a point than before it."""
    for (a, b), (_, c) in pairwise(pairwise(curve)):
        before, after = _exact(b.limit_kw) - _exact(a.limit_kw), _exact(c.limit_kw) - _exact(b.limit_kw)
        if (b.price_eur - a.price_eur) * after > (c.price_eur - b.price_eur) * before:
            yield (
                f"it is not convex at {b.limit_kw:g} kW: {(a.price_eur - b.price_eur) / before:.4f} EUR/kW before, "
                f"{(b.price_eur - c.price_eur) / after:.4f} EUR/kW after it"
            )


def _purchase_faults(purchase: Purchase, bids: dict[str, ApprovedBid], terms: AuctionTerms) -> Iterator[str]:
    bid = bids.get(purchase.bid_id)
    if bid is None:
        yield f"{purchase.bid_id!r} is no approved bid"
        return
    if bid.station_id != purchase.station_id:
        yield f"{purchase.bid_id!r} is a bid of {bid.station_id!r}, not of {purchase.station_id!r}"
    asked = price_on(bid.curve, purchase.limit_kw)
    if asked is None:
        ends = f"{bid.curve[0].limit_kw:g} to {bid.curve[-1].limit_kw:g} kW" if bid.curve else "nothing"
        yield f"{purchase.bid_id!r} offers {ends}, {purchase.limit_kw:g} kW are bought"
        return
    offered = any(abs(point.limit_kw - purchase.limit_kw) <= WATT_KW for point in bid.curve)
    if not offered and not _on_step(purchase.limit_kw, terms.step_kw):
        yield f"the limit {purchase.limit_kw:g} kW of {purchase.bid_id!r} is no multiple of {terms.step_kw:g} kW"
    if purchase.price_eur < asked - CENT / 2:
        yield (
            f"{purchase.limit_kw:g} kW of {purchase.bid_id!r} are bought for {purchase.price_eur} EUR, the curve asks "
            f"{asked:.2f} EUR"
        )


def _on_step(limit_kw: float, step_kw: float) -> bool:
    return abs(limit_kw - round(limit_kw / step_kw) * step_kw) <= WATT_KW


def _exact(power_kw: float) -> Decimal:
    return Decimal(repr(float(power_kw)))


def _at(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
