"""Lines to chat programs: together by conversation, bounded for whoever is slow, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from xml.etree import ElementTree as ET

from behaviours import chat
from behaviours.chat import Chat, Line, chat_xml

ANNA, BEN = "anna@localhost/phone", "ben@localhost/desk"
PATIENCE_S = 10.0


class FakeWire:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.is_up = True
        self.backlog = 0
        self.broken = False
        self.stanzas: list[tuple[str, str]] = []

    def write(self, xml: str) -> bool:
        if self.broken:
            raise OSError("no wire")
        if self.is_up:
            stanza = ET.fromstring(xml)
            self.stanzas.append((stanza.get("to") or "", stanza.findtext("body") or ""))
        return self.is_up

    def to(self, jid: str) -> list[str]:
        return [text for receiver, text in self.stanzas if receiver == jid]


class TimedChat(Chat):
    """A chat that says when its timer has fired."""

    def __init__(self, wire: FakeWire) -> None:
        super().__init__(wire, failures.append)
        self.fired = asyncio.Event()

    def _flush(self) -> None:
        super()._flush()
        self.fired.set()


def talk(main: Callable[[Chat, FakeWire], Coroutine[Any, Any, None]]) -> None:
    """Runs `main` with a chat for both clients."""

    async def body() -> None:
        wire = FakeWire()
        spoken = TimedChat(wire)
        spoken.open(ANNA)
        spoken.open(BEN)
        async with asyncio.timeout(PATIENCE_S):
            await main(spoken, wire)

    failures.clear()
    asyncio.run(body())


failures: list[str] = []


async def flushed(spoken: Chat) -> None:
    """Waits for the next time that the chat's timer has fired."""
    assert isinstance(spoken, TimedChat)
    spoken.fired.clear()
    await spoken.fired.wait()


def line(text: str, conversation: str = "c1") -> Line:
    return Line(conversation, f"about {conversation}", text)


def test_lines_of_a_conversation_go_out_together_under_its_heading() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for text, conversation in (("a", "c1"), ("b", "c2"), ("c", "c1")):
            spoken.put(ANNA, line(text, conversation))
        assert wire.stanzas == []
        await flushed(spoken)
        assert wire.stanzas == [(ANNA, "about c1\na\nc"), (ANNA, "about c2\nb")]
        spoken.put(ANNA, line("d"))
        await flushed(spoken)
        assert wire.to(ANNA)[2:] == ["about c1\nd"]
        assert wire.to(BEN) == []

    talk(main)


def test_a_line_without_a_heading_is_a_message_of_its_own() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for number in range(3):
            spoken.put(ANNA, Line("c1", "", f"{{{number}}}"))
        await flushed(spoken)
        assert wire.to(ANNA) == ["{0}", "{1}", "{2}"]

    talk(main)


def test_what_finds_no_place_is_dropped_the_oldest_first_counted_and_told_before_what_came_later() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        wire.is_up = False
        for number in range(chat.MAX_LINES + 500):
            spoken.put(ANNA, line(str(number)))
        assert (spoken.waiting(ANNA), spoken.left_out(ANNA)) == (chat.MAX_LINES, 500)
        await flushed(spoken)
        assert wire.stanzas == []
        wire.is_up = True
        await flushed(spoken)
        assert wire.to(ANNA)[0] == "(500 lines left out: too many at once)"
        assert wire.to(ANNA)[1].startswith("about c1\n500\n501\n")

    talk(main)


def test_few_long_lines_are_bounded_as_many_short_ones_are() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for _ in range(30):
            spoken.put(ANNA, line("x" * 100_000))
        assert spoken.waiting(ANNA) * 100_000 <= chat.MAX_CHARACTERS
        assert spoken.left_out(ANNA) == 30 - spoken.waiting(ANNA)

    talk(main)


def test_a_flush_sends_no_client_more_than_some_and_all_clients_their_share() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for number in range(chat.STANZAS_A_FLUSH + 10):
            spoken.put(ANNA, line("a", f"c{number}"))
        spoken.put(BEN, line("b"))
        await flushed(spoken)
        assert (len(wire.to(ANNA)), len(wire.to(BEN))) == (chat.STANZAS_A_FLUSH, 1)
        await flushed(spoken)
        assert len(wire.to(ANNA)) == chat.STANZAS_A_FLUSH + 10
        assert spoken.left_out(ANNA) == 0

    talk(main)


def test_a_long_conversation_is_several_stanzas_that_servers_let_pass() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for _ in range(100):
            spoken.put(ANNA, line("x" * 300))
        await flushed(spoken)
        assert sum(text.count("\n") for text in wire.to(ANNA)) == 100
        assert all(len(text) < chat.CHARACTERS_A_STANZA + 1000 for text in wire.to(ANNA))

    talk(main)


def test_while_the_socket_is_full_nothing_is_written_and_then_what_waited() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        wire.backlog = chat.MAX_BACKLOG + 1
        spoken.put(ANNA, line("a"))
        await flushed(spoken)
        assert wire.stanzas == []
        assert not spoken.may_say(ANNA)
        wire.backlog = 0
        await flushed(spoken)
        assert wire.to(ANNA) == ["about c1\na"]

    talk(main)


def test_a_flood_of_questions_gets_some_answers_and_then_some_more() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        assert sum(spoken.may_say(ANNA, noted=True) for _ in range(10_000)) == chat.ANSWERS_A_FLUSH
        assert sum(spoken.may_say(BEN) for _ in range(10_000)) == chat.ANSWERS_A_FLUSH
        await flushed(spoken)
        assert spoken.may_say(ANNA)
        assert wire.stanzas == [
            (ANNA, f"({10_000 - chat.ANSWERS_A_FLUSH} of your messages not read: too many at once)")
        ]

    talk(main)


def test_nothing_is_kept_of_a_client_that_was_closed() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        spoken.put(ANNA, line("a"))
        spoken.put(BEN, line("b"))
        spoken.close(ANNA)
        await flushed(spoken)
        assert wire.stanzas == [(BEN, "about c1\nb")]
        assert (spoken.waiting(ANNA), spoken.left_out(ANNA)) == (0, 0)

    talk(main)


def test_at_the_end_everything_is_sent_and_then_a_last_word() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        for number in range(1_500):
            spoken.put(ANNA, line(str(number), f"c{number}"))
        await spoken.end(lambda jid: f"over, {jid}")
        assert len(wire.to(ANNA)) == 1_501
        assert (wire.to(ANNA)[-1], wire.to(BEN)) == (f"over, {ANNA}", [f"over, {BEN}"])

    talk(main)


def test_the_end_does_not_wait_for_a_wire_that_is_gone() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        spoken.put(ANNA, line("a"))
        wire.is_up = False
        await spoken.end(lambda jid: "over")
        assert wire.stanzas == []

    talk(main)


def test_an_error_ends_the_chat_in_one_line_and_nothing_else() -> None:
    async def main(spoken: Chat, wire: FakeWire) -> None:
        spoken.put(ANNA, line("a"))
        wire.broken = True
        await flushed(spoken)

    talk(main)
    (failure,) = failures
    assert "no wire" in failure


def test_a_stanza_is_chat_that_nobody_stores_whatever_the_text() -> None:
    stanza = ET.fromstring(chat_xml("a@b/'\"<", "1 < 2 & \x00 \ufffe \ud800", "c<1>\x1b"))
    assert stanza.get("to") == "a@b/'\"<"
    assert stanza.get("type") == "chat"
    assert stanza.findtext("body") == "1 < 2 & \\u0000 \\ufffe \\ud800"
    assert stanza.findtext("thread") == "c<1>?"
    assert stanza.find("{urn:xmpp:hints}no-store") is not None
    assert len(chat_xml("a@b", "&" * 100_000)) < 1_000
    assert len(chat_xml("a@b", "ž" * 130_000)) < 1_000, "servers count bytes"
