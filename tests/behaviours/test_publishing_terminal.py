"""What a person sees who joins a room with Debian's terminal client."""

from __future__ import annotations

from pathlib import Path

from environment.prosody import Prosody
from tests.behaviours.test_publishing import ALL, BUC1, Stage, play
from tests.terminal import Profanity, need_profanity


def test_profanity_shows_the_lines_of_a_room_from_history_and_live(tmp_path: Path) -> None:
    need_profanity()

    async def script(stage: Stage) -> None:
        server = stage.swarm.server
        assert isinstance(server, Prosody)
        password = await stage.swarm._account("guest")
        stage.say(7)
        async with Profanity(tmp_path / "home", "guest@localhost", password, server.port, server.ca_file) as terminal:
            await terminal.type(f"/join {BUC1}")
            await terminal.shows("A day: Market participation")
            shown = await terminal.shows("08:07 to 08:08")
            assert shown.startswith("08:00:00 fmo -> dso: query-ref 1.2.6 Measurements collection: 08:07 to 08:08")
            await terminal.shows("observer: [1.2.6 Measurements collection, talk-1]")
            stage.say(8)
            shown = await terminal.shows("08:08 to 08:09")
            assert shown.startswith("08:00:00 fmo -> dso: query-ref 1.2.6 Measurements collection: 08:08 to 08:09")
            await terminal.shows("Your role has been changed to: visitor")
            await terminal.type("I say so")
            await terminal.shows("You do not currently have permission to speak")
            await terminal.type(f"/join {ALL}")
            await terminal.shows("A day: all messages")
            await stage.publisher.end()
            await terminal.shows("The run has ended: 2 messages")

    stage = play(Prosody(tmp_path / "server"), script)
    assert stage.notices == []
