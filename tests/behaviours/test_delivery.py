"""Acknowledged delivery over a link that loses, repeats and breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import behaviours.delivery as delivery
from behaviours.delivery import FOREIGN_ATTEMPTS, Incoming, Outgoing
from behaviours.ports import Letter
from environment.clock import VirtualClock
from tests.swarm import START


class Alarm:
    def __init__(self, delay: float, call: Callable[[], None]) -> None:
        self.delay, self.call, self.cancelled = delay, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Wire:
    """Notes what is put on it; `up` says whether there is one; retries ring when the test says so."""

    def __init__(self, ours: tuple[str, ...] = ("b@x", "c@x")) -> None:
        self.up = True
        self.sent: list[tuple[str, str]] = []
        self.clock = VirtualClock(START)
        self.alarms: list[Alarm] = []
        self.gave_up: list[str] = []
        self.outgoing = Outgoing(
            self.clock, self.transmit, lambda jid: jid in ours, self.later, gave_up=self.gave_up.append
        )

    def later(self, delay: float, call: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(delay, call))
        return self.alarms[-1]

    def ring(self) -> bool:
        """Lets the retries come that are set; False when none is."""
        due = [alarm for alarm in self.alarms if not alarm.cancelled]
        self.alarms.clear()
        for alarm in due:
            alarm.call()
        return bool(due)

    def transmit(self, letter: Letter, stanza_id: str) -> bool:
        if self.up:
            self.sent.append((letter.body, stanza_id))
        return self.up

    def bodies(self) -> str:
        return "".join(body for body, _ in self.sent)

    def send(self, bodies: str, to: str = "b@x") -> None:
        for body in bodies:
            self.outgoing.send(Letter("a@x", to, body))

    def acknowledge(self, sender: str = "b@x/r") -> None:
        self.outgoing.acknowledged(sender, self.sent[-1][1])

    @property
    def time_holds(self) -> bool:
        return self.clock._outstanding > 0


def test_the_next_letter_waits_for_the_acknowledgement_of_the_one_before() -> None:
    wire = Wire()
    wire.send("123")
    assert wire.bodies() == "1"
    wire.acknowledge()
    assert wire.bodies() == "12"
    wire.acknowledge()
    wire.acknowledge()
    assert (wire.bodies(), len(wire.outgoing)) == ("123", 0)


def test_receivers_do_not_wait_for_each_other() -> None:
    wire = Wire()
    wire.send("1")
    wire.send("2", to="c@x")
    assert wire.bodies() == "12"
    wire.outgoing.close()


def test_scenario_time_holds_until_all_is_acknowledged() -> None:
    wire = Wire()
    wire.send("12")
    wire.acknowledge()
    assert wire.time_holds
    wire.acknowledge()
    assert not wire.time_holds


def test_a_letter_is_repeated_under_its_id_until_it_is_acknowledged() -> None:
    wire = Wire()
    wire.send("1")
    delays = []
    for _ in range(6):
        delays += [alarm.delay for alarm in wire.alarms]
        assert wire.ring()
    assert delays == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert len(wire.sent) == 7
    assert len(set(wire.sent)) == 1
    wire.acknowledge()
    assert not wire.ring()
    assert len(wire.sent) == 7


def test_what_waited_for_the_link_goes_out_when_it_is_back() -> None:
    wire = Wire()
    wire.up = False
    wire.send("12")
    assert wire.time_holds
    wire.up = True
    wire.outgoing.link_up()
    assert wire.bodies() == "1"
    wire.acknowledge()
    assert wire.bodies() == "12"
    wire.acknowledge()


def test_what_was_under_way_when_the_link_broke_is_sent_again() -> None:
    wire = Wire()
    wire.send("12")
    wire.outgoing.link_up()
    assert wire.bodies() == "11"
    wire.acknowledge()
    assert wire.bodies() == "112"
    wire.outgoing.close()


def test_a_receipt_for_something_else_changes_nothing() -> None:
    wire = Wire()
    wire.send("12")
    wire.outgoing.acknowledged("b@x/r", "another-id")
    wire.outgoing.acknowledged("c@x/r", wire.sent[0][1])
    assert wire.bodies() == "1"
    wire.outgoing.close()


def test_a_person_who_never_acknowledges_gets_each_line_once() -> None:
    wire = Wire()
    wire.send("12", to="person@x")
    assert (wire.bodies(), len(wire.outgoing), wire.time_holds) == ("12", 0, False)


def test_an_outside_agent_that_once_acknowledged_is_retried_but_not_for_ever() -> None:
    wire = Wire()
    wire.send("1", to="peer@y")
    wire.acknowledge("peer@y/r")
    wire.send("2", to="peer@y")
    assert wire.time_holds
    while wire.ring():
        pass
    assert wire.bodies() == "1" + "2" * FOREIGN_ATTEMPTS
    assert not wire.time_holds
    assert wire.gave_up == ["peer@y"]
    wire.send("3", to="peer@y")
    assert (wire.bodies()[-1], wire.time_holds, wire.gave_up) == ("3", False, ["peer@y"])


def test_closing_gives_up_and_lets_time_pass() -> None:
    wire = Wire()
    wire.send("123")
    wire.outgoing.close()
    assert (len(wire.outgoing), wire.time_holds) == (0, False)


def test_ids_of_two_runs_differ() -> None:
    first, second = Wire(ours=()), Wire(ours=())
    first.send("1", to="p@x")
    second.send("1", to="p@x")
    assert first.sent[0][1] != second.sent[0][1]


def test_a_letter_that_comes_again_is_known_from_any_resource() -> None:
    incoming = Incoming()
    assert incoming.is_new("a@x/one", "1")
    assert not incoming.is_new("a@x/two", "1")
    assert incoming.is_new("b@x", "1")
    assert incoming.repeated == 1


def test_memory_of_letters_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "KNOWN_IDS", 3)
    incoming = Incoming()
    for number in range(10):
        assert incoming.is_new("a@x", str(number))
    assert not incoming.is_new("a@x", "9")
    assert incoming.is_new("a@x", "1")
