"""A small run as its user starts it, and `run.py observe` beside it: what aioxmpp heard is what the trace has."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from environment.out_folder import ACCESS
from protocols.telling import ENDED
from tests.days import SMALL
from tests.environment.test_observing import PROJECT, Observing, observe

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp has no release for this Python")
ANNA = "anna@localhost"
LOOK_S = 0.05
UP_S = 120.0
RUN_S = 600.0


async def test_the_lines_are_those_of_the_trace_from_the_moment_of_asking_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "watchers.toml").write_text(f'"{ANNA}" = "a password of hers"\n', encoding="utf-8")
    out = tmp_path / "runs" / "small-1"
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROJECT / "run.py"), "small.toml", "--quiet", "--out", str(out)),
        *("--admit", "watchers.toml"),
        cwd=tmp_path,
        env=os.environ,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(UP_S):
        while not (out / ACCESS).is_file() or not (out / ACCESS).read_text():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)  # a folder tells nobody that it has grown
    watching = await observe(ANNA, "--json", cwd=tmp_path, password=None)
    (code, shown, errors), complaints = await asyncio.gather(ended(watching), complained(run))
    assert (run.returncode, complaints) == (0, "")
    assert code == 0, errors
    assert errors.splitlines()[-1].startswith(ENDED)
    trace, lines = (out / "trace.jsonl").read_text(encoding="utf-8").splitlines()[1:], shown.splitlines()
    assert lines
    assert trace[-len(lines) :] == lines
    assert not (out / ACCESS).exists()


async def ended(watching: Observing) -> tuple[int, str, str]:
    async with asyncio.timeout(RUN_S):
        out, errors = await watching.process.communicate()
    assert watching.process.returncode is not None
    return watching.process.returncode, out.decode(), errors.decode()


async def complained(run: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(RUN_S):
        _, errors = await run.communicate()
    return errors.decode()
