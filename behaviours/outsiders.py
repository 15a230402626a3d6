"""Acts of agents outside that somebody hears who takes part in nothing: each is turned down, and nothing is kept of it.

The answers are those of the dispatcher to a stranger. No conversation, no timer and no line of the trace comes of them.
"""

from __future__ import annotations

from behaviours.dispatcher import LARGEST_PARAMETERS, bounded, unread
from behaviours.ports import Letter
from behaviours.post import bare
from protocols.acl import AclMessage, MalformedMessageError, Performative
from protocols.catalogue import parse
from protocols.conversation import not_understood, opens
from protocols.exchanges.content import ContentError
from protocols.exchanges.plain import Reason
from protocols.roles import Role
from protocols.tables import REFUSAL


def turned_down(letter: Letter, mine: Role, number: int) -> AclMessage | None:
    """The answer to a letter with a performative; None where an answer would be one too many. `number` names it."""
    length = sum(len(name) + len(value) for name, value in letter.metadata.items())
    if length > LARGEST_PARAMETERS:
        return unread(letter, [f"parameters have {length} characters, more than {LARGEST_PARAMETERS}"], number)
    try:
        message = AclMessage.parse(letter.metadata, letter.body, bare(letter.sender), bare(letter.receiver))
    except MalformedMessageError as error:
        return unread(letter, bounded(error.faults), number)
    if not opens(message):
        return not_understood(message, f"{message.conversation_id} is no conversation of ours")
    try:
        said = f"{parse(message).exchange} as {message.performative}"
    except ContentError as error:
        reason = Reason(code="malformed", reason="the content cannot be read", faults=tuple(bounded(error.faults)))
        return _answer(message, Performative.NOT_UNDERSTOOD, reason)
    why = f"{message.sender} may not send {said} to {mine}, which reads along and takes part in nothing"
    return _answer(message, REFUSAL[message.protocol], Reason.of("not-authorised", why))


def _answer(message: AclMessage, act: Performative, reason: Reason) -> AclMessage:
    return AclMessage(
        performative=act,
        sender=message.receiver,
        receiver=message.sender,
        protocol=message.protocol,
        conversation_id=message.conversation_id,
        reply_with=f"{message.reply_with}/{act}",
        content=reason.to_json(),
        in_reply_to=message.reply_with,
    )
