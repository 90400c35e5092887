"""What can be said of a config only with its files at hand: topic, identity, removal, public trust."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from mdmprofile.chain import IssuerGraph, server_leaves
from mdmprofile.config import ProfileSettings, ServerSettings, TrustSettings
from mdmprofile.config_identity import IdentitySettings, Pkcs12Settings
from mdmprofile.containers import uses_pbes2
from mdmprofile.findings import Finding, finding
from mdmprofile.materials import Materials
from mdmprofile.moments import day, shift


def judge_topic(server: ServerSettings, materials: Materials) -> Iterable[Finding]:
    """The topic and the push certificate agree."""
    if materials.push is None:
        return
    topic = materials.push.push_topic
    where = "server.push_certificate"
    if not topic:
        message = f"{materials.push.name} has no UID in its subject, so it names no topic"
        yield finding("push.no-topic", message, where=where)
    elif server.topic and server.topic != topic:
        message = f"the topic {server.topic} is not the push certificate's, {topic}"
        yield finding("mdm.topic-mismatch", message, where="server.topic")


def judge_identity(identity: IdentitySettings, materials: Materials) -> Iterable[Finding]:
    """A PKCS#12 is for one device, may authenticate a client, and has a portable password and encryption."""
    if not isinstance(identity, Pkcs12Settings) or materials.pkcs12 is None:
        return
    certificate = materials.pkcs12.certificate
    if not identity.single_device:
        yield finding(
            "identity.shared",
            f"every device that installs this profile gets the same identity {certificate.name}",
            where="identity.file",
        )
    if not certificate.may_authenticate_client:
        yield finding(
            "identity.no-client-auth",
            f"{certificate.name} may not authenticate a client",
            where="identity.file",
        )
    if uses_pbes2(materials.pkcs12.data):
        yield finding(
            "pkcs12.encryption",
            "the PKCS#12 is encrypted with PBES2, which macOS 12 and 13 and the iOS of their time did not import",
            where="identity.file",
        )
    if not materials.pkcs12.password:
        yield finding("pkcs12.empty-password", "the PKCS#12 has no password", where="identity.file")


def judge_removal(profile: ProfileSettings, *, now: datetime) -> Iterable[Finding]:
    """A profile that removes itself does so in the future, and after the planned replacement."""
    for name, moment in (
        ("removal_date", profile.removal_date),
        ("expiration_date", profile.expiration_date),
    ):
        if moment is not None and moment <= now:
            yield finding("profile.date-past", f"{name} {day(moment)} has passed", where=f"profile.{name}")
    if profile.duration_until_removal == timedelta():
        yield finding(
            "profile.date-past", "the profile would remove itself at once", where="profile.duration_until_removal"
        )
    gone = [profile.removal_date] if profile.removal_date else []
    if profile.duration_until_removal is not None:
        gone.append(shift(now, profile.duration_until_removal))
    if gone and profile.replace_on is not None and now < min(gone) < profile.replace_on:
        yield finding(
            "profile.removal-before-replacement",
            f"the profile removes itself on {day(min(gone))}, before its replacement on {day(profile.replace_on)}",
            where="profile",
        )


def judge_public(trust: TrustSettings, materials: Materials) -> Iterable[Finding]:
    """With public trust, the server's certificate leads to a public root."""
    leaves = server_leaves(materials.servers)
    if not trust.public or not leaves:
        return
    from mdmprofile.public import public_roots  # noqa: PLC0415 - only with public trust

    known = set(public_roots())
    graph = IssuerGraph((*known, *(each for each in materials.servers if each.is_ca and each not in leaves)))
    for leaf in leaves:
        if known.isdisjoint(graph.ancestors(leaf)):
            yield finding(
                "trust.not-public",
                f"{leaf.name} does not lead to a public root",
                where=leaf.source or "trust.server_certificate",
            )
