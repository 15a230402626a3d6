"""Feeders of small networks that one can see through."""

from __future__ import annotations

import pytest

from environment.feeders import feeders_of, sections_of


def test_a_ring_and_a_branch_are_one_feeder_each() -> None:
    lines = [("bar", "c"), ("c", "d"), ("d", "bar"), ("b", "a"), ("bar", "b")]
    assert feeders_of(("a", "bar", "b", "c", "d"), "bar", lines) == {
        "feeder-1": ("a", "b"),
        "feeder-2": ("c", "d"),
        "busbar": ("bar",),
    }


def test_a_busbar_alone_has_no_feeder() -> None:
    assert feeders_of(("bar",), "bar", []) == {"busbar": ("bar",)}


def test_a_line_feeds_all_that_hangs_behind_it_whichever_way_it_was_written() -> None:
    lines = [("far", "d", "c"), ("main", "bar", "b"), ("side", "b", "c"), ("stub", "e", "b")]
    assert sections_of("bar", lines) == {
        "far": ("d",),
        "main": ("b", "c", "e", "d"),
        "side": ("c", "d"),
        "stub": ("e",),
    }


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ([("one", "bar", "a"), ("two", "a", "b"), ("three", "b", "bar")], "line 'two' closes a ring"),
        ([("one", "bar", "a"), ("two", "b", "c")], "line 'two' is fed by nothing"),
    ],
)
def test_what_is_no_tree_is_told(lines: list[tuple[str, str, str]], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        sections_of("bar", lines)
