"""What a config for many devices may not hold, and what in it is each device's own."""

from __future__ import annotations

from collections.abc import Iterable

from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_file import ConfigTables
from mdmprofile.config_identity import AcmeSettings, IssuedSettings, ScepSettings
from mdmprofile.errors import ConfigError
from mdmprofile.findings import Finding, finding
from mdmprofile.recipe import is_individual
from mdmprofile.templating import has_template


def has_individual_names(identity: IssuedSettings, tables: ConfigTables) -> bool:
    """Whether a password or alternative name was left out because only a device's values fill it."""
    given = tables.values["identity"]
    return ("password" in given and identity.password is None) or (
        "subject_alt_name" in given and identity.subject_alt_name is None
    )


def refuse_individual(config: EnrollmentConfig) -> None:
    """Raise ``ConfigError`` where a template asks for as many signers or directories as there are devices."""
    for key in config.unfilled:
        if key.startswith("signing."):
            message = "has a template for each device, and one signer signs every profile"
            raise ConfigError(message, where=f"{config.source}: {key}", hint="name the signer without a template")
        if key == "output.directory":
            message, hint = "has a template for each device, and all profiles are below it", "use --name for that"
            raise ConfigError(message, where=f"{config.source}: {key}", hint=hint)


def judge_sharing(config: EnrollmentConfig, tables: ConfigTables) -> Iterable[Finding]:
    """What every device has alike, and should have of its own."""
    key = "identity.challenge"
    given = isinstance(config.identity, ScepSettings) and "challenge" in tables.values["identity"]
    if given and not is_individual(tables, key):
        yield finding("scep.shared-challenge", "every device gets the same challenge", where=tables.place_of(key))


def refuse_shared_identifier(config: EnrollmentConfig, tables: ConfigTables) -> None:
    """Raise ``ConfigError`` where every device would get one ACME client identifier, which a server takes once."""
    identity = config.identity
    if isinstance(identity, AcmeSettings) and not has_template(str(tables.values["identity"]["client_identifier"])):
        raise ConfigError(
            "is the same for every device",
            where=tables.place_of("identity.client_identifier"),
            hint='give a template such as "{{ device.serial }}", or leave it out for a fresh one each',
        )


def refuse_lost_passwords(config: EnrollmentConfig, tables: ConfigTables) -> None:
    """Raise ``ConfigError`` where each device gets a password that nobody is told."""
    identity = config.identity
    if not isinstance(identity, IssuedSettings) or identity.embed_password or "password" in tables.values["identity"]:
        return
    raise ConfigError(
        "is false, and nobody would know the passwords that are made up for the devices",
        where=tables.place_of("identity.embed_password"),
        hint='name those that you know, such as identity.password = "{{ device.password }}" for a column of the table',
    )
