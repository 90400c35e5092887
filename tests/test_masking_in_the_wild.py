"""What ``show`` hides in the payloads of agents, tunnels and mail, of Apple and of others."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from mdmprofile.masking import MASK, masked
from pki import ec_key, issue


def tunnel(key: str) -> str:
    """A WireGuard configuration as profiles carry it."""
    return f"[Interface]\nPrivateKey = {key}\nAddress = 10.0.0.2/32\n[Peer]\nPublicKey = cGVlcg==\nPresharedKey={key}\n"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("WgQuickConfig", tunnel("aGVsbG8="), tunnel(MASK)),
        ("AdditionalHttpHeaders", ["Authorization: Basic aGVsbG8="], [f"Authorization: {MASK}"]),
        ("AdditionalHttpHeaders", ["Cookie: session=1"], [f"Cookie: {MASK}"]),
        ("SoftwareRepoURL", "https://joe:hello@munki.example.com/", f"https://{MASK}@munki.example.com/"),
        ("WebhookURL", "https://example.com/?a=1&token=hello&b=2", f"https://example.com/?a=1&token={MASK}&b=2"),
        ("Endpoint", "sb://x/;SharedAccessKey=hello=;Path=y", f"sb://x/;SharedAccessKey={MASK};Path=y"),
        ("ConnectionString", "hello", MASK),
        ("InstallToken", "hello", MASK),
        ("provisioningToken", "hello", MASK),
        ("LicenseFile", b"hello", MASK.encode()),
        ("SharedSecret", b"hello", MASK.encode()),
        ("tls-auth", "-----BEGIN OpenVPN Static key V1-----\\nhello", MASK),
    ],
)
def test_secret_of_an_agent_or_a_tunnel_is_masked(name: str, value: Any, shown: Any) -> None:
    """Wherever tools put them, and only they: what stands beside them stays."""
    payload = {"PayloadType": "com.example", "Deep": [{name: value}]}
    assert masked(payload) == {"PayloadType": "com.example", "Deep": [{name: shown}]}


def test_private_key_is_masked_under_any_name() -> None:
    """OpenVPN's is in VendorConfig under key, as text; others are data."""
    pem = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    given = {"key": pem.decode().replace("\n", "\\n"), "Blob": pem}
    assert masked(given) == {"key": MASK, "Blob": MASK.encode()}


def test_pkcs12_is_masked_under_any_name() -> None:
    """Exchange's payload has one in Certificate."""
    entity = issue("Mail user")
    data = pkcs12.serialize_key_and_certificates(
        b"", entity.key, entity.certificate, None, BestAvailableEncryption(b"hello")
    )
    assert masked({"Certificate": data, "Other": entity.der}) == {"Certificate": MASK.encode(), "Other": entity.der}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CodeRequirement", 'identifier "com.example.agent" and certificate leaf[subject.OU] = ABCDE12345'),
        ("AuthenticationMethod", "Password"),
        ("URLs", ["https://example.com/oauth2/v1/token"]),
        ("TokenRemovalAction", 1),
        ("ServerCapabilities", ["com.apple.mdm.token"]),
        ("ServerURL", "https://mdm.example.com/mdm?reference=1"),
        ("Certificate", b"\x30\x03\x02\x01\x01"),
        ("PayloadDescription", "Ask the help desk for your password: it is not in this profile."),
    ],
)
def test_what_is_no_secret_is_shown(name: str, value: Any) -> None:
    """A mask where nothing is secret makes people use --reveal."""
    assert masked({name: value}) == {name: value}


def test_long_text_is_masked_in_time_that_grows_with_its_length() -> None:
    """A profile can hold one text of many megabytes."""
    import time  # noqa: PLC0415 - here alone

    def seconds(size: int) -> float:
        text = "secretpassword" * (size // 14) + "=" + ":" * 3
        before = time.process_time()
        masked({"Text": text})
        return time.process_time() - before

    assert seconds(4_000_000) < 20 * max(seconds(400_000), 0.01)
