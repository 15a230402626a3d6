"""The same week at the public stations without caps and without lower prices: what the service is measured against.

The same needs, asked for at the same times, the same offers and the same taste (`agents.decisions`), at once and
without a message; then the same physics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from math import inf

from agents.decisions.charging_options import option_of, pick
from agents.decisions.choice import ChoiceModel, gumbel
from agents.decisions.station_offers import Booking, BookingList, Offer, distance_km, offers
from agents.public_ports import Need, StationSite
from environment.price_following import OrderedCharging
from environment.public_needs import Needs
from environment.public_scenario import PublicScenario
from environment.public_world import PublicWorld
from environment.series import SeriesRecorder
from environment.world import QUARTER, Plant
from protocols.units import as_money

PEOPLE = ChoiceModel()
"""How drivers choose, in both cases."""


@dataclass(frozen=True, slots=True)
class Session:
    """A need that found a place: the booking, on the stay of that number."""

    driver: str
    need: Need
    stay: int
    booking: Booking


@dataclass(frozen=True, slots=True)
class Served:
    """What a need got: where, on which stay, from when until when, how much by the meter, at which price, how far."""

    need_id: str
    station_id: str
    stay: int
    start: datetime
    end: datetime
    energy_kwh: float
    price_eur_per_kwh: Decimal
    amount_eur: Decimal
    distance_km: float


def choose_all(
    needs: Needs,
    stations: Sequence[StationSite],
    usual_eur_per_kwh: Mapping[str, Decimal],
    *,
    seed: int,
    until: datetime,
    model: ChoiceModel = PEOPLE,
) -> list[Session]:
    """Who charges where, in the order in which they ask; needs that find nothing good enough are not among them.
    `usual_eur_per_kwh`: by operator."""
    sites = {site.station_id: site for site in stations}
    bookings = {station: BookingList(station) for station in sites}
    sessions = []
    for driver, need in needs.in_time():
        found: list[Offer] = []
        for number, stay in enumerate(need.stays):
            if not need.asks_at < stay.departure <= until:
                continue
            for site in stations:
                there = (site.latitude_deg, site.longitude_deg)
                if distance_km(stay.latitude_deg, stay.longitude_deg, *there) > need.within_km:
                    continue
                price = usual_eur_per_kwh[site.cpo]
                found += offers(
                    site,
                    bookings[site.station_id],
                    lambda at: inf,
                    need.energy_kwh,
                    need.max_charge_kw,
                    number,
                    stay,
                    lambda station, at, price=price: price,  # type: ignore[misc]
                    need.asks_at,
                )
        options = [
            option_of(
                need,
                offer.stay,
                station_id=offer.station_id,
                latitude_deg=sites[offer.station_id].latitude_deg,
                longitude_deg=sites[offer.station_id].longitude_deg,
                start=offer.start,
                end=offer.end,
                energy_kwh=offer.energy_kwh,
                amount_eur=offer.amount_eur,
            )
            for offer in found
        ]
        number_ = pick(model, options, partial(gumbel, seed, need.need_id))
        if number_ is not None:
            offer = found[number_]
            booking = offer.booking(need.need_id, need.max_charge_kw)
            bookings[offer.station_id].add(booking)
            sessions.append(Session(driver.name, need, offer.stay, booking))
    return sessions


def simulate(plant: Plant, series: SeriesRecorder) -> tuple[PublicWorld, list[Served]]:
    """The case `without` of a run, and what each need got in it."""
    scenario, public = plant.scenario, plant.public
    assert isinstance(scenario, PublicScenario)
    assert public is not None
    at = [scenario.begins.astimezone(UTC)]
    park = OrderedCharging(plant.specs, plant.fleet(), lambda: at[0])
    world = PublicWorld(plant, park, "without", series, lambda: at[0])
    usual = {cpo.name: cpo.usual_eur_per_kwh for cpo in scenario.cpo}
    sessions = choose_all(
        public.needs, public.stations, usual, seed=scenario.scenario.seed, until=scenario.ends.astimezone(UTC)
    )
    served, running, waiting = [], list[Session](), sorted(sessions, key=lambda s: s.booking.start)
    cars = {driver.name: world.car(driver.name) for driver in public.needs.drivers}
    sites = {site.station_id: site for site in public.stations}
    world.begin()
    for _ in range(plant.steps + 1):
        now = at[0]
        for session in [each for each in running if each.booking.end <= now]:
            charged = cars[session.driver].unplug().charged_kwh
            served.append(_served(session, sites[session.booking.station_id], charged))
            running.remove(session)
        while waiting and waiting[0].booking.start <= now:
            session = waiting.pop(0)
            target = session.need.soc_percent + 100 * session.need.energy_kwh / session.need.capacity_kwh
            cars[session.driver].plug_in(
                session.booking.charger_id, soc_percent=session.need.soc_percent, target_percent=min(100.0, target)
            )
            running.append(session)
        _order(park, running, now)
        if now >= scenario.ends.astimezone(UTC):
            break
        at[0] += QUARTER
        world.pass_to(at[0])
    world.finish()
    return world, sorted(served, key=lambda each: each.need_id)


def _order(park: OrderedCharging, running: Iterable[Session], now: datetime) -> None:
    """What each running session is promised in the quarter hour that begins."""
    for session in running:
        park.order(session.booking.charger_id, session.booking.power_at(now))


def _served(session: Session, site: StationSite, charged_kwh: float) -> Served:
    booking, stay = session.booking, session.need.stays[session.stay]
    energy = round(charged_kwh, 3)
    return Served(
        session.need.need_id,
        booking.station_id,
        session.stay,
        booking.start,
        booking.end,
        energy,
        booking.price_eur_per_kwh,
        as_money(booking.price_eur_per_kwh * Decimal(repr(energy))),
        distance_km(stay.latitude_deg, stay.longitude_deg, site.latitude_deg, site.longitude_deg),
    )
