"""Invoicing: cases reckoned by hand, nothing lost between the parties, cents that add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.invoicing import Account, Delivery, Entry, Fees, Served, Span, delivery, energy_kwh, entries
from agents.decisions.money import cents
from protocols.exchanges.vocabulary import ServiceType

VOLTAGE, CURTAILMENT = ServiceType.VOLTAGE_CONTROL, ServiceType.RES_CURTAILMENT
FEES = Fees(Decimal("0.01"), Decimal("0.004"), Decimal("0.02"), Decimal("0.30"), Decimal(0))
START = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
PLAIN = Span("driver", 4.0, 15, Decimal("0.20"), Decimal("0.08"))


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def served(service: ServiceType, promised_kw: float, charging: str, **changed: object) -> Served:
    values: dict[str, object] = {
        "service": service,
        "payer": "dso" if service is VOLTAGE else "tso",
        "fo": "fo",
        "manager": "manager",
        "baseline_kw": 4.0,
        "promised_kw": promised_kw,
        "charging_eur_per_kwh": Decimal(charging),
        "discharging_eur_per_kwh": Decimal(charging),
    }
    return Served(**values | changed)  # type: ignore[arg-type]


def owed(span: Span, fees: Fees = FEES) -> dict[tuple[str, str], Decimal]:
    found: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for e in entries(span, fees, tso="tso", dso="dso"):
        found[e.customer, e.item] += e.amount_eur
    return dict(found)


def test_without_a_service_the_driver_pays_the_tariff_and_its_parts_go_to_dso_and_tso() -> None:
    # 4 kW for a quarter: 1 kWh, of which the EMSP keeps a cent
    assert owed(PLAIN) == {
        ("driver", "charging"): Decimal("0.20"),
        ("dso", "grid-use"): Decimal("-0.08"),
        ("tso", "energy"): Decimal("-0.11"),
    }


def test_what_is_given_back_unasked_is_worth_nothing() -> None:
    assert owed(replace(PLAIN, power_kw=-4.0)) == {}


def test_a_curtailment_service_changes_what_the_tso_gets_for_energy() -> None:
    # asked: 4 kW more than 4; metered 7: 1 kWh at 0.20 and 0.75 kWh, what is delivered, at 0.15; 0.25 kWh missing
    span = replace(PLAIN, power_kw=7.0, served=served(CURTAILMENT, 4.0, "0.15"))
    assert owed(span) == {
        ("driver", "charging"): Decimal("0.20"),
        ("driver", "charging-in-service"): Decimal("0.1125"),
        ("dso", "grid-use"): Decimal("-0.14"),
        ("tso", "energy"): Decimal("-0.155"),
        ("tso", "service"): Decimal("0.018"),
        ("fo", "service"): Decimal("-0.003"),
        ("manager", "service"): Decimal("-0.015"),
        ("manager", "penalty"): Decimal("0.075"),
        ("tso", "penalty"): Decimal("-0.075"),
    }
    assert delivery(span) == Delivery(Decimal("0.75"), Decimal("0.25"))


def test_only_what_is_drawn_beyond_the_baseline_and_was_promised_has_the_services_price() -> None:
    # 4 kW more than 4 were promised: of 10 kW four have the service's price, six the ordinary one
    more = owed(replace(PLAIN, power_kw=10.0, served=served(CURTAILMENT, 4.0, "0.15")))
    assert (more["driver", "charging"], more["driver", "charging-in-service"]) == (Decimal("0.30"), Decimal("0.15"))
    # beside a baseline of -2 kW, 3 kW are 5 beyond it: no more than is drawn has the price
    turned = owed(replace(PLAIN, power_kw=3.0, served=served(CURTAILMENT, 6.0, "0.15", baseline_kw=-2.0)))
    assert turned["driver", "charging-in-service"] == Decimal("0.1125")
    assert ("driver", "charging") not in turned
    # nothing beyond the baseline
    none = owed(replace(PLAIN, power_kw=4.0, served=served(CURTAILMENT, 4.0, "0.15")))
    assert none["driver", "charging"] == Decimal("0.20")
    assert ("driver", "charging-in-service") not in none


def test_who_takes_no_part_pays_the_changed_grid_use_and_the_line_says_whose_it_is() -> None:
    span = replace(
        PLAIN, charging_eur_per_kwh=Decimal("0.36"), grid_use_eur_per_kwh=Decimal("0.24"), grid_use_by=VOLTAGE
    )
    assert owed(span) == {
        ("driver", "charging"): Decimal("0.36"),
        ("dso", "grid-use"): Decimal("-0.24"),
        ("tso", "energy"): Decimal("-0.11"),
    }
    assert {e.service for e in entries(span, FEES, tso="tso", dso="dso") if e.item != "energy"} == {VOLTAGE}


def test_what_is_missing_after_the_firm_quarter_is_not_penalised_and_what_comes_is_paid() -> None:
    tail = replace(PLAIN, power_kw=7.0, served=served(CURTAILMENT, 4.0, "0.15", firm=False))
    assert {key: amount for key, amount in owed(tail).items() if "manager" in key or "penalty" in key} == {
        ("manager", "service"): Decimal("-0.015")
    }


def test_a_voltage_service_changes_what_the_dso_gets_and_who_asked_pays_the_discharging() -> None:
    # asked: 8 kW less than 4; metered -4: 1 kWh given back at 0.36, 2 kWh delivered
    span = replace(PLAIN, power_kw=-4.0, served=served(VOLTAGE, -8.0, "0.36"))
    assert owed(span) == {
        ("driver", "discharging"): Decimal("-0.36"),
        ("dso", "discharging"): Decimal("0.36"),
        ("dso", "service"): Decimal("0.048"),
        ("fo", "service"): Decimal("-0.008"),
        ("manager", "service"): Decimal("-0.04"),
    }
    raised = replace(
        PLAIN, charging_eur_per_kwh=Decimal("0.36"), grid_use_eur_per_kwh=Decimal("0.24"), grid_use_by=VOLTAGE
    )
    charging = owed(replace(raised, power_kw=2.0, served=served(VOLTAGE, -2.0, "0.36")))
    # half a kWh: of 0.36 the energy is still 0.12, so the grid use is 0.24
    assert charging["driver", "charging-in-service"] == Decimal("0.18")
    assert (charging["dso", "grid-use"], charging["tso", "energy"]) == (Decimal("-0.12"), Decimal("-0.055"))


def test_what_is_missing_within_the_tolerance_costs_nothing_and_beyond_it_the_rest() -> None:
    tolerant = replace(FEES, tolerance=Decimal("0.1"))
    missing = replace(PLAIN, power_kw=7.6, served=served(CURTAILMENT, 4.0, "0.15"))
    assert ("manager", "penalty") not in owed(missing, tolerant)
    # 1 kWh promised, 0.25 missing, 0.1 borne
    worse = replace(PLAIN, power_kw=7.0, served=served(CURTAILMENT, 4.0, "0.15"))
    assert owed(worse, tolerant)["manager", "penalty"] == Decimal("0.045")


def test_only_the_minutes_of_the_service_count_as_promised() -> None:
    span = replace(PLAIN, power_kw=4.0, minutes=5, served=served(CURTAILMENT, 4.0, "0.15"))
    found = delivery(span)
    assert found is not None
    assert (found.delivered_kwh, found.missing_kwh) == (Decimal(0), Decimal("0.333333"))


def test_a_price_below_zero_turns_the_energy_and_not_the_price() -> None:
    # wind that costs less than the grid's use and the margin: the TSO pays for its energy
    span = replace(PLAIN, served=served(CURTAILMENT, 4.0, "0.07", baseline_kw=0.0))
    (entry,) = [e for e in entries(span, FEES, tso="tso", dso="dso") if e.item == "energy"]
    assert entry == Entry("tso", "energy", CURTAILMENT, Decimal(1), Decimal("0.02"))


def test_a_quarter_of_any_metered_power_is_exact() -> None:
    assert energy_kwh(3.333, 15) == Decimal("0.833250")


@pytest.mark.parametrize("wrong", [{"margin_eur_per_kwh": Decimal(-1)}, {"fo_eur_per_kwh": Decimal("0.0000001")}])
def test_fees_that_no_invoice_can_show_are_an_error(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="fees"):
        replace(FEES, **wrong)


prices = st.integers(0, 900_000).map(lambda millionths: Decimal(millionths) / 1_000_000)
powers = st.floats(-22, 22)
spans = st.builds(
    Span,
    driver=st.sampled_from(["ev1", "ev2"]),
    power_kw=powers,
    minutes=st.integers(1, 15),
    charging_eur_per_kwh=prices.map(lambda price: price + 1),
    grid_use_eur_per_kwh=prices,
    grid_use_by=st.sampled_from([None, VOLTAGE]),
    served=st.none()
    | st.builds(
        Served,
        service=st.sampled_from([VOLTAGE, CURTAILMENT]),
        payer=st.sampled_from(["tso", "dso"]),
        fo=st.just("fo"),
        manager=st.sampled_from(["m1", "m2"]),
        baseline_kw=powers,
        promised_kw=powers.filter(bool),
        charging_eur_per_kwh=prices,
        discharging_eur_per_kwh=prices,
        firm=st.booleans(),
    ),
)


@given(st.lists(spans, max_size=12))
def test_what_all_owe_together_is_the_margin_of_what_was_charged(seen: list[Span]) -> None:
    total = sum((e.amount_eur for span in seen for e in entries(span, FEES, tso="tso", dso="dso")), Decimal(0))
    charged = sum((max(Decimal(0), energy_kwh(span.power_kw, span.minutes)) for span in seen), Decimal(0))
    assert total == charged * FEES.margin_eur_per_kwh


@given(st.lists(spans, max_size=12), st.integers(1, 4))
def test_invoices_add_up_to_what_is_owed_and_none_is_further_from_its_lines_than_a_cent(
    seen: Sequence[Span], times: int
) -> None:
    accounts: defaultdict[str, Account] = defaultdict(Account)
    for number, span in enumerate(seen):
        for entry in entries(span, FEES, tso="tso", dso="dso"):
            accounts[entry.customer].note(entry, at(number))
        if number % times == 0:
            _invoice_all(accounts)
    _invoice_all(accounts)
    for account in accounts.values():
        assert account.invoiced_eur == cents(account.owed_eur) or account.open


def _invoice_all(accounts: dict[str, Account]) -> None:
    for account in accounts.values():
        lines = account.lines()
        for line in lines:
            assert line.amount_eur == cents(line.amount_eur)
            assert line.price_eur_per_kwh is not None
            assert line.energy_kwh is not None
            exact = Decimal(repr(line.energy_kwh)) * line.price_eur_per_kwh
            assert abs(line.amount_eur - exact) <= Decimal("0.0100001")
        if lines:
            assert account.invoiced(lines) == sum(line.amount_eur for line in lines)


def test_what_is_not_worth_a_cent_waits_for_the_next_invoice() -> None:
    account = Account()
    small = Entry("driver", "charging", None, Decimal("0.01"), Decimal("0.20"))
    account.note(small, at(15))
    assert account.lines() == ()
    for _ in range(2):
        account.note(small, at(30))
    (line,) = account.lines()
    assert (line.energy_kwh, line.amount_eur) == (0.03, Decimal("0.01"))
    assert account.invoiced([line]) == Decimal("0.01")
    assert (account.owed_eur, account.invoiced_eur, account.lines()) == (Decimal("0.006"), Decimal("0.01"), ())
