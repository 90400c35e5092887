"""``mdmprofile init``."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from pathlib import Path

import click

from mdmprofile.cli.params import FILE, report_options, right_now
from mdmprofile.cli.session import Session, with_session
from mdmprofile.moments import day
from mdmprofile.output import Pending, make_directory, refuse_existing, write_all
from mdmprofile.reports.model import View
from mdmprofile.resources import template_text

_PLANNED = timedelta(days=180)


@click.command("init")
@click.argument("directory", type=FILE, default=Path(), required=False, metavar="[DIR]")
@click.option(
    "--identity",
    type=click.Choice(["scep", "acme", "pkcs12"]),
    default="scep",
    show_default=True,
    help="Where the device's identity comes from.",
)
@click.option("--demo", is_flag=True, help="Add a throwaway PKI and a challenge, so that build works at once.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@report_options("error")
@with_session
def command(session: Session, directory: Path, identity: str, demo: bool, force: bool) -> int:
    """Write a commented enroll.toml to start from.

    \b
    Example:
      mdmprofile init
      mdmprofile init --demo demo && cd demo && mdmprofile build
    """
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import, needed here only

    from mdmprofile.demo import demo_files  # noqa: PLC0415

    now = right_now()
    # The result is TOML, and its values are ours.
    template = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    config = template.from_string(template_text("enroll.toml.j2")).render(
        identity=identity,
        demo=demo,
        display_name=json.dumps("Example MDM (demo)" if demo else "Example MDM"),
        replace_on=day(now + _PLANNED) if demo else "",
    )
    contents = {"enroll.toml": (config.encode("utf-8"), False)}
    if demo:
        contents |= demo_files(now=now, identity=identity)
    files = [Pending(directory / name, data, secret) for name, (data, secret) in contents.items()]
    if not force:
        refuse_existing(each.path for each in files)
    for folder in sorted({each.path.parent for each in files}):
        make_directory(folder)
    write_all(files)
    place = f"cd {shlex.quote(str(directory))} && " if directory != Path() else ""
    lines = [f"wrote {each.path}" for each in files]
    lines.append(f"next: {place}mdmprofile build" if demo else f"next: edit enroll.toml, then {place}mdmprofile build")
    return session.finish(View(now=now, files=lines, extra={"files": [str(each.path) for each in files]}))
