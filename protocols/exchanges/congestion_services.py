"""BUC 3, DR services for grid congestion management: the call, the merit order list, the customers, the end.

Source: D5.1 section 3.3, Table 4. The offer, its award and what follows have no number there; they are 3.x.1 to 3.x.5.
Powers are reductions of consumption (> 0), so that a V2X manager may also let vehicles give power back.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from protocols.acl import Performative
from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import (
    MARKET_PERIOD,
    EurPerKwh,
    Identifier,
    Jid,
    Kvar,
    Kw,
    MagnitudeEur,
    MagnitudeKw,
    MagnitudeKwh,
    Minutes,
    Percent,
    PeriodMinutes,
    PositiveKw,
    Text,
    Time,
)

ROUNDED_KW = 1e-3
"""Sums of rounded powers may differ by a watt."""


class ActivationKind(StrEnum):
    """How a vehicle makes room: less charged, charged later, or power given back."""

    CURTAIL = "curtail"
    SHIFT = "shift"
    DISCHARGE = "discharge"


class ScheduleSubscription(Content):
    """3.x.5: tell me every 15 minutes what your chargers are going to draw."""

    exchange: Literal["3.x.5"] = "3.x.5"
    request_id: Identifier
    timestamp: Time


class BusSchedule(Part):
    """What all chargers of one manager at one bus are going to draw together: a mean for each market period."""

    bus: Identifier
    power_kw: tuple[Kw, ...]


class ChargingSchedule(Content):
    """3.x.5: the V2X manager's own plan from `start` on, as of `timestamp`, without a service that is not ordered yet.

    It is what a later offer's baseline is held against.
    """

    exchange: Literal["3.x.5"] = "3.x.5"
    request_id: Identifier
    timestamp: Time
    start: Time
    buses: tuple[BusSchedule, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({each.bus for each in self.buses}) < len(self.buses):
            yield "buses", "names a bus twice"
        if len({len(each.power_kw) for each in self.buses}) > 1:
            yield "buses", "has schedules of different lengths"


class CongestionCall(Content):
    """3.1: the DSO asks a V2X manager for help with a congestion: so much less from `start` for so long.

    `location` is where: chargers at the buses `buses` help. `elements` are what would be overloaded, and by how much.
    The prices are for each kWh not drawn and for each kWh given back.
    """

    exchange: Literal["3.1"] = "3.1"
    request_id: Identifier
    service: ServiceType
    timestamp: Time
    start: Time
    duration_minutes: PeriodMinutes
    power_kw: PositiveKw
    location: Identifier
    buses: tuple[Identifier, ...]
    elements: tuple[Text, ...] = ()
    reduction_price_eur_per_kwh: EurPerKwh
    discharging_price_eur_per_kwh: EurPerKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if timedelta(minutes=self.duration_minutes) % MARKET_PERIOD:
            yield "duration_minutes", "is no whole market periods"
        if not self.buses:
            yield "buses", "names no place"

    @property
    def end(self) -> Time:
        """When the service is over."""
        return self.start + timedelta(minutes=self.duration_minutes)


class FlexibilityActivation(Part):
    """One entry of the merit order list: what one vehicle, or a group of alike ones, does, and what it costs.

    `power_kw`: the mean reduction over the service of all `users` (chargers) together; `energy_kwh` that over the
    service. `cost_eur_per_kwh`: what each kWh of it costs the manager, what the drivers get included.
    `departure_soc_percent`: the least that one of the drivers leaves with.
    """

    activation_id: Identifier
    kind: ActivationKind
    users: tuple[Identifier, ...]
    power_kw: PositiveKw
    energy_kwh: MagnitudeKwh
    cost_eur_per_kwh: EurPerKwh
    departure_soc_percent: Percent

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.users:
            yield "users", "names nobody"


class SolutionOffer(Content):
    """3.x.1: "the merit order list of flexibility activations", the most preferred first, and what is promised of it.

    `baseline_kw`: what the manager's chargers at the call's buses would draw in each market period without the service.
    """

    exchange: Literal["3.x.1"] = "3.x.1"
    request_id: Identifier
    timestamp: Time
    power_kw: PositiveKw
    baseline_kw: tuple[Kw, ...]
    activations: tuple[FlexibilityActivation, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({activation.activation_id for activation in self.activations}) < len(self.activations):
            yield "activations", "has an id twice"
        if self.power_kw > sum(activation.power_kw for activation in self.activations) + ROUNDED_KW:
            yield "power_kw", "is more than all activations together"
        costs = [activation.cost_eur_per_kwh for activation in self.activations]
        if costs != sorted(costs):
            yield "activations", "are not in the order of their cost"


class SolutionAward(Content):
    """3.x.2: the DSO takes the offer, or a part of it."""

    exchange: Literal["3.x.2"] = "3.x.2"
    request_id: Identifier
    power_kw: PositiveKw


class CustomerOption(Part):
    """One thing that a driver can be asked for: the mean reduction over the service, what each kWh of it pays, and the
    state of charge that the driver leaves with."""

    activation_id: Identifier
    kind: ActivationKind
    power_kw: PositiveKw
    energy_kwh: MagnitudeKwh
    price_eur_per_kwh: EurPerKwh
    departure_soc_percent: Percent


class CustomerRequest(Content):
    """3.2: "the V2X manager then delivers the request to customers": the activations that this driver may choose from,
    the manager's preferred one first."""

    exchange: Literal["3.2"] = "3.2"
    request_id: Identifier
    charger_id: Identifier
    service: ServiceType
    start: Time
    duration_minutes: PeriodMinutes
    options: tuple[CustomerOption, ...]
    reduction_price_eur_per_kwh: EurPerKwh
    discharging_price_eur_per_kwh: EurPerKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.options:
            yield "options", "asks for nothing"
        if len({option.activation_id for option in self.options}) < len(self.options):
            yield "options", "has an id twice"


class CustomerAnswer(Content):
    """3.2, answer: "the customers decide whether to take action": the option that the driver takes."""

    exchange: Literal["3.2"] = "3.2"
    request_id: Identifier
    activation_id: Identifier


class CustomerAward(Content):
    """3.2, the manager's word: this driver is needed, with so much, for so much."""

    exchange: Literal["3.2"] = "3.2"
    request_id: Identifier
    activation_id: Identifier
    power_kw: PositiveKw
    benefit_eur: MagnitudeEur


class CongestionEnd(Content):
    """3.3: the service is no longer needed: its type, what P and Q were provided, and how long it has lasted."""

    exchange: Literal["3.3"] = "3.3"
    reference: Identifier
    service: ServiceType
    p_kw: Kw
    q_kvar: Kvar
    duration_minutes: Minutes
    reason: Text


class CongestionSettlement(Content):
    """3.x.3: what was delivered, by market period, and what the DSO pays the manager for it.

    `reduced_kwh` is what was not drawn, `discharged_kwh` what was given back on top; `missing_kwh` what was promised
    and did not come. `amount_eur` is the payment after the penalty; below zero it would be the manager's to pay.
    """

    exchange: Literal["3.x.3"] = "3.x.3"
    settlement_id: Identifier
    request_id: Identifier
    start: Time
    end: Time
    baseline_kw: tuple[Kw, ...]
    metered_kw: tuple[Kw, ...]
    promised_kw: MagnitudeKw
    reduced_kwh: MagnitudeKwh
    discharged_kwh: MagnitudeKwh
    missing_kwh: MagnitudeKwh
    remuneration_eur: MagnitudeEur
    penalty_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if len(self.baseline_kw) != len(self.metered_kw):
            yield "metered_kw", "has not one value for each of the baseline"


class SettlementAnswer(Content):
    """3.x.3, answer: the manager holds it true, or says why not."""

    exchange: Literal["3.x.3"] = "3.x.3"
    settlement_id: Identifier
    reason: Text | None = None

    def contradicts(self, performative: Performative) -> Iterator[tuple[str, str]]:
        if performative is Performative.REJECT_PROPOSAL and not self.reason:
            yield "reason", "is missing: a rejection says why"


class Remuneration(Content):
    """3.x.4: the V2X manager pays a driver for taking part in a service (BUC 3 or BUC 7) and says for what.

    `energy_kwh`: for congestions what was not drawn or given back, for frequency control what went in and out for it.
    The transfer is booked under `remuneration_id`.
    """

    exchange: Literal["3.x.4"] = "3.x.4"
    remuneration_id: Identifier
    service: ServiceType
    reference: Identifier
    ev_owner: Jid
    start: Time
    end: Time
    energy_kwh: MagnitudeKwh
    amount_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
