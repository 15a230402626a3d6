"""The command line: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from environment import casts, launcher, scenario
from environment.launcher import Done
from environment.options import Options
from protocols.dialogues import EXCHANGES
from protocols.trace import header_line
from run import main
from tests.conftest import COMMAND
from tests.days import SMALL, Day

PATIENCE_S = 90.0


def test_list_names_the_scenarios_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == scenario.available()
    assert any("Slovenia: market participation" in line for line in lines)


def test_list_goes_on_after_a_scenario_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.toml").write_text("[scenario", encoding="utf-8")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(scenario, "SCENARIOS", tmp_path)
    assert main(["list"]) == 3
    shown = capsys.readouterr()
    assert shown.out == "small        A small evening\n"
    assert shown.err.count("\n") == 1
    assert "broken.toml: is not TOML" in shown.err


def test_exchanges_lists_every_exchange_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchanges"]) == 0
    shown = capsys.readouterr().out
    for exchange in EXCHANGES.values():
        assert exchange.id in shown
        assert exchange.name in shown


@pytest.mark.parametrize("words", [["exchanges"], ["list"], ["accounts", "greece"]])
def test_who_reads_no_further_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("given", ["run", "run/trace.jsonl"])
def test_check_takes_a_run_folder_or_a_trace(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    assert main(["check", given]) == 1
    assert capsys.readouterr().out == "run/trace.jsonl: cannot be read: No such file or directory\n"
    Path("run/trace.jsonl").write_text(header_line("slovenia", 1, {}) + "\n", encoding="utf-8")
    assert main(["check", given]) == 0
    assert capsys.readouterr().out == "run/trace.jsonl: no faults\n"


def test_exchanges_as_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchanges", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for exchange in EXCHANGES:
        assert f'"{exchange}"' in json.dumps(found)


def test_accounts_makes_a_file_that_a_run_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounts", "slovenia", "--domain", "xmpp.example.org"]) == 0
    first = capsys.readouterr().out
    found = tomllib.loads(first)
    assert set(found) == set(casts.roles(scenario.load("slovenia"), "xmpp.example.org"))
    assert min(map(len, found.values())) >= 24
    main(["accounts", "slovenia", "--domain", "xmpp.example.org"])
    assert capsys.readouterr().out != first, "the passwords are new each time"


@pytest.mark.parametrize("words", [[], ["slovenia", "--days", "two"], ["check"], ["slovenia", "--colour"]])
def test_wrong_usage_is_told_with_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: run.py" in capsys.readouterr().err


def test_help_tells_of_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for word in ("--days", "--seed", "--speed", "--wire", "--server", "--out", "list", "check", "exchanges"):
        assert word in shown


def test_a_run_shows_where_its_server_is_and_closes_with_a_table_and_the_report(slovenia: Day) -> None:
    shown = (slovenia.folder.parent / "shown.txt").read_text(encoding="utf-8")
    assert "Slovenia: market participation" in shown.splitlines()[0]
    assert "XMPP server at 127.0.0.1:" in shown
    assert "minutes above 100 %" in shown
    assert "with flexibility" in shown
    assert f"{slovenia.summary['messages']} messages of 46 agents" in shown
    assert "the ledger adds up to 0.00 EUR" in shown
    assert shown.rstrip().endswith(f"Report: {slovenia.folder / 'report.html'}")


def test_the_options_of_the_command_line_reach_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out the folder is the next free one of runs/, and paths in a scenario start where its file is."""
    seen: list[tuple[scenario.Scenario, Options]] = []

    def launch(loaded: scenario.Scenario, options: Options, progress: object) -> Done:
        seen.append((loaded, options))
        return Done(options.out, {}, options.out / "report.html")

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.toml").write_text(SMALL, encoding="utf-8")
    words = ["mine/own.toml", "--days", "2", "--seed", "9", "--speed", "60", "--wire", "--port", "5299", "--quiet"]
    assert main([*words, "--ledger", "sqlite:///x.db", "--admit", "guests.toml"]) == 0
    words = ["slovenia", "--server", "h:5222", "--accounts", "a.toml", "--ca", "c.pem", "--out", "o", "--quiet"]
    assert main(words) == 0
    (own, first), (_, second) = seen
    assert (own.scenario.days, own.scenario.seed) == (2, 9)
    assert first == Options(
        out=Path("runs/own-1"),
        speed=60.0,
        wire=True,
        port=5299,
        admit=Path("guests.toml"),
        ledger_url="sqlite:///x.db",
        base=Path("mine"),
    )
    assert second == Options(
        out=Path("o"), server="h:5222", accounts=Path("a.toml"), ca=Path("c.pem"), base=scenario.SCENARIOS
    )


def test_the_options_of_watching_reach_the_run_and_its_page_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Options] = []
    stayed: list[str] = []

    class Page:
        url = "http://127.0.0.1:4711/"

        def stay(self) -> None:
            stayed.append(capsys.readouterr().out)

    def launch(loaded: scenario.Scenario, options: Options, progress: object) -> Done:
        seen.append(options)
        return Done(options.out, {}, options.out / "report.html", Page())  # type: ignore[arg-type]

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    words = ["slovenia", "--server", "h", "--watcher", "ann@h", "example.org", "--watcher", "bob@h", "--quiet"]
    assert main([*words, "--web", "4711", "--web-host", "0.0.0.0"]) == 0
    assert main(["slovenia", "--web", "--quiet"]) == 0
    assert main(["slovenia", "--quiet"]) == 0
    first, second, third = seen
    assert (first.web, first.web_host, first.watchers) == (4711, "0.0.0.0", ("ann@h", "example.org", "bob@h"))
    assert (second.web, second.web_host, second.speed, second.watchers) == (0, "127.0.0.1", None, ())
    assert third.web is None
    assert stayed == ["", "", ""]


def test_each_run_without_out_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(loaded: scenario.Scenario, options: Options, progress: object) -> Done:
        options.out.mkdir(parents=True)
        return Done(options.out, {}, options.out / "report.html")

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["slovenia", "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["slovenia-1", "slovenia-2"]


def test_an_error_of_the_program_is_one_line_and_its_details_are_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def launch(*_: object) -> Done:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(launcher, "launch", launch)
    assert main(["slovenia", "--quiet", "--out", str(tmp_path / "out")]) == 4
    shown = capsys.readouterr().err
    details = tmp_path / "out" / "error.txt"
    assert shown == f"run.py: an error of this program, ZeroDivisionError; details in {details}\n"
    assert "ZeroDivisionError: a bug" in details.read_text(encoding="utf-8")


def test_a_run_stopped_from_the_keyboard_keeps_what_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, a trace of whole lines that `check` reads, no password left behind, no traceback."""
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    out = tmp_path / "run"
    with subprocess.Popen(
        [*COMMAND, "small.toml", "--out", str(out), "--speed", "600"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job ignores it
    ) as running:
        assert running.stdout is not None
        try:
            shown = ""
            while "negotiating" not in shown:
                line = running.stdout.readline()
                assert line, "the run has ended"
                shown += line
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=PATIENCE_S)
        finally:
            running.kill()
    assert running.returncode == 130
    assert errors == "run.py: stopped; the run folder holds what was said so far\n"
    trace = (out / "trace.jsonl").read_text(encoding="utf-8")
    assert trace.endswith("\n")
    assert len(trace.splitlines()) > 20
    assert not (out / "server").exists()
    assert main(["check", str(out / "trace.jsonl")]) == 0, capsys.readouterr().out
