"""The same week at the public stations without caps and without lower prices: what the service is measured against.

The same needs, asked for at the same times, the same offers and the same taste (`agents.decisions`), at once and
without a message; then the same physics.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from agents.decisions.choice import ChoiceModel
from agents.decisions.station_offers import distance_km
from agents.public_ports import StationSite
from environment.price_following import OrderedCharging
from environment.public_history import Session
from environment.public_history import served as choose_places
from environment.public_scenario import PublicScenario
from environment.public_world import PublicWorld
from environment.series import SeriesRecorder
from environment.world import QUARTER, Plant
from protocols.units import as_money

PEOPLE = ChoiceModel()
"""How drivers choose, in both cases."""


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


def simulate(plant: Plant, series: SeriesRecorder) -> tuple[PublicWorld, list[Served]]:
    """The case `without` of a run, and what each need got in it."""
    scenario, public = plant.scenario, plant.public
    assert isinstance(scenario, PublicScenario)
    assert public is not None
    at = [scenario.begins.astimezone(UTC)]
    park = OrderedCharging(plant.specs, plant.fleet(), lambda: at[0])
    world = PublicWorld(plant, park, "without", series, lambda: at[0])
    usual = {cpo.name: cpo.usual_eur_per_kwh for cpo in scenario.cpo}
    prices = {site.station_id: usual[site.cpo] for site in public.stations}
    of_driver = {need.need_id: driver.name for driver, need in public.needs.in_time()}
    asked = [need for _, need in public.needs.in_time()]
    sessions = choose_places(asked, public.stations, lambda station, _: prices[station], PEOPLE, scenario.scenario.seed)
    served, running, waiting = list[Served](), list[Session](), sorted(sessions, key=lambda each: each.offer.start)
    cars = {driver.name: world.car(driver.name) for driver in public.needs.drivers}
    sites = {site.station_id: site for site in public.stations}
    world.begin()
    for _ in range(plant.steps + 1):
        now = at[0]
        for session in [each for each in running if each.offer.end <= now]:
            charged = cars[of_driver[session.need.need_id]].unplug().charged_kwh
            served.append(_served(session, sites[session.offer.station_id], charged))
            running.remove(session)
        while waiting and waiting[0].offer.start <= now:
            session, need = waiting[0], waiting.pop(0).need
            target = min(100.0, need.soc_percent + 100 * need.energy_kwh / need.capacity_kwh)
            car = cars[of_driver[need.need_id]]
            car.plug_in(session.offer.charger_id, soc_percent=need.soc_percent, target_percent=target)
            running.append(session)
        for session in running:
            park.order(session.offer.charger_id, session.offer.powers_kw[(now - session.offer.start) // QUARTER])
        if now >= scenario.ends.astimezone(UTC):
            break
        at[0] += QUARTER
        world.pass_to(at[0])
    world.finish()
    return world, sorted(served, key=lambda each: each.need_id)


def _served(session: Session, site: StationSite, charged_kwh: float) -> Served:
    offer, stay = session.offer, session.need.stays[session.offer.stay]
    energy = round(charged_kwh, 3)
    return Served(
        session.need.need_id,
        offer.station_id,
        offer.stay,
        offer.start,
        offer.end,
        energy,
        offer.price_eur_per_kwh,
        as_money(offer.price_eur_per_kwh * Decimal(repr(energy))),
        distance_km(stay.latitude_deg, stay.longitude_deg, site.latitude_deg, site.longitude_deg),
    )
