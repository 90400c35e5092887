"""``mdmprofile sign``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.certificates import Certificate
from mdmprofile.cli.config_flags import SIGNER_OPTIONS, in_flags, signer_from
from mdmprofile.cli.params import AT, END_OPTIONS, FILE, report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.cms.verify import is_signed
from mdmprofile.errors import SigningError
from mdmprofile.findings import Finding, by_severity, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, is_private, read_file
from mdmprofile.materials import load_signer
from mdmprofile.output import place_of, write_one
from mdmprofile.plan import Thresholds, judge_dates, watch
from mdmprofile.reader import OpenedProfile, open_profile
from mdmprofile.reports.model import View
from mdmprofile.signing import sign_judged


@click.command("sign")
@click.argument("file", type=FILE, metavar="IN")
@click.option("-o", "--output", type=FILE, required=True, help="Where the signed profile goes; - for stdout.")
@click.option("--resign", is_flag=True, help="Take an old, intact signature off first.")
@SIGNER_OPTIONS
@END_OPTIONS
@AT
@report_options("error")
@with_session
def command(
    session: Session,
    file: Path,
    output: Path,
    resign: bool,
    at: datetime | None,
    warn: timedelta | None,
    critical: timedelta | None,
    **flags: Any,  # noqa: ANN401 - the signer's flags
) -> int:
    """Sign a profile: its bytes stay exactly as they are, inside a CMS signature in DER.

    The key is in a file, on a PKCS#11 token, or wherever a command reaches it: --signer-command gets the bytes to be
    signed on stdin and returns the signature, --signer-cms-command gets the profile and returns it signed.

    \b
    Example:
      mdmprofile sign plain.mobileconfig -o signed.mobileconfig \\
        --signer signer.pem --signer-key signer.key --signer-chain intermediate.pem
      mdmprofile sign - -o - --signer-pkcs12 signer.p12 --signer-pkcs12-password-file pw < in > out
      mdmprofile sign in -o out --signer-pkcs11-pin-file pin \\
        --signer-pkcs11 'pkcs11:token=mdm;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so'
      mdmprofile sign in -o out --signer signer.pem --signer-command 'openssl dgst -sha256 -sign signer.key'
      mdmprofile sign in -o out --signer-cms-command 'security cms -S -G -H SHA256 -N "My identity"'
    """
    session.keep_stdout_free(output)
    now = at or right_now()
    if all(flags.get(each) is None for each in ("signer", "signer_pkcs12", "signer_pkcs11", "signer_cms_command")):
        raise click.UsageError(
            "name the signer: --signer with --signer-key or --signer-command, --signer-pkcs12, --signer-pkcs11, or "
            "--signer-cms-command"
        )
    settings = signer_from(flags)
    data = read_file(file, limit=MAX_PROFILE)
    source = "standard input" if file == STDIN else str(file)
    if is_signed(data) and not resign:
        raise SigningError("is signed already", where=source, hint="add --resign to take that signature off first")
    opened = open_profile(data, source=source)
    old = by_severity(opened.findings)
    if has_errors(old):
        # Signed again, what somebody changed would become authentic.
        files = ["Nothing was written: the old signature is not valid, so the profile is not what was signed."]
        return session.finish(View(now=now, findings=old, files=files), to_stderr=output == STDIN)
    defaults = Thresholds()
    thresholds = Thresholds(
        warn=defaults.warn if warn is None else warn, critical=defaults.critical if critical is None else critical
    )

    def judge(certificate: Certificate | None, _: Sequence[Certificate]) -> tuple[Finding, ...]:
        watched = [watch(certificate, "signer", certificate.source)] if certificate else []
        return judge_dates(watched, thresholds, now=now, building=True)

    with in_flags():
        signed = sign_judged([opened.content], load_signer(settings, prompt=ask()), (), judge)
    files = ["Nothing was written."]
    if signed.data and signed.certificate:
        (result,) = signed.data
        write_one(output, result, private=opened.profile.holds_secret or is_private(file))
        files = [f"took off the signature of {each}" for each in _signers(opened)]
        files += [f"wrote {place_of(output)} ({len(result):,} bytes, signed by {signed.certificate.name})"]
    return session.finish(View(now=now, findings=by_severity(signed.findings), files=files), to_stderr=output == STDIN)


def _signers(opened: OpenedProfile) -> list[str]:
    signers = opened.signature.signers if opened.signature else ()
    return [each.certificate.name for each in signers if each.certificate]
