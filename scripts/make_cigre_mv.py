"""Make the medium-voltage feeder that the Greek demonstrator runs on (`environment/data/cigre_mv.*`).

    python scripts/make_cigre_mv.py

Takes the European medium-voltage benchmark network with PV of CIGRE Task Force C6.04.02 ("Benchmark Systems for Network
Integration of Renewable and Distributed Energy Resources", 2014), as pandapower ships it, and changes what `CHANGES`
says, which the network carries along as its `provenance`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).resolve().parent.parent / "environment" / "data"
SOURCE = "rural2"
"""The shipped SimBench extract whose profiles are mixed."""
FEEDER = (0, *range(1, 12))
"""The buses of the substation and of its first feeder."""
OPEN_LINES = ("Line 6-7", "Line 11-4", "Line 14-8")
MIXES = {"homes": ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L"), "trade": ("G2-A", "G3-A", "G4-A")}
WEEKS = range(-3, 4)
SUN = ("PV1", "PV3", "PV4", "PV7")
PV_TIMES = 10
WEAK_LINE, WEAK_SHARE = "Line 3-8", 0.4
CHANGES = [
    "only the first feeder (buses 1 to 11) behind its own 110/20 kV transformer is kept, without the three lines that "
    "stand open; the second feeder has no part in what is shown",
    "the wind turbine at bus 7 is left out: what feeds back is the sun",
    "residential loads take the profile homes, those of commerce and industry the profile trade: the means of "
    "SimBench's five household profiles, and of three of businesses (evening trade, round the clock, shops), each also "
    "of the three weeks before and after, as such a load has many customers; scaled so that the highest quarter "
    "hour of the year is CIGRE's load",
    f"each PV is four roofs, {PV_TIMES} times CIGRE's power: its penetration of a few per cent is that of 2014",
    f"{WEAK_LINE} may carry {WEAK_SHARE:.0%} of CIGRE's rated current: an assumption, as of a cable in a trench with "
    "others in dry soil; it makes where a limit is bought matter, which a feeder of one cable everywhere would not",
    "the transformer's phase shift, which no result depends on, is 0",
]


def main() -> None:
    source = pn.create_cigre_network_mv(with_der="pv_wind")
    net = pp.create_empty_network(name="cigre_mv")
    for bus in FEEDER:
        row = source.bus.loc[bus]
        pp.create_bus(net, vn_kv=float(row.vn_kv), name=str(row["name"]), type="b", index=bus)
    lines = source.line[source.line.from_bus.isin(FEEDER) & source.line.to_bus.isin(FEEDER)]
    for _, row in lines[~lines["name"].isin(OPEN_LINES)].iterrows():
        pp.create_line_from_parameters(
            net,
            int(row.from_bus),
            int(row.to_bus),
            length_km=float(row.length_km),
            r_ohm_per_km=float(row.r_ohm_per_km),
            x_ohm_per_km=float(row.x_ohm_per_km),
            c_nf_per_km=float(row.c_nf_per_km),
            max_i_ka=float(row.max_i_ka),
            df=WEAK_SHARE if row["name"] == WEAK_LINE else 1.0,
            name=str(row["name"]),
            type="cs",
        )
    trafo = source.trafo.iloc[0]
    pp.create_transformer_from_parameters(
        net,
        0,
        1,
        sn_mva=float(trafo.sn_mva),
        vn_hv_kv=float(trafo.vn_hv_kv),
        vn_lv_kv=float(trafo.vn_lv_kv),
        vkr_percent=float(trafo.vkr_percent),
        vk_percent=float(trafo.vk_percent),
        pfe_kw=float(trafo.pfe_kw),
        i0_percent=float(trafo.i0_percent),
        name=str(trafo["name"]),
    )
    pp.create_ext_grid(net, 0, vm_pu=float(source.ext_grid.vm_pu.iloc[0]))
    for _, row in source.load[source.load.bus.isin(FEEDER)].iterrows():
        load = pp.create_load(net, int(row.bus), p_mw=float(row.p_mw), q_mvar=float(row.q_mvar), name=str(row["name"]))
        net.load.loc[load, "profile"] = "trade" if "CI" in row["name"] else "homes"
    for _, row in source.sgen[source.sgen.bus.isin(FEEDER) & (source.sgen.type == "PV")].iterrows():
        for profile in SUN:
            roof = pp.create_sgen(
                net,
                int(row.bus),
                p_mw=round(PV_TIMES * float(row.p_mw) / len(SUN), 6),
                name=f"{row['name']} {profile}",
                type="PV",
            )
            net.sgen.loc[roof, "profile"] = profile
    net["places"] = {}
    net["provenance"] = {
        "source": f"CIGRE TF C6.04.02, European MV network with PV, as in pandapower {pp.__version__}",
        "licence": "network: BSD 3-Clause (pandapower); profiles: ODbL 1.0 (SimBench)",
        "changes": CHANGES,
    }
    pp.runpp(net, numba=False)
    pp.toolbox.clear_result_tables(net)
    document = json.loads(pp.to_json(net))
    (OUT / "cigre_mv.json").write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")
    pq.write_table(_profiles(), OUT / "cigre_mv.parquet", compression="zstd", compression_level=19)
    for path in sorted(OUT.glob("cigre_mv.*")):
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


def _profiles() -> pa.Table:
    """The mixes and the roofs, on the rows of the source."""
    source = pq.read_table(OUT / f"{SOURCE}.parquet")
    columns = {}
    for mix, names in MIXES.items():
        for quantity in "pq":
            one = np.mean([source[f"{name}/{quantity}"].to_numpy() for name in names], axis=0)
            many = np.mean([np.roll(one, 7 * 96 * week) for week in WEEKS], axis=0)
            columns[f"{mix}/{quantity}"] = many / many.max()
    for roof in SUN:
        columns[f"{roof}/p"] = source[f"{roof}/p"].to_numpy()
    table = pa.table(
        {name: pa.array(np.asarray(values).round(4).astype("float32")) for name, values in columns.items()}
    )
    return table.replace_schema_metadata({"year": "2016", "clock": "UTC+01:00", "licence": "ODbL 1.0, SimBench"})


if __name__ == "__main__":
    main()
