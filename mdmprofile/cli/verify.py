"""``mdmprofile verify``."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.session import Session, with_session
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import Signature, Signer, is_signed, verify
from mdmprofile.findings import by_severity, finding
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.moments import day, stamp
from mdmprofile.reader import open_profile
from mdmprofile.reports.model import View


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
    findings = [each if each.where == source else each._replace(where=f"{source}: {each.where}") for each in findings]
    view = View(
        now=now,
        findings=by_severity(findings),
        files=[_sentence(each, now) for each in _signers(signature)],
        extra={
            "signed": signature is not None,
            "signers": [_signer_dict(each) for each in _signers(signature)],
            "content_sha256": hashlib.sha256(content).hexdigest(),
        },
    )
    return session.finish(view)


def _signers(signature: Signature | None) -> tuple[Signer, ...]:
    return signature.signers if signature else ()


def _sentence(signer: Signer, now: datetime) -> str:
    name = signer.certificate.subject or signer.certificate.name if signer.certificate else "unknown"
    state = "intact" if signer.valid else f"NOT VALID, {signer.problem}"
    when = f", signed {stamp(signer.signing_time)}" if signer.signing_time else ""
    over = signer.certificate is not None and signer.certificate.not_after < now
    ended = f"; its certificate expired on {day(signer.certificate.not_after)}" if signer.certificate and over else ""
    return f"signed by {name}: {state}; {signer.digest}{when}{ended}"


def _signer_dict(signer: Signer) -> dict[str, Any]:
    certificate = signer.certificate
    return {
        "subject": certificate.subject if certificate else None,
        "sha256": certificate.sha256 if certificate else None,
        "not_after": stamp(certificate.not_after) if certificate else None,
        "digest": signer.digest,
        "signing_time": stamp(signer.signing_time) if signer.signing_time else None,
        "valid": signer.valid,
        "problem": signer.problem,
    }
