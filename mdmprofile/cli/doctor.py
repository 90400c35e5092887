"""``mdmprofile doctor``."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.config_flags import DEFAULT_CONFIG, parse_variables
from mdmprofile.cli.params import AT, END_OPTIONS, FILE, report_options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.route_flags import ROUTE_OPTIONS, route_from
from mdmprofile.cli.session import Session, with_session
from mdmprofile.doctor.enrolled import enrolled_by_config, enrolled_by_profile
from mdmprofile.doctor.rehearse import Rehearsal, rehearse
from mdmprofile.errors import InputError, MdmprofileError
from mdmprofile.inputs import MAX_PROFILE, place_of, read_file
from mdmprofile.plan import Thresholds
from mdmprofile.probe.locations import is_url
from mdmprofile.reports.model import FileReport, View, certificate_dict
from mdmprofile.reports.rehearsal import sections, step_dict


@click.command("doctor")
@click.argument("file", required=False, type=FILE, metavar="[FILE|enroll.toml]")
@ROUTE_OPTIONS
@click.option(
    "--fetch-enrollment",
    is_flag=True,
    help="Ask for the enrollment profile too, which may spend a one-time challenge.",
)
@click.option(
    "--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable of the config; repeatable."
)
@RECIPIENT_KEY_OPTIONS
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@END_OPTIONS
@AT
@report_options("warning", "junit", "github", "nagios")
@with_session
def command(
    session: Session,
    file: Path | None,
    fetch_enrollment: bool,
    variables: tuple[str, ...],
    output: Path | None,
    warn: timedelta | None,
    critical: timedelta | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the route's and the recipient's flags
) -> int:
    """Rehearse live what a device does with a profile, with this profile's trust alone.

    Connects to ServerURL and CheckInURL and judges what they show as a device does: chain, host name, dates, keys and
    TLS version. Asks the SCEP server for its CA, or the ACME server for its directory, and compares what the server
    publishes (MDMServiceConfig, trust profile, anchors) with the profile. Nothing is ordered, signed or checked in,
    and each step is reported, also those that cannot be tried.

    \b
    Example:
      mdmprofile doctor out/enroll.mobileconfig
      mdmprofile doctor enroll.toml --resolve mdm.example.com:443:192.0.2.7
      mdmprofile doctor enroll.toml --connect-timeout 5 --format json
    """
    now = at or right_now()
    path = file or DEFAULT_CONFIG
    if is_url(str(path)) or str(path).startswith(("https:/", "http:/")):
        hint = "name the profile or config that leads there; mdmprofile check looks at servers"
        raise InputError("is a server, and a rehearsal needs a profile", where=str(path), hint=hint)
    if file is None and not DEFAULT_CONFIG.exists():
        raise InputError("no such file", where=str(path), hint="run mdmprofile init, or name a profile or config")
    route = route_from(flags)
    source = place_of(path)
    errors: tuple[MdmprofileError, ...] = ()
    if path.suffix.lower() == ".toml":
        from mdmprofile.config import load_config  # noqa: PLC0415 - either this or a profile
        from mdmprofile.materials import load_materials  # noqa: PLC0415

        config = load_config(path, variables=parse_variables(variables), lenient=True)
        materials = load_materials(config, private=False)
        errors = materials.errors
        enrolled = enrolled_by_config(config, materials)
    else:
        from mdmprofile.reader import open_profile  # noqa: PLC0415

        opened = open_profile(read_file(path, limit=MAX_PROFILE), source=source, recipient=load_recipient(flags))
        enrolled = enrolled_by_profile(opened.profile, source=source)
    base = Thresholds()
    thresholds = base._replace(warn=base.warn if warn is None else warn)
    thresholds = thresholds._replace(critical=base.critical if critical is None else critical)
    with Progress(shown=not session.quiet, colour=session.colour, doing="rehearsing", unit="parts") as bar:
        rehearsal = rehearse(
            enrolled, route, at=now, thresholds=thresholds, progress=bar.tell, fetch_enrollment=fetch_enrollment
        )
    view = _view(rehearsal, enrolled.title, now, FileReport(source, errors=errors, thresholds=thresholds))
    return session.finish(view, output=output)


def _view(rehearsal: Rehearsal, title: str, now: datetime, report: FileReport) -> View:
    return View(
        now=now,
        findings=[each for each in rehearsal.findings if each.rule != "live.passed"],
        errors=report.errors,
        sections=sections(rehearsal, title),
        extra={
            "findings": [each.as_dict() for each in rehearsal.findings],
            "steps": [step_dict(each) for each in rehearsal.steps],
            "certificates": [certificate_dict(each, now) for each in rehearsal.watched],
        },
        by_file=[report._replace(findings=rehearsal.findings, watched=rehearsal.watched)],
    )
