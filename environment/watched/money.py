"""The ledger as of the moment: accounts with their balances, who paid whom, every posting, and bills that are not paid.

Read from `ledger.sqlite` in short transactions of a connection that can only read: with its write-ahead log a reader
never makes the writer wait. Amounts are whole cents in the file and Decimal here; all together they are zero.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from environment.report.money import party
from environment.report.words import CROWDS, account_name, accounts_too
from environment.run_folder import LEDGER
from environment.watched.bills import Billed
from environment.watched.heard import Heard, Kept
from environment.watched.run import WatchedRun
from protocols.roles import Role

BUSY_S = 0.2
"""So long a page waits for a file that is locked; then it shows what it had."""
MOST_PARTIES = 12
"""A matrix of more parties than these is not one that anybody reads."""
FEW_MANAGERS = 6
"""More V2X managers than these are shown as one party."""
SORTABLE = ("at", "transaction_id", "account", "counter_account", "amount_cents", "reference")
_UNTIL = "at <= :until"
_NONE_YET = "This run folder has no ledger.sqlite: nothing was booked yet, or the ledger is kept elsewhere (--ledger)."
_NONE = "This run folder has no ledger.sqlite: its ledger is kept elsewhere (--ledger), or nothing was booked."


@dataclass(frozen=True, slots=True)
class Balance:
    """One party's side in EUR: what it paid, what it received, the difference, and how many accounts it stands for."""

    party: str
    paid: Decimal
    received: Decimal
    accounts: int

    @property
    def balance(self) -> Decimal:
        return self.received - self.paid


@dataclass(frozen=True, slots=True)
class Paid:
    """What one party paid another in EUR, and in how many postings."""

    payer: str
    payee: str
    amount_eur: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One posting: what `account` received (> 0) or gave (< 0), in EUR, from or to `other`."""

    number: int
    at: datetime
    account: str
    other: str
    amount_eur: Decimal
    reference: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger as of a moment. `total_eur` is the sum of all postings, which is zero in a whole ledger."""

    balances: tuple[Balance, ...] = ()
    paid: tuple[Paid, ...] = ()
    postings: int = 0
    transactions: int = 0
    total_eur: Decimal = Decimal("0.00")
    turnover_eur: Decimal = Decimal("0.00")


class Money:
    """The ledger of a run up to its moment. `notice` says why there is nothing, or nothing newer, to show; `readable`
    whether `books` are those of a ledger, and not merely empty."""

    def __init__(self, run: WatchedRun) -> None:
        self._run, self._heard = run, Heard.of(run)
        self._path = run.folder / LEDGER
        self._bills = Kept(self._heard, lambda readers: readers.bills.found())
        self._seen: object = None
        self.books = Books()
        self.readable = False
        self.notice = ""
        self.version = 0

    def refresh(self) -> bool:
        """Reads the ledger if it may have changed; whether everything up to the moment is there."""
        complete = self._heard.refresh()
        seen = (self._run.at, tuple(self._run.roles), *(_stamp(self._path, tail) for tail in ("", "-wal")))
        if seen == self._seen:
            return complete
        try:
            found = self._read() if self._path.exists() else None
        except (sqlite3.Error, ValueError) as reason:
            self.readable = self.version > 0 and self.readable
            self._say(_fault(self._path.name, reason))
            return False
        self._seen = seen
        self.readable = found is not None
        if found is None:
            self.books = Books()
            self._say(_NONE_YET if self._run.live else _NONE)
            return complete
        if found != self.books or self.notice:
            self.books, self.notice = found, ""
            self.version += 1
        return complete

    def owed(self) -> tuple[Billed, ...]:
        """Bills up to the moment that nobody said were paid, the oldest first."""
        return tuple(bill for bill in self._bills() if not bill.paid and bill.amount_eur > 0)

    def party(self, account: str) -> str:
        """The name of the party that an account belongs to."""
        return party(account, self._parties()[0], self._parties()[1])

    def lines(
        self, *, text: str = "", sort: str = "at", descending: bool = True, offset: int = 0, limit: int = 50
    ) -> tuple[tuple[Line, ...], int]:
        """Postings from `offset` on, `limit` at most, and how many there are: of all those in which `text` stands as
        account, other account, reference or transaction. Raises ValueError for another column than of SORTABLE."""
        if sort not in SORTABLE:
            raise ValueError(f"postings are not sorted by {sort}")
        if self._run.at is None or not self._path.exists():
            return (), 0
        where, values = _UNTIL, {"until": _stored(self._run.at), "limit": limit, "offset": offset}
        if text:
            pattern = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
            columns = ("account", "counter_account", "reference", "transaction_id")
            where += " and (" + " or ".join(rf"{name} like :text escape '\'" for name in columns) + ")"
            values["text"] = f"%{pattern}%"
        order = f"{sort} {'desc' if descending else 'asc'}, line {'desc' if descending else 'asc'}"
        try:
            with closing(self._open()) as database:
                count = database.execute(f"select count(*) from posting where {where}", values).fetchone()[0]
                rows = database.execute(
                    "select line, at, account, counter_account, amount_cents, reference, transaction_id"
                    f" from posting where {where} order by {order} limit :limit offset :offset",
                    values,
                ).fetchall()
        except sqlite3.Error as reason:
            self._say(_fault(self._path.name, reason))
            return (), 0
        return tuple(_line(row) for row in rows), count

    def paid_for(self, activations: Sequence[str]) -> Mapping[tuple[str, str], Decimal]:
        """By activation and account (a name): what the account got for the activations that a buyer pays without a bill
        (transaction `pay-ACTIVATION`), less what it gave."""
        if self._run.at is None or not self._path.exists():
            return {}
        found: dict[tuple[str, str], Decimal] = {}
        try:
            with closing(self._open()) as database:
                for activation in activations:
                    rows = database.execute(
                        "select account, sum(amount_cents) from posting"
                        " where transaction_id = :transaction and at <= :until group by account",
                        {"transaction": f"pay-{activation}", "until": _stored(self._run.at)},
                    )
                    found |= {(activation, account_name(account)): _euros(cents) for account, cents in rows}
        except sqlite3.Error:
            return found
        return found

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
        database.execute("pragma query_only = on")
        return database

    def _read(self) -> Books:
        if self._run.at is None:
            return Books()
        until = {"until": _stored(self._run.at)}
        with closing(self._open()) as database:
            database.execute("begin")
            pairs = database.execute(
                "select counter_account, account, sum(amount_cents), count(*) from posting"
                f" where amount_cents > 0 and {_UNTIL} group by counter_account, account",
                until,
            ).fetchall()
            postings, transactions, total = database.execute(
                "select count(*), count(distinct transaction_id), coalesce(sum(amount_cents), 0)"
                f" from posting where {_UNTIL}",
                until,
            ).fetchone()
        return self._books(pairs, postings, transactions, total)

    def _books(self, pairs: Sequence[Any], postings: int, transactions: int, total: int) -> Books:
        roles, crowds = self._parties()
        names: dict[str, str] = {}
        members: dict[str, set[str]] = {}
        paid: dict[tuple[str, str], list[int]] = {}
        out: dict[str, int] = {}
        back: dict[str, int] = {}
        for payer, payee, amount, count in pairs:
            for account in (payer, payee):
                if account not in names:
                    names[account] = party(account, roles, crowds)
                members.setdefault(names[account], set()).add(account)
            one, other = names[payer], names[payee]
            out[one], back[other] = out.get(one, 0) + amount, back.get(other, 0) + amount
            pair = paid.setdefault((one, other), [0, 0])
            pair[0], pair[1] = pair[0] + amount, pair[1] + count
        balances = (
            Balance(name, _euros(out.get(name, 0)), _euros(back.get(name, 0)), len(accounts))
            for name, accounts in members.items()
        )
        return Books(
            balances=tuple(sorted(balances, key=lambda each: (each.balance, each.party))),
            paid=tuple(
                sorted(
                    (Paid(*pair, _euros(cents), count) for pair, (cents, count) in paid.items()),
                    key=lambda each: (-each.amount_eur, each.payer, each.payee),
                )
            ),
            postings=postings,
            transactions=transactions,
            total_eur=_euros(total),
            turnover_eur=_euros(sum(out.values())),
        )

    def _parties(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Roles by account, and which roles are shown as one party."""
        roles = self._run.roles
        managers = sum(role is Role.V2X_MANAGER for role in roles.values())
        crowds = {role: name for role, name in CROWDS.items() if role != Role.V2X_MANAGER or managers > FEW_MANAGERS}
        return accounts_too(roles), crowds

    def _say(self, notice: str) -> None:
        if notice != self.notice:
            self.notice = notice
            self.version += 1


def matrix(paid: Sequence[Paid]) -> tuple[tuple[str, ...], tuple[str, ...], Mapping[tuple[str, str], Decimal]] | None:
    """Payers, payees and what each payer paid each payee; None where there are too many to be read."""
    payers = tuple(dict.fromkeys(each.payer for each in paid))
    payees = tuple(dict.fromkeys(each.payee for each in paid))
    if max(len(payers), len(payees)) > MOST_PARTIES:
        return None
    return payers, payees, {(each.payer, each.payee): each.amount_eur for each in paid}


def _line(row: Sequence[Any]) -> Line:
    number, at, account, other, cents, reference, transaction = row
    return Line(number, _instant(at), account_name(account), account_name(other), _euros(cents), reference, transaction)


def _euros(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _stored(at: datetime) -> str:
    """A time as the file has it: in UTC, without saying so."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _stamp(path: Any, tail: str) -> tuple[int, int] | None:
    try:
        found = path.with_name(path.name + tail).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _fault(name: str, reason: Exception) -> str:
    text = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
    if "locked" in text or "busy" in text:
        return f"{name} is being written: what is shown is from a moment before, and is read again at once."
    if "no such table" in text:
        return f"{name} has no postings yet."
    return f"{name} cannot be read: {text}"
