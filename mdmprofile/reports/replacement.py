"""A replacement's verdict and changes, as sections for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdmprofile.changes import ADDED, COMING, KEPT, REMOVED, UPDATED, CertificateChange, PayloadChange
from mdmprofile.findings import Severity, worst
from mdmprofile.moments import day, stamp
from mdmprofile.printable import fitted, printable
from mdmprofile.replacement import Replacement
from mdmprofile.reports.model import Line, Section
from mdmprofile.values import KeyChange

_MARKS = {KEPT: ("=", "dim"), UPDATED: ("~", "warn"), REMOVED: ("-", "bad"), ADDED: ("+", "good")}
_STYLES: Mapping[Severity | None, str] = {Severity.ERROR: "bad", Severity.WARNING: "warn"}
_TYPE = 28


def sections(replacement: Replacement, verdict: str = "") -> list[Section]:
    """The verdict first, then what changes; ``verdict`` stands in for the replacement's own."""
    changes = replacement.changes
    named = [
        ("Profile", [_key(each) for each in changes.top]),
        ("Payloads", [line for each in changes.payloads for line in _payload(each)]),
        ("Certificates", [_certificate(each) for each in changes.certificates]),
        ("Access rights", [*_rights("+", changes.rights_added), *_rights("-", changes.rights_dropped)]),
        ("Device identity", [Line(changes.identity.why)] if changes.identity else []),
    ]
    first = Section(verdict or replacement.verdict, (), _STYLES.get(worst(replacement.findings), "good"))
    return [first, *(Section(title, lines) for title, lines in named if lines)]


def as_dict(replacement: Replacement) -> dict[str, Any]:
    """The parts of the JSON report beside the findings."""
    changes = replacement.changes
    identity = changes.identity
    return {
        "accepted": replacement.accepted,
        "via": replacement.via,
        "identifier": replacement.identifier,
        "changes": {
            "profile": _keys_dict(changes.top),
            "payloads": [
                {
                    "state": each.state,
                    "type": each.kind,
                    "name": each.name,
                    "identifier": each.identifier,
                    "uuid": each.uuid,
                    "where": each.where,
                    **_keys_dict(each.keys),
                }
                for each in changes.payloads
            ],
            "certificates": [_certificate_dict(each) for each in changes.certificates],
            "rights": {"added": list(changes.rights_added), "dropped": list(changes.rights_dropped)},
            "identity": identity
            and {
                "old_type": identity.old_kind or None,
                "type": identity.kind or None,
                "issued": identity.issued,
                "why": identity.why,
            },
        },
    }


def _payload(change: PayloadChange) -> Iterable[Line]:
    mark, style = _MARKS[change.state]
    kind = fitted(printable(change.kind), _TYPE) if len(change.kind) <= _TYPE else change.kind
    yield Line(f"{mark} {kind}  {change.name or change.identifier}", style)
    for each in change.keys:
        yield Line(f"      {_key_text(each)}")


def _key(change: KeyChange) -> Line:
    return Line(f"~ {_key_text(change)}", "warn")


def _key_text(change: KeyChange) -> str:
    if not change.shown:
        return f"{change.key} changed"
    return f"{change.key}: {_or_absent(change.old)} -> {_or_absent(change.new)}"


def _or_absent(value: str | None) -> str:
    return "absent" if value is None else value or '""'


def _certificate(change: CertificateChange) -> Line:
    mark, style = ("+", "good") if change.state == COMING else ("-", "bad")
    held = change.held
    certificate = held.certificate
    end = day(certificate.not_after)
    return Line(f"{mark} {held.role:<12}  {certificate.name}  ends {end}  sha256 {certificate.sha256}", style)


def _rights(mark: str, names: Sequence[str]) -> Iterable[Line]:
    return (Line(f"{mark} {each}", "good" if mark == "+" else "bad") for each in names)


def _keys_dict(keys: Sequence[KeyChange]) -> dict[str, Any]:
    """The keys that changed, and the values of those whose values may be shown."""
    return {
        "keys": [each.key for each in keys],
        "values": {each.key: {"old": each.old, "new": each.new} for each in keys if each.shown},
    }


def _certificate_dict(change: CertificateChange) -> dict[str, Any]:
    certificate = change.held.certificate
    return {
        "state": change.state,
        "role": change.held.role,
        "subject": certificate.subject,
        "sha256": certificate.sha256,
        "not_before": stamp(certificate.not_before),
        "not_after": stamp(certificate.not_after),
        "where": change.held.where,
    }
