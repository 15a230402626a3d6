"""What the report reads out of a run: the rounds, the richest negotiation, the payments, the words."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.ledger import Ledger
from environment.report import money, words
from environment.report.market import rounds
from environment.report.sequence import richest
from environment.report.svg import inline
from environment.run_folder import Posting, RunFolderError, Trace, read_postings, read_trace

HEADER = '{"trace": 1, "scenario": "slovenia", "seed": 7, "roles": {}}\n'
AT = datetime.fromisoformat("2025-01-15T12:00:00+01:00")


@pytest.fixture(scope="module")
def trace(run_folder: Path) -> Trace:
    return read_trace(run_folder / "trace.jsonl")


def test_rounds_hold_needs_bids_and_awards_in_the_order_of_their_periods(trace: Trace) -> None:
    found = rounds(trace)
    assert [market.id for market in found] == ["market-1", "pool-1", "pool-2", "pool-3"]
    pool = found[1]
    assert (pool.needed_kw, pool.awarded_kw, pool.max_price) == (42.0, 42.0, Decimal("0.120"))
    assert [(bid.id, bid.awarded_kw, bid.paid_price) for bid in pool.bids] == [
        ("vpp-sava-1", 29.4, Decimal("0.062")),
        ("vpp-drava-1", 12.6, Decimal("0.071")),
    ]
    assert pool.price == Decimal("0.071")


def test_a_pay_as_clear_award_shows_the_market_price_and_the_cleared_part(trace: Trace) -> None:
    partial = rounds(trace)[0].bids[1]
    assert (partial.power_kw, partial.awarded_kw, partial.paid_price) == (11.0, 5.0, Decimal("0.066"))


def test_what_outsiders_say_in_a_round_and_what_is_malformed_changes_nothing(run_folder: Path, tmp_path: Path) -> None:
    lines = (run_folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()
    bid = next(line for line in lines if '"exchange": "6.1.2"' in line)
    award = next(line for line in lines if '"exchange": "6.x.1"' in line)
    forged = [
        bid.replace("vpp-sava", "mallory"),
        bid.replace('"power_kw": 29.4', '"power_kw": "plenty"'),
        award.replace('"sender": "dso@', '"sender": "mallory@').replace('"power_kw": 29.4', '"power_kw": 29000.0'),
    ]
    assert not set(forged) & set(lines)
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join([*lines, *forged]), encoding="utf-8")
    assert rounds(read_trace(path)) == rounds(read_trace(run_folder / "trace.jsonl"))


def test_the_richest_negotiation_nests_activation_drivers_and_bill(trace: Trace) -> None:
    story = richest(trace, rounds(trace))
    assert story is not None
    assert (story.subject.id, story.activation, story.others) == ("pool-1", "act-vpp-sava-1", 1)
    assert [line.name for line in story.lifelines] == [
        "market operator", "DSO", "vpp-sava", "vpp-drava", "CPO", "EV owners",
    ]  # fmt: skip
    acts: list[tuple[str | None, str]] = [(step.exchange, step.performative) for step in story.steps]
    nested = [("6.2.1", "request"), ("6.2.2", "request"), ("6.2.3", "propose"), ("6.2.4", "agree"), ("6.2.5", "agree")]
    places = [acts.index(act) for act in nested]
    assert places == sorted(places)
    assert acts[0] == ("6.1.1", "cfp")
    assert acts[-1] == ("1.2.7", "inform")


def test_what_many_drivers_say_at_once_is_one_arrow_with_a_count(trace: Trace) -> None:
    story = richest(trace, rounds(trace))
    assert story is not None
    counts = Counter({step.performative: step.count for step in story.steps if step.exchange == "6.2.3"})
    assert counts == {"propose": 14, "reject-proposal": 3, "accept-proposal": 11}


def test_no_round_no_story() -> None:
    assert richest(Trace(), ()) is None


def posting(transaction: str, account: str, eur: str) -> Posting:
    return Posting(transaction, account, Decimal(eur), AT, "")


def test_payments_of_a_transaction_with_many_parties_add_up_to_the_cent() -> None:
    rows = [
        posting("t", "a", "-5.00"),
        posting("t", "b", "-1.01"),
        posting("t", "c", "2.50"),
        posting("t", "d", "3.51"),
    ]
    found = {(p.payer, p.payee): p.amount_eur for p in money.payments(rows, {})}
    assert found == {("a", "c"): Decimal("2.50"), ("a", "d"): Decimal("2.50"), ("b", "d"): Decimal("1.01")}


def test_all_drivers_are_one_party_and_one_payment_each_transaction() -> None:
    roles = {"o1@x": "ev_owner", "o2@x": "ev_owner", "cpo@x": "cpo"}
    rows = [posting("t", "cpo@x", "-2.00"), posting("t", "o1@x", "1.00"), posting("t", "o2@x", "1.00")]
    (payment,) = money.payments(rows, roles)
    assert payment == money.Payment("CPO", "EV owners", Decimal("2.00"), 1)


def test_a_penalty_that_flows_back_lowers_what_the_operator_spent() -> None:
    roles = {"dso@x": "dso"}
    rows = [
        posting("p", "dso@x", "-10"),
        posting("p", "vpp@x", "10"),
        posting("q", "vpp@x", "-4"),
        posting("q", "dso@x", "4"),
    ]
    assert money.spent(rows, roles) == Decimal(6)


def test_the_real_ledger_is_read_to_the_cent(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.post("t1", AT, "act-1", {"dso@x": Decimal("-7.29"), "vpp@x": Decimal("7.29")})
    found = read_postings(tmp_path / "ledger.sqlite")
    assert [(row.account, row.amount_eur, row.reference) for row in found] == [
        ("dso@x", Decimal("-7.29"), "act-1"),
        ("vpp@x", Decimal("7.29"), "act-1"),
    ]
    ledger.close()


def test_a_ledger_kept_elsewhere_is_no_fault_and_a_broken_one_is(tmp_path: Path) -> None:
    assert read_postings(tmp_path / "ledger.sqlite") == ()
    (tmp_path / "ledger.sqlite").write_text("this is not a database at all, and long enough to be seen as none" * 20)
    with pytest.raises(RunFolderError, match=r"ledger\.sqlite: file is not a database"):
        read_postings(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", ":1", "is missing"),
        ('{"trace": 2}\n', ":1", "trace"),
        (HEADER + '{"at": "2025-01-15T12:00:00+01:00"}\n', ":2", "sender"),
        (HEADER + "nonsense\n", ":2", "JSON"),
    ],
)
def test_a_trace_that_cannot_be_read_names_its_line(tmp_path: Path, text: str, line: str, reason: str) -> None:
    (tmp_path / "trace.jsonl").write_text(text)
    with pytest.raises(RunFolderError, match=rf"trace\.jsonl{line}: .*{reason}"):
        read_trace(tmp_path / "trace.jsonl")


def test_a_line_separator_within_a_message_does_not_end_its_line(run_folder: Path, tmp_path: Path) -> None:
    text = (run_folder / "trace.jsonl").read_text(encoding="utf-8")
    path = tmp_path / "trace.jsonl"
    path.write_text(text.replace("I leave earlier", "I leave\N{LINE SEPARATOR}earlier"), encoding="utf-8")
    assert len(read_trace(path).entries) == len(read_trace(run_folder / "trace.jsonl").entries)


def case(minutes: float, peak: float) -> dict[str, Any]:
    return {"minutes_above_100_percent": minutes, "peak_trafo_loading_percent": peak}


@pytest.mark.parametrize(
    ("after", "before", "awarded", "sentence"),
    [
        (case(0, 97), case(138, 139), True, "kept the transformer within its rating: 138 minutes of overload avoided"),
        (case(11, 105), case(138, 139), True, "overload from 138 to 11 minutes, for 23.79 EUR"),
        (case(20, 109), case(15, 108), True, "did not shorten the overload: 20 minutes with it, 15 without"),
        (case(0, 80), case(0, 90), True, "peak from 90 % to 80 %"),
        (case(0, 80), case(0, 80), False, "none was needed"),
        (case(5, 104), case(5, 104), False, "No flexibility was bought, and the transformer was overloaded for 5"),
    ],
)
def test_the_headline_says_what_happened(
    after: dict[str, Any], before: dict[str, Any], awarded: bool, sentence: str
) -> None:
    assert sentence in words.headline({"with": after, "without": before}, Decimal("23.79"), awarded)


def test_periods_are_local_and_carry_their_day_only_where_there_are_several() -> None:
    zone = ZoneInfo("Europe/Ljubljana")
    start = datetime.fromisoformat("2025-01-15T16:30:00+00:00")
    assert words.period(start, start + timedelta(hours=1), zone, dated=False) == "17:30–18:30"
    assert words.period(start, start + timedelta(hours=14), zone, dated=True) == "15 Jan 17:30–07:30 +1 d"
    assert words.period(start, start + timedelta(hours=6.5), zone, dated=False) == "17:30–00:00"


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert words.number(-1234.5, 1) == "−1\N{NARROW NO-BREAK SPACE}234.5"
    assert words.number(-0.04, 1) == "0.0"
    assert words.number(0.001, 0, sign=True) == "0"
    assert words.number(3, 0, sign=True) == "+3"


def test_inlined_drawings_take_the_pages_colours_and_keep_their_ids_apart() -> None:
    path = '<path id="m1" style="stroke: #050505"/><use xlink:href="#m1"/>'
    svg = f'<?xml?><svg viewBox="0 0 1 1"><g id="axes_1">{path}</g></svg>'
    found = inline(svg, "loading-wide", 'a "loud" <alt>', "wide")
    assert "stroke: var(--with)" in found
    assert 'id="loading-wide-m1"' in found
    assert 'href="#loading-wide-m1"' in found
    assert "axes_1" not in found
    assert 'aria-label="a &#34;loud&#34; &lt;alt&gt;"' in found
