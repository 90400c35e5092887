"""A signer on a PKCS#11 token: a smart card, an HSM, or SoftHSM. The key never leaves it."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mdmprofile.certificates import X509_ERRORS, Certificate, Identity
from mdmprofile.cms.pkcs11_uri import Pkcs11Uri
from mdmprofile.cms.remote import PublicKey, remote_key, verifies
from mdmprofile.cms.token import WHERE, Pin, close_session, limited, open_session
from mdmprofile.errors import CertificateError, SigningError

if TYPE_CHECKING:
    import pkcs11

_MAX_CERTIFICATES = 100
# DigestInfo of SHA-256 up to the digest itself (RFC 8017 section 9.2, note 1).
_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def token_identity(uri: Pkcs11Uri, certificates: Sequence[Certificate], pin: Pin) -> Identity:
    """The signer whose key is on a token, with the CA certificates that are there too as its chain.

    Its certificate is the one of ``certificates`` that belongs to the key; without any, the token's own with the id or
    label of the key. Logs in once, and again for each signature where the key asks for that. Raises ``SigningError``.
    """
    session = open_session(uri, pin)
    try:
        found = limited(lambda: _find_key(session, uri))
        public = limited(lambda: _public_key(session, found))
        own, authorities = limited(lambda: _certificates(session, found))
        certificate = _choose(certificates or own, public, uri)
        known = public or _of_certificate(certificate)
    except SigningError:
        close_session(session)
        raise
    key = remote_key(known, lambda message: _sign(found, known, message, pin))
    # The session ends with the key that uses it, but not when Python exits: a token that hangs would hold it up.
    weakref.finalize(key, close_session, session).atexit = False
    beside = (*certificates, *authorities)
    return Identity(certificate, key, tuple(each for each in dict.fromkeys(beside) if each != certificate))


def _find_key(session: pkcs11.Session, uri: Pkcs11Uri) -> Any:  # noqa: ANN401 - a key of either kind
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415 - an optional extra

    found = list(islice(session.get_objects(_template(uri, ObjectClass.PRIVATE_KEY)), 20))
    wanted = f" with {uri.wanted_key}" if uri.wanted_key else ""
    if not found:
        raise SigningError(
            f"the token holds no private key{wanted}", where=WHERE, hint="pkcs11-tool --login --list-objects shows them"
        )
    if len(found) > 1:
        names = ", ".join(f"object {_shown(each, Attribute.LABEL)} id {_shown(each, Attribute.ID)}" for each in found)
        raise SigningError(
            f"{len(found)} private keys match{wanted}: {names}", where=WHERE, hint="add object= or id= to the URI"
        )
    kind = found[0][Attribute.KEY_TYPE]
    if kind not in {KeyType.RSA, KeyType.EC}:
        name = getattr(kind, "name", str(kind))
        raise SigningError(
            f"the key on the token is of type {name}", where=WHERE, hint="Apple's devices verify RSA and EC only"
        )
    return found[0]


def _template(uri: Pkcs11Uri, kind: pkcs11.ObjectClass) -> dict[pkcs11.Attribute, Any]:
    from pkcs11 import Attribute  # noqa: PLC0415 - an optional extra

    template: dict[Attribute, Any] = {Attribute.CLASS: kind}
    if uri.object is not None:
        template[Attribute.LABEL] = uri.object
    if uri.id is not None:
        template[Attribute.ID] = uri.id
    return template


def _shown(found: Any, attribute: Any) -> str:  # noqa: ANN401
    value = _attribute(found, attribute)
    return repr(value.hex() if isinstance(value, bytes) else value or "")


def _attribute(found: Any, attribute: Any) -> Any:  # noqa: ANN401
    """An attribute's value; None where the token does not tell."""
    import pkcs11  # noqa: PLC0415 - an optional extra

    try:
        return found[attribute]
    except pkcs11.PKCS11Error:
        return None


def _public_key(session: pkcs11.Session, key: Any) -> PublicKey | None:  # noqa: ANN401
    """The public half, of the key itself or of the public key with its id; None where the token holds neither."""
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415 - an optional extra
    from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415

    try:
        if key[Attribute.KEY_TYPE] == KeyType.RSA:
            modulus, exponent = _attribute(key, Attribute.MODULUS), _attribute(key, Attribute.PUBLIC_EXPONENT)
            if not modulus or not exponent:
                return None
            return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
        halves = _beside(session, key, ObjectClass.PUBLIC_KEY)
        loaded = load_der_public_key(encode_ec_public_key(halves[0])) if halves else None
    except X509_ERRORS:
        return None
    return loaded if isinstance(loaded, ec.EllipticCurvePublicKey) else None


def _beside(session: pkcs11.Session, key: Any, kind: Any) -> list[Any]:  # noqa: ANN401
    """Objects of a class that have the key's id, or without one its label."""
    from pkcs11 import Attribute  # noqa: PLC0415 - an optional extra

    for attribute in (Attribute.ID, Attribute.LABEL):
        value = _attribute(key, attribute)
        if value:
            found = list(islice(session.get_objects({Attribute.CLASS: kind, attribute: value}), _MAX_CERTIFICATES))
            if found:
                return found
    return []


def _certificates(session: pkcs11.Session, key: Any) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:  # noqa: ANN401
    """The key's own certificates, and the CAs on the token."""
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415 - an optional extra

    own = tuple(_readable(_beside(session, key, ObjectClass.CERTIFICATE)))
    every = islice(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}), _MAX_CERTIFICATES)
    return own, tuple(each for each in _readable(list(every)) if each.is_ca)


def _readable(objects: Sequence[Any]) -> Iterator[Certificate]:
    """The certificates; what is none, or damaged, is left out."""
    from pkcs11 import Attribute  # noqa: PLC0415 - an optional extra

    for each in objects:
        with contextlib.suppress(CertificateError):
            label = _attribute(each, Attribute.LABEL) or ""
            yield Certificate(_attribute(each, Attribute.VALUE) or b"", f"token certificate {label}".rstrip())


def _choose(candidates: Sequence[Certificate], public: PublicKey | None, uri: Pkcs11Uri) -> Certificate:
    """The certificate of the key, else the first: whoever judges the signer says that the two do not belong."""
    if not candidates:
        wanted = f" {uri.wanted_key}" if uri.wanted_key else ""
        raise SigningError(
            f"the token holds no certificate for the key{wanted}",
            where=WHERE,
            hint="name it with signing.certificate or --signer",
        )
    own = (each for each in candidates if public is not None and _public_of(each) == public)
    leaves = (each for each in candidates if not each.is_ca)
    return next(own, None) or next(leaves, candidates[0])


def _public_of(certificate: Certificate) -> object:
    try:
        return certificate.parsed.public_key()
    except X509_ERRORS:
        return None


def _of_certificate(certificate: Certificate) -> PublicKey:
    public = _public_of(certificate)
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SigningError(
            "its key is neither RSA nor EC", where=certificate.source, hint="Apple's devices verify RSA and EC only"
        )
    return public


def _sign(key: Any, public: PublicKey, message: bytes, pin: Pin) -> bytes:  # noqa: ANN401
    """The signature of the message over SHA-256, made on the token and verified here."""
    from pkcs11 import Attribute, Mechanism  # noqa: PLC0415 - an optional extra

    # Such keys, the signing key of a PIV card for one, want the PIN for each signature.
    each_time = limited(lambda: bool(_attribute(key, Attribute.ALWAYS_AUTHENTICATE)))
    given = pin(limited(lambda: key.session.token.label)) if each_time else None
    slot = key.session.token.slot
    mechanisms = limited(slot.get_mechanisms)
    digest = hashlib.sha256(message).digest()
    # Every token signs a digest; those that only hash themselves are few.
    if isinstance(public, rsa.RSAPublicKey):
        bare, hashing, data = Mechanism.RSA_PKCS, Mechanism.SHA256_RSA_PKCS, _DIGEST_INFO + digest
    else:
        bare, hashing, data = Mechanism.ECDSA, Mechanism.ECDSA_SHA256, digest
    mechanism, data = (bare, data) if bare in mechanisms else (hashing, message)
    signature = limited(lambda: bytes(key.sign(data, mechanism=mechanism, pin=given)))
    if isinstance(public, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
        signature = encode_dss_signature(*pair)
    if not verifies(public, message, signature):
        raise SigningError(
            "the signature of the token does not verify with the certificate's key",
            where=WHERE,
            hint="name the certificate that belongs to the token's key",
        )
    return signature
