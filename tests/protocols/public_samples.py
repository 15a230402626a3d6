"""One good content of every class of BUC 4.2 and BUC 5: a price lowered, a cap bought and kept, a session picked."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from protocols import exchanges as x
from tests.protocols.service_samples import NOON, START

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_STATION: dict[str, Any] = {"station_id": "hub1", "location": "Bus 5"}
_PLACE: dict[str, Any] = {"latitude_deg": 37.98, "longitude_deg": 23.87}
_ATTRIBUTES: dict[str, Any] = {
    "terms_id": "t1",
    "timestamp": NOON,
    "gate_closure": NOON + HOUR,
    "period_start": NOON - timedelta(hours=12) - HOUR + DAY,
    "period_end": NOON - timedelta(hours=12) - HOUR + 29 * DAY,
    "window_start": "00:00",
    "window_end": "23:45",
    "most_activations": 20,
    "notice_minutes": 5,
    "least_points": 2,
    "most_points": 10,
    "step_kw": 1.0,
    "lowest_limit_kw": 20.0,
    "most_eur": Decimal("5000.00"),
    "penalty_eur_per_kwh": Decimal("1.500000"),
}
_CURVE = (
    x.CurvePoint(limit_kw=60.0, price_eur=Decimal("300.00")),
    x.CurvePoint(limit_kw=120.0, price_eur=Decimal("80.00")),
    x.CurvePoint(limit_kw=240.0, price_eur=Decimal("0.00")),
)
_CHOICE = x.ChargingChoice(
    choice_id="cpo1-7",
    stay=0,
    station_id="hub1",
    charger_id="hub1-02",
    **_PLACE,
    power_kw=60.0,
    energy_kwh=24.0,
    price_eur_per_kwh=Decimal("0.520000"),
    amount_eur=Decimal("12.48"),
    start=START,
    end=START + timedelta(minutes=30),
)

PUBLIC_SAMPLES: tuple[x.Content, ...] = (
    x.NetworkPriceReduction(
        reduction_id="n1",
        timestamp=NOON,
        locations=("Bus 5", "Bus 8"),
        reduction_eur_per_kwh=Decimal("0.060000"),
        start=START,
        end=START + 2 * HOUR,
    ),
    x.PriceSubscription(request_id="prices-1", timestamp=NOON),
    x.ChargingPrices(
        request_id="prices-1",
        timestamp=NOON,
        start=START,
        end=START + 2 * HOUR,
        stations=(
            x.StationPrice(
                station_id="hub1",
                **_PLACE,
                price_eur_per_kwh=Decimal("0.460000"),
                usual_eur_per_kwh=Decimal("0.520000"),
            ),
        ),
    ),
    x.NetworkBill(
        bill_id="net-1",
        start=START - DAY,
        end=START,
        energy_kwh=410.0,
        reduced_kwh=100.0,
        usual_eur=Decimal("32.80"),
        reduction_eur=Decimal("6.00"),
        amount_eur=Decimal("26.80"),
    ),
    x.StationRegistration(
        registration_id="reg-1",
        timestamp=NOON,
        stations=(x.Station(**_STATION, **_PLACE, connection_kw=240.0, chargers=4),),
    ),
    x.AuctionTerms(**_ATTRIBUTES, locations=("Bus 5",)),
    x.AuctionCall(**_ATTRIBUTES, call_id="t1/hub1", dso="hedno@localhost", **_STATION),
    x.CurveBid(bid_id="bid-hub1", call_id="t1/hub1", timestamp=NOON, station_id="hub1", curve=_CURVE),
    x.CurveBids(
        terms_id="t1",
        timestamp=NOON,
        bids=(x.ApprovedBid(bid_id="bid-hub1", cpo="ppc@localhost", **_STATION, curve=_CURVE),),
        refused=("hub2: one point is no curve",),
    ),
    x.ProcurementDecision(
        decision_id="d1",
        terms_id="t1",
        timestamp=NOON,
        purchases=(x.Purchase(bid_id="bid-hub1", station_id="hub1", limit_kw=120.0, price_eur=Decimal("80.00")),),
        scenarios=40,
        expected_without_kwh=120.5,
        expected_with_kwh=4.5,
    ),
    x.ConcludedContracts(
        decision_id="d1",
        contracts=(
            x.Contract(
                contract_id="c-hub1",
                bid_id="bid-hub1",
                cpo="ppc@localhost",
                **_STATION,
                limit_kw=120.0,
                price_eur=Decimal("80.00"),
            ),
        ),
    ),
    x.ProcurementResult(
        bid_id="bid-hub1",
        call_id="t1/hub1",
        timestamp=NOON,
        contract_id="c-hub1",
        dso="hedno@localhost",
        limit_kw=120.0,
        price_eur=Decimal("80.00"),
    ),
    x.CapacityLimit(
        activation_id="a-hub1-1",
        contract_id="c-hub1",
        timestamp=NOON,
        station_id="hub1",
        limit_kw=120.0,
        start=START + DAY,
        end=START + DAY + HOUR,
    ),
    x.LimitSettlement(
        settlement_id="s-hub1-1",
        contract_id="c-hub1",
        start=START,
        end=START + DAY,
        capacity_eur=Decimal("2.86"),
        activation_id="a-hub1-1",
        limit_kw=120.0,
        highest_kw=121.0,
        excess_kwh=0.2,
        penalty_eur=Decimal("0.30"),
        amount_eur=Decimal("2.56"),
    ),
    x.LimitSettlementAnswer(settlement_id="s-hub1-1", reason="the meters say the same"),
    x.ChargingRequest(
        request_id="need-1",
        timestamp=NOON,
        soc_percent=30.0,
        capacity_kwh=60.0,
        energy_kwh=24.0,
        max_charge_kw=80.0,
        within_km=8.0,
        stays=(x.Stay(**_PLACE, arrival=START, departure=START + 2 * HOUR),),
    ),
    x.ChargingChoices(request_id="need-1", timestamp=NOON, valid_until=NOON + timedelta(minutes=5), choices=(_CHOICE,)),
    x.ChargingSelection(request_id="need-1", choice_id="cpo1-7", timestamp=NOON),
    x.SessionReceipt(
        receipt_id="r-1",
        request_id="need-1",
        choice_id="cpo1-7",
        start=START,
        end=START + timedelta(minutes=30),
        energy_kwh=23.5,
        price_eur_per_kwh=Decimal("0.520000"),
        amount_eur=Decimal("12.22"),
    ),
)
"""The contents of BUC 4.2 and BUC 5."""
