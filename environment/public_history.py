"""What the stations' past looks like: weeks before the run, the same people with other needs, no cap and no reduction.

The demonstrator has no past, so one is drawn from the same fits by a random stream of its own; who gets what is decided
by the same pure functions as in the run: what the operators can offer, and what the driver picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from math import inf
from typing import Final

import numpy as np

from agents.decisions.charging_options import option_of
from agents.decisions.choice import ChoiceModel, Option, choose, gumbel
from agents.decisions.station_bookings import BookingList
from agents.decisions.station_offers import Offer, distance_km, offers
from agents.grid_view import Floats
from agents.periods import QUARTER
from agents.public_ports import Need, SessionWish, StationSite
from environment.public_needs import between
from environment.public_scenario import PublicScenario
from environment.sessions import local

DAYS: Final = 28
QUARTERS: Final = 96


@dataclass(frozen=True, slots=True)
class Session:
    """A need that was served: `offer` is what the driver picked, on that stay of the need."""

    need: Need
    offer: Offer


def served(
    needs: Iterable[Need],
    stations: Sequence[StationSite],
    price_at: Callable[[str, datetime], Decimal],
    model: ChoiceModel,
    seed: int,
) -> list[Session]:
    """Who charges where and when, without caps: each need in the order given (that of asking) picks among what every
    station within reach can offer then. `price_at(station_id, quarter)`: EUR/kWh. Those who pick nothing are left out.
    """
    bookings = {site.station_id: BookingList(site.station_id) for site in stations}
    sessions: list[Session] = []
    for need in needs:
        found: list[tuple[Offer, Option]] = []
        for site in stations:
            for index, stay in enumerate(need.stays):
                away = distance_km(stay.latitude_deg, stay.longitude_deg, site.latitude_deg, site.longitude_deg)
                if away > need.within_km:
                    continue
                made = offers(
                    site,
                    bookings[site.station_id],
                    _uncapped,
                    need.energy_kwh,
                    need.max_charge_kw,
                    index,
                    stay,
                    price_at,
                    need.asks_at,
                )
                found += [(offer, _seen(offer, need, site)) for offer in made]
        picked = choose(model, [option for _, option in found], partial(gumbel, seed, need.need_id))
        if picked is not None:
            offer = found[picked][0]
            bookings[offer.station_id].add(offer.booking(need.need_id, need.max_charge_kw))
            sessions.append(Session(need, offer))
    return sessions


class PublicHistory:
    """Implements `agents.public_ports.StationHistory`. `dates`: the local days, the last of them the one
    before the run's first; `station_kw` [days, 96 quarters of the local day, stations]: mean kW drawn, stations in the
    order of `stations`."""

    def __init__(
        self, scenario: PublicScenario, model: ChoiceModel, rng: np.random.Generator, count: int = DAYS
    ) -> None:
        first = scenario.scenario.start - timedelta(days=count)
        self.dates: tuple[date, ...] = tuple(first + timedelta(days=k) for k in range(count))
        self.stations: tuple[str, ...] = tuple(station.name for station in scenario.station)
        opens, closes = (local(day, timedelta(), scenario.zone) for day in (first, scenario.scenario.start))
        needs, luck = rng.spawn(2)
        asked = [need for _, need in between(needs, scenario, opens, closes).in_time()]
        usual = {cpo.name: cpo.usual_eur_per_kwh for cpo in scenario.cpo}
        prices = {station.name: usual[station.cpo] for station in scenario.station}
        seed = int(luck.integers(2**31))
        self.sessions = served(asked, scenario.stations(), lambda name, _: prices[name], model, seed)
        self.station_kw = self._drawn(scenario)
        self._wishes = self._wished(scenario)

    def days(self, station_id: str) -> tuple[tuple[SessionWish, ...], ...]:
        """See `agents.public_ports.StationHistory`."""
        if station_id not in self._wishes:
            raise LookupError(f"station {station_id!r} has no history")
        return self._wishes[station_id]

    def _drawn(self, scenario: PublicScenario) -> Floats:
        kw = np.zeros((len(self.dates), QUARTERS, len(self.stations)))
        day_of = {day: number for number, day in enumerate(self.dates)}
        station_of = {name: number for number, name in enumerate(self.stations)}
        for session in self.sessions:
            for number, power in enumerate(session.offer.powers_kw):
                at = (session.offer.start + number * QUARTER).astimezone(scenario.zone)
                if at.date() in day_of:
                    kw[day_of[at.date()], quarter_of_day(at), station_of[session.offer.station_id]] += power
        return kw

    def _wished(self, scenario: PublicScenario) -> Mapping[str, tuple[tuple[SessionWish, ...], ...]]:
        """What drivers asked for on the stays on which they came."""
        wishes: dict[str, dict[date, list[SessionWish]]] = {
            name: {day: [] for day in self.dates} for name in self.stations
        }
        for session in self.sessions:
            stay = session.need.stays[session.offer.stay]
            arrival = stay.arrival.astimezone(scenario.zone)
            midnight = datetime.combine(arrival.date() + timedelta(days=1), time(), scenario.zone)
            departure = min(stay.departure, midnight.astimezone(UTC)).astimezone(scenario.zone)
            first = quarter_of_day(arrival) + int(arrival.minute % 15 > 0)
            last = QUARTERS if departure.date() > arrival.date() else quarter_of_day(departure)
            if last > first:
                wishes[session.offer.station_id][arrival.date()].append(
                    SessionWish(first, last, session.need.energy_kwh, session.need.max_charge_kw)
                )
        return {name: tuple(tuple(found) for found in by_day.values()) for name, by_day in wishes.items()}


def quarter_of_day(at: datetime) -> int:
    """The quarter hour, 0 to 95, that the clocks show at this local time."""
    return at.hour * 4 + at.minute // 15


def _uncapped(_: datetime) -> float:
    return inf


def _seen(offer: Offer, need: Need, site: StationSite) -> Option:
    """The offer as its driver sees it."""
    return option_of(
        need,
        offer.stay,
        station_id=site.station_id,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        start=offer.start,
        end=offer.end,
        energy_kwh=offer.energy_kwh,
        amount_eur=offer.amount_eur,
    )
