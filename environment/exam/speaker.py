"""What an examiner says: everybody's lines but the examined agent's.

A line is said when its time has come, what the examined agent says before it in the same strand has come, and every id
that it speaks of is known. What the others say among themselves is written into the transcript and sent to nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from behaviours.ports import Clock, Letter
from environment.exam import rules
from environment.exam.binding import Binding, Unbound
from environment.exam.course import PATIENT, Course, closing
from environment.exam.judge import Judge
from environment.exam.script import SERVICES, Script, Strand
from environment.replay.difference import told
from protocols.acl import AclMessage
from protocols.catalogue import parse
from protocols.conversation import Conversation, IllegalSendError
from protocols.events import Expired
from protocols.exchanges import ContentError
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import violations
from protocols.trace import Entry

BEFORE_AGENTS = 1
AFTER_ALL = 1_000_000
GRACE = timedelta(minutes=5)
"""After the last line and the last reply-by of the record, the exam is over."""
LONGEST_WAIT = timedelta(hours=1)
"""So long after the last line of the record an answer may still come."""
ROOM = 200
"""So many messages more than three times the record's are still heard; beyond that it is a flood."""
MOST_UNANSWERED = 12
"""After so many questions in a row without an answer nobody asks further."""


class Speaker:
    """The lines of ours. `send` puts a letter of a puppet on the wire. `examined` is the live JID; `speaking` are the
    roles that open conversations (the others only answer); `over` is called once, when nothing more is to come."""

    def __init__(
        self,
        script: Script,
        binding: Binding,
        judge: Judge,
        clock: Clock,
        *,
        examined: str,
        send: Callable[[Letter], None],
        over: Callable[[], None],
        speaking: Collection[Role] | None = None,
    ) -> None:
        self.script, self.binding, self.judge = script, binding, judge
        self.departures: list[str] = []
        self.complete = False
        """Whether the record was played to its end."""
        self._clock, self._examined, self._send, self._over = clock, examined, send, over
        self._zone = script.record.scenario.zone
        self._register = Register(self._zone, {binding.jid(jid): role for jid, role in script.roles.items()})
        self._courses: list[Course] = []
        self._live: dict[tuple[str, str], Course] = {}
        self._unused: list[Strand] = [s for s in script.mine if s.initiator == script.examined]
        self._waiting: list[Course] = []
        self._heard: set[int] = set()
        self._due: list[tuple[datetime, int, int, Course, Entry]] = []
        self._numbers = count()
        self._played: Counter[int] = Counter()
        self._seen: set[tuple[str, str]] = set()
        self._most = 3 * sum(map(len, (s.entries for s in script.mine))) + ROOM
        self._letters = 0
        self._number = 0
        self._silent = 0
        self._took_part = False
        self._ended = False
        self._speaking = speaking

    # ---- the course of the exam

    def begin(self) -> None:
        """The agents are there; the record begins."""
        last = self._clock.now()
        for strand in self.script.strands:
            if self._is_service(strand):
                continue
            if self.script.examined == strand.initiator or not self._speaks(strand):
                continue
            course = Course(strand, self.script.examined, conversation_id=self.binding.id(strand.conversation_id))
            self._courses.append(course)
            self._arm(course)
        for strand in self.script.mine:
            if not self._is_service(strand):
                due = strand.opening.message.reply_by or strand.opening.at
                last = max(last, strand.entries[-1].at, due, key=datetime.timestamp)
        last = min(last, self.script.ends + LONGEST_WAIT)
        self._clock.call_at(last + GRACE, self._complete, priority=AFTER_ALL)

    def _complete(self) -> None:
        if not self._ended:
            self.complete = True
            self.end()

    def end(self) -> None:
        """Nothing more is said."""
        if self._ended:
            return
        now = self._clock.now()
        for course in self._courses:
            if course.conversation is not None and (due := course.conversation.next_deadline()) and due <= now:
                self._deadline(course, due)
        if self._ended:
            return
        self._ended = True
        asked = [course for course in self._courses if course.mine and course.next > 0]
        if self.script.takes_part and asked and not self._took_part and any(c.answered for c in asked):
            self.judge.find(rules.TAKES_PART, now, "expected more than refusals, as in the record; got nothing else")
        self._over()

    def gone(self) -> None:
        """The examined agent has logged out, or nothing reaches it any more."""
        if not self._ended:
            self.judge.find(rules.REACHABLE, self._clock.now(), "expected it to stay until the end; it is gone")
            self.end()

    def _is_service(self, strand: Strand) -> bool:
        return bool({self.script.roles.get(strand.initiator), self.script.roles.get(strand.participant)} & SERVICES)

    def _speaks(self, strand: Strand) -> bool:
        return self._speaking is None or self.script.roles[strand.initiator] in self._speaking

    def _arm(self, course: Course) -> None:
        """The next line of ours in this strand is said in its time."""
        entry = course.coming
        if entry is None or self._ended or (course.mine and course.is_theirs(entry)):
            return
        now = self._clock.now()
        due = max(now, entry.at + course.shift)
        if course.last_heard is not None and (until := course.last_heard.reply_by) is not None and course.shift:
            due = max(now, min(due, until))
        self._due.append((due, entry.line, next(self._numbers), course, entry))
        self._clock.call_at(due, self._ring, priority=BEFORE_AGENTS)

    def _ring(self) -> None:
        """Says the first in the record of what is due; the next when what follows from it has been said."""
        due = [each for each in self._due if each[0] <= self._clock.now()]
        if not due:
            return
        first = min(due, key=lambda each: each[1:3])
        self._due.remove(first)
        self._say(first[3], first[4])
        if len(due) > 1:
            self._clock.call_at(self._clock.now(), self._ring, priority=BEFORE_AGENTS)

    def _say(self, course: Course, entry: Entry) -> None:
        """Says a line of ours, now, unless something is still missing."""
        if self._ended or course.coming is not entry:
            return
        now = self._clock.now()
        if (needed := self.script.needs.get(entry.line)) is not None and needed not in self._heard:
            self._waiting.append(course)
            return
        try:
            message = self._bound(course, entry, now)
        except Unbound:
            self._waiting.append(course)
            return
        except (KeyError, ValueError, TypeError) as error:
            course.void = f"{told(entry.message)} cannot be bound: {error!r}"
            self.departures.append(course.void)
            return
        if (wrong := self._wrong(message, entry, now)) and course.mine:
            self._not_said(course, f"{told(message)} is left out: {wrong}")
            return
        course.next += 1
        course.ids[entry.message.reply_with] = message.reply_with
        if course.mine:
            if not self._put(course, message, now):
                return
        else:
            self._note(message, now)
        self._arm(course)

    def _bound(self, course: Course, entry: Entry, now: datetime) -> AclMessage:
        answers = entry.message.in_reply_to
        if answers is not None and answers not in course.ids and self.script.owner.get(answers) == course.examined:
            answers = course.last_heard.reply_with if course.last_heard else answers
        elif answers is not None:
            answers = course.ids.get(answers, answers)
        return self.binding.say(
            entry,
            now,
            self._zone,
            conversation_id=course.conversation_id,
            in_reply_to=answers,
            pairs=course.pairs,
            given=course.given,
            suffix=course.suffix,
            shifted=bool(course.shift),
        )

    def _wrong(self, message: AclMessage, entry: Entry, now: datetime) -> str:
        """Why we would break a rule with it, where the record does not."""
        if entry.line in self.script.faulty:
            return ""
        try:
            content = parse(message)
        except ContentError as error:
            return "; ".join(error.faults)
        found = violations(self._register, replace(Said.of(message, content, now), reply_by=None))
        return "; ".join(map(str, found))

    def _not_said(self, course: Course, why: str) -> None:
        """The rest of a strand cannot be played as it stands; what is open is turned down."""
        self.departures.append(why)
        course.void = why
        if course.last_heard is not None:
            self._courtesy(course, course.last_heard)

    def _put(self, course: Course, message: AclMessage, now: datetime) -> bool:
        """Sends a message of ours; where the conversation does not allow it any more, the rest is void."""
        if course.conversation is None:
            course.conversation = Conversation.opening(
                message.protocol, message.sender, message.conversation_id, patience=PATIENT
            )
            self._live[message.conversation_id, message.sender] = course
        try:
            course.conversation.send(message, now)
        except IllegalSendError as error:
            course.void = f"{told(message)} is left out: {error}"
            self.departures.append(course.void)
            return False
        self._post(message, now)
        self._await(course)
        return True

    def _post(self, message: AclMessage, now: datetime) -> None:
        self._note(message, now)
        self._send(
            Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
        )

    def _note(self, message: AclMessage, now: datetime) -> None:
        self.judge.note(now, message)
        self._remember(message, now)

    def _remember(self, message: AclMessage, now: datetime) -> None:
        try:
            content = parse(message)
        except ContentError:
            return
        self._register.note(replace(Said.of(message, content, now), reply_by=None))

    def _await(self, course: Course) -> None:
        """What the examined agent owes by a time is looked for when it has passed."""
        conversation = course.conversation
        if conversation is None or (due := conversation.next_deadline()) is None:
            return
        if due - self._clock.now() < timedelta(days=3_650):
            self._clock.call_at(due, partial(self._deadline, course, due), priority=AFTER_ALL)

    def _deadline(self, course: Course, due: datetime) -> None:
        conversation = course.conversation
        if self._ended or conversation is None or conversation.next_deadline() != due:
            return
        state = conversation.state(self._examined)
        if any(isinstance(event, Expired) for event in conversation.expire(due)):
            course.void = "a reply-by has passed"
            if conversation.side == "initiator":
                last = self._last_of(course)
                text = f"expected an answer in state {state!r} by {due.astimezone(self._zone):%H:%M:%S}; got none"
                self.judge.find(rules.UNANSWERED, due, text, last)
                self._silent += 1
                if self._silent >= MOST_UNANSWERED:
                    self.end()

    def _last_of(self, course: Course) -> AclMessage | None:
        sent = [e.message for e in course.strand.entries[: course.next] if e.message.sender != course.examined]
        return self.binding_of(sent[-1], course) if sent else None

    def binding_of(self, recorded: AclMessage, course: Course) -> AclMessage:
        """A recorded message under its live names."""
        jid = self.binding.jid
        return replace(
            recorded,
            sender=jid(recorded.sender),
            receiver=jid(recorded.receiver),
            conversation_id=course.conversation_id,
        )

    def _flush(self, course: Course, now: datetime) -> None:
        """The automatic answers of our side of a conversation, under ids that no line of the record has."""
        assert course.conversation is not None
        for answer in course.conversation.take_outbox():
            self._number += 1
            self._post(replace(answer, reply_with=f"{answer.conversation_id}/exam/{self._number}"), now)

    def _courtesy(self, course: Course, message: AclMessage) -> None:
        """Turns down, or closes, what the record has no answer to."""
        conversation, now = course.conversation, self._clock.now()
        if conversation is None or (answer := closing(conversation, message)) is None:
            return
        self._number += 1
        answer = replace(answer, reply_with=f"{answer.conversation_id}/exam/{self._number}")
        with suppress(IllegalSendError):
            conversation.send(answer, now)
            self._post(answer, now)
