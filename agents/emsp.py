"""The EMSP, the document's EMRP: reads the chargers' meters, knows who served whom, and invoices everybody."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import count
from typing import ClassVar, Protocol

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.decisions.invoicing import Account, Fees, Span, entries
from agents.ledger import Ledger, LedgerError
from agents.paying import pay
from agents.periods import MINUTES, QUARTER, next_quarter, quarter_at
from agents.quarter_cycle import ANSWER_TIME
from agents.service_book import Noted, Part, ServiceBook
from behaviours.answering import Failure, Incoming, Inform, Refuse, answers, cancels, failure, refusal
from behaviours.outcomes import Agreed, Informed
from behaviours.swarm import Swarm
from protocols.exchanges.ev_services import ServiceNotice
from protocols.exchanges.plain import Done
from protocols.exchanges.res_curtailment import CurtailmentNotice, Invoice, InvoicePayment
from protocols.exchanges.voltage_services import VoltageNotice
from protocols.roles import Role

READ_AFTER = timedelta(minutes=1)
"""After the end of a quarter of an hour its meters are read."""
PAYMENT_TERM = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class Prices(Protocol):
    """The ordinary prices at a local time, EUR/kWh."""

    def charging(self, at_local: datetime, /) -> Decimal:
        """What a driver pays: energy and grid use."""

    def grid_use(self, at_local: datetime, /) -> Decimal:
        """The DSO's part of it."""


class Emsp(Actor):
    """D5.1 3.2: the activation "should also be sent to the electric mobility rooming provider (EMRP), allowing the
    invoicing of the different services by the different actors"; "this service implies a variation in the charging
    prices [...]. Afterwards, the TSO should be involved in the invoicing process managed by the EMRP".

    `drivers`, `manager_of` and `feeder_of`: the EV owner and the manager (JIDs) of each charger, and its feeder.
    `accounts`: what each customer (by JID) owes, was invoiced and has paid. The grid use of a voltage service (4.1.1)
    is what everybody behind its feeder pays while it lasts. A service that is called off within a quarter of an hour
    counts for its whole minutes, by the meters' means of each minute. Nothing is invoiced for what a meter has not
    shown yet; it comes when the meter answers again.
    """

    role: ClassVar[Role] = Role.EMSP

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        tariff: Prices,
        zone: tzinfo,
        drivers: Mapping[str, str],
        manager_of: Mapping[str, str],
        feeder_of: Mapping[str, str],
        tso: str,
        dso: str,
        fees: Fees,
        ledger: Ledger,
        invoices_at: Sequence[datetime],
        until: datetime,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.tariff = tariff
        self.zone = zone
        self.drivers = drivers
        self.manager_of = manager_of
        self.tso = tso
        self.dso = dso
        self.fees = fees
        self.ledger = ledger
        self.invoices_at = tuple(sorted(invoices_at))
        self.until = until
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.invoices: list[Invoice] = []
        self._services = ServiceBook(feeder_of)
        self.noted = self._services.noted
        self._meters = ChargerMeters(self)
        self._read_to: dict[str, datetime] = {}
        self._reading_to: datetime | None = None
        self._reading = asyncio.Lock()
        self._numbers = count(1)

    async def course(self) -> None:
        """Reads the meters each quarter of an hour, and invoices at the times given."""
        now = self.now()
        first = now if quarter_at(now) == now else next_quarter(now)
        self._read_to = dict.fromkeys(self.drivers, first)
        self.spawn(self._invoice(), "invoices")
        end = first + QUARTER
        while end <= self.until:
            await self.clock.sleep_until(end + READ_AFTER)
            await self._settle(end)
            end += QUARTER

    async def _invoice(self) -> None:
        for at in self.invoices_at:
            await self.clock.sleep_until(at)
            end = quarter_at(at)
            await self._settle(end)
            if late := sorted(c for c, read_to in self._read_to.items() if read_to < end):
                self.notice(f"the invoices of {at.astimezone(self.zone):%H:%M} lack what {', '.join(late)} still has")
            await self._send_invoices(end)

    # ---- who serves whom -------------------------------------------------------------------------------------------

    @answers(CurtailmentNotice)
    async def on_curtailment_notice(self, notice: CurtailmentNotice, incoming: Incoming) -> Inform | Refuse:
        """2.3: which vehicles serve the TSO, at which prices."""
        return await self._note(notice, incoming, self.tso)

    @answers(VoltageNotice)
    async def on_voltage_notice(self, notice: VoltageNotice, incoming: Incoming) -> Inform | Refuse:
        """4.1.3: which vehicles serve the DSO, at which prices."""
        return await self._note(notice, incoming, self.dso)

    async def _note(self, notice: ServiceNotice, incoming: Incoming, payer: str) -> Inform | Refuse:
        told = {order.user_id: (each.manager, order) for each in notice.managers for order in each.orders}
        wrong = {c: why for c, (manager, _) in told.items() if (why := self._wrong(notice, c, manager)) is not None}
        orders = {charger: order for charger, order in told.items() if charger not in wrong}
        if fault := self._fault(notice, payer, orders, wrong):
            return refusal("wrong-notice", fault)
        if wrong:
            self.notice(f"of {notice.service_id} is not invoiced: {'; '.join(wrong.values())}")
        noted = self.noted[notice.service_id] = Noted(notice, incoming.sender, orders)
        if not await incoming.agree(Done(reference=notice.service_id)):
            noted.finish(notice.start)
            return refusal("too-late", "the answer came too late")
        self._services.begin(noted)
        if (old := self.noted.get(notice.renews or "")) is not None:
            # also where the renewal is called off before: nothing brings the old service back
            self.clock.call_at(notice.start, lambda: old.finish(notice.start))
        self.clock.call_at(noted.end, noted.over.set)
        await noted.over.wait()
        if noted.called_off:
            await incoming.cancelled.wait()
        return Inform(Done(reference=notice.service_id))

    def _wrong(self, notice: ServiceNotice, charger: str, manager: str) -> str | None:
        """Why an order cannot be invoiced."""
        if self.manager_of.get(charger) != manager:
            return f"charger {charger} is not one of {manager}"
        if isinstance(notice, VoltageNotice) and self._services.feeder_of[charger] != notice.location:
            return f"charger {charger} is not behind {notice.location}"
        return None

    def _fault(
        self, notice: ServiceNotice, payer: str, orders: Mapping[str, object], wrong: Mapping[str, str]
    ) -> str | None:
        """Why a service cannot be invoiced at all."""
        if notice.service_id in self.noted:
            return f"service {notice.service_id} was told of already"
        if notice.payer != payer:
            return f"{notice.payer} cannot be invoiced for {notice.service}"
        if quarter_at(notice.start) != notice.start:
            return "it does not start with a quarter of an hour"
        if notice.renews is not None and notice.renews not in self.noted:
            return f"there is no service {notice.renews} to renew"
        if not orders:
            return "; ".join(wrong.values()) or "it names no vehicle"
        booked = max(self._booked_to(charger) for charger in self._services.concerns(notice, orders))
        if notice.start < booked:
            return f"it comes too late: the meters are booked up to {booked.astimezone(self.zone):%H:%M}"
        return None

    def _booked_to(self, charger: str) -> datetime:
        """Up to where the charger's meter is booked, or is about to be."""
        booked = self._read_to.get(charger, self.now())
        return booked if self._reading_to is None else max(booked, self._reading_to)

    @cancels(CurtailmentNotice)
    async def on_cancel_curtailment(self, notice: CurtailmentNotice, incoming: Incoming) -> Inform | Failure:
        """2.3: the service is called off."""
        return self._call_off(notice)

    @cancels(VoltageNotice)
    async def on_cancel_voltage(self, notice: VoltageNotice, incoming: Incoming) -> Inform | Failure:
        """4.1.1: "the FO will "cancel" the service sending this information both to V2X managers and EMRP"."""
        return self._call_off(notice)

    def _call_off(self, notice: ServiceNotice) -> Inform | Failure:
        noted = self.noted.get(notice.service_id)
        if noted is None or noted.over.is_set():
            return failure("nothing-to-cancel", f"service {notice.service_id} is not under way")
        noted.called_off = True
        noted.finish(self.now())
        return Inform(Done(reference=notice.service_id))

    # ---- the meters ------------------------------------------------------------------------------------------------

    async def _settle(self, end: datetime) -> None:
        """Reads what was not read yet up to `end`, in one query for all chargers that are equally far, and books it."""
        async with self._reading:
            self._reading_to = end
            due: defaultdict[datetime, list[str]] = defaultdict(list)
            for charger, read_to in self._read_to.items():
                if read_to < end:
                    due[read_to].append(charger)
            for start, chargers in sorted(due.items()):
                minutes = 1 if self._services.is_broken(start, end) else MINUTES
                found = await self._meters.read(chargers, start, end, minutes)
                for charger in sorted(found):
                    self._book(charger, start, found[charger], minutes)
                    self._read_to[charger] = end
            self._reading_to = None

    def _book(self, charger: str, start: datetime, power_kw: Sequence[float], minutes: int) -> None:
        for number in range(0, len(power_kw), MINUTES // minutes):
            means = power_kw[number : number + MINUTES // minutes]
            begins = start + number * minutes * MINUTE
            for part in self._services.parts(charger, begins):
                first, last = ((t - begins) // (minutes * MINUTE) for t in (part.at, part.until))
                span = self._span(charger, begins, part, means[first:last])
                for entry in entries(span, self.fees, tso=self.tso, dso=self.dso):
                    self.accounts[entry.customer].note(entry, begins)

    def _span(self, charger: str, begins: datetime, part: Part, means: Sequence[float]) -> Span:
        local = begins.astimezone(self.zone)
        extra = Decimal(0) if part.tariff is None else part.tariff.grid_use_eur_per_kwh - self.tariff.grid_use(local)
        return Span(
            driver=self.drivers[charger],
            power_kw=sum(means) / len(means),
            minutes=(part.until - part.at) // MINUTE,
            charging_eur_per_kwh=self.tariff.charging(local) + extra,
            grid_use_eur_per_kwh=self.tariff.grid_use(local) + extra,
            grid_use_by=None if part.tariff is None else part.tariff.service,
            served=None if part.service is None else part.service.served(charger, part.at, extra),
        )

    # ---- invoices --------------------------------------------------------------------------------------------------

    async def _send_invoices(self, end: datetime) -> None:
        """2.x.1 to everyone who owes or is owed a cent or more since the last one."""
        sent: list[Invoice] = []
        for customer in sorted(self.accounts):
            account = self.accounts[customer]
            since, lines = account.since, account.lines()
            if lines and since is not None:
                invoice = Invoice(
                    invoice_id=f"{self.name}-invoice-{next(self._numbers)}",
                    customer=customer,
                    start=since,
                    end=end,
                    lines=lines,
                    amount_eur=account.invoiced(lines),
                    due=self.now() + PAYMENT_TERM,
                )
                sent.append(invoice)
        self.invoices += sent
        faults = await asyncio.gather(*(self._collect(invoice) for invoice in sent))
        booked = {posting.transaction_id: posting.amount_eur for posting in self.ledger.statement(self.name)}
        for invoice, fault in zip(sent, faults, strict=True):
            if fault is None and booked.get(invoice.invoice_id, Decimal(0)) != invoice.amount_eur:
                fault = "the books do not show it"
            if fault is None:
                self.accounts[invoice.customer].paid_eur += invoice.amount_eur
            else:
                self.notice(f"{invoice.invoice_id} over {invoice.amount_eur} EUR is not paid: {fault}")

    async def _collect(self, invoice: Invoice) -> str | None:
        """Sends an invoice and waits for its payment; why there is none, or None."""
        answer = await self.request(
            invoice, to=invoice.customer, reply_by=self.now() + ANSWER_TIME, done_by=invoice.due
        )
        outcome = await answer.result() if isinstance(answer, Agreed) else answer
        payment = outcome.content if isinstance(outcome, Informed) else None
        if not isinstance(payment, InvoicePayment):
            return str(outcome)
        if (payment.invoice_id, payment.amount_eur) != (invoice.invoice_id, invoice.amount_eur):
            return f"{invoice.customer} has paid {payment.amount_eur} EUR for {payment.invoice_id}"
        if invoice.customer in self.swarm.outside:  # who cannot write the books
            try:
                pay(self.ledger, invoice, customer=invoice.customer, emsp=self.address, at=self.now())
            except LedgerError as error:
                return str(error)
        return None
