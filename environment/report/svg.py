"""matplotlib figures as inline SVG that follows the page: its colours, its typeface, its width.

A figure is drawn with stand-in colours, which become CSS variables, so that one drawing serves light and dark. It is
drawn twice, for a desktop and for a phone, as a picture that is only scaled down has letters nobody can read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
SURFACE: Final = "#040404"
WITH: Final = "#050505"
WITHOUT: Final = "#060606"
LIMIT: Final = "#070707"
WINDOW: Final = "#080808"
THIRD: Final = "#090909"
GEOTHERMAL: Final = "#101010"
HYDRO: Final = "#111111"
THERMAL: Final = "#121212"
WIND: Final = "#131313"
_VARIABLES: Final = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    WITH: "--with",
    WITHOUT: "--without",
    LIMIT: "--limit",
    WINDOW: "--window",
    THIRD: "--third",
    GEOTHERMAL: "--geothermal",
    HYDRO: "--hydro",
    THERMAL: "--thermal",
    WIND: "--wind",
}
_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 4,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "path.simplify_threshold": 0.3,
    "lines.solid_joinstyle": "round",
}


@dataclass(frozen=True, slots=True)
class Canvas:
    """A width in CSS pixels and what follows from it. Margins are the same for every chart: times line up."""

    name: str
    width: float
    left: float
    right: float
    font: float

    @property
    def narrow(self) -> bool:
        return self.name == "narrow"

    def figure(self, height: float, rows: tuple[float, ...] = (1.0,), gap: float = 34) -> tuple[Figure, list[Axes]]:
        """A figure with one axes for each of `rows` (relative heights), all of them the chart's full width.

        There is room above the first for a legend and below the last for the hours.
        """
        figure = Figure(figsize=(self.width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        top, bottom = 26.0, 28.0
        free = height - top - bottom - gap * (len(rows) - 1)
        edge, axes = height - top, []
        for share in rows:
            tall = free * share / sum(rows)
            box = (
                self.left / self.width,
                (edge - tall) / height,
                1 - (self.left + self.right) / self.width,
                tall / height,
            )
            axes.append(figure.add_axes(box))
            edge -= tall + gap
        return figure, axes


WIDE: Final = Canvas("wide", width=1000, left=64, right=16, font=13)
NARROW: Final = Canvas("narrow", width=360, left=42, right=8, font=11)


def draw(key: str, alt: str, drawing: Callable[[Canvas], Figure]) -> Markup:
    """The figure for both widths, as two inline SVGs of which CSS shows one. `alt` is what it shows, in words."""
    pictures = []
    for canvas in (WIDE, NARROW):
        style: Any = {**_STYLE, "font.size": canvas.font, "svg.hashsalt": f"{key}-{canvas.name}"}
        with mpl.rc_context(style):
            buffer = io.StringIO()
            drawing(canvas).savefig(buffer, format="svg", metadata={"Date": None})
        pictures.append(inline(buffer.getvalue(), f"{key}-{canvas.name}", alt, canvas.name))
    return Markup("\n").join(pictures)


def inline(svg: str, key: str, alt: str, width: str) -> Markup:
    """One SVG file's text as an element of the page: ids made its own, colours and type made the page's."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]+)"', body)
    body = body[body.index(">") + 1 :]
    # Ids of drawings that nobody refers to only cost bytes, and are the same in every figure.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{key}-", body)
    body = re.sub(r"#(0[1-9]|1[0-3])\1\1\b", lambda m: f"var({_VARIABLES[m[0]]})", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    body = re.sub(r"\s*font-family: [^;\"]*;?", "", body)
    body = body.replace("xlink:href", "href").replace(' transform="rotate(-0', ' data-flat="(')
    body = re.sub(r' data-flat="[^"]*"', "", body)
    # Coordinates need no more than hundredths; what is written keeps its digits.
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(?<=\d\.\d\d)\d+", "", tag[0]), body)
    body = re.sub(r"<g>\s*<path [^>]*style=\"fill: none\"/>\s*</g>", "", body)
    body = re.sub(r"\s*\n\s*", " ", body)
    opening = Markup('<svg class="{}" viewBox="{}" role="img" aria-label="{}">').format(
        width, box[1] if box else "", alt
    )
    return opening + Markup(body)


def text(value: object) -> str:
    """Escaped for an attribute or a text node of hand-written SVG."""
    return str(escape(value))
