"""The post in process: order, what is refused at the sender, and where letters go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from behaviours.ports import Letter, UnsendableError
from behaviours.post import MAX_METADATA_CHARACTERS, PostOffice, check_sendable
from environment.clock import VirtualClock
from protocols.acl import MAX_BODY_CHARACTERS
from tests.swarm import START


class Outlet:
    def __init__(self) -> None:
        self.sent: list[Letter] = []

    def send(self, letter: Letter) -> None:
        self.sent.append(letter)


class Clock(VirtualClock):
    """Does the idle calls when it is told to."""

    def __init__(self) -> None:
        super().__init__(START)
        self.calls: list[Callable[[], object]] = []

    def call_idle(self, callback: Callable[[], object]) -> None:
        self.calls.append(callback)

    def work(self) -> None:
        while self.calls:
            self.calls.pop(0)()


def letter(receiver: str = "b@x", body: str = "{}", **metadata: str) -> Letter:
    return Letter("a@x", receiver, body, metadata)


def test_letters_arrive_later_and_in_the_order_of_sending() -> None:
    clock = Clock()
    post = PostOffice(clock)
    got: list[str] = []
    post.open("a@x", lambda letter: None)
    post.open("b@x", lambda letter: got.append(letter.body))
    for body in "123":
        post.send(letter(body=body))
    assert got == []
    clock.work()
    assert got == ["1", "2", "3"]


def test_a_letter_to_one_that_has_left_meanwhile_is_gone() -> None:
    clock = Clock()
    post = PostOffice(clock)
    got: list[Letter] = []
    post.open("a@x", lambda letter: None)
    post.open("b@x", got.append)
    post.send(letter())
    post.close("b@x")
    clock.work()
    assert got == []
    assert not post.is_local("b@x")


@pytest.mark.parametrize(("wire", "receiver", "goes_out"), [(False, "b@x", 0), (True, "b@x", 1), (False, "c@y", 1)])
def test_the_wire_takes_what_leaves_the_process_or_everything(wire: bool, receiver: str, goes_out: int) -> None:
    clock, outlet = Clock(), Outlet()
    post = PostOffice(clock, wire=wire)
    post.open("a@x", lambda letter: None, outlet)
    post.open("b@x", lambda letter: None, Outlet())
    post.send(letter(receiver))
    assert len(outlet.sent) == goes_out
    assert len(clock.calls) == 1 - goes_out


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ufffe", "\ud800"])
def test_a_character_that_xml_does_not_allow_is_refused_at_the_sender(character: str) -> None:
    for bad in (letter(body=character), letter(language=f"x{character}")):
        with pytest.raises(UnsendableError, match="XML does not allow"):
            check_sendable(bad)


def test_letters_of_any_language_pass() -> None:
    check_sendable(letter(body="Škofja Loka\n\t€ 😀 <&>'\""))


def test_an_oversized_letter_is_refused_at_the_sender() -> None:
    check_sendable(letter(body="x" * MAX_BODY_CHARACTERS))
    with pytest.raises(UnsendableError, match="send it in parts"):
        check_sendable(letter(body="x" * (MAX_BODY_CHARACTERS + 1)))
    with pytest.raises(UnsendableError, match="send it in parts"):
        check_sendable(letter(ontology="x" * MAX_METADATA_CHARACTERS))


def test_a_refused_letter_is_not_sent() -> None:
    clock = Clock()
    post = PostOffice(clock)
    post.open("b@x", lambda letter: None)
    with pytest.raises(UnsendableError):
        post.send(letter(body="\x00"))
    assert clock.calls == []
