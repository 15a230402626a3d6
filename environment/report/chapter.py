"""What a page is put together from: a headline, tiles, and chapters, each with its own template.

A demonstrator is a module with `fits(material)` and `day(material)`; `page.DEMONSTRATORS` names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from environment.report import words


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure under the headline; `note` compares it."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One section: its id, the words of the link to it, its template, and what the template needs."""

    key: str
    link: str
    template: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Day:
    """The whole page of a run; `footnote` ends it with what its units mean."""

    headline: str
    tiles: Sequence[Tile]
    chapters: Sequence[Chapter]
    footnote: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table of both cases. `less`: whether less is better, None where neither is."""

    label: str
    member: str
    unit: str
    digits: int
    less: bool | None


def saved(figures: Mapping[str, Mapping[str, Any]], member: str) -> float | None:
    """How much less of a figure there was with flexibility; None where only one case was run."""
    if "without" not in figures:
        return None
    return float(figures["without"][member]) - float(figures["with"][member])


def compared(figures: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> list[dict[str, str]]:
    """The rows of the table of both cases, as text; `verdict` is `better`, `worse` or empty."""
    found = []
    for spec in rows:
        row = {"label": spec.label, "unit": spec.unit, "with": words.number(figures["with"][spec.member], spec.digits)}
        row |= {"without": "", "change": "", "verdict": ""}
        if (change := saved(figures, spec.member)) is not None:
            change = -change
            row["without"] = words.number(figures["without"][spec.member], spec.digits)
            row["change"] = words.number(change, spec.digits, sign=True)
            if spec.less is not None and abs(change) >= 0.5 * 10**-spec.digits:
                row["verdict"] = "better" if (change < 0) == spec.less else "worse"
        found.append(row)
    return found
