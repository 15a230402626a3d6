"""A run folder is claimed, kept if something was said, and else put back as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from environment.out_folder import ACCESS, SERVER, SERVER_ERRORS, OutFolder, OutFolderError, is_going_on
from environment.run_folder import LEDGER, LIVE_ROWS, NETWORK, REPORT, SERIES, SUMMARY, TRACE


def fail(folder: Path, *, began: bool, errors: str = "") -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_fail(folder, began=began, errors=errors)


def write_and_fail(folder: Path, *, began: bool, errors: str) -> None:
    """A run that writes a little and then fails."""
    with OutFolder(folder) as out:
        (out.path / SERVER).mkdir()
        (out.path / SERVER / SERVER_ERRORS).write_text(errors, encoding="utf-8")
        (out.path / TRACE).write_text("header\n", encoding="utf-8")
        (out.path / f"{LEDGER}-wal").touch()
        if began:
            out.began()
        raise ZeroDivisionError


def test_a_run_that_is_over_leaves_its_files_and_not_the_servers(tmp_path: Path) -> None:
    with OutFolder(tmp_path / "a" / "b") as out:
        (out.path / SERVER).mkdir()
        (out.path / SERVER / SERVER_ERRORS).write_text("a warning", encoding="utf-8")
        (out.path / TRACE).touch()
    assert [path.name for path in out.path.iterdir()] == [TRACE]


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    fail(tmp_path / "out", began=False)
    assert not (tmp_path / "out").exists()


def test_a_run_that_never_began_leaves_the_users_own_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    fail(tmp_path, began=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_that_fails_on_its_way_leaves_what_was_said(tmp_path: Path) -> None:
    fail(tmp_path / "out", began=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {TRACE, f"{LEDGER}-wal"}


def test_what_the_server_died_of_is_kept(tmp_path: Path) -> None:
    fail(tmp_path / "out", began=False, errors="it died")
    assert (tmp_path / "out" / SERVER / SERVER_ERRORS).read_text(encoding="utf-8") == "it died"


@pytest.mark.parametrize("name", [TRACE, LEDGER, SERIES, SUMMARY, REPORT, NETWORK, LIVE_ROWS])
def test_a_folder_with_any_file_of_a_run_is_not_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious", encoding="utf-8")
    with (
        pytest.raises(OutFolderError, match=f"holds a run already \\({name}\\): give another --out"),
        OutFolder(tmp_path),
    ):
        pass
    assert (tmp_path / name).read_text(encoding="utf-8") == "precious"


def test_a_relative_folder_is_meant_from_where_the_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with OutFolder(Path("out")) as out:
        assert out.path == tmp_path / "out"


def test_a_run_goes_on_while_its_process_lives(tmp_path: Path) -> None:
    """A process that was killed has left its word, and `show` and `observe` must not wait for it."""
    assert not is_going_on(tmp_path)
    (tmp_path / SERVER).mkdir()
    (tmp_path / ACCESS).write_text(json.dumps({"process": os.getpid()}), encoding="utf-8")
    assert is_going_on(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / ACCESS).write_text(json.dumps({"process": dead.pid}), encoding="utf-8")
    assert not is_going_on(tmp_path)
    (tmp_path / ACCESS).write_text("{half", encoding="utf-8")
    assert not is_going_on(tmp_path)
