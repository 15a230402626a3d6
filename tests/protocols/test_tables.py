"""The tables themselves: complete, reachable, bounded in time, and the two sides of each fit together."""

from __future__ import annotations

import pytest

from protocols.acl import Performative, Protocol
from protocols.tables import CANCELLING, LATE, OPENING, REFUSAL, START, TABLES, Side, Table

BOTH_SIDES = pytest.mark.parametrize(("protocol", "side"), TABLES, ids=lambda part: str(part))
PROTOCOLS = pytest.mark.parametrize("protocol", Protocol, ids=str)


def reachable(table: Table) -> set[str]:
    found, todo = {START}, [START]
    while todo:
        for to in table[todo.pop()].values():
            if to not in found:
                found.add(to)
                todo.append(to)
    return found


def acts(table: Table, mark: str) -> set[str]:
    return {trigger[1:] for rows in table.values() for trigger in rows if trigger.startswith(mark)}


def test_all_five_protocols_have_both_sides() -> None:
    assert set(TABLES) == {(protocol, side) for protocol in Protocol for side in Side}


@BOTH_SIDES
def test_every_state_is_reached_from_the_start_and_every_target_is_a_state(protocol: Protocol, side: Side) -> None:
    table = TABLES[protocol, side]
    assert reachable(table) == set(table)


@BOTH_SIDES
def test_every_state_that_waits_has_a_deadline_that_ends_it(protocol: Protocol, side: Side) -> None:
    table = TABLES[protocol, side]
    for state, rows in table.items():
        if rows and state != START:
            assert table[rows["@expired"]] == {}, state


@BOTH_SIDES
def test_every_trigger_is_an_act_of_fipa_or_the_deadline(protocol: Protocol, side: Side) -> None:
    for rows in TABLES[protocol, side].values():
        for trigger in rows:
            assert trigger == "@expired" or (
                trigger[0] in "!?" and trigger[1:].removesuffix("-cancel") in set(Performative)
            )


@PROTOCOLS
def test_what_one_side_sends_the_other_receives(protocol: Protocol) -> None:
    initiator, participant = TABLES[protocol, Side.INITIATOR], TABLES[protocol, Side.PARTICIPANT]
    assert acts(initiator, "!") == acts(participant, "?")
    assert acts(initiator, "?") == acts(participant, "!")


@PROTOCOLS
def test_a_message_that_crosses_nothing_takes_both_sides_to_the_same_state(protocol: Protocol) -> None:
    initiator, participant = TABLES[protocol, Side.INITIATOR], TABLES[protocol, Side.PARTICIPANT]
    assert set(initiator) == set(participant)
    turned = str.maketrans("!?", "?!")
    for table, other in ((initiator, participant), (participant, initiator)):
        for state, rows in table.items():
            for trigger, to in rows.items():
                if trigger.startswith("!"):
                    assert other[state][trigger[0].translate(turned) + trigger[1:]] == to


@PROTOCOLS
def test_the_opening_act_is_the_only_way_out_of_the_start(protocol: Protocol) -> None:
    assert set(TABLES[protocol, Side.INITIATOR][START]) == {f"!{OPENING[protocol]}"}
    assert set(TABLES[protocol, Side.PARTICIPANT][START]) == {f"?{OPENING[protocol]}"}


@PROTOCOLS
def test_a_participant_can_turn_the_opening_act_down_or_not_understand_it(protocol: Protocol) -> None:
    table = TABLES[protocol, Side.PARTICIPANT]
    rows = table[table[START][f"?{OPENING[protocol]}"]]
    assert table[rows[f"!{REFUSAL[protocol]}"]] == {}
    assert rows["!not-understood"] == "not-understood"


@PROTOCOLS
def test_every_state_that_has_not_ended_can_be_cancelled_and_the_cancel_refused(protocol: Protocol) -> None:
    table = TABLES[protocol, Side.INITIATOR]
    for state, rows in table.items():
        if rows and state != START and not state.startswith(CANCELLING):
            cancelling = table[rows["!cancel"]]
            assert cancelling["?inform-cancel"] == "cancelled"
            assert cancelling["?failure-cancel"] == state


@BOTH_SIDES
def test_a_late_message_is_never_one_that_the_state_takes(protocol: Protocol, side: Side) -> None:
    for state, late in LATE[protocol, side].items():
        assert not set(late) & set(TABLES[protocol, side][state])


@BOTH_SIDES
def test_what_answers_a_late_message_is_an_act_that_its_sender_knows(protocol: Protocol, side: Side) -> None:
    other = Side.PARTICIPANT if side is Side.INITIATOR else Side.INITIATOR
    for late in LATE[protocol, side].values():
        for answer in filter(None, late.values()):
            assert answer in acts(TABLES[protocol, other], "?")


def test_a_table_cannot_be_changed() -> None:
    table = TABLES[Protocol.REQUEST, Side.INITIATOR]
    with pytest.raises(TypeError):
        table["agreed"]["?inform"] = "refused"  # type: ignore[index]
