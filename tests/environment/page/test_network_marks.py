"""What the diagram draws: each element once, at its place, in the series of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from agents.grid_view import Limits
from environment.network_map import MapBus, MapCharger, MapNetwork, NetworkMap
from environment.page.network_chart import options
from environment.page.network_marks import EACH_AT_MOST, data, shade
from environment.watched.network import Charging, Loading, NetworkNow, Voltage
from environment.watched.network_figures import Kind
from tests.environment.watched.hand_made import hand_made, run_of
from tests.environment.watched.test_network import EVENING


def drawn(network: NetworkMap | None = None, columns: Mapping[str, Any] = EVENING, **wanted: Any) -> Any:
    now = NetworkNow(run_of(network, **columns))  # type: ignore[arg-type]
    now.refresh()
    return data(now, **wanted)


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def test_every_series_of_the_chart_is_filled_and_no_other():
    ids = [series["id"] for series in options(hand_made())["series"]]

    assert sorted(drawn()) == sorted(ids)


def test_buses_and_lines_are_in_the_series_of_their_class_and_what_is_beyond_has_its_number():
    found = drawn()

    assert names(found[f"bus-{Voltage.BELOW}"]) == ["far"]
    assert found[f"bus-{Voltage.BELOW}"][0]["label"]["formatter"] == "0.893"
    assert names(found[f"bus-{Voltage.MIDDLE}"]) == ["busbar", "near", "side"]
    assert names(found[f"line-{Loading.BEYOND}"]) == ["line-2"]
    assert names(found["beyond"]) == ["101 %"]
    assert {item["label"]["formatter"] for item in found[f"trafo-{Loading.BEYOND}"] if "label" in item} == {"112 %"}


def test_chargers_are_in_the_series_of_their_state_with_words():
    found = drawn()

    assert found[f"charger-{Charging.CHARGING}"][0]["said"] == "office-01\ncharging 11.0 kW, 40 %"
    assert names(found[f"charger-{Charging.GIVING}"]) == ["home-01"]
    assert names(found[f"charger-{Charging.FREE}"]) == ["office-02"]


def test_a_line_turns_off_at_the_bus_that_feeds_it():
    network = hand_made()
    found = drawn(network)
    ways = {item["name"]: item["coords"] for state in Loading for item in found[f"line-{state}"]}
    near, side = network.bus["near"], network.bus["side"]

    assert ways["line-3"] == [[near.x, near.y], [near.x, side.y], [side.x, side.y]]
    assert len(ways["line-2"]) == 2


def test_chargers_of_one_bus_and_of_close_buses_do_not_cover_each_other():
    buses = tuple(MapBus(name, "", x, 0.0, x, 0.4, None) for name, x in (("a", 0.0), ("b", 0.5), ("c", 0.505)))
    chargers = tuple(
        MapCharger(f"{bus}-{n}", bus, 11.0, 0.0, "o", "o") for bus, count in (("b", 5), ("c", 2)) for n in range(count)
    )
    network = NetworkMap((MapNetwork("", "t", 100.0, "a"),), buses, (), chargers, {"": Limits()})

    found = drawn(network, {"p_kw__b-0": 0.0})
    items = [item for state in Charging for item in found[f"charger-{state}"]]
    places = {
        (round(item["value"][0] / 0.505 * 900 / 12 + item["symbolOffset"][0] / 12, 1), item["symbolOffset"][1])
        for item in items
    }

    assert len(items) == 7
    for one in places:
        assert all(one == other or abs(one[0] - other[0]) >= 0.9 or one[1] != other[1] for other in places)


def test_many_chargers_of_a_bus_are_told_by_how_many_do_what():
    chargers = tuple(MapCharger(f"car-{n}", "near", 11.0, 0.0, "o", "o") for n in range(EACH_AT_MOST + 3))
    base = hand_made()
    network = NetworkMap(base.networks, base.buses, base.lines, chargers, base.limits)
    columns = {f"p_kw__car-{n}": 10.0 if n < 4 else 0.0 for n in range(len(chargers))}

    found = drawn(network, columns)

    charging, free = found[f"charger-{Charging.CHARGING}"], found[f"charger-{Charging.FREE}"]
    assert [item["label"]["formatter"] for item in (*charging, *free)] == ["4", "11"]
    assert charging[0]["said"] == "near\n4 charging 40.0 kW"


@pytest.mark.parametrize(
    ("chosen", "bus"),
    [
        ((Kind.BUS, "far"), "far"),
        ((Kind.CHARGER, "home-02"), "side"),
        ((Kind.LINE, "line-1"), "near"),
        ((Kind.TRANSFORMER, "trafo"), "busbar"),
        ((Kind.BUS, "nowhere"), None),
    ],
)
def test_what_is_chosen_is_ringed(chosen: tuple[Kind, str], bus: str | None):
    network = hand_made()
    ring = drawn(network, chosen=chosen)["chosen"]

    assert [item["value"] for item in ring] == ([] if bus is None else [[network.bus[bus].x, network.bus[bus].y]])


def test_only_what_changed_differs_from_one_moment_to_the_next():
    before = drawn()
    after = drawn(columns={**EVENING, "p_kw__home-02": 5.0})

    changed = {key for key in before if before[key] != after[key]}
    assert changed == {f"charger-{Charging.FULL}", f"charger-{Charging.CHARGING}"}


def test_a_voltage_is_the_more_coloured_the_nearer_its_limit():
    assert shade(1.0, 0.9, 1.1).endswith("0%, var(--volt-middle))")
    assert "volt-low) 100%" in shade(0.9, 0.9, 1.1)
    assert "volt-high) 60%" in shade(1.05, 0.9, 1.1)


def test_a_network_without_any_voltage_is_drawn_all_the_same():
    found = drawn(columns={"trafo_loading_percent": np.nan})

    assert len(found[f"bus-{Voltage.UNKNOWN}"]) == 4
    assert len(found[f"line-{Loading.UNKNOWN}"]) == 3
    assert len(found[f"charger-{Charging.UNKNOWN}"]) == 4
