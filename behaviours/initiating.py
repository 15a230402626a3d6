"""Beginning an exchange: one awaited call for each interaction protocol.

The calls send the opening act, wait, and return an outcome; deadlines are kept by the dispatcher's timer.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from behaviours.outcomes import (
    OVER,
    Accepted,
    Agreed,
    CalledOff,
    Failed,
    Informed,
    NotUnderstood,
    Proposed,
    Refused,
    Rejected,
    Result,
    Silent,
    Subscribed,
)
from behaviours.talk import Heard, Over, Talk, Topic
from protocols.acl import Performative
from protocols.acl import Protocol as Fipa
from protocols.exchanges.content import Content
from protocols.exchanges.plain import Reason
from protocols.tables import CANCELLED, CANCELLING, EXPIRED

NOT_CHOSEN = Reason(code="not-chosen", reason="other offers were preferred")

NOTHING_TO_CANCEL = Reason(code=OVER, reason="there is nothing left to cancel")

OnInform = Callable[[Any], Awaitable[None] | None]


class Opener(Protocol):
    """Opens conversations, and lets coroutines run on."""

    def open(self, protocol: Fipa, opening: Content) -> Talk: ...

    def spawn(self, coroutine: Any, name: str) -> Any: ...


async def request(
    opener: Opener, content: Content, to: str, reply_by: datetime, done_by: datetime | None
) -> Agreed | Informed | Refused | Failed | NotUnderstood | Silent:
    """FIPA SC00026. `done_by` is the deadline of the result, once it is agreed."""
    talk = opener.open(Fipa.REQUEST, content)
    talk.say(Performative.REQUEST, content, to, reply_by=reply_by)
    answer = await talk.channel(to).next()
    if isinstance(answer, Heard) and answer.message.performative is Performative.AGREE:
        if done_by is not None and not talk.conversation.ended(to):
            talk.await_until(to, done_by)
        return _agreed(talk, to, answer.content)
    if isinstance(answer, Heard) and answer.message.performative is Performative.REFUSE:
        return Refused(to, answer.content)
    return _result(answer, to)


async def query_ref(
    opener: Opener, content: Content, to: str, reply_by: datetime
) -> Informed | Refused | Failed | NotUnderstood | Silent:
    """FIPA SC00027, query-ref: an agree in between is waited through."""
    talk = opener.open(Fipa.QUERY, content)
    talk.say(Performative.QUERY_REF, content, to, reply_by=reply_by)
    answer = await talk.channel(to).next()
    if isinstance(answer, Heard) and answer.message.performative is Performative.AGREE:
        if not talk.conversation.ended(to):
            talk.await_until(to, reply_by)
        answer = await talk.channel(to).next()
    if isinstance(answer, Heard) and answer.message.performative is Performative.REFUSE:
        return Refused(to, answer.content)
    return _result(answer, to)


async def propose(
    opener: Opener, content: Content, to: str, reply_by: datetime
) -> Accepted | Rejected | NotUnderstood | Silent:
    """FIPA SC00036."""
    talk = opener.open(Fipa.PROPOSE, content)
    talk.say(Performative.PROPOSE, content, to, reply_by=reply_by)
    answer = await talk.channel(to).next()
    if isinstance(answer, Over):
        return Silent(to)
    match answer.message.performative:
        case Performative.ACCEPT_PROPOSAL:
            return Accepted(to, answer.content)
        case Performative.REJECT_PROPOSAL:
            return Rejected(to, answer.content)
        case _:
            return NotUnderstood(to, answer.content)


@dataclass(frozen=True, slots=True)
class Tender:
    """What came back on a call for proposals. Nobody is told anything before `award`.

    `award` may wait in a task of its own, as long as the service lasts, while `cancel` calls off one bidder or another.
    """

    proposals: tuple[Proposed, ...]
    refusals: tuple[Refused | NotUnderstood, ...]
    silent: tuple[str, ...]
    _talk: Talk = field(repr=False)
    _cancels: dict[str, Content] = field(default_factory=dict, repr=False, compare=False)

    async def award(
        self,
        accept: Mapping[str, Content],
        *,
        done_by: datetime,
        reject: Mapping[str, Content] | None = None,
    ) -> dict[str, Result | CalledOff]:
        """Accepts the offers of these JIDs, rejects all others, and waits for the results of the accepted.

        `reject` gives the content for who is rejected, where "other offers were preferred" does not say enough.
        Whoever confirms a `cancel` in the meantime, or has done so before, comes out as CalledOff.
        Raises ValueError for a JID that has offered nothing.
        """
        offered = [proposal.sender for proposal in self.proposals]
        if strangers := sorted(set(accept).difference(offered)):
            raise ValueError(f"no offer came from {', '.join(strangers)}: only who has offered can be awarded")
        rejections = reject or {}
        self._talk.catch_up()
        for jid in (jid for jid in offered if not self._gone(jid)):
            if jid in accept:
                self._talk.say(Performative.ACCEPT_PROPOSAL, accept[jid], jid, reply_by=done_by)
            else:
                self._talk.say(Performative.REJECT_PROPOSAL, rejections.get(jid, NOT_CHOSEN), jid)
        return {jid: await self._outcome(jid) for jid in accept}

    async def cancel(self, jid: str, content: Content, reply_by: datetime) -> Result:
        """Calls off what one bidder was called for (FIPA cancel), also before its offer has been accepted.

        Informed: it has stopped, and the wait of `award` for it ends with CalledOff. Failed: it goes on and its result
        still comes, or there was nothing to call off (code `OVER`): it has ended, was rejected, or never offered. See
        `outcomes.has_stopped`.
        Silent: no answer came; nobody waits for its result any more, and `award` has Silent for it.
        """
        if self._talk.may(Performative.CANCEL, jid):
            self._cancels[jid] = content
        return await _cancel(self._talk, jid)(content, reply_by)

    def _gone(self, jid: str) -> bool:
        """Whether an offer takes no answer any more: it has lapsed, or is being called off."""
        return self._talk.conversation.ended(jid) or self._talk.conversation.state(jid).startswith(CANCELLING)

    async def _outcome(self, jid: str) -> Result | CalledOff:
        answer = await self._talk.channel(jid).next()
        if isinstance(answer, Over) and self._talk.conversation.state(jid) == CANCELLED:
            return CalledOff(jid, self._cancels[jid])
        return _result(answer, jid)


async def call_for_proposals(opener: Opener, content: Content, to: Sequence[str], reply_by: datetime) -> Tender:
    """FIPA SC00029, up to the proposals: returns when all have answered, at the latest at `reply_by`."""
    talk = opener.open(Fipa.CONTRACT_NET, content)
    for jid in to:
        talk.say(Performative.CFP, content, jid, reply_by=reply_by)
    proposals: list[Proposed] = []
    refusals: list[Refused | NotUnderstood] = []
    silent: list[str] = []
    for jid in to:
        answer = await talk.channel(jid).next()
        if isinstance(answer, Over):
            silent.append(jid)
        elif answer.message.performative is Performative.PROPOSE:
            assert answer.at is not None  # every talk sets it
            proposals.append(Proposed(jid, answer.content, answer.faults, answer.at))
        elif answer.message.performative is Performative.REFUSE:
            refusals.append(Refused(jid, answer.content))
        else:
            refusals.append(NotUnderstood(jid, answer.content))
    return Tender(tuple(proposals), tuple(refusals), tuple(silent), talk)


async def subscribe(
    opener: Opener, content: Content, to: str, on_inform: OnInform, reply_by: datetime
) -> Subscribed | Refused | Failed | NotUnderstood | Silent:
    """FIPA SC00035. `on_inform` gets each inform's content, one after the other."""
    talk = opener.open(Fipa.SUBSCRIBE, content)
    talk.say(Performative.SUBSCRIBE, content, to, reply_by=reply_by)
    answer = await talk.channel(to).next()
    if isinstance(answer, Over):
        return Silent(to)
    if answer.message.performative is Performative.REFUSE:
        return Refused(to, answer.content)
    if answer.message.performative is not Performative.AGREE:
        return _result(answer, to)  # type: ignore[return-value]  # an inform ends no subscription
    opener.spawn(_listen(talk, to, on_inform), f"subscription at {to}")
    return Subscribed(to, answer.content, _cancel(talk, to))


async def _listen(talk: Talk, to: str, on_inform: OnInform) -> None:
    while isinstance(news := await talk.channel(to).next(), Heard):
        if news.message.performative is not Performative.INFORM:
            return
        if not talk.conversation.ended(to) and inspect.isawaitable(done := on_inform(news.content)):
            await done


def _agreed(talk: Talk, to: str, content: Content) -> Agreed:
    known: list[Result] = []

    async def result(by: datetime | None) -> Result:
        if not known:
            if by is not None and not talk.conversation.ended(to):
                talk.await_until(to, by)
            outcome = _result(await talk.channel(to).next(), to)
            known.append(outcome)
        return known[0]

    return Agreed(to, content, result, _cancel(talk, to))


def _cancel(talk: Talk, to: str) -> Callable[[Content, datetime], Awaitable[Result]]:
    async def cancel(content: Content, reply_by: datetime) -> Result:
        if not talk.may(Performative.CANCEL, to):
            return Failed(to, NOTHING_TO_CANCEL)
        talk.say(Performative.CANCEL, content, to, reply_by=reply_by)
        answer = await talk.channel(to, Topic.CANCEL).next()
        if isinstance(answer, Over) and talk.conversation.state(to) != EXPIRED:
            return Failed(to, NOTHING_TO_CANCEL)  # the result has crossed the cancel
        return _result(answer, to)

    return cancel


def _result(answer: Heard | Over, sender: str) -> Result:
    if isinstance(answer, Over):
        return Silent(sender)
    match answer.message.performative:
        case Performative.INFORM:
            return Informed(sender, answer.content)
        case Performative.FAILURE:
            return Failed(sender, answer.content)
        case _:
            return NotUnderstood(sender, answer.content)
