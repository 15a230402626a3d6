"""What the network does at a moment, in figures and words: an overview, and one bus, line, transformer or charger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from environment.network_map import MapBus, MapCharger
from environment.watched.network import (
    Charging,
    Loading,
    Moment,
    NetworkNow,
    Voltage,
    charger_words,
    together,
    volts,
)

_FEEDS_IN = -0.05


class Kind(StrEnum):
    """What can be chosen."""

    BUS = "bus"
    LINE = "line"
    TRANSFORMER = "transformer"
    CHARGER = "charger"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the overview: `beyond` where a limit is broken; `about` is what it can be looked at in the
    diagram."""

    label: str
    value: str
    note: str = ""
    beyond: bool = False
    about: tuple[Kind, str] | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of one element: rows of label and value, and the column of the series with its unit that its little
    history is drawn from, its limits in that unit, and the other elements it leads to."""

    title: str
    rows: tuple[tuple[str, str], ...]
    column: str
    unit: str
    limits: tuple[float, ...]
    leads_to: tuple[tuple[Kind, str], ...] = ()


def figures(now: NetworkNow) -> tuple[Figure, ...]:
    """The overview, the most important first; empty as long as there is no moment."""
    moment = now.moment
    if now.map is None or moment is None:
        return ()
    found = [*_transformers(now, moment), *_most_loaded(now, moment), *_voltages(now, moment)]
    return (*found, *_chargers(now, moment), *_others(moment))


def _transformers(now: NetworkNow, moment: Moment) -> list[Figure]:
    assert now.map is not None
    found = []
    for index, network in enumerate(now.map.networks):
        loaded, limit = float(moment.transformer_percent[index]), float(moment.transformer_limit[index])
        if np.isnan(loaded):
            continue
        where = f" {network.name}" if network.name else ""
        found.append(
            Figure(
                f"Transformer{where}",
                f"{loaded:.0f} %",
                f"of {rating(network.transformer_kva)}; limit {limit:.0f} %",
                bool(moment.transformers[index] == Loading.BEYOND),
                (Kind.TRANSFORMER, network.transformer),
            )
        )
    return found


def _most_loaded(now: NetworkNow, moment: Moment) -> list[Figure]:
    """The line that carries the most of its rating, where the series has lines."""
    assert now.map is not None
    if not len(moment.line_percent) or np.isnan(moment.line_percent).all():
        return []
    index = int(np.nanargmax(moment.line_percent))
    line = now.map.lines[index]
    beyond = int((moment.lines == Loading.BEYOND).sum())
    return [
        Figure(
            "Most loaded line",
            f"{moment.line_percent[index]:.0f} %",
            line.name + (f"; {beyond} beyond their limit" if beyond > 1 else ""),
            beyond > 0,
            (Kind.LINE, line.name),
        )
    ]


def _voltages(now: NetworkNow, moment: Moment) -> list[Figure]:
    assert now.map is not None
    if np.isnan(moment.vm_pu).all():
        return []
    found = []
    ends = (("Lowest voltage", np.nanargmin, Voltage.BELOW), ("Highest voltage", np.nanargmax, Voltage.ABOVE))
    for label, which, broken in ends:
        index = int(which(moment.vm_pu))
        bus, outside = now.map.buses[index], int((moment.voltages == broken).sum())
        limits = now.map.limits[bus.network]
        limit = limits.vm_min_pu if broken is Voltage.BELOW else limits.vm_max_pu
        note = f"{volts(bus, float(moment.vm_pu[index]))} at {bus.name}; limit {limit:.2f}"
        if outside:
            note += (
                f", {outside} {'bus' if outside == 1 else 'buses'} {'below' if broken is Voltage.BELOW else 'above'}"
            )
        found.append(Figure(label, f"{moment.vm_pu[index]:.3f} pu", note, outside > 0, (Kind.BUS, bus.name)))
    return found


def _chargers(now: NetworkNow, moment: Moment) -> list[Figure]:
    counts = now.counts()
    if not counts:
        return []
    here = sum(count for state, count in counts.items() if state not in (Charging.FREE, Charging.UNKNOWN))
    soc = moment.totals.get("fleet_soc_percent", float("nan"))
    return [
        Figure("Chargers", f"{np.nansum(moment.power_kw):.1f} kW", together(counts)),
        Figure(
            "Vehicles",
            f"{here} of {len(moment.chargers)}",
            "plugged in" + ("" if np.isnan(soc) else f", charged to {soc:.0f} % on average"),
        ),
    ]


def _others(moment: Moment) -> list[Figure]:
    """Everything else that is drawn and fed in, and the frequency."""
    found = []
    load, pv = (moment.totals.get(name, float("nan")) for name in ("load_kw", "pv_kw"))
    if not np.isnan(load):
        note = f"photovoltaics feed in {power(-pv)}" if pv < _FEEDS_IN else "no photovoltaics now"
        found.append(Figure("Other load", power(load), note))
    frequency = moment.totals.get("frequency_hz", float("nan"))
    if not np.isnan(frequency):
        found.append(Figure("Frequency", f"{frequency:.3f} Hz", f"{(frequency - 50) * 1000:+.0f} mHz"))
    return found


def details(now: NetworkNow, kind: Kind, name: str) -> Details | None:
    """What is known of one element at the moment; None where there is no such element or nothing is known yet."""
    if now.map is None or now.moment is None:
        return None
    match kind:
        case Kind.BUS if name in now.map.bus:
            return _bus(now, now.moment, now.map.bus[name])
        case Kind.LINE:
            return _line(now, now.moment, name)
        case Kind.TRANSFORMER:
            return _transformer(now, now.moment, name)
        case Kind.CHARGER:
            return _charger(now, now.moment, name)
    return None


def _bus(now: NetworkNow, moment: Moment, bus: MapBus) -> Details:
    assert now.map is not None
    index = now.map.buses.index(bus)
    limits = now.map.limits[bus.network]
    here = now.map.chargers_at.get(bus.name, ())
    numbers = [number for number, charger in enumerate(now.map.chargers) if charger.bus == bus.name]
    value = float(moment.vm_pu[index])
    rows = [
        ("Voltage", "not known" if np.isnan(value) else f"{value:.3f} pu, {volts(bus, value)}"),
        ("Limits", f"{limits.vm_min_pu:.2f} to {limits.vm_max_pu:.2f} pu: {voltage_words(moment.voltages[index])}"),
        ("From the transformer", f"{bus.distance_km * 1000:.0f} m along the lines"),
        ("Fed from", bus.towards or "the transformer"),
    ]
    if here:
        rows.append(
            ("Chargers", f"{power(float(np.nansum(moment.power_kw[numbers])))}: {together(now.counts(numbers))}")
        )
    leads = tuple((Kind.CHARGER, charger.id) for charger in here)
    return Details(bus.name, tuple(rows), f"vm_pu:{bus.name}", "pu", (limits.vm_min_pu, limits.vm_max_pu), leads)


def _line(now: NetworkNow, moment: Moment, name: str) -> Details | None:
    assert now.map is not None
    for index, line in enumerate(now.map.lines):
        if line.name == name:
            limit = now.map.limits[now.map.bus[line.from_bus].network].line_percent
            value = float(moment.line_percent[index])
            rows = (
                ("Loading", "not in this run's series" if np.isnan(value) else f"{value:.1f} % of the rated current"),
                ("Limit", f"{limit:.0f} %: {loading_words(moment.lines[index])}"),
                ("Length", f"{line.length_km * 1000:.0f} m"),
                ("Between", f"{line.from_bus} and {line.to_bus}"),
            )
            ends = ((Kind.BUS, line.from_bus), (Kind.BUS, line.to_bus))
            return Details(line.name, rows, f"line_loading_percent:{name}", "%", (limit,), ends)
    return None


def _transformer(now: NetworkNow, moment: Moment, name: str) -> Details | None:
    assert now.map is not None
    for index, network in enumerate(now.map.networks):
        if network.transformer == name:
            value, limit = float(moment.transformer_percent[index]), float(moment.transformer_limit[index])
            rows = (
                ("Loading", "not known" if np.isnan(value) else f"{value:.1f} % of {rating(network.transformer_kva)}"),
                ("Limit", f"{limit:.0f} %: {loading_words(moment.transformers[index])}"),
                ("Feeds", network.busbar),
            )
            column = "trafo_loading_percent" if index == 0 else f"line_loading_percent:{name}"
            return Details(name, rows, column, "%", (limit,), ((Kind.BUS, network.busbar),))
    return None


def _charger(now: NetworkNow, moment: Moment, name: str) -> Details | None:
    assert now.map is not None
    for index, charger in enumerate(now.map.chargers):
        if charger.id == name:
            state = Charging(int(moment.chargers[index]))
            words = charger_words(state, float(moment.power_kw[index]), float(moment.soc_percent[index]))
            rows = [("Now", words), ("Rating", ratings(charger)), ("Belongs to", owner(charger)), ("Bus", charger.bus)]
            if notice := now.notice_of(name):
                rows.append(("Last notice", notice))
            limits = (charger.max_charge_kw, *((-charger.max_discharge_kw,) if charger.max_discharge_kw else ()))
            return Details(name, tuple(rows), f"p_kw:{name}", "kW", limits, ((Kind.BUS, charger.bus),))
    return None


def owner(charger: MapCharger) -> str:
    """Who operates a charger, and where it stands where that has a name of its own."""
    return charger.owner if charger.site == charger.owner else f"{charger.owner}, {charger.site}"


def ratings(charger: MapCharger) -> str:
    """ "charges with 11 kW, gives back 7.4 kW"."""
    back = f", gives back {charger.max_discharge_kw:g} kW" if charger.max_discharge_kw else ", gives nothing back"
    return f"charges with {charger.max_charge_kw:g} kW{back}"


def rating(kva: float) -> str:
    """160 kVA, 25 MVA."""
    return f"{kva / 1000:g} MVA" if kva >= 1000 else f"{kva:g} kVA"


def power(kw: float) -> str:
    """A power with its unit, in MW where that is easier to read."""
    return f"{kw / 1000:.2f} MW" if abs(kw) >= 10_000 else f"{kw:.1f} kW"


def voltage_words(code: int) -> str:
    """Where a voltage is."""
    if code == Voltage.UNKNOWN:
        return "not known"
    return {Voltage.BELOW: "below", Voltage.ABOVE: "above"}.get(Voltage(int(code)), "within")


def loading_words(code: int) -> str:
    """Where a loading is."""
    if code == Loading.UNKNOWN:
        return "not known"
    return "beyond" if code == Loading.BEYOND else "within"
