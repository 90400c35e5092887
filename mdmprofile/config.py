"""``enroll.toml``, flags and variables become one frozen ``EnrollmentConfig``; all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mdmprofile import tables as t
from mdmprofile.config_file import ConfigTables, read_tables
from mdmprofile.config_identity import IdentitySettings, read_identity
from mdmprofile.config_signing import SigningSettings, signing_settings
from mdmprofile.errors import collect
from mdmprofile.payloads.mdm import ALL_RIGHTS, CAPABILITIES, AccessRights, right_names
from mdmprofile.profile import TARGETS
from mdmprofile.secret import SecretSource
from mdmprofile.templating import Render, Variables, renderer

DEFAULT_MARGIN = timedelta(days=30)
DEFAULT_WARN = timedelta(days=30)
DEFAULT_CRITICAL = timedelta(days=7)

# Leaves a key out that would otherwise have a default, as some inherited profiles do.
UNSET = "unset"

# How a replacement reaches the device: the InstallProfile command, or a person.
Via = Literal["mdm", "manual"]
_VIAS: dict[str, Via] = {"mdm": "mdm", "manual": "manual"}


class ProfileSettings(NamedTuple):
    """The profile itself and its planned replacement; dates are aware UTC."""

    identifier: str
    display_name: str | None
    description: str | None
    organization: str | None
    scope: str | None
    uuid: str | None
    removal_disallowed: bool | None
    has_removal_passcode: bool | None
    removal_password: SecretSource | None
    removal_date: datetime | None
    duration_until_removal: timedelta | None
    expiration_date: datetime | None
    target_device: int | None
    consent_text: Mapping[str, str] | None
    replace_on: datetime | None
    replace_margin: timedelta
    warn: timedelta
    critical: timedelta
    replaces: Path | None
    extra_payloads: tuple[Path, ...]
    extra_keys: Path | None
    replaces_via: Via


class ServerSettings(NamedTuple):
    """The MDM server, and every key of the MDM payload that is not derived."""

    url: str
    checkin_url: str | None
    topic: str | None
    push_certificate: Path | None
    access_rights: int | None
    capabilities: tuple[str, ...]
    sign_message: bool | None
    check_out_when_removed: bool
    use_development_apns: bool | None
    managed_apple_id: str | None
    assigned_managed_apple_id: str | None
    enrollment_mode: str | None
    required_app_id: int | None
    url_pinning_certificates: tuple[Path, ...]
    checkin_url_pinning_certificates: tuple[Path, ...]
    pinning_revocation_check_required: bool | None
    prompt_for_bootstrap_token: bool | None
    uuid: str | None


class TrustSettings(NamedTuple):
    """What makes a device trust the server, and the URLs that the server publishes."""

    certificates: tuple[Path, ...]
    server_certificate: tuple[Path, ...]
    pkcs12_password: SecretSource | None
    public: bool
    trust_profile_url: str | None
    enrollment_url: str | None
    anchor_certs_url: str | None
    byod_enrollment_url: str | None
    adde_enrollment_url: str | None
    uuids: Mapping[str, str]


class EncryptionSettings(NamedTuple):
    """For whom the enrollment profile is encrypted: files with the recipients' certificates."""

    recipients: tuple[Path, ...]


class EnrollmentConfig(NamedTuple):
    """Everything that a build needs; ``source`` names the file it was read from.

    ``unfilled`` are the keys that a lenient reading left out because nobody gave their variables.
    """

    profile: ProfileSettings
    server: ServerSettings
    trust: TrustSettings
    identity: IdentitySettings
    signing: SigningSettings | None
    output_directory: Path
    source: str = "flags"
    unfilled: tuple[str, ...] = ()
    encryption: EncryptionSettings | None = None


def load_config(
    file: Path | None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    variables: Variables | None = None,
    lenient: bool = False,
    for_device: bool = True,
) -> EnrollmentConfig:
    """Read a config file, lay flags over it, and fill its templates.

    ``overrides`` is a table of tables like the file, whose ``Path`` values are relative to the working directory.
    With ``lenient``, templates whose variables are not known stay as they are. Without ``for_device``, an identity that
    is issued for each device may lack its subject, since ``variables`` are no device's. Raises ``ConfigError``, or
    ``Problems`` with every mistake that was found.
    """
    tables, render = read_tables(file, overrides), renderer(variables or {})
    return config_of(tables, render, lenient=lenient, for_device=for_device)


def config_of(
    tables: ConfigTables, render: Render, *, lenient: bool = False, for_device: bool = True
) -> EnrollmentConfig:
    """The config that the tables describe, its templates filled by ``render``; raises as ``load_config`` does."""
    context = t.Context(tables.base, render, lenient=lenient, for_device=for_device)
    top = t.Table(tables.values, "", context)
    config = EnrollmentConfig(
        profile=_profile(top.table("profile")),
        server=_server(top.table("server")),
        trust=_trust(top.table("trust")),
        identity=read_identity(top.table("identity")),
        signing=signing_settings(top.table("signing")) if "signing" in top else None,
        output_directory=_output(top.table("output")),
        source=tables.source,
        encryption=_encryption(top.table("encryption")) if "encryption" in top else None,
    )
    top.known += ["signing", "encryption"]
    top.finish()
    if context.problems:
        for problem in context.problems:
            problem.where = tables.place_of(problem.where)
        raise collect(context.problems)
    return config._replace(unfilled=tuple(context.unfilled))


def read_signing(values: Mapping[str, Any], *, names: Mapping[str, str] | None = None) -> SigningSettings:
    """The signer's settings alone, for signing a file without a config; raises as ``load_config`` does.

    ``names`` are what messages call the keys, such as the flags that gave them.
    """
    context = t.Context(Path(), renderer({}))
    settings = signing_settings(t.Table(values, "signing", context), names=names)
    if context.problems:
        raise collect(context.problems)
    return settings


def _profile(table: t.Table) -> ProfileSettings:
    settings = ProfileSettings(
        identifier=table.require(
            "identifier", t.word, 'give the profile a reverse-DNS name such as "com.example.mdm.enroll"'
        ),
        display_name=table.take("display_name", t.text, None),
        description=table.take("description", t.text, None),
        organization=table.take("organization", t.text, None),
        scope=table.take("scope", t.one_of({"System": "System", "User": "User", UNSET: None}), "System"),
        uuid=table.take("uuid", t.uuid_text, None),
        removal_disallowed=table.take("removal_disallowed", t.boolean, None),
        has_removal_passcode=table.take("has_removal_passcode", t.boolean, None),
        removal_password=table.take("removal_password", t.secret("profile.removal_password"), None),
        removal_date=table.take("removal_date", t.moment, None),
        duration_until_removal=table.take("duration_until_removal", t.duration, None),
        expiration_date=table.take("expiration_date", t.moment, None),
        target_device=table.take("target_device", _target, None),
        consent_text=table.take("consent_text", _consent, None),
        replace_on=table.take("replace_on", t.moment, None),
        replace_margin=table.take("replace_margin", t.duration, DEFAULT_MARGIN),
        warn=table.take("warn", t.duration, DEFAULT_WARN),
        critical=table.take("critical", t.duration, DEFAULT_CRITICAL),
        replaces=table.take("replaces", t.path, None),
        extra_payloads=table.take("extra_payloads", t.several(t.path), ()),
        extra_keys=table.take("extra_keys", t.path, None),
        replaces_via=table.take("replaces_via", t.one_of(_VIAS), "mdm"),
    )
    table.finish()
    return settings


def _server(table: t.Table) -> ServerSettings:
    settings = ServerSettings(
        url=table.require("url", t.word, 'set it to "https://mdm.example.com/mdm" or where your server is'),
        checkin_url=table.take("checkin_url", t.word, None),
        topic=table.take("topic", t.word, None),
        push_certificate=table.take("push_certificate", t.path, None),
        access_rights=table.take("access_rights", _rights, ALL_RIGHTS),
        capabilities=table.take("capabilities", t.several(_capability), tuple(CAPABILITIES.values())),
        sign_message=table.take("sign_message", t.boolean, None),
        check_out_when_removed=table.take("check_out_when_removed", t.boolean, True),
        use_development_apns=table.take("use_development_apns", t.boolean, None),
        managed_apple_id=table.take("managed_apple_id", t.text, None),
        assigned_managed_apple_id=table.take("assigned_managed_apple_id", t.text, None),
        enrollment_mode=table.take("enrollment_mode", t.one_of({"BYOD": "BYOD", "ADDE": "ADDE"}), None),
        required_app_id=table.take("required_app_id", t.integer, None),
        url_pinning_certificates=table.take("url_pinning_certificates", t.several(t.path), ()),
        checkin_url_pinning_certificates=table.take("checkin_url_pinning_certificates", t.several(t.path), ()),
        pinning_revocation_check_required=table.take("pinning_revocation_check_required", t.boolean, None),
        prompt_for_bootstrap_token=table.take("prompt_for_bootstrap_token", t.boolean, None),
        uuid=table.take("uuid", t.uuid_text, None),
    )
    if "topic" not in table and "push_certificate" not in table:
        table.context.problem(
            "server",
            "has neither push_certificate nor topic",
            "name the push certificate's file; its topic is read",
        )
    table.finish()
    return settings


def _trust(table: t.Table) -> TrustSettings:
    settings = TrustSettings(
        certificates=table.take("certificates", t.several(t.path), ()),
        server_certificate=table.take("server_certificate", t.several(t.path), ()),
        pkcs12_password=table.take("pkcs12_password", t.secret("trust.pkcs12_password"), None),
        public=table.take("public", t.boolean, False),
        trust_profile_url=table.take("trust_profile_url", t.word, None),
        enrollment_url=table.take("enrollment_url", t.word, None),
        anchor_certs_url=table.take("anchor_certs_url", t.word, None),
        byod_enrollment_url=table.take("byod_enrollment_url", t.word, None),
        adde_enrollment_url=table.take("adde_enrollment_url", t.word, None),
        uuids=table.take("uuids", _uuids, {}),
    )
    table.finish()
    return settings


def _encryption(table: t.Table) -> EncryptionSettings:
    recipients = table.take("recipient", t.several(t.path), ())
    if table.values.get("recipient", []) == []:
        table.context.problem("encryption.recipient", "is missing", "name the file with the device's certificate")
    table.finish()
    return EncryptionSettings(recipients)


def _output(table: t.Table) -> Path:
    directory = table.take("directory", t.path, Path("out"))
    table.finish()
    return directory


def _target(value: Any, context: t.Context) -> int:  # noqa: ANN401 - TOML values are of any type
    return t.one_of(TARGETS)(value, context) if isinstance(value, str) else t.integer(value, context)


def _consent(value: Any, context: t.Context) -> dict[str, str]:  # noqa: ANN401
    if isinstance(value, str):
        return {"default": t.text(value, context)}
    if not isinstance(value, Mapping) or not value:
        raise TypeError('must be text, or a table of languages such as { default = "…", de = "…" }')
    return {str(language): t.text(each, context) for language, each in value.items()}


def _uuids(value: Any, context: t.Context) -> dict[str, str]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise TypeError("must be a table from SHA-256 fingerprints to UUIDs")
    wrong = [name for name in value if re.fullmatch(r"[0-9a-fA-F]{64}", str(name).replace(":", "")) is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a SHA-256 fingerprint of 64 hexadecimal digits")
    return {str(name).replace(":", "").lower(): t.uuid_text(each, context) for name, each in value.items()}


def _capability(value: Any, context: t.Context) -> str:  # noqa: ANN401
    full = {name: name for name in CAPABILITIES.values()}
    return t.one_of(CAPABILITIES | full)(value, context)


def _rights(value: Any, context: t.Context) -> int | None:  # noqa: ANN401
    """``all``, ``unset``, a number, or names; what a number may be is judged by the rules."""
    if isinstance(value, list | tuple):
        given = t.several(t.text)(value, context)
    elif isinstance(value, str):
        given = tuple(each.strip() for each in t.text(value, context).split(","))
    else:
        return t.integer(value, context)
    if len(given) == 1 and given[0].lower() == "all":
        return ALL_RIGHTS
    if len(given) == 1 and given[0].lower() == UNSET:
        return None
    if len(given) == 1 and re.fullmatch(r"-?\d{1,10}", given[0]):
        return int(given[0])
    names = dict(zip(right_names(), AccessRights, strict=True))
    return int(sum({t.choose(each.replace("_", "-"), names) for each in given}))
