"""The scenario of an island is read whole; what is wrong with it is one line for the user, and nothing else happens."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from environment import scenario
from environment.island_scenario import IslandScenario
from run import main
from tests.days import ISLAND, changed

AGENT = "the name {!r} is another agent's; give another"
TWICE = "the name {!r} is used twice; give each its own"


def read(*pairs: tuple[str, str]) -> IslandScenario:
    loaded = scenario.parse(changed(*pairs, text=ISLAND), "t.toml")
    assert isinstance(loaded, IslandScenario)
    return loaded


def fault(kind: str, target: str = "nobody", end: str = "02:00") -> tuple[str, str]:
    table = f'[[fault]]\nkind = "{kind}"\ntarget = "{target}"\nstart = "01:00"\nend = "{end}"\n'
    return "[island]", f"{table}[island]"


def incident(plant: str = "wind", start: str = "05:40", minutes: str = "20") -> tuple[str, str]:
    return "[island]", f'[[incident]]\nplant = "{plant}"\nstart = "{start}"\nminutes = {minutes}\n[island]'


def table(name: str, line: str) -> tuple[str, str]:
    return "[island]", f"[{name}]\n{line}\n[island]"


# ---- what is right ---------------------------------------------------------------------------------------------------


def test_the_portuguese_demonstrator_is_an_island_with_houses_buildings_and_companies() -> None:
    """D5.1, 3.2: V2X managers "will be implemented in houses, buildings, and companies"; geothermal, hydro and wind."""
    portugal = scenario.load("portugal")
    assert isinstance(portugal, IslandScenario)
    assert {manager.kind for manager in portugal.manager} == {"house", "building", "company"}
    assert {plant.kind for plant in portugal.plant} == {"geothermal", "hydro", "wind", "thermal"}
    assert portugal.zone.key == "Atlantic/Azores"
    assert sum(manager.chargers for manager in portugal.manager) >= 30


def test_the_share_is_the_runs_chargers_for_each_of_the_islands_vehicles() -> None:
    assert read().share == 12 / 800
    assert read(("vehicles = 800", "vehicles = 12")).share == 1.0


def test_what_the_file_leaves_out_has_its_default() -> None:
    of = read()
    assert of.incident == ()
    assert of.fault == ()
    assert of.tariff.off_peak_from == time(22)
    assert of.service.penalty_eur_per_kwh == Decimal("0.05")
    assert of.island.least_thermal_units == 2


def test_prices_are_the_decimals_that_were_written() -> None:
    of = read(table("service", "fo_fee_eur_per_kwh = 0.000001"))
    assert of.service.fo_fee_eur_per_kwh == Decimal("0.000001")


def test_timers_are_the_managers_own() -> None:
    assert [manager.charges_from for manager in read().manager] == [time(22), time(22), time(22), None]


# ---- what is wrong ---------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[tuple[str, str], str]] = {
    "two plants of a name": (('"hydro"\nkind', '"wind"\nkind'), f"plant: {TWICE.format('wind')}"),
    "two managers of a name": (('name = "house-2"', 'name = "house-1"'), f"manager: {TWICE.format('house-1')}"),
    "a manager with a plant's name": (
        ('name = "company"', 'name = "wind"'),
        "manager: the name 'wind' is a plant's as well; give each its own",
    ),
    "a manager with the TSO's name": (('name = "company"', 'name = "tso"'), f"manager: {AGENT.format('tso')}"),
    "a manager with a driver's name": (
        ('name = "company"', 'name = "ev-house-1-01"'),
        f"manager: {AGENT.format('ev-house-1-01')}",
    ),
    "a plant with the DSO's name": (('name = "wind"', 'name = "dso"'), f"plant: {AGENT.format('dso')}"),
    "a plant with the directory's name": (
        ('name = "wind"', 'name = "directory"'),
        f"plant: {AGENT.format('directory')}",
    ),
    "a name with a space": (
        ('name = "wind"', 'name = "the wind"'),
        "plant[3].name: string should match pattern '^[a-z][a-z0-9-]*$' (given: 'the wind'); "
        "the value is in lower case letters, digits, hyphens",
    ),
    "a minimum above the capacity": (
        ("minimum_mw = 2.7", "minimum_mw = 27.0"),
        "plant 'small-1': minimum_mw is more than capacity_mw",
    ),
    "a thermal unit without inertia": (
        ("inertia_s = 1.5\n", ""),
        "plant 'small-1': a thermal unit has inertia; give inertia_s, such as 2.0",
    ),
    "too few thermal units": (
        ("vehicles = 800", "vehicles = 800\nleast_thermal_units = 7"),
        "island: least_thermal_units is 7, there are 6",
    ),
    "fewer vehicles than chargers": (
        ("vehicles = 800", "vehicles = 11"),
        "island: 11 vehicles are fewer than the run's chargers; vehicles is the number that the whole island has",
    ),
    "no vehicles": (
        ("vehicles = 800", "vehicles = 0"),
        "island.vehicles: input should be greater than or equal to 1 (given: 0)",
    ),
    "another unit": (
        ("vehicles = 800", "vehicles = 800\ngovernor_ms = 500.0"),
        "island.governor_ms: unknown key; did you mean governor_s?",
    ),
    "a kind of plant that nobody knows": (
        ('kind = "wind"', 'kind = "tidal"'),
        "plant[3].kind: input should be 'geothermal', 'hydro', 'wind' or 'thermal' (given: 'tidal')",
    ),
    "a kind of manager that nobody knows": (
        ('kind = "company"', 'kind = "school"'),
        "manager[4].kind: input should be 'house', 'building' or 'company' (given: 'school')",
    ),
    "a wind profile that is not shipped": (
        ('"WP4"', '"WP13"'),
        "island.wind_profile: string should match pattern '^WP([1-9]|1[0-2])$' (given: 'WP13'); "
        "the value is in WP1 to WP12",
    ),
    "a droop of nothing": (
        ("droop_percent = 5.0", "droop_percent = 0.0"),
        "plant[2].droop_percent: input should be greater than 0 (given: 0.0); the value is in %",
    ),
    "an incident of no plant": (
        incident(plant="tidal"),
        "incident: there is no plant 'tidal'; the first one is 'geothermal'",
    ),
    "an incident of no minutes": (
        incident(minutes="0"),
        "incident[1].minutes: input should be greater than or equal to 1 (given: 0); the value is in minutes",
    ),
    "an incident at no time": (
        incident(start="25:40"),
        "incident[1].start: hour must be in 0..23 (given: '25:40'); the value is in local time, HH:MM",
    ),
    "an idle manager that is not there": (
        fault("manager-idle"),
        "fault: there is no manager 'nobody'; the first one is 'house-1'",
    ),
    "a silent producer that is not there": (
        fault("producer-silent"),
        "fault: there is no producer 'nobody'; the first one is 'geothermal'",
    ),
    "a silent charger that is not there": (
        fault("charger-silent", target="building-07"),
        "fault: there is no charger 'building-07'; the first one is 'building-01'",
    ),
    "a fault of no kind": (
        fault("sun-dark"),
        "fault[1].kind: input should be 'charger-silent', 'charger-nonsense', 'manager-idle', "
        "'producer-silent' or 'agent-silent' (given: 'sun-dark')",
    ),
    "a fault without an end": (
        fault("manager-idle", target="building", end="never"),
        "fault[1].end: invalid isoformat string: 'never' (given: 'never'); the value is in local time, HH:MM",
    ),
    "another number of buses than chargers": (
        ('["LV2.101 Bus 81"]', '["LV2.101 Bus 81", "LV2.101 Bus 78"]'),
        "manager 'company': 2 buses for 4 chargers; name one bus, or one for each charger",
    ),
    "a largest battery below the smallest": (
        ("[80.0, 100.0]", "[100.0, 80.0]"),
        "manager 'house-1': capacity_kwh is [smallest, largest]",
    ),
    "more stored than a battery holds": (
        ("store_up_to_percent = 100.0", "store_up_to_percent = 120.0"),
        "manager[1].store_up_to_percent: input should be less than or equal to 100 (given: 120.0); the value is in %",
    ),
    "a night that is dearer than the day": (
        table("tariff", "grid_off_peak_eur_per_kwh = 0.5"),
        "tariff: grid_off_peak_eur_per_kwh is more than grid_peak_eur_per_kwh",
    ),
    "a price below nothing": (
        table("tariff", "energy_eur_per_kwh = -0.01"),
        "tariff.energy_eur_per_kwh: input should be greater than or equal to 0 (given: -0.01); the value is in EUR",
    ),
    "a price that no message can carry": (
        table("tariff", "energy_eur_per_kwh = 0.12345678"),
        "tariff.energy_eur_per_kwh: decimal input should have no more than 6 decimal places (given: 0.12345678); "
        "the value is in EUR",
    ),
    "a fee that no message can carry": (
        table("service", "fo_fee_eur_per_kwh = 0.0000001"),
        "service.fo_fee_eur_per_kwh: decimal input should have no more than 6 decimal places (given: 1e-07); "
        "the value is in EUR",
    ),
    "a margin as wide as the band": (
        ("[grid]", "[grid]\nvoltage_band_percent = 0.5"),
        "service: voltage_margin_percent leaves nothing of grid.voltage_band_percent",
    ),
    "volts for per unit": (
        ("source_pu = 1.03", "source_pu = 230.0"),
        "grid.source_pu: input should be less than or equal to 1.1 (given: 230.0); the value is in per unit",
    ),
    "a bus with two meters": (
        ('metered = ["LV2.101 Bus 78"', 'metered = ["LV2.101 Bus 21"'),
        "grid: metered names 'LV2.101 Bus 21' twice; a bus has one meter",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_in_an_island_is_one_line_for_the_user(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (old, new), line = WRONG[name]
    assert old in ISLAND
    monkeypatch.chdir(tmp_path)
    Path("t.toml").write_text(ISLAND.replace(old, new, 1), encoding="utf-8")
    assert main(["t.toml", "--out", "out", "--quiet"]) == 3
    assert capsys.readouterr().err == f"run.py: t.toml: {line}\n"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'buses = ["LV2.101 Bus 81"]',
            'buses = ["nowhere"]',
            "t.toml: manager[4].buses: network 'rural2' has no low-voltage bus 'nowhere'",
        ),
        (
            '["LV2.101 Bus 78",',
            '["nowhere",',
            "t.toml: grid.metered: network 'rural2' has no low-voltage bus 'nowhere'",
        ),
        ('"48-AL1/8-ST1A 0.4"', '"copper"', "network 'rural2': no low-voltage line type 'copper'; there is "),
    ],
    ids=["a charger's bus", "a meter's bus", "a type of line"],
)
def test_what_the_network_does_not_have_is_one_line_as_well(
    old: str,
    new: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert old in ISLAND
    monkeypatch.chdir(tmp_path)
    Path("t.toml").write_text(ISLAND.replace(old, new, 1), encoding="utf-8")
    assert main(["t.toml", "--out", "out", "--quiet"]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith(f"run.py: {line}")
    assert shown.count("\n") == 1


@pytest.mark.parametrize("missing", ["plant", "manager"])
def test_an_island_needs_plants_and_managers(missing: str) -> None:
    with pytest.raises(scenario.ScenarioError) as error:
        scenario.parse(ISLAND.replace(f"[[{missing}]]", "[[fault]]"), "t.toml")
    assert f"t.toml: {missing}: is missing" in str(error.value).splitlines()
