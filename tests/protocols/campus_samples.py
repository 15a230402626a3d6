"""One good content of every class of BUC 3 and BUC 7: a congestion relieved, a portfolio tested and paid."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from protocols import exchanges as x
from tests.protocols.service_samples import NOON, START

HOUR = timedelta(hours=1)
_PRICES = {
    "reduction_price_eur_per_kwh": Decimal("0.1200"),
    "discharging_price_eur_per_kwh": Decimal("0.2000"),
}
_LASTS = {"service": x.ServiceType.CONGESTION_MANAGEMENT, "start": START, "duration_minutes": 30, **_PRICES}
_FINDING = x.Finding(
    clause="Nordic FCR 3.1.1, requirement 1",
    requirement="steady state response upwards",
    measured=0.01,
    low=-0.05,
    high=0.2,
    unit="p.u.",
    passed=True,
)

CAMPUS_SAMPLES: tuple[x.Content, ...] = (
    x.ScheduleSubscription(request_id="s1", timestamp=NOON),
    x.ChargingSchedule(
        request_id="s1", timestamp=NOON, start=START, buses=(x.BusSchedule(bus="bus 7", power_kw=(22.0, 11.0)),)
    ),
    x.CongestionCall(
        request_id="g1",
        timestamp=NOON,
        power_kw=12.0,
        location="bornholm",
        buses=("bus 7",),
        elements=("transformer at 112.0 %",),
        **_LASTS,
    ),
    x.SolutionOffer(
        request_id="g1",
        timestamp=NOON,
        power_kw=10.0,
        baseline_kw=(22.0, 11.0),
        activations=(
            x.FlexibilityActivation(
                activation_id="g1/1",
                kind=x.ActivationKind.SHIFT,
                users=("c1",),
                power_kw=11.0,
                energy_kwh=5.5,
                cost_eur_per_kwh=Decimal("0.0300"),
                departure_soc_percent=85.0,
            ),
            x.FlexibilityActivation(
                activation_id="g1/2",
                kind=x.ActivationKind.DISCHARGE,
                users=("c2", "c3"),
                power_kw=4.0,
                energy_kwh=2.0,
                cost_eur_per_kwh=Decimal("0.1100"),
                departure_soc_percent=80.0,
            ),
        ),
    ),
    x.SolutionAward(request_id="g1", power_kw=9.0),
    x.CustomerRequest(
        request_id="g1",
        charger_id="c1",
        options=(
            x.CustomerOption(
                activation_id="g1/1",
                kind=x.ActivationKind.SHIFT,
                power_kw=11.0,
                energy_kwh=5.5,
                price_eur_per_kwh=Decimal("0.0500"),
                departure_soc_percent=85.0,
            ),
        ),
        **_LASTS,
    ),
    x.CustomerAnswer(request_id="g1", activation_id="g1/1"),
    x.CustomerAward(request_id="g1", activation_id="g1/1", power_kw=9.0, benefit_eur=Decimal("0.23")),
    x.CongestionEnd(
        reference="g1",
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        p_kw=9.0,
        q_kvar=0.0,
        duration_minutes=15,
        reason="the limits hold without it",
    ),
    x.CongestionSettlement(
        settlement_id="settle-g1",
        request_id="g1",
        start=START,
        end=START + timedelta(minutes=30),
        baseline_kw=(22.0, 11.0),
        metered_kw=(13.0, 2.0),
        promised_kw=9.0,
        reduced_kwh=4.5,
        discharged_kwh=0.0,
        missing_kwh=0.0,
        remuneration_eur=Decimal("0.54"),
        penalty_eur=Decimal("0.00"),
    ),
    x.SettlementAnswer(settlement_id="settle-g1", reason="the meters say the same"),
    x.Remuneration(
        remuneration_id="pay-g1-c1",
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        reference="g1",
        ev_owner="owner1@localhost",
        start=START,
        end=START + timedelta(minutes=30),
        energy_kwh=4.5,
        amount_eur=Decimal("0.23"),
    ),
    x.ParticipationApplication(
        application_id="apply-1",
        portfolio_id="pool",
        product=x.FcrProduct.FCR_N,
        capacity_kw=120.0,
        energy_kwh=260.0,
        baseline_kw=0.0,
        control=x.Control.LOCAL,
        nem_disable_minutes=35.0,
        units=(x.PortfolioUnit(charger_id="c1", max_charge_kw=11.0, max_discharge_kw=10.0, capacity_kw=7.4),),
        test_from=START,
        valid_until=START + timedelta(days=365),
    ),
    x.Prequalification(
        application_id="apply-1", approved_kw=118.0, valid_until=START + timedelta(days=365), sheet=(_FINDING,)
    ),
    x.PrequalificationFailed(application_id="apply-1", reason="too little", sheet=(_FINDING,)),
    x.TestStep(
        application_id="apply-1",
        step_id="apply-1/step/1",
        test="step response",
        signal=(x.SignalPiece(duration_s=300.0, start_hz=49.9, end_hz=49.9),),
        sample_s=1.0,
        baseline_kw=0.0,
    ),
    x.TestRecord(
        application_id="apply-1",
        step_id="apply-1/step/1",
        start=START,
        sample_s=1.0,
        applied_hz=(49.9, 49.9),
        power_kw=(-60.0, -120.0),
        baseline_kw=0.0,
        soc_start_percent=50.0,
        soc_end_percent=49.0,
        nem=(x.Span(from_s=10.0, to_s=20.0),),
        endurance_minutes=55.0,
    ),
    x.CapacityOffer(
        offer_id="n-1",
        portfolio_id="pool",
        product=x.FcrProduct.FCR_N,
        capacity_kw=110.0,
        start=START,
        end=START + HOUR,
        price_eur_per_kw=Decimal("0.005000"),
    ),
    x.CapacityAward(offer_id="n-1", capacity_kw=110.0, price_eur_per_kw=Decimal("0.006000")),
    x.DeliveryQuery(offer_id="n-1", start=START, end=START + HOUR),
    x.DeliveryReport(
        offer_id="n-1",
        start=START,
        end=START + HOUR,
        logged_seconds=3600,
        available_seconds=3590,
        up_kwh=12.5,
        down_kwh=10.25,
        baseline_kw=(0.0, 0.0, 0.0, 0.0),
    ),
    x.CapacitySettlement(
        offer_id="n-1",
        capacity_eur=Decimal("2.63"),
        availability_percent=99.7,
        energy_kwh=2.25,
        energy_eur=Decimal("0.20"),
        penalty_eur=Decimal("0.01"),
        amount_eur=Decimal("2.82"),
    ),
    x.FcrStatusSubscription(request_id="look-1", timestamp=NOON),
    x.FcrStatus(
        request_id="look-1",
        timestamp=NOON,
        charger_id="c1",
        status=x.FcrParticipation.PARTICIPATING,
        product=x.FcrProduct.FCR_N,
        capacity_kw=7.4,
        power_kw=-3.2,
        soc_percent=61.5,
        earnings_eur=Decimal("0.12"),
    ),
    x.ParticipationChange(offer_id="n-1", capacity_kw=90.0, start=START, reason="a vehicle has left"),
    x.ParticipationEnd(reference="n-1", start=START, reason="both frequency meters are lost"),
)
"""The contents of BUC 3 and BUC 7."""
