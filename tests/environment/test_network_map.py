"""network.json: written from a plant, read back as it was, faults in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from environment import network_map, scenario
from environment.launcher import streams
from environment.network_drawing import drawn
from environment.network_map import NetworkMap, NetworkMapError
from environment.run_folder import NETWORK
from environment.world import Plant, build


def plant(name: str) -> Plant:
    return build(scenario.load(name), streams(1))


@pytest.fixture(scope="module")
def slovenia() -> Plant:
    return plant("slovenia")


@pytest.fixture(scope="module")
def denmark() -> Plant:
    return plant("denmark")


def written(folder: Path, plant: Plant) -> NetworkMap:
    network_map.write(folder, plant)
    return network_map.read(folder / NETWORK)


def test_what_is_read_is_what_was_written(tmp_path: Path, denmark: Plant):
    assert written(tmp_path, denmark) == drawn(denmark)


def test_the_map_has_the_run_s_buses_lines_and_chargers_in_the_order_of_its_series(tmp_path: Path, slovenia: Plant):
    found = written(tmp_path, slovenia)

    assert tuple(bus.name for bus in found.buses) == slovenia.networks.buses
    assert tuple(line.name for line in found.lines) == slovenia.grid.lines
    assert {charger.id: charger.bus for charger in found.chargers} == slovenia.bus_of
    assert {bus.nominal_kv for bus in found.buses} == {0.4}
    assert (found.networks[0].transformer_kva, found.chargers[0].owner, found.chargers[0].site) == (
        160,
        "cpo1",
        "office",
    )


def test_the_farthest_bus_is_as_far_as_the_lines_to_it_are_long(tmp_path: Path, slovenia: Plant):
    found = written(tmp_path, slovenia)
    length = {frozenset((line.from_bus, line.to_bus)): line.length_km for line in found.lines}

    bus = far = max(found.buses, key=lambda bus: bus.distance_km)
    way = 0.0
    while bus.towards is not None:
        way += length[frozenset((bus.name, bus.towards))]
        bus = found.bus[bus.towards]

    assert bus.name == found.networks[0].busbar
    assert far.distance_km == pytest.approx(way, abs=1e-4)
    assert far.x == pytest.approx(way, abs=1e-4)


def test_several_networks_stand_below_each_other(tmp_path: Path, denmark: Plant):
    found = written(tmp_path, denmark)
    rows = {name: [bus.y for bus in found.buses if bus.network == name] for name in ("bornholm", "risoe")}

    assert max(rows["bornholm"]) < min(rows["risoe"])


def test_a_congestion_signal_sets_the_limit_for_as_long_as_it_holds(tmp_path: Path, denmark: Plant):
    found = written(tmp_path, denmark)
    before, within = datetime(2026, 1, 14, 5, 19, tzinfo=UTC), datetime(2026, 1, 14, 5, 20, tzinfo=UTC)

    assert found.limits_at("bornholm", before).transformer_percent == 100
    assert found.limits_at("bornholm", within).transformer_percent == 75
    assert found.limits_at("risoe", within).transformer_percent == 100


def test_chargers_of_a_public_station_belong_to_its_operator(tmp_path: Path):
    found = written(tmp_path, plant("greece"))

    assert {(c.owner, c.site) for c in found.chargers_at["Bus 4"]} == {("ppc", "koropi-east")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file"),
        ("{", "not JSON"),
        ("[]", "not a network of version 1"),
        ('{"version": 2}', "not a network of version 1"),
        ('{"version": 1}', "not a network as this program writes it ('networks')"),
        ('{"version": 1, "networks": [{"nome": ""}]}', "not a network as this program writes it"),
        (
            '{"version": 1, "networks": [], "buses": [], "chargers": [], "limits": {}, "changes": [],'
            ' "lines": [{"name": "1", "from": "a", "to": "b", "length_km": "far"}]}',
            "not a network as this program writes it (could not convert string to float: 'far')",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_that_names_it(tmp_path: Path, text: str | None, says: str):
    path = tmp_path / NETWORK
    if text is not None:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(NetworkMapError) as fault:
        network_map.read(path)

    assert str(fault.value).startswith(f"{path}: {says}")
    assert "\n" not in str(fault.value)


def test_a_charger_at_a_bus_that_is_not_there_is_told(tmp_path: Path, slovenia: Plant):
    path = tmp_path / NETWORK
    told = network_map.as_json(drawn(slovenia))
    told["chargers"][0]["bus"] = "Bus 0"
    path.write_text(json.dumps(told), encoding="utf-8")

    with pytest.raises(NetworkMapError, match="'office-01' is at a bus 'Bus 0' that is not there"):
        network_map.read(path)
