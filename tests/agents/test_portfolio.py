"""A VPP's books: what is possible, what is promised, and what each CPO carries of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agents.charging import HORIZON
from agents.decisions.bidding import NoOffer, Offer, Strategy
from agents.decisions.fleet import uncontrolled
from agents.portfolio import SMALLEST_PART_KW, Portfolio, Promise, Stage, View, mean_power, powers_of
from protocols import exchanges as x
from tests.agents.stage import COSTS, EFFICIENCY, POINT, at
from tests.swarm import jid


def status(charger_id: str, **changed: Any) -> x.ChargerStatus:
    values: dict[str, Any] = {
        "charger_id": charger_id,
        "location": "bus1",
        "connected": True,
        "state": x.ChargerState.CHARGING,
        "soc_percent": 30.0,
        "capacity_kwh": 50.0,
        "energy_required_kwh": 25.0,
        "minimum_soc_percent": 20.0,
        "departure": at(600),
        "power_kw": 11.0,
        "voltage_v": 230.0,
        "frequency_hz": 50.0,
        "max_charge_kw": 11.0,
        "max_discharge_kw": 7.4,
        "meter_kwh": 0.0,
    }
    return x.ChargerStatus(**values | changed)


def report(*chargers: x.ChargerStatus, planned: tuple[float, ...] | None = None) -> x.DataMeasurements:
    return x.DataMeasurements(
        request_id="r",
        timestamp=at(0),
        production_kw=0.0,
        power_kw=sum(c.power_kw for c in chargers),
        chargers=chargers,
        plan_start=at(0),
        planned_kw=(11.0 * len(chargers),) * 9 if planned is None else planned,
    )


def view(limits: dict[str, float] | None = None, **reports: x.DataMeasurements) -> View:
    names = [c.charger_id for r in reports.values() for c in r.chargers]
    by_jid = {jid(name): r for name, r in reports.items()}
    return View.of(at(0), by_jid, dict.fromkeys(names, (EFFICIENCY, EFFICIENCY)), limits or {})


def promise(bid_id: str = "b1", *, stage: Stage = Stage.AWARDED, kw: float = 10.0, **changed: Any) -> Promise:
    values: dict[str, Any] = {
        "bid_id": bid_id,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(30),
        "end": at(60),
        "power_kw": kw,
        "price_eur_per_kw": Decimal("0.1"),
        "baseline_kw": (22.0, 22.0),
        "buyer": jid("dso"),
        "stage": stage,
    }
    return Promise(**values | changed)


def portfolio(*promises: Promise, **strategy: Any) -> Portfolio:
    found = Portfolio(Strategy(**{"margin": 0.15, "owners_eur_per_kw": 0.02, "reserve": 0.0} | strategy), COSTS)
    found.promises = {p.bid_id: p for p in promises}
    return found


TWO = view(cpo1=report(status("c1"), status("c2")))


def best(books: Portfolio, seen: View = TWO, **changed: Any) -> Offer | NoOffer:
    values: dict[str, Any] = {"needed_kw": 100.0, "max_price_eur_per_kw": Decimal(1)}
    return books.best_offer(seen, at(30), at(60), **values | changed)


# ---- the view ------------------------------------------------------------------------------------------------------


def test_plans_are_padded_to_a_day_and_added_up() -> None:
    seen = view(cpo1=report(status("c1"), planned=(5.0, 4.0)), cpo2=report(status("d1"), planned=(1.0,)))
    assert seen.total_kw.shape == (HORIZON,)
    assert list(seen.total_kw[:3]) == [6.0, 4.0, 0.0]
    assert len(seen.vehicles[jid("cpo1")]) == 1


def test_a_faulty_charger_and_a_car_of_which_nothing_is_known_are_no_vehicles() -> None:
    broken = status("c1", state=x.ChargerState.FAULT, connected=False)
    unannounced = status("c2", departure=None)
    assert view(cpo1=report(broken, unannounced, status("c3"))).vehicles[jid("cpo1")][0].id == "c3"


def test_an_expected_car_counts_from_the_quarter_after_its_arrival() -> None:
    expected = status("c1", connected=False, state=x.ChargerState.UNPLUGGED, expected_arrival=at(31))
    (vehicle,) = view(cpo1=report(expected)).vehicles[jid("cpo1")]
    assert vehicle.arrival_period == 3


def test_a_bus_limit_on_giving_power_back_is_shared_by_its_chargers() -> None:
    seen = view({"bus1": 6.0}, cpo1=report(status("c1"), status("c2")))
    assert [v.max_discharge_kw for v in seen.vehicles[jid("cpo1")]] == [3.0, 3.0]


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [(30, 60, range(2, 4)), (0, 15, range(1)), (-15, 15, None), (96 * 15 - 15, 96 * 15 + 15, None), (60, 60, None)],
    ids=["ahead", "now", "past", "beyond the day", "empty"],
)
def test_a_window_is_numbered_from_the_view_or_there_is_none(start: float, end: float, window: range | None) -> None:
    assert TWO.window(at(start), at(end)) == window


# ---- offers --------------------------------------------------------------------------------------------------------


def test_what_is_promised_but_not_yet_activated_is_held_free() -> None:
    free = best(portfolio())
    held = best(portfolio(promise(kw=15.0)))
    assert isinstance(free, Offer)
    assert isinstance(held, Offer)
    assert held.power_kw == pytest.approx(free.power_kw - 15.0, abs=0.25)


@pytest.mark.parametrize(("stage", "counts"), [(Stage.OFFERED, True), (Stage.AWARDED, True), (Stage.ACTIVATED, False)])
def test_an_activated_promise_is_in_the_plans_already_and_not_held_twice(stage: Stage, counts: bool) -> None:
    ceilings = portfolio(promise(stage=stage)).ceilings(TWO)
    assert np.isfinite(ceilings).sum() == (2 if counts else 0)
    if counts:
        assert list(ceilings[2:4]) == [12.0, 12.0]


def test_two_promises_for_one_hour_add_up() -> None:
    books = portfolio(promise("b1", kw=6.0), promise("b2", kw=4.0, baseline_kw=(16.0, 16.0)))
    assert list(books.ceilings(TWO)[2:4]) == [12.0, 12.0]
    offered = portfolio(promise("b1", kw=6.0), promise("b2", kw=4.0, stage=Stage.OFFERED))
    assert list(offered.ceilings(TWO)[2:4]) == [12.0, 12.0]


@pytest.mark.parametrize("stage", [Stage.AWARDED, Stage.ACTIVATED, Stage.DELIVERED])
@pytest.mark.parametrize("planned", [22.0, 15.0, 10.0])
def test_a_new_promise_is_measured_against_what_is_sold_already_whether_it_is_kept_or_not(
    stage: Stage, planned: float
) -> None:
    """22 kW were nominated and 10 of them sold; the plans say that 0, 7 or 12 of these are kept."""
    seen = view(cpo1=report(status("c1"), status("c2"), planned=(planned,) * 9))
    books = portfolio(promise(stage=stage))
    assert list(books.baseline(seen)[1:5]) == [planned, min(12.0, planned), min(12.0, planned), planned]
    free, besides = best(portfolio(), seen), best(books, seen)
    assert isinstance(free, Offer)
    assert isinstance(besides, Offer)
    assert besides.power_kw == pytest.approx(free.power_kw - max(0.0, planned - 12.0), abs=0.25)


def test_no_more_is_nominated_than_the_registered_chargers_draw() -> None:
    books = portfolio()
    books.registered_kw = 15.0
    assert list(books.baseline(TWO)[2:4]) == [15.0, 15.0]
    free, bound = best(portfolio()), best(books)
    assert isinstance(free, Offer)
    assert isinstance(bound, Offer)
    assert bound.power_kw == pytest.approx(free.power_kw - 7.0, abs=0.25)


def test_what_is_only_offered_is_not_sold() -> None:
    assert list(portfolio(promise(stage=Stage.OFFERED)).baseline(TWO)[2:4]) == [22.0, 22.0]


def test_the_plan_behind_an_offer_keeps_the_other_promises() -> None:
    books = portfolio(promise("b1", kw=12.0, start=at(60), end=at(90)))
    found = best(books)
    assert isinstance(found, Offer)
    assert (found.backing.plan_kw.sum(axis=0)[4:6] <= 22.0 - 12.0 + 1e-4).all()


def test_the_reserve_is_held_back_from_the_offer() -> None:
    whole, part = best(portfolio(reserve=0.0)), best(portfolio(reserve=0.2))
    assert isinstance(whole, Offer)
    assert isinstance(part, Offer)
    assert part.power_kw == pytest.approx(0.8 * whole.power_kw, abs=0.15)


def test_time_that_is_past_cannot_be_offered() -> None:
    found = portfolio().best_offer(TWO, at(-15), at(15), needed_kw=5.0, max_price_eur_per_kw=Decimal(1))
    assert isinstance(found, NoOffer)
    assert found.code == "too-late"


# ---- the split -----------------------------------------------------------------------------------------------------


def test_an_activation_is_split_by_what_each_cpo_can_do() -> None:
    seen = view(cpo1=report(status("c1"), status("c2"), status("c3")), cpo2=report(status("d1")))
    parts = portfolio().split(seen, promise(kw=20.0, baseline_kw=(44.0, 44.0)))
    assert parts[jid("cpo1")].power_kw == pytest.approx(15.0, abs=0.01)
    assert parts[jid("cpo2")].power_kw == pytest.approx(5.0, abs=0.01)
    ceilings = np.array([part.ceiling_kw for part in parts.values()])
    assert ceilings.sum(axis=0) == pytest.approx([24.0, 24.0], abs=0.01)


@pytest.mark.parametrize("moved", [-4.0, 5.0])
def test_the_ceilings_close_the_gap_between_the_plans_and_the_nomination(moved: float) -> None:
    """22 kW were nominated; the plans now say more or less: what was promised is an absolute power."""
    seen = view(cpo1=report(status("c1"), status("c2"), planned=(22.0 + moved,) * 9))
    (part,) = portfolio().split(seen, promise(kw=10.0)).values()
    assert part.ceiling_kw == pytest.approx((12.0, 12.0))
    assert part.power_kw == pytest.approx(10.0)


def test_a_cpo_whose_part_is_not_worth_asking_is_left_out() -> None:
    full = status("d1", energy_required_kwh=0.0, max_discharge_kw=0.0)
    seen = view(cpo1=report(status("c1")), cpo2=report(full, planned=(0.0,)))
    parts = portfolio().split(seen, promise(kw=5.0, baseline_kw=(11.0, 11.0)))
    assert set(parts) == {jid("cpo1")}
    assert all(part.power_kw >= SMALLEST_PART_KW for part in parts.values())


def test_a_service_that_has_begun_cannot_be_split() -> None:
    assert portfolio().split(TWO, promise(start=at(-15), end=at(15))) == {}


# ---- what was measured ---------------------------------------------------------------------------------------------


def test_power_is_the_difference_of_the_registers_over_the_time() -> None:
    before = report(status("c1", meter_kwh=100.0), status("c2", meter_kwh=5.0))
    after = report(status("c1", meter_kwh=102.0), status("c2", meter_kwh=4.0))
    assert mean_power([before], [after], 0.25) == pytest.approx(4.0)


SILENT = status("c2", meter_kwh=None, power_kw=0.0, state=x.ChargerState.FAULT, connected=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([status("c1"), status("c2")], [status("c1", meter_kwh=1.0), SILENT]),
        ([status("c1"), SILENT], [status("c1", meter_kwh=1.0), status("c2", meter_kwh=9.0)]),
        ([status("c1"), status("c2")], [status("c1", meter_kwh=1.0)]),
        ([status("c1")], [status("c1", meter_kwh=1.0), status("c2", meter_kwh=9.0)]),
    ],
    ids=["silent", "silent before", "its operator gives no data", "gave none before"],
)
def test_a_register_that_is_missing_is_bridged_with_the_chargers_last_known_power(before: Any, after: Any) -> None:
    assert mean_power([report(*before)], [report(*after)], 0.25, {"c2": 7.0}) == pytest.approx(4.0 + 7.0)
    assert mean_power([report(*before)], [report(*after)], 0.25, {}) is None  # of it nothing is known


def test_without_any_charger_no_power_is_known() -> None:
    assert mean_power([], [], 0.25, {"c2": 7.0}) is None


def test_the_last_known_power_is_of_chargers_that_answer() -> None:
    assert powers_of([report(status("c1", power_kw=5.5), SILENT)]) == {"c1": 5.5}


def test_a_quarter_without_a_measurement_counts_as_no_delivery() -> None:
    known = promise(baseline_kw=(22.0, 21.0))
    known.measured_kw[at(30)] = 12.5
    assert known.measured == (12.5, 21.0)


def test_a_promise_is_found_by_its_activation() -> None:
    books = portfolio(promise("b1"), promise("b2", activation_id="a2"))
    assert books.by_activation("a2") is books.promises["b2"]
    assert books.by_activation("a1") is None


def test_a_promise_that_was_never_activated_is_found_by_the_activation_that_it_would_have_had() -> None:
    books = portfolio(promise("b1"), promise("b2", stage=Stage.OFFERED))
    assert books.by_activation("activation-b1") is books.promises["b1"]
    assert books.by_activation("activation-b2") is None


def test_the_view_rests_on_the_same_uncontrolled_plan_as_the_cpos() -> None:
    seen = view(cpo1=report(status("c1")))
    own = uncontrolled(list(seen.vehicles[jid("cpo1")]), HORIZON).sum(axis=0)
    assert own[:9] == pytest.approx(seen.total_kw[:9], abs=1e-9)


def test_a_bid_is_cheaper_when_the_own_pv_is_expected_to_cover_the_catching_up() -> None:
    """D5.1 3.1.1: a strategy "based on data, such as consumption, generation, EV's battery state of charge (SoC)"."""
    cars = report(status("c1"), status("c2"))
    sunny = cars.model_copy(update={"production_forecast_kw": (0.0,) * 6 + (60.0,) * 40})
    books = portfolio(margin=0.0, owners_eur_per_kw=0.0)
    cloudy_offer, sunny_offer = best(books, view(cpo1=cars)), best(books, view(cpo1=sunny))
    assert isinstance(cloudy_offer, Offer)
    assert isinstance(sunny_offer, Offer)
    assert sunny_offer.price_eur_per_kw < cloudy_offer.price_eur_per_kw
