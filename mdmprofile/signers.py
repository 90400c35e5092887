"""The signer that settings name: its key in a file, on a token, or behind a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import IssuerGraph
from mdmprofile.cms.command import CmsCommand, command_identity
from mdmprofile.cms.pkcs11_uri import Pkcs11Uri
from mdmprofile.config_signing import SigningSettings
from mdmprofile.containers import load_pkcs12, load_private_key
from mdmprofile.errors import SecretError
from mdmprofile.loader import GIVE_IT, Loader
from mdmprofile.printable import printable
from mdmprofile.secret import SecretSource


def signer_of(
    signing: SigningSettings, load: Loader, *, private: bool, authority: bool = False
) -> Identity | CmsCommand | None:
    """The signer; None when it cannot be had, or when keys are to be left alone.

    With ``authority`` it is a CA, so that a command signs for the lowest CA of the file, not for the first leaf.
    """
    if signing.pkcs12 is not None:
        pkcs12 = signing.pkcs12
        return load.unlocked(
            lambda password: load_pkcs12(load.sources.read(pkcs12), source=str(pkcs12), password=password),
            signing.pkcs12_password,
            pkcs12,
            GIVE_IT.format("--signer-pkcs12-password-file", "signing.pkcs12_password"),
        )[0]
    if not private:
        return None
    certificates = load.certificates([signing.certificate] if signing.certificate else [])
    if signing.key is not None:
        return _in_files(signing.key, signing.key_password, certificates, load)
    if signing.certificate is not None and not certificates:
        return None
    if signing.cms_command is not None:
        return CmsCommand(signing.cms_command, certificates)
    if signing.command is not None:
        command = signing.command
        certificates = authorities(certificates) if authority else certificates
        return load.attempt(lambda: command_identity(command, certificates))
    if signing.pkcs11 is not None:
        return _on_token(signing.pkcs11, signing.pkcs11_pin, certificates, load)
    return None


def _in_files(
    file: Path, password: SecretSource | None, certificates: tuple[Certificate, ...], load: Loader
) -> Identity | None:
    key, _ = load.unlocked(
        lambda given: load_private_key(load.sources.read(file), source=str(file), password=given),
        password,
        file,
        GIVE_IT.format("--signer-key-password-file", "signing.key_password"),
    )
    if key is None or not certificates:
        return None
    # A file with the whole chain is common: the signer is the certificate the key belongs to, else the first.
    candidates = [Identity(each, key) for each in certificates]
    chosen = next((each for each in candidates if each.key_matches), candidates[0])
    return Identity(chosen.certificate, key, tuple(each for each in certificates if each != chosen.certificate))


def _on_token(
    uri: Pkcs11Uri, source: SecretSource | None, certificates: tuple[Certificate, ...], load: Loader
) -> Identity | None:
    from mdmprofile.cms.pkcs11 import token_identity  # noqa: PLC0415 - few signers are on a token

    def pin(label: str) -> str:
        question = f"PIN of the token {label}"
        if source is None and load.sources.prompt is None and load.sources.known(question) is None:
            hint = "give --signer-pkcs11-pin-file, or signing.pkcs11_pin in a config"
            raise SecretError(f"the token {printable(label)} needs a PIN", where="signing.pkcs11_pin", hint=hint)
        return load.sources.secret(source or SecretSource("prompt", question, question))

    return load.attempt(lambda: token_identity(uri, certificates, pin))


def authorities(certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The CAs among them from the lowest up; all of them as they are where none is a CA."""
    graph = IssuerGraph(each for each in certificates if each.is_ca)
    return graph.root_down[::-1] or tuple(certificates)
