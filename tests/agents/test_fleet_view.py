"""What the FO adds up of what managers told: by manager, by bus, and only what is fresh."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from agents.fleet_view import FleetView, by_bus, together
from protocols import exchanges as x
from tests.agents.stage import QUARTER, at
from tests.agents.vehicles import state


class Told:
    """A view, its clock and what it noticed."""

    def __init__(self) -> None:
        self.now = at(3)
        self.notices: list[str] = []
        self.view = FleetView(lambda: self.now, self.notices.append)

    def measured(self, stamp: datetime, *users: x.UserState) -> None:
        values: dict[str, Any] = {"production_kw": 0.0, "ev_kw": 2.0, "p_kw": 0.0, "q_kvar": 0.0, "forecast_kw": 2.0}
        content = x.Measurements(
            request_id="r", timestamp=stamp, source="m1", start=at(-15), end=at(0), users=users, **values
        )
        self.view.hear("m1", content)

    def took_part(self, stamp: datetime, *users: x.UserState) -> None:
        content = x.ParticipationInfo(
            request_id="r",
            timestamp=stamp,
            service=x.ServiceType.VOLTAGE_CONTROL,
            start=at(-15),
            end=at(0),
            users=users,
        )
        self.view.hear("m1", content)


def test_users_together_have_the_sum_of_their_powers_and_the_charge_of_all_batteries() -> None:
    small = state("c1", soc_percent=100.0, soc_kwh=20.0, increase_kw=0.0)
    large = state("c2", soc_percent=25.0, soc_kwh=20.0, service=x.ServiceType.VOLTAGE_CONTROL)
    both = together("bus1", "bus1", [small, large])
    assert (both.vehicles, both.power_kw, both.energy_kwh, both.increase_kw, both.decrease_kw) == (
        2,
        4.0,
        1.0,
        4.0,
        8.0,
    )
    # 40 kWh in batteries of 20 and 80 kWh
    assert (both.soc_kwh, both.soc_percent) == (40.0, 40.0)
    assert both.service is x.ServiceType.VOLTAGE_CONTROL


def test_the_highest_draws_add_up_and_who_tells_none_counts_with_its_mean() -> None:
    waits, draws = state("c1", baseline_kw=1.0, highest_kw=11.0), state("c2", baseline_kw=2.0)
    assert together("m", None, (waits, draws)).highest_kw == 13.0
    assert together("m", None, (draws, draws)).highest_kw is None


def test_different_services_and_unknown_charges_are_said_as_unknown() -> None:
    one = state("c1", soc_percent=None, soc_kwh=None, service=x.ServiceType.VOLTAGE_CONTROL)
    other = state("c2", soc_percent=None, soc_kwh=None, service=x.ServiceType.RES_CURTAILMENT)
    both = together("m1", None, [one, other])
    assert (both.service, both.soc_percent, both.soc_kwh) == (None, None, None)


def test_plain_percentages_are_averaged() -> None:
    states = [state("c1", soc_percent=20.0, soc_kwh=None), state("c2", soc_percent=40.0, soc_kwh=None)]
    assert together("m1", None, states).soc_percent == 30.0


def test_who_says_no_place_is_at_no_bus() -> None:
    assert [user.user_id for user in by_bus([state("c1", "bus2"), state("c2", "bus1")])] == ["bus1", "bus2"]
    assert by_bus([state("c1").model_copy(update={"location": None})]) == ()


@pytest.mark.parametrize(("measured", "took_part", "power"), [(2, 1, 2.0), (1, 2, 9.0), (2, 2, 2.0)])
def test_of_two_reports_on_a_vehicle_the_newer_one_counts(measured: int, took_part: int, power: float) -> None:
    told = Told()
    told.took_part(at(took_part), state("c1", power_kw=9.0))
    told.measured(at(measured), state("c1", power_kw=2.0), state("c2"))
    assert [(user.user_id, user.power_kw) for user in told.view.states("m1")] == [("c1", power), ("c2", 2.0)]


def test_old_news_count_for_nothing_and_are_named_once_until_there_are_new_ones() -> None:
    told = Told()
    told.view.expect("m1")
    assert told.view.is_silent("m1")
    assert told.notices == []  # it has only just come
    told.measured(at(2), state("c1"))
    told.now = at(2) + QUARTER
    assert not told.view.is_silent("m1")
    told.now = at(18)
    assert told.view.states("m1") == ()
    assert told.view.by_manager(["m1"]) == ()
    assert told.view.is_silent("m1")
    assert len(told.notices) == 1
    told.measured(at(18), state("c1"))
    assert not told.view.is_silent("m1")
    told.now = at(60)
    assert told.view.is_silent("m1")
    assert len(told.notices) == 2


def test_whose_a_charger_is_says_who_told_of_it_also_when_its_vehicle_has_left() -> None:
    told = Told()
    told.measured(at(1), state("c1"))
    told.measured(at(2), state("c2"))
    told.view.hear("m2", x.Done(reference="no news of vehicles"))
    assert told.view.has_told_of("m1", "c1")
    assert not told.view.has_told_of("m2", "c1")
    assert told.view.other_owner("m2", "c1") == "m1"
    assert told.view.other_owner("m1", "c1") is None
    assert told.view.other_owner("m2", "c9") is None
