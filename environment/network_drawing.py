"""The network of a plant as `network.json` has it: buses at their places, limits, chargers and their operators."""

from __future__ import annotations

from datetime import UTC

from agents.grid_view import Limits
from environment.campus_plant import CongestionSignal
from environment.campus_scenario import CampusScenario
from environment.market_scenario import MarketSitePart
from environment.network_layout import Spot, laid_out
from environment.network_map import LimitChange, MapBus, MapCharger, MapLine, MapNetwork, NetworkMap
from environment.networks import Network
from environment.scenario import Scenario
from environment.scenario_parts import GridPart
from environment.world import Plant

ROWS_BETWEEN = 2
"""So many rows lie between two networks."""
_DIGITS = 6


def drawn(plant: Plant) -> NetworkMap:
    """The map of a plant's networks, one below the other."""
    networks: list[MapNetwork] = []
    buses: list[MapBus] = []
    lines: list[MapLine] = []
    row = 0
    for member in plant.networks.members:
        network, spots, own = _member(member)
        networks.append(network)
        nominal = dict(zip(member.grid.net.bus.name.astype(str), member.grid.net.bus.vn_kv.astype(float), strict=True))
        buses += [
            MapBus(
                bus,
                member.name,
                round(spots[bus].x, _DIGITS),
                float(spots[bus].y + row),
                round(spots[bus].distance_km, _DIGITS),
                nominal[bus],
                spots[bus].towards,
            )
            for bus in member.grid.buses
        ]
        lines += own
        row += max(spot.y for spot in spots.values()) + ROWS_BETWEEN
    return NetworkMap(
        tuple(networks),
        tuple(buses),
        tuple(lines),
        _chargers(plant),
        {name: _limits(part) for name, part in plant.scenario.grids.items()},
        _changes(plant.scenario),
    )


def _member(member: Network) -> tuple[MapNetwork, dict[str, Spot], list[MapLine]]:
    """A network, the places of its buses, and its lines in the order of its state."""
    grid, net = member.grid, member.grid.net
    name = dict(zip(net.bus.index, net.bus.name.astype(str), strict=True))
    busbar = name[net.trafo.lv_bus.iloc[0]]
    ends = zip(grid.lines, net.line.from_bus, net.line.to_bus, net.line.length_km, strict=True)
    lines = [MapLine(line, name[a], name[b], round(float(km), _DIGITS)) for line, a, b, km in ends]
    spots = laid_out(busbar, grid.buses, [(line.from_bus, line.to_bus, line.length_km) for line in lines])
    return MapNetwork(member.name, grid.transformer, grid.transformer_kva, busbar), dict(spots), lines


def _chargers(plant: Plant) -> tuple[MapCharger, ...]:
    """The chargers in the order of the series, each with its operator and its site."""
    belongs: dict[str, tuple[str, str]] = {}
    for site in plant.scenario.sites:
        owner = site.cpo if isinstance(site, MarketSitePart) else site.name
        belongs.update(dict.fromkeys(site.charger_ids(), (owner, site.name)))
    for station in plant.public.stations if plant.public is not None else ():
        belongs.update(dict.fromkeys(station.charger_ids, (station.cpo, station.station_id)))
    return tuple(
        MapCharger(
            spec.charger_id,
            plant.bus_of[spec.charger_id],
            spec.max_charge_kw,
            spec.max_discharge_kw,
            *belongs[spec.charger_id],
        )
        for spec in plant.specs
    )


def _limits(part: GridPart) -> Limits:
    """What the DSO of a network keeps."""
    band = part.voltage_band_percent / 100
    return Limits(part.transformer_limit_percent, part.line_limit_percent, round(1 - band, 6), round(1 + band, 6))


def _changes(scenario: Scenario) -> tuple[LimitChange, ...]:
    """When a congestion signal sets another limit, in order; only campuses have them."""
    if not isinstance(scenario, CampusScenario):
        return ()
    signals = {campus.name: CongestionSignal(scenario, campus.name) for campus in scenario.campus}
    found = [
        LimitChange(at.astimezone(UTC), name, signal(at).transformer_percent)
        for name, signal in signals.items()
        for at in signal.changes
    ]
    return tuple(sorted(found, key=lambda change: (change.at, change.network)))
