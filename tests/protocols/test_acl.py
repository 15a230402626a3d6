"""What counts as an ACL message, and that everything wrong with one is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.acl import MAX_BODY_CHARACTERS, AclMessage, MalformedMessageError, Performative, Protocol

METADATA = {
    "performative": "propose",
    "protocol": "fipa-contract-net",
    "conversation-id": "pool-1",
    "reply-with": "pool-1/vpp/1",
    "in-reply-to": "pool-1/dso/1",
    "reply-by": "2026-03-29T03:00:00+02:00",
    "language": "json",
    "ontology": "ev4eu-d5.1",
}


def faults(body: str = "{}", **changed: str) -> list[str]:
    metadata = {**METADATA, **{name.replace("_", "-"): value for name, value in changed.items()}}
    with pytest.raises(MalformedMessageError) as caught:
        AclMessage.parse(metadata, body, "vpp@x", "dso@x")
    return caught.value.faults


def test_a_message_goes_over_the_wire_and_comes_back_the_same() -> None:
    message = AclMessage.parse(METADATA, '{"exchange":"6.1.2","power_kw":4.5,"text":"Čuvaj"}', "vpp@x", "dso@x")
    assert message.exchange == "6.1.2"
    assert message.metadata() == METADATA
    assert AclMessage.parse(message.metadata(), message.body(), "vpp@x", "dso@x") == message


def test_every_fault_of_a_message_is_listed_at_once() -> None:
    found = faults("[1]", performative="shout", protocol="", reply_by="tomorrow")
    assert found == [
        "performative 'shout' is not one of " + ", ".join(Performative),
        "parameter protocol is missing",
        "reply-by 'tomorrow' is not an ISO 8601 time",
        "body is not a JSON object",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("not json", "not JSON"),
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"power_kw": NaN}', "NaN is no number"),
        ('{"power_kw": -Infinity}', "no number"),
        ('{"power_kw": 1e400}', "beyond every float"),
        ('{"name": "\\ud800"}', "surrogate"),
        ('{"exchange": 6}', "neither a string nor null"),
        ("[" * 50_000, "nests deeper"),
        ('{"a":' * 40 + "1" + "}" * 40, "nests deeper"),
        ('{"a":"' + "x" * MAX_BODY_CHARACTERS + '"}', "more than"),
        ('{"n": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_fault_and_no_crash(body: str, said: str) -> None:
    assert len(found := faults(body)) == 1
    assert said in found[0]


def test_brackets_inside_of_strings_do_not_nest() -> None:
    body = '{"text": "' + "[{" * 40 + '\\"' + "[" * 40 + '"}'
    assert AclMessage.parse(METADATA, body, "vpp@x", "dso@x").content["text"].count("[") == 80


@pytest.mark.parametrize("name", ["conversation-id", "reply-with", "in-reply-to"])
def test_an_id_that_an_answer_could_not_carry_back_is_a_fault(name: str) -> None:
    assert name in faults(**{name: "x" * 301})[0]
    assert name in faults(**{name: "line\nbreak"})[0]


def test_a_reply_by_needs_its_utc_offset() -> None:
    assert "offset" in faults(reply_by="2026-03-29T03:00:00")[0]
    with pytest.raises(ValueError, match="offset"):
        AclMessage(
            Performative.CFP,
            "dso@x",
            "vpp@x",
            Protocol.CONTRACT_NET,
            "c",
            "r",
            reply_by=datetime(2026, 3, 29, tzinfo=UTC).replace(tzinfo=None),
        )


@given(
    metadata=st.dictionaries(st.sampled_from(sorted(METADATA)), st.one_of(st.text(), *map(st.just, METADATA.values()))),
    body=st.one_of(st.text(), st.from_regex(r'[\[{"\\:,0-9eE.\-]*', fullmatch=True)),
)
def test_whatever_arrives_is_a_message_or_a_list_of_faults(metadata: dict[str, str], body: str) -> None:
    try:
        message = AclMessage.parse(metadata, body, "vpp@x", "dso@x")
    except MalformedMessageError:
        return
    assert AclMessage.parse(message.metadata(), message.body(), "vpp@x", "dso@x") == message
