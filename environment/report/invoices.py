"""The EMSP's invoices of BUC 2 and 4.1 (2.x.1): who was asked for how much, and who said that it is paid."""

from __future__ import annotations

from dataclasses import dataclass

from environment.report.hearing import well_formed
from environment.run_folder import Trace
from protocols.exchanges.res_curtailment import Invoice, InvoicePayment
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """One invoice of exchange 2.x.1, and whether its customer answered that it is paid."""

    invoice: Invoice
    paid: bool


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
