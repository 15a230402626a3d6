"""What agents did besides talking: orders to chargers, cars that were plugged in, tests on a bench, payments.

`acts.jsonl` of a run folder has one line for each, in the order in which they were done; with the trace it is what a
replay compares an agent with, and what it does in the place of those who are not there. A line is
`{"after": messages in the trace by then, "at": .., "who": jid, "device": .., "act": .., "with": {..}}`. Powers are kW,
positive drawn from the grid; amounts are decimal strings in EUR.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from agents.fcr_ports import TestBench
from agents.island_ports import DispatchCentre
from agents.ledger import Ledger
from agents.ports import Charger, ChargerReading, DroopCurve
from behaviours.acting import acting
from protocols.exchanges.frequency_services import SignalPiece

LEDGER_DEVICE = "ledger"
AREA_DEVICE = "area"
CENTRE_DEVICE = "centre"


@dataclass(frozen=True, slots=True)
class Act:
    """One of them. `device` is `charger:<id>`, `car:<id>`, `bench:<site>`, `ledger`, `centre` (where an island's
    plants are dispatched), or `area`, which hears from where the response of chargers in frequency control is counted
    (`who` is "" then); `members` are the call's own."""

    after: int
    at: datetime
    who: str
    device: str
    act: str
    members: Mapping[str, Any]

    def line(self) -> str:
        """Its line, without the end of it."""
        told = {
            "after": self.after,
            "at": self.at.isoformat(),
            "who": self.who,
            "device": self.device,
            "act": self.act,
            "with": self.members,
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Noting(Protocol):
    """Is told of each act when it is done; by whom, it finds out by itself."""

    def note(self, device: str, act: str, **members: Any) -> None: ...


class ActsWriter:
    """Implements `Noting`: a line for each act. `messages`: how many the trace has by now."""

    def __init__(self, path: Path, now: Callable[[], datetime], zone: tzinfo, messages: Callable[[], int]) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._now, self._zone, self._messages = now, zone, messages

    def note(self, device: str, act: str, **members: Any) -> None:
        done = Act(self._messages(), self._now().astimezone(self._zone), acting(), device, act, members)
        self._file.write(done.line() + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


class NotedCharger:
    """A charger whose orders are noted, when they are given and whether it takes them or not. Implements `Charger`."""

    def __init__(self, charger: Charger, noting: Noting) -> None:
        self.charger_id = charger.charger_id
        self._charger, self._noting = charger, noting

    async def read(self) -> ChargerReading:
        return await self._charger.read()

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        self._note("set_power", power_kw=power_kw, reversion_s=reversion_s)
        await self._charger.set_power(power_kw, reversion_s)

    async def hold_power(self, power_kw: float, *, for_s: int, then_kw: float) -> None:
        self._note("hold_power", power_kw=power_kw, for_s=for_s, then_kw=then_kw)
        await self._charger.hold_power(power_kw, for_s=for_s, then_kw=then_kw)

    async def release(self) -> None:
        self._note("release")
        await self._charger.release()

    async def heartbeat(self) -> None:
        self._note("heartbeat")
        await self._charger.heartbeat()

    async def set_droop(self, *, full_activation_hz: float, deadband_hz: float = 0.0, response_s: float = 0.0) -> None:
        members = {"full_activation_hz": full_activation_hz, "deadband_hz": deadband_hz, "response_s": response_s}
        self._note("set_droop", **members)
        await self._charger.set_droop(**members)

    async def set_droop_curve(self, curve: DroopCurve) -> None:
        self._note("set_droop_curve", **asdict(curve))
        await self._charger.set_droop_curve(curve)

    async def stop_droop(self) -> None:
        self._note("stop_droop")
        await self._charger.stop_droop()

    def _note(self, act: str, **members: Any) -> None:
        self._noting.note(f"charger:{self.charger_id}", act, **members)


async def order(charger: Charger, act: str, members: Mapping[str, Any]) -> None:
    """Gives a charger an order as it was noted. Raises ValueError for an act that is none of a charger's."""
    match act:
        case "set_power":
            await charger.set_power(members["power_kw"], members["reversion_s"])
        case "hold_power":
            await charger.hold_power(members["power_kw"], for_s=members["for_s"], then_kw=members["then_kw"])
        case "release":
            await charger.release()
        case "heartbeat":
            await charger.heartbeat()
        case "set_droop":
            await charger.set_droop(**members)
        case "set_droop_curve":
            await charger.set_droop_curve(DroopCurve(**members))
        case "stop_droop":
            await charger.stop_droop()
        case _:
            raise ValueError(f"{act} is no order to a charger")


class NotedBench:
    """A test bench whose signals are noted. Implements `TestBench`."""

    def __init__(self, site: str, bench: TestBench, noting: Noting) -> None:
        self._site, self._bench, self._noting = site, bench, noting

    def apply(self, signal: Sequence[SignalPiece], sample_s: float = 1.0) -> None:
        pieces = [piece.model_dump(mode="json") for piece in signal]
        self._noting.note(f"bench:{self._site}", "apply", signal=pieces, sample_s=sample_s)
        self._bench.apply(signal, sample_s)

    def release(self) -> None:
        self._noting.note(f"bench:{self._site}", "release")
        self._bench.release()

    def record(self, start: datetime, end: datetime, sample_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self._bench.record(start, end, sample_s)


class NotedCentre:
    """A dispatch centre; what it is told is noted. Implements `DispatchCentre`."""

    def __init__(self, centre: DispatchCentre, noting: Noting) -> None:
        self._centre, self._noting = centre, noting

    def interruptible(self, start: datetime, power_kw: float, *, beyond_kw: float) -> None:
        members = {"start": start.isoformat(), "power_kw": power_kw, "beyond_kw": beyond_kw}
        self._noting.note(CENTRE_DEVICE, "interruptible", **members)
        self._centre.interruptible(start, power_kw, beyond_kw=beyond_kw)


class NotedLedger(Ledger):
    """Books whose transactions are noted when they are booked; a repetition books nothing."""

    def __init__(self, url: str, noting: Noting) -> None:
        super().__init__(url)
        self._noting = noting

    def post(self, transaction_id: str, at: datetime, reference: str, entries: Mapping[str, Decimal]) -> bool:
        booked = super().post(transaction_id, at, reference, entries)
        if booked:
            told = {account: format(amount, "f") for account, amount in entries.items()}
            self._noting.note(LEDGER_DEVICE, "post", transaction_id=transaction_id, reference=reference, entries=told)
        return booked
