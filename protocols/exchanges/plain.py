"""Contents of the plain acts: what an interaction protocol says where D5.1 has no exchange of its own."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.exchanges.content import Content, printable
from protocols.units import Identifier, MagnitudeKw, Text


class Reason(Content):
    """Why something was refused, failed, was rejected or not understood. `code` is for machines."""

    exchange: None = None
    code: Identifier
    reason: Text
    faults: tuple[Text, ...] = ()

    @classmethod
    def of(cls, code: str, reason: str, faults: Sequence[str] = ()) -> Reason:
        """The reason, made fit to be sent where its words quote what a stranger wrote."""
        (words,) = printable([reason])
        return cls(code=code, reason=words, faults=tuple(printable(faults)))


class Done(Content):
    """It is agreed, or done. `reference` is the id of what was asked."""

    exchange: None = None
    reference: Identifier


class ActivationAnswer(Content):
    """The CPO's agree or refuse to an activation signal 1.2.3, which Table 2 numbers only for the hop above.

    `available_power_kw` is the reduction that the CPO can keep, >= 0.
    """

    exchange: None = None
    activation_id: Identifier
    available_power_kw: MagnitudeKw
    reason: Text | None = None


class Cancellation(Content):
    """The initiator calls off what it asked for (FIPA cancel meta-protocol). `reference` is the id of that."""

    exchange: None = None
    reference: Identifier
    reason: Text
