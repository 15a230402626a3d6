"""The flexibility register: what was registered and prequalified, the products, and who is in the swarm."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from environment.page.frame import Page
from environment.page.tables import (
    Column,
    PagedTable,
    Row,
    Wanted,
    facts,
    kilowatts,
    link,
    links,
    page_of,
    plain_table,
    style,
)
from environment.report.words import number
from environment.watched.register import STATES, Agent, Register, Resource

TITLE = "Register"
PATH = "/register"
ICON = "fact_check"
ANY = "All"
MOST_CHECKS = 100
_SIGNS = {
    "approved": ("\N{CHECK MARK}", "good"),
    "approved for less": ("\N{CIRCLE WITH LEFT HALF BLACK}", "good"),
    "refused": ("\N{MULTIPLICATION SIGN}", "bad"),
    "withdrawn": ("\N{EN DASH}", ""),
    "registered": ("\N{CHECK MARK}", "good"),
    "gone": ("\N{EN DASH}", ""),
}
_OPEN = ("\N{HORIZONTAL ELLIPSIS}", "now")
_RESOURCES = (
    Column("name", "Resource", "choose"),
    Column("state", "State", "state"),
    Column("owner", "Owner"),
    Column("place", "Bus"),
    Column("product", "Product"),
    Column("charge", "Draws, kW", "number"),
    Column("discharge", "Gives back, kW", "number"),
    Column("approved", "Approved, kW", "number"),
)
_KEYS: dict[str, Any] = {
    "name": lambda each: each.name,
    "state": lambda each: STATES.index(each.state),
    "owner": lambda each: each.owner,
    "place": lambda each: each.place,
    "product": lambda each: each.product,
    "charge": lambda each: each.charge_kw,
    "discharge": lambda each: each.discharge_kw,
    "approved": lambda each: each.approved_charge_kw,
}
_AGENTS = (
    Column("name", "Agent"),
    Column("role", "Role"),
    Column("state", "Entry", "state"),
    Column("services", "Services", sortable=False),
    Column("place", "Where"),
    Column("since", "Since"),
    Column("links", "Conversation", "links", sortable=False),
)
_AGENT_KEYS: dict[str, Any] = {
    "name": lambda each: each.name,
    "role": lambda each: each.role,
    "state": lambda each: each.state,
    "place": lambda each: each.place or None,
    "since": lambda each: each.since,
}


def build(page: Page) -> None:
    """Makes the view."""
    style()
    _View(page)


class _View:
    def __init__(self, page: Page) -> None:
        self._page, self._register = page, page.model(Register)
        self._version = -1
        self._text, self._state, self._chosen = page.query.get("text", ""), ANY, page.query.get("resource")
        self._agent_text = ""
        with page.section("Flexibility register"):
            page.heading("Flexibility register")
            self._summary = ui.label().classes("muted").props('role="status"')
            self._filters = ui.element("div").classes("filters")
            with self._filters:
                ui.input("Filter by name, owner, bus or product", value=self._text, on_change=self._filtered).props(
                    'debounce="300" clearable dense outlined'
                )
                ui.select([ANY, *STATES], value=ANY, label="State", on_change=self._state_chosen).props(
                    "dense outlined options-dense"
                )
            self._table = PagedTable(
                "Resources in the flexibility register", _RESOURCES, self._fetch, sort="name", on_choose=self._choose
            )
            self._detail = ui.html("", sanitize=False).props('role="status"')
        with page.section("Products") as self._products_section:
            page.heading("Products")
            self._products = ui.html("", sanitize=False)
        with page.section("Who is in the swarm"):
            page.heading("Who is in the swarm")
            ui.input("Filter by name, role or service", on_change=self._agents_filtered).props(
                'debounce="300" clearable dense outlined'
            ).classes("full-width")
            self._agents = PagedTable("Agents in the directory", _AGENTS, self._fetch_agents, sort="role")
        page.every(0.5, self._move)

    def _filtered(self, event: Any) -> None:
        self._text = event.value or ""
        self._table.refresh(first=True)

    def _state_chosen(self, event: Any) -> None:
        self._state = event.value or ANY
        self._table.refresh(first=True)

    def _agents_filtered(self, event: Any) -> None:
        self._agent_text = event.value or ""
        self._agents.refresh(first=True)

    def _choose(self, key: str) -> None:
        self._chosen = key
        self._table.refresh()
        self._show_detail()

    def _move(self) -> bool:
        complete = self._register.refresh()
        if self._register.version != self._version:
            self._version = self._register.version
            self._show()
        return not complete

    def _show(self) -> None:
        resources = self._register.resources
        counts = {state: sum(each.state == state for each in resources) for state in STATES}
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        none = "No resource was registered: the use cases of this run need no register, or none was asked for yet."
        self._summary.text = f"{len(resources)} entries: {told}." if resources else none
        self._filters.set_visibility(bool(resources))
        self._table.set_visibility(bool(resources))
        self._table.refresh()
        self._agents.refresh()
        self._show_detail()
        products = self._register.products
        self._products_section.set_visibility(bool(products))
        head = (
            "Product",
            "Where",
            "At least, kW",
            "At most, EUR/kW",
            "Penalty, EUR/kW",
            "Baseline",
            "Pricing",
            "Notice",
        )
        rows = [
            (
                link(each.wish.product_id, each.conversation_id),
                each.wish.congestion_point,
                kilowatts(each.wish.min_power_kw),
                str(each.wish.max_price_eur_per_kw),
                str(each.wish.penalty_eur_per_kw),
                each.wish.baseline,
                each.wish.pricing,
                f"{each.wish.notice_minutes} min",
            )
            for each in products
        ]
        self._products.content = plain_table("What a product must meet", head, rows, numbers=(2, 3, 4))

    def _show_detail(self) -> None:
        chosen = next((each for each in self._register.resources if each.key == self._chosen), None)
        self._detail.set_visibility(chosen is not None)
        if chosen is None:
            return
        told: list[tuple[str, Any]] = [
            ("resource", chosen.name),
            ("state", f"{_SIGNS.get(chosen.state, _OPEN)[0]} {chosen.state}"),
            ("use case", chosen.use_case),
            ("asked", self._page.clock(chosen.asked)),
            ("operator", chosen.operator),
            ("chargers", ", ".join(chosen.units[:12]) + (f" and {len(chosen.units) - 12} more" if len(chosen.units) > 12
             else "")),
        ]  # fmt: skip
        if chosen.energy_kwh is not None:
            told.append(("batteries" if chosen.kind == "resource" else "energy", f"{number(chosen.energy_kwh, 1)} kWh"))
        if chosen.reason:
            told.append(("why", chosen.reason))
        told.append(("conversation", link("follow it", chosen.conversation_id)))
        checks = [
            (name, measured, "\N{CHECK MARK} passed" if passed else "\N{MULTIPLICATION SIGN} failed")
            for name, measured, passed in chosen.checks[:MOST_CHECKS]
        ]
        table = plain_table("The test", ("Requirement", "Measured", "Result"), checks) if checks else ""
        self._detail.content = facts(told) + table

    def _fetch(self, wanted: Wanted) -> tuple[list[Row], int]:
        text = self._text.casefold()
        rows = [
            each
            for each in self._register.resources
            if self._state in (ANY, each.state)
            if not text or any(text in word.casefold() for word in (each.name, each.owner, each.place, each.product))
        ]
        return page_of(rows, wanted, _KEYS, self._row)

    def _row(self, resource: Resource) -> Row:
        sign, tone = _SIGNS.get(resource.state, _OPEN)
        return {
            "_key": resource.key,
            "_chosen": resource.key == self._chosen,
            "_sign": sign,
            "_tone": tone,
            "name": resource.name,
            "state": resource.state,
            "owner": resource.owner,
            "place": resource.place or "\N{EN DASH}",
            "product": resource.product,
            "charge": kilowatts(resource.charge_kw),
            "discharge": kilowatts(resource.discharge_kw),
            "approved": _approved(resource),
        }

    def _fetch_agents(self, wanted: Wanted) -> tuple[list[Row], int]:
        text = self._agent_text.casefold()
        rows = [
            each
            for each in self._register.agents
            if not text or any(text in word.casefold() for word in (each.name, each.role, *each.services))
        ]
        return page_of(rows, wanted, _AGENT_KEYS, self._agent)

    def _agent(self, agent: Agent) -> Row:
        sign, tone = _SIGNS.get(agent.state, _OPEN)
        return {
            "_key": agent.jid,
            "_sign": sign,
            "_tone": tone,
            "_links": links(("follow it", agent.conversation_id)),
            "name": agent.name,
            "role": agent.role,
            "state": f"{agent.state}: {agent.reason}" if agent.reason else agent.state,
            "services": ", ".join(agent.services) or "\N{EN DASH}",
            "place": agent.place or "\N{EN DASH}",
            "since": self._page.clock(agent.since),
        }


def _approved(resource: Resource) -> str:
    """What was approved: of a resource what it may draw less and give back, else one number."""
    if resource.approved_charge_kw is None:
        return "\N{EN DASH}"
    if resource.kind != "resource":
        return kilowatts(resource.approved_charge_kw)
    return f"{kilowatts(resource.approved_charge_kw)} and {kilowatts(resource.approved_discharge_kw)}"
