"""Exams of agents that are none of ours, over the embedded server: they end in bounded time, whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from behaviours.ports import Letter
from environment.access import AccountsError
from environment.exam import hall
from environment.exam.judge import Verdict
from environment.exam.outside import Place, examine
from environment.exam.script import Script, examined_of
from tests.exam.outsider import ME, PASSWORD, Outsider
from tests.exam.wrong import record_of

CASE = "buc1/the-ordinary-course"
GUARD_S = 120.0
FAST = 20_000.0


Heard = Callable[[Outsider, Letter], None]


def examined(
    tmp_path: Path,
    heard: Heard,
    *,
    registers: bool = True,
    wait_s: float = 60.0,
    role: str = "vpp",
    times: int = 1,
    speed: float = FAST,
    until_called: bool = False,
) -> list[Verdict]:
    """The verdicts on an outsider that does this with every letter; the case may be cut off after the market's call."""
    admit = tmp_path / "admit.toml"
    admit.write_text(f'"{ME}" = "{PASSWORD}"\n', encoding="utf-8")
    record = record_of(CASE)
    if until_called:
        [until, *_] = [entry.at for entry in record.entries if entry.message.exchange == "1.x.7"]
        record = replace(record, entries=tuple(entry for entry in record.entries if entry.at <= until))
    script = Script(record, examined_of(record, "vpp"))

    async def both() -> list[Verdict]:
        outsider = Outsider(heard, registers=registers, role=role)
        living = asyncio.ensure_future(outsider.live())
        try:
            async with asyncio.timeout(GUARD_S):
                place = Place(admit=admit, speed=speed, wait_s=wait_s)
                return await examine([(f"{CASE}-{n}", script) for n in range(times)], ME, place, outsider.listen)
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living

    return asyncio.run(both())


def rules(verdict: Verdict) -> set[str]:
    """The rules that were broken, but for what the case expects of who bids and delivers."""
    return {finding.rule for finding in verdict.findings} - {"expected"}


def silent(outsider: Outsider, letter: Letter) -> None:
    """Says nothing."""


def refusing(outsider: Outsider, letter: Letter) -> None:
    """Turns down whatever opens a conversation."""
    if letter.metadata["performative"] in ("cfp", "request", "query-ref", "subscribe"):
        reason: dict[str, object] = {"exchange": None, "code": "closed", "reason": "we are closed", "faults": []}
        outsider.answer(letter, "refuse", reason)


def raving(outsider: Outsider, letter: Letter) -> None:
    """Answers with what is no ACL message."""
    outsider.write(Letter(ME, letter.sender, "hello, who is there?"))


def flooding(outsider: Outsider, letter: Letter) -> None:
    """Sends without measure."""
    for _ in range(3000):
        outsider.write(Letter(ME, letter.sender, "hello"))


def leaving(outsider: Outsider, letter: Letter) -> None:
    """Logs out when it is first spoken to."""
    if outsider.client.transport is not None:
        outsider.client.abort()


def test_who_never_registers_is_not_waited_for_for_long(tmp_path: Path) -> None:
    [verdict] = examined(tmp_path, silent, registers=False, wait_s=0.5)
    assert rules(verdict) == {"registered"}


def test_who_registers_in_another_role_is_not_examined(tmp_path: Path) -> None:
    [verdict] = examined(tmp_path, silent, role="dso", wait_s=2.0)
    assert "registered" in rules(verdict)


def test_who_never_answers_is_found_out(tmp_path: Path) -> None:
    [verdict] = examined(tmp_path, silent)
    assert rules(verdict) == {"unanswered"}


def test_who_turns_everything_down_breaks_no_other_rule_and_is_examined_twice_under_other_ids(tmp_path: Path) -> None:
    first, second = examined(tmp_path, refusing, times=2, speed=1200.0, until_called=True)
    assert rules(first) == rules(second) == {"takes-part"}
    assert not set(first.transcript[1:]) & set(second.transcript[1:])


def test_nonsense_is_readable_to_nobody(tmp_path: Path) -> None:
    [verdict] = examined(tmp_path, raving)
    assert "readable" in rules(verdict)


def test_a_flood_ends_the_exam(tmp_path: Path) -> None:
    [verdict] = examined(tmp_path, flooding, speed=2000.0)
    assert "flood" in rules(verdict)


def test_who_leaves_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hall, "GONE_S", 0.1)
    [verdict] = examined(tmp_path, leaving)
    assert rules(verdict) & {"reachable", "unanswered"}


def test_without_an_account_one_line_says_what_to_do() -> None:
    with pytest.raises(AccountsError, match="--admit FILE"):
        asyncio.run(examine([], ME, Place(), print))
