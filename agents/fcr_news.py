"""What a driver hears of the vehicle in frequency control (7.2)."""

from __future__ import annotations

from agents.actor import Actor
from agents.frequency_terms import ANSWER_TIME, SERVICE
from agents.news import News
from behaviours.outcomes import Subscribed
from protocols.exchanges.frequency_services import FcrStatus, FcrStatusSubscription


class FcrNews:
    """The EV owner's subscription. D5.1 section 3.7: "the EV owners are informed of the FCR services participation
    status through the digital platform allowing them to monitor the status of their vehicle".

    `changes` has one news for each change of status or product, oldest first.
    """

    def __init__(self, owner: Actor, operator: str) -> None:
        self.operator = operator
        self.changes: list[FcrStatus] = []
        self._owner = owner
        self._news: News[FcrStatus] = News("7.2", owner.now, owner.notice)

    @property
    def newest(self) -> FcrStatus | None:
        """Where the vehicle stands, None where nothing was told."""
        return self._news.newest(self.operator)

    async def begin(self) -> bool:
        """Subscribes where the operator is known to offer the service; whether it did."""
        owner = self._owner
        if not await owner.search(service=SERVICE, jid=self.operator):
            return False
        topic = FcrStatusSubscription(request_id=f"{owner.name}-7.2", timestamp=owner.now())
        outcome = await owner.subscribe(
            topic, to=self.operator, on_inform=self.on_fcr_status, reply_by=owner.now() + ANSWER_TIME
        )
        if not isinstance(outcome, Subscribed):
            owner.notice(f"{self.operator} does not tell how the vehicle takes part in frequency control: {outcome}")
            return False
        return True

    def on_fcr_status(self, status: FcrStatus) -> None:
        """7.2: keeps it where it is news."""
        before = self.newest
        if not self._news.take(self.operator, status):
            return
        if before is None or (before.status, before.product) != (status.status, status.product):
            self.changes.append(status)
