"""What a run's options mean for those who take part in it."""

from __future__ import annotations

import pytest

from environment.stage import act_every_s


@pytest.mark.parametrize(
    ("speed", "every_s"), [(None, 1.0), (0.5, 0.1), (1.0, 0.1), (5.0, 0.5), (10.0, 1.0), (60.0, 1.0)]
)
def test_a_central_loop_looks_at_its_meter_ten_times_in_a_second_of_the_wall(
    speed: float | None, every_s: float
) -> None:
    """In virtual time, and where time passes fast, each second of the scenario."""
    assert act_every_s(speed) == pytest.approx(every_s)
