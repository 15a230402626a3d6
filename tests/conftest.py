"""Days that several tests look at, each played once."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as run.py does
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chromium import chrome as chrome
from tests.days import ISLAND, Day, play

PROJECT = Path(__file__).resolve().parent.parent
# pytz, which pandas imports, calls what Python 3.12 deprecates.
STRICT = ("-W", "error", "-W", "ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")
COMMAND = (sys.executable, *STRICT, str(PROJECT / "run.py"))
DAY_S = 600.0
"""Wall seconds in which two days side by side are over on any machine."""


SLOWEST = ("test_denmark_shipped", "test_run", "traces", "test_portugal", "test_island_days", "test_greece")
"""Files whose days take longest; they are begun first, so that no worker waits for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side those of a file stay together, as they share what it has played; a recorded case
    is one by itself."""

    def place(item: pytest.Item) -> int:
        name = item.path.parent.name if item.path.parent.name == "traces" else item.path.stem
        return SLOWEST.index(name) if name in SLOWEST else len(SLOWEST)

    for item in items:
        case = getattr(item, "callspec", None)
        group = str(item.path.relative_to(PROJECT))
        if item.path.parent.name == "traces" and case is not None:
            group = f"{group}::{case.params.get('case', '')}"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=place)


def side_by_side(name: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Day]:
    """A shipped day as the user runs it, twice side by side, each with its own order of hashes."""
    folders = [tmp_path_factory.mktemp(name) / f"run-{number}" for number in (1, 2)]
    runs = [
        subprocess.Popen(
            [*COMMAND, name, "--out", str(folder)],
            cwd=folder.parent,
            env=os.environ | {"PYTHONHASHSEED": str(number), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, folder in enumerate(folders)
    ]
    for run, folder in zip(runs, folders, strict=True):
        shown, _ = run.communicate(timeout=DAY_S)
        assert run.returncode == 0, shown
        (folder.parent / "shown.txt").write_text(shown, encoding="utf-8")
    return Day(folders[0]), Day(folders[1])


@pytest.fixture(scope="session")
def slovenian_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Day]:
    """The Slovenian day, twice."""
    return side_by_side("slovenia", tmp_path_factory)


@pytest.fixture(scope="session")
def slovenia(slovenian_days: tuple[Day, Day]) -> Day:
    """The Slovenian day."""
    return slovenian_days[0]


@pytest.fixture(scope="session")
def portuguese_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Day]:
    """The Portuguese day, twice."""
    return side_by_side("portugal", tmp_path_factory)


@pytest.fixture(scope="session")
def portugal(portuguese_days: tuple[Day, Day]) -> Day:
    """The Portuguese day."""
    return portuguese_days[0]


@pytest.fixture(scope="session")
def danish_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Day]:
    """The Danish day, twice."""
    return side_by_side("denmark", tmp_path_factory)


@pytest.fixture(scope="session")
def denmark(danish_days: tuple[Day, Day]) -> Day:
    """The Danish day."""
    return danish_days[0]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The small evening, in process and in virtual time."""
    return play(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="session")
def islet(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The day on the small island, in process and in virtual time."""
    return play(tmp_path_factory.mktemp("islet") / "run", ISLAND)
