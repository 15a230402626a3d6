"""A run that is shorter than a day: where it ends, and that it is of one day."""

from __future__ import annotations

from datetime import timedelta

import pytest

from environment import scenario
from environment.scenario import ScenarioError
from tests.days import SMALL, changed


def test_a_run_of_some_hours_ends_so_long_after_it_began() -> None:
    loaded = scenario.parse(changed(("seed = 4\n", "seed = 4\nhours = 9\n"), text=SMALL), "small.toml")
    assert loaded.ends - loaded.begins == timedelta(hours=9)


def test_hours_are_for_one_day_alone() -> None:
    text = changed(("seed = 4\n", "seed = 4\nhours = 9\ndays = 2\n"), text=SMALL)
    with pytest.raises(ScenarioError, match="hours is for a run of one day"):
        scenario.parse(text, "small.toml")
