"""Tables 6, 7 and 8 of D5.1, row by row: the exchange, who says it to whom, and the fields that carry what it says."""

from __future__ import annotations

import pytest

from protocols import exchanges as x
from protocols.catalogue import LEGS
from protocols.dialogues import EXCHANGES
from protocols.roles import Role
from tests.protocols.samples import SAMPLES, sample
from tests.protocols.test_tables_of_services import Columns, found, schema_of

Rows = dict[tuple[str, Role, Role], tuple[str, type[x.Content], Columns]]

_ATTRIBUTES: Columns = {
    "when bids are in": "gate_closure",
    "from when the product lasts": "period_start",
    "until when the product lasts": "period_end",
    "from when on a day a limit holds": "window_start",
    "until when on a day a limit holds": "window_end",
    "how often it may be activated": "most_activations",
    "how long before": "notice_minutes",
    "how few points a curve may have": "least_points",
    "how many points a curve may have": "most_points",
    "between which limits there may be a step": "step_kw",
    "the lowest limit": "lowest_limit_kw",
    "the highest price": "most_eur",
    "what exceeding a limit costs": "penalty_eur_per_kwh",
}
"""Table 7, 5.1.1: "the attributes of the bid curves required for participation in the local flexibility market"."""

TABLE_6: Rows = {
    ("4.2.1", Role.DSO, Role.CPO): (
        "Network price reduction and location",
        x.NetworkPriceReduction,
        {
            "the locations affected by the price reduction": "locations",
            "the corresponding reduction": "reduction_eur_per_kwh",
            "from when": "start",
            "until when": "end",
        },
    ),
}
TABLE_7: Rows = {
    ("5.1.1", Role.DSO, Role.FMO): (
        "Event trigger, participation info",
        x.AuctionTerms,
        {**_ATTRIBUTES, "whose stations may bid": "locations"},
    ),
    ("5.1.2", Role.FMO, Role.CPO): (
        "Event trigger, participation info",
        x.AuctionCall,
        {**_ATTRIBUTES, "which station may bid": "station_id", "where it is": "location"},
    ),
    ("5.1.3", Role.CPO, Role.FMO): (
        "Bid info",
        x.CurveBid,
        {"bid curve: limit": "curve.limit_kw", "bid curve: price": "curve.price_eur", "of which station": "station_id"},
    ),
    ("5.1.4", Role.FMO, Role.DSO): (
        "Bid info",
        x.CurveBids,
        {
            "bid curve offers: limit": "bids.curve.limit_kw",
            "bid curve offers: price": "bids.curve.price_eur",
            "whose": "bids.cpo",
            "of which station": "bids.station_id",
            "where": "bids.location",
            "checks, approves": "refused",
        },
    ),
    ("5.1.5", Role.DSO, Role.FMO): (
        "Capacity procurement decision",
        x.ProcurementDecision,
        {
            "procured volume": "purchases.limit_kw",
            "location of flexibility": "purchases.station_id",
            "for how much": "purchases.price_eur",
        },
    ),
    ("5.1.6", Role.FMO, Role.CPO): (
        "Capacity procurement decision",
        x.ProcurementResult,
        {"procured volume": "limit_kw", "location of flexibility": "bid_id", "for how much": "price_eur"},
    ),
}
TABLE_8: Rows = {
    ("5.2.1", Role.DSO, Role.CPO): (
        "Capacity limit",
        x.CapacityLimit,
        {
            "some of the capacity limit": "limit_kw",
            "procured ex-ante": "contract_id",
            "where": "station_id",
            "from when": "start",
            "until when": "end",
        },
    ),
    ("5.2.2", Role.EV_OWNER, Role.CPO): (
        "Charging request",
        x.ChargingRequest,
        {"nearby: north": "stays.latitude_deg", "nearby: east": "stays.longitude_deg", "nearby: how far": "within_km"},
    ),
    ("5.2.3", Role.CPO, Role.EV_OWNER): (
        "Charging choices",
        x.ChargingChoices,
        {
            "charging session choices": "choices.choice_id",
            "where": "choices.station_id",
            "affected by the limit": "choices.power_kw",
            "how much": "choices.energy_kwh",
            "for how much": "choices.amount_eur",
            "from when": "choices.start",
            "until when": "choices.end",
        },
    ),
    ("5.2.4", Role.EV_OWNER, Role.CPO): (
        "Charging choice selection",
        x.ChargingSelection,
        {"one of the charging choices": "choice_id"},
    ),
}

TABLES = (("table 6", TABLE_6), ("table 7", TABLE_7), ("table 8", TABLE_8))
ROWS = [pytest.param(*key, *row, id="-".join((table, *key))) for table, rows in TABLES for key, row in rows.items()]
SOURCES = {key[0]: f"D5.1 {table.capitalize()}" for table, rows in TABLES for key in rows}


@pytest.mark.parametrize(("exchange", "sender", "receiver", "name", "content", "columns"), ROWS)
def test_each_row_of_the_table_has_its_content_and_that_has_a_field_for_all_it_says(
    exchange: str, sender: Role, receiver: Role, name: str, content: type[x.Content], columns: Columns
) -> None:
    assert content.model_fields["exchange"].default == exchange
    assert content in {leg.content for leg in LEGS if (leg.sender, leg.receiver) == (sender, receiver)}
    assert EXCHANGES[exchange].name == name
    assert EXCHANGES[exchange].source == SOURCES[exchange]
    fields = list(columns.values())
    assert len(set(fields)) == len(fields), "one field for two things"
    for thing, path in columns.items():
        assert found(sample(content), path) is not None, thing


@pytest.mark.parametrize(
    ("content", "unit"),
    [
        (x.NetworkPriceReduction, "EUR/kWh"),
        (x.AuctionTerms, "kW"),
        (x.AuctionTerms, "EUR"),
        (x.CurveBid, "kW"),
        (x.CurveBid, "EUR"),
        (x.ProcurementDecision, "kW"),
        (x.ProcurementResult, "kW"),
        (x.CapacityLimit, "kW"),
        (x.ChargingRequest, "kWh"),
        (x.ChargingRequest, "km"),
        (x.ChargingChoices, "EUR/kWh"),
    ],
)
def test_what_is_a_quantity_has_its_unit_in_the_name_and_in_the_schema(content: type[x.Content], unit: str) -> None:
    ending = {"EUR/kWh": "_eur_per_kwh", "EUR": "_eur", "kW": "_kw", "kWh": "_kwh", "km": "_km"}[unit]
    paths = {
        path
        for _, rows in TABLES
        for _, carrier, columns in rows.values()
        if carrier is content
        for path in columns.values()
    } | {"energy_kwh", "choices.price_eur_per_kwh"}
    named = [path for path in paths if path.endswith(ending) and hasattr(sample(content), path.partition(".")[0])]
    assert named
    for path in named:
        assert f"'x-unit': '{unit}'" in str(schema_of(content, path)), path


def test_every_content_of_buc_4_2_and_5_is_in_a_table_or_in_the_prose() -> None:
    of_the_prose = {
        x.PriceSubscription,  # 3.4.2: "the new prices are shared with the EV owners"
        x.ChargingPrices,  # 3.4.2: "updates the cost of charging on those stations (ID 4.2.2)"
        x.NetworkBill,  # 3.4.2: "the DSO lowers network prices": somebody pays them
        x.StationRegistration,  # 3.5.1: the FMO knows whom to send the terms to
        x.ConcludedContracts,  # 3.5.1: "the FMO checks, approves": the DSO hears what has become a contract
        x.LimitSettlement,  # 3.5: "in exchange for incentives or compensation"
        x.LimitSettlementAnswer,
        x.SessionReceipt,  # 3.5.2: the session that was chosen, as it was
    }
    tabled = {content for _, rows in TABLES for _, content, _ in rows.values()}
    carried = {type(s) for s in SAMPLES if (s.exchange or "").startswith(("4.2", "4.x.2", "5."))}
    assert carried == tabled | of_the_prose


def test_no_exchange_of_the_two_is_without_a_content() -> None:
    numbered = {name for name in EXCHANGES if name.startswith(("4.2", "4.x.2", "5."))}
    assert numbered == {s.exchange for s in SAMPLES if (s.exchange or "").startswith(("4.2", "4.x.2", "5."))}
