"""The products of frequency containment as data: where they start and end, how much power and energy they need.

Nordic: Technical Requirements for FCR Provision in the Nordic Synchronous Area, version 1.1, tables 1, 6, 7, 10, 11 and
15. Continental Europe: Regulation (EU) 2017/1485 (SO GL), articles 154 and 156 and annex V. Positive power is drawn
from the grid; an activation above 0 is upwards (less drawn). A further product is one more row here, its sequence in
fcr_sequences.py and its requirements in fcr_judgement.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agents.decisions.fleet import Floats
from protocols.exchanges.vocabulary import FcrProduct

HOURS_THAT_LIMIT = 2.0
"""Section 3.5: a reservoir that lasts for less of full activation is a limited one."""
LEAST_RECOVERY_MINUTES = 2.0
"""So far above the threshold that turns energy management on the one that turns it off must lie at least: with less it
would go on and off faster than its power fades in and out (equation 15). This project's choice of a bound."""


@dataclass(frozen=True)
class PowerSystem:
    """The grid that the whole volume of a product is assumed to hold (table 7): MW, Hz, MW, MWs, pu/Hz."""

    volume_mw: float
    band_hz: float
    rated_mw: float
    kinetic_mws: float
    nominal_hz: float = 50.0
    load_pu_per_hz: float = 0.01


@dataclass(frozen=True)
class Thresholds:
    """Table 11 in minutes of full activation that are left when energy management goes on and off again.

    That of `nem_disable` may be changed if the TSO agrees (note to table 11), see `agreed`.
    """

    nem_enable: float
    nem_disable: float
    aem_enable: float = 5.0
    aem_disable: float = 10.0


@dataclass(frozen=True)
class Sines:
    """The sine test of table 6: about which frequency, and (period in s, stationary periods, periods in all)."""

    centre_hz: float
    periods: tuple[tuple[float, int, int], ...]
    amplitude_hz: float = 0.1


@dataclass(frozen=True)
class FcrRules:
    """One product. It is fully activated at `band_hz` from `zero_hz`, in the directions that it has.

    `endurance_minutes` at full activation; `power_up` and `power_down` are kW for each kW of capacity that must be free
    in that direction, `energy_up_h` and `energy_down_h` kWh for each kW (table 10); `nem_share` the power of normal
    state energy management for each kW, None where there is none. `least_factor`: the smallest reduction factor;
    response may be `under_share` too small or `over_share` too large. `half_s`, `whole_s`: when half and all of a step
    must be there, None where the rules say it otherwise.
    `insensitivity_hz` (SO GL annex V) is what a response may miss, not a dead band to put in.
    """

    product: FcrProduct
    name: str
    area: str
    document: str
    zero_hz: float
    band_hz: float
    up: bool
    down: bool
    endurance_minutes: float
    power_up: float
    power_down: float
    energy_up_h: float
    energy_down_h: float
    least_factor: float
    nem_share: float | None = None
    thresholds: Thresholds | None = None
    under_share: float = 0.05
    over_share: float = 0.2
    normal_hz: tuple[float, float] = (49.9, 50.1)
    insensitivity_hz: float = 0.01
    meter_accuracy_hz: float = 0.01
    meter_accuracy_share: float = 0.05
    half_s: float | None = None
    whole_s: float | None = None
    sines: Sines | None = None
    stability: PowerSystem | None = None
    performance: PowerSystem | None = None


_SHORT_SINES = ((10.0, 5, 20), (15.0, 5, 15), (25.0, 5, 10), (40.0, 5, 7), (50.0, 5, 7), (60.0, 5, 7), (70.0, 5, 7))
_LONG_SINES = ((90.0, 5, 7), (150.0, 3, 4), (300.0, 2, 3))
"""For FCR-D only with mode shifting, which chargers have no need of."""

_N_SYSTEM = (PowerSystem(600.0, 0.1, 23_000.0, 120_000.0), PowerSystem(600.0, 0.1, 42_000.0, 190_000.0))
_D_SYSTEM = (PowerSystem(1450.0, 0.4, 23_000.0, 120_000.0), PowerSystem(1450.0, 0.4, 42_000.0, 190_000.0))

_FCR_N = FcrRules(
    product=FcrProduct.FCR_N,
    name="FCR-N",
    area="DK2",
    document="Nordic FCR",
    zero_hz=50.0,
    band_hz=0.1,
    up=True,
    down=True,
    endurance_minutes=60.0,
    power_up=1.34,
    power_down=1.34,
    energy_up_h=1.0,
    energy_down_h=1.0,
    least_factor=0.9,
    nem_share=0.34,
    thresholds=Thresholds(nem_enable=30.0, nem_disable=57.5),
    sines=Sines(50.0, _SHORT_SINES + _LONG_SINES),
    stability=_N_SYSTEM[0],
    performance=_N_SYSTEM[1],
)
_FCR_D_UP = FcrRules(
    product=FcrProduct.FCR_D_UP,
    name="FCR-D upwards",
    area="DK2",
    document="Nordic FCR",
    zero_hz=49.9,
    band_hz=0.4,
    up=True,
    down=False,
    endurance_minutes=20.0,
    power_up=1.0,
    power_down=0.2,
    energy_up_h=1 / 3,
    energy_down_h=0.0,
    least_factor=0.75,
    nem_share=0.2,
    thresholds=Thresholds(nem_enable=20.0, nem_disable=20.0),
    sines=Sines(49.7, _SHORT_SINES),
    stability=_D_SYSTEM[0],
    performance=_D_SYSTEM[1],
)
_FCR_D_DOWN = dataclasses.replace(
    _FCR_D_UP,
    product=FcrProduct.FCR_D_DOWN,
    name="FCR-D downwards",
    zero_hz=50.1,
    up=False,
    down=True,
    power_up=0.2,
    power_down=1.0,
    energy_up_h=0.0,
    energy_down_h=1 / 3,
    sines=Sines(50.3, _SHORT_SINES),
)
_FCR_CE = FcrRules(
    product=FcrProduct.FCR_CE,
    name="FCR",
    area="DK1",
    document="SO GL",
    zero_hz=50.0,
    band_hz=0.2,
    up=True,
    down=True,
    endurance_minutes=15.0,
    power_up=1.0,
    power_down=1.0,
    energy_up_h=0.25,
    energy_down_h=0.25,
    least_factor=1.0,
    normal_hz=(49.95, 50.05),
    half_s=15.0,
    whole_s=30.0,
)

RULES: Mapping[FcrProduct, FcrRules] = {rules.product: rules for rules in (_FCR_N, _FCR_D_UP, _FCR_D_DOWN, _FCR_CE)}
"""SO GL 156(9) to (11): reservoirs of Continental Europe last at least 15 minutes of the alert state, at most 30."""


@dataclass(frozen=True)
class Needs:
    """What must be kept free for a capacity (table 10): magnitudes, energy within the reservoir."""

    up_kw: float
    down_kw: float
    up_kwh: float
    down_kwh: float


def agreed(rules: FcrRules, *, nem_disable_minutes: float | None) -> FcrRules:
    """The rules with another threshold at which NEM goes off, as the TSO may agree to (note to table 11); None leaves
    them as they are.

    Raises ValueError where there is no NEM, where its own threshold leaves no choice (FCR-D, where it goes on and off
    at the same), and outside `LEAST_RECOVERY_MINUTES` above the threshold that turns NEM on to the table's own.
    """
    if nem_disable_minutes is None:
        return rules
    limits = rules.thresholds
    if limits is None or limits.nem_disable <= limits.nem_enable:
        raise ValueError(f"{rules.name} has no energy management whose end can be chosen")
    least, most = limits.nem_enable + LEAST_RECOVERY_MINUTES, limits.nem_disable
    if not least <= nem_disable_minutes <= most:
        raise ValueError(
            f"energy management of {rules.name} ends at {least:g} to {most:g} minutes, not at {nem_disable_minutes:g}"
        )
    return dataclasses.replace(rules, thresholds=dataclasses.replace(limits, nem_disable=nem_disable_minutes))


def needs(rules: FcrRules, capacity_kw: float) -> Needs:
    """Power and energy to reserve for `capacity_kw` (table 10)."""
    return Needs(
        rules.power_up * capacity_kw,
        rules.power_down * capacity_kw,
        rules.energy_up_h * capacity_kw,
        rules.energy_down_h * capacity_kw,
    )


def power_needs_kw(rules: FcrRules, capacity_kw: float, energy_kwh: float) -> tuple[float, float]:
    """Power to reserve upwards and downwards for `capacity_kw` out of `energy_kwh`: a limited reservoir needs some
    beside the capacity for its energy management (table 10), another one does not."""
    if not is_limited(rules, capacity_kw, energy_kwh):
        return capacity_kw * rules.up, capacity_kw * rules.down
    reserve = needs(rules, capacity_kw)
    return reserve.up_kw, reserve.down_kw


def is_limited(rules: FcrRules, capacity_kw: float, energy_kwh: float) -> bool:
    """Whether a reservoir counts as limited (LER): less than two hours of full activation (section 3.5).

    Two hours in each direction that the product has: a symmetric one starts in the middle of its reservoir, so that of
    two hours from end to end only one is left either way, which is what table 10 asks of a limited reservoir.
    """
    return energy_kwh < HOURS_THAT_LIMIT * capacity_kw * (rules.up + rules.down)


def saturated(rules: FcrRules, hz: float) -> float:
    """The measured frequency as the product sees it, Hz (equations 20 to 22)."""
    if not rules.down:
        return min(hz, rules.zero_hz)
    if not rules.up:
        return max(hz, rules.zero_hz)
    return min(max(hz, rules.zero_hz - rules.band_hz), rules.zero_hz + rules.band_hz)


def activation(rules: FcrRules, hz: float, reference_hz: float | None = None) -> float:
    """How far the product is activated at `hz`, per unit of capacity: +1 fully upwards, -1 fully downwards.

    Equation 23, saturated at full activation. With alert state energy management `reference_hz` is not the product's
    own zero; then it can go beyond, and into the other direction, but no further than the power kept for energy
    management (equations 24 to 26): -1.34 to 1.34 for FCR-N, -0.2 to 1 for FCR-D upwards.
    """
    reference = rules.zero_hz if reference_hz is None else reference_hz
    share = (reference - saturated(rules, hz)) / rules.band_hz
    return min(max(share, -rules.power_down), rules.power_up)


def activations(rules: FcrRules, hz: Floats) -> Floats:
    """`activation` at each of these frequencies, from the product's own zero."""
    share = (rules.zero_hz - hz) / rules.band_hz
    return np.clip(share, -1.0 if rules.down else 0.0, 1.0 if rules.up else 0.0)


def change_kw(rules: FcrRules, capacity_kw: float, hz: float, reference_hz: float | None = None) -> float:
    """By how much the power drawn changes at `hz`: below 0 is less drawn."""
    return 0.0 - capacity_kw * activation(rules, hz, reference_hz)


def beyond_kw(rules: FcrRules, capacity_kw: float, hz: float) -> float:
    """What a droop gives beyond the product's full activation, kW of the power drawn; 0 inside the band.

    A droop (SunSpec model 711) goes on linearly. Section 3 allows FCR-D to; a product in both directions must keep to
    equation 24, its capacity and the power of its energy management.
    """
    share = (rules.zero_hz - hz) / rules.band_hz
    share = min(share, 0.0) if not rules.up else max(share, 0.0) if not rules.down else share
    return 0.0 if abs(share) <= 1 else 0.0 - capacity_kw * (share - (1.0 if share > 0 else -1.0))


def total_change_kw(
    rules: FcrRules, capacity_kw: float, hz: float, reference_hz: float | None = None, nem_kw: float = 0.0
) -> float:
    """The change of what is drawn, normal state energy management included, within equations 24 to 26."""
    change = change_kw(rules, capacity_kw, hz, reference_hz) + nem_kw
    return min(max(change, -rules.power_up * capacity_kw), rules.power_down * capacity_kw)
