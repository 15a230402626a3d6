"""What `summary.json` tells of an island: the wind, the voltages, the services, the prices, the invoices.

A run has these members where its series has the island's columns. Energies and powers are those of the run's own
slice of the island; `island.slice` says how large that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from environment import en50160
from environment.report.invoices import InvoiceRow, invoices
from environment.report.services import Service, services
from environment.run_folder import Trace
from environment.series import ISLAND_COLUMNS, Case, Series
from protocols.units import MARKET_PERIOD

CURTAILED_KW: Final = 0.05
"""Less than this is rounding and no curtailment."""
AHEAD: Final = "charged_ahead_kwh"
"""The note that holds how much more the vehicles took into their batteries than without the service, grid side."""
MARGINAL_FUEL: Final = "marginal_fuel_kg_per_kwh"
"""The note that holds what one kWh more of the thermal units burns."""
TARIFF: Final = "tariff"
"""The note that holds the ordinary tariff: rows of `start`, `grid_use_eur_per_kwh` and `charging_eur_per_kwh`."""


@dataclass(frozen=True, slots=True)
class IslandFigures:
    """The island in one case: energies in kWh, fuel in kg, frequency in Hz."""

    demand_kwh: float
    ev_kwh: float
    geothermal_kwh: float
    hydro_kwh: float
    wind_kwh: float
    wind_available_kwh: float
    curtailed_kwh: float
    hours_with_curtailment: float
    thermal_kwh: float
    fuel_kg: float
    lowest_frequency_hz: float
    lowest_frequency_at: str


def has_island(series: Series) -> bool:
    """Whether a run's series has the island's columns."""
    return set(ISLAND_COLUMNS) <= set(series.extra)


def members(trace: Trace, series: Series, notes: Mapping[str, Any]) -> dict[str, Any]:
    """The members for an island, none for another run.

    `notes` is what only the launcher knows of the slice, such as `{"share": 0.016, "vehicles": 2000}`; the ordinary
    tariff may be among it under `TARIFF`.
    """
    if not has_island(series):
        return {}
    asked = services(trace)
    cases = {case: island(series, case) for case in series.cases}
    return {
        "island": {
            "slice": {name: value for name, value in notes.items() if name not in (TARIFF, MARGINAL_FUEL, AHEAD)},
            **{case: asdict(figures) for case, figures in cases.items()},
            **fuel_saved(cases, float(notes.get(AHEAD, 0.0)), float(notes.get(MARGINAL_FUEL, 0.0))),
        },
        "voltage": {
            "limits": "10-minute means of this run; EN 50160:2010, 4.2.2.2 wants 95 % of a week's within +-10 %",
            **{case: _voltage(series, case) for case in series.cases},
        },
        "services": [_service(service) for service in asked],
        "tariffs": {"ordinary": list(notes.get(TARIFF, ())), "changed": changed(asked)},
        "invoices": [_invoice(row) for row in invoices(trace)],
    }


def fuel_saved(
    cases: Mapping[Case, IslandFigures], charged_ahead_kwh: float, marginal_kg_per_kwh: float
) -> dict[str, float]:
    """The fuel that the service saved, where both cases were run: what was burnt less, and what will not be burnt later
    because the vehicles hold more than they would have (or will be, where they hold less), at the margin.

    `charged_ahead_kwh` is that difference in their batteries, as what it takes from the grid. That it is charged less
    later is an assumption: a run's sessions do not know of it.
    """
    if len(cases) < 2:
        return {}
    with_it, without = cases["with"], cases["without"]
    later_kwh = charged_ahead_kwh
    return {
        "charged_ahead_kwh": round(later_kwh, 3),
        "fuel_saved_kg": round(without.fuel_kg - with_it.fuel_kg + later_kwh * marginal_kg_per_kwh, 3),
    }


def island(series: Series, case: Case) -> IslandFigures:
    """The island's figures in one case. A minute without a value counts nowhere."""
    frame, step = series.case(case), series.step(case)
    hours = step / timedelta(hours=1)

    def energy(column: str) -> float:
        return round(float(frame[column].sum()) * hours, 2)

    frequency = frame["frequency_min_hz"].to_numpy(np.float64)
    known = bool(np.isfinite(frequency).any())
    lowest = int(np.nanargmin(frequency)) if known else 0
    return IslandFigures(
        demand_kwh=energy("island_demand_kw"),
        ev_kwh=energy("island_ev_kw"),
        geothermal_kwh=energy("geothermal_kw"),
        hydro_kwh=energy("hydro_kw"),
        wind_kwh=energy("wind_kw"),
        wind_available_kwh=energy("wind_available_kw"),
        curtailed_kwh=energy("curtailed_kw"),
        hours_with_curtailment=round(float((frame["curtailed_kw"] > CURTAILED_KW).sum()) * hours, 2),
        thermal_kwh=energy("thermal_kw"),
        fuel_kg=round(float(frame["fuel_kg"].sum()), 3),
        lowest_frequency_hz=round(float(frequency[lowest]), 4) if known else 50.0,
        lowest_frequency_at=frame.index[lowest].isoformat(),
    )


def changed(asked: Sequence[Service]) -> list[dict[str, Any]]:
    """The prices of every quarter of an hour in which a service changed them, in EUR/kWh as exact text.

    Only a service of the DSO changes the grid-use tariff, and only behind its feeder.
    """
    rows = [(start, service) for service in asked for start in service.quarters]
    return [
        {
            "start": start.isoformat(),
            "end": min(start + MARKET_PERIOD, service.end).isoformat(),
            "service_id": service.id,
            "kind": service.kind.value,
            "feeder": service.feeder,
            "grid_use_eur_per_kwh": None if service.grid_use is None else str(service.grid_use),
            "charging_eur_per_kwh": str(service.charging_cost),
            "discharging_eur_per_kwh": str(service.discharging_remuneration),
        }
        for start, service in sorted(rows, key=lambda row: (row[0], row[1].id))
    ]


def _voltage(series: Series, case: Case) -> dict[str, Any]:
    found = asdict(en50160.judged(series.buses, series.voltages(case), series.step(case)))
    return {**found, "worst": list(found["worst"])}


_SERVICE_NOT_TOLD = ("operator", "conversation_id", "opened", "until", "parts")
"""What a page shows of a service and the summary does not."""


def _service(service: Service) -> dict[str, Any]:
    told = {name: value for name, value in asdict(service).items() if name not in _SERVICE_NOT_TOLD}
    return {
        **told,
        "kind": service.kind.value,
        "start": service.start.isoformat(),
        "end": service.end.isoformat(),
        "charging_cost": str(service.charging_cost),
        "discharging_remuneration": str(service.discharging_remuneration),
        "grid_use": None if service.grid_use is None else str(service.grid_use),
    }


def _invoice(row: InvoiceRow) -> dict[str, Any]:
    invoice = row.invoice
    return {
        "id": invoice.invoice_id,
        "customer": invoice.customer,
        "start": invoice.start.isoformat(),
        "end": invoice.end.isoformat(),
        "lines": [line.model_dump(mode="json") for line in invoice.lines],
        "amount_eur": str(invoice.amount_eur),
        "paid": row.paid,
    }
