"""Recorded runs as test vectors: every case of this folder, with the agents as they are now.

A case keeps every rule of `run.py check`, or breaks exactly those that its README lists (`- line 12: rule: text`); all
agents together say, set and pay what was recorded, and so does the role that the use case turns on, alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from spade.fipa_message import FIPAMessageParser
from spade.message import Message

from environment.replay.command import played_by, verdict
from environment.replay.keeping import CASES, README, USE_CASES, folder_of
from environment.replay.point import read_point
from environment.replay.record import Record, read_record
from environment.replay.stage import replay
from environment.run_folder import TRACE
from protocols.check import check

ALONE = {
    "buc1": "vpp",
    "buc2": "tso",
    "buc3": "v2x_manager",
    "buc4.1": "dso",
    "buc4.2": "dso",
    "buc5": "cpo",
    "buc6": "dso",
    "buc7": "v2x_manager",
}
"""The role that a use case turns on."""
ALONE_IN: dict[str, str] = {}
"""Where a case turns on another one."""
MOST_BYTES = 700_000
NAMES = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in CASES.glob("*/*/trace.jsonl"))


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> str:
    """Its name."""
    return str(request.param)


@pytest.fixture(scope="module")
def record(case: str) -> Record:
    return read_record(CASES / case)


def test_the_case_is_named_small_and_told(case: str) -> None:
    folder = folder_of(CASES, case)
    heading, blank, *told = (folder / README).read_text(encoding="utf-8").splitlines()
    assert heading.startswith("# ")
    assert (blank, bool(told)) == ("", True)
    assert (folder / TRACE).stat().st_size <= MOST_BYTES


def test_the_trace_breaks_no_rule_but_those_that_are_the_point(case: str, record: Record) -> None:
    readme = (CASES / case / README).read_text(encoding="utf-8").splitlines()
    with (CASES / case / TRACE).open(encoding="utf-8", newline="\n") as lines:
        faults = check(lines, zone=record.scenario.zone)
    assert [str(fault) for fault in faults] == [line[2:] for line in readme if line.startswith("- line ")]


def test_spades_own_parser_accepts_every_message(record: Record) -> None:
    for entry in record.entries:
        acl = entry.message
        message = Message(to=acl.receiver, sender=acl.sender, body=acl.body(), metadata=dict(acl.metadata()))
        message.metadata = message._metadata  # where SPADE's parser looks
        parser = FIPAMessageParser(message)
        assert parser.validate_fipa_message() == (True, ""), entry.line
        assert (parser.get_performative(), parser.parse_body()) == (acl.performative, acl.content)


def test_the_case_shows_what_it_is_for(case: str, record: Record) -> None:
    assert read_point(CASES / case).missed(record) == []


def test_all_agents_together_do_as_recorded(record: Record) -> None:
    assert _replayed(record, played_by(record, None)) == []


def test_the_role_that_matters_does_as_recorded_alone(case: str, record: Record) -> None:
    role = ALONE_IN.get(case, ALONE[Path(case).parent.name])
    assert _replayed(record, played_by(record, [role])) == []


def test_no_case_lies_where_nobody_looks() -> None:
    assert {path.name for path in CASES.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(USE_CASES)
    folders = {path for path in CASES.glob("*/*") if path.is_dir()}
    assert folders == {CASES / name for name in NAMES}


def _replayed(record: Record, played: frozenset[str]) -> list[str]:
    """What differs, readably; nothing where everything is as recorded."""
    conductor = replay(record, played)
    return verdict(record, played, conductor) if conductor.differences else []
