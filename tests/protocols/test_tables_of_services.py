"""Tables 3 and 5 of D5.1, column by column: the field that carries each thing which they say is exchanged."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from protocols import exchanges as x
from protocols.catalogue import LEGS
from protocols.roles import Role
from protocols.schema import export
from tests.protocols.samples import SAMPLES, sample

Columns = dict[str, str]

_STATE: Columns = {
    "Timestamp": "timestamp",
    "ID User": "users.user_id",
    "Type of Service": "service",
    "Power": "users.power_kw",
    "Energy": "users.energy_kwh",
    "SOC in %": "users.soc_percent",
    "SOC in kWh": "users.soc_kwh",
    "Charging Rate": "users.charging_rate_kw",
    "Energy required to achieve the objective": "users.energy_required_kwh",
}
_SIGNAL: Columns = {
    "Timestamp": "timestamp",
    "ID User": "user_id",
    "Type of Service": "service",
    "P Power": "power_kw",
    "Q Power": "q_kvar",
    "Type of Signal": "signal",
    "Start time": "start",
    "Duration": "duration_minutes",
}
_REQUEST: Columns = {
    "Timestamp": "timestamp",
    "ID Request": "request_id",
    "ID User": "user_id",
    "Type of Service": "service",
    "Power": "power_kw",
    "Time start": "start",
    "Duration": "duration_minutes",
    "Location": "location",
    "Charging Cost": "charging_cost_eur_per_kwh",
    "Discharging Remuneration": "discharging_remuneration_eur_per_kwh",
}
_RESPONSE: Columns = {
    "Timestamp": "timestamp",
    "ID Request": "request_id",
    "ID User": "user_id",
    "Type of Service": "service",
    "Response": "power_kw",
    "Energy": "energy_kwh",
    "Duration": "duration_minutes",
}

TABLE_3: dict[tuple[str, Role, Role], tuple[type[x.Content], Columns]] = {
    ("2.1", Role.PRODUCER, Role.TSO): (
        x.Measurements,
        {
            "Timestamp": "timestamp",
            "ID Request": "request_id",
            "Pprod (Production)": "production_kw",
            "Pev (EV Active Power Consumption)": "ev_kw",
            "P (Active Power Demand)": "p_kw",
            "Q (Reactive Power Demand)": "q_kvar",
            "U (Voltage)": "u_v",
            "f (Frequency)": "f_hz",
        },
    ),
    ("2.2", Role.FO, Role.TSO): (x.FlexibilityInformation, _STATE),
    ("2.3", Role.TSO, Role.FO): (x.CurtailmentActivation, _SIGNAL),
    ("2.3", Role.FO, Role.V2X_MANAGER): (x.CurtailmentAward, _SIGNAL),
    ("2.3", Role.FO, Role.EMSP): (x.CurtailmentNotice, _SIGNAL),
    ("2.4", Role.FO, Role.V2X_MANAGER): (x.CurtailmentCall, _REQUEST),
}
"""Table 3: "Detailed Information exchange for BUC 2". "Flexibility Aggregator" is the FO."""

TABLE_5: dict[tuple[str, Role, Role], tuple[type[x.Content], Columns]] = {
    ("4.1.1", Role.DSO, Role.FO): (x.VoltageRequest, _REQUEST),
    ("4.1.1", Role.FO, Role.V2X_MANAGER): (x.VoltageCall, _REQUEST),
    ("4.1.2", Role.V2X_MANAGER, Role.FO): (x.ParticipationResponse, _RESPONSE),
    ("4.1.3", Role.FO, Role.V2X_MANAGER): (x.VoltageAward, _SIGNAL),
    ("4.1.3", Role.FO, Role.EMSP): (x.VoltageNotice, _SIGNAL),
    ("4.1.4", Role.V2X_MANAGER, Role.FO): (x.ParticipationInfo, _STATE),
    ("4.1.4", Role.FO, Role.DSO): (x.ParticipationInfo, _STATE),
}
"""Table 5: "Detailed Information exchange for BUC 4.1". The EMRP is the EMSP."""

ROWS = [
    pytest.param(*key, *row, id="-".join((table, *key)))
    for table, rows in (("table 3", TABLE_3), ("table 5", TABLE_5))
    for key, row in rows.items()
]
UNITS = {"Power": "kW", "P Power": "kW", "Q Power": "kvar", "Energy": "kWh", "SOC in %": "%", "SOC in kWh": "kWh"}


def found(content: BaseModel, path: str) -> Any:
    """What a content says in the field at a dotted path; of a list, its first member."""
    value: Any = content
    for step in path.split("."):
        value = getattr(value[0] if isinstance(value, tuple) else value, step)
    return value


def schema_of(content: type[x.Content], path: str) -> dict[str, Any]:
    definitions = export()["$defs"]
    node: dict[str, Any] = definitions[content.__name__]
    for step, following in pairwise((*path.split("."), "")):
        node = node["properties"][step]
        if following:
            node = definitions[node["items"]["$ref"].rpartition("/")[2]]
    return node


@pytest.mark.parametrize(("exchange", "sender", "receiver", "content", "columns"), ROWS)
def test_each_column_of_the_table_has_its_field(
    exchange: str, sender: Role, receiver: Role, content: type[x.Content], columns: Columns
) -> None:
    assert content.model_fields["exchange"].default == exchange
    assert content in {leg.content for leg in LEGS if (leg.sender, leg.receiver) == (sender, receiver)}
    fields = list(columns.values())
    assert len(set(fields)) == len(fields), "one field for two columns"
    for column, path in columns.items():
        assert found(sample(content), path) is not None, column
        if (unit := UNITS.get(column)) is not None:
            assert f"'x-unit': '{unit}'" in str(schema_of(content, path)), column


def test_every_content_of_buc_2_and_4_1_is_in_a_table_or_in_the_prose() -> None:
    of_the_prose = {
        x.Availability,  # 3.2: "information about their availability"
        x.Invoice,  # 3.2: "the invoicing of the different services"
        x.InvoicePayment,
        x.MeasurementsSubscription,  # both sections: "every 15 minutes"
        x.FlexibilitySubscription,
        x.ParticipationSubscription,
        x.HeadroomSubscription,  # 3.4.1: what keeps a service of the TSO within the DSO's voltages
        x.Headroom,
    }
    tabled = {content for content, _ in (*TABLE_3.values(), *TABLE_5.values())}
    carried = {type(s) for s in SAMPLES if (s.exchange or "").startswith(("2.", "4.1", "4.x.1"))}
    assert carried == tabled | of_the_prose


def test_the_deactivation_of_both_tables_is_the_cancel_of_what_was_activated() -> None:
    assert set(x.SignalType) == {x.SignalType.ACTIVATION, x.SignalType.RENEWAL}
    assert set(x.Cancellation.model_fields) == {"exchange", "reference", "reason"}
