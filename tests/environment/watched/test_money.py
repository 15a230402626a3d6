"""The ledger as it is watched: exact, zero in all, as of a moment, and never in the writer's way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agents.ledger import Ledger
from environment.report import money as report
from environment.report.words import CROWDS, accounts_too
from environment.run_folder import LEDGER, TRACE, read_postings, read_trace
from environment.watched.money import Money, Paid, matrix
from tests.environment.watched.days import DAYS, day, watched
from tests.environment.watched.folders import BEGINS, hand_made_folder

AT = BEGINS.astimezone(UTC)


def books(folder: Path) -> Ledger:
    return Ledger(f"sqlite:///{folder / LEDGER}")


def refreshed(found: Money) -> Money:
    while not found.refresh():
        pass
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An hour in which the DSO pays 10 cents to a, who passes on 3 of them to b, ten minutes later."""
    made = hand_made_folder(tmp_path / "run")
    with books(made) as ledger:
        ledger.transfer("t1", AT + timedelta(minutes=10), "first", payer="dso", payee="a", amount_eur=Decimal("0.10"))
        ledger.transfer("t2", AT + timedelta(minutes=20), "second_%", payer="a", payee="b", amount_eur=Decimal("0.03"))
    return made


class TestTheBooks:
    @pytest.mark.parametrize("name", DAYS)
    def test_who_paid_whom_is_as_the_report_has_it(self, name: str, tmp_path: Path) -> None:
        made = day(name, tmp_path)
        run, trace = watched(made), read_trace(made / TRACE)
        run.show_at(datetime(2100, 1, 1, tzinfo=UTC))
        found = refreshed(Money(run)).books
        crowds = CROWDS if name == "portugal" else {"ev_owner": CROWDS["ev_owner"]}
        paid = report.payments(read_postings(made / LEDGER), accounts_too(trace.roles), crowds)
        assert sorted((e.payer, e.payee, e.amount_eur) for e in found.paid) == sorted(
            (e.payer, e.payee, e.amount_eur) for e in paid
        )
        assert found.total_eur == 0
        assert sum(each.balance for each in found.balances) == 0
        assert found.turnover_eur == sum(each.amount_eur for each in found.paid) > 0

    def test_only_what_was_booked_by_then_counts(self, folder: Path) -> None:
        run = watched(folder)
        found = Money(run)
        seen = {}
        for minutes in (5, 10, 20):
            run.show_at(BEGINS + timedelta(minutes=minutes))
            now = refreshed(found).books
            seen[minutes] = {each.party: each.balance for each in now.balances}, now.postings, found.lines()[1]
        assert seen == {
            5: ({}, 0, 0),
            10: ({"DSO": Decimal("-0.10"), "a": Decimal("0.10")}, 2, 2),
            20: ({"DSO": Decimal("-0.10"), "a": Decimal("0.07"), "b": Decimal("0.03")}, 4, 4),
        }
        assert isinstance(now.balances[0].paid, Decimal)

    def test_a_ledger_that_does_not_add_up_is_seen(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / LEDGER)) as database:
            database.execute("update posting set amount_cents = 11 where line = 2")
            database.commit()
        assert refreshed(Money(watched(folder))).books.total_eur == Decimal("0.01")


class TestPostings:
    def test_they_are_paged_sorted_and_filtered_at_the_server(self, folder: Path) -> None:
        found = Money(watched(folder))
        first, count = found.lines(sort="amount_cents", descending=True, limit=1)
        assert (count, first[0].account, first[0].amount_eur) == (4, "a", Decimal("0.10"))
        second, _ = found.lines(sort="amount_cents", descending=True, offset=1, limit=1)
        assert (second[0].account, second[0].amount_eur) == ("b", Decimal("0.03"))
        assert found.lines(text="second_%")[1] == 2
        assert found.lines(text="%")[1] == 2
        assert found.lines(text="f_rst")[1] == 0
        assert found.lines(text="'; drop table posting; --")[1] == 0

    def test_a_column_that_there_is_not_is_refused(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="postings are not sorted by line; drop"):
            Money(watched(folder)).lines(sort="line; drop")


class TestTheWriter:
    def test_it_is_never_in_the_way(self, folder: Path) -> None:
        run = watched(folder)
        found = refreshed(Money(run))
        ledger = books(folder)
        assert ledger.transfer("t3", AT + timedelta(minutes=30), "x", payer="b", payee="a", amount_eur=Decimal("0.01"))
        assert refreshed(found).books.postings == 6
        assert found.readable
        found.lines()
        ledger.close()
        # with its write-ahead log gone, nobody else had the file open
        assert not (folder / f"{LEDGER}-wal").exists()

    def test_a_locked_file_is_tried_again_and_what_was_there_stays(self, folder: Path) -> None:
        run = watched(folder)
        run.show_at(BEGINS + timedelta(minutes=10))
        found = refreshed(Money(run))
        with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as other:
            other.execute("begin exclusive")
            run.show_at(BEGINS + timedelta(minutes=20))
            assert not found.refresh()
            assert "is being written" in found.notice
            assert found.books.postings == 2
            other.execute("rollback")
        assert refreshed(found).books.postings == 4
        assert found.notice == ""

    def test_what_it_opens_cannot_write(self, folder: Path) -> None:
        with (
            closing(Money(watched(folder))._open()) as database,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            database.execute("delete from posting")


class TestWithoutOne:
    def test_a_ledger_kept_elsewhere_says_so(self, folder: Path) -> None:
        (folder / LEDGER).unlink()
        found = refreshed(Money(watched(folder)))
        assert "kept elsewhere (--ledger)" in found.notice
        assert (found.books.postings, found.lines()) == (0, ((), 0))
        assert not found.readable, "an empty book of which nothing is known does not add up to zero"

    def test_another_file_under_its_name_is_one_line(self, folder: Path) -> None:
        (folder / LEDGER).write_bytes(b"no database at all, but long enough to be read as one" * 20)
        found = Money(watched(folder))
        found.refresh()
        assert found.notice == "ledger.sqlite cannot be read: file is not a database"
        assert not found.readable


class TestTheMatrix:
    def test_too_many_parties_are_no_matrix(self) -> None:
        few = [Paid("a", "b", Decimal(1), 1), Paid("b", "c", Decimal(2), 1)]
        assert matrix(few) == (("a", "b"), ("b", "c"), {("a", "b"): Decimal(1), ("b", "c"): Decimal(2)})
        assert matrix([Paid("a", f"p{n}", Decimal(1), 1) for n in range(13)]) is None
