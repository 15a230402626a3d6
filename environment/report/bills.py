"""The bills of BUC 1 and 6 (1.2.7): who was to pay whom for which activation."""

from __future__ import annotations

from dataclasses import dataclass

from environment.report import money
from environment.report.hearing import well_formed
from environment.run_folder import Trace
from protocols.exchanges.settlement import Bill, Payment
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class BillRow:
    """One bill of exchange 1.2.7, the names of its two sides, and whether somebody answered that it is paid."""

    bill: Bill
    payer: str
    payee: str
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
