"""A day as its user meets it, from cold start to report: Slovenia as it grows with the chargers, others as they ship.

    python -m benchmarks.day [35 100 300] [--repeat 3]
    python -m benchmarks.day --scenario greece [--repeat 3]

Each line is a process of its own (`run.py`, embedded server included): wall time, CPU time and the highest memory of
the process and its children together, a shared page counted once, in MB of 10^6 bytes. 35 chargers are the
Slovenian scenario that ships; for other numbers there are more or fewer households, and a transformer of a size that
the operator would have put there. Other scenarios are taken as they ship. Linux only (`/proc`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

PROJECT = Path(__file__).resolve().parent.parent
SHIPPED = 35
OFFICE = 5
TRANSFORMERS = {60: None, 150: "0.4 MVA 20/0.4 kV Dyn5 ASEA", 400: "0.63 MVA 20/0.4 kV Dyn5 ASEA"}
"""Up to so many chargers, this transformer; None is the network's own of 0.16 MVA."""
SAMPLE_S = 0.1


@dataclass(frozen=True)
class Run:
    """What one run took: seconds, seconds of all cores, MB, and what its summary says."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    agents: int
    messages: int
    chargers: int


def shipped(name: str) -> str:
    """A scenario as it ships."""
    return (PROJECT / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")


def scenario(chargers: int) -> str:
    """The shipped scenario with so many chargers: those at the office stay, the households are changed."""
    text = shipped("slovenia")
    if chargers == SHIPPED:
        return text
    first = round((chargers - OFFICE) * 16 / 30)
    transformer = next(name for most, name in TRANSFORMERS.items() if chargers <= most)
    changes = [("chargers = 16", f"chargers = {first}"), ("chargers = 14", f"chargers = {chargers - OFFICE - first}")]
    if transformer:
        changes.append(('network = "rural2"', f'network = "rural2"\ntransformer = "{transformer}"'))
    for old, new in changes:
        text, found = re.subn(re.escape(old), new, text)
        assert found == 1, f"slovenia.toml has changed: {old!r} is in it {found} times"
    return text


def run(text: str, folder: Path) -> Run:
    """Runs the day of this scenario in a process of its own."""
    file, out = folder / f"day-{time.monotonic_ns()}.toml", folder / f"out-{time.monotonic_ns()}"
    file.write_text(text, encoding="utf-8")
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "run.py", str(file), "--quiet", "--out", str(out)], cwd=PROJECT)
    peak_kb = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak_kb = max(peak_kb, memory_kb(process.pid))
        time.sleep(SAMPLE_S)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the day ended with exit code {process.returncode}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    cpu_s = usage.ru_utime + usage.ru_stime
    columns = pyarrow.parquet.read_schema(out / "series.parquet").names
    chargers = sum(name.startswith("soc_percent:") for name in columns)
    return Run(wall_s, cpu_s, peak_kb * 1024 / 1e6, summary["agents"], summary["messages"], chargers)


def memory_kb(pid: int) -> int:
    """Memory of a process and its children; a page that several share counts once (proportional set size)."""
    try:
        found = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return (int(found[1]) if found else 0) + sum(memory_kb(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chargers", type=int, nargs="*", default=[30, SHIPPED, 100, 300])
    parser.add_argument("--scenario", default="slovenia", help="a scenario that ships (default: slovenia)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the table has their medians")
    options = parser.parse_args()
    print("| chargers | agents | messages | wall | CPU | peak memory |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for chargers in options.chargers if options.scenario == "slovenia" else [0]:
            text = scenario(chargers) if chargers else shipped(options.scenario)
            runs = [run(text, Path(folder)) for _ in range(options.repeat)]
            wall_s = statistics.median(run.wall_s for run in runs)
            cpu_s = statistics.median(run.cpu_s for run in runs)
            peak_mb = statistics.median(run.peak_mb for run in runs)
            size = f"| {chargers or runs[0].chargers} | {runs[0].agents} | {runs[0].messages} "
            print(f"{size}| {wall_s:.1f} s | {cpu_s:.1f} s | {peak_mb:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
