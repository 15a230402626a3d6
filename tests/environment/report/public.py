"""A run folder of two days at two public stations, made up: one auction, one lowered price, four drivers, one of whom
moves under the sun and one of whom finds no place.

The figures are invented but consistent: line 2-8 carries 520 kVA of 500 from 18:00 to 19:00 without flexibility and
440 with it; 30 kWh are drawn under the lowered price without it and 70 with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from environment import summary
from environment.series import SeriesRecorder
from environment.summary import DriverOutcome
from protocols import exchanges as x

from .script import Script, jid

ZONE = ZoneInfo("Europe/Athens")
BEGINS = datetime(2026, 6, 7, 12, tzinfo=ZONE)
MONDAY = datetime(2026, 6, 8, tzinfo=ZONE)
QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)
STATIONS = {"koropi-east": ("ppc", "Bus 4"), "markopoulo-west": ("second-cpo", "Bus 8")}
CHARGERS = [f"{station}-0{number}" for station in STATIONS for number in (1, 2)]
LINES = {"Line 1-2": (1000.0, ["Bus 2", "Bus 4", "Bus 8"]), "Line 2-8": (500.0, ["Bus 8"])}
ROLES = {
    **{jid(role): role for role in ("directory", "environment", "observer")},
    jid("hedno"): "dso",
    jid("fmo"): "fmo",
    jid("ppc"): "cpo",
    jid("second-cpo"): "cpo",
    **{jid(f"driver-00{n}"): "ev_owner" for n in range(1, 5)},
}
# driver, charger, start (hours of Monday), length in hours, kW
SESSIONS: dict[str, list[tuple[int, str, float, float, float]]] = {
    "with": [
        (1, "markopoulo-west-01", 12.0, 1.0, 40.0),
        (2, "markopoulo-west-02", 12.25, 0.75, 40.0),
        (4, "koropi-east-01", 19.0, 1.0, 20.0),
    ],
    "without": [
        (1, "markopoulo-west-01", 18.0, 1.0, 40.0),
        (2, "markopoulo-west-02", 12.25, 0.75, 40.0),
        (3, "markopoulo-west-02", 18.0, 1.0, 40.0),
        (4, "koropi-east-01", 18.5, 1.0, 20.0),
    ],
}
PRICES = {"koropi-east": "0.58", "markopoulo-west": "0.55"}
_PLACE: dict[str, Any] = {"latitude_deg": 37.90, "longitude_deg": 23.88}


def monday(hour: float) -> datetime:
    return MONDAY + timedelta(hours=hour)


def cents(price: str, kwh: float) -> Decimal:
    return (Decimal(price) * Decimal(str(kwh))).quantize(Decimal("0.01"))


def tell(
    script: Script, at: datetime, who: str, to: str, act: str, protocol: str, conversation: str, content: x.Content
) -> None:
    members = content.to_json()
    exchange = members.pop("exchange", None)
    script.says(at, who, to, act, protocol, conversation, exchange, **members)


def asked(
    script: Script,
    at: datetime,
    who: str,
    to: str,
    content: x.Content,
    reference: str,
    *,
    result: x.Content | None = None,
) -> str:
    """A request that is agreed to and done."""
    conversation = script.opens()
    tell(script, at, who, to, "request", "request", conversation, content)
    tell(script, at + timedelta(seconds=5), to, who, "agree", "request", conversation, x.Done(reference=reference))
    done = result or x.Done(reference=reference)
    tell(script, at + timedelta(seconds=9), to, who, "inform", "request", conversation, done)
    return conversation


def auction(script: Script) -> None:
    at = BEGINS + timedelta(minutes=5)
    for station, (cpo, bus) in STATIONS.items():
        registered = x.Station(station_id=station, location=bus, **_PLACE, connection_kw=120.0, chargers=2)
        asked(
            script, at, cpo, "fmo",
            x.StationRegistration(registration_id=f"reg-{cpo}", timestamp=at, stations=(registered,)), f"reg-{cpo}",
        )  # fmt: skip
    at = BEGINS + timedelta(minutes=15)
    attributes: dict[str, Any] = {
        "terms_id": "caps-1", "timestamp": at, "gate_closure": at + timedelta(minutes=30),
        "period_start": MONDAY, "period_end": MONDAY + timedelta(days=28), "window_start": "17:00",
        "window_end": "22:00", "most_activations": 12, "notice_minutes": 720, "least_points": 2, "most_points": 16,
        "step_kw": 20.0, "lowest_limit_kw": 40.0, "most_eur": Decimal("5000"), "penalty_eur_per_kwh": Decimal("1"),
    }  # fmt: skip
    bids, purchases, contracts, calls = [], [], [], []
    for station, (cpo, bus) in STATIONS.items():
        call = x.AuctionCall(
            **attributes, call_id=f"call-{station}", dso=jid("hedno"), station_id=station, location=bus
        )
        curve = tuple(
            x.CurvePoint(limit_kw=kw, price_eur=Decimal(eur))
            for kw, eur in ((40.0, "28.00"), (60.0, "9.00"), (120.0, "0.00"))
        )
        bid = x.CurveBid(bid_id=f"bid-{station}", call_id=call.call_id, timestamp=at, station_id=station, curve=curve)
        calls.append((cpo, call, bid))
        bids.append(x.ApprovedBid(bid_id=bid.bid_id, cpo=jid(cpo), station_id=station, location=bus, curve=curve))
    bought = {"markopoulo-west": (40.0, "28.00")}
    for station, (kw, eur) in bought.items():
        cpo, bus = STATIONS[station]
        purchases.append(x.Purchase(bid_id=f"bid-{station}", station_id=station, limit_kw=kw, price_eur=Decimal(eur)))
        contracts.append(
            x.Contract(
                contract_id=f"c-{station}", bid_id=f"bid-{station}", cpo=jid(cpo), station_id=station, location=bus,
                limit_kw=kw, price_eur=Decimal(eur),
            )
        )  # fmt: skip
    asked(
        script, at, "hedno", "fmo", x.AuctionTerms(**attributes, locations=("Bus 4", "Bus 8")), "caps-1",
        result=x.CurveBids(terms_id="caps-1", timestamp=at, bids=tuple(bids)),
    )  # fmt: skip
    for cpo, call, bid in calls:
        conversation, later = script.opens(), at + timedelta(seconds=6)
        tell(script, later, "fmo", cpo, "cfp", "contract-net", conversation, call)
        tell(script, later, cpo, "fmo", "propose", "contract-net", conversation, bid)
        found = next((each for each in contracts if each.bid_id == bid.bid_id), None)
        result = x.ProcurementResult(
            bid_id=bid.bid_id, call_id=call.call_id, timestamp=at, reason="the DSO buys nothing of this curve"
        )
        if found is not None:
            result = x.ProcurementResult(
                bid_id=bid.bid_id, call_id=call.call_id, timestamp=at, contract_id=found.contract_id,
                dso=jid("hedno"), limit_kw=found.limit_kw, price_eur=found.price_eur,
            )  # fmt: skip
        act = "reject-proposal" if found is None else "accept-proposal"
        tell(script, at + timedelta(minutes=35), "fmo", cpo, act, "contract-net", conversation, result)
    decision = x.ProcurementDecision(
        decision_id="d-1", terms_id="caps-1", timestamp=at, purchases=tuple(purchases), scenarios=40,
        expected_without_kwh=24.0, expected_with_kwh=2.0,
    )  # fmt: skip
    asked(
        script, at + timedelta(minutes=34), "hedno", "fmo", decision, "d-1",
        result=x.ConcludedContracts(decision_id="d-1", contracts=tuple(contracts)),
    )  # fmt: skip


def limits(script: Script, *, excess_kwh: float = 0.0) -> None:
    """One limit that is agreed to, kept (unless there is an excess) and settled; one that is refused."""
    at = BEGINS + 2 * HOUR
    for number, (day, agreed) in enumerate(((0, True), (1, False)), start=1):
        limit = x.CapacityLimit(
            activation_id=f"a-{number}", contract_id="c-markopoulo-west", timestamp=at, station_id="markopoulo-west",
            limit_kw=40.0, start=monday(17 + 24 * day), end=monday(22 + 24 * day),
        )  # fmt: skip
        if agreed:
            asked(script, at, "hedno", "second-cpo", limit, f"a-{number}")
            continue
        conversation, later = script.opens(), at + timedelta(days=1)
        tell(script, later, "hedno", "second-cpo", "request", "request", conversation, limit)
        no = x.Reason(code="needs-more", reason="two sessions need 55 kW")
        tell(script, later, "second-cpo", "hedno", "refuse", "request", conversation, no)
    penalty = Decimal(str(round(excess_kwh, 2)))
    settlement = x.LimitSettlement(
        settlement_id="s-1", contract_id="c-markopoulo-west", start=MONDAY, end=MONDAY + timedelta(days=1),
        capacity_eur=Decimal("1.00"), activation_id="a-1", limit_kw=40.0, highest_kw=40.0 if not excess_kwh else 41.0,
        excess_kwh=excess_kwh, penalty_eur=penalty, amount_eur=Decimal("1.00") - penalty,
    )  # fmt: skip
    conversation, at = script.opens(), monday(24.2)
    tell(script, at, "hedno", "second-cpo", "propose", "propose", conversation, settlement)
    answer = x.LimitSettlementAnswer(settlement_id="s-1")
    tell(script, at, "second-cpo", "hedno", "accept-proposal", "propose", conversation, answer)


def prices(script: Script) -> None:
    at = monday(10)
    reduction = x.NetworkPriceReduction(
        reduction_id="cheaper-1", timestamp=at, locations=("Bus 8",), reduction_eur_per_kwh=Decimal("0.12"),
        start=monday(12), end=monday(13),
    )  # fmt: skip
    asked(script, at, "hedno", "second-cpo", reduction, "cheaper-1")
    bill = x.NetworkBill(
        bill_id="net-1", start=MONDAY, end=MONDAY + timedelta(days=1), energy_kwh=70.0, reduced_kwh=70.0,
        usual_eur=Decimal("8.40"), reduction_eur=Decimal("8.40"), amount_eur=Decimal("0.00"),
    )  # fmt: skip
    asked(script, monday(24.2), "hedno", "second-cpo", bill, "net-1")


def wants(script: Script, driver: int, at: datetime, request_id: str, arrivals: Sequence[float], kwh: float) -> str:
    """5.2.2 to both operators; the conversation."""
    stays = tuple(x.Stay(**_PLACE, arrival=monday(hour), departure=monday(hour + 2.5)) for hour in arrivals)
    request = x.ChargingRequest(
        request_id=request_id, timestamp=at, soc_percent=20.0, capacity_kwh=60.0, energy_kwh=kwh, max_charge_kw=80.0,
        within_km=8.0, stays=stays,
    )  # fmt: skip
    conversation = script.opens()
    for cpo in ("ppc", "second-cpo"):
        tell(script, at, f"driver-00{driver}", cpo, "cfp", "contract-net", conversation, request)
    return conversation


def picks(
    script: Script, driver: int, at: datetime, request_id: str, conversation: str, session: tuple[str, float, float],
    price: str, stay: int, kwh: float,
) -> str:  # fmt: skip
    """One choice of the charger's operator, picked; the other one has none. The choice's id."""
    charger, start, hours = session
    station = charger.rpartition("-")[0]
    cpo = STATIONS[station][0]
    other = "ppc" if cpo == "second-cpo" else "second-cpo"
    choice = x.ChargingChoice(
        choice_id=f"{cpo}-{request_id}", stay=stay, station_id=station, charger_id=charger, **_PLACE, power_kw=kwh,
        energy_kwh=kwh, price_eur_per_kwh=Decimal(price), amount_eur=cents(price, kwh),
        start=monday(start), end=monday(start + hours),
    )  # fmt: skip
    sent = x.ChargingChoices(
        request_id=request_id, timestamp=at, valid_until=at + timedelta(minutes=10), choices=(choice,)
    )
    name = f"driver-00{driver}"
    no = x.Reason(code="no-choice", reason="none of my stations is within 8 km")
    tell(script, at, other, name, "refuse", "contract-net", conversation, no)
    tell(script, at, cpo, name, "propose", "contract-net", conversation, sent)
    pick = x.ChargingSelection(request_id=request_id, choice_id=choice.choice_id, timestamp=at)
    tell(script, at, name, cpo, "accept-proposal", "contract-net", conversation, pick)
    return choice.choice_id


def charges(
    script: Script, driver: int, conversation: str, request_id: str, choice_id: str, start: float, end: float,
    kwh: float, price: str,
) -> None:  # fmt: skip
    amount = cents(price, kwh)
    receipt = x.SessionReceipt(
        receipt_id=f"r-{request_id}", request_id=request_id, choice_id=choice_id, start=monday(start), end=monday(end),
        energy_kwh=kwh, price_eur_per_kwh=Decimal(price), amount_eur=amount,
    )  # fmt: skip
    cpo = choice_id.removesuffix(f"-{request_id}")
    tell(script, monday(end), cpo, f"driver-00{driver}", "inform", "contract-net", conversation, receipt)


def drivers(script: Script) -> None:
    opened = script.opens()
    for cpo in ("ppc", "second-cpo"):
        content = x.PriceSubscription(request_id="driver-001-prices", timestamp=BEGINS)
        tell(script, BEGINS, "driver-001", cpo, "subscribe", "subscribe", f"{opened}-{cpo}", content)
    # 1 books the evening, hears of the price, and changes.
    first = wants(script, 1, monday(9), "driver-001-1", (18.0, 12.0), 40.0)
    held = picks(script, 1, monday(9), "driver-001-1", first, ("markopoulo-west-01", 18.0, 1.0), "0.55", 0, 40.0)
    again = wants(script, 1, monday(10.2), "driver-001-1-2", (18.0, 12.0), 40.0)
    new = picks(script, 1, monday(10.2), "driver-001-1-2", again, ("markopoulo-west-01", 12.0, 1.0), "0.43", 1, 40.0)
    cancel = x.Cancellation(reference=held, reason="a cheaper one was found")
    tell(script, monday(10.3), "driver-001", "second-cpo", "cancel", "contract-net", first, cancel)
    done = x.Done(reference=held)
    tell(script, monday(10.3), "second-cpo", "driver-001", "inform", "contract-net", first, done)
    charges(script, 1, again, "driver-001-1-2", new, 12.0, 13.0, 40.0, "0.43")
    # 2 would have come anyway.
    talk = wants(script, 2, monday(10.5), "driver-002-1", (12.0,), 30.0)
    held = picks(script, 2, monday(10.5), "driver-002-1", talk, ("markopoulo-west-02", 12.25, 0.75), "0.43", 0, 30.0)
    charges(script, 2, talk, "driver-002-1", held, 12.25, 13.0, 30.0, "0.43")
    # 3 finds no place under the cap.
    talk = wants(script, 3, monday(14), "driver-003-1", (18.0,), 40.0)
    for cpo in ("ppc", "second-cpo"):
        no = x.Reason(code="no-choice", reason="none of my stations has room then")
        tell(script, monday(14), cpo, "driver-003", "refuse", "contract-net", talk, no)
    # 4 waits half an hour longer.
    talk = wants(script, 4, monday(15), "driver-004-1", (18.5,), 20.0)
    held = picks(script, 4, monday(15), "driver-004-1", talk, ("koropi-east-01", 19.0, 1.0), "0.58", 0, 20.0)
    charges(script, 4, talk, "driver-004-1", held, 19.0, 20.0, 20.0, "0.58")


def record(path: Path, cases: Sequence[str] = ("with", "without")) -> None:
    extra = [
        *(kind + line for kind in ("line_loading_percent.", "flow_kw.", "reverse_kw.") for line in LINES),
        *(kind + each for kind in ("station_kw.", "station_highest_kw.", "cap_kw.") for each in STATIONS),
    ]
    recorder = SeriesRecorder("Europe/Athens", ["Bus 2", "Bus 4", "Bus 8"], CHARGERS, extra=extra)
    for case in cases:
        for row in range(192):
            at = BEGINS + row * QUARTER
            hour = (at - MONDAY) / HOUR
            powers = np.array(
                [
                    sum(
                        kw
                        for _, name, start, long, kw in SESSIONS[case]
                        if name == each and start <= hour < start + long
                    )
                    for each in CHARGERS
                ]
            )
            by_station = {"koropi-east": float(powers[:2].sum()), "markopoulo-west": float(powers[2:].sum())}
            local = hour % 24
            base = -100.0 if 11 <= local < 14 else 440.0 if 17 <= hour < 22 else 200.0
            flow = {"Line 2-8": base + by_station["markopoulo-west"]}
            flow["Line 1-2"] = flow["Line 2-8"] + 150.0 + by_station["koropi-east"]
            more: dict[str, float] = {}
            for line, kw in flow.items():
                more["line_loading_percent." + line] = abs(kw) / LINES[line][0] * 100
                more["flow_kw." + line], more["reverse_kw." + line] = kw, max(0.0, -kw)
            for station, kw in by_station.items():
                more["station_kw." + station] = more["station_highest_kw." + station] = kw
                capped = case == "with" and station == "markopoulo-west" and 17 <= hour < 22
                more["cap_kw." + station] = 40.0 if capped else float("nan")
            recorder.append(
                at, case, trafo_loading_percent=30.0, trafo_p_kw=flow["Line 1-2"], losses_kw=2.0,  # type: ignore[arg-type]
                line_loading_percent_max=max(more["line_loading_percent." + line] for line in LINES), load_kw=base,
                pv_kw=0.0, frequency_hz=50.0, vm_pu=np.full(3, 1.0), p_kw=powers, soc_percent=np.full(4, 50.0),
                connected=powers > 0, extra=more,
            )  # fmt: skip
    recorder.write(path)


def notes() -> dict[str, Any]:
    needs = {}
    for driver, charger, start, long, kw in SESSIONS["without"]:
        station = charger.rpartition("-")[0]
        needs[f"driver-00{driver}-1"] = {
            "driver": f"driver-00{driver}", "follows_prices": driver == 1, "asks_at": monday(9).isoformat(),
            "energy_kwh": kw * long,
            "without": {
                "station": station, "start": monday(start).isoformat(), "end": monday(start + long).isoformat(),
                "energy_kwh": kw * long, "price_eur_per_kwh": PRICES[station],
                "amount_eur": str(cents(PRICES[station], kw * long)), "distance_km": 0.0,
            },
        }  # fmt: skip
    return {
        "public": {
            "line_limit_percent": 100.0,
            "window": ["17:00", "22:00"],
            "lines": {line: {"rating_kva": kva, "buses": buses} for line, (kva, buses) in LINES.items()},
            "stations": {
                station: {
                    "cpo": cpo,
                    "location": bus,
                    **_PLACE,
                    "chargers": 2,
                    "charger_kw": 60.0,
                    "connection_kw": 120.0,
                }
                for station, (cpo, bus) in STATIONS.items()
            },
            "needs": needs,
        }
    }


def postings() -> list[tuple[str, str, str, str, str]]:
    rows = []
    for transaction, payer, payee, amount in (
        ("r-driver-001-1-2", "driver-001", "second-cpo", "17.20"),
        ("r-driver-002-1", "driver-002", "second-cpo", "12.90"),
        ("r-driver-004-1", "driver-004", "ppc", "11.60"),
        ("s-1", "hedno", "second-cpo", "1.00"),
    ):
        rows += [
            (transaction, payer, f"-{amount}", monday(25).isoformat(), transaction),
            (transaction, payee, amount, monday(25).isoformat(), transaction),
        ]
    return rows


def make_public_run(folder: Path, *, excess_kwh: float = 0.0, cases: Sequence[str] = ("with", "without")) -> Path:
    """The whole run folder but its report."""
    folder.mkdir(parents=True, exist_ok=True)
    script = Script()
    auction(script)
    limits(script, excess_kwh=excess_kwh)
    prices(script)
    drivers(script)
    header = {"trace": 1, "scenario": "greece", "seed": 1, "roles": ROLES}
    lines = [json.dumps(line, ensure_ascii=False) for line in (header, *script.ordered())]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    database = sqlite3.connect(folder / "ledger.sqlite")
    database.execute(
        "create table posting (transaction_id text, account text, amount_eur text, at text, reference text)"
    )
    database.executemany("insert into posting values (?, ?, ?, ?, ?)", postings())
    database.commit()
    database.close()
    record(folder / "series.parquet", cases)
    outcomes = [
        DriverOutcome(
            owner=jid(f"driver-00{driver}"), charger_id=charger, vehicle_id=f"driver-00{driver}",
            arrival=monday(start), departure=monday(start + long), asked_kwh=kw * long, got_kwh=kw * long,
        )
        for driver, charger, start, long, kw in SESSIONS["with"]
    ]  # fmt: skip
    summary.write(folder, agents=11, wall_s=3.0, drivers=outcomes, notes=notes())
    return folder
