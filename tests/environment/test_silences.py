"""An agent that is silent on purpose: in every kind of scenario, by its name, and never while everybody registers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from environment import scenario
from environment.casts import Silences
from environment.scenario import SCENARIOS, ScenarioError
from tests.days import SMALL


def silent(target: str, start: str = "17:00", end: str = "18:30") -> str:
    return f'\n[[fault]]\nkind = "agent-silent"\ntarget = "{target}"\nstart = "{start}"\nend = "{end}"\n'


@pytest.mark.parametrize(
    ("name", "target"), [("slovenia", "vpp1"), ("portugal", "fo"), ("denmark", "energinet"), ("greece", "hedno")]
)
def test_any_agent_of_every_demonstrator_can_fall_silent(name: str, target: str) -> None:
    text = (SCENARIOS / f"{name}.toml").read_text(encoding="utf-8")
    loaded = scenario.parse(text + silent(target), "my.toml")
    silences = Silences(loaded, "example.org")
    day = loaded.begins.date() + timedelta(days=1)

    def at(clock: str, who: str = target) -> bool:
        return silences.at(f"{who}@example.org", datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=loaded.zone))

    assert [at("16:59:59"), at("17:00"), at("18:29:59"), at("18:30")] == [False, True, True, False]
    assert not at("17:00", "observer")


def test_the_clocks_are_the_scenarios_own() -> None:
    silences = Silences(scenario.parse(SMALL + silent("dso"), "my.toml"), "localhost")
    assert silences.at("dso@localhost", datetime(2026, 3, 18, 16, 30, tzinfo=UTC))
    assert not silences.at("dso@localhost", datetime(2026, 3, 18, 17, 30, tzinfo=UTC))


def test_over_midnight_and_more_than_once() -> None:
    text = SMALL + silent("dso", "23:00", "01:00") + silent("dso", "03:00", "04:00")
    silences = Silences(scenario.parse(text, "my.toml"), "localhost")
    hours = [
        hour
        for hour in range(24)
        if silences.at("dso@localhost", datetime(2026, 3, 19, hour - 1 if hour else 23, 30, tzinfo=UTC))
    ]
    assert hours == [0, 3, 23]


def test_an_agent_that_is_not_there_is_one_line_that_names_some() -> None:
    loaded = scenario.parse(SMALL + silent("vpp9"), "my.toml")
    with pytest.raises(ScenarioError, match=r"^my\.toml: fault: there is no agent 'vpp9'; there are directory, .*vpp1"):
        Silences(loaded, "localhost")


def test_who_is_silent_when_everybody_registers_is_one_line() -> None:
    loaded = scenario.parse(SMALL + silent("vpp1", "11:00", "12:30"), "my.toml")
    with pytest.raises(ScenarioError, match=r"^my\.toml: fault: 'vpp1' is silent at 12:00, when everybody registers"):
        Silences(loaded, "localhost")
