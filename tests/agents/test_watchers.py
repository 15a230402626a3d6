"""What a person can ask the observer, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents import watchers
from agents.watchers import HELP, MAX_STRANGERS, MAX_WATCHERS, Watchers, topics
from behaviours.chat import Chat
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.standing import Standing
from protocols.telling import ENDED, NOT_ADMITTED
from protocols.trace import message_line
from tests.behaviours.test_chat import FakeWire, TimedChat, failures, flushed
from tests.protocols.samples import sample

ZONE = ZoneInfo("Europe/Ljubljana")
NOON = datetime(2026, 3, 18, 11, 0, tzinfo=UTC)
ROLES = {
    "dso@localhost": Role.DSO,
    "vpp-1@localhost": Role.VPP,
    "vpp-2@localhost": Role.VPP,
    "ev-1@localhost": Role.EV_OWNER,
}
ANNA, PHONE = "anna@localhost/desk", "anna@localhost/phone"


def said(
    content: x.Content, act: Performative, *, to: str = "vpp-1", by: str = "dso", talk: str = "dso-1"
) -> AclMessage:
    return AclMessage(
        act, f"{by}@localhost", f"{to}@localhost", Protocol.CONTRACT_NET, talk, f"{by}/{talk}/{act}", content.to_json()
    )


CALL = said(sample(x.PoolOpening), Performative.CFP)
BID = said(sample(x.PoolBid), Performative.PROPOSE, to="dso", by="vpp-1")
NO = said(x.Reason.of("late", "too late"), Performative.REFUSE, to="dso", by="vpp-1")
OTHER = said(sample(x.RequestForBids), Performative.CFP, to="vpp-2", talk="dso-2")


class Room:
    """Watchers without a server: `ask` returns what is answered at once."""

    def __init__(self, *admitted: str, roles: Mapping[str, Role] = ROLES) -> None:
        self.wire = FakeWire()
        self.chat: Chat = TimedChat(self.wire)
        self.notices: list[str] = []
        self.watchers = Watchers(
            self.chat, admitted=admitted or ("anna@localhost",), roles=roles, zone=ZONE, notice=self.notices.append
        )

    def ask(self, text: str, jid: str = ANNA) -> list[str]:
        before = len(self.wire.stanzas)
        self.chat._answers.clear()
        self.watchers.asked(jid, text, NOON)
        return [text for to, text in self.wire.stanzas[before:] if to == jid]

    def hear(self, *messages: AclMessage) -> None:
        for message in messages:
            self.watchers.heard(NOON, message)

    async def shown(self, jid: str = ANNA) -> list[str]:
        before = len(self.wire.stanzas)
        await flushed(self.chat)
        return [text for to, text in self.wire.stanzas[before:] if to == jid]


def within_a_loop(test: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        failures.clear()
        asyncio.run(test())
        assert failures == []

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@within_a_loop
async def test_who_watches_a_use_case_sees_its_conversations_with_their_plain_acts() -> None:
    room = Room()
    assert room.ask("watch buc6") == ["You watch buc6 (DSO flexibility services)."]
    room.hear(CALL, BID, OTHER, NO)
    (text,) = await room.shown()
    heading, call, bid, refusal = text.split("\n")
    assert heading == "buc6 6.1.1 Informs the pool: dso with vpp-1 (Wed 18 Mar, dso-1)"
    assert call.startswith(
        "12:00:00 dso -> vpp-1: cfp 6.1.1 Informs the pool: congestion-management, power needed 20 kW"
    )
    assert bid.startswith("12:00:00 vpp-1 -> dso: propose 6.1.2 Market bid: power")
    assert refusal == "12:00:00 vpp-1 -> dso: refuse (6.1.1 Informs the pool): too late"


@within_a_loop
async def test_roles_and_agents_can_be_watched_and_several_at_once() -> None:
    room = Room()
    room.ask("watch vpp-2 ev_owner")
    room.hear(CALL, OTHER)
    (text,) = await room.shown()
    assert "dso with vpp-2" in text
    room.ask("watch vpp")
    room.hear(CALL, OTHER)
    assert len(await room.shown()) == 2
    assert room.ask("stop vpp") == ["You still watch vpp-2 and ev_owner."]


@pytest.mark.parametrize(
    "text",
    ["watch buc6", "  WATCH   Buc6 ", "Watch BUC 6, please.", "watch buc-6", "watch: buc6", "watch buc_6\nand more"],
)
def test_commands_are_read_whatever_the_case_the_spaces_and_the_stops(text: str) -> None:
    async def main() -> None:
        assert Room().ask(text) == ["You watch buc6 (DSO flexibility services)."]

    asyncio.run(main())


@within_a_loop
async def test_json_is_the_traces_own_line_and_text_goes_back_to_words() -> None:
    room = Room()
    assert room.ask("watch all json") == ["You watch all, as JSON."]
    room.hear(CALL, NO)
    assert await room.shown() == [message_line(each, NOON.astimezone(ZONE)) for each in (CALL, NO)]
    assert room.ask("watch text") == ["You watch all."]
    room.hear(CALL)
    assert not (await room.shown())[0].startswith("{")


@within_a_loop
async def test_whoever_stops_sees_nothing_more_and_may_come_back() -> None:
    room = Room()
    assert room.ask("stop") == ["You watch nothing."]
    room.ask("watch buc1 buc6")
    assert room.ask("stop buc1") == ["You still watch buc6 (DSO flexibility services)."]
    room.hear(CALL)
    assert room.ask("stop") == ["You watch nothing any more."]
    assert await room.shown() == []
    assert len(room.watchers) == 0
    room.ask("watch all")
    room.hear(CALL)
    assert len(await room.shown()) == 1


@within_a_loop
async def test_status_says_the_time_what_goes_on_and_what_one_watches() -> None:
    room = Room()
    room.hear(CALL, OTHER)
    assert room.ask("status") == [
        "It is Wed 18 Mar 2026 12:00:00 in the run; 2 messages so far.\n"
        "Open negotiations: 1 of buc1, 1 of buc6.\nYou watch nothing."
    ]
    room.ask("watch buc6")
    room.hear(NO)
    (text,) = room.ask("Status?")
    assert text.endswith(
        "3 messages so far.\nOpen negotiations: 1 of buc1.\n"
        "You watch buc6 (DSO flexibility services): no line left out, 1 on the way."
    )


@within_a_loop
async def test_what_was_left_out_is_in_the_status_and_in_the_last_line() -> None:
    room = Room()
    room.ask("watch all")
    room.hear(*[CALL] * 2_010)
    assert "10 lines left out, 2000 on the way" in room.ask("status")[0]
    await room.watchers.end("9.02 EUR paid")
    assert room.wire.to(ANNA)[-1] == f"{ENDED}: 2010 messages, 9.02 EUR paid; 10 lines not shown to you."


@within_a_loop
async def test_a_status_looks_at_what_is_open_alone() -> None:
    room = Room()
    for number in range(1_000):
        room.hear(
            said(sample(x.PoolOpening), Performative.CFP, talk=f"old-{number}"),
            said(x.Reason.of("late", "too late"), Performative.REFUSE, to="dso", by="vpp-1", talk=f"old-{number}"),
        )
    room.hear(OTHER)
    looked: list[str] = []
    state = Standing.state

    def counting(self: Standing, now: datetime) -> str:
        looked.append(self.conversation_id)
        return state(self, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Standing, "state", counting)
        (answer,) = room.ask("status")
    assert "Open negotiations: 1 of buc1." in answer
    assert looked == ["dso-2"]


@within_a_loop
async def test_names_that_nobody_has_cost_the_swarm_little() -> None:
    compared: list[int] = []

    def nearest(name: str, names: Sequence[str], *_: object) -> list[str]:
        compared.append(len(names))
        return []

    room = Room(roles={f"driver-{number}@localhost": Role.EV_OWNER for number in range(1_000)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchers, "get_close_matches", nearest)
        room.ask("watch " + "driver-x " * 50)
    assert sum(compared) < 100


@within_a_loop
async def test_unknown_words_get_one_line_with_the_nearest() -> None:
    room = Room()
    assert room.ask("wacth buc6") == ['I do not know "wacth": did you mean watch? help says what I understand.']
    assert room.ask("xyzzy\x1b[2J") == ['I do not know "xyzzy?[2j": help says what I understand.']
    assert room.ask("watch vpp-3")[0].startswith('There is no use case, role or agent called "vpp-3" (did you mean vpp')
    assert room.ask("watch") == ["Watch what? A use case (watch buc6), a role (watch vpp), an agent, or watch all."]
    assert room.ask("watch buc6 nonsense") == [
        'You watch buc6 (DSO flexibility services). There is no use case, role or agent called "nonsense".'
    ]
    assert (room.ask("help"), room.ask("?")) == ([HELP], [HELP])
    assert room.ask("  ") == []
    assert len(room.ask("x" * 100_000)[0]) < 200


@within_a_loop
async def test_who_is_not_admitted_gets_one_line_and_the_user_one_notice() -> None:
    room = Room("anna@localhost", "friends.example")
    stranger = "eve@localhost/x"
    (answer,) = room.ask("watch all", stranger)
    assert answer.startswith(NOT_ADMITTED)
    assert room.ask("watch all", stranger) == room.ask("status", "eve@localhost/y") == []
    assert room.notices == ["eve@localhost asked to watch and is not admitted: name it with --watcher, or in --admit"]
    assert room.ask("watch all", "Anna@localhost/z") == ["You watch all."]
    assert room.ask("watch all", "bob@friends.example/q") == ["You watch all."]
    for number in range(MAX_STRANGERS * 2):
        room.ask("watch all", f"eve{number}@localhost/x")
    assert len(room.notices) == MAX_STRANGERS


@within_a_loop
async def test_one_person_at_two_clients_is_two_watchers() -> None:
    room = Room()
    room.ask("watch buc6")
    room.ask("watch buc1", PHONE)
    room.hear(CALL)
    await flushed(room.chat)
    assert (len(room.wire.to(ANNA)), len(room.wire.to(PHONE))) == (2, 1)
    room.watchers.gone(PHONE)
    assert len(room.watchers) == 1
    room.watchers.gone("anna@localhost")
    assert len(room.watchers) == 0
    room.watchers.gone("nobody@localhost/x")


@within_a_loop
async def test_no_more_than_some_clients_watch_at_once() -> None:
    room = Room("localhost")
    answers = [room.ask("watch all", f"p{number}@localhost/x")[0] for number in range(MAX_WATCHERS + 1)]
    assert answers[-1] == f"{MAX_WATCHERS} clients watch already: wait until one of them stops."
    assert len(room.watchers) == MAX_WATCHERS


def test_everything_in_a_run_has_a_name_to_watch_it_by() -> None:
    found = topics(ROLES)
    assert {"all", "buc1", "buc7", "platform", "dso", "vpp", "vpp-1", "ev_owner", "ev-owner", "ev-1"} <= set(found)
    assert found["vpp"].jids == {"vpp-1@localhost", "vpp-2@localhost"}
