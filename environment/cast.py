"""The cast of a run: which agents there are, and what each is given. Each demonstrator has a cast of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Generic, TypeVar, cast

import numpy as np

from agents.actor import Actor
from agents.decisions.customer import Consent
from agents.decisions.participation import Preference, draw_preferences
from agents.ev_owner import EvOwner, Visit
from agents.fcr_ports import FrequencyMeter, TestBench
from agents.grid_environment import GridEnvironment, PassingTime
from agents.ledger import Ledger
from agents.observer import Observer, TraceWriter
from agents.ports import Charger
from behaviours.swarm import Swarm
from environment.scenario_parts import Scenario, SitePart
from environment.sessions import Session
from environment.world import Plant, World
from protocols.roles import Role

SENSOR_INTERVAL = timedelta(minutes=15)

_S = TypeVar("_S", bound=Scenario)


def owner_name(charger_id: str) -> str:
    """The name of the EV owner who parks at that charger."""
    return f"ev-{charger_id}"


@dataclass(frozen=True)
class Props:
    """What the actors are given besides the swarm's ports. Only campuses have frequency `meters` (by name), a test
    bench (by site), and a folder for the log of frequency control, whose central loops look at a meter each
    `act_every_s` of scenario time. `watchers` may watch by chat and in rooms: bare JIDs, or
    domains for everybody there. `outside` are the JIDs, by name, of those whom somebody else's system plays; `passing`
    is how time passes, where it keeps to the wall."""

    plant: Plant
    world: World
    ledger: Ledger
    writer: TraceWriter
    chargers: Mapping[str, Charger]
    streams: Mapping[str, np.random.Generator]
    meters: Mapping[str, FrequencyMeter] = field(default_factory=dict)
    benches: Mapping[str, TestBench] = field(default_factory=dict)
    fcr_log: Path | None = None
    act_every_s: float = 1.0
    watchers: tuple[str, ...] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    passing: PassingTime | None = None


class Cast(ABC, Generic[_S]):
    """Makes the actors of one scenario. The services of the platform and the EV owners are every demonstrator's;
    `owner_class` is what the latter are."""

    owner_class: ClassVar[type[EvOwner]] = EvOwner

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        self.swarm = swarm
        self.domain = domain
        self.passwords = passwords
        self.props = props
        self.scenario = cast(_S, props.plant.scenario)
        self.charger_sites: dict[str, SitePart] = {c: s for s in self.scenario.sites for c in s.charger_ids()}

    @staticmethod
    @abstractmethod
    def organisations(scenario: _S) -> dict[str, Role]:
        """The names and roles of those who are neither of the platform nor EV owners, in the order of their entry."""

    @abstractmethod
    def actors_of_organisations(self) -> list[Actor]:
        """They themselves, in the same order."""

    @abstractmethod
    def operator_of(self, charger_id: str) -> str:
        """The name of the agent to which the driver at this charger announces a session."""

    @classmethod
    def roles(cls, scenario: _S, domain: str) -> dict[str, Role]:
        """Who takes part, by JID, in the order in which they enter the swarm after the directory."""
        names = {
            "directory": Role.DIRECTORY,
            "environment": Role.ENVIRONMENT,
            "observer": Role.OBSERVER,
            **cls.organisations(scenario),
            **{owner_name(charger): Role.EV_OWNER for site in scenario.sites for charger in site.charger_ids()},
        }
        return {f"{name}@{domain}": role for name, role in names.items()}

    def actors(self) -> list[Actor]:
        """All but the directory, in the order in which they enter."""
        props = self.props
        return [
            GridEnvironment(
                *self._at("environment"), world=props.world, interval=SENSOR_INTERVAL, passing=props.passing
            ),
            Observer(
                *self._at("observer"),
                writer=props.writer,
                watchers=props.watchers,
                paid=props.ledger.paid,
                title=self.scenario.scenario.title,
            ),
            *self.actors_of_organisations(),
            *self._owners(),
        ]

    def _jid(self, name: str) -> str:
        return self.props.outside.get(name, f"{name}@{self.domain}")

    def _at(self, name: str) -> tuple[str, str, Swarm]:
        return self._jid(name), self.passwords[self._jid(name)], self.swarm

    def _owners(self) -> Sequence[Actor]:
        drivers = self.scenario.drivers
        rng = self.props.streams["drivers"]
        preferences = draw_preferences(
            rng,
            len(self.charger_sites),
            unwilling=drivers.unwilling_share,
            median_eur_per_kwh=drivers.median_threshold_eur_per_kwh,
        )
        return [
            self._owner(charger, preference, stream)
            for charger, preference, stream in zip(
                self.charger_sites, preferences, rng.spawn(len(self.charger_sites)), strict=True
            )
        ]

    def _owner(self, charger: str, preference: Preference, rng: np.random.Generator) -> EvOwner:
        site = self.charger_sites[charger]
        return self.owner_class(
            *self._at(owner_name(charger)),
            operator=self._jid(self.operator_of(charger)),
            charger_id=charger,
            max_charge_kw=site.max_charge_kw,
            efficiency=site.efficiency_charge,
            visits=[self._visit(s, site, rng) for s in self.props.plant.sessions.of(charger)],
            preference=preference,
            ledger=self.props.ledger,
            consent=self._consent(rng),
        )

    def _consent(self, rng: np.random.Generator) -> Consent | None:
        """What the driver agrees to beside the price, where anybody asks for it."""
        return None

    def _visit(self, session: Session, site: SitePart, rng: np.random.Generator) -> Visit:
        """The stay, and what its driver thought of it the day before: off by the scenario's arrival error."""
        minutes = round(float(rng.normal(0.0, self.scenario.drivers.arrival_error_minutes)))
        latest = session.departure - timedelta(minutes=30)
        expected = min(session.arrival + timedelta(minutes=minutes), latest)
        soc = float(np.clip(session.soc_arrival_percent + rng.normal(0.0, 5.0), 5.0, session.soc_wanted_percent))
        return Visit(
            vehicle_id=session.vehicle_id,
            expected_arrival=expected,
            expected_soc_percent=round(soc, 1),
            arrival=session.arrival,
            departure=session.departure,
            capacity_kwh=session.capacity_kwh,
            soc_percent=session.soc_arrival_percent,
            wanted_soc_percent=session.soc_wanted_percent,
            minimum_soc_percent=site.minimum_soc_percent,
            charges_from=session.charges_from,
        )
