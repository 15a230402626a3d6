"""The clock of a run that is over: plays it back from any moment, so many minutes of the run a second."""

from __future__ import annotations

from datetime import datetime, timedelta

from environment.watched.run import WatchedRun

SPEEDS = (1.0, 5.0, 15.0, 60.0)
"""Minutes of the run in a second of the wall."""
USUAL = 15.0


class Playback:
    """Where a finished run is shown. It moves `run` itself; `minutes_per_s` says how fast while it is `playing`."""

    def __init__(self, run: WatchedRun, *, minutes_per_s: float = USUAL) -> None:
        self.run = run
        self.minutes_per_s = minutes_per_s
        self.playing = False

    @property
    def length_s(self) -> int:
        """How long the run is, in whole seconds of scenario time, the last one begun."""
        if self.run.begins is None or self.run.ends is None:
            return 0
        return -((self.run.begins - self.run.ends) // timedelta(seconds=1))

    @property
    def position_s(self) -> int:
        """The moment that is shown, in whole seconds from the beginning."""
        if self.run.begins is None or self.run.at is None:
            return 0
        return int((self.run.at - self.run.begins).total_seconds())

    @property
    def is_at_end(self) -> bool:
        return self.run.at is not None and self.run.ends is not None and self.run.at >= self.run.ends

    def play(self) -> None:
        """Plays on; from the beginning where the end is reached."""
        if self.is_at_end:
            self.seek(0)
        self.playing = True

    def pause(self) -> None:
        """Stays at this moment."""
        self.playing = False

    def set_speed(self, minutes_per_s: float) -> None:
        self.minutes_per_s = minutes_per_s

    def seek(self, seconds: float) -> None:
        """Shows a moment, so many seconds from the beginning."""
        if self.run.begins is not None:
            self._show(self.run.begins + timedelta(seconds=seconds))

    def step(self, span: timedelta) -> None:
        """Shows what is so much later, and stays there."""
        self.pause()
        if self.run.at is not None:
            self._show(self.run.at + span)

    def step_message(self) -> None:
        """Shows the moment of the next message, and stays there."""
        self.pause()
        if self.run.messages < len(self.run.trace):
            self._show(self.run.trace[self.run.messages].at)

    def advance(self, wall_s: float) -> None:
        """So much wall time has passed."""
        if not self.playing or self.run.at is None:
            return
        self._show(self.run.at + timedelta(minutes=self.minutes_per_s * wall_s))
        if self.is_at_end:
            self.playing = False

    def _show(self, at: datetime) -> None:
        if self.run.begins is not None and self.run.ends is not None:
            self.run.show_at(min(max(at, self.run.begins), self.run.ends))
