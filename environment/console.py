"""What a run shows on the terminal: how far it is, and at the end what it came to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from environment.launcher import Done
from environment.page_process import PageProcess
from environment.report.public_sessions import BILLS_ROUNDED_EUR
from environment.run_folder import SUMMARY
from environment.stage import Progress as Listener

_WARNINGS = 8
"""So many are shown; the others stand in the summary."""


BROKEN_KW = 0.01
"""What a station's meter may have above a limit by its rounding."""


class _Quiet:
    """Only errors, and the page's address, without which there is no page."""

    def stage(self, text: str) -> None: ...

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

    def serving(self, address: str) -> None: ...

    def watching(self, address: str) -> None:
        print(f"The run on a page at {address}", flush=True)

    def chatting(self, observer: str) -> None: ...

    def say(self, line: str) -> None:
        print(f"run.py: {line}", file=sys.stderr)

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None: ...


class _Bar:
    """One line: the stage, then scenario time, messages and the transformer as the run goes on.

    Where no terminal shows it (a log, a pipe) each stage is a line of its own.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=1.0, detail="")

    def stage(self, text: str) -> None:
        self._progress.update(self._task, description=text, detail="")
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{text} ...", markup=False, highlight=False)

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        self.say(f"XMPP server at {address}, domain {domain}, its authority in {ca_file}")

    def serving(self, address: str) -> None:
        self.say(f"Driver's page at {address}")

    def watching(self, address: str) -> None:
        self.say(f"The run on a page at {address}")

    def chatting(self, observer: str) -> None:
        self.say(f"The run in a chat: write `help` to {observer}")

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        if at.minute % 15 == 0:
            detail = f"{at:%a %H:%M}  {messages} messages  transformer {loading_percent:.0f} %"
            self._progress.update(self._task, completed=share, detail=detail)


def show(work: Callable[[Listener], Done], *, title: str, quiet: bool) -> Done:
    """Does the work, showing how far it is."""
    if quiet:
        return work(_Quiet())
    console = Console()
    console.print(title, style="bold", markup=False, highlight=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        return work(_Bar(progress))


_CONGESTION = (
    ("peak transformer loading", "peak_trafo_loading_percent", "%", 1),
    ("minutes above 100 %", "minutes_above_100_percent", "min", 0),
    ("energy above the rating", "overload_kwh", "kWh", 1),
    ("lowest voltage", "min_voltage_pu", "pu", 3),
    ("highest voltage", "max_voltage_pu", "pu", 3),
    ("minutes outside EN 50160", "minutes_outside_en50160", "min", 0),
    ("losses", "losses_kwh", "kWh", 1),
    ("peak power of the fleet", "peak_fleet_kw", "kW", 0),
)
_ISLAND = (
    ("wind curtailed", "curtailed_kwh", "kWh", 1),
    ("fuel burnt", "fuel_kg", "kg", 1),
    ("charged", "energy_charged_kwh", "kWh", 1),
    ("lowest frequency", "lowest_frequency_hz", "Hz", 2),
    ("lowest voltage", "min_voltage_pu", "pu", 3),
    ("highest voltage", "max_voltage_pu", "pu", 3),
    ("minutes outside EN 50160", "minutes_outside_en50160", "min", 0),
    ("peak power of the fleet", "peak_fleet_kw", "kW", 0),
)
_CAMPUS = (
    ("peak transformer loading", "peak_trafo_loading_percent", "%", 1),
    ("minutes beyond the limit", "minutes_beyond_limit", "min", 0),
    ("energy beyond the limit", "beyond_limit_kwh", "kWh", 1),
    ("most loaded line", "peak_line_loading_percent", "%", 1),
)
_PUBLIC = (
    ("energy above the lines' limits", "overload_kwh", "kWh", 1),
    ("energy that flowed back through {line}", "reverse_kwh", "kWh", 0),
    ("most loaded line", "peak_line_loading_percent", "%", 1),
    ("lowest voltage", "min_voltage_pu", "pu", 3),
    ("needs served", "served", "", 0),
    ("charged", "got_kwh", "kWh", 0),
    ("price", "mean_eur_per_kwh", "EUR/kWh", 3),
)
"""The rows of the closing table: what each is called, its member in the summary, its unit, its digits."""


def closing(done: Done) -> None:
    """The closing tables: the day with and without flexibility, the money, and where the report is."""
    console = Console()
    summary = done.summary
    with_it, without = summary["with"], summary["without"]
    public = summary.get("public")
    table = Table(title="The day" if public is None else "The days", title_justify="left")
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with flexibility", justify="right")
    island = summary.get("island")
    if island is not None:
        with_it, without = with_it | island["with"], without | island["without"]
    if public is not None:
        with_it, without = (figures | _stations(public, case) for case, figures in _both(summary))
    if "campuses" in summary:
        for row in _campuses(summary):
            table.add_row(*row)
    else:
        for label, key, unit, digits in _PUBLIC if public is not None else _CONGESTION if island is None else _ISLAND:
            label = label.format(line=_first_line(public)) if public is not None else label
            table.add_row(label, f"{without[key]:.{digits}f} {unit}", f"{with_it[key]:.{digits}f} {unit}")
    console.print(table)
    for test in summary.get("fcr", {}).get("tests", ()):
        approved = (
            f"approved for {test['approved_kw']:.1f}" if test["outcome"] == "approved" else f"{test['outcome']}, none"
        )
        console.print(
            f"{test['portfolio_id']}: {approved} of {test['claimed_kw']:.1f} kW, "
            f"{test['passed']} of {test['requirements']} requirements met.",
            soft_wrap=True,
        )
    if island is not None and "fuel_saved_kg" in island:
        console.print(
            f"Counting the {island['charged_ahead_kwh']:.1f} kWh that the vehicles need not take later, "
            f"{island['fuel_saved_kg']:.1f} kg of fuel are saved.",
            soft_wrap=True,
        )
    if public is not None:
        console.print(_kept(public), soft_wrap=True)
    drivers, money = summary["drivers"], {who: Decimal(amount) for who, amount in summary["money"].items()}
    if "paid" in summary:
        relief, capacity = summary["paid"]["congestion_eur"], summary["paid"]["frequency_eur"]
        paid = f"DSOs paid {relief} EUR against congestions, the TSO {capacity} EUR for the frequency"
    elif public is not None:
        capacity, charging = public["paid"]["capacity_eur"], public["paid"]["charging_eur"]
        paid = f"The DSO paid {capacity} EUR for capacity and {_off(public)}, drivers paid {charging} EUR"
    elif island is None:
        spent = -sum((money.get(who, Decimal(0)) for who in ("dso", "tso")), Decimal(0))
        paid = f"Grid operators paid {spent} EUR"
    else:
        paid = f"Drivers paid {-sum((eur for who, eur in money.items() if who.startswith('ev-')), Decimal(0))} EUR"
    left = (
        _ended(public)
        if public is not None
        else (
            f"{_count(drivers['departed'], 'driver')} left, {drivers['below_wanted']} with less charge than asked for"
        )
    )
    console.print(
        f"{left}. {paid}; the ledger adds up to {sum(money.values(), Decimal(0))} EUR.",
        soft_wrap=True,
    )
    console.print(
        f"{summary['messages']} messages of {summary['agents']} agents, {summary['wall_s']:.0f} s. "
        f"{_count(len(summary['warnings']), 'warning')}.",
        soft_wrap=True,
    )
    for warning in summary["warnings"][:_WARNINGS]:
        console.print(f"  {warning}", highlight=False, markup=False, soft_wrap=True)
    if (more := len(summary["warnings"]) - _WARNINGS) > 0:
        console.print(f"  and {more} more, in {done.folder / SUMMARY}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Report: {done.report}", highlight=False, markup=False, soft_wrap=True)
    if done.page is not None and done.page.url:
        staying(done.page)


def staying(page: PageProcess) -> None:
    """The line that says how long the page is there."""
    Console().print(f"The page stays at {page.url} until Ctrl-C.", highlight=False, markup=False, soft_wrap=True)


def _both(summary: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Both cases with their figures, `with` first."""
    for case in ("with", "without"):
        yield case, summary[case]


def _stations(public: Mapping[str, Any], case: str) -> dict[str, Any]:
    """The figures of public stations in one case; None becomes 0."""
    sums = {
        "overload_kwh": sum(day[case]["overload_kwh"] for day in public["days"]),
        "reverse_kwh": public["lines"][_first_line(public)][case]["reverse_kwh"],
    }
    return sums | {name: value or 0.0 for name, value in public["drivers"][case].items() if name != "paid_eur"}


def _first_line(public: Mapping[str, Any]) -> str:
    """The line that everything behind the substation is fed through: the first of those with the most buses."""
    lines: Mapping[str, Any] = public["lines"]
    return max(lines, key=lambda line: len(lines[line].get("buses", ())))


def _kept(public: Mapping[str, Any]) -> str:
    """What became of contracts, limits and prices, in two sentences."""
    limits = [limit for limit in public["limits"] if limit["agreed"]]
    broken = [limit for limit in limits if (limit["highest_kw"] or 0.0) > limit["limit_kw"] + BROKEN_KW]
    drivers = public["drivers"]
    return (
        f"{_count(len(public['auction']['contracts']), 'contract')}, {_count(len(limits), 'limit')} activated, "
        f"{len(broken)} broken. "
        f"{drivers['moved']} needs were served at another place or time than without, of {drivers['with']['needs']}; "
        f"{drivers['moved_to_lower_price']} of them where and when the price was lowered."
    )


def _off(public: Mapping[str, Any]) -> str:
    """What lower prices cost, by the meters, and what of it the run's bills do not have."""
    eur, billed = (Decimal(public["prices"][name]) for name in ("cost_eur", "reduction_eur"))
    text = f"took {eur} EUR off"
    return text if eur - billed < BILLS_ROUNDED_EUR else f"{text} ({eur - billed} EUR of it not billed in this run)"


def _ended(public: Mapping[str, Any]) -> str:
    """How many sessions took place, and how many of them fell short, beside those without flexibility."""
    served, alone = public["drivers"]["with"], public["drivers"]["without"]
    return (
        f"{_count(served['served'], 'session')} ended ({alone['served']} without flexibility), {served['short']} "
        f"({alone['short']}) with less than nine tenths of the charge asked for"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _campuses(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The rows of a run on campuses: each campus' network, then the frequency where its seconds were kept."""
    for campus, figures in summary["campuses"].items():
        for label, key, unit, digits in _CAMPUS:
            before, after = (f"{figures[case][key]:.{digits}f} {unit}" for case in ("without", "with"))
            yield f"{campus}: {label}", before, after
    told = summary.get("frequency", {})
    trip = told.get("trip")
    if trip is not None:
        for label, key in (("lowest frequency in the trip", "nadir_hz"), ("settled at", "settled_hz")):
            yield label, f"{trip['without'][key]:.3f} Hz", f"{trip['with'][key]:.3f} Hz"
    elif told:
        yield "lowest frequency", f"{told['without']['lowest_hz']:.3f} Hz", f"{told['with']['lowest_hz']:.3f} Hz"
