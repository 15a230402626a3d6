"""A driver who is a person: what is asked, picked and called off comes from outside, the exchanges are the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import count

from agents.charging_bookings import ANSWER_TIME, Booked, Choices, Found, Outcome, ask, book
from agents.decisions.choice import ChoiceModel
from agents.ledger import Ledger
from agents.public_driver import MOST_ASKED, Errand, PublicDriver
from agents.public_ports import Car, CarReading, Need
from behaviours.outcomes import has_stopped
from behaviours.swarm import Swarm
from protocols.exchanges.capacity_contracts import ChargingChoice, SessionReceipt, Stay
from protocols.exchanges.network_prices import ChargingPrices, StationPrice
from protocols.units import as_money

SAME_WITHIN = timedelta(hours=1)
"""A session at the same station at the same price that begins so much later is taken for one that was gone."""
LEAST_SHORT = 0.5
"""%: less than that is what rounding and the meter's ticks leave."""
DRIVES = timedelta(minutes=15)
"""So long a person has to get there: the stay begins then."""
TO_BOOK = timedelta(seconds=30)
"""What begins sooner than that cannot be booked any more."""
NONE_NEAR = "no station within"
_ACT = re.compile(r"\b(?:refused|failed|notunderstood) by (?=\S+@)")
_ADDRESS = re.compile(r"([\w.+-]+)@[\w.-]*\w")
_TOO_FAR = re.compile(r"\bnone of my stations is within\b")
GONE_AND_FOUND = "That choice was gone; the same station, at no higher price, is booked instead."
GONE = "That choice was gone meanwhile. These are left."


class Phase(StrEnum):
    """Where a person's errand stands."""

    IDLE = "idle"
    CHOOSING = "choosing"
    ASKING = "asking"
    BOOKED = "booked"
    CHARGING = "charging"
    BILLING = "billing"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person says: from `DRIVES` after asking until `departure` the car can stay near this place; it comes with
    `soc_percent`, and `wanted_percent` is asked for. Stations further away than `within_km` are too far."""

    latitude_deg: float
    longitude_deg: float
    soc_percent: float
    wanted_percent: float
    departure: datetime
    within_km: float


@dataclass(frozen=True, slots=True)
class Lowered:
    """A price that is below the usual one from `start` until `end`."""

    start: datetime
    end: datetime
    station: StationPrice


@dataclass(frozen=True, slots=True)
class Status:
    """What a person sees. `line`: the one thing to be told now; `said`: why those who offer
    nothing do not; `none_near`: they all are too far; `cost_eur`: what has been charged so far, at the price picked."""

    phase: Phase
    line: str
    need: Need | None = None
    choices: tuple[Found, ...] = ()
    said: tuple[str, ...] = ()
    booked: Booked | None = None
    reading: CarReading | None = None
    cost_eur: Decimal | None = None
    receipt: SessionReceipt | None = None
    paid: bool = False
    wanted_percent: float | None = None
    none_near: bool = False
    goal_percent: float | None = None
    """What the car will have when it has got all that is booked."""

    @property
    def short_percent(self) -> float:
        """By how much the car left with less than was asked for; 0 where it did not."""
        if self.phase is not Phase.OVER or self.reading is None or self.wanted_percent is None:
            return 0.0
        short = round(self.wanted_percent - self.reading.soc_percent, 1)
        return short if short >= LEAST_SHORT else 0.0


class PageDriver(PublicDriver):
    """An EV owner like the others (5.2.2 to 5.x.3, 4.2.2) whose decisions a person makes: one errand at a time."""

    def __init__(self, jid: str, password: str, swarm: Swarm, *, car: Car, ledger: Ledger, until: datetime) -> None:
        super().__init__(
            jid,
            password,
            swarm,
            needs=(),
            car=car,
            model=ChoiceModel(),  # is asked nothing: the person picks
            seed=0,
            follows_prices=True,
            ledger=ledger,
            until=until,
        )
        self.line = ""
        self.efficiency = 1.0
        """How much of what the charger's meter counts gets into the battery."""
        self._noticed = ""
        self._wish: Wish | None = None
        self.choices: Choices | None = None
        self._news: list[ChargingPrices] = []
        self._numbers = count(1)
        self._asking = asyncio.Lock()
        """A form that is sent twice asks twice, one after the other, so that nothing is left unanswered."""
        self._asking_again = False
        self._ended: Booked | None = None

    # ---- what a person does

    async def ask(self, wish: Wish) -> Choices:
        """5.2.2 to both operators; their choices (5.2.3) can then be picked. Raises ValueError where a session is under
        way, or the wish cannot be asked for."""
        async with self._asking:
            if self.phase not in (Phase.IDLE, Phase.CHOOSING, Phase.OVER):
                raise ValueError("a session is under way: it has to end, or be called off, first")
            errand = Errand(self._need(wish))
            self._wish = wish
            await self.put_away()
            choices = await self._lay_out(errand)
            self.errands.append(errand)
            return choices

    async def pick(self, choice_id: str) -> bool:
        """5.2.4. False, with a line that says why, where that is none of the choices that are laid out."""
        found = next((each for each in self._laid_out() if each.choice.choice_id == choice_id), None)
        if found is None:
            self.line = "That is none of the choices: pick one of these, or ask again."
            return False
        self.line, errand = "", self.errands[-1]
        if found.choice.start <= self.now() + TO_BOOK:
            self._asking_again = True
            await self._decline()
            await self._ask_again(errand, found)
        else:
            self._take(errand, found)
        return True

    async def call_off(self) -> bool:
        """FIPA's cancel of a booking whose session has not begun. False, with a line, where there is none, or the
        operator does not let go."""
        errand = self.errands[-1] if self.errands else None
        if errand is None or errand.booked is None or self.phase is not Phase.BOOKED:
            self.line = "There is nothing to call off."
            return False
        outcome = await errand.booked.cancel("the driver has changed plans", self.now() + ANSWER_TIME)
        if not has_stopped(outcome):
            self.line = f"The operator does not let go: {in_words(str(outcome))}"
            return False
        self.errands.clear()
        self.line = "Called off. Nothing is due."
        return True

    async def put_away(self) -> None:
        """Back to the beginning, where nothing is under way: none of the choices is picked, a receipt has been seen."""
        if self.phase in (Phase.IDLE, Phase.CHOOSING, Phase.OVER):
            await self._decline()
            self.line = ""
            self.errands.clear()

    async def _decline(self) -> None:
        choices, self.choices = self.choices, None
        if choices is not None:
            await choices.decline(self.now())

    # ---- what a person sees

    @property
    def phase(self) -> Phase:
        errand = self.errands[-1] if self.errands else None
        if errand is None:
            return Phase.IDLE
        if self._asking_again:
            return Phase.ASKING
        if errand.booked is None:
            return Phase.IDLE if self.choices is None else Phase.CHOOSING
        if self._ended is errand.booked:
            return Phase.OVER
        if not errand.begun:
            return Phase.ASKING if errand.booked.outcome.done() else Phase.BOOKED
        return Phase.CHARGING if errand.left is None else Phase.BILLING

    def status(self) -> Status:
        """Everything at this moment."""
        errand, phase = (self.errands[-1] if self.errands else None), self.phase
        if errand is None or errand.booked is None or phase is Phase.ASKING:
            need = None if errand is None else errand.need
            said = () if self.choices is None else _reasons(self.choices)
            none_near = bool(said) and all(NONE_NEAR in each for each in said)
            return Status(phase, self.line, need, choices=self._laid_out(), said=said, none_near=none_near)
        reading = self.car.reading() if phase is Phase.CHARGING else errand.left
        charged = 0.0 if reading is None else reading.charged_kwh
        return Status(
            phase,
            self.line,
            errand.need,
            booked=errand.booked,
            reading=reading,
            cost_eur=as_money(errand.booked.choice.price_eur_per_kwh * Decimal(repr(charged))),
            receipt=errand.receipts[-1] if errand.receipts else None,
            paid=errand.paid,
            wanted_percent=None if self._wish is None else self._wish.wanted_percent,
            goal_percent=self._goal(errand.booked),
        )

    def lowered(self) -> list[Lowered]:
        """The lowered prices that hold now or later, the soonest first; what goes on at the same price is one."""
        now = self.now()
        told = sorted(
            (
                Lowered(news.start, news.end, each)
                for news in self._news
                for each in news.stations
                if news.end > now and each.price_eur_per_kwh < each.usual_eur_per_kwh
            ),
            key=lambda each: (each.station.station_id, each.start, each.end),
        )
        found: list[Lowered] = []
        for each in told:
            last = found[-1] if found else None
            if last is not None and last.station == each.station and each.start <= last.end:
                found[-1] = Lowered(last.start, max(last.end, each.end), last.station)
            else:
                found.append(each)
        return sorted(found, key=lambda each: (each.start, each.station.station_id))

    def usual_price(self, station_id: str, start: datetime, end: datetime) -> Decimal | None:
        """EUR/kWh that the station usually asks for, where its price is lowered in some of that time; else None."""
        for each in self.lowered():
            if each.station.station_id == station_id and each.start < end and start < each.end:
                return each.station.usual_eur_per_kwh
        return None

    def on_prices(self, news: ChargingPrices) -> None:
        """4.2.2: kept to be shown; a person decides what to make of it."""
        self._news = [each for each in self._news if each.end > self.now()]
        self._news.append(news)

    def notice(self, text: str) -> None:
        """What goes otherwise than planned is told to the person, too."""
        super().notice(text)
        self.line = self._noticed = in_words(text)

    # ---- between

    def _goal(self, booked: Booked) -> float:
        got_kwh = booked.choice.energy_kwh * self.efficiency
        return min(100.0, booked.need.soc_percent + 100 * got_kwh / self.car.capacity_kwh)

    def _need(self, wish: Wish) -> Need:
        """By the meter, as every need is: what is lost on the way into the battery is bought, too."""
        energy_kwh = (wish.wanted_percent - wish.soc_percent) / 100 * self.car.capacity_kwh / self.efficiency
        now = self.now()
        if energy_kwh <= 0:
            raise ValueError("the charge wanted is not above the charge on arrival")
        if wish.departure <= now:
            raise ValueError("the departure has passed")
        if wish.departure <= now + DRIVES:
            raise ValueError("the departure is too soon to get there")
        stay = Stay(
            latitude_deg=wish.latitude_deg,
            longitude_deg=wish.longitude_deg,
            arrival=now + DRIVES,
            departure=wish.departure,
        )
        return Need(
            need_id=f"{self.name}-{next(self._numbers)}",
            asks_at=now,
            soc_percent=wish.soc_percent,
            energy_kwh=round(energy_kwh, 3),
            capacity_kwh=self.car.capacity_kwh,
            max_charge_kw=self.car.max_charge_kw,
            within_km=wish.within_km,
            stays=(stay,),
        )

    async def _lay_out(self, errand: Errand) -> Choices:
        """Asks, and shows what comes; who asks once more has the way before them still."""
        errand.asked += 1
        (stay,), arrival = errand.need.stays, self.now() + DRIVES
        if stay.arrival < arrival < stay.departure:
            errand.need = replace(errand.need, stays=(stay.model_copy(update={"arrival": arrival}),))
        suffix = "" if errand.asked == 1 else f"-{errand.asked}"
        self.choices = await ask(self, errand.need, f"{errand.need.need_id}{suffix}", [0])
        return self.choices

    def _laid_out(self) -> tuple[Found, ...]:
        return self.choices.found if self.choices is not None and self.phase is Phase.CHOOSING else ()

    def _take(self, errand: Errand, found: Found) -> None:
        assert self.choices is not None
        errand.tries += 1
        errand.booked, self.choices = book(self, self.choices, found), None
        self.spawn(self._attend(errand, errand.booked), f"session {errand.need.need_id}")

    def _plug_in(self, booked: Booked) -> bool:
        """From now on the session is what matters, not how it was booked."""
        self.line = ""
        return super()._plug_in(booked)

    async def _end(self, errand: Errand, booked: Booked, outcome: Outcome) -> None:
        if errand.begun and self.line != self._noticed:
            self.line = ""
        await super()._end(errand, booked, outcome)
        self._ended = booked

    async def _gone(self, errand: Errand, booked: Booked, outcome: Outcome) -> None:
        """The pick was taken by another driver, or made too late."""
        self._asking_again = True
        await self._ask_again(errand, booked.found)

    async def _ask_again(self, errand: Errand, gone: Found) -> None:
        """Asks once more, and takes the same again where it is to be had; else the person picks anew."""
        try:
            choices = await self._lay_out(errand)
            same = _same(gone.choice, choices.found, self.now() + TO_BOOK)
            if same is not None and errand.tries < MOST_ASKED:
                self.line = GONE_AND_FOUND
                self._take(errand, same)
            else:
                self.line, errand.tries = GONE, 0
        finally:
            self._asking_again = False


def in_words(text: str) -> str:
    """A notice as a person reads it: agents by their names, without what they did in FIPA's words."""
    return _ADDRESS.sub(r"\1", _ACT.sub("", text))


def _reasons(choices: Choices) -> tuple[str, ...]:
    """Why those who offer nothing do not, each by name."""
    return tuple(_reason(in_words(each), choices.need.within_km) for each in choices.said)


def _reason(said: str, within_km: float) -> str:
    name, colon, why = said.partition(": ")
    return f"{name}: {NONE_NEAR} {within_km:g} km" if colon and _TOO_FAR.search(why) else said


def _same(gone: ChargingChoice, found: Sequence[Found], earliest: datetime) -> Found | None:
    """The first session at the same station, at no higher price and not much later."""
    alike = (
        each
        for each in found
        if each.choice.station_id == gone.station_id
        and each.choice.price_eur_per_kwh <= gone.price_eur_per_kwh
        and earliest < each.choice.start <= gone.start + SAME_WITHIN
        and each.choice.energy_kwh >= gone.energy_kwh
    )
    return min(alike, key=lambda each: each.choice.start, default=None)
