"""An island's findings in words: the headline, the tiles' notes, the titles over the charts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from environment.report.words import euro, number

Cases = Mapping[str, Mapping[str, Any]]


def headline(island: Cases, voltage: Cases, fuel_saved: float = 0.0) -> str:
    """What the vehicles did for the island, in one sentence. Both hold `with` and, if it was run, `without`;
    `fuel_saved` in kg."""
    after, minutes = island["with"], voltage["with"]["minutes_outside"]
    if "without" not in island:
        return (
            f"{number(after['curtailed_kwh'])} kWh of wind were thrown away, and the voltages were outside EN 50160 for"
            f" {number(minutes)} minutes"
        )
    before = island["without"]
    parts = [_wind(before["curtailed_kwh"], after["curtailed_kwh"])]
    if abs(fuel := fuel_saved) >= 0.5:
        parts.append(f"saved {number(fuel)} kg of fuel" if fuel > 0 else f"cost {number(-fuel)} kg more fuel")
    parts.append(_voltages(voltage["without"]["minutes_outside"], minutes))
    told = ", ".join(parts[:-1]) + ("," if len(parts) > 2 else "")
    return f"The vehicles\N{RIGHT SINGLE QUOTATION MARK} service {told} and {parts[-1]}"


def _wind(before: float, after: float) -> str:
    if before < 0.5:
        return "had no curtailed wind to save"
    if before - after < 0.5:
        return f"saved none of the {number(before)} kWh of wind that were thrown away"
    return f"cut the wind that is thrown away from {number(before)} to {number(after)} kWh"


def _voltages(before: float, after: float) -> str:
    if not after:
        without = f" ({number(before)} minutes outside without)" if before else ""
        return f"kept the voltages within EN 50160{without}"
    if after < before:
        return f"kept the voltages within EN 50160 for all but {number(after)} minutes ({number(before)} without)"
    return f"did not keep the voltages within EN 50160, for {number(after)} minutes ({number(before)} without)"


def money_title(moved: Decimal, spent: Decimal) -> str:
    """What was paid in all, and what TSO and DSO paid for it, or got (`spent` below 0), net."""
    if spent > 0:
        return f"{euro(moved)} changed hands; the TSO and the DSO paid {euro(spent)} more than they got"
    return f"{euro(moved)} changed hands; {euro(-spent)} of it came to the TSO and the DSO for energy and grid use, net"


def fuel_note(island: Mapping[str, Any]) -> str:
    """How the fuel saved is counted where the vehicles end the day with another charge, else an empty text."""
    later = island.get("charged_ahead_kwh", 0.0)
    if "fuel_saved_kg" not in island or abs(later) < 0.5:
        return ""
    saved, held = number(island["fuel_saved_kg"]), number(abs(later))
    if later > 0:
        return (
            f"The vehicles took {held} kWh more from the grid than without the service, which they need not take later:"
            f" counting what the thermal units would burn for that, {saved} kg of fuel are saved."
        )
    return (
        f"The vehicles took {held} kWh less from the grid than without the service, which they will take later:"
        f" counting what the thermal units will burn for that, {saved} kg of fuel are saved."
    )


def scaled(kwh: float, share: float | None) -> str:
    """An energy for the whole island: `x 62 for the island: 9.1 MWh`; empty where the slice's share is not known."""
    if not share:
        return ""
    whole = kwh / share
    amount = _amount(whole, "kWh", "MWh")
    return f"{factor(share)} for the island: {amount}"


def scaled_fuel(kg: float, share: float | None) -> str:
    """The same for fuel, in kg or tonnes."""
    if not share:
        return ""
    whole = kg / share
    amount = _amount(whole, "kg", "t")
    return f"{factor(share)} for the island: {amount}"


def _amount(value: float, unit: str, thousands: str) -> str:
    """A number and its unit on one line."""
    large = abs(value) >= 1000
    return f"{number(value / 1000, 1) if large else number(value)}\N{NO-BREAK SPACE}{thousands if large else unit}"


def factor(share: float) -> str:
    """What a slice's energies are to be multiplied with: `x 62`."""
    return f"\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{number(1 / share, 0 if share < 0.1 else 1)}"


def slice_of(notes: Mapping[str, Any]) -> str:
    """What the figures are a part of, in a sentence; empty where the whole island was run."""
    share = notes.get("share")
    if not share or share >= 1:
        return ""
    vehicles = f" with its {number(notes['vehicles'])} vehicles" if notes.get("vehicles") else ""
    return (
        f"The run holds a slice of {number(100 * share, 1)} % of the island{vehicles}, plants and demand alike:"
        f" powers and energies here are the slice\N{RIGHT SINGLE QUOTATION MARK}s, {factor(share)} for the island."
    )


def supply_title(island: Cases) -> str:
    """The finding over the generation's chart."""
    after = island["with"]
    available = after["wind_available_kwh"]
    used = 100 * after["wind_kwh"] / available if available else 100.0
    text = f"{number(used)} % of the wind was used"
    if "without" in island:
        before = island["without"]
        used = 100 * before["wind_kwh"] / before["wind_available_kwh"] if before["wind_available_kwh"] else 100.0
        text += f"; without flexibility {number(used)} %"
    return text


def curtailed_title(island: Cases) -> str:
    """The finding over the curtailment's chart."""
    after = island["with"]
    text = f"{number(after['curtailed_kwh'])} kWh thrown away in {number(after['hours_with_curtailment'], 1)} hours"
    if "without" in island:
        before = island["without"]
        text += f"; without flexibility {number(before['curtailed_kwh'])} kWh"
        text += f" in {number(before['hours_with_curtailment'], 1)} hours"
    return text


def frequency_title(island: Cases) -> str:
    """The finding over the frequency's chart."""
    after = island["with"]
    at = datetime.fromisoformat(after["lowest_frequency_at"])
    text = f"The frequency fell to {number(after['lowest_frequency_hz'], 2)} Hz at {at:%H:%M}"
    if "without" in island:
        text += f"; without flexibility the lowest was {number(island['without']['lowest_frequency_hz'], 2)} Hz"
    return text


def buses_title(voltage: Cases) -> str:
    """The finding over the buses' strips."""
    after = voltage["with"]
    text = f"{after['buses_outside']} of {after['buses']} buses left \N{PLUS-MINUS SIGN}10 %"
    if "without" in voltage:
        text += f"; without flexibility {voltage['without']['buses_outside']}"
    return text


def drivers_title(totals: Mapping[str, Any], title: str) -> str:
    """What the drivers got, and what they took beyond it."""
    extra = totals.get("extra_kwh", 0.0)
    return f"{title}; {number(extra)} kWh were taken beyond that" if extra >= 0.5 else title
