"""The main job on one page: a config and a date in; signed profiles, documents and a judgement out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Identity
from mdmprofile.chain import TrustChain, arrange
from mdmprofile.cms.keys import complete_chain, judge_signing
from mdmprofile.cms.sign import sign
from mdmprofile.config import EnrollmentConfig
from mdmprofile.enrollment import enrollment_profile
from mdmprofile.errors import collect
from mdmprofile.findings import Finding, by_severity, finding, has_errors
from mdmprofile.inventory import thresholds_of, watched_by_config
from mdmprofile.judgement import judge_identity, judge_public, judge_removal, judge_topic
from mdmprofile.materials import Materials, load_materials
from mdmprofile.naming import Names, names_of
from mdmprofile.plan import Plan, Watched, judge_dates, make_plan
from mdmprofile.profile import Profile
from mdmprofile.rules import judge_enrollment, judge_trust_profile
from mdmprofile.secret import Prompt
from mdmprofile.trust import anchor_certificates, judge_urls, published_urls, service_config, trust_profile


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
    ``MdmprofileError`` when an input cannot be read.
    """
    return _build(config, now=now, prompt=prompt, enrollment=True)


def build_trust(config: EnrollmentConfig, *, now: datetime, prompt: Prompt | None = None) -> BuildResult:
    """Build only the trust profile and the service documents; otherwise like ``build``."""
    return _build(config, now=now, prompt=prompt, enrollment=False)


def _build(config: EnrollmentConfig, *, now: datetime, prompt: Prompt | None, enrollment: bool) -> BuildResult:
    materials = load_materials(config, prompt=prompt, enrollment=enrollment)
    if materials.errors:
        raise collect(materials.errors)
    names, findings = _names(config, materials)
    chain = _chain(config, materials)
    profile = enrollment_profile(config, chain, materials, names) if enrollment else None
    trust = trust_profile(config, chain, names) if _wants_trust(config, enrollment) else None
    watched = watched_by_config(config, materials, now=now, enrollment=enrollment)
    thresholds = thresholds_of(config)
    available = (*materials.signing_chain, *materials.trust)
    signer = complete_chain(materials.signer, available) if materials.signer else None
    findings += [
        *chain.findings,
        *judge_urls(config.trust),
        *judge_public(config.trust, materials),
        *(judge_trust_profile(trust) if trust else ()),
        *(_judge_enrollment(config, profile, materials, now) if profile else ()),
        *(_judge_encryption(config, profile, materials) if profile else ()),
        *(_unsigned() if signer is None else judge_signing(signer, available)),
        *judge_dates(watched, thresholds, now=now, building=True),
    ]
    sent = profile if has_errors(findings) else _encrypted(profile, materials)
    artifacts = () if has_errors(findings) else tuple(_artifacts(config, chain, sent, trust, signer))
    plan = make_plan(watched, thresholds)
    return BuildResult(artifacts, profile or trust or Profile({}), chain, by_severity(findings), plan, watched)


def _judge_enrollment(
    config: EnrollmentConfig, profile: Profile, materials: Materials, now: datetime
) -> Iterable[Finding]:
    yield from judge_enrollment(profile)
    yield from judge_topic(config.server, materials)
    yield from judge_identity(config.identity, materials)
    yield from judge_removal(config.profile, now=now)


def _judge_encryption(config: EnrollmentConfig, profile: Profile, materials: Materials) -> Iterable[Finding]:
    if materials.recipients:
        from mdmprofile.cms.encrypt import judge_encryption  # noqa: PLC0415 - few profiles are encrypted

        replaces = config.profile.replaces is not None
        yield from judge_encryption(profile, materials.recipients, replaces=replaces)


def _encrypted(profile: Profile | None, materials: Materials) -> Profile | None:
    """The enrollment profile as devices get it; the signature then covers the encrypted payloads."""
    if profile is None or not materials.recipients:
        return profile
    from mdmprofile.cms.encrypt import encrypt_profile  # noqa: PLC0415 - few profiles are encrypted

    return encrypt_profile(profile, materials.recipients)


def _names(config: EnrollmentConfig, materials: Materials) -> tuple[Names, list[Finding]]:
    """Names for the payloads, and the finding that a replaced profile's identifier won over the config's."""
    identifier = config.profile.identifier
    names = names_of(identifier, config.trust.uuids, replaces=materials.replaced)
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


def _unsigned() -> tuple[Finding, ...]:
    return (finding("signing.unsigned", "no signer is configured", where="signing"),)


def _artifacts(
    config: EnrollmentConfig,
    chain: TrustChain,
    profile: Profile | None,
    trust: Profile | None,
    signer: Identity | None,
) -> Iterable[Artifact]:
    def made(kind: str, name: str, content: Profile) -> Artifact:
        plain = content.to_bytes()
        return Artifact(
            kind,
            name,
            sign(plain, signer) if signer else plain,
            signer is not None,
            content.holds_secret,
            content.encrypted,
        )

    if profile is not None:
        yield made("enrollment", "enroll.mobileconfig", profile)
    if trust is not None:
        yield made("trust", "trust.mobileconfig", trust)
    if published_urls(config.trust):
        yield Artifact("service-config", "MDMServiceConfig", service_config(config.trust), False, False)
    if config.trust.publishes or profile is None:
        anchors = anchor_certificates(config.trust, chain)
        yield Artifact("anchor-certificates", "dep_anchor_certs", anchors, False, False)
