"""The main job on one page: a config and a date in; signed profiles, documents and a judgement out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import TrustChain, arrange
from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import IssuedSettings
from mdmprofile.enrollment import enrollment_profile
from mdmprofile.errors import ConfigError, collect
from mdmprofile.findings import Finding, by_severity, finding, has_errors
from mdmprofile.inventory import thresholds_of, watched_by_config
from mdmprofile.judgement import judge_identity, judge_public, judge_removal, judge_topic
from mdmprofile.materials import Materials, load_materials
from mdmprofile.naming import Names, names_of
from mdmprofile.plan import Plan, Watched, judge_dates, make_plan
from mdmprofile.profile import Profile
from mdmprofile.publishing import FILES
from mdmprofile.rules import judge_enrollment, judge_trust_profile
from mdmprofile.secret import Prompt
from mdmprofile.signing import Judge, Signed, sign_judged
from mdmprofile.trust import (
    account_servers,
    anchor_certificates,
    discovery_document,
    judge_urls,
    published_urls,
    service_config,
    trust_profile,
)


@dataclass(frozen=True, eq=False)
class Artifact:
    """One result file: its name in the output directory, its bytes, and whether it holds a readable secret."""

    kind: str
    name: str
    data: bytes = field(repr=False)
    signed: bool
    secret: bool
    encrypted: bool = False


class BuildResult(NamedTuple):
    """What a build made and what it found; ``artifacts`` is empty when a finding is an error.

    ``profile`` is the enrollment profile, or the trust profile where that alone was asked for; it is without keys when
    public trust needs neither.
    """

    artifacts: tuple[Artifact, ...]
    profile: Profile
    chain: TrustChain
    findings: tuple[Finding, ...]
    plan: Plan
    watched: tuple[Watched, ...]


def build(config: EnrollmentConfig, *, now: datetime, prompt: Prompt | None = None) -> BuildResult:
    """Build and sign the enrollment profile and the documents beside it, judged as of ``now`` (aware UTC).

    The property lists are the same, byte for byte, for the same inputs; only encryption is random. ``profile`` and the
    judgement are of the profile before it is encrypted. ``prompt`` asks a person for a secret. Raises an
    ``MdmprofileError`` when an input cannot be read, and for a config whose identities are issued for each device.
    """
    if isinstance(config.identity, IssuedSettings):
        raise ConfigError(
            "is issued for each device, and build makes one profile",
            where=f"{config.source}: identity",
            hint="make one for each device with mdmprofile batch, or issue one with mdmprofile identity issue and name "
            "it as identity.file",
        )
    return _build(config, now=now, prompt=prompt, enrollment=True)


def build_trust(config: EnrollmentConfig, *, now: datetime, prompt: Prompt | None = None) -> BuildResult:
    """Build only the trust profile and the service documents; otherwise like ``build``."""
    return _build(config, now=now, prompt=prompt, enrollment=False)


class Draft(NamedTuple):
    """A build before it is encrypted and signed; ``findings`` are those that no signer and no date changes."""

    config: EnrollmentConfig
    materials: Materials
    now: datetime
    names: Names
    chain: TrustChain
    profile: Profile | None
    trust: Profile | None
    findings: tuple[Finding, ...]

    def watched(self, signer: Certificate | None, above: Sequence[Certificate]) -> tuple[Watched, ...]:
        """Everything that ends, with the signer's certificate and those above it where a signature showed them."""
        known = self.materials if signer is None else self.materials.signed_by(signer, above)
        return watched_by_config(self.config, known, now=self.now, enrollment=self.profile is not None)

    def judge(self, signer: Certificate | None, above: Sequence[Certificate]) -> tuple[Finding, ...]:
        """Every finding, with what the signer and the dates bring."""
        watched = self.watched(signer, above)
        dates = judge_dates(watched, thresholds_of(self.config), now=self.now, building=True)
        replacement: tuple[Finding, ...] = ()
        if self.profile is not None:
            replacement = _judge_replacement(self.config, self.profile, self.materials, signer, self.now)
        return (*self.findings, *replacement, *dates)


def draft(config: EnrollmentConfig, materials: Materials, *, now: datetime, enrollment: bool = True) -> Draft:
    """Assemble and judge what the config and its files describe.

    Raises an ``MdmprofileError`` for files that could not be read.
    """
    if materials.errors:
        raise collect(materials.errors)
    names, findings = _names(config, materials)
    chain = _chain(config, materials)
    profile = enrollment_profile(config, chain, materials, names) if enrollment else None
    trust = trust_profile(config, chain, names) if _wants_trust(config, enrollment) else None
    findings += [
        *chain.findings,
        *judge_urls(config.trust),
        *judge_public(config.trust, materials),
        *(judge_trust_profile(trust) if trust else ()),
        *(_judge_enrollment(config, profile, materials, now) if profile else ()),
        *(_judge_encryption(config, profile, materials) if profile else ()),
    ]
    return Draft(config, materials, now, names, chain, profile, trust, tuple(findings))


def _build(config: EnrollmentConfig, *, now: datetime, prompt: Prompt | None, enrollment: bool) -> BuildResult:
    materials = load_materials(config, prompt=prompt, enrollment=enrollment)
    made = draft(config, materials, now=now, enrollment=enrollment)
    sent = made.profile if has_errors(made.findings) else encrypted(made.profile, materials)
    profiles = [each for each in (sent, made.trust) if each is not None]
    signed = _sign(profiles, materials, made.judge)
    artifacts: tuple[Artifact, ...] = ()
    if not has_errors(signed.findings):
        artifacts = tuple(_artifacts(config, made.chain, sent, made.trust, signed))
    watched = made.watched(signed.certificate, signed.above)
    plan = make_plan(watched, thresholds_of(config))
    profile = made.profile or made.trust or Profile({})
    return BuildResult(artifacts, profile, made.chain, by_severity(signed.findings), plan, watched)


def _judge_enrollment(
    config: EnrollmentConfig, profile: Profile, materials: Materials, now: datetime
) -> Iterable[Finding]:
    yield from judge_enrollment(profile)
    yield from judge_topic(config.server, materials)
    yield from judge_identity(config.identity, materials)
    yield from judge_removal(config.profile, now=now)


def _judge_replacement(
    config: EnrollmentConfig, profile: Profile, materials: Materials, signer: Certificate | None, now: datetime
) -> tuple[Finding, ...]:
    """Whether a device takes the profile in the place of the one it has; who signs it may count."""
    unsigned_yet = signer is None and materials.signer is not None
    if materials.replaced is None or unsigned_yet:
        return ()
    from mdmprofile.replacement import judge_replacement  # noqa: PLC0415 - slow, needed for replacements only

    via = config.profile.replaces_via
    servers = materials.servers
    return tuple(judge_replacement(materials.replaced, profile, via=via, signer=signer, servers=servers, at=now))


def _judge_encryption(config: EnrollmentConfig, profile: Profile, materials: Materials) -> Iterable[Finding]:
    if materials.recipients:
        from mdmprofile.cms.encrypt import judge_encryption  # noqa: PLC0415 - few profiles are encrypted

        replaces = config.profile.replaces is not None
        yield from judge_encryption(profile, materials.recipients, replaces=replaces)


def encrypted(profile: Profile | None, materials: Materials) -> Profile | None:
    """The enrollment profile as devices get it; the signature then covers the encrypted payloads."""
    if profile is None or not materials.recipients:
        return profile
    from mdmprofile.cms.encrypt import encrypt_profile  # noqa: PLC0415 - few profiles are encrypted

    return encrypt_profile(profile, materials.recipients)


def _names(config: EnrollmentConfig, materials: Materials) -> tuple[Names, list[Finding]]:
    """Names for the payloads, and the finding that a replaced profile's identifier won over the config's."""
    identifier = config.profile.identifier
    replaced = materials.replaced.profile if materials.replaced else None
    names = names_of(identifier, config.trust.uuids, replaces=replaced)
    if names.identifier == identifier:
        return names, []
    message = f"the identifier {names.identifier} of {config.profile.replaces} is kept instead of {identifier}"
    return names, [finding("profile.kept-identifier", message, where="profile.identifier")]


def _chain(config: EnrollmentConfig, materials: Materials) -> TrustChain:
    if config.trust.public:
        return TrustChain((), (), (), ())
    return arrange(materials.trust, servers=materials.servers)


def _wants_trust(config: EnrollmentConfig, enrollment: bool) -> bool:
    return not config.trust.public and (bool(config.trust.trust_profile_url) or not enrollment)


def _sign(profiles: Iterable[Profile], materials: Materials, judge: Judge) -> Signed:
    """The profiles' bytes, signed where a signer is configured; none when a finding is an error."""
    contents = (each.to_bytes() for each in profiles)
    if materials.signer is not None:
        return sign_judged(contents, materials.signer, (*materials.signing_chain, *materials.trust), judge)
    unsigned = finding("signing.unsigned", "no signer is configured", where="signing")
    findings = (*judge(None, ()), unsigned)
    return Signed(() if has_errors(findings) else tuple(contents), findings)


def _artifacts(
    config: EnrollmentConfig, chain: TrustChain, profile: Profile | None, trust: Profile | None, signed: Signed
) -> Iterable[Artifact]:
    data = iter(signed.data)

    def made(kind: str, content: Profile) -> Artifact:
        return Artifact(
            kind, FILES[kind], next(data), config.signing is not None, content.holds_secret, content.encrypted
        )

    def plain(kind: str, content: bytes) -> Artifact:
        return Artifact(kind, FILES[kind], content, False, False)

    if profile is not None:
        yield made("enrollment", profile)
    if trust is not None:
        yield made("trust", trust)
    if published_urls(config.trust):
        yield plain("service-config", service_config(config.trust))
    if published_urls(config.trust) or profile is None:
        yield plain("anchor-certificates", anchor_certificates(config.trust, chain))
    if account_servers(config.trust):
        yield plain("discovery", discovery_document(config.trust))
