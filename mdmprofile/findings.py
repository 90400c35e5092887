"""What every judgement returns, and the catalogue of all rules that can be broken."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from mdmprofile.catalogue import RULES


class Severity(StrEnum):
    """How bad a finding is: ``error`` is refused or broken, ``warning`` will hurt, ``info`` is good to know."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error: also the exit code of a run whose worst finding it is."""
        return ("info", "warning", "error").index(self.value)


class Finding(NamedTuple):
    """One judgement.

    ``rule`` is an id of the catalogue, ``where`` a payload path such as ``PayloadContent[2].Topic``, a config
    key or a file; ``source`` is the Apple URL or RFC the rule comes from, or ``observed``.
    """

    rule: str
    severity: Severity
    message: str
    where: str = ""
    hint: str = ""
    source: str = ""

    def as_dict(self) -> dict[str, str]:
        """The finding as the JSON reports show it."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
            "source": self.source,
        }


def finding(rule: str, message: str, *, where: str = "", hint: str = "", severity: Severity | None = None) -> Finding:
    """Make a finding; severity, hint and source come from the catalogue unless given.

    Raises ``KeyError`` for a rule that the catalogue does not hold, so that no undocumented rule can exist.
    """
    entry = RULES[rule]
    return Finding(
        rule=rule,
        severity=severity or Severity(entry.severity),
        message=message,
        where=where,
        hint=hint or entry.hint,
        source=entry.source,
    )


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among ``findings``; None when there are none."""
    return max((each.severity for each in findings), key=lambda severity: severity.rank, default=None)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding is an error."""
    return worst(findings) is Severity.ERROR


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, errors first, otherwise in the order they were found, without repeats."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda each: -each.severity.rank))
