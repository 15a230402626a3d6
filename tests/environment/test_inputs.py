"""The files that a scenario names stand beside it in the run folder, under names that it knows them by there."""

from __future__ import annotations

from pathlib import Path

import pytest

from environment import scenario
from environment.inputs import copied
from environment.out_folder import OutFolder, OutFolderError
from tests.days import SMALL, changed

NAMED = changed(("[drivers]\n", "[drivers]\nsessions_csv = 'of/last week.csv' # theirs\n"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the scenario is, and its sessions."""
    (tmp_path / "here" / "of").mkdir(parents=True)
    (tmp_path / "here" / "of" / "last week.csv").write_text("charger_id\n", encoding="utf-8")
    return tmp_path / "here"


def test_a_file_is_copied_and_the_scenario_names_its_copy(base: Path, tmp_path: Path) -> None:
    loaded = scenario.parse(NAMED, "my.toml")
    assert loaded.inputs == ("of/last week.csv",)
    with OutFolder(tmp_path / "run") as out:
        text = copied(loaded, base, out)
    again = scenario.parse(text, "scenario.toml")
    assert again.inputs == ("last week.csv",)
    assert again.drivers == loaded.drivers.model_copy(update={"sessions_csv": "last week.csv"})
    assert "# theirs\n" in text


def test_without_such_files_the_text_is_as_it_was(base: Path, tmp_path: Path) -> None:
    with OutFolder(tmp_path / "run") as out:
        assert copied(scenario.parse(SMALL, "my.toml"), base, out) == SMALL
        assert list(out.path.iterdir()) == []


def test_the_copy_goes_with_a_run_that_never_began_and_the_users_own_file_stays(base: Path, tmp_path: Path) -> None:
    loaded = scenario.parse(NAMED, "my.toml")

    def fails(folder: Path, start: Path) -> None:
        with OutFolder(folder) as out:
            copied(loaded, start, out)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails(tmp_path / "run", base)
    assert not (tmp_path / "run").exists()
    with pytest.raises(RuntimeError):
        fails(base / "of", base)
    assert (base / "of" / "last week.csv").exists()


def test_another_file_of_that_name_is_not_written_over(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last week.csv").write_text("mine\n", encoding="utf-8")
    with pytest.raises(OutFolderError, match="is there already"), OutFolder(run) as out:
        copied(scenario.parse(NAMED, "my.toml"), base, out)
    assert (run / "last week.csv").read_text(encoding="utf-8") == "mine\n"


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutFolderError, match=r"last week\.csv: cannot be copied to "), OutFolder(tmp_path / "r") as out:
        copied(scenario.parse(NAMED, "my.toml"), tmp_path, out)


@pytest.mark.parametrize(
    ("name", "table", "key"),
    [("denmark", "area", "frequency_csv"), ("greece", "dso", "signals_json"), ("portugal", "drivers", "sessions_csv")],
)
def test_every_kind_of_scenario_says_what_it_names(name: str, table: str, key: str) -> None:
    loaded = scenario.load(name)
    assert loaded.inputs == ()
    part = getattr(loaded, table).model_copy(update={key: "a.file"})
    assert loaded.model_copy(update={table: part}).inputs == ("a.file",)
