"""How the DSO activates, a day ahead, some of the caps that it has bought (BUC 5.2, D5.1 3.5.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from agents.actor import Actor
from agents.capacity_buyer import AuctionPlan, at_local
from agents.decisions.capacity_activation import Held, activate
from agents.public_ports import NetworkStudy, StationSite
from behaviours.outcomes import Agreed, Informed
from protocols.exchanges.capacity_contracts import CapacityLimit, Contract

ANSWER_TIME = timedelta(minutes=10)
"""How long a CPO may take to agree: it may have to plan sessions again."""
DONE_TIME = timedelta(minutes=15)
"""So long after the window it may still say that it is done."""
AFTER_SIGNALS = 20
"""The order within one instant: what the DSO is told to send has been sent when it decides for itself."""
PART_OF_THE_MEAN = 0.5
"""Caps behind one line share what they save: the last of them saves about half of what they save on average."""
_SAME_KW = 1e-3


@dataclass(frozen=True, slots=True)
class Ordered:
    """A limit that was sent to `cpo` (JID). `rightful`: the contract allows it; `agreed`: the CPO keeps it."""

    limit: CapacityLimit
    cpo: str
    rightful: bool
    agreed: bool


class LimitActivation:
    """D5.1 3.5.2: "this phase takes place day-ahead, where the DSO performs analysis and forecasts for the coming day
    and projects that activation of some of the procured capacity limitation is required. The DSO communicates this
    activation decision to the CPOs".

    `contracts` (by id) may grow meanwhile. `ordered`: what was sent, by contract and local day; of several, the one
    that was agreed to. Where a contract has fewer activations left than days, each must save a part of
    `least_saving_eur`, what one saves on average on the last of the days for which they suffice.
    """

    def __init__(
        self,
        agent: Actor,
        study: NetworkStudy,
        stations: Sequence[StationSite],
        plan: AuctionPlan,
        contracts: Mapping[str, Contract],
        until: datetime,
        least_saving_eur: Callable[[], float] = float,
    ) -> None:
        self.ordered: dict[tuple[str, date], Ordered] = {}
        self._agent = agent
        self._study = study
        self._stations = tuple(stations)
        self._plan = plan
        self._contracts = contracts
        self._until = until
        self._least_saving_eur = least_saving_eur
        self._under_way: set[tuple[str, date]] = set()

    async def daily(self) -> None:
        """Each day at the plan's time, for the next one."""
        today = self._local(self._agent.now()).date()
        while (looks_at := at_local(today, self._plan.activates_at, self._agent.swarm.zone)) < self._until:
            if looks_at >= self._agent.now():
                await self._agent.clock.sleep_until(looks_at, priority=AFTER_SIGNALS)
                await self._activate(today + timedelta(days=1))
            today += timedelta(days=1)

    def window(self, day: date) -> tuple[datetime, datetime]:
        """When limits hold on a local day."""
        opens, closes = self._plan.window
        zone = self._agent.swarm.zone
        return at_local(day, opens, zone), at_local(day, closes, zone)

    def day_number(self, day: date) -> int | None:
        """Which day of the contracts a local day is, from 0; None for one outside their period."""
        number = (day - self._plan.first_day(self._agent.swarm.zone)).days
        return number if 0 <= number < self._plan.period_days else None

    def left(self, contract_id: str) -> int:
        """On how many days the contract may still be activated."""
        used = sum(ordered.agreed for (named, _), ordered in self.ordered.items() if named == contract_id)
        return self._plan.most_activations - used

    async def _activate(self, day: date) -> None:
        start, end = self.window(day)
        number = self.day_number(day)
        if start >= self._until or number is None:
            return
        if start - self._agent.now() < timedelta(minutes=self._plan.notice_minutes):
            return
        held = [
            Held(contract.contract_id, contract.station_id, contract.limit_kw, self.left(contract.contract_id))
            for _, contract in sorted(self._contracts.items())
            if self.left(contract.contract_id) > 0 and not self._agreed(contract.contract_id, day)
        ]
        if not held:
            return
        scenarios = self._study.day_ahead(day, self._plan.scenarios, self._plan.window)
        days_left = self._plan.period_days - number
        scarce = min(contract.left for contract in held) < days_left
        least_eur = PART_OF_THE_MEAN * self._least_saving_eur() if scarce else 0.0
        costs = replace(self._plan.costs, activation_eur=least_eur)
        found = activate(self._study, scenarios, held, self._stations, costs)
        now = self._agent.now()
        limits = [
            CapacityLimit(
                activation_id=f"{contract_id}-{day:%Y-%m-%d}",
                contract_id=contract_id,
                timestamp=now,
                station_id=self._contracts[contract_id].station_id,
                limit_kw=limit_kw,
                start=start,
                end=end,
            )
            for contract_id, limit_kw in sorted(found.limits)
        ]
        await asyncio.gather(*(self.order(limit) for limit in limits))

    async def order(self, limit: CapacityLimit) -> None:
        """5.2.1 to the CPO of the station. That it does not keep the limit is told. A limit under an unknown contract
        is one under the station's only contract; without one nothing is sent, and that is told."""
        of_station = [c for _, c in sorted(self._contracts.items()) if c.station_id == limit.station_id]
        if limit.contract_id not in self._contracts and len(of_station) == 1:
            limit = limit.model_copy(update={"contract_id": of_station[0].contract_id})
        contract = self._contracts.get(limit.contract_id)
        if contract is None:
            self._agent.notice(f"{limit.activation_id} is not sent: there is no contract for {limit.station_id}")
            return
        rightful = self._rightful(limit, contract)
        local = self._local(limit.start)
        key = limit.contract_id, local.date()
        now = self._agent.now()
        self._under_way.add(key)
        answer = await self._agent.request(
            limit, to=contract.cpo, reply_by=now + ANSWER_TIME, done_by=max(now, limit.end) + DONE_TIME
        )
        self._under_way.discard(key)
        agreed = isinstance(answer, Agreed | Informed)
        if not agreed:
            self._agent.notice(
                f"{limit.station_id} is not limited to {limit.limit_kw:g} kW on {local:%Y-%m-%d} "
                f"({limit.activation_id}): {answer}"
            )
        if isinstance(answer, Agreed):
            self._agent.spawn(self._hear_out(limit, answer), f"hears what becomes of {limit.activation_id}")
        if agreed or key not in self.ordered or (rightful and not self.ordered[key].agreed):
            self.ordered[key] = Ordered(limit, contract.cpo, rightful, agreed)

    async def _hear_out(self, limit: CapacityLimit, answer: Agreed) -> None:
        result = await answer.result()
        if not isinstance(result, Informed):
            self._agent.notice(f"{limit.activation_id} was agreed to, then: {result}; the meter tells whether it held")

    def _rightful(self, limit: CapacityLimit, contract: Contract) -> bool:
        """Whether the contract allows it: its station, not less than was bought, in its window, in time, not too often
        and once a day."""
        day = self._local(limit.start).date()
        opens, closes = self.window(day)
        return (
            limit.station_id == contract.station_id
            and limit.limit_kw >= contract.limit_kw - _SAME_KW
            and opens <= limit.start
            and limit.end <= closes
            and self.day_number(day) is not None
            and limit.start - self._agent.now() >= timedelta(minutes=self._plan.notice_minutes)
            and self.left(contract.contract_id) > 0
            and not self._agreed(contract.contract_id, day)
        )

    def _agreed(self, contract_id: str, day: date) -> bool:
        """Whether the contract is activated on this day, or is just being."""
        ordered = self.ordered.get((contract_id, day))
        return (ordered is not None and ordered.agreed) or (contract_id, day) in self._under_way

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self._agent.swarm.zone)
