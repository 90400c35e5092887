"""PKCS#12 (RFC 7292) opened in bounded time: whoever made a file chose how often its password is hashed.

``cryptography`` hashes as often as the file says, and nothing can stop it meanwhile. So the counts are added up first;
and a key inside an encrypted part, whose count nobody sees before that part is open, is never decrypted. Exports do not
put one there: the key stands, encrypted by itself, beside the encrypted part with the certificates.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import prod
from typing import Any, ClassVar

from asn1crypto import algos, cms, core
from asn1crypto import pkcs12 as structure
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from mdmprofile.certificates import X509_ERRORS
from mdmprofile.crowd import CrowdError, count_elements
from mdmprofile.errors import CertificateError

# Two or three seconds; exports have a few thousand, careful ones a few hundred thousand for each part.
MAX_ITERATIONS = 3_000_000
MAX_PARTS = 100
MAX_BAGS = 3000
MAX_NESTING = 4
MAX_OID_BYTES = 64

# Reading an element takes about as long as this many iterations.
_PER_ELEMENT = 10

_SCRYPT = "1.3.6.1.4.1.11591.4.11"
_PBMAC1 = "1.2.840.113549.1.5.14"
_KDF_SALT = b"mdmprof."


class Budget:
    """How much work, counted in iterations, may still be spent; one for everything that comes from the same profile."""

    def __init__(self, left: int = MAX_ITERATIONS) -> None:
        self.left = left

    def spend(self, iterations: int, source: str) -> None:
        """Take iterations off; raises ``CertificateError`` when there are not that many left."""
        self.left -= iterations
        if self.left < 0:
            raise CertificateError(
                f"wants more than {MAX_ITERATIONS:,} iterations for its password, with the files before it",
                where=source,
                hint="export it again with fewer",
            )


class _Pbmac1(core.Sequence):  # type: ignore[misc]
    """PBMAC1-params of RFC 8018 appendix A.5, as RFC 9579 uses them in PKCS#12."""

    _fields: ClassVar[list[Any]] = [("kdf", algos.KdfAlgorithm), ("scheme", core.Any)]


class _Scrypt(core.Sequence):  # type: ignore[misc]
    """scrypt-params of RFC 7914 section 7.1."""

    _fields: ClassVar[list[Any]] = [
        ("salt", core.OctetString),
        ("cost", core.Integer),
        ("block_size", core.Integer),
        ("parallelization", core.Integer),
        ("key_length", core.Integer, {"optional": True}),
    ]


def open_pfx(
    data: bytes, password: bytes | None, *, source: str, budget: Budget | None = None
) -> tuple[list[x509.Certificate], object | None]:
    """The certificates and the private key of a PKCS#12; the key is None where there is none.

    Raises ``CertificateError`` for a structure that cannot be read or wants too much work, and what ``cryptography``
    raises for the rest, a wrong password among it.
    """
    budget = budget or Budget()
    try:
        budget.spend(count_elements(data) * _PER_ELEMENT, source)
        pfx = structure.Pfx.load(data)
        plain, locked = _parts(pfx, budget, source)
        budget.spend(_iterations(pfx, plain, locked), source)
    except X509_ERRORS as error:
        reason = str(error) if isinstance(error, _RefusedError | CrowdError) else "its structure is damaged"
        raise CertificateError(
            f"is not an intact PKCS#12 file: {reason}", where=source, hint="export it again"
        ) from None
    if not locked:
        return _contents(pkcs12.load_pkcs12(data, password))
    if password:
        return _open_parts(plain, locked, password, with_mac=False)
    # No password and an empty one are hashed differently, and only the MAC tells OpenSSL which of the two is meant.
    try:
        return _open_parts(plain, locked, password, with_mac=True)
    except X509_ERRORS:
        return _open_parts(plain, locked, password, with_mac=False)


def refuse_slow_key(der: bytes, *, source: str) -> None:
    """Raise ``CertificateError`` for an encrypted private key (RFC 5958) that wants too many iterations."""
    from asn1crypto import keys  # noqa: PLC0415 - for encrypted keys only

    try:
        iterations = _of_encryption(keys.EncryptedPrivateKeyInfo.load(der)["encryption_algorithm"])
    except X509_ERRORS:
        # No such structure, or one that is not read: cryptography says better what is wrong.
        return
    Budget().spend(iterations, source)


class _RefusedError(ValueError):
    """What is wrong with a structure, in words for the user."""


def _parts(pfx: Any, budget: Budget, source: str) -> tuple[list[Any], list[Any]]:  # noqa: ANN401 - asn1crypto has no types
    """The parts that lie open, and the others."""
    if _name(pfx["auth_safe"]["content_type"]) != "data":
        raise _RefusedError("its integrity is protected by a key instead of a password")
    budget.spend(count_elements(pfx["auth_safe"]["content"].native) * _PER_ELEMENT, source)
    safe = pfx.authenticated_safe
    if len(safe) > MAX_PARTS:
        raise _RefusedError(f"it has more than {MAX_PARTS} parts")
    plain = [each for each in safe if _name(each["content_type"]) == "data"]
    for each in plain:
        budget.spend(count_elements(each["content"].native) * _PER_ELEMENT, source)
    locked = [each for each in safe if _name(each["content_type"]) == "encrypted_data"]
    return plain, locked


def _iterations(pfx: Any, plain: Iterable[Any], locked: Sequence[Any]) -> int:  # noqa: ANN401
    """How often everything that will be opened has the password hashed."""
    # A device asks the MAC always; here it is not asked where there are encrypted parts, which tell a wrong password.
    total = _of_mac(pfx["mac_data"])
    for part in locked:
        total += _of_encryption(part["content"]["encrypted_content_info"]["content_encryption_algorithm"])
    bags = (each for part in plain for each in _bags(structure.SafeContents.load(part["content"].native)))
    for number, bag in enumerate(bags):
        if number > MAX_BAGS:
            raise _RefusedError(f"it has more than {MAX_BAGS} entries")
        if bag["bag_id"].native == "pkcs8_shrouded_key_bag":
            total += _of_encryption(bag["bag_value"]["encryption_algorithm"])
    return total


def _bags(contents: Any, depth: int = 0) -> Iterator[Any]:  # noqa: ANN401
    """Every bag, those inside other bags too."""
    if len(contents) > MAX_BAGS or depth > MAX_NESTING:
        raise _RefusedError("it has too many entries, or too many inside one another")
    for bag in contents:
        yield bag
        if _name(bag["bag_id"]) == "safe_contents":
            yield from _bags(bag["bag_value"], depth + 1)


def _of_mac(mac: Any) -> int:  # noqa: ANN401
    if not mac.contents:
        return 0
    algorithm = mac["mac"]["digest_algorithm"]
    if _name(algorithm["algorithm"]) == _PBMAC1:
        return _of_kdf(_Pbmac1.load(algorithm["parameters"].dump())["kdf"])
    return max(int(mac["iterations"].native), 0)


def _of_encryption(algorithm: Any) -> int:  # noqa: ANN401
    name = _name(algorithm["algorithm"])
    if name == "pbes2":
        return _of_kdf(algorithm["parameters"]["key_derivation_func"])
    if not name.startswith(("pkcs12_", "pbes1_")):
        raise _RefusedError(f"it is encrypted with {name}, which is not read")
    return max(int(algorithm["parameters"]["iterations"].native), 0)


def _of_kdf(kdf: Any) -> int:  # noqa: ANN401
    name = _name(kdf["algorithm"])
    if name == _SCRYPT:
        scrypt = _Scrypt.load(kdf["parameters"].dump())
        return max(prod(int(scrypt[each].native) for each in ("cost", "block_size", "parallelization")), 0)
    if name != "pbkdf2":
        raise _RefusedError(f"its password is hashed with {name}, which is not read")
    return max(int(kdf["parameters"]["iteration_count"].native), 0)


def _name(identifier: Any) -> str:  # noqa: ANN401
    """The name of an object identifier, or its numbers; reading an absurdly long one is quadratic."""
    if len(identifier.contents) > MAX_OID_BYTES:
        raise _RefusedError("it has an object identifier of absurd length")
    return str(identifier.native)


def _open_parts(
    plain: Sequence[Any], locked: Sequence[Any], password: bytes | None, *, with_mac: bool
) -> tuple[list[x509.Certificate], object | None]:
    """The key from the parts that lie open; from the others the certificates alone.

    OpenSSL decrypts the first key it comes to and no other, so one that is not encrypted is put before theirs.
    """
    certificates: list[x509.Certificate] = []
    key = None
    if plain:
        certificates, key = _contents(pkcs12.load_pkcs12(_pfx(plain, with_mac=with_mac), password))
    opened = pkcs12.load_pkcs12(_pfx([_decoy(), *locked], with_mac=with_mac), password)
    return [*certificates, *_contents(opened)[0]], key


def _contents(opened: pkcs12.PKCS12KeyAndCertificates) -> tuple[list[x509.Certificate], object | None]:
    entries = [each for each in (opened.cert, *opened.additional_certs) if each is not None]
    return [each.certificate for each in entries], opened.key


def _pfx(parts: Sequence[Any], *, with_mac: bool) -> bytes:
    """A PKCS#12 of these parts; the MAC, where wanted, is that of the empty password, hashed once."""
    safe = structure.AuthenticatedSafe(parts).dump()
    fields = {"version": "v3", "auth_safe": {"content_type": "data", "content": safe}}
    if with_mac:
        # RFC 7292 appendix B.2 with id 3: salt and password are repeated to 64 bytes each.
        key = hashlib.sha1(b"\x03" * 64 + _KDF_SALT * 8 + b"\x00" * 64).digest()  # noqa: S324 - nothing is protected by it
        digest = {"digest_algorithm": {"algorithm": "sha1"}, "digest": hmac.digest(key, safe, "sha1")}
        fields["mac_data"] = {"mac": digest, "mac_salt": _KDF_SALT, "iterations": 1}
    dumped: bytes = structure.Pfx(fields).dump()
    return dumped


@cache
def _decoy() -> Any:  # noqa: ANN401
    """A part with a private key that everybody knows, and that leaves this module for OpenSSL alone."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    bag = structure.SafeBag({"bag_id": "key_bag", "bag_value": structure.PrivateKeyInfo.load(der)})
    return cms.ContentInfo({"content_type": "data", "content": structure.SafeContents([bag]).dump()})
