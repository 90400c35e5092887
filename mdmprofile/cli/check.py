"""``mdmprofile check``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.cli.config_flags import parse_variables
from mdmprofile.cli.params import DATE_OPTIONS, DURATION, FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.findings import by_severity
from mdmprofile.plan import Plan, Thresholds, judge_dates, make_plan
from mdmprofile.reports.model import FileReport, View
from mdmprofile.secret import SecretSource
from mdmprofile.targets import Keys, date_identities, read_target


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
    "--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable of configs; repeatable."
)
@click.option("--password-file", type=FILE, help="File with the password of PKCS#12 targets.")
@RECIPIENT_KEY_OPTIONS
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@DATE_OPTIONS
@report_options("warning", "html", "junit", "github")
@with_session
def command(
    session: Session,
    targets: tuple[str, ...],
    anchors: tuple[str, ...],
    identity_validity: timedelta | None,
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

    \b
    Example:
      mdmprofile check out/enroll.mobileconfig --replace-on 2027-06-01
      mdmprofile check enroll.toml pki/ --quiet
      mdmprofile check bundle.p7b --format json --at 2027-01-01
    """
    now = at or right_now()
    trusted = load_anchors(anchors) if anchors else None
    password = SecretSource("file", password_file, "--password-file").fetch() if password_file else None
    keys = Keys(password, load_recipient(flags))
    given = parse_variables(variables)
    found = [each for name in targets for each in read_target(name, now=now, keys=keys, variables=given)]
    read = date_identities(found, now=now, validity=identity_validity)
    findings, plans, reports = [], [], []
    for each in read:
        thresholds = _thresholds(each.thresholds, replace_on, margin, warn, critical)
        found = [*each.findings, *judge_dates(each.watched, thresholds, now=now)]
        plans.append(make_plan(each.watched, thresholds))
        if trusted is not None:
            found += each.distrust(trusted, at=now)
        findings += found
        inside = [one._replace(where=_inside(each.name, one.where)) for one in by_severity(found)]
        reports.append(FileReport(each.name, inside, each.errors, each.watched))
    view = View(
        now=now,
        findings=by_severity(findings),
        watched=[each for target in read for each in target.watched],
        plan=_tightest(plans),
        errors=[error for target in read for error in target.errors],
        by_file=reports,
    )
    return session.finish(view, output=output)


def _inside(name: str, where: str) -> str:
    """The place without the name of the target that it is in."""
    return "" if where == name else where.removeprefix(f"{name}: ")


def _thresholds(
    own: Thresholds | None,
    replace_on: datetime | None,
    margin: timedelta | None,
    warn: timedelta | None,
    critical: timedelta | None,
) -> Thresholds:
    """The flags over the target's own config over the defaults."""
    base = own or Thresholds()
    return Thresholds(
        replace_on=replace_on or base.replace_on,
        margin=base.margin if margin is None else margin,
        warn=base.warn if warn is None else warn,
        critical=base.critical if critical is None else critical,
    )


def _tightest(plans: list[Plan]) -> Plan:
    """The plan of the target that must be replaced first."""
    latest = datetime.max.replace(tzinfo=UTC)
    return min(plans, key=lambda plan: plan.latest_safe_date or latest)
