"""Keeping one service of the flexibility operator going: asked for, renewed each quarter of an hour, called off.

What the TSO (2.3) and the DSO (4.1.1) have in common. D5.1 3.2: "the service is updated every 15 minutes. When the
service is no longer needed, a deactivation signal should be sent": FIPA's cancel in the conversation that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.actor import Actor
from agents.quarter_cycle import ANSWER_TIME, FO_TIME, SERVICE_LASTS
from behaviours.outcomes import Agreed, Failed, Informed, Silent, has_stopped
from protocols.exchanges.content import Content
from protocols.exchanges.ev_services import ServiceAnswer, ServiceSignal
from protocols.exchanges.plain import Cancellation
from protocols.exchanges.vocabulary import SignalType

TELL_AGAIN = timedelta(hours=1)
"""That a service is refused is told at once, and then so often."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What every request for a service says alike: its id, what it renews (None: nothing), from when and until when."""

    service_id: str
    renews: str | None
    asked: datetime
    start: datetime
    end: datetime
    to: str

    @property
    def fields(self) -> dict[str, Any]:
        """These as the fields of a ServiceSignal; `user_id` is the flexibility operator."""
        return {
            "timestamp": self.asked,
            "service_id": self.service_id,
            "user_id": self.to,
            "start": self.start,
            "duration_minutes": int((self.end - self.start).total_seconds() // 60),
            "signal": SignalType.ACTIVATION if self.renews is None else SignalType.RENEWAL,
            "renews": self.renews,
        }


@dataclass(slots=True, eq=False)
class KeptService:
    """A service that the FO agreed to. `agreed_kw`: the change that it can bring about, signed as it was asked for.

    `end`: when it is over: as asked for, when its successor starts, when it is called off, or when it failed. `report`:
    what the FO said at its end; `over`: nothing more comes.
    """

    signal: ServiceSignal
    agreed_kw: float
    end: datetime
    agreed: Agreed = field(repr=False)
    called_off: str | None = None
    report: Content | None = None
    over: bool = False

    @property
    def service_id(self) -> str:
        return self.signal.service_id


class ServiceKeeper:
    """At most one service at a time, between one asker and the flexibility operator.

    `what` names it in notices, `next_id` gives each request its id, no service outlasts `until`. `services` are all
    that were agreed to, oldest first.
    """

    def __init__(self, asker: Actor, what: str, next_id: Callable[[], str], until: datetime) -> None:
        self.asker = asker
        self.what = what
        self.until = until
        self.services: list[KeptService] = []
        self._next_id = next_id
        self._told: datetime | None = None
        self._untold = 0

    def running(self, at: datetime) -> KeptService | None:
        """The service that is under way at that time, past or future, as far as is known now."""
        for service in reversed(self.services):
            if service.signal.start <= at < service.end:
                return service
        return None

    async def ask(
        self, fo: str, start: datetime, signal: Callable[[Ticket], ServiceSignal], *, sign: int
    ) -> KeptService | None:
        """Asks for the service from `start` on, and returns it where the FO agrees; else tells why not.

        `signal` makes the request of a ticket; its power has the sign `sign`. It renews the service that runs at
        `start` with the same sign. One that it does not renew, or that the FO does not renew, is called off at `start`.
        """
        before, now = self.running(start), self.asker.now()
        renewed = before if before is not None and before.signal.power_kw * sign > 0 else None
        ticket = Ticket(
            service_id=self._next_id(),
            renews=None if renewed is None else renewed.service_id,
            asked=now,
            start=start,
            end=min(start + SERVICE_LASTS, self.until),
            to=fo,
        )
        request = signal(ticket)
        if before is not None and renewed is None:
            self._call_off(before, start, "the need is now the opposite one")
        outcome = await self.asker.request(request, to=fo, reply_by=now + FO_TIME, done_by=ticket.end + ANSWER_TIME)
        if not isinstance(outcome, Agreed):
            self._tell_refused(f"{request.power_kw:.1f} kW from {start:%H:%M} UTC is not served: {outcome}")
            if renewed is not None:
                self._call_off(renewed, start, "it was not renewed")
            return None
        if renewed is not None:
            renewed.end = min(renewed.end, start)
        service = KeptService(request, self._agreed_kw(request, outcome), ticket.end, outcome)
        self.services.append(service)
        self.asker.spawn(self._follow(service), f"follows {service.service_id}")
        return service

    def _tell_refused(self, words: str) -> None:
        """A notice, but none within `TELL_AGAIN` of the last; how many were left out is said in the next."""
        now = self.asker.now()
        if self._told is not None and now - self._told < TELL_AGAIN:
            self._untold += 1
            return
        before = f" ({self._untold} more since {self._told:%H:%M} UTC)" if self._told and self._untold else ""
        self.asker.notice(f"{self.what} of {words}{before}")
        self._told, self._untold = now, 0

    def stop(self, start: datetime, reason: str) -> None:
        """Calls the service off at `start` where one runs then; without one there is nothing to call off."""
        if (service := self.running(start)) is not None:
            self._call_off(service, start, reason)

    def _call_off(self, service: KeptService, at: datetime, reason: str) -> None:
        service.end, service.called_off = at, reason
        self.asker.spawn(self._cancel(service, at, reason), f"calls {service.service_id} off")

    async def _cancel(self, service: KeptService, at: datetime, reason: str) -> None:
        await self.asker.clock.sleep_until(at)
        cancellation = Cancellation(reference=service.service_id, reason=reason)
        outcome = await service.agreed.cancel(cancellation, self.asker.now() + ANSWER_TIME)
        if not has_stopped(outcome):
            self.asker.notice(f"{self.what}: {service.service_id} is not called off: {outcome}")

    async def _follow(self, service: KeptService) -> None:
        """Waits for what becomes of the service: done, superseded, failed, or called off."""
        outcome = await service.agreed.result()
        service.over, service.end = True, min(service.end, self.asker.now())
        if isinstance(outcome, Informed):
            service.report = outcome.content
        elif not (isinstance(outcome, Silent) and service.called_off is not None):
            happened = "fails" if isinstance(outcome, Failed) else "is left without a result"
            self.asker.notice(f"{self.what}: {service.service_id} {happened}: {outcome}")

    def _agreed_kw(self, request: ServiceSignal, outcome: Agreed) -> float:
        """What the FO says that it can bring about; what makes no sense counts as nothing."""
        answer = outcome.content
        if not isinstance(answer, ServiceAnswer) or answer.service_id != request.service_id:
            self.asker.notice(f"{self.what}: {outcome.sender} agrees to {request.service_id} without saying to what")
            return 0.0
        kw = answer.available_power_kw
        if kw * request.power_kw < 0:
            self.asker.notice(
                f"{self.what}: {outcome.sender} agrees to {request.service_id} with {kw:.1f} kW, "
                f"where {request.power_kw:.1f} kW was asked for"
            )
            return 0.0
        return kw
