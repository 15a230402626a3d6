"""docs/protocols.md is what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocols.acl import Protocol
from protocols.diagrams import diagram, page, section
from protocols.tables import LATE, START, TABLES, Side

DOC = Path(__file__).parents[2] / "docs" / "protocols.md"


def test_the_page_is_up_to_date() -> None:
    assert DOC.read_text(encoding="utf-8") == page(), "run: python -m protocols.diagrams > docs/protocols.md"


@pytest.mark.parametrize("protocol", Protocol, ids=str)
def test_the_two_diagrams_together_have_every_row_of_the_table(protocol: Protocol) -> None:
    table = TABLES[protocol, Side.INITIATOR]
    drawn, rows = set(), set()
    for cancelling in (False, True):
        text = diagram(table, cancelling=cancelling)
        for origin, to, triggers in re.findall(r"^    (\S+) --> (\w+): (.+)$", text, re.M):
            drawn |= {(origin.replace("[*]", START), trigger, to) for trigger in triggers.split(", ")}
    for state, row in table.items():
        rows |= {(state.replace("-", "_"), trigger, to.replace("-", "_")) for trigger, to in row.items()}
    assert drawn == rows


@pytest.mark.parametrize("protocol", Protocol, ids=str)
def test_every_late_message_and_its_answer_is_listed(protocol: Protocol) -> None:
    text = section(protocol)
    for side in Side:
        for late in LATE[protocol, side].values():
            for trigger, answer in late.items():
                assert re.search(rf"\| {side} \| `{re.escape(trigger.removesuffix('-cancel'))}", text)
                assert answer is None or f"`!{answer}`" in text
