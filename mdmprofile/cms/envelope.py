"""CMS EnvelopedData (RFC 5652 section 6) as plain frozen values: for whom something is encrypted, and how.

Nothing is decrypted here. asn1crypto reads the structure, because ``cryptography`` refuses whole files for one
recipient that it does not know, and does not say what it found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509

from mdmprofile.certificates import Certificate
from mdmprofile.crowd import CrowdError, count_elements, damage
from mdmprofile.errors import PARSER_ERRORS, EncryptionError

MAX_RECIPIENTS = 200
# Elements cost far more memory than their bytes once they are parsed, so the bytes are bounded first.
MAX_RECIPIENT_BYTES = 256 * 1024
MAX_OID_BYTES = 64

_INDEFINITE, _CONSTRUCTED = 0x80, 1
_SHOWN = 5
_LONGEST = 300

CIPHERS = ("aes128_cbc", "aes256_cbc")
_RSA = "rsaes_pkcs1v15"
_NAMES = {
    "aes192_cbc": "AES-192-CBC",
    "des": "DES-CBC",
    "tripledes_3key": "3DES-CBC",
    "tripledes_2key": "3DES-CBC",
    "rc2": "RC2-CBC",
    "rsaes_oaep": "RSA-OAEP",
}
_KINDS = {
    "kari": "an EC key (key agreement)",
    "kekri": "a shared secret key",
    "pwri": "a password",
    "ori": "a recipient of another kind",
}


@dataclass(frozen=True)
class Recipient:
    """One recipient as the structure states it.

    ``kind`` is empty for RSA key transport and names anything else. ``issuer`` is the issuer's name in DER, or None
    where the recipient is named by ``key_identifier``.
    """

    kind: str
    issuer: bytes | None = None
    serial: int = 0
    key_identifier: bytes | None = None
    encrypted_key: bytes = field(default=b"", repr=False)

    @property
    def label(self) -> str:
        """How a message names it: the serial number as openssl prints it, the key identifier, or the kind."""
        if self.kind:
            return self.kind
        if self.key_identifier is not None:
            return f"key identifier {self.key_identifier[:20].hex()}"
        digits = f"{self.serial:X}"
        return f"serial number {digits[:40].zfill(len(digits) + len(digits) % 2)}"

    @property
    def description(self) -> str:
        """The label, with the issuer's name where there is one."""
        if self.issuer is None:
            return self.label
        try:
            return f"{self.label} of {asn1_x509.Name.load(self.issuer).human_friendly}"[:_LONGEST]
        except PARSER_ERRORS:
            return self.label


@dataclass(frozen=True)
class Envelope:
    """The parts of an EnvelopedData with a cipher that devices read; ``vector`` are the cipher's 16 bytes."""

    recipients: tuple[Recipient, ...]
    cipher: str
    vector: bytes
    content: bytes = field(repr=False)

    def recipient_for(self, certificate: Certificate) -> Recipient | None:
        """The entry that names this certificate, by issuer and serial number or by subjectKeyIdentifier."""
        issuer = asn1_x509.Certificate.load(certificate.der).issuer.dump()
        serial, identifier = certificate.parsed.serial_number, certificate.subject_key_identifier
        for each in self.recipients:
            if each.kind:
                continue
            if each.issuer == issuer and each.serial == serial:
                return each
            if each.key_identifier is not None and each.key_identifier == identifier:
                return each
        return None

    def for_one(self, recipient: Recipient, certificate: Certificate) -> bytes:
        """The same envelope in DER with this recipient alone, named by the certificate's issuer and serial number.

        The other recipients may be of kinds that ``cryptography`` does not read.
        """
        names = {
            "issuer": asn1_x509.Certificate.load(certificate.der).issuer,
            "serial_number": certificate.parsed.serial_number,
        }
        transport = cms.KeyTransRecipientInfo(
            {
                "version": "v0",
                "rid": cms.RecipientIdentifier("issuer_and_serial_number", names),
                "key_encryption_algorithm": {"algorithm": _RSA},
                "encrypted_key": recipient.encrypted_key,
            }
        )
        enveloped = {
            "version": "v0",
            "recipient_infos": [cms.RecipientInfo("ktri", transport)],
            "encrypted_content_info": {
                "content_type": "data",
                "content_encryption_algorithm": {"algorithm": self.cipher, "parameters": self.vector},
                "encrypted_content": self.content,
            },
        }
        dumped: bytes = cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped}).dump()
        return dumped


def listed(recipients: tuple[Recipient, ...]) -> str:
    """The recipients as a message names them, the first few only."""
    labels = list(dict.fromkeys(each.label for each in recipients))
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(labels[:_SHOWN]) + more


def parse_envelope(data: bytes, *, source: str = "") -> Envelope:
    """Read EnvelopedData inside its ContentInfo.

    Raises ``EncryptionError`` that names what was found where it is another structure, BER instead of DER, or a
    cipher that is neither AES-128-CBC nor AES-256-CBC; of recipients, any number of any kind is read.
    """
    try:
        return _envelope(data, source)
    except CrowdError as error:
        raise EncryptionError(
            f"is not intact CMS enveloped data: {error}", where=source, hint="get the profile again"
        ) from None
    except PARSER_ERRORS:
        raise EncryptionError(
            f"is not intact CMS enveloped data: it is {damage(data)}",
            where=source,
            hint="get the profile again",
        ) from None


def _envelope(data: bytes, source: str) -> Envelope:
    if data[:2] == bytes((0x30, _INDEFINITE)):
        raise _ber(source)
    count_elements(data)
    info = cms.ContentInfo.load(data, strict=True)
    kind = _oid(info["content_type"])
    if kind == "authenticated_enveloped_data":
        raise EncryptionError(
            "is encrypted with authentication (AuthEnvelopedData, as AES-GCM makes it), which is not read",
            where=source,
            hint="have it encrypted with AES-256-CBC",
        )
    if kind != "enveloped_data":
        raise EncryptionError(
            f"is CMS of type {kind}, not enveloped data", where=source, hint="have it encrypted again"
        )
    enveloped = info["content"]
    infos = enveloped["recipient_infos"]
    if len(infos.contents or b"") > MAX_RECIPIENT_BYTES or len(infos) > MAX_RECIPIENTS:
        raise EncryptionError(f"has more than {MAX_RECIPIENTS} recipients", where=source, hint="get the profile again")
    encrypted = enveloped["encrypted_content_info"]
    content_type = _oid(encrypted["content_type"])
    algorithm = encrypted["content_encryption_algorithm"]
    cipher = _oid(algorithm["algorithm"])
    if cipher not in CIPHERS:
        raise EncryptionError(
            f"is encrypted with {_NAMES.get(cipher, cipher)}; only AES-128-CBC and AES-256-CBC are read",
            where=source,
            hint="have it encrypted with AES-256-CBC",
        )
    if content_type != "data":
        raise EncryptionError(f"holds encrypted {content_type}, not data", where=source, hint="get the profile again")
    content = encrypted["encrypted_content"]
    if content.method == _CONSTRUCTED:
        raise _ber(source)
    return Envelope(tuple(_recipient(each) for each in infos), cipher, algorithm.encryption_iv, content.contents or b"")


def _recipient(info: Any) -> Recipient:  # noqa: ANN401 - asn1crypto has no types
    if info.name != "ktri":
        return Recipient(_KINDS.get(info.name, info.name))
    transport = info.chosen
    algorithm = _oid(transport["key_encryption_algorithm"]["algorithm"])
    if algorithm != _RSA:
        return Recipient(_NAMES.get(algorithm, algorithm))
    identifier, key = transport["rid"], transport["encrypted_key"].native
    if identifier.name == "issuer_and_serial_number":
        named = identifier.chosen
        return Recipient("", named["issuer"].dump(), named["serial_number"].native, None, key)
    return Recipient("", None, 0, identifier.chosen.native, key)


def _oid(identifier: Any) -> str:  # noqa: ANN401
    """The name of an object identifier, or its numbers; reading an absurdly long one is quadratic."""
    if len(identifier.contents) > MAX_OID_BYTES:
        raise ValueError("an object identifier is too long")
    return str(identifier.native)


def _ber(source: str) -> EncryptionError:
    return EncryptionError(
        "is encrypted CMS in BER (made by streaming), where devices expect DER",
        where=source,
        hint="encrypt it without streaming (openssl cms -encrypt without -stream)",
    )
