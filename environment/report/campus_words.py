"""The findings of a day on campuses in words: the headline, the titles over the charts, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from environment.report.congestion_services import Part
from environment.report.seconds import Trip
from environment.report.words import euro, number
from protocols.exchanges.vocabulary import FcrProduct

Cases = Mapping[str, Mapping[str, Any]]
PRODUCTS = {
    FcrProduct.FCR_N: "FCR-N",
    FcrProduct.FCR_D_UP: "FCR-D up",
    FcrProduct.FCR_D_DOWN: "FCR-D down",
    FcrProduct.FCR_CE: "FCR",
}
KIND_WORDS = {"shift": "shift", "curtail": "curtail", "discharge": "discharge"}
_OVER = "minutes_beyond_limit"
_S = "\N{RIGHT SINGLE QUOTATION MARK}"


def headline(campuses: Sequence[Cases], help_eur: Decimal, trip: Trip | None, fcr_eur: Decimal, sold: bool) -> str:
    """What the vehicles did for networks and frequency, in one sentence. `campuses`: the figures of each by case."""
    after = sum(float(campus["with"][_OVER]) for campus in campuses)
    parts = [f"The transformers were beyond their limits for {number(after)} minutes"]
    if all("without" in campus for campus in campuses):
        before = sum(float(campus["without"][_OVER]) for campus in campuses)
        parts = [_overload(before, after, help_eur)]
    if trip is not None and sold and "without" in trip.nadir_hz:
        low, lower = number(trip.nadir_hz["with"], 2), number(trip.nadir_hz["without"], 2)
        lifted = trip.nadir_hz["with"] - trip.nadir_hz["without"] >= 0.0005
        if low == lower:
            low, lower = number(trip.nadir_hz["with"], 3), number(trip.nadir_hz["without"], 3)
        verb = "held the trip of a large unit at" if lifted else "did not help in the trip of a large unit:"
        parts.append(f"their frequency control {verb} {low} Hz instead of {lower} and earned {euro(fcr_eur)}")
    elif sold:
        parts.append(f"their frequency control earned {euro(fcr_eur)}")
    return "; ".join(parts)


def _overload(before: float, after: float, help_eur: Decimal) -> str:
    cost = f"for {euro(help_eur)}" if help_eur > 0 else "and nobody was paid for it"
    if not before and not after:
        return f"No transformer came to its limit, with the vehicles{_S} help or without"
    if after < before:
        return f"The vehicles cut the transformers{_S} overload from {number(before)} to {number(after)} minutes {cost}"
    return (
        f"The vehicles did not shorten the transformers{_S} overload: {number(after)} minutes,"
        f" {number(before)} without, {cost}"
    )


def loading_title(campuses: Mapping[str, Cases]) -> str:
    """The finding over the transformers' chart."""
    told = []
    for name, figures in campuses.items():
        text = f"{name} peaked at {number(figures['with']['peak_trafo_loading_percent'])} %"
        if "without" in figures:
            text += f" ({number(figures['without']['peak_trafo_loading_percent'])} % without)"
        told.append(text)
    return "; ".join(told)


def lines_title(campuses: Mapping[str, Cases]) -> str:
    """The finding over the lines' chart."""

    def worst(case: str) -> tuple[str, float]:
        name = max(campuses, key=lambda name: float(campuses[name][case]["peak_line_loading_percent"]))
        return name, float(campuses[name][case]["peak_line_loading_percent"])

    where, peak = worst("with")
    text = f"The most loaded line came to {number(peak)} % at {where}"
    if all("without" in figures for figures in campuses.values()):
        other, before = worst("without")
        text += f"; without flexibility to {number(before)} %" + (f" at {other}" if other != where else "")
    return text


def help_title(parts: Sequence[Part], help_eur: Decimal, avoided_kwh: float | None) -> str:
    """What was asked for, what took place, and what it cost."""
    calls = {(part.dso, part.call.request_id) for part in parts}
    took = sum(part.took_place for part in parts)
    text = f"{plural(len(calls), 'call')}, {plural(took, 'service')} given, {euro(help_eur)} paid"
    if avoided_kwh is not None and avoided_kwh >= 0.05 and help_eur > 0:
        text += f": {number(float(help_eur) / avoided_kwh, 2)} EUR per kWh of overload avoided"
    return text


def asked_title(answers: Sequence[str]) -> str:
    """How many drivers said yes."""
    times = plural(len(answers), "time a driver was asked", "times a driver was asked")
    return f"{times}, {answers.count('yes')} said yes"


def list_title(part: Part) -> str:
    """Whose list it is."""
    return (
        f"{len(part.activations)} activations of {part.manager.partition('@')[0]} for {part.call.request_id},"
        f" {number(part.awarded_kw, 1)} of {number(part.offered_kw, 1)} kW awarded"
    )


def trip_title(trip: Trip) -> str:
    """Nadir and where it settled."""
    text = f"Down to {number(trip.nadir_hz['with'], 3)} Hz, settled at {number(trip.settled_hz['with'], 3)} Hz"
    if "without" in trip.nadir_hz:
        text += (
            f"; without the vehicles {number(trip.nadir_hz['without'], 3)} and"
            f" {number(trip.settled_hz['without'], 3)} Hz"
        )
    return text


def frequency_title(figures: Mapping[str, Any]) -> str:
    """How long the frequency was outside what is ordinary."""
    text = f"{number(figures['with']['minutes_outside_ordinary'], 1)} minutes outside 49.9 to 50.1 Hz"
    if "without" in figures:
        text += f"; without the vehicles {number(figures['without']['minutes_outside_ordinary'], 1)}"
    return text


def plural(count: int, one: str, many: str = "") -> str:
    """`1 call`, `2 calls`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
