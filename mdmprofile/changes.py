"""What changes between two profiles: keys, payloads, certificates, rights and the device's identity.

Whether a device takes the change is another question, answered by ``replacement``. No value of a key that could be a
secret is in anything returned here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF
from mdmprofile.containers import MAX_IN_ONE_FILE, load_pkcs12
from mdmprofile.errors import CertificateError, ProfileError
from mdmprofile.inventory import evident_role
from mdmprofile.payloads import types
from mdmprofile.payloads.mdm import AccessRights
from mdmprofile.profile import Profile
from mdmprofile.reader import payload_certificates
from mdmprofile.values import MAX_NUMBER, PINNING, TOP, KeyChange, as_text, key_changes, same, showable

KEPT, UPDATED, REMOVED, ADDED = "kept", "updated", "removed", "added"
COMING, LEAVING = "coming", "leaving"

_IDENTITIES = {types.SCEP: "SCEP", types.ACME: "ACME", types.PKCS12: "PKCS#12"}


class PayloadChange(NamedTuple):
    """What becomes of one payload: ``kept``, ``updated``, ``removed`` or ``added``.

    ``where`` is its path in the new profile, for a removed one in the old.
    """

    state: str
    kind: str
    name: str
    identifier: str
    uuid: str
    where: str
    keys: tuple[KeyChange, ...] = ()


class Held(NamedTuple):
    """A certificate of a profile, its role, and the path of its payload."""

    certificate: Certificate
    role: str
    where: str


class CertificateChange(NamedTuple):
    """A certificate that is ``coming`` or ``leaving``."""

    state: str
    held: Held


class IdentityChange(NamedTuple):
    """What the device will prove itself with: SCEP, ACME, PKCS#12, or nothing (an empty ``kind``).

    ``issued`` tells whether the device's certificate will be another one after the installation, None when nobody can
    tell; ``why`` is that in a sentence.
    """

    old_kind: str
    kind: str
    issued: bool | None
    why: str
    where: str


class Changes(NamedTuple):
    """Everything that changes; the names of rights as a config has them."""

    top: tuple[KeyChange, ...]
    payloads: tuple[PayloadChange, ...]
    certificates: tuple[CertificateChange, ...]
    rights_added: tuple[str, ...]
    rights_dropped: tuple[str, ...]
    identity: IdentityChange | None

    @property
    def nothing(self) -> bool:
        """Whether no key of the profile and no payload changes."""
        return not self.top and all(each.state == KEPT for each in self.payloads)


def find_changes(old: Profile, new: Profile) -> Changes:
    """Everything that changes from ``old`` to ``new``.

    Raises ``ProfileError`` for profiles that are too large to compare.
    """
    before, after = mdm_of(old)[1], mdm_of(new)[1]
    old_rights, new_rights = rights_of(before) or 0, rights_of(after) or 0
    comparable = rights_of(before) is not None and rights_of(after) is not None
    identity, identity_certificates = _identity_change(old, new)
    return Changes(
        top=tuple(key_changes(_without_content(old.plist), _without_content(new.plist), TOP)),
        payloads=_payload_changes(old, new),
        certificates=(*_certificate_changes(certificates_of(old), certificates_of(new)), *identity_certificates),
        rights_added=right_names_of(new_rights & ~old_rights) if comparable else (),
        rights_dropped=right_names_of(old_rights & ~new_rights) if comparable else (),
        identity=identity,
    )


# --- payloads -------------------------------------------------------------------------------------------------------


def mdm_of(profile: Profile) -> tuple[str, Mapping[str, Any]]:
    """The path and keys of the MDM payload, the first if there are several; empty when there is none."""
    return next(iter(profile.of_type(types.MDM)), ("", {}))


def identity_of(profile: Profile) -> tuple[str, Mapping[str, Any]]:
    """The identity payload that the MDM payload names, else the only one; empty when there is none."""
    found = profile.of_type(*types.IDENTITIES)
    wanted = mdm_of(profile)[1].get("IdentityCertificateUUID")
    named = [each for each in found if isinstance(wanted, str) and each[1].get("PayloadUUID") == wanted]
    return (named or (found if len(found) == 1 else [("", {})]))[0]


def _payload_changes(old: Profile, new: Profile) -> tuple[PayloadChange, ...]:
    left: dict[object, list[tuple[str, Mapping[str, Any]]]] = {}
    for path, each in old.entries:
        left.setdefault(_name_of(each) or path, []).append((path, each))
    found = []
    for path, each in new.entries:
        name = _name_of(each)
        waiting = left.get(name or path, [])
        # Without a proper name it is nobody's update, but it may be what stood there before.
        if not waiting or (name is None and not same(waiting[0][1], each)):
            found.append(_payload(ADDED, path, each))
            continue
        _, before = waiting.pop(0)
        keys = tuple(key_changes(before, each, showable(before, each)))
        found.append(_payload(UPDATED if keys else KEPT, path, each, keys))
    removed = (_payload(REMOVED, path, each) for some in left.values() for path, each in some)
    return (*found, *removed)


def _name_of(payload: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a device knows a payload by; None when it has no proper name, so that it is nobody's update."""
    identifier, uuid = payload.get("PayloadIdentifier"), payload.get("PayloadUUID")
    return (identifier, uuid) if isinstance(identifier, str) and isinstance(uuid, str) else None


def _payload(state: str, path: str, payload: Mapping[str, Any], keys: tuple[KeyChange, ...] = ()) -> PayloadChange:
    kind, name, identifier, uuid = (
        as_text(payload.get(key)) or ""
        for key in ("PayloadType", "PayloadDisplayName", "PayloadIdentifier", "PayloadUUID")
    )
    return PayloadChange(state, kind, name, identifier, uuid, path, keys)


def _without_content(plist: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plist.items() if key != "PayloadContent"}


# --- rights ---------------------------------------------------------------------------------------------------------


def rights_of(mdm: Mapping[str, Any]) -> int | None:
    """The AccessRights of an MDM payload; None when absent or no number that could be rights."""
    rights = mdm.get("AccessRights")
    if isinstance(rights, bool) or not isinstance(rights, int) or not 0 <= rights < MAX_NUMBER:
        return None
    return rights


def right_names_of(rights: int) -> tuple[str, ...]:
    """The rights by name, lowest bit first; a bit that has no name by its value."""
    known = {int(each): str(each.name).lower().replace("_", "-") for each in AccessRights}
    bits = (1 << place for place in range(rights.bit_length()) if rights >> place & 1)
    return tuple(known.get(bit, f"bit {bit}") for bit in bits)


# --- certificates ---------------------------------------------------------------------------------------------------


def certificates_of(profile: Profile) -> tuple[Held, ...]:
    """Every certificate of the certificate payloads that can be read, each once."""
    pins = set(pinned_uuids(mdm_of(profile)[1]))
    found: dict[Certificate, Held] = {}
    for path, each in profile.of_type(*types.CERTIFICATES):
        try:
            certificates = payload_certificates(each.get("PayloadContent"), source=path)
        except CertificateError:
            continue
        uuid = each.get("PayloadUUID")
        for certificate in certificates:
            role = evident_role(certificate)
            pinned = role == LEAF and isinstance(uuid, str) and uuid in pins
            found.setdefault(certificate, Held(certificate, "pinned" if pinned else role, path))
        if len(found) > MAX_IN_ONE_FILE:
            raise ProfileError(f"holds more than {MAX_IN_ONE_FILE} certificates", hint="check that it is the right one")
    return tuple(found.values())


def pinned_uuids(mdm: Mapping[str, Any]) -> tuple[str, ...]:
    """The UUIDs of the certificates that the server must show."""
    lists = [mdm.get(name) for name in PINNING]
    return tuple(uuid for each in lists if isinstance(each, list) for uuid in each if isinstance(uuid, str))


def _certificate_changes(old: tuple[Held, ...], new: tuple[Held, ...]) -> Iterable[CertificateChange]:
    before, after = ({each.certificate for each in some} for some in (old, new))
    yield from (CertificateChange(LEAVING, each) for each in old if each.certificate not in after)
    yield from (CertificateChange(COMING, each) for each in new if each.certificate not in before)


# --- the identity ---------------------------------------------------------------------------------------------------


def _identity_change(old: Profile, new: Profile) -> tuple[IdentityChange | None, tuple[CertificateChange, ...]]:
    old_path, before = identity_of(old)
    path, after = identity_of(new)
    old_kind, kind = (_IDENTITIES.get(str(each.get("PayloadType")), "") for each in (before, after))

    def change(issued: bool | None, why: str) -> IdentityChange:
        return IdentityChange(old_kind, kind, issued, why, path or old_path)

    if not kind:
        return (change(None, "the new profile has no identity") if old_kind else None), ()
    if kind != "PKCS#12":
        again = "" if old_kind != kind else " again, even where nothing changed"
        instead = f", instead of {old_kind}" if old_kind and old_kind != kind else ""
        return change(True, f"the device asks for a new certificate over {kind}{again}{instead}"), ()
    if old_kind != kind:
        coming = _opened(after, path)
        found = (CertificateChange(COMING, coming),) if coming else ()
        return change(True, f"the device gets the certificate of a PKCS#12 instead of {old_kind or 'none'}"), found
    if isinstance(after.get("PayloadContent"), bytes) and before.get("PayloadContent") == after["PayloadContent"]:
        return change(False, "the PKCS#12 is the same, and so is the device's certificate"), ()
    leaving, coming = _opened(before, old_path), _opened(after, path)
    if leaving is None or coming is None:
        why = "the PKCS#12 is another file, which the password in the profile does not open to compare certificates"
        return change(None, why), ()
    if leaving.certificate == coming.certificate:
        return change(False, "the PKCS#12 is another file with the same certificate"), ()
    both = CertificateChange(LEAVING, leaving), CertificateChange(COMING, coming)
    return change(True, "the PKCS#12 holds another certificate"), both


def _opened(payload: Mapping[str, Any], path: str) -> Held | None:
    """The certificate of a PKCS#12 payload; None when it cannot be opened."""
    content, password = payload.get("PayloadContent"), payload.get("Password")
    if not isinstance(content, bytes):
        return None
    secret = password.encode("utf-8", "replace") if isinstance(password, str) else None
    try:
        return Held(load_pkcs12(content, source=path, password=secret).certificate, "identity", path)
    except CertificateError:
        return None
