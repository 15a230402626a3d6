"""What a run shows on the terminal: how far it is, and at the end what it came to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from environment.launcher import Done
from environment.launcher import Progress as Listener


class _Quiet:
    def stage(self, text: str) -> None: ...

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

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
        self._progress.console.print(
            f"XMPP server at {address}, domain {domain}, its authority in {ca_file}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

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
"""The rows of the closing table: what each is called, its member in the summary, its unit, its digits."""


def closing(done: Done) -> None:
    """The closing tables: the day with and without flexibility, the money, and where the report is."""
    console = Console()
    summary = done.summary
    with_it, without = summary["with"], summary["without"]
    table = Table(title="The day", title_justify="left")
    table.add_column("")
    table.add_column("without", justify="right")
    table.add_column("with flexibility", justify="right")
    island = summary.get("island")
    if island is not None:
        with_it, without = with_it | island["with"], without | island["without"]
    for label, key, unit, digits in _CONGESTION if island is None else _ISLAND:
        table.add_row(label, f"{without[key]:.{digits}f} {unit}", f"{with_it[key]:.{digits}f} {unit}")
    console.print(table)
    if island is not None and "fuel_saved_kg" in island:
        console.print(
            f"Counting the {island['charged_ahead_kwh']:.1f} kWh that the vehicles need not take later, "
            f"{island['fuel_saved_kg']:.1f} kg of fuel are saved.",
            soft_wrap=True,
        )
    drivers, money = summary["drivers"], {who: Decimal(amount) for who, amount in summary["money"].items()}
    if island is None:
        spent = -sum((money.get(who, Decimal(0)) for who in ("dso", "tso")), Decimal(0))
        paid = f"Grid operators paid {spent} EUR"
    else:
        paid = f"Drivers paid {-sum((eur for who, eur in money.items() if who.startswith('ev-')), Decimal(0))} EUR"
    console.print(
        f"{drivers['departed']} drivers left, {drivers['below_wanted']} with less charge than asked for. "
        f"{paid}; the ledger adds up to {sum(money.values(), Decimal(0))} EUR.",
        soft_wrap=True,
    )
    console.print(
        f"{summary['messages']} messages of {summary['agents']} agents, {summary['wall_s']:.0f} s. "
        f"{len(summary['warnings'])} warnings.",
        soft_wrap=True,
    )
    for warning in summary["warnings"][:8]:
        console.print(f"  {warning}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Report: {done.report}", highlight=False, markup=False, soft_wrap=True)
