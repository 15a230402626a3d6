"""A scenario of public stations is read whole; what is wrong with it is one line that says where, and what to do."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal

import pytest

from environment import scenario
from environment.public_scenario import PublicScenario

TEXT = (scenario.SCENARIOS / "greece.toml").read_text(encoding="utf-8")


def read(*pairs: tuple[str, str]) -> PublicScenario:
    text = TEXT
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    loaded = scenario.parse(text, "t.toml")
    assert isinstance(loaded, PublicScenario)
    return loaded


def test_the_greek_demonstrator_has_hedno_ppc_and_a_second_operator_on_one_feeder() -> None:
    """D5.1, 3.4.2: "a CPO, PPC in case of the Greek demonstrator"; the DSO is HEDNO."""
    greece = read()
    assert greece.dso.name == "hedno"
    assert [cpo.name for cpo in greece.cpo] == ["ppc", "second-cpo"]
    assert [len(greece.stations(cpo)) for cpo in ("ppc", "second-cpo")] == [5, 3]
    assert len(greece.stations()) == 8
    assert list(greece.grids) == [""]
    assert greece.grid.network == "cigre_mv"
    assert greece.sites == ()


def test_the_contracts_run_from_the_monday_after_the_auction() -> None:
    greece = read()
    assert greece.begins.isoformat() == "2026-06-07T12:00:00+03:00"
    assert greece.ends.isoformat() == "2026-06-15T12:00:00+03:00"
    assert (greece.period_start, greece.period_end) == (date(2026, 6, 8), date(2026, 7, 6))
    assert greece.period_start.strftime("%A") == "Monday"
    assert greece.window == (time(17), time(22))


def test_a_station_has_its_chargers_under_names_of_their_own() -> None:
    site = read().stations("second-cpo")[0]
    assert site.station_id == "koropi-market"
    assert site.charger_ids == tuple(f"koropi-market-0{number}" for number in range(1, 6))
    assert (site.location, site.charger_kw, site.connection_kw) == ("Bus 6", 60.0, 300.0)


def test_prices_are_the_decimals_that_were_written_and_a_day_has_96_quarters() -> None:
    greece = read()
    assert greece.cpo[0].usual_eur_per_kwh == Decimal("0.58")
    quarters = greece.energy_by_quarter()
    assert len(quarters) == 96
    assert quarters[80:84] == (0.182,) * 4


def test_drivers_have_the_names_of_agents() -> None:
    people = read().people
    assert people.names()[0] == "driver-001"
    assert people.names()[-1] == "driver-300"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('name = "second-cpo"', 'name = "ppc"', "cpo: the name 'ppc' is used twice; give each its own"),
        (
            'name = "koropi-square"',
            'name = "koropi-east"',
            "station: the name 'koropi-east' is used twice; give each its own",
        ),
        ('name = "between"', 'name = "koropi"', "place: the name 'koropi' is used twice; give each its own"),
        (
            'operator = "fmo"',
            'operator = "hedno"',
            "auction: operator: the name 'hedno' is another agent's; give another",
        ),
        ('name = "hedno"', 'name = "driver-007"', "dso: the name 'driver-007' is another agent's; give another"),
        ('name = "hedno"', 'name = "driver-page"', "dso: the name 'driver-page' is another agent's; give another"),
        (
            'cpo = "ppc"\nbus = "Bus 4"',
            'cpo = "dei"\nbus = "Bus 4"',
            "station 'koropi-east': its cpo 'dei' is not among ppc, second-cpo",
        ),
        (
            "connection_kw = 300.0",
            "connection_kw = 301.0",
            "station 'koropi-east': connection_kw 301 is more than its 5 chargers draw, 300 kW",
        ),
        (
            "connection_kw = 300.0",
            "connection_kw = 60.0",
            "station 'koropi-east': connection_kw 60 is not above the auction's lowest_limit_kw 60; "
            "it could offer nothing",
        ),
        (
            '[[cpo]]\nname = "ppc"',
            '[[cpo]]\nname = "idle"\nusual_eur_per_kwh = 0.5\nmargin_eur_per_kwh = 0.1\n[[cpo]]\nname = "ppc"',
            "cpo 'idle': has no station; leave it out",
        ),
        (
            'window_until = "22:00"',
            'window_until = "16:00"',
            "auction: window_until is not after window_from; the window lies within one day",
        ),
        (
            'window_from = "17:00"',
            'window_from = "17:10"',
            "auction: window_from is 17:10; it must begin on a quarter of an hour",
        ),
        (
            'window_until = "22:00"',
            'window_until = "22:00:30"',
            "auction: window_until is 22:00:30; it must end on a quarter of an hour",
        ),
        ("least_points = 2", "least_points = 17", "auction: most_points is less than least_points"),
        (
            "most_activations = 12",
            "most_activations = 29",
            "auction: most_activations is 29, and the period has 28 days",
        ),
        ('opens_at = "12:15"', 'opens_at = "11:00"', "auction: opens_at is before the run begins at 12:00"),
        (
            "gate_closure_minutes = 30",
            "gate_closure_minutes = 595",
            "auction: activates_at is 14:00, before the first contracts can be concluded",
        ),
        (
            'opens_at = "12:15"',
            'opens_at = "23:30"',
            "auction: opens_at is 23:30 and gate_closure_minutes 30, so the gate closes at 00:00 of the next day; "
            "it must close before 23:45, as contracts begin at midnight",
        ),
        (
            'opens_at = "12:15"',
            'opens_at = "23:15"',
            "auction: opens_at is 23:15 and gate_closure_minutes 30, so the gate closes at 23:45; "
            "it must close before 23:45, as contracts begin at midnight",
        ),
        (
            "notice_minutes = 720",
            "notice_minutes = 1700",
            "auction: notice_minutes is 1700, and from activates_at until the next day's window there are 1620",
        ),
        ("[people]", "[drivers]\nunwilling_share = 0.1\n[people]", "drivers: here they are in the table people"),
        ('kind = "work"', 'kind = "shop"', "place[4].kind: input should be 'home' or 'work' (given: 'shop')"),
        ("    0.105, 0.098,", "    0.098,", "energy.eur_per_kwh: 23 prices; a day has 24, one each hour"),
        ('last_hour = "16:00"', 'last_hour = "06:00"', "pricing: last_hour is not after first_hour"),
        (
            "most_reduction_eur_per_kwh = 0.12",
            "most_reduction_eur_per_kwh = 0.13",
            "pricing: most_reduction_eur_per_kwh is more than network_eur_per_kwh; nobody is paid for network use",
        ),
        (
            "horizon_hours = 8",
            "horizon_hours = 1",
            "pricing: lead_minutes is not less than horizon_hours; there would be no hour left to announce",
        ),
        (
            "usual_eur_per_kwh = 0.55",
            "usual_eur_per_kwh = 0.08",
            "cpo 'second-cpo': usual_eur_per_kwh is less than network use costs",
        ),
        ("battery_kwh = [40.0, 77.0]", "battery_kwh = [77.0, 40.0]", "people: battery_kwh must be [smallest, largest]"),
        (
            "margin_eur_per_kwh = 0.13",
            "margin_eur_per_kwh = 0.551",
            "cpo 'second-cpo': margin_eur_per_kwh 0.551 is more than usual_eur_per_kwh 0.55",
        ),
        (
            "latitude_deg = 37.8985\nlongitude_deg = 23.8840",
            "latitude_deg = 23.8840\nlongitude_deg = 37.8985",
            "station 'koropi-east': is 2044 km from the nearest place, 'markopoulo'; drivers go 8 km at most "
            "(are latitude_deg and longitude_deg right?)",
        ),
        ('kind = "work"\n', "", "place[4].kind: is missing; it is 'home' or 'work'"),
        ("drivers = 300", "drivers = 0", "people.drivers: input should be greater than or equal to 1 (given: 0)"),
        ("chargers = 5", "charger = 5", "station[1].charger: unknown key; did you mean chargers?"),
        (
            "latitude_deg = 37.8985",
            "latitude_deg = 378.985",
            "station[1].latitude_deg: input should be less than or equal to 90 (given: 378.985); "
            "the value is in degrees north",
        ),
        (
            "[people]",
            '[[fault]]\nkind = "charger-silent"\ntarget = "x"\nstart = "01:00"\nend = "02:00"\n[people]',
            "fault: there is no charger 'x'; the first one is 'koropi-east-01'",
        ),
        (
            "[people]",
            '[[fault]]\nkind = "meter-lost"\ntarget = "x"\nstart = "01:00"\nend = "02:00"\n[people]',
            "fault[1].kind: input should be 'charger-silent', 'charger-nonsense', 'charger-ignores' or 'agent-silent' "
            "(given: 'meter-lost')",
        ),
    ],
)
def test_what_is_wrong_is_one_line(old: str, new: str, line: str) -> None:
    with pytest.raises(scenario.ScenarioError) as raised:
        read((old, new))
    assert f"t.toml: {line}" in str(raised.value).splitlines()
