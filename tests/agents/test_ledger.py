"""The books: exact, in double entry, idempotent, and whole after a crash."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from agents.ledger import Ledger, LedgerError, _posting

AT = datetime(2026, 1, 15, 18, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as books:
        yield books


def pay(ledger: Ledger, transaction_id: str, amount: str, payer: str = "dso", payee: str = "vpp") -> bool:
    return ledger.transfer(transaction_id, AT, "bill-1", payer=payer, payee=payee, amount_eur=Decimal(amount))


def test_what_one_pays_the_other_gets(ledger: Ledger) -> None:
    assert pay(ledger, "t1", "12.34")
    assert ledger.balances() == {"dso": Decimal("-12.34"), "vpp": Decimal("12.34")}
    assert ledger.paid() == {("dso", "vpp"): Decimal("12.34")}


def test_a_negative_payment_goes_the_other_way(ledger: Ledger) -> None:
    pay(ledger, "t1", "-33.00")
    assert ledger.paid() == {("vpp", "dso"): Decimal("33.00")}


def test_a_payment_split_among_several_adds_up(ledger: Ledger) -> None:
    entries = {"vpp": Decimal("-10.00"), "a": Decimal("3.33"), "b": Decimal("3.33"), "c": Decimal("3.34")}
    assert ledger.post("t1", AT, "benefits", entries)
    assert ledger.balances() == {**entries}
    assert ledger.audit().faults == ()


def test_the_same_transaction_again_changes_nothing_even_later(ledger: Ledger) -> None:
    entries = {"dso": Decimal("-1.10"), "vpp": Decimal("1.10")}
    assert ledger.post("t1", AT, "bill-1", entries) is True
    assert ledger.post("t1", AT + timedelta(hours=1), "bill-1", entries) is False
    assert ledger.balances()["vpp"] == Decimal("1.10")
    assert [posting.at for posting in ledger.statement("vpp")] == [AT]


@pytest.mark.parametrize(
    ("reference", "amount"), [("bill-1", "1.11"), ("bill-2", "1.10")], ids=["other amount", "other reference"]
)
def test_the_same_id_with_other_content_is_refused_and_changes_nothing(
    ledger: Ledger, reference: str, amount: str
) -> None:
    ledger.post("t1", AT, "bill-1", {"dso": Decimal("-1.10"), "vpp": Decimal("1.10")})
    with pytest.raises(LedgerError, match="t1 is booked already, with other content"):
        ledger.post("t1", AT, reference, {"dso": -Decimal(amount), "vpp": Decimal(amount)})
    assert ledger.balances()["vpp"] == Decimal("1.10")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": "1.00", "b": "-0.99"}, "adds up to 0.01 EUR"),
        ({"a": "1.005", "b": "-1.005"}, "not a sum in whole cents"),
        ({"a": "NaN", "b": "1"}, "not a sum in whole cents"),
        ({"a": "1e20", "b": "-1e20"}, "not a sum in whole cents"),
        ({"": "1", "b": "-1"}, "needs a name"),
    ],
)
def test_what_does_not_balance_in_whole_cents_is_not_booked(
    ledger: Ledger, entries: dict[str, str], words: str
) -> None:
    with pytest.raises(LedgerError, match=words):
        ledger.post("t1", AT, "x", {account: Decimal(amount) for account, amount in entries.items()})
    assert ledger.audit().transactions == 0


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="has no zone"):
        ledger.post("t1", AT.replace(tzinfo=None), "x", {"a": Decimal(1), "b": Decimal(-1)})


def test_nobody_pays_himself(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="cannot pay itself"):
        pay(ledger, "t1", "1.00", payer="vpp")


def test_a_payment_of_nothing_is_remembered_by_its_id(ledger: Ledger) -> None:
    assert pay(ledger, "t1", "0.00")
    assert not pay(ledger, "t1", "0.00")
    assert ledger.balances() == {}
    assert ledger.audit().transactions == 1


def test_a_statement_lists_an_account_in_the_order_of_booking(ledger: Ledger) -> None:
    pay(ledger, "t2", "1.00")
    pay(ledger, "t1", "2.00", payer="fmo")
    assert [(p.transaction_id, p.counter_account, p.amount_eur) for p in ledger.statement("vpp")] == [
        ("t2", "dso", Decimal("1.00")),
        ("t1", "fmo", Decimal("2.00")),
    ]


def test_plain_sql_reads_the_columns_promised_and_sums_to_zero(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(f"sqlite:///{path}") as ledger:
        for n in range(200):  # 0.01, 0.08, ... : none of them is a binary fraction
            ledger.post(
                f"t{n}", AT, "x", {"a": -Decimal(n * 7 + 2) / 100, "b": Decimal(n * 7 + 1) / 100, "c": Decimal("0.01")}
            )
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as plain:
        assert plain.execute("select sum(amount_eur) from posting").fetchone() == (0,)
        row = plain.execute("select transaction_id, account, amount_eur, at, reference from posting limit 1").fetchone()
        assert row == ("t0", "a", -0.01, "2026-01-15 17:30:00.000000", "x")
    plain.close()
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_the_audit_finds_what_was_altered_behind_its_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with Ledger(url) as ledger:
        pay(ledger, "t1", "1.00")
        pay(ledger, "t2", "2.00")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("update posting set amount_cents = 150 where amount_cents = 100"))
            connection.execute(
                text("update posting set account = 'thief' where transaction_id = 't2' and amount_cents > 0")
            )
        engine.dispose()
        audit = ledger.audit()
    assert audit.total_eur == Decimal("0.50")
    assert audit.faults == (
        "t1 adds up to 0.50 EUR",
        "t1 is not what was booked",
        "t2 is not what was booked",
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(-(10**9), 10**9), min_size=1), max_size=6))
def test_whatever_is_booked_comes_back_exactly(transactions: list[dict[str, int]]) -> None:
    expected: dict[str, Decimal] = {}
    with Ledger("sqlite://") as ledger:
        for n, amounts in enumerate(transactions):
            entries = {account: Decimal(cents) / 100 for account, cents in amounts.items()}
            entries["rest"] = -sum(entries.values(), Decimal(0))
            ledger.post(f"t{n}", AT, "x", entries)
            for account, amount in entries.items():
                expected[account] = expected.get(account, Decimal(0)) + amount
        balances = ledger.balances()
        assert {account: amount for account, amount in balances.items() if amount} == {
            account: amount for account, amount in expected.items() if amount
        }
        audit = ledger.audit()
        assert (audit.faults, audit.total_eur) == ((), 0)


WRITER = """
import sys
from datetime import datetime, timezone
from decimal import Decimal
from agents.ledger import Ledger
ledger = Ledger(sys.argv[1])
n = 0
while True:
    entries = {"dso": Decimal("-3.00"), "vpp": Decimal("1.00"), "cpo": Decimal("2.00")}
    ledger.post(f"t{n}", datetime(2026, 1, 1, tzinfo=timezone.utc), "x", entries)
    print(n, flush=True)
    n += 1
"""


def test_a_killed_process_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
    ) as writer:
        assert writer.stdout is not None
        confirmed = [int(writer.stdout.readline()) for _ in range(25)]
        writer.send_signal(signal.SIGKILL)
        confirmed += [int(line) for line in writer.stdout if line.strip()]
    with Ledger(url) as ledger:
        audit = ledger.audit()
        assert audit.faults == ()
        assert {f"t{n}" for n in confirmed} <= {posting.transaction_id for posting in ledger.statement("vpp")}
        # of a transaction that was under way there is all or nothing
        assert audit.postings == 4 * audit.transactions
        for n in confirmed:
            entries = {"dso": Decimal("-3.00"), "vpp": Decimal("1.00"), "cpo": Decimal("2.00")}
            assert ledger.post(f"t{n}", AT, "x", entries) is False


def test_sqlite_waits_for_the_disk_at_every_commit(tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as ledger, ledger._engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_database_that_refuses_to_write_books_nothing_and_says_so(ledger: Ledger) -> None:
    pay(ledger, "t1", "1.00")
    event.listen(ledger._engine, "checkout", lambda raw, *_: raw.execute("PRAGMA query_only=ON"))
    with pytest.raises(LedgerError, match="t2 cannot be booked: attempt to write a readonly database"):
        pay(ledger, "t2", "1.00")
    assert ledger.audit().transactions == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "database URL is of no use"),
        ("sqlite:////nowhere/at/all/ledger.sqlite", "cannot be opened: unable to open database file"),
    ],
)
def test_books_that_cannot_be_opened_are_one_clear_line(url: str, words: str) -> None:
    with pytest.raises(LedgerError, match=words) as caught:
        Ledger(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger("sqlite://user:secret@host/nowhere/at/all.sqlite")
    assert "secret" not in str(caught.value)


def test_postgresql_keeps_euros_as_exact_numbers() -> None:
    ddl = str(CreateTable(_posting).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "amount_eur NUMERIC(16, 2) GENERATED ALWAYS AS (amount_cents / 100.0) STORED" in ddl
    assert "at TIMESTAMP WITH TIME ZONE NOT NULL" in ddl


def test_times_come_back_aware_and_equal(ledger: Ledger) -> None:
    pay(ledger, "t1", "1.00")
    (posting,) = ledger.statement("dso")
    assert posting.at == AT
    assert posting.at.tzinfo is UTC
