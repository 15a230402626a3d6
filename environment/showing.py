"""`run.py show RUN_FOLDER`: the page of a run on the folder that the run has left, or is still writing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from environment.options import LOOPBACK, OptionsError, page_faults
from environment.out_folder import is_going_on
from environment.page_process import PageError, PageProcess
from environment.run_folder import TRACE, RunFolderError
from protocols.trace import Header, TraceError, read_header

_HEADER = 10_000_000
"""Bytes of a trace's first line, which names every agent."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "Opens the page of a run on its folder, and plays the run back."
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="the folder of a run")
    parser.add_argument("--web", type=int, default=0, metavar="PORT", help="the page's port (default: a free one)")
    parser.add_argument(
        "--web-host", default=LOOPBACK, metavar="ADDRESS", help="where it is served (default: loopback)"
    )


def show(options: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C. Returns the exit code."""
    folder: Path = options.run
    try:
        if faults := list(page_faults(options.web, options.web_host)):
            raise OptionsError("\n".join(faults))
        header = header_of(folder)
        with PageProcess(
            folder,
            live=is_going_on(folder),
            address=options.web_host,
            port=options.web,
            title=f"{header.scenario}, seed {header.seed}",
            tell=_tell,
        ) as page:
            page.wait_ready()
            print(f"{folder} on a page at {page.url} until Ctrl-C.", flush=True)
            page.stay()
    except KeyboardInterrupt:
        return 0
    except (OptionsError, RunFolderError, PageError) as error:
        for line in str(error).splitlines():
            _tell(line)
        return 3
    return 0


def header_of(folder: Path) -> Header:
    """The header of the trace in a run's folder. Raises RunFolderError for a folder that is none."""
    path = folder / TRACE
    try:
        with path.open("rb") as file:
            line = file.readline(_HEADER)
        return read_header(line.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        why = "there is no such folder" if not folder.exists() else f"it is no run's folder: it has no {TRACE}"
        raise RunFolderError(f"{folder}: {why}; give a folder that run.py has written") from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read: {error.strerror}") from None
    except (TraceError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path}: {error}") from None


def _tell(line: str) -> None:
    print(f"run.py: {line}", file=sys.stderr)
