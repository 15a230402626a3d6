"""The roles an agent can play: the actors of D5.1, and the services of the platform.

Source: D5.1 section 2.2 (actors); the directory is the DF of FIPA SC00023, the environment is the physical
world, the observer writes down what was said.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What an agent is to the others. The value is what stands in traces, scenarios and the directory."""

    VPP = "vpp"
    CPO = "cpo"
    DSO = "dso"
    TSO = "tso"
    FMO = "fmo"
    """Flexibility market operator."""
    FO = "fo"
    """Flexibility operator, the "Flexibility Aggregator" of Table 3."""
    EMSP = "emsp"
    """Who invoices the driver: the EMRP or EMSP of D5.1."""
    V2X_MANAGER = "v2x_manager"
    EV_OWNER = "ev_owner"
    PRODUCER = "producer"
    DIRECTORY = "directory"
    ENVIRONMENT = "environment"
    OBSERVER = "observer"
