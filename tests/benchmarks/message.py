"""The verification of a message against one raw RSA-2048 verification, in the same process and turn by turn.

    python tests/benchmarks/message.py [ROUNDS]

A header as macOS sends it: BER, SHA-1, no signed attributes, a body of 500 bytes. Once each certificate is seen for
the first time, once it is known; and as part of a server's whole judgement, trust included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.message import verify_mdm_signature
from mdmprofile.message_signing import sign_mdm_message

BATCH = 200
WANTED_FIRST, WANTED_KNOWN = 3.7, 3.0


def main() -> None:
    """Print the medians of the ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    now = datetime.now(UTC)
    ca_key = rsa.generate_private_key(65537, 2048)
    device_key = rsa.generate_private_key(65537, 2048)
    authority = certificate("Device CA", ca_key, ca_key, now, ca=True)
    body = (b"<?xml version='1.0'?><plist><dict><key>UDID</key><string>1</string></dict></plist>" * 7)[:500]
    raw_signature = device_key.sign(body, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what devices use
    public, scheme, digest = device_key.public_key(), padding.PKCS1v15(), hashes.SHA1()  # noqa: S303
    trust = DeviceTrust([Certificate(authority.public_bytes(Encoding.DER))])
    ratios: dict[str, list[float]] = {"first": [], "known": [], "trusted": []}
    raw = []
    for number in range(rounds):
        print(f"\r{number + 1} of {rounds}", end="", file=sys.stderr)
        headers = [
            sign_mdm_message(body, Identity(Certificate(each.public_bytes(Encoding.DER)), device_key))
            for each in (
                certificate(f"Device {number}-{one}", device_key, ca_key, now, issuer=authority) for one in range(BATCH)
            )
        ]
        base = seconds(lambda: public.verify(raw_signature, body, scheme, digest), BATCH)
        fresh = iter(headers)
        first = seconds(lambda: verify_mdm_signature(next(fresh), body), BATCH)  # noqa: B023
        known = seconds(lambda: verify_mdm_signature(headers[0], body), BATCH)  # noqa: B023
        trusted = seconds(lambda: trust.judge(verify_mdm_signature(headers[0], body), now=now), BATCH)  # noqa: B023
        base = (base + seconds(lambda: public.verify(raw_signature, body, scheme, digest), BATCH)) / 2
        raw.append(base)
        for name, value in (("first", first), ("known", known), ("trusted", trusted)):
            ratios[name].append(value / base)
    print(file=sys.stderr)
    print(f"one raw RSA-2048 verification: {median(raw) * 1e6:.1f} microseconds")
    print(f"a certificate seen for the first time: {median(ratios['first']):.2f} times (at most {WANTED_FIRST})")
    print(f"a known certificate: {median(ratios['known']):.2f} times (at most {WANTED_KNOWN})")
    print(f"a known certificate, trust included: {median(ratios['trusted']):.2f} times")


def seconds(call: Callable[[], object], times: int) -> float:
    """CPU seconds that one call takes."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def certificate(
    common_name: str,
    key: rsa.RSAPrivateKey,
    signing_key: rsa.RSAPrivateKey,
    now: datetime,
    *,
    issuer: x509.Certificate | None = None,
    ca: bool = False,
) -> x509.Certificate:
    """A CA, or a device's certificate as SCEP servers issue it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )


if __name__ == "__main__":
    main()
