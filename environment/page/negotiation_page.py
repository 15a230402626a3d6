"""One negotiation on a page: how it stands, its sequence diagram, the content of a message, and what belongs to it."""

from __future__ import annotations

from itertools import groupby
from urllib.parse import urlencode

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from environment.page.frame import Page
from environment.page.message_dialog import MessageDialog
from environment.page.sequence_diagram import SequenceDiagram
from environment.report.words import number
from environment.watched.negotiation import MOST_CHAIN, MOST_STEPS, Link, Negotiation
from environment.watched.negotiations import AGAINST, Negotiations

_SIGNS = {
    "open": ("…", "now"),
    "cancelling": ("…", "now"),
    "awarded": ("★", "now"),
    "agreed": ("✓", "now"),
    "subscribed": ("↻", "now"),
    "done": ("✔", "good"),
    "accepted": ("✔", "good"),
    "failed": ("✖", "bad"),
    "not-understood": ("?", "bad"),
    "out of sequence": ("⚠", "bad"),
    AGAINST: ("⚠", "bad"),
    "expired": ("⌛", "bad"),
    "cancelled": ("⊘", ""),
    "rejected": ("✕", ""),
    "refused": ("✕", ""),
}
CATCH_UP_S = 0.05
"""Between two bounded steps of taking on a trace, while more is there."""
_MOST_OF_A_KIND = 5
"""So many links of one exchange stand open; more are folded."""


def state_sign(word: str) -> tuple[str, str]:
    """The sign and the tone of a state's word: good, bad, now, or none."""
    return _SIGNS.get(word, ("", ""))


def came_to(outcome: str) -> str:
    """An outcome as a sentence's beginning; a dash where nothing came of it."""
    return outcome[:1].upper() + outcome[1:] if outcome else "–"


class NegotiationPage:
    """The page of one conversation, or of that with all that belong to it. `path` is the list's."""

    def __init__(self, page: Page, model: Negotiations, conversation_id: str, path: str) -> None:
        self._page, self._model, self._id, self._path = page, model, conversation_id, path
        self._query = {name: value for name, value in page.query.items() if name in _KEPT}
        self._whole = page.query.get("whole") == "1"
        self._unfolded: frozenset[str] = frozenset()
        self._first = 0
        self._follows = page.run.live
        self._links: tuple[Link, ...] | None = None
        ui.link("← All negotiations", f"{path}?{urlencode(self._query)}" if self._query else path)
        self._title = page.heading("")
        self._facts = ui.element("div").classes("neg-facts")
        self._said: tuple[str, ...] = ()
        self._dialog = MessageDialog(page.run.zone)
        with page.section("Messages"):
            self._bar()
            self._diagram = SequenceDiagram(lambda step: self._dialog.open(self._negotiation, step), self._unfold)
        with page.section("What belongs to it"):
            page.heading("What belongs to it")
            self._belonging = ui.element("div").classes("section")
        self._negotiation = self._chosen()
        self._catching_up = ui.timer(CATCH_UP_S, self._refresh, active=False)
        page.every(0.5, self._refresh)

    def _chosen(self) -> Negotiation:
        return Negotiation(self._model, self._id, whole=self._whole, unfolded=self._unfolded)

    def _bar(self) -> None:
        with ui.element("div").classes("neg-bar"):
            ui.switch(
                "With all that belongs to it", value=self._whole, on_change=lambda event: self._widen(event.value)
            )
            self._follow = ui.switch(
                "Follow the end", value=self._follows, on_change=lambda event: self._go_along(event.value)
            )
            self._earlier = ui.button(
                "Earlier", icon="expand_less", color=None, on_click=lambda: self._turn(-MOST_STEPS)
            )
            self._earlier.props("flat no-caps")
            self._count = ui.label().props("role=status")
            self._later = ui.button("Later", icon="expand_more", color=None, on_click=lambda: self._turn(MOST_STEPS))
            self._later.props("flat no-caps")
            self._fold = ui.button("Fold the crowds again", icon="unfold_less", color=None, on_click=self._fold_again)
            self._fold.props("flat no-caps")

    def _widen(self, whole: bool) -> None:
        self._whole, self._first = whole, 0
        self._again()
        query = {**self._query, "id": self._id, **({"whole": "1"} if whole else {})}
        ui.navigate.history.replace(f"{self._path}?{urlencode(query)}")

    def _go_along(self, follows: bool) -> None:
        self._follows = follows
        if follows:
            self._draw()

    def _turn(self, by: int) -> None:
        self._follow.value = self._follows = False
        self._first = max(0, self._first + by)
        self._draw()

    def _unfold(self, role: str) -> None:
        self._unfolded |= {role}
        self._again()

    def _fold_again(self) -> None:
        self._unfolded = frozenset()
        self._again()

    def _again(self) -> None:
        self._negotiation = self._chosen()
        self._negotiation.refresh()
        self._draw()

    def _refresh(self) -> None:
        self._model.refresh()
        self._catching_up.active = not self._model.ready
        if self._model.ready:
            self._negotiation.refresh()
            self._draw()
        else:
            self._say((f"Reading the trace: {self._model.share:.0%}.",))

    def _draw(self) -> None:
        negotiation = self._negotiation
        self._tell()
        total = len(negotiation)
        if self._follows:
            self._first = max(0, total - MOST_STEPS)
        self._first = min(self._first, max(0, (total - 1) // MOST_STEPS * MOST_STEPS) if not self._follows else total)
        steps = negotiation.steps(self._first)
        drawn = not self._diagram.empty
        added = self._diagram.show(negotiation.lifelines(self._first), steps)
        last = self._first + len(steps)
        many = f"{number(self._first + 1)} to {number(last)} of {number(total)} steps" if total else "no message"
        if negotiation.messages != total:
            many += f" ({number(negotiation.messages)} messages)"
        self._count.text = many
        self._earlier.visible = self._later.visible = total > MOST_STEPS
        self._earlier.set_enabled(self._first > 0)
        self._later.set_enabled(last < total)
        self._fold.visible = bool(self._unfolded)
        self._show_links()
        if added and drawn and self._follows:
            self._diagram.scroll_to_end()

    def _tell(self) -> None:
        """The title and the facts under it."""
        standing = self._model.all.get(self._id)
        if standing is None:
            self._title.text = f"Conversation {self._id[:100]}"
            said: tuple[str, ...] = ("It has not begun at the moment shown.",)
        else:
            line = self._model.line(standing)
            self._title.text = f"{line.title}: {line.who}"
            sign, _ = state_sign(line.state)
            said = (
                f"{sign} {line.state}",
                came_to(line.outcome),
                f"{standing.protocol}, conversation {self._id}",
                f"begun {self._page.clock(line.opened)}",
                f"last message {self._page.clock(line.last)}",
            )
            said += self._model.peers(standing)
            if line.broken:
                said += (f"⚠ {line.broken} of its messages out of sequence or late",)
        self._say(said)

    def _say(self, said: tuple[str, ...]) -> None:
        if said != self._said:
            self._said = said
            self._facts.clear()
            with self._facts:
                for each in said:
                    TextElement(tag="span", text=each)

    def _show_links(self) -> None:
        links = tuple(self._negotiation.links())
        if links == self._links:
            return
        self._links = links
        self._belonging.clear()
        with self._belonging:
            if not links:
                ui.label("No other conversation names the same bid, activation, service, offer or contract.").classes(
                    "muted"
                )
            for before, title in ((True, "Before it"), (False, "After it")):
                some = [link for link in links if link.before is before]
                if some:
                    self._page.heading(title, 3)
                    self._listed(some)
            if len(links) > MOST_CHAIN:
                ui.label(f"The diagram takes {MOST_CHAIN} conversations at most.").classes("muted")

    def _listed(self, links: list[Link]) -> None:
        for title, group in groupby(
            sorted(links, key=lambda link: (_first_of(links, link.title), link.opened)), _title
        ):
            some = list(group)
            if len(some) > _MOST_OF_A_KIND:
                with ui.expansion(f"{title}: {len(some)} conversations").classes("full-width"):
                    self._items(some[:_MOST_LISTED])
                    if len(some) > _MOST_LISTED:
                        ui.label(f"and {len(some) - _MOST_LISTED} more").classes("muted")
            else:
                self._items(some)

    def _items(self, links: list[Link]) -> None:
        with ui.element("ul").classes("neg-links"):
            for link in links:
                with ui.element("li"):
                    TextElement(tag="span", text=self._page.clock(link.opened)).classes("neg-time")
                    ui.link(
                        f"{link.title}: {link.who}",
                        f"{self._path}?{urlencode({**self._query, 'id': link.conversation_id})}",
                    )
                    TextElement(tag="span", text=f"{state_sign(link.state)[0]} {link.state}")
                    TextElement(tag="span", text=", ".join(link.ids[:2])).classes("muted")


_KEPT = ("use", "state", "agent", "text", "order", "page")
"""The list's parameters, which lead back to it."""
_MOST_LISTED = 50


def _title(link: Link) -> str:
    return link.title


def _first_of(links: list[Link], title: str) -> int:
    return next(index for index, link in enumerate(links) if link.title == title)
