"""The table behind the diagram: a page of it at a time, cut and sorted where the data is and not in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from nicegui import ui

from environment.page.tables import Column, PagedTable, Row, Wanted, style
from environment.watched.network import NetworkNow
from environment.watched.network_figures import Kind
from environment.watched.network_table import COLUMNS, page

ROWS: Final = 25
_KINDS: Final = {Kind.BUS: "Buses", Kind.LINE: "Lines and transformers", Kind.CHARGER: "Chargers"}
_TEXTS: Final = frozenset({"volts", "standing", "ends", "state", "bus", "owner"})


class NetworkTable:
    """Buses, lines or chargers, made anew only while `around` is open. `choose` is told whose name was pressed."""

    def __init__(self, now: NetworkNow, around: ui.expansion, choose: Callable[[Kind, str], None]) -> None:
        self._now, self._around, self._choose = now, around, choose
        self._text = ""
        style()
        with ui.element("div").classes("tools"):
            self._kind = ui.toggle({kind.value: name for kind, name in _KINDS.items()}, value=Kind.BUS.value)
            self._kind.on_value_change(lambda: self.refresh(first=True)).props("no-caps")
            self._kind.props('role="group" aria-label="What the table shows"')
            ui.label("The search above the diagram filters the table.").classes("view-note")
        self._tables: dict[Kind, tuple[ui.element, PagedTable]] = {}
        for kind in _KINDS:
            with ui.element("div").classes("full-width") as place:
                self._tables[kind] = (place, self._made(kind))
        self.refresh()

    def filter(self, text: str) -> None:
        """Shows only what has `text` in its name, owner or bus."""
        self._text = text
        self.refresh(first=True)

    def refresh(self, *, first: bool = False) -> None:
        """The rows as they are now, where somebody looks at them."""
        for kind, (place, table) in self._tables.items():
            shown = kind.value == self._kind.value
            place.set_visibility(shown)
            if shown and self._around.value:
                table.refresh(first=first)

    def _made(self, kind: Kind) -> PagedTable:
        columns = [
            Column(key, label, "choose" if key == "name" else "text" if key in _TEXTS else "number")
            for key, label in COLUMNS[kind]
        ]
        return PagedTable(
            _KINDS[kind],
            columns,
            lambda wanted: self._fetched(kind, wanted),
            sort="name",
            size=ROWS,
            on_choose=self._chosen,
        )

    def _fetched(self, kind: Kind, wanted: Wanted) -> tuple[Sequence[Row], int]:
        rows, total = page(
            self._now,
            kind,
            text=self._text,
            sort=wanted.sort,
            descending=wanted.descending,
            first=wanted.offset,
            count=wanted.limit,
        )
        return [{**row, "_key": row["key"], "_chosen": False} for row in rows], total

    def _chosen(self, key: str) -> None:
        kind, _, name = key.partition(":")
        self._choose(Kind(kind), name)
