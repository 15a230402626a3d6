"""Who was asked for how much: the bills of BUC 1 and 6 (1.2.7) and the EMSP's invoices of BUC 2 and 4.1 (2.x.1)."""

from __future__ import annotations

from dataclasses import dataclass

from environment.report import money
from environment.report.market import well_formed
from environment.run_folder import Trace
from protocols.exchanges.res_curtailment import Invoice, InvoicePayment
from protocols.exchanges.settlement import Bill, Payment
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class BillRow:
    """One bill of exchange 1.2.7, the names of its two sides, and whether somebody answered that it is paid."""

    bill: Bill
    payer: str
    payee: str
    paid: bool


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """One invoice of exchange 2.x.1, and whether its customer answered that it is paid."""

    invoice: Invoice
    paid: bool


def bills(trace: Trace) -> list[BillRow]:
    """Every bill sent, once, in the order of the trace."""
    sent: dict[str, Bill] = {}
    paid: set[str] = set()
    for message, content in well_formed(trace, "1.2.7"):
        # A bill goes to both sides; only the market operator's counts, whoever else may have written one.
        if isinstance(content, Bill) and trace.roles.get(message.sender) == Role.FMO:
            sent.setdefault(content.bill_id, content)
        elif isinstance(content, Payment):
            paid.add(content.bill_id)
    return [
        BillRow(
            bill,
            payer=money.party(bill.payer, trace.roles),
            payee=money.party(bill.payee, trace.roles),
            paid=bill_id in paid,
        )
        for bill_id, bill in sent.items()
    ]


def invoices(trace: Trace) -> list[InvoiceRow]:
    """Every invoice that an EMSP sent, once, in the order of the trace."""
    sent: dict[str, Invoice] = {}
    paid: set[tuple[str, str]] = set()
    for message, content in well_formed(trace, "2.x.1"):
        if isinstance(content, Invoice):
            if trace.roles.get(message.sender) == Role.EMSP and message.receiver == content.customer:
                sent.setdefault(content.invoice_id, content)
        elif isinstance(content, InvoicePayment):
            paid.add((message.sender, content.invoice_id))
    return [InvoiceRow(invoice, (invoice.customer, key) in paid) for key, invoice in sent.items()]
