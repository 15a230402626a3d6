"""BUC 1.1, market participation, procurement: products, resources, the call, bids and results.

Source: D5.1 section 3.1.1, Table 1, and the prose of 3.1.1 and 3.1.2 for the exchanges with an `x`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protocols.acl import Performative
from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.vocabulary import BaselineMethod, PricingRule, ServiceType
from protocols.units import (
    MARKET_PERIOD,
    EurPerKw,
    Identifier,
    Jid,
    Kw,
    MagnitudeKw,
    MagnitudeKwh,
    Minutes,
    PositiveKw,
    Text,
    Time,
)


class ProductRequirements(Content):
    """1.x.1: the DSO defines what a local flexibility product must meet.

    A bid has at least `min_power_kw`, in steps of `granularity_kw`; an activation comes `notice_minutes` before it
    starts and lasts at most `max_duration_minutes`. `penalty_eur_per_kw` is for power that was not delivered.
    """

    exchange: Literal["1.x.1"] = "1.x.1"
    product_id: Identifier
    service: ServiceType
    congestion_point: Identifier
    min_power_kw: MagnitudeKw
    granularity_kw: PositiveKw
    notice_minutes: Minutes
    max_duration_minutes: Minutes
    baseline: BaselineMethod
    pricing: PricingRule
    max_price_eur_per_kw: EurPerKw
    penalty_eur_per_kw: EurPerKw
    valid_from: Time
    valid_until: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("valid_from", "valid_until", self)


class ResourceRegistration(Content):
    """1.x.2: the VPP registers the chargers of one CPO at one bus as a resource for a product."""

    exchange: Literal["1.x.2"] = "1.x.2"
    resource_id: Identifier
    product_id: Identifier
    cpo: Jid
    location: Identifier
    charger_ids: tuple[Identifier, ...]
    max_charge_kw: MagnitudeKw
    max_discharge_kw: MagnitudeKw
    energy_kwh: MagnitudeKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _named_once(self.charger_ids)


class RegistrationResult(Content):
    """1.x.2, answer: the power with which the resource stands in the flexibility register, and why not more."""

    exchange: Literal["1.x.2"] = "1.x.2"
    resource_id: Identifier
    qualified_charge_kw: MagnitudeKw
    qualified_discharge_kw: MagnitudeKw
    reasons: tuple[Text, ...] = ()


class PrequalificationRequest(Content):
    """1.x.3: the FMO asks the DSO whether the grid can take the resource."""

    exchange: Literal["1.x.3"] = "1.x.3"
    resource_id: Identifier
    product_id: Identifier
    vpp: Jid
    cpo: Jid
    location: Identifier
    charger_ids: tuple[Identifier, ...]
    max_charge_kw: MagnitudeKw
    max_discharge_kw: MagnitudeKw
    energy_kwh: MagnitudeKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from _named_once(self.charger_ids)


class PrequalificationResult(Content):
    """1.x.3, answer: the power at this bus that breaks no limit of the grid; `reasons` name the limit that binds."""

    exchange: Literal["1.x.3"] = "1.x.3"
    resource_id: Identifier
    qualified_charge_kw: MagnitudeKw
    qualified_discharge_kw: MagnitudeKw
    reasons: tuple[Text, ...] = ()


class FlexibilityNeed(Content):
    """1.x.6: "the DSO will identify the needed flexibility service to the FMO" (3.1.2), before `gate_closure`."""

    exchange: Literal["1.x.6"] = "1.x.6"
    need_id: Identifier
    product_id: Identifier
    service: ServiceType
    congestion_point: Identifier
    start: Time
    end: Time
    power_kw: PositiveKw
    max_price_eur_per_kw: EurPerKw
    gate_closure: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.gate_closure > self.start:
            yield "gate_closure", "is after start"


class Award(Part):
    """What one bid was awarded; `baseline_kw` is its nomination, one value for each market period, where it has one:
    the DSO needs it to validate the volume (1.x.5) by something else than the claim itself."""

    bid_id: Identifier
    vpp: Jid
    power_kw: PositiveKw
    price_eur_per_kw: EurPerKw
    baseline_kw: tuple[Kw, ...] = ()


class NeedResult(Content):
    """1.x.6, answer: who serves the need at which price, and what nobody serves."""

    exchange: Literal["1.x.6"] = "1.x.6"
    need_id: Identifier
    awards: tuple[Award, ...]
    unserved_kw: MagnitudeKw


class RequestForBids(Content):
    """1.x.7: the FMO "published the request for bids" (3.1.2)."""

    exchange: Literal["1.x.7"] = "1.x.7"
    market_id: Identifier
    need_id: Identifier
    product_id: Identifier
    service: ServiceType
    congestion_point: Identifier
    start: Time
    end: Time
    power_needed_kw: PositiveKw
    max_price_eur_per_kw: EurPerKw
    pricing: PricingRule

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class Bid(Content):
    """1.1.1: the reduction a VPP offers for every period from start to end, all or at least `min_power_kw` of it.

    `baseline_kw` nominates the consumption without the service, one value for each market period; it is empty
    where the product's baseline is not a nomination.
    """

    exchange: Literal["1.1.1"] = "1.1.1"
    bid_id: Identifier
    market_id: Identifier
    timestamp: Time
    price_eur_per_kw: EurPerKw
    power_kw: PositiveKw
    min_power_kw: MagnitudeKw
    location: Identifier
    start: Time
    end: Time
    baseline_kw: tuple[Kw, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.min_power_kw > self.power_kw:
            yield "min_power_kw", "is more than power_kw"
        if self.baseline_kw and len(self.baseline_kw) * MARKET_PERIOD != self.end - self.start:
            yield "baseline_kw", "does not have one value for each 15 minutes from start to end"


class MarketResult(Content):
    """1.1.2: what the clearing gave this bid. Rejected means nothing cleared, and `reason` says why."""

    exchange: Literal["1.1.2"] = "1.1.2"
    bid_id: Identifier
    market_id: Identifier
    timestamp: Time
    market_price_eur_per_kw: EurPerKw
    cleared_power_kw: MagnitudeKw
    reason: Text | None = None

    def contradicts(self, performative: Performative) -> Iterator[tuple[str, str]]:
        if (performative is Performative.ACCEPT_PROPOSAL) != (self.cleared_power_kw > 0):
            yield "cleared_power_kw", f"is {self.cleared_power_kw} in {performative}"


def _named_once(charger_ids: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not charger_ids:
        yield "charger_ids", "names no charger"
    if len(set(charger_ids)) < len(charger_ids):
        yield "charger_ids", "names a charger twice"
