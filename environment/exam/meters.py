"""What the environment's agent answers in an exam: the time, and what sensors and meters read as far as the record
knows it. A meter that the record never asked for a period reads nothing there; a sensor reads what it last did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from environment.exam.script import Script
from protocols.catalogue import parse
from protocols.exchanges import ContentError
from protocols.exchanges.services import GridReading, MeterReading
from protocols.exchanges.vocabulary import GridQuantity

_NOMINAL_V, _NOMINAL_HZ = 230.0, 50.0


class RecordedWorld:
    """Implements `PhysicalWorld` from the readings that a record has."""

    def __init__(self, script: Script, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kw: dict[tuple[str, datetime, timedelta], float] = {}
        self._sensors: dict[tuple[GridQuantity, str | None], list[tuple[datetime, float]]] = {}
        for entry in script.record.entries:
            if entry.message.exchange not in ("env.grid", "env.meter"):
                continue
            try:
                content = parse(entry.message)
            except ContentError:
                continue
            if isinstance(content, GridReading):
                readings = self._sensors.setdefault((content.quantity, content.location), [])
                readings.append((entry.at, content.value))
            elif isinstance(content, MeterReading):
                self._keep(content)

    def voltage_v(self, location: str) -> float:
        return self._read(GridQuantity.VOLTAGE, location, _NOMINAL_V)

    def frequency_hz(self) -> float:
        return self._read(GridQuantity.FREQUENCY, None, _NOMINAL_HZ)

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        count = (end - start) // period
        return tuple(self._kw.get((location, start + number * period, period), 0.0) for number in range(count))

    def _keep(self, content: MeterReading) -> None:
        period = timedelta(minutes=content.period_minutes)
        for series in content.series:
            for number, power_kw in enumerate(series.power_kw):
                self._kw[series.location, content.start + number * period, period] = power_kw

    def _read(self, quantity: GridQuantity, location: str | None, nominal: float) -> float:
        readings = self._sensors.get((quantity, location), [])
        before = [value for at, value in readings if at <= self._now()]
        return before[-1] if before else readings[0][1] if readings else nominal
