"""`run.py observe` by rooms and nodes on a real Prosody: aioxmpp reads what slixmpp wrote."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from environment.prosody import Prosody
from protocols.telling import ENDED
from protocols.trace import message_line
from tests.behaviours.test_publishing import START, ZONE, Stage, play
from tests.environment.test_observing import Observing, observe

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp has no release for this Python")
GUEST = "guest@localhost"
SAY_S = 0.5


async def observing(stage: Stage, server: Prosody, name: str, *words: str) -> Observing:
    """The command, with that account of the server."""
    password = await stage.swarm._account(name)
    assert server._files is not None
    where = ("--server", f"127.0.0.1:{server.port}", "--ca", str(server._files[0]))
    return await observe(f"{name}@localhost", *where, *words, cwd=server.folder, password=password)


async def first_line(stage: Stage, watching: Observing) -> tuple[str, int]:
    """Says something now and then until the first line is printed; with the number of the last message."""
    line = asyncio.ensure_future(watching.line())
    number = 0
    while not line.done():
        stage.say(number)
        number += 1
        await asyncio.wait({line}, timeout=SAY_S)
    return line.result(), number - 1


def test_a_room_is_read_until_the_run_ends(tmp_path: Path) -> None:
    server = Prosody(tmp_path)

    async def script(stage: Stage) -> None:
        watching = await observing(stage, server, "guest", "--via", "room", "--buc", "1")
        line, _ = await first_line(stage, watching)
        assert line.startswith("[1.2.6 ")
        await stage.publisher.end()
        code, out, errors = await watching.end()
        assert (code, errors) == (0, "")
        assert "fmo -> dso: query-ref 1.2.6 " in out
        assert out.splitlines()[-1].startswith(ENDED)

    play(server, script)


def test_a_nodes_items_are_the_traces_lines(tmp_path: Path) -> None:
    server = Prosody(tmp_path)

    async def script(stage: Stage) -> None:
        watching = await observing(stage, server, "guest", "--via", "pubsub", "--json")
        line, _ = await first_line(stage, watching)
        last = message_line(stage.say(59), START.astimezone(ZONE))
        await stage.publisher.end()
        code, out, errors = await watching.end()
        assert code == 0, errors
        lines = [line, *out.splitlines()]
        assert lines[-1] == last
        assert all(json.loads(each)["performative"] == "query-ref" for each in lines)
        assert errors.startswith(ENDED)

    play(server, script)


@pytest.mark.parametrize("way", ["room", "pubsub"])
def test_who_is_no_watcher_is_told_so(tmp_path: Path, way: str) -> None:
    server = Prosody(tmp_path)

    async def script(stage: Stage) -> None:
        watching = await observing(stage, server, "stranger", "--via", way)
        code, out, errors = await watching.end()
        assert (code, out) == (3, "")
        assert "does not admit you: the run must be started with --watcher and your JID" in errors
        assert errors.count("\n") == 1

    play(server, script)


def test_another_domain_than_the_servers_is_one_line(tmp_path: Path) -> None:
    server = Prosody(tmp_path)

    async def script(stage: Stage) -> None:
        assert server._files is not None
        where = ("--server", f"127.0.0.1:{server.port}", "--ca", str(server._files[0]))
        code, out, errors = await (await observe("anna@other.example", *where, cwd=tmp_path)).end()
        assert (code, out) == (3, "")
        assert "other.example" in errors
        assert errors.count("\n") == 1

    play(server, script)
