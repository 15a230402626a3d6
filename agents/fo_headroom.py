"""What the DSOs say about the room behind their feeders (4.x.1), and offers cut to it.

A service of the TSO raises consumption wherever vehicles are; the DSO tells each quarter of an hour where that would
break a voltage. A DSO that tells nothing sets no bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from agents.actor import Actor
from agents.decisions.selection import LEAST_ORDER_KW, choose
from agents.quarter_cycle import ANSWER_TIME
from protocols.exchanges.ev_services import EvOffer
from protocols.exchanges.voltage_services import Headroom, HeadroomSubscription
from protocols.roles import Role

Offers = dict[str, tuple[EvOffer, ...]]


class HeadroomDesk:
    """Hears the DSOs in the name of the FO. kW >= 0 by feeder, for the quarter of an hour that was told last."""

    def __init__(self, agent: Actor) -> None:
        self._agent = agent
        self._told: dict[str, Headroom] = {}
        self._asked: set[str] = set()

    async def subscribe(self) -> None:
        """Asks the DSOs that are new; one that does not serve this is not asked again."""
        entries = await self._agent.search(role=Role.DSO)
        await asyncio.gather(*(self._listen_to(entry.jid) for entry in entries if entry.jid not in self._asked))

    async def _listen_to(self, dso: str) -> None:
        self._asked.add(dso)
        agent, now = self._agent, self._agent.now()
        topic = HeadroomSubscription(request_id=f"{agent.name}/{dso.partition('@')[0]}/4.x.1", timestamp=now)
        await agent.subscribe(topic, to=dso, on_inform=partial(self._hear, dso), reply_by=now + ANSWER_TIME)

    def _hear(self, dso: str, headroom: Headroom) -> None:
        before = self._told.get(dso)
        if before is None or headroom.timestamp > before.timestamp:
            self._told[dso] = headroom

    def of(self, feeder: str, start: datetime) -> float | None:
        """The room behind a feeder in the quarter from `start`, None where nobody has bounded it."""
        rooms = [
            each.increase_kw
            for told in self._told.values()
            if told.start == start
            for each in told.feeders
            if each.feeder == feeder
        ]
        return min(rooms, default=None)

    def within(
        self, start: datetime, offers: Offers, feeders: Mapping[str, Sequence[str]], served_kwh: Mapping[str, float]
    ) -> Offers:
        """The offers of more consumption, cut to the room behind each feeder; `feeders`: who was called there."""
        kept = dict(offers)
        for feeder, managers in feeders.items():
            room = self.of(feeder, start)
            mine = {manager: offers[manager] for manager in managers if manager in offers}
            if room is None or sum(each.power_kw for offer in mine.values() for each in offer) <= room:
                continue
            chosen = choose(mine, room, None, None, served_kwh) if room >= LEAST_ORDER_KW else {}
            for manager, offer in mine.items():
                taken = {order.user_id: order.power_kw for order in chosen.get(manager, ())}
                kept[manager] = tuple(_cut(each, taken[each.user_id]) for each in offer if each.user_id in taken)
        return {manager: offer for manager, offer in kept.items() if offer}


def _cut(offer: EvOffer, power_kw: float) -> EvOffer:
    """The offer with no more than this power, and the energy in proportion."""
    if power_kw >= offer.power_kw:
        return offer
    energy = round(offer.energy_kwh * power_kw / offer.power_kw, 4)
    return offer.model_copy(update={"power_kw": power_kw, "energy_kwh": energy})
