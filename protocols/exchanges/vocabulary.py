"""The closed sets of words that contents use."""

from __future__ import annotations

from enum import StrEnum


class ServiceType(StrEnum):
    """What the flexibility is for (D5.1 sections 3.2 to 3.4.1, 3.6.1 and 3.7)."""

    CONGESTION_MANAGEMENT = "congestion-management"
    VOLTAGE_CONTROL = "voltage-control"
    RES_CURTAILMENT = "res-curtailment"
    """More consumption, so that less wind is curtailed (D5.1 section 3.2)."""
    FREQUENCY_CONTAINMENT = "frequency-containment"
    """Frequency containment reserve (D5.1 section 3.7)."""


class FcrProduct(StrEnum):
    """The products of frequency containment in Denmark: DK2 has the Nordic ones, DK1 that of Continental Europe."""

    FCR_N = "fcr-n"
    FCR_D_UP = "fcr-d-up"
    FCR_D_DOWN = "fcr-d-down"
    FCR_CE = "fcr-ce"


class SignalType(StrEnum):
    """The "type of signal" of Tables 3 and 5. A deactivation is FIPA's cancel and needs no word of its own."""

    ACTIVATION = "activation"
    RENEWAL = "renewal"


class BaselineMethod(StrEnum):
    """How the consumption without the service is found: one method for each product."""

    NOMINATION = "nomination"
    METER_BEFORE_METER_AFTER = "meter-before-meter-after"
    HIGH_X_OF_Y = "high-x-of-y"


class PricingRule(StrEnum):
    """What an awarded bid is paid: the marginal price, or its own."""

    PAY_AS_CLEAR = "pay-as-clear"
    PAY_AS_BID = "pay-as-bid"


class ChargerState(StrEnum):
    """What a charging station is doing."""

    UNPLUGGED = "unplugged"
    IDLE = "idle"
    CHARGING = "charging"
    DISCHARGING = "discharging"
    FAULT = "fault"


class ActivationStatus(StrEnum):
    """Where an activation stands, as the TSO is told."""

    PLANNED = "planned"
    ACTIVE = "active"
    ENDED = "ended"
    CANCELLED = "cancelled"


class DataType(StrEnum):
    """The "type of request" of exchange 1.2.1: what the chargers report, or with their measurements."""

    STATUS = "status"
    MEASUREMENTS = "measurements"


class GridQuantity(StrEnum):
    """What the environment agent can read off the grid."""

    VOLTAGE = "voltage"
    FREQUENCY = "frequency"
