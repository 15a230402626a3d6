"""A VPP's books: what its vehicles can do now, what it has promised for which quarter, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto

import numpy as np

from agents.charging import HORIZON, vehicles_of
from agents.decisions.bidding import NoOffer, Offer, Strategy, offer
from agents.decisions.fleet import FlexVehicle, Floats
from agents.decisions.planning import Costs, cost_curve, reduction
from agents.periods import QUARTER, index_of, quarter_at, quarters
from protocols.exchanges.activation import DataMeasurements
from protocols.exchanges.vocabulary import ServiceType


@dataclass(frozen=True, eq=False)
class View:
    """The portfolio as its CPOs described it at one moment; periods are quarters from `start`.

    `planned_kw[cpo]` [period] is what each CPO's chargers will draw as things stand, positive drawn.
    """

    start: datetime
    vehicles: Mapping[str, tuple[FlexVehicle, ...]]
    planned_kw: Mapping[str, Floats]

    @classmethod
    def of(
        cls,
        now: datetime,
        reports: Mapping[str, DataMeasurements],
        efficiency: Mapping[str, tuple[float, float]],
        discharge_limits: Mapping[str, float],
    ) -> View:
        """From the newest 1.2.2 of each CPO; one that did not answer is left out: nothing of it can be promised.

        `discharge_limits`: kW by bus, where the prequalification left less than the chargers could give.
        """
        start = quarter_at(now)
        planned = {}
        for cpo, report in reports.items():
            series = np.zeros(HORIZON)
            series[: len(report.planned_kw)] = report.planned_kw[:HORIZON]
            planned[cpo] = series
        return cls(
            start=start,
            vehicles={
                cpo: tuple(vehicles_of(report.chargers, start, efficiency, discharge_limits))
                for cpo, report in reports.items()
            },
            planned_kw=planned,
        )

    @property
    def total_kw(self) -> Floats:
        """[period], all CPOs together."""
        return sum(self.planned_kw.values(), start=np.zeros(HORIZON))

    def window(self, start: datetime, end: datetime) -> range | None:
        """The periods from `start` to `end`, None where they are past or beyond the horizon."""
        first = index_of(start, self.start)
        window = range(first, first + quarters(start, end))
        return window if first >= 0 and window and window.stop <= HORIZON else None


class Stage(Enum):
    """How far a promise has come."""

    OFFERED = auto()
    AWARDED = auto()
    ACTIVATED = auto()
    DELIVERED = auto()


@dataclass(slots=True)
class Promise:
    """A bid and what became of it: `power_kw` less than `baseline_kw` (nominated) in each quarter from start to end."""

    bid_id: str
    service: ServiceType
    congestion_point: str
    start: datetime
    end: datetime
    power_kw: float
    price_eur_per_kw: Decimal
    baseline_kw: tuple[float, ...]
    buyer: str
    stage: Stage = Stage.OFFERED
    activation_id: str | None = None
    bill_id: str | None = None
    parts_kw: dict[str, float] = field(default_factory=dict)
    measured_kw: dict[datetime, float] = field(default_factory=dict)

    @property
    def periods(self) -> int:
        """How many quarters of an hour it lasts."""
        return len(self.baseline_kw)

    @property
    def measured(self) -> tuple[float, ...]:
        """Mean power of each quarter as the chargers' registers have it; a missing one as nominated: no delivery."""
        times = (self.start + k * QUARTER for k in range(len(self.baseline_kw)))
        return tuple(self.measured_kw.get(at, b) for at, b in zip(times, self.baseline_kw, strict=True))


SMALLEST_PART_KW = 0.1
"""A CPO that would carry less is not asked."""


@dataclass(frozen=True, slots=True)
class Part:
    """One CPO's part of an activation: the reduction it is paid for, and the most it may draw in each quarter."""

    power_kw: float
    ceiling_kw: tuple[float, ...]


class Portfolio:
    """The promises of one VPP, and the bids that are possible besides them."""

    def __init__(self, strategy: Strategy, costs: Costs) -> None:
        self.strategy = strategy
        self.costs = costs
        self.promises: dict[str, Promise] = {}

    def by_activation(self, activation_id: str) -> Promise | None:
        """The promise that this activation called, None for an unknown one."""
        return next((p for p in self.promises.values() if p.activation_id == activation_id), None)

    def ceilings(self, view: View) -> Floats:
        """[period] what the fleet may draw at most so that everything promised, but not yet activated, stays possible;
        infinite where nothing is promised. An activated promise is in the CPOs' plans already."""
        ceiling = np.full(HORIZON, np.inf)
        total = view.total_kw
        for promise in self.promises.values():
            if promise.stage not in (Stage.OFFERED, Stage.AWARDED):
                continue
            for k in range(len(promise.baseline_kw)):
                t = index_of(promise.start + k * QUARTER, view.start)
                if 0 <= t < HORIZON:
                    ceiling[t] = min(ceiling[t], total[t]) - promise.power_kw
        return ceiling

    def best_offer(
        self,
        view: View,
        start: datetime,
        end: datetime,
        *,
        needed_kw: float,
        max_price_eur_per_kw: Decimal,
        min_power_kw: float = 0.0,
        granularity_kw: float = 0.1,
    ) -> Offer | NoOffer:
        """What can be offered from `start` to `end` besides all that is promised, at what price."""
        window = view.window(start, end)
        if window is None:
            return NoOffer("too-late", "the window is not within the coming day")
        ceiling = self.ceilings(view)
        baseline = np.minimum(view.total_kw, ceiling)
        vehicles = [v for part in view.vehicles.values() for v in part]
        curve = cost_curve(
            vehicles,
            np.where(np.isin(np.arange(HORIZON), window), baseline, view.total_kw),
            window,
            up_to_kw=needed_kw / (1 - self.strategy.reserve) + granularity_kw,
            costs=self.costs,
            cap_kw=ceiling,
        )
        return offer(
            curve,
            self.strategy,
            needed_kw=needed_kw,
            max_price_eur_per_kw=max_price_eur_per_kw,
            min_power_kw=min_power_kw,
            granularity_kw=granularity_kw,
        )

    def split(self, view: View, promise: Promise) -> dict[str, Part]:
        """Each CPO's part of an activation, in proportion to what it is able to do.

        The nomination was made earlier, and the plans have moved since: the ceilings close the gap between the present
        plans and what was promised, whatever its sign.
        """
        window = view.window(promise.start, promise.end)
        if window is None:
            return {}
        inside = slice(window.start, window.stop)
        gap = view.total_kw[inside] - (np.array(promise.baseline_kw) - promise.power_kw)
        able = {
            cpo: max(0.0, reduction(list(part), view.planned_kw[cpo], window, costs=self.costs).power_kw)
            for cpo, part in view.vehicles.items()
            if part
        }
        total = sum(able.values())
        parts = {}
        for cpo, kw in able.items():
            if total <= 0 or kw / total * promise.power_kw < SMALLEST_PART_KW:
                continue
            ceiling = view.planned_kw[cpo][inside] - gap * kw / total
            parts[cpo] = Part(
                round(kw / total * promise.power_kw, 3), tuple(round(float(limit), 3) for limit in ceiling)
            )
        return parts


def mean_power(before: Sequence[DataMeasurements], after: Sequence[DataMeasurements], hours: float) -> float | None:
    """kW from two readings of the chargers' energy registers, `hours` apart; None where a register is missing."""

    def total(reports: Sequence[DataMeasurements]) -> dict[str, float | None]:
        return {c.charger_id: c.meter_kwh for report in reports for c in report.chargers}

    first, last = total(before), total(after)
    change = 0.0
    for charger, reading in last.items():
        earlier = first.get(charger)
        if reading is None or earlier is None:
            return None
        change += reading - earlier
    return change / hours
