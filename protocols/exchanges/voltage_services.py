"""BUC 4.1, voltage constraints management: the request, the response, the signal, and who takes part.

Source: D5.1 section 3.4.1, Table 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protocols.exchanges.content import Content, Part
from protocols.exchanges.ev_services import (
    ServiceAward,
    ServiceCall,
    ServiceNotice,
    ServiceOffer,
    ServiceSignal,
    UserState,
)
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import EurPerKwh, Identifier, Kw, MagnitudeKw, Time


class BusChange(Part):
    """How much more (> 0) or less should be drawn at a bus."""

    bus: Identifier
    power_kw: Kw


class VoltageRequest(ServiceSignal):
    """4.1.1, DSO to FO: the change of consumption behind one feeder, at the buses where it helps most.

    `grid_use_eur_per_kwh` is the grid-use tariff while the service lasts, which is part of the charging cost.
    """

    for_service = ServiceType.VOLTAGE_CONTROL

    exchange: Literal["4.1.1"] = "4.1.1"
    request_id: Identifier
    location: Identifier
    at: tuple[BusChange, ...]
    grid_use_eur_per_kwh: EurPerKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if any(change.power_kw * self.power_kw < 0 for change in self.at):
            yield "at", "has parts of the other sign"
        if len({change.bus for change in self.at}) < len(self.at):
            yield "at", "names a bus twice"


class VoltageCall(ServiceCall):
    """4.1.1, FO to V2X manager: "request their participation in service"."""

    for_service = ServiceType.VOLTAGE_CONTROL

    exchange: Literal["4.1.1"] = "4.1.1"


class ParticipationResponse(ServiceOffer):
    """4.1.2: "after an internal validation, each V2X manager will send their availability"."""

    for_service = ServiceType.VOLTAGE_CONTROL

    exchange: Literal["4.1.2"] = "4.1.2"


class VoltageAward(ServiceAward):
    """4.1.3, FO to V2X manager."""

    for_service = ServiceType.VOLTAGE_CONTROL

    exchange: Literal["4.1.3"] = "4.1.3"


class VoltageNotice(ServiceNotice):
    """4.1.3, FO to EMSP: "also sent to the EMRP for invoicing procedures".

    While the service lasts, grid use costs `grid_use_eur_per_kwh` for everybody behind the feeder `location`.
    """

    for_service = ServiceType.VOLTAGE_CONTROL

    exchange: Literal["4.1.3"] = "4.1.3"
    location: Identifier
    grid_use_eur_per_kwh: EurPerKwh


class HeadroomSubscription(Content):
    """4.x.1: tell me every 15 minutes how much more may be drawn behind each feeder."""

    exchange: Literal["4.x.1"] = "4.x.1"
    request_id: Identifier
    timestamp: Time


class FeederHeadroom(Part):
    """By how much all vehicles behind a feeder together may draw more than by their own plans, limits kept."""

    feeder: Identifier
    increase_kw: MagnitudeKw


class Headroom(Content):
    """4.x.1: the DSO's word on the quarter of an hour from `start`, for who calls vehicles for another's service: a
    feeder that is not named has room for all that its vehicles can do."""

    exchange: Literal["4.x.1"] = "4.x.1"
    request_id: Identifier
    timestamp: Time
    start: Time
    feeders: tuple[FeederHeadroom, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({each.feeder for each in self.feeders}) < len(self.feeders):
            yield "feeders", "names a feeder twice"


class ParticipationSubscription(Content):
    """4.1.4: send me measurements concerning the participation, every 15 minutes."""

    exchange: Literal["4.1.4"] = "4.1.4"
    request_id: Identifier
    timestamp: Time


class ParticipationInfo(Content):
    """4.1.4: what the vehicles did from `start` to `end`, and can do next; from the FO to the DSO one user a bus.

    `service_id` is the service that it reports on, None where none was under way.
    """

    exchange: Literal["4.1.4"] = "4.1.4"
    request_id: Identifier
    timestamp: Time
    service: ServiceType
    service_id: Identifier | None = None
    start: Time
    end: Time
    users: tuple[UserState, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.end < self.start:  # a service that is superseded at its start has no length
            yield "end", "is before start"
