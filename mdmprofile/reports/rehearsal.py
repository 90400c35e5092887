"""A rehearsal as a list of steps for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mdmprofile.doctor.rehearse import Rehearsal
from mdmprofile.doctor.visits import FAILED, NOT_TRIED, PASSED, WARNED, Step
from mdmprofile.moments import day
from mdmprofile.reports.model import Line, Section

_STYLES = {PASSED: "good", WARNED: "warn", FAILED: "bad", NOT_TRIED: "dim"}
_WIDTH = max(map(len, _STYLES))


def sections(rehearsal: Rehearsal, title: str) -> list[Section]:
    """One line a step with its outcome and place, and below it what went well; what did not is a finding."""
    lines: list[Line] = []
    for step in rehearsal.steps:
        lines.append(Line(f"{step.outcome:<{_WIDTH}}  {step.name}  {step.place}".rstrip(), _STYLES[step.outcome]))
        lines += [
            Line(f"{'':<{_WIDTH}}  {each.message.removeprefix(f'{step.name}: ')}", "dim")
            for each in step.findings
            if each.rule == "live.passed"
        ]
    ends = [
        Line(f"{each.label} ends on {day(each.not_after)}") for each in rehearsal.watched if each.not_after is not None
    ]
    return [Section(title, lines), *([Section("Shown by the servers", ends)] if ends else [])]


def step_dict(step: Step) -> dict[str, Any]:
    """One step of the JSON report."""
    return {
        "step": step.name,
        "where": step.place,
        "outcome": step.outcome,
        "rules": _rules(step.findings),
    }


def _rules(findings: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(each.rule for each in findings))
