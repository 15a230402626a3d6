"""Our own agents pass their own exam, over the wire: one case for each role, and what a verdict looks like."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from environment.exam import command, report
from environment.exam.judge import Verdict
from environment.exam.own import examine_own
from environment.exam.rules import SOURCES
from environment.exam.script import SERVICES, examined_of
from environment.replay.keeping import CASES
from protocols.check import check
from protocols.roles import Role
from protocols.rules import Rule
from protocols.trace import read_header
from run import main
from tests.exam.wrong import examined, members, record_of

EVENING = "buc6/the-ordinary-course"


def exams() -> list[tuple[str, str]]:
    """A role and a case for each role that plays in some case: the ordinary course of the last use case that has it."""
    found: dict[str, str] = {}
    for path in sorted(CASES.glob("*/the-ordinary-course/trace.jsonl")):
        with path.open(encoding="utf-8") as lines:
            roles = set(read_header(next(lines)).roles.values()) - SERVICES
        found |= {str(role): f"{path.parent.parent.name}/{path.parent.name}" for role in roles}
    return sorted(found.items())


@pytest.mark.parametrize(("role", "case"), exams())
def test_our_own_agent_passes(role: str, case: str) -> None:
    record = record_of(case)
    verdict = examine_own(record, examined_of(record, role), case)
    assert verdict.passed, list(report.lines(verdict))
    assert verdict.heard > 0


@pytest.fixture(scope="module")
def failed() -> Verdict:
    """A VPP that bids above the maximum."""
    return examined(EVENING, "vpp", members("6.1.2", "propose", price_eur_per_kw="9.99"), str(Rule.PRICE_ABOVE_MAXIMUM))


def test_a_verdict_names_rule_source_line_and_what_was_expected(failed: Verdict) -> None:
    text = "\n".join(report.lines(failed))
    assert "FAILED" in text
    assert "price-above-maximum: protocols/semantics.py: No price is above the maximum" in text
    assert "vpp1 to dso, propose 6.1.2 in dso-" in text
    assert "is 9.99 EUR/kW, more than 0." in text


def test_the_transcript_is_a_trace_with_that_fault(failed: Verdict, tmp_path: Path) -> None:
    path = report.write_transcript(tmp_path, failed)
    faults = check(path.read_text(encoding="utf-8").splitlines(), zone=record_of(EVENING).scenario.zone)
    found = {(finding.rule, finding.line) for finding in failed.findings if finding.line}
    assert found
    assert {(fault.rule, fault.line) for fault in faults} >= found


def test_junit_has_a_test_case_for_every_rule(failed: Verdict, tmp_path: Path) -> None:
    report.write_junit(tmp_path / "exam.xml", [failed])
    [suite] = ElementTree.parse(tmp_path / "exam.xml").getroot()
    assert {case.get("name") for case in suite} == set(SOURCES)
    broken = [case.get("name") for case in suite if case.find("failure") is not None]
    assert "price-above-maximum" in broken
    assert suite.get("failures") == str(len(broken))


def test_every_rule_has_a_source() -> None:
    assert set(SOURCES) >= set(map(str, Rule))
    assert all(len(text) > len("protocols/semantics.py: ") for text in SOURCES.values())


def test_the_command_says_in_one_line_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", str(tmp_path), "--against", "vpp"]) == 3
    assert main(["play", str(tmp_path / "none"), "--against", "vpp=a@b"]) == 3
    assert main(["exam", "vpp", "--cases", str(tmp_path)]) == 3
    assert main(["exam", "vpp", "--only", "buc6/nothing"]) == 3
    assert main(["exam", "vpp", "--only", EVENING, "--jid", "vpp@localhost"]) == 3
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 5
    assert all(line.startswith("run.py: ") for line in errors)


def test_a_role_is_examined_by_each_case_that_has_it() -> None:
    names = [name for name, _, _ in command.cases(CASES, Role.VPP)]
    assert EVENING in names
    assert not any(name.startswith(("buc3", "buc4.2", "buc5")) for name in names)
