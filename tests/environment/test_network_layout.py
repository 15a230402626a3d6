"""Where the buses of a diagram stand: as far as the lines are long, no two lines across each other."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from environment.network_layout import Spot, laid_out

Stroke = tuple[tuple[float, float], tuple[float, float]]


def strokes(spots: dict[str, Spot]) -> dict[str, list[Stroke]]:
    """Each bus' way from the bus that feeds it: down or up at that bus, then along the row."""
    found = {}
    for bus, spot in spots.items():
        if spot.towards is not None:
            near = spots[spot.towards]
            found[bus] = [((near.x, near.y), (near.x, spot.y)), ((near.x, spot.y), (spot.x, spot.y))]
    return found


def cross(one: Stroke, other: Stroke) -> bool:
    """Whether two upright or level strokes meet anywhere."""
    (ax, ay), (bx, by) = one
    (cx, cy), (dx, dy) = other
    return max(min(ax, bx), min(cx, dx)) <= min(max(ax, bx), max(cx, dx)) and max(min(ay, by), min(cy, dy)) <= min(
        max(ay, by), max(cy, dy)
    )


def crossings(spots: dict[str, Spot]) -> list[tuple[str, str]]:
    """Pairs of lines that meet although they have no bus in common, and are not fed by the same one."""
    ways = strokes(spots)
    return [
        (one, other)
        for one, other in combinations(ways, 2)
        if len({one, other, spots[one].towards, spots[other].towards}) == 4
        and any(cross(a, b) for a in ways[one] for b in ways[other])
    ]


def test_the_way_that_reaches_farthest_goes_straight_on_and_the_other_one_turns_off():
    lines = [("t", "a", 0.1), ("a", "b", 0.2), ("a", "c", 0.5)]

    spots = dict(laid_out("t", ["t", "a", "b", "c"], lines))

    assert spots["t"].y == spots["a"].y == spots["c"].y
    assert spots["b"].y != spots["a"].y
    assert [round(spots[bus].x, 9) for bus in "tabc"] == [0.0, 0.1, 0.3, 0.6]
    assert spots["c"].towards == "a"


def test_two_short_ways_of_one_line_share_a_row_where_there_is_room():
    trunk = [("t", "a", 1.0), ("a", "b", 1.0), ("b", "c", 1.0)]

    spots = dict(laid_out("t", ["t", "a", "b", "c", "x", "y"], [*trunk, ("a", "x", 0.1), ("b", "y", 0.1)]))

    assert spots["x"].y == spots["y"].y


def test_a_ring_is_laid_out_by_the_shortest_ways():
    lines = [("t", "a", 1.0), ("a", "b", 1.0), ("t", "c", 1.0), ("c", "b", 0.5)]

    spots = laid_out("t", ["t", "a", "b", "c"], lines)

    assert spots["b"].distance_km == 1.5
    assert spots["b"].towards == "c"


def test_a_line_without_length_still_has_two_ends():
    spots = laid_out("t", ["t", "a", "b"], [("t", "a", 1.0), ("a", "b", 0.0)])

    assert spots["b"].x > spots["a"].x
    assert spots["b"].distance_km == spots["a"].distance_km


def test_a_bus_that_no_line_reaches_stands_below_all_others():
    spots = laid_out("t", ["t", "a", "alone", "lost"], [("t", "a", 1.0)])

    assert spots["a"].y < spots["alone"].y < spots["lost"].y
    assert spots["alone"].towards is None


def test_a_long_chain_is_one_row():
    buses = [str(number) for number in range(3000)]

    spots = laid_out("0", buses, [(a, b, 0.01) for a, b in pairwise(buses)])

    assert {spot.y for spot in spots.values()} == {0}


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([0.0, 0.001, 0.1, 0.5, 3.0])), min_size=1, max_size=40)
)
def test_no_lines_cross_in_any_tree_and_no_two_buses_stand_in_one_place(drawn: list[tuple[int, float]]):
    buses = [str(number) for number in range(len(drawn) + 1)]
    lines = [(str(near % number), str(number), km) for number, (near, km) in enumerate(drawn, start=1)]

    spots = dict(laid_out("0", buses, lines))

    assert crossings(spots) == []
    assert len({(round(spot.x, 9), spot.y) for spot in spots.values()}) == len(buses)
