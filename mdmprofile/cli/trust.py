"""``mdmprofile trust``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.builder import build_trust
from mdmprofile.cli.build import deliver
from mdmprofile.cli.config_flags import CONFIG_OPTIONS, config_without_identity
from mdmprofile.cli.params import report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.config import EnrollmentConfig
from mdmprofile.findings import by_severity, has_errors
from mdmprofile.output import STDOUT, write_stdout
from mdmprofile.reports.model import View
from mdmprofile.snippets import WEB_SERVERS, WebServer, server_snippet
from mdmprofile.trust import judge_urls


@click.command("trust")
@CONFIG_OPTIONS
@click.option(
    "--snippet",
    type=click.Choice(WEB_SERVERS),
    help="Write nothing; print the web server's configuration that serves what build and trust wrote.",
)
@report_options("error")
@with_session
def command(
    session: Session,
    config: Path | None,
    variables: tuple[str, ...],
    at: datetime | None,
    snippet: WebServer | None,
    **flags: Any,  # noqa: ANN401 - one per config key
) -> int:
    """Build only the trust profile and the service documents.

    Writes trust.mobileconfig (the roots alone), dep_anchor_certs and, where a URL is set, MDMServiceConfig; with a URL
    of account-driven enrollment also com.apple.remotemanagement.

    \b
    Example:
      mdmprofile trust -c enroll.toml -o public
      mdmprofile trust -c enroll.toml --snippet nginx > /etc/nginx/mdmprofile.conf
    """
    now = at or right_now()
    settings = config_without_identity(flags, config=config, variables=variables)
    if snippet is not None:
        return print_snippet(session, settings, snippet, now=now)
    session.keep_stdout_free(settings.output_directory)
    result = build_trust(settings, now=now, prompt=ask())
    return deliver(session, result, settings.output_directory, now=now)


def print_snippet(session: Session, config: EnrollmentConfig, server: WebServer, *, now: datetime) -> int:
    """Print the web server's configuration and report on standard error; in JSON both are one object.

    Nothing is printed where a URL is one that devices would not fetch.
    """
    if config.output_directory == STDOUT:
        raise click.UsageError("--snippet names the directory that the files are in, so it cannot be -")
    view = View(now=now, findings=by_severity(judge_urls(config.trust)))
    text = None
    if not has_errors(view.findings):
        text = server_snippet(config, server, config.output_directory.absolute())
    if session.report_format != "text" or text is None:
        return session.finish(view._replace(extra={"snippet": text}))
    write_stdout(text.encode("utf-8"))
    return session.finish_written(view, to_stderr=True)
