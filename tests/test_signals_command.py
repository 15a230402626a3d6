"""`run.py signals`: what the DSO sent in a run, as files that EV4EU's platform imports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from environment.ov2xmp import read_file
from environment.run_folder import TRACE
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.trace import header_line, message_line
from run import main
from tests.environment.test_ov2xmp import DAY, NOON, STATIONS, cheaper, limit

HEDNO, PPC, SECOND, FMO = (f"{name}@localhost" for name in ("hedno", "ppc", "second-cpo", "fmo"))
ROLES = {HEDNO: Role.DSO, PPC: Role.CPO, SECOND: Role.CPO, FMO: Role.FMO}
REGISTERED = x.StationRegistration(registration_id="ppc-1", timestamp=NOON, stations=STATIONS)
FIRST = cheaper(reduction_id="hedno-cheaper-1")
CAP = limit(activation_id="c-1-2026-06-10", contract_id="c-1")
NEXT = cheaper(reduction_id="hedno-cheaper-2", timestamp=NOON + DAY, start=NOON + 2 * DAY, end=NOON + 3 * DAY)
Spoken = tuple[datetime, str, str, x.Content]


def lines(*said: Spoken) -> Iterator[str]:
    yield header_line("greece", 1, ROLES)
    for number, (when, sender, receiver, content) in zip(count(1), said, strict=False):
        yield message_line(
            AclMessage(
                performative=Performative.REQUEST,
                sender=sender,
                receiver=receiver,
                protocol=Protocol.REQUEST,
                conversation_id=f"c{number}",
                reply_with=f"c{number}/1",
                reply_by=when + timedelta(minutes=5),
                content=content.to_json(),
            ),
            when,
        )


def write(*said: Spoken) -> None:
    Path("week").mkdir(exist_ok=True)
    Path("week", TRACE).write_text("\n".join(lines(*said)) + "\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds a run in which a price is lowered at both CPOs, a station capped, and a day later a
    price lowered again."""
    monkeypatch.chdir(tmp_path)
    write(
        (NOON, PPC, FMO, REGISTERED),
        (NOON, HEDNO, PPC, FIRST),
        (NOON, HEDNO, SECOND, FIRST),
        (CAP.timestamp, HEDNO, PPC, CAP),
        (NEXT.timestamp, HEDNO, PPC, NEXT),
    )


def test_each_day_has_a_file_that_is_named_as_the_platform_s_archive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["signals", "week"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "week/signals/dso_signals_09_06_2026.json",
        "week/signals/dso_signals_10_06_2026.json",
    ]
    assert shown.err == ""
    first, second = (json.loads(Path(name).read_text(encoding="utf-8")) for name in shown.out.splitlines())
    assert [(each["uuName"], each["transformerID"]) for each in first] == [
        ("event_DUoSTarrif", "Bus 4"),
        ("event_DUoSTarrif", "Bus 8"),
        ("event_CapacityLimit", "Bus 4"),
    ]
    assert len({each["id"] for each in (*first, *second)}) == 5


def test_what_is_written_can_be_given_to_a_dso_again() -> None:
    assert main(["signals", "week", "--out", "elsewhere"]) == 0
    found = read_file(Path("elsewhere/dso_signals_09_06_2026.json"), STATIONS)
    one, other = found
    assert isinstance(one, x.NetworkPriceReduction)
    assert isinstance(other, x.CapacityLimit)
    assert one.model_copy(update={"reduction_id": FIRST.reduction_id}) == FIRST
    assert other.model_copy(update={"activation_id": CAP.activation_id, "contract_id": "c-1"}) == CAP


def test_the_same_run_gives_the_same_files() -> None:
    assert main(["signals", "week", "--out", "a"]) == main(["signals", "week", "--out", "b"]) == 0
    for path in Path("a").iterdir():
        assert path.read_bytes() == Path("b", path.name).read_bytes()


def test_a_signal_that_the_form_has_no_room_for_is_told_and_the_others_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unknown = limit(activation_id="for-nobody", station_id="hub9")
    nowhere = cheaper(reduction_id="for-none", locations=("Bus 5",))
    write(
        (NOON, PPC, FMO, REGISTERED), (NOON, HEDNO, PPC, unknown), (NOON, HEDNO, PPC, nowhere), (NOON, HEDNO, PPC, CAP)
    )
    assert main(["signals", "week"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "run.py: not written: for-nobody: there is no station 'hub9'",
        "run.py: not written: for-none: no registered station is at Bus 5",
    ]
    assert len(json.loads(Path(shown.out.strip()).read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder; give that of a run"),
        (["empty"], "empty/trace.jsonl: No such file or directory"),
        (["broken"], "broken/trace.jsonl:1: not the header of a trace"),
        (["quiet"], "quiet/trace.jsonl: no DSO sent a signal (4.2.1 or 5.2.1) that could be written"),
        (["week", "--out", "file"], "file: cannot be written: "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_3(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("empty", "broken", "quiet"):
        Path(name).mkdir()
    Path("broken", TRACE).write_text("no trace\n", encoding="utf-8")
    Path("quiet", TRACE).write_text("\n".join(lines((NOON, PPC, FMO, REGISTERED))) + "\n", encoding="utf-8")
    Path("file").write_text("kept", encoding="utf-8")
    before = sorted(Path().rglob("*"))
    assert main(["signals", *words]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"run.py: {says}")
    assert shown.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["signals", "--help"])
    assert stop.value.code == 0
    assert "--out" in capsys.readouterr().out
