"""A run on a real Prosody with people in its rooms and a second implementation at its nodes: they see all of it, and
change nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import run
from behaviours.nodes import Node
from environment import casts, launcher, scenario, world
from environment.prosody import Prosody
from environment.server import generated_passwords
from protocols.telling import ENDED
from tests.behaviours.test_publishing import ALL, Stage, play
from tests.conftest import COMMAND
from tests.days import SMALL, Day, FastPhysics
from tests.watchers import Guest

ANNA = "anna@localhost"
BERT = "bert@localhost"
PATIENCE_S = 120.0
aioxmpp = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp has no release for this Python")


async def subscribed(node: Node) -> None:
    """Waits until Anna has subscribed; nobody tells the owner of a node that somebody has."""
    while True:
        if ANNA in await node._listed("subscriptions", "subscription"):
            return
        await asyncio.sleep(0.1)


@aioxmpp
def test_rooms_and_nodes_show_a_run_that_is_the_same_as_without_them(
    tmp_path: Path, small: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "PhysicalGrid", FastPhysics)
    monkeypatch.setattr(launcher, "build_report", lambda out: out / "report.html")
    monkeypatch.setenv("GRIDPARLEY_PASSWORD", "anna's own")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    server = Prosody(tmp_path / "server")
    seen: dict[str, str] = {}

    async def script(stage: Stage) -> None:
        node = stage.publisher.places.nodes["all"]
        await stage.publisher.end()  # the rooms and nodes are those of an earlier run
        accounts = generated_passwords(casts.roles(scenario.parse(SMALL, "small.toml"), "localhost"))
        (tmp_path / "accounts.toml").write_text("".join(f'"{jid}" = "{word}"\n' for jid, word in accounts.items()))
        where = ("--server", f"127.0.0.1:{server.port}", "--ca", str(server.ca_file))
        with stage.swarm.clock.outstanding():
            await server.admit({**accounts, ANNA: "anna's own", BERT: "bert's own"})
            async with Guest(server.access, BERT, "bert's own") as bert:
                bert.join(ALL)
                await bert.until(lambda: ALL in bert.subjects)
                observe = await asyncio.create_subprocess_exec(
                    *COMMAND,
                    *("observe", ANNA, *where, "--via", "pubsub", "--json"),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=os.environ.copy(),
                )
                reading = asyncio.create_task(observe.communicate())
                async with asyncio.timeout(PATIENCE_S):
                    await subscribed(node)
                words = [str(tmp_path / "small.toml"), *where, "--out", str(tmp_path / "run"), "--quiet"]
                words += ["--accounts", str(tmp_path / "accounts.toml"), "--watcher", ANNA, "--watcher", BERT]
                assert await asyncio.to_thread(run.main, words) == 0
                async with asyncio.timeout(PATIENCE_S):
                    seen["nodes"], seen["errors"] = (text.decode() for text in await reading)
                assert observe.returncode == 0, seen["errors"]
                await bert.until(lambda: bert.texts(ALL, late=False).splitlines()[-1].startswith(ENDED))
                seen["room"] = bert.texts(ALL, late=False)
                seen["subject"] = bert.subjects[ALL]
                seen["role"] = bert._role(ALL, "guest")

    play(server, script, watchers=(ANNA, BERT), guard_s=600)

    watched = Day(tmp_path / "run")
    assert (watched.folder / "trace.jsonl").read_bytes() == (small.folder / "trace.jsonl").read_bytes()
    assert watched.outcome == small.outcome
    registered = sum(
        m["receiver"] == "directory@localhost" or m["sender"] == "directory@localhost" for m in watched.messages
    )
    nodes = seen["nodes"].splitlines()
    assert nodes == watched.trace[-len(nodes) :]
    assert len(nodes) >= len(watched.messages) - registered
    lines = [line for line in seen["room"].splitlines() if not line.startswith("[")]
    assert lines[-1] == f"{ENDED}: {len(watched.messages)} messages"
    assert len(lines) - 1 == len(nodes)
    assert seen["errors"].strip() == lines[-1]
    assert seen["subject"] == "A small evening: all messages"
    assert seen["role"] == "visitor"
