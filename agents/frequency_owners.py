"""The owners' part in frequency control: what they hear (D5.1 3.7, exchange 7.2), and what they are paid."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial
from operator import is_

from agents.decisions.money import cents
from agents.frequency_portfolio import FrequencyPortfolio
from agents.frequency_terms import ANSWER_TIME, SECOND
from agents.paying import remunerate
from behaviours.answering import Agree, Incoming, Refuse, answers, refusal
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.frequency_services import FcrParticipation, FcrStatus, FcrStatusSubscription
from protocols.exchanges.plain import Done
from protocols.exchanges.vocabulary import ServiceType


class FrequencyOwners(FrequencyPortfolio):
    """D5.1 3.7: "the EV owners are informed of the FCR services participation status ... (ID 7.2)"."""

    @answers(FcrStatusSubscription)
    async def on_fcr_status_subscription(self, topic: FcrStatusSubscription, incoming: Incoming) -> Agree | Refuse:
        """7.2: the owner hears of the vehicle each quarter of an hour, and when its status changes."""
        if self.fcr is None:
            return refusal("no-service", "this lot takes no part in frequency control")
        if self._watchers.get(topic.request_id, incoming.sender) != incoming.sender:
            return refusal("used-reference", f"{topic.request_id} is another owner's")
        self._watchers[topic.request_id] = incoming.sender
        return Agree(Done(reference=topic.request_id))

    async def _tell_owners(self) -> None:
        if self._told_at is not None and self._told_at >= self.now():
            await self.clock.sleep_until(self._told_at + SECOND)
        else:
            await self.clock.sleep_until(self.now(), priority=50)
        self._telling, self._told_at = False, self.now()
        for topic in self.subscriptions(FcrStatusSubscription):
            owner = self._watchers.get(topic.request_id)
            for charger_id in self.desk.chargers:
                if self._owner(charger_id) == owner:
                    status = self._fcr_status(charger_id, topic.request_id)
                    await self.publish(FcrStatusSubscription, status, partial(is_, topic))
                    break

    def _fcr_status(self, charger_id: str, request_id: str) -> FcrStatus:
        now = self.now()
        reading, unit = self.desk.reading(charger_id), self._control.units.get(charger_id)
        status, reason = FcrParticipation.IDLE, None
        vehicle = self.desk.parked(charger_id, now)
        if unit is not None:
            status = FcrParticipation.TESTING if self.test is not None else FcrParticipation.PARTICIPATING
        elif charger_id in self.left_out:
            status, reason = FcrParticipation.LEFT_OUT, self.left_out[charger_id]
        elif charger_id in self._served and vehicle is not None and vehicle.energy_kwh < vehicle.required_kwh - 0.05:
            status = FcrParticipation.CHARGING_BEFORE_DEPARTURE
        return FcrStatus(
            request_id=request_id,
            timestamp=now,
            charger_id=charger_id,
            status=status,
            product=None if unit is None else self._terms.product,
            capacity_kw=0.0 if unit is None else round(unit.capacity_kw, 3),
            power_kw=0.0 if reading is None else round(reading.power_kw, 3),
            soc_percent=None if reading is None or reading.soc_percent is None else round(reading.soc_percent, 2),
            earnings_eur=cents(Decimal(repr(max(0.0, self._earned(charger_id))))),
            reason=reason,
        )

    def _owner(self, charger_id: str) -> str | None:
        return self.drivers.get(charger_id) or self.desk.owner_of(charger_id)

    def _earned(self, charger_id: str) -> float:
        """What its owner has earned so far, EUR."""
        wear = self._control.throughput_kwh.get(charger_id, 0.0) * self.lot.wear_eur_per_kwh
        return self.earnings.capacity_eur.get(charger_id, 0.0) + wear

    async def _pay_owners(self, first: datetime) -> None:
        """3.x.4: each owner's share of the capacity, and the wear of what went through the battery; once for the night
        that began at `first`, with all since the one before."""
        booked = {p.transaction_id: p.amount_eur for p in self.ledger.statement(self.name)}
        for hour, sold in self.sold.items():
            if (
                hour >= first and sold.settlement is None and sold.ended
            ):  # the TSO has paid what was served, in the ledger only
                part = float(max(Decimal(0), booked.get(sold.offer.offer_id, Decimal(0))))
                self.earnings.share(part * self._terms.owners_share, sold.borne_kws)
        for charger_id in sorted({*self.earnings.capacity_eur, *self._control.throughput_kwh}):
            owner = self._owner(charger_id)
            before_kwh, before_eur = self._paid.get(charger_id, (0.0, Decimal(0)))
            through_kwh = self._control.throughput_kwh.get(charger_id, 0.0)
            kwh, amount = through_kwh - before_kwh, cents(Decimal(repr(self._earned(charger_id)))) - before_eur
            if owner is None or amount <= 0:
                continue
            due = Remuneration(
                remuneration_id=f"{self.portfolio_id}-{charger_id}-{first:%Y%m%d}",
                service=ServiceType.FREQUENCY_CONTAINMENT,
                reference=self.portfolio_id,
                ev_owner=owner,
                start=first,
                end=max(first + SECOND, self.now()),
                energy_kwh=round(kwh, 3),
                amount_eur=amount,
            )
            if await remunerate(self, self.ledger, due, answer_within=ANSWER_TIME):
                self._paid[charger_id] = through_kwh, before_eur + amount
