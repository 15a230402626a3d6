"""The manager of a parking lot of V2X chargers, with all that it does in the Danish day."""

from __future__ import annotations

from agents.congestion_help import CongestionHelp
from agents.frequency_service import FrequencyService


class ParkingManager(CongestionHelp, FrequencyService):
    """D5.1 3.3: "the V2X Manager is requested, by the DSO, to address the congestion problem after it has been
    identified"; it "defines the Merit order list of Flexibility Activations" and "delivers the request to customers";
    once the service is no longer needed the managers "stop providing the service and resume their normal operations".
    3.7: it "plays an important role in this process by requesting participation in the frequency control services",
    whose units "must measure the frequency and automatically activate reserves on their own".

    A vehicle serves one of the two at a time: what one has claimed the other leaves alone. Both follow the same plan
    where they do nothing (`agents.parking`).
    """
