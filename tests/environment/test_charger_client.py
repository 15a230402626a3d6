"""A controller and our charger over real Modbus TCP; and chargers that do not behave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agents.ports import Charger, ChargerNonsenseError, ChargerRefusedError, ChargerSilentError, DroopCurve
from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerFault
from environment.sunspec import BASE, END, MARKER, MODELS
from protocols.exchanges.vocabulary import ChargerState
from tests.environment.park import HandClock, running

# A charger of another maker: models in ascending order, other scale factors, no models 711 and 715.
FOREIGN_ORDER = (1, 701, 702, 704, 713)
FOREIGN: dict[tuple[int, str], int] = {
    (701, "InvSt"): 3, (701, "ConnSt"): 1, (701, "W"): -74, (701, "W_SF"): 2, (701, "LNV"): 23_010, (701, "V_SF"): -2,
    (701, "Hz"): 4_999, (701, "Hz_SF"): -2, (701, "TotWhInj"): 2, (701, "TotWhAbs"): 12, (701, "TotWh_SF"): 3,
    (702, "WChaRteMaxRtg"): 110, (702, "WDisChaRteMaxRtg"): 100, (702, "W_SF"): 2, (702, "VNomRtg"): 230,
    (702, "V_SF"): 0, (704, "WSet_SF"): 1, (704, "WSetPct"): 77, (704, "WSetPctRvrt"): 78,
    (713, "WHRtg"): 60, (713, "WHAvail"): 30, (713, "SoC"): 50, (713, "WH_SF"): 3, (713, "Pct_SF"): 0,
}  # fmt: skip


def foreign_registers(changes: dict[tuple[int, str], int | None]) -> list[int]:
    values = {**FOREIGN, **changes}
    registers = list(MARKER)
    for model_id in FOREIGN_ORDER:
        for name, point in MODELS[model_id].points.items():
            value: int | str | None = values.get((model_id, name))
            value = {"ID": model_id, "L": MODELS[model_id].size - 2}.get(name, value)
            registers += point.encode(value)
    return [*registers, *END]


@asynccontextmanager
async def foreign(changes: dict[tuple[int, str], int | None] | None = None) -> AsyncIterator[SunSpecCharger]:
    """A controller of a foreign charger with these registers."""
    registers = foreign_registers(changes or {})
    device = SimDevice(id=1, simdata=[SimData(BASE, values=registers, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    controller = SunSpecCharger("theirs", "127.0.0.1", port, HandClock().outstanding)
    try:
        yield controller
    finally:
        controller.close()
        await server.shutdown()  # type: ignore[no-untyped-call]


async def test_the_controller_is_the_agents_port() -> None:
    controller: Charger = SunSpecCharger("c", "127.0.0.1", 1, HandClock().outstanding)
    assert controller.charger_id == "c"


async def test_an_empty_charger_is_unplugged_and_has_no_battery() -> None:
    async with running() as (_, _, (charger,)):
        reading = await charger.read()
        assert reading.state is ChargerState.UNPLUGGED
        assert not reading.connected
        assert (reading.soc_percent, reading.energy_kwh, reading.capacity_kwh) == (None, None, None)


async def test_without_orders_it_charges_with_all_it_has_until_the_target() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0", target_soc=0.6)
        reading = await charger.read()
        assert (reading.power_kw, reading.state) == (11.0, ChargerState.CHARGING)
        assert (reading.soc_percent, reading.energy_kwh, reading.capacity_kwh) == (50.0, 30.0, 60.0)
        assert (reading.max_charge_kw, reading.max_discharge_kw) == (11.0, 10.0)
        clock.passes(3600)
        reading = await charger.read()
        assert (reading.power_kw, reading.soc_percent, reading.state) == (0.0, 60.0, ChargerState.IDLE)
        assert reading.meter_kwh == pytest.approx(6.0 / 0.94, abs=1e-4)


async def test_an_order_is_followed_at_once_and_its_sign_is_ours() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(-5.0, 900)
        assert ((await charger.read()).power_kw, (await charger.read()).state) == (-5.0, ChargerState.DISCHARGING)
        clock.passes(600)
        assert (await charger.read()).meter_kwh == pytest.approx(-5.0 / 6, abs=1e-4)
        await charger.set_power(3.0, 900)
        assert (await charger.read()).power_kw == 3.0
        await charger.release()
        assert (await charger.read()).power_kw == 11.0


async def test_an_order_reverts_after_its_time_and_a_new_one_winds_it_up_again() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(2.0, 900)
        clock.passes(899)
        assert (await charger.read()).power_kw == 2.0
        await charger.set_power(2.0, 900)
        clock.passes(899)
        assert (await charger.read()).power_kw == 2.0
        clock.passes(1)
        assert (await charger.read()).power_kw == 11.0


async def test_the_energy_before_and_after_a_reversion_nobody_saw_is_counted_apart() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(-6.0, 600)
        clock.passes(1200)
        await charger.read()
        assert park.exported_kwh[0] == pytest.approx(1.0)
        assert park.imported_kwh[0] == pytest.approx(11.0 / 6)


async def test_a_heartbeat_that_stops_ends_the_order() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(0.0, 0)
        await charger.heartbeat()
        clock.passes(299)
        await charger.heartbeat()
        clock.passes(299)
        assert (await charger.read()).power_kw == 0.0
        clock.passes(1)
        assert (await charger.read()).power_kw == 11.0


async def test_without_a_first_heartbeat_none_is_missed() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(1.0, 0)
        clock.passes(100_000)
        assert (await charger.read()).power_kw == 1.0


async def test_the_droop_answers_the_frequency_on_top_of_the_order() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(0.0, 0)
        await charger.set_droop(full_activation_hz=0.2, deadband_hz=0.0, response_s=15.0)
        park.observe(230.0, 49.9)
        assert (await charger.read()).power_kw == pytest.approx(0.0, abs=0.01)
        clock.passes(15)
        assert (await charger.read()).power_kw == pytest.approx(-5.5 * 0.9, abs=0.01)
        clock.passes(600)
        assert (await charger.read()).power_kw == pytest.approx(-5.5, abs=0.01)
        park.observe(230.0, 50.1)
        clock.passes(600)
        assert (await charger.read()).power_kw == pytest.approx(5.5, abs=0.01)
        await charger.stop_droop()
        assert (await charger.read()).power_kw == 0.0


@pytest.mark.parametrize(
    ("curve", "expected_kw"),
    [
        # hz: 49.85, 49.95, 50.05, 50.15, 46, 54; the base is -2 kW, the ratings 11 and -10 kW.
        (DroopCurve(0.0, 0.1, None, 0.4, 0.0), [-3.375, -2, -2, -2, -10, -2]),
        (DroopCurve(0.1, 0.0, 0.4, None, 0.0), [-2, -2, -2, -0.625, -2, 11]),
        (DroopCurve(0.01, 0.02, 0.2, 0.1, 0.0), [-10, -5.3, 0.2, 5.7, -10, 11]),
        (DroopCurve(0.0, 0.0, None, None, 0.0), [-2, -2, -2, -2, -2, -2]),
    ],
)
async def test_a_curve_has_each_direction_for_itself_or_not_at_all(curve: DroopCurve, expected_kw: list[float]) -> None:
    async with running() as (_, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(-2.0, 0)
        await charger.set_droop_curve(curve)
        powers = []
        for hz in (49.85, 49.95, 50.05, 50.15, 46.0, 54.0):
            park.observe(230.0, hz)
            powers.append((await charger.read()).power_kw)
    assert powers == pytest.approx(expected_kw, abs=0.001)


async def test_a_curves_numbers_stand_in_the_second_and_then_the_current_control_set() -> None:
    async with running() as (_, park, (charger,)):
        await charger.set_droop_curve(DroopCurve(0.1, 0.02, 0.4, None, 1.5))
        settings = park._registers[0].settings
        current = {name: settings[711, f"Ctl[0].{name}"] for name in ("DbOf", "DbUf", "KOf", "KUf", "RspTms", "PMin")}
        assert current == {"DbOf": 100, "DbUf": 5_000, "KOf": 800, "KUf": 10_000, "RspTms": 15, "PMin": -100}
        assert settings[711, "Ena"] == 1


@pytest.mark.parametrize(
    "values", [(-0.1, 0.0, 0.2, 0.2, 0.0), (0.0, -0.1, 0.2, 0.2, 0.0), (0.0, 0.0, 0.0, 0.2, 0.0), (0, 0, 1, -1, 0)]
)
def test_a_curve_that_cannot_be_is_none(values: tuple[float, float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="is no droop"):
        DroopCurve(*values)


async def test_a_charger_that_ignores_takes_setpoint_and_droop_and_goes_by_its_own_plan() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(-5.0, 0)
        park.set_fault("c0", ChargerFault.IGNORES)
        assert (await charger.read()).power_kw == 11.0
        await charger.set_power(3.0, 0)
        await charger.set_droop(full_activation_hz=0.2)
        park.observe(230.0, 49.8)
        clock.passes(60)
        assert (await charger.read()).power_kw == 11.0
        settings = park._registers[0].settings
        assert (settings[704, "WSet"], settings[711, "Ena"]) == (-3000, 1)
        # Well again, it does what its registers say.
        park.set_fault("c0", None)
        assert (await charger.read()).power_kw == pytest.approx(-8.0)


async def test_a_reading_is_one_request() -> None:
    async with running() as (_, park, (charger,)):
        await charger.read()
        asked: list[bytes] = []
        for connection in park._servers[0].active_connections.values():
            connection.trace_packet = lambda sending, data: (asked.append(data) if not sending else None) or data  # type: ignore[attr-defined]
        await charger.read()
        assert len(asked) == 1


async def test_scenario_time_is_held_while_a_charger_is_asked() -> None:
    async with running() as (clock, _, (charger,)):
        await charger.read()
        assert (clock.out, clock.most_out) == (0, 1)


async def test_many_calls_at_once_share_one_connection() -> None:
    async with running() as (_, park, (charger,)):
        readings = await asyncio.gather(*(charger.read() for _ in range(8)), charger.heartbeat())
        assert all(readings[:8])
        assert len(park._servers[0].active_connections) == 1


async def test_an_order_beyond_the_ratings_is_refused_and_changes_nothing() -> None:
    async with running() as (_, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(4.0, 900)
        with pytest.raises(ChargerRefusedError, match=r"charger c0 at 127.* refused the setpoint of 50 kW .*ratings"):
            await charger.set_power(50.0, 900)
        assert (await charger.read()).power_kw == 4.0


@pytest.mark.parametrize(("power_kw", "seconds"), [(float("nan"), 60), (float("inf"), 60), (1.0, -1)])
async def test_an_order_that_is_none_is_our_own_error(power_kw: float, seconds: int) -> None:
    async with running() as (_, _, (charger,)):
        with pytest.raises(ValueError, match="no setpoint"):
            await charger.set_power(power_kw, seconds)


async def test_a_charger_under_local_control_refuses_orders_but_can_be_read() -> None:
    async with running() as (_, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(1.0, 0)
        park.set_local("c0", True)
        assert (await charger.read()).power_kw == 11.0
        with pytest.raises(ChargerRefusedError, match="local control"):
            await charger.set_power(2.0, 900)
        await charger.heartbeat()


async def test_a_silent_charger_is_named_and_works_again_when_it_is_well() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.set_power(2.0, 900)
        park.set_fault("c0", ChargerFault.SILENT)
        for _ in range(2):
            with pytest.raises(ChargerSilentError, match=r"charger c0 at 127\.0\.0\.1:\d+: .*see to the charger"):
                await charger.read()
        clock.passes(901)
        park.set_fault("c0", None)
        assert (await charger.read()).power_kw == 11.0
        assert clock.out == 0


async def test_a_charger_that_is_not_there_is_silent() -> None:
    async with running() as (_, park, (charger,)):
        await park.stop()
        with pytest.raises(ChargerSilentError, match=r"no connection; see that it is switched on"):
            await charger.read()


async def test_a_charger_that_takes_the_question_and_never_answers_is_silent() -> None:
    over = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        charger = SunSpecCharger("c", "127.0.0.1", port, HandClock().outstanding, timeout_s=0.05)
        with pytest.raises(ChargerSilentError, match=r"no answer within 0\.05 s"):
            await charger.read()
        charger.close()
        await over.wait()


async def test_a_call_given_up_does_not_spoil_the_next_one() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.read()
        given_up = asyncio.create_task(charger.read())
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await charger.read()).power_kw == 11.0
        assert clock.out == 0


async def test_nonsense_is_not_passed_on() -> None:
    async with running() as (_, park, (charger,)):
        park.plug_in("c0", "v0")
        park.set_fault("c0", ChargerFault.NONSENSE)
        with pytest.raises(ChargerNonsenseError, match=r"charger c0 .* voltage of 0 V.*do not rely on it"):
            await charger.read()
        park.set_fault("c0", None)
        assert (await charger.read()).soc_percent == 50.0


async def test_a_charger_of_another_maker_is_read_and_driven() -> None:
    async with foreign() as charger:
        reading = await charger.read()
        assert reading.power_kw == pytest.approx(7.4)
        assert reading.voltage_v == pytest.approx(230.1)
        assert reading.frequency_hz == pytest.approx(49.99)
        assert (reading.soc_percent, reading.energy_kwh, reading.capacity_kwh) == (50.0, 30.0, 60.0)
        assert (reading.max_charge_kw, reading.max_discharge_kw, reading.meter_kwh) == (11.0, 10.0, 10.0)
        await charger.heartbeat()
        await charger.set_power(-3.0, 120)
        async with charger._link.asking() as device:
            block = await charger._link.registers(device.address((704, "WSetEna")), 11)
        assert block == [1, 1, 0, 300, 0, 0, 77, 78, 0, 0, 120]
        with pytest.raises(ChargerRefusedError, match="no frequency droop"):
            await charger.set_droop(full_activation_hz=0.2)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({(701, "W"): None}, "reports no power"),
        ({(701, "W"): -150}, r"reports 15 kW, beyond its ratings -10 to 11 kW"),
        ({(701, "W"): 120}, r"reports -12 kW, beyond its ratings"),
        ({(701, "LNV"): 0}, "reports a voltage of 0 V"),
        ({(701, "Hz"): 6_000}, "reports a frequency of 60 Hz"),
        ({(701, "ConnSt"): None}, "reports no connection state"),
        ({(701, "ConnSt"): 0}, "reports 7.4 kW and no vehicle"),
        ({(713, "SoC"): 255}, "reports a state of charge of 255 %"),
        ({(713, "SoC"): None}, "reports no state of charge"),
        ({(713, "WHAvail"): 90}, "reports 90 kWh in a battery of 60 kWh"),
        ({(702, "WChaRteMaxRtg"): None}, "reports no rating WChaRteMaxRtg"),
    ],
)
async def test_every_kind_of_nonsense_has_its_line(changes: dict[tuple[int, str], int | None], fault: str) -> None:
    async with foreign(changes) as charger:
        with pytest.raises(ChargerNonsenseError, match=f"charger theirs at .*{fault}") as raised:
            await charger.read()
        assert "\n" not in str(raised.value)
        assert "127.0.0.1" not in raised.value.fault


async def test_a_device_that_is_no_sunspec_device_is_told_apart() -> None:
    device = SimDevice(id=1, simdata=[SimData(BASE, count=200, values=0, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    charger = SunSpecCharger("c", "127.0.0.1", port, HandClock().outstanding)
    with pytest.raises(ChargerNonsenseError, match="is no SunSpec device"):
        await charger.read()
    charger.close()
    await server.shutdown()  # type: ignore[no-untyped-call]


async def test_a_held_power_gives_way_to_the_later_one_by_itself_and_for_ever() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.hold_power(9.0, for_s=900, then_kw=4.0)
        clock.passes(899)
        assert (await charger.read()).power_kw == 9.0
        clock.passes(1)
        assert (await charger.read()).power_kw == 4.0
        clock.passes(7200)
        assert (await charger.read()).power_kw == 4.0
        await charger.hold_power(6.0, for_s=900, then_kw=0.0)
        clock.passes(900)
        assert ((await charger.read()).power_kw, (await charger.read()).state) == (0.0, ChargerState.IDLE)


async def test_a_held_power_ends_with_the_session() -> None:
    async with running(public=True) as (clock, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.hold_power(9.0, for_s=900, then_kw=4.0)
        park.unplug("c0")
        park.plug_in("c0", "v0")
        clock.passes(1800)
        assert (await charger.read()).power_kw == 0.0


async def test_a_public_charger_draws_nothing_without_an_order_and_stops_at_what_the_driver_has_set() -> None:
    async with running(public=True) as (clock, park, (charger,)):
        park.plug_in("c0", "v0", target_soc=0.6)
        clock.passes(3600)
        reading = await charger.read()
        assert (reading.power_kw, reading.soc_percent, reading.state) == (0.0, 50.0, ChargerState.IDLE)
        await charger.hold_power(11.0, for_s=900, then_kw=5.0)
        clock.passes(7200)
        reading = await charger.read()
        assert (reading.power_kw, reading.soc_percent) == (0.0, 60.0)
        assert reading.meter_kwh == pytest.approx(6.0 / 0.94, abs=1e-4)


async def test_a_power_is_held_from_below_in_what_the_device_resolves() -> None:
    async with running() as (_, park, (charger,)):
        park.plug_in("c0", "v0")
        await charger.hold_power(3.9999, for_s=60, then_kw=0.0)
        assert (await charger.read()).power_kw == 3.999
        await charger.hold_power(4.0, for_s=60, then_kw=0.0)
        assert (await charger.read()).power_kw == 4.0


@pytest.mark.parametrize(("power_kw", "for_s", "then_kw"), [(-1.0, 60, 0.0), (1.0, 0, 0.0), (1.0, 60, float("nan"))])
async def test_what_is_no_power_to_hold_is_refused_before_it_is_sent(
    power_kw: float, for_s: int, then_kw: float
) -> None:
    controller = SunSpecCharger("c", "127.0.0.1", 1, HandClock().outstanding)
    with pytest.raises(ValueError, match="charger c"):
        await controller.hold_power(power_kw, for_s=for_s, then_kw=then_kw)
