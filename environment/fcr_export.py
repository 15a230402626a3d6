"""The log of frequency control in the file that the TSO is given on request, `run.py fcr-log`.

Technical Requirements for FCR Provision in the Nordic Synchronous Area v1.1, 6.2 and Table 18 ("Operation"); names and
format of the file as the Test Program has them, 11.1: ASCII, comma, decimal point, CRLF. Powers are in MW injected,
negative absorbed: what this project draws has the other sign here, and an upward activation is above zero. Seconds that
were not logged have no line, and neither have those of a test: its frequency was applied and is not the grid's, and the
TSO has its records (7.x.1).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import floor
from pathlib import Path
from typing import Final

from agents.fcr_log import LOG_FOLDER, FcrLog, LoggedSecond, log_of
from protocols.exchanges.vocabulary import FcrProduct

OUT_FOLDER: Final = "fcr-log-files"
"""Where in a run folder the files are written unless somebody says otherwise."""
SERVICES: Final = {FcrProduct.FCR_N: "Fcrn", FcrProduct.FCR_D_UP: "FcrdUp", FcrProduct.FCR_D_DOWN: "FcrdDo"}
"""The Nordic products as the rules call them in names of files and columns."""
_EVER: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_OF_EACH: Final = ("Cap", "ContStatus", "RegStr", "Activated", "ResSize", "NEM_MW", "NEM", "AEM")


def _columns() -> tuple[str, ...]:
    by_kind = {kind: [f"{kind}_{service}" for service in SERVICES.values()] for kind in _OF_EACH}
    return (
        *("InsAcPow", "GridFreq", "CalcBaseline"),
        *(name for kind in ("Cap", "ContStatus", "RegStr") for name in by_kind[kind]),
        *("Pmin", "Pmax"),
        *(name for kind in ("Activated", "ResSize", "NEM_MW", "NEM", "AEM") for name in by_kind[kind]),
        "SOC",
    )


COLUMNS: Final = _columns()
"""The records of Table 18 that operation has to be logged with, in its order, and the state of charge."""


class ExportError(ValueError):
    """Files that cannot be made, in one line."""


def file_name(log: FcrLog, first: datetime, last: datetime) -> str:
    """Test program 11.1; `first` and `last` are the first and the last second in the file. An underscore in the
    resource would be taken for the next part of the name, so it is a hyphen here."""
    interval = f"{first.astimezone(UTC):%Y%m%dT%H%M}-{last.astimezone(UTC):%Y%m%dT%H%M}"
    resource = log.resource.replace("_", "-")
    return f"{resource}_{SERVICES[log.product]}_Operation_{log.area}_UTC_{interval}_1s.csv"


def lines(product: FcrProduct, seconds: Sequence[LoggedSecond]) -> Iterator[str]:
    """The header and one line for each second, with their CRLF. What does not apply is left blank."""
    yield ",".join(("DateTime", *COLUMNS)) + "\r\n"
    service = SERVICES[product]
    for second in seconds:
        at = second.at.astimezone(UTC)
        records = _records(second, service)
        values = (records.get(column, "") for column in COLUMNS)
        yield f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d},{','.join(values)}\r\n"


def _records(second: LoggedSecond, service: str) -> dict[str, str]:
    found = {
        "InsAcPow": _mw(-second.power_kw),
        "GridFreq": f"{second.hz:.4f}",
        "CalcBaseline": _mw(-second.baseline_kw),
        "Pmin": _mw(-second.p_max_kw),
        "Pmax": _mw(-second.p_min_kw),
        f"Cap_{service}": _mw(second.capacity_kw),
        f"ContStatus_{service}": f"{second.status_on:d}",
        f"RegStr_{service}": _mw(second.regulating_kw_per_hz),
        f"Activated_{service}": _mw(-second.activated_kw),
        f"NEM_MW_{service}": _mw(-second.nem_kw),
        f"NEM_{service}": f"{second.nem_on:d}",
        f"AEM_{service}": f"{second.aem_on:d}",
    }
    if second.endurance_minutes is not None:
        found[f"ResSize_{service}"] = f"{second.endurance_minutes:.3f}"
    if second.soc_percent is not None:
        found["SOC"] = f"{second.soc_percent:.3f}"
    return found


def _mw(kw: float) -> str:
    """kW as MW, to the watt; nothing is written as -0."""
    text = f"{kw / 1000:.6f}"
    return "0.000000" if text == "-0.000000" else text


def logs_in(folder: Path) -> list[FcrLog]:
    """The logs of a run folder, or of a folder that holds them itself. Raises ExportError where there is none."""
    if not folder.is_dir():
        raise ExportError(f"{folder}: there is no such folder; give that of a run")
    for place in (folder / LOG_FOLDER, folder):
        if place.is_dir():
            names = {name[:3] for path in place.iterdir() if (name := log_of(path)) is not None}
            if names:
                return [FcrLog(place, resource, product, area) for resource, product, area in sorted(names)]
    raise ExportError(f"{folder}: has no log of frequency control ({LOG_FOLDER}/); nobody provided it in this run")


def instant(option: str, text: str) -> datetime:
    """A time of the command line; without an offset it is UTC, as the log. Raises ExportError."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ExportError(f"{option} is {text!r}, not a time such as 2026-01-13T22:00 (UTC)") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def export(
    folder: Path,
    *,
    resource: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    out: Path | None = None,
    notice: Callable[[str], None],
) -> list[Path]:
    """Writes a file for each log of the run (of `resource` alone) from `start` to before `end`; returns them.

    `notice` hears of lines that were torn, of seconds that are not in the log or of a test, and of a product without a
    format.
    Raises ExportError; then nothing has been written that was not whole.
    """
    logs = _chosen(logs_in(folder), resource)
    if start is not None and end is not None and end <= start:
        raise ExportError(f"--to {end.isoformat()} is not after --from {start.isoformat()}")
    target = out or folder / OUT_FOLDER
    written: list[Path] = []
    for log in logs:
        if log.product not in SERVICES:
            notice(f"{log.resource}: {log.product} is no Nordic product, and has no format in these rules")
            continue
        try:
            read = log.read(start or _EVER[0], end or _EVER[1])
        except OSError as error:
            raise _unreadable(log, error) from None
        for line in log.notices:
            notice(line)
        seconds = tuple(second for second in read if not second.testing)
        if tested := len(read) - len(seconds):
            notice(f"{log.resource}: {tested} seconds of tests are no operation, and left out")
        if not seconds:
            continue
        first, last = seconds[0].at, seconds[-1].at
        # What is left out here was logged.
        if missing := _whole_seconds(first, last) - sum(first <= second.at <= last for second in read):
            notice(f"{log.resource}: {missing} seconds of this time were not logged")
        written.append(_write(target / file_name(log, first, last), lines(log.product, seconds)))
    if not written:
        raise ExportError(f"{folder}: nothing was logged in this time; the log has {_held(logs)}")
    return written


def _whole_seconds(first: datetime, last: datetime) -> int:
    """How many seconds a log has from the second of `first` to that of `last` if none is missing."""
    return floor(last.timestamp()) - floor(first.timestamp()) + 1


def _held(logs: Sequence[FcrLog]) -> str:
    """From when to when there is anything in these logs of products with a format."""
    spans: list[str] = []
    for log in logs:
        try:
            span = log.span() if log.product in SERVICES else None
        except OSError as error:
            raise _unreadable(log, error) from None
        if span is not None:
            spans.append(f"{log.resource} {span[0].isoformat()} to {span[1].isoformat()}")
    return "; ".join(spans) or "no second at all"


def _unreadable(log: FcrLog, error: OSError) -> ExportError:
    return ExportError(f"{error.filename or log.folder}: cannot be read: {error.strerror}")


def _chosen(logs: list[FcrLog], resource: str | None) -> list[FcrLog]:
    found = [log for log in logs if resource in (None, log.resource)]
    if not found:
        names = sorted({log.resource for log in logs})
        near = difflib.get_close_matches(str(resource), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
        raise ExportError(f"there is no log of {resource!r}; {hint}")
    return found


def _write(path: Path, text: Iterator[str]) -> Path:
    """The whole file or none."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="ascii", newline="") as file:
            file.writelines(text)
        os.replace(part, path)
    except OSError as error:
        raise ExportError(f"{path.parent}: cannot be written: {error.strerror}; give another --out") from None
    return path
