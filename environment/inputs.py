"""The files that a scenario names go with a run, so that its folder can be replayed, kept and sent to somebody."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from environment.out_folder import OutFolder, OutFolderError
from environment.scenario import Scenario


def copied(scenario: Scenario, base: Path, out: OutFolder) -> str:
    """Copies them into the run folder, and returns the scenario's text with the names that they have there. Where the
    scenario's text is not known, nothing is copied. Raises OutFolderError."""
    text = scenario.text
    for path in scenario.inputs if text else ():
        source, target = base / path, out.path / Path(path).name
        if target.exists() and not target.samefile(source):
            raise OutFolderError(f"{target} is there already, the scenario has such a file: give another --out")
        if not target.exists():
            out.add(target.name)
            try:
                shutil.copyfile(source, target)
            except OSError as error:
                raise OutFolderError(f"{source}: cannot be copied to {out.path}: {error.strerror}") from None
        text = _renamed(text, path, target.name)
    return text


def _renamed(text: str, path: str, name: str) -> str:
    named = re.compile(rf"""(?m)^(\s*\w+\s*=\s*)(["']){re.escape(path)}\2""")
    return named.sub(lambda found: f'{found[1]}"{name}"', text)
