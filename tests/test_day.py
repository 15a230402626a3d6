"""Whole days: what is said, what is paid, and that nobody pays with the charge that they asked for."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from spade.fipa_message import FIPAMessageParser
from spade.message import Message

from environment import scenario, sessions
from environment.launcher import streams
from protocols.dialogues import EXCHANGES
from protocols.trace import read_entry
from run import main
from tests.days import SMALL, Day, changed, play

BOTH_CASES = ("with", "without")
ZONE = ZoneInfo("Europe/Ljubljana")


def assert_sound(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    """What holds on every day whatsoever."""
    code = main(["check", str(day.folder / "trace.jsonl")])
    assert (code, capsys.readouterr().out) == (0, f"{day.folder / 'trace.jsonl'}: no faults\n")
    assert day.summary["drivers"]["below_wanted"] == 0
    assert day.summary["drivers"]["departed"] > 0
    assert day.sql("select coalesce(sum(amount_eur), 0) from posting") == [(0,)]
    assert day.sql("select transaction_id from posting group by transaction_id having sum(amount_cents) <> 0") == []


# ---- the Slovenian day -----------------------------------------------------------------------------------------------


def test_the_slovenian_day_is_sound(slovenia: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(slovenia, capsys)
    assert slovenia.warnings == []


@pytest.mark.parametrize("exchange", [e for e in EXCHANGES if e.startswith(("1.", "6."))])
def test_every_exchange_of_buc_1_and_buc_6_takes_place_on_the_slovenian_day(slovenia: Day, exchange: str) -> None:
    assert slovenia.said(exchange=exchange)
    assert slovenia.summary["exchanges"][exchange] == len(slovenia.said(exchange=exchange))


def test_both_vpps_bid_and_both_operators_of_charging_points_are_asked(slovenia: Day) -> None:
    bidders = {m["sender"] for m in slovenia.said(exchange="1.1.1") + slovenia.said(exchange="6.1.2")}
    assert bidders == {"vpp1@localhost", "vpp2@localhost"}
    asked = {m["receiver"] for m in slovenia.said(exchange="1.2.3") + slovenia.said(exchange="6.2.2")}
    assert asked >= {"vpp1@localhost", "cpo2@localhost", "cpo3@localhost"}


def test_drivers_accept_and_decline_and_those_who_decline_are_not_paid(slovenia: Day) -> None:
    """Who declines one activation may take part in another: the ledger is looked at for each activation."""
    declined = slovenia.said(exchange="1.2.5", performative="reject-proposal")
    accepted = slovenia.said(exchange="1.2.5", performative="accept-proposal")
    assert declined
    assert accepted
    paid = set(slovenia.sql("select account, reference from posting"))
    for message in declined:
        assert message["content"]["reason"]
        assert (message["sender"].partition("@")[0], message["content"]["activation_id"]) not in paid


def test_fewer_minutes_of_overload_with_flexibility_than_without(slovenia: Day) -> None:
    with_it, without = slovenia.summary["with"], slovenia.summary["without"]
    assert without["minutes_above_100_percent"] > 60
    assert with_it["minutes_above_100_percent"] < without["minutes_above_100_percent"] / 2
    assert with_it["overload_kwh"] < without["overload_kwh"] / 4
    assert with_it["peak_trafo_loading_percent"] < without["peak_trafo_loading_percent"]


def test_all_cars_leave_with_the_charge_asked_for(slovenia: Day) -> None:
    departed = [driver for driver in slovenia.summary["drivers"]["each"] if driver["departed"]]
    assert len(departed) > 20
    for driver in departed:
        assert driver["got_kwh"] >= driver["asked_kwh"] - 0.1, driver


def test_a_driver_who_took_part_still_leaves_with_the_charge_asked_for(slovenia: Day) -> None:
    took_part = {
        m["sender"]
        for exchange in ("1.2.5", "6.2.3")
        for m in slovenia.said(exchange=exchange, performative="accept-proposal")
    }
    left = {d["owner"]: d for d in slovenia.summary["drivers"]["each"] if d["departed"]}
    assert len(took_part & set(left)) >= 10
    for owner in took_part & set(left):
        assert left[owner]["got_kwh"] >= left[owner]["asked_kwh"] - 0.1


def test_money_goes_from_the_dso_to_vpps_operators_and_drivers(slovenia: Day) -> None:
    money = {account: Decimal(amount) for account, amount in slovenia.summary["money"].items()}
    assert sum(money.values()) == 0
    assert money["dso"] < 0
    assert money["vpp1"] > 0
    assert sum(amount > 0 for account, amount in money.items() if account.startswith("ev-")) >= 10
    assert min(amount for account, amount in money.items() if account.startswith(("ev-", "cpo"))) >= 0


def test_no_award_is_dearer_than_the_most_that_the_dso_said_it_would_pay(slovenia: Day) -> None:
    assert len(slovenia.summary["market"]) >= 2
    for market in slovenia.summary["market"]:
        assert market["awarded_kw"] <= market["needed_kw"]
        for award in market["awards"]:
            assert 0 < Decimal(award["price_eur_per_kw"]) <= Decimal(market["max_price_eur_per_kw"])


def test_what_was_paid_is_what_was_billed(slovenia: Day) -> None:
    """1.2.7: of each bill the payment (transaction id) stands in the ledger, over its amount."""
    payments = slovenia.said(exchange="1.2.7", performative="inform")
    assert payments
    booked = dict(slovenia.sql("select transaction_id, max(abs(amount_cents)) from posting group by transaction_id"))
    for payment in payments:
        content = payment["content"]
        if Decimal(content["amount_eur"]) != 0:
            assert booked[content["transaction_id"]] == abs(Decimal(content["amount_eur"])) * 100


def test_the_summary_has_the_members_that_the_run_is_known_by(slovenia: Day) -> None:
    summary = slovenia.summary
    assert summary["scenario"] == "slovenia"
    assert summary["seed"] == 1
    assert summary["agents"] == len(slovenia.header["roles"]) == 46
    assert 0 < summary["wall_s"] < 240
    assert sum(summary["exchanges"].values()) == sum(m["exchange"] is not None for m in slovenia.messages)
    for case in BOTH_CASES:
        assert {"peak_trafo_loading_percent", "minutes_above_100_percent", "min_voltage_pu", "losses_kwh"} <= set(
            summary[case]
        )


def test_the_run_folder_has_its_files_and_no_passwords(slovenia: Day) -> None:
    names = {path.name for path in slovenia.folder.iterdir()}
    files = {"scenario.toml", "trace.jsonl", "acts.jsonl", "ledger.sqlite", "series.parquet", "network.json"}
    assert names == files | {"summary.json", "report.html"}


def test_the_report_stands_on_its_own(slovenia: Day) -> None:
    page = (slovenia.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 5
    assert 'src="http' not in page
    assert "@import" not in page


def test_the_series_have_each_minute_of_both_cases_once(slovenia: Day) -> None:
    series = pd.read_parquet(slovenia.folder / "series.parquet")
    assert len(series) == 2 * 1440
    for case in BOTH_CASES:
        at = series.loc[series["case"] == case, "at"]
        assert at.is_unique
        assert at.iloc[0].isoformat() == "2026-03-18T12:00:00+01:00"
        assert at.iloc[-1].isoformat() == "2026-03-19T11:59:00+01:00"


def test_spades_own_parser_accepts_every_message_of_the_day(slovenia: Day) -> None:
    for number, line in enumerate(slovenia.trace[1:], start=2):
        acl = read_entry(number, line).message
        message = Message(to=acl.receiver, sender=acl.sender, body=acl.body(), metadata=dict(acl.metadata()))
        message.metadata = message._metadata  # where SPADE's parser looks
        parser = FIPAMessageParser(message)
        assert parser.validate_fipa_message() == (True, ""), line
        assert parser.get_performative() == acl.performative
        assert parser.get_protocol() == acl.protocol
        assert parser.parse_body() == acl.content


def test_the_trace_begins_with_its_header_and_goes_on_in_order_of_time(slovenia: Day) -> None:
    header = slovenia.header
    assert list(header) == ["trace", "scenario", "seed", "roles"]
    assert (header["trace"], header["scenario"], header["seed"]) == (1, "slovenia", 1)
    assert Counter(header["roles"].values()) == {
        **dict.fromkeys(("directory", "environment", "observer", "fmo", "dso", "tso"), 1),
        "cpo": 3,
        "vpp": 2,
        "ev_owner": 35,
    }
    times = [datetime.fromisoformat(m["at"]) for m in slovenia.messages]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert {m["at"][-6:] for m in slovenia.messages} == {"+01:00"}
    assert list(slovenia.messages[0]) == [
        "at",
        "sender",
        "receiver",
        "performative",
        "protocol",
        "conversation-id",
        "reply-with",
        "in-reply-to",
        "reply-by",
        "ontology",
        "exchange",
        "content",
    ]


def test_the_same_seed_gives_the_same_trace_byte_for_byte_and_the_same_books(slovenian_days: tuple[Day, Day]) -> None:
    """Two processes side by side, with another order of hashes and another timing of the sockets."""
    one, other = slovenian_days
    assert (one.folder / "trace.jsonl").read_bytes() == (other.folder / "trace.jsonl").read_bytes()
    assert one.postings == other.postings
    assert one.outcome == other.outcome
    assert pd.read_parquet(one.folder / "series.parquet").equals(pd.read_parquet(other.folder / "series.parquet"))


# ---- the small evening and its variants ------------------------------------------------------------------------------


def test_the_small_evening_is_sound(small: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert_sound(small, capsys)


def test_a_pool_makes_up_for_what_the_market_did_not_bring(small: Day) -> None:
    kinds = Counter(market["kind"] for market in small.summary["market"] if market["awards"])
    assert kinds["market"] >= 1
    assert kinds["pool"] >= 1
    with_it, without = small.summary["with"], small.summary["without"]
    assert with_it["minutes_above_100_percent"] < without["minutes_above_100_percent"]


def test_another_seed_is_another_day(small: Day, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = play(tmp_path / "run", seed=5)
    assert_sound(other, capsys)
    assert other.header["seed"] == 5
    assert other.trace[1:] != small.trace[1:]
    assert other.summary["with"] != small.summary["with"]


def test_two_days_have_two_markets_and_one_registration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The resources stay in the register; nobody is told twice, or something else, of the same one."""
    two = play(
        tmp_path / "run",
        changed(("seed = 4", "seed = 4\ndays = 2"), ("bad_day_percent = 40.0", "bad_day_percent = 90.0")),
    )
    assert_sound(two, capsys)
    assert [line for line in two.warnings if "register" in line] == []
    resources = [m["content"]["resource_id"] for m in two.said(exchange="1.x.2", performative="request")]
    assert len(resources) == len(set(resources)) >= 9
    assert len(two.said(exchange="1.x.1", performative="request")) == 2
    assert len(pd.read_parquet(two.folder / "series.parquet")) == 2 * 2880
    for exchange in ("1.1.1", "1.2.3"):
        days = {m["at"][:10] for m in two.messages if m["exchange"] == exchange}
        assert days == {"2026-03-18", "2026-03-19"}, f"{exchange} is said for both evenings"


def test_over_the_wire_the_day_ends_as_in_process(
    small: Day, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every message crosses the embedded server; answers that cross may change places, and nothing else."""
    wired = play(tmp_path / "run", wire=True)
    assert_sound(wired, capsys)
    assert wired.outcome == small.outcome
    assert sorted(wired.postings) == sorted(small.postings)
    assert wired.contents() == small.contents()


@pytest.mark.parametrize(
    ("start", "quarters", "offsets"),
    [("2026-03-28", 92, ["+01:00", "+02:00"]), ("2026-10-24", 100, ["+02:00", "+01:00"])],
    ids=["23 hours", "25 hours"],
)
def test_a_day_over_the_change_of_clocks(
    start: str, quarters: int, offsets: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From noon to noon by the clock on the wall there are 92 or 100 quarters, and none is lost or doubled. The other
    baseline, other pricing."""
    text = changed(
        ("2026-03-18", start),
        ('pricing = "pay-as-clear"', 'pricing = "pay-as-bid"'),
        ('baseline = "nomination"', 'baseline = "meter-before-meter-after"'),
    )
    day = play(tmp_path / "run", text)
    assert_sound(day, capsys)
    series = pd.read_parquet(day.folder / "series.parquet")
    for case in BOTH_CASES:
        at = series.loc[series["case"] == case, "at"]
        assert len(at) == quarters * 15
        assert (at.diff().dropna() == timedelta(minutes=1)).all()
    assert list(dict.fromkeys(m["at"][-6:] for m in day.messages)) == offsets
    noon = datetime.fromisoformat(f"{start}T12:00").replace(tzinfo=ZONE)
    first = min(datetime.fromisoformat(m["at"]) for m in day.messages)
    assert first == noon
    assert day.summary["drivers"]["departed"] >= 8


def test_pay_as_bid_with_a_measured_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each winner is paid its own price; the baseline is measured before and after, and no nomination is needed. The
    drivers of vpp2 want so much that it refuses every call, and says why."""
    text = changed(
        ('pricing = "pay-as-clear"', 'pricing = "pay-as-bid"'),
        ('baseline = "nomination"', 'baseline = "meter-before-meter-after"'),
        ("margin_percent = 25.0", "owner_benefit_eur_per_kw = 0.9"),
    )
    day = play(tmp_path / "run", text)
    assert_sound(day, capsys)
    calls = day.said(exchange="1.x.7", receiver="vpp2@localhost") + day.said(
        exchange="6.1.1", receiver="vpp2@localhost"
    )
    refusals = day.said(performative="refuse", protocol="fipa-contract-net", sender="vpp2@localhost")
    assert len(refusals) == len(calls) > 0
    assert all("max" in m["content"]["reason"] or "price" in m["content"]["reason"] for m in refusals), refusals

    bids = {m["content"]["bid_id"]: m["content"] for m in day.said(exchange="1.1.1")}
    results = day.said(exchange="1.1.2", performative="accept-proposal")
    assert results
    for result in results:
        asked = Decimal(bids[result["content"]["bid_id"]]["price_eur_per_kw"])
        assert Decimal(result["content"]["market_price_eur_per_kw"]) == asked
    agreed = {m["content"]["activation_id"] for m in day.said(exchange="1.x.5", performative="accept-proposal")}
    volumes = [m["content"] for m in day.said(exchange="1.x.5", performative="propose")]
    assert agreed == {volume["activation_id"] for volume in volumes} != set(), "both sides measure the same baseline"
    for volume in volumes:
        assert len(set(volume["baseline_kw"])) == 1, "one mean of before and after stands for the whole service"


def test_a_users_sessions_come_as_they_stand_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The generated sessions of the small evening, written as a CSV and some of them changed."""
    drawn = sessions.generate(streams(4)["sessions"], scenario.parse(SMALL, "small.toml")).sessions
    with (tmp_path / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "charger_id",
                "vehicle_id",
                "arrival",
                "departure",
                "capacity_kwh",
                "soc_arrival_percent",
                "soc_wanted_percent",
            ]
        )
        rows: list[list[Any]] = []
        for s in drawn:
            if s.arrival.astimezone(ZONE).hour in range(13, 24):
                rows.append(
                    [
                        s.charger_id,
                        f"my-{s.charger_id}",
                        s.arrival.astimezone(ZONE).strftime("%Y-%m-%dT%H:%M"),
                        s.departure.astimezone(UTC).isoformat(),
                        s.capacity_kwh,
                        20.0,
                        60.0,
                    ]
                )
        writer.writerows(rows)
    day = play(tmp_path / "run", f'{SMALL}sessions_csv = "mine.csv"\n', base=tmp_path)
    assert_sound(day, capsys)
    left = {d["vehicle_id"]: d for d in day.summary["drivers"]["each"]}
    assert set(left) == {row[1] for row in rows}
    for row in rows:
        outcome = left[row[1]]
        assert outcome["arrival"] == f"{row[2]}:00+01:00"
        assert outcome["asked_kwh"] == pytest.approx(0.4 * row[4], abs=1e-3)
    announced = {m["content"]["vehicle_id"] for m in day.said(exchange="1.x.8")}
    assert announced == set(left)
