"""JSON Schema (2020-12) of every content, for those who connect a system of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from protocols.dialogues import ANSWER_TO_CANCEL, DIALOGUES, PLAIN_ANSWERS, PLAIN_REPLIES
from protocols.exchanges import Content

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def contents() -> tuple[type[Content], ...]:
    """Every content class that some message carries, in the order of the dialogues."""
    found: dict[type[Content], None] = {}
    for dialogue in DIALOGUES:
        for say in (dialogue.opening, *dialogue.answers, *dialogue.replies):
            found[say.content] = None
    for say in (*PLAIN_ANSWERS, *PLAIN_REPLIES, ANSWER_TO_CANCEL):
        found[say.content] = None
    return tuple(found)


def export() -> dict[str, Any]:
    """One schema document: a definition for each content, and `oneOf` them. Units stand as `x-unit`."""
    classes = contents()
    return {
        "$schema": DIALECT,
        "title": "Contents of the information exchanges of EV4EU D5.1",
        "description": "Positive power is drawn from the grid. Prices are per kW for each 15 minutes, or per kWh.",
        "oneOf": [{"$ref": f"#/$defs/{content.__name__}"} for content in classes],
        "$defs": _definitions(classes),
    }


def of(content: type[Content]) -> dict[str, Any]:
    """The schema of one content, with those that it refers to."""
    definitions = _definitions([content])
    own = definitions.pop(content.__name__)
    return {"$schema": DIALECT, **own, **({"$defs": definitions} if definitions else {})}


def _definitions(classes: Sequence[type[Content]]) -> dict[str, Any]:
    """What these contents are, and all that they refer to."""
    _, document = models_json_schema([(content, "validation") for content in classes], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = document["$defs"]
    for content in classes:
        if content.model_fields["exchange"].default is not None:
            # A default saves typing in Python; on the wire the id is what tells one content from another.
            definitions[content.__name__].setdefault("required", []).insert(0, "exchange")
    return definitions


def closed(definitions: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The definitions of these names and of all that they refer to, in the order of `definitions`."""
    wanted, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += _referred(definitions[name])
    return {name: definition for name, definition in definitions.items() if name in wanted}


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for member in node.values():
            yield from _referred(member)
    elif isinstance(node, list):
        for member in node:
            yield from _referred(member)
