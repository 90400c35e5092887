"""``mdmprofile rules``."""

from __future__ import annotations

import json

import click

from mdmprofile.catalogue import RULES
from mdmprofile.output import write_stdout


@click.command("rules")
@click.option("--format", "report_format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(report_format: str) -> int:
    """List every rule: its id, severity, what it is about, and where it is written.

    \b
    Example:
      mdmprofile rules | grep expiry
      mdmprofile rules --format json
    """
    if report_format == "json":
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
