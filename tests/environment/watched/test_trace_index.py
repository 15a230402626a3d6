"""The index of a trace that grows, is cut, or holds lines that are none."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from environment.watched.trace_index import BUDGET, MOST_FAULTS, TraceIndex
from protocols.trace import TraceError, read_entry
from tests.environment.watched.folders import BEGINS, lines

LINES = lines(5)
KEPT = (
    *("sender", "receiver", "performative", "protocol"),
    *("exchange", "conversation_id", "reply_with", "in_reply_to"),
)


def trace(folder: Path, text: str) -> Path:
    path = folder / "trace.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def whole(*texts: str) -> str:
    return "".join(f"{text}\n" for text in texts)


def test_what_is_kept_of_a_message_is_what_its_line_says(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole(*LINES)))
    assert index.read_on() == len(LINES)
    assert len(index) == 10
    assert index.header is not None
    assert index.header.scenario == "hand-made"
    for number, line in enumerate(LINES[1:]):
        told, entry = index[number], read_entry(number + 2, line)
        message = entry.message
        assert index.entry(number) == entry
        assert (told.number, told.at, told.at.tzinfo) == (number, entry.at, UTC)
        assert told.length == len(line) + 1
        assert told.reply_by == message.reply_by
        for name in KEPT:
            assert getattr(told, name) == getattr(message, name), name
    assert list(index.conversations) == [f"dso-{minute}" for minute in range(5)]
    assert list(index.conversations["dso-3"]) == [6, 7]
    assert list(index.exchanges["env.grid"]) == [0, 2, 4, 6, 8]
    assert list(index.exchanges[None]) == [1, 3, 5, 7, 9]


def test_as_many_messages_were_sent_as_the_moment_says(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole(*LINES)))
    index.read_on()
    assert index.until(BEGINS - timedelta(seconds=1)) == 0
    assert index.until(BEGINS) == 1
    assert index.until(BEGINS + timedelta(seconds=9)) == 1
    assert index.until(BEGINS + timedelta(seconds=10)) == 2
    assert index.until(BEGINS + timedelta(days=1)) == 10
    assert index.begins == BEGINS
    assert index.ends == BEGINS + timedelta(minutes=4, seconds=10)


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    path = trace(tmp_path, whole(*LINES[:2]) + LINES[2][:50])
    index = TraceIndex(path)
    assert index.read_on() == 2
    assert index.read_on() == 0
    with path.open("a", encoding="utf-8") as file:
        file.write(LINES[2][50:] + "\n")
    assert index.read_on() == 1
    assert index.entry(1).line == 3
    assert index.faults == []


def test_half_a_line_of_a_run_that_is_over_is_said(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole(*LINES[:2]) + LINES[2][:50]), growing=False)
    assert index.read_on() == 3
    assert len(index) == 1
    assert len(index.faults) == 1
    assert index.faults[0].startswith("trace.jsonl:3: ")


def test_broken_lines_are_said_once_with_their_number_and_the_rest_is_read(tmp_path: Path) -> None:
    path = trace(tmp_path, whole(LINES[0], LINES[1], "{broken", LINES[2], '{"at":"yesterday"}', LINES[3]))
    index = TraceIndex(path)
    index.read_on()
    index.read_on()
    assert len(index) == 3
    assert [fault.split(" ")[0] for fault in index.faults] == ["trace.jsonl:3:", "trace.jsonl:5:"]
    assert index.entry(2).line == 6


def test_bytes_that_are_no_text_are_said_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(whole(LINES[0]).encode() + b'{"at":"\xff"}\n' + whole(LINES[1]).encode())
    index = TraceIndex(path)
    index.read_on()
    assert index.faults == ["trace.jsonl:2: not UTF-8 (invalid start byte at byte 7)"]
    assert len(index) == 1


def test_of_very_many_broken_lines_the_number_is_said(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole(LINES[0], *["nonsense"] * (MOST_FAULTS + 20))))
    index.read_on()
    assert len(index.faults) == MOST_FAULTS + 1
    assert index.faults[-1] == "trace.jsonl: 20 further lines cannot be read"


def test_a_first_line_that_is_no_header_is_said_and_messages_are_read(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole("{}", *LINES[1:])))
    index.read_on()
    assert index.header is None
    assert index.faults[0].startswith("trace.jsonl:1: not the header of a trace")
    assert len(index) == 10


def test_a_file_that_was_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = trace(tmp_path, whole(*LINES))
    index = TraceIndex(path)
    index.read_on()
    path.write_text(whole(*LINES[:3]), encoding="utf-8")
    assert index.read_on() == 3
    assert (len(index), index.generation) == (2, 1)
    assert list(index.conversations) == ["dso-0"]


def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = trace(tmp_path, whole(*LINES[:3]))
    index = TraceIndex(path)
    index.read_on()
    other = tmp_path / "other"
    other.write_text(whole(*lines(7)), encoding="utf-8")
    other.replace(path)
    index.read_on()
    assert (len(index), index.generation) == (14, 1)


def test_a_message_whose_file_was_changed_is_an_error_of_its_line(tmp_path: Path) -> None:
    path = trace(tmp_path, whole(*LINES))
    index = TraceIndex(path)
    index.read_on()
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(TraceError, match="line 4: "):
        index.entry(2)
    with pytest.raises(IndexError, match="no message 10"):
        index.entry(10)
    with pytest.raises(IndexError, match="no message -1"):
        index[-1]


def test_a_step_of_reading_is_bounded(tmp_path: Path) -> None:
    index = TraceIndex(trace(tmp_path, whole(*LINES)))
    steps = []
    while read := index.read_on(4):
        steps.append(read)
    assert steps == [4, 4, 3]


def test_no_file_is_no_messages_until_there_is_one(tmp_path: Path) -> None:
    index = TraceIndex(tmp_path / "trace.jsonl")
    assert index.read_on() == 0
    trace(tmp_path, whole(*LINES))
    assert index.read_on() == len(LINES)


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    text = LINES[1].replace("dso-0", "dso\u2028\u0085")
    index = TraceIndex(trace(tmp_path, whole(LINES[0], text)))
    assert index.read_on() == 2
    assert index.faults == []
    assert index[0].conversation_id == "dso\u2028\u0085"


def test_a_hundred_thousand_messages_are_read_in_bounded_steps_and_take_little_memory(tmp_path: Path) -> None:
    header, asked, answer = lines(1)
    path = tmp_path / "trace.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        for number in range(50_000):
            file.write(f"{asked}\n{answer}\n".replace("dso-0", f"dso-{number}"))
    index = TraceIndex(path)
    tracemalloc.start()
    try:
        steps = []
        while read := index.read_on():
            steps.append(read)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == 100_000
    assert max(steps) == BUDGET
    assert kept < path.stat().st_size
    assert kept < 600 * len(index)
    assert index.entry(99_999).message.conversation_id == "dso-49999"
