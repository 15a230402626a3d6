"""The Danish day as a user runs it, computed again from its files: power flow, frequency, settlements, the books."""

from __future__ import annotations

import copy
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from agents.fcr_log import FcrLog
from environment import scenario
from environment.campus_scenario import CampusScenario
from environment.networks import Networks
from environment.profiles import standard_offset
from environment.world import places
from protocols.exchanges.vocabulary import FcrProduct
from tests.days import Day
from tests.test_day import assert_sound

MINUTE = timedelta(minutes=1)
LEGS = (
    # Table 4 and the prose of 3.3
    ("3.1", "dso", "v2x_manager"),
    ("3.2", "v2x_manager", "ev_owner"),
    ("3.3", "dso", "v2x_manager"),
    ("3.x.1", "v2x_manager", "dso"),
    ("3.x.2", "dso", "v2x_manager"),
    ("3.x.3", "dso", "v2x_manager"),
    ("3.x.4", "v2x_manager", "ev_owner"),
    ("3.x.5", "v2x_manager", "dso"),
    # Table 11 and the prose of 3.7
    ("7.1", "v2x_manager", "tso"),
    ("7.2", "v2x_manager", "ev_owner"),
    ("7.3", "v2x_manager", "tso"),
    ("7.x.1", "tso", "v2x_manager"),
    ("7.x.2", "v2x_manager", "tso"),
    ("7.x.3", "tso", "v2x_manager"),
)


@pytest.fixture(scope="module")
def told() -> CampusScenario:
    loaded = scenario.load("denmark")
    assert isinstance(loaded, CampusScenario)
    return loaded


@pytest.fixture(scope="module")
def minutes(denmark: Day) -> dict[str, pd.DataFrame]:
    frame = pd.read_parquet(denmark.folder / "series.parquet")
    return {str(case): part.set_index("at") for case, part in frame.groupby("case")}


@pytest.fixture(scope="module")
def seconds(denmark: Day) -> dict[str, pd.DataFrame]:
    frame = pd.read_parquet(denmark.folder / "frequency.parquet")
    return {str(case): part.set_index("at") for case, part in frame.groupby("case")}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_the_danish_day_is_sound(denmark: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(denmark, capsys)


def test_the_same_seed_gives_the_same_danish_day_byte_for_byte(danish_days: tuple[Day, Day]) -> None:
    one, other = danish_days
    assert (one.folder / "trace.jsonl").read_bytes() == (other.folder / "trace.jsonl").read_bytes()
    assert one.postings == other.postings
    assert one.outcome == other.outcome
    for name in ("series.parquet", "frequency.parquet"):
        assert pd.read_parquet(one.folder / name).equals(pd.read_parquet(other.folder / name))


@pytest.mark.parametrize(("exchange", "sender", "receiver"), LEGS)
def test_every_exchange_of_buc_3_and_buc_7_is_said_by_whom_d51_has_it(
    denmark: Day, exchange: str, sender: str, receiver: str
) -> None:
    role = denmark.header["roles"]
    said = {(role[m["sender"]], role[m["receiver"]]) for m in denmark.said(exchange=exchange)}
    assert (sender, receiver) in said


def test_some_drivers_decline_and_shifting_is_not_the_only_help(denmark: Day) -> None:
    asked = denmark.said(exchange="3.2", performative="cfp")
    kinds = {option["kind"] for m in asked for option in m["content"]["options"]}
    assert {"shift", "discharge"} <= kinds
    conversations = {(m["conversation-id"], m["receiver"]) for m in asked}
    refused = {(m["conversation-id"], m["sender"]) for m in denmark.messages if m["performative"] == "refuse"}
    agreed = denmark.said(exchange="3.2", performative="propose")
    assert conversations & refused
    assert agreed


# ---- the networks ----------------------------------------------------------------------------------------------------


def test_less_is_overloaded_with_the_service_and_everybody_leaves_as_asked(denmark: Day) -> None:
    for campus, cases in denmark.summary["campuses"].items():
        assert cases["with"]["beyond_limit_kwh"] < 0.3 * cases["without"]["beyond_limit_kwh"], campus
    assert denmark.summary["drivers"]["below_wanted"] == 0


def test_minutes_of_both_campuses_are_what_plain_pandapower_says(
    told: CampusScenario, minutes: dict[str, pd.DataFrame]
) -> None:
    networks = Networks.load(told.grids, standard_offset(told.zone, told.scenario.start.year))
    injections = networks.minutes(told.begins, len(minutes["with"]))
    bus_of = places(told, networks)
    frame = minutes["with"]
    for row in (7, 426, 668, 1150):
        p_kw = injections.p_kw[row].copy()
        for charger, bus in bus_of.items():
            p_kw[networks.index(bus)] += frame[f"p_kw:{charger}"].iloc[row]
        first = 0
        for member in networks.members:
            count = len(member.grid.buses)
            net = copy.deepcopy(member.grid.net)
            net.load.drop(net.load.index, inplace=True)
            net.sgen.drop(net.sgen.index, inplace=True)
            low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
            for position, bus in enumerate(low, start=first):
                p, q = p_kw[position] / 1e3, injections.q_kvar[row][position] / 1e3
                pp.create_load(net, bus, p_mw=p, q_mvar=q)
            pp.runpp(net, numba=False)
            loading = frame[f"trafo_loading_percent.{member.name}"].iloc[row]
            assert loading == pytest.approx(net.res_trafo.loading_percent.iloc[0], abs=1e-2)
            first += count


# ---- the frequency ---------------------------------------------------------------------------------------------------


def test_the_trip_begins_as_the_masses_have_it_and_the_vehicles_hold_it_higher(
    told: CampusScenario, seconds: dict[str, pd.DataFrame]
) -> None:
    """RoCoF = P f0 / (2 E), by hand: 1,100 MW of 190 GWs are 0.145 Hz/s."""
    [trip] = told.trip
    [at] = told.on_each_day(trip.at)
    lowest = {}
    for case, frame in seconds.items():
        hz = frame.hz.loc[at : at + 120 * timedelta(seconds=1)]
        assert hz.iloc[0] - hz.iloc[1] == pytest.approx(trip.mw * 50 / (2 * told.area.inertia_gws * 1e3), rel=0.2)
        lowest[case] = float(hz.min())
    assert lowest["with"] > lowest["without"] + 0.03


def test_what_moves_the_area_is_what_the_portfolios_gave(
    denmark: Day, told: CampusScenario, seconds: dict[str, pd.DataFrame]
) -> None:
    """In the hour of the trip, second by second, by the portfolios' own logs; the loop's and the meter's second may be
    one apart, so sums over ten seconds are compared."""
    [at] = told.on_each_day(told.trip[0].at)
    first, last = at + 5 * MINUTE, at + 40 * MINUTE
    given = pd.Series(0.0, index=pd.date_range(first, last, freq="s"))
    for path in sorted((denmark.folder / "fcr-log").glob("*.csv")):
        resource, product, *_ = path.name.split("_")
        if given.attrs.get(resource):
            continue
        given.attrs[resource] = True
        log = FcrLog(denmark.folder / "fcr-log", resource, FcrProduct(product))
        for second in log.read(first, last):
            given.loc[second.at] += second.power_kw - second.baseline_kw - second.nem_kw
        log.close()
    counted = seconds["with"].response_kw.loc[first : last - timedelta(seconds=1)]
    ours = given.to_numpy()[: len(counted)].reshape(-1, 10).mean(axis=1)
    theirs = counted.to_numpy().reshape(-1, 10).mean(axis=1)
    assert np.abs(theirs).max() > 5
    assert np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max() + 1.0


# ---- the money -------------------------------------------------------------------------------------------------------


def test_each_congestion_is_paid_by_what_the_meters_counted(denmark: Day, minutes: dict[str, pd.DataFrame]) -> None:
    """3.x.3 again from the series: delivered = clip(baseline - metered, 0, promised) in each quarter of an hour."""
    calls = {m["content"]["request_id"]: m["content"] for m in denmark.said(exchange="3.1", performative="cfp")}
    bills = denmark.said(exchange="3.x.3", performative="propose")
    assert bills
    for bill in (m["content"] for m in bills):
        call = calls[bill["request_id"]]
        delivered = [
            min(max(base - metered, 0.0), bill["promised_kw"])
            for base, metered in zip(bill["baseline_kw"], bill["metered_kw"], strict=True)
        ]
        assert bill["reduced_kwh"] + bill["discharged_kwh"] == pytest.approx(sum(delivered) / 4, abs=0.02)
        worth = bill["reduced_kwh"] * float(call["reduction_price_eur_per_kwh"])
        worth += bill["discharged_kwh"] * float(call["discharging_price_eur_per_kwh"])
        assert float(bill["remuneration_eur"]) == pytest.approx(worth, abs=0.011)


def test_each_hour_of_frequency_control_is_paid_by_its_price_and_availability(denmark: Day) -> None:
    awards = {m["content"]["offer_id"]: m["content"] for m in denmark.said(exchange="7.x.2", performative="agree")}
    paid = denmark.said(exchange="7.x.2", performative="inform")
    assert len(paid) >= 8
    for content in (m["content"] for m in paid):
        award = awards[content["offer_id"]]
        whole = Decimal(award["price_eur_per_kw"]) * 4 * Decimal(str(award["capacity_kw"]))
        part = float(whole) * content["availability_percent"] / 100
        assert float(content["capacity_eur"]) == pytest.approx(part, abs=0.011)


def test_the_books_hold_what_was_said(denmark: Day) -> None:
    """Every settlement, hour and remuneration is in the ledger once, with its amount, and all of it adds up to zero."""
    booked: defaultdict[str, Decimal] = defaultdict(Decimal)
    for transaction, cents in denmark.sql("select transaction_id, amount_cents from posting where amount_cents > 0"):
        booked[transaction] += Decimal(cents) / 100
    said: dict[str, Decimal] = {}
    for content in (m["content"] for m in denmark.said(exchange="7.x.2", performative="inform")):
        said[content["offer_id"]] = abs(Decimal(content["amount_eur"]))
    for content in (m["content"] for m in denmark.said(exchange="3.x.4", performative="request")):
        said[content["remuneration_id"]] = Decimal(content["amount_eur"])
    accepted = {m["content"]["settlement_id"] for m in denmark.said(exchange="3.x.3", performative="accept-proposal")}
    for content in (m["content"] for m in denmark.said(exchange="3.x.3", performative="propose")):
        if content["settlement_id"] in accepted:
            amount = Decimal(content["remuneration_eur"]) - Decimal(content["penalty_eur"])
            said[content["settlement_id"]] = abs(amount)
    assert said
    assert {name: booked[name] for name in said} == said
    assert denmark.sql("select sum(amount_cents) from posting") == [(0,)]


def test_the_sheet_of_each_application_has_every_requirement_with_a_number(denmark: Day) -> None:
    sheets: list[dict[str, Any]] = [m["content"] for m in denmark.said(exchange="7.1", performative="inform")]
    assert len(sheets) == 2
    for sheet in sheets:
        clauses = " ".join(line["clause"] for line in sheet["sheet"])
        for number in (1, 8, 9, 10, 12):
            assert f"requirement {number}" in clauses
        assert all(line["passed"] for line in sheet["sheet"])
