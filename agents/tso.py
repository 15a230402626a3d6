"""The transmission system operator: what it must know of the distribution grid, so that nothing is activated twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from agents.actor import Actor
from behaviours.outcomes import Subscribed
from behaviours.swarm import Swarm
from protocols.exchanges.activation import ActivatedResources, ActivatedResourcesSubscription
from protocols.exchanges.services import GridQuery, GridReading
from protocols.exchanges.vocabulary import ActivationStatus, GridQuantity
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=5)


class Tso(Actor):
    """D5.1 section 3.1.2: "the DSO informs the TSO about the activated flexibility resources in the distribution
    grid in order to avoid collision and double activation on the balancing market"."""

    role: ClassVar[Role] = Role.TSO

    def __init__(self, jid: str, password: str, swarm: Swarm) -> None:
        super().__init__(jid, password, swarm)
        self.activated: dict[str, ActivatedResources] = {}
        self.frequency_hz: float | None = None

    async def course(self) -> None:
        """Subscribes to every DSO's activations and to the frequency."""
        for dso in await self.search(role=Role.DSO):
            outcome = await self.subscribe(
                ActivatedResourcesSubscription(congestion_point=None),
                to=dso.jid,
                on_inform=self.on_activated_resources,
                reply_by=self.now() + ANSWER_TIME,
            )
            if not isinstance(outcome, Subscribed):
                self.notice(f"the DSO {dso.jid} does not tell of its activations: {outcome}")
        for sensor in await self.search(role=Role.ENVIRONMENT):
            await self.subscribe(
                GridQuery(quantity=GridQuantity.FREQUENCY),
                to=sensor.jid,
                on_inform=self.on_frequency,
                reply_by=self.now() + ANSWER_TIME,
            )

    def on_activated_resources(self, content: ActivatedResources) -> None:
        """1.x.4: notes the activation under its id; the newest word counts."""
        self.activated[content.activation_id] = content

    def on_frequency(self, content: GridReading) -> None:
        """The frequency that the sensor reads, in Hz."""
        self.frequency_hz = content.value

    def free_for_balancing(self, vpp: str, start: datetime, end: datetime) -> bool:
        """Whether the TSO may call this VPP between `start` and `end`: not while a DSO has its resources activated."""
        busy = (ActivationStatus.PLANNED, ActivationStatus.ACTIVE)
        return not any(
            a.vpp == vpp and a.status in busy and a.start < end and start < a.end for a in self.activated.values()
        )
