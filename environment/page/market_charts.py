"""The charts of a market: a merit order as steps, offers by manager, curves of an auction, prices of a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from environment.page.tables import MINUS, kilowatts
from environment.report.public_services import Auction
from environment.watched.market_round import MarketOffer, MarketRound, Step, merit_order
from environment.watched.prices import PriceDay, Published

INK, MUTED, GRID = "var(--chart-ink)", "var(--chart-muted)", "var(--chart-grid)"
TAKEN, PALE, LIMIT, GOOD = "var(--chart-taken)", "var(--chart-pale)", "var(--chart-limit)", "var(--chart-good)"
NAMED_PART, MOST_TICKS = 0.09, 60
"""So much of the whole width a step needs to be named, and so many ticks are drawn."""
MOST_NAMED = 12
"""So many steps of a merit order are named in the chart; the table has all."""
MOST_MANAGERS = 20
_PRICES = {"help": "not drawn pays", "reserve": "paid"}
_CEILINGS = {"help": "given back pays"}
FAR = 2.5
"""A ceiling that is so many times as high as the dearest offer would flatten all steps: it is said and not drawn."""
SYMBOLS = ("circle", "rect", "triangle", "diamond", "pin", "arrow", "roundRect", "emptyCircle")
MOST_CURVES = 12


def _axis(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "value",
        "name": name,
        "nameTextStyle": {"color": MUTED, "align": "left"},
        "axisLabel": {"color": MUTED, "hideOverlap": True, "showMaxLabel": False},
        "axisLine": {"lineStyle": {"color": GRID}},
        "splitLine": {"lineStyle": {"color": GRID, "type": "dotted"}},
        **more,
    }


def _line(name: str, colour: str, dash: str, at: dict[str, float], place: str) -> dict[str, Any]:
    return {
        **at,
        "name": name,
        "symbol": "none",
        "lineStyle": {"color": colour, "type": dash, "width": 2},
        "label": {"show": True, "formatter": name, "color": colour, "position": place, "fontSize": 12},
    }


def merit_chart(market: MarketRound) -> dict[str, Any]:
    """Price over cumulated power. What was taken has a thick full line and a tick, what was not a thin dashed one."""
    steps = merit_order(market.offers)
    taken = [
        point for step in steps if step.taken_kw > step.start_kw for point in _flat(step.start_kw, step.taken_kw, step)
    ]
    left = [point for step in steps if step.end_kw > step.taken_kw for point in _flat(step.taken_kw, step.end_kw, step)]
    highest = max((float(step.price) for step in steps), default=0.0)
    marks = []
    if market.needed_kw is not None:
        told = f"needed {kilowatts(market.needed_kw)} kW"
        marks.append(_line(told, INK, "dashed", {"xAxis": market.needed_kw}, "end"))
    if market.price is not None:
        told = f"{_PRICES.get(market.kind, 'clearing price')} {market.price}"
        place = "insideStartTop" if market.kind == "help" else "insideEndTop"
        marks.append(_line(told, GOOD, "solid", {"yAxis": float(market.price)}, place))
    drawn = [highest]
    if market.price is not None:
        drawn.append(float(market.price))
    if market.ceiling is not None and float(market.ceiling) <= FAR * max(highest, 1e-9):
        told = f"{_CEILINGS.get(market.kind, 'at most')} {market.ceiling}"
        marks.append(_line(told, LIMIT, "dotted", {"yAxis": float(market.ceiling)}, "insideStartTop"))
        drawn.append(float(market.ceiling))
    widest = max([step.end_kw for step in steps] + [market.needed_kw or 0.0], default=1.0)
    return {
        "grid": {"left": 12, "right": 24, "top": 36, "bottom": 34, "containLabel": True},
        "xAxis": _axis("", max=round(widest * 1.05, 1) or 1.0, min=0),
        "yAxis": _axis(market.unit, min=0, max=_above(max(drawn, default=1.0))),
        "series": [
            _area("taken", taken, TAKEN, (4, "solid", 0.45), marks, _names(market, steps, taken=True)),
            _area("not taken", left, MUTED, (2, "dashed", 0.12), [], _names(market, steps, taken=False)),
        ],
    }


def _above(value: float) -> float:
    """A round number above, so that labels have room."""
    if value <= 0:
        return 1.0
    size = 10 ** (len(str(int(value))) - 1) if value >= 1 else 10.0 ** -(len(f"{1 / value:.0f}"))
    return float(f"{-(-value * 1.18 // (size / 10)) * (size / 10):.10g}")


def _flat(start: float, end: float, step: Step) -> list[list[float | None]]:
    price = float(step.price)
    return [[start, price], [end, price], [end, None]]


def _part(step: Step) -> bool:
    """Whether something of it was taken."""
    return step.taken_kw > step.start_kw


def _names(market: MarketRound, steps: Sequence[Step], *, taken: bool) -> list[dict[str, Any]]:
    """Who or what stands over a step; a narrow one that was taken has its tick alone."""
    found, whole = [], steps[-1].end_kw if steps else 0.0
    for step in steps:
        if _part(step) is not taken:
            continue
        word = step.offer.detail.partition(" ")[0] if market.kind == "help" else step.offer.bidder
        wide = len(steps) <= MOST_NAMED and step.end_kw - step.start_kw >= NAMED_PART * whole
        text = " ".join(filter(None, ("\N{CHECK MARK}" if taken else "", word if wide else "")))
        if text:
            found.append({"coord": [(step.start_kw + step.end_kw) / 2, float(step.price)], "value": text})
    return found


def _area(
    name: str,
    points: list[list[float | None]],
    colour: str,
    look: tuple[int, str, float],
    marks: list[dict[str, Any]],
    names: list[dict[str, Any]],
) -> dict[str, Any]:
    """One kind of step; `look`: the line's width and dash, and how opaque the area under it is."""
    width, dash, opacity = look
    return {
        "name": name,
        "type": "line",
        "data": points,
        "showSymbol": False,
        "connectNulls": False,
        "silent": True,
        "lineStyle": {"color": colour, "width": width, "type": dash},
        "areaStyle": {"color": colour, "opacity": opacity, "origin": "start"},
        "markLine": {"silent": True, "symbol": "none", "data": marks, "precision": 6, "animation": False},
        "markPoint": {
            "silent": True,
            "symbol": "circle",
            "symbolSize": 1,
            "data": names if len(names) <= MOST_TICKS else [],
            "label": {"show": True, "formatter": "{c}", "color": INK, "position": "bottom", "fontSize": 11,
                      "overflow": "truncate", "width": 90},
            "animation": False,
        },
    }  # fmt: skip


def offers_chart(market: MarketRound) -> dict[str, Any]:
    """A service's offers: a bar for each manager, what was ordered full and what was not with a dashed edge."""
    shown: Sequence[MarketOffer] = tuple(reversed(market.offers[:MOST_MANAGERS]))
    return {
        "grid": {"left": 12, "right": 40, "top": 30, "bottom": 34, "containLabel": True},
        "xAxis": _axis("", min=0),
        "yAxis": {
            "type": "category",
            "data": [offer.bidder for offer in shown],
            "axisLabel": {"color": INK, "width": 120, "overflow": "truncate"},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": GRID}},
        },
        "series": [
            {
                "name": "ordered",
                "type": "bar",
                "stack": "power",
                "silent": True,
                "barMaxWidth": 20,
                "data": [round(offer.awarded_kw, 3) for offer in shown],
                "itemStyle": {"color": TAKEN},
                "label": {"show": False},
            },
            {
                "name": "offered and not ordered",
                "type": "bar",
                "stack": "power",
                "silent": True,
                "barMaxWidth": 20,
                "data": [
                    {
                        "value": round(max(0.0, offer.power_kw - offer.awarded_kw), 3),
                        "label": {
                            "formatter": ("\N{CHECK MARK} " if offer.awarded_kw > 0 else "")
                            + f"{kilowatts(offer.awarded_kw)} of {kilowatts(offer.power_kw)}"
                        },
                    }
                    for offer in shown
                ],
                "itemStyle": {
                    "color": "transparent",
                    "borderColor": MUTED,
                    "borderType": "dashed",
                    "borderWidth": 1,
                },
                "label": {"show": True, "position": "right", "color": INK},
            },
        ],
    }


def curves_chart(auction: Auction) -> dict[str, Any]:
    """Each station's curve, price over cap; the points that were bought are large, with a tick."""
    series: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    with_curve = [lot for lot in auction.lots if lot.bid is not None and lot.bid.curve][:MOST_CURVES]
    for number, lot in enumerate(with_curve):
        assert lot.bid is not None
        bought = lot.limit_kw is not None and lot.price_eur is not None
        colour = TAKEN if bought else MUTED
        if lot.limit_kw is not None and lot.price_eur is not None:
            points.append({"value": [lot.limit_kw, lot.price_eur]})
        first = lot.bid.curve[0]
        series.append(
            {
                "name": lot.call.station_id,
                "type": "line",
                "silent": True,
                "data": [
                    {
                        "value": [first.limit_kw, float(first.price_eur)],
                        "label": {"show": True, "position": "left", "formatter": lot.call.station_id, "color": INK},
                    },
                    *([point.limit_kw, float(point.price_eur)] for point in lot.bid.curve[1:]),
                ],
                "labelLayout": {"moveOverlap": "shiftY"},
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "symbolSize": 6,
                "lineStyle": {"color": colour, "width": 2 if bought else 1.5, "type": "solid" if bought else "dashed"},
                "itemStyle": {"color": colour},
            }
        )
    series.append(
        {
            "name": "bought",
            "type": "scatter",
            "silent": True,
            "data": points,
            "symbol": "diamond",
            "symbolSize": 14,
            "itemStyle": {"color": GOOD},
            "label": {"show": True, "position": "top", "color": INK, "formatter": "\N{CHECK MARK}", "fontSize": 14},
        }
    )
    return {
        "grid": {"left": 12, "right": 24, "top": 36, "bottom": 34, "containLabel": True},
        "legend": {"show": False},
        "xAxis": _axis("", min=0),
        "yAxis": _axis("EUR for the whole period", min=0),
        "series": series,
    }


def prices_chart(day: PriceDay, stations: Sequence[str], zone: tzinfo) -> dict[str, Any]:
    """Stations by quarters of an hour: where charging is cheaper than usual, with by how much in figures."""
    hours = [f"{quarter.astimezone(zone):%H:%M}" for quarter in day.quarters]
    shown = tuple(reversed(stations))
    cells: list[dict[str, Any]] = []
    deepest = max((_less(told) for row in day.prices.values() for told in row), default=0.0)
    for line, station in enumerate(shown):
        before = 0.0
        for column, told in enumerate(day.prices[station]):
            less = _less(told)
            if less > 0:
                first = less != before
                cells.append(
                    {
                        "value": [column, line, round(less, 6)],
                        "label": {"show": first, "formatter": f"{MINUS}{100 * less:g} ct"},
                    }
                )
            before = less
    return {
        "grid": {"left": 12, "right": 16, "top": 12, "bottom": 34, "containLabel": True},
        "xAxis": {
            "type": "category",
            "data": hours,
            "axisLabel": {"color": MUTED, "interval": 7, "hideOverlap": True},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": GRID}},
        },
        "yAxis": {
            "type": "category",
            "data": list(shown),
            "axisLabel": {"color": INK, "width": 120, "overflow": "truncate"},
            "splitLine": {"show": True, "lineStyle": {"color": GRID}},
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": GRID}},
        },
        "visualMap": {
            "show": False,
            "min": 0,
            "max": deepest or 1.0,
            "dimension": 2,
            "inRange": {"color": ["#bfe3cf", "#7cc79b"]},
        },
        "series": [
            {
                "type": "heatmap",
                "silent": True,
                "data": cells,
                "label": {"position": "insideLeft", "color": "#10301f", "fontSize": 11, "fontWeight": "bold"},
            }
        ],
    }


def _less(told: Published | None) -> float:
    """By how much charging is cheaper than usual, in EUR/kWh."""
    return 0.0 if told is None else max(0.0, float(told.usual - told.price))
