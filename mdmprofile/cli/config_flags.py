"""The flags that build and trust share; each lies over the config key of its name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mdmprofile.cli.params import DATE_OPTIONS, FILE, Decorator, options
from mdmprofile.config import EnrollmentConfig, load_config, read_signing
from mdmprofile.config_file import CONFIG_NAME
from mdmprofile.config_signing import SigningSettings
from mdmprofile.errors import InputError, MdmprofileError, flatten

DEFAULT_CONFIG = Path(CONFIG_NAME)

# Flag: table, key. The identity flags also choose the identity's type.
_KEYS = {
    "identifier": ("profile", "identifier"),
    "display_name": ("profile", "display_name"),
    "organization": ("profile", "organization"),
    "description": ("profile", "description"),
    "scope": ("profile", "scope"),
    "replace_on": ("profile", "replace_on"),
    "margin": ("profile", "replace_margin"),
    "warn": ("profile", "warn"),
    "critical": ("profile", "critical"),
    "replaces": ("profile", "replaces"),
    "via": ("profile", "replaces_via"),
    "server_url": ("server", "url"),
    "checkin_url": ("server", "checkin_url"),
    "sign_message": ("server", "sign_message"),
    "topic": ("server", "topic"),
    "push_certificate": ("server", "push_certificate"),
    "access_rights": ("server", "access_rights"),
    "certificate": ("trust", "certificates"),
    "server_certificate": ("trust", "server_certificate"),
    "public_trust": ("trust", "public"),
    "trust_profile_url": ("trust", "trust_profile_url"),
    "enrollment_url": ("trust", "enrollment_url"),
    "anchor_certs_url": ("trust", "anchor_certs_url"),
    "byod_enrollment_url": ("trust", "byod_enrollment_url"),
    "adde_enrollment_url": ("trust", "adde_enrollment_url"),
    "scep_url": ("identity", "url"),
    "scep_name": ("identity", "name"),
    "scep_challenge_file": ("identity", "challenge"),
    "scep_ca_certificate": ("identity", "ca_certificate"),
    "scep_key_size": ("identity", "key_size"),
    "scep_subject": ("identity", "subject"),
    "acme_directory_url": ("identity", "directory_url"),
    "acme_client_identifier": ("identity", "client_identifier"),
    "identity_validity": ("identity", "validity"),
    "pkcs12": ("identity", "file"),
    "pkcs12_password_file": ("identity", "password"),
    "single_device": ("identity", "single_device"),
    "signer": ("signing", "certificate"),
    "signer_key": ("signing", "key"),
    "signer_key_password_file": ("signing", "key_password"),
    "signer_chain": ("signing", "chain"),
    "signer_pkcs12": ("signing", "pkcs12"),
    "signer_pkcs12_password_file": ("signing", "pkcs12_password"),
    "recipient": ("encryption", "recipient"),
    "signer_pkcs11": ("signing", "pkcs11"),
    "signer_pkcs11_pin_file": ("signing", "pkcs11_pin"),
    "signer_command": ("signing", "command"),
    "signer_cms_command": ("signing", "cms_command"),
    "output_dir": ("output", "directory"),
}
_SIGNER_FLAGS = {key: f"--{flag.replace('_', '-')}" for flag, (table, key) in _KEYS.items() if table == "signing"}
_TYPES = {"scep_": "scep", "acme_": "acme", "pkcs12": "pkcs12", "single_device": "pkcs12"}

SIGNER_OPTIONS: Decorator = options(
    click.option("--signer", type=FILE, help="Signer's certificate."),
    click.option("--signer-key", type=FILE, help="Signer's private key."),
    click.option("--signer-key-password-file", type=FILE, help="File with the key's password."),
    click.option("--signer-chain", type=FILE, multiple=True, help="Signer's intermediates; repeatable."),
    click.option("--signer-pkcs12", type=FILE, help="Signer's certificate and key in one PKCS#12."),
    click.option("--signer-pkcs12-password-file", type=FILE, help="File with the PKCS#12's password."),
    click.option("--signer-pkcs11", metavar="URI", help="Signer's key on a token: pkcs11:…?module-path=…"),
    click.option("--signer-pkcs11-pin-file", type=FILE, help="File with the token's PIN."),
    click.option("--signer-command", metavar="COMMAND", help="Signs the bytes on its stdin for --signer."),
    click.option("--signer-cms-command", metavar="COMMAND", help="Returns the profile on its stdin signed."),
)

_VIAS = click.Choice(["mdm", "manual"])

CONFIG_OPTIONS: Decorator = options(
    click.option("-c", "--config", type=FILE, help="Configuration file.  [default: enroll.toml, if there]"),
    click.option(
        "-o",
        "--output-dir",
        type=FILE,
        help="Where the results go; - for the main one on stdout.  [default: out]",
    ),
    click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="Template variable; repeatable."),
    click.option("--identifier", help="PayloadIdentifier of the profile; --replaces keeps the old one."),
    click.option("--display-name", help="Name that the user sees."),
    click.option("--organization", help="Organization that the user sees."),
    click.option("--description", help="Description that the user sees."),
    click.option("--scope", help="System or User.  [default: System]"),
    click.option("--server-url", help="The MDM server's URL."),
    click.option("--checkin-url", help="The check-in URL, where it is another."),
    click.option("--sign-message/--no-sign-message", default=None, help="Ask for the Mdm-Signature header."),
    click.option("--topic", help="Push topic, instead of a push certificate."),
    click.option("--push-certificate", type=FILE, help="Push certificate; the topic is read from it."),
    click.option("--access-rights", help="all, a number, or names with commas.  [default: all]"),
    click.option("--certificate", type=FILE, multiple=True, help="Root or intermediate; repeatable."),
    click.option("--server-certificate", type=FILE, multiple=True, help="The server's own, judged only."),
    click.option("--public-trust/--private-trust", default=None, help="The server's CA is a public one."),
    click.option("--scep-url", help="SCEP server."),
    click.option("--scep-name", help="SCEP CA name."),
    click.option("--scep-challenge-file", type=FILE, help="File with the SCEP challenge."),
    click.option("--scep-ca-certificate", type=FILE, help="SCEP CA certificate, for CAFingerprint."),
    click.option("--scep-key-size", type=int, help="Key size in bits.  [default: 2048]"),
    click.option("--scep-subject", help="Subject, for example CN=device,O=Example."),
    click.option("--acme-directory-url", help="ACME server."),
    click.option("--acme-client-identifier", help="ACME client identifier of the device."),
    click.option("--identity-validity", help="How long the issuer's certificates last, for example 365d."),
    click.option("--pkcs12", type=FILE, help="PKCS#12 identity of the one device."),
    click.option("--pkcs12-password-file", type=FILE, help="File with its password."),
    click.option("--single-device", is_flag=True, default=None, help="The PKCS#12 profile is for one device."),
    SIGNER_OPTIONS,
    click.option("--recipient", type=FILE, multiple=True, help="Certificate of a device to encrypt for; repeatable."),
    click.option("--trust-profile-url", help="Where the trust profile is published."),
    click.option("--enrollment-url", help="Where automated enrollment begins."),
    click.option("--anchor-certs-url", help="Where the anchor certificates are published."),
    click.option("--byod-enrollment-url", help="Where account-driven user enrollment begins."),
    click.option("--adde-enrollment-url", help="Where account-driven device enrollment begins."),
    click.option("--replaces", type=FILE, help="Profile to replace: its identifier and UUIDs are kept."),
    click.option(
        "--via",
        type=_VIAS,
        help="How the replacement is sent; manual is by hand.  [default: mdm]",
    ),
    DATE_OPTIONS,
)


def config_from(flags: Mapping[str, Any], *, config: Path | None, variables: tuple[str, ...]) -> EnrollmentConfig:
    """The config file with the flags over it.

    Raises ``InputError`` when there is neither a file nor a flag, and what ``load_config`` raises.
    """
    file, overrides = chosen(flags, config)
    # What is built is for no device in particular.
    return load_config(file, overrides=overrides, variables=parse_variables(variables), for_device=False)


def config_without_identity(
    flags: Mapping[str, Any], *, config: Path | None, variables: tuple[str, ...]
) -> EnrollmentConfig:
    """The same where the identity plays no part: templates that only a device can fill are left alone there."""
    file, overrides = chosen(flags, config)
    read = load_config(file, overrides=overrides, variables=parse_variables(variables), lenient=True)
    if all(each.startswith("identity.") for each in read.unfilled):
        return read
    return config_from(flags, config=config, variables=variables)


def chosen(flags: Mapping[str, Any], config: Path | None) -> tuple[Path | None, dict[str, dict[str, Any]]]:
    """The config file, the one that is named or the usual one, None where flags are all there is; and the flags.

    Raises ``InputError`` when there is neither.
    """
    overrides = overrides_of(flags)
    file = config
    if file is None and DEFAULT_CONFIG.exists():
        file = DEFAULT_CONFIG
    if file is None and not overrides.keys() - {"output"}:
        raise InputError(
            "no such file", where=str(DEFAULT_CONFIG), hint="run mdmprofile init, or name a config with -c"
        )
    return file, overrides


def overrides_of(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The given flags as config tables; a password file becomes a secret's source."""
    tables: dict[str, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    for flag, value in flags.items():
        if flag not in _KEYS or value is None or value == ():
            continue
        table, key = _KEYS[flag]
        if flag.endswith(("password_file", "challenge_file", "pin_file")):
            value = {"file": value}  # noqa: PLW2901 - a flag names the secret's file
        elif flag in {"signer_command", "signer_cms_command"}:
            value = words_of(flag, value)  # noqa: PLW2901 - a command is a list in the config
        tables.setdefault(table, {})[key] = list(value) if isinstance(value, tuple) else value
        kinds |= {kind: flag for prefix, kind in _TYPES.items() if flag.startswith(prefix)}
    if len(kinds) > 1:
        names = " and ".join(f"--{flag.replace('_', '-')}" for flag in kinds.values())
        raise click.UsageError(f"{names} belong to different kinds of identity; use one kind")
    if kinds:
        tables["identity"]["type"] = next(iter(kinds))
    return tables


def signer_from(flags: Mapping[str, Any]) -> SigningSettings:
    """The signer's settings where there is no config: what is wrong with them is said in flags."""
    with in_flags():
        return read_signing(overrides_of(flags)["signing"], names=_SIGNER_FLAGS)


@contextlib.contextmanager
def in_flags() -> Iterator[None]:
    """Have the errors about the signer name the flags instead of a config's keys."""
    try:
        yield
    except MdmprofileError as error:
        for each in flatten([error]):
            table, _, key = each.where.partition(".")
            if table == "signing" and (not key or key in _SIGNER_FLAGS):
                each.where = _SIGNER_FLAGS.get(key, "")
        raise


def words_of(flag: str, value: str) -> list[str]:
    """A command line as the list that is run; quotes are understood, and no shell is."""
    import shlex  # noqa: PLC0415 - seldom needed

    try:
        return shlex.split(value)
    except ValueError as error:
        raise click.UsageError(f"--{flag.replace('_', '-')}: {error}") from None


def parse_variables(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs as template variables; a dot in the name makes a table, as in ``device.udid``."""
    variables: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        parts = name.split(".")
        if not equals or not all(part.isidentifier() for part in parts):
            raise click.UsageError(f"--var {name}: write it as NAME=VALUE, for example --var device.serial=C02X")
        inner = variables
        for part in parts[:-1]:
            below = inner.setdefault(part, {})
            if not isinstance(below, dict):
                raise click.UsageError(f"--var {name}: {part} has a value already")
            inner = below
        if isinstance(inner.get(parts[-1]), dict):
            raise click.UsageError(f"--var {name}: it has values below it already")
        inner[parts[-1]] = value
    return variables
