"""Reading the trace and the series of an island's day: who was awarded what until when, and what was metered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from environment.series import Floats
from tests.days import Day

MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)


@dataclass(frozen=True)
class Told:
    """An award to a manager (`to`), or a notice to the EMSP: `orders` is (baseline, change) in kW by charger."""

    to: str
    content: dict[str, Any]
    orders: dict[str, tuple[float, float]]
    start: datetime
    end: datetime
    """As asked for; earlier where it was called off."""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def cancels(day: Day) -> dict[str, datetime]:
    """When a conversation was called off."""
    return {m["conversation-id"]: instant(m["at"]) for m in day.said(performative="cancel")}


def _told(day: Day, messages: list[dict[str, Any]]) -> Iterator[Told]:
    off = cancels(day)
    for m in messages:
        content = m["content"]
        each = content["orders"] if "orders" in content else [o for k in content["managers"] for o in k["orders"]]
        start = instant(content["start"])
        ends = start + timedelta(minutes=content["duration_minutes"])
        orders = {order["user_id"]: (order["baseline_kw"], order["power_kw"]) for order in each}
        yield Told(m["receiver"], content, orders, start, min(ends, off.get(m["conversation-id"], ends)))


def awards(day: Day) -> list[Told]:
    """2.3 and 4.1.3 to the managers."""
    found = [m for e in ("2.3", "4.1.3") for m in day.said(exchange=e, performative="accept-proposal")]
    return list(_told(day, found))


def notices(day: Day) -> list[Told]:
    """2.3 and 4.1.3 to the EMSP."""
    found = [m for e in ("2.3", "4.1.3") for m in day.said(exchange=e, performative="request", sender="fo@localhost")]
    return list(_told(day, found))


@dataclass(frozen=True)
class Minutes:
    """The series of one case: a value for each minute and column, and the instants (UTC) of the minutes."""

    at: list[datetime]
    values: dict[str, Floats]

    @classmethod
    def of(cls, day: Day, case: str) -> Minutes:
        frame = pd.read_parquet(day.folder / "series.parquet")
        frame = frame[frame["case"] == case].drop(columns="case")
        at = [instant(str(stamp)) for stamp in frame.pop("at")]
        return cls(at, {str(name): frame[name].to_numpy(dtype=np.float64) for name in frame})

    def __getitem__(self, name: str) -> Floats:
        return self.values[name]

    def all(self, prefix: str) -> dict[str, Floats]:
        """The columns of all buses or all chargers, by bus or charger."""
        return {name.removeprefix(prefix): each for name, each in self.values.items() if name.startswith(prefix)}

    def row(self, at: datetime) -> int:
        return (at - self.at[0]) // MINUTE

    def value(self, name: str, at: datetime) -> float:
        return float(self.values[name][self.row(at)])

    def mean_kw(self, charger: str, start: datetime) -> float:
        """What a charger drew on average in the quarter of an hour from `start`."""
        first = self.row(start)
        return float(self.values[f"p_kw:{charger}"][first : first + 15].mean())

    def hours(self, zone: tzinfo) -> npt.NDArray[np.int64]:
        """The hour of each minute by the clocks of `zone`."""
        return np.array([at.astimezone(zone).hour for at in self.at])


def in_force(day: Day) -> dict[str, list[Told]]:
    """The EMSP's notices by charger, each until it is renewed or called off."""
    renewed = {n.content["renews"]: n.start for n in notices(day) if n.content["renews"]}
    found: defaultdict[str, list[Told]] = defaultdict(list)
    for n in notices(day):
        ends = min(n.end, renewed.get(n.content["service_id"], n.end))
        for charger in n.orders:
            found[charger].append(Told(n.to, n.content, n.orders, n.start, ends))
    return found


def assert_one_service_each(day: Day) -> None:
    """A promise is firm for its first quarter; a tail lasts only until another promise takes the vehicle."""
    firm: dict[tuple[str, datetime], str] = {}
    for award in awards(day):
        if award.end <= award.start:
            continue
        for charger in award.orders:
            other = firm.setdefault((charger, award.start), award.content["service_id"])
            assert other == award.content["service_id"], (charger, award.start)


def minutes_outside(series: Minutes) -> tuple[float, int]:
    """EN 50160, 4.2.2.2: minutes in 10-minute means of which some bus is beyond 10 %, and the buses that ever are."""
    volts = np.stack(list(series.all("vm_pu:").values()), axis=1)
    means = volts[: len(volts) // 10 * 10].reshape(-1, 10, volts.shape[1]).mean(axis=1)
    beyond = (means < 0.9) | (means > 1.1)
    return 10.0 * float(beyond.any(axis=1).sum()), int(beyond.any(axis=0).sum())
