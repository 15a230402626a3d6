"""A verdict, readably and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from environment.exam.judge import Verdict
from environment.exam.rules import source_of

_SHOWN = 5


def lines(verdict: Verdict) -> Iterator[str]:
    """What to print of a verdict: a line for it, the rules that were broken with their sources and places, and where
    the course was another than the record's."""
    state = "could not be held" if verdict.why_not else "passed" if verdict.passed else "FAILED"
    yield f"{verdict.case}: {verdict.agent} as {verdict.role}: {state}, {verdict.heard} messages judged"
    if verdict.why_not:
        yield f"  {verdict.why_not}"
    for rule, findings in verdict.by_rule().items():
        if not findings:
            continue
        yield f"  {rule}: {source_of(rule)}"
        for finding in findings[:_SHOWN]:
            yield f"    {finding}"
        if (more := len(findings) - _SHOWN) > 0:
            yield f"    and {more} more"
    for departure in verdict.departures[:_SHOWN]:
        yield f"  not as in the record, and no fault: {departure}"
    if (more := len(verdict.departures) - _SHOWN) > 0:
        yield f"  and {more} more departures"


def write_junit(path: Path, verdicts: Sequence[Verdict]) -> None:
    """A test suite for each exam, a test case for each rule. Raises OSError."""
    root = Element("testsuites", name="exam")
    for verdict in verdicts:
        rules = verdict.by_rule()
        failures = sum(map(bool, rules.values()))
        suite = SubElement(root, "testsuite", name=f"{verdict.role}: {verdict.case}", failures=str(failures))
        suite.set("tests", str(len(rules)))
        suite.set("errors", str(int(bool(verdict.why_not))))
        for rule, findings in rules.items():
            case = SubElement(suite, "testcase", classname=verdict.case, name=rule)
            if findings:
                failure = SubElement(case, "failure", type=rule, message=_printable(str(findings[0])))
                failure.text = _printable("\n".join([source_of(rule), *map(str, findings)]))
        if verdict.why_not:
            error = SubElement(SubElement(suite, "testcase", classname=verdict.case, name="held"), "error")
            error.set("message", _printable(verdict.why_not))
    indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_transcript(folder: Path, verdict: Verdict) -> Path:
    """The transcript, in the form of a trace. Raises OSError."""
    path = folder / f"{verdict.case.replace('/', '-')}-{verdict.role}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in verdict.transcript), encoding="utf-8", newline="\n")
    return path


def _printable(text: str) -> str:
    """Without what XML cannot hold: some of it is a stranger's."""
    return "".join(c if c == "\n" or (c.isprintable() and ord(c) < 0xFFFE) else "?" for c in text)
