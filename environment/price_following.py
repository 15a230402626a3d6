"""Chargers that nobody asks anything where everybody follows the retailer's prices: a campus without flexibility."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from agents.decisions.retail_plan import cheapest_plan
from agents.decisions.vehicle_offer import Parked
from agents.parking_ports import RetailPrices
from agents.periods import QUARTER, quarter_at, quarters
from environment.campus_scenario import CampusScenario
from environment.charger_map import DISABLED, ENABLED, WATTS
from environment.charging import Charging
from environment.history import Plan
from environment.scenario_parts import SitePart
from environment.sessions import Session
from environment.sunspec import to_sunspec_w


class OrderedCharging(Charging):
    """Chargers that are set from inside the program, as a write over Modbus would."""

    def order(self, charger_id: str, power_kw: float | None) -> None:
        """The charger's power from now on, kW; None leaves it to its own plan."""
        self.advance()
        settings = {(704, "WSetEna"): DISABLED}
        if power_kw is not None:
            settings = {
                (704, "WSetEna"): ENABLED,
                (704, "WSetMod"): WATTS,
                (704, "WSet"): round(to_sunspec_w(power_kw)),
                (704, "WSetRvrtTms"): 0,
            }
        self._write(self.index[charger_id], settings)


class PriceFollowing:
    """What the lots' managers do without a service, at once and without a message (`agents.parking.Parking`)."""

    def __init__(
        self, scenario: CampusScenario, park: OrderedCharging, prices: RetailPrices, now: Callable[[], datetime]
    ) -> None:
        self._park, self._prices, self._now = park, prices, now
        self._sites = {c: site for site in scenario.sites for c in site.charger_ids()}
        self._changes = list(prices.changes(scenario.ends))
        self._planned: set[str] = set()

    def minute(self, present: Mapping[str, Session]) -> None:
        """Plans those who have just come; each quarter of an hour and at a new list of prices all of them."""
        now = self._now()
        everybody = now == quarter_at(now)
        while self._changes and self._changes[0] <= now:
            del self._changes[0]
            everybody = True
        self._planned &= present.keys()
        for charger_id, session in sorted(present.items()):
            if everybody or charger_id not in self._planned:
                kw = self._plan(charger_id, session, quarter_at(now), now)
                self._planned.add(charger_id)
                self._park.order(charger_id, kw[0] if kw else 0.0)

    def _plan(self, charger_id: str, session: Session, start: datetime, now: datetime) -> tuple[float, ...]:
        fleet = self._park.fleet
        energy = float(fleet.energy_kwh[fleet.index[session.vehicle_id]])
        return plan(self._sites[charger_id], session, self._prices, energy, start, now)


def plan(
    site: SitePart, session: Session, prices: RetailPrices, energy_kwh: float, start: datetime, now: datetime
) -> tuple[float, ...]:
    """kW in each market period from `start` on, where a vehicle has `energy_kwh` at `now`: the cheapest ones."""
    capacity = session.capacity_kwh
    parked = Parked(
        id=session.charger_id,
        at=now,
        energy_kwh=energy_kwh,
        capacity_kwh=capacity,
        floor_kwh=site.minimum_soc_percent / 100 * capacity,
        required_kwh=session.soc_wanted_percent / 100 * capacity,
        up_to_kwh=capacity,
        departure=session.departure,
        charges_from=None,
        max_charge_kw=site.max_charge_kw,
        max_discharge_kw=site.max_discharge_kw,
        efficiency_charge=site.efficiency_charge,
        efficiency_discharge=site.efficiency_discharge,
    )
    count = quarters(start, session.departure)
    return cheapest_plan(parked, start, [prices.price_eur_per_kwh(start + k * QUARTER, now) for k in range(count)])


def usual_plan(scenario: CampusScenario, prices: RetailPrices) -> Callable[[Session], Plan]:
    """What a vehicle draws by the prices that are known when it comes (`ChargingHistory`)."""
    sites = {c: site for site in scenario.sites for c in site.charger_ids()}

    def of(session: Session) -> Plan:
        arrived = session.arrival
        energy = session.soc_arrival_percent / 100 * session.capacity_kwh
        start = quarter_at(arrived)
        return start, plan(sites[session.charger_id], session, prices, energy, start, arrived)

    return of
