"""How a CPO bids in the capacity market (5.1.2 to 5.1.6): a curve for each call, and the contracts that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import count

from agents.decisions.capacity_checks import possible_limits, price_on
from agents.decisions.capacity_curve import OpportunityCosts, bid_curve
from agents.decisions.money import CENT
from agents.public_ports import StationHistory, StationSite
from behaviours.answering import Failure, Propose, Refuse, failure, refusal
from protocols.exchanges.capacity_contracts import (
    AuctionCall,
    CurveBid,
    CurvePoint,
    ProcurementResult,
    Station,
    StationRegistration,
)

STANDS = timedelta(hours=3)
"""A bid stands so long after the gate closure: until then the DSO has decided."""


@dataclass(frozen=True, slots=True)
class CapacityContract:
    """A limit that was sold: the terms that were called, and what was bought (5.1.6)."""

    call: AuctionCall
    contract_id: str
    dso: str
    limit_kw: float
    price_eur: Decimal

    @property
    def station_id(self) -> str:
        return self.call.station_id

    def day(self, start: datetime, zone: tzinfo) -> tuple[int, int]:
        """The number of the local day that begins at `start`, from 0, and how many the contract has."""
        first = self._date(self.call.period_start, zone)
        days = (self._date(self.call.period_end, zone) - first).days
        return (self._date(start, zone) - first).days, days

    @staticmethod
    def _date(at: datetime, zone: tzinfo) -> date:
        return at.astimezone(zone).date()


def registration(registration_id: str, stations: Sequence[StationSite], now: datetime) -> StationRegistration:
    """5.x.1 for these stations."""
    return StationRegistration(
        registration_id=registration_id,
        timestamp=now,
        stations=tuple(
            Station(
                station_id=site.station_id,
                location=site.location,
                latitude_deg=site.latitude_deg,
                longitude_deg=site.longitude_deg,
                connection_kw=site.connection_kw,
                chargers=len(site.charger_ids),
            )
            for site in stations
        ),
    )


class CapacityBidding:
    """The curves that were bid, by the conversation of their call, and the contracts, by contract id."""

    def __init__(
        self, name: str, stations: Mapping[str, StationSite], history: StationHistory, costs: OpportunityCosts
    ) -> None:
        self.contracts: dict[str, CapacityContract] = {}
        self._name, self._stations, self._history, self._costs = name, stations, history, costs
        self._bids: dict[str, tuple[AuctionCall, CurveBid]] = {}
        self._numbers = count(1)

    def bid(self, call: AuctionCall, conversation: str, now: datetime) -> Propose | Refuse:
        """5.1.3: the opportunity cost of each limit that the call lets us offer; a limit that would cost more than the
        call's highest price is not offered."""
        site = self._stations.get(call.station_id)
        if site is None:
            return refusal("unknown-station", f"{call.station_id} is not a station of mine")
        if site.location != call.location:
            return refusal("wrong-location", f"{call.station_id} is at {site.location}, not at {call.location}")
        if call.gate_closure < now:
            return refusal("expired", f"the gate has closed at {call.gate_closure:%H:%M} UTC")
        try:
            curve = bid_curve(
                self._history.days(site.station_id),
                possible_limits(call.lowest_limit_kw, call.step_kw, site.connection_kw, call.most_points),
                (_quarter(call.window_start), _quarter(call.window_end)),
                self._costs,
                float(call.most_activations),
                len(site.charger_ids),
                site.charger_kw,
                connection_kw=site.connection_kw,
                most_eur=call.most_eur,
            )
        except (LookupError, ValueError) as error:
            return refusal("no-curve", f"no curve can be made for {call.station_id}: {error}")
        if len(curve) < max(2, call.least_points):
            text = f"no more than {len(curve)} points cost at most {call.most_eur} EUR, {call.least_points} are wanted"
            return refusal("nothing-to-offer", text)
        bid = CurveBid(
            bid_id=f"{self._name}-bid-{next(self._numbers)}",
            call_id=call.call_id,
            timestamp=now,
            station_id=call.station_id,
            curve=tuple(CurvePoint(limit_kw=limit, price_eur=price) for limit, price in curve),
        )
        self._bids[conversation] = call, bid
        return Propose(bid, reply_by=call.gate_closure + STANDS)

    def take(self, result: ProcurementResult, conversation: str) -> CapacityContract | Failure:
        """5.1.6, accepted: the contract, where what was bought is what was offered."""
        call, bid = self._bids.get(conversation, (None, None))
        if call is None or bid is None:
            return failure("no-bid", f"there is no bid {result.bid_id} of mine that could be accepted")
        if (result.bid_id, result.call_id) != (bid.bid_id, call.call_id):
            return failure("not-as-offered", f"the bid is {bid.bid_id} on the call {call.call_id}")
        if result.contract_id is None or result.dso is None or result.limit_kw is None or result.price_eur is None:
            return failure("not-as-offered", "an acceptance names the contract, the DSO, the limit and the price")
        if result.dso != call.dso:
            return failure("not-as-offered", f"the call was for {call.dso}, not for {result.dso}")
        asked = price_on(bid.curve, result.limit_kw)
        if asked is None:
            return failure("not-as-offered", f"{result.limit_kw:g} kW is not on the curve")
        if result.price_eur < asked - CENT:
            text = f"{result.limit_kw:g} kW cost {asked:.2f} EUR on the curve, {result.price_eur} are paid"
            return failure("not-as-offered", text)
        known = self.contracts.get(result.contract_id)
        if known is not None:
            return failure("used-reference", f"{result.contract_id} is a contract of {known.station_id} already")
        self._bids.pop(conversation)
        contract = CapacityContract(call, result.contract_id, result.dso, result.limit_kw, result.price_eur)
        self.contracts[result.contract_id] = contract
        return contract

    def drop(self, conversation: str) -> None:
        """Nothing was bought of this bid."""
        self._bids.pop(conversation, None)


def _quarter(clock: str) -> int:
    """The quarter of the local day that begins at HH:MM."""
    hours, minutes = clock.split(":")
    return int(hours) * 4 + int(minutes) // 15
