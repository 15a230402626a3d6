"""A `Story` as a sequence diagram: lifelines from left to right, time downwards, labels over their arrows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from environment.report.sequence import Lifeline, Step, Story
from environment.report.svg import NARROW, WIDE, text

_OPENS: Final = {"cfp", "request", "propose", "query-ref", "subscribe"}
_DECLINES: Final = {"refuse", "reject-proposal", "failure", "not-understood", "cancel"}
_HEAD, _BAR = 46.0, 7.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """The measures of one width, in CSS pixels."""

    name: str
    width: float
    font: float
    row: float
    stamp: float

    def x(self, index: int, count: int) -> float:
        """The middle of a lifeline; the outer ones leave room for their boxes."""
        edge = min(90.0, self.width / count / 2)
        return edge + index * (self.width - 2 * edge) / max(1, count - 1)


_PLANS: Final = (
    _Plan(WIDE.name, WIDE.width, 13, 34, 24),
    _Plan(NARROW.name, NARROW.width, 10.5, 31, 20),
)


def draw(story: Story, alt: str, name: Callable[[str], str]) -> Markup:
    """The diagram in both widths. `name` gives the words for an exchange id."""
    return Markup("\n").join(_drawing(story, plan, alt, name) for plan in _PLANS)


def _drawing(story: Story, plan: _Plan, alt: str, name: Callable[[str], str]) -> Markup:
    count = len(story.lifelines)
    rows, stamps, height = _layout(story, plan)
    foot = height + 10
    parts = [_lifeline(line, plan.x(index, count), foot, plan, count) for index, line in enumerate(story.lifelines)]
    parts += [_stamp(at, y, plan) for at, y in stamps]
    parts += _bars(story, rows, plan)
    parts += [_arrow(step, y, plan, count, name) for step, y in zip(story.steps, rows, strict=True)]
    return Markup(
        f'<svg class="{plan.name} sequence" viewBox="0 0 {plan.width:g} {foot + 4:g}" role="img" '
        f'aria-label="{text(alt)}" font-size="{plan.font:g}">{"".join(parts)}</svg>'
    )


def _layout(story: Story, plan: _Plan) -> tuple[list[float], list[tuple[str, float]], float]:
    """The height of each arrow, the times between them (where the minute changes), and the end of the lines."""
    y, rows, stamps, minute = _HEAD, [], [], ""
    for step in story.steps:
        if (now := f"{step.at:%H:%M}") != minute:
            y += plan.stamp
            stamps.append((now, y - 4))
            minute = now
        y += plan.row
        rows.append(y)
    return rows, stamps, y + 14


def _lifeline(line: Lifeline, x: float, foot: float, plan: _Plan, count: int) -> str:
    half = min(80.0, plan.width / count / 2 - 3)
    name, note = line.name, line.note
    if not note and _long(name, plan.font) > 2 * half and " " in name:
        name, note = name.split(" ", 1)
    below = f'<text x="{x:.1f}" y="33" text-anchor="middle" class="note">{text(note)}</text>' if note else ""
    return (
        f'<line x1="{x:.1f}" y1="{_HEAD - 6:g}" x2="{x:.1f}" y2="{foot:.1f}" class="life"/>'
        f'<rect x="{x - half:.1f}" y="1" width="{2 * half:.1f}" height="{_HEAD - 6:g}" rx="6" class="head"/>'
        f'<text x="{x:.1f}" y="{18 if note else 25}" text-anchor="middle" class="who">'
        f"{text(_fitted(name, 2 * half, plan.font))}</text>{below}"
    )


def _stamp(at: str, y: float, plan: _Plan) -> str:
    return (
        f'<line x1="0" y1="{y:.1f}" x2="{plan.width:g}" y2="{y:.1f}" class="hair"/>'
        f'<text x="0" y="{y - 4:.1f}" class="time">{at}</text>'
    )


def _bars(story: Story, rows: list[float], plan: _Plan) -> list[str]:
    """While a conversation is open, a bar lies on the line of whom it was opened with."""
    spans: dict[tuple[str, int], list[float]] = {}
    opened: dict[str, int] = {}
    for step, y in zip(story.steps, rows, strict=True):
        if step.conversation not in opened:
            opened[step.conversation] = step.source
        other = step.target if step.source == opened[step.conversation] else step.source
        spans.setdefault((step.conversation, other), []).append(y)
    bars: list[str] = []
    for (_, place), heights in spans.items():
        x, top, bottom = plan.x(place, len(story.lifelines)), heights[0], heights[-1]
        bars.append(
            f'<rect x="{x - _BAR / 2:.1f}" y="{top - 3:.1f}" width="{_BAR:g}" height="{bottom - top + 6:.1f}" '
            f'rx="2" class="bar"/>'
        )
    return bars


def _arrow(step: Step, y: float, plan: _Plan, count: int, name: Callable[[str], str]) -> str:
    start, end = plan.x(step.source, count), plan.x(step.target, count)
    way = 1 if end > start else -1
    start, end = start + way * _BAR / 2, end - way * _BAR / 2
    kind = "opens" if step.performative in _OPENS else "declines" if step.performative in _DECLINES else "answers"
    head = f"{end:.1f},{y:.1f} {end - way * 8:.1f},{y - 4:.1f} {end - way * 8:.1f},{y + 4:.1f}"
    times = f" ×{step.count}" if step.count > 1 else ""
    act = f"{step.exchange} {step.performative}{times}" if step.exchange else f"{step.performative}{times}"
    words = name(step.exchange) if step.exchange and plan.name == WIDE.name and kind == "opens" else ""
    rest = ": ".join(part for part in (words, step.gist) if part)
    # Wider than its arrow is fine, as the halo keeps it legible; wider than the picture is not.
    rest = _fitted(rest, plan.width - 8 - _long(act + "  ", plan.font), plan.font)
    length = _long(f"{act}  {rest}", plan.font)
    middle = min(max((start + end) / 2, length / 2 + 4), plan.width - length / 2 - 4)
    return (
        f'<g class="{kind}"><line x1="{start:.1f}" y1="{y:.1f}" x2="{end - way * 6:.1f}" y2="{y:.1f}"/>'
        f'<polygon points="{head}"/><text x="{middle:.1f}" y="{y - 7:.1f}" text-anchor="middle">'
        f'<tspan class="act">{text(act)}</tspan>{" " if rest else ""}<tspan dx="4">{text(rest)}</tspan></text></g>'
    )


def _long(words: str, font: float) -> float:
    """About how wide a text is: the mean of a sans-serif letter is a little over half its size."""
    return len(words) * font * 0.54


def _fitted(words: str, room: float, font: float) -> str:
    keep = int(room / (font * 0.54))
    return words if len(words) <= keep else words[: max(1, keep - 1)].rstrip(" ,") + "…"
