"""BUC 6, DSO flexibility services: the pool (6.1), its award, and the activation by contract (6.2).

Source: D5.1 section 3.6, Tables 9 and 10. The award has no number there; it is 6.x.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from protocols.acl import Performative
from protocols.exchanges.activation import DischargeLimit
from protocols.exchanges.content import Content, ordered
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import MARKET_PERIOD, EurPerKw, Identifier, Kw, MagnitudeEur, MagnitudeKw, PositiveKw, Text, Time


class PoolOpening(Content):
    """6.1.1: the DSO opens a pool for bids; the maximum price is what the problem would cost it otherwise."""

    exchange: Literal["6.1.1"] = "6.1.1"
    pool_id: Identifier
    service: ServiceType
    timestamp: Time
    congestion_point: Identifier
    start: Time
    end: Time
    max_price_eur_per_kw: EurPerKw
    power_needed_kw: PositiveKw

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class PoolBid(Content):
    """6.1.2: the reduction a VPP offers for every period of the pool.

    `baseline_kw` nominates the consumption without the service, one value for each market period of the pool; it
    is empty where the baseline is measured.
    """

    exchange: Literal["6.1.2"] = "6.1.2"
    pool_id: Identifier
    bid_id: Identifier
    timestamp: Time
    price_eur_per_kw: EurPerKw
    power_kw: PositiveKw
    baseline_kw: tuple[Kw, ...]


class PoolAward(Content):
    """6.x.1: what the bid was awarded. Rejected means no power, and `reason` says why."""

    exchange: Literal["6.x.1"] = "6.x.1"
    pool_id: Identifier
    bid_id: Identifier
    price_eur_per_kw: EurPerKw
    power_kw: MagnitudeKw
    reason: Text | None = None

    def contradicts(self, performative: Performative) -> Iterator[tuple[str, str]]:
        if (performative is Performative.ACCEPT_PROPOSAL) != (self.power_kw > 0):
            yield "power_kw", f"is {self.power_kw} in {performative}"


class _Activation(Content):
    """Reduce consumption against the baseline by `power_kw` (> 0) from start to end."""

    activation_id: Identifier
    bid_id: Identifier
    service: ServiceType
    congestion_point: Identifier
    start: Time
    end: Time
    max_price_eur_per_kw: EurPerKw
    power_kw: PositiveKw

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class PoolActivation(_Activation):
    """6.2.1: the DSO activates an awarded bid."""

    exchange: Literal["6.2.1"] = "6.2.1"


class CpoActivation(_Activation):
    """6.2.2: the VPP asks a CPO for its part of the activation; `ceiling_kw` and `discharge_limits` as in 1.2.3."""

    exchange: Literal["6.2.2"] = "6.2.2"
    ceiling_kw: tuple[Kw, ...] = ()
    discharge_limits: tuple[DischargeLimit, ...] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if self.ceiling_kw and len(self.ceiling_kw) * MARKET_PERIOD != self.end - self.start:
            yield "ceiling_kw", "does not have one value for each 15 minutes from start to end"


class ParticipationRequest(Content):
    """6.2.3: the CPO asks the driver; `power_kw` is the reduction of this vehicle, `benefit_eur` the driver's."""

    exchange: Literal["6.2.3"] = "6.2.3"
    activation_id: Identifier
    service: ServiceType
    start: Time
    end: Time
    power_kw: PositiveKw
    benefit_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class ParticipationReply(Content):
    """6.2.3, answer: the driver takes part or declines; the act says which."""

    exchange: Literal["6.2.3"] = "6.2.3"
    activation_id: Identifier
    reason: Text | None = None


class _ActivationResponse(Content):
    """Accepted or declined, as the act says too, and the reduction that can be kept (>= 0)."""

    activation_id: Identifier
    accepted: bool
    available_power_kw: MagnitudeKw
    reason: Text | None = None

    def contradicts(self, performative: Performative) -> Iterator[tuple[str, str]]:
        if (performative is Performative.AGREE) != self.accepted:
            yield "accepted", f"is {str(self.accepted).lower()} in {performative}"


class CpoActivationResponse(_ActivationResponse):
    """6.2.4: what the CPO's drivers make available."""

    exchange: Literal["6.2.4"] = "6.2.4"


class VppActivationResponse(_ActivationResponse):
    """6.2.5: what the VPP offers the DSO after asking its CPOs."""

    exchange: Literal["6.2.5"] = "6.2.5"
