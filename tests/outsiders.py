"""The examples of `examples/` beside a run: other programs, which know nothing of this one but what is documented."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PASSWORD = "what only the two of us know"
INSTALLING_S = 300.0


def python_vpp(folder: Path) -> list[str]:
    """The command of the VPP in Python."""
    return [sys.executable, str(EXAMPLES / "vpp_slixmpp.py")]


def javascript_vpp(folder: Path) -> list[str]:
    """The command of the VPP in JavaScript, whose packages are installed into `folder`. Without node and npm the test
    is skipped, and fails where all tests must run."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        why = "node and npm are not installed (apt-get install nodejs npm)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    here = folder / "vpp-javascript"
    shutil.copytree(EXAMPLES / "vpp-javascript", here, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=INSTALLING_S, check=False)
    assert done.returncode == 0, done.stderr
    return ["node", str(here / "vpp.mjs")]


@dataclass
class Outsiders:
    """Listens to a run as its progress does, and starts each command of `commands` (by JID) when the run waits for it.

    `on_minute` is called with each minute of the run. Leave the block, and all are gone; what they said is in `said`.
    """

    folder: Path
    commands: Mapping[str, Sequence[str]]
    on_minute: Callable[[datetime], None] = lambda at: None
    stages: list[str] = field(default_factory=list)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Outsiders:
        return self

    def __exit__(self, *_: object) -> None:
        for jid in self.running:
            self.end(jid)

    def end(self, jid: str) -> None:
        """Kills one, as a machine that fails does."""
        self.running[jid].kill()
        self.running[jid].wait()

    def said(self, jid: str) -> str:
        """What one wrote, errors included."""
        return self._log(jid).read_text(encoding="utf-8")

    def _log(self, jid: str) -> Path:
        return self.folder.parent / f"{jid.partition('@')[0]}.txt"

    def stage(self, text: str) -> None:
        self.stages.append(text)
        if text.startswith("waiting for"):
            ca = str(self.folder / "server" / "ca.pem")
            for jid, command in self.commands.items():
                words = [*command, "--run", str(self.folder), "--jid", jid, "--password", PASSWORD]
                with self._log(jid).open("wb") as log:
                    self.running[jid] = subprocess.Popen(
                        [*words, "--price", "0.02", "--share", "0.3"],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=os.environ | {"NODE_EXTRA_CA_CERTS": ca},
                    )

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        self.on_minute(at)

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

    def serving(self, address: str) -> None: ...

    def watching(self, address: str) -> None: ...

    def chatting(self, observer: str) -> None: ...

    def say(self, line: str) -> None: ...
