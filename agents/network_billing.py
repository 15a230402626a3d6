"""What CPOs owe the DSO for network use, with the hours in which it was cheaper (4.x.2, D5.1 3.4.2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.decisions.network_use import network_use
from agents.ledger import Ledger, LedgerError
from agents.network_pricing import Address
from agents.periods import MINUTES, QUARTER, quarter_at
from agents.public_ports import StationSite
from behaviours.outcomes import Agreed, Informed, Silent
from protocols.exchanges.network_prices import NetworkBill, NetworkPriceReduction
from protocols.market_time import day_start

ANSWER_TIME = timedelta(minutes=5)


class NetworkBilling:
    """D5.1 3.4.2: "the DSO lowers network prices on the desired locations"; this is where the CPO gets what it passes
    on. One bill for each CPO and day, by the stations' meters; the CPO pays it in the books under its id.

    `reductions` are those that the CPO (JID) has taken on: what it did not is not on its bill. `since`: when the run
    begins, and with it the first bill. `billed` has each bill by id, `open` those that are not paid, with the reason.
    """

    def __init__(
        self,
        agent: Actor,
        stations: Sequence[StationSite],
        price_eur_per_kwh: Decimal,
        reductions: Callable[[str], Sequence[NetworkPriceReduction]],
        meters: ChargerMeters,
        ledger: Ledger,
        address: Address,
        since: datetime,
    ) -> None:
        self.billed: dict[str, NetworkBill] = {}
        self.open: dict[str, str] = {}
        self._agent = agent
        self._price = price_eur_per_kwh
        self._reductions = reductions
        self._meters = meters
        self._ledger = ledger
        self._address = address
        begun = quarter_at(since)
        self._since = begun if begun == since else begun + QUARTER
        self._of: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for station in stations:
            self._of[station.cpo][station.station_id] = station.location

    def due(self, day: date) -> list[str]:
        """The CPOs that have stations, by name, on a day of the run."""
        return sorted(self._of) if self._span(day) else []

    async def settle(self, day: date, name: str) -> bool:
        """4.x.2 for a local day that is over; False where it has to be tried again."""
        span, cpo = self._span(day), await self._address(name)
        if span is None:
            return True
        if cpo is None:
            return False
        bill_id = f"{self._agent.name}-network-{name}-{day:%Y-%m-%d}"
        bill = self.billed.get(bill_id) or await self._bill(bill_id, cpo, self._of[name], span)
        if bill is None:
            return False
        self.billed[bill_id] = bill
        return await self._claim(bill, cpo)

    def _span(self, day: date) -> tuple[datetime, datetime] | None:
        zone = self._agent.swarm.zone
        start, end = max(self._since, day_start(day, zone)), day_start(day + timedelta(days=1), zone)
        return (start, end) if start < end else None

    async def _bill(
        self, bill_id: str, cpo: str, locations: dict[str, str], span: tuple[datetime, datetime]
    ) -> NetworkBill | None:
        """None where a meter does not answer."""
        start, end = span
        metered = await self._meters.read(locations, start, end, MINUTES)
        if metered.keys() != locations.keys():
            return None
        use = network_use(metered, locations, start, self._price, self._reductions(cpo))
        return NetworkBill(
            bill_id=bill_id,
            start=start,
            end=end,
            energy_kwh=use.energy_kwh,
            reduced_kwh=use.reduced_kwh,
            usual_eur=use.usual_eur,
            reduction_eur=use.reduction_eur,
            amount_eur=use.usual_eur - use.reduction_eur,
        )

    async def _claim(self, bill: NetworkBill, cpo: str) -> bool:
        """Sends the bill, and looks into the books. One that is not answered is sent again later: it has one id."""
        agent = self._agent
        by = agent.now() + ANSWER_TIME
        answer = await agent.request(bill, to=cpo, reply_by=by, done_by=by)
        result = await answer.result() if isinstance(answer, Agreed) else answer
        fault = self._unpaid(bill) if isinstance(result, Informed) else str(result)
        if fault is None:
            self.open.pop(bill.bill_id, None)
            return True
        if self.open.get(bill.bill_id) != fault:
            agent.notice(f"{cpo} has not paid {bill.amount_eur} EUR for network use ({bill.bill_id}): {fault}")
        self.open[bill.bill_id] = fault
        return not isinstance(result, Silent)

    def _unpaid(self, bill: NetworkBill) -> str | None:
        """Why the books do not have the bill as paid."""
        try:
            postings = self._ledger.statement(self._agent.name)
        except LedgerError as error:
            return str(error)
        paid = sum((p.amount_eur for p in postings if p.transaction_id == bill.bill_id), Decimal(0))
        return None if paid == bill.amount_eur else f"the books have {paid} EUR of it"
