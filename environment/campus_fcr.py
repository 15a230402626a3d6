"""What a lot does for the frequency and what the TSO pays for it, as the scenario of campuses has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from agents.decisions.fcr_products import RULES, agreed, is_limited, power_needs_kw
from agents.decisions.fcr_sequences import length_s, steps
from environment.scenario_parts import ClockTime, Kw, Kwh, Money, Name, Part, SitePart, listed
from protocols.exchanges.frequency_services import Control
from protocols.exchanges.vocabulary import FcrProduct

CapacityEur = Annotated[Money, Field(decimal_places=6, description="EUR for each kW and 15 minutes")]
NORDIC_PRODUCTS = (FcrProduct.FCR_N, FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN)
_ROUNDED = 1e-6


class FcrPart(Part):
    """A lot's part in frequency control: `capacity_kw` is what it claims when it applies, `energy_kwh` the part of its
    batteries that it keeps for it, `nem_disable_minutes` the endurance up to which energy management refills them,
    where the TSO is asked to agree to another one than the rules' own. Capacity is offered for each whole hour from
    `first_hour` to `last_hour`. The lot's owner may change his mind: `cancel_test` ends a test that is under way,
    `withdraw` the participation."""

    lot: Name
    product: Annotated[FcrProduct, Field(strict=False)]
    control: Annotated[Control, Field(strict=False)]
    application: ClockTime
    test_from: ClockTime
    first_hour: ClockTime
    last_hour: ClockTime
    capacity_kw: Kw
    energy_kwh: Kwh
    price_eur_per_kw: CapacityEur
    nem_disable_minutes: Annotated[float, Field(gt=0, le=1_440, description="min")] | None = None
    cancel_test: ClockTime | None = None
    withdraw: ClockTime | None = None


class CapacityPart(Part):
    """What the TSO pays for frequency control: the worth of the first kW of each product in 15 minutes, and how much of
    each it wants of the run's lots; what energy is settled at, and how many times its price a kW costs that was not
    there. Assumptions, of the size of DK2's capacity prices."""

    fcr_n_eur_per_kw: CapacityEur = Decimal("0.008")
    fcr_d_up_eur_per_kw: CapacityEur = Decimal("0.006")
    fcr_d_down_eur_per_kw: CapacityEur = Decimal("0.006")
    wanted_kw: Annotated[float, Field(gt=0, le=100_000, description="kW")] = 200.0
    up_regulation_eur_per_kwh: CapacityEur = Decimal("0.12")
    down_regulation_eur_per_kwh: CapacityEur = Decimal("0.05")
    penalty_factor: Annotated[Money, Field(le=100)] = Decimal(2)

    def prices(self) -> dict[FcrProduct, Decimal]:
        """By product."""
        return {
            FcrProduct.FCR_N: self.fcr_n_eur_per_kw,
            FcrProduct.FCR_D_UP: self.fcr_d_up_eur_per_kw,
            FcrProduct.FCR_D_DOWN: self.fcr_d_down_eur_per_kw,
        }


def fcr_faults(
    fcr: FcrPart, lot: SitePart, begins: datetime, next_at: Callable[[time, datetime], datetime]
) -> Iterator[str]:
    """What is wrong with a lot's part in frequency control, a line each. `begins`: the run's first instant; `next_at`:
    the first instant from another one on at which the clocks show a time."""
    place = f"fcr of {fcr.lot!r}"
    if fcr.product not in NORDIC_PRODUCTS:
        yield f"{place}: {fcr.product} is Continental Europe's; the area is Nordic: {listed(NORDIC_PRODUCTS)}"
    for name, clock in (("first_hour", fcr.first_hour), ("last_hour", fcr.last_hour)):
        if clock != time(clock.hour):
            yield f"{place}: {name} is {clock:%H:%M}; capacity is bought by whole hours, write {clock:%H}:00"
    try:
        agreed(RULES[fcr.product], nem_disable_minutes=fcr.nem_disable_minutes)
    except ValueError as error:
        yield f"{place}: nem_disable_minutes: {error}"
    if fcr.first_hour == fcr.last_hour:
        yield f"{place}: first_hour and last_hour are the same; give when delivery begins and when it ends"
    applied = next_at(fcr.application, begins)
    if next_at(fcr.test_from, begins) <= applied:
        yield f"{place}: test_from is not after application; the TSO must know before it tests"
    yield from _ratings(fcr, lot, place)
    tested = next_at(fcr.test_from, applied) + _test_takes(fcr)
    if next_at(fcr.first_hour, applied) < tested:
        yield (
            f"{place}: first_hour is {fcr.first_hour:%H:%M}, and the test from {fcr.test_from:%H:%M} "
            f"cannot be over before {tested:%H:%M}"
        )


def _ratings(fcr: FcrPart, lot: SitePart, place: str) -> Iterator[str]:
    """A claim that all chargers of the lot together could never keep; that its vehicles can is for the test to show."""
    up_kw, down_kw = power_needs_kw(RULES[fcr.product], fcr.capacity_kw, fcr.energy_kwh)
    for name, each_kw, wanted_kw in (
        ("discharge", lot.max_discharge_kw, up_kw),
        ("charge", lot.max_charge_kw, down_kw),
    ):
        if wanted_kw > lot.chargers * each_kw + _ROUNDED:
            yield (
                f"{place}: capacity_kw {fcr.capacity_kw:g} needs {wanted_kw:.1f} kW, "
                f"and its {lot.chargers} chargers {name} {lot.chargers * each_kw:g} kW"
            )


def _test_takes(fcr: FcrPart) -> timedelta:
    """The least time of the whole test: its signals, without what its holds wait for."""
    rules = RULES[fcr.product]
    limited = is_limited(rules, fcr.capacity_kw, fcr.energy_kwh)
    whole = steps(
        rules, "test", capacity_kw=fcr.capacity_kw, energy_kwh=fcr.energy_kwh, baseline_kw=0.0, limited=limited
    )
    return timedelta(seconds=sum(length_s(step.signal) for step in whole))
