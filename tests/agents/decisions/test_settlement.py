"""Settlement: UFTP's golden case, cents that add up, volumes agreed and disputed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.money import cents
from agents.decisions.settlement import Sold, VolumeAgreed, VolumeDisputed, agree_volume, baseline_fault, settle

kilowatts = st.floats(-1000, 1000)


@pytest.mark.parametrize(("allocation", "pays"), [(7, 14), (8, 14), (9, -4), (10, -22), (11, -33)])
def test_the_golden_case_of_uftp(allocation: float, pays: int) -> None:
    assert settle([10], [allocation], 2, Decimal(7), Decimal(11)).amount_eur == pays


def test_the_golden_case_as_one_activation_of_five_periods() -> None:
    result = settle([10] * 5, [7, 8, 9, 10, 11], 2, Decimal(7), Decimal(11))
    assert [period.net_eur for period in result.periods] == [14, 14, -4, -22, -33]
    assert [period.delivered_kw for period in result.periods] == [2, 2, 1, 0, 0]
    assert [period.deficiency_kw for period in result.periods] == [0, 0, 1, 2, 3]
    assert (result.remuneration_eur, result.penalty_eur, result.amount_eur) == (35, 66, -31)
    assert result.volume_kwh == Decimal("1.25")


def test_feeding_back_is_delivery_too() -> None:
    assert settle([3.0], [-7.0], 10, Decimal("0.05"), Decimal("0.1")).amount_eur == Decimal("0.50")


def test_cents_of_the_periods_add_up_to_the_bill() -> None:
    # 0.005 EUR in each period: rounded one by one they would all be lost
    result = settle([1.0] * 8, [0.0] * 8, 1, Decimal("0.005"), Decimal(0))
    assert result.remuneration_eur == Decimal("0.04")
    assert sum(period.remuneration_eur for period in result.periods) == Decimal("0.04")


@pytest.mark.parametrize(
    ("baseline", "allocation", "ordered", "words"),
    [
        ([1.0], [1.0, 2.0], 1, "do not match"),
        ([1.0], [1.0], [1.0, 1.0], "do not match"),
        ([1.0], [1.0], -1, "negative"),
    ],
)
def test_series_that_do_not_fit_are_refused(
    baseline: list[float], allocation: list[float], ordered: float | list[float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        settle(baseline, allocation, ordered, Decimal(1), Decimal(1))


@given(
    st.lists(st.tuples(kilowatts, kilowatts, st.floats(0, 100)), min_size=1, max_size=20),
    st.decimals(0, 2, places=4),
    st.decimals(0, 2, places=4),
)
def test_every_settlement_adds_up(rows: list[tuple[float, float, float]], price: Decimal, penalty: Decimal) -> None:
    baseline, allocation, ordered = (list(column) for column in zip(*rows, strict=True))
    result = settle(baseline, allocation, ordered, price, penalty)
    assert result.amount_eur == result.remuneration_eur - result.penalty_eur
    assert sum(p.remuneration_eur for p in result.periods) == result.remuneration_eur
    assert sum(p.penalty_eur for p in result.periods) == result.penalty_eur
    assert result.remuneration_eur == cents(sum(p.delivered_kw for p in result.periods) * price)
    for period in result.periods:
        assert 0 <= period.delivered_kw <= period.ordered_kw
        assert period.deficiency_kw >= 0
        # what was ordered was delivered or is missing, and only a rise above the baseline is missing beyond it
        rise = max(Decimal(0), period.allocation_kw - period.baseline_kw)
        assert period.delivered_kw + period.deficiency_kw == period.ordered_kw + rise


def test_volumes_within_the_tolerance_agree() -> None:
    assert agree_volume([10.0, 5.05, 100.0], [10.1, 5.0, 102.0]) == VolumeAgreed()


def test_a_claim_that_is_off_is_disputed_by_period() -> None:
    answer = agree_volume([10.0, 8.0, 6.0], [10.0, 5.0, 5.0])
    assert isinstance(answer, VolumeDisputed)
    assert answer.periods == (1, 2)
    assert answer.reason == "2 of 3 periods differ; period 1: claimed 8.000 kW, own 5.000 kW"


def test_a_claim_of_other_length_or_of_nonsense_is_disputed() -> None:
    short = agree_volume([1.0], [1.0, 1.0])
    assert isinstance(short, VolumeDisputed)
    assert short.periods == (1,)
    assert isinstance(agree_volume([float("nan")], [1.0]), VolumeDisputed)


def test_a_penalty_may_be_for_no_more_than_what_was_ordered() -> None:
    allocation = [7.0, 8.0, 9.0, 10.0, 11.0]
    result = settle([10.0] * 5, allocation, 2.0, Decimal(7), Decimal(11), penalty_for_ordered_only=True)
    assert [period.net_eur for period in result.periods] == [14, 14, -4, -22, -22]


AT = datetime(2026, 1, 15, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOLD = Sold(AT, AT + HOUR, 30.0, (80.0, 70.0, 80.0, 80.0))


@pytest.mark.parametrize(
    ("start", "nominated", "fault"),
    [
        (AT, [50.0, 40.0], None),
        (AT, [50.0, 41.0], "41 kW are nominated where the consumption is sold down to 40 kW already"),
        (AT + HOUR / 2, [50.0, 50.0], None),
        (AT - HOUR / 4, [90.0, 50.0], None),
        (AT - HOUR / 4, [90.0, 51.0], "51 kW are nominated where the consumption is sold down to 50 kW already"),
        (AT + HOUR, [90.0, 90.0], None),
        (AT - HOUR / 2, [90.0, 90.0], None),
        (AT + HOUR, [90.0, 101.0], "101 kW are nominated, and the registered chargers draw 100 kW at most"),
        (AT, [50.0], "the nomination has 1 values for 2 periods"),
        (AT + HOUR / 2, None, "it overlaps an earlier service, and a metered baseline cannot tell two apart"),
        (AT + HOUR, None, None),
    ],
)
def test_what_is_sold_cannot_be_nominated_again(start: datetime, nominated: list[float] | None, fault: str) -> None:
    assert baseline_fault(start, start + HOUR / 2, nominated, 100.0, [SOLD]) == fault


def test_besides_a_service_without_a_baseline_nothing_can_be_nominated() -> None:
    unknown = Sold(AT, AT + HOUR, 30.0, ())
    fault = baseline_fault(AT, AT + HOUR / 2, [1.0, 1.0], 100.0, [unknown])
    assert fault == "it overlaps an earlier service of which no baseline is known"
