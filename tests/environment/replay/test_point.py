"""The point of a case: what must be said in it, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from environment.replay.point import POINT, Point, read_point
from environment.replay.record import Record, ReplayError
from environment.scenario import SCENARIOS, load
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.trace import Entry, Header

AT = datetime(2026, 1, 13, 20, tzinfo=UTC)
ROLES = {"home@localhost": Role.V2X_MANAGER, "ev-1@localhost": Role.EV_OWNER, "ev-2@localhost": Role.EV_OWNER}


def message(performative: str, conversation: str, owner: str, **content: object) -> AclMessage:
    asked = performative in ("cfp", "cancel")
    sender, receiver = ("home", owner) if asked else (owner, "home")
    return AclMessage(
        Performative(performative),
        f"{sender}@localhost",
        f"{receiver}@localhost",
        Protocol.CONTRACT_NET,
        conversation,
        "r",
        content,
    )


@pytest.fixture(scope="module")
def record() -> Record:
    """A manager asks two drivers: one declines, the other leaves."""
    said = (
        message("cfp", "c1", "ev-1", exchange="3.2"),
        message("cfp", "c2", "ev-2", exchange="3.2"),
        message("refuse", "c1", "ev-1", exchange=None, code="declined"),
        message("refuse", "c2", "ev-2", exchange=None, code="not-there"),
    )
    entries = tuple(Entry(line, AT, each) for line, each in enumerate(said, start=2))
    header = Header(scenario="denmark", seed=1, roles=ROLES)
    return Record(Path(), load(SCENARIOS / "denmark.toml"), header, entries, ())


def point(tmp_path: Path, text: str) -> Point:
    (tmp_path / POINT).write_text(text, encoding="utf-8")
    return read_point(tmp_path)


def test_a_case_without_the_file_has_no_point(tmp_path: Path, record: Record) -> None:
    assert read_point(tmp_path).missed(record) == []


@pytest.mark.parametrize(
    "pattern",
    [
        'performative = "refuse"\nat_least = 2\nat_most = 2',
        'answers = "3.2"\nperformative = "refuse"\nsender = "ev_owner"\nwith = { code = "declined" }\nat_most = 1',
        'exchange = "3.2"\nsender = "v2x_manager"\nreceiver = "ev_owner"\nat_least = 2',
        'exchange = "3.3"\nat_least = 0\nat_most = 0',
    ],
)
def test_what_is_in_the_record_is_not_missed(tmp_path: Path, record: Record, pattern: str) -> None:
    assert point(tmp_path, f"[[said]]\n{pattern}\n").missed(record) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ('exchange = "3.3"', "3.3: 0 times, and the point of the case is that it is 1 at least"),
        ('performative = "cancel"\nanswers = "3.2"', "cancel answering 3.2: 0 times, "),
        ('answers = "3.1"\nperformative = "refuse"', "refuse answering 3.1: 0 times, "),
        ('performative = "refuse"\nsender = "dso"', "refuse by dso: 0 times, "),
        ('performative = "refuse"\nreceiver = "ev_owner"', "refuse to ev_owner: 0 times, "),
        ('with = { code = "promised" }', "with code 'promised': 0 times, "),
        ('with = { no_such_member = "" }', "with no_such_member '': 0 times, "),
        ('performative = "refuse"\nat_most = 1', "refuse: 2 times, and the point of the case is that it is 1 at most"),
        ("at_least = 5", "message: 4 times, "),
    ],
)
def test_what_is_missed_is_said_with_how_often_it_is_there(
    tmp_path: Path, record: Record, pattern: str, line: str
) -> None:
    (missed,) = point(tmp_path, f"[[said]]\n{pattern}\n").missed(record)
    assert missed.startswith(line)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[said]]\nexchange = 3", "said[0].exchange: "),
        ('[[said]]\nexchange = "3.99"', "exchange '3.99' is not in the catalogue"),
        ('[[said]]\nanswers = "3.99"', "exchange '3.99' is not in the catalogue"),
        ('[[said]]\nsender = "nobody"', "said[0].sender: "),
        ('[[said]]\nperformative = "shout"', "said[0].performative: "),
        ("[[said]]\nat_most = 0", "is less than at_least, 1"),
        ('[[said]]\nsays = "no"', "says: "),
        ("said = 3", "said: "),
        ("[[said]", "is not TOML"),
    ],
)
def test_a_fault_of_the_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ReplayError) as fault:
        point(tmp_path, text)
    assert str(fault.value).startswith(f"{tmp_path / POINT}: ")
    assert says in str(fault.value)
    assert "\n" not in str(fault.value)
