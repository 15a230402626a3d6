"""What `summary.json` tells of public stations: who charged where, with and without; flows, caps, prices, money.

A run has these members where its series has the stations' columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from environment.public_plant import STATION
from environment.public_without import Served
from environment.run_folder import Trace
from environment.series import Series
from environment.world import Plant

NOTES: Final = "public"


def has_stations(series: Series) -> bool:
    """Whether a run's series has the columns of public stations."""
    return any(name.startswith(STATION) for name in series.extra)


def notes(plant: Plant, served: Sequence[Served]) -> dict[str, Any]:
    """What the report must know and only the scenario has."""
    return {}


def members(trace: Trace, series: Series, given: Mapping[str, Any]) -> dict[str, Any]:
    """The members for public stations, none for another run. `given` may have the note `NOTES`."""
    return {}
