"""Bills and invoices (1.2.7, 2.x.1, 4.x.2): who was asked to pay whom how much, and whether he said that it is paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from protocols.acl import AclMessage, Performative
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.content import Content
from protocols.exchanges.network_prices import NetworkBill
from protocols.exchanges.plain import Done
from protocols.exchanges.res_curtailment import Invoice, InvoicePayment
from protocols.exchanges.settlement import Bill, Payment
from protocols.roles import Role


@dataclass(slots=True)
class Billed:
    """One bill: `debtor` owes `creditor` (JIDs) `amount_eur`, which is never below 0; `net_eur` is what the bill itself
    says, with its sign. `about` is the activation, or None; from `start` to `end` where it is for a time."""

    id: str
    kind: str
    debtor: str
    creditor: str
    amount_eur: Decimal
    at: datetime
    conversation_id: str
    about: str | None = None
    net_eur: Decimal = Decimal(0)
    start: datetime | None = None
    end: datetime | None = None
    paid: bool = False

    def covers(self, start: datetime, end: datetime) -> bool:
        """Whether it is for a time that holds all of this one."""
        return self.start is not None and self.end is not None and self.start <= start and end <= self.end


class Bills:
    """The bills of a trace, as far as it was heard. A bill that is sent again counts once."""

    exchanges = ("1.2.7", "2.x.1", "4.x.2", "3.x.4", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._found: dict[tuple[str, str], Billed] = {}
        self._network: dict[str, Billed] = {}  # by conversation of 4.x.2
        self.remunerated: dict[tuple[str, str], tuple[Remuneration, str]] = {}
        """What a V2X manager paid a driver (3.x.4), by reference and driver (JID), with its conversation."""

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, to, conversation = message.sender, message.receiver, message.conversation_id
        role = self._roles.get(who)
        match content:
            case Bill() if role == Role.FMO.value:
                key = "1.2.7", content.bill_id
                bill = _billed(key, content.payer, content.payee, content.amount_eur, at, conversation)
                bill.about = content.activation_id
                known = self._found.setdefault(key, bill)
                if to == known.debtor:  # it goes to both sides; the conversation with who pays is the one to look at
                    known.conversation_id = conversation
            case Payment() if (sent := self._found.get(("1.2.7", content.bill_id))) is not None:
                sent.paid = sent.paid or who == sent.debtor
            case Invoice() if role == Role.EMSP.value and content.customer == to:
                key = "2.x.1", content.invoice_id
                bill = _billed(key, to, who, content.amount_eur, at, conversation)
                bill.start, bill.end = content.start, content.end
                self._found.setdefault(key, bill)
            case InvoicePayment() if (sent := self._found.get(("2.x.1", content.invoice_id))) is not None:
                sent.paid = sent.paid or who in (sent.debtor, sent.creditor)
            case Remuneration() if role == Role.V2X_MANAGER.value and content.ev_owner == to:
                self.remunerated.setdefault((content.reference, to), (content, conversation))
            case NetworkBill() if role == Role.DSO.value:
                key = "4.x.2", content.bill_id
                bill = _billed(key, to, who, content.amount_eur, at, conversation)
                bill.start, bill.end = content.start, content.end
                self._network[conversation] = self._found.setdefault(key, bill)
            case Done() if message.performative in (Performative.INFORM, Performative.AGREE):
                network = self._network.get(conversation)
                if network is not None and who in (network.debtor, network.creditor):
                    network.paid = True

    def found(self) -> tuple[Billed, ...]:
        """Every bill, in the order in which they were sent."""
        return tuple(self._found.values())


def _billed(
    key: tuple[str, str], payer: str, payee: str, amount: Decimal, at: datetime, conversation_id: str
) -> Billed:
    """A negative amount is owed the other way round."""
    debtor, creditor = (payer, payee) if amount >= 0 else (payee, payer)
    return Billed(key[1], key[0], debtor, creditor, abs(amount), at, conversation_id, net_eur=amount)
