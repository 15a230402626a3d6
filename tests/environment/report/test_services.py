"""Services read out of a trace: how each began and ended, and who counts in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from environment.report.invoices import invoices
from environment.report.sequence import richest_service
from environment.report.services import Service, chains, services
from environment.run_folder import Trace, read_trace
from protocols.acl import Performative
from protocols.exchanges.vocabulary import ServiceType

from .island import FEEDERS, ROLES, Night, clock
from .script import Script, jid

WIND, VOLTAGE = ServiceType.RES_CURTAILMENT, ServiceType.VOLTAGE_CONTROL


@pytest.fixture(scope="module")
def trace(island_folder: Path) -> Trace:
    return read_trace(island_folder / "trace.jsonl")


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Script], Trace]:
    """The trace of a script."""

    def write(script: Script) -> Trace:
        header: dict[str, Any] = {"trace": 1, "scenario": "portugal", "seed": 3, "roles": ROLES}
        path = tmp_path / "trace.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in (header, *script.ordered())) + "\n", encoding="utf-8")
        return read_trace(path)

    return write


def only(found: tuple[Service, ...]) -> Service:
    (service,) = found
    return service


def test_a_renewed_service_ends_where_its_renewal_starts_and_the_last_where_it_was_cancelled(
    told: Callable[[Script], Trace],
) -> None:
    night = Night()
    night.chain(WIND, 1.0, 1.75, 60.0)
    found = services(told(night.script))
    assert [service.ended for service in found] == ["renewed", "renewed", "cancelled"]
    assert [service.end for service in found] == [clock(1.25), clock(1.5), clock(1.75)]
    assert [service.renews for service in found] == [None, found[0].id, found[1].id]
    assert chains(found) == (found,)


def test_a_service_that_nobody_renews_or_cancels_lapses_after_what_was_asked_for(
    told: Callable[[Script], Trace],
) -> None:
    night = Night()
    night.service(VOLTAGE, clock(22), -12.0, feeder=FEEDERS[0])
    service = only(services(told(night.script)))
    assert (service.ended, service.end) == ("lapsed", clock(22.5))
    assert service.quarters == (clock(22), clock(22.25))
    assert (service.asker, service.feeder, service.asked_kw) == (jid("dso"), FEEDERS[0], -12.0)
    assert (service.grid_use, service.charging_cost) == (Decimal("0.155000"), Decimal("0.245000"))


def test_who_was_called_and_who_was_chosen_is_counted_and_what_is_available_is_what_was_answered(
    told: Callable[[Script], Trace],
) -> None:
    night = Night()
    night.service(WIND, clock(1), 60.0)
    service = only(services(told(night.script)))
    assert (service.called, service.managers, service.vehicles) == (8, 6, 12)
    assert service.available_kw == pytest.approx(60 * 0.9 + 2 * 0.15)


def test_a_refused_service_never_took_place_and_keeps_its_reason(told: Callable[[Script], Trace]) -> None:
    night = Night()
    night.service(VOLTAGE, clock(13), 6.0, feeder=FEEDERS[1], refused=True)
    service = only(services(told(night.script)))
    assert (service.ended, service.took_place, service.quarters) == ("refused", False, ())
    assert service.reason == "no vehicle behind this feeder can change anything"
    assert richest_service(told(night.script), (service,)) is None


def test_a_service_that_nobody_answered_never_took_place(told: Callable[[Script], Trace]) -> None:
    night = Night()
    night.service(WIND, clock(1), 60.0)
    night.script.lines = night.script.lines[:1]
    service = only(services(told(night.script)))
    assert (service.ended, service.took_place, service.available_kw) == ("unanswered", False, 0.0)


def test_a_service_cancelled_before_it_begins_never_took_place(told: Callable[[Script], Trace]) -> None:
    night = Night()
    night.cancelled(night.service(WIND, clock(1), 60.0), clock(1) - timedelta(minutes=1))
    service = only(services(told(night.script)))
    assert (service.ended, service.end, service.took_place) == ("cancelled", clock(1), False)


def test_strangers_forged_and_malformed_words_change_nothing(told: Callable[[Script], Trace]) -> None:
    night = Night()
    night.service(WIND, clock(1), 60.0)
    honest = services(told(night.script))
    lines = night.script.lines
    request = lines[0]
    agree = next(line for line in lines if line["performative"] == "agree" and line["receiver"] == jid("tso"))
    award = next(line for line in lines if line["performative"] == "accept-proposal")
    cancel = {"exchange": None, "reference": request["content"]["service_id"], "reason": "mine now"}
    night.script.lines = [
        *lines,
        {**request, "sender": jid("owner-ev-01"), "content": {**request["content"], "service_id": "forged"}},
        {**request, "content": {**request["content"], "power_kw": "plenty", "service_id": "malformed"}},
        {**request, "sender": jid("v2x-1"), "performative": "cancel", "exchange": None, "content": cancel},
        {**agree, "sender": jid("v2x-1"), "content": {**agree["content"], "available_power_kw": 9e9}},
        {**award, "sender": jid("v2x-8"), "receiver": jid("v2x-7")},
    ]
    assert services(told(night.script)) == honest


def test_the_richest_service_tells_the_managers_as_one_and_what_they_offer_in_all(trace: Trace) -> None:
    found = services(trace)
    story = richest_service(trace, found)
    assert story is not None
    assert isinstance(story.subject, Service)
    assert story.subject.ended == "cancelled"
    assert [(line.name, line.members) for line in story.lifelines] == [
        ("DSO", 1), ("flexibility operator", 1), ("V2X managers", 8), ("EMSP", 1),
    ]  # fmt: skip
    calls = {step.performative: step for step in story.steps if (step.source, step.target) in ((1, 2), (2, 1))}
    assert {act: step.count for act, step in calls.items()} == {
        Performative.CFP: 8, Performative.PROPOSE: 6, Performative.REFUSE: 2, Performative.ACCEPT_PROPOSAL: 6,
        Performative.CANCEL: 6, Performative.INFORM: 6,
    }  # fmt: skip
    assert calls[Performative.PROPOSE].power_kw == pytest.approx(story.subject.available_kw)
    assert calls[Performative.PROPOSE].gist == f"{story.subject.available_kw:.1f} kW in all"


def test_an_invoice_counts_once_from_an_emsp_to_its_customer_and_is_paid_when_the_customer_says_so(
    told: Callable[[Script], Trace],
) -> None:
    night = Night()
    night.invoiced("tso", "11.20", 320.0, "service")
    night.invoiced("dso", "4.85", 48.5, "service", paid=False)
    first, answer, second = night.script.lines
    night.script.lines += [
        first,
        {**first, "sender": jid("v2x-1"), "content": {**first["content"], "invoice_id": "forged"}},
        {**second, "receiver": jid("tso"), "content": {**second["content"], "invoice_id": "astray"}},
        {**answer, "content": {**answer["content"], "invoice_id": "inv-dso"}},
    ]
    found = invoices(told(night.script))
    assert [(row.invoice.invoice_id, row.paid) for row in found] == [("inv-tso", True), ("inv-dso", False)]


def test_the_summary_tells_each_service_and_the_prices_of_each_quarter_that_it_changed(island_folder: Path) -> None:
    written = json.loads((island_folder / "summary.json").read_text())
    assert len(written["services"]) == 39
    first = written["services"][0]
    assert (first["id"], first["kind"], first["ended"], first["feeder"]) == (
        "wind-0100",
        "res-curtailment",
        "renewed",
        None,
    )
    assert (first["managers"], first["vehicles"], first["charging_cost"]) == (6, 12, "0.080000")
    changed = written["tariffs"]["changed"]
    assert len(changed) == 38
    assert {row["grid_use_eur_per_kwh"] for row in changed if row["kind"] == "res-curtailment"} == {None}
    assert {row["grid_use_eur_per_kwh"] for row in changed if row["kind"] != "res-curtailment"} == {
        "0.020000", "0.155000",
    }  # fmt: skip
    assert len(written["invoices"]) == 36
    assert sum(Decimal(amount) for amount in written["money"].values()) == 0
