"""One good content of every class, with the act and protocol that carry it, and the roles that say it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.protocols.campus_samples import CAMPUS_SAMPLES
from tests.protocols.public_samples import PUBLIC_SAMPLES
from tests.protocols.service_samples import NOON as NOON
from tests.protocols.service_samples import SERVICE_SAMPLES
from tests.protocols.service_samples import START as START
from tests.protocols.service_samples import ZONE as ZONE

END = START + timedelta(minutes=30)
CONGESTION = x.ServiceType.CONGESTION_MANAGEMENT

_WINDOW = {"start": START, "end": END}
_SERVICE = {"service": CONGESTION, "congestion_point": "trafo 1"}
_LIMITS = {"max_charge_kw": 22.0, "max_discharge_kw": 22.0}
_POOL_ORDER = {
    "activation_id": "a6",
    "bid_id": "pb1",
    **_SERVICE,
    **_WINDOW,
    "max_price_eur_per_kw": Decimal("0.50"),
    "power_kw": 20.0,
}

CHARGER = x.ChargerStatus(
    charger_id="c1",
    location="bus 7",
    ev_owner="owner1@localhost",
    connected=True,
    state=x.ChargerState.CHARGING,
    soc_percent=55.5,
    capacity_kwh=60.0,
    energy_required_kwh=12.0,
    minimum_soc_percent=30.0,
    departure=END + timedelta(hours=12),
    expected_arrival=None,
    power_kw=7.4,
    voltage_v=229.7,
    frequency_hz=50.01,
    max_charge_kw=22.0,
    max_discharge_kw=22.0,
    meter_kwh=-3.25,
)

SAMPLES: tuple[x.Content, ...] = (
    *SERVICE_SAMPLES,
    *CAMPUS_SAMPLES,
    *PUBLIC_SAMPLES,
    x.ProductRequirements(
        product_id="p1",
        **_SERVICE,
        min_power_kw=1.0,
        granularity_kw=0.5,
        notice_minutes=60,
        max_duration_minutes=120,
        baseline=x.BaselineMethod.NOMINATION,
        pricing=x.PricingRule.PAY_AS_CLEAR,
        max_price_eur_per_kw=Decimal("0.80"),
        penalty_eur_per_kw=Decimal("1.20"),
        valid_from=NOON - timedelta(days=1),
        valid_until=NOON + timedelta(days=30),
    ),
    x.ResourceRegistration(
        resource_id="r1",
        product_id="p1",
        cpo="cpo@localhost",
        location="bus 7",
        charger_ids=("c1", "c2"),
        **_LIMITS,
        energy_kwh=80.0,
    ),
    x.RegistrationResult(
        resource_id="r1", qualified_charge_kw=22.0, qualified_discharge_kw=11.0, reasons=("voltage at bus 7",)
    ),
    x.PrequalificationRequest(
        resource_id="r1",
        product_id="p1",
        vpp="vpp1@localhost",
        cpo="cpo@localhost",
        location="bus 7",
        charger_ids=("c1", "c2"),
        **_LIMITS,
        energy_kwh=80.0,
    ),
    x.PrequalificationResult(resource_id="r1", qualified_charge_kw=22.0, qualified_discharge_kw=11.0),
    x.FlexibilityNeed(
        need_id="n1",
        product_id="p1",
        **_SERVICE,
        **_WINDOW,
        power_kw=30.0,
        max_price_eur_per_kw=Decimal("0.80"),
        gate_closure=NOON + timedelta(hours=2),
    ),
    x.NeedResult(
        need_id="n1",
        awards=(x.Award(bid_id="b1", vpp="vpp1@localhost", power_kw=25.0, price_eur_per_kw=Decimal("0.40")),),
        unserved_kw=5.0,
    ),
    x.RequestForBids(
        market_id="m1",
        need_id="n1",
        product_id="p1",
        **_SERVICE,
        **_WINDOW,
        power_needed_kw=30.0,
        max_price_eur_per_kw=Decimal("0.80"),
        pricing=x.PricingRule.PAY_AS_CLEAR,
    ),
    x.Bid(
        bid_id="b1",
        market_id="m1",
        timestamp=NOON,
        price_eur_per_kw=Decimal("0.35"),
        power_kw=25.0,
        min_power_kw=5.0,
        location="trafo 1",
        **_WINDOW,
        baseline_kw=(30.0, 28.5),
    ),
    x.MarketResult(
        bid_id="b1",
        market_id="m1",
        timestamp=NOON,
        market_price_eur_per_kw=Decimal("0.40"),
        cleared_power_kw=25.0,
        reason=None,
    ),
    x.SessionAnnouncement(
        charger_id="c1",
        vehicle_id="v1",
        plugged_in=True,
        arrival=NOON,
        departure=END + timedelta(hours=12),
        capacity_kwh=60.0,
        soc_percent=40.0,
        wanted_soc_percent=80.0,
        minimum_soc_percent=30.0,
    ),
    x.DataRequest(request_id="q1", data_type=x.DataType.MEASUREMENTS, timestamp=NOON),
    x.DataMeasurements(
        request_id="q1",
        timestamp=NOON,
        production_kw=12.0,
        power_kw=7.4,
        chargers=(CHARGER,),
        plan_start=NOON,
        planned_kw=(7.4, 0.0),
    ),
    x.ActivationSignal(activation_id="a1", bid_id="b1", **_SERVICE, **_WINDOW, power_kw=25.0),
    x.ActivationConfirmation(activation_id="a1", available_power_kw=25.0, reason=None),
    x.ActivationAnswer(activation_id="a1", available_power_kw=25.0, reason=None),
    x.ParticipationInformation(
        activation_id="a1", service=CONGESTION, **_WINDOW, power_kw=7.0, benefit_eur=Decimal("1.25")
    ),
    x.ParticipationAnswer(activation_id="a1", reason="leaving early"),
    x.ActivatedResourcesSubscription(congestion_point="trafo 1"),
    x.ActivatedResources(
        activation_id="a1",
        vpp="vpp1@localhost",
        **_SERVICE,
        **_WINDOW,
        power_kw=25.0,
        status=x.ActivationStatus.ACTIVE,
    ),
    x.MeasurementsQuery(activation_id="a1", **_WINDOW),
    x.MeasurementsCollection(
        activation_id="a1",
        service=CONGESTION,
        **_WINDOW,
        period_minutes=15,
        power_kw=(5.0, 3.5),
        baseline_kw=(30.0, 28.5),
    ),
    x.DeliveredVolume(
        activation_id="a1",
        baseline_kw=(30.0, 28.5),
        measured_kw=(5.0, 3.5),
        delivered_kw=(25.0, 25.0),
        delivered_energy_kwh=12.5,
    ),
    x.VolumeAnswer(activation_id="a1", reason=None),
    x.Bill(
        bill_id="bill1",
        activation_id="a1",
        payer="dso@localhost",
        payee="vpp1@localhost",
        volume_kwh=12.5,
        price_eur_per_kw=Decimal("0.40"),
        remuneration_eur=Decimal("20.00"),
        penalty_eur=Decimal("2.50"),
        amount_eur=Decimal("17.50"),
        due=END + timedelta(days=8),
    ),
    x.Payment(bill_id="bill1", transaction_id="t1", amount_eur=Decimal("17.50")),
    x.PoolOpening(
        pool_id="pool1",
        **_SERVICE,
        timestamp=NOON,
        **_WINDOW,
        max_price_eur_per_kw=Decimal("0.50"),
        power_needed_kw=20.0,
    ),
    x.PoolBid(
        pool_id="pool1",
        bid_id="pb1",
        timestamp=NOON,
        price_eur_per_kw=Decimal("0.45"),
        power_kw=20.0,
        baseline_kw=(30.0, 28.5),
    ),
    x.PoolAward(pool_id="pool1", bid_id="pb1", price_eur_per_kw=Decimal("0.45"), power_kw=20.0, reason=None),
    x.PoolActivation(**_POOL_ORDER),
    x.CpoActivation(**_POOL_ORDER),
    x.ParticipationRequest(
        activation_id="a6", service=CONGESTION, **_WINDOW, power_kw=7.0, benefit_eur=Decimal("0.95")
    ),
    x.ParticipationReply(activation_id="a6", reason=None),
    x.CpoActivationResponse(activation_id="a6", accepted=True, available_power_kw=20.0, reason=None),
    x.VppActivationResponse(activation_id="a6", accepted=True, available_power_kw=20.0, reason=None),
    x.Reason(code="not-authorised", reason="a driver may not order", faults=("role: ev_owner",)),
    x.Done(reference="a1"),
    x.Cancellation(reference="a1", reason="the congestion is gone"),
    x.Registration(jid="cpo@localhost", role=Role.CPO, services=("charging",), location="bus 7"),
    x.Deregistration(jid="cpo@localhost"),
    x.Search(jid=None, role=Role.CPO, service="charging", location=None),
    x.SearchSubscription(jid="cpo@localhost", role=None, service=None, location="bus 7"),
    x.SearchResult(
        entries=(x.DirectoryEntry(jid="cpo@localhost", role=Role.CPO, services=("charging",), location=None),)
    ),
    x.GridQuery(quantity=x.GridQuantity.VOLTAGE, location="bus 7"),
    x.GridReading(quantity=x.GridQuantity.VOLTAGE, location="bus 7", timestamp=NOON, value=229.7, unit="V"),
    x.ClockQuery(),
    x.ClockReading(now=NOON, speed=60.0),
    x.MeterQuery(locations=("bus 7",), **_WINDOW, period_minutes=15),
    x.MeterReading(**_WINDOW, period_minutes=15, series=(x.MeterSeries(location="bus 7", power_kw=(5.0, 3.5)),)),
)

_BY_CLASS = {type(sample): sample for sample in SAMPLES}


def sample(kind: type[x.Content]) -> x.Content:
    """The good content of a class."""
    return _BY_CLASS[kind]


def message(
    content: x.Content | dict[str, object],
    performative: Performative,
    protocol: Protocol,
    sender: str = "a@localhost",
    receiver: str = "b@localhost",
) -> AclMessage:
    """A message that carries a content, or raw members."""
    members = content.to_json() if isinstance(content, x.Content) else content
    return AclMessage(performative, sender, receiver, protocol, "conversation-1", "reply-1", members)
