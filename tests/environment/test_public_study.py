"""The DSO's study: what it expects is made of what is over, and its power flow is the network's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest

from agents.decisions.choice import ChoiceModel
from environment import scenario
from environment.grid import GridError
from environment.networks import Networks
from environment.profiles import Profiles, standard_offset
from environment.public_history import PublicHistory
from environment.public_scenario import PublicScenario
from environment.public_study import Study, quarters_of

NOW = datetime(2026, 6, 7, 9, 20, tzinfo=UTC)
MONDAY = date(2026, 6, 8)
EVENING = (time(17), time(22))
WEAK = ("Bus 8", "Bus 7", "Bus 9", "Bus 10", "Bus 11")


def greece() -> PublicScenario:
    loaded = scenario.load("greece")
    assert isinstance(loaded, PublicScenario)
    return loaded.model_copy(update={"people": loaded.people.model_copy(update={"drivers": 60})})


@pytest.fixture(scope="module")
def history() -> PublicHistory:
    return PublicHistory(greece(), ChoiceModel(), np.random.default_rng(3), 14)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    zone = greece().zone
    return Networks.load(greece().grids, standard_offset(zone, 2026)).members[0].profiles


@pytest.fixture(scope="module")
def study(profiles: Profiles, history: PublicHistory) -> Study:
    return made(profiles, history, lambda: NOW)


def made(profiles: Profiles, history: PublicHistory, now: Callable[[], datetime], seed: int = 7) -> Study:
    return Study(profiles, greece().stations(), history, greece().zone, now, seed)


def behind(study: Study, p_kw: np.ndarray) -> np.ndarray:
    """What is drawn behind the weak line."""
    return np.asarray(p_kw[..., [study.buses.index(bus) for bus in WEAK]].sum(axis=-1))


def test_it_knows_what_each_line_feeds_and_carries(study: Study) -> None:
    assert study.sections["Line 3-8"] == WEAK
    assert study.sections["Line 5-6"] == ("Bus 6",)
    rating = dict(zip(study.lines, study.line_rating_kw, strict=True))
    assert rating["Line 1-2"] == pytest.approx(np.sqrt(3) * 20 * 145)
    assert rating["Line 3-8"] == pytest.approx(0.4 * rating["Line 1-2"])


def test_a_line_at_its_rating_at_nominal_voltage_is_loaded_to_100_percent(study: Study) -> None:
    """Within the voltage's difference from nominal, a few per cent."""
    p_kw = np.zeros((1, len(study.buses)))
    p_kw[0, study.buses.index("Bus 8")] = study.line_rating_kw[study.lines.index("Line 3-8")]
    [state] = study.solve(p_kw, np.zeros_like(p_kw))
    at_bus = state.vm_pu[study.buses.index("Bus 8")]
    assert state.line_loading_percent[study.lines.index("Line 3-8")] * at_bus == pytest.approx(100, abs=0.5)
    p_kw += 1.0  # what was given may still be changed


def test_weeks_ahead_scenarios_have_the_shape_asked_for_and_days_that_are_over(study: Study) -> None:
    found = study.period(MONDAY, 28, 40, EVENING)
    assert found.p_kw.shape == found.q_kvar.shape == (40, 20, 11)
    assert found.station_kw.shape == (40, 20, 8)
    assert found.starts is not None
    assert found.starts[0] == datetime(2026, 6, 8, 14, tzinfo=UTC)
    assert np.isfinite(found.p_kw).all()
    assert 900 < behind(study, found.p_kw).max(axis=1).mean() < 2_200


def test_scenarios_depend_on_seed_and_day_and_not_on_what_was_asked_before(
    profiles: Profiles, history: PublicHistory, study: Study
) -> None:
    first = study.period(MONDAY, 28, 10, EVENING)
    study.day_ahead(MONDAY, 10, EVENING)
    again, other = study.period(MONDAY, 28, 10, EVENING), made(profiles, history, lambda: NOW, 8)
    assert np.array_equal(first.p_kw, again.p_kw)
    assert np.array_equal(first.station_kw, again.station_kw)
    assert not np.array_equal(first.p_kw, other.period(MONDAY, 28, 10, EVENING).p_kw)


def test_of_the_load_nothing_that_is_not_over_is_known(profiles: Profiles, history: PublicHistory) -> None:
    """The rows of the profiles from now on may say anything of it; of the sun there is a weather service."""
    asked: list[Callable[[Study], np.ndarray]] = [
        lambda study: study.period(MONDAY, 28, 20, EVENING).p_kw,
        lambda study: study.day_ahead(MONDAY, 20, EVENING).p_kw,
        lambda study: np.array([state.p_kw for state in study.look_ahead(NOW.replace(minute=30), 40)]),
    ]
    before = [ask(made(profiles, history, lambda: NOW)) for ask in asked]
    future = profiles.values_at([NOW + timedelta(minutes=15 * k) for k in range(96)])
    rows = [int(np.flatnonzero((profiles.year_values == row).all(axis=1))[0]) for row in future]
    kept = profiles.year_values.copy()
    try:
        profiles.year_values[np.ix_(np.array(rows), np.flatnonzero(~profiles.is_pv))] = 9.0
        after = [ask(made(profiles, history, lambda: NOW)) for ask in asked]
    finally:
        profiles.year_values[:] = kept
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other)


def test_a_day_ahead_is_known_better_than_weeks_ahead(study: Study) -> None:
    """The quarter's spread of the base load behind the weak line, and how far its mean is from what comes."""
    weeks, day = study.period(MONDAY, 5, 40, EVENING), study.day_ahead(MONDAY, 40, EVENING)
    assert behind(study, day.p_kw).std(axis=0).mean() < 0.9 * behind(study, weeks.p_kw).std(axis=0).mean()
    comes = study.profiles.periods(datetime(2026, 6, 8, 17, tzinfo=greece().zone), 20)
    missed = [np.abs(behind(study, each.p_kw).mean(axis=0) - behind(study, comes.p_kw)).mean() for each in (weeks, day)]
    assert missed[1] < missed[0]


def test_a_weekend_is_made_of_weekends(study: Study, history: PublicHistory) -> None:
    saturday = study.day_ahead(date(2026, 6, 13), 30, EVENING).station_kw
    rows = [number for number, day in enumerate(history.dates) if day.weekday() >= 5]
    known = history.station_kw[rows][:, 68:88]
    assert all(any(np.array_equal(one, other) for other in known) for one in saturday)
    assert len({one.tobytes() for one in saturday}) == len(rows)


def test_hours_ahead_are_the_forecast_and_what_stations_usually_draw(study: Study, history: PublicHistory) -> None:
    start = datetime(2026, 6, 8, 15, tzinfo=UTC)
    usual = study.station_usual_kw(start, 4)
    workdays = [number for number, day in enumerate(history.dates) if day.weekday() < 5]
    assert usual["koropi-north"] == pytest.approx(history.station_kw[workdays][:, 72:76, 2].mean(axis=0))
    states = study.look_ahead(start, 4)
    none = study.look_ahead(start, 4, dict.fromkeys(usual, (0.0,) * 4))
    drawn = [state.p_kw.sum() - other.p_kw.sum() for state, other in zip(states, none, strict=True)]
    assert drawn == pytest.approx([sum(usual[name][k] for name in usual) for k in range(4)])
    assert states[1].at == start + timedelta(minutes=15)
    more = study.look_ahead(start, 4, {"koropi-east": (300.0,) * 4})
    at = study.buses.index("Bus 4")
    assert more[0].p_kw[at] - states[0].p_kw[at] == pytest.approx(300 - usual["koropi-east"][0])


def test_the_weather_service_knows_a_clear_day_from_a_dull_one_and_no_passing_cloud(
    profiles: Profiles, history: PublicHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thursday the 11th is clear, Monday the 8th is dull; both are looked at from six in the morning."""
    fed = []
    for day in (8, 11):
        now = datetime(2026, 6, day, 3, tzinfo=UTC)
        states = made(profiles, history, lambda now=now: now).look_ahead(now, 48)  # type: ignore[misc]
        fed.append(np.array([state.p_kw[3:6].sum() for state in states]))
    assert fed[1].min() < fed[0].min() - 150
    monkeypatch.setattr("environment.public_study.SUN_ERROR", (0.0, 0.0))
    now = datetime(2026, 6, 11, 3, tzinfo=UTC)
    study = made(profiles, history, lambda: now)
    sun = profiles.periods(now.astimezone(greece().zone), 48).pv_kw_by_bus.sum(axis=1)
    base = [state.p_kw.sum() for state in study.look_ahead(now, 48)]
    monkeypatch.setattr("environment.public_study.CLOUDS", 0)
    exact = [state.p_kw.sum() for state in study.look_ahead(now, 48)]
    smooth = sun + np.array(base) - np.array(exact)
    assert np.abs(np.diff(sun)).max() > 1.2 * np.abs(np.diff(smooth)).max()
    assert sum(base) == pytest.approx(sum(exact), rel=0.01)


def test_the_sun_of_tomorrow_is_known_less_well_than_todays(profiles: Profiles, history: PublicHistory) -> None:
    days = [date(2026, 5, 1) + timedelta(days=k) for k in range(60)]
    study = made(profiles, history, lambda: NOW)
    wrong = [[study._strength(day, day - timedelta(days=ahead)) - 1 for day in days] for ahead in (0, 1)]
    assert np.std(wrong[0]) == pytest.approx(0.1, rel=0.3)
    assert np.std(wrong[1]) == pytest.approx(0.2, rel=0.3)


def test_wrong_questions_are_told(study: Study, profiles: Profiles, history: PublicHistory) -> None:
    with pytest.raises(GridError, match="there is no station 'x'"):
        study.look_ahead(NOW.replace(minute=30), 1, {"x": (1.0,)})
    with pytest.raises(GridError, match="2 values for station 'koropi-east', 1 periods are wanted"):
        study.look_ahead(NOW.replace(minute=30), 1, {"koropi-east": (1.0, 2.0)})
    with pytest.raises(GridError, match="the stations' history is of other stations"):
        Study(profiles, greece().stations("ppc"), history, greece().zone, lambda: NOW, 7)


@pytest.mark.parametrize(("day", "count"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (MONDAY, 96)])
def test_a_local_day_has_the_quarters_that_its_clock_has(day: date, count: int) -> None:
    quarters = quarters_of(day, (time(0), time(23, 45)), greece().zone)
    assert len(quarters) == count - 1
    assert len({at.astimezone(UTC) for at in quarters}) == count - 1
