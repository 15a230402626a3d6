"""A run folder as a winter day of an island leaves it, made up: 32 chargers on three feeders, wind by night.

Invented but consistent: what is not curtailed is what the vehicles draw more, and the ledger sums to zero.
"""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from environment import summary
from environment.series import ISLAND_COLUMNS, Case, SeriesRecorder
from environment.summary import DriverOutcome
from protocols import exchanges as x
from protocols.exchanges.ev_services import EvOffer, EvOrder, ManagerOrders
from protocols.exchanges.res_curtailment import InvoiceLine
from protocols.exchanges.vocabulary import ServiceType, SignalType
from protocols.exchanges.voltage_services import BusChange

from .script import Script, jid

ZONE = ZoneInfo("Atlantic/Azores")
DAY = datetime(2025, 1, 18, tzinfo=ZONE)
QUARTER = timedelta(minutes=15)
FEEDERS = ("Feeder Norte", "Feeder Centro", "Feeder Sul")
BUSES = ["LV busbar", *(f"{feeder.split()[1]} {n}" for feeder in FEEDERS for n in range(1, 16))]
CHARGERS = [f"ev-{n:02d}" for n in range(1, 33)]
MANAGERS = {f"v2x-{index + 1}": CHARGERS[index * 4 : index * 4 + 4] for index in range(8)}
SHARE = 0.016
ROLES = {
    **{jid(role): role for role in ("tso", "dso", "fo", "emsp", "directory", "environment", "observer")},
    **{jid(f"producer-{name}"): "producer" for name in ("wind", "geothermal")},
    **{jid(name): "v2x_manager" for name in MANAGERS},
    **{jid(f"owner-{name}"): "ev_owner" for name in CHARGERS},
}


def clock(hour: float) -> datetime:
    """A time of the day with a fixed offset, as contents carry it."""
    return datetime.fromisoformat((DAY + timedelta(hours=hour)).isoformat())


@dataclass
class Night:
    """The messages of the day."""

    script: Script = field(default_factory=Script)

    def says(
        self, at: datetime, who: str, to: str, act: str, protocol: str, conversation: str, content: x.Content
    ) -> None:
        self.script.says(at, who, to, act, protocol, conversation, content.exchange)
        self.script.lines[-1]["content"] = content.to_json()

    def service(
        self,
        kind: ServiceType,
        start: datetime,
        needed: float,
        *,
        feeder: str | None = None,
        renews: str | None = None,
        refused: bool = False,
        share: float = 0.9,
    ) -> str:
        """One service from request to its notice; `share` of what is needed is available. Returns its id."""
        wind = kind is ServiceType.RES_CURTAILMENT
        asker, at = ("tso" if wind else "dso"), start - (timedelta(minutes=6) if wind else timedelta(minutes=11))
        service_id = f"{'wind' if wind else feeder}-{start:%H%M}".replace(" ", "-")
        price = Decimal("0.080000") if wind else Decimal("0.110000") if needed > 0 else Decimal("0.245000")
        common: dict[str, Any] = {
            "timestamp": at, "service_id": service_id, "service": kind, "start": start, "duration_minutes": 30,
            "charging_cost_eur_per_kwh": price, "discharging_remuneration_eur_per_kwh": price,
        }  # fmt: skip
        signal: dict[str, Any] = {"signal": SignalType.RENEWAL if renews else SignalType.ACTIVATION, "renews": renews}
        conversation = self.script.opens()
        request: x.Content = (
            x.CurtailmentActivation(**common, **signal, user_id="fo", power_kw=needed)
            if wind
            else x.VoltageRequest(
                **common, **signal, user_id="fo", power_kw=needed, request_id=f"r-{service_id}", location=feeder or "",
                at=(BusChange(bus="b", power_kw=needed),),
                grid_use_eur_per_kwh=Decimal("0.020000") if needed > 0 else Decimal("0.155000"),
            )
        )  # fmt: skip
        self.says(at, asker, "fo", "request", "request", conversation, request)
        if refused:
            answer = x.Reason(code="no-flexibility", reason="no vehicle behind this feeder can change anything")
            self.says(at + timedelta(seconds=20), "fo", asker, "refuse", "request", conversation, answer)
            return service_id
        chosen = self._negotiated(wind, at, common, signal, needed, share)
        available = round(sum(sum(order.power_kw for order in group.orders) for group in chosen), 3)
        notice = (x.CurtailmentNotice if wind else x.VoltageNotice)(
            **common,
            **signal,
            **({} if wind else {"location": feeder, "grid_use_eur_per_kwh": Decimal("0.03")}),
            user_id="emsp",
            power_kw=available,
            payer=jid(asker),
            managers=chosen,
        )
        third = self.script.opens()
        self.says(at + timedelta(seconds=50), "fo", "emsp", "request", "request", third, notice)
        self.says(at + timedelta(seconds=51), "emsp", "fo", "agree", "request", third, x.Done(reference=service_id))
        told = x.ServiceAnswer(service_id=service_id, available_power_kw=available)
        self.says(at + timedelta(seconds=55), "fo", asker, "agree", "request", conversation, told)
        return service_id

    def _negotiated(
        self,
        wind: bool,
        at: datetime,
        common: dict[str, Any],
        signal: dict[str, Any],
        needed: float,
        share: float,
    ) -> tuple[ManagerOrders, ...]:
        call, offer, award = (
            (x.CurtailmentCall, x.Availability, x.CurtailmentAward)
            if wind
            else (x.VoltageCall, x.ParticipationResponse, x.VoltageAward)
        )
        conversation, chosen = self.script.opens(), []
        for name in MANAGERS:
            said = call(
                **common, request_id=f"q-{common['service_id']}", user_id=name, power_kw=needed, location="island"
            )
            self.says(at + timedelta(seconds=5), "fo", name, "cfp", "contract-net", conversation, said)
        each = round(needed * share / 12, 3)
        for index, (name, chargers) in enumerate(MANAGERS.items()):
            later = at + timedelta(seconds=12)
            if index >= 6:
                reason = x.Reason(code="no-benefit", reason="the vehicles leave early")
                self.says(later, name, "fo", "refuse", "contract-net", conversation, reason)
                continue
            power = each + index / 100 * (1 if needed > 0 else -1)
            users = tuple(
                EvOffer(user_id=charger, location="b", baseline_kw=0.0, power_kw=power, energy_kwh=power / 2)
                for charger in chargers[:2]
            )
            proposal = offer(
                timestamp=at, request_id=f"q-{common['service_id']}", user_id=name, service=common["service"],
                power_kw=2 * power, energy_kwh=power, duration_minutes=30, users=users,
            )  # fmt: skip
            self.says(later, name, "fo", "propose", "contract-net", conversation, proposal)
            orders = tuple(
                EvOrder(user_id=user.user_id, location="b", baseline_kw=0.0, power_kw=user.power_kw) for user in users
            )
            accepted = award(
                **common, **signal, user_id=name, power_kw=2 * power, request_id=f"q-{common['service_id']}",
                orders=orders,
            )  # fmt: skip
            self.says(at + timedelta(seconds=40), "fo", name, "accept-proposal", "contract-net", conversation, accepted)
            chosen.append(ManagerOrders(manager=jid(name), orders=orders))
        return tuple(chosen)

    def cancelled(self, service_id: str, at: datetime) -> None:
        """The asker calls a service off, and it travels down and back."""
        opened = [line for line in self.script.lines if line["content"].get("service_id") == service_id]
        first = opened[0]
        asker = first["sender"].split("@")[0]
        off, done = x.Cancellation(reference=service_id, reason="no longer needed"), x.Done(reference=service_id)
        self.says(at, asker, "fo", "cancel", "request", first["conversation-id"], off)
        for line in opened:
            if line["performative"] == "accept-proposal":
                name, conversation = line["receiver"].split("@")[0], line["conversation-id"]
                self.says(at + timedelta(seconds=2), "fo", name, "cancel", "contract-net", conversation, off)
                self.says(at + timedelta(seconds=4), name, "fo", "inform", "contract-net", conversation, done)
        self.says(at + timedelta(seconds=6), "fo", asker, "inform", "request", first["conversation-id"], done)

    def chain(self, kind: ServiceType, start: float, end: float, needed: float, **more: Any) -> list[str]:
        """A service renewed each quarter of an hour from `start` until it is cancelled at `end` (hours)."""
        ids: list[str] = []
        quarters = round((end - start) * 4)
        for index in range(quarters):
            shape = 0.45 + 0.55 * math.sin((index + 0.5) / quarters * math.pi)
            ids.append(
                self.service(
                    kind, clock(start) + index * QUARTER, round(needed * shape, 2),
                    renews=ids[-1] if ids else None, share=0.95 - 0.3 * (index % 3 == 1), **more,
                )
            )  # fmt: skip
        self.cancelled(ids[-1], clock(end))
        return ids

    def invoiced(
        self, customer: str, amount: str, kwh: float, item: str, *, paid: bool = True
    ) -> list[tuple[Any, ...]]:
        """One invoice of the EMSP, its payment, and the postings."""
        at, conversation = clock(23.9), self.script.opens()
        eur = Decimal(amount)
        price = abs(eur / Decimal(kwh)).quantize(Decimal("0.000001"))
        line = InvoiceLine(item=item, energy_kwh=kwh, price_eur_per_kwh=price, amount_eur=eur)
        invoice = x.Invoice(
            invoice_id=f"inv-{customer}", customer=jid(customer), start=clock(0), end=clock(23.75),
            lines=(line,), amount_eur=eur, due=clock(72),
        )  # fmt: skip
        self.says(at, "emsp", customer, "request", "request", conversation, invoice)
        if not paid:
            return []
        answer = x.InvoicePayment(invoice_id=f"inv-{customer}", amount_eur=eur, transaction_id=f"inv-{customer}")
        self.says(at + timedelta(seconds=5), customer, "emsp", "inform", "request", conversation, answer)
        return [
            (f"inv-{customer}", customer, str(-eur), at.isoformat(), "invoice"),
            (f"inv-{customer}", "emsp", str(eur), at.isoformat(), "invoice"),
        ]


def messages() -> tuple[Script, list[tuple[Any, ...]]]:
    """The day's messages and the ledger's postings."""
    night, rows = Night(), []
    night.chain(ServiceType.RES_CURTAILMENT, 1.0, 5.5, 96.0)
    night.chain(ServiceType.RES_CURTAILMENT, 23.0, 23.75, 30.0)
    night.chain(ServiceType.VOLTAGE_CONTROL, 22.0, 23.25, -28.0, feeder=FEEDERS[0])
    night.chain(ServiceType.VOLTAGE_CONTROL, 22.0, 23.0, -17.0, feeder=FEEDERS[2])
    night.chain(ServiceType.VOLTAGE_CONTROL, 12.0, 14.0, 21.0, feeder=FEEDERS[0])
    night.service(ServiceType.VOLTAGE_CONTROL, clock(13.0), 6.0, feeder=FEEDERS[1], refused=True)
    rows += night.invoiced("tso", "11.20", 320.0, "service")
    rows += night.invoiced("dso", "4.85", 48.5, "service")
    rows += night.invoiced("v2x-1", "-1.10", -11.0, "service")
    rows += night.invoiced("v2x-2", "0.35", 1.0, "penalty")
    for index, charger in enumerate(CHARGERS):
        rows += night.invoiced(
            f"owner-{charger}", str(Decimal("1.40") + Decimal(index % 7) / 10), 14.0 + index % 7, "charging",
            paid=index != 5,
        )  # fmt: skip
    return night.script, rows


def _bump(hour: float, middle: float, width: float) -> float:
    """A hump around an hour of the day, over midnight."""
    apart = min(abs(hour - middle), 24 - abs(hour - middle))
    return math.exp(-((apart / width) ** 2))


def record(path: Path, cases: tuple[Case, ...] = ("with", "without")) -> None:
    """1,440 minutes of each case: wind by night that finds no demand, vehicles that start at 22:00 by timer."""
    recorder = SeriesRecorder("Atlantic/Azores", BUSES, CHARGERS, extra=ISLAND_COLUMNS)
    farther = np.tile(np.linspace(0.2, 1, 15), 3)
    weight = np.repeat([1.0, 0.55, 0.85], 15)
    for case in cases:
        noise = np.random.default_rng(3)
        soc = np.full(32, 55.0)
        for minute in range(1440):
            hour = minute / 60
            demand = 640 + 330 * _bump(hour, 19.5, 2.6) + 210 * _bump(hour, 12.5, 4.5) - 70 * _bump(hour, 4, 3)
            sun = 95 * max(0.0, math.sin((hour - 8) / 9 * math.pi)) if 8 < hour < 17 else 0.0
            wind = 62 + 70 * _bump(hour, 3.0, 4.0) + 14 * math.sin(hour * 2.1) + noise.normal(0, 2.5)
            lost = 3.66 < hour < 4.0
            wind = max(0.0, wind * (0.35 if lost else 1.0))
            timer = 175 * (_bump(hour, 22.6, 0.9) if hour >= 22 else 0.25 * _bump(hour, 0, 0.9))
            fleet, low, high = timer + 8 * _bump(hour, 9, 2), 1.0, 1.0
            if case == "with":
                shifted = (22 <= hour < 23.25) * 0.55 * timer
                fleet += -shifted + (1 <= hour < 5.5) * 92 * _bump(hour, 3.2, 2.6) + (12 <= hour < 14) * 26
            geothermal, hydro, floor = 368.0, 40 + 18 * _bump(hour, 19, 5), 190.0
            room = max(0.0, demand - 0.6 * sun + fleet - geothermal - hydro - floor)
            used = min(wind, room)
            thermal = max(floor, demand - 0.6 * sun + fleet - geothermal - hydro - used)
            sag, rise = (demand / 1000) * 0.045 + fleet / 1000 * 0.62, sun / 1000 * 1.5
            bus = (1.025 - (sag * low - rise * high) * farther * weight) + noise.normal(0, 0.0008, 45)
            if case == "with" and 12 <= hour < 14:
                bus -= 0.006 * farther
            power = np.full(32, fleet / 32) * np.repeat([1.6, 0.4, 1.0, 1.0], 8)
            plugged = np.full(32, bool(hour < 8.5 or hour > 17.5))
            plugged[:12] = True
            soc = np.clip(soc + power / 60 / 50 * 100 - (8 if minute == 1050 else 0), 15, 97)
            dip = 0.62 * math.exp(-(hour - 3.67) * 25) if 3.67 <= hour < 4.2 else 0.0
            at = (DAY + timedelta(minutes=minute)).astimezone(ZONE)
            recorder.append(
                at, case, trafo_loading_percent=abs(60 + fleet / 4 - sun / 3), trafo_p_kw=240 + fleet - sun,
                losses_kw=3 + fleet / 60, line_loading_percent_max=40 + fleet / 6, load_kw=240.0, pv_kw=-sun,
                frequency_hz=50 + noise.normal(0, 0.02) - dip / 6, vm_pu=np.append(1.02, bus), p_kw=power,
                soc_percent=soc, connected=plugged,
                extra={
                    "island_demand_kw": demand - 0.6 * sun, "island_ev_kw": fleet, "geothermal_kw": geothermal,
                    "hydro_kw": hydro, "wind_kw": used, "wind_available_kw": wind, "curtailed_kw": wind - used,
                    "thermal_kw": thermal, "fuel_kg": thermal * 0.21 / 60,
                    "frequency_min_hz": 49.97 - dip * (1.0 if case == "with" else 1.15) + noise.normal(0, 0.01),
                },
            )  # fmt: skip
    recorder.write(path)


def tariff() -> list[dict[str, str]]:
    """The bi-hourly tariff of the day, as the launcher notes it."""
    night, day = ("0.0350", "0.1250"), ("0.0850", "0.1900")
    return [
        {"start": clock(hour).isoformat(), "grid_use_eur_per_kwh": grid, "charging_eur_per_kwh": charging}
        for hour, (grid, charging) in ((0, night), (8, day), (22, night))
    ]


def make_island_run(folder: Path) -> Path:
    """The whole run folder but its report."""
    folder.mkdir(parents=True, exist_ok=True)
    script, rows = messages()
    header = {"trace": 1, "scenario": "portugal", "seed": 3, "roles": ROLES}
    lines = [json.dumps(line, ensure_ascii=False) for line in (header, *script.ordered())]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    database = sqlite3.connect(folder / "ledger.sqlite")
    database.execute(
        "create table posting (transaction_id text, account text, amount_eur text, at text, reference text)"
    )
    database.executemany("insert into posting values (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    record(folder / "series.parquet")
    drivers = [
        DriverOutcome(
            owner=jid(f"owner-{charger}"), charger_id=charger, vehicle_id=f"car-{charger}", arrival=clock(17.6),
            departure=clock(32.0), asked_kwh=14.0 + index % 7,
            got_kwh=14.0 + index % 7 + (3.5 if index % 3 == 0 else 0) - (2.0 if index == 7 else 0),
        )
        for index, charger in enumerate(CHARGERS)
    ]  # fmt: skip
    summary.write(
        folder, agents=52, wall_s=41.0, drivers=drivers,
        warnings=["producer-wind said nothing from 10:00 to 10:30"],
        notes={"share": SHARE, "vehicles": 2000, "tariff": tariff()},
    )  # fmt: skip
    return folder
