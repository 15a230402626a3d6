"""Every content: the same after the wire, and every fault of it found with its path."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from protocols import exchanges as x
from protocols import schema
from protocols.acl import Performative
from protocols.units import as_money, as_price
from tests.protocols.samples import CHARGER, END, NOON, SAMPLES, START, ZONE, sample

every_content = pytest.mark.parametrize("content", SAMPLES, ids=lambda content: type(content).__name__)


def parts(value: Any, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    """The model itself and every part inside, with the path at which it stands."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from parts(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from parts(item, f"{path}[{index}]")


def fields() -> Iterator[Any]:
    for content in SAMPLES:
        for path, part in parts(content):
            for name, field in type(part).model_fields.items():
                whole = f"{path}.{name}" if path else name
                yield pytest.param(content, whole, field, id=f"{type(content).__name__}-{whole}")


every_field = pytest.mark.parametrize(("content", "path", "field"), list(fields()))


def owner_of(members: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The JSON object in which the last step of the path stands, and that step."""
    *steps, last = path.replace("[", ".").replace("]", "").split(".")
    inner: Any = members
    for step in steps:
        inner = inner[int(step) if step.isdigit() else step]
    return inner, last


def faults_of(content: x.Content, members: dict[str, Any]) -> list[str]:
    with pytest.raises(x.ContentError) as caught:
        type(content).from_json(members)
    return caught.value.faults


def admits(annotation: Any, kind: type) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(admits(arm, kind) for arm in get_args(annotation))
    return bool(annotation is kind or get_origin(annotation) is kind)


def test_there_is_a_sample_of_every_content_that_a_message_can_carry() -> None:
    assert {type(content) for content in SAMPLES} == set(schema.contents())
    public = {getattr(x, name) for name in x.__all__}
    contents = {c for c in public if isinstance(c, type) and issubclass(c, x.Content)}
    # What has no exchange of its own is only what others have in common.
    assert {c for c in contents if not c.model_fields["exchange"].is_required()} == set(schema.contents())


@every_content
def test_a_content_is_the_same_after_the_wire(content: x.Content) -> None:
    wire = json.dumps(content.to_json())
    again = type(content).from_json(json.loads(wire))
    assert again == content
    assert json.dumps(again.to_json()) == wire
    assert next(iter(content.to_json())) == "exchange"


@every_content
def test_a_content_cannot_be_changed(content: x.Content) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        content.exchange = "other"


GO_TOGETHER = {
    (x.GridQuery, "location"),
    (x.DataMeasurements, "plan_start"),
    (x.Invoice, "lines[0].energy_kwh"),
    (x.Invoice, "lines[0].price_eur_per_kwh"),
    *((x.ProcurementResult, name) for name in ("contract_id", "dso", "limit_kw", "price_eur")),
    *((x.LimitSettlement, name) for name in ("activation_id", "limit_kw", "highest_kw")),
}
"""Fields that may be None by themselves, but not beside what the sample says in another."""


@every_field
def test_a_missing_field_is_a_fault_with_its_path(content: x.Content, path: str, field: Any) -> None:
    members = content.to_json()
    owner, name = owner_of(members, path)
    del owner[name]
    if field.is_required():
        assert faults_of(content, members) == [f"{path}: is missing"]
    elif (type(content), path) not in GO_TOGETHER:
        assert isinstance(type(content).from_json(members), x.Content)


@every_field
def test_a_value_of_a_wrong_type_is_a_fault_with_its_path(content: x.Content, path: str, field: Any) -> None:
    members = content.to_json()
    owner, name = owner_of(members, path)
    for wrong in ({"un": "expected"}, [[]], True, 1e400, "\x00"):
        if wrong is True and admits(field.annotation, bool):
            continue
        owner[name] = wrong
        faults = faults_of(content, members)
        assert faults
        assert all(fault.startswith(path) for fault in faults), (wrong, faults)


@every_field
def test_null_is_a_fault_where_the_field_is_not_optional(content: x.Content, path: str, field: Any) -> None:
    members = content.to_json()
    owner, name = owner_of(members, path)
    owner[name] = None
    if admits(field.annotation, type(None)) or field.annotation is None:
        if (type(content), path) not in GO_TOGETHER:
            assert isinstance(type(content).from_json(members), x.Content)
    else:
        assert [fault.partition(":")[0] for fault in faults_of(content, members)] == [path]


@every_content
def test_an_unknown_field_is_a_fault_with_its_path_at_every_depth(content: x.Content) -> None:
    for path, _ in parts(content):
        members = content.to_json()
        where = f"{path}.surprise" if path else "surprise"
        owner, name = owner_of(members, where)
        owner[name] = 1
        assert faults_of(content, members) == [f"{where}: is not a field of this content"]


def test_every_fault_of_a_content_is_told_at_once() -> None:
    members = sample(x.DataMeasurements).to_json()
    del members["request_id"]
    members["production_kw"] = -1.0
    members["chargers"][0]["soc_percent"] = 101.0
    members["chargers"][0]["state"] = "asleep"
    paths = [fault.partition(":")[0] for fault in faults_of(sample(x.DataMeasurements), members)]
    assert paths == ["request_id", "production_kw", "chargers[0].state", "chargers[0].soc_percent"]


@pytest.mark.parametrize(
    "text",
    ["2026-07-01T12:00:00", "2026-07-01", "1782900000", "now", "2026-02-30T12:00:00Z", "0001-01-01T00:00:00+14:00"],
)
def test_a_time_needs_a_date_a_clock_and_an_offset(text: str) -> None:
    content = sample(x.DataRequest)
    (fault,) = faults_of(content, {**content.to_json(), "timestamp": text})
    assert fault.startswith("timestamp: ")


def test_a_time_in_the_repeated_hour_is_the_same_after_the_wire() -> None:
    again = datetime(2026, 10, 25, 2, 30, tzinfo=ZONE, fold=1)
    first = again.replace(fold=0)
    query = x.MeasurementsQuery(activation_id="a1", start=first, end=again)
    assert query.end - query.start == timedelta(hours=1)
    assert query.to_json()["start"].endswith("+02:00")
    assert query.to_json()["end"].endswith("+01:00")
    assert x.MeasurementsQuery.from_json(query.to_json()) == query


@pytest.mark.parametrize("text", ["0.1234567", "1e3", "-0.10", "NaN", "", " 1", "1234567890123", "١"])
def test_a_price_is_a_plain_decimal_that_is_not_negative(text: str) -> None:
    content = sample(x.PoolBid)
    (fault,) = faults_of(content, {**content.to_json(), "price_eur_per_kw": text})
    assert fault.startswith("price_eur_per_kw: ")


def test_a_price_as_a_json_number_is_refused_because_it_is_not_exact() -> None:
    content = sample(x.PoolBid)
    (fault,) = faults_of(content, {**content.to_json(), "price_eur_per_kw": 0.45})
    assert fault == "price_eur_per_kw: an exact amount is written as a string"


def test_an_amount_that_is_paid_is_in_whole_cents() -> None:
    with pytest.raises(ValidationError, match="amount_eur"):
        x.Payment(bill_id="b", transaction_id="t", amount_eur=Decimal("0.001"))
    assert as_money(Decimal("0.125")) == Decimal("0.12")
    assert as_money(Decimal("0.135")) == Decimal("0.14")
    assert as_price(1 / 3) == Decimal("0.333333")


@pytest.mark.parametrize(
    ("content", "change", "field"),
    [
        (sample(x.PoolOpening), {"end": START}, "end"),
        (sample(x.Bid), {"min_power_kw": 26.0}, "min_power_kw"),
        (sample(x.Bid), {"baseline_kw": (1.0,)}, "baseline_kw"),
        (sample(x.FlexibilityNeed), {"gate_closure": END}, "gate_closure"),
        (sample(x.ProductRequirements), {"valid_until": NOON - timedelta(days=2)}, "valid_until"),
        (sample(x.ResourceRegistration), {"charger_ids": ("c1", "c1")}, "charger_ids"),
        (sample(x.ResourceRegistration), {"charger_ids": ()}, "charger_ids"),
        (sample(x.DataMeasurements), {"chargers": (CHARGER, CHARGER)}, "chargers"),
        (sample(x.DataMeasurements), {"plan_start": None}, "plan_start"),
        (sample(x.SessionAnnouncement), {"departure": NOON}, "departure"),
        (sample(x.MeasurementsCollection), {"power_kw": (1.0, 2.0, 3.0)}, "power_kw"),
        (sample(x.MeasurementsCollection), {"baseline_kw": (1.0,)}, "baseline_kw"),
        (sample(x.DeliveredVolume), {"measured_kw": (1.0,)}, "measured_kw"),
        (sample(x.Bill), {"amount_eur": Decimal("17.51")}, "amount_eur"),
        (sample(x.Bill), {"payee": "dso@localhost"}, "payee"),
        (sample(x.GridQuery), {"location": None}, "location"),
        (sample(x.GridReading), {"unit": "Hz"}, "unit"),
        (sample(x.MeterReading), {"period_minutes": 10}, "series[0].power_kw"),
    ],
)
def test_fields_that_contradict_each_other_are_a_fault_when_made_and_when_received(
    content: x.Content, change: dict[str, Any], field: str
) -> None:
    values = {name: getattr(content, name) for name in type(content).model_fields} | change
    with pytest.raises(ValidationError, match="contradiction"):
        type(content)(**values)
    wrong = type(content).model_construct(**values).to_json()
    (fault,) = faults_of(content, wrong)
    assert fault.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("content", "change", "act", "field"),
    [
        (sample(x.MarketResult), {"cleared_power_kw": 0.0}, Performative.ACCEPT_PROPOSAL, "cleared_power_kw"),
        (sample(x.MarketResult), {}, Performative.REJECT_PROPOSAL, "cleared_power_kw"),
        (sample(x.PoolAward), {}, Performative.REJECT_PROPOSAL, "power_kw"),
        (sample(x.VppActivationResponse), {}, Performative.REFUSE, "accepted"),
        (sample(x.CpoActivationResponse), {"accepted": False}, Performative.AGREE, "accepted"),
    ],
)
def test_a_content_may_not_say_the_contrary_of_its_act(
    content: x.Content, change: dict[str, Any], act: Performative, field: str
) -> None:
    assert [name for name, _ in content.model_copy(update=change).contradicts(act)] == [field]


def test_python_values_of_a_wrong_type_are_refused_when_a_content_is_made() -> None:
    with pytest.raises(ValidationError):
        x.Payment(bill_id="b", transaction_id="t", amount_eur=17.5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        x.DataRequest(request_id="q", data_type="status", timestamp=NOON)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="offset"):
        x.DataRequest(request_id="q", data_type=x.DataType.STATUS, timestamp=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("jid", ["cpo", "cpo@", "@localhost", "a@b@c", "cpo@localhost/phone", "c po@localhost", ""])
def test_a_jid_is_bare_and_has_both_its_parts(jid: str) -> None:
    (fault,) = faults_of(sample(x.Deregistration), {"exchange": "df.deregister", "jid": jid})
    assert fault.startswith("jid: ")


def test_content_nested_without_end_is_a_fault_and_no_crash() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    (fault,) = faults_of(sample(x.Deregistration), {"exchange": "df.deregister", "jid": deep})
    assert fault


def test_text_that_is_no_unicode_is_a_fault_and_no_crash() -> None:
    members = {"exchange": "df.deregister", "jid": "\ud800@localhost"}
    assert faults_of(sample(x.Deregistration), members)


def test_faults_that_quote_a_stranger_stay_printable_short_and_few() -> None:
    members = {"exchange": "df.deregister", "jid": "a@b", "\x00" * 5000: 1} | {f"x{n}": 1 for n in range(500)}
    faults = faults_of(sample(x.Deregistration), members)
    assert len(faults) == 100
    assert faults[-1] == "and 402 more"
    assert all(len(fault) <= 300 and fault.isprintable() for fault in faults)
    assert x.Reason.of("malformed", "\x07" * 9999, faults).faults == tuple(faults)
