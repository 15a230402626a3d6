"""The chapter about the capacity auction (BUC 5.1): curves, what was bought where and for how much, what it is for."""

from __future__ import annotations

from typing import Any

from environment.report.chapter import Chapter
from environment.report.public_feeder import draw as draw_feeder
from environment.report.public_figures import PublicCharts
from environment.report.public_material import PublicMaterial
from environment.report.public_services import Auction, Lot
from environment.report.words import account_name, euro, number


def title(auction: Auction | None) -> str:
    """What was bought, in one sentence."""
    if auction is None:
        return "No caps were auctioned"
    bought = [lot for lot in auction.lots if lot.contract_id is not None]
    offered = sum(lot.bid is not None for lot in auction.lots)
    price = sum(lot.price_eur or 0.0 for lot in bought)
    if not bought:
        return f"{offered} stations offered a cap, and none was bought"
    return f"{len(bought)} of {offered} stations that offered a cap sold one, for {euro(price)} in all"


def expected(auction: Auction | None) -> tuple[float, float] | None:
    """The violation of a day that the DSO expects without and with its purchase, kWh; None without a decision."""
    if auction is None or auction.decision is None:
        return None
    return auction.decision.expected_without_kwh, auction.decision.expected_with_kwh


def expected_title(auction: Auction) -> str:
    """What the purchase should bring."""
    told = expected(auction)
    if told is None or auction.decision is None:
        return "The DSO did not decide"
    before, after = told
    return (
        f"By {auction.decision.scenarios} scenarios the DSO expected {number(before, 1)} kWh above the lines' limits"
        f" on a day without caps, {number(after, 1)} kWh with what it bought"
    )


def chapter(material: PublicMaterial) -> Chapter:
    """The curves, the purchase, and where it is on the feeder."""
    auction = material.auction
    if auction is None:
        return Chapter(
            "auction",
            "Auction",
            "nothing.html.j2",
            {"key": "auction", "heading": "The auction", "nothing": "No caps were auctioned in this run (BUC 5.1)."},
        )
    lots = sorted(auction.lots, key=lambda lot: material.stations.index(lot.call.station_id) if lot.call.station_id
                  in material.stations else 0)  # fmt: skip
    uncalled = [each for each in material.stations if each not in {lot.call.station_id for lot in lots}]
    charts = PublicCharts(material, ())
    curves = [lot for lot in lots if lot.bid is not None and lot.bid.curve]
    alt = "; ".join(_told(lot) for lot in lots)
    return Chapter(
        "auction",
        "Auction",
        "public_auction.html.j2",
        {
            "title": title(auction),
            "expected": expected_title(auction),
            "terms": auction.terms,
            "days": round((auction.terms.period_end - auction.terms.period_start).total_seconds() / 86_400),
            "first": auction.terms.period_start.astimezone(material.run.zone),
            "closed": auction.terms.gate_closure.astimezone(material.run.zone),
            "curves": charts.curves(curves, f"Bid curves of {len(curves)} stations. {alt}.") if curves else "",
            "feeder": draw_feeder(material),
            "lots": [_row(material, lot) for lot in lots],
            "refused": auction.refused,
            "far": [each for each in uncalled if material.bus_of(each) not in auction.terms.locations],
            "unheard": [each for each in uncalled if material.bus_of(each) in auction.terms.locations],
            "volume_kw": sum(_volume_kw(material, lot) for lot in lots),
        },
    )


def _volume_kw(material: PublicMaterial, lot: Lot) -> float:
    """How much of its connection a station gives up in an activated window."""
    if lot.limit_kw is None:
        return 0.0
    return max(0.0, material.connection_kw(lot.call.station_id) - lot.limit_kw)


def _told(lot: Lot) -> str:
    if lot.contract_id is None or lot.limit_kw is None or lot.price_eur is None:
        return f"{lot.call.station_id}: nothing bought"
    return f"{lot.call.station_id}: {number(lot.limit_kw)} kW for {euro(lot.price_eur)}"


def _row(material: PublicMaterial, lot: Lot) -> dict[str, Any]:
    station = lot.call.station_id
    points = () if lot.bid is None else lot.bid.curve
    volume = _volume_kw(material, lot)
    activated = sum(each.limit.station_id == station for each in material.activated)
    return {
        "station": station,
        "cpo": account_name(lot.cpo),
        "bus": lot.call.location,
        "points": len(points),
        "dearest": max((float(point.price_eur) for point in points), default=None),
        "bought": lot.contract_id is not None,
        "limit_kw": lot.limit_kw,
        "price": lot.price_eur,
        "volume_kw": volume,
        "per_kw": lot.price_eur / volume if lot.price_eur is not None and volume > 0 else None,
        "activated": activated,
        "reason": lot.reason or ("no curve was sent" if lot.bid is None else ""),
    }
