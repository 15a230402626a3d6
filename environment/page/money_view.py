"""The ledger: balances, who paid whom, what is owed, and every posting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from environment.page.charts import chart, fill
from environment.page.frame import Page
from environment.page.tables import Column, PagedTable, Row, Wanted, euros, facts, link, plain_table, style
from environment.report.words import account_name
from environment.watched.money import SORTABLE, Balance, Books, Line, Money, matrix

TITLE = "Money"
PATH = "/money"
ICON = "account_balance"
MOST_OWED = 50
MOST_BARS = 10
"""So many who gained most are drawn, and so many who paid most; the table has more."""
MOST_ROWS = 200
_BILLS = {"1.2.7": "bill", "2.x.1": "invoice", "4.x.2": "network bill"}
_COLUMNS = (
    Column("at", "Booked"),
    Column("account", "Account"),
    Column("amount_cents", "Amount, EUR", "number"),
    Column("counter_account", "From or to"),
    Column("reference", "For"),
    Column("transaction_id", "Transaction"),
)


def build(page: Page) -> None:
    """Makes the view."""
    style()
    _View(page)


class _View:
    def __init__(self, page: Page) -> None:
        self._page, self._money = page, page.model(Money)
        self._shown: Books | None = None
        self._seen = (-1, -1)
        self._text = page.query.get("account", "")
        page.heading("The books")
        self._notice = ui.label().classes("muted").props('role="status"')
        self._sum = ui.html("", sanitize=False)
        with page.section("Balances"):
            page.heading("Balances")
            self._chart = chart("Bars of each party's balance; the table below has the same numbers.")
            with ui.expansion("Balances as a table").classes("full-width"):
                self._balances = ui.html("", sanitize=False)
        with page.section("Who paid whom"):
            page.heading("Who paid whom")
            self._matrix = ui.html("", sanitize=False)
        with page.section("What is owed"):
            page.heading("What is owed")
            self._owed = ui.html("", sanitize=False)
        with page.section("Postings"):
            page.heading("Postings")
            ui.input("Filter by account, purpose or transaction", value=self._text, on_change=self._filtered).props(
                'debounce="300" clearable dense outlined'
            ).classes("full-width")
            self._postings = PagedTable("Postings of the ledger", _COLUMNS, self._fetch, sort="at", descending=True)
        page.every(0.5, self._move)

    def _filtered(self, event: Any) -> None:
        self._text = event.value or ""
        self._postings.refresh(first=True)

    def _move(self) -> bool:
        money = self._money
        complete = money.refresh()
        seen = (money.version, len(money.owed()))
        if seen != self._seen:
            self._seen = seen
            self._show(money.books)
        self._postings.refresh()
        return not complete

    def _show(self, books: Books) -> None:
        money = self._money
        self._notice.text = money.notice
        self._notice.set_visibility(bool(money.notice))
        zero = books.total_eur == 0
        self._sum.set_visibility(money.readable)
        self._sum.content = facts(
            (
                ("all postings together", ("\N{CHECK MARK} " if zero else "\N{WARNING SIGN} ") + euros(books.total_eur)
                 + (", as it must be" if zero else ", which is not zero: something is missing")),
                ("paid in all", euros(books.turnover_eur)),
                ("transactions", f"{books.transactions:,}"),
                ("postings", f"{books.postings:,}"),
            )
        )  # fmt: skip
        if books != self._shown:
            self._shown = books
            fill(self._chart, balance_chart(books), height_rem=4 + 2.6 * max(1, len(_drawn(books))))
            self._balances.content = plain_table(
                "Balances: what each party received less what it paid",
                ("Party", "Received", "Paid", "Balance", "Accounts"),
                [
                    (each.party, euros(each.received), euros(each.paid), euros(each.balance, sign=True), each.accounts)
                    for each in [*reversed(books.balances)][:MOST_ROWS]
                ],
                numbers=(1, 2, 3, 4),
            )
            self._matrix.content = _who_paid_whom(books)
        self._owed.content = self._bills()

    def _bills(self) -> str:
        owed, clock = self._money.owed(), self._page.clock
        if not owed:
            return "<p>No bill is waiting to be paid.</p>"
        rows = [
            (
                link(f"{_BILLS[bill.kind]} {bill.id}", bill.conversation_id),
                account_name(bill.debtor),
                account_name(bill.creditor),
                euros(bill.amount_eur),
                clock(bill.at),
            )
            for bill in owed[:MOST_OWED]
        ]
        more = f"<p>and {len(owed) - MOST_OWED} more</p>" if len(owed) > MOST_OWED else ""
        total = euros(sum((bill.amount_eur for bill in owed[1:]), owed[0].amount_eur))
        head = ("Bill", "Who owes", "To whom", "Amount", "Sent")
        return plain_table(f"Bills not yet paid, {total} in all", head, rows, numbers=(3,)) + more

    def _fetch(self, wanted: Wanted) -> tuple[list[Row], int]:
        sort = wanted.sort if wanted.sort in SORTABLE else "at"
        lines, count = self._money.lines(
            text=self._text, sort=sort, descending=wanted.descending, offset=wanted.offset, limit=wanted.limit
        )
        return [self._row(each) for each in lines], count

    def _row(self, line: Line) -> Row:
        return {
            "_key": line.number,
            "at": self._page.clock(line.at),
            "account": line.account,
            "amount_cents": euros(line.amount_eur, sign=True).removesuffix(" EUR"),
            "counter_account": line.other,
            "reference": line.reference,
            "transaction_id": line.transaction,
        }


def _who_paid_whom(books: Books) -> str:
    """A matrix of payers and payees, or a list of pairs where there are too many."""
    if not books.paid:
        return "<p>Nobody has paid anything yet.</p>"
    found = matrix(books.paid)
    if found is None:
        greatest = sorted(books.paid, key=lambda each: -each.amount_eur)[:MOST_ROWS]
        rows = [(each.payer, each.payee, euros(each.amount_eur), each.count) for each in greatest]
        more = f"<p>and {len(books.paid) - MOST_ROWS} more</p>" if len(books.paid) > MOST_ROWS else ""
        return plain_table("Who paid whom", ("Payer", "Payee", "Amount", "Postings"), rows, numbers=(2, 3)) + more
    payers, payees, amounts = found
    cells = [
        (payer, *(euros(amounts[payer, payee]) if (payer, payee) in amounts else "" for payee in payees))
        for payer in payers
    ]
    head = ("Paid by \N{DOWNWARDS ARROW}, to \N{RIGHTWARDS ARROW}", *payees)
    return plain_table("What each party (rows) paid to each (columns)", head, cells, numbers=range(1, len(head)))


def _drawn(books: Books) -> Sequence[Balance]:
    """The balances that have a bar, from the lowest to the highest."""
    if len(books.balances) <= 2 * MOST_BARS:
        return books.balances
    return [*books.balances[:MOST_BARS], *books.balances[-MOST_BARS:]]


def balance_chart(books: Books) -> dict[str, Any]:
    """Bars of the balances, who gained most at the top. The amount stands under each name, to the cent."""
    drawn = _drawn(books)
    parties = [f"{each.party}\n{euros(each.balance, sign=True)}" for each in drawn]
    bars = [
        {
            "value": float(each.balance),
            "itemStyle": {"color": "var(--chart-good)" if each.balance >= 0 else "var(--chart-limit)"},
        }
        for each in drawn
    ]
    return {
        "grid": {"left": 8, "right": 28, "top": 8, "bottom": 28, "containLabel": True},
        "xAxis": {
            "type": "value",
            "axisLabel": {"color": "var(--chart-muted)", "hideOverlap": True, "formatter": "{value} EUR"},
            "splitLine": {"lineStyle": {"color": "var(--chart-grid)", "type": "dotted"}},
        },
        "yAxis": {
            "type": "category",
            "data": parties,
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": "var(--chart-muted)"}},
            "axisLabel": {"color": "var(--chart-ink)", "margin": 12, "lineHeight": 15, "interval": 0},
        },
        "series": [{"type": "bar", "data": bars, "barMaxWidth": 22, "silent": True}],
    }
