"""Two days of public stations: eighty drivers, one auction, one evening under limits; also when the operators die.

The network, the stations and the prices are those of the shipped scenario; its load is raised so that eighty drivers'
cars matter in the evening of 11 June.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from agents.public_cpo import PublicCpo
from environment.checking import check_file
from environment.scenario import SCENARIOS
from tests.days import Day, play

EXCHANGES = {
    *("4.2.1", "4.2.2", "4.x.2"),
    *("5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.1.6"),
    *("5.2.1", "5.2.2", "5.2.3", "5.2.4"),
    *("5.x.1", "5.x.2", "5.x.3"),
}
ROUNDED_KW = 0.01
DIES_AT = datetime(2026, 6, 11, 16, 10, tzinfo=UTC)
"""19:10 in Athens, in the middle of the window and of sessions."""


def small() -> str:
    """The shipped scenario with fewer drivers, fewer days and fewer forecasts."""
    text = (SCENARIOS / "greece.toml").read_text(encoding="utf-8")
    for key, value in {
        "start": "2026-06-10",
        "days": "2",
        "drivers": "80",
        "needs_per_day": "0.9",
        "scenarios": "10",
        "load_scale": "1.9",
        "pv_scale": "3.0",
    }.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        assert count == 1, key
    return text


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return play(tmp_path_factory.mktemp("greece") / "run", small())


def rows(day: Day, case: str) -> pd.DataFrame:
    frame = pd.read_parquet(day.folder / "series.parquet")
    return frame[frame["case"] == case].set_index("at").sort_index()


def caps(frame: pd.DataFrame) -> list[str]:
    """The stations that are under a limit in some quarter hour."""
    names = [name.removeprefix("cap_kw.") for name in frame.columns if name.startswith("cap_kw.")]
    return [name for name in names if frame[f"cap_kw.{name}"].notna().any()]


def above_kw(frame: pd.DataFrame, station: str, limits: pd.Series) -> float:
    """By how much the highest power of any moment is above the limit, in the quarter hours that have one."""
    held = limits.notna()
    return float((frame[f"station_highest_kw.{station}"][held] - limits[held]).max())


def test_the_trace_of_the_days_has_no_fault(days: Day) -> None:
    lines: list[str] = []
    assert check_file(days.folder / "trace.jsonl", lines.append) == 0, lines
    assert days.warnings == []


def test_every_exchange_of_tables_6_7_and_8_is_there(days: Day) -> None:
    found = Counter(m["exchange"] for m in days.messages)
    assert not EXCHANGES - found.keys()


def test_no_limit_is_broken_at_any_moment_and_each_would_have_been(days: Day) -> None:
    """By the meter of the station; without the limits, the same drivers break most of them."""
    served, alone = rows(days, "with"), rows(days, "without")
    stations = caps(served)
    assert len(stations) >= 4
    limits = {station: served[f"cap_kw.{station}"] for station in stations}
    assert max(above_kw(served, station, limits[station]) for station in stations) <= ROUNDED_KW
    broken = [station for station in stations if above_kw(alone, station, limits[station].set_axis(alone.index)) > 1.0]
    assert len(broken) > len(stations) / 2


def test_the_settlements_know_of_no_excess_and_are_paid(days: Day) -> None:
    settled = [m["content"] for m in days.said(exchange="5.x.2", performative="propose")]
    under_a_limit = [each for each in settled if each["limit_kw"] is not None]
    assert under_a_limit
    assert all(each["highest_kw"] <= each["limit_kw"] + ROUNDED_KW for each in under_a_limit)
    assert {Decimal(each["penalty_eur"]) for each in settled} == {Decimal("0.00")}
    booked = {row[0] for row in days.postings}
    assert {each["settlement_id"] for each in settled if Decimal(each["amount_eur"])} <= booked


def test_the_lines_carry_less_above_their_limits(days: Day) -> None:
    totals = {
        case: sum(day[case]["overload_kwh"] for day in days.summary["public"]["days"]) for case in ("with", "without")
    }
    assert totals["with"] < totals["without"] - 50.0


def test_drivers_pay_what_their_receipts_say_and_the_ledger_adds_up(days: Day) -> None:
    receipts = [m["content"] for m in days.said(exchange="5.x.3")]
    assert len(receipts) > 80
    booked = {
        reference: Decimal(str(amount))
        for reference, account, amount in days.sql("select transaction_id, account, amount_eur from posting")
        if account.startswith("driver-")
    }
    assert {r["receipt_id"]: -Decimal(r["amount_eur"]) for r in receipts if Decimal(r["amount_eur"])} == booked
    assert sum(Decimal(str(amount)) for (amount,) in days.sql("select amount_eur from posting")) == 0


def test_lower_prices_move_some_drivers_and_not_all(days: Day) -> None:
    public = days.summary["public"]
    followers = [need for need in public["needs"] if need["follows_prices"]]
    asked_again = [need for need in followers if need["asked"] > 1]
    changed = [need for need in followers if need["picked"] > 1]
    assert 0 < len(changed) < len(asked_again)
    assert not [need for need in public["needs"] if need["picked"] > 1 and not need["follows_prices"]]


def test_what_a_car_got_is_what_its_meter_counted(days: Day) -> None:
    served = rows(days, "with")
    fleet = sum(served[name].sum() for name in served.columns if name.startswith("station_kw.")) / 4
    receipts = sum(m["content"]["energy_kwh"] for m in days.said(exchange="5.x.3"))
    assert fleet == pytest.approx(receipts, abs=1.0)


def test_the_summary_says_what_the_other_files_say(days: Day) -> None:
    public, frame = days.summary["public"], rows(days, "with")
    for name in ("overload_kwh", "reverse_kwh"):
        by_line = sum(line["with"][name] for line in public["lines"].values())
        assert sum(day["with"][name] for day in public["days"]) == pytest.approx(by_line, abs=0.05)
        assert by_line > 0
    line = public["lines"]["Line 3-8"]
    over = (frame["line_loading_percent.Line 3-8"] - 100).clip(lower=0).sum() / 100 * line["rating_kva"] / 4
    assert line["with"]["overload_kwh"] == pytest.approx(over, abs=0.05)
    receipts = [m["content"] for m in days.said(exchange="5.x.3")]
    assert public["drivers"]["with"]["served"] == len(receipts)
    assert Decimal(public["paid"]["charging_eur"]) == sum(Decimal(r["amount_eur"]) for r in receipts)
    moved = [need for need in public["needs"] if need["another_place"] or need["another_time"]]
    assert public["drivers"]["moved"] == len(moved) < len(public["needs"]) / 2
    bills = [m["content"] for m in days.said(exchange="4.x.2", performative="request")]
    assert 0 < public["drivers"]["moved_to_lower_price"] <= len(moved)
    assert Decimal(public["prices"]["reduction_eur"]) == sum(Decimal(bill["reduction_eur"]) for bill in bills) > 0


def test_what_the_dso_pays_and_gets_is_what_was_settled_and_billed(days: Day) -> None:
    paid = days.summary["public"]["paid"]
    due = Decimal(paid["network_eur"]) - Decimal(paid["capacity_eur"]) + Decimal(paid["penalty_eur"])
    assert Decimal(days.summary["money"]["hedno"]) == due
    assert Decimal(paid["capacity_eur"]) > 0


def test_an_activated_limit_is_in_the_summary_with_what_the_meter_had(days: Day) -> None:
    limits = days.summary["public"]["limits"]
    assert {limit["station"] for limit in limits} == set(caps(rows(days, "with")))
    assert all(limit["agreed"] and limit["highest_kw"] <= limit["limit_kw"] + ROUNDED_KW for limit in limits)


def test_the_same_seed_gives_the_same_trace(tmp_path: Path, days: Day) -> None:
    assert play(tmp_path / "again", small()).trace == days.trace


def test_limits_hold_when_the_operators_agents_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told to the chargers by then keeps the limit for ever, and nobody new draws anything."""
    course, deaths = PublicCpo.course, []

    async def short_life(self: PublicCpo) -> None:
        async def die() -> None:
            await self.clock.sleep_until(DIES_AT)
            await self.stop()

        deaths.append(asyncio.get_running_loop().create_task(die()))
        await course(self)

    monkeypatch.setattr(PublicCpo, "course", short_life)
    day = play(tmp_path / "run", small())
    assert [death.exception() for death in deaths] == [None, None]
    served = rows(day, "with")
    stations = caps(served)
    assert max(above_kw(served, station, served[f"cap_kw.{station}"]) for station in stations) <= ROUNDED_KW
    after = served[served.index > DIES_AT]
    drawn = after[[name for name in after.columns if name.startswith("station_kw.")]].sum(axis=1)
    assert drawn.iloc[0] > 50.0, "sessions that had begun go on"
    assert (drawn.diff().dropna() <= ROUNDED_KW).all(), "and none begins"
