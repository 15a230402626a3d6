"""A DSO's books: which resources it prequalified, what it bought from whom, and whether a claim or a bill is right.

Nothing here sends a message. Powers in kW; a reduction is positive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from agents.decisions.money import cents
from agents.decisions.settlement import Sold, VolumeDisputed, agree_volume, baseline_fault
from agents.grid_watch import shared
from agents.periods import QUARTER
from protocols.exchanges.procurement import PrequalificationRequest, PrequalificationResult
from protocols.exchanges.settlement import Bill, DeliveredVolume
from protocols.exchanges.vocabulary import ServiceType

LEAST_DISPUTED_EUR = Decimal("0.01")
"""Cents are rounded."""
LEAST_DISPUTED_KWH = 0.1
"""A bill that is off by less than a meter's last digits is right."""


@dataclass(slots=True)
class Ordered:
    """An activation: what was bought from whom, and what became of it.

    `baseline_kw`: as nominated, None where it is metered. `agreed_kw`: the volume that is paid, both sides' or, where
    they differ, the DSO's.
    """

    activation_id: str
    bid_id: str
    vpp: str
    service: ServiceType
    start: datetime
    end: datetime
    power_kw: float
    price_eur_per_kw: Decimal
    baseline_kw: tuple[float, ...] | None
    pool: bool
    available_kw: float = 0.0
    agreed_kw: tuple[float, ...] | None = None
    paid: bool = False
    bill_id: str | None = None

    @property
    def periods(self) -> int:
        """How many quarters of an hour it lasts."""
        return (self.end - self.start) // QUARTER


@dataclass(slots=True)
class OrderBook:
    """Resources by id, as asked and as qualified, and orders by activation id."""

    resources: dict[str, PrequalificationRequest] = field(default_factory=dict)
    qualified: dict[str, PrequalificationResult] = field(default_factory=dict)
    orders: dict[str, Ordered] = field(default_factory=dict)

    def bus_of(self) -> dict[str, str]:
        """The bus of each registered charger."""
        return {c: r.location for r in self.resources.values() for c in r.charger_ids}

    def chargers_of(self, vpp: str) -> list[str]:
        """The chargers that a VPP registered, by name."""
        return sorted({c for r in self.resources.values() if r.vpp == vpp for c in r.charger_ids})

    def registration_fault(
        self, asked: PrequalificationRequest, connections: Mapping[str, str] | None
    ) -> tuple[str, str] | None:
        """The code and the reason for which a resource is not looked at, None where it may be.

        A charger is in one resource: else its power would count twice, and one VPP could be paid for what another's
        customers do. `connections`: the bus of each charger that the DSO has connected, None where it does not say.
        """
        known = self.resources.get(asked.resource_id)
        if known is not None and known.vpp != asked.vpp:
            return "not-authorised", f"resource {asked.resource_id} is another VPP's"
        taken = {c: r for r in self.resources.values() if r.resource_id != asked.resource_id for c in r.charger_ids}
        for charger in asked.charger_ids:
            if charger in taken:
                return "charger-taken", f"charger {charger} is registered in another resource"
            if connections is None:
                continue
            if charger not in connections:
                return "unknown-charger", f"there is no charger {charger} in my grid"
            if connections[charger] != asked.location:
                return "wrong-bus", f"charger {charger} is not at {asked.location}"
        return None

    def bid_fault(self, vpp: str, start: datetime, end: datetime, nominated_kw: Sequence[float] | None) -> str | None:
        """Why a reduction cannot be bought of a VPP besides what was bought of it before, None where it can;
        `nominated_kw` None where the baseline is metered."""
        return baseline_fault(
            start,
            end,
            nominated_kw,
            sum(r.max_charge_kw for r in self.resources.values() if r.vpp == vpp),
            [Sold(o.start, o.end, o.power_kw, o.baseline_kw or ()) for o in self.orders.values() if o.vpp == vpp],
        )

    def vpps(self) -> list[str]:
        """The VPPs that have a resource, in alphabetical order."""
        return sorted({r.vpp for r in self.resources.values()})

    def discharging_besides(self, resource_id: str, bus: str) -> dict[str, float]:
        """Discharging that was qualified for other resources at this bus: they share its cable. What all resources do
        together is bounded otherwise, because the DSO activates no more than its look-ahead needs."""
        qualified = sum(
            result.qualified_discharge_kw
            for other, result in self.qualified.items()
            if other != resource_id and self.resources[other].location == bus
        )
        return {bus: qualified} if qualified else {}

    def flexible(self) -> dict[str, float]:
        """What registered chargers could change at most, by bus."""
        flexible: defaultdict[str, float] = defaultdict(float)
        for resource_id, result in self.qualified.items():
            resource = self.resources[resource_id]
            flexible[resource.location] += resource.max_charge_kw + result.qualified_discharge_kw
        return dict(flexible)

    def beginning(self, start: datetime, metered_at: datetime) -> dict[str, float]:
        """The change by bus that confirmed activations bring from `metered_at` to `start`: less drawn where one begins
        in between, more where one ends and its vehicles charge again."""
        change: defaultdict[str, float] = defaultdict(float)
        for order in self.orders.values():
            running = order.start <= metered_at < order.end
            will_run = order.start <= start < order.end
            if running == will_run or order.available_kw <= 0:
                continue
            weights = {r.location: r.max_charge_kw for r in self.resources.values() if r.vpp == order.vpp}
            for bus, kw in shared(order.available_kw if running else -order.available_kw, weights).items():
                change[bus] += kw
        return dict(change)


def delivered_kw(order: Ordered, baseline_kw: Sequence[float], own_kw: Sequence[float]) -> tuple[float, ...]:
    """What was delivered in each quarter by the DSO's own meters, never more than was ordered."""
    return tuple(round(max(0.0, min(order.power_kw, b - m)), 3) for b, m in zip(baseline_kw, own_kw, strict=True))


def volume_fault(
    order: Ordered,
    volume: DeliveredVolume,
    baseline_kw: Sequence[float],
    own_kw: Sequence[float],
    tolerance: float,
) -> str | None:
    """Why a claimed volume is not what the DSO holds true, None where it is.

    `baseline_kw` as nominated or measured, `own_kw` what the DSO's meters counted, both for each quarter; `tolerance`:
    the part by which a quarter may be off.
    """
    if not len(volume.delivered_kw) == len(baseline_kw) == len(own_kw):
        return f"the claim has {len(volume.delivered_kw)} periods, the activation {len(own_kw)}"
    if order.baseline_kw is not None and tuple(order.baseline_kw) != tuple(volume.baseline_kw):
        return "the baseline is not the one that was nominated"
    delivered = delivered_kw(order, baseline_kw, own_kw)
    verdict = agree_volume(volume.delivered_kw, delivered, tolerance_part=tolerance)
    return verdict.reason if isinstance(verdict, VolumeDisputed) else None


def bill_fault(order: Ordered, bill: Bill, tolerance: float) -> tuple[str, str] | None:
    """The code and the reason for which a bill is not paid, None where it is right."""
    if bill.price_eur_per_kw != order.price_eur_per_kw:
        return "wrong-price", f"the bid was awarded at {order.price_eur_per_kw} EUR/kW"
    if order.bill_id not in (None, bill.bill_id):
        return "used-reference", f"{order.activation_id} was billed already, by {order.bill_id}"
    if bill.amount_eur < 0:
        return None  # the VPP has paid this one
    if order.agreed_kw is None:
        return "no-volume", "the delivered volume was not agreed on"
    agreed_kwh = sum(order.agreed_kw) / 4
    if abs(bill.volume_kwh - agreed_kwh) > max(LEAST_DISPUTED_KWH, tolerance * agreed_kwh):
        return "wrong-volume", f"{agreed_kwh:.3f} kWh were agreed, {bill.volume_kwh:.3f} are billed"
    worth = cents(Decimal(repr(bill.volume_kwh)) * 4 * bill.price_eur_per_kw)
    if abs(bill.remuneration_eur - worth) > LEAST_DISPUTED_EUR:
        return "wrong-amount", f"{bill.volume_kwh:.3f} kWh are worth {worth} EUR, {bill.remuneration_eur} are billed"
    return None
