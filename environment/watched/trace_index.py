"""An index of a trace that grows: what lists and counts need is kept in arrays, the rest is read again on demand.

A message costs some 250 bytes of memory here, with what its conversation costs; a line of the file is often three times
as long.
"""

from __future__ import annotations

import os
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from protocols.acl import AclMessage
from protocols.trace import Entry, Header, TraceError, read_entry, read_header

BUDGET = 5000
"""Lines that are read in one step: some 60 ms of one core."""
BUDGET_BYTES = 8_000_000
MOST_FAULTS = 100
"""So many broken lines are said one by one; of further ones the number."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEVER = -(2**63)


@dataclass(frozen=True, slots=True)
class Told:
    """What the index keeps of a message. `number` counts messages from 0; `offset` and `length` are bytes of the file.

    `at` and `reply_by` are in UTC.
    """

    number: int
    at: datetime
    offset: int
    length: int
    sender: str
    receiver: str
    performative: str
    protocol: str
    exchange: str | None
    conversation_id: str
    reply_by: datetime | None
    reply_with: str
    in_reply_to: str | None


class _Names:
    """Each text once, known by a small number."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


class _Texts:
    """Many texts, one behind the other; an empty one stands for none."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")

    def append(self, text: str | None) -> None:
        self._bytes += (text or "").encode()
        self._ends.append(len(self._bytes))

    def __getitem__(self, number: int) -> str:
        begin = self._ends[number - 1] if number else 0
        return self._bytes[begin : self._ends[number]].decode()


class TraceIndex:
    """The messages of a growing trace: what lists and counts need is kept, the rest is read again from the file when
    somebody looks.

    `growing`: half a line at the end is one that is being written; else it is a line like the others.
    `generation` counts how often the file began anew (it was cut or replaced).
    """

    def __init__(self, path: Path, *, growing: bool = True) -> None:
        self.path, self.growing = path, growing
        self.generation = 0
        self._file = -1
        self._inode = 0
        self._close: weakref.finalize[..., TraceIndex] | None = None
        self._clear()

    def _clear(self) -> None:
        self.header: Header | None = None
        self.zone: timezone | None = None
        """The UTC offset of the first message, as it was written."""
        self.faults: list[str] = []
        self._more_faults = 0
        self._lines = 0
        self._end = 0
        self._names = _Names()
        self._conversations: dict[str, array[int]] = {}
        self._exchanges: dict[str | None, array[int]] = {}
        self._at, self._until, self._reply_by = array("q"), array("q"), array("q")
        self._offset, self._length, self._line = array("Q"), array("I"), array("I")
        self._columns = tuple(array("I") for _ in range(6))
        self._reply_with, self._in_reply_to = _Texts(), _Texts()

    @property
    def conversations(self) -> Mapping[str, Sequence[int]]:
        """Numbers of messages by conversation id, in the order in which the conversations began."""
        return self._conversations

    @property
    def exchanges(self) -> Mapping[str | None, Sequence[int]]:
        """Numbers of messages by exchange, None for acts that carry none."""
        return self._exchanges

    def read_on(self, budget: int = BUDGET) -> int:
        """Takes whole new lines, `budget` of them at most; returns how many, broken ones and the header included."""
        if not self._open():
            return 0
        taken, begin = 0, self._end
        with os.fdopen(os.dup(self._file), "rb") as lines:
            lines.seek(self._end)
            while taken < budget and self._end - begin < BUDGET_BYTES:
                text = lines.readline()
                if not text or (self.growing and not text.endswith(b"\n")):
                    break
                self._take(text)
                taken += 1
        return taken

    def _open(self) -> bool:
        """Whether there is a file; a file that was cut or replaced is read from its beginning."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        if self._file >= 0 and (found.st_ino != self._inode or found.st_size < self._end):
            if self._close is not None:
                self._close()
            self._file = -1
            self.generation += 1
            self._clear()
        if self._file < 0:
            try:
                self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except OSError as reason:
                fault = f"{self.path}: {reason.strerror}"
                if fault not in self.faults:
                    self.faults.append(fault)
                return False
            self._inode = found.st_ino
            self._close = weakref.finalize(self, os.close, self._file)
        return True

    def _take(self, text: bytes) -> None:
        offset, self._end = self._end, self._end + len(text)
        self._lines += 1
        try:
            if self._lines == 1:
                self.header = read_header(text.decode())
                return
            entry = read_entry(self._lines, text.decode())
        except TraceError as fault:
            self._fault(fault.reason)
        except UnicodeDecodeError as reason:
            self._fault(f"not UTF-8 ({reason.reason} at byte {reason.start})")
        else:
            self._keep(entry, offset, len(text))

    def _fault(self, reason: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{self.path.name}:{self._lines}: {reason}")
            return
        self._more_faults += 1
        more = f"{self.path.name}: {self._more_faults} further lines cannot be read"
        if self._more_faults == 1:
            self.faults.append(more)
        else:
            self.faults[-1] = more

    def _keep(self, entry: Entry, offset: int, length: int) -> None:
        message, at = entry.message, entry.at
        if self.zone is None:
            self.zone = timezone(at.utcoffset() or timedelta())
        number, micros = len(self._at), _micros(at)
        self._at.append(micros)
        # Messages stand in the order of sending; one that says it is older than the one before counts as sent with it.
        self._until.append(max(micros, self._until[-1]) if number else micros)
        self._reply_by.append(_NEVER if message.reply_by is None else _micros(message.reply_by))
        self._offset.append(offset)
        self._length.append(length)
        self._line.append(entry.line)
        for column, text in zip(self._columns, _parts(message), strict=True):
            column.append(self._names.number(text))
        self._reply_with.append(message.reply_with)
        self._in_reply_to.append(message.in_reply_to)
        self._conversations.setdefault(message.conversation_id, array("I")).append(number)
        self._exchanges.setdefault(message.exchange, array("I")).append(number)

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, number: int) -> Told:
        if not 0 <= number < len(self._at):
            raise IndexError(f"there is no message {number}")
        texts = self._names.texts
        sender, receiver, performative, protocol, exchange, conversation = (
            texts[column[number]] for column in self._columns
        )
        reply_by = self._reply_by[number]
        return Told(
            number,
            _instant(self._at[number]),
            self._offset[number],
            self._length[number],
            sender,
            receiver,
            performative,
            protocol,
            exchange or None,
            conversation,
            None if reply_by == _NEVER else _instant(reply_by),
            self._reply_with[number],
            self._in_reply_to[number] or None,
        )

    def entry(self, number: int) -> Entry:
        """The whole message, read from the file. Raises TraceError where the file was changed meanwhile."""
        if not 0 <= number < len(self._at):
            raise IndexError(f"there is no message {number}")
        try:
            text = os.pread(self._file, self._length[number], self._offset[number]).decode()
        except (OSError, UnicodeDecodeError) as reason:
            raise TraceError(self._line[number], f"cannot be read any more ({reason})") from None
        return read_entry(self._line[number], text)

    def until(self, at: datetime) -> int:
        """How many messages were sent at or before `at` (aware)."""
        return bisect_right(self._until, _micros(at))

    @property
    def begins(self) -> datetime | None:
        """When the first message was sent."""
        return _instant(self._until[0]) if self._until else None

    @property
    def ends(self) -> datetime | None:
        """When the last message so far was sent."""
        return _instant(self._until[-1]) if self._until else None


def _parts(message: AclMessage) -> tuple[str, ...]:
    return (
        message.sender,
        message.receiver,
        message.performative,
        message.protocol,
        message.exchange or "",
        message.conversation_id,
    )


def _micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
