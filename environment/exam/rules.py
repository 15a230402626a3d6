"""The rules of an exam by name, each with its source: what a verdict quotes."""

from __future__ import annotations

from collections.abc import Mapping

from protocols.dialogues import EXCHANGES
from protocols.rules import Rule
from protocols.semantics import CHECKS

REGISTERED = "registered"
READABLE = "readable"
ADDRESSED = "addressed"
UNANSWERED = "unanswered"
UNDERSTOOD = "understood"
TAKES_PART = "takes-part"
REACHABLE = "reachable"
FLOOD = "flood"
EXPECTED = "expected"
DEADLINE = "deadline"

_OF_THE_WIRE: Mapping[str, str] = {
    REGISTERED: "FIPA SC00023 (DF register): the agent registers with the directory, in its own role, in time",
    READABLE: "FIPA SC00061G and docs/wire.md: what is sent is an ACL message",
    ADDRESSED: "docs/wire.md: what is sent is for one of those who take part, or for the directory",
    UNANSWERED: "FIPA SC00061G 2.13 (reply-by): what is asked is answered by its reply-by",
    DEADLINE: "FIPA SC00061G 2.13 (reply-by): nothing is said after the time for it",
    "trace": "FIPA SC00061G: the message can be written down",
    "same-id": "FIPA SC00061G 2.10 (reply-with): an id belongs to one message of its sender",
    "content": "docs/exchanges.md: a content has the members of its exchange, each of its kind",
    "authority": "docs/exchanges.md: a role says what the catalogue lets it say, to whom it may",
    "protocol": "FIPA SC00026H, SC00027H, SC00029H, SC00035H, SC00036H: acts come in the order of their protocol",
    "catalogue": "docs/exchanges.md: an act has its place in the dialogue that was opened",
    UNDERSTOOD: "FIPA SC00037J (not-understood): what keeps every rule is understood",
    TAKES_PART: "the record: an agent that turns everything down has not been examined",
    REACHABLE: "RFC 6120: the agent stays logged in until the exam is over",
    FLOOD: "this exam: far more is sent than the record has",
    EXPECTED: "the case's own point.toml",
}


def _of_contents() -> dict[str, str]:
    """The docstrings of the functions that look for each rule."""
    found: dict[str, str] = {}
    for rule in Rule:
        checks = [check for check in CHECKS if rule.name in _names(check)]
        texts = [" ".join((check.__doc__ or "").split()) for check in checks]
        found[str(rule)] = "protocols/semantics.py: " + " ".join(texts)
    return found


def _names(check: object) -> tuple[str, ...]:
    code = getattr(check, "__code__", None)
    return () if code is None else code.co_names


SOURCES: Mapping[str, str] = {**_OF_THE_WIRE, **_of_contents()}
"""The source of each rule, in the order in which a verdict lists them."""


def source_of(rule: str, exchange: str | None = None) -> str:
    """The rule's source, and that of the exchange with which it was broken."""
    text = SOURCES.get(rule, rule)
    known = EXCHANGES.get(exchange or "")
    return f"{text} ({known.id} {known.name}: {known.source})" if known else text
