"""What the terminal says of watching: where the page is, also with --quiet, and whom to write to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from environment import console
from environment.launcher import Done
from environment.page_process import PageProcess
from environment.stage import Progress

PAGE = "http://10.0.0.1:4711/?token=" + 40 * "x"


def shown(capsys: pytest.CaptureFixture[str], *, quiet: bool) -> tuple[str, str]:
    """What stands on standard output and standard error after a run that is watched."""

    def work(listener: Progress) -> Done:
        listener.stage("negotiating")
        listener.watching(PAGE)
        listener.chatting("observer@localhost")
        listener.say("the page has ended [bold]; the run goes on")
        return Done(Path("out"), {}, Path("report.html"))

    console.show(work, title="A run", quiet=quiet)
    found = capsys.readouterr()
    return found.out, found.err


def test_the_page_and_the_observer_are_a_whole_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A long address is not broken, and what looks like markup is text."""
    lines = shown(capsys, quiet=False)[0].splitlines()
    assert f"The run on a page at {PAGE}" in lines
    assert "The run in a chat: write `help` to observer@localhost" in lines
    assert "the page has ended [bold]; the run goes on" in lines


def test_with_quiet_the_pages_address_is_said_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could open it otherwise: its port may be a free one, and its token is only there."""
    out, errors = shown(capsys, quiet=True)
    assert out == f"The run on a page at {PAGE}\n"
    assert errors == "run.py: the page has ended [bold]; the run goes on\n"


def test_a_page_that_stays_is_said_until_when(capsys: pytest.CaptureFixture[str]) -> None:
    class Page:
        url = PAGE

    console.staying(cast(PageProcess, cast(Any, Page())))
    assert capsys.readouterr().out == f"The page stays at {PAGE} until Ctrl-C.\n"
