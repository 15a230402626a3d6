"""The stations' past: the sessions that the same rules would have made, counted twice in the same way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from agents.decisions.choice import ChoiceModel
from agents.public_ports import Need, StationSite
from environment import scenario
from environment.public_history import PublicHistory, quarter_of_day, served
from environment.public_scenario import PublicScenario
from protocols import exchanges as x

NOON = datetime(2026, 6, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEAR = StationSite("near", "one", "Bus 4", 37.900, 23.880, ("near-1",), 60.0, 60.0)
FAR = StationSite("far", "two", "Bus 8", 37.900, 23.920, ("far-1",), 60.0, 60.0)


def greece(drivers: int) -> PublicScenario:
    loaded = scenario.load("greece")
    assert isinstance(loaded, PublicScenario)
    return loaded.model_copy(update={"people": loaded.people.model_copy(update={"drivers": drivers})})


def need(number: int, *, within_km: float = 8.0, arrival: datetime = NOON, energy_kwh: float = 30.0) -> Need:
    stay = x.Stay(latitude_deg=37.9, longitude_deg=23.88, arrival=arrival, departure=arrival + HOUR)
    return Need(f"driver-{number}", arrival - HOUR, 30.0, energy_kwh, 60.0, 100.0, within_km, (stay,))


def fifty_cents(station: str, at: datetime) -> Decimal:
    return Decimal("0.5")


@pytest.fixture(scope="module")
def past() -> PublicHistory:
    return PublicHistory(greece(80), ChoiceModel(), np.random.default_rng(3), 14)


def test_one_charger_serves_two_half_hours_in_an_hour_and_the_third_driver_goes_further() -> None:
    model = ChoiceModel(outside=-99.0)
    first, second = served([need(1), need(2), need(3)], [NEAR], fifty_cents, model, 1)
    assert (first.need.need_id, second.need.need_id) == ("driver-1", "driver-2")
    assert (first.offer.start, second.offer.start) == (NOON, NOON + HOUR / 2)
    assert len(served([need(1), need(2), need(3)], [NEAR, FAR], fifty_cents, model, 1)) == 3


def test_a_station_out_of_reach_and_a_stay_too_short_are_nothing() -> None:
    assert served([need(1, within_km=0.5)], [FAR], fifty_cents, ChoiceModel(outside=-99.0), 1) == []
    assert served([need(1, energy_kwh=110.0)], [NEAR], fifty_cents, ChoiceModel(outside=-99.0), 1) == []
    [session] = served([need(1)], [NEAR, FAR], fifty_cents, ChoiceModel(outside=-99.0, per_km=-99.0), 1)
    assert session.offer.station_id == "near"
    assert session.offer.amount_eur == Decimal("15.00")


def test_the_past_ends_the_day_before_the_run_and_is_the_same_for_a_seed(past: PublicHistory) -> None:
    assert past.dates[0] == date(2026, 5, 24)
    assert past.dates[-1] == date(2026, 6, 6)
    again = PublicHistory(greece(80), ChoiceModel(), np.random.default_rng(3), 14)
    assert np.array_equal(past.station_kw, again.station_kw)
    other = PublicHistory(greece(80), ChoiceModel(), np.random.default_rng(4), 14)
    assert not np.array_equal(past.station_kw, other.station_kw)


def test_what_the_stations_drew_is_the_energy_of_the_sessions(past: PublicHistory) -> None:
    assert len(past.sessions) > 500
    energy = sum(session.offer.energy_kwh for session in past.sessions)
    assert past.station_kw.shape == (14, 96, 8)
    assert past.station_kw.sum() / 4 == pytest.approx(energy, rel=1e-9)
    assert past.station_kw.min() >= 0
    assert past.station_kw.max() <= 300.0 + 1e-9


def test_each_session_is_a_wish_of_its_station_and_day(past: PublicHistory) -> None:
    wishes = {name: past.days(name) for name in past.stations}
    assert {len(days) for days in wishes.values()} == {14}
    assert sum(len(day) for days in wishes.values() for day in days) == len(past.sessions)
    zone = greece(80).zone
    session = past.sessions[40]
    stay = session.need.stays[session.offer.stay]
    arrival = stay.arrival.astimezone(zone)
    found = wishes[session.offer.station_id][past.dates.index(arrival.date())]
    assert (session.need.energy_kwh, session.need.max_charge_kw) in {(w.energy_kwh, w.max_charge_kw) for w in found}
    for days in wishes.values():
        for wish in (wish for day in days for wish in day):
            assert 0 <= wish.arrival < wish.departure <= 96
    hours = [wish.arrival / 4 for days in wishes.values() for day in days for wish in day]
    assert {h for h in hours if not 9.9 <= h <= 21.6} == set()


def test_evenings_and_middays_are_when_stations_are_used(past: PublicHistory) -> None:
    by_hour = past.station_kw.sum(axis=2).mean(axis=0).reshape(24, 4).mean(axis=1)
    assert by_hour[:9].sum() == 0
    assert by_hour[17:22].mean() > 1.2 * by_hour[12:15].mean() > 4 * by_hour[23]


def test_a_station_without_a_past_is_told(past: PublicHistory) -> None:
    with pytest.raises(LookupError, match="station 'x' has no history"):
        past.days("x")


def test_a_quarter_of_the_day_is_what_the_clocks_show() -> None:
    assert quarter_of_day(datetime(2026, 6, 1, 17, 44, tzinfo=UTC)) == 70
