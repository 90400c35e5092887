"""``mdmprofile check``."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.cli.config_flags import parse_variables
from mdmprofile.cli.params import DATE_OPTIONS, DURATION, FILE, report_options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.folders import Choice
from mdmprofile.reports.model import View
from mdmprofile.secret import SecretSource
from mdmprofile.survey import Asked, survey
from mdmprofile.targets import Keys, read_targets


@click.command("check")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    metavar="CA|system",
    help="Judge signers against this CA; repeatable.",
)
@click.option(
    "--identity-validity",
    type=DURATION,
    help="How long SCEP or ACME certificates last, from the signature on.",
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Of directories, only files that match, whatever is in them; repeatable.",
)
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Of directories, no file or directory that matches; repeatable."
)
@click.option(
    "--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable of configs; repeatable."
)
@click.option("--password-file", type=FILE, help="File with the password of PKCS#12 targets.")
@RECIPIENT_KEY_OPTIONS
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@DATE_OPTIONS
@report_options("warning", "nagios", "prometheus", "csv", "ics", "junit", "github")
@with_session
def command(
    session: Session,
    targets: tuple[str, ...],
    anchors: tuple[str, ...],
    identity_validity: timedelta | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    variables: tuple[str, ...],
    password_file: Path | None,
    output: Path | None,
    replace_on: datetime | None,
    margin: timedelta | None,
    warn: timedelta | None,
    critical: timedelta | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the recipient's flags
) -> int:
    """Judge the dates of everything in profiles, certificate files, directories and configs.

    Every certificate of every bundle counts, by its role: what is baked into the profile is held against the planned
    replacement, what is renewed elsewhere against --warn and --critical alone. Of a directory, and those below it,
    every profile, certificate file and config counts, hidden files excepted. With a config beside its profile, or
    with --identity-validity, the SCEP or ACME identities of the profile count too.

    A GLOB is matched against the path below the directory and against the file's name, case-sensitively; ** stands for
    any number of directories. --exclude wins over --include, and neither touches a file that is named itself.

    \b
    Example:
      mdmprofile check out/enroll.mobileconfig --replace-on 2027-06-01
      mdmprofile check enroll.toml pki/ --quiet
      mdmprofile check /etc/ssl fleet/ --include '*.mobileconfig' --exclude 'fleet-2019/**' --exclude old
      mdmprofile check bundle.p7b --format json --at 2027-01-01
      mdmprofile check enroll.toml --format prometheus -o mdmprofile.prom
    """
    now = at or right_now()
    trusted = load_anchors(anchors) if anchors else None
    password = SecretSource("file", password_file, "--password-file").fetch() if password_file else None
    with Progress(shown=not session.quiet, colour=session.colour) as progress:
        read = read_targets(
            targets,
            now=now,
            keys=Keys(password, load_recipient(flags)),
            variables=parse_variables(variables),
            choice=Choice(include, exclude),
            validity=identity_validity,
            progress=progress.tell,
        )
        found = survey(read, now=now, asked=Asked(replace_on, margin, warn, critical), anchors=trusted)
    return session.finish(View(now, **found._asdict()), output=output)
