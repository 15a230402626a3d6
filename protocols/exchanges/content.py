"""What every content of a message has in common: frozen, strict, complete, checked when made and when received."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from protocols.acl import Performative

MAX_FAULTS = 100
MAX_FAULT_CHARACTERS = 300
"""A fault quotes what a stranger sent: the answer that lists them must not outgrow a message."""


class ContentError(ValueError):
    """A content that is not what its exchange says; `faults` lists every fault as `path: what is wrong`.

    They are fit to be sent back: printable, and bounded in length and number.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = printable(faults)
        super().__init__("; ".join(self.faults))


def printable(faults: Sequence[str]) -> list[str]:
    """Faults as they may stand in an answer: every character visible, none too long, the last one counts the rest."""
    told = ["".join(map(_visible, fault[:MAX_FAULT_CHARACTERS]))[:MAX_FAULT_CHARACTERS] for fault in faults]
    if (more := len(told) - MAX_FAULTS) > 0:
        told[MAX_FAULTS - 1 :] = [f"and {more + 1} more"]
    return told


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class Part(BaseModel):
    """A piece of a content. Unknown members are forbidden, types are not converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What no single field can tell, as (field, what is wrong with it); asked when all fields are valid."""
        yield from ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := list(self.contradictions()):
            text = "; ".join(f"{name}: {fault}" for name, fault in found)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "found": found})
        return self


class Content(Part):
    """The content of one act. `exchange` is the id of D5.1, or None for a plain act such as a refusal."""

    exchange: str | None

    def contradicts(self, performative: Performative) -> Iterator[tuple[str, str]]:
        """Where this content says something else than the act that carries it, as (field, what is wrong)."""
        yield from ()

    def to_json(self) -> dict[str, Any]:
        """The content as JSON members, in the order of the fields, `exchange` first."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """The content of the JSON members that arrived. Raises ContentError with every fault."""
        try:
            # pydantic's strict mode takes tuples and enumerations only from JSON text, not from parsed JSON.
            return cls.model_validate_json(json.dumps(members))
        except ValidationError as error:
            raise ContentError(list(faults_of(error))) from None
        except RecursionError:
            raise ContentError(["content: is nested too deeply"]) from None


def ordered(earlier: str, later: str, content: Part) -> Iterator[tuple[str, str]]:
    """The contradiction of a time span that does not end after it starts."""
    if getattr(content, later) <= getattr(content, earlier):
        yield later, f"is not after {earlier}"


def faults_of(error: ValidationError) -> Iterator[str]:
    """Every fault that pydantic found, as `path: what is wrong`."""
    for detail in error.errors(include_url=False, include_input=False):
        path = ""
        for step in detail["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        match detail["type"]:
            case "contradiction":
                for name, text in detail["ctx"]["found"]:
                    yield f"{path}.{name}: {text}" if path else f"{name}: {text}"
            case "missing":
                yield f"{path}: is missing"
            case "extra_forbidden":
                yield f"{path}: is not a field of this content"
            case _:
                yield f"{path or 'content'}: {detail['msg']}"
