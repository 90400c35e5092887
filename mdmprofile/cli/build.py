"""``mdmprofile build``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.builder import Artifact, BuildResult, build
from mdmprofile.cli.config_flags import CONFIG_OPTIONS, config_from
from mdmprofile.cli.params import report_options, right_now
from mdmprofile.cli.session import Session, ask, with_session
from mdmprofile.output import STDOUT, Pending, make_directory, write_all, write_stdout
from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.reports.model import View


@click.command("build")
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
    """Build the enrollment profile and the documents beside it.

    Reads enroll.toml, lays the flags over it, and writes enroll.mobileconfig into the output directory; with
    trust_profile_url also trust.mobileconfig, MDMServiceConfig and dep_anchor_certs. When a finding is an error,
    nothing is written.

    \b
    Example:
      mdmprofile build
      mdmprofile build -c enroll.toml --replace-on 2027-06-01 --format json
      mdmprofile build --replaces old.mobileconfig -o new
    """
    now = at or right_now()
    settings = config_from(flags, config=config, variables=variables)
    session.keep_stdout_free(settings.output_directory)
    result = build(settings, now=now, prompt=ask())
    return deliver(session, result, settings.output_directory, now=now)


def deliver(session: Session, result: BuildResult, directory: Path, *, now: datetime) -> int:
    """Write the artifacts and report; ``-`` as the directory puts the first artifact on standard output."""
    to_stdout = directory == STDOUT
    if to_stdout and result.artifacts:
        write_stdout(result.artifacts[0].data)
    elif result.artifacts:
        make_directory(directory)
        write_all([Pending(directory / each.name, each.data, each.secret) for each in result.artifacts])
    view = View(
        now=now,
        findings=result.findings,
        watched=result.watched,
        plan=result.plan,
        title=f"{result.profile.name}  {result.profile.identifier}".strip(),
        payloads=payload_rows(result.profile),
        files=_files(result, directory, to_stdout=to_stdout),
        extra={"artifacts": [] if to_stdout else [artifact_dict(each, directory) for each in result.artifacts]},
    )
    finish = session.finish_written if result.artifacts and not to_stdout else session.finish
    return finish(view, to_stderr=to_stdout)


def payload_rows(profile: Profile) -> list[tuple[str, str]]:
    """Type and name of every payload, in the order of the profile."""
    return [(str(each.get("PayloadType", "")), _payload_name(each)) for each in profile.payloads]


def artifact_dict(artifact: Artifact, directory: Path) -> dict[str, Any]:
    """One artifact of the JSON report."""
    return {
        "kind": artifact.kind,
        "path": str(directory / artifact.name),
        "sha256": hashlib.sha256(artifact.data).hexdigest(),
        "signed": artifact.signed,
        "encrypted": artifact.encrypted,
    }


def _payload_name(payload: Mapping[str, Any]) -> str:
    if payload.get("PayloadType") == types.MDM:
        return str(payload.get("ServerURL", ""))
    return str(payload.get("PayloadDisplayName", ""))


def _files(result: BuildResult, directory: Path, *, to_stdout: bool) -> list[str]:
    if not result.artifacts:
        return ["Nothing was written."]
    if to_stdout:
        return []
    return [f"wrote {directory / each.name} ({len(each.data):,} bytes{_how(each)})" for each in result.artifacts]


def _how(artifact: Artifact) -> str:
    words = {"encrypted": artifact.encrypted, "signed": artifact.signed, "readable by you alone": artifact.secret}
    return "".join(f", {word}" for word, holds in words.items() if holds)
