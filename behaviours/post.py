"""The post between agents of one process, and its way out to the XMPP server.

In process a letter is handed over when everything that was started before has been worked off, so that the
order of the letters is the order of their sending. Letters to anyone else, or all letters with `wire`, go
through the sender's own XMPP link.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from behaviours.ports import Clock, Letter, Outlet, UnsendableError
from behaviours.stanzas import NOT_XML
from protocols.acl import MAX_BODY_CHARACTERS

log = logging.getLogger("gridparley.post")

MAX_METADATA_CHARACTERS = 20_000
"""ACL parameters are short; together with the largest body the stanza stays under the servers' 256 KiB."""


Deliver = Callable[[Letter], None]


class PostOffice:
    """The post of one process. `wire` puts every letter on the server, also between agents of this process."""

    def __init__(self, clock: Clock, *, wire: bool = False) -> None:
        self._clock = clock
        self._wire = wire
        self._boxes: dict[str, tuple[Deliver, Outlet | None]] = {}

    def open(self, jid: str, deliver: Deliver, outlet: Outlet | None = None) -> None:
        """From now on letters to `jid` (bare) come to `deliver`. Raises ValueError where that JID is taken."""
        if jid in self._boxes:
            raise ValueError(f"two agents are called {jid}: give each its own name")
        self._boxes[jid] = (deliver, outlet)

    def close(self, jid: str) -> None:
        """Letters to `jid` no longer arrive here."""
        self._boxes.pop(jid, None)

    def is_local(self, jid: str) -> bool:
        """Whether an agent of this process has that bare JID."""
        return jid in self._boxes

    def send(self, letter: Letter) -> None:
        """Takes a letter on. Raises UnsendableError where it would break an XMPP stream."""
        check_sendable(letter)
        receiver, sender = bare(letter.receiver), bare(letter.sender)
        outlet = self._boxes[sender][1] if sender in self._boxes else None
        if receiver in self._boxes and (outlet is None or not self._wire):
            self._clock.call_idle(lambda: self._hand_over(receiver, letter))
        elif outlet is not None:
            outlet.send(letter)
        else:
            log.warning("nobody here is called %s, and %s has no server to reach it", receiver, sender)

    def _hand_over(self, receiver: str, letter: Letter) -> None:
        if box := self._boxes.get(receiver):
            box[0](letter)


def bare(jid: str) -> str:
    """The JID without its resource."""
    return jid.partition("/")[0]


def check_sendable(letter: Letter) -> None:
    """Raises UnsendableError for what would close an XMPP stream: characters not in XML 1.0, or the size."""
    parameters = [part for pair in letter.metadata.items() for part in pair] + [letter.thread or ""]
    for part in (letter.body, *parameters):
        if found := NOT_XML.search(part):
            raise UnsendableError(
                f"letter from {letter.sender} to {letter.receiver} holds {found.group()!r}, which XML does not"
                " allow: take it out of the content"
            )
    if len(letter.body) > MAX_BODY_CHARACTERS or sum(map(len, parameters)) > MAX_METADATA_CHARACTERS:
        raise UnsendableError(
            f"letter from {letter.sender} to {letter.receiver} has {len(letter.body)} characters of content and"
            f" {sum(map(len, parameters))} of parameters, more than {MAX_BODY_CHARACTERS} or"
            f" {MAX_METADATA_CHARACTERS}: send it in parts"
        )
