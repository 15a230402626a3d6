"""Sharing out: who declines is left alone, the rest carry it, and every cent is given."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.allocation import allocate, benefits, contributions
from agents.decisions.fleet import FlexVehicle, uncontrolled
from tests.agents.decisions.fleets import PERIODS, faults, fleets, windows

CAR = FlexVehicle("a", 60.0, 20.0, 0.0, 40.0, 0, 24, 10.0, 0.0, 1.0, 1.0)
THREE = [CAR, dataclasses.replace(CAR, id="b"), dataclasses.replace(CAR, id="c")]
BASE = uncontrolled(THREE, PERIODS)
WINDOW = range(2, 6)


def test_all_carry_what_all_can() -> None:
    plan = allocate(THREE, BASE, WINDOW, 30.0)
    assert plan.power_kw == 30.0
    assert [(c.vehicle_id, c.power_kw, c.energy_kwh) for c in contributions(THREE, plan.plan_kw, WINDOW)] == [
        ("a", 10.0, 10.0),
        ("b", 10.0, 10.0),
        ("c", 10.0, 10.0),
    ]


def test_the_others_carry_what_one_declines_where_they_can() -> None:
    plan = allocate(THREE, BASE, WINDOW, 15.0, declined={"b"})
    assert plan.power_kw == 15.0
    assert plan.plan_kw[1].tolist() == BASE[1].tolist()
    assert "b" not in {c.vehicle_id for c in contributions(THREE, plan.plan_kw, WINDOW)}


def test_what_the_willing_cannot_carry_is_not_promised() -> None:
    assert allocate(THREE, BASE, WINDOW, 30.0, declined={"b"}).power_kw == 20.0
    assert allocate(THREE, BASE, WINDOW, 30.0, declined={"a", "b", "c"}).power_kw == 0.0


def test_a_cap_holds_for_the_whole_fleet() -> None:
    base = uncontrolled(THREE[:2], PERIODS)
    plan = allocate(THREE[:2], base, WINDOW, 10.0, declined={"a"}, cap_kw=np.full(PERIODS, 20.0))
    assert plan.excess_kw == 0.0
    assert plan.plan_kw.sum(axis=0).max() <= 20.0 + 1e-6


def test_a_vehicle_that_gives_nothing_is_not_asked() -> None:
    plan = allocate(THREE, BASE, WINDOW, 10.0, declined={"b", "c"})
    (only,) = contributions(THREE, plan.plan_kw, WINDOW)
    assert only.vehicle_id == "a"


def test_benefits_go_by_energy_to_the_last_cent() -> None:
    assert benefits(Decimal("1.00"), {"a": 2.0, "b": 1.0, "c": 0.0}) == {"a": Decimal("0.67"), "b": Decimal("0.33")}
    assert benefits(Decimal("1.00"), {"a": 0.0}) == {}
    assert benefits(Decimal("-1.00"), {"a": 1.0}) == {}


@settings(max_examples=40, deadline=None)
@given(fleets(), windows, st.floats(0.1, 40), st.sets(st.sampled_from(["v0", "v1", "v2"])))
def test_whoever_declines_is_never_moved_and_what_is_promised_is_kept(
    fleet: list[FlexVehicle], window: range, power: float, declined: set[str]
) -> None:
    own = uncontrolled(fleet, PERIODS)
    plan = allocate(fleet, own, window, power, declined=declined)
    assert faults(fleet, plan.plan_kw) == []
    for vehicle, before, after in zip(fleet, own, plan.plan_kw, strict=True):
        if vehicle.id in declined:
            assert before.tolist() == after.tolist()
    kept = (own - plan.plan_kw).sum(axis=0)[window.start : window.stop].min()
    assert plan.power_kw <= min(power, kept) + 2e-6
