"""The page: everything the run folder holds, put into the template."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from environment.report import money, sequence_svg, words
from environment.report.figures import DayCharts
from environment.report.market import Round, rounds, well_formed
from environment.report.sequence import Story, richest
from environment.run_folder import (
    LEDGER,
    SERIES,
    SUMMARY,
    TRACE,
    Posting,
    RunFolderError,
    Trace,
    read_postings,
    read_trace,
)
from environment.series import Series
from protocols.acl import Performative
from protocols.dialogues import EXCHANGES
from protocols.exchanges.settlement import Bill, Payment
from protocols.roles import Role

_NAMES = {exchange.id: exchange.name for exchange in EXCHANGES.values()}
_COMPARED = (
    # label, member, unit, digits, whether less is better (None: neither)
    ("Peak of the transformer", "peak_trafo_loading_percent", "%", 1, True),
    ("Minutes above its rating", "minutes_above_100_percent", "min", 0, True),
    ("Energy above its rating", "overload_kwh", "kWh", 1, True),
    ("Peak drawn from the grid", "peak_trafo_kw", "kW", 1, True),
    ("Most loaded line", "peak_line_loading_percent", "%", 1, True),
    ("Lowest voltage", "min_voltage_pu", "p.u.", 3, False),
    ("Highest voltage", "max_voltage_pu", "p.u.", 3, None),
    ("Minutes outside EN 50160", "minutes_outside_en50160", "min", 0, True),
    ("Losses", "losses_kwh", "kWh", 1, True),
    ("Peak of all chargers", "peak_fleet_kw", "kW", 1, None),
    ("Charged", "energy_charged_kwh", "kWh", 1, None),
    ("Discharged to the grid", "energy_discharged_kwh", "kWh", 1, None),
)


@dataclass(frozen=True, slots=True)
class Invoice:
    """One bill of exchange 1.2.7, the names of its two sides, and whether somebody answered that it is paid."""

    bill: Bill
    payer: str
    payee: str
    paid: bool


@dataclass(frozen=True, slots=True)
class Driver:
    """One row of the drivers' table. `asked`, `agreed`: how often the driver was asked to help, and did."""

    name: str
    charger: str
    stay: str
    wanted_kwh: float
    got_kwh: float
    short: bool
    departed: bool
    asked: int
    agreed: int
    earned: Decimal

    @property
    def share(self) -> float:
        """What was got of what was wanted, in percent, for the bar."""
        return 100.0 if self.wanted_kwh <= 0 else max(0.0, min(100.0, 100 * self.got_kwh / self.wanted_kwh))


def render(folder: Path) -> str:
    """The page of a run folder as HTML text. Raises RunFolderError or SeriesError, one line that names the file."""
    trace = read_trace(folder / TRACE)
    series = Series.read(folder / SERIES)
    postings = read_postings(folder / LEDGER)
    summary = read_summary(folder / SUMMARY)
    markets = rounds(trace)
    figures: dict[str, Any] = {case: summary[case] for case in series.cases if case in summary}
    if "with" not in figures:
        raise RunFolderError(f"{folder / SUMMARY}: the figures of the day with flexibility are missing")
    index = series.index("with")
    charts = DayCharts(series, [(market.start, market.end) for market in markets if market.awarded_kw])
    zone = index.tz
    when = partial(words.period, zone=zone, dated=index[-1] - index[0] > timedelta(hours=36))
    story = richest(trace, markets, zone)
    roles = words.accounts_too(trace.roles)
    paid, spent = money.payments(postings, roles), money.spent(postings, roles)
    environment = Environment(
        loader=PackageLoader("environment.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=words.number, euro=words.euro)
    return environment.get_template("report.html.j2").render(
        css=Markup(environment.get_template("report.css").render()),
        scenario=summary.get("scenario") or trace.scenario,
        seed=summary.get("seed", trace.seed),
        agents=summary.get("agents"),
        wall_s=summary.get("wall_s"),
        day=words.day(index[0]),
        span=words.duration(index[-1] + series.step("with") - index[0]),
        headline=words.headline(figures, spent, any(market.awarded_kw for market in markets)),
        figures=figures,
        compared=compared(figures),
        spent=spent,
        avoided=saved(figures, "overload_kwh"),
        titles={
            "transformer": words.transformer_title(figures),
            "voltages": words.voltage_title(figures),
            "fleet": words.fleet_title(figures),
            "drivers": words.drivers_title(summary.get("drivers", {})),
        },
        charts=_charts(charts, figures, markets, when),
        markets=markets,
        name=lambda jid: words.actor(jid, trace.roles)[0],
        story=story,
        story_picture=_story_picture(story),
        payments=paid,
        accounts=money.accounts(paid),
        money_picture=money.draw(paid, _money_alt(paid)) if paid else "",
        bills=bills(trace),
        drivers=drivers(summary, trace, postings, when),
        when=when,
        totals=summary.get("drivers", {}),
        exchanges=[
            (exchange, _NAMES.get(exchange, ""), count) for exchange, count in summary.get("exchanges", {}).items()
        ],
        messages=len(trace.entries),
        warnings=summary.get("warnings", ()),
    )


def read_summary(path: Path) -> dict[str, Any]:
    """`summary.json` as it was written. Raises RunFolderError."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise RunFolderError(f"{path}: {reason.strerror or reason}") from None
    except ValueError as reason:
        raise RunFolderError(f"{path}: not JSON ({reason})") from None
    if not isinstance(summary, dict):
        raise RunFolderError(f"{path}: expected an object")
    return summary


def saved(figures: Mapping[str, Mapping[str, Any]], member: str) -> float | None:
    """How much less of a figure there was with flexibility; None where only one case was run."""
    if "without" not in figures:
        return None
    return float(figures["without"][member]) - float(figures["with"][member])


def compared(figures: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """The rows of the table of both cases, as text; `verdict` is `better`, `worse` or empty."""
    rows = []
    for label, member, unit, digits, less in _COMPARED:
        row = {"label": label, "unit": unit, "with": words.number(figures["with"][member], digits)}
        row |= {"without": "", "change": "", "verdict": ""}
        if (change := saved(figures, member)) is not None:
            change = -change
            row["without"] = words.number(figures["without"][member], digits)
            row["change"] = words.number(change, digits, sign=True)
            if less is not None and abs(change) >= 0.5 * 10**-digits:
                row["verdict"] = "better" if (change < 0) == less else "worse"
        rows.append(row)
    return rows


def bills(trace: Trace) -> list[Invoice]:
    """Every bill sent, once, in the order of the trace."""
    sent: dict[str, Bill] = {}
    paid: set[str] = set()
    for message, content in well_formed(trace, "1.2.7"):
        # A bill goes to both sides; only the market operator's counts, whoever else may have written one.
        if isinstance(content, Bill) and trace.roles.get(message.sender) == Role.FMO:
            sent.setdefault(content.bill_id, content)
        elif isinstance(content, Payment):
            paid.add(content.bill_id)
    return [
        Invoice(
            bill,
            payer=money.party(bill.payer, trace.roles),
            payee=money.party(bill.payee, trace.roles),
            paid=bill_id in paid,
        )
        for bill_id, bill in sent.items()
    ]


def drivers(
    summary: Mapping[str, Any],
    trace: Trace,
    postings: Sequence[Posting],
    when: Callable[[datetime, datetime], str],
) -> list[Driver]:
    """Every driver's stay, those who got less than asked first; `when` puts a period into words."""
    asked: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for message in (entry.message for entry in trace.entries):
        if message.exchange in ("1.2.5", "6.2.3"):
            asked[message.receiver] += message.performative is Performative.PROPOSE
            agreed[message.sender] += message.performative is Performative.ACCEPT_PROPOSAL
    earned: dict[str, Decimal] = {}
    for posting in postings:
        account = words.account_name(posting.account)
        earned[account] = earned.get(account, Decimal(0)) + posting.amount_eur
    rows = [
        Driver(
            name=words.account_name(row["owner"]),
            charger=row["charger_id"],
            stay=when(datetime.fromisoformat(row["arrival"]), datetime.fromisoformat(row["departure"])),
            wanted_kwh=row["asked_kwh"],
            got_kwh=row["got_kwh"],
            short=row["short"],
            departed=row["departed"],
            asked=asked[row["owner"]],
            agreed=agreed[row["owner"]],
            earned=earned.get(words.account_name(row["owner"]), Decimal(0)),
        )
        for row in summary.get("drivers", {}).get("each", ())
    ]
    return sorted(rows, key=lambda driver: not driver.short)


def _charts(
    charts: DayCharts,
    figures: Mapping[str, Mapping[str, Any]],
    markets: Sequence[Round],
    when: Callable[[datetime, datetime], str],
) -> dict[str, Markup | str]:
    return {
        "transformer": charts.transformer(
            f"Line chart over the day. {words.transformer_title(figures)}. Periods with flexibility are shaded."
        ),
        "voltages": charts.voltages(f"Bands of the lowest to highest bus voltage. {words.voltage_title(figures)}."),
        "frequency": charts.frequency("Line chart of the grid frequency around 50 hertz."),
        "fleet": charts.fleet(
            f"Line chart of the chargers' power, and one row for each. {words.fleet_title(figures)}."
        ),
        "soc": charts.state_of_charge("Line chart of the mean state of charge, and one row for each vehicle."),
        "prices": charts.prices(markets, _market_alt(markets, when)) if markets else "",
    }


def _market_alt(markets: Sequence[Round], when: Callable[[datetime, datetime], str]) -> str:
    rows = "; ".join(
        f"{when(market.start, market.end)}: {market.awarded_kw:g} of {market.needed_kw:g} kW"
        + (f" at {market.price} EUR/kW" if market.price is not None else "")
        for market in markets[:12]
    )
    return f"Bids, prices and awards of {len(markets)} rounds. {rows}"


def _money_alt(paid: Sequence[money.Payment]) -> str:
    return "Payments. " + "; ".join(f"{p.payer} to {p.payee} {words.euro(p.amount_eur)}" for p in paid[:20])


def _story_picture(story: Story | None) -> Markup | str:
    if story is None:
        return ""
    names = ", ".join(line.name for line in story.lifelines)
    alt = f"Sequence diagram of {len(story.steps)} steps between {names}."
    return sequence_svg.draw(story, alt, lambda exchange: _NAMES.get(exchange, ""))
