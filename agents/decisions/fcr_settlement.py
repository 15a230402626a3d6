"""What a delivery of frequency containment is paid: the manager's report held against frequency and meters, then money.

Our reading, where D5.1 section 3.7 has no rule and Energinet's market rules leave the figures to the contract:
capacity is paid for the part of the time in which it was available, and for the rest the price times a penalty factor
is owed. The energy of FCR-N is settled quarter by quarter, what was given at the price of upward and what was taken at
that of downward regulation; the energy of FCR-D is not settled at all and stays an ordinary imbalance.

Activated power is positive upwards (less drawn, or given back); metered power is positive drawn. kW, kWh, EUR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil, sqrt

import numpy as np

from agents.decisions.fcr_products import FcrRules, activations
from agents.decisions.fleet import Floats
from agents.decisions.money import WATT, cents, watts
from protocols.exchanges.frequency_services import DeliveryReport
from protocols.exchanges.vocabulary import FcrProduct

TOLERANCE = 0.15
"""So far the response by the meters may stay behind the availability that is reported: minute means blur the response,
and a plan may move the baseline within its quarter of an hour."""
UNBELIEVABLE = 3 * TOLERANCE
"""Beyond this the report is worth nothing; between the two, half."""
ENERGY_TOLERANCE = 0.1
"""Of the energy that the frequency asked for: two frequency meters, each within 10 mHz. Upwards of it comes what
requirement 1 allows a response to be too large."""
ENERGY_SLACK_H = 0.01
"""In hours of the whole capacity, besides."""
TELLING = 0.02
"""The meters can judge the response where the activation's root mean square is at least this part of the capacity."""
_PERIOD = timedelta(minutes=15)
_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Owed:
    """The capacity that is owed from `start` to `end`."""

    start: datetime
    end: datetime
    capacity_kw: float


@dataclass(frozen=True, slots=True)
class FcrPrices:
    """What the award and the TSO's terms say. `capacity_eur_per_kw` is for each kW and 15 minutes."""

    capacity_eur_per_kw: Decimal
    up_regulation_eur_per_kwh: Decimal
    down_regulation_eur_per_kwh: Decimal
    penalty_factor: Decimal


@dataclass(frozen=True, slots=True)
class FcrVerdict:
    """How far a report is believed: `availability` 0..1 of the time, and why it is less than was reported (or None).

    `response` is the part of the expected activation that the meters show, None where they cannot tell.
    """

    availability: Decimal
    response: float | None
    doubt: str | None


@dataclass(frozen=True, slots=True)
class FcrSettled:
    """The money, in whole cents: `amount_eur` = capacity + energy - penalty, below 0 where the manager owes.

    `energy_kwh` > 0 was given on balance.
    """

    verdict: FcrVerdict
    energy_kwh: Decimal
    capacity_eur: Decimal
    energy_eur: Decimal
    penalty_eur: Decimal

    @property
    def amount_eur(self) -> Decimal:
        return self.capacity_eur + self.energy_eur - self.penalty_eur


def owed_kw(owed: Sequence[Owed], start: datetime, seconds: int) -> Floats:
    """The capacity that is owed in each second from `start` on."""
    kw = np.zeros(seconds)
    for part in owed:
        first = max(0, ceil((part.start - start).total_seconds()))
        kw[first : max(0, ceil((part.end - start).total_seconds()))] = part.capacity_kw
    return kw


def kw_periods(owed: Sequence[Owed], start: datetime, end: datetime) -> Decimal:
    """Capacity times time in kW and 15 minutes, exact to the second, of what is owed from `start` to `end`."""
    total = Decimal(0)
    for part in owed:
        seconds = (min(end, part.end) - max(start, part.start)).total_seconds()
        total += watts(part.capacity_kw) * max(0, round(seconds)) / Decimal(900)
    return total


def expected_kw(rules: FcrRules, hz: Floats, capacity_kw: Floats) -> Floats:
    """What the product asks for in each second, positive upwards."""
    return activations(rules, hz) * capacity_kw


def report_fault(report: DeliveryReport, start: datetime, end: datetime) -> str | None:
    """Why a report is no answer to the question about `start` to `end`, None where it is one."""
    seconds = round((end - start).total_seconds())
    if (report.start, report.end) != (start, end):
        return "the report is about another time"
    if report.logged_seconds > seconds:
        return f"the report has {report.logged_seconds} seconds of {seconds}"
    if len(report.baseline_kw) != (wanted := -((start - end) // _PERIOD)):
        return f"the report has {len(report.baseline_kw)} baselines for {wanted} quarters of an hour"
    return None


def shown_kw(metered_kw: Sequence[float], baseline_kw: Sequence[float]) -> Floats:
    """The change that minute means show beside the baseline of each quarter of an hour, positive upwards."""
    base = np.repeat(np.asarray(baseline_kw, dtype=float), _MINUTES)[: len(metered_kw)]
    change: Floats = base - np.asarray(metered_kw, dtype=float)
    return change


def response_of(asked_kw: Floats, shown: Floats, capacity_kw: float) -> float | None:
    """The part of what was asked for that the meters show, minute by minute, by least squares; None where the frequency
    asked for too little to tell.

    Where it changed enough within the quarters of an hour only that is looked at: no baseline can hide what the
    chargers did not follow.
    """
    for asked, seen in ((_within_quarters(asked_kw), _within_quarters(shown)), (asked_kw, shown)):
        square = float(asked @ asked)
        if len(asked) and sqrt(square / len(asked)) >= TELLING * capacity_kw:
            return float(asked @ seen) / square
    return None


def _within_quarters(minutes: Floats) -> Floats:
    """Each minute beside the mean of its quarter of an hour."""
    parts = [minutes[first : first + _MINUTES] for first in range(0, len(minutes), _MINUTES)]
    return np.concatenate([part - part.mean() for part in parts]) if parts else minutes


def verdict(
    rules: FcrRules, report: DeliveryReport, asked_kw: Floats, capacity_kw: float, metered_kw: Sequence[float] | None
) -> FcrVerdict:
    """Whether frequency and meters bear out the availability that is reported. A response that is too large within the
    rules costs nothing, and brings nothing either (`energy_kwh`).

    `asked_kw` of each second by the TSO's own record; `metered_kw` of all the chargers, means of each minute, None
    where they do not answer. Half is believed beyond TOLERANCE, nothing beyond UNBELIEVABLE.
    """
    seconds = len(asked_kw)
    share = Decimal(report.available_seconds) / seconds
    doubts: list[str] = []
    worth = Decimal(1)
    for name, told, sign in (("upwards", report.up_kwh, 1), ("downwards", report.down_kwh, -1)):
        asked = float(np.clip(sign * asked_kw, 0.0, None).sum()) / 3600
        slack = ENERGY_TOLERANCE * asked + ENERGY_SLACK_H * capacity_kw
        least = asked - float(1 - share) * capacity_kw * seconds / 3600 - slack
        if not least <= told <= (1 + rules.over_share) * asked + slack:
            doubts.append(f"{told:.3f} kWh {name} are reported, and the frequency asked for {asked:.3f}")
            worth = Decimal("0.5")
    response = None
    if metered_kw is not None:
        minutes = minute_means(asked_kw)[: len(metered_kw)]
        response = response_of(minutes, shown_kw(metered_kw, report.baseline_kw)[: len(minutes)], capacity_kw)
    if response is not None and (gap := float(share) - response) > TOLERANCE:
        doubts.append(f"{float(share):.0%} are reported as available, and the meters show {response:.0%}")
        worth = Decimal(0) if gap > UNBELIEVABLE else Decimal("0.5")
    return FcrVerdict(share * worth, response, "; ".join(doubts) or None)


def minute_means(seconds: Floats) -> Floats:
    """Means of each whole minute."""
    whole = len(seconds) // 60
    means: Floats = seconds[: whole * 60].reshape(whole, 60).mean(axis=1)
    return means


def energy_kwh(asked_kw: Floats, metered_kw: Sequence[float] | None, report: DeliveryReport) -> tuple[Decimal, Decimal]:
    """The energy given and taken, each quarter of an hour on balance, to the watt-hour.

    By the meters beside the reported baseline; more than the frequency asked for is not settled. Without meters it is
    what was reported, within the same bounds.
    """
    if metered_kw is None:
        up = min(report.up_kwh, float(np.clip(asked_kw, 0.0, None).sum()) / 3600)
        down = min(report.down_kwh, float(np.clip(-asked_kw, 0.0, None).sum()) / 3600)
        return _kwh(up), _kwh(down)
    shown = shown_kw(metered_kw, report.baseline_kw)
    given = taken = Decimal(0)
    for first in range(0, len(shown), _MINUTES):
        asked = asked_kw[first * 60 : (first + _MINUTES) * 60]
        most = float(np.clip(asked, 0.0, None).sum()) / 3600
        least = -float(np.clip(-asked, 0.0, None).sum()) / 3600
        net = _kwh(min(max(float(shown[first : first + _MINUTES].sum()) / 60, least), most))
        given, taken = given + max(net, Decimal(0)), taken + max(-net, Decimal(0))
    return given, taken


def settle_fcr(
    rules: FcrRules,
    owed: Sequence[Owed],
    start: datetime,
    end: datetime,
    hz: Floats,
    report: DeliveryReport | str,
    metered_kw: Sequence[float] | None,
    prices: FcrPrices,
) -> FcrSettled:
    """Settles what was owed from `start` to `end`; `hz` is the TSO's record of each second of it.

    `report` is a text, saying why, where none came or it is no answer: then nothing is proven and nothing available.
    """
    kw = owed_kw(owed, start, len(hz))
    asked = expected_kw(rules, hz, kw)
    if isinstance(report, str):
        judged, given, taken = FcrVerdict(Decimal(0), None, report), Decimal(0), Decimal(0)
    else:
        judged = verdict(rules, report, asked, float(kw.max(initial=0.0)), metered_kw)
        given, taken = energy_kwh(asked, metered_kw, report)
    settles_energy = rules.product in (FcrProduct.FCR_N, FcrProduct.FCR_CE)
    energy = given * prices.up_regulation_eur_per_kwh - taken * prices.down_regulation_eur_per_kwh
    kept = kw_periods(owed, start, end) * prices.capacity_eur_per_kw
    return FcrSettled(
        verdict=judged,
        energy_kwh=given - taken,
        capacity_eur=cents(kept * judged.availability),
        energy_eur=cents(energy) if settles_energy else Decimal("0.00"),
        penalty_eur=cents(kept * (1 - judged.availability) * prices.penalty_factor),
    )


def nothing_owed() -> FcrSettled:
    """The settlement of what was called off before it began."""
    zero = Decimal("0.00")
    return FcrSettled(FcrVerdict(Decimal(0), None, None), zero, zero, zero, zero)


def price_of(ceiling_eur_per_kw: Decimal, wanted_kw: float, bought_kw: float) -> Decimal:
    """What the last kW is worth when `bought_kw` are bought: the ceiling for the first, falling evenly to half of it
    for the last one that is wanted. To the tick of 0.0001 EUR, downwards."""
    if wanted_kw <= 0:
        return Decimal(0)
    part = watts(min(max(bought_kw, 0.0), wanted_kw)) / watts(wanted_kw)
    return (ceiling_eur_per_kw * (1 - part / 2)).quantize(Decimal("0.0001"), "ROUND_FLOOR")


def amount_to_buy(
    ceiling_eur_per_kw: Decimal, wanted_kw: float, bought_kw: float, offered_kw: float, asked_eur_per_kw: Decimal
) -> float:
    """How much of an offer is bought beside `bought_kw`: as long as a kW is worth what is asked for it; to 0.1 kW."""
    room = wanted_kw - bought_kw

    def worth_it(kw: float) -> bool:
        return price_of(ceiling_eur_per_kw, wanted_kw, bought_kw + kw) >= asked_eur_per_kw

    if offered_kw <= room + 1e-9 and worth_it(offered_kw):
        return offered_kw
    tenths = int(min(offered_kw, max(0.0, room)) * 10 + 1e-6)
    while tenths > 0 and not worth_it(tenths / 10):
        tenths -= 1
    return tenths / 10


def _kwh(kwh: float) -> Decimal:
    return Decimal(repr(kwh)).quantize(WATT)
