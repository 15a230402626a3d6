"""The DSO of BUC 4.2, BUC 5.1 and BUC 5.2: lowers network prices where the sun feeds back, and buys caps elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, TypeAlias

from agents.actor import Actor
from agents.capacity_buyer import AuctionPlan, CapacityBuyer
from agents.charger_meters import ChargerMeters
from agents.daily_settlement import DailySettlement
from agents.ledger import Ledger
from agents.limit_activation import LimitActivation
from agents.limit_settling import LimitSettling
from agents.network_billing import NetworkBilling
from agents.network_pricing import NetworkPricing, PricingPlan
from agents.public_ports import NetworkStudy, StationSite
from behaviours.swarm import Swarm
from protocols.exchanges.capacity_contracts import CapacityLimit
from protocols.exchanges.network_prices import NetworkPriceReduction
from protocols.roles import Role

Signal: TypeAlias = NetworkPriceReduction | CapacityLimit


class PublicDso(Actor):
    """D5.1 3.5.1: "the DSO will request buying capacity limitation services from the CPO, hence a monopsony market is
    set"; 3.4.2: "the DSO lowers network prices on the desired locations and notifies the CPO".

    `stations`: the connections of public charging stations in its network, in the order of the last axis of the study's
    `Scenarios.station_kw`. `terms`: what it auctions and when, `pricing`: what network use costs. `signals`: what it
    sends besides, each at its timestamp, as somebody has written it. It reads the stations' meters, `station:<id>` and
    `peak:<id>`. `until`: the end of the run, in UTC.
    """

    role: ClassVar[Role] = Role.DSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        study: NetworkStudy,
        stations: Sequence[StationSite],
        terms: AuctionPlan,
        pricing: PricingPlan,
        ledger: Ledger,
        until: datetime,
        signals: Sequence[Signal] = (),
    ) -> None:
        super().__init__(jid, password, swarm)
        self.stations = tuple(stations)
        self.until = until
        self._began = self.now()
        self.signals = tuple(sorted(signals, key=lambda each: (each.timestamp, _id(each))))
        meters, peaks = ChargerMeters(self, "station"), ChargerMeters(self, "peak")
        self.buyer = CapacityBuyer(self, study, stations, terms, until)
        contracts = self.buyer.contracts
        self.activation = LimitActivation(self, study, stations, terms, contracts, until, self.buyer.activation_eur)
        self.pricing = NetworkPricing(self, study, stations, pricing, until, self.cpo_address)
        self.settling = LimitSettling(self, terms, contracts, self.activation, meters, peaks, ledger)
        self.billing = NetworkBilling(
            self,
            stations,
            pricing.network_eur_per_kwh,
            self.pricing.taken,
            meters,
            ledger,
            self.cpo_address,
            self._began,
        )
        self.settlement = DailySettlement(self, [self.settling, self.billing], until)
        self._unknown: set[str] = set()

    async def course(self) -> None:
        """One auction, prices each hour, limits each day, the settlement each night, and what is sent besides."""
        self.spawn(self.buyer.buy(), "buys caps")
        self.spawn(self.pricing.hourly(), "lowers prices")
        self.spawn(self.activation.daily(), "activates limits")
        self.spawn(self.settlement.daily(), "settles")
        await self._send_signals()

    async def cpo_address(self, name: str) -> str | None:
        """The JID of a CPO by its name; that the directory has none is told once."""
        for entry in await self.search(role=Role.CPO):
            if entry.jid.partition("@")[0] == name:
                return entry.jid
        if name not in self._unknown:
            self.notice(f"there is no CPO {name}: nothing can be told to it")
        self._unknown.add(name)
        return None

    async def _send_signals(self) -> None:
        for signal in self.signals:
            if max(signal.timestamp, self.now()) >= self.until:
                self.notice(f"{_id(signal)} is not sent: the run is over then")
                continue
            await self.clock.sleep_until(signal.timestamp)
            now = self.now()
            if signal.start <= now:
                self.notice(
                    f"{_id(signal)} is not sent: it would begin at {self._shown(signal.start)}, which has passed"
                )
                continue
            if signal.timestamp < self._began:
                said = self._shown(signal.timestamp)
                self.notice(f"{_id(signal)} is sent when the run begins: its time, {said}, is before that")
            content = signal.model_copy(update={"timestamp": now})
            if isinstance(content, NetworkPriceReduction):
                self.spawn(self.pricing.announce(content), f"sends {_id(content)}")
            else:
                self.spawn(self.activation.order(content), f"sends {_id(content)}")

    def _shown(self, at: datetime) -> str:
        return f"{at.astimezone(self.swarm.zone):%Y-%m-%d %H:%M}"


def _id(signal: Signal) -> str:
    return signal.reduction_id if isinstance(signal, NetworkPriceReduction) else signal.activation_id
