"""What is wrong with a well-formed content in the light of what was said before.

One function for each rule, as the validators of Shapeshifter (the UFTP implementation) have one for each rejection
reason. They look at an act and at a `Register` of earlier ones; the time is that of the act. An act that has no
violation is then noted in the register (`admit`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from protocols import exchanges as x
from protocols.acl import Performative
from protocols.campus_semantics import CAMPUS_CHECKS
from protocols.market_time import begins_period, periods_between, periods_in_day
from protocols.public_semantics import PUBLIC_CHECKS
from protocols.reference_tables import DEFINES
from protocols.references import Grounds, Register, Said
from protocols.rules import POWER_TOLERANCE_KW, Check, Rule, Violation
from protocols.service_semantics import SERVICE_CHECKS

__all__ = ["CHECKS", "Rule", "Violation", "admit", "reason_for", "violations"]


def violations(register: Register, said: Said) -> tuple[Violation, ...]:
    """Every rule that the act breaks, none if it may be acted upon. The register is not changed."""
    grounds = Grounds(register, said)
    return tuple(violation for check in CHECKS for violation in check(register, said, grounds))


def admit(register: Register, said: Said) -> tuple[Violation, ...]:
    """Every rule that the act breaks; an act that breaks none is noted, and may be acted upon.

    An agent admits what it receives, after the catalogue's authority, and notes (`Register.note`) what it sends.
    """
    found = violations(register, said)
    if not found:
        register.note(said)
    return found


def reason_for(found: Sequence[Violation]) -> x.Reason:
    """What to answer to an act that breaks rules: the first one's name as the code, all of them as faults."""
    return x.Reason.of(found[0].rule, str(found[0]), [str(violation) for violation in found])


def period_bounds(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Start and end lie on the market's periods, within a day's length, and within what is referred to."""
    content = said.content
    if isinstance(content, _OF_THE_PAST):
        return  # What happened, or is measured, need not fit the market's grid.
    if (window := _window(content)) is None:
        return
    start, end = window
    # A driver may come in the middle of a period, and is asked for what is left of it.
    to_driver = isinstance(content, x.ParticipationInformation | x.ParticipationRequest)
    for name, at in (("start", start), ("end", end)):
        if not to_driver and not begins_period(at, register.zone):
            yield Violation(Rule.PERIOD_BOUNDS, name, f"{at.isoformat()} does not begin a market period")
    day = start.astimezone(register.zone).date()
    if periods_between(start, end) > (longest := periods_in_day(day, register.zone)):
        yield Violation(Rule.PERIOD_BOUNDS, "end", f"is more than the {longest} periods of {day} after start")
    if isinstance(content, x.MeasurementsQuery):
        return  # A baseline may need the time before and after the activation.
    for ground in grounds:
        if (outer := _window(ground)) and not outer[0] <= start < end <= outer[1]:
            yield Violation(Rule.PERIOD_BOUNDS, "start", f"or end is outside the {type(ground).__name__}")
        if isinstance(ground, x.MeasurementsQuery):
            return
    if product := grounds.first(x.ProductRequirements):
        if not product.valid_from <= start < end <= product.valid_until:
            yield Violation(Rule.PERIOD_BOUNDS, "start", f"or end is outside the validity of {product.product_id}")
        if end - start > timedelta(minutes=product.max_duration_minutes):
            yield Violation(Rule.PERIOD_BOUNDS, "end", f"is over {product.max_duration_minutes} min after start")


def expired(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Nothing is asked, offered or ordered after the time for it has passed."""
    content, at = said.content, said.at
    if said.reply_by is not None and at > said.reply_by:
        yield Violation(Rule.EXPIRED, "reply-by", "has passed")
    need = content if isinstance(content, x.FlexibilityNeed) else grounds.first(x.FlexibilityNeed)
    if need and isinstance(content, x.FlexibilityNeed | x.RequestForBids | x.Bid) and at > need.gate_closure:
        yield Violation(Rule.EXPIRED, "gate_closure", f"of {need.need_id} has passed")
    match content:
        case x.ProductRequirements() if at >= content.valid_until:
            yield Violation(Rule.EXPIRED, "valid_until", "has passed")
        case x.FlexibilityNeed() | x.RequestForBids() | x.Bid() | x.PoolOpening() if at > content.start:
            yield Violation(Rule.EXPIRED, "start", "has passed")
        case x.PoolBid() if (pool := grounds.first(x.PoolOpening)) and at > pool.start:
            yield Violation(Rule.EXPIRED, "pool_id", f"{pool.pool_id} has started")
        case (
            x.ActivationSignal()
            | x.PoolActivation()
            | x.CpoActivation()
            | x.ParticipationInformation()
            | x.ParticipationRequest()
        ) if at >= content.end:
            yield Violation(Rule.EXPIRED, "end", "has passed")
        case x.Bill() if at > content.due:
            yield Violation(Rule.EXPIRED, "due", "has passed")
        case x.Payment() if (bill := grounds.first(x.Bill)) and at > bill.due:
            yield Violation(Rule.EXPIRED, "bill_id", f"{bill.bill_id} was due")
        case x.Invoice() if at > content.due:
            yield Violation(Rule.EXPIRED, "due", "has passed")
        case x.InvoicePayment() if (invoice := grounds.first(x.Invoice)) and at > invoice.due:
            yield Violation(Rule.EXPIRED, "invoice_id", f"{invoice.invoice_id} was due")


def short_notice(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """The DSO activates as early as the product promises."""
    content, product = said.content, grounds.first(x.ProductRequirements)
    if not isinstance(content, x.ActivationSignal) or product is None or grounds.first(x.ActivationSignal):
        return
    if content.start - said.at < timedelta(minutes=product.notice_minutes):
        yield Violation(Rule.SHORT_NOTICE, "start", f"is in less than {product.notice_minutes} min")


def references(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """What is referred to was said, was not declined where an award is needed, and was not used before."""
    content = said.content
    if isinstance(content, x.ActivatedResources) and content.status is x.ActivationStatus.PLANNED:
        return  # The TSO hears of a plan before it is ordered.
    for reference in register.references_of(said):
        if (value := getattr(content, reference.field)) is None:
            continue
        found = register.resolve(said, reference)
        if not found:
            if register.can_judge(said, reference):
                yield Violation(Rule.UNKNOWN_REFERENCE, reference.field, f"{value!r} is unknown")
            continue
        awards = [e for e in found if isinstance(e.content, x.MarketResult | x.PoolAward)]
        if awards and all(award.performative is not Performative.ACCEPT_PROPOSAL for award in awards):
            yield Violation(Rule.UNKNOWN_REFERENCE, reference.field, f"{value!r} was not awarded")
        if not reference.once:
            continue
        used = [
            use
            for use in register.find(type(content), reference.field, value)
            if (use.sender, use.receiver) == (said.sender, said.receiver) and not register.declined(use)
        ]
        if len(used) >= len(found):
            yield Violation(Rule.REFERENCE_USED, reference.field, f"{value!r} has been used")


def same_id(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """An id names one thing for ever."""
    kind = type(said.content)
    if kind not in DEFINES:
        return
    name, for_each_receiver = DEFINES[kind]
    value = getattr(said.content, name)
    for earlier in register.find(kind, name, value):
        same_scope = earlier.sender == said.sender and (earlier.receiver == said.receiver or not for_each_receiver)
        if same_scope and earlier.content != said.content:
            yield Violation(Rule.SAME_ID_OTHER_CONTENT, name, f"{value!r} has been given to other content")
            return


def ordered_once(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """An awarded bid is activated once, unless its activation was declined."""
    content = said.content
    if not isinstance(content, x.ActivationSignal | x.PoolActivation):
        return
    for earlier in register.find(type(content), "bid_id", content.bid_id):
        if (earlier.sender, earlier.receiver) != (said.sender, said.receiver) or register.declined(earlier):
            continue
        assert isinstance(earlier.content, x.ActivationSignal | x.PoolActivation)
        if earlier.content.activation_id != content.activation_id:
            text = f"{content.bid_id!r} is ordered already, by {earlier.content.activation_id!r}"
            yield Violation(Rule.ORDERED_TWICE, "bid_id", text)
            return


def congestion_point(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """The place is that of what is referred to; a bid's location is its congestion point."""
    if (here := _place(said.content)) is None:
        return
    for ground in grounds:
        if (there := _place(ground)) is not None and there != here:
            field = "location" if isinstance(said.content, x.Bid) else "congestion_point"
            yield Violation(Rule.WRONG_CONGESTION_POINT, field, f"is {here!r}, not {there!r}")
            return


def service(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """The type of service is that of what is referred to."""
    wanted = getattr(said.content, "service", None)
    for ground in grounds:
        if wanted is not None and (other := getattr(ground, "service", wanted)) != wanted:
            yield Violation(Rule.WRONG_SERVICE, "service", f"is {wanted}, not {other}")
            return


def price(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """No price is above the maximum of the pool, call, need or product; none that is awarded is below the bid."""
    content = said.content
    for name in ("price_eur_per_kw", "market_price_eur_per_kw", "max_price_eur_per_kw"):
        if (asked := getattr(content, name, None)) is None:
            continue
        limits = [limit for ground in grounds if (limit := getattr(ground, "max_price_eur_per_kw", None)) is not None]
        if limits and asked > min(limits):
            yield Violation(Rule.PRICE_ABOVE_MAXIMUM, name, f"is {asked} EUR/kW, more than {min(limits)}")
        bid = grounds.first(x.Bid) or grounds.first(x.PoolBid)
        awarded = isinstance(content, x.MarketResult | x.PoolAward)
        if awarded and said.performative is Performative.ACCEPT_PROPOSAL and bid and asked < bid.price_eur_per_kw:
            yield Violation(Rule.PRICE_BELOW_BID, name, f"is {asked} EUR/kW, less than {bid.price_eur_per_kw}")


def power(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Nobody is awarded, ordered or qualified more than was offered; a bid meets the product's least power."""
    content = said.content
    for name, kind, target in _NOT_MORE.get(type(content), ()):
        if (ground := grounds.first(kind)) is not None:
            value, limit = getattr(content, name), getattr(ground, target)
            if value > limit + POWER_TOLERANCE_KW:
                yield Violation(Rule.POWER_BOUNDS, name, f"is {value} kW, more than {limit}")
    if isinstance(content, x.MarketResult) and (bid := grounds.first(x.Bid)):
        cleared = content.cleared_power_kw
        if 0 < cleared < bid.min_power_kw - POWER_TOLERANCE_KW:
            text = f"is {cleared} kW, less than {bid.min_power_kw}"
            yield Violation(Rule.POWER_BOUNDS, "cleared_power_kw", text)
    if isinstance(content, x.Bid) and (product := grounds.first(x.ProductRequirements)):
        if content.power_kw < product.min_power_kw - POWER_TOLERANCE_KW:
            text = f"is {content.power_kw} kW, less than {product.min_power_kw}"
            yield Violation(Rule.POWER_BOUNDS, "power_kw", text)
        steps = content.power_kw / product.granularity_kw
        if abs(steps - round(steps)) * product.granularity_kw > POWER_TOLERANCE_KW:
            text = f"is {content.power_kw} kW, not in steps of {product.granularity_kw}"
            yield Violation(Rule.POWER_BOUNDS, "power_kw", text)


_NOT_MORE: dict[type[x.Content], tuple[tuple[str, type[x.Content], str], ...]] = {
    x.PrequalificationResult: (
        ("qualified_charge_kw", x.PrequalificationRequest, "max_charge_kw"),
        ("qualified_discharge_kw", x.PrequalificationRequest, "max_discharge_kw"),
    ),
    x.RegistrationResult: (
        ("qualified_charge_kw", x.ResourceRegistration, "max_charge_kw"),
        ("qualified_discharge_kw", x.ResourceRegistration, "max_discharge_kw"),
    ),
    x.RequestForBids: (("power_needed_kw", x.FlexibilityNeed, "power_kw"),),
    x.NeedResult: (("unserved_kw", x.FlexibilityNeed, "power_kw"),),
    x.MarketResult: (("cleared_power_kw", x.Bid, "power_kw"),),
    x.ActivationSignal: (
        ("power_kw", x.MarketResult, "cleared_power_kw"),
        ("power_kw", x.ActivationSignal, "power_kw"),
    ),
    x.PoolAward: (("power_kw", x.PoolBid, "power_kw"),),
    x.PoolActivation: (("power_kw", x.PoolAward, "power_kw"),),
    x.CpoActivation: (("power_kw", x.PoolActivation, "power_kw"),),
}


def baseline(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A product settled by nomination has one in its bids; a pool's nomination has a value for each period."""
    content, product = said.content, grounds.first(x.ProductRequirements)
    nominated = product is not None and product.baseline is x.BaselineMethod.NOMINATION
    if isinstance(content, x.Bid) and product and nominated and not content.baseline_kw:
        yield Violation(Rule.BASELINE, "baseline_kw", f"is empty; {product.product_id} needs a nomination")
    if isinstance(content, x.PoolBid) and (pool := grounds.first(x.PoolOpening)):
        values, count = len(content.baseline_kw), periods_between(pool.start, pool.end)
        if values not in (0, count):
            yield Violation(Rule.BASELINE, "baseline_kw", f"has {values} values for {count} periods")


def amount(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """What is paid is what was billed or invoiced."""
    content = said.content
    if not isinstance(content, x.Payment | x.InvoicePayment):
        return
    owed = grounds.first(x.Bill) if isinstance(content, x.Payment) else grounds.first(x.Invoice)
    if owed is not None and content.amount_eur != owed.amount_eur:
        yield Violation(Rule.WRONG_AMOUNT, "amount_eur", f"is {content.amount_eur} EUR, not {owed.amount_eur}")


CHECKS: tuple[Check, ...] = (
    period_bounds,
    expired,
    short_notice,
    references,
    same_id,
    ordered_once,
    congestion_point,
    service,
    price,
    power,
    baseline,
    amount,
    *SERVICE_CHECKS,
    *CAMPUS_CHECKS,
    *PUBLIC_CHECKS,
)


_OF_THE_PAST = (
    x.ActivatedResources,
    x.MeterQuery,
    x.MeterReading,
    x.Measurements,
    x.ParticipationInfo,
    x.Invoice,
    x.Remuneration,
    x.DeliveryQuery,
    x.DeliveryReport,
    x.NetworkBill,
    x.SessionReceipt,
    x.LimitSettlement,
)


def _window(content: x.Content) -> tuple[datetime, datetime] | None:
    start, end = getattr(content, "start", None), getattr(content, "end", None)
    return None if start is None or end is None else (start, end)


def _place(content: x.Content) -> str | None:
    place: str | None = content.location if isinstance(content, x.Bid) else getattr(content, "congestion_point", None)
    return place
