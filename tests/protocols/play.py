"""Writes traces: a small stage on which agents hold conversations by the protocols' own rules."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.conversation import Conversation
from protocols.roles import Role
from protocols.trace import header_line, message_line


class Play:
    """A trace in the making. `line` of the last message said is `len(self.lines)`."""

    def __init__(self, roles: dict[str, Role]) -> None:
        self.lines = [header_line("slovenia", 7, roles)]
        self._sides: dict[tuple[str, str], Conversation] = {}
        self._protocols: dict[str, Protocol] = {}

    def open(
        self,
        protocol: Protocol,
        conversation: str,
        sender: str,
        receiver: str,
        act: Performative,
        content: x.Content,
        at: datetime,
        reply_by: datetime | None = None,
    ) -> AclMessage:
        """The first act of a conversation, or the call to one more participant."""
        self._protocols[conversation] = protocol
        side = self._sides.setdefault((conversation, sender), Conversation.opening(protocol, sender, conversation))
        message = side.compose(act, content.to_json(), receiver, reply_by=reply_by)
        side.send(message, at)
        answering, _ = Conversation.answering(message, at)
        self._sides[conversation, receiver] = answering
        return self.write(message, at)

    def say(
        self,
        conversation: str,
        sender: str,
        receiver: str,
        act: Performative,
        content: x.Content,
        at: datetime,
        in_reply_to: str | None = None,
    ) -> AclMessage:
        """A further act; raises where the protocol does not allow it."""
        side = self._sides[conversation, sender]
        message = side.compose(act, content.to_json(), receiver, in_reply_to=in_reply_to)
        side.send(message, at)
        self._sides[conversation, receiver].receive(message, at)
        return self.write(message, at)

    def write(self, message: AclMessage, at: datetime) -> AclMessage:
        """A message as it stands, lawful or not."""
        self.lines.append(message_line(message, at))
        return message


def changed(line: str, **members: Any) -> str:
    """A line with other members; `in_reply_to` is written for `in-reply-to`."""
    found = json.loads(line)
    found.update({name.replace("_", "-"): value for name, value in members.items()})
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def with_content(line: str, **members: Any) -> str:
    """A line whose content has other members."""
    return changed(line, content=json.loads(line)["content"] | members)
