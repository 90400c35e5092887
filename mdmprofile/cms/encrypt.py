"""Encrypting a profile's payloads for the devices that hold the recipients' keys, and decrypting them again.

The ``PayloadContent`` array alone, as a property list, goes into CMS EnvelopedData in DER, which takes its place as
``EncryptedPayloadContent``; the keys beside it stay readable. Encryption does not protect from changes, so a profile is
encrypted first and signed then.
https://developer.apple.com/documentation/devicemanagement/toplevel
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mdmprofile.certificates import X509_ERRORS, Certificate, Identity
from mdmprofile.cms.envelope import MAX_RECIPIENTS, listed, parse_envelope
from mdmprofile.errors import EncryptionError, MdmprofileError, collect
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.profile import MAX_PAYLOADS, Profile
from mdmprofile.propertylist import read_plist, write_plist

PLAIN, ENCRYPTED, FLAG = "PayloadContent", "EncryptedPayloadContent", "IsEncrypted"
_WEAK_BITS = 2048


def encrypt_profile(profile: Profile, recipients: Sequence[Certificate], *, source: str = "") -> Profile:
    """The profile with its payloads encrypted for every recipient: AES-256-CBC, its key for each RSA key.

    The other keys stay as they are, in their order. Raises ``EncryptionError`` when the profile is encrypted already,
    has no payloads, or a recipient's key is not RSA. The key and the vector are random: no two results are the same.
    """
    if profile.encrypted:
        raise EncryptionError("is encrypted already", where=source, hint="decrypt it first: mdmprofile decrypt")
    payloads = profile.plist.get(PLAIN)
    if not isinstance(payloads, list) or not all(isinstance(each, Mapping) for each in payloads):
        raise EncryptionError(
            "has no array of payloads to encrypt", where=source, hint="check that it is the right file"
        )
    sealed = _seal(write_plist(payloads), tuple(dict.fromkeys(recipients)))
    plist: dict[str, Any] = {}
    for name, value in profile.plist.items():
        if name == PLAIN:
            plist |= {ENCRYPTED: sealed, FLAG: True}
        elif name != FLAG:
            plist[name] = value
    return Profile(plist)


def decrypt_profile(profile: Profile, recipient: Identity, *, source: str = "") -> Profile:
    """The profile with its payloads readable again, everything else as it is.

    ``IsEncrypted`` may be absent. Raises ``EncryptionError`` when the profile is not encrypted, not for this recipient,
    in a way that is not read, or damaged, and ``ProfileError`` when what was encrypted is no array of payloads.
    """
    if not profile.encrypted:
        raise EncryptionError("is not encrypted", where=source, hint="use the file as it is")
    if PLAIN in profile.plist:
        raise EncryptionError(
            f"has {PLAIN} beside {ENCRYPTED}", where=source, hint="remove one of them; a device reads only one"
        )
    sealed = profile.plist[ENCRYPTED]
    where = f"{source}: {ENCRYPTED}" if source else ENCRYPTED
    if not isinstance(sealed, bytes):
        raise EncryptionError("holds no data", where=where, hint="get the profile again")
    payloads = read_plist(_open(sealed, recipient, where), source=where)
    if not isinstance(payloads, list) or not all(isinstance(each, dict) for each in payloads):
        raise EncryptionError(
            "holds a property list that is no array of payloads", where=where, hint="get the profile again"
        )
    if len(payloads) > MAX_PAYLOADS:
        raise EncryptionError(f"has more than {MAX_PAYLOADS} payloads", where=where, hint="get the profile again")
    return Profile(
        {
            PLAIN if name == ENCRYPTED else name: payloads if name == ENCRYPTED else value
            for name, value in profile.plist.items()
            if name != FLAG
        }
    )


def judge_encryption(
    profile: Profile, recipients: Iterable[Certificate], *, replaces: bool = False
) -> tuple[Finding, ...]:
    """What encrypting a profile for these recipients will come to.

    ``replaces`` says that the profile is meant for devices that are enrolled already. Dates are judged elsewhere.
    """
    found = [each for recipient in recipients for each in _judge_recipient(recipient)]
    if profile.of_type(types.MDM):
        found.append(
            finding(
                "encryption.first-enrollment",
                "the recipient's key must be on the device already, so this profile serves no first enrollment",
                where=ENCRYPTED,
                severity=Severity.INFO if replaces else None,
            )
        )
    return tuple(found)


def _judge_recipient(recipient: Certificate) -> Iterable[Finding]:
    key = recipient.parsed.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _WEAK_BITS:
        message = f"the key of {recipient.name} has {key.key_size} bits"
        yield finding("encryption.weak-key", message, where=recipient.source)
    if recipient.is_ca:
        message = f"{recipient.name} is a CA, not a device: only who holds the CA's key can decrypt the profile"
        yield finding("encryption.recipient-ca", message, where=recipient.source)
    if not recipient.key_encipherment:
        message = f"the keyUsage of {recipient.name} has no keyEncipherment"
        yield finding("encryption.key-usage", message, where=recipient.source)


def _seal(content: bytes, recipients: Sequence[Certificate]) -> bytes:
    if not recipients:
        raise EncryptionError("needs at least one recipient", hint="name the device's certificate")
    if len(recipients) > MAX_RECIPIENTS:
        raise EncryptionError(
            f"has {len(recipients)} recipients, more than {MAX_RECIPIENTS}", hint="make a profile for each device"
        )
    errors = [error for each in recipients if (error := _unusable(each)) is not None]
    if errors:
        raise collect(errors)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content).set_content_encryption_algorithm(algorithms.AES256)
    for each in recipients:
        builder = builder.add_recipient(each.parsed)
    # Binary: without it, line ends are changed to CRLF.
    try:
        return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    except X509_ERRORS:
        raise EncryptionError(
            "cannot be encrypted for this recipient", where=recipients[0].source, hint="use another recipient"
        ) from None


def _unusable(recipient: Certificate) -> MdmprofileError | None:
    """Why nothing can be encrypted for the certificate; None when it can."""
    try:
        key = recipient.parsed.public_key()
    except X509_ERRORS:
        kind = "of a kind that is not known"
    else:
        if isinstance(key, rsa.RSAPublicKey):
            return None
        kind = "EC" if isinstance(key, ec.EllipticCurvePublicKey) else "not RSA"
    return EncryptionError(
        f"the recipient {recipient.name} has a key that is {kind}; a profile is encrypted for RSA keys only",
        where=recipient.source,
        hint="give an RSA certificate of the device, for example its SCEP identity",
    )


def _open(sealed: bytes, recipient: Identity, where: str) -> bytes:
    envelope = parse_envelope(sealed, source=where)
    certificate, key = recipient.certificate, recipient.key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise EncryptionError(
            "the recipient's key is not RSA, and profiles are encrypted for RSA keys only",
            where=certificate.source,
            hint="give the key of the recipient the profile was encrypted for",
        )
    if not recipient.key_matches:
        raise EncryptionError(
            "the recipient's key does not belong to its certificate",
            where=certificate.source,
            hint="give the key that the certificate was issued for",
        )
    entry = envelope.recipient_for(certificate)
    if entry is None:
        others = listed(envelope.recipients) or "nobody"
        raise EncryptionError(
            f"is not encrypted for {certificate.name}, but for {others}",
            where=where,
            hint="give the certificate and RSA key of one of these; other kinds of recipients are not read",
        )
    try:
        return pkcs7.pkcs7_decrypt_der(envelope.for_one(entry, certificate), certificate.parsed, key, [])
    except (UnsupportedAlgorithm, *X509_ERRORS):
        # Which of the two it is stays unsaid: a program that answers strangers with it would decrypt for them.
        raise EncryptionError(
            "cannot be decrypted: it was encrypted for another key, or is damaged",
            where=where,
            hint="check that key and profile belong together, or get the profile again",
        ) from None
