"""An onlooker reads conversations as their two ends do: every row of every table, what crosses, what comes late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

import pytest

from protocols.acl import AclMessage, Performative, Protocol
from protocols.check import Replay
from protocols.conversation import Conversation, Patience
from protocols.standing import WORDS, Reading, Standing, Standings, weightiest, word
from protocols.tables import CANCELLING, EXPIRED, OPENING, START, TABLES, Side
from protocols.trace import read, read_entry, read_header
from tests.protocols.scripts import ME, NOW, OTHER, PEER, STRANGER
from tests.protocols.test_check import negotiation

MINUTE = timedelta(minutes=1)
_EVER = timedelta(days=36_500)
PATIENT = Patience(answer=_EVER, result=_EVER, lease=_EVER)
RUNS = sorted(Path(__file__).parents[2].glob("runs/*/trace.jsonl"))


class Talk:
    """A conversation that ME opens, said word by word as in `scripts.play`, seen by an onlooker."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.standings = Standings()
        self.now = NOW
        self.said: list[AclMessage] = []
        self.readings: list[Reading] = []
        self._numbers = count(1)

    @property
    def standing(self) -> Standing:
        return self.standings.all["c"]

    def say(
        self,
        word: str,
        *,
        peer: str = PEER,
        reply_by: datetime | None = None,
        in_reply_to: str | None = None,
        reply_with: str | None = None,
        **content: object,
    ) -> AclMessage:
        """`!act` of ME or `?act` of `peer`; `-cancel` answers the last cancel, everything else the other's last."""
        mine = word.startswith("!")
        sender, receiver = (ME, peer) if mine else (peer, ME)
        act = Performative(word[1:].removesuffix("-cancel"))
        if in_reply_to is None:
            others = [
                said
                for said in self.said
                if said.sender == receiver
                and said.receiver == sender
                and (said.performative is Performative.CANCEL) == word.endswith("-cancel")
            ]
            in_reply_to = others[-1].reply_with if others else None
        return self.hear(
            AclMessage(
                performative=act,
                sender=sender,
                receiver=receiver,
                protocol=self.protocol,
                conversation_id="c",
                reply_with=reply_with or f"{sender}-{next(self._numbers)}",
                content=content,
                in_reply_to=in_reply_to,
                reply_by=reply_by,
            )
        )

    def hear(self, message: AclMessage) -> AclMessage:
        self.said.append(message)
        self.readings.append(self.standings.take(self.now, message).reading)
        return message

    def play(self, script: Iterable[str]) -> Talk:
        for said in script:
            self.say(said)
        return self


def paths(protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """A shortest script from the start to each state that messages alone can reach."""
    table = TABLES[protocol, Side.INITIATOR]
    found: dict[str, tuple[str, ...]] = {START: ()}
    todo = [START]
    while todo:
        state = todo.pop(0)
        for trigger, to in table[state].items():
            if trigger != "@expired" and to not in found:
                found[to] = (*found[state], trigger)
                todo.append(to)
    return found


ROWS = [
    pytest.param(protocol, state, trigger, to, id=f"{protocol}-{state}-{trigger}")
    for (protocol, side), table in TABLES.items()
    if side is Side.INITIATOR
    for state, rows in table.items()
    for trigger, to in rows.items()
]


@pytest.mark.parametrize(("protocol", "state", "trigger", "to"), ROWS)
def test_every_row_of_every_table(protocol: Protocol, state: str, trigger: str, to: str) -> None:
    talk = Talk(protocol).play(paths(protocol)[state])
    if trigger == "@expired":
        talk.standing.reply_by[PEER] = NOW + MINUTE
        assert talk.standing.state_of(PEER, NOW + MINUTE) == state, "what comes at the deadline is in time"
        assert talk.standing.state_of(PEER, NOW + 2 * MINUTE) == to
        assert talk.standing.state(NOW + 2 * MINUTE) == EXPIRED
        return
    talk.say(trigger)
    assert talk.standing.states == {PEER: to}
    assert set(talk.readings) == {Reading.IN_SEQUENCE}
    assert talk.standing.broken == 0


@pytest.mark.parametrize(
    ("protocol", "state"), [(protocol, state) for protocol in Protocol for state in paths(protocol) if state != START]
)
def test_what_a_state_has_no_row_for_moves_nothing(protocol: Protocol, state: str) -> None:
    table = TABLES[protocol, Side.INITIATOR]
    known = {trigger for rows in table.values() for trigger in rows if trigger != "@expired"}
    for trigger in sorted(known - set(table[state])):
        if trigger.endswith("-cancel") and CANCELLING not in state and "!cancel" not in paths(protocol)[state]:
            continue  # nothing was cancelled: it is the same act without a cancel
        talk = Talk(protocol).play(paths(protocol)[state])
        talk.say(trigger)
        assert talk.standing.states == {PEER: state}, trigger
        assert talk.readings[-1] is not Reading.LATE


@pytest.mark.parametrize("state", sorted({state for table in TABLES.values() for state in table}))
def test_every_state_has_a_word(state: str) -> None:
    assert word(state) in WORDS


class TestDeadlines:
    def test_an_answer_at_the_reply_by_is_in_time_and_one_after_it_is_late(self) -> None:
        for late, reading, state in ((0, Reading.IN_SEQUENCE, "refused"), (1, Reading.LATE, EXPIRED)):
            talk = Talk(Protocol.REQUEST)
            talk.say("!request", reply_by=NOW + MINUTE)
            talk.now = NOW + MINUTE + timedelta(microseconds=late)
            talk.say("?refuse")
            assert talk.readings[-1] is reading
            assert talk.standing.states[PEER] == state
            assert talk.standing.reply_by == {}
            assert talk.standing.broken == late

    def test_a_reply_by_that_nobody_meets_passes_by_itself(self) -> None:
        talk = Talk(Protocol.QUERY)
        talk.say("!query-ref", reply_by=NOW + MINUTE)
        assert talk.standing.due(NOW) == NOW + MINUTE
        assert talk.standing.state(NOW) == "open"
        assert talk.standing.state(NOW + 2 * MINUTE) == EXPIRED
        assert talk.standing.due(NOW + 2 * MINUTE) is None

    def test_an_agree_takes_the_deadline_away(self) -> None:
        talk = Talk(Protocol.REQUEST)
        talk.say("!request", reply_by=NOW + MINUTE)
        talk.say("?agree")
        assert talk.standing.state(NOW + timedelta(days=1)) == "agreed"

    def test_a_refused_cancel_gives_the_deadline_back(self) -> None:
        talk = Talk(Protocol.REQUEST)
        talk.say("!request", reply_by=NOW + 5 * MINUTE)
        talk.say("!cancel", reply_by=NOW + MINUTE)
        assert talk.standing.reply_by == {PEER: NOW + MINUTE}
        assert talk.standing.state(NOW) == "cancelling"
        talk.say("?failure-cancel")
        assert talk.standing.reply_by == {PEER: NOW + 5 * MINUTE}
        assert talk.standing.state(NOW) == "open"

    def test_a_lease_that_is_in_the_messages_ends_the_subscription(self) -> None:
        talk = Talk(Protocol.SUBSCRIBE)
        talk.say("!subscribe", reply_by=NOW + MINUTE)
        talk.say("?agree")
        for _ in range(3):
            talk.say("?inform")
        assert talk.standing.state(NOW + timedelta(days=30)) == "subscribed"
        talk.say("!cancel", reply_by=NOW + MINUTE)
        assert talk.standing.state(NOW + 2 * MINUTE) == EXPIRED

    def test_an_opening_whose_reply_by_has_passed_is_late(self) -> None:
        talk = Talk(Protocol.REQUEST)
        talk.say("!request", reply_by=NOW - MINUTE)
        assert talk.readings == [Reading.LATE]
        assert talk.standing.state(NOW) == EXPIRED

    def test_the_answer_to_a_late_proposal_is_in_order(self) -> None:
        talk = Talk(Protocol.CONTRACT_NET)
        talk.say("!cfp", reply_by=NOW + MINUTE)
        talk.now = NOW + 2 * MINUTE
        talk.say("?propose")
        talk.say("!reject-proposal")
        assert talk.readings == [Reading.IN_SEQUENCE, Reading.LATE, Reading.IN_SEQUENCE]
        assert talk.standing.broken == 1


class TestCrossing:
    def test_a_result_that_crosses_a_cancel_counts(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["!request", "?agree", "!cancel"])
        talk.say("?inform")
        assert talk.standing.states == {PEER: "done"}
        talk.say("?failure-cancel")  # the cancel has arrived, and it is done
        assert talk.readings[-1] is Reading.CROSSED
        assert talk.standing.broken == 0

    def test_a_cancel_that_a_refusal_has_overtaken(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["!request", "?refuse", "!cancel", "?inform-cancel"])
        assert talk.readings[2:] == [Reading.CROSSED, Reading.IN_SEQUENCE]
        assert talk.standing.states == {PEER: "refused"}

    def test_nobody_crosses_himself(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["!request", "?inform", "?agree"])
        assert talk.readings[-1] is Reading.BROKEN
        assert talk.standing.states == {PEER: "done"}
        assert talk.standing.broken == 1

    def test_a_not_understood_never_breaks_anything(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["!request", "?inform", "?agree", "!not-understood"])
        assert talk.readings[-1] is Reading.IN_SEQUENCE
        assert talk.standing.states == {PEER: "done"}


class TestRepeats:
    def test_the_same_message_again_changes_nothing(self) -> None:
        talk = Talk(Protocol.REQUEST)
        opening = talk.say("!request")
        agree = talk.say("?agree")
        talk.hear(opening)
        talk.hear(agree)
        assert talk.readings[2:] == [Reading.REPEATED] * 2
        assert talk.standing.states == {PEER: "agreed"}
        assert talk.standing.messages == 4

    def test_the_same_id_with_other_content_is_broken(self) -> None:
        talk = Talk(Protocol.REQUEST)
        opening = talk.say("!request", power_kw=12)
        talk.hear(replace(opening, content={"power_kw": 13}))
        assert talk.readings[-1] is Reading.BROKEN

    def test_an_answer_to_what_nobody_said_is_broken(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["!request"])
        talk.say("?agree", in_reply_to="nothing")
        assert talk.readings[-1] is Reading.BROKEN
        assert talk.standing.states == {PEER: "requested"}


class TestManyParticipants:
    def test_each_peer_has_its_own_state_and_the_weightiest_is_the_conversations(self) -> None:
        talk = Talk(Protocol.CONTRACT_NET)
        for peer in (PEER, OTHER, STRANGER):
            talk.say("!cfp", peer=peer, reply_by=NOW + 5 * MINUTE)
        assert talk.standing.state(NOW) == "open"
        talk.say("?propose", peer=PEER)
        talk.say("?refuse", peer=OTHER)
        talk.now = NOW + 6 * MINUTE
        assert talk.standing.state_of(STRANGER, talk.now) == EXPIRED
        talk.say("!accept-proposal", peer=PEER)
        assert talk.standing.state(talk.now) == "awarded"
        talk.say("?inform", peer=PEER)
        assert talk.standing.state(talk.now) == "done"
        assert talk.standing.states == {PEER: "done", OTHER: "refused", STRANGER: "called"}
        assert talk.standing.initiator == ME
        assert talk.standing.messages == 7

    def test_whoever_was_not_invited_is_out_of_sequence(self) -> None:
        talk = Talk(Protocol.CONTRACT_NET).play(["!cfp"])
        talk.say("?propose", peer=STRANGER)
        assert talk.readings[-1] is Reading.BROKEN
        assert STRANGER not in talk.standing.states

    def test_a_conversation_that_nobody_opened(self) -> None:
        talk = Talk(Protocol.REQUEST).play(["?inform"])
        assert talk.standing.state(NOW) == "out of sequence"
        talk.say("!request")
        assert (talk.standing.initiator, talk.standing.state(NOW)) == (ME, "open")

    @pytest.mark.parametrize(
        ("words", "one"),
        [
            (["refused", "done"], "done"),
            (["done", "failed"], "failed"),
            (["rejected", "open"], "open"),
            ([], WORDS[-1]),
        ],
    )
    def test_one_word_of_several(self, words: list[str], one: str) -> None:
        assert weightiest(words) == one


class Ends(Replay):
    """The check's replay, with a look at the conversations that it holds."""

    @property
    def conversations(self) -> dict[tuple[str, str], Conversation]:
        return self._conversations


def disagreements(lines: Iterable[str]) -> tuple[list[str], int]:
    """Where the onlooker and the two ends of a trace part, and how many messages there were."""
    numbered = iter(lines)
    first = next(numbered)
    ends, onlooker = Ends(read_header(first), UTC), Standings()
    now, messages = NOW, 0
    for line, text in enumerate(numbered, start=2):
        entry = read_entry(line, text)
        ends.take(entry)
        onlooker.take(entry.at, entry.message)
        now, messages = entry.at, messages + 1
    found = []
    for (name, me), conversation in ends.conversations.items():
        conversation.expire(now - timedelta(microseconds=1))
        standing = onlooker.all[name]
        for other in conversation.peers:
            theirs = conversation.state(other)
            ours = standing.state_of(other if conversation.side is Side.INITIATOR else me, now)
            if ours != theirs:
                found.append(f"{name} {me} {other}: {ours}, not {theirs}")
    return found, messages


def test_a_whole_negotiation_ends_as_its_ends_have_it() -> None:
    found, messages = disagreements(negotiation().lines)
    assert found == []
    assert messages > 15


@pytest.mark.parametrize("trace", RUNS, ids=lambda path: path.parent.name)
def test_the_runs_of_this_checkout_end_as_their_ends_have_it(trace: Path) -> None:
    with trace.open(encoding="utf-8") as lines:
        found, messages = disagreements(lines)
    assert found == []
    assert messages > 100
    with trace.open(encoding="utf-8") as lines:
        onlooker, readings = Standings(), Counter[str]()
        for entry in read(lines)[1]:
            readings[onlooker.take(entry.at, entry.message).reading] += 1
    assert readings[Reading.BROKEN] == 0


def test_what_is_kept_of_a_message_is_read_as_the_message_itself() -> None:
    whole, heads = Standings(), Standings()
    for entry in read(negotiation().lines)[1]:
        message = entry.message
        head = replace(message, content={"exchange": message.exchange})
        whole.take(entry.at, message)
        heads.take(entry.at, head)
    assert {name: standing.states for name, standing in whole.all.items()} == {
        name: standing.states for name, standing in heads.all.items()
    }


def test_every_protocol_has_its_opening() -> None:
    for protocol, act in OPENING.items():
        assert Talk(protocol).play([f"!{act}"]).standing.broken == 0


@pytest.mark.parametrize("protocol", Protocol, ids=str)
@pytest.mark.parametrize("seed", range(40))
def test_whatever_two_ends_say_the_onlooker_stands_where_they_do(protocol: Protocol, seed: int) -> None:
    """Lawful moves by chance, with reply-bys that are met, met at the last instant, and missed."""
    chance = Random(f"{protocol} {seed}")
    onlooker, now = Standings(), NOW
    asking = Conversation.opening(protocol, ME, "c", patience=PATIENT)
    opening = asking.compose(OPENING[protocol], {}, PEER, reply_by=now + 3 * MINUTE)
    asking.send(opening, now)
    answering, _ = Conversation.answering(opening, now, patience=PATIENT)
    onlooker.take(now, opening)
    for _ in range(12):
        now += chance.choice((timedelta(), MINUTE, 3 * MINUTE))
        for side in (asking, answering):
            side.expire(now - timedelta(microseconds=1))
        assert onlooker.all["c"].state_of(PEER, now) == asking.state(PEER) == answering.state(ME)
        moves = [
            (speaks, hears, trigger)
            for speaks, hears, other in ((asking, answering, PEER), (answering, asking, ME))
            for trigger in sorted(speaks.allowed(other))
            if trigger.startswith("!")
        ]
        if not moves:
            break
        speaks, hears, trigger = chance.choice(moves)
        other = PEER if speaks is asking else ME
        plain = None if trigger.endswith("-cancel") else speaks.heard(other)
        said = speaks.compose(
            Performative(trigger[1:].removesuffix("-cancel")),
            {},
            other,
            reply_by=chance.choice((None, now + MINUTE)),
            in_reply_to=plain,
        )
        speaks.send(said, now)
        hears.receive(said, now)
        assert onlooker.take(now, said).reading is Reading.IN_SEQUENCE
