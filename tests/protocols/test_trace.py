"""Traces are written in one form, read back as they were, and a bad line is named."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from protocols.acl import AclMessage, Performative, Protocol
from protocols.exchanges import PoolOpening, Reason
from protocols.roles import Role
from protocols.trace import Header, TraceError, header_line, message_line, read, read_entry
from tests.protocols.play import changed
from tests.protocols.samples import NOON, sample

MESSAGE = AclMessage(
    Performative.CFP,
    "dso@localhost",
    "vpp1@localhost",
    Protocol.CONTRACT_NET,
    "pool-1",
    "pool-1/dso/1",
    sample(PoolOpening).to_json(),
    reply_by=NOON + timedelta(minutes=5),
)
HEADER = header_line("slovenia", 7, {"vpp1@localhost": Role.VPP, "dso@localhost": Role.DSO})
LINE = message_line(MESSAGE, NOON)


def test_the_first_line_says_which_run_it_is_and_who_plays_what() -> None:
    assert HEADER == (
        '{"trace":1,"scenario":"slovenia","seed":7,"roles":{"dso@localhost":"dso","vpp1@localhost":"vpp"}}'
    )


def test_a_line_has_the_parameters_in_their_order_and_the_content() -> None:
    members = json.loads(LINE)
    assert list(members) == [
        "at",
        "sender",
        "receiver",
        "performative",
        "protocol",
        "conversation-id",
        "reply-with",
        "in-reply-to",
        "reply-by",
        "ontology",
        "exchange",
        "content",
    ]
    assert members["at"] == "2026-07-01T12:00:00+02:00"
    assert members["reply-by"] == "2026-07-01T12:05:00+02:00"
    assert members["in-reply-to"] is None
    assert members["exchange"] == "6.1.1"
    assert members["content"] == MESSAGE.content


def test_a_plain_act_has_an_exchange_of_null() -> None:
    refusal = AclMessage(
        Performative.REFUSE, "a@b", "c@d", Protocol.REQUEST, "c", "r", Reason(code="no", reason="no").to_json()
    )
    assert json.loads(message_line(refusal, NOON))["exchange"] is None


def test_a_trace_is_read_as_it_was_written() -> None:
    header, entries = read([HEADER + "\n", LINE + "\n"])
    (entry,) = entries
    assert header == Header(scenario="slovenia", seed=7, roles={"dso@localhost": Role.DSO, "vpp1@localhost": Role.VPP})
    assert (entry.line, entry.at, entry.message) == (2, NOON, MESSAGE)
    assert message_line(entry.message, entry.at) == LINE


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "line 2: content: Invalid JSON"),
        (LINE[:100], "line 2: content: Invalid JSON"),
        ("[]", "line 2: content: Input should be an object"),
        (changed(LINE, performative="shout"), "line 2: performative: Input should be 'accept-proposal'"),
        (changed(LINE, protocol="http"), "line 2: protocol: "),
        (changed(LINE, at="2026-07-01T12:00:00"), "line 2: at: time has no UTC offset"),
        (changed(LINE, reply_by="soon"), "line 2: reply-by: not a time"),
        (changed(LINE, sender=""), "line 2: sender: "),
        (changed(LINE, reply_with=None), "line 2: reply-with: "),
        (changed(LINE, content="text"), "line 2: content: "),
        (changed(LINE, mood="good"), "line 2: mood: is not a field"),
        (changed(LINE, exchange="6.1.2"), "line 2: exchange: is '6.1.2' but the content has '6.1.1'"),
    ],
)
def test_a_line_that_is_no_message_is_named_with_its_fault(line: str, fault: str) -> None:
    _, entries = read([HEADER, line])
    with pytest.raises(TraceError) as caught:
        list(entries)
    assert str(caught.value).startswith(fault)
    assert caught.value.line == 2


@pytest.mark.parametrize("name", list(json.loads(LINE)))
def test_a_line_without_one_of_its_members_is_named(name: str) -> None:
    members: dict[str, Any] = json.loads(LINE)
    del members[name]
    with pytest.raises(TraceError, match=f"{name}: is missing"):
        read_entry(5, json.dumps(members))


@pytest.mark.parametrize(
    "lines",
    [[], [LINE], ['{"trace":2,"scenario":"s","seed":1,"roles":{}}'], ['{"trace":1,"seed":1,"roles":{"a@b":"king"}}']],
)
def test_a_trace_begins_with_its_header(lines: list[str]) -> None:
    with pytest.raises(TraceError, match="line 1: "):
        read(lines)


def test_a_time_without_an_offset_is_not_written() -> None:
    with pytest.raises(ValueError, match="offset"):
        message_line(MESSAGE, datetime(2026, 7, 1, 12))  # noqa: DTZ001
