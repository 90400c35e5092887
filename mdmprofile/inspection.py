"""What is inside a profile: its signature as a device shows it, and its payloads with their certificates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF
from mdmprofile.changes import mdm_of, pinned_uuids
from mdmprofile.cms.trust import trust_path
from mdmprofile.cms.verify import Signature, Signer
from mdmprofile.containers import load_pkcs12
from mdmprofile.errors import MdmprofileError
from mdmprofile.findings import has_errors
from mdmprofile.inventory import evident_role
from mdmprofile.masking import masked
from mdmprofile.moments import day
from mdmprofile.payloads import types
from mdmprofile.pfx import Budget
from mdmprofile.profile import Profile
from mdmprofile.propertylist import read_plist
from mdmprofile.reader import OpenedProfile, payload_certificates

# Of a payload and in a name; a hostile profile could fill the memory with them.
_MOST_REFERENCES = 100
_LONGEST_NAME = 200

_MOST_RECIPIENTS = 20

VERIFIED, UNVERIFIED, NOT_SIGNED, NOT_VALID = "Verified", "Unverified", "Not signed", "Not valid"


class ShownSigner(NamedTuple):
    """A signer, the certificates from its own up to a trusted one (none without such a path), and why not."""

    signer: Signer
    chain: tuple[Certificate, ...]
    distrust: str


class ShownCertificate(NamedTuple):
    """A certificate of a payload and its role: root, intermediate, leaf, pinned, push or identity."""

    role: str
    certificate: Certificate


class Reference(NamedTuple):
    """A key of a payload that names another payload by its UUID; ``number`` is that payload's, from 1."""

    key: str
    uuid: str
    number: int
    kind: str


class ShownPayload(NamedTuple):
    """One payload: ``number`` from 1 in the order of the profile, ``keys`` with secrets masked unless revealed.

    ``problem`` says why its certificates cannot be read, where there should be some; ``referred_by`` are the numbers
    of the payloads that name this one.
    """

    number: int
    path: str
    kind: str
    keys: Mapping[str, Any]
    certificates: tuple[ShownCertificate, ...]
    references: tuple[Reference, ...]
    problem: str
    referred_by: tuple[int, ...] = ()

    def text(self, key: str) -> str:
        """A key's value where it is text; otherwise empty."""
        value = self.keys.get(key)
        return value if isinstance(value, str) else ""


class _Step(NamedTuple):
    above: _Step | None
    name: str
    value: Any


class Inspection(NamedTuple):
    """A profile laid open. ``status`` is what a device shows, ``reason`` why; ``plist`` is masked unless revealed."""

    status: str
    reason: str
    signers: tuple[ShownSigner, ...]
    plist: Mapping[str, Any]
    payloads: tuple[ShownPayload, ...]
    encrypted: bool
    decrypted: bool
    recipients: tuple[str, ...] = ()


def inspect(
    opened: OpenedProfile, anchors: Sequence[Certificate], *, now: datetime, reveal: bool = False
) -> Inspection:
    """Lay a profile open; its signers are judged against ``anchors`` as of ``now`` (aware UTC).

    Nothing here depends on the signature being valid; ``status`` tells whether it is.
    """
    profile = opened.profile
    signers = tuple(_signers(opened.signature, anchors, now))
    status, reason = _status(opened.signature, signers, now)
    plist = dict(profile.plist) if reveal else masked(profile.plist)
    keys = dict(Profile(plist).entries)
    others = _by_uuid(profile)
    pins = frozenset(pinned_uuids(mdm_of(profile)[1]))
    budget = Budget()
    found = [
        _payload(number, path, each, keys[path], others, pins, budget)
        for number, (path, each) in enumerate(profile.entries, 1)
    ]
    referring = [(each.number, reference.number) for each in found for reference in each.references]
    payloads = tuple(
        each._replace(referred_by=tuple(sorted({one for one, other in referring if other == each.number})))
        for each in found
    )
    recipients = _recipients(opened) if opened.encrypted else ()
    return Inspection(status, reason, signers, plist, payloads, opened.encrypted, not profile.encrypted, recipients)


def _recipients(opened: OpenedProfile) -> tuple[str, ...]:
    """For whom an encrypted profile is, as its envelope names them; or why that cannot be read."""
    from mdmprofile.cms.envelope import parse_envelope  # noqa: PLC0415 - few profiles are encrypted

    content = read_plist(opened.content, source=opened.source).get("EncryptedPayloadContent")
    if not isinstance(content, bytes):
        return ("EncryptedPayloadContent holds no data",)
    try:
        return tuple(each.description for each in parse_envelope(content).recipients[:_MOST_RECIPIENTS])
    except MdmprofileError as error:
        return (f"EncryptedPayloadContent {error.message}",)


def _signers(signature: Signature | None, anchors: Sequence[Certificate], now: datetime) -> Iterable[ShownSigner]:
    for each in signature.signers if signature else ():
        chain: tuple[Certificate, ...] = ()
        distrust = "its certificate is not embedded"
        if each.certificate is not None and signature is not None:
            chain, distrust = trust_path(each.certificate, signature.certificates, anchors, at=now)
        yield ShownSigner(each, chain, distrust)


def _status(signature: Signature | None, signers: Sequence[ShownSigner], now: datetime) -> tuple[str, str]:
    if signature is None:
        return NOT_SIGNED, "the file has no signature"
    if has_errors(signature.findings):
        return NOT_VALID, "the signature does not hold, so devices refuse the profile"
    first = signers[0]
    certificate = first.signer.certificate
    if certificate is not None and certificate.not_after < now:
        # Observed: what was installed keeps working, and new installations show as not signed.
        return NOT_SIGNED, f"the certificate of {certificate.name} expired on {day(certificate.not_after)}"
    if first.distrust:
        return UNVERIFIED, f"the signer is not trusted: {first.distrust}"
    return VERIFIED, f"trusted through {first.chain[-1].name}"


def _by_uuid(profile: Profile) -> dict[str, tuple[int, str]]:
    """Number and type of every payload by its UUID, in lower case."""
    return {
        uuid.casefold(): (number, kind[:_LONGEST_NAME] if isinstance(kind := each.get("PayloadType"), str) else "")
        for number, (_, each) in enumerate(profile.entries, 1)
        if isinstance(uuid := each.get("PayloadUUID"), str)
    }


def _payload(
    number: int,
    path: str,
    payload: Mapping[str, Any],
    keys: Mapping[str, Any],
    others: Mapping[str, tuple[int, str]],
    pins: frozenset[str],
    budget: Budget,
) -> ShownPayload:
    kind = payload.get("PayloadType")
    certificates: tuple[ShownCertificate, ...] = ()
    problem = ""
    try:
        if kind in types.CERTIFICATES:
            pinned = payload.get("PayloadUUID") in pins if isinstance(payload.get("PayloadUUID"), str) else False
            found = payload_certificates(payload.get("PayloadContent"), source=path)
            certificates = tuple(ShownCertificate(_role(each, pinned=pinned), each) for each in found)
        elif kind == types.PKCS12:
            certificates, problem = _of_pkcs12(payload, path, budget)
    except MdmprofileError as error:
        problem = error.message
    references = tuple(_references(payload, others))
    return ShownPayload(number, path, kind if isinstance(kind, str) else "", keys, certificates, references, problem)


def _role(certificate: Certificate, *, pinned: bool) -> str:
    role = evident_role(certificate)
    return "pinned" if pinned and role == LEAF else role


def _of_pkcs12(payload: Mapping[str, Any], path: str, budget: Budget) -> tuple[tuple[ShownCertificate, ...], str]:
    content, password = payload.get("PayloadContent"), payload.get("Password")
    if not isinstance(content, bytes):
        return (), "it holds no data"
    if not isinstance(password, str):
        return (), "it carries no password, so only the device's user can open it"
    identity = load_pkcs12(content, source=path, password=password.encode("utf-8", "replace"), budget=budget)
    others = (ShownCertificate(evident_role(each), each) for each in identity.chain)
    return (ShownCertificate("identity", identity.certificate), *others), ""


def _references(payload: Mapping[str, Any], others: Mapping[str, tuple[int, str]]) -> Iterable[Reference]:
    """Values that are another payload's UUID, however deep: identities, pins, anchors of Wi-Fi and VPN."""
    return islice(_all_references(payload, others), _MOST_REFERENCES)


def _all_references(payload: Mapping[str, Any], others: Mapping[str, tuple[int, str]]) -> Iterable[Reference]:
    # The names on the way are put together only where they are needed: all of them could be larger than the memory.
    waiting: deque[_Step] = deque(_Step(None, key, each) for key, each in payload.items() if key != "PayloadUUID")
    while waiting:
        step = waiting.popleft()
        value = step.value
        if isinstance(value, str):
            if value.casefold() in others and value != payload.get("PayloadUUID"):
                yield Reference(_way(step), value, *others[value.casefold()])
        elif isinstance(value, Mapping):
            waiting.extend(_Step(step, f".{name[:_LONGEST_NAME]}", each) for name, each in value.items())
        elif isinstance(value, list):
            waiting.extend(_Step(step, f"[{index}]", each) for index, each in enumerate(value))


def _way(step: _Step) -> str:
    """The names that lead to a value, from the payload on."""
    names = []
    above: _Step | None = step
    while above is not None:
        names.append(above.name[:_LONGEST_NAME])
        above = above.above
    return "".join(reversed(names))
