"""How much the DSO's meters and the chargers' may differ before a bill or a settlement is disputed."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

import pytest

from agents.capacity_bidding import CapacityContract
from agents.decisions.network_use import NetworkUse
from agents.station_bills import bill_fault, settlement_fault
from protocols.exchanges.capacity_contracts import LimitSettlement
from protocols.exchanges.network_prices import NetworkBill
from tests.agents.stage import at
from tests.agents.station_stage import auction_call, limit
from tests.swarm import jid

PRICE = Decimal("0.10")
OWN = NetworkUse(1000.0, 200.0, Decimal("100.00"), Decimal("10.00"))
CONTRACT = CapacityContract(auction_call(), "c1", jid("hedno"), 60.0, Decimal("280.00"))


def bill(energy_kwh: float, reduced_kwh: float = 200.0, usual: str = "", reduction: str = "10.00") -> NetworkBill:
    usual_eur = Decimal(usual) if usual else (PRICE * Decimal(str(energy_kwh))).quantize(Decimal("0.01"))
    return NetworkBill(
        bill_id="n1",
        start=at(-360),
        end=at(1080),
        energy_kwh=energy_kwh,
        reduced_kwh=reduced_kwh,
        usual_eur=usual_eur,
        reduction_eur=Decimal(reduction),
        amount_eur=usual_eur - Decimal(reduction),
    )


@pytest.mark.parametrize(
    ("billed", "disputed"),
    [
        (bill(1000.0), False),
        (bill(1020.0), False),
        (bill(1022.0), True),
        (bill(900.0), True),
        (bill(1000.0, reduced_kwh=190.0), True),
        (bill(1000.0, usual="100.03"), True),
        (bill(1000.0, reduction="9.75"), False),
        (bill(1000.0, reduction="9.60"), True),
    ],
)
def test_a_bill_may_differ_by_what_meters_may(billed: NetworkBill, disputed: bool) -> None:
    assert (bill_fault(billed, OWN, PRICE, metered=True) is not None) == disputed


def test_without_own_meters_only_the_sums_are_checked() -> None:
    assert bill_fault(bill(2000.0), OWN, PRICE, metered=False) is None
    assert bill_fault(bill(2000.0, usual="300.00"), OWN, PRICE, metered=False) is not None


def settled(capacity: str = "10.00", excess_kwh: float = 0.0, penalty: str = "0.00") -> LimitSettlement:
    return LimitSettlement(
        settlement_id="s1",
        contract_id="c1",
        start=at(-360),
        end=at(1080),
        capacity_eur=Decimal(capacity),
        activation_id="a1",
        limit_kw=60.0,
        highest_kw=70.0,
        excess_kwh=excess_kwh,
        penalty_eur=Decimal(penalty),
        amount_eur=Decimal(capacity) - Decimal(penalty),
    )


@pytest.mark.parametrize(
    ("said", "own_kw", "disputed"),
    [
        (settled(), (60.0, 0.0), False),
        (settled("9.98"), (60.0, 0.0), True),
        (settled("12.00"), (60.0, 0.0), False),  # more than is due is no reason to complain
        (settled(excess_kwh=2.5, penalty="3.75"), (70.0, 20.0), False),  # 2.5 kWh above by our own meters
        (settled(excess_kwh=2.5, penalty="3.75"), (60.0, 60.0), True),
        (settled(excess_kwh=2.5, penalty="3.75"), None, False),
        (settled(excess_kwh=2.5, penalty="3.80"), None, True),
    ],
)
def test_an_excess_is_paid_for_where_the_chargers_meters_have_it(
    said: LimitSettlement, own_kw: tuple[float, ...] | None, disputed: bool
) -> None:
    assert (settlement_fault(said, CONTRACT, limit(), own_kw, UTC) is not None) == disputed


def test_minutes_above_a_limit_count_where_the_quarter_is_below_it() -> None:
    minutes_kw = (90.0,) * 5 + (30.0,) * 10
    said = settled(excess_kwh=2.5, penalty="3.75")
    assert settlement_fault(said, CONTRACT, limit(), (sum(minutes_kw) / 15,), UTC) is not None
    assert settlement_fault(said, CONTRACT, limit(), minutes_kw, UTC, minutes=1) is None


@pytest.mark.parametrize(("capacity", "declined", "disputed"), [("0.00", True, False), ("0.00", False, True)])
def test_a_day_whose_limit_was_declined_earns_nothing(capacity: str, declined: bool, disputed: bool) -> None:
    said = settled(capacity).model_copy(update={"activation_id": None, "limit_kw": None, "highest_kw": None})
    fault = settlement_fault(said, CONTRACT, None, None, UTC, declined=limit() if declined else None)
    assert (fault is not None) == disputed
