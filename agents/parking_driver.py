"""The EV owner who parks at a V2X manager's lot, and hears how the vehicle takes part in frequency control."""

from __future__ import annotations

from typing import Any

from agents.ev_owner import EvOwner
from agents.fcr_news import FcrNews
from behaviours.swarm import Swarm


class ParkingDriver(EvOwner):
    """D5.1 section 3.7: "the EV owners are informed of the FCR services participation status through the digital
    platform allowing them to monitor the status of their vehicle (ID 7.2)", where their operator offers the service."""

    def __init__(self, jid: str, password: str, swarm: Swarm, *, operator: str, **options: Any) -> None:
        super().__init__(jid, password, swarm, operator=operator, **options)
        self.fcr_news = FcrNews(self, operator)

    async def course(self) -> None:
        """Asks for the news once, then comes and goes."""
        await self.fcr_news.begin()
        await super().course()
