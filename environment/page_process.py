"""The page that shows a run is a process of its own; this is the swarm's side of it.

Two pipes carry one JSON object a line: settings, then the run's state and its notices to the page; from it what its
buttons ask of the clock. The swarm never waits for the page: what does not fit into a pipe is left out, and of what the
page says a little is read at a time. When the page's process ends, the run goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from environment.pace import Paced, PaceError
from environment.page.guard import is_loopback

START_S = 60.0
"""Wall seconds that the page may take to come up on a busy machine."""
STOP_S = 5.0
NICENESS = 10
COMMAND = (sys.executable, "-m", "environment.page")
_GONE_S = 0.2
"""Wall seconds that a page which says nothing more has to be gone."""
_LOOK_S = 0.05
_LOOKS_A_STATUS = 5
_READ = 4096
"""Bytes that are read of the page at a time, so that one which talks without end costs next to nothing."""
_LINE = 4096
"""Bytes of a line to the page: a pipe takes so many whole or not at all (PIPE_BUF)."""
_NOTICES = 200
_NOTICE = 300
"""Characters of a notice, each of which may take twelve bytes in JSON."""
_STAY_S = 0.2
_LATE = f"the page has not come up in {START_S:g} s: try again when the machine is less busy"
_LONGEST_STEP_S = 366 * 86_400.0


class PageError(RuntimeError):
    """A page that cannot be shown, in one line."""


class PageProcess:
    """The process that serves the page of one run folder, `live` while the run lasts. Raises PageError.

    `tell` is given a line for the user. Where `address` is not of this machine alone, whoever opens the page needs a
    token, which is part of `url`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        live: bool,
        address: str,
        port: int,
        title: str,
        tell: Callable[[str], None],
        command: Sequence[str] | None = None,
    ) -> None:
        self.url = ""
        self.tell = tell
        self._token = None if is_loopback(address) else secrets.token_urlsafe(24)
        self._clock: Paced | None = None
        self._about: Callable[[], dict[str, Any]] = dict
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._heard = b""
        self._nonsense = False
        self._status: dict[str, Any] = {"state": "starting"}
        self._unsent = False
        self._notices: deque[str] = deque()
        self._dropped = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (`stop` closes it)
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command or COMMAND,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,  # Ctrl-C must end the swarm first
            )
        except OSError as error:
            self._errors.close()
            raise PageError(f"the page cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._to, self._from):
            os.set_blocking(pipe, False)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        self._write(
            {
                "folder": str(folder.absolute()),
                "live": live,
                "address": address,
                "port": port,
                "token": self._token,
                "title": title,
            }
        )

    async def ready(self) -> str:
        """Waits until the page can be opened, and tells where. Raises PageError."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._from, heard.set)
        try:
            async with asyncio.timeout(START_S):
                while not self._came_up():
                    heard.clear()
                    await heard.wait()
        except TimeoutError:
            raise PageError(_LATE) from None
        finally:
            loop.remove_reader(self._from)
        return self.url

    def wait_ready(self) -> str:
        """As `ready`, where no loop runs."""
        until = time.monotonic() + START_S
        while not self._came_up():
            if not select.select([self._from], [], [], max(0.0, until - time.monotonic()))[0]:
                raise PageError(_LATE)
        return self.url

    def _came_up(self) -> bool:
        """Whether it has said where it is."""
        alive = self._read()
        line, newline, rest = self._heard.partition(b"\n")
        if not newline:
            if not alive or len(line) > _LINE:
                raise PageError(f"the page cannot be started: {self._last_words()}")
            return False
        self._heard = rest
        answer = _object(line)
        if "ready" not in answer:
            raise PageError(f"the page cannot be served: {answer.get('error') or line.decode(errors='replace')}")
        self.url = str(answer["ready"])
        if self._token is not None and self._token not in self.url:
            self.url += f"?token={self._token}"
        return True

    def attach(self, clock: Paced, about: Callable[[], dict[str, Any]]) -> None:
        """From now on, in the running loop, the page's buttons move the clock, and the page is told the run's state;
        `about` gives what else it says, and is called four times a second."""
        self._clock, self._about = clock, about
        self._look()

    def detach(self) -> None:
        """The loop ends; the page is told once more how things are."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell_status()
        self._clock, self._about = None, dict

    def state(self, state: str) -> None:
        """What the run is: starting, running, ended or failed."""
        self._status["state"] = state
        self._tell_status()

    def stage(self, text: str) -> None:
        """A new stage of the run begins."""
        self._status["stage"] = text
        self._tell_status()

    def notice(self, text: str) -> None:
        """A line that the user is told; of too many at a time the latest are left out and counted."""
        if len(self._notices) < _NOTICES:
            self._notices.append(text)
        else:
            self._dropped += 1

    def stay(self) -> None:
        """Keeps the page until Ctrl-C, or until it ends by itself."""
        try:
            while self._process is not None:
                self._tell_status()
                if not self._read():
                    self._ended()
                self._heard = b""
                time.sleep(_STAY_S)
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends the process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (process := self._process) is None:
            return
        self._process = None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.notice(f"the run has failed: {error}")
            self.state("failed")
        self.stop()

    # ---- in the loop

    def _look(self) -> None:
        """Hears what the page asks for, and tells it the state four times a second. By a wall timer, and not when the
        pipe is readable: a page that talks without end would else keep the virtual clock from ever finding the loop
        idle."""
        alive = self._read()
        self._obey()
        if alive and not self._looks % _LOOKS_A_STATUS:
            alive = self._tell_status()
        if not alive:
            self._ended()
            return
        self._looks += 1
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _obey(self) -> None:
        *lines, self._heard = self._heard.split(b"\n")
        if len(self._heard) > _LINE:
            lines, self._heard = [*lines, self._heard], b""
        for line in lines:
            wish = _object(line)
            try:
                understood = self._clock is not None and _move(self._clock, wish)
            except PaceError as error:
                self.notice(str(error))
            else:
                if not (understood or self._nonsense):
                    self._nonsense = True
                    self.tell("the page has sent what is no word to the clock; it is left out")

    def _tell_status(self) -> bool:
        """Sends the notices and the state. False when nobody is there any more."""
        if self._clock is not None:
            self._status |= {"at": self._clock.now().isoformat(), "speed": self._clock.speed, **self._about()}
        alive: bool | None = True
        while self._notices and alive:
            alive = self._write({"notice": self._notices[0][:_NOTICE]})
            if alive:
                self._notices.popleft()
        if self._dropped and not self._notices:
            self._notices.append(f"{self._dropped} notices could not be shown here; the summary has them")
            self._dropped = 0
        paused = self._clock is not None and self._clock.paused and self._status["state"] == "running"
        return self._write({"status": self._status | ({"state": "paused"} if paused else {})}) is not None

    def _ended(self) -> None:
        """The page's process is no more: the run goes on without it."""
        if self._process is None:
            return
        try:
            self._process.wait(_GONE_S)
        except subprocess.TimeoutExpired:  # it has shut its pipe and lives: the swarm does not wait for that
            self._process.kill()
        why = self._last_words()
        self.stop()
        if self._clock is not None and self._clock.paused:
            self._clock.resume()
        goes_on = "" if self._clock is None else "; the run goes on"
        self.tell(f"the page has ended ({why}){goes_on}")

    # ---- pipes

    def _read(self) -> bool:
        """Takes in a little of what the page says. False when it will say nothing more."""
        if self._process is None:
            return False
        try:
            found = os.read(self._from, _READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard += found
        return bool(found)

    def _write(self, line: dict[str, Any]) -> bool | None:
        """Whether the line was taken, as a whole; None when nobody is there to take one."""
        if self._process is None:
            return None
        try:
            os.write(self._to, json.dumps(line).encode() + b"\n")
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _last_words(self) -> str:
        """What its process wrote at last on standard error."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        end = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, end - _LINE))
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"exit code {self._process.poll()}"


def _move(clock: Paced, wish: dict[str, Any]) -> bool:
    """Does with the clock what the page asks for; False when it is nothing that can be asked for. Raises PaceError."""
    match wish:
        case {"pause": True}:
            clock.pause()
        case {"resume": True}:
            clock.resume()
        case {"speed": int() | float() | None as speed} if not isinstance(speed, bool):
            clock.set_speed(speed)
        case {"step_s": int() | float() as seconds} if 0 < seconds <= _LONGEST_STEP_S:
            clock.step(timedelta(seconds=seconds))
        case {"step_messages": int() as count} if count > 0:
            clock.step_message(count)
        case _:
            return False
    return True


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line; an empty one where there is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
