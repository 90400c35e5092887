"""``mdmprofile encrypt``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.certificates import Certificate
from mdmprofile.cli.config_flags import SIGNER_OPTIONS, in_flags, overrides_of, signer_from
from mdmprofile.cli.params import AT, END_OPTIONS, FILE, report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.cms.encrypt import encrypt_profile, judge_encryption
from mdmprofile.errors import EncryptionError, OutputError
from mdmprofile.findings import Finding, by_severity, finding, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, is_private, is_same, read_file
from mdmprofile.materials import load_signer
from mdmprofile.moments import stamp
from mdmprofile.output import place_of, write_one
from mdmprofile.plan import Thresholds, judge_dates, watch
from mdmprofile.reader import OpenedProfile, judge_signature, open_profile
from mdmprofile.recipients import load_recipients
from mdmprofile.reports.model import View
from mdmprofile.signing import Signed, sign_judged


@click.command("encrypt")
@click.argument("file", type=FILE, metavar="IN")
@click.option("-o", "--output", type=FILE, required=True, help="Where the encrypted profile goes; - for stdout.")
@click.option(
    "--recipient",
    "recipients",
    type=FILE,
    multiple=True,
    required=True,
    metavar="CERT",
    help="Certificate of a device, RSA; repeatable.",
)
@SIGNER_OPTIONS
@END_OPTIONS
@AT
@report_options("error")
@with_session
def command(
    session: Session,
    file: Path,
    output: Path,
    recipients: tuple[Path, ...],
    at: datetime | None,
    warn: timedelta | None,
    critical: timedelta | None,
    **flags: Any,  # noqa: ANN401 - the signer's flags
) -> int:
    """Encrypt a profile's payloads for the devices that hold the recipients' keys.

    Any one of the recipients can decrypt it. The profile's other keys stay readable. A signed profile is taken out of
    its signature when that is intact; the result is signed only with the signer's flags.

    \b
    Example:
      mdmprofile encrypt plain.mobileconfig -o encrypted.mobileconfig --recipient device.pem \\
        --signer signer.pem --signer-key signer.key --signer-chain intermediate.pem
      mdmprofile encrypt - -o - --recipient one.pem --recipient two.pem < in > out
    """
    session.keep_stdout_free(output)
    if is_same(file, output):
        raise OutputError("is the profile to encrypt", where=str(output), hint="choose another name: it would be lost")
    now = at or right_now()
    source = "standard input" if file == STDIN else str(file)
    data = read_file(file, limit=MAX_PROFILE)
    broken = judge_signature(data, source=source)
    if has_errors(broken):
        view = View(now=now, findings=by_severity(broken), files=["Nothing was written."])
        return session.finish(view, to_stderr=output == STDIN)
    opened = open_profile(data, source=source)
    if opened.encrypted:
        raise EncryptionError("is encrypted already", where=source, hint="decrypt it first: mdmprofile decrypt")
    certificates = load_recipients(recipients)
    with in_flags():
        signer = load_signer(signer_from(flags), prompt=ask()) if overrides_of(flags) else None
    thresholds = _thresholds(warn, critical)
    about_recipients = judge_encryption(opened.profile, certificates)

    def judge(certificate: Certificate | None, _: Sequence[Certificate]) -> tuple[Finding, ...]:
        watched = [watch(each, "recipient", each.source) for each in certificates]
        watched += [watch(certificate, "signer", certificate.source)] if certificate else []
        return (*about_recipients, *judge_dates(watched, thresholds, now=now, building=True))

    contents = (encrypt_profile(opened.profile, certificates, source=source).to_bytes() for _ in range(1))
    if signer is not None:
        with in_flags():
            made = sign_judged(contents, signer, (), judge)
    else:
        findings = (*judge(None, ()), *_unsigned(opened))
        made = Signed(() if has_errors(findings) else tuple(contents), findings)
    files = ["Nothing was written."]
    for result in made.data:
        write_one(output, result, private=is_private(file))
        files = _sentences(opened, certificates, made.certificate, f"wrote {place_of(output)} ({len(result):,} bytes")
    extra = {"recipients": [_recipient_dict(each) for each in certificates], "signed": made.certificate is not None}
    view = View(now=now, findings=by_severity(made.findings), files=files, extra=extra)
    return session.finish(view, to_stderr=output == STDIN)


def _unsigned(opened: OpenedProfile) -> Sequence[Finding]:
    message = "no signer is named, so the encrypted profile is not signed"
    if opened.signature is not None:
        message = "the profile was taken out of its signature, and no signer is named to sign the encrypted one"
    hint = "name the signer: --signer with --signer-key, or --signer-pkcs12"
    return (finding("signing.unsigned", message, where=opened.source, hint=hint),)


def _thresholds(warn: timedelta | None, critical: timedelta | None) -> Thresholds:
    defaults = Thresholds()
    return Thresholds(
        warn=defaults.warn if warn is None else warn, critical=defaults.critical if critical is None else critical
    )


def _sentences(
    opened: OpenedProfile, recipients: Sequence[Certificate], signer: Certificate | None, wrote: str
) -> list[str]:
    before = []
    if opened.signature is not None:
        names = ", ".join(each.certificate.name for each in opened.signature.signers if each.certificate)
        before = [f"took the profile out of the signature of {names}"]
    for_whom = ", ".join(each.name for each in recipients[:3])
    more = f" and {len(recipients) - 3} more" if len(recipients) > 3 else ""  # noqa: PLR2004 - as many as are named
    signed = f", signed by {signer.name}" if signer else ""
    return [*before, f"{wrote}, encrypted for {for_whom}{more}{signed})"]


def _recipient_dict(recipient: Certificate) -> dict[str, str]:
    return {"subject": recipient.subject, "sha256": recipient.sha256, "not_after": stamp(recipient.not_after)}
