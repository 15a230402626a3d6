"""Paying an invoice of the EMSP (2.x.1): one transfer in the double-entry books, however often the invoice comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from agents.ledger import Ledger, LedgerError
from behaviours.answering import Inform, Refuse, refusal
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
