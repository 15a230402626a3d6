"""A scenario of campuses is read whole; what is wrong with it is one line that says where, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from environment import scenario
from environment.campus_scenario import CampusScenario
from environment.world import faults_at
from protocols.exchanges.frequency_services import Control
from protocols.exchanges.vocabulary import FcrProduct

TEXT = (scenario.SCENARIOS / "denmark.toml").read_text(encoding="utf-8")


def changed(*pairs: tuple[str, str]) -> str:
    text = TEXT
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def read(*pairs: tuple[str, str]) -> CampusScenario:
    loaded = scenario.parse(changed(*pairs), "t.toml")
    assert isinstance(loaded, CampusScenario)
    return loaded


def fault(kind: str, target: str) -> tuple[str, str]:
    table = f'[[fault]]\nkind = "{kind}"\ntarget = "{target}"\nstart = "01:00"\nend = "02:00"\n'
    return "[retail]", f"{table}[retail]"


def test_the_danish_demonstrator_has_both_campuses_of_d51_and_about_forty_chargers() -> None:
    """D5.1, 3.3: "two locations, Campus Bornholm and DTU campus Risoe in Roskilde"; BEOF is Bornholm's DSO."""
    denmark = scenario.load("denmark")
    assert isinstance(denmark, CampusScenario)
    assert [(campus.name, campus.dso) for campus in denmark.campus] == [("bornholm", "beof"), ("risoe", "cerius")]
    assert 38 <= sum(lot.chargers for lot in denmark.lot) <= 44
    assert {(lot.campus, lot.kind) for lot in denmark.lot} == {
        (campus, kind) for campus in ("bornholm", "risoe") for kind in ("office", "pool")
    }
    assert {(fcr.product, fcr.control) for fcr in denmark.fcr} == {
        (FcrProduct.FCR_N, Control.LOCAL),
        (FcrProduct.FCR_D_UP, Control.CENTRAL),
    }
    assert denmark.begins.hour == 15
    assert denmark.begins.strftime("%A") == "Tuesday"


def test_its_networks_have_the_names_of_its_campuses() -> None:
    denmark = read()
    assert list(denmark.grids) == ["bornholm", "risoe"]
    assert denmark.place_of(denmark.lot[0], "LV2.101 Bus 81") == "bornholm LV2.101 Bus 81"


def test_a_lot_in_frequency_control_has_a_meter_and_a_backup() -> None:
    denmark = read()
    assert set(denmark.meters) == {f"{lot}-{m}" for lot in ("bornholm-pool", "risoe-pool") for m in ("main", "backup")}
    fcr = denmark.fcr_of("risoe-pool")
    assert fcr is not None
    assert fcr.lot == "risoe-pool"
    assert denmark.fcr_of("risoe-staff") is None


def test_the_next_time_of_a_clock_may_be_on_the_next_day() -> None:
    denmark = read()
    after = datetime(2026, 1, 13, 18, 40, tzinfo=UTC)  # 19:40 by its clocks
    assert denmark.next_at(time(20), after).isoformat() == "2026-01-13T20:00:00+01:00"
    assert denmark.next_at(time(19), after).isoformat() == "2026-01-14T19:00:00+01:00"
    assert denmark.next_at(time(19, 40), after) == after


def test_a_charger_may_ignore_what_it_is_told_and_a_meter_be_lost() -> None:
    broken = read(fault("charger-ignores", "risoe-pool-03"), fault("meter-lost", "risoe-pool-main"))
    night = datetime(2026, 1, 14, 0, 30, tzinfo=UTC)
    assert {name: str(each) for name, each in faults_at(broken, night).items()} == {"risoe-pool-03": "charger-ignores"}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            'dso = "cerius"',
            'dso = "beof"',
            "campus: the dso 'beof' is used twice; each network has its own",
        ),
        (
            'name = "risoe"\n',
            'name = "bornholm"\n',
            "campus: the name 'bornholm' is used twice; give each its own",
        ),
        (
            'dso = "cerius"',
            'dso = "energinet"',
            "campus: dso: the name 'energinet' is another agent's; give another",
        ),
        ('tso = "energinet"', 'tso = "observer"', "area: tso: the name 'observer' is another agent's; give another"),
        (
            'name = "risoe-staff"',
            'name = "beof"',
            "lot: the name 'beof' is another agent's; give another",
        ),
        (
            'name = "risoe-staff"',
            'name = "risoe-pool"',
            "lot: the name 'risoe-pool' is used twice; give each its own",
        ),
        (
            'campus = "risoe"\nkind = "office"',
            'campus = "roskilde"\nkind = "office"',
            "lot 'risoe-staff': its campus 'roskilde' is not among bornholm, risoe",
        ),
        (
            '[[signal]]\ncampus = "risoe"',
            '[[signal]]\ncampus = "mars"',
            "signal: there is no campus 'mars'; there is bornholm, risoe",
        ),
        (
            'lot = "risoe-pool"',
            'lot = "risoe"',
            "fcr: there is no lot 'risoe'; there is bornholm-pool, bornholm-residence, "
            "bornholm-staff, risoe-pool, risoe-residence, risoe-staff",
        ),
        (
            'lot = "risoe-pool"',
            'lot = "bornholm-pool"',
            "fcr: the lot 'bornholm-pool' is named twice; a lot gives one product",
        ),
        (
            'product = "fcr-n"',
            'product = "fcr-ce"',
            "fcr of 'bornholm-pool': fcr-ce is Continental Europe's; the area is Nordic: fcr-d-down, fcr-d-up, fcr-n",
        ),
        (
            'first_hour = "01:00"',
            'first_hour = "00:30"',
            "fcr of 'bornholm-pool': first_hour is 00:30; capacity is bought by whole hours, write 00:00",
        ),
        (
            'first_hour = "01:00"',
            'first_hour = "05:00"',
            "fcr of 'bornholm-pool': first_hour and last_hour are the same; give when delivery begins and when it ends",
        ),
        (
            "nem_disable_minutes = 35.0",
            "nem_disable_minutes = 25.0",
            "fcr of 'bornholm-pool': nem_disable_minutes: "
            "energy management of FCR-N ends at 32 to 57.5 minutes, not at 25",
        ),
        (
            'test_from = "17:30"',
            'test_from = "17:15"',
            "fcr of 'bornholm-pool': test_from is not after application; the TSO must know before it tests",
        ),
        (
            'first_hour = "21:00"',
            'first_hour = "19:00"',
            "fcr of 'risoe-pool': first_hour is 19:00, and the test from 18:00 cannot be over before 19:48",
        ),
        (
            "capacity_kw = 24.0",
            "capacity_kw = 61.0",
            "fcr of 'risoe-pool': capacity_kw 61 needs 61.0 kW, and its 6 chargers discharge 60 kW",
        ),
        (
            "capacity_kw = 12.0",
            "capacity_kw = 45.0",
            "fcr of 'bornholm-pool': capacity_kw 45 needs 60.3 kW, and its 6 chargers discharge 60 kW",
        ),
        (
            "[0.052, 0.049,",
            "[0.049,",
            "retail.spot_eur_per_kwh[1]: 23 prices; a day has 24, one each hour",
        ),
        (
            "[retail]",
            '[retail]\npeak_from = "05:00"',
            "retail: high_from, peak_from and peak_until must follow in time",
        ),
        (
            'until = "23:00"',
            'until = "22:00"',
            "price_change: start and until are the same; give the hours whose price is another",
        ),
        (
            'until = "10:35"',
            'until = "10:05"',
            "signal: at and until are the same; give the time in which the limit holds",
        ),
        (*fault("meter-frozen", "risoe-staff-main"), "fault: there is no meter 'risoe-staff-main'; there is "
         "bornholm-pool-backup, bornholm-pool-main, risoe-pool-backup, risoe-pool-main"),
        (*fault("charger-ignores", "x"), "fault: there is no charger 'x'; the first one is 'bornholm-pool-01'"),
        (
            "represents = 10000",
            "represents = 0",
            "area.represents: input should be greater than or equal to 1 (given: 0)",
        ),
        ("mw = 1100.0", "mw = -5.0", "trip[1].mw: input should be greater than 0 (given: -5.0); the value is in MW"),
        ("limit_percent = 60.0", "limit = 60.0", "signal[1].limit: unknown key; did you mean limit_percent?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(old: str, new: str, line: str) -> None:
    with pytest.raises(scenario.ScenarioError) as raised:
        read((old, new))
    assert f"t.toml: {line}" in str(raised.value).splitlines()


@pytest.mark.parametrize("kind", ["manager-idle", "producer-silent"])
def test_faults_of_other_demonstrators_are_refused(kind: str) -> None:
    with pytest.raises(scenario.ScenarioError, match=r"fault\[2\].kind: input should be 'charger-silent'"):
        read(fault(kind, "risoe-pool"))


@pytest.mark.parametrize("name", ["slovenia", "portugal"])
def test_there_is_no_meter_to_lose_elsewhere(name: str) -> None:
    text = (scenario.SCENARIOS / f"{name}.toml").read_text(encoding="utf-8")
    table = '[[fault]]\nkind = "meter-lost"\ntarget = "x"\nstart = "01:00"\nend = "02:00"\n'
    with pytest.raises(scenario.ScenarioError, match=r"fault\[1\].kind: input should be 'charger-silent'"):
        scenario.parse(f"{text}\n{table}", "t.toml")
