"""A scenario is read whole, and each fault in it is one line that says where and what to do."""

from __future__ import annotations

import json
import tomllib
from datetime import date, time, timedelta

import pytest

from environment import scenario
from environment.grid import GridError
from environment.launcher import streams
from environment.world import Plant, build

TEXT = (scenario.SCENARIOS / "slovenia.toml").read_text(encoding="utf-8")


def test_the_slovenian_demonstrator_has_the_office_of_d51_and_at_least_thirty_chargers() -> None:
    """D5.1, 3.1: ABB installs 5 charging stations at the office; households have V2X stations as well."""
    slovenia = scenario.load("slovenia")
    offices = [site for site in slovenia.site if site.kind == "office"]
    assert [site.chargers for site in offices] == [5]
    assert sum(site.chargers for site in slovenia.site) >= 30
    assert len(slovenia.vpp) == 2, "two virtual power plants compete"


def test_a_seed_and_days_given_on_the_command_line_replace_the_scenarios() -> None:
    changed = scenario.load("slovenia", seed=7, days=2)
    assert (changed.scenario.seed, changed.scenario.days) == (7, 2)
    assert changed.ends - changed.begins == timedelta(days=2)


@pytest.mark.parametrize(("start", "hours"), [("2026-03-28", 23), ("2026-10-24", 25), ("2026-03-18", 24)])
def test_a_run_over_the_change_of_clocks_is_23_or_25_hours_long(start: str, hours: int) -> None:
    changed = scenario.parse(TEXT.replace("2026-03-18", start), "t.toml")
    begins, ends = changed.begins.astimezone(tz=None), changed.ends.astimezone(tz=None)
    assert (ends.timestamp() - begins.timestamp()) / 3600 == hours


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "max_charge_kw = 11.0",
            "max_charge_w = 11000.0",
            "t.toml: site[1].max_charge_w: unknown key; did you mean max_charge_kw?",
        ),
        (
            "max_charge_kw = 11.0",
            "max_charge_kw = 11000.0",
            "t.toml: site[1].max_charge_kw: input should be less than or equal to 400 (given: 11000.0); "
            "the value is in kW",
        ),
        (
            "max_charge_kw = 11.0",
            'max_charge_kw = "11 kW"',
            "t.toml: site[1].max_charge_kw: input should be a valid number (given: '11 kW'); the value is in kW",
        ),
        (
            "Europe/Ljubljana",
            "Mars/Olympus",
            "t.toml: scenario.timezone: 'Mars/Olympus' is not a time zone; "
            "use a name such as Europe/Ljubljana (given: 'Mars/Olympus')",
        ),
        ('vpp = "vpp2"', 'vpp = "vpp9"', "t.toml: cpo 'cpo3': its vpp 'vpp9' is not among vpp1, vpp2"),
        ('cpo = "cpo3"', 'cpo = "cpo9"', "t.toml: site 'home': its cpo 'cpo9' is not among cpo1, cpo2, cpo3"),
        ('name = "vpp2"', 'name = "vpp1"', "t.toml: vpp: the name 'vpp1' is used twice; give each its own"),
        (
            'buses = ["office"]',
            'buses = ["a", "b"]',
            "t.toml: site 'office': 2 buses for 5 chargers; name one bus, or one for each charger",
        ),
        (
            "[product]",
            '[[fault]]\nkind = "charger-silent"\ntarget = "x"\nstart = "18:00"\nend = "19:00"\n[product]',
            "t.toml: fault: there is no charger 'x'; the first one is 'home-01'",
        ),
        (
            'name = "vpp2"',
            'name = "dso"',
            "t.toml: cpo 'cpo3': its vpp 'vpp2' is not among dso, vpp1",
        ),
        (
            'name = "cpo3"\nvpp = "vpp2"',
            'name = "tso"\nvpp = "vpp2"',
            "t.toml: site 'home': its cpo 'cpo3' is not among cpo1, cpo2, tso",
        ),
        (
            "[[site]]",
            '[[cpo]]\nname = "fmo"\nvpp = "vpp1"\n\n[[site]]',
            "t.toml: vpp or cpo 'fmo': that is the name of another agent; give it its own",
        ),
        (
            "[[site]]",
            '[[cpo]]\nname = "vpp1"\nvpp = "vpp1"\n\n[[site]]',
            "t.toml: cpo 'vpp1': that is a vpp's name; give it its own",
        ),
        (
            "[product]",
            '[market]\nneed = "13:00+01:00"\n[product]',
            "t.toml: market.need: a time of the day has no offset; write HH:MM (given: '13:00+01:00');"
            " the value is in local time, HH:MM",
        ),
        (
            "[grid]",
            "[grid]\nsource_pu = 2.0",
            "t.toml: grid.source_pu: input should be less than or equal to 1.1 (given: 2.0); the value is in per unit",
        ),
        ("[product]", "[product]\nnotice_minutes = 15.5", None),
        ("[grid]", "[grid", None),
        ("[product]", '[market]\ngate_closure = "23:30"\n[product]', None),
    ],
)
def test_a_fault_is_one_line_with_its_place(old: str, new: str, line: str | None) -> None:
    assert old in TEXT
    with pytest.raises(scenario.ScenarioError) as error:
        scenario.parse(TEXT.replace(old, new, 1), "t.toml")
    lines = str(error.value).splitlines()
    assert all(text.startswith("t.toml: ") for text in lines)
    if line is not None:
        assert line in lines


def test_every_fault_is_told_not_the_first_alone() -> None:
    wrong = TEXT.replace("Europe/Ljubljana", "Mars/X").replace("chargers = 5", "chargers = 0")
    with pytest.raises(scenario.ScenarioError) as error:
        scenario.parse(wrong, "t.toml")
    assert len(error.value.faults) == 2


def test_a_larger_transformer_is_the_networks_own_type_by_name() -> None:
    """A quarter with more chargers than the shipped network was made for."""
    larger = TEXT.replace("[grid]", '[grid]\ntransformer = "0.63 MVA 20/0.4 kV Dyn5 ASEA"')
    assert plant_of(TEXT).grid.transformer_kva == 160
    assert plant_of(larger).grid.transformer_kva == 630


def test_an_unknown_transformer_is_one_line_with_those_that_there_are() -> None:
    with pytest.raises(GridError) as error:
        plant_of(TEXT.replace("[grid]", '[grid]\ntransformer = "1 GVA"'))
    assert str(error.value).startswith("network 'rural2': no transformer type '1 GVA'; there is 0.16 MVA 20/0.4 kV ")
    assert "\n" not in str(error.value)


def plant_of(text: str) -> Plant:
    parsed = scenario.parse(text, "t.toml")
    return build(parsed, streams(parsed.scenario.seed))


def test_an_unknown_scenario_names_those_that_exist() -> None:
    with pytest.raises(scenario.ScenarioError, match=r"atlantis: no such scenario; there are .*slovenia"):
        scenario.load("atlantis")


@pytest.mark.parametrize(
    "text",
    [
        scenario.load("slovenia").text,
        '# a\n[scenario] # b\nseed = 1 # mine\n\nname = "x"\n[grid]\nseed = 4\n',
        '[grid]\nname = "g"\n  [scenario]\n  name = "seed = 3"\n',
        "[scenario]",
    ],
)
def test_the_text_of_a_scenario_has_the_values_that_the_command_line_gave(text: str) -> None:
    changed = scenario._with_values(text, {"seed": 12, "days": 3})
    before, after = tomllib.loads(text), tomllib.loads(changed)
    assert after == before | {"scenario": before["scenario"] | {"seed": 12, "days": 3}}
    comments = [line.partition("#")[2] for line in text.splitlines()]
    assert [line for line in comments if line] == [c for line in changed.splitlines() if (c := line.partition("#")[2])]


def test_the_text_of_a_scenario_is_that_scenario() -> None:
    loaded = scenario.load("slovenia", seed=7, days=2)
    again = scenario.parse(loaded.text, "slovenia.toml")
    assert (again, again.scenario.seed, again.scenario.days) == (loaded, 7, 2)
    assert scenario.load("slovenia").text == (scenario.SCENARIOS / "slovenia.toml").read_text(encoding="utf-8")


def test_the_text_has_texts_dates_and_times_that_were_given_as_toml_writes_them() -> None:
    given = {"timezone": "Atlantic/Azores", "start": date(2026, 5, 27), "start_time": time(9), "title": 'a "b" \\1 # c'}
    loaded = scenario.load("slovenia", **given)
    table = tomllib.loads(loaded.text)["scenario"]
    assert {key: table[key] for key in given} == given
    hash_in_text = TEXT.replace('title = "', 'title = "# ', 1)
    told = scenario.parse(hash_in_text, "x.toml", title="other").text
    assert tomllib.loads(told)["scenario"]["title"] == "other"


def test_a_scenario_table_that_is_written_inline_has_no_text_once_the_command_line_changed_it() -> None:
    inline = 'scenario = { seed = 1, name = "x" }\n'
    assert scenario._with_values(inline, {"seed": 2}) == inline
    body = TEXT.partition("[grid]")
    table = tomllib.loads(TEXT)["scenario"]
    start = table.pop("start").isoformat()
    written = ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    text = f"scenario = {{ start = {start}, {written} }}\n[grid]{body[2]}"
    assert scenario.parse(text, "inline.toml").text == text
    assert scenario.parse(text, "inline.toml", seed=9).text == ""
