"""A chart of the run's series as options of ECharts; its curves have the page's colours, light and dark."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from markupsafe import Markup

from environment.public_columns import CAP
from environment.watched.plots import Chart, Curve, Plots, Span

_ROUND: Final = {3: 4, 1: 2, 0: 2}
"""Decimals that are sent, by those that are said: half a pixel is less."""


def colour(curve: Curve) -> str:
    """The curve's colour as a variable of the style sheet."""
    if curve.colour.startswith("series"):
        return f"var(--series-{curve.colour.removeprefix('series')})"
    return f"var(--curve-{curve.colour})"


def options(chart: Chart, *, steps: bool) -> dict[str, Any]:
    """What stays as it is while the run lasts; series without data. `steps`: a row lasts, and is drawn so."""
    series = [_series(curve, steps) for curve in chart.curves]
    if chart.limits:
        series[0]["markLine"] = {
            "symbol": "none", "silent": True, "lineStyle": {"color": "var(--limit)", "type": [6, 4], "width": 1.5},
            "data": [
                {
                    "yAxis": value,
                    "label": {
                        "show": bool(name), "position": "insideEndTop", "color": "var(--ink)", "fontSize": 11,
                        "formatter": f"{name} {value:.2f}" if chart.digits == 3 else f"{name} {value:g}",
                    },
                }
                for name, value in chart.limits
            ],
        }  # fmt: skip
    return {
        "animation": False, "useUTC": True, "grid": {"left": 52, "right": 14, "top": 12, "bottom": 26},
        "tooltip": {
            "trigger": "axis", "renderMode": "richText", "confine": True, ":valueFormatter": f"v => v == null ? '' : "
            f"v.toFixed({chart.digits}) + ' {chart.unit}'", "backgroundColor": "var(--surface)",
            "borderColor": "var(--axis)", "textStyle": {"color": "var(--ink)"},
            "axisPointer": {"lineStyle": {"color": "var(--muted)"}},
        },
        "xAxis": {
            "type": "time",
            "axisLabel": {
                "color": "var(--muted)", "hideOverlap": True,
                "formatter": {"day": "{ee} {d} {MMM}", "hour": "{HH}:{mm}", "minute": "{HH}:{mm}"},
            },
            "axisLine": {"onZero": False, "lineStyle": {"color": "var(--axis)"}},
        },
        "yAxis": {
            "type": "value", "scale": chart.least is None or chart.least != 0.0, "splitNumber": 5,
            "axisLabel": {"color": "var(--muted)", ":formatter": f"v => v.toFixed({2 if chart.digits == 3 else 0})"},
            "splitLine": {"lineStyle": {"color": "var(--axis)", "opacity": 0.6}},
            **({} if chart.least is None else {":min": f"v => v.min < {chart.least} ? null : {chart.least}"}),
            **({} if chart.most is None else {":max": f"v => v.max > {chart.most} ? null : {chart.most}"}),
        },
        "series": series,
    }  # fmt: skip


def _series(curve: Curve, steps: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": curve.column, "name": curve.name, "type": "line", "symbol": "none", "emphasis": {"disabled": True},
        "lineStyle": {"color": colour(curve), "width": 1.5 if curve.dashed else 2},
        "itemStyle": {"color": colour(curve)}, "data": [],
    }  # fmt: skip
    if curve.dashed:
        found["lineStyle"]["type"] = [4, 4]
    if curve.stacked:
        found |= {"stack": "all", "areaStyle": {"color": colour(curve), "opacity": 0.75}}
        found["lineStyle"]["width"] = 0.5
    if steps or (curve.dashed and curve.column.startswith("limit:")):
        found["step"] = "end"
    return found


def moving(plots: Plots, chart: Chart, span: Span) -> dict[str, Any]:
    """What changes: the ends of the time axis, and each curve's points, by its column."""
    offset_ms = int(plots.offset.total_seconds() * 1000)
    begin, end = plots.window(span)
    series = {}
    for curve in chart.curves:
        at, values = plots.points(curve, span)
        times = (at // 1000 + offset_ms).tolist()
        shown = np.round(values.astype(np.float64), _ROUND.get(chart.digits, 3)).tolist()
        series[curve.column] = [
            [time, None if value != value else value] for time, value in zip(times, shown, strict=True)
        ]
    return {"xAxis": {"min": begin // 1000 + offset_ms, "max": end // 1000 + offset_ms}, "series": series}


def legend_items(chart: Chart) -> list[str]:
    """What each curve is called, with a stroke of its colour, as HTML."""
    if len(chart.curves) == 1:
        return []
    # What a dashed curve beside its own is, the chart's sentence says; eight more entries would hide it.
    shown = [curve for curve in chart.curves if not curve.column.startswith(CAP)]
    return [
        str(
            Markup(
                '<span class="legend-item"><svg width="20" height="10" aria-hidden="true"><line x1="1" y1="5" x2="19" '
                'y2="5" style="stroke: {}" stroke-width="{}" stroke-dasharray="{}"/></svg><span>{}</span></span>'
            ).format(colour(curve), 8 if curve.stacked else 3, "4 4" if curve.dashed else "none", curve.name)
        )
        for curve in shown
    ]
