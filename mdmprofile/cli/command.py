"""``mdmprofile command``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.delivery_flags import (
    SERVER_OPTIONS,
    Addressed,
    Destination,
    addressed,
    counted,
    courier_to,
    destination_of,
    record_of,
    the_clock,
)
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.session import Session, with_session
from mdmprofile.deliver import Delivery, Pace, Vet, deliver, plan_delivery
from mdmprofile.errors import InputError, ProfileError
from mdmprofile.findings import Finding, by_severity, finding, has_errors
from mdmprofile.inputs import MAX_PROFILE, STDIN, place_of, read_file
from mdmprofile.mdm_command import INSTALL_PROFILE, fresh_command_uuid, install_profile, is_command_uuid
from mdmprofile.output import STDOUT, write_one
from mdmprofile.output import place_of as place_of_output
from mdmprofile.parcels import Parcel, as_warnings, compared, vet
from mdmprofile.reader import OpenedProfile, open_profile
from mdmprofile.reports.delivery import as_dict, section, summary
from mdmprofile.reports.model import View
from mdmprofile.sent import open_record, read_record


@click.group("command")
def command() -> None:
    """Write the MDM command that installs a profile, or have an MDM server queue it.

    \b
    Example:
      mdmprofile command install-profile out/enroll.mobileconfig -o install.plist
    """


@command.command("install-profile", short_help="Replace the profile of devices over MDM.")
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FILE, help="Where the command goes; - for stdout.  [default: -]")
@click.option("--command-uuid", metavar="UUID", help="The command's UUID.  [default: a fresh one for each device]")
@click.option("--old", type=FILE, help="The profile that devices have: what they would refuse is not sent.")
@click.option("--force", is_flag=True, help="Send it although devices would refuse it, or it is at fault.")
@SERVER_OPTIONS
@AT
@report_options("error")
@with_session
def install(
    session: Session,
    file: Path,
    output: Path | None,
    command_uuid: str | None,
    old: Path | None,
    force: bool,
    nanomdm: str | None,
    micromdm: str | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - those of the delivery
) -> int:
    """Replace the profile of devices over MDM.

    Without a server the command is written: a property list whose payload is exactly the file. With --nanomdm or
    --micromdm the server queues it for each device, once: what was sent is recorded, so a run that was stopped goes on
    where it stopped. FILE may be a ledger's directory, out of which each device gets its own profile.

    \b
    Example:
      mdmprofile command install-profile out/enroll.mobileconfig -o install.plist
      mdmprofile command install-profile new.mobileconfig --old installed.mobileconfig \\
        --nanomdm https://mdm.example.com --api-key-file key --id 00008101-001A2B3C4D5E001E
      mdmprofile command install-profile new.mobileconfig --micromdm https://mdm.example.com \\
        --api-key-env API_KEY --ids-file udids.txt --rate 2
      mdmprofile command install-profile fleet --ledger fleet/ledger.sqlite \\
        --nanomdm https://mdm.example.com --api-key-file key --dry-run
    """
    now = at or right_now()
    if command_uuid is not None and not is_command_uuid(command_uuid):
        raise click.UsageError(f"--command-uuid {command_uuid!r} is no UUID of 8-4-4-4-12 hexadecimal digits")
    if [file, old, flags["ids_file"], flags["api_key_file"]].count(STDIN) > 1:
        raise InputError("standard input cannot be two files", hint="name a file for one of them")
    destination = destination_of(nanomdm, micromdm, flags)
    before = _open(old) if old is not None else None
    if destination is None:
        return _write(session, file, output or STDOUT, command_uuid, before, now=now, force=force)
    if output is not None:
        raise click.UsageError("-o writes the command, and a server queues it; use one")
    profile = None if file.is_dir() else read_file(file, limit=MAX_PROFILE)
    remarks: tuple[Finding, ...] = ()
    if before is None:
        message = "it was not compared with the profile that devices have"
        remarks = (finding("delivery.not-compared", message, where=place_of(file)),)
    if profile is not None:
        remarks = (*remarks, *vet(profile, source=place_of(file), now=now, old=before, force=force))
        if has_errors(remarks):
            files = ["Nothing was sent; --force sends it all the same."]
            return session.finish(View(now=now, findings=by_severity(remarks), files=files))
    devices = addressed(file, profile, flags)
    if command_uuid is not None and len(devices.parcels) > 1:
        raise click.UsageError("--command-uuid is for one device: no two commands may have the same")

    def judge(parcel: Parcel, data: bytes) -> tuple[Finding, ...]:
        # What all devices get was judged once.
        return () if profile is not None else vet(data, source=parcel.source, now=now, old=before, force=force)

    record = record_of(file, flags["record"])
    if flags["dry_run"]:
        lines, place = read_record(record), destination.location.place
        planned = plan_delivery(devices.parcels, lines, place, again=flags["again"], vet=judge)
        files = ["Nothing was sent: this is a dry run."]
        view = _view(planned, destination, record, (*remarks, *devices.findings), now)
        return session.finish(view._replace(files=[*view.files, *files]))
    delivery = _deliver(session, destination, devices, record, command_uuid or "", judge, flags)
    return session.finish_written(_view(delivery, destination, record, (*remarks, *devices.findings), now))


def _write(
    session: Session,
    file: Path,
    output: Path,
    command_uuid: str | None,
    old: OpenedProfile | None,
    *,
    now: datetime,
    force: bool,
) -> int:
    """Write the command to a file; a profile that somebody changed after it was signed goes into none."""
    session.keep_stdout_free(output)
    to_stderr = output == STDOUT
    source = place_of(file)
    profile = read_file(file, limit=MAX_PROFILE)
    opened = open_profile(profile, source=source)
    found = (*opened.findings, *compared(profile, source=source, now=now, old=old))
    findings = by_severity(as_warnings(found) if force else found)
    if has_errors(findings):
        files = ["Nothing was written; --force writes it all the same."]
        return session.finish(View(now=now, findings=findings, files=files), to_stderr=to_stderr)
    uuid = command_uuid or fresh_command_uuid()
    data = install_profile(profile, uuid)
    # Whoever has the command has what is in the profile.
    write_one(output, data, private=True)
    view = View(
        now=now,
        findings=findings,
        files=[f"wrote {place_of_output(output)} ({len(data):,} bytes, command {uuid})"],
        extra={
            "command_uuid": uuid,
            "request_type": INSTALL_PROFILE,
            "profile_sha256": hashlib.sha256(profile).hexdigest(),
            "path": str(output),
        },
    )
    return session.finish_written(view, to_stderr=to_stderr)


def _deliver(
    session: Session,
    destination: Destination,
    devices: Addressed,
    record: Path,
    command_uuid: str,
    judge: Vet,
    flags: Mapping[str, Any],
) -> Delivery:
    courier = courier_to(destination, flags)
    progress = Progress(
        shown=not session.quiet,
        colour=session.colour,
        doing="sending",
        unit="devices",
        rated=True,
        every=flags["every"],
    )
    with open_record(record) as lines, progress as sending, counted(sending):
        return deliver(
            devices.parcels,
            destination.server,
            courier,
            lines,
            clock=the_clock(),
            pace=Pace(flags["rate"], flags["retries"]),
            again=flags["again"],
            command_uuid=command_uuid,
            vet=judge,
            tell=sending.tell,
        )


def _view(
    delivery: Delivery, destination: Destination, record: Path, findings: Sequence[Finding], now: datetime
) -> View:
    again = ["run it again, and it goes on from there"] if delivery.error else []
    return View(
        now=now,
        findings=by_severity((*findings, *delivery.findings)),
        files=[summary(delivery), f"the record is {record}", *again],
        errors=[delivery.error] if delivery.error else [],
        extra={
            "server": destination.location.place,
            "api": destination.server.name,
            "record": str(record),
            **as_dict(delivery),
        },
        sections=[section(delivery, destination.title)] if delivery.outcomes else [],
    )


def _open(file: Path) -> OpenedProfile:
    """The profile that devices have; one that is encrypted cannot be compared with."""
    opened = open_profile(read_file(file, limit=MAX_PROFILE), source=place_of(file))
    if opened.encrypted:
        raise ProfileError("is encrypted, so it cannot be compared", where=place_of(file), hint="decrypt it first")
    return opened
