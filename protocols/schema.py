"""JSON Schema (2020-12) of every content, for those who connect a system of their own."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from protocols.dialogues import ANSWER_TO_CANCEL, DIALOGUES, PLAIN_ANSWERS, PLAIN_REPLIES
from protocols.exchanges import Content


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
    _, document = models_json_schema([(content, "validation") for content in classes], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = document["$defs"]
    for content in classes:
        if content.model_fields["exchange"].default is not None:
            # A default saves typing in Python; on the wire the id is what tells one content from another.
            definitions[content.__name__].setdefault("required", []).insert(0, "exchange")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Contents of the information exchanges of EV4EU D5.1, BUC 1, 2, 4.1 and 6",
        "description": "Positive power is drawn from the grid. Prices are per kW for each 15 minutes, or per kWh.",
        "oneOf": [{"$ref": f"#/$defs/{content.__name__}"} for content in classes],
        "$defs": definitions,
    }
