"""``mdmprofile init``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from mdmprofile.cli.params import FILE, report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.errors import PasswordError
from mdmprofile.findings import by_severity, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.moments import day
from mdmprofile.output import Pending, make_directory, refuse_existing, write_all
from mdmprofile.payloads import types
from mdmprofile.reports.model import View
from mdmprofile.resources import template_text
from mdmprofile.secret import SecretSource

_PLANNED = timedelta(days=180)


@click.command("init")
@click.argument("directory", type=FILE, default=Path(), required=False, metavar="[DIR]")
@click.option(
    "--identity",
    type=click.Choice(["scep", "acme", "pkcs12"]),
    show_default="scep",
    help="Where the device's identity comes from.",
)
@click.option("--demo", is_flag=True, help="Add a throwaway PKI and a challenge, so that build works at once.")
@click.option("--from", "old", type=FILE, metavar="OLD", help="Write the config that builds this profile again.")
@click.option("--pkcs12-password-file", type=FILE, help="With --from: the password of its PKCS#12, if it has none.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@report_options("error")
@with_session
def command(
    session: Session,
    directory: Path,
    identity: str | None,
    demo: bool,
    old: Path | None,
    pkcs12_password_file: Path | None,
    force: bool,
) -> int:
    """Write a commented enroll.toml to start from.

    With --from it is the config of an inherited profile, with its certificates, secrets and whatever else it holds in
    files beside it: built again, it is a replacement that devices take.

    \b
    Example:
      mdmprofile init
      mdmprofile init --demo demo && cd demo && mdmprofile build
      mdmprofile init --from inherited.mobileconfig mdm && cd mdm && mdmprofile build
      mdmprofile init --from inherited.mobileconfig mdm --pkcs12-password-file password.txt
    """
    if old is not None:
        if demo:
            raise click.UsageError("--demo and --from are two different beginnings; use one")
        if identity is not None:
            raise click.UsageError("--identity and --from contradict each other: the profile has its identity")
        return _take_over(session, old, directory, password_file=pkcs12_password_file, force=force)
    if pkcs12_password_file is not None:
        raise click.UsageError("--pkcs12-password-file belongs to --from")
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import, needed here only

    from mdmprofile.demo import demo_files  # noqa: PLC0415

    now = right_now()
    # The result is TOML, and its values are ours.
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    config = template.from_string(template_text("enroll.toml.j2")).render(
        identity=identity or "scep",
        demo=demo,
        display_name=json.dumps("Example MDM (demo)" if demo else "Example MDM"),
        replace_on=day(now + _PLANNED) if demo else "",
    )
    contents = {"enroll.toml": (config.encode("utf-8"), False)}
    if demo:
        contents |= demo_files(now=now, identity=identity or "scep")
    files = [Pending(directory / name, data, secret) for name, (data, secret) in contents.items()]
    _write(files, force=force)
    place = f"cd {shlex.quote(str(directory))} && " if directory != Path() else ""
    lines = [f"wrote {each.path}" for each in files]
    lines.append(f"next: {place}mdmprofile build" if demo else f"next: edit enroll.toml, then {place}mdmprofile build")
    return session.finish(View(now=now, files=lines, extra={"files": [str(each.path) for each in files]}))


def _take_over(session: Session, old: Path, directory: Path, *, password_file: Path | None, force: bool) -> int:
    from mdmprofile.reader import judge_signature, open_profile  # noqa: PLC0415 - slow to import, needed here only
    from mdmprofile.takeover import take_over  # noqa: PLC0415

    now = right_now()
    source = "standard input" if old == STDIN else str(old)
    data = read_file(old, limit=MAX_PROFILE)
    broken = judge_signature(data, source=source)
    if has_errors(broken):
        return session.finish(View(now=now, findings=by_severity(broken), files=["Nothing was written."]))
    password = None
    if password_file is not None:
        password = SecretSource("file", password_file, "--pkcs12-password-file").fetch()
    opened = open_profile(data, source=source)
    try:
        taken = take_over(opened, data, password=password)
    except PasswordError:
        prompt = ask()
        carried = any("Password" in each for _, each in opened.profile.of_type(types.PKCS12))
        if password is not None or prompt is None or carried:
            raise
        taken = take_over(opened, data, password=prompt("Password of the PKCS#12 payload"))
    if password is not None and not any(each.name.endswith(".p12") for each in taken.files):
        raise click.UsageError("--pkcs12-password-file is not needed: the profile's identity is no PKCS#12")
    files = [Pending(directory / each.name, each.data, each.secret) for each in taken.files]
    _write(files, force=force)
    place = f"cd {shlex.quote(str(directory))} && " if directory != Path() else ""
    lines = [f"wrote {each.path}" for each in files]
    lines += [f"note: {each}" for each in taken.notes]
    lines.append(f"next: read enroll.toml, then {place}mdmprofile build")
    extra = {"files": [str(each.path) for each in files], "notes": list(taken.notes)}
    return session.finish_written(View(now=now, findings=taken.findings, files=lines, extra=extra))


def _write(files: Sequence[Pending], *, force: bool) -> None:
    if not force:
        refuse_existing(each.path for each in files)
    for folder in sorted({each.path.parent for each in files}):
        make_directory(folder)
    write_all(files)
