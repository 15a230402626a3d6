"""What a conversation came to, in a few words: "12 kW awarded of 15 kW offered"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import fsum, isfinite

from environment.report.words import number
from protocols.acl import AclMessage, Protocol
from protocols.acl import Performative as Act
from protocols.telling import says

_POWERS = ("cleared_power_kw", "power_kw")
_TURNED_DOWN = {Act.REFUSE: "refused", Act.FAILURE: "failed", Act.NOT_UNDERSTOOD: "not understood"}


def outcome(messages: Sequence[AclMessage], at: datetime) -> str:
    """What these messages of one conversation, in the order of their sending, came to; "" for none. Times are told in
    the zone of `at`.
    """
    if not messages:
        return ""
    opening = messages[0]
    match opening.protocol:
        case Protocol.CONTRACT_NET:
            return _called(messages, at)
        case Protocol.SUBSCRIBE:
            return _subscribed(messages, at)
    cancels = {said.reply_with for said in messages if said.performative is Act.CANCEL}
    if any(said.performative is Act.INFORM and said.in_reply_to in cancels for said in messages):
        return _joined("called off", says(opening, at))
    last = next((said for said in reversed(messages[1:]) if said.in_reply_to not in cancels), None)
    if last is None:
        return says(opening, at)
    act, words = last.performative, says(last, at)
    if act in _TURNED_DOWN:
        return _joined(_TURNED_DOWN[act], words)
    if act is Act.CANCEL:
        return _joined("being called off", says(opening, at))
    if act is Act.REJECT_PROPOSAL:
        return _joined("rejected", words or says(opening, at))
    if act is Act.ACCEPT_PROPOSAL:
        return _joined("accepted", says(opening, at))
    if act is Act.AGREE:
        return _joined("agreed", words if last.exchange else says(opening, at))
    return words if last.exchange else _joined("done", says(opening, at))


def power_kw(message: AclMessage) -> float | None:
    """The power that an offer or an award is about, in kW; None where it tells none."""
    for name in _POWERS:
        value = message.content.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    return None


def _called(messages: Sequence[AclMessage], at: datetime) -> str:
    """A contract-net: what was offered and what of it was taken."""
    by: dict[Act, list[AclMessage]] = {}
    for said in messages:
        by.setdefault(said.performative, []).append(said)
    calls, offers, awards = (by.get(act, []) for act in (Act.CFP, Act.PROPOSE, Act.ACCEPT_PROPOSAL))
    failed = [said for said in by.get(Act.FAILURE, []) if said.exchange is None]
    if not offers:
        refused = by.get(Act.REFUSE, [])
        if len(refused) == len(calls):
            return _joined("nobody offered", says(refused[-1], at))
        return says(messages[0], at)
    offered, awarded = _total(offers), _total(awards)
    if offered is None or (awards and awarded is None):
        results = [said for said in by.get(Act.INFORM, []) if said.exchange is not None]
        telling = next(
            (said for said in (*reversed([*offers[-1:], *awards, *results]), messages[0]) if _tells(said)), None
        )
        of = "" if len(offers) == 1 else f"{len(awards)} of {len(offers)} offers "
        told = f"{of}taken" if awards else ("an offer" if len(offers) == 1 else f"{len(offers)} offers")
        told = _joined(told, says(telling, at) if telling else "")
    elif awards:
        told = f"{_kw(awarded or 0.0)} awarded of {_kw(offered)} offered"
    elif len(by.get(Act.REJECT_PROPOSAL, [])) >= len(offers):
        told = _joined(f"{_kw(offered)} offered, none of it taken", says(by[Act.REJECT_PROPOSAL][-1], at))
    else:
        told = f"{_kw(offered)} offered"
    return f"{told}; {len(failed)} failed: {says(failed[-1], at)}" if failed else told


def _subscribed(messages: Sequence[AclMessage], at: datetime) -> str:
    news = [said for said in messages if said.performative is Act.INFORM and said.exchange is not None]
    if not news:
        return says(messages[0], at)
    return _joined("the last word", says(news[-1], at))


def _total(messages: Sequence[AclMessage]) -> float | None:
    powers = [power_kw(said) for said in messages]
    return fsum(power for power in powers if power is not None) if None not in powers else None


def _tells(said: AclMessage) -> bool:
    """Whether a content says more than which other one it is about."""
    ids = ("exchange", "timestamp", "reference")
    return any(
        value is not None and name not in ids and not name.endswith("_id") for name, value in said.content.items()
    )


def _kw(power: float) -> str:
    return f"{number(power, 0 if power == round(power) else 1)} kW"


def _joined(head: str, words: str) -> str:
    return f"{head}: {words}" if words else head
