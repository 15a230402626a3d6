"""The list of negotiations and the chosen one, from trace files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from environment.watched import content
from environment.watched.negotiation import MOST_CHAIN, Negotiation
from environment.watched.negotiations import AGAINST, BUDGET, EVERYTHING, PAGE, Choice, Negotiations
from environment.watched.outcome import outcome
from environment.watched.run import WatchedRun
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.standing import Reading
from protocols.trace import header_line, message_line, read_entry
from tests.protocols.samples import sample
from tests.protocols.test_check import CPO, DSO, OWNER, RIVAL, TSO, VPP, T, minutes, negotiation

Act = Performative
OWNERS = tuple(f"owner{number}@localhost" for number in range(1, 6))


def folder(path: Path, lines: Sequence[str], *, whole: bool = True) -> Path:
    """A run folder with this trace and nothing else."""
    path.mkdir(exist_ok=True)
    (path / "trace.jsonl").write_text("\n".join(lines) + ("\n" if whole else ""), encoding="utf-8")
    return path


def watched(path: Path, lines: Sequence[str]) -> Negotiations:
    """The list of a whole trace."""
    return caught_up(Negotiations(WatchedRun(folder(path, lines))))


def caught_up(found: Negotiations) -> Negotiations:
    while found.run.refresh():
        pass
    found.refresh()
    while not found.ready:
        found.refresh()
    return found


def many(conversations: int, *, answered: bool = True) -> list[str]:
    """A trace of announcements by one driver after another, a second apart."""
    lines = [header_line("slovenia", 1, {CPO: Role.CPO, **dict.fromkeys(OWNERS, Role.EV_OWNER)})]
    told = sample(x.SessionAnnouncement).to_json()
    for number in range(conversations):
        at = T + timedelta(seconds=number)
        opening = AclMessage(
            Act.REQUEST, OWNERS[number % 5], CPO, Protocol.REQUEST, f"s-{number}", f"s-{number}/1", told
        )
        lines.append(message_line(opening, at))
        if answered:
            done = replace(
                opening,
                performative=Act.INFORM,
                sender=CPO,
                receiver=opening.sender,
                reply_with=f"s-{number}/2",
                in_reply_to=f"s-{number}/1",
                content=x.Done(reference="s").to_json(),
            )
            lines.append(message_line(done, at))
    return lines


class TestTheList:
    def test_each_entry_says_what_it_is_about(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines).find(Choice(newest_first=False))
        told = {line.conversation_id: line for line in found.lines}
        assert list(told) == ["sub", "pool", "order", "cpo", "owner"]
        pool = told["pool"]
        assert (pool.title, pool.who, pool.messages, pool.state) == (
            "6.1.1 Informs the pool",
            "dso with vpp1 and vpp2",
            6,
            "done",
        )
        assert pool.outcome == "20 kW awarded of 20 kW offered"
        assert told["owner"].outcome.startswith("accepted: ")
        assert told["sub"].outcome.startswith("the last word: ")
        assert told["sub"].state == "subscribed"
        assert {line.broken for line in found.lines} == {0}

    def test_newest_and_oldest(self, tmp_path: Path) -> None:
        found = watched(tmp_path, many(3))
        assert [line.conversation_id for line in found.find(Choice()).lines] == ["s-2", "s-1", "s-0"]
        assert [line.conversation_id for line in found.find(Choice(newest_first=False)).lines] == ["s-0", "s-1", "s-2"]

    def test_filters(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines)

        def ids(choice: Choice) -> set[str]:
            return {line.conversation_id for line in found.find(choice).lines}

        assert ids(Choice(use_case="buc6")) == {"pool", "order", "cpo", "owner"}
        assert ids(Choice(use_case="buc1")) == {"sub"}
        assert ids(Choice(use_case="platform")) == set()
        assert ids(Choice(state="subscribed")) == {"sub"}
        assert ids(Choice(agent=RIVAL)) == {"pool"}
        assert ids(Choice(agent=VPP, state="done")) == {"pool", "order", "cpo"}
        assert ids(Choice(text="ACTIVATION signal")) == {"order", "cpo"}
        assert ids(Choice(text="owner1")) == {"owner"}
        assert ids(Choice(text="a6 cpo")) == {"cpo", "owner"}
        assert ids(Choice(text="nobody says this")) == set()

    def test_counts_by_use_case_and_state(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines)
        assert found.use_cases() == {"buc1": 1, "buc6": 4}
        assert found.states() == {"subscribed": 1, "done": 3, "accepted": 1}
        assert found.states("buc6") == {"done": 3, "accepted": 1}

    def test_pages(self, tmp_path: Path) -> None:
        found = watched(tmp_path, many(PAGE * 2 + 1, answered=False))
        first, last = found.find(Choice()), found.find(Choice(), 99)
        assert (len(first.lines), first.total, first.pages) == (PAGE, PAGE * 2 + 1, 3)
        assert (len(last.lines), last.page) == (1, 2)
        assert last.lines[0].conversation_id == "s-0"

    def test_a_refresh_takes_on_a_bounded_number(self, tmp_path: Path) -> None:
        found = Negotiations(WatchedRun(folder(tmp_path, many(BUDGET, answered=True))))
        while found.run.refresh():
            pass
        found.refresh()
        assert not found.ready
        assert len(found.all) == BUDGET // 2
        assert found.share == pytest.approx(0.5)
        found.refresh()
        assert found.ready
        assert found.states() == {"done": BUDGET}

    def test_a_crowd_is_told_by_its_number(self, tmp_path: Path) -> None:
        assert "with 5 EV owners" in watched(tmp_path, to_owners()).find(Choice()).lines[0].who


def to_owners() -> list[str]:
    """A call to five drivers, three of whom offer."""
    lines = [header_line("denmark", 1, {VPP: Role.V2X_MANAGER, **dict.fromkeys(OWNERS, Role.EV_OWNER)})]
    call = sample(x.CustomerRequest).to_json()
    for number, owner in enumerate(OWNERS):
        said = AclMessage(Act.CFP, VPP, owner, Protocol.CONTRACT_NET, "call", f"call/{number}", call)
        lines.append(message_line(said, T))
    for number, owner in enumerate(OWNERS[:3]):
        offer = AclMessage(
            Act.PROPOSE,
            owner,
            VPP,
            Protocol.CONTRACT_NET,
            "call",
            f"offer/{number}",
            {**sample(x.CustomerAnswer).to_json(), "power_kw": 2.5 + number},
            f"call/{number}",
        )
        lines.append(message_line(offer, T))
    return lines


class TestGrowing:
    def test_it_grows_with_the_trace(self, tmp_path: Path) -> None:
        lines = negotiation().lines
        path = folder(tmp_path, lines[:4])
        found = Negotiations(WatchedRun(path, live=True))
        caught_up(found)
        assert found.word("pool") == "open"
        chosen = Negotiation(found, "pool")
        chosen.refresh()
        assert len(chosen) == 1
        seen = found.version
        found.refresh()
        assert found.version == seen
        with (path / "trace.jsonl").open("a", encoding="utf-8") as trace:
            trace.writelines(f"{line}\n" for line in lines[4:])
        caught_up(found)
        assert found.word("pool") == "done"
        assert chosen.refresh()
        assert [step.act for step in chosen.steps()] == [
            "cfp", "cfp", "propose", "refuse", "accept-proposal", "inform",
        ]  # fmt: skip
        assert not chosen.refresh()

    def test_it_follows_the_playback_forth_and_back(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines)
        chosen = Negotiation(found, "order")
        assert found.word("order") == "done"
        found.run.show_at(minutes(7))
        caught_up(found)
        chosen.refresh()
        assert found.word("order") == "open"
        assert len(chosen) == 1
        found.run.show_at(minutes(2))
        caught_up(found)
        chosen.refresh()
        assert "order" not in found.all
        assert not chosen.known
        assert (len(chosen), chosen.links()) == (0, [])
        found.run.show_at(minutes(95))
        caught_up(found)
        chosen.refresh()
        assert (found.word("order"), len(chosen)) == ("done", 3)

    def test_a_reply_by_that_passes_changes_word_and_count(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines[:5])
        found.run.show_at(minutes(4))
        caught_up(found)
        assert found.word("pool") == "open"
        assert found.peers(found.all["pool"]) == (
            f"vpp1: called, a reply is due by {minutes(5).astimezone(found.run.zone):%H:%M:%S}",
            f"vpp2: called, a reply is due by {minutes(5).astimezone(found.run.zone):%H:%M:%S}",
        )
        found.run.show_at(minutes(6))
        caught_up(found)
        assert found.word("pool") == "expired"
        assert found.states() == {"subscribed": 1, "expired": 1}

    def test_a_trace_that_begins_anew_is_read_anew(self, tmp_path: Path) -> None:
        path = folder(tmp_path, many(30))
        found = Negotiations(WatchedRun(path, live=True))
        caught_up(found)
        (path / "trace.jsonl").unlink()
        folder(path, negotiation().lines)
        caught_up(found)
        assert set(found.all) == {"sub", "pool", "order", "cpo", "owner"}
        assert found.belonging.related("pool")


class TestTheDiagram:
    def test_lifelines_stand_from_the_market_to_the_drivers(self, tmp_path: Path) -> None:
        chosen = Negotiation(watched(tmp_path, negotiation().lines), "pool", whole=True)
        chosen.refresh()
        assert [line.name for line in chosen.lifelines()] == ["DSO", "vpp1", "vpp2", "CPO", "owner1"]
        steps = chosen.steps()
        assert {step.conversation_id for step in steps} == {"pool", "order", "cpo", "owner"}
        assert [step.at for step in steps] == sorted(step.at for step in steps)
        bid = next(step for step in steps if step.act == "propose" and step.conversation_id == "pool")
        at = minutes(1).astimezone(chosen.steps()[0].at.tzinfo)
        assert bid.words.startswith(f"{at:%H:%M:%S} vpp1 to dso: propose 6.1.2 Market bid, ")
        assert "20 kW" in bid.words
        assert [step.begins for step in steps if step.begins] == [
            "fipa-contract-net pool", "fipa-request order", "fipa-request cpo", "fipa-propose owner",
        ]  # fmt: skip

    def test_a_crowd_is_one_lifeline_until_it_is_unfolded(self, tmp_path: Path) -> None:
        found = watched(tmp_path, to_owners())
        folded = Negotiation(found, "call")
        folded.refresh()
        assert [(line.name, line.note, line.folded) for line in folded.lifelines()] == [
            ("vpp1", "V2X manager", False),
            ("EV owners", "5 of them", True),
        ]
        calls, offers = folded.steps()
        assert (len(calls.numbers), calls.receiver) == (5, "5 EV owners")
        assert (len(offers.numbers), offers.gist) == (3, "10.5 kW in all")
        assert folded.messages == 8
        unfolded = Negotiation(found, "call", unfolded=frozenset({"ev_owner"}))
        unfolded.refresh()
        assert len(unfolded.lifelines()) == 6
        assert len(unfolded.steps()) == 8
        assert len(unfolded.steps(5, 2)) == 2

    def test_what_belongs_to_it_leads_from_the_call_to_the_drivers(self, tmp_path: Path) -> None:
        found = watched(tmp_path, negotiation().lines)
        chosen = Negotiation(found, "pool")
        links = chosen.links()
        assert [(link.conversation_id, link.before) for link in links] == [("order", False), ("cpo", False)]
        assert links[0].title == "6.2.1 Activation signal"
        from_order = {link.conversation_id: link.before for link in Negotiation(found, "order").links()}
        assert from_order == {"pool": True, "cpo": False, "owner": False}
        assert set(found.belonging.chain("owner", MOST_CHAIN)) == {"pool", "order", "cpo", "owner"}
        assert found.belonging.chain("owner", 2)[0] == "owner"
        assert len(found.belonging.chain("owner", 2)) == 2

    def test_a_step_out_of_sequence_says_so(self, tmp_path: Path) -> None:
        lines = negotiation().lines
        again = read_entry(2, next(line for line in lines if '"performative":"inform"' in line and '"pool"' in line))
        odd = replace(again.message, performative=Act.PROPOSE, reply_with="odd")
        lines.append(message_line(odd, minutes(96)))
        found = watched(tmp_path, lines)
        chosen = Negotiation(found, "pool")
        chosen.refresh()
        last = chosen.steps()[-1]
        assert (last.reading, last.broken) == (Reading.BROKEN, True)
        assert last.words.endswith("out of sequence")
        assert found.broken == 1
        assert found.line(found.all["pool"]).broken == 1
        assert found.states("buc6")[AGAINST] == 1
        assert AGAINST not in found.states("buc1")
        assert [line.conversation_id for line in found.find(Choice(state=AGAINST)).lines] == ["pool"]

    def test_the_same_id_with_other_words_is_no_repetition(self, tmp_path: Path) -> None:
        lines = negotiation().lines
        bid = next(line for line in lines if '"6.1.2"' in line)
        other = json.loads(bid)
        other["content"]["power_kw"] = 19.0
        lines += [bid, json.dumps(other)]
        found = watched(tmp_path, lines)
        chosen = Negotiation(found, "pool")
        chosen.refresh()
        assert [step.reading for step in chosen.steps()][-2:] == [Reading.REPEATED, Reading.BROKEN]

    def test_a_long_subscription_is_shown_in_parts(self, tmp_path: Path) -> None:
        chosen = Negotiation(watched(tmp_path, subscription(399)), "sub")
        chosen.refresh()
        assert len(chosen) == 400
        assert len(chosen.steps()) == 100
        assert len(chosen.steps(350)) == 50
        assert chosen.steps(399)[0].numbers == (399,)


def subscription(news: int) -> list[str]:
    """A subscription that is told something so many times, a second apart."""
    lines = [header_line("slovenia", 1, {TSO: Role.TSO, DSO: Role.DSO})]
    wanted = sample(x.ActivatedResourcesSubscription).to_json()
    lines.append(message_line(AclMessage(Act.SUBSCRIBE, TSO, DSO, Protocol.SUBSCRIBE, "sub", "sub/0", wanted), T))
    told = sample(x.ActivatedResources).to_json()
    for number in range(1, news + 1):
        said = AclMessage(Act.INFORM, DSO, TSO, Protocol.SUBSCRIBE, "sub", f"sub/{number}", told, "sub/0")
        lines.append(message_line(said, T + timedelta(seconds=number)))
    return lines


class TestContent:
    def test_fields_have_words_values_and_units(self) -> None:
        told = {field.name: (field.words, field.value) for field in content.fields(sample(x.PoolBid).to_json(), UTC)}
        assert told["power_kw"] == ("power", "20 kW")
        assert told["price_eur_per_kw"][1].endswith("EUR/kW")
        assert "exchange" not in told

    def test_lists_of_objects_are_tables(self) -> None:
        rows = [{"bus": "b1", "power_kw": 2.0}, {"bus": "b2", "power_kw": 3.5}]
        (part,) = content.parts({"orders": rows, "power_kw": 3}, UTC)
        assert (part.columns, part.rows, part.total) == (
            ("bus", "power, kW"),
            (("b1", "2"), ("b2", "3.5")),
            2,
        )

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (None, "none"),
            (True, "yes"),
            ([], "none"),
            ([1, 2], "1, 2"),
            (list(range(30)), f"{', '.join(map(str, range(24)))} and 6 more"),
            ({"a_kw": 1}, "a 1 kW"),
            ("<script>alert(1)</script>", "<script>alert(1)</script>"),
            ("2026-07-01T12:00:00+02:00", "1 Jul 2026 10:00"),
            ("9999-99-99T12:00:00Z", "9999-99-99T12:00:00Z"),
            ("2026-07-01T12:00:00", "2026-07-01T12:00:00"),
        ],
    )  # fmt: skip
    def test_every_kind_of_value(self, value: object, told: str) -> None:
        assert content.fields({"thing": value}, UTC)[0].value == told

    def test_where_d51_has_it_and_the_parameters(self) -> None:
        message = AclMessage(Act.PROPOSE, VPP, DSO, Protocol.CONTRACT_NET, "c", "r", {"exchange": "6.1.2"}, "i")
        assert content.source(message) == "6.1.2 Market bid: D5.1 Table 9."
        assert content.source(replace(message, content={})).startswith("A plain propose")
        told = {field.words: field.value for field in content.parameters(message, T, UTC)}
        assert (told["sender"], told["in-reply-to"], told["protocol"]) == (VPP, "i", "fipa-contract-net")
        assert json.loads(content.as_json(message)) == {"exchange": "6.1.2"}


class TestOutcome:
    AT = datetime(2026, 3, 18, 17, tzinfo=UTC)

    def said(self, act: Act, protocol: Protocol, number: int, answers: int | None = None, **told: object) -> AclMessage:
        before = None if answers is None else str(answers)
        ends = (OWNER, CPO) if number else (CPO, OWNER)
        return AclMessage(act, *ends, protocol, "c", str(number), told, before)

    def test_a_contract_net(self) -> None:
        net = Protocol.CONTRACT_NET
        call = self.said(Act.CFP, net, 0, exchange="6.1.1", power_needed_kw=20.0)
        one = self.said(Act.PROPOSE, net, 1, 0, exchange="6.1.2", power_kw=12.5)
        two = self.said(Act.PROPOSE, net, 2, 0, exchange="6.1.2", power_kw=2.5)
        award = self.said(Act.ACCEPT_PROPOSAL, net, 3, 1, exchange="6.x.1", power_kw=12.0)
        no = self.said(Act.REJECT_PROPOSAL, net, 4, 2, exchange="6.x.1", reason="too dear")
        failed = self.said(Act.FAILURE, net, 5, 3, reason="the charger is silent")
        assert outcome([call], self.AT) == "power needed 20 kW"
        assert outcome([call, one, two], self.AT) == "15 kW offered"
        assert outcome([call, one, two, award], self.AT) == "12 kW awarded of 15 kW offered"
        assert outcome([call, two, no], self.AT) == "2.5 kW offered, none of it taken: too dear"
        assert outcome([call, one, award, failed], self.AT).endswith("; 1 failed: the charger is silent")

    def test_requests_and_cancels(self) -> None:
        ask = self.said(Act.REQUEST, Protocol.REQUEST, 0, exchange="6.2.1", power_kw=12.0)
        agree = self.said(Act.AGREE, Protocol.REQUEST, 1, 0, reference="a")
        done = self.said(Act.INFORM, Protocol.REQUEST, 2, 0, reference="a")
        refuse = self.said(Act.REFUSE, Protocol.REQUEST, 1, 0, reason="nobody is here")
        cancel = self.said(Act.CANCEL, Protocol.REQUEST, 3, reference="a")
        stopped = self.said(Act.INFORM, Protocol.REQUEST, 4, 3, reference="a")
        goes_on = self.said(Act.FAILURE, Protocol.REQUEST, 4, 3, reason="too late")
        assert outcome([], self.AT) == ""
        assert outcome([ask, agree], self.AT) == "agreed: power 12 kW"
        assert outcome([ask, agree, done], self.AT) == "done: power 12 kW"
        assert outcome([ask, refuse], self.AT) == "refused: nobody is here"
        assert outcome([ask, cancel], self.AT) == "being called off: power 12 kW"
        assert outcome([ask, agree, cancel, stopped], self.AT) == "called off: power 12 kW"
        assert outcome([ask, cancel, goes_on, done], self.AT) == "done: power 12 kW"


def test_numbers_that_are_none_are_shown(tmp_path: Path) -> None:
    lines = [line.replace('"power_kw":20.0', '"power_kw":NaN') for line in negotiation().lines]
    assert any("NaN" in line for line in lines)
    found = watched(tmp_path, lines)
    assert found.find(Choice()).total == 5
    chosen = Negotiation(found, "pool")
    chosen.refresh()
    for step in chosen.steps():
        entry = chosen.entry(step.numbers[0])
        assert entry is not None
        assert content.as_json(entry.message)
        content.fields(entry.message.content, UTC)


def test_everything_may_be_asked_for(tmp_path: Path) -> None:
    assert watched(tmp_path, negotiation().lines).find(Choice(use_case=EVERYTHING)).total == 5
