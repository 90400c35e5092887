"""``mdmprofile unsign``."""

from __future__ import annotations

from pathlib import Path

import click

from mdmprofile.cli.params import FILE, report_options, right_now
from mdmprofile.cli.session import Session, with_session
from mdmprofile.errors import ProfileError
from mdmprofile.findings import by_severity, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, is_private, read_file
from mdmprofile.output import place_of, write_one
from mdmprofile.reader import open_profile
from mdmprofile.reports.model import View


@click.command("unsign")
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Where the profile goes; - for stdout.")
@click.option("--force", is_flag=True, help="Even when the signature is not valid; the exit code stays 2.")
@report_options("error")
@with_session
def command(session: Session, file: Path, output: Path, force: bool) -> int:
    """Take the profile out of its signature, byte for byte as it was signed.

    A profile whose signature is broken is not taken out unless --force says so.

    \b
    Example:
      mdmprofile unsign signed.mobileconfig -o plain.mobileconfig
      mdmprofile unsign signed.mobileconfig -o - | plutil -p -
    """
    session.keep_stdout_free(output)
    source = "standard input" if file == STDIN else str(file)
    opened = open_profile(read_file(file, limit=MAX_PROFILE), source=source)
    if opened.signature is None:
        raise ProfileError("is not signed", where=source, hint="use the file as it is")
    findings = by_severity(opened.findings)
    if has_errors(findings) and not force:
        return session.finish(
            View(now=right_now(), findings=findings, files=["Nothing was written."]), to_stderr=output == STDIN
        )
    write_one(output, opened.content, private=opened.profile.holds_secret or is_private(file))
    files = [f"wrote {place_of(output)} ({len(opened.content):,} bytes)"]
    if has_errors(findings):
        files.append("NOT AUTHENTIC: this is not what a signer is known to have signed. Do not install it.")
    return session.finish(View(now=right_now(), findings=findings, files=files), to_stderr=output == STDIN)
