"""What a V2X manager tells of its vehicles: one user of 2.1 and 4.1.4 for each charger."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from agents.decisions.promises import Book
from agents.decisions.vehicle_offer import LEAST_OFFER_KW, highest_kw, room
from agents.island_ports import SiteReading
from agents.periods import next_quarter
from agents.v2x_desk import V2xDesk
from protocols.exchanges.ev_services import ServiceAward, UserState
from protocols.exchanges.res_curtailment import Measurements
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import ParticipationInfo

HOUR = timedelta(hours=1)


def measurements(
    desk: V2xDesk,
    book: Book,
    services: dict[str, ServiceType],
    *,
    request_id: str,
    source: str,
    start: datetime,
    end: datetime,
    now: datetime,
    site: SiteReading | None = None,
) -> Measurements:
    """2.1: the chargers from `start` to `end` by their registers, and what their vehicles will draw in the next quarter
    of an hour by their own plans. `services` has the type of each service by its id, `site` what was measured of the
    demand beside the chargers, roofs taken off; None where nobody measures it."""
    served = book.serving(start)
    users = []
    for charger_id in desk.chargers:
        reading = desk.reading(charger_id)
        if reading is not None and reading.connected:
            service = services.get(served[charger_id].service_id) if charger_id in served else None
            users.append(user_state(desk, book, charger_id, start, end, now, service))
    readings = desk.readings()
    return Measurements(
        request_id=request_id,
        timestamp=now,
        source=source,
        start=start,
        end=end,
        production_kw=0.0,
        ev_kw=round(sum(desk.mean_kw(charger_id, start, end) or 0.0 for charger_id in desk.chargers), 3),
        p_kw=0.0 if site is None else round(site.p_kw, 3),
        q_kvar=0.0 if site is None else round(site.q_kvar, 3),
        u_v=round(sum(r.voltage_v for r in readings) / len(readings), 2) if readings else None,
        f_hz=round(sum(r.frequency_hz for r in readings) / len(readings), 4) if readings else None,
        forecast_kw=round(sum(user.baseline_kw for user in users), 3),
        users=tuple(users),
    )


def participation(
    desk: V2xDesk,
    book: Book,
    award: ServiceAward,
    vehicles: Iterable[str],
    *,
    request_id: str,
    start: datetime,
    end: datetime,
    now: datetime,
) -> ParticipationInfo:
    """4.1.4: these vehicles by their chargers' registers; one whose charger did not tell is left out."""
    return ParticipationInfo(
        request_id=request_id,
        timestamp=now,
        service=award.service,
        service_id=award.service_id,
        start=start,
        end=end,
        users=tuple(
            user_state(desk, book, charger_id, start, end, now, award.service)
            for charger_id in vehicles
            if desk.mean_kw(charger_id, start, end) is not None
        ),
    )


def user_state(
    desk: V2xDesk,
    book: Book,
    charger_id: str,
    start: datetime,
    end: datetime,
    now: datetime,
    service: ServiceType | None,
) -> UserState:
    """A charger from `start` to `end`, its vehicle now, and what that can do in the next quarter of an hour.

    Of a vehicle that nobody announced only what the charger says is known; one that is promised can do nothing else.
    What is too little to be offered is no flexibility.
    """
    mean = desk.mean_kw(charger_id, start, end) or 0.0
    reading, vehicle = desk.reading(charger_id), desk.parked(charger_id, now)
    here = reading is not None and reading.connected
    baseline = reading.power_kw if reading is not None and here else 0.0
    required = increase = decrease = 0.0
    highest = None
    if vehicle is not None:
        then = desk.at(vehicle, next_quarter(now), book)
        can = room(then)
        baseline = can.baseline_kw
        highest = round(max(baseline, highest_kw(then)), 3)
        required = max(0.0, vehicle.required_kwh - vehicle.energy_kwh)
        if book.free(charger_id, next_quarter(now), now):
            increase, decrease = offerable(can.increase_kw), offerable(can.decrease_kw)
    return UserState(
        user_id=charger_id,
        location=desk.bus[charger_id],
        vehicles=int(here),
        service=service,
        power_kw=round(mean, 3),
        energy_kwh=round(mean * ((end - start) / HOUR), 4),
        soc_percent=None if reading is None or reading.soc_percent is None else round(reading.soc_percent, 3),
        soc_kwh=None if reading is None or reading.energy_kwh is None else round(reading.energy_kwh, 4),
        charging_rate_kw=reading.max_charge_kw if reading is not None and here else 0.0,
        energy_required_kwh=round(required, 4),
        baseline_kw=round(baseline, 3),
        highest_kw=highest,
        increase_kw=increase,
        decrease_kw=decrease,
    )


def offerable(power_kw: float) -> float:
    """A magnitude as it may be told, 0 where it is too little to be offered."""
    return rounded_down(power_kw) if power_kw >= LEAST_OFFER_KW else 0.0


def rounded_down(power_kw: float) -> float:
    """In whole watts, so that no more is offered than there is."""
    return max(0.0, math.floor(power_kw * 1000 + 1e-6) / 1000)
