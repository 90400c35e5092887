"""Every container that certificates and keys come in: PEM, DER, PKCS#7 and PKCS#12.

The format is told by the bytes, never by the file's name.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mdmprofile.certificates import X509_ERRORS, Certificate, Identity, SigningKey, first_line
from mdmprofile.errors import CertificateError, MdmprofileError, PasswordError, collect
from mdmprofile.shared import shared_certificate

if TYPE_CHECKING:
    from mdmprofile.pfx import Budget

MAX_IN_ONE_FILE = 2000
# Of one file: whoever has more of them has another file than was meant.
MAX_ERRORS = 20
# Bytes. The password is hashed whole for each part, and nobody types one that long.
MAX_PASSWORD = 1024

# The filters of warnings belong to the whole process; threads that change them at once leave them changed.
_WARNINGS = threading.Lock()

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_PKCS7_LABELS = (b"PKCS7", b"CMS")
_SEQUENCE, _OID = 0x30, 0x06
# The object identifier 1.2.840.113549.1.5.13 in DER; algorithm identifiers stand outside the encryption.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")


def load_certificates(data: bytes, *, source: str = "", password: bytes | None = None) -> tuple[Certificate, ...]:
    """Every certificate in ``data``: PEM (any number, with text around them), DER, PKCS#7 or PKCS#12.

    ``password`` opens a PKCS#12. Raises ``CertificateError`` when there is none or one is malformed, and
    ``PasswordError`` when the password does not open the file.
    """
    data = _without_utf16(data)
    if not data.strip():
        raise CertificateError("is empty where certificates belong", where=source, hint="copy the file again")
    is_pem = _BEGIN in data and not _is_whole_der(data)
    found = list(_from_pem(data, source) if is_pem else _from_der(data, source, password))
    if len(found) > MAX_IN_ONE_FILE:
        raise CertificateError(
            f"holds more than {MAX_IN_ONE_FILE} certificates", where=source, hint="give the few that the server needs"
        )
    if not found:
        raise CertificateError("holds no certificate", where=source, hint="give a PEM, DER, P7B or P12 file")
    return tuple(found)


def is_certificate(data: bytes) -> bool:
    """Whether the bytes are one certificate in DER."""
    try:
        return _is_whole_der(data) and _first_inner_tag(data) == _SEQUENCE and bool(Certificate(data).der)
    except CertificateError:
        return False


def is_pkcs12(data: bytes) -> bool:
    """Whether the bytes begin as a PKCS#12 PFX does: a sequence whose first element is the version 3 (RFC 7292)."""
    start = _inner_start(data)
    return data[:1] == b"0" and data[start : start + 3] == b"\x02\x01\x03"


def uses_pbes2(data: bytes) -> bool:
    """Whether a PKCS#12 is encrypted with PBES2, as OpenSSL 3 does and older Apple releases do not read."""
    return _PBES2 in data


def count_keys(data: bytes) -> int:
    """How many private keys a PKCS#12 shows without its password; 0 where they are inside the encryption too."""
    from asn1crypto import pkcs12 as structure  # noqa: PLC0415 - slow to import, for PKCS#12 only

    from mdmprofile.crowd import count_elements  # noqa: PLC0415

    try:
        count_elements(data)
        return sum(
            bag["bag_id"].native in {"pkcs8_shrouded_key_bag", "key_bag"}
            for part in structure.Pfx.load(data).authenticated_safe
            if part["content_type"].native == "data"
            for bag in structure.SafeContents.load(part["content"].native)
        )
    except X509_ERRORS:
        return 0


def load_pkcs12(
    data: bytes, *, source: str = "", password: bytes | None = None, budget: Budget | None = None
) -> Identity:
    """The identity in a PKCS#12 file, with its other certificates as ``chain``.

    ``budget`` bounds the work for several files of one origin together. Raises ``PasswordError`` for a wrong or missing
    password, ``CertificateError`` for anything else.
    """
    certificates, opened = _open_pkcs12(data, source, password, budget)
    if opened is None:
        raise CertificateError(
            "holds no private key, so it is no identity", where=source, hint="export it with its private key"
        )
    key = _signing_key(opened, source)
    identity = next((each for each in certificates if each.key_info == _public_der(key)), None)
    if identity is None:
        raise CertificateError("holds no certificate for its private key", where=source, hint="export both together")
    return Identity(identity, key, tuple(each for each in certificates if each != identity))


def load_private_key(data: bytes, *, source: str = "", password: bytes | None = None) -> SigningKey:
    """An RSA or EC private key in PEM or DER, encrypted or not.

    Raises ``PasswordError`` for a wrong or missing password, ``CertificateError`` for anything else. The RSA
    consistency check is left out because it costs more than the signature; whoever signs makes a trial signature
    first.
    """
    load = (
        serialization.load_pem_private_key
        if _BEGIN in data and not _is_whole_der(data)
        else serialization.load_der_private_key
    )
    if password:
        _refuse_slow_key(data, source)
    try:
        key = load(data, password or None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        if password:
            return load_private_key(data, source=source)
        raise PasswordError(
            "the private key is encrypted and needs a password", where=source, hint="give its password"
        ) from error.__cause__
    except X509_ERRORS as error:
        if b"ENCRYPTED" in data or (password and _BEGIN not in data and data[:1] == b"0"):
            raise PasswordError(
                "the password does not open the private key", where=source, hint="give the right one"
            ) from None
        if is_certificate(data) or (b"-----BEGIN CERTIFICATE-----" in data and b"PRIVATE KEY-----" not in data):
            raise CertificateError(
                "holds a certificate where the private key belongs",
                where=source,
                hint="name the key's file; are the two swapped?",
            ) from None
        raise CertificateError(
            f"holds no readable private key: {first_line(error)}", where=source, hint="name the key's file, PEM or DER"
        ) from None
    return _signing_key(key, source)


def fingerprint_sha1(certificate: Certificate) -> bytes:
    """The SHA-1 fingerprint of the DER bytes, 20 bytes, as SCEP's CAFingerprint wants it."""
    return hashlib.sha1(certificate.der, usedforsecurity=False).digest()


def _without_utf16(data: bytes) -> bytes:
    """PEM text that a shell wrote as UTF-16, as bytes that the rest reads."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16").encode("utf-8")
        except UnicodeError:
            return data
    return data


def _from_pem(data: bytes, source: str) -> Iterator[Certificate]:
    errors: list[MdmprofileError] = []
    found: list[Certificate] = []
    labels: list[str] = []
    blocks = list(_pem_blocks(data, source))
    for number, (label, body) in enumerate(blocks, 1):
        place = _place(source, number, len(blocks))
        try:
            if label in _CERTIFICATE_LABELS:
                der = _base64(body, place)
                found.append(shared_certificate(_without_trust_settings(der, label), place))
            elif label in _PKCS7_LABELS:
                found.extend(_from_pkcs7(_base64(body, place), place))
            else:
                labels.append(label.decode("ascii", "replace"))
        except MdmprofileError as error:
            errors.append(error)
        if len(found) > MAX_IN_ONE_FILE or len(errors) >= MAX_ERRORS:
            break
    if errors:
        raise collect(errors)
    if not found and labels:
        kinds = ", ".join(sorted(set(labels)))
        if all(each.endswith("PRIVATE KEY") for each in labels):
            raise CertificateError(
                "holds a private key where a certificate belongs",
                where=source,
                hint="name the certificate's file; are key and certificate swapped?",
            )
        raise CertificateError(f"holds no certificate, only {kinds}", where=source, hint="name the certificate's file")
    return iter(found)


def _pem_blocks(data: bytes, source: str) -> Iterator[tuple[bytes, bytes]]:
    """Label and base64 body of each PEM block; everything around them is text and ignored (RFC 7468)."""
    position = data.find(_BEGIN)
    while position >= 0:
        label_end = data.find(_DASHES, position + len(_BEGIN), position + len(_BEGIN) + 64)
        if label_end < 0:
            raise CertificateError("has a PEM header that never ends", where=source, hint="copy the whole file again")
        label = data[position + len(_BEGIN) : label_end]
        closing = _END + label + _DASHES
        end = data.find(closing, label_end)
        if end < 0:
            text = label.decode("ascii", "replace")
            raise CertificateError(
                f"is cut short: a {text!r} block has no END line",
                where=source,
                hint="copy the whole file again",
            )
        yield label, data[label_end + len(_DASHES) : end]
        position = data.find(_BEGIN, end + len(closing))


def _place(source: str, number: int, count: int) -> str:
    """The file, and which certificate of it when it holds several."""
    return source if count == 1 else f"{source} #{number}".lstrip()


def _base64(body: bytes, place: str) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error as error:
        raise CertificateError(
            f"has malformed base64 in its PEM: {error}", where=place, hint="copy the whole file again"
        ) from None


def _without_trust_settings(der: bytes, label: bytes) -> bytes:
    """OpenSSL's TRUSTED CERTIFICATE has trust settings behind the certificate; keep the certificate."""
    if label != b"TRUSTED CERTIFICATE" or len(der) < 4 or der[0] != _SEQUENCE or der[1] & 0x80 == 0:  # noqa: PLR2004 - the shortest header with a long length
        return der
    octets = der[1] & 0x7F
    return der[: 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")]


def _inner_start(data: bytes) -> int:
    """Where the first element inside an outer SEQUENCE begins, whatever form its length has (BER or DER)."""
    return 2 + (data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0)


def _is_whole_der(data: bytes) -> bool:
    """Whether the bytes are one DER SEQUENCE from first to last: then PEM inside it is part of a field, not a file."""
    start = _inner_start(data)
    if data[:1] != b"0" or len(data) < start:
        return False
    length = int.from_bytes(data[2:start], "big") if data[1] & 0x80 else data[1]
    return start + length == len(data)


def _first_inner_tag(data: bytes) -> int | None:
    """The tag of the first element inside an outer SEQUENCE."""
    start = _inner_start(data)
    return data[start] if data[:1] == b"0" and len(data) > start else None


def _from_der(data: bytes, source: str, password: bytes | None) -> Iterable[Certificate]:
    tag = _first_inner_tag(data)
    if is_pkcs12(data):
        return _open_pkcs12(data, source, password)[0]
    if tag == _OID:
        return _from_pkcs7(data, source)
    if tag == _SEQUENCE:
        return [shared_certificate(data, source)]
    raise CertificateError(
        "holds no certificate: neither PEM, DER, PKCS#7 nor PKCS#12", where=source, hint="check the file"
    )


def _from_pkcs7(data: bytes, source: str) -> list[Certificate]:
    try:
        with _WARNINGS, warnings.catch_warnings():
            # It warns of BER and of certificates in another order than DER's, both of which are everyday.
            warnings.simplefilter("ignore", UserWarning)
            loaded = pkcs7.load_der_pkcs7_certificates(data)
    except X509_ERRORS:
        raise CertificateError(
            "holds no certificate that can be read: the PKCS#7 is empty or damaged",
            where=source,
            hint="export it again",
        ) from None
    return [
        shared_certificate(each.public_bytes(Encoding.DER), _place(source, number, len(loaded)))
        for number, each in enumerate(loaded, 1)
    ]


def _open_pkcs12(
    data: bytes, source: str, password: bytes | None, budget: Budget | None = None
) -> tuple[list[Certificate], object | None]:
    from mdmprofile.pfx import open_pfx  # noqa: PLC0415 - slow to import, for PKCS#12 only

    if password is not None and len(password) > MAX_PASSWORD:
        raise PasswordError(
            f"its password is longer than {MAX_PASSWORD:,} bytes", where=source, hint="export it with a shorter one"
        )
    try:
        found, key = open_pfx(data, password, source=source, budget=budget)
    except X509_ERRORS as error:
        if "password" in str(error).lower() or "mac" in str(error).lower():
            problem = "the password does not open it" if password else "it needs a password"
            raise PasswordError(
                f"{problem}, or it is not an intact PKCS#12 file",
                where=source,
                hint="give its password, or name the certificates in PEM",
            ) from None
        raise CertificateError(
            f"is not an intact PKCS#12 file: {first_line(error)}", where=source, hint="export it again"
        ) from None
    certificates = [
        shared_certificate(each.public_bytes(Encoding.DER), _place(source, number, len(found)))
        for number, each in enumerate(found, 1)
    ]
    return certificates, key


def _refuse_slow_key(data: bytes, source: str) -> None:
    """Refuse an encrypted key whose password would be hashed for minutes."""
    from mdmprofile.pfx import refuse_slow_key  # noqa: PLC0415 - slow to import, for encrypted keys only

    ders = [data]
    if _BEGIN in data and not _is_whole_der(data):
        # What is wrong with the PEM is said when the key is loaded.
        with contextlib.suppress(CertificateError):
            blocks = _pem_blocks(data, source)
            ders = [_base64(body, source) for label, body in blocks if label == b"ENCRYPTED PRIVATE KEY"]
    for der in ders:
        refuse_slow_key(der, source=source)


def _signing_key(key: object, source: str) -> SigningKey:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CertificateError(
            "holds a key that is neither RSA nor EC",
            where=source,
            hint="Apple's devices verify RSA and EC only",
        )
    return key


def _public_der(key: SigningKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
