"""The keys of the payloads that are known here, with the types of their values.

https://developer.apple.com/documentation/devicemanagement/profile-specific-payload-keys
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.printable import shortened, shown
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.identity import misspelt_scep_key
from mdmprofile.rules.registry import FILE, SCHEMA, rule

Kind = tuple[type, ...]
Keys = dict[str, Kind]

TEXT: Kind = (str,)
FLAG: Kind = (bool,)
NUMBER: Kind = (int,)
REAL: Kind = (float, int)
DATE: Kind = (datetime,)
DATA: Kind = (bytes,)
ARRAY: Kind = (list,)
TABLE: Kind = (dict,)
ANY: Kind = (object,)

_SPOKEN = {
    TEXT: "text", FLAG: "true or false", NUMBER: "a whole number", REAL: "a number", DATE: "a date", DATA: "data",
    ARRAY: "an array", TABLE: "a dictionary",
}  # fmt: skip

_COMMON: Keys = {
    "PayloadType": TEXT, "PayloadVersion": NUMBER, "PayloadIdentifier": TEXT, "PayloadUUID": TEXT,
    "PayloadDisplayName": TEXT, "PayloadDescription": TEXT, "PayloadOrganization": TEXT,
}  # fmt: skip
# Not in today's documentation, and written by Apple's own tools, older releases and half the world's profiles.
TOLERATED: Keys = {
    "PayloadEnabled": ANY, "PayloadScope": ANY, "PayloadRemovalDisallowed": ANY, "PayloadExpirationDate": ANY,
    "PayloadCertificateFileName": ANY,
}  # fmt: skip
_CERTIFICATE: Keys = {"PayloadCertificateFileName": TEXT, "PayloadContent": DATA}
_MAC_KEY: Keys = {"KeyIsExtractable": FLAG, "AllowAllAppsAccess": FLAG}

TOP: Keys = {
    **_COMMON, "PayloadContent": ARRAY, "EncryptedPayloadContent": DATA, "IsEncrypted": FLAG,
    "PayloadRemovalDisallowed": FLAG, "HasRemovalPasscode": FLAG, "PayloadScope": TEXT, "RemovalDate": DATE,
    "DurationUntilRemoval": REAL, "PayloadExpirationDate": DATE, "TargetDeviceType": NUMBER, "ConsentText": TABLE,
}  # fmt: skip
# https://developer.apple.com/library/archive/documentation/NetworkingInternet/Conceptual/iPhoneOTAConfiguration/
REQUEST: Keys = TOP | {"PayloadContent": TABLE, "ConfirmInstallation": FLAG}
REQUEST_CONTENT: Keys = {"URL": TEXT, "DeviceAttributes": ARRAY, "Challenge": ANY}
SCEP_CONTENT: Keys = {
    "URL": TEXT, "Name": TEXT, "Subject": ARRAY, "Challenge": TEXT, "Keysize": NUMBER, "Key Type": TEXT,
    "Key Usage": NUMBER, "CAFingerprint": DATA, "Retries": NUMBER, "RetryDelay": NUMBER, "SubjectAltName": TABLE,
    **_MAC_KEY,
}  # fmt: skip
PAYLOADS: Mapping[str, Keys] = {
    types.ROOT: _COMMON | _CERTIFICATE,
    types.PKCS1: _COMMON | _CERTIFICATE,
    types.PEM: _COMMON | _CERTIFICATE,
    types.PKCS12: _COMMON | _CERTIFICATE | {"Password": TEXT} | _MAC_KEY,
    types.REMOVAL_PASSWORD: _COMMON | {"RemovalPassword": TEXT},
    types.SCEP: _COMMON | {"PayloadContent": TABLE},
    types.ACME: {
        **_COMMON, "DirectoryURL": TEXT, "ClientIdentifier": TEXT, "KeyType": TEXT, "KeySize": NUMBER,
        "HardwareBound": FLAG, "Subject": ARRAY, "SubjectAltName": TABLE, "UsageFlags": NUMBER,
        "ExtendedKeyUsage": ARRAY, "Attest": FLAG, **_MAC_KEY,
    },
    types.MDM: {
        **_COMMON, "IdentityCertificateUUID": TEXT, "Topic": TEXT, "ServerURL": TEXT, "CheckInURL": TEXT,
        "AccessRights": NUMBER, "ServerCapabilities": ARRAY, "SignMessage": FLAG, "CheckOutWhenRemoved": FLAG,
        "UseDevelopmentAPNS": FLAG, "ManagedAppleID": TEXT, "AssignedManagedAppleID": TEXT, "EnrollmentMode": TEXT,
        "RequiredAppIDForMDM": NUMBER, "ServerURLPinningCertificateUUIDs": ARRAY,
        "CheckInURLPinningCertificateUUIDs": ARRAY, "PinningRevocationCheckRequired": FLAG,
        "PromptUserToAllowBootstrapTokenForAuthentication": FLAG,
    },
}  # fmt: skip

# A hostile profile can have a million keys; nobody reads more than a few.
MAX_TOLD = 50
_LONGEST_KEY = 80
_LIKE, _LIKE_TYPE = 0.8, 0.93


@rule("profile.unknown-key", "profile.value", "scep.misspelt-key", on=SCHEMA)
def keys(examined: Examined) -> Iterable[Finding]:
    """Known keys have values of their type; others are ignored by devices, and often misspelt."""
    told = 0
    for path, values, known in _tables(examined):
        for name, value in values.items():
            for found in _key(path, name, value, known):
                # Information is cut, so that no crowd of it stands before an error.
                told += found.severity is Severity.INFO
                if found.severity is not Severity.INFO or told <= MAX_TOLD:
                    yield found


@rule("profile.unknown-payload", on=FILE)
def payload_types(examined: Examined) -> Iterable[Finding]:
    """What a payload of another type holds is not judged; each type is told once."""
    seen: set[str] = set()
    for path, each in examined.profile.entries:
        kind = each.get("PayloadType")
        if not isinstance(kind, str) or kind in PAYLOADS or kind in seen:
            continue
        seen.add(kind)
        if len(seen) > MAX_TOLD:
            return
        near = nearest(kind, tuple(PAYLOADS), _LIKE_TYPE)
        yield finding(
            "profile.unknown-payload",
            f"payloads of type {shown(kind)} are not judged" + (f"; did you mean {near}?" if near else ""),
            where=path,
            severity=Severity.WARNING if near else None,
        )


def _tables(examined: Examined) -> Iterable[tuple[str, Mapping[Any, Any], Keys]]:
    top = examined.profile.plist
    if examined.profile.requests_another:
        yield "", top, REQUEST
        yield "PayloadContent", top["PayloadContent"], REQUEST_CONTENT
        return
    yield "", top, TOP
    for path, each in examined.profile.entries:
        kind = each.get("PayloadType")
        if isinstance(kind, str) and kind in PAYLOADS:
            yield path, each, PAYLOADS[kind]
            content = each.get("PayloadContent")
            if kind == types.SCEP and isinstance(content, Mapping):
                yield f"{path}.PayloadContent", content, SCEP_CONTENT


def _key(path: str, name: Any, value: object, known: Keys) -> Iterable[Finding]:  # noqa: ANN401 - of any type
    where = f"{path}.{shortened(name)}" if path else shortened(name)
    if name in known:
        # PayloadVersion is judged in every payload, also in those that are not known here.
        if name != "PayloadVersion" and not _is(value, known[name]):
            given = "" if isinstance(value, str) else f", not {shown(value)}"
            yield finding("profile.value", f"{name} must be {_SPOKEN[known[name]]}{given}", where=where)
        return
    scep = known is SCEP_CONTENT
    if name in TOLERATED or (scep and misspelt_scep_key(name)):
        return
    near = nearest(name, tuple(known), _LIKE) if isinstance(name, str) else ""
    quoted = shown(shortened(name))
    if near and scep:
        yield finding("scep.misspelt-key", f"{quoted} is ignored by devices; the key is called {near!r}", where=where)
    elif near:
        yield finding(
            "profile.unknown-key", f"{quoted} is not a key of this payload; did you mean {near}?", where=where
        )
    elif known is PAYLOADS[types.SCEP] and name in SCEP_CONTENT:
        message = f"{name} belongs into the payload's own PayloadContent, where devices look for it"
        yield finding("profile.unknown-key", message, where=where)
    else:
        message = f"{quoted} is not a documented key of this payload"
        yield finding("profile.unknown-key", message, where=where, severity=Severity.INFO)


def _is(value: object, kind: Kind) -> bool:
    # Python's booleans are numbers too; a property list's are not.
    return isinstance(value, kind) and (kind in {FLAG, ANY} or not isinstance(value, bool))


@lru_cache(maxsize=1024)
def nearest(name: str, known: tuple[str, ...], like: float) -> str:
    """The known name that is most like this one, told apart without case; empty when none is."""
    if len(name) > _LONGEST_KEY:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415 - only for mistakes

    folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=like)
    return folded[close[0]] if close else ""
