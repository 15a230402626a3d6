"""The swarm on a real server: Debian's Prosody. Skipped where that is not installed, but never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from behaviours.link import LoginRefusedError
from behaviours.outcomes import Informed
from environment.prosody import Prosody, prosody_program
from tests.behaviours.test_link import Dso, Fmo, collection, query
from tests.swarm import START, SwarmUnderTest, jid, run_swarm


@pytest.fixture(autouse=True)
def _installed() -> None:
    if prosody_program() is None:
        assert not os.environ.get("CI"), "CI must have Prosody: apt-get install -y prosody"
        pytest.skip("Prosody is not installed: apt-get install prosody")


@pytest.mark.parametrize("wire", [False, True], ids=["in process", "over the wire"])
def test_a_swarm_negotiates_on_prosody(tmp_path: Path, wire: bool) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, fmo = await swarm.start(Dso, "dso-1"), await swarm.start(Fmo, "fmo")
        for number in range(10):
            outcome = await fmo.query_ref(query(number), to=dso.address, reply_by=swarm.at(1))
            assert outcome == Informed(dso.address, collection(query(number)))
        assert fmo.now() == START
        assert fmo.link is not None
        assert fmo.link.is_up

    run_swarm(main, SwarmUnderTest(Prosody(tmp_path), wire=wire))


def test_nothing_is_lost_or_done_twice_when_prosody_crashes_in_the_middle(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        server = swarm.server
        assert server is not None

        async def crash(number: int) -> None:
            if number == 10:
                with swarm.clock.outstanding():
                    await server.kill()
                    await server.start()

        dso = await swarm.start(Dso, "dso", at_bill=crash)
        fmo = await swarm.start(Fmo, "fmo")
        for number in range(20):
            assert isinstance(await fmo.query_ref(query(number), to=jid("dso"), reply_by=swarm.at(1)), Informed)
        assert dso.paid == [f"act-{number}" for number in range(20)]

    run_swarm(main, SwarmUnderTest(Prosody(tmp_path), wire=True))


def test_prosody_refuses_a_wrong_password_and_the_swarm_says_so(tmp_path: Path) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        with pytest.raises(LoginRefusedError, match="refuses the login of fmo@localhost"):
            await Fmo(jid("fmo"), "wrong", swarm.swarm).start()

    run_swarm(main, SwarmUnderTest(Prosody(tmp_path)))
