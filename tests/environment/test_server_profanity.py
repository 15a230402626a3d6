"""A person's chat program on the embedded server: Debian's profanity, and what stands on its screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from environment.server import EmbeddedServer, generated_passwords
from tests.answering import answering
from tests.terminal import Profanity, need_profanity

ASKED = (
    "/disco info localhost",
    "/disco items",
    "/lastactivity get echo@localhost",
    "/bookmark list",
    "/blocked",
    "/carbons on",
    "/mam on",
    "/join room@conference.localhost",
    "/ping",
)
"""What it asks of a server that has little of it."""


@pytest.fixture(autouse=True)
def _installed() -> None:
    need_profanity()


async def test_profanity_logs_in_chats_with_an_agent_and_sees_whether_it_is_there(tmp_path: Path) -> None:
    passwords = generated_passwords(["echo", "anna"])
    async with EmbeddedServer(tmp_path / "server") as server:
        await server.admit(passwords)
        home = tmp_path / "home"
        async with Profanity(home, "anna@localhost", passwords["anna"], server.port, server.ca_file) as terminal:

            def answers(text: str) -> list[str]:
                return [f"you wrote: {text}"]

            async with answering(server.access, "echo@localhost", passwords["echo"], answers, "negotiating"):
                await terminal.type("/msg echo@localhost help")
                await terminal.shows("you wrote: help")
                await terminal.type("/win console")
                await terminal.type("/sub request echo@localhost")
                assert "negotiating" in await terminal.shows("++ echo@localhost")
                for command in ASKED:
                    await terminal.type(command)
                await terminal.shows("Ping response from server")
                await terminal.type("/msg echo@localhost still there?")
                await terminal.shows("you wrote: still there?")
                await terminal.type("/win console")
            assert "is offline" in await terminal.shows("-- echo@localhost")
