"""BUC 1.2, market participation, activation: the state of the chargers, the signal, the drivers, the TSO.

Source: D5.1 section 3.1.2, Table 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.vocabulary import ActivationStatus, ChargerState, DataType, ServiceType
from protocols.units import (
    MARKET_PERIOD,
    Hertz,
    Identifier,
    Jid,
    Kw,
    Kwh,
    MagnitudeEur,
    MagnitudeKw,
    MagnitudeKwh,
    Percent,
    PositiveKw,
    PositiveKwh,
    Text,
    Time,
    Volts,
)


class DataRequest(Content):
    """1.2.1: before flexibility is offered or activated, the VPP checks that the chargers are as predicted."""

    exchange: Literal["1.2.1"] = "1.2.1"
    request_id: Identifier
    data_type: DataType
    timestamp: Time


class ChargerStatus(Part):
    """One charger and the vehicle at it; what only a vehicle has is None where none is connected.

    `energy_required_kwh` is still to be charged until `departure`; below `minimum_soc_percent` the vehicle is never
    discharged. `expected_arrival` is that of the next vehicle. `voltage_v` is phase to neutral. `meter_kwh` is the
    charger's energy register, drawn less given.
    """

    charger_id: Identifier
    location: Identifier
    ev_owner: Identifier | None = None
    connected: bool
    state: ChargerState
    soc_percent: Percent | None = None
    capacity_kwh: PositiveKwh | None = None
    energy_required_kwh: MagnitudeKwh | None = None
    minimum_soc_percent: Percent | None = None
    departure: Time | None = None
    expected_arrival: Time | None = None
    power_kw: Kw
    voltage_v: Volts
    frequency_hz: Hertz
    max_charge_kw: MagnitudeKw
    max_discharge_kw: MagnitudeKw
    meter_kwh: Kwh | None = None


class DataMeasurements(Content):
    """1.2.2: production of the PV behind the CPO's meters (>= 0), the chargers' power, and each charger.

    `planned_kw` is the CPO's projected usage (3.1.1), the mean power of each market period from `plan_start` on, as
    things stand; it is empty where only measurements were asked for. `production_forecast_kw` is what the PV behind its
    meters is expected to give in the same periods; empty where there is none.
    """

    exchange: Literal["1.2.2"] = "1.2.2"
    request_id: Identifier
    timestamp: Time
    production_kw: MagnitudeKw
    power_kw: Kw
    chargers: tuple[ChargerStatus, ...]
    plan_start: Time | None = None
    planned_kw: tuple[Kw, ...] = ()
    production_forecast_kw: tuple[MagnitudeKw, ...] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({charger.charger_id for charger in self.chargers}) < len(self.chargers):
            yield "chargers", "names a charger twice"
        if self.planned_kw and self.plan_start is None:
            yield "plan_start", "is missing where there is a plan"


class DischargeLimit(Part):
    """What the prequalification (1.x.3) leaves the chargers at one bus for giving power back together."""

    location: Identifier
    max_discharge_kw: MagnitudeKw


class ActivationSignal(Content):
    """1.2.3: reduce consumption against the baseline by `power_kw` (> 0) from start to end, as awarded to the bid.

    On the hop from VPP to CPO `ceiling_kw` may say what that means in absolute terms, so that both need not hold the
    same baseline: the most that the CPO's chargers may draw together in each market period. `discharge_limits` pass on
    what the VPP's resources are qualified for, where that is less than the chargers could give.
    """

    exchange: Literal["1.2.3"] = "1.2.3"
    activation_id: Identifier
    bid_id: Identifier
    service: ServiceType
    congestion_point: Identifier
    start: Time
    end: Time
    power_kw: PositiveKw
    ceiling_kw: tuple[Kw, ...] = ()
    discharge_limits: tuple[DischargeLimit, ...] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.ceiling_kw and len(self.ceiling_kw) * MARKET_PERIOD != self.end - self.start:
            yield "ceiling_kw", "does not have one value for each 15 minutes from start to end"


class ActivationConfirmation(Content):
    """1.2.4: the VPP acknowledges the activation, or says what it could still do."""

    exchange: Literal["1.2.4"] = "1.2.4"
    activation_id: Identifier
    available_power_kw: MagnitudeKw
    reason: Text | None = None


class ParticipationInformation(Content):
    """1.2.5: the driver is told what the service would do with the vehicle, and what it brings.

    `power_kw` is the reduction asked of this vehicle, `benefit_eur` the driver's share.
    """

    exchange: Literal["1.2.5"] = "1.2.5"
    activation_id: Identifier
    service: ServiceType
    start: Time
    end: Time
    power_kw: PositiveKw
    benefit_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class ParticipationAnswer(Content):
    """1.2.5, answer: the driver takes part or declines; the act says which."""

    exchange: Literal["1.2.5"] = "1.2.5"
    activation_id: Identifier
    reason: Text | None = None


class ActivatedResourcesSubscription(Content):
    """1.x.4: the TSO wants to know what is activated; at one congestion point, or anywhere if that is None."""

    exchange: Literal["1.x.4"] = "1.x.4"
    congestion_point: Identifier | None = None


class ActivatedResources(Content):
    """1.x.4: what is activated where and when, so that the TSO does not activate it a second time."""

    exchange: Literal["1.x.4"] = "1.x.4"
    activation_id: Identifier
    vpp: Jid
    service: ServiceType
    congestion_point: Identifier
    start: Time
    end: Time
    power_kw: MagnitudeKw
    status: ActivationStatus

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class SessionAnnouncement(Content):
    """1.x.8: the driver's "projected usage" (3.1.1): when the vehicle leaves, with what charge.

    `plugged_in` is False for a session that is only expected; `charges_from` is the timer of the vehicle's own plan,
    None where it charges on arrival. SunSpec has no point for any of this.
    """

    exchange: Literal["1.x.8"] = "1.x.8"
    charger_id: Identifier
    vehicle_id: Identifier
    plugged_in: bool
    arrival: Time
    departure: Time
    capacity_kwh: PositiveKwh
    soc_percent: Percent
    wanted_soc_percent: Percent
    minimum_soc_percent: Percent
    charges_from: Time | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("arrival", "departure", self)
