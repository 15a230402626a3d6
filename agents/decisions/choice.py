"""Which charging choice a driver picks (D5.1 3.5.2, ID 5.2.4): a logit model over stations and stays.

Each driver takes what is worth most to them: the model's utility plus a part of their own that nobody else knows,
Gumbel distributed, which makes the shares of stations and stays a multinomial logit (McFadden 1974). Sessions at one
station on one stay that differ in the start alone are alike; they share that part, as a nest (nested logit), so that a
station does not gain by offering the same thing three times.

What is known: in Shenzhen "public charging demand is inelastic to electricity price, with an average elasticity of
0.76", and of what a price changes, 54 % (a lower one) and 89 % (a higher one) comes from or goes to neighbours within
3.45 km ("Unraveling the effect of electricity price on electric vehicle charging behavior: A case study in Shenzhen,
China", Sustainable Cities and Society, 2024, doi 10.1016/j.scs.2024.105836; its summary is what was read).
`cost_per_eur` is what gives this elasticity in the situation `USUAL`. That price, detour and a certainly free charger
decide: ten Have, Gkiotsalitis, Geurs 2020 (World Electr. Veh. J. 11(4), 70; 311 drivers); that queueing does: Ashkrof,
Correia, van Arem 2020 (505 drivers); that distance does, from sessions in Montreal: arXiv 2504.17722; that waiting and
shifted departures have a price in all of Europe: Wardman, Chintakayala, de Jong 2016 (Transp. Res. A 94).

What is assumed: every coefficient but the one for money. None of those works was found to give them beside one for
money that would hold in Attica; `ChoiceModel` says of each what it was set by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import exp, inf, log
from typing import Final, TypeAlias

Key: TypeAlias = tuple[str, int]
"""A station and the number of the stay."""
OUTSIDE: Final[Key] = ("", -1)
"""None of the choices: charging somewhere else, or another day."""
PUBLIC_CHARGING_ELASTICITY: Final = -0.76
"""Shenzhen, see above."""
COST_PER_EUR: Final = -0.0605
"""Gives this elasticity in the situation `USUAL`."""
_QUARTERS_AN_HOUR: Final = 4
_ENOUGH_SPARE_H: Final = 1.0
_UNIFORM_BITS: Final = 53


@dataclass(frozen=True, slots=True)
class ChoiceModel:
    """Utility (no unit) for each unit of:

    `cost_per_eur`: EUR paid; from the elasticity above. `per_km`: km from the stay to the station; assumed, so that at
    equal prices three of four drivers take the nearer one of two stations 3 km apart. `per_hour_waiting`: hours from
    the arrival to the start; assumed, 7.50 EUR an hour, half of the 15 EUR that the press puts on an hour in the
    traffic of Athens (alfavita.gr after ethnos.gr), because the car waits and not the driver. `per_hour_shift`: hours
    between the arrivals of this stay and the usual one; assumed, 2 EUR. `per_hour_spare`: hours from the end to the
    departure, one at most; assumed. `missing_eur_per_kwh`: what a kWh that is not offered costs elsewhere; assumed.
    `outside`: the utility of none; assumed, so that 1 or 2 in 100 go away. `start_scale` in (0, 1]: how unlike starts
    at one station on one stay are; 1 is as unlike as stations are (a plain multinomial logit); assumed.

    Raises ValueError where money costs nothing, or for another scale.
    """

    cost_per_eur: float = COST_PER_EUR
    per_km: float = -0.37
    per_hour_waiting: float = -0.45
    per_hour_shift: float = -0.12
    per_hour_spare: float = 0.06
    missing_eur_per_kwh: float = 0.8
    outside: float = -5.0
    start_scale: float = 0.5

    def __post_init__(self) -> None:
        if not self.cost_per_eur < 0:
            raise ValueError(f"cost_per_eur is {self.cost_per_eur}: money must cost something")
        if not 0 < self.start_scale <= 1:
            raise ValueError(f"start_scale is {self.start_scale}, not above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Option:
    """One choice as a driver sees it.

    `key`: station and stay; `amount_eur` for `energy_kwh`; `distance_km` from where the stay is; `wait_h` >= 0 from the
    stay's arrival to the start; `shift_h` >= 0 between the arrivals of this stay and of the usual one; `spare_h` >= 0
    from the end to the stay's departure; `missing_kwh` >= 0 of what was asked for.
    """

    key: Key
    amount_eur: float
    energy_kwh: float
    distance_km: float
    wait_h: float
    shift_h: float
    spare_h: float
    missing_kwh: float = 0.0


USUAL: Final = tuple(Option((f"station-{km}", 0), 18.0, 30.0, km, 0.25, 0.0, 1.0) for km in (1, 2, 3, 5))
"""Four stations within 5 km, 30 kWh for 18 EUR, nothing reduced: where the elasticity is stated for."""


def utility(model: ChoiceModel, option: Option) -> float:
    """What the option is worth, but for what only the driver knows."""
    return (
        model.cost_per_eur * (option.amount_eur + model.missing_eur_per_kwh * option.missing_kwh)
        + model.per_km * option.distance_km
        + model.per_hour_waiting * option.wait_h
        + model.per_hour_shift * option.shift_h
        + model.per_hour_spare * min(option.spare_h, _ENOUGH_SPARE_H)
    )


def probabilities(model: ChoiceModel, options: Sequence[Option]) -> list[float]:
    """One for each option, and the outside option's last; they add up to 1."""
    nests = _nests(options)
    worth = [utility(model, option) for option in options]
    values = {key: _inclusive(model, [worth[i] for i in members]) for key, members in nests.items()}
    top = max([*values.values(), model.outside])
    whole = sum(exp(value - top) for value in values.values()) + exp(model.outside - top)
    shares = [
        exp(values[option.key] - top) / whole * exp((worth[i] - values[option.key]) / model.start_scale)
        for i, option in enumerate(options)
    ]
    return [*shares, exp(model.outside - top) / whole]


def choose(model: ChoiceModel, options: Sequence[Option], noise: Callable[[Key], float]) -> int | None:
    """The number of the option picked, None for the outside option; `noise`: e.g. `partial(gumbel, seed, need_id)`.

    First station and stay, then the start there: over independent standard Gumbel draws that is `probabilities`.
    """
    best: list[int] | None = None
    most = model.outside + noise(OUTSIDE)
    worth = [utility(model, option) for option in options]
    for key, members in _nests(options).items():
        value = _inclusive(model, [worth[i] for i in members]) + noise(key)
        if value > most:
            best, most = members, value
    if best is None:
        return None
    return (
        best[0] if len(best) == 1 else max(best, key=lambda i: worth[i] / model.start_scale + noise(_start(options[i])))
    )


def gumbel(seed: int, need_id: str, key: Key) -> float:
    """A standard Gumbel draw, the same whenever the same need meets the same alternative: a driver's taste does not
    depend on who else asks, in which order, or on what else is offered."""
    digest = sha256(f"{seed}\n{need_id}\n{key[0]}\n{key[1]}".encode()).digest()
    uniform = ((int.from_bytes(digest[:8], "big") >> (64 - _UNIFORM_BITS)) + 0.5) / 2**_UNIFORM_BITS
    return -log(-log(uniform))


def price_elasticity(model: ChoiceModel, options: Sequence[Option], index: int) -> float:
    """Own-price elasticity of the probability of one option: below 0, by the derivative of `probabilities`."""
    option, shares = options[index], probabilities(model, options)
    station = sum(share for share, other in zip(shares, options, strict=False) if other.key == option.key)
    within = shares[index] / station if station else 1.0
    return model.cost_per_eur * option.amount_eur * ((1 - within) / model.start_scale + within * (1 - station))


def demand_elasticity(model: ChoiceModel, options: Sequence[Option] = USUAL) -> float:
    """What an operator measures: own-price elasticities of the options, weighted by how many take each."""
    shares = probabilities(model, options)[:-1]
    return sum(s * price_elasticity(model, options, i) for i, s in enumerate(shares)) / sum(shares)


def with_elasticity(model: ChoiceModel, elasticity: float, options: Sequence[Option] = USUAL) -> ChoiceModel:
    """The model whose `demand_elasticity` is this one, by another `cost_per_eur`. Raises ValueError where none has."""
    low, high = -10.0, -1e-9
    if not demand_elasticity(replace(model, cost_per_eur=low), options) <= elasticity < 0:
        raise ValueError(f"an elasticity of {elasticity} is out of reach")
    for _ in range(60):
        middle = (low + high) / 2
        if demand_elasticity(replace(model, cost_per_eur=middle), options) < elasticity:
            low = middle
        else:
            high = middle
    return replace(model, cost_per_eur=high)


def _nests(options: Sequence[Option]) -> dict[Key, list[int]]:
    nests: dict[Key, list[int]] = {}
    for i, option in enumerate(options):
        nests.setdefault(option.key, []).append(i)
    return nests


def _inclusive(model: ChoiceModel, worth: Sequence[float]) -> float:
    """What a station on a stay is worth with all its starts."""
    top = max(worth, default=-inf)
    return top + model.start_scale * log(sum(exp((each - top) / model.start_scale) for each in worth))


def _start(option: Option) -> Key:
    """Another draw for each start, the same one as often as the start is offered."""
    return (f"{option.key[0]}+{round(option.wait_h * _QUARTERS_AN_HOUR)}", option.key[1])
