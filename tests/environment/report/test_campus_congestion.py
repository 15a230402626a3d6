"""What a trace tells of congestion help: calls, offers, awards, drivers, ends, settlements."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from environment.report.congestion_services import Part, parts, richest_list
from environment.run_folder import Trace, read_trace
from protocols import exchanges as x
from protocols.exchanges.vocabulary import ServiceType

from .campus import CHARGERS, ROLES, Campus, clock
from .script import jid

LOT = "bornholm-pool"


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Campus], tuple[Part, ...]]:
    """What is found in the trace of a made-up day."""

    def read(campus: Campus) -> tuple[Part, ...]:
        return parts(trace_of(campus, tmp_path))

    return read


def trace_of(campus: Campus, folder: Path) -> Trace:
    header: dict[str, Any] = {"trace": 1, "scenario": "denmark", "seed": 3, "roles": ROLES}
    path = folder / "trace.jsonl"
    lines = (json.dumps(line) for line in (header, *campus.script.ordered()))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_trace(path)


def only(found: tuple[Part, ...]) -> Part:
    (part,) = found
    return part


def test_a_part_that_was_cancelled_ends_there_and_is_settled_to_there(
    told: Callable[[Campus], tuple[Part, ...]],
) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=12.0, cancelled=7.75)
    part = only(told(campus))
    assert (part.ending, part.end, part.reason) == ("cancelled", clock(7.75), "no longer needed")
    assert (part.offered_kw, part.awarded_kw, part.took_place) == (14.0, 12.0, True)
    assert part.delivered_kwh == pytest.approx(9.0)
    assert part.delivered_kw == pytest.approx(12.0)
    assert (part.fee_eur, part.agreed) == (Decimal("1.20"), True)


def test_a_part_that_nobody_cancels_lasts_as_long_as_was_asked_for(
    told: Callable[[Campus], tuple[Part, ...]],
) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=8.0, minutes=45)
    part = only(told(campus))
    assert (part.ending, part.end) == ("served", clock(7.75))


def test_a_part_that_is_called_off_before_it_begins_never_took_place(
    told: Callable[[Campus], tuple[Part, ...]],
) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=8.0)
    award = next(line for line in campus.script.lines if line["exchange"] == "3.x.2")
    over = x.CongestionEnd(
        reference="beof-1", service=ServiceType.CONGESTION_MANAGEMENT, p_kw=0.0, q_kvar=0.0, duration_minutes=0,
        reason="the limits hold without it",
    )  # fmt: skip
    at = clock(7) - timedelta(minutes=1)
    campus.says(at, "beof", LOT, "cancel", "contract-net", award["conversation-id"], over)
    part = only(told(campus))
    assert (part.ending, part.end, part.took_place) == ("cancelled", clock(7), False)


def test_refused_not_taken_and_unanswered_are_told_apart(told: Callable[[Campus], tuple[Part, ...]]) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, refused=True)
    campus.call(LOT, "beof-2", 8.0, 12.0)
    campus.call(LOT, "beof-3", 9.0, 12.0)
    campus.script.lines = [
        line
        for line in campus.script.lines
        if line["exchange"] == "3.1" or not str(line["content"].get("request_id", "")).startswith("beof-3")
    ]
    last = max(campus.script.lines, key=lambda line: line["at"])["conversation-id"]
    campus.script.lines = [
        line for line in campus.script.lines if line["conversation-id"] != last or line["exchange"] == "3.1"
    ]
    found = told(campus)
    assert [part.ending for part in found] == ["refused", "not taken", "unanswered"]
    assert [part.reason for part in found][:2] == [
        "no vehicle is there whose driver told of its departure",
        "others are cheaper",
    ]
    assert not any(part.took_place for part in found)


def test_drivers_say_yes_no_or_nothing_and_only_an_award_makes_a_yes_needed(
    told: Callable[[Campus], tuple[Part, ...]],
) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=12.0)
    last = CHARGERS[LOT][2]
    said = [line for line in campus.script.lines if line["exchange"] == "3.2" and jid(f"ev-{last}") in line.values()]
    campus.script.lines = [line for line in campus.script.lines if line not in said or line["performative"] == "cfp"]
    asked = {each.charger_id: each for each in only(told(campus)).asked}
    first, second, third = (asked[charger] for charger in CHARGERS[LOT])
    assert (first.answer, first.reason, first.awarded_kw) == ("no", "I leave earlier today", 0.0)
    assert (second.answer, second.awarded_kw, second.benefit_eur) == ("yes", 6.0, Decimal("0.20"))
    assert (third.answer, third.awarded_kw) == ("silent", 0.0)


def test_what_drivers_were_awarded_is_counted_to_the_activation_of_their_kind(
    told: Callable[[Campus], tuple[Part, ...]],
) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=12.0)
    part = only(told(campus))
    assert part.taken == {"beof-1-1-shift", "beof-1-2-shift"}
    assert part.taken_kw("beof-1-1-shift") == 6.0
    assert part.taken_kw("beof-1-0-discharge") == 0.0


def test_words_of_strangers_change_nothing(told: Callable[[Campus], tuple[Part, ...]]) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0, awarded=12.0)
    talk = campus.script.lines[0]["conversation-id"]
    over = x.CongestionEnd(
        reference="beof-1", service=ServiceType.CONGESTION_MANAGEMENT, p_kw=0.0, q_kvar=0.0, duration_minutes=1,
        reason="go away",
    )  # fmt: skip
    campus.says(clock(7.1), "cerius", LOT, "cancel", "contract-net", talk, over)
    bill = x.SettlementAnswer(settlement_id=f"beof-1-{LOT}", reason="no")
    settled = next(line for line in campus.script.lines if line["exchange"] == "3.x.3")["conversation-id"]
    campus.says(clock(12), "cerius", "beof", "reject-proposal", "propose", settled, bill)
    part = only(told(campus))
    assert (part.ending, part.agreed) == ("served", True)


def test_the_richest_list_is_of_a_part_that_took_place(told: Callable[[Campus], tuple[Part, ...]]) -> None:
    campus = Campus()
    campus.call(LOT, "beof-1", 7.0, 12.0)
    assert richest_list(told(campus)) is None
    campus.call("bornholm-staff", "beof-2", 8.0, 12.0, awarded=5.0)
    found = richest_list(told(campus))
    assert found is not None
    assert found.call.request_id == "beof-2"
