"""The flexibility register as of the moment: what was registered and prequalified, for which product, with how much.

Resources of BUC 1 and 6 (1.x.2, 1.x.3), stations of BUC 5 (5.x.1), portfolios of BUC 7 (7.1), the products that were
defined (1.x.1), and who is in the swarm by the directory's register.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from environment.report.campus_words import PRODUCTS
from environment.report.frequency_services import Test
from environment.report.words import ROLE_NAMES, account_name
from environment.watched.heard import Heard, Kept, Readers
from environment.watched.registrations import Member, Product, Registered, Stations
from environment.watched.run import WatchedRun

State: TypeAlias = Literal["asked", "with the DSO", "in test", "approved", "approved for less", "refused", "withdrawn"]
STATES: tuple[State, ...] = (
    "asked", "with the DSO", "in test", "approved", "approved for less", "refused", "withdrawn",
)  # fmt: skip
_SAME_KW = 0.005


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry of the register. Powers in kW: `charge_kw` is the most that it draws, `discharge_kw` what it can give
    back; `approved_charge_kw` and `approved_discharge_kw` what the prequalification left (None: not decided).
    Of a portfolio for frequency control both are its capacity. `units` are its chargers."""

    key: str
    kind: str
    use_case: str
    name: str
    owner: str
    operator: str
    place: str
    product: str
    charge_kw: float
    discharge_kw: float
    energy_kwh: float | None
    units: tuple[str, ...]
    asked: datetime
    state: State
    approved_charge_kw: float | None
    approved_discharge_kw: float | None
    reason: str | None
    conversation_id: str
    checks: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of the swarm by the directory: its role in words, its services, and how its entry stands."""

    name: str
    jid: str
    role: str
    services: tuple[str, ...]
    place: str
    since: datetime
    state: str
    reason: str | None
    conversation_id: str


class Register:
    """The register of a run up to its moment."""

    def __init__(self, run: WatchedRun) -> None:
        self._heard = Heard.of(run)
        self._resources = Kept(self._heard, resources_of)
        self._agents = Kept(self._heard, agents_of)
        self._products = Kept(self._heard, lambda readers: tuple(readers.registrations.products.values()))

    @property
    def version(self) -> int:
        """Grows when anything here may have changed."""
        return self._heard.version

    def refresh(self) -> bool:
        """Hears what is new; whether that was all."""
        return self._heard.refresh()

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Everything that was to be registered, by its name."""
        return self._resources()

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Who is in the swarm, by name."""
        return self._agents()

    @property
    def products(self) -> tuple[Product, ...]:
        """The products that DSOs defined."""
        return self._products()


def resources_of(readers: Readers) -> tuple[Resource, ...]:
    """What the readers heard of resources, stations and portfolios."""
    found = [_resource(each) for each in readers.registrations.resources.values()]
    for registration in readers.registrations.stations.values():
        found += _stations(registration)
    found += [_portfolio(each) for each in readers.applications.found()]
    return tuple(sorted(found, key=lambda each: (each.kind, each.name, each.asked)))


def _resource(heard: Registered) -> Resource:
    wish, result = heard.wish, heard.result
    state: State = "with the DSO" if heard.checked else "asked"
    reason = heard.refusal
    if heard.refusal is not None:
        state = "refused"
    elif result is not None:
        reason = "; ".join(result.reasons) or None
        less_in = result.qualified_charge_kw < wish.max_charge_kw - _SAME_KW
        less_out = result.qualified_discharge_kw < wish.max_discharge_kw - _SAME_KW
        state = "approved for less" if less_in or less_out else "approved"
        if result.qualified_charge_kw <= 0 and result.qualified_discharge_kw <= 0:
            state = "refused"
    return Resource(
        key=heard.conversation_id,
        kind="resource",
        use_case="BUC 1 and 6",
        name=wish.resource_id,
        owner=account_name(heard.vpp),
        operator=account_name(wish.cpo),
        place=wish.location,
        product=wish.product_id,
        charge_kw=wish.max_charge_kw,
        discharge_kw=wish.max_discharge_kw,
        energy_kwh=wish.energy_kwh,
        units=wish.charger_ids,
        asked=heard.at,
        state=state,
        approved_charge_kw=None if result is None else result.qualified_charge_kw,
        approved_discharge_kw=None if result is None else result.qualified_discharge_kw,
        reason=reason,
        conversation_id=heard.conversation_id,
    )


def _stations(heard: Stations) -> Iterator[Resource]:
    """A station has no test: who is registered may bid with it."""
    state: State = "asked"
    if heard.accepted is not None:
        state = "approved" if heard.accepted else "refused"
    for each in heard.wish.stations:
        yield Resource(
            key=f"{heard.conversation_id}/{each.station_id}",
            kind="station",
            use_case="BUC 5",
            name=each.station_id,
            owner=account_name(heard.cpo),
            operator=account_name(heard.cpo),
            place=each.location,
            product="capacity contract",
            charge_kw=each.connection_kw,
            discharge_kw=0.0,
            energy_kwh=None,
            units=(f"{each.chargers} chargers",),
            asked=heard.at,
            state=state,
            approved_charge_kw=each.connection_kw if heard.accepted else None,
            approved_discharge_kw=None,
            reason=heard.reason,
            conversation_id=heard.conversation_id,
        )


def _portfolio(heard: Test) -> Resource:
    wish = heard.application
    state: State = "in test" if heard.steps else "asked"
    if heard.outcome == "approved":
        state = "approved" if heard.approved_kw >= wish.capacity_kw - _SAME_KW else "approved for less"
    elif heard.outcome == "cancelled":
        state = "withdrawn"
    elif heard.outcome in ("failed", "refused"):
        state = "refused"
    approved = heard.approved_kw if heard.outcome == "approved" else None
    return Resource(
        key=heard.conversation_id,
        kind="portfolio",
        use_case="BUC 7",
        name=wish.portfolio_id,
        owner=account_name(heard.manager),
        operator=account_name(heard.manager),
        place="",
        product=PRODUCTS[wish.product],
        charge_kw=wish.capacity_kw,
        discharge_kw=wish.capacity_kw,
        energy_kwh=wish.energy_kwh,
        units=tuple(unit.charger_id for unit in wish.units),
        asked=heard.opened,
        state=state,
        approved_charge_kw=approved,
        approved_discharge_kw=approved,
        reason=heard.reason,
        conversation_id=heard.conversation_id,
        checks=tuple(
            (finding.requirement, f"{finding.measured:g} {finding.unit}", finding.passed) for finding in heard.sheet
        ),
    )


def agents_of(readers: Readers) -> tuple[Agent, ...]:
    """What the readers heard of the directory."""
    found = (_agent(each) for each in readers.registrations.members.values())
    return tuple(sorted(found, key=lambda each: (each.role, each.name)))


def _agent(member: Member) -> Agent:
    wish = member.wish
    return Agent(
        name=account_name(wish.jid),
        jid=wish.jid,
        role=ROLE_NAMES.get(wish.role, wish.role),
        services=wish.services,
        place=wish.location or "",
        since=member.at,
        state=member.state,
        reason=member.reason,
        conversation_id=member.conversation_id,
    )
