"""Frequency control services, the V2X manager's side (D5.1 3.7, BUC 7): asked for, tested, delivered, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import is_
from typing import Any

from agents.decisions.fcr_portfolio import READY_MARGIN, Earnings, Unit, allocate, make_up, must_charge
from agents.decisions.fcr_products import RULES, FcrRules
from agents.decisions.money import cents
from agents.decisions.vehicle_offer import Parked
from agents.fcr_log import FcrLog
from agents.fcr_ports import FrequencyMeter, MeterError, TestBench
from agents.frequency_control import FrequencyControl, scaled
from agents.frequency_test import FrequencyTest, TestFailedError
from agents.ledger import LedgerError
from agents.parking import Parking
from agents.periods import QUARTER, quarter_at
from behaviours.answering import Agree, Failure, Incoming, Inform, Refuse, answers, failure, refusal
from behaviours.outcomes import Agreed, Failed, Informed
from behaviours.swarm import Swarm
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.frequency_services import (
    CapacityAward,
    CapacityOffer,
    CapacitySettlement,
    Control,
    DeliveryQuery,
    DeliveryReport,
    FcrParticipation,
    FcrStatus,
    FcrStatusSubscription,
    ParticipationApplication,
    ParticipationChange,
    ParticipationEnd,
    PortfolioUnit,
    Prequalification,
    PrequalificationFailed,
    TestStep,
)
from protocols.exchanges.plain import Done
from protocols.exchanges.vocabulary import FcrProduct, ServiceType
from protocols.roles import Role

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
ANSWER_TIME = timedelta(minutes=5)
OFFER_BEFORE = timedelta(minutes=25)
OFFER_LATEST = timedelta(minutes=20)
SETTLED_AFTER = timedelta(minutes=30)
"""The TSO settles an hour so long after its end at the latest."""
TEST_TAKES = timedelta(hours=12)
LEAST_CHANGE_KW = 1e-3
WIND_DOWN = timedelta(minutes=15)
RAMP_DOWN = timedelta(minutes=5)
"""Technical requirements 3.7.2: at the end of FCR-D an activation goes on, for 15 minutes at most, then ramps down."""
RAMP_STEPS = 10


@dataclass(frozen=True, slots=True)
class FcrTerms:
    """What a lot's owner lets it do in frequency control.

    It claims `capacity_kw` of `product` and keeps `energy_kwh` of the batteries for it; applies at `application_at` for
    a test from `test_from`, for which the vehicles must stay `test_lasts`; and offers each whole hour from `first_hour`
    to `last_hour` (when the last one ends), at `price_eur_per_kw` for each kW and 15 minutes, nothing below
    `minimum_bid_kw`. `owners_share` of what capacity brings is the vehicles' owners'. What was asked for is in a
    vehicle `ready_margin` before it leaves. `cancels_test_at` and `withdraw_at`: when the owner changes his mind (7.3).
    """

    product: FcrProduct
    control: Control
    capacity_kw: float
    energy_kwh: float
    application_at: datetime
    test_from: datetime
    first_hour: datetime
    last_hour: datetime
    price_eur_per_kw: Decimal
    minimum_bid_kw: float = 100.0
    owners_share: float = 0.7
    ready_margin: timedelta = READY_MARGIN
    test_lasts: timedelta = timedelta(hours=5)
    approval_lasts: timedelta = timedelta(days=365)
    cancels_test_at: datetime | None = None
    withdraw_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Sold:
    """An hour that the TSO has bought: who bears it, and since when. `capacity_kw` is what is owed by now."""

    offer: CapacityOffer
    agreed: Agreed
    capacity_kw: float
    price_eur_per_kw: Decimal
    units: tuple[Unit, ...]
    least_kw: float
    ended: bool = False
    settlement: CapacitySettlement | None = None
    borne_kws: dict[str, float] = field(default_factory=dict)
    """kW times seconds by charger."""


class FrequencyService(Parking):
    """D5.1 3.7: "the V2X Manager plays an important role in this process by requesting participation in the frequency
    control services (ID 7.1)"; "the EV owners are informed of the FCR services participation status ... (ID 7.2)";
    "the V2X Manager has the option to stop participating in the FCR service. In other words, if the V2X Manager
    notifies the TSO, it will always be able to stop offering the service or modify its participation (ID 7.3)".

    Without `fcr` it takes no part. `meters`: the main meter and its backup; `bench`: on which the portfolio is tested;
    `tso`: its JID, None for whoever the directory names. `sold` has what was bought by the hour, `approved_kw` the
    maximum that the test has established (None: not approved).
    """

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        fcr: FcrTerms | None = None,
        meters: Sequence[FrequencyMeter] = (),
        bench: TestBench | None = None,
        log: FcrLog | None = None,
        tso: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(jid, password, swarm, **options)
        self.fcr = fcr
        self.meters = tuple(meters)
        self.bench = bench
        self.log = log
        self.tso = tso
        self.approved_kw: float | None = None
        self.sold: dict[datetime, Sold] = {}
        self.earnings = Earnings()
        self.left_out: dict[str, str] = {}
        self.portfolio_id = ""
        self.frequency_control: FrequencyControl | None = None
        self.test: FrequencyTest | None = None
        self._application: Agreed | None = None
        self._under_way: Sold | None = None
        self._withdrawn = False
        self._served: set[str] = set()
        self._watchers: dict[str, str] = {}
        self._told_at: datetime | None = None
        self._telling = False
        self._following: list[asyncio.Task[None]] = []
        self._borne_since: datetime | None = None
        if fcr is not None:
            if not self.meters or bench is None:
                raise ValueError(f"{self.name} takes part in frequency control: it needs frequency meters and a bench")
            if "fcr" not in self.services:
                self.services = (*self.services, "fcr")
            self.portfolio_id = f"{self.name}-{fcr.product}"
            self.frequency_control = FrequencyControl(
                self,
                RULES[fcr.product],
                fcr.control,
                self.meters,
                log,
                lost_unit=lambda charger_id, why: self._soon(self._replace(charger_id, why)),
                lost_meters=lambda why: self._soon(self._stop_all(why)),
            )

    def _soon(self, work: Any) -> None:
        self.spawn(work, "frequency containment")

    @property
    def _terms(self) -> FcrTerms:
        assert self.fcr is not None
        return self.fcr

    @property
    def _rules(self) -> FcrRules:
        return RULES[self._terms.product]

    @property
    def _control(self) -> FrequencyControl:
        assert self.frequency_control is not None
        return self.frequency_control

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
        hour = terms.first_hour
        while hour <= self.now():
            hour += HOUR
        self.spawn(self._offer_hours(hour), "offers capacity")
        while hour < terms.last_hour:
            await self.clock.sleep_until(hour)
            await self._begin_hour(hour)
            hour += HOUR
        await self.clock.sleep_until(hour)
        if self._control.on and not self._withdrawn:
            await self._wind_down()
            await self._end_service()
        await asyncio.gather(*self._following)
        await self._pay_owners()

    # ---- 7.1 and 7.x.1: the application and its test ---------------------------------------------------------------

    async def _apply(self) -> bool:
        """7.1: whether the portfolio was approved."""
        terms, now = self._terms, self.now()
        await self.desk.read()
        until = terms.test_from + terms.test_lasts
        units = allocate(
            self._rules,
            self._fcr_vehicles(now),
            terms.test_from,
            max(until, terms.test_from + HOUR),
            terms.capacity_kw,
            ready_margin=terms.ready_margin,
            baseline_kw=0.0,
        )
        if not units:
            self.notice(f"no vehicle can be tested for {self._rules.name} at {terms.test_from:%H:%M} UTC")
            return False
        units = scaled(units, terms.capacity_kw, 0.0)  # what is claimed, whether they can do it or not
        application = ParticipationApplication(
            application_id=f"{self.portfolio_id}-7.1-{now:%Y%m%dT%H%M}",
            portfolio_id=self.portfolio_id,
            product=terms.product,
            capacity_kw=terms.capacity_kw,
            energy_kwh=terms.energy_kwh,
            baseline_kw=0.0,
            control=terms.control,
            units=self._portfolio(units),
            test_from=terms.test_from,
            valid_until=terms.test_from + terms.approval_lasts,
        )
        assert self.bench is not None
        tso = await self._find_tso()
        if tso is None:
            self.notice("no TSO is known that approves portfolios for frequency containment")
            return False
        test = self.test = FrequencyTest(application, units, self._control, self.bench, self.clock)
        outcome = await self.request(
            application, to=tso, reply_by=now + ANSWER_TIME, done_by=terms.test_from + TEST_TAKES
        )
        if not isinstance(outcome, Agreed):
            self.notice(f"{self.portfolio_id} is not tested: {outcome}")
            self.test = None
            return False
        self._application = outcome
        if terms.cancels_test_at is not None:
            self.spawn(self._cancel_test(terms.cancels_test_at, "the owner has called the test off"), "cancels")
        result = await outcome.result()
        self._application, called_off = None, test.why_over
        await self._end_test()
        match result:
            case Informed(content=Prequalification() as approval):
                self.approved_kw = min(approval.approved_kw, terms.capacity_kw)
                return True
            case Failed(content=PrequalificationFailed() as failed):
                self.notice(f"{self.portfolio_id} is not approved: {failed.reason}")
            case _ if called_off is None:
                self.notice(f"the test of {self.portfolio_id} has no result: {result}")
        return False

    def _portfolio(self, units: Sequence[Unit]) -> tuple[PortfolioUnit, ...]:
        """All chargers behind the connection point's meter: those that are tested with their part, the others with
        what their ratings allow; who serves changes from hour to hour (3.11, flexible operation)."""
        tested = {unit.charger_id: unit.capacity_kw for unit in units}
        inwards, outwards = self.lot.ratings_kw
        by_rating = min(outwards / self._rules.power_up, inwards / self._rules.power_down)
        return tuple(
            PortfolioUnit(
                charger_id=charger_id,
                max_charge_kw=inwards,
                max_discharge_kw=outwards,
                capacity_kw=tested.get(charger_id, by_rating),
            )
            for charger_id in self.desk.chargers
        )

    def _held(self, units: Sequence[Unit]) -> list[Unit]:
        """The other vehicles that can wait: under test nothing else is drawn behind the meter."""
        now, serving = self.now(), {unit.charger_id for unit in units}
        until = now + self._terms.test_lasts
        inwards, outwards = self.lot.ratings_kw
        return [
            Unit(v.id, 0.0, 0.0, -outwards, inwards, 0.0, 0.0, v.efficiency_charge, v.efficiency_discharge)
            for v in self._fcr_vehicles(now)
            if v.id not in serving and not must_charge(v, until, self._terms.ready_margin)
        ]

    async def _find_tso(self) -> str | None:
        if self.tso is None:
            found = await self.search(role=Role.TSO)
            self.tso = found[0].jid if found else None
        return self.tso

    @answers(TestStep)
    async def on_test_step(self, step: TestStep, incoming: Incoming) -> Inform | Refuse | Failure | None:
        """7.x.1: one step of the test; the answer is its record."""
        test = self.test
        if test is None or test.application.application_id != step.application_id or incoming.sender != self.tso:
            return refusal("no-application", f"{step.application_id} is not under test")
        if test.why_over is not None or test.busy:
            return refusal("busy", test.why_over or "another step is under way")
        if not self._control.on:
            there = {vehicle.id for vehicle in self._fcr_vehicles(self.now())}
            test.units = tuple(unit for unit in test.units if unit.charger_id in there)
            if not test.units:
                return refusal("no-vehicle", "no vehicle is left that can be tested")
            test.units += tuple(self._held(test.units))
            if not self.claim([unit.charger_id for unit in test.units], self.portfolio_id):
                return refusal("busy", "the vehicles serve the DSO")
        if not await incoming.agree(Done(reference=step.step_id)):
            return None
        first = not self._control.on
        working = asyncio.ensure_future(test.step(step))
        if first:
            self._tell_owners_soon()
        try:
            return Inform(await working)
        except TestFailedError as error:
            return failure("test-broken-off", str(error))

    async def _cancel_test(self, at: datetime, reason: str) -> None:
        """7.3 in the middle of the test."""
        await self.clock.sleep_until(at)
        agreed, test = self._application, self.test
        if agreed is None or test is None:
            return
        self._application = None
        test.stop(reason)
        self.notice(f"the test of {self.portfolio_id} is called off: {reason}")
        end = ParticipationEnd(reference=test.application.application_id, start=self.now(), reason=reason)
        await self._end_test()
        await self._cancel_fcr(agreed, end)

    async def _cancel_fcr(self, agreed: Agreed, end: ParticipationEnd) -> None:
        outcome = await agreed.cancel(end, self.now() + ANSWER_TIME)
        over = isinstance(outcome, Failed) and getattr(outcome.content, "code", "") == "over"
        if not isinstance(outcome, Informed) and not over:
            self.notice(f"the end of {end.reference} is not confirmed: {outcome}")

    async def _end_test(self) -> None:
        if self.test is None:
            return
        test, self.test = self.test, None
        test.stop(test.why_over or "the test is over")
        test.bench.release()
        await self._end_service()

    # ---- 7.x.2: capacity, hour by hour -----------------------------------------------------------------------------

    async def _offer_hours(self, hour: datetime) -> None:
        while hour < self._terms.last_hour:
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

    def _fcr_vehicles(self, now: datetime) -> list[Parked]:
        """The vehicles that no other service has and that were not left out."""
        return [
            vehicle
            for vehicle in self.vehicles(now)
            if vehicle.id not in self.left_out and self.claimed.get(vehicle.id, self.portfolio_id) == self.portfolio_id
        ]

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

    async def _bear(self, units: Sequence[Unit], capacity_kw: float) -> None:
        """These units bear the service from now on."""
        ids = [unit.charger_id for unit in units]
        before = set(self._control.units)
        if not self.claim(ids, self.portfolio_id):
            units = [unit for unit in units if self.claim([unit.charger_id], self.portfolio_id)]
            capacity_kw = min(capacity_kw, sum(unit.capacity_kw for unit in units))
        self._note_borne()
        self._served.update(ids)
        if not units:
            await self._control.end()
        elif self._control.on:
            await self._control.change(units, capacity_kw)
        else:
            await self._control.begin(units, capacity_kw, self._terms.energy_kwh)
        await self._give_up(before.difference(ids))
        if before != set(ids):
            self._tell_owners_soon()

    async def _end_service(self) -> None:
        """The vehicles go back to their plans."""
        self._note_borne()
        self._under_way = None
        if self._control.on:
            ids = list(self._control.units)
            await self._control.end()
            await self._give_up(ids)
            self._tell_owners_soon()
        else:
            await self._give_up([c for c, by in self.claimed.items() if by == self.portfolio_id])

    async def _give_up(self, charger_ids: Iterable[str]) -> None:
        ids = sorted(charger_ids)
        for charger_id in ids:
            self.release_claim(charger_id, self.portfolio_id)
            self.desk.setpoints.pop(charger_id, None)
        if ids:
            await self.desk.read(ids)
            self.replan(ids)
            await self.steer(ids)
            await asyncio.gather(*(self.desk.release(c) for c in ids if c not in self.plans))

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

    # ---- what goes otherwise than sold, and 7.3 --------------------------------------------------------------------

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
        if sold.ended:
            return
        sold.ended = True
        end = ParticipationEnd(reference=sold.offer.offer_id, start=self.now(), reason=why)
        await self._cancel_fcr(sold.agreed, end)

    async def _stop_all(self, why: str) -> None:
        """The service stops at once, in test or delivery, and the TSO is told."""
        self.notice(f"{self._rules.name} stops: {why}")
        agreed, test = self._application, self.test
        if agreed is not None and test is not None:
            self._application = None
            test.stop(why)
            await self._end_test()
            end = ParticipationEnd(reference=test.application.application_id, start=self.now(), reason=why)
            await self._cancel_fcr(agreed, end)
            return
        await self._end_service()
        for sold in [sold for sold in self.sold.values() if sold.offer.end > self.now()]:
            await self._stop_hour(sold, why)

    async def _withdraw_fcr(self, at: datetime) -> None:
        await self.clock.sleep_until(at)
        self._withdrawn = True
        await self._stop_all("the owner of the vehicles' chargers withdraws")

    # ---- hooks of the lot ------------------------------------------------------------------------------------------

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

    # ---- 7.x.3: the report, and money ------------------------------------------------------------------------------

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

    def _note_borne(self) -> None:
        """Counts who bore how much since it was last counted."""
        now = self.now()
        since, self._borne_since = self._borne_since, now
        if since is None or self._under_way is None or self.frequency_control is None:
            return
        seconds = (now - since).total_seconds()
        borne = self._under_way.borne_kws
        for charger_id, unit in self._control.units.items():
            borne[charger_id] = borne.get(charger_id, 0.0) + unit.capacity_kw * seconds

    async def _pay_owners(self) -> None:
        """3.x.4: each owner's share of the capacity, and the wear of what went through the battery; once a night."""
        booked = {p.transaction_id: p.amount_eur for p in self.ledger.statement(self.name)}
        for sold in self.sold.values():
            if sold.settlement is None and sold.ended:  # the TSO has paid what was served, in the ledger only
                part = float(max(Decimal(0), booked.get(sold.offer.offer_id, Decimal(0))))
                self.earnings.share(part * self._terms.owners_share, sold.borne_kws)
        for charger_id in sorted({*self.earnings.capacity_eur, *self._control.throughput_kwh}):
            owner = self._owner(charger_id)
            kwh = self._control.throughput_kwh.get(charger_id, 0.0)
            amount = cents(Decimal(repr(self._earned(charger_id))))
            if owner is None or amount <= 0:
                continue
            first = min(self.sold) if self.sold else self._terms.first_hour
            told = Remuneration(
                remuneration_id=f"{self.portfolio_id}-{charger_id}-{first:%Y%m%d}",
                service=ServiceType.FREQUENCY_CONTAINMENT,
                reference=self.portfolio_id,
                ev_owner=owner,
                start=first,
                end=max(first + SECOND, self.now()),
                energy_kwh=round(kwh, 3),
                amount_eur=amount,
            )
            try:
                self.ledger.transfer(
                    told.remuneration_id,
                    self.now(),
                    self.portfolio_id,
                    payer=self.name,
                    payee=owner.partition("@")[0],
                    amount_eur=amount,
                )
            except LedgerError as error:
                self.notice(str(error))
                continue
            outcome = await self.request(told, to=owner, reply_by=self.now() + ANSWER_TIME)
            if not isinstance(outcome, Informed):
                self.notice(f"the remuneration {told.remuneration_id} is not acknowledged: {outcome}")

    def _owner(self, charger_id: str) -> str | None:
        return self.drivers.get(charger_id) or self.desk.owner_of(charger_id)

    def _earned(self, charger_id: str) -> float:
        """What its owner has earned so far, EUR."""
        wear = self._control.throughput_kwh.get(charger_id, 0.0) * self.lot.wear_eur_per_kwh
        return self.earnings.capacity_eur.get(charger_id, 0.0) + wear

    # ---- 7.2: what owners hear -------------------------------------------------------------------------------------

    @answers(FcrStatusSubscription)
    async def on_fcr_status_subscription(self, topic: FcrStatusSubscription, incoming: Incoming) -> Agree | Refuse:
        """7.2: the owner hears of the vehicle each quarter of an hour, and when its status changes."""
        if self.fcr is None:
            return refusal("no-service", "this lot takes no part in frequency control")
        if self._watchers.get(topic.request_id, incoming.sender) != incoming.sender:
            return refusal("used-reference", f"{topic.request_id} is another owner's")
        self._watchers[topic.request_id] = incoming.sender
        return Agree(Done(reference=topic.request_id))

    def _tell_owners_soon(self) -> None:
        """After what happens at this moment; at most one news for each moment."""
        if self.fcr is not None and not self._telling:
            self._telling = True
            self._soon(self._tell_owners())

    async def _tell_owners(self) -> None:
        if self._told_at is not None and self._told_at >= self.now():
            await self.clock.sleep_until(self._told_at + SECOND)
        else:
            await self.clock.sleep_until(self.now(), priority=50)
        self._telling, self._told_at = False, self.now()
        for topic in self.subscriptions(FcrStatusSubscription):
            owner = self._watchers.get(topic.request_id)
            for charger_id in self.desk.chargers:
                if self._owner(charger_id) == owner:
                    status = self._fcr_status(charger_id, topic.request_id)
                    await self.publish(FcrStatusSubscription, status, partial(is_, topic))
                    break

    def _fcr_status(self, charger_id: str, request_id: str) -> FcrStatus:
        now = self.now()
        reading, unit = self.desk.reading(charger_id), self._control.units.get(charger_id)
        status, reason = FcrParticipation.IDLE, None
        vehicle = self.desk.parked(charger_id, now)
        if unit is not None:
            status = FcrParticipation.TESTING if self.test is not None else FcrParticipation.PARTICIPATING
        elif charger_id in self.left_out:
            status, reason = FcrParticipation.LEFT_OUT, self.left_out[charger_id]
        elif charger_id in self._served and vehicle is not None and vehicle.energy_kwh < vehicle.required_kwh - 0.05:
            status = FcrParticipation.CHARGING_BEFORE_DEPARTURE
        return FcrStatus(
            request_id=request_id,
            timestamp=now,
            charger_id=charger_id,
            status=status,
            product=None if unit is None else self._terms.product,
            capacity_kw=0.0 if unit is None else round(unit.capacity_kw, 3),
            power_kw=0.0 if reading is None else round(reading.power_kw, 3),
            soc_percent=None if reading is None or reading.soc_percent is None else round(reading.soc_percent, 2),
            earnings_eur=cents(Decimal(repr(max(0.0, self._earned(charger_id))))),
            reason=reason,
        )
