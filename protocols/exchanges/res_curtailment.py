"""BUC 2, RES curtailment management: measurements, the vehicles' flexibility, the service and its invoice.

Source: D5.1 section 3.2, Table 3; the prose has the availability (2.5) and the invoice of the EMRP (here 2.x.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.ev_services import (
    ServiceAward,
    ServiceCall,
    ServiceNotice,
    ServiceOffer,
    ServiceSignal,
    UserState,
)
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import (
    Eur,
    EurPerKwh,
    Hertz,
    Identifier,
    Jid,
    Kvar,
    Kw,
    Kwh,
    MagnitudeKw,
    Time,
    Volts,
)


class MeasurementsSubscription(Content):
    """2.1: send me your measurements every 15 minutes, with the forecast of the next 15."""

    exchange: Literal["2.1"] = "2.1"
    request_id: Identifier
    timestamp: Time


class Measurements(Content):
    """2.1: means from `start` to `end`, and what is expected for the next quarter of an hour that begins, which is the
    one that is balanced next.

    `production_kw` is Pprod, `ev_kw` Pev (charging > 0), `p_kw` and `q_kvar` the demand without the vehicles, `u_v` the
    phase to neutral voltage. `forecast_kw` is the expected production of a producer, or the expected draw of the
    vehicles by their own plans; `available_kw` what a producer could have produced, and `forecast_available_kw` could
    produce. `users` are a V2X manager's vehicles; empty from a producer.
    """

    exchange: Literal["2.1"] = "2.1"
    request_id: Identifier
    timestamp: Time
    source: Identifier
    start: Time
    end: Time
    production_kw: MagnitudeKw
    ev_kw: Kw
    p_kw: Kw
    q_kvar: Kvar
    u_v: Volts | None = None
    f_hz: Hertz | None = None
    forecast_kw: Kw
    available_kw: MagnitudeKw | None = None
    forecast_available_kw: MagnitudeKw | None = None
    users: tuple[UserState, ...] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class FlexibilitySubscription(Content):
    """2.2: send me what the vehicles can do, every 15 minutes."""

    exchange: Literal["2.2"] = "2.2"
    request_id: Identifier
    timestamp: Time


class FlexibilityInformation(Content):
    """2.2: what the vehicles can do for a service in the 15 minutes from `start`; one user for each V2X manager."""

    exchange: Literal["2.2"] = "2.2"
    request_id: Identifier
    timestamp: Time
    service: ServiceType
    start: Time
    users: tuple[UserState, ...]


class CurtailmentActivation(ServiceSignal):
    """2.3, TSO to FO: `power_kw` (> 0) by which consumption should be increased."""

    for_service = ServiceType.RES_CURTAILMENT

    exchange: Literal["2.3"] = "2.3"

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.power_kw < 0:
            yield "power_kw", "is a reduction; wind is saved by more consumption"


class CurtailmentCall(ServiceCall):
    """2.4: the FO asks a V2X manager to participate."""

    for_service = ServiceType.RES_CURTAILMENT

    exchange: Literal["2.4"] = "2.4"


class Availability(ServiceOffer):
    """2.5: "each V2X manager will process the information and send information about their availability"."""

    for_service = ServiceType.RES_CURTAILMENT

    exchange: Literal["2.5"] = "2.5"


class CurtailmentAward(ServiceAward):
    """2.3, FO to V2X manager: these vehicles take part."""

    for_service = ServiceType.RES_CURTAILMENT

    exchange: Literal["2.3"] = "2.3"


class CurtailmentNotice(ServiceNotice):
    """2.3, FO to EMSP: "allowing the invoicing of the different services by the different actors"."""

    for_service = ServiceType.RES_CURTAILMENT

    exchange: Literal["2.3"] = "2.3"


class InvoiceLine(Part):
    """`amount_eur` = what is owed for `energy_kwh` at `price_eur_per_kwh` (both None for a sum that is no energy).

    `item` says in a word what for: charging, charging-in-service, discharging, service, penalty, grid-use, energy.
    """

    item: Identifier
    service: ServiceType | None = None
    energy_kwh: Kwh | None = None
    price_eur_per_kwh: EurPerKwh | None = None
    amount_eur: Eur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if (self.energy_kwh is None) != (self.price_eur_per_kwh is None):
            yield "price_eur_per_kwh", "is there exactly where there is an energy"


class Invoice(Content):
    """2.x.1: the EMSP's invoice for what happened from `start` to `end`; below 0 the EMSP owes the other."""

    exchange: Literal["2.x.1"] = "2.x.1"
    invoice_id: Identifier
    customer: Jid
    start: Time
    end: Time
    lines: tuple[InvoiceLine, ...]
    amount_eur: Eur
    due: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if sum(line.amount_eur for line in self.lines) != self.amount_eur:
            yield "amount_eur", "is not the sum of the lines"


class InvoicePayment(Content):
    """2.x.1, answer: the invoice has been paid; `transaction_id` is where the ledger says so."""

    exchange: Literal["2.x.1"] = "2.x.1"
    invoice_id: Identifier
    amount_eur: Eur
    transaction_id: Identifier
