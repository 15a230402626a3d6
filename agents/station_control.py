"""Holding a station under its limit in its chargers: who is told how much, in which order, and what happens if no one
tells them anything any more.

Every order has a power for the market period and one for afterwards, to which the charger goes by itself (see
`Charger.hold_power`). Whatever was told by now keeps the limit at every later second, also if nothing more is said.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.periods import next_quarter
from agents.ports import Charger, ChargerError, ChargerReading

LEAST_KW = 1e-3
"""Orders that differ by less are the same order."""
UNUSED_KW = 0.5
"""A charger that draws so much less than it may is told again what it may."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a charger was told last: `power_kw` until `until`, then `then_kw`."""

    power_kw: float
    until: datetime
    then_kw: float

    def at(self, when: datetime) -> float:
        """What the charger may draw then."""
        return self.power_kw if when < self.until else self.then_kw


Order = tuple[float, float]
"""kW in this market period, and kW afterwards where nothing more is said."""


class StationControl:
    """The chargers of an operator's stations, over Modbus."""

    def __init__(
        self, chargers: Mapping[str, Charger], now: Callable[[], datetime], notice: Callable[[str], None]
    ) -> None:
        self.told: dict[str, Told] = {}
        self.silent: set[str] = set()
        self._unsure: set[str] = set()
        """Chargers that draw less than they may: the car may be full, or the charger may have lost its order."""
        self._chargers, self._now, self._notice = chargers, now, notice

    async def read(self, which: Iterable[str]) -> dict[str, ChargerReading]:
        """What these chargers say, without those that do not answer; who has no car has forgotten its orders."""
        ids = list(which)
        readings: dict[str, ChargerReading] = {}
        for charger_id, result in zip(ids, await self._ask([self._chargers[c].read() for c in ids]), strict=True):
            if isinstance(result, ChargerError):
                self._failed(charger_id, result)
            else:
                assert isinstance(result, ChargerReading)
                readings[charger_id] = result
                self._answers(charger_id)
                told = self.told.get(charger_id)
                if not result.connected:
                    self.told.pop(charger_id, None)
                elif told is not None and result.power_kw < told.at(self._now()) - UNUSED_KW:
                    self._unsure.add(charger_id)
        return readings

    async def steer(
        self,
        chargers: Collection[str],
        wanted: Mapping[str, Order],
        cap_kw: float,
        least_kw: float,
    ) -> None:
        """Gives each of a station's `chargers` its order, 0 to those that are not `wanted` and were told something.

        `cap_kw` holds now, `least_kw` is the lowest cap that is known for later. First all that is to draw less is told
        so, then the others are raised, as far as what has not answered leaves room.
        """
        deaf: set[str] = set()
        while True:
            orders = self._within(chargers, wanted, deaf, cap_kw, least_kw)
            now = self._now()
            lower = {}
            for charger_id, (power, then) in orders.items():
                told = self.told.get(charger_id)
                if told is not None:
                    lower[charger_id] = min(power, told.at(now)), min(then, told.then_kw)
            failed = await self._tell(lower)
            if not failed:
                break
            deaf |= failed
        await self._tell({c: order for c, order in orders.items() if c not in deaf})

    def promised_kw(self, chargers: Iterable[str], when: datetime) -> float:
        """What these chargers may draw then by what they were told."""
        return sum(self.told[c].at(when) for c in chargers if c in self.told)

    def _within(
        self,
        chargers: Collection[str],
        wanted: Mapping[str, Order],
        deaf: Collection[str],
        cap_kw: float,
        least_kw: float,
    ) -> dict[str, Order]:
        """The orders, cut where those that do not hear draw so much that the others must draw less."""
        now = self._now()
        stops = {c: (0.0, 0.0) for c in chargers if c in self.told and c not in wanted}
        orders = {c: order for c, order in {**stops, **wanted}.items() if c not in deaf}
        room = max(0.0, cap_kw - self.promised_kw(deaf, now))
        later = max(0.0, least_kw - sum(self.told[c].then_kw for c in deaf if c in self.told))
        power = sum(kw for kw, _ in orders.values())
        then = sum(kw for _, kw in orders.values())
        part = min(1.0, room / power) if power > 0 else 1.0
        later_part = min(1.0, later / then) if then > 0 else 1.0
        return {c: (kw * part, afterwards * later_part) for c, (kw, afterwards) in orders.items()}

    async def _tell(self, orders: Mapping[str, Order]) -> set[str]:
        """Writes what is new to these chargers; who did not take it is returned, and counts with the higher of both."""
        now = self._now()
        until = next_quarter(now)
        left_s = (until - now).total_seconds()
        new = {c: order for c, order in orders.items() if not self._stands(c, order, now)}
        calls = [
            self._chargers[c].hold_power(kw, for_s=_whole_s(left_s, kw, then), then_kw=then)
            for c, (kw, then) in new.items()
        ]
        failed = set()
        for (charger_id, (kw, then)), result in zip(new.items(), await self._ask(calls), strict=True):
            before = self.told.get(charger_id)
            if not isinstance(result, ChargerError):
                self.told[charger_id] = Told(kw, until, then)
                self._unsure.discard(charger_id)
                continue
            failed.add(charger_id)
            self._failed(charger_id, result)
            if before is not None:
                self.told[charger_id] = Told(max(kw, before.at(now)), until, max(then, before.then_kw))
            else:
                self.told[charger_id] = Told(kw, until, then)
        return failed

    def _stands(self, charger_id: str, order: Order, now: datetime) -> bool:
        """Whether the charger does this already without being told."""
        told = self.told.get(charger_id)
        if told is None or charger_id in self._unsure:
            return order == (0.0, 0.0)
        here, later = abs(told.at(now) - order[0]), abs(told.then_kw - order[1])
        return max(here, later) < LEAST_KW

    @staticmethod
    async def _ask(calls: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """What each call gives or which ChargerError it raises; any other error is ours."""
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ChargerError):
                raise result
        return list(results)

    def _failed(self, charger_id: str, error: ChargerError) -> None:
        if charger_id not in self.silent:
            self.silent.add(charger_id)
            self._notice(str(error))

    def _answers(self, charger_id: str) -> None:
        if charger_id in self.silent:
            self.silent.discard(charger_id)
            self._notice(f"charger {charger_id} answers again")


def _whole_s(left_s: float, power_kw: float, then_kw: float) -> int:
    """Whole seconds until the order's end: who is to draw less does so a little early, who may draw more a little late,
    so that no cap is broken for a part of a second."""
    return max(1, math.floor(left_s) if then_kw < power_kw else math.ceil(left_s))
