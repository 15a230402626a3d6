"""Connection-point meters over Modbus TCP, their faults, and the bench."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import sunspec2.modbus.client
from pymodbus.client import AsyncModbusTcpClient

from agents.fcr_ports import FrequencyMeter, MeterError, TestBench
from environment.charger_device import Droop
from environment.chargers import ChargerPark, ParkError
from environment.instruments import ACCURACY_HZ, Bench, MeterFault, MeterPark, MeterSpec, SunSpecMeter
from protocols.exchanges.frequency_services import SignalPiece
from tests.environment.park import HandClock, park_of

SECOND = timedelta(seconds=1)


@asynccontextmanager
async def metered(
    count: int = 3, **spec: float
) -> AsyncIterator[tuple[HandClock, ChargerPark, MeterPark, SunSpecMeter]]:
    """Meter "main" at c0 and c1, which charge with all they have, on a clock in the hand."""
    clock = HandClock()
    park = park_of(count, clock, **spec)
    for n in range(count):
        park.plug_in(f"c{n}", f"v{n}")
    meters = MeterPark(
        [MeterSpec("main", ("c0", "c1")), MeterSpec("backup", ("c0", "c1"))], park, clock.now, np.random.default_rng(1)
    )
    await meters.start()
    place = meters.endpoints["main"]
    meter = SunSpecMeter("main", place.host, place.port, clock.outstanding)
    try:
        yield clock, park, meters, meter
    finally:
        meter.close()
        await meters.stop()


async def test_a_meter_gives_power_frequency_and_its_clock() -> None:
    async with metered() as (clock, park, _, meter):
        port: FrequencyMeter = meter
        park.observe(230.0, 49.87)
        sample = await port.read()
        assert sample.power_kw == pytest.approx(22.0)
        assert sample.hz == pytest.approx(49.87, abs=5 * ACCURACY_HZ)
        assert sample.at == clock.at
        clock.passes(3661)
        assert (await port.read()).at == clock.at
        assert clock.out == 0
        assert clock.most_out == 1


async def test_the_error_is_a_millihertz_and_the_same_within_an_instant() -> None:
    async with metered() as (clock, park, _, meter):
        readings = []
        for _ in range(400):
            clock.passes(1)
            park.observe(230.0, 50.0)
            readings.append((await meter.read()).hz)
            assert (await meter.read()).hz == readings[-1]
    assert np.std(readings) == pytest.approx(0.001, rel=0.15)
    assert np.mean(readings) == pytest.approx(50.0, abs=0.0002)
    assert all(round(hz * 1000) == pytest.approx(hz * 1000, abs=1e-6) for hz in readings)


async def test_one_reading_is_one_request() -> None:
    async with metered() as (_, _, meters, meter):
        await meter.read()
        asked: list[bytes] = []

        def see(sending: bool, data: bytes) -> bytes:
            if not sending:
                asked.append(data)
            return data

        for connection in meters._servers["main"].active_connections.values():
            connection.trace_packet = see  # type: ignore[attr-defined]
        await meter.read()
        assert len(asked) == 1


async def test_a_lost_meter_is_named_and_its_backup_goes_on() -> None:
    async with metered() as (clock, _, meters, meter):
        await meter.read()
        meters.set_fault("main", MeterFault.LOST)
        with pytest.raises(MeterError, match=r"meter main at 127.*: it ended the connection") as told:
            await meter.read()
        assert told.value.fault == "it ended the connection instead of answering"
        backup = SunSpecMeter(
            "backup", meters.endpoints["backup"].host, meters.endpoints["backup"].port, clock.outstanding
        )
        assert (await backup.read()).power_kw == pytest.approx(22.0)
        backup.close()
        meters.set_fault("main", None)
        assert (await meter.read()).power_kw == pytest.approx(22.0)


async def test_a_frozen_meter_repeats_its_last_value_while_its_clock_goes_on() -> None:
    async with metered() as (clock, park, meters, meter):
        before = await meter.read()
        meters.set_fault("main", MeterFault.FROZEN)
        clock.passes(60)
        park.observe(230.0, 49.5)
        park.unplug("c0")
        frozen = await meter.read()
        assert (frozen.hz, frozen.power_kw) == (before.hz, before.power_kw)
        assert frozen.at == clock.at
        meters.set_fault("main", None)
        well = await meter.read()
        assert well.hz == pytest.approx(49.5, abs=0.005)
        assert well.power_kw == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("fault", "hz", "seconds"), [(MeterFault.JUMP, 50.15, 0), (MeterFault.CLOCK_JUMP, 50.0, 90), (None, 50.0, 0)]
)
async def test_a_jump_is_of_the_frequency_or_of_the_clock(fault: MeterFault | None, hz: float, seconds: int) -> None:
    async with metered() as (clock, _, meters, meter):
        meters.set_fault("main", fault)
        sample = await meter.read()
        assert sample.hz == pytest.approx(hz, abs=0.005)
        assert sample.at - clock.at == seconds * SECOND


async def test_nothing_in_a_meter_can_be_written() -> None:
    async with metered() as (_, _, meters, _):
        place = meters.endpoints["main"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            assert (await client.write_registers(40070, [1])).exception_code == 1


async def test_the_sunspec_alliances_client_finds_and_reads_a_meter() -> None:
    def scan(host: str, port: int) -> tuple[list[int], list[str], float, float, int, str]:
        device = sunspec2.modbus.client.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=host, ipport=port, timeout=5)
        device.scan(connect=True)
        models: dict[Any, Any] = {key: found for key, found in device.models.items() if isinstance(key, int)}
        measured, status = models[701][0], models[122][0]
        said = (measured.W.cvalue, measured.Hz.cvalue, status.Tms.value, device.common[0].SN.value)
        device.disconnect()
        return sorted(models), [found[0].error_info for found in models.values()], *said

    async with metered() as (clock, _, meters, _):
        place = meters.endpoints["main"]
        models, faults, watts, hz, tms, serial = await asyncio.to_thread(scan, place.host, place.port)
        assert models == [1, 122, 701]
        assert faults == ["", "", ""]
        assert (watts, serial) == (-22_000, "main")
        assert hz == pytest.approx(50.0, abs=0.005)
        assert tms == clock.at.timestamp() - 946_684_800


async def test_a_charger_is_no_meter() -> None:
    clock = HandClock()
    park = park_of(1, clock)
    await park.start()
    place = park.endpoints["c0"]
    meter = SunSpecMeter("main", place.host, place.port, clock.outstanding)
    try:
        with pytest.raises(MeterError, match="has no SunSpec model 122"):
            await meter.read()
    finally:
        meter.close()
        await park.stop()


def test_a_meter_has_a_name_of_its_own_and_something_to_measure() -> None:
    clock = HandClock()
    park = park_of(1, clock)
    with pytest.raises(ParkError, match="two meters have the same name"):
        MeterPark([MeterSpec("main", ("c0",))] * 2, park, clock.now, np.random.default_rng(1))
    with pytest.raises(ParkError, match="meter main has no chargers"):
        MeterPark([MeterSpec("main", ())], park, clock.now, np.random.default_rng(1))


# The bench ----------------------------------------------------------------------------------------------------


def benched(response_s: float = 0.0) -> tuple[HandClock, ChargerPark, Bench]:
    """Two chargers that charge with 5 kW and have a droop of 11 kW in 0.2 Hz, and a third beside the bench."""
    clock = HandClock()
    park = park_of(3, clock)
    for n in range(3):
        park.plug_in(f"c{n}", f"v{n}")
        park._order_kw[n] = 5.0
        park.droops.put(n, Droop(0.0, 0.0, 0.004, 0.004, response_s, -1.0))
    return clock, park, Bench(park, ["c0", "c1"])


def test_the_bench_is_what_the_agents_ask_for() -> None:
    _, _, bench = benched()
    port: TestBench = bench
    with pytest.raises(ValueError, match="0 pieces"):
        port.apply([])


def test_a_step_applied_moves_the_benchs_chargers_and_no_other() -> None:
    clock, park, bench = benched()
    start = clock.at
    before = SignalPiece(duration_s=10, start_hz=50.0, end_hz=50.0)
    bench.apply([before, SignalPiece(duration_s=5, start_hz=49.96, end_hz=49.96)], 0.2)
    clock.passes(30)
    hz, kw = bench.record(start, start + 30 * SECOND, 0.2)
    assert len(hz) == len(kw) == 150
    assert hz == pytest.approx([50.0] * 50 + [49.96] * 100)
    # 0.04 Hz of 0.2 Hz are a fifth of 11 kW, for each of two.
    assert kw == pytest.approx([10.0] * 50 + [10.0 - 4.4] * 100)
    assert park.power_kw() == pytest.approx([2.8, 2.8, 5.0])
    bench.release()
    assert park.power_kw() == pytest.approx([5.0, 5.0, 5.0])


def test_a_ramp_and_a_sine_are_followed_sample_by_sample() -> None:
    clock, _, bench = benched()
    start = clock.at
    bench.apply(
        [
            SignalPiece(duration_s=2, start_hz=50.0, end_hz=49.9),
            SignalPiece(duration_s=8, start_hz=50.0, end_hz=50.0, amplitude_hz=0.1, period_s=4),
        ],
        0.5,
    )
    clock.passes(10)
    hz, kw = bench.record(start, clock.at, 0.5)
    assert hz[:4] == pytest.approx([50.0, 49.975, 49.95, 49.925])
    assert hz[4:12] == pytest.approx([50 - 0.1 * np.sin(np.pi * n / 4) for n in range(8)])
    assert kw == pytest.approx([10 + 2 * 11 * (f - 50) / 0.2 for f in hz])


def test_samples_of_a_new_length_are_true_means_of_what_was_recorded() -> None:
    clock, park, bench = benched(response_s=3.0)
    start = clock.at
    bench.apply([SignalPiece(duration_s=60, start_hz=49.95, end_hz=49.95)], 0.2)
    clock.passes(60)
    _, fine = bench.record(start, clock.at, 0.2)
    _, coarse = bench.record(start, clock.at, 2.0)
    assert np.mean(np.reshape(fine, (30, 10)), axis=1) == pytest.approx(coarse)
    assert sum(coarse) * 2 / 3600 == pytest.approx(park.imported_kwh[:2].sum())


def test_one_signal_after_another_leaves_no_gap_and_a_release_does() -> None:
    clock, _, bench = benched()
    start = clock.at
    bench.apply([SignalPiece(duration_s=5, start_hz=49.95, end_hz=49.95)])
    clock.passes(10)
    bench.apply([SignalPiece(duration_s=5, start_hz=50.05, end_hz=50.05)], 0.2)
    clock.passes(10)
    bench.release()
    clock.passes(10)
    hz, _ = bench.record(start, start + 20 * SECOND, 1.0)
    assert hz == pytest.approx([49.95] * 10 + [50.05] * 10)
    bench.apply([SignalPiece(duration_s=5, start_hz=50.0, end_hz=50.0)])
    clock.passes(5)
    assert len(bench.record(start + 30 * SECOND, clock.at, 1.0)[0]) == 5
    for since, until in ((15, 25), (25, 32), (31, 36)):
        with pytest.raises(LookupError, match="no record"):
            bench.record(start + since * SECOND, start + until * SECOND, 1.0)


async def test_a_meter_behind_the_bench_sees_its_frequency_and_the_chargers_registers_too() -> None:
    async with metered() as (clock, park, _, meter):
        bench = Bench(park, ["c0", "c1"])
        bench.apply([SignalPiece(duration_s=5, start_hz=49.6, end_hz=49.6)])
        assert (await meter.read()).hz == pytest.approx(49.6, abs=0.005)
        assert park._live(0).frequency_hz == 49.6
        assert park._live(2).frequency_hz == 50.0
        bench.release()
        clock.passes(1)
        assert (await meter.read()).hz == pytest.approx(50.0, abs=0.005)


def test_a_droop_beside_the_bench_is_followed_to_its_vehicles_limit() -> None:
    clock, park, bench = benched()
    park.fleet.energy_kwh[2] = 12.05  # a twentieth of a kWh above the floor, 18 s at 10 kW
    park.observe(230.0, 49.7)
    bench.apply([SignalPiece(duration_s=5, start_hz=50.0, end_hz=50.0)])
    assert park.power_kw()[2] == -10.0
    clock.passes(60)
    assert park.power_kw()[2] == 0.0
    assert park.exported_kwh[2] == pytest.approx(0.05 * 0.94)


def test_a_reading_at_the_instant_of_a_change_of_the_signal_has_the_change() -> None:
    clock, park, bench = benched()
    before = SignalPiece(duration_s=10, start_hz=50.0, end_hz=50.0)
    bench.apply([before, SignalPiece(duration_s=5, start_hz=49.96, end_hz=49.96)])
    clock.passes(10)
    assert park.power_kw()[0] == pytest.approx(2.8)


async def test_the_grids_frequency_at_a_meter_can_come_from_elsewhere_but_a_bench_goes_first() -> None:
    clock, park, bench = benched()
    meters = MeterPark(
        [MeterSpec("main", ("c0",))], park, clock.now, np.random.default_rng(1), hz=lambda name: {"main": 50.2}[name]
    )
    await meters.start()
    meter = SunSpecMeter("main", meters.endpoints["main"].host, meters.endpoints["main"].port, clock.outstanding)
    try:
        assert (await meter.read()).hz == pytest.approx(50.2, abs=0.005)
        bench.apply([SignalPiece(duration_s=5, start_hz=49.6, end_hz=49.6)])
        assert (await meter.read()).hz == pytest.approx(49.6, abs=0.005)
    finally:
        meter.close()
        await meters.stop()
