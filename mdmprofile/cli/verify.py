"""``mdmprofile verify``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.certificates import Certificate
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.session import Session, with_session
from mdmprofile.cms.trust import judge_trust, trust_path
from mdmprofile.cms.verify import Signature, Signer, is_signed, verify
from mdmprofile.findings import by_severity, finding
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.moments import day, stamp
from mdmprofile.reader import open_profile
from mdmprofile.reports.model import View, facts


@click.command("verify")
@click.argument("file", type=FILE)
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    metavar="CA|system",
    help="Trust this CA file; repeatable. system: the public roots.",
)
@AT
@report_options("warning")
@with_session
def command(session: Session, file: Path, anchors: tuple[str, ...], at: datetime | None) -> int:
    """Tell who signed a profile, whether it was changed since, and whether to trust the signer.

    Without --trust only the signature is judged.

    \b
    Example:
      mdmprofile verify out/enroll.mobileconfig --trust pki/root.pem
    """
    now = at or right_now()
    trusted = load_anchors(anchors) if anchors else None
    source = "standard input" if file == STDIN else str(file)
    data = read_file(file, limit=MAX_PROFILE)
    # A change can break the property list too; that must not hide the broken signature.
    signature = verify(data, source=source) if is_signed(data) else None
    content = signature.content if signature else open_profile(data, source=source).content
    findings = list(signature.findings) if signature else []
    if signature is None:
        findings.append(finding("signature.missing", "the profile is not signed", where=source))
    elif trusted is None:
        findings.append(
            finding(
                "signature.trust-not-judged",
                "the signer was checked, not whether to trust them",
                where=source,
            )
        )
    else:
        findings += judge_trust(signature, trusted, at=now)
    paths = _with_paths(signature, trusted or (), now)
    findings = [each if each.where == source else each._replace(where=f"{source}: {each.where}") for each in findings]
    view = View(
        now=now,
        findings=by_severity(findings),
        files=[line for each in paths for line in _sentences(each, now, judged=trusted is not None)],
        extra={
            "signed": signature is not None,
            "signers": [_signer_dict(each, judged=trusted is not None) for each in paths],
            "embedded": [facts(each) for each in signature.certificates] if signature else [],
            "content_sha256": hashlib.sha256(content).hexdigest(),
        },
    )
    return session.finish(view)


class _Found(NamedTuple):
    """A signer and the certificates from its own up to a trusted one; none where there is no such path."""

    signer: Signer
    path: tuple[Certificate, ...]


def _with_paths(signature: Signature | None, trusted: Sequence[Certificate], now: datetime) -> list[_Found]:
    if signature is None:
        return []
    return [
        _Found(each, trust_path(each.certificate, signature.certificates, trusted, at=now)[0])
        if each.certificate and trusted
        else _Found(each, ())
        for each in signature.signers
    ]


def _sentences(found: _Found, now: datetime, *, judged: bool) -> Iterator[str]:
    """Who signed in one line, and below it what the signature covers and the path to trust."""
    signer = found.signer
    name = signer.certificate.subject or signer.certificate.name if signer.certificate else "unknown"
    state = "intact" if signer.valid else f"NOT VALID, {signer.problem}"
    when = f", signed {stamp(signer.signing_time)}" if signer.signing_time else ""
    over = signer.certificate is not None and signer.certificate.not_after < now
    ended = f"; its certificate expired on {day(signer.certificate.not_after)}" if signer.certificate and over else ""
    yield f"signed by {name}: {state}; {signer.digest}{when}{ended}"
    if signer.certificate:
        yield f"  sha256 {signer.certificate.sha256}"
    attributes = ", ".join(signer.signed_attributes) or "none"
    yield f"  {signer.signature_algorithm}; signed attributes: {attributes}"
    if judged:
        path = " > ".join(each.name for each in found.path) or "none"
        yield f"  path to a trusted certificate: {path}"


def _signer_dict(found: _Found, *, judged: bool) -> dict[str, Any]:
    """One signer of the JSON report; ``chain`` is null where trust was not judged."""
    signer, certificate = found.signer, found.signer.certificate
    return {
        "subject": certificate.subject if certificate else None,
        "sha256": certificate.sha256 if certificate else None,
        "not_before": stamp(certificate.not_before) if certificate else None,
        "not_after": stamp(certificate.not_after) if certificate else None,
        "digest": signer.digest,
        "signature_algorithm": signer.signature_algorithm,
        "signed_attributes": list(signer.signed_attributes),
        "signing_time": stamp(signer.signing_time) if signer.signing_time else None,
        "valid": signer.valid,
        "problem": signer.problem,
        "chain": [each.subject for each in found.path] if judged else None,
    }
