"""Every rule with a profile that breaks it and one that keeps it, the catalogue, and hostile property lists."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdmprofile.catalogue import RULES
from mdmprofile.findings import Finding, Severity, by_severity, finding, has_errors, worst
from mdmprofile.profile import Profile, parse
from mdmprofile.rules import judge, judge_enrollment, judge_trust_profile
from mdmprofile.urls import has_scheme
from profiles import (
    MDM_UUID,
    ROOT_UUID,
    SCEP_UUID,
    Change,
    Plist,
    acme,
    both,
    drop,
    enrollment,
    insert,
    mdm,
    move,
    payload,
    put,
    root,
    scep,
    trust,
)

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR

examples = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def judged(plist: Plist, change: Change, judge_all: Callable[[Profile], tuple[Finding, ...]]) -> tuple[Finding, ...]:
    """What a judge finds once the change is made."""
    change(plist)
    return judge_all(Profile(plist))


def short(found: tuple[Finding, ...]) -> set[tuple[str, Severity, str]]:
    """What a test compares: rule, severity, where."""
    return {(each.rule, each.severity, each.where) for each in found}


# ---------------------------------------------------------------- enrollment profiles

TOP, SCEP, MDM = "PayloadContent", "PayloadContent[1].PayloadContent", "PayloadContent[2]"
SECOND_MDM = mdm() | {"PayloadUUID": "00000000-0000-4000-8000-000000000009", "PayloadIdentifier": "com.example.second"}
SECOND_ROOT = root("00000000-0000-4000-8000-000000000008")
PER_USER = "com.apple.mdm.per-user-connections"
LONG_NAME = "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 33  # 66 bytes

# What is changed, and everything that is found: rule, severity, where.
BROKEN: dict[str, tuple[Change, set[tuple[str, Severity, str]]]] = {
    "topic of another service": (
        put(f"{MDM}.Topic", "com.example.push"),
        {("mdm.topic-prefix", ERROR, f"{MDM}.Topic")},
    ),
    "topic is the prefix alone": (
        put(f"{MDM}.Topic", "com.apple.mgmt."),
        {("mdm.topic-prefix", ERROR, f"{MDM}.Topic")},
    ),
    "topic prefix without its dot": (
        put(f"{MDM}.Topic", "com.apple.mgmtExternal"),
        {("mdm.topic-prefix", ERROR, f"{MDM}.Topic")},
    ),
    "topic empty": (put(f"{MDM}.Topic", ""), {("mdm.missing-key", ERROR, f"{MDM}.Topic")}),
    "topic missing": (drop(f"{MDM}.Topic"), {("mdm.missing-key", ERROR, f"{MDM}.Topic")}),
    "server URL missing": (drop(f"{MDM}.ServerURL"), {("mdm.missing-key", ERROR, f"{MDM}.ServerURL")}),
    "server URL http": (
        put(f"{MDM}.ServerURL", "http://mdm.example.com"),
        {("mdm.url-scheme", ERROR, f"{MDM}.ServerURL")},
    ),
    "server URL without scheme": (
        put(f"{MDM}.ServerURL", "mdm.example.com"),
        {("mdm.url-scheme", ERROR, f"{MDM}.ServerURL")},
    ),
    "server URL without host": (
        put(f"{MDM}.ServerURL", "https:///mdm"),
        {("mdm.url-scheme", ERROR, f"{MDM}.ServerURL")},
    ),
    "check-in URL http": (
        put(f"{MDM}.CheckInURL", "http://mdm.example.com"),
        {("mdm.url-scheme", ERROR, f"{MDM}.CheckInURL")},
    ),
    "check-in URL empty": (put(f"{MDM}.CheckInURL", ""), {("mdm.url-scheme", ERROR, f"{MDM}.CheckInURL")}),
    "rights 0": (put(f"{MDM}.AccessRights", 0), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "rights negative": (put(f"{MDM}.AccessRights", -1), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "rights 8192": (put(f"{MDM}.AccessRights", 8192), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "rights 2 without 1": (put(f"{MDM}.AccessRights", 2), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "rights 128 without 64": (put(f"{MDM}.AccessRights", 129), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "rights true": (put(f"{MDM}.AccessRights", True), {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}),
    "identity of no payload": (
        put(f"{MDM}.IdentityCertificateUUID", "00000000-0000-4000-8000-00000000000F"),
        {("mdm.identity-reference", ERROR, f"{MDM}.IdentityCertificateUUID")},
    ),
    "identity is a root": (
        put(f"{MDM}.IdentityCertificateUUID", ROOT_UUID),
        {("mdm.identity-reference", ERROR, f"{MDM}.IdentityCertificateUUID")},
    ),
    "identity missing in MDM": (
        drop(f"{MDM}.IdentityCertificateUUID"),
        {("mdm.missing-key", ERROR, f"{MDM}.IdentityCertificateUUID")},
    ),
    "server pinned to no payload": (
        put(f"{MDM}.ServerURLPinningCertificateUUIDs", [ROOT_UUID, MDM_UUID]),
        {("mdm.pinning-reference", ERROR, f"{MDM}.ServerURLPinningCertificateUUIDs[1]")},
    ),
    "check-in pinned to the identity": (
        put(f"{MDM}.CheckInURLPinningCertificateUUIDs", [SCEP_UUID]),
        {("mdm.pinning-reference", ERROR, f"{MDM}.CheckInURLPinningCertificateUUIDs[0]")},
    ),
    "pinned to a text": (
        put(f"{MDM}.ServerURLPinningCertificateUUIDs", "x"),
        {("mdm.pinning-reference", ERROR, f"{MDM}.ServerURLPinningCertificateUUIDs[0]")},
    ),
    "two MDM payloads": (insert(3, SECOND_MDM), {("mdm.multiple", ERROR, "PayloadContent[3]")}),
    "capability twice": (
        put(f"{MDM}.ServerCapabilities", [PER_USER, PER_USER]),
        {("mdm.capabilities", ERROR, f"{MDM}.ServerCapabilities")},
    ),
    "capability unknown": (
        put(f"{MDM}.ServerCapabilities", [PER_USER, "com.apple.mdm.teleport"]),
        {("mdm.capabilities", ERROR, f"{MDM}.ServerCapabilities")},
    ),
    "capabilities a text": (
        put(f"{MDM}.ServerCapabilities", PER_USER),
        {("mdm.capabilities", ERROR, f"{MDM}.ServerCapabilities")},
    ),
    "no per-user connections": (
        put(f"{MDM}.ServerCapabilities", ["com.apple.mdm.token"]),
        {("mdm.no-per-user-connections", WARNING, f"{MDM}.ServerCapabilities")},
    ),
    "no capabilities": (
        drop(f"{MDM}.ServerCapabilities"),
        {("mdm.no-per-user-connections", WARNING, f"{MDM}.ServerCapabilities")},
    ),
    "messages signed": (put(f"{MDM}.SignMessage", True), {("mdm.sign-message-cost", INFO, f"{MDM}.SignMessage")}),
    "enrollment mode": (
        put(f"{MDM}.EnrollmentMode", "BYOD"),
        {("mdm.enrollment-mode", WARNING, f"{MDM}.EnrollmentMode")},
    ),
    "enrollment mode unknown": (
        put(f"{MDM}.EnrollmentMode", "byod"),
        {
            ("mdm.enrollment-mode", WARNING, f"{MDM}.EnrollmentMode"),
            ("profile.value", ERROR, f"{MDM}.EnrollmentMode"),
        },
    ),
    "assigned Apple account": (
        put(f"{MDM}.AssignedManagedAppleID", "a@example.com"),
        {("mdm.enrollment-mode", WARNING, f"{MDM}.AssignedManagedAppleID")},
    ),
    "required app": (
        put(f"{MDM}.RequiredAppIDForMDM", 361309726),
        {("mdm.enrollment-mode", WARNING, f"{MDM}.RequiredAppIDForMDM")},
    ),
    "removed account key": (
        put(f"{MDM}.ManagedAppleID", "a@example.com"),
        {("mdm.removed-key", WARNING, f"{MDM}.ManagedAppleID")},
    ),
    "user scope": (put("PayloadScope", "User"), {("profile.user-scope", WARNING, "PayloadScope")}),
    "scope unknown": (put("PayloadScope", "system"), {("profile.value", ERROR, "PayloadScope")}),
    "target device unknown": (put("TargetDeviceType", 7), {("profile.value", ERROR, "TargetDeviceType")}),
    "target device negative": (put("TargetDeviceType", -1), {("profile.value", ERROR, "TargetDeviceType")}),
    "profile of another type": (put("PayloadType", "Settings"), {("profile.value", ERROR, "PayloadType")}),
    "profile version 2": (put("PayloadVersion", 2), {("profile.value", ERROR, "PayloadVersion")}),
    "payload version 2": (put(f"{MDM}.PayloadVersion", 2), {("profile.value", ERROR, f"{MDM}.PayloadVersion")}),
    "profile without UUID": (drop("PayloadUUID"), {("profile.missing-key", ERROR, "PayloadUUID")}),
    "payload without identifier": (
        drop(f"{MDM}.PayloadIdentifier"),
        {("profile.missing-key", ERROR, f"{MDM}.PayloadIdentifier")},
    ),
    "payload identifier empty": (
        put(f"{MDM}.PayloadIdentifier", ""),
        {("profile.value", ERROR, f"{MDM}.PayloadIdentifier")},
    ),
    "payload version true": (put(f"{MDM}.PayloadVersion", True), {("profile.value", ERROR, f"{MDM}.PayloadVersion")}),
    "root without UUID": (
        both(
            drop("PayloadContent[0].PayloadUUID"),
            drop(f"{MDM}.ServerURLPinningCertificateUUIDs"),
            drop(f"{MDM}.CheckInURLPinningCertificateUUIDs"),
        ),
        {("profile.missing-key", ERROR, "PayloadContent[0].PayloadUUID")},
    ),
    "UUID twice": (put(f"{MDM}.PayloadUUID", ROOT_UUID), {("profile.duplicate-uuid", ERROR, f"{MDM}.PayloadUUID")}),
    "UUID of the profile": (
        put(f"{MDM}.PayloadUUID", "00000000-0000-4000-8000-000000000000"),
        {("profile.duplicate-uuid", ERROR, f"{MDM}.PayloadUUID")},
    ),
    "UUID twice in another case": (
        both(
            put("PayloadUUID", "AAAAAAAA-0000-4000-8000-000000000000"),
            put(f"{MDM}.PayloadUUID", "aaaaaaaa-0000-4000-8000-000000000000"),
        ),
        {("profile.duplicate-uuid", ERROR, f"{MDM}.PayloadUUID")},
    ),
    "identifier twice": (
        put(f"{MDM}.PayloadIdentifier", "com.example.mdm"),
        {("profile.duplicate-identifier", ERROR, f"{MDM}.PayloadIdentifier")},
    ),
    "root after MDM": (insert(3, SECOND_ROOT), {("profile.payload-order", WARNING, "PayloadContent[3]")}),
    "identity after MDM": (
        move(1, 2),
        {("profile.payload-order", WARNING, "PayloadContent[2]")},
    ),
    "no MDM payload": (drop(MDM), {("mdm.missing-key", ERROR, "PayloadContent")}),
    "no identity payload": (
        drop("PayloadContent[1]"),
        {
            ("identity.missing", ERROR, "PayloadContent"),
            ("mdm.identity-reference", ERROR, "PayloadContent[1].IdentityCertificateUUID"),
        },
    ),
    "SCEP keys in the payload itself": (
        put("PayloadContent[1].PayloadContent", "https://scep.example.com"),
        {("profile.missing-key", ERROR, SCEP)},
    ),
    "SCEP without content": (drop("PayloadContent[1].PayloadContent"), {("profile.missing-key", ERROR, SCEP)}),
    "SCEP URL missing": (drop(f"{SCEP}.URL"), {("scep.url", ERROR, f"{SCEP}.URL")}),
    "SCEP URL of another scheme": (
        put(f"{SCEP}.URL", "ldap://scep.example.com"),
        {("scep.url", ERROR, f"{SCEP}.URL")},
    ),
    "SCEP over http without fingerprint": (
        both(put(f"{SCEP}.URL", "http://scep.example.com"), drop(f"{SCEP}.CAFingerprint")),
        {("scep.no-fingerprint", WARNING, f"{SCEP}.URL")},
    ),
    "SCEP KeyType": (put(f"{SCEP}.KeyType", "RSA"), {("scep.misspelt-key", ERROR, f"{SCEP}.KeyType")}),
    "SCEP KeyUsage": (put(f"{SCEP}.KeyUsage", 5), {("scep.misspelt-key", ERROR, f"{SCEP}.KeyUsage")}),
    "SCEP KeySize": (put(f"{SCEP}.KeySize", 2048), {("scep.misspelt-key", ERROR, f"{SCEP}.KeySize")}),
    "SCEP key of 1024 bits": (put(f"{SCEP}.Keysize", 1024), {("scep.weak-key", WARNING, f"{SCEP}.Keysize")}),
    "SCEP key size absent": (drop(f"{SCEP}.Keysize"), {("scep.weak-key", WARNING, f"{SCEP}.Keysize")}),
    "SCEP key of 3072 bits": (put(f"{SCEP}.Keysize", 3072), {("scep.value", ERROR, f"{SCEP}.Keysize")}),
    "SCEP key of another type": (put(f"{SCEP}.Key Type", "EC"), {("scep.value", ERROR, f"{SCEP}.Key Type")}),
    "SCEP key usage 2": (put(f"{SCEP}.Key Usage", 2), {("scep.value", ERROR, f"{SCEP}.Key Usage")}),
    "SCEP retries negative": (put(f"{SCEP}.Retries", -1), {("scep.value", ERROR, f"{SCEP}.Retries")}),
    "SCEP retry delay a text": (put(f"{SCEP}.RetryDelay", "10"), {("scep.value", ERROR, f"{SCEP}.RetryDelay")}),
    "SCEP fingerprint SHA-256": (
        put(f"{SCEP}.CAFingerprint", bytes(32)),
        {("scep.value", ERROR, f"{SCEP}.CAFingerprint")},
    ),
    "SCEP fingerprint a text": (
        put(f"{SCEP}.CAFingerprint", "AB" * 20),
        {("scep.value", ERROR, f"{SCEP}.CAFingerprint")},
    ),
    "SCEP subject a text": (put(f"{SCEP}.Subject", "CN=device"), {("scep.value", ERROR, f"{SCEP}.Subject")}),
    "SCEP subject one level short": (
        put(f"{SCEP}.Subject", [["CN", "device"]]),
        {("scep.value", ERROR, f"{SCEP}.Subject")},
    ),
    "SCEP subject with a triple": (
        put(f"{SCEP}.Subject", [[["CN", "device", "x"]]]),
        {("scep.value", ERROR, f"{SCEP}.Subject")},
    ),
    "SCEP subject with an unknown type": (
        put(f"{SCEP}.Subject", [[["emailAddress", "a@example.com"]]]),
        {("scep.value", ERROR, f"{SCEP}.Subject")},
    ),
    "SCEP common name too long": (
        put(f"{SCEP}.Subject", [[["CN", LONG_NAME]]]),
        {("scep.common-name", WARNING, f"{SCEP}.Subject")},
    ),
    "SCEP common name too long by its OID": (
        put(f"{SCEP}.Subject", [[["2.5.4.3", "x" * 65]]]),
        {("scep.common-name", WARNING, f"{SCEP}.Subject")},
    ),
}


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_found_where_it_is_broken(change: Change, expected: set[tuple[str, Severity, str]]) -> None:
    """One thing wrong in a good profile gives exactly its finding, with its severity and path."""
    assert short(judged(enrollment(), change, judge_enrollment)) == expected


KEPT: dict[str, Change] = {
    "nothing changed": lambda _plist: None,
    "check-in URL absent": drop(f"{MDM}.CheckInURL"),
    "server URL with an address": put(f"{MDM}.ServerURL", "https://[2001:db8::1]:8443/mdm"),
    "topic of another kind": put(f"{MDM}.Topic", "com.apple.mgmt.XServer.1234"),
    "rights absent": drop(f"{MDM}.AccessRights"),
    "rights 1": put(f"{MDM}.AccessRights", 1),
    "rights 3": put(f"{MDM}.AccessRights", 3),
    "rights 192": put(f"{MDM}.AccessRights", 192),
    "pinning absent": both(
        drop(f"{MDM}.ServerURLPinningCertificateUUIDs"), drop(f"{MDM}.CheckInURLPinningCertificateUUIDs")
    ),
    "sign message absent": drop(f"{MDM}.SignMessage"),
    "scope absent": drop("PayloadScope"),
    "target device absent": drop("TargetDeviceType"),
    "any target device": put("TargetDeviceType", 0),
    "last target device": put("TargetDeviceType", 6),
    "other payload after MDM": insert(
        3, payload("com.apple.profileRemovalPassword", "00000000-0000-4000-8000-00000000000A")
    ),
    "SCEP over http with fingerprint": put(f"{SCEP}.URL", "http://scep.example.com"),
    "SCEP over https without fingerprint": drop(f"{SCEP}.CAFingerprint"),
    "SCEP fingerprint MD5": put(f"{SCEP}.CAFingerprint", bytes(16)),
    "SCEP key of 4096 bits": put(f"{SCEP}.Keysize", 4096),
    "SCEP defaults": both(
        *(drop(f"{SCEP}.{name}") for name in ("Key Type", "Key Usage", "Retries", "RetryDelay", "Subject"))
    ),
    "SCEP key usage none": put(f"{SCEP}.Key Usage", 0),
    "SCEP key usage encrypt": put(f"{SCEP}.Key Usage", 4),
    "SCEP subject with an OID": put(f"{SCEP}.Subject", [[["1.2.840.113549.1.9.1", "a@example.com"]]]),
    "SCEP several names in one": put(f"{SCEP}.Subject", [[["O", "Example Inc."], ["CN", "x" * 64]]]),
    "SCEP other name over 64 bytes": put(f"{SCEP}.Subject", [[["O", "x" * 65]]]),
    "PKCS#12 identity": put(
        "PayloadContent[1]", payload("com.apple.security.pkcs12", SCEP_UUID, PayloadContent=b"\x30")
    ),
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_a_profile_that_keeps_the_rules_has_no_finding(change: Change) -> None:
    """What Apple allows gives no finding at all, so that nobody learns to ignore them."""
    assert judged(enrollment(), change, judge_enrollment) == ()


def test_a_removed_account_key_makes_rights_not_matter() -> None:
    """Apple ignores AccessRights in user enrollment, so only the removed key itself is found."""
    change = both(put(f"{MDM}.ManagedAppleID", "a@example.com"), put(f"{MDM}.AccessRights", 2))
    assert [each.rule for each in judged(enrollment(), change, judge_enrollment)] == ["mdm.removed-key"]


def test_exactly_the_rights_that_apple_allows_are_accepted() -> None:
    """Of all numbers from 1 to 8191, those with 2 but not 1, or 128 but not 64, are refused, and no others."""
    refused = set()
    plist = enrollment() | {"PayloadContent": [mdm()]}
    for rights in range(1, 8192):
        plist["PayloadContent"][0]["AccessRights"] = rights
        if any(each.rule == "mdm.access-rights" for each in judge(Profile(plist))):
            refused.add(rights)
    assert refused == {n for n in range(1, 8192) if (n & 2 and not n & 1) or (n & 128 and not n & 64)}


@examples
@given(st.integers().filter(lambda number: not 0 < number < 8192))
def test_rights_outside_the_bits_are_refused(rights: int) -> None:
    """No number below 1 or above 8191 is a set of rights."""
    found = judged(enrollment(), put(f"{MDM}.AccessRights", rights), judge)
    assert short(found) == {("mdm.access-rights", ERROR, f"{MDM}.AccessRights")}


def test_only_an_enrollment_profile_must_hold_mdm_and_identity() -> None:
    """Any other profile is judged without asking for them."""
    plist = trust() | {"PayloadScope": "User"}
    assert judge(Profile(plist)) == ()
    assert {each.rule for each in judge_enrollment(Profile(plist))} == {"mdm.missing-key", "identity.missing"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(drop("PayloadContent"), id="absent"),
        pytest.param(put("PayloadContent", {"PayloadType": "com.apple.mdm"}), id="a dictionary"),
        pytest.param(put("PayloadContent", b"\x30"), id="data"),
        pytest.param(put("PayloadContent[0]", "junk"), id="with an entry that is no payload"),
    ],
)
def test_payloads_that_are_not_an_array_of_dictionaries_are_an_error(change: Change) -> None:
    """Apple requires the array; a device refuses the profile, so every judge says so."""
    plist = enrollment()
    found = [each for each in judged(plist, change, judge) if each.rule in {"profile.missing-key", "profile.value"}]
    assert [(each.severity, each.where[:14]) for each in found] == [(ERROR, "PayloadContent")]


@pytest.mark.parametrize(
    ("change", "judge_all", "found"),
    [
        pytest.param(
            put(f"{MDM}.Topic", "x"), judge, ("mdm.topic-prefix", "PayloadContent[3].Topic"), id="payloads of a type"
        ),
        pytest.param(
            drop(f"{MDM}.PayloadVersion"),
            judge,
            ("profile.missing-key", "PayloadContent[3].PayloadVersion"),
            id="all payloads",
        ),
        pytest.param(
            insert(3, SECOND_ROOT), judge, ("profile.payload-order", "PayloadContent[4]"), id="payloads after MDM"
        ),
        pytest.param(
            drop("PayloadContent[1]"), judge_trust_profile, ("trust.not-root", "PayloadContent[2]"), id="trust profile"
        ),
    ],
)
def test_paths_count_entries_that_are_no_payload(
    change: Change, judge_all: Callable[[Profile], tuple[Finding, ...]], found: tuple[str, str]
) -> None:
    """A path leads to the entry of the file that is meant, also where something else stands before it."""
    plist = enrollment()
    change(plist)
    assert found in {(each.rule, each.where) for each in judged(plist, insert(0, "junk"), judge_all)}


def test_an_encrypted_profile_needs_no_payloads() -> None:
    """Apple: with EncryptedPayloadContent the array is not needed."""
    change = both(drop("PayloadContent"), put("EncryptedPayloadContent", b"\x30"), put("IsEncrypted", True))
    assert judged(enrollment(), change, judge) == ()


def test_a_wrong_version_is_one_finding() -> None:
    """A version of the wrong type is not told twice."""
    found = judged(enrollment(), put("PayloadVersion", "1"), judge)
    assert len(found) == 1
    assert short(found) == {("profile.value", ERROR, "PayloadVersion")}


# ---------------------------------------------------------------- ACME

ACME = "PayloadContent[1]"


def acme_key(kind: str, size: int, *, bound: bool, attest: bool = False) -> Change:
    """A change to another kind of key."""
    return both(
        put(f"{ACME}.KeyType", kind),
        put(f"{ACME}.KeySize", size),
        put(f"{ACME}.HardwareBound", bound),
        put(f"{ACME}.Attest", attest),
    )


ACME_REQUIRED = ("DirectoryURL", "ClientIdentifier", "KeyType", "KeySize", "HardwareBound", "Subject")
ACME_BROKEN: dict[str, tuple[Change, tuple[str, str]]] = {
    **{f"{name} missing": (drop(f"{ACME}.{name}"), ("acme.value", f"{ACME}.{name}")) for name in ACME_REQUIRED},
    **{f"{name} a real": (put(f"{ACME}.{name}", 1.5), ("acme.value", f"{ACME}.{name}")) for name in ACME_REQUIRED},
    "client identifier empty": (put(f"{ACME}.ClientIdentifier", ""), ("acme.value", f"{ACME}.ClientIdentifier")),
    "directory over http": (
        put(f"{ACME}.DirectoryURL", "http://acme.example.com"),
        ("acme.url-scheme", f"{ACME}.DirectoryURL"),
    ),
    "usage flags 2": (put(f"{ACME}.UsageFlags", 2), ("acme.value", f"{ACME}.UsageFlags")),
    "extended usage by name": (
        put(f"{ACME}.ExtendedKeyUsage", ["1.3.6.1.5.5.7.3.2", "clientAuth"]),
        ("acme.value", f"{ACME}.ExtendedKeyUsage[1]"),
    ),
    "extended usage a number": (
        put(f"{ACME}.ExtendedKeyUsage", 7),
        ("acme.value", f"{ACME}.ExtendedKeyUsage[0]"),
    ),
    "extended usage one number": (
        put(f"{ACME}.ExtendedKeyUsage", ["1"]),
        ("acme.value", f"{ACME}.ExtendedKeyUsage[0]"),
    ),
    "subject not nested": (put(f"{ACME}.Subject", ["CN", "device"]), ("acme.value", f"{ACME}.Subject")),
    "subject of unknown type": (put(f"{ACME}.Subject", [[["UID", "x"]]]), ("acme.value", f"{ACME}.Subject")),
    "key of another type": (acme_key("Ed25519", 256, bound=False), ("acme.key", f"{ACME}.KeySize")),
    "RSA bound to hardware": (acme_key("RSA", 2048, bound=True), ("acme.key", f"{ACME}.KeySize")),
    "RSA below 1024": (acme_key("RSA", 1016, bound=False), ("acme.key", f"{ACME}.KeySize")),
    "RSA above 4096": (acme_key("RSA", 4104, bound=False), ("acme.key", f"{ACME}.KeySize")),
    "RSA no multiple of 8": (acme_key("RSA", 2047, bound=False), ("acme.key", f"{ACME}.KeySize")),
    "EC no curve": (acme_key("ECSECPrimeRandom", 255, bound=False), ("acme.key", f"{ACME}.KeySize")),
    "EC 192 bound to hardware": (acme_key("ECSECPrimeRandom", 192, bound=True), ("acme.key", f"{ACME}.KeySize")),
    "EC 521 bound to hardware": (acme_key("ECSECPrimeRandom", 521, bound=True), ("acme.key", f"{ACME}.KeySize")),
    "attested without hardware": (
        acme_key("ECSECPrimeRandom", 256, bound=False, attest=True),
        ("acme.key", f"{ACME}.Attest"),
    ),
}
ACME_KEPT: dict[str, Change] = {
    "as it is": lambda _plist: None,
    "least": both(*(drop(f"{ACME}.{name}") for name in ("Attest", "UsageFlags", "ExtendedKeyUsage"))),
    "subject empty": put(f"{ACME}.Subject", []),
    "RSA 1024": acme_key("RSA", 1024, bound=False),
    "RSA 2056": acme_key("RSA", 2056, bound=False),
    "RSA 4096": acme_key("RSA", 4096, bound=False),
    **{f"EC {size}": acme_key("ECSECPrimeRandom", size, bound=False) for size in (192, 256, 384, 521)},
    **{
        f"EC {size} bound and attested": acme_key("ECSECPrimeRandom", size, bound=True, attest=True)
        for size in (256, 384)
    },
}


@pytest.mark.parametrize(("change", "expected"), ACME_BROKEN.values(), ids=ACME_BROKEN)
def test_a_broken_acme_rule_is_found_where_it_is_broken(change: Change, expected: tuple[str, str]) -> None:
    """One thing wrong in a good ACME payload gives exactly its error, with its path."""
    rule, where = expected
    assert short(judged(enrollment(acme), change, judge_enrollment)) == {(rule, ERROR, where)}


@pytest.mark.parametrize("change", ACME_KEPT.values(), ids=ACME_KEPT)
def test_acme_keys_that_devices_make_have_no_finding(change: Change) -> None:
    """Every combination of FACTS that a device can make is accepted."""
    assert judged(enrollment(acme), change, judge_enrollment) == ()


def test_a_long_acme_common_name_is_a_warning() -> None:
    """A device cuts it after 64 bytes, whichever protocol asks for it."""
    found = judged(enrollment(acme), put(f"{ACME}.Subject", [[["CN", "x" * 65]]]), judge)
    assert [(each.severity, each.where) for each in found] == [(WARNING, f"{ACME}.Subject")]


# ---------------------------------------------------------------- trust profiles


def test_a_trust_profile_of_roots_has_no_finding() -> None:
    """Roots alone are what Apple asks for."""
    assert judged(trust(), insert(1, SECOND_ROOT), judge_trust_profile) == ()


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(payload("com.apple.security.pkcs1", MDM_UUID, PayloadContent=b""), id="intermediate"),
        pytest.param(mdm(), id="MDM"),
        pytest.param({name: value for name, value in mdm().items() if name != "PayloadType"}, id="without type"),
    ],
)
def test_anything_but_a_root_in_a_trust_profile_is_an_error(stranger: Plist) -> None:
    """Apple: a trust profile holds only root payloads."""
    found = judged(trust(), insert(1, stranger), judge_trust_profile)
    assert [(each.severity, each.where) for each in found if each.rule == "trust.not-root"] == [
        (ERROR, "PayloadContent[1]")
    ]


def test_an_empty_trust_profile_is_an_error() -> None:
    """Apple: never serve an empty trust profile."""
    found = judged(trust(), put("PayloadContent", []), judge_trust_profile)
    assert short(found) == {("trust.empty", ERROR, "PayloadContent")}


# ---------------------------------------------------------------- hostile property lists

WRONG: dict[str, Any] = {
    "an array": ["x"],
    "an array of arrays": [["x"]],
    "a dictionary": {"a": 1},
    "data": b"x",
    "a real": 1.5,
    "a date": datetime(2031, 1, 1, tzinfo=UTC),
    "a UID": plistlib.UID(1),
    "a negative number": -7,
    "true": True,
}
JUDGED_KEYS = {
    **dict.fromkeys(
        (
            "PayloadType",
            "PayloadIdentifier",
            "PayloadUUID",
            "PayloadVersion",
            "PayloadScope",
            "TargetDeviceType",
            "PayloadContent",
            "PayloadContent[0].PayloadUUID",
            "PayloadContent[0].PayloadIdentifier",
            "PayloadContent[1].PayloadUUID",
            "PayloadContent[1].PayloadVersion",
            SCEP,
            *(f"{SCEP}.{name}" for name in ("URL", "Keysize", "Key Type", "Key Usage", "Subject")),
            *(f"{SCEP}.{name}" for name in ("Retries", "RetryDelay", "CAFingerprint")),
            f"{MDM}.PayloadIdentifier",
            *(f"{MDM}.{name}" for name in ("IdentityCertificateUUID", "Topic", "ServerURL", "CheckInURL")),
            *(f"{MDM}.{name}" for name in ("AccessRights", "ServerCapabilities", "EnrollmentMode")),
            f"{MDM}.ServerURLPinningCertificateUUIDs",
            f"{MDM}.CheckInURLPinningCertificateUUIDs",
        ),
        scep,
    ),
    **dict.fromkeys(
        (
            *(f"{ACME}.{name}" for name in ("DirectoryURL", "ClientIdentifier", "KeyType", "KeySize")),
            *(f"{ACME}.{name}" for name in ("Subject", "UsageFlags", "ExtendedKeyUsage")),
        ),
        acme,
    ),
}


def wrong_values() -> list[Any]:
    """Every judged key with every value that cannot be right there."""
    return [
        pytest.param(path, identity, value, id=f"{path} {name}")
        for path, identity in JUDGED_KEYS.items()
        for name, value in WRONG.items()
    ]


@pytest.mark.parametrize(("path", "identity", "value"), wrong_values())
def test_a_value_of_the_wrong_type_is_an_error_at_its_key(
    path: str, identity: Callable[[], Plist], value: object
) -> None:
    """Other people's profiles hold anything; the rules say where, and never raise."""
    found = judged(enrollment(identity), put(path, value), judge_enrollment)
    assert any(each.severity is ERROR and each.where.startswith(path) for each in found)


def test_a_hardware_flag_of_the_wrong_type_is_an_error() -> None:
    """1 is a number to a device, not the boolean that the key needs."""
    found = judged(enrollment(acme), put(f"{ACME}.HardwareBound", 1), judge_enrollment)
    assert ("acme.value", ERROR, f"{ACME}.HardwareBound") in short(found)


KEYS = [
    *("PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion", "PayloadScope", "TargetDeviceType"),
    *("IdentityCertificateUUID", "Topic", "ServerURL", "CheckInURL", "AccessRights", "ServerCapabilities"),
    *("ServerURLPinningCertificateUUIDs", "SignMessage", "EnrollmentMode", "ManagedAppleID", "RequiredAppIDForMDM"),
    *("URL", "KeyType", "Keysize", "Key Type", "Key Usage", "CAFingerprint", "Retries", "Subject"),
    *("DirectoryURL", "ClientIdentifier", "KeySize", "HardwareBound", "Attest", "UsageFlags", "ExtendedKeyUsage"),
]
TYPES = ["com.apple.mdm", "com.apple.security.scep", "com.apple.security.acme", "com.apple.security.root"]
scalars = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.datetimes()
    | st.sampled_from([*TYPES, "https://[", "http://h", "RSA", "ECSECPrimeRandom", "CN", plistlib.UID(3)])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
payloads = st.fixed_dictionaries(
    {"PayloadType": st.sampled_from(TYPES) | anything},
    optional=dict.fromkeys((*KEYS[1:], "PayloadContent"), anything),
)


@settings(examples, max_examples=200)
@given(
    st.fixed_dictionaries(
        {"PayloadContent": st.lists(payloads | anything, max_size=4) | anything},
        optional=dict.fromkeys(KEYS[:6], anything),
    )
)
def test_rules_never_raise_on_any_property_list(plist: Plist) -> None:
    """Whatever a file holds, every judge answers with findings of the catalogue."""
    for judge_all in (judge, judge_enrollment, judge_trust_profile):
        for each in judge_all(Profile(plist)):
            assert RULES[each.rule].severity == each.severity


@pytest.mark.parametrize("key", ["ServerURL", "CheckInURL", "PayloadUUID", "PayloadIdentifier", "Topic"])
def test_rules_survive_values_nested_deeper_than_python_follows(key: str) -> None:
    """A few kilobytes of brackets are an error at their key, not a RecursionError."""
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep]
    found = judge(Profile(enrollment() | {"PayloadContent": [mdm() | {key: deep}]}))
    assert any(each.severity is ERROR and each.where == f"PayloadContent[0].{key}" for each in found)


@pytest.mark.parametrize("key", ["ServerURL", "PayloadUUID", "PayloadIdentifier"])
def test_a_message_does_not_repeat_a_value_of_any_size(key: str) -> None:
    """In a binary property list a few hundred bytes can stand for gigabytes; the report must stay readable."""
    bomb: Any = "lol"
    for _ in range(15):
        bomb = [bomb, bomb]
    plist = enrollment()
    plist["PayloadContent"][2][key] = bomb
    plist["PayloadContent"].append(plist["PayloadContent"][2])
    found = judge(parse(plistlib.dumps(plist, fmt=plistlib.FMT_BINARY)))
    assert found
    assert max(len(each.message) for each in found) < 1000


# ---------------------------------------------------------------- catalogue and findings

# INTERFACE.md, "Rule ids that scripts use": dates, chain, trust, profile, MDM and signing.
PROMISED = {
    "expiry.expired": "error",
    "expiry.before-replacement": "warning",
    "expiry.soon": "warning",
    "expiry.critical": "error",
    "expiry.identity-unknown": "info",
    "chain.incomplete": "error",
    "chain.leaf-in-trust": "error",
    "chain.duplicate": "info",
    "chain.unrelated": "warning",
    "trust.not-root": "error",
    "trust.empty": "error",
    "mdm.topic-prefix": "error",
    "mdm.url-scheme": "error",
    "mdm.access-rights": "error",
    "mdm.identity-reference": "error",
    "mdm.multiple": "error",
    "mdm.sign-message-cost": "info",
    "identity.shared": "warning",
    "profile.payload-order": "warning",
    "profile.duplicate-uuid": "error",
    "profile.duplicate-identifier": "error",
    "scep.misspelt-key": "error",
    "scep.weak-key": "warning",
    "signing.unsigned": "warning",
    "signing.key-mismatch": "error",
    "signing.chain-incomplete": "warning",
    "signature.invalid": "error",
    "signature.untrusted": "error",
    "signature.trust-not-judged": "info",
    "signature.weak-digest": "error",
}


@pytest.mark.parametrize(("rule", "severity"), PROMISED.items(), ids=PROMISED)
def test_a_promised_rule_has_its_promised_severity(rule: str, severity: str) -> None:
    """Scripts rely on the ids and the exit codes that the severities give."""
    assert RULES[rule].severity == severity
    assert finding(rule, "x").severity == severity


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_says_what_to_do_and_where_it_is_written(rule: str) -> None:
    """An id of area and name, a sentence, an advice, and a source: a URL, that it was observed, or that it is ours."""
    entry = RULES[rule]
    assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9-]+", rule)
    assert entry.severity in {"info", "warning", "error"}
    assert entry.about.endswith(".")
    assert entry.hint
    assert entry.source in {"observed", "mdmprofile"} or entry.source.startswith("https://")


def test_a_finding_takes_severity_hint_and_source_from_the_catalogue() -> None:
    """Two places that find the same thing say the same; what is particular can be said instead."""
    plain = finding("mdm.url-scheme", "not https", where="ServerURL")
    assert plain.as_dict() == {
        "rule": "mdm.url-scheme",
        "severity": "error",
        "message": "not https",
        "where": "ServerURL",
        "hint": RULES["mdm.url-scheme"].hint,
        "source": RULES["mdm.url-scheme"].source,
    }
    special = finding("mdm.url-scheme", "not https", hint="do this", severity=Severity.INFO)
    assert (special.hint, special.severity, special.where) == ("do this", Severity.INFO, "")


def test_a_rule_outside_the_catalogue_cannot_be_reported() -> None:
    """An undocumented rule is a mistake in the program."""
    with pytest.raises(KeyError):
        finding("mdm.invented", "x")


def test_findings_are_sorted_worst_first_without_repeats() -> None:
    """Errors, warnings, infos, each in the order found; the same finding is told once."""
    low, middle, high, other = (
        finding("chain.duplicate", "a"),
        finding("signing.unsigned", "b"),
        finding("mdm.multiple", "c"),
        finding("trust.empty", "d"),
    )
    assert by_severity([low, middle, high, low, other, high]) == (high, other, middle, low)


@pytest.mark.parametrize(
    ("rules", "expected", "rank"),
    [
        pytest.param((), None, None, id="none"),
        pytest.param(("chain.duplicate",), INFO, 0, id="info"),
        pytest.param(("chain.duplicate", "signing.unsigned"), WARNING, 1, id="warning"),
        pytest.param(("trust.empty", "signing.unsigned", "chain.duplicate"), ERROR, 2, id="error"),
    ],
)
def test_the_worst_finding_decides(rules: tuple[str, ...], expected: Severity | None, rank: int | None) -> None:
    """The exit code of a run is the rank of its worst finding."""
    found = [finding(rule, "x") for rule in rules]
    severity = worst(found)
    assert severity is expected
    assert has_errors(found) is (expected is ERROR)
    assert (severity.rank if severity else None) == rank


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://mdm.example.com", True),
        ("https://mdm.example.com:8443/mdm?a=b#c", True),
        ("https://10.0.0.1/", True),
        ("https://[2001:db8::1]/", True),
        ("HTTPS://mdm.example.com", False),
        ("http://mdm.example.com", False),
        ("https:/mdm.example.com", False),
        ("https://", False),
        ("https:///mdm", False),
        ("https://:8443/", False),
        ("https://user@/", False),
        ("https://mdm.example.com:99999/", False),
        ("https://mdm.example.com:https/", False),
        ("https://[2001:db8::1/", False),
        ("", False),
        (None, False),
        (b"https://mdm.example.com", False),
        (["https://mdm.example.com"], False),
    ],
    ids=repr,
)
def test_an_https_url_has_the_scheme_and_a_host(url: object, good: bool) -> None:
    """Apple's format is ^https://, in lower case; without a host nothing can be reached."""
    assert has_scheme(url, "https") is good


def test_one_of_several_schemes_is_enough() -> None:
    """SCEP may be http or https."""
    assert has_scheme("http://scep.example.com", "http", "https")
    assert not has_scheme("ftp://scep.example.com", "http", "https")
