"""What no content of BUC 2 and BUC 4.1 may say by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from protocols import exchanges as x
from tests.protocols.samples import START, sample

WIND, VOLTAGE = "res-curtailment", "voltage-control"
OF_WIND = [x.CurtailmentActivation, x.CurtailmentCall, x.Availability, x.CurtailmentAward, x.CurtailmentNotice]
OF_VOLTAGE = [x.VoltageRequest, x.VoltageCall, x.ParticipationResponse, x.VoltageAward, x.VoltageNotice]


def faults(kind: type[x.Content], **changes: Any) -> list[str]:
    members = sample(kind).to_json() | changes
    with pytest.raises(x.ContentError) as caught:
        kind.from_json(members)
    return caught.value.faults


@pytest.mark.parametrize("kind", OF_WIND + OF_VOLTAGE)
def test_each_use_case_speaks_of_its_own_service(kind: type[x.Content]) -> None:
    mine, other = (WIND, VOLTAGE) if kind in OF_WIND else (VOLTAGE, WIND)
    assert faults(kind, service=other) == [f"service: is {other}, where only {mine} is spoken of"]


@pytest.mark.parametrize("kind", [x.CurtailmentActivation, x.VoltageRequest, x.CurtailmentAward, x.VoltageNotice])
def test_a_renewal_names_what_it_renews_and_nothing_else_does(kind: type[x.Content]) -> None:
    is_there = "renews: is there exactly where the signal is a renewal"
    assert faults(kind, signal="renewal") == [is_there]
    assert faults(kind, renews="service-0") == [is_there]
    own = sample(kind).to_json()["service_id"]
    assert faults(kind, signal="renewal", renews=own) == ["renews: is the service itself"]


@pytest.mark.parametrize("kind", [x.CurtailmentActivation, x.CurtailmentCall, x.VoltageCall])
def test_nothing_is_no_service(kind: type[x.Content]) -> None:
    assert faults(kind, power_kw=0.0) == ["power_kw: is 0, which is no service"]


def test_wind_is_saved_by_more_consumption() -> None:
    [fault] = faults(x.CurtailmentActivation, power_kw=-1.0)
    assert fault == "power_kw: is a reduction; wind is saved by more consumption"


@pytest.mark.parametrize(
    ("kind", "field"), [(x.Availability, "users"), (x.CurtailmentAward, "orders"), (x.VoltageRequest, "at")]
)
def test_nothing_is_named_twice(kind: type[x.Content], field: str) -> None:
    [part] = sample(kind).to_json()[field]
    twice = faults(kind, **{field: [part, part], "power_kw": 2 * part["power_kw"]})
    what = "a bus" if field == "at" else "a vehicle"
    assert twice == [f"{field}: names {what} twice"]


def test_a_notice_names_no_manager_twice() -> None:
    [manager] = sample(x.CurtailmentNotice).to_json()["managers"]
    idle = manager | {"orders": []}
    assert faults(x.CurtailmentNotice, managers=[manager, idle]) == ["managers: names a manager twice"]


@pytest.mark.parametrize("kind", [x.Availability, x.VoltageAward, x.VoltageNotice])
def test_the_power_of_all_is_the_sum_of_each(kind: type[x.Content]) -> None:
    said = sample(kind).to_json()["power_kw"]
    assert faults(kind, power_kw=said * 2) == [f"power_kw: is {said * 2} kW, its parts add up to {said:.3f}"]


def test_an_award_names_a_vehicle() -> None:
    assert "orders: names no vehicle" in faults(x.VoltageAward, orders=[])


def test_more_power_is_not_less_energy() -> None:
    [user] = sample(x.Availability).to_json()["users"]
    assert faults(x.Availability, users=[user | {"energy_kwh": -1.0}]) == [
        "users[0].energy_kwh: has not the sign of power_kw"
    ]


def test_an_energy_has_a_price_and_a_price_an_energy() -> None:
    [line] = sample(x.Invoice).to_json()["lines"]
    wanted = ["lines[0].price_eur_per_kwh: is there exactly where there is an energy"]
    assert faults(x.Invoice, lines=[line | {"price_eur_per_kwh": None}]) == wanted
    assert faults(x.Invoice, lines=[line | {"energy_kwh": None}]) == wanted


def test_an_invoice_is_the_sum_of_its_lines() -> None:
    assert faults(x.Invoice, amount_eur="0.17") == ["amount_eur: is not the sum of the lines"]


def test_participation_does_not_end_before_it_starts() -> None:
    earlier = (START - timedelta(minutes=15)).isoformat()
    assert faults(x.ParticipationInfo, end=earlier) == ["end: is before start"]
    x.ParticipationInfo.from_json(sample(x.ParticipationInfo).to_json() | {"end": START.isoformat()})


def test_there_are_no_fewer_vehicles_than_none() -> None:
    [user] = sample(x.FlexibilityInformation).to_json()["users"]
    [fault] = faults(x.FlexibilityInformation, users=[user | {"vehicles": -1}])
    assert fault.startswith("users[0].vehicles: ")
