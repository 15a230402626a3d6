"""A VPP's books: what its vehicles can do now, what it has promised for which quarter, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto

import numpy as np

from agents.charging import HORIZON, vehicles_of
from agents.decisions.bidding import NoOffer, Offer, Strategy, offer
from agents.decisions.fleet import FlexVehicle, Floats
from agents.decisions.planning import Costs, cost_curve, reduction
from agents.ids import activation_of
from agents.periods import QUARTER, index_of, quarter_at, quarters
from protocols.exchanges.activation import DataMeasurements
from protocols.exchanges.vocabulary import ServiceType


@dataclass(frozen=True, eq=False)
class View:
    """The portfolio as its CPOs described it at one moment; periods are quarters from `start`.

    `planned_kw[cpo]` [period] is what each CPO's chargers will draw as things stand, positive drawn; `surplus_kw`
    [period] what the PV at the CPOs' own sites is expected to give beyond that, >= 0.
    """

    start: datetime
    vehicles: Mapping[str, tuple[FlexVehicle, ...]]
    planned_kw: Mapping[str, Floats]
    surplus_kw: Floats

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
        surplus = np.zeros(HORIZON)
        for cpo, report in reports.items():
            series = np.zeros(HORIZON)
            series[: len(report.planned_kw)] = report.planned_kw[:HORIZON]
            planned[cpo] = series
            expected = np.zeros(HORIZON)
            expected[: len(report.production_forecast_kw)] = report.production_forecast_kw[:HORIZON]
            surplus += np.maximum(0.0, expected - np.maximum(0.0, series))
        return cls(
            start=start,
            vehicles={
                cpo: tuple(vehicles_of(report.chargers, start, efficiency, discharge_limits))
                for cpo, report in reports.items()
            },
            planned_kw=planned,
            surplus_kw=surplus,
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
    """The promises of one VPP, and the bids that are possible besides them.

    `costs` are those of energy from the grid and of battery wear; `feed_in_eur_per_kwh` is what own PV would earn else.
    """

    def __init__(self, strategy: Strategy, costs: Costs, feed_in_eur_per_kwh: float = 0.0) -> None:
        self.strategy = strategy
        self.costs = costs
        self.feed_in_eur_per_kwh = feed_in_eur_per_kwh
        self.promises: dict[str, Promise] = {}
        self.registered_kw = np.inf

    def by_activation(self, activation_id: str) -> Promise | None:
        """The promise that this activation called, or should have called; None for an unknown one."""
        return next(
            (
                p
                for p in self.promises.values()
                if p.activation_id == activation_id
                or (p.stage is not Stage.OFFERED and activation_of(p.bid_id) == activation_id)
            ),
            None,
        )

    def _promised(self, view: View, *stages: Stage) -> Iterator[tuple[int, float, Promise]]:
        """Each period of each promise of these stages: its number, and the power that was nominated for it."""
        for promise in self.promises.values():
            if promise.stage not in stages:
                continue
            for k, nominated in enumerate(promise.baseline_kw):
                t = index_of(promise.start + k * QUARTER, view.start)
                if 0 <= t < HORIZON:
                    yield t, nominated, promise

    def sold_down_to(self, view: View, *stages: Stage) -> Floats:
        """[period] the power down to which promises of these stages have sold the fleet's consumption, whether they are
        kept or not; infinite where nothing is sold."""
        level = np.full(HORIZON, np.inf)
        for t, nominated, promise in self._promised(view, *stages):
            level[t] = min(level[t], nominated - promise.power_kw)
        return level

    def baseline(self, view: View) -> Floats:
        """[period] what a new promise is measured against: the plans, and below them whatever is sold already. A buyer
        pays for a promise that fails by its own meters, so that its kW are never free to be sold again. Nor are those
        beyond `registered_kw`, the chargers in the register as they were then: nobody takes a larger nomination."""
        sold = self.sold_down_to(view, Stage.AWARDED, Stage.ACTIVATED, Stage.DELIVERED)
        return np.minimum(np.minimum(view.total_kw, self.registered_kw), sold)

    def ceilings(self, view: View) -> Floats:
        """[period] what the fleet may draw at most so that everything promised, but not yet activated, stays possible;
        infinite where nothing is promised. An activated promise is in the CPOs' plans already."""
        ceiling = self.sold_down_to(view, Stage.AWARDED)
        baseline = self.baseline(view)
        for t, _, promise in self._promised(view, Stage.OFFERED):
            ceiling[t] = min(ceiling[t], baseline[t]) - promise.power_kw
        return ceiling

    def costs_at(self, view: View) -> Costs:
        """What energy costs in each quarter: what the own PV gives in surplus is worth only what feeding it in would
        bring, for as much of the fleet's charging as it covers."""
        able = sum(v.max_charge_kw for part in view.vehicles.values() for v in part)
        if able <= 0 or not view.surplus_kw.any():
            return self.costs
        covered = np.minimum(1.0, view.surplus_kw / able)
        tariff = np.asarray(self.costs.energy_eur_per_kwh, dtype=np.float64)
        price = tariff - np.maximum(0.0, tariff - self.feed_in_eur_per_kwh) * covered
        return Costs(energy_eur_per_kwh=price, wear_eur_per_kwh=self.costs.wear_eur_per_kwh)

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
        baseline = np.minimum(self.baseline(view), ceiling)
        vehicles = [v for part in view.vehicles.values() for v in part]
        curve = cost_curve(
            vehicles,
            np.where(np.isin(np.arange(HORIZON), window), baseline, view.total_kw),
            window,
            up_to_kw=needed_kw / (1 - self.strategy.reserve) + granularity_kw,
            costs=self.costs_at(view),
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


def mean_power(
    before: Sequence[DataMeasurements],
    after: Sequence[DataMeasurements],
    hours: float,
    last_kw: Mapping[str, float] | None = None,
) -> float | None:
    """kW from two readings of the chargers' energy registers, `hours` apart.

    A charger whose register is missing, or whose CPO gave no data, counts with its last known power, `last_kw` by
    charger. None where nothing is known of a charger, or no charger at all.
    """

    def registers(reports: Sequence[DataMeasurements]) -> dict[str, float | None]:
        return {c.charger_id: c.meter_kwh for report in reports for c in report.chargers}

    first, last = registers(before), registers(after)
    total = 0.0
    for charger in sorted({*first, *last}):
        earlier, later = first.get(charger), last.get(charger)
        if earlier is not None and later is not None:
            total += (later - earlier) / hours
        elif last_kw is not None and charger in last_kw:
            total += last_kw[charger]
        else:
            return None
    return total if first or last else None


def powers_of(reports: Iterable[DataMeasurements]) -> dict[str, float]:
    """kW of each charger that answered, by name: one without a register was silent, and its power is not known."""
    return {c.charger_id: c.power_kw for report in reports for c in report.chargers if c.meter_kwh is not None}
