"""Who owes and who has paid: the market operator's books in double entry, on any database that SQLAlchemy reaches.

An amount above 0 is what an account gets, below 0 what it gives; every transaction adds up to zero. The truth is
`amount_cents`, a whole number; `amount_eur` is generated from it by the database for whoever reads the books with
plain SQL. Postings are written in pairs, giver then receiver, so that even SQLite's binary `sum(amount_eur)` over the
table is zero and not nearly zero, and so that each line says who paid whom.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Connection,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    event,
    func,
    select,
)
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.types import TypeDecorator

_MOST_CENTS = 10**14
_BUSY_MS = 10_000


class LedgerError(RuntimeError):
    """The books cannot be opened, or a transaction cannot be booked; nothing of it is."""


class _Utc(TypeDecorator[datetime]):
    """Aware datetimes, kept in UTC where the database forgets the zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


_metadata = MetaData()

_booking = Table(
    "booking",
    _metadata,
    Column("transaction_id", String(200), primary_key=True),
    Column("at", _Utc, nullable=False),
    Column("reference", String(500), nullable=False),
    Column("digest", String(64), nullable=False),
)

_posting = Table(
    "posting",
    _metadata,
    Column("line", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("transaction_id", String(200), ForeignKey("booking.transaction_id"), nullable=False, index=True),
    Column("account", String(200), nullable=False, index=True),
    Column("counter_account", String(200), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("amount_eur", Numeric(16, 2), Computed("amount_cents / 100.0", persisted=True)),
    Column("at", _Utc, nullable=False),
    Column("reference", String(500), nullable=False),
    CheckConstraint("amount_cents <> 0", name="posting_moves_money"),
    CheckConstraint("account <> counter_account", name="posting_has_two_sides"),
)


@dataclass(frozen=True)
class Posting:
    """One side of a payment: what `account` gets (below 0: gives) from or to `counter_account`."""

    transaction_id: str
    account: str
    counter_account: str
    amount_eur: Decimal
    at: datetime
    reference: str


@dataclass(frozen=True)
class Audit:
    """What a look through the whole books found; no `faults` means that every euro is accounted for."""

    transactions: int
    postings: int
    total_eur: Decimal
    faults: tuple[str, ...]


class Ledger:
    """The books at a database URL: `sqlite:///path`, `sqlite://` (memory) or `postgresql+psycopg://...`.

    SQLite runs with a write-ahead log and full synchronisation: a transaction that `post` confirmed is on the disk.
    Use it as a context manager, or `close()` it: SQLite's file is then whole in itself. Raises LedgerError where the
    database cannot be reached, in one line.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            self._shown = parsed.render_as_string(hide_password=True)
            self._engine: Engine = create_engine(parsed)
        except (ArgumentError, ImportError) as error:
            raise LedgerError(f"the ledger's database URL is of no use: {_line(error)}") from error
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            _metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise LedgerError(f"the ledger at {self._shown} cannot be opened: {_line(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the books. An SQLite file gives up its write-ahead log, and can then be read by who may not write."""
        if self._engine.dialect.name == "sqlite":
            try:
                raw = self._engine.raw_connection()
                try:
                    raw.cursor().execute("PRAGMA journal_mode=DELETE").close()
                finally:
                    raw.close()
            except Exception:
                # another process still reads: the log stays, and is as safe
                pass
        self._engine.dispose()

    def post(self, transaction_id: str, at: datetime, reference: str, entries: Mapping[str, Decimal]) -> bool:
        """Books `entries` (account: EUR in whole cents, above 0 received) as one transaction; True: it is on the disk.

        False where the same transaction is booked already, which makes a repetition harmless (a repetition may come
        later: `at` stays the first one's). Raises LedgerError where the entries do not add up to zero or are not whole
        cents, and where the id is booked with other content.
        """
        cents = _checked(transaction_id, at, entries)
        digest = _digest(reference, cents)
        booking = {"transaction_id": transaction_id, "at": at, "reference": reference, "digest": digest}
        common = {"transaction_id": transaction_id, "at": at, "reference": reference}
        lines = [
            {**common, "account": account, "counter_account": other, "amount_cents": amount}
            for giver, receiver, moved in _pairs(cents)
            for account, other, amount in ((giver, receiver, -moved), (receiver, giver, moved))
        ]
        try:
            with self._engine.begin() as connection:
                connection.execute(_booking.insert(), booking)
                if lines:
                    connection.execute(_posting.insert(), lines)
            return True
        except IntegrityError as error:
            with self._reading() as connection:
                known = connection.scalar(select(_booking.c.digest).where(_booking.c.transaction_id == transaction_id))
            if known == digest:
                return False
            if known is None:
                raise LedgerError(f"transaction {transaction_id} cannot be booked: {_line(error)}") from error
            raise LedgerError(f"transaction {transaction_id} is booked already, with other content") from None
        except SQLAlchemyError as error:
            raise LedgerError(f"transaction {transaction_id} cannot be booked: {_line(error)}") from error

    def transfer(
        self, transaction_id: str, at: datetime, reference: str, *, payer: str, payee: str, amount_eur: Decimal
    ) -> bool:
        """Books one payment; a negative amount goes the other way. See `post`."""
        if payer == payee:
            raise LedgerError(f"transaction {transaction_id}: {payer} cannot pay itself")
        return self.post(transaction_id, at, reference, {payer: -amount_eur, payee: amount_eur})

    def balances(self) -> dict[str, Decimal]:
        """EUR for each account that ever moved, by name; they add up to zero."""
        query = (
            select(_posting.c.account, func.sum(_posting.c.amount_cents))
            .group_by(_posting.c.account)
            .order_by(_posting.c.account)
        )
        with self._reading() as connection:
            return {account: _euros(int(cents)) for account, cents in connection.execute(query)}

    def paid(self) -> dict[tuple[str, str], Decimal]:
        """EUR by (payer, payee): every payment from one to the other, not netted."""
        query = (
            select(_posting.c.counter_account, _posting.c.account, func.sum(_posting.c.amount_cents))
            .where(_posting.c.amount_cents > 0)
            .group_by(_posting.c.counter_account, _posting.c.account)
            .order_by(_posting.c.counter_account, _posting.c.account)
        )
        with self._reading() as connection:
            return {(payer, payee): _euros(int(cents)) for payer, payee, cents in connection.execute(query)}

    def statement(self, account: str) -> tuple[Posting, ...]:
        """Every posting of an account, in the order in which they were booked."""
        query = select(
            _posting.c.transaction_id,
            _posting.c.account,
            _posting.c.counter_account,
            _posting.c.amount_cents,
            _posting.c.at,
            _posting.c.reference,
        )
        with self._reading() as connection:
            rows = connection.execute(query.where(_posting.c.account == account).order_by(_posting.c.line))
            return tuple(
                Posting(transaction, own, other, _euros(cents), at, reference)
                for transaction, own, other, cents, at, reference in rows
            )

    def audit(self) -> Audit:
        """Adds up everything: each transaction and the whole must be zero, and each must be what was booked."""
        faults: list[str] = []
        with self._reading() as connection:
            bookings = connection.execute(
                select(_booking.c.transaction_id, _booking.c.reference, _booking.c.digest).order_by(
                    _booking.c.transaction_id
                )
            ).all()
            rows = connection.execute(
                select(_posting.c.transaction_id, _posting.c.account, _posting.c.amount_cents)
            ).all()
        sums: dict[str, dict[str, int]] = {}
        for transaction_id, account, cents in rows:
            accounts = sums.setdefault(transaction_id, {})
            accounts[account] = accounts.get(account, 0) + cents
        for transaction_id, reference, digest in bookings:
            accounts = sums.pop(transaction_id, {})
            if sum(accounts.values()):
                faults.append(f"{transaction_id} adds up to {_euros(sum(accounts.values()))} EUR")
            if _digest(reference, accounts) != digest:
                faults.append(f"{transaction_id} is not what was booked")
        faults += [f"{transaction_id} has postings and no booking" for transaction_id in sorted(sums)]
        return Audit(len(bookings), len(rows), _euros(sum(cents for *_, cents in rows)), tuple(faults))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerError(f"the ledger at {self._shown} cannot be read: {_line(error)}") from error


def _checked(transaction_id: str, at: datetime, entries: Mapping[str, Decimal]) -> dict[str, int]:
    """The entries in cents, without those of zero."""
    if not transaction_id:
        raise LedgerError("a transaction needs an id")
    if at.tzinfo is None:
        raise LedgerError(f"transaction {transaction_id}: the time {at} has no zone")
    cents: dict[str, int] = {}
    for account, amount in entries.items():
        if not account:
            raise LedgerError(f"transaction {transaction_id}: an account needs a name")
        exact = amount * 100 if amount.is_finite() else None
        if exact is None or exact != exact.to_integral_value() or abs(exact) > _MOST_CENTS:
            raise LedgerError(f"transaction {transaction_id}: {amount} EUR for {account} is not a sum in whole cents")
        if exact:
            cents[account] = int(exact)
    if total := sum(cents.values()):
        raise LedgerError(f"transaction {transaction_id} adds up to {_euros(total)} EUR, not to zero")
    return cents


def _pairs(cents: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """Payments (giver, receiver, cents > 0) that add up to the entries: at most one fewer than there are accounts."""
    gives = [[account, -amount] for account, amount in cents.items() if amount < 0]
    for receiver, amount in cents.items():
        left = amount
        while left > 0:
            giver: Any = gives[0]
            moved = min(left, giver[1])
            yield giver[0], receiver, moved
            left -= moved
            giver[1] -= moved
            if giver[1] == 0:
                gives.pop(0)


def _digest(reference: str, cents: Mapping[str, int]) -> str:
    content = json.dumps([reference, sorted(cents.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def _euros(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
