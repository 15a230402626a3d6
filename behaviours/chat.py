"""Lines to people's chat programs: a bounded queue for each client, worked off by a timer of the wall.

Whoever has something to say puts it here and goes on. A stanza carries the lines of one conversation that came since
the last one; what finds no place is dropped, the oldest first, counted, and told to whom it concerns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol
from xml.sax.saxutils import escape, quoteattr

from behaviours.stanzas import NOT_XML, holdable

log = logging.getLogger("gridparley.chat")

FLUSH_S = 0.25
"""What comes within so long (wall time) goes out together."""
MAX_LINES = 2_000
MAX_CHARACTERS = 2_000_000
"""What may wait for one client."""
LINES_A_FLUSH = 400
STANZAS_A_FLUSH = 60
"""What one client is sent at a time at most."""
LINES_A_STANZA = 40
CHARACTERS_A_STANZA = 8_000
LARGEST_STANZA = 250_000
"""In bytes: larger ones close the stream of several servers."""
ANSWERS_A_FLUSH = 20
"""So many answers a client gets within `FLUSH_S`; what it asks beyond them stays without."""
MAX_BACKLOG = 256 * 1024
"""While so many bytes wait in our own socket nothing more is written."""
NOTE_S = 5.0
"""How often (wall time) a client is told at most that lines were left out."""
END_S = 3.0
"""How long (wall time) the end of a run waits at most until everybody was sent what is left."""


class Wire(Protocol):
    """The connection on which stanzas are written once, without receipt and retry."""

    @property
    def is_up(self) -> bool: ...

    @property
    def backlog(self) -> int:
        """Bytes that were written and have not left."""

    def write(self, xml: str) -> bool:
        """Writes a stanza, and says whether there is a connection."""


class Line(NamedTuple):
    """One line of a conversation. Without a `heading` it makes a stanza of its own."""

    conversation: str
    heading: str
    text: str


class _Client:
    """What waits for one client."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque()
        self.characters = 0
        self.left_out = 0
        self.told_left_out = 0
        self.told_at = 0.0

    def put(self, line: Line) -> None:
        self.lines.append(line)
        self.characters += len(line.text)
        while len(self.lines) > MAX_LINES or self.characters > MAX_CHARACTERS:
            self.take()
            self.left_out += 1

    def take(self) -> Line:
        line = self.lines.popleft()
        self.characters -= len(line.text)
        return line


class Chat:
    """The queues of all clients, by full JID. `failed` is told in a line why nothing is shown any more."""

    def __init__(self, wire: Wire, failed: Callable[[str], None] = log.error) -> None:
        self._wire = wire
        self._failed = failed
        self._clients: dict[str, _Client] = {}
        self._answers: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def open(self, jid: str) -> None:
        """From now on lines can be put for that client."""
        self._clients.setdefault(jid, _Client())

    def close(self, jid: str) -> None:
        """Forgets the client, with all that waits for it."""
        self._clients.pop(jid, None)

    def put(self, jid: str, line: Line) -> None:
        """Takes a line on for a client that is open; for another it is left out."""
        if (client := self._clients.get(jid)) is not None:
            client.put(line)
            self._wake()

    def waiting(self, jid: str) -> int:
        """How many lines wait for the client."""
        return len(self._clients[jid].lines) if jid in self._clients else 0

    def left_out(self, jid: str) -> int:
        """How many lines the client was not sent, because it or the connection was too slow."""
        return self._clients[jid].left_out if jid in self._clients else 0

    def may_say(self, jid: str, *, noted: bool = False) -> bool:
        """Whether that client gets an answer now; asking counts as one answer, until the next flush.

        With `noted` the client is told then how often the answer was no.
        """
        self._answers[jid] += 1
        self._wake()
        fits = self._answers[jid] <= ANSWERS_A_FLUSH and self._wire.backlog <= MAX_BACKLOG
        if noted and not fits:
            self._ignored[jid] += 1
        return fits

    def say(self, jid: str, text: str) -> None:
        """Says something at once, before the lines that wait."""
        self._wire.write(chat_xml(jid, text))

    async def end(self, last: Callable[[str], str]) -> None:
        """Sends what waits, for a few seconds at most, then `last(jid)` to each client, and forgets them all."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + END_S
        while any(client.lines for client in self._clients.values()) and self._wire.is_up and loop.time() < patience:
            self._send()
            await asyncio.sleep(0.01 if self._wire.backlog else 0)
        for jid, client in self._clients.items():
            client.left_out += len(client.lines)
            self._wire.write(chat_xml(jid, last(jid)))
        self._clients.clear()
        if self._timer is not None:
            self._timer.cancel()

    # --- the timer

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._answers.clear()
        try:
            self._send()
        except Exception as error:  # watching must never end a run
            log.debug("chat", exc_info=True)
            self._clients.clear()
            self._failed(f"nobody is shown anything by chat any more: {error!r}")
        if self._ignored or any(client.lines for client in self._clients.values()):
            self._wake()

    def _send(self) -> None:
        if not self._wire.is_up or self._wire.backlog > MAX_BACKLOG:
            return
        for jid, ignored in self._ignored.items():
            self.say(jid, f"({ignored} of your messages not read: too many at once)")
        self._ignored.clear()
        for jid in tuple(self._clients):
            if self._wire.backlog > MAX_BACKLOG:
                return
            client = self._clients.pop(jid)
            self._clients[jid] = client  # whoever was first is last the next time
            self._note(jid, client)
            for text, conversation in _stanzas(client):
                self._wire.write(chat_xml(jid, text, conversation))

    def _note(self, jid: str, client: _Client) -> None:
        """Tells the client what it did not get, in its place: before what came later."""
        now = asyncio.get_running_loop().time()
        missing = client.left_out - client.told_left_out
        if missing and (now - client.told_at > NOTE_S or not client.told_left_out):
            client.told_left_out, client.told_at = client.left_out, now
            self._wire.write(
                chat_xml(jid, f"({missing} {'line' if missing == 1 else 'lines'} left out: too many at once)")
            )


def _stanzas(client: _Client) -> Iterator[tuple[str, str]]:
    """The bodies of the next stanzas, each with its conversation. Lines of one conversation go together."""
    groups: dict[str, list[Line]] = {}
    alone = 0
    for _ in range(min(LINES_A_FLUSH, len(client.lines))):
        line = client.lines[0]
        if len(groups) + alone >= STANZAS_A_FLUSH and (not line.heading or line.conversation not in groups):
            break
        client.take()
        if line.heading:
            groups.setdefault(line.conversation, []).append(line)
        else:
            alone += 1
            yield line.text, line.conversation
    for conversation, lines in groups.items():
        for part in _parts(lines):
            yield "\n".join([part[-1].heading, *(line.text for line in part)]), conversation


def _parts(lines: list[Line]) -> Iterator[list[Line]]:
    part: list[Line] = []
    for line in lines:
        if part and (len(part) == LINES_A_STANZA or sum(len(one.text) for one in part) > CHARACTERS_A_STANZA):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def chat_xml(to: str, text: str, thread: str = "") -> str:
    """A chat message that no server keeps for later or copies to other clients (XEP-0334).

    What XML cannot hold is written as JSON escapes it; for what is too long for a stanza stands a word on it.
    """
    body = escape(holdable(text))
    if len(body.encode()) > LARGEST_STANZA:
        body = f"(a line of {len(text)} characters is too long to be shown here)"
    about = f"<thread>{escape(NOT_XML.sub('?', thread))}</thread>" if thread else ""
    return (
        f"<message to={quoteattr(to)} type='chat'><body>{body}</body>{about}"
        "<no-store xmlns='urn:xmpp:hints'/><no-copy xmlns='urn:xmpp:hints'/></message>"
    )
