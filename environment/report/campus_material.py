"""What a page of campuses is made of besides the day's own material: help, tests, hours, seconds and who is where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from environment.campus_summary import avoided_kwh, booked, campus_of, capacity_eur, help_eur, names
from environment.report import congestion_services, frequency_services, seconds
from environment.report.axes import Window
from environment.report.congestion_services import Part
from environment.report.frequency_services import Hour, OwnerStatus, Test
from environment.report.material import Material
from environment.report.seconds import Frequency, Portfolio, Trip
from environment.report.words import account_name
from protocols.exchanges.activation import SessionAnnouncement
from protocols.exchanges.content import ContentError


@dataclass(frozen=True)
class CampusMaterial:
    """One run on campuses."""

    run: Material
    parts: tuple[Part, ...]
    tests: tuple[Test, ...]
    hours: tuple[Hour, ...]
    owners: tuple[OwnerStatus, ...]
    seconds: Frequency | None
    trip: Trip | None
    portfolios: tuple[Portfolio, ...]
    campus_of: Mapping[str, str]

    @property
    def campuses(self) -> tuple[str, ...]:
        return names(self.run.series)

    @cached_property
    def noted(self) -> Mapping[str, Any]:
        """What the launcher noted of the scenario, as the summary keeps it."""
        kept = self.run.summary["campuses"]
        return {
            **self.run.summary.get("area", {}),
            "limits": {campus: kept[campus].get("limits", []) for campus in self.campuses},
        }

    def figures(self, campus: str) -> Mapping[str, Mapping[str, Any]]:
        """The figures of a campus by case."""
        return {case: self.run.summary["campuses"][campus][case] for case in self.run.figures}

    @property
    def worst(self) -> str:
        """The campus whose transformer is beyond its limit for longest without flexibility."""
        case = "without" if "without" in self.run.figures else "with"
        return max(self.campuses, key=lambda campus: float(self.figures(campus)[case]["minutes_beyond_limit"]))

    def parts_at(self, campus: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if self.campus_of.get(part.dso) == campus)

    def served(self) -> dict[str, list[Window]]:
        """The periods of the services of each campus."""
        return {
            campus: [(part.call.start, part.end) for part in self.parts_at(campus) if part.took_place]
            for campus in self.campuses
        }

    @cached_property
    def avoided(self) -> Mapping[tuple[str, str], float]:
        """kWh above the limit that each part avoided, by call and manager."""
        found: dict[tuple[str, str], float] = {}
        for campus in self.campuses:
            found |= avoided_kwh(self.run.series, campus, self.noted, self.parts_at(campus))
        return found

    @cached_property
    def booked(self) -> Mapping[tuple[str, str], Decimal]:
        """What each transaction of the ledger brought an account, by transaction and account."""
        return booked(self.run.postings)

    def paid(self, part: Part) -> Decimal | None:
        """What the DSO paid for a part."""
        return help_eur(part, self.booked)

    def earned(self, hour: Hour) -> Decimal | None:
        """What the TSO paid for an hour."""
        return capacity_eur(hour, self.booked)

    @property
    def help_eur(self) -> Decimal:
        """What the DSOs paid for congestion help."""
        return sum((paid for part in self.parts if (paid := self.paid(part)) is not None), Decimal(0))

    @property
    def fcr_eur(self) -> Decimal:
        """What the TSO paid for frequency control."""
        return sum((eur for hour in self.hours if (eur := self.earned(hour)) is not None), Decimal(0))

    @property
    def avoided_kwh(self) -> float | None:
        """The overload that all services together avoided; None where none was settled."""
        return sum(self.avoided.values()) if self.avoided else None

    @cached_property
    def capacity_kwh(self) -> Mapping[str, float]:
        """The battery of each charger's vehicle, the last that was announced (1.x.8)."""
        found: dict[str, float] = {}
        for entry in self.run.trace.entries:
            if entry.message.exchange == "1.x.8":
                try:
                    session = SessionAnnouncement.from_json(entry.message.content)
                except ContentError:
                    continue
                found[session.charger_id] = session.capacity_kwh
        return found

    def batteries_kwh(self, portfolio: str) -> float:
        """The batteries at the chargers that a lot's application named, 0 where nobody told of them."""
        units = next((test.application.units for test in self.tests if lot_of(test) == portfolio), ())
        return sum(self.capacity_kwh.get(unit.charger_id, 0.0) for unit in units)


def lot_of(test: Test) -> str:
    """The lot whose portfolio is tested: its manager's name."""
    return account_name(test.manager)


def read(run: Material) -> CampusMaterial:
    """The material of a run on campuses. Raises RunFolderError for files that cannot be used."""
    kept = seconds.frequency(run.folder)
    return CampusMaterial(
        run=run,
        parts=congestion_services.parts(run.trace),
        tests=frequency_services.applications(run.trace),
        hours=frequency_services.hours(run.trace),
        owners=frequency_services.owners(run.trace),
        seconds=kept,
        trip=None if kept is None else seconds.trip(kept),
        portfolios=seconds.portfolios(run.folder),
        campus_of=campus_of(run.trace),
    )
