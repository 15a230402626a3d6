"""The EV owner: who says when the car is needed with which charge, and whether it takes part in a service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.customer import Consent, Wish, choose
from agents.decisions.participation import Offer, Preference, Stay, decide
from agents.ledger import Ledger
from agents.paying import pay_or_refuse
from behaviours.answering import (
    AcceptProposal,
    Failure,
    Incoming,
    Inform,
    Propose,
    Refuse,
    RejectProposal,
    answers,
    cancels,
    failure,
    refusal,
)
from behaviours.swarm import Swarm
from protocols.acl import Performative
from protocols.exchanges.activation import ParticipationAnswer, ParticipationInformation, SessionAnnouncement
from protocols.exchanges.congestion_services import (
    CustomerAnswer,
    CustomerAward,
    CustomerOption,
    CustomerRequest,
    Remuneration,
)
from protocols.exchanges.dso_services import ParticipationReply, ParticipationRequest
from protocols.exchanges.plain import Done, Reason
from protocols.exchanges.res_curtailment import Invoice
from protocols.exchanges.vocabulary import ServiceType
from protocols.roles import Role

ANNOUNCEMENT_TIME = timedelta(minutes=5)
"""How long the operator may take to note a session."""
METERING_ERROR = 0.05
"""Of the energy that a battery could have taken: what meter, charger and the car's own gauge may differ by."""
METERING_ERROR_KWH = 0.5
METERED_KW = 0.001
CENT_EUR = 0.0101
"""A payment may be off by a cent of rounding."""
CHARGED = ("charging", "charging-in-service")


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay at the charger as the owner knows it: what was expected before, and what then happened.

    States of charge in percent of the capacity; times are aware. `charges_from` is the vehicle's timer.
    """

    vehicle_id: str
    expected_arrival: datetime
    expected_soc_percent: float
    arrival: datetime
    departure: datetime
    capacity_kwh: float
    soc_percent: float
    wanted_soc_percent: float
    minimum_soc_percent: float
    charges_from: datetime | None = None


class EvOwner(Actor):
    """D5.1 section 3.1.2: the CPO informs the EV owners about participating in the service, with the power and the
    benefit; "the EV owners are planned to be involved in these services with minimum interaction". Ours decides by a
    stated preference, may decline, and never agrees to what would cost the charge that was asked for."""

    role: ClassVar[Role] = Role.EV_OWNER

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        operator: str,
        charger_id: str,
        max_charge_kw: float,
        efficiency: float,
        visits: Sequence[Visit],
        preference: Preference,
        ledger: Ledger | None = None,
        consent: Consent | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.operator = operator
        self.charger_id = charger_id
        self.max_charge_kw = max_charge_kw
        self.efficiency = efficiency
        self.visits = tuple(visits)
        self.preference = preference
        self.ledger = ledger
        self.location = None
        self.consent = consent or Consent()
        self._paid: dict[str, Invoice] = {}
        self._taken: dict[str, tuple[CustomerRequest, CustomerOption]] = {}
        self._awarded: dict[str, tuple[CustomerRequest, CustomerAward]] = {}

    async def course(self) -> None:
        """Tells the operator (CPO or V2X manager) of each stay: once as expected, once when the plug is in."""
        for visit in self.visits:
            if visit.arrival > self.now():
                await self._announce(visit, plugged_in=False)
        for visit in self.visits:
            await self.clock.sleep_until(visit.arrival)
            await self._announce(visit, plugged_in=True)

    async def _announce(self, visit: Visit, *, plugged_in: bool) -> None:
        announcement = SessionAnnouncement(
            charger_id=self.charger_id,
            vehicle_id=visit.vehicle_id,
            plugged_in=plugged_in,
            arrival=visit.arrival if plugged_in else visit.expected_arrival,
            departure=visit.departure,
            capacity_kwh=visit.capacity_kwh,
            soc_percent=visit.soc_percent if plugged_in else visit.expected_soc_percent,
            wanted_soc_percent=visit.wanted_soc_percent,
            minimum_soc_percent=visit.minimum_soc_percent,
            charges_from=visit.charges_from if plugged_in else None,
        )
        await self.request(announcement, to=self.operator, reply_by=self.now() + ANNOUNCEMENT_TIME)

    @answers(ParticipationInformation)
    async def on_participation_information(
        self, offer: ParticipationInformation, incoming: Incoming
    ) -> AcceptProposal | RejectProposal:
        """1.2.5: the owner's decision on a service of the market."""
        refusal = self._refusal(offer)
        answer = ParticipationAnswer(activation_id=offer.activation_id, reason=refusal)
        return RejectProposal(answer) if refusal else AcceptProposal(answer)

    @answers(ParticipationRequest)
    async def on_participation_request(
        self, offer: ParticipationRequest, incoming: Incoming
    ) -> AcceptProposal | RejectProposal:
        """6.2.3: the owner's decision on a service that the DSO ordered."""
        refusal = self._refusal(offer)
        answer = ParticipationReply(activation_id=offer.activation_id, reason=refusal)
        return RejectProposal(answer) if refusal else AcceptProposal(answer)

    @answers(Invoice)
    async def on_invoice(self, invoice: Invoice, incoming: Incoming) -> Inform | Refuse:
        """2.x.1: pays what was charged, and gets what was given back; not what the battery cannot have taken."""
        if self.ledger is None:
            return refusal("no-account", "I have no account to pay from")
        answer = pay_or_refuse(
            self.ledger,
            invoice,
            customer=self.address,
            emsp=incoming.sender,
            at=self.now(),
            check=self._implausible,
        )
        if isinstance(answer, Inform):
            self._paid[invoice.invoice_id] = invoice
        return answer

    # ---- BUC 3 and BUC 7: a parking lot's services

    @answers(CustomerRequest)
    async def on_customer_request(self, request: CustomerRequest, incoming: Incoming) -> Propose | Refuse:
        """3.2: the owner's decision on helping against a congestion, and with which activation."""
        now = self.now()
        if incoming.sender != self.operator or request.charger_id != self.charger_id:
            return refusal("not-authorised", f"{incoming.sender} does not manage my car at {request.charger_id}")
        visit = next((v for v in self.visits if v.arrival <= now < v.departure), None)
        if visit is None:
            return refusal("not-there", "my car is not at the charger")
        wish = Wish(visit.departure, visit.wanted_soc_percent, visit.minimum_soc_percent, self.max_charge_kw)
        end = request.start + timedelta(minutes=request.duration_minutes)
        choice = choose(request.options, end, wish, self.preference, self.consent)
        if isinstance(choice, str):
            return refusal("declined", choice)
        self._taken[request.request_id] = request, choice
        answer = CustomerAnswer(request_id=request.request_id, activation_id=choice.activation_id)
        return Propose(answer, reply_by=max(now, incoming.reply_by or now) + ANNOUNCEMENT_TIME)

    @answers(CustomerAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_customer_award(self, award: CustomerAward, incoming: Incoming) -> Inform | Failure:
        """3.2, the manager's word: held to until the end where it is what was agreed to, and pays as it said."""
        request, option = self._taken.pop(award.request_id, (None, None))
        if request is None or option is None or award.activation_id != option.activation_id:
            return failure("not-as-agreed", "I have not agreed to that")
        if award.power_kw > option.power_kw + METERED_KW:
            return failure("not-as-agreed", f"{award.power_kw:g} kW are more than {option.power_kw:g} kW")
        due = award.power_kw * request.duration_minutes / 60 * float(option.price_eur_per_kwh)
        if float(award.benefit_eur) < due - CENT_EUR:
            return failure("not-as-agreed", f"{award.benefit_eur} EUR are less than the {due:.2f} EUR that were said")
        self._awarded[award.request_id] = request, award
        await self._served(request, incoming.cancelled)
        return Inform(Done(reference=award.request_id))

    async def _served(self, request: CustomerRequest, cancelled: asyncio.Event) -> None:
        """Waits for the end of a service: as it was asked for, or sooner."""
        end = request.start + timedelta(minutes=request.duration_minutes)
        ends = [asyncio.ensure_future(each) for each in (self.clock.sleep_until(end), cancelled.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ends:
                each.cancel()

    @cancels(CustomerRequest)
    async def on_early_end(self, request: CustomerRequest, incoming: Incoming) -> Inform:
        """3.2, FIPA's cancel: the service ends before its time, or is not needed; the charger is the manager's to set.
        What was delivered until then is due."""
        self._taken.pop(request.request_id, None)
        return Inform(Done(reference=request.request_id))

    @answers(Reason, on=Performative.REJECT_PROPOSAL)
    async def on_not_needed(self, reason: Reason, incoming: Incoming) -> None:
        """3.2: the manager needs no more."""
        if isinstance(incoming.offer, CustomerAnswer):
            self._taken.pop(incoming.offer.request_id, None)

    @answers(Remuneration)
    async def on_remuneration(self, paid: Remuneration, incoming: Incoming) -> Inform | Refuse:
        """3.x.4: acknowledged where it is booked and, for a congestion, what the award promises for that energy."""
        if incoming.sender != self.operator or paid.ev_owner != self.address:
            return refusal("not-authorised", f"that is between {incoming.sender} and {paid.ev_owner}")
        if self.ledger is not None and not self._booked(paid):
            return refusal("not-booked", f"{paid.remuneration_id} is not in the books with {paid.amount_eur} EUR")
        if paid.service is ServiceType.FREQUENCY_CONTAINMENT:
            return Inform(Done(reference=paid.remuneration_id))
        request, award = self._awarded.get(paid.reference, (None, None))
        if request is None or award is None:
            return refusal("unknown", f"I have no award for {paid.reference}")
        awarded_kwh = award.power_kw * request.duration_minutes / 60
        due = float(award.benefit_eur) * min(1.0, paid.energy_kwh / awarded_kwh)
        if float(paid.amount_eur) < due - CENT_EUR:
            return refusal(
                "too-little", f"{due:.2f} EUR are due for {paid.energy_kwh:g} kWh, not {paid.amount_eur} EUR"
            )
        return Inform(Done(reference=paid.remuneration_id))

    def _booked(self, paid: Remuneration) -> bool:
        assert self.ledger is not None
        statement = self.ledger.statement(self.address.partition("@")[0])
        return any(p.transaction_id == paid.remuneration_id and p.amount_eur == paid.amount_eur for p in statement)

    def _implausible(self, invoice: Invoice) -> str | None:
        """What speaks against it: by its own stays, or by all of them with what was paid before, it is too much."""
        stays = [v for v in self.visits if v.arrival < invoice.end]
        paid = [each for each in self._paid.values() if each.invoice_id != invoice.invoice_id]
        own = self._too_much([invoice], [v for v in stays if v.departure > invoice.start])
        return own or self._too_much([*paid, invoice], stays)

    def _too_much(self, invoices: Sequence[Invoice], stays: Sequence[Visit]) -> str | None:
        """Energy charged at the meter beyond what the batteries had room for, filled up or refilled, in kWh."""
        charged = _energy_kwh(invoices, *CHARGED)
        given = -_energy_kwh(invoices, "discharging")
        room = sum((100.0 - v.soc_percent) / 100 * v.capacity_kwh for v in stays)
        most = (room + given / self.efficiency) / self.efficiency * (1 + METERING_ERROR) + METERING_ERROR_KWH
        if charged <= most:
            return None
        return f"{charged:.2f} kWh were charged, and my battery could have taken {most:.2f} kWh at most"

    def _refusal(self, offer: ParticipationInformation | ParticipationRequest) -> str | None:
        """None to take part, else why not."""
        visit = next((v for v in self.visits if v.arrival <= offer.start and offer.end <= v.departure), None)
        if visit is None:
            return "my car is not at the charger in that time"
        stay = Stay(
            departure=visit.departure,
            energy_required_kwh=max(0.0, visit.wanted_soc_percent - visit.soc_percent) / 100 * visit.capacity_kwh,
            max_charge_kw=self.max_charge_kw,
            efficiency_charge=self.efficiency,
            efficiency_discharge=self.efficiency,
            spare_kwh=(visit.soc_percent - visit.minimum_soc_percent) / 100 * visit.capacity_kwh,
            now=visit.arrival,
        )
        return decide(
            Offer(start=offer.start, end=offer.end, power_kw=offer.power_kw, benefit_eur=float(offer.benefit_eur)),
            stay,
            self.preference,
        )


def _energy_kwh(invoices: Sequence[Invoice], *items: str) -> float:
    lines = (line for invoice in invoices for line in invoice.lines if line.item in items)
    return sum(line.energy_kwh or 0.0 for line in lines)
