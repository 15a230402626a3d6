"""`[dso] signals_json`: what a file in the form of EV4EU's platform says, the DSO of a scenario sends."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environment.networks import Networks
from environment.ov2xmp import signals_of
from environment.ov2xmp_form import SignalError
from environment.profiles import standard_offset
from environment.public_plant import build_public
from environment.public_scenario import PublicScenario
from environment.scenario import ScenarioError, load
from tests.environment.test_ov2xmp import HOUR, cheaper, limit


@pytest.fixture(scope="module")
def greece() -> PublicScenario:
    loaded = load("greece", days=1)
    assert isinstance(loaded, PublicScenario)
    return loaded


@pytest.fixture(scope="module")
def networks(greece: PublicScenario) -> Networks:
    return Networks.load(greece.grids, standard_offset(greece.zone, greece.scenario.start.year))


def with_signals(greece: PublicScenario, name: str | None) -> PublicScenario:
    return greece.model_copy(update={"dso": greece.dso.model_copy(update={"signals_json": name})})


def test_the_plant_has_what_the_file_beside_the_scenario_says(
    greece: PublicScenario, networks: Networks, tmp_path: Path
) -> None:
    sites = greece.stations()
    said = [cheaper(locations=(sites[0].location,)), limit(activation_id=EVENT, station_id=sites[-1].station_id)]
    objects = [found for content in said for found in signals_of(content, sites)]
    (tmp_path / "signals.json").write_text(json.dumps(objects), encoding="utf-8")
    scenario = with_signals(greece, "signals.json")
    assert list(build_public(scenario, np.random.default_rng(1), networks, tmp_path).signals) == said


EVENT = "5e0cf4b8-31b5-4f0f-a6d9-1a6c1f2f8a11"


def test_what_is_over_before_the_run_begins_is_a_fault_of_the_scenario(
    greece: PublicScenario, networks: Networks, tmp_path: Path
) -> None:
    station, noon = greece.stations()[0].station_id, greece.begins.astimezone(UTC)
    over = limit(station_id=station, timestamp=noon - 2 * HOUR, start=noon - HOUR, end=noon)
    (tmp_path / "signals.json").write_text(json.dumps(signals_of(over, greece.stations())), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"signals\.json: signal 1: period: is over at 2026-06-07 09:00 UTC, and "):
        build_public(with_signals(greece, "signals.json"), np.random.default_rng(1), networks, tmp_path)


def test_without_a_file_there_are_none(greece: PublicScenario, networks: Networks) -> None:
    assert build_public(greece, np.random.default_rng(1), networks).signals == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "signals.json: cannot be read: No such file or directory"),
        ("{", "signals.json: line 1, column 2: "),
        ([{"id": 1}], "signals.json: signal 1: uuId: is missing"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault_of_the_scenario(
    greece: PublicScenario, networks: Networks, tmp_path: Path, text: Any, says: str
) -> None:
    if text is not None:
        written = text if isinstance(text, str) else json.dumps(text)
        (tmp_path / "signals.json").write_text(written, encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        build_public(with_signals(greece, "signals.json"), np.random.default_rng(1), networks, tmp_path)
    lines = str(refused.value).splitlines()
    assert all(line.startswith("greece.toml: dso.signals_json: ") for line in lines)
    assert says in lines[0]
    assert not isinstance(refused.value, SignalError)
