"""``mdmprofile plan``."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.config_flags import DEFAULT_CONFIG, parse_variables
from mdmprofile.cli.params import DATE_OPTIONS, DURATION, FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.errors import InputError, collect
from mdmprofile.findings import by_severity
from mdmprofile.plan import Thresholds, assume_sent, judge_dates
from mdmprofile.recorded import by_day
from mdmprofile.reports.model import FileReport, View, inside
from mdmprofile.reports.plan import as_dict, headline, sections
from mdmprofile.schedule import make_schedule
from mdmprofile.secret import SecretSource
from mdmprofile.targets import Keys, Target, date_identities, read_target


@click.command("plan")
@click.argument("target", required=False, metavar="[enroll.toml|FILE]")
@click.option(
    "--identity-validity",
    type=DURATION,
    help="How long SCEP or ACME certificates last, from the signature on.",
)
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable; repeatable.")
@click.option("--password-file", type=FILE, help="File with the password of a PKCS#12.")
@RECIPIENT_KEY_OPTIONS
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@DATE_OPTIONS
@report_options("error", "ics", "html")
@with_session
def command(
    session: Session,
    target: str | None,
    identity_validity: timedelta | None,
    variables: tuple[str, ...],
    password_file: Path | None,
    output: Path | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the dates and the recipient's flags
) -> int:
    """Plan the replacement: what ends when, the latest safe date, and the steps up to it.

    Of a config, for the profile that will be sent, or of a profile as it was sent. Where both the old and the next
    root are in it, or where a root ends first, the steps are those of a change of the CA: the overlap profile, the
    wait for the fleet (the margin), the server's move, the old root's end. Of a ledger.sqlite, day by day, which
    devices need a new identity. --format ics is a calendar with alarms; imported again, it moves its events.

    \b
    Example:
      mdmprofile plan
      mdmprofile plan out/enroll.mobileconfig --identity-validity 365d
      mdmprofile plan enroll.toml --replace-on 2027-06-01 --format ics -o mdm.ics
    """
    now = at or right_now()
    if target is None and not DEFAULT_CONFIG.exists():
        raise InputError("no such file", where=str(DEFAULT_CONFIG), hint="run mdmprofile init, or name a config")
    name = str(DEFAULT_CONFIG) if target is None else target
    password = SecretSource("file", password_file, "--password-file").fetch() if password_file else None
    keys = Keys(password, load_recipient(flags))
    read = _read(name, now=now, keys=keys, variables=parse_variables(variables), validity=identity_validity)
    if read.listed is not None:
        read = by_day(read)
    given = {key: value for key, value in flags.items() if value is not None}
    thresholds = (read.thresholds or Thresholds())._replace(**given)
    plan = make_schedule(
        read.watched,
        thresholds,
        now=now,
        validity=identity_validity or read.validity,
        # The certificates of a bare file are nobody's trust yet.
        carries_trust=read.thresholds is not None or bool(read.source),
        sent=min(read.signing_time or now, now) if read.source else None,
    )
    findings = by_severity([*read.findings, *plan.findings, *judge_dates(read.watched, thresholds, now=now)])
    here = [each._replace(where=inside(read.name, each.where)) for each in findings]
    text = session.report_format == "text"
    title = read.display_name or read.identifier or os.path.basename(read.name)  # noqa: PTH119 - "-" has a name too
    view = View(
        now=now,
        findings=findings,
        # As text, the sections say it all.
        watched=() if text else read.watched,
        plan=plan,
        # As text, it would head a list of payloads.
        title="" if text else f"Replacement plan: {title}",
        headline=headline(plan, now=now),
        errors=read.errors,
        extra={"plan": as_dict(plan, read.watched)},
        sections=sections(plan, read.watched, thresholds, now=now) if text else (),
        by_file=[FileReport(read.name, here, read.errors, read.watched, thresholds, read.identifier, title)],
    )
    return session.finish(view, output=output)


def _read(name: str, *, now: datetime, keys: Keys, variables: dict[str, Any], validity: timedelta | None) -> Target:
    """The one target; what holds several is for ``check``, and what cannot be read at all has no plan."""
    folder = os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises for names that are too long
    found = () if folder else read_target(name, now=now, keys=keys, variables=variables, validity=validity)
    if len(found) != 1:
        raise InputError("is not one profile or config", where=name, hint="name the one to plan for")
    found = date_identities(found, now=now, validity=validity)
    if found[0].errors and not found[0].watched:
        raise collect(found[0].errors)
    return _assumed(found[0], now)


def _assumed(target: Target, now: datetime) -> Target:
    """The target, told that its identity is counted from today where nothing says when the profile was made."""
    if target.signing_time is not None or target.listed is not None:
        return target
    sent = target.built if target.built and os.path.isfile(target.built) else ""  # noqa: PTH113 - as for folders
    watched, notes = [], []
    for each in target.watched:
        counted = each.role == "identity" and each.certificate is None and each.not_after is not None
        told, note = assume_sent(each, now, sent=sent) if counted else (each, None)
        watched.append(told)
        notes += [note] if note is not None else []
    return target._replace(watched=tuple(watched), findings=(*target.findings, *notes))
