"""A bounded queue to a place outside: what is dropped is counted, and what is under way is bounded."""

from __future__ import annotations

from behaviours.outbox import Outbox


def outbox(most: int = 3, window: int = 2) -> Outbox[int]:
    return Outbox(most=most, window=window, patience_s=10.0)


def filled(count: int, **bounds: int) -> Outbox[int]:
    box = outbox(**bounds)
    for entry in range(count):
        box.put(entry)
    return box


def test_the_oldest_entry_makes_room_for_a_new_one_and_is_counted() -> None:
    box = filled(5)
    assert (len(box), box.dropped) == (3, 2)
    assert box.take(10) == [2, 3, 4]


def test_no_more_parcels_are_under_way_than_the_window_holds() -> None:
    box = filled(3)
    for parcel in ("a", "b"):
        box.sent(parcel, box.take(1), 0.0)
    assert box.take(1) == []
    assert box.arrived("a")
    assert box.take(1) == [2]


def test_an_outbox_is_done_when_nothing_waits_and_all_is_confirmed() -> None:
    box = filled(2)
    assert not box.is_done
    box.sent("a", box.take(2), 0.0)
    assert not box.is_done
    assert box.arrived("a")
    assert box.is_done
    assert (box.confirmed, box.dropped) == (2, 0)


def test_a_confirmation_of_something_else_changes_nothing() -> None:
    box = filled(1)
    box.sent("a", box.take(1), 0.0)
    assert not box.arrived("b")
    assert not box.refused("b")
    assert not box.is_done


def test_what_is_refused_or_never_confirmed_is_counted_as_dropped() -> None:
    box = filled(3)
    box.sent("a", box.take(1), 0.0)
    box.sent("b", box.take(2), 5.0)
    assert box.refused("a")
    box.give_up(10.0)
    assert box.dropped == 1
    box.give_up(15.1)
    assert box.dropped == 3
    assert box.is_done


def test_what_was_under_way_when_the_connection_broke_is_sent_again_before_all_else() -> None:
    box = filled(4, most=4)
    box.sent("a", box.take(1), 0.0)
    box.sent("b", box.take(2), 0.0)
    box.again()
    assert box.take(10) == [0, 1, 2, 3]


def test_what_comes_back_keeps_the_bound() -> None:
    box = filled(3)
    box.sent("a", box.take(2), 0.0)
    box.put(3)
    box.put(4)
    box.again()
    assert box.dropped == 2
    assert box.take(10) == [2, 3, 4]
