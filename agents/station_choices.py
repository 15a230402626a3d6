"""The choices that drivers were sent (5.2.3), and what becomes of the one that is picked (5.2.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from agents.decisions.station_bookings import Booking, BookingList
from agents.decisions.station_offers import Offer, distance_km, offers
from agents.periods import next_quarter, quarters
from agents.public_ports import StationSite
from agents.station_caps import StationCaps
from agents.station_control import Told
from agents.station_price_desk import StationPriceDesk
from agents.station_replanning import replanned
from behaviours.answering import Failure, Propose, Refuse, failure, refusal
from protocols.exchanges.capacity_contracts import (
    MOST_CHOICES,
    ChargingChoice,
    ChargingChoices,
    ChargingRequest,
    ChargingSelection,
)

GRACE = timedelta(minutes=5)
"""A pick that comes later than the choices hold is told so for this long; after that it is no part of anything."""
ROOM_KW = 1e-3


@dataclass(frozen=True, slots=True)
class Choices:
    """What one driver was sent: the request, the offers by choice id, and until when they hold."""

    request: ChargingRequest
    offers: Mapping[str, Offer]
    valid_until: datetime


class StationChoices:
    """What was offered to whom, by conversation, and what is booked, by station."""

    def __init__(
        self,
        name: str,
        stations: Mapping[str, StationSite],
        caps: StationCaps,
        prices: StationPriceDesk,
        holds_for: timedelta,
    ) -> None:
        self.bookings = {station_id: BookingList(station_id) for station_id in stations}
        self._name, self._stations, self._caps, self._prices = name, stations, caps, prices
        self._holds_for = holds_for
        self._sent: dict[str, Choices] = {}
        self._numbers = count(1)

    def offer(
        self, request: ChargingRequest, conversation: str, now: datetime, silent: Collection[str] = ()
    ) -> Propose | Refuse:
        """5.2.3: what each station near one of the stays can promise under its caps and at its prices; nothing at
        chargers that are `silent`."""
        near, found = False, []
        for number, stay in enumerate(request.stays):
            for site in self._stations.values():
                there = (site.latitude_deg, site.longitude_deg)
                if distance_km(stay.latitude_deg, stay.longitude_deg, *there) > request.within_km:
                    continue
                near = True
                answering = tuple(each for each in site.charger_ids if each not in silent)
                found += offers(
                    replace(site, charger_ids=answering) if silent else site,
                    self.bookings[site.station_id],
                    self._caps.of(site.station_id),
                    request.energy_kwh,
                    request.max_charge_kw,
                    number,
                    stay,
                    self._prices.price_at,
                    now,
                )
        if not found:
            what = "has room then" if near else f"is within {request.within_km:g} km"
            return refusal("no-choice", f"none of my stations {what}")
        others = self._thought_of(now)
        sent = {
            f"{self._name}-c{next(self._numbers)}": self._apart(offer, others[offer.station_id], silent)
            for offer in found[:MOST_CHOICES]
        }
        choices = Choices(request, sent, now + self._holds_for)
        self._sent[conversation] = choices
        content = ChargingChoices(
            request_id=request.request_id,
            timestamp=now,
            valid_until=choices.valid_until,
            choices=tuple(self._as_choice(choice_id, offer) for choice_id, offer in sent.items()),
        )
        return Propose(content, reply_by=choices.valid_until + GRACE)

    def pick(
        self,
        selection: ChargingSelection,
        conversation: str,
        now: datetime,
        deaf: Callable[[str, datetime], Mapping[str, Told]],
    ) -> Booking | Failure:
        """5.2.4: the booking, or why there is none. The other choices of that driver are free again. `deaf`: the
        sessions of a station whose charger does not answer; these are not planned anew."""
        sent = self._sent.pop(conversation, None)
        offer = None if sent is None else sent.offers.get(selection.choice_id)
        if sent is None or offer is None:
            return failure("unknown-choice", f"{selection.choice_id} is none of the choices")
        if now > sent.valid_until:
            return failure("expired", f"the choices could be picked until {sent.valid_until:%H:%M} UTC")
        if now >= offer.start:
            return failure("expired", f"the session would have begun at {offer.start:%H:%M} UTC")
        booking = offer.booking(selection.choice_id, sent.request.max_charge_kw)
        bookings = self.bookings[offer.station_id]
        if self._taken(bookings, offer.charger_id, offer):
            until = f"{offer.start:%H:%M} to {offer.end:%H:%M} UTC"
            return failure("taken", f"{offer.charger_id} has been taken meanwhile from {until}")
        bookings.add(booking)
        if not self._fits(bookings, booking):
            site, cap = self._stations[offer.station_id], self._caps.of(offer.station_id)
            changed = replanned(site, bookings, cap, next_quarter(now), deaf(offer.station_id, now))
            if isinstance(changed, str):
                bookings.remove(booking.booking_id)
                return failure("taken", f"the power of {offer.station_id} has been promised meanwhile: {changed}")
            for other in changed:
                bookings.replace(other)
        return bookings.get(booking.booking_id) or booking

    def drop(self, conversation: str) -> None:
        """The driver has picked another operator's choice, or none."""
        self._sent.pop(conversation, None)

    def forget(self, now: datetime) -> None:
        """Leaves out what nobody can pick any more."""
        self._sent = {c: sent for c, sent in self._sent.items() if sent.valid_until + GRACE >= now}

    def _as_choice(self, choice_id: str, offer: Offer) -> ChargingChoice:
        site = self._stations[offer.station_id]
        return ChargingChoice(
            choice_id=choice_id,
            stay=offer.stay,
            station_id=offer.station_id,
            charger_id=offer.charger_id,
            latitude_deg=site.latitude_deg,
            longitude_deg=site.longitude_deg,
            power_kw=max(offer.powers_kw),
            energy_kwh=offer.energy_kwh,
            price_eur_per_kwh=offer.price_eur_per_kwh,
            amount_eur=offer.amount_eur,
            start=offer.start,
            end=offer.end,
        )

    def _thought_of(self, now: datetime) -> defaultdict[str, list[Offer]]:
        """By station: what others were offered and can still pick."""
        found = defaultdict[str, list[Offer]](list)
        for sent in self._sent.values():
            if sent.valid_until >= now:
                for offer in sent.offers.values():
                    found[offer.station_id].append(offer)
        return found

    def _apart(self, offer: Offer, others: Sequence[Offer], silent: Collection[str]) -> Offer:
        """The same session at a charger that nobody else is thinking of, where the station has one."""
        thought_of = {each.charger_id for each in others if each.start < offer.end and each.end > offer.start}
        if offer.charger_id not in thought_of:
            return offer
        for charger_id in self._stations[offer.station_id].charger_ids:
            if charger_id in silent or charger_id in thought_of:
                continue
            if not self._taken(self.bookings[offer.station_id], charger_id, offer):
                return replace(offer, charger_id=charger_id)
        return offer

    @staticmethod
    def _taken(bookings: BookingList, charger_id: str, offer: Offer) -> bool:
        return any(b.charger_id == charger_id and b.start < offer.end and b.end > offer.start for b in bookings)

    def _fits(self, bookings: BookingList, booking: Booking) -> bool:
        """Whether the station keeps its caps with all that is booked while this session lasts."""
        powers = bookings.power_kw(booking.start, quarters(booking.start, booking.end))
        cap = self._caps.of(booking.station_id)
        times = (booking.start + k * (booking.end - booking.start) / len(powers) for k in range(len(powers)))
        return all(kw <= cap(at) + ROOM_KW for kw, at in zip(powers, times, strict=True))
