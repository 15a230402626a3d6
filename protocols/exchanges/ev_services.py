"""What BUC 2 and BUC 4.1 have in common: one vehicle's state, offer and order, and the fields of a service.

Source: D5.1 Tables 3 and 5, whose columns for both are alike. `power_kw` of a service, an offer or an order is a change
of consumption: above 0 more is drawn, below 0 less is drawn or more given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from protocols.exchanges.content import Content, Part
from protocols.exchanges.vocabulary import ServiceType, SignalType
from protocols.units import (
    EurPerKwh,
    Identifier,
    Jid,
    Kvar,
    Kw,
    Kwh,
    MagnitudeKw,
    MagnitudeKwh,
    Percent,
    PeriodMinutes,
    Text,
    Time,
)


class UserState(Part):
    """One "ID User" of Tables 3 and 5: a charger with its vehicle, or what several `vehicles` are together.

    Over the 15 minutes before: `power_kw` the mean drawn, `energy_kwh` its energy, `service` the one it took part in.
    Now: state of charge, `charging_rate_kw` (the most it can charge with), `energy_required_kwh` still to be charged.
    In the next 15 minutes: `baseline_kw` by its own plan, the mean; `highest_kw`, the most that it draws at any moment
    of them by its own plan, None where that is not told; and by how much it could draw more or less.
    """

    user_id: Identifier
    location: Identifier | None = None
    vehicles: Annotated[int, Field(ge=0)] = 1
    service: ServiceType | None = None
    power_kw: Kw
    energy_kwh: Kwh
    soc_percent: Percent | None = None
    soc_kwh: MagnitudeKwh | None = None
    charging_rate_kw: MagnitudeKw
    energy_required_kwh: MagnitudeKwh
    baseline_kw: Kw
    highest_kw: Kw | None = None
    increase_kw: MagnitudeKw
    decrease_kw: MagnitudeKw


class EvOffer(Part):
    """One vehicle in an availability: for each quarter of the service, on average `power_kw` beside `baseline_kw`.

    `energy_kwh` is how much more (or less) that is over the whole service.
    """

    user_id: Identifier
    ev_owner: Jid | None = None
    location: Identifier
    baseline_kw: Kw
    power_kw: Kw
    energy_kwh: Kwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.energy_kwh * self.power_kw < 0:
            yield "energy_kwh", "has not the sign of power_kw"


class EvOrder(Part):
    """One vehicle that takes part: it draws `baseline_kw` + `power_kw` in each quarter of the service."""

    user_id: Identifier
    ev_owner: Jid | None = None
    location: Identifier
    baseline_kw: Kw
    power_kw: Kw


class ManagerOrders(Part):
    """The vehicles of one V2X manager that take part."""

    manager: Jid
    orders: tuple[EvOrder, ...]


class Service(Content):
    """A service from `start` on. It lasts `duration_minutes` unless it is renewed or cancelled before.

    The prices are those of the energy charged and given back by who takes part, while it lasts. `for_service` is the
    only type of service that a content is for, where it is for one.
    """

    for_service: ClassVar[ServiceType | None] = None

    timestamp: Time
    service_id: Identifier
    service: ServiceType
    start: Time
    duration_minutes: PeriodMinutes
    charging_cost_eur_per_kwh: EurPerKwh
    discharging_remuneration_eur_per_kwh: EurPerKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _for_service(self.for_service, self.service)


class ServiceSignal(Service):
    """A signal that activates a service: P and Q are changes, Q is 0 while chargers run at unity power factor.

    `renews` is the service that ends where this one starts.
    """

    signal: SignalType
    user_id: Identifier
    power_kw: Kw
    q_kvar: Kvar = 0.0
    renews: Identifier | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if (self.signal is SignalType.RENEWAL) != (self.renews is not None):
            yield "renews", "is there exactly where the signal is a renewal"
        if self.renews == self.service_id:
            yield "renews", "is the service itself"
        if self.power_kw == 0:
            yield "power_kw", "is 0, which is no service"


class ServiceCall(Service):
    """A call to one V2X manager for its part in a service; `power_kw` is what all managers together are asked for."""

    request_id: Identifier
    user_id: Identifier
    power_kw: Kw
    location: Identifier

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.power_kw == 0:
            yield "power_kw", "is 0, which is no service"


class ServiceOffer(Content):
    """What a V2X manager's vehicles can do, each by itself; "Response" of Table 5 is `power_kw` and `users`."""

    for_service: ClassVar[ServiceType | None] = None

    timestamp: Time
    request_id: Identifier
    user_id: Identifier
    service: ServiceType
    power_kw: Kw
    energy_kwh: Kwh
    duration_minutes: PeriodMinutes
    users: tuple[EvOffer, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _for_service(self.for_service, self.service)
        yield from _each_once(self.users)
        yield from _adds_up(self.power_kw, self.users)


class ServiceAward(ServiceSignal):
    """The flexibility operator has chosen these vehicles of a manager's offer."""

    request_id: Identifier
    orders: tuple[EvOrder, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if not self.orders:
            yield "orders", "names no vehicle"
        yield from _each_once(self.orders, "orders")
        yield from _adds_up(self.power_kw, self.orders)


class ServiceNotice(ServiceSignal):
    """What the EMSP must know to invoice a service: who asked for it and pays, and which vehicles take part."""

    payer: Jid
    managers: tuple[ManagerOrders, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        orders = tuple(order for manager in self.managers for order in manager.orders)
        yield from _each_once(orders, "managers")
        if len({manager.manager for manager in self.managers}) < len(self.managers):
            yield "managers", "names a manager twice"
        yield from _adds_up(self.power_kw, orders)


class ServiceAnswer(Content):
    """The flexibility operator's agree or refuse: the change of consumption that it can bring about, signed."""

    exchange: None = None
    service_id: Identifier
    available_power_kw: Kw
    reason: Text | None = None


_SAME_KW = 1e-3
"""Sums of rounded parts may differ by their last digits."""


def _for_service(only: ServiceType | None, service: ServiceType) -> Iterator[tuple[str, str]]:
    if only not in (None, service):
        yield "service", f"is {service}, where only {only} is spoken of"


def _each_once(users: tuple[EvOffer, ...] | tuple[EvOrder, ...], field: str = "users") -> Iterator[tuple[str, str]]:
    if len({user.user_id for user in users}) < len(users):
        yield field, "names a vehicle twice"


def _adds_up(power_kw: float, users: tuple[EvOffer, ...] | tuple[EvOrder, ...]) -> Iterator[tuple[str, str]]:
    total = sum(user.power_kw for user in users)
    if abs(total - power_kw) > _SAME_KW * max(1, len(users)):
        yield "power_kw", f"is {power_kw} kW, its parts add up to {total:.3f}"
    if any(user.power_kw * power_kw < 0 for user in users):
        yield "power_kw", "has parts of the other sign"
