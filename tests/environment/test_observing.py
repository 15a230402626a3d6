"""`run.py observe` as its user meets it, on the embedded server, where a small client stands in for the observer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from environment.observing import PASSWORD
from environment.out_folder import ACCESS, SERVER
from environment.server import EmbeddedServer
from protocols.telling import ENDED, NOT_ADMITTED
from tests.answering import answering

PROJECT = Path(__file__).resolve().parents[2]
ANNA = "anna@localhost"
SECRET = "a secret of Anna's"
PATIENCE_S = 60.0
LINES = (
    "[6.1.1 Pool of vpp-1]",
    "17:05:00 dso -> vpp-1: cfp 6.1.1 Pool: power 12 kW",
    "17:05:01 vpp-1 -> dso: propose ž <&>",
)

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp has no release for this Python")


class Observing:
    """The command in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def end(self) -> tuple[int, str, str]:
        """Exit code, what is left of the standard output, and the standard error."""
        async with asyncio.timeout(PATIENCE_S):
            out, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), errors.decode()


async def observe(*words: str, cwd: Path, password: str | None = SECRET, program: Iterable[str] = ()) -> Observing:
    environment = {name: value for name, value in os.environ.items() if name != PASSWORD}
    if password is not None:
        environment[PASSWORD] = password
    command = list(program) or [sys.executable, "-W", "error", str(PROJECT / "run.py")]
    return Observing(
        await asyncio.create_subprocess_exec(
            *command,
            "observe",
            *words,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    )


async def refused(*words: str, cwd: Path, password: str | None = SECRET) -> str:
    """The one line with which it ends."""
    code, out, errors = await (await observe(*words, cwd=cwd, password=password)).end()
    assert (code, out) == (3, ""), errors
    assert errors.startswith("run.py: ")
    assert errors.count("\n") == 1
    return errors


@asynccontextmanager
async def run_of(folder: Path) -> AsyncIterator[EmbeddedServer]:
    """The server of a run, and the file that says where it is."""
    server_folder = folder / "runs" / "small-1" / SERVER
    async with EmbeddedServer(server_folder) as server:
        await server.admit({"observer": "its own", "anna": SECRET})
        where = {"host": server.address, "port": server.port, "domain": "localhost", "ca": str(server.ca_file)}
        (server_folder.parent / ACCESS).write_text(json.dumps(where))
        yield server


def observer(server: EmbeddedServer, answers: Callable[[str], list[str]]) -> Any:
    """A client with the observer's account that answers so."""
    return answering(server.access, "observer@localhost", "its own", answers)


def telling(asked: list[str], *lines: str) -> Callable[[str], list[str]]:
    def answers(text: str) -> list[str]:
        asked.append(text)
        return [f"watching {text}", *lines]

    return answers


async def test_lines_come_as_they_are_said_and_the_runs_end_is_its_end(tmp_path: Path) -> None:
    asked: list[str] = []
    async with run_of(tmp_path) as server, observer(server, telling(asked, "\n".join(LINES))) as bot:
        watching = await observe(ANNA, "--buc", "6", cwd=tmp_path)
        assert await watching.line() == "watching watch buc6"
        assert [await watching.line() for _ in LINES] == list(LINES)
        bot.send_message(ANNA, f"{ENDED}: 2 messages", mtype="chat")
        assert await watching.end() == (0, f"{ENDED}: 2 messages\n", "")
    assert asked == ["watch buc6"]


async def test_json_is_the_traces_lines_and_nothing_else(tmp_path: Path) -> None:
    asked: list[str] = []
    text = f"ž\n\u2028{ENDED}\x85"
    lines = [json.dumps({"at": "2026-03-18T17:05:00+01:00", "content": {"text": text}}, ensure_ascii=False), '{"at":2}']
    async with run_of(tmp_path) as server:
        answers = telling(asked, "\n".join(lines), f"{ENDED}: 2 messages")
        async with observer(server, answers):
            watching = await observe(ANNA, "--json", "--run", "runs/small-1", cwd=tmp_path)
            code, out, errors = await watching.end()
    assert (code, out.rstrip("\n").split("\n")) == (0, lines)
    assert errors.splitlines() == ["run.py: watching watch all json", f"{ENDED}: 2 messages"]
    assert asked == ["watch all json"]


async def test_it_waits_for_an_observer_that_is_not_yet_there(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server:
        watching = await observe(ANNA, cwd=tmp_path)
        while "Connection from" not in (server.folder / "server-log.txt").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # a log tells nobody that it has grown
        async with observer(server, telling([], f"{ENDED}: 0 messages")):
            assert await watching.end() == (0, f"watching watch all\n{ENDED}: 0 messages\n", "")


async def test_ctrl_c_ends_it_without_a_complaint(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server, observer(server, telling([])):
        watching = await observe(ANNA, cwd=tmp_path)
        await watching.line()
        watching.process.send_signal(signal.SIGINT)
        assert await watching.end() == (0, "", "")


async def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server, observer(server, telling([], *LINES)) as bot:
        watching = await observe(ANNA, cwd=tmp_path)
        await watching.line()
        reader = watching.process.stdout
        assert reader is not None
        reader._transport.close()  # type: ignore[attr-defined]  # as `| head -1` does
        for _ in range(3):
            bot.send_message(ANNA, "one more", mtype="chat")
        code, _, errors = await watching.end()
    assert (code, errors) == (141, "")


async def test_the_servers_death_is_one_line(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server, observer(server, telling([])):
        watching = await observe(ANNA, cwd=tmp_path)
        await watching.line()
        await server.kill()
        code, out, errors = await watching.end()
    assert (code, out) == (3, "")
    assert errors.startswith(f"run.py: 127.0.0.1:{server.port} has closed the connection")
    assert errors.count("\n") == 1


async def test_whoever_may_not_watch_is_told_so(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server:
        answers = telling([], NOT_ADMITTED)
        async with observer(server, lambda _: answers("")[1:]):
            assert NOT_ADMITTED in await refused(ANNA, cwd=tmp_path)


async def test_a_wrong_password_and_an_account_that_is_not_there_are_one_line_each(tmp_path: Path) -> None:
    async with run_of(tmp_path):
        for jid, password in ((ANNA, "wrong"), ("eve@localhost", SECRET)):
            assert f"refuses the login of {jid}" in await refused(jid, cwd=tmp_path, password=password)


async def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    async with run_of(tmp_path) as server, EmbeddedServer(tmp_path / "other") as other:
        line = await refused(ANNA, "--ca", str(other.ca_file), cwd=tmp_path)
        assert f"certificate of 127.0.0.1:{server.port} is not signed by {other.ca_file}" in line
        line = await refused(ANNA, "--server", f"127.0.0.1:{server.port}", cwd=tmp_path)
        assert "is not signed by an authority of this system" in line


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path / "server", domain="other.example") as server:
        words = ("--server", f"127.0.0.1:{server.port}", "--ca", str(server.ca_file))
        assert "is not that of localhost" in await refused(ANNA, *words, cwd=tmp_path)


async def test_where_nothing_listens_it_goes_nowhere_else(tmp_path: Path) -> None:
    """aioxmpp falls back to port 5222 of the domain."""
    with socket.socket() as default, socket.socket() as free:
        default.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        default.bind(("127.0.0.1", 5222))
        default.listen()
        default.settimeout(0)
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        assert f"no XMPP server at {where}" in await refused(ANNA, "--server", where, cwd=tmp_path)
        with pytest.raises(BlockingIOError):
            default.accept()


async def test_a_server_that_speaks_something_else_is_one_line(tmp_path: Path) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert f"127.0.0.1:{port}" in await refused(ANNA, "--server", f"127.0.0.1:{port}", cwd=tmp_path)


@pytest.mark.parametrize("way", ["room", "pubsub"])
async def test_a_server_without_rooms_or_nodes_is_one_line(tmp_path: Path, way: str) -> None:
    async with run_of(tmp_path):
        assert "watch by chat" in await refused(ANNA, "--via", way, cwd=tmp_path)


async def test_what_cannot_be_is_said_before_anything_is_tried(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('"bert@localhost" = "x"\n')
    (tmp_path / "over").mkdir()
    (tmp_path / "ca.pem").write_text("no certificate")
    for words, why in (
        ((ANNA,), "no run is going on in runs/"),
        ((ANNA, "--run", "nowhere"), "--run nowhere: there is no such folder"),
        ((ANNA, "--run", "over"), "--run over: no run is going on there"),
        (("anna", "--server", "x.org"), "anna: is no account"),
        ((ANNA, "--server", "x.org:99999"), "--server x.org:99999"),
        ((ANNA, "--server", "x.org", "--ca", "none.pem"), "none.pem: is no certificate authority's file"),
        ((ANNA, "--server", "x.org", "--ca", "ca.pem"), "ca.pem: holds no certificate authority"),
        ((ANNA, "--server", "x.org", "--accounts", "accounts.toml"), f"has no password for {ANNA}"),
        ((ANNA, "--server", "x.org", "--accounts", "none.toml"), "none.toml: cannot be read"),
        ((ANNA, "--server", "x.org", "--via", "room", "--json"), "--json: a room has lines for people"),
    ):
        assert why in await refused(*words, cwd=tmp_path)
    assert f"set {PASSWORD}" in await refused(ANNA, "--server", "x.org", cwd=tmp_path, password=None)


async def test_the_password_comes_from_the_accounts_file_or_from_the_one_that_the_run_admits_by(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(f'"{ANNA}" = "{SECRET}"\n')
    async with run_of(tmp_path) as server, observer(server, telling([], f"{ENDED}.")):
        watching = await observe(ANNA, "--accounts", str(accounts), cwd=tmp_path, password="wrong")
        assert (await watching.end())[0] == 0
        file = server.folder.parent / ACCESS
        file.write_text(json.dumps(json.loads(file.read_text()) | {"admit": str(accounts)}))
        watching = await observe(ANNA, cwd=tmp_path, password=None)
        assert (await watching.end())[0] == 0
        accounts.chmod(stat.S_IRUSR)


async def test_without_aioxmpp_it_says_what_else_there_is(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['aioxmpp'] = None; sys.path.insert(0, sys.argv[1]); import run;"
    program = (sys.executable, "-c", f"{blocked} sys.exit(run.main(sys.argv[2:]))", str(PROJECT))
    watching = await observe(ANNA, "--server", "x.org", cwd=tmp_path, program=program)
    code, out, errors = await watching.end()
    assert (code, out) == (3, "")
    assert "use Python 3.11 or 3.12, or watch with any chat program (docs/watching.md)" in errors
    assert errors.count("\n") == 1
