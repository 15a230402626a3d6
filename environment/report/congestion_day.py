"""The page of a day with a congested transformer and bids for flexibility: the Slovenian demonstrator's."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from environment.report import common, words
from environment.report.bills import bills
from environment.report.chapter import Chapter, Day, Row, Tile, compared, saved
from environment.report.drivers import drivers
from environment.report.figures import DayCharts
from environment.report.market import Round
from environment.report.material import Material
from environment.report.sequence import Story, richest

_ROWS = (
    Row("Peak of the transformer", "peak_trafo_loading_percent", "%", 1, True),
    Row("Minutes above its rating", "minutes_above_100_percent", "min", 0, True),
    Row("Energy above its rating", "overload_kwh", "kWh", 1, True),
    Row("Peak drawn from the grid", "peak_trafo_kw", "kW", 1, True),
    Row("Most loaded line", "peak_line_loading_percent", "%", 1, True),
    Row("Lowest voltage", "min_voltage_pu", "p.u.", 3, False),
    Row("Highest voltage", "max_voltage_pu", "p.u.", 3, None),
    Row("Minutes outside EN 50160", "minutes_outside_en50160", "min", 0, True),
    Row("Losses", "losses_kwh", "kWh", 1, True),
    Row("Peak of all chargers", "peak_fleet_kw", "kW", 1, None),
    Row("Charged", "energy_charged_kwh", "kWh", 1, None),
    Row("Discharged to the grid", "energy_discharged_kwh", "kWh", 1, None),
)


def fits(material: Material) -> bool:
    """Every run has a grid and may have rounds of bidding."""
    return True


def day(material: Material) -> Day:
    """The page: the transformer first, then what was bid, and how it was settled."""
    markets, figures = material.markets, material.figures
    charts = DayCharts(material.series, [(market.start, market.end) for market in markets if market.awarded_kw])
    story = richest(material.trace, markets, material.zone)
    return Day(
        headline=words.headline(figures, material.spent, any(market.awarded_kw for market in markets)),
        tiles=_tiles(material),
        chapters=(
            _grid(material, charts),
            common.fleet(material, charts),
            _market(material, charts),
            common.negotiation(story, _title(story), "There was no call for bids, so there is none to draw."),
            common.payments(
                material,
                f"{words.euro(material.spent)} from the grid operators, and where they went",
                bills=bills(material.trace),
            ),
            Chapter(
                "drivers",
                "Drivers",
                "drivers.html.j2",
                {"title": words.drivers_title(material.totals), "drivers": drivers(material)},
            ),
            common.messages(material),
        ),
        footnote="Prices in EUR/kW are for each 15-minute period.",
    )


def _tiles(material: Material) -> tuple[Tile, ...]:
    after, before = material.figures["with"], material.figures.get("without")
    spent, avoided, totals = material.spent, saved(material.figures, "overload_kwh"), material.totals
    departed = totals.get("departed", 0)
    return (
        Tile(
            "Peak of the transformer",
            f"{words.number(after['peak_trafo_loading_percent'])} %",
            note=f"{words.number(before['peak_trafo_loading_percent'])} % without" if before else "of its rating",
        ),
        Tile(
            "Overload",
            words.number(after["minutes_above_100_percent"]),
            "min",
            f"{words.number(before['minutes_above_100_percent'])} min without" if before else "above the rating",
        ),
        Tile(
            "Paid for flexibility",
            words.number(float(spent), 2),
            "EUR",
            f"{words.number(float(spent) / avoided, 2)} EUR per kWh of overload avoided"
            if spent > 0 and avoided and avoided >= 0.05
            else "by the grid operators, net",
        ),
        Tile(
            "Drivers who got their charge",
            f"{departed - totals.get('below_wanted', 0)}",
            f"of {departed}",
            f"{words.number(totals.get('got_kwh', 0))} kWh of {words.number(totals.get('asked_kwh', 0))} kWh asked for",
        ),
    )


def _grid(material: Material, charts: DayCharts) -> Chapter:
    transformer, voltages = words.transformer_title(material.figures), words.voltage_title(material.figures)
    return Chapter(
        "grid",
        "Grid",
        "grid.html.j2",
        {
            "titles": {"transformer": transformer, "voltages": voltages},
            "transformer": charts.transformer(
                f"Line chart over the day. {transformer}. Periods with flexibility are shaded."
            ),
            "voltages": charts.voltages(f"Bands of the lowest to highest bus voltage. {voltages}."),
            "frequency": charts.frequency("Line chart of the grid frequency around 50 hertz."),
            "rows": compared(material.figures, _ROWS),
        },
    )


def _market(material: Material, charts: DayCharts) -> Chapter:
    markets = material.markets
    prices: Markup | str = charts.prices(markets, _market_alt(material, markets)) if markets else ""
    return Chapter("market", "Market", "market.html.j2", {"markets": markets, "prices": prices})


def _market_alt(material: Material, markets: Sequence[Round]) -> str:
    rows = "; ".join(
        f"{material.when(market.start, market.end)}: {market.awarded_kw:g} of {market.needed_kw:g} kW"
        + (f" at {market.price} EUR/kW" if market.price is not None else "")
        for market in markets[:12]
    )
    return f"Bids, prices and awards of {len(markets)} rounds. {rows}"


def _title(story: Story | None) -> str:
    if story is None:
        return ""
    end = "the bill" if story.billed else "the chargers" if story.activation else "the award"
    return f"{story.subject.id}: from the call for bids to {end}"
