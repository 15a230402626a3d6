"""Whether a V2X manager holds the DSO's settlement of a congestion service (D5.1 3.3, 3.x.3) true."""

from __future__ import annotations

from agents.congestion_book import Help
from agents.decisions.merit_order import HOURS
from agents.periods import QUARTER
from agents.v2x_desk import V2xDesk
from protocols.exchanges.congestion_services import CongestionSettlement

TOLERANCE = 0.05
TOLERANCE_KW = 0.5
"""What the DSO's meters and those of the chargers may differ by: a share, and a power for the whole lot."""
TOLERANCE_EUR = 0.02
SHOWN_KW, SHOWN_PART = 2.0, 0.1
"""What a DSO may take off a baseline because its meters have shown that much less than the schedule lately: a power, or
a part of what was told if that is more. It has to reject offers from which it would take off more."""


def against(bill: CongestionSettlement, help_: Help, desk: V2xDesk) -> str | None:
    """What speaks against the settlement, None where nothing does. Meters that were silent are taken on trust."""
    service, offered = help_.offered.service, help_.offered
    if bill.start != service.start or bill.end > service.end:
        return f"the service was from {service.start:%H:%M} to {service.end:%H:%M} UTC"
    if abs(bill.promised_kw - help_.promised_kw) > 1e-3:
        return f"{help_.promised_kw:g} kW were promised, not {bill.promised_kw:g} kW"
    told_kw = offered.told_kw or offered.baseline_kw
    for k, (said, nominated, told) in enumerate(zip(bill.baseline_kw, offered.baseline_kw, told_kw, strict=False)):
        least = min(nominated, told) - max(SHOWN_KW, SHOWN_PART * abs(told))
        if not least - TOLERANCE_KW <= said <= nominated + TOLERANCE_KW:
            return f"the baseline of period {k + 1} was {nominated:.1f} kW, not {said:.1f} kW"
    for k, said in enumerate(bill.metered_kw):
        start = bill.start + k * QUARTER
        own = [desk.mean_kw(c, start, start + QUARTER) for c in offered.nominated_kw]
        metered = sum(kw for kw in own if kw is not None)
        if None not in own and abs(said - metered) > TOLERANCE_KW + TOLERANCE * abs(metered):
            return f"my meters had {metered:.1f} kW in period {k + 1}, not {said:.1f} kW"
    pairs = zip(bill.baseline_kw, bill.metered_kw, strict=True)
    delivered = sum(min(max(0.0, own - kw), bill.promised_kw) for own, kw in pairs) * HOURS
    counted = bill.reduced_kwh + bill.discharged_kwh
    if abs(counted - delivered) > (TOLERANCE_KW * HOURS + TOLERANCE * delivered):
        return f"{delivered:.2f} kWh were delivered, not {counted:.2f} kWh"
    due = bill.reduced_kwh * service.reduction_price + bill.discharged_kwh * service.discharging_price
    if float(bill.remuneration_eur) < due - TOLERANCE_EUR:
        return f"{due:.2f} EUR are due for that, not {bill.remuneration_eur} EUR"
    return None
