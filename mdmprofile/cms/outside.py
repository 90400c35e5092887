"""Profiles that a command signs whole, as ``security cms`` does with an identity of the macOS keychain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mdmprofile.certificates import Certificate
from mdmprofile.cms.command import CmsCommand, refuse, run_signer, unbase64
from mdmprofile.cms.verify import Signature, Signer, is_signed, verify
from mdmprofile.errors import MdmprofileError
from mdmprofile.inputs import MAX_PROFILE

_WHERE = "signing.cms_command"
_FORM = "return attached CMS signed data, DER or BER"
_OPENSSL = "openssl cms -sign needs -binary -nodetach -outform DER"
_LINE_ENDS = "openssl needs -binary -nodetach, or it changes the line ends"
_STRONG = ("sha256", "sha384", "sha512")


@dataclass(frozen=True)
class MadeOutside:
    """What a ``CmsCommand`` returned, verified: the bytes to write, the signer, and the certificates beside it."""

    data: bytes = field(repr=False)
    certificate: Certificate
    beside: tuple[Certificate, ...]


def sign_outside(content: bytes, outside: CmsCommand) -> MadeOutside:
    """Have the command sign ``content``, and verify what it returns.

    It is taken when it holds ``content`` byte for byte and one intact RSA PKCS#1 v1.5 or ECDSA signature over SHA-256
    or better, whose certificate is embedded. BER is taken too, as it is: Apple's own ``security cms`` writes it.
    Raises ``SigningError``.
    """
    name = outside.command[0]
    form = _OPENSSL if Path(name).stem.startswith("openssl") else _FORM
    data = run_signer(outside.command, content, limit=2 * len(content) + MAX_PROFILE, where=_WHERE)
    if not is_signed(data):
        refuse(f"the command {name} returned {_kind(data)} instead of CMS signed data", _WHERE, form)
    try:
        signature = verify(data, source=f"output of {name}")
    except MdmprofileError as error:
        refuse(f"what the command {name} returned {error.message}", _WHERE, form)
    problem = _problem(signature, content, outside.expected)
    if problem:
        refuse(
            f"what the command {name} returned is not used: {problem}",
            _WHERE,
            _LINE_ENDS if "line ends" in problem else form,
        )
    certificate = signature.signers[0].certificate
    if certificate is None:  # pragma: no cover - such a signer is not valid
        refuse("the signer's certificate is not embedded", _WHERE, _FORM)
    return MadeOutside(data, certificate, tuple(each for each in signature.certificates if each != certificate))


def _problem(signature: Signature, content: bytes, expected: Sequence[Certificate]) -> str:
    """Why the signed data cannot be written; empty when it can."""
    if signature.content != content:
        changed = _one_line_end(signature.content) == _one_line_end(content)
        return "it holds the profile with other line ends" if changed else "it holds other bytes than it was given"
    if len(signature.signers) != 1:
        return f"it has {len(signature.signers)} signers where devices expect one"
    return _signer_problem(signature.signers[0], expected)


def _one_line_end(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _signer_problem(signer: Signer, expected: Sequence[Certificate]) -> str:
    if signer.problem:
        return signer.problem
    if signer.digest not in _STRONG:
        return f"its digest is {signer.digest.upper()}; sign with SHA-256"
    if signer.signature_algorithm not in {"rsassa_pkcs1v15", "ecdsa"}:
        return f"profiles are not signed with {signer.signature_algorithm}; use RSA PKCS#1 v1.5 or ECDSA"
    if expected and signer.certificate not in expected:
        name = signer.certificate.name if signer.certificate else ""
        return f"{name} signed it, who is not the signer in signing.certificate"
    return ""


def _kind(data: bytes) -> str:
    if data.lstrip().startswith(b"-----BEGIN "):
        return "PEM"
    if data.lstrip().startswith(b"MIME-Version:"):
        return "S/MIME"
    decoded = unbase64(data)
    return "base64" if decoded is not None and is_signed(decoded) else "something else"
