"""A sequence diagram of NiceGUI's elements that grows: lifelines as columns, each message a button between two.

On a narrow screen the same buttons are a list of who said what to whom. What an act is says its name; colour, line and
head of the arrow say it again.
"""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from environment.watched.negotiation import Lifeline, Step
from protocols.acl import Performative as Act
from protocols.standing import Reading

_TONES = {
    Act.REQUEST: "asks",
    Act.QUERY_REF: "asks",
    Act.CFP: "asks",
    Act.SUBSCRIBE: "asks",
    Act.PROPOSE: "offers",
    Act.AGREE: "yes",
    Act.ACCEPT_PROPOSAL: "yes",
    Act.INFORM: "tells",
    Act.REFUSE: "no",
    Act.REJECT_PROPOSAL: "no",
    Act.FAILURE: "no",
    Act.NOT_UNDERSTOOD: "no",
    Act.CANCEL: "no",
}
_SIGNS = {
    Reading.BROKEN: "⚠ out of sequence",
    Reading.LATE: "⚠ after the reply-by",
    Reading.CROSSED: "⤫ crossed on the way",
    Reading.REPEATED: "↻ said again",
}


class SequenceDiagram:
    """The diagram's elements. `opened` is called with a step whose button was pressed, `fold` with a crowd's role."""

    def __init__(self, opened: Callable[[Step], None], fold: Callable[[str], None]) -> None:
        self._opened, self._fold = opened, fold
        self._lifelines: tuple[Lifeline, ...] = ()
        self._steps: list[Step] = []
        self._rows: list[list[ui.element]] = []
        with ui.element("div").classes("seq"):
            self._scroll = ui.element("div").classes("seq-scroll")
            self._scroll.props["tabindex"] = "0"
            self._scroll.props["role"] = "region"
            self._scroll.props["aria-label"] = "Sequence diagram"
            with self._scroll:
                self._body = ui.element("div").classes("seq-body")

    def show(self, lifelines: tuple[Lifeline, ...], steps: tuple[Step, ...]) -> bool:
        """Draws these steps; those that stay are left as they are. Whether one was added at the end."""
        steps_before = len(self._steps)
        if lifelines != self._lifelines:
            self._begin(lifelines)
        kept = self._drop_until(steps)
        added = steps[kept:]
        for step in added:
            self._add(step, new=steps_before > 0 and len(added) < len(steps))
        return bool(added)

    @property
    def empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self._steps

    def scroll_to_end(self) -> None:
        """Brings the last step into view: within the diagram, or on a narrow screen the page."""
        if self._rows:
            box, last = self._scroll.id, self._rows[-1][-1].id
            ui.run_javascript(
                f"const box = getHtmlElement({box}); if (box.scrollHeight > box.clientHeight) box.scrollTop = 1e9;"
                f' else getHtmlElement({last})?.scrollIntoView({{block: "nearest"}});'
            )

    def _begin(self, lifelines: tuple[Lifeline, ...]) -> None:
        self._lifelines, self._steps, self._rows = lifelines, [], []
        self._body.clear()
        self._body.style(f"--lines: {max(1, len(lifelines))}")
        with self._body, ui.element("div").classes("seq-row seq-heads"):
            ui.element("div")
            with ui.element("div").classes("seq-lane"):
                for line in lifelines:
                    self._head(line)
        with self._body:
            self._list = ui.element("div")
            self._list.props["role"] = "list"
            self._list.props["aria-label"] = "Messages in the order of their sending"

    def _head(self, line: Lifeline) -> None:
        with ui.element("div").classes("seq-head"):
            _text("span", line.name)
            if line.note:
                _text("small", line.note)
            if line.folded:
                button = _text("button", "unfold").classes("seq-fold")
                button.props["aria-label"] = f"Unfold {line.name}: a lifeline for each of {len(line.members)}"
                button.on("click", lambda _, key=line.key: self._fold(key), args=[])

    def _drop_until(self, steps: tuple[Step, ...]) -> int:
        """Takes away what is not shown any more, at the beginning or from the first change on; how many stay."""
        shown = self._steps
        if shown and steps and shown[0] != steps[0]:
            first = next((index for index, step in enumerate(shown) if step == steps[0]), len(shown))
            self._delete(0, first)
        kept = 0
        while kept < min(len(shown), len(steps)) and shown[kept] == steps[kept]:
            kept += 1
        self._delete(kept, len(shown))
        return kept

    def _delete(self, first: int, last: int) -> None:
        for row in self._rows[first:last]:
            for element in row:
                element.delete()
        del self._rows[first:last], self._steps[first:last]

    def _add(self, step: Step, *, new: bool) -> None:
        row: list[ui.element] = []
        with self._list:
            if self._steps and self._steps[-1].at.date() != step.at.date():
                day = _text("div", f"{step.at:%A} {step.at.day} {step.at:%B}").classes("seq-day")
                day.props["role"] = "listitem"
                row.append(day)
            line = ui.element("div").classes("seq-row seq-new" if new else "seq-row")
            line.props["role"] = "listitem"
            row.append(line)
        with line:
            _text("div", f"{step.at:%H:%M:%S}").classes("seq-time")
            with ui.element("div").classes("seq-lane"):
                self._button(step)
        self._steps.append(step)
        self._rows.append(row)

    def _button(self, step: Step) -> None:
        left, right = sorted((step.source, step.target))
        span = right - left + 1
        button = ui.element("button").classes(f"seq-msg seq-{_TONES.get(Act(step.act), 'tells')}")
        button.style(f"grid-column: {left + 1} / {right + 2}; margin-inline: calc(50% / {span})")
        if step.source > step.target:
            button.classes("seq-left")
        if step.source == step.target:
            button.classes("seq-self").style("margin-inline: 0")
        if _TONES.get(Act(step.act)) in ("yes", "no", "tells"):
            button.classes("seq-answer")
        if step.broken:
            button.classes("seq-broken")
        button.props["type"] = "button"
        button.props["aria-label"] = step.words
        button.on("click", lambda _: self._opened(step), args=[])
        with button:
            with ui.element("div").classes("seq-text"):
                _text("span", f"{step.sender} → {step.receiver}").classes("seq-ends")
                if step.begins:
                    _text("span", step.begins).classes("seq-begins")
                many = f" × {len(step.numbers)}" if len(step.numbers) > 1 else ""
                _text("span", f"{step.act}{many} ").classes("seq-act")
                if step.title:
                    _text("span", step.title).classes("seq-title")
                if step.gist:
                    _text("span", step.gist).classes("seq-gist")
                if step.reading in _SIGNS:
                    _text("span", _SIGNS[step.reading]).classes("seq-sign")
            ui.element("div").classes("seq-arrow")


def _text(tag: str, text: str) -> TextElement:
    """An element with nothing but text, which is shown as text whatever it is."""
    return TextElement(tag=tag, text=text)
