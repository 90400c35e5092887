"""``mdmprofile decrypt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.params import FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.cms.verify import is_signed
from mdmprofile.errors import EncryptionError
from mdmprofile.findings import by_severity, finding, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.output import place_of, write_one
from mdmprofile.reader import judge_signature, open_profile
from mdmprofile.reports.model import View


@click.command("decrypt")
@click.argument("file", type=FILE, metavar="IN")
@click.option("-o", "--output", type=FILE, required=True, help="Where the decrypted profile goes; - for stdout.")
@RECIPIENT_KEY_OPTIONS
@report_options("error")
@with_session
def command(
    session: Session,
    file: Path,
    output: Path,
    **flags: Any,  # noqa: ANN401 - the recipient's flags
) -> int:
    """Decrypt a profile's payloads with the recipient's key.

    The signature of a signed profile covers the encrypted payloads, so the result is not signed; when the signature is
    broken nothing is written. The result is readable by its owner alone.

    \b
    Example:
      mdmprofile decrypt encrypted.mobileconfig -o plain.mobileconfig \\
        --recipient device.pem --recipient-key device.key
      mdmprofile decrypt - -o - --recipient-pkcs12 device.p12 --recipient-pkcs12-password-file pw < in > out
    """
    session.keep_stdout_free(output)
    recipient = load_recipient(flags)
    if recipient is None:
        raise click.UsageError("name the recipient: --recipient with --recipient-key, or --recipient-pkcs12")
    source = "standard input" if file == STDIN else str(file)
    data = read_file(file, limit=MAX_PROFILE)
    findings = list(judge_signature(data, source=source))
    files = ["Nothing was written."]
    if not has_errors(findings):
        opened = open_profile(data, source=source, recipient=recipient)
        if not opened.encrypted:
            raise EncryptionError("is not encrypted", where=source, hint="use the file as it is")
        plain = opened.profile.to_bytes()
        if opened.signature is not None:
            message = "the signature covers the encrypted payloads, so the decrypted profile is not signed"
            hint = "sign it again where it is to be installed: mdmprofile sign"
            findings.append(finding("signing.unsigned", message, where=source, hint=hint))
        write_one(output, plain, private=True)
        count = len(opened.profile.payloads)
        private = "" if output == STDIN else ", readable by you alone"
        files = [f"wrote {place_of(output)} ({len(plain):,} bytes, {count} payloads{private})"]
    view = View(
        now=right_now(),
        findings=by_severity(findings),
        files=files,
        extra={"signed": is_signed(data), "recipient": recipient.certificate.subject},
    )
    return session.finish(view, to_stderr=output == STDIN)
