"""BUC 7, frequency control services: participation, its test, delivery by the hour, what owners hear, and the end.

Source: D5.1 section 3.7, Table 11; what is tested and logged: Technical Requirements for Frequency Containment Reserve
Provision in the Nordic Synchronous Area, version 1.1 of 28 March 2025, and its Test Program of the same day. Test,
delivery and report have no number in D5.1; they are 7.x.1 to 7.x.3. There is no activation signal: "units responsible
for providing FCR must measure the frequency and automatically activate reserves on their own".

Positive power is drawn from the grid, so an upward activation is a change below zero; capacities are magnitudes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.vocabulary import FcrProduct
from protocols.units import (
    Eur,
    EurPerKw,
    Hertz,
    Identifier,
    Kw,
    Kwh,
    MagnitudeEur,
    MagnitudeKw,
    MagnitudeKwh,
    Percent,
    PositiveKw,
    Text,
    Time,
)

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False, json_schema_extra={"x-unit": "s"})]
SampleSeconds = Annotated[float, Field(ge=0.02, le=60, allow_inf_nan=False, json_schema_extra={"x-unit": "s"})]
MOST_SAMPLES = 3_000
"""Of one record: a message must stay well within what servers let pass."""


class Control(StrEnum):
    """Where the frequency is turned into power (technical requirements 3.12)."""

    LOCAL = "local"
    """In each charger, by its own measurement."""
    CENTRAL = "central"
    """In one controller on a frequency meter that has a backup."""


class PortfolioUnit(Part):
    """One charger of a portfolio with its ratings and the capacity that it is meant to give."""

    charger_id: Identifier
    max_charge_kw: PositiveKw
    max_discharge_kw: MagnitudeKw
    capacity_kw: PositiveKw


class ParticipationApplication(Content):
    """7.1: "the V2X Manager requests participation in the frequency control services".

    `capacity_kw`: the steady state response at full activation, as the manager calculates it. `energy_kwh`: the part of
    the batteries that is kept for the product, from empty to full. `baseline_kw` is where the test starts from.
    `nem_disable_minutes`: the endurance at which energy management shall go off, where the TSO is asked to agree to
    another one than the rules' own (note to their table 11).
    """

    exchange: Literal["7.1"] = "7.1"
    application_id: Identifier
    portfolio_id: Identifier
    product: FcrProduct
    capacity_kw: PositiveKw
    energy_kwh: MagnitudeKwh
    baseline_kw: Kw
    control: Control
    nem_disable_minutes: Annotated[float, Field(gt=0, le=1_440, json_schema_extra={"x-unit": "min"})] | None = None
    units: tuple[PortfolioUnit, ...]
    test_from: Time
    valid_until: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("test_from", "valid_until", self)
        if len({unit.charger_id for unit in self.units}) < len(self.units):
            yield "units", "names a charger twice"
        if not self.units:
            yield "units", "names no charger"


class Finding(Part):
    """One line of the prequalification sheet: a requirement, what was measured, and between which bounds it must lie.

    `clause` is where the rule stands; `measured`, `low` and `high` are in `unit`; no bound on a side is None.
    """

    clause: Text
    requirement: Text
    measured: float
    low: float | None
    high: float | None
    unit: Text
    passed: bool

    def contradictions(self) -> Iterator[tuple[str, str]]:
        within = (self.low is None or self.measured >= self.low) and (self.high is None or self.measured <= self.high)
        if self.passed and not within:
            yield "passed", "is said of what lies outside its bounds"


class Prequalification(Content):
    """7.1, the TSO's answer (inform): the approved power, until when, and the sheet.

    "A maximum threshold is also established" (3.7): `approved_kw` is the most that may be offered.
    """

    exchange: Literal["7.1"] = "7.1"
    application_id: Identifier
    approved_kw: PositiveKw
    valid_until: Time
    sheet: tuple[Finding, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.sheet:
            yield "sheet", "is empty: nothing was tested"
        if any(not finding.passed for finding in self.sheet):
            yield "sheet", "has a requirement that was not met"


class PrequalificationFailed(Content):
    """7.1, the TSO's answer (failure): what failed, with the whole sheet as far as the test went."""

    exchange: Literal["7.1"] = "7.1"
    application_id: Identifier
    reason: Text
    sheet: tuple[Finding, ...]


class SignalPiece(Part):
    """A piece of the frequency that is applied: linear from `start_hz` to `end_hz`, or where `period_s` is given a sine
    of `amplitude_hz` about `start_hz` that begins at its centre and falls first."""

    duration_s: Seconds
    start_hz: Hertz
    end_hz: Hertz
    amplitude_hz: Hertz = 0.0
    period_s: Seconds | None = None


class HoldUntil(StrEnum):
    """What ends a step of the energy management test (test program, section 8), besides its length."""

    NEM_ON = "nem-on"
    AEM_ON = "aem-on"
    BOTH_OFF = "both-off"
    NEM_ON_AGAIN = "nem-on-again"


class TestStep(Content):
    """7.x.1: one step of the prequalification test: the frequency to apply, and how often to record.

    `baseline_kw` is the operating point. With `hold_until` the last frequency is held until that has been so for
    `hold_s`, and at most for `most_s` beyond the signal.
    """

    __test__ = False  # no test of pytest's

    exchange: Literal["7.x.1"] = "7.x.1"
    application_id: Identifier
    step_id: Identifier
    test: Text
    signal: tuple[SignalPiece, ...]
    sample_s: SampleSeconds
    record_from_s: Annotated[float, Field(ge=0, le=86_400, json_schema_extra={"x-unit": "s"})] = 0.0
    baseline_kw: Kw
    hold_until: HoldUntil | None = None
    hold_s: Annotated[float, Field(ge=0, le=3_600, json_schema_extra={"x-unit": "s"})] = 0.0
    most_s: Annotated[float, Field(ge=0, le=86_400, json_schema_extra={"x-unit": "s"})] = 0.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.signal:
            yield "signal", "is empty"
        length = sum(piece.duration_s for piece in self.signal) + self.most_s
        if (length - self.record_from_s) / self.sample_s > MOST_SAMPLES:
            yield "sample_s", f"makes more than {MOST_SAMPLES} samples"


class Span(Part):
    """From when to when, in seconds."""

    from_s: Annotated[float, Field(ge=0, json_schema_extra={"x-unit": "s"})]
    to_s: Annotated[float, Field(ge=0, json_schema_extra={"x-unit": "s"})]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.to_s < self.from_s:
            yield "to_s", "is before from_s"


class TestRecord(Content):
    """7.x.1, answer: what the entity did, one value each `sample_s` from `start` on.

    `power_kw` is drawn at the connection points, `baseline_kw` what it would be without frequency control. States of
    charge are of the part of the batteries that is kept for the product. `nem` and `aem`: when energy management was
    on, in seconds from `start`; `endurance_minutes` is that of the end (technical requirements 3.5.4).
    """

    __test__ = False

    exchange: Literal["7.x.1"] = "7.x.1"
    application_id: Identifier
    step_id: Identifier
    start: Time
    sample_s: SampleSeconds
    applied_hz: tuple[Hertz, ...]
    power_kw: tuple[Kw, ...]
    baseline_kw: Kw
    soc_start_percent: Percent
    soc_end_percent: Percent
    nem: tuple[Span, ...] = ()
    aem: tuple[Span, ...] = ()
    endurance_minutes: Annotated[float, Field(ge=0, json_schema_extra={"x-unit": "min"})] | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len(self.applied_hz) != len(self.power_kw):
            yield "power_kw", "has not one value for each of the applied frequency"


class CapacityOffer(Content):
    """7.x.2: the manager offers capacity from `start` to `end`, of a portfolio that is approved for it.

    The price is for each kW and 15 minutes, as everywhere here.
    """

    exchange: Literal["7.x.2"] = "7.x.2"
    offer_id: Identifier
    portfolio_id: Identifier
    product: FcrProduct
    capacity_kw: PositiveKw
    start: Time
    end: Time
    price_eur_per_kw: EurPerKw

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class CapacityAward(Content):
    """7.x.2, answer (agree): the TSO buys so much, at the price that it pays everybody for this time."""

    exchange: Literal["7.x.2"] = "7.x.2"
    offer_id: Identifier
    capacity_kw: PositiveKw
    price_eur_per_kw: EurPerKw


class DeliveryQuery(Content):
    """7.x.3: the TSO asks what was kept and activated from `start` to `end`."""

    exchange: Literal["7.x.3"] = "7.x.3"
    offer_id: Identifier
    start: Time
    end: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class DeliveryReport(Content):
    """7.x.3, answer: from the log of each second.

    `available_seconds`: in which the whole capacity was maintained (not in alert state energy management, meter well).
    `up_kwh`, `down_kwh`: energy activated upwards (given, or not drawn) and downwards, by the log. `baseline_kw`: the
    mean of each 15 minutes without activation.
    """

    exchange: Literal["7.x.3"] = "7.x.3"
    offer_id: Identifier
    start: Time
    end: Time
    logged_seconds: Annotated[int, Field(ge=0, json_schema_extra={"x-unit": "s"})]
    available_seconds: Annotated[int, Field(ge=0, json_schema_extra={"x-unit": "s"})]
    up_kwh: MagnitudeKwh
    down_kwh: MagnitudeKwh
    baseline_kw: tuple[Kw, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.available_seconds > self.logged_seconds:
            yield "available_seconds", "are more than were logged"


class CapacitySettlement(Content):
    """7.x.2, result (inform): what the TSO pays for the capacity and for the energy, less the penalty.

    `energy_kwh` > 0 was given on balance, < 0 taken; `energy_eur` has its sign. An `amount_eur` below 0 is the
    manager's to pay. The transfer is booked under `offer_id`.
    """

    exchange: Literal["7.x.2"] = "7.x.2"
    offer_id: Identifier
    capacity_eur: MagnitudeEur
    availability_percent: Percent
    energy_kwh: Kwh
    energy_eur: Eur
    penalty_eur: MagnitudeEur
    amount_eur: Eur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.amount_eur != self.capacity_eur + self.energy_eur - self.penalty_eur:
            yield "amount_eur", "is not capacity and energy less the penalty"


class FcrStatusSubscription(Content):
    """7.2: tell me about my vehicle in frequency control."""

    exchange: Literal["7.2"] = "7.2"
    request_id: Identifier
    timestamp: Time


class FcrParticipation(StrEnum):
    """Where a vehicle stands."""

    IDLE = "idle"
    TESTING = "testing"
    PARTICIPATING = "participating"
    CHARGING_BEFORE_DEPARTURE = "charging-before-departure"
    LEFT_OUT = "left-out"


class FcrStatus(Content):
    """7.2: "the EV owners are informed of the FCR services participation status ... allowing them to monitor the status
    of their vehicle". `earnings_eur`: of this stay so far."""

    exchange: Literal["7.2"] = "7.2"
    request_id: Identifier
    timestamp: Time
    charger_id: Identifier
    status: FcrParticipation
    product: FcrProduct | None = None
    capacity_kw: MagnitudeKw
    power_kw: Kw
    soc_percent: Percent | None
    earnings_eur: MagnitudeEur
    reason: Text | None = None


class ParticipationChange(Content):
    """7.3 (request): from `start` on the portfolio gives less; the TSO always accepts."""

    exchange: Literal["7.3"] = "7.3"
    offer_id: Identifier
    capacity_kw: PositiveKw
    start: Time
    reason: Text


class ParticipationEnd(Content):
    """7.3 (cancel): the participation that `reference` names, an application or an offer, stops at `start`; the TSO
    always accepts."""

    exchange: Literal["7.3"] = "7.3"
    reference: Identifier
    start: Time
    reason: Text
