"""Agents of ours with a fault: what they say is changed on its way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

from agents.actor import Actor
from behaviours.ports import Letter
from environment.exam.judge import Verdict
from environment.exam.own import examine_own
from environment.exam.script import examined_of
from environment.replay.keeping import CASES
from environment.replay.record import Record, read_record
from protocols.acl import AclMessage

Sent = AclMessage | Letter | tuple[timedelta, AclMessage]
"""What goes out in the place of a message; one of a pair goes out so much later."""
Change = Callable[["Faulty", AclMessage], Iterable[Sent]]


@dataclass
class Faulty:
    """An agent's way out, with a fault in it. `past` is what it has said so far, as it should have been."""

    actor: Actor
    change: Change
    past: list[AclMessage] = field(default_factory=list)
    done: bool = False

    def install(self) -> None:
        """From now on what the agent sends is changed."""
        assert self.actor.link is not None
        self._send = self.actor.link.send
        self.actor.link.send = self._changed  # type: ignore[method-assign]

    def _changed(self, letter: Letter) -> None:
        message = AclMessage.parse(letter.metadata, letter.body, letter.sender, letter.receiver)
        for sent in self.change(self, message):
            if isinstance(sent, tuple):
                at = self.actor.now() + sent[0]
                self.actor.clock.call_at(at, lambda later=sent[1]: self._send(letter_of(later)))  # type: ignore[misc]
            else:
                self._send(sent if isinstance(sent, Letter) else letter_of(sent))
        self.past.append(message)


def letter_of(message: AclMessage) -> Letter:
    """The message on its way."""
    return Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)


def given(message: AclMessage, /, **members: Any) -> AclMessage:
    """The message with these members of its content; `exchange_` is its exchange."""
    return replace(message, content={**message.content, **members})


def act(exchange: str | None, performative: str, change: Callable[[AclMessage], Iterable[Sent]]) -> Change:
    """A fault in each message with that exchange and act."""

    def changed(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
        fits = (message.exchange, message.performative) == (exchange, performative)
        return change(message) if fits else (message,)

    return changed


def members(exchange: str, performative: str, **wrong: Any) -> Change:
    """These members are wrong in each message with that exchange and act."""
    return act(exchange, performative, lambda message: (given(message, **wrong),))


@cache
def record_of(case: str) -> Record:
    """The record of a case."""
    return read_record(CASES / case)


def examined(case: str, who: str, change: Change, rule: str) -> Verdict:
    """The verdict on an agent with that fault; the exam ends when the rule was found to be broken."""
    record = record_of(case)
    return examine_own(
        record,
        examined_of(record, who),
        case,
        lambda actor: Faulty(actor, change).install(),
        enough=lambda finding: finding.rule == rule,
    )


def broken(letter: Letter, **parameters: str | None) -> Letter:
    """A letter whose ACL parameters are not what they should be; None takes one away."""
    metadata = {**letter.metadata, **parameters}
    return replace(letter, metadata={name: value for name, value in metadata.items() if value is not None})
