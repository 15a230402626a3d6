"""What the flexibility operator hears of the V2X managers each quarter of an hour, and tells TSO and DSO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial

from agents.actor import Actor
from agents.fleet_view import FleetView
from agents.fo_service import FoService, promised
from agents.periods import QUARTER, next_quarter
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Subscribed
from protocols.exchanges.content import Content
from protocols.exchanges.ev_services import UserState
from protocols.exchanges.res_curtailment import (
    FlexibilityInformation,
    FlexibilitySubscription,
    Measurements,
    MeasurementsSubscription,
)
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import ParticipationInfo, ParticipationSubscription
from protocols.roles import Role

TOGETHER = timedelta(seconds=10)
"""What is agreed to within so short a time is told in one 2.2."""


class FleetNews:
    """Subscribes in the name of the FO, and publishes to who subscribed there. `services`: all that it keeps;
    `may_be_called`: whether a manager (JID) is trusted enough. The vehicles of one that is not draw what they draw, but
    are not flexible."""

    def __init__(
        self, agent: Actor, services: Callable[[], Collection[FoService]], may_be_called: Callable[[str], bool]
    ) -> None:
        self.view = FleetView(agent.now, agent.notice)
        self._agent = agent
        self._services = services
        self._may_be_called = may_be_called
        self._managers: set[str] = set()
        self._told_at: datetime | None = None

    async def subscribe(self) -> None:
        """2.1 and 4.1.4 of the managers that are new; who does not serve them is asked again the next time."""
        entries = await self._agent.search(role=Role.V2X_MANAGER)
        await asyncio.gather(*(self._listen_to(e.jid) for e in entries if e.jid not in self._managers))

    async def _listen_to(self, manager: str) -> None:
        self._managers.add(manager)
        self.view.expect(manager)
        agent, now = self._agent, self._agent.now()
        name = f"{agent.name}/{manager.partition('@')[0]}"
        topics = (
            MeasurementsSubscription(request_id=f"{name}/2.1", timestamp=now),
            ParticipationSubscription(request_id=f"{name}/4.1.4", timestamp=now),
        )
        heard = partial(self._heard, manager)
        outcomes = await asyncio.gather(
            *(agent.subscribe(topic, to=manager, on_inform=heard, reply_by=now + ANSWER_TIME) for topic in topics)
        )
        for outcome in outcomes:
            if not isinstance(outcome, Subscribed):
                self._agent.notice(f"{manager} does not tell what its vehicles do: {outcome}")
        if not any(isinstance(outcome, Subscribed) for outcome in outcomes):
            self._managers.discard(manager)

    def _heard(self, manager: str, news: Content) -> None:
        self.view.hear(manager, news)

    async def tell(self, quarter: datetime) -> None:
        """2.2, 2.1 and 4.1.4 at the beginning of `quarter`; nothing where no manager has told anything."""
        if not await self._tell_flexibility(quarter + QUARTER):
            return
        if (measured := self._measured(quarter)) is not None:
            for topic in dict.fromkeys(self._agent.subscriptions(MeasurementsSubscription)):
                content = measured.model_copy(update={"request_id": topic.request_id})
                await self._agent.publish(MeasurementsSubscription, content, topic.__eq__)
        running = self._under_way(ServiceType.VOLTAGE_CONTROL, quarter)
        buses = self.view.by_bus(self._managers, self._callable)
        for participation in dict.fromkeys(self._agent.subscriptions(ParticipationSubscription)):
            info = ParticipationInfo(
                request_id=participation.request_id,
                timestamp=self._agent.now(),
                service=ServiceType.VOLTAGE_CONTROL,
                service_id=running[0].service_id if len(running) == 1 else None,
                start=quarter - QUARTER,
                end=quarter,
                users=buses,
            )
            await self._agent.publish(ParticipationSubscription, info, participation.__eq__)

    async def tell_again(self, start: datetime) -> None:
        """A fresh 2.2 where the quarter of an hour from `start` is the next one: what a voltage service has just taken
        is not there for wind any more. One for all the services that are agreed to together."""
        await self._agent.clock.sleep_until(self._agent.now() + TOGETHER)
        if start == next_quarter(self._agent.now()) and self._told_at != self._agent.now():
            await self._tell_flexibility(start)

    async def _tell_flexibility(self, start: datetime) -> bool:
        """2.2 for the quarter of an hour from `start`; False where there is nothing to tell."""
        taken = {
            charger: held.order
            for charger, held in promised(self._services(), start).items()
            if held.firm and held.service.signal.service is ServiceType.VOLTAGE_CONTROL
        }

        def seen(manager: str, state: UserState) -> UserState:
            order = taken.get(state.user_id)
            if order is None:
                return self._callable(manager, state)
            return _inflexible(state, order.baseline_kw + order.power_kw)

        users = self.view.by_manager(self._managers, seen)
        if not users:
            return False
        self._told_at = self._agent.now()
        for flexibility in dict.fromkeys(self._agent.subscriptions(FlexibilitySubscription)):
            information = FlexibilityInformation(
                request_id=flexibility.request_id,
                timestamp=self._told_at,
                service=ServiceType.RES_CURTAILMENT,
                start=start,
                users=users,
            )
            await self._agent.publish(FlexibilitySubscription, information, flexibility.__eq__)
        return True

    def _callable(self, manager: str, state: UserState) -> UserState:
        return state if self._may_be_called(manager) else _inflexible(state, state.baseline_kw)

    def _measured(self, quarter: datetime) -> Measurements | None:
        """What the managers that took part in a curtailment service measured together in the quarter of an hour before;
        None where there was no such service, or they have told nothing of it."""
        served = self._under_way(ServiceType.RES_CURTAILMENT, quarter)
        managers = sorted({manager for service in served for manager in service.orders})
        told = [news for m in managers if (news := self.view.measured.newest(m)) is not None and news.end == quarter]
        if not told:
            return None
        return Measurements(
            request_id=self._agent.name,
            timestamp=self._agent.now(),
            source=self._agent.name,
            start=quarter - QUARTER,
            end=quarter,
            production_kw=round(sum(news.production_kw for news in told), 3),
            ev_kw=round(sum(news.ev_kw for news in told), 3),
            p_kw=round(sum(news.p_kw for news in told), 3),
            q_kvar=round(sum(news.q_kvar for news in told), 3),
            forecast_kw=round(sum(news.forecast_kw for news in told), 3),
            users=self.view.by_manager(managers, self._callable),
        )

    def _under_way(self, kind: ServiceType, quarter: datetime) -> list[FoService]:
        """The services of that kind that ran in some part of the quarter of an hour before `quarter`."""
        began = quarter - QUARTER
        return [
            s
            for s in self._services()
            if s.agreed and s.signal.service is kind and s.signal.start < quarter and s.end > max(s.signal.start, began)
        ]


def _inflexible(state: UserState, baseline_kw: float) -> UserState:
    highest = None if state.highest_kw is None else state.highest_kw + baseline_kw - state.baseline_kw
    return state.model_copy(
        update={"baseline_kw": baseline_kw, "highest_kw": highest, "increase_kw": 0.0, "decrease_kw": 0.0}
    )
