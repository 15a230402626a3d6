"""Run folders for the tests of the page: a hand-made hour, and a large one made of copies of a small run."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import numpy as np

from environment import network_map
from environment.live_rows import LiveRowsWriter, Span
from environment.network_map import MapCharger
from environment.run_folder import LEDGER, LIVE_ROWS, NETWORK, TRACE
from environment.series import SCALARS
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from protocols.trace import header_line, message_line
from tests.environment.watched.hand_made import hand_made

BEGINS = datetime(2026, 3, 18, 12, tzinfo=timezone(timedelta(hours=1)))
ZONE = "Europe/Ljubljana"
MINUTES = 60
ROLES = {"dso@localhost": Role.DSO, "environment@localhost": Role.ENVIRONMENT}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_COPY = timedelta(minutes=15)
_COPIES_A_DAY = 96


def lines(minutes: int = MINUTES) -> list[str]:
    """A trace's lines: in each minute the DSO asks the world for a meter, and is answered ten seconds later."""
    found = [header_line("hand-made", 1, ROLES)]
    for minute in range(minutes):
        at = BEGINS + timedelta(minutes=minute)
        asked = AclMessage(
            performative=Performative.QUERY_REF,
            sender="dso@localhost",
            receiver="environment@localhost",
            protocol=Protocol.QUERY,
            conversation_id=f"dso-{minute}",
            reply_with=f"dso-{minute}/dso/1",
            content={"exchange": "env.grid", "quantity": "frequency", "location": None},
            reply_by=at + timedelta(minutes=1),
        )
        answer = AclMessage(
            performative=Performative.INFORM,
            sender="environment@localhost",
            receiver="dso@localhost",
            protocol=Protocol.QUERY,
            conversation_id=f"dso-{minute}",
            reply_with=f"dso-{minute}/environment/1",
            content={"exchange": None, "reference": "dso@localhost"},
            in_reply_to=f"dso-{minute}/dso/1",
        )
        found += [message_line(asked, at), message_line(answer, at + timedelta(seconds=10))]
    return found


def hand_made_folder(folder: Path, minutes: int = MINUTES) -> Path:
    """A folder with an hour's trace, its rows and its network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRACE).write_text("".join(f"{line}\n" for line in lines(minutes)), encoding="utf-8")
    write_network(folder)
    write_rows(folder, minutes=minutes)
    return folder


def write_network(folder: Path, *, chargers: int = 0) -> None:
    """The hand-made network, with more chargers at its buses where that is asked for."""
    found = hand_made()
    if chargers:
        buses = [bus.name for bus in found.buses]
        more = (MapCharger(f"car-{n:04d}", buses[n % len(buses)], 11.0, 0.0, "cpo1", "home") for n in range(chargers))
        found = replace(found, chargers=tuple(more))
    (folder / NETWORK).write_text(json.dumps(network_map.as_json(found)), encoding="utf-8")


def write_rows(folder: Path, *, minutes: int = MINUTES, chargers: int = 0) -> None:
    """A row a minute: everything goes round in waves, so that something moves wherever one looks."""
    network = hand_made()
    names = [charger.id for charger in network.chargers]
    if chargers:
        names = [f"car-{number:04d}" for number in range(chargers)]
    columns = [
        *SCALARS,
        *(f"vm_pu:{bus.name}" for bus in network.buses),
        *(f"line_loading_percent:{line.name}" for line in network.lines),
        *(f"p_kw:{name}" for name in names),
        *(f"soc_percent:{name}" for name in names),
    ]
    begins = BEGINS.astimezone(UTC)
    span = Span(ZONE, timedelta(minutes=1), begins, begins + timedelta(minutes=minutes))
    writer = LiveRowsWriter(folder / LIVE_ROWS, span, columns)
    level = {name: 1.0 if "pu" in name else 50.0 for name in columns} | {
        name: 5.0 for name in columns if name.startswith("p_kw:")
    }
    base = np.array([level[name] for name in columns])
    phases = np.arange(len(columns))
    for minute in range(minutes):
        stamp = int((begins + timedelta(minutes=minute)).timestamp() * 1e6)
        writer.append(stamp, base * (1 + 0.05 * np.sin(minute / 20 + phases)))
    writer.close()


def many(folder: Path, small: Path, *, messages: int = 100_000, chargers: int = 1000) -> Path:
    """A folder with so many messages and chargers: copies of a small run, a quarter of an hour apart, each with agents,
    needs, bids and bookings of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    head, *said = (small / TRACE).read_text(encoding="utf-8").splitlines()
    header = json.loads(head)
    names = sorted((jid.partition("@")[0] for jid in header["roles"]), key=len, reverse=True)
    # A name stands at the beginning of an id or within it; a member's name and a role's are no ids.
    ours = re.compile(r'(?<!"role":")(?<![\w])(' + "|".join(map(re.escape, names)) + r')(?![\w])(?!":)')
    written: list[tuple[datetime, int, str]] = []
    copies = -(-messages // len(said))
    roles: dict[str, str] = {}
    for copy in range(copies):
        roles |= {f"{name}_{copy}@localhost": header["roles"][f"{name}@localhost"] for name in names}
        for line in said:
            text = _shifted(ours.sub(rf"\1_{copy}", line), copy)
            written.append((datetime.fromisoformat(json.loads(text.partition(',"sender"')[0] + "}")["at"]), copy, text))
    written.sort(key=lambda each: each[:2])
    with (folder / TRACE).open("w", encoding="utf-8") as trace:
        trace.write(json.dumps({**header, "roles": dict(sorted(roles.items()))}, separators=(",", ":")) + "\n")
        trace.writelines(f"{text}\n" for _, _, text in written[:messages])
    write_network(folder, chargers=chargers)
    write_rows(folder, minutes=2 * 1440, chargers=chargers)
    _copy_ledger(small / LEDGER, folder / LEDGER, copies, ours)
    return folder


def _shifted(line: str, copy: int) -> str:
    if not (copies := copy % _COPIES_A_DAY):
        return line
    return _TIME.sub(lambda found: _later(found.group(), copies), line)


@cache
def _later(time: str, copies: int) -> str:
    return (datetime.fromisoformat(time) + copies * _COPY).isoformat()


def _copy_ledger(small: Path, large: Path, copies: int, ours: re.Pattern[str]) -> None:
    shutil.copyfile(small, large)
    with closing(sqlite3.connect(large)) as ledger:
        bookings = ledger.execute("select transaction_id, at, reference, digest from booking").fetchall()
        postings = ledger.execute(
            "select transaction_id, account, counter_account, amount_cents, at, reference from posting"
        ).fetchall()

        def renamed(row: tuple[object, ...], copy: int) -> Iterator[object]:
            for value in row:
                yield ours.sub(rf"\1_{copy}", value) if isinstance(value, str) else value

        ledger.execute("delete from posting")
        ledger.execute("delete from booking")
        for copy in range(copies):
            suffix = f"#{copy}"
            ledger.executemany(
                "insert into booking (transaction_id, at, reference, digest) values (?, ?, ?, ?)",
                [(f"{row[0]}{suffix}", row[1], *renamed(row[2:], copy)) for row in bookings],
            )
            ledger.executemany(
                "insert into posting (transaction_id, account, counter_account, amount_cents, at, reference)"
                " values (?, ?, ?, ?, ?, ?)",
                [
                    (f"{row[0]}{suffix}", *renamed(row[1:3], copy), row[3], row[4], *renamed(row[5:], copy))
                    for row in postings
                ],
            )
        ledger.commit()
