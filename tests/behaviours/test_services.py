"""What a server offers, as its components say it, or do not."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
from slixmpp.exceptions import IqTimeout

from behaviours.services import DATA, INFO, ITEMS, MOST_SERVICES, ServiceError, Services, discover, form


class Client:
    """Answers questions from a table; a place that is not in it keeps silent."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def make_iq(self, *, ito: str, itype: str) -> Any:
        self.asked.append(ito)

        async def send(**_: float) -> Any:
            if ito not in self.answers:
                raise IqTimeout(SimpleNamespace())
            return SimpleNamespace(xml=fromstring(self.answers[ito]))

        return SimpleNamespace(append=lambda payload: None, send=send)


def items(*jids: str) -> str:
    return f"<iq><query xmlns='{ITEMS}'>{''.join(f'<item {jid}/>' for jid in jids)}</query></iq>"


def info(category: str, kind: str) -> str:
    return f"<iq><query xmlns='{INFO}'><identity category='{category}' type='{kind}'/></query></iq>"


async def test_the_first_component_of_each_kind_is_taken() -> None:
    client = Client(
        {
            "example.org": items(
                "jid='irc.example.org'", "jid='rooms.example.org'", "jid='more.example.org'", "jid='nodes.example.org'"
            ),
            "irc.example.org": info("conference", "irc"),
            "rooms.example.org": info("conference", "text"),
            "more.example.org": info("conference", "text"),
            "nodes.example.org": info("pubsub", "service"),
        }
    )
    assert await discover(client, "example.org") == Services("rooms.example.org", "nodes.example.org", ())


async def test_a_component_that_keeps_silent_is_named_and_the_others_are_used() -> None:
    client = Client(
        {
            "example.org": items("jid='rooms.example.org'", "jid='nodes.example.org'"),
            "nodes.example.org": info("pubsub", "service"),
        }
    )
    assert await discover(client, "example.org") == Services(None, "nodes.example.org", ("rooms.example.org",))


async def test_items_that_are_no_components_are_not_asked_and_only_so_many() -> None:
    many = [f"jid='c{number}.example.org'" for number in range(2 * MOST_SERVICES)]
    client = Client({"example.org": items("jid='example.org' node='news'", *many, *many)})
    found = await discover(client, "example.org")
    assert len(found.silent) == MOST_SERVICES
    assert client.asked.count("c0.example.org") == 1
    assert client.asked.count("example.org") == 1


async def test_a_server_that_keeps_silent_is_an_error_in_a_few_words() -> None:
    with pytest.raises(ServiceError, match=r"silent: example\.org does not answer"):
        await discover(Client({}), "example.org")


def test_a_form_is_submitted_with_its_type_first() -> None:
    filled: Element = form("urn:kind", {"name": "<&>"})
    assert filled.get("type") == "submit"
    assert [(f.get("var"), f.findtext(f"{{{DATA}}}value")) for f in filled] == [
        ("FORM_TYPE", "urn:kind"),
        ("name", "<&>"),
    ]
    assert b"&lt;&amp;&gt;" in tostring(filled)
