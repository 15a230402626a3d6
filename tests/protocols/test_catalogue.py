"""The catalogue: what a message carries, who may send it, and how it is listed and exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from protocols import catalogue, schema
from protocols import exchanges as x
from protocols.acl import Performative, Protocol
from protocols.catalogue import LEGS, Leg, belongs, dialogue_of, may_send, parse
from protocols.dialogues import DIALOGUES, EXCHANGES, Say
from protocols.roles import Role
from protocols.tables import OPENING, TABLES, Side
from tests.protocols.samples import SAMPLES, message, sample

every_leg = pytest.mark.parametrize(
    "leg", LEGS, ids=lambda leg: f"{leg.exchange}-{leg.sender}-{leg.receiver}-{leg.performative}"
)

OF_THE_DELIVERABLE = {
    "1.1.1": {("vpp", "fmo")},
    "1.1.2": {("fmo", "vpp")},
    "1.2.1": {("vpp", "cpo")},
    "1.2.2": {("cpo", "vpp")},
    "1.2.3": {("dso", "vpp"), ("vpp", "cpo")},
    "1.2.4": {("vpp", "dso")},
    "1.2.5": {("cpo", "ev_owner")},
    "1.2.6": {("dso", "fmo"), ("vpp", "fmo")},
    "1.2.7": {("fmo", "dso"), ("fmo", "vpp")},
    "2.1": {("producer", "tso"), ("v2x_manager", "fo"), ("fo", "tso")},
    "2.2": {("fo", "tso")},
    "2.3": {("tso", "fo"), ("fo", "v2x_manager"), ("fo", "emsp")},
    "2.4": {("fo", "v2x_manager")},
    "2.5": {("v2x_manager", "fo")},
    "3.1": {("dso", "v2x_manager")},
    "3.2": {("v2x_manager", "ev_owner")},
    "3.3": {("dso", "v2x_manager")},
    "4.1.1": {("dso", "fo"), ("fo", "v2x_manager")},
    "4.1.2": {("v2x_manager", "fo")},
    "4.1.3": {("fo", "v2x_manager"), ("fo", "emsp")},
    "4.1.4": {("v2x_manager", "fo"), ("fo", "dso")},
    "6.1.1": {("dso", "vpp")},
    "6.1.2": {("vpp", "dso")},
    "6.2.1": {("dso", "vpp")},
    "6.2.2": {("vpp", "cpo")},
    "6.2.3": {("cpo", "ev_owner")},
    "6.2.4": {("cpo", "vpp")},
    "6.2.5": {("vpp", "dso")},
    "7.1": {("v2x_manager", "tso")},
    "7.2": {("v2x_manager", "ev_owner")},
    "7.3": {("v2x_manager", "tso")},
}
"""Tables 1 to 5 and 9 to 11 of D5.1, and the prose of 3.2 on the measurements (2.1) and the availability (2.5)."""


def as_said(leg: Leg) -> x.Content:
    """The sample of the leg, changed where the act would contradict it."""
    content = sample(leg.content)
    changes: dict[type[x.Content], dict[str, Any]] = {}
    if leg.performative is Performative.REJECT_PROPOSAL:
        changes = {x.MarketResult: {"cleared_power_kw": 0.0}, x.PoolAward: {"power_kw": 0.0}}
    if leg.performative is Performative.REFUSE:
        changes = {kind: {"accepted": False} for kind in (x.VppActivationResponse, x.CpoActivationResponse)}
    return content.model_copy(update=changes.get(leg.content, {}))


@pytest.mark.parametrize("exchange", OF_THE_DELIVERABLE)
def test_every_exchange_of_the_tables_travels_between_the_actors_that_they_name(exchange: str) -> None:
    legs = {(leg.sender, leg.receiver) for leg in LEGS if leg.exchange == exchange}
    wanted = OF_THE_DELIVERABLE[exchange]
    both_ways = {
        "1.2.5",
        "1.2.6",
        "1.2.7",
        "2.1",
        "2.2",
        "3.2",
        "4.1.4",
        "6.2.3",
        "7.1",
        "7.2",
    }  # what is answered, or subscribed to
    answers = {(b, a) for a, b in wanted} if exchange in both_ways else set()
    assert wanted <= legs <= wanted | answers


def test_every_exchange_of_the_list_that_is_built_is_in_the_catalogue() -> None:
    shared = Path(__file__).parents[3] / "shared" / "exchanges.md"
    if not shared.exists():
        pytest.skip("the list of exchanges is not part of the project")
    ids = re.findall(r"^\| ((?:[16]\.[0-9x]+|[237]|[237]\.x|4\.1)\.\d+)\*? \|", shared.read_text(), re.MULTILINE)
    assert len(ids) >= 38
    assert set(ids) <= EXCHANGES.keys()


def test_every_exchange_has_a_leg_and_every_leg_an_exchange() -> None:
    assert {leg.exchange for leg in LEGS} == EXCHANGES.keys()


@every_leg
def test_a_leg_is_parsed_to_its_content_and_may_be_sent_by_its_sender(leg: Leg) -> None:
    content = as_said(leg)
    assert parse(message(content, leg.performative, leg.protocol)) == content
    sender, receiver = leg.sender or Role.EV_OWNER, leg.receiver or Role.EV_OWNER
    assert may_send(leg.exchange, leg.performative, leg.protocol, sender, receiver)


@every_leg
def test_no_other_role_may_send_what_a_leg_carries(leg: Leg) -> None:
    same = [
        (other.sender, other.receiver)
        for other in LEGS
        if (other.exchange, other.performative, other.protocol) == (leg.exchange, leg.performative, leg.protocol)
    ]
    for sender in Role:
        for receiver in Role:
            listed = any(s in (None, sender) and r in (None, receiver) for s, r in same)
            allowed = may_send(leg.exchange, leg.performative, leg.protocol, sender, receiver)
            assert allowed == listed, (sender, receiver)
    assert not may_send(leg.exchange, leg.performative, leg.protocol, None, Role.DSO)
    assert not may_send(leg.exchange, leg.performative, leg.protocol, Role.DSO, None)


@every_leg
def test_an_exchange_in_another_act_is_a_fault_that_names_the_right_one(leg: Leg) -> None:
    for act in Performative:
        for protocol in Protocol:
            if any((o.exchange, o.performative, o.protocol) == (leg.exchange, act, protocol) for o in LEGS):
                continue
            with pytest.raises(x.ContentError, match=f"{leg.protocol} {leg.performative}"):
                parse(message(sample(leg.content), act, protocol))
            assert not may_send(leg.exchange, act, protocol, leg.sender, leg.receiver)


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: f"{d.opening.exchange}-{d.initiator}-{d.participant}")
def test_a_dialogue_opens_and_goes_on_with_acts_that_its_protocol_has(dialogue: Any) -> None:
    assert dialogue.opening.performative is OPENING[dialogue.protocol]
    for side, says in ((Side.PARTICIPANT, dialogue.answers), (Side.INITIATOR, dialogue.replies)):
        table = TABLES[dialogue.protocol, side]
        sent = {trigger for rows in table.values() for trigger in rows if trigger.startswith("!")}
        assert {f"!{say.performative}" for say in says} <= sent


@pytest.mark.parametrize("protocol", Protocol)
def test_whatever_a_table_lets_an_agent_send_has_a_content_that_can_be_parsed(protocol: Protocol) -> None:
    for side in Side:
        for rows in TABLES[protocol, side].values():
            for trigger in rows:
                if trigger.startswith("!"):
                    act = Performative(trigger[1:].removesuffix("-cancel"))
                    parsed = []
                    for content in SAMPLES:
                        try:
                            parsed.append(parse(message(content, act, protocol)))
                        except x.ContentError:
                            continue
                    assert parsed, trigger


def test_everybody_may_decline_but_only_those_who_converse_may_agree() -> None:
    for act in (Performative.REFUSE, Performative.NOT_UNDERSTOOD, Performative.FAILURE):
        assert may_send(None, act, Protocol.REQUEST, Role.DSO, Role.EV_OWNER)
        assert may_send(None, act, Protocol.REQUEST, Role.DSO, None)
    assert may_send(None, Performative.AGREE, Protocol.REQUEST, Role.CPO, Role.VPP)
    assert not may_send(None, Performative.AGREE, Protocol.REQUEST, Role.EV_OWNER, Role.DSO)
    assert may_send(None, Performative.CANCEL, Protocol.REQUEST, Role.DSO, Role.VPP)
    assert not may_send(None, Performative.CANCEL, Protocol.REQUEST, Role.EV_OWNER, Role.DSO)


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({}, "exchange: is missing; fipa-contract-net cfp must say which exchange it carries"),
        ({"exchange": None}, "exchange: is missing; fipa-contract-net cfp must say which exchange it carries"),
        ({"exchange": "9.9.9"}, "exchange: '9.9.9' is not in the catalogue"),
        ({"exchange": ["6.1.1"]}, "exchange: ['6.1.1'] is not an id"),
        ({"exchange": 6}, "exchange: 6 is not an id"),
    ],
)
def test_a_message_that_does_not_say_what_it_is_gets_one_clear_fault(members: dict[str, object], fault: str) -> None:
    with pytest.raises(x.ContentError) as caught:
        parse(message(members, Performative.CFP, Protocol.CONTRACT_NET))
    assert caught.value.faults == [fault]


def test_an_act_that_its_content_contradicts_is_not_parsed() -> None:
    with pytest.raises(x.ContentError, match="accepted: is true in refuse"):
        parse(message(sample(x.VppActivationResponse), Performative.REFUSE, Protocol.REQUEST))


@pytest.mark.parametrize("content", [sample(x.ActivationAnswer), sample(x.Reason)], ids=lambda c: type(c).__name__)
def test_plain_acts_of_one_kind_are_told_apart_by_their_fields(content: x.Content) -> None:
    assert parse(message(content, Performative.REFUSE, Protocol.REQUEST)) == content


def test_an_answer_belongs_only_to_the_dialogue_that_was_opened() -> None:
    opening = message(sample(x.PoolActivation), Performative.REQUEST, Protocol.REQUEST)
    dialogue = dialogue_of(opening, Role.DSO, Role.VPP)
    assert dialogue is not None
    assert belongs(dialogue, Say(Performative.AGREE, x.VppActivationResponse), by_initiator=False)
    assert not belongs(dialogue, Say(Performative.AGREE, x.ActivationConfirmation), by_initiator=False)
    assert not belongs(dialogue, Say(Performative.AGREE, x.VppActivationResponse), by_initiator=True)
    assert belongs(dialogue, Say(Performative.CANCEL, x.Cancellation), by_initiator=True)
    assert belongs(dialogue, Say(Performative.INFORM, x.Done), by_initiator=False, answers_cancel=True)
    assert dialogue_of(opening, Role.VPP, Role.DSO) is None
    need = dialogue_of(message(sample(x.FlexibilityNeed), Performative.REQUEST, Protocol.REQUEST), Role.DSO, Role.FMO)
    assert need is not None
    assert not belongs(need, Say(Performative.INFORM, x.Done), by_initiator=False)


def test_the_listing_shows_every_leg_to_people_and_to_programs() -> None:
    lines = catalogue.listing().splitlines()
    assert len(lines) == len(LEGS) + 1
    assert any(
        re.match(r"6\.1\.1 +Informs the pool +dso > vpp +contract-net: cfp +PoolOpening", line) for line in lines
    )
    data = json.loads(catalogue.listing(as_json=True))
    assert [entry["id"] for entry in data["exchanges"]] == list(EXCHANGES)
    assert data["exchanges"][-1]["legs"][0] == {
        "from": "dso",
        "to": "environment",
        "protocol": "fipa-query",
        "performative": "query-ref",
        "content": "MeterQuery",
    }
    assert data["schema"] == schema.export()


SUFFIXES = {
    "_eur_per_kwh": "EUR/kWh",
    "_eur_per_kw": "EUR/kW",
    "_kvar": "kvar",
    "_kwh": "kWh",
    "_kw": "kW",
    "_eur": "EUR",
    "_percent": "%",
    "_minutes": "min",
    "_v": "V",
    "_km": "km",
    "_deg": "deg",
    "_hz": "Hz",
    "_seconds": "s",
    "_s": "s",
}


UNIT_BESIDE = {("GridReading", "value"), *(("Finding", field) for field in ("measured", "low", "high"))}
"""Whose unit is a field of its own."""
WITHOUT_UNIT = {("ClockReading", "speed")}
"""What is a plain ratio."""


def units(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {node["x-unit"]} if "x-unit" in node else {unit for inner in node.values() for unit in units(inner)}
    return {unit for inner in node for unit in units(inner)} if isinstance(node, list) else set()


@pytest.mark.parametrize("name", sorted(schema.export()["$defs"]))
def test_the_schema_gives_the_unit_that_stands_in_the_name(name: str) -> None:
    for field, node in schema.export()["$defs"][name].get("properties", {}).items():
        expected = next((unit for suffix, unit in SUFFIXES.items() if field.endswith(suffix)), None)
        if expected is not None:
            assert units(node) == {expected}, field
        elif (name, field) not in UNIT_BESIDE | WITHOUT_UNIT:
            assert not units(node), f"{field} has a unit that its name does not tell"
            assert '"number"' not in json.dumps(node), f"{field} is a number without a unit"


@pytest.mark.parametrize("content", schema.contents(), ids=lambda content: content.__name__)
def test_the_schema_forbids_unknown_fields_and_needs_the_exchange_id(content: type[x.Content]) -> None:
    definition = schema.export()["$defs"][content.__name__]
    assert definition["additionalProperties"] is False
    exchange = content.model_fields["exchange"].default
    assert ("exchange" in definition.get("required", ())) == (exchange is not None)
    if exchange is not None:
        assert definition["properties"]["exchange"]["const"] == exchange
