"""`run.py show` and the options of watching: what is wrong is one line, and the page stays until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environment import page_process, showing
from environment.options import Options, OptionsError
from protocols.trace import header_line
from run import main
from tests.conftest import COMMAND
from tests.environment.test_page_process import FAKE

PATIENCE_S = 90.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder, as far as it goes."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "trace.jsonl").write_text(header_line("slovenia", 7, {}) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        yield other.getsockname()[1]


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 3
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    return shown.err


# ---- a folder that cannot be shown -----------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = tmp_path / "none"
    line = f"run.py: {none}: there is no such folder; give a folder that run.py has written\n"
    assert fails(capsys, "show", str(none)) == line


def test_a_folder_that_is_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"run.py: {tmp_path}: it is no run's folder: it has no trace.jsonl; give a folder that run.py has written\n"
    assert fails(capsys, "show", str(tmp_path)) == line


def test_a_file_in_place_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "it is no run's folder" in fails(capsys, "show", str(folder / "trace.jsonl"))


@pytest.mark.parametrize("text", [b"", b"hello\n", b"\xff\xfe\n", b'{"trace": 2}\n', b"{" * 20])
def test_a_trace_that_is_none(folder: Path, text: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "trace.jsonl").write_bytes(text)
    assert fails(capsys, "show", str(folder)).startswith(f"run.py: {folder / 'trace.jsonl'}: ")


def test_a_port_that_is_taken_or_none(folder: Path, taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"run.py: --web {taken}: cannot be served at 127.0.0.1: Address already in use; give another port, "
    assert fails(capsys, "show", str(folder), "--web", str(taken)).startswith(line)
    assert "--web 70000: is no port" in fails(capsys, "show", str(folder), "--web", "70000")
    assert "--web-host here: is no IP address" in fails(capsys, "show", str(folder), "--web-host", "here")


def test_a_port_that_is_no_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["show", str(folder), "--web", "many"], ["slovenia", "--web", "many"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        assert "--web: invalid int value: 'many'" in capsys.readouterr().err


# ---- the options of a run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"web": -1}, "--web -1: is no port; give one up to 65535, 0 for a free one"),
        ({"web": 70_000}, "--web 70000: is no port; "),
        ({"web": 0, "web_host": "example.org"}, "--web-host example.org: is no IP address; "),
        ({"web": 0, "web_host": "192.0.2.1"}, "--web 0: cannot be served at 192.0.2.1: "),
        ({"web_host": "0.0.0.0"}, "--web-host 0.0.0.0: is where the page of --web is served; give --web as well"),
        ({"watchers": ("ann@example.org",)}, "--watcher: the embedded server lets in whom --admit FILE names"),
        ({"watchers": ("a b",), "server": "h"}, "--watcher a b: is no JID; give name@domain, or a domain"),
        ({"watchers": ("@example.org",), "server": "h"}, "--watcher @example.org: is no JID; "),
        ({"watchers": ("",), "server": "h"}, "--watcher : is no JID; "),
        ({"watchers": ("ann@example.org/phone",), "server": "h"}, "--watcher ann@example.org/phone: is no JID; "),
    ],
)
def test_options_of_watching_that_cannot_be_followed(options: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionsError) as error:
        Options(Path("out"), **options).check()
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_the_page_and_the_drivers_page_have_ports_of_their_own(taken: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]
    with pytest.raises(OptionsError, match=f"--web {free}: is the port of --driver-page as well"):
        Options(Path("out"), web=free, driver_page=free, speed=20.0).check()
    with pytest.raises(OptionsError, match=f"--web {taken}: cannot be served at 127.0.0.1"):
        Options(Path("out"), web=taken).check()


def test_a_person_or_everybody_of_a_domain_may_watch() -> None:
    Options(Path("out"), server="h", watchers=("ann@example.org", "example.org")).check()


# ---- the page stays --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("going_on", [False, True])
def test_a_folder_is_shown_until_ctrl_c(
    folder: Path, going_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run that is going on as well: it is live then, without a clock."""
    if going_on:
        (folder / "server").mkdir()
        (folder / "server" / "access.json").write_text("{}", encoding="utf-8")
    asked: list[dict[str, Any]] = []

    class Page(page_process.PageProcess):
        def __init__(self, folder: Path, **settings: Any) -> None:
            asked.append({"folder": folder, **settings})
            command = (sys.executable, str(FAKE), "good", str(folder / "heard"), "[]")
            super().__init__(folder, **settings, command=command)

        def stay(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(showing, "PageProcess", Page)
    assert main(["show", str(folder)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (f"{folder} on a page at http://127.0.0.1:0/ until Ctrl-C.\n", "")
    assert asked[0]["folder"] == folder
    assert asked[0]["live"] is going_on
    assert asked[0]["title"] == "slovenia, seed 7"


def test_ctrl_c_ends_the_page_and_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "show", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job ignores it
    ) as running:
        assert running.stdout is not None
        try:
            line = running.stdout.readline()
            assert line.startswith(f"{folder} on a page at http://127.0.0.1:"), running.communicate(timeout=PATIENCE_S)
            running.send_signal(signal.SIGINT)
            out, errors = running.communicate(timeout=PATIENCE_S)
        finally:
            running.kill()
    assert (running.returncode, out, errors) == (0, "", "")
