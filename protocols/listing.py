"""The page of the exchanges for people, made from the catalogue: `python -m protocols.listing > docs/exchanges.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocols import schema
from protocols.catalogue import LEGS
from protocols.dialogues import EXCHANGES
from protocols.semantics import CHECKS

_HEAD = """# The exchanges

Made from the code by `python -m protocols.listing`; `python run.py exchanges --json` gives the same with JSON Schema.

Positive power is drawn from the grid. Prices are EUR per kW for each period of 15 minutes, or EUR per kWh, as the
field's name says; prices and amounts are decimal strings. Times are RFC 3339 with an offset. A field marked `?` may be
null or left out. Ids with an `x` are exchanges that the text of D5.1 needs and its tables do not number; `df.*` and
`env.*` are services of the platform.
"""


def markdown() -> str:
    """Every exchange with its legs and fields, then the rules that their contents are held to."""
    definitions = schema.export()["$defs"]
    return "\n".join([_HEAD, *_exchanges(definitions), *_rules()])


def _exchanges(definitions: dict[str, Any]) -> Iterator[str]:
    for exchange in EXCHANGES.values():
        legs = [leg for leg in LEGS if leg.exchange == exchange.id]
        yield f"## {exchange.id} {exchange.name}\n\nSource: {exchange.source}.\n"
        yield "| from | to | carried by | content |\n|---|---|---|---|"
        for leg in legs:
            ends = f"{leg.sender or 'any'} | {leg.receiver or 'any'}"
            yield f"| {ends} | {leg.protocol}: {leg.performative} | `{leg.content.__name__}` |"
        names = dict.fromkeys(leg.content.__name__ for leg in legs)
        for name in [*names, *(part for content in names for part in _parts(content, definitions))]:
            yield f"\n`{name}`: {', '.join(_fields(definitions[name], definitions))}"
        yield ""


def _parts(content: str, definitions: dict[str, Any]) -> Iterator[str]:
    """The parts that a content is made of, which are objects themselves."""
    for node in definitions[content]["properties"].values():
        if (name := _referred(node.get("items", {}))) and "properties" in definitions[name]:
            yield name


def _referred(node: dict[str, Any]) -> str:
    return str(node.get("$ref", "")).rpartition("/")[2]


def _fields(definition: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    required = definition.get("required", ())
    for name, node in definition["properties"].items():
        if name != "exchange":
            yield f"`{name}{'' if name in required else '?'}` {_type(node, definitions)}"


def _type(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(_type(arm, definitions) for arm in node["anyOf"] if arm.get("type") != "null")
    if name := _referred(node):
        return f"`{name}`" if "properties" in definitions[name] else _type(definitions[name], definitions)
    if node.get("type") == "array":
        return f"list of {_type(node['items'], definitions)}"
    if "const" in node or "enum" in node:
        return " or ".join(node.get("enum") or [node["const"]])
    kind = node.get("format", "decimal" if "x-unit" in node and node["type"] == "string" else node["type"])
    return f"{kind} in {node['x-unit']}" if "x-unit" in node else str(kind)


def _rules() -> Iterator[str]:
    yield "## Rules\n\nA well-formed content is refused where it breaks one of these.\n"
    for rule in CHECKS:
        name = rule.__name__.replace("_", " ")
        yield f"- **{name}**: {(rule.__doc__ or '').strip().splitlines()[0]}"
    yield ""


if __name__ == "__main__":
    print(markdown(), end="")
