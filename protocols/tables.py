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
        ends = {
            f"{answers}inform-cancel": CANCELLED,
            f"{answers}failure-cancel": state,
            f"{answers}not-understood-cancel": "not-understood",
        }
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


_GONE = (EXPIRED, CANCELLED, "not-understood")

_LATE: Mapping[Side, tuple[tuple[str, tuple[str, ...], str | None], ...]] = MappingProxyType(
    {
        Side.INITIATOR: (
            ("?agree", (*_GONE, "done", "failed", "subscribed", "cancelling-subscribed"), None),
            ("?refuse", _GONE, None),
            ("?propose", _GONE, "reject-proposal"),
            ("?accept-proposal", (EXPIRED, "not-understood"), None),
            ("?reject-proposal", _GONE, None),
            ("?inform", (EXPIRED, "not-understood"), None),
            ("?failure", _GONE, None),
            ("?inform-cancel", (EXPIRED, "not-understood", "refused", "failed"), None),
            ("?failure-cancel", (EXPIRED, "not-understood", "refused", "failed", "done", "accepted"), None),
        ),
        Side.PARTICIPANT: (
            ("?accept-proposal", (EXPIRED,), "failure"),
            ("?accept-proposal", (CANCELLED, "not-understood"), None),
            ("?reject-proposal", _GONE, None),
            ("?cancel", (EXPIRED, "not-understood", "refused", "failed", "rejected"), "inform-cancel"),
            ("?cancel", ("done", "accepted"), "failure-cancel"),
        ),
    }
)
"""Trigger, the states that can have overtaken it, and the act that answers it there."""

_LATE_ONLY: Mapping[Protocol, tuple[tuple[str, tuple[str, ...], str | None], ...]] = MappingProxyType(
    {
        Protocol.SUBSCRIBE: (("?inform", (CANCELLED, "failed"), None),),
        Protocol.PROPOSE: (("?inform-cancel", ("rejected",), None), ("?failure-cancel", ("rejected",), None)),
    }
)
"""The same for the initiator of one protocol."""


def _late(protocol: Protocol, side: Side) -> Mapping[str, Mapping[str, str | None]]:
    table = TABLES[protocol, side]
    known = {trigger for rows in table.values() for trigger in rows}
    late: dict[str, dict[str, str | None]] = {state: {} for state in table}
    more = _LATE_ONLY.get(protocol, ()) if side is Side.INITIATOR else ()
    for trigger, states, answer in (*_LATE[side], *more):
        for state in states:
            if trigger in known and state in table:
                late[state][trigger] = answer
    for state, rows in table.items():
        # A not-understood changes what it is about or nothing, and is never answered: nowhere out of sequence.
        for trigger in ("?not-understood", "?not-understood-cancel"):
            if trigger not in rows and state != START:
                late[state][trigger] = None
    return MappingProxyType({state: MappingProxyType(rows) for state, rows in late.items()})


LATE: Mapping[tuple[Protocol, Side], Mapping[str, Mapping[str, str | None]]] = MappingProxyType(
    {key: _late(*key) for key in TABLES}
)
"""`state -> {trigger: act that answers it, or None}`: lawful messages that a deadline or another message overtook.

They change nothing. A late proposal is rejected, so that its sender is free; an acceptance of a proposal that has
lapsed fails; a cancel of what is done fails, and of what has ended otherwise succeeds.
"""
