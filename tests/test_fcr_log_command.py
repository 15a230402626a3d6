"""`run.py fcr-log`: where it writes, what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.fcr_log import LOG_FOLDER
from protocols.exchanges.vocabulary import FcrProduct
from run import main
from tests.environment.test_fcr_export import logged


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds a run with the logs of two resources."""
    monkeypatch.chdir(tmp_path)
    logged(Path("day"))
    logged(Path("day"), FcrProduct.FCR_D_UP, "RISOE-POOL")


def test_each_file_is_named_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fcr-log", "day"]) == 0
    shown = capsys.readouterr()
    names = shown.out.splitlines()
    assert len(names) == 2
    assert all(Path(name).is_file() and Path(name).parent == Path("day/fcr-log-files") for name in names)
    assert shown.err == ""


def test_resource_time_and_place_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--resource", "RISOE-POOL", "--from", "2026-01-13T23:00:30+01:00", "--to", "2026-01-13T22:00:40"]
    assert main(["fcr-log", "day", *words, "--out", "files"]) == 0
    (name,) = capsys.readouterr().out.splitlines()
    assert name == str(Path("files/RISOE-POOL_FcrdUp_Operation_DK2_UTC_20260113T2200-20260113T2200_1s.csv"))
    assert len(Path(name).read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["empty"], "empty: has no log of frequency control (fcr-log/)"),
        (["day", "--resource", "RISOE-POLE"], "no log of 'RISOE-POLE'; did you mean RISOE-POOL?"),
        (["day", "--resource", "x"], "no log of 'x'; there is BORNHOLM-POOL, RISOE-POOL"),
        (["day", "--from", "yesterday"], "--from is 'yesterday', not a time such as"),
        (["day", "--to", "2026-13-01"], "--to is '2026-13-01', not a time such as"),
        (["day", "--from", "2026-01-13T23:00", "--to", "2026-01-13T22:00"], "is not after --from"),
        (
            ["day", "--from", "2027-01-01"],
            "nothing was logged in this time; the log has BORNHOLM-POOL 2026-01-13T22:00",
        ),
        (["day", "--out", "file"], "file: cannot be written: "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_3(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("file").write_text("kept", encoding="utf-8")
    before = sorted(Path().rglob("*"))
    assert main(["fcr-log", *words]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert says in shown.err
    assert sorted(Path().rglob("*")) == before
    assert Path("file").read_text(encoding="utf-8") == "kept"


def test_a_log_that_cannot_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    (log, _) = sorted((Path("day") / LOG_FOLDER).iterdir())
    log.unlink()
    log.mkdir()
    assert main(["fcr-log", "day"]) == 3
    assert capsys.readouterr().err == f"run.py: {log}: cannot be read: Is a directory\n"


def test_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fcr-log", "--help"])
    assert stop.value.code == 0
    assert "--resource" in capsys.readouterr().out
