"""The page's process from inside: the run that is watched, the lines from and to the swarm, the clock that moves it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from environment.page.playback import Playback
from environment.run_folder import SUMMARY
from environment.watched.run import Status, WatchedRun

log = logging.getLogger("gridparley.page")

TICK_S = 0.25
BEHIND_S = 0.01
"""Between two steps of reading while more is there to be read."""
BUDGET = 1500
"""Lines in one step: some 20 ms of one core, so that no browser waits for long."""
MOST_LINE = 65_536


class SettingsError(ValueError):
    """A first line that is none; one line says what is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the first line says."""

    folder: Path
    live: bool
    address: str
    port: int
    token: str | None
    title: str

    @classmethod
    def read(cls, line: str | bytes) -> Self:
        """Raises SettingsError."""
        try:
            told = json.loads(line)
        except ValueError as reason:
            raise SettingsError(f"settings: not JSON ({reason})") from None
        if not isinstance(told, dict):
            raise SettingsError("settings: not an object")
        folder, live, address, port, token, title = (
            told.get(name) for name in ("folder", "live", "address", "port", "token", "title")
        )
        if not (
            isinstance(folder, str)
            and isinstance(live, bool)
            and isinstance(address, str)
            and isinstance(port, int)
            and not isinstance(port, bool)
            and 0 <= port <= 65_535
            and (token is None or (isinstance(token, str) and token))
            and isinstance(title, str)
        ):
            raise SettingsError("settings: a member is missing, or not of its type")
        return cls(Path(folder), live, address, port, token, title)


class Model(Protocol):
    """What is made from the run and follows it."""

    def refresh(self) -> object: ...


M = TypeVar("M")


class Host:
    """One watched run and everybody who looks at it. `say` sends a line to the swarm.

    `playback` is there once the run is over. `is_led`: a swarm obeys the clock's buttons. `is_behind`: more is there
    to be read.
    """

    def __init__(self, settings: Settings, say: Callable[[Mapping[str, Any]], None]) -> None:
        self.settings = settings
        self.run = WatchedRun(settings.folder, live=settings.live, title=settings.title)
        self.playback: Playback | None = None
        self.is_led = False
        self._say = say
        self._models: dict[type[Any], Any] = {}
        self.is_behind = True
        if not settings.live:
            self._play_back()

    def model(self, kind: Callable[[WatchedRun], M]) -> M:
        """The one instance of a model for all who look."""
        key: Any = kind
        if key not in self._models:
            self._models[key] = kind(self.run)
        found: M = self._models[key]
        return found

    # ---- time passes

    async def watch(self) -> None:
        """Reads on as long as the process lives."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            now = loop.time()
            self.tick(now - before)
            before = now
            await asyncio.sleep(BEHIND_S if self.is_behind else TICK_S)

    def tick(self, wall_s: float) -> None:
        """Reads on a bounded step, and moves the playback by the wall time that has passed.

        What of the run's files nobody has foreseen is said once, and the page goes on.
        """
        try:
            self.is_behind = self.run.refresh(BUDGET)
        except Exception as error:
            self.is_behind = False
            fault = f"Something of this run cannot be read ({type(error).__name__}: {error})."
            if fault not in self.run.notices:
                log.error("%s", fault, exc_info=error)
                self.run.notice(fault)
        if self.run.live and not self.is_led and (self.settings.folder / SUMMARY).exists() and not self.is_behind:
            self._told_status({"state": "ended"})
        if self.playback is not None and not self.is_behind:
            self.playback.advance(wall_s)
            self._tell_playback()

    def _play_back(self) -> None:
        """The run is over: it is shown at its end, and can be played back from there on."""
        self.playback = Playback(self.run)
        self._tell_playback()

    def _tell_playback(self) -> None:
        """Says the playback's state as a swarm would say its own."""
        assert self.playback is not None
        playing, failed = self.playback.playing, self.run.status.state == "failed"
        ended = "failed" if failed else "ended"
        state = "running" if playing else ended if self.playback.is_at_end else "paused"
        if failed and state == "paused":
            state = "failed"
        speed = self.playback.minutes_per_s * 60
        self.run.tell(replace(self.run.status, state=state, speed=speed, at=None, messages=self.run.messages))

    # ---- the swarm

    def told(self, line: bytes) -> None:
        """A line of the swarm. One that is none is left out: the page goes on."""
        try:
            told = json.loads(line)
        except ValueError:
            return
        if not isinstance(told, dict):
            return
        if isinstance(told.get("notice"), str):
            self.run.notice(told["notice"])
        if isinstance(told.get("status"), dict) and self.playback is None:
            self._told_status(told["status"])

    def _told_status(self, members: Mapping[str, Any]) -> None:
        status: Status = self.run.status.told(members)
        self.is_led = self.is_led or "at" in members
        self.run.tell(status)
        if status.state in ("ended", "failed"):
            self._play_back()

    # ---- the clock's buttons

    def pause(self) -> None:
        if self.playback is None:
            self._say({"pause": True})
        else:
            self.playback.pause()
            self._tell_playback()

    def resume(self) -> None:
        if self.playback is None:
            self._say({"resume": True})
        else:
            self.playback.play()
            self._tell_playback()

    def set_speed(self, speed: float | None) -> None:
        """`speed`: times wall time, None for as fast as it goes."""
        if self.playback is None:
            self._say({"speed": speed})
        elif speed is not None:
            self.playback.set_speed(speed / 60)
            self._tell_playback()

    def step(self, span: timedelta) -> None:
        if self.playback is None:
            self._say({"step_s": int(span.total_seconds())})
        else:
            self.playback.step(span)
            self._tell_playback()

    def step_message(self) -> None:
        if self.playback is None:
            self._say({"step_messages": 1})
        else:
            self.playback.step_message()
            self._tell_playback()

    def seek(self, seconds: float) -> None:
        """Playback only: shows a moment, so many seconds from the beginning."""
        if self.playback is not None:
            self.playback.seek(seconds)
            self._tell_playback()


class Lines:
    """Writes a JSON object a line to a pipe, and never waits: a line that does not fit is left out."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self, line: Mapping[str, Any]) -> None:
        with suppress(OSError):
            os.write(self._pipe, json.dumps(line).encode() + b"\n")
