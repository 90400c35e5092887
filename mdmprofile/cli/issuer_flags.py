"""The flags that name a CA and what it issues; each lies over the key of a config's [identity] table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.config_flags import DEFAULT_CONFIG, words_of
from mdmprofile.cli.params import FILE, Decorator, options
from mdmprofile.config_file import ConfigTables, lay_over, read_tables
from mdmprofile.config_identity import issues
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.inputs import place_of

# Flag: key of the config's [identity] table.
_KEYS = {
    "ca": "ca_certificate",
    "ca_key": "ca_key",
    "ca_key_password_file": "ca_key_password",
    "ca_pkcs12": "ca_pkcs12",
    "ca_pkcs12_password_file": "ca_pkcs12_password",
    "ca_pkcs11": "ca_pkcs11",
    "ca_pkcs11_pin_file": "ca_pkcs11_pin",
    "ca_command": "ca_command",
    "key": "key",
    "validity": "validity",
    "subject": "subject",
    "pkcs12_encryption": "encryption",
    "password_file": "password",
}
_NAMES = {"dns_name": "dns_name", "email": "rfc822_name", "uri": "uri", "principal_name": "nt_principal_name"}
_FLAGS = {key: f"--{flag.replace('_', '-')}" for flag, key in _KEYS.items()}
CA_FLAGS = {key.removeprefix("ca_"): flag for key, flag in _FLAGS.items() if key.startswith("ca_")}

CA_OPTIONS: Decorator = options(
    click.option("--ca", type=FILE, help="Certificate of the CA that issues."),
    click.option("--ca-key", type=FILE, help="Its private key."),
    click.option("--ca-key-password-file", type=FILE, help="File with the key's password."),
    click.option("--ca-pkcs12", type=FILE, help="The CA's certificate and key in one PKCS#12."),
    click.option("--ca-pkcs12-password-file", type=FILE, help="File with the PKCS#12's password."),
    click.option("--ca-pkcs11", metavar="URI", help="The CA's key on a token: pkcs11:…?module-path=…"),
    click.option("--ca-pkcs11-pin-file", type=FILE, help="File with the token's PIN."),
    click.option("--ca-command", metavar="COMMAND", help="Signs the bytes on its stdin for --ca."),
)


def issuing_tables(config: Path | None, flags: Mapping[str, Any]) -> ConfigTables:
    """The config's tables with the flags over its [identity], which counts only where it names a CA that issues."""
    file = DEFAULT_CONFIG if config is None and DEFAULT_CONFIG.exists() else config
    tables = read_tables(file)
    own = _overrides(flags)
    below = tables.values.get("identity")
    if not isinstance(below, Mapping) or not issues(below):
        if not any(each.startswith("ca_") for each in own):
            place = "" if file is None else f" in {place_of(file)}"
            ways = "--ca with --ca-key or --ca-command, --ca-pkcs12, or --ca-pkcs11"
            raise click.UsageError(f"name the CA: {ways}; no [identity]{place} does")
        tables = tables._replace(values={**tables.values, "identity": {}})
    return lay_over(tables, {"identity": own})


def _overrides(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The given flags as keys of the table."""
    found: dict[str, Any] = {"type": "pkcs12"}
    for flag, key in _KEYS.items():
        value = flags[flag]
        if value is None:
            continue
        if flag.endswith("_file"):
            value = {"file": value}
        elif flag == "ca_command":
            value = words_of(flag, value)
        found[key] = value
    given = {key: flags[flag] for flag, key in _NAMES.items() if flags[flag]}
    names = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    if names:
        found["subject_alt_name"] = {
            key: value if isinstance(value, str) else list(value) for key, value in names.items()
        }
    return found


@contextlib.contextmanager
def issuer_in_flags(*, alone: bool) -> Iterator[None]:
    """Have errors name the flags instead of a config's keys where there is no config."""
    try:
        yield
    except MdmprofileError as error:
        for each in flatten([error]) if alone else ():
            table, _, key = each.where.partition(".")
            if table == "identity":
                each.where = _FLAGS.get(key, "")
        raise
