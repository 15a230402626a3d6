"""What a state says of the limits it breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.grid_view import EN50160_ALWAYS_BAND, EN50160_NORMAL_BAND, GridState, Hosting, Limits, Violation

STATE = GridState(
    buses=("a", "b", "c"),
    lines=("a-b", "b-c"),
    transformer="t1",
    p_kw=np.zeros(3),
    q_kvar=np.zeros(3),
    vm_pu=np.array([1.0, 0.89, 1.12]),
    line_loading_percent=np.array([40.0, 104.0]),
    trafo_loading_percent=120.0,
    trafo_p_kw=190.0,
    trafo_q_kvar=20.0,
    losses_kw=5.0,
)


def test_violations_name_the_transformer_then_lines_then_buses() -> None:
    assert STATE.violations(Limits()) == (
        Violation("t1", 120.0, 100.0, "%"),
        Violation("b-c", 104.0, 100.0, "%"),
        Violation("b", 0.89, 0.9, "pu"),
        Violation("c", 1.12, 1.1, "pu"),
    )
    assert [str(violation) for violation in STATE.violations(Limits())[1:3]] == [
        "b-c at 104.0 % (limit 100.0)",
        "b at 0.890 pu (limit 0.900)",
    ]


def test_what_lies_on_a_limit_keeps_it() -> None:
    on = replace(STATE, vm_pu=np.array([0.9, 1.0, 1.1]), line_loading_percent=np.array([100.0, 0.0]))
    assert replace(on, trafo_loading_percent=100.0).violations(Limits()) == ()


def test_the_extremes_are_named() -> None:
    assert STATE.lowest() == ("b", 0.89)
    assert STATE.highest() == ("c", 1.12)


def test_the_bands_are_those_of_en_50160() -> None:
    assert EN50160_NORMAL_BAND == (0.90, 1.10)
    assert EN50160_ALWAYS_BAND == (0.85, 1.10)
    assert (Limits().vm_min_pu, Limits().vm_max_pu) == EN50160_NORMAL_BAND


def test_hosting_gives_its_reason_in_words() -> None:
    hosting = Hosting(12.0, Violation("t1", 100.1, 100.0, "%"))
    assert hosting.reasons == ("more would put t1 at 100.1 % (limit 100.0)",)
    assert Hosting(12.0, None).reasons == ()
