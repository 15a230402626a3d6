"""The Portuguese day as a user runs it: what is said, what the vehicles did, what the grid made of it, who paid.

What the run says of itself is computed again here from its trace and its series: energies, EN 50160, power flow,
dispatch, invoices.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from agents.decisions.dispatch import Dispatch, Plant, PlantKind, dispatch, fuel_kg
from environment import scenario
from environment.grid import Grid
from environment.island_scenario import IslandScenario
from environment.profiles import Profiles, standard_offset
from environment.series import ISLAND_COLUMNS
from protocols.trace import read_entry
from tests.days import Day
from tests.island_days import (
    MINUTE,
    QUARTER,
    Minutes,
    Told,
    assert_one_service_each,
    awards,
    in_force,
    instant,
    minutes_outside,
    notices,
)
from tests.test_day import BOTH_CASES, assert_sound

LOST = datetime(2026, 5, 29, 5, 40, tzinfo=UTC)
"""When the wind farm is lost, for 20 minutes."""
VOLTAGE, WIND = "voltage-control", "res-curtailment"
LEGS = (
    # Table 3 and the prose of 3.2
    ("2.1", "producer", "tso"),
    ("2.1", "v2x_manager", "fo"),
    ("2.1", "fo", "tso"),
    ("2.2", "fo", "tso"),
    ("2.3", "tso", "fo"),
    ("2.3", "fo", "v2x_manager"),
    ("2.3", "fo", "emsp"),
    ("2.4", "fo", "v2x_manager"),
    ("2.5", "v2x_manager", "fo"),
    *(("2.x.1", "emsp", payer) for payer in ("ev_owner", "v2x_manager", "fo", "tso", "dso")),
    *(("2.x.1", payer, "emsp") for payer in ("ev_owner", "v2x_manager", "fo", "tso", "dso")),
    # Table 5 and the prose of 3.4.1
    ("4.1.1", "dso", "fo"),
    ("4.1.1", "fo", "v2x_manager"),
    ("4.1.2", "v2x_manager", "fo"),
    ("4.1.3", "fo", "v2x_manager"),
    ("4.1.3", "fo", "emsp"),
    ("4.1.4", "v2x_manager", "fo"),
    ("4.1.4", "fo", "dso"),
    ("1.x.8", "ev_owner", "v2x_manager"),
)


@pytest.fixture(scope="module")
def told() -> IslandScenario:
    loaded = scenario.load("portugal")
    assert isinstance(loaded, IslandScenario)
    return loaded


@pytest.fixture(scope="module")
def series(portugal: Day) -> dict[str, Minutes]:
    return {case: Minutes.of(portugal, case) for case in BOTH_CASES}


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_the_portuguese_day_is_sound(portugal: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(portugal, capsys)


def test_the_same_seed_gives_the_same_portuguese_day_byte_for_byte(portuguese_days: tuple[Day, Day]) -> None:
    """Two processes side by side, with another order of hashes and another timing of the sockets."""
    one, other = portuguese_days
    assert (one.folder / "trace.jsonl").read_bytes() == (other.folder / "trace.jsonl").read_bytes()
    assert one.postings == other.postings
    assert one.outcome == other.outcome
    assert pd.read_parquet(one.folder / "series.parquet").equals(pd.read_parquet(other.folder / "series.parquet"))


@pytest.mark.parametrize(("exchange", "sender", "receiver"), LEGS)
def test_every_exchange_of_buc_2_and_buc_4_1_is_said_by_whom_d51_has_it(
    portugal: Day, exchange: str, sender: str, receiver: str
) -> None:
    role = portugal.header["roles"]
    news = [m for m in portugal.said(exchange=exchange) if m["performative"] != "subscribe"]
    assert (sender, receiver) in {(role[m["sender"]], role[m["receiver"]]) for m in news}


def test_nobody_says_an_exchange_of_buc_2_or_buc_4_1_to_anybody_else(portugal: Day) -> None:
    role = portugal.header["roles"]
    said = {
        (m["exchange"], role[m["sender"]], role[m["receiver"]])
        for m in portugal.messages
        if (m["exchange"] or "").startswith(("2.", "4.1")) and m["performative"] != "subscribe"
    }
    assert said <= set(LEGS)


def test_each_plant_and_each_manager_reports_every_quarter_of_an_hour_and_a_lost_plant_at_once(portugal: Day) -> None:
    """2.1: all quarters but the last, which nobody balances any more; and the wind farm that is lost at 05:40."""
    role, reports = portugal.header["roles"], portugal.said(exchange="2.1", performative="inform")
    whole = [m for m in reports if instant(m["content"]["end"]) - instant(m["content"]["start"]) == QUARTER]
    told = Counter(m["sender"] for m in whole)
    assert {told[who] for who in role if role[who] in ("producer", "v2x_manager")} == {95}
    between = [m for m in reports if m not in whole]
    assert [m["sender"] for m in between] == ["graminhais@localhost"]
    assert LOST < instant(between[0]["at"]) <= LOST + 2 * MINUTE


@pytest.mark.parametrize(("asker", "asks", "tells"), [("tso", "2.3", "2.3"), ("dso", "4.1.1", "4.1.3")])
def test_a_deactivation_travels_from_the_asker_to_the_fo_and_on_to_the_managers_and_the_emsp(
    portugal: Day, asker: str, asks: str, tells: str
) -> None:
    """FIPA's cancel in the conversation that asked, at the same instant on each hop."""
    opened = {m["conversation-id"]: m for m in reversed(portugal.messages)}
    called_off = portugal.said(performative="cancel", sender=f"{asker}@localhost", receiver="fo@localhost")
    assert called_off
    for first in called_off:
        assert opened[first["conversation-id"]]["exchange"] == asks
        service = first["content"]["reference"]
        on = [
            m
            for m in portugal.said(performative="cancel", sender="fo@localhost", at=first["at"])
            if m["content"]["reference"] == service
        ]
        chosen = {a.to for a in awards(portugal) if a.content["service_id"] == service}
        assert {m["receiver"] for m in on} == {*chosen, "emsp@localhost"}
        to_emsp = next(m for m in on if m["receiver"] == "emsp@localhost")
        assert opened[to_emsp["conversation-id"]]["exchange"] == tells


def test_services_are_renewed_each_quarter_of_an_hour(portugal: Day) -> None:
    for exchange, sender in (("2.3", "tso@localhost"), ("4.1.1", "dso@localhost")):
        asked = [m["content"] for m in portugal.said(exchange=exchange, sender=sender, performative="request")]
        starts = {content["service_id"]: instant(content["start"]) for content in asked}
        renewals = [content for content in asked if content["signal"] == "renewal"]
        assert len(renewals) >= 3
        for content in renewals:
            assert instant(content["start"]) - starts[content["renews"]] == QUARTER


def test_voltage_services_ask_for_more_by_day_and_for_less_by_night(portugal: Day, told: IslandScenario) -> None:
    """Much PV by day, much charging by night: voltages leave their limits both ways."""
    for m in portugal.said(exchange="4.1.1", sender="dso@localhost"):
        hour = instant(m["content"]["start"]).astimezone(told.zone).hour
        assert (m["content"]["power_kw"] > 0) == (9 <= hour < 19), m["content"]
    powers = [m["content"]["power_kw"] for m in portugal.said(exchange="4.1.1", sender="dso@localhost")]
    assert min(powers) < 0 < max(powers)


def test_every_message_of_the_portuguese_day_can_be_read_again(portugal: Day) -> None:
    for number, line in enumerate(portugal.trace[1:], start=2):
        assert read_entry(number, line).message.protocol


# ---- the vehicles ----------------------------------------------------------------------------------------------------


def test_awarded_vehicles_draw_what_was_ordered(portugal: Day, series: dict[str, Minutes]) -> None:
    """The metered mean of the promise's firm quarter is the offer's baseline and the ordered change."""
    seen = Counter[str]()
    for award in awards(portugal):
        if award.end < award.start + QUARTER:
            continue
        for charger, (baseline, change) in award.orders.items():
            metered = series["with"].mean_kw(charger, award.start)
            assert metered == pytest.approx(baseline + change, abs=0.3), (award.content["service_id"], charger)
            seen[f"{award.content['service']} {'more' if change > 0 else 'less'}"] += abs(change) > 1
    assert set(seen) == {f"{WIND} more", f"{VOLTAGE} more", f"{VOLTAGE} less"}
    assert min(seen.values()) >= 2, seen


def test_a_vehicle_serves_one_service_in_a_quarter_of_an_hour(portugal: Day) -> None:
    assert_one_service_each(portugal)


def test_vehicles_that_nobody_asked_charge_as_without_the_service(portugal: Day, series: dict[str, Minutes]) -> None:
    asked = {charger for award in awards(portugal) for charger in award.orders}
    one, other = (series[case].all("p_kw:") for case in BOTH_CASES)
    left = sorted(one.keys() - asked)
    assert left
    for charger in left:
        np.testing.assert_allclose(one[charger], other[charger], atol=1e-3, err_msg=charger)


def test_who_departed_has_what_was_asked_and_some_have_more(portugal: Day) -> None:
    departed = [driver for driver in portugal.summary["drivers"]["each"] if driver["departed"]]
    assert len(departed) >= 25
    for driver in departed:
        assert driver["got_kwh"] >= driver["asked_kwh"] - 0.1, driver
    assert sum(driver["got_kwh"] > driver["asked_kwh"] + 5 for driver in departed) >= 5, "wind and sun were stored"


# ---- the network -----------------------------------------------------------------------------------------------------


def test_fewer_minutes_and_buses_are_outside_en_50160_with_the_service(
    portugal: Day, series: dict[str, Minutes]
) -> None:
    found = {case: minutes_outside(series[case]) for case in BOTH_CASES}
    for case in BOTH_CASES:
        judged = portugal.summary["voltage"][case]
        assert (judged["minutes_outside"], judged["buses_outside"]) == found[case]
    assert found["without"][0] >= 120
    assert found["with"][0] <= found["without"][0] / 2
    assert found["with"][1] < found["without"][1]


def test_voltages_are_too_high_by_day_and_too_low_by_night_without_the_service(
    series: dict[str, Minutes], told: IslandScenario
) -> None:
    hour = series["without"].hours(told.zone)
    high = series["without"]["vm_pu_max"] > 1.1
    low = series["without"]["vm_pu_min"] < 0.9
    assert high.sum() > 30
    assert low.sum() > 10
    assert set(hour[high].tolist()) <= set(range(9, 19))
    assert set(hour[low].tolist()) <= {21, 22, 23, 0, 1, 2}


def test_voltages_of_the_series_are_those_of_pandapower(series: dict[str, Minutes], told: IslandScenario) -> None:
    """A power engineer's check: the network, its loads and PV, and the chargers' meters, solved from a flat start."""
    part = told.grid
    grid = Grid.load(part.network, transformer=part.transformer, line=part.line, source_pu=part.source_pu)
    offset = standard_offset(told.zone, told.scenario.start.year)
    profiles = Profiles.load(grid, load_scale=part.load_scale, pv_scale=part.pv_scale, standard_offset=offset)
    base = profiles.minutes(told.begins, 1440)
    net = copy.deepcopy(grid.net)
    net.load.drop(net.load.index, inplace=True)
    net.sgen.drop(net.sgen.index, inplace=True)
    of = {str(name): index for index, name in net.bus.name.items()}
    for bus in grid.buses:
        pp.create_load(net, of[bus], p_mw=0.0, name=bus)
    for case in BOTH_CASES:
        rows = series[case]
        for row in {int(rows["vm_pu_min"].argmin()), int(rows["vm_pu_max"].argmax()), 700}:
            net.load["p_mw"], net.load["q_mvar"] = base.p_kw[row] / 1e3, base.q_kvar[row] / 1e3
            for manager in told.manager:
                kw = sum(rows[f"p_kw:{charger}"][row] for charger in manager.charger_ids())
                net.load.loc[net.load["name"] == manager.buses[0], "p_mw"] += kw / 1e3
            pp.runpp(net, numba=False, tolerance_mva=1e-9)
            solved = [net.res_bus.vm_pu[of[bus]] for bus in grid.buses]
            recorded = [rows[f"vm_pu:{bus}"][row] for bus in grid.buses]
            np.testing.assert_allclose(recorded, solved, atol=2e-6, err_msg=f"{case} {rows.at[row]}")
            assert net.res_trafo.loading_percent.iloc[0] == pytest.approx(rows["trafo_loading_percent"][row], 1e-4)


# ---- the island ------------------------------------------------------------------------------------------------------


def test_less_wind_is_curtailed_with_the_service(portugal: Day, series: dict[str, Minutes]) -> None:
    kwh = {case: float(series[case]["curtailed_kw"].sum()) / 60 for case in BOTH_CASES}
    for case in BOTH_CASES:
        assert portugal.summary["island"][case]["curtailed_kwh"] == pytest.approx(kwh[case], abs=0.02)
    assert kwh["without"] > 100
    assert kwh["with"] < 0.75 * kwh["without"]
    taken = {case: float(series[case]["wind_kw"].sum()) / 60 for case in BOTH_CASES}
    assert taken["with"] - taken["without"] == pytest.approx(kwh["without"] - kwh["with"], abs=1.0)


def slice_of(told: IslandScenario) -> tuple[Plant, ...]:
    """The island's plants times the run's share of its vehicles: 32 chargers of 2000 vehicles."""
    share = 32 / 2000
    return tuple(
        Plant(
            part.name,
            PlantKind(part.kind),
            part.capacity_mw * 1e3 * share,
            part.minimum_mw * 1e3 * share,
            part.inertia_s,
            None if part.droop_percent is None else part.droop_percent / 100,
            part.fuel_kg_per_kwh,
            part.fuel_no_load_kg_per_h * share,
        )
        for part in told.plant
    )


def sets_of_units(plants: tuple[Plant, ...]) -> list[list[str]]:
    """Every number of units of each size that could run."""
    sizes: defaultdict[float, list[str]] = defaultdict(list)
    for plant in plants:
        if plant.kind is PlantKind.THERMAL:
            sizes[plant.capacity_kw].append(plant.name)
    counts = product(*(range(len(units) + 1) for units in sizes.values()))
    return [[u for n, units in zip(c, sizes.values(), strict=True) for u in units[:n]] for c in counts]


def test_every_minute_is_dispatched_by_the_stated_rule(series: dict[str, Minutes], told: IslandScenario) -> None:
    """Each minute sampled is the rule's answer for some two or more units: geothermal and hydro first, the units'
    minimum, then wind as far as there is room, and the rest curtailed."""
    plants = slice_of(told)
    sets = [units for units in sets_of_units(plants) if len(units) >= 2]
    curtailed = 0
    for case in BOTH_CASES:
        rows = series[case]
        windy = np.flatnonzero(rows["curtailed_kw"] > 1)
        for row in (*range(7, 1440, 90), *windy[::20].tolist()):
            if LOST <= rows.at[row] <= LOST + timedelta(minutes=20):
                continue  # a minute in which a plant is lost is two dispatches
            now = {name: float(rows[name][row]) for name in ISLAND_COLUMNS}
            demand = now["island_demand_kw"] + now["island_ev_kw"]
            available = {"hydro": now["hydro_kw"], "graminhais": now["wind_available_kw"]}
            answers = (dispatch(plants, demand, available, committed=units) for units in sets)
            assert any(_is(answer, now, plants) for answer in answers), (case, rows.at[row])
            curtailed += now["curtailed_kw"] > 1
            made = now["geothermal_kw"] + now["hydro_kw"] + now["wind_kw"] + now["thermal_kw"]
            assert made == pytest.approx(demand, abs=0.01)
    assert curtailed >= 10


def _is(answer: Dispatch, now: dict[str, float], plants: tuple[Plant, ...]) -> bool:
    found = (answer.geothermal_kw, answer.thermal_kw, answer.wind_kw, answer.curtailed_kw)
    recorded = [now[name] for name in ("geothermal_kw", "thermal_kw", "wind_kw", "curtailed_kw")]
    same_fuel = abs(fuel_kg(plants, answer, 1 / 60) - now["fuel_kg"]) < 1e-4
    return same_fuel and bool(np.allclose(found, recorded, atol=0.01))


@pytest.mark.parametrize("case", BOTH_CASES)
def test_the_lost_wind_farm_shows_in_the_frequency(
    case: str, portugal: Day, series: dict[str, Minutes], told: IslandScenario
) -> None:
    """At 05:40 what it gave is gone in a second. Primary control with K = sum(P / (droop 50 Hz)) settles at lost / (K +
    D); on the way there a second-order system falls at most twice as far."""
    rows = series[case]
    before = LOST - MINUTE
    assert rows.at[int(rows["frequency_min_hz"].argmin())] == LOST
    assert portugal.summary["island"][case]["lowest_frequency_at"] == "2026-05-29T05:40:00+00:00"
    lost = rows.value("wind_kw", before)
    assert lost > 30
    assert rows.value("wind_available_kw", LOST + MINUTE) == 0.0
    damping = 0.01 * (rows.value("island_demand_kw", before) + rows.value("island_ev_kw", before))
    plants = slice_of(told)
    hydro = 5000 * 32 / 2000 / (0.05 * 50)
    thermal = [p for p in plants if p.kind is PlantKind.THERMAL]
    kg, kw = rows.value("fuel_kg", before) * 60, rows.value("thermal_kw", before)
    droops = [
        sum(p.capacity_kw for p in thermal if p.name in units) / (0.05 * 50)
        for units in sets_of_units(plants)
        if len(units) >= 2 and _burns(thermal, units, kw, kg)
    ]
    assert droops, "some units run"
    dip = 50 - rows.value("frequency_min_hz", LOST)
    settled = [lost / (droop + hydro + damping) for droop in droops]
    assert 0.9 * min(settled) < dip < 2 * max(settled)


def _burns(thermal: list[Plant], units: list[str], kw: float, kg_per_h: float) -> bool:
    """Whether these units, equally far between minimum and capacity, burn that much."""
    running = [p for p in thermal if p.name in units]
    least, most = sum(p.minimum_kw for p in running), sum(p.capacity_kw for p in running)
    if not least - 0.01 <= kw <= most + 0.01:
        return False
    far = (kw - least) / (most - least)
    loads = [p.minimum_kw + far * (p.capacity_kw - p.minimum_kw) for p in running]
    burnt = sum(p.fuel_no_load_kg_per_h + p.fuel_kg_per_kwh * load for p, load in zip(running, loads, strict=True))
    return abs(burnt - kg_per_h) < 0.01


def test_the_frequency_is_that_of_each_case_by_itself(series: dict[str, Minutes]) -> None:
    """Vehicles move an island's frequency: the two cases differ where vehicles do, and not before."""
    one, other = (series[case]["frequency_hz"] for case in BOTH_CASES)
    drawn = np.abs(series["with"]["fleet_p_kw"] - series["without"]["fleet_p_kw"]) > 0.1
    first = int(drawn.argmax())
    assert np.array_equal(one[:first], other[:first])
    assert np.abs(one - other).max() > 0.005


# ---- the money -------------------------------------------------------------------------------------------------------


def owed_by_hand(day: Day, told: IslandScenario, series: Minutes, charger: str) -> Decimal:
    """What the driver owes: energy at its price, and grid use at the feeder's, which a voltage service changes for
    everybody behind it; what is drawn beyond the plan to save wind, at the service's price; what is given back in a
    service is owed to the driver. Minute by minute, because a service may end within a quarter."""
    owed, served = Decimal(0), in_force(day)[charger]
    manager = next(m.name for m in told.manager if charger in m.charger_ids())
    (feeder,) = {
        m["content"]["location"]
        for m in day.said(exchange="df.register", sender=f"{manager}@localhost")
        if m["performative"] == "request"
    }
    changed = [n for each in in_force(day).values() for n in each if n.content.get("location") == feeder]
    start = told.begins.astimezone(UTC)
    while start < told.ends.astimezone(UTC):
        hour = start.astimezone(told.zone).hour
        usual = Decimal("0.02") if hour >= 22 or hour < 8 else Decimal("0.09")
        parts: list[tuple[Told | None, Decimal, list[float]]] = []
        for minute in (start + index * MINUTE for index in range(15)):
            serving, tariff = lasting(served, minute), lasting(changed, minute)
            use = usual if tariff is None else Decimal(tariff.content["grid_use_eur_per_kwh"])
            if not parts or parts[-1][:2] != (serving, use):
                parts.append((serving, use, []))
            parts[-1][2].append(series.value(f"p_kw:{charger}", minute))
        for serving, use, powers in parts:
            hours = Decimal(len(powers)) / 60
            mean = Decimal(str(round(sum(powers) / len(powers), 3)))
            if mean <= 0:
                owed += mean * hours * Decimal(0 if serving is None else remuneration(serving))
                continue
            extra, price = Decimal(0), Decimal(0)
            if serving is not None and serving.content["service"] == "res-curtailment":
                baseline, change = (Decimal(str(kw)) for kw in serving.orders[charger])
                extra = min(max(mean - baseline, Decimal(0)), change)
                price = Decimal(serving.content["charging_cost_eur_per_kwh"]) + use - usual
            owed += hours * (extra * price + (mean - extra) * (Decimal("0.09") + use))
        start += QUARTER
    return owed


def lasting(services: list[Told], minute: datetime) -> Told | None:
    """The one that was begun last, where it is not over."""
    last = max((n for n in services if n.start <= minute), key=lambda n: n.start, default=None)
    return None if last is None or last.end <= minute else last


def remuneration(serving: Told) -> str:
    return str(serving.content["discharging_remuneration_eur_per_kwh"])


def test_drivers_invoices_are_their_meters_at_the_tariff_and_the_services_prices(
    portugal: Day, told: IslandScenario, series: dict[str, Minutes]
) -> None:
    """By hand for every driver: who served the TSO, who drew less or more for the DSO, and who served none."""
    kinds = {
        (award.content["service"], change > 0) for award in awards(portugal) for _, change in award.orders.values()
    }
    assert len(kinds) == 3
    for charger in (c for m in told.manager for c in m.charger_ids()):
        sent = portugal.said(exchange="2.x.1", performative="request", receiver=f"ev-{charger}@localhost")
        invoiced = sum((Decimal(m["content"]["amount_eur"]) for m in sent), Decimal(0))
        assert abs(invoiced - owed_by_hand(portugal, told, series["with"], charger)) <= Decimal("0.01"), charger
        booked = Decimal(portugal.summary["money"].get(f"ev-{charger}", "0"))
        assert booked == -invoiced


def test_the_emsp_keeps_its_margin_and_nothing_else(portugal: Day, series: dict[str, Minutes]) -> None:
    """Half a cent for each kWh charged; each customer's invoice is rounded once."""
    kw = np.stack(list(series["with"].all("p_kw:").values())).reshape(32, -1, 15).mean(axis=2)
    margin = Decimal("0.005") * Decimal(float(np.maximum(kw, 0).sum() / 4))
    customers = len({m["receiver"] for m in portugal.said(exchange="2.x.1", performative="request")})
    kept = Decimal(portugal.summary["money"]["emsp"])
    assert abs(kept - margin) <= Decimal("0.005") * customers
    assert kept > 0


def test_every_invoice_is_paid_and_stands_in_the_books(portugal: Day) -> None:
    sent = {m["content"]["invoice_id"]: m for m in portugal.said(exchange="2.x.1", performative="request")}
    paid = {m["content"]["invoice_id"]: m for m in portugal.said(exchange="2.x.1", performative="inform")}
    assert sent.keys() == paid.keys()
    booked = portugal.sql("select transaction_id, account, amount_cents from posting where account = 'emsp'")
    assert {number: cents for number, _, cents in booked} == {
        number: Decimal(m["content"]["amount_eur"]) * 100 for number, m in sent.items()
    }
    for number, m in sent.items():
        assert sum(Decimal(line["amount_eur"]) for line in m["content"]["lines"]) == Decimal(
            m["content"]["amount_eur"]
        ), number


def test_a_service_is_dearer_or_cheaper_than_the_tariff_as_it_should_move_the_vehicles(
    portugal: Day, told: IslandScenario
) -> None:
    for notice in notices(portugal):
        hour = notice.start.astimezone(told.zone).hour
        ordinary = Decimal("0.11") if hour >= 22 or hour < 8 else Decimal("0.18")
        price = Decimal(notice.content["charging_cost_eur_per_kwh"])
        if notice.content["power_kw"] > 0:
            assert price <= Decimal("0.11") - Decimal("0.01"), "cheaper than the coming night by a cent at least"
        else:
            assert price >= ordinary + Decimal("0.01")


def test_the_closing_lines_count_the_fuel_of_what_was_charged_ahead(portugal: Day) -> None:
    """More fuel is burnt, for more is charged: without that line the table would say the opposite of the report."""
    shown = (portugal.folder.parent / "shown.txt").read_text(encoding="utf-8")
    saved, ahead = (portugal.summary["island"][name] for name in ("fuel_saved_kg", "charged_ahead_kwh"))
    assert (
        f"Counting the {ahead:.1f} kWh that the vehicles need not take later, {saved:.1f} kg of fuel are saved."
        in shown
    )
    assert saved > 0
