"""The examiner: plays everybody but the examined agent from the record, and has the judge look at what that agent says.

Where the agent departs from the record, the rest of that strand is void, and what it then still asks is answered as its
protocol has it: a refusal, a rejection, a failure. What it opens of its own accord is answered as the record answers
the same, nearest in time; else it is refused.
"""

from __future__ import annotations

from datetime import datetime

from behaviours.dispatcher import LARGEST_PARAMETERS, bounded, unread
from behaviours.ports import Letter
from behaviours.post import bare
from environment.exam import rules
from environment.exam.course import PATIENT, Course, declines, likeness
from environment.exam.script import Strand
from environment.exam.speaker import Speaker
from environment.replay.difference import told
from protocols.acl import AclMessage, MalformedMessageError, Performative, Protocol
from protocols.conversation import Conversation, not_understood, opens


class Examiner(Speaker):
    """Hears, and answers."""

    # ---- what the examined agent says

    def arrived(self, puppet: str, letter: Letter) -> None:
        """A letter to one of ours. Those of strangers are not heard."""
        now = self._clock.now()
        try:
            message = self._read(letter, puppet)
        except MalformedMessageError as error:
            self._malformed(letter, error.faults, now, reply=True)
            return
        if message is None:
            return
        findings = self.judge.note(now, message)
        course = self._live.get((message.conversation_id, puppet))
        if course is None:
            self._new(message, now, sound=not findings)
        else:
            self._goes_on(course, message, now, sound=not findings)

    def overheard(self, service: str, letter: Letter) -> None:
        """A letter to one of the platform's agents, which answers it itself."""
        now = self._clock.now()
        try:
            if (message := self._read(letter, service)) is not None:
                self.judge.note(now, message)
        except MalformedMessageError as error:
            self._malformed(letter, error.faults, now, reply=False)

    def told(self, message: AclMessage) -> None:
        """One of the platform's agents has answered."""
        if not self._ended:
            self.judge.note(self._clock.now(), message)

    def _read(self, letter: Letter, receiver: str) -> AclMessage | None:
        """The message that it is; None for one that is not heard. Raises MalformedMessageError."""
        if self._ended or bare(letter.sender) != self._examined:
            return None
        self._letters += 1
        self._silent = 0
        if self._letters > self._most:
            text = f"expected at most {self._most} messages; got more"
            self.judge.find(rules.FLOOD, self._clock.now(), text)
            self.end()
            return None
        length = sum(len(name) + len(value) for name, value in letter.metadata.items())
        if length > LARGEST_PARAMETERS:
            raise MalformedMessageError([f"parameters have {length} characters, more than {LARGEST_PARAMETERS}"])
        return AclMessage.parse(letter.metadata, letter.body, self._examined, receiver)

    def _malformed(self, letter: Letter, faults: list[str], now: datetime, *, reply: bool) -> None:
        receiver = bare(letter.receiver).partition("@")[0]
        self.judge.find(rules.READABLE, now, f"to {receiver}: expected an ACL message; {'; '.join(bounded(faults))}")
        self._number += 1
        if reply and (answer := unread(letter, bounded(faults), self._number)) is not None:
            self._send(Letter(answer.sender, answer.receiver, answer.body(), answer.metadata(), letter.thread))

    def _new(self, message: AclMessage, now: datetime, *, sound: bool) -> None:
        if not opens(message):
            if answer := not_understood(message, f"{message.conversation_id} is no conversation of ours"):
                self._post(answer, now)
            return
        strand, again = self._like(message)
        nothing = Strand(message.conversation_id, self.script.examined, message.receiver, ())
        course = Course(strand or nothing, self.script.examined, conversation_id=message.conversation_id)
        course.conversation, _ = Conversation.answering(message, now, patience=PATIENT)
        self._flush(course, now)
        self._live[message.conversation_id, message.receiver] = course
        self._courses.append(course)
        course.last_heard, course.heard_at = message, now
        if strand is None or not sound:
            course.void = "broken by the opening" if strand else f"{told(message)}: the record has nothing like it"
            if strand is None:
                self.departures.append(course.void)
            self._courtesy(course, message)
            return
        self._played[id(strand)] += 1
        course.suffix = f"-again{self._played[id(strand)] - 1}" if again else ""
        course.shift = now - strand.opening.at
        self._remember(message, now)
        self._matched(course, 0, message, now)

    def _like(self, message: AclMessage) -> tuple[Strand | None, bool]:
        """The strand of the record that this message opens, the likest and then the nearest in time of those that were
        not played yet; else, played again, of all. A question may have the same answer any number of times."""
        now = self._clock.now()
        ids = {name: live for name in self.script.owner if (live := self.binding.bound(name)) is not None}

        def candidates(strands: list[Strand]) -> list[tuple[float, float, Strand]]:
            found = []
            for strand in strands:
                opening = strand.opening.message
                same = (opening.performative, opening.protocol, opening.exchange)
                if same != (message.performative, message.protocol, message.exchange):
                    continue
                if self.binding.jid(strand.participant) == message.receiver:
                    near = abs((strand.opening.at - now).total_seconds())
                    found.append((-round(likeness(opening, message, ids), 2), near, strand))
            return sorted(found, key=lambda each: each[:2])

        every = [s for s in self.script.mine if s.initiator == self.script.examined]
        unused = candidates(self._unused)
        if (message.protocol is Protocol.QUERY or not unused) and not (unused := candidates(every)):
            return None, False
        strand = unused[0][2]
        if strand in self._unused:
            self._unused.remove(strand)
            return strand, False
        return strand, True

    def _goes_on(self, course: Course, message: AclMessage, now: datetime, *, sound: bool) -> None:
        conversation = course.conversation
        assert conversation is not None
        state = conversation.state(self._examined)
        conversation.receive(message, now)
        self._flush(course, now)
        if not sound:
            course.void = course.void or "the examined agent has broken a rule"
            self._courtesy(course, message)
            return
        if (message.conversation_id, message.reply_with) in self._seen:
            return
        self._seen.add((message.conversation_id, message.reply_with))
        course.last_heard, course.heard_at, course.answered = message, now, True
        if message.performative is Performative.NOT_UNDERSTOOD:
            why = f"expected an answer in state {state!r}; got not-understood: {message.content.get('reason')}"
            self.judge.find(rules.UNDERSTOOD, now, why, message)
        elif not declines(message) and course.strand.participant == self.script.examined:
            self._took_part = True
        self._remember(message, now)
        place = None if course.void else course.place_of(message)
        if place is not None:
            self._matched(course, place, message, now)
        elif message.performative is not Performative.AGREE and not course.void:
            course.void = f"{told(message)}: not as in the record"
            self.departures.append(course.void)
            self._courtesy(course, message)
        elif course.void:
            self._courtesy(course, message)
        self._await(course)

    def _matched(self, course: Course, place: int, message: AclMessage, now: datetime) -> None:
        """The message stands for a line of the record."""
        recorded = course.strand.entries[place].message
        course.ids[recorded.reply_with] = message.reply_with
        pair, given = self.binding.hear(recorded, message)
        course.pairs.append(pair)
        course.given |= given
        course.next = place + 1
        self._arm(course)
        self._heard.add(course.strand.entries[place].line)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._arm(each)
