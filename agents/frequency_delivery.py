"""Capacity hour by hour: offered, borne, made up for, reported and settled (D5.1 3.7, 7.x.2, 7.x.3 and 7.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from agents.decisions.fcr_portfolio import allocate, make_up, scaled
from agents.fcr_ports import MeterError
from agents.frequency_portfolio import FrequencyPortfolio
from agents.frequency_terms import ANSWER_TIME, HOUR, SECOND, Sold
from behaviours.answering import Incoming, Inform, Refuse, answers, refusal
from behaviours.outcomes import Agreed, Informed
from protocols.exchanges.frequency_services import (
    CapacityAward,
    CapacityOffer,
    CapacitySettlement,
    DeliveryQuery,
    DeliveryReport,
    ParticipationChange,
    ParticipationEnd,
)

OFFER_BEFORE = timedelta(minutes=25)
OFFER_LATEST = timedelta(minutes=20)
SETTLED_AFTER = timedelta(minutes=30)
"""The TSO settles an hour so long after its end at the latest."""
LEAST_CHANGE_KW = 1e-3
WIND_DOWN = timedelta(minutes=15)
RAMP_DOWN = timedelta(minutes=5)
"""Technical requirements 3.7.2: at the end of FCR-D an activation goes on, for 15 minutes at most, then ramps down."""
RAMP_STEPS = 10


class FrequencyDelivery(FrequencyPortfolio):
    """What is sold hour by hour, and what becomes of it."""

    async def _offer_hours(self, hour: datetime, last: datetime) -> None:
        while hour < last:
            await self.clock.sleep_until(hour - OFFER_BEFORE)
            if self._withdrawn:
                return
            if hour - self.now() >= OFFER_LATEST:
                await self._offer_hour(hour)
            hour += HOUR

    async def _offer_hour(self, hour: datetime) -> None:
        """7.x.2 for one hour, where the vehicles make up a bid and a meter can be read."""
        terms, now = self._terms, self.now()
        assert self.approved_kw is not None
        if not await self._meter_answers():
            self.notice(f"nothing is offered for {hour:%H:%M} UTC: no frequency meter answers")
            return
        await self.desk.read()
        units = allocate(
            self._rules, self._fcr_vehicles(now), hour, hour + HOUR, self.approved_kw, ready_margin=terms.ready_margin
        )
        total = round(sum(unit.capacity_kw for unit in units), 3)
        if total < max(terms.minimum_bid_kw, LEAST_CHANGE_KW):
            least = f"the smallest bid is {terms.minimum_bid_kw:g} kW"
            self.notice(f"nothing is offered for {hour:%H:%M} UTC: {total:g} kW can be given, {least}")
            return
        offer = CapacityOffer(
            offer_id=f"{self.portfolio_id}-{hour:%Y%m%dT%H%M}",
            portfolio_id=self.portfolio_id,
            product=terms.product,
            capacity_kw=min(total, self.approved_kw),
            start=hour,
            end=hour + HOUR,
            price_eur_per_kw=terms.price_eur_per_kw,
        )
        assert self.tso is not None
        outcome = await self.request(offer, to=self.tso, reply_by=now + ANSWER_TIME, done_by=offer.end + SETTLED_AFTER)
        if not isinstance(outcome, Agreed) or not isinstance(award := outcome.content, CapacityAward):
            self.notice(f"{offer.offer_id} is not bought: {outcome}")
            return
        if self._withdrawn:
            end = ParticipationEnd(reference=offer.offer_id, start=self.now(), reason="the portfolio has withdrawn")
            await self._cancel_fcr(outcome, end)
            return
        kw = min(award.capacity_kw, offer.capacity_kw)
        sold = Sold(offer, outcome, kw, award.price_eur_per_kw, scaled(units, kw), kw)
        self.sold[hour] = sold
        self._following.append(self.spawn(self._follow_hour(sold), f"follows {offer.offer_id}"))

    async def _meter_answers(self) -> bool:
        for meter in self.meters:
            try:
                await meter.read()
            except MeterError:
                continue
            return True
        return False

    async def _begin_hour(self, hour: datetime) -> None:
        """The hour begins: those who bear it, with what they give in it; or the service ends where nothing was sold."""
        sold = self.sold.get(hour)
        self._note_borne()
        if sold is None or sold.ended:
            if self._control.on:
                await self._end_service()
            return
        there = {vehicle.id for vehicle in self._fcr_vehicles(self.now())}
        units = [unit for unit in sold.units if unit.charger_id in there]
        total = sum(unit.capacity_kw for unit in units)
        self._under_way = sold
        await self._bear(units, min(total, sold.capacity_kw))
        if total < sold.capacity_kw - LEAST_CHANGE_KW:
            await self._fill_up("a vehicle has left, or serves the DSO")

    async def _wind_down(self) -> None:
        """3.7.2: an activation of FCR-D goes on beyond the end of what was sold until it ceases by itself."""
        control = self._control
        if self._rules.up and self._rules.down:
            return
        limit = self.now() + WIND_DOWN
        while control.on and abs(control.change_kw) > 0.01 * control.capacity_kw:
            if self.now() >= limit:
                break
            await self.clock.sleep_until(self.now() + SECOND)
        else:
            return
        whole, units = control.capacity_kw, tuple(control.units.values())
        for step in range(1, RAMP_STEPS):
            await self.clock.sleep_until(self.now() + RAMP_DOWN / RAMP_STEPS)
            if not control.on:
                return
            kw = whole * (1 - step / RAMP_STEPS)
            await control.change(scaled(units, kw), kw)

    async def _fill_up(self, why: str) -> None:
        """Makes up what is missing in the hour under way by others' room; 7.3 where that is not all of it."""
        sold = self._under_way
        if sold is None or sold.ended:
            return
        now, control = self.now(), self._control
        could = allocate(
            self._rules,
            self._fcr_vehicles(now),
            now,
            sold.offer.end,
            float("inf"),
            ready_margin=self._terms.ready_margin,
        )
        units = make_up(tuple(control.units.values()), could, sold.capacity_kw)
        total = min(sold.capacity_kw, round(sum(unit.capacity_kw for unit in units), 3))
        if not units or total < LEAST_CHANGE_KW:
            await self._stop_hour(sold, why)
            await self._end_service()
            return
        await self._bear(units, total)
        if total < sold.capacity_kw - LEAST_CHANGE_KW:
            sold.capacity_kw = sold.least_kw = total
            change = ParticipationChange(offer_id=sold.offer.offer_id, capacity_kw=total, start=self.now(), reason=why)
            self.notice(f"{sold.offer.offer_id} gives {total:g} kW from now on: {why}")
            assert self.tso is not None
            outcome = await self.request(change, to=self.tso, reply_by=self.now() + ANSWER_TIME)
            if not isinstance(outcome, Informed):
                self.notice(f"the change of {sold.offer.offer_id} is not confirmed: {outcome}")

    async def _stop_hour(self, sold: Sold, why: str) -> None:
        """7.3: what was sold ends now, or does not begin."""
        if not sold.ended:
            sold.ended = True
            await self._end_hour(sold, why)

    async def _end_hour(self, sold: Sold, why: str) -> None:
        end = ParticipationEnd(reference=sold.offer.offer_id, start=self.now(), reason=why)
        await self._cancel_fcr(sold.agreed, end)

    @answers(DeliveryQuery)
    async def on_delivery_query(self, query: DeliveryQuery, incoming: Incoming) -> Inform | Refuse:
        """7.x.3: what was kept and activated, by the log."""
        sold = next((s for s in self.sold.values() if s.offer.offer_id == query.offer_id), None)
        if sold is None or incoming.sender != self.tso:
            return refusal("unknown-offer", f"{query.offer_id} is none of mine")
        if self.log is None:
            return refusal("no-log", "no log is kept")
        if query.end > self.now():
            return refusal("future", f"{query.end.isoformat()} has not been")
        summary = self.log.summary(query.start, query.end, capacity_kw=sold.least_kw)
        return Inform(
            DeliveryReport(
                offer_id=query.offer_id,
                start=query.start,
                end=query.end,
                logged_seconds=summary.logged_seconds,
                available_seconds=summary.available_seconds,
                up_kwh=round(summary.up_kwh, 4),
                down_kwh=round(summary.down_kwh, 4),
                baseline_kw=tuple(round(kw, 3) for kw in summary.baseline_kw),
            )
        )

    async def _follow_hour(self, sold: Sold) -> None:
        """What becomes of an hour: its settlement, or that it was called off."""
        outcome = await sold.agreed.result()
        self._note_borne()
        match outcome:
            case Informed(content=CapacitySettlement() as settlement):
                sold.settlement = settlement
                amount = max(Decimal(0), settlement.capacity_eur - settlement.penalty_eur)
                self.earnings.share(float(amount) * self._terms.owners_share, sold.borne_kws)
                self._tell_owners_soon()
            case _ if not sold.ended:
                self.notice(f"{sold.offer.offer_id} is not settled: {outcome}")
