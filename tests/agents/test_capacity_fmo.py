"""The FMO of BUC 5.1: the register, the terms, the curves, the decision and the contracts (D5.1 3.5.1, Table 7)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.capacity_fmo import CapacityFmo
from agents.capacity_register import DECISION_TIME
from behaviours.answering import Incoming, Inform, Propose, Reply, answers, failure, refusal
from behaviours.outcomes import Agreed, Failed, Informed, Refused
from behaviours.swarm import ServerAccess
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.check import check
from protocols.roles import Role
from protocols.trace import header_line, message_line
from tests.agents.stage import MINUTE, Requester, Stage, at, informed
from tests.swarm import jid, run_swarm

ATHENS = ZoneInfo("Europe/Athens")
FIRST = datetime(2026, 6, 2, tzinfo=ATHENS)
CLOSURE = 30.0
POINTS = ((60.0, "90.00"), (80.0, "30.00"), (120.0, "0.00"))
Points = Sequence[tuple[float, str]]


class Athens(Stage):
    """A stage whose market's day is that of Athens; with `judge` the agents hold what they hear against the past."""

    def __init__(self, *, judge: bool = False) -> None:
        super().__init__()
        self.judge = judge
        self._set_up(None)

    def _set_up(self, access: ServerAccess | None) -> None:
        super()._set_up(access)
        self.swarm = dataclasses.replace(self.swarm, zone=ATHENS)


def curve(points: Points) -> tuple[x.CurvePoint, ...]:
    return tuple(x.CurvePoint(limit_kw=limit, price_eur=Decimal(price)) for limit, price in points)


def station(station_id: str, **changed: Any) -> x.Station:
    values: dict[str, Any] = {
        "station_id": station_id,
        "location": "Bus 5",
        "latitude_deg": 37.9,
        "longitude_deg": 23.9,
        "connection_kw": 120.0,
        "chargers": 2,
    }
    return x.Station(**values | changed)


def registration(name: str, *stations: x.Station) -> x.StationRegistration:
    return x.StationRegistration(registration_id=name, timestamp=at(0), stations=stations)


def terms(**changed: Any) -> x.AuctionTerms:
    values: dict[str, Any] = {
        "terms_id": "t1",
        "timestamp": at(10),
        "gate_closure": at(CLOSURE),
        "period_start": FIRST,
        "period_end": FIRST + timedelta(days=28),
        "window_start": "17:00",
        "window_end": "22:00",
        "most_activations": 20,
        "notice_minutes": 720,
        "least_points": 2,
        "most_points": 6,
        "step_kw": 10.0,
        "lowest_limit_kw": 60.0,
        "most_eur": Decimal("500.00"),
        "penalty_eur_per_kwh": Decimal("1.5"),
        "locations": ("Bus 5", "Bus 8"),
    }
    return x.AuctionTerms(**values | changed)


@dataclass
class Manner:
    """How a CPO answers: its curve (None: it refuses), when, under which ids, and what it does with an acceptance."""

    points: Points | None = POINTS
    answers_at: float | None = None
    bid_id: str = ""
    call_id: str = ""
    station_id: str = ""
    award: str = "confirm"
    stands: timedelta = 3 * DECISION_TIME


class Bidder(Requester):
    role = Role.CPO

    def __init__(self, *arguments: Any, manner: Manner | None = None) -> None:
        super().__init__(*arguments)
        self.manner = manner or Manner()
        self.of_station: dict[str, Manner] = {}
        self.calls: list[x.AuctionCall] = []
        self.won: list[x.ProcurementResult] = []
        self.lost: list[x.ProcurementResult] = []

    @answers(x.AuctionCall)
    async def on_call(self, call: x.AuctionCall, incoming: Incoming) -> Reply:
        self.calls.append(call)
        manner = self.of_station.get(call.station_id, self.manner)
        if manner.answers_at is not None:
            await self.clock.sleep_until(at(manner.answers_at))
        if manner.points is None:
            return refusal("nothing-to-offer", "every limit would cost too much")
        bid = x.CurveBid(
            bid_id=manner.bid_id or f"{self.name}-{call.station_id}-{call.terms_id}",
            call_id=manner.call_id or call.call_id,
            timestamp=self.now(),
            station_id=manner.station_id or call.station_id,
            curve=curve(manner.points),
        )
        return Propose(bid, reply_by=call.gate_closure + manner.stands)

    @answers(x.ProcurementResult, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, result: x.ProcurementResult, incoming: Incoming) -> Reply:
        self.won.append(result)
        if self.manner.award == "silent":
            await asyncio.Event().wait()
        if self.manner.award == "fail":
            return failure("not-as-offered", "the station is out of order")
        return Inform(x.Done(reference=result.bid_id))

    @answers(x.ProcurementResult, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, result: x.ProcurementResult, incoming: Incoming) -> None:
        self.lost.append(result)


class Buyer(Requester):
    role = Role.DSO


class Market:
    """A real FMO with a DSO and CPOs that do as told: `ppc` has hub1 and hub2, `second` has hub3 on another bus."""

    def __init__(self, stage: Stage, fmo: CapacityFmo, dso: Buyer, ppc: Bidder, second: Bidder) -> None:
        self.stage, self.fmo, self.dso, self.ppc, self.second = stage, fmo, dso, ppc, second

    @classmethod
    async def open(cls, stage: Stage) -> Market:
        fmo = await stage.start(CapacityFmo, "fmo")
        dso = await stage.start(Buyer, "hedno")
        ppc, second = await stage.start(Bidder, "ppc"), await stage.start(Bidder, "second")
        informed(await ppc.order(registration("ppc-1", station("hub1"), station("hub2")), "fmo"))
        informed(await second.order(registration("second-1", station("hub3", location="Bus 8")), "fmo"))
        await stage.until(10)
        return cls(stage, fmo, dso, ppc, second)

    async def call(self, **changed: Any) -> x.CurveBids:
        answer = await self.dso.order(terms(**changed), "fmo")
        assert isinstance(answer, Agreed), answer
        content = informed(await answer.result(at(120)))
        assert isinstance(content, x.CurveBids)
        return content

    async def decide(self, *bought: tuple[str, float, str], name: str = "d1", of: str = "t1") -> Any:
        """The outcome of a decision that buys (station, limit, price)."""
        ids = {bid.station_id: bid.bid_id for bid in self.fmo.book.auctions[of].approved}
        return await self.order(
            *((ids.get(station_id, station_id), station_id, limit, price) for station_id, limit, price in bought),
            name=name,
            of=of,
        )

    async def order(self, *bought: tuple[str, str, float, str], name: str = "d1", of: str = "t1") -> Any:
        decision = x.ProcurementDecision(
            decision_id=name,
            terms_id=of,
            timestamp=self.stage.clock.now(),
            purchases=tuple(
                x.Purchase(bid_id=bid_id, station_id=station_id, limit_kw=limit, price_eur=Decimal(price))
                for bid_id, station_id, limit, price in bought
            ),
            scenarios=40,
            expected_without_kwh=20.0,
            expected_with_kwh=2.0,
        )
        answer = await self.dso.order(decision, "fmo")
        return await answer.result(self.stage.clock.now() + 10 * MINUTE) if isinstance(answer, Agreed) else answer


def reason(outcome: Any) -> x.Reason:
    assert isinstance(outcome, Refused), outcome
    assert isinstance(outcome.content, x.Reason)
    return outcome.content


def codes(outcome: Any) -> str:
    return reason(outcome).code


# ---- the whole auction ---------------------------------------------------------------------------------------------


def test_terms_curves_and_decision_go_through_the_fmo_and_become_contracts() -> None:
    """D5.1 Table 7, row by row; what is said stands up to `run.py check`."""

    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        bids = await market.call()
        assert [(bid.station_id, bid.location, bid.cpo) for bid in bids.bids] == [
            ("hub1", "Bus 5", jid("ppc")),
            ("hub2", "Bus 5", jid("ppc")),
            ("hub3", "Bus 8", jid("second")),
        ]
        assert {bid.curve for bid in bids.bids} == {curve(POINTS)}
        assert bids.refused == ()
        concluded = informed(await market.decide(("hub1", 80.0, "30.00"), ("hub3", 70.0, "60.00")))
        assert [(c.station_id, c.limit_kw, str(c.price_eur)) for c in concluded.contracts] == [
            ("hub1", 80.0, "30.00"),
            ("hub3", 70.0, "60.00"),
        ]
        assert concluded.failed == ()
        assert {name: (held.contract, held.dso) for name, held in market.fmo.book.contracts.items()} == {
            contract.contract_id: (contract, jid("hedno")) for contract in concluded.contracts
        }
        (won,) = market.second.won
        assert (won.contract_id, won.dso) == (concluded.contracts[1].contract_id, jid("hedno"))
        (lost,) = market.ppc.lost
        assert (lost.bid_id, lost.contract_id) == ("ppc-hub2-t1", None)
        assert lost.reason == "the DSO buys nothing of this curve"
        assert stage.notices == []

    stage = Athens(judge=True)
    run_swarm(main, stage)
    roles = {each.address: each.role for each in stage.actors}
    lines = [header_line("auction", 1, roles), *(message_line(m, when) for when, m in stage.recorder.messages)]
    assert [str(fault) for fault in check(lines, zone=ATHENS)] == []


def test_a_call_has_the_attributes_of_the_terms_its_station_and_its_buyer() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        assert [call.station_id for call in market.ppc.calls] == ["hub1", "hub2"]
        (call,) = market.second.calls
        given = terms().model_dump(exclude={"timestamp", "locations", "exchange"})
        assert call.model_dump(include=set(given)) == given
        assert (call.station_id, call.location, call.dso) == ("hub3", "Bus 8", jid("hedno"))
        assert call.call_id not in {other.call_id for other in market.ppc.calls}

    run_swarm(main, Athens())


def test_only_stations_at_the_locations_of_the_terms_are_called() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        bids = await market.call(locations=("Bus 8", "Bus 11"))
        assert [bid.station_id for bid in bids.bids] == ["hub3"]
        assert market.ppc.calls == []

    run_swarm(main, Athens())


def test_the_dso_hears_of_the_curves_as_soon_as_all_are_in() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = 17
        await market.call()
        assert stage.clock.now() == at(17)

    run_swarm(main, Athens())


# ---- the register of stations --------------------------------------------------------------------------------------


def test_the_same_registration_again_changes_nothing() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        before = dict(market.fmo.book.stations)
        informed(await market.ppc.order(registration("ppc-1", station("hub1"), station("hub2")), "fmo"))
        assert market.fmo.book.stations == before

    run_swarm(main, Athens())


def test_a_new_registration_stands_for_the_old_one_which_cannot_come_back() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        informed(await market.ppc.order(registration("ppc-2", station("hub1", connection_kw=90.0)), "fmo"))
        assert set(market.fmo.book.stations) == {"hub1", "hub3"}
        assert market.fmo.book.stations["hub1"].station.connection_kw == 90.0
        late = await market.ppc.order(registration("ppc-1", station("hub1"), station("hub2")), "fmo")
        assert reason(late).reason == "ppc-1 was replaced by ppc-2"
        assert set(market.fmo.book.stations) == {"hub1", "hub3"}

    run_swarm(main, Athens())


def test_a_station_belongs_to_the_cpo_that_registered_it() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        outcome = await market.second.order(registration("second-2", station("hub4"), station("hub1")), "fmo")
        assert codes(outcome) == "not-authorised"
        assert set(market.fmo.book.stations) == {"hub1", "hub2", "hub3"}
        assert market.fmo.book.stations["hub1"].cpo == jid("ppc")

    run_swarm(main, Athens())


@pytest.mark.parametrize("when", ["auctioned", "sold"])
@pytest.mark.parametrize("how", ["changed", "left out"])
def test_a_station_that_is_auctioned_or_sold_is_neither_changed_nor_left_out(when: str, how: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        if when == "sold":
            informed(await market.decide(("hub1", 80.0, "30.00")))
        changed = (station("hub1", connection_kw=60.0), station("hub2")) if how == "changed" else (station("hub2"),)
        fault = reason(await market.ppc.order(registration("ppc-2", *changed), "fmo"))
        assert fault.code == "bound"
        assert (
            "has the contract c-t1/hub1 until 2026-06-30 00:00" if when == "sold" else "not decided"
        ) in fault.reason
        assert market.fmo.book.stations["hub1"].station == station("hub1")
        both = registration("ppc-3", station("hub1"), station("hub2"), station("hub9"))
        informed(await market.ppc.order(both, "fmo"))

    run_swarm(main, Athens())


def test_an_id_that_makes_the_ids_of_calls_too_long_is_refused() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        assert codes(await market.ppc.order(registration("ppc-2", station("h" * 91)), "fmo")) == "id-too-long"
        assert codes(await market.dso.order(terms(terms_id="t" * 91), "fmo")) == "id-too-long"
        informed(await market.ppc.order(registration("ppc-3", station("h" * 90)), "fmo"))
        bids = await market.call(terms_id="t" * 90)
        (bought,) = [bid for bid in bids.bids if bid.station_id == "h" * 90]
        done = await market.order((bought.bid_id, bought.station_id, 80.0, "30.00"), of="t" * 90)
        assert len(informed(done).contracts) == 1

    run_swarm(main, Athens())


# ---- terms that cannot be met --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gate_closure": at(9)}, "the gate closes at 2026-06-01 09:09, it is 2026-06-01 09:10"),
        ({"period_start": FIRST + timedelta(hours=3)}, "period_start is 2026-06-02 03:00, not a local midnight"),
        ({"locations": ("Bus 11",)}, "no registered station is at Bus 11"),
        ({"lowest_limit_kw": 120.0}, "lowest_limit_kw is 120, the connection of 'hub1' carries 120 kW"),
        ({"most_activations": 29}, "most_activations is 29, the period has 28 days"),
    ],
)
def test_terms_that_cannot_be_met_are_refused_with_the_number_that_is_wrong(changed: dict[str, Any], says: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        fault = reason(await market.dso.order(terms(**changed), "fmo"))
        assert (fault.code, fault.reason) == ("terms-cannot-be-met", says)
        assert market.ppc.calls == market.second.calls == []
        assert market.fmo.book.auctions == {}

    run_swarm(main, Athens())


def test_every_fault_of_the_terms_is_told() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        fault = reason(await market.dso.order(terms(most_activations=29, locations=("Bus 11",)), "fmo"))
        assert len(fault.faults) == 2

    run_swarm(main, Athens())


def test_the_same_terms_twice_are_one_auction() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        assert codes(await market.dso.order(terms(), "fmo")) == "used-reference"
        other = await stage.start(Buyer, "other-dso")
        assert codes(await other.order(terms(), "fmo")) == "used-reference"
        assert len(market.second.calls) == 1

    run_swarm(main, Athens())


def test_the_same_message_twice_is_acted_upon_once_and_has_the_same_answer() -> None:
    """What a network may do: a letter is delivered again."""

    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        again(stage, x.AuctionTerms)
        await stage.settle()
        assert len(market.second.calls) == 1
        informed(await market.decide(("hub3", 80.0, "30.00")))
        again(stage, x.ProcurementDecision)
        again(stage, x.CurveBid)
        await stage.settle()
        assert len(market.second.won) == 1
        for kind in (x.CurveBids, x.ConcludedContracts):  # a repeated question has the same answer
            assert len({answer.model_dump_json() for answer in stage.said(kind)}) == 1
        assert len(market.fmo.book.contracts) == 1

    run_swarm(main, Athens(judge=True))


def again(stage: Stage, kind: type[x.Content]) -> None:
    """Delivers the last letter with this content once more."""
    exchange = kind.model_fields["exchange"].default
    acts = {Performative.REQUEST, Performative.PROPOSE}
    stage.inject([m for _, m in stage.recorder.messages if m.exchange == exchange and m.performative in acts][-1])


# ---- curves --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        (Manner(points=((120.0, "0.00"),)), "one point is no curve"),
        (Manner(points=((60.0, "-5.00"), (80.0, "-5.00"), (120.0, "0.00"))), "price for 60 kW is negative: -5.00 EUR"),
        (Manner(points=((60.0, "40.00"), (80.0, "35.00"), (120.0, "0.00"))), "it is not convex at 80 kW"),
        (Manner(points=((60.0, "10.00"), (80.0, "30.00"), (120.0, "0.00"))), "its price rises with the limit"),
        (Manner(points=((60.0, "510.00"), (120.0, "0.00"))), "is 510.00 EUR, more than 500.00"),
        (Manner(points=((50.0, "90.00"), (120.0, "0.00"))), "the limit 50 kW is below the lowest of 60 kW"),
        (Manner(points=((60.0, "90.00"), (110.0, "0.00"))), "its last limit is 110 kW"),
        (Manner(points=((60.0, "90.00"), (120.0, "2.00"))), "without a cap nothing is paid"),
        (Manner(station_id="hub1"), "it is of the station hub1, not of hub3"),
        (Manner(call_id="t1/hub1"), "it is for the call t1/hub1, not for t1/hub3"),
        (Manner(bid_id="ppc-hub1-t1"), "the id ppc-hub1-t1 is another curve's"),
    ],
)
def test_a_curve_that_is_not_what_was_called_for_is_refused_and_all_hear_why(manner: Manner, says: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner = manner
        bids = await market.call()
        assert [bid.station_id for bid in bids.bids] == ["hub1", "hub2"]
        (told,) = bids.refused
        assert told.startswith("hub3: ")
        assert says in told
        await stage.settle()
        (lost,) = market.second.lost
        assert lost.contract_id is None
        assert says in (lost.reason or "")
        assert stage.noticed(says) == 1
        refused = reason(await market.order((lost.bid_id, "hub3", 80.0, "30.00")))
        assert refused.code == "not-as-offered"
        assert market.second.won == []

    run_swarm(main, Athens())


def test_what_a_rule_forbids_is_no_curve_either() -> None:
    """An agent that holds what it hears against the past refuses what breaks a rule, in the words of the rule."""

    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner = Manner(station_id="hub1")
        (told,) = (await market.call()).refused
        assert "other-than-asked: station_id is 'hub1', not 'hub3'" in told

    run_swarm(main, Athens(judge=True))


def test_a_cpo_that_does_not_bid_keeps_nobody_else_from_it() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner = Manner(points=None)
        market.ppc.of_station["hub2"] = Manner(points=None)
        bids = await market.call()
        assert [bid.station_id for bid in bids.bids] == ["hub1"]
        assert bids.refused == (
            "hub2: refused by ppc@localhost: every limit would cost too much",
            "hub3: refused by second@localhost: every limit would cost too much",
        )
        assert stage.notices == []
        assert stage.clock.now() == at(10)

    run_swarm(main, Athens())


@pytest.mark.parametrize("minute", [CLOSURE + 5, 24 * 60.0], ids=["late", "silent"])
def test_a_cpo_that_misses_the_gate_closure_is_out_and_the_others_go_on(minute: float) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = minute
        bids = await market.call()
        assert stage.clock.now() == at(CLOSURE)
        assert [bid.station_id for bid in bids.bids] == ["hub1", "hub2"]
        assert bids.refused == ("hub3: second@localhost had sent no curve when the gate closed",)
        assert stage.noticed("hub3: second@localhost had sent no curve") == 1
        informed(await market.decide(("hub1", 80.0, "30.00")))
        await stage.until(CLOSURE + 10)
        assert stage.said(x.CurveBid, "second") == []
        assert market.second.won == []
        assert set(market.fmo.book.contracts) == {"c-t1/hub1"}

    run_swarm(main, Athens())


def test_a_curve_at_the_moment_of_the_gate_closure_is_in_time() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = CLOSURE
        assert [bid.station_id for bid in (await market.call()).bids] == ["hub1", "hub2", "hub3"]

    run_swarm(main, Athens(judge=True))


def test_a_curve_that_is_sent_all_the_same_after_the_gate_closure_buys_nothing() -> None:
    """A CPO whose own clock, or whose own rules, let it send too late: the conversation is over."""

    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = 24 * 60.0
        await market.call()
        await stage.until(CLOSURE + 5)
        (cfp,) = [m for _, m in stage.recorder.messages if m.exchange == "5.1.2" and m.receiver == jid("second")]
        bid = x.CurveBid(
            bid_id="late", call_id="t1/hub3", timestamp=at(CLOSURE), station_id="hub3", curve=curve(POINTS)
        )
        stage.inject(
            AclMessage(
                performative=Performative.PROPOSE,
                sender=jid("second"),
                receiver=jid("fmo"),
                protocol=Protocol.CONTRACT_NET,
                conversation_id=cfp.conversation_id,
                reply_with="late/1",
                in_reply_to=cfp.reply_with,
                content=bid.to_json(),
            )
        )
        await stage.settle()
        refused = await market.order(("late", "hub3", 80.0, "30.00"))
        assert reason(refused).reason == "'late' is no approved bid"
        assert stage.errors == []

    run_swarm(main, Athens())


# ---- the decision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bought", "says"),
    [
        (("ppc-hub9-t1", "hub9", 80.0, "30.00"), "'ppc-hub9-t1' is no approved bid"),
        (("ppc-hub1-t1", "hub2", 80.0, "30.00"), "'ppc-hub1-t1' is a bid of 'hub1', not of 'hub2'"),
        (("ppc-hub1-t1", "hub1", 50.0, "90.00"), "'ppc-hub1-t1' offers 60 to 120 kW, 50 kW are bought"),
        (("ppc-hub1-t1", "hub1", 70.0, "59.00"), "are bought for 59.00 EUR, the curve asks 60.00 EUR"),
        (("ppc-hub1-t1", "hub1", 65.0, "80.00"), "the limit 65 kW of 'ppc-hub1-t1' is no multiple of 10 kW"),
    ],
)
def test_a_dso_that_buys_what_was_not_offered_is_refused_and_may_decide_again(
    bought: tuple[str, str, float, str], says: str
) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        good = ("second-hub3-t1", "hub3", 80.0, "30.00")
        fault = reason(await market.order(good, bought))
        assert fault.code == "not-as-offered"
        assert says in fault.reason
        assert market.ppc.won == market.second.won == market.second.lost == []
        assert market.fmo.book.contracts == {}
        assert len(informed(await market.order(good, name="d2")).contracts) == 1

    run_swarm(main, Athens())


def test_with_rules_the_same_is_refused_and_may_be_mended() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        assert codes(await market.order(("ppc-hub9-t1", "hub9", 80.0, "30.00"))) == "not-offered"
        assert codes(await market.order(("ppc-hub1-t1", "hub1", 70.0, "59.00"), name="d2")) == "not-as-offered"
        assert len(informed(await market.order(("ppc-hub1-t1", "hub1", 70.0, "60.00"), name="d3")).contracts) == 1

    run_swarm(main, Athens(judge=True))


def test_a_decision_is_of_the_dso_that_gave_the_terms_and_of_terms_that_there_are() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        thief = await stage.start(Buyer, "other-dso")
        hedno, market.dso = market.dso, thief
        assert codes(await market.decide(("hub1", 80.0, "30.00"))) == "unknown-terms"
        market.dso = hedno
        assert codes(await market.order(of="t2")) == "unknown-terms"
        assert market.ppc.won == []

    run_swarm(main, Athens())


def test_an_auction_is_decided_once() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        informed(await market.decide(("hub1", 80.0, "30.00")))
        fault = reason(await market.decide(("hub2", 80.0, "30.00"), name="d2"))
        assert (fault.code, fault.reason) == ("used-reference", "t1 was decided by d1")
        assert len(market.ppc.won) == 1

    run_swarm(main, Athens())


def test_nothing_is_decided_before_the_curves_are_in() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = 20
        answer = await market.dso.order(terms(), "fmo")
        assert codes(await market.order()) == "too-early"
        informed(await answer.result(at(60)))
        informed(await market.decide(name="d2"))

    run_swarm(main, Athens())


def test_a_decision_that_buys_nothing_is_told_to_every_bidder() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        concluded = informed(await market.decide())
        assert concluded.contracts == concluded.failed == ()
        await stage.settle()
        assert [lost.bid_id for lost in market.ppc.lost] == ["ppc-hub1-t1", "ppc-hub2-t1"]
        assert [lost.bid_id for lost in market.second.lost] == ["second-hub3-t1"]

    run_swarm(main, Athens())


@pytest.mark.parametrize(("award", "says"), [("fail", "the station is out of order"), ("silent", "no answer from")])
def test_what_a_cpo_does_not_stand_by_is_no_contract_and_the_dso_hears_it(award: str, says: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.award = award
        await market.call()
        concluded = informed(await market.decide(("hub1", 80.0, "30.00"), ("hub3", 80.0, "30.00")))
        assert [contract.station_id for contract in concluded.contracts] == ["hub1"]
        (failed,) = concluded.failed
        assert "does not stand by its curve second-hub3-t1 of hub3" in failed
        assert says in failed
        assert set(market.fmo.book.contracts) == {"c-t1/hub1"}
        assert stage.noticed("does not stand by its curve second-hub3-t1") == 1

    run_swarm(main, Athens())


def test_a_curve_that_no_longer_stands_is_no_contract() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.stands = 5 * MINUTE
        await market.call()
        await stage.until(CLOSURE + 6)
        concluded = informed(await market.decide(("hub1", 80.0, "30.00"), ("hub3", 80.0, "30.00")))
        assert [contract.station_id for contract in concluded.contracts] == ["hub1"]
        (failed,) = concluded.failed
        assert "does not stand by its curve second-hub3-t1" in failed
        assert market.second.won == []

    run_swarm(main, Athens())


def test_curves_that_nobody_decides_on_are_given_back() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        until = CLOSURE + DECISION_TIME / MINUTE
        await stage.until(until - 1)
        assert market.second.lost == []
        await stage.until(until)
        (lost,) = market.second.lost
        assert lost.reason == "the DSO has not decided in time"
        assert stage.noticed("hedno@localhost has not decided t1 by 2026-06-01 10:30") == 1
        assert codes(await market.decide(("hub1", 80.0, "30.00"))) == "expired"
        again = await market.call(terms_id="t2", gate_closure=at(until + 20))
        assert len(again.bids) == 3

    run_swarm(main, Athens())


# ---- a second auction ----------------------------------------------------------------------------------------------


def test_a_station_is_not_sold_twice_for_the_same_time() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        informed(await market.decide(("hub1", 80.0, "30.00")))
        bids = await market.call(terms_id="t2")
        assert [bid.station_id for bid in bids.bids] == ["hub2", "hub3"]
        assert bids.refused == ("hub1: it has the contract c-t1/hub1 until 2026-06-30 00:00",)
        only = reason(await market.dso.order(terms(terms_id="t3", locations=("Bus 8",)), "fmo"))
        assert only.code == "terms-cannot-be-met"
        assert "hub3: it is in the auction t2, which is not decided" in only.faults

    run_swarm(main, Athens())


def test_a_station_is_free_again_when_its_contract_ends() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        await market.call()
        informed(await market.decide(("hub1", 80.0, "30.00")))
        later = {"period_start": FIRST + timedelta(days=28), "period_end": FIRST + timedelta(days=56)}
        assert len((await market.call(terms_id="t2", **later)).bids) == 3

    run_swarm(main, Athens())


def test_two_auctions_at_once_do_not_share_a_station() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        market.second.manner.answers_at = 20
        first = await market.dso.order(terms(locations=("Bus 8",)), "fmo")
        bids = await market.call(terms_id="t2")
        assert [bid.station_id for bid in bids.bids] == ["hub1", "hub2"]
        assert bids.refused == ("hub3: it is in the auction t1, which is not decided",)
        assert isinstance(await first.result(at(60)), Informed)

    run_swarm(main, Athens())


def test_who_is_no_dso_cannot_call_an_auction() -> None:
    async def main(stage: Stage) -> None:
        market = await Market.open(stage)
        outcome = await market.ppc.order(terms(), "fmo")
        assert isinstance(outcome, Refused)
        assert not isinstance(outcome, Failed)
        assert market.fmo.book.auctions == {}

    run_swarm(main, Athens())
