"""A congestion service under way at a parking lot (D5.1 3.3, BUC 3): its drivers, its chargers, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agents.congestion_book import Help, Serving
from agents.congestion_customers import WAVE_TIME, Willing, ask, award, engage, pay_all, tell_over
from agents.decisions.congestion_offer import Willingness, next_wave
from agents.decisions.merit_order import Activation, CongestionTerms
from agents.decisions.retail_plan import hours_needed
from agents.decisions.vehicle_offer import LEAST_OFFER_KW, SLACK
from agents.parking import Lot, Parking
from agents.periods import QUARTER, quarter_at
from agents.v2x_desk import REVERSION
from behaviours.swarm import Swarm

CHECKED_AFTER = timedelta(minutes=1)
"""So long after it was set a charger must do as it was told."""
HEARD_AFTER = timedelta(seconds=5)
"""So long after their award drivers who do not hold to what they agreed to have said so."""
KEPT = timedelta(days=1)


class CongestionServing(Parking):
    """Keeps what was promised: asks the drivers, sets the chargers each quarter of an hour, replaces who fails, and
    gives the chargers back. Who calls and awards, and what is offered, is its subclass's (`CongestionHelp`)."""

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        lot: Lot,
        congestion: CongestionTerms | None = None,
        **options: Any,
    ) -> None:
        """`congestion`: how it reckons; by default with the lot's wear and minimum benefit."""
        super().__init__(jid, password, swarm, lot=lot, **options)
        self.terms = congestion or CongestionTerms(lot.wear_eur_per_kwh, lot.minimum_benefit_eur_per_kwh)
        self.willingness = Willingness()
        self._helps: dict[str, Help] = {}
        """Services under way, and for `KEPT` those that are over, by the call's id."""
        self._disobeyed: set[str] = set()
        """Chargers that did not do as they were told; they are offered again when the next vehicle is there."""

    # ---- the drivers -------------------------------------------------------------------------------------------------

    def _free(self, charger_id: str, start: datetime) -> bool:
        """Whether it may be promised from `start` on: nobody has it, or a congestion service that is over by then."""
        if charger_id in self._disobeyed:
            return False
        service_id = self.claimed.get(charger_id)
        if service_id is not None and service_id not in self._helps:
            return False
        having = [
            h for h in self._helps.values() if h.ended is None and (charger_id in h.serving or h.id == service_id)
        ]
        return all(help_.end <= start for help_ in having)

    async def _fill(self, help_: Help) -> None:
        """Asks drivers in the order of the list, in waves of as many as are expected to be needed, until the promise is
        kept or everybody has been asked."""
        async with help_.asking:
            while help_.ended is None and (wave := self._wave(help_)):
                by = self.now() + WAVE_TIME
                asked = [ask(self, help_.offered, self.desk.owner_of(c) or "", each, by) for c, each in wave.items()]
                answered = await asyncio.gather(*asked)
                engaged = False
                for (charger_id, options), willing in zip(wave.items(), answered, strict=True):
                    kind = options[0][1].kind if willing is None else willing.part.kind
                    self.willingness = self.willingness.after(kind, willing is not None)
                    if willing is not None and await self._engage(help_, willing):
                        engaged = True
                        continue
                    self._let_go(charger_id, help_)
                    if willing is not None and max(help_.missing_kw(self.now())) < LEAST_OFFER_KW:
                        help_.asked.discard(charger_id)  # was not needed, and may be when another one fails
                if engaged:
                    await self.clock.sleep_until(self.now() + HEARD_AFTER)

    def _wave(self, help_: Help) -> dict[str, list[tuple[str, Activation]]]:
        """Whom to ask next for what; they are claimed. Nobody where the promise is kept."""
        now = self.now()
        free = {
            c
            for c in help_.offered.chargers
            if c not in help_.asked and self.desk.parked(c, now) is not None and self._free(c, help_.start)
        }
        wave = next_wave(help_.offered.entries, free, max(help_.missing_kw(now)), self.willingness)
        self.claim([c for c in wave if c not in self.claimed], help_.id)
        help_.asked.update(wave)
        return wave

    async def _engage(self, help_: Help, willing: Willing) -> bool:
        """Awards a driver who agreed what is still missing; False where that is nothing."""
        now = self.now()
        missing = [0.0] * help_.offered.service.periods if help_.ended is not None else help_.missing_kw(now)
        reduction = tuple(min(a, b) for a, b in zip(willing.part.reduction_kw, missing, strict=True))
        serving = await engage(help_, willing, reduction, now)
        if serving is None:
            return False
        help_.serving[willing.part.charger_id] = serving
        self.spawn(self._hear(help_, serving), f"hears {serving.owner}")
        self.replan([willing.part.charger_id])
        await self._set(help_, [willing.part.charger_id])
        return True

    async def _hear(self, help_: Help, serving: Serving) -> None:
        """The driver's word until the end: who does not hold to it is replaced."""
        against = await award(help_, serving)
        charger_id = serving.part.charger_id
        if against is None or help_.ended is not None or help_.serving.get(charger_id) is not serving:
            return
        self.notice(f"{serving.owner} does not hold to {help_.id}: {against}")
        await self._drop(help_, charger_id)
        await self._fill(help_)

    def _let_go(self, charger_id: str, help_: Help) -> None:
        """Gives up the claim, to the next service where one is waiting for the vehicle."""
        self.release_claim(charger_id, help_.id)
        for other in self._helps.values():
            if other is not help_ and charger_id in other.serving and other.ended is None:
                self.claim([charger_id], other.id)

    # ---- the chargers ------------------------------------------------------------------------------------------------

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """What it was awarded for; and while a service runs, what was nominated as the baseline of those beside it."""
        orders = dict(super().committed_kw(charger_id, now))
        for help_ in self._helps.values():
            if help_.ended is not None:
                continue
            serving = help_.serving.get(charger_id)
            for k, at in help_.quarters():
                if at + QUARTER <= now:
                    continue
                if serving is not None:
                    orders[at] = serving.set_kw(k)
                elif charger_id not in self.claimed and (kw := self._beside(help_, charger_id, k, now)) is not None:
                    orders.setdefault(at, kw)
        return orders

    def _beside(self, help_: Help, charger_id: str, period: int, now: datetime) -> float | None:
        """A vehicle that does not serve keeps the baseline that was nominated for it, whatever the prices do, as long
        as it leaves with what was asked for; None where it may do as it likes."""
        nominated = help_.offered.nominated_kw.get(charger_id)
        vehicle = self.desk.parked(charger_id, now)
        if nominated is None or vehicle is None:
            return None
        hours = (vehicle.departure - SLACK - max(now, help_.end)) / timedelta(hours=1)
        return nominated[period] if hours_needed(vehicle, vehicle.required_kwh) <= hours else None

    async def _set(self, help_: Help, charger_ids: Sequence[str]) -> None:
        """Sets chargers of a service: before it begins to their plan."""
        now = self.now()
        period = help_.period(now)
        for charger_id in charger_ids:
            serving = help_.serving.get(charger_id)
            if serving is None or self.claimed.get(charger_id) != help_.id:
                continue
            kw = self.planned_kw(charger_id, quarter_at(now), 1)[0] if period is None else serving.set_kw(period)
            self.desk.setpoints[charger_id] = kw
            await self.desk.order(charger_id, kw, int(REVERSION.total_seconds()))

    async def on_quarter(self, now: datetime) -> None:
        await super().on_quarter(now)
        for help_ in [each for each in self._helps.values() if each.ended is None and each.end <= now]:
            await self._finish(help_, help_.end)
        for help_ in [each for each in self._helps.values() if each.ended is None]:
            await self._set(help_, list(help_.serving))
        self._helps = {k: h for k, h in self._helps.items() if h.ended is None or h.ended > now - KEPT}
        self.spawn(self._see_to_it(quarter_at(now)), "sees whether the chargers obey")

    async def _see_to_it(self, start: datetime) -> None:
        await self.clock.sleep_until(start + CHECKED_AFTER)
        for help_ in [each for each in self._helps.values() if each.ended is None]:
            if (period := help_.period(self.now())) is not None and help_.serving:
                await self._check(help_, period)

    async def _check(self, help_: Help, period: int) -> None:
        """A charger that is silent or draws more than it was set to serves no more; the next on the list are asked."""
        await self.read()
        lost = 0
        for charger_id, serving in tuple(help_.serving.items()):
            reading = self.desk.reading(charger_id)
            if charger_id not in help_.serving:
                continue  # it has left meanwhile
            if reading is not None and reading.power_kw <= serving.set_kw(period) + LEAST_OFFER_KW:
                continue
            said = "is silent" if reading is None else f"draws {reading.power_kw:.1f} kW"
            self.notice(f"charger {charger_id} {said} instead of {serving.set_kw(period):.1f} kW for {help_.id}")
            self._disobeyed.add(charger_id)
            self.spawn(tell_over(self, help_, serving, "the charger does not obey"), "tells a driver")
            await self._drop(help_, charger_id)
            lost += 1
        if lost:
            await self._fill(help_)

    async def _drop(self, help_: Help, charger_id: str) -> None:
        help_.drop(charger_id, self.now())
        self._let_go(charger_id, help_)
        self.replan([charger_id])
        await self.steer([charger_id])

    async def on_left(self, charger_id: str) -> None:
        await super().on_left(charger_id)
        self._disobeyed.discard(charger_id)
        for help_ in tuple(self._helps.values()):
            if charger_id in help_.serving and help_.ended is None:
                self.notice(f"the vehicle at {charger_id} left during {help_.id}")
                told = tell_over(self, help_, help_.serving[charger_id], "the vehicle has left")
                self.spawn(told, "tells a driver")
                help_.drop(charger_id, self.now())
                self.spawn(self._fill(help_), "asks further drivers")

    async def _finish(self, help_: Help, at: datetime) -> None:
        """The end, planned or not: the chargers go back to their plans, and the drivers get what they are due."""
        help_.ended = at
        for charger_id in help_.serving:
            self._let_go(charger_id, help_)
        self.replan()
        await self.steer()
        self.spawn(pay_all(self, self.ledger, self.desk, help_, at), "pays the drivers")
        help_.over.set()  # last: the award's result must not overtake the answer to a cancel
