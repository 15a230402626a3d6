"""The page of an island's day with wind to save and voltages to hold: the Portuguese demonstrator's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from environment.island_summary import has_island
from environment.report import common, words
from environment.report import island_words as say
from environment.report.axes import Window
from environment.report.chapter import Chapter, Day, Row, Tile, compared
from environment.report.drivers import drivers
from environment.report.figures import DayCharts
from environment.report.invoices import InvoiceRow, invoices
from environment.report.island_figures import IslandCharts
from environment.report.material import Material
from environment.report.sequence import Story, richest_service
from environment.report.service_figures import ServiceCharts
from environment.report.services import Service, chains
from protocols.exchanges.res_curtailment import InvoiceLine
from protocols.exchanges.vocabulary import ServiceType

_ROWS = (
    Row("Wind curtailed", "curtailed_kwh", "kWh", 1, True),
    Row("Hours with curtailment", "hours_with_curtailment", "h", 1, True),
    Row("Wind used", "wind_kwh", "kWh", 1, False),
    Row("Thermal generation", "thermal_kwh", "kWh", 1, True),
    Row("Fuel burnt", "fuel_kg", "kg", 1, True),
    Row("Lowest frequency", "lowest_frequency_hz", "Hz", 2, False),
    Row("Charged and given back, net", "ev_kwh", "kWh", 1, None),
)
_VOLTAGE_ROWS = (
    Row("Minutes with a bus outside ±10 %", "minutes_outside", "min", 0, True),
    Row("Minutes below 0.85 or above 1.10", "minutes_outside_always", "min", 0, True),
    Row("Buses outside ±10 %", "buses_outside", "", 0, True),
    Row("Buses with less than 95 % of means within", "buses_below_95_percent", "", 0, True),
    Row("Smallest share within, of a bus", "least_share_within_percent", "%", 1, False),
    Row("Lowest voltage of a minute", "min_voltage_pu", "p.u.", 3, False),
    Row("Highest voltage of a minute", "max_voltage_pu", "p.u.", 3, True),
    Row("Peak of a transformer", "peak_trafo_loading_percent", "%", 1, None),
    Row("Losses", "losses_kwh", "kWh", 1, True),
)


def fits(material: Material) -> bool:
    """Whether the run has the island's columns and figures."""
    return has_island(material.series) and "island" in material.summary and "voltage" in material.summary


def day(material: Material) -> Day:
    """The page: wind and frequency, voltages, the services that the vehicles gave, prices, and who paid."""
    island, voltage = _cases(material, "island"), _cases(material, "voltage")
    story = richest_service(material.trace, material.services, material.zone)
    moved = sum(payment.amount_eur for payment in material.payments)
    fleet_charts = DayCharts(material.series, _windows(material, *ServiceType))
    return Day(
        headline=say.headline(island, voltage, _fuel_saved(material)),
        tiles=_tiles(material, island, voltage),
        chapters=(
            *_island(material, island),
            _voltages(material, voltage),
            common.fleet(material, fleet_charts, "Shaded are the periods of services."),
            *_services(material),
            common.negotiation(story, _title(story), "No service took place, so there is none to draw."),
            common.payments(
                material,
                say.money_title(Decimal(moved), material.spent),
                invoices=_by_customer(material),
            ),
            Chapter(
                "drivers",
                "Drivers",
                "island_drivers.html.j2",
                {
                    "title": say.drivers_title(material.totals, words.drivers_title(material.totals)),
                    "drivers": drivers(material),
                },
            ),
            common.messages(material),
        ),
    )


def _cases(material: Material, member: str) -> dict[str, Mapping[str, Any]]:
    """The figures of a member of the summary by case."""
    return {case: material.summary[member][case] for case in material.figures}


def _share(material: Material) -> float | None:
    share = material.summary["island"].get("slice", {}).get("share")
    return None if share is None or not 0 < share < 1 else float(share)


def _fuel_saved(material: Material) -> float:
    """In kg, 0 where only one case was run."""
    return float(material.summary["island"].get("fuel_saved_kg", 0.0))


def _windows(material: Material, *kinds: ServiceType) -> list[Window]:
    taken = (service for service in material.services if service.kind in kinds and service.took_place)
    return [(service.start, service.end) for service in taken]


def _tiles(material: Material, island: say.Cases, voltage: say.Cases) -> tuple[Tile, ...]:
    after, before, share = island["with"], island.get("without"), _share(material)
    minutes, totals = voltage["with"]["minutes_outside"], material.totals
    departed = totals.get("departed", 0)
    if before:
        took, fuel = before["curtailed_kwh"] - after["curtailed_kwh"], _fuel_saved(material)
        first = (
            Tile("Wind saved", words.number(took), "kWh", say.scaled(took, share) or "less curtailed"),
            Tile("Fuel saved", words.number(fuel), "kg", say.scaled_fuel(fuel, share) or "by the thermal plants"),
        )
    else:
        lost, fuel = after["curtailed_kwh"], after["fuel_kg"]
        first = (
            Tile("Wind curtailed", words.number(lost), "kWh", say.scaled(lost, share)),
            Tile("Fuel burnt", words.number(fuel), "kg", say.scaled_fuel(fuel, share)),
        )
    outside = f"{words.number(voltage['without']['minutes_outside'])} min without" if before else "10-minute means"
    got, asked = totals.get("got_kwh", 0), totals.get("asked_kwh", 0)
    return (
        *first,
        Tile("Outside EN 50160", words.number(minutes), "min", outside),
        Tile(
            "Drivers who got their charge",
            f"{departed - totals.get('below_wanted', 0)}",
            f"of {departed}",
            f"{words.number(got)} kWh, {words.number(asked)} kWh asked for",
        ),
    )


def _island(material: Material, island: say.Cases) -> tuple[Chapter, Chapter]:
    charts = IslandCharts(material.series, _windows(material, ServiceType.RES_CURTAILMENT))
    supply, curtailed, frequency = say.supply_title(island), say.curtailed_title(island), say.frequency_title(island)
    return (
        Chapter(
            "island",
            "The island",
            "island.html.j2",
            {
                "slice": say.slice_of(material.summary["island"].get("slice", {})),
                "fuel": say.fuel_note(material.summary["island"]),
                "titles": {"supply": supply, "curtailed": curtailed},
                "supply": charts.supply(f"Stacked areas of geothermal, hydro, thermal and wind generation. {supply}."),
                "curtailed": charts.curtailed(f"Line chart of the curtailed power. {curtailed}."),
                "rows": compared(island, _ROWS),
            },
        ),
        Chapter(
            "frequency",
            "Frequency",
            "frequency.html.j2",
            {
                "title": frequency,
                "frequency": charts.frequency(f"Line chart of the lowest frequency of each minute. {frequency}."),
            },
        ),
    )


def _voltages(material: Material, voltage: say.Cases) -> Chapter:
    charts = DayCharts(material.series, _windows(material, ServiceType.VOLTAGE_CONTROL))
    strips = IslandCharts(material.series, ())
    title, buses = words.voltage_title(material.figures), say.buses_title(voltage)
    both = {case: {**material.figures[case], **voltage[case]} for case in voltage}
    return Chapter(
        "voltages",
        "Voltages",
        "voltages.html.j2",
        {
            "titles": {"voltages": title, "buses": buses},
            "voltages": charts.voltages(f"Bands of the lowest to highest bus voltage. {title}."),
            "buses": strips.buses(f"Strips of every bus's 10-minute mean voltage over the day. {buses}."),
            "rows": compared(both, _VOLTAGE_ROWS),
            "outside": _outside(voltage),
        },
    )


def _outside(voltage: say.Cases) -> list[dict[str, Any]]:
    """Every bus that was outside in a case, with its figures of each case (None where it was within), worst first."""
    found: dict[str, dict[str, Any]] = {}
    for case, figures in voltage.items():
        for bus in figures["worst"]:
            found.setdefault(bus["bus"], {"bus": bus["bus"], "with": None, "without": None})[case] = bus

    def minutes(row: Mapping[str, Any]) -> float:
        each = (row[case] for case in ("with", "without") if row[case])
        return -float(sum(bus["minutes_low"] + bus["minutes_high"] for bus in each))

    return sorted(found.values(), key=minutes)


def _services(material: Material) -> tuple[Chapter, Chapter]:
    """What was asked for and given, and what that did to the prices."""
    asked = material.services
    took = [service for service in asked if service.took_place]
    charts = ServiceCharts(material.series, ())
    title = f"{len(asked)} service{'' if len(asked) == 1 else 's'} asked for, {len(took)} took place"
    ordinary = material.summary.get("tariffs", {}).get("ordinary", ())
    timeline = (
        charts.timeline(asked, f"Bars of asked and available power by kind and feeder. {title}.") if asked else ""
    )
    prices = "Steps of the charging price and of the grid-use tariff over the day, in EUR per kWh."
    return (
        Chapter(
            "services",
            "Services",
            "services.html.j2",
            {
                "title": title,
                "services": asked,
                "chains": [_chain(chain) for chain in chains(asked)],
                "timeline": timeline,
                "kind": words.service_kind,
            },
        ),
        Chapter(
            "prices",
            "Prices",
            "prices.html.j2",
            {
                "title": _prices_title(material),
                "prices": charts.prices(asked, ordinary, prices) if asked or ordinary else "",
                "ordinary": bool(ordinary),
            },
        ),
    )


def _chain(chain: Sequence[Service]) -> dict[str, Any]:
    """A service with its renewals as one row; powers and prices from the smallest to the largest."""

    def span(values: Iterable[float], digits: int, sign: bool) -> str:
        known = sorted(values)
        return " to ".join(dict.fromkeys(words.number(value, digits, sign) for value in (known[0], known[-1])))

    took = [service for service in chain if service.took_place] or chain[-1:]
    return {
        "start": chain[0].start,
        "end": max(service.end for service in chain),
        "kind": words.service_kind(chain[0].kind),
        "feeder": chain[0].feeder,
        "took_place": took[0].took_place,
        "count": len(chain),
        "asked": span((service.asked_kw for service in chain), 1, True),
        "available": span((service.available_kw for service in took), 1, True),
        "vehicles": span((service.vehicles for service in took), 0, False),
        "price": span((float(service.charging_cost) for service in took), 3, False),
        "ended": chain[-1].ended,
        "reason": chain[-1].reason,
    }


def _prices_title(material: Material) -> str:
    prices = [service.charging_cost for service in material.services if service.took_place]
    if not prices:
        return "The ordinary tariff held all day"
    low, high = words.number(float(min(prices)), 3), words.number(float(max(prices)), 3)
    return f"In a service a kWh cost {f'from {low} to {high}' if low != high else low} EUR"


def _by_customer(material: Material) -> list[dict[str, Any]]:
    """The invoices, the companies' before the drivers'."""
    owners = {jid for jid, role in material.trace.roles.items() if role == "ev_owner"}

    def row(invoice: InvoiceRow) -> dict[str, Any]:
        return {
            "customer": material.name(invoice.invoice.customer),
            "period": material.when(invoice.invoice.start, invoice.invoice.end),
            "lines": _lines(invoice.invoice.lines),
            "amount": invoice.invoice.amount_eur,
            "paid": invoice.paid,
        }

    return [row(each) for each in sorted(invoices(material.trace), key=lambda each: each.invoice.customer in owners)]


def _lines(lines: Sequence[InvoiceLine]) -> list[str]:
    """What an invoice is for, each item once with its energy and its amount."""
    found: dict[str, tuple[float, Decimal]] = {}
    for line in lines:
        item = f"{line.item}, {words.service_kind(line.service).lower()}" if line.service else line.item
        energy, amount = found.get(item, (0.0, Decimal(0)))
        found[item] = (energy + (line.energy_kwh or 0.0), amount + line.amount_eur)
    return [
        f"{item}: {f'{words.number(energy, 1)} kWh, ' if energy else ''}{words.euro(amount)}"
        for item, (energy, amount) in found.items()
    ]


def _title(story: Story | None) -> str:
    if story is None:
        return ""
    ending = getattr(story.subject, "ended", "")
    last = {"renewed": "its renewal", "cancelled": "its end"}.get(ending, "what was done")
    return f"{story.subject.id}: from the operator's request to {last}"
