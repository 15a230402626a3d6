"""Who asks whom for what, in which protocol, and what may be answered: the table behind the catalogue.

Source: D5.1 Tables 1 to 11 and the prose of chapter 3. The protocol and act that
carries each exchange is this project's reading, since D5.1 names none. An id with an `x` is an exchange that the prose
needs and no table numbers; `df.*` and `env.*` are services of the platform.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols import exchanges as x
from protocols.acl import Performative as Act
from protocols.acl import Protocol
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class Say:
    """One act with what it carries."""

    performative: Act
    content: type[x.Content]

    @property
    def exchange(self) -> str | None:
        """The exchange id of the content, None for a plain act."""
        default: str | None = self.content.model_fields["exchange"].default
        return default


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation between two roles: what opens it, what the participant answers, what the initiator says then.

    An `initiator` of None is any role. The plain acts that a protocol always allows are not repeated here.
    """

    initiator: Role | None
    participant: Role
    protocol: Protocol
    opening: Say
    answers: tuple[Say, ...] = ()
    replies: tuple[Say, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """The name of an exchange and where it is specified."""

    id: str
    name: str
    source: str


EXCHANGES: dict[str, Exchange] = {
    exchange.id: exchange
    for exchange in (
        Exchange("1.x.1", "Product requirements", "D5.1 3.1.1"),
        Exchange("1.x.2", "Resource registration", "D5.1 3.1.1"),
        Exchange("1.x.3", "Prequalification", "D5.1 3.1.1"),
        Exchange("1.x.6", "Flexibility need", "D5.1 3.1.2"),
        Exchange("1.x.7", "Request for bids", "D5.1 3.1.2"),
        Exchange("1.1.1", "Send bid", "D5.1 Table 1"),
        Exchange("1.1.2", "Market results", "D5.1 Table 1"),
        Exchange("1.x.8", "Session announcement", "D5.1 3.1.1"),
        Exchange("1.2.1", "Data request", "D5.1 Table 2"),
        Exchange("1.2.2", "Data measurements", "D5.1 Table 2"),
        Exchange("1.2.3", "Activation signal", "D5.1 Table 2"),
        Exchange("1.2.4", "Confirmation", "D5.1 Table 2"),
        Exchange("1.2.5", "Participation information", "D5.1 Table 2"),
        Exchange("1.x.4", "Activated resources", "D5.1 3.1.2"),
        Exchange("1.2.6", "Measurements collection", "D5.1 Table 2"),
        Exchange("1.x.5", "Delivered volume", "D5.1 3.1.2"),
        Exchange("1.2.7", "Billing", "D5.1 Table 2"),
        Exchange("2.1", "Measurements", "D5.1 Table 3"),
        Exchange("2.2", "Flexibility information", "D5.1 Table 3"),
        Exchange("2.3", "Service activation / deactivation", "D5.1 Table 3"),
        Exchange("2.4", "Service participation request", "D5.1 Table 3"),
        Exchange("2.5", "Availability", "D5.1 3.2"),
        Exchange("2.x.1", "Invoice", "D5.1 3.2"),
        Exchange("3.1", "Request congestion solving", "D5.1 Table 4"),
        Exchange("3.x.1", "Solution offer", "D5.1 3.3"),
        Exchange("3.x.2", "Solution award", "D5.1 3.3"),
        Exchange("3.2", "Request to customers", "D5.1 Table 4"),
        Exchange("3.3", "Cancel service", "D5.1 Table 4"),
        Exchange("3.x.3", "Congestion settlement", "D5.1 3.3"),
        Exchange("3.x.4", "Remuneration", "D5.1 3.3 and 3.7"),
        Exchange("3.x.5", "Charging schedule", "D5.1 3.3"),
        Exchange("4.1.1", "Service activation / deactivation request", "D5.1 Table 5"),
        Exchange("4.1.2", "Service participation response", "D5.1 Table 5"),
        Exchange("4.1.3", "Service activation signal", "D5.1 Table 5"),
        Exchange("4.1.4", "Participation info", "D5.1 Table 5"),
        Exchange("4.x.1", "Feeder headroom", "D5.1 3.4.1"),
        Exchange("4.2.1", "Network price reduction and location", "D5.1 Table 6"),
        Exchange("4.2.2", "New charging prices", "D5.1 3.4.2"),
        Exchange("4.x.2", "Network bill", "D5.1 3.4.2"),
        Exchange("5.x.1", "Station registration", "D5.1 3.5.1"),
        Exchange("5.1.1", "Event trigger, participation info", "D5.1 Table 7"),
        Exchange("5.1.2", "Event trigger, participation info", "D5.1 Table 7"),
        Exchange("5.1.3", "Bid info", "D5.1 Table 7"),
        Exchange("5.1.4", "Bid info", "D5.1 Table 7"),
        Exchange("5.1.5", "Capacity procurement decision", "D5.1 Table 7"),
        Exchange("5.1.6", "Capacity procurement decision", "D5.1 Table 7"),
        Exchange("5.2.1", "Capacity limit", "D5.1 Table 8"),
        Exchange("5.x.2", "Settlement of a capacity limit", "D5.1 3.5"),
        Exchange("5.2.2", "Charging request", "D5.1 Table 8"),
        Exchange("5.2.3", "Charging choices", "D5.1 Table 8"),
        Exchange("5.2.4", "Charging choice selection", "D5.1 Table 8"),
        Exchange("5.x.3", "Session receipt", "D5.1 3.5.2"),
        Exchange("6.1.1", "Informs the pool", "D5.1 Table 9"),
        Exchange("6.1.2", "Market bid", "D5.1 Table 9"),
        Exchange("6.x.1", "Pool award", "D5.1 3.6.2"),
        Exchange("6.2.1", "Activation signal", "D5.1 Table 10"),
        Exchange("6.2.2", "Activation signal", "D5.1 Table 10"),
        Exchange("6.2.3", "Participation info", "D5.1 Table 10"),
        Exchange("6.2.4", "Activation response", "D5.1 Table 10"),
        Exchange("6.2.5", "Activation response", "D5.1 Table 10"),
        Exchange("7.1", "Participation request", "D5.1 Table 11"),
        Exchange("7.x.1", "Prequalification test", "D5.1 3.7"),
        Exchange("7.x.2", "Capacity for a period", "D5.1 3.7"),
        Exchange("7.x.3", "Delivery report", "D5.1 3.7"),
        Exchange("7.2", "Participation information", "D5.1 Table 11"),
        Exchange("7.3", "Cancel participation", "D5.1 Table 11"),
        Exchange("df.register", "Directory: register", "FIPA SC00023"),
        Exchange("df.deregister", "Directory: deregister", "FIPA SC00023"),
        Exchange("df.search", "Directory: search", "FIPA SC00023"),
        Exchange("df.subscribe", "Directory: subscribe", "FIPA SC00023"),
        Exchange("env.grid", "Grid sensor", "platform"),
        Exchange("env.clock", "Scenario time", "platform"),
        Exchange("env.meter", "Grid meters", "platform"),
    )
}


_AGREED = Say(Act.AGREE, x.Done)
_DONE = Say(Act.INFORM, x.Done)


def _request(initiator: Role | None, participant: Role, content: type[x.Content], *answers: Say) -> Dialogue:
    return Dialogue(initiator, participant, Protocol.REQUEST, Say(Act.REQUEST, content), answers)


def _query(initiator: Role | None, participant: Role, content: type[x.Content], answer: type[x.Content]) -> Dialogue:
    opening = Say(Act.QUERY_REF, content)
    return Dialogue(initiator, participant, Protocol.QUERY, opening, (_AGREED, Say(Act.INFORM, answer)))


def _subscribe(initiator: Role | None, participant: Role, content: type[x.Content], news: type[x.Content]) -> Dialogue:
    opening = Say(Act.SUBSCRIBE, content)
    answers = (_AGREED, Say(Act.INFORM, news))
    return Dialogue(initiator, participant, Protocol.SUBSCRIBE, opening, answers)


def _propose(initiator: Role, participant: Role, content: type[x.Content], answer: type[x.Content]) -> Dialogue:
    answers = (Say(Act.ACCEPT_PROPOSAL, answer), Say(Act.REJECT_PROPOSAL, answer))
    return Dialogue(initiator, participant, Protocol.PROPOSE, Say(Act.PROPOSE, content), answers)


def _contract_net(
    initiator: Role, participant: Role, call: type[x.Content], bid: type[x.Content], award: type[x.Content]
) -> Dialogue:
    return Dialogue(
        initiator,
        participant,
        Protocol.CONTRACT_NET,
        Say(Act.CFP, call),
        (Say(Act.PROPOSE, bid), _DONE),
        (Say(Act.ACCEPT_PROPOSAL, award), Say(Act.REJECT_PROPOSAL, award)),
    )


def _called(
    initiator: Role,
    participant: Role,
    call: type[x.Content],
    offer: type[x.Content],
    award: type[x.Content],
    result: type[x.Content],
) -> Dialogue:
    """A contract-net whose rejection is a plain reason."""
    return Dialogue(
        initiator,
        participant,
        Protocol.CONTRACT_NET,
        Say(Act.CFP, call),
        (Say(Act.PROPOSE, offer), Say(Act.INFORM, result)),
        (Say(Act.ACCEPT_PROPOSAL, award),),
    )


def _agree_or_refuse(content: type[x.Content]) -> tuple[Say, ...]:
    return (Say(Act.AGREE, content), Say(Act.REFUSE, content))


DIALOGUES: tuple[Dialogue, ...] = (
    # BUC 1.1
    _request(Role.DSO, Role.FMO, x.ProductRequirements, _AGREED, _DONE),
    _request(Role.VPP, Role.FMO, x.ResourceRegistration, _AGREED, Say(Act.INFORM, x.RegistrationResult)),
    _request(Role.FMO, Role.DSO, x.PrequalificationRequest, _AGREED, Say(Act.INFORM, x.PrequalificationResult)),
    _request(Role.DSO, Role.FMO, x.FlexibilityNeed, _AGREED, Say(Act.INFORM, x.NeedResult)),
    _contract_net(Role.FMO, Role.VPP, x.RequestForBids, x.Bid, x.MarketResult),
    _request(Role.EV_OWNER, Role.CPO, x.SessionAnnouncement, _AGREED, _DONE),
    # BUC 1.2
    _query(Role.VPP, Role.CPO, x.DataRequest, x.DataMeasurements),
    _request(Role.DSO, Role.VPP, x.ActivationSignal, *_agree_or_refuse(x.ActivationConfirmation), _DONE),
    _request(Role.VPP, Role.CPO, x.ActivationSignal, *_agree_or_refuse(x.ActivationAnswer), _DONE),
    _propose(Role.CPO, Role.EV_OWNER, x.ParticipationInformation, x.ParticipationAnswer),
    _subscribe(Role.TSO, Role.DSO, x.ActivatedResourcesSubscription, x.ActivatedResources),
    _query(Role.FMO, Role.DSO, x.MeasurementsQuery, x.MeasurementsCollection),
    _query(Role.FMO, Role.VPP, x.MeasurementsQuery, x.MeasurementsCollection),
    _propose(Role.VPP, Role.DSO, x.DeliveredVolume, x.VolumeAnswer),
    _request(Role.FMO, Role.DSO, x.Bill, _AGREED, Say(Act.INFORM, x.Payment)),
    _request(Role.FMO, Role.VPP, x.Bill, _AGREED, Say(Act.INFORM, x.Payment)),
    # BUC 6
    _contract_net(Role.DSO, Role.VPP, x.PoolOpening, x.PoolBid, x.PoolAward),
    _request(Role.DSO, Role.VPP, x.PoolActivation, *_agree_or_refuse(x.VppActivationResponse), _DONE),
    _request(Role.VPP, Role.CPO, x.CpoActivation, *_agree_or_refuse(x.CpoActivationResponse), _DONE),
    _propose(Role.CPO, Role.EV_OWNER, x.ParticipationRequest, x.ParticipationReply),
    # BUC 2
    _subscribe(Role.TSO, Role.PRODUCER, x.MeasurementsSubscription, x.Measurements),
    _subscribe(Role.FO, Role.V2X_MANAGER, x.MeasurementsSubscription, x.Measurements),
    _subscribe(Role.TSO, Role.FO, x.MeasurementsSubscription, x.Measurements),
    _subscribe(Role.TSO, Role.FO, x.FlexibilitySubscription, x.FlexibilityInformation),
    _request(Role.TSO, Role.FO, x.CurtailmentActivation, *_agree_or_refuse(x.ServiceAnswer), _DONE),
    _called(Role.FO, Role.V2X_MANAGER, x.CurtailmentCall, x.Availability, x.CurtailmentAward, x.Done),
    _request(Role.FO, Role.EMSP, x.CurtailmentNotice, _AGREED, _DONE),
    _request(Role.EV_OWNER, Role.V2X_MANAGER, x.SessionAnnouncement, _AGREED, _DONE),
    *(
        _request(Role.EMSP, customer, x.Invoice, _AGREED, Say(Act.INFORM, x.InvoicePayment))
        for customer in (Role.EV_OWNER, Role.V2X_MANAGER, Role.FO, Role.TSO, Role.DSO)
    ),
    # BUC 4.1
    _request(
        Role.DSO,
        Role.FO,
        x.VoltageRequest,
        *_agree_or_refuse(x.ServiceAnswer),
        Say(Act.INFORM, x.ParticipationInfo),
    ),
    _called(Role.FO, Role.V2X_MANAGER, x.VoltageCall, x.ParticipationResponse, x.VoltageAward, x.ParticipationInfo),
    _request(Role.FO, Role.EMSP, x.VoltageNotice, _AGREED, _DONE),
    _subscribe(Role.FO, Role.V2X_MANAGER, x.ParticipationSubscription, x.ParticipationInfo),
    _subscribe(Role.DSO, Role.FO, x.ParticipationSubscription, x.ParticipationInfo),
    _subscribe(Role.FO, Role.DSO, x.HeadroomSubscription, x.Headroom),
    # BUC 3
    _subscribe(Role.DSO, Role.V2X_MANAGER, x.ScheduleSubscription, x.ChargingSchedule),
    Dialogue(
        Role.DSO,
        Role.V2X_MANAGER,
        Protocol.CONTRACT_NET,
        Say(Act.CFP, x.CongestionCall),
        (Say(Act.PROPOSE, x.SolutionOffer), _DONE),
        (Say(Act.ACCEPT_PROPOSAL, x.SolutionAward), Say(Act.CANCEL, x.CongestionEnd)),
    ),
    _called(Role.V2X_MANAGER, Role.EV_OWNER, x.CustomerRequest, x.CustomerAnswer, x.CustomerAward, x.Done),
    _propose(Role.DSO, Role.V2X_MANAGER, x.CongestionSettlement, x.SettlementAnswer),
    _request(Role.V2X_MANAGER, Role.EV_OWNER, x.Remuneration, _AGREED, _DONE),
    # BUC 4.2
    _request(Role.DSO, Role.CPO, x.NetworkPriceReduction, _AGREED, _DONE),
    _subscribe(Role.EV_OWNER, Role.CPO, x.PriceSubscription, x.ChargingPrices),
    _request(Role.DSO, Role.CPO, x.NetworkBill, _AGREED, _DONE),
    # BUC 5
    _request(Role.CPO, Role.FMO, x.StationRegistration, _AGREED, _DONE),
    _request(Role.DSO, Role.FMO, x.AuctionTerms, _AGREED, Say(Act.INFORM, x.CurveBids)),
    _contract_net(Role.FMO, Role.CPO, x.AuctionCall, x.CurveBid, x.ProcurementResult),
    _request(Role.DSO, Role.FMO, x.ProcurementDecision, _AGREED, Say(Act.INFORM, x.ConcludedContracts)),
    _request(Role.DSO, Role.CPO, x.CapacityLimit, _AGREED, _DONE),
    _propose(Role.DSO, Role.CPO, x.LimitSettlement, x.LimitSettlementAnswer),
    _called(Role.EV_OWNER, Role.CPO, x.ChargingRequest, x.ChargingChoices, x.ChargingSelection, x.SessionReceipt),
    # BUC 7
    Dialogue(
        Role.V2X_MANAGER,
        Role.TSO,
        Protocol.REQUEST,
        Say(Act.REQUEST, x.ParticipationApplication),
        (_AGREED, Say(Act.INFORM, x.Prequalification), Say(Act.FAILURE, x.PrequalificationFailed)),
        (Say(Act.CANCEL, x.ParticipationEnd),),
    ),
    _request(Role.TSO, Role.V2X_MANAGER, x.TestStep, _AGREED, Say(Act.INFORM, x.TestRecord)),
    Dialogue(
        Role.V2X_MANAGER,
        Role.TSO,
        Protocol.REQUEST,
        Say(Act.REQUEST, x.CapacityOffer),
        (Say(Act.AGREE, x.CapacityAward), Say(Act.INFORM, x.CapacitySettlement)),
        (Say(Act.CANCEL, x.ParticipationEnd),),
    ),
    _query(Role.TSO, Role.V2X_MANAGER, x.DeliveryQuery, x.DeliveryReport),
    _subscribe(Role.EV_OWNER, Role.V2X_MANAGER, x.FcrStatusSubscription, x.FcrStatus),
    _request(Role.V2X_MANAGER, Role.TSO, x.ParticipationChange, _AGREED, _DONE),
    # services of the platform
    _request(None, Role.DIRECTORY, x.Registration, _AGREED, _DONE),
    _request(None, Role.DIRECTORY, x.Deregistration, _AGREED, _DONE),
    _query(None, Role.DIRECTORY, x.Search, x.SearchResult),
    _subscribe(None, Role.DIRECTORY, x.SearchSubscription, x.SearchResult),
    _query(None, Role.ENVIRONMENT, x.GridQuery, x.GridReading),
    _subscribe(None, Role.ENVIRONMENT, x.GridQuery, x.GridReading),
    _query(None, Role.ENVIRONMENT, x.ClockQuery, x.ClockReading),
    _query(Role.DSO, Role.ENVIRONMENT, x.MeterQuery, x.MeterReading),
    *(
        _query(reader, Role.ENVIRONMENT, x.MeterQuery, x.MeterReading)
        for reader in (Role.CPO, Role.FO, Role.EMSP, Role.V2X_MANAGER, Role.TSO)
    ),
)

PLAIN_ANSWERS: tuple[Say, ...] = (
    Say(Act.REFUSE, x.Reason),
    Say(Act.FAILURE, x.Reason),
    Say(Act.NOT_UNDERSTOOD, x.Reason),
    Say(Act.REJECT_PROPOSAL, x.Reason),
)
"""What a participant may say to any opening that it will not, cannot or must not serve."""

PLAIN_REPLIES: tuple[Say, ...] = (
    Say(Act.CANCEL, x.Cancellation),
    Say(Act.NOT_UNDERSTOOD, x.Reason),
    Say(Act.REJECT_PROPOSAL, x.Reason),
)
"""What an initiator may say in any conversation after its opening."""

ANSWER_TO_CANCEL = Say(Act.INFORM, x.Done)
"""A participant has stopped what the initiator called off; that it could not is a failure."""
