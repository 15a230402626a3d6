"""The FIPA interaction protocols as tables: one per protocol and side, `state -> {trigger: state}`.

A trigger is `!act` (we send it), `?act` (we receive it) or `@expired` (our deadline has passed). Terminal states are
there as `{}`. A trigger that a state does not have is out of sequence, unless `LATE` has it: then it was lawful when
it was sent, and the network or a deadline has overtaken it.

Sources: request SC00026H, query SC00027H, contract-net SC00029H, subscribe SC00035H, propose SC00036H. The cancel
meta-protocol, which section 2.2 of each of them describes in the same words, is added to all five by one function:
the answer to a cancel is written `inform-cancel` or `failure-cancel`, and is known by its `in-reply-to`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from protocols.acl import Performative, Protocol


class Side(StrEnum):
    """The two roles that every FIPA interaction protocol has."""

    INITIATOR = "initiator"
    PARTICIPANT = "participant"


Table = Mapping[str, Mapping[str, str]]
"""`state -> {trigger: next state}`; a terminal state maps to `{}`."""

START = "start"
EXPIRED = "expired"
CANCELLED = "cancelled"
CANCELLING = "cancelling-"
"""Prefix of the states in which a cancel of the state named after it is unanswered."""

OPENING: Mapping[Protocol, Performative] = MappingProxyType(
    {
        Protocol.REQUEST: Performative.REQUEST,
        Protocol.QUERY: Performative.QUERY_REF,
        Protocol.CONTRACT_NET: Performative.CFP,
        Protocol.SUBSCRIBE: Performative.SUBSCRIBE,
        Protocol.PROPOSE: Performative.PROPOSE,
    }
)
"""The act that starts each protocol."""

REFUSAL: Mapping[Protocol, Performative] = MappingProxyType(
    {
        protocol: Performative.REJECT_PROPOSAL if protocol is Protocol.PROPOSE else Performative.REFUSE
        for protocol in Protocol
    }
)
"""The act by which a participant turns the opening act down (fipa-propose has no refuse)."""


def _task(opening: str) -> tuple[Table, Table]:
    """SC00026H figure 1 and SC00027H figure 1, which differ in the opening act only; the agree is optional."""
    initiator = {
        START: {f"!{opening}": "requested"},
        "requested": {
            "?agree": "agreed",
            "?refuse": "refused",
            "?inform": "done",
            "?failure": "failed",
            "?not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "agreed": {
            "?inform": "done",
            "?failure": "failed",
            "?not-understood": "not-understood",
            "!not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "done": {},
        "refused": {},
        "failed": {},
        "not-understood": {},
        EXPIRED: {},
    }
    return initiator, _mirrored(initiator)


def _contract_net() -> tuple[Table, Table]:
    """SC00029H figure 1. `awarded` is the state between accept-proposal and its result."""
    initiator = {
        START: {"!cfp": "called"},
        "called": {
            "?propose": "proposed",
            "?refuse": "refused",
            "?not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "proposed": {
            "!accept-proposal": "awarded",
            "!reject-proposal": "rejected",
            "!not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "awarded": {
            "?inform": "done",
            "?failure": "failed",
            "?not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "done": {},
        "refused": {},
        "rejected": {},
        "failed": {},
        "not-understood": {},
        EXPIRED: {},
    }
    return initiator, _mirrored(initiator)


def _subscribe() -> tuple[Table, Table]:
    """SC00035H figure 1. `subscribed` has a deadline as well: the subscription's lease."""
    initiator = {
        START: {"!subscribe": "requested"},
        "requested": {
            "?agree": "subscribed",
            "?refuse": "refused",
            "?inform": "subscribed",
            "?failure": "failed",
            "?not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "subscribed": {
            "?inform": "subscribed",
            "?failure": "failed",
            "?not-understood": "not-understood",
            "!not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "refused": {},
        "failed": {},
        "not-understood": {},
        EXPIRED: {},
    }
    return initiator, _mirrored(initiator)


def _propose() -> tuple[Table, Table]:
    """SC00036H figure 1: what follows an accepted proposal is no part of the protocol."""
    initiator = {
        START: {"!propose": "proposed"},
        "proposed": {
            "?accept-proposal": "accepted",
            "?reject-proposal": "rejected",
            "?not-understood": "not-understood",
            "@expired": EXPIRED,
        },
        "accepted": {},
        "rejected": {},
        "not-understood": {},
        EXPIRED: {},
    }
    return initiator, _mirrored(initiator)


_TURNED = str.maketrans("!?", "?!")


def _mirrored(table: Mapping[str, Mapping[str, str]]) -> Table:
    """The other side's table: what one sends the other receives; each has its own deadline."""
    return {
        state: {trigger[0].translate(_TURNED) + trigger[1:]: to for trigger, to in rows.items()}
        for state, rows in table.items()
    }


def _cancellable(side: Side, table: Table) -> Table:
    """`table` with the cancel meta-protocol: the initiator may cancel in every state that has not ended.

    While a cancel is unanswered both go on hearing each other, so that a result that crosses the cancel counts.
    The participant answers `inform-cancel` (it has stopped) or `failure-cancel` (it goes on, as if nothing had
    been asked). An initiator whose cancel is not answered in time has lost interest all the same: `expired`.
    """
    waiting = [state for state, rows in table.items() if rows and state != START]
    asks, answers = ("!", "?") if side is Side.INITIATOR else ("?", "!")
    whole: dict[str, Mapping[str, str]] = {}
    for state, rows in table.items():
        whole[state] = dict(rows)
        if state in waiting:
            whole[state] = _deadline_last({**rows, f"{asks}cancel": CANCELLING + state})
    for state in waiting:
        goes_on = {
            trigger: CANCELLING + to if to in waiting else to
            for trigger, to in table[state].items()
            if side is Side.PARTICIPANT or not trigger.startswith("!")
        }
        ends = {f"{answers}inform-cancel": CANCELLED, f"{answers}failure-cancel": state}
        whole[CANCELLING + state] = _deadline_last({**goes_on, **ends})
    whole[CANCELLED] = {}
    return whole


def _deadline_last(rows: Mapping[str, str]) -> Mapping[str, str]:
    return {**{trigger: to for trigger, to in rows.items() if trigger != "@expired"}, "@expired": EXPIRED}


def _frozen(table: Table) -> Table:
    return MappingProxyType({state: MappingProxyType(dict(rows)) for state, rows in table.items()})


_BASE = {
    Protocol.REQUEST: _task("request"),
    Protocol.QUERY: _task("query-ref"),
    Protocol.CONTRACT_NET: _contract_net(),
    Protocol.SUBSCRIBE: _subscribe(),
    Protocol.PROPOSE: _propose(),
}

TABLES: Mapping[tuple[Protocol, Side], Table] = MappingProxyType(
    {
        (protocol, side): _frozen(_cancellable(side, table))
        for protocol, tables in _BASE.items()
        for side, table in zip(Side, tables, strict=True)
    }
)
"""The whole table, cancel included, of each protocol and side."""


def late_answer(protocol: Protocol, side: Side, state: str, trigger: str) -> str | None:
    """What a trigger that `state` does not have gets when it was only overtaken: an act to answer, or `""` for nothing.

    None: the trigger was never lawful, it is out of sequence.
    """
    table = TABLES[protocol, side]
    if table[state] or not any(trigger in rows for rows in table.values()):
        return None
    if trigger == "?propose" and side is Side.INITIATOR:
        return "reject-proposal"
    if trigger == "?accept-proposal" and protocol is Protocol.CONTRACT_NET:
        return "failure"
    if trigger == "?cancel":
        return "failure-cancel" if state == "done" else "inform-cancel"
    return ""
