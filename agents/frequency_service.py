"""Frequency control services, the V2X manager's side (D5.1 3.7, BUC 7): asked for, tested, delivered, ended.

The application and its test are in `agents.frequency_application`, the hours in `agents.frequency_delivery`, what
owners hear and get in `agents.frequency_owners`; here is the course of it all, what stops it, and the lot's hooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agents.decisions.fcr_portfolio import must_charge, scaled
from agents.frequency_application import FrequencyApplication
from agents.frequency_control import FrequencyControl
from agents.frequency_delivery import FrequencyDelivery
from agents.frequency_owners import FrequencyOwners
from agents.frequency_terms import HOUR, FcrTerms
from agents.periods import QUARTER, quarter_at
from behaviours.swarm import Swarm
from protocols.exchanges.activation import SessionAnnouncement

__all__ = ["FcrTerms", "FrequencyService"]


class FrequencyService(FrequencyApplication, FrequencyDelivery, FrequencyOwners):
    """D5.1 3.7: "the V2X Manager plays an important role in this process by requesting participation in the frequency
    control services (ID 7.1)"; "the EV owners are informed of the FCR services participation status ... (ID 7.2)";
    "the V2X Manager has the option to stop participating in the FCR service. In other words, if the V2X Manager
    notifies the TSO, it will always be able to stop offering the service or modify its participation (ID 7.3)".

    Without `fcr` it takes no part. `meters`: the main meter and its backup; `bench`: on which the portfolio is
    tested; `tso`: its JID, None for whoever the directory names; `act_every_s` as in `FrequencyControl`. `sold` has
    what was bought by the hour, `approved_kw` the maximum that the test has established (None: not approved).
    """

    def __init__(self, jid: str, password: str, swarm: Swarm, **options: Any) -> None:
        super().__init__(jid, password, swarm, **options)
        if (fcr := self.fcr) is None:
            return
        self.frequency_control = FrequencyControl(
            self,
            self._rules,
            fcr.control,
            self.meters,
            self.log,
            act_every_s=self.act_every_s,
            lost_unit=lambda charger_id, why: self._soon(self._replace(charger_id, why)),
            lost_meters=lambda why: self._soon(self._stop_all(why)),
            in_test=lambda: self.test is not None,
        )

    async def course(self) -> None:
        """Frequency control goes on beside the lot's ordinary quarters of an hour."""
        if self.fcr is not None:
            self.spawn(self._take_part(), "frequency containment")
        await super().course()

    async def _take_part(self) -> None:
        terms = self._terms
        if terms.withdraw_at is not None:
            self.spawn(self._withdraw_fcr(terms.withdraw_at), "withdraws")
        await self.clock.sleep_until(terms.application_at)
        if self._withdrawn or not await self._apply():
            return
        for first, last in terms.nights:
            await self._serve(first, last)

    async def _serve(self, first: datetime, last: datetime) -> None:
        """The hours of one night, and its money."""
        hour = first
        while hour <= self.now():
            hour += HOUR
        self.spawn(self._offer_hours(hour, last), "offers capacity")
        while hour < last:
            await self.clock.sleep_until(hour)
            await self._begin_hour(hour)
            hour += HOUR
        await self.clock.sleep_until(hour)
        if self._control.on and not self._withdrawn:
            await self._wind_down()
            await self._end_service()
        await asyncio.gather(*self._following)
        self._following.clear()
        await self._pay_owners(first)

    async def _replace(self, charger_id: str, why: str, *, charges: bool = False) -> None:
        """A vehicle serves no more: others take its share if they can, else the TSO hears of the smaller capacity."""
        control = self._control
        if charger_id not in control.units:
            return
        if not charges:
            self.left_out[charger_id] = why
        what = "the test" if self.test is not None else "the service"
        self.notice(f"charger {charger_id} {why}: it is taken out of {what}")
        rest = [unit for unit in control.units.values() if unit.charger_id != charger_id]
        if self.test is not None:
            if not any(unit.capacity_kw > 0 for unit in rest):
                self.test.stop("no vehicle is left that can be tested")
            capacity = control.capacity_kw
            await self._bear(scaled(rest, capacity), capacity if rest else 0.0)
            return
        await self._bear(rest, sum(unit.capacity_kw for unit in rest))
        await self._fill_up(f"charger {charger_id} {why}")

    async def _stop_all(self, why: str) -> None:
        """The service stops at once, in test or delivery, and the TSO is told."""
        self.notice(f"{self._rules.name} stops: {why}")
        if await self._call_test_off(why):
            return
        hours = [sold for sold in self.sold.values() if sold.offer.end > self.now() and not sold.ended]
        for sold in hours:
            sold.ended = True  # before the vehicles' plans are made anew
        await self._end_service()
        for sold in hours:
            await self._end_hour(sold, why)

    async def _withdraw_fcr(self, at: datetime) -> None:
        await self.clock.sleep_until(at)
        self._withdrawn = True
        await self._stop_all("the owner of the vehicles' chargers withdraws")

    async def on_quarter(self, now: datetime) -> None:
        """7.2 each quarter of an hour; and a vehicle that has no time to lose is charged."""
        await super().on_quarter(now)
        if self.fcr is None:
            return
        if self._control.on and self.test is None:
            for charger_id in tuple(self._control.units):
                vehicle = self.desk.parked(charger_id, now)
                if vehicle is not None and must_charge(vehicle, now, self._terms.ready_margin):
                    await self._replace(charger_id, "must be charged for its departure", charges=True)
        self._control.look_soon()
        self._tell_owners_soon()

    async def on_session(self, session: SessionAnnouncement) -> None:
        """What has come draws behind the same meter."""
        await super().on_session(session)
        if self.fcr is not None:
            self._control.look_soon()

    async def on_prices(self, now: datetime) -> None:
        """Those that do not serve follow the prices."""
        await super().on_prices(now)
        if self.fcr is not None:
            self._control.look_soon()

    async def on_left(self, charger_id: str) -> None:
        """A vehicle that has left serves no more; the next one at its charger begins anew."""
        await super().on_left(charger_id)
        if self.fcr is not None and charger_id in self._control.units:
            self._soon(self._replace(charger_id, "has no vehicle any more", charges=True))
        self.left_out.pop(charger_id, None)
        self._served.discard(charger_id)

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """In the hours that are sold, and under test, a vehicle stands at its baseline."""
        orders = dict(super().committed_kw(charger_id, now))
        if self.fcr is None:
            return orders
        unit = self._control.units.get(charger_id)
        if unit is not None:
            orders[quarter_at(now)] = unit.baseline_kw
        for hour, sold in self.sold.items():
            mine = next((u for u in sold.units if u.charger_id == charger_id), None)
            if sold.ended or mine is None or charger_id in self.left_out or hour + HOUR <= now:
                continue
            for quarter in (hour + k * QUARTER for k in range(4)):
                if quarter + QUARTER > now:
                    orders[quarter] = (unit or mine).baseline_kw
        return orders
