"""Make the compact SimBench extract that the demonstrators run on (`environment/data/rural2.*`).

    pip install simbench            # 90 MB; only this script needs it, no run does
    python scripts/extract_simbench.py

Takes SimBench's low-voltage network `1-LV-rural2--1-no_sw` (its "near future" scenario) with its year of 15-minute
profiles, and changes what `CHANGES` says, which the network carries along as its `provenance`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandapower as pp
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import simbench

CODE = "1-LV-rural2--1-no_sw"
OUT = Path(__file__).resolve().parent.parent / "environment" / "data"
TRANSFORMERS = (  # the first is installed; the others can be asked for
    "0.16 MVA 20/0.4 kV DOTE 160/20  SGB",
    "0.25 MVA 20/0.4 kV Dyn5 ASEA",
    "0.4 MVA 20/0.4 kV Dyn5 ASEA",
    "0.63 MVA 20/0.4 kV Dyn5 ASEA",
)
OFFICE_LOAD, OFFICE_PV = "LV2.101 Load 84", "LV2.101 SGen 9"
CHANGES = [
    "the four electric-car loads of the scenario (profiles HLS_*) are left out: our chargers take their place",
    "the largest rooftop PV (SGen 9, 83.3 kW) sits on the office (Load 84, weekday 8-18 h profile G1-C) instead of the "
    "shop on the same feeder (Load 85): the demonstrator's office has the PV",
    "the transformer is SimBench's 160 kVA type for rural networks instead of the 250 kVA one: the year's own peak is "
    "83 kW, and a network planned before electric cars is where congestion management is bought",
    "its tap is neutral instead of one step (2.5 %) up, which leaves room for the PV; SimBench names no kind of tap "
    "changer, without which pandapower ignores the tap, so the kind Ratio is set",
]
KEPT_COLUMNS = {
    "bus": ["name", "vn_kv", "type", "in_service", "min_vm_pu", "max_vm_pu"],
    "load": ["name", "bus", "p_mw", "q_mvar", "scaling", "in_service", "profile"],
    "sgen": ["name", "bus", "p_mw", "q_mvar", "scaling", "in_service", "profile"],
}


def main() -> None:
    source = simbench.get_simbench_net(CODE)
    cars = source.load.index[source.load.profile.str.match("HLS|APLS")]
    office_bus = int(source.load.bus[source.load.name == OFFICE_LOAD].iloc[0])
    net = pp.create_empty_network(name="rural2")
    for table in ("bus", "line", "trafo", "ext_grid", "load", "sgen"):
        frame = source[table].drop(cars) if table == "load" else source[table]
        net[table] = frame[KEPT_COLUMNS.get(table, [c for c in net[table].columns if c in frame.columns])].copy()
    for table in ("load", "sgen"):  # columns pandapower wants and SimBench leaves at their neutral values
        net[table][["const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent"]] = 0.0
        net[table]["type"], net[table]["sn_mva"], net[table]["current_source"] = "", float("nan"), True
    net.sgen.loc[net.sgen.name == OFFICE_PV, "bus"] = office_bus
    transformers = {
        k: v | {"tap_changer_type": "Ratio"} for k, v in source.std_types["trafo"].items() if k in TRANSFORMERS
    }
    lines = {k: v for k, v in source.std_types["line"].items() if k in set(net.line.std_type)}
    net.std_types = {"line": lines, "trafo": transformers, "trafo3w": {}, "fuse": {}}
    pp.change_std_type(net, 0, TRANSFORMERS[0], "trafo")
    net.trafo["tap_pos"], net.trafo["tap_changer_type"] = 0.0, "Ratio"
    households = net.load[net.load.profile.str.startswith("H0")]
    net["places"] = {
        "office": [str(net.bus.name[office_bus])],
        "households": sorted({str(net.bus.name[b]) for b in households.bus}, key=lambda n: int(n.rsplit(" ", 1)[1])),
    }
    net["provenance"] = {
        "source": f"SimBench {CODE}, simbench {simbench.__version__}",
        "licence": "ODbL 1.0",
        "changes": CHANGES,
    }
    pp.runpp(net, numba=False)
    pp.toolbox.clear_result_tables(net)
    document = json.loads(pp.to_json(net))
    (OUT / "rural2.json").write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")

    loads, renewables = source.profiles["load"], source.profiles["renewables"]
    # The labels are German wall clock; the rows are even steps of absolute time, row 0 is 2016-01-01 00:00 UTC+1.
    labels = pd.to_datetime(loads["time"], format="%d.%m.%Y %H:%M").dt.tz_localize("Europe/Berlin", ambiguous="infer")
    if len(labels) != 366 * 96 or not (labels.diff().dropna() == pd.Timedelta(minutes=15)).all():
        raise SystemExit("SimBench's time column is no longer a leap year of even quarter hours: look before you go on")
    columns = {}
    for profile in sorted(set(net.load.profile)):
        columns[f"{profile}/p"], columns[f"{profile}/q"] = loads[f"{profile}_pload"], loads[f"{profile}_qload"]
    for profile in sorted(set(net.sgen.profile)):
        columns[f"{profile}/p"] = renewables[profile]
    table = pa.table({name: pa.array(series.round(4).to_numpy("float32")) for name, series in columns.items()})
    table = table.replace_schema_metadata({"year": "2016", "clock": "UTC+01:00", "licence": "ODbL 1.0, SimBench"})
    pq.write_table(table, OUT / "rural2.parquet", compression="zstd", compression_level=19, use_dictionary=True)
    for path in sorted(OUT.glob("rural2.*")):
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
