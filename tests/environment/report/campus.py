"""A run folder as a day of two campuses leaves it, made up: 12 chargers in four lots, a trip at night.

Invented but consistent: what was awarded is what is not drawn, and the ledger sums to zero.
"""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents.fcr_log import LOG_FOLDER, FcrLog, LoggedSecond
from environment import frequency_series, summary
from environment.frequency_series import FREQUENCY
from environment.series import Case, SeriesRecorder
from environment.summary import DriverOutcome
from protocols import exchanges as x
from protocols.exchanges.congestion_services import ActivationKind, CustomerOption, FlexibilityActivation
from protocols.exchanges.frequency_services import Control, FcrParticipation, Finding, PortfolioUnit, SignalPiece
from protocols.exchanges.vocabulary import FcrProduct, ServiceType
from protocols.roles import Role

from .script import Script, jid

ZONE = ZoneInfo("Europe/Copenhagen")
BEGIN = datetime(2026, 1, 13, 15, tzinfo=ZONE)
CAMPUSES = {"bornholm": "beof", "risoe": "cerius"}
LOTS = {f"{campus}-{kind}": campus for campus in CAMPUSES for kind in ("staff", "pool")}
CHARGERS = {lot: [f"{lot}-{n}" for n in (1, 2, 3)] for lot in LOTS}
EVERY = [charger for chargers in CHARGERS.values() for charger in chargers]
BUSES = [f"{campus} LV bus {n}" for campus in CAMPUSES for n in range(1, 7)]
TRIP_S = int(11.2 * 3600)
"""Seconds from the beginning to the trip: 02:12."""
ROLES = {
    **{jid(dso): "dso" for dso in CAMPUSES.values()},
    jid("energinet"): "tso",
    **{jid(lot): "v2x_manager" for lot in LOTS},
    **{jid(f"ev-{charger}"): "ev_owner" for charger in EVERY},
    **{jid(role): role for role in ("directory", "environment", "observer")},
}
NOTED = {
    "campuses": {
        "limits": {
            "bornholm": [{"at": BEGIN.isoformat(), "percent": 100.0}],
            "risoe": [
                {"at": BEGIN.isoformat(), "percent": 100.0},
                {"at": (BEGIN + timedelta(hours=19.25)).isoformat(), "percent": 70.0},
                {"at": (BEGIN + timedelta(hours=21.5)).isoformat(), "percent": 100.0},
            ],
        },
        "line_limit_percent": dict.fromkeys(CAMPUSES, 100.0),
        "wear_eur_per_kwh": dict.fromkeys(LOTS, 0.04),
        "represents": 5000,
        "prices": [
            {
                "start": (BEGIN + timedelta(hours=hour)).isoformat(),
                "first": 0.1 + 0.08 * math.cos(hour / 24 * 2 * math.pi),
                "last": (0.1 + 0.08 * math.cos(hour / 24 * 2 * math.pi)) if hour not in (7, 19) else 0.02,
            }
            for hour in range(24)
        ],
        "published": [(BEGIN + timedelta(hours=3.67)).isoformat(), (BEGIN + timedelta(hours=18.33)).isoformat()],
    }
}
"""What the launcher notes of the scenario."""


def clock(hour: float) -> datetime:
    """A time so many hours after the beginning, 15:00, with a fixed offset as contents carry it."""
    return datetime.fromisoformat((BEGIN + timedelta(hours=hour)).isoformat())


@dataclass
class Campus:
    """The messages of the day and the ledger's postings."""

    script: Script = field(default_factory=Script)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def says(self, at: datetime, who: str, to: str, act: str, protocol: str, talk: str, content: x.Content) -> None:
        self.script.says(at, who, to, act, protocol, talk, content.exchange)
        self.script.lines[-1]["content"] = content.to_json()

    def pays(self, transaction: str, payer: str, payee: str, amount: Decimal, at: datetime) -> None:
        self.rows += [
            (transaction, who, str(eur), f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}", transaction)
            for who, eur in ((payer, -amount), (payee, amount))
        ]

    def registers(self) -> None:
        """Everybody makes itself known, and drivers say when they leave."""
        for name, role, location in (
            *((dso, Role.DSO, campus) for campus, dso in CAMPUSES.items()),
            *((lot, Role.V2X_MANAGER, campus) for lot, campus in LOTS.items()),
        ):
            content = x.Registration(jid=jid(name), role=role, services=("congestion",), location=location)
            self.says(clock(0), name, "directory", "request", "request", self.script.opens(), content)
        for lot, chargers in CHARGERS.items():
            for charger in chargers:
                session = x.SessionAnnouncement(
                    charger_id=charger, vehicle_id=f"car-{charger}", plugged_in=True, arrival=clock(1),
                    departure=clock(16.5), capacity_kwh=60.0, soc_percent=45.0, wanted_soc_percent=80.0,
                    minimum_soc_percent=20.0,
                )  # fmt: skip
                self.says(clock(1), f"ev-{charger}", lot, "inform", "request", self.script.opens(), session)

    def call(
        self,
        lot: str,
        request_id: str,
        start: float,
        asked: float,
        *,
        minutes: int = 60,
        offered: float = 14.0,
        awarded: float | None = None,
        cancelled: float | None = None,
        refused: bool = False,
        declines: int = 1,
        kwh: float | None = None,
    ) -> None:
        """One manager's part in a call (3.1), from the call to its settlement."""
        dso, at, talk = CAMPUSES[LOTS[lot]], clock(start) - timedelta(minutes=10), self.script.opens()
        begins = clock(start)
        call = x.CongestionCall(
            request_id=request_id, service=ServiceType.CONGESTION_MANAGEMENT, timestamp=at, start=begins,
            duration_minutes=minutes, power_kw=asked, location="transformer LV2", buses=("LV bus 1",),
            elements=("transformer LV2: 112.4 % instead of 100 %",), reduction_price_eur_per_kwh=Decimal("0.12"),
            discharging_price_eur_per_kwh=Decimal("0.20"),
        )  # fmt: skip
        self.says(at, dso, lot, "cfp", "contract-net", talk, call)
        if refused:
            reason = x.Reason(code="no-vehicle", reason="no vehicle is there whose driver told of its departure")
            self.says(at + timedelta(seconds=5), lot, dso, "refuse", "contract-net", talk, reason)
            return
        kinds = (ActivationKind.SHIFT, ActivationKind.CURTAIL, ActivationKind.DISCHARGE)
        activations = tuple(
            FlexibilityActivation(
                activation_id=f"{request_id}-{number}-{kind}", kind=kind, users=(charger,), power_kw=4.5 + number,
                energy_kwh=(4.5 + number) * minutes / 60, cost_eur_per_kwh=Decimal(f"0.0{2 * k + 1}{number}"),
                departure_soc_percent=80.0 - 3 * k,
            )
            for k, kind in enumerate(kinds)
            for number, charger in enumerate(CHARGERS[lot])
        )  # fmt: skip
        offer = x.SolutionOffer(
            request_id=request_id, timestamp=at, power_kw=offered, baseline_kw=(22.0,) * (minutes // 15),
            activations=activations,
        )  # fmt: skip
        self.says(at + timedelta(seconds=6), lot, dso, "propose", "contract-net", talk, offer)
        if awarded is None:
            reason = x.Reason(code="not-needed", reason="others are cheaper")
            self.says(at + timedelta(seconds=20), dso, lot, "reject-proposal", "contract-net", talk, reason)
            return
        award = x.SolutionAward(request_id=request_id, power_kw=awarded)
        self.says(at + timedelta(seconds=20), dso, lot, "accept-proposal", "contract-net", talk, award)
        self._drivers(lot, call, activations, at + timedelta(seconds=25), awarded, declines)
        end = begins + timedelta(minutes=minutes)
        if cancelled is not None:
            end = clock(cancelled)
            over = x.CongestionEnd(
                reference=request_id, service=call.service, p_kw=-awarded, q_kvar=0.0, duration_minutes=30,
                reason="no longer needed",
            )  # fmt: skip
            self.says(end, dso, lot, "cancel", "contract-net", talk, over)
        done = x.Done(reference=request_id)
        self.says(end + timedelta(seconds=2), lot, dso, "inform", "contract-net", talk, done)
        self._settled(lot, call, end, awarded, kwh)

    def _drivers(
        self,
        lot: str,
        call: x.CongestionCall,
        activations: tuple[FlexibilityActivation, ...],
        at: datetime,
        awarded: float,
        declines: int,
    ) -> None:
        willing = CHARGERS[lot][declines:]
        for index, charger in enumerate(CHARGERS[lot]):
            talk, owner = self.script.opens(), f"ev-{charger}"
            mine = [activation for activation in activations if charger in activation.users]
            request = x.CustomerRequest(
                request_id=call.request_id, charger_id=charger, service=call.service, start=call.start,
                duration_minutes=call.duration_minutes, reduction_price_eur_per_kwh=Decimal("0.12"),
                discharging_price_eur_per_kwh=Decimal("0.20"),
                options=tuple(
                    CustomerOption(
                        activation_id=each.activation_id, kind=each.kind, power_kw=each.power_kw,
                        energy_kwh=each.energy_kwh, price_eur_per_kwh=Decimal("0.05"),
                        departure_soc_percent=each.departure_soc_percent,
                    )
                    for each in mine
                ),
            )  # fmt: skip
            self.says(at, lot, owner, "cfp", "contract-net", talk, request)
            later = at + timedelta(seconds=5 + index)
            if charger not in willing:
                reason = x.Reason(code="not-willing", reason="I leave earlier today")
                self.says(later, owner, lot, "refuse", "contract-net", talk, reason)
                continue
            answer = x.CustomerAnswer(request_id=call.request_id, activation_id=mine[0].activation_id)
            self.says(later, owner, lot, "propose", "contract-net", talk, answer)
            share = x.CustomerAward(
                request_id=call.request_id, activation_id=mine[0].activation_id,
                power_kw=round(awarded / len(willing), 3), benefit_eur=Decimal("0.20"),
            )  # fmt: skip
            self.says(later + timedelta(seconds=8), lot, owner, "accept-proposal", "contract-net", talk, share)
            done = x.Done(reference=call.request_id)
            self.says(later + timedelta(seconds=9), owner, lot, "inform", "contract-net", talk, done)

    def _settled(self, lot: str, call: x.CongestionCall, end: datetime, awarded: float, kwh: float | None) -> None:
        dso, at, talk = CAMPUSES[LOTS[lot]], end + timedelta(minutes=2), self.script.opens()
        hours = (end - call.start) / timedelta(hours=1)
        reduced = round(awarded * hours, 4) if kwh is None else kwh
        name = f"{call.request_id}-{lot}"
        bill = x.CongestionSettlement(
            settlement_id=name, request_id=call.request_id, start=call.start, end=end, baseline_kw=(22.0,),
            metered_kw=(22.0 - awarded,), promised_kw=awarded, reduced_kwh=reduced, discharged_kwh=0.0,
            missing_kwh=round(max(0.0, awarded * hours - reduced), 4), remuneration_eur=Decimal("1.30"),
            penalty_eur=Decimal("0.10"),
        )  # fmt: skip
        self.says(at, dso, lot, "propose", "propose", talk, bill)
        answer = x.SettlementAnswer(settlement_id=name)
        self.says(at + timedelta(seconds=3), lot, dso, "accept-proposal", "propose", talk, answer)
        self.pays(name, dso, lot, Decimal("1.20"), at)
        for charger in CHARGERS[lot][1:]:
            self.remunerated(lot, charger, ServiceType.CONGESTION_MANAGEMENT, call.request_id, Decimal("0.20"), at)

    def remunerated(
        self, lot: str, charger: str, service: ServiceType, reference: str, amount: Decimal, at: datetime
    ) -> None:
        told = x.Remuneration(
            remuneration_id=f"{reference}-{charger}", service=service, reference=reference,
            ev_owner=jid(f"ev-{charger}"), start=at - timedelta(hours=1), end=at, energy_kwh=4.2, amount_eur=amount,
        )  # fmt: skip
        self.says(at, lot, f"ev-{charger}", "request", "request", self.script.opens(), told)
        self.pays(told.remuneration_id, lot, f"ev-{charger}", amount, at)

    def applies(self, lot: str, product: FcrProduct, kw: float, *, approved: float | None) -> None:
        """7.1 and its test; not approved where `approved` is None."""
        name, talk, at = f"{lot}-{product}", self.script.opens(), clock(2.5)
        application = x.ParticipationApplication(
            application_id=f"a-{name}", portfolio_id=name, product=product, capacity_kw=kw, energy_kwh=60.0,
            baseline_kw=0.0, control=Control.LOCAL, test_from=clock(3), valid_until=clock(24 * 365),
            units=tuple(
                PortfolioUnit(charger_id=c, max_charge_kw=11.0, max_discharge_kw=10.0, capacity_kw=kw / 3)
                for c in CHARGERS[lot]
            ),
        )  # fmt: skip
        self.says(at, lot, "energinet", "request", "request", talk, application)
        self.says(at, "energinet", lot, "agree", "request", talk, x.Done(reference=application.application_id))
        other, seconds = self.script.opens(), np.arange(120)
        up = product is FcrProduct.FCR_D_UP
        step = x.TestStep(
            application_id=application.application_id, step_id=f"a-{name}/{'ramp' if up else 'step'}/5",
            test="ramp 5" if up else "step 1", sample_s=1.0, baseline_kw=0.0,
            signal=(
                SignalPiece(duration_s=30.0, start_hz=49.9, end_hz=49.9),
                SignalPiece(duration_s=3.75, start_hz=49.9, end_hz=49.0),
                SignalPiece(duration_s=86.25, start_hz=49.0, end_hz=49.0),
            ),
        )  # fmt: skip
        self.says(clock(3), "energinet", lot, "request", "request", other, step)
        record = x.TestRecord(
            application_id=application.application_id, step_id=step.step_id, start=clock(3), sample_s=1.0,
            applied_hz=tuple(float(np.interp(s, (30, 33.75), (49.9, 49.0))) for s in seconds),
            power_kw=tuple(round(-kw * float(np.clip((s - 30.5) / 4, 0, 1)), 3) for s in seconds), baseline_kw=0.0,
            soc_start_percent=50.0, soc_end_percent=49.0,
        )  # fmt: skip
        self.says(clock(3.1), lot, "energinet", "inform", "request", other, record)
        good = tuple(
            Finding(clause=f"Nordic FCR 3.1.{n}", requirement=f"requirement {n}: made up", measured=0.8 + n / 10,
                    low=0.5, high=None if n % 2 else 2.0, unit="pu", passed=True)
            for n in (1, 2, 3)
        )  # fmt: skip
        if approved is None:
            bad = Finding(clause="Nordic FCR 3.1.2", requirement="requirement 2: power", measured=0.4, low=0.86,
                          high=None, unit="pu", passed=False)  # fmt: skip
            failed = x.PrequalificationFailed(
                application_id=application.application_id, reason="requirement 2 is not met", sheet=(*good, bad)
            )
            self.says(clock(5), "energinet", lot, "failure", "request", talk, failed)
            return
        told = x.Prequalification(
            application_id=application.application_id, approved_kw=approved, valid_until=clock(24 * 365), sheet=good
        )
        self.says(clock(5), "energinet", lot, "inform", "request", talk, told)

    def hour(self, lot: str, product: FcrProduct, start: float, kw: float, *, cancelled: bool = False) -> None:
        """An hour of capacity: offered, bought, reported, settled; or cancelled by its manager."""
        name, talk, at = f"{lot}-{product}", self.script.opens(), clock(start) - timedelta(minutes=30)
        offer = x.CapacityOffer(
            offer_id=f"{name}-{start:g}", portfolio_id=name, product=product, capacity_kw=kw, start=clock(start),
            end=clock(start + 1), price_eur_per_kw=Decimal("0.006"),
        )  # fmt: skip
        self.says(at, lot, "energinet", "request", "request", talk, offer)
        award = x.CapacityAward(offer_id=offer.offer_id, capacity_kw=kw, price_eur_per_kw=Decimal("0.0075"))
        self.says(at + timedelta(seconds=2), "energinet", lot, "agree", "request", talk, award)
        if cancelled:
            end = x.ParticipationEnd(reference=offer.offer_id, start=clock(start + 0.5), reason="the meters are lost")
            self.says(clock(start + 0.5), lot, "energinet", "cancel", "request", talk, end)
            return
        report = x.DeliveryReport(
            offer_id=offer.offer_id, start=offer.start, end=offer.end, logged_seconds=3600, available_seconds=3590,
            up_kwh=1.5, down_kwh=1.0, baseline_kw=(0.0,) * 4,
        )  # fmt: skip
        asks = self.script.opens()
        later = offer.end + timedelta(minutes=1)
        query = x.DeliveryQuery(offer_id=offer.offer_id, start=offer.start, end=offer.end)
        self.says(later, "energinet", lot, "query-ref", "query", asks, query)
        self.says(later + timedelta(seconds=1), lot, "energinet", "inform", "query", asks, report)
        settled = x.CapacitySettlement(
            offer_id=offer.offer_id, capacity_eur=Decimal("0.72"), availability_percent=99.722, energy_kwh=0.5,
            energy_eur=Decimal("0.06"), penalty_eur=Decimal("0.01"), amount_eur=Decimal("0.77"),
        )  # fmt: skip
        self.says(later + timedelta(seconds=3), "energinet", lot, "inform", "request", talk, settled)
        self.pays(offer.offer_id, "energinet", lot, Decimal("0.77"), later)

    def told_owners(self, lot: str, product: FcrProduct, start: float) -> None:
        for charger in CHARGERS[lot]:
            talk, owner = self.script.opens(), f"ev-{charger}"
            topic = x.FcrStatusSubscription(request_id=f"7.2-{charger}", timestamp=clock(1))
            self.says(clock(1), owner, lot, "subscribe", "subscribe", talk, topic)
            for quarter in range(4):
                status = x.FcrStatus(
                    request_id=topic.request_id, timestamp=clock(start + quarter / 4), charger_id=charger,
                    status=FcrParticipation.PARTICIPATING, product=product, capacity_kw=8.0, power_kw=-1.0,
                    soc_percent=60.0, earnings_eur=Decimal("0.05") * quarter,
                )  # fmt: skip
                self.says(status.timestamp, lot, owner, "inform", "subscribe", talk, status)
            amount = Decimal("0.55") + Decimal(charger[-1]) / 10
            self.remunerated(lot, charger, ServiceType.FREQUENCY_CONTAINMENT, f"{lot}-{product}", amount, clock(15))


def told() -> Campus:
    """The whole day."""
    campus = Campus()
    campus.registers()
    campus.call("bornholm-pool", "beof-1", 7.0, 12.0, awarded=12.0, cancelled=7.75)
    campus.call("bornholm-staff", "beof-1", 7.0, 12.0, refused=True)
    campus.call("risoe-staff", "cerius-1", 19.5, 9.0, awarded=8.0, declines=2, kwh=7.2)
    campus.call("risoe-pool", "cerius-1", 19.5, 9.0, offered=5.0)
    campus.applies("bornholm-pool", FcrProduct.FCR_N, 24.0, approved=24.0)
    campus.applies("risoe-pool", FcrProduct.FCR_D_UP, 30.0, approved=27.5)
    campus.applies("risoe-staff", FcrProduct.FCR_D_UP, 90.0, approved=None)
    for start in (8.0, 9.0, 10.0, 11.0):
        campus.hour("bornholm-pool", FcrProduct.FCR_N, start, 24.0)
        campus.hour("risoe-pool", FcrProduct.FCR_D_UP, start, 27.5)
    campus.hour("risoe-pool", FcrProduct.FCR_D_UP, 12.0, 27.5, cancelled=True)
    campus.told_owners("bornholm-pool", FcrProduct.FCR_N, 8.0)
    campus.told_owners("risoe-pool", FcrProduct.FCR_D_UP, 8.0)
    return campus


def record(path: Path, cases: tuple[Case, ...] = ("with", "without")) -> None:
    """1,440 minutes of each case: two cheap hours at which everybody charges."""
    extra = [
        f"{what}.{c}" for c in CAMPUSES for what in ("trafo_loading_percent", "trafo_p_kw", "line_loading_percent_max")
    ]
    recorder = SeriesRecorder("Europe/Copenhagen", BUSES, EVERY, extra=extra)
    for case in cases:
        noise = np.random.default_rng(5)
        soc = np.full(len(EVERY), 40.0)
        for minute in range(1440):
            hour = minute / 60
            power = np.zeros(len(EVERY))
            if 7 <= hour < 8.5:
                power[3:6], power[9:12] = 11.0, 6.0
            if 19 <= hour < 21.5:
                power[6:9] = 11.0
            if case == "with":
                power[3:6] -= 6.0 * (7 <= hour < 7.75) + 4.0 * (8 <= hour < 8.5)
                power[6:9] -= 7.0 * (19.5 <= hour < 20.5)
            soc = np.clip(soc + power / 60 / 60 * 100, 5, 95)
            row, loads = {}, []
            for index, campus in enumerate(CAMPUSES):
                base = 50 + 18 * math.sin((hour - 1) / 24 * 2 * math.pi) + noise.normal(0, 1)
                load = (
                    base
                    + (22.0 if index and hour > 16 else 0.0)
                    + float(power[6 * index : 6 * index + 6].sum()) * (1.2 if index == 0 else 0.8)
                )
                row[f"trafo_loading_percent.{campus}"] = load
                row[f"trafo_p_kw.{campus}"] = load * 1.6
                row[f"line_loading_percent_max.{campus}"] = load * 0.7
                loads.append(load)
            recorder.append(
                clock(hour), case, trafo_loading_percent=max(loads), trafo_p_kw=loads[0] * 1.6, losses_kw=3.0,
                line_loading_percent_max=max(loads) * 0.7, load_kw=100.0, pv_kw=0.0, frequency_hz=50.0,
                vm_pu=np.full(len(BUSES), 0.99), p_kw=power, soc_percent=soc,
                connected=np.full(len(EVERY), hour > 1), extra=row,
            )  # fmt: skip
    recorder.write(path)


def hertz(case: str, trip: bool = True) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The frequency of each second: a slow wander, and one unit lost."""
    seconds = np.arange(86_400)
    wander = 0.03 * np.sin(seconds / 400) + 0.015 * np.sin(seconds / 47)
    after = np.clip(seconds - TRIP_S, 0, None)
    deep, held = (0.28, 0.14) if case == "with" else (0.36, 0.19)
    dip = held * (1 - np.exp(-after / 4)) + (deep - held) * (after / 6) * np.exp(1 - after / 6)
    return 50.0 + wander - dip * np.exp(-after / 900) * trip


def log(folder: Path, lot: str, product: FcrProduct, kw: float, zero: float, band: float) -> None:
    """The log of one portfolio from 23:00 to 03:00."""
    name = FcrLog(folder / LOG_FOLDER, lot, product)
    hz, soc, given = hertz("with"), 60.0, 0.0
    first = BEGIN.astimezone(UTC)
    for second in range(8 * 3600, 12 * 3600):
        share = float(np.clip((zero - hz[second]) / band, -1.0 if product is FcrProduct.FCR_N else 0.0, 1.0))
        given += (share - given) * 0.4
        nem = 0.2 * kw if 30_000 < second < 31_000 else 0.0
        soc += (nem - given * kw) / 3600 / 60 * 100
        name.write(
            LoggedSecond(
                at=first + timedelta(seconds=second), power_kw=round(nem - given * kw, 4), hz=float(hz[second]),
                baseline_kw=0.0, soc_percent=soc, capacity_kw=kw, activated_kw=-given * kw, nem_kw=nem, nem_on=nem > 0,
                aem_on=41_000 < second < 41_200, endurance_minutes=90.0, status_on=True, regulating_kw_per_hz=kw / band,
                p_min_kw=-30.0, p_max_kw=33.0,
            )
        )  # fmt: skip
    name.close()


def make_campus_run(folder: Path, campus: Campus | None = None, *, fcr: bool = True, noted: bool = True) -> Path:
    """The whole run folder but its report; without its seconds where `fcr` is False, without notes where `noted` is."""
    folder.mkdir(parents=True, exist_ok=True)
    campus = campus or told()
    header = {"trace": 1, "scenario": "denmark", "seed": 3, "roles": ROLES}
    lines = [json.dumps(line, ensure_ascii=False) for line in (header, *campus.script.ordered())]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    database = sqlite3.connect(folder / "ledger.sqlite")
    database.execute(
        "create table posting (transaction_id text, account text, amount_eur text, at text, reference text)"
    )
    database.executemany("insert into posting values (?, ?, ?, ?, ?)", campus.rows)
    database.commit()
    database.close()
    record(folder / "series.parquet")
    if fcr:
        response = np.zeros(86_400)
        response[TRIP_S : TRIP_S + 600] = -30.0
        frequency_series.write(
            folder / FREQUENCY, "Europe/Copenhagen", BEGIN, hertz("with"), response, hertz("without")
        )
        log(folder, "bornholm-pool", FcrProduct.FCR_N, 24.0, 50.0, 0.1)
        log(folder, "risoe-pool", FcrProduct.FCR_D_UP, 27.5, 49.9, 0.4)
    drivers = [
        DriverOutcome(
            owner=jid(f"ev-{charger}"), charger_id=charger, vehicle_id=f"car-{charger}", arrival=clock(1),
            departure=clock(16.5), asked_kwh=21.0, got_kwh=21.0 - (2.0 if index == 2 else 0),
        )
        for index, charger in enumerate(EVERY)
    ]  # fmt: skip
    summary.write(folder, agents=30, wall_s=60.0, drivers=drivers, notes=NOTED if noted else {})
    return folder
