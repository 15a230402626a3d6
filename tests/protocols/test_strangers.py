"""Whatever a stranger sends, parsing and checking answer with faults and never crash."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.acl import AclMessage, Performative, Protocol
from protocols.catalogue import LEGS, Leg, parse
from protocols.check import check
from protocols.dialogues import EXCHANGES
from protocols.exchanges import Content, ContentError
from tests.protocols.samples import message, sample
from tests.protocols.test_check import negotiation

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-07-01T12:00:00+02:00", "9999-12-31T23:59:59-14:00", "1e999", "-0", "a@b"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


CARRIED = {(leg.exchange, leg.performative, leg.protocol) for leg in LEGS}


def read(received: AclMessage) -> tuple[Content | None, list[str]]:
    """What the message carries, or its faults."""
    try:
        return parse(received), []
    except ContentError as error:
        return None, error.faults


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["exchange", "pool_id", "start", "x"]) | st.text(max_size=5), values, max_size=6),
    st.sampled_from(Performative),
    st.sampled_from(Protocol),
    st.none() | st.sampled_from(sorted(EXCHANGES)),
)
def test_any_json_object_is_a_content_or_has_faults(
    members: dict[str, Any], act: Performative, protocol: Protocol, exchange: str | None
) -> None:
    if exchange is not None:
        members["exchange"] = exchange
    content, faults = read(message(members, act, protocol))
    assert bool(content) != bool(faults)
    if content is not None and content.exchange is not None:
        assert (content.exchange, act, protocol) in CARRIED


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(LEGS), st.data())
def test_a_content_with_any_one_value_replaced_is_read_or_refused(leg: Leg, data: st.DataObject) -> None:
    members = sample(leg.content).to_json()
    members[data.draw(st.sampled_from(list(members)))] = data.draw(values)
    content, faults = read(message(members, leg.performative, leg.protocol))
    assert all(fault.isprintable() for fault in faults)
    assert content is None or json.dumps(content.to_json(), allow_nan=False)


LINES = negotiation().lines


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_trace_with_anything_in_it_is_checked_to_its_end(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "repeat", "swap", "cut", "change"])):
            case "drop":
                del lines[index]
            case "repeat":
                lines.insert(data.draw(st.integers(0, len(lines))), lines[index])
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[index], lines[other] = lines[other], lines[index]
            case "cut":
                lines[index] = lines[index][: data.draw(st.integers(0, 40))]
            case "change":
                try:
                    members = json.loads(lines[index])
                except ValueError:
                    continue
                members[data.draw(st.sampled_from(list(members)))] = data.draw(values)
                lines[index] = json.dumps(members)
    found = check(lines)
    assert [fault.line for fault in found] == sorted(fault.line for fault in found)
    assert all(1 <= fault.line <= max(len(lines), 1) for fault in found)
