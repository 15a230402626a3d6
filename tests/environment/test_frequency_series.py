"""The seconds of both cases are read back as they were."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from environment import frequency_series

BEGIN = datetime(2026, 1, 13, 15, tzinfo=ZoneInfo("Europe/Copenhagen"))


def test_both_cases_are_read_back_second_by_second(tmp_path: Path) -> None:
    served, alone, response = np.array([50.0, 49.9, 49.95]), np.array([50.0, 49.8, 49.9]), np.array([0.0, -3.0, -2.0])
    frequency_series.write(tmp_path / "f.parquet", "Europe/Copenhagen", BEGIN, served, response, alone)
    frame = pd.read_parquet(tmp_path / "f.parquet")
    for case, hz in (("with", served), ("without", alone)):
        rows = frame[frame["case"] == case]
        assert rows["hz"].to_numpy() == pytest.approx(hz, abs=1e-5)
        assert [at.isoformat() for at in rows["at"]] == [f"2026-01-13T15:00:0{n}+01:00" for n in range(3)]
    assert frame[frame["case"] == "with"]["response_kw"].tolist() == [0.0, -3.0, -2.0]
    assert frame[frame["case"] == "without"]["response_kw"].isna().all()
