"""What watching costs: a demonstrator's day without anybody, and with the observer's chat, the page and ten watchers.

    python -m benchmarks.watching [--scenario greece] [--repeat 3]

Each run is a process of its own, from its start to its report; the two kinds take turns, so that what else the machine
does falls on both. Watched means: ten chat clients in one more process write `watch all` to the observer, the page
is served and open in a headless Chromium, and time passes as fast as it goes. All of it runs on this machine. The CPU
time is that of the swarm's process alone, without server, page, browser and watchers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from environment import launcher, scenario
from environment.access import read_accounts
from environment.options import Options
from environment.out_folder import ACCESS
from environment.server import client_tls
from protocols.telling import ENDED

PROJECT = Path(__file__).resolve().parent.parent
WATCHERS = 10
DAY = ("-m", "benchmarks.watching", "--day")
AUDIENCE = ("-m", "benchmarks.watching", "--audience")
LOOK_S = 0.1
AGAIN_S = 0.5
LEAVE_S = 60.0
AS_RUN_PY = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


@dataclass(frozen=True)
class Run:
    """What one run took in s, the CPU time of the swarm's process, its messages, and what each watcher was shown."""

    wall_s: float
    cpu_s: float
    messages: int
    shown: list[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", default="slovenia", help="a scenario's name, or the path of a TOML file")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each kind; the table has their medians")
    for inside in ("--day", "--audience"):
        parser.add_argument(inside, nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.day is not None:
        day(options.scenario, *options.day)
    elif options.audience is not None:
        asyncio.run(audience(*options.audience))
    else:
        compare(options.scenario, options.repeat)


def compare(name: str, repeat: int) -> None:
    """Prints the medians of both kinds, and their ratio."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        print("There is no Chromium on this machine: the page is served, and nobody opens it.", flush=True)
    alone, watched = [], []
    for _ in range(repeat):
        alone.append(run(name, False, None))
        watched.append(run(name, True, browser))
    shown = [lines for each in watched for lines in each.shown]
    print("| scenario | messages | unwatched | watched | ratio | CPU of the swarm | ratio | shown to a watcher |")
    print("|---|---|---|---|---|---|---|---|")
    wall = [statistics.median(each.wall_s for each in runs) for runs in (alone, watched)]
    cpu = [statistics.median(each.cpu_s for each in runs) for runs in (alone, watched)]
    print(
        f"| {name} | {watched[0].messages} | {wall[0]:.1f} s | {wall[1]:.1f} s | {wall[1] / wall[0]:.2f} "
        f"| {cpu[0]:.1f} and {cpu[1]:.1f} s | {cpu[1] / cpu[0]:.2f} | {min(shown)} to {max(shown)} |"
    )


def run(name: str, watched: bool, browser: str | None) -> Run:
    """One day in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        admit = folder / "admit.toml"
        if watched:
            admit.write_text("".join(f'"watcher{n}@localhost" = "watching {n}"\n' for n in range(WATCHERS)))
        out = folder / "run"
        began = time.perf_counter()
        process = subprocess.Popen(
            (sys.executable, *DAY, str(out), str(admit), "--scenario", name),
            cwd=PROJECT,
            env=os.environ | AS_RUN_PY,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        watchers = None
        if watched:
            command = (sys.executable, *AUDIENCE, str(out), str(admit))
            watchers = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
            address = json.loads(process.stdout.readline())["page"]
            if browser is not None:
                stack.enter_context(opened(browser, address, folder / "profile"))
        last = process.stdout.readline()
        wall_s = time.perf_counter() - began
        process.stdout.close()
        if process.wait() or not last:
            sys.exit(f"the day ended with exit code {process.returncode}")
        shown = json.loads(watchers.communicate(timeout=LEAVE_S)[0]) if watchers is not None else []
        return Run(wall_s, **json.loads(last), shown=shown)


@contextmanager
def opened(browser: str, address: str, profile: Path) -> Iterator[None]:
    """The page in a browser without a screen."""
    # no-sandbox: a container's root may not make one; the only page that is opened is our own
    switches = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0")
    process = subprocess.Popen(
        (browser, *switches, f"--user-data-dir={profile}", address),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def day(name: str, out: Path, admit: Path) -> None:
    """Runs the day; watched where somebody is admitted. Says where the page is, and that it is over."""

    class Telling:
        def watching(self, address: str) -> None:
            print(json.dumps({"page": address}), flush=True)

        def chatting(self, observer: str) -> None: ...

        def say(self, line: str) -> None: ...

        def stage(self, text: str) -> None: ...

        def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

        def serving(self, address: str) -> None: ...

        def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None: ...

    source = Path(name)
    options = Options(out=out, base=source.parent if source.suffix == ".toml" else scenario.SCENARIOS)
    watched = admit.exists()
    if watched:
        options = Options(out=out, base=options.base, admit=admit, web=0)
    done = launcher.launch(scenario.load(name), options, Telling())
    print(json.dumps({"messages": done.summary["messages"], "cpu_s": time.process_time()}), flush=True)
    if done.page is not None:
        done.page.stop()


async def audience(out: Path, admit: Path) -> None:
    """Ten people in a chat with the observer, until the run ends; prints how many messages each was shown."""
    file = out / ACCESS
    access: dict[str, Any] = {}
    while not access:
        await asyncio.sleep(LOOK_S)
        if file.is_file():
            access = json.loads(file.read_text() or "{}")
    tls = client_tls(Path(access["ca"]))
    shown = await asyncio.gather(*(watch(jid, word, access, tls) for jid, word in read_accounts(admit).items()))
    print(json.dumps(shown))


async def watch(jid: str, password: str, access: dict[str, Any], tls: Any) -> int:
    """One of them: how many lines that begin with a time of day it got."""
    from slixmpp import ClientXMPP

    client = ClientXMPP(jid, password, ssl_context=tls)
    client.enable_direct_tls = False
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    lines = 0

    def ask() -> None:
        client.send_message(f"observer@{access['domain']}", "watch all", mtype="chat")

    def begin(_: object) -> None:
        client.send_presence()
        ask()

    def end(_: object) -> None:
        if not over.done():
            over.set_result(None)

    def heard(message: Any) -> None:
        nonlocal lines
        if message["type"] == "error":
            loop.call_later(AGAIN_S, ask)
            return
        for line in message["body"].splitlines():
            lines += bool(re.match(r"(?:\w+ )?\d\d:\d\d:\d\d ", line))
            if line.startswith(ENDED):
                end(None)

    client.add_event_handler("session_start", begin)
    client.add_event_handler("message", heard)
    client.add_event_handler("message_error", heard)
    client.add_event_handler("disconnected", end)
    client.connect(access["host"], access["port"])
    await over
    client.abort()
    return lines


if __name__ == "__main__":
    main()
