"""How drivers choose: shares, elasticity, and draws that stay the same."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import exp, log

import pytest

from agents.decisions.choice import (
    OUTSIDE,
    PUBLIC_CHARGING_ELASTICITY,
    USUAL,
    ChoiceModel,
    Key,
    Option,
    choose,
    demand_elasticity,
    gumbel,
    price_elasticity,
    probabilities,
    utility,
    with_elasticity,
)

MODEL = ChoiceModel()


def cheaper(options: tuple[Option, ...], index: int, eur: float) -> tuple[Option, ...]:
    option = replace(options[index], amount_eur=options[index].amount_eur - eur)
    return (*options[:index], option, *options[index + 1 :])


def picks(options: tuple[Option, ...], drivers: int = 4000, model: ChoiceModel = MODEL) -> list[int | None]:
    return [choose(model, options, partial(gumbel, 7, f"need-{number}")) for number in range(drivers)]


def test_shares_of_stations_are_a_multinomial_logit() -> None:
    worth = [exp(utility(MODEL, option)) for option in USUAL] + [exp(MODEL.outside)]
    assert probabilities(MODEL, USUAL) == pytest.approx([each / sum(worth) for each in worth])


def test_every_disadvantage_costs_utility_and_spare_time_beyond_an_hour_is_worth_no_more() -> None:
    option = USUAL[0]
    for field in ("amount_eur", "distance_km", "wait_h", "shift_h", "missing_kwh"):
        assert utility(MODEL, replace(option, **{field: getattr(option, field) + 1})) < utility(MODEL, option), field
    assert utility(MODEL, replace(option, spare_h=0.0)) < utility(MODEL, option)
    assert utility(MODEL, replace(option, spare_h=9.0)) == utility(MODEL, replace(option, spare_h=1.0))


def test_the_default_has_the_elasticity_of_its_source() -> None:
    assert demand_elasticity(MODEL) == pytest.approx(PUBLIC_CHARGING_ELASTICITY, rel=0.01)
    assert demand_elasticity(with_elasticity(MODEL, -1.5)) == pytest.approx(-1.5, rel=1e-6)
    with pytest.raises(ValueError, match="out of reach"):
        with_elasticity(MODEL, 0.2)


def test_the_assumptions_are_what_they_are_said_to_be() -> None:
    near, far = probabilities(MODEL, (USUAL[0], replace(USUAL[0], key=("far", 0), distance_km=4)))[:2]
    assert near / (near + far) == pytest.approx(0.75, abs=0.01)
    assert MODEL.per_hour_waiting / MODEL.cost_per_eur == pytest.approx(7.5, abs=0.1)
    assert MODEL.per_hour_shift / MODEL.cost_per_eur == pytest.approx(2.0, abs=0.05)
    assert 0.01 < probabilities(MODEL, USUAL)[-1] < 0.02


@pytest.mark.parametrize("index", range(4))
def test_the_elasticity_is_the_derivative_of_the_shares(index: int) -> None:
    options = (USUAL[0], replace(USUAL[0], wait_h=1.25, amount_eur=16.0), *USUAL[1:])
    step = 1e-5 * options[index].amount_eur
    up, down = (log(probabilities(MODEL, cheaper(options, index, sign * step))[index]) for sign in (-1, 1))
    assert price_elasticity(MODEL, options, index) == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_the_ratio_of_two_stations_does_not_depend_on_a_third() -> None:
    with_third, without = probabilities(MODEL, USUAL[:3]), probabilities(MODEL, USUAL[:2])
    assert with_third[0] / with_third[1] == pytest.approx(without[0] / without[1])


def test_utilities_twice_as_far_apart_square_the_ratio() -> None:
    twice = replace(MODEL, cost_per_eur=2 * MODEL.cost_per_eur, per_km=2 * MODEL.per_km, outside=2 * MODEL.outside)
    one, two = probabilities(MODEL, USUAL), probabilities(twice, USUAL)
    assert two[0] / two[1] == pytest.approx((one[0] / one[1]) ** 2)


def test_a_second_start_at_a_station_is_not_a_second_station() -> None:
    twice = probabilities(MODEL, (*USUAL, replace(USUAL[0], wait_h=0.5)))
    as_stations = probabilities(replace(MODEL, start_scale=1.0), (*USUAL, replace(USUAL[0], wait_h=0.5)))
    once = probabilities(MODEL, USUAL)[0]
    assert once < twice[0] + twice[4] < as_stations[0] + as_stations[4]


def test_drivers_pick_as_often_as_the_probabilities_say() -> None:
    options = (*USUAL, replace(USUAL[1], wait_h=1.0, amount_eur=15.0))
    made = picks(options)
    shares = [made.count(index) / len(made) for index in range(len(options))] + [made.count(None) / len(made)]
    assert shares == pytest.approx(probabilities(MODEL, options), abs=0.025)


def test_a_larger_reduction_moves_more_drivers_and_never_all() -> None:
    before = picks(USUAL)
    counts = []
    for eur in (0.0, 1.5, 3.0, 9.0, 18.0):
        after = picks(cheaper(USUAL, 2, eur))
        assert all(new == old or new == 2 for old, new in zip(before, after, strict=True))
        counts.append(after.count(2))
    assert counts == sorted(set(counts))
    assert counts[-1] < len(before)


def test_nobody_picks_where_there_is_nothing_and_few_go_away_otherwise() -> None:
    assert choose(MODEL, [], partial(gumbel, 1, "need-1")) is None
    assert probabilities(MODEL, []) == [1.0]
    assert 0 < picks(USUAL).count(None) < 0.03 * 4000


def test_a_draw_is_the_drivers_own_and_stays_the_same() -> None:
    assert gumbel(1, "need-1", ("north", 0)) == gumbel(1, "need-1", ("north", 0))
    others: list[tuple[int, str, Key]] = [
        (2, "need-1", ("north", 0)),
        (1, "need-2", ("north", 0)),
        (1, "need-1", ("south", 0)),
        (1, "need-1", ("north", 1)),
        (1, "need-1", OUTSIDE),
    ]
    assert len({gumbel(1, "need-1", ("north", 0)), *(gumbel(*other) for other in others)}) == 6


def test_draws_are_standard_gumbel() -> None:
    draws = sorted(gumbel(3, f"need-{number}", ("north", 0)) for number in range(4000))
    worst = max(abs((rank + 0.5) / 4000 - exp(-exp(-draw))) for rank, draw in enumerate(draws))
    assert worst < 0.025  # Kolmogorov and Smirnov: 1 % level


@pytest.mark.parametrize("wrong", [{"cost_per_eur": 0.0}, {"start_scale": 0.0}, {"start_scale": 1.2}])
def test_a_model_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ChoiceModel(**wrong)
