"""What an outcome of a cancel means."""

from __future__ import annotations

import pytest

from behaviours.initiating import NOTHING_TO_CANCEL
from behaviours.outcomes import Failed, Informed, NotUnderstood, Result, Silent, has_stopped
from protocols import exchanges as x
from tests.swarm import jid

HOUSE = jid("house")


@pytest.mark.parametrize(
    ("outcome", "stopped"),
    [
        (Informed(HOUSE, x.Done(reference="r1")), True),
        (Failed(HOUSE, NOTHING_TO_CANCEL), True),
        (Failed(HOUSE, x.Reason(code="too-late", reason="it goes on to its end")), False),
        (Failed(HOUSE, x.Done(reference="r1")), False),
        (NotUnderstood(HOUSE, NOTHING_TO_CANCEL), False),
        (Silent(HOUSE), False),
    ],
    ids=["confirmed", "over", "goes on", "fails without a reason", "not understood", "silent"],
)
def test_what_is_called_off_has_stopped_where_that_is_confirmed_or_it_was_over(outcome: Result, stopped: bool) -> None:
    assert has_stopped(outcome) is stopped
