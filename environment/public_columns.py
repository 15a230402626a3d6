"""The names of the series' columns that only a run on public stations has."""

from __future__ import annotations

LOADING, FLOW, REVERSE, STATION, HIGHEST, CAP = (
    "line_loading_percent.",
    "flow_kw.",
    "reverse_kw.",
    "station_kw.",
    "station_highest_kw.",
    "cap_kw.",
)
"""The further columns of the series, with the name of a line or a station: % of the rated current; active power
through the line, seen from the substation (kW, below 0 where it flows back), and what flows back (kW, >= 0); what a
station draws on average, and at most in any moment; under which activated limit (none where there is none)."""
