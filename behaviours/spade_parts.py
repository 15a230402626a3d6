"""What an actor puts in the place of parts of SPADE that cost and that it does not need, and SPADE's messages."""

from __future__ import annotations

from contextlib import suppress

from spade.message import Message

from behaviours.ports import Letter
from behaviours.serving import Owner
from protocols.acl import AclMessage, MalformedMessageError


class AgentContainer:
    """Stands in for SPADE's process-wide container: what a behaviour sends goes to the swarm's post."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def send(self, msg: Message, behaviour: object) -> None:
        owner = self._owner
        if owner.swarm.down(owner.address):
            return
        letter = from_spade(msg, str(msg.to), sender=owner.address)
        owner.swarm.post.send(letter)
        with suppress(MalformedMessageError):  # what is no ACL message has no place in the trace
            message = AclMessage.parse(letter.metadata, letter.body, owner.address, msg.to.bare)
            owner.swarm.recorder.record(owner.now(), message)


class NoWeb:
    """SPADE's web page of an agent, which there is none of."""

    app = None

    def is_started(self) -> bool:
        return False


class NoTraces:
    """SPADE's store of messages, in whose place the swarm's recorder keeps them."""

    def append(self, event: object, category: str | None = None) -> None:
        pass


def to_spade(letter: Letter) -> Message:
    return Message(
        to=letter.receiver,
        sender=letter.sender,
        body=letter.body,
        thread=letter.thread,
        metadata=dict(letter.metadata),
    )


def from_spade(message: Message, receiver: str, sender: str | None = None) -> Letter:
    # SPADE's FIPAMessageBuilder sets an attribute that SPADE's own sending does not look at.
    metadata = {**message._metadata, **getattr(message, "metadata", {})}
    return Letter(sender or str(message.sender), receiver, message.body or "", metadata, message.thread)
