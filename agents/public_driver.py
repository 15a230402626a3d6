"""The driver without a charger at home: asks for choices, picks one, charges there, and pays (role EV owner)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from agents.actor import Actor
from agents.charging_bookings import ANSWER_TIME, Booked, Choices, Found, Outcome, ask, book, is_gone
from agents.decisions.charging_options import concerns, receipt_fault
from agents.decisions.choice import ChoiceModel, choose, gumbel
from agents.ledger import Ledger, LedgerError
from agents.public_ports import Car, CarError, CarReading, Need
from behaviours.outcomes import CalledOff, Informed, Silent, Subscribed, has_stopped
from behaviours.swarm import Swarm
from protocols.exchanges.capacity_contracts import SessionReceipt
from protocols.exchanges.network_prices import ChargingPrices, PriceSubscription
from protocols.roles import Role

READS_NEWS_AFTER = timedelta(minutes=5)
"""When a driver looks at a new price, so that what both operators tell is looked at together."""
SUBSCRIBED_WITHIN = timedelta(hours=1)
"""How long (scenario time) an operator may take to note a subscriber: all of them come at once."""
HELD_AFTER = timedelta(minutes=1)
"""A pick that was not turned down by then is held."""
MOST_ASKED = 2
"""A driver whose pick is gone asks once more."""
LEAVES, ARRIVES = 3, 4
"""Whoever leaves a charger does so before the next one arrives, and both before the quarter's orders."""


@dataclass(slots=True, eq=False)
class Errand:
    """A need that is being seen to. `asked`: requests so far; `tries`: those for a first booking; `begun`: the car is
    there; `left`: what the car showed when it left; `looking`: it is being reconsidered; `replaced`: the bookings that
    were given up for another. `deciding` is held from a request until what is picked is held: one after the other."""

    need: Need
    asked: int = 0
    tries: int = 0
    booked: Booked | None = None
    begun: bool = False
    looking: bool = False
    left: CarReading | None = None
    replaced: list[Booked] = field(default_factory=list)
    receipts: list[SessionReceipt] = field(default_factory=list)
    paid: bool = False
    deciding: asyncio.Lock = field(default_factory=asyncio.Lock)


class PublicDriver(Actor):
    """D5.1 3.5.2: "EV owners request for charging suggestions, which are affected by the capacity limitations"; 3.4.2:
    "the new prices are shared with the EV owners, some of which might be motivated to modify their decisions".

    It picks by a logit model with noise that is drawn by the need, the station and the stay from `seed`; a driver who
    follows prices hears of lowered ones (4.2.2), and asks again where a stay that has not begun may profit.
    """

    role: ClassVar[Role] = Role.EV_OWNER

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        needs: Sequence[Need],
        car: Car,
        model: ChoiceModel,
        seed: int,
        follows_prices: bool,
        ledger: Ledger,
        until: datetime,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.needs = tuple(sorted(needs, key=lambda need: need.asks_at))
        self.car = car
        self.model = model
        self.seed = seed
        self.follows_prices = follows_prices
        self.ledger = ledger
        self.until = until
        self.errands: list[Errand] = []

    async def course(self) -> None:
        """Subscribes to prices where it follows them, and sees to one need after the other, as each comes up."""
        if self.follows_prices:
            self.spawn(self.subscribe_to_prices(), "subscribes to prices")
        for need in self.needs:
            if need.asks_at >= self.until:
                return
            await self.clock.sleep_until(need.asks_at)
            errand = Errand(need)
            self.errands.append(errand)
            self.spawn(self._see_to(errand), f"need {need.need_id}")

    # ---- 4.2.2

    async def subscribe_to_prices(self) -> None:
        """4.2.2 of every operator in the directory."""
        await asyncio.gather(*(self._subscribe_at(entry.jid) for entry in await self.search(role=Role.CPO)))

    async def _subscribe_at(self, cpo: str) -> None:
        topic = PriceSubscription(request_id=f"{self.name}-prices", timestamp=self.now())
        outcome = await self.subscribe(topic, to=cpo, on_inform=self.on_prices, reply_by=self.now() + SUBSCRIBED_WITHIN)
        if not isinstance(outcome, Subscribed):
            self.notice(f"{cpo} does not tell its prices: {outcome}")

    def on_prices(self, news: ChargingPrices) -> None:
        """4.2.2: a lowered price near a stay that has not begun is worth another look."""
        for errand in self.errands:
            if errand.looking or errand.begun or errand.receipts:
                continue
            if concerns(news, errand.need, self._ahead(errand.need)):
                errand.looking = True
                self.spawn(self._look_again(errand), f"looks again at {errand.need.need_id}")

    def _ahead(self, need: Need) -> list[int]:
        """The stays that will not have begun when a change would be made."""
        soonest = self.now() + READS_NEWS_AFTER + 2 * HELD_AFTER
        return [n for n, stay in enumerate(need.stays) if stay.arrival > soonest and stay.departure <= self.until]

    async def _look_again(self, errand: Errand) -> None:
        """Asks again, what is held being one of the choices; changes where another one is picked."""
        try:
            stays = self._ahead(errand.need)
            await self.clock.sleep_until(self.now() + READS_NEWS_AFTER)
            async with errand.deciding:
                held = errand.booked
                if errand.begun or (held is not None and held.choice.start <= self.now() + 2 * HELD_AFTER):
                    return
                choices = await self._ask(errand, stays)
                found = self._pick(choices, held)
                if found is None or (held is not None and found is held.found):
                    await choices.decline(self.now())
                    return
                await self._change(errand, held, book(self, choices, found))
        finally:
            errand.looking = False

    async def _change(self, errand: Errand, held: Booked | None, new: Booked) -> None:
        """From `held` to `new`: first the new one is held, then the old one called off. Who is not let go stays."""
        await self._until(self.now() + HELD_AFTER, new)
        if new.outcome.done():
            if not is_gone(outcome := await new.outcome):
                self.notice(f"keeps what it has booked for {errand.need.need_id}: {outcome}")
            return
        if held is not None and not held.outcome.done():
            outcome = await held.cancel("a cheaper one was found", self.now() + ANSWER_TIME)
            if not has_stopped(outcome):
                self.notice(f"{held.choice.choice_id} cannot be called off: {outcome}")
                await new.cancel("the one before cannot be called off", self.now() + ANSWER_TIME)
                return
            errand.replaced.append(held)
        errand.booked = new
        self.spawn(self._attend(errand, new), f"session {new.request_id}")

    # ---- 5.2.2 to 5.2.4

    async def _see_to(self, errand: Errand) -> None:
        """Asks both operators, picks, and goes there; what was gone already is asked for once more."""
        now = self.now()
        stays = [n for n, each in enumerate(errand.need.stays) if each.departure > now and each.departure <= self.until]
        if not stays:
            return
        async with errand.deciding:
            if errand.booked is not None:
                return  # a lowered price has brought another one meanwhile
            errand.tries += 1
            choices = await self._ask(errand, stays)
            found = self._pick(choices, None)
            if found is None:
                await choices.decline(self.now())
                return
            booked = errand.booked = book(self, choices, found)
        await self._attend(errand, booked)

    async def _ask(self, errand: Errand, stays: Sequence[int]) -> Choices:
        errand.asked += 1
        suffix = "" if errand.asked == 1 else f"-{errand.asked}"
        return await ask(self, errand.need, f"{errand.need.need_id}{suffix}", stays)

    def _pick(self, choices: Choices, held: Booked | None) -> Found | None:
        """What the model picks of the choices, and of what is held already."""
        found = ((held.found,) if held is not None else ()) + choices.found
        noise = partial(gumbel, self.seed, choices.need.need_id)
        number = choose(self.model, [each.option for each in found], noise)
        return None if number is None else found[number]

    # ---- the session

    async def _attend(self, errand: Errand, booked: Booked) -> None:
        """Arrives at the start, leaves at the end, whatever the operator says; then pays, or says why not."""
        choice = booked.choice
        await self._until(choice.start, booked, priority=ARRIVES)
        if not booked.outcome.done():
            errand.begun = True
            if self._plug_in(booked):
                await self.clock.sleep_until(choice.end, priority=LEAVES)
                errand.left = self.car.unplug()
            else:
                await booked.cancel("the car could not be plugged in", self.now() + ANSWER_TIME)
        await self._end(errand, booked, await booked.outcome)

    async def _until(self, at: datetime, booked: Booked, *, priority: int = 10) -> None:
        """Waits until then, or until there is nothing to wait for any more."""
        sleeper = asyncio.ensure_future(self.clock.sleep_until(at, priority=priority))
        try:
            await asyncio.wait({sleeper, booked.outcome}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()

    def _plug_in(self, booked: Booked) -> bool:
        need = booked.need
        target = min(100.0, need.soc_percent + 100 * need.energy_kwh / need.capacity_kwh)
        try:
            self.car.plug_in(booked.choice.charger_id, soc_percent=need.soc_percent, target_percent=target)
        except CarError as error:
            self.notice(f"cannot charge for {booked.request_id}: {error}")
            return False
        return True

    async def _end(self, errand: Errand, booked: Booked, outcome: Outcome) -> None:
        """What became of a session."""
        match outcome:
            case Informed(content=SessionReceipt() as receipt):
                errand.receipts.append(receipt)
                errand.paid = self._pay(booked, receipt, 0.0 if errand.left is None else errand.left.charged_kwh)
            case CalledOff():
                pass
            case _ if not errand.begun and (is_gone(outcome) or isinstance(outcome, Silent)):
                errand.booked = None
                await self._gone(errand, booked, outcome)
            case _:
                self.notice(f"no receipt for {booked.request_id}: {outcome}")

    async def _gone(self, errand: Errand, booked: Booked, outcome: Outcome) -> None:
        """The pick was taken by another driver, or made too late: asks once more."""
        if errand.tries < MOST_ASKED:
            await self._see_to(errand)
        else:
            self.notice(f"found no place to charge for {booked.request_id}: {outcome}")

    def _pay(self, booked: Booked, receipt: SessionReceipt, charged_kwh: float) -> bool:
        """5.x.3: pays exactly what the receipt says, where it follows what was chosen and what the car has counted."""
        fault = receipt_fault(receipt, booked.choice, charged_kwh)
        if fault is not None:
            self.notice(f"does not pay {receipt.receipt_id}: {fault}")
            return False
        payee = booked.found.cpo.partition("@")[0]
        try:
            self.ledger.transfer(
                receipt.receipt_id,
                self.now(),
                receipt.choice_id,
                payer=self.name,
                payee=payee,
                amount_eur=receipt.amount_eur,
            )
        except LedgerError as error:
            self.notice(str(error))
            return False
        return True
