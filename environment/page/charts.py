"""Charts of markets and money: drawn as SVG, so that colours follow the theme, and never animated."""

from __future__ import annotations

from typing import Any

from nicegui import ui


def chart(label: str) -> ui.echart:
    """An empty chart that is told as one picture with this label."""
    return (
        ui.echart({"animation": False}, renderer="svg")
        .classes("market-chart")
        .props(f'role="img" aria-label="{label}"')
    )


def fill(drawn: ui.echart, options: dict[str, Any], *, height_rem: float | None = None, label: str = "") -> None:
    """Shows these options instead of what was there."""
    if height_rem is not None:
        drawn.style(f"height: {height_rem:g}rem")
    if label:
        drawn.props["aria-label"] = label
    drawn.options.clear()
    drawn.options.update({"animation": False, **options})
    drawn.update()
