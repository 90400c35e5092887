"""A throwaway PKI to try things with: root, intermediate, server, signer, push certificate, device identity."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mdmprofile.certificates import PUSH_TOPIC_PREFIX, Certificate, Identity
from mdmprofile.identities import Issuer, Wanted, fresh_serial_number

_DAY = timedelta(days=1)


class _Issuer:
    """A CA that issues certificates for this demo."""

    def __init__(self, name: x509.Name, key: rsa.RSAPrivateKey, now: datetime) -> None:
        self.name, self.key, self.now = name, key, now

    def issue(
        self,
        subject: x509.Name,
        key: rsa.RSAPrivateKey,
        days: int,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(fresh_serial_number())
            .not_valid_before(self.now - _DAY)
            .not_valid_after(self.now + days * _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())


def demo_files(*, now: datetime, identity: str) -> Mapping[str, tuple[bytes, bool]]:
    """Relative path to content and whether it is a secret, for a PKI that makes ``build`` work at once.

    Keys are RSA-2048 and made here; nothing in them is fit for real devices.
    """
    keys = {
        each: rsa.generate_private_key(65537, 2048) for each in ("root", "intermediate", "server", "signer", "other")
    }
    root_name, intermediate_name = _name("Demo Root CA"), _name("Demo Intermediate CA")
    root = _Issuer(root_name, keys["root"], now)
    intermediate = _Issuer(intermediate_name, keys["intermediate"], now)
    root_certificate = root.issue(root_name, keys["root"], 3650, *_ca(None))
    intermediate_certificate = root.issue(intermediate_name, keys["intermediate"], 1825, *_ca(0))
    server = intermediate.issue(
        _name("mdm.example.com"),
        keys["server"],
        397,
        (x509.SubjectAlternativeName([x509.DNSName("mdm.example.com")]), False),
        *_leaf(ExtendedKeyUsageOID.SERVER_AUTH),
    )
    signer = intermediate.issue(_name("Demo Profile Signer"), keys["signer"], 730, *_leaf(None))
    topic = f"{PUSH_TOPIC_PREFIX}External.00000000-0000-4000-8000-000000000000"
    push_name = x509.Name(
        [x509.NameAttribute(NameOID.USER_ID, topic), x509.NameAttribute(NameOID.COMMON_NAME, "APSP:demo")]
    )
    push = intermediate.issue(push_name, keys["other"], 365, *_leaf(ExtendedKeyUsageOID.CLIENT_AUTH))
    files = {
        "pki/root.pem": (_pem(root_certificate), False),
        "pki/intermediate.pem": (_pem(intermediate_certificate), False),
        "pki/server.pem": (_pem(server), False),
        "pki/signer.pem": (_pem(signer), False),
        "pki/signer.key": (_key_pem(keys["signer"]), True),
        "push.pem": (_pem(push), False),
    }
    if identity == "scep":
        files["scep-challenge.txt"] = (f"{secrets.token_urlsafe(24)}\n".encode(), True)
    if identity == "pkcs12":
        der = intermediate_certificate.public_bytes(serialization.Encoding.DER)
        device = Issuer(Identity(Certificate(der), keys["intermediate"]), Wanted(), now=now).issue(
            (("O", "Example Inc."), ("CN", "Demo device"))
        )
        files["device.p12"] = (device.data, True)
        files["device-password.txt"] = (f"{device.password}\n".encode(), True)
    return files


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _ca(path_length: int | None) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return (x509.BasicConstraints(ca=True, path_length=path_length), True), (usage, True)


def _leaf(purpose: x509.ObjectIdentifier | None) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    basic: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
    ]
    return (*basic, *(((x509.ExtendedKeyUsage([purpose]), False),) if purpose else ()))


def _usage(**given: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: given.get(name, False) for name in names})


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
