"""A run folder as a winter day of the demonstrator leaves it, made up: 35 chargers, two VPPs, three pools.

The figures are invented but consistent: what is awarded is what the fleet gives up, and the ledger sums to zero.
"""

from __future__ import annotations

import json
import math
import sqlite3
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from environment import summary
from environment.series import SeriesRecorder
from environment.summary import DriverOutcome

from .island import make_island_run
from .public import make_public_run
from .script import Script, jid

ZONE = ZoneInfo("Europe/Ljubljana")
DAY = datetime(2025, 1, 15, tzinfo=ZONE)
CHARGERS = [*(f"office-{n}" for n in range(1, 6)), *(f"home-{n:02d}" for n in range(1, 31))]
BUSES = ["MV", "LV busbar", *(f"LV1.101 Bus {n}" for n in range(1, 41))]
WINDOWS = ((17.5, 18.5), (18.5, 19.5), (19.5, 20.25))


ROLES = {
    **{jid(role): role for role in ("dso", "tso", "fmo", "directory", "environment", "observer")},
    jid("vpp-sava"): "vpp",
    jid("vpp-drava"): "vpp",
    jid("cpo"): "cpo",
    **{jid(f"owner-{charger}"): "ev_owner" for charger in CHARGERS},
}


def clock(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def pool(script: Script, number: int, start: float, end: float, needed: float) -> list[tuple[str, float, str]]:
    """One pool of BUC 6 with the activation nested in it: DSO > VPP > CPO > drivers and back."""
    at = clock(start) - timedelta(minutes=20)
    times = {"start": clock(start).isoformat(), "end": clock(end).isoformat()}
    point = "LV1.101 transformer"
    conversation = script.opens()
    offers = {"vpp-sava": (round(needed * 0.7, 1), "0.062"), "vpp-drava": (round(needed * 0.6, 1), "0.071")}
    for vpp in offers:
        script.says(
            at, "dso", vpp, "cfp", "contract-net", conversation, "6.1.1", pool_id=f"pool-{number}",
            service="congestion-management", timestamp=at.isoformat(), congestion_point=point, **times,
            max_price_eur_per_kw="0.120", power_needed_kw=needed,
        )  # fmt: skip
    for vpp, (power, price) in offers.items():
        script.says(
            at + timedelta(seconds=20), vpp, "dso", "propose", "contract-net", conversation, "6.1.2",
            pool_id=f"pool-{number}", bid_id=f"{vpp}-{number}", timestamp=at.isoformat(),
            price_eur_per_kw=price, power_kw=power, baseline_kw=[88.0] * 4,
        )  # fmt: skip
    left, awards = needed, []
    for vpp, (power, price) in offers.items():
        awarded = round(min(power, left), 1)
        left -= awarded
        bid_id, act = f"{vpp}-{number}", "accept-proposal" if awarded else "reject-proposal"
        script.says(
            at + timedelta(seconds=60), "dso", vpp, act, "contract-net", conversation, "6.x.1",
            pool_id=f"pool-{number}", bid_id=bid_id, price_eur_per_kw=price, power_kw=awarded, reason=None,
        )  # fmt: skip
        script.says(
            at + timedelta(seconds=61), vpp, "dso", "inform", "contract-net", conversation, None, reference=bid_id
        )
        awards.append((vpp, awarded, price))
    for vpp, awarded, _ in awards:
        activation(script, f"act-{vpp}-{number}", f"{vpp}-{number}", vpp, awarded, point, times, clock(start))
    return awards


def activation(
    script: Script,
    activation_id: str,
    bid_id: str,
    vpp: str,
    power: float,
    point: str,
    times: dict[str, str],
    start: datetime,
) -> None:
    order = {
        "activation_id": activation_id, "bid_id": bid_id, "service": "congestion-management",
        "congestion_point": point, **times, "max_price_eur_per_kw": "0.120", "power_kw": power,
    }  # fmt: skip
    at = start - timedelta(minutes=10)
    first, second = script.opens(), script.opens()
    script.says(at, "dso", vpp, "request", "request", first, "6.2.1", **order)
    script.says(at + timedelta(seconds=2), vpp, "cpo", "request", "request", second, "6.2.2", **order)
    owners = [f"owner-{name}" for name in (CHARGERS[5:19] if vpp == "vpp-sava" else CHARGERS[19:28])]
    asked = [(owner, script.opens()) for owner in owners]
    for owner, conversation in asked:
        script.says(
            at + timedelta(seconds=4), "cpo", owner, "propose", "propose", conversation, "6.2.3",
            activation_id=activation_id, service="congestion-management", **times, power_kw=3.4, benefit_eur="0.41",
        )  # fmt: skip
    for index, (owner, conversation) in enumerate(asked):
        act, reason = ("accept-proposal", None) if index % 5 else ("reject-proposal", "I leave earlier today")
        script.says(
            at + timedelta(seconds=9), owner, "cpo", act, "propose", conversation, "6.2.3",
            activation_id=activation_id, reason=reason,
        )  # fmt: skip
    answer = {"activation_id": activation_id, "accepted": True, "available_power_kw": power, "reason": None}
    for after, who, to, conversation, exchange in (
        (12, "cpo", vpp, second, "6.2.4"),
        (14, vpp, "dso", first, "6.2.5"),
    ):
        script.says(at + timedelta(seconds=after), who, to, "agree", "request", conversation, exchange, **answer)
    done = start + timedelta(minutes=61)
    script.says(done, "cpo", vpp, "inform", "request", second, None, reference=activation_id)
    script.says(done, vpp, "dso", "inform", "request", first, None, reference=activation_id)
    volume = script.opens()
    script.says(
        done + timedelta(minutes=5), vpp, "dso", "propose", "propose", volume, "1.x.5", activation_id=activation_id,
        baseline_kw=[88.0], measured_kw=[88.0 - power], delivered_kw=[power], delivered_energy_kwh=power,
    )  # fmt: skip
    script.says(
        done + timedelta(minutes=6), "dso", vpp, "accept-proposal", "propose", volume, "1.x.5",
        activation_id=activation_id, reason=None,
    )  # fmt: skip


def day_ahead(script: Script) -> None:
    """One round of BUC 1: the market operator's call, two bids of which one clears in part."""
    at, conversation = clock(10), script.opens()
    times = {"start": clock(7.0).isoformat(), "end": clock(8.0).isoformat()}
    for vpp in ("vpp-sava", "vpp-drava"):
        script.says(
            at - timedelta(hours=5), "fmo", vpp, "cfp", "contract-net", conversation, "1.x.7", market_id="market-1",
            need_id="need-1", product_id="lv-congestion", service="congestion-management",
            congestion_point="LV1.101 transformer", **times, power_needed_kw=14.0, max_price_eur_per_kw="0.110",
            pricing="pay-as-clear",
        )  # fmt: skip
    for vpp, power, price in (("vpp-sava", 9.0, "0.058"), ("vpp-drava", 11.0, "0.066")):
        script.says(
            at - timedelta(hours=4.8), vpp, "fmo", "propose", "contract-net", conversation, "1.1.1",
            bid_id=f"{vpp}-da", market_id="market-1", timestamp=at.isoformat(), price_eur_per_kw=price,
            power_kw=power, min_power_kw=1.0, location="LV1.101", **times, baseline_kw=[30.0] * 4,
        )  # fmt: skip
    for vpp, power in (("vpp-sava", 9.0), ("vpp-drava", 5.0)):
        script.says(
            at - timedelta(hours=4.6), "fmo", vpp, "accept-proposal", "contract-net", conversation, "1.1.2",
            bid_id=f"{vpp}-da", market_id="market-1", timestamp=at.isoformat(), market_price_eur_per_kw="0.066",
            cleared_power_kw=power, reason=None,
        )  # fmt: skip


def billed(script: Script, awards: list[tuple[str, float, str]], number: int, end: float) -> list[tuple[Any, ...]]:
    """The bills of one pool and the postings that pay them: DSO to VPP, VPP to CPO, CPO to drivers."""
    rows: list[tuple[Any, ...]] = []
    for vpp, power, price in awards:
        activation_id, at = f"act-{vpp}-{number}", clock(end) + timedelta(minutes=25)
        paid = (Decimal(str(power)) * Decimal(price) * 4).quantize(Decimal("0.01"))
        penalty = Decimal("0.35") if vpp == "vpp-drava" else Decimal("0.00")
        conversation = script.opens()
        script.says(
            at, "fmo", "dso", "request", "request", conversation, "1.2.7", bill_id=f"bill-{activation_id}",
            activation_id=activation_id, payer=jid("dso"), payee=jid(vpp), volume_kwh=power, price_eur_per_kw=price,
            remuneration_eur=str(paid), penalty_eur=str(penalty), amount_eur=str(paid - penalty),
            due=(at + timedelta(days=14)).isoformat(),
        )  # fmt: skip
        script.says(
            at + timedelta(seconds=30), "dso", "fmo", "inform", "request", conversation, "1.2.7",
            bill_id=f"bill-{activation_id}", transaction_id=f"pay-{activation_id}", amount_eur=str(paid - penalty),
        )  # fmt: skip
        share = ((paid - penalty) * Decimal("0.7")).quantize(Decimal("0.01"))
        owners = [f"owner-{name}" for name in (CHARGERS[6:19] if vpp == "vpp-sava" else CHARGERS[20:28])]
        each = (share * Decimal("0.8") / len(owners)).quantize(Decimal("0.01"))
        for transaction, entries in (
            (f"pay-{activation_id}", {"dso": -(paid - penalty), vpp: paid - penalty}),
            (f"share-{activation_id}", {vpp: -share, "cpo": share}),
            (f"drivers-{activation_id}", {"cpo": -each * len(owners), **dict.fromkeys(owners, each)}),
        ):
            rows += [(transaction, who, str(eur), at.isoformat(), activation_id) for who, eur in entries.items()]
    return rows


def record_series(path: Path) -> None:
    """1,440 minutes of both cases: households with an evening peak, the fleet on top of it, less in the windows."""
    rng = np.random.default_rng(7)
    recorder = SeriesRecorder("Europe/Ljubljana", BUSES, CHARGERS)
    arrival = np.concatenate([rng.normal(8.3, 0.4, 5), rng.normal(18.0, 1.5, 30)])
    for case in ("with", "without"):
        rng = np.random.default_rng(7)
        soc = np.concatenate([rng.uniform(35, 60, 5), np.full(30, 90.0)])
        for minute in range(1440):
            hour = minute / 60
            home = 52 + 26 * math.exp(-((hour - 19) ** 2) / 4) + 12 * math.exp(-((hour - 7.5) ** 2) / 2)
            sun = 38 * max(0.0, math.sin((hour - 8) / 8.5 * math.pi)) if 8 < hour < 16.5 else 0.0
            plugged = (hour >= arrival) if minute > 480 else np.concatenate([np.zeros(5, bool), np.ones(30, bool)])
            plugged[:5] &= hour < 16.8
            power = np.where(plugged & (soc < 90), 7.4, 0.0)
            if case == "with" and any(start <= hour < end for start, end in WINDOWS):
                power[5:] = np.where(power[5:] > 0, np.where(soc[5:] > 70, -0.8, 3.4), 0.0)
            elif case == "with" and hour >= WINDOWS[-1][1]:
                power[5:] = np.minimum(power[5:], 2.6)
            soc = np.clip(soc + power / 60 / 52 * 100, 5, 95)
            if minute == 481:
                soc[5:] = rng.uniform(35, 75, 30)
            total = home + rng.normal(0, 1.2) - sun + power.sum()
            losses = 0.4 + total**2 * 1.3e-4
            vm = 1.02 - np.linspace(0, 1, len(BUSES)) * total * 5.2e-4 + sun * 2e-4
            recorder.append(
                clock(hour), case, trafo_loading_percent=abs(total + losses) / 1.75, trafo_p_kw=total + losses,
                losses_kw=losses, line_loading_percent_max=abs(total) * 0.4, load_kw=home, pv_kw=-sun,
                frequency_hz=50 + rng.normal(0, 0.012), vm_pu=vm, p_kw=power, soc_percent=soc, connected=plugged,
            )  # fmt: skip
    recorder.write(path)


def make_run(folder: Path) -> Path:
    """The whole run folder but its report."""
    folder.mkdir(parents=True, exist_ok=True)
    script, rows = Script(), []
    day_ahead(script)
    for number, ((start, end), needed) in enumerate(zip(WINDOWS, (42.0, 36.0, 18.0), strict=True), start=1):
        rows += billed(script, pool(script, number, start, end, needed), number, end)
    header = {"trace": 1, "scenario": "slovenia", "seed": 7, "roles": ROLES}
    lines = [json.dumps(line, ensure_ascii=False) for line in (header, *script.ordered())]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    database = sqlite3.connect(folder / "ledger.sqlite")
    database.execute(
        "create table posting (transaction_id text, account text, amount_eur text, at text, reference text)"
    )
    database.executemany("insert into posting values (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    record_series(folder / "series.parquet")
    drivers = [
        DriverOutcome(
            owner=jid(f"owner-{charger}"), charger_id=charger, vehicle_id=f"ev-{charger}", arrival=clock(17.25),
            departure=clock(31.0), asked_kwh=18.0 + index % 7, got_kwh=18.0 + index % 7 - (2.5 if index == 12 else 0),
        )
        for index, charger in enumerate(CHARGERS)
    ]  # fmt: skip
    summary.write(
        folder, agents=46, wall_s=31.4, drivers=drivers, warnings=["home-08: the wanted charge could not be reached"]
    )
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def island_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_island_run(tmp_path_factory.mktemp("island"))


@pytest.fixture(scope="session")
def public_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_public_run(tmp_path_factory.mktemp("public"))
