"""The chargers' physics in scenario time, and their registers at the level of single requests."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pymodbus.client import AsyncModbusTcpClient

from environment.charger_map import ADDRESS
from environment.chargers import ParkError
from environment.sunspec import BASE
from tests.environment.park import HandClock, park_of, running


async def test_a_second_vehicle_does_not_fit() -> None:
    park = park_of(2, HandClock())
    park.plug_in("c0", "v0")
    with pytest.raises(ParkError, match="charger c0 is taken by v0"):
        park.plug_in("c0", "v1")
    with pytest.raises(ParkError, match="vehicle v0 is plugged in elsewhere"):
        park.plug_in("c1", "v0")
    with pytest.raises(ParkError, match="charger c1 has no vehicle"):
        park.unplug("c1")


def test_a_vehicle_leaves_with_what_it_was_given() -> None:
    clock = HandClock()
    park = park_of(2, clock)
    park.plug_in("c1", "v0", soc=0.4, target_soc=0.9)
    clock.passes(3600)
    assert park.unplug("c1") == pytest.approx(0.4 + 11 * 0.94 / 60)
    assert park.imported_kwh.tolist() == pytest.approx([0.0, 11.0])
    assert np.isnan(park.soc_percent()).all()


def test_the_own_plan_does_not_start_again_for_a_trifle() -> None:
    clock = HandClock()
    park = park_of(1, clock)
    park.plug_in("c0", "v0", soc=0.5, target_soc=0.5)
    park.fleet.energy_kwh[0] -= 0.3
    assert park.power_kw()[0] == 0.0
    park.fleet.energy_kwh[0] -= 1.0
    clock.passes(1)
    park.advance()
    assert park.power_kw()[0] == 11.0


def test_a_power_between_the_limits_of_charger_and_vehicle_is_cut_to_the_lower() -> None:
    park = park_of(1, HandClock(), max_charge_kw=7.4)
    park.plug_in("c0", "v0")
    assert park.power_kw()[0] == 7.4


def test_the_meters_of_a_day_are_the_same_however_often_one_looks() -> None:
    meters = []
    for looks in (1, 288):
        clock = HandClock()
        park = park_of(3, clock)
        for n in range(3):
            park.plug_in(f"c{n}", f"v{n}", target_soc=0.95)
        for _ in range(looks):
            clock.passes(86_400 / looks)
            park.advance()
        meters.append(park.imported_kwh)
    assert meters[0] == pytest.approx(meters[1], abs=1e-9)


async def test_an_order_ends_with_the_session() -> None:
    async with running(2) as (_, park, (charger, _)):
        park.plug_in("c0", "v0")
        await charger.set_power(-10.0, 0)
        park.unplug("c0")
        park.plug_in("c0", "v1")
        assert park.power_kw()[0] == 11.0


async def test_each_charger_obeys_its_own_orders_only() -> None:
    async with running(3) as (_, park, chargers):
        for n in range(3):
            park.plug_in(f"c{n}", f"v{n}")
        await chargers[1].set_power(-4.0, 900)
        assert park.power_kw().tolist() == [11.0, -4.0, 11.0]


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with running() as (_, park, _):
        taken = park.endpoints["c0"].port
        other = park_of(1, HandClock())
        with pytest.raises(ParkError, match=rf"charger c0 cannot listen on 127\.0\.0\.1:{taken}; choose a free port"):
            await other.start(ports=[taken])
        assert other.endpoints == {}


async def test_three_hundred_chargers_start_in_three_seconds() -> None:
    park = park_of(300, HandClock())
    began = time.perf_counter()
    await park.start()
    took = time.perf_counter() - began
    assert len({place.port for place in park.endpoints.values()}) == 300
    await park.stop()
    assert took < 3.0


@pytest.mark.parametrize(
    ("address", "values", "code"),
    [
        (ADDRESS[704, "WSet"] + 1, [5], 2),  # half a point
        (ADDRESS[704, "WSet"], [0], 2),
        (ADDRESS[704, "WSetRvrtTms"], [0, 60, 0], 2),  # runs on into what may not be written
        (BASE - 1, [1], 2),
        (BASE, [1, 2], 2),
    ],
)
async def test_a_write_that_does_not_fit_the_points_is_refused(address: int, values: list[int], code: int) -> None:
    async with running() as (_, park, _):
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            answer = await client.write_registers(address, values)
            assert answer.exception_code == code


async def test_a_block_is_taken_as_a_whole_or_not_at_all() -> None:
    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            answer = await client.write_registers(ADDRESS[704, "WSetEna"], [1, 9, 0, 500])
            assert answer.exception_code == 3
            assert park.power_kw()[0] == 11.0
            answer = await client.write_registers(ADDRESS[704, "WSetEna"], [1, 0xFFFF, 0, 500])
            assert not answer.isError()
            assert park.power_kw()[0] == -0.5  # "not implemented" left the mode as it was


async def test_coils_and_input_registers_are_no_functions_of_it() -> None:
    async with running() as (_, park, _):
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            assert (await client.read_input_registers(BASE, count=2)).exception_code == 1
            assert (await client.write_coil(BASE, True)).isError()
            assert (await client.read_holding_registers(BASE, count=2)).registers == [0x5375, 0x6E53]


async def test_single_registers_can_be_written_too() -> None:
    async with running() as (_, park, _):
        park.plug_in("c0", "v0")
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            assert not (await client.write_register(ADDRESS[704, "WSetEna"], 1)).isError()
            assert park.power_kw()[0] == 0.0


async def test_a_large_charger_scales_its_watts_so_that_they_fit() -> None:
    async with running(1, max_charge_kw=150.0, max_discharge_kw=150.0) as (_, park, (charger,)):
        park.fleet.max_charge_kw[0] = 150.0
        park.fleet._full_kw[0] = 150.0
        park.plug_in("c0", "v0")
        assert (await charger.read()).power_kw == pytest.approx(150.0)
        await charger.set_power(120.0, 60)
        assert (await charger.read()).power_kw == pytest.approx(120.0)


@pytest.mark.parametrize(("p_min_percent", "power_kw"), [(-100, 11.0), (-50, 5.5), (0, 0.0)])
async def test_the_droop_charges_no_more_than_its_least_injection_allows(p_min_percent: int, power_kw: float) -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(0.0, 0)
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            await client.write_registers(ADDRESS[711, "Ctl[1].PMin"], [p_min_percent & 0xFFFF])
            await client.write_registers(ADDRESS[711, "Ena"], [1, 2])
        park.observe(230.0, 50.3)
        clock.passes(600)
        assert park.power_kw()[0] == pytest.approx(power_kw)


async def test_another_unit_is_answered_by_an_exception() -> None:
    async with running() as (_, park, _):
        place = park.endpoints["c0"]
        async with AsyncModbusTcpClient(place.host, port=place.port) as client:
            assert (await client.read_holding_registers(BASE, count=2, device_id=7)).isError()
