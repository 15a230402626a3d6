"""The frame around every view: header with title, time and clock, navigation, light and dark, notices.

A view is a module with TITLE, PATH, ICON and `build(page)`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from typing import Any, Protocol, TypeVar, cast

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import app as page_app
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from environment.page.clock_bar import ClockBar, clock_text
from environment.page.host import Host
from environment.watched.run import WatchedRun

log = logging.getLogger("gridparley.page")

VIEWS = ("network", "plots", "negotiations", "market", "register", "contracts", "money")
"""The views in the order of the navigation, each a module `<name>_view`."""
LOOK = "gridparley-look"
"""The cookie in which a browser remembers light or dark."""
_LOOKS: dict[str, bool | None] = {"light": False, "dark": True}
_NEXT = {None: "dark", True: "light", False: "system"}
_LOOK_NAMES = {None: "System", True: "Dark", False: "Light"}
_LOOK_ICONS = {None: "brightness_auto", True: "dark_mode", False: "light_mode"}
_RECONNECT_S = 10.0
_NOTICES_SHOWN = 50
_LAST = 3
_TELL_LOOK = """
const say = () => emitEvent("look", Quasar.Dark.isActive);
new MutationObserver(say).observe(document.body, {attributeFilter: ["class"]});
say();
"""

M = TypeVar("M")


class View(Protocol):
    """What a view's module has."""

    TITLE: str
    PATH: str
    ICON: str

    def build(self, page: Page) -> None: ...


class Page:
    """One browser's page of one view. `query`: the parameters of its address.

    `dark`: whether it is dark now, None before the browser has said so.
    """

    def __init__(self, host: Host, query: Mapping[str, str]) -> None:
        self.host, self.query = host, query
        self.run: WatchedRun = host.run
        self.dark: bool | None = None
        self._look_listeners: list[Callable[[bool], object]] = []
        self._said: set[str] = set()
        self._faults: ui.element | None = None

    def model(self, kind: Callable[[WatchedRun], M]) -> M:
        """The one instance of a model for all browsers."""
        return self.host.model(kind)

    def every(self, seconds: float, callback: Callable[[], object]) -> None:
        """Calls it when the browser is there, and then where the run has changed, at most once in so many seconds.

        A callback that returns True has more to do, and is called again without a change.
        """
        seen = -1

        def look() -> None:
            nonlocal seen
            version = self.run.version
            if version == seen:
                return
            seen = version
            try:
                if callback() is True:
                    seen = -1
            except Exception as error:
                self.fault(error)

        ui.timer(seconds, look)

    def on_dark(self, callback: Callable[[bool], object]) -> None:
        """Calls it with whether the page is dark: once the browser has said so, and whenever that changes."""
        self._look_listeners.append(callback)

    def clock(self, at: datetime) -> str:
        """A moment in the run's own time, as in `Wed 18 Mar 17:05:00`."""
        return clock_text(at.astimezone(self.run.zone))

    def heading(self, text: str, level: int = 2) -> TextElement:
        """A heading below the page's own."""
        return TextElement(tag=f"h{level}", text=text)

    @contextmanager
    def section(self, label: str) -> Iterator[ui.element]:
        """A part of the page that a screen reader can name and jump to."""
        with ui.element("section").classes("section") as section:
            section.props["aria-label"] = label
            yield section

    def fault(self, error: Exception) -> None:
        """Says once that something of this view cannot be shown; the rest goes on."""
        line = f"Something here cannot be shown ({type(error).__name__}: {error})."
        if line in self._said:
            return
        self._said.add(line)
        log.error("%s", line, exc_info=error)
        if self._faults is not None:
            with self._faults:
                ui.label(line).classes("alarm")

    def looks(self, dark: Any) -> None:
        """The browser has said whether it is dark."""
        if not isinstance(dark, bool) or dark is self.dark:
            return
        self.dark = dark
        for callback in self._look_listeners:
            try:
                callback(dark)
            except Exception as error:
                self.fault(error)


def views() -> Sequence[View]:
    """The views that there are."""
    found = []
    for name in VIEWS:
        module = f"environment.page.{name}_view"
        try:
            found.append(cast(View, importlib.import_module(module)))
        except ModuleNotFoundError as missing:
            if missing.name != module:
                raise
    return found


def make_app(host: Host) -> FastAPI:
    """Everything that is served."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    css = resources.files("environment.page").joinpath("frame.css").read_text(encoding="utf-8")
    ui.add_css(css, shared=True)
    page_app.colors(primary="#0b5cad", dark="#182028", dark_page="#0e1216")
    shown = views()
    for view in shown:
        _serve(view, shown, host)
    ui.run_with(
        app,
        title="Gridparley",
        favicon="🔌",
        dark=None,
        language="en-GB",
        reconnect_timeout=_RECONNECT_S,
        tailwind=False,
        # On this machine compression costs more than it saves.
        gzip_middleware_factory=GZipMiddleware if host.settings.token is not None else None,
        show_welcome_message=False,
    )
    page_app.on_exception(lambda error: log.error("%s", error, exc_info=error))
    return app


def _serve(view: View, shown: Sequence[View], host: Host) -> None:
    @ui.page(view.PATH, title=f"{view.TITLE} · {host.run.title}")
    def build(request: Request) -> None:
        look = _LOOKS.get(request.cookies.get(LOOK, ""))
        page = Page(host, dict(request.query_params))
        _frame(page, view, shown, look)


def _frame(page: Page, view: View, shown: Sequence[View], look: bool | None) -> None:
    content = ui.element("div").classes("frame-content")
    content.props["tabindex"] = "-1"
    _header(page, view, shown, look, content)
    with content:
        TextElement(tag="h1", text=view.TITLE)
        with ui.element("div").props("role=alert") as faults:
            page._faults = faults
        try:
            view.build(page)
        except Exception as error:
            page.fault(error)
    with ui.element("section").classes("frame-foot section") as foot:
        foot.props["aria-label"] = "Notices"
        _Notices(page)


def _header(page: Page, view: View, shown: Sequence[View], look: bool | None, content: ui.element) -> None:
    with ui.header(wrap=True).classes("frame-header"):
        ui.link("Skip to content", f"#{content.html_id}").classes("skip")
        ui.label(page.run.title).classes("frame-title")
        _look_switch(page, look)
        now = ui.label().classes("frame-now")
        state = ui.label().classes("frame-state").props("role=status")
        ClockBar(page.host, now, state)
        with ui.element("nav").classes("frame-nav wide") as nav:
            nav.props["aria-label"] = "Views"
            _links(view, shown)
        with ui.element("details").classes("frame-menu"):
            TextElement(tag="summary", text=f"☰ Views: {view.TITLE}")
            with ui.element("nav").classes("frame-nav") as nav:
                nav.props["aria-label"] = "Views"
                _links(view, shown)


def _links(view: View, shown: Sequence[View]) -> None:
    for each in shown:
        with ui.link(target=each.PATH) as link:
            if each is view:
                link.props["aria-current"] = "page"
            ui.icon(each.ICON)
            TextElement(tag="span", text=each.TITLE)


def _look_switch(page: Page, look: bool | None) -> None:
    """Light, dark, or as the system has it; remembered by the browser."""
    mode = ui.dark_mode(look)

    def switch() -> None:
        name = _NEXT[mode.value]
        mode.value = _LOOKS.get(name)
        button.text, button.icon = _LOOK_NAMES[mode.value], _LOOK_ICONS[mode.value]
        button.props["aria-label"] = f"{button.text} colours: change"
        ui.run_javascript(f'document.cookie = "{LOOK}={name}; path=/; max-age=31536000; SameSite=Strict"')

    button = ui.button(_LOOK_NAMES[look], icon=_LOOK_ICONS[look], color=None, on_click=switch).props("flat no-caps")
    button.classes("frame-look").props["aria-label"] = f"{button.text} colours: change"
    ui.on("look", lambda event: page.looks(event.args))
    ui.context.client.on_connect(lambda: ui.run_javascript(_TELL_LOOK))


class _Notices:
    """What the run has told, and what of its files cannot be read."""

    def __init__(self, page: Page) -> None:
        self._run = page.run
        self._shown: list[str] = []
        page.heading("Notices")
        self._none = ui.label("Nothing to tell.").classes("muted")
        self._last = ui.element("div").classes("section").props("role=log")
        self._last.props["aria-label"] = "Latest notices"
        with ui.expansion("All notices").classes("full-width") as self._more:
            self._all = ui.element("div").classes("section")
        self._update()
        page.every(1.0, self._update)

    def _update(self) -> None:
        run = self._run
        faults = [*run.trace.faults, *filter(None, (run.rows_fault, run.network_fault))]
        lines = [*faults, *run.notices][-_NOTICES_SHOWN:]
        self._none.visible, self._more.visible = not lines, len(lines) > _LAST
        if lines == self._shown:
            return
        self._shown = lines
        for into, some in ((self._last, lines[-_LAST:]), (self._all, lines)):
            into.clear()
            with into:
                for line in some:
                    ui.label(line)
