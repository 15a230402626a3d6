"""The page with 1,000 chargers and 100,000 messages: `python -m benchmarks.page [--messages N] [--chargers N]`.

A small evening is played once and copied until there are so many. Of each view in headless Chromium: how long it takes
until it is there (the first visit builds the models), and, while the run is played back, what comes to the browser over
the websocket, the CPU that the page's process takes, the longest wait of a request of the browser meanwhile, and the
process' memory. Times are wall times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from environment.page.frame import View, views
from environment.page.host import Host, Settings
from tests.chromium import DESKTOP, Served, Visitor
from tests.days import play
from tests.environment.watched.folders import many

PLAYED_S = 8.0
SPEED = "15 min a second"
_QUIET = """
const done = arguments[0], settled = () => requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
settled();
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--chargers", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="a run folder to show, in place of the copies")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder
        if folder is None:
            small = play(Path(name) / "small").folder
            folder = many(Path(name) / "many", small, messages=options.messages, chargers=options.chargers)
        reading(folder)
        showing(folder, Path(name))


def reading(folder: Path) -> None:
    """How long the folder takes to be read, in steps, without a browser."""
    began, busy = time.process_time(), 0.0
    host = Host(Settings(folder, False, "127.0.0.1", 0, None, "Benchmark"), lambda line: None)
    while True:
        before = time.process_time()
        host.tick(0.0)
        busy = max(busy, time.process_time() - before)
        if not host.is_behind:
            break
    whole = time.process_time() - began
    print(f"reading: {len(host.run.trace):,} messages, {whole:.1f} s of CPU, the longest step {busy * 1e3:.0f} ms\n")


def showing(folder: Path, profile: Path) -> None:
    """Each view in a browser."""
    served = Served(folder, title="Benchmark")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}/profile"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    print("| view | first opened | opened again | kB/s while played | server busy | longest wait | memory |")
    print("|---|---|---|---|---|---|---|")
    try:
        for view in views():
            row = _view(chrome, served, view)
            print(f"| {view.TITLE} | " + " | ".join(row) + " |", flush=True)
    finally:
        chrome.quit()
        served.close()
    for line in served.errors[-20:]:
        print(line, end="")


def _view(chrome: webdriver.Chrome, served: Served, view: View) -> list[str]:
    """The figures of one view."""
    opened = []
    for _ in range(3):
        visitor = Visitor(chrome, size=DESKTOP)
        began = time.monotonic()
        visitor.open(served.address.rstrip("/") + view.PATH)
        visitor.wait(partial(_is_there, visitor, view))
        chrome.execute_async_script(_QUIET)
        opened.append(time.monotonic() - began)
    visitor.find(".frame-bar button").click()  # from the beginning, a quarter of an hour a second
    visitor.wait(lambda: "running" in visitor.text(".frame-state"))
    visitor.log("performance")
    busy, began, waits = _cpu_s(served.process.pid), time.monotonic(), []
    while time.monotonic() - began < PLAYED_S:
        asked = time.monotonic()
        chrome.execute_async_script("const done = arguments[0]; fetch('/favicon.ico').then(() => done(true));")
        waits.append(time.monotonic() - asked)
        time.sleep(0.1)
    played = time.monotonic() - began
    busy = _cpu_s(served.process.pid) - busy
    sent = _received(visitor) / played / 1000
    visitor.find(".frame-bar button").click()
    visitor.wait(lambda: "running" not in visitor.text(".frame-state"))
    return [
        f"{opened[0]:.1f} s",
        f"{median(opened[1:]):.1f} s",
        f"{sent:.0f}",
        f"{busy / played:.0%}",
        f"{max(waits) * 1e3:.0f} ms",
        f"{_memory_mb(served.process.pid):.0f} MB",
    ]


def _is_there(visitor: Visitor, view: View) -> bool:
    return visitor.heading == view.TITLE and "messages" in visitor.text(".frame-now")


def _received(visitor: Visitor) -> int:
    """Bytes that the browser took from its websocket since the log was last read."""
    total = 0
    for line in visitor.log("performance"):
        event = json.loads(line["message"])["message"]
        if event["method"] == "Network.webSocketFrameReceived":
            total += len(event["params"]["response"]["payloadData"])
    return total


def _cpu_s(pid: int) -> float:
    """CPU time of a process, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1000


if __name__ == "__main__":
    main()
