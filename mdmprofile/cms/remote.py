"""Private keys whose signatures come from a function: a key at hand, a token, or a command.

They implement the interfaces that ``cryptography``'s PKCS#7 builder asks for, so that one path signs with every source
of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from mdmprofile.certificates import SigningKey

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
# From the message to its signature over SHA-256: RSA PKCS#1 v1.5, or ECDSA in DER.
Signing = Callable[[bytes], bytes]
_ELSEWHERE = "the key is elsewhere and only signs"


def remote_key(public: PublicKey, signing: Signing) -> SigningKey:
    """A private key that signs by calling ``signing``."""
    return _RemoteRsaKey(public, signing) if isinstance(public, rsa.RSAPublicKey) else _RemoteEcKey(public, signing)


def sign_with(key: SigningKey, message: bytes) -> bytes:
    """The key's signature of the message over SHA-256: RSA PKCS#1 v1.5, or ECDSA in DER.

    Raises ``ValueError`` for a damaged key, and whatever a key that is elsewhere raises.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, PKCS1v15(), hashes.SHA256())
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def verifies(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature over SHA-256 is the key's."""
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, PKCS1v15(), hashes.SHA256())
        else:
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


class _Elsewhere:
    """What both kinds of keys share; the key itself cannot be had."""

    def __copy__(self) -> NoReturn:
        raise TypeError(_ELSEWHERE)

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError(_ELSEWHERE)

    def private_numbers(self) -> NoReturn:
        raise TypeError(_ELSEWHERE)

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(_ELSEWHERE)


class _RemoteRsaKey(_Elsewhere, rsa.RSAPrivateKey):
    """An RSA key that makes PKCS#1 v1.5 signatures over SHA-256, and nothing else."""

    def __init__(self, public: rsa.RSAPublicKey, signing: Signing) -> None:
        self._public, self._signing = public, signing

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def sign(
        self,
        data: bytes,
        padding: AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        if not isinstance(padding, PKCS1v15) or not isinstance(algorithm, hashes.SHA256):
            raise TypeError("signs with PKCS#1 v1.5 and SHA-256 alone")
        return self._signing(data)

    def decrypt(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(_ELSEWHERE)


class _RemoteEcKey(_Elsewhere, ec.EllipticCurvePrivateKey):
    """An EC key that makes ECDSA signatures over SHA-256, and nothing else."""

    def __init__(self, public: ec.EllipticCurvePublicKey, signing: Signing) -> None:
        self._public, self._signing = public, signing

    @property
    def key_size(self) -> int:
        return self._public.key_size

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(
        self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise TypeError("signs with SHA-256 alone")
        return self._signing(bytes(data))

    def exchange(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(_ELSEWHERE)
