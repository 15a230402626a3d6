"""The page of a week at public stations, with lowered network prices and bought caps: the Greek demonstrator's."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from environment.public_columns import STATION
from environment.report import common, public_auction, public_prices, public_stations, public_week
from environment.report.chapter import Chapter, Day, Tile
from environment.report.material import Material
from environment.report.public_material import LEAST_KWH, PublicMaterial, read
from environment.report.public_prices import Outcome
from environment.report.public_services import Activation
from environment.report.public_stations import Welfare
from environment.report.public_week import Violation, avoided_kwh
from environment.report.sequence import Episode, Story, about
from environment.report.words import euro, number

_S, _SPACE = "\N{RIGHT SINGLE QUOTATION MARK}", "\N{NO-BREAK SPACE}"


def fits(material: Material) -> bool:
    """Whether the run has the columns and figures of public stations."""
    return any(name.startswith(STATION) for name in material.series.extra) and "public" in material.summary


def day(run: Material) -> Day:
    """The page: what was taken up and what was bought, the week, stations and drivers, and who paid whom."""
    material = read(run)
    effects = public_prices.effects(material)
    prices = public_prices.outcome(material, effects)
    days = public_week.violations(material)
    welfare = public_stations.pairs(material)
    return Day(
        headline=headline(days, material.capacity_eur, prices),
        tiles=_tiles(material, days, prices, welfare),
        chapters=(
            public_prices.chapter(material, effects, prices),
            public_auction.chapter(material),
            public_week.chapter(material, days),
            public_stations.use(material, welfare),
            public_stations.drivers(material, welfare),
            _negotiations(material),
            common.payments(run, _money_title(material), remarks=_remarks(material, prices)),
            common.messages(run),
        ),
        footnote=f"Rows of the series are quarter hours; a station{_S}s highest power is that of any moment in one.",
    )


def headline(days: Sequence[Violation], capacity_eur: Decimal, prices: Outcome) -> str:
    """What flexibility was worth, in one sentence."""
    text = f"{_caps(days, capacity_eur)}; {_moved(prices)}"
    return text.replace(" kWh", f"{_SPACE}kWh").replace(" EUR", f"{_SPACE}EUR")


def _caps(days: Sequence[Violation], capacity_eur: Decimal) -> str:
    after, saved = sum(one.kept for one in days), avoided_kwh(days)
    cost = f"for {euro(capacity_eur)}" if capacity_eur > 0 else "and nobody was paid for it"
    if saved is None:
        return f"Lines carried {number(after)} kWh above their limits, with caps on charging stations {cost}"
    before = sum(one.without or 0.0 for one in days)
    if before < LEAST_KWH and after < LEAST_KWH:
        return f"No line came to its limit, with caps on charging stations {cost} or without"
    if saved < LEAST_KWH:
        return (
            f"Caps on charging stations did not shorten the evening overload: {number(after)} kWh with them,"
            f" {number(before)} without, {cost}"
        )
    return f"Caps on charging stations cut the evening overload from {number(before)} to {number(after)} kWh {cost}"


def _moved(prices: Outcome) -> str:
    if not prices.reductions:
        return "no network price had to be lowered"
    if prices.moved_kwh is None:
        return f"lower network prices cost {euro(prices.eur)}"
    if prices.moved_kwh < LEAST_KWH:
        return f"lower network prices cost {euro(prices.eur)} and moved nothing under the sun"
    if not prices.drivers:
        more = f"{number(prices.moved_kwh)} kWh more were drawn under the sun"
        return f"lower network prices cost {euro(prices.eur)} and moved no driver, {more}"
    percent = 100 * prices.moved_kwh / prices.reverse_kwh if prices.reverse_kwh else 0.0
    little = "only " if percent < 10 else ""
    return f"lower network prices moved {little}{number(prices.moved_kwh)} kWh under the sun for {euro(prices.eur)}"


def _tiles(
    material: PublicMaterial, days: Sequence[Violation], prices: Outcome, welfare: Sequence[Welfare]
) -> tuple[Tile, ...]:
    after, saved = sum(one.kept for one in days), avoided_kwh(days)
    before = None if saved is None else sum(one.without or 0.0 for one in days)
    windows = len(material.activated)
    above = sum((one.kept if before is None else one.without or 0.0) >= LEAST_KWH for one in days)
    evenings = f"on {above} of {len(days)} evening{'' if len(days) == 1 else 's'}"
    spent = float(material.capacity_eur)
    told = public_stations.figures(material, welfare)["with"]
    return (
        Tile(
            f"Above the lines{_S} limits",
            number(after),
            "kWh",
            f"{number(before)} kWh without, {evenings}" if before is not None else evenings,
        ),
        Tile(
            "Paid for caps",
            number(spent, 2),
            "EUR",
            f"{number(spent / saved, 2)} EUR per kWh avoided"
            if saved is not None and saved >= LEAST_KWH
            else f"{windows} activated window{'' if windows == 1 else 's'}",
        ),
        Tile(
            "Limits kept",
            _kept(material) if windows else "none",
            f"of {windows}" if windows else "",
            f"to the second, by the stations{_S} meters" if windows else "No limit was activated",
        ),
        Tile(
            "Moved under the sun" if prices.drivers else "More drawn under the sun",
            "0" if prices.moved_kwh is None else number(prices.moved_kwh),
            "kWh",
            _cost(prices),
        ),
        Tile(
            "Needs served",
            number(told["served"]),
            f"of {number(told['served'] + told['unserved'])}",
            f"{number(told['got_kwh'])} kWh of the {number(told['asked_kwh'])} kWh they asked for",
        ),
    )


def _cost(prices: Outcome) -> str:
    if prices.eur_per_kwh is None:
        return f"{euro(prices.eur)} taken off"
    text = f"{number(prices.eur_per_kwh, 2)} EUR for each"
    if prices.taken_kwh is not None and prices.taken_kwh >= LEAST_KWH:
        text += f", {number(prices.taken_kwh)} kWh less fed back"
    return text


def _kept(material: PublicMaterial) -> str:
    settled = [material.settlement_of(each) for each in material.activated]
    return number(sum(one is not None and one.excess_kwh < 1e-9 for one in settled))


# ---- negotiations


def _negotiations(material: PublicMaterial) -> Chapter:
    run, auction = material.run, material.auction
    stories = []
    if auction is not None:
        terms = auction.terms
        first = about(
            run.trace, Episode(terms.terms_id, terms.period_start, terms.period_end), {terms.terms_id}, run.zone
        )
        stories.append((first, f"The auction: from the DSO{_S}s terms to the contracts"))
    chosen = _chosen(material)
    if chosen is not None:
        limit = chosen.limit
        stories.append((_activation(material, chosen), f"One activation: {limit.station_id}, and a driver who came"))
    return Chapter(
        "negotiation",
        "Negotiations",
        "public_negotiations.html.j2",
        {
            "stories": [
                {"title": title, "story": story, "picture": common.picture(story)}
                for story, title in stories
                if story is not None
            ]
        },
    )


def _chosen(material: PublicMaterial) -> Activation | None:
    """The activation that was settled, with the tightest limit."""
    settled = [each for each in material.activated if material.settlement_of(each) is not None]
    return min(settled or material.activated, key=lambda each: (each.limit.limit_kw, each.limit.start), default=None)


def _activation(material: PublicMaterial, chosen: Activation) -> Story | None:
    """The limit, one driver's session under it, and its settlement."""
    limit = chosen.limit
    settlement = material.settlement_of(chosen)
    ids = {limit.activation_id}
    if settlement is not None:
        ids.add(settlement.settlement_id)
    under = [
        asking.request.request_id
        for need in material.sessions.needs
        if (asking := need.standing) is not None
        and asking.choice is not None
        and asking.receipt is not None
        and asking.choice.station_id == limit.station_id
        and limit.start <= asking.choice.start < limit.end
        and asking.request.timestamp > limit.timestamp
    ]
    episode = Episode(limit.activation_id, limit.start, limit.end)
    return about(material.run.trace, episode, ids | set(under[:1]), material.run.zone)


# ---- money


def _money_title(material: PublicMaterial) -> str:
    moved = sum((payment.amount_eur for payment in material.run.payments), Decimal(0))
    text = f"{euro(moved)} changed hands"
    if material.capacity_eur:
        text += f", {euro(material.capacity_eur)} of it for caps"
    return text


def _remarks(material: PublicMaterial, prices: Outcome) -> list[str]:
    postings = material.run.postings
    balance = sum((posting.amount_eur for posting in postings), Decimal(0))
    bills, unbilled = material.services.bills, material.unbilled_eur(prices.eur)
    remarks = [f"{number(len(postings))} postings in {_transactions(material)} transactions add up to {euro(balance)}."]
    if bills:
        usual = sum((each.bill.usual_eur for each in bills), Decimal(0))
        energy = sum(each.bill.energy_kwh for each in bills)
        remarks.append(
            f"Network use: {number(energy)} kWh billed, {euro(usual)} at the usual price; reductions took off"
            f" {euro(material.reduction_eur)}. What is drawn after the last midnight of the run is not billed in it"
            + (f", nor are {euro(unbilled)} of the {euro(prices.eur)} that reductions take off." if unbilled else ".")
        )
    penalties = sum((each.settlement.penalty_eur for each in material.services.settled if each.agreed), Decimal(0))
    auction = material.auction
    if auction is not None and auction.contracts:
        price = sum((each.price_eur for each in auction.contracts), Decimal(0))
        remarks.append(
            f"Caps: {euro(price)} for the contracts{_S} whole period, of which each day is"
            f" worth its part; penalties so far {euro(penalties)}."
        )
    return remarks


def _transactions(material: PublicMaterial) -> str:
    return number(len({posting.transaction_id for posting in material.run.postings}))
