"""A config with everything it names, as the things that end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from mdmprofile.config import EnrollmentConfig, load_config
from mdmprofile.config_identity import AcmeSettings, IdentitySettings, IssuedSettings, Pkcs12Settings, ScepSettings
from mdmprofile.contents import Target
from mdmprofile.errors import InputError, collect
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.inventory import thresholds_of, watched_by_config
from mdmprofile.materials import Materials, load_materials
from mdmprofile.publishing import FILES
from mdmprofile.secret import SecretSource
from mdmprofile.templating import Variables

_JUDGED = (
    "profile.replace_on",
    "profile.replace_margin",
    "profile.warn",
    "profile.critical",
    "server.push_certificate",
    "identity.file",
    "identity.validity",
    "identity.ca_certificate",
)


def read_config(
    path: Path,
    *,
    now: datetime,
    commands: bool = True,
    variables: Variables | None = None,
    validity: timedelta | None = None,
) -> Target:
    """Everything that ends among what a config names; without ``commands``, those that it names are not run.

    ``validity`` lies over what the config says that the issuer of SCEP or ACME identities grants. Raises
    ``MdmprofileError`` when the config itself cannot be read; what it names and is absent is in ``errors``.
    """
    config = load_config(path, variables=variables, lenient=True)
    identity = config.identity
    if validity is not None and isinstance(identity, ScepSettings | AcmeSettings):
        config = config._replace(identity=identity._replace(validity=validity))
    if not commands:
        _refuse_special_files(config)
    materials = load_materials(config, private=False, commands=commands)
    return Target(
        watched_by_config(config, materials, now=now),
        (*(_unfilled(config.source, key) for key in config.unfilled), *_unknown_signer(config, materials)),
        thresholds=thresholds_of(config),
        identifier=config.profile.identifier,
        validity=_validity(config.identity),
        errors=(collect(materials.errors),) if materials.errors else (),
        display_name=config.profile.display_name or config.profile.identifier,
        built=str(config.output_directory / FILES["enrollment"]),
    )


def _validity(identity: IdentitySettings) -> timedelta | None:
    """How long identities are valid that are issued later; None of one in a file, or where nobody knows."""
    if isinstance(identity, IssuedSettings):
        return identity.wanted.validity
    return None if isinstance(identity, Pkcs12Settings) else identity.validity


def _refuse_special_files(config: EnrollmentConfig) -> None:
    """Raise an error for every pipe or device that the config names as a file.

    Opening a pipe waits until somebody writes to it, and whoever put a config into a directory must not have us wait.
    """
    special = [each for each in _paths(config) if os.path.exists(each) and not os.path.isfile(each)]  # noqa: PTH110, PTH113
    named = dict.fromkeys(each for each in special if not os.path.isdir(each))  # noqa: PTH112 - these never raise
    if named:
        hint = "name the config itself"
        message = "is a pipe or a device, which is not read for a config that was only found in a directory"
        raise collect(InputError(message, where=str(each), hint=hint) for each in named)


def _paths(value: object) -> Iterator[Path]:
    """Every path in the settings, those of secrets too."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, SecretSource):
        yield from _paths(value.place)
    elif isinstance(value, tuple):
        for each in value:
            yield from _paths(each)


def _unknown_signer(config: EnrollmentConfig, materials: Materials) -> Iterable[Finding]:
    """Judging dates logs in to no token and runs no signing command, so such a signer can stay unknown."""
    signing = config.signing
    if signing and signing.certificate is None and signing.pkcs12 is None and materials.signer_certificate is None:
        message = "the signer's certificate is known only when it signs, so its end was not judged"
        yield finding("signing.not-judged", message, where=f"{config.source}: signing")


def _unfilled(source: str, key: str) -> Finding:
    """A key whose template nobody filled; a warning where that hides a certificate or a date from the judgement."""
    matters = key.startswith(("trust.", "signing.")) or key in _JUDGED
    return finding(
        "config.unfilled",
        f"{key} has a variable that is not known, so it was not judged",
        where=f"{source}: {key}",
        severity=None if matters else Severity.INFO,
    )
