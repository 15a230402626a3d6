"""What each content names and what it refers to, as tables: by an id, between whom, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from protocols import exchanges as x


class Where(Enum):
    """Between whom the thing that is referred to was said, seen from the act that refers to it."""

    REVERSE = auto()
    """Our receiver said it to us."""
    SAME = auto()
    """We said it to the same receiver before."""
    TO_SENDER = auto()
    """Somebody said it to us; our receiver cannot know."""
    AT_RECEIVER = auto()
    """Our receiver said or heard it; we need not have been there."""
    AT_SENDER = auto()
    """We said or heard it; our receiver cannot know."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`field` of a content names the `target_field` of an earlier content, one of the classes `targets`.

    A field that is None refers to nothing. `once`: the thing may be used in this way once for each time that it was
    said. `ground`: what refers to it rests on it, and is held against it; a service does not rest on the one before.
    """

    field: str
    targets: tuple[type[x.Content], ...]
    where: Where
    once: bool = False
    target_field: str = ""
    ground: bool = True

    @property
    def names(self) -> str:
        """The field of the target."""
        return self.target_field or self.field


_ACTIVATIONS = (x.ActivationSignal, x.PoolActivation)
_SERVICES = (x.CurtailmentActivation, x.VoltageRequest)
_CALLS = (x.CurtailmentCall, x.VoltageCall)
_REPORTED = (x.ParticipationSubscription, x.VoltageRequest, x.VoltageCall)


def _renewed(kind: type[x.Content], where: Where) -> Reference:
    """The service that ends where this one starts, known by its own id."""
    return Reference("renews", (kind,), where, target_field="service_id", ground=False)


def _offered(call: type[x.Content]) -> tuple[Reference, ...]:
    return (Reference("request_id", (call,), Where.REVERSE, once=True),)


def _awarded(
    call: type[x.Content], offer: type[x.Content], service: type[x.Content]
) -> tuple[Reference, Reference, Reference]:
    return (
        Reference("request_id", (offer,), Where.REVERSE, once=True),
        Reference("request_id", (call,), Where.SAME),
        _renewed(service, Where.TO_SENDER),
    )


def _noticed(service: type[x.Content]) -> tuple[Reference, Reference]:
    return Reference("service_id", (service,), Where.TO_SENDER), _renewed(service, Where.TO_SENDER)


REFERENCES: Mapping[type[x.Content], tuple[Reference, ...]] = {
    x.RegistrationResult: (Reference("resource_id", (x.ResourceRegistration,), Where.REVERSE, once=True),),
    x.PrequalificationRequest: (Reference("resource_id", (x.ResourceRegistration,), Where.TO_SENDER),),
    x.PrequalificationResult: (Reference("resource_id", (x.PrequalificationRequest,), Where.REVERSE, once=True),),
    x.ResourceRegistration: (Reference("product_id", (x.ProductRequirements,), Where.AT_RECEIVER),),
    x.FlexibilityNeed: (Reference("product_id", (x.ProductRequirements,), Where.SAME),),
    x.NeedResult: (Reference("need_id", (x.FlexibilityNeed,), Where.REVERSE, once=True),),
    x.RequestForBids: (Reference("need_id", (x.FlexibilityNeed,), Where.TO_SENDER),),
    x.Bid: (Reference("market_id", (x.RequestForBids,), Where.REVERSE, once=True),),
    x.MarketResult: (
        Reference("bid_id", (x.Bid,), Where.REVERSE, once=True),
        Reference("market_id", (x.RequestForBids,), Where.SAME),
    ),
    x.DataMeasurements: (Reference("request_id", (x.DataRequest,), Where.REVERSE, once=True),),
    x.ActivationConfirmation: (Reference("activation_id", (x.ActivationSignal,), Where.REVERSE, once=True),),
    x.ActivationAnswer: (Reference("activation_id", (x.ActivationSignal,), Where.REVERSE, once=True),),
    x.ParticipationInformation: (Reference("activation_id", (x.ActivationSignal,), Where.TO_SENDER),),
    x.ParticipationAnswer: (Reference("activation_id", (x.ParticipationInformation,), Where.REVERSE, once=True),),
    x.ActivatedResources: (Reference("activation_id", _ACTIVATIONS, Where.AT_SENDER),),
    x.MeasurementsQuery: (Reference("activation_id", _ACTIVATIONS, Where.AT_RECEIVER),),
    x.MeasurementsCollection: (Reference("activation_id", (x.MeasurementsQuery,), Where.REVERSE, once=True),),
    x.DeliveredVolume: (Reference("activation_id", _ACTIVATIONS, Where.REVERSE, once=True),),
    x.VolumeAnswer: (Reference("activation_id", (x.DeliveredVolume,), Where.REVERSE, once=True),),
    x.Bill: (Reference("activation_id", _ACTIVATIONS, Where.AT_RECEIVER),),
    x.Payment: (Reference("bill_id", (x.Bill,), Where.REVERSE, once=True),),
    x.PoolBid: (Reference("pool_id", (x.PoolOpening,), Where.REVERSE, once=True),),
    x.PoolAward: (
        Reference("bid_id", (x.PoolBid,), Where.REVERSE, once=True),
        Reference("pool_id", (x.PoolOpening,), Where.SAME),
    ),
    x.PoolActivation: (Reference("bid_id", (x.PoolAward,), Where.SAME),),
    x.VppActivationResponse: (Reference("activation_id", (x.PoolActivation,), Where.REVERSE, once=True),),
    x.CpoActivation: (Reference("activation_id", (x.PoolActivation,), Where.TO_SENDER),),
    x.CpoActivationResponse: (Reference("activation_id", (x.CpoActivation,), Where.REVERSE, once=True),),
    x.ParticipationRequest: (Reference("activation_id", (x.CpoActivation,), Where.TO_SENDER),),
    x.ParticipationReply: (Reference("activation_id", (x.ParticipationRequest,), Where.REVERSE, once=True),),
    x.Measurements: (Reference("request_id", (x.MeasurementsSubscription,), Where.REVERSE),),
    x.FlexibilityInformation: (Reference("request_id", (x.FlexibilitySubscription,), Where.REVERSE),),
    x.CurtailmentActivation: (_renewed(x.CurtailmentActivation, Where.SAME),),
    x.VoltageRequest: (_renewed(x.VoltageRequest, Where.SAME),),
    x.ServiceAnswer: (Reference("service_id", _SERVICES, Where.REVERSE, once=True),),
    x.CurtailmentCall: (Reference("service_id", (x.CurtailmentActivation,), Where.TO_SENDER),),
    x.VoltageCall: (Reference("service_id", (x.VoltageRequest,), Where.TO_SENDER),),
    x.Availability: _offered(x.CurtailmentCall),
    x.ParticipationResponse: _offered(x.VoltageCall),
    x.CurtailmentAward: _awarded(x.CurtailmentCall, x.Availability, x.CurtailmentActivation),
    x.VoltageAward: _awarded(x.VoltageCall, x.ParticipationResponse, x.VoltageRequest),
    x.CurtailmentNotice: _noticed(x.CurtailmentActivation),
    x.VoltageNotice: _noticed(x.VoltageRequest),
    x.ParticipationInfo: (
        Reference("request_id", _REPORTED, Where.REVERSE),
        Reference("service_id", _SERVICES + _CALLS, Where.AT_SENDER),
    ),
    x.Headroom: (Reference("request_id", (x.HeadroomSubscription,), Where.REVERSE),),
    x.ChargingSchedule: (Reference("request_id", (x.ScheduleSubscription,), Where.REVERSE),),
    x.SolutionOffer: _offered(x.CongestionCall),
    x.SolutionAward: (
        Reference("request_id", (x.SolutionOffer,), Where.REVERSE, once=True),
        Reference("request_id", (x.CongestionCall,), Where.SAME),
    ),
    x.CustomerRequest: (Reference("request_id", (x.CongestionCall,), Where.TO_SENDER),),
    x.CustomerAnswer: (Reference("request_id", (x.CustomerRequest,), Where.REVERSE, once=True),),
    x.CustomerAward: (
        Reference("request_id", (x.CustomerAnswer,), Where.REVERSE, once=True),
        Reference("request_id", (x.CustomerRequest,), Where.SAME),
    ),
    x.CongestionSettlement: (
        Reference("request_id", (x.SolutionAward,), Where.SAME, once=True),
        Reference("request_id", (x.SolutionOffer,), Where.REVERSE),
        Reference("request_id", (x.CongestionCall,), Where.SAME),
    ),
    x.SettlementAnswer: (Reference("settlement_id", (x.CongestionSettlement,), Where.REVERSE, once=True),),
    x.Prequalification: (Reference("application_id", (x.ParticipationApplication,), Where.REVERSE, once=True),),
    x.PrequalificationFailed: (Reference("application_id", (x.ParticipationApplication,), Where.REVERSE, once=True),),
    x.TestStep: (Reference("application_id", (x.ParticipationApplication,), Where.REVERSE),),
    x.TestRecord: (Reference("step_id", (x.TestStep,), Where.REVERSE, once=True),),
    x.CapacityOffer: (Reference("portfolio_id", (x.ParticipationApplication,), Where.AT_SENDER),),
    x.CapacityAward: (Reference("offer_id", (x.CapacityOffer,), Where.REVERSE, once=True),),
    x.CapacitySettlement: (
        Reference("offer_id", (x.CapacityOffer,), Where.REVERSE, once=True),
        Reference("offer_id", (x.CapacityAward,), Where.SAME),
    ),
    x.DeliveryQuery: (Reference("offer_id", (x.CapacityOffer,), Where.REVERSE),),
    x.DeliveryReport: (Reference("offer_id", (x.DeliveryQuery,), Where.REVERSE, once=True),),
    x.FcrStatus: (Reference("request_id", (x.FcrStatusSubscription,), Where.REVERSE),),
    x.ParticipationChange: (Reference("offer_id", (x.CapacityOffer,), Where.SAME),),
    x.ChargingPrices: (Reference("request_id", (x.PriceSubscription,), Where.REVERSE),),
    x.AuctionCall: (Reference("terms_id", (x.AuctionTerms,), Where.TO_SENDER),),
    x.CurveBid: (Reference("call_id", (x.AuctionCall,), Where.REVERSE, once=True),),
    x.CurveBids: (Reference("terms_id", (x.AuctionTerms,), Where.REVERSE, once=True),),
    x.ProcurementDecision: (
        Reference("terms_id", (x.CurveBids,), Where.REVERSE, once=True),
        Reference("terms_id", (x.AuctionTerms,), Where.SAME),
    ),
    x.ConcludedContracts: (Reference("decision_id", (x.ProcurementDecision,), Where.REVERSE, once=True),),
    x.ProcurementResult: (
        Reference("bid_id", (x.CurveBid,), Where.REVERSE, once=True),
        Reference("call_id", (x.AuctionCall,), Where.SAME),
    ),
    x.CapacityLimit: (Reference("contract_id", (x.ProcurementResult,), Where.AT_RECEIVER),),
    x.LimitSettlement: (
        Reference("contract_id", (x.ProcurementResult,), Where.AT_RECEIVER),
        Reference("activation_id", (x.CapacityLimit,), Where.SAME, once=True),
    ),
    x.LimitSettlementAnswer: (Reference("settlement_id", (x.LimitSettlement,), Where.REVERSE, once=True),),
    x.ChargingChoices: _offered(x.ChargingRequest),
    x.ChargingSelection: (
        Reference("request_id", (x.ChargingChoices,), Where.REVERSE, once=True),
        Reference("request_id", (x.ChargingRequest,), Where.SAME),
    ),
    x.SessionReceipt: (
        Reference("request_id", (x.ChargingSelection,), Where.REVERSE, once=True),
        Reference("request_id", (x.ChargingChoices,), Where.SAME),
    ),
    x.InvoicePayment: (Reference("invoice_id", (x.Invoice,), Where.REVERSE, once=True),),
}
"""What each content refers to. The activation signal, which travels two hops, is in `references_of`."""

SIGNAL_OF_DSO = (Reference("bid_id", (x.MarketResult,), Where.AT_RECEIVER),)
SIGNAL_OF_VPP = (Reference("activation_id", (x.ActivationSignal,), Where.TO_SENDER),)

DEFINES: Mapping[type[x.Content], tuple[str, bool]] = {
    x.ProductRequirements: ("product_id", False),
    x.ResourceRegistration: ("resource_id", False),
    x.FlexibilityNeed: ("need_id", False),
    x.RequestForBids: ("market_id", False),
    x.Bid: ("bid_id", False),
    x.DataRequest: ("request_id", True),
    x.ActivationSignal: ("activation_id", True),
    x.PoolOpening: ("pool_id", False),
    x.PoolBid: ("bid_id", False),
    x.PoolActivation: ("activation_id", True),
    x.CpoActivation: ("activation_id", True),
    x.Bill: ("bill_id", False),
    x.MeasurementsSubscription: ("request_id", True),
    x.FlexibilitySubscription: ("request_id", True),
    x.ParticipationSubscription: ("request_id", True),
    x.HeadroomSubscription: ("request_id", True),
    x.CurtailmentActivation: ("service_id", True),
    x.VoltageRequest: ("service_id", True),
    x.CurtailmentCall: ("request_id", True),
    x.VoltageCall: ("request_id", True),
    x.Invoice: ("invoice_id", False),
    x.ScheduleSubscription: ("request_id", True),
    x.CongestionCall: ("request_id", True),
    x.CustomerRequest: ("request_id", True),
    x.CongestionSettlement: ("settlement_id", False),
    x.Remuneration: ("remuneration_id", False),
    x.ParticipationApplication: ("application_id", False),
    x.TestStep: ("step_id", False),
    x.CapacityOffer: ("offer_id", False),
    x.FcrStatusSubscription: ("request_id", True),
    x.NetworkPriceReduction: ("reduction_id", True),
    x.PriceSubscription: ("request_id", True),
    x.NetworkBill: ("bill_id", False),
    x.StationRegistration: ("registration_id", False),
    x.AuctionTerms: ("terms_id", False),
    x.AuctionCall: ("call_id", False),
    x.CurveBid: ("bid_id", False),
    x.ProcurementDecision: ("decision_id", False),
    x.CapacityLimit: ("activation_id", False),
    x.LimitSettlement: ("settlement_id", False),
    x.ChargingRequest: ("request_id", True),
    x.SessionReceipt: ("receipt_id", False),
}
"""The field by which a content names a new thing, and whether each receiver may be told another thing under it."""

LASTING: tuple[type[x.Content], ...] = (
    x.StationRegistration,
    x.AuctionTerms,
    x.AuctionCall,
    x.ProcurementResult,
    x.CapacityLimit,
)
"""What is referred to for weeks; a register does not forget it, nor a subscription."""
