"""Our tables say what the SunSpec Alliance's own definitions say."""

from __future__ import annotations

from typing import Any

import pytest
import sunspec2.device

from environment import sunspec
from environment.sunspec import MODELS

KINDS = {
    "uint16": "u16",
    "int16": "i16",
    "uint32": "u32",
    "int32": "i32",
    "uint64": "u64",
    "acc64": "a64",
    "enum16": "e16",
    "bitfield16": "b16",
    "bitfield32": "b32",
    "sunssf": "sf",
    "string": "str",
    "pad": "pad",
}
CONTROL_SETS = 2


def published(group: dict[str, Any], prefix: str = "") -> list[tuple[str, str, int, str | None, bool]]:
    points = [
        (prefix + p["name"], KINDS[p["type"]], p["size"], p.get("sf"), p.get("access") == "RW") for p in group["points"]
    ]
    for inner in group.get("groups", []):
        if inner.get("count") == "NCtl":
            for n in range(CONTROL_SETS):
                points += published(inner, f"{prefix}{inner['name']}[{n}].")
        else:
            points += published(inner, f"{prefix}{inner['name']}.")
    return points


@pytest.mark.parametrize("model_id", sorted(MODELS))
def test_every_point_is_as_published(model_id: int) -> None:
    definition = published(sunspec2.device.get_model_def(model_id)["group"])
    ours = [(p.name, p.kind, p.size, p.scale, p.writable) for p in MODELS[model_id].points.values()]
    assert ours == definition
    assert MODELS[model_id].size == sum(size for _, _, size, _, _ in definition)


@pytest.mark.parametrize(
    ("kind", "value", "registers"),
    [
        ("W", -7400, [0xE318]),
        ("W", None, [0x8000]),
        ("Hz", 49_987, [0, 49_987]),
        ("Hz", None, [0xFFFF, 0xFFFF]),
        ("TotWhInj", 0x1_0000_0001, [0, 1, 0, 1]),
    ],
)
def test_a_value_and_its_registers_are_each_other(kind: str, value: int | None, registers: list[int]) -> None:
    point = MODELS[701].points[kind]
    assert point.encode(value) == registers
    assert point.decode(registers) == value


def test_an_accumulator_without_a_count_is_none() -> None:
    counter = MODELS[122].points["ActWh"]
    assert counter.encode(None) == [0, 0, 0, 0]
    assert counter.decode([0, 0, 0, 0]) is None
    assert counter.decode([0, 0, 1, 0]) == 0x1_0000


def test_a_text_is_filled_up_and_cut() -> None:
    assert MODELS[1].points["Vr"].encode("1.0") == [0x312E, 0x3000, *[0] * 6]
    assert len(MODELS[1].points["Vr"].encode("x" * 40)) == 8


def test_a_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(OverflowError):
        MODELS[701].points["W"].encode(40_000)


def test_the_sign_is_turned_both_ways() -> None:
    assert sunspec.to_grid_kw(-7400) == 7.4
    assert sunspec.to_sunspec_w(7.4) == -7400
    assert str(sunspec.to_grid_kw(0)) == "0.0"
