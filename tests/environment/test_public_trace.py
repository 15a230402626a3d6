"""What is found in a trace of public stations: who charged where, and only from the words of those whose part it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from environment.public_trace import holding, last_of, need_of, read_public
from environment.run_folder import Trace
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.trace import Entry

AT = datetime(2026, 6, 8, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAY = x.Stay(latitude_deg=37.9, longitude_deg=23.9, arrival=AT + HOUR, departure=AT + 3 * HOUR)
Said = tuple[str, str, Performative, x.Content]
NORTH = x.Stay(latitude_deg=38.0, longitude_deg=23.9, arrival=AT + HOUR, departure=AT + 3 * HOUR)


def request(request_id: str, stay: x.Stay = STAY) -> x.ChargingRequest:
    return x.ChargingRequest(
        request_id=request_id, timestamp=AT, soc_percent=20.0, capacity_kwh=60.0, energy_kwh=20.0, max_charge_kw=60.0,
        within_km=20.0, stays=(stay,),
    )  # fmt: skip


def choices(request_id: str, choice_id: str) -> x.ChargingChoices:
    choice = x.ChargingChoice(
        choice_id=choice_id, stay=0, station_id="hub", charger_id="hub-01", latitude_deg=37.9, longitude_deg=23.9,
        power_kw=40.0, energy_kwh=20.0, price_eur_per_kwh=Decimal("0.5"), amount_eur=Decimal("10.00"), start=AT + HOUR,
        end=AT + 1.5 * HOUR,
    )  # fmt: skip
    return x.ChargingChoices(request_id=request_id, timestamp=AT, valid_until=AT + HOUR, choices=(choice,))


def selection(request_id: str, choice_id: str) -> x.ChargingSelection:
    return x.ChargingSelection(request_id=request_id, choice_id=choice_id, timestamp=AT)


def receipt(request_id: str, choice_id: str) -> x.SessionReceipt:
    return x.SessionReceipt(
        receipt_id=f"receipt-{choice_id}", request_id=request_id, choice_id=choice_id, start=AT + HOUR,
        end=AT + 1.5 * HOUR, energy_kwh=20.0, price_eur_per_kwh=Decimal("0.5"), amount_eur=Decimal("10.00"),
    )  # fmt: skip


def trace(said: Iterable[Said], protocol: Protocol = Protocol.CONTRACT_NET) -> Trace:
    entries = []
    for line, (sender, receiver, act, content) in enumerate(said, start=2):
        message = AclMessage(
            performative=act, sender=sender, receiver=receiver, protocol=protocol,
            conversation_id=f"of-{line}", reply_with=f"{line}",
            content=json.loads(content.model_dump_json()),
        )  # fmt: skip
        entries.append(Entry(line, AT, message))
    return Trace(entries=tuple(entries))


def whole(request_id: str, choice_id: str, *, biller: str = "ppc@x", stay: x.Stay = STAY) -> list[Said]:
    return [
        ("ann@x", "ppc@x", Performative.CFP, request(request_id, stay)),
        ("ppc@x", "ann@x", Performative.PROPOSE, choices(request_id, choice_id)),
        ("ann@x", "ppc@x", Performative.ACCEPT_PROPOSAL, selection(request_id, choice_id)),
        (biller, "ann@x", Performative.INFORM, receipt(request_id, choice_id)),
    ]  # fmt: skip


def test_a_session_is_who_picked_what_where_and_its_receipt() -> None:
    (session,) = read_public(trace(whole("ann-1", "c1", stay=NORTH))).sessions
    assert (session.driver, session.cpo, session.choice.station_id) == ("ann@x", "ppc@x", "hub")
    assert session.receipt is not None
    assert 11.0 < session.distance_km < 11.2


def test_a_receipt_of_somebody_else_counts_for_nothing() -> None:
    (session,) = read_public(trace(whole("ann-1", "c1", biller="other@x"))).sessions
    assert session.receipt is None


def test_a_pick_that_nobody_offered_is_no_session() -> None:
    said = [each for each in whole("ann-1", "c1") if not isinstance(each[3], x.ChargingChoices)]
    assert read_public(trace(said)).sessions == []


def test_a_bill_that_is_sent_again_is_one_bill() -> None:
    bill = x.NetworkBill(
        bill_id="net-1", start=AT, end=AT + HOUR, energy_kwh=70.0, reduced_kwh=70.0, usual_eur=Decimal("8.40"),
        reduction_eur=Decimal("8.40"), amount_eur=Decimal("0.00"),
    )  # fmt: skip
    said: list[Said] = [("dso@x", "ppc@x", Performative.REQUEST, bill)] * 2
    assert read_public(trace(said, Protocol.REQUEST)).bills == [bill]


def test_what_became_of_a_need_is_the_session_that_took_place() -> None:
    first, second = read_public(trace(whole("ann-1", "c1") + whole("ann-1-2", "c2"))).sessions
    assert last_of([first, second]) is second
    given_up = replace(second, receipt=None)
    assert last_of([first, given_up]) is first
    assert last_of([given_up]) is given_up
    assert last_of([]) is None


def test_a_request_made_again_is_for_the_same_need() -> None:
    needs = {"ann-1": None, "ann-2": None}
    assert [need_of(name, needs) for name in ("ann-1", "ann-2-3", "ann-1-2", "bob-1")] == [
        "ann-1",
        "ann-2",
        "ann-1",
        None,
    ]


def test_network_use_is_cheaper_at_its_places_until_the_end() -> None:
    reduction = x.NetworkPriceReduction(
        reduction_id="r", timestamp=AT, locations=("Bus 4",), reduction_eur_per_kwh=Decimal("0.09"), start=AT + HOUR,
        end=AT + 2 * HOUR,
    )  # fmt: skip
    smaller = reduction.model_copy(update={"reduction_eur_per_kwh": Decimal("0.05"), "end": AT + 3 * HOUR})
    assert [holding([smaller, reduction], "Bus 4", AT + n * HOUR) for n in range(4)] == [-1, 1, 0, -1]
    assert holding([reduction], "Bus 5", AT + HOUR) == -1
