"""The clock's controls: pause, speed and steps of a run that lasts; with a slider for one that is played back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from nicegui import ui

from environment.page import playback
from environment.page.host import Host

LIVE_SPEEDS: tuple[float | None, ...] = (1.0, 60.0, 300.0, 1200.0, None)
"""Times wall time; None: as fast as it goes."""
STEPS = (
    ("+1 min", "Step one minute", timedelta(minutes=1)),
    ("+15 min", "Step a quarter of an hour", timedelta(minutes=15)),
)
_STATES = {
    "starting": "… starting",
    "running": "▶ running",
    "paused": "⏸ paused",
    "ended": "■ ended",
    "failed": "✕ failed",
}
_LOOK_S = 0.25
E = TypeVar("E", bound=ui.element)
_HANDS_OFF = 4
"""So many looks the slider is left to the person who has moved it."""


class ClockBar:
    """The bar of one browser. It reads the host's state four times a second, and sends what has changed."""

    def __init__(self, host: Host, now: ui.label, state: ui.label) -> None:
        self.host, self._now, self._state = host, now, state
        self._shown: dict[str, Any] = {}
        self._hands_off = 0
        with ui.element("div").classes("frame-bar") as bar:
            _name(bar.props("role=group"), "Clock")
            self._play = _button("Pause", "Pause or go on", self._toggle)
            with ui.element("div").classes("group") as steps:
                _name(steps.props("role=group"), "Step")
                for text, label, span in STEPS:
                    _button(text, label, partial(host.step, span))
                _button("+1 message", "Step to the next message", host.step_message)
            with ui.element("div").classes("group") as live:
                _name(live.props("role=group"), "Speed, times as fast as life")
                self._live = {speed: _speed(host, speed, _times(speed)) for speed in LIVE_SPEEDS}
            with ui.element("div").classes("group") as played:
                _name(played.props("role=group"), "Speed of the playback")
                self._played = {
                    speed * 60: _speed(host, speed * 60, f"{speed:g} min/s", f"{speed:g} minutes of the run a second")
                    for speed in playback.SPEEDS
                }
                self._start = _button("⏮", "Back to the beginning", lambda: host.seek(0))
            slider = ui.element("input").props("type=range min=0 step=60").classes("frame-slider")
            self._slider = _name(slider, "Moment of the run")
            slider.on(
                "input", lambda event: self._moved(event.args), js_handler="(e) => emit(+e.target.value)", throttle=0.1
            )
        self._controls, self._live_group, self._played_group = bar, live, played
        self.update()
        ui.timer(_LOOK_S, self.update, immediate=False)

    def update(self) -> None:
        """Shows how things are now."""
        host, run = self.host, self.host.run
        status, player = run.status, host.playback
        at = run.at if player is not None else status.at or run.at
        self._set(self._now, "text", "" if at is None else clock_text(at.astimezone(run.zone)))
        speed = "" if status.state != "running" else f", {_pace(status.speed, player is not None)}"
        stage = f": {status.stage}" if status.state == "starting" and status.stage else ""
        self._set(self._state, "text", _STATES[status.state] + stage + speed)
        plays = status.state in ("running", "starting")
        self._set(self._play, "text", "⏸ Pause" if plays else "▶ Play" if player is not None else "▶ Go on")
        self._set(self._controls, "visible", player is not None or host.is_led)
        self._set(self._live_group, "visible", player is None)
        for element in (self._played_group, self._slider):
            self._set(element, "visible", player is not None)
        for buttons in (self._live, self._played):
            for each, button in buttons.items():
                self._prop(button, "aria-pressed", "true" if each == status.speed else "false")
        if player is not None:
            self._prop(self._slider, "max", player.length_s)
            if self._hands_off:
                self._hands_off -= 1
            else:
                self._prop(self._slider, "value", player.position_s)
            self._prop(self._slider, "aria-valuetext", self._now.text)

    def _toggle(self) -> None:
        if self.host.run.status.state in ("running", "starting"):
            self.host.pause()
        else:
            self.host.resume()
        self.update()

    def _moved(self, seconds: Any) -> None:
        if isinstance(seconds, int | float):
            self._hands_off = _HANDS_OFF
            self._shown[f"{self._slider.id} value"] = None
            self.host.seek(float(seconds))
            self.update()

    def _set(self, element: Any, name: str, value: Any) -> None:
        if getattr(element, name) != value:
            setattr(element, name, value)

    def _prop(self, element: ui.element, name: str, value: Any) -> None:
        key = f"{element.id} {name}"
        if self._shown.get(key) != value:
            self._shown[key] = value
            element.props[name] = value
            element.update()


def clock_text(at: datetime) -> str:
    """A local time as the page writes it."""
    return f"{at:%a} {at.day} {at:%b %H:%M:%S}"


def _button(text: str, label: str, action: Callable[[], object]) -> ui.button:
    button = ui.button(text, color=None, on_click=lambda: action()).props("outline no-caps")
    return _name(button, label)


def _speed(host: Host, speed: float | None, text: str, label: str | None = None) -> ui.button:
    return _button(text, label or f"Speed: {_pace(speed, False)}", lambda: host.set_speed(speed))


def _name(element: E, label: str) -> E:
    """Gives an element its accessible name."""
    element.props["aria-label"] = label
    return element


def _times(speed: float | None) -> str:
    return "fastest" if speed is None else f"{speed:,.0f}×"


def _pace(speed: float | None, played: bool) -> str:
    if speed is None:
        return "as fast as it goes"
    return f"{speed / 60:g} minutes of the run a second" if played else f"{speed:,g} times as fast as life"
