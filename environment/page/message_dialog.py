"""What one message says: its fields in words with units, its ACL parameters, its JSON, and where D5.1 has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import tzinfo

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from environment.watched import content
from environment.watched.negotiation import Negotiation, Step
from protocols.acl import AclMessage
from protocols.standing import Reading

_EXPLAINED = {
    Reading.BROKEN: "The protocol has no such message here, or its reply-with was given to another message.",
    Reading.LATE: "It was sent after the reply-by, and changes nothing.",
    Reading.CROSSED: "Lawful when it was sent: another message overtook it, and it changes nothing.",
    Reading.REPEATED: "The same message again: it changes nothing.",
}


class MessageDialog:
    """The dialog, one for a page; it opens on a step, and goes through the messages of one that has several."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._negotiation: Negotiation | None = None
        self._step: Step | None = None
        self._place = 0
        with ui.dialog() as self._dialog, ui.card().classes("msg-card") as self._card:
            pass
        self._dialog.props["aria-labelledby"] = "message-title"

    def open(self, negotiation: Negotiation, step: Step) -> None:
        """Shows the first message of a step."""
        self._negotiation, self._step, self._place = negotiation, step, 0
        self._draw()
        self._dialog.open()

    def _turn(self, by: int) -> None:
        assert self._step is not None
        self._place = max(0, min(len(self._step.numbers) - 1, self._place + by))
        self._draw()

    def _draw(self) -> None:
        assert self._negotiation is not None
        assert self._step is not None
        number = self._step.numbers[self._place]
        entry = self._negotiation.entry(number)
        self._card.clear()
        with self._card:
            with ui.row().classes("full-width items-start no-wrap justify-between"):
                title = _text("h2", entry.words if entry else "This message cannot be read any more.")
                title.props["id"] = "message-title"
                close = ui.button(icon="close", color=None, on_click=self._dialog.close).props(
                    "flat round dense autofocus"
                )
                close.props["aria-label"] = "Close"
            if len(self._step.numbers) > 1:
                self._turner(len(self._step.numbers))
            if entry is None:
                return
            if entry.reading in _EXPLAINED:
                _text("p", f"⚠ {entry.reading.capitalize()}. {_EXPLAINED[entry.reading]}").style("margin:0")
            _text("p", content.source(entry.message)).style("margin:0")
            self._content(entry.message)
            _fields("ACL parameters", content.parameters(entry.message, entry.at, self._zone), named=False)
            self._json(entry.message)

    def _turner(self, many: int) -> None:
        with ui.row().classes("items-center"):
            for by, icon, name in ((-1, "chevron_left", "The one before"), (1, "chevron_right", "The next one")):
                button = ui.button(icon=icon, color=None, on_click=lambda _, by=by: self._turn(by)).props(
                    "flat round dense"
                )
                button.props["aria-label"] = name
                button.set_enabled(0 <= self._place + by < many)
            _text("span", f"message {self._place + 1} of {many} of the same kind").props["role"] = "status"

    def _content(self, message: AclMessage) -> None:
        fields = content.fields(message.content, self._zone)
        if fields:
            _fields("What it says", fields, named=True)
        for part in content.parts(message.content, self._zone):
            shown = "" if part.total == len(part.rows) else f" (the first {len(part.rows)})"
            with ui.element("div").classes("msg-wide full-width") as box, ui.element("table").classes("msg-table"):
                _text("caption", f"{part.words}: {part.total}{shown}")
                with ui.element("thead"):
                    _row("th", part.columns)
                with ui.element("tbody"):
                    for cells in part.rows:
                        _row("td", cells)
            box.props["tabindex"] = "0"
            box.props["role"] = "region"
            box.props["aria-label"] = part.words

    def _json(self, message: AclMessage) -> None:
        told = content.as_json(message)
        with ui.row().classes("full-width items-center justify-between"):
            _text("h3", "JSON")
            copy = ui.button("Copy", icon="content_copy", color=None, on_click=lambda: _copy(told))
            copy.props("flat dense no-caps")
        box = _text("pre", told).classes("msg-json full-width")
        box.props["tabindex"] = "0"
        box.props["role"] = "region"
        box.props["aria-label"] = "The content as JSON"


async def _copy(told: str) -> None:
    """To the clipboard, which a browser gives to pages of this machine and to encrypted ones only."""
    script = f"navigator.clipboard?.writeText({json.dumps(told)}).then(() => true, () => false) ?? false"
    try:
        copied = await ui.run_javascript(script)
    except TimeoutError:
        copied = False
    ui.notify("Copied" if copied else "This browser does not let the page copy: select the text and copy it.")


def _fields(title: str, fields: Sequence[content.Field], *, named: bool) -> None:
    with ui.element("table").classes("msg-table"):
        _text("caption", title)
        with ui.element("tbody"):
            for field in fields:
                with ui.element("tr"):
                    with ui.element("th") as head:
                        _text("span", field.words)
                        if named:
                            _text("span", " ")
                            _text("code", field.name)
                    head.props["scope"] = "row"
                    _text("td", field.value)


def _row(tag: str, cells: Sequence[str]) -> None:
    with ui.element("tr"):
        for cell in cells:
            _text(tag, cell)


def _text(tag: str, text: str) -> TextElement:
    return TextElement(tag=tag, text=text)
