"""The chapters that every demonstrator has: the vehicles, one negotiation, the money, the messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from environment.report import money, sequence_svg, words
from environment.report.chapter import Chapter
from environment.report.figures import DayCharts
from environment.report.material import Material, exchange_name
from environment.report.sequence import Story


def fleet(material: Material, charts: DayCharts, shaded: str = "") -> Chapter:
    """The power and the state of charge of the vehicles; `shaded` says what the charts' windows are."""
    title = words.fleet_title(material.figures)
    return Chapter(
        "fleet",
        "Fleet",
        "fleet.html.j2",
        {
            "title": title,
            "shaded": shaded,
            "power": charts.fleet(f"Line chart of the chargers' power, and one row for each. {title}."),
            "charge": charts.state_of_charge("Line chart of the mean state of charge, and one row for each vehicle."),
        },
    )


def negotiation(story: Story | None, title: str, nothing: str) -> Chapter:
    """One negotiation as a sequence diagram, or the sentence `nothing` where there was none."""
    return Chapter(
        "negotiation",
        "One negotiation",
        "negotiation.html.j2",
        {"story": story, "title": title, "nothing": nothing, "picture": picture(story)},
    )


def picture(story: Story | None) -> Markup | str:
    """The sequence diagram of a story, empty for none."""
    if story is None:
        return ""
    names = ", ".join(line.name for line in story.lifelines)
    alt = f"Sequence diagram of {len(story.steps)} steps between {names}."
    return sequence_svg.draw(story, alt, exchange_name)


def payments(material: Material, title: str, paid: Sequence[money.Payment] | None = None, **values: Any) -> Chapter:
    """Who paid whom by the ledger, or `paid`; `values` may have `remarks`, `bills` or `invoices`, shown below it."""
    paid = material.payments if paid is None else paid
    return Chapter(
        "money",
        "Money",
        "money.html.j2",
        {
            "title": title,
            "payments": paid,
            "accounts": money.accounts(paid),
            "picture": money.draw(paid, _alt(paid)) if paid else "",
            "remarks": (),
            "bills": (),
            "invoices": (),
            **values,
        },
    )


def _alt(paid: Sequence[money.Payment]) -> str:
    return "Payments. " + "; ".join(f"{p.payer} to {p.payee} {words.euro(p.amount_eur)}" for p in paid[:20])


def messages(material: Material) -> Chapter:
    """How many messages carried each exchange, and what was worth a warning."""
    counts = material.summary.get("exchanges", {})
    return Chapter(
        "messages",
        "Messages",
        "messages.html.j2",
        {
            "exchanges": [(exchange, exchange_name(exchange), count) for exchange, count in counts.items()],
            "messages": len(material.trace.entries),
            "warnings": material.summary.get("warnings", ()),
        },
    )
