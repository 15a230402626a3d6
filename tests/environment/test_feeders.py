"""Feeders of small networks that one can see through."""

from __future__ import annotations

from environment.feeders import feeders_of


def test_a_ring_and_a_branch_are_one_feeder_each() -> None:
    lines = [("bar", "c"), ("c", "d"), ("d", "bar"), ("b", "a"), ("bar", "b")]
    assert feeders_of(("a", "bar", "b", "c", "d"), "bar", lines) == {
        "feeder-1": ("a", "b"),
        "feeder-2": ("c", "d"),
        "busbar": ("bar",),
    }


def test_a_busbar_alone_has_no_feeder() -> None:
    assert feeders_of(("bar",), "bar", []) == {"busbar": ("bar",)}
