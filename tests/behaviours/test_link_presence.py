"""A person's chat program asks an agent whether it may see it: it may, and nobody is warned of anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from environment.server import EmbeddedServer
from tests.answering import answering
from tests.behaviours.test_link import Fmo
from tests.swarm import SwarmUnderTest, jid, run_swarm

PATIENCE_S = 20.0


def test_whoever_asks_sees_an_agent_and_no_warning_comes_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(tmp_path)

    async def main(swarm: SwarmUnderTest) -> None:
        agent = await swarm.start(Fmo, "fmo")
        password = await swarm._account("anna")
        seen = asyncio.Event()

        def available(presence: Any) -> None:
            if presence["from"].bare == agent.address:
                seen.set()

        async with answering(server.access, jid("anna"), password, lambda _: []) as anna:
            anna.add_event_handler("presence_available", available)
            anna.send_presence_subscription(pto=agent.address)
            async with asyncio.timeout(PATIENCE_S):
                await seen.wait()

    run_swarm(main, SwarmUnderTest(server))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
