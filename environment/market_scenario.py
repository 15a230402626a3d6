"""The scenario of a demonstrator with a local flexibility market and DSO services (BUC 1 and 6; Slovenia)."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from environment.scenario_parts import (
    ClockTime,
    GridPart,
    Kw,
    Minutes,
    Money,
    Name,
    OneNetwork,
    Part,
    Percent,
    SitePart,
    listed,
    read_money,
    repeated,
)

_OTHERS = frozenset({"directory", "environment", "observer", "fmo", "dso", "tso"})
"""Agents that every market has; their names are taken."""


class VppPart(Part):
    """A virtual power plant and how it bids: `margin_percent` of the revenue it keeps, `reserve_percent` of the power
    it holds back against refusals and forecast errors, and what the owners get above their cost, for each kW and 15
    minutes."""

    name: Name
    margin_percent: Annotated[float, Field(ge=0, lt=100, description="%")] = 15.0
    reserve_percent: Annotated[float, Field(ge=0, lt=100, description="%")] = 10.0
    owner_benefit_eur_per_kw: Money = Decimal("0.02")


class CpoPart(Part):
    """A charging point operator and the VPP that aggregates it. The drivers get what they were promised; of what comes
    in beyond, the operator keeps `fee_percent` of all."""

    name: Name
    vpp: Name
    fee_percent: Annotated[Decimal, BeforeValidator(read_money), Field(ge=0, le=100, description="%")] = Decimal(10)


class ProductPart(Part):
    """What every local flexibility product must meet (D5.1, 3.1.1), by its pricing and its baseline: a nomination,
    which suits V2G, or the meters before the activation. (High-X-of-Y is for plain load, with a history of days.)"""

    pricing: Literal["pay-as-clear", "pay-as-bid"] = "pay-as-clear"
    baseline: Literal["nomination", "meter-before-meter-after"] = "nomination"
    min_power_kw: Kw = 1.0
    granularity_kw: Kw = 0.1
    notice_minutes: Minutes = 15
    max_duration_minutes: Minutes = 240
    max_price_eur_per_kw: Money = Decimal("2.00")
    penalty_eur_per_kw: Money = Decimal("0.06")
    volume_tolerance_percent: Percent = 2.0


class MarketPart(Part):
    """The daily course of BUC 1."""

    requirements: ClockTime = time(12, 5)
    registration: ClockTime = time(12, 10)
    need: ClockTime = time(13, 0)
    gate_closure: ClockTime = time(13, 30)
    first_delivery: ClockTime = time(16, 0)
    last_delivery: ClockTime = time(23, 0)
    energy_price_eur_per_kwh: Money = Decimal("0.15")
    feed_in_eur_per_kwh: Money = Decimal("0.06")
    battery_wear_eur_per_kwh: Money = Decimal("0.04")


class DsoCosts(Part):
    """The DSO's own costs, from which it computes the most it will pay (agents/decisions/pricing.py); what it adds to
    the charging it expects, for its forecast's error; and against how bad a day it buys: one that is worse than
    `bad_day_percent` of all."""

    transformer_eur: Money = Decimal(15000)
    reinforcement_eur: Money = Decimal(60000)
    reinforcement_years: Annotated[int, Field(ge=1, le=80)] = 40
    interest_percent: Annotated[float, Field(ge=0, le=30, description="%")] = 5.0
    congested_hours_per_year: Annotated[float, Field(gt=0, le=8784)] = 100.0
    ambient_temperature_c: Annotated[float, Field(ge=-40, le=50)] = 10.0
    forecast_margin_percent: Percent = 10.0
    bad_day_percent: Percent = 80.0


class MarketGridPart(GridPart):
    """The network, and the name of the point where flexibility is bought."""

    congestion_point: Name


class MarketSitePart(SitePart):
    """Chargers of one kind, and the charging point operator that they belong to."""

    cpo: Name
    kind: Literal["office", "household"]


class MarketScenario(OneNetwork):
    grid: MarketGridPart
    vpp: Annotated[tuple[VppPart, ...], Field(min_length=1)]
    cpo: Annotated[tuple[CpoPart, ...], Field(min_length=1)]
    site: Annotated[tuple[MarketSitePart, ...], Field(min_length=1)]
    product: ProductPart = ProductPart()
    market: MarketPart = MarketPart()
    dso: DsoCosts = DsoCosts()

    @property
    def sites(self) -> tuple[SitePart, ...]:
        return self.site

    @property
    def site_table(self) -> str:
        return "site"

    @model_validator(mode="after")
    def _whole(self) -> MarketScenario:
        vpps, cpos = {v.name for v in self.vpp}, {c.name for c in self.cpo}
        for kind, names in (("vpp", [v.name for v in self.vpp]), ("cpo", [c.name for c in self.cpo])):
            if twice := repeated(names):
                raise ValueError(f"{kind}: the name {twice!r} is used twice; give each its own")
        for cpo in self.cpo:
            if cpo.vpp not in vpps:
                raise ValueError(f"cpo {cpo.name!r}: its vpp {cpo.vpp!r} is not among {listed(vpps)}")
        for site in self.site:
            if site.cpo not in cpos:
                raise ValueError(f"site {site.name!r}: its cpo {site.cpo!r} is not among {listed(cpos)}")
        others = _OTHERS | {f"ev-{charger}" for site in self.site for charger in site.charger_ids()}
        for name in (*sorted(vpps), *sorted(cpos)):
            if name in others:
                raise ValueError(f"vpp or cpo {name!r}: that is the name of another agent; give it its own")
        if both := sorted(vpps & cpos):
            raise ValueError(f"cpo {both[0]!r}: that is a vpp's name; give it its own")
        for fault in (*self.site_faults(), *self._not_here()):
            raise ValueError(fault)
        order = (
            self.market.requirements,
            self.market.registration,
            self.market.need,
            self.market.gate_closure,
        )
        if list(order) != sorted(order):
            raise ValueError("market: requirements, registration, need and gate_closure must follow in time")
        if self.market.first_delivery <= self.market.gate_closure:
            raise ValueError("market: first_delivery must be after gate_closure")
        return self

    def _not_here(self) -> list[str]:
        return [
            f"fault: {fault.kind} is of another demonstrator; charger-silent, charger-nonsense, agent-silent are here"
            for fault in self.fault
            if not fault.kind.startswith(("charger", "agent"))
        ]
