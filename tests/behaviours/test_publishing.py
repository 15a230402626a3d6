"""Rooms and nodes on a real Prosody: who reads what, who may not, and what is said where it cannot be."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement
from zoneinfo import ZoneInfo

import pytest

from agents.actor import Actor
from behaviours.places import spoken
from behaviours.publishing import Publisher
from behaviours.rooms import WAITING_LINES
from behaviours.services import ServiceError, ask
from environment.prosody import Prosody
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.telling import ENDED
from protocols.trace import message_line
from tests.swarm import START, SwarmUnderTest, jid, run_swarm
from tests.watchers import Guest, need_prosody

ZONE = ZoneInfo("Europe/Ljubljana")
ROLES = (Role.DSO, Role.FMO, Role.VPP, Role.CPO, Role.OBSERVER, Role.DIRECTORY)
ALL, BUC1 = "gridparley-all@conference.localhost", "gridparley-buc1@conference.localhost"


class Teller(Actor):
    """The part of the observer that is looked at here."""

    role = Role.OBSERVER


class Stage:
    """A swarm with a publisher, and what it told the user."""

    def __init__(self, swarm: SwarmUnderTest, teller: Teller, publisher: Publisher) -> None:
        self.swarm, self.teller, self.publisher = swarm, teller, publisher
        self.notices: list[str] = []
        self.told: list[str] = []
        self.number = 0

    def say(self, number: int, *, exchange: bool = True, text: str = "") -> AclMessage:
        start = START + timedelta(minutes=number)
        query = x.MeasurementsQuery(activation_id=f"act-{number}{text}", start=start, end=start + timedelta(minutes=1))
        message = AclMessage(
            performative=Performative.QUERY_REF,
            sender=jid("fmo"),
            receiver=jid("dso"),
            protocol=Protocol.QUERY,
            conversation_id=f"talk-{number % 2}",
            reply_with=f"r-{number}",
            content=query.to_json() if exchange else {},
        )
        self.publisher.heard(START, message)
        return message

    async def guest(self, name: str) -> Guest:
        access = self.swarm.swarm.server
        assert access is not None
        return Guest(access, jid(name), await self.swarm._account(name))


def said(number: int) -> str:
    """What stands in the line of the message with this number, and in no other."""
    return f" 08:{number:02} to "


Play = Callable[[Stage], Coroutine[Any, Any, None]]


def play(
    server: Prosody,
    script: Play,
    *,
    watchers: tuple[str, ...] = ("guest@localhost",),
    begin: bool = True,
    guard_s: float = 60.0,
) -> Stage:
    """Runs the script with a publisher that has begun."""
    need_prosody()
    stages: list[Stage] = []

    async def main(swarm: SwarmUnderTest) -> None:
        teller = await swarm.start(Teller, "observer")
        stage = stage_of(swarm, teller, watchers)
        stages.append(stage)
        if begin:
            await stage.publisher.begin()
        await script(stage)

    run_swarm(main, SwarmUnderTest(server), guard_s=guard_s)
    return stages[0]


def stage_of(swarm: SwarmUnderTest, teller: Teller, watchers: tuple[str, ...], title: str = "A day") -> Stage:
    assert teller.link is not None
    notices: list[str] = []
    told: list[str] = []
    publisher = Publisher(
        teller.link,
        "localhost",
        roles=ROLES,
        title=title,
        watchers=watchers,
        zone=ZONE,
        notice=notices.append,
        tell=told.append,
    )
    stage = Stage(swarm, teller, publisher)
    stage.notices, stage.told = notices, told
    return stage


def test_the_use_cases_are_those_that_the_roles_can_speak() -> None:
    assert spoken([Role.DSO, Role.VPP, Role.CPO, Role.EV_OWNER, Role.FMO])[0] == "buc1"
    assert "buc7" not in spoken(ROLES)
    assert "buc7" in spoken([*ROLES, Role.TSO, Role.V2X_MANAGER])
    assert spoken([Role.OBSERVER]) == []


def test_a_member_reads_lines_live_and_a_second_one_reads_them_from_history(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            guest.join(BUC1)
            await guest.until(lambda: len(guest.subjects) == 2)
            stage.say(0)
            stage.say(1)
            stage.say(2)
            await guest.until(lambda: said(2) in guest.texts(ALL) and said(2) in guest.texts(BUC1))
        lines = guest.texts(BUC1, late=False).splitlines()
        assert lines[0].startswith("[1.2.6 ")
        assert lines[0].endswith("talk-0]")
        assert lines[1].startswith("08:00:00 fmo -> dso: query-ref 1.2.6 ")
        assert [line.partition(": 08:")[2][:2] for line in lines] == ["", "00", "02", "", "01"]  # by conversation
        assert guest.subjects == {ALL: "A day: all messages", BUC1: "A day: Market participation"}
        async with await stage.guest("late") as late:
            late.join(BUC1, "late")
            await late.until(lambda: BUC1 in late.subjects)
            assert late.texts(BUC1, late=True).splitlines() == lines

    stage = play(Prosody(tmp_path), script, watchers=("guest@localhost", "late@localhost"))
    assert stage.notices == []
    assert any(line.startswith("rooms: gridparley-buc1@conference.localhost, ") for line in stage.told)
    assert any(line.startswith("PubSub nodes on pubsub.localhost: gridparley/buc1, ") for line in stage.told)


def test_a_subscriber_gets_the_whole_message_of_each_item_and_may_fetch_it_later(tmp_path: Path) -> None:
    messages: list[AclMessage] = []

    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            await guest.subscribe("gridparley/buc1")
            await guest.subscribe("gridparley/all")
            messages.extend(stage.say(number, text=" <&> živjo \ufffe") for number in range(20))
            await guest.until(lambda: len(guest.items) == 40)
            of_all = [(number, text) for node, number, text in guest.items if node == "gridparley/all"]
            assert [number for number, _ in of_all] == [str(number) for number in range(20)]
            for message, (_, text) in zip(messages, of_all, strict=True):
                assert json.loads(text) == json.loads(message_line(message, START.astimezone(ZONE)))
            assert await guest.kept("gridparley/buc1") == dict(of_all)

    assert play(Prosody(tmp_path), script).notices == []


def test_the_items_are_numbered_as_in_the_trace(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        await stage.publisher.begin(number=7)
        async with await stage.guest("guest") as guest:
            await guest.subscribe("gridparley/all")
            stage.say(0)
            await guest.until(lambda: guest.items)
            assert [number for _, number, _ in guest.items] == ["7"]

    play(Prosody(tmp_path), script, begin=False)


def test_who_is_no_member_reads_nothing(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("mallory") as mallory:
            mallory.join(ALL)
            await mallory.until(lambda: mallory.refusal(ALL))
            assert mallory.refusal(ALL) == "registration-required"
            for question in (mallory.subscribe, mallory.kept):
                with pytest.raises(ServiceError, match="forbidden"):
                    await question("gridparley/all")

    play(Prosody(tmp_path), script)


def test_a_member_cannot_speak_and_cannot_publish(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            await guest.until(lambda: guest._role(ALL, "guest") == "visitor")
            guest.say(ALL, "I say so")
            await guest.until(lambda: guest.refusal(ALL))
            assert guest.refusal(ALL) == "forbidden"
            stage.say(0)
            await guest.until(lambda: said(0) in guest.texts(ALL))
            assert "I say so" not in guest.texts(ALL)

    play(Prosody(tmp_path), script)


def test_whoever_was_admitted_to_the_last_run_only_reads_nothing_of_this_one(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest, await stage.guest("other") as other:
            await guest.subscribe("gridparley/all")
            stage.say(0)
            await guest.until(lambda: guest.items)
            await stage.publisher.end()
            again = stage_of(stage.swarm, stage.teller, ("other@localhost",), "The next day")
            await again.publisher.begin()
            await other.subscribe("gridparley/all")
            other.join(ALL)
            await other.until(lambda: ALL in other.subjects)
            assert other.subjects[ALL] == "The next day: all messages"
            assert await other.kept("gridparley/all") == {}
            again.say(1)
            await other.until(lambda: other.items and said(1) in other.texts(ALL))
            assert [number for _, number, _ in guest.items] == ["0", "ended"]
            with pytest.raises(ServiceError, match="forbidden"):
                await guest.kept("gridparley/all")
            guest.join(ALL)
            await guest.until(lambda: guest.refusal(ALL))
            assert again.notices == []

    play(Prosody(tmp_path), script)


def test_somebody_of_an_admitted_domain_is_let_in_when_named(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            await guest.until(lambda: guest.refusal(ALL))  # Prosody takes no domain as a member
            stage.publisher.admit("guest@localhost/phone")
            await asyncio.gather(*stage.publisher._tasks)
            guest.join(ALL, "again")
            await guest.until(lambda: ALL in guest.subjects)
            await guest.subscribe("gridparley/all")

    stage = play(Prosody(tmp_path), script, watchers=("localhost",))
    assert stage.told[-1] == (
        "whoever is of localhost writes to observer@localhost first: rooms and nodes then let them in"
    )


def test_the_end_is_said_in_every_room_and_node(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            guest.join(BUC1)
            await guest.until(lambda: BUC1 in guest.subjects)
            await guest.subscribe("gridparley/all")
            for number in range(50):
                stage.say(number)
            await stage.publisher.end()
            await guest.until(lambda: ENDED in guest.texts(BUC1) and len(guest.items) == 51)
            assert guest.texts(BUC1).splitlines()[-1] == f"{ENDED}: 50 messages"
            assert all(said(number) in guest.texts(BUC1) for number in range(50))
            assert guest.items[-1] == ("gridparley/all", "ended", json.dumps({"ended": f"{ENDED}: 50 messages"}))

    assert play(Prosody(tmp_path), script).notices == []


def test_when_prosody_crashes_in_the_middle_nothing_that_was_said_is_lost(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        server = stage.swarm.server
        assert server is not None
        assert stage.teller.link is not None
        stage.say(0)
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            await guest.until(lambda: said(0) in guest.texts(ALL))
        with stage.swarm.clock.outstanding():
            await server.kill()
            stage.say(1)
            await server.start()
        async with await stage.guest("guest") as guest:
            while said(1) not in guest.texts(ALL):
                guest.join(ALL)
                await guest.until(lambda: ALL in guest.subjects or guest.refusal(ALL))
                await guest.until(lambda: said(1) in guest.texts(ALL))
            stage.say(2)
            await guest.until(lambda: said(2) in guest.texts(ALL, late=False))
            await guest.subscribe("gridparley/all")
            stage.say(3)
            await guest.until(lambda: guest.items)
            kept = await guest.kept("gridparley/all")
            assert {"1", "2", "3"} <= set(kept)
            guest.say(ALL, "I say so")
            await guest.until(lambda: guest.refusal(ALL))

    stage = play(Prosody(tmp_path), script)
    assert stage.notices == []


def test_what_somebody_has_closed_or_deleted_is_opened_again(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        assert stage.teller.link is not None
        client = stage.teller.link.client
        room, node = stage.publisher.places.rooms["all"], stage.publisher.places.nodes["all"]
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            await guest.until(lambda: ALL in guest.subjects)
            client.send_raw(f"<presence to='{ALL}/observer' type='unavailable'/>")
            owner = Element("{http://jabber.org/protocol/pubsub#owner}pubsub")
            SubElement(owner, "{http://jabber.org/protocol/pubsub#owner}delete", node=node.name)
            await ask(client, "set", node.service, owner)
            stage.say(0)
            await guest.until(lambda: said(0) in guest.texts(ALL, late=False))
            while not node.is_open or not node.outbox.is_done:
                stage.publisher._idle.clear()
                await stage.publisher._idle.wait()
            assert list(await guest.kept("gridparley/all")) == ["0"]
            assert (room.outbox.dropped, node.outbox.dropped) == (0, 0)

    assert play(Prosody(tmp_path), script).notices == []


def test_a_server_that_does_not_keep_up_holds_nobody_up_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    many = 2 * WAITING_LINES

    async def script(stage: Stage) -> None:
        server = stage.swarm.server
        assert isinstance(server, Prosody)
        assert server._process is not None
        async with await stage.guest("guest") as guest:
            guest.join(BUC1)
            await guest.until(lambda: BUC1 in guest.subjects)
            server._process.send_signal(signal.SIGSTOP)
            room, node = stage.publisher.places.rooms["buc1"], stage.publisher.places.nodes["buc1"]
            for number in range(many):
                stage.say(number % 60)
            assert (len(room.outbox), room.outbox.dropped) == (WAITING_LINES, many - WAITING_LINES)
            assert (len(node.outbox), node.outbox.dropped) == (WAITING_LINES, many - WAITING_LINES)
            server._process.send_signal(signal.SIGCONT)
            await guest.until(lambda: "messages were left out" in guest.texts(BUC1))
            assert f"({room.outbox.dropped} messages were left out: the room does not keep up)" in guest.texts(BUC1)
            await stage.publisher.end()
            await guest.until(lambda: ENDED in guest.texts(BUC1))
            dropped = room.outbox.dropped
            assert f"{ENDED}: {many} messages, {dropped} of them not shown here" in guest.texts(BUC1)
            assert f"{room.jid}: {dropped} messages were not told there: the server did not keep up" in stage.notices

    play(Prosody(tmp_path), script)


# --- where it cannot be


def test_a_server_without_rooms_and_nodes_is_told_in_a_line_each_and_the_run_goes_on(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        stage.say(0)
        await stage.publisher.end()

    stage = play(Prosody(tmp_path, rooms=False, publisher=None), script)
    assert stage.told == []
    assert stage.notices == [
        "localhost has no rooms (XEP-0045): watch by chat with observer@localhost, or add that component",
        "localhost has no PubSub (XEP-0060): watch by chat with observer@localhost, or add that component",
    ]


def test_without_watchers_nothing_is_made(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        stage.say(0)
        async with await stage.guest("guest") as guest:
            with pytest.raises(ServiceError, match="item-not-found"):
                await guest.kept("gridparley/all")
        await stage.publisher.end()

    stage = play(Prosody(tmp_path), script, watchers=())
    assert stage.told == ["no rooms and no nodes: nobody may watch; --watcher JID admits somebody"]
    assert stage.notices == []


def test_nodes_that_the_observer_may_not_make_are_one_line(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("guest") as guest:
            guest.join(ALL)
            await guest.until(lambda: ALL in guest.subjects)

    stage = play(Prosody(tmp_path, publisher="somebody"), script)
    assert len(stage.notices) == 1
    assert stage.notices[0].startswith("gridparley/buc1, ")
    assert stage.notices[0].endswith(
        "gridparley/all cannot be made: observer@localhost may not (forbidden); "
        "let the server's administrator allow it (Prosody: admins)"
    )


@pytest.mark.parametrize("closed", [False, True], ids=["open", "members only"])
def test_a_room_whose_name_is_taken_is_one_line_that_says_what_to_do(tmp_path: Path, closed: bool) -> None:
    async def script(stage: Stage) -> None:
        async with await stage.guest("mallory") as mallory:
            mallory.join(ALL, "mine")
            await mallory.until(lambda: ALL in mallory.subjects or mallory.presences)
            form = (
                "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
                f"<field var='muc#roomconfig_membersonly'><value>{int(closed)}</value></field>"
            )
            mallory.client.send_raw(
                f"<iq type='set' to='{ALL}' id='form'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                f"<x xmlns='jabber:x:data' type='submit'>{form}</x></query></iq>"
            )
            mallory.say(ALL, "configured")
            await mallory.until(lambda: "configured" in mallory.texts(ALL))
            await stage.publisher.begin()
            stage.say(0)
            mallory.say(ALL, "last")
            await mallory.until(lambda: "last" in mallory.texts(ALL))
            assert said(0) not in mallory.texts(ALL)
            assert BUC1 in [room.jid for room in stage.publisher.places.rooms.values()]

    stage = play(Prosody(tmp_path), script, begin=False)
    begins = f"{ALL} cannot be made: taken by another"
    assert [line[: len(begins)] for line in stage.notices] == [begins]
    assert ("ask the owner" if closed else "ask for it to be destroyed") in stage.notices[0]


def test_a_service_that_never_answers_is_waited_for_no_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("behaviours.services.ANSWER_S", 0.05)

    async def script(stage: Stage) -> None:
        stage.say(0)
        await stage.publisher.end()

    need_prosody()

    async def main(swarm: SwarmUnderTest) -> None:
        teller = await swarm.start(Teller, "observer")
        stage = stage_of(swarm, teller, ("guest@localhost",))
        link = teller.link
        assert link is not None
        monkeypatch.setattr(link.client, "send", lambda *_: None)
        await stage.publisher.begin()
        await script(stage)
        assert stage.notices == [
            "localhost does not say whether it has rooms and nodes (silent: localhost does not answer): none are made"
        ]

    run_swarm(main, SwarmUnderTest(Prosody(tmp_path)))
