"""Field types with their unit, so that it stands in the name, in the type and in the JSON Schema (`x-unit`).

Signs: positive power is drawn from the grid; charging is positive, discharging and PV are negative. Where a field
holds a magnitude (a limit, an offered reduction) its type forbids the sign.
Price: EUR per kW for each 15-minute settlement period, as UFTP prices per ISP. Money and prices are exact decimals
and travel as JSON strings, because a JSON number is a binary fraction to most who read it.
Time: always with a UTC offset. A `Time` of a content has a fixed offset, whatever time zone it was made with: a
difference is then true on the days when the clocks change, and equality survives the wire (PEP 495 makes the
repeated hour of a `ZoneInfo` unequal to every fixed offset).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

MARKET_PERIOD = timedelta(minutes=15)
"""The settlement period of the demonstrators (imbalance settlement period of the EU since 2025)."""

NOMINAL_HZ = 50.0
"""The frequency of the demonstrators' grids."""

PRICE_PLACES = 6
"""Decimal places of a price: fine enough that a kW for one period is never priced wrong by a cent below 10 MW."""
MONEY_PLACES = 2
"""An amount that is paid is a whole number of cents."""
MAX_AMOUNT = Decimal(10) ** 12
"""Bound of every price and amount, so that an exponent in a string cannot exhaust the memory."""

_NO_CONTROLS = r"^[^\x00-\x1f\x7f]+$"


_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)


def _written_as_time(value: Any, info: ValidationInfo) -> Any:
    """Read the text of RFC 3339; pydantic's own reading would take "1700000000" for a time as well."""
    if info.mode == "python":
        return value
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise PydanticCustomError("time_form", "not a time as in 2026-07-01T12:00:00+02:00")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise PydanticCustomError("time_form", "not a time: {why}", {"why": str(error)}) from None


def _fixed_offset(at: datetime) -> datetime:
    offset = at.utcoffset()
    if offset is None:
        raise PydanticCustomError("time_without_offset", "time has no UTC offset")
    if not 1970 <= at.year <= 9000:
        # At the ends of the calendar a change of offset overflows.
        raise PydanticCustomError("time_range", "time is not between the years 1970 and 9000")
    return at.replace(tzinfo=timezone(offset), fold=0)


def _decimal(symbol: str, places: int, *, signed: bool) -> Any:
    """An exact decimal of at most `places` places; in JSON a plain decimal string, never a number."""
    sign = "-?" if signed else ""
    pattern = rf"^{sign}\d{{1,12}}(\.\d{{1,{places}}})?$"
    plain = re.compile(pattern, re.ASCII)

    def written_exactly(value: Any, info: ValidationInfo) -> Any:
        if info.mode == "python":
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("decimal_type", "an exact amount is written as a string")
        if not plain.fullmatch(value):
            raise PydanticCustomError(
                "decimal_form", "not a plain decimal of at most {places} places", {"places": places}
            )
        return Decimal(value)

    return (
        Field(lt=MAX_AMOUNT, gt=-MAX_AMOUNT if signed else None, ge=None if signed else 0, decimal_places=places),
        BeforeValidator(written_exactly),
        PlainSerializer(lambda value: format(value, "f"), return_type=str),
        WithJsonSchema({"type": "string", "pattern": pattern, "x-unit": symbol}),
    )


Time = Annotated[
    datetime,
    BeforeValidator(_written_as_time),
    AfterValidator(_fixed_offset),
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
"""The name of a thing or a reference to a message's subject: an id, a bus, a place."""
Jid = Annotated[
    str,
    StringConstraints(max_length=3071, pattern=r"^[^\x00-\x20\x7f\"&'/:<>@]+@[^\x00-\x20\x7f\"&'/:<>@]+(:\d+)?$"),
]
"""A bare JID, local@domain (RFC 7622)."""
MAX_TEXT = 4000
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
"""Words for people: no control characters but tab and the ends of lines."""

Kw = Annotated[float, Field(allow_inf_nan=False, json_schema_extra={"x-unit": "kW"})]
"""Power, signed: positive is drawn from the grid."""
Kvar = Annotated[float, Field(allow_inf_nan=False, json_schema_extra={"x-unit": "kvar"})]
"""Reactive power, signed as active power is."""
PositiveKw = Annotated[float, Field(gt=0, allow_inf_nan=False, json_schema_extra={"x-unit": "kW"})]
MagnitudeKw = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"x-unit": "kW"})]
"""Power without a direction: a limit, an offered reduction, a production."""
Kwh = Annotated[float, Field(allow_inf_nan=False, json_schema_extra={"x-unit": "kWh"})]
MagnitudeKwh = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"x-unit": "kWh"})]
PositiveKwh = Annotated[float, Field(gt=0, allow_inf_nan=False, json_schema_extra={"x-unit": "kWh"})]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, json_schema_extra={"x-unit": "%"})]
Volts = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"x-unit": "V"})]
Hertz = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"x-unit": "Hz"})]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, json_schema_extra={"x-unit": "deg"})]
"""Degrees north (WGS 84)."""
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, json_schema_extra={"x-unit": "deg"})]
"""Degrees east (WGS 84)."""
Minutes = Annotated[int, Field(ge=0, le=527_040, json_schema_extra={"x-unit": "min"})]
"""Whole minutes, at most a leap year."""
PeriodMinutes = Annotated[int, Field(gt=0, le=1440, json_schema_extra={"x-unit": "min"})]

EurPerKw = Annotated[Decimal, *_decimal("EUR/kW", PRICE_PLACES, signed=False)]
"""Price of one kW kept for one settlement period."""
EurPerKwh = Annotated[Decimal, *_decimal("EUR/kWh", PRICE_PLACES, signed=False)]
"""Price of energy: what a driver pays for a kWh charged, or gets for a kWh given back."""
Eur = Annotated[Decimal, *_decimal("EUR", MONEY_PLACES, signed=True)]
MagnitudeEur = Annotated[Decimal, *_decimal("EUR", MONEY_PLACES, signed=False)]


def as_price(value: Decimal | float | int) -> Decimal:
    """A price in EUR/kW, rounded half even to PRICE_PLACES: what a content of the wire accepts."""
    return _rounded(value, PRICE_PLACES)


def as_money(value: Decimal | float | int) -> Decimal:
    """An amount in EUR, rounded half even to cents."""
    return _rounded(value, MONEY_PLACES)


def _rounded(value: Decimal | float | int, places: int) -> Decimal:
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
