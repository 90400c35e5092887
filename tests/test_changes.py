"""What changes between two profiles, and what is never shown of it."""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import Any

import pytest

from mdmprofile.changes import Changes, find_changes
from mdmprofile.replacement import compare
from mdmprofile.reports.model import View
from mdmprofile.reports.plain import render
from mdmprofile.reports.replacement import as_dict, sections
from mdmprofile.values import as_text, same
from mdmprofile.values import changed as changed_text
from pki import NOW, ec_key, intermediate_ca, issue, root_ca
from replacing import (
    ACME,
    CHALLENGE,
    MDM,
    PEM,
    PKCS1,
    PKCS12,
    ROOT,
    SCEP,
    Change,
    Plist,
    as_profile,
    changed,
    made,
    mdm,
    payload,
    plist,
    scep,
    usual,
    uuid,
)

ROOT_CA = root_ca()
OLD = usual(ROOT_CA)
PASSWORD = "hunter2-passphrase"


def found(old: Plist, new: Plist) -> Changes:
    """The changes between two property lists."""
    return find_changes(as_profile(old), as_profile(new))


def states(changes: Changes) -> list[tuple[str, str]]:
    """State and type of every payload."""
    return [(each.state, each.kind) for each in changes.payloads]


# --- payloads -------------------------------------------------------------------------------------------------------


def test_payloads_are_told_apart_by_identifier_and_uuid() -> None:
    """Both stay: kept or updated. One changes: the old is removed and the new added."""
    assert states(found(OLD, OLD)) == [("kept", ROOT), ("kept", SCEP), ("kept", MDM)]
    new = changed(OLD, lambda each: payload(each, MDM).update(SignMessage=True))
    changes = found(OLD, new)
    assert states(changes) == [("kept", ROOT), ("kept", SCEP), ("updated", MDM)]
    assert changes.payloads[2].keys == (("SignMessage", None, "true"),)
    for other in ({"PayloadUUID": uuid(9)}, {"PayloadIdentifier": "other"}):
        renamed = copy.deepcopy(OLD)
        payload(renamed, SCEP).update(other)
        assert states(found(OLD, renamed)) == [("kept", ROOT), ("added", SCEP), ("kept", MDM), ("removed", SCEP)]


def test_where_is_the_path_in_the_profile_that_has_the_payload() -> None:
    """The new one's, and the old one's for what is removed."""
    new = changed(OLD, lambda each: each["PayloadContent"].pop(0))
    changes = found(OLD, new)
    assert [(each.state, each.where) for each in changes.payloads] == [
        ("kept", "PayloadContent[0]"),
        ("kept", "PayloadContent[1]"),
        ("removed", "PayloadContent[0]"),
    ]


def test_payloads_without_a_name_are_kept_where_they_stood() -> None:
    """No device updates them, but what did not change did not change."""
    nameless = changed(OLD, lambda each: payload(each, SCEP).pop("PayloadUUID"))
    assert states(found(nameless, nameless))[1] == ("kept", SCEP)
    other = changed(nameless, lambda each: payload(each, SCEP)["PayloadContent"].update(Keysize=4096))
    assert states(found(nameless, other)) == [("kept", ROOT), ("added", SCEP), ("kept", MDM), ("removed", SCEP)]


def test_two_payloads_of_one_name_are_two() -> None:
    """Devices refuse that, but nothing may be lost from the report."""
    twice = changed(OLD, lambda each: each["PayloadContent"].append(scep()))
    assert states(found(twice, OLD))[-1] == ("removed", SCEP)
    assert states(found(OLD, twice))[-1] == ("added", SCEP)


def test_keys_of_the_profile_itself() -> None:
    """What a user sees, whether it may be removed, and its UUID."""
    new = changed(
        OLD, lambda each: each.update(PayloadRemovalDisallowed=True, PayloadUUID=uuid(5), ConsentText={"a": "b"})
    )
    assert {each.key: (each.old, each.new) for each in found(OLD, new).top} == {
        "PayloadRemovalDisallowed": (None, "true"),
        "PayloadUUID": (uuid(0), uuid(5)),
        "ConsentText": (None, None),
    }


# --- secrets --------------------------------------------------------------------------------------------------------

SECRET = plist(
    made(PKCS12, 1, PayloadContent=b"\x30" + PASSWORD.encode(), Password=PASSWORD),
    scep(Challenge=CHALLENGE),
    made(ACME, 4, ClientIdentifier=CHALLENGE, DirectoryURL=f"https://{PASSWORD}@a.example/{PASSWORD}?{PASSWORD}"),
    made("com.apple.profileRemovalPassword", 5, RemovalPassword=PASSWORD),
    made("com.apple.wifi.managed", 6, Password=PASSWORD, EAPClientConfiguration={"UserPassword": PASSWORD}),
    mdm(IdentityCertificateUUID=uuid(2)),
    Unknown=PASSWORD,
)  # fmt: skip


def _other_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _other_secrets(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_other_secrets(each) for each in value]
    for secret in (PASSWORD, CHALLENGE):
        if isinstance(value, str):
            value = value.replace(secret, secret[::-1])
        elif isinstance(value, bytes):
            value = value.replace(secret.encode(), secret[::-1].encode())
    return value


@pytest.mark.parametrize("direction", ["changed", "added", "removed", "moved"])
def test_no_secret_is_in_any_report(direction: str) -> None:
    """Passwords, challenges and PKCS#12 contents are named when they change, never shown, in whatever payload."""
    old, new = SECRET, _other_secrets(SECRET)
    if direction == "added":
        old = plist(mdm())
    elif direction == "removed":
        new = plist(mdm())
    elif direction == "moved":
        # A payload that became an MDM payload shows no key that only MDM payloads may show.
        new = changed(SECRET, lambda each: payload(each, PKCS12).update(PayloadType=MDM, ServerURL="https://x"))
        old = changed(SECRET, lambda each: payload(each, PKCS12).update(ServerURL=PASSWORD))
    result = compare(as_profile(old), as_profile(new))
    texts = (
        repr(result),
        json.dumps(as_dict(result)),
        render(View(now=NOW, findings=result.findings, sections=sections(result))),
    )
    for text in texts:
        for secret in (PASSWORD, CHALLENGE, PASSWORD[::-1], CHALLENGE[::-1]):
            assert secret not in text
    if direction == "changed":
        keys = {key for each in as_dict(result)["changes"]["payloads"] for key in each["keys"]}
        assert {
            "PayloadContent.Challenge",
            "PayloadContent",
            "Password",
            "ClientIdentifier",
            "RemovalPassword",
            "EAPClientConfiguration.UserPassword",
        } <= keys
        assert "PayloadContent.Challenge changed" in texts[2]


# --- certificates ---------------------------------------------------------------------------------------------------


def test_certificates_come_and_leave_by_fingerprint() -> None:
    """Whatever payload holds them, PEM or DER; the report has role, name, end and fingerprint."""
    below, renewed = intermediate_ca(ROOT_CA), intermediate_ca(ROOT_CA)
    old = plist(made(ROOT, 1, PayloadContent=ROOT_CA.der), made(PKCS1, 2, PayloadContent=below.der))
    new = plist(made(PEM, 1, PayloadContent=ROOT_CA.pem), made(PEM, 3, PayloadContent=renewed.pem))
    result = compare(as_profile(old), as_profile(new))
    assert [(each["state"], each["role"], each["sha256"]) for each in as_dict(result)["changes"]["certificates"]] == [
        ("leaving", "intermediate", below.sha256),
        ("coming", "intermediate", renewed.sha256),
    ]
    text = render(View(now=NOW, sections=sections(result)))
    assert f"- intermediate  Test Intermediate  ends 2036-02-28  sha256 {below.sha256}" in text
    assert f"+ intermediate  Test Intermediate  ends 2036-02-28  sha256 {renewed.sha256}" in text


# --- the identity ---------------------------------------------------------------------------------------------------

KEY = ec_key()
DEVICE, DEVICE_2 = issue("Device", ROOT_CA, key=KEY), issue("Device", ROOT_CA, key=KEY)
FILE, AGAIN, OTHER = DEVICE.p12(PASSWORD), DEVICE.p12(PASSWORD), DEVICE_2.p12(PASSWORD)


def p12(content: object, **keys: object) -> Plist:
    """A profile with a PKCS#12 identity."""
    return plist(made(PKCS12, 2, PayloadContent=content, **keys), mdm())


def acme(**keys: object) -> Plist:
    """A profile with an ACME identity."""
    return plist(made(ACME, 2, DirectoryURL="https://a", ClientIdentifier="x", **keys), mdm())


OPEN = {"Password": PASSWORD}


@pytest.mark.parametrize(
    ("old", "new", "issued", "words"),
    [
        pytest.param(OLD, OLD, True, "over SCEP again, even where nothing changed", id="scep"),
        pytest.param(acme(), acme(), True, "over ACME again", id="acme"),
        pytest.param(OLD, acme(), True, "over ACME, instead of SCEP", id="scep-to-acme"),
        pytest.param(OLD, p12(FILE, **OPEN), True, "PKCS#12 instead of SCEP", id="scep-to-pkcs12"),
        pytest.param(p12(FILE, **OPEN), OLD, True, "over SCEP, instead of PKCS#12", id="pkcs12-to-scep"),
        pytest.param(p12(FILE), p12(FILE), False, "is the same", id="same-file-without-password"),
        pytest.param(p12(FILE, **OPEN), p12(AGAIN, **OPEN), False, "with the same certificate", id="exported-again"),
        pytest.param(p12(FILE, **OPEN), p12(OTHER, **OPEN), True, "another certificate", id="other-certificate"),
        pytest.param(p12(FILE), p12(OTHER), None, "does not open", id="no-password"),
        pytest.param(p12(FILE, Password="no"), p12(OTHER, Password=7), None, "does not open", id="wrong-password"),
        pytest.param(p12("text"), p12(b"x"), None, "does not open", id="no-pkcs12"),
        pytest.param(OLD, plist(mdm()), None, "no identity", id="none-left"),
    ],
)
def test_whether_the_device_gets_another_certificate(old: Plist, new: Plist, issued: bool | None, words: str) -> None:
    """SCEP and ACME enroll with each installation; a PKCS#12 brings what it holds."""
    identity = found(old, new).identity
    assert identity is not None
    assert (identity.issued, words in identity.why) == (issued, True), identity.why


def test_the_identity_of_a_pkcs12_is_among_the_certificates_that_come_and_leave() -> None:
    """With its fingerprint, so that the server's pins can be looked up."""
    changes = found(p12(FILE, **OPEN), p12(OTHER, **OPEN)).certificates
    assert [(each.state, each.held.role, each.held.certificate.sha256) for each in changes] == [
        ("leaving", "identity", DEVICE.sha256),
        ("coming", "identity", DEVICE_2.sha256),
    ]


def test_the_identity_is_the_one_that_mdm_names() -> None:
    """A second SCEP payload is Wi-Fi's business."""
    wifi = made(ACME, 8)
    both = changed(OLD, lambda each: each["PayloadContent"].insert(0, wifi))
    identity = found(both, both).identity
    assert identity is not None
    assert (identity.old_kind, identity.kind, identity.where) == ("SCEP", "SCEP", "PayloadContent[2]")
    assert found(plist(wifi, scep()), plist(wifi, scep())).identity is None


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        ("1", 1, False),
        (b"a", "a", False),
        (float("nan"), float("nan"), True),
        ([1, [2]], [1, [2]], True),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        (datetime(2031, 1, 1), datetime(2031, 1, 1), True),  # noqa: DTZ001 - as property lists have them
    ],
)
def test_values_are_the_same_with_their_types(old: object, new: object, expected: bool) -> None:
    """A device that expects a boolean does not read an integer."""
    assert same(old, new) is same(new, old) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("x" * 200, "x" * 120 + "..."),
        (2**64, "a number of more than 64 bits"),
        (1.5, "1.5"),
        (datetime(2031, 1, 1), "2031-01-01T00:00:00Z"),  # noqa: DTZ001
        (["a", "b"], "a, b"),
        ([], "an empty list"),
        ([1], None),
        ({}, None),
        (b"x", None),
    ],
)
def test_simple_values_are_shown(value: object, text: str | None) -> None:
    """Whatever else there is has no short text."""
    assert as_text(value) == text


def test_long_texts_are_quoted_where_they_part() -> None:
    """Also when one of them only goes on."""
    start = "a" * 300
    assert changed_text(start, f"{start}b").count("b") == 2  # in "behind", too
    assert "'b" in changed_text("b" * 300, "c" * 300)


def changes_of(change: Change) -> Changes:
    """What a change of the usual profile comes to."""
    return found(OLD, changed(OLD, change))


def test_rights_are_named() -> None:
    """Added and dropped, lowest bit first."""
    changes = changes_of(lambda each: payload(each, MDM).update(AccessRights=8191 - 8 - 4 + 8192))
    assert (changes.rights_added, changes.rights_dropped) == (("bit 8192",), ("lock-and-passcode", "erase"))
