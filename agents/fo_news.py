"""What the flexibility operator hears of the V2X managers each quarter of an hour, and tells TSO and DSO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial

from agents.actor import Actor
from agents.fleet_view import FleetView
from agents.fo_service import FoService
from agents.periods import QUARTER
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Subscribed
from protocols.exchanges.content import Content
from protocols.exchanges.res_curtailment import (
    FlexibilityInformation,
    FlexibilitySubscription,
    Measurements,
    MeasurementsSubscription,
)
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import ParticipationInfo, ParticipationSubscription
from protocols.roles import Role


class FleetNews:
    """Subscribes in the name of the FO, and publishes to who subscribed there. `services`: all that it keeps."""

    def __init__(self, agent: Actor, services: Callable[[], Collection[FoService]]) -> None:
        self.view = FleetView(agent.now, agent.notice)
        self._agent = agent
        self._services = services
        self._managers: set[str] = set()

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
        if isinstance(news, Measurements):
            self.view.measured.take(manager, news)
        elif isinstance(news, ParticipationInfo):
            self.view.participation.take(manager, news)

    async def tell(self, quarter: datetime) -> None:
        """2.2, 2.1 and 4.1.4 at the beginning of `quarter`; nothing where no manager has told anything."""
        users = self.view.by_manager(self._managers)
        if not users:
            return
        for flexibility in dict.fromkeys(self._agent.subscriptions(FlexibilitySubscription)):
            information = FlexibilityInformation(
                request_id=flexibility.request_id,
                timestamp=self._agent.now(),
                service=ServiceType.RES_CURTAILMENT,
                start=quarter + QUARTER,
                users=users,
            )
            await self._agent.publish(FlexibilitySubscription, information, flexibility.__eq__)
        if (measured := self._measured(quarter)) is not None:
            for topic in dict.fromkeys(self._agent.subscriptions(MeasurementsSubscription)):
                content = measured.model_copy(update={"request_id": topic.request_id})
                await self._agent.publish(MeasurementsSubscription, content, topic.__eq__)
        running = self._under_way(ServiceType.VOLTAGE_CONTROL, quarter)
        buses = self.view.by_bus(self._managers)
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
            users=self.view.by_manager(managers),
        )

    def _under_way(self, kind: ServiceType, quarter: datetime) -> list[FoService]:
        """The services of that kind that ran in some part of the quarter of an hour before `quarter`."""
        began = quarter - QUARTER
        return [
            s
            for s in self._services()
            if s.agreed and s.signal.service is kind and s.signal.start < quarter and s.end > max(s.signal.start, began)
        ]
