"""By how much meters and schedules differ."""

from __future__ import annotations

from agents.decisions.congestion_gaps import ManagerGaps, Shown


def test_a_gap_lasts_when_two_looks_find_it_on_one_side_and_blind_looks_teach_nothing() -> None:
    gaps = ManagerGaps()
    assert gaps.shown("lot", ("a1", "a2")) == Shown()
    gaps.learn("lot", {"a1": (60.0, 0.0), "a2": (5.0, 8.0)})
    assert gaps.shown("lot", ("a1", "a2")) == Shown()
    gaps.learn("lot", {})
    gaps.learn("lot", {"a1": (50.0, 0.0), "a2": (5.0, 5.0)})
    assert gaps.shown("lot", ("a1", "a2")) == Shown(-50.0, 65.0)
    assert gaps.shown("lot", ("a2",)) == Shown(0.0, 5.0)
    assert gaps.shown("other", ("a1",)) == Shown()
    gaps.learn("lot", {"a1": (50.0, 50.0), "a2": (5.0, 5.0)})
    assert gaps.shown("lot", ("a1", "a2")).gap_kw == 0.0
