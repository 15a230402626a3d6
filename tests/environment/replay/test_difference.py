"""What counts as a difference, and how it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from environment.acts import Act
from environment.replay.difference import of_act, of_message
from environment.replay.record import Tolerances
from protocols.acl import AclMessage, Performative, Protocol
from protocols.trace import Entry
from tests.environment.replay.tiny import at

AT = at("17:00:00")
REASON = {"exchange": None, "code": "no-flexibility", "reason": "nothing is left", "faults": []}


def vars_of(told: AclMessage) -> dict[str, Any]:
    return {each.name: getattr(told, each.name) for each in fields(told)}


def message(content: Mapping[str, Any] | None = None, **members: Any) -> AclMessage:
    values: dict[str, Any] = {
        "performative": Performative.PROPOSE,
        "sender": "vpp1@localhost",
        "receiver": "dso@localhost",
        "protocol": Protocol.CONTRACT_NET,
        "conversation_id": "dso-3",
        "reply_with": "dso-3/vpp1/1",
        "content": {"exchange": "6.1.2", **(content or {})},
    }
    return AclMessage(**{**values, **members})


def differences(
    recorded: AclMessage, got: AclMessage, tolerances: Tolerances | None = None, *, late_s: float = 0.0
) -> list[str]:
    found = of_message(Entry(12, AT, recorded), AT + timedelta(seconds=late_s), got, tolerances or Tolerances())
    return [str(difference) for difference in found]


def of_contents(expected: Mapping[str, Any], got: Mapping[str, Any], tolerances: Tolerances | None = None) -> list[str]:
    return [line.partition("in dso-3: ")[2] for line in differences(message(expected), message(got), tolerances)]


def test_the_same_is_no_difference_and_another_act_is_told_in_full() -> None:
    assert differences(message(), message()) == []
    assert differences(message(), message(performative=Performative.REFUSE)) == [
        "trace line 12: 2026-03-18 17:00:00 vpp1 to dso, propose 6.1.2 in dso-3: said: "
        "expected propose 6.1.2, got refuse 6.1.2"
    ]
    refused = AclMessage(**{**vars_of(message()), "performative": Performative.REFUSE, "content": REASON})
    assert differences(message({"power_kw": 1.0}), refused)[0].endswith(
        "said: expected propose 6.1.2, got refuse (nothing is left)"
    )
    assert len(differences(message({"power_kw": 1.0}), refused)) == 1


def test_a_deadline_and_what_is_answered_are_compared() -> None:
    assert differences(message(reply_by=AT), message(reply_by=AT + timedelta(minutes=5))) == [
        "trace line 12: 2026-03-18 17:00:00 vpp1 to dso, propose 6.1.2 in dso-3: reply-by: "
        "expected 2026-03-18T17:00:00+01:00, got 2026-03-18T17:05:00+01:00"
    ]
    (line,) = differences(message(in_reply_to="dso-3/dso/1"), message())
    assert line.endswith("in-reply-to: expected dso-3/dso/1, got None")


@pytest.mark.parametrize(("late_s", "tolerance_s", "differs"), [(0, 0, False), (2, 1, True), (2, 2, False)])
def test_the_time_may_be_off_by_its_tolerance(late_s: float, tolerance_s: float, differs: bool) -> None:
    found = differences(message(), message(), Tolerances(time_s=tolerance_s), late_s=late_s)
    assert [line.rpartition(": time: ")[2] for line in found] == (
        ["expected 17:00:00, got 17:00:02"] if differs else []
    )


@pytest.mark.parametrize(
    ("expected", "got", "line"),
    [
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "a.b[1].c: expected 2, got 3"),
        ({"a": [1, 2]}, {"a": [1]}, "a: expected 2 of them, got 1"),
        ({"a": 1}, {}, "a: expected 1, got nothing"),
        ({}, {"a": 1}, "a: expected nothing, got 1"),
        ({"a": True}, {"a": 1}, "a: expected True, got 1"),
        ({"a": None}, {"a": 0.0}, "a: expected None, got 0.0"),
        ({"a": "x"}, {"a": ["x"]}, "a: expected x, got ['x']"),
        ({"power_kw": 1.0}, {"power_kw": 1.00001}, "power_kw: expected 1.0, got 1.00001"),
        ({"price_eur": "1.00"}, {"price_eur": "1.0000001"}, "price_eur: expected 1.00, got 1.0000001"),
    ],
)
def test_each_leaf_that_differs_is_told_by_its_path(
    expected: Mapping[str, Any], got: Mapping[str, Any], line: str
) -> None:
    assert of_contents(expected, got) == [line]


def test_a_number_may_be_off_by_a_millionth_of_itself() -> None:
    assert of_contents({"power_kw": 1000.0}, {"power_kw": 1000.0005}) == []
    assert of_contents({"power_kw": 1000.0}, {"power_kw": 1000.0005}, Tolerances(relative=1e-9)) != []


def test_the_longest_unit_that_the_name_ends_in_counts() -> None:
    tolerances = Tolerances(units={"kw": 0.5, "eur_per_kw": 0.01, "eur": 0.02})
    assert of_contents({"power_kw": [1.0, 2.0]}, {"power_kw": [1.4, 2.5]}, tolerances) == []
    assert of_contents({"power_kw": [1.0]}, {"power_kw": [1.6]}, tolerances) == ["power_kw[0]: expected 1.0, got 1.6"]
    assert of_contents({"price_eur_per_kw": "0.10"}, {"price_eur_per_kw": "0.11"}, tolerances) == []
    assert of_contents({"price_eur_per_kw": "0.10"}, {"price_eur_per_kw": "0.12"}, tolerances) != []
    assert of_contents({"amount_eur": "5.00"}, {"amount_eur": "5.02"}, tolerances) == []
    assert of_contents({"amount_eur": "5.00"}, {"amount_eur": "none"}, tolerances) != []
    assert of_contents({"kwh": 1.0}, {"kwh": 1.4}, tolerances) != []


def test_a_long_value_is_cut() -> None:
    (line,) = of_contents({"reason": "a" * 500}, {"reason": "b"})
    assert len(line) < 200
    assert "a…, got b" in line


def test_acts_are_compared_by_what_they_are_and_what_they_say() -> None:
    set_power = Act(3, AT, "cpo1@localhost", "charger:c1", "set_power", {"power_kw": 7.0, "reversion_s": 900})
    less = Act(3, AT, "cpo1@localhost", "charger:c1", "set_power", {"power_kw": 6.0, "reversion_s": 900})
    release = Act(3, AT, "cpo1@localhost", "charger:c1", "release", {})

    def found(got: Act, late_s: float = 0.0) -> list[str]:
        when = AT + timedelta(seconds=late_s)
        return [str(difference) for difference in of_act(set_power, 4, when, got, Tolerances(units={"kw": 0.5}))]

    start = "acts line 4: 2026-03-18 17:00:00 cpo1, set_power at charger:c1: "
    assert found(set_power) == []
    assert found(less) == [f"{start}power_kw: expected 7.0, got 6.0"]
    assert found(release) == [f"{start}act: expected set_power, got release"]
    assert found(set_power, 1.5) == [
        "acts line 4: 2026-03-18 17:00:01 cpo1, set_power at charger:c1: time: expected 17:00:00, got 17:00:01.5"
    ]
