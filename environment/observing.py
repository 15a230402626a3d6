"""`run.py observe`: a run as it is negotiated, line by line, seen through a second implementation of XMPP.

What it prints was carried by an XMPP server and read by aioxmpp, which knows nothing of SPADE and slixmpp.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment.access import AccountsError, read_accounts, server_address
from environment.out_folder import ACCESS, is_going_on

"""In a run's folder of the server, while the run lasts: where clients find the server."""
RUNS = Path("runs")
PASSWORD = "GRIDPARLEY_PASSWORD"
USE_CASES = range(1, 8)
VIAS = ("chat", "room", "pubsub")
_JID = re.compile(r"[^@/\s]+@([^@/\s]+)(?:/\S+)?")


class ObserveError(RuntimeError):
    """Nothing can be seen, or nothing more: one line says where, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """An account, and the one endpoint at which it logs in. `ca` None: the system's authorities."""

    jid: str
    password: str
    host: str
    port: int
    ca: Path | None

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def domain(self) -> str:
        return self.jid.partition("@")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to watch (numbers of use cases, none: all), by which way, and whether as lines of the trace."""

    use_cases: tuple[int, ...]
    via: str
    as_json: bool

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(f"buc{number}" for number in self.use_cases) or ("all",)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line of `run.py observe`."""
    parser.description = "Shows a run as it is negotiated, over XMPP. Ends with the run, or by Ctrl-C."
    parser.add_argument("jid", metavar="JID", help="your own account, such as anna@localhost")
    parser.add_argument("--run", type=Path, metavar="DIR", help="the run's folder (default: the newest that runs)")
    parser.add_argument("--server", metavar="HOST[:PORT]", help="the XMPP server (default: the run's own)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the CA of its certificate (default: the run's)")
    parser.add_argument(
        "--accounts", type=Path, metavar="FILE", help=f"TOML, jid = password (default: {PASSWORD}, or you are asked)"
    )
    parser.add_argument(
        "--buc",
        type=int,
        nargs="+",
        choices=USE_CASES,
        default=[],
        metavar="N",
        help="use cases, 1 to 7 (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="a line of the trace for each message")
    parser.add_argument("--via", choices=VIAS, default="chat", help="chat with the observer (default), rooms, or nodes")


def observe(options: argparse.Namespace) -> int:
    """Prints what is said until the run ends. 0: it has ended, or Ctrl-C; 3: one line says why it could not go on."""
    try:
        if options.json and options.via == "room":
            raise ObserveError("--json: a room has lines for people; give --via chat or --via pubsub")
        login = _login(options)
        wish = Wish(tuple(sorted(set(options.buc))), options.via, options.json)
        watch = _client()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what aioxmpp does with later versions of Python is not the user's affair
            print(asyncio.run(watch(login, wish, _show, _tell)), file=sys.stderr if wish.as_json else sys.stdout)
    except KeyboardInterrupt:
        return 0
    except (ObserveError, AccountsError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 3
    return 0


def _client() -> Any:
    """aioxmpp's part. Raises ObserveError where that cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from environment.observing_client import watch
    except ImportError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ObserveError(
            f"observe needs aioxmpp, which is not installed for Python {version} ({error}): use Python 3.11 or 3.12,"
            " or watch with any chat program (docs/watching.md)"
        ) from None
    return watch


def _show(line: str) -> None:
    print(line, flush=True)


def _tell(line: str) -> None:
    print(f"run.py: {line}", file=sys.stderr, flush=True)


def _login(options: argparse.Namespace) -> Login:
    found = _JID.fullmatch(options.jid)
    if found is None:
        raise ObserveError(f"{options.jid}: is no account; give yours, such as anna@localhost")
    domain = found.group(1)
    if options.server is not None:
        host, port = server_address(options.server)
        return Login(options.jid, _password(options, None), host, port, _certificate(options.ca))
    file = _access_file(options.run)
    try:
        access = json.loads(file.read_text(encoding="utf-8"))
        host, port, its_domain = str(access["host"]), int(access["port"]), str(access["domain"])
        ca = access.get("ca")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ObserveError(
            f"{file}: does not say where the run's server is ({error!r}): give --server HOST:PORT"
        ) from None
    if domain != its_domain:
        raise ObserveError(
            f"{options.jid}: this run's server is that of {its_domain}; give an account of it, or --server"
        )
    return Login(options.jid, _password(options, access.get("admit")), host, port, _certificate(options.ca or ca))


def _access_file(folder: Path | None) -> Path:
    """Where the run in this folder, or else the one begun last, says how its server is reached."""
    if folder is not None:
        if not folder.is_dir():
            raise ObserveError(f"--run {folder}: there is no such folder")
        if not is_going_on(folder):
            raise ObserveError(f"--run {folder}: no run is going on there; start it, or give --server HOST:PORT")
        return folder / ACCESS
    begun: list[tuple[float, Path]] = []
    for file in RUNS.glob(f"*/{ACCESS}"):
        with suppress(OSError):  # a run that ends meanwhile takes it away
            begun.append((file.stat().st_mtime, file))
    going_on = [file for _, file in sorted(begun) if is_going_on(file.parents[1])]
    if not going_on:
        raise ObserveError(f"no run is going on in {RUNS}/: start one with --admit FILE, or give --run or --server")
    return going_on[-1]


def _certificate(ca: str | Path | None) -> Path | None:
    if ca is None:
        return None
    if not Path(ca).is_file():
        raise ObserveError(f"{ca}: is no certificate authority's file; give its PEM file with --ca")
    return Path(ca)


def _password(options: argparse.Namespace, admitted: str | None) -> str:
    """That of the accounts file, else of the file that the run admits by, else of the environment, else asked for."""
    jid = options.jid.partition("/")[0]
    if options.accounts is not None:
        accounts = read_accounts(options.accounts)
        if jid not in accounts:
            raise ObserveError(f"accounts {options.accounts}: has no password for {jid}")
        return accounts[jid]
    if admitted is not None and os.access(admitted, os.R_OK):
        accounts = read_accounts(Path(admitted))
        if jid in accounts:
            return accounts[jid]
    if password := os.environ.get(PASSWORD):
        return password
    if not sys.stdin.isatty():
        raise ObserveError(f"there is no password for {jid}: give --accounts FILE, or set {PASSWORD}")
    try:
        password = getpass.getpass(f"Password of {jid}: ")
    except EOFError:
        password = ""
    if not password:
        raise ObserveError(f"there is no password for {jid}")
    return password
