"""One good content of every class of BUC 2 and BUC 4.1: a service of each, asked for, awarded and invoiced."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from protocols import exchanges as x

ZONE = ZoneInfo("Europe/Ljubljana")
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=ZONE)
START = NOON + timedelta(hours=6)

MANAGER = "house@localhost"
FO = "fo@localhost"
TSO = "tso@localhost"
DSO = "dso@localhost"

_STATE = x.UserState(
    user_id="c1",
    location="bus 7",
    vehicles=1,
    service=x.ServiceType.RES_CURTAILMENT,
    power_kw=7.4,
    energy_kwh=1.85,
    soc_percent=55.5,
    soc_kwh=22.2,
    charging_rate_kw=7.4,
    energy_required_kwh=12.0,
    baseline_kw=3.7,
    increase_kw=3.7,
    decrease_kw=5.0,
)
_PRICES = {
    "charging_cost_eur_per_kwh": Decimal("0.0912"),
    "discharging_remuneration_eur_per_kwh": Decimal("0.2040"),
}
_LASTS = {"timestamp": NOON, "start": START, "duration_minutes": 30, **_PRICES}
_VOLTAGE = {"service": x.ServiceType.VOLTAGE_CONTROL}
_WIND = {"service": x.ServiceType.RES_CURTAILMENT}
_ACTIVATE = {"signal": x.SignalType.ACTIVATION, "q_kvar": 0.0, "renews": None}
_MORE = {"user_id": "c1", "ev_owner": "owner1@localhost", "location": "bus 7", "baseline_kw": 3.7, "power_kw": 3.5}
_LESS = {**_MORE, "power_kw": -3.5}
_OFFER = {"timestamp": NOON, "user_id": MANAGER, "duration_minutes": 30}

SERVICE_SAMPLES: tuple[x.Content, ...] = (
    x.MeasurementsSubscription(request_id="m1", timestamp=NOON),
    x.Measurements(
        request_id="m1",
        timestamp=NOON,
        source=MANAGER,
        start=NOON - timedelta(minutes=15),
        end=NOON,
        production_kw=2.0,
        ev_kw=7.4,
        p_kw=1.2,
        q_kvar=0.3,
        u_v=229.7,
        f_hz=50.01,
        forecast_kw=3.7,
        available_kw=2.5,
        forecast_available_kw=2.75,
        users=(_STATE,),
    ),
    x.FlexibilitySubscription(request_id="f1", timestamp=NOON),
    x.FlexibilityInformation(request_id="f1", timestamp=NOON, **_WIND, start=START, users=(_STATE,)),
    x.CurtailmentActivation(service_id="wind-1", user_id=FO, power_kw=50.0, **_WIND, **_LASTS, **_ACTIVATE),
    x.CurtailmentCall(
        service_id="wind-1", request_id="call-1", user_id=MANAGER, power_kw=50.0, location="street", **_WIND, **_LASTS
    ),
    x.Availability(
        request_id="call-1",
        power_kw=3.7,
        energy_kwh=1.85,
        **_WIND,
        **_OFFER,
        users=(x.EvOffer(**{**_MORE, "power_kw": 3.7}, energy_kwh=1.85),),
    ),
    x.CurtailmentAward(
        service_id="wind-1",
        request_id="call-1",
        user_id=MANAGER,
        power_kw=3.5,
        orders=(x.EvOrder(**_MORE),),
        **_WIND,
        **_LASTS,
        **_ACTIVATE,
    ),
    x.CurtailmentNotice(
        service_id="wind-1",
        user_id=FO,
        power_kw=3.5,
        payer=TSO,
        managers=(x.ManagerOrders(manager=MANAGER, orders=(x.EvOrder(**_MORE),)),),
        **_WIND,
        **_LASTS,
        **_ACTIVATE,
    ),
    x.ServiceAnswer(service_id="wind-1", available_power_kw=3.5, reason=None),
    x.Invoice(
        invoice_id="invoice-1",
        customer="owner1@localhost",
        start=NOON - timedelta(days=1),
        end=NOON,
        lines=(
            x.InvoiceLine(
                item="charging-in-service",
                service=x.ServiceType.RES_CURTAILMENT,
                energy_kwh=1.75,
                price_eur_per_kwh=Decimal("0.0912"),
                amount_eur=Decimal("0.16"),
            ),
        ),
        amount_eur=Decimal("0.16"),
        due=NOON + timedelta(days=8),
    ),
    x.InvoicePayment(invoice_id="invoice-1", amount_eur=Decimal("0.16"), transaction_id="invoice-1"),
    x.VoltageRequest(
        service_id="volt-1",
        request_id="volt-request-1",
        user_id=FO,
        power_kw=-20.0,
        location="street",
        at=(x.BusChange(bus="bus 7", power_kw=-20.0),),
        grid_use_eur_per_kwh=Decimal("0.0300"),
        **_VOLTAGE,
        **_LASTS,
        **_ACTIVATE,
    ),
    x.VoltageCall(
        service_id="volt-1",
        request_id="call-2",
        user_id=MANAGER,
        power_kw=-20.0,
        location="street",
        **_VOLTAGE,
        **_LASTS,
    ),
    x.ParticipationResponse(
        request_id="call-2",
        power_kw=-3.7,
        energy_kwh=-1.85,
        **_VOLTAGE,
        **_OFFER,
        users=(x.EvOffer(**{**_LESS, "power_kw": -3.7}, energy_kwh=-1.85),),
    ),
    x.VoltageAward(
        service_id="volt-1",
        request_id="call-2",
        user_id=MANAGER,
        power_kw=-3.5,
        orders=(x.EvOrder(**_LESS),),
        **_VOLTAGE,
        **_LASTS,
        **_ACTIVATE,
    ),
    x.VoltageNotice(
        service_id="volt-1",
        user_id=FO,
        power_kw=-3.5,
        payer=DSO,
        location="feeder-1",
        grid_use_eur_per_kwh=Decimal("0.06"),
        managers=(x.ManagerOrders(manager=MANAGER, orders=(x.EvOrder(**_LESS),)),),
        **_VOLTAGE,
        **_LASTS,
        **_ACTIVATE,
    ),
    x.HeadroomSubscription(request_id="h1", timestamp=NOON),
    x.Headroom(
        request_id="h1",
        timestamp=NOON,
        start=START,
        feeders=(x.FeederHeadroom(feeder="feeder-1", increase_kw=12.5),),
    ),
    x.ParticipationSubscription(request_id="p1", timestamp=NOON),
    x.ParticipationInfo(
        request_id="p1",
        timestamp=NOON,
        **_VOLTAGE,
        service_id="volt-1",
        start=START,
        end=START + timedelta(minutes=15),
        users=(_STATE,),
    ),
)
"""The contents of BUC 2 and BUC 4.1."""
