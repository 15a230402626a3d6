"""How a run is made, as the command line says it: checked as a whole before anything is built, started or written."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_PORT = 65_535
LOOPBACK = "127.0.0.1"

OTHER_PORT = "give another port, or none for a free one"


class OptionsError(ValueError):
    """Options that cannot be followed, one line for each: which, what is wrong, what to give."""


@dataclass(frozen=True)
class Options:
    """How to run: `speed` None is virtual time, `wire` puts every message on the server. `server` is HOST[:PORT] of a
    server that has the accounts in the file `accounts`; without it one is embedded, on `port` (None: a free one), which
    also lets in the accounts in the file `admit`. `base` is where the scenario's relative paths start. On the port
    `driver_page` (0: a free one) a person can be a driver; None: nobody is."""

    out: Path
    speed: float | None = None
    wire: bool = False
    server: str | None = None
    port: int | None = None
    accounts: Path | None = None
    admit: Path | None = None
    ca: Path | None = None
    ledger_url: str | None = None
    base: Path | None = None
    driver_page: int | None = None

    def check(self) -> None:
        """Raises OptionsError for numbers that cannot be, and for options that contradict each other."""
        if faults := list(self._faults()):
            raise OptionsError("\n".join(faults))

    def _faults(self) -> Iterator[str]:
        if self.speed is not None and not (self.speed > 0 and math.isfinite(self.speed)):
            yield (
                f"--speed {self.speed:g}: time must pass; give a number above 0 (60 makes a day last 24 minutes), "
                "or leave it out for a run as fast as it goes"
            )
        if self.port is not None and not 0 <= self.port <= MOST_PORT:
            yield f"--port {self.port}: is no port; give one up to {MOST_PORT}, or leave it out for a free one"
        if self.driver_page is not None:
            if not 0 <= self.driver_page <= MOST_PORT:
                yield f"--driver-page {self.driver_page}: is no port; give one up to {MOST_PORT}, 0 for a free one"
            elif (why := _taken(self.driver_page)) is not None:
                yield f"--driver-page {self.driver_page}: cannot be served there: {why}; {OTHER_PORT}"
            if self.speed is None:
                yield "--driver-page: needs time that passes; give --speed as well (60 makes an hour last a minute)"
        if self.server is None:
            if self.ca is not None:
                yield "--ca: the embedded server has its own authority; give --server HOST as well, or leave it out"
            return
        if self.port is not None:
            yield f"--port {self.port}: is the embedded server's; write --server HOST:PORT"
        if self.admit is not None:
            yield "--admit: is the embedded server's; make the account on the server that --server names"


def _taken(port: int) -> str | None:
    """Why nothing can listen on that port of this machine, so that no run is begun in vain; None where it can."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        try:
            trial.bind((LOOPBACK, port))
            trial.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None
