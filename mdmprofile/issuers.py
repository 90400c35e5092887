"""Whether a CA may issue device identities, and how long they can be valid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import ROOT, IssuerGraph, role_of
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, finding
from mdmprofile.moments import day, shift, spoken, stamp

if TYPE_CHECKING:
    from mdmprofile.identities import Wanted


def judge_issuer(
    ca: Identity, wanted: Wanted, *, now: datetime, available: Sequence[Certificate] = ()
) -> tuple[Finding, ...]:
    """Whether what the CA issues at ``now`` (aware UTC) will be trusted, and for as long as was asked for.

    ``available`` are certificates that may be above it, beside those that came with it.
    """
    certificate = ca.certificate
    where = certificate.source or "identity.ca_certificate"
    return (
        *_judge_right(certificate, where),
        *_judge_key(ca, where),
        *_judge_path_length(certificate, (*ca.chain, *available), where),
        *_judge_dates(certificate, wanted, now, where),
    )


def end_of_identities(ca: Certificate, wanted: Wanted, now: datetime) -> datetime:
    """When identities end that are issued at ``now``: never after the CA (RFC 5280 section 6.1.3)."""
    return min(shift(now, wanted.validity).replace(microsecond=0), ca.not_after)


@contextlib.contextmanager
def naming_the_ca() -> Iterator[None]:
    """Have errors about a signer's key name the CA's keys and flags: both are given in the same ways."""
    try:
        yield
    except MdmprofileError as error:
        for each in flatten([error]):
            each.where = each.where.replace("signing.", "identity.ca_", 1)
            each.hint = each.hint.replace("signing.", "identity.ca_").replace("--signer", "--ca")
        raise


def _judge_right(certificate: Certificate, where: str) -> Iterable[Finding]:
    if not certificate.is_ca:
        yield finding("issuer.not-ca", f"{certificate.name} is not a CA", where=where)
    if not certificate.key_cert_sign:
        yield finding("issuer.key-usage", f"{certificate.name} has a keyUsage without keyCertSign", where=where)
    if certificate.is_ca and not certificate.may_authenticate_client:
        message = f"{certificate.name} has an extendedKeyUsage without clientAuth"
        yield finding("issuer.purpose", message, where=where)


def _judge_key(ca: Identity, where: str) -> Iterable[Finding]:
    if not ca.key_matches:
        message = f"the key does not belong to the certificate of {ca.certificate.name}"
        yield finding("issuer.key-mismatch", message, where=where)


def _judge_path_length(certificate: Certificate, others: Sequence[Certificate], where: str) -> Iterable[Finding]:
    """One way up that every CA on it allows is enough; above the last certificate at hand nobody knows.

    Of several ways to a CA the shortest counts, which is allowed wherever a longer one is.
    """
    graph = IssuerGraph(each for each in (certificate, *others) if each.is_ca)
    length = {certificate: 0}
    waiting = [certificate]
    forbidding: dict[Certificate, int] = {}
    while waiting:
        lower = waiting.pop()
        issuers = graph.issuers(lower)
        if not issuers or role_of(lower) == ROOT:
            return
        below = length[lower] + (lower.subject_name != lower.issuer_name)
        for each in issuers:
            limit = each.basic_constraints.path_length if each.basic_constraints else None
            if limit is not None and below > limit:
                forbidding[each] = limit
            elif below < length.get(each, below + 1):
                length[each] = below
                waiting.append(each)
    for each, limit in forbidding.items():
        message = f"{each.name} allows {limit} CAs below it, and {certificate.name} is one too many"
        yield finding("issuer.path-length", message, where=where)


def _judge_dates(certificate: Certificate, wanted: Wanted, now: datetime, where: str) -> Iterable[Finding]:
    if certificate.not_before > now:
        message = f"{certificate.name} is not valid before {stamp(certificate.not_before)}"
        yield finding("issuer.expired", message, where=where)
    elif certificate.not_after <= now:
        yield finding("issuer.expired", f"{certificate.name} expired on {day(certificate.not_after)}", where=where)
    elif shift(now, wanted.validity) > certificate.not_after:
        message = (
            f"{certificate.name} ends on {day(certificate.not_after)}, and so do the identities, before the "
            f"{spoken(wanted.validity)} that were asked for"
        )
        yield finding("issuer.validity-cut", message, where=where)
