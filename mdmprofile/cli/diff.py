"""``mdmprofile diff``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.certificates import Identity
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.config import Via
from mdmprofile.containers import load_certificates
from mdmprofile.errors import InputError, MdmprofileError, ProfileError, collect
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.mdm_replacement import MANUAL, MDM
from mdmprofile.reader import OpenedProfile, open_profile
from mdmprofile.replacement import compare_opened
from mdmprofile.reports.model import View
from mdmprofile.reports.replacement import as_dict, sections


@click.command("diff")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option(
    "--via",
    type=click.Choice([MDM, MANUAL]),
    default=MDM,
    show_default=True,
    help="How the new profile reaches the device: InstallProfile over MDM, or by hand.",
)
@click.option(
    "--server-certificate",
    "servers",
    type=FILE,
    multiple=True,
    help="The server's own today, so that a root that leaves is judged; repeatable.",
)
@RECIPIENT_KEY_OPTIONS
@AT
@report_options("warning")
@with_session
def command(
    session: Session,
    old: Path,
    new: Path,
    via: Via,
    servers: tuple[Path, ...],
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the recipient's flags
) -> int:
    """Tell whether a device that has OLD takes NEW in its place, and what changes.

    A device refuses a replacement that has another identifier, server or topic, more rights, or, by hand, another
    signer (exit 2). What it takes and hurts all the same, such as a root that leaves too early, is a warning (exit 1).
    Secrets are never shown, only that they changed.

    \b
    Example:
      mdmprofile diff installed.mobileconfig out/enroll.mobileconfig
      mdmprofile diff old.mobileconfig new.mobileconfig --via manual --format json
      mdmprofile diff old.mobileconfig new.mobileconfig --server-certificate server.pem
      mdmprofile diff old.mobileconfig encrypted.mobileconfig --recipient device.pem --recipient-key device.key
    """
    before, after = _open_both(old, new, load_recipient(flags))
    leaves = [each for file in servers for each in load_certificates(read_file(file), source=str(file))]
    now = at or right_now()
    result = compare_opened(before, after, via=via, servers=leaves, at=now)
    view = View(
        now=now,
        findings=result.findings,
        extra=as_dict(result),
        sections=sections(result),
    )
    return session.finish(view)


def _open_both(old: Path, new: Path, recipient: Identity | None) -> tuple[OpenedProfile, OpenedProfile]:
    """Both profiles; raises what is wrong with either of them in one go."""
    if old == new == STDIN:
        raise InputError("standard input cannot be both profiles", hint="name a file for one of them")
    opened: list[OpenedProfile] = []
    errors: list[MdmprofileError] = []
    for file in (old, new):
        source = "standard input" if file == STDIN else str(file)
        try:
            profile = open_profile(read_file(file, limit=MAX_PROFILE), source=source, recipient=recipient)
            if profile.profile.encrypted:
                raise ProfileError(
                    "is encrypted, so it cannot be compared", where=source, hint="give --recipient and --recipient-key"
                )
            opened.append(profile)
        except MdmprofileError as error:
            errors.append(error)
    if errors:
        raise collect(errors)
    return opened[0], opened[1]
