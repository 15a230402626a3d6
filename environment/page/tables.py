"""Tables of the page: long ones that are paged and sorted at the server, and short ones that are plain HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from importlib import resources
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from markupsafe import Markup
from nicegui import ui
from nicegui.events import GenericEventArguments

from environment.report.words import period

MOST_ROWS = 100
"""So many rows are at most in the browser at once."""
PAGE_SIZES = (10, 25, 50, MOST_ROWS)
MINUS = "\N{MINUS SIGN}"
Row: TypeAlias = dict[str, Any]
_HEAD = """
<q-th :props="props" :aria-sort="props.col.ariaSort">
  <button v-if="props.col.sortable" type="button" class="table-sort" :data-focus="props.col.name">{{
    props.col.label }}</button>
  <span v-else>{{ props.col.label }}</span>
</q-th>"""
_LINKS = """
<q-td :props="props">
  <template v-for="(link, i) in props.row._links" :key="i"><a :href="link.href">{{ link.text }}</a> </template>
</q-td>"""
_CHOOSE = """
<q-td :props="props">
  <button type="button" class="table-link" :data-focus="props.row._key"
    :aria-pressed="props.row._chosen ? 'true' : 'false'"
    @click="() => $parent.$emit('choose', props.row._key)">{{ props.value }}</button>
</q-td>"""
_STATE = """
<q-td :props="props"><span class="state" :data-state="props.row._tone"><span aria-hidden="true">{{
  props.row._sign }}</span> {{ props.value }}</span></q-td>"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `kind` says what a cell is: text, a number (set to the right), a state with its sign (`_sign` and
    `_tone`), a button that chooses the row, or the row's links (`_links`)."""

    name: str
    label: str
    kind: Literal["text", "number", "state", "choose", "links"] = "text"
    sortable: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a table is to be shown."""

    sort: str
    descending: bool
    offset: int
    limit: int


Fetch: TypeAlias = Callable[[Wanted], tuple[Sequence[Row], int]]


class PagedTable:
    """A table of which the browser has one page. `fetch` gives the rows that are wanted, each with a `_key`, and how
    many there are in all; `caption` names the table for who does not see it."""

    def __init__(
        self,
        caption: str,
        columns: Sequence[Column],
        fetch: Fetch,
        *,
        sort: str,
        descending: bool = False,
        size: int = 10,
        on_choose: Callable[[str], None] | None = None,
    ) -> None:
        self._columns, self._fetch, self.caption = tuple(columns), fetch, caption
        self._pagination: dict[str, Any] = {
            "sortBy": sort, "descending": descending, "page": 1, "rowsPerPage": size, "rowsNumber": 0,
        }  # fmt: skip
        self._table = ui.table(
            rows=[], columns=self._described(), row_key="_key", pagination=dict(self._pagination)
        ).props(f'flat dense wrap-cells binary-state-sort :rows-per-page-options="{list(PAGE_SIZES)}"')
        self._table.props["table-aria-label"] = caption
        self._table.props["aria-label"] = caption
        self._table.props["no-data-label"] = "Nothing to show."
        self._table.props["rows-per-page-label"] = "Rows on a page"
        self._table.props["role"] = "region"
        self._table.classes("paged-table full-width")
        self._table.add_slot("header-cell", _HEAD)
        for column in self._columns:
            slot = {"links": _LINKS, "choose": _CHOOSE, "state": _STATE}.get(column.kind)
            if slot is not None:
                self._table.add_slot(f"body-cell-{column.name}", slot)
        self._table.on("request", self._requested, ["pagination"])
        # A new table in a browser says that it has no rows, whatever it was told meanwhile: the server knows better.
        self._table.on_pagination_change(lambda _: self._keep())
        if on_choose is not None:

            def chosen(event: GenericEventArguments) -> None:
                on_choose(str(event.args))
                self._focus_again(str(event.args))

            self._table.on("choose", chosen)

    def refresh(self, *, first: bool = False) -> None:
        """Fetches the page again; `first`: goes back to the first one, as after another filter."""
        pagination = self._pagination
        if first:
            pagination["page"] = 1
        size = min(int(pagination["rowsPerPage"]) or MOST_ROWS, MOST_ROWS)
        rows, count = self._fetched(size)
        if not rows and count:  # there are fewer than there were
            pagination["page"] = -(-count // size)
            rows, count = self._fetched(size)
        pagination["rowsNumber"] = count
        shown = list(rows)
        if shown != self._table.rows or pagination != self._table.pagination:
            described = self._described()
            if described != self._table.columns:
                self._table.columns = described
            self._table.rows = shown
            self._table.pagination = dict(pagination)

    def set_visibility(self, visible: bool) -> None:
        """Shows or hides it."""
        self._table.set_visibility(visible)

    def _fetched(self, size: int) -> tuple[Sequence[Row], int]:
        pagination = self._pagination
        offset = (int(pagination["page"]) - 1) * size
        return self._fetch(Wanted(pagination["sortBy"], bool(pagination["descending"]), offset, size))

    def _requested(self, event: GenericEventArguments) -> None:
        """The browser wants another page, order or size; what it may not want is not taken."""
        wanted = event.args.get("pagination") if isinstance(event.args, dict) else None
        if not isinstance(wanted, dict):
            return
        names = {column.name for column in self._columns if column.sortable}
        if wanted.get("sortBy") in names:
            self._pagination["sortBy"] = wanted["sortBy"]
            self._pagination["descending"] = bool(wanted.get("descending"))
        if wanted.get("rowsPerPage") in PAGE_SIZES:
            self._pagination["rowsPerPage"] = wanted["rowsPerPage"]
        page = wanted.get("page")
        if isinstance(page, int) and page >= 1:
            self._pagination["page"] = page
        self.refresh()
        self._focus_again(self._pagination["sortBy"])

    def _focus_again(self, name: str) -> None:
        """A table that is shown anew has new buttons: who pressed one by keyboard finds the focus on it again."""
        css = f"#{self._table.html_id} [data-focus={json.dumps(name)}]"
        ui.run_javascript(
            "setTimeout(() => { if (document.activeElement === document.body)"
            f" document.querySelector({json.dumps(css)})?.focus(); }}, 100)"
        )

    def _keep(self) -> None:
        if self._table.pagination != self._pagination:
            self._table.pagination = dict(self._pagination)

    def _described(self) -> list[dict[str, Any]]:
        return [self._column(column) for column in self._columns]

    def _column(self, column: Column) -> dict[str, Any]:
        sort = None
        if column.sortable:
            sort = "none"
            if column.name == self._pagination["sortBy"]:
                sort = "descending" if self._pagination["descending"] else "ascending"
        number = column.kind == "number"
        return {
            "name": column.name,
            "field": column.name,
            "label": column.label,
            "sortable": column.sortable,
            "ariaSort": sort,
            "align": "right" if number else "left",
            "classes": "number" if number else "",
        }


def page_of(
    rows: Sequence[Any], wanted: Wanted, keys: Mapping[str, Callable[[Any], Any]], row: Callable[[Any], Row]
) -> tuple[list[Row], int]:
    """One page of rows that are in memory: sorted by the wanted column (`keys`), what has no value last, and shown."""
    key = keys[wanted.sort]
    known = [each for each in rows if key(each) is not None]
    missing = [each for each in rows if key(each) is None]
    ordered = sorted(known, key=key, reverse=wanted.descending) + missing
    return [row(each) for each in ordered[wanted.offset : wanted.offset + wanted.limit]], len(rows)


def style() -> None:
    """Gives this page the look of tables and charts."""
    ui.add_css(resources.files("environment.page").joinpath("tables.css").read_text(encoding="utf-8"))


def span(start: datetime, end: datetime, zone: tzinfo) -> str:
    """From when to when: the times of a day, or the first and the last day of what lasts longer."""
    if end - start < timedelta(days=2):
        return period(start, end, zone, dated=True)
    first, last = start.astimezone(zone), (end - timedelta(seconds=1)).astimezone(zone)
    return f"{first.day} {first:%b} to {last.day} {last:%b}"


def links(*conversations: tuple[str, str]) -> list[dict[str, str]]:
    """Links to conversations, each `(words, conversation id)`, for a cell of links."""
    return [{"text": words, "href": conversation(ident)} for words, ident in conversations]


def conversation(ident: str) -> str:
    """Where a conversation is shown."""
    return f"/negotiations?id={quote(ident, safe='')}"


def plain_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[int] = ()
) -> str:
    """A short table as HTML; the first cell of a row is its heading, columns `numbers` are set to the right. Cells are
    text, or Markup."""
    right = set(numbers)

    def cell(tag: str, column: int, value: Any, extra: str = "") -> Markup:
        classes = ' class="number"' if column in right else ""
        return Markup(f"<{tag}{classes}{extra}>{{}}</{tag}>").format(value)

    header = Markup("").join(cell("th", at, text, ' scope="col"') for at, text in enumerate(head))
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                cell("th" if at == 0 else "td", at, value, ' scope="row"' if at == 0 else "")
                for at, value in enumerate(row)
            )
        )
        for row in rows
    )
    return str(
        Markup(
            '<div class="table-scroll" tabindex="0" role="region" aria-label="{}"><table class="plain-table">'
            "<caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
        ).format(caption, caption, header, body)
    )


def facts(pairs: Sequence[tuple[str, Any]]) -> str:
    """A list of names with their values as HTML."""
    inner = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in pairs)
    return str(Markup('<dl class="facts">{}</dl>').format(inner))


def link(words: str, ident: str) -> Markup:
    """A link to a conversation as HTML."""
    return Markup('<a href="{}">{}</a>').format(conversation(ident), words)


def euros(amount: Decimal, *, sign: bool = False) -> str:
    """An amount to the cent, with its unit, by decimal arithmetic alone."""
    text = f"{amount:{'+' if sign and amount else ''},.2f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{text.replace('-', MINUS)} EUR"


def kilowatts(value: float | None) -> str:
    """A power in kW with one place, without its unit; a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:,.1f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
