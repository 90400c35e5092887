"""For whom a profile is encrypted: certificates to encrypt for, and the identity that decrypts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.containers import is_pkcs12, load_certificates, load_pkcs12, load_private_key
from mdmprofile.errors import EncryptionError, MdmprofileError, PasswordError, collect, password_from
from mdmprofile.inputs import read_file
from mdmprofile.printable import printable
from mdmprofile.secret import Prompt, SecretSource

_Opened = TypeVar("_Opened")


class RecipientFiles(NamedTuple):
    """Where a recipient's certificate and key are: one or two files, or one PKCS#12."""

    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretSource | None = None
    pkcs12: Path | None = None
    pkcs12_password: SecretSource | None = None


def load_recipients(paths: Iterable[Path]) -> tuple[Certificate, ...]:
    """The certificates to encrypt for, of every file; raises every error that stands in the way."""
    found: list[Certificate] = []
    errors: list[MdmprofileError] = []
    for path in paths:
        try:
            with password_from("name the certificate in PEM instead"):
                found += recipients_of(load_certificates(read_file(path), source=str(path)))
        except MdmprofileError as error:
            errors.append(error)
    if errors:
        raise collect(errors)
    return tuple(dict.fromkeys(found))


def recipients_of(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Those of a file that are no CA: a device's certificate often comes with its issuers. A CA only when alone."""
    given = tuple(certificates)
    return tuple(each for each in given if not each.is_ca) or given[:1]


def load_recipient(files: RecipientFiles, *, prompt: Prompt | None = None) -> Identity:
    """The identity that decrypts.

    Certificate and key may be in one file, named as either. ``prompt`` asks a person for a password that nobody
    configured. Raises ``EncryptionError`` when a part is missing or the parts do not belong together, and what the
    loaders raise.
    """
    if files.pkcs12 is not None:
        with password_from("give its password with --recipient-pkcs12-password-file"):
            return _from_pkcs12(files.pkcs12, files.pkcs12_password, prompt)
    certificate, key = files.certificate or files.key, files.key or files.certificate
    if certificate is None or key is None:
        raise EncryptionError("has no recipient", hint="name the recipient's certificate and key")
    data = read_file(certificate)
    if files.key is None and is_pkcs12(data):
        hint = "name the file with --recipient-pkcs12, and its password with --recipient-pkcs12-password-file"
        with password_from(hint):
            return _from_pkcs12(certificate, files.key_password or files.pkcs12_password, prompt)
    certificates = load_certificates(data, source=str(certificate))
    if files.key is None and b"PRIVATE KEY-----" not in data:
        raise EncryptionError(
            "holds no private key, without which nothing is decrypted",
            where=str(certificate),
            hint="name the file of the recipient's key too",
        )
    key_data = data if key == certificate else read_file(key)
    with password_from("give its password with --recipient-key-password-file"):
        private = _unlocked(
            lambda password: load_private_key(key_data, source=str(key), password=password),
            files.key_password,
            key,
            prompt,
        )
    identities = [Identity(each, private) for each in certificates]
    matching = next((each for each in identities if each.key_matches), None)
    if matching is None:
        raise EncryptionError(
            f"does not belong to the certificate of {certificates[0].name}",
            where=str(key),
            hint="give the key that the certificate was issued for",
        )
    return matching


def _from_pkcs12(path: Path, password: SecretSource | None, prompt: Prompt | None) -> Identity:
    data = read_file(path)
    return _unlocked(
        lambda secret: load_pkcs12(data, source=str(path), password=secret),
        password,
        path,
        prompt,
    )


def _unlocked(
    opener: Callable[[bytes | None], _Opened], source: SecretSource | None, file: Path, prompt: Prompt | None
) -> _Opened:
    """What ``opener`` makes of the file with its password; asks where none is configured and one is needed."""
    password = source.fetch(prompt).encode("utf-8") if source is not None else None
    try:
        return opener(password)
    except PasswordError:
        if source is not None or prompt is None:
            raise
    return opener(prompt(printable(f"Password of {file}")).encode("utf-8"))
