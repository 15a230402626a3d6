"""The flexibility register: asked, with the DSO, approved, approved for less, refused; and the directory."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from environment.report.frequency_services import applications
from environment.run_folder import TRACE, read_trace
from environment.watched.register import Agent, Register, Resource
from tests.environment.report.script import Script, jid
from tests.environment.watched.days import day, watched

AT = datetime(2026, 3, 18, 11, tzinfo=UTC)
ROLES = {jid("vpp"): "vpp", jid("fmo"): "fmo", jid("dso"): "dso", jid("cpo"): "cpo", jid("directory"): "directory"}
SIZE = {"max_charge_kw": 22.0, "max_discharge_kw": 10.0, "energy_kwh": 80.0}
WISH: dict[str, Any] = {"resource_id": "r1", "product_id": "p1", "cpo": jid("cpo"), "location": "bus 1",
                        "charger_ids": ["c1", "c2"], **SIZE}  # fmt: skip


def minute(number: int) -> datetime:
    return AT + timedelta(minutes=number)


def registered(script: Script) -> str:
    conversation = script.opens()
    script.says(minute(0), "vpp", "fmo", "request", "request", conversation, "1.x.2", **WISH)
    return conversation


def resource(folder: Path, script: Script) -> Resource:
    (only,) = shown(folder, script).resources
    return only


def shown(folder: Path, script: Script) -> Register:
    header = {"trace": 1, "scenario": "made", "seed": 1, "roles": ROLES}
    lines = (json.dumps(line) for line in (header, *script.ordered()))
    (folder / TRACE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    found = Register(watched(folder))
    while not found.refresh():
        pass
    return found


class TestResources:
    def test_asked_then_with_the_dso_then_approved_for_less(self, tmp_path: Path) -> None:
        script = Script()
        conversation = registered(script)
        assert resource(tmp_path, script).state == "asked"
        check = script.opens()
        script.says(minute(1), "fmo", "dso", "request", "request", check, "1.x.3", vpp=jid("vpp"), **WISH)
        assert resource(tmp_path, script).state == "with the DSO"
        result = {
            "resource_id": "r1",
            "qualified_charge_kw": 22.0,
            "qualified_discharge_kw": 4.0,
            "reasons": ["voltage"],
        }
        script.says(minute(2), "fmo", "vpp", "inform", "request", conversation, "1.x.2", **result)
        found = resource(tmp_path, script)
        assert (found.state, found.approved_charge_kw, found.approved_discharge_kw) == ("approved for less", 22.0, 4.0)
        assert (found.reason, found.owner, found.place) == ("voltage", "vpp", "bus 1")

    def test_nothing_qualified_and_a_refusal_are_both_refused_with_why(self, tmp_path: Path) -> None:
        script = Script()
        conversation = registered(script)
        none = {"resource_id": "r1", "qualified_charge_kw": 0.0, "qualified_discharge_kw": 0.0, "reasons": ["full"]}
        script.says(minute(2), "fmo", "vpp", "inform", "request", conversation, "1.x.2", **none)
        assert (resource(tmp_path, script).state, resource(tmp_path, script).reason) == ("refused", "full")
        other = Script()
        conversation = registered(other)
        why = {"code": "no", "reason": "unknown product", "faults": []}
        other.says(minute(2), "fmo", "vpp", "refuse", "request", conversation, None, **why)
        assert (resource(tmp_path, other).state, resource(tmp_path, other).reason) == ("refused", "unknown product")

    def test_a_strangers_word_registers_nothing(self, tmp_path: Path) -> None:
        script = Script()
        conversation = registered(script)
        result = {"resource_id": "r1", "qualified_charge_kw": 22.0, "qualified_discharge_kw": 10.0, "reasons": []}
        script.says(minute(1), "cpo", "vpp", "inform", "request", conversation, "1.x.2", **result)
        assert resource(tmp_path, script).state == "asked"

    def test_portfolios_are_as_the_report_has_them(self, tmp_path: Path) -> None:
        folder = day("denmark", tmp_path)
        found = Register(watched(folder))
        while not found.refresh():
            pass
        tests = applications(read_trace(folder / TRACE))
        portfolios = [each for each in found.resources if each.kind == "portfolio"]
        assert sorted(each.name for each in portfolios) == sorted(test.application.portfolio_id for test in tests)
        assert {each.name for each in portfolios if each.state.startswith("approved")} == {
            test.application.portfolio_id for test in tests if test.outcome == "approved"
        }


class TestTheDirectory:
    def agent(self, folder: Path, script: Script) -> Agent:
        (only,) = shown(folder, script).agents
        return only

    def test_who_registers_is_asked_then_registered_then_gone(self, tmp_path: Path) -> None:
        script = Script()
        conversation = script.opens()
        entry = {"jid": jid("vpp"), "role": "vpp", "services": ["flexibility"], "location": None}
        script.says(minute(0), "vpp", "directory", "request", "request", conversation, "df.register", **entry)
        assert self.agent(tmp_path, script).state == "asked"
        script.says(minute(1), "directory", "vpp", "inform", "request", conversation, None, reference=jid("vpp"))
        found = self.agent(tmp_path, script)
        assert (found.name, found.role, found.services, found.state) == ("vpp", "VPP", ("flexibility",), "registered")
        leaving = script.opens()
        script.says(minute(2), "vpp", "directory", "request", "request", leaving, "df.deregister", jid=jid("vpp"))
        assert self.agent(tmp_path, script).state == "registered"
        script.says(minute(3), "directory", "vpp", "inform", "request", leaving, None, reference=jid("vpp"))
        assert self.agent(tmp_path, script).state == "gone"
