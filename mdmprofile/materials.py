"""Everything that a config names, read from its files: certificates, identities, and secrets when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mdmprofile.certificates import PUSH_TOPIC_PREFIX, Certificate, Identity
from mdmprofile.cms.command import CmsCommand
from mdmprofile.config import EncryptionSettings, EnrollmentConfig, ProfileSettings
from mdmprofile.config_identity import IssuedSettings, Pkcs12Settings, ScepSettings
from mdmprofile.config_signing import SigningSettings
from mdmprofile.containers import load_pkcs12
from mdmprofile.errors import CertificateError, InputError, MdmprofileError, ProfileError, collect, flatten
from mdmprofile.extras import Extras, load_extras
from mdmprofile.inputs import ABSENT, MAX_PROFILE
from mdmprofile.loader import GIVE_IT, Loader
from mdmprofile.recipients import recipients_of
from mdmprofile.secret import Prompt
from mdmprofile.signers import authorities, signer_of
from mdmprofile.sources import Sources

if TYPE_CHECKING:
    from mdmprofile.reader import OpenedProfile  # slow to import, needed for replacements only


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
    issuing_ca: Certificate | None = None
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
    load = Loader(sources or Sources(prompt=prompt, commands=commands))
    identity = config.identity if enrollment else None
    secrets = private and enrollment
    signing = config.signing
    load.pkcs12_password = load.secret(config.trust.pkcs12_password)
    load.pkcs12_hint = "give its password as trust.pkcs12_password, or name the certificates in PEM"
    trust = load.certificates(config.trust.certificates)
    signing_chain = load.certificates(signing.chain) if signing else ()
    signer = signer_of(signing, load, private=private) if signing else None
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
        issuing_ca=_issuing_ca(identity, load) if isinstance(identity, IssuedSettings) else None,
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
    load = Loader(sources or Sources(prompt=prompt))
    signer = signer_of(settings, load, private=True)
    chain = load.certificates(settings.chain)
    if signer is None or load.errors:
        raise collect(load.errors)
    if isinstance(signer, CmsCommand):
        return signer
    return Identity(signer.certificate, signer.key, (*signer.chain, *chain))


def load_issuer(settings: IssuedSettings, *, prompt: Prompt | None = None, sources: Sources | None = None) -> Identity:
    """The CA that issues identities, with the other certificates that are in its file or on its token.

    Logs in to the token where the key is on one; runs no signing command. Raises every error that stands in the way.
    """
    from mdmprofile.issuers import naming_the_ca  # noqa: PLC0415 - few configs issue

    load = Loader(sources or Sources(prompt=prompt))
    with naming_the_ca():
        ca = signer_of(settings.ca, load, private=True, authority=True)
        if load.errors or not isinstance(ca, Identity):
            raise collect(load.errors)
    return ca


def _replaced(path: Path | None, load: Loader) -> OpenedProfile | None:
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


def _extras(settings: ProfileSettings, load: Loader) -> Extras:
    if not settings.extra_payloads and settings.extra_keys is None:
        return Extras()
    read = load.sources.read
    return load.attempt(lambda: load_extras(settings.extra_payloads, settings.extra_keys, read)) or Extras()


def _recipients(settings: EncryptionSettings | None, load: Loader) -> tuple[Certificate, ...]:
    found = (recipients_of(load.certificates([path])) for path in (settings.recipients if settings else ()))
    return tuple(dict.fromkeys(each for certificates in found for each in certificates))


def _push(path: Path | None, load: Loader) -> Certificate | None:
    found = load.certificates([path] if path else [])
    topical = (each for each in found if each.push_topic.startswith(PUSH_TOPIC_PREFIX))
    return next(topical, next(iter(found), None))


def _scep_ca(path: Path | None, load: Loader) -> Certificate | None:
    found = load.certificates([path] if path else [])
    if len(found) > 1:
        load.errors.append(
            CertificateError(f"holds {len(found)} certificates where the SCEP CA's one is needed", where=str(path))
        )
    return next(iter(found), None)


def _issuing_ca(settings: IssuedSettings, load: Loader) -> Certificate | None:
    """The CA's certificate alone; where it comes with its key, that is left alone."""
    found = load.certificates([settings.ca.certificate] if settings.ca.certificate else [])
    return next(iter(authorities(found)), None)


def _pkcs12(settings: Pkcs12Settings, load: Loader) -> Pkcs12File | None:
    file = settings.file

    def opened(password: bytes | None) -> tuple[bytes, Identity]:
        data = load.sources.read(file)
        return data, load_pkcs12(data, source=str(file), password=password)

    found, password = load.unlocked(
        opened, settings.password, file, GIVE_IT.format("--pkcs12-password-file", "identity.password")
    )
    if found is None:
        return None
    data, opened_identity = found
    return Pkcs12File(data, opened_identity.certificate, opened_identity.chain, password, file.name)
