"""The run folder while it is written: claimed before anything starts, put back as it was where nothing was said."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from environment.run_folder import ACTS, LEDGER, LIVE_ROWS, NETWORK, REPORT, SCENARIO, SERIES, SUMMARY, TRACE

SERVER = "server"
"""In the run folder while the run lasts: the embedded server's certificate authority, accounts and log."""
SERVER_ERRORS = "server-errors.txt"
ACCESS = f"{SERVER}/access.json"
"""Where the server is, for `run.py observe`: host, port, domain, the file of its authority, and the run's process."""
_FILES = (SCENARIO, TRACE, ACTS, LEDGER, SERIES, SUMMARY, REPORT, NETWORK, LIVE_ROWS)


def is_going_on(folder: Path) -> bool:
    """Whether a run still writes there; a process that was killed has left its word behind, and is gone."""
    try:
        process = json.loads((folder / ACCESS).read_text(encoding="utf-8")).get("process")
    except (OSError, ValueError, AttributeError):
        return False
    if os.name != "posix" or not isinstance(process, int):
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's, and alive
    return True


class OutFolderError(RuntimeError):
    """A folder that a run cannot be written to, in one line."""


class OutFolder:
    """`with OutFolder(path) as out:` claims a folder for one run. Raises OutFolderError, and touches nothing then.

    A run that fails before `began()` takes away what it has made, so that the same command, mended, runs in the same
    folder; afterwards everything stays but the server's files, which hold passwords. A server that left word of what
    it died of keeps them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._is_new = False
        self._began = False
        self._files: tuple[str, ...] = _FILES

    def add(self, *names: str) -> None:
        """These files are the run's as well."""
        self._files = (*self._files, *names)

    def began(self) -> None:
        """Something has been said that is worth keeping."""
        self._began = True

    def __enter__(self) -> Self:
        for name in _FILES:
            if (self.path / name).exists():
                raise OutFolderError(f"{self.path} holds a run already ({name}): give another --out, or move it away")
        try:
            self._is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise OutFolderError(f"{self.path} cannot be written: {error.strerror}; give another --out") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        died_of = self.path / SERVER / SERVER_ERRORS
        if kind is None or not died_of.exists() or died_of.stat().st_size == 0:
            shutil.rmtree(self.path / SERVER, ignore_errors=True)
        if kind is None or self._began:
            return
        for name in self._files:
            for beside in ("", "-wal", "-shm", "-journal"):
                (self.path / f"{name}{beside}").unlink(missing_ok=True)
        if self._is_new and not any(self.path.iterdir()):
            self.path.rmdir()
