"""`report.html`: a run that a person would rather look at than read.

    from environment import report
    report.build(folder)

The page is built from the run folder's files alone (`trace.jsonl`, `ledger.sqlite`, `series.parquet`,
`summary.json`), so that it can be built again at any time; the same files give the same page.
"""

from __future__ import annotations

from pathlib import Path


def build(folder: Path) -> Path:
    """Write `report.html` into the run folder and return its path.

    Raises RunFolderError or SeriesError, one line that names the file, when one of the inputs cannot be read.
    """
    from environment.report.page import render  # matplotlib takes its time: only who builds a page waits for it
    from environment.run_folder import REPORT

    path = folder / REPORT
    path.write_text(render(folder), encoding="utf-8")
    return path
