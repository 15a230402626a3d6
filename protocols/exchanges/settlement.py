"""BUC 1.2, after the activation: measurements, the delivered volume, the bill and its payment.

Source: D5.1 section 3.1.2, Table 2 (1.2.6, 1.2.7) and its prose. Every series has one value for each period, the
mean power in it; volumes are energy by which consumption was reduced.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from protocols.exchanges.content import Content, ordered
from protocols.exchanges.vocabulary import ServiceType
from protocols.units import (
    Eur,
    EurPerKw,
    Identifier,
    Jid,
    Kw,
    MagnitudeEur,
    MagnitudeKwh,
    PeriodMinutes,
    Text,
    Time,
)


class MeasurementsQuery(Content):
    """1.2.6: the FMO asks the DSO and the VPP what was measured from start to end."""

    exchange: Literal["1.2.6"] = "1.2.6"
    activation_id: Identifier
    start: Time
    end: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class MeasurementsCollection(Content):
    """1.2.6, answer: mean power of the resource in each period, and the nominated baseline where there is one."""

    exchange: Literal["1.2.6"] = "1.2.6"
    activation_id: Identifier
    service: ServiceType
    start: Time
    end: Time
    period_minutes: PeriodMinutes
    power_kw: tuple[Kw, ...]
    baseline_kw: tuple[Kw, ...] | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        for name, series in (("power_kw", self.power_kw), ("baseline_kw", self.baseline_kw)):
            if series is not None and len(series) * timedelta(minutes=self.period_minutes) != self.end - self.start:
                yield name, "does not have one value for each period from start to end"


class DeliveredVolume(Content):
    """1.x.5: what the VPP says it delivered, for the DSO to validate."""

    exchange: Literal["1.x.5"] = "1.x.5"
    activation_id: Identifier
    baseline_kw: tuple[Kw, ...]
    measured_kw: tuple[Kw, ...]
    delivered_kw: tuple[Kw, ...]
    delivered_energy_kwh: MagnitudeKwh

    def contradictions(self) -> Iterator[tuple[str, str]]:
        for name, series in (("measured_kw", self.measured_kw), ("delivered_kw", self.delivered_kw)):
            if len(series) != len(self.baseline_kw):
                yield name, "does not have as many values as baseline_kw"


class VolumeAnswer(Content):
    """1.x.5, answer: the DSO accepts the volume or rejects it; the act says which."""

    exchange: Literal["1.x.5"] = "1.x.5"
    activation_id: Identifier
    reason: Text | None = None


class Bill(Content):
    """1.2.7: the FMO monetises the delivered flexibility and asks for the payment.

    `amount_eur` = `remuneration_eur` - `penalty_eur`, which `payer` owes `payee`; negative: the other way round.
    """

    exchange: Literal["1.2.7"] = "1.2.7"
    bill_id: Identifier
    activation_id: Identifier
    payer: Jid
    payee: Jid
    volume_kwh: MagnitudeKwh
    price_eur_per_kw: EurPerKw
    remuneration_eur: MagnitudeEur
    penalty_eur: MagnitudeEur
    amount_eur: Eur
    due: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.amount_eur != self.remuneration_eur - self.penalty_eur:
            yield "amount_eur", "is not remuneration_eur - penalty_eur"
        if self.payer == self.payee:
            yield "payee", "is the payer"


class Payment(Content):
    """1.2.7, answer: the bill is paid. `transaction_id` is that of the ledger."""

    exchange: Literal["1.2.7"] = "1.2.7"
    bill_id: Identifier
    transaction_id: Identifier
    amount_eur: Eur
