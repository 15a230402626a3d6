"""Paying an invoice of the EMSP (2.x.1), and a driver who served (3.x.4): one transfer in the double-entry books."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from agents.actor import Actor
from agents.ledger import Ledger, LedgerError
from behaviours.answering import Inform, Refuse, refusal
from behaviours.outcomes import Informed
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.res_curtailment import Invoice, InvoicePayment

Check = Callable[[Invoice], str | None]
"""What a customer holds against an invoice, None where it has nothing against it."""


class DisputedError(Exception):
    """The customer does not believe the invoice."""


def pay(
    ledger: Ledger, invoice: Invoice, *, customer: str, emsp: str, at: datetime, check: Check | None = None
) -> InvoicePayment:
    """Books the invoice between `customer` and `emsp` (JIDs, whose names are the accounts) and says where.

    Above 0 the customer pays the EMSP, below 0 the EMSP pays the customer; 0 is booked too, and moves nothing. The
    transaction's id is the invoice's: an invoice that comes twice is paid once. Raises LedgerError where the invoice is
    another's, or its id is booked with another amount or for another customer; DisputedError where `check` has
    something against it, and books nothing then.
    """
    debtor, creditor = customer.partition("@")[0], emsp.partition("@")[0]
    if invoice.customer.partition("@")[0] != debtor:
        raise LedgerError(f"invoice {invoice.invoice_id} is for {invoice.customer}, not for {customer}")
    if check is not None and (fault := check(invoice)) is not None:
        raise DisputedError(f"invoice {invoice.invoice_id}: {fault}")
    ledger.transfer(
        invoice.invoice_id, at, invoice.invoice_id, payer=debtor, payee=creditor, amount_eur=invoice.amount_eur
    )
    return InvoicePayment(
        invoice_id=invoice.invoice_id, amount_eur=invoice.amount_eur, transaction_id=invoice.invoice_id
    )


def pay_or_refuse(
    ledger: Ledger, invoice: Invoice, *, customer: str, emsp: str, at: datetime, check: Check | None = None
) -> Inform | Refuse:
    """The answer to an invoice: that it is paid (see `pay`), or in one line why it is not."""
    try:
        return Inform(pay(ledger, invoice, customer=customer, emsp=emsp, at=at, check=check))
    except LedgerError as error:
        return refusal("not-booked", str(error))
    except DisputedError as error:
        return refusal("disputed", str(error))


async def remunerate(payer: Actor, ledger: Ledger, due: Remuneration, *, answer_within: timedelta) -> bool:
    """Books what `payer` owes a driver under the id of the remuneration, and then tells the driver (3.x.4), who looks
    into the books. False where the books do not take it: the driver hears nothing of it then. A driver who does not
    acknowledge it is paid nevertheless. Both faults are noticed."""
    creditor = due.ev_owner.partition("@")[0]
    try:
        ledger.transfer(
            due.remuneration_id,
            payer.now(),
            due.reference,
            payer=payer.name,
            payee=creditor,
            amount_eur=due.amount_eur,
        )
    except LedgerError as error:
        payer.notice(str(error))
        return False
    outcome = await payer.request(due, to=due.ev_owner, reply_by=payer.now() + answer_within)
    if not isinstance(outcome, Informed):
        payer.notice(f"the remuneration {due.remuneration_id} is not acknowledged: {outcome}")
    return True
