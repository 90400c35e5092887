"""``mdmprofile trust``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.builder import build_trust
from mdmprofile.cli.build import deliver
from mdmprofile.cli.config_flags import CONFIG_OPTIONS, config_from
from mdmprofile.cli.params import report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session


@click.command("trust")
@CONFIG_OPTIONS
@report_options("error")
@with_session
def command(
    session: Session,
    config: Path | None,
    variables: tuple[str, ...],
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - one per config key
) -> int:
    """Build only the trust profile and the service documents.

    Writes trust.mobileconfig (the roots alone), dep_anchor_certs and, where a URL is set, MDMServiceConfig.

    \b
    Example:
      mdmprofile trust -c enroll.toml -o public
    """
    now = at or right_now()
    settings = config_from(flags, config=config, variables=variables)
    session.keep_stdout_free(settings.output_directory)
    result = build_trust(settings, now=now, prompt=ask())
    return deliver(session, result, settings.output_directory, now=now)
