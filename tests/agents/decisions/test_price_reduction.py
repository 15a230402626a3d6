"""Where the sun feeds back, and what is taken off network use there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from agents.decisions.price_reduction import Beliefs, Reduction, ReverseFlow, decide, find
from agents.decisions.station_prices import Reduced
from agents.grid_view import GridState
from agents.periods import QUARTER
from agents.public_ports import StationSite

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)
BUSES = ("bus-1", "bus-2", "bus-3")
SECTIONS = {"line-1": BUSES, "line-2": ("bus-2", "bus-3"), "line-3": ("bus-3",)}
BELIEFS = Beliefs(cost_per_eur=-0.0605, energy_kwh=30.0, share=0.1, following=0.5)
MOST, STEP = Decimal("0.10"), Decimal("0.01")
USUAL = {"s-2": [100.0] * 8, "s-3": [100.0] * 8}


def station(number: int, connection_kw: float = 250.0) -> StationSite:
    return StationSite(f"s-{number}", "ppc", f"bus-{number}", 37.9, 23.9, ("a", "b"), 60.0, connection_kw)


STATIONS = (station(2), station(3))


def state(number: int, *p_kw: float) -> GridState:
    n = len(p_kw)
    return GridState(
        BUSES,
        (),
        "t",
        np.array(p_kw),
        np.zeros(n),
        np.ones(n),
        np.zeros(0),
        0.0,
        0.0,
        0.0,
        0.0,
        NOON + number * QUARTER,
    )


def decided(
    flows: Sequence[ReverseFlow],
    stations: Sequence[StationSite] = STATIONS,
    announced: Sequence[Reduced] = (),
    beliefs: Beliefs = BELIEFS,
    most: Decimal = MOST,
) -> list[Reduction]:
    return decide(
        flows, SECTIONS, stations, USUAL, beliefs, most, STEP, usual_from=NOON - 2 * QUARTER, announced=announced
    )


def test_a_reverse_flow_is_found_at_every_line_that_the_surplus_passes() -> None:
    states = [state(0, 50, 10, 10), state(1, 50, 10, -30), state(2, 50, 10, -90), state(3, 50, 10, -5)]
    found = {flow.line: flow for flow in find(states, SECTIONS, 0.0)}
    assert found["line-3"] == ReverseFlow("line-3", NOON + QUARTER, (30, 90, 5))
    assert found["line-2"] == ReverseFlow("line-2", NOON + QUARTER, (20, 80))
    assert found["line-1"] == ReverseFlow("line-1", NOON + 2 * QUARTER, (30,))
    assert found["line-3"].energy_kwh == 31.25
    assert found["line-3"].end == NOON + 4 * QUARTER


def test_what_is_allowed_to_flow_back_is_no_reverse_flow() -> None:
    states = [state(0, 0, 0, -30), state(1, 0, 0, -20), state(2, 0, 0, -50)]
    found = find(states, {"line-3": ("bus-3",)}, 25.0)
    assert [(flow.start, flow.periods_kw) for flow in found] == [(NOON, (5,)), (NOON + 2 * QUARTER, (25,))]


def test_states_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no such bus: bus-9"):
        find([state(0, 0, 0, 0)], {"line-9": ("bus-9",)}, 0.0)


def test_more_is_gained_by_more_and_never_more_than_everybody() -> None:
    gains = [BELIEFS.gain(eur) for eur in (0.0, 0.02, 0.05, 0.10, 1.0, 100.0)]
    assert gains[0] == 0
    assert gains == sorted(set(gains))
    assert gains[-1] <= 0.5 * (1 / 0.1 - 1)
    # a logit's elasticity: cost_per_eur * energy * (1 - share)
    assert BELIEFS.gain(1e-4) / 1e-4 == pytest.approx(0.5 * 0.0605 * 30 * 0.9, rel=1e-3)


def test_the_smallest_reduction_that_should_bring_what_is_wanted() -> None:
    (made,) = decided([ReverseFlow("line-2", NOON, (5.0, 5.0))])
    gain = [200 * BELIEFS.gain(cent / 100) for cent in range(11)]
    assert gain[3] >= 5.0 > gain[2]
    assert made.reduction_eur_per_kwh == Decimal("0.03")
    assert (made.locations, made.start, made.end) == (("bus-2", "bus-3"), NOON, NOON + 2 * QUARTER)
    assert made.wanted_kwh == 2.5
    assert made.expected_kwh == pytest.approx(gain[3] / 2)


def test_no_more_than_the_most_is_taken_off() -> None:
    (made,) = decided([ReverseFlow("line-2", NOON, (500.0,))])
    assert made.reduction_eur_per_kwh == MOST
    assert made.expected_kwh < made.wanted_kwh
    (made,) = decided([ReverseFlow("line-2", NOON, (500.0,))], most=Decimal("0.055"))
    assert made.reduction_eur_per_kwh == Decimal("0.05")


def test_what_a_line_further_out_brings_counts_for_the_lines_before_it() -> None:
    deep = ReverseFlow("line-3", NOON, (6.0,))
    (made,) = decided([ReverseFlow("line-2", NOON, (6.0,)), deep])
    assert (made.line, made.locations) == ("line-3", ("bus-3",))
    both = decided([ReverseFlow("line-2", NOON, (15.0,)), deep])
    assert [each.line for each in both] == ["line-3", "line-2"]
    assert both[1].locations[0] == "bus-2"
    assert both[1].expected_kwh >= both[1].wanted_kwh


def test_what_is_announced_counts_and_is_not_announced_again() -> None:
    flows = [ReverseFlow("line-2", NOON, (5.0, 5.0))]
    before = decided(flows)
    assert decided(flows, announced=before) == []
    more = decided([ReverseFlow("line-2", NOON, (9.0, 9.0))], announced=before)
    assert more[0].reduction_eur_per_kwh > before[0].reduction_eur_per_kwh


def test_a_line_without_a_station_that_could_take_more_gets_no_reduction() -> None:
    flows = [ReverseFlow("line-2", NOON, (50.0,))]
    assert decided(flows, stations=[]) == []
    assert decided(flows, stations=[station(1)]) == []
    assert decided(flows, stations=[station(2, 100.0), station(3, 90.0)]) == []
    assert decided(flows, beliefs=Beliefs(following=0.0)) == []
    assert decided([ReverseFlow("line-2", NOON + timedelta(days=1), (50.0,))]) == []


@pytest.mark.parametrize("wrong", [{"cost_per_eur": 0.1}, {"share": 0.0}, {"following": 1.5}, {"energy_kwh": 0.0}])
def test_beliefs_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no beliefs"):
        Beliefs(**wrong)


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leads nowhere"):
        decide([], SECTIONS, STATIONS, USUAL, BELIEFS, MOST, Decimal(0), usual_from=NOON)
