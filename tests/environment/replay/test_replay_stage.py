"""A small evening replayed: all agents, each role, a decision that has changed, and what the command says of it."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from agents.decisions.bidding import Strategy
from environment import world
from environment.replay import keeping
from environment.replay.command import played_by
from environment.replay.conductor import counted
from environment.replay.keeping import README
from environment.replay.point import POINT
from environment.replay.record import Record, ReplayError, read_record
from environment.replay.stage import replay
from environment.run_folder import ACTS, SCENARIO, TRACE
from run import main
from tests.days import FastPhysics, changed, play

SILENT = """
[[fault]]
kind = "agent-silent"
target = "vpp2"
start = "17:45"
end = "20:15"
"""
EVENING = changed(("seed = 4", "seed = 4\nhours = 12")) + SILENT


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder; `vpp2` is silent for a while."""
    return play(tmp_path_factory.mktemp("evening") / "run", EVENING).folder


@pytest.fixture(scope="module")
def record(evening: Path) -> Record:
    return read_record(evening)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network as it was solved for the record."""
    monkeypatch.setattr(world, "PhysicalGrid", FastPhysics)


@pytest.fixture
def dearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual power plants ask for a cent more than they did."""
    price = Strategy.price
    monkeypatch.setattr(Strategy, "price", lambda self, marginal: price(self, marginal) + Decimal("0.01"))


def test_all_together_do_as_recorded(record: Record) -> None:
    played = played_by(record, None)
    conductor = replay(record, played)
    assert conductor.differences == []
    count = counted(record, played)
    assert (conductor.messages, conductor.acts) == (len(record.entries), len(record.acts))
    assert min(count.values()) > 0


@pytest.mark.parametrize("role", ["vpp", "cpo", "dso", "fmo", "ev_owner", "directory", "environment"])
def test_each_role_alone_does_as_recorded(record: Record, role: str) -> None:
    played = played_by(record, [role])
    conductor = replay(record, played)
    assert conductor.differences == []
    assert conductor.messages == counted(record, played)["messages"] > 0


def test_several_roles_can_be_played(record: Record) -> None:
    assert played_by(record, ["vpp", "fmo"]) == {"vpp1@localhost", "vpp2@localhost", "fmo@localhost"}
    with pytest.raises(ReplayError, match=r"^--role king: nobody plays it in this record; there are cpo, directory, "):
        played_by(record, ["king"])


@pytest.mark.usefixtures("dearer")
def test_a_decision_that_has_changed_is_shown_by_message_and_field(
    evening: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(evening), "--role", "vpp"]) == 1
    *found, verdict = capsys.readouterr().out.splitlines()
    prices = [line for line in found if ": price_eur_per_kw: expected " in line]
    assert prices
    bids = {entry.line: entry.message for entry in record.entries}
    for line in prices:
        message = bids[int(line.removeprefix("trace line ").partition(":")[0])]
        assert f" {message.sender.partition('@')[0]} to " in line
        expected, got = line.rpartition("expected ")[2].split(", got ")
        assert Decimal(got) - Decimal(expected) >= Decimal("0.01")
    assert verdict.startswith("2 agents, ")
    assert verdict.endswith(" differences")


def test_the_others_are_not_blamed_for_it(record: Record, dearer: None) -> None:
    played = played_by(record, ["vpp", "fmo"])
    blamed = {difference.what.partition(" ")[0].rstrip(",") for difference in replay(record, played).differences}
    assert blamed <= {"vpp1", "vpp2"}
    assert blamed


def test_an_agent_with_an_error_is_a_difference_and_the_others_go_on(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(strategy: Strategy, marginal: float) -> Decimal:
        raise RuntimeError("no price")

    monkeypatch.setattr(Strategy, "price", fails)
    found = [str(difference) for difference in replay(record, played_by(record, ["vpp", "fmo"])).differences]
    errors = [line for line in found if "RuntimeError" in line]
    assert errors[0].startswith("2026-03-18 13:00:00 an error in vpp")
    assert errors[0].endswith(": RuntimeError: no price")
    assert any("vpp1 to fmo, propose 1.1.1" in line for line in found)
    assert not any(" fmo to " in line for line in found)


def test_the_command_says_what_was_as_recorded(evening: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(evening / TRACE), "--role", "fmo"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1 agent, ")
    assert line.endswith(": as recorded")


def test_the_command_says_what_cannot_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"run.py: {tmp_path / TRACE}: cannot be read: ")


def test_a_silent_agent_neither_hears_nor_says_anything(record: Record) -> None:
    said = [entry for entry in record.entries if entry.message.sender == "vpp2@localhost"]
    asked = [entry for entry in record.entries if entry.message.receiver == "vpp2@localhost"]
    silent = [e for e in asked if "17:45" <= f"{e.at:%H:%M}" < "20:15"]
    assert any(entry.message.performative == "cfp" for entry in silent)
    assert not [entry for entry in said if "17:45" <= f"{entry.at:%H:%M}" < "20:15"]
    assert [entry for entry in said if f"{entry.at:%H:%M}" < "17:45"]
    heard = {entry.message.reply_with for entry in silent}
    assert not heard & {entry.message.in_reply_to for entry in said}


# ---- keep


def keep(run: Path, cases: Path, *words: str) -> int:
    return main(["keep", str(run), "buc6/the-silent-one", "--cases", str(cases), *words])


def test_a_run_becomes_a_case(evening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keep(evening, tmp_path, "--text", "vpp2 is silent (D5.1 3.6).") == 0
    folder = tmp_path / "buc6" / "the-silent-one"
    assert {path.name for path in folder.iterdir()} == {README, SCENARIO, TRACE, ACTS}
    assert (folder / README).read_text(encoding="utf-8") == "# The silent one\n\nvpp2 is silent (D5.1 3.6).\n"
    assert (folder / TRACE).read_bytes() == (evening / TRACE).read_bytes()
    assert capsys.readouterr().out.startswith(f"{folder}: ")


def test_the_files_of_a_scenario_are_kept_with_it_and_those_of_the_run_before_are_not(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "buc3" / "the-case"
    run.mkdir()
    for name in (SCENARIO, TRACE, ACTS, "sessions.csv", "frequency.csv"):
        (run / name).write_text(f"of {name}\n", encoding="utf-8")
    keeping.keep(run, ("sessions.csv", "frequency.csv"), folder, "Of two files.")
    (folder / POINT).write_text("", encoding="utf-8")
    (run / "sessions.csv").write_text("others\n", encoding="utf-8")
    keeping.keep(run, ("sessions.csv",), folder, None)
    assert {path.name for path in folder.iterdir()} == {README, POINT, SCENARIO, TRACE, ACTS, "sessions.csv"}
    assert (folder / "sessions.csv").read_text(encoding="utf-8") == "others\n"
    with pytest.raises(ReplayError, match="is the case itself"):
        keeping.keep(folder, ("sessions.csv",), folder, None)
    assert (folder / TRACE).exists()
    (run / TRACE).unlink()
    with pytest.raises(ReplayError, match=r"trace\.jsonl: cannot be copied: No such file"):
        keeping.keep(run, (), tmp_path / "buc3" / "another", "None.")


def test_a_new_case_needs_a_text_and_a_name(evening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keep(evening, tmp_path) == 3
    assert capsys.readouterr().err.startswith("run.py: buc6/the-silent-one: a new case needs --text")
    for name in ("buc8/x", "buc6", "buc6/", "buc6/The one", "buc6/../../x", "buc6/-x"):
        assert main(["keep", str(evening), name, "--cases", str(tmp_path), "--text", "x"]) == 3
        assert capsys.readouterr().err.startswith(f"run.py: {name}: is no name of a case; ")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_read_is_not_kept(
    evening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(evening, run)
    (run / ACTS).unlink()
    assert keep(run, tmp_path / "cases", "--text", "x") == 3
    assert capsys.readouterr().err.startswith(f"run.py: {run / ACTS}: cannot be read: ")
    assert not (tmp_path / "cases").exists()


@pytest.mark.usefixtures("dearer")
def test_a_case_that_is_there_is_shown_before_it_is_written_anew(
    evening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(evening, tmp_path, "--text", "Once.") == 0
    folder = tmp_path / "buc6" / "the-silent-one"
    (folder / "tolerances.toml").write_text("time_s = 0.5\n", encoding="utf-8")
    again = tmp_path / "again"
    shutil.copytree(evening, again)
    with (again / SCENARIO).open("a", encoding="utf-8") as file:
        file.write("# once more\n")
    capsys.readouterr()
    assert keep(again, tmp_path) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "buc6/the-silent-one as it is, with the agents of today:"
    assert any(": price_eur_per_kw: expected " in line for line in shown)
    assert shown[-1].startswith("run.py: buc6/the-silent-one is there and stays as it is; ")
    assert (folder / SCENARIO).read_bytes() == (evening / SCENARIO).read_bytes()
    (folder / POINT).write_text('[[said]]\nexchange = "1.2.1"\nat_least = 0\nat_most = 0\n', encoding="utf-8")
    assert keep(again, tmp_path, "--rewrite") == 3
    assert capsys.readouterr().err.startswith(f"run.py: {again} is not buc6/the-silent-one any more: ")
    assert (folder / SCENARIO).read_bytes() == (evening / SCENARIO).read_bytes()
    (folder / POINT).write_text('[[said]]\nexchange = "1.2.1"\n', encoding="utf-8")
    assert keep(again, tmp_path, "--rewrite") == 0
    assert any(": price_eur_per_kw: expected " in line for line in capsys.readouterr().out.splitlines())
    assert (folder / SCENARIO).read_bytes() == (again / SCENARIO).read_bytes() != (evening / SCENARIO).read_bytes()
    assert (folder / README).read_text(encoding="utf-8").endswith("\n\nOnce.\n")
    assert (folder / "tolerances.toml").exists()
    assert (folder / POINT).exists()


def test_a_case_that_cannot_be_read_any_more_can_be_written_anew(
    evening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(evening, tmp_path, "--text", "Once.") == 0
    (tmp_path / "buc6" / "the-silent-one" / TRACE).write_text("", encoding="utf-8")
    assert keep(evening, tmp_path) == 1
    assert "trace.jsonl:1: is missing: the file is empty" in capsys.readouterr().out
    assert keep(evening, tmp_path, "--rewrite") == 0
    assert read_record(tmp_path / "buc6" / "the-silent-one").entries
