"""The contracts: what binds whom from when to when at which price, and how each stands now."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from environment.page.frame import Page
from environment.page.tables import Column, PagedTable, Row, Wanted, euros, links, page_of, span, style
from environment.report.words import number
from environment.watched.contract import STATES, Contract, kinds
from environment.watched.contracts import Contracts

TITLE = "Contracts"
PATH = "/contracts"
ICON = "handshake"
ANY = "All"
_SIGNS = {
    "agreed": ("\N{WHITE CIRCLE}", ""),
    "active now": ("\N{BLACK RIGHT-POINTING POINTER}", "now"),
    "ended": ("\N{HORIZONTAL ELLIPSIS}", ""),
    "delivered": ("\N{CHECK MARK}", "good"),
    "settled": ("\N{CHECK MARK}", "good"),
    "short": ("\N{WARNING SIGN}", "bad"),
    "settled, short": ("\N{WARNING SIGN}", "bad"),
    "cancelled": ("\N{EN DASH}", ""),
    "failed": ("\N{MULTIPLICATION SIGN}", "bad"),
}
_COLUMNS = (
    Column("state", "State", "state"),
    Column("kind", "Contract"),
    Column("what", "About"),
    Column("start", "From, to"),
    Column("seller", "Who delivers"),
    Column("buyer", "To whom"),
    Column("quantity", "Agreed", "number"),
    Column("delivered", "Delivered", "number"),
    Column("price", "Price", sortable=False),
    Column("amount", "Settled, EUR", "number"),
    Column("links", "Conversations", "links", sortable=False),
)
_KEYS: dict[str, Any] = {
    "state": lambda each: STATES.index(each.state),
    "kind": lambda each: (each.use_case, each.kind),
    "what": lambda each: each.what,
    "start": lambda each: each.start,
    "seller": lambda each: each.seller,
    "buyer": lambda each: each.buyer,
    "quantity": lambda each: each.quantity,
    "delivered": lambda each: each.delivered_percent,
    "amount": lambda each: each.amount_eur,
}


def build(page: Page) -> None:
    """Makes the view."""
    style()
    _View(page)


class _View:
    def __init__(self, page: Page) -> None:
        self._page, self._contracts = page, page.model(Contracts)
        self._text, self._kind, self._state = page.query.get("text", ""), ANY, ANY
        self._shown: tuple[Contract, ...] | None = None
        with page.section("Contracts"):
            page.heading("Who is bound to what")
            self._summary = ui.label().classes("muted").props('role="status"')
            with ui.element("div").classes("filters"):
                ui.input("Filter by name or contract", value=self._text, on_change=self._filtered).props(
                    'debounce="300" clearable dense outlined'
                )
                self._kinds = ui.select([ANY], value=ANY, label="Kind", on_change=self._kind_chosen).props(
                    "dense outlined options-dense"
                )
                ui.select([ANY, *STATES], value=ANY, label="State", on_change=self._state_chosen).props(
                    "dense outlined options-dense"
                )
            self._table = PagedTable(
                "Contracts", _COLUMNS, self._fetch, sort="start", descending=True, size=25
            )  # fmt: skip
        page.every(0.5, self._move)

    def _filtered(self, event: Any) -> None:
        self._text = event.value or ""
        self._table.refresh(first=True)

    def _kind_chosen(self, event: Any) -> None:
        self._kind = event.value or ANY
        self._table.refresh(first=True)

    def _state_chosen(self, event: Any) -> None:
        self._state = event.value or ANY
        self._table.refresh(first=True)

    def _move(self) -> bool:
        complete = self._contracts.refresh()
        rows = self._contracts.rows
        if rows is not self._shown:
            self._shown = rows
            self._show(rows)
        return not complete

    def _show(self, rows: tuple[Contract, ...]) -> None:
        counted = {state: sum(each.state == state for each in rows) for state in STATES}
        told = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
        self._summary.text = f"{len(rows)} contracts: {told}." if rows else "Nothing was agreed yet."
        names = [ANY, *kinds(rows)]
        if names != self._kinds.options:
            self._kinds.set_options(names, value=self._kind if self._kind in names else ANY)
        self._table.refresh()

    def _fetch(self, wanted: Wanted) -> tuple[list[Row], int]:
        text = self._text.casefold()
        rows = [
            each
            for each in self._shown or ()
            if self._kind in (ANY, each.kind) and self._state in (ANY, each.state)
            if not text or any(text in word.casefold() for word in (each.what, each.seller, each.buyer))
        ]
        return page_of(rows, wanted, _KEYS, self._row)

    def _row(self, contract: Contract) -> Row:
        sign, tone = _SIGNS[contract.state]
        digits = 2 if contract.unit == "kWh" else 1
        delivered = "\N{EN DASH}"
        if contract.delivered is not None:
            percent = contract.delivered_percent
            delivered = number(contract.delivered, digits) + (f" ({number(percent)} %)" if percent is not None else "")
        about = contract.what if not contract.reason else f"{contract.what} ({contract.reason})"
        return {
            "_key": contract.key,
            "_sign": sign,
            "_tone": tone,
            "_links": links(*contract.links),
            "state": contract.state,
            "kind": f"{contract.use_case}: {contract.kind}",
            "what": about,
            "start": span(contract.start, contract.end, self._page.run.zone),
            "seller": contract.seller,
            "buyer": contract.buyer,
            "quantity": f"{number(contract.quantity, digits)} {contract.unit}",
            "delivered": delivered,
            "price": contract.price,
            "amount": "\N{EN DASH}" if contract.amount_eur is None
            else euros(contract.amount_eur).removesuffix(" EUR"),
        }  # fmt: skip
