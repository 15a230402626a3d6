"""Whether a station can come under another limit: its sessions planned anew around chargers that do not answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agents.decisions.station_bookings import Booking, BookingList
from agents.decisions.station_replan import replan
from agents.periods import QUARTER
from agents.public_ports import StationSite
from agents.station_caps import SAME_KW, Cap
from agents.station_control import Told


def replanned(
    site: StationSite, bookings: BookingList, cap_kw: Cap, from_: datetime, deaf: Mapping[str, Told]
) -> list[Booking] | str:
    """The bookings whose profile changes under `cap_kw` from `from_` on, changed; or why it cannot be, in one line.

    `deaf`, by booking id: sessions whose charger does not answer. They go on as they were last told, and the others
    share what they leave.
    """
    if not deaf:
        return replan(site, bookings, cap_kw, from_)
    fixed, others = [], BookingList(site.station_id)
    for booking in bookings:
        if booking.booking_id in deaf:
            fixed.append(booking)
        else:
            others.add(booking)

    def left_kw(at: datetime) -> float:
        return cap_kw(at) - sum(deaf[b.booking_id].at(at) for b in fixed if b.start <= at < b.end)

    for booking in fixed:
        for k in range(max(0, (from_ - booking.start) // QUARTER), len(booking.powers_kw)):
            at = booking.start + k * QUARTER
            if left_kw(at) < -SAME_KW:
                return (
                    f"{booking.charger_id} does not answer and draws {deaf[booking.booking_id].at(at):g} kW at "
                    f"{at:%H:%M} UTC, the limit is {cap_kw(at):g} kW"
                )
    return replan(site, others, lambda at: max(0.0, left_kw(at)), from_)
