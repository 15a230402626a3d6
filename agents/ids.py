"""References that two actors must form alike, because no exchange carries them from one to the other."""

from __future__ import annotations


def activation_of(bid_id: str) -> str:
    """The id of the activation of an awarded bid: a bid is activated once (D5.1, 3.1.2: "for each of the selected
    bids, activation will be initiated by the DSO"), and the FMO must ask for its measurements by that id."""
    return f"activation-{bid_id}"
