"""The contracts as of a moment, and how each goes from agreed to settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from environment.report import congestion_services, public_sessions
from environment.run_folder import TRACE, read_trace
from environment.watched.contract import Contract, kinds
from environment.watched.contracts import Contracts
from environment.watched.run import WatchedRun
from tests.environment.watched.days import day, watched


def rows(run: WatchedRun, at: datetime | None = None) -> tuple[Contract, ...]:
    run.show_at(at)
    found = Contracts(run)
    while not found.refresh():
        pass
    return found.rows


def about(found: tuple[Contract, ...], what: str) -> Contract:
    (only,) = (each for each in found if each.what == what)
    return only


@pytest.fixture(scope="module")
def slovenia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return day("slovenia", tmp_path_factory.mktemp("slovenia"))


class TestAwardedBids:
    def test_a_bid_is_agreed_then_active_then_delivered_then_settled(self, slovenia: Path) -> None:
        run = watched(slovenia)
        last = about(rows(run), "vpp-sava-1")
        assert last.state == "settled"
        assert last.amount_eur is not None
        states = {}
        for name, at in {
            "before": last.start - timedelta(minutes=15),
            "within": last.start + timedelta(minutes=1),
            "after": last.end + timedelta(minutes=7),
        }.items():
            states[name] = about(rows(run, at), "vpp-sava-1").state
        assert states == {"before": "agreed", "within": "active now", "after": "delivered"}

    def test_the_bill_is_its_amount_to_the_cent_and_its_conversations_are_linked(self, slovenia: Path) -> None:
        found = about(rows(watched(slovenia)), "vpp-drava-1")
        power = Decimal("12.6")
        assert found.quantity == float(power)
        assert found.amount_eur == (power * Decimal("0.071") * 4).quantize(Decimal("0.01")) - Decimal("0.35")
        assert [word for word, _ in found.links] == ["award", "activation", "bill"]
        assert len({ident for _, ident in found.links}) == 3

    def test_nothing_is_a_contract_before_it_was_awarded(self, slovenia: Path) -> None:
        run = watched(slovenia)
        first = min(each.start for each in rows(run))
        assert rows(run, first - timedelta(hours=12)) == ()


class TestOthers:
    def test_a_managers_help_is_what_the_report_says(self, tmp_path: Path) -> None:
        folder = day("denmark", tmp_path)
        found = rows(watched(folder))
        parts = [part for part in congestion_services.parts(read_trace(folder / TRACE)) if part.awarded_kw > 0]
        helped = [each for each in found if each.kind == "help"]
        assert sorted(each.quantity for each in helped) == sorted(part.awarded_kw for part in parts)
        assert sum(each.amount_eur or Decimal(0) for each in helped) == sum(
            part.fee_eur or Decimal(0) for part in parts
        )
        assert kinds(found)["frequency reserve"] >= 1

    def test_a_service_is_settled_by_its_invoice_and_its_vehicles_by_theirs(self, tmp_path: Path) -> None:
        found = rows(watched(day("portugal", tmp_path)))
        assert {"service", "vehicles in a service"} == set(kinds(found))
        assert {each.use_case for each in found} == {"BUC 2", "BUC 4.1"}

    def test_a_limit_that_was_told_is_agreed_and_not_yet_delivered(self, tmp_path: Path) -> None:
        """Its CPO says that it is set as soon as it is; kept it is when its time is over."""
        run = watched(day("greece", tmp_path))
        limits = [each for each in rows(run) if each.kind == "limit activated"]
        assert limits
        for limit in limits:
            told = [each for each in rows(run, limit.start - timedelta(minutes=1)) if each.key == limit.key]
            assert {each.state for each in told} <= {"agreed", "failed"}

    @pytest.mark.parametrize("excess_kwh", [0.0, 3.0])
    def test_caps_activations_and_sessions_of_stations(self, tmp_path: Path, excess_kwh: float) -> None:
        from tests.environment.report.public import make_public_run

        folder = make_public_run(tmp_path, excess_kwh=excess_kwh)
        found = rows(watched(folder))
        booked = [
            asking
            for need in public_sessions.read(read_trace(folder / TRACE)).needs
            for asking in need.askings
            if asking.choice is not None
        ]
        assert kinds(found)["charging session"] == len(booked)
        limits = {each.state for each in found if each.kind == "limit activated"}
        assert ("settled, short" in limits) is (excess_kwh > 0)
        assert kinds(found)["capacity contract"] >= 1
