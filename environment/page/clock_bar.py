"""The clock's controls: pause, speed and steps of a run that lasts; with a slider for one that is played back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from environment.page import playback
from environment.page.host import Host

LIVE_SPEEDS: tuple[float | None, ...] = (1.0, 60.0, 300.0, 1200.0, None)
"""Times wall time; None: as fast as it goes."""
STEPS = (
    ("+1 min", "step one minute", timedelta(minutes=1)),
    ("+15 min", "step a quarter of an hour", timedelta(minutes=15)),
)
_STATES = {
    "starting": "… starting",
    "running": "▶ running",
    "paused": "‖ paused",
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
        self._shown: dict[tuple[int, str], Any] = {}
        self._hands_off = 0
        with ui.element("div").classes("frame-bar").props("role=group") as self._controls:
            _name(self._controls, "Clock")
            self._play = ui.button("Pause", icon="pause", color=None, on_click=self._toggle).props("outline no-caps")
            for text, label, span in STEPS:
                _button(text, label, partial(host.step, span))
            _button("+1 message", "step to the next message", host.step_message)
            self._live = self._speeds("Speed", {speed: _pace(speed, False) for speed in LIVE_SPEEDS})
            self._played = self._speeds("Speed of the playback", {s * 60: _pace(s * 60, True) for s in playback.SPEEDS})
            slider = ui.element("input").props("type=range min=0 step=60").classes("frame-slider")
            self._slider = _name(slider, "Moment of the run")
            # Dragging says where it is many times a second; the last place always counts.
            slider.on("input", self._moved, js_handler="(e) => emit(+e.target.value)", throttle=0.1)
        self.update()
        ui.timer(_LOOK_S, self.update, immediate=False)

    def _speeds(self, label: str, speeds: dict[float | None, str]) -> ui.element:
        """A list to choose the speed from; the first entry is for a speed that is not in it."""
        with ui.element("select").classes("frame-speed") as chosen:
            TextElement(tag="option", text="other speed").props("value=other disabled")
            for speed, text in speeds.items():
                TextElement(tag="option", text=text).props["value"] = _key(speed)
        keys = {_key(speed): speed for speed in speeds}

        def choose(event: GenericEventArguments) -> None:
            if event.args in keys:
                self._shown.pop((chosen.id, "value"), None)
                self.host.set_speed(keys[event.args])

        chosen.on("change", choose, js_handler="(e) => emit(e.target.value)")
        self._keys = {**getattr(self, "_keys", {}), chosen.id: keys}
        return _name(chosen, label)

    def update(self) -> None:
        """Shows how things are now."""
        host, run = self.host, self.host.run
        status, player = run.status, host.playback
        at = run.at if player is not None else status.at or run.at
        now = "" if at is None else f"{clock_text(at.astimezone(run.zone))} · {run.messages:,} messages"
        speed = "" if status.state != "running" else f", {_pace(status.speed, player is not None)}"
        stage = f": {status.stage}" if status.state == "starting" and status.stage else ""
        self._set(self._now, "text", now)
        self._set(self._state, "text", _STATES[status.state] + stage + speed)
        moves = status.state in ("running", "starting")
        self._set(self._play, "text", "Pause" if moves else "Play" if player is not None else "Go on")
        self._set(self._play, "icon", "pause" if moves else "play_arrow")
        self._set(self._controls, "visible", player is not None or host.is_led)
        self._set(self._live, "visible", player is None)
        for element in (self._played, self._slider):
            self._set(element, "visible", player is not None)
        speeds = self._live if player is None else self._played
        self._prop(speeds, "value", _key(status.speed) if _key(status.speed) in self._keys[speeds.id] else "other")
        if player is not None:
            self._prop(self._slider, "max", player.length_s)
            if self._hands_off:
                self._hands_off -= 1
            else:
                self._prop(self._slider, "value", player.position_s)
            self._prop(self._slider, "aria-valuetext", now)

    def _toggle(self) -> None:
        if self.host.run.status.state in ("running", "starting"):
            self.host.pause()
        else:
            self.host.resume()
        self.update()

    def _moved(self, event: GenericEventArguments) -> None:
        if isinstance(event.args, int | float):
            self._hands_off = _HANDS_OFF
            # What is sent next must not move it back under the hand.
            self._shown[self._slider.id, "value"] = self._slider.props["value"] = event.args
            self.host.seek(float(event.args))
            self.update()

    def _set(self, element: Any, name: str, value: Any) -> None:
        if getattr(element, name) != value:
            setattr(element, name, value)

    def _prop(self, element: ui.element, name: str, value: Any) -> None:
        if self._shown.get((element.id, name)) != value:
            self._shown[element.id, name] = value
            element.props[name] = value
            element.update()


def clock_text(at: datetime) -> str:
    """A local time as the page writes it."""
    return f"{at:%a} {at.day} {at:%b %H:%M:%S}"


def _button(text: str, label: str, action: Callable[[], object]) -> ui.button:
    button = ui.button(text, color=None, on_click=lambda: action()).props("outline no-caps")
    return _name(button, f"{text}: {label}")


def _name(element: E, label: str) -> E:
    """Gives an element its accessible name."""
    element.props["aria-label"] = label
    return element


def _key(speed: float | None) -> str:
    return "fastest" if speed is None else f"{speed:g}"


def _pace(speed: float | None, played: bool) -> str:
    if speed is None:
        return "as fast as it goes"
    return f"{speed / 60:g} min a second" if played else f"{speed:,g} times as fast as life"
