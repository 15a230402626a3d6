"""How the DSO makes network use cheaper where the sun feeds back (BUC 4.2, D5.1 3.4.2)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from itertools import count

from agents.actor import Actor
from agents.capacity_buyer import at_local
from agents.decisions.price_hours import HourlyReduction, by_the_hour
from agents.decisions.price_reduction import Beliefs, Reduction, decide, find
from agents.limit_activation import AFTER_SIGNALS
from agents.periods import next_quarter, quarter_at, quarters
from agents.public_ports import NetworkStudy, StationSite
from behaviours.outcomes import Agreed, Informed, Silent
from protocols.exchanges.network_prices import NetworkPriceReduction
from protocols.units import as_price

ANSWER_TIME = timedelta(minutes=5)
HOUR = timedelta(hours=1)
LOOKS_AFTER = timedelta(minutes=5)
"""So long after the hour the DSO looks: the meters have the quarter of an hour before."""

Address = Callable[[str], Awaitable[str | None]]
"""The JID of a CPO by its name, None, told, where the directory has none."""


@dataclass(frozen=True, slots=True)
class PricingPlan:
    """What network use costs, and how the DSO lowers that.

    Each hour from `first_hour` until `last_hour` (local) it looks `horizon_hours` ahead; where a line feeds back more
    than `threshold_kw` it takes up to `most_reduction_eur_per_kwh` off behind it, in steps of `step_eur_per_kwh` and by
    whole hours, and says so at least `lead_minutes` before.
    """

    network_eur_per_kwh: Decimal
    most_reduction_eur_per_kwh: Decimal
    step_eur_per_kwh: Decimal = Decimal("0.01")
    first_hour: time = time(6)
    last_hour: time = time(16)
    horizon_hours: int = 5
    lead_minutes: int = 60
    threshold_kw: float = 20.0
    beliefs: Beliefs = field(default_factory=Beliefs)


class NetworkPricing:
    """D5.1 3.4.2: "the process is initiated with the detection of reverse power flows in the distribution network by
    the DSO. For a number of reasons, the DSO desires to limit these reverse flows and increase local consumption. To
    this end, the DSO lowers network prices on the desired locations and notifies the CPO (ID 4.2.1)".

    `announced`: every reduction that was sent, in order; `reasons`: by id, what stands behind those that the DSO
    decided itself. A CPO that refuses a reduction is not asked again; one that does not answer is told again at the
    next look, until the reduction begins.
    """

    def __init__(
        self,
        agent: Actor,
        study: NetworkStudy,
        stations: Sequence[StationSite],
        plan: PricingPlan,
        until: datetime,
        address: Address,
    ) -> None:
        self.announced: list[NetworkPriceReduction] = []
        self.reasons: dict[str, tuple[Reduction, ...]] = {}
        self._agent = agent
        self._study = study
        self._stations = tuple(stations)
        self._plan = plan
        self._until = until
        self._address = address
        self._taken: defaultdict[str, dict[str, NetworkPriceReduction]] = defaultdict(dict)
        self._unheard: dict[tuple[str, str], NetworkPriceReduction] = {}
        self._numbers = count(1)

    def taken(self, cpo: str) -> tuple[NetworkPriceReduction, ...]:
        """The reductions that a CPO (JID) has passed on."""
        return tuple(self._taken[cpo].values())

    async def hourly(self) -> None:
        """Looks ahead each hour of the plan's part of the day."""
        zone = self._agent.swarm.zone
        looks_at = self._agent.now().replace(minute=0, second=0, microsecond=0) + LOOKS_AFTER
        while looks_at < self._until:
            day = looks_at.astimezone(zone).date()
            first, last = (at_local(day, hour, zone) for hour in (self._plan.first_hour, self._plan.last_hour))
            if looks_at >= self._agent.now() and first <= looks_at <= last + LOOKS_AFTER:
                await self._agent.clock.sleep_until(looks_at, priority=AFTER_SIGNALS)
                await self._tell_again()
                await self._look()
            looks_at += HOUR

    async def _look(self) -> None:
        """Reverse flows of the hours ahead, and what is to be done about them."""
        plan, now = self._plan, self._agent.now()
        start = next_quarter(now + timedelta(minutes=plan.lead_minutes))
        periods = quarters(start, min(quarter_at(now) + plan.horizon_hours * HOUR, self._until))
        if periods < 1:
            return
        flows = find(self._study.look_ahead(start, periods), self._study.sections, plan.threshold_kw)
        if not flows:
            return
        holding = [each for each in self.announced if each.end > start]
        found = decide(
            flows,
            self._study.sections,
            self._stations,
            self._study.station_usual_kw(start, periods),
            plan.beliefs,
            plan.most_reduction_eur_per_kwh,
            plan.step_eur_per_kwh,
            usual_from=start,
            announced=holding,
        )
        contents = []
        for hours in by_the_hour(found, holding, start):
            content = NetworkPriceReduction(
                reduction_id=f"{self._agent.name}-cheaper-{next(self._numbers)}",
                timestamp=now,
                locations=hours.locations,
                reduction_eur_per_kwh=as_price(hours.reduction_eur_per_kwh),
                start=hours.start,
                end=hours.end,
            )
            self.reasons[content.reduction_id] = tuple(each for each in found if _behind(hours, each))
            contents.append(content)
        await asyncio.gather(*(self.announce(each) for each in contents))

    async def announce(self, reduction: NetworkPriceReduction) -> None:
        """4.2.1 to every CPO that has a station there; that there is none is told."""
        names = sorted({each.cpo for each in self._stations if each.location in reduction.locations})
        if not names:
            self._agent.notice(f"{reduction.reduction_id} concerns no station at {', '.join(reduction.locations)}")
            return
        self.announced.append(reduction)
        await asyncio.gather(*(self._tell(reduction, name) for name in names))

    async def _tell_again(self) -> None:
        """All at once: a CPO that keeps silent must not keep the DSO from looking."""
        ahead = [(name, each) for (_, name), each in sorted(self._unheard.items()) if each.start > self._agent.now()]
        await asyncio.gather(*(self._tell(reduction, name) for name, reduction in ahead))
        self._unheard = {key: each for key, each in self._unheard.items() if each.start > self._agent.now()}

    async def _tell(self, reduction: NetworkPriceReduction, name: str) -> None:
        cpo = await self._address(name)
        if cpo is None:
            return
        agent, key = self._agent, (reduction.reduction_id, name)
        by = agent.now() + ANSWER_TIME
        answer = await agent.request(reduction, to=cpo, reply_by=by, done_by=by)
        result = await answer.result() if isinstance(answer, Agreed) else answer
        heard_before = key not in self._unheard
        self._unheard.pop(key, None)
        if isinstance(result, Informed):
            self._taken[cpo][reduction.reduction_id] = reduction
            return
        if isinstance(result, Silent):
            self._unheard[key] = reduction
        if heard_before or not isinstance(result, Silent):
            places = ", ".join(reduction.locations)
            agent.notice(f"{cpo} does not pass on {reduction.reduction_id} at {places}: {result}")


def _behind(hours: HourlyReduction, reduction: Reduction) -> bool:
    """Whether the reduction is a reason for what is announced: at one of its places, within its time."""
    there = set(hours.locations) & set(reduction.locations)
    return bool(there) and reduction.start < hours.end and hours.start < reduction.end
