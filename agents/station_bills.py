"""Whether an operator holds true what the DSO says that its stations owe (4.x.2) or have earned (5.x.2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from decimal import Decimal

from agents.capacity_bidding import CapacityContract
from agents.decisions.limit_settlement import day_eur, penalty_eur
from agents.decisions.money import CENT
from agents.decisions.network_use import NetworkUse
from protocols.exchanges.capacity_contracts import CapacityLimit, LimitSettlement
from protocols.exchanges.network_prices import NetworkBill

TOLERANCE = 0.02
TOLERANCE_KWH = 1.0
"""What the DSO's meters and those of the chargers may differ by: a share, and an energy."""
TOLERANCE_EUR = Decimal("0.02")
EXCESS_KWH = 0.25
"""What the two may differ by in what was drawn above a limit."""


def excess_kwh(limit_kw: float, own_kw: Sequence[float], minutes: int) -> float:
    """kWh above a limit, by the means of each so many `minutes`."""
    return sum(max(0.0, kw - limit_kw) for kw in own_kw) * minutes / 60


def bill_fault(bill: NetworkBill, own: NetworkUse, network_eur_per_kwh: Decimal, *, metered: bool) -> str | None:
    """What speaks against a bill for network use, None where nothing does. `own` is what the chargers' meters have;
    where one of them was silent (not `metered`) the DSO's energy is taken on trust, its sums are not."""
    for what, said, mine in (
        ("were drawn", bill.energy_kwh, own.energy_kwh),
        ("were drawn in reduced hours", bill.reduced_kwh, own.reduced_kwh),
    ):
        if metered and abs(said - mine) > TOLERANCE_KWH + TOLERANCE * mine:
            return f"{mine:.1f} kWh {what} by my chargers' meters, not {said:.1f} kWh"
    usual = network_eur_per_kwh * Decimal(repr(bill.energy_kwh))
    if bill.usual_eur - usual > TOLERANCE_EUR:
        return f"{bill.energy_kwh:.1f} kWh cost {usual:.2f} EUR at {network_eur_per_kwh} EUR/kWh, not {bill.usual_eur}"
    least = own.reduction_eur * Decimal(repr(1 - TOLERANCE)) - network_eur_per_kwh * Decimal(repr(TOLERANCE_KWH))
    if metered and bill.reduction_eur < least - TOLERANCE_EUR:
        return f"reductions take off {own.reduction_eur} EUR, not {bill.reduction_eur} EUR"
    return None


def settlement_fault(
    settlement: LimitSettlement,
    contract: CapacityContract | None,
    activated: CapacityLimit | None,
    own_kw: Sequence[float] | None,
    zone: tzinfo,
    *,
    minutes: int = 15,
    declined: CapacityLimit | None = None,
) -> str | None:
    """What speaks against the settlement of a day of a contract, None where nothing does.

    `activated`: what was activated on that day by our books. `own_kw`: the means of each so many `minutes` in which it
    held by the chargers' meters, None where one of them was silent: the station's meter is taken on trust then.
    `declined`: what could not be held on that day, by our books: it earns nothing then.
    """
    if contract is None:
        return f"there is no contract {settlement.contract_id}"
    day, days = contract.day(settlement.start, zone)
    if not 0 <= day < days:
        return f"{settlement.start.astimezone(zone):%d %B} is no day of the contract {settlement.contract_id}"
    due = day_eur(contract.price_eur, day, days) if declined is None else Decimal("0.00")
    if settlement.capacity_eur < due - CENT:
        return f"the day is worth {due} EUR, not {settlement.capacity_eur} EUR"
    if settlement.activation_id is None:
        return None  # nothing is taken off
    if activated is None or activated.activation_id != settlement.activation_id:
        return f"{settlement.activation_id} was not activated on that day"
    if settlement.limit_kw != activated.limit_kw:
        return f"the limit was {activated.limit_kw:g} kW, not {settlement.limit_kw:g} kW"
    if own_kw is not None:
        own = excess_kwh(activated.limit_kw, own_kw, minutes)
        if settlement.excess_kwh > own + EXCESS_KWH:
            highest = max(own_kw, default=0.0)
            return (
                f"my chargers' meters have {own:.2f} kWh above {activated.limit_kw:g} kW (at most {highest:.1f} kW as "
                f"a mean of {minutes} min), not {settlement.excess_kwh:.2f} kWh"
            )
    penalty = penalty_eur(settlement.excess_kwh, contract.call.penalty_eur_per_kwh)
    if settlement.penalty_eur > penalty + CENT:
        return f"{settlement.excess_kwh:.2f} kWh above the limit cost {penalty} EUR, not {settlement.penalty_eur} EUR"
    return None
