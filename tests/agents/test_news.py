"""News by source: the newest counts, and what is no news is dropped, counted and told once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.news import News

START = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Word:
    timestamp: datetime
    text: str = ""


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.now = START
        self.news: News[Word] = News("2.1", lambda: self.now, self.told.append)

    def hear(self, minutes: float, text: str = "", source: str = "wind", at: float | None = None) -> bool:
        """The word of that minute, heard at minute `at` (default: at once)."""
        self.now = START + (minutes if at is None else at) * MINUTE
        return self.news.take(source, Word(START + minutes * MINUTE, text))

    def last(self, source: str = "wind") -> str | None:
        word = self.news.newest(source)
        return None if word is None else word.text


def test_a_source_that_said_nothing_has_no_news() -> None:
    assert Listener().last() is None


def test_the_newest_word_counts() -> None:
    listener = Listener()
    assert listener.hear(0, "first")
    assert listener.hear(15, "second")
    assert listener.last() == "second"
    assert listener.told == []
    assert listener.news.dropped.total() == 0


def test_a_word_that_came_twice_is_dropped_even_if_it_says_something_else() -> None:
    listener = Listener()
    listener.hear(0, "first")
    assert not listener.hear(0, "other", at=1)
    assert listener.last() == "first"
    assert listener.told == ["2.1 from wind came twice: left out, as all further ones will be"]


def test_a_word_that_was_overtaken_is_dropped() -> None:
    listener = Listener()
    listener.hear(15, "second")
    assert not listener.hear(0, "first", at=16)
    assert listener.last() == "second"
    assert listener.told == ["2.1 from wind came 0:15:00 out of order: left out, as all further ones will be"]


def test_a_word_from_the_future_is_dropped_and_hides_nothing() -> None:
    listener = Listener()
    assert not listener.hear(30, "future", at=0)
    assert "is dated 0:30:00 ahead of the time" in listener.told[0]
    assert listener.hear(15, "true")
    assert listener.last() == "true"


def test_drops_are_counted_by_source_and_told_once_for_each() -> None:
    listener = Listener()
    for source in ("wind", "hydro"):
        listener.hear(15, "second", source)
        for _ in range(3):
            listener.hear(0, "first", source, at=16)
    listener.hear(15, "second", at=17)
    assert listener.news.dropped == {"wind": 4, "hydro": 3}
    assert len(listener.told) == 2


def test_sources_do_not_overtake_each_other() -> None:
    listener = Listener()
    listener.hear(15, "wind's", "wind")
    assert listener.hear(0, "hydro's", "hydro", at=16)
    assert (listener.last("wind"), listener.last("hydro")) == ("wind's", "hydro's")
