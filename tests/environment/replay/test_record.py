"""A record that cannot be replayed is one line: which file, which line, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environment.acts import Act
from environment.replay.record import TOLERANCES, ReplayError, Tolerances, read_record
from environment.run_folder import ACTS, SCENARIO, TRACE
from protocols.trace import Entry, header_line, message_line
from tests.days import SMALL
from tests.environment.replay.tiny import ROLES, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record of a small swarm, as a run leaves it behind."""
    recorded = record()
    lines = [header_line("small", 4, ROLES), *(message_line(e.message, e.at) for e in recorded.entries)]
    _write(tmp_path / TRACE, lines)
    _write(tmp_path / ACTS, [act.line() for act in recorded.acts])
    (tmp_path / SCENARIO).write_text(SMALL, encoding="utf-8")
    return tmp_path


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def changed(path: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Line `number` (from 1) with `change` made to it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    told = json.loads(lines[number - 1])
    change(told)
    lines[number - 1] = json.dumps(told)
    _write(path, lines)


def fault(folder: Path) -> str:
    with pytest.raises(ReplayError) as error:
        read_record(folder)
    text = str(error.value)
    assert "\n" not in text
    return text.removeprefix(f"{folder}/")


def test_what_was_written_is_read_back(folder: Path) -> None:
    found, written = read_record(folder), record()
    assert found.entries == written.entries
    assert found.acts == tuple(replace(act, members=json.loads(json.dumps(act.members))) for act in written.acts)
    assert (found.header.scenario, found.scenario.scenario.seed, found.tolerances) == ("small", 4, Tolerances())
    assert read_record(folder / TRACE) == found


def test_messages_and_acts_follow_each_other_as_they_were(folder: Path) -> None:
    events = list(read_record(folder).events())
    said = 0
    for event in events:
        if isinstance(event, Act):
            assert event.after == said
        else:
            assert isinstance(event, Entry)
            said += 1
    assert len(events) == said + 4


def test_tolerances_are_read(folder: Path) -> None:
    (folder / TOLERANCES).write_text("time_s = 1.0\n[units]\nkw = 0.05\n", encoding="utf-8")
    assert read_record(folder).tolerances == Tolerances(time_s=1.0, units={"kw": 0.05})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time_s = -1.0\n", "time_s"),
        ("seconds = 1.0\n", "seconds"),
        ("[units]\nkw = 'much'\n", "units.kw"),
        ("time_s = \n", "is not TOML"),
    ],
)
def test_tolerances_that_are_none(folder: Path, text: str, why: str) -> None:
    (folder / TOLERANCES).write_text(text, encoding="utf-8")
    assert fault(folder).startswith(f"{TOLERANCES}: ")
    assert why in fault(folder)


def test_a_trace_that_is_cut_off_in_a_line(folder: Path) -> None:
    path = folder / TRACE
    path.write_bytes(path.read_bytes()[:-20])
    assert fault(folder).startswith(f"{TRACE}:9: ")
    assert "JSON" in fault(folder)


def test_a_trace_that_is_empty_or_not_there_or_no_text(folder: Path) -> None:
    path = folder / TRACE
    path.write_text("", encoding="utf-8")
    assert fault(folder) == f"{TRACE}:1: is missing: the file is empty"
    path.write_bytes(path.read_bytes() + b"\xff")
    assert fault(folder) == f"{TRACE}: is not UTF-8 at byte 0"
    path.unlink()
    assert fault(folder) == f"{TRACE}: cannot be read: No such file or directory; give the folder of a run or of a case"


@pytest.mark.parametrize(
    ("number", "members", "why"),
    [
        (1, {"trace": 2}, "trace"),
        (1, {"roles": {"a@localhost": "king"}}, "roles"),
        (3, {"performative": "shout"}, "performative"),
        (4, {"at": "2026-03-18T11:00:00+01:00"}, "is sent at 2026-03-18T11:00:00+01:00, before the line above it"),
        (4, {"at": "noon"}, "at"),
        (
            6,
            {"exchange": "env.nothing", "content": {"exchange": "env.nothing"}},
            "'env.nothing' is not in the catalogue",
        ),
        (6, {"exchange": "1.1.1"}, "exchange: is '1.1.1' but the content has 'env.grid'"),
        (5, {"reply-with": ""}, "reply-with"),
    ],
)
def test_a_line_of_a_trace_that_cannot_be(folder: Path, number: int, members: dict[str, Any], why: str) -> None:
    changed(folder / TRACE, number, lambda line: line.update(members))
    assert fault(folder).startswith(f"{TRACE}:{number}: ")
    assert why in fault(folder)


@pytest.mark.parametrize(
    ("number", "members", "why"),
    [
        (1, {"after": -1}, "after"),
        (2, {"who": 7}, "who"),
        (3, {"at": "2026-03-18T11:00:00+01:00"}, "is done at 2026-03-18T11:00:00+01:00, before the line above it"),
        (3, {"force": 1}, "force"),
    ],
)
def test_a_line_of_acts_that_cannot_be(folder: Path, number: int, members: dict[str, Any], why: str) -> None:
    changed(folder / ACTS, number, lambda line: line.update(members))
    assert fault(folder).startswith(f"{ACTS}:{number}: ")
    assert why in fault(folder)


def test_acts_that_are_not_there_or_no_text(folder: Path) -> None:
    path = folder / ACTS
    path.write_bytes(b"\xfe")
    assert fault(folder) == f"{ACTS}: is not UTF-8 at byte 0"
    path.unlink()
    assert fault(folder) == (
        f"{ACTS}: cannot be read: No such file or directory; a replay needs what was done besides what was said"
    )


def test_a_scenario_that_is_not_there_or_not_the_traces_own(folder: Path) -> None:
    path = folder / SCENARIO
    path.write_text(SMALL.replace("seed = 4", "seed = 5"), encoding="utf-8")
    assert fault(folder) == f"{TRACE}:1: is of 'small' with seed 4, but {SCENARIO} beside it of 'small' with seed 5"
    path.write_text(SMALL.replace("seed = 4", "sed = 4"), encoding="utf-8")
    assert fault(folder).startswith(f"{SCENARIO}: ")
    path.unlink()
    assert fault(folder) == f"{SCENARIO}: is missing; runs of earlier versions do not have it: run them again"
