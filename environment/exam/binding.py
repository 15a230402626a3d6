"""What the live agent chose in the place of what the record has: ids, times and values, bound as they are said.

- An id that the examined agent is the first to use, in the record, is the one that stands in the same place of its live
  message. Those that the others chose stay as they are, but for a `tag` before each, so that an agent that sits several
  exams does not meet an id twice.
- A value of ours that is, in the record, what the examined agent had said before under that name is its live value. A
  power that is a part of what it had offered is the same part of its live offer; a volume and the sums of a bill follow
  it, since they are proportional to the power that was ordered. A price that it is paid is at least its own.
- A time that is the line's own is the present one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from environment.exam.script import Script, ids_of
from protocols.acl import AclMessage, Performative
from protocols.trace import Entry

_SAME_AS: Mapping[str, tuple[str, ...]] = {
    "cleared_power_kw": ("power_kw",),
    "market_price_eur_per_kw": ("price_eur_per_kw",),
    "available_power_kw": ("power_kw",),
    "power_kw": ("available_power_kw", "cleared_power_kw"),
    "price_eur_per_kw": ("market_price_eur_per_kw",),
}
"""Under which other names the same thing goes."""
_PROPORTIONAL = frozenset({"power_kw", "cleared_power_kw", "available_power_kw", "volume_kwh"})
_SUMS = ("remuneration_eur", "penalty_eur")
_KEEP = frozenset({"exchange", "timestamp"})

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
"""The recorded and the live content of one message of the examined agent."""


class Unbound(Exception):
    """A line of ours speaks of an id that the live agent has not given yet."""


class Binding:
    """`jids`: the live JID of each recorded one."""

    def __init__(self, script: Script, jids: Mapping[str, str], tag: str = "") -> None:
        self._script = script
        self._jids = dict(jids)
        self._live: dict[str, str] = {}
        self._pairs: dict[str, Pair] = {}
        self._tag = tag

    def jid(self, recorded: str) -> str:
        """The live JID of somebody of the record."""
        return self._jids.get(recorded, recorded)

    def id(self, recorded: str) -> str:
        """The live id. Raises Unbound where the examined agent has yet to choose it."""
        if recorded in self._live:
            return self._live[recorded]
        owner = self._script.owner.get(recorded)
        if owner is None:
            return recorded
        if owner == self._script.examined:
            raise Unbound(recorded)
        return f"{self._tag}{recorded}"

    def bound(self, recorded: str) -> str | None:
        """The live id, None where it has yet to be chosen."""
        try:
            return self.id(recorded)
        except Unbound:
            return None

    def hear(self, recorded: AclMessage, live: AclMessage) -> tuple[Pair, dict[str, str]]:
        """The live agent has said what stands in the place of this line; returns what its values are bound by, and the
        ids that it gave: a strand that is played again has others."""
        given: dict[str, str] = {}
        self._learn(recorded.reply_with, live.reply_with)
        self._learn(recorded.conversation_id, live.conversation_id)
        pair = (recorded.content, live.content)
        for path, value in ids_of(recorded.content):
            found = _at(live.content, path)
            if isinstance(found, str) and found:
                self._learn(value, found)
                if self._script.owner.get(value) == self._script.examined:
                    given[value] = found
            if self._script.owner.get(value) == self._script.examined:
                self._pairs.setdefault(value, pair)
        return pair, given

    def _learn(self, recorded: str, live: str) -> None:
        if self._script.owner.get(recorded) == self._script.examined:
            self._live.setdefault(recorded, live)

    def say(
        self,
        entry: Entry,
        now: datetime,
        zone: tzinfo,
        *,
        conversation_id: str,
        in_reply_to: str | None,
        pairs: list[Pair],
        given: Mapping[str, str],
        suffix: str = "",
        shifted: bool = False,
    ) -> AclMessage:
        """A line of ours as it is to be said `now`. `pairs` and `given` are what the live agent said before in this
        strand; `suffix` marks the ids of a strand that is played again; `shifted`: the whole strand stands at another
        time than in the record. Raises Unbound."""
        recorded = entry.message
        renamed = dict(given)
        if suffix:
            renamed |= {value: self.id(value) + suffix for value in self._own(recorded)}
        known = [*pairs, *(self._pairs[v] for _, v in ids_of(recorded.content) if v in self._pairs)]
        content = self._content(recorded.content, entry.at, now.astimezone(zone), renamed)
        if known:
            content = _valued(recorded, content, known)
        reply_by = recorded.reply_by
        if reply_by is not None:
            span = reply_by - entry.at
            if shifted or now + span / 2 > reply_by:
                reply_by = (now + span).astimezone(reply_by.tzinfo)
        return replace(
            recorded,
            sender=self.jid(recorded.sender),
            receiver=self.jid(recorded.receiver),
            conversation_id=conversation_id,
            reply_with=f"{self._tag}{recorded.reply_with}{suffix}",
            in_reply_to=in_reply_to,
            reply_by=reply_by,
            content=content,
        )

    def _own(self, recorded: AclMessage) -> set[str]:
        """The ids of a message that its own sender chose."""
        return {value for _, value in ids_of(recorded.content) if self._script.owner.get(value) == recorded.sender}

    def _content(self, value: Any, at: datetime, now: datetime, renamed: Mapping[str, str], name: str = "") -> Any:
        if isinstance(value, Mapping):
            return {key: self._content(member, at, now, renamed, key) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._content(member, at, now, renamed, name) for member in value]
        if not isinstance(value, str):
            return value
        if value in self._jids:
            return self._jids[value]
        if name.endswith("_id") or name == "reference":
            return renamed[value] if value in renamed else self.id(value)
        if name == "timestamp" and _instant(value) == at:
            return now.isoformat()
        return value


def _valued(recorded: AclMessage, content: dict[str, Any], pairs: list[Pair]) -> dict[str, Any]:
    """The content with the live values of what the record repeats."""
    scale = _scale(pairs)
    for name, value in recorded.content.items():
        if name in _KEEP or name.endswith("_id") or isinstance(value, bool) or value is None:
            continue
        live = _repeated(name, value, pairs)
        if live is not None:
            content[name] = live
        elif name in _PROPORTIONAL and scale != 1 and isinstance(value, (int, float)):
            content[name] = round(value * scale, 3)
    if scale != 1 and set(_SUMS) <= set(recorded.content):
        for name in _SUMS:
            content[name] = _cents(Decimal(recorded.content[name]) * Decimal(str(scale)))
        content["amount_eur"] = _cents(Decimal(content[_SUMS[0]]) - Decimal(content[_SUMS[1]]))
    if recorded.performative is Performative.ACCEPT_PROPOSAL:
        _paid_at_least(content, pairs)
    return content


def _repeated(name: str, value: Any, pairs: list[Pair]) -> Any:
    """What the live agent said under that name, where the record has the same in both places."""
    for said, live in reversed(pairs):
        for known in (name, *_SAME_AS.get(name, ())):
            if known in said and known in live and said[known] == value and live[known] is not None:
                return live[known]
    return None


def _scale(pairs: list[Pair]) -> float:
    """The live power over the recorded one, of the last message that has a power."""
    for said, live in reversed(pairs):
        for name in ("power_kw", "available_power_kw"):
            was, now = said.get(name), live.get(name)
            if isinstance(was, (int, float)) and isinstance(now, (int, float)) and was:
                return float(now) / float(was)
    return 1.0


def _paid_at_least(content: dict[str, Any], pairs: list[Pair]) -> None:
    for name in ("price_eur_per_kw", "market_price_eur_per_kw"):
        asked = next((live["price_eur_per_kw"] for _, live in reversed(pairs) if "price_eur_per_kw" in live), None)
        if name in content and asked is not None:
            try:
                if Decimal(content[name]) < Decimal(asked):
                    content[name] = asked
            except (InvalidOperation, TypeError):
                continue


def _cents(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN), "f")


def _instant(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _at(content: Any, path: tuple[str | int, ...]) -> Any:
    """What stands there, None where nothing does."""
    for step in path:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content
