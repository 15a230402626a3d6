"""Paying the EMSP's invoices: once, the right way round, and never another's; and paying drivers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.actor import Actor
from agents.ledger import Ledger, LedgerError
from agents.paying import DisputedError, pay, pay_or_refuse, remunerate
from behaviours.answering import Incoming, Inform, Refuse, answers, refusal
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import Stage, at
from tests.swarm import jid, run_swarm


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger("sqlite://") as books:
        yield books


def invoice(amount: str = "12.34", customer: str = "ev1", **changed: object) -> x.Invoice:
    values: dict[str, object] = {
        "invoice_id": "invoice-1",
        "customer": jid(customer),
        "start": at(0),
        "end": at(60),
        "lines": (x.InvoiceLine(item="charging", amount_eur=Decimal(amount)),),
        "amount_eur": Decimal(amount),
        "due": at(90),
    }
    return x.Invoice(**values | changed)


def test_a_customer_pays_the_emsp_and_says_where_it_is_booked(ledger: Ledger) -> None:
    payment = pay(ledger, invoice(), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert payment == x.InvoicePayment(invoice_id="invoice-1", amount_eur=Decimal("12.34"), transaction_id="invoice-1")
    assert ledger.balances() == {"emsp": Decimal("12.34"), "ev1": Decimal("-12.34")}


def test_an_amount_below_zero_is_paid_by_the_emsp(ledger: Ledger) -> None:
    pay(ledger, invoice("-0.56"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert ledger.balances() == {"emsp": Decimal("-0.56"), "ev1": Decimal("0.56")}


def test_an_invoice_that_comes_twice_is_paid_once(ledger: Ledger) -> None:
    first = pay(ledger, invoice(), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert pay(ledger, invoice(), customer=jid("ev1"), emsp=jid("emsp"), at=at(75)) == first
    assert ledger.balances()["emsp"] == Decimal("12.34")
    assert ledger.audit().transactions == 1


def test_an_invoice_over_nothing_is_booked_and_moves_nothing(ledger: Ledger) -> None:
    pay(ledger, invoice("0.00"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert ledger.balances() == {}
    assert (ledger.audit().transactions, ledger.audit().faults) == (1, ())


def test_the_same_number_over_another_amount_is_not_paid(ledger: Ledger) -> None:
    pay(ledger, invoice(), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    with pytest.raises(LedgerError, match="booked already"):
        pay(ledger, invoice("99.00"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert ledger.balances()["emsp"] == Decimal("12.34")


def test_nobody_pays_what_another_owes(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="is for ev2@"):
        pay(ledger, invoice(customer="ev2"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert ledger.balances() == {}


def test_the_answer_to_an_invoice_is_a_payment_or_the_reason_why_not(ledger: Ledger) -> None:
    answer = pay_or_refuse(ledger, invoice(), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert isinstance(answer, Inform)
    assert isinstance(answer.content, x.InvoicePayment)
    refused = pay_or_refuse(ledger, invoice("99.00"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61))
    assert isinstance(refused, Refuse)
    assert "booked already" in refused.content.reason  # type: ignore[attr-defined]


def test_an_invoice_that_its_customer_disputes_is_not_booked(ledger: Ledger) -> None:
    who = {"customer": jid("ev1"), "emsp": jid("emsp"), "at": at(61)}
    with pytest.raises(DisputedError, match="invoice-1: that is too much"):
        pay(ledger, invoice(), **who, check=lambda each: "that is too much")
    answer = pay_or_refuse(ledger, invoice(), **who, check=lambda each: "that is too much")
    assert isinstance(answer, Refuse)
    assert answer.content == x.Reason(code="disputed", reason="invoice invoice-1: that is too much")
    assert (ledger.balances(), ledger.audit().transactions) == ({}, 0)
    assert isinstance(pay_or_refuse(ledger, invoice(), **who, check=lambda each: None), Inform)


def test_who_has_nothing_to_do_with_an_invoice_does_not_look_at_it(ledger: Ledger) -> None:
    answer = pay_or_refuse(
        ledger, invoice(customer="ev2"), customer=jid("ev1"), emsp=jid("emsp"), at=at(61), check=lambda each: "wrong"
    )
    assert isinstance(answer, Refuse)
    assert "is for ev2@" in answer.content.reason  # type: ignore[attr-defined]


class Manager(Actor):
    role = Role.V2X_MANAGER


class Driver(Actor):
    """Acknowledges what it is told of, unless it `doubts` it; `heard`: with what its account had by then."""

    role = Role.EV_OWNER

    def __init__(self, *arguments: Any, books: Ledger, doubts: bool = False) -> None:
        super().__init__(*arguments)
        self.books, self.doubts = books, doubts
        self.heard: list[tuple[str, Decimal]] = []

    @answers(x.Remuneration)
    async def on_remuneration(self, told: x.Remuneration, incoming: Incoming) -> Inform | Refuse:
        self.heard.append((told.remuneration_id, self.books.balances().get("ev1", Decimal(0))))
        return refusal("unknown", "what for?") if self.doubts else Inform(x.Done(reference=told.remuneration_id))


def remuneration(amount: str = "0.40") -> x.Remuneration:
    return x.Remuneration(
        remuneration_id="lot1-r1-c1",
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        reference="r1",
        ev_owner=jid("ev1"),
        start=at(0),
        end=at(30),
        energy_kwh=5.5,
        amount_eur=Decimal(amount),
    )


@pytest.mark.parametrize("doubts", [False, True])
def test_a_driver_is_paid_before_it_is_told_and_whatever_it_answers(doubts: bool) -> None:
    async def main(stage: Stage) -> None:
        manager = await stage.start(Manager, "lot1")
        driver = await stage.start(Driver, "ev1", books=stage.ledger, doubts=doubts)
        assert await remunerate(manager, stage.ledger, remuneration(), answer_within=timedelta(minutes=3))
        assert driver.heard == [("lot1-r1-c1", Decimal("0.40"))]
        assert stage.ledger.balances() == {"ev1": Decimal("0.40"), "lot1": Decimal("-0.40")}
        assert stage.noticed("lot1-r1-c1 is not acknowledged") == stage.noticed("what for?") == doubts

    run_swarm(main, Stage())


def test_a_driver_who_does_not_answer_in_time_is_paid() -> None:
    async def main(stage: Stage) -> None:
        manager = await stage.start(Manager, "lot1")
        assert await remunerate(manager, stage.ledger, remuneration(), answer_within=timedelta(minutes=3))
        assert stage.clock.now() == at(3)
        assert stage.balance("ev1") == Decimal("0.40")
        assert stage.noticed("no answer from ev1") == 1

    run_swarm(main, Stage())


def test_a_driver_hears_nothing_of_what_the_books_do_not_take() -> None:
    async def main(stage: Stage) -> None:
        manager = await stage.start(Manager, "lot1")
        driver = await stage.start(Driver, "ev1", books=stage.ledger)
        assert await remunerate(manager, stage.ledger, remuneration(), answer_within=timedelta(minutes=3))
        assert not await remunerate(manager, stage.ledger, remuneration("0.50"), answer_within=timedelta(minutes=3))
        assert len(driver.heard) == 1
        assert stage.balance("ev1") == Decimal("0.40")
        assert stage.noticed("lot1-r1-c1") == 1

    run_swarm(main, Stage())
