"""How a manager asks its drivers (D5.1 3.3, 3.2) and pays them (3.x.4): in the order of the merit order list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from agents.actor import Actor
from agents.congestion_book import SAME_KW, Help, Offered, Serving, energy_kwh
from agents.decisions.merit_order import Activation
from agents.decisions.money import cents
from agents.ledger import Ledger
from agents.paying import remunerate
from agents.periods import QUARTER
from agents.quarter_cycle import ANSWER_TIME
from agents.v2x_desk import V2xDesk
from behaviours.initiating import Tender
from behaviours.outcomes import CalledOff, Informed, Proposed
from protocols.exchanges.congestion_services import (
    CustomerAnswer,
    CustomerAward,
    CustomerOption,
    CustomerRequest,
    Remuneration,
)
from protocols.exchanges.plain import Cancellation

WAVE_TIME = timedelta(minutes=1)
"""So long a driver may take to answer."""
PRICE = Decimal("0.000001")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Willing:
    """A driver who has agreed, and to what; `tender` takes the award or the rejection."""

    owner: str
    activation_id: str
    part: Activation
    tender: Tender


async def ask(
    actor: Actor, offered: Offered, owner: str, options: Sequence[tuple[str, Activation]], by: datetime
) -> Willing | None:
    """3.2 with one driver: what it agrees to; None where it declines, is silent, or answers what was not asked."""
    call = offered.call
    request = CustomerRequest(
        request_id=call.request_id,
        charger_id=options[0][1].charger_id,
        service=call.service,
        start=call.start,
        duration_minutes=call.duration_minutes,
        options=tuple(
            CustomerOption(
                activation_id=activation_id,
                kind=part.kind,
                power_kw=round(part.mean_kw, 3),
                energy_kwh=round(part.energy_kwh, 4),
                price_eur_per_kwh=Decimal(repr(part.driver_eur_per_kwh)).quantize(PRICE),
                departure_soc_percent=round(part.departure_soc_percent, 2),
            )
            for activation_id, part in options
        ),
        reduction_price_eur_per_kwh=call.reduction_price_eur_per_kwh,
        discharging_price_eur_per_kwh=call.discharging_price_eur_per_kwh,
    )
    tender = await actor.call_for_proposals(request, to=[owner], reply_by=by)
    match tender.proposals:
        case (Proposed(content=CustomerAnswer(activation_id=taken)),) if taken in dict(options):
            return Willing(owner, taken, dict(options)[taken], tender)
    return None


async def engage(help_: Help, willing: Willing, reduction_kw: tuple[float, ...], now: datetime) -> Serving | None:
    """What one driver is to be awarded: so much, by market period. None where it is so little that it is not needed:
    the driver hears it."""
    energy = energy_kwh(reduction_kw)
    mean = energy / (len(reduction_kw) * (QUARTER / _HOUR))
    if mean <= SAME_KW:
        await willing.tender.award({}, done_by=now + WAVE_TIME)
        return None
    content = CustomerAward(
        request_id=help_.id,
        activation_id=willing.activation_id,
        power_kw=round(mean, 3),
        benefit_eur=cents(Decimal(repr(willing.part.driver_eur_per_kwh * energy))),
    )
    return Serving(willing.part, reduction_kw, willing.owner, content, willing.tender)


async def award(help_: Help, serving: Serving) -> str | None:
    """The award, and the driver's part until its end; why the driver does not hold to it, None where it does."""
    result = await serving.tender.award({serving.owner: serving.award}, done_by=help_.end + WAVE_TIME)
    outcome = result[serving.owner]
    return None if isinstance(outcome, Informed | CalledOff) else str(outcome)


async def tell_over(actor: Actor, help_: Help, serving: Serving, reason: str) -> None:
    """FIPA's cancel to a driver whose part ends before it was to end. A driver who has nothing to stop any more, or who
    does not answer, is left alone: the charger is set by the manager."""
    words = Cancellation(reference=help_.id, reason=reason)
    await serving.tender.cancel(serving.owner, words, actor.now() + WAVE_TIME)


def delivered_kwh(desk: V2xDesk, help_: Help, serving: Serving, ended: datetime) -> float:
    """By the charger's register: what it drew less than its plan, in each market period at most what was awarded."""
    total = 0.0
    until = min(ended, serving.ended or ended)
    for k, quarter in help_.quarters():
        end = min(quarter + QUARTER, until)
        metered = desk.mean_kw(serving.part.charger_id, quarter, end) if end > quarter else None
        if metered is not None:
            own = serving.part.power_kw[k] + serving.part.reduction_kw[k]
            total += min(max(0.0, own - metered), serving.reduction_kw[k]) * ((end - quarter) / _HOUR)
    return total


async def pay(actor: Actor, ledger: Ledger, help_: Help, serving: Serving, kwh: float, ended: datetime) -> None:
    """Books what the driver is due for so much energy, and tells the driver (3.x.4)."""
    promised = float(serving.award.benefit_eur)
    share = min(1.0, kwh / energy_kwh(serving.reduction_kw))
    amount = cents(Decimal(repr(promised * share)))
    if amount <= 0:
        return
    due = Remuneration(
        remuneration_id=f"{actor.name}-{help_.id}-{serving.part.charger_id}",
        service=help_.offered.call.service,
        reference=help_.id,
        ev_owner=serving.owner,
        start=help_.start,
        end=ended,
        energy_kwh=round(kwh, 4),
        amount_eur=amount,
    )
    await remunerate(actor, ledger, due, answer_within=ANSWER_TIME)


async def pay_all(actor: Actor, ledger: Ledger, desk: V2xDesk, help_: Help, ended: datetime) -> None:
    """Tells the drivers of an early end; then pays every driver who served, also those who had to stop."""
    if ended < help_.end:
        reason = "the network has room again"
        await asyncio.gather(*(tell_over(actor, help_, each, reason) for each in help_.serving.values()))
    served = [*help_.serving.values(), *help_.dropped]
    due = [(each, delivered_kwh(desk, help_, each, ended)) for each in served]
    await asyncio.gather(*(pay(actor, ledger, help_, each, kwh, ended) for each, kwh in due))
