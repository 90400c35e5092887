"""Apple's payloads: every key under its exact name, with its exact property-list type, and no secret in sight."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from typing import Any

import pytest

from mdmprofile.payloads.acme import AcmePayload
from mdmprofile.payloads.base import Payload
from mdmprofile.payloads.certificates import PemPayload, Pkcs1Payload, RootPayload
from mdmprofile.payloads.mdm import CAPABILITIES, AccessRights, MdmPayload, right_names
from mdmprofile.payloads.names import SubjectAltName
from mdmprofile.payloads.pkcs12 import Pkcs12Payload
from mdmprofile.payloads.removal import RemovalPasswordPayload
from mdmprofile.payloads.scep import ScepPayload
from mdmprofile.profile import Profile, TopLevel
from pki import TOPIC

UUID = "11111111-2222-4333-8444-555555555555"
OTHER_UUID = "66666666-7777-4888-9999-AAAAAAAAAAAA"

COMMON: dict[str, Any] = {"identifier": "com.example.payload", "uuid": UUID}
COMMON_TEXTS: dict[str, Any] = {"display_name": "Shown", "description": "Longer", "organization": "Example Inc."}


def apple(payload_type: str, *, texts: bool, **keys: Any) -> dict[str, Any]:
    """The dictionary that Apple documents: the common keys of ``COMMON`` and these."""
    common = {
        "PayloadType": payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": "com.example.payload",
        "PayloadUUID": UUID,
    }
    shown = {"PayloadDisplayName": "Shown", "PayloadDescription": "Longer", "PayloadOrganization": "Example Inc."}
    return common | (shown if texts else {}) | keys


def typed(value: Any) -> Any:
    """The value with the type of every part spelled out, so that true is not 1 and 1 is not 1.0."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value).__name__, value


def written(payload: Payload) -> bytes:
    """A profile of this payload alone, as property-list bytes."""
    return Profile.assemble(TopLevel(identifier="com.example", uuid=OTHER_UUID), (payload,)).to_bytes()


def content(data: bytes) -> dict[str, Any]:
    """The one payload of a profile."""
    (payload,) = plistlib.loads(data)["PayloadContent"]
    assert isinstance(payload, dict)
    return payload


CERTIFICATE_KEYS = {"PayloadContent": b"\x30\x00\xff", "PayloadCertificateFileName": "root.cer"}
SUBJECT_ALT_NAME = SubjectAltName(
    rfc822_name="a@example.com",
    dns_name="a.example.com",
    uri="https://example.com/a",
    nt_principal_name="EXAMPLE\\a",
)
SUBJECT_ALT_NAME_KEYS = {
    "rfc822Name": "a@example.com",
    "dNSName": "a.example.com",
    "uniformResourceIdentifier": "https://example.com/a",
    "ntPrincipalName": "EXAMPLE\\a",
}

FULL: dict[str, tuple[Payload, dict[str, Any]]] = {
    "root": (
        RootPayload(**COMMON, **COMMON_TEXTS, data=b"\x30\x00\xff", file_name="root.cer"),
        apple("com.apple.security.root", texts=True, **CERTIFICATE_KEYS),
    ),
    "pkcs1": (
        Pkcs1Payload(**COMMON, **COMMON_TEXTS, data=b"\x30\x00\xff", file_name="root.cer"),
        apple("com.apple.security.pkcs1", texts=True, **CERTIFICATE_KEYS),
    ),
    "pem": (
        PemPayload(**COMMON, **COMMON_TEXTS, data=b"\x30\x00\xff", file_name="root.cer"),
        apple("com.apple.security.pem", texts=True, **CERTIFICATE_KEYS),
    ),
    "scep": (
        ScepPayload(
            **COMMON,
            **COMMON_TEXTS,
            url="https://scep.example.com/scep",
            name="CA",
            subject=(("O", "Example Inc."), ("1.2.840.113549.1.9.1", "a@example.com"), ("CN", "device")),
            challenge="open-sesame",
            key_size=4096,
            key_type="RSA",
            key_usage=5,
            ca_fingerprint=bytes(range(20)),
            retries=7,
            retry_delay=60,
            subject_alt_name=SUBJECT_ALT_NAME,
            key_is_extractable=True,
            allow_all_apps_access=True,
        ),
        apple(
            "com.apple.security.scep",
            texts=True,
            PayloadContent={
                "URL": "https://scep.example.com/scep",
                "Name": "CA",
                "Subject": [[["O", "Example Inc."]], [["1.2.840.113549.1.9.1", "a@example.com"]], [["CN", "device"]]],
                "Challenge": "open-sesame",
                "Keysize": 4096,
                "Key Type": "RSA",
                "Key Usage": 5,
                "CAFingerprint": bytes(range(20)),
                "Retries": 7,
                "RetryDelay": 60,
                "SubjectAltName": SUBJECT_ALT_NAME_KEYS,
                "KeyIsExtractable": True,
                "AllowAllAppsAccess": True,
            },
        ),
    ),
    "acme": (
        AcmePayload(
            **COMMON,
            **COMMON_TEXTS,
            directory_url="https://acme.example.com/directory",
            client_identifier="once-only",
            subject=(("O", "Example Inc."), ("CN", "device")),
            key_type="ECSECPrimeRandom",
            key_size=256,
            hardware_bound=True,
            attest=True,
            subject_alt_name=SUBJECT_ALT_NAME,
            usage_flags=5,
            extended_key_usage=("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"),
            key_is_extractable=False,
            allow_all_apps_access=True,
        ),
        apple(
            "com.apple.security.acme",
            texts=True,
            DirectoryURL="https://acme.example.com/directory",
            ClientIdentifier="once-only",
            Subject=[[["O", "Example Inc."]], [["CN", "device"]]],
            KeyType="ECSECPrimeRandom",
            KeySize=256,
            HardwareBound=True,
            Attest=True,
            SubjectAltName=SUBJECT_ALT_NAME_KEYS,
            UsageFlags=5,
            ExtendedKeyUsage=["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"],
            KeyIsExtractable=False,
            AllowAllAppsAccess=True,
        ),
    ),
    "pkcs12": (
        Pkcs12Payload(
            **COMMON,
            **COMMON_TEXTS,
            data=b"\x30\x01\x00",
            file_name="device.p12",
            password="p12-secret",
            allow_all_apps_access=True,
            key_is_extractable=True,
        ),
        apple(
            "com.apple.security.pkcs12",
            texts=True,
            PayloadContent=b"\x30\x01\x00",
            PayloadCertificateFileName="device.p12",
            Password="p12-secret",
            AllowAllAppsAccess=True,
            KeyIsExtractable=True,
        ),
    ),
    "mdm": (
        MdmPayload(
            **COMMON,
            **COMMON_TEXTS,
            identity_certificate_uuid=OTHER_UUID,
            topic=TOPIC,
            server_url="https://mdm.example.com/mdm?tenant=1",
            checkin_url="https://mdm.example.com/checkin",
            access_rights=8191,
            server_capabilities=("com.apple.mdm.per-user-connections", "com.apple.mdm.token"),
            sign_message=True,
            check_out_when_removed=True,
            use_development_apns=True,
            managed_apple_id="old@example.com",
            assigned_managed_apple_id="a@example.com",
            enrollment_mode="BYOD",
            required_app_id=361309726,
            server_pinning_uuids=(UUID, OTHER_UUID),
            checkin_pinning_uuids=(OTHER_UUID,),
            pinning_revocation_check_required=True,
            prompt_for_bootstrap_token=True,
        ),
        apple(
            "com.apple.mdm",
            texts=True,
            IdentityCertificateUUID=OTHER_UUID,
            Topic=TOPIC,
            ServerURL="https://mdm.example.com/mdm?tenant=1",
            CheckInURL="https://mdm.example.com/checkin",
            AccessRights=8191,
            ServerCapabilities=["com.apple.mdm.per-user-connections", "com.apple.mdm.token"],
            SignMessage=True,
            CheckOutWhenRemoved=True,
            UseDevelopmentAPNS=True,
            ManagedAppleID="old@example.com",
            AssignedManagedAppleID="a@example.com",
            EnrollmentMode="BYOD",
            RequiredAppIDForMDM=361309726,
            ServerURLPinningCertificateUUIDs=[UUID, OTHER_UUID],
            CheckInURLPinningCertificateUUIDs=[OTHER_UUID],
            PinningRevocationCheckRequired=True,
            PromptUserToAllowBootstrapTokenForAuthentication=True,
        ),
    ),
    "removal password": (
        RemovalPasswordPayload(**COMMON, **COMMON_TEXTS, password="let-me-out"),
        apple("com.apple.profileRemovalPassword", texts=True, RemovalPassword="let-me-out"),
    ),
}

LEAST: dict[str, tuple[Payload, dict[str, Any]]] = {
    "root": (
        RootPayload(**COMMON, data=b"\x30"),
        apple("com.apple.security.root", texts=False, PayloadContent=b"\x30"),
    ),
    "pkcs1": (
        Pkcs1Payload(**COMMON, data=b"\x30"),
        apple("com.apple.security.pkcs1", texts=False, PayloadContent=b"\x30"),
    ),
    "pem": (
        PemPayload(**COMMON, data=b"\x30"),
        apple("com.apple.security.pem", texts=False, PayloadContent=b"\x30"),
    ),
    # Apple's own defaults are a 1024-bit key without a use that anybody may export: ours are written out.
    "scep": (
        ScepPayload(**COMMON, url="https://scep.example.com"),
        apple(
            "com.apple.security.scep",
            texts=False,
            PayloadContent={
                "URL": "https://scep.example.com",
                "Keysize": 2048,
                "Key Type": "RSA",
                "Key Usage": 5,
                "KeyIsExtractable": False,
            },
        ),
    ),
    "acme": (
        AcmePayload(**COMMON, directory_url="https://a.example.com", client_identifier="x", subject=()),
        apple(
            "com.apple.security.acme",
            texts=False,
            DirectoryURL="https://a.example.com",
            ClientIdentifier="x",
            Subject=[],
            KeyType="ECSECPrimeRandom",
            KeySize=384,
            HardwareBound=True,
            Attest=False,
            KeyIsExtractable=False,
        ),
    ),
    "pkcs12": (
        Pkcs12Payload(**COMMON, data=b"\x30"),
        apple("com.apple.security.pkcs12", texts=False, PayloadContent=b"\x30", KeyIsExtractable=False),
    ),
    "mdm": (
        MdmPayload(**COMMON, identity_certificate_uuid=OTHER_UUID, topic=TOPIC, server_url="https://mdm.example.com"),
        apple(
            "com.apple.mdm",
            texts=False,
            IdentityCertificateUUID=OTHER_UUID,
            Topic=TOPIC,
            ServerURL="https://mdm.example.com",
            AccessRights=8191,
            CheckOutWhenRemoved=True,
        ),
    ),
    "removal password": (
        RemovalPasswordPayload(**COMMON, password="x"),
        apple("com.apple.profileRemovalPassword", texts=False, RemovalPassword="x"),
    ),
}


@pytest.mark.parametrize(("payload", "expected"), FULL.values(), ids=FULL)
def test_every_key_of_a_payload_has_apples_name_and_type(
    payload: Payload, expected: dict[str, Any], plistutil: Callable[[bytes], bytes]
) -> None:
    """Two parsers read every key of Apple's schema with the value given and the type Apple asks for."""
    data = written(payload)
    assert typed(content(data)) == typed(expected)
    assert typed(content(plistutil(data))) == typed(expected)


@pytest.mark.parametrize(("payload", "expected"), LEAST.values(), ids=LEAST)
def test_a_key_without_a_value_is_left_out_and_safe_defaults_are_written(
    payload: Payload, expected: dict[str, Any], plistutil: Callable[[bytes], bytes]
) -> None:
    """Nothing but the required keys and the defaults that protect a device's key stands in the payload."""
    data = written(payload)
    assert typed(content(data)) == typed(expected)
    assert typed(content(plistutil(data))) == typed(expected)


def test_scep_asks_for_several_alternative_names_as_an_array() -> None:
    """A name given twice becomes an array of strings, a single one stays a string."""
    names = SubjectAltName(dns_name=("a.example.com", "b.example.com"), uri="https://example.com")
    payload = ScepPayload(**COMMON, url="https://scep.example.com", subject_alt_name=names)
    assert content(written(payload))["PayloadContent"]["SubjectAltName"] == {
        "dNSName": ["a.example.com", "b.example.com"],
        "uniformResourceIdentifier": "https://example.com",
    }


def test_an_empty_scep_subject_is_left_out() -> None:
    """Apple's key is optional; an empty array is no name."""
    payload = ScepPayload(**COMMON, url="https://scep.example.com", subject=())
    assert "Subject" not in payload.as_plist()["PayloadContent"]


@pytest.mark.parametrize(
    ("payload", "secret"),
    [
        pytest.param(FULL["scep"][0], "open-sesame", id="scep challenge"),
        pytest.param(FULL["acme"][0], "once-only", id="acme client identifier"),
        pytest.param(FULL["pkcs12"][0], "p12-secret", id="pkcs12 password"),
        pytest.param(FULL["pkcs12"][0], "x01", id="pkcs12 data"),
        pytest.param(FULL["removal password"][0], "let-me-out", id="removal password"),
    ],
)
def test_a_payload_never_shows_its_secret(payload: Payload, secret: str) -> None:
    """What lands in a traceback or a log is the repr, so the secret is not in it."""
    assert secret not in repr(payload)
    assert "com.example.payload" in repr(payload)


def test_access_rights_have_apples_bits_and_names() -> None:
    """A config names the rights by these words, lowest bit first; together they are 8191."""
    rights = dict(zip(right_names(), AccessRights, strict=True))
    assert {name: int(right) for name, right in rights.items()} == {
        "inspect-profiles": 1,
        "install-profiles": 2,
        "lock-and-passcode": 4,
        "erase": 8,
        "device-information": 16,
        "network-information": 32,
        "inspect-provisioning-profiles": 64,
        "install-provisioning-profiles": 128,
        "inspect-apps": 256,
        "restrictions": 512,
        "security": 1024,
        "settings": 2048,
        "manage-apps": 4096,
    }
    assert sum(AccessRights) == 8191


def test_capabilities_are_apples_three() -> None:
    """The short words of a config stand for the strings that devices compare."""
    assert CAPABILITIES == {
        "per-user-connections": "com.apple.mdm.per-user-connections",
        "bootstraptoken": "com.apple.mdm.bootstraptoken",
        "token": "com.apple.mdm.token",
    }
