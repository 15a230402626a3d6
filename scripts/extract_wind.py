"""Make the wind extract that the island runs on (`environment/data/wind.parquet`).

    pip install simbench            # 90 MB; only this script needs it, no run does
    python scripts/extract_wind.py

or, where the package cannot be imported, with its wheel, from which only the table is read:

    python scripts/extract_wind.py simbench-1.6.3-py3-none-any.whl

Takes the wind farms of SimBench's complete data set, a year of 15-minute profiles in per unit of their rated power,
unchanged but for the rounding.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TABLE = "networks/1-complete_data-mixed-all-1-sw/RESProfile.csv"
OUT = Path(__file__).resolve().parent.parent / "environment" / "data"


def table(wheel: Path | None) -> pd.DataFrame:
    """SimBench's table of renewable profiles, from a wheel or from the installed package (which is not imported)."""
    if wheel is not None:
        with zipfile.ZipFile(wheel) as archive:
            return pd.read_csv(io.BytesIO(archive.read(f"simbench/{TABLE}")), sep=";")
    found = importlib.util.find_spec("simbench")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("simbench is not installed: pip install simbench, or give the path of its wheel")
    return pd.read_csv(Path(found.submodule_search_locations[0]) / TABLE, sep=";")


def main() -> None:
    source = table(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    # The labels are German wall clock; the rows are even steps of absolute time, row 0 is 2016-01-01 00:00 UTC+1.
    labels = pd.to_datetime(source["time"], format="%d.%m.%Y %H:%M").dt.tz_localize("Europe/Berlin", ambiguous="infer")
    if len(labels) != 366 * 96 or not (labels.diff().dropna() == pd.Timedelta(minutes=15)).all():
        raise SystemExit("SimBench's time column is no longer a leap year of even quarter hours: look before you go on")
    farms = sorted((c for c in source.columns if c.startswith("WP")), key=lambda name: int(name[2:]))
    columns = {f"{farm}/p": pa.array(source[farm].clip(0, 1).round(4).to_numpy("float32")) for farm in farms}
    made = pa.table(columns).replace_schema_metadata(
        {"year": "2016", "clock": "UTC+01:00", "licence": "ODbL 1.0, SimBench"}
    )
    pq.write_table(made, OUT / "wind.parquet", compression="zstd", compression_level=19, use_dictionary=True)
    print(f"wind.parquet: {len(farms)} wind farms, {(OUT / 'wind.parquet').stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
