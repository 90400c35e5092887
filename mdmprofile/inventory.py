"""Everything that ends, gathered from a config or an opened profile, each with its role and place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mdmprofile.certificates import PUSH_TOPIC_PREFIX, Certificate
from mdmprofile.chain import INTERMEDIATE, LEAF, role_of, server_leaves
from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import Pkcs12Settings, ScepSettings
from mdmprofile.materials import Materials
from mdmprofile.moments import shift, spoken
from mdmprofile.plan import Watched, watch


def watched_by_config(
    config: EnrollmentConfig, materials: Materials, *, now: datetime, enrollment: bool = True
) -> tuple[Watched, ...]:
    """Everything that ends among what a config names; a SCEP or ACME identity begins at ``now``.

    Without ``enrollment``, only what the trust profile and the documents depend on.
    """
    found = []
    if not config.trust.public:
        found += by_role(materials.trust)
    found += [watch(each, LEAF, each.source) for each in server_leaves(materials.servers)]
    found += [watch(each, "pinned", each.source) for each in (*materials.pinned, *materials.checkin_pinned)]
    if enrollment:
        found.append(_identity(config, materials, now))
    if materials.signer_certificate is not None:
        found.append(watch(materials.signer_certificate, "signer", materials.signer_certificate.source))
    chain = (*materials.signing_chain, *(materials.signer.chain if materials.signer else ()))
    found += by_role(each for each in chain if role_of(each) == INTERMEDIATE)
    if materials.push is not None:
        found.append(watch(materials.push, "push", materials.push.source))
    return without_repeats(found)


def by_role(certificates: Iterable[Certificate]) -> list[Watched]:
    """Certificates in the roles that their own evidence gives them; a leaf with an MDM topic is a push certificate."""
    return [watch(each, evident_role(each), each.source) for each in certificates]


def evident_role(certificate: Certificate) -> str:
    """``root``, ``intermediate``, ``push`` or ``leaf``."""
    role = role_of(certificate)
    return "push" if role == LEAF and certificate.push_topic.startswith(PUSH_TOPIC_PREFIX) else role


def without_repeats(found: Sequence[Watched]) -> tuple[Watched, ...]:
    """One row for a certificate in a role, however often it is named."""
    seen: dict[tuple[str, object], Watched] = {}
    for each in found:
        seen.setdefault((each.role, each.certificate or each.where), each)
    return tuple(seen.values())


def _identity(config: EnrollmentConfig, materials: Materials, now: datetime) -> Watched:
    identity = config.identity
    if isinstance(identity, Pkcs12Settings):
        if materials.pkcs12 is not None:
            certificate = materials.pkcs12.identity.certificate
            return watch(certificate, "identity", certificate.source)
        return Watched("identity", "in the PKCS#12 file", "identity.file", baked_in=True, not_after=None)
    protocol = "SCEP" if isinstance(identity, ScepSettings) else "ACME"
    if identity.validity is None:
        return Watched("identity", f"from {protocol}", "identity.validity", baked_in=True, not_after=None)
    return Watched(
        "identity",
        f"from {protocol}, valid for {spoken(identity.validity)}",
        "identity.validity",
        baked_in=True,
        not_after=shift(now, identity.validity),
    )
