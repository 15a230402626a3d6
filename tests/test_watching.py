"""People watch a day by chat while it runs: they see it, and nothing that they do or leave undone changes it."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from behaviours.ports import Letter
from behaviours.stanzas import to_xml
from tests.chatting import OBSERVER, Chatter
from tests.days import Day, play
from tests.test_outsider import ORDER, REGISTRATION, _act

PASSWORD = "an admitted person's password"
PEOPLE = ("anna", "ben", "carl", "dora", "eve")
FLOOD = 10_000
PACE_S = 0.02
"""A minute of the day takes at least so long on the wall until everybody is done with asking."""
PATIENCE_S = 120.0

ACTS = (
    ("hello there", {}),
    (json.dumps(ORDER), _act("request", "fipa-request", 1)),
    (json.dumps(ORDER), _act("cfp", "fipa-contract-net", 2)),
    (json.dumps(REGISTRATION), _act("request", "fipa-request", 3)),
    (json.dumps({"exchange": None}), _act("agree", "fipa-request", 4)),
    (json.dumps({"exchange": None}), _act("not-understood", "fipa-request", 5)),
    ("{not json", _act("request", "fipa-request", 6)),
    ("{}", _act("demand", "fipa-request", 7)),
    (json.dumps({"exchange": "9.9.9"}), _act("subscribe", "fipa-subscribe", 8)),
    ("[" * 5000, _act("inform", "fipa-query", 9)),
    ("{}", _act("request", "fipa-request", 10, ontology="x" * 9000)),
)
OTHER_STANZAS = (
    f"<presence to='{OBSERVER}' type='subscribe'/>",
    f"<presence to='{OBSERVER}' type='unsubscribed'/>",
    f"<presence to='{OBSERVER}' type='probe'/>",
    f"<presence to='{OBSERVER}'/>",
    f"<iq to='{OBSERVER}' type='get' id='i1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    f"<iq to='{OBSERVER}' type='set' id='i2'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
    f"<iq to='{OBSERVER}' type='get' id='i3'><ping xmlns='urn:xmpp:ping'/></iq>",
    f"<message to='{OBSERVER}' type='error' id='e1'><error type='cancel'/></message>",
    f"<message to='{OBSERVER}' type='groupchat'><body>watch all</body></message>",
    f"<message to='{OBSERVER}' type='headline'><body>watch all</body></message>",
    f"<message to='{OBSERVER}' type='chat'><received xmlns='urn:xmpp:receipts' id='no-such'/></message>",
    f"<message to='{OBSERVER}'><subject>nothing</subject></message>",
    f"<message to='{OBSERVER}' type='chat'><body>status</body><request xmlns='urn:xmpp:receipts'/></message>",
)


@dataclass
class Audience:
    """Logs five people in when the agents are up; the day goes slowly until they have asked what they want."""

    people: dict[str, Chatter] = field(default_factory=dict)
    error: BaseException | None = None
    asked: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _where: tuple[str, int, Path] | None = None

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        host, _, port = address.partition(":")
        self._where = (host, int(port), ca_file)

    def stage(self, text: str) -> None:
        if text == "negotiating":
            self._thread = threading.Thread(target=self._run, name="audience")
            self._thread.start()

    def say(self, line: str) -> None:
        """A line for the user."""

    def chatting(self, observer: str) -> None:
        """They may write to the observer."""

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        self.asked.wait(PACE_S)

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(PATIENCE_S)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except BaseException as error:
            self.error = error
        finally:
            self.asked.set()

    async def _watch(self) -> None:
        assert self._where is not None
        host, port, ca_file = self._where
        for name in (*PEOPLE, "anna"):
            resource = "phone" if name in self.people else "desk"
            chatter = Chatter(f"{name}@localhost/{resource}", PASSWORD, ca_file)
            self.people[name if resource == "desk" else f"{name}'s phone"] = chatter
            await chatter.login(host, port)
        anna, ben, carl, dora, eve, phone = self.people.values()
        await anna.ask("Watch BUC 6", "You watch buc6")
        await ben.ask("watch all json", "You watch all, as JSON")
        await carl.ask("watch vpp1", "You watch vpp1")
        await dora.ask("watch all", "You watch all")
        dora.stop_reading()
        await self._pester(eve)
        await phone.ask("help", "I show what the agents")
        await phone.ask("wacht all", 'I do not know "wacht"')
        await phone.ask("status", "It is ")
        self.asked.set()
        ended = (anna, ben, carl)
        await asyncio.gather(*(each.until(lambda heard: heard[-1].startswith("The run has ended")) for each in ended))
        for chatter in self.people.values():
            if chatter is not dora:
                await chatter.logout()
        await dora.vanish()

    async def _pester(self, eve: Chatter) -> None:
        """Everything that a client can send, and a lot of it."""
        for number, (body, metadata) in enumerate(ACTS):
            letter = Letter("eve@localhost", OBSERVER, body, metadata, metadata.get("conversation-id"))
            eve.client.send_raw(to_xml(letter, OBSERVER, f"a{number}"))
        for stanza in OTHER_STANZAS:
            eve.client.send_raw(stanza)
        await eve.ask("watch all", "You watch all")
        commands = ("status", "watch vpp1", "stop", "help", "nonsense", "watch all json", "watch nobody", "stop buc6")
        for number in range(FLOOD):
            eve.say(commands[number % len(commands)])
            if number % 100 == 0:
                await asyncio.sleep(0)
        await eve.ask("stop", "You watch nothing")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Audience]:
    """The small evening with five people at six clients."""
    folder = tmp_path_factory.mktemp("watched")
    guests = "".join(f'"{name}@localhost" = "{PASSWORD}"\n' for name in PEOPLE)
    (folder / "guests.toml").write_text(guests, encoding="utf-8")
    audience = Audience()
    day = play(folder / "run", listener=audience, admit=folder / "guests.toml")
    audience.join()
    return day, audience


def test_the_trace_is_the_same_byte_for_byte(watched: tuple[Day, Audience], small: Day) -> None:
    day, _ = watched
    assert (day.folder / "trace.jsonl").read_bytes() == (small.folder / "trace.jsonl").read_bytes()
    assert day.postings == small.postings


def test_nothing_that_was_written_is_among_the_warnings(watched: tuple[Day, Audience], small: Day) -> None:
    day, _ = watched
    assert day.warnings == small.warnings


def test_who_watches_a_use_case_sees_each_of_its_messages_once(watched: tuple[Day, Audience]) -> None:
    day, audience = watched
    lines = [line for text in audience.people["anna"].heard for line in text.split("\n") if " -> " in line]
    conversations = {m["conversation-id"] for m in day.messages if (m["exchange"] or "").startswith("6.")}
    expected = [m for m in day.messages if m["conversation-id"] in conversations]
    assert len(expected) > 20
    assert sorted(line[:8] for line in lines) == sorted(m["at"][11:19] for m in expected)
    bids = [line for line in lines if ": propose 6.1.2 Market bid: power " in line and " EUR/kW" in line]
    assert len(bids) == len(day.said(exchange="6.1.2"))


def test_each_stanza_has_a_heading_and_the_lines_of_one_conversation(watched: tuple[Day, Audience]) -> None:
    _, audience = watched
    shown = [text for text in audience.people["anna"].heard if text.startswith("buc6 ")]
    for text in shown:
        heading, *lines = text.split("\n")
        initiator = heading.partition(": ")[2].partition(" with ")[0]
        assert lines
        assert all(f" {initiator} -> " in line or f"-> {initiator}: " in line for line in lines)


def test_json_is_the_trace(watched: tuple[Day, Audience]) -> None:
    day, audience = watched
    lines = [text for text in audience.people["ben"].heard if text.startswith("{")]
    at = day.trace.index(lines[0])
    assert lines == day.trace[at:]


def test_who_watches_an_agent_sees_what_it_says_and_hears_and_no_more(watched: tuple[Day, Audience]) -> None:
    day, audience = watched
    lines = [line for text in audience.people["carl"].heard for line in text.split("\n") if " -> " in line]
    assert all("vpp1 -> " in line or " -> vpp1: " in line for line in lines)
    about = [m for m in day.messages if "vpp1@localhost" in (m["sender"], m["receiver"])]
    assert 0 < len(about) - len(lines) < 40  # what was said before he asked


def test_everybody_is_told_what_the_run_came_to(watched: tuple[Day, Audience]) -> None:
    day, audience = watched
    paid = sum(amount for _, _, amount, *_ in day.sql("select 1, 1, amount_cents from posting where amount_cents > 0"))
    for name in ("anna", "ben", "carl"):
        assert audience.people[name].heard[-1] == (
            f"The run has ended: {len(day.messages)} messages, {paid / 100:.2f} EUR paid."
        )


def test_acts_are_answered_as_those_of_any_stranger(watched: tuple[Day, Audience]) -> None:
    _, audience = watched
    stanzas = audience.people["eve"].stanzas
    answers = {}
    for stanza in stanzas:
        values = {
            each.get("var"): each.findtext("{jabber:x:data}value") for each in stanza.iter("{jabber:x:data}field")
        }
        if "performative" in values:
            answers[values["in-reply-to"]] = (values["performative"], values["conversation-id"])
    assert answers["mallory-1/1"] == ("refuse", "mallory-1")
    assert {name: act for name, (act, _) in answers.items()} == {
        "mallory-1/1": "refuse",
        "mallory-2/1": "not-understood",
        "mallory-3/1": "refuse",
        "mallory-4/1": "not-understood",
        "mallory-6/1": "not-understood",
        "mallory-7/1": "not-understood",
        "mallory-8/1": "not-understood",
        "mallory-9/1": "not-understood",
        "mallory-10/1": "not-understood",
    }


def test_a_flood_of_commands_gets_few_answers(watched: tuple[Day, Audience]) -> None:
    _, audience = watched
    assert len(audience.people["eve"].heard) < FLOOD / 2


def test_the_same_person_at_another_client_hears_what_was_asked_there(watched: tuple[Day, Audience]) -> None:
    _, audience = watched
    heard: list[Any] = audience.people["anna's phone"].heard
    assert len(heard) == 3
    assert heard[2].splitlines()[-1] == "You watch nothing."
