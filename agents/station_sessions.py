"""The sessions that drivers have picked: from the plug to the receipt, by the charger's meter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from agents.decisions.station_bookings import Booking, BookingList
from agents.periods import QUARTER, next_quarter, quarter_at
from agents.ports import ChargerReading
from agents.public_ports import StationSite
from agents.station_caps import StationCaps
from agents.station_control import Order, StationControl, Told
from agents.station_log import StationLog
from behaviours.answering import Failure, Inform, failure
from protocols.exchanges.capacity_contracts import SessionReceipt
from protocols.units import as_money

NO_SHOW = timedelta(minutes=15)
"""A charger is kept free for so long after the start."""
SAME_SOC = 0.02
"""Percent by which the state of charge of a car that has not moved may differ between two readings."""
KWH = 3
"""Decimal places of a receipt's energy: the watt-hour."""


@dataclass(slots=True, eq=False)
class Session:
    """A session that the driver in `conversation` has booked. `first_kwh` and `last_kwh` are the charger's register,
    `car` the last reading with the driver's car; `outcome` is what the driver is told when `over` is set."""

    booking_id: str
    station_id: str
    charger_id: str
    request_id: str
    conversation: str
    began: datetime | None = None
    first_kwh: float | None = None
    last_kwh: float | None = None
    car: ChargerReading | None = None
    outcome: Inform | Failure | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class StationSessions:
    """All sessions of an operator's stations that are not over, and what their chargers are told."""

    def __init__(
        self,
        name: str,
        stations: Mapping[str, StationSite],
        bookings: Mapping[str, BookingList],
        caps: StationCaps,
        control: StationControl,
        log: StationLog,
        now: Callable[[], datetime],
        notice: Callable[[str], None],
    ) -> None:
        self.open: dict[str, Session] = {}
        """By booking id."""
        self.control = control
        self._name, self._stations, self._bookings, self._caps = name, stations, bookings, caps
        self._log, self._now, self._notice = log, now, notice
        self._stayed: dict[str, ChargerReading] = {}
        """By charger: the car whose session is over and that was still there."""
        self._ending: list[Session] = []
        """Those with a receipt that is not sent before the chargers have their orders."""
        self._numbers = count(1)
        self._steering = {station_id: asyncio.Lock() for station_id in stations}

    def add(self, booking: Booking, request_id: str, conversation: str) -> Session:
        """A driver has picked it."""
        session = Session(booking.booking_id, booking.station_id, booking.charger_id, request_id, conversation)
        self.open[booking.booking_id] = session
        return session

    def of(self, conversation: str) -> Session | None:
        """The open session of a conversation."""
        return next((s for s in self.open.values() if s.conversation == conversation), None)

    def is_ending(self, conversation: str) -> bool:
        """Whether the receipt of a conversation's session is on its way."""
        return any(session.conversation == conversation for session in self._ending)

    def booking(self, session: Session) -> Booking:
        """Its booking, as it is planned now."""
        booking = self._bookings[session.station_id].get(session.booking_id)
        assert booking is not None  # as long as the session is open
        return booking

    def waiting(self, now: datetime) -> bool:
        """Whether somebody is expected at a charger now who has not come yet, and need not be given up."""
        starts = (self.booking(s).start for s in self.open.values() if s.began is None)
        return any(start <= now < start + NO_SHOW for start in starts)

    # ---- the course of a session

    async def end(self, now: datetime) -> None:
        """Ends the sessions whose time is over: the last reading, no power any more, and the receipt."""
        await self._close([s for s in self.open.values() if self.booking(s).end <= now])

    async def stop(self, session: Session) -> None:
        """Ends a session at once, which its driver has called off."""
        await self._close([session])

    def release(self, session: Session, why: Failure) -> None:
        """Nothing has been drawn, and nothing will be: the charger and its power are free again."""
        if self.open.pop(session.booking_id, None) is not None:
            self._bookings[session.station_id].remove(session.booking_id)
            session.outcome = why
            session.over.set()

    async def turn(self, now: datetime, *, whole: bool = True) -> None:
        """Reads the chargers where a session is due (not `whole`: where a car has not come yet), begins those whose car
        has come, ends those whose car has gone, and tells these stations' chargers what they may draw."""
        due = [s for s in self.open.values() if self.booking(s).start <= now < self.booking(s).end]
        if not whole:
            due = [session for session in due if session.began is None]
        readings = await self._read(due)
        gone = []
        for session in due:
            reading = readings.get(session.charger_id)
            if session.booking_id not in self.open or reading is None:
                continue  # called off while the charger was read, or nobody knows
            if self._is_there(session.charger_id, reading):
                if session.began is None:
                    session.began, session.first_kwh = now, reading.meter_kwh
                else:
                    session.last_kwh = reading.meter_kwh
                session.car = reading
            elif session.began is not None:
                session.last_kwh = reading.meter_kwh
                gone.append(session)
            elif now >= self.booking(session).start + NO_SHOW:
                self.release(session, self._no_show(session, reading))
        await self._conclude(gone)
        for station_id in dict.fromkeys(session.station_id for session in due):
            await self.steer(station_id)

    async def look(self, station_id: str) -> None:
        """Reads the chargers of a station that have a session, to know who answers."""
        await self._read([s for s in self.open.values() if s.station_id == station_id and s.began is not None])

    async def steer(self, station_id: str) -> None:
        """Gives every charger of the station that was told something, or has a session, what it may draw by plan."""
        async with self._steering[station_id]:
            now = self._now()
            await self.control.steer(
                self._stations[station_id].charger_ids,
                self._wanted(station_id, now),
                self._caps.kw(station_id, now),
                self._caps.least_from(station_id, next_quarter(now)),
            )

    def _wanted(self, station_id: str, now: datetime) -> dict[str, Order]:
        """By charger with a car in session: kW of this market period, and afterwards the least of the rest."""
        wanted = {}
        for session in self.open.values():
            booking = self.booking(session)
            if session.station_id != station_id or session.began is None or not booking.start <= now < booking.end:
                continue
            done = (quarter_at(now) - booking.start) // QUARTER + 1
            wanted[session.charger_id] = booking.power_at(now), min(booking.powers_kw[done:], default=0.0)
        return wanted

    def deaf(self, station_id: str, at: datetime) -> dict[str, Told]:
        """By booking id: the sessions under way at `at` whose charger does not answer, and what it was last told."""
        return {
            s.booking_id: self.control.told[s.charger_id]
            for s in self.open.values()
            if s.station_id == station_id
            and s.charger_id in self.control.silent
            and s.charger_id in self.control.told
            and self.booking(s).start <= at < self.booking(s).end
        }

    # ---- the end of a session

    async def _close(self, sessions: list[Session]) -> None:
        if not sessions:
            return
        readings = await self._read(sessions)
        for session in sessions:
            reading = readings.get(session.charger_id)
            if reading is not None and session.began is not None:
                session.last_kwh = reading.meter_kwh
                if session.car is not None and _may_be(reading, session.car):
                    self._stayed[session.charger_id] = reading
        await self._conclude(sessions)

    async def _conclude(self, sessions: Sequence[Session]) -> None:
        """The receipts, sent when the chargers have their orders."""
        mine = [session for session in sessions if session.booking_id in self.open]  # the others were called off
        for session in mine:
            self._settle(session)
        self._ending += mine
        for station_id in dict.fromkeys(session.station_id for session in mine):
            await self.steer(station_id)
        for session in mine:
            self._ending.remove(session)
            session.over.set()

    def _settle(self, session: Session) -> None:
        """The receipt, by the register as last read."""
        booking, now = self.booking(session), self._now()
        began, first, last = session.began, session.first_kwh, session.last_kwh
        if began is None or first is None:
            self.release(session, self._no_show(session, None))
            return
        if last is None:
            why = f"{session.charger_id} has not answered since the session began; nothing is due"
            self.release(session, failure("charger-silent", why))
            return
        if session.charger_id in self.control.silent:
            self._notice(f"{session.booking_id}: {session.charger_id} is silent at the end, its last reading counts")
        del self.open[session.booking_id]
        self._bookings[session.station_id].remove(session.booking_id)
        energy = round(max(0.0, last - first), KWH)
        end = min(now, booking.end)
        session.outcome = Inform(
            SessionReceipt(
                receipt_id=f"{self._name}-receipt-{next(self._numbers)}",
                request_id=session.request_id,
                choice_id=session.booking_id,
                start=min(began, end - timedelta(seconds=1)),
                end=end,
                energy_kwh=energy,
                price_eur_per_kwh=booking.price_eur_per_kwh,
                amount_eur=as_money(booking.price_eur_per_kwh * Decimal(repr(energy))),
            )
        )

    def _no_show(self, session: Session, reading: ChargerReading | None) -> Failure:
        if session.charger_id in self.control.silent:
            return failure("charger-silent", f"{session.charger_id} does not answer; nothing is due")
        if reading is not None and reading.connected:
            return failure("occupied", f"the car before has not left {session.charger_id}; nothing is due")
        minutes = NO_SHOW // timedelta(minutes=1)
        return failure("no-show", f"nobody came to {session.charger_id} in the first {minutes} minutes; nothing is due")

    def _is_there(self, charger_id: str, reading: ChargerReading) -> bool:
        """Whether a car is plugged in that is not the one whose session is over."""
        stayed = self._stayed.get(charger_id)
        if stayed is None or not reading.connected:
            self._stayed.pop(charger_id, None)
            return reading.connected
        same = _may_be(reading, stayed) and _may_be(stayed, reading)
        if not same:
            del self._stayed[charger_id]
        return not same

    async def _read(self, sessions: Iterable[Session]) -> dict[str, ChargerReading]:
        chargers = list(dict.fromkeys(session.charger_id for session in sessions))
        readings = await self.control.read(chargers)
        now = self._now()
        for charger_id in chargers:
            if charger_id in readings:
                self._log.note(charger_id, now, readings[charger_id].meter_kwh)
            else:
                self._log.note_silence(charger_id, now)
        return readings


def _may_be(reading: ChargerReading, earlier: ChargerReading) -> bool:
    """Whether it can be the same car that is plugged in, which has not discharged since."""
    if reading.soc_percent is None or earlier.soc_percent is None:
        return False
    return reading.capacity_kwh == earlier.capacity_kwh and reading.soc_percent > earlier.soc_percent - SAME_SOC
