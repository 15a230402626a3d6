"""`run.py keep`: a run becomes a case, a test vector that every later version of the agents is held against."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from environment.replay.command import EXPECTED, verdict
from environment.replay.point import POINT, read_point
from environment.replay.record import TOLERANCES, ReplayError, read_record
from environment.replay.stage import replay
from environment.run_folder import ACTS, SCENARIO, TRACE

CASES = Path(__file__).resolve().parent.parent.parent / "tests" / "traces"
USE_CASES = ("buc1", "buc2", "buc3", "buc4.1", "buc4.2", "buc5", "buc6", "buc7")
README = "README.md"
_WORDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Keeps a run as a case in tests/traces. A case that is there already is replayed first, and what the agents of "
        "today do otherwise is shown; only --rewrite puts the run in its place. Exit code 0: kept; 1: a case that is "
        "there and was left as it is; 3: a run that cannot be kept, or that has not what the case is for."
    )
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="the folder of a run")
    parser.add_argument("case", metavar="CASE", help="use case and case in words: buc6/the-driver-declines")
    parser.add_argument(
        "--text", metavar="TEXT", help="what happens, and of which paragraph of D5.1; new cases need it"
    )
    parser.add_argument("--rewrite", action="store_true", help="replace the case that is there")
    parser.add_argument("--cases", type=Path, default=CASES, metavar="DIR", help="the folder of all cases")


def keep_command(options: argparse.Namespace) -> int:
    """Keeps the run, or says why not; returns the exit code."""
    try:
        folder = folder_of(options.cases, options.case)
        record = read_record(options.run)
        if folder.exists():
            print(f"{options.case} as it is, with the agents of today:")
            for line in _as_it_is(folder):
                print(line)
            if not options.rewrite:
                print(f"run.py: {options.case} is there and stays as it is; --rewrite puts {options.run} in its place")
                return 1
            if missed := read_point(folder).missed(record):
                raise ReplayError("\n".join(f"{options.run} is not {options.case} any more: {line}" for line in missed))
        elif options.text is None:
            raise ReplayError(
                f"{options.case}: a new case needs --text: what happens, and of which paragraph of D5.1 it is"
            )
        keep(record.folder, record.scenario.inputs, folder, options.text)
    except EXPECTED as error:
        for line in str(error).splitlines():
            print(f"run.py: {line}", file=sys.stderr)
        return 3
    kilobytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1000
    print(f"{folder}: {len(record.entries)} messages, {len(record.acts)} acts, {kilobytes:.0f} kB")
    return 0


def folder_of(cases: Path, case: str) -> Path:
    """Where the case of that name is kept. Raises ReplayError for a name that is none."""
    use_case, _, words = case.partition("/")
    if use_case not in USE_CASES or not _WORDS.fullmatch(words):
        raise ReplayError(
            f"{case}: is no name of a case; give a use case ({', '.join(USE_CASES)}), a slash, and the case in small "
            "words with hyphens: buc6/the-driver-declines"
        )
    return cases / use_case / words


def keep(run: Path, inputs: tuple[str, ...], folder: Path, text: str | None) -> None:
    """Writes the case: what the run was made of and what was said and done. What README, point and tolerances say
    stays, but for the README where there is a new `text`. Raises ReplayError."""
    if folder.exists() and folder.samefile(run):
        raise ReplayError(f"{run}: is the case itself; give the folder of a run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.is_file() and old.name not in (README, POINT, TOLERANCES):
                old.unlink()
        for name in (SCENARIO, TRACE, ACTS, *inputs):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, folder / name)
        if text is not None:
            title = folder.name.replace("-", " ")
            (folder / README).write_text(f"# {title[0].upper()}{title[1:]}\n\n{text.strip()}\n", encoding="utf-8")
    except OSError as error:
        raise ReplayError(f"{error.filename or folder}: cannot be copied: {error.strerror}") from None


def _as_it_is(folder: Path) -> list[str]:
    """What the agents of today make of a case; where it cannot be read any more, why."""
    try:
        record = read_record(folder)
        played = frozenset(record.header.roles)
        return verdict(record, played, replay(record, played))
    except EXPECTED as error:
        return str(error).splitlines()
