"""Stanzas: ours are what SPADE writes and reads, and what others write is understood."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slixmpp import ClientXMPP
from slixmpp.stanza import Message as SlixMessage
from spade.message import Message

from behaviours.ports import Letter
from behaviours.stanzas import Arrival, Bounce, Receipt, read, receipt_xml, to_xml

ME = "b@x"
XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=30
).filter(lambda text: text == text.strip())


def element(xml: str) -> ET.Element:
    return ET.fromstring(f"<s xmlns='jabber:client'>{xml}</s>")[0]


@given(XML_TEXT, XML_TEXT, XML_TEXT)
def test_what_is_written_is_read_again(body: str, value: str, thread: str) -> None:
    letter = Letter("a@x/r", ME, body, {"performative": value}, thread)
    stanza = element(to_xml(letter, ME, "id-1"))
    stanza.set("from", "a@x/r")
    assert read(stanza, ME) == Arrival(letter, "id-1", wants_receipt=True)


def test_spade_reads_our_stanza_as_its_own() -> None:
    letter = Letter("a@x", ME, '{"a":"<&>"}', {"performative": "cfp", "reply-by": "x'y\"z"}, "c-1")
    node = SlixMessage(xml=element(to_xml(letter, ME, "id-1")))
    message = Message.from_node(node)
    assert (message.body, message.thread, message._metadata) == (letter.body, "c-1", dict(letter.metadata))


async def test_we_read_what_spade_writes() -> None:
    message = Message(to=ME, sender="a@x/r", body="hé<llo>", thread="t", metadata={"performative": "inform"})
    client = ClientXMPP("a@x", "")
    stanza = element(str(message.prepare(client)).replace("<message", "<message xmlns='jabber:client'", 1))
    arrival = read(stanza, ME)
    assert isinstance(arrival, Arrival)
    assert arrival.letter == Letter("a@x/r", ME, "hé<llo>", {"performative": "inform"}, "t")


def test_a_persons_line_is_a_letter_without_parameters_that_wants_no_receipt() -> None:
    arrival = read(element("<message from='p@x/phone' type='chat' id='7'><body>hello</body></message>"), ME)
    assert arrival == Arrival(Letter("p@x/phone", ME, "hello", {}, None), "7", wants_receipt=False)


def test_a_receipt_says_which_letter_came() -> None:
    stanza = element(receipt_xml("a@x", "id-1"))
    stanza.set("from", "b@x/r")
    assert read(stanza, "a@x") == Receipt("b@x/r", "id-1")


def test_an_error_says_why_a_letter_came_back() -> None:
    xml = (
        "<message from='b@x' type='error' id='id-1'><body>hello</body><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    assert read(element(xml), "a@x") == Bounce("id-1", "service-unavailable")


@pytest.mark.parametrize(
    "xml",
    [
        "<message from='r@x/n' type='groupchat'><body>in a room</body></message>",
        "<message from='p@x' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message from='p@x' type='headline'><body>news</body></message>",
    ],
)
def test_what_is_no_letter_is_none(xml: str) -> None:
    assert read(element(xml), ME) is None


def test_a_request_for_a_receipt_without_an_id_is_not_one() -> None:
    xml = "<message from='p@x' type='chat'><body>x</body><request xmlns='urn:xmpp:receipts'/></message>"
    arrival = read(element(xml), ME)
    assert isinstance(arrival, Arrival)
    assert not arrival.wants_receipt
