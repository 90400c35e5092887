"""``mdmprofile sign``."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.config_flags import SIGNER_OPTIONS, overrides_of
from mdmprofile.cli.params import AT, END_OPTIONS, FILE, report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.cms.keys import complete_chain, judge_signing
from mdmprofile.cms.sign import sign
from mdmprofile.cms.verify import is_signed
from mdmprofile.config import read_signing
from mdmprofile.errors import SigningError
from mdmprofile.findings import by_severity, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, is_private, read_file
from mdmprofile.materials import load_signer
from mdmprofile.output import write_one
from mdmprofile.plan import Thresholds, judge_dates, watch
from mdmprofile.reader import open_profile
from mdmprofile.reports.model import View


@click.command("sign")
@click.argument("file", type=FILE, metavar="IN")
@click.option("-o", "--output", type=FILE, required=True, help="Where the signed profile goes; - for stdout.")
@SIGNER_OPTIONS
@END_OPTIONS
@AT
@report_options("error")
@with_session
def command(
    session: Session,
    file: Path,
    output: Path,
    at: datetime | None,
    warn: timedelta | None,
    critical: timedelta | None,
    **flags: Any,  # noqa: ANN401 - the signer's flags
) -> int:
    """Sign a profile: its bytes stay exactly as they are, inside a CMS signature in DER.

    \b
    Example:
      mdmprofile sign plain.mobileconfig -o signed.mobileconfig \\
        --signer signer.pem --signer-key signer.key --signer-chain intermediate.pem
      mdmprofile sign - -o - --signer-pkcs12 signer.p12 --signer-pkcs12-password-file pw < in > out
    """
    session.keep_stdout_free(output)
    now = at or right_now()
    if flags.get("signer") is None and flags.get("signer_pkcs12") is None:
        raise click.UsageError("name the signer: --signer with --signer-key, or --signer-pkcs12")
    data = read_file(file, limit=MAX_PROFILE)
    source = "standard input" if file == STDIN else str(file)
    if is_signed(data):
        raise SigningError("is signed already", where=source, hint="take the signature off first: mdmprofile unsign")
    profile = open_profile(data, source=source).profile
    given = load_signer(read_signing(overrides_of(flags)["signing"]), prompt=ask())
    signer = complete_chain(given, ())
    watched = (watch(signer.certificate, "signer", signer.certificate.source),)
    defaults = Thresholds()
    thresholds = Thresholds(
        warn=defaults.warn if warn is None else warn, critical=defaults.critical if critical is None else critical
    )
    dates = judge_dates(watched, thresholds, now=now, building=True)
    findings = by_severity([*judge_signing(given, ()), *dates])
    files = ["Nothing was written."]
    if not has_errors(findings):
        signed = sign(data, signer)
        write_one(output, signed, private=profile.holds_secret or is_private(file))
        files = [f"wrote {output} ({len(signed):,} bytes, signed by {signer.certificate.name})"]
    return session.finish(View(now=now, findings=findings, files=files), to_stderr=output == STDIN)
