"""Negotiations as they run: a list by use case and state, and the chosen one as a sequence diagram that grows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from environment.page.frame import Page
from environment.page.negotiation_page import CATCH_UP_S, NegotiationPage, came_to, state_sign
from environment.report.words import actor, number
from environment.watched.negotiations import AGAINST, EVERYTHING, PAGE, Choice, Found, Line, Negotiations
from protocols.standing import WORDS
from protocols.telling import PLATFORM, USE_CASES

TITLE = "Negotiations"
PATH = "/negotiations"
ICON = "forum"
_ANY = ""
_COLUMNS = (("when", "Begun"), ("what", "About, and who with whom"), ("came", "What came of it"), ("state", "State"))
_WHAT = """
<q-td :props="props"><a :href="props.row.href">{{ props.row.title }}</a>
<div class="neg-who">{{ props.row.who }}</div></q-td>
"""
_STATE = """
<q-td :props="props"><span class="neg-state" :data-tone="props.row.tone">
<span aria-hidden="true">{{ props.row.sign }}</span>
{{ props.row.state }}</span><div class="neg-who">{{ props.row.messages }}</div>
<span v-if="props.row.broken" class="neg-broken">⚠ {{ props.row.broken }}</span></q-td>
"""
_CAME = '<q-td :props="props"><div class="neg-came" :title="props.row.came">{{ props.row.came }}</div></q-td>'


def build(page: Page) -> None:
    """Makes the view: the negotiation that the address names, else the list."""
    ui.add_css(resources.files("environment.page").joinpath("negotiations.css").read_text(encoding="utf-8"))
    model = page.model(Negotiations)
    chosen = page.query.get("id")
    if chosen:
        NegotiationPage(page, model, chosen, PATH)
    else:
        _List(page, model)


class _List:
    """The filters and one page of the list."""

    def __init__(self, page: Page, model: Negotiations) -> None:
        self._page, self._model = page, model
        self._choice = choice_of(page.query)
        self._number = _whole(page.query.get("page"))
        self._shown: Any = None
        self._agents: list[str] = []
        self._intro = ui.label().classes("muted")
        with page.section("Filters"), ui.element("div").classes("neg-filters"):
            self._use_case = ui.select(
                {_ANY: ""}, label="Use case", on_change=lambda event: self._set(event.value, "use")
            )
            self._state = ui.select({_ANY: ""}, label="State", on_change=lambda event: self._set(event.value, "state"))
            self._agent = ui.select(
                {_ANY: "everybody"},
                label="Agent",
                with_input=True,
                on_change=lambda event: self._set(event.value, "agent"),
            )
            self._text = ui.input(
                "Text: exchange, name or id",
                value=self._choice.text,
                on_change=lambda event: self._set(event.value, "text"),
            ).props("clearable debounce=300")
            self._order = ui.select(
                {"newest": "newest first", "oldest": "oldest first"},
                label="Order",
                value="newest" if self._choice.newest_first else "oldest",
                on_change=lambda event: self._set(event.value, "order"),
            )
        self._busy = False
        with page.section("Conversations"):
            self._pager()
            self._table = ui.table(
                rows=[],
                columns=[
                    {
                        "name": name,
                        "field": name,
                        "label": label,
                        "align": "left",
                        "classes": "neg-time" if name == "when" else "",
                    }
                    for name, label in _COLUMNS
                ],
                row_key="id",
                pagination={"rowsPerPage": 0},
            ).props("flat dense wrap-cells hide-pagination role=region")
            self._table.classes("neg-list full-width")
            self._table.props["aria-label"] = self._table.props["table-aria-label"] = "Conversations"
            self._table.props["no-data-label"] = "No conversation is like that, so far."
            for name, slot in (("what", _WHAT), ("state", _STATE), ("came", _CAME)):
                self._table.add_slot(f"body-cell-{name}", slot)
        self._catching_up = ui.timer(CATCH_UP_S, self._refresh, active=False)
        page.every(1.0, self._refresh)

    def _pager(self) -> None:
        with ui.element("div").classes("neg-bar"):
            self._before = ui.button(icon="chevron_left", color=None, on_click=lambda: self._turn(-1)).props(
                "flat round"
            )
            self._before.props["aria-label"] = "The page before"
            self._count = ui.label().props("role=status")
            self._after = ui.button(icon="chevron_right", color=None, on_click=lambda: self._turn(1)).props(
                "flat round"
            )
            self._after.props["aria-label"] = "The next page"

    def _set(self, value: str | None, name: str) -> None:
        """A filter was changed."""
        if self._busy:
            return
        query = {**query_of(self._choice), name: value or ""}
        self._choice, self._number = choice_of(query), 0
        self._remember()
        self._draw()

    def _turn(self, by: int) -> None:
        self._number += by
        self._remember()
        self._draw()

    def _remember(self) -> None:
        ui.navigate.history.replace(address(self._choice, self._number))

    def _refresh(self) -> None:
        self._model.refresh()
        self._catching_up.active = not self._model.ready
        if self._model.ready:
            self._draw()
        else:
            self._intro.text = f"Reading the trace: {self._model.share:.0%}."

    def _draw(self) -> None:
        found = self._model.find(self._choice, self._number)
        self._number = found.page
        self._say(found)
        self._options()
        rows = [self._row(line) for line in found.lines]
        if rows != self._shown:
            self._shown = rows
            self._table.rows = rows

    def _say(self, found: Found) -> None:
        model = self._model
        many = sum(model.use_cases().values())
        broken = f"; ⚠ {model.broken} messages broke their protocol" if model.broken else ""
        own = many - model.use_cases().get(PLATFORM, 0)
        self._intro.text = (
            f"{number(own)} conversations of the use cases and {number(many - own)} of the platform so far{broken}."
        )
        first = found.page * PAGE
        last = first + len(found.lines)
        self._count.text = f"{number(first + 1)} to {number(last)} of {number(found.total)}" if found.total else "none"
        self._before.set_enabled(found.page > 0)
        self._after.set_enabled(found.page + 1 < found.pages)

    def _options(self) -> None:
        """The filters with their counts, and the agents that are known by now."""
        counts = self._model.use_cases()
        own = sum(many for name, many in counts.items() if name != PLATFORM)
        cases = {_ANY: f"every use case ({own})"}
        for name, title in USE_CASES.items():
            if name in counts or name == self._choice.use_case:
                head = "" if name == PLATFORM else f"BUC {name.removeprefix('buc')} "
                cases[name] = f"{head}{title} ({counts.get(name, 0)})"
        cases[EVERYTHING] = f"everything ({sum(counts.values())})"
        states = self._model.states(self._choice.use_case)
        words = {_ANY: f"every state ({sum(many for word, many in states.items() if word != AGAINST)})"}
        for word in (*WORDS, AGAINST):
            if word in states or word == self._choice.state:
                words[word] = f"{state_sign(word)[0]} {word} ({states.get(word, 0)})"
        self._give(self._use_case, cases, self._choice.use_case)
        self._give(self._state, words, self._choice.state)
        agents = self._model.agents
        if agents != self._agents:
            self._agents = agents
            roles = self._page.run.roles
            names = {jid: ", ".join(filter(None, actor(jid, roles))) for jid in agents}
            if self._choice.agent is not None:
                names.setdefault(self._choice.agent, self._choice.agent)
            self._give(self._agent, {_ANY: "everybody", **names}, self._choice.agent)

    def _give(self, select: ui.select, options: dict[str, str], value: str | None) -> None:
        if select.options == options and select.value == (value or _ANY):
            return
        self._busy = True
        try:
            select.set_options(options, value=value or _ANY)
        finally:
            self._busy = False

    def _row(self, line: Line) -> dict[str, Any]:
        sign, tone = state_sign(line.state)
        many = "1 message" if line.messages == 1 else f"{number(line.messages)} messages"
        broken = f"{line.broken} out of sequence or late" if line.broken else ""
        return {
            "id": line.conversation_id,
            "when": f"{line.opened:%a} {line.opened.day} {line.opened:%b %H:%M:%S}",
            "title": line.title,
            "who": line.who,
            "came": came_to(line.outcome),
            "state": line.state,
            "sign": sign,
            "tone": tone,
            "messages": many,
            "broken": broken,
            "href": f"{PATH}?{urlencode({**query_of(self._choice), 'id': line.conversation_id})}",
        }


def choice_of(query: Mapping[str, str]) -> Choice:
    """What an address asks for; what it may not ask for is left out."""
    use_case, state = query.get("use"), query.get("state")
    return Choice(
        use_case if use_case in USE_CASES or use_case == EVERYTHING else None,
        state if state in WORDS or state == AGAINST else None,
        query.get("agent") or None,
        (query.get("text") or "")[:100],
        query.get("order") != "oldest",
    )


def query_of(choice: Choice) -> dict[str, str]:
    """The parameters by which an address asks for it, without those that say nothing."""
    found = {
        "use": choice.use_case,
        "state": choice.state,
        "agent": choice.agent,
        "text": choice.text,
        "order": None if choice.newest_first else "oldest",
    }
    return {name: value for name, value in found.items() if value}


def address(choice: Choice, page: int = 0) -> str:
    """Where the list shows this page of what is asked for."""
    query = query_of(choice) | ({"page": str(page)} if page else {})
    return f"{PATH}?{urlencode(query)}" if query else PATH


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else 0
