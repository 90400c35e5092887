"""What a replacement does to trust: roots that leave before the server has moved, and pins that shut it out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import IssuerGraph, server_leaves
from mdmprofile.changes import Held, certificates_of, mdm_of, pinned_uuids
from mdmprofile.errors import CertificateError
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.reader import payload_certificates


class ServerTrust(NamedTuple):
    """Whether the certificates of each profile lead from the server's own to a root; None when nobody can tell."""

    old: bool | None
    new: bool | None


def server_trust(old: Profile, new: Profile, servers: Sequence[Certificate]) -> ServerTrust:
    """Whether devices that have either profile trust ``servers``, the certificates that the server shows.

    Nobody can tell without them, nor where no CA is in the profile, because then another one holds it.
    """
    if not servers:
        return ServerTrust(None, None)
    before, after = certificates_of(old), certificates_of(new)
    had = any(_authorities(before))
    # A server shows its intermediates itself, even where only its own certificate was given.
    beside = [each for each in _authorities(after) if not each.self_signed]
    return ServerTrust(
        _trusts(before, [*servers, *beside]) if had else None,
        _trusts(after, servers) if had or any(_authorities(after)) else None,
    )


def judge_fetch(trust: ServerTrust, servers: Sequence[Certificate]) -> Iterable[Finding]:
    """Over MDM a device fetches the new profile from the server, which it must trust by the old one."""
    if trust.old is False:
        yield finding(
            "replacement.ca-rollover",
            "nothing in the old profile leads from the server's certificate "
            f"{server_leaves(servers)[0].name} to a root, so devices that have it cannot fetch the new one",
            where="PayloadContent",
            severity=Severity.ERROR,
            hint="let the server show a certificate that the old profile trusts until every device has both roots",
        )


def judge_roots(
    old: Profile,
    new: Profile,
    trust: ServerTrust,
    *,
    servers: Sequence[Certificate] = (),
    at: datetime | None = None,
) -> Iterable[Finding]:
    """A root that leaves while nothing shows that the server does not need it any more.

    ``servers`` are the certificates that the server shows, and ``trust`` whether the profiles lead from them to a
    root: where the new one does, no root that leaves is missed, and where it does not, devices lose the server. A
    renewed root with the same key and name, or a cross-certificate that leads to another root, stands in for the old
    one. A root that has ended ``at`` that time is not missed.
    """
    if trust.new:
        return
    before, after = certificates_of(old), certificates_of(new)
    trusted = [each for each in before if each.certificate.self_signed and not _ended(each.certificate, at)]
    graph = IssuerGraph(each.certificate for each in after if each.certificate.is_ca)
    lost = [each for each in trusted if not _stands(each.certificate, after, graph)]
    names = ", ".join(each.certificate.name for each in lost)
    leaves = f"the root{'s' if len(lost) > 1 else ''} {names} leave{'' if len(lost) > 1 else 's'}: " if lost else ""
    if trust.new is False:
        why = (
            f"nothing in the new profile leads from the server's certificate {server_leaves(servers)[0].name} to a root"
        )
        what = f"{leaves}{why}, so devices lose the server"
        yield finding("replacement.ca-rollover", what, where="PayloadContent", severity=Severity.ERROR)
        return
    if not lost:
        return
    remaining = [each for each in after if each.certificate.self_signed]
    if not remaining:
        why = "no root is left, so devices reach only a server with a publicly trusted certificate"
    elif any(_stands(each.certificate, before, IssuerGraph(_authorities(before))) for each in remaining):
        why = "devices lose the server unless its certificate comes from a root that stays"
    else:
        why = "no root is in both profiles, so devices lose the server before it moves to the new root or after"
    yield finding("replacement.ca-rollover", f"{leaves}{why}", where="PayloadContent")


def judge_pins(old: Profile, new: Profile) -> Iterable[Finding]:
    """A new set of pinned certificates that shares none with the old one shuts out a server that shows an old one."""
    before, after = _pinned(old), _pinned(new)
    if after and not set(before) & set(after) and old.of_type(types.MDM):
        names = ", ".join(each.name for each in after)
        what = "pins the server to other certificates" if before else "pins the server, which the old one did not"
        yield finding("replacement.pinning", f"the new profile {what}: {names}", where=mdm_of(new)[0])


def _ended(certificate: Certificate, at: datetime | None) -> bool:
    return at is not None and certificate.not_after < at


def _authorities(held: Iterable[Held]) -> Iterable[Certificate]:
    return (each.certificate for each in held if each.certificate.is_ca)


def _stands(root: Certificate, held: Sequence[Held], graph: IssuerGraph) -> bool:
    """Whether what leads to this root still leads to one of those that are held."""
    for each in (one.certificate for one in held):
        alike = each.key_info == root.key_info and each.subject_name == root.subject_name
        if alike and (each.self_signed or graph.reaches_root(each)):
            return True
    return False


def _trusts(held: Sequence[Held], servers: Sequence[Certificate]) -> bool:
    """Whether every server certificate leads to a root, over what is held and what the server shows beside it."""
    leaves = server_leaves(servers)
    between = [*_authorities(held), *(each for each in servers if each.is_ca and not each.self_signed)]
    anchors = {each.certificate for each in held if each.certificate.self_signed}
    if _lead(leaves, between, anchors):
        return True
    from mdmprofile.public import public_roots  # noqa: PLC0415 - only where no root of the profile's own serves

    known = {*anchors, *public_roots()}
    return _lead(leaves, [*between, *known], known)


def _lead(leaves: Iterable[Certificate], between: Iterable[Certificate], anchors: set[Certificate]) -> bool:
    graph = IssuerGraph(between)
    return all(leaf in anchors or not anchors.isdisjoint(graph.ancestors(leaf)) for leaf in leaves)


def _pinned(profile: Profile) -> tuple[Certificate, ...]:
    """The pinned certificates that are in the profile."""
    wanted = set(pinned_uuids(mdm_of(profile)[1]))
    found: list[Certificate] = []
    for path, each in profile.of_type(*types.CERTIFICATES):
        uuid = each.get("PayloadUUID")
        if isinstance(uuid, str) and uuid in wanted:
            with contextlib.suppress(CertificateError):
                found.extend(payload_certificates(each.get("PayloadContent"), source=path))
    return tuple(dict.fromkeys(found))
