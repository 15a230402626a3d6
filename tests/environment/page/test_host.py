"""What the page says to the swarm and hears of it, and the clock of a run that is played back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from environment.page.host import Host, Settings, SettingsError
from environment.run_folder import SUMMARY
from environment.watched.run import WatchedRun
from tests.chromium import Served, serving
from tests.environment.watched.folders import BEGINS, hand_made_folder

END = BEGINS + timedelta(minutes=59, seconds=10)


class Stage:
    """A host without a process around it, and the lines that it sends."""

    def __init__(self, folder: Path, *, live: bool = False) -> None:
        self.said: list[Mapping[str, Any]] = []
        settings = Settings(hand_made_folder(folder), live, "127.0.0.1", 0, None, "An hour")
        self.host = Host(settings, self.said.append)
        self.host.tick(0.0)
        self.host.tick(0.0)

    @property
    def state(self) -> str:
        return self.host.run.status.state


def test_the_buttons_of_a_run_that_lasts_become_lines(tmp_path: Path) -> None:
    stage = Stage(tmp_path, live=True)
    host = stage.host
    host.pause()
    host.resume()
    host.set_speed(60.0)
    host.set_speed(None)
    host.step(timedelta(minutes=15))
    host.step_message()
    host.seek(5)
    assert stage.said == [
        {"pause": True},
        {"resume": True},
        {"speed": 60.0},
        {"speed": None},
        {"step_s": 900},
        {"step_messages": 1},
    ]


def test_status_and_notices_of_the_swarm_are_shown_and_nonsense_is_left_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, live=True)
    host = stage.host
    assert not host.is_led
    for line in (b"", b"\xff", b"[]", b'{"status": 3}', b'{"notice": {}}', b'{"unknown": 1}'):
        host.told(line)
    assert stage.state == "starting"
    host.told(b'{"status": {"state": "running", "speed": 300, "at": "2026-03-18T12:00:00+01:00"}}')
    host.told(b'{"notice": "17:05 vpp-1: nobody answers"}')
    assert (stage.state, host.is_led) == ("running", True)
    assert host.run.notices == ["17:05 vpp-1: nobody answers"]


def test_after_its_end_a_run_can_be_played_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, live=True)
    stage.host.told(b'{"status": {"state": "ended"}}')
    assert stage.host.playback is not None
    assert (stage.state, stage.host.run.at) == ("ended", END)
    stage.host.resume()
    assert (stage.state, stage.host.run.at) == ("running", BEGINS)
    stage.host.told(b'{"status": {"state": "ended"}}')
    assert stage.state == "running"
    assert stage.said == []


def test_a_run_that_failed_says_so_while_it_is_played_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, live=True)
    stage.host.told(b'{"status": {"state": "failed"}}')
    assert stage.state == "failed"
    stage.host.seek(60)
    assert stage.state == "failed"


def test_a_run_that_others_lead_is_over_when_its_summary_is_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path, live=True)
    stage.host.tick(0.25)
    assert stage.host.playback is None
    (tmp_path / SUMMARY).write_text("{}", encoding="utf-8")
    stage.host.tick(0.25)
    assert stage.host.playback is not None


def test_what_nobody_has_foreseen_in_the_files_is_said_once_and_the_page_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, live=True)
    broken = iter([MemoryError("no room"), MemoryError("no room")])

    def refresh(self: WatchedRun, budget: int) -> bool:
        for error in broken:
            raise error
        self.version += 1
        return False

    monkeypatch.setattr(WatchedRun, "refresh", refresh)
    version = stage.host.run.version
    for _ in range(3):
        stage.host.tick(0.25)
    assert stage.host.run.notices == ["Something of this run cannot be read (MemoryError: no room)."]
    assert stage.host.run.version == version + 2, "the notice, and what is read again"


def test_playing_back_moves_with_the_wall_and_stops_at_the_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    host, run = stage.host, stage.host.run
    assert (stage.state, run.at) == ("ended", END)
    host.resume()
    host.set_speed(15 * 60.0)
    host.tick(1.0)
    assert (stage.state, run.at, run.messages) == ("running", BEGINS + timedelta(minutes=15), 31)
    host.pause()
    host.tick(1.0)
    assert (stage.state, run.at) == ("paused", BEGINS + timedelta(minutes=15))
    host.resume()
    host.tick(60.0)
    assert (stage.state, run.at) == ("ended", END)


def test_steps_and_the_slider_show_the_moment_that_they_say(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    host, run, player = stage.host, stage.host.run, stage.host.playback
    assert player is not None
    assert player.length_s == 59 * 60 + 10
    host.seek(0)
    assert (run.at, run.messages, player.position_s) == (BEGINS, 1, 0)
    host.step_message()
    assert (run.at, run.messages) == (BEGINS + timedelta(seconds=10), 2)
    host.step(timedelta(minutes=15))
    assert run.at == BEGINS + timedelta(minutes=15, seconds=10)
    host.seek(600)
    assert (run.at, player.position_s) == (BEGINS + timedelta(minutes=10), 600)
    host.seek(1e9)
    assert run.at == END
    host.step_message()
    assert (run.at, stage.state) == (END, "ended")


def test_an_empty_folder_is_played_back_without_a_fault(tmp_path: Path) -> None:
    host = Host(Settings(tmp_path, False, "127.0.0.1", 0, None, ""), lambda line: None)
    host.resume()
    host.step_message()
    host.step(timedelta(minutes=1))
    host.seek(3)
    host.tick(1.0)
    assert host.run.at is None
    assert host.playback is not None
    assert (host.playback.length_s, host.playback.position_s) == (0, 0)


def test_a_model_is_made_once_for_all(tmp_path: Path) -> None:
    class Model:
        def __init__(self, run: WatchedRun) -> None:
            self.run = run

    host = Stage(tmp_path).host
    assert host.model(Model) is host.model(Model)
    assert host.model(Model).run is host.run


@pytest.mark.parametrize(
    "line",
    ["", "nonsense", "[]", "{}", '{"folder": "x", "live": 1, "address": "a", "port": 0, "token": null, "title": ""}',
     '{"folder": "x", "live": true, "address": "a", "port": 70000, "token": null, "title": ""}',
     '{"folder": "x", "live": true, "address": "a", "port": 0, "token": "", "title": ""}'],
)  # fmt: skip
def test_settings_that_are_none_are_one_line(line: str) -> None:
    with pytest.raises(SettingsError, match=r"^settings: .*$"):
        Settings.read(line)


def test_the_process_says_where_it_is_and_ends_when_its_input_does(tmp_path: Path) -> None:
    with serving(hand_made_folder(tmp_path, minutes=3)) as served:
        assert set(served.first) == {"ready"}


def test_a_port_that_is_taken_and_a_folder_that_is_none_are_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = Served(tmp_path, port=port)
        said = f"cannot be served at 127.0.0.1:{port}: Address already in use; give another port"
        assert served.first == {"error": said}
        assert served.close() == 3
    served = Served(tmp_path / "none")
    assert served.first == {"error": f"{tmp_path / 'none'}: no such folder"}
    assert served.close() == 3
