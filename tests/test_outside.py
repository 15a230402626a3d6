"""`--outside` where it cannot be followed, and the parts of it that need no run."""

from __future__ import annotations

import selectors
from datetime import timedelta
from pathlib import Path

import pytest

from environment import outside, scenario
from environment.casts import roles
from environment.clock import IdleTime, VirtualClock, _IdleSelector
from environment.launcher import _clock
from environment.options import OUTSIDE_SPEED, Options, OptionsError
from environment.outside import OutsideError
from protocols.asyncapi import outside_roles
from protocols.roles import Role
from run import main
from tests.days import SMALL, play
from tests.outsiders import PASSWORD

MARKET = scenario.parse(SMALL, "small.toml")
SHIPPED = ("slovenia", "portugal", "denmark", "greece")


def guests(folder: Path, *jids: str) -> Path:
    path = folder / "guests.toml"
    path.write_text("".join(f'"{jid}" = "{PASSWORD}"\n' for jid in jids), encoding="utf-8")
    return path


def one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What `run.py` says on stderr, with exit code 3: a single line."""
    assert main(words) == 3
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("run.py: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vpp9"], "--outside vpp9: there is no actor 'vpp9' in small; give one of fmo, dso, tso, vpp1, vpp2"),
        (["cpo1"], "--outside cpo1: cpo1 cannot be played outside: it drives the chargers, over Modbus"),
        (["directory"], "--outside directory: directory cannot be played outside: it is a service of the platform"),
        (
            ["ev-home-01"],
            "--outside ev-home-01: ev-home-01 cannot be played outside: its car is a part of",
        ),
        (["vpp2", "vpp2=a@b"], "--outside vpp2=a@b: vpp2 is named twice"),
        (["vpp2="], "--outside vpp2=: '' is no JID; give NAME=name@domain"),
        (["vpp2=somebody"], "--outside vpp2=somebody: 'somebody' is no JID; give NAME=name@domain"),
        (["vpp2=dso@elsewhere.org"], "--outside vpp2=dso@elsewhere.org: another actor is called dso"),
        (["vpp1"], '--outside vpp1: vpp1@localhost has no account on the embedded server; write "vpp1@localhost" = '),
    ],
)
def test_what_cannot_be_followed_is_one_line_and_leaves_no_folder(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    asked = [each for word in words for each in ("--outside", word)]
    out = tmp_path / "out"
    command = [str(tmp_path / "small.toml"), "--quiet", "--out", str(out), "--admit"]
    assert one_line([*command, str(guests(tmp_path, "vpp2@localhost")), *asked], capsys).startswith(said)
    assert not out.exists()


def test_an_account_of_an_agent_that_is_not_outside_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    command = [str(tmp_path / "small.toml"), "--quiet", "--out", str(tmp_path / "out"), "--admit"]
    line = one_line([*command, str(guests(tmp_path, "vpp1@localhost"))], capsys)
    assert line.startswith(
        "--admit: vpp1@localhost is an agent of this run; take it out, or leave it to your own system"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"outside": ("vpp2",)}, "--outside: the embedded server lets in whom --admit FILE names"),
        ({"outside_wait_s": 0.0}, "--outside-wait 0: give the seconds, above 0"),
        ({"outside_wait_s": float("nan")}, "--outside-wait nan: give the seconds, above 0"),
        (
            {"outside": ("vpp2",), "admit": Path("a"), "driver_page": 0, "speed": 1.0},
            "--outside: a run with --driver-page has a person outside already",
        ),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionsError) as caught:
        Options(Path("out"), **options).check()  # type: ignore[arg-type]
    assert str(caught.value).startswith(said)


def test_another_server_knows_its_own_accounts() -> None:
    Options(Path("out"), outside=("vpp2",), server="h", accounts=Path("a")).check()
    named = outside.named(["vpp2=acme@example.org", "tso"], MARKET)
    found = outside.jids(named, MARKET, "grid.example", None)
    assert found == {"vpp2": "acme@example.org", "tso": "tso@grid.example"}
    placed = outside.placed(roles(MARKET, "grid.example"), found)
    assert placed["acme@example.org"] is Role.VPP
    assert "vpp2@grid.example" not in placed
    assert list(placed.values()) == list(roles(MARKET, "").values())
    assert outside.listed(found, placed) == "acme@example.org as vpp, tso@grid.example as tso"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_role_of_every_demonstrator_can_be_outside_or_says_why_not(name: str) -> None:
    loaded = scenario.load(name)
    able = set()
    for role in set(roles(loaded, "").values()):
        why = outside.cannot(loaded, role)
        able |= {role} if why is None else set()
        assert why is None or (role not in outside_roles()) == ("service of the platform" in why)
    assert (
        able
        == {
            "slovenia": {Role.VPP, Role.FMO, Role.DSO, Role.TSO},
            "portugal": {Role.FO, Role.EMSP, Role.DSO},
            "denmark": set(),
            "greece": {Role.FMO},
        }[name]
    )


def test_nobody_who_comes_is_one_line_that_says_where_to(tmp_path: Path) -> None:
    with pytest.raises(OutsideError) as caught:
        play(tmp_path / "run", admit=guests(tmp_path, "vpp2@localhost"), outside=("vpp2",), outside_wait_s=0.2)
    said = str(caught.value)
    assert said.startswith("vpp2@localhost as vpp has not registered within 0.2 s: the server is 127.0.0.1:")
    assert f"domain localhost, its authority in {tmp_path / 'run' / 'server' / 'ca.pem'}" in said
    assert said.endswith("df.register to directory@localhost (docs/outside.md), or wait longer with --outside-wait S")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("asked", "speed"), [(None, OUTSIDE_SPEED), (300.0, 300.0)])
def test_time_keeps_to_a_pace_that_counts_only_what_the_swarm_waits(asked: float | None, speed: float) -> None:
    """It does not begin before the word; then a second without anything to do is a minute at 60 times wall time."""
    clock = _clock(MARKET, Options(Path("out"), admit=Path("a"), outside=("vpp2",), speed=asked))
    assert isinstance(clock, VirtualClock)
    assert clock.pace is not None
    due = MARKET.begins + timedelta(seconds=speed)
    assert clock.pace.wait(due) is None
    assert clock.pace.wait(MARKET.begins) == 0.0
    clock.go()
    assert clock.pace.wait(due) == pytest.approx(1.0)
    clock.idle.s += 0.5
    assert clock.pace.wait(due) == pytest.approx(0.5)
    assert clock.pace.now() == MARKET.begins + timedelta(seconds=speed / 2)


def test_only_the_wait_for_a_time_to_come_is_counted_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the wait for an acknowledgement, in which time stands, and nothing while there is work."""
    wall = iter([10.0, 12.5, 20.0, 29.0])
    monkeypatch.setattr("environment.clock.time.monotonic", lambda: next(wall))
    monkeypatch.setattr(selectors.DefaultSelector, "select", lambda self, timeout=None: [])
    idle = IdleTime()
    _IdleSelector(lambda: 3.0, idle).select(None)
    assert idle.s == 2.5
    _IdleSelector(lambda: None, idle).select(None)
    _IdleSelector(lambda: 0.0, idle).select(None)
    assert idle() == 2.5
