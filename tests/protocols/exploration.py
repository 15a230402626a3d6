"""Every run of two lawful agents over a bad network, by exhaustive search over the real Conversation class.

A world is both sides of one conversation and the messages under way. In every world each agent may send whatever its
table allows, each deadline may fire, each message under way may be the next to arrive (which is any delay, and any
order), and up to `faults` of them are duplicated. A lost message is one that stays under way for ever: nothing that
happens needs it to arrive, so every number of losses is among the runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from protocols.acl import AclMessage, Performative, Protocol
from protocols.conversation import Conversation, Event, Late, OutOfSequence, not_understood, opens
from protocols.tables import OPENING, Side

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
REPLY_BY = NOW + timedelta(minutes=5)
AGES_LATER = NOW + timedelta(days=365)
ASKER, ANSWERER = "asker@test", "answerer@test"
AT_MOST = {"!cancel": 2, "!inform": 1}
"""How often in one run an agent sends what its table would let it send without end."""


@dataclass(frozen=True, slots=True)
class World:
    """One state of the whole; the participant has no conversation before the opening act reaches it."""

    asker: Conversation
    answerer: Conversation | None
    under_way: tuple[AclMessage, ...]
    faults: int
    said: tuple[str, ...] = ()

    def key(self) -> tuple[object, ...]:
        """What tells this world from another."""
        sides = (self.asker.snapshot(), self.answerer and self.answerer.snapshot())
        mail = sorted((m.sender, m.reply_with, m.performative, m.in_reply_to or "") for m in self.under_way)
        return (*sides, tuple(mail), self.faults, self.said)

    @property
    def ended(self) -> bool:
        """Whether nobody waits for anything any more."""
        return self.asker.ended() and (self.answerer is None or self.answerer.ended())


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `free` if it was an agent's own decision to send something."""

    what: str
    free: bool
    world: World
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class Explored:
    """All worlds that can be reached, and what was seen on the way."""

    worlds: int = 0
    unlawful: list[tuple[str, OutOfSequence]] = field(default_factory=list)
    late: set[tuple[Side, str, str]] = field(default_factory=set)
    visited: set[tuple[Side, str]] = field(default_factory=set)
    stuck: list[World] = field(default_factory=list)
    endless: bool = False


def explore(protocol: Protocol, faults: int, *, misreads: bool = False) -> Explored:
    """Visits every world. `stuck`: nothing can happen and somebody waits. `endless`: with both agents silent, the
    network and the deadlines alone could go on for ever. With `misreads` either agent may find the content of
    whatever arrives unreadable.
    """
    seen = Explored()
    first = start(protocol, faults)
    number = {first.key(): 0}
    queue = deque([first])
    forced: list[list[int]] = []
    while queue:
        world = queue.popleft()
        seen.worlds += 1
        forced.append([])
        note_states(seen, world)
        moved = False
        for step in steps(world, misreads):
            moved = True
            note_events(seen, world, step)
            key = step.world.key()
            if key not in number:
                number[key] = len(number)
                queue.append(step.world)
            if not step.free:
                forced[-1].append(number[key])
        if not moved and not world.ended:
            seen.stuck.append(world)
    seen.endless = has_cycle(forced)
    return seen


def start(protocol: Protocol, faults: int) -> World:
    """The opening act has been sent."""
    asker = Conversation.opening(protocol, ASKER, "c")
    call = asker.compose(OPENING[protocol], {}, ANSWERER, reply_by=REPLY_BY)
    asker.send(call, NOW)
    return World(asker, None, (call,), faults)


def steps(world: World, misreads: bool) -> Iterator[Step]:
    """Everything that can happen next."""
    yield from decisions(world)
    for position, message in enumerate(world.under_way):
        if message in world.under_way[:position]:
            continue
        rest = world.under_way[:position] + world.under_way[position + 1 :]
        yield delivered(replace(world, under_way=rest), message, NOW)
        if world.answerer is None and opens(message):
            yield delivered(replace(world, under_way=rest), message, AGES_LATER)
        if misreads:
            yield misread(replace(world, under_way=rest), message)
        if world.faults:
            twice = (*world.under_way, message)
            yield Step(f"twice {message.performative}", False, replace(world, under_way=twice, faults=world.faults - 1))
    for name in ("asker", "answerer"):
        side: Conversation | None = getattr(world, name)
        if side is not None and not side.ended():
            side = side.copy()
            events = side.expire(AGES_LATER)
            yield Step(f"{name} @expired", False, replace(world, **{name: side}), events)


def decisions(world: World) -> Iterator[Step]:
    """What either agent may decide to send."""
    for name, peer in (("asker", ANSWERER), ("answerer", ASKER)):
        side: Conversation | None = getattr(world, name)
        if side is None:
            continue
        for trigger in sorted(row for row in side.allowed(peer) if row.startswith("!")):
            act, is_answer = Performative(trigger[1:].removesuffix("-cancel")), trigger.endswith("-cancel")
            if world.said.count(trigger) >= AT_MOST.get(trigger, 9):
                continue
            twin = side.copy()
            message = twin.compose(act, {}, peer, reply_by=REPLY_BY)
            if not is_answer:
                message = replace(message, in_reply_to=twin.heard(peer))
            twin.send(message, NOW)
            yield Step(
                f"{name} {trigger}",
                True,
                replace(
                    world,
                    **{name: twin},
                    under_way=(*world.under_way, message),
                    said=tuple(sorted((*world.said, trigger))),
                ),
            )


def delivered(world: World, message: AclMessage, now: datetime) -> Step:
    """`message` has arrived; its automatic answers are under way."""
    asker, answerer = world.asker, world.answerer
    answers: list[AclMessage] = []
    events: tuple[Event, ...] = ()
    if message.receiver == ASKER:
        asker = asker.copy()
        events, answers = asker.receive(message, now), asker.take_outbox()
    elif answerer is not None:
        answerer = answerer.copy()
        events, answers = answerer.receive(message, now), answerer.take_outbox()
    elif opens(message):
        answerer, events = Conversation.answering(message, now)
    elif (stray := not_understood(message, "no such conversation")) is not None:
        answers = [stray]
    after = replace(world, asker=asker, answerer=answerer, under_way=(*world.under_way, *answers))
    return Step(f"{message.performative} to {message.receiver}", False, after, events)


def misread(world: World, message: AclMessage) -> Step:
    """`message` has arrived and its receiver cannot read the content."""
    what = f"unreadable {message.performative} to {message.receiver}"
    name = "asker" if message.receiver == ASKER else "answerer"
    side: Conversation | None = getattr(world, name)
    if side is None:
        stray = not_understood(message, "unreadable")
        assert stray is not None
        return Step(what, False, replace(world, under_way=(*world.under_way, stray)))
    side = side.copy()
    events = side.misunderstand(message, ["content: unreadable"], NOW)
    mail = (*world.under_way, *side.take_outbox())
    return Step(what, False, replace(world, **{name: side}, under_way=mail), events)


def note_states(seen: Explored, world: World) -> None:
    seen.visited.add((Side.INITIATOR, world.asker.state(ANSWERER)))
    if world.answerer is not None:
        seen.visited.add((Side.PARTICIPANT, world.answerer.state(ASKER)))


def note_events(seen: Explored, world: World, step: Step) -> None:
    for event in step.events:
        if isinstance(event, OutOfSequence):
            seen.unlawful.append((step.what, event))
        elif isinstance(event, Late):
            at = world.asker if event.message.receiver == ASKER else world.answerer
            assert at is not None
            seen.late.add((at.side, at.state(event.message.sender), at.trigger_of(event.message)))


def has_cycle(graph: list[list[int]]) -> bool:
    """Whether a directed graph has a cycle (Kahn)."""
    incoming = [0] * len(graph)
    for targets in graph:
        for target in targets:
            incoming[target] += 1
    ready = [node for node, count in enumerate(incoming) if not count]
    done = 0
    while ready:
        done += 1
        for target in graph[ready.pop()]:
            incoming[target] -= 1
            if not incoming[target]:
                ready.append(target)
    return done < len(graph)
