"""Messages of a made-up day, in the form of a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


def jid(name: str) -> str:
    return f"{name}@gridparley.local"


@dataclass
class Script:
    """The messages of a made-up day, written as the trace has them."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    conversations: int = 0

    def opens(self) -> str:
        self.conversations += 1
        return f"c{self.conversations:04d}"

    def says(
        self,
        at: datetime,
        who: str,
        to: str,
        act: str,
        protocol: str,
        conversation: str,
        exchange: str | None,
        **content: Any,
    ) -> None:
        self.lines.append(
            {
                "at": at.isoformat(),
                "sender": jid(who),
                "receiver": jid(to),
                "performative": act,
                "protocol": f"fipa-{protocol}",
                "conversation-id": conversation,
                "reply-with": f"{conversation}/{who}/{len(self.lines)}",
                "in-reply-to": None,
                "reply-by": (at + timedelta(minutes=1)).isoformat() if act in ("cfp", "request") else None,
                "ontology": "ev4eu-d5.1",
                "exchange": exchange,
                "content": {"exchange": exchange, **content},
            }
        )

    def ordered(self) -> list[dict[str, Any]]:
        return sorted(self.lines, key=lambda line: datetime.fromisoformat(line["at"]))
