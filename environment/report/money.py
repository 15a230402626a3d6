"""Who paid whom: the ledger's postings as payments between named parties, and a picture of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from environment.report.svg import NARROW, WIDE, Canvas, text
from environment.report.words import CROWDS, ROLE_NAMES, account_name, actor, euro
from environment.run_folder import Posting


@dataclass(frozen=True, slots=True)
class Payment:
    """What one party paid another over the run, in EUR (> 0), and in how many transactions."""

    payer: str
    payee: str
    amount_eur: Decimal
    transactions: int


@dataclass(frozen=True, slots=True)
class Account:
    """One party's side of the ledger, in EUR: `balance` is received less paid."""

    name: str
    paid: Decimal
    received: Decimal

    @property
    def balance(self) -> Decimal:
        return self.received - self.paid


def party(account: str, roles: Mapping[str, str], crowds: Mapping[str, str] = CROWDS) -> str:
    """The name under which an account is shown. A crowd such as all drivers is one party; an only agent is its role."""
    role = roles.get(account, "")
    if role in crowds:
        return crowds[role]
    return actor(account, roles)[0] if role else ROLE_NAMES.get(account_name(account), account_name(account))


def payments(
    postings: Iterable[Posting], roles: Mapping[str, str], crowds: Mapping[str, str] = CROWDS
) -> tuple[Payment, ...]:
    """Payments by payer and payee, largest first. `crowds`: roles whose members are one party, and its name.

    A transaction with several payers and several payees is settled in the order of its postings, to the cent: the
    first payer pays the first payee until one of them is done.
    """
    transactions: dict[str, list[Posting]] = {}
    for posting in postings:
        transactions.setdefault(posting.transaction_id, []).append(posting)
    totals: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for entries in transactions.values():
        seen: dict[tuple[str, str], Decimal] = {}
        for payer, payee, amount in _settled(entries):
            pair = (party(payer, roles, crowds), party(payee, roles, crowds))
            seen[pair] = seen.get(pair, Decimal(0)) + amount
        for pair, amount in seen.items():
            total, count = totals.get(pair, (Decimal(0), 0))
            totals[pair] = (total + amount, count + 1)
    found = (Payment(*pair, total, count) for pair, (total, count) in totals.items())
    return tuple(sorted(found, key=lambda payment: (-payment.amount_eur, payment.payer, payment.payee)))


def _settled(entries: Sequence[Posting]) -> Iterable[tuple[str, str, Decimal]]:
    owed = [(entry.account, -entry.amount_eur) for entry in entries if entry.amount_eur < 0]
    due = [(entry.account, entry.amount_eur) for entry in entries if entry.amount_eur > 0]
    queue = iter(owed)
    payer, left = next(queue, ("", Decimal(0)))
    for payee, amount in due:
        while amount > 0:
            if left == 0:
                payer, left = next(queue, ("", Decimal(0)))
                if not payer:
                    return
            paid = min(left, amount)
            yield payer, payee, paid
            left, amount = left - paid, amount - paid


def accounts(paid: Iterable[Payment]) -> tuple[Account, ...]:
    """Each party's total, who paid most first."""
    out: dict[str, Decimal] = {}
    back: dict[str, Decimal] = {}
    for payment in paid:
        out[payment.payer] = out.get(payment.payer, Decimal(0)) + payment.amount_eur
        back[payment.payee] = back.get(payment.payee, Decimal(0)) + payment.amount_eur
    names = dict.fromkeys((*out, *back))
    rows = (Account(name, out.get(name, Decimal(0)), back.get(name, Decimal(0))) for name in names)
    return tuple(sorted(rows, key=lambda account: (account.balance, account.name)))


def spent(postings: Iterable[Posting], roles: Mapping[str, str]) -> Decimal:
    """What the grid operators paid for flexibility, less what they got back in penalties, in EUR."""
    buyers = ("dso", "tso")
    return -sum(
        (
            posting.amount_eur
            for posting in postings
            if roles.get(posting.account, account_name(posting.account)) in buyers
        ),
        Decimal(0),
    )


def draw(paid: Sequence[Payment], alt: str) -> Markup:
    """Payers at the left, payees at the right, ribbons as thick as the amounts; for both widths."""
    return Markup("\n").join(_drawing(paid, canvas, alt) for canvas in (WIDE, NARROW))


def _drawing(paid: Sequence[Payment], canvas: Canvas, alt: str) -> Markup:
    order = _downstream(paid)
    payers, payees = _totals(paid, 0, order), _totals(paid, 1, order)
    total = float(sum(payment.amount_eur for payment in paid))
    scale = (220 if canvas.narrow else 260) / total if total else 0.0
    bar, room = 10.0, canvas.font * 2.9
    left, right = _places(payers, scale, room), _places(payees, scale, room)
    height = max(top + max(float(size) * scale, room) for side in (left, right) for top, size in side.values())
    parts: list[str] = []
    used = {("out", name): top for name, (top, _) in left.items()}
    used |= {("in", name): top for name, (top, _) in right.items()}
    middle = canvas.width / 2
    for payment in sorted(paid, key=lambda p: (left[p.payer][0], right[p.payee][0])):
        colour = order.index(payment.payer) % 4
        thick = max(1.0, float(payment.amount_eur) * scale)
        a, b = used["out", payment.payer], used["in", payment.payee]
        used["out", payment.payer], used["in", payment.payee] = a + thick, b + thick
        x, z = bar, canvas.width - bar
        parts.append(
            f'<path class="flow f{colour}" d="M{x:g} {a:.1f}C{middle:g} {a:.1f} {middle:g} {b:.1f} {z:g} {b:.1f}'
            f'V{b + thick:.1f}C{middle:g} {b + thick:.1f} {middle:g} {a + thick:.1f} {x:g} {a + thick:.1f}Z">'
            f"<title>{text(payment.payer)} to {text(payment.payee)}: {euro(payment.amount_eur)}</title></path>"
        )
    for side, x, anchor, where, verb in (
        (left, 0.0, "start", bar + 6, "paid"),
        (right, canvas.width - bar, "end", canvas.width - bar - 6, "got"),
    ):
        for name, (top, size) in side.items():
            tall = max(2.0, float(size) * scale)
            parts.append(f'<rect x="{x:g}" y="{top:.1f}" width="{bar:g}" height="{tall:.1f}" class="node"/>')
            parts.append(
                f'<text x="{where:g}" y="{top + canvas.font * 1.05:.1f}" text-anchor="{anchor}" class="halo">'
                f'<tspan class="act">{text(name)}</tspan>'
                f'<tspan x="{where:g}" dy="1.25em">{verb} {euro(size)}</tspan></text>'
            )
    return Markup(
        f'<svg class="{canvas.name} money" viewBox="0 0 {canvas.width:g} {height + 4:.0f}" role="img" '
        f'aria-label="{text(alt)}" font-size="{canvas.font:g}">{"".join(parts)}</svg>'
    )


def _downstream(paid: Sequence[Payment]) -> list[str]:
    """The parties as the money runs: who only pays first, then whom they pay, and so on. Few ribbons cross."""
    order: list[str] = []
    for account in accounts(paid):
        queue = [account.name]
        while queue:
            name = queue.pop(0)
            if name not in order:
                order.append(name)
                queue += [payment.payee for payment in paid if payment.payer == name]
    return order


def _totals(paid: Iterable[Payment], side: int, order: Sequence[str]) -> dict[str, Decimal]:
    """What each party paid (side 0) or got (side 1)."""
    totals: dict[str, Decimal] = {}
    for payment in paid:
        name = (payment.payer, payment.payee)[side]
        totals[name] = totals.get(name, Decimal(0)) + payment.amount_eur
    return {name: totals[name] for name in order if name in totals}


def _places(totals: Mapping[str, Decimal], scale: float, room: float) -> dict[str, tuple[float, Decimal]]:
    """The top of each party's bar, one under the other with room for two lines of text."""
    places, y = {}, 1.0
    for name, size in totals.items():
        places[name] = (y, size)
        y += max(float(size) * scale, room) + 10
    return places
