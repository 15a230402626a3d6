"""A driver's side of asking for charging choices, picking one and calling it off (IDs 5.2.2 to 5.2.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agents.actor import Actor
from agents.decisions.charging_options import option_of_choice
from agents.decisions.choice import Option
from agents.public_ports import Need
from behaviours.initiating import Tender
from behaviours.outcomes import CalledOff, Failed, Result
from protocols.exchanges.capacity_contracts import (
    ChargingChoice,
    ChargingChoices,
    ChargingRequest,
    ChargingSelection,
)
from protocols.exchanges.plain import Cancellation
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=5)
"""So long (scenario time) an operator may take to send choices, or to confirm a cancel."""
RECEIPT_TIME = timedelta(hours=1)
"""So long after the end of a session its receipt may take."""
GONE = ("taken", "expired", "late")
"""The codes of a failure that says: that choice is no longer to be had, others may be. `late` is the platform's."""

Outcome = Result | CalledOff


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A choice of one operator (`cpo`, its JID), on the need's stay of that number, as the driver sees it.

    It can be picked until `valid_until`.
    """

    cpo: str
    choice: ChargingChoice
    stay: int
    option: Option
    valid_until: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """What all operators answered to one request; `said` is why those who offer nothing do not."""

    need: Need
    request: ChargingRequest
    found: tuple[Found, ...]
    said: tuple[str, ...]
    tender: Tender | None = field(repr=False)

    async def decline(self, now: datetime) -> None:
        """Tells everybody that none is picked."""
        if self.tender is not None:
            await self.tender.award({}, done_by=now)


@dataclass(slots=True, eq=False)
class Booked:
    """A choice that was picked, and what becomes of it: `outcome` is done when its receipt, its failure or the
    confirmation of a cancel has come, or none in time."""

    need: Need
    request_id: str
    found: Found
    outcome: asyncio.Task[Outcome]
    _tender: Tender = field(repr=False)

    @property
    def choice(self) -> ChargingChoice:
        return self.found.choice

    async def cancel(self, reason: str, reply_by: datetime) -> Result:
        """FIPA's cancel of what was asked for, and so of what was booked; see `outcomes.has_stopped`."""
        words = Cancellation(reference=self.request_id, reason=reason)
        return await self._tender.cancel(self.found.cpo, words, reply_by)


async def ask(driver: Actor, need: Need, request_id: str, stays: Sequence[int]) -> Choices:
    """5.2.2 to every operator in the directory, for these of the need's stays. What breaks the rules of 5.2.3 is left
    out and noticed."""
    request = ChargingRequest(
        request_id=request_id,
        timestamp=driver.now(),
        soc_percent=need.soc_percent,
        capacity_kwh=need.capacity_kwh,
        energy_kwh=need.energy_kwh,
        max_charge_kw=need.max_charge_kw,
        within_km=need.within_km,
        stays=tuple(need.stays[number] for number in stays),
    )
    operators = [entry.jid for entry in await driver.search(role=Role.CPO)]
    if not operators:
        return Choices(need, request, (), ("the directory knows no operator",), None)
    tender = await driver.call_for_proposals(request, to=operators, reply_by=driver.now() + ANSWER_TIME)
    found: list[Found] = []
    said = [str(refusal) for refusal in tender.refusals] + [f"no answer from {each}" for each in tender.silent]
    for proposal in tender.proposals:
        content = proposal.content
        if proposal.faults or not isinstance(content, ChargingChoices):
            said.append(f"{proposal.sender} offers what was not asked for: {'; '.join(proposal.faults)}")
            driver.notice(said[-1])
            continue
        found += [
            Found(
                cpo=proposal.sender,
                choice=choice,
                stay=stays[choice.stay],
                option=option_of_choice(need, stays[choice.stay], choice),
                valid_until=content.valid_until,
            )
            for choice in content.choices
            if choice.stay < len(stays)
        ]
    return Choices(need, request, tuple(found), tuple(said), tender)


def book(driver: Actor, choices: Choices, found: Found) -> Booked:
    """5.2.4: accepts this choice and rejects the others; the session's outcome is waited for in a task."""
    assert choices.tender is not None
    tender, need = choices.tender, choices.need
    selection = ChargingSelection(
        request_id=choices.request.request_id, choice_id=found.choice.choice_id, timestamp=driver.now()
    )

    async def outcome() -> Outcome:
        done = await tender.award({found.cpo: selection}, done_by=found.choice.end + RECEIPT_TIME)
        return done[found.cpo]

    task = driver.spawn(outcome(), f"session {choices.request.request_id}")
    return Booked(need, choices.request.request_id, found, task, tender)


def is_gone(outcome: Outcome) -> bool:
    """Whether the choice was taken by another driver, or picked too late."""
    return isinstance(outcome, Failed) and getattr(outcome.content, "code", None) in GONE
