"""The SunSpec Alliance's own client, unmodified, finds, reads and drives our charger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import sunspec2.modbus.client
import sunspec2.modbus.modbus

from environment.chargers import ChargerPark
from tests.environment.park import running

T = TypeVar("T")


async def foreign_client(park: ChargerPark, work: Callable[[Any], T]) -> T:
    """What `work` returns, done with a scanned pysunspec2 device; it blocks, so it has a thread of its own."""

    def in_thread() -> T:
        place = park.endpoints["c0"]
        device = sunspec2.modbus.client.SunSpecModbusClientDeviceTCP(
            slave_id=1, ipaddr=place.host, ipport=place.port, timeout=5
        )
        device.scan(connect=True)
        device.connect()
        try:
            return work(device)
        finally:
            device.disconnect()

    return await asyncio.to_thread(in_thread)


async def test_a_scan_finds_every_model_without_a_fault() -> None:
    def scanned(device: Any) -> tuple[list[int], list[str], str, str]:
        models = [key for key in device.models if isinstance(key, int)]
        faults = [m[0].error_info for key, m in device.models.items() if isinstance(key, int)]
        return models, faults, device.common[0].Mn.value, device.common[0].SN.value

    async with running() as (_, park, _):
        models, faults, maker, serial = await foreign_client(park, scanned)
    assert sorted(models) == [1, 701, 702, 704, 711, 713, 715]
    assert models[0] == 1
    assert faults == [""] * 7
    assert (maker, serial) == ("Gridparley", "c0")


async def test_its_readings_have_sunspecs_sign_and_scale() -> None:
    def read(device: Any) -> dict[str, Any]:
        measured, capacity, storage = device.DERMeasureAC[0], device.DERCapacity[0], device.DERStorageCapacity[0]
        return {
            "W": measured.W.cvalue,
            "Hz": measured.Hz.cvalue,
            "LNV": measured.LNV.cvalue,
            "A": measured.A.cvalue,
            "ConnSt": measured.ConnSt.value,
            "InvSt": measured.InvSt.value,
            "charge": capacity.WChaRteMaxRtg.cvalue,
            "discharge": capacity.WDisChaRteMaxRtg.cvalue,
            "WHRtg": storage.WHRtg.cvalue,
            "WHAvail": storage.WHAvail.cvalue,
            "SoC": storage.SoC.cvalue,
        }

    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        park.observe(231.4, 49.987)
        values = await foreign_client(park, read)
    assert values == pytest.approx(
        {
            "W": -11_000,
            "Hz": 49.987,
            "LNV": 231.4,
            "A": 15.8,
            "ConnSt": 1,
            "InvSt": 3,
            "charge": 11_000,
            "discharge": 10_000,
            "WHRtg": 60_000,
            "WHAvail": 30_000,
            "SoC": 50.0,
        }
    )


async def test_it_makes_the_charger_discharge_and_sees_the_reversion_run() -> None:
    def drive(device: Any) -> tuple[float, int]:
        control = device.DERCtlAC[0]
        control.WSetEna.value, control.WSetMod.value = 1, 1
        control.WSet.cvalue = 5_000
        control.WSetRvrtTms.value = 60
        control.write()
        control.read()
        measured = device.DERMeasureAC[0]
        measured.read()
        return measured.W.cvalue, control.WSetRvrtRem.value

    async with running() as (clock, park, _):
        park.plug_in("c0", "v0")
        watts, left = await foreign_client(park, drive)
        assert (watts, left) == (5_000, 60)
        assert park.power_kw()[0] == -5.0
        clock.passes(60)
        assert park.power_kw()[0] == 11.0


async def test_a_percentage_is_of_the_rating() -> None:
    def drive(device: Any) -> None:
        control = device.DERCtlAC[0]
        control.WSetEna.value, control.WSetMod.value = 1, 0
        control.WSetPct.cvalue = -50.0
        control.write()

    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        await foreign_client(park, drive)
        assert park.power_kw()[0] == 5.5


async def test_the_reversion_value_takes_the_setpoints_place_where_it_is_enabled() -> None:
    def drive(device: Any) -> None:
        control = device.DERCtlAC[0]
        control.WSetEna.value, control.WSetMod.value = 1, 1
        control.WSet.cvalue, control.WSetRvrt.cvalue = 5_000, -1_000
        control.WSetEnaRvrt.value, control.WSetRvrtTms.value = 1, 60
        control.write()

    async with running() as (clock, park, _):
        park.plug_in("c0", "v0")
        await foreign_client(park, drive)
        clock.passes(61)
        assert park.power_kw()[0] == 1.0


async def test_a_droop_is_written_beside_the_current_one_and_then_adopted() -> None:
    def drive(device: Any) -> tuple[float, float, int, int]:
        droop = device.DERFreqDroop[0]
        droop.Ctl[1].DbOf.cvalue = droop.Ctl[1].DbUf.cvalue = 0.02
        droop.Ctl[1].KOf.cvalue = droop.Ctl[1].KUf.cvalue = 0.0036
        droop.Ctl[1].RspTms.cvalue = 0
        droop.write()
        droop.read()
        before = droop.Ctl[0].DbOf.cvalue
        droop.Ena.value, droop.AdptCtlReq.value = 1, 2
        droop.write()
        droop.read()
        return before, droop.Ctl[0].DbOf.cvalue, droop.AdptCtlRslt.value, droop.Ctl[0].ReadOnly.value

    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        before, after, result, read_only = await foreign_client(park, drive)
        assert (before, after, result, read_only) == (0.0, 0.02, 1, 1)
        park.observe(230.0, 49.88)
        # 0.1 Hz beyond the deadband of 0.02 Hz, and 0.18 Hz are the whole rating of 11 kW.
        assert park.power_kw()[0] == pytest.approx(11.0 - 11.0 * 0.1 / 0.18)


async def test_stop_and_start_work_like_a_switch() -> None:
    def switch(value: int) -> Callable[[Any], None]:
        def work(device: Any) -> None:
            device.DERCtl[0].OpCtl.value = value
            device.DERCtl[0].write()

        return work

    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        await foreign_client(park, switch(0))
        assert park.power_kw()[0] == 0.0
        await foreign_client(park, switch(1))
        assert park.power_kw()[0] == 11.0


@pytest.mark.parametrize(
    ("model", "point", "value", "code"),
    [
        ("DERCtlAC", "WSet", 60_000, 3),  # beyond the rating
        ("DERCtlAC", "WSet", -12_000, 3),
        ("DERCtlAC", "WSetPct", 1_001, 3),
        ("DERCtlAC", "WSetEna", 2, 3),
        ("DERCtlAC", "WSetMod", 7, 3),
        ("DERCtlAC", "VarSet", 100, 2),  # not there
        ("DERCtlAC", "WSetRvrtRem", 5, 2),  # not to be written
        ("DERMeasureAC", "W", 0, 2),
        ("DERCapacity", "WMax", 1, 2),
        ("DERStorageCapacity", "SoC", 10_000, 2),
        ("DERFreqDroop", "AdptCtlReq", 3, 3),
        ("DERCtl", "LocRemCtl", 1, 2),
        ("DERCtl", "OpCtl", 9, 3),
    ],
)
async def test_a_write_that_makes_no_sense_is_answered_by_an_exception_and_changes_nothing(
    model: str, point: str, value: int, code: int
) -> None:
    def write(device: Any) -> None:
        target = getattr(getattr(device, model)[0], point)
        target.value = value
        target.write()

    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        before = dict(park._registers[0].settings)
        with pytest.raises(sunspec2.modbus.modbus.ModbusClientException, match=f"Modbus exception: {code}"):
            await foreign_client(park, write)
        assert park._registers[0].settings == before
        assert park.power_kw()[0] == 11.0
