"""The page of a day on campuses with congestions and frequency control: the Danish demonstrator's."""

from __future__ import annotations

from decimal import Decimal

from environment.campus_summary import has_campuses
from environment.report import campus_words as say
from environment.report import common, money, words
from environment.report.axes import Window
from environment.report.campus_batteries import batteries, tests_cost
from environment.report.campus_congestion import help_given, networks
from environment.report.campus_frequency import delivery, frequency, prequalification
from environment.report.campus_material import CampusMaterial, read
from environment.report.chapter import Chapter, Day, Tile
from environment.report.congestion_services import Part
from environment.report.drivers import drivers
from environment.report.figures import DayCharts
from environment.report.material import Material
from environment.report.sequence import Episode, Story, about

_CROWDS = {"ev_owner": words.CROWDS["ev_owner"]}
"""The V2X managers are few, and what each earned is what this day is about: only the owners are one party."""


def fits(material: Material) -> bool:
    """Whether the run has the columns and figures of campuses."""
    return has_campuses(material.series) and "campuses" in material.summary


def day(run: Material) -> Day:
    """The page: congestions and who helped, frequency and who kept it, batteries, and who was paid."""
    material = read(run)
    figures = [material.figures(campus) for campus in material.campuses]
    sold = any(hour.bought_kw > 0 for hour in material.hours)
    fleet_charts = DayCharts(run.series, _windows(material))
    story = _story(material)
    return Day(
        headline=say.headline(figures, material.help_eur, material.trip, material.fcr_eur, sold),
        tiles=_tiles(material, sold),
        chapters=(
            networks(material),
            help_given(material),
            frequency(material),
            prequalification(material),
            delivery(material),
            batteries(material),
            common.fleet(run, fleet_charts, "Shaded are the periods of services against congestions."),
            common.negotiation(story, _title(story), "No service took place, so there is none to draw."),
            common.payments(
                run,
                _money_title(material),
                money.payments(run.postings, run.roles, _CROWDS),
                remarks=tests_cost(material),
            ),
            Chapter(
                "drivers",
                "Drivers",
                "drivers.html.j2",
                {"title": words.drivers_title(run.totals), "drivers": drivers(run)},
            ),
            common.messages(run),
        ),
        footnote="The frequency is from frequency.parquet and the logs of fcr-log."
        if material.seconds is not None
        else "",
    )


def _windows(material: CampusMaterial) -> list[Window]:
    return [window for windows in material.served().values() for window in windows]


def _tiles(material: CampusMaterial, sold: bool) -> tuple[Tile, ...]:
    return (_overload(material), _help(material), _income(material, sold), _lowest(material), _drivers(material))


def _overload(material: CampusMaterial) -> Tile:
    worst = material.worst
    figures = material.figures(worst)
    minutes = words.number(figures["with"]["minutes_beyond_limit"])
    before = figures.get("without")
    note = f"{words.number(before['minutes_beyond_limit'])} min without, {worst}" if before else f"at {worst}"
    return Tile("Overload of the worst transformer", minutes, "min", note)


def _help(material: CampusMaterial) -> Tile:
    avoided, eur = material.avoided_kwh, material.help_eur
    note = "paid by the DSOs"
    if avoided is not None and avoided >= 0.05 and eur > 0:
        note = f"{words.number(float(eur) / avoided, 2)} EUR per kWh of overload avoided"
    return Tile("Congestion help", words.number(float(eur), 2), "EUR", note)


def _income(material: CampusMaterial, sold: bool) -> Tile:
    if not sold:
        return Tile("Frequency control", words.number(0, 2), "EUR", "no capacity was sold")
    count = len({hour.offer.portfolio_id for hour in material.hours if hour.bought_kw > 0})
    hours = sum(hour.bought_kw > 0 for hour in material.hours)
    note = f"{say.plural(hours, 'period')} of {say.plural(count, 'portfolio')}"
    return Tile("Frequency control earned", words.number(float(material.fcr_eur), 2), "EUR", note)


def _lowest(material: CampusMaterial) -> Tile:
    trip = material.trip
    if trip is None:
        low = material.run.summary.get("frequency", {}).get("with", {}).get("lowest_hz")
        return Tile("Lowest frequency", "" if low is None else words.number(low, 3), "Hz", "no trip in this run")
    note = f"{words.number(trip.nadir_hz['without'], 3)} Hz without" if "without" in trip.nadir_hz else "in the trip"
    return Tile("Lowest frequency in the trip", words.number(trip.nadir_hz["with"], 3), "Hz", note)


def _drivers(material: CampusMaterial) -> Tile:
    totals = material.run.totals
    departed = totals.get("departed", 0)
    return Tile(
        "Drivers who got their charge",
        f"{departed - totals.get('below_wanted', 0)}",
        f"of {departed}",
        f"{words.number(totals.get('got_kwh', 0))} kWh of {words.number(totals.get('asked_kwh', 0))} kWh asked for",
    )


def _money_title(material: CampusMaterial) -> str:
    moved = sum((payment.amount_eur for payment in material.run.payments), Decimal(0))
    return (
        f"{words.euro(moved)} changed hands: {words.euro(material.help_eur)} from the DSOs against congestions,"
        f" {words.euro(material.fcr_eur)} from the TSO for the frequency"
    )


def _story(material: CampusMaterial) -> Story | None:
    """The call with the most drivers asked that took place, with its settlements and payments."""
    took = [part for part in material.parts if part.took_place]
    if not took:
        return None

    def rich(part: Part) -> tuple[bool, int, int]:
        return part.ending == "cancelled", len(part.asked), len(part.activations)

    chosen = max(took, key=rich)
    parts = [p for p in material.parts if (p.dso, p.call.request_id) == (chosen.dso, chosen.call.request_id)]
    end = max(part.end for part in parts)
    ids = {chosen.call.request_id, *(p.settlement.settlement_id for p in parts if p.settlement is not None)}
    episode = Episode(chosen.call.request_id, chosen.call.start, end)
    return about(material.run.trace, episode, ids, material.run.zone)


def _title(story: Story | None) -> str:
    return (
        ""
        if story is None
        else f"{story.subject.id}: from the DSO\N{RIGHT SINGLE QUOTATION MARK}s call to the last payment"
    )
