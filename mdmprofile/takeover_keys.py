"""What of an inherited profile no config key stands for, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.values import same

# What a person reads and no device acts upon; a rebuilt payload has words of its own.
_WORDS = ("PayloadDisplayName", "PayloadDescription", "PayloadOrganization", "PayloadCertificateFileName")


def residue(
    old: Profile,
    new: Profile,
    *,
    skipped: Sequence[Mapping[str, Any]],
    identity: Mapping[str, Any],
    dropped: Iterable[str],
) -> dict[str, dict[str, Any]]:
    """The keys of the old profile that the rebuilt one lacks or has otherwise, by the UUID of the rebuilt payload.

    ``skipped`` payloads are kept whole; ``dropped`` are keys of the identity that are to be left out.
    """
    left = {}
    for each in old.payloads:
        other = None if any(each is one for one in skipped) else _counterpart(each, new)
        if other is None:
            continue
        keys = _missing(each, other)
        if each is identity and isinstance(inner := keys.get("PayloadContent"), dict):
            keys["PayloadContent"] = {key: value for key, value in inner.items() if key not in dropped}
            keys = {key: value for key, value in keys.items() if key != "PayloadContent" or value}
        if each.get("PayloadType") == types.MDM and identity.get("PayloadUUID") != each.get("IdentityCertificateUUID"):
            keys.pop("IdentityCertificateUUID", None)
        if keys:
            left[_uuid_of(other)] = keys
    top = {key: value for key, value in old.plist.items() if key != "PayloadContent"}
    if keys := _missing(top, new.plist):
        left[_uuid_of(new.plist)] = keys
    return left


def _counterpart(old: Mapping[str, Any], new: Profile) -> Mapping[str, Any] | None:
    """What a payload was rebuilt as: the one with its UUID, else the one of its type, and of its certificate."""
    by_uuid = [each for each in new.payloads if _uuid_of(each) == _uuid_of(old)]
    kind, content = old.get("PayloadType"), old.get("PayloadContent")
    by_type = [each for _, each in new.of_type(kind)] if isinstance(kind, str) else []
    if kind in types.CERTIFICATES:
        by_type = [each for each in by_type if same(each.get("PayloadContent"), content)]
    return next(iter((*by_uuid, *by_type)), None)


def _uuid_of(keys: Mapping[str, Any]) -> str:
    return str(keys.get("PayloadUUID")).upper()


def _missing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in old.items():
        other = new.get(key)
        if key in new and same(value, other):
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            inner = _missing(value, other)
            found |= {key: inner} if inner else {}
        else:
            found[key] = value
    return found


def about_names(
    old: Profile, mdm: Mapping[str, Any], identity: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> Iterable[str]:
    """Names and references that are not as the old profile has them."""
    if tables["profile"]["identifier"] != old.identifier:
        yield f"PayloadIdentifier {old.identifier!r} is kept through profile.replaces: no config can hold it"
    if mdm.get("IdentityCertificateUUID") != identity.get("PayloadUUID"):
        yield "IdentityCertificateUUID of com.apple.mdm becomes the UUID of the only identity, which it is not now"
    content = old.plist.get("PayloadContent")
    if isinstance(content, list) and len(content) > len(old.payloads):
        yield "PayloadContent has entries that are no dictionaries; they are left out"


def about_keys(rebuilt: Profile, keys: Mapping[str, Mapping[str, Any]], file: str) -> Iterable[str]:
    """What is kept beside the config, without the words that devices do not act upon."""
    kinds = {_uuid_of(each): str(each.get("PayloadType")) for each in rebuilt.payloads}
    for uuid, each in keys.items():
        names = [name for name in _names_of(each) if name not in _WORDS]
        if names:
            kept = "it is" if len(names) == 1 else "they are"
            yield f"{', '.join(names)} of {kinds.get(uuid, 'the profile')}: kept as {kept} in {file}"


def _names_of(keys: Mapping[str, Any]) -> Iterable[str]:
    for name, value in keys.items():
        if isinstance(value, Mapping) and name == "PayloadContent":
            yield from (f"{name}.{each}" for each in value)
        else:
            yield name
