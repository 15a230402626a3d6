"""What goes wrong outside the program is one clear line: what, where, what to do; nothing that was there is lost."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from environment import casts, scenario
from environment.prosody import Prosody, prosody_program
from environment.server import EmbeddedServer, generated_passwords
from run import main
from tests.days import SMALL, Day, changed, play

HEADER = "charger_id,vehicle_id,arrival,departure,capacity_kwh,soc_arrival_percent,soc_wanted_percent"
ROW = "house-01,car,2026-03-18T18:00,2026-03-19T07:00,60,20,80"


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory holds the small scenario and nothing else."""
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL, encoding="utf-8")


def fails(capsys: pytest.CaptureFixture[str], words: Sequence[str], *, lines: int = 1, code: int = 3) -> str:
    """What stands on standard error after the command: exactly so many lines, and no traceback."""
    before = everything()
    found = main(words)
    shown = capsys.readouterr()
    assert found == code, shown.err
    assert shown.err.count("\n") == lines, shown.err
    assert "Traceback" not in shown.err + shown.out
    assert everything() == before, "nothing is left behind, and nothing is lost"
    return shown.err


def everything() -> dict[str, bytes | None]:
    """Each file with its bytes, each folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(Path().rglob("*"))}


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


# ---- scenarios -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "max_charge_kw = 11.0",
            "max_charge_w = 11000.0",
            None,
        ),
        (
            "load_scale = 2.5",
            'load_scale = "2.5 kW"',
            "wrong.toml: grid.load_scale: input should be a valid number (given: '2.5 kW')",
        ),
        (
            'buses = ["office"]',
            'buses = ["bus-99"]',
            "wrong.toml: site[1].buses: network 'rural2' has no low-voltage bus 'bus-99'",
        ),
        ('network = "rural2"', 'network = "rural9"', "network 'rural9' is not shipped; there is cigre_mv, rural2"),
        ("[scenario]", "[scenario", None),
    ],
    ids=["a wrong unit", "a unit in the value", "a missing bus", "a missing network", "no TOML"],
)
def test_a_scenario_that_is_wrong(old: str, new: str, line: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    write("wrong.toml", SMALL.replace(old, new, 1))
    lines = 2 if "max_charge_w " in new else 1  # the unknown key, and the one that is missing for it
    shown = fails(capsys, ["wrong.toml", "--out", "out", "--quiet"], lines=lines)
    if line is not None:
        assert shown.startswith(f"run.py: {line}")
    else:
        assert all(text.startswith("run.py: wrong.toml: ") for text in shown.splitlines())


def test_an_unknown_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, ["atlantis"]) == (
        f"run.py: atlantis: no such scenario; there are {', '.join(scenario.available())}\n"
    )


def test_a_scenario_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, ["none.toml"]) == "run.py: none.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([ROW, ROW.replace("T18:00", "T20:00").replace("car", "van")], "line 3: "),
        ([ROW.replace(",80", ",eighty")], "line 2: "),
        ([ROW.replace("2026-03-19T07:00", "2026-03-18T07:00")], "line 2: "),
        ([ROW.replace("house-01", "house-99")], "line 2: "),
        ([ROW.rpartition(",")[0]], "line 2: "),
    ],
    ids=["overlapping sessions", "not a number", "departure before arrival", "an unknown charger", "a short row"],
)
def test_a_sessions_file_that_is_wrong(rows: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("sessions.csv", "\n".join([HEADER, *rows]))
    write("mine.toml", f'{SMALL}sessions_csv = "sessions.csv"\n')
    assert fails(capsys, ["mine.toml", "--out", "out", "--quiet"]).startswith(f"run.py: sessions.csv: {line}")


def test_a_sessions_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    write("mine.toml", f'{SMALL}sessions_csv = "none.csv"\n')
    shown = fails(capsys, ["mine.toml", "--out", "out", "--quiet"])
    assert "none.csv: cannot be read: No such file or directory" in shown


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--days", "0"], "small.toml: scenario.days: input should be greater than or equal to 1 (given: 0)"),
        (["--days", "-1"], "small.toml: scenario.days: input should be greater than or equal to 1 (given: -1)"),
        (["--seed", "-1"], "small.toml: scenario.seed: input should be greater than or equal to 0 (given: -1)"),
        (["--speed", "0"], "--speed 0: time must pass; give a number above 0"),
        (["--speed", "-3"], "--speed -3: time must pass"),
        (["--speed", "nan"], "--speed nan: time must pass"),
        (["--pace", "0"], "--pace 0: give a number above 0"),
        (["--pace", "inf"], "--pace inf: give a number above 0"),
        (["--pace", "60", "--speed", "60"], "--pace: --speed, or the driver's page, says how fast time passes"),
        (["--pace", "60", "--outside", "vpp1", "--admit", "a.toml"], "--pace: with --outside it is --speed"),
        (["--port", "70000"], "--port 70000: is no port; give one up to 65535"),
        (["--ca", "ca.pem"], "--ca: the embedded server has its own authority"),
        (["--server", "h", "--admit", "a.toml"], "--admit: is the embedded server's"),
        (["--server", "h:1", "--port", "5222"], "--port 5222: is the embedded server's; write --server HOST:PORT"),
        (["--server", "h"], "--server needs --accounts FILE with the agents' passwords; `run.py accounts small"),
        (["--accounts", "none.toml"], "accounts none.toml: cannot be read: No such file or directory"),
        (["--admit", "none.toml"], "accounts none.toml: cannot be read: No such file or directory"),
        (["--admit", "small.toml"], 'accounts small.toml: scenario: every line is "name@domain" = "password"'),
    ],
)
def test_an_option_that_cannot_be_followed(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet", *words])
    assert shown.startswith(f"run.py: {line}")


def test_accounts_that_are_missing_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    names = list(casts.roles(scenario.parse(SMALL, "small.toml"), "x.org"))
    write("accounts.toml", "".join(f'"{name}" = "p"\n' for name in names if not name.startswith(("dso", "ev-"))))
    shown = fails(
        capsys, ["small.toml", "--out", "out", "--quiet", "--server", "127.0.0.1", "--accounts", "accounts.toml"]
    )
    assert shown == (
        "run.py: the accounts file has no password for dso@x.org, ev-office-01@x.org, ev-office-02@x.org and 10 more; "
        "add them, on the server as well\n"
    )


# ---- the run folder and the ledger -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trace.jsonl", "ledger.sqlite", "report.html"])
def test_a_folder_that_holds_a_run_is_left_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    write(f"out/{name}", "precious")
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet"])
    assert shown == (
        f"run.py: {Path('out').absolute()} holds a run already ({name}): give another --out, or move it away\n"
    )


@pytest.mark.parametrize("where", ["small.toml", "small.toml/out", "/proc/out"])
def test_a_folder_that_cannot_be_written(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = fails(capsys, ["small.toml", "--out", where, "--quiet"])
    assert shown.startswith(f"run.py: {Path(where).absolute()} cannot be written: ")
    assert shown.endswith("; give another --out\n")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("nonsense", "the ledger's database URL is of no use: "),
        ("sqlite:////none/at/all.db", "the ledger at sqlite:////none/at/all.db cannot be opened: "),
    ],
)
def test_a_ledger_that_cannot_be_opened(url: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The server and the chargers are up by then; the same command, mended, runs in the same folder."""
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet", "--ledger", url])
    assert shown.startswith(f"run.py: {line}")


# ---- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


def test_a_port_that_is_taken(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet", "--port", str(taken)])
    assert shown.startswith(f"run.py: the XMPP server cannot listen on 127.0.0.1:{taken} (")
    assert "or choose another with --port" in shown


def accounts_file(domain: str = "localhost") -> dict[str, str]:
    """Writes accounts.toml for the small scenario, as `run.py accounts` does."""
    accounts = generated_passwords(casts.roles(scenario.parse(SMALL, "small.toml"), domain))
    write("accounts.toml", "".join(f'"{jid}" = "{password}"\n' for jid, password in accounts.items()))
    return accounts


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    accounts_file()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["--server", f"127.0.0.1:{port}", "--accounts", "accounts.toml"]
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet", *words])
    assert f"127.0.0.1:{port}" in shown


def test_an_authority_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    accounts_file()
    words = ["--server", "127.0.0.1", "--accounts", "accounts.toml", "--ca", "small.toml"]
    shown = fails(capsys, ["small.toml", "--out", "out", "--quiet", *words])
    assert shown.startswith("run.py: small.toml holds no certificate authority (")


@pytest_asyncio.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(tmp_path_factory.mktemp("server")) as embedded:
        yield embedded


async def test_a_password_that_is_refused(server: EmbeddedServer, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = accounts_file()
    await server.admit({**accounts, "dso@localhost": "another password"})
    words = ["--server", f"127.0.0.1:{server.port}", "--accounts", "accounts.toml", "--ca", str(server.ca_file)]
    shown = await asyncio.to_thread(fails, capsys, ["small.toml", "--out", "out", "--quiet", *words])
    assert shown == (
        f"run.py: 127.0.0.1:{server.port} refuses the login of dso@localhost: check that the account exists "
        "and that its password is right\n"
    )


async def test_a_certificate_that_is_not_trusted(server: EmbeddedServer, capsys: pytest.CaptureFixture[str]) -> None:
    await server.admit(accounts_file())
    words = ["--server", f"127.0.0.1:{server.port}", "--accounts", "accounts.toml"]
    shown = await asyncio.to_thread(fails, capsys, ["small.toml", "--out", "out", "--quiet", *words])
    assert "shows a certificate that is not trusted" in shown


# ---- traces ----------------------------------------------------------------------------------------------------------


def checked(capsys: pytest.CaptureFixture[str], text: str | bytes, *, lines: int | None = 1) -> str:
    """What `run.py check` prints about a file with this text; it exits 1, with so many lines (None: any)."""
    Path("trace.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["check", "trace.jsonl"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert lines is None or shown.out.count("\n") == lines, shown.out
    assert all(line.startswith("trace.jsonl: ") for line in shown.out.splitlines())
    return shown.out


def test_a_trace_that_breaks_off_in_a_line(small: Day, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (small.folder / "trace.jsonl").read_text(encoding="utf-8")
    cut = whole[: whole.index("\n", len(whole) // 2) + 40]
    shown = checked(capsys, cut, lines=None)
    assert f"trace.jsonl: line {cut.count(chr(10)) + 1}: trace: " in shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1: trace: is missing: the file is empty"),
        ("hello\n", "line 1: trace: not the header of a trace: "),
        (
            '{"trace": 2, "scenario": "x", "seed": 1, "roles": {}}\n',
            "line 1: trace: not the header of a trace: trace: ",
        ),
        ('{"trace": 1, "scenario": "x", "seed": 1, "roles": {}}\n[]\n', "line 2: trace: "),
        (b"\xff\xfe{}", "is not UTF-8 at byte 0"),
    ],
    ids=["empty", "not JSON", "another version", "a line that is no message", "not text"],
)
def test_a_file_that_is_no_trace(text: str | bytes, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys, text).startswith(f"trace.jsonl: {line}")


def test_a_trace_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "none.jsonl"]) == 1
    assert capsys.readouterr().out == "none.jsonl: cannot be read: No such file or directory\n"


def test_a_message_that_somebody_had_no_right_to_send_is_found_at_its_line(
    small: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    number = next(n for n, m in enumerate(small.messages, start=2) if m["exchange"] == "1.2.3")
    lines = list(small.trace)
    message = json.loads(lines[number - 1])
    message["sender"] = next(jid for jid, role in small.header["roles"].items() if role == "ev_owner")
    lines[number - 1] = json.dumps(message)
    shown = checked(capsys, "\n".join(lines) + "\n", lines=None)
    assert f"trace.jsonl: line {number}: authority: ev_owner may not send 1.2.3" in shown


# ---- chargers that fail ----------------------------------------------------------------------------------------------


def test_chargers_that_are_silent_or_talk_nonsense_are_left_out_and_the_others_go_on(
    small: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line when it begins and one when it is over; the cars there charge by their chargers' own plan."""
    faults = "".join(
        f'[[fault]]\nkind = "charger-{kind}"\ntarget = "{target}"\nstart = "16:30"\nend = "20:00"\n'
        for kind, target in (("silent", "house-01"), ("nonsense", "home-02"))
    )
    day = play(Path("run"), changed(("\n[drivers]", f"\n{faults}\n[drivers]")))
    assert main(["check", "run/trace.jsonl"]) == 0, capsys.readouterr().out
    assert day.summary["drivers"]["below_wanted"] == 0
    assert day.summary["drivers"]["departed"] == small.summary["drivers"]["departed"]
    for target in ("house-01", "home-02"):
        told = [line for line in day.warnings if target in line]
        assert len(told) == 2, told
        assert "answers again" in told[1]
    assert any(market["awards"] for market in day.summary["market"])
    asked = {m["receiver"] for e in ("1.2.5", "6.2.3") for m in day.said(exchange=e)}
    assert len(asked) >= 3
    assert not asked & {"ev-house-01@localhost", "ev-home-02@localhost"}


# ---- a real server ---------------------------------------------------------------------------------------------------


async def test_a_day_on_prosody_ends_as_on_the_embedded_server(
    small: Day, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--server`: every message crosses Debian's Prosody."""
    if prosody_program() is None:
        assert not os.environ.get("CI"), "CI must have Prosody: apt-get install -y prosody"
        pytest.skip("Prosody is not installed: apt-get install prosody")
    accounts = accounts_file()
    async with Prosody(tmp_path_factory.mktemp("prosody")) as prosody:
        await prosody.admit(accounts)
        words = {"server": f"127.0.0.1:{prosody.port}", "accounts": Path("accounts.toml"), "wire": True}
        day = await asyncio.to_thread(play, Path("run"), ca=prosody.folder / "ca.pem", **words)
    assert day.outcome == small.outcome
    assert sorted(day.postings) == sorted(small.postings)
    assert day.contents() == small.contents()
    assert main(["check", "run/trace.jsonl"]) == 0, capsys.readouterr().out
