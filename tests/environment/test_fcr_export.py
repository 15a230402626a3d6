"""The file for the TSO, against the rules' words: name, header, signs, decimals, blanks."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.fcr_log import LOG_FOLDER, FcrLog, LoggedSecond
from environment.fcr_export import COLUMNS, ExportError, export, file_name, instant, lines
from protocols.exchanges.vocabulary import FcrProduct
from tests.agents.test_fcr_log import START, USUAL

SECOND = timedelta(seconds=1)
TABLE_18 = (
    "InsAcPow GridFreq CalcBaseline Cap_Fcrn Cap_FcrdUp Cap_FcrdDo ContStatus_Fcrn ContStatus_FcrdUp ContStatus_FcrdDo"
    " RegStr_Fcrn RegStr_FcrdUp RegStr_FcrdDo Pmin Pmax Activated_Fcrn Activated_FcrdUp Activated_FcrdDo ResSize_Fcrn"
    " ResSize_FcrdUp ResSize_FcrdDo NEM_MW_Fcrn NEM_MW_FcrdUp NEM_MW_FcrdDo NEM_Fcrn NEM_FcrdUp NEM_FcrdDo AEM_Fcrn"
    " AEM_FcrdUp AEM_FcrdDo SOC"
)


def logged(folder: Path, product: FcrProduct = FcrProduct.FCR_N, resource: str = "BORNHOLM-POOL") -> FcrLog:
    log = FcrLog(folder / LOG_FOLDER, resource, product)
    for n in range(90):
        log.write(replace(USUAL, at=START + n * SECOND))
    return log


def record(second: LoggedSecond, product: FcrProduct = FcrProduct.FCR_N) -> dict[str, str]:
    return next(csv.DictReader(line.removesuffix("\r\n") for line in lines(product, [second])))


def test_the_columns_are_those_of_table_18_in_its_order() -> None:
    assert " ".join(COLUMNS) == TABLE_18


def test_powers_are_megawatts_injected_and_the_names_are_those_of_the_product() -> None:
    found = record(USUAL)
    assert found["DateTime"] == "20260113T220000.000"
    assert (found["InsAcPow"], found["CalcBaseline"]) == ("-0.012500", "-0.010000"), "drawn is negative"
    assert found["GridFreq"] == "49.9731"
    assert (found["Pmin"], found["Pmax"]) == ("-0.110000", "0.100000"), "the most that is drawn is the least injected"
    assert found["Activated_Fcrn"] == "0.021520", "upwards is more injected"
    assert (found["Cap_Fcrn"], found["RegStr_Fcrn"], found["ContStatus_Fcrn"]) == ("0.080000", "0.800000", "1")
    assert (found["ResSize_Fcrn"], found["SOC"]) == ("74.500", "61.250")
    assert (found["NEM_MW_Fcrn"], found["NEM_Fcrn"], found["AEM_Fcrn"]) == ("0.000000", "0", "0")


@pytest.mark.parametrize("product", [FcrProduct.FCR_N, FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN])
def test_what_does_not_apply_is_blank(product: FcrProduct) -> None:
    service = {"fcr-n": "Fcrn", "fcr-d-up": "FcrdUp", "fcr-d-down": "FcrdDo"}[product]
    found = record(USUAL, product)
    others = [name for name in COLUMNS if name.rpartition("_")[2] in {"Fcrn", "FcrdUp", "FcrdDo"} - {service}]
    assert len(others) == 16
    assert {found[name] for name in others} == {""}
    assert all(found[name] for name in COLUMNS if name not in others)
    without = record(replace(USUAL, soc_percent=None, endurance_minutes=None), product)
    assert (without["SOC"], without[f"ResSize_{service}"]) == ("", "")


def test_energy_management_that_charges_absorbs_and_is_on() -> None:
    found = record(replace(USUAL, nem_kw=27.2, nem_on=True, aem_on=True, status_on=False))
    assert (found["NEM_MW_Fcrn"], found["NEM_Fcrn"], found["AEM_Fcrn"]) == ("-0.027200", "1", "1")
    assert found["ContStatus_Fcrn"] == "0"


def test_the_file_is_named_and_delimited_as_the_rules_want(tmp_path: Path) -> None:
    logged(tmp_path)
    (path,) = export(tmp_path, notice=pytest.fail)
    assert path.name == "BORNHOLM-POOL_Fcrn_Operation_DK2_UTC_20260113T2200-20260113T2201_1s.csv"
    data = path.read_bytes()
    assert data.isascii()
    assert data.count(b"\r\n") == data.count(b"\n") == 91
    assert data.startswith(b"DateTime,InsAcPow,GridFreq,")
    rows = data.decode().split("\r\n")[1:-1]
    assert all(re.fullmatch(r"20260113T220[01]\d\d\.\d{3}(,-?\d*\.?\d*){30}", row) for row in rows)
    assert list(path.parent.iterdir()) == [path], "no part of a file is left"


def test_an_underscore_in_the_resource_does_not_make_a_part_of_the_name(tmp_path: Path) -> None:
    log = FcrLog(tmp_path, "risoe_pool", FcrProduct.FCR_D_UP)
    assert file_name(log, START, START).split("_")[:4] == ["risoe-pool", "FcrdUp", "Operation", "DK2"]


def test_each_resource_has_a_file_and_one_may_be_chosen(tmp_path: Path) -> None:
    logged(tmp_path)
    logged(tmp_path, FcrProduct.FCR_D_UP, "RISOE-POOL")
    assert len(export(tmp_path, notice=pytest.fail)) == 2
    (path,) = export(tmp_path, resource="RISOE-POOL", out=tmp_path / "else" / "where", notice=pytest.fail)
    assert path.parent == tmp_path / "else" / "where"
    assert path.name.startswith("RISOE-POOL_FcrdUp_")


def test_the_time_that_was_asked_for_is_in_the_file_and_nothing_else(tmp_path: Path) -> None:
    logged(tmp_path)
    (path,) = export(tmp_path, start=START + 60 * SECOND, end=START + 70 * SECOND, notice=pytest.fail)
    assert path.name.endswith("_20260113T2201-20260113T2201_1s.csv")
    stamps = [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]
    assert (stamps[0], stamps[-1], len(stamps)) == ("20260113T220100.000", "20260113T220109.000", 10)


def test_gaps_and_torn_lines_are_told(tmp_path: Path) -> None:
    log = logged(tmp_path)
    log.write(replace(USUAL, at=START + 100 * SECOND))
    (file,) = (tmp_path / LOG_FOLDER).iterdir()
    file.write_bytes(file.read_bytes().replace(b"49.9731", b"49.9732", 1))
    told: list[str] = []
    export(tmp_path, notice=told.append)
    assert told == [
        f"{file.name}, line 2: is torn, and left out",
        "BORNHOLM-POOL: 10 seconds of this time were not logged",
    ]


def test_gaps_stay_gaps_and_are_counted_also_around_a_test(tmp_path: Path) -> None:
    log = FcrLog(tmp_path / LOG_FOLDER, "BORNHOLM-POOL", FcrProduct.FCR_N)
    for n in (0, 3, 4, 5, 10, 14):
        log.write(replace(USUAL, at=START + timedelta(seconds=n + 0.7 * (n == 10)), testing=n in (4, 5, 14)))
    told: list[str] = []
    (path,) = export(tmp_path, notice=told.append)
    assert len(path.read_text().splitlines()) == 1 + 3
    assert told == [
        "BORNHOLM-POOL: 3 seconds of tests are no operation, and left out",
        "BORNHOLM-POOL: 6 seconds of this time were not logged",
    ]


def test_a_time_of_which_nothing_was_logged_is_told_with_what_there_is(tmp_path: Path) -> None:
    logged(tmp_path)
    with pytest.raises(ExportError, match=r"BORNHOLM-POOL 2026-01-13T22:00:00\+00:00 to \S*T22:01:30\+00:00$"):
        export(tmp_path, end=START, notice=pytest.fail)


def test_seconds_of_a_test_are_no_operation_and_are_left_out_with_a_notice(tmp_path: Path) -> None:
    log = FcrLog(tmp_path / LOG_FOLDER, "BORNHOLM-POOL", FcrProduct.FCR_N)
    for n in range(90):
        log.write(replace(USUAL, at=START + n * SECOND, testing=20 <= n < 70))
    told: list[str] = []
    (path,) = export(tmp_path, notice=told.append)
    stamps = [line.partition(",")[0][-6:] for line in path.read_text().splitlines()[1:]]
    assert stamps == [f"{n // 60}{n % 60:02d}.000"[-6:] for n in (*range(20), *range(70, 90))]
    assert told == ["BORNHOLM-POOL: 50 seconds of tests are no operation, and left out"], "and no gap is told of"


def test_a_folder_that_holds_the_logs_itself_will_do(tmp_path: Path) -> None:
    logged(tmp_path)
    (path,) = export(tmp_path / LOG_FOLDER, out=tmp_path, notice=pytest.fail)
    assert path.parent == tmp_path


def test_a_product_of_another_area_has_no_format_here(tmp_path: Path) -> None:
    logged(tmp_path, FcrProduct.FCR_CE)
    told: list[str] = []
    with pytest.raises(ExportError, match="nothing was logged"):
        export(tmp_path, notice=told.append)
    assert told == ["BORNHOLM-POOL: fcr-ce is no Nordic product, and has no format in these rules"]


def test_times_without_an_offset_are_utc() -> None:
    assert instant("--from", "2026-01-13T22:00") == START
    assert instant("--from", "2026-01-13T23:00+01:00") == START
    assert instant("--from", "2026-01-13T23:00+01:00").tzinfo is UTC
    with pytest.raises(ExportError, match=r"--to is 'noon', not a time such as"):
        instant("--to", "noon")
    assert isinstance(instant("--to", "2026-01-13"), datetime)
