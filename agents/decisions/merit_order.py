"""The merit order list of flexibility activations: what each parked vehicle can do against a congestion, at which cost.

D5.1 3.3: "this list contains potential solutions to the congestion problem, sorted with the most preferred alternatives
at the top". Reductions are kW > 0 against the vehicle's plan, by market period of the service; costs are EUR for each
kWh of reduction and have what the driver gets in them.

SHIFT: the charging planned within the service is made up for before the departure. CURTAIL: more than can be made up is
withheld, and the driver leaves with less, but never below `least_share` of what was asked for. DISCHARGE: all charging
is withheld, and energy is given back that can be charged again before the departure. All keep the floor.

A vehicle may be in the list more than once, with alternatives; whoever goes down the list counts it once, with the
largest activation passed so far (`walk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from agents.decisions.vehicle_offer import LEAST_OFFER_KW, SLACK, Parked, by_order
from agents.periods import QUARTER
from protocols.exchanges.congestion_services import ActivationKind

HOURS = QUARTER / timedelta(hours=1)
COST_PLACES = 3
"""Costs are rounded to 0.1 ct per kWh; what costs the same then may form a group."""
_SAME_KWH = 1e-6

Replan = Callable[[Parked, Sequence[float], Mapping[datetime, float]], tuple[float, ...]]
"""The cheapest plan of a vehicle by these prices around the powers that are set already."""


@dataclass(frozen=True, slots=True)
class Service:
    """What was called for: when, for how many market periods, and what is paid for each kWh not drawn or given back."""

    start: datetime
    periods: int
    reduction_price: float
    discharging_price: float

    @property
    def end(self) -> datetime:
        """When it is over."""
        return self.start + self.periods * QUARTER


@dataclass(frozen=True, slots=True)
class CongestionTerms:
    """How a manager reckons, EUR/kWh. These are assumptions of ours, stated in the documentation.

    `driver_share`: of what the DSO pays, the driver's part, on top of wear and of `energy_value` for each kWh that the
    driver leaves without (what it costs elsewhere). `least_share`: of what was asked for, never left with less.
    `penalty_factor`: what a kWh that is missing is taken to cost, in reduction prices: the penalty, and lost trust.
    """

    wear: float
    minimum_benefit: float
    driver_share: float = 0.5
    energy_value: float = 0.45
    least_share: float = 0.8
    penalty_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Activation:
    """What one vehicle can do. `reduction_kw` and the charger's `power_kw` are by market period of the service."""

    charger_id: str
    place: str
    kind: ActivationKind
    reduction_kw: tuple[float, ...]
    power_kw: tuple[float, ...]
    cost_eur_per_kwh: float
    driver_eur_per_kwh: float
    revenue_eur_per_kwh: float
    departure_soc_percent: float

    @property
    def mean_kw(self) -> float:
        """The mean reduction over the service."""
        return sum(self.reduction_kw) / len(self.reduction_kw)

    @property
    def energy_kwh(self) -> float:
        """The reduction over the service."""
        return sum(self.reduction_kw) * HOURS

    @property
    def margin_eur_per_kwh(self) -> float:
        """What is left for the manager."""
        return self.revenue_eur_per_kwh - self.cost_eur_per_kwh


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list: one vehicle, or those of one place that do the same at the same cost."""

    activation_id: str
    parts: tuple[Activation, ...]

    @property
    def kind(self) -> ActivationKind:
        return self.parts[0].kind

    @property
    def cost_eur_per_kwh(self) -> Decimal:
        """To 0.1 ct."""
        return _rounded(self.parts[0].cost_eur_per_kwh)


def activations(
    vehicle: Parked,
    place: str,
    plan: Sequence[float],
    prices_eur_per_kwh: Sequence[float],
    first: datetime,
    service: Service,
    terms: CongestionTerms,
    replan: Replan,
) -> list[Activation]:
    """What the vehicle can do, none where it pays less than the minimum benefit or is below `LEAST_OFFER_KW`.

    `plan` and `prices_eur_per_kwh` are by market period from `first` on, that of `vehicle.at`. A vehicle that leaves
    before the end, is below its floor, or charges in its taper then, does nothing.
    """
    offset = (service.start - first) // QUARTER
    own = tuple(plan[k] if k < len(plan) else 0.0 for k in range(offset, offset + service.periods))
    then = _along(vehicle, plan[:offset], service.start)
    after = _along(then, own, service.end)
    charged = sum(kw for kw in own) * HOURS * vehicle.efficiency_charge
    if vehicle.departure < service.end or then.energy_kwh < vehicle.floor_kwh or min(own, default=0.0) < 0.0:
        return []
    if charged > _SAME_KWH and after.energy_kwh > vehicle.knee_kwh + _SAME_KWH:
        return []
    needed = least_energy(then, service.end, vehicle.required_kwh)
    must = max(0.0, needed - then.energy_kwh)
    bench = _Bench(vehicle, place, tuple(plan), tuple(prices_eur_per_kwh), first, service, terms, replan, own, then)
    found = [bench.withheld(ActivationKind.SHIFT, must, charged)]
    if must > _SAME_KWH:
        least = max(vehicle.floor_kwh, min(vehicle.required_kwh, terms.least_share * vehicle.required_kwh))
        short = max(0.0, least_energy(then, service.end, least) - then.energy_kwh)
        found.append(bench.withheld(ActivationKind.CURTAIL, short, charged))
    else:
        spare = then.energy_kwh - max(needed, vehicle.floor_kwh)
        given = min(vehicle.max_discharge_kw, spare * vehicle.efficiency_discharge / (service.periods * HOURS))
        found.append(bench.discharged(max(0.0, given)))
    return [
        each
        for each in found
        if each is not None
        and each.mean_kw >= LEAST_OFFER_KW
        and each.margin_eur_per_kwh >= terms.minimum_benefit - 1e-9
    ]


def least_energy(vehicle: Parked, at: datetime, energy_kwh: float) -> float:
    """What the battery must hold at `at`, so that full power gets it to `energy_kwh` `SLACK` before the departure."""
    hours = max(0.0, (vehicle.departure - SLACK - at) / timedelta(hours=1))
    slow_kwh = max(0.0, energy_kwh - vehicle.knee_kwh)
    if vehicle.full_kw <= 0:
        return energy_kwh
    slow_hours = 2 * slow_kwh / vehicle.full_kw
    if hours <= slow_hours:
        return energy_kwh - hours * vehicle.full_kw / 2
    return min(energy_kwh, vehicle.knee_kwh) - (hours - slow_hours) * vehicle.full_kw


@dataclass(frozen=True, slots=True)
class _Bench:
    """One vehicle with all that its activations are reckoned by."""

    vehicle: Parked
    place: str
    plan: tuple[float, ...]
    prices: tuple[float, ...]
    first: datetime
    service: Service
    terms: CongestionTerms
    replan: Replan
    own: tuple[float, ...]
    then: Parked

    def withheld(self, kind: ActivationKind, must_kwh: float, charged_kwh: float) -> Activation | None:
        """All charging that need not be within the service is withheld: in the same proportion in each period."""
        if charged_kwh - must_kwh <= _SAME_KWH:
            return None
        keep = must_kwh / charged_kwh
        return self._activation(kind, tuple(kw * keep for kw in self.own))

    def discharged(self, given_kw: float) -> Activation | None:
        """No charging, and the same power given back throughout."""
        if given_kw <= _SAME_KWH:
            return None
        return self._activation(ActivationKind.DISCHARGE, (-given_kw,) * len(self.own))

    def _activation(self, kind: ActivationKind, powers: tuple[float, ...]) -> Activation:
        terms, service, vehicle = self.terms, self.service, self.vehicle
        reduction = tuple(own - kw for own, kw in zip(self.own, powers, strict=True))
        energy = sum(reduction) * HOURS
        given = -sum(min(0.0, kw) for kw in powers) * HOURS
        set_to = {service.start + k * QUARTER: kw for k, kw in enumerate(powers)}
        changed = self.replan(vehicle, self.prices, set_to)
        left = _along(vehicle, changed, vehicle.departure).energy_kwh
        planned = _along(vehicle, self.plan, vehicle.departure).energy_kwh
        short = max(0.0, min(planned, vehicle.required_kwh) - left)
        revenue = ((energy - given) * service.reduction_price + given * service.discharging_price) / energy
        lost = short / vehicle.efficiency_charge * terms.energy_value if kind is ActivationKind.CURTAIL else 0.0
        wear = terms.wear * given / vehicle.efficiency_discharge
        driver = max(0.0, terms.driver_share * revenue) + (lost + wear) / energy
        more = (self._charging_eur(changed) - self._charging_eur(self.plan)) / energy
        return Activation(
            charger_id=vehicle.id,
            place=self.place,
            kind=kind,
            reduction_kw=reduction,
            power_kw=powers,
            cost_eur_per_kwh=max(0.0, more + driver),
            driver_eur_per_kwh=driver,
            revenue_eur_per_kwh=revenue,
            departure_soc_percent=min(100.0, max(0.0, 100 * left / vehicle.capacity_kwh)),
        )

    def _charging_eur(self, plan: Sequence[float]) -> float:
        """What is charged by the plan costs at the retailer's; what is given back brings nothing there."""
        total = 0.0
        for k, (kw, price) in enumerate(zip(plan, self.prices, strict=False)):
            quarter = self.first + k * QUARTER
            hours = (quarter + QUARTER - max(quarter, self.vehicle.at)) / timedelta(hours=1)
            total += max(0.0, kw) * hours * price
        return total


def _along(vehicle: Parked, powers_kw: Iterable[float], until: datetime) -> Parked:
    """The vehicle at `until`, with these powers from its present market period on."""
    quarter = vehicle.at - timedelta(
        minutes=vehicle.at.minute % 15, seconds=vehicle.at.second, microseconds=vehicle.at.microsecond
    )
    for kw in powers_kw:
        quarter += QUARTER
        vehicle = by_order(vehicle, kw, max(vehicle.at, min(quarter, until)))
    return replace(vehicle, at=max(vehicle.at, until))


# ---- the list --------------------------------------------------------------------------------------------------------


def merit_order(found: Iterable[Activation], request_id: str) -> tuple[Entry, ...]:
    """The list, the cheapest first; at the same cost shifted before withheld before given back, then by charger.

    Activations of one kind, cost (to 0.1 ct) and place form one entry; a vehicle has one alternative of each kind, so
    that it is in an entry once.
    """
    kinds = (ActivationKind.SHIFT, ActivationKind.CURTAIL, ActivationKind.DISCHARGE)
    groups: dict[tuple[Decimal, int, str], list[Activation]] = {}
    for each in found:
        key = (_rounded(each.cost_eur_per_kwh), kinds.index(each.kind), each.place)
        groups.setdefault(key, []).append(each)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], item[0][1], min(a.charger_id for a in item[1])))
    return tuple(
        Entry(f"{request_id}/{number}", tuple(sorted(parts, key=lambda a: a.charger_id)))
        for number, (_, parts) in enumerate(ordered, start=1)
    )


def walk(entries: Sequence[Entry], depth: int | None = None) -> list[Activation]:
    """Each vehicle once, with the largest activation among the first `depth` entries (None: all), in the order in
    which the vehicles first appear."""
    best: dict[str, Activation] = {}
    for entry in entries[:depth]:
        for part in entry.parts:
            if part.charger_id not in best or part.mean_kw > best[part.charger_id].mean_kw:
                best[part.charger_id] = part
    return list(best.values())


def _rounded(cost: float) -> Decimal:
    return Decimal(str(round(cost, COST_PLACES))).quantize(Decimal(1).scaleb(-COST_PLACES))
