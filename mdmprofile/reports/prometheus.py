"""The check as metrics, in the text format that node_exporter's textfile collector reads.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from mdmprofile.findings import Severity
from mdmprofile.printable import printable
from mdmprofile.reports.model import View

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_BYTES = 1024


def render(view: View) -> str:
    """Every family with HELP and TYPE; what nobody knows, such as an end, has no sample."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - slow, and for this format only
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class Checked(Collector):
        def collect(self) -> Iterator[GaugeMetricFamily]:
            yield from _families(view)

    registry = CollectorRegistry()
    registry.register(Checked())
    return generate_latest(registry).decode("utf-8")


def _families(view: View) -> Iterator[GaugeMetricFamily]:
    # Families of samples, not Gauges: those would write files where PROMETHEUS_MULTIPROC_DIR is set.
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    ends = GaugeMetricFamily(
        "mdmprofile_certificate_not_after_timestamp_seconds",
        "When the certificate or identity ends, in Unix time.",
        labels=("role", "subject", "sha256", "target"),
    )
    for labels, end in _ends(view).items():
        ends.add_metric(labels, end.timestamp())
    yield ends

    findings = GaugeMetricFamily("mdmprofile_findings", "Findings of the check, by severity.", labels=("severity",))
    for severity in Severity:
        findings.add_metric((severity.value,), sum(each.severity is severity for each in view.findings))
    yield findings

    readable = GaugeMetricFamily(
        "mdmprofile_target_readable", "Whether the target could be read and judged in full.", labels=("target",)
    )
    for target, good in _readable(view).items():
        readable.add_metric((target,), good)
    yield readable

    plan = view.plan
    yield _moment(
        "mdmprofile_latest_safe_replacement_timestamp_seconds",
        "The latest date on which replacing the profile is still safe, in Unix time.",
        plan and plan.latest_safe_date,
    )
    yield _moment(
        "mdmprofile_planned_replacement_timestamp_seconds",
        "When the profile is planned to be replaced, in Unix time.",
        plan and plan.replace_on,
    )
    yield _moment(
        "mdmprofile_check_timestamp_seconds", "When the check was made, in Unix time; alert when it is old.", view.now
    )


def _moment(name: str, about: str, moment: datetime | None) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    return GaugeMetricFamily(name, about, value=None if moment is None else moment.timestamp())


def _ends(view: View) -> dict[tuple[str, ...], datetime]:
    """The end of each series. Two of the same labels would make the whole file invalid, so the earlier end speaks."""
    ends: dict[tuple[str, ...], datetime] = {}
    for report in view.by_file:
        for each in report.watched:
            if each.not_after is None:
                continue
            certificate = each.certificate
            subject, sha256 = (certificate.subject, certificate.sha256) if certificate else (each.name, "")
            labels = (each.role, _label(subject), sha256, _label(report.source))
            ends[labels] = min(each.not_after, ends.get(labels, each.not_after))
    return ends


def _readable(view: View) -> dict[str, int]:
    readable: dict[str, int] = {}
    for each in view.by_file:
        target = _label(each.source)
        readable[target] = min(readable.get(target, 1), int(not each.errors))
    return readable


def _label(text: str) -> str:
    """A label's value: line feeds as the format escapes them, what could steer a terminal as everywhere else.

    Stores that limit labels, such as Mimir at 2,048 bytes, drop the whole series when a value is longer.
    """
    safe = "\n".join(map(printable, text.split("\n")))
    return safe.encode("utf-8")[:_BYTES].decode("utf-8", "ignore")
