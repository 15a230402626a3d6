"""BUC 5, dynamic V2X capacity contracts: how a cap on a charging station is bought, activated, kept and settled.

Source: D5.1 section 3.5, Tables 7 and 8: "products where an aggregator or prosumer offer to cap their available
capacity in exchange for incentives or compensation". One curve, one bid and one contract are of one station. A price is
EUR for the whole contract: for keeping the station at or under the limit in the window of each day on which the DSO
activates it. Registration, settlement and the receipt of a session have no number there; they are 5.x.1 to 5.x.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from protocols.exchanges.content import Content, Part, ordered
from protocols.units import (
    Eur,
    EurPerKwh,
    Identifier,
    Jid,
    Kw,
    Latitude,
    Longitude,
    MagnitudeEur,
    MagnitudeKw,
    MagnitudeKwh,
    Minutes,
    Percent,
    PositiveKw,
    PositiveKwh,
    Text,
    Time,
)

ClockText = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):(00|15|30|45)$")]
"""A local time of the day at which a market period begins, HH:MM."""
Count = Annotated[int, Field(ge=0, le=10_000)]
MOST_POINTS = 64
MOST_STAYS = 8
MOST_CHOICES = 64


class Station(Part):
    """A charging station: where it is, what its connection carries, and how many chargers share it.

    `location` is the bus of the DSO's network.
    """

    station_id: Identifier
    location: Identifier
    latitude_deg: Latitude
    longitude_deg: Longitude
    connection_kw: PositiveKw
    chargers: Annotated[int, Field(ge=1, le=10_000)]


class StationRegistration(Content):
    """5.x.1, CPO to FMO: the stations with which it takes part in the capacity market."""

    exchange: Literal["5.x.1"] = "5.x.1"
    registration_id: Identifier
    timestamp: Time
    stations: tuple[Station, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.stations:
            yield "stations", "names none"
        if len({each.station_id for each in self.stations}) < len(self.stations):
            yield "stations", "names one twice"


class _Attributes(Content):
    """What both hops of the market's terms say: the contract, and the attributes that a bid curve must have.

    A contract runs from `period_start` until `period_end` (both local midnights); on each day of it on which the DSO
    activates it, at least `notice_minutes` before, the limit holds from `window_start` until `window_end` (local),
    on `most_activations` days at most. A curve has `least_points` to `most_points` limits, each a multiple of `step_kw`
    and none under `lowest_limit_kw`, and no price above `most_eur`. What is drawn above an activated limit costs
    `penalty_eur_per_kwh`. Bids are in by `gate_closure`.
    """

    terms_id: Identifier
    timestamp: Time
    gate_closure: Time
    period_start: Time
    period_end: Time
    window_start: ClockText
    window_end: ClockText
    most_activations: Count
    notice_minutes: Minutes
    least_points: Annotated[int, Field(ge=1, le=MOST_POINTS)]
    most_points: Annotated[int, Field(ge=1, le=MOST_POINTS)]
    step_kw: PositiveKw
    lowest_limit_kw: MagnitudeKw
    most_eur: MagnitudeEur
    penalty_eur_per_kwh: EurPerKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("period_start", "period_end", self)
        if self.window_end <= self.window_start:
            yield "window_end", "is not after window_start"
        if self.most_points < self.least_points:
            yield "most_points", "is less than least_points"


class AuctionTerms(_Attributes):
    """5.1.1: "the DSO sends the attributes of the bid curves required for participation in the local flexibility market
    to the FMO". `locations`: the buses whose stations may bid."""

    exchange: Literal["5.1.1"] = "5.1.1"
    locations: tuple[Identifier, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super().contradictions()
        if not self.locations:
            yield "locations", "names no place"
        if len(set(self.locations)) < len(self.locations):
            yield "locations", "names a place twice"


class AuctionCall(_Attributes):
    """5.1.2: "the FMO checks, approves and sends the attributes to the CPO", for one of its stations."""

    exchange: Literal["5.1.2"] = "5.1.2"
    call_id: Identifier
    dso: Jid
    station_id: Identifier
    location: Identifier


class CurvePoint(Part):
    """The price of keeping the station at or under `limit_kw`. What is wrong with it the FMO tells."""

    limit_kw: Kw
    price_eur: Eur


class CurveBid(Content):
    """5.1.3: a bid curve, capacity limit against price, by rising limit; between two points it is a straight line.

    The last point's limit is the station's capacity, which costs nothing.
    """

    exchange: Literal["5.1.3"] = "5.1.3"
    bid_id: Identifier
    call_id: Identifier
    timestamp: Time
    station_id: Identifier
    curve: tuple[CurvePoint, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len(self.curve) > MOST_POINTS:
            yield "curve", f"has {len(self.curve)} points, more than {MOST_POINTS}"


class ApprovedBid(Part):
    """A curve that the FMO has checked."""

    bid_id: Identifier
    cpo: Jid
    station_id: Identifier
    location: Identifier
    curve: tuple[CurvePoint, ...]


class CurveBids(Content):
    """5.1.4: "the FMO checks, approves and sends the bid curve offers to the DSO"; `refused` says which it did not."""

    exchange: Literal["5.1.4"] = "5.1.4"
    terms_id: Identifier
    timestamp: Time
    bids: tuple[ApprovedBid, ...]
    refused: tuple[Text, ...] = ()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({each.bid_id for each in self.bids}) < len(self.bids):
            yield "bids", "has an id twice"


class Purchase(Part):
    """A point on an approved curve that the DSO buys."""

    bid_id: Identifier
    station_id: Identifier
    limit_kw: MagnitudeKw
    price_eur: MagnitudeEur


class ProcurementDecision(Content):
    """5.1.5: "the DSO sends its decision of procured volume and location of flexibility (market clearing) to the FMO".

    `scenarios` forecasts stand behind it; the violations are the DSO's expectation per day, without and with what is
    bought.
    """

    exchange: Literal["5.1.5"] = "5.1.5"
    decision_id: Identifier
    terms_id: Identifier
    timestamp: Time
    purchases: tuple[Purchase, ...]
    scenarios: Count
    expected_without_kwh: MagnitudeKwh
    expected_with_kwh: MagnitudeKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len({each.bid_id for each in self.purchases}) < len(self.purchases):
            yield "purchases", "has a bid twice"


class Contract(Part):
    """A contract in the FMO's register."""

    contract_id: Identifier
    bid_id: Identifier
    cpo: Jid
    station_id: Identifier
    location: Identifier
    limit_kw: MagnitudeKw
    price_eur: MagnitudeEur


class ConcludedContracts(Content):
    """5.1.5, answer: what has become a contract, and why the rest has not."""

    exchange: Literal["5.1.5"] = "5.1.5"
    decision_id: Identifier
    contracts: tuple[Contract, ...]
    failed: tuple[Text, ...] = ()


class ProcurementResult(Content):
    """5.1.6: "the FMO checks, approves and then sends the procured volume and location of flexibility to the CPO".

    Accepted, it is the contract; rejected, `reason` says why nothing was bought of this curve.
    """

    exchange: Literal["5.1.6"] = "5.1.6"
    bid_id: Identifier
    call_id: Identifier
    timestamp: Time
    contract_id: Identifier | None = None
    dso: Jid | None = None
    limit_kw: MagnitudeKw | None = None
    price_eur: MagnitudeEur | None = None
    reason: Text | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        parts = (self.contract_id, self.dso, self.limit_kw, self.price_eur)
        if any(part is None for part in parts) and any(part is not None for part in parts):
            yield "contract_id", "and dso, limit_kw, price_eur go together"
        if self.contract_id is None and not self.reason:
            yield "reason", "is missing: nothing was bought"


class CapacityLimit(Content):
    """5.2.1: "DSO activates some of the capacity limit procured ex-ante": from `start` until `end` the station draws no
    more than `limit_kw`, which is not less than the contract's."""

    exchange: Literal["5.2.1"] = "5.2.1"
    activation_id: Identifier
    contract_id: Identifier
    timestamp: Time
    station_id: Identifier
    limit_kw: MagnitudeKw
    start: Time
    end: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class LimitSettlement(Content):
    """5.x.2, DSO to CPO: what a day of a contract is worth. No baseline: the limit and the station's meter are enough.

    `capacity_eur`: the day's part of the price; `highest_kw`: the highest power of any second that the meter has while
    a limit was activated, None where none was; `excess_kwh`: what was drawn above it; `amount_eur` = capacity -
    penalty, to the CPO where it is above 0. The transfer is booked under `settlement_id` when the CPO accepts.
    """

    exchange: Literal["5.x.2"] = "5.x.2"
    settlement_id: Identifier
    contract_id: Identifier
    start: Time
    end: Time
    capacity_eur: MagnitudeEur
    activation_id: Identifier | None = None
    limit_kw: MagnitudeKw | None = None
    highest_kw: MagnitudeKw | None = None
    excess_kwh: MagnitudeKwh = 0.0
    penalty_eur: MagnitudeEur
    amount_eur: Eur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.amount_eur != self.capacity_eur - self.penalty_eur:
            yield "amount_eur", "is not capacity_eur less penalty_eur"
        parts = (self.activation_id, self.limit_kw, self.highest_kw)
        if any(part is None for part in parts) and any(part is not None for part in parts):
            yield "activation_id", "and limit_kw, highest_kw go together"
        if self.activation_id is None and (self.excess_kwh or self.penalty_eur):
            yield "penalty_eur", "is for a limit that was not activated"


class LimitSettlementAnswer(Content):
    """5.x.2, answer: the CPO holds it true, or says why not."""

    exchange: Literal["5.x.2"] = "5.x.2"
    settlement_id: Identifier
    reason: Text | None = None


class Stay(Part):
    """Where and when a driver can leave the car at a charger."""

    latitude_deg: Latitude
    longitude_deg: Longitude
    arrival: Time
    departure: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("arrival", "departure", self)


class ChargingRequest(Content):
    """5.2.2: "the EV owner requests to receive charging options nearby": `energy_kwh` on one of the stays, at a station
    not further away than `within_km`. `max_charge_kw` is the car's."""

    exchange: Literal["5.2.2"] = "5.2.2"
    request_id: Identifier
    timestamp: Time
    soc_percent: Percent
    capacity_kwh: PositiveKwh
    energy_kwh: PositiveKwh
    max_charge_kw: PositiveKw
    within_km: Annotated[float, Field(gt=0, le=1000, json_schema_extra={"x-unit": "km"})]
    stays: tuple[Stay, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not 1 <= len(self.stays) <= MOST_STAYS:
            yield "stays", f"are {len(self.stays)}, not 1 to {MOST_STAYS}"


class ChargingChoice(Part):
    """One session that the CPO can hold free: `energy_kwh` at `station_id` on the stay of that number (from 0).

    `power_kw` is the most that it draws, `amount_eur` what `energy_kwh` cost at `price_eur_per_kwh`.
    """

    choice_id: Identifier
    stay: Annotated[int, Field(ge=0, lt=MOST_STAYS)]
    station_id: Identifier
    charger_id: Identifier
    latitude_deg: Latitude
    longitude_deg: Longitude
    power_kw: PositiveKw
    energy_kwh: PositiveKwh
    price_eur_per_kwh: EurPerKwh
    amount_eur: MagnitudeEur
    start: Time
    end: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class ChargingChoices(Content):
    """5.2.3: "the CPO sends charging session choices to the EV owner (affected by day-ahead capacity limit
    activation)".

    They can be picked until `valid_until`; what others pick before may be gone.
    """

    exchange: Literal["5.2.3"] = "5.2.3"
    request_id: Identifier
    timestamp: Time
    valid_until: Time
    choices: tuple[ChargingChoice, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not 1 <= len(self.choices) <= MOST_CHOICES:
            yield "choices", f"are {len(self.choices)}, not 1 to {MOST_CHOICES}"
        if len({each.choice_id for each in self.choices}) < len(self.choices):
            yield "choices", "has an id twice"


class ChargingSelection(Content):
    """5.2.4: "the EV owner selects one of the charging choices"."""

    exchange: Literal["5.2.4"] = "5.2.4"
    request_id: Identifier
    choice_id: Identifier
    timestamp: Time


class SessionReceipt(Content):
    """5.x.3, CPO to driver when the session is over: what was charged by the charger's meter, and what it costs.

    The transfer is booked under `receipt_id`, from the driver to the CPO.
    """

    exchange: Literal["5.x.3"] = "5.x.3"
    receipt_id: Identifier
    request_id: Identifier
    choice_id: Identifier
    start: Time
    end: Time
    energy_kwh: MagnitudeKwh
    price_eur_per_kwh: EurPerKwh
    amount_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
