"""When things happen within each quarter of an hour of BUC 2 and BUC 4.1, counted from its beginning.

D5.1 3.2 and 3.4.1: measurements, forecast and detection "every 15 minutes", for the 15 minutes that follow. The DSO
asks first: a voltage is a matter of security, curtailed wind is one of money.
"""

from __future__ import annotations

from datetime import timedelta

MEASURED_AFTER = timedelta(minutes=2)
"""Producers and V2X managers send the measurements of the quarter before (2.1)."""
TOLD_AFTER = timedelta(minutes=3)
"""The FO tells the TSO (2.2) and the DSO (4.1.4) what the vehicles can do."""
VOLTAGE_AFTER = timedelta(minutes=4)
"""The DSO looks at the next quarter, and asks (4.1.1) for what it needs."""
BALANCE_AFTER = timedelta(minutes=9)
"""The TSO balances the next quarter, and asks (2.3) for what it needs."""
FO_TIME = timedelta(minutes=4)
"""How long the FO may take to answer the DSO or the TSO."""
MANAGER_TIME = timedelta(minutes=2)
"""How long a V2X manager may take to offer."""
SERVICE_LASTS = timedelta(minutes=30)
"""For so long a service is asked for; it is renewed, or cancelled, a quarter before."""
ANSWER_TIME = timedelta(minutes=3)
"""How long anything else may take."""
