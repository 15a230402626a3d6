"""What a page of public stations takes from the trace: only well-formed words of those whose part it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from environment.report import (
    public_material,
    public_prices,
    public_services,
    public_sessions,
    public_stations,
    public_week,
)
from environment.report.material import read
from environment.run_folder import Trace, read_trace
from protocols import exchanges as x

from .public import BEGINS, MONDAY, asked, charges, make_public_run, monday, picks, tell, wants
from .script import Script, jid


@pytest.fixture(scope="module")
def trace(public_folder: Path) -> Trace:
    return read_trace(public_folder / "trace.jsonl")


def added(folder: Path, more: Script) -> Trace:
    """The trace of a folder with more messages at its end."""
    path = folder / "trace.jsonl"
    with path.open("a", encoding="utf-8") as lines:
        for line in more.ordered():
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    return read_trace(path)


@pytest.fixture
def folder(public_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(public_folder, tmp_path / "run"))


def test_the_auction_is_read_with_its_lots_and_contracts(trace: Trace) -> None:
    (auction,) = public_services.read(trace).auctions
    lots = {lot.call.station_id: lot for lot in auction.lots}
    assert lots["markopoulo-west"].contract_id == "c-markopoulo-west"
    assert (lots["markopoulo-west"].limit_kw, lots["markopoulo-west"].price_eur) == (40.0, 28.0)
    assert lots["koropi-east"].contract_id is None
    assert lots["koropi-east"].reason == "the DSO buys nothing of this curve"
    assert [len(lot.bid.curve) for lot in auction.lots if lot.bid is not None] == [3, 3]
    assert auction.decision is not None
    assert auction.decision.expected_without_kwh == 24.0
    assert [contract.contract_id for contract in auction.contracts] == ["c-markopoulo-west"]


def test_limits_have_what_their_operator_said(trace: Trace) -> None:
    kept, refused = public_services.read(trace).activations
    assert (kept.agreed, kept.kept, kept.reason) == (True, True, None)
    assert (refused.agreed, refused.kept, refused.reason) == (False, None, "two sessions need 55 kW")


def test_a_reduction_says_who_passed_it_on_and_a_bill_who_owes_it(trace: Trace) -> None:
    found = public_services.read(trace)
    assert [each.passed_on for each in found.lowered] == [(jid("second-cpo"),)]
    assert [(each.cpo, each.bill.reduction_eur, each.agreed) for each in found.bills] == [
        (jid("second-cpo"), Decimal("8.40"), True)
    ]
    assert [(each.settlement.settlement_id, each.agreed) for each in found.settled] == [("s-1", True)]
    assert found.owners == {"koropi-east": jid("ppc"), "markopoulo-west": jid("second-cpo")}


def test_a_bill_that_is_sent_again_is_billed_once(folder: Path, trace: Trace) -> None:
    (billed,) = public_services.read(trace).bills
    more = Script(conversations=900)
    tell(more, monday(25), "hedno", "second-cpo", "request", "request", more.opens(), billed.bill)
    assert public_services.read(added(folder, more)).bills == (billed,)


def test_words_of_strangers_and_malformed_ones_count_nowhere(folder: Path, trace: Trace) -> None:
    more, at = Script(conversations=900), monday(11)
    reduction = x.NetworkPriceReduction(
        reduction_id="false", timestamp=at, locations=("Bus 4",), reduction_eur_per_kwh=Decimal("0.30"),
        start=monday(14), end=monday(15),
    )  # fmt: skip
    asked(more, at, "driver-003", "ppc", reduction, "false")  # a driver lowers no network price
    more.says(at, "hedno", "ppc", "request", "request", more.opens(), "4.2.1", reduction_id="half")
    told = public_services.read(added(folder, more))
    assert [each.reduction.reduction_id for each in told.lowered] == ["cheaper-1"]
    assert told.activations == public_services.read(trace).activations


def test_an_answer_of_somebody_else_is_none(folder: Path) -> None:
    more, at = Script(conversations=900), monday(11)
    limit = x.CapacityLimit(
        activation_id="a-9", contract_id="c-markopoulo-west", timestamp=at, station_id="markopoulo-west",
        limit_kw=40.0, start=monday(41), end=monday(46),
    )  # fmt: skip
    conversation = more.opens()
    tell(more, at, "hedno", "second-cpo", "request", "request", conversation, limit)
    tell(more, at, "ppc", "hedno", "agree", "request", conversation, x.Done(reference="a-9"))
    found = public_services.read(added(folder, more)).activations
    assert [each.agreed for each in found if each.limit.activation_id == "a-9"] == [None]


def test_a_need_has_all_its_askings_and_what_was_kept(trace: Trace) -> None:
    found = public_sessions.read(trace)
    needs = {need.need_id: need for need in found.needs}
    assert list(needs) == [f"driver-00{number}-1" for number in range(1, 5)]
    moved = needs["driver-001-1"]
    assert [asking.called_off for asking in moved.askings] == [True, False]
    assert moved.changed
    assert moved.served is not None
    assert (moved.served.start, moved.served.price_eur_per_kwh, moved.served.wait_h) == (monday(12), 0.43, 0.0)
    assert needs["driver-003-1"].served is None
    assert not needs["driver-003-1"].changed
    assert needs["driver-004-1"].served is not None
    assert needs["driver-004-1"].served.wait_h == 0.5
    assert found.followers == {jid("driver-001")}
    assert public_sessions.paid_eur(found.needs) == Decimal("41.70")


def test_the_need_of_a_request_is_its_first_requests() -> None:
    assert public_sessions.need_of(jid("driver-001"), "driver-001-12") == "driver-001-12"
    assert public_sessions.need_of(jid("driver-001"), "driver-001-12-3") == "driver-001-12"
    assert public_sessions.need_of(jid("driver-00"), "driver-001-12") == "driver-001-12"
    assert public_sessions.need_of(jid("driver-page"), "breakfast") == "breakfast"


def test_a_session_that_is_under_way_got_nothing_yet(folder: Path) -> None:
    path = folder / "trace.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if "r-driver-004-1" not in line) + "\n", encoding="utf-8")
    needs = {need.need_id: need for need in public_sessions.read(read_trace(path)).needs}
    assert needs["driver-004-1"].standing is not None
    assert needs["driver-004-1"].served is None


def test_a_session_that_was_not_let_go_and_took_place_counts(folder: Path) -> None:
    more, name = Script(conversations=900), "driver-005-1"
    talk = wants(more, 5, monday(11), name, (18.0,), 10.0)
    held = picks(more, 5, monday(11), name, talk, ("markopoulo-west-02", 18.0, 1.0), "0.50", 0, 10.0)
    cancel = x.Cancellation(reference=name, reason="a cheaper one was found")
    begun = x.Reason(code="begun", reason="the session had begun")
    tell(more, monday(18.5), "driver-005", "second-cpo", "cancel", "contract-net", talk, cancel)
    tell(more, monday(18.5), "second-cpo", "driver-005", "failure", "contract-net", talk, begun)
    charges(more, 5, talk, name, held, 18.0, 18.5, 10.0, "0.50")
    needs = {need.need_id: need for need in public_sessions.read(added(folder, more)).needs}
    assert needs[name].served is not None
    assert not needs[name].changed


def lowering(number: int, at: Any, start: float, end: float, less: str) -> x.NetworkPriceReduction:
    return x.NetworkPriceReduction(
        reduction_id=f"more-{number}", timestamp=at, locations=("Bus 8",), reduction_eur_per_kwh=Decimal(less),
        start=monday(start), end=monday(end),
    )  # fmt: skip


def test_of_two_reductions_the_larger_one_holds_and_each_kwh_is_counted_once(folder: Path) -> None:
    more, at = Script(conversations=900), monday(10.5)
    asked(more, at, "hedno", "second-cpo", lowering(1, at, 12.5, 13.5, "0.20"), "more-1")
    asked(more, at, "hedno", "second-cpo", lowering(2, at, 12.0, 12.75, "0.05"), "more-2")
    added(folder, more)
    effects = {
        each.lowered.reduction.reduction_id: each for each in public_prices.effects(public_material.read(read(folder)))
    }
    # From 12:00: 40, 80, 80, 80 kW with, 0, 40, 40, 40 without.
    assert (effects["cheaper-1"].drawn_kwh, effects["cheaper-1"].usual_kwh) == (30.0, 10.0)
    assert (effects["more-1"].drawn_kwh, effects["more-1"].usual_kwh) == (40.0, 20.0)
    assert (effects["more-2"].drawn_kwh, effects["more-2"].stations) == (0.0, ())
    assert effects["cheaper-1"].eur == Decimal("3.60")
    assert effects["more-1"].eur == Decimal("8.00")
    assert effects["cheaper-1"].eur_per_kwh == pytest.approx(0.18)
    assert effects["more-2"].eur_per_kwh is None


def test_network_use_is_cheaper_where_it_is_passed_on_and_until_its_end() -> None:
    large = x.NetworkPriceReduction(
        reduction_id="r1",
        timestamp=BEGINS,
        locations=("Bus 4",),
        reduction_eur_per_kwh=Decimal("0.09"),
        start=BEGINS + timedelta(hours=1),
        end=BEGINS + timedelta(hours=2),
    )
    small = large.model_copy(
        update={"reduction_eur_per_kwh": Decimal("0.05"), "end": BEGINS + timedelta(hours=3), "reduction_id": "r2"}
    )
    lowered = [public_services.Lowered(each, jid("dso"), (jid("ppc"),)) for each in (small, large)]
    times = [BEGINS + timedelta(hours=n) for n in range(4)]
    assert [public_services.holding(lowered, "Bus 4", jid("ppc"), at) for at in times] == [-1, 1, 0, -1]
    assert public_services.holding(lowered, "Bus 5", jid("ppc"), times[1]) == -1
    assert public_services.holding(lowered, "Bus 4", jid("another"), times[1]) == -1
    assert public_services.holding(lowered, "Bus 4", None, times[1]) == -1


def test_who_follows_prices_and_has_no_need_is_not_counted_among_those_with_one(folder: Path) -> None:
    more = Script(conversations=900)
    subscription = x.PriceSubscription(request_id="driver-009-prices", timestamp=BEGINS)
    tell(more, BEGINS, "driver-009", "ppc", "subscribe", "subscribe", more.opens(), subscription)
    added(folder, more)
    material = public_material.read(read(folder))
    effects = public_prices.effects(material)
    told = public_prices.chapter(material, effects, public_prices.outcome(material, effects)).values
    assert jid("driver-009") in material.sessions.followers
    assert (told["followers"], told["drivers"]) == (1, 4)


def test_a_reduction_that_nobody_passed_on_moved_nothing(folder: Path) -> None:
    more, at = Script(conversations=900), monday(9.5)
    conversation = more.opens()
    tell(more, at, "hedno", "second-cpo", "request", "request", conversation, lowering(1, at, 14, 16, "0.20"))
    no = x.Reason(code="late", reason="too late")
    tell(more, at, "second-cpo", "hedno", "refuse", "request", conversation, no)
    added(folder, more)
    effects = public_prices.effects(public_material.read(read(folder)))
    assert [each.stations for each in effects if each.lowered.reduction.reduction_id == "more-1"] == [()]


def test_overloads_are_those_of_the_window_and_reverse_flow_is_by_line(public_folder: Path) -> None:
    material = public_material.read(read(public_folder))
    rows = material.window_rows(MONDAY.date())
    assert rows.sum() == 20
    assert material.days == (MONDAY.date(),)
    assert material.overload_kwh("without", rows) == pytest.approx(20.0)
    assert material.overload_kwh("with", rows) == 0.0
    assert material.worst == "Line 2-8"
    assert material.feeding_back == ("Line 2-8",)
    assert material.reverse_kwh("without", "Line 2-8") - material.reverse_kwh("with", "Line 2-8") == pytest.approx(40.0)
    assert material.flow_kw("with", "Line 1-2").min() == pytest.approx(50.0)


def test_a_capped_evening_that_is_still_above_says_what_was_not_charging(public_folder: Path, tmp_path: Path) -> None:
    material = public_material.read(read(public_folder))
    (day,) = public_week.violations(material)
    assert public_week.remaining(material, day) == ""
    noted = json.loads(json.dumps(material.noted))
    noted["line_limit_percent"] = 80.0
    tight = replace(material, noted=noted)
    (day,) = public_week.violations(tight)
    assert public_week.remaining(tight, day) == (
        "Mon 8 Jun is still above: at 17:00 line 2-8 carried 440 kW, 40 kVA above its limit. The 1 capped of 1"
        " station behind it drew 0 of the 40 kW that their bought limits leave them; 440 kW were other load."
    )


def test_who_waits_for_a_lower_price_is_not_among_those_who_wait_for_others(folder: Path) -> None:
    material = public_material.read(read(folder))
    each = public_stations.pairs(material)
    assert [row["driver"] for row in public_stations.drivers(material, each).values["worse"]] == ["driver-004"]
    waiting = next(one for one in each if one.need.need_id == "driver-004-1")
    assert waiting.served is not None
    chose = replace(material)
    chose.__dict__["moved"] = ((waiting.need, waiting.served, waiting.alone, 0),)
    assert public_stations.drivers(chose, each).values["worse"] == []


def test_a_run_that_activated_nothing_says_so(folder: Path) -> None:
    material = public_material.read(read(folder))
    still = replace(material, services=replace(material.services, activations=(), settled=()))
    assert public_week.chapter(still, public_week.violations(still)).values["titles"]["compliance"] == (
        "No limit was activated"
    )


def test_the_contracts_days_are_those_that_the_run_sees_whole(tmp_path: Path) -> None:
    folder = make_public_run(tmp_path / "run")
    material = public_material.read(read(folder))
    assert BEGINS.date() not in material.days  # before the contracts
    assert MONDAY.date() + timedelta(days=1) not in material.days  # the run ends at noon
