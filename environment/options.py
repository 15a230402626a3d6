"""How a run is made, as the command line says it: checked as a whole before anything is built, started or written."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_PORT = 65_535
LOOPBACK = "127.0.0.1"
WEB_SPEED = 300.0
"""With the page and without --pace and --speed, time passes so many times as fast as life at first."""
OUTSIDE_SPEED = 60.0
"""With actors outside and without --speed, time passes so many times as fast as life."""
OUTSIDE_WAIT_S = 120.0

OTHER_PORT = "give another port, or none for a free one"
_JID_OR_DOMAIN = re.compile(r"(?:[^@/\s]+@)?[^@/\s]+")


class OptionsError(ValueError):
    """Options that cannot be followed, one line for each: which, what is wrong, what to give."""


@dataclass(frozen=True)
class Options:
    """How to run: `speed` None is virtual time, `wire` puts every message on the server. `server` is HOST[:PORT] of a
    server that has the accounts in the file `accounts`; without it one is embedded, on `port` (None: a free one), which
    also lets in the accounts in the file `admit`. `base` is where the scenario's relative paths start. On the port
    `driver_page` (0: a free one) a person can be a driver; None: nobody is. On the port `web` (0: a free one) of the
    address `web_host` a page shows the run. `pace`: virtual time passes so many times as fast as life, at first where
    there is a page (None: as fast as it goes); the run is the same at every pace. `watchers` are the JIDs, or domains,
    on the server that may chat with the observer; on the embedded one all in `admit` may. `outside` are the actors that
    somebody else's system plays, NAME or NAME=JID, who have `outside_wait_s` of the wall to register; scenario time
    then keeps to a pace, and waits while the swarm itself is busy."""

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
    web: int | None = None
    web_host: str = LOOPBACK
    pace: float | None = None
    watchers: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    outside_wait_s: float = OUTSIDE_WAIT_S

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
        if self.pace is not None:
            if not (self.pace > 0 and math.isfinite(self.pace)):
                yield f"--pace {self.pace:g}: give a number above 0 (60 makes a day last 24 minutes), or leave it out"
            if self.outside:
                yield "--pace: with --outside it is --speed that says how fast time passes; give that"
            elif self.speed is not None:
                yield "--pace: --speed, or the driver's page, says how fast time passes; leave one of them out"
        if self.port is not None and not 0 <= self.port <= MOST_PORT:
            yield f"--port {self.port}: is no port; give one up to {MOST_PORT}, or leave it out for a free one"
        if self.driver_page is not None:
            if not 0 <= self.driver_page <= MOST_PORT:
                yield f"--driver-page {self.driver_page}: is no port; give one up to {MOST_PORT}, 0 for a free one"
            elif (why := _taken(self.driver_page)) is not None:
                yield f"--driver-page {self.driver_page}: cannot be served there: {why}; {OTHER_PORT}"
            if self.speed is None:
                yield "--driver-page: needs time that passes; give --speed as well (60 makes an hour last a minute)"
        yield from self._faults_of_watching()
        yield from self._faults_of_outside()
        if self.server is None:
            if self.ca is not None:
                yield "--ca: the embedded server has its own authority; give --server HOST as well, or leave it out"
            return
        if self.port is not None:
            yield f"--port {self.port}: is the embedded server's; write --server HOST:PORT"
        if self.admit is not None:
            yield "--admit: is the embedded server's; make the account on the server that --server names"

    def _faults_of_outside(self) -> Iterator[str]:
        if not (self.outside_wait_s > 0 and math.isfinite(self.outside_wait_s)):
            yield f"--outside-wait {self.outside_wait_s:g}: give the seconds, above 0, for which to wait"
        if not self.outside:
            return
        if self.server is None and self.admit is None:
            yield "--outside: the embedded server lets in whom --admit FILE names; write the account there and give it"
        if self.driver_page is not None:
            yield "--outside: a run with --driver-page has a person outside already; give one of the two"

    def _faults_of_watching(self) -> Iterator[str]:
        if self.web is not None:
            yield from page_faults(self.web, self.web_host)
            if self.web and self.web == self.driver_page:
                yield f"--web {self.web}: is the port of --driver-page as well; {OTHER_PORT}"
        elif self.web_host != LOOPBACK:
            yield f"--web-host {self.web_host}: is where the page of --web is served; give --web as well"
        for watcher in self.watchers:
            if not _JID_OR_DOMAIN.fullmatch(watcher):
                yield f"--watcher {watcher}: is no JID; give name@domain, or a domain for everybody there"
        if self.watchers and self.server is None:
            yield "--watcher: the embedded server lets in whom --admit FILE names, and they may watch; give that"


def page_faults(port: int, host: str) -> Iterator[str]:
    """Why the page cannot be served at that port and address of this machine: a line, or none."""
    if not 0 <= port <= MOST_PORT:
        yield f"--web {port}: is no port; give one up to {MOST_PORT}, 0 for a free one"
    elif not _is_address(host):
        yield f"--web-host {host}: is no IP address; give one of this machine, or 0.0.0.0 for all of them"
    elif (why := _taken(port, host)) is not None:
        yield f"--web {port}: cannot be served at {host}: {why}; give another port, or an address of this machine"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _taken(port: int, host: str = LOOPBACK) -> str | None:
    """Why nothing can listen on that port of this machine, so that no run is begun in vain; None where it can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None
