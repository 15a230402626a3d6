"""Stanzas as text, each element in its namespace as the default one, which every chat program reads.

ElementTree writes `<ns1:query>`; that is XML as well, but some programs know only `<query xmlns=...>`.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

CLIENT = "jabber:client"
_XML = "http://www.w3.org/XML/1998/namespace"
_IN_ATTRIBUTES = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


def to_bytes(stanza: ET.Element) -> bytes:
    """The stanza as it goes into a stream whose default namespace is that of clients."""
    parts: list[str] = []
    _put(parts, stanza, CLIENT)
    return "".join(parts).encode()


def _put(parts: list[str], element: ET.Element, outer: str) -> None:
    namespace, tag = _names(element.tag)
    parts.append(f"<{tag}")
    if namespace != outer:
        parts.append(f' xmlns="{escape(namespace, _IN_ATTRIBUTES)}"')
    for number, (key, value) in enumerate(element.attrib.items()):
        its, name = _names(key)
        if its == _XML:
            name = f"xml:{name}"
        elif its:
            parts.append(f' xmlns:a{number}="{escape(its, _IN_ATTRIBUTES)}"')
            name = f"a{number}:{name}"
        parts.append(f' {name}="{escape(value, _IN_ATTRIBUTES)}"')
    if not len(element) and not element.text:
        parts.append("/>")
        return
    parts.append(">")
    if element.text:
        parts.append(escape(element.text))
    for child in element:
        _put(parts, child, namespace)
        if child.tail:
            parts.append(escape(child.tail))
    parts.append(f"</{tag}>")


def _names(tag: str) -> tuple[str, str]:
    """Namespace and name of a tag as ElementTree has it."""
    if tag[0] != "{":
        return "", tag
    namespace, _, name = tag[1:].rpartition("}")
    return namespace, name
