"""The rules of the SCEP and ACME payloads.

https://developer.apple.com/documentation/devicemanagement/scep
https://developer.apple.com/documentation/devicemanagement/acmecertificate
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mdmprofile.findings import Finding, finding
from mdmprofile.payloads import types
from mdmprofile.payloads.names import check_type
from mdmprofile.printable import shortened, shown
from mdmprofile.profile import Profile
from mdmprofile.rules.registry import rule
from mdmprofile.urls import has_scheme

_EC, _RSA = "ECSECPrimeRandom", "RSA"
SCEP_KEYS = (
    "URL", "Name", "Subject", "Challenge", "Keysize", "Key Type", "Key Usage", "CAFingerprint", "Retries", "RetryDelay",
    "SubjectAltName", "KeyIsExtractable", "AllowAllAppsAccess",
)  # fmt: skip
_NAME_KINDS = ("rfc822Name", "dNSName", "uniformResourceIdentifier")
_SCEP_SIZES = (1024, 2048, 4096)
_MAX_COMMON_NAME = 64
_MAX_NAMES = 100
_ACME_CURVES = (192, 256, 384, 521)
_BOUND_CURVES = (256, 384)
_USAGES = (0, 1, 4, 5)
_ACME_REQUIRED = {
    "DirectoryURL": str,
    "ClientIdentifier": str,
    "KeyType": str,
    "KeySize": int,
    "HardwareBound": bool,
    "Subject": list,
}


def _scep(profile: Profile) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for path, each in profile.of_type(types.SCEP):
        inner = each.get("PayloadContent")
        if isinstance(inner, Mapping):
            yield f"{path}.PayloadContent", inner


@rule("profile.missing-key")
def scep_content(profile: Profile) -> Iterable[Finding]:
    """SCEP's keys sit in the payload's own PayloadContent dictionary."""
    for path, each in profile.of_type(types.SCEP):
        if not isinstance(each.get("PayloadContent"), Mapping):
            yield finding(
                "profile.missing-key",
                "PayloadContent is missing or no dictionary",
                where=f"{path}.PayloadContent",
            )


@rule("scep.url", "scep.no-fingerprint")
def scep_url(profile: Profile) -> Iterable[Finding]:
    """An http or https URL; http only with the CA's fingerprint."""
    for path, scep in _scep(profile):
        if not has_scheme(scep.get("URL"), "http", "https"):
            yield finding("scep.url", "URL is missing or neither http:// nor https://", where=f"{path}.URL")
        elif has_scheme(scep["URL"], "http") and "CAFingerprint" not in scep:
            yield finding("scep.no-fingerprint", "SCEP over http without CAFingerprint", where=f"{path}.URL")


@rule("scep.misspelt-key")
def scep_misspelt(profile: Profile) -> Iterable[Finding]:
    """Key names that are common in the wild and ignored by devices."""
    for path, scep in _scep(profile):
        for wrong in scep:
            right = misspelt_scep_key(wrong)
            if right:
                yield finding(
                    "scep.misspelt-key",
                    f"{wrong} is ignored by devices; the key is called {right!r}",
                    where=f"{path}.{shortened(wrong)}",
                )


def misspelt_scep_key(name: object) -> str:
    """The SCEP key that differs from ``name`` only in case, spaces, hyphens and underscores; empty when none does."""
    return "" if name in SCEP_KEYS else _BY_LETTERS.get(_letters(name) if isinstance(name, str) else "", "")


def _letters(name: str) -> str:
    return name[:_MAX_COMMON_NAME].casefold().translate(_NO_LETTERS)


_NO_LETTERS = {ord(each): None for each in " -_"}
_BY_LETTERS = {_letters(each): each for each in SCEP_KEYS}


@rule("scep.weak-key")
def scep_weak_key(profile: Profile) -> Iterable[Finding]:
    """Devices make 1024-bit keys when Keysize is absent."""
    for path, scep in _scep(profile):
        if scep.get("Keysize", 1024) == 1024:  # noqa: PLR2004 - Apple's default
            state = "is 1024" if "Keysize" in scep else "is absent, which means 1024"
            yield finding("scep.weak-key", f"Keysize {state}", where=f"{path}.Keysize")


@rule("scep.value", "scep.common-name")
def scep_values(profile: Profile) -> Iterable[Finding]:
    """Key size, type, usage, retries and fingerprint have the values that Apple allows."""
    for path, scep in _scep(profile):
        checks = (
            ("Keysize", 1024, lambda value: value in _SCEP_SIZES, "1024, 2048 or 4096"),
            ("Key Type", "RSA", lambda value: value == "RSA", "RSA"),
            ("Key Usage", 0, lambda value: _number(value) and value in _USAGES, "0, 1, 4 or 5"),
            ("Retries", 3, _number, "a number"),
            ("RetryDelay", 10, _number, "a number of seconds"),
            ("CAFingerprint", bytes(20), _fingerprint, "20 bytes of SHA-1 or 16 of MD5"),
        )
        for name, default, good, allowed in checks:
            value = scep.get(name, default)
            if not good(value):
                given = value if _number(value) else shown(value)
                yield finding("scep.value", f"{name} is {given}, and must be {allowed}", where=f"{path}.{name}")
        yield from _subject(scep, path, "scep.value")
        yield from _alternative_names(scep, path, "scep.value")


@rule("acme.value", "acme.url-scheme", "scep.common-name")
def acme_values(profile: Profile) -> Iterable[Finding]:
    """Required keys, their types, and https for the directory."""
    for path, acme in profile.of_type(types.ACME):
        for name, kind in _ACME_REQUIRED.items():
            value = acme.get(name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)) or value == "":
                yield finding("acme.value", f"{name} is missing, empty or of the wrong type", where=f"{path}.{name}")
        url = acme.get("DirectoryURL")
        if isinstance(url, str) and url and not has_scheme(url, "https"):
            yield finding(
                "acme.url-scheme",
                f"DirectoryURL {shown(url)} is not an https:// URL",
                where=f"{path}.DirectoryURL",
            )
        if not _number(acme.get("UsageFlags", 0)) or acme.get("UsageFlags", 0) not in _USAGES:
            yield finding("acme.value", "UsageFlags is more than 1 and 4", where=f"{path}.UsageFlags")
        for index, oid in enumerate(_list(acme.get("ExtendedKeyUsage"))):
            if not isinstance(oid, str) or not _dotted(oid):
                yield finding(
                    "acme.value", f"{shown(oid)} is not a dotted OID", where=f"{path}.ExtendedKeyUsage[{index}]"
                )
        yield from _subject(acme, path, "acme.value")
        yield from _alternative_names(acme, path, "acme.value")


@rule("acme.key")
def acme_key(profile: Profile) -> Iterable[Finding]:
    """Which keys a device can make, and which of them in its Secure Enclave."""
    for path, acme in profile.of_type(types.ACME):
        kind, size, bound = acme.get("KeyType"), acme.get("KeySize"), acme.get("HardwareBound") is True
        if not isinstance(kind, str) or not isinstance(size, int):
            continue
        problem = _key_problem(kind, size, bound)
        if problem:
            yield finding("acme.key", problem, where=f"{path}.KeySize")
        if acme.get("Attest") is True and not bound:
            yield finding("acme.key", "Attest needs HardwareBound", where=f"{path}.Attest")


def _key_problem(kind: str, size: int, bound: bool) -> str:
    if kind not in {_RSA, _EC}:
        return f"KeyType {shown(kind)} is neither {_RSA} nor {_EC}"
    if kind == _RSA and bound:
        return f"HardwareBound needs KeyType {_EC}"
    if kind == _RSA and (not 1024 <= size <= 4096 or size % 8):  # noqa: PLR2004 - Apple's range
        return f"KeySize {size} is no multiple of 8 between 1024 and 4096"
    if kind == _EC and size not in _ACME_CURVES:
        return f"KeySize {size} is no curve: use 256 or 384"
    if kind == _EC and bound and size not in _BOUND_CURVES:
        return f"HardwareBound keys have 256 or 384 bits, not {size}"
    return ""


def _subject(payload: Mapping[str, Any], path: str, rule: str) -> Iterable[Finding]:
    where = f"{path}.Subject"
    relatives = _list(payload.get("Subject", []))
    # A binary property list can hold one array many times over in itself.
    if sum(len(_list(each)) for each in relatives) > _MAX_NAMES:
        yield finding(rule, f"Subject has more than {_MAX_NAMES} names", where=where)
        return
    pairs = [pair for relative in relatives for pair in _list(relative)]
    if any(not isinstance(pair, list) or [type(each) for each in pair] != [str, str] for pair in pairs):
        yield finding(rule, "Subject is no array of arrays of pairs of text", where=where)
        return
    for name, value in pairs:
        try:
            check_type(name)
        except ValueError as error:
            yield finding(rule, str(error), where=where)
        if name.upper() in {"CN", "2.5.4.3"} and len(value.encode("utf-8", "replace")) > _MAX_COMMON_NAME:
            yield finding("scep.common-name", "the common name is longer than 64 bytes", where=where)


def _alternative_names(payload: Mapping[str, Any], path: str, rule: str) -> Iterable[Finding]:
    """SubjectAltName holds texts or arrays of them; the NT principal name is one text."""
    names = payload.get("SubjectAltName", {})
    where = f"{path}.SubjectAltName"
    if not isinstance(names, Mapping):
        yield finding(rule, "SubjectAltName is no dictionary", where=where)
        return
    for kind in _NAME_KINDS:
        if not all(isinstance(each, str) for each in _list(names.get(kind, ""))):
            yield finding(rule, f"{kind} is neither text nor an array of texts", where=f"{where}.{kind}")
    if not isinstance(names.get("ntPrincipalName", ""), str):
        yield finding(rule, "ntPrincipalName is not one text", where=f"{where}.ntPrincipalName")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _fingerprint(value: object) -> bool:
    return isinstance(value, bytes) and len(value) in {16, 20}


def _dotted(text: str) -> bool:
    parts = text.split(".")
    return len(parts) > 1 and all(each.isascii() and each.isdigit() for each in parts)
