"""The flags that say to which server and devices a command goes, and what they name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from mdmprofile.anchors import load_anchors
from mdmprofile.cli.params import FILE, Decorator, options, right_now
from mdmprofile.cli.progress import Progress
from mdmprofile.cli.route_flags import ROUTE_OPTIONS, route_from
from mdmprofile.courier import Courier, server_location
from mdmprofile.deliver import RATE, RETRIES, Clock
from mdmprofile.errors import InputError
from mdmprofile.findings import Finding
from mdmprofile.inputs import STDIN, is_same, place_of, read_file
from mdmprofile.ledger_rows import LEDGER_NAME
from mdmprofile.mdm_servers import MdmServer, MicroMdm, NanoMdm
from mdmprofile.parcels import MAX_LIST, Parcel, check_devices, one_for_all, own_profiles, read_devices, read_made
from mdmprofile.probe.locations import Location
from mdmprofile.secret import SecretSource

_SENT = "sent.jsonl"
_CA = "--server-ca"
# What means nothing where no server is named.
_FOR_SERVERS = (
    *("api_key_file", "api_key_env", "ids", "ids_file", "ledger", "record", "server_ca", "resolve", "proxy"),
    *("connect_timeout", "timeout", "again", "dry_run", "allow_http"),
)

SERVER_OPTIONS: Decorator = options(
    click.option("--nanomdm", metavar="URL", help="Have this NanoMDM queue the command."),
    click.option("--micromdm", metavar="URL", help="Have this MicroMDM queue the command."),
    click.option("--api-key-file", type=FILE, help="File with the server's API key."),
    click.option("--api-key-env", metavar="NAME", help="Environment variable with the server's API key."),
    click.option("--id", "ids", metavar="UDID", multiple=True, help="Send to this device; repeatable."),
    click.option("--ids-file", type=FILE, help="Send to the devices in this list or table; - for stdin."),
    click.option("--ledger", type=FILE, help="Send to the devices of this ledger, or to those of --id among them."),
    click.option("--record", type=FILE, help="What was sent to whom.  [default: beside FILE, as .sent.jsonl]"),
    click.option("--again", is_flag=True, help="Send also what was sent before."),
    click.option("--dry-run", is_flag=True, help="List what would be sent where; nothing is sent."),
    click.option(
        "--rate",
        type=click.FloatRange(0, 1000, min_open=True),
        default=RATE,
        show_default=True,
        help="Requests a second, at most.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, 20),
        default=RETRIES,
        show_default=True,
        help="How often to repeat a request that may yet succeed.",
    ),
    click.option(
        "--every", type=click.IntRange(1), default=100, show_default=True, help="Devices a line without a terminal."
    ),
    click.option(_CA, type=FILE, multiple=True, help="Trust this CA for the server, and no other; repeatable."),
    click.option("--allow-http", is_flag=True, help="Send the key and the profile unencrypted, where the URL says so."),
    ROUTE_OPTIONS,
)


class Destination(NamedTuple):
    """An MDM server: which kind, and its URL."""

    server: MdmServer
    location: Location

    @property
    def title(self) -> str:
        """What reports call it."""
        return f"{self.server.name} at {self.location.place}"


def destination_of(nanomdm: str | None, micromdm: str | None, flags: Mapping[str, Any]) -> Destination | None:
    """The server that the flags name; None where there is none, and no flag that would need one."""
    if nanomdm is not None and micromdm is not None:
        raise click.UsageError("--nanomdm and --micromdm are two servers; use one")
    url = nanomdm if nanomdm is not None else micromdm
    if url is None:
        given = [name for name in _FOR_SERVERS if flags[name]]
        if given:
            flag = "--id" if given[0] == "ids" else f"--{given[0].replace('_', '-')}"
            raise click.UsageError(f"{flag} is for a server: name it with --nanomdm or --micromdm")
        return None
    return Destination(MicroMdm() if nanomdm is None else NanoMdm(), server_location(url))


def courier_to(destination: Destination, flags: Mapping[str, Any]) -> Courier:
    """What brings requests there, with the key that the flags name."""
    file, variable = flags["api_key_file"], flags["api_key_env"]
    if (file is None) == (variable is None):
        raise click.UsageError("give the API key's file with --api-key-file, or its variable with --api-key-env")
    secret = (
        SecretSource("file", file, "--api-key-file")
        if variable is None
        else SecretSource("env", variable, "--api-key-env")
    )
    return Courier(
        destination.location,
        route_from(flags),
        user=destination.server.user,
        key=secret.fetch(),
        anchors=load_anchors(map(str, flags["server_ca"])) if flags["server_ca"] else None,
        allow_http=flags["allow_http"],
    )


class Addressed(NamedTuple):
    """What goes to whom, and what was found wrong with those that were named."""

    parcels: list[Parcel]
    findings: tuple[Finding, ...]


def addressed(file: Path, profile: bytes | None, flags: Mapping[str, Any]) -> Addressed:
    """What is to be sent: the profile in ``file`` to all, or without ``profile`` each its own out of that directory."""
    ids, ids_file, ledger = flags["ids"], flags["ids_file"], flags["ledger"]
    named = check_devices(ids)
    found: tuple[Finding, ...] = ()
    if ids_file is not None:
        listed = read_devices(read_file(ids_file, limit=MAX_LIST), source=place_of(ids_file))
        named = check_devices((*named.names, *listed.names))
        found = listed.findings
    if ledger is None:
        if profile is None:
            message = "is a directory: with --ledger each device gets its own profile from it"
            raise InputError(message, where=str(file), hint="name a profile, or the ledger")
        if not ids and ids_file is None:
            raise click.UsageError("name the devices with --id, --ids-file or --ledger")
        return Addressed(one_for_all(profile, named.names, source=place_of(file)), found)
    ledger = ledger / LEDGER_NAME if ledger.is_dir() else ledger
    if ids_file is not None and not named.names:
        # Nobody is wanted, which must not mean everybody.
        return Addressed([], found)
    if profile is None and not is_same(file, ledger.parent):
        raise InputError("is not the directory of the ledger", where=str(file), hint=f"give {ledger.parent}")
    entries, more = read_made(ledger, named.names)
    if profile is None:
        return Addressed(own_profiles(file, entries), (*found, *more))
    return Addressed(one_for_all(profile, [each.udid for each in entries], source=place_of(file)), (*found, *more))


def record_of(file: Path, named: Path | None) -> Path:
    """Where it is recorded what was sent: beside the profile unless somebody named another file."""
    if named is not None:
        if named == STDIN:
            raise click.UsageError("--record is read again later; name a file")
        return named
    if file == STDIN:
        raise click.UsageError("a profile from stdin leaves no name for the record; give --record")
    return file / _SENT if file.is_dir() else file.with_name(f"{file.name}.{_SENT}")


def the_clock() -> Clock:
    """The clocks of this machine."""
    return Clock(right_now, time.monotonic, time.sleep)


@contextmanager
def counted(progress: Progress) -> Iterator[None]:
    """Say how far it was when it is interrupted, and that nothing of it is lost."""
    try:
        yield
    except KeyboardInterrupt:
        done, total = progress.state
        left = f"{total - done:,} left; run it again, and it goes on from there"
        click.echo(f"mdmprofile: {done:,} of {total:,} devices are done, {left}", err=True)
        raise
