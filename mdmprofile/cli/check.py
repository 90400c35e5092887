"""``mdmprofile check``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.certificates import Certificate
from mdmprofile.cli.config_flags import parse_variables
from mdmprofile.cli.params import DATE_OPTIONS, DURATION, FILE, report_options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.route_flags import ROUTE_OPTIONS, route_from
from mdmprofile.cli.session import Session, with_session
from mdmprofile.folders import Choice
from mdmprofile.probe.locations import is_url
from mdmprofile.probe.network import Route
from mdmprofile.recorded import for_people
from mdmprofile.reports.model import View
from mdmprofile.secret import SecretSource
from mdmprofile.survey import Asked, judge_targets
from mdmprofile.targets import Begin, Keys, Target, read_targets

_FOR_PEOPLE = ("text", "html", "ics")


@click.command("check")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--trust",
    "anchors",
    multiple=True,
    metavar="CA|system",
    help="Judge signers, and servers, against this CA; repeatable.",
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
@ROUTE_OPTIONS
@RECIPIENT_KEY_OPTIONS
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@DATE_OPTIONS
@report_options("warning", "nagios", "prometheus", "csv", "ics", "html", "junit", "github")
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
    **flags: Any,  # noqa: ANN401 - the route's and the recipient's flags
) -> int:
    """Judge the dates of everything in profiles, certificate files, directories, configs, ledgers and servers.

    Every certificate of every bundle counts, by its role: what is baked into the profile is held against the planned
    replacement, what is renewed elsewhere against --warn and --critical alone. Of a directory, and those below it,
    every profile, certificate file and config counts, hidden files excepted. With a config beside its profile, or
    with --identity-validity, the SCEP or ACME identities of the profile count too. Of a ledger.sqlite every device's
    identity counts; of more than a hundred, those that end on one day are one line for people, and each a row of
    --format csv and json.

    Of https://HOST[:PORT] every certificate counts that the server sends. A URL that ends with /MDMServiceConfig is
    fetched, with the trust profile and the anchors behind it; so is one of a profile or certificate file. Whether a
    device trusts the server is judged with --trust, or by mdmprofile doctor.

    A GLOB is matched against the path below the directory and against the file's name, case-sensitively; ** stands for
    any number of directories. --exclude wins over --include, and neither touches a file that is named itself.

    \b
    Example:
      mdmprofile check out/enroll.mobileconfig --replace-on 2027-06-01
      mdmprofile check enroll.toml pki/ https://mdm.example.com --quiet
      mdmprofile check /etc/ssl fleet/ --include '*.mobileconfig' --exclude 'fleet-2019/**' --exclude old
      mdmprofile check fleet/ledger.sqlite --replace-on 2027-06-01 --format csv -o devices.csv
      mdmprofile check bundle.p7b --format json --at 2027-01-01
      mdmprofile check enroll.toml --format prometheus -o mdmprofile.prom
    """
    now = at or right_now()
    trusted = load_anchors(anchors) if anchors else None
    password = SecretSource("file", password_file, "--password-file").fetch() if password_file else None
    keys, route = Keys(password, load_recipient(flags)), route_from(flags)
    with Progress(shown=not session.quiet, colour=session.colour) as progress:
        read = read_targets(
            targets,
            now=now,
            keys=keys,
            variables=parse_variables(variables),
            choice=Choice(include, exclude),
            validity=identity_validity,
            progress=progress.tell,
            begin=_servers(targets, route, now, keys, trusted),
        )
        if session.report_format in _FOR_PEOPLE:
            read = map(for_people, read)
        found = judge_targets(read, now=now, asked=Asked(replace_on, margin, warn, critical), anchors=trusted)
    return session.finish(View(now, **found._asdict()), output=output)


def _servers(
    targets: Iterable[str], route: Route, now: datetime, keys: Keys, anchors: Sequence[Certificate] | None
) -> Begin | None:
    """How the servers among the targets are read, all at once; None where there are none."""
    if not any(map(is_url, targets)):
        return None
    from mdmprofile.live_targets import Asking, read_server  # noqa: PLC0415 - only for servers
    from mdmprofile.probe.pool import Pool  # noqa: PLC0415

    asking, pool = Asking(route, now, keys, anchors), Pool[Target]()
    return lambda url: pool.begin(lambda: read_server(url, asking))
