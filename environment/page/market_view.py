"""The markets: every round of a run, and for the one that was chosen its merit order, price and outcome."""

from __future__ import annotations

from datetime import date
from typing import Any

from nicegui import ui

from environment.page.charts import chart, fill
from environment.page.frame import Page
from environment.page.market_charts import curves_chart, merit_chart, offers_chart, prices_chart
from environment.page.market_words import CEILINGS, LEGEND, PRICES, caps, offers_table, said
from environment.page.tables import (
    Column,
    PagedTable,
    Row,
    Wanted,
    facts,
    kilowatts,
    link,
    page_of,
    plain_table,
    span,
    style,
)
from environment.report.campus_words import plural
from environment.report.words import period
from environment.watched.heard import Heard
from environment.watched.market import Market
from environment.watched.market_round import MarketRound
from environment.watched.prices import days_of, price_day

TITLE = "Market"
PATH = "/market"
ICON = "storefront"
MOST_STATIONS = 30
ALL = "All use cases"
_SIGNS = {
    "bought": ("\N{CHECK MARK}", "good"),
    "bought in part": ("\N{CIRCLE WITH LEFT HALF BLACK}", "good"),
    "nothing bought": ("\N{EN DASH}", ""),
    "nobody bids": ("\N{MULTIPLICATION SIGN}", "bad"),
    "nobody helps": ("\N{MULTIPLICATION SIGN}", "bad"),
    "refused": ("\N{MULTIPLICATION SIGN}", "bad"),
    "called off": ("\N{EN DASH}", ""),
}
_OPEN = ("\N{HORIZONTAL ELLIPSIS}", "now")
_COLUMNS = (
    Column("title", "Round", "choose"),
    Column("use_case", "Use case"),
    Column("start", "For"),
    Column("needed", "Needed, kW", "number"),
    Column("offered", "Offered, kW", "number"),
    Column("awarded", "Bought, kW", "number"),
    Column("price", "Price", "number"),
    Column("outcome", "Outcome", "state"),
    Column("buyer", "Buyer"),
)
_KEYS: dict[str, Any] = {
    "title": lambda each: each.title,
    "use_case": lambda each: each.use_case,
    "start": lambda each: each.start,
    "needed": lambda each: each.needed_kw,
    "offered": lambda each: each.offered_kw,
    "awarded": lambda each: each.awarded_kw,
    "price": lambda each: each.price,
    "outcome": lambda each: each.outcome,
    "buyer": lambda each: each.buyer,
}


def build(page: Page) -> None:
    """Makes the view."""
    style()
    _View(page)


class _View:
    def __init__(self, page: Page) -> None:
        self._page, self._market = page, page.model(Market)
        self._use_case = ALL
        self._chosen: str | None = page.query.get("round")
        self._shown: MarketRound | None = None
        self._version = -1
        self._day: date | None = None
        self._picked = False
        with page.section("Rounds"):
            page.heading("Rounds")
            self._summary = ui.label().classes("muted").props('role="status"')
            self._select = ui.select([ALL], value=ALL, label="Use case", on_change=self._filtered).props(
                "dense outlined options-dense"
            )
            self._select.classes("col-12 col-sm-4").style("max-width: 20rem")
            self._table = PagedTable(
                "Rounds of the markets", _COLUMNS, self._fetch, sort="start", descending=True, size=10,
                on_choose=self._choose,
            )  # fmt: skip
        with page.section("The chosen round") as self._detail:
            self._title = page.heading("No round yet")
            self._facts = ui.html("", sanitize=False)
            self._legend = ui.html("", sanitize=False)
            self._chart = chart("Merit order")
            self._axis = ui.label().classes("muted")
            self._more = ui.expansion("The offers as a table").classes("full-width")
            with self._more:
                self._offers = ui.html("", sanitize=False)
            self._declined = ui.html("", sanitize=False)
        with page.section("Network prices") as self._prices:
            page.heading("Lower prices at public stations")
            self._days = ui.select([], label="Day", on_change=self._day_chosen).props("dense outlined options-dense")
            self._days.style("max-width: 20rem")
            self._heat = chart("Prices by station and quarter of an hour")
            with ui.expansion("The prices as a table").classes("full-width"):
                self._price_table = ui.html("", sanitize=False)
        self._prices.set_visibility(False)
        page.every(0.5, self._move)

    # ---- what the person does

    def _filtered(self, event: Any) -> None:
        self._use_case = event.value or ALL
        self._table.refresh(first=True)

    def _choose(self, key: str) -> None:
        self._chosen = key
        self._table.refresh()
        self._show_round()

    def _day_chosen(self, event: Any) -> None:
        if event.value and event.value != str(self._day):
            self._day, self._picked = date.fromisoformat(event.value), True
            self._show_prices()

    # ---- what moves

    def _move(self) -> bool:
        complete = self._market.refresh()
        if self._market.version != self._version:
            self._version = self._market.version
            self._show()
        return not complete

    def _show(self) -> None:
        rounds = self._market.rounds
        cases = [ALL, *sorted({each.use_case for each in rounds})]
        if cases != self._select.options:
            self._select.set_options(cases, value=self._use_case if self._use_case in cases else ALL)
        bought = sum(each.awarded_kw > 0 or each.outcome == "bought" for each in rounds)
        open_ones = sum(each.outcome not in _SIGNS for each in rounds)
        self._summary.text = (
            f"{plural(len(rounds), 'round')} so far: something was bought in {bought}, {open_ones or 'none'} open."
            if rounds
            else "No market was opened yet."
        )
        self._table.refresh()
        self._show_round()
        self._show_prices()

    def _rows(self) -> list[MarketRound]:
        return [each for each in self._market.rounds if self._use_case in (ALL, each.use_case)]

    def _fetch(self, wanted: Wanted) -> tuple[list[Row], int]:
        return page_of(self._rows(), wanted, _KEYS, self._row)

    def _current(self) -> MarketRound | None:
        """The one that was chosen, else the latest with an offer."""
        rounds = self._market.rounds
        chosen = None if self._chosen is None else self._market.round(self._chosen)
        return chosen or next((each for each in rounds if each.offers), rounds[0] if rounds else None)

    def _row(self, market: MarketRound) -> Row:
        sign, tone = _SIGNS.get(market.outcome, _OPEN)
        current = self._current()
        return {
            "_key": market.key,
            "_chosen": current is not None and current.key == market.key,
            "_sign": sign,
            "_tone": tone,
            "title": market.title,
            "use_case": market.use_case,
            "start": self._period(market),
            "needed": kilowatts(market.needed_kw),
            "offered": kilowatts(market.offered_kw) if market.auction is None else "curves",
            "awarded": kilowatts(market.awarded_kw) if market.auction is None else caps(market),
            "price": "\N{EN DASH}" if market.price is None else str(market.price),
            "outcome": market.outcome,
            "buyer": market.buyer,
        }

    def _period(self, market: MarketRound) -> str:
        return span(market.start, market.end, self._page.run.zone)

    # ---- the chosen round

    def _show_round(self) -> None:
        market = self._current()
        self._detail.set_visibility(market is not None)
        if market is None or market == self._shown:
            return
        self._shown = market
        self._title.text = f"{market.title}, {self._period(market)}"
        self._facts.content = facts(self._told(market))
        alt = f"Merit order of {market.title}: {said(market)}. The table below has the same."
        if market.auction is not None:
            fill(self._chart, curves_chart(market.auction), height_rem=26, label=f"Bid curves. {said(market)}.")
            self._axis.text = "Cap of the station in kW, from left to right"
        elif any(offer.price is not None for offer in market.offers):
            fill(self._chart, merit_chart(market), height_rem=22, label=alt)
            self._axis.text = "Cumulated power in kW, from left to right; the price of each offer upwards"
        else:
            height = 6 + 1.8 * min(20, len(market.offers))
            fill(self._chart, offers_chart(market), height_rem=height, label=f"Offers by manager: {said(market)}.")
            self._axis.text = "Change of consumption in kW, for each manager that offered"
        self._more.value = market.auction is not None
        self._chart.set_visibility(bool(market.offers))
        self._axis.set_visibility(bool(market.offers))
        self._legend.content = LEGEND if market.offers and market.auction is None else ""
        self._offers.content = offers_table(market)
        self._declined.content = plain_table("Who said no", ("Who", "Why"), market.declined) if market.declined else ""

    def _told(self, market: MarketRound) -> list[tuple[str, Any]]:
        sign = _SIGNS.get(market.outcome, _OPEN)[0]
        told: list[tuple[str, Any]] = [("outcome", f"{sign} {market.outcome}")]
        if market.needed_kw is not None:
            told.append(("needed", f"{kilowatts(market.needed_kw)} kW"))
        if market.auction is None:
            told.append(("offered", f"{kilowatts(market.offered_kw)} kW in {plural(len(market.offers), 'offer')}"))
            told.append(("bought", f"{kilowatts(market.awarded_kw)} kW"))
            if market.price is not None:
                told.append((PRICES.get(market.kind, "price"), f"{market.price} {market.unit}"))
            if market.ceiling is not None:
                told.append((CEILINGS.get(market.kind, "most the buyer pays"), f"{market.ceiling} {market.unit}"))
        else:
            told.append(("bought", caps(market)))
        told.append(("buyer", market.buyer))
        told.append(("opened", self._page.clock(market.opened)))
        told += market.notes
        told.append(("conversation", link("follow it", market.conversation_id)))
        return told

    # ---- network prices

    def _show_prices(self) -> None:
        run = self._page.run
        found = Heard.of(run).readers.prices.found()
        days = days_of(found, run.zone)
        self._prices.set_visibility(bool(days))
        if not days:
            return
        if self._day not in days or not self._picked:
            self._day = days[-1]
        told = {str(each): f"{each:%A} {each.day} {each:%B}" for each in days}
        if told != self._days.options or self._days.value != str(self._day):
            self._days.set_options(told, value=str(self._day))
        day = price_day(found, self._day or days[-1], run.zone)
        stations = [name for name, row in day.prices.items() if any(row)][:MOST_STATIONS]
        rows = [
            (station, period(start, end, run.zone, dated=False), str(price), str(usual))
            for station in stations
            for start, end, price, usual in day.spans(station)
        ]
        words = "; ".join(f"{row[0]} {row[1]} at {row[2]} EUR/kWh" for row in rows[:8])
        fill(
            self._heat, prices_chart(day, stations, run.zone), height_rem=5 + 2 * max(1, len(stations)),
            label=f"Where charging is cheaper than usual. {words}.",
        )  # fmt: skip
        head = ("Station", "Time", "Price, EUR/kWh", "Usual, EUR/kWh")
        self._price_table.content = plain_table("Prices below the usual ones", head, rows, numbers=(2, 3))
