"""Which charging choice a driver picks (D5.1 3.5.2, ID 5.2.4): a logit model over stations, stays and starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import exp, log
from typing import Final, TypeAlias

Key: TypeAlias = tuple[str, int]
"""A station and the number of the stay."""
OUTSIDE: Final[Key] = ("", -1)
"""None of the choices: charging somewhere else, or another day."""


@dataclass(frozen=True, slots=True)
class ChoiceModel:
    cost_per_eur: float = -0.15
    per_km: float = -0.2
    per_hour_waiting: float = -0.6
    per_hour_shift: float = -0.1
    per_hour_spare: float = 0.1
    missing_eur_per_kwh: float = 0.8
    outside: float = -6.0
    start_scale: float = 0.5


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


def utility(model: ChoiceModel, option: Option) -> float:
    raise NotImplementedError


def probabilities(model: ChoiceModel, options: Sequence[Option]) -> list[float]:
    """One for each option, and the outside option's last; they add up to 1."""
    raise NotImplementedError


def choose(model: ChoiceModel, options: Sequence[Option], noise: Callable[[Key], float]) -> int | None:
    """The number of the option picked, None for the outside option; `noise` is e.g. `partial(gumbel, seed, need_id)`."""
    raise NotImplementedError


def gumbel(seed: int, need_id: str, key: Key) -> float:
    """A standard Gumbel draw that is the same whenever the same driver's need meets the same alternative."""
    raise NotImplementedError


def price_elasticity(model: ChoiceModel, options: Sequence[Option], index: int) -> float:
    """Own-price elasticity of the probability of one option: below 0."""
    raise NotImplementedError
