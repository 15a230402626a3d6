"""The page: what the run folder holds decides whose demonstrator's page it is; its chapters go into the template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from environment.report import campus_day, congestion_day, island_day, public_day, words
from environment.report.chapter import Day
from environment.report.material import Material, read

DEMONSTRATORS: Final[tuple[tuple[Callable[[Material], bool], Callable[[Material], Day]], ...]] = (
    (campus_day.fits, campus_day.day),
    (island_day.fits, island_day.day),
    (public_day.fits, public_day.day),
    (congestion_day.fits, congestion_day.day),
)
"""Whether a run is of this kind, and its page; the first that fits is taken, and the last one always does."""


def render(folder: Path) -> str:
    """The page of a run folder as HTML text. Raises RunFolderError or SeriesError, one line that names the file."""
    material = read(folder)
    day = next(build(material) for fits, build in DEMONSTRATORS if fits(material))
    environment = Environment(
        loader=PackageLoader("environment.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=words.number, euro=words.euro)
    index, summary = material.index, material.summary
    shared: dict[str, Any] = {
        "scenario": summary.get("scenario") or material.trace.scenario,
        "seed": summary.get("seed", material.trace.seed),
        "agents": summary.get("agents"),
        "wall_s": summary.get("wall_s"),
        "both": "without" in material.figures,
        "when": material.when,
        "name": material.name,
    }
    sections = [
        environment.get_template(chapter.template).render(shared | dict(chapter.values)) for chapter in day.chapters
    ]
    return environment.get_template("report.html.j2").render(
        **shared,
        css=Markup(environment.get_template("report.css").render()),
        day=words.day(index[0]),
        span=words.duration(index[-1] + material.series.step("with") - index[0]),
        headline=day.headline,
        tiles=day.tiles,
        chapters=day.chapters,
        footnote=day.footnote,
        sections=[Markup(section) for section in sections],
    )
