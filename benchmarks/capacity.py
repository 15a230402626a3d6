"""How long a bid curve, the stochastic program and an activation take, and what they decide (docs/capacity.md).

python -m benchmarks.capacity [--scenarios 10 20 40 80 160] [--activations 28]
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from decimal import Decimal

import numpy as np

from agents.decisions.capacity_activation import Held, activate
from agents.decisions.capacity_checks import possible_limits
from agents.decisions.capacity_curve import OpportunityCosts, bid_curve
from agents.decisions.capacity_procurement import Curve, DsoCosts, procure
from agents.decisions.choice import ChoiceModel
from environment import scenario
from environment.networks import Networks
from environment.profiles import standard_offset
from environment.public_history import PublicHistory
from environment.public_scenario import PublicScenario
from environment.public_study import Study


def curves_of(loaded: PublicScenario, history: PublicHistory) -> tuple[list[Curve], list[float]]:
    """The curve of every station, and how many seconds each took."""
    auction = loaded.auction
    opens, closes = ((each.hour * 60 + each.minute) // 15 for each in loaded.window)
    curves, seconds = [], []
    for part in loaded.cpo:
        costs = OpportunityCosts(
            float(part.margin_eur_per_kwh), loaded.energy_by_quarter(), float(part.goodwill_eur_per_kwh)
        )
        for site in loaded.stations(part.name):
            limits = possible_limits(auction.lowest_limit_kw, auction.step_kw, site.connection_kw, auction.most_points)
            begun = time.perf_counter()
            points = bid_curve(
                history.days(site.station_id),
                limits,
                (opens, closes),
                costs,
                float(auction.most_activations),
                len(site.charger_ids),
                site.charger_kw,
                connection_kw=site.connection_kw,
                most_eur=Decimal(str(auction.most_eur)),
            )
            seconds.append(time.perf_counter() - begun)
            curves.append(Curve(f"bid-{site.station_id}", site.station_id, site.location, points))
    return curves, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, nargs="+", default=[10, 20, 40, 80, 160])
    parser.add_argument("--activations", type=int, help="of a contract at most; the scenario's where it is not given")
    options = parser.parse_args()
    loaded = scenario.load("greece")
    assert isinstance(loaded, PublicScenario)
    now = datetime(2026, 6, 7, 9, 15, tzinfo=UTC)
    network = Networks.load(loaded.grids, standard_offset(loaded.zone, now.year)).members[0]
    history = PublicHistory(loaded, ChoiceModel(), np.random.default_rng(1))
    stations = loaded.stations()
    study = Study(network.profiles, stations, history, loaded.zone, lambda: now, 1)
    curves, seconds = curves_of(loaded, history)
    points = sum(len(curve.points) for curve in curves)
    days = len(history.days(stations[0].station_id))
    print(f"{len(curves)} curves of {points} points over {days} days: slowest {max(seconds):.2f} s")

    auction = loaded.auction
    costs = DsoCosts(float(loaded.dso.violation_eur_per_kwh), loaded.grid.line_limit_percent)
    first = now.astimezone(loaded.zone).date() + timedelta(days=1)
    window: tuple[clock, clock] = loaded.window
    most = auction.most_activations if options.activations is None else options.activations
    held: list[Held] = []
    for count in options.scenarios:
        begun = time.perf_counter()
        sampled = study.period(first, auction.period_days, count, window)
        drawn = time.perf_counter()
        plan = procure(study, sampled, curves, stations, costs, days=auction.period_days, most_activations=most)
        done = time.perf_counter()
        hit = sum(each > 0 for each in plan.without_kwh)
        bought = ", ".join(f"{each.station_id} {each.limit_kw:g} kW" for each in plan.purchases)
        print(
            f"{count:4} scenarios ({hit} with overloads): drawn in {drawn - begun:.2f} s, decided in "
            f"{done - drawn:.2f} s, {plan.rounds} rounds; {plan.expected_without_kwh:.1f} kWh a day become "
            f"{plan.expected_with_kwh:.1f} (linear {plan.linear_kwh:.1f}) for {plan.cost_eur} EUR; {bought}"
        )
        held = [Held(each.bid_id, each.station_id, each.limit_kw, most) for each in plan.purchases]
    sampled = study.day_ahead(first, auction.scenarios, window)
    begun = time.perf_counter()
    found = activate(study, sampled, held, stations, costs)
    print(
        f"activation of {len(held)} contracts for {first} in {time.perf_counter() - begun:.2f} s: {len(found.limits)}; "
        f"{found.expected_without_kwh:.1f} kWh become {found.expected_with_kwh:.1f}"
    )


if __name__ == "__main__":
    main()
