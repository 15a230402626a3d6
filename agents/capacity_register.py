"""The flexibility register of BUC 5.1: stations that take part, auctions that are under way, contracts. In memory.

D5.1 section 3.5.1; the exchanges are those of agents/capacity_fmo.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from behaviours.initiating import Tender
from protocols.exchanges.capacity_contracts import (
    ApprovedBid,
    AuctionCall,
    AuctionTerms,
    Contract,
    Station,
    StationRegistration,
)
from protocols.exchanges.plain import Reason

DECISION_TIME = timedelta(hours=1)
"""So long after the gate closure the DSO may decide; then the curves are given back."""
LONGEST_ID = 90
"""Characters of the ids of terms and stations: two of them make the id of a call and of a contract."""


@dataclass(frozen=True, slots=True)
class RegisteredStation:
    """A station that takes part in the market, and whose it is (JID)."""

    cpo: str
    station: Station


@dataclass(frozen=True, slots=True)
class RegisteredContract:
    """A contract in the register: what was bought, by whom (JID), on which terms."""

    contract: Contract
    dso: str
    terms: AuctionTerms


@dataclass(slots=True, eq=False)
class Bidder:
    """A station that was called: its call, and what came back; `bid` once its curve is approved."""

    of: RegisteredStation
    call: AuctionCall
    tender: Tender
    bid: ApprovedBid | None = None


@dataclass(slots=True, eq=False)
class Auction:
    """One auction. `open` until it is decided, or nobody has decided by `decide_by`; `informed` when the DSO has the
    curves; `decided`: the id of the decision that was approved."""

    terms: AuctionTerms
    dso: str
    stations: tuple[RegisteredStation, ...]
    bidders: list[Bidder] = field(default_factory=list)
    open: bool = True
    informed: bool = False
    decided: str | None = None

    @property
    def decide_by(self) -> datetime:
        """When the curves are given back."""
        return min(self.terms.gate_closure + DECISION_TIME, self.terms.period_start)

    @property
    def approved(self) -> list[ApprovedBid]:
        """The curves that may be bought of, in the order of the calls."""
        return [bidder.bid for bidder in self.bidders if bidder.bid is not None]


class CapacityRegister:
    """`stations` by their id, `auctions` by their terms' id, `contracts` by their id; times for people are in `zone`.

    Of a register that was lost, the parties' own copies and the trace are what is left.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.stations: dict[str, RegisteredStation] = {}
        self.auctions: dict[str, Auction] = {}
        self.contracts: dict[str, RegisteredContract] = {}
        self._zone = zone
        self._latest: dict[str, str] = {}
        self._registrations: set[tuple[str, str]] = set()

    def register(self, cpo: str, registration: StationRegistration, now: datetime) -> Reason | None:
        """Enters the stations with which a CPO takes part from now on, in place of those that it had; why not, where
        they cannot be entered. The same registration again changes nothing."""
        name = registration.registration_id
        if (cpo, name) in self._registrations:
            if self._latest[cpo] == name:
                return None
            return Reason.of("used-reference", f"{name} was replaced by {self._latest[cpo]}")
        new = {each.station_id: RegisteredStation(cpo, each) for each in registration.stations}
        if (fault := self._fault(cpo, new, now)) is not None:
            return fault
        self.stations = {name: each for name, each in self.stations.items() if each.cpo != cpo} | new
        self._registrations.add((cpo, name))
        self._latest[cpo] = name
        return None

    def _fault(self, cpo: str, new: Mapping[str, RegisteredStation], now: datetime) -> Reason | None:
        for name in new:
            if len(name) > LONGEST_ID:
                return Reason.of("id-too-long", f"the id of a station has at most {LONGEST_ID} characters")
            if (known := self.stations.get(name)) is not None and known.cpo != cpo:
                return Reason.of("not-authorised", f"station {name} is another CPO's")
        for name, known in self.stations.items():
            if known.cpo == cpo and new.get(name) != known and (bound := self.bound(name, now)):
                return Reason.of("bound", f"station {name} cannot be changed or taken out: {bound}")
        return None

    def bound(self, station_id: str, start: datetime, end: datetime | None = None) -> str | None:
        """By which contract, or auction that is under way, a station is bound between `start` and `end` (None: for
        ever), in words; None where there is none."""
        for name, held in self.contracts.items():
            if held.contract.station_id == station_id and _overlap(held.terms, start, end):
                return f"it has the contract {name} until {self.at(held.terms.period_end)}"
        for name, auction in self.auctions.items():
            ids = {each.station.station_id for each in auction.stations}
            if auction.open and station_id in ids and _overlap(auction.terms, start, end):
                return f"it is in the auction {name}, which is not decided"
        return None

    def at(self, moment: datetime) -> str:
        """A time for people, by the market's clock."""
        return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M}"


def _overlap(terms: AuctionTerms, start: datetime, end: datetime | None) -> bool:
    return start < terms.period_end and (end is None or terms.period_start < end)
