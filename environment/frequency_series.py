"""`frequency.parquet`: the area's frequency and what our chargers did for it, second by second, for both cases.

| column | unit | meaning |
|---|---|---|
| `at` | timestamp with zone | start of the second |
| `case` | text | `with` or `without` (nobody answers the frequency) |
| `hz` | Hz | at the start of the second |
| `response_kw` | kW | drawn beyond the baselines by the run's chargers, mean of the second (up < 0); none `without` |
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.grid_view import Floats

FREQUENCY: Final = "frequency.parquet"


def write(
    path: Path, timezone: str, begins: datetime, with_hz: Floats, response_kw: Floats, without_hz: Floats
) -> None:
    """Writes the file; all arrays have one value for each second from `begins` on."""
    seconds = len(with_hz)
    first = int(begins.astimezone(UTC).timestamp()) * 1_000_000
    at = first + np.arange(seconds, dtype=np.int64) * 1_000_000
    table = pa.table(
        {
            "at": pa.array(np.concatenate([at, at]), type=pa.timestamp("us", tz=timezone)),
            "case": pa.array(["with"] * seconds + ["without"] * seconds),
            "hz": pa.array(np.concatenate([with_hz, without_hz]).astype(np.float32)),
            # NaN is written as missing, as in `series.parquet`.
            "response_kw": pa.array(
                np.concatenate([response_kw, np.full(seconds, np.nan)]).astype(np.float32), from_pandas=True
            ),
        }
    )
    pq.write_table(table, path, compression="zstd")
