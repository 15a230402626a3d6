"""A stanza that the embedded server passes on is the one that it got."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from environment.pyjabber_xml import to_bytes


@pytest.mark.parametrize(
    "text",
    [
        "<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
        "<message xmlns='jabber:client' xml:lang='sl'><body>Živjo &lt;&amp;&gt; ]]&gt;</body> tail<a/>more</message>",
        "<message xmlns='jabber:client'><x xmlns='a'><y xmlns='b'><z xmlns='a' q='1'/></y></x></message>",
        "<message xmlns='jabber:client' xmlns:p='p:p' p:one='1' two='&quot;&#10;&#9;&lt;&amp;'/>",
        "<message xmlns='jabber:client'><none xmlns=''/></message>",
        "<presence xmlns='jabber:client'/>",
    ],
)
def test_a_stanza_reads_as_it_was_written(text: str) -> None:
    stanza = ET.fromstring(text)
    stream = b"<stream xmlns='jabber:client'>" + to_bytes(stanza) + b"</stream>"
    assert ET.canonicalize(ET.tostring(ET.fromstring(stream)[0])) == ET.canonicalize(ET.tostring(stanza))


def test_a_payload_has_no_prefix() -> None:
    stanza = ET.fromstring("<iq xmlns='jabber:client'><p:query xmlns:p='jabber:iq:roster'/></iq>")
    assert to_bytes(stanza) == b'<iq><query xmlns="jabber:iq:roster"/></iq>'
