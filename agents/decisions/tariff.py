"""What a kilowatt-hour costs a driver when the operator wants more or less of it drawn, by stated rules.

D5.1 3.4.1: "the DSO will activate a DR service changing the grid use tariff and, consequently, the charging/discharging
prices"; 3.2: the energy that would be curtailed is offered to the vehicles. A price is energy plus grid use, EUR/kWh in
exact decimals to the sixth place. Discharging always earns what charging costs at that moment, so that no driver gains
by doing both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Final

from agents.decisions.money import watts

TICK: Final = Decimal("0.000001")
"""EUR/kWh: as fine as Portugal's regulator (ERSE) publishes network tariffs, and two places more."""
LEAST_GAIN: Final = Decimal("0.01")
"""EUR/kWh that a service's price starts beyond the ordinary one: what is less moves nobody. An assumption."""
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tariff:
    """A bi-hourly tariff in EUR/kWh: energy, and grid use by day and by night.

    Off-peak from `off_peak_from` until just before `off_peak_until`, local time, over midnight where the end is not
    later. (Portugal's daily cycle has 22:00 to 08:00.)
    """

    energy_eur_per_kwh: Decimal
    grid_peak_eur_per_kwh: Decimal
    grid_off_peak_eur_per_kwh: Decimal
    off_peak_from: time = time(22)
    off_peak_until: time = time(8)

    def __post_init__(self) -> None:
        prices = (self.energy_eur_per_kwh, self.grid_peak_eur_per_kwh, self.grid_off_peak_eur_per_kwh)
        if any(not price.is_finite() or price < 0 for price in prices):
            raise ValueError("a tariff's prices are finite and not negative")
        if self.grid_off_peak_eur_per_kwh > self.grid_peak_eur_per_kwh:
            raise ValueError("off-peak is the cheaper half of a tariff")

    def off_peak(self, at_local: datetime) -> bool:
        """Whether the local time of day lies in the night's half."""
        now, first, last = at_local.time(), self.off_peak_from, self.off_peak_until
        return first <= now < last if first < last else now >= first or now < last

    def grid_use(self, at_local: datetime) -> Decimal:
        """The ordinary grid use tariff."""
        return self.grid_off_peak_eur_per_kwh if self.off_peak(at_local) else self.grid_peak_eur_per_kwh

    def charging(self, at_local: datetime) -> Decimal:
        """The ordinary price of charging: energy and grid use."""
        return self.energy_eur_per_kwh + self.grid_use(at_local)

    def cheapest_charging(self) -> Decimal:
        """The night's ordinary price, which a vehicle that can wait would pay."""
        return self.energy_eur_per_kwh + self.grid_off_peak_eur_per_kwh


@dataclass(frozen=True, slots=True)
class ServicePrices:
    """What holds for a service's vehicles: the grid use tariff, what charging costs, what discharging earns."""

    grid_use_eur_per_kwh: Decimal
    charging_cost_eur_per_kwh: Decimal
    discharging_remuneration_eur_per_kwh: Decimal


def voltage_prices(
    tariff: Tariff,
    at_local: datetime,
    need_kw: float,
    flexible_kw: float,
    *,
    cap_factor: Decimal = Decimal(3),
    least_gain: Decimal = LEAST_GAIN,
) -> ServicePrices:
    """BUC 4.1: the grid use tariff while a feeder needs `need_kw` more (> 0) or less (< 0) of `flexible_kw` (>= 0).

    More: from `least_gain` below the off-peak tariff linearly down to nothing when all that is flexible is needed,
    whatever the hour, because only what is cheaper than the coming night makes a vehicle charge now. Less: from
    `least_gain` above the ordinary tariff linearly up to `cap_factor` times the peak tariff at any hour (an assumption,
    to be set by the regulator): a cap that follows the cheap night would never pay for the wear of discharging, when it
    is needed most. No need: the ordinary tariff. Raises ValueError on a factor below 1 and on what is no power.
    """
    if not cap_factor >= 1:
        raise ValueError(f"cap_factor is {cap_factor}; a dearer tariff needs at least 1")
    share = _share(need_kw, flexible_kw)
    ordinary = tariff.grid_use(at_local)
    if not share:
        use = ordinary
    elif need_kw > 0:
        first = max(_NOTHING, tariff.grid_off_peak_eur_per_kwh - least_gain)
        # downwards, so that the smallest need brings the least gain already
        use = (first * (1 - share)).quantize(TICK, ROUND_DOWN)
    else:
        cap = tariff.grid_peak_eur_per_kwh * cap_factor
        first = min(cap, ordinary + least_gain)
        use = first + (cap - first) * share
    return _prices(tariff.energy_eur_per_kwh, use)


def curtailment_prices(
    tariff: Tariff,
    at_local: datetime,
    need_kw: float,
    flexible_kw: float,
    fuel_eur_per_kwh: Decimal,
    *,
    driver_part: Decimal = Decimal("0.5"),
    least_gain: Decimal = LEAST_GAIN,
) -> ServicePrices:
    """BUC 2: the price of energy while `need_kw` (>= 0) more consumption of `flexible_kw` would save wind.

    The wind that would be thrown away costs nothing, and what is charged now is not burnt later, which saves
    `fuel_eur_per_kwh`. The drivers get `driver_part` of that (an assumption: half) when all that is flexible is needed,
    and linearly less, down to `least_gain`, the less is; energy never costs less than nothing, grid use stays.
    Raises ValueError on a negative need or fuel price and on a part outside 0 to 1.
    """
    if need_kw < 0:
        raise ValueError(f"curtailment is avoided by more consumption, not by {need_kw} kW")
    if not fuel_eur_per_kwh >= 0 or not 0 <= driver_part <= 1:
        raise ValueError("the fuel price must not be negative and the drivers' part lies between 0 and 1")
    share, most = _share(need_kw, flexible_kw), fuel_eur_per_kwh * driver_part
    least = min(least_gain, most)
    saved = least + (most - least) * share if share else _NOTHING
    return _prices(max(_NOTHING, tariff.energy_eur_per_kwh - saved), tariff.grid_use(at_local))


def _share(need_kw: float, flexible_kw: float) -> Decimal:
    """The part of what is flexible that is needed, 0 to 1; all where nothing is flexible but something is needed."""
    need, flexible = abs(watts(need_kw)), watts(flexible_kw)
    if flexible < 0:
        raise ValueError(f"flexible_kw is {flexible_kw}; it is a magnitude")
    if not need:
        return _NOTHING
    return Decimal(1) if need >= flexible else need / flexible


def _prices(energy: Decimal, grid_use: Decimal) -> ServicePrices:
    use = grid_use.quantize(TICK, ROUND_HALF_EVEN)
    cost = (energy + use).quantize(TICK, ROUND_HALF_EVEN)
    return ServicePrices(use, cost, cost)
