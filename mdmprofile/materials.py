"""Everything that a config names, read from its files: certificates, identities, and secrets when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mdmprofile.certificates import PUSH_TOPIC_PREFIX, Certificate, Identity
from mdmprofile.cms.command import CmsCommand, command_identity
from mdmprofile.cms.pkcs11_uri import Pkcs11Uri
from mdmprofile.config import EncryptionSettings, EnrollmentConfig, ProfileSettings
from mdmprofile.config_identity import Pkcs12Settings, ScepSettings
from mdmprofile.config_signing import SigningSettings
from mdmprofile.containers import load_certificates, load_pkcs12, load_private_key
from mdmprofile.errors import (
    CertificateError,
    InputError,
    MdmprofileError,
    PasswordError,
    ProfileError,
    SecretError,
    collect,
    flatten,
    password_from,
)
from mdmprofile.extras import Extras, load_extras
from mdmprofile.inputs import ABSENT, MAX_PROFILE
from mdmprofile.printable import printable
from mdmprofile.recipients import recipients_of
from mdmprofile.secret import Prompt, SecretSource
from mdmprofile.sources import Sources

if TYPE_CHECKING:
    from mdmprofile.reader import OpenedProfile  # slow to import, needed for replacements only

T = TypeVar("T")

_GIVE_IT = "give its password with {}, or as {} in a config"


@dataclass(frozen=True, eq=False)
class Pkcs12File:
    """A PKCS#12 as it is in its file, opened; ``password`` is None when it has none."""

    data: bytes = field(repr=False)
    certificate: Certificate
    chain: tuple[Certificate, ...]
    password: str | None = field(repr=False)
    file_name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Materials:
    """What the config's files hold, and ``errors``, everything that could not be read."""

    trust: tuple[Certificate, ...]
    servers: tuple[Certificate, ...]
    push: Certificate | None
    pinned: tuple[Certificate, ...]
    checkin_pinned: tuple[Certificate, ...]
    scep_ca: Certificate | None
    pkcs12: Pkcs12File | None
    challenge: str | None = field(repr=False)
    removal_password: str | None = field(repr=False)
    signer: Identity | CmsCommand | None
    signer_certificate: Certificate | None
    signing_chain: tuple[Certificate, ...]
    replaced: OpenedProfile | None
    recipients: tuple[Certificate, ...]
    extras: Extras
    errors: tuple[MdmprofileError, ...]

    def signed_by(self, signer: Certificate, above: Sequence[Certificate]) -> Materials:
        """The same with the signer that a signature showed, where it was not known before."""
        if self.signer_certificate is not None:
            return self
        return replace(self, signer_certificate=signer, signing_chain=(*self.signing_chain, *above))


class _Loader:
    """Reads each file once and keeps every error instead of stopping at the first."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.prompt = sources.prompt
        self.errors: list[MdmprofileError] = []
        self.pkcs12_password: str | None = None
        self.pkcs12_hint = "name the certificates in PEM"
        self._certificates: dict[Path, tuple[Certificate, ...]] = {}

    def attempt(self, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except MdmprofileError as error:
            self.errors.append(error)
            return None

    def certificates(self, paths: Iterable[Path]) -> tuple[Certificate, ...]:
        return tuple(each for path in paths for each in self._of_file(path))

    def _of_file(self, path: Path) -> tuple[Certificate, ...]:
        if path not in self._certificates:
            self._certificates[path] = self.attempt(lambda: self._certificates_in(path)) or ()
        return self._certificates[path]

    def _certificates_in(self, path: Path) -> tuple[Certificate, ...]:
        with password_from(self.pkcs12_hint):
            data = self.sources.read(path)
            return load_certificates(data, source=str(path), password=_bytes(self.pkcs12_password))

    def secret(self, source: SecretSource | None) -> str | None:
        return None if source is None else self.attempt(lambda: self.sources.secret(source))

    def unlocked(
        self, opener: Callable[[bytes | None], T], source: SecretSource | None, file: Path, hint: str
    ) -> tuple[T | None, str | None]:
        """What ``opener`` makes of the file with its password, and that password; asks where none is configured.

        ``hint`` says where the password is given.
        """

        def opened(secret: str | None) -> T:
            with password_from(hint):
                return opener(_bytes(secret))

        password = self.secret(source) if source is not None else self.sources.known(str(file))
        if source is not None and password is None:
            self.attempt(lambda: self.sources.read(file))
            return None, None
        try:
            return opened(password), password
        except PasswordError as error:
            if source is not None or self.prompt is None:
                self.errors.append(error)
                return None, None
            password = self.sources.secrets[str(file)] = self.prompt(printable(f"Password of {file}"))
            return self.attempt(lambda: opened(password)), password
        except MdmprofileError as error:
            self.errors.append(error)
            return None, None


def load_materials(
    config: EnrollmentConfig,
    *,
    prompt: Prompt | None = None,
    private: bool = True,
    enrollment: bool = True,
    commands: bool = True,
    sources: Sources | None = None,
) -> Materials:
    """Read every file that the config names; ``sources`` are where they are read from, instead of the disk alone.

    Without ``private``, keys and secrets that are not needed to judge dates are left alone: the signer's key, the
    challenge, the removal password. Without ``enrollment``, so is everything that only the enrollment profile needs.
    Without ``commands`` no secret's command is run.
    """
    load = _Loader(sources or Sources(prompt=prompt, commands=commands))
    identity = config.identity if enrollment else None
    secrets = private and enrollment
    signing = config.signing
    load.pkcs12_password = load.secret(config.trust.pkcs12_password)
    load.pkcs12_hint = "give its password as trust.pkcs12_password, or name the certificates in PEM"
    trust = load.certificates(config.trust.certificates)
    signing_chain = load.certificates(signing.chain) if signing else ()
    signer = _signer(signing, load, private=private) if signing else None
    signer_certificate = signer.certificate if isinstance(signer, Identity) else None
    if signing and signing.certificate and signer_certificate is None:
        # Without the key at hand, the certificate that is no CA is the signer's.
        found = load.certificates([signing.certificate])
        signer_certificate = next((each for each in found if not each.is_ca), next(iter(found), None))
        signing_chain += tuple(each for each in found if each != signer_certificate)
    return Materials(
        trust=trust,
        servers=load.certificates(config.trust.server_certificate),
        push=_push(config.server.push_certificate if enrollment else None, load),
        pinned=load.certificates(config.server.url_pinning_certificates if enrollment else ()),
        checkin_pinned=load.certificates(config.server.checkin_url_pinning_certificates if enrollment else ()),
        scep_ca=_scep_ca(identity.ca_certificate, load) if isinstance(identity, ScepSettings) else None,
        pkcs12=_pkcs12(identity, load) if isinstance(identity, Pkcs12Settings) else None,
        challenge=load.secret(identity.challenge) if secrets and isinstance(identity, ScepSettings) else None,
        removal_password=load.secret(config.profile.removal_password) if secrets else None,
        signer=signer,
        signer_certificate=signer_certificate,
        signing_chain=signing_chain,
        replaced=_replaced(config.profile.replaces, load) if private else None,
        recipients=_recipients(config.encryption, load) if enrollment else (),
        extras=_extras(config.profile, load) if enrollment else Extras(),
        errors=tuple({str(each): each for each in _placed(load.errors, config.source)}.values()),
    )


def _placed(errors: Iterable[MdmprofileError], source: str) -> Iterable[MdmprofileError]:
    """The errors; a file absent from a config in another directory may have been meant from here."""
    folder = Path(source).parent
    for each in flatten(errors):
        if isinstance(each, InputError) and each.message == ABSENT and folder in Path(each.where).parents:
            each.hint = "check the path; paths in a config are relative to the config"
        yield each


def load_signer(
    settings: SigningSettings, *, prompt: Prompt | None = None, sources: Sources | None = None
) -> Identity | CmsCommand:
    """The signer alone, with the certificates of its chain files.

    Logs in to the token where the key is on one; runs no signing command. Raises every error that stands in the way.
    """
    load = _Loader(sources or Sources(prompt=prompt))
    signer = _signer(settings, load, private=True)
    chain = load.certificates(settings.chain)
    if signer is None or load.errors:
        raise collect(load.errors)
    if isinstance(signer, CmsCommand):
        return signer
    return Identity(signer.certificate, signer.key, (*signer.chain, *chain))


def _signer(signing: SigningSettings, load: _Loader, *, private: bool) -> Identity | CmsCommand | None:
    """The signer; None when it cannot be had, or when keys are to be left alone."""
    if signing.pkcs12 is not None:
        pkcs12 = signing.pkcs12
        return load.unlocked(
            lambda password: load_pkcs12(load.sources.read(pkcs12), source=str(pkcs12), password=password),
            signing.pkcs12_password,
            pkcs12,
            _GIVE_IT.format("--signer-pkcs12-password-file", "signing.pkcs12_password"),
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
        return load.attempt(lambda: command_identity(command, certificates))
    if signing.pkcs11 is not None:
        return _on_token(signing.pkcs11, signing.pkcs11_pin, certificates, load)
    return None


def _in_files(
    file: Path, password: SecretSource | None, certificates: tuple[Certificate, ...], load: _Loader
) -> Identity | None:
    key, _ = load.unlocked(
        lambda given: load_private_key(load.sources.read(file), source=str(file), password=given),
        password,
        file,
        _GIVE_IT.format("--signer-key-password-file", "signing.key_password"),
    )
    if key is None or not certificates:
        return None
    # A file with the whole chain is common: the signer is the certificate the key belongs to, else the first.
    candidates = [Identity(each, key) for each in certificates]
    chosen = next((each for each in candidates if each.key_matches), candidates[0])
    return Identity(chosen.certificate, key, tuple(each for each in certificates if each != chosen.certificate))


def _on_token(
    uri: Pkcs11Uri, source: SecretSource | None, certificates: tuple[Certificate, ...], load: _Loader
) -> Identity | None:
    from mdmprofile.cms.pkcs11 import token_identity  # noqa: PLC0415 - few signers are on a token

    def pin(label: str) -> str:
        if source is None and load.prompt is None and load.sources.known("signing.pkcs11_pin") is None:
            hint = "give --signer-pkcs11-pin-file, or signing.pkcs11_pin in a config"
            raise SecretError(f"the token {printable(label)} needs a PIN", where="signing.pkcs11_pin", hint=hint)
        asked = source or SecretSource("prompt", f"PIN of the token {label}", "signing.pkcs11_pin")
        return load.sources.secret(asked)

    return load.attempt(lambda: token_identity(uri, certificates, pin))


def _replaced(path: Path | None, load: _Loader) -> OpenedProfile | None:
    if path is None:
        return None
    from mdmprofile.reader import open_profile  # noqa: PLC0415 - slow to import, needed for replacements only

    opened = load.attempt(lambda: open_profile(load.sources.read(path, limit=MAX_PROFILE), source=str(path)))
    if opened is None:
        return None
    if not opened.profile.identifier:
        load.errors.append(ProfileError("has no PayloadIdentifier, so nothing can replace it", where=str(path)))
    if opened.profile.encrypted:
        hint = "decrypt it first: mdmprofile decrypt"
        load.errors.append(ProfileError("is encrypted, so it cannot be compared", where=str(path), hint=hint))
    return opened


def _extras(settings: ProfileSettings, load: _Loader) -> Extras:
    if not settings.extra_payloads and settings.extra_keys is None:
        return Extras()
    read = load.sources.read
    return load.attempt(lambda: load_extras(settings.extra_payloads, settings.extra_keys, read)) or Extras()


def _recipients(settings: EncryptionSettings | None, load: _Loader) -> tuple[Certificate, ...]:
    found = (recipients_of(load.certificates([path])) for path in (settings.recipients if settings else ()))
    return tuple(dict.fromkeys(each for certificates in found for each in certificates))


def _push(path: Path | None, load: _Loader) -> Certificate | None:
    found = load.certificates([path] if path else [])
    topical = (each for each in found if each.push_topic.startswith(PUSH_TOPIC_PREFIX))
    return next(topical, next(iter(found), None))


def _scep_ca(path: Path | None, load: _Loader) -> Certificate | None:
    found = load.certificates([path] if path else [])
    if len(found) > 1:
        load.errors.append(
            CertificateError(f"holds {len(found)} certificates where the SCEP CA's one is needed", where=str(path))
        )
    return next(iter(found), None)


def _pkcs12(settings: Pkcs12Settings, load: _Loader) -> Pkcs12File | None:
    file = settings.file

    def opened(password: bytes | None) -> tuple[bytes, Identity]:
        data = load.sources.read(file)
        return data, load_pkcs12(data, source=str(file), password=password)

    found, password = load.unlocked(
        opened, settings.password, file, _GIVE_IT.format("--pkcs12-password-file", "identity.password")
    )
    if found is None:
        return None
    data, opened_identity = found
    return Pkcs12File(data, opened_identity.certificate, opened_identity.chain, password, file.name)


def _bytes(password: str | None) -> bytes | None:
    return None if password is None else password.encode("utf-8")
