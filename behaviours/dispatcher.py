"""The one behaviour that hears everything an agent is told, and routes it by conversation.

A message goes through four gates, each of which answers by itself what it does not let pass: it is an ACL message
(else not-understood), the sender's role is known to the directory, the content is what its exchange says
(else not-understood with every fault), and that role may say it (else refuse). Only then does the conversation see
it, which answers what is out of sequence. What the conversation lets pass, and what breaks no rule in the light of what
was said before (else refuse, or failure), reaches a handler; a proposal reaches whoever asked for it with its faults.
"""

from __future__ import annotations

import logging
import re
from itertools import count

from spade.behaviour import CyclicBehaviour

from behaviours.meaning import Meaning
from behaviours.memory import Memory
from behaviours.ports import Letter
from behaviours.post import bare
from behaviours.serving import Owner, Service, decline
from behaviours.talk import Heard, Talk
from protocols.acl import AclMessage, MalformedMessageError, Performative
from protocols.acl import Protocol as Fipa
from protocols.catalogue import belongs, dialogue_of, may_send, parse
from protocols.conversation import Conversation, not_understood, opens
from protocols.dialogues import Say
from protocols.events import Duplicate, Ended, Event, Expired, Received
from protocols.exchanges.content import Content, ContentError
from protocols.exchanges.plain import Reason
from protocols.roles import Role
from protocols.semantics import Violation, reason_for
from protocols.tables import REFUSAL, Side

log = logging.getLogger("gridparley.dispatcher")

LARGEST_PARAMETERS = 5_000
"""Characters of ACL parameters that a letter may have: an answer quotes some of them more than once."""
MAX_FAULTS = 20
MAX_FAULT = 400
_UNSEEN = re.compile("[^\t\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Dispatcher(CyclicBehaviour):  # type: ignore[misc]  # SPADE is untyped
    """Routes what arrives, opens conversations, and keeps their deadlines."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self.owner = owner
        self.memory = Memory(owner.swarm.clock, self._deadline)
        self.service = Service(owner)
        self.meaning = Meaning(owner.address, owner.roles, owner.swarm.zone)
        self._numbers = count(1)
        self._parked: dict[str, list[AclMessage]] = {}

    # --- what arrives

    async def run(self) -> None:
        letter: Letter = await self.queue.get()
        try:
            self.arrived(letter)
        except Exception as error:
            error.add_note(f"{self.owner.address} was reading a message from {letter.sender}")
            self.owner.swarm.failed(error)

    def arrived(self, letter: Letter) -> None:
        """Reads one letter. A sender whose role is unknown waits, in order, until the directory has answered."""
        length = sum(len(name) + len(value) for name, value in letter.metadata.items())
        if length > LARGEST_PARAMETERS:  # an answer that quotes them could not be sent
            self._malformed(letter, [f"parameters have {length} characters, more than {LARGEST_PARAMETERS}"])
            return
        try:
            message = AclMessage.parse(letter.metadata, letter.body, bare(letter.sender), bare(letter.receiver))
        except MalformedMessageError as error:
            self._malformed(letter, error.faults)
            return
        if not self.owner.swarm.post.is_local(message.sender):
            self.owner.swarm.recorder.record(self.owner.now(), message)
        if message.sender in self._parked:
            self._parked[message.sender].append(message)
        elif (role := self.owner.roles.get(message.sender)) is not None:
            self._admit(message, role)
        else:
            self._parked[message.sender] = [message]
            self.owner.spawn(self._look_up(message.sender), f"role of {message.sender}")

    async def _look_up(self, sender: str) -> None:
        role = await self.owner.role_of(sender)
        for message in self._parked.pop(sender):
            self._admit(message, role)

    def _admit(self, message: AclMessage, role: Role | None) -> None:
        talk = self.memory.find(message.conversation_id)
        try:
            content: Content | None = parse(message)
            faults: list[str] = []
        except ContentError as error:
            content, faults = None, bounded(error.faults)
        if talk is None:
            self._admit_opening(message, content, faults, role)
            return
        if content is not None and not self._lawful(talk, message, content, role):
            said = f"{message.performative} of {type(content).__name__}"
            content, faults = None, [f"{said} has no place in conversation {message.conversation_id}"]
        now = self.owner.now()
        if content is None:
            events = talk.conversation.misunderstand(message, faults, now)
            self._record_malformed(message.sender, faults)
        else:
            events = talk.conversation.receive(message, now)
        self._react(talk, events, content, role)

    def _admit_opening(
        self, message: AclMessage, content: Content | None, faults: list[str], role: Role | None
    ) -> None:
        if not opens(message):
            if answer := not_understood(message, f"{message.conversation_id} is no conversation of ours", faults):
                self._post(answer)
            return
        conversation, events = Conversation.answering(message, self.owner.now())
        talk = self._talk(conversation)
        talk.first = message
        self.memory.keep(talk)
        if any(isinstance(event, Expired) for event in events):
            self._react(talk, events, content, role)
            return
        self._flush(talk)
        if content is None:
            self._record_malformed(message.sender, faults)
            reason = Reason(code="malformed", reason="the content cannot be read", faults=tuple(faults))
            talk.say(Performative.NOT_UNDERSTOOD, reason, message.sender, in_reply_to=message.reply_with)
        elif not self._may_open(message, content, role):
            decline(talk, message, "not-authorised", _unauthorised(message, role, self.owner.role))
        else:
            talk.opening = content
            self._react(talk, events, content, role)

    def _may_open(self, message: AclMessage, content: Content, role: Role | None) -> bool:
        return may_send(content.exchange, message.performative, message.protocol, role, self.owner.role)

    def _lawful(self, talk: Talk, message: AclMessage, content: Content, role: Role | None) -> bool:
        """Whether the content has a place in what the conversation is about."""
        if opens(message):
            return True  # a repeated opening, which the conversation knows how to answer
        if talk.dialogue is None and talk.first is not None:
            asker, asked = self.owner.role, role
            if talk.conversation.side is Side.PARTICIPANT:
                asker, asked = role, self.owner.role  # type: ignore[assignment]
            talk.dialogue = dialogue_of(talk.first, asker, asked)
        if talk.dialogue is None:
            return content.exchange is None
        return belongs(
            talk.dialogue,
            Say(message.performative, type(content)),
            by_initiator=talk.conversation.side is Side.PARTICIPANT,
            answers_cancel=talk.answers_cancel(message),
        )

    # --- what it leads to

    def _react(self, talk: Talk, events: tuple[Event, ...], content: Content | None, role: Role | None) -> None:
        self._flush(talk)
        for event in events:
            match event:
                case Received(message=message) if content is not None:
                    broken = self._broken(message, content)
                    if talk.conversation.side is Side.INITIATOR:
                        talk.heard(Heard(message, content, tuple(map(str, broken))))
                    elif broken and (act := _turned_down(message)) is not None:
                        talk.say(act, reason_for(broken), message.sender, in_reply_to=message.reply_with)
                    else:
                        self.service.serve(talk, message, content, role)
                case Expired(peer=peer) | Ended(peer=peer):
                    talk.over(peer)
                    self.service.ended(talk)
                case Duplicate():
                    log.debug("%s has heard this already: %s", self.owner.address, event)
                case _:
                    log.info("%s did not act on %s", self.owner.address, event)
        self.memory.changed(talk)

    def _broken(self, message: AclMessage, content: Content) -> tuple[Violation, ...]:
        """The rules that a message breaks in the light of what was said before."""
        return self.meaning.heard(message, content, self.owner.now()) if self.owner.swarm.judge else ()

    # --- what is said outside any conversation

    def _malformed(self, letter: Letter, faults: list[str]) -> None:
        faults = bounded(faults)
        self._record_malformed(bare(letter.sender), faults)
        if (answer := unread(letter, faults, next(self._numbers))) is not None:
            self._post(answer)

    def _record_malformed(self, sender: str, faults: list[str]) -> None:
        owner = self.owner
        owner.swarm.recorder.record_malformed(owner.now(), sender, owner.address, faults)

    # --- what this agent begins

    def open(self, protocol: Fipa, opening: Content) -> Talk:
        """A new conversation, with an id that depends on the run only."""
        name = self.owner.address.partition("@")[0]
        prefix = f"{self.owner.swarm.run}-" if self.owner.swarm.run else ""
        conversation_id = f"{prefix}{name}-{next(self._numbers)}"
        while self.memory.find(conversation_id) is not None:  # somebody else has used the name
            conversation_id = f"{prefix}{name}-{next(self._numbers)}"
        talk = self._talk(Conversation.opening(protocol, self.owner.address, conversation_id))
        talk.opening = opening
        self.memory.keep(talk)
        return talk

    def _talk(self, conversation: Conversation) -> Talk:
        return Talk(conversation, self.owner.now, self._post, self.memory.changed, self._deadline)

    def _deadline(self, talk: Talk) -> None:
        self._react(talk, talk.conversation.expire(self.owner.now()), None, None)

    def _flush(self, talk: Talk) -> None:
        for message in talk.conversation.take_outbox():
            self._post(message)

    def _post(self, message: AclMessage) -> None:
        if not self.owner.swarm.down(self.owner.address):
            self._send(message)
        self.meaning.said(message, self.owner.now())

    def _send(self, message: AclMessage) -> None:
        letter = Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
        self.owner.swarm.post.send(letter)
        self.owner.swarm.recorder.record(self.owner.now(), message)


def unread(letter: Letter, faults: list[str], number: int) -> AclMessage | None:
    """The answer to what is no ACL message; None where that would be the second not-understood. `number` names it."""
    if letter.metadata.get("performative") == Performative.NOT_UNDERSTOOD:
        return None  # two agents that do not understand each other would never stop
    reason = Reason(code="malformed", reason="this is not an ACL message", faults=tuple(faults))
    me = bare(letter.receiver)
    return AclMessage(
        performative=Performative.NOT_UNDERSTOOD,
        sender=me,
        receiver=bare(letter.sender),
        protocol=_protocol_of(letter),
        conversation_id=(letter.metadata.get("conversation-id") or letter.thread or f"unknown-{number}")[:200],
        reply_with=f"unread/{me.partition('@')[0]}/{number}",
        in_reply_to=letter.metadata.get("reply-with", "")[:200] or None,
        content=reason.to_json(),
    )


def bounded(faults: list[str]) -> list[str]:
    """The faults as far as an answer can carry them: whoever wrote the message chose their number and length."""
    shown = [_UNSEEN.sub("?", fault[:MAX_FAULT]) for fault in faults[:MAX_FAULTS]]
    return shown if len(faults) <= MAX_FAULTS else [*shown, f"and {len(faults) - MAX_FAULTS} more"]


def _turned_down(message: AclMessage) -> Performative | None:
    """The act that says that a message is not acted upon; a rejection always is."""
    if opens(message):
        return REFUSAL[message.protocol]
    declined_by_failure = (Performative.ACCEPT_PROPOSAL, Performative.CANCEL)
    return Performative.FAILURE if message.performative in declined_by_failure else None


def _unauthorised(message: AclMessage, role: Role | None, mine: Role) -> str:
    who = f"{message.sender} is {role}" if role else f"{message.sender} is not registered with the directory"
    return f"{who}, and may not send {message.content.get('exchange')} as {message.performative} to {mine}"


def _protocol_of(letter: Letter) -> Fipa:
    try:
        return Fipa(letter.metadata.get("protocol", ""))
    except ValueError:
        return Fipa.REQUEST
