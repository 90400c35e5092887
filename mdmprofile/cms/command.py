"""Commands that sign: a cloud service, a vault, a smart card's script."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mdmprofile.certificates import X509_ERRORS, Certificate, Identity
from mdmprofile.cms.remote import PublicKey, remote_key, verifies
from mdmprofile.commands import CommandError, run_command
from mdmprofile.errors import SigningError

# A service answers in seconds, but a person may have to touch a card or to consent.
SIGNING_SECONDS: float = 120
MAX_SIGNATURE = 64 * 1024

_WHERE = "signing.command"
_FORM = "return the bare bytes of RSA PKCS#1 v1.5 or ECDSA (DER) over SHA-256"


def command_identity(command: Sequence[str], certificates: Sequence[Certificate]) -> Identity:
    """A signer whose signatures the command makes.

    The command gets the bytes to be signed on standard input and returns the signature. Its certificate is the first
    of ``certificates`` that is no CA, else the first. Raises ``SigningError`` when its key is neither RSA nor EC.
    """
    certificate = next((each for each in certificates if not each.is_ca), certificates[0])
    try:
        public = certificate.parsed.public_key()
    except X509_ERRORS:
        public = None
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SigningError(
            "its key is neither RSA nor EC", where=certificate.source, hint="Apple's devices verify RSA and EC only"
        )
    key = remote_key(public, lambda message: _raw_signature(command, public, message))
    return Identity(certificate, key, tuple(each for each in certificates if each != certificate))


@dataclass(frozen=True)
class CmsCommand:
    """A command that gets a profile on standard input and returns it signed.

    The signer is known when it has signed; ``expected``, where not empty, holds the certificate it must be.
    """

    command: tuple[str, ...] = field(repr=False)
    expected: tuple[Certificate, ...] = ()


def _raw_signature(command: Sequence[str], public: PublicKey, message: bytes) -> bytes:
    signature = run_signer(command, message, limit=MAX_SIGNATURE, where=_WHERE)
    if not verifies(public, message, signature):
        problem = _raw_problem(signature, public, message)
        refuse(f"the command {command[0]} returned {problem}", _WHERE, _FORM)
    return signature


def _raw_problem(signature: bytes, public: PublicKey, message: bytes) -> str:
    """What a signature that does not verify is instead, where that can be told."""
    decoded = unbase64(signature)
    if decoded is not None and verifies(public, message, decoded):
        return "the right signature in base64"
    if isinstance(public, ec.EllipticCurvePublicKey) and len(signature) == 2 * ((public.key_size + 7) // 8):
        half = len(signature) // 2
        pair = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
        if verifies(public, message, pair):
            return "the right signature as r and s side by side, not in DER"
    if isinstance(public, rsa.RSAPublicKey) and len(signature) != public.key_size // 8:
        return f"{len(signature)} bytes, not a signature of RSA-{public.key_size}"
    return "a signature that does not verify with the certificate's key"


def run_signer(command: Sequence[str], data: bytes, *, limit: int, where: str) -> bytes:
    """What the command answers to ``data``: at least one byte, at most ``limit``; raises ``SigningError``."""
    try:
        output = run_command(command, seconds=SIGNING_SECONDS, limit=limit, data=data)
    except CommandError as error:
        raise SigningError(error.message, where=where, hint=error.hint) from None
    if not output:
        refuse(f"the command {command[0]} returned nothing", where, "run it by hand to see why")
    if len(output) > limit:
        refuse(f"the output of {command[0]} is larger than {limit // 1024:,} KiB", where, "run it by hand to see why")
    return output


def unbase64(data: bytes) -> bytes | None:
    """What base64 text stands for; None when it is none."""
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return None


def refuse(message: str, where: str, hint: str) -> NoReturn:
    """Raise the error."""
    raise SigningError(message, where=where, hint=hint) from None
