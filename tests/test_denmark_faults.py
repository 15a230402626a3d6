"""Nights on a campus in which meters, chargers, portfolios and owners do what they should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from agents.decisions.fcr_products import RULES, change_kw
from agents.fcr_log import LOG_FOLDER, LoggedSecond
from environment.checking import check_file
from protocols.exchanges.vocabulary import FcrProduct
from run import main
from tests.days import Day
from tests.denmark_days import FREQUENCY, HEAD, SECOND, Pool, at, fault, hz_at, log_of, play, write_inputs
from tests.island_days import Minutes

POOLS = (
    Pool("small", 3, 2, {"capacity_kw": 30.0, "energy_kwh": 60.0}),
    Pool("quitter", 1, 1, {"capacity_kw": 8.0, "energy_kwh": 16.0, "control": "local", "cancel_test": "15:40"}),
    Pool("keeper", 4, 4, {"capacity_kw": 24.0, "energy_kwh": 48.0, "last_hour": "22:00"}),
    Pool("tight", 2, 2, {"capacity_kw": 16.0, "energy_kwh": 32.0, "control": "local"}),
)
"""`small` has two vehicles at its three chargers, which is not enough for what it claims."""

FAULTS = (
    fault("meter-frozen", "keeper-main", "18:10", "18:20")
    + fault("meter-jump", "keeper-main", "18:40", "18:50")
    + fault("meter-clock-jump", "keeper-main", "19:10", "19:20")
    + fault("charger-ignores", "keeper-02", "19:31", "19:50")
    + fault("charger-ignores", "tight-01", "18:31", "18:50")
    + fault("meter-lost", "keeper-main", "20:20", "20:40")
    + fault("meter-lost", "keeper-backup", "20:20", "20:40")
)
NIGHT = HEAD + "".join(pool.tables() for pool in POOLS) + FAULTS
LOST = at("20:20")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("night")
    write_inputs(folder, POOLS)
    return play(folder, NIGHT)


@pytest.fixture(scope="module")
def kept(night: Day) -> tuple[LoggedSecond, ...]:
    """What `keeper` has logged of its hours."""
    return tuple(second for second in log_of(night, "keeper") if second.at >= at("18:00"))


def between(kept: tuple[LoggedSecond, ...], start: str, end: str) -> list[LoggedSecond]:
    return [second for second in kept if at(start) <= second.at < at(end)]


def moment(message: dict[str, str]) -> datetime:
    return datetime.fromisoformat(message["at"])


def test_the_trace_of_the_night_has_no_fault(night: Day) -> None:
    lines: list[str] = []
    assert check_file(night.folder / "trace.jsonl", lines.append) == 0, lines


def test_a_portfolio_smaller_than_it_claims_fails_by_a_number_and_offers_nothing(night: Day) -> None:
    """Two vehicles give 20 kW of 30: less than the least reduction factor, 0.75, with its tolerance of 5 %."""
    (answer,) = night.said(sender="energinet@localhost", receiver="small@localhost", exchange="7.1")
    assert answer["performative"] == "failure"
    failed = [finding for finding in answer["content"]["sheet"] if not finding["passed"]]
    assert failed
    for finding in failed:
        assert finding["clause"].startswith("Nordic FCR 3.")
        assert finding["measured"] == pytest.approx(20 / 30, abs=0.01)
        assert finding["low"] == pytest.approx(0.75 * 0.95)
    assert "requirement 1" in answer["content"]["reason"]
    assert not night.said(sender="small@localhost", exchange="7.x.2")


def test_a_test_that_is_called_off_in_its_middle_ends_without_an_approval(night: Day) -> None:
    (cancel,) = night.said(sender="quitter@localhost", performative="cancel")
    assert moment(cancel) == at("15:40")
    assert cancel["exchange"] == "7.3"
    answers = [m for m in night.messages if m["conversation-id"] == cancel["conversation-id"]]
    assert [m["performative"] for m in answers] == ["request", "agree", "cancel", "inform"]
    assert not night.said(sender="quitter@localhost", exchange="7.x.2")
    assert not any("is not approved" in line for line in night.warnings if "quitter" in line)


def test_after_a_test_that_was_called_off_the_vehicle_follows_its_plan(night: Day) -> None:
    served = Minutes.of(night, "with")["p_kw:quitter-01"]
    midnight = 9 * 60
    assert abs(served[45:midnight]).max() < 0.01, "it waits for the cheap hours"
    assert served[midnight + 1 : midnight + 60].min() > 10.0


def test_each_second_until_the_meters_are_lost_is_logged_once(kept: tuple[LoggedSecond, ...], night: Day) -> None:
    """Through a frozen meter, one that jumps, one whose clock jumps, and a charger that is replaced."""
    times = [second.at for second in kept]
    assert times[0] == at("18:00")
    assert LOST <= times[-1] <= LOST + 3 * SECOND
    assert {b - a for a, b in pairwise(times)} == {SECOND}
    lines = [line for path in (night.folder / LOG_FOLDER).glob("keeper*") for line in path.read_text().splitlines()]
    stamps = [line.partition(",")[0] for line in lines]
    assert len(stamps) == len(set(stamps))


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("18:09", "18:12", "18:10 keeper: frequency meter keeper-main is frozen at"),
        ("18:20", "18:23", "18:21 keeper: keeper-main is used from now on"),
        ("18:39", "18:42", "18:40 keeper: frequency meter keeper-main jumped to"),
        ("18:50", "18:53", "18:51 keeper: frequency meter keeper-main is well again"),
        ("19:09", "19:12", "19:10 keeper: the clock of keeper-main jumped by +90 s"),
        ("19:19", "19:22", "19:20 keeper: the clock of keeper-main jumped by -90 s"),
    ],
)
def test_a_meter_that_fails_makes_no_step_in_power(
    kept: tuple[LoggedSecond, ...], night: Day, start: str, end: str, says: str
) -> None:
    """The power stays what the true frequency asks for, within both meters' accuracy of 10 mHz. A jump that was
    followed would be 9 kW."""
    assert any(line.startswith(says) for line in night.warnings), says
    rules = RULES[FcrProduct.FCR_D_UP]
    both_kw = 24.0 * 2 * 0.010 / rules.band_hz
    for second in between(kept, start, end):
        asked = second.baseline_kw + change_kw(rules, second.capacity_kw, hz_at(second.at))
        assert second.power_kw == pytest.approx(asked, abs=both_kw), second.at
    for before, after in pairwise(between(kept, start, end)):
        assert after.power_kw == pytest.approx(before.power_kw, abs=0.4), after.at


def test_others_take_the_share_of_a_charger_that_ignores_its_orders(kept: tuple[LoggedSecond, ...], night: Day) -> None:
    assert any("charger keeper-02" in line and "taken out of the service" in line for line in night.warnings)
    assert not [m for m in night.said(sender="keeper@localhost", exchange="7.3") if m["performative"] == "request"]
    assert {second.capacity_kw for second in kept} == {24.0}
    rest = between(kept, "19:52", "20:00")  # its charger obeys again, but is not trusted with this hour
    for second in rest:
        asked = second.baseline_kw + change_kw(RULES[FcrProduct.FCR_D_UP], 24.0, hz_at(second.at))
        assert second.power_kw == pytest.approx(asked, abs=0.5), second.at


def test_where_nobody_can_take_its_share_the_tso_hears_of_the_smaller_capacity(night: Day) -> None:
    change = night.said(exchange="7.3", sender="tight@localhost", performative="request")
    assert len(change) == 1
    assert at("18:31") < moment(change[0]) < at("18:32")
    kw = change[0]["content"]["capacity_kw"]
    assert 8.0 < kw < 12.0, "one vehicle's"
    (answer,) = [m for m in night.messages if m["conversation-id"] == change[0]["conversation-id"]][1:]
    assert answer["performative"] == "inform", "the TSO always accepts"
    (settled,) = night.said(exchange="7.x.2", receiver="tight@localhost", performative="inform")
    full = 16.0 * 4 * float(night.said(exchange="7.x.2", receiver="tight@localhost")[0]["content"]["price_eur_per_kw"])
    served = (31 * 16.0 + 29 * kw) / 60 / 16.0
    assert float(settled["content"]["capacity_eur"]) == pytest.approx(full * served, abs=0.01)


def test_without_a_meter_the_service_stops_and_the_tso_is_told_at_once(night: Day) -> None:
    (cancel,) = night.said(sender="keeper@localhost", performative="cancel")
    assert LOST < moment(cancel) <= LOST + 5 * SECOND
    assert cancel["exchange"] == "7.3"
    assert "no frequency meter" in cancel["content"]["reason"]


def test_after_the_stop_what_was_served_is_paid_and_no_more(night: Day, kept: tuple[LoggedSecond, ...]) -> None:
    awards = night.said(exchange="7.x.2", receiver="keeper@localhost", performative="agree")
    price = float(awards[-1]["content"]["price_eur_per_kw"])
    served = (kept[-1].at - at("20:00")) / timedelta(minutes=15)
    paid = [amount for name, account, amount, *_ in night.postings if name.endswith("T1900") and account == "keeper"]
    assert paid == [pytest.approx(24.0 * price * served, abs=0.01)]
    assert not night.said(exchange="7.x.2", sender="keeper@localhost", performative="request")[3:], "nothing more"


def test_after_the_stop_the_vehicles_follow_their_plans_and_leave_with_what_was_asked_for(night: Day) -> None:
    series = Minutes.of(night, "with")
    first, last = series.row(at("20:21")), series.row(at("23:59"))
    for number in (1, 3, 4):
        assert abs(series[f"p_kw:keeper-0{number}"][first:last]).max() < 0.01, number
    assert night.summary["drivers"]["departed"] == 9
    assert night.summary["drivers"]["below_wanted"] == 0


PAIR = Pool("pair", 2, 2, {"capacity_kw": 12.0, "energy_kwh": 24.0})


def test_a_process_that_is_killed_in_the_middle_of_an_hour_has_logged_every_second(tmp_path: Path) -> None:
    write_inputs(tmp_path, [PAIR])
    killed = [sys.executable, "-m", "tests.denmark_days", str(tmp_path), HEAD + PAIR.tables(), "18:25"]
    root = Path(__file__).parent.parent
    done = subprocess.run(killed, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    day = Day(tmp_path / "run")
    assert not (day.folder / "summary.json").exists()
    times = [second.at for second in log_of(day, "pair") if second.at >= at("18:00")]
    assert times == [at("18:00") + k * SECOND for k in range(25 * 60)]
    assert main(["fcr-log", str(day.folder), "--from", at("18:00").isoformat(), "--out", str(tmp_path / "files")]) == 0
    (file,) = (tmp_path / "files").iterdir()
    lines = file.read_text(encoding="ascii").splitlines()
    assert lines[0].startswith("DateTime,InsAcPow,GridFreq")
    assert (len(lines), lines[-1][:15]) == (1 + 25 * 60, "20260113T172459")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("timestamp,frequency", "time,hz", "line 1: the columns timestamp and frequency are wanted"),
        ("T14:00:02+00:00", "T14:00:02", "line 3: 2026-01-13T14:00:02 has no offset"),
        ("T14:00:04+00:00", "T13:00:04+00:00", "line 4: 2026-01-13T13:00:04+00:00 does not come after the line before"),
        ("14:00:06+00:00,", "14:00:06+00:00,4", "line 5: 449.98"),
        ("14:00:06+00:00,", "14:00:06+00:00,x", "line 5: could not convert string to float"),
        ("2026-01-13T14:00:00", "2026-01-13T14:00:01", "no frequency for 2026-01-13T14:00:00+00:00"),
    ],
)
def test_a_recorded_frequency_with_a_fault_is_one_line_and_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    write_inputs(tmp_path, [PAIR])
    recorded = (tmp_path / FREQUENCY).read_text()
    assert old in recorded
    (tmp_path / FREQUENCY).write_text(recorded.replace(old, new, 1))
    (tmp_path / "night.toml").write_text(HEAD + PAIR.tables())
    assert main([str(tmp_path / "night.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 3
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert FREQUENCY in shown
    assert says in shown


def test_a_recorded_frequency_that_is_not_there_or_ends_too_early_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path, [PAIR])
    (tmp_path / "night.toml").write_text(HEAD + PAIR.tables())
    recorded = (tmp_path / FREQUENCY).read_text().splitlines(keepends=True)
    for lines in (recorded[:3000], None):
        if lines is None:
            (tmp_path / FREQUENCY).unlink()
        else:
            (tmp_path / FREQUENCY).write_text("".join(lines))
        assert main([str(tmp_path / "night.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 3
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        assert FREQUENCY in shown


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("nights")
    write_inputs(folder, [PAIR], nights=2)
    return play(folder, HEAD.replace("seed = 3", "seed = 3\ndays = 2") + PAIR.tables())


def test_an_approval_holds_on_the_second_day(two_nights: Day) -> None:
    assert len(two_nights.said(exchange="7.1", performative="request")) == 1, "one test"
    offers = two_nights.said(exchange="7.x.2", performative="agree")
    assert [moment(offer) for offer in offers] == [at("17:35"), at("17:35", 14)]
    settled = two_nights.said(exchange="7.x.2", performative="inform")
    assert [moment(each).date().day for each in settled] == [13, 14]
    assert all(each["content"]["availability_percent"] == 100.0 for each in settled)


def test_owners_are_paid_for_each_night_and_for_nothing_twice(two_nights: Day) -> None:
    paid = {reference: amount for reference, account, amount, *_ in two_nights.postings if account == "ev-pair-01"}
    first, second = (paid[f"pair-fcr-d-up-pair-01-202601{day}"] for day in (13, 14))
    assert first > second > 0.0, "the test of the first day wore the battery too"
    assert len(paid) == 2


def test_the_second_day_has_prices_of_its_own(two_nights: Day) -> None:
    """The exchange's cheap hours are from 0:00 to 2:00 of the second date; the last list goes on after it."""
    series = Minutes.of(two_nights, "with")
    for day in (14, 15):
        cheap = series.row(at("00:01", day))
        assert series["p_kw:pair-01"][cheap : cheap + 55].min() > 10.0, day
    assert two_nights.summary["drivers"]["below_wanted"] == 0
    lines: list[str] = []
    assert check_file(two_nights.folder / "trace.jsonl", lines.append) == 0, lines
