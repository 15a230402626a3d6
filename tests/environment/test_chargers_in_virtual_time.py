"""A day of chargers on real sockets under virtual time: fast, and the same every time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from agents.ports import ChargerSilentError
from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerFault, ChargerPark, ChargerSpec
from environment.clock import VirtualClock, run
from environment.vehicles import Fleet, Vehicle

START = datetime(2026, 3, 18, 12, tzinfo=UTC)
COUNT, HOURS = 6, 12


def day() -> tuple[list[tuple[datetime, str, float | None]], list[float]]:
    """Every quarter of an hour the controller reads all chargers at once and orders half of them to discharge; one
    of them is silent for an hour."""
    clock = VirtualClock(START)
    seen: list[tuple[datetime, str, float | None]] = []

    async def main() -> list[float]:
        fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0, soc=0.5) for n in range(COUNT)])
        park = ChargerPark([ChargerSpec(f"c{n}", 11.0, 10.0) for n in range(COUNT)], fleet, clock.now)
        await park.start()
        chargers = [SunSpecCharger(c, p.host, p.port, clock.outstanding) for c, p in park.endpoints.items()]
        for n in range(COUNT):
            park.plug_in(f"c{n}", f"v{n}", target_soc=0.8)

        async def steer(charger: SunSpecCharger, n: int, quarter: int) -> None:
            try:
                power_kw = (await charger.read()).power_kw
                if (n + quarter) % 2:
                    await charger.set_power(-2.0 - n, 600)
            except ChargerSilentError:
                power_kw = None
            seen.append((clock.now(), charger.charger_id, power_kw))

        for quarter in range(HOURS * 4):
            await clock.sleep_until(START + timedelta(minutes=15 * quarter))
            park.set_fault("c2", ChargerFault.SILENT if 8 <= quarter < 12 else None)
            await asyncio.gather(*(steer(charger, n, quarter) for n, charger in enumerate(chargers)))
        await clock.sleep_until(START + timedelta(hours=HOURS))
        park.advance()
        for charger in chargers:
            charger.close()
        await park.stop()
        return [*park.imported_kwh, *park.exported_kwh]

    meters = run(main, clock)
    return sorted(seen, key=lambda line: line[:2]), meters


def test_two_days_with_the_same_orders_are_the_same_to_the_last_digit() -> None:
    first, second = day(), day()
    assert first == second
    assert len(first[0]) == HOURS * 4 * COUNT
    assert [line for line in first[0] if line[2] is None] == [
        (START + timedelta(minutes=15 * quarter), "c2", None) for quarter in range(8, 12)
    ]
    assert min(first[1]) > 0
