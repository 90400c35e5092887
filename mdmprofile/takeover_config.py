"""A profile's keys as config tables, and the tables as commented TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mdmprofile.errors import ProfileError
from mdmprofile.inputs import MAX_SECRET
from mdmprofile.moments import as_utc, stamp
from mdmprofile.payloads import types
from mdmprofile.payloads.mdm import CAPABILITIES
from mdmprofile.payloads.names import check_type
from mdmprofile.profile import TARGETS
from mdmprofile.reader import OpenedProfile

_LONGEST_DURATION = 999_999
_LONGEST_TEXT = 16 * 1024
# Less than a line of a config may have.
_MOST_DOTS = 400

_TOP = {
    "PayloadDisplayName": ("display_name", str),
    "PayloadDescription": ("description", str),
    "PayloadOrganization": ("organization", str),
    "PayloadRemovalDisallowed": ("removal_disallowed", bool),
    "HasRemovalPasscode": ("has_removal_passcode", bool),
    "RemovalDate": ("removal_date", datetime),
    "PayloadExpirationDate": ("expiration_date", datetime),
}
_MDM = {
    "ServerURL": ("url", str),
    "CheckInURL": ("checkin_url", str),
    "Topic": ("topic", str),
    "AccessRights": ("access_rights", int),
    "SignMessage": ("sign_message", bool),
    "CheckOutWhenRemoved": ("check_out_when_removed", bool),
    "UseDevelopmentAPNS": ("use_development_apns", bool),
    "ManagedAppleID": ("managed_apple_id", str),
    "AssignedManagedAppleID": ("assigned_managed_apple_id", str),
    "RequiredAppIDForMDM": ("required_app_id", int),
    "PinningRevocationCheckRequired": ("pinning_revocation_check_required", bool),
    "PromptUserToAllowBootstrapTokenForAuthentication": ("prompt_for_bootstrap_token", bool),
}
_SCEP = {
    "URL": ("url", str),
    "Name": ("name", str),
    "Keysize": ("key_size", int),
    "Key Type": ("key_type", str),
    "Key Usage": ("key_usage", int),
    "Retries": ("retries", int),
    "RetryDelay": ("retry_delay", int),
    "KeyIsExtractable": ("key_is_extractable", bool),
    "AllowAllAppsAccess": ("allow_all_apps_access", bool),
}
_ACME = {
    "DirectoryURL": ("directory_url", str),
    "ClientIdentifier": ("client_identifier", str),
    "KeyType": ("key_type", str),
    "KeySize": ("key_size", int),
    "HardwareBound": ("hardware_bound", bool),
    "Attest": ("attest", bool),
    "UsageFlags": ("usage_flags", int),
    "KeyIsExtractable": ("key_is_extractable", bool),
    "AllowAllAppsAccess": ("allow_all_apps_access", bool),
}
_PKCS12 = {
    "KeyIsExtractable": ("key_is_extractable", bool),
    "AllowAllAppsAccess": ("allow_all_apps_access", bool),
}
_ALTERNATIVE_NAMES = {
    "rfc822Name": "rfc822_name",
    "dNSName": "dns_name",
    "uniformResourceIdentifier": "uri",
    "ntPrincipalName": "nt_principal_name",
}
_SEVERAL = ("rfc822_name", "dns_name", "uri")
# What a device takes for an absent key, so that the config says what holds and a change of ours is seen.
_SCEP_DEFAULTS = {"key_size": 1024, "key_usage": 0, "key_is_extractable": True, "subject": []}
_ACME_DEFAULTS = {"key_is_extractable": True}
_PKCS12_DEFAULTS = {"key_is_extractable": True}

_HEADINGS = {
    "profile": "The identifier and, from replaces, the UUIDs: what devices know the profile by.",
    "server": "Devices refuse a replacement in which the URLs or the topic change, or a right is added.",
    "trust": "What makes devices trust the server. Name its certificate too, so that it is judged:",
    "identity": "Where the device's identity comes from.",
}
_BEHIND = {
    "profile": ("# replace_on = 2027-06-01", '# replace_margin = "30d"'),
    "trust": ('# server_certificate = "server.pem"',),
}


@dataclass(frozen=True, eq=False)
class Identity:
    """The identity's table, the secrets it names, and the files that hold them.

    ``dropped`` are keys that devices ignore and a build refuses; ``notes`` say so.
    """

    table: dict[str, Any] = field(repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    pkcs12: bytes | None = field(default=None, repr=False)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def profile_table(top: Mapping[str, Any], removal: Mapping[str, Any] | None) -> dict[str, Any]:
    """The ``[profile]`` table of a profile's top-level keys; ``removal`` is its removal-password payload."""
    table: dict[str, Any] = {"identifier": _word(top["PayloadIdentifier"]), **_taken(top, _TOP)}
    scope = top.get("PayloadScope")
    table["scope"] = scope if scope in ("System", "User") else "unset"
    seconds = top.get("DurationUntilRemoval")
    if (
        isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and float(seconds).is_integer()
        and 0 < seconds <= _LONGEST_DURATION
    ):
        table["duration_until_removal"] = f"{int(seconds)}s"
    target = top.get("TargetDeviceType")
    if isinstance(target, int) and not isinstance(target, bool) and target in TARGETS.values():
        table["target_device"] = target
    consent = top.get("ConsentText")
    if isinstance(consent, Mapping) and consent and all(map(_is_language, consent)):
        table |= {"consent_text": dict(consent)} if all(map(_is_text, consent.values())) else {}
    if removal is not None:
        table["removal_password"] = {"file": "removal-password.txt"}
    return table


def server_table(mdm: Mapping[str, Any]) -> dict[str, Any]:
    """The ``[server]`` table of an MDM payload, without the certificates it pins."""
    table: dict[str, Any] = {"access_rights": "unset", "check_out_when_removed": False, **_taken(mdm, _MDM)}
    given = mdm.get("ServerCapabilities", [])
    known = isinstance(given, list) and all(isinstance(each, str) for each in given)
    table["capabilities"] = [each for each in given if each in CAPABILITIES.values()] if known else []
    if mdm.get("EnrollmentMode") in ("BYOD", "ADDE"):
        table["enrollment_mode"] = mdm["EnrollmentMode"]
    return table


def identity_tables(payload: Mapping[str, Any], password: str | None) -> Identity:
    """The ``[identity]`` table of a SCEP, ACME or PKCS#12 payload, with its secrets in files."""
    kind = payload.get("PayloadType")
    if kind == types.ACME:
        table = {"type": "acme", **_ACME_DEFAULTS, **_taken(payload, _ACME), **_subject(payload, {}, several=())}
        usages = payload.get("ExtendedKeyUsage")
        if isinstance(usages, list) and usages and all(_is_text(each) and _word(each) == each for each in usages):
            table["extended_key_usage"] = usages
        return Identity(table)
    return _pkcs12(payload, password) if kind == types.PKCS12 else _scep(payload)


def _scep(payload: Mapping[str, Any]) -> Identity:
    inner = payload.get("PayloadContent")
    scep = inner if isinstance(inner, Mapping) else {}
    table = {
        "type": "scep",
        **_SCEP_DEFAULTS,
        **_taken(scep, _SCEP),
        **_subject(scep, {"subject": []}, several=_SEVERAL),
    }
    fingerprint = scep.get("CAFingerprint")
    if isinstance(fingerprint, bytes) and len(fingerprint) in {16, 20}:
        table["ca_fingerprint"] = fingerprint.hex(":")
    misspelt = tuple(key for key in ("KeyType", "KeyUsage", "KeySize") if key in scep)
    notes = tuple(f"{key} of the SCEP payload is left out: devices ignore it, it is misspelt" for key in misspelt)
    challenge = scep.get("Challenge")
    if not isinstance(challenge, str) or not fits_a_file(challenge):
        return Identity(table, dropped=misspelt, notes=notes)
    table["challenge"] = {"file": "scep-challenge.txt"}
    return Identity(table, {"challenge": challenge}, {"scep-challenge.txt": challenge}, None, misspelt, notes)


def _pkcs12(payload: Mapping[str, Any], given: str | None) -> Identity:
    content, password = payload.get("PayloadContent"), payload.get("Password")
    if not isinstance(content, bytes):
        raise ProfileError("the PKCS#12 payload holds no data", hint="get the profile again")
    table = {
        "type": "pkcs12", "file": "device.p12", "single_device": True, **_PKCS12_DEFAULTS, **_taken(payload, _PKCS12)
    }  # fmt: skip
    secret = given
    if isinstance(password, str) and fits_a_file(password):
        secret = password
    else:
        table["embed_password"] = False
    # Nobody but the heir knows whether it is so; a warning in each build would be the alternative.
    notes = ("identity.single_device says that this profile is for the one device whose PKCS#12 it holds; check that",)
    if not secret:
        return Identity(table, pkcs12=content, notes=notes)
    table["password"] = {"file": "device-password.txt"}
    return Identity(table, {"password": secret}, {"device-password.txt": secret}, content, notes=notes)


def _taken(keys: Mapping[str, Any], wanted: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    """The values that the config can hold, by its own names; what is empty or of another type is not among them."""
    found = {}
    for apple, (name, kind) in wanted.items():
        value = keys.get(apple)
        if kind is int and (isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63):
            continue
        if isinstance(value, kind) and (kind is not str or _is_text(value)):
            found[name] = value
    return found


def _is_text(value: object) -> bool:
    """Whether a config can hold the value: text that is not empty, and not a book."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= _LONGEST_TEXT


def _is_language(name: str) -> bool:
    """Whether the name of a language is its own: templates are filled in texts, not in names."""
    return _is_text(name) and "{" not in name


def _word(text: str) -> str:
    """The text without what a config's identifiers and URLs must not hold."""
    return "".join(each if each.isprintable() and not each.isspace() else "-" for each in text)


def _subject(keys: Mapping[str, Any], without: dict[str, Any], *, several: Sequence[str]) -> dict[str, Any]:
    """Subject and alternative names, where the config can hold them; ``several`` names can be lists."""
    found = dict(without)
    subject = keys.get("Subject")
    names = subject if isinstance(subject, list) else []
    if names and all(_is_single_pair(each) for each in names):
        found["subject"] = [list(each[0]) for each in names]
    others = keys.get("SubjectAltName")
    if isinstance(others, Mapping):
        known = {_ALTERNATIVE_NAMES[key]: each for key, each in others.items() if key in _ALTERNATIVE_NAMES}
        fitting = {
            key: each
            for key, each in known.items()
            if _is_text(each) or (key in several and isinstance(each, list) and each and all(map(_is_text, each)))
        }
        if fitting:
            found["subject_alt_name"] = fitting
    return found


def _is_single_pair(relative: object) -> bool:
    """Whether a relative name is one pair of a type that the config knows and a text."""
    if not isinstance(relative, list) or len(relative) != 1 or not isinstance(relative[0], list):
        return False
    pair = relative[0]
    if len(pair) != 2 or not all(map(_is_text, pair)):  # noqa: PLR2004 - a pair
        return False
    try:
        return bool(check_type(pair[0]) == pair[0])
    except ValueError:
        return False


def fits_a_file(secret: object) -> bool:
    """Whether a secret comes back from a file as it was: the line end of the last line does not."""
    if not isinstance(secret, str) or not 0 < len(secret.encode("utf-8")) <= MAX_SECRET:
        return False
    return not secret.endswith(("\n", "\r")) and secret[0] != "\ufeff"


# --- TOML -----------------------------------------------------------------------------------------------------------


def config_text(tables: Mapping[str, Mapping[str, Any]], opened: OpenedProfile | None = None) -> str:
    """The tables as TOML; ``opened`` is the old profile, whose signer a comment names."""
    blocks = []
    for name, table in tables.items():
        lines = [f"# {_HEADINGS[name]}", f"[{name}]"]
        lines += [_line(key, value) for key, value in table.items()]
        blocks.append([*lines, *_BEHIND.get(name, ()), *_validity(name, table)])
    blocks.append(_signing(opened))
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def _validity(name: str, table: Mapping[str, Any]) -> Iterable[str]:
    if name == "identity" and table.get("type") != "pkcs12":
        yield '# validity = "365d"   # what the issuer grants: then mdmprofile knows when devices are lost'


def _signing(opened: OpenedProfile | None) -> list[str]:
    signers = opened.signature.signers if opened and opened.signature else ()
    names = [each.certificate.subject for each in signers if each.certificate]
    told = (
        f"The old profile was signed by {_text(names[0])}. Installed by hand, the new one must be signed by the same."
        if names
        else "The old profile was not signed."
    )
    return [
        f"# {told}",
        "# [signing]",
        '# certificate = "signer.pem"',
        '# key = "signer.key"',
        '# chain = ["signer-intermediate.pem"]',
    ]


def _line(key: str, value: object) -> str:
    """One key; its dots are in quotes, and a config is refused for a line with too many."""
    line = f"{key} = {_value(value)}"
    return line if line.count(".") <= _MOST_DOTS else line.replace(".", "\\u002e")


def _value(value: Any) -> str:  # noqa: ANN401 - config values are of any type
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime):
        return stamp(as_utc(value))
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quoted(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)


def _text(text: str) -> str:
    """A TOML basic string; what would be a template stands for itself."""
    plain = re.sub(r"\{[{%#]", lambda mark: f"{{{{ '{mark[0]}' }}}}", text)
    return _quoted(plain)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, except that TOML also wants this one escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
