"""Which agent is at work. Whoever acts on the world or on the books is known to those who write it down, without
being passed from hand to hand: the tasks of an agent inherit its context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ACTING: ContextVar[str] = ContextVar("gridparley_acting", default="")


def acting() -> str:
    """The bare JID of the agent whose code runs now, "" where it is none's."""
    return _ACTING.get()


@contextmanager
def as_agent(jid: str) -> Iterator[None]:
    """What is done and begun in this block is that agent's."""
    token = _ACTING.set(jid)
    try:
        yield
    finally:
        _ACTING.reset(token)
