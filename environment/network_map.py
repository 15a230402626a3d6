"""`network.json`: what a run's network looks like, so that whoever watches needs neither pandapower nor the scenario.

    {"version": 1,
     "networks": [{"name", "transformer", "transformer_kva", "busbar"}],
     "buses": [{"name", "network", "x", "y", "distance_km", "nominal_kv", "towards"}],
     "lines": [{"name", "from", "to", "length_km"}],
     "chargers": [{"id", "bus", "max_charge_kw", "max_discharge_kw", "owner", "site"}],
     "limits": {network: {"transformer_percent", "line_percent", "vm_min_pu", "vm_max_pu"}},
     "changes": [{"at", "network", "transformer_percent"}]}

x is the distance from the transformer along the lines in km, y the row in a one-line diagram
(`environment.network_layout`), several networks below each other. `towards` is the bus that feeds a bus, null for a
busbar. `owner` is who operates a charger, `site` where it stands. `limits` are those that the network's DSO keeps,
`changes` when a congestion signal sets another one for the transformer. A run writes the file before it begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agents.grid_view import Limits
from environment.run_folder import NETWORK

if TYPE_CHECKING:
    from environment.world import Plant

VERSION: Final = 1


class NetworkMapError(ValueError):
    """A network.json that cannot be read, in one line that names it."""


@dataclass(frozen=True, slots=True)
class MapNetwork:
    """One network: `name` is "" where it is the only one; `busbar` the bus of the transformer's lower side."""

    name: str
    transformer: str
    transformer_kva: float
    busbar: str


@dataclass(frozen=True, slots=True)
class MapBus:
    """A bus and its place in the diagram: `x` in km, `y` in rows; `towards`: the bus that feeds it."""

    name: str
    network: str
    x: float
    y: float
    distance_km: float
    nominal_kv: float
    towards: str | None


@dataclass(frozen=True, slots=True)
class MapLine:
    """A line between two buses."""

    name: str
    from_bus: str
    to_bus: str
    length_km: float


@dataclass(frozen=True, slots=True)
class MapCharger:
    """A charger; ratings are kW at the grid side, both >= 0."""

    id: str
    bus: str
    max_charge_kw: float
    max_discharge_kw: float
    owner: str
    site: str


@dataclass(frozen=True, slots=True)
class LimitChange:
    """From `at` on the DSO keeps this limit of its transformer, in percent of the rating."""

    at: datetime
    network: str
    transformer_percent: float


@dataclass(frozen=True)
class NetworkMap:
    """The networks of a run as they are drawn."""

    networks: tuple[MapNetwork, ...]
    buses: tuple[MapBus, ...]
    lines: tuple[MapLine, ...]
    chargers: tuple[MapCharger, ...]
    limits: Mapping[str, Limits]
    changes: tuple[LimitChange, ...] = ()

    @cached_property
    def bus(self) -> Mapping[str, MapBus]:
        """The buses by name."""
        return {bus.name: bus for bus in self.buses}

    @cached_property
    def chargers_at(self) -> Mapping[str, tuple[MapCharger, ...]]:
        """The chargers of each bus that has any."""
        found: dict[str, list[MapCharger]] = {}
        for charger in self.chargers:
            found.setdefault(charger.bus, []).append(charger)
        return {bus: tuple(chargers) for bus, chargers in found.items()}

    def limits_at(self, network: str, at: datetime) -> Limits:
        """What the DSO of a network keeps at a moment."""
        usual = self.limits[network]
        percent = usual.transformer_percent
        for change in self.changes:
            if change.network == network and change.at <= at:
                percent = change.transformer_percent
        return Limits(percent, usual.line_percent, usual.vm_min_pu, usual.vm_max_pu)


def write(folder: Path, plant: Plant) -> None:
    """Writes the file of a plant into its run folder. Raises OSError."""
    # Drawing needs the power flow's own network; who only reads must not wait for its libraries.
    from environment.network_drawing import drawn

    (folder / NETWORK).write_text(json.dumps(as_json(drawn(plant)), ensure_ascii=False), encoding="utf-8")


def as_json(network: NetworkMap) -> dict[str, Any]:
    """What stands in the file."""
    lines = [
        {"name": line.name, "from": line.from_bus, "to": line.to_bus, "length_km": line.length_km}
        for line in network.lines
    ]
    return {
        "version": VERSION,
        "networks": [asdict(each) for each in network.networks],
        "buses": [asdict(bus) for bus in network.buses],
        "lines": lines,
        "chargers": [asdict(charger) for charger in network.chargers],
        "limits": {name: asdict(limits) for name, limits in network.limits.items()},
        "changes": [{**asdict(change), "at": change.at.isoformat()} for change in network.changes],
    }


def read(path: Path) -> NetworkMap:
    """The network of a run folder. Raises NetworkMapError: no such file, or not one that this program has written."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.get("version") != VERSION:
            raise NetworkMapError(f"{path}: not a network of version {VERSION}; run the scenario anew")
        network = NetworkMap(
            tuple(MapNetwork(**each) for each in told["networks"]),
            tuple(MapBus(**bus) for bus in told["buses"]),
            tuple(MapLine(line["name"], line["from"], line["to"], float(line["length_km"])) for line in told["lines"]),
            tuple(MapCharger(**charger) for charger in told["chargers"]),
            {name: Limits(**limits) for name, limits in told["limits"].items()},
            tuple(LimitChange(**{**each, "at": datetime.fromisoformat(each["at"])}) for each in told["changes"]),
        )
    except NetworkMapError:
        raise
    except FileNotFoundError:
        raise NetworkMapError(f"{path}: no such file; runs of an earlier version have none") from None
    except OSError as reason:
        raise NetworkMapError(f"{path}: cannot be read ({reason.strerror})") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise NetworkMapError(f"{path}: not JSON ({str(reason).splitlines()[0]})") from None
    except (KeyError, TypeError, AttributeError, ValueError) as reason:
        raise NetworkMapError(f"{path}: not a network as this program writes it ({reason})") from None
    _check(path, network)
    return network


def _check(path: Path, network: NetworkMap) -> None:
    """Raises NetworkMapError where something stands at a bus or in a network that is not there."""
    names = {each.name for each in network.networks}
    for bus in network.buses:
        if bus.network not in names or bus.network not in network.limits:
            raise NetworkMapError(f"{path}: bus {bus.name!r} is in a network {bus.network!r} that is not there")
    ends = [(line.name, end) for line in network.lines for end in (line.from_bus, line.to_bus)]
    for name, end in [*ends, *((charger.id, charger.bus) for charger in network.chargers)]:
        if end not in network.bus:
            raise NetworkMapError(f"{path}: {name!r} is at a bus {end!r} that is not there")
