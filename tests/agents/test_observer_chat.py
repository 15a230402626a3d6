"""The observer and chat programs on a real server: who may watch, who hangs, who leaves and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agents.observer import Observer, TraceWriter
from behaviours.ports import Letter
from behaviours.stanzas import to_xml
from behaviours.swarm import ServerAccess
from environment.server import EmbeddedServer
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.telling import ENDED, NOT_ADMITTED
from tests.agents.stage import product
from tests.chatting import PATIENCE_S, Chatter
from tests.swarm import SwarmUnderTest, jid, run_swarm

PASSWORD = "a person's password"
ROLES = {jid("dso"): Role.DSO, jid("fmo"): Role.FMO, jid("observer"): Role.OBSERVER}


class House:
    """A swarm with an observer on an embedded server, and people with accounts there."""

    def __init__(self, folder: Path, *watchers: str) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder / "server")
        self.swarm = SwarmUnderTest(self.server)
        self.writer = TraceWriter(folder / "trace", scenario="t", seed=1, roles=ROLES, zone=ZoneInfo("Europe/Athens"))
        self.watchers = watchers
        self.people: list[Chatter] = []

    async def open(self) -> Observer:
        await self.server.admit(dict.fromkeys(("anna", "ben", "eve"), PASSWORD), generated=True)
        self.observer = await self.swarm.start(Observer, "observer", writer=self.writer, watchers=self.watchers)
        assert self.observer.watchers is not None
        return self.observer

    async def enter(self, name: str) -> Chatter:
        chatter = Chatter(f"{name}@localhost/{len(self.people)}", PASSWORD, self.server.ca_file)
        await chatter.login("127.0.0.1", self.server.port)
        self.people.append(chatter)
        return chatter

    def record(self, conversation: str = "dso-1", text: str = "") -> None:
        """One message is said in the run."""
        content = {**product().to_json(), "note": text} if text else product().to_json()
        self.writer.record(
            self.observer.now(),
            AclMessage(
                Performative.REQUEST,
                jid("dso"),
                jid("fmo"),
                Protocol.REQUEST,
                conversation,
                f"{conversation}/1",
                content,
            ),
        )

    async def watching(self, number: int) -> None:
        """Waits until so many clients watch."""
        watchers = self.observer.watchers
        assert watchers is not None
        forgotten = asyncio.Event()
        known = watchers.gone

        def gone(who: str) -> None:
            known(who)
            forgotten.set()

        assert self.observer.link is not None
        self.observer.link.lost = gone
        async with asyncio.timeout(PATIENCE_S):
            while len(watchers) != number:
                forgotten.clear()
                self.record()
                await forgotten.wait()


def at_home(house: House, main: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    """Runs `main` in the house; its people leave at the end."""

    async def body(swarm: SwarmUnderTest) -> None:
        await house.open()
        try:
            await main(house)
        finally:
            for chatter in house.people:
                await chatter.logout()

    run_swarm(body, house.swarm, guard_s=2 * PATIENCE_S)
    house.writer.close()


def test_people_watch_and_are_told_when_it_is_over(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna, ben = await house.enter("anna"), await house.enter("ben")
        await anna.ask("watch buc1", "You watch buc1")
        await ben.ask("watch all", "You watch all")
        house.record()
        for each in (anna, ben):
            await each.until(lambda heard: "request 1.x.1 Product requirements" in heard[-1])
        await ben.ask("stop", "You watch nothing any more.")
        house.record()
        await anna.until(lambda heard: len(heard) == 3)
        await house.observer.stop()
        await anna.until(lambda heard: heard[-1] == f"{ENDED}: {house.writer.messages} messages.")
        assert not ben.heard[-1].startswith(ENDED)
        stanza = anna.stanzas[-1]
        assert stanza.get("type") == "chat"
        assert stanza.find("{urn:xmpp:hints}no-store") is not None

    at_home(House(tmp_path, "anna@localhost", "ben@localhost"), main)


def test_what_comes_while_the_observer_logs_in_is_answered_then(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna = await house.enter("anna")
        observer = Observer(jid("late"), PASSWORD, house.swarm.swarm, writer=house.writer, watchers=("localhost",))
        await house.server.admit({"late": PASSWORD}, generated=True)
        observer.deliver(Letter(f"{jid('anna')}/0", jid("late"), "watch all"))
        said = len(house.swarm.recorder.messages)
        await observer.connect()
        await anna.until(lambda heard: heard[-1] == "You watch all.")
        assert len(house.swarm.recorder.messages) == said
        await observer.stop()

    at_home(House(tmp_path), main)


def test_who_is_not_admitted_is_told_so_once_and_sees_nothing(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        eve, anna = await house.enter("eve"), await house.enter("anna")
        await eve.ask("watch all", NOT_ADMITTED)
        eve.say("status")
        eve.say("watch all")
        await anna.ask("watch all", "You watch all")
        house.record()
        await anna.until(lambda heard: len(heard) == 2)
        assert len(eve.heard) == 1

    at_home(House(tmp_path, "anna@localhost"), main)


def test_a_server_without_rooms_and_nodes_is_a_line_each_and_chat_goes_on(tmp_path: Path) -> None:
    notices: list[str] = []

    async def main(house: House) -> None:
        anna = await house.enter("anna")
        await anna.ask("watch all", "You watch all")
        house.record()
        await anna.until(lambda heard: "1.x.1" in heard[-1])

    house = House(tmp_path, "anna@localhost")
    set_up = house.swarm._set_up

    def publishing(access: ServerAccess | None) -> None:
        set_up(access)
        house.swarm.swarm = replace(house.swarm.swarm, publish=True, notice=lambda agent, text: notices.append(text))

    house.swarm._set_up = publishing  # type: ignore[method-assign]
    at_home(house, main)
    assert [notice.partition(" (")[0] for notice in notices] == ["localhost has no rooms", "localhost has no PubSub"]


def test_what_was_paid_is_in_the_last_line_and_an_error_in_the_ledger_keeps_nobody(tmp_path: Path) -> None:
    def broken() -> dict[str, Decimal]:
        raise RuntimeError("the ledger is gone")

    async def main(house: House) -> None:
        anna = await house.enter("anna")
        await anna.ask("watch all", "You watch all")
        house.observer._paid = broken
        await house.observer.stop()
        await anna.until(lambda heard: heard[-1] == f"{ENDED}: 0 messages.")

    at_home(House(tmp_path, "anna@localhost"), main)


def test_a_watcher_who_has_gone_is_forgotten_and_may_come_back(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna = await house.enter("anna")
        await anna.ask("watch all", "You watch all")
        await anna.vanish()
        await house.watching(0)
        again = await house.enter("anna")
        await again.ask("watch all", "You watch all")
        house.record()
        await again.until(lambda heard: "1.x.1" in heard[-1])

    at_home(House(tmp_path, "localhost"), main)


def test_a_watcher_who_does_not_read_is_dropped_and_the_others_miss_nothing(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna, ben = await house.enter("anna"), await house.enter("ben")
        await anna.ask("watch all json", "You watch all")
        await ben.ask("watch all", "You watch all")
        anna.stop_reading()
        sent = 0
        async with asyncio.timeout(PATIENCE_S):
            while len(house.observer.watchers or ()) == 2:
                for _ in range(20):
                    house.record(f"dso-{sent}", "x" * 50_000)
                    sent += 1
                await ben.until(lambda heard, sent=sent: len(heard) == 1 + sent)
        assert sent * 50_000 < 50_000_000
        await ben.ask("status", "It is")
        assert "no line left out" in ben.heard[-1]
        await anna.vanish()

    at_home(House(tmp_path, "localhost"), main)


def test_after_a_crash_of_the_server_watching_goes_on(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna = await house.enter("anna")
        await anna.ask("watch all", "You watch all")
        await house.server.kill()
        with house.swarm.clock.outstanding():
            await house.server.start()
        again = await house.enter("anna")
        await again.ask("watch all", "You watch all")
        house.record()
        await again.until(lambda heard: "1.x.1" in heard[-1])
        await anna.vanish()

    at_home(House(tmp_path, "localhost"), main)


def test_acts_from_outside_are_turned_down_and_leave_no_trace(tmp_path: Path) -> None:
    async def main(house: House) -> None:
        anna = await house.enter("anna")
        said, malformed = len(house.swarm.recorder.messages), len(house.swarm.recorder.malformed)
        order = AclMessage(
            Performative.REQUEST,
            jid("anna"),
            jid("observer"),
            Protocol.REQUEST,
            "anna-1",
            "anna-1/1",
            product().to_json(),
        )
        letter = Letter(jid("anna"), jid("observer"), order.body(), order.metadata(), "anna-1")
        anna.client.send_raw(to_xml(letter, jid("observer"), "a1"))
        await anna.until(lambda heard: "not-authorised" in heard[-1])
        assert "takes part in nothing" in anna.heard[-1]
        assert len(house.swarm.recorder.messages) == said
        assert len(house.swarm.recorder.malformed) == malformed

    at_home(House(tmp_path, "localhost"), main)
