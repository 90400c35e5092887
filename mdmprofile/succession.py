"""Which CA the server uses now, which one follows it and which had its day, told from what a profile carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import INTERMEDIATE, LEAF, ROOT, IssuerGraph
from mdmprofile.errors import CertificateError
from mdmprofile.plan import Watched

# Two roots made in one session have no order that their notBefore could tell.
_AT_ONCE = timedelta(days=1)
_NUMBER = re.compile(r" #\d+$")


class Succession(NamedTuple):
    """The CAs of a profile by their turn; ``certain`` when the server's certificate told it.

    ``current`` are those that the server's certificate leads to, ``following`` the roots that come after them,
    ``former`` the roots that came before; ``successors`` are the following roots and the CAs below them. ``heirs`` maps
    a current CA to what can take its place: another certificate
    of the same key, else other intermediates of the same issuer. ``served`` is what the server shows: its own
    certificates and the intermediates that it sends with them.
    """

    current: tuple[Certificate, ...]
    following: tuple[Certificate, ...]
    former: tuple[Certificate, ...]
    certain: bool
    heirs: Mapping[Certificate, tuple[Certificate, ...]]
    successors: tuple[Certificate, ...]
    served: tuple[Certificate, ...] = ()

    @property
    def roots(self) -> tuple[Certificate, ...]:
        """The current roots, else all that is current."""
        return tuple(each for each in self.current if each.self_signed) or self.current

    @property
    def limit(self) -> Certificate:
        """The current CA with which the server's chain ends; a renewed one of the same key stands in for it."""
        last: dict[bytes, Certificate] = {}
        for each in self.current:
            if each.key_info not in last or each.not_after > last[each.key_info].not_after:
                last[each.key_info] = each
        return min(last.values(), key=lambda each: each.not_after)

    @property
    def next_limit(self) -> Certificate | None:
        """The first of the next CAs to end; None where there are none."""
        return min(self.successors, key=lambda each: each.not_after, default=None)


def find_succession(watched: Sequence[Watched]) -> Succession | None:
    """Tell the turns of the CAs that are in a profile, or None when there is no CA to tell about.

    The server's certificate decides where it is known. Without it, the root that was issued first is taken to be the
    one in use, with every root that a cross-certificate ties to it. A root with the key of a current one is no other
    trust. More CAs than any server needs are a list of public roots, which has no turns.
    """
    trust = tuple(dict.fromkeys(_trust(watched)))
    leaves = _certificates(each for each in watched if each.role == LEAF and not each.baked_in)
    served = _certificates(each for each in watched if each.consequence_of == LEAF)
    try:
        graph = IssuerGraph([*trust, *served])
    except CertificateError:
        return None
    keys = _keys(leaves, graph) if leaves else _oldest_family(trust, graph)
    current = tuple(each for each in trust if each.key_info in keys)
    if not current:
        return None
    roots = [each for each in current if each.self_signed]
    # Where the server's certificate leads to no root at all, nothing tells what the other roots are for.
    others = [each for each in trust if each.self_signed and roots and each not in current]
    former = [each for each in others if leaves and first_issued([*roots, each]) is each]
    following = tuple(each for each in others if each not in former)
    return Succession(
        current=current,
        following=following,
        successors=tuple(each for each in trust if {each, *graph.ancestors(each)} & set(following) - set(current)),
        former=tuple(former),
        certain=bool(leaves),
        heirs={each: _heirs(each, trust, graph, in_use=current if leaves else ()) for each in current},
        served=tuple(dict.fromkeys([*leaves, *(each for each in served if each.key_info in keys)])) if leaves else (),
    )


def stranded_signers(watched: Sequence[Watched], retired: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The signers of the profile that lead to a root now, and to none without the CAs that are ``retired``."""
    found = _certificates(each for each in watched if each.role in {ROOT, INTERMEDIATE})
    gone = {each.key_info for each in retired}
    try:
        before, after = IssuerGraph(found), IssuerGraph(each for each in found if each.key_info not in gone)
    except CertificateError:
        return ()
    signers = dict.fromkeys(_certificates(each for each in watched if each.role == "signer"))
    return tuple(each for each in signers if before.reaches_root(each) and not after.reaches_root(each))


def first_issued(certificates: Sequence[Certificate]) -> Certificate:
    """The one that was issued first; of those issued within a day, the one that ends first."""
    start = min(each.not_before for each in certificates)
    first = [each for each in certificates if each.not_before - start <= _AT_ONCE]
    return min(first, key=lambda each: each.not_after)


def _trust(watched: Sequence[Watched]) -> Iterable[Certificate]:
    """The CAs that the profile carries for the server; not the SCEP CA, nor those that came with a device's PKCS#12."""
    own = {_file(each.where) for each in watched if each.role == "identity" and each.certificate is not None}
    issuing = {each.certificate for each in watched if each.consequence_of == "scep-ca"}
    return _certificates(
        each
        for each in watched
        if each.role in {ROOT, INTERMEDIATE}
        and each.baked_in
        and not each.consequence_of
        and _file(each.where) not in own
        and each.certificate not in issuing
    )


def _certificates(watched: Iterable[Watched]) -> list[Certificate]:
    return [each.certificate for each in watched if isinstance(each.certificate, Certificate)]


def _file(where: str) -> str:
    """The place without the number of a certificate in it."""
    return _NUMBER.sub("", where)


def _keys(leaves: Iterable[Certificate], graph: IssuerGraph) -> set[bytes]:
    """The keys on any path up from the server's certificates."""
    return {each.key_info for leaf in leaves for each in (leaf, *graph.ancestors(leaf))}


def _oldest_family(trust: Sequence[Certificate], graph: IssuerGraph) -> set[bytes]:
    """The keys of the root that was issued first, of every root tied to it, and of the CAs below them."""
    roots = [each for each in trust if each.self_signed]
    if not roots:
        return {each.key_info for each in trust}
    keys = {first_issued(roots).key_info}
    while True:
        below = {each.key_info for each in trust if keys & {above.key_info for above in graph.ancestors(each)}}
        above = {each.key_info for one in trust if one.key_info in keys for each in graph.ancestors(one)}
        if keys >= below | above:
            return keys
        keys |= below | above


def _heirs(
    certificate: Certificate, trust: Sequence[Certificate], graph: IssuerGraph, *, in_use: Sequence[Certificate]
) -> tuple[Certificate, ...]:
    """What ends later and can take its place; ``in_use`` serve beside it already."""
    later = [each for each in trust if each.not_after > certificate.not_after]
    twins = tuple(each for each in later if each.key_info == certificate.key_info)
    if twins:
        return twins
    if certificate.self_signed:
        # Where several servers have moved one by one, the others follow them.
        return tuple(each for each in later if each.self_signed and each in in_use)
    issuers = {each.key_info for each in graph.issuers(certificate)}
    return tuple(
        each
        for each in later
        if not each.self_signed
        and each not in in_use
        and each not in graph.ancestors(certificate)
        and issuers & {above.key_info for above in graph.issuers(each)}
    )
