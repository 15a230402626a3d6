"""The EMSP: reads the meters, invoices by the tariff and by the services, and every cent is somebody's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.decisions.invoicing import Fees
from agents.decisions.money import cents
from agents.decisions.participation import Preference
from agents.decisions.tariff import Tariff
from agents.emsp import Emsp
from agents.ev_owner import EvOwner, Visit
from agents.ledger import Ledger
from behaviours.answering import Incoming, answers
from behaviours.outcomes import Agreed, Failed, Refused
from protocols import exchanges as x
from tests.agents.stage import MINUTE, Stage, at, informed
from tests.agents.vehicles import (
    FEEDER,
    OTHER,
    Asker,
    Driver,
    Dso,
    Meters,
    PayingFo,
    PayingManager,
    Tso,
    activation,
    voltage,
)
from tests.swarm import START, jid, run_swarm

ZONE = ZoneInfo("UTC")
TARIFF = Tariff(Decimal("0.12"), Decimal("0.08"), Decimal("0.03"), time(22), time(7))
"""Off-peak until 7:00, an hour after the start."""
FEES = Fees(Decimal("0.01"), Decimal("0.004"), Decimal("0.02"), Decimal("0.30"), Decimal(0))
Shown = Callable[[str, datetime], float]


@dataclass
class Books:
    """A real EMSP with the chargers c1 (manager m1) and c2 (m2) behind one feeder, and customers that pay."""

    stage: Stage
    emsp: Emsp
    meters: Meters
    customers: dict[str, Any]

    @classmethod
    async def open(
        cls,
        stage: Stage,
        shown: Shown,
        *invoices_at: float,
        fees: Fees = FEES,
        feeder_of_c2: str = FEEDER,
        meters_are: type[Meters] = Meters,
    ) -> Books:
        peers: dict[str, type[Asker]] = {
            "ev1": Driver,
            "ev2": Driver,
            "m1": PayingManager,
            "m2": PayingManager,
            "fo": PayingFo,
            "tso": Tso,
            "dso": Dso,
        }
        customers = {name: await stage.start(kind, name, ledger=stage.ledger) for name, kind in peers.items()}
        meters = await stage.start(meters_are, "meters", shown=shown)
        emsp = await stage.start(
            Emsp,
            "emsp",
            tariff=TARIFF,
            zone=ZONE,
            drivers={"c1": jid("ev1"), "c2": jid("ev2")},
            manager_of={"c1": jid("m1"), "c2": jid("m2")},
            feeder_of={"c1": FEEDER, "c2": feeder_of_c2},
            tso=jid("tso"),
            dso=jid("dso"),
            fees=fees,
            ledger=stage.ledger,
            invoices_at=[at(minutes) for minutes in invoices_at],
            until=START + timedelta(days=2),
        )
        emsp.spawn(emsp.course(), "course")
        await stage.settle()
        return cls(stage, emsp, meters, customers)

    async def note(self, content: Any) -> Agreed:
        answer = await self.customers["fo"].ask(content, "emsp")
        assert isinstance(answer, Agreed), answer
        return answer

    def lines(self, name: str) -> list[tuple[str, float | None, str]]:
        """What the customer was invoiced: item, kWh, EUR."""
        return [
            (line.item, line.energy_kwh, str(line.amount_eur))
            for invoice in self.customers[name].invoices
            for line in invoice.lines
        ]

    def balances(self) -> dict[str, str]:
        return {name: str(amount) for name, amount in self.stage.ledger.balances().items()}

    def audit(self) -> None:
        """The books add up to nothing, everybody has paid, and the EMSP keeps its margin but for the roundings."""
        found = self.stage.ledger.audit()
        assert (found.total_eur, found.faults) == (0, ())
        accounts = self.emsp.accounts
        for account in accounts.values():
            assert account.paid_eur == account.invoiced_eur
        kept = sum(account.owed_eur for account in accounts.values())
        rounding = sum((account.invoiced_eur - account.owed_eur for account in accounts.values()), Decimal(0))
        assert self.stage.balance("emsp") == kept + rounding
        assert abs(rounding) <= Decimal("0.005") * len(accounts)


def order(charger: str, power_kw: float, baseline_kw: float = 4.0) -> x.EvOrder:
    return x.EvOrder(user_id=charger, location="bus1", baseline_kw=baseline_kw, power_kw=power_kw)


def notice(signal: Any, *orders: tuple[str, x.EvOrder], **changed: Any) -> Any:
    """What the FO tells the EMSP of a service: orders by manager."""
    is_voltage = isinstance(signal, x.VoltageRequest)
    kind = x.VoltageNotice if is_voltage else x.CurtailmentNotice
    fields = {name: value for name, value in signal if name in kind.model_fields and name != "exchange"}
    managers = sorted({manager for manager, _ in orders})
    values: dict[str, Any] = {
        **fields,
        "user_id": "emsp",
        "power_kw": sum(each.power_kw for _, each in orders),
        "payer": jid("dso" if is_voltage else "tso"),
        "managers": tuple(
            x.ManagerOrders(manager=jid(m), orders=tuple(each for manager, each in orders if manager == m))
            for m in managers
        ),
    }
    return kind(**values | changed)


def dear(service_id: str, start: float, power_kw: float = -4.0, **changed: Any) -> Any:
    """A voltage service that wants less: grid use costs 0.24 (0.08 by day), so charging 0.36 (0.20)."""
    return voltage(service_id, power_kw, start, **{"grid_use_eur_per_kwh": Decimal("0.24")} | changed)


def test_without_services_every_driver_pays_metered_energy_times_tariff_for_a_whole_day() -> None:
    """A day of changing powers over both halves of the tariff, invoiced at its end."""

    def shown(charger: str, when: datetime) -> float:
        return (
            ((when.hour * 7 + when.minute // 15 * 3 + len(charger)) % 11) * 0.737
            + 0.1
            + (0.211 if charger == "c2" else 0)
        )

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, shown, 24 * 60)
        await stage.until(24 * 60 + 5)
        owed, charged, grid = dict.fromkeys(("c1", "c2"), Decimal(0)), Decimal(0), Decimal(0)
        for quarter in range(96):
            when = at(quarter * 15)
            for charger in owed:
                energy = Decimal(repr(round(shown(charger, when), 3))) / 4
                owed[charger] += energy * TARIFF.charging(when)
                grid += energy * TARIFF.grid_use(when)
                charged += energy
        assert [books.emsp.accounts[jid(f"ev{n}")].invoiced_eur for n in (1, 2)] == [cents(e) for e in owed.values()]
        assert stage.balance("ev1") == -cents(owed["c1"])
        assert stage.balance("dso") == cents(grid)
        assert stage.balance("tso") == cents(charged * (TARIFF.energy_eur_per_kwh - FEES.margin_eur_per_kwh))
        assert books.emsp.accounts.keys() == {jid(name) for name in ("ev1", "ev2", "dso", "tso")}
        assert sum(account.owed_eur for account in books.emsp.accounts.values()) == charged * FEES.margin_eur_per_kwh
        (invoice,) = books.customers["ev1"].invoices
        assert (invoice.start, invoice.end) == (at(0), at(24 * 60))
        assert [(line.item, str(line.price_eur_per_kwh)) for line in invoice.lines] == [
            ("charging", "0.15"),
            ("charging", "0.20"),
        ]
        books.audit()
        assert len(books.meters.queries) == 96
        assert stage.notices == []

    run_swarm(main, Stage())


def test_a_curtailment_service_is_invoiced_to_the_tso_with_its_fees_and_penalty() -> None:
    """By hand: c1 is asked for 4 kW beside 4 and draws 8; c2 is asked for the same and draws 5."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 8.0 if charger == "c1" else 5.0, 75)
        await stage.until(58)
        signal = activation("s1", 8.0, 60, duration_minutes=15)
        await books.note(notice(signal, ("m1", order("c1", 4.0)), ("m2", order("c2", 4.0))))
        await stage.until(80)
        # an hour at 0.15 off-peak (c1: 8 kWh, c2: 5 kWh), then the baseline's kWh at 0.20 and 1 and 0.25 kWh at 0.15
        assert books.lines("ev1") == [
            ("charging", 8.0, "1.20"),
            ("charging", 1.0, "0.20"),
            ("charging-in-service", 1.0, "0.15"),
        ]
        assert books.lines("ev2") == [
            ("charging", 5.0, "0.75"),
            ("charging", 1.0, "0.20"),
            ("charging-in-service", 0.25, "0.04"),
        ]
        # 3.25 kWh by day: grid use 0.08 for all; 2 kWh of energy at 0.12, 1.25 at 0.15 - 0.08, each less the margin
        assert books.lines("dso") == [("grid-use", -13.0, "-0.39"), ("grid-use", -3.25, "-0.26")]
        assert books.lines("tso") == [
            ("energy", -15.0, "-1.65"),
            ("energy", -1.25, "-0.07"),
            ("penalty", -0.75, "-0.23"),
            ("service", 1.25, "0.03"),
        ]
        assert books.lines("m1") == [("service", -1.0, "-0.02")]
        assert books.lines("m2") == [("penalty", 0.75, "0.22"), ("service", -0.25, "0.00")]
        assert books.emsp.accounts[jid("m2")].owed_eur == Decimal("0.22")
        # half a cent is not worth an invoice yet
        assert books.lines("fo") == []
        assert books.emsp.accounts[jid("fo")].owed_eur == Decimal("-0.005")
        books.audit()

    run_swarm(main, Stage())


def test_a_voltage_service_pays_the_driver_for_what_is_given_back_at_the_dsos_cost() -> None:
    """By hand: c1 is asked for 8 kW less than 4 and gives 4 kW back for a quarter of an hour."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: -4.0 if charger == "c1" else 0.0, 75)
        await stage.until(50)
        await books.note(notice(dear("v1", 60, -8.0, duration_minutes=15), ("m1", order("c1", -8.0))))
        await stage.until(80)
        assert books.lines("ev1") == [("discharging", -1.0, "-0.36")]
        assert books.lines("dso") == [("discharging", 1.0, "0.36"), ("service", 2.0, "0.05")]
        assert books.lines("m1") == [("service", -2.0, "-0.04")]
        assert books.lines("fo") == [("service", -2.0, "-0.01")]
        assert books.balances() == {"dso": "-0.41", "emsp": "0.00", "ev1": "0.36", "fo": "0.01", "m1": "0.04"}
        books.audit()

    run_swarm(main, Stage())


def test_a_service_that_is_called_off_within_a_quarter_counts_for_its_minutes_only() -> None:
    """Called off 5 min 30 s after its start: five minutes at 8 kW count, the ten at 4 kW after them are no failure."""

    def shown(charger: str, when: datetime) -> float:
        return 0.0 if charger == "c2" else 8.0 if at(60) <= when < at(65) else 4.0

    # of 8 kW for five minutes 4 kW are beyond the baseline: a third of a kWh at the service's price
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, shown, 75)
        await stage.until(50)
        agreed = await books.note(notice(activation("s1", 4.0, 60), ("m1", order("c1", 4.0))))
        await stage.until(65.5)
        done = await agreed.cancel(x.Cancellation(reference="s1", reason="no need"), at(67))
        assert informed(done) == x.Done(reference="s1")
        await stage.until(80)
        assert books.lines("ev1") == [
            ("charging", 4.0, "0.60"),
            ("charging", 1.000001, "0.20"),
            ("charging-in-service", 0.333333, "0.05"),
        ]
        assert books.lines("m1") == [("service", -0.333333, "-0.01")]
        assert books.meters.queries[-1].period_minutes == 1
        books.audit()

    run_swarm(main, Stage())


def test_a_renewal_takes_over_at_its_start_and_the_first_one_is_done() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 8.0 if charger == "c1" else 0.0, 105)
        await stage.until(50)
        first = await books.note(notice(activation("s1", 4.0, 60), ("m1", order("c1", 4.0))))
        renewal = activation("s2", 4.0, 75, renews="s1", charging_cost_eur_per_kwh=Decimal("0.10"))
        second = await books.note(notice(renewal, ("m1", order("c1", 4.0))))
        assert informed(await first.result()) == x.Done(reference="s1")
        assert stage.clock.now() == at(75)
        assert informed(await second.result()) == x.Done(reference="s2")
        assert stage.clock.now() == at(105)
        await stage.until(107)
        assert books.lines("ev1")[2:] == [("charging-in-service", 2.0, "0.20"), ("charging-in-service", 1.0, "0.15")]
        books.audit()

    run_swarm(main, Stage())


def test_a_vehicle_that_another_service_takes_is_in_that_one_from_then_on() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 8.0 if charger == "c1" else 0.0, 105)
        await stage.until(50)
        await books.note(notice(activation("s1", 4.0, 60), ("m1", order("c1", 4.0))))
        await books.note(notice(voltage("v1", 2.0, 75), ("m1", order("c1", 2.0))))
        await stage.until(107)
        services = {line.service: line.energy_kwh for line in books.customers["m1"].invoices[0].lines}
        assert services == {x.ServiceType.RES_CURTAILMENT: -1.0, x.ServiceType.VOLTAGE_CONTROL: -1.0}

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (notice(activation("s1", 4.0, 60), ("m1", order("c1", 4.0)), payer=jid("dso")), "cannot be invoiced for"),
        (notice(activation("s1", 4.0, 60), ("m1", order("c2", 4.0))), "charger c2 is not one of m1"),
        (notice(activation("s1", 4.0, 60), ("m1", order("c9", 4.0))), "charger c9 is not one of m1"),
        (notice(activation("s1", 4.0, 15), ("m1", order("c1", 4.0))), "too late: the meters are booked up to 06:45"),
        (notice(activation("s1", 4.0, 62), ("m1", order("c1", 4.0))), "does not start with a quarter of an hour"),
        (notice(dear("v1", 60, location=OTHER), ("m1", order("c1", -4.0))), "charger c1 is not behind feeder2"),
        (notice(activation("s2", 4.0, 60, renews="s1"), ("m1", order("c1", 4.0))), "there is no service s1"),
    ],
)
def test_a_notice_that_cannot_be_invoiced_is_refused_in_one_line(content: Any, why: str) -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 0.0)
        await stage.until(50)
        answer = await books.customers["fo"].ask(content, "emsp")
        assert isinstance(answer, Refused)
        assert why in answer.reason
        assert books.emsp.noted == {}

    run_swarm(main, Stage())


def test_what_is_told_twice_or_is_over_changes_nothing() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 0.0)
        content = notice(activation("s1", 4.0, 15, duration_minutes=15), ("m1", order("c1", 4.0)))
        agreed = await books.note(content)
        again = await books.customers["fo"].ask(content, "emsp")
        assert isinstance(again, Refused)
        assert "told of already" in again.reason
        await stage.until(31)
        late = await agreed.cancel(x.Cancellation(reference="s1", reason="no need"), at(33))
        assert isinstance(late, Failed)
        assert books.emsp.noted["s1"].end == at(30)

    run_swarm(main, Stage())


def test_a_meter_that_does_not_answer_is_named_and_invoiced_when_it_does() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 60, 120)
        books.meters.dead = {"c2"}
        await stage.until(62)
        assert stage.noticed("the meters of c2 do not answer") == 1
        assert stage.noticed("lack what c2 still has") == 1
        assert books.lines("ev1") == [("charging", 4.0, "0.60")]
        assert books.lines("ev2") == []
        books.meters.dead = set()
        await stage.until(125)
        assert books.lines("ev2") == [("charging", 4.0, "0.60"), ("charging", 4.0, "0.80")]
        assert stage.noticed("the meters of c2 answer again") == 1
        books.audit()

    run_swarm(main, Stage())


def test_an_invoice_that_is_not_paid_is_named_and_stays_owed() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 60)
        books.customers["ev2"].pays = False
        await stage.until(65)
        assert stage.noticed("over 0.60 EUR is not paid: refused by ev2@localhost: the account is empty") == 1
        account = books.emsp.accounts[jid("ev2")]
        assert (account.invoiced_eur, account.paid_eur) == (Decimal("0.60"), 0)
        assert stage.balance("ev2") == 0
        assert books.emsp.accounts[jid("ev1")].paid_eur == Decimal("0.60")

    run_swarm(main, Stage())


def test_a_payment_of_a_customer_outside_is_booked_by_the_emsp() -> None:
    """It cannot write the books; here it writes some of its own."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 60)
        books.emsp.swarm = replace(books.emsp.swarm, outside=frozenset({jid("ev2")}))
        with Ledger("sqlite://") as another:
            books.customers["ev2"].ledger = another
            await stage.until(65)
        assert stage.noticed("is not paid") == 0
        assert stage.balance("ev2") == Decimal("-0.60")
        books.audit()

    run_swarm(main, Stage())


def test_a_payment_that_the_books_do_not_show_is_none() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 60)

        with Ledger("sqlite://") as another:
            books.customers["ev2"].ledger = another
            await stage.until(65)
        assert stage.noticed("the books do not show it") == 1
        assert books.emsp.accounts[jid("ev2")].paid_eur == 0

    run_swarm(main, Stage())


def test_several_invoices_of_a_day_lose_no_cent_between_them() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 0.333, *range(15, 25 * 60, 15))
        await stage.until(24 * 60 + 2)
        for name in ("ev1", "ev2", "dso", "tso"):
            account = books.emsp.accounts[jid(name)]
            assert account.invoiced_eur == pytest.approx(account.owed_eur, abs=Decimal("0.005"))
        assert len(books.customers["ev1"].invoices) > 50
        assert stage.clock.now() >= at(24 * 60) + MINUTE
        books.audit()

    run_swarm(main, Stage())


def test_a_raised_grid_use_is_paid_by_everybody_behind_the_feeder_and_the_dso_gets_just_that() -> None:
    """c1 serves and draws 2 of its 4 kW; c2 is asked nothing and draws 4 kW: a kWh at 0.24 instead of 0.08."""

    async def main(stage: Stage) -> None:
        shown = {"c1": 2.0, "c2": 4.0}
        books = await Books.open(stage, lambda charger, when: shown[charger] if when >= at(60) else 0.0, 90)
        await stage.until(50)
        await books.note(notice(dear("v1", 60, -2.0, duration_minutes=15), ("m1", order("c1", -2.0))))
        await stage.until(95)
        # a quarter of an hour at 0.36, and one at 0.20
        assert books.lines("ev1") == [("charging", 0.5, "0.10"), ("charging-in-service", 0.5, "0.18")]
        assert books.lines("ev2") == [("charging", 1.0, "0.20"), ("charging", 1.0, "0.36")]
        assert [line for line in books.lines("dso") if line[0] == "grid-use"] == [
            ("grid-use", -1.5, "-0.12"),
            ("grid-use", -1.5, "-0.36"),
        ]
        # energy costs what it always costs
        assert sum(float(amount) for item, _, amount in books.lines("tso") if item == "energy") == pytest.approx(-0.33)
        books.audit()

    run_swarm(main, Stage())


def test_a_lowered_grid_use_is_paid_by_who_is_not_asked_too_but_not_behind_another_feeder() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 4.0 if when >= at(60) else 0.0, 75, feeder_of_c2=OTHER)
        await stage.until(50)
        cheap = dear("v1", 60, 4.0, grid_use_eur_per_kwh=Decimal("0.01"), duration_minutes=15)
        await books.note(notice(cheap, ("m1", order("c1", 4.0, baseline_kw=0.0))))
        await stage.until(80)
        assert books.lines("ev1") == [("charging-in-service", 1.0, "0.13")]
        assert books.lines("ev2") == [("charging", 1.0, "0.20")]
        books.audit()

    run_swarm(main, Stage())


def test_the_tariff_of_a_service_that_is_called_off_counts_for_its_minutes_for_everybody() -> None:
    """Called off 6 min 40 s after its start: six minutes of c2 cost 0.36, nine 0.20. 4 kW are a 15th of a kWh each."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 4.0 if c == "c2" and when >= at(60) else 0.0, 75)
        await stage.until(50)
        agreed = await books.note(notice(dear("v1", 60), ("m1", order("c1", -4.0))))
        await stage.until(66 + 2 / 3)
        await agreed.cancel(x.Cancellation(reference="v1", reason="no need"), at(68))
        await stage.until(80)
        assert books.lines("ev2") == [("charging", 0.6, "0.12"), ("charging", 0.4, "0.14")]
        assert [line for line in books.lines("dso") if line[0] == "grid-use"] == [
            ("grid-use", -0.6, "-0.05"),
            ("grid-use", -0.4, "-0.09"),
        ]
        books.audit()

    run_swarm(main, Stage())


def test_a_renewal_replaces_the_tariff_of_the_service_that_it_renews() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 4.0 if c == "c2" and when >= at(60) else 0.0, 105)
        await stage.until(50)
        await books.note(notice(dear("v1", 60), ("m1", order("c1", -4.0))))
        renewal = dear("v2", 75, renews="v1", grid_use_eur_per_kwh=Decimal("0.14"))
        await books.note(notice(renewal, ("m1", order("c1", -4.0))))
        await stage.until(110)
        # a kWh at 0.36, then two at 0.26
        assert books.lines("ev2") == [("charging", 2.0, "0.52"), ("charging", 1.0, "0.36")]
        books.audit()

    run_swarm(main, Stage())


def test_a_vehicle_that_takes_up_wind_pays_the_grid_use_that_its_neighbours_pay() -> None:
    """Both services at once behind a feeder: the TSO's vehicle c2 has cheaper energy (0.15 - 0.08 instead of 0.12)."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 8.0 if c == "c2" and when >= at(60) else 0.0, 75)
        await stage.until(50)
        await books.note(notice(dear("v1", 60, duration_minutes=15), ("m1", order("c1", -4.0))))
        await books.note(notice(activation("s1", 4.0, 60, duration_minutes=15), ("m2", order("c2", 4.0))))
        await stage.until(80)
        # a kWh as all have it at 0.12 + 0.24, a kWh of wind at 0.07 + 0.24
        assert books.lines("ev2") == [("charging", 1.0, "0.36"), ("charging-in-service", 1.0, "0.31")]
        assert [line for line in books.lines("dso") if line[0] == "grid-use"] == [("grid-use", -2.0, "-0.48")]
        assert [line for line in books.lines("tso") if line[0] == "energy"] == [
            ("energy", -1.0, "-0.06"),
            ("energy", -1.0, "-0.11"),
        ]
        books.audit()

    run_swarm(main, Stage())


def test_only_the_first_quarter_of_a_service_is_firm() -> None:
    """30 minutes are promised and nothing comes: a kWh is penalised; of the other what is delivered would be paid."""

    async def main(stage: Stage) -> None:
        def shown(charger: str, when: datetime) -> float:
            return {"c1": 4.0, "c2": 8.0}[charger] if when >= at(60) else 0.0

        books = await Books.open(stage, shown, 90)
        await stage.until(50)
        await books.note(notice(activation("s1", 8.0, 60), ("m1", order("c1", 4.0)), ("m2", order("c2", 4.0))))
        await stage.until(95)
        assert books.lines("m1") == [("penalty", 1.0, "0.30")]
        assert books.lines("m2") == [("service", -2.0, "-0.04")]
        books.audit()

    run_swarm(main, Stage())


def test_a_renewal_that_is_called_off_before_it_starts_ends_the_old_service_all_the_same() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 4.0 if c == "c2" and when >= at(60) else 0.0, 105)
        await stage.until(50)
        first = await books.note(notice(dear("v1", 60), ("m1", order("c1", -4.0))))
        renewal = await books.note(notice(dear("v2", 75, renews="v1"), ("m1", order("c1", -4.0))))
        await stage.until(70)
        await renewal.cancel(x.Cancellation(reference="v2", reason="no need"), at(72))
        assert informed(await first.result()) == x.Done(reference="v1")
        assert stage.clock.now() == at(75)
        await stage.until(110)
        # of v1 only the first quarter of an hour counts, for the tariff and for the service
        assert books.lines("ev2") == [("charging", 2.0, "0.40"), ("charging", 1.0, "0.36")]
        assert books.lines("m1") == [("service", -1.0, "-0.02")]
        books.audit()

    run_swarm(main, Stage())


def test_the_wrong_orders_of_a_notice_are_named_and_left_out_and_the_rest_is_invoiced() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 8.0, 75)
        await stage.until(58)
        orders = [("m1", order("c1", 4.0)), ("m1", order("c2", 4.0)), ("m2", order("c9", 4.0))]
        await books.note(notice(activation("s1", 12.0, 60, duration_minutes=15), *orders))
        assert stage.noticed("charger c2 is not one of m1@localhost; charger c9 is not one of m2@localhost") == 1
        await stage.until(80)
        assert books.lines("m1") == [("service", -1.0, "-0.02")]
        assert books.lines("m2") == []
        assert books.lines("ev2") == [("charging", 8.0, "1.20"), ("charging", 2.0, "0.40")]
        books.audit()

    run_swarm(main, Stage())


@pytest.mark.parametrize("minutes", [62.0, 75.5])
def test_a_notice_after_its_start_counts_from_there_while_that_quarter_is_not_booked(minutes: float) -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda c, when: 4.0 if c == "c2" and when >= at(60) else 0.0, 90)
        await stage.until(50)
        old = await books.note(notice(dear("v1", 45, duration_minutes=45), ("m1", order("c1", -4.0))))
        await stage.until(minutes)
        late = dear("v2", 60, renews="v1", duration_minutes=15, grid_use_eur_per_kwh=Decimal("0.14"))
        new = await books.note(notice(late, ("m1", order("c1", -4.0))))
        assert informed(await old.result()) == x.Done(reference="v1")
        assert books.emsp.noted["v1"].end == at(60)
        assert informed(await new.result()) == x.Done(reference="v2")
        await stage.until(95)
        assert books.lines("ev2") == [("charging", 1.0, "0.20"), ("charging", 1.0, "0.26")]
        books.audit()

    run_swarm(main, Stage())


class SlowMeters(Meters):
    """Meters that take half a minute to answer."""

    @answers(x.MeterQuery)
    async def on_query(self, query: x.MeterQuery, incoming: Incoming) -> Any:
        await self.clock.sleep_until(self.now() + MINUTE / 2)
        return await super().on_query(query, incoming)


@pytest.mark.parametrize("minutes", [76.25, 77.0], ids=["being read", "read"])
def test_a_notice_after_its_quarter_was_booked_is_refused(minutes: float) -> None:
    """Also while the meters are being read: what they show may be booked before the notice is agreed to."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 90, meters_are=SlowMeters)
        await stage.until(minutes)
        answer = await books.customers["fo"].ask(notice(activation("s1", 4.0, 60), ("m1", order("c1", 4.0))), "emsp")
        assert isinstance(answer, Refused)
        assert "it comes too late: the meters are booked up to 07:15" in answer.reason

    run_swarm(main, Stage())


def test_a_service_of_a_charger_whose_meter_is_late_may_be_told_late() -> None:
    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 8.0 if when >= at(60) else 0.0, 105)
        books.meters.dead = {"c1"}
        await stage.until(80)
        await books.note(notice(activation("s1", 4.0, 60, duration_minutes=30), ("m1", order("c1", 4.0))))
        books.meters.dead = set()
        await stage.until(110)
        assert books.lines("m1") == [("service", -2.0, "-0.04")]
        books.audit()

    run_swarm(main, Stage())


def test_a_late_tariff_is_refused_where_a_neighbours_quarter_is_booked() -> None:
    """c1's own meter is silent, but c2's quarter of an hour is booked at the ordinary tariff."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 4.0, 90)
        books.meters.dead = {"c1"}
        await stage.until(80)
        answer = await books.customers["fo"].ask(notice(dear("v1", 60), ("m1", order("c1", -4.0))), "emsp")
        assert isinstance(answer, Refused)
        assert "booked up to 07:15" in answer.reason

    run_swarm(main, Stage())


def test_a_driver_who_disputes_an_invoice_is_named_and_the_invoice_stays_unpaid() -> None:
    """A real driver of a 50 kWh battery that came with 40 % is charged 44 kWh: 33.5 kWh are believed at most."""

    async def main(stage: Stage) -> None:
        books = await Books.open(stage, lambda charger, when: 44.0 if charger == "c1" else 0.0, 60)
        stay = Visit("car-1", at(0), 40.0, at(0), at(300), 50.0, 40.0, 60.0, 20.0)
        driver = await stage.start(
            EvOwner,
            "ev3",
            operator=jid("m1"),
            charger_id="c1",
            max_charge_kw=11.0,
            efficiency=0.94,
            visits=[stay],
            preference=Preference(),
            ledger=stage.ledger,
        )
        books.emsp.drivers = {"c1": driver.address, "c2": jid("ev2")}
        await stage.until(65)
        assert stage.noticed("is not paid: refused by ev3@localhost") == 1
        assert stage.noticed("44.00 kWh were charged, and my battery could have taken 34.01 kWh at most") == 1
        account = books.emsp.accounts[driver.address]
        assert (str(account.invoiced_eur), str(account.paid_eur)) == ("6.60", "0")
        assert stage.balance("ev3") == 0
        assert stage.ledger.audit().total_eur == 0

    run_swarm(main, Stage())
