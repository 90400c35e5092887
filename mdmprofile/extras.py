"""Payloads and keys that no config key stands for, kept in property-list files beside the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdmprofile.errors import ProfileError
from mdmprofile.inputs import MAX_PROFILE, Read
from mdmprofile.profile import Profile
from mdmprofile.propertylist import read_plist


@dataclass(frozen=True, eq=False)
class Extras:
    """What is put into a profile as it is.

    ``payloads`` are whole payload dictionaries. ``keys`` maps the UUID of a payload, or of the profile itself, in upper
    case, to keys that are laid over its own; a dictionary is laid over a dictionary.
    """

    payloads: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


def load_extras(payloads: Sequence[Path], keys: Path | None, read: Read) -> Extras:
    """Read the files with ``read``, each a property list with a dictionary on top.

    Raises ``InputError`` or ``ProfileError``.
    """
    found = tuple(_dictionary(each, read) for each in payloads)
    over = _dictionary(keys, read) if keys is not None else {}
    wrong = next((name for name, value in over.items() if not isinstance(value, Mapping)), None)
    if wrong is not None:
        raise ProfileError(
            f"{wrong!r} is no dictionary", where=str(keys), hint="write a dictionary of keys for each PayloadUUID"
        )
    return Extras(found, {name.upper(): value for name, value in over.items()})


def with_extras(profile: Profile, extras: Extras) -> Profile:
    """The profile with the extra keys in it, and the extra payloads before its last, the MDM payload."""
    if not extras.payloads and not extras.keys:
        return profile
    own = [_laid_over(each, _keys_of(each, extras)) for each in profile.payloads]
    top = _laid_over(profile.plist, _keys_of(profile.plist, extras))
    return Profile(top | {"PayloadContent": [*own[:-1], *extras.payloads, *own[-1:]]})


def _keys_of(payload: Mapping[str, Any], extras: Extras) -> Mapping[str, Any]:
    return extras.keys.get(str(payload.get("PayloadUUID")).upper(), {})


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(below)
    for name, value in above.items():
        under = laid.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        laid[name] = _laid_over(under, value) if both else value  # type: ignore[arg-type]  # both looked
    return laid


def _dictionary(path: Path, read: Read) -> dict[str, Any]:
    value = read_plist(read(path, limit=MAX_PROFILE), source=str(path))
    if not isinstance(value, dict):
        raise ProfileError("is no dictionary", where=str(path), hint="write one payload's dictionary into it")
    return value
