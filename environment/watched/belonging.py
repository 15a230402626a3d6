"""Which conversations belong together: those whose contents name the same bid, activation, service, offer or contract.

The ids are read from the bytes of the trace's lines, without making messages of them. A subscription tells of many
things and belongs to none of them; a charger, a vehicle, a station or a user is named everywhere and links nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from environment.watched.trace_index import Told
from protocols.acl import Protocol

_REFERENCE, _RENEWS = "reference", "renews"
LINKING = frozenset(
    {
        "activation_id",
        "application_id",
        "bid_id",
        "bill_id",
        "call_id",
        "contract_id",
        "decision_id",
        "invoice_id",
        "market_id",
        "need_id",
        "offer_id",
        "pool_id",
        "receipt_id",
        "reduction_id",
        "registration_id",
        "remuneration_id",
        _RENEWS,
        "request_id",
        "resource_id",
        "service_id",
        "settlement_id",
        "terms_id",
    }
)
"""The fields whose value two conversations of one matter have in common."""

_NAMED = re.compile(rb'"([a-z]+_id|renews|reference)":"((?:[^"\\]|\\.)+)"')
_MOST_IDS = 100
"""So many ids of one message are looked at; a list of more is no part of one negotiation."""


class Belonging:
    """What each id is named in, as far as the trace was read. It grows with the trace and does not know the moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # id -> conversations in the order of their naming it, and conversation -> ids; False where it is only renewed.
        self._named: dict[str, dict[str, bool]] = {}
        self._names: dict[str, dict[str, bool]] = {}
        self._read = 0

    def read_on(self, told: Sequence[Told]) -> None:
        """Reads these messages, which follow one another in the trace, but for those that it knows. None where the
        file cannot be read.
        """
        told = [each for each in told if each.number >= self._read]
        if not told:
            return
        first, last = told[0], told[-1]
        try:
            with self._path.open("rb") as lines:
                lines.seek(first.offset)
                block = lines.read(last.offset + last.length - first.offset)
        except OSError:
            return
        for each in told:
            if each.protocol != Protocol.SUBSCRIBE and not (each.exchange or "").startswith(("df.", "env.")):
                begin = each.offset - first.offset
                self._note(each.conversation_id, block[begin : begin + each.length])
        self._read = last.number + 1

    def ids(self, conversation_id: str) -> tuple[str, ...]:
        """What the conversation names, in the order in which it did."""
        return tuple(self._names.get(conversation_id, ()))

    def related(self, conversation_id: str) -> dict[str, tuple[str, ...]]:
        """The other conversations that name one of its ids, each with the ids that they share."""
        shared: dict[str, list[str]] = {}
        for name in self._names.get(conversation_id, ()):
            for other in self._named[name]:
                if other != conversation_id:
                    shared.setdefault(other, []).append(name)
        return {other: tuple(names) for other, names in shared.items()}

    def chain(self, conversation_id: str, most: int) -> list[str]:
        """This conversation, those that belong to it, those that belong to these, and so on, `most` at most; a service
        does not belong to the one that it renews.
        """
        found, known = [conversation_id], {conversation_id}
        for each in found:
            for name, own in self._names.get(each, {}).items():
                for other, theirs in self._named[name].items():
                    if own and theirs and other not in known and len(found) < most:
                        found.append(other)
                        known.add(other)
        return found

    def _note(self, conversation_id: str, line: bytes) -> None:
        begin = line.find(b'"content":')
        many = 0
        for match in _NAMED.finditer(line, max(begin, 0)):
            field = match[1].decode()
            if field not in LINKING and field != _REFERENCE:
                continue
            many += 1
            if many > _MOST_IDS:
                return
            value = _text(match[2])
            # A reference names anything: it links what an id of its own has named before.
            if value is None or (field == _REFERENCE and value not in self._named):
                continue
            own = field != _RENEWS or self._names.get(conversation_id, {}).get(value, False)
            self._named.setdefault(value, {})[conversation_id] = own
            self._names.setdefault(conversation_id, {})[value] = own


def _text(raw: bytes) -> str | None:
    """The text of a JSON string without its quotation marks; None where it is none."""
    try:
        return str(json.loads(b'"' + raw + b'"')) if b"\\" in raw else raw.decode()
    except ValueError:
        return None
