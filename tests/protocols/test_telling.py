"""Messages in words: every exchange reads well, and what a stranger wrote stays one line."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.catalogue import LEGS
from protocols.dialogues import DIALOGUES, EXCHANGES
from protocols.roles import Role
from protocols.telling import MAX_LINE, PLATFORM, USE_CASES, UseCases, line, says, use_case, visible
from protocols.trace import read
from tests.protocols.samples import END, NOON, SAMPLES, START, message, sample

MARKS = ("power", "price", "energy", "amount", "reason", "capacity", "limit_kw", "start", "duration", "kwh", "eur")
UNITS = {"_eur_per_kwh": "EUR/kWh", "_eur_per_kw": "EUR/kW", "_eur": "EUR", "_kwh": "kWh", "_kw": "kW", "_percent": "%"}
WORDS = {"soc": "state", "p": "P", "u": "U", "ev": "EV"}
RUNS = Path(__file__).parents[2] / "runs"


def said(content: x.Content | dict[str, Any], performative: Performative = Performative.INFORM, **more: Any) -> str:
    return says(message(content, performative, Protocol.REQUEST), more.get("at"))


def wellformed(text: str) -> bool:
    return len(text) <= MAX_LINE and text.isprintable() and "  " not in text and text == text.strip()


@pytest.mark.parametrize("content", SAMPLES, ids=lambda each: type(each).__name__)
def test_every_content_of_the_catalogue_is_one_line_of_words(content: x.Content) -> None:
    members = content.to_json()
    text = said(content, at=NOON)
    assert wellformed(text)
    assert not {"{", "["} & set(text)
    if any(mark in name for name, value in members.items() if value not in (None, [], ()) for mark in MARKS):
        assert text


@pytest.mark.parametrize("content", SAMPLES, ids=lambda each: type(each).__name__)
def test_powers_prices_and_amounts_come_with_their_unit(content: x.Content) -> None:
    said_so = [(part.split(" ")[0], part.rpartition(" ")[2]) for part in said(content, at=NOON).split(", ")]
    for name, value in content.to_json().items():
        ending = next((each for each in UNITS if name.endswith(each)), None)
        if ending and isinstance(value, int | float | str):
            first = name.removesuffix(ending).split("_")[0]
            assert (WORDS.get(first, first), UNITS[ending]) in said_so


def test_who_what_power_price_and_period_come_first_and_links_not_at_all() -> None:
    opening = sample(x.PoolOpening)
    assert said(opening) == (
        f"congestion-management, power needed 20 kW, max price 0.50 EUR/kW, {START:%H:%M} to {END:%H:%M},"
        " congestion point trafo 1"
    )
    assert "pb1" not in said(sample(x.PoolBid))


def test_lists_are_counted_and_summed() -> None:
    award = x.Award(bid_id="b", vpp="vpp1@localhost", power_kw=21.0, price_eur_per_kw=Decimal("0.30"))
    other = x.Award(bid_id="c", vpp="vpp2@localhost", power_kw=21.0, price_eur_per_kw=Decimal("0.35"))
    result = x.NeedResult(need_id="n", awards=(award, other), unserved_kw=0.0)
    assert said(result) == "2 awards, 42 kW in all, price 0.30 to 0.35 EUR/kW, unserved 0 kW"
    assert said(sample(x.ChargingChoices)).startswith("1 choice, power 60 kW, price 0.52 EUR/kWh")


def test_a_line_has_when_who_to_whom_the_act_and_the_exchange() -> None:
    told = line(message(sample(x.PoolBid), Performative.PROPOSE, Protocol.CONTRACT_NET), NOON)
    assert told.startswith("12:00:00 a -> b: propose 6.1.2 Market bid: power ")


def test_a_plain_act_is_told_with_what_its_conversation_is_about() -> None:
    refusal = message(x.Reason.of("late", "the gate is closed"), Performative.REFUSE, Protocol.REQUEST)
    assert line(refusal, NOON, exchange="1.1.1") == "12:00:00 a -> b: refuse (1.1.1 Send bid): the gate is closed"
    assert line(refusal, NOON) == "12:00:00 a -> b: refuse: the gate is closed"


def test_times_are_told_in_the_zone_of_the_line_and_with_the_date_on_another_day() -> None:
    content = {"start": "2026-07-01T16:00:00+00:00", "end": "2026-07-01T16:15:00+00:00"}
    assert said(content, at=NOON) == "18:00 to 18:15"
    assert said(content, at=NOON + timedelta(days=1)) == "1 Jul 18:00 to 18:15"
    assert said({"due": "2026-07-03T10:00:00+00:00"}, at=NOON) == "due 3 Jul 12:00"
    assert said({"start": "2026-07-01T16:00:00+00:00", "duration_minutes": 30}, at=NOON) == "from 18:00 for 30 min"


def test_an_act_that_only_links_says_the_link() -> None:
    assert said(x.Done(reference="pool-1")) == "reference pool-1"


def test_those_of_one_domain_are_called_by_their_names_and_a_stranger_by_the_whole_address() -> None:
    content = sample(x.PoolBid)
    stranger = message(content, Performative.PROPOSE, Protocol.REQUEST, "dso@elsewhere.example", "vpp1@localhost")
    assert "dso@elsewhere.example -> vpp1@localhost: " in line(stranger, NOON)


def test_every_exchange_has_a_use_case_and_every_use_case_a_title() -> None:
    assert {use_case(exchange) for exchange in EXCHANGES} == set(USE_CASES)
    assert (use_case("4.1.1"), use_case("4.2.1"), use_case("6.x.1")) == ("buc4", "buc4", "buc6")
    assert {use_case(each) for each in (None, "df.search", "env.grid", "6.9.9", "6", "", "9.1")} == {PLATFORM}


def test_a_conversation_belongs_to_the_use_case_of_its_opening() -> None:
    uses = UseCases()
    opening = message(sample(x.PoolOpening), Performative.CFP, Protocol.CONTRACT_NET)
    answer = message(x.Reason.of("late", "no"), Performative.REFUSE, Protocol.CONTRACT_NET)
    assert (uses.of(opening), uses.of(answer), uses.exchange_of(answer)) == ("buc6", "buc6", "6.1.1")
    assert UseCases().of(answer) == PLATFORM


def test_a_hostile_text_is_one_line_with_question_marks() -> None:
    reason = "a\x1b[31mred\nline\u2028sep\u202eflip\x00end\ud800"
    told = said({"reason": reason, "power_kw": "1\n2", "x\ny_id": "z\x07", "station_id": "\x9b"})
    assert told.isprintable()
    assert "a?[31mred line?sep?flip?end?" in told
    assert visible("caf\u00e9 30 kW \u2212") == "caf\u00e9 30 kW \u2212"


HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0.0, 1e300, -1e-300, 10**400, float("inf"), float("nan"), "", "\n" * 500, "x" * 5000, "9" * 4000,
    [], [[]], [{}], [{"power_kw": None}], [{"power_kw": 1}, {"power_kw": "x"}], [{"amount_eur": "1.00"}] * 3, [1, "a"],
    [1e308, 1e308], [{"power_kw": 1e308}] * 5, {}, {"a": {"b": []}}, ["a"] * 9000, [{"passed": True}] * 9000,
    "2026-07-01T12:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-13-45T99:99:99Z",
)  # fmt: skip
NAMES = (
    "power_kw price_eur_per_kw amount_eur start end duration_minutes reason unit value reasons awards at curve"
    " station_id bid_id vpp _ _kw _id window_start window_end valid_from valid_until service f_hz locations"
)


@pytest.mark.parametrize("seed", range(300))
def test_whatever_a_stranger_writes_is_one_printable_line(seed: int) -> None:
    rng = random.Random(seed)
    content = {name: rng.choice(HOSTILE) for name in rng.sample([*NAMES.split(), "", "x" * 500], rng.randint(1, 12))}
    content["exchange"] = rng.choice([None, "6.1.2", "no\nsuch", "x" * 9000])
    strange = AclMessage(
        rng.choice(list(Performative)), "a\n" * 500 + "@b", "c@d", rng.choice(list(Protocol)), "k", "r", content
    )
    for at in (NOON, datetime.fromisoformat("2026-07-01T12:00:00+00:00")):
        told = line(strange, at)
        assert told.isprintable()
        assert len(told) <= MAX_LINE
    assert says(strange).isprintable()


def test_many_members_cost_no_more_than_some() -> None:
    content: dict[str, Any] = {f"field_{number}_kw": 1.0 for number in range(20_000)}
    content |= {"awards": [{"power_kw": 1.0}] * 10_000}
    assert said(content).count(" kW") <= 60


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda each: f"{each.opening.exchange}-{each.initiator}")
def test_every_act_of_every_dialogue_can_be_told(dialogue: Any) -> None:
    for say in (dialogue.opening, *dialogue.answers, *dialogue.replies):
        told = line(message(sample(say.content), say.performative, dialogue.protocol), NOON)
        assert f"12:00:00 a -> b: {say.performative}" in told
        assert wellformed(told)


def test_every_leg_has_a_sample() -> None:
    assert {leg.content for leg in LEGS} <= {type(content) for content in SAMPLES}
    assert Role.OBSERVER not in {leg.sender for leg in LEGS}


@pytest.mark.parametrize("path", sorted(RUNS.glob("*/trace.jsonl")), ids=lambda path: path.parent.name)
def test_the_traces_of_the_runs_that_lie_here_read_well(path: Path) -> None:
    with path.open(encoding="utf-8", newline="\n") as lines:
        header, entries = read(lines)
        for entry in entries:
            told = line(entry.message, entry.at)
            assert wellformed(told), told
            members = entry.message.content
            if any(mark in name for name, value in members.items() if value not in (None, []) for mark in MARKS):
                assert says(entry.message, entry.at), told
    assert header.roles
