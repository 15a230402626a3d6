"""pyjabber makes a temporary directory whenever it is imported, for uploads that nobody here makes, and leaves it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pyjabber.plugins.xep_0363.upload_server import TEMP_DIR


def remove() -> None:
    """Removes that directory while it is empty, at once: a process that is killed leaves none either."""
    with suppress(OSError):
        Path(TEMP_DIR).rmdir()
