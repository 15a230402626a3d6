"""Every run of two lawful agents over a network that loses, delays and duplicates: none is stuck, all end."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import pytest

from protocols import conversation, tables
from protocols.acl import AclMessage, Protocol
from protocols.tables import LATE, START, TABLES, Side
from tests.protocols import exploration
from tests.protocols.exploration import Step, World, explore

MORE = int(os.environ.get("GRIDPARLEY_MORE_DUPLICATES", "0"))
"""How many more duplicates than the everyday test has time for (each costs about five times as long)."""

RUNS = [
    (Protocol.REQUEST, 1, 2, False),
    (Protocol.REQUEST, 2, 1, False),
    (Protocol.QUERY, 1, 2, False),
    (Protocol.CONTRACT_NET, 1, 2, False),
    (Protocol.CONTRACT_NET, 2, 1, False),
    (Protocol.SUBSCRIBE, 1, 1, False),
    (Protocol.SUBSCRIBE, 0, 2, False),
    (Protocol.PROPOSE, 1, 2, False),
    (Protocol.PROPOSE, 3, 1, False),
    (Protocol.REQUEST, 0, 2, True),
    (Protocol.CONTRACT_NET, 0, 2, True),
    (Protocol.PROPOSE, 1, 1, True),
]
"""Protocol, duplicates, how often the initiator may cancel, and whether contents may be unreadable."""


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    # A hundred thousand live worlds make the collector half of the running time.
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("protocol", "duplicates", "cancels", "misreads"), RUNS, ids=str)
def test_every_run_ends_and_no_lawful_message_is_out_of_sequence(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol, duplicates: int, cancels: int, misreads: bool
) -> None:
    monkeypatch.setattr(exploration, "AT_MOST", {"!cancel": cancels, "!inform": 1})
    seen = explore(protocol, duplicates + MORE, misreads=misreads)
    assert not seen.stuck
    assert not seen.endless
    assert not seen.unlawful
    for side in Side:
        states = {state for at, state in seen.visited if at is side}
        assert states == set(TABLES[protocol, side]) - {START}
        late = {(state, trigger) for at, state, trigger in seen.late if at is side}
        declared = {(state, trigger) for state, rows in LATE[protocol, side].items() for trigger in rows}
        assert late <= declared
        if duplicates == 1 and not misreads:
            # Nothing is declared late in vain. Not-understood is taken everywhere, on principle.
            assert not [row for row in declared - late if not row[1].startswith("?not-understood")]


def test_the_search_finds_a_deadline_that_never_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation.Conversation, "expire", lambda self, now: ())
    assert explore(Protocol.PROPOSE, 0).endless


def test_the_search_finds_who_waits_for_ever_where_there_are_no_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_deadlines(world: World, misreads: bool) -> Iterator[Step]:
        return (step for step in exploration_steps(world, misreads) if not step.what.endswith("@expired"))

    exploration_steps = exploration.steps
    monkeypatch.setattr(exploration, "steps", without_deadlines)
    assert explore(Protocol.CONTRACT_NET, 0).stuck


def test_the_search_finds_answers_that_answer_each_other_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(self: conversation.Conversation, message: AclMessage, now: datetime) -> tuple[()]:
        self._outbox.append(replace(message, sender=message.receiver, receiver=message.sender))
        return ()

    monkeypatch.setattr(conversation.Conversation, "receive", echo)
    assert explore(Protocol.PROPOSE, 0).endless


@pytest.mark.parametrize(
    ("side", "state", "trigger"),
    [
        (Side.INITIATOR, "expired", "?propose"),
        (Side.INITIATOR, "done", "?failure-cancel"),
        (Side.PARTICIPANT, "expired", "?accept-proposal"),
    ],
)
def test_the_search_finds_a_late_message_that_is_missing_from_the_table(
    monkeypatch: pytest.MonkeyPatch, side: Side, state: str, trigger: str
) -> None:
    key = (Protocol.CONTRACT_NET, side)
    rows = {
        name: {row: to for row, to in late.items() if (name, row) != (state, trigger)}
        for name, late in LATE[key].items()
    }
    monkeypatch.setattr(conversation, "LATE", MappingProxyType({**LATE, key: rows}))
    assert {(found.state, found.message.performative) for _, found in explore(Protocol.CONTRACT_NET, 0).unlawful} == {
        (state, trigger[1:].removesuffix("-cancel"))
    }


def test_the_search_finds_a_row_that_only_one_side_has(monkeypatch: pytest.MonkeyPatch) -> None:
    key = (Protocol.REQUEST, Side.INITIATOR)
    table = {name: {row: to for row, to in rows.items() if row != "?refuse"} for name, rows in TABLES[key].items()}
    monkeypatch.setattr(conversation, "TABLES", {**tables.TABLES, key: table})
    assert explore(Protocol.REQUEST, 0).unlawful
