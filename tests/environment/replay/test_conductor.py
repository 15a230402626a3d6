"""Every kind of difference, told of whoever makes it and of nobody else."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from behaviours.answering import Incoming, Inform, answers
from environment.acts import Act
from environment.replay.conductor import counted
from environment.replay.record import Record, Tolerances
from protocols.exchanges.services import GridQuery
from protocols.exchanges.vocabulary import GridQuantity
from protocols.trace import Entry
from tests.environment.replay.tiny import BOTH, START, Asker, Teller, minutes, record, replayed, shown, without
from tests.swarm import jid

DSO, WORLD = frozenset({jid("dso")}), frozenset({jid("world")})


@pytest.fixture(scope="module")
def recorded() -> Record:
    return record()


def test_everybody_alone_and_together_is_as_recorded(recorded: Record) -> None:
    for played in (DSO, WORLD, BOTH, BOTH | {jid("directory")}):
        conductor, _ = replayed(recorded, played)
        count = counted(recorded, played)
        assert shown(conductor) == []
        assert conductor.messages == count["messages"] > 0
        assert conductor.acts == count["orders"] + count["payments"]
    assert counted(recorded, DSO) == {"messages": 3, "orders": 2, "payments": 2}


def test_who_is_not_played_does_what_was_recorded_when_it_was(recorded: Record) -> None:
    _, performed = replayed(recorded, WORLD)
    assert performed == list(recorded.acts)
    assert [(act.device, act.act) for act in performed] == 2 * [("charger:c1", "set_power"), ("ledger", "post")]
    assert replayed(recorded, DSO)[1] == []


class TellsMore(Teller):
    def value(self) -> float:
        return super().value() + 1.0


def test_another_number_is_the_tellers_alone(recorded: Record) -> None:
    """The asker goes on by what stands in the record, and orders what it ordered."""
    conductor, _ = replayed(recorded, teller=TellsMore)
    first, second = shown(conductor)
    assert first == (
        "trace line 7: 2026-03-18 12:10:00 world to dso, inform env.grid in dso-2: value: expected 50.1, got 51.1"
    )
    assert second.endswith("value: expected 50.2, got 51.2")
    assert shown(replayed(recorded, DSO, teller=TellsMore)[0]) == []


def test_a_number_within_its_tolerance_is_as_recorded() -> None:
    near, far = Tolerances(units={"value": 1.05}), Tolerances(units={"value": 0.95})
    assert shown(replayed(record(near), WORLD, teller=TellsMore)[0]) == []
    assert len(shown(replayed(record(far), WORLD, teller=TellsMore)[0])) == 2


class AnswersLate(Teller):
    @answers(GridQuery)
    async def on_grid_query(self, query: GridQuery, incoming: Incoming) -> Inform:
        await self.clock.sleep_until(self.now() + minutes(1))
        return await Teller.on_grid_query(self, query, incoming)


def test_what_comes_late_differs_in_its_time_and_delays_nobody_else(recorded: Record) -> None:
    conductor, _ = replayed(recorded, teller=AnswersLate)
    found = shown(conductor)
    assert [line.partition(": time: ")[2] for line in found if ": time: " in line] == [
        "expected 12:10:00, got 12:11:00",
        "expected 12:20:00, got 12:21:00",
    ]
    assert not any("dso to world" in line or "charger" in line or "does not come" in line for line in found)


def test_what_comes_late_within_its_tolerance_is_as_recorded() -> None:
    patient = record(Tolerances(time_s=60.0, units={}))
    found = shown(replayed(patient, WORLD, teller=AnswersLate)[0])
    assert not any(": time: " in line or "does not come" in line for line in found)


class SaysNothing(Teller):
    @answers(GridQuery)
    async def on_grid_query(self, query: GridQuery, incoming: Incoming) -> Inform:
        await asyncio.Event().wait()
        raise AssertionError


def test_what_does_not_come_is_told_and_the_others_go_on(recorded: Record) -> None:
    conductor, _ = replayed(recorded, teller=SaysNothing)
    assert shown(conductor) == [
        "trace line 7: 2026-03-18 12:10:00 world to dso, inform env.grid in dso-2: does not come",
        "trace line 9: 2026-03-18 12:20:00 world to dso, inform env.grid in dso-3: does not come",
    ]
    assert conductor.acts == 4


class AsksAgain(Asker):
    async def once(self, number: int) -> None:
        await super().once(number)
        if number == 2:
            await self.query_ref(
                GridQuery(quantity=GridQuantity.FREQUENCY), to=jid("world"), reply_by=self.now() + minutes(5)
            )


def test_what_nobody_recorded_is_told_and_reaches_nobody(recorded: Record) -> None:
    conductor, _ = replayed(recorded, asker=AsksAgain)
    assert shown(conductor) == ["2026-03-18 12:20:00 dso to world, query-ref env.grid in dso-4: is not in the record"]


class AsksTheWrongOne(Asker):
    async def once(self, number: int) -> None:
        if number == 1:
            await super().once(number)
            return
        question = GridQuery(quantity=GridQuantity.FREQUENCY)
        await self.query_ref(question, to=jid("directory"), reply_by=self.now() + minutes(5))


def test_a_wrong_receiver_is_one_too_many_and_one_that_does_not_come(recorded: Record) -> None:
    found = shown(replayed(recorded, asker=AsksTheWrongOne)[0])
    assert found[0] == ("2026-03-18 12:20:00 dso to directory, query-ref env.grid in dso-3: is not in the record")
    assert "trace line 8: 2026-03-18 12:20:00 dso to world, query-ref env.grid in dso-3: does not come" in found
    assert not any("world to dso" in line for line in found)


class OrdersMore(Asker):
    async def once(self, number: int) -> None:
        self.hands.charger = More(self.hands.charger)
        await super().once(number)


class More:
    """Asks the charger for 3 kW more than it is asked for."""

    def __init__(self, charger: object) -> None:
        self._charger = getattr(charger, "_charger", charger) if isinstance(charger, More) else charger

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        await self._charger.set_power(power_kw + 3.0, reversion_s)  # type: ignore[attr-defined]


def test_another_order_to_a_charger_is_told_with_its_line(recorded: Record) -> None:
    assert shown(replayed(recorded, asker=OrdersMore)[0]) == [
        "acts line 1: 2026-03-18 12:10:00 dso, set_power at charger:c1: power_kw: expected 50.1, got 53.1",
        "acts line 3: 2026-03-18 12:20:00 dso, set_power at charger:c1: power_kw: expected 50.2, got 53.2",
    ]


class PaysOtherwise(Asker):
    def pay(self, number: int, eur: Decimal) -> None:
        if number == 1:
            super().pay(number, eur + Decimal("0.01"))


def test_another_payment_and_one_that_does_not_come_are_told(recorded: Record) -> None:
    assert shown(replayed(recorded, asker=PaysOtherwise)[0]) == [
        "acts line 2: 2026-03-18 12:10:00 dso, post at ledger: entries.dso@localhost: expected -1.00, got -1.01",
        "acts line 2: 2026-03-18 12:10:00 dso, post at ledger: entries.world@localhost: expected 1.00, got 1.01",
        "acts line 4: 2026-03-18 12:20:00 dso, post at ledger: does not come",
    ]


def test_an_order_that_nobody_recorded_is_told(recorded: Record) -> None:
    none = without(recorded, lambda event: not (isinstance(event, Act) and event.device == "charger:c1"))
    assert shown(replayed(none)[0]) == [
        "2026-03-18 12:10:00 dso, set_power at charger:c1: is not in the record",
        "2026-03-18 12:20:00 dso, set_power at charger:c1: is not in the record",
    ]


def test_a_letter_that_came_before_its_receiver_listens_is_kept_for_it(recorded: Record) -> None:
    """The directory's answers are the first that anybody is told."""
    first = recorded.entries[0]
    assert first.at == START
    assert first.message.receiver == jid("directory")
    assert shown(replayed(recorded, frozenset({jid("directory")}))[0]) == []


class Hangs(Asker):
    async def once(self, number: int) -> None:
        await asyncio.Event().wait()


def test_a_hang_ends_and_everything_that_it_owes_is_missing(recorded: Record) -> None:
    conductor, _ = replayed(recorded, asker=Hangs)
    owed = [line for line in shown(conductor) if "does not come" in line]
    assert len(owed) == 6
    assert not any("world to dso" in line for line in shown(conductor))
    told = [entry for entry in recorded.entries if isinstance(entry, Entry) and entry.message.sender == jid("world")]
    assert len(told) == 3
