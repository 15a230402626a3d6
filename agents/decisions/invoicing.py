"""What the meters and the services make everybody owe: exact amounts, and invoices in cents that add up to them. Pure.

D5.1 3.2: the EMRP invoices "the different services by the different actors", and the services change charging prices.
For each charger and each part of a quarter of an hour in which nothing changed, with E kWh charged and D given back:

- the driver owes E at the price of charging: energy and the grid use that holds behind the feeder, which a voltage
  service changes for everybody there, also for who takes no part. A curtailment service makes the energy cheaper, but
  only of what is drawn beyond the baseline, up to what was promised: that is the wind that would have been lost;
- the driver is owed D at the service's remuneration. Nobody has asked for what is given back outside a service: it is
  worth nothing;
- of the charging price the DSO is owed the grid use, the TSO (which sells the energy) the rest less the EMSP's margin;
- who asked for a service pays the remuneration, and for each kWh delivered the fees of the FO and of the manager;
- for each kWh that was promised firmly (for the first quarter of an hour of a service) and not delivered, beyond a
  tolerance, the manager owes a penalty to who asked. What is delivered later is paid, what is missing then is free.

Amounts above 0 are owed to the EMSP, below 0 by it. Energies are exact to a milliwatt-hour, prices to their last digit,
so that what the EMSP keeps is exactly its margin; rounding happens once, where an invoice is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from agents.decisions.money import cents, watts
from agents.decisions.selection import delivered_kw
from protocols.exchanges.res_curtailment import InvoiceLine
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import as_price

_HOUR = Decimal(60)
_ENERGY = Decimal("0.000001")
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fees:
    """What the EMSP keeps of each kWh charged, what FO and manager get for one delivered, what a missing one costs.

    EUR/kWh to the sixth place, none below 0. `tolerance`: the part of a promise that may be missing without a penalty
    (5 %: what a meter and a charger's steps leave open).
    """

    margin_eur_per_kwh: Decimal
    fo_eur_per_kwh: Decimal
    manager_eur_per_kwh: Decimal
    penalty_eur_per_kwh: Decimal
    tolerance: Decimal = Decimal("0.05")

    def __post_init__(self) -> None:
        values = (self.margin_eur_per_kwh, self.fo_eur_per_kwh, self.manager_eur_per_kwh, self.penalty_eur_per_kwh)
        if any(not value.is_finite() or value < 0 for value in (*values, self.tolerance)):
            raise ValueError("fees and their tolerance are finite and not negative")
        if any(value != as_price(value) for value in values):
            raise ValueError("fees have six decimal places at most")


@dataclass(frozen=True, slots=True)
class Served:
    """A vehicle's part in a service: who asked, who arranged it, what was promised beside which baseline (kW), at which
    prices (EUR/kWh).

    `charging_eur_per_kwh` is what the energy of a curtailment service costs, grid use included; in a voltage service
    the span says what charging costs. `firm`: in the first quarter of an hour of the service.
    """

    service: ServiceType
    payer: str
    fo: str
    manager: str
    baseline_kw: float
    promised_kw: float
    charging_eur_per_kwh: Decimal
    discharging_eur_per_kwh: Decimal
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """`minutes` of a quarter of an hour at one charger in which nothing changed, at mean `power_kw` (charging > 0).

    The prices hold there for who is in no service; `grid_use_by` is the service that set the grid use, None where that
    is the ordinary one. `served` is None where the vehicle was in no service.
    """

    driver: str
    power_kw: float
    minutes: int
    charging_eur_per_kwh: Decimal
    grid_use_eur_per_kwh: Decimal
    grid_use_by: ServiceType | None = None
    served: Served | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a customer owes: `energy_kwh` (below 0: is owed) at `price_eur_per_kwh` (never below 0)."""

    customer: str
    item: str
    service: ServiceType | None
    energy_kwh: Decimal
    price_eur_per_kwh: Decimal

    @property
    def amount_eur(self) -> Decimal:
        """Exact, not yet in cents."""
        return self.energy_kwh * self.price_eur_per_kwh


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of a promise, what came and what is missing, kWh, both >= 0."""

    delivered_kwh: Decimal
    missing_kwh: Decimal


def energy_kwh(power_kw: float, minutes: int) -> Decimal:
    """The energy of a mean power over whole minutes, to the milliwatt-hour (exact for whole quarters)."""
    return (watts(power_kw) * minutes / _HOUR).quantize(_ENERGY, ROUND_HALF_EVEN)


def delivery(span: Span) -> Delivery | None:
    """What the meter shows of the promise in this span, None where there is no promise."""
    if span.served is None:
        return None
    served = span.served
    promised = energy_kwh(abs(served.promised_kw), span.minutes)
    came = energy_kwh(delivered_kw(served.baseline_kw, served.promised_kw, span.power_kw), span.minutes)
    came = min(came, promised)
    return Delivery(came, promised - came)


def entries(span: Span, fees: Fees, *, tso: str, dso: str) -> tuple[Entry, ...]:
    """Everything that is owed because of a span; the sum is the margin of what was charged, to the last digit."""
    return tuple(entry for entry in _entries(span, fees, tso, dso) if entry.energy_kwh and entry.price_eur_per_kwh)


def _entries(span: Span, fees: Fees, tso: str, dso: str) -> Iterator[Entry]:
    served, energy, found = span.served, energy_kwh(span.power_kw, span.minutes), delivery(span)
    charged, given = max(_NOTHING, energy), max(_NOTHING, -energy)
    for item, service, part, price in _charging(span, charged, found):
        yield _entry(span.driver, item, service, part, price)
        yield _entry(tso, "energy", service, -part, price - span.grid_use_eur_per_kwh - fees.margin_eur_per_kwh)
    yield _entry(dso, "grid-use", span.grid_use_by, -charged, span.grid_use_eur_per_kwh)
    if served is None or found is None:
        return
    service = served.service
    yield _entry(span.driver, "discharging", service, -given, served.discharging_eur_per_kwh)
    yield _entry(served.payer, "discharging", service, given, served.discharging_eur_per_kwh)
    came = found.delivered_kwh
    yield _entry(served.payer, "service", service, came, fees.fo_eur_per_kwh + fees.manager_eur_per_kwh)
    yield _entry(served.fo, "service", service, -came, fees.fo_eur_per_kwh)
    yield _entry(served.manager, "service", service, -came, fees.manager_eur_per_kwh)
    if not served.firm:
        return
    borne = (fees.tolerance * (came + found.missing_kwh)).quantize(_ENERGY, ROUND_HALF_EVEN)
    penalised = max(_NOTHING, found.missing_kwh - borne)
    yield _entry(served.manager, "penalty", service, penalised, fees.penalty_eur_per_kwh)
    yield _entry(served.payer, "penalty", service, -penalised, fees.penalty_eur_per_kwh)


def _charging(
    span: Span, charged: Decimal, found: Delivery | None
) -> Iterator[tuple[str, ServiceType | None, Decimal, Decimal]]:
    """What was charged: item, service, kWh and EUR/kWh of each part that has a price of its own."""
    served, rest = span.served, charged
    if served is not None and found is not None and served.service is ServiceType.RES_CURTAILMENT:
        beyond = min(charged, found.delivered_kwh) if served.promised_kw > 0 else _NOTHING
        rest -= beyond
        yield "charging-in-service", served.service, beyond, served.charging_eur_per_kwh
    helps = served is not None and served.service is ServiceType.VOLTAGE_CONTROL
    yield "charging-in-service" if helps else "charging", span.grid_use_by, rest, span.charging_eur_per_kwh


def _entry(customer: str, item: str, service: ServiceType | None, energy: Decimal, price: Decimal) -> Entry:
    """A price below 0 turns the energy's sign instead: prices on an invoice are not negative."""
    return Entry(customer, item, service, energy if price >= 0 else -energy, abs(price))


@dataclass(slots=True)
class Account:
    """What one customer owes and was invoiced, EUR; above 0 to the EMSP. `paid_eur`: what it has paid of it.

    An invoice is the rounded total so far less what was invoiced before: no rounding is ever lost, and each invoice is
    within a cent of its own lines.
    """

    owed_eur: Decimal = _NOTHING
    invoiced_eur: Decimal = _NOTHING
    paid_eur: Decimal = _NOTHING
    open: dict[tuple[str, ServiceType | None, Decimal, bool], Decimal] | None = None
    since: datetime | None = None

    def note(self, entry: Entry, at: datetime) -> None:
        """Adds an entry; those of the same kind and price become one line."""
        self.open = {} if self.open is None else self.open
        self.since = at if self.since is None else min(self.since, at)
        key = (entry.item, entry.service, entry.price_eur_per_kwh, entry.energy_kwh < 0)
        self.open[key] = self.open.get(key, _NOTHING) + entry.energy_kwh
        self.owed_eur += entry.amount_eur

    def lines(self) -> tuple[InvoiceLine, ...]:
        """The lines of what is not invoiced yet, in cents that add up; empty where nothing of it is worth a cent."""
        if not self.open:
            return ()
        ordered = sorted(self.open.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2], item[0][3]))
        exact = self.owed_eur - sum((key[2] * energy for key, energy in ordered), _NOTHING)
        shown, lines = self.invoiced_eur, []
        for (item, service, price, _), energy in ordered:
            exact += price * energy
            amount = cents(cents(exact) - shown)
            shown += amount
            lines.append(
                InvoiceLine(
                    item=item,
                    service=service,
                    energy_kwh=float(energy),
                    price_eur_per_kwh=price,
                    amount_eur=amount,
                )
            )
        return tuple(lines) if any(line.amount_eur for line in lines) else ()

    def invoiced(self, lines: Iterable[InvoiceLine]) -> Decimal:
        """Notes that these lines are invoiced, and returns their sum in whole cents."""
        amount = cents(sum((line.amount_eur for line in lines), _NOTHING))
        self.invoiced_eur += amount
        self.open, self.since = None, None
        return amount
