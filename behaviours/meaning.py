"""What a message means in the light of what an agent said and heard before: the last gate before a handler.

The rules are `protocols.semantics`; here each agent keeps its own register for them. What an agent sends is noted, what
it hears is noted when it breaks no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from protocols.acl import AclMessage
from protocols.catalogue import parse
from protocols.exchanges.content import Content, ContentError
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import Violation, admit

REMEMBERED = timedelta(days=2)
"""What is older is forgotten: a market day, its settlement, and a day in hand."""


class Meaning:
    """One agent's register. `roles` are those it knows, its own among them; `zone` is that of the market's day."""

    def __init__(self, me: str, roles: Mapping[str, Role], zone: tzinfo) -> None:
        self._register = Register(zone, roles, me)
        self._swept: datetime | None = None

    def heard(self, message: AclMessage, content: Content, now: datetime) -> tuple[Violation, ...]:
        """The rules that a received act breaks; an act that breaks none is noted."""
        self._sweep(now)
        return admit(self._register, Said.of(message, content, now))

    def said(self, message: AclMessage, now: datetime) -> None:
        """Notes an act of one's own."""
        try:
            self._register.note(Said.of(message, parse(message), now))
        except ContentError:
            return  # an automatic answer without a content of its own

    def _sweep(self, now: datetime) -> None:
        if self._swept is None:
            self._swept = now
        elif now - self._swept >= REMEMBERED:
            self._register.forget(now - REMEMBERED)
            self._swept = now
