"""The point of a case (`environment.replay.point`) as far as it asks something of the examined agent: the patterns that
name its role as the sender. That something is turned down is expected of nobody, since another agent may have no reason
to; nor are members of a content, since another agent has words of its own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from environment.exam import rules
from environment.exam.judge import Judge
from environment.exam.script import DECLINES
from environment.replay.point import Said, read_point
from protocols.roles import Role
from protocols.trace import read_entry


def expected_of(folder: Path, role: Role) -> list[Said]:
    """What the case expects of an agent in this role. Raises ReplayError."""
    return [
        each.model_copy(update={"members": {}})
        for each in read_point(folder).said
        if each.sender is role and each.performative not in DECLINES
    ]


def judge_points(judge: Judge, expected: list[Said], at: datetime) -> None:
    """Finds what was expected and not said, or said too often."""
    entries = [read_entry(line, text) for line, text in enumerate(judge.transcript[1:], start=2)]
    openings: dict[str, str | None] = {}
    for entry in entries:
        openings.setdefault(entry.message.conversation_id, entry.message.exchange)
    for each in expected:
        count = sum(each.fits(entry.message, openings[entry.message.conversation_id], judge.roles) for entry in entries)
        if count < each.at_least or (each.at_most is not None and count > each.at_most):
            most = "" if each.at_most is None else f" and at most {each.at_most}"
            judge.find(rules.EXPECTED, at, f"expected at least {each.at_least}{most} of: {each}; got {count}")
