"""``mdmprofile rules``."""

from __future__ import annotations

import json

import click

from mdmprofile.catalogue import RULES
from mdmprofile.cli.params import report_options
from mdmprofile.cli.session import Session, with_session
from mdmprofile.output import write_stdout


@click.command("rules")
@report_options("error")
@with_session
def command(session: Session) -> int:
    """List every rule: its id, severity, what it is about, and where it is written.

    \b
    Example:
      mdmprofile rules | grep expiry
      mdmprofile rules --format json
    """
    if session.report_format == "json":
        rules = [{"rule": rule, **entry._asdict()} for rule, entry in RULES.items()]
        text = json.dumps({"findings": [], "rules": rules}, indent=2)
    else:
        width = max(map(len, RULES))
        text = "\n".join(
            f"{rule:<{width}}  {entry.severity:<7}  {entry.about}\n{'':<{width}}           {entry.source}"
            for rule, entry in RULES.items()
        )
    write_stdout((text + "\n").encode("utf-8"))
    return 0
