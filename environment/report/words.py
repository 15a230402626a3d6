"""Numbers and findings in words: the headline, the titles over the charts, the labels of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

ROLE_NAMES = {
    "vpp": "VPP",
    "cpo": "CPO",
    "dso": "DSO",
    "tso": "TSO",
    "fmo": "market operator",
    "fo": "flexibility operator",
    "emsp": "EMSP",
    "v2x_manager": "V2X manager",
    "ev_owner": "EV owner",
    "producer": "producer",
    "directory": "directory",
    "environment": "environment",
    "observer": "observer",
}
CROWDS = {"ev_owner": "EV owners", "v2x_manager": "V2X managers"}
"""Roles with so many members that a picture shows them as one."""


def number(value: float, digits: int = 0, sign: bool = False) -> str:
    """With thin spaces between thousands and a true minus sign; never `-0`."""
    text = f"{value:{'+' if sign else ''},.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


def euro(amount: Decimal | float, sign: bool = False) -> str:
    """An amount with its cents and its unit."""
    return f"{number(float(amount), 2, sign)} EUR"


def account_name(account: str) -> str:
    """A JID without its domain: `vpp-sava@gridparley.local` is `vpp-sava`; other accounts stay as they are."""
    return account.split("@", 1)[0]


def accounts_too(roles: Mapping[str, str]) -> dict[str, str]:
    """The roles by JID, and by the name that the same agent has in the ledger, which knows no domains."""
    return {**{account_name(jid): role for jid, role in roles.items()}, **roles}


def actor(jid: str, roles: Mapping[str, str]) -> tuple[str, str]:
    """An agent's name and, unless the name says it, its role in words: ("vpp-sava", "VPP"), ("DSO", "")."""
    name, role = account_name(jid), roles.get(jid, "")
    words = ROLE_NAMES.get(role, role)
    return (words, "") if name == role else (name, words)


def duration(span: timedelta) -> str:
    """A span of scenario time: `one day`, `3 days`, `6 hours`."""
    hours = span / timedelta(hours=1)
    if hours >= 23:
        days = max(1, round(hours / 24))
        return "one day" if days == 1 else f"{days} days"
    return f"{number(hours, 0 if hours == int(hours) else 1)} hours"


def headline(figures: Mapping[str, Mapping[str, Any]], paid: Decimal, awarded: bool) -> str:
    """What flexibility was worth, in one sentence. `figures` holds `with` and, if it was run, `without`."""
    after = figures["with"]
    cost = f"for {euro(paid)}" if paid > 0 else "and nobody paid for it"
    minutes_after = after["minutes_above_100_percent"]
    if "without" not in figures:
        return (
            f"The transformer peaked at {number(after['peak_trafo_loading_percent'])} % of its rating"
            f" and was above it for {number(minutes_after)} minutes"
        )
    before = figures["without"]
    minutes_before = before["minutes_above_100_percent"]
    peaks = f"{number(before['peak_trafo_loading_percent'])} % to {number(after['peak_trafo_loading_percent'])} %"
    if not awarded:
        if minutes_after:
            return f"No flexibility was bought, and the transformer was overloaded for {number(minutes_after)} minutes"
        return "No flexibility was bought, and none was needed: the transformer stayed within its rating"
    if minutes_before and not minutes_after:
        return (
            f"Flexibility kept the transformer within its rating: {number(minutes_before)} minutes of overload"
            f" avoided, {cost}"
        )
    if minutes_after < minutes_before:
        return (
            f"Flexibility cut the transformer\N{RIGHT SINGLE QUOTATION MARK}s overload from {number(minutes_before)}"
            f" to {number(minutes_after)} minutes, {cost}"
        )
    if minutes_before or minutes_after:
        return (
            f"Flexibility did not shorten the overload: {number(minutes_after)} minutes with it,"
            f" {number(minutes_before)} without, {cost}"
        )
    if after["peak_trafo_loading_percent"] < before["peak_trafo_loading_percent"]:
        return f"Flexibility lowered the transformer\N{RIGHT SINGLE QUOTATION MARK}s peak from {peaks}, {cost}"
    return f"Flexibility was bought {cost}, and the transformer\N{RIGHT SINGLE QUOTATION MARK}s peak went from {peaks}"


def transformer_title(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The finding over the transformer's chart."""
    after = figures["with"]
    text = f"The transformer peaked at {number(after['peak_trafo_loading_percent'])} % of its rating"
    if "without" in figures:
        text += f"; without flexibility at {number(figures['without']['peak_trafo_loading_percent'])} %"
    return text


def voltage_title(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The finding over the voltages' chart."""
    after = figures["with"]
    low, minutes = after["min_voltage_pu"], after["minutes_outside_en50160"]
    text = f"Voltages between {number(low, 3)} and {number(after['max_voltage_pu'], 3)} of nominal"
    return text + (
        f", outside EN 50160 for {number(minutes)} minutes" if minutes else ", 10-minute means within EN 50160"
    )


def fleet_title(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The finding over the fleet's chart."""
    after = figures["with"]
    text = f"The chargers took {number(after['energy_charged_kwh'])} kWh"
    text += f", at most {number(after['peak_fleet_kw'])} kW at once"
    if after["energy_discharged_kwh"] >= 0.5:
        text += f", and gave back {number(after['energy_discharged_kwh'])} kWh"
    return text


def drivers_title(drivers: Mapping[str, Any]) -> str:
    """Whether every driver left with the charge asked for."""
    departed, short = drivers.get("departed", 0), drivers.get("below_wanted", 0)
    if not departed:
        return "No driver left within the run"
    if not short:
        return f"All {departed} drivers left with the charge they asked for"
    return f"{departed - short} of {departed} drivers left with the charge they asked for, {short} with less"


def period(start: datetime, end: datetime, zone: tzinfo | None, *, dated: bool) -> str:
    """A period in local time, `17:30–18:30`; of a run of several days with its day, `16 Jan 17:30–18:30`.

    One that never began is its beginning alone.
    """
    start, end = start.astimezone(zone), end.astimezone(zone)
    if start == end:
        return f"{f'{start.day} {start:%b} ' if dated else ''}{start:%H:%M}"
    days = (end.date() - start.date()).days
    later = f" +{days} d" if days and f"{end:%H:%M}" != "00:00" else ""
    return f"{f'{start.day} {start:%b} ' if dated else ''}{start:%H:%M}–{end:%H:%M}{later}"


def day(start: datetime) -> str:
    """A date in words, without a leading zero: `Wednesday 15 January 2025`."""
    return f"{start:%A} {start.day} {start:%B %Y}"


def service_kind(kind: str) -> str:
    """What a service is for, in a word or two."""
    return {"res-curtailment": "Wind", "voltage-control": "Voltage"}.get(kind, kind)
