"""What a case is for: what must be said in it, and what must not, so that a case that is written anew keeps its point.

`point.toml` beside the trace is a list of tables `[[said]]`, each a pattern of messages and how often it must occur:

    [[said]]
    performative = "refuse"
    sender = "ev_owner"
    answers = "3.2"
    with = { code = "declined" }
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from environment.replay.record import Record, ReplayError
from protocols.acl import AclMessage, Performative
from protocols.dialogues import EXCHANGES
from protocols.exchanges.content import Part, faults_of
from protocols.roles import Role

POINT = "point.toml"


class Said(Part):
    """A pattern of messages: what is not given is any. `answers`: the exchange that the conversation was opened with;
    `sender`, `receiver`: roles; `members` (`with`): of the content, exactly so."""

    exchange: str | None = None
    answers: str | None = None
    performative: Performative | None = Field(None, strict=False)
    sender: Role | None = Field(None, strict=False)
    receiver: Role | None = Field(None, strict=False)
    members: dict[str, Any] = Field(default_factory=dict, alias="with")
    at_least: int = Field(1, ge=0)
    at_most: int | None = Field(None, ge=0)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        for name, exchange in (("exchange", self.exchange), ("answers", self.answers)):
            if exchange is not None and exchange not in EXCHANGES:
                yield name, f"exchange {exchange!r} is not in the catalogue"
        if self.at_most is not None and self.at_most < self.at_least:
            yield "at_most", f"is less than at_least, {self.at_least}"

    def fits(self, message: AclMessage, opening: str | None, roles: Mapping[str, Role]) -> bool:
        """Whether it is one of these messages."""
        return (
            self.exchange in (None, message.exchange)
            and self.answers in (None, opening)
            and self.performative in (None, message.performative)
            and self.sender in (None, roles.get(message.sender))
            and self.receiver in (None, roles.get(message.receiver))
            and all(name in message.content and message.content[name] == self.members[name] for name in self.members)
        )

    def __str__(self) -> str:
        parts = [str(each) for each in (self.performative, self.exchange) if each is not None]
        parts += [f"{name} {value}" for name, value in (("answering", self.answers), ("by", self.sender)) if value]
        parts += [f"to {self.receiver}"] if self.receiver else []
        parts += [f"with {name} {value!r}" for name, value in self.members.items()]
        return " ".join(parts) or "message"


class Point(Part):
    """All of it; a case without the file has none."""

    said: tuple[Said, ...] = Field((), strict=False)

    def missed(self, record: Record) -> list[str]:
        """What the record does not have, or has and must not, a line each."""
        openings: dict[str, str | None] = {}
        for entry in record.entries:
            openings.setdefault(entry.message.conversation_id, entry.message.exchange)
        lines = []
        for each in self.said:
            count = sum(
                each.fits(entry.message, openings[entry.message.conversation_id], record.header.roles)
                for entry in record.entries
            )
            if count < each.at_least:
                lines.append(f"{each}: {count} times, and the point of the case is that it is {each.at_least} at least")
            if each.at_most is not None and count > each.at_most:
                lines.append(f"{each}: {count} times, and the point of the case is that it is {each.at_most} at most")
        return lines


def read_point(folder: Path) -> Point:
    """The point of the case in this folder. Raises ReplayError."""
    path = folder / POINT
    try:
        return Point.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Point()
    except tomllib.TOMLDecodeError as error:
        raise ReplayError(f"{path}: is not TOML: {error}") from None
    except ValidationError as error:
        raise ReplayError(f"{path}: {'; '.join(faults_of(error))}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
