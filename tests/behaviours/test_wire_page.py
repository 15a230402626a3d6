"""The page on the wire is the one that the code makes, and says what our agents read."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from spade.fipa_message import FIPAMessageParser

from behaviours.spade_parts import to_spade
from behaviours.stanzas import Arrival, Receipt, read
from behaviours.wire_page import Example, examples, page, stanza
from protocols.acl import AclMessage, Performative
from protocols.catalogue import parse

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m behaviours.wire_page > docs/wire.md"


def test_there_is_an_example_of_each_act() -> None:
    """FIPA SC00037J: the acts that our protocols use."""
    assert {example.message.performative for example in examples()} == set(Performative)


def _named(example: Example) -> str:
    return f"{example.message.performative}-{example.message.conversation_id}"


@pytest.mark.parametrize("example", examples(), ids=_named)
def test_a_stanza_of_the_page_is_read_as_the_message_that_it_shows(example: Example) -> None:
    message = example.message
    arrived = read(ET.fromstring(f"<stream xmlns='jabber:client'>{stanza(message)}</stream>")[0], message.receiver)
    assert isinstance(arrived, Arrival)
    assert arrived.wants_receipt
    letter = arrived.letter
    again = AclMessage.parse(letter.metadata, letter.body, message.sender, message.receiver)
    assert again == message
    assert letter.thread == message.conversation_id
    assert parse(again)
    spades = to_spade(letter)
    spades.metadata = spades._metadata  # where SPADE's parser looks
    assert FIPAMessageParser(spades).validate_fipa_message() == (True, "")


def test_the_receipt_of_the_page_is_one() -> None:
    receipt = re.findall(r"```xml\n(.*?)\n```", page(), re.DOTALL)[-1]
    element = ET.fromstring(f"<stream xmlns='jabber:client'>{receipt}</stream>")[0]
    assert isinstance(read(element, "dso@localhost"), Receipt)
