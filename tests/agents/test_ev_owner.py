"""The EV owner: what it tells the CPO, and what it takes part in (D5.1, 3.1.2)."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from agents.actor import Actor
from agents.decisions.customer import Consent
from agents.decisions.participation import Preference
from agents.ev_owner import EvOwner, Visit
from agents.ledger import Ledger
from behaviours.answering import Incoming, Inform, Reply, answers
from behaviours.outcomes import Accepted, CalledOff, Failed, Informed, Refused, Rejected
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import MINUTE, PlainVpp, Stage, at
from tests.swarm import jid, run_swarm


class Desk(Actor):
    role = Role.CPO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.noted: list[tuple[Any, x.SessionAnnouncement]] = []
        self.silent = False

    @answers(x.SessionAnnouncement)
    async def on_session(self, session: x.SessionAnnouncement, incoming: Incoming) -> Reply:
        self.noted.append((self.now(), session))
        if self.silent:
            await self.clock.sleep_until(at(10_000))
        return Inform(x.Done(reference=session.vehicle_id))


def visit(arrival: float = 30, departure: float = 300, **changed: Any) -> Visit:
    values: dict[str, Any] = {
        "vehicle_id": "car-1",
        "expected_arrival": at(arrival + 5),
        "expected_soc_percent": 33.0,
        "arrival": at(arrival),
        "departure": at(departure),
        "capacity_kwh": 50.0,
        "soc_percent": 40.0,
        "wanted_soc_percent": 60.0,
        "minimum_soc_percent": 20.0,
    }
    return Visit(**values | changed)


async def owner(
    stage: Stage, *visits: Visit, preference: Preference | None = None, ledger: Ledger | None = None
) -> EvOwner:
    return await stage.start(
        EvOwner,
        "ev-1",
        operator=jid("cpo1"),
        charger_id="c1",
        max_charge_kw=11.0,
        efficiency=0.94,
        visits=visits,
        preference=preference or Preference(minimum_eur_per_kwh=0.05),
        ledger=ledger,
    )


def offer(kind: Any = x.ParticipationRequest, **changed: Any) -> Any:
    values: dict[str, Any] = {
        "activation_id": "a1",
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "start": at(60),
        "end": at(120),
        "power_kw": 5.0,
        "benefit_eur": Decimal("0.30"),
    }
    return kind(**values | changed)


async def answer(stage: Stage, desk: Desk, content: Any) -> Any:
    return await desk.propose(content, to=jid("ev-1"), reply_by=stage.clock.now() + 2 * MINUTE)


def test_a_stay_is_announced_as_expected_and_again_when_the_plug_is_in() -> None:
    """1.x.8, the "projected usage" of D5.1 3.1.1: what is expected may differ from what then happens."""

    async def main(stage: Stage) -> None:
        desk = await stage.start(Desk, "cpo1")
        driver = await owner(stage, visit())
        driver.spawn(driver.course(), "course")
        await stage.until(40)
        (early, expected), (late, arrived) = desk.noted
        assert (early, late) == (at(0), at(30))
        assert (expected.plugged_in, expected.arrival, expected.soc_percent) == (False, at(35), 33.0)
        assert (arrived.plugged_in, arrived.arrival, arrived.soc_percent) == (True, at(30), 40.0)
        assert (arrived.charger_id, arrived.departure, arrived.wanted_soc_percent) == ("c1", at(300), 60.0)

    run_swarm(main, Stage())


def test_every_stay_is_announced_when_it_begins_even_where_the_cpo_is_silent() -> None:
    async def main(stage: Stage) -> None:
        desk = await stage.start(Desk, "cpo1")
        desk.silent = True
        driver = await owner(stage, visit(30, 60), visit(90, 200))
        driver.spawn(driver.course(), "course")
        await stage.until(100)
        assert [(when, s.plugged_in) for when, s in desk.noted if s.plugged_in] == [(at(30), True), (at(90), True)]

    run_swarm(main, Stage())


@pytest.mark.parametrize("kind", [x.ParticipationInformation, x.ParticipationRequest], ids=["1.2.5", "6.2.3"])
def test_an_offer_that_pays_and_costs_no_charge_is_accepted(kind: Any) -> None:
    async def main(stage: Stage) -> None:
        desk = await stage.start(Desk, "cpo1")
        await owner(stage, visit())
        outcome = await answer(stage, desk, offer(kind))
        assert isinstance(outcome, Accepted)
        assert outcome.content.activation_id == "a1"  # type: ignore[attr-defined]
        assert outcome.reason == ""

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "preference", "why"),
    [
        ({"benefit_eur": Decimal("0.20")}, None, "0.20 EUR is less than the 0.25 EUR"),
        ({}, Preference(willing=False), "I take no part in services"),
        ({"start": at(0), "end": at(60)}, None, "my car is not at the charger"),
        ({"start": at(240), "end": at(330)}, None, "my car is not at the charger"),
        ({"start": at(225), "end": at(300), "power_kw": 18.0, "benefit_eur": Decimal(9)}, None, "short of the charge"),
    ],
    ids=["too little", "unwilling", "not there yet", "gone by then", "would cost the charge"],
)
def test_an_offer_is_declined_with_the_reason(changed: Any, preference: Preference | None, why: str) -> None:
    async def main(stage: Stage) -> None:
        desk = await stage.start(Desk, "cpo1")
        await owner(stage, visit(wanted_soc_percent=95.0), preference=preference)
        outcome = await answer(stage, desk, offer(**changed))
        assert isinstance(outcome, Rejected)
        assert why in outcome.reason

    run_swarm(main, Stage())


def test_the_stay_that_holds_the_whole_service_counts() -> None:
    async def main(stage: Stage) -> None:
        desk = await stage.start(Desk, "cpo1")
        await owner(stage, visit(0, 45), visit(50, 400))
        assert isinstance(await answer(stage, desk, offer()), Accepted)
        assert isinstance(await answer(stage, desk, offer(start=at(30), end=at(60))), Rejected)

    run_swarm(main, Stage())


def test_only_a_cpo_may_ask_a_driver() -> None:
    async def main(stage: Stage) -> None:
        await owner(stage, visit())
        vpp = await stage.start(PlainVpp, "vpp1")
        outcome = await vpp.propose(offer(), to=jid("ev-1"), reply_by=at(2))
        assert isinstance(outcome, Rejected)
        assert outcome.content.code == "not-authorised"  # type: ignore[attr-defined]

    run_swarm(main, Stage())


class Emsp(Actor):
    role = Role.EMSP

    async def bill(self, number: int, *lines: tuple[str, float], start: float = 0, end: float = 400) -> Any:
        """An invoice over kWh by item, each at 0.10 EUR/kWh; the answer to it."""
        shown = tuple(
            x.InvoiceLine(
                item=item,
                energy_kwh=kwh,
                price_eur_per_kwh=Decimal("0.1"),
                amount_eur=Decimal(str(round(kwh / 10, 2))),
            )
            for item, kwh in lines
        )
        invoice = x.Invoice(
            invoice_id=f"i{number}",
            customer=jid("ev-1"),
            start=at(start),
            end=at(end),
            lines=shown,
            amount_eur=sum((line.amount_eur for line in shown), Decimal(0)),
            due=self.now() + 10 * MINUTE,
        )
        return await self.request(invoice, to=jid("ev-1"), reply_by=self.now() + 2 * MINUTE)


def test_an_invoice_over_what_the_battery_could_take_is_paid_and_over_more_is_refused() -> None:
    """60 % of 50 kWh at 94 %: 31.91 kWh at the meter, with 5 % and half a kWh of error 34.01."""

    async def main(stage: Stage) -> None:
        emsp = await stage.start(Emsp, "emsp")
        await owner(stage, visit(), ledger=stage.ledger)
        refused = await emsp.bill(1, ("charging", 20.0), ("charging-in-service", 14.1))
        assert isinstance(refused, Refused)
        assert "i1: 34.10 kWh were charged, and my battery could have taken 34.01 kWh at most" in refused.reason
        assert stage.balance("ev-1") == 0
        assert isinstance(await emsp.bill(2, ("charging", 20.0), ("charging-in-service", 14.0)), Informed)
        assert stage.balance("ev-1") == Decimal("-3.40")

    run_swarm(main, Stage())


def test_what_was_given_back_may_be_charged_again() -> None:
    async def main(stage: Stage) -> None:
        emsp = await stage.start(Emsp, "emsp")
        await owner(stage, visit(), ledger=stage.ledger)
        # 5 kWh at the meter were 5.32 in the battery, and take 5.66 to be charged again
        assert isinstance(await emsp.bill(1, ("charging", 40.0), ("discharging", -5.0)), Refused)
        assert isinstance(await emsp.bill(2, ("charging", 39.5), ("discharging", -5.0)), Informed)

    run_swarm(main, Stage())


def test_the_same_energy_is_not_paid_twice_but_the_same_invoice_is_answered_again() -> None:
    async def main(stage: Stage) -> None:
        emsp = await stage.start(Emsp, "emsp")
        await owner(stage, visit(), ledger=stage.ledger)
        assert isinstance(await emsp.bill(1, ("charging", 30.0)), Informed)
        assert isinstance(await emsp.bill(1, ("charging", 30.0)), Informed)
        again = await emsp.bill(2, ("charging", 30.0))
        assert isinstance(again, Refused)
        assert "60.00 kWh were charged" in again.reason
        assert stage.balance("ev-1") == Decimal("-3.00")

    run_swarm(main, Stage())


def test_only_the_stays_in_the_time_of_an_invoice_count_for_it() -> None:
    async def main(stage: Stage) -> None:
        emsp = await stage.start(Emsp, "emsp")
        await owner(stage, visit(30, 90), visit(120, 300), visit(500, 600), ledger=stage.ledger)
        assert isinstance(await emsp.bill(1, ("charging", 40.0), start=100, end=400), Refused)
        assert isinstance(await emsp.bill(2, ("charging", 60.0), start=0, end=400), Informed)
        assert isinstance(await emsp.bill(3, ("charging", 1.0), start=310, end=400), Refused)
        assert isinstance(await emsp.bill(4, ("charging", 30.0), start=480, end=700), Informed)

    run_swarm(main, Stage())


def test_another_invoice_under_the_same_number_is_refused_and_not_an_accident() -> None:
    async def main(stage: Stage) -> None:
        emsp = await stage.start(Emsp, "emsp")
        await owner(stage, visit(), ledger=stage.ledger)
        assert isinstance(await emsp.bill(1, ("charging", 10.0)), Informed)
        other = await emsp.bill(1, ("charging", 12.0))
        assert isinstance(other, Refused)
        assert "booked already" in other.reason

    run_swarm(main, Stage())


# ---- BUC 3 and BUC 7: a parking lot's services -----------------------------------------------------------------------


class Manager(Actor):
    role = Role.V2X_MANAGER


def option(number: int = 1, **changed: Any) -> x.CustomerOption:
    values: dict[str, Any] = {
        "activation_id": f"r1/{number}",
        "kind": x.ActivationKind.SHIFT,
        "power_kw": 10.0,
        "energy_kwh": 5.0,
        "price_eur_per_kwh": Decimal("0.10"),
        "departure_soc_percent": 60.0,
    }
    return x.CustomerOption(**values | changed)


def customer_request(*options: x.CustomerOption, **changed: Any) -> x.CustomerRequest:
    values: dict[str, Any] = {
        "request_id": "r1",
        "charger_id": "c1",
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "start": at(60),
        "duration_minutes": 30,
        "options": options or (option(),),
        "reduction_price_eur_per_kwh": Decimal("0.20"),
        "discharging_price_eur_per_kwh": Decimal("0.30"),
    }
    return x.CustomerRequest(**values | changed)


async def lot_driver(stage: Stage, **changed: Any) -> tuple[Manager, EvOwner]:
    """At minute 50, with the car at the charger."""
    manager = await stage.start(Manager, "lot1")
    driver = await stage.start(
        EvOwner,
        "ev-1",
        **{
            "operator": jid("lot1"),
            "charger_id": "c1",
            "max_charge_kw": 11.0,
            "efficiency": 0.94,
            "visits": [visit()],
            "preference": Preference(minimum_eur_per_kwh=0.05),
        }
        | changed,
    )
    await stage.until(50)
    return manager, driver


async def asked(manager: Manager, request: x.CustomerRequest) -> Any:
    return await manager.call_for_proposals(request, to=[jid("ev-1")], reply_by=manager.now() + MINUTE)


async def awarded(manager: Manager, tender: Any, **changed: Any) -> Any:
    values: dict[str, Any] = {
        "request_id": "r1",
        "activation_id": "r1/1",
        "power_kw": 10.0,
        "benefit_eur": Decimal("0.50"),
    }
    word = x.CustomerAward(**values | changed)
    return (await tender.award({jid("ev-1"): word}, done_by=at(91)))[jid("ev-1")]


def remuneration(**changed: Any) -> x.Remuneration:
    values: dict[str, Any] = {
        "remuneration_id": "lot1-r1-c1",
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "reference": "r1",
        "ev_owner": jid("ev-1"),
        "start": at(60),
        "end": at(90),
        "energy_kwh": 4.0,
        "amount_eur": Decimal("0.40"),
    }
    return x.Remuneration(**values | changed)


async def told(manager: Manager, paid: x.Remuneration) -> Any:
    return await manager.request(paid, to=jid("ev-1"), reply_by=manager.now() + MINUTE)


def unjudged() -> Stage:
    """Without the DSO's call, to which all of this refers."""
    stage = Stage()
    stage.swarm = dataclasses.replace(stage.swarm, judge=False)
    return stage


def test_an_activation_that_suits_the_driver_is_named_and_its_award_confirmed() -> None:
    """3.2."""

    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage)
        tender = await asked(manager, customer_request(option(1, departure_soc_percent=50.0), option(2)))
        (proposal,) = tender.proposals
        assert proposal.content == x.CustomerAnswer(request_id="r1", activation_id="r1/2")
        result = await awarded(manager, tender, activation_id="r1/2")
        assert isinstance(result, Informed)
        assert manager.now() == at(90), "the driver holds to it until the end"

    run_swarm(main, unjudged())


def test_a_driver_hears_of_an_early_end_and_what_was_delivered_until_then_is_due() -> None:
    """3.3 as it comes to the customers: FIPA's cancel in the conversation of 3.2."""

    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage)
        tender = await asked(manager, customer_request())
        result = manager.spawn(awarded(manager, tender), "award")
        await stage.until(75)
        assert not result.done()
        end = x.Cancellation(reference="r1", reason="the network has room again")
        answer = await tender.cancel(jid("ev-1"), end, at(76))
        assert (type(answer), answer.content) == (Informed, x.Done(reference="r1"))
        await stage.until(75.5)
        assert isinstance(result.result(), CalledOff)
        # 10 kW for a quarter of an hour at the 0.10 EUR/kWh of the award
        assert isinstance(await told(manager, remuneration(energy_kwh=2.5, amount_eur=Decimal("0.25"))), Informed)
        less = remuneration(remuneration_id="less", energy_kwh=2.5, amount_eur=Decimal("0.20"))
        assert "0.25 EUR are due for 2.5 kWh" in (await told(manager, less)).reason

    run_swarm(main, unjudged())


@pytest.mark.parametrize(
    ("request_", "changed", "why"),
    [
        (customer_request(option(price_eur_per_kwh=Decimal("0.04"))), {}, "0.0400 EUR/kWh are less than"),
        (customer_request(option(departure_soc_percent=55.0)), {}, "I would leave with 55.0 %"),
        (customer_request(duration_minutes=255), {}, "I leave before the service ends"),
        (customer_request(charger_id="c2"), {}, "does not manage my car at c2"),
        (customer_request(), {"operator": jid("lot2")}, "does not manage my car"),
        (customer_request(), {"visits": [visit(200, 300)]}, "my car is not at the charger"),
        (customer_request(), {"preference": Preference(willing=False)}, "I take no part in services"),
    ],
    ids=["too little", "too empty", "too long", "another charger", "another's manager", "not there", "unwilling"],
)
def test_a_request_is_declined_with_the_reason(request_: x.CustomerRequest, changed: dict[str, Any], why: str) -> None:
    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage, **changed)
        tender = await asked(manager, request_)
        (refusal,) = tender.refusals
        assert why in refusal.reason

    run_swarm(main, unjudged())


def test_only_a_flexible_driver_leaves_with_a_part_missing() -> None:
    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage, consent=Consent(flexible=True))
        short = option(kind=x.ActivationKind.CURTAIL, departure_soc_percent=50.0)
        assert len((await asked(manager, customer_request(short))).proposals) == 1

    run_swarm(main, unjudged())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"power_kw": 12.0, "benefit_eur": Decimal("0.60")}, "12 kW are more than 10 kW"),
        ({"benefit_eur": Decimal("0.48")}, "0.48 EUR are less than the 0.50 EUR"),
        ({"activation_id": "r1/9"}, "I have not agreed to that"),
    ],
    ids=["more", "less paid", "another"],
)
def test_an_award_that_is_not_what_was_agreed_to_fails(changed: dict[str, Any], why: str) -> None:
    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage)
        result = await awarded(manager, await asked(manager, customer_request()), **changed)
        assert isinstance(result, Failed)
        assert why in result.reason

    run_swarm(main, unjudged())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, None),
        ({"amount_eur": Decimal("0.39")}, None),
        ({"energy_kwh": 9.0, "amount_eur": Decimal("0.50")}, None),
        ({"amount_eur": Decimal("0.38")}, "0.40 EUR are due for 4 kWh, not 0.38"),
        ({"reference": "r2"}, "I have no award for r2"),
        ({"ev_owner": jid("ev-2")}, "that is between"),
        ({"service": x.ServiceType.FREQUENCY_CONTAINMENT, "reference": "offer-1"}, None),
    ],
    ids=["its share", "a cent of rounding", "more than promised", "too little", "unknown", "another's", "of FCR"],
)
def test_a_remuneration_is_held_against_the_award(changed: dict[str, Any], why: str | None) -> None:
    """3.x.4."""

    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage)
        assert isinstance(await awarded(manager, await asked(manager, customer_request())), Informed)
        await stage.until(92)
        outcome = await told(manager, remuneration(**changed))
        assert isinstance(outcome, Informed if why is None else Refused), outcome
        if why is not None:
            assert why in outcome.reason

    run_swarm(main, unjudged())


def test_a_remuneration_must_be_in_the_books() -> None:
    async def main(stage: Stage) -> None:
        manager, _ = await lot_driver(stage, ledger=stage.ledger)
        await awarded(manager, await asked(manager, customer_request()))
        outcome = await told(manager, remuneration())
        assert isinstance(outcome, Refused)
        assert "not in the books" in outcome.reason
        stage.ledger.transfer("paid", at(91), "r1", payer="lot1", payee="ev-1", amount_eur=Decimal("0.40"))
        assert isinstance(await told(manager, remuneration(remuneration_id="paid")), Informed)
        assert isinstance(await told(manager, remuneration(remuneration_id="paid")), Informed)

    run_swarm(main, unjudged())
