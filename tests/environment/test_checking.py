"""`run.py check` reads a file, in its scenario's time zone, and says what it found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from environment import checking
from environment.checking import check_file
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.trace import header_line, message_line
from tests.days import SMALL
from tests.swarm import START

ROLES = {"dso@localhost": Role.DSO, "directory@localhost": Role.DIRECTORY}


def trace(path: Path, *, sender: str = "dso@localhost", scenario: str = "slovenia", at: datetime = START) -> Path:
    """A trace of one question to the directory and its answer."""
    question = AclMessage(
        performative=Performative.QUERY_REF,
        sender=sender,
        receiver="directory@localhost",
        protocol=Protocol.QUERY,
        conversation_id="c-1",
        reply_with="c-1/1",
        content={"exchange": "df.search", "jid": None, "role": "fmo", "service": None, "location": None},
    )
    answer = AclMessage(
        performative=Performative.INFORM,
        sender="directory@localhost",
        receiver=sender,
        protocol=Protocol.QUERY,
        conversation_id="c-1",
        reply_with="c-1/2",
        in_reply_to="c-1/1",
        content={"exchange": "df.search", "entries": []},
    )
    lines = [header_line(scenario, 1, ROLES), message_line(question, at), message_line(answer, at)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_sound_trace_is_told_so_and_is_0(tmp_path: Path) -> None:
    said: list[str] = []
    path = trace(tmp_path / "t.jsonl")
    assert check_file(path, said.append) == 0
    assert said == [f"{path}: no faults"]


def test_each_fault_is_a_line_with_file_and_line_and_it_is_1(tmp_path: Path) -> None:
    said: list[str] = []
    path = trace(tmp_path / "t.jsonl", sender="mallory@localhost")
    assert check_file(path, said.append) == 1
    assert said
    assert all(line.startswith(f"{path}: line ") for line in said)
    assert said[0] == f"{path}: line 2: authority: mallory@localhost has no role in this run"


@pytest.mark.parametrize(
    ("scenario", "zone"),
    [
        ("slovenia", ZoneInfo("Europe/Ljubljana")),
        ("one of somebody's own", timezone(timedelta(hours=3))),
        ("OUTSIDE.toml", timezone(timedelta(hours=3))),
    ],
)
def test_days_are_those_of_the_scenarios_zone(
    scenario: str, zone: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario that is not ours to know has the days of the offset in which its trace is written, and no file is
    opened for its name."""
    zones: list[object] = []
    (tmp_path / "OUTSIDE.toml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def check(lines: object, *, zone: object) -> list[object]:
        zones.append(zone)
        return []

    monkeypatch.setattr(checking, "check", check)
    local = START.astimezone(ZoneInfo("Europe/Athens"))
    check_file(trace(tmp_path / "t.jsonl", scenario=scenario, at=local), lambda line: None)
    (tmp_path / "u.jsonl").write_text(header_line(scenario, 1, ROLES), encoding="utf-8")
    check_file(tmp_path / "u.jsonl", lambda line: None)
    assert zones == [zone, zone if scenario == "slovenia" else UTC]


def test_a_separator_of_unicode_within_a_line_is_no_new_line(tmp_path: Path) -> None:
    said: list[str] = []
    path = trace(tmp_path / "t.jsonl")
    path.write_text(path.read_text(encoding="utf-8").replace('"slovenia"', '"slo\u2028venia"'), encoding="utf-8")
    assert check_file(path, said.append) == 0, said


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"\xff", "is not UTF-8 at byte 0"), (b"", "line 1: trace: is missing: the file is empty")],
)
def test_a_file_that_is_no_trace_is_one_line(data: bytes, line: str, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "t").write_bytes(data)
    assert check_file(tmp_path / "t", said.append) == 1
    assert said == [f"{tmp_path / 't'}: {line}"]


def test_a_folder_or_nothing_is_one_line(tmp_path: Path) -> None:
    said: list[str] = []
    assert check_file(tmp_path, said.append) == check_file(tmp_path / "none", said.append) == 1
    assert said == [
        f"{tmp_path}: cannot be read: Is a directory",
        f"{tmp_path / 'none'}: cannot be read: No such file or directory",
    ]
