"""`--outside`: actors of a run that somebody else's system plays, over XMPP (docs/outside.md)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from agents.directory import Directory
from environment.campus_scenario import CampusScenario
from environment.casts import roles
from environment.island_scenario import IslandScenario
from environment.public_scenario import PublicScenario
from environment.scenario_parts import Scenario
from protocols.asyncapi import outside_roles
from protocols.roles import Role

_JID = re.compile(r"[^@/\s]+@[^@/\s]+")
_SHOWN = 20

_DRIVES: Final = "it drives the chargers, over Modbus on this machine, and without it nobody does"
_ANYWHERE: Final = MappingProxyType(
    {
        Role.CPO: _DRIVES,
        Role.V2X_MANAGER: _DRIVES,
        Role.EV_OWNER: "its car is a part of the physical world that this program computes",
    }
)
_HERE: Final[Mapping[type[Scenario], Mapping[Role, str]]] = MappingProxyType(
    {
        IslandScenario: {
            Role.TSO: "it dispatches the plants of the island that this program computes",
            Role.PRODUCER: "its meter is at a plant that this program computes",
        },
        CampusScenario: {
            Role.TSO: "it judges the frequency that this program computes, second by second",
            Role.DSO: "what it pays (3.x.3) no other agent can book",
        },
        PublicScenario: {Role.DSO: "what it pays (5.x.2) and bills (4.x.2) no other agent can book"},
    }
)
"""Who cannot be played outside, by the kind of scenario, and why."""


class OutsideError(ValueError):
    """An actor cannot be left to somebody else's system, or nobody came; one line."""


def cannot(scenario: Scenario, role: Role) -> str | None:
    """Why nobody else's system can play that role in such a scenario; None where it can."""
    if role not in outside_roles():
        return "it is a service of the platform"
    return _ANYWHERE.get(role) or _HERE.get(type(scenario), {}).get(role)


def named(words: Sequence[str], scenario: Scenario) -> dict[str, str | None]:
    """The actors of `--outside NAME[=JID]` with the JID that was given. Raises OutsideError."""
    found: dict[str, str | None] = {}
    known = {jid.partition("@")[0]: role for jid, role in roles(scenario, "").items()}
    for word in words:
        name, _, jid = word.partition("=")
        if name not in known:
            able = [each for each, role in known.items() if cannot(scenario, role) is None]
            raise OutsideError(
                f"--outside {word}: there is no actor {name!r} in {scenario.scenario.name}; give one of"
                f" {', '.join(able[:_SHOWN])}"
            )
        if (why := cannot(scenario, known[name])) is not None:
            raise OutsideError(f"--outside {word}: {name} cannot be played outside: {why}")
        if name in found:
            raise OutsideError(f"--outside {word}: {name} is named twice")
        if "=" in word and not _JID.fullmatch(jid):
            raise OutsideError(f"--outside {word}: {jid!r} is no JID; give NAME=name@domain")
        found[name] = jid or None
    return found


def jids(
    named: Mapping[str, str | None], scenario: Scenario, domain: str, admitted: Collection[str] | None
) -> dict[str, str]:
    """The JIDs of actors outside, by name: those given, else the name at the run's domain. `admitted`: who else may log
    in to the embedded server, None on another server, whose accounts nobody here knows. Raises OutsideError."""
    found = {name: jid or f"{name}@{domain}" for name, jid in named.items()}
    others = {each.partition("@")[0] for each in roles(scenario, "")} - set(found)
    for name, jid in found.items():
        account = jid.partition("@")[0]
        if account in others or [each.partition("@")[0] for each in found.values()].count(account) > 1:
            raise OutsideError(
                f"--outside {name}={jid}: another actor is called {account}, and accounts in the books go by the name;"
                " give a JID with another one"
            )
        if admitted is not None and jid not in admitted:
            raise OutsideError(
                f'--outside {name}: {jid} has no account on the embedded server; write "{jid}" = "password" into the'
                " file of --admit"
            )
    return found


def check_guests(admitted: Collection[str], roles: Mapping[str, Role], outside: Mapping[str, str]) -> None:
    """Raises OutsideError where an agent of this program has an account in the file of --admit."""
    for jid in admitted:
        if jid in roles and jid not in outside.values():
            raise OutsideError(
                f"--admit: {jid} is an agent of this run; take it out, or leave it to your own system with --outside"
                f" {jid.partition('@')[0]}"
            )


def placed(roles: Mapping[str, Role], outside: Mapping[str, str]) -> dict[str, Role]:
    """The run's roles by JID, with those outside in their places."""
    return {outside.get(jid.partition("@")[0], jid): role for jid, role in roles.items()}


def listed(outside: Mapping[str, str], roles: Mapping[str, Role]) -> str:
    """Those outside in words: `vpp2@localhost as vpp`."""
    return ", ".join(f"{jid} as {roles[jid]}" for jid in outside.values())


def told(name: str, jid: str) -> str:
    """The line about an actor outside in the summary."""
    return (
        f"{name} is played from outside, by {jid}; the books hold what others paid to it and what it said it paid,"
        " and nothing that it pays of its own accord"
    )


async def registered(
    directory: Directory,
    outside: Mapping[str, str],
    roles: Mapping[str, Role],
    wait_s: float,
    server: Mapping[str, Any],
) -> None:
    """Waits until everybody has registered, `wait_s` of the wall at most. `server` is where they are to log in: host,
    port, domain, and the file of its authority or None. Raises OutsideError naming those who are missing."""
    try:
        async with asyncio.timeout(wait_s):
            await directory.until_registered(outside.values())
    except TimeoutError:
        missing = {name: jid for name, jid in outside.items() if jid not in directory.entries}
        ca = f", its authority in {server['ca']}" if server["ca"] else ""
        raise OutsideError(
            f"{listed(missing, roles)} has not registered within {wait_s:g} s: the server is {server['host']}:"
            f"{server['port']}, domain {server['domain']}{ca}; start the system there, let it send df.register to"
            f" {directory.address} (docs/outside.md), or wait longer with --outside-wait S"
        ) from None
