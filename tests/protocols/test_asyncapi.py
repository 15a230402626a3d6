"""The AsyncAPI documents: one a role, made from the catalogue, and true to what the agents say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from protocols import asyncapi, schema
from protocols.acl import AclMessage
from protocols.catalogue import LEGS, Leg
from protocols.roles import Role
from protocols.tables import OPENING
from tests.protocols.samples import SAMPLES, sample

ROLES = asyncapi.outside_roles()
DOCUMENTS = {role: asyncapi.document(role) for role in ROLES}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for member in node.values():
            yield from _references(member)
    elif isinstance(node, list):
        for member in node:
            yield from _references(member)


def _at(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def _said(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages that the role itself says."""
    for operation in document["operations"].values():
        part = operation if operation["action"] == "send" else operation.get("reply", {"messages": ()})
        for reference in part["messages"]:
            yield _at(document, _at(document, reference["$ref"])["$ref"])


def test_each_actor_of_d5_1_has_a_document_and_no_service_of_the_platform() -> None:
    """D5.1 2.2: the ten actors."""
    assert len(ROLES) == 10
    assert not {Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER} & set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_every_reference_leads_somewhere_and_nothing_is_there_for_nobody(role: Role) -> None:
    document = DOCUMENTS[role]
    references = set(_references(document))
    assert all(_at(document, reference) for reference in references)
    for kind in ("messages", "schemas"):
        used = {reference.rpartition("/")[2] for reference in references if f"/{kind}/" in reference}
        assert used == set(document["components"][kind])


@pytest.mark.parametrize("leg", LEGS, ids=lambda leg: f"{leg.exchange}-{leg.performative}-{leg.content.__name__}")
def test_what_a_leg_carries_is_said_by_its_sender_and_heard_by_its_receiver(leg: Leg) -> None:
    members = sample(leg.content).to_json()
    parameters = {
        "performative": str(leg.performative),
        "protocol": str(leg.protocol),
        "conversation-id": "c",
        "reply-with": "r",
        "language": "json",
        "ontology": "ev4eu-d5.1",
    }
    if leg.performative != OPENING[leg.protocol]:
        parameters["in-reply-to"] = "q"
    for role in {leg.sender, leg.receiver} & set(ROLES):
        assert role is not None
        document = DOCUMENTS[role]
        names = {
            name
            for name, message in document["components"]["messages"].items()
            if message["payload"]["$ref"].endswith(f"/{leg.content.__name__}")
            and message["headers"]["properties"]["performative"]["const"] == leg.performative
            and message["headers"]["properties"]["protocol"]["const"] == leg.protocol
        }
        assert len(names) == 1
        message = document["components"]["messages"][names.pop()]
        jsonschema.validate(parameters, message["headers"], jsonschema.Draft202012Validator)
        jsonschema.validate(members, document | message["payload"], jsonschema.Draft202012Validator)
        if role is leg.sender:
            assert message in list(_said(document))


@pytest.mark.parametrize("name", ["performative", "protocol", "conversation-id", "reply-with", "in-reply-to"])
def test_a_parameter_that_is_missing_is_against_the_schema(name: str) -> None:
    """FIPA SC00061G: the parameters that our protocols need; only an opening act answers nothing."""
    leg = next(leg for leg in LEGS if leg.performative != OPENING[leg.protocol])
    assert leg.sender is not None
    document = DOCUMENTS[leg.sender]
    message = next(m for m in _said(document) if m["payload"]["$ref"].endswith(f"/{leg.content.__name__}"))
    answer = AclMessage(leg.performative, "a@b", "c@d", leg.protocol, "c", "r", {}, in_reply_to="q").metadata()
    jsonschema.validate(answer, message["headers"], jsonschema.Draft202012Validator)
    del answer[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, message["headers"], jsonschema.Draft202012Validator)


@pytest.mark.parametrize("content", SAMPLES, ids=lambda content: type(content).__name__)
def test_the_schema_of_one_content_is_whole_in_itself_and_holds_it_alone(content: Any) -> None:
    document = schema.of(type(content))
    jsonschema.Draft202012Validator.check_schema(document)
    members = json.loads(json.dumps(content.to_json()))
    jsonschema.validate(members, document, jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate(members | {"unheard_of": 1}, document, jsonschema.Draft202012Validator)
