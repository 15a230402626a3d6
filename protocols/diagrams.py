"""The state diagrams of the protocols, drawn from the tables: `python -m protocols.diagrams > docs/protocols.md`."""

from __future__ import annotations

from protocols.acl import Protocol
from protocols.tables import CANCELLING, LATE, START, TABLES, Side, Table

_TITLES = {
    Protocol.REQUEST: ("Request", "SC00026H", "asks for something to be done: activations, registrations, bills"),
    Protocol.QUERY: ("Query", "SC00027H", "asks for what is known: measurements, the directory's search"),
    Protocol.CONTRACT_NET: ("Contract net", "SC00029H", "calls for proposals and awards: bids, a pool, vehicles"),
    Protocol.SUBSCRIBE: ("Subscribe", "SC00035H", "asks to be told from now on: measurements, flexibility"),
    Protocol.PROPOSE: ("Propose", "SC00036H", "offers to do something itself: participation, delivered volume"),
}

_INTRODUCTION = """\
# The interaction protocols

Drawn from `protocols/tables.py` by `python -m protocols.diagrams > docs/protocols.md`; a test keeps it up to date.

`!act` is sent, `?act` is received, `@expired` is our own deadline. The diagrams show the initiator's side. The
participant's is the same with `!` and `?` exchanged: what one sends the other receives, and each has its own deadline.

Rules that hold in all five:

- **Deadlines.** Every state that waits has one: the `reply-by` of the message that led to it, else a default
  (`Patience` in `protocols/peer.py`), until the owner sets another by `await_until`. An answer exactly at the deadline
  is in time. A message whose `reply-by` is past when it arrives is never performed.
- **Several responders.** The initiator has one state for each of them. Only an invited agent is heard, whoever knows
  the conversation id; the others get not-understood.
- **Duplicates.** A message that is known by its `reply-with` acts once; what answered it goes out again. The same
  `reply-with` with other content is a conflict: an opening act is refused, anything else is not understood.
- **Out of sequence.** What a state does not have changes nothing and gets not-understood, unless it was lawful when it
  was sent (the tables of late messages below). A not-understood is never answered.
- **Cancel.** The initiator may cancel whatever has not ended. While the cancel is unanswered everything that the
  participant says still counts, so a result may cross it. The answer is known by its `in-reply-to`, and written
  `inform-cancel` (stopped) or `failure-cancel` (it goes on, under the deadline that it had). No answer in time ends the
  conversation for the initiator. It is how a service is deactivated (Tables 3 and 5 of D5.1): its `reference` is the id
  of what the conversation was opened with, and in a contract net each bidder is called off by itself.
"""


def page() -> str:
    """The whole of docs/protocols.md."""
    return "\n".join([_INTRODUCTION, *(section(protocol) for protocol in Protocol)])


def section(protocol: Protocol) -> str:
    """One protocol: its diagram, its cancel, its late messages."""
    title, number, purpose = _TITLES[protocol]
    table = TABLES[protocol, Side.INITIATOR]
    return "\n".join(
        [
            f"## {title} (`{protocol}`, FIPA {number})",
            "",
            f"The initiator {purpose}.",
            "",
            diagram(table, cancelling=False),
            "",
            "While a cancel is unanswered:",
            "",
            diagram(table, cancelling=True),
            "",
            "Late messages, which change nothing:",
            "",
            *late(protocol),
            "",
        ]
    )


def diagram(table: Table, *, cancelling: bool) -> str:
    """A Mermaid state diagram of the rows that start in (or, for `cancelling`, lead to) a state with an open cancel."""
    lines = ["```mermaid", "stateDiagram-v2"]
    targets: set[str] = set()
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, rows in table.items():
        for trigger, to in rows.items():
            if (state.startswith(CANCELLING) or to.startswith(CANCELLING)) is cancelling:
                arrows.setdefault((state, to), []).append(trigger)
                targets |= {state, to}
    lines += [f'    state "{name}" as {_name(name)}' for name in table if name in targets and "-" in name]
    for (state, to), triggers in arrows.items():
        origin = "[*]" if state == START else _name(state)
        lines.append(f"    {origin} --> {_name(to)}: {', '.join(triggers)}")
    lines += [f"    {_name(name)} --> [*]" for name in table if name in targets and not table[name]]
    return "\n".join([*lines, "```"])


def late(protocol: Protocol) -> list[str]:
    """A Markdown table: side, message, the states that have overtaken it, its answer."""
    rows = ["| side | message | in state | answered by |", "|---|---|---|---|"]
    for side in Side:
        found: dict[tuple[str, str | None], list[str]] = {}
        for state, messages in LATE[protocol, side].items():
            for trigger, answer in messages.items():
                if not trigger.startswith("?not-understood"):
                    found.setdefault((trigger, answer), []).append(state)
        for (trigger, answer), states in sorted(found.items(), key=lambda row: (row[0][0], row[0][1] or "")):
            rows.append(f"| {side} | `{trigger}` | {', '.join(states)} | {f'`!{answer}`' if answer else 'nothing'} |")
        rows.append(f"| {side} | `?not-understood` | wherever the diagram has none | nothing |")
    return rows


def _name(state: str) -> str:
    # Mermaid's identifiers have no hyphen.
    return state.replace("-", "_")


if __name__ == "__main__":
    print(page(), end="")
