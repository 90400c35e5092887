"""Every rule on the bytes of any file: one call, everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Identity
from mdmprofile.cms.verify import is_signed, verify
from mdmprofile.errors import CertificateError, MdmprofileError
from mdmprofile.findings import Finding, Severity, by_severity
from mdmprofile.reader import open_profile

# Imported because that registers their rules.
from mdmprofile.rules import (  # noqa: F401
    advice,
    certificates,
    chains,
    encrypted,
    identity,
    mdm,
    pkcs12,
    schema,
    signature,
    structure,
    tls,
    trust,
)
from mdmprofile.rules.chains import affordable
from mdmprofile.rules.examined import AS_TRUST, AUTO, Examined, examine
from mdmprofile.rules.registry import ENROLLMENT, EVERY, FILE, SCHEMA, TRUST, apply


class Linted(NamedTuple):
    """What was found in one file, worst first, with paths inside the profile; and what could not be judged, and why."""

    source: str
    findings: tuple[Finding, ...]
    errors: tuple[MdmprofileError, ...] = ()


def lint(
    data: bytes, *, source: str = "", now: datetime, kind: str = AUTO, recipient: Identity | None = None
) -> Linted:
    """Judge the bytes of a profile, signed or not, as of ``now`` (aware UTC).

    ``kind`` is ``enrollment`` or ``trust`` where that is known, else ``auto``: what holds an MDM payload is an
    enrollment profile; ``recipient`` opens an encrypted one. Raises nothing: bytes that are no profile are in
    ``errors``.
    """
    try:
        opened = open_profile(data, source=source, recipient=recipient)
    except MdmprofileError as error:
        return Linted(source, by_severity(_of_the_signature(data, source)), (error,))
    errors: list[MdmprofileError] = []
    try:
        examined = examine(opened, data, now=now, kind=kind)
    except MdmprofileError as error:
        errors.append(error)
        examined = Examined(opened, data, (), now, kind)
    if not affordable(examined.authorities):
        errors.append(CertificateError("has more CA certificates than are judged in one chain", where=source))
    return Linted(source, by_severity(judge_file(examined)), tuple(errors))


def judge_file(examined: Examined) -> tuple[Finding, ...]:
    """What every rule finds that applies to this file."""
    groups = [EVERY]
    if not examined.profile.encrypted:
        groups += [ENROLLMENT] if examined.enrolls else [TRUST] if examined.kind == AS_TRUST else []
    found = (*apply(examined.profile, *groups), *apply(examined, FILE))
    return found + tuple(each for each in apply(examined, SCHEMA) if not _is_told(each, found))


def _is_told(general: Finding, found: Iterable[Finding]) -> bool:
    """Whether a rule that knows the meaning of the value found fault with it already, or with something inside it."""
    inside = (f"{general.where}[", f"{general.where}.")
    wrong = [each.where for each in found if each.severity is Severity.ERROR]
    return any(where == general.where or where.startswith(inside) for where in wrong)


def _of_the_signature(data: bytes, source: str) -> tuple[Finding, ...]:
    """A change can break the property list too; that must not hide the broken signature."""
    try:
        return verify(data, source=source).findings if is_signed(data) else ()
    except MdmprofileError:
        return ()
